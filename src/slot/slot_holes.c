/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slot/slot_holes.c - which pages of a slot's shared side the VMM's memory is looked through (mail
 * 0).
 *
 * A bitmap belongs to a slot for its whole life and moves along with it: it counts from the slot's
 * first page. Bits change under nobody's lock; whoever makes a hole brackets it with the VM's
 * invalidation sequence and zaps, so that a fault which read the old bit, or the slot from before
 * it had a bitmap, starts again.
 */
#include "slot_internal.h"

#include <errno.h>

#define SMALL_BYTES (256U * 1024U)

static struct clo_hole_map *holes_new(uint64_t npages)
{
	size_t words = (size_t)((npages + 63) / 64);
	struct clo_hole_map *map;
	size_t bytes = sizeof(*map) + words * sizeof(map->word[0]);
	bool is_sparse = bytes > SMALL_BYTES; /* up to 256 MiB: take only what gets holes */

	map = is_sparse ? clo_alloc_sparse(bytes) : clo_alloc(bytes);
	if (!map)
		return NULL;
	map->bytes = bytes;
	map->is_sparse = is_sparse;
	return map;
}

static void holes_free(struct clo_hole_map *map)
{
	if (map->is_sparse)
		clo_free_sparse(map, map->bytes);
	else
		clo_free(map);
}

static void free_deferred(struct clo_rcu_head *rcu)
{
	holes_free(CLO_CONTAINER_OF(rcu, struct clo_hole_map, rcu));
}

void slot_holes_retire(struct clo_hole_map *map)
{
	clo_rcu_defer(&map->rcu, free_deferred);
}

static int track(struct slot_space *sp, struct slot_node *old)
{
	struct clo_hole_map *map = holes_new(clo_range_len(old->s.gfns));
	struct slot_node *fresh = slot_node_copy(old);
	struct slot_array *a = fresh ? slot_array_replace(slot_array_of(sp), old, fresh) : NULL;

	if (!map || !a) {
		if (map)
			holes_free(map);
		clo_free(fresh);
		clo_free(a);
		return clo_fail_heap("holes of a memslot");
	}
	fresh->s.holes = map;
	sp->by_id[old->s.id & 0xffff] = fresh;
	slot_publish(sp, a);
	slot_node_retire(old);
	return 0;
}

int clo_slots_track_holes(struct clo_slots *s, uint32_t slot_id)
{
	struct slot_space *sp;
	struct slot_node *old;
	int ret = 0;

	if (slot_id >> 16 >= s->cfg.as_count)
		return -ENOENT;
	sp = &s->space[slot_id >> 16];
	clo_rwlock_wrlock(&s->lock);
	old = slot_by_id(sp, slot_id & 0xffff);
	if (!old)
		ret = -ENOENT;
	else if (!old->s.holes)
		ret = track(sp, old);
	clo_rwlock_unlock(&s->lock);
	return ret;
}

bool clo_slot_is_hole(const struct clo_slot *slot, struct clo_gfn gfn)
{
	uint64_t bit = gfn.n - slot->gfns.start;

	return slot->holes && (clo_a64_get(&slot->holes->word[bit / 64]) >> bit % 64 & 1);
}

void clo_slot_set_holes(const struct clo_slot *slot, struct clo_range gfns, bool mapped)
{
	struct clo_range r = clo_range_clip(gfns, slot->gfns);
	uint64_t bit = r.start - slot->gfns.start;
	uint64_t end = r.end - slot->gfns.start;

	if (!slot->holes)
		return;
	while (bit < end) {
		uint64_t n = 64 - bit % 64 < end - bit ? 64 - bit % 64 : end - bit;
		uint64_t mask = (~0ULL >> (64 - n)) << bit % 64;

		if (mapped)
			clo_a64_and(&slot->holes->word[bit / 64], ~mask);
		else
			clo_a64_or(&slot->holes->word[bit / 64], mask);
		bit += n;
	}
}
