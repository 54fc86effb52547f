/* From bytes to a struct packet, or a drop reason. Nothing that is not well-formed IPv4 gets past here. */
#pragma once

#include "gen/enums.h"
#include "kernel.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

enum tcp_flag {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
	TCP_REPORTED = TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK,
};

enum icmp_message {
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_SOURCE_QUENCH = 4,
	ICMP_REDIRECT = 5,
	ICMP_ECHO_REQUEST = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER_PROBLEM = 12,
	ICMP_TIMESTAMP_REQUEST = 13,
	ICMP_TIMESTAMP_REPLY = 14,
	ICMP_INFORMATION_REQUEST = 15,
	ICMP_INFORMATION_REPLY = 16,
	ICMP_MASK_REQUEST = 17,
	ICMP_MASK_REPLY = 18,
};

enum sctp_chunk {
	SCTP_INIT = 1,
	SCTP_INIT_ACK = 2,
};

enum fragment_kind {
	FRAGMENT_NONE = 0,
	FRAGMENT_FIRST = 1,
	FRAGMENT_LATER = 2,
};

/* The Ethernet header, and with it the source's MAC, is left to the caller: it has skb->data. */
struct packet {
	__u32 src_ip;
	__u32 dst_ip;
	__u16 src_port;
	__u16 dst_port;
	__u8 protocol;
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 sctp_chunk; /* type of the first one */
	__u8 ttl;
	__u16 l4_offset;
	__u8 fragment;	    /* enum fragment_kind */
	__u8 last_fragment;
	__u16 fragment_id;
	__u16 fragment_offset; /* bytes */
	__u32 fragment_bytes;
};

enum {
	L4_BYTES_NEEDED_ICMP = 8,
	L4_BYTES_NEEDED_TCP = 20,
	L4_BYTES_NEEDED_UDP = 8,
	L4_BYTES_NEEDED_SCTP = 16, /* with the head of the first chunk */
};

/* Makes the first `bytes` of the packet directly readable; the caller must load skb->data again. */
static __always_inline int make_linear(struct __sk_buff *skb, __u32 bytes)
{
	if (likely((void *)(long)skb->data + bytes <= (void *)(long)skb->data_end))
		return 0;
	if (skb->len < bytes)
		return -1;
	return (int)bpf_skb_pull_data(skb, bytes);
}

enum {
	IP_OPTIONS_MAX = 40,
	IP_OPTION_END = 0,
	IP_OPTION_NOP = 1,
	IP_OPTION_LOOSE_ROUTE = 131,
	IP_OPTION_STRICT_ROUTE = 137,
};

/* Source routes would let the sender choose who sees the packet next, so they drop; malformed lists too (RFC 791). */
static __noinline int check_ip_options(struct __sk_buff *skb, __u32 bytes)
{
	__u8 options[IP_OPTIONS_MAX] = {};
	__u32 next = 0;

	if (bytes < 4 || bytes > IP_OPTIONS_MAX)
		return DROP_REASON_MALFORMED;
	if (bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(struct iphdr), options, bytes))
		return DROP_REASON_MALFORMED;
	for (__u32 i = 0; i < IP_OPTIONS_MAX; i++) {
		__u8 type, length;

		if (i >= bytes)
			break;
		if (i < next)
			continue;
		type = options[i];
		if (type == IP_OPTION_END)
			break;
		if (type == IP_OPTION_NOP) {
			next = i + 1;
			continue;
		}
		if (type == IP_OPTION_LOOSE_ROUTE || type == IP_OPTION_STRICT_ROUTE)
			return DROP_REASON_IP_OPTIONS;
		if (i + 1 >= bytes || i + 1 >= IP_OPTIONS_MAX)
			return DROP_REASON_MALFORMED;
		length = options[i + 1];
		if (length < 2 || i + length > bytes)
			return DROP_REASON_MALFORMED;
		next = i + length;
	}
	return 0;
}

