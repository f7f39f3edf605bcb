/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slot/slot_array.c - the immutable sorted arrays and the look-up in them.
 */
#include "slot_internal.h"

#include <string.h>

static struct slot_array *array_new(size_t count)
{
	struct slot_array *a;

	a = clo_alloc(sizeof(*a) + count * (sizeof(a->start[0]) + sizeof(struct slot_node *)));
	if (!a)
		return NULL;
	a->count = count;
	a->node = (struct slot_node **)(void *)(a->start + count);
	return a;
}

static void put(struct slot_array *a, size_t i, struct slot_node *n)
{
	a->node[i] = n;
	a->start[i] = n->s.gfns.start;
}

/* Index of the last slot that starts at or before @gfn; 0 when none does. @a is not empty. */
static size_t last_before(const struct slot_array *a, uint64_t gfn)
{
	size_t base = 0;

	for (size_t n = a->count; n > 1;) {
		size_t half = n / 2;

		base += a->start[base + half] <= gfn ? half : 0;
		n -= half;
	}
	return base;
}

size_t slot_array_first(const struct slot_array *a, uint64_t gfn)
{
	size_t i;

	if (!a || a->count == 0)
		return 0;
	i = last_before(a, gfn);
	return i + (a->node[i]->s.gfns.end <= gfn);
}

const struct clo_slot *clo_slots_find(struct clo_slots *s, unsigned as, struct clo_gfn gfn)
{
	const struct slot_array *a;
	const struct clo_slot *slot;

	if (as >= s->cfg.as_count)
		return NULL;
	a = slot_array_of(&s->space[as]);
	if (!a)
		return NULL;
	slot = &a->node[last_before(a, gfn.n)]->s;
	return clo_range_contains(slot->gfns, gfn.n) ? slot : NULL;
}

int clo_slots_for_each(struct clo_slots *s, unsigned as, struct clo_range r,
		       int (*fn)(void *arg, const struct clo_slot *slot, struct clo_range overlap),
		       void *arg)
{
	const struct slot_array *a = as < s->cfg.as_count ? slot_array_of(&s->space[as]) : NULL;

	if (!a || r.start >= r.end)
		return 0;
	for (size_t i = slot_array_first(a, r.start); i < a->count && a->start[i] < r.end; i++) {
		const struct clo_slot *slot = &a->node[i]->s;
		int ret;

		if (slot->flags & CLO_MEMSLOT_INVALID)
			continue;
		ret = fn(arg, slot, clo_range_clip(slot->gfns, r));
		if (ret)
			return ret;
	}
	return 0;
}

/* Copy @a without @skip and with @add, either may be NULL. */
static struct slot_array *rebuild(const struct slot_array *a, const struct slot_node *skip,
				  struct slot_node *add)
{
	size_t count = (a ? a->count : 0) + (add != NULL) - (skip != NULL);
	struct slot_array *b = array_new(count);
	size_t to = 0;

	if (!b)
		return NULL;
	for (size_t i = 0; a && i < a->count; i++) {
		struct slot_node *n = a->node[i];

		if (add && add->s.gfns.start < n->s.gfns.start) {
			put(b, to++, add);
			add = NULL;
		}
		if (n != skip)
			put(b, to++, n);
	}
	if (add)
		put(b, to, add);
	return b;
}

struct slot_array *slot_array_with(const struct slot_array *a, struct slot_node *added)
{
	return rebuild(a, NULL, added);
}

struct slot_array *slot_array_replace(const struct slot_array *a, const struct slot_node *old,
				      struct slot_node *fresh)
{
	return rebuild(a, old, fresh);
}

struct slot_array *slot_array_without(const struct slot_array *a, const struct slot_node *old)
{
	return rebuild(a, old, NULL);
}
