/* Every map of the datapath beside the structs of its keys and values.
 *
 * These structs are the one source of the layouts: shared/gen/abi.ts is generated from their BTF. IPv4 addresses
 * are numbers, a.b.c.d = a<<24|b<<16|c<<8|d, and ports are in host order, unless a name ends in _be.
 * A map is pinned as <pin dir>/<NAME>_v<LAYOUT_VERSION>.
 *
 * Who writes what. User space (the dataplane daemon) owns ENDPOINTS, POD_IFACES*, HANDOVER, POLICIES,
 * POLICY_SHAPES, CIDR_IDENTITIES, CONFIG and DATAPATH_STATE; the programs only read them. The programs own CONNTRACK*,
 * FRAGMENTS, FRAGMENT_COUNTS, DROP_FLOWS, FLOW_EVENTS, DROP_COUNTERS and STATISTICS.
 *
 * How a policy set changes without a packet ever seeing half of it. Every versioned value (policy_value,
 * cidr_value) holds an old and a new version and the generation at which the new one begins. A program reads
 * DATAPATH_STATE.policy_generation once per packet and sees, in every entry, the new version if that generation has
 * reached value.generation (signed difference >= 0), else the old one. User space stages a whole set with
 * generation = active + 1, in place (BPF_F_LOCK), then stores the new generation: one aligned 8-byte store, together
 * with evaluation_generation. Before it writes values that are there already, it says so in policy_staging and waits for an
 * RCU grace period: programs take the values' locks only then. Absent entries (POLICY_ABSENT) are deleted only after an RCU grace period, and
 * elements freed by that are reused only after another, because a preallocated hash gives a freed element to the
 * next insert at once while a reader may still hold it.
 */
#pragma once

#include "kernel.h"
#include <bpf/bpf_helpers.h>

/* Of all maps together: a change of any key, value, type or fixed size of a map, or of struct flow_event, makes it one
 * more. A starting dataplane takes over the maps of older layouts member by member (dataplane/migration), which needs
 * no code here as long as members keep their names and what they mean.
 */
enum layout { LAYOUT_VERSION = 2 };

/* ---- Endpoints ---- */

struct endpoint_key {
	__u32 ip;
};

/* One address that has an identity: a pod here (ifindex != 0), an address of this host (identity
 * RESERVED_IDENTITY_HOST), or a pod on another node (node_ip is that node's).
 * ip repeats the key and is the first member: a reader that took the other members and then still finds its own
 * address here knows that the element was not freed and reused under it.
 */
struct endpoint_value {
	__u32 ip;
	__u32 ifindex;
	__u8 mac[ETH_ALEN];
	__u8 pad_mac[2];
	__u32 identity;
	__u32 node_ip;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct endpoint_key);
	__type(value, struct endpoint_value);
} ENDPOINTS SEC(".maps");

/* What the programs on a pod's host veth need of it, found by interface index in an array: slot = ifindex modulo
 * POD_IFACE_SLOTS. A slot whose ifindex is another's sends the reader to POD_IFACES_MORE, a hash by ifindex.
 */
enum { POD_IFACE_SLOTS = 65536 };

struct pod_iface_value {
	__u32 ifindex;
	__u32 ip;
	__u32 identity;
	__u8 mac[ETH_ALEN];	    /* the pod's own */
	__u8 gateway_mac[ETH_ALEN]; /* of the host's end: what the pod knows as its gateway */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, POD_IFACE_SLOTS);
	__type(key, __u32);
	__type(value, struct pod_iface_value);
} POD_IFACES SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct pod_iface_value);
} POD_IFACES_MORE SEC(".maps");

/* The interface whose program moves from a clsact filter to TCX, 0 for none: while both are there, the kernel runs TCX's first,
 * and a packet that has passed it must not meet the filter too.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} HANDOVER SEC(".maps");

/* ---- Policy ---- */

enum policy_kind {
	POLICY_KIND_RULE = 0,
	POLICY_KIND_ISOLATION = 1, /* identity of the selected side in `direction`; every other member 0 */
};

struct policy_key {
	__u32 src_identity; /* 0 any */
	__u32 dst_identity; /* 0 any */
	__u8 protocol;	    /* 0 any */
	__u8 direction;	    /* proto enum PolicyDirection: 0 both, 1 ingress, 2 egress */
	__u16 dst_port;	    /* the leading prefix_len bits; the others 0 */
	__u8 prefix_len;    /* 0 any port .. 16 one port */
	__u8 kind;
	__u8 pad[2];
};

