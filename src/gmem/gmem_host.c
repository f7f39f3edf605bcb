/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/gmem_host.c - the VMM's side of a file: mmap, access by offset, and the answer to a host
 * touch.
 */
#include "gmem_internal.h"

#include <errno.h>
#include <string.h>

/*
 * A host touch met a page that has no host mapping. The mapping is granted under the folio lock,
 * after a last look at the invalidation: a change that has begun is seen here, one that begins
 * later waits for the lock.
 */
int gmem_resolve(void *owner, uint64_t index, clo_view_grant_fn grant, void *garg)
{
	struct clo_gmem *g = owner;
	struct clo_inval_snap snap = clo_inval_snapshot(&g->inval, index);
	struct gmem_hold h;
	bool fresh;
	int ret;

	if (index >= g->npages)
		return -ERANGE;
	if (clo_inval_busy(&g->inval, index))
		return -EAGAIN;
	ret = gmem_folio_hold(g, index, false, &h);
	if (ret)
		return ret == -EFAULT ? -ERANGE : ret; /* closed */
	ret = gmem_folio_clear(g, &h, &fresh);
	if (ret == -EAGAIN)
		return ret;
	if (ret == 0 && fresh)
		clo_page_set_uptodate(g->db, h.head, true);
	if (ret == 0 && clo_inval_retry(&g->inval, index, snap) &&
	    !clo_broken(CLO_BREAK_GRANT_LOOK))
		ret = -EAGAIN;
	if (ret == 0) {
		uint64_t first = index - (h.pfn.n - h.head.n);
		uint64_t block = clo_align_down(index, GMEM_BLOCK_PAGES);

		struct clo_range r = clo_range_clip(clo_range(first, first + (1ULL << h.order)),
						    clo_range(block, block + GMEM_BLOCK_PAGES));

		if (clo_broken(CLO_BREAK_VIEW_GRANT))
			clo_page_unlock(g->db, h.head);
		grant(garg, r, clo_pfn(h.pfn.n - (index - r.start)));
	}
	if (ret || !clo_broken(CLO_BREAK_VIEW_GRANT))
		clo_page_unlock(g->db, h.head);
	return ret;
}

void gmem_transit(void *owner, uint64_t index)
{
	clo_relax();
	clo_gmem_wait(owner, index, NULL);
}

/* What a mapping of @index is made of. */
struct map_plan {
	struct clo_view_piece *pieces;
	struct clo_range *hidden;
	size_t piece_count, piece_room, hidden_count;
	struct clo_range kept; /* windows that are in use for it */
};

static void plan_release(struct map_plan *p)
{
	clo_free(p->pieces);
	clo_free(p->hidden);
}

static int add_piece(struct map_plan *p, struct clo_range r, struct clo_pfn base)
{
	if (p->piece_count == p->piece_room) {
		size_t room = p->piece_room ? 2 * p->piece_room : 8;
		struct clo_view_piece *more = clo_alloc(room * sizeof(*more));

		if (!more)
			return clo_fail_heap("mapping");
		if (p->pieces)
			memcpy(more, p->pieces, p->piece_count * sizeof(*more));
		clo_free(p->pieces);
		p->pieces = more;
		p->piece_room = room;
	}
	p->pieces[p->piece_count++] = (struct clo_view_piece){ r, base };
	return 0;
}

/* Windows that follow each other in the pool too are one piece: one mapping of the kernel's. */
static int add_window(struct map_plan *p, struct clo_range r, struct clo_pfn base)
{
	struct clo_view_piece *last = p->piece_count ? &p->pieces[p->piece_count - 1] : NULL;

	if (!last || last->base.n + clo_range_len(last->r) != base.n)
		return add_piece(p, r, base);
	last->r.end = r.end;
	return 0;
}

/* @index: inside the file, may be empty; @end: of the mapping, may be beyond the file. */
static int plan_pieces(struct clo_gmem *g, struct clo_range index, uint64_t map_end,
		       struct map_plan *p)
{
	int ret = 0;

	p->kept = clo_range(index.start, index.start);
	while (ret == 0 && p->kept.end < index.end) {
		uint64_t at = p->kept.end;
		struct gmem_window *win;

		ret = gmem_window_get(g, at, true, &win);
		if (ret)
			return ret;
		p->kept.end = win->start + (1ULL << win->order);
		ret = add_window(p, clo_range_clip(clo_range(at, p->kept.end), index),
				 gmem_window_pfn(win, at));
	}
	if (ret == 0 && index.end < map_end)
		ret = add_piece(p, clo_range(index.end, map_end), clo_pfn(0));
	return ret;
}

/* Visits the private runs of @index; stores them when there is room. */
static size_t private_runs(struct clo_gmem *g, struct clo_range index, struct clo_range *out)
{
	size_t n = 0;

	for (uint64_t at = index.start; at < index.end;) {
		bool is_private;
		struct clo_range run = clo_attr_run(g->attr, at, index.end, &is_private);

		if (is_private && out)
			out[n] = run;
		n += is_private;
		at = run.end;
	}
	return n;
}

static int plan_hidden(struct clo_gmem *g, struct clo_range index, struct map_plan *p)
{
	p->hidden_count = private_runs(g, index, NULL);
	if (p->hidden_count == 0)
		return 0;
	p->hidden = clo_alloc(p->hidden_count * sizeof(*p->hidden));
	if (!p->hidden)
		return clo_fail_heap("mapping");
	(void)private_runs(g, index, p->hidden);
	return 0;
}

