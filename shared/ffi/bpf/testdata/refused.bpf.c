/* Reads where it must not: no verifier lets it pass. */
#include "lib/kernel.h"
#include <bpf/bpf_helpers.h>

SEC("tc")
int reads_past_the_end(struct __sk_buff *skb)
{
	return *(__u8 *)(long)skb->data;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
