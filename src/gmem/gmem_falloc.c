/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/gmem_falloc.c - fallocate: allocate, punch hole; and how folios are freed.
 *
 * A hole is punched in this order: the file's and the mmu's invalidation begin; leaves are zapped,
 * one shoot-down; the range leaves the host's views; the trust model lets go; frames are freed and
 * their memory is given back; the invalidations end. Frames are freed only when nothing can reach
 * them (I5), and nothing new can be made in the range before the end.
 */
#include "gmem_internal.h"

#include <assert.h>
#include <errno.h>

#define MODE_ALLOCATE CLO_FALLOC_KEEP_SIZE
#define MODE_PUNCH    (CLO_FALLOC_KEEP_SIZE | CLO_FALLOC_PUNCH_HOLE)

/*
 * A host touch that asked before the invalidation began may still hold a folio and be about to map
 * it (gmem_resolve). Wait for these; those that come later are turned away. -EAGAIN, with
 * @refuse_pins: a page of @index is pinned.
 */
static int wait_holders(struct clo_gmem *g, struct clo_range index, bool refuse_pins)
{
	struct gmem_hold h;

	for (uint64_t at = index.start; gmem_folio_lock_next(g, &at, index.end, &h);) {
		bool pinned = refuse_pins && clo_page_pins(g->db, h.head, NULL) != 0;

		clo_page_unlock(g->db, h.head);
		if (pinned)
			return -EAGAIN;
	}
	return 0;
}

void gmem_drop_views(struct clo_gmem *g, struct clo_range index)
{
	if (!g->views)
		return;
	(void)wait_holders(g, index, false);
	clo_view_drop(g->views, index);
}

/* The reverse map would refuse to free a mapped frame, and hide what the break is to show. */
static void forget_rmap(struct clo_gmem *g, const struct gmem_hold *h)
{
	for (uint64_t i = 0; i < 1ULL << h->order; i++) {
		struct clo_pfn pfn = clo_pfn(h->head.n + i);
		enum clo_level level;
		struct clo_gfn gfn;
		uint32_t vm;

		if (clo_page_rmap_get(g->db, pfn, &level, &vm, &gfn))
			(void)clo_page_rmap_drop(g->db, pfn, vm, gfn);
	}
}

/* The lock goes with it. True: the frames are free. */
static bool free_folio(struct clo_gmem *g, const struct gmem_hold *h, bool closing)
{
	bool pinned = clo_page_pins(g->db, h->head, NULL) != 0;

	if (!pinned && clo_page_step(g->db, h->head, CLO_FRAME_FREE_OP) == 0)
		return true;
	/* Somebody's DMA still reaches it. (Or a leaf does, against all rules: the frame must not
	 * be reused either.) */
	if (closing) {
		int unpinned;

		clo_a64_add(&g->lost, 1ULL << h->order); /* before the unpin that takes it off */
		unpinned = clo_page_step(g->db, h->head, CLO_FRAME_LEAK);
		assert(unpinned >= 0);
		clo_a64_sub(&g->lost, (uint64_t)unpinned);
		return (uint64_t)unpinned == 1ULL << h->order;
	}
	if (pinned) {
		clo_page_zero(g->db, h->head);
		clo_page_set_uptodate(g->db, h->head, true);
		clo_stat_add(&g->punched_pinned, 1ULL << h->order);
	}
	clo_page_unlock(g->db, h->head);
	return false;
}

/* Frames that were freed one after the other, in a window that is in use: nobody gets their pfns
 * before their memory has gone. */
struct run {
	struct gmem_window *win;
	struct clo_pfn start;
	uint64_t pages;
};

static void run_end(struct clo_gmem *g, struct run *run)
{
	if (run->pages)
		clo_page_discard(g->db, run->start, run->pages);
	run->pages = 0;
}

