/* Who is at an address, and which pod is behind an interface. */
#pragma once

#include "maps.h"
#include "packet.h"

#define barrier() asm volatile("" ::: "memory")

/* The pod behind a host veth; null when the interface has none yet: then it is closed. */
static __always_inline struct pod_iface_value *pod_of_iface(__u32 ifindex)
{
	__u32 slot = ifindex % POD_IFACE_SLOTS;
	struct pod_iface_value *pod = bpf_map_lookup_elem(&POD_IFACES, &slot);

	if (pod && likely(pod->ifindex == ifindex))
		return pod;
	pod = bpf_map_lookup_elem(&POD_IFACES_MORE, &ifindex);
	return pod && pod->ifindex == ifindex ? pod : 0;
}

/* What is known of an address at the far end of a flow. */
struct far_end {
	__u32 identity; /* 0: nobody may be there */
	__u32 ifindex;	/* host veth of a pod on this node, else 0 */
};

/* Inside this node's pod CIDR, or anywhere while that is not known. */
static __always_inline int is_pod_address(const struct datapath_state *state, __u32 ip)
{
	return (ip & state->pod_cidr_mask) == state->pod_cidr_ip;
}

/* An address of this node's pod CIDR that no pod has is nobody's: the outside never sees packets for it. */
static __always_inline void find_far_end(const struct datapath_state *state, __u32 ip, struct far_end *far)
{
	struct endpoint_key key = { .ip = ip };
	struct endpoint_value *endpoint = bpf_map_lookup_elem(&ENDPOINTS, &key);

	if (endpoint) {
		far->identity = endpoint->identity;
		far->ifindex = endpoint->ifindex;
		barrier();
		if (likely(endpoint->ip == ip))
			return;
	}
	far->ifindex = 0;
	far->identity = RESERVED_IDENTITY_WORLD;
	if (state->pod_cidr_mask && is_pod_address(state, ip))
		far->identity = RESERVED_IDENTITY_ANY;
}

/* The identity of the most specific CIDR that policy names and that contains ip; 0 when there is none. */
static __always_inline __u32 cidr_identity(const struct datapath_state *state, __u32 policy_generation, __u32 ip)
{
	struct cidr_key key = { .prefix_len = 32 };
	struct cidr_value *value;

	if (!state->cidr_count)
		return 0;
	*(__be32 *)key.address_be = bpf_htonl(ip);
	value = bpf_map_lookup_elem(&CIDR_IDENTITIES, &key);
	if (!value)
		return 0;
	return (__s32)(policy_generation - value->generation) >= 0 ? value->identity[1] : value->identity[0];
}
