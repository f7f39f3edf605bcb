/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/table_split.c - huge leaves that cross the end of a range become smaller ones.
 *
 * The huge leaf's entry is frozen, a page-table page is filled aside, then published in its place:
 * a walker sees the huge leaf, nothing for a moment, or the small leaf; never a leaf twice.
 */
#include "table/table.h"

#include <errno.h>
#include <string.h>

#include "table/table_node.h"

/*
 * The huge leaf that has @gfn inside it, but not at its start. Waits for frozen entries on the way,
 * so that a huge leaf which a fault is about to publish is not missed. Under RCU.
 */
static bool find_crossing(struct clo_table *t, uint64_t gfn, struct clo_pt_pos *p)
{
	if (gfn >= PT_GFN_END)
		return false;
	for (;;) {
		*p = clo_pt_find(t, gfn, 0);
		if ((p->v & CLO_SPTE_FROZEN) == 0)
			break;
		clo_relax();
	}
	return clo_spte_present(p->v) && clo_pt_base(gfn, p->level) != gfn;
}

/* Page-table pages to split what crosses the ends of @r, until nothing does. Under RCU. */
static unsigned pages_needed(struct clo_table *t, struct clo_range r)
{
	struct clo_pt_pos p;
	unsigned count = 0, start_level = 0;

	if (find_crossing(t, r.start, &p)) {
		start_level = p.level;
		for (unsigned l = p.level; clo_pt_base(r.start, l) != r.start; l--)
			count++;
	}
	if (!find_crossing(t, r.end, &p))
		return count;
	for (unsigned l = p.level; clo_pt_base(r.end, l) != r.end; l--) {
		uint64_t base = clo_pt_base(r.end, l);

		/* One page serves both ends when they lie in one leaf, and start crosses it too. */
		if (l > start_level || base != clo_pt_base(r.start, l) || base == r.start)
			count++;
	}
	return count;
}

int clo_table_split_prepare(struct clo_table *t, struct clo_range r, struct clo_split_reserve *res)
{
	unsigned needed = 0;

	*res = (struct clo_split_reserve){ 0 };
	if (r.start < r.end) {
		clo_rcu_read_lock();
		needed = pages_needed(t, r);
		clo_rcu_read_unlock();
	}
	while (res->count < needed) {
		void *page = clo_pt_alloc();

		if (page == NULL) {
			clo_split_reserve_release(res);
			return clo_fail_heap("stage-2 tables");
		}
		res->pages[res->count++] = page;
	}
	return 0;
}

void clo_split_reserve_release(struct clo_split_reserve *res)
{
	while (res->count > 0)
		clo_pt_free(res->pages[--res->count]);
}

struct split {
	struct clo_table *t;
	struct clo_split_reserve *res;
	clo_leaf_fn removed;
	clo_leaf_fn added;
	void *arg;
	uint64_t count;
};

/* @pt becomes the same translations and bits as the leaf @huge of @level at @base, a level down. */
static void fill_from_huge(const struct split *split, struct clo_pt *pt, uint64_t huge,
			   unsigned level, uint64_t base)
{
	enum clo_level small = (enum clo_level)(level - 1);
	uint64_t step = clo_level_pages(small);
	uint64_t spte = small == CLO_LEVEL_4K ? huge & ~CLO_SPTE_HUGE : huge;

	for (unsigned i = 0; i < PT_ENTRIES; i++, base += step, spte += step << 12) {
		clo_a64_init(&pt->e[i], spte);
		if (split->added != NULL)
			split->added(split->arg, clo_gfn(base), small, spte);
	}
	clo_a64_init(&pt->state, PT_LINES + PT_ENTRIES * PT_COUNT_ONE);
}

/* Split the huge leaf at @p, or remove it when no page is left. False: lost a race. */
static bool split_leaf(struct split *split, struct clo_pt_pos *p, uint64_t gfn)
{
	uint64_t base = clo_pt_base(gfn, p->level);
	uint64_t huge = p->v;
	bool whole = split->res->count == 0;

	/* Only then does a translation end; else the small leaves go on with it. */
	if (whole)
		clo_pt_removal_begin(split->t);
	if (!clo_a64_cas(p->e, &p->v, CLO_SPTE_FROZEN)) {
		if (whole)
			clo_pt_removal_end(split->t);
		return false;
	}
	if (split->removed != NULL)
		split->removed(split->arg, clo_gfn(base), (enum clo_level)p->level, huge);
	split->count++;
	if (!whole) {
		struct clo_pt *pt = split->res->pages[--split->res->count];

		if (clo_broken(CLO_BREAK_SPLIT_FILL))
			clo_a64_set(p->e, clo_pt_entry(pt));
		fill_from_huge(split, pt, huge, p->level, base);
		/* Full already: a zap believes the page's count (table_node.h). */
		clo_a64_set(p->e, clo_pt_entry(pt));
	} else {
		clo_a64_set(p->e, 0);
		clo_pt_release(p->pt, 1);
		clo_pt_removal_end(split->t);
	}
	return true;
}

static void split_at(struct split *split, uint64_t gfn)
{
	struct clo_pt_pos p;

	while (find_crossing(split->t, gfn, &p)) {
		if (!split_leaf(split, &p, gfn))
			clo_relax();
	}
}

uint64_t clo_table_split_commit(struct clo_table *t, struct clo_range r,
				struct clo_split_reserve *res, clo_leaf_fn removed,
				clo_leaf_fn added, void *arg)
{
	struct split split = {
		.t = t,
		.res = res,
		.removed = removed,
		.added = added,
		.arg = arg,
	};

	if (r.start >= r.end)
		return 0;
	clo_rcu_read_lock();
	split_at(&split, r.start);
	split_at(&split, r.end);
	clo_rcu_read_unlock();
	return split.count;
}
