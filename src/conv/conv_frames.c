/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/conv_frames.c - the folios of a conversion: collect and lock, check pins, change, turn back.
 *
 * The collection (a bit per page) is what makes a folio ours: while the file's invalidation is in
 * progress an allocation that comes too late appears for a moment, locked by its own thread, and
 * goes away again; it must not be taken for one of ours.
 */
#include "conv_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static size_t words_of(const struct conv_seg *seg)
{
	return (size_t)((clo_range_len(seg->work) + 63) / 64);
}

int conv_frames_prepare(struct conv_seg *seg)
{
	size_t words = words_of(seg);

	if (words <= CLO_ARRAY_SIZE(seg->locked_inline))
		seg->locked = seg->locked_inline;
	else
		seg->locked = clo_alloc_sparse(words * sizeof(uint64_t));
	seg->first = seg->work.end;
	seg->last = seg->work.start;
	return seg->locked ? 0 : clo_fail_heap("conversion");
}

void conv_frames_release(struct conv_seg *seg)
{
	if (seg->locked && seg->locked != seg->locked_inline)
		clo_free_sparse(seg->locked, words_of(seg) * sizeof(uint64_t));
	if (seg->made)
		clo_free_sparse(seg->made, words_of(seg) * sizeof(uint64_t));
	clo_free(seg->content);
}

static void mark(struct conv_seg *seg, uint64_t index, bool on)
{
	uint64_t bit = index - seg->work.start;

	if (!on) {
		seg->locked[bit / 64] &= ~(1ULL << bit % 64);
		return;
	}
	seg->locked[bit / 64] |= 1ULL << bit % 64;
	seg->first = index < seg->first ? index : seg->first;
	seg->last = index > seg->last ? index : seg->last;
}

/*
 * First marked index >= @from, or work.end. What is marked has a frame, so at the end of each page
 * of the bitmap the file says where it goes on: pages of a large file may be TiB apart.
 */
static uint64_t next_marked(const struct conv_seg *seg, uint64_t from)
{
	uint64_t at = from > seg->first ? from : seg->first;
	struct clo_pfn pfn;

	while (at <= seg->last && at < seg->work.end) {
		uint64_t bit = at - seg->work.start;
		uint64_t rest = seg->locked[bit / 64] & (~0ULL << bit % 64);

		if (rest)
			return seg->work.start + bit / 64 * 64 + (uint64_t)__builtin_ctzll(rest);
		at = seg->work.start + (bit | 63) + 1;
		if ((bit / 64 + 1) % 512 == 0 &&
		    !clo_gmem_next_frame(seg->g, &at, seg->work.end, &pfn))
			break;
	}
	return seg->work.end;
}

static struct clo_pfn pfn_of(const struct conv_seg *seg, uint64_t index)
{
	struct clo_pfn pfn = clo_pfn(0);
	bool there = clo_gmem_pfn(seg->g, index, &pfn);

	assert(there);
	(void)there;
	return pfn;
}

#define FOR_EACH_MARKED(seg, index)                                                                \
	for (uint64_t index = next_marked(seg, (seg)->work.start); index < (seg)->work.end;        \
	     index = index + 1 < (seg)->work.end ? next_marked(seg, index + 1) : (seg)->work.end)

void conv_frames_unlock(struct conv_seg *seg)
{
	struct clo_pagedb *db = clo_gmem_pagedb(seg->g);

	FOR_EACH_MARKED (seg, index)
		clo_page_unlock(db, pfn_of(seg, index));
}

static bool is_marked(const uint64_t *map, const struct conv_seg *seg, uint64_t index)
{
	uint64_t bit = index - seg->work.start;

	return map && (map[bit / 64] >> bit % 64 & 1);
}

/* A page that this conversion has made, locked, and that nobody has. */
static void unmake(struct conv_seg *seg, uint64_t index)
{
	clo_gmem_unmake(seg->g, index, pfn_of(seg, index));
	mark(seg, index, false);
}

static void unmake_all(struct conv_seg *seg)
{
	FOR_EACH_MARKED (seg, index) {
		if (is_marked(seg->made, seg, index))
			unmake(seg, index);
	}
}

void conv_frames_drop(struct conv_seg *seg)
{
	FOR_EACH_MARKED (seg, index)
		mark(seg, index, false);
}

void conv_frames_forget(struct conv_seg *seg)
{
	unmake_all(seg);
	conv_frames_unlock(seg);
	conv_frames_drop(seg);
}

int conv_frames_make_room(struct conv_seg *seg)
{
	seg->made = clo_alloc_sparse(words_of(seg) * sizeof(uint64_t));
	return seg->made ? 0 : clo_fail_heap("conversion");
}

