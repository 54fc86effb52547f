/* The part of the kernel's stable user ABI that the datapath uses.
 *
 * Written out here so that a build takes no header from the machine it runs on: the same object comes out on
 * every host. Numbers and offsets are those of include/uapi/linux/bpf.h, if_ether.h and ip.h, which never change.
 */
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
	BPF_F_NO_PREALLOC = 1,
	BPF_F_MMAPABLE = 1024,
};

/* Errors, negated: what bpf_map_update_elem answers against the wish of its flags, and our own functions. */
enum {
	ENOENT = 2,
	ENOMEM = 12,
	EBUSY = 16,
	EEXIST = 17,
	EINVAL = 22,
};

/* tc verdicts. UNSPEC hands the packet to the next program on the hook, so that other people's filters still run;
 * after the last one it goes on its way.
 */
enum {
	TC_ACT_UNSPEC = -1,
	TC_ACT_OK = 0,
	TC_ACT_SHOT = 2,
};

/* The context of a tc program, by UAPI offset. */
struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 mark;
	__u32 queue_mapping;
	__u32 protocol;
	__u32 vlan_present;
	__u32 vlan_tci;
	__u32 vlan_proto;
	__u32 priority;
	__u32 ingress_ifindex;
	__u32 ifindex;
	__u32 tc_index;
	__u32 cb[5];
	__u32 hash;
	__u32 tc_classid;
	__u32 data;
	__u32 data_end;
	__u32 napi_id;
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 data_meta;
	__u64 flow_keys;
	__u64 tstamp;
	__u32 wire_len;
	__u32 gso_segs;
	__u64 sk;
	__u32 gso_size;
	__u8 tstamp_type;
	__u8 pad_tstamp_type[3];
	__u64 hwtstamp;
};

_Static_assert(__builtin_offsetof(struct __sk_buff, data) == 76, "UAPI offset");
_Static_assert(__builtin_offsetof(struct __sk_buff, gso_segs) == 164, "UAPI offset");

/* Known to the verifier by its name in BTF. */
struct bpf_spin_lock {
	__u32 val;
};

enum {
	ETH_ALEN = 6,
	ETH_HLEN = 14,
	ETH_P_IP = 0x0800,
	ETH_P_8021Q = 0x8100,
	ETH_P_8021AD = 0x88a8,
	ETH_P_IPV6 = 0x86dd,
};

enum {
	IPPROTO_ICMP = 1,
	IPPROTO_TCP = 6,
	IPPROTO_UDP = 17,
	IPPROTO_SCTP = 132,
};

struct ethhdr {
	__u8 h_dest[ETH_ALEN];
	__u8 h_source[ETH_ALEN];
	__be16 h_proto;
} __attribute__((packed));

struct iphdr {
	__u8 ihl : 4, version : 4; /* little-endian bit order; the build refuses a big-endian target */
	__u8 tos;
	__be16 tot_len;
	__be16 id;
	__be16 frag_off;
	__u8 ttl;
	__u8 protocol;
	__u16 check;
	__be32 saddr;
	__be32 daddr;
};

enum {
	IP_MF = 0x2000,
	IP_OFFSET = 0x1fff,
};

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the datapath is built for little-endian machines (bpfel)"
#endif