static __always_inline int ethertype_reason(__be16 protocol)
{
	switch (bpf_ntohs(protocol)) {
	case ETH_P_IPV6:
		return DROP_REASON_IPV6;
	case ETH_P_8021Q:
	case ETH_P_8021AD:
		return DROP_REASON_VLAN;
	default:
		return DROP_REASON_UNSUPPORTED_ETHERTYPE;
	}
}

static __always_inline int is_icmp_request(__u8 type)
{
	return type == ICMP_ECHO_REQUEST || type == ICMP_TIMESTAMP_REQUEST || type == ICMP_INFORMATION_REQUEST ||
	       type == ICMP_MASK_REQUEST;
}

static __always_inline int is_icmp_reply(__u8 type)
{
	return type == ICMP_ECHO_REPLY || type == ICMP_TIMESTAMP_REPLY || type == ICMP_INFORMATION_REPLY ||
	       type == ICMP_MASK_REPLY;
}

/* Requests carry an identifier, which stands for the requester's port, and replies repeat it. */
static __always_inline void read_icmp(struct packet *p, const __u8 *icmp)
{
	p->icmp_type = icmp[0];
	p->icmp_code = icmp[1];
	if (is_icmp_request(p->icmp_type))
		p->src_port = bpf_ntohs(*(__be16 *)(icmp + 4));
	else if (is_icmp_reply(p->icmp_type))
		p->dst_port = bpf_ntohs(*(__be16 *)(icmp + 4));
}

/* Reads ports, flags and types. `l4_bytes` is what the IP header leaves for the transport in this packet. */
static __always_inline int parse_transport(struct __sk_buff *skb, struct packet *p, __u32 l4_bytes)
{
	__u32 offset = p->l4_offset & 127, needed = 0; /* 74 at most; the mask tells the verifier */
	__u8 *l4;

	switch (p->protocol) {
	case IPPROTO_TCP:
		needed = L4_BYTES_NEEDED_TCP;
		break;
	case IPPROTO_UDP:
		needed = L4_BYTES_NEEDED_UDP;
		break;
	case IPPROTO_ICMP:
		needed = L4_BYTES_NEEDED_ICMP;
		break;
	case IPPROTO_SCTP:
		needed = L4_BYTES_NEEDED_SCTP;
		break;
	default:
		return 0; /* no ports: 0 and 0 */
	}
	if (l4_bytes < needed)
		return DROP_REASON_MALFORMED;
	if (unlikely(make_linear(skb, offset + needed)))
		return DROP_REASON_MALFORMED;
	l4 = (void *)(long)skb->data + offset;
	if ((void *)(l4 + L4_BYTES_NEEDED_UDP) > (void *)(long)skb->data_end)
		return DROP_REASON_MALFORMED;

	if (p->protocol == IPPROTO_ICMP) {
		read_icmp(p, l4);
		return 0;
	}
	p->src_port = bpf_ntohs(*(__be16 *)l4);
	p->dst_port = bpf_ntohs(*(__be16 *)(l4 + 2));
	if (p->protocol == IPPROTO_TCP) {
		__u8 header_bytes;

		if ((void *)(l4 + L4_BYTES_NEEDED_TCP) > (void *)(long)skb->data_end)
			return DROP_REASON_MALFORMED;
		header_bytes = (l4[12] >> 4) * 4;
		p->tcp_flags = l4[13];
		if (header_bytes < L4_BYTES_NEEDED_TCP || header_bytes > l4_bytes)
			return DROP_REASON_MALFORMED;
		/* No stack sends these; scanners do. */
		if (!(p->tcp_flags & TCP_REPORTED) || (p->tcp_flags & (TCP_SYN | TCP_FIN)) == (TCP_SYN | TCP_FIN) ||
		    (p->tcp_flags & (TCP_SYN | TCP_RST)) == (TCP_SYN | TCP_RST))
			return DROP_REASON_MALFORMED;
	} else if (p->protocol == IPPROTO_UDP) {
		__u32 length = bpf_ntohs(*(__be16 *)(l4 + 4));

		/* The length of a fragmented datagram is that of the whole; of a segmented one, of all segments. */
		if (length < L4_BYTES_NEEDED_UDP ||
		    (p->fragment == FRAGMENT_NONE && length > l4_bytes))
			return DROP_REASON_MALFORMED;
	} else {
		if ((void *)(l4 + L4_BYTES_NEEDED_SCTP) > (void *)(long)skb->data_end)
			return DROP_REASON_MALFORMED;
		p->sctp_chunk = l4[12];
		if (!p->src_port || !p->dst_port)
			return DROP_REASON_MALFORMED; /* SCTP has no port 0 (RFC 9260) */
	}
	return 0;
}

