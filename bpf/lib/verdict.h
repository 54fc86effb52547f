/* The slow path: what to do with a packet that no valid conntrack entry vouches for. */
#pragma once

#include "conntrack.h"
#include "conntrack_table.h"
#include "endpoint.h"
#include "events.h"
#include "policy.h"

/* One packet on its way through a hook. Index 0 of a pair is the flow's origin, 1 its destination. */
struct passage {
	struct packet packet;
	struct conntrack_key key;
	__u32 hook_ifindex;
	__u32 hook; /* POLICY_DIRECTION_EGRESS: the pod behind hook_ifindex sends; INGRESS: it receives */
	__u32 reply; /* the packet runs against the flow's origin */
	__u32 source_is_a;
	__u32 policy_generation;
	__u32 evaluation_generation;
	__u32 bytes;
	__u32 packets;
	__u32 now;
	__u32 pod_identity;
	__u32 far_identity; /* of the other end of the packet, seen from the pod */
	__u32 far_ifindex;  /* its host veth when it is a pod here that this hook delivers to */
	__u32 rule_id; /* of the decision that was made last */
	__u8 rule_direction;
};

static __always_inline int drop_passage(const struct datapath_state *state, struct passage *v, __u32 reason)
{
	struct drop drop = {
		.reason = reason,
		.bytes = v->bytes,
		.packets = v->packets,
		.direction = (__u8)v->hook,
	};

	/* Else the rule in v allowed it. */
	if (reason == DROP_REASON_POLICY_DENIED) {
		drop.rule_id = v->rule_id;
		drop.rule_direction = v->rule_direction;
	}
	if (v->hook == POLICY_DIRECTION_EGRESS) {
		drop.src_identity = v->pod_identity;
		drop.dst_identity = v->far_identity;
	} else {
		drop.src_identity = v->far_identity;
		drop.dst_identity = v->pod_identity;
	}
	return drop_packet(state, &v->packet, &drop);
}

/* Addresses that are nobody's to talk to one at a time: multicast, broadcast, loopback, "this network", class E. */
static __always_inline int is_special_address(__u32 ip)
{
	__u32 first = ip >> 24;

	return first == 0 || first == 127 || first >= 224;
}

/* One decision of a flow; returns 0 or the drop reason, with the rule in v. */
static __noinline int judge(const struct datapath_state *state, struct passage *v, struct conntrack_entry *entry,
			    __u32 direction)
{
	struct decision d = {};
	__u32 origin_is_a = v->reply ? !v->source_is_a : v->source_is_a;
	__u32 origin_ip = origin_is_a ? v->key.ip_a : v->key.ip_b;
	__u32 destination_ip = origin_is_a ? v->key.ip_b : v->key.ip_a;

	d.direction = (__u8)direction;
	d.policy_generation = v->policy_generation;
	d.staging = state->policy_staging;
	d.protocol = v->key.protocol;
	if (has_ports(d.protocol))
		d.port = origin_is_a ? v->key.port_b : v->key.port_a;
	if (direction == POLICY_DIRECTION_EGRESS) {
		d.selected = entry->identity[0];
		d.peer = entry->identity[1];
		d.peer_cidr = cidr_identity(state, v->policy_generation, destination_ip);
	} else {
		d.selected = entry->identity[1];
		d.peer = entry->identity[0];
		d.peer_cidr = cidr_identity(state, v->policy_generation, origin_ip);
	}
	/* The node is the node, whatever block its address lies in. */
	if (d.peer == RESERVED_IDENTITY_HOST)
		d.peer_cidr = 0;
	decide(state, &d);
	v->rule_id = d.rule_id;
	v->rule_direction = (__u8)direction;
	if (d.action != POLICY_ACTION_ALLOW && d.action != POLICY_ACTION_AUDIT)
		return DROP_REASON_POLICY_DENIED;
	if (direction == POLICY_DIRECTION_EGRESS) {
		entry->rule_id[0] = d.rule_id;
		entry->flags |= CONNTRACK_EGRESS_ALLOWED;
		if (d.action == POLICY_ACTION_AUDIT)
			entry->flags |= CONNTRACK_EGRESS_AUDITED;
	} else {
		entry->rule_id[1] = d.rule_id;
		entry->flags |= CONNTRACK_INGRESS_ALLOWED;
		if (d.action == POLICY_ACTION_AUDIT)
			entry->flags |= CONNTRACK_INGRESS_AUDITED;
	}
	return 0;
}

/* Makes both decisions of the flow that v belongs to, as far as its ends are pods here, into `entry`, whose
 * identity and ifindex are filled. Returns 0 or the drop reason.
 */
