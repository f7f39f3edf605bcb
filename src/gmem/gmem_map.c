/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/gmem_map.c - the file map: from an index to its frame, by window arithmetic.
 *
 * A file may be 2^63-4096 bytes, so nothing here is proportional to its size. Its index space is
 * cut into windows: runs of pfns, naturally aligned, reserved in the pool when a page in them is
 * first made. A window has 1 GiB (the whole file, if that is less), which keeps huge folios
 * contiguous and a mapping in few pieces. When the pool keeps the rest of its space back for
 * others, a window of 2M or of a single page does. A radix tree finds them: its root stands for the
 * whole file, below 1G, 2M and 4K are the levels, and a slot has a window (tagged) or a node.
 *
 * A window without a frame goes back to the pool, unless somebody uses it: an allocation under way,
 * or a mapping in the VMM. Whoever has freed a frame, or was the last user, looks whether it is so.
 * All changes of the tree are under map_lock. Against the readers, who have no lock:
 *
 * - Windows and nodes are freed a grace period after they have left the tree. A reader is in a read
 *   section, or knows of a frame or a use that keeps the window and all nodes above it.
 * - A use begins only while the window is not DYING, and it dies only without a use; so no folio is
 *   made in a window that has left.
 * - A reader without a use that looks at a frame's word asks afterwards whether the window is DEAD:
 *   it is made so before another file can get its pfns. If not, the word was this file's.
 */
#include "gmem_internal.h"

#include <assert.h>
#include <errno.h>

#define DYING (1ULL << 62) /* no new use; is there a frame? */
#define DEAD  (1ULL << 63) /* it has left */

#define NODE_BITS 9U
struct gmem_node {
	struct clo_aptr slot[1U << NODE_BITS];
	struct clo_rcu_head rcu;
};

static bool is_window(const void *p)
{
	return ((uintptr_t)p & 1) != 0;
}

static struct gmem_window *as_window(void *p)
{
	return (struct gmem_window *)(void *)((char *)p - 1);
}

/* Pages of a slot, as a power of two: of the root's, what the file needs. */
static unsigned child_order(unsigned order)
{
	return order <= NODE_BITS             ? 0
	       : order <= CLO_MAX_FOLIO_ORDER ? NODE_BITS
					      : order - NODE_BITS;
}

static unsigned slot_of(uint64_t index, unsigned order)
{
	return (unsigned)(index >> order) & ((1U << NODE_BITS) - 1);
}

void gmem_map_init(struct clo_gmem *g)
{
	while (1ULL << g->map_order < g->npages)
		g->map_order += g->map_order < CLO_MAX_FOLIO_ORDER ? 1 : NODE_BITS;
	g->least_order = g->page_order;
	/* Parts of a huge page cannot be mapped. */
	if (clo_pagedb_kind(g->db) == CLO_POOL_HUGETLB && g->map_order >= NODE_BITS &&
	    g->least_order < NODE_BITS)
		g->least_order = NODE_BITS;
}

static void destroy(struct clo_gmem *g, void *p)
{
	if (p && is_window(p)) {
		clo_page_window_release(g->db, as_window(p)->base, as_window(p)->order);
		clo_free(as_window(p));
	} else if (p) {
		for (unsigned i = 0; i < 1U << NODE_BITS; i++)
			destroy(g, clo_aptr_get(&((struct gmem_node *)p)->slot[i]));
		clo_free(p);
	}
}

void gmem_map_destroy(struct clo_gmem *g)
{
	destroy(g, clo_aptr_get(&g->root));
}

struct gmem_window *gmem_window_find(const struct clo_gmem *g, uint64_t index)
{
	void *p = clo_aptr_get(&g->root);
	unsigned order = g->map_order;

	while (p && !is_window(p)) {
		order = child_order(order);
		p = clo_aptr_get(&((struct gmem_node *)p)->slot[slot_of(index, order)]);
	}
	return p ? as_window(p) : NULL;
}

bool gmem_window_is_dead(const struct gmem_window *win)
{
	return (clo_a64_get(&win->users) & DEAD) != 0;
}

static bool use(struct gmem_window *win)
{
	uint64_t users = clo_a64_get(&win->users);

	do {
		if (users & (DYING | DEAD))
			return false;
	} while (!clo_a64_cas(&win->users, &users, users + 1));
	return true;
}

/* For a mapping, or a huge page, no less will do. */
static enum clo_window_use use_of(const struct clo_gmem *g, unsigned order, bool mapping)
{
	if (mapping || order == g->least_order)
		return order == 0 && !mapping ? CLO_WINDOW_LAST : CLO_WINDOW_NEEDED;
	return order > NODE_BITS ? CLO_WINDOW_WANTED : CLO_WINDOW_NEEDED;
}

