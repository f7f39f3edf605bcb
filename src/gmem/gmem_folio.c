/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/gmem_folio.c - a folio for a guest: find or make, zero, prepare (mail 4).
 *
 * Up to date means ready for use in the kind that the folio has. It is the only thing between a new
 * holder and the old bytes (I3), and it is set under the folio lock after the zeroing, so nobody
 * gets the folio in between and nobody zeroes what a guest has written already (I4).
 *
 * A new folio and a change of its range meet so: the folio is made locked, and only then the
 * invalidation is asked. Either the change has not begun, and will find the locked folio; or it
 * has, and the folio goes away again before anyone has used it.
 */
#include "gmem_internal.h"

#include <assert.h>
#include <errno.h>

static unsigned order_for(struct clo_gmem *g, uint64_t index, bool is_private)
{
	/* Shared pages are pinned one by one: any shared page makes its whole block small
	 * (docs/design/guest-memfd.md). */
	if (!g->page_order || !is_private)
		return 0;
	return clo_attr_is_uniform(g->attr, index, (enum clo_level)(g->page_order / 9))
		       ? g->page_order
		       : 0;
}

static bool overtaken(struct clo_gmem *g, uint64_t index, unsigned order,
		      struct clo_inval_snap snap)
{
	/* A snapshot knows one 2M block; a 1G folio has to ask for any change. */
	if (order > GMEM_BLOCK_ORDER)
		return clo_inval_retry_any(&g->inval, snap);
	return clo_inval_retry(&g->inval, index, snap);
}

/* As clo_gmem_get_folio; -EEXIST: somebody else made it. */
static int make(struct clo_gmem *g, uint64_t index, bool is_private, struct clo_inval_snap snap,
		struct gmem_hold *h)
{
	enum clo_frame_op op = is_private ? CLO_FRAME_ALLOC_PRIVATE : CLO_FRAME_ALLOC_SHARED;
	unsigned order;
	int ret;

	if (clo_attr_is_private(g->attr, index) != is_private)
		return -EACCES;
	for (order = order_for(g, index, is_private);; order = 0) {
		h->head = clo_pfn(clo_align_down(h->pfn.n, 1ULL << order));
		ret = clo_page_alloc(g->db, h->head, order, g->owner, op);
		if (ret != -EEXIST || order == 0 ||
		    clo_frame_get(g->db, h->pfn).state != CLO_FRAME_FREE)
			break;
		/* Another vCPU is about to make the huge folio. Else pieces are left of a time when
		 * the block was mixed: it goes on in pieces. */
		if (clo_frame_get(g->db, h->head).order == order)
			return -EAGAIN;
	}
	if (ret)
		return ret;
	if (overtaken(g, index, order, snap) || clo_a32_get(&g->released)) {
		/* Nobody could pin or map it: this cannot fail. It drops the lock. */
		if (clo_page_step(g->db, h->head, CLO_FRAME_FREE_OP))
			clo_page_unlock(g->db, h->head);
		return -EAGAIN;
	}
	h->order = order;
	h->made = true;
	if (is_private && (g->flags & CLO_GMEM_NO_DIRECT_MAP))
		clo_page_set_direct(g->db, h->head, false);
	return 0;
}

/* An existing folio. A lock that is taken means a conversion, or another vCPU that makes it ready:
 * both are a retry. */
static int take(struct clo_gmem *g, bool is_private, struct gmem_hold *h)
{
	struct clo_frame_info f;

	if (!clo_page_trylock(g->db, h->pfn, &h->head))
		return clo_frame_get(g->db, h->pfn).state == CLO_FRAME_LEAKED ? -EFAULT : -EAGAIN;
	f = clo_frame_get(g->db, h->head);
	h->order = f.order;
	if ((f.state == CLO_FRAME_PRIVATE) == is_private)
		return 0;
	clo_page_unlock(g->db, h->head);
	return -EACCES;
}

int gmem_folio_hold(struct clo_gmem *g, uint64_t index, bool is_private, struct gmem_hold *h)
{
	struct clo_inval_snap snap;
	struct gmem_window *win;
	int ret;

	if (index >= g->npages)
		return -EFAULT;
	/* Before the attribute is read, and the flag, which release sets before it begins. */
	snap = clo_inval_snapshot(&g->inval, index);
	if (clo_a32_get(&g->released))
		return -EFAULT;
	ret = gmem_window_get(g, index, false, &win);
	if (ret)
		return ret;
	h->pfn = gmem_window_pfn(win, index);
	h->made = false;
	ret = -EEXIST;
	if (clo_frame_get(g->db, h->pfn).state == CLO_FRAME_FREE)
		ret = make(g, index, is_private, snap, h);
	if (ret == -EEXIST)
		ret = take(g, is_private, h);
	/* A folio that we hold keeps the window. */
	gmem_window_put(g, win, ret != 0);
	return ret;
}