__noinline int judge_flow(const struct datapath_state *state, struct passage *v, struct conntrack_entry *entry)
{
	int reason;

	if (!state || !v || !entry)
		return DROP_REASON_INTERNAL_ERROR;
	count(STATISTIC_EVALUATIONS);
	entry->flags &= ~(CONNTRACK_EGRESS_ALLOWED | CONNTRACK_INGRESS_ALLOWED | CONNTRACK_AUDITED);
	entry->generation = v->evaluation_generation;
	v->rule_id = RULE_NONE;
	if (entry->ifindex[0]) {
		reason = judge(state, v, entry, POLICY_DIRECTION_EGRESS);
		if (reason)
			return reason;
	}
	if (entry->ifindex[1]) {
		reason = judge(state, v, entry, POLICY_DIRECTION_INGRESS);
		if (reason)
			return reason;
	}
	return 0;
}

static __always_inline void set_ends(struct passage *v, struct conntrack_entry *entry)
{
	/* The pod is the origin when it sends in the origin's direction or receives in the reply's. */
	__u32 pod_is_origin = (v->hook == POLICY_DIRECTION_EGRESS) == !v->reply;

	if (pod_is_origin) {
		entry->ifindex[0] = v->hook_ifindex;
		entry->identity[0] = v->pod_identity;
		entry->ifindex[1] = v->far_ifindex;
		entry->identity[1] = v->far_identity;
	} else {
		entry->ifindex[1] = v->hook_ifindex;
		entry->identity[1] = v->pod_identity;
		entry->ifindex[0] = v->far_ifindex;
		entry->identity[0] = v->far_identity;
	}
}

/* Who sent a packet that reaches a pod's ingress hook: fills far_identity. Returns 0 or a drop reason.
 * skb->ingress_ifindex is 0 for what this host's own stack sent, else the interface that the packet came in by; nobody
 * outside can forge it.
 */
__noinline int identify_sender(struct __sk_buff *skb, const struct datapath_state *state, struct passage *v)
{
	struct pod_iface_value *pod;
	struct far_end sender;

	if (!state || !v)
		return DROP_REASON_INTERNAL_ERROR;
	v->far_ifindex = 0;
	if (!skb->ingress_ifindex) {
		v->far_identity = RESERVED_IDENTITY_HOST;
		return 0;
	}
	pod = pod_of_iface(skb->ingress_ifindex);
	if (pod) {
		/* From a pod here by way of the host's stack, which may have translated its address. */
		v->far_identity = pod->identity;
		return pod->identity ? 0 : DROP_REASON_NO_IDENTITY;
	}
	find_far_end(state, v->packet.src_ip, &sender);
	if (!sender.identity)
		return DROP_REASON_NO_IDENTITY;
	if (sender.ifindex)
		return DROP_REASON_SPOOFED_SOURCE_IP; /* a pod's address that did not come from that pod */
	/* What was forwarded under an address of this host is not the host. */
	v->far_identity = sender.identity == RESERVED_IDENTITY_HOST ? RESERVED_IDENTITY_WORLD : sender.identity;
	return 0;
}

/* Why a pod may not send to an address, or in a frame that is not to its gateway. */
static __always_inline int special_address_reason(__u32 ip)
{
	return ip >> 28 == 0xe || ip == 0xffffffff ? DROP_REASON_MULTICAST : DROP_REASON_INVALID_DESTINATION;
}

/* Fills the far end of a packet at either hook. Returns 0 or a drop reason. */
static __always_inline int find_ends(struct __sk_buff *skb, const struct datapath_state *state, struct passage *v)
{
	struct far_end far;

	if (!v->pod_identity)
		return DROP_REASON_NO_IDENTITY;
	if (v->hook == POLICY_DIRECTION_INGRESS)
		return identify_sender(skb, state, v);
	if (is_special_address(v->packet.dst_ip))
		return special_address_reason(v->packet.dst_ip);
	if (v->packet.dst_ip == v->packet.src_ip)
		return DROP_REASON_INVALID_DESTINATION; /* a pod reaches itself without us */
	find_far_end(state, v->packet.dst_ip, &far);
	v->far_identity = far.identity;
	v->far_ifindex = far.ifindex;
	return far.identity ? 0 : DROP_REASON_NO_ROUTE;
}

/* A living flow that was decided under other policies or identities: decide again. Returns 0 or the drop reason.
 *
 * The way of a flow does not change: what went by the host's stack (and may be translated there) still does. Who it goes
 * to is found by the address, as at its first packet, at either hook. Who it comes from by the stack only its own
 * packets tell: its answers are judged by what is remembered, and leave the entry to be judged with the next of these.
 */
