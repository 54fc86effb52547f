/* The programs of the datapath, and nothing else: each is a list of steps, whose logic stands in lib/.
 *
 * A packet's way. pod_egress sees, on the tc ingress hook of a pod's host veth, all that the pod sends. For a pod on
 * the same node it decides for both ends and puts the packet straight into the other pod (bpf_redirect_peer); the
 * rest goes on to the host's stack. pod_ingress sees, on the tc egress hook, what a pod receives from anywhere else.
 */
#include "lib/collect.h"
#include "lib/connection_call.h"
#include "lib/conntrack.h"
#include "lib/conntrack_table.h"
#include "lib/endpoint.h"
#include "lib/events.h"
#include "lib/forward.h"
#include "lib/fragment.h"
#include "lib/maps.h"
#include "lib/packet.h"
#include "lib/policy.h"
#include "lib/verdict.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline struct datapath_state *read_state(struct passage *v)
{
	__u32 zero = 0;
	struct datapath_state *state = bpf_map_lookup_elem(&DATAPATH_STATE, &zero);

	if (state) {
		/* One load: a packet sees one policy generation, and the evaluation generation that goes with it. */
		__u64 generations = *(volatile __u64 *)&state->policy_generation;

		v->policy_generation = (__u32)generations;
		v->evaluation_generation = (__u32)(generations >> 32);
	}
	return state;
}

static __always_inline void begin_passage(struct __sk_buff *skb, struct passage *v, __u32 hook)
{
	__u32 segments = skb->gso_segs;

	v->hook = hook;
	v->hook_ifindex = skb->ifindex;
	v->bytes = skb->len > ETH_HLEN ? skb->len - ETH_HLEN : 0;
	v->packets = segments ? segments : 1;
	v->now = (__u32)bpf_jiffies64();
}

/* Steps that both hooks share once the near end's address is right: conntrack, policy, counters. Returns 0 or a drop
 * reason. At the egress hook *far is the pod here that gets the packet, or null when the host's stack does.
 */
static __always_inline int pass_flow(struct __sk_buff *skb, const struct datapath_state *state, struct passage *v,
				     struct pod_iface_value **far)
{
	struct conntrack_entry *entry;
	int reason;

	*far = 0;
	v->source_is_a = conntrack_key_of(&v->packet, &v->key);
	entry = conntrack_find(state, &v->key);
	if (likely(entry)) {
		v->reply = v->source_is_a != (entry->flags & CONNTRACK_ORIGIN_IS_A);
		if (likely(entry_covers(entry, v))) {
			if (v->hook == POLICY_DIRECTION_EGRESS && entry->ifindex[!v->reply]) {
				*far = pod_of_iface(entry->ifindex[!v->reply]);
				if (unlikely(!*far || (*far)->ip != v->packet.dst_ip))
					goto open; /* that pod has left; another may have its address */
				if (unlikely(v->packet.ttl <= 1))
					return DROP_REASON_TTL_EXCEEDED;
			}
			if (unlikely(entry->generation != v->evaluation_generation)) {
				reason = revisit_flow(skb, state, v, entry);
				if (reason)
					return reason;
			}
			conntrack_account(state, entry, &v->packet, v->reply, v->bytes, v->packets,
					  v->now);
			return 0;
		}
	}
open:
	reason = open_flow(skb, state, v, entry);
	if (!reason && v->far_ifindex) {
		*far = pod_of_iface(v->far_ifindex);
		if (!*far || (*far)->ip != v->packet.dst_ip)
			reason = DROP_REASON_NO_ROUTE;
	}
	return reason;
}

