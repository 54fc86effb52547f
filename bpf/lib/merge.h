/* What a dataplane that takes over the connections of an older layout needs of the datapath. */
#pragma once

#include "conntrack.h"
#include "maps.h"

/* Folds a connection, as an older layout's table held it in the end, into the entry that was copied from it before and
 * that has been in use since: its counters began at 0 then. Returns 0 or -errno.
 */
static __always_inline long merge(const struct merge_args *args)
{
	struct conntrack_key key = args->key; /* Linux 6.1 takes no other memory than the stack for a map's key */
	struct conntrack_value old = args->value, *entry;

	entry = bpf_map_lookup_elem(&CONNTRACK, &key);
	if (!entry)
		return bpf_map_update_elem(&CONNTRACK, &key, &old, BPF_NOEXIST);
	/* Taken for a new flow by an answer that came before the copy. */
	if ((entry->flags ^ old.flags) & CONNTRACK_ORIGIN_IS_A)
		return bpf_map_update_elem(&CONNTRACK, &key, &old, BPF_EXIST);
	for (int i = 0; i < 2; i++) {
		__sync_fetch_and_add(&entry->bytes[i], old.bytes[i]);
		__sync_fetch_and_add(&entry->packets[i], old.packets[i]);
		entry->tcp_flags[i] |= old.tcp_flags[i];
	}
	entry->flags |= old.flags;
	if (entry->state < old.state)
		entry->state = old.state;
	if ((__s32)(old.last_seen - entry->last_seen) > 0)
		entry->last_seen = old.last_seen;
	return 0;
}
