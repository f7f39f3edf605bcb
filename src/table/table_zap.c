/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/table_zap.c - remove leaves, or move them to the other table.
 *
 * Both wait for frozen entries. The owner of a frozen entry never blocks and waits for nobody, so
 * the wait is short and cannot be a cycle; a move, which needs two entries, gives the first back
 * before it waits for the second.
 */
#include "table/table.h"

#include <errno.h>

#include "table/table_node.h"

struct zap {
	struct clo_pt_visit visit;
	clo_leaf_fn removed;
	void *arg;
	uint64_t count;
};

static enum clo_pt_next zap_entry(struct clo_pt_visit *visit, struct clo_a64 *e, uint64_t v,
				  unsigned level, uint64_t base)
{
	struct zap *zap = CLO_CONTAINER_OF(visit, struct zap, visit);

	if (v & CLO_SPTE_FROZEN) {
		if (clo_broken(CLO_BREAK_FROZEN_WAIT))
			return PT_NEXT;
		clo_relax();
		return PT_AGAIN;
	}
	if (!clo_a64_cas(e, &v, 0))
		return PT_AGAIN;
	zap->count++;
	if (zap->removed != NULL)
		zap->removed(zap->arg, clo_gfn(base), (enum clo_level)level, v);
	return PT_GONE;
}

uint64_t clo_table_zap(struct clo_table *t, struct clo_range r, clo_leaf_fn removed, void *arg)
{
	struct zap zap = {
		.visit = { .r = r, .entry = zap_entry },
		.removed = removed,
		.arg = arg,
	};

	clo_pt_visit(t, &zap.visit);
	return zap.count;
}

struct move {
	struct clo_pt_visit visit;
	struct clo_table *to;
	clo_leaf_fn moved;
	clo_leaf_fn dropped_fn;
	void *arg;
	uint64_t moved_count;
	uint64_t dropped_count;
};

/*
 * Freeze the entry of @gfn in @to for a move. 0; -EAGAIN somebody is at work there; -ENOENT there
 * is no page-table page for it, or another leaf.
 */
static int freeze_target(struct clo_table *to, uint64_t gfn, struct clo_pt_pos *p)
{
	*p = clo_pt_find(to, gfn, 0);
	if (p->v & CLO_SPTE_FROZEN)
		return -EAGAIN;
	if (p->v != 0 || p->level != 0)
		return -ENOENT;
	return clo_pt_freeze_empty(p);
}

static void tell(clo_leaf_fn fn, void *arg, uint64_t base, uint64_t spte)
{
	if (fn != NULL)
		fn(arg, clo_gfn(base), CLO_LEVEL_4K, spte);
}

static enum clo_pt_next move_entry(struct clo_pt_visit *visit, struct clo_a64 *e, uint64_t v,
				   unsigned level, uint64_t base)
{
	struct move *move = CLO_CONTAINER_OF(visit, struct move, visit);
	struct clo_pt_pos target;

	if (v & CLO_SPTE_FROZEN) {
		clo_relax();
		return PT_AGAIN;
	}
	if (level != 0)
		return PT_NEXT;
	/* Frozen here first: from now on the leaf is in no table until it appears in the other. */
	if (!clo_a64_cas(e, &v, CLO_SPTE_FROZEN))
		return PT_AGAIN;
	switch (freeze_target(move->to, base, &target)) {
	case 0:
		tell(move->moved, move->arg, base, v);
		clo_a64_set(target.e, v);
		move->moved_count++;
		break;
	case -EAGAIN:
		clo_a64_set(e, v);
		clo_relax();
		return PT_AGAIN;
	default:
		tell(move->dropped_fn, move->arg, base, v);
		move->dropped_count++;
	}
	clo_a64_set(e, 0);
	return PT_GONE;
}

uint64_t clo_table_move(struct clo_table *from, struct clo_table *to, struct clo_range r,
			clo_leaf_fn moved, clo_leaf_fn dropped_fn, void *arg, uint64_t *dropped)
{
	struct move move = {
		.visit = { .r = r, .entry = move_entry },
		.to = to,
		.moved = moved,
		.dropped_fn = dropped_fn,
		.arg = arg,
	};

	clo_pt_visit(from, &move.visit);
	if (dropped != NULL)
		*dropped = move.dropped_count;
	return move.moved_count;
}
