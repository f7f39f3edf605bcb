/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/conv_inplace.c - the file owns the attribute: the same frame is shared, then private, then
 * shared.
 *
 * All that can fail comes before conv_stage2_begin(), but for a DMA listener that refuses to map
 * pages that have become shared: the device can only be asked then. For that case everything needed
 * to turn back was set aside before (conv_dma, conv_frames_save_room), the range stays locked, and
 * vCPUs and host touches wait on the invalidation until the answer is there.
 */
#include "conv_internal.h"

#include <errno.h>

static void gmem_begin(struct conv *c)
{
	for (unsigned i = 0; i < c->seg_count; i++)
		clo_inval_begin(clo_gmem_inval(c->segs[i].g), c->segs[i].work);
}

static void gmem_end(struct conv *c)
{
	for (unsigned i = 0; i < c->seg_count; i++)
		clo_inval_end(clo_gmem_inval(c->segs[i].g), c->segs[i].work);
}

static int reserve(struct conv *c)
{
	int ret = 0;

	for (unsigned i = 0; i < c->seg_count && ret == 0; i++) {
		struct conv_seg *seg = &c->segs[i];

		ret = clo_attr_prepare(clo_gmem_attr(seg->g), seg->index, &seg->attr);
		if (ret == 0)
			ret = conv_frames_prepare(seg);
		if (ret)
			conv_fail_at(c, seg->g, seg->index.start);
	}
	if (ret == 0)
		ret = conv_dma_collect_inplace(c);
	for (unsigned i = 0; i < c->seg_count && ret == 0; i++) {
		struct conv_seg *seg = &c->segs[i];

		/* Else the device gets the VMM's memory, not the file's. */
		if (!c->to_private && c->dma.range_count &&
		    (clo_gmem_flags(seg->g) & CLO_GMEM_MMAP))
			ret = conv_frames_make_room(seg);
	}
	return ret;
}

static struct conv_seg *seg_of_run(struct conv *c, const struct conv_run *run)
{
	unsigned i = 0;

	/* Every run was collected from a part, so the last one needs no look. */
	while (i + 1 < c->seg_count && !(clo_gmem_attr(c->segs[i].g) == run->attr &&
					 clo_range_contains(c->segs[i].index, run->pages.start)))
		i++;
	return &c->segs[i];
}

/* A device maps what is there, so what it is about to be told of is made first. */
static int make_missing(struct conv *c)
{
	for (unsigned i = 0; i < c->dma.run_count; i++) {
		const struct conv_run *run = &c->dma.runs[i];
		struct conv_seg *seg = seg_of_run(c, run);
		int ret = seg->made ? conv_frames_make(c, seg, run->pages) : 0;

		if (ret)
			return ret;
	}
	return 0;
}

static void forget_frames(struct conv *c)
{
	for (unsigned i = 0; i < c->seg_count; i++)
		conv_frames_forget(&c->segs[i]);
}

static int lock_frames(struct conv *c)
{
	for (unsigned i = 0; i < c->seg_count; i++) {
		int ret = conv_frames_lock(c, &c->segs[i]);

		if (ret) {
			while (i-- > 0)
				conv_frames_forget(&c->segs[i]);
			return ret;
		}
	}
	return 0;
}

/* Until somebody has unpinned a page of the blamed file since the check. False: time is up. */
static bool wait_unpin(struct conv *c, uint64_t deadline)
{
	for (unsigned i = 0; i < c->seg_count; i++) {
		if (c->segs[i].g == c->err_gmem)
			return clo_gmem_wait_unpin(c->err_gmem, c->segs[i].unpins, deadline);
	}
	return false;
}

/* Begin the files' invalidation and collect the folios; wait for pins as long as the caller allows.
 * On failure neither is held. */
static int collect_frames(struct conv *c)
{
	uint64_t now = clo_now_ns();
	/* UINT64_MAX and the like: for ever. */
	uint64_t deadline = c->wait_ns < UINT64_MAX - now ? now + c->wait_ns : UINT64_MAX;

	for (;;) {
		int ret;

		/* Before the check, so that an unpin after it is not missed. */
		for (unsigned i = 0; i < c->seg_count; i++)
			c->segs[i].unpins = clo_gmem_unpin_count(c->segs[i].g);
		gmem_begin(c);
		ret = lock_frames(c);
		if (ret == 0)
			return 0;
		gmem_end(c);
		if (ret != -EAGAIN || c->wait_ns == 0 || !wait_unpin(c, deadline)) {
			(void)clo_gmem_pin_holder(c->err_gmem, c->err_index, c->holder,
						  sizeof(c->holder));
			return ret;
		}
	}
}

/* Views of the pages of @seg that are shared by its attribute now. */
static void show_shared(struct conv_seg *seg)
{
	struct clo_view_set *views = clo_gmem_views(seg->g);

	for (uint64_t at = seg->index.start; views && at < seg->index.end;) {
		bool is_private;
		struct clo_range run =
			clo_attr_run(clo_gmem_attr(seg->g), at, seg->index.end, &is_private);

		if (!is_private)
			clo_view_show(views, run);
		at = run.end;
	}
}

static int hide(struct conv *c)
{
	if (clo_broken(CLO_BREAK_VIEW_ZAP))
		return 0;
	for (unsigned i = 0; i < c->seg_count; i++) {
		struct clo_view_set *views = clo_gmem_views(c->segs[i].g);
		int ret = views ? clo_view_hide(views, c->segs[i].index) : 0;

		if (ret) {
			conv_fail_at(c, c->segs[i].g, c->segs[i].index.start);
			while (i-- > 0)
				show_shared(&c->segs[i]);
			return ret;
		}
	}
	return 0;
}

