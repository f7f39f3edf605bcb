/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/gmem_huge.c - huge folios come apart and together. A folio is huge only while all its pages
 * are private (docs/design/guest-memfd.md).
 *
 * Both run inside the file's invalidation, so no folio appears or goes in the block but theirs.
 */
#include "gmem_internal.h"

#include <errno.h>

int clo_gmem_split_block(struct clo_gmem *g, uint64_t index)
{
	struct clo_frame_info f;
	struct clo_pfn pfn;
	int ret;

	if (!clo_gmem_pfn(g, index, &pfn))
		return -ENOENT;
	f = clo_frame_get(g->db, pfn);
	if (f.state == CLO_FRAME_FREE || f.state == CLO_FRAME_LEAKED)
		return -ENOENT;
	if (f.order == 0)
		return 0;
	ret = clo_page_split(g->db, clo_pfn(clo_align_down(pfn.n, 1ULL << f.order)));
	if (ret == 0)
		clo_stat_add(&g->splits, 1);
	return ret;
}

/* Are all frames of the block private order-0 folios? Locks them; on failure none is locked. */
static bool lock_pieces(struct clo_gmem *g, struct clo_pfn head, uint64_t pages, uint64_t *ready)
{
	uint64_t locked;

	*ready = 0;
	for (locked = 0; locked < pages; locked++) {
		struct clo_pfn pfn = clo_pfn(head.n + locked);
		struct clo_frame_info f;

		if (!clo_page_lock(g->db, pfn, NULL))
			break;
		f = clo_frame_get(g->db, pfn);
		if (f.state != CLO_FRAME_PRIVATE || f.order != 0 || f.pins != 0 ||
		    (f.flags & CLO_FRAME_POISON)) {
			/* A larger folio is locked by its head: this frame, the first we met. */
			clo_page_unlock(g->db, clo_pfn(clo_align_down(pfn.n, 1ULL << f.order)));
			break;
		}
		if (f.flags & CLO_FRAME_UPTODATE)
			++*ready;
	}
	if (locked == pages)
		return true;
	while (locked-- > 0)
		clo_page_unlock(g->db, clo_pfn(head.n + locked));
	return false;
}

/* One that is ready makes all ready: the others get their zeroes now. */
static void even_out(struct clo_gmem *g, struct clo_pfn head, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++) {
		struct clo_pfn pfn = clo_pfn(head.n + i);

		if (clo_frame_get(g->db, pfn).flags & CLO_FRAME_UPTODATE)
			continue;
		if (!clo_broken(CLO_BREAK_ZERO))
			clo_page_zero(g->db, pfn);
		clo_page_set_uptodate(g->db, pfn, true);
		clo_stat_add(&g->zeroed, 1);
	}
}

static bool merge(struct clo_gmem *g, struct clo_pfn pfn, struct clo_range block)
{
	uint64_t pages = clo_range_len(block);
	uint64_t ready;

	/* Most blocks that cannot merge show it here, without a lock taken. */
	for (uint64_t i = 0; i < pages; i += pages - 1) {
		struct clo_frame_info f = clo_frame_get(g->db, clo_pfn(pfn.n + i));

		if (f.state != CLO_FRAME_PRIVATE || f.order != 0)
			return false;
	}
	if (!clo_attr_range_is(g->attr, block, true) || !lock_pieces(g, pfn, pages, &ready))
		return false;
	if (ready != 0 && ready != pages)
		even_out(g, pfn, pages);
	if (clo_page_merge(g->db, pfn, g->page_order)) {
		for (uint64_t i = 0; i < pages; i++)
			clo_page_unlock(g->db, clo_pfn(pfn.n + i));
		return false;
	}
	clo_page_unlock(g->db, pfn);
	clo_stat_add(&g->merges, 1);
	return true;
}

bool clo_gmem_merge_block(struct clo_gmem *g, uint64_t index)
{
	uint64_t first = clo_align_down(index, 1ULL << g->page_order);
	struct gmem_window *win;
	bool done;

	/* In use: one that is on its way out has no frames to merge. */
	if (!g->page_order || !gmem_window_use(g, first, &win))
		return false;
	done = merge(g, gmem_window_pfn(win, first),
		     clo_range(first, first + (1ULL << g->page_order)));
	gmem_window_put(g, win, true);
	return done;
}
