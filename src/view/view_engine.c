/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view_engine.c - the thread that answers first touches of host mappings (level UFFD).
 *
 * One userfaultfd and one thread per host. For each fault: find the mapping, ask the owner of the
 * file (no lock held), and either the page was mapped by grant, under the folio lock, or the touch
 * is refused with POISON. The toucher is always woken; whoever is not served faults again and is
 * asked for again, so no answer can be lost (I7).
 *
 * A page refused for want of memory is not private: its poison is taken away again a moment later,
 * so that the next touch asks anew.
 */
#include "view_internal.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <signal.h>

#define BATCH         32
#define RETRY_SLOTS   64
#define RETRY_MS      20
#define TRANSIT_TURNS 16

struct view_engine {
	struct clo_view_host *vh;
	struct view_uffd uffd;
	int stop_fd;
	struct clo_thread thread;
	uint8_t *retry[RETRY_SLOTS]; /* addresses to take the poison from */
	unsigned retry_count;
};

int view_engine_fd(const struct clo_view_host *vh)
{
	return vh->engine->uffd.fd;
}

/* The mapping of @addr with a reference and the page there, or NULL: unmapped meanwhile, about to
 * be, or what the VMM has made of a mapping by mremap(), which is not known here. */
static struct view_map *find_map(struct clo_view_host *vh, const uint8_t *addr, uint64_t *index)
{
	struct view_map *m;

	clo_mutex_lock(&vh->lock);
	clo_rwlock_rdlock(&vh->ours);
	for (m = vh->maps; m; m = m->next_in_host) {
		const struct view_seg *s = view_seg_find(m, addr);

		if (s) {
			*index = s->r.start + (uint64_t)(addr - s->addr) / CLO_PAGE_SIZE;
			*index = clo_align_down(*index, vh->unit);
			m->refs++;
			break;
		}
	}
	clo_rwlock_unlock(&vh->ours);
	clo_mutex_unlock(&vh->lock);
	return m;
}

static void put_map(struct view_map *m)
{
	struct clo_view_host *vh = m->set->vh;

	clo_mutex_lock(&vh->lock);
	if (--m->refs == 0)
		clo_cond_broadcast(&vh->idle);
	clo_mutex_unlock(&vh->lock);
}

/* A change of the address space is over only when this thread has read of it: no waiting then. */
static int ask(struct view_engine *e, struct view_map *m, uint64_t index)
{
	int ret = -EAGAIN;

	for (int turn = 0; turn < TRANSIT_TURNS; turn++) {
		ret = view_ask(m->set, m, index, true);
		if (ret != -EAGAIN || view_uffd_changing(e->uffd.fd))
			break;
		clo_relax();
	}
	return ret;
}

static void refuse(struct view_engine *e, struct view_map *m, uint64_t index, uint64_t seq, int why,
		   uint8_t *at)
{
	view_level_refuse(m, index, seq);
	clo_stat_add(&m->set->refused_faults, 1);
	if (why == -EACCES || why == -ERANGE || why == -EHWPOISON)
		return;
	if (e->retry_count < RETRY_SLOTS)
		e->retry[e->retry_count++] = at;
}

/* Registered, for the touch came here, but no part of a mapping: nothing is ever put there. */
static void refuse_unknown(struct view_engine *e, uint8_t *at, size_t unit)
{
	size_t done;

	clo_rwlock_rdlock(&e->vh->ours);
	(void)view_uffd_poison(e->uffd.fd, at, unit, unit, &done);
	clo_rwlock_unlock(&e->vh->ours);
}

static void serve(struct view_engine *e, uint8_t *addr)
{
	size_t unit = (size_t)(e->vh->unit * CLO_PAGE_SIZE);
	uint8_t *at = addr - ((uintptr_t)addr & (unit - 1));
	uint64_t index;
	struct view_map *m = find_map(e->vh, addr, &index);
	int ret = 0;

	if (m) {
		/* Before asking: a show that comes after this makes the refusal void. */
		uint64_t seq = clo_a64_get_sc(&m->set->show_seq);

		ret = ask(e, m, index);
		if (ret == 0)
			clo_stat_add(&m->set->resolved_faults, 1);
		else if (ret != -EAGAIN)
			refuse(e, m, index, seq, ret, at);
		put_map(m);
	} else {
		refuse_unknown(e, at, unit);
	}
	if (ret != -EAGAIN || !clo_broken(CLO_BREAK_VIEW_WAKE))
		view_uffd_wake(e->uffd.fd, at, unit);
}

/*
 * At any moment a page without poison is as safe as with it, because its next touch asks; so
 * nothing has to be checked here but that the address is ours.
 */
static void retry_refused(struct view_engine *e)
{
	while (e->retry_count > 0) {
		uint8_t *at = e->retry[--e->retry_count];
		uint64_t index;
		struct view_map *m = find_map(e->vh, at, &index);

		if (!m)
			continue;
		(void)view_seg_each(m, clo_range(index, index + e->vh->unit), e->vh->unit,
				    view_seg_zap);
		put_map(m);
	}
}