void gmem_free_range(struct clo_gmem *g, struct clo_range index, bool closing)
{
	struct run run = { .win = NULL };
	struct gmem_hold h;

	for (uint64_t at = index.start; gmem_folio_lock_next(g, &at, index.end, &h);) {
		if (clo_broken(CLO_BREAK_FREE_BEFORE_ZAP))
			forget_rmap(g, &h);
		if (run.win && !gmem_window_has(run.win, at - 1))
			run_end(g, &run);
		gmem_window_move(g, &run.win, at - 1);
		if (!free_folio(g, &h, closing))
			continue;
		clo_stat_add(&g->punched, closing ? 0 : 1ULL << h.order);
		if (run.start.n + run.pages != h.head.n)
			run_end(g, &run);
		if (run.pages == 0)
			run.start = h.head;
		run.pages += 1ULL << h.order;
	}
	run_end(g, &run);
	if (run.win)
		gmem_window_put(g, run.win, false);
	gmem_map_trim(g, index);
	clo_note("hole: frames freed, from file page", index.start);
}

static int punch(struct clo_gmem *g, struct clo_range index)
{
	struct clo_rangelock_hold hold;
	int ret = 0;

	clo_rangelock_lock(&g->ranges, index, &hold);
	clo_inval_begin(&g->inval, index);
	/* A huge file cannot keep one page of a hole. New pins wait for the range. */
	if (g->page_order)
		ret = wait_holders(g, index, true);
	if (ret == 0) {
		gmem_stage2_begin(g, index);
		if (clo_broken(CLO_BREAK_FREE_BEFORE_ZAP))
			gmem_free_range(g, index, false);
		gmem_stage2_zap(g, index, CLO_ZAP_PUNCH);
		gmem_drop_views(g, index);
		clo_gmem_invalidate(g, index, CLO_INVALIDATE_HOLE);
		gmem_free_range(g, index, false);
		gmem_stage2_end(g, index);
	}
	clo_inval_end(&g->inval, index);
	clo_rangelock_unlock(&g->ranges, &hold);
	/* At level REMAP a touch cannot ask for a page, so the mapping needs it now. Without memory
	 * the page stays hidden, the hole stands. */
	if (ret == 0 && g->views && clo_view_settle(g->views, index))
		clo_note("hole not mapped again", index.start);
	return ret;
}

/* Under the folio lock of each; one that is not up to date will be zeroed as a whole. */
static void zero_pages(struct clo_gmem *g, struct clo_range index)
{
	struct gmem_hold h;

	for (uint64_t at = index.start; gmem_folio_lock_next(g, &at, index.end, &h);) {
		struct clo_range r = clo_range_clip(clo_range(at - (1ULL << h.order), at), index);
		struct clo_pfn first = clo_pfn(h.head.n + (r.start - (at - (1ULL << h.order))));

		if (clo_frame_get(g->db, h.head).flags & CLO_FRAME_UPTODATE) {
			for (uint64_t i = 0; i < clo_range_len(r); i++)
				clo_page_zero_one(g->db, clo_pfn(first.n + i));
		}
		clo_page_unlock(g->db, h.head);
	}
}

/* Pages of a huge folio that stays: it was prepared as a whole, and its other pages still are. */
static void zero_part(struct clo_gmem *g, struct clo_range index)
{
	struct clo_rangelock_hold hold;

	if (index.start >= index.end)
		return;
	clo_rangelock_lock(&g->ranges, index, &hold);
	clo_inval_begin(&g->inval, index);
	clo_gmem_invalidate(g, index, CLO_INVALIDATE_HOLE);
	zero_pages(g, index);
	clo_inval_end(&g->inval, index);
	clo_rangelock_unlock(&g->ranges, &hold);
}

static bool has_bytes(struct clo_gmem *g, struct clo_range index)
{
	struct clo_pfn pfn;

	for (uint64_t at = index.start; clo_gmem_next_frame(g, &at, index.end, &pfn); at++) {
		if (clo_frame_get(g->db, pfn).flags & CLO_FRAME_UPTODATE)
			return true;
	}
	return false;
}

