/* What the dataplane daemon asks of the table of connections, which user space cannot search: see conntrack_table.h. */
#pragma once

#include "conntrack.h"
#include "conntrack_table.h"
#include "maps.h"

/* Folds a connection, as an older layout's table held it in the end, into the entry that was copied from it before and
 * that has been in use since: its counters began at 0 then.
 */
static __always_inline void merge_connection(struct conntrack_entry *entry, const struct conntrack_entry *old)
{
	/* Taken for a new flow by an answer that came before the copy. */
	if ((entry->flags ^ old->flags) & CONNTRACK_ORIGIN_IS_A) {
		copy_connection(entry, old);
		return;
	}
	for (int i = 0; i < 2; i++) {
		__sync_fetch_and_add(&entry->bytes[i], old->bytes[i]);
		__sync_fetch_and_add(&entry->packets[i], old->packets[i]);
		entry->tcp_flags[i] |= old->tcp_flags[i];
	}
	entry->flags |= old->flags;
	if (entry->state < old->state)
		entry->state = old->state;
	if ((__s32)(old->last_seen - entry->last_seen) > 0)
		entry->last_seen = old->last_seen;
}

/* Returns 0 or -errno. */
static __always_inline long call_connection(struct connection_args *args)
{
	__u32 zero = 0;
	struct conntrack_entry given = args->entry, *entry;
	struct datapath_state *state = bpf_map_lookup_elem(&DATAPATH_STATE, &zero);

	if (!state)
		return -ENOENT;
	entry = conntrack_find(state, &given.key);
	if (args->operation == CONNECTION_FIND) {
		if (!entry)
			return -ENOENT;
		copy_connection(&args->entry, entry);
		return 0;
	}
	if (!entry)
		return conntrack_insert(state, &given);
	if (args->operation == CONNECTION_COPY)
		return -EEXIST;
	merge_connection(entry, &given);
	return 0;
}
