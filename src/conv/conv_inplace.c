/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/conv_inplace.c - the file owns the attribute: the same frame is shared, then private, then
 * shared.
 *
 * All that can fail comes before the commit, but for a DMA listener that refuses to map pages that
 * have become shared: the device can only be asked then. For that case everything needed to turn
 * back was set aside before (conv_dma, conv_frames_save_room), the range stays locked, and vCPUs
 * and host touches wait on the invalidation until the answer is there.
 *
 * Who waits for a pin holds nothing: the conversion goes all the way down and is begun anew, see
 * clo_vm_convert().
 */
#include "conv_internal.h"

#include <assert.h>
#include <errno.h>

static bool is_noop(struct conv *c)
{
	for (unsigned i = 0; i < c->seg_count; i++) {
		if (!clo_attr_range_is(clo_gmem_attr(c->segs[i].g), c->segs[i].index,
				       c->to_private))
			return false;
	}
	return true;
}

static int reserve(struct conv *c)
{
	int ret = is_noop(c) ? CONV_NOTHING_TO_DO : 0;

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

static int tell_unmap(struct conv *c)
{
	return conv_dma_tell(c, false);
}

/* From here on no folio is made in the range. */
static int stop_files(struct conv *c)
{
	for (unsigned i = 0; i < c->seg_count; i++)
		clo_inval_begin(clo_gmem_inval(c->segs[i].g), c->segs[i].work);
	return 0;
}

static void go_on_files(struct conv *c)
{
	for (unsigned i = 0; i < c->seg_count; i++)
		clo_inval_end(clo_gmem_inval(c->segs[i].g), c->segs[i].work);
}

static int lock_frames(struct conv *c)
{
	int ret = 0;

	for (unsigned i = 0; i < c->seg_count && ret == 0; i++)
		ret = conv_frames_lock(c, &c->segs[i]);
	if (ret) {
		c->is_pinned = true;
		c->ticket = clo_gmem_blame(c->err_gmem, c->err_index, c->holder, sizeof(c->holder));
	}
	return ret;
}

/* Also what make() has made. */
static void forget_frames(struct conv *c)
{
	for (unsigned i = 0; i < c->seg_count; i++)
		conv_frames_forget(&c->segs[i]);
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

static int make(struct conv *c)
{
	int ret = make_missing(c);

	return ret ? ret : make_save_room(c);
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
	for (; c->hidden < c->seg_count; c->hidden++) {
		struct conv_seg *seg = &c->segs[c->hidden];
		struct clo_view_set *views = clo_gmem_views(seg->g);
		/* When it fails it has hidden nothing. */
		int ret = views ? clo_view_hide(views, seg->index) : 0;

		if (ret) {
			conv_fail_at(c, seg->g, seg->index.start);
			return ret;
		}
	}
	return 0;
}

static void show_hidden(struct conv *c)
{
	while (c->hidden > 0)
		show_shared(&c->segs[--c->hidden]);
}

/*
 * To shared: the trust model gives up the frames. Its hook is a stranger's, so nothing is locked
 * meanwhile but the range: private frames stay what they are without, as nobody can pin them.
 */
static void take_back(struct conv *c)
{
	bool locked = true;

	for (unsigned i = 0; i < c->seg_count; i++)
		conv_frames_unlock(&c->segs[i]);
	for (unsigned i = 0; i < c->seg_count; i++)
		clo_gmem_invalidate(c->segs[i].g, c->segs[i].index, CLO_INVALIDATE_TO_SHARED);
	for (unsigned i = 0; i < c->seg_count; i++)
		locked &= conv_frames_relock(&c->segs[i]);
	assert(locked);
	(void)locked;
}

/* The change itself: cannot fail. Inside the invalidation of the files, all folios locked but while
 * hooks run, and in that of the mmu, which only commit_end() ends. */
static int commit(struct conv *c)
{
	conv_stage2_begin(c);
	clo_note("convert: checked, folios locked; to private", c->to_private);
	conv_stage2_commit(c);
	/* Not earlier: until it was zapped the guest could store into it. */
	for (unsigned i = 0; i < c->seg_count; i++)
		conv_frames_save(&c->segs[i]);
	if (!c->to_private && c->seg_count && clo_gmem_has_hooks(c->segs[0].g))
		take_back(c);
	for (unsigned i = 0; i < c->seg_count; i++) {
		struct conv_seg *seg = &c->segs[i];
		struct clo_attr *attr = clo_gmem_attr(seg->g);

		conv_frames_commit(c, seg);
		conv_holes_follow(c->vm, seg->g, attr, seg->index, c->to_private);
		clo_attr_commit(attr, seg->index, c->to_private, &seg->attr);
		conv_frames_unlock(seg);
		clo_note("convert: stored, first file page", seg->index.start);
	}
	for (unsigned i = 0; c->to_private && i < c->seg_count; i++)
		conv_frames_tell_inaccessible(c, &c->segs[i]);
	return 0;
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

/*
 * A listener has refused the shared pages: private again, with their bytes. The leaves are not put
 * back; they fault in again. Where a listener keeps a pin though it was told to unmap, the pages
 * cannot be private (I2): they stay shared, and undo_failures says so.
 */
static void turn_back(struct conv *c)
{
	unsigned locked = 0;

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

/* The collection is of folios that commit() or turn_back() has unlocked. */
static void uncommit(struct conv *c)
{
	if (!clo_broken(CLO_BREAK_UNDO))
		turn_back(c);
	for (unsigned i = 0; i < c->seg_count; i++)
		conv_frames_drop(&c->segs[i]);
}

static void commit_end(struct conv *c)
{
	if (c->to_private || !c->done)
		merge(c);
	for (unsigned i = 0; !c->to_private && i < c->seg_count; i++)
		show_shared(&c->segs[i]);
	conv_stage2_end(c);
}

/* The host's views are still closed, and faults wait: until the listeners have agreed nothing new
 * can be seen by anyone. */
static int tell_map(struct conv *c)
{
	return conv_dma_tell(c, true);
}

/* clang-format off */
static const struct conv_step steps[CONV_PHASES] = {
	[CONV_LISTENING] = { CONV_IF_TOLD, conv_listeners_enter, NULL, conv_listeners_leave },
	[CONV_RANGED]    = { 0, conv_lock_parts, NULL, conv_unlock_ranges },
	[CONV_RESERVED]  = { 0, reserve, NULL, NULL },
	[CONV_UNMAPPED]  = { CONV_IF_TOLD | CONV_IF_PRIVATE, tell_unmap, conv_dma_take_back, NULL },
	[CONV_STOPPED]   = { 0, stop_files, NULL, go_on_files },
	[CONV_LOCKED]    = { 0, lock_frames, forget_frames, NULL },
	[CONV_MADE]      = { CONV_IF_SHARED, make, NULL, NULL },
	[CONV_HIDDEN]    = { CONV_IF_PRIVATE, hide, show_hidden, NULL },
	[CONV_COMMITTED] = { 0, commit, uncommit, commit_end },
	[CONV_MAPPED]    = { CONV_IF_TOLD | CONV_IF_SHARED, tell_map, conv_dma_take_back, NULL },
};
/* clang-format on */

int conv_inplace(struct conv *c)
{
	return conv_run(c, steps, c->dry_run ? CONV_LOCKED : CONV_PHASES - 1);
}

static void hull(void *arg, struct clo_range index, struct clo_range gfns)
{
	struct clo_range *all = arg;

	(void)index;
	all->start = gfns.start < all->start ? gfns.start : all->start;
	all->end = gfns.end > all->end ? gfns.end : all->end;
}

/* A file that cannot be mapped has the VMM's memory as its shared side: no use of it is left. */
static void wait_touches(struct conv *c)
{
	for (unsigned i = 0; c->done && c->to_private && i < c->seg_count; i++) {
		struct clo_range gfns = clo_range(UINT64_MAX, 0);

		if (clo_gmem_flags(c->segs[i].g) & CLO_GMEM_MMAP)
			continue;
		clo_gmem_for_each_gfn(c->segs[i].g, c->segs[i].index, hull, &gfns);
		if (gfns.start < gfns.end)
			clo_touch_wait(&c->vm->mmu, gfns);
	}
}

void conv_settle(struct conv *c)
{
	wait_touches(c);
	for (unsigned i = 0; c->done && !c->to_private && i < c->seg_count; i++) {
		struct clo_view_set *views = clo_gmem_views(c->segs[i].g);

		/* What it could not map is mapped by the next call, or stays unreachable: never a
		 * page of the wrong kind. */
		int late = views ? clo_view_settle(views, c->segs[i].index) : 0;

		(void)late;
	}
}