/* What an empty slot gets: the window around @index, or a node for smaller ones. */
static int make_part(struct clo_gmem *g, uint64_t index, unsigned order, bool mapping, void **part)
{
	if (order <= CLO_MAX_FOLIO_ORDER) {
		struct gmem_window *win = clo_alloc(sizeof(*win));
		int ret;

		if (!win)
			return clo_fail_heap("window");
		ret = clo_page_window_reserve(g->db, order, use_of(g, order, mapping), &win->base);
		if (ret == 0) {
			win->order = order;
			win->start = clo_align_down(index, 1ULL << order);
			*part = (char *)win + 1;
			return 0;
		}
		clo_free(win);
		if (order <= g->least_order)
			return ret;
	}
	*part = clo_alloc(sizeof(struct gmem_node));
	return *part ? 0 : clo_fail_heap("window");
}

static int grow(struct clo_gmem *g, uint64_t index, bool mapping, struct gmem_window **out)
{
	struct clo_aptr *at = &g->root;

	for (unsigned order = g->map_order;; order = child_order(order)) {
		void *p;

		if (order < g->map_order)
			at = &((struct gmem_node *)clo_aptr_get(at))->slot[slot_of(index, order)];
		p = clo_aptr_get(at);
		if (!p) {
			int ret = make_part(g, index, order, mapping, &p);

			if (ret)
				return ret;
			clo_aptr_set(at, p);
		}
		if (is_window(p)) {
			*out = as_window(p);
			return 0;
		}
	}
}

bool gmem_window_use(const struct clo_gmem *g, uint64_t index, struct gmem_window **out)
{
	bool found;

	clo_rcu_read_lock();
	*out = gmem_window_find(g, index);
	found = *out && use(*out);
	clo_rcu_read_unlock();
	return found;
}

static void prune(struct clo_gmem *g, struct clo_aptr *at, unsigned order, uint64_t start,
		  struct clo_range index);

int gmem_window_get(struct clo_gmem *g, uint64_t index, bool mapping, struct gmem_window **out)
{
	int ret;

	if (gmem_window_use(g, index, out))
		return 0;
	clo_mutex_lock(&g->map_lock);
	ret = grow(g, index, mapping, out);
	if (ret == 0) {
		bool used = use(*out);

		assert(used); /* it dies under the lock only */
		(void)used;
	} else {
		prune(g, &g->root, g->map_order, 0, clo_range(index, index + 1));
	}
	clo_mutex_unlock(&g->map_lock);
	return ret;
}

void gmem_window_put(struct clo_gmem *g, struct gmem_window *win, bool look)
{
	struct clo_range index = clo_range(win->start, win->start + 1);
	struct clo_pfn base = win->base;
	unsigned order = win->order;

	/* From here on it may be gone. Frames of another file only save us the way. */
	if (clo_a64_sub(&win->users, 1) == 1 && look && clo_page_all_free(g->db, base, order))
		gmem_map_trim(g, index);
}

void gmem_window_move(struct clo_gmem *g, struct gmem_window **win, uint64_t index)
{
	int ret;

	if (*win && gmem_window_has(*win, index))
		return;
	if (*win)
		gmem_window_put(g, *win, true);
	ret = gmem_window_get(g, index, false, win);
	assert(ret == 0); /* it is there */
	(void)ret;
}

void gmem_windows_unmapped(struct clo_gmem *g, struct clo_range index)
{
	for (uint64_t at = index.start; at < index.end;) {
		struct gmem_window *win = gmem_window_find(g, at);

		if (!win)
			break; /* cannot be: what was mapped has windows */
		at = win->start + (1ULL << win->order);
		gmem_window_put(g, win, false);
	}
	gmem_map_trim(g, index);
}

static void free_window(struct clo_rcu_head *rcu)
{
	clo_free(CLO_CONTAINER_OF(rcu, struct gmem_window, rcu));
}

static void free_node(struct clo_rcu_head *rcu)
{
	clo_free(CLO_CONTAINER_OF(rcu, struct gmem_node, rcu));
}

/* Does it go? Then its pfns are the pool's again. */
static bool kill_window(struct clo_gmem *g, struct gmem_window *win)
{
	uint64_t none = 0;

	if (!clo_page_all_free(g->db, win->base, win->order) ||
	    !clo_a64_cas(&win->users, &none, DYING))
		return false;
	/* Once more: an allocation may have been here in between. */
	if (!clo_page_all_free(g->db, win->base, win->order) && !clo_broken(CLO_BREAK_WINDOW)) {
		clo_a64_set(&win->users, 0);
		return false;
	}
	clo_a64_set(&win->users, DYING | DEAD);
	clo_page_window_release(g->db, win->base, win->order);
	return true;
}

/* The slot @at stands for the @order pages from @start: windows of @index that nobody needs leave
 * it, and nodes that have none left. */
static void prune(struct clo_gmem *g, struct clo_aptr *at, unsigned order, uint64_t start,
		  struct clo_range index)
{
	void *p = clo_aptr_get(at);
	struct gmem_node *node = p;
	unsigned below = child_order(order);
	bool any = false;

