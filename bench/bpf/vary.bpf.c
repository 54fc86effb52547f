/* Programs that measure the datapath's: `empty` is what everything is compared with, `vary` makes one packet after the
 * other out of a single one and hands each to the program in TARGET. BPF_PROG_TEST_RUN repeats a program on the packet as the
 * last run left it, so what the datapath changed has to be put back; and a repeated packet would always be of one flow.
 */
#include "lib/kernel.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum { PORTS = 32768, FIRST_SOURCE_PORT = 16384, FIRST_DESTINATION_PORT = 1024 };

enum order { ORDER_AT_RANDOM = 0, ORDER_ONE_AFTER_THE_OTHER = 1 };

/* A flow's number tells its ports. */
struct vary_settings {
	__u32 order;
	__u32 flows; /* at random: so many */
	__u32 next;  /* one after the other: number of the next */
	__be16 ttl_protocol;
	__be16 checksum; /* of the IP header as it came */
	__u8 addresses[12];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct vary_settings);
} SETTINGS SEC(".maps");

struct {
	__uint(type, 3 /* BPF_MAP_TYPE_PROG_ARRAY */);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 4);
} TARGET SEC(".maps");

SEC("tc")
int empty(struct __sk_buff *skb)
{
	(void)skb;
	return TC_ACT_UNSPEC;
}

SEC("tc")
int vary(struct __sk_buff *skb)
{
	__u8 *data = (void *)(long)skb->data;
	__u32 zero = 0, flow;
	struct vary_settings *s = bpf_map_lookup_elem(&SETTINGS, &zero);

	if (!s || data + 38 > (__u8 *)(long)skb->data_end)
		return TC_ACT_SHOT;
	if (s->order == ORDER_AT_RANDOM)
		flow = s->flows ? bpf_get_prandom_u32() % s->flows : 0;
	else
		flow = s->next++;
	__builtin_memcpy(data, s->addresses, sizeof(s->addresses));
	*(__be16 *)(data + 22) = s->ttl_protocol;
	*(__be16 *)(data + 24) = s->checksum;
	*(__be16 *)(data + 34) = bpf_htons(FIRST_SOURCE_PORT + flow % PORTS);
	*(__be16 *)(data + 36) = bpf_htons(FIRST_DESTINATION_PORT + flow / PORTS);
	bpf_tail_call(skb, &TARGET, 0);
	return TC_ACT_SHOT;
}
