/* One policy decision: may `peer` and the selected identity talk, as the policies of that direction see it?
 *
 * Most specific key wins: first by how many identities it names, then protocol and longest port prefix; deny beats
 * allow at the same specificity; then the isolation of the selected identity; then the default.
 */
#pragma once

#include "maps.h"
#include "packet.h"

/* Rule ids that no policy has; the agent knows their names. */
enum reserved_rule {
	RULE_NONE = 0,
	RULE_DEFAULT_DENY = 1,
	RULE_DEFAULT_ALLOW = 2,
};

struct decision {
	/* in */
	__u32 selected;
	__u32 peer;
	__u32 peer_cidr; /* 0: none */
	__u32 policy_generation; /* read once per packet, so that both its decisions see one set */
	__u32 staging;		 /* datapath_state.policy_staging */
	__u16 port;
	__u8 protocol;
	__u8 direction; /* POLICY_DIRECTION_INGRESS or _EGRESS */
	struct policy_shape selected_shape;
	struct policy_shape wildcard_shape;
	struct policy_shape both_shape;
	/* of the entry looked at last */
	__u32 found_action;
	__u32 found_rule_id;
	/* out */
	__u32 rule_id;
	__u32 action;
};

/* The version in force of a value that nobody writes meanwhile. */
static __always_inline void read_version(const struct policy_value *value, struct decision *d)
{
	if ((__s32)(d->policy_generation - value->generation) >= 0) {
		d->found_action = value->action[1];
		d->found_rule_id = value->rule_id[1];
	} else {
		d->found_action = value->action[0];
		d->found_rule_id = value->rule_id[0];
	}
}

/* Fills d->found_action, POLICY_ABSENT when there is no entry, and d->found_rule_id. */
static __always_inline void policy_lookup(const struct policy_key *key, struct decision *d)
{
	struct policy_value *value = bpf_map_lookup_elem(&POLICIES, key);

	d->found_action = POLICY_ABSENT;
	if (!value)
		return;
	/* The lock costs more than all the rest: it is taken only while user space may write values in place. */
	if (likely(!d->staging)) {
		read_version(value, d);
		return;
	}
	bpf_spin_lock(&value->lock);
	read_version(value, d);
	bpf_spin_unlock(&value->lock);
}

/* Tries one (selected, peer) pair in one direction value; deny beats what was found before at this specificity. */
static __always_inline void try_pair(struct decision *d, struct policy_key *key, __u8 direction, __u32 selected,
				     __u32 peer)
{
	key->direction = direction;
	if (d->direction == POLICY_DIRECTION_INGRESS) {
		key->src_identity = peer;
		key->dst_identity = selected;
	} else {
		key->src_identity = selected;
		key->dst_identity = peer;
	}
	policy_lookup(key, d);
	if (d->found_action == POLICY_ABSENT ||
	    (d->action != POLICY_ABSENT && d->found_action != POLICY_ACTION_DENY))
		return;
	d->action = d->found_action;
	d->rule_id = d->found_rule_id;
}

/* All pairs of one level for one protocol and port prefix: level 2 names both identities, 1 one, 0 none. */
__noinline int try_shape(struct decision *d, __u32 level, __u32 protocol, __u32 prefix_len)
{
	struct policy_key key = {};
	__u32 bit, selected, wildcard, both;

	if (!d || prefix_len > 16)
		return 0;
	bit = 1u << prefix_len;
	if (protocol) {
		selected = d->selected_shape.exact_protocol & bit;
		wildcard = d->wildcard_shape.exact_protocol & bit;
		both = d->both_shape.exact_protocol & bit;
	} else {
		selected = d->selected_shape.any_protocol & bit;
		wildcard = d->wildcard_shape.any_protocol & bit;
		both = d->both_shape.any_protocol & bit;
	}
	key.protocol = (__u8)protocol;
	key.prefix_len = (__u8)prefix_len;
	key.dst_port = (__u16)(d->port & (0xffff0000u >> prefix_len));

	if (level == 2) {
		if (selected)
			try_pair(d, &key, d->direction, d->selected, d->peer);
		if (both)
			try_pair(d, &key, POLICY_DIRECTION_BOTH, d->selected, d->peer);
		if (selected && d->peer_cidr)
			try_pair(d, &key, d->direction, d->selected, d->peer_cidr);
		if (both && d->peer_cidr)
			try_pair(d, &key, POLICY_DIRECTION_BOTH, d->selected, d->peer_cidr);
	} else if (level == 1) {
		if (selected)
			try_pair(d, &key, d->direction, d->selected, 0);
		if (wildcard)
			try_pair(d, &key, d->direction, 0, d->peer);
		if (wildcard && d->peer_cidr)
			try_pair(d, &key, d->direction, 0, d->peer_cidr);
		if (both) {
			try_pair(d, &key, POLICY_DIRECTION_BOTH, d->selected, 0);
			try_pair(d, &key, POLICY_DIRECTION_BOTH, 0, d->peer);
		}
		if (both && d->peer_cidr)
			try_pair(d, &key, POLICY_DIRECTION_BOTH, 0, d->peer_cidr);
	} else {
		if (wildcard)
			try_pair(d, &key, d->direction, 0, 0);
		if (both)
			try_pair(d, &key, POLICY_DIRECTION_BOTH, 0, 0);
	}
	return 0;
}

