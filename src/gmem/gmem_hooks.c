/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/gmem_hooks.c - what the trust model is told of a file's pages: prepare, invalidate
 * (docs/design/guest-memfd.md).
 *
 * PREPARED is set under the folio lock, after prepare, and taken under it, before invalidate. Who
 * takes it has begun an invalidation of the file first, and who prepares asks under the lock
 * whether there is one. So either the taker waits for the lock and finds the flag, or the fault
 * finds the invalidation and prepares nothing: each frame that was given to the trust model is
 * taken back once, and none comes in between. Nothing is locked while invalidate runs.
 */
#include "gmem_internal.h"

#include <errno.h>

struct first_part {
	struct clo_range index, gfns;
	bool any;
};

static void note_first(void *arg, struct clo_range index, struct clo_range gfns)
{
	struct first_part *p = arg;

	if (!p->any)
		*p = (struct first_part){ index, gfns, true };
}

/* @r: indexes of one folio; @pfn: of the first. The bindings of @r stand still. */
void clo_gmem_for_each_piece(struct clo_gmem *g, struct clo_range r, struct clo_pfn pfn,
			     void (*fn)(void *arg, const struct clo_gmem_piece *piece), void *arg)
{
	struct clo_gmem_piece piece = {
		.gmem = g, .index = r.start, .pfn = pfn, .order = clo_frame_get(g->db, pfn).order
	};

	while (piece.index < r.end) {
		struct first_part p = { .index = clo_range(r.end, r.end) };
		uint64_t end;

		clo_gmem_for_each_gfn(g, clo_range(piece.index, r.end), note_first, &p);
		piece.is_bound = p.any && p.index.start == piece.index;
		piece.gfn = clo_gfn(piece.is_bound ? p.gfns.start : 0);
		end = piece.is_bound ? p.index.end : p.index.start;
		piece.npages = end - piece.index;
		/* In no section of RCU: the callback is a stranger's. */
		fn(arg, &piece);
		piece.pfn.n += piece.npages;
		piece.index = end;
	}
}

/*
 * The folio in @h, locked, is about to be given to a guest as private. -EAGAIN: a change is under
 * way, which would not meet what comes now.
 */
int gmem_prepare(struct clo_gmem *g, const struct gmem_hold *h, uint64_t index, struct clo_gfn gfn)
{
	uint64_t before = h->pfn.n - h->head.n;
	struct clo_gmem_piece piece = { .gmem = g, .order = h->order, .is_bound = true };
	int ret;

	if (clo_inval_busy(&g->inval, index) && !clo_broken(CLO_BREAK_PREPARE_LATE))
		return -EAGAIN;
	piece.npages = 1ULL << h->order;
	/* A slot may begin inside a folio at gfn 0: then only this page has a gfn. */
	if (gfn.n < before) {
		before = 0;
		piece.npages = 1;
	}
	piece.index = index - before;
	piece.pfn = clo_pfn(h->pfn.n - before);
	piece.gfn = clo_gfn(gfn.n - before);
	ret = g->ops.prepare(g->ops.vm, &piece);
	if (ret)
		return ret;
	clo_page_set_prepared(g->db, clo_range(piece.pfn.n, piece.pfn.n + piece.npages));
	clo_stat_add(&g->prepared, 1);
	return 0;
}

/* The first run of prepared pages of one folio in [*at, end), prepared no more; *at moves on. */
static bool take_prepared(struct clo_gmem *g, uint64_t *at, uint64_t end, struct clo_range *index,
			  struct clo_pfn *pfn)
{
	struct gmem_hold h;

	for (uint64_t next = *at; gmem_folio_lock_next(g, &next, end, &h); *at = next) {
		uint64_t first = next - (1ULL << h.order);
		uint64_t delta = h.head.n - first; /* modulo 2^64: pfn = index + delta */
		struct clo_range r = clo_range_clip(clo_range(first, next), clo_range(*at, end));
		struct clo_range run;
		bool any = clo_page_take_prepared(g->db, clo_range(r.start + delta, r.end + delta),
						  &run);

		clo_page_unlock(g->db, h.head);
		if (!any)
			continue;
		*index = clo_range(run.start - delta, run.end - delta);
		*pfn = clo_pfn(run.start);
		*at = index->end;
		return true;
	}
	return false;
}

struct invalidate_arg {
	struct clo_gmem *g;
	uint32_t why;
};

static void invalidate_piece(void *arg, const struct clo_gmem_piece *piece)
{
	const struct invalidate_arg *a = arg;

	a->g->ops.invalidate(a->g->ops.vm, piece, a->why);
	clo_stat_add(&a->g->invalidated, piece->npages);
}

void clo_gmem_invalidate(struct clo_gmem *g, struct clo_range index, uint32_t why)
{
	struct invalidate_arg a = { .g = g, .why = why };
	uint64_t at = index.start;
	struct clo_range run;
	struct clo_pfn pfn;

	if (!g->ops.invalidate || clo_broken(CLO_BREAK_INVALIDATE_HOOK))
		return;
	while (take_prepared(g, &at, index.end, &run, &pfn))
		clo_gmem_for_each_piece(g, run, pfn, invalidate_piece, &a);
}