/* Fills p (zeroed by the caller). Returns 0 or a drop reason; after it, skb->data must be loaded again.
 * Inline, unlike the rest: a call costs an established packet 9 ns.
 */
static __always_inline int parse_packet(struct __sk_buff *skb, struct packet *p)
{
	struct ethhdr *eth;
	struct iphdr *ip;
	__u32 header_bytes, total_bytes, fragment;
	__be16 protocol;

	if (unlikely(skb->vlan_present))
		return DROP_REASON_VLAN;
	if (unlikely(make_linear(skb, ETH_HLEN + sizeof(*ip)))) {
		/* Too short for IPv4; say what it was when it is not. */
		if (skb->protocol != bpf_htons(ETH_P_IP))
			return ethertype_reason((__be16)skb->protocol);
		return DROP_REASON_MALFORMED;
	}
	eth = (void *)(long)skb->data;
	ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return DROP_REASON_MALFORMED;
	protocol = eth->h_proto;
	if (unlikely(protocol != bpf_htons(ETH_P_IP)))
		return ethertype_reason(protocol);

	header_bytes = ip->ihl * 4;
	total_bytes = bpf_ntohs(ip->tot_len);
	if (unlikely(!total_bytes)) {
		/* BIG TCP: too long for the field, which the kernel leaves 0 (only on a segmented TCP packet). */
		if (!skb->gso_segs || ip->protocol != IPPROTO_TCP)
			return DROP_REASON_MALFORMED;
		total_bytes = skb->len - ETH_HLEN;
	}
	if (unlikely(ip->version != 4 || header_bytes < sizeof(*ip) || total_bytes < header_bytes ||
		     total_bytes + ETH_HLEN > skb->len))
		return DROP_REASON_MALFORMED;

	p->src_ip = bpf_ntohl(ip->saddr);
	p->dst_ip = bpf_ntohl(ip->daddr);
	p->protocol = ip->protocol;
	p->ttl = ip->ttl;
	p->l4_offset = ETH_HLEN + header_bytes;
	fragment = bpf_ntohs(ip->frag_off);
	if (unlikely(fragment & (IP_MF | IP_OFFSET))) {
		p->fragment = fragment & IP_OFFSET ? FRAGMENT_LATER : FRAGMENT_FIRST;
		p->last_fragment = !(fragment & IP_MF);
		p->fragment_id = bpf_ntohs(ip->id);
		p->fragment_offset = (fragment & IP_OFFSET) * 8;
		p->fragment_bytes = total_bytes - header_bytes;
		/* All but the last carry a multiple of 8 (RFC 791), and none reaches beyond the largest datagram. */
		if (!p->fragment_bytes || (!p->last_fragment && (p->fragment_bytes & 7)) ||
		    p->fragment_offset + p->fragment_bytes + header_bytes > 65535)
			return DROP_REASON_MALFORMED;
	}
	if (unlikely(header_bytes > sizeof(*ip))) {
		int reason;

		/* What is not linear may be a sender's own memory, which it could change once it was checked. */
		if (make_linear(skb, ETH_HLEN + header_bytes))
			return DROP_REASON_MALFORMED;
		reason = check_ip_options(skb, header_bytes - sizeof(*ip));
		if (reason)
			return reason;
	}
	if (unlikely(p->fragment == FRAGMENT_LATER))
		return 0; /* its ports are those of the first: lib/fragment.h */
	return parse_transport(skb, p, total_bytes - header_bytes);
}
