/* Counters and flow events. Nothing here is on the path of an established packet that has nothing new to say. */
#pragma once

#include "maps.h"
#include "packet.h"

static __always_inline void count(__u32 statistic)
{
	__u64 *counter = bpf_map_lookup_elem(&STATISTICS, &statistic);

	/* Atomic: collect_garbage counts outside of softirqs, which may interrupt it. */
	if (counter)
		__sync_fetch_and_add(counter, 1);
}

/* A record to fill, already counted; null when the ring is full, which is counted as a lost event. */
static __always_inline struct flow_event *reserve_event(void)
{
	struct flow_event *event = bpf_ringbuf_reserve(&FLOW_EVENTS, sizeof(*event), 0);

	if (!event) {
		count(STATISTIC_EVENTS_LOST);
		return 0;
	}
	count(STATISTIC_EVENTS);
	__builtin_memset(event, 0, sizeof(*event));
	event->timestamp_ns = bpf_ktime_get_ns();
	return event;
}

/* What a drop event says beside the packet. */
struct drop {
	__u32 reason;
	__u32 rule_id;
	__u32 src_identity;
	__u32 dst_identity;
	__u32 bytes;
	__u32 packets;
	__u8 direction; /* of the hook */
	__u8 rule_direction;
};

static __always_inline void fill_drop_event(struct flow_event *event, const struct drop_flow_key *key,
					    const struct drop_flow_value *value, __u64 packets, __u64 bytes)
{
	event->src_ip = key->src_ip;
	event->dst_ip = key->dst_ip;
	event->src_identity = value->src_identity;
	event->dst_identity = value->dst_identity;
	event->rule_id = key->rule_id;
	event->src_port = value->src_port;
	event->dst_port = key->dst_port;
	event->protocol = key->protocol;
	event->tcp_flags = value->tcp_flags;
	event->icmp_type = key->icmp_type;
	event->icmp_code = key->icmp_code;
	event->verdict = POLICY_ACTION_DENY;
	event->drop_reason = key->reason;
	event->event_type = FLOW_EVENT_TYPE_DROP;
	event->direction = key->direction;
	event->rule_direction = key->rule_direction;
	event->packets = packets;
	event->bytes = bytes;
}

/* Counts the drop and reports it: the first of its kind at once, and so a few further attempts from other ports; the
 * rest in one event per interval.
 */
__noinline int drop_packet(const struct datapath_state *state, const struct packet *p, const struct drop *drop)
{
	struct drop_flow_value *value, fresh = {};
	struct drop_flow_key key = {};
	struct flow_event *event;
	__u64 packets, bytes, *counter;
	__u32 reason, now;

	if (!state || !p || !drop)
		return TC_ACT_SHOT;
	reason = drop->reason;
	counter = bpf_map_lookup_elem(&DROP_COUNTERS, &reason);
	if (counter)
		*counter += drop->packets;
	if (state->flow_level < FLOW_LEVEL_DROPS)
		return TC_ACT_SHOT;

	now = (__u32)bpf_jiffies64();
	key.src_ip = p->src_ip;
	key.dst_ip = p->dst_ip;
	key.rule_id = drop->rule_id;
	key.dst_port = p->dst_port;
	key.protocol = p->protocol;
	key.reason = (__u8)reason;
	key.direction = drop->direction;
	key.rule_direction = drop->rule_direction;
	key.icmp_type = p->icmp_type;
	key.icmp_code = p->icmp_code;
	value = bpf_map_lookup_elem(&DROP_FLOWS, &key);
	if (value) {
		__u32 another_attempt = value->src_port != p->src_port;

		value->src_port = p->src_port;
		value->tcp_flags = p->tcp_flags;
		__sync_fetch_and_add(&value->packets, drop->packets);
		__sync_fetch_and_add(&value->bytes, drop->bytes);
		/* Signed: another CPU's clock may have been read later than ours. */
		if ((__s32)(now - value->last_report) < (__s32)state->flow_interval_jiffies) {
			/* Somebody who tries again while watching the drops wants to see it: a few times an interval. */
			if (!another_attempt || value->early_reports >= DROP_EARLY_REPORTS)
				return TC_ACT_SHOT;
			value->early_reports++;
		} else {
			value->last_report = now;
			value->early_reports = 0;
		}
		packets = __sync_lock_test_and_set(&value->packets, 0);
		bytes = __sync_lock_test_and_set(&value->bytes, 0);
		if (!packets)
			return TC_ACT_SHOT; /* another CPU reported them */
	} else {
		fresh.src_identity = drop->src_identity;
		fresh.dst_identity = drop->dst_identity;
		fresh.last_report = now;
		fresh.src_port = p->src_port;
		fresh.tcp_flags = p->tcp_flags;
		bpf_map_update_elem(&DROP_FLOWS, &key, &fresh, BPF_ANY);
		value = &fresh;
		packets = drop->packets;
		bytes = drop->bytes;
	}
	event = reserve_event();
	if (event) {
		fill_drop_event(event, &key, value, packets, bytes);
		bpf_ringbuf_submit(event, 0);
	}
	return TC_ACT_SHOT;
}