	if (!p || !clo_range_overlaps(index, clo_range(start, start + (1ULL << order))))
		return;
	if (is_window(p)) {
		if (kill_window(g, as_window(p))) {
			clo_aptr_set(at, NULL); /* out of sight first */
			clo_rcu_defer(&as_window(p)->rcu, free_window);
		}
		return;
	}
	for (unsigned i = 0; i < 1U << NODE_BITS; i++, start += 1ULL << below) {
		prune(g, &node->slot[i], below, start, index);
		any = any || clo_aptr_get(&node->slot[i]);
	}
	if (!any) {
		clo_aptr_set(at, NULL);
		clo_rcu_defer(&node->rcu, free_node);
	}
}

void gmem_map_trim(struct clo_gmem *g, struct clo_range index)
{
	clo_mutex_lock(&g->map_lock);
	prune(g, &g->root, g->map_order, 0, index);
	clo_mutex_unlock(&g->map_lock);
}

bool clo_gmem_pfn(const struct clo_gmem *g, uint64_t index, struct clo_pfn *pfn)
{
	const struct gmem_window *win;

	if (index >= g->npages)
		return false;
	clo_rcu_read_lock();
	win = gmem_window_find(g, index);
	if (win)
		*pfn = gmem_window_pfn(win, index);
	clo_rcu_read_unlock();
	return win != NULL;
}

/* The first window that ends behind *index, which moves up to its start if it is before it. */
static struct gmem_window *next_window(void *p, unsigned order, uint64_t *index)
{
	unsigned below = child_order(order);

	if (!p || is_window(p))
		return p ? as_window(p) : NULL;
	for (unsigned i = slot_of(*index, below); i < 1U << NODE_BITS; i++) {
		uint64_t behind = ((*index >> below) + 1) << below;
		struct gmem_window *win =
			next_window(clo_aptr_get(&((struct gmem_node *)p)->slot[i]), below, index);

		if (win)
			return win;
		*index = behind;
	}
	return NULL;
}

static bool next_frame(const struct clo_gmem *g, uint64_t *at, uint64_t end, struct clo_pfn *pfn)
{
	while (*at < end) {
		const struct gmem_window *win =
			next_window(clo_aptr_get(&g->root), g->map_order, at);
		uint64_t stop;

		if (!win || *at >= end)
			return false;
		stop = win->start + (1ULL << win->order);
		stop = stop < end ? stop : end;
		*pfn = gmem_window_pfn(win, *at);
		if (clo_page_next_used(g->db, pfn, gmem_window_pfn(win, stop - 1).n + 1) &&
		    !gmem_window_is_dead(win)) {
			*at = win->start + (pfn->n - win->base.n);
			return true;
		}
		*at = stop;
	}
	return false;
}

bool clo_gmem_next_frame(const struct clo_gmem *g, uint64_t *at, uint64_t end, struct clo_pfn *pfn)
{
	bool found;

	clo_rcu_read_lock();
	found = next_frame(g, at, end, pfn);
	clo_rcu_read_unlock();
	return found;
}

bool clo_gmem_lock_frame(const struct clo_gmem *g, uint64_t index, struct clo_pfn pfn,
			 struct clo_pfn *head)
{
	const struct gmem_window *win;
	bool ours;

	if (!clo_page_lock(g->db, pfn, head))
		return false;
	/* The window may have gone since. If not, it stays: the locked folio is in it. */
	clo_rcu_read_lock();
	win = gmem_window_find(g, index);
	ours = win && !gmem_window_is_dead(win) && gmem_window_pfn(win, index).n == pfn.n;
	clo_rcu_read_unlock();
	if (!ours)
		clo_page_unlock(g->db, *head);
	return ours;
}

bool gmem_folio_lock_next(const struct clo_gmem *g, uint64_t *at, uint64_t end, struct gmem_hold *h)
{
	for (; clo_gmem_next_frame(g, at, end, &h->pfn); ++*at) {
		/* Only a locked folio can be trusted to be as large as it says: a claim of a huge
		 * one may be on its way back. */
		if (!clo_gmem_lock_frame(g, *at, h->pfn, &h->head))
			continue;
		h->order = clo_frame_get(g->db, h->head).order;
		*at += (1ULL << h->order) - (h->pfn.n - h->head.n);
		return true;
	}
	return false;
}

void gmem_wait_folio(struct clo_gmem *g, uint64_t index, struct clo_waiter *who)
{
	struct clo_pfn pfn;

	if (clo_gmem_pfn(g, index, &pfn))
		clo_page_wait(g->db, pfn, who);
}

void clo_gmem_wait(struct clo_gmem *g, uint64_t index, struct clo_waiter *who)
{
	if (clo_inval_busy(&g->inval, index))
		clo_inval_wait(&g->inval, index, who);
	else
		gmem_wait_folio(g, index, who);
}