enum policy_absent { POLICY_ABSENT = 255 };

struct policy_value {
	struct bpf_spin_lock lock;
	__u32 generation;  /* from which on index 1 is in force; before it, index 0 */
	__u8 action[2];	   /* proto enum PolicyAction, or POLICY_ABSENT */
	__u8 pad[2];
	__u32 rule_id[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct policy_key);
	__type(value, struct policy_value);
} POLICIES SEC(".maps");

/* Which port prefix lengths occur (bit n: length n) among the entries whose selected side is `identity` in
 * `direction` (1 ingress: dst_identity, 2 egress: src_identity): so that a lookup tries no key shape that nobody uses. Always a superset
 * of the truth: widened before a set takes force, shrunk after. Entries whose selected side is 0, and those of
 * direction both, are covered by DATAPATH_STATE.wildcard_shapes instead.
 * Written in place, under the lock that this takes. Readers need none: between the old value and the new one, every mix
 * of their bits is a superset too.
 */
struct policy_shape_key {
	__u32 identity;
	__u32 direction;
};

struct policy_shape {
	__u32 exact_protocol; /* bit n: an entry with a protocol and prefix length n exists */
	__u32 any_protocol;   /* bit n: an entry with protocol 0 and prefix length n exists */
};

struct policy_shape_value {
	struct bpf_spin_lock lock;
	struct policy_shape shape;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, struct policy_shape_key);
	__type(value, struct policy_shape_value);
} POLICY_SHAPES SEC(".maps");

/* Longest-prefix match from an address to the identity of the most specific CIDR that policy names. */
struct cidr_key {
	__u32 prefix_len;
	__u8 address_be[4];
};

struct cidr_value {
	__u32 generation;
	__u32 identity[2]; /* as in policy_value; 0: no CIDR that policy names */
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct cidr_key);
	__type(value, struct cidr_value);
} CIDR_IDENTITIES SEC(".maps");

/* ---- Configuration ---- */

/* Configuration as UpdateConfig gave it, by key (proto enum ConfigKey). The programs read DATAPATH_STATE. */
enum { CONFIG_KEYS = 128 };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CONFIG_KEYS);
	__type(key, __u32);
	__type(value, __u64);
} CONFIG SEC(".maps");

/* Timeouts of conntrack entries by class, in seconds. */
enum timeout_class {
	TIMEOUT_TCP_SYN = 0,
	TIMEOUT_TCP_ESTABLISHED = 1,
	TIMEOUT_TCP_CLOSING = 2,
	TIMEOUT_UDP_NEW = 3,
	TIMEOUT_UDP_STREAM = 4,
	TIMEOUT_SCTP = 5,
	TIMEOUT_ICMP = 6,
	TIMEOUT_OTHER = 7,
	TIMEOUT_FRAGMENT = 8,
	TIMEOUT_CLASSES = 9,
};

enum flow_level {
	FLOW_LEVEL_OFF = 0,
	FLOW_LEVEL_DROPS = 1,
	FLOW_LEVEL_CONNECTIONS = 2, /* and first packets, TCP flag changes and ends */
	FLOW_LEVEL_ALL = 3,	    /* and a summary every flow_interval_jiffies */
};

/* What the programs read on every packet, in one array element. The two generations share one aligned 8-byte word.
 * A conntrack entry whose generation is not evaluation_generation is judged again at its next packet: it moves with
 * every policy flip and whenever an identity, an interface or an address changes what was decided.
 */
struct datapath_state {
	__u32 policy_generation;
	__u32 evaluation_generation;
	__u32 flow_level;
	__u32 flow_interval_jiffies;
	__u32 default_deny;
	__u32 pod_cidr_ip;
	__u32 pod_cidr_mask; /* 0: not set */
	__u32 cidr_count;    /* 0: CIDR_IDENTITIES is empty and not asked */
	struct policy_shape wildcard_shapes[3]; /* by direction: selected side 0; [0]: entries of direction both */
	__u32 timeout_seconds[TIMEOUT_CLASSES];
	__u32 hz; /* jiffies per second; 0 until measured */
	__u32 policy_staging;	   /* values of POLICIES may be written in place: read them under their lock */
	__u32 conntrack_groups;	   /* of CONNTRACK: its slots / CONNTRACK_WAYS */
	__u32 fragment_quota;	   /* datagrams of one interface that FRAGMENTS holds at once */
	__u32 pad_seed;
	__u32 conntrack_seed[2];   /* so that nobody outside can choose connections that share a group */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE); /* user space stores word by word, each in one piece */
	__type(key, __u32);
	__type(value, struct datapath_state);
} DATAPATH_STATE SEC(".maps");

