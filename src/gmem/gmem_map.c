/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/gmem_map.c - the file map: from an index to its frame, by window arithmetic.
 *
 * A file may be 2^63-4096 bytes, so nothing here is proportional to its size. Its index space is
 * cut into windows of at most 1 GiB, reserved in the pool when their first page is made; a radix
 * tree of 512-way nodes, as deep as the size asks, finds them. A file of up to 1 GiB has depth 0:
 * the root is the window. Readers take no lock and nodes are never removed before the file goes, so
 * they need no RCU either. Windows are naturally aligned: index and pfn are congruent modulo the
 * window, which is what makes huge folios possible.
 */
#include "gmem_internal.h"

#include <errno.h>

static unsigned slot_of(uint64_t w, unsigned depth)
{
	return (unsigned)(w >> (GMEM_NODE_BITS * (depth - 1))) & ((1U << GMEM_NODE_BITS) - 1);
}

void gmem_map_init(struct clo_gmem *g)
{
	uint64_t windows;

	while (g->win_order < CLO_MAX_FOLIO_ORDER && 1ULL << g->win_order < g->npages)
		g->win_order++;
	windows = ((g->npages - 1) >> g->win_order) + 1;
	while (windows > 1) {
		windows = ((windows - 1) >> GMEM_NODE_BITS) + 1;
		g->depth++;
	}
}

static void destroy(struct clo_gmem *g, void *p, unsigned depth)
{
	if (!p)
		return;
	if (depth == 0) {
		clo_page_window_release(g->db, ((struct gmem_window *)p)->base, g->win_order);
	} else {
		for (unsigned i = 0; i < 1U << GMEM_NODE_BITS; i++)
			destroy(g, clo_aptr_get(&((struct gmem_node *)p)->slot[i]), depth - 1);
	}
	clo_free(p);
}

void gmem_map_destroy(struct clo_gmem *g)
{
	destroy(g, clo_aptr_get(&g->root), g->depth);
}

struct gmem_window *gmem_window_find(const struct clo_gmem *g, uint64_t index)
{
	uint64_t w = index >> g->win_order;
	void *p = clo_aptr_get(&g->root);

	for (unsigned d = g->depth; p && d > 0; d--)
		p = clo_aptr_get(&((struct gmem_node *)p)->slot[slot_of(w, d)]);
	return p;
}

static struct gmem_window *reserve(struct clo_gmem *g)
{
	struct gmem_window *win = clo_alloc(sizeof(*win));

	if (win && clo_page_window_reserve(g->db, g->win_order, CLO_WINDOW_LAST, &win->base)) {
		clo_free(win);
		return NULL;
	}
	return win;
}

/* Nodes that a failed allocation leaves empty stay with the file: the next try uses them. */
static struct gmem_window *grow(struct clo_gmem *g, uint64_t index)
{
	uint64_t w = index >> g->win_order;
	struct clo_aptr *at = &g->root;
	void *p;

	for (unsigned d = g->depth;; d--) {
		p = clo_aptr_get(at);
		if (!p) {
			p = d > 0 ? clo_alloc(sizeof(struct gmem_node)) : (void *)reserve(g);
			if (!p)
				return NULL;
			clo_aptr_set(at, p);
		}
		if (d == 0)
			return p;
		at = &((struct gmem_node *)p)->slot[slot_of(w, d)];
	}
}

int gmem_window_get(struct clo_gmem *g, uint64_t index, struct gmem_window **out)
{
	*out = gmem_window_find(g, index);
	if (*out)
		return 0;
	clo_mutex_lock(&g->map_lock);
	*out = grow(g, index);
	clo_mutex_unlock(&g->map_lock);
	return *out ? 0 : -ENOMEM;
}

bool clo_gmem_pfn(const struct clo_gmem *g, uint64_t index, struct clo_pfn *pfn)
{
	const struct gmem_window *win = index < g->npages ? gmem_window_find(g, index) : NULL;

	if (win)
		*pfn = gmem_window_pfn(g, win, index);
	return win != NULL;
}

void gmem_window_touch(const struct clo_gmem *g, struct gmem_window *win, uint64_t index,
		       unsigned order)
{
	uint64_t first = index & ((1ULL << g->win_order) - 1);

	for (uint64_t b = first >> GMEM_BLOCK_ORDER;
	     b <= (first + (1ULL << order) - 1) >> GMEM_BLOCK_ORDER; b++) {
		struct clo_a64 *word = &win->touched[b / 64];

		if (!(clo_a64_get(word) & 1ULL << b % 64))
			clo_a64_or(word, 1ULL << b % 64);
	}
}

/* The first window with an index >= *index, which moves up to the window's first if before it. */
static struct gmem_window *next_window(const struct clo_gmem *g, void *p, unsigned depth,
				       uint64_t *index)
{
	unsigned shift = g->win_order + GMEM_NODE_BITS * (depth ? depth - 1 : 0);

	if (!p || depth == 0)
		return p;
	for (unsigned i = slot_of(*index >> g->win_order, depth); i < 1U << GMEM_NODE_BITS; i++) {
		uint64_t behind = ((*index >> shift) + 1) << shift;
		struct gmem_window *win = next_window(
			g, clo_aptr_get(&((struct gmem_node *)p)->slot[i]), depth - 1, index);

		if (win)
			return win;
		*index = behind;
	}
	return NULL;
}

/* In one window: *at moves to the first page that is in a folio, or to @end. */
static bool next_in_window(const struct clo_gmem *g, const struct gmem_window *win, uint64_t *at,
			   uint64_t end)
{
	while (*at < end) {
		uint64_t block = (*at & ((1ULL << g->win_order) - 1)) >> GMEM_BLOCK_ORDER;

		/* Sequentially consistent: pairs with the allocation that announces itself, then
		 * asks for the invalidation. */
		if (!(clo_a64_get_sc(&win->touched[block / 64]) & 1ULL << block % 64)) {
			*at = (*at | (GMEM_BLOCK_PAGES - 1)) + 1;
			continue;
		}
		if (clo_frame_get(g->db, gmem_window_pfn(g, win, *at)).state != CLO_FRAME_FREE)
			return true;
		++*at;
	}
	*at = end;
	return false;
}

bool clo_gmem_next_frame(const struct clo_gmem *g, uint64_t *at, uint64_t end, struct clo_pfn *pfn)
{
	while (*at < end) {
		const struct gmem_window *win =
			next_window(g, clo_aptr_get(&g->root), g->depth, at);
		uint64_t win_end = (*at | ((1ULL << g->win_order) - 1)) + 1;

		if (!win || *at >= end)
			return false;
		if (next_in_window(g, win, at, win_end < end ? win_end : end)) {
			*pfn = gmem_window_pfn(g, win, *at);
			return true;
		}
	}
	return false;
}

bool gmem_folio_lock_next(const struct clo_gmem *g, uint64_t *at, uint64_t end, struct gmem_hold *h)
{
	for (; clo_gmem_next_frame(g, at, end, &h->pfn); ++*at) {
		/* Only a locked folio can be trusted to be as large as it says: a claim of a huge
		 * one may be on its way back. */
		if (!clo_page_lock(g->db, h->pfn, &h->head))
			continue;
		h->order = clo_frame_get(g->db, h->head).order;
		*at += (1ULL << h->order) - (h->pfn.n - h->head.n);
		return true;
	}
	return false;
}
