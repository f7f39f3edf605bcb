/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/table_zap.c - remove leaves, or move them to the other table.
 *
 * Both wait for frozen entries. The owner of a frozen entry takes no lock and waits for nobody, so
 * the wait is short and cannot be a cycle. A move, which needs two entries, holds none while it
 * waits: it tries the second, and gives the first back when that fails.
 */
#include "table/table.h"

#include <errno.h>

#include "table/table_node.h"

struct zap {
	struct clo_pt_visit visit;
	struct clo_table *t;
	bool begun; /* clo_pt_removal_begin() was called */
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
	if (!zap->begun) {
		clo_pt_removal_begin(zap->t);
		zap->begun = true;
	}
	/*
	 * Frozen until the reverse map is gone too: another zap of the same gfns must not return
	 * before, since its caller goes on to free the frame.
	 */
	bool freeze = zap->removed != NULL && !clo_broken(CLO_BREAK_ZAP_CLEAR);

	if (!clo_a64_cas(e, &v, freeze ? CLO_SPTE_FROZEN : 0))
		return PT_AGAIN;
	zap->count++;
	if (zap->removed != NULL)
		zap->removed(zap->arg, clo_gfn(base), (enum clo_level)level, v);
	if (freeze)
		clo_a64_set(e, 0);
	return PT_GONE;
}

uint64_t clo_table_zap(struct clo_table *t, struct clo_range r, clo_leaf_fn removed, void *arg)
{
	struct zap zap = {
		.visit = { .r = r, .entry = zap_entry },
		.t = t,
		.removed = removed,
		.arg = arg,
	};

	clo_pt_visit(t, &zap.visit);
	if (zap.begun)
		clo_pt_removal_end(t);
	return zap.count;
}

struct move {
	struct clo_pt_visit visit;
	struct clo_table *from;
	struct clo_table *to;
	bool begun; /* as in struct zap; for the leaves that are dropped */
	clo_leaf_fn moved;
	clo_leaf_fn dropped_fn;
	void *arg;
	uint64_t moved_count;
	uint64_t dropped_count;
};

/*
 * Freeze the entry of @gfn in @to for a move, with the levels above it. 0; -EAGAIN somebody is at
 * work there; -EEXIST another leaf is there; -ENOMEM.
 */
static int freeze_target(struct clo_table *to, uint64_t gfn, struct clo_pt_pos *p)
{
	*p = clo_pt_find(to, gfn, 0);
	if (p->v & CLO_SPTE_FROZEN)
		return -EAGAIN;
	if (p->v != 0)
		return -EEXIST;
	return p->level == 0 ? clo_pt_freeze_empty(p) : clo_pt_freeze_in_new(p, gfn, 0);
}

static void tell(clo_leaf_fn fn, void *arg, uint64_t base, uint64_t spte)
{
	if (fn != NULL)
		fn(arg, clo_gfn(base), CLO_LEVEL_4K, spte);
}

/* The leaf @v has no place in the other table: it goes as in a zap. */
static enum clo_pt_next drop_entry(struct move *move, struct clo_a64 *e, uint64_t v, uint64_t base)
{
	if (!move->begun) {
		clo_pt_removal_begin(move->from);
		move->begun = true;
	}
	if (!clo_a64_cas(e, &v, CLO_SPTE_FROZEN))
		return PT_AGAIN;
	tell(move->dropped_fn, move->arg, base, v);
	move->dropped_count++;
	clo_a64_set(e, 0);
	return PT_GONE;
}

static enum clo_pt_next move_entry(struct clo_pt_visit *visit, struct clo_a64 *e, uint64_t v,
				   unsigned level, uint64_t base)
{
	struct move *move = CLO_CONTAINER_OF(visit, struct move, visit);
	struct clo_pt_pos target;
	int err;

	if (v & CLO_SPTE_FROZEN) {
		clo_relax();
		return PT_AGAIN;
	}
	if (level != 0)
		return PT_NEXT;
	/* The target first: it may need memory, and nothing is held while that is sought. */
	err = freeze_target(move->to, base, &target);
	if (err == -EAGAIN) {
		clo_relax();
		return PT_AGAIN;
	}
	if (err != 0)
		return drop_entry(move, e, v, base);
	/* Both frozen: the leaf is in no table until it appears in the other. */
	if (!clo_a64_cas(e, &v, CLO_SPTE_FROZEN)) {
		clo_a64_set(target.e, 0);
		clo_pt_release(target.pt, 1);
		return PT_AGAIN;
	}
	tell(move->moved, move->arg, base, v);
	clo_a64_set(target.e, v);
	clo_a64_set(e, 0);
	move->moved_count++;
	return PT_GONE;
}

uint64_t clo_table_move(struct clo_table *from, struct clo_table *to, struct clo_range r,
			clo_leaf_fn moved, clo_leaf_fn dropped_fn, void *arg, uint64_t *dropped)
{
	struct move move = {
		.visit = { .r = r, .entry = move_entry },
		.from = from,
		.to = to,
		.moved = moved,
		.dropped_fn = dropped_fn,
		.arg = arg,
	};

	clo_pt_visit(from, &move.visit);
	if (move.begun)
		clo_pt_removal_end(from);
	if (dropped != NULL)
		*dropped = move.dropped_count;
	return move.moved_count;
}
