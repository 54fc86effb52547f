/* Where connections are kept: a hash table in an array, without locks.
 *
 * A connection has a group of CONNTRACK_WAYS slots by its hash, and a place in it where the search begins. Whoever
 * inserts claims a free slot by compare-and-swap of its first word (0 -> CLAIMED), fills it, and publishes it by
 * writing the key's first word last. Only collect_garbage frees slots, one run at a time. When a group is full,
 * CONNTRACK_MORE takes the connection; when that is full too, it is refused.
 *
 * A reader compares the whole key, and again after it has read what it decides by: a slot that was
 * freed and filled meanwhile is then not the one it looked for.
 */
#pragma once

#include "events.h"
#include "maps.h"

/* First word of a slot that is being filled: ip_a 0, which no connection has. */
#define CONNTRACK_CLAIMED (1ULL << 32)

/* Which words of a key are compared: the last three bytes are not part of it. */
#define CONNTRACK_KEY_TAIL 0xffffffffffULL

enum { CLAIM_PATIENCE = 64 };

/* Where a connection may be. */
struct conntrack_place {
	__u32 first; /* slot of its group */
	__u32 begin; /* place in the group where the search begins */
};

static __always_inline __u64 key_head(const struct conntrack_key *key)
{
	return *(volatile const __u64 *)&key->ip_a;
}

static __always_inline __u64 key_tail(const struct conntrack_key *key)
{
	return *(volatile const __u64 *)&key->port_a & CONNTRACK_KEY_TAIL;
}

static __always_inline int same_key(const struct conntrack_key *a, const struct conntrack_key *b)
{
	return key_head(a) == key_head(b) && key_tail(a) == key_tail(b);
}

static __always_inline struct conntrack_place conntrack_place_of(const struct datapath_state *state,
								 const struct conntrack_key *key)
{
	struct conntrack_place place;
	__u64 hash = key_head(key) ^ *(const __u64 *)state->conntrack_seed;

	hash *= 0x9e3779b97f4a7c15ULL;
	hash ^= hash >> 32;
	hash += key_tail(key);
	hash *= 0xd6e8feb86659fd93ULL;
	hash ^= hash >> 32;
	place.begin = (__u32)(hash >> 40) % CONNTRACK_WAYS;
	place.first = (__u32)((hash & 0xffffffff) * state->conntrack_groups >> 32) * CONNTRACK_WAYS;
	return place;
}

static __always_inline struct conntrack_entry *slot_at(const struct conntrack_place *place, __u32 way)
{
	__u32 index = place->first + (place->begin ^ way);
	struct conntrack_slot *slot = bpf_map_lookup_elem(&CONNTRACK, &index);

	return slot ? &slot->entry : 0;
}

static __always_inline __u64 *more_count(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&CONNTRACK_MORE_COUNT, &zero);
}

/* The rest of conntrack_find, off the way of most packets. */
static __noinline struct conntrack_entry *find_further(const struct conntrack_place *place,
						       const struct conntrack_key *key)
{
	struct conntrack_entry *entry;
	struct conntrack_key copy; /* Linux 6.1 takes no other memory than the stack for a map's key */
	__u64 *more;

	for (__u32 way = 1; way < CONNTRACK_WAYS; way++) {
		entry = slot_at(place, way);
		if (entry && same_key(&entry->key, key))
			return entry;
	}
	more = more_count();
	if (!more || !*(volatile __u64 *)more)
		return 0;
	copy = *key;
	return bpf_map_lookup_elem(&CONNTRACK_MORE, &copy);
}

/* The connection under this key, or null. */
static __always_inline struct conntrack_entry *conntrack_find(const struct datapath_state *state,
							      const struct conntrack_key *key)
{
	struct conntrack_place place = conntrack_place_of(state, key);
	struct conntrack_entry *entry = slot_at(&place, 0);

	if (likely(entry && same_key(&entry->key, key)))
		return entry;
	return find_further(&place, key);
}

/* Waits for whoever fills the slot; it takes some twenty instructions. Returns 0 if that takes long. */
__noinline int wait_for_claimed(const struct conntrack_entry *slot)
{
	if (!slot)
		return 0;
	for (int i = 0; i < CLAIM_PATIENCE; i++) {
		if (key_head(&slot->key) != CONNTRACK_CLAIMED)
			return 1;
	}
	return 0;
}

/* Copies all but the key. */
static __always_inline void copy_connection(struct conntrack_entry *to, const struct conntrack_entry *from)
{
	__u64 *words = (__u64 *)to + 2;
	const __u64 *source = (const __u64 *)from + 2;

	for (__u32 i = 0; i < sizeof(*to) / 8 - 2; i++)
		words[i] = source[i];
}

/* Fills a free slot. Returns 0, -EEXIST when the key is there by now, or -EBUSY when another connection has the slot. */
static __always_inline long fill_slot(struct conntrack_entry *slot, const struct conntrack_entry *fresh)
{
	__u64 *words = (__u64 *)slot;
	__u64 head = __sync_val_compare_and_swap(words, 0, CONNTRACK_CLAIMED);

	if (head) {
		/* Whoever still fills it opens this very connection, most likely. */
		if (head == CONNTRACK_CLAIMED && !wait_for_claimed(slot))
			return -EEXIST;
		return same_key(&slot->key, &fresh->key) ? -EEXIST : -EBUSY;
	}
	copy_connection(slot, fresh);
	words[1] = key_tail(&fresh->key);
	__sync_lock_test_and_set(words, key_head(&fresh->key)); /* a full barrier: all the rest is there before it */
	return 0;
}

static __always_inline long insert_further(const struct conntrack_entry *fresh)
{
	struct conntrack_entry copy = *fresh; /* Linux 6.1 takes no other memory than the stack for this */
	__u64 *more = more_count();
	long error;

	if (!more)
		return -ENOMEM;
	__sync_fetch_and_add(more, 1);
	error = bpf_map_update_elem(&CONNTRACK_MORE, &copy.key, &copy, BPF_NOEXIST);
	if (error)
		__sync_fetch_and_add(more, -1);
	return error;
}

/* Adds a connection. Returns 0, -EEXIST when it is there, or another -errno when it finds no place. */
__noinline int conntrack_insert(const struct datapath_state *state, const struct conntrack_entry *fresh)
{
	struct conntrack_place place;
	struct conntrack_entry *slot;
	long error = -EBUSY;

	if (!state || !fresh)
		return -EINVAL;
	place = conntrack_place_of(state, &fresh->key);
	for (__u32 way = 0; way < CONNTRACK_WAYS && error == -EBUSY; way++) {
		slot = slot_at(&place, way);
		if (slot)
			error = fill_slot(slot, fresh);
	}
	if (error == -EBUSY)
		error = insert_further(fresh);
	if (!error)
		count(STATISTIC_CONNTRACK_CREATED);
	return (int)error;
}

/* Frees a slot that has a connection. For collect_garbage alone. */
static __always_inline void conntrack_free(struct conntrack_entry *slot)
{
	*(volatile __u64 *)slot = 0;
}

/* Removes a connection from CONNTRACK_MORE. For collect_garbage alone. */
static __always_inline void conntrack_remove_more(const struct conntrack_key *key)
{
	__u64 *more = more_count();

	if (more && !bpf_map_delete_elem(&CONNTRACK_MORE, key))
		__sync_fetch_and_add(more, -1);
}
