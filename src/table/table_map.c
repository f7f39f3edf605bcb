/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/table_map.c - claim, freeze, publish: how a leaf enters a table without a lock.
 *
 * Progress: whoever brings a new page-table page into the tree brings its own entry frozen in it,
 * so a remover of empty pages cannot take it away again before it was used; and a remover that has
 * closed a page goes on to freeze the entry above it. Each -EAGAIN therefore means that somebody
 * else got on. Nobody waits here, and nobody holds more than one entry: no dead-lock.
 */
#include "table/table.h"

#include <errno.h>

#include "table/table_node.h"

bool clo_pt_claim(struct clo_pt *pt, unsigned index)
{
	uint64_t line = clo_pt_line(index);
	uint64_t s = clo_a64_get_sc(&pt->state);

	/* Line bits are never cleared while the page is in the tree. */
	if (CLO_LIKELY(s & line))
		return (clo_a64_add(&pt->state, PT_COUNT_ONE) & PT_REMOVED) == 0;
	while ((s & PT_REMOVED) == 0) {
		if (clo_a64_cas(&pt->state, &s, (s | line) + PT_COUNT_ONE))
			return true;
	}
	return false;
}

void clo_pt_release(struct clo_pt *pt, unsigned count)
{
	clo_a64_sub(&pt->state, count * PT_COUNT_ONE);
}

int clo_pt_freeze_empty(const struct clo_pt_pos *p)
{
	uint64_t seen = 0;
	unsigned index = (unsigned)(p->e - p->pt->e);

	if (!clo_pt_claim(p->pt, index))
		return -EAGAIN;
	if (clo_a64_cas(p->e, &seen, CLO_SPTE_FROZEN))
		return 0;
	clo_pt_release(p->pt, 1);
	return -EAGAIN;
}

/*
 * Close @pt (its entries are of @level) and what is below it, if all is empty: 0, the caller takes
 * it out of the tree and frees it later; or -EAGAIN: it is in use, or another closes it. Empty
 * pages below that were removed on the way stay removed.
 */
static int close_empty(struct clo_pt *pt, unsigned level)
{
	uint64_t s = clo_a64_get_sc(&pt->state);

	for (unsigned i = 0; level > 0 && (s & PT_COUNT) != 0 && i < PT_ENTRIES; i++) {
		uint64_t v = (s & clo_pt_line(i)) != 0 ? clo_a64_get(&pt->e[i]) : 0;

		if (v == 0)
			continue;
		if (!clo_pt_is_table(v) || close_empty(clo_pt_child(v), level - 1) != 0)
			return -EAGAIN;
		/* Only who closed the child may change this entry. */
		clo_a64_set(&pt->e[i], 0);
		clo_pt_release(pt, 1);
		clo_pt_free_later(clo_pt_child(v));
	}
	s = clo_a64_get_sc(&pt->state);
	if ((s & (PT_COUNT | PT_REMOVED)) != 0 || !clo_a64_cas(&pt->state, &s, PT_REMOVED))
		return -EAGAIN;
	return 0;
}

/* A page-table page is in the way of a huge leaf at @p: freeze its entry if nothing is in it. */
static int freeze_table(struct clo_table *t, const struct clo_pt_pos *p, uint64_t gfn)
{
	uint64_t base = clo_pt_base(gfn, p->level);

	if (clo_table_any(t, clo_range(base, base + (1ULL << (9 * p->level)))))
		return -EBUSY;
	if (close_empty(clo_pt_child(p->v), p->level - 1) != 0)
		return -EAGAIN;

	/* Not a plain set: the caller asks the invalidation sequence next (see table_node.h). */
	uint64_t old = clo_a64_xchg(p->e, CLO_SPTE_FROZEN);

	assert(old == p->v);
	(void)old;
	clo_pt_free_later(clo_pt_child(p->v));
	return 0;
}

int clo_pt_freeze_in_new(struct clo_pt_pos *p, uint64_t gfn, unsigned level)
{
	struct clo_pt *chain[PT_ROOT_LEVEL];
	unsigned count = 0;
	uint64_t v = CLO_SPTE_FROZEN, seen = 0;
	int err = 0;

	for (unsigned l = level; l < p->level; l++) {
		struct clo_pt *pt = clo_pt_alloc();
		unsigned index = clo_pt_index(gfn, l);

		if (pt == NULL) {
			err = clo_fail_heap("stage-2 tables");
			goto out_free;
		}
		/* Nobody sees the page yet: the swap below publishes it. */
		clo_a64_init(&pt->e[index], v);
		clo_a64_init(&pt->state, clo_pt_line(index) + PT_COUNT_ONE);
		chain[count++] = pt;
		v = clo_pt_entry(pt);
	}
	err = -EAGAIN;
	if (!clo_pt_claim(p->pt, clo_pt_index(gfn, p->level)))
		goto out_free;
	if (!clo_a64_cas(p->e, &seen, v)) {
		clo_pt_release(p->pt, 1);
		goto out_free;
	}
	p->pt = chain[0];
	p->e = &p->pt->e[clo_pt_index(gfn, level)];
	p->level = level;
	return 0;

out_free:
	while (count > 0)
		clo_pt_free(chain[--count]);
	return err;
}

int clo_table_map_begin(struct clo_table *t, struct clo_gfn gfn, enum clo_level level,
			struct clo_map_ctx *ctx)
{
	if (gfn.n >= PT_GFN_END)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "gpa");

	struct clo_pt_pos p = clo_pt_find(t, gfn.n, (unsigned)level);
	uint64_t old = 0;
	int err;

	if (clo_pt_is_table(p.v)) {
		err = freeze_table(t, &p, gfn.n);
	} else if (p.v & CLO_SPTE_FROZEN) {
		err = -EAGAIN;
	} else if (p.v != 0) {
		old = p.v;
		err = -EEXIST;
	} else if (p.level == (unsigned)level) {
		err = clo_pt_freeze_empty(&p);
	} else {
		err = clo_pt_freeze_in_new(&p, gfn.n, (unsigned)level);
	}
	*ctx = (struct clo_map_ctx){
		.entry = p.e, .old = old, .level = (enum clo_level)p.level, .node = p.pt
	};
	return err;
}

void clo_table_map_commit(struct clo_map_ctx *ctx, uint64_t spte)
{
	assert(clo_spte_present(spte) && !clo_pt_is_table(spte));
	assert(((spte & CLO_SPTE_HUGE) != 0) == (ctx->level != CLO_LEVEL_4K));
	clo_a64_set(ctx->entry, spte);
}

void clo_table_map_abort(struct clo_map_ctx *ctx)
{
	clo_a64_set(ctx->entry, 0);
	clo_pt_release(ctx->node, 1);
}
