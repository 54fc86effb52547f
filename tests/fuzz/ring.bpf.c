/* Puts what follows the Ethernet header of a packet into a ring, as one record of any length. */
#include "lib/kernel.h"
#include <bpf/bpf_helpers.h>

enum { RECORD_MAX = 256 };

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} RING SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8[RECORD_MAX]);
} RECORD SEC(".maps");

SEC("tc")
int put_record(struct __sk_buff *skb)
{
	__u32 zero = 0, bytes = skb->len - ETH_HLEN;
	__u8 *record = bpf_map_lookup_elem(&RECORD, &zero);

	if (!record || bytes < 1 || bytes > RECORD_MAX)
		return TC_ACT_SHOT;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, record, bytes))
		return TC_ACT_SHOT;
	return bpf_ringbuf_output(&RING, record, bytes, 0) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
