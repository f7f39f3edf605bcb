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
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

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

/* The mapping of @addr with a reference, or NULL: unmapped meanwhile, or about to be. */
static struct view_map *find_map(struct clo_view_host *vh, const uint8_t *addr)
{
	struct view_map *m;

	clo_mutex_lock(&vh->lock);
	for (m = vh->maps; m; m = m->next_in_host) {
		if (addr >= m->addr && addr < m->addr + view_bytes(m->r)) {
			m->refs++;
			break;
		}
	}
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

static uint64_t index_of(const struct view_map *m, const uint8_t *addr)
{
	uint64_t index = m->r.start + (uint64_t)(addr - m->addr) / CLO_PAGE_SIZE;

	return clo_align_down(index, m->set->vh->unit);
}

static int ask(struct view_map *m, uint64_t index)
{
	int ret = -EAGAIN;

	for (int turn = 0; ret == -EAGAIN && turn < TRANSIT_TURNS; turn++) {
		ret = view_ask(m->set, m, index, true);
		if (ret == -EAGAIN)
			clo_relax();
	}
	return ret;
}

static void refuse(struct view_engine *e, struct view_map *m, uint64_t index, uint64_t seq, int why)
{
	view_level_refuse(m, index, seq);
	clo_stat_add(&m->set->refused_faults, 1);
	if (why == -EACCES || why == -ERANGE || why == -EHWPOISON)
		return;
	if (e->retry_count < RETRY_SLOTS)
		e->retry[e->retry_count++] = view_addr(m, index);
}

static void serve(struct view_engine *e, uint8_t *addr)
{
	size_t unit = (size_t)(e->vh->unit * CLO_PAGE_SIZE);
	uint8_t *at = addr - ((uintptr_t)addr & (unit - 1));
	struct view_map *m = find_map(e->vh, addr);

	if (m) {
		/* Before asking: a show that comes after this makes the refusal void. */
		uint64_t seq = clo_a64_get_sc(&m->set->show_seq);
		uint64_t index = index_of(m, addr);
		int ret = ask(m, index);

		if (ret == 0)
			clo_stat_add(&m->set->resolved_faults, 1);
		else if (ret != -EAGAIN)
			refuse(e, m, index, seq, ret);
		put_map(m);
	}
	view_uffd_wake(e->uffd.fd, at, unit);
}

/*
 * At any moment a page without poison is as safe as with it, because its next touch asks; so
 * nothing has to be checked here but that the mapping is ours.
 */
static void retry_refused(struct view_engine *e)
{
	size_t unit = (size_t)(e->vh->unit * CLO_PAGE_SIZE);

	while (e->retry_count > 0) {
		uint8_t *at = e->retry[--e->retry_count];
		struct view_map *m = find_map(e->vh, at);

		if (!m)
			continue;
		(void)view_zap(at, unit);
		put_map(m);
	}
}

static void read_events(struct view_engine *e)
{
	struct uffd_msg msg[BATCH];
	ssize_t n = read(e->uffd.fd, msg, sizeof(msg));

	for (ssize_t i = 0; n > 0 && i < n / (ssize_t)sizeof(msg[0]); i++) {
		if (msg[i].event != UFFD_EVENT_PAGEFAULT)
			continue;
		/* The kernel gives an address of this process. */
		serve(e, (uint8_t *)(uintptr_t)msg[i].arg.pagefault.address);
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
		int n = poll(fds, 2, e->retry_count > 0 ? RETRY_MS : -1);

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
		return -ENOMEM;
	e->vh = vh;
	ret = view_uffd_open(&e->uffd, features);
	if (ret)
		goto free;
	e->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (e->stop_fd < 0) {
		ret = -errno;
		goto close_uffd;
	}
	vh->engine = e;
	ret = start_thread(e);
	if (ret == 0)
		return 0;
	vh->engine = NULL;
	close(e->stop_fd);
close_uffd:
	close(e->uffd.fd);
free:
	clo_free(e);
	return ret;
}

void view_engine_stop(struct clo_view_host *vh)
{
	struct view_engine *e = vh->engine;
	uint64_t one = 1;

	while (write(e->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	(void)clo_thread_join(&e->thread);
	close(e->stop_fd);
	close(e->uffd.fd);
	clo_free(e);
	vh->engine = NULL;
}