__noinline int revisit_flow(struct __sk_buff *skb, const struct datapath_state *state, struct passage *v,
			    struct conntrack_entry *entry)
{
	struct conntrack_entry fresh = {};
	__u32 pod_is_origin, was_audited, remembered = 0;
	struct far_end far;
	int reason;

	if (!state || !v || !entry)
		return DROP_REASON_INTERNAL_ERROR;
	if (!v->pod_identity)
		return DROP_REASON_NO_IDENTITY;
	pod_is_origin = (v->hook == POLICY_DIRECTION_EGRESS) == !v->reply;
	v->far_ifindex = pod_is_origin ? entry->ifindex[1] : entry->ifindex[0];
	if (pod_is_origin || v->far_ifindex) {
		find_far_end(state, v->hook == POLICY_DIRECTION_EGRESS ? v->packet.dst_ip : v->packet.src_ip, &far);
		if (!far.identity)
			return DROP_REASON_NO_IDENTITY;
		v->far_identity = far.identity;
	} else if (v->hook == POLICY_DIRECTION_INGRESS) {
		reason = identify_sender(skb, state, v);
		if (reason)
			return reason;
	} else {
		v->far_identity = entry->identity[0];
		remembered = 1;
	}
	set_ends(v, &fresh);
	reason = judge_flow(state, v, &fresh);
	if (reason || remembered)
		return reason; /* the entry keeps its old generation: the next packet is judged again */
	entry->identity[0] = fresh.identity[0];
	entry->identity[1] = fresh.identity[1];
	entry->rule_id[0] = fresh.rule_id[0];
	entry->rule_id[1] = fresh.rule_id[1];
	was_audited = entry->flags & CONNTRACK_AUDITED;
	entry->flags = (entry->flags & ~CONNTRACK_AUDITED) | (fresh.flags & CONNTRACK_AUDITED);
	entry->generation = fresh.generation;
	if ((fresh.flags & CONNTRACK_AUDITED) && !was_audited && state->flow_level >= FLOW_LEVEL_DROPS) {
		report_flow(entry, v->reply, what_of(FLOW_EVENT_TYPE_UPDATE, &v->packet));
	}
	return 0;
}

/* Puts the entry of a new flow in the place of `old`, if there is one, whose flow is over. Returns 0 or -errno. */
static __always_inline long store_flow(const struct datapath_state *state, const struct conntrack_entry *fresh,
				       struct conntrack_entry *old)
{
	/* Unless it was freed at this moment: its slot may be another's now, or become so. */
	if (old && same_key(&old->key, &fresh->key)) {
		report_end(state, old);
		copy_connection(old, fresh);
		if (same_key(&old->key, &fresh->key))
			return 0;
	}
	return conntrack_insert(state, fresh);
}

/* Keeps what a flow's first packet, which may pass, says of it. Returns 0 or the drop reason. */
__noinline int remember_flow(const struct datapath_state *state, const struct passage *v,
			     struct conntrack_entry *fresh, struct conntrack_entry *old)
{
	struct conntrack_entry *entry;
	const struct packet *p;
	long error;

	if (!state || !v || !fresh)
		return DROP_REASON_INTERNAL_ERROR;
	p = &v->packet;
	fresh->key = v->key;
	if (v->source_is_a)
		fresh->flags |= CONNTRACK_ORIGIN_IS_A;
	fresh->last_seen = v->now;
	fresh->last_report = v->now;
	fresh->bytes[0] = v->bytes;
	fresh->packets[0] = v->packets;
	fresh->tcp_flags[0] = p->tcp_flags & TCP_REPORTED;
	error = store_flow(state, fresh, old);
	if (error == -EEXIST)
		return 0; /* another CPU opened it with another packet at this moment; this one is not counted */
	if (error) {
		count(STATISTIC_CONNTRACK_REFUSED);
		return DROP_REASON_CONNTRACK_FULL;
	}
	if (state->flow_level < event_level(fresh->flags))
		return 0;
	entry = conntrack_find(state, &v->key); /* the stored counters are those that the event takes */
	if (entry)
		report_flow(entry, 0, what_of(FLOW_EVENT_TYPE_NEW, p));
	return 0;
}

/* A packet for which no entry vouches (`old` is one under its key) begins a flow, if policy lets it. Returns 0 or the
 * drop reason.
 */
__noinline int open_flow(struct __sk_buff *skb, const struct datapath_state *state, struct passage *v,
			 struct conntrack_entry *old)
{
	struct conntrack_entry fresh = {};
	const struct packet *p;
	int reason;