static __always_inline int has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

/* The number of the highest bit of 17, one of which is set. */
static __always_inline __u32 highest_bit(__u32 bits)
{
	__u32 number = 0;

	if (bits >> 16)
		return 16;
	if (bits >> 8) {
		number = 8;
		bits >>= 8;
	}
	if (bits >> 4) {
		number += 4;
		bits >>= 4;
	}
	if (bits >> 2) {
		number += 2;
		bits >>= 2;
	}
	return number + (bits >> 1);
}

/* Tries the port prefix lengths in `lengths` (bit n: length n), the longest first, until an entry is found. */
static __always_inline void try_lengths(struct decision *d, __u32 level, __u32 protocol, __u32 lengths)
{
	for (int i = 0; i < 17; i++) {
		__u32 length;

		if (!lengths || d->action != POLICY_ABSENT)
			break;
		length = highest_bit(lengths);
		lengths &= ~(1u << length);
		try_shape(d, level, protocol, length);
	}
}

__noinline int try_level(struct decision *d, __u32 level)
{
	__u32 exact, any, lengths;

	if (!d)
		return 0;
	exact = d->selected_shape.exact_protocol | d->wildcard_shape.exact_protocol | d->both_shape.exact_protocol;
	any = d->selected_shape.any_protocol | d->wildcard_shape.any_protocol | d->both_shape.any_protocol;
	lengths = has_ports(d->protocol) ? 0x1ffff : 1; /* what has no port matches no port */
	try_lengths(d, level, d->protocol, exact & lengths);
	try_lengths(d, level, 0, any & lengths);
	return 0;
}

/* Fills d->action (POLICY_ACTION_*) and d->rule_id. */
static __noinline void decide(const struct datapath_state *state, struct decision *d)
{
	struct policy_shape_key shape_key = { .identity = d->selected, .direction = d->direction };
	struct policy_shape_value *shape = bpf_map_lookup_elem(&POLICY_SHAPES, &shape_key);
	struct policy_key isolation = { .direction = d->direction, .kind = POLICY_KIND_ISOLATION };
	__u32 direction = d->direction;

	d->action = POLICY_ABSENT;
	d->rule_id = RULE_NONE;
	d->selected_shape = (struct policy_shape){};
	if (shape) /* without its lock, which costs 45 ns: see maps.h */
		d->selected_shape = shape->shape;
	d->wildcard_shape = direction == POLICY_DIRECTION_INGRESS ? state->wildcard_shapes[POLICY_DIRECTION_INGRESS] :
								    state->wildcard_shapes[POLICY_DIRECTION_EGRESS];
	d->both_shape = state->wildcard_shapes[POLICY_DIRECTION_BOTH];

	try_level(d, 2);
	if (d->action == POLICY_ABSENT)
		try_level(d, 1);
	if (d->action == POLICY_ABSENT)
		try_level(d, 0);
	if (d->action != POLICY_ABSENT)
		return;

	if (direction == POLICY_DIRECTION_INGRESS)
		isolation.dst_identity = d->selected;
	else
		isolation.src_identity = d->selected;
	policy_lookup(&isolation, d);
	d->action = d->found_action;
	d->rule_id = d->found_rule_id;
	if (d->action != POLICY_ABSENT)
		return;
	d->action = state->default_deny ? POLICY_ACTION_DENY : POLICY_ACTION_ALLOW;
	d->rule_id = state->default_deny ? RULE_DEFAULT_DENY : RULE_DEFAULT_ALLOW;
}
