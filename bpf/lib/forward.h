/* The last step: into another pod of this node, without passing the host's stack. */
#pragma once

#include "endpoint.h"
#include "verdict.h"

static __always_inline int same_mac(const __u8 *a, const __u8 *b)
{
	const __u16 *x = (const __u16 *)a, *y = (const __u16 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]));
}

/* To the host's stack. UNSPEC lets the programs and filters that come after ours on this hook judge too, OK does not. */
static __always_inline int pass_on(const struct __sk_buff *skb)
{
	__u32 zero = 0;
	__u32 *moving = bpf_map_lookup_elem(&HANDOVER, &zero);

	return moving && unlikely(*moving == skb->ifindex) ? TC_ACT_OK : TC_ACT_UNSPEC;
}

/* Routes the packet as the node would: one hop off its TTL (which the caller has checked), new link addresses, then
 * straight into the pod.
 */
static __always_inline int deliver_to_pod(struct __sk_buff *skb, const struct datapath_state *state,
					  struct passage *v, const struct pod_iface_value *pod)
{
	struct ethhdr *eth = (void *)(long)skb->data;
	struct iphdr *ip = (void *)(eth + 1);
	__u32 check;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return drop_passage(state, v, DROP_REASON_MALFORMED);
	/* RFC 1624: the sum of a header whose TTL byte went down by one. */
	check = ip->check + bpf_htons(0x0100);
	ip->check = (__u16)(check + (check >= 0xffff));
	ip->ttl--;
	__builtin_memcpy(eth->h_dest, pod->mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, pod->gateway_mac, ETH_ALEN);
	return (int)bpf_redirect_peer(pod->ifindex, 0);
}

/* An ICMP error that a pod sends has no entry of its own: its way is found anew. */
static __always_inline int forward_icmp_error(struct __sk_buff *skb, const struct datapath_state *state,
					      struct passage *v)
{
	struct pod_iface_value *pod;
	struct far_end far;

	find_far_end(state, v->packet.dst_ip, &far);
	if (!far.identity)
		return drop_passage(state, v, DROP_REASON_NO_ROUTE);
	if (!far.ifindex)
		return pass_on(skb);
	pod = pod_of_iface(far.ifindex);
	if (!pod || pod->ip != v->packet.dst_ip)
		return drop_passage(state, v, DROP_REASON_NO_ROUTE);
	if (v->packet.ttl <= 1)
		return drop_passage(state, v, DROP_REASON_TTL_EXCEEDED);
	return deliver_to_pod(skb, state, v, pod);
}
