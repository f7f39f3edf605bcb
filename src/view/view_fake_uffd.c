/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view_fake_uffd.c - the model's userfaultfd: who sleeps, what is to be read, what may be
 * filled (view_fake.h).
 */
#include "view/view_fake_model.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <string.h>

#define PAGE     ((uintptr_t)CLO_PAGE_SIZE)
#define FD_UFFD  1000001
#define FD_EVENT 1000002
/* Enough for a thread that was woken to touch. */
#define TIMEOUT_TURNS 3

/* One who waits: for a wake-up of its fault, or for its event to be read. */
struct waiter {
	struct waiter *next;
	struct uffd_msg msg;
	bool over;
	struct clo_event woken;
};

static struct {
	bool open;
	uint64_t features;
	unsigned changing;                       /* mmap_changing */
	struct waiter *pending, *taken, *events; /* in order; taken: faults that have been read */
	bool stop;                               /* the eventfd */
	struct clo_event news;
} uf;

void fake_uffd_reset(void)
{
	memset(&uf, 0, sizeof(uf));
}

static void wake(struct clo_event *e)
{
	clo_a32_init(&e->wakes, e->wakes.v + 1);
}

static void add_last(struct waiter **list, struct waiter *w)
{
	while (*list)
		list = &(*list)->next;
	*list = w;
	w->next = NULL;
}

static struct waiter *take_first(struct waiter **list)
{
	struct waiter *w = *list;

	if (w)
		*list = w->next;
	return w;
}

static void finish(struct waiter *w)
{
	w->over = true;
	wake(&w->woken);
}

static void wake_list(struct waiter **list, uintptr_t start, uintptr_t end)
{
	while (*list) {
		struct waiter *w = *list;
		uint64_t at = w->msg.arg.pagefault.address;

		if (at < start || at >= end) {
			list = &w->next;
			continue;
		}
		*list = w->next;
		finish(w);
	}
}

/* A fault that was not read yet will never be: whoever is woken touches again. */
static void wake_faults(uintptr_t start, uintptr_t end)
{
	wake_list(&uf.pending, start, end);
	wake_list(&uf.taken, start, end);
}

bool fake_uffd_wait(uintptr_t va, bool cached)
{
	struct fake_page *p = fake_find(va);
	uint64_t mode = cached ? UFFDIO_REGISTER_MODE_MINOR : UFFDIO_REGISTER_MODE_MISSING;
	struct waiter w = { .msg = { .event = UFFD_EVENT_PAGEFAULT } };

	if (!(p->modes & mode) || !uf.open)
		return false;
	/* The last look, after which somebody else's wake-up comes in time. */
	if (p->pte != FAKE_PRESENT) {
		w.msg.arg.pagefault.address = va;
		add_last(&uf.pending, &w);
		wake(&uf.news);
	} else {
		w.over = true;
	}
	fake_read_unlock();
	while (!w.over)
		clo_event_sleep(&w.woken, w.woken.wakes.v);
	return true;
}

bool fake_uffd_mark(uintptr_t start, uintptr_t end, uint64_t event)
{
	bool any = false;

	for (uintptr_t va = start; va < end && uf.open; va += PAGE) {
		struct fake_page *p = fake_find(va);

		if (!p || !p->modes)
			continue;
		any = true;
		/* Who is not told of a move gets memory that is not registered any more. */
		if (event == UFFD_FEATURE_EVENT_REMAP && !(uf.features & event))
			p->modes = 0;
	}
	if (!any || !(uf.features & event))
		return false;
	uf.changing++;
	return true;
}

void fake_uffd_event(uintptr_t start, uintptr_t end, uintptr_t to, uint8_t event)
{
	struct waiter w = { .msg = { .event = event } };

	if (event == UFFD_EVENT_REMAP) {
		w.msg.arg.remap.from = start;
		w.msg.arg.remap.to = to;
		w.msg.arg.remap.len = end - start;
	} else {
		w.msg.arg.remove.start = start;
		w.msg.arg.remove.end = end;
	}
	clo_sync_point("event", start >> CLO_PAGE_SHIFT);
	if (uf.open) {
		add_last(&uf.events, &w);
		wake(&uf.news);
		while (!w.over)
			clo_event_sleep(&w.woken, w.woken.wakes.v);
	}
	uf.changing--;
}

/* One page of a fill; @mode: the poison, or what the file has. */
static int fill_page(struct fake_page *p, bool poison)
{
	if (poison) {
		if (p->pte != FAKE_NONE)
			return EEXIST;
		p->pte = FAKE_POISON;
		return 0;
	}
	if (!fake_is_cached(p))
		return EFAULT;
	if (p->pte == FAKE_PRESENT)
		return EEXIST;
	p->pte = FAKE_PRESENT;
	return 0;
}

/* All of it in one mapping that is registered. */
static bool is_one(uintptr_t start, uintptr_t end)
{
	const struct fake_page *first = fake_find(start);

	for (uintptr_t va = start; va < end; va += PAGE) {
		const struct fake_page *p = fake_find(va);

		if (!p || !p->modes || p->fd != first->fd || p->prot != first->prot ||
		    p->off - first->off != (int64_t)(va - start))
			return false;
	}
	return true;
}

