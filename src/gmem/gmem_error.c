/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/gmem_error.c - a memory error on a page, by order (as the kernel's hwpoison-inject).
 *
 * What the kernel does for a guest_memfd (kvm_gmem_error_folio) is a hole that frees nothing: the
 * page leaves guest and host, stays at its index, and whoever asks for it is told.
 */
#include "gmem_internal.h"

#include <errno.h>

/* A huge page is lost as a whole, as in hugetlb. -ENOENT: no page there. */
static int mark(struct clo_gmem *g, uint64_t index)
{
	struct clo_pfn pfn, head;
	uint64_t frames;

	if (!clo_gmem_pfn(g, index, &pfn) || !clo_page_lock(g->db, pfn, &head))
		return -ENOENT;
	frames = 1ULL << clo_frame_get(g->db, head).order;
	for (uint64_t i = 0; i < frames; i++)
		clo_page_set_poison(g->db, clo_pfn(head.n + i), true);
	clo_page_unlock(g->db, head);
	return 0;
}

int clo_gmem_inject_memory_error(struct clo_gmem *g, uint64_t off)
{
	uint64_t block = 1ULL << g->page_order, index = off >> CLO_PAGE_SHIFT;
	struct clo_rangelock_hold hold;
	struct clo_range r;
	int ret;

	if (clo_forked(g->fork_gen))
		return -EIO;
	if (!clo_is_aligned(off, CLO_PAGE_SIZE))
		return clo_fail(-EINVAL, CLO_REASON_ALIGN, "off");
	if (index >= g->npages)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "off");
	r = clo_range(clo_align_down(index, block), clo_align_down(index, block) + block);
	clo_rangelock_lock(&g->ranges, r, &hold);
	clo_inval_begin(&g->inval, r);
	/* First, so that a touch which is on its way finds it. */
	ret = mark(g, index);
	if (ret == 0) {
		gmem_stage2_begin(g, r);
		gmem_stage2_zap(g, r, CLO_ZAP_RW_CHANGE);
		gmem_drop_views(g, r);
		gmem_stage2_end(g, r);
	}
	clo_inval_end(&g->inval, r);
	clo_rangelock_unlock(&g->ranges, &hold);
	/* Level REMAP: pages beside it that were dropped with it. The lost one stays hidden. */
	if (ret == 0 && g->views && clo_view_settle(g->views, r))
		clo_note("not mapped again", r.start);
	return ret;
}