static bool is_fault(const struct uffd_msg *msg)
{
	return msg->event == UFFD_EVENT_PAGEFAULT;
}

/* The kernel gives addresses of this process. */
static uint8_t *pointer(uint64_t address)
{
	return (uint8_t *)(uintptr_t)address;
}

/* The VMM's call returns as soon as its event is read: so with the lock, and what is known of the
 * addresses is changed before anybody acts on it again. */
static size_t read_batch(struct view_engine *e, struct uffd_msg *msg)
{
	struct clo_view_host *vh = e->vh;
	size_t count;
	ssize_t n = 0;

	if (clo_broken(CLO_BREAK_VIEW_CUT))
		n = view_sys_read(e->uffd.fd, msg, BATCH * sizeof(*msg));
	clo_mutex_lock(&vh->lock);
	clo_rwlock_wrlock(&vh->ours);
	if (!clo_broken(CLO_BREAK_VIEW_CUT))
		n = view_sys_read(e->uffd.fd, msg, BATCH * sizeof(*msg));
	count = n > 0 ? (size_t)n / sizeof(*msg) : 0;
	for (size_t i = 0; i < count; i++) {
		if (msg[i].event == UFFD_EVENT_UNMAP)
			view_seg_unmapped(vh, pointer(msg[i].arg.remove.start),
					  pointer(msg[i].arg.remove.end));
		else if (msg[i].event == UFFD_EVENT_REMAP)
			view_seg_moved(vh, pointer(msg[i].arg.remap.from),
				       pointer(msg[i].arg.remap.to), (size_t)msg[i].arg.remap.len);
	}
	clo_rwlock_unlock(&vh->ours);
	clo_cond_broadcast(&vh->idle);
	clo_mutex_unlock(&vh->lock);
	return count;
}

static void read_events(struct view_engine *e)
{
	struct uffd_msg msg[BATCH];
	size_t count = read_batch(e, msg);
	bool changed = false;

	for (size_t i = 0; i < count; i++)
		changed |= !is_fault(&msg[i]);
	for (size_t i = 0; i < count; i++) {
		uint8_t *addr = pointer(msg[i].arg.pagefault.address);
		size_t unit = (size_t)(e->vh->unit * CLO_PAGE_SIZE);

		if (!is_fault(&msg[i]))
			continue;
		/* What the VMM has unmapped meanwhile may be a userfaultfd range of its own by now.
		 * Whoever is still to be served touches again. */
		if (changed)
			view_uffd_wake(e->uffd.fd, addr - ((uintptr_t)addr & (unit - 1)), unit);
		else
			serve(e, addr);
	}
}

static void *engine_main(void *arg)
{
	struct view_engine *e = arg;
	struct pollfd fds[2] = {
		{ .fd = e->uffd.fd, .events = POLLIN },
		{ .fd = e->stop_fd, .events = POLLIN },
	};

	for (;;) {
		int n = view_sys_poll(fds, 2, e->retry_count > 0 ? RETRY_MS : -1);

		if (n < 0 && errno != EINTR)
			break;
		if (n > 0 && fds[1].revents)
			break;
		if (n > 0 && fds[0].revents)
			read_events(e);
		if (n == 0 || e->retry_count == RETRY_SLOTS)
			retry_refused(e);
	}
	return NULL;
}

/* The VMM's signal handlers have no business on this thread: a new thread inherits the mask. */
static int start_thread(struct view_engine *e)
{
	sigset_t all, before;
	int ret;

	sigfillset(&all);
	/* On Linux the mask of the calling thread, as pthread_sigmask. */
	sigprocmask(SIG_SETMASK, &all, &before);
	ret = clo_thread_create(&e->thread, engine_main, e);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return ret;
}

int view_engine_start(struct clo_view_host *vh, uint64_t features)
{
	struct view_engine *e = clo_alloc(sizeof(*e));
	int ret;

	if (!e)
		return clo_fail_heap("host view");
	e->vh = vh;
	ret = view_uffd_open(&e->uffd, features);
	if (ret)
		goto free;
	e->stop_fd = view_sys_eventfd();
	if (e->stop_fd < 0) {
		ret = clo_fail_errno(CLO_REASON_KERNEL, "eventfd");
		goto close_uffd;
	}
	vh->engine = e;
	ret = start_thread(e);
	if (ret == 0)
		return 0;
	vh->engine = NULL;
	view_sys_close(e->stop_fd);
close_uffd:
	view_sys_close(e->uffd.fd);
free:
	clo_free(e);
	return ret;
}

void view_engine_stop(struct clo_view_host *vh)
{
	struct view_engine *e = vh->engine;
	uint64_t one = 1;

	while (view_sys_write(e->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	(void)clo_thread_join(&e->thread);
	view_sys_close(e->stop_fd);
	view_sys_close(e->uffd.fd);
	clo_free(e);
	vh->engine = NULL;
}
