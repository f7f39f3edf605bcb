/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/gmem_made.c - pages that a call makes before it does anything with them, so that it can give
 * them back when it cannot have all.
 *
 * They are made as fallocate makes them: there, charged, not up to date. Whoever uses such a page
 * (a guest, a host touch, a pin) makes it ready under its lock first. So one that is not ready has
 * been used by nobody, and to free it takes no zap and no change of the range.
 */
#include "gmem_internal.h"

#include <errno.h>

void gmem_made_init(struct gmem_made *m, struct clo_gmem *g, struct clo_range index)
{
	struct clo_pagedb_stats s;

	clo_pagedb_stats(g->db, &s);
	*m = (struct gmem_made){ .g = g, .start = index.start, .pages = clo_range_len(index) };
	/* There are never more. */
	if (m->pages > s.frames_limit)
		m->pages = s.frames_limit;
}

static size_t words(const struct gmem_made *m)
{
	return (size_t)((m->pages + 63) / 64);
}

/* Room for the bit of each page, when the first one is missing. */
static int make_room(struct gmem_made *m, uint64_t index)
{
	if (index - m->start >= m->pages)
		return clo_fail_heap("guest_memfd");
	if (!m->map)
		m->map = words(m) == 1 ? &m->few : clo_alloc_sparse(words(m) * sizeof(uint64_t));
	return m->map ? 0 : clo_fail_heap("guest_memfd");
}

/* 0: it is there, and not of the other kind. -ENOENT */
static int look(struct clo_gmem *g, uint64_t index)
{
	struct clo_frame_info f;
	struct gmem_window *win;

	if (!gmem_window_use(g, index, &win))
		return -ENOENT;
	f = clo_frame_get(g->db, gmem_window_pfn(win, index));
	gmem_window_put(g, win, true);
	if (f.state != CLO_FRAME_SHARED)
		return -ENOENT;
	return f.flags & CLO_FRAME_POISON ? -EHWPOISON : 0;
}

int gmem_made_page(struct gmem_made *m, uint64_t index)
{
	uint64_t bit = index - m->start;
	struct gmem_hold h;
	int ret = look(m->g, index);

	if (ret != -ENOENT)
		return ret;
	ret = make_room(m, index);
	if (ret == 0)
		ret = gmem_folio_hold(m->g, index, false, &h);
	if (ret)
		return ret;
	if (h.made) {
		m->map[bit / 64] |= 1ULL << bit % 64;
		m->any = true;
	}
	if (clo_frame_get(m->g->db, h.pfn).flags & CLO_FRAME_POISON)
		ret = -EHWPOISON;
	clo_page_unlock(m->g->db, h.head);
	return ret;
}

/* The page that this call has made at @index, if nobody has used it since. */
static void give_back(struct clo_gmem *g, uint64_t index)
{
	struct gmem_window *win;
	struct clo_pfn head;

	if (!gmem_window_use(g, index, &win))
		return; /* a hole was faster */
	if (clo_page_lock(g->db, gmem_window_pfn(win, index), &head)) {
		struct clo_frame_info f = clo_frame_get(g->db, head);

		bool unused = f.order == 0 && f.state == CLO_FRAME_SHARED && f.pins == 0 &&
			      !(f.flags & CLO_FRAME_UPTODATE);

		/* First the memory: nothing keeps others from the page once it is FREE. */
		if (unused)
			clo_page_discard(g->db, head, 1);
		if (!unused || clo_page_step(g->db, head, CLO_FRAME_FREE_OP))
			clo_page_unlock(g->db, head);
	}
	gmem_window_put(g, win, true);
}

void gmem_made_end(struct gmem_made *m, bool keep)
{
	for (size_t w = 0; !keep && m->any && w < words(m); w++) {
		for (uint64_t rest = m->map[w]; rest; rest &= rest - 1)
			give_back(m->g, m->start + w * 64 + (uint64_t)__builtin_ctzll(rest));
	}
	if (m->map && m->map != &m->few)
		clo_free_sparse(m->map, words(m) * sizeof(uint64_t));
}