/* From which level on the flow of an entry with these flags is reported: what audit would drop counts as a drop. */
static __always_inline __u32 event_level(__u8 flags)
{
	return flags & CONNTRACK_AUDITED ? FLOW_LEVEL_DROPS : FLOW_LEVEL_CONNECTIONS;
}

/* One event for one direction (0 origin's, 1 reply's) of a conntrack entry; takes its counters.
 * what: event type | tcp flags << 8 | icmp type << 16 | icmp code << 24
 */
__noinline int report_flow(struct conntrack_entry *entry, __u32 reply, __u32 what)
{
	struct flow_event *event;
	__u32 source_is_a;

	if (!entry)
		return 0;
	event = reserve_event();
	if (!event)
		return 0; /* the counters stay for the next event */
	source_is_a = !(entry->flags & CONNTRACK_ORIGIN_IS_A) == !!reply;
	event->src_ip = source_is_a ? entry->key.ip_a : entry->key.ip_b;
	event->dst_ip = source_is_a ? entry->key.ip_b : entry->key.ip_a;
	event->src_port = source_is_a ? entry->key.port_a : entry->key.port_b;
	event->dst_port = source_is_a ? entry->key.port_b : entry->key.port_a;
	event->protocol = entry->key.protocol;
	event->src_identity = reply ? entry->identity[1] : entry->identity[0];
	event->dst_identity = reply ? entry->identity[0] : entry->identity[1];
	event->verdict = entry->flags & CONNTRACK_AUDITED ? POLICY_ACTION_AUDIT : POLICY_ACTION_ALLOW;
	/* The decision that was made last, or the first of those that would have dropped the packet. */
	if ((entry->flags & CONNTRACK_INGRESS_ALLOWED) && !(entry->flags & CONNTRACK_EGRESS_AUDITED)) {
		event->rule_id = entry->rule_id[1];
		event->rule_direction = POLICY_DIRECTION_INGRESS;
	} else {
		event->rule_id = entry->rule_id[0];
		event->rule_direction = POLICY_DIRECTION_EGRESS;
	}
	event->event_type = (__u8)what;
	event->tcp_flags = (__u8)(what >> 8);
	event->icmp_type = (__u8)(what >> 16);
	event->icmp_code = (__u8)(what >> 24);
	/* Seen where a pod here sends it, else where the other end's pod receives it. */
	event->direction = (reply ? entry->ifindex[1] : entry->ifindex[0]) ? POLICY_DIRECTION_EGRESS :
									     POLICY_DIRECTION_INGRESS;
	event->is_reply = !!reply;
	if (reply) {
		event->packets = __sync_lock_test_and_set(&entry->packets[1], 0);
		event->bytes = __sync_lock_test_and_set(&entry->bytes[1], 0);
	} else {
		event->packets = __sync_lock_test_and_set(&entry->packets[0], 0);
		event->bytes = __sync_lock_test_and_set(&entry->bytes[0], 0);
	}
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* A flow is over. A direction in which nothing ever came has nothing to say. */
static __always_inline void report_end(const struct datapath_state *state, struct conntrack_entry *entry)
{
	if (state->flow_level < event_level(entry->flags))
		return;
	report_flow(entry, 0, FLOW_EVENT_TYPE_END | (__u32)entry->tcp_flags[0] << 8);
	if (entry->flags & CONNTRACK_REPLY_SEEN)
		report_flow(entry, 1, FLOW_EVENT_TYPE_END | (__u32)entry->tcp_flags[1] << 8);
}