/* ---- Conntrack ---- */

/* One entry serves both directions: the end with the smaller (address, port) is A. ICMP requests have their identifier
 * as the requester's port and 0 as the other's; protocols without ports have 0 and 0. ip_a is never 0.
 */
struct conntrack_key {
	__u32 ip_a;
	__u32 ip_b;
	__u16 port_a;
	__u16 port_b;
	__u8 protocol;
	__u8 pad[3];
} __attribute__((aligned(8)));

enum conntrack_state {
	CONNTRACK_NEW = 0,	   /* nothing came back yet */
	CONNTRACK_SYN_RECEIVED = 1,
	CONNTRACK_ESTABLISHED = 2, /* others: seen in both directions */
	CONNTRACK_FIN_WAIT = 3,	   /* one end sent FIN */
	CONNTRACK_CLOSING = 4,	   /* both did */
	CONNTRACK_CLOSED = 5,	   /* RST */
};

enum conntrack_flags {
	CONNTRACK_ORIGIN_IS_A = 1,
	CONNTRACK_EGRESS_ALLOWED = 2,  /* the source's egress decision was made, and allowed */
	CONNTRACK_INGRESS_ALLOWED = 4, /* the destination's ingress decision */
	CONNTRACK_REPLY_SEEN = 8,
	CONNTRACK_EGRESS_AUDITED = 16, /* allowed only because the policy that isolates is in audit mode */
	CONNTRACK_INGRESS_AUDITED = 32,
	CONNTRACK_AUDITED = CONNTRACK_EGRESS_AUDITED | CONNTRACK_INGRESS_AUDITED,
};

/* Index 0 of a pair is the origin's side or direction, index 1 the reply's. The first cache line has all that an
 * established packet needs; the members after it are read for events and decisions alone.
 */
struct conntrack_entry {
	struct conntrack_key key;
	__u32 last_seen;  /* low half of jiffies64 */
	__u32 generation; /* datapath_state.evaluation_generation at the decision */
	__u32 ifindex[2]; /* host veth of the pod at that end; 0: not a pod here */
	__u64 bytes[2];	  /* since the last event of that direction */
	__u32 packets[2];
	__u32 last_report; /* low half of jiffies64 */
	__u8 state;
	__u8 flags;
	__u8 tcp_flags[2]; /* seen so far in that direction */
	__u32 identity[2];
	__u32 rule_id[2]; /* [0] that allowed the egress, [1] the ingress */
};

_Static_assert(__builtin_offsetof(struct conntrack_entry, identity) == 64, "one cache line");

enum conntrack_group { CONNTRACK_WAYS = 4 }; /* slots of one group */

struct conntrack_slot {
	struct conntrack_entry entry; /* key.ip_a 0: free */
	__u8 pad[48];
};

_Static_assert(sizeof(struct conntrack_slot) == 128, "two cache lines");

/* A hash table of our own, in groups of CONNTRACK_WAYS slots: see conntrack_table.h. One access to memory finds a
 * connection, where the kernel's hash needs three, and its entry is reached without a call.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 393216);
	__type(key, __u32);
	__type(value, struct conntrack_slot);
} CONNTRACK SEC(".maps");

/* Connections whose group was full. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__type(key, struct conntrack_key);
	__type(value, struct conntrack_entry);
} CONNTRACK_MORE SEC(".maps");

/* How many are in CONNTRACK_MORE, or about to be: while there is none it is not asked. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} CONNTRACK_MORE_COUNT SEC(".maps");

/* The datagram that later fragments belong to. */
struct fragment_key {
	__u32 src_ip;
	__u32 dst_ip;
	__u32 hook_ifindex; /* where it was seen: one datagram may cross two hooks */
	__u16 id;
	__u8 protocol;
	__u8 direction; /* PolicyDirection of the hook */
};

struct fragment_value {
	__u32 last_seen;
	__u32 next_offset; /* bytes: the first one not seen yet */
	__u16 src_port;
	__u16 dst_port;
	__u8 poisoned; /* an overlap was seen: nothing more of this datagram passes */
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct fragment_key);
	__type(value, struct fragment_value);
} FRAGMENTS SEC(".maps");

/* How many of them are of an interface, by its index modulo POD_IFACE_SLOTS: none may have more than
 * datapath_state.fragment_quota, so that a pod that begins datagrams and ends none stops nobody but itself.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, POD_IFACE_SLOTS);
	__type(key, __u32);
	__type(value, __s32);
} FRAGMENT_COUNTS SEC(".maps");

/* ---- Observability ---- */

