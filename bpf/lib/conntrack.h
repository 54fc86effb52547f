/* Connections: one entry for both directions, found with one lookup under a normalised key. */
#pragma once

#include "events.h"
#include "maps.h"
#include "packet.h"

/* Returns 1 when the packet's source is end A of the key. */
static __always_inline int conntrack_key_of(const struct packet *p, struct conntrack_key *key)
{
	int source_is_a = p->src_ip < p->dst_ip || (p->src_ip == p->dst_ip && p->src_port <= p->dst_port);
	__u64 *words = (__u64 *)key;

	/* Two whole words, as the hash reads them: a load that spans narrower stores waits for them (3 ns of 75). */
	words[0] = (source_is_a ? p->src_ip : p->dst_ip) | (__u64)(source_is_a ? p->dst_ip : p->src_ip) << 32;
	words[1] = (source_is_a ? p->src_port : p->dst_port) |
		   (__u32)(source_is_a ? p->dst_port : p->src_port) << 16 | (__u64)p->protocol << 32;
	return source_is_a;
}

/* A packet that asks for something new: never a reply, whatever entry it meets. */
static __always_inline int opens_flow(const struct packet *p)
{
	if (p->protocol == IPPROTO_TCP)
		return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	if (p->protocol == IPPROTO_SCTP)
		return p->sctp_chunk == SCTP_INIT;
	return p->protocol == IPPROTO_ICMP && is_icmp_request(p->icmp_type);
}

/* A packet that only answers something: without an entry there is nothing that it could answer. */
static __always_inline int only_answers(const struct packet *p)
{
	if (p->protocol == IPPROTO_TCP)
		return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);
	if (p->protocol == IPPROTO_SCTP)
		return p->sctp_chunk == SCTP_INIT_ACK;
	return p->protocol == IPPROTO_ICMP && is_icmp_reply(p->icmp_type);
}

static __always_inline int is_icmp_error(const struct packet *p)
{
	if (p->protocol != IPPROTO_ICMP)
		return 0;
	return p->icmp_type == ICMP_UNREACHABLE || p->icmp_type == ICMP_TIME_EXCEEDED ||
	       p->icmp_type == ICMP_PARAMETER_PROBLEM || p->icmp_type == ICMP_REDIRECT ||
	       p->icmp_type == ICMP_SOURCE_QUENCH;
}

/* Moves the TCP state on. Returns 1 when this direction shows a flag that it had not shown. */
static __always_inline int conntrack_tcp(struct conntrack_entry *entry, __u32 reply, __u8 flags)
{
	__u8 seen = reply ? entry->tcp_flags[1] : entry->tcp_flags[0];
	__u8 other = reply ? entry->tcp_flags[0] : entry->tcp_flags[1];
	__u8 fresh;

	flags &= TCP_REPORTED;
	fresh = flags & ~seen;
	if (likely(!fresh && entry->state == CONNTRACK_ESTABLISHED))
		return 0;
	if (fresh) {
		if (reply)
			entry->tcp_flags[1] = seen | flags;
		else
			entry->tcp_flags[0] = seen | flags;
	}
	if (flags & TCP_RST)
		entry->state = CONNTRACK_CLOSED;
	if (entry->state != CONNTRACK_CLOSED) {
		if (entry->state == CONNTRACK_NEW && reply && (flags & TCP_SYN))
			entry->state = CONNTRACK_SYN_RECEIVED;
		else if (entry->state == CONNTRACK_NEW && reply && !(other & TCP_SYN))
			entry->state = CONNTRACK_ESTABLISHED; /* taken up in the middle, and answered */
		else if (entry->state == CONNTRACK_SYN_RECEIVED && !reply && (flags & TCP_ACK))
			entry->state = CONNTRACK_ESTABLISHED;
		if ((flags & TCP_FIN) && entry->state >= CONNTRACK_ESTABLISHED)
			entry->state = other & TCP_FIN ? CONNTRACK_CLOSING : CONNTRACK_FIN_WAIT;
	}
	return !!(fresh & (TCP_SYN | TCP_FIN | TCP_RST));
}

/* report_flow's argument for the event of one packet. */
static __always_inline __u32 what_of(__u32 event_type, const struct packet *p)
{
	return event_type | (__u32)p->tcp_flags << 8 | (__u32)p->icmp_type << 16 | (__u32)p->icmp_code << 24;
}

/* Counts the packet on its entry and reports what is worth an event. */
static __always_inline void conntrack_account(const struct datapath_state *state, struct conntrack_entry *entry,
					      const struct packet *p, __u32 reply,
					      __u32 bytes, __u32 packets, __u32 now)
{
	int news = 0;

	if (reply) {
		__sync_fetch_and_add(&entry->bytes[1], bytes);
		__sync_fetch_and_add(&entry->packets[1], packets);
	} else {
		__sync_fetch_and_add(&entry->bytes[0], bytes);
		__sync_fetch_and_add(&entry->packets[0], packets);
	}
	if (entry->last_seen != now)
		entry->last_seen = now;
	if (p->protocol == IPPROTO_TCP)
		news = conntrack_tcp(entry, reply, p->tcp_flags);
	if (unlikely(reply && !(entry->flags & CONNTRACK_REPLY_SEEN))) {
		entry->flags |= CONNTRACK_REPLY_SEEN;
		if (p->protocol != IPPROTO_TCP)
			entry->state = CONNTRACK_ESTABLISHED;
		news = 1;
	}
	if (unlikely(news)) {
		if (state->flow_level >= event_level(entry->flags))
			report_flow(entry, reply, what_of(FLOW_EVENT_TYPE_UPDATE, p));
	} else if (unlikely((__s32)(now - entry->last_report) >= (__s32)state->flow_interval_jiffies)) {
		entry->last_report = now;
		if (state->flow_level < event_level(entry->flags))
			return;
		/* Without summaries, long flows report only before their counters of packets overflow. */
		if (state->flow_level < FLOW_LEVEL_ALL && !((entry->packets[0] | entry->packets[1]) >> 31))
			return;
		if (entry->packets[0])
			report_flow(entry, 0, FLOW_EVENT_TYPE_UPDATE | (__u32)entry->tcp_flags[0] << 8);
		if (entry->packets[1])
			report_flow(entry, 1, FLOW_EVENT_TYPE_UPDATE | (__u32)entry->tcp_flags[1] << 8);
	}
}

/* How long an entry lives without a packet. A connection that one end has closed may still carry the other's data for
 * as long as it likes.
 */
static __always_inline __u32 conntrack_timeout_class(const struct conntrack_entry *entry)
{
	switch (entry->key.protocol) {
	case IPPROTO_TCP:
		if (entry->state < CONNTRACK_ESTABLISHED)
			return TIMEOUT_TCP_SYN;
		return entry->state > CONNTRACK_FIN_WAIT ? TIMEOUT_TCP_CLOSING : TIMEOUT_TCP_ESTABLISHED;
	case IPPROTO_UDP:
		return entry->state == CONNTRACK_ESTABLISHED ? TIMEOUT_UDP_STREAM : TIMEOUT_UDP_NEW;
	case IPPROTO_SCTP:
		return TIMEOUT_SCTP;
	case IPPROTO_ICMP:
		return TIMEOUT_ICMP;
	default:
		return TIMEOUT_OTHER;
	}
}