/* Is page @index in a folio of the collection? */
static bool is_ours(const struct conv_seg *seg, uint64_t index)
{
	return is_marked(seg->locked, seg, index) ||
	       (clo_gmem_page_order(seg->g) > 0 &&
		is_marked(seg->locked, seg,
			  clo_align_down(index, 1ULL << clo_gmem_page_order(seg->g))) &&
		clo_frame_get(clo_gmem_pagedb(seg->g), pfn_of(seg, index)).order > 0);
}

static int make_page(struct conv_seg *seg, uint64_t index)
{
	struct clo_pagedb *db = clo_gmem_pagedb(seg->g);

	for (;;) {
		struct clo_pfn pfn, head;
		int ret = clo_gmem_make_locked(seg->g, index, &pfn);

		if (ret == 0) {
			uint64_t bit = index - seg->work.start;

			mark(seg, index, true);
			seg->made[bit / 64] |= 1ULL << bit % 64;
		}
		if (ret != -EEXIST)
			return ret;
		/* Somebody who comes too late takes it back before he unlocks it. */
		if (clo_page_lock(db, pfn, &head)) {
			clo_page_unlock(db, head);
			clo_relax();
		}
	}
}

int conv_frames_make(struct conv *c, struct conv_seg *seg, struct clo_range pages)
{
	struct clo_pagedb *db = clo_gmem_pagedb(seg->g);

	for (uint64_t at = pages.start; at < pages.end; at++) {
		int ret = 0;

		if (!is_ours(seg, at))
			ret = make_page(seg, at);
		else if (clo_frame_get(db, pfn_of(seg, at)).flags & CLO_FRAME_POISON)
			ret = -EHWPOISON;
		if (ret) {
			conv_fail_at(c, seg->g, at);
			return ret;
		}
	}
	return 0;
}

/* Lock and take in the folio that holds @index; returns the index after it. */
static int take_folio(struct conv *c, struct conv_seg *seg, struct clo_pfn pfn, uint64_t *index)
{
	struct clo_pagedb *db = clo_gmem_pagedb(seg->g);
	struct clo_frame_info f;
	struct clo_pfn head, pinned;
	uint64_t first;

	if (!clo_gmem_lock_frame(seg->g, *index, pfn, &head)) {
		*index += 1;
		return 0;
	}
	f = clo_frame_get(db, head);
	first = *index - (pfn.n - head.n);
	*index = first + (1ULL << f.order);
	if ((f.state == CLO_FRAME_PRIVATE) == c->to_private) {
		clo_page_unlock(db, head);
		return 0;
	}
	mark(seg, first, true);
	if (f.order > 0)
		seg->splits = true;
	if (c->to_private && !clo_broken(CLO_BREAK_PIN_CHECK) && clo_page_pins(db, head, &pinned)) {
		conv_fail_at(c, seg->g, first + (pinned.n - head.n));
		return -EAGAIN;
	}
	return 0;
}

int conv_frames_lock(struct conv *c, struct conv_seg *seg)
{
	struct clo_pfn pfn;

	for (uint64_t index = seg->index.start;
	     clo_gmem_next_frame(seg->g, &index, seg->index.end, &pfn);) {
		int ret = take_folio(c, seg, pfn, &index);

		if (ret)
			return ret;
	}
	return 0;
}

/* The pages of the folio at @first that are converted. */
static struct clo_range folio_pages(struct conv_seg *seg, uint64_t first)
{
	unsigned order = clo_frame_get(clo_gmem_pagedb(seg->g), pfn_of(seg, first)).order;

	return clo_range_clip(clo_range(first, first + (1ULL << order)), seg->index);
}

int conv_frames_save_room(struct conv_seg *seg)
{
	uint64_t pages = 0;

	FOR_EACH_MARKED (seg, index)
		pages += clo_range_len(folio_pages(seg, index));
	if (pages == 0)
		return 0;
	seg->content = clo_alloc((size_t)(pages * CLO_PAGE_SIZE));
	return seg->content ? 0 : clo_fail_heap("conversion");
}

void conv_frames_save(struct conv_seg *seg)
{
	struct clo_pagedb *db = clo_gmem_pagedb(seg->g);
	uint64_t at = 0;

	if (!seg->content)
		return;
	FOR_EACH_MARKED (seg, index) {
		struct clo_range r = folio_pages(seg, index);
		size_t bytes = (size_t)(clo_range_len(r) * CLO_PAGE_SIZE);

		/* Not up to date: the frame holds an earlier owner's bytes; the page's are zeroes.
		 */
		if (clo_frame_get(db, pfn_of(seg, index)).flags & CLO_FRAME_UPTODATE)
			memcpy(seg->content + at, clo_page_addr(db, pfn_of(seg, r.start)), bytes);
		at += bytes;
	}
}