	if (!state || !v)
		return DROP_REASON_INTERNAL_ERROR;
	p = &v->packet;
	if (only_answers(p))
		return DROP_REASON_CONNTRACK_INVALID;
	v->reply = 0;
	reason = find_ends(skb, state, v);
	if (reason)
		return reason;
	if (v->far_ifindex && p->ttl <= 1)
		return DROP_REASON_TTL_EXCEEDED;
	set_ends(v, &fresh);
	reason = judge_flow(state, v, &fresh);
	if (reason)
		return reason;
	/* Nothing to remember of a reset that belongs to nothing. */
	if (p->protocol == IPPROTO_TCP && (p->tcp_flags & TCP_RST))
		return 0;
	return remember_flow(state, v, &fresh, old);
}

/* Whether `entry` vouches for this packet at this hook, leaving its generation aside. What opens a flow is never a
 * reply, and meets a closing connection as a new one on the same ports.
 */
static __always_inline int entry_covers(const struct conntrack_entry *entry, const struct passage *v)
{
	__u32 pod_is_origin = (v->hook == POLICY_DIRECTION_EGRESS) == !v->reply;
	__u32 pod_ifindex = pod_is_origin ? entry->ifindex[0] : entry->ifindex[1];
	__u8 need = pod_is_origin ? CONNTRACK_EGRESS_ALLOWED : CONNTRACK_INGRESS_ALLOWED;

	if (unlikely(opens_flow(&v->packet) && (v->reply || entry->state >= CONNTRACK_FIN_WAIT)))
		return 0;
	/* And still is the one that was found. */
	return pod_ifindex == v->hook_ifindex && (entry->flags & need) && same_key(&entry->key, &v->key);
}

/* An ICMP error belongs to the flow whose packet it quotes. Returns 0 or a drop reason. */
__noinline int judge_icmp_error(struct __sk_buff *skb, const struct datapath_state *state, const struct passage *v)
{
	const struct packet *outer;
	struct packet inner = {};
	struct conntrack_key key = {};
	struct conntrack_entry *entry;
	struct iphdr ip;
	__u8 ports[8];
	__u32 offset, source_is_a, origin_is_a, reply, pod_end, pod_ip;

	if (!state || !v)
		return DROP_REASON_INTERNAL_ERROR;
	outer = &v->packet;
	offset = outer->l4_offset + 8;
	pod_ip = v->hook == POLICY_DIRECTION_EGRESS ? outer->src_ip : outer->dst_ip;
	if (outer->icmp_type == ICMP_REDIRECT || outer->icmp_type == ICMP_SOURCE_QUENCH)
		return DROP_REASON_ICMP_UNRELATED; /* they steer hosts; nobody has a use for them here */
	if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return DROP_REASON_MALFORMED;
	if (bpf_skb_load_bytes(skb, offset + ip.ihl * 4, ports, sizeof(ports)))
		return DROP_REASON_MALFORMED;
	inner.src_ip = bpf_ntohl(ip.saddr);
	inner.dst_ip = bpf_ntohl(ip.daddr);
	inner.protocol = ip.protocol;
	if (ip.frag_off & bpf_htons(IP_OFFSET))
		return DROP_REASON_ICMP_UNRELATED; /* a later fragment, which has no ports */
	if (has_ports(ip.protocol)) {
		inner.src_port = bpf_ntohs(*(__be16 *)ports);
		inner.dst_port = bpf_ntohs(*(__be16 *)(ports + 2));
	} else if (ip.protocol == IPPROTO_ICMP) {
		read_icmp(&inner, ports);
	}
	/* It goes back to who sent the quoted packet; a pod that reports an error was that packet's target. */
	if (inner.src_ip != outer->dst_ip || (v->hook == POLICY_DIRECTION_EGRESS && inner.dst_ip != pod_ip))
		return DROP_REASON_ICMP_UNRELATED;
	source_is_a = conntrack_key_of(&inner, &key);
	entry = conntrack_find(state, &key);
	/* One that policy has not yet judged anew waits for its flow's next packet, which brings the error again. */
	if (!entry || entry->generation != v->evaluation_generation)
		return DROP_REASON_ICMP_UNRELATED;
	origin_is_a = !!(entry->flags & CONNTRACK_ORIGIN_IS_A);
	reply = source_is_a != origin_is_a;
	/* At the egress hook the pod is the quoted packet's destination, at the ingress hook its source. */
	pod_end = v->hook == POLICY_DIRECTION_EGRESS ? !reply : reply;
	if ((pod_end ? entry->ifindex[1] : entry->ifindex[0]) != v->hook_ifindex)
		return DROP_REASON_ICMP_UNRELATED;
	return 0;
}
