/* Expiry of conntrack entries and fragments, and the drops that nobody has reported yet. */
#pragma once

#include "conntrack.h"
#include "conntrack_table.h"
#include "endpoint.h"
#include "events.h"
#include "fragment.h"
#include "maps.h"

struct collection {
	struct collect_args *args;
	struct datapath_state *state;
	__u32 now;
};

/* A pod that took part is gone: its address may be another pod's by now. */
static __always_inline int has_left(__u32 ifindex, __u32 ip)
{
	struct pod_iface_value *pod;

	if (!ifindex)
		return 0;
	pod = pod_of_iface(ifindex);
	return !pod || pod->ip != ip;
}

static __always_inline int is_orphan(const struct conntrack_entry *entry)
{
	__u32 origin_is_a = entry->flags & CONNTRACK_ORIGIN_IS_A;

	return has_left(entry->ifindex[0], origin_is_a ? entry->key.ip_a : entry->key.ip_b) ||
	       has_left(entry->ifindex[1], origin_is_a ? entry->key.ip_b : entry->key.ip_a);
}

/* Whether the connection is over; if it is, that is reported. */
static __always_inline int is_over(struct collection *c, struct conntrack_entry *entry)
{
	__u32 class = conntrack_timeout_class(entry);
	__u32 timeout;

	if (class >= TIMEOUT_CLASSES)
		return 0;
	timeout = c->state->timeout_seconds[class] * c->state->hz;
	/* Signed: the entry may have been touched since `now` was read. */
	if ((__s32)(c->now - entry->last_seen) <= (__s32)timeout && !is_orphan(entry)) {
		c->args->conntrack_live++;
		return 0;
	}
	report_end(c->state, entry);
	c->args->conntrack_expired++;
	count(STATISTIC_CONNTRACK_REMOVED);
	return 1;
}

static long collect_slot(void *map, const void *index, void *value, void *context)
{
	struct collection *c = context;
	struct conntrack_entry *entry = &((struct conntrack_slot *)value)->entry;

	(void)map;
	(void)index;
	/* Free, or being filled. */
	if (!entry->key.ip_a)
		return 0;
	if (is_over(c, entry))
		conntrack_free(entry);
	return 0;
}

static long collect_more(void *map, const void *key, void *value, void *context)
{
	struct collection *c = context;

	(void)map;
	if (is_over(c, value))
		conntrack_remove_more(key);
	return 0;
}

static long collect_fragment(void *map, const void *key, void *value, void *context)
{
	struct collection *c = context;
	struct fragment_value *fragment = value;
	struct fragment_key copy; /* a function takes no read-only memory */

	(void)map;
	if ((__s32)(c->now - fragment->last_seen) <= (__s32)(c->state->timeout_seconds[TIMEOUT_FRAGMENT] * c->state->hz)) {
		c->args->fragments_live++;
		return 0;
	}
	copy = *(const struct fragment_key *)key;
	fragment_forget(&copy);
	c->args->fragments_expired++;
	return 0;
}

static long collect_drop(void *map, const void *key, void *value, void *context)
{
	struct collection *c = context;
	struct drop_flow_value *drop = value;
	struct flow_event *event;
	__u64 packets, bytes;

	if ((__s32)(c->now - drop->last_report) < (__s32)c->state->flow_interval_jiffies)
		return 0;
	packets = __sync_lock_test_and_set(&drop->packets, 0);
	bytes = __sync_lock_test_and_set(&drop->bytes, 0);
	if (!packets) {
		/* Quiet for a whole interval: the next drop of its kind is news again. */
		bpf_map_delete_elem(map, key);
		return 0;
	}
	drop->last_report = c->now;
	drop->early_reports = 0;
	event = reserve_event();
	if (event) {
		fill_drop_event(event, key, drop, packets, bytes);
		bpf_ringbuf_submit(event, 0);
		c->args->drop_flows_reported++;
	}
	return 0;
}

static __always_inline int collect(struct collect_args *args)
{
	__u32 zero = 0;
	struct collection c = { .args = args };

	c.state = bpf_map_lookup_elem(&DATAPATH_STATE, &zero);
	if (!c.state || !c.state->hz)
		return -1;
	c.now = (__u32)args->jiffies;
	bpf_for_each_map_elem(&CONNTRACK, collect_slot, &c, 0);
	bpf_for_each_map_elem(&CONNTRACK_MORE, collect_more, &c, 0);
	bpf_for_each_map_elem(&FRAGMENTS, collect_fragment, &c, 0);
	bpf_for_each_map_elem(&DROP_FLOWS, collect_drop, &c, 0);
	return 0;
}
