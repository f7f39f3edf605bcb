/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/gmem_pin.c - pins with their holder's name: who keeps a page from becoming private, and the
 * wait for it.
 *
 * A pinned page is shared and stays where it is (I2). When the file is closed before it is given
 * back, the frame is lost until then.
 */
#include "gmem_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct clo_gmem_pin {
	struct clo_gmem *g;               /* a reference */
	struct clo_gmem_pin *next, *prev; /* [pin_lock] */
	struct clo_range index;
	char holder[32];
	bool is_blamed; /* [pin_lock] somebody waits for its end */
};

/* If the frame of @index is there, shared and up to date, a pin has nothing to make. */
static bool pin_ready(struct clo_gmem *g, uint64_t index)
{
	struct clo_frame_info f;
	struct gmem_window *win;
	struct clo_pfn pfn;
	bool done;

	/* In use: else the pin might be on another file's frame. */
	if (!gmem_window_use(g, index, &win))
		return false;
	pfn = gmem_window_pfn(win, index);
	f = clo_frame_get(g->db, pfn);
	done = f.state == CLO_FRAME_SHARED &&
	       (f.flags & (CLO_FRAME_UPTODATE | CLO_FRAME_POISON)) == CLO_FRAME_UPTODATE &&
	       clo_page_pin(g->db, pfn) == 0;
	gmem_window_put(g, win, !done);
	return done;
}

/* Errors as clo_gmem_pin. Inside a conversion a page that is shared already can be pinned; one that
 * is missing cannot be made. */
static int pin_page(struct clo_gmem *g, uint64_t index)
{
	for (;;) {
		struct clo_pfn pfn;
		unsigned order;
		int ret;

		if (pin_ready(g, index))
			return 0;
		ret = clo_gmem_get_folio(g, index, clo_gfn(0), false, &pfn, &order);
		if (ret == -EACCES)
			return -EFAULT;
		if (ret == -EAGAIN && clo_inval_busy(&g->inval, index))
			return -EAGAIN;
		if (ret && ret != -EAGAIN)
			return ret;
		if (ret) {
			clo_relax();
			gmem_wait_folio(g, index, NULL);
		}
	}
}

static void unpin_pages(struct clo_gmem *g, struct clo_range index)
{
	struct gmem_window *win = NULL;

	for (uint64_t i = index.start; i < index.end; i++) {
		struct clo_pfn pfn;
		int ret;

		/* In use, so that a frame that is freed is not another file's at once. */
		gmem_window_move(g, &win, i);
		pfn = gmem_window_pfn(win, i);
		ret = clo_page_unpin(g->db, pfn);
		assert(ret >= 0); /* we hold the pin */
		if (ret > 0) {    /* the file is closed: nobody else makes or frees a page */
			clo_page_discard(g->db, pfn, 1);
			clo_a64_sub(&g->lost, 1);
		}
	}
	if (win)
		gmem_window_put(g, win, true);
}

/* All pages are there before the first is pinned: without memory for all, none stays made. */
static int make_page(struct gmem_made *made, uint64_t index)
{
	for (;;) {
		int ret = gmem_made_page(made, index);

		if (ret == -EACCES)
			return -EFAULT;
		if (ret != -EAGAIN || clo_inval_busy(&made->g->inval, index))
			return ret;
		clo_relax();
		gmem_wait_folio(made->g, index, NULL);
	}
}

static void registry_add(struct clo_gmem *g, struct clo_gmem_pin *pin)
{
	clo_mutex_lock(&g->pin_lock);
	pin->next = g->pins;
	if (pin->next)
		pin->next->prev = pin;
	g->pins = pin;
	clo_mutex_unlock(&g->pin_lock);
}

/* Bounds in bytes to indexes. -EINVAL; -EIO in a child. */
static int pin_range(const struct clo_gmem *g, uint64_t off, uint64_t len, struct clo_range *index)
{
	int ret;

	if (clo_forked(g->fork_gen))
		return -EIO;
	ret = clo_check_range(off, "off", len, "len");
	if (ret)
		return ret;
	*index = clo_range(off >> CLO_PAGE_SHIFT, (off + len) >> CLO_PAGE_SHIFT);
	return index->end > g->npages ? clo_fail(-EINVAL, CLO_REASON_BOUNDS, "len") : 0;
}

/*
 * A pin with the caller's arguments, not yet in force. The holder's name is a copy, taken with
 * nothing held: the caller's memory can be anything, a page of a view too that becomes private
 * later.
 */
static int pin_make(struct clo_gmem *g, uint64_t off, uint64_t len, const char *holder,
		    struct clo_gmem_pin **out)
{
	struct clo_range index;
	int ret = pin_range(g, off, len, &index);

	if (ret)
		return ret;
	*out = clo_alloc(sizeof(**out));
	if (!*out)
		return clo_fail_heap("pin");
	(*out)->g = g;
	(*out)->index = index;
	if (holder)
		(void)memccpy((*out)->holder, holder, 0, sizeof((*out)->holder) - 1);
	return 0;
}

/* All pages of @pin, or none and *err: the one in the way. */
static int pin_pages(struct clo_gmem_pin *pin, uint64_t *err)
{
	struct clo_range index = pin->index;
	uint64_t at = index.start;
	struct gmem_made made;
	int ret = 0;

	gmem_made_init(&made, pin->g, index);
	for (; ret == 0 && clo_range_len(index) > 1 && at < index.end; at += ret == 0)
		ret = make_page(&made, at);
	if (ret == 0) {
		for (at = index.start; ret == 0 && at < index.end; at += ret == 0)
			ret = pin_page(pin->g, at);
		if (ret)
			unpin_pages(pin->g, clo_range(index.start, at));
	}
	gmem_made_end(&made, ret == 0);
	if (ret) {
		*err = at << CLO_PAGE_SHIFT;
		return ret;
	}
	clo_gmem_get(pin->g);
	registry_add(pin->g, pin);
	return 0;
}

