/* CONNTRACK as it was in layout version 1: a hash of the kernel's, whose entries do not repeat their key. */
#include "lib/kernel.h"
#include <bpf/bpf_helpers.h>

struct conntrack_key {
	__u32 ip_a;
	__u32 ip_b;
	__u16 port_a;
	__u16 port_b;
	__u8 protocol;
	__u8 pad[3];
} __attribute__((aligned(8)));

struct conntrack_value {
	__u32 last_seen;
	__u32 generation;
	__u32 ifindex[2];
	__u32 identity[2];
	__u32 rule_id[2];
	__u64 bytes[2];
	__u32 packets[2];
	__u32 last_report;
	__u8 state;
	__u8 flags;
	__u8 tcp_flags[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct conntrack_key);
	__type(value, struct conntrack_value);
} CONNTRACK SEC(".maps");