/*
 * Level REMAP: a touch cannot ask for a page, so all shared ones are made now; those that cannot be
 * had for another reason than memory stay out of the mapping.
 */
static int make_shared(struct clo_gmem *g, struct clo_range index, struct gmem_made *made)
{
	int ret = 0;

	for (uint64_t at = index.start; at < index.end && ret != -ENOMEM;) {
		bool is_private;
		struct clo_range run = clo_attr_run(g->attr, at, index.end, &is_private);

		for (at = run.start; !is_private && at < run.end && ret != -ENOMEM;) {
			ret = gmem_made_page(made, at);
			if (ret == -EAGAIN)
				gmem_transit(g, at);
			else
				at++;
		}
		at = is_private ? run.end : at;
	}
	return ret == -ENOMEM ? ret : 0;
}

static int map_planned(struct clo_gmem *g, struct clo_range index, const struct map_plan *plan,
		       void **addr)
{
	struct gmem_made made;
	int ret = 0;

	gmem_made_init(&made, g, index);
	if (g->all_at_once)
		ret = make_shared(g, index, &made);
	if (ret == 0)
		ret = clo_view_map(g->views, plan->pieces, plan->piece_count, plan->hidden,
				   plan->hidden_count, addr);
	gmem_made_end(&made, ret == 0);
	return ret;
}

/* [start, end) in pages; beyond the file there is nothing whose attribute could change. */
static int map_range(struct clo_gmem *g, uint64_t start, uint64_t end, void **addr)
{
	struct clo_range index = clo_range_clip(clo_range(start, end), gmem_all(g));
	struct clo_rangelock_hold hold;
	struct map_plan plan = { 0 };
	int ret;

	if (index.start >= index.end)
		index = clo_range(start, start);
	/* The attributes must stand still between the look at them and the mapping that a
	 * conversion can find. */
	if (index.start < index.end)
		clo_rangelock_lock(&g->ranges, index, &hold);
	ret = plan_pieces(g, index, end, &plan);
	if (ret == 0)
		ret = plan_hidden(g, index, &plan);
	if (ret == 0)
		ret = map_planned(g, index, &plan, addr);
	if (index.start < index.end)
		clo_rangelock_unlock(&g->ranges, &hold);
	if (ret)
		gmem_windows_unmapped(g, plan.kept);
	plan_release(&plan);
	return ret;
}

/* The length of a mapping is rounded up; one that wraps then is 0. */
static uint64_t pages_of(uint64_t len)
{
	return (len + CLO_PAGE_SIZE - 1) >> CLO_PAGE_SHIFT;
}

int clo_gmem_mmap(struct clo_gmem *g, uint64_t off, uint64_t len, bool shared, void **addr)
{
	uint64_t npages = pages_of(len);
	int ret;

	if (clo_forked(g->fork_gen))
		return -EIO;
	/* mmap(2) checks the arguments and looks for room before it asks the file. */
	if (len == 0)
		return clo_fail(-EINVAL, CLO_REASON_EMPTY, "len");
	if (!clo_is_aligned(off, CLO_PAGE_SIZE))
		return clo_fail(-EINVAL, CLO_REASON_ALIGN, "off");
	if (npages == 0 || npages >= CLO_HVA_END >> CLO_PAGE_SHIFT)
		return clo_fail(-ENOMEM, CLO_REASON_SPACE, "len");
	if ((off >> CLO_PAGE_SHIFT) + npages > (uint64_t)INT64_MAX >> CLO_PAGE_SHIFT)
		return -EOVERFLOW;
	if (!(g->flags & CLO_GMEM_MMAP))
		return -ENODEV;
	if (!shared)
		return clo_fail(-EINVAL, CLO_REASON_UNSUPPORTED, "shared");
	if (!g->views)
		return -EOPNOTSUPP;
	off >>= CLO_PAGE_SHIFT;
	ret = map_range(g, off, off + npages, addr);
	return ret == -ENODEV ? -EOPNOTSUPP : ret;
}

int clo_gmem_munmap(struct clo_gmem *g, void *addr, uint64_t len)
{
	if (clo_forked(g->fork_gen))
		return -EIO;
	struct clo_range index;
	int ret;

	if (!g->views || pages_of(len) == 0)
		return clo_fail(-EINVAL, CLO_REASON_ABSENT, "addr");
	ret = clo_view_unmap(g->views, addr, pages_of(len), &index);
	if (ret == 0)
		gmem_windows_unmapped(g, index);
	return ret;
}

int clo_gmem_host_access(struct clo_gmem *g, uint64_t off, void *buf, size_t bytes, bool write)
{
	if (clo_forked(g->fork_gen))
		return -EIO;
	if (!(g->flags & CLO_GMEM_MMAP))
		return -ENODEV;
	if (!g->views)
		return -EOPNOTSUPP;
	if (clo_a32_get(&g->released) || off + bytes < off ||
	    off + bytes > g->npages << CLO_PAGE_SHIFT)
		return -EFAULT;
	return bytes ? clo_view_access(g->views, off, buf, bytes, write) : 0;
}