/* The change itself: cannot fail. Inside both invalidations (files, mmu), all folios locked. */
static void commit(struct conv *c)
{
	clo_note("convert: checked, folios locked; to private", c->to_private);
	conv_stage2_commit(c);
	for (unsigned i = 0; i < c->seg_count; i++) {
		struct conv_seg *seg = &c->segs[i];
		struct clo_attr *attr = clo_gmem_attr(seg->g);

		/* Not earlier: until it was zapped the guest could store into it. */
		conv_frames_save(seg);
		conv_frames_commit(c, seg);
		if (c->to_private)
			conv_frames_tell_inaccessible(c, seg);
		conv_holes_follow(c->vm, seg->g, attr, seg->index, c->to_private);
		clo_attr_commit(attr, seg->index, c->to_private, &seg->attr);
		conv_frames_unlock(seg);
		clo_note("convert: stored, first file page", seg->index.start);
	}
}

/*
 * A block whose pages are all private again is one folio again; shared pages stay folios of 4K, so
 * that a pin is about one page. The invalidation is still in progress: no fault takes a piece
 * meanwhile.
 */
static void merge(struct conv *c)
{
	for (unsigned i = 0; i < c->seg_count; i++) {
		struct conv_seg *seg = &c->segs[i];
		uint64_t block = 1ULL << clo_gmem_page_order(seg->g);

		for (uint64_t at = seg->work.start; block > 1 && at < seg->work.end; at += block)
			clo_gmem_merge_block(seg->g, at);
	}
}

static int to_private(struct conv *c)
{
	int ret = conv_dma_tell(c->vm, &c->dma, false, c->holder, sizeof(c->holder));

	if (ret)
		return ret;
	ret = collect_frames(c);
	if (ret == 0) {
		ret = hide(c);
		if (ret) {
			forget_frames(c);
			gmem_end(c);
		}
	}
	if (ret) {
		conv_dma_take_back(c->vm, &c->dma, true);
		return ret;
	}
	conv_stage2_begin(c);
	commit(c);
	merge(c);
	conv_stage2_end(c);
	gmem_end(c);
	return 0;
}

static int make_save_room(struct conv *c)
{
	if (c->dma.range_count == 0)
		return 0;
	for (unsigned i = 0; i < c->seg_count; i++) {
		int ret = c->segs[i].zero ? conv_frames_save_room(&c->segs[i]) : 0;

		if (ret) {
			conv_fail_at(c, c->segs[i].g, c->segs[i].index.start);
			return ret;
		}
	}
	return 0;
}

/*
 * A listener has refused the shared pages: private again, with their bytes. The leaves are not put
 * back; they fault in again. Where a listener keeps a pin though it was told to unmap, the pages
 * cannot be private (I2): they stay shared, and undo_failures says so.
 */
static void turn_back(struct conv *c)
{
	unsigned locked = 0;

	if (clo_broken(CLO_BREAK_UNDO))
		return;
	while (locked < c->seg_count && conv_frames_relock(&c->segs[locked]))
		locked++;
	if (locked < c->seg_count) {
		clo_stat_add(&c->vm->undo_failures, 1);
		while (locked-- > 0)
			conv_frames_unlock(&c->segs[locked]);
		return;
	}
	conv_stage2_zap_all(c);
	for (unsigned i = 0; i < c->dma.run_count; i++) {
		const struct conv_run *run = &c->dma.runs[i];

		conv_holes_follow(c->vm, seg_of_run(c, run)->g, run->attr, run->pages, true);
	}
	for (unsigned i = 0; i < c->seg_count; i++)
		conv_frames_revert(&c->segs[i]);
	conv_dma_restore_attr(&c->dma, true);
}

static int to_shared(struct conv *c)
{
	int ret = collect_frames(c);

	if (ret)
		return ret;
	ret = make_missing(c);
	if (ret == 0)
		ret = make_save_room(c);
	if (ret) {
		forget_frames(c);
		gmem_end(c);
		return ret;
	}
	conv_stage2_begin(c);
	commit(c);
	/* The host's views are still closed, and faults wait: until the listeners have agreed
	 * nothing new can be seen by anyone. */
	ret = conv_dma_tell(c->vm, &c->dma, true, c->holder, sizeof(c->holder));
	if (ret) {
		turn_back(c);
		merge(c);
	}
	for (unsigned i = 0; i < c->seg_count; i++)
		show_shared(&c->segs[i]);
	conv_stage2_end(c);
	gmem_end(c);
	return ret;
}

static int dry_run(struct conv *c)
{
	int ret = collect_frames(c);

	if (ret)
		return ret;
	forget_frames(c);
	gmem_end(c);
	return 0;
}

int conv_inplace(struct conv *c)
{
	int ret = conv_join_segs(c);

	if (ret)
		return ret;
	conv_lock_ranges(c);
	if (!conv_is_noop(c)) {
		ret = reserve(c);
		if (ret == 0)
			ret = c->dry_run      ? dry_run(c)
			      : c->to_private ? to_private(c)
					      : to_shared(c);
	}
	conv_unlock_ranges(c);
	return ret;
}

void conv_settle(struct conv *c)
{
	for (unsigned i = 0; !c->to_private && !c->dry_run && i < c->seg_count; i++) {
		struct clo_view_set *views = clo_gmem_views(c->segs[i].g);

		/* What it could not map is mapped by the next call, or stays unreachable: never a
		 * page of the wrong kind. */
		int late = views ? clo_view_settle(views, c->segs[i].index) : 0;

		(void)late;
	}
}