struct flow_event {
	__u64 timestamp_ns; /* CLOCK_MONOTONIC */
	__u64 bytes;	    /* of IP, since the previous event of this flow in this direction */
	__u64 packets;
	__u32 src_ip;
	__u32 dst_ip;
	__u32 src_identity;
	__u32 dst_identity;
	__u32 rule_id;
	__u16 src_port;
	__u16 dst_port;
	__u8 protocol;
	__u8 verdict;	  /* proto enum PolicyAction */
	__u8 drop_reason; /* proto enum DropReason */
	__u8 tcp_flags;
	__u8 event_type; /* proto enum FlowEventType */
	__u8 direction;	 /* proto enum PolicyDirection: egress: a pod sent it; ingress: a pod receives it */
	__u8 is_reply;
	__u8 rule_direction;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 pad[2];
};

_Static_assert(sizeof(struct flow_event) == 64, "ring buffer record");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8388608);
} FLOW_EVENTS SEC(".maps");

enum { DROP_EARLY_REPORTS = 8 };

/* Drops have no conntrack entry; they are aggregated here. The source port is left out, so that a client that tries
 * again from another port is the same denied flow.
 */
struct drop_flow_key {
	__u32 src_ip;
	__u32 dst_ip;
	__u32 rule_id;
	__u16 dst_port;
	__u8 protocol;
	__u8 reason;
	__u8 direction;
	__u8 rule_direction;
	__u8 icmp_type;
	__u8 icmp_code;
};

struct drop_flow_value {
	__u64 bytes;
	__u64 packets;
	__u32 src_identity;
	__u32 dst_identity;
	__u32 last_report;
	__u16 src_port;
	__u8 tcp_flags;
	__u8 early_reports; /* in this interval, beside its first and last */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct drop_flow_key);
	__type(value, struct drop_flow_value);
} DROP_FLOWS SEC(".maps");

/* Dropped packets by proto enum DropReason. */
enum { DROP_REASONS = 128 };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DROP_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} DROP_COUNTERS SEC(".maps");

enum statistic {
	STATISTIC_EVENTS = 0,	   /* flow events put into FLOW_EVENTS */
	STATISTIC_EVENTS_LOST = 1, /* not put there: the ring was full */
	STATISTIC_CONNTRACK_CREATED = 2,
	STATISTIC_CONNTRACK_REMOVED = 3,
	STATISTIC_CONNTRACK_REFUSED = 4, /* the table was full */
	STATISTIC_FRAGMENT_REFUSED = 5,	 /* the table was full */
	STATISTIC_EVALUATIONS = 6,	 /* packets for which policy was consulted */
	STATISTICS_COUNT = 16,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STATISTICS_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} STATISTICS SEC(".maps");

/* Context of the program collect_garbage (SEC("syscall")): the clock pair lets user space measure hz. */
struct collect_args {
	__u64 jiffies;		/* out */
	__u64 ktime_ns;		/* out */
	__u32 conntrack_live;	/* out */
	__u32 conntrack_expired;
	__u32 fragments_live;
	__u32 fragments_expired;
	__u32 drop_flows_reported;
	__u32 scan;		/* in: 0 reads the clocks only */
};

enum connection_operation {
	CONNECTION_FIND = 0,  /* gives the connection of entry.key; -ENOENT */
	CONNECTION_COPY = 1,  /* adds it, unless it is there: -EEXIST */
	CONNECTION_MERGE = 2, /* adds it, or adds its counters to what is there */
};

/* Context of the program connection (SEC("syscall")). */
struct connection_args {
	struct conntrack_entry entry; /* in and out */
	__u32 operation;	      /* in: enum connection_operation */
	__u32 pad;
};

/* Types that user space reads though no map's key or value is of them: what stands here comes into the BTF, and so into
 * shared/gen/abi.ts (tools/gen_abi.ts). The section is not loaded.
 */
struct {
	struct flow_event flow_event;
	struct collect_args collect_args;
	struct connection_args connection_args;
	enum connection_operation connection_operation;
	enum layout layout;
	enum policy_kind policy_kind;
	enum policy_absent policy_absent;
	enum timeout_class timeout_class;
	enum flow_level flow_level;
	enum conntrack_group conntrack_group;
	enum conntrack_state conntrack_state;
	enum conntrack_flags conntrack_flags;
	enum statistic statistic;
} USER_TYPES SEC("novanet_types");
