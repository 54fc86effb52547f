/* One of each: what the tests of shared/ffi/bpf load. */
#include "lib/kernel.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} RUNS SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 23);
} RING SEC(".maps");

const volatile int verdict = 7;

static int count_run(__u32 key)
{
	__u64 one = 1;
	__u64 *runs = bpf_map_lookup_elem(&RUNS, &key);

	if (runs)
		__sync_fetch_and_add(runs, 1);
	else
		bpf_map_update_elem(&RUNS, &key, &one, BPF_ANY);
	return verdict;
}

/* Returns `verdict` and counts under key 1. */
SEC("tc")
int first(struct __sk_buff *skb)
{
	skb->mark = skb->len;
	return count_run(1);
}

/* Lets every packet go on and counts under key 2. */
SEC("tc")
int second(struct __sk_buff *skb)
{
	(void)skb;
	count_run(2);
	return TC_ACT_UNSPEC;
}

struct emit_args {
	__u32 count;	     /* in */
	__u32 discard_every; /* in: 0 never */
	__u32 size;	     /* in: bytes of a record, 8 to 64; 0: 8, 9, ... 71 in turn */
	__u32 first;	     /* in: number of the first record */
	__u32 lost;	     /* out */
	__u32 pad;
};

/* A record is its number and zeros. */
static long emit_one(__u32 index, void *context)
{
	struct emit_args *args = context;
	__u64 record[16] = { args->first + index };
	__u32 size = args->size ? args->size & 127 : 8 + (index & 63);
	void *discarded;

	if (args->discard_every && index % args->discard_every == 0) {
		discarded = bpf_ringbuf_reserve(&RING, 24, 0);
		if (discarded)
			bpf_ringbuf_discard(discarded, 0);
	}
	if (bpf_ringbuf_output(&RING, record, size, 0))
		args->lost++;
	return 0;
}

SEC("syscall")
int emit(struct emit_args *args)
{
	struct emit_args copy = *args;

	bpf_loop(copy.count, emit_one, &copy, 0);
	args->lost = copy.lost;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