static int pin_result(int ret, struct clo_gmem_pin *pin, uint64_t err, struct clo_gmem_pin **out,
		      uint64_t *err_off)
{
	if (ret) {
		clo_free(pin);
		if (err_off)
			*err_off = err;
		return ret;
	}
	*out = pin;
	return 0;
}

int clo_gmem_pin_nowait(struct clo_gmem *g, uint64_t off, uint64_t len, const char *holder,
			struct clo_gmem_pin **out, uint64_t *err_off)
{
	struct clo_gmem_pin *pin;
	uint64_t err = 0;
	int ret = pin_make(g, off, len, holder, &pin);

	if (ret)
		return ret;
	ret = pin_pages(pin, &err);
	return pin_result(ret, pin, err, out, err_off);
}

int clo_gmem_pin(struct clo_gmem *gmem, uint64_t off, uint64_t len, const char *holder,
		 struct clo_gmem_pin **out, uint64_t *err_off)
{
	struct clo_rangelock_hold hold;
	struct clo_gmem_pin *pin = NULL;
	uint64_t err = 0;
	int ret = pin_make(gmem, off, len, holder, &pin);

	if (!pin)
		return ret;
	for (;;) {
		clo_rangelock_lock(&gmem->ranges, pin->index, &hold);
		ret = pin_pages(pin, &err);
		clo_rangelock_unlock(&gmem->ranges, &hold);
		if (ret != -EAGAIN)
			break;
		/* With the range no conversion or hole is under way in it; this is a change
		 * elsewhere that shares a stripe. A listener of its own may make it last. */
		clo_relax();
		clo_gmem_wait(gmem, err >> CLO_PAGE_SHIFT, NULL);
	}
	return pin_result(ret, pin, err, out, err_off);
}

void clo_gmem_unpin(struct clo_gmem_pin *pin)
{
	struct clo_gmem *g;

	if (!pin || clo_forked(pin->g->fork_gen))
		return;
	g = pin->g;
	/* Off the list first: a conversion that still meets the pin may find it without a name, but
	 * never the name of a pin that is gone. */
	clo_mutex_lock(&g->pin_lock);
	if (pin->next)
		pin->next->prev = pin->prev;
	if (pin->prev)
		pin->prev->next = pin->next;
	else
		g->pins = pin->next;
	clo_mutex_unlock(&g->pin_lock);
	unpin_pages(g, pin->index);
	clo_mutex_lock(&g->pin_lock);
	if (pin->is_blamed || g->blame_next) {
		g->blame_next = false;
		g->blamed_gone++;
		clo_cond_broadcast(&g->unpinned);
	}
	clo_mutex_unlock(&g->pin_lock);
	clo_free(pin);
	clo_gmem_put(g);
}

/* Under the pin_lock. */
static struct clo_gmem_pin *find_pin(struct clo_gmem *g, uint64_t index)
{
	struct clo_gmem_pin *p = g->pins;

	while (p && !clo_range_contains(p->index, index))
		p = p->next;
	return p;
}

bool clo_gmem_pin_holder(struct clo_gmem *g, uint64_t index, char *name, size_t size)
{
	const struct clo_gmem_pin *p;

	clo_mutex_lock(&g->pin_lock);
	p = find_pin(g, index);
	if (p && size)
		snprintf(name, size, "%s", p->holder);
	clo_mutex_unlock(&g->pin_lock);
	return p != NULL;
}

uint64_t clo_gmem_blame(struct clo_gmem *g, uint64_t index, char *name, size_t size)
{
	struct clo_gmem_pin *p;
	struct clo_pfn pfn;
	uint64_t ticket;

	clo_mutex_lock(&g->pin_lock);
	ticket = g->blamed_gone;
	p = find_pin(g, index);
	if (p) {
		snprintf(name, size, "%s", p->holder);
		p->is_blamed = true;
	} else if (clo_gmem_pfn(g, index, &pfn) && clo_frame_get(g->db, pfn).pins) {
		/* Being made, or on its way out: whose end comes next is good enough. */
		g->blame_next = true;
	} else {
		ticket--; /* gone meanwhile */
	}
	clo_mutex_unlock(&g->pin_lock);
	return ticket;
}

void gmem_pin_any_holder(struct clo_gmem *g, char *name, size_t size)
{
	clo_mutex_lock(&g->pin_lock);
	if (g->pins)
		snprintf(name, size, "%s", g->pins->holder);
	clo_mutex_unlock(&g->pin_lock);
}

bool clo_gmem_wait_blamed(struct clo_gmem *g, uint64_t ticket, uint64_t deadline_ns)
{
	bool gone, in_time = true;

	clo_mutex_lock(&g->pin_lock);
	while (!(gone = g->blamed_gone != ticket) && in_time) {
		if (deadline_ns == UINT64_MAX)
			clo_cond_wait(&g->unpinned, &g->pin_lock);
		else
			in_time = clo_cond_timedwait(&g->unpinned, &g->pin_lock, deadline_ns);
	}
	clo_mutex_unlock(&g->pin_lock);
	return gone;
}

void gmem_wake_blamers(struct clo_gmem *g)
{
	clo_mutex_lock(&g->pin_lock);
	g->blamed_gone++;
	clo_cond_broadcast(&g->unpinned);
	clo_mutex_unlock(&g->pin_lock);
}