SEC("tc")
int pod_egress(struct __sk_buff *skb)
{
	struct passage v = {};
	struct datapath_state *state = read_state(&v);
	struct pod_iface_value *pod = pod_of_iface(skb->ifindex);
	struct pod_iface_value *far = 0;
	struct ethhdr *eth;
	int reason;

	if (!state)
		return TC_ACT_SHOT;
	begin_passage(skb, &v, POLICY_DIRECTION_EGRESS);
	reason = parse_packet(skb, &v.packet);
	if (unlikely(!pod))
		return drop_passage(state, &v, DROP_REASON_ENDPOINT_NOT_READY);
	v.pod_identity = pod->identity;
	if (unlikely(reason))
		return drop_passage(state, &v, reason);
	if (unlikely(v.packet.src_ip != pod->ip))
		return drop_passage(state, &v, DROP_REASON_SPOOFED_SOURCE_IP);
	eth = (void *)(long)skb->data;
	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return drop_passage(state, &v, DROP_REASON_MALFORMED);
	if (unlikely(!same_mac(eth->h_source, pod->mac)))
		return drop_passage(state, &v, DROP_REASON_SPOOFED_SOURCE_MAC);
	if (unlikely(!same_mac(eth->h_dest, pod->gateway_mac)))
		return drop_passage(state, &v, special_address_reason(v.packet.dst_ip));

	if (unlikely(v.packet.fragment == FRAGMENT_LATER))
		reason = fragment_follow(&v.packet, v.hook_ifindex, v.hook);
	if (unlikely(!reason && is_icmp_error(&v.packet))) {
		reason = judge_icmp_error(skb, state, &v);
		if (!reason)
			return forward_icmp_error(skb, state, &v);
	}
	if (likely(!reason))
		reason = pass_flow(skb, state, &v, &far);
	if (unlikely(!reason && v.packet.fragment == FRAGMENT_FIRST))
		reason = fragment_begin(state, &v.packet, v.hook_ifindex, v.hook);
	if (unlikely(reason))
		return drop_passage(state, &v, reason);
	if (!far)
		return pass_on(skb);
	return deliver_to_pod(skb, state, &v, far);
}

SEC("tc")
int pod_ingress(struct __sk_buff *skb)
{
	struct passage v = {};
	struct datapath_state *state = read_state(&v);
	struct pod_iface_value *pod = pod_of_iface(skb->ifindex);
	struct pod_iface_value *far;
	int reason;

	if (!state)
		return TC_ACT_SHOT;
	begin_passage(skb, &v, POLICY_DIRECTION_INGRESS);
	reason = parse_packet(skb, &v.packet);
	if (unlikely(!pod))
		return drop_passage(state, &v, DROP_REASON_ENDPOINT_NOT_READY);
	v.pod_identity = pod->identity;
	if (unlikely(reason))
		return drop_passage(state, &v, reason);
	if (unlikely(v.packet.dst_ip != pod->ip))
		return drop_passage(state, &v, DROP_REASON_INVALID_DESTINATION);

	if (unlikely(is_pod_address(state, v.packet.src_ip)))
		reason = identify_sender(skb, state, &v); /* an entry alone must not vouch for a pod's address */
	if (unlikely(!reason && v.packet.fragment == FRAGMENT_LATER))
		reason = fragment_follow(&v.packet, v.hook_ifindex, v.hook);
	if (unlikely(!reason && is_icmp_error(&v.packet))) {
		reason = judge_icmp_error(skb, state, &v);
		if (!reason)
			return pass_on(skb);
	}
	if (likely(!reason))
		reason = pass_flow(skb, state, &v, &far);
	if (unlikely(!reason && v.packet.fragment == FRAGMENT_FIRST))
		reason = fragment_begin(state, &v.packet, v.hook_ifindex, v.hook);
	if (unlikely(reason))
		return drop_passage(state, &v, reason);
	return pass_on(skb);
}

/* ---- Expiry. Run by the dataplane daemon through BPF_PROG_RUN: see lib/collect.h. ---- */

SEC("syscall")
int collect_garbage(struct collect_args *args)
{
	args->ktime_ns = bpf_ktime_get_ns();
	args->jiffies = bpf_jiffies64();
	return args->scan ? collect(args) : 0;
}

/* ---- Connections by their keys. Run by the dataplane daemon: see lib/connection_call.h. ---- */

SEC("syscall")
int connection(struct connection_args *args)
{
	return (int)call_connection(args);
}