/* UFFDIO_POISON, _CONTINUE. *@count: bytes that were done, or -errno. */
static int fill(struct uffdio_range r, bool poison, int64_t *count)
{
	uintptr_t va = (uintptr_t)r.start, end = va + (uintptr_t)r.len;
	int err = 0;

	if (uf.changing > 0)
		return fake_fail(EAGAIN);
	fake_read_lock();
	if (!is_one(va, end))
		err = ENOENT;
	while (err == 0 && va < end) {
		if (va > r.start)
			clo_sync_point("fill next", va >> CLO_PAGE_SHIFT);
		err = fill_page(fake_find(va), poison);
		if (err == 0)
			va += PAGE;
	}
	fake_read_unlock();
	*count = va > r.start ? (int64_t)(va - r.start) : -err;
	if (va == r.start)
		return fake_fail(err);
	clo_sync_point("fill wakes", r.start >> CLO_PAGE_SHIFT);
	wake_faults((uintptr_t)r.start, va);
	return va < end ? fake_fail(EAGAIN) : 0;
}

static int do_register(struct uffdio_register *reg)
{
	uintptr_t va = (uintptr_t)reg->range.start, end = va + (uintptr_t)reg->range.len;

	fake_write_wait();
	for (uintptr_t at = va; at < end; at += PAGE) {
		const struct fake_page *p = fake_find(at);

		if (!p || p->fd < 0)
			return fake_fail(EINVAL);
	}
	for (; va < end; va += PAGE)
		fake_find(va)->modes = reg->mode;
	return 0;
}

static int scan(const struct view_scan *s)
{
	for (uint64_t va = s->start; va < s->end; va += PAGE) {
		const struct fake_page *p = fake_find((uintptr_t)va);

		if (p && p->pte == FAKE_PRESENT)
			return 1;
	}
	return 0;
}

static uint64_t place_of(unsigned long request, const void *arg)
{
	const struct uffdio_range *r = arg;

	return request == UFFDIO_API || request == VIEW_PAGEMAP_SCAN ||
			       request == UFFDIO_WRITEPROTECT
		       ? 0
		       : r->start >> CLO_PAGE_SHIFT;
}

static const char *name_of(unsigned long request)
{
	switch (request) {
	case UFFDIO_REGISTER:
		return "UFFDIO_REGISTER";
	case UFFDIO_CONTINUE:
		return "UFFDIO_CONTINUE";
	case VIEW_UFFDIO_POISON:
		return "UFFDIO_POISON";
	case UFFDIO_WAKE:
		return "UFFDIO_WAKE";
	case UFFDIO_WRITEPROTECT:
		return "look at the mark";
	default:
		return "ioctl";
	}
}

int view_sys_ioctl(int fd, unsigned long request, void *arg)
{
	struct uffdio_range *r = arg;
	struct uffdio_continue *c = arg;
	struct view_poison *p = arg;

	(void)fd;
	clo_sync_point(name_of(request), place_of(request, arg));
	switch (request) {
	case UFFDIO_API:
		uf.features = ((struct uffdio_api *)arg)->features;
		return 0;
	case UFFDIO_REGISTER:
		return do_register(arg);
	case UFFDIO_CONTINUE:
		return fill(c->range, false, (int64_t *)&c->mapped);
	case VIEW_UFFDIO_POISON:
		return fill(p->range, true, &p->updated);
	case UFFDIO_WAKE:
		wake_faults((uintptr_t)r->start, (uintptr_t)(r->start + r->len));
		return 0;
	case UFFDIO_WRITEPROTECT: /* of nothing */
		return fake_fail(uf.changing > 0 ? EAGAIN : EINVAL);
	case VIEW_PAGEMAP_SCAN:
		return scan(arg);
	default:
		return fake_fail(ENOTTY);
	}
}

int view_sys_userfaultfd(unsigned flags)
{
	(void)flags;
	if (uf.open)
		return fake_fail(EMFILE);
	uf.open = true;
	return FD_UFFD;
}

int view_sys_eventfd(void)
{
	uf.stop = false;
	return FD_EVENT;
}

ssize_t view_sys_write(int fd, const void *buf, size_t bytes)
{
	(void)buf;
	if (fd != FD_EVENT)
		return fake_fail(EBADF);
	clo_sync_point("stop", 0);
	uf.stop = true;
	wake(&uf.news);
	return (ssize_t)bytes;
}

static bool read_one(struct uffd_msg *msg)
{
	struct waiter *w = take_first(&uf.pending);

	if (w) {
		add_last(&uf.taken, w);
	} else {
		w = take_first(&uf.events);
		if (w)
			finish(w);
	}
	if (w)
		*msg = w->msg;
	return w != NULL;
}

/* Faults before events, each taken by itself. */
ssize_t view_sys_read(int fd, void *buf, size_t bytes)
{
	struct uffd_msg *msg = buf;
	size_t n = 0;

	if (fd != FD_UFFD)
		return fake_fail(EBADF);
	for (; n < bytes / sizeof(*msg); n++) {
		clo_sync_point("read", n);
		if (!read_one(&msg[n]))
			break;
	}
	return n ? (ssize_t)(n * sizeof(*msg)) : fake_fail(EAGAIN);
}

/* With a timeout: others that can run make a few steps before it is over. */
int view_sys_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	for (unsigned turn = 0;; turn++) {
		int n = 0;

		clo_sync_point("poll", 0);
		for (nfds_t i = 0; i < count; i++) {
			bool news = fds[i].fd == FD_UFFD ? uf.pending || uf.events : uf.stop;

			fds[i].revents = news ? POLLIN : 0;
			n += news;
		}
		if (n > 0 || (timeout_ms >= 0 && turn == TIMEOUT_TURNS))
			return n;
		if (timeout_ms >= 0)
			clo_relax();
		else
			clo_event_sleep(&uf.news, uf.news.wakes.v);
	}
}

int view_sys_close(int fd)
{
	if (fd != FD_UFFD)
		return 0;
	clo_sync_point("close", 0);
	uf.open = false;
	wake_faults(0, UINTPTR_MAX);
	while (uf.events)
		finish(take_first(&uf.events));
	return 0;
}
