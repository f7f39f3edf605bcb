/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/table_walk.c - life of a table and its pages, look-up, and the one traversal that zap, move
 * and the questions share.
 */
#include "table/table.h"

#include <errno.h>

#include "table/table_node.h"

struct clo_pt *clo_pt_alloc(void)
{
	return clo_alloc_aligned(_Alignof(struct clo_pt), sizeof(struct clo_pt));
}

void clo_pt_free(struct clo_pt *pt)
{
	clo_free(pt);
}

static void free_by_rcu(struct clo_rcu_head *head)
{
	clo_pt_free(CLO_CONTAINER_OF(head, struct clo_pt, rcu));
}

void clo_pt_free_later(struct clo_pt *pt)
{
	clo_rcu_defer(&pt->rcu, free_by_rcu);
}

int clo_table_create(struct clo_table **out)
{
	struct clo_table *t = clo_alloc_aligned(_Alignof(struct clo_table), sizeof(*t));

	if (t == NULL)
		return clo_fail_heap("stage-2 tables");
	*out = t;
	return 0;
}

static void free_children(struct clo_pt *pt, unsigned level)
{
	for (unsigned i = 0; level > 0 && i < PT_ENTRIES; i++) {
		uint64_t v = clo_a64_get_relaxed(&pt->e[i]);

		if (!clo_pt_is_table(v))
			continue;
		free_children(clo_pt_child(v), level - 1);
		clo_pt_free(clo_pt_child(v));
	}
}

void clo_table_destroy(struct clo_table *t)
{
	if (t == NULL)
		return;
	free_children(&t->root, PT_ROOT_LEVEL);
	clo_free(t);
}

bool clo_table_walk(struct clo_table *t, struct clo_gfn gfn, struct clo_leaf *out)
{
	if (CLO_UNLIKELY(gfn.n >= PT_GFN_END))
		return false;

	clo_rcu_read_lock();
	struct clo_pt_pos p = clo_pt_find(t, gfn.n, 0);
	clo_rcu_read_unlock();

	if (!clo_spte_present(p.v))
		return false;
	out->spte = p.v;
	out->level = (enum clo_level)p.level;
	out->base = clo_gfn(clo_pt_base(gfn.n, p.level));
	return true;
}

static bool visit_page(struct clo_pt_visit *visit, struct clo_pt *pt, unsigned level,
		       uint64_t base);

/* One entry until it is dealt with. *@gone counts the entries that the visitor emptied. */
static bool visit_entry(struct clo_pt_visit *visit, struct clo_a64 *e, unsigned level,
			uint64_t base, unsigned *gone)
{
	for (;;) {
		uint64_t v = clo_a64_get_sc(e);

		if (v == 0)
			return true;
		if (clo_pt_is_table(v)) {
			visit->tables++;
			return visit_page(visit, clo_pt_child(v), level - 1, base);
		}
		switch (visit->entry(visit, e, v, level, base)) {
		case PT_NEXT:
			return true;
		case PT_AGAIN:
			break;
		case PT_GONE:
			(*gone)++;
			return true;
		case PT_STOP:
			return false;
		}
	}
}

/* The entries of @pt, whose first gfn is @base, that overlap the range. */
static bool visit_page(struct clo_pt_visit *visit, struct clo_pt *pt, unsigned level, uint64_t base)
{
	uint64_t state = clo_a64_get_sc(&pt->state);
	unsigned shift = 9 * level;
	uint64_t start = visit->r.start > base ? (visit->r.start - base) >> shift : 0;
	uint64_t last = (visit->r.end - 1 - base) >> shift;
	unsigned gone = 0;
	bool more = true;

	if ((state & PT_COUNT) == 0)
		return true;
	if (last >= PT_ENTRIES)
		last = PT_ENTRIES - 1;
	for (unsigned i = (unsigned)start; more && i <= last; i++) {
		if ((state & clo_pt_line(i)) == 0) {
			i |= PT_LINE_ENTRIES - 1;
			continue;
		}
		more = visit_entry(visit, &pt->e[i], level, base + ((uint64_t)i << shift), &gone);
	}
	/* Late is harmless: a count too high only keeps the page in the tree. */
	if (gone != 0)
		clo_pt_release(pt, gone);
	return more;
}

bool clo_pt_visit(struct clo_table *t, struct clo_pt_visit *visit)
{
	visit->tables = 0;
	visit->r = clo_range_clip(visit->r, clo_range(0, PT_GFN_END));
	if (visit->r.start == visit->r.end)
		return true;

	clo_rcu_read_lock();
	bool more = visit_page(visit, &t->root, PT_ROOT_LEVEL, 0);
	clo_rcu_read_unlock();

	return more;
}

static enum clo_pt_next stop_at_leaf(struct clo_pt_visit *visit, struct clo_a64 *e, uint64_t v,
				     unsigned level, uint64_t base)
{
	(void)visit;
	(void)e;
	(void)level;
	(void)base;
	return clo_spte_present(v) ? PT_STOP : PT_NEXT;
}

bool clo_table_any(struct clo_table *t, struct clo_range r)
{
	struct clo_pt_visit visit = { .r = r, .entry = stop_at_leaf };

	return !clo_pt_visit(t, &visit);
}

struct each {
	struct clo_pt_visit visit;
	clo_leaf_fn fn;
	void *arg;
};

static enum clo_pt_next tell_leaf(struct clo_pt_visit *visit, struct clo_a64 *e, uint64_t v,
				  unsigned level, uint64_t base)
{
	struct each *each = CLO_CONTAINER_OF(visit, struct each, visit);

	(void)e;
	if (clo_spte_present(v))
		each->fn(each->arg, clo_gfn(base), (enum clo_level)level, v);
	return PT_NEXT;
}

void clo_table_for_each(struct clo_table *t, struct clo_range r, clo_leaf_fn fn, void *arg)
{
	struct each each = { .visit = { .r = r, .entry = tell_leaf }, .fn = fn, .arg = arg };

	clo_pt_visit(t, &each.visit);
}

static void count_leaf(void *arg, struct clo_gfn base, enum clo_level level, uint64_t spte)
{
	struct clo_table_stats *stats = arg;

	(void)base;
	(void)spte;
	stats->leaves[level]++;
}

void clo_table_stats(struct clo_table *t, struct clo_table_stats *out)
{
	struct each each = {
		.visit = { .r = { 0, PT_GFN_END }, .entry = tell_leaf },
		.fn = count_leaf,
		.arg = out,
	};

	*out = (struct clo_table_stats){ 0 };
	clo_pt_visit(t, &each.visit);
	out->pages = each.visit.tables + 1;
}
