/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_threads_fork.c - what a child of fork() must not inherit.
 *
 * Of the parent's objects a child has copies whose locks are held by threads that it does not have.
 * So it uses none of them: each object remembers the number of the process that made it
 * (clo_fork_gen), public calls compare. Descriptors of guest memory are closed here, before anyone
 * in the child could use them. Objects that the child makes are its own, so what is shared by all,
 * the state of RCU, is kept whole over the fork.
 */
#include "sync/sync_threads_fork.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

uint32_t clo_fork_gen;

/* [held from before to after each fork, and by clo_fork_fd_*] */
static pthread_mutex_t fds_lock = PTHREAD_MUTEX_INITIALIZER;
static struct clo_fork_fd *fds;
/* [held from before to after each fork, and by clo_fork_hook_*] */
static pthread_mutex_t hooks_lock = PTHREAD_MUTEX_INITIALIZER;
static struct clo_fork_hook *hooks;
static int watching = -1;

/*
 * Hooks first: they take locks of other modules, whose holders may wait for what is locked next.
 * Then RCU: it waits for the grace period that is under way, and a reader may want to defer a
 * call meanwhile, which the second takes the lock of.
 */
static void before(void)
{
	pthread_mutex_lock(&hooks_lock);
	for (const struct clo_fork_hook *h = hooks; h; h = h->next)
		h->before(h->arg);
	clo_rcu_fork_before();
	pthread_mutex_lock(&fds_lock);
}

static void after_in_parent(void)
{
	pthread_mutex_unlock(&fds_lock);
	clo_rcu_fork_parent();
	pthread_mutex_unlock(&hooks_lock);
}

static void after_in_child(void)
{
	for (const struct clo_fork_fd *f = fds; f; f = f->next)
		close(f->fd);
	fds = NULL;
	clo_fork_gen++;
	pthread_mutex_unlock(&fds_lock);
	clo_rcu_fork_child();
	hooks = NULL;
	pthread_mutex_unlock(&hooks_lock);
}

static void watch(void)
{
	watching = -pthread_atfork(before, after_in_parent, after_in_child);
}

int clo_fork_watch(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, watch);
	return watching;
}

int clo_fork_memfd(struct clo_fork_fd *f, const char *name, unsigned flags)
{
	int ret = 0;

	/* Opened and closed inside, or a child would inherit it in between. */
	pthread_mutex_lock(&fds_lock);
	f->fd = memfd_create(name, flags);
	if (f->fd < 0) {
		ret = clo_fail_errno(CLO_REASON_KERNEL, "memfd_create");
	} else {
		f->prev = NULL;
		f->next = fds;
		if (fds)
			fds->prev = f;
		fds = f;
	}
	pthread_mutex_unlock(&fds_lock);
	return ret;
}

void clo_fork_fd_close(struct clo_fork_fd *f)
{
	pthread_mutex_lock(&fds_lock);
	if (f->prev)
		f->prev->next = f->next;
	else
		fds = f->next;
	if (f->next)
		f->next->prev = f->prev;
	close(f->fd);
	pthread_mutex_unlock(&fds_lock);
}

void clo_fork_hook_add(struct clo_fork_hook *h, void (*fn)(void *arg), void *arg)
{
	h->before = fn;
	h->arg = arg;
	h->prev = NULL;
	pthread_mutex_lock(&hooks_lock);
	h->next = hooks;
	if (hooks)
		hooks->prev = h;
	hooks = h;
	pthread_mutex_unlock(&hooks_lock);
}

void clo_fork_hook_remove(struct clo_fork_hook *h)
{
	pthread_mutex_lock(&hooks_lock);
	if (h->prev)
		h->prev->next = h->next;
	else
		hooks = h->next;
	if (h->next)
		h->next->prev = h->prev;
	pthread_mutex_unlock(&hooks_lock);
}
