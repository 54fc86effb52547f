/* Fragments: the first decides for the datagram and leaves its ports here; later ones follow it in order.
 *
 * A fragment that begins before the end of what was seen overlaps, and poisons its datagram: two readings of one
 * datagram is how fragments get around a filter (RFC 1858, RFC 3128). One without a first fragment is an orphan.
 */
#pragma once

#include "events.h"
#include "maps.h"
#include "packet.h"

static __always_inline struct fragment_key fragment_key_of(const struct packet *p, __u32 ifindex, __u8 direction)
{
	struct fragment_key key = {
		.src_ip = p->src_ip,
		.dst_ip = p->dst_ip,
		.hook_ifindex = ifindex,
		.id = p->fragment_id,
		.protocol = p->protocol,
		.direction = direction,
	};

	return key;
}

static __always_inline __s32 *fragment_count(__u32 ifindex)
{
	__u32 slot = ifindex % POD_IFACE_SLOTS;

	return bpf_map_lookup_elem(&FRAGMENT_COUNTS, &slot);
}

/* Forgets a datagram, which another CPU may do at the same time. */
static __always_inline void fragment_forget(const struct fragment_key *key)
{
	__s32 *count = fragment_count(key->hook_ifindex);

	/* A new layout begins to count at 0, whatever it took over: what was never counted is not taken off. */
	if (!bpf_map_delete_elem(&FRAGMENTS, key) && count && __sync_fetch_and_add(count, -1) <= 0)
		__sync_fetch_and_add(count, 1);
}

/* A later fragment: gives it the first one's ports. Returns 0 or a drop reason. */
__noinline int fragment_follow(struct packet *p, __u32 ifindex, __u32 direction)
{
	struct fragment_key key;
	struct fragment_value *seen;

	if (!p)
		return DROP_REASON_INTERNAL_ERROR;
	key = fragment_key_of(p, ifindex, (__u8)direction);
	seen = bpf_map_lookup_elem(&FRAGMENTS, &key);
	if (!seen)
		return DROP_REASON_FRAGMENT_ORPHAN;
	if (seen->poisoned || p->fragment_offset < seen->next_offset) {
		seen->poisoned = 1;
		return DROP_REASON_FRAGMENT_OVERLAP;
	}
	p->src_port = seen->src_port;
	p->dst_port = seen->dst_port;
	p->icmp_type = seen->icmp_type;
	p->icmp_code = seen->icmp_code;
	if (p->last_fragment && p->fragment_offset == seen->next_offset) {
		fragment_forget(&key); /* the datagram is whole */
		return 0;
	}
	seen->next_offset = p->fragment_offset + p->fragment_bytes;
	seen->last_seen = (__u32)bpf_jiffies64();
	return 0;
}

/* Remembers a datagram, unless its interface has its share already. Returns 0 or -errno. */
static __always_inline long fragment_remember(const struct datapath_state *state, const struct fragment_key *key,
					      const struct fragment_value *fresh)
{
	__s32 *count = fragment_count(key->hook_ifindex);
	long error = -ENOMEM;

	if (!count)
		return error;
	if (__sync_fetch_and_add(count, 1) < (__s32)state->fragment_quota)
		error = bpf_map_update_elem(&FRAGMENTS, key, fresh, BPF_NOEXIST);
	if (error)
		__sync_fetch_and_add(count, -1);
	return error;
}

/* A first fragment whose datagram was allowed. Returns 0 or a drop reason. */
__noinline int fragment_begin(const struct datapath_state *state, const struct packet *p, __u32 ifindex,
			      __u32 direction)
{
	struct fragment_value *seen, fresh = {};
	struct fragment_key key;
	long error;

	if (!state || !p)
		return DROP_REASON_INTERNAL_ERROR;
	key = fragment_key_of(p, ifindex, (__u8)direction);
	seen = bpf_map_lookup_elem(&FRAGMENTS, &key);
	if (seen) {
		seen->poisoned = 1; /* a second first fragment of a datagram that is still arriving */
		return DROP_REASON_FRAGMENT_OVERLAP;
	}
	fresh.last_seen = (__u32)bpf_jiffies64();
	fresh.next_offset = p->fragment_bytes;
	fresh.src_port = p->src_port;
	fresh.dst_port = p->dst_port;
	fresh.icmp_type = p->icmp_type;
	fresh.icmp_code = p->icmp_code;
	error = fragment_remember(state, &key, &fresh);
	if (!error)
		return 0;
	if (error == -EEXIST)
		return DROP_REASON_FRAGMENT_OVERLAP; /* another CPU has one just now */
	count(STATISTIC_FRAGMENT_REFUSED);
	return DROP_REASON_FRAGMENT_TABLE_FULL;
}