/* Pieces outside the range stay private and are let go; those inside join the collection. */
static void split_folio(struct conv_seg *seg, uint64_t first)
{
	struct clo_pagedb *db = clo_gmem_pagedb(seg->g);
	struct clo_pfn head = pfn_of(seg, first);
	unsigned order = clo_frame_get(db, head).order;
	int ret = clo_gmem_split_block(seg->g, first);

	assert(ret == 0); /* its leaves were zapped before */
	(void)ret;
	for (uint64_t i = 0; i < 1ULL << order; i++) {
		bool inside = clo_range_contains(seg->index, first + i);

		mark(seg, first + i, inside);
		if (!inside)
			clo_page_unlock(db, clo_pfn(head.n + i));
	}
}

/* The host is about to see the page: no byte of the guest (zero policy), none of an earlier owner
 * (never made up to date). */
static void make_presentable(struct clo_pagedb *db, const struct conv_seg *seg, struct clo_pfn pfn)
{
	bool ready = (clo_frame_get(db, pfn).flags & CLO_FRAME_UPTODATE) != 0;

	if ((!seg->zero && ready) || clo_broken(CLO_BREAK_ZERO))
		return;
	clo_page_zero(db, pfn);
	clo_page_set_uptodate(db, pfn, true);
}

static void commit_folio(struct conv *c, struct conv_seg *seg, uint64_t index)
{
	struct clo_pagedb *db = clo_gmem_pagedb(seg->g);
	struct clo_pfn pfn = pfn_of(seg, index);
	int ret;

	/* Mail 4: the up-to-date flag goes with the content policy. Towards the guest the zeroing
	 * waits for the next use; towards the host it is done now, because a host mapping or a
	 * device may look at once. */
	if (seg->zero && c->to_private && !clo_broken(CLO_BREAK_ZERO))
		clo_page_set_uptodate(db, pfn, false);
	if (!c->to_private)
		make_presentable(db, seg, pfn);
	if (!seg->zero && clo_broken(CLO_BREAK_PRESERVE))
		clo_page_zero(db, pfn);
	ret = clo_page_step(db, pfn,
			    c->to_private ? CLO_FRAME_MAKE_PRIVATE : CLO_FRAME_MAKE_SHARED);
	assert(ret == 0); /* pins were checked under the same folio lock */
	(void)ret;
	if (clo_gmem_flags(seg->g) & CLO_GMEM_NO_DIRECT_MAP)
		clo_page_set_direct(db, pfn, !c->to_private);
}

void conv_frames_commit(struct conv *c, struct conv_seg *seg)
{
	struct clo_pagedb *db = clo_gmem_pagedb(seg->g);

	if (seg->splits) {
		FOR_EACH_MARKED (seg, index) {
			if (clo_frame_get(db, pfn_of(seg, index)).order > 0)
				split_folio(seg, index);
		}
	}
	FOR_EACH_MARKED (seg, index)
		commit_folio(c, seg, index);
}

/* Nobody can have pinned a page but a listener that kept one after it was told to unmap. */
bool conv_frames_relock(struct conv_seg *seg)
{
	struct clo_pagedb *db = clo_gmem_pagedb(seg->g);
	bool pinned = false;

	FOR_EACH_MARKED (seg, index) {
		bool locked = clo_page_lock(db, pfn_of(seg, index), NULL);

		assert(locked); /* it cannot vanish under its range lock */
		(void)locked;
		pinned |= clo_page_pins(db, pfn_of(seg, index), NULL) != 0;
	}
	if (pinned)
		conv_frames_unlock(seg);
	return !pinned;
}

void conv_frames_revert(struct conv_seg *seg)
{
	struct clo_pagedb *db = clo_gmem_pagedb(seg->g);
	size_t at = 0;

	FOR_EACH_MARKED (seg, index) {
		struct clo_pfn pfn = pfn_of(seg, index);
		int ret;

		if (is_marked(seg->made, seg, index)) {
			unmake(seg, index);
			at += CLO_PAGE_SIZE;
			continue;
		}
		ret = clo_page_step(db, pfn, CLO_FRAME_MAKE_PRIVATE);
		assert(ret == 0);
		(void)ret;
		if (seg->content)
			memcpy(clo_page_addr(db, pfn), seg->content + at, CLO_PAGE_SIZE);
		at += CLO_PAGE_SIZE;
		if (clo_gmem_flags(seg->g) & CLO_GMEM_NO_DIRECT_MAP)
			clo_page_set_direct(db, pfn, false);
	}
	conv_frames_unlock(seg);
	conv_frames_drop(seg);
}

void conv_frames_tell_inaccessible(struct conv *c, struct conv_seg *seg)
{
	if (!c->vm->hooks.inaccessible)
		return;
	FOR_EACH_MARKED (seg, index) {
		struct clo_range pages = folio_pages(seg, index);

		clo_gmem_for_each_piece(seg->g, pages, pfn_of(seg, pages.start),
					clo_vm_tell_inaccessible, c->vm);
	}
}