int gmem_folio_clear(struct clo_gmem *g, struct gmem_hold *h, bool *fresh)
{
	*fresh = !(clo_frame_get(g->db, h->head).flags & CLO_FRAME_UPTODATE);
	/* Poison sits on the page itself, not on the folio. */
	if (clo_frame_get(g->db, h->pfn).flags & CLO_FRAME_POISON)
		return -EHWPOISON;
	if (!*fresh)
		return 0;
	clo_stat_add(&g->zeroed, 1ULL << h->order);
	if (clo_broken(CLO_BREAK_ZERO))
		return 0;
	if (clo_broken(CLO_BREAK_PREPARE_LOCK)) {
		clo_page_unlock(g->db, h->head);
		clo_page_zero(g->db, h->head);
		return clo_page_lock(g->db, h->pfn, &h->head) ? 0 : -EAGAIN;
	}
	clo_page_zero(g->db, h->head);
	return 0;
}

int clo_gmem_make_locked(struct clo_gmem *g, uint64_t index, struct clo_pfn *pfn)
{
	struct gmem_window *win;
	int ret;

	if (index >= g->npages || clo_a32_get(&g->released))
		return -EFAULT;
	ret = gmem_window_get(g, index, false, &win);
	if (ret)
		return ret;
	*pfn = gmem_window_pfn(win, index);
	ret = clo_page_alloc(g->db, *pfn, 0, g->owner, CLO_FRAME_ALLOC_PRIVATE);
	gmem_window_put(g, win, ret != 0);
	return ret;
}

void clo_gmem_unmake(struct clo_gmem *g, uint64_t index, struct clo_pfn pfn)
{
	struct gmem_window *win = NULL;
	int ret;

	/* In use, so that the pfn is not another file's when its memory is given back. */
	gmem_window_move(g, &win, index);
	ret = clo_page_step(g->db, pfn, CLO_FRAME_FREE_OP);
	assert(ret == 0);
	(void)ret;
	clo_page_discard(g->db, pfn, 1);
	gmem_window_put(g, win, true);
}

int clo_gmem_get_folio(struct clo_gmem *g, uint64_t index, struct clo_gfn gfn, bool is_private,
		       struct clo_pfn *pfn, unsigned *order)
{
	struct gmem_hold h;
	bool fresh;
	int ret = gmem_folio_hold(g, index, is_private, &h);

	if (ret)
		return ret;
	ret = gmem_folio_clear(g, &h, &fresh);
	if (ret == -EAGAIN)
		return ret;
	if (ret == 0 && is_private && g->ops.prepare)
		ret = gmem_prepare(g, &h, index, gfn);
	/* Only now: a folio whose preparation failed must be zeroed again before anyone gets it. */
	if (ret == 0 && fresh)
		clo_page_set_uptodate(g->db, h.head, true);
	clo_page_unlock(g->db, h.head);
	if (ret)
		return ret;
	*pfn = h.pfn;
	*order = h.order;
	return 0;
}

/* Ready as it is, by one look at its word? A conversion that begins now is the caller's affair: it
 * has the invalidation sequence. */
static bool is_ready(const struct clo_gmem *g, struct clo_pfn pfn, bool is_private, unsigned *order)
{
	const uint32_t mask = CLO_FRAME_LOCKED | CLO_FRAME_UPTODATE | CLO_FRAME_POISON;
	struct clo_frame_info f = clo_frame_get(g->db, pfn);

	if (f.state != (is_private ? CLO_FRAME_PRIVATE : CLO_FRAME_SHARED))
		return false;
	*order = f.order;
	if (f.order > 0) {
		/* Lock and flag are the head's, poison the page's own. */
		if (f.flags & CLO_FRAME_POISON)
			return false;
		f = clo_frame_get(g->db, clo_pfn(clo_align_down(pfn.n, 1ULL << f.order)));
		if (f.order != *order)
			return false;
	}
	return (f.flags & mask) == CLO_FRAME_UPTODATE;
}

bool clo_gmem_find_folio(struct clo_gmem *g, uint64_t index, bool is_private, struct clo_pfn *pfn,
			 unsigned *order)
{
	const struct gmem_window *win;

	if (CLO_UNLIKELY(index >= g->npages || clo_a32_get(&g->released)))
		return false;
	/* The hook may want to hear of every use as private: the attribute can have gone back and
	 * forth (mail 4; SNP). */
	if (is_private && g->ops.prepare)
		return false;
	win = gmem_window_find(g, index);
	if (CLO_UNLIKELY(!win))
		return false;
	*pfn = gmem_window_pfn(win, index);
	/* In this order: the word that says ready was this file's then. */
	return is_ready(g, *pfn, is_private, order) &&
	       (!gmem_window_is_dead(win) || clo_broken(CLO_BREAK_WINDOW_DEAD));
}