void clo_gmem_renew(struct clo_gmem *g, struct clo_range index)
{
	uint64_t block = 1ULL << g->page_order;
	struct clo_range whole =
		clo_range(clo_align_up(index.start, block), clo_align_down(index.end, block));

	if (whole.start >= whole.end)
		whole = clo_range(index.end, index.end);
	zero_part(g, clo_range(index.start, whole.start));
	zero_part(g, clo_range(whole.end, index.end));
	/* Nothing of it is pinned, so the hole is punched. */
	if (has_bytes(g, whole) && punch(g, whole))
		zero_part(g, whole);
}

static int allocate_one(struct clo_gmem *g, uint64_t index, uint64_t *next)
{
	struct gmem_hold h;
	int ret = gmem_folio_hold(g, index, clo_attr_is_private(g->attr, index), &h);

	if (ret == 0) {
		*next = index - (h.pfn.n - h.head.n) + (1ULL << h.order);
		clo_page_unlock(g->db, h.head);
	}
	return ret;
}

static int allocate(struct clo_gmem *g, struct clo_range index)
{
	uint64_t at = index.start;

	for (;;) {
		struct clo_rangelock_hold hold;
		int ret = 0;

		clo_rangelock_lock(&g->ranges, index, &hold);
		while (at < index.end && ret == 0)
			ret = allocate_one(g, at, &at);
		clo_rangelock_unlock(&g->ranges, &hold);
		/* A vCPU is at work on the folio, or a change nearby: as long as a hook likes. */
		if (ret != -EAGAIN)
			return ret;
		clo_relax();
		clo_gmem_wait(g, at, NULL);
	}
}

/*
 * A mode that fallocate(2) knows, whatever the file makes of it (vfs_fallocate; 128 since Linux
 * 6.17). It decides which errno comes first.
 */
static bool is_vfs_mode(int mode)
{
	switch (mode) {
	case 0:
	case MODE_ALLOCATE:
	case MODE_PUNCH:
	case 8:  /* COLLAPSE_RANGE */
	case 16: /* ZERO_RANGE */
	case 16 | CLO_FALLOC_KEEP_SIZE:
	case 32: /* INSERT_RANGE */
	case 64: /* UNSHARE_RANGE */
	case 64 | CLO_FALLOC_KEEP_SIZE:
	case 128: /* WRITE_ZEROES */
		return true;
	default:
		return false;
	}
}

int clo_gmem_fallocate(struct clo_gmem *g, int mode, int64_t off, int64_t len)
{
	uint64_t unit = CLO_PAGE_SIZE << g->page_order;
	struct clo_range index;

	if (clo_forked(g->fork_gen))
		return -EIO;
	/* The order of the checks is the kernel's: arguments, mode, wrap, then the file's own. */
	if (off < 0)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "off");
	if (len <= 0)
		return clo_fail(-EINVAL, len ? CLO_REASON_BOUNDS : CLO_REASON_EMPTY, "len");
	if (!is_vfs_mode(mode))
		return -EOPNOTSUPP;
	if (len > INT64_MAX - off)
		return -EFBIG;
	if (mode != MODE_ALLOCATE && mode != MODE_PUNCH)
		return -EOPNOTSUPP;
	if (!clo_is_aligned((uint64_t)off, unit))
		return clo_fail(-EINVAL, CLO_REASON_ALIGN, "off");
	if (!clo_is_aligned((uint64_t)len, unit))
		return clo_fail(-EINVAL, CLO_REASON_ALIGN, "len");
	index = clo_range((uint64_t)off >> CLO_PAGE_SHIFT, (uint64_t)(off + len) >> CLO_PAGE_SHIFT);
	if (mode == MODE_ALLOCATE && index.end > g->npages)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "len");
	if (mode == MODE_ALLOCATE)
		return allocate(g, index);
	index = clo_range_clip(index, gmem_all(g));
	return index.start < index.end ? punch(g, index) : 0;
}
