/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_threads.c - mutexes, conditions, range locks and threads on pthreads.
 *
 * A failure of a pthread function here can only be a broken invariant of ours (a lock that is not a
 * lock), so test builds stop at it and product builds carry on.
 */
#include "sync/sync_rank.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifdef CLO_TEST
#define MUST(call) assert((call) == 0)
#else
#define MUST(call) ((void)(call))
#endif

#define RELAX_SPINS 64U

#ifdef CLO_TEST
struct clo_held_list *clo_rank_self(void)
{
	static _Thread_local struct clo_held_list list;

	return &list;
}

void clo_rank_die(const char *text)
{
	fprintf(stderr, "sync: %s\n", text);
	abort();
}
#endif

void clo_mutex_init(struct clo_mutex *m, enum clo_rank rank, const char *name)
{
	m->id = clo_lock_id(rank, name);
	MUST(pthread_mutex_init(&m->m, NULL));
}

void clo_mutex_destroy(struct clo_mutex *m)
{
	MUST(pthread_mutex_destroy(&m->m));
}

void clo_rwlock_init(struct clo_rwlock *l, enum clo_rank rank, const char *name)
{
	pthread_rwlockattr_t attr;

	l->id = clo_lock_id(rank, name);
	MUST(pthread_rwlockattr_init(&attr));
	MUST(pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP));
	MUST(pthread_rwlock_init(&l->l, &attr));
	MUST(pthread_rwlockattr_destroy(&attr));
}

void clo_rwlock_destroy(struct clo_rwlock *l)
{
	MUST(pthread_rwlock_destroy(&l->l));
}

static void cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	MUST(pthread_condattr_init(&attr));
	MUST(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	MUST(pthread_cond_init(c, &attr));
	MUST(pthread_condattr_destroy(&attr));
}

void clo_cond_init(struct clo_cond *c)
{
	cond_init(&c->c);
}

void clo_cond_destroy(struct clo_cond *c)
{
	MUST(pthread_cond_destroy(&c->c));
}

int clo_cancel_off(void)
{
	int old;

	MUST(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old));
	return old;
}

void clo_cancel_restore(int old)
{
	MUST(pthread_setcancelstate(old, &old));
}

void clo_cond_wait(struct clo_cond *c, struct clo_mutex *m)
{
	int cancel = clo_cancel_off();

	clo_rank_waits(m, m->id);
	MUST(pthread_cond_wait(&c->c, &m->m));
	clo_cancel_restore(cancel);
}

bool clo_cond_timedwait(struct clo_cond *c, struct clo_mutex *m, uint64_t deadline_ns)
{
	struct timespec ts = { .tv_sec = (time_t)(deadline_ns / 1000000000ULL),
			       .tv_nsec = (long)(deadline_ns % 1000000000ULL) };

	int cancel = clo_cancel_off();
	bool in_time;

	clo_rank_waits(m, m->id);
	in_time = pthread_cond_timedwait(&c->c, &m->m, &ts) != ETIMEDOUT;
	clo_cancel_restore(cancel);
	return in_time;
}

void clo_cond_broadcast(struct clo_cond *c)
{
	MUST(pthread_cond_broadcast(&c->c));
}

void clo_rangelock_init(struct clo_rangelock *l, enum clo_rank rank, const char *name)
{
	l->holds = NULL;
	l->waiting = 0;
	l->id = clo_lock_id(rank, name);
	MUST(pthread_mutex_init(&l->m, NULL));
	cond_init(&l->c);
}

void clo_rangelock_destroy(struct clo_rangelock *l)
{
	assert(!l->holds);
	MUST(pthread_cond_destroy(&l->c));
	MUST(pthread_mutex_destroy(&l->m));
}

static bool range_is_held(const struct clo_rangelock *l, struct clo_range r)
{
	for (const struct clo_rangelock_hold *h = l->holds; h; h = h->next)
		if (clo_range_overlaps(h->range, r))
			return true;
	return false;
}

void clo_rangelock_lock(struct clo_rangelock *l, struct clo_range r, struct clo_rangelock_hold *h)
{
	clo_rank_want(l, l->id, r.start);
	pthread_mutex_lock(&l->m);
	while (range_is_held(l, r)) {
		int cancel = clo_cancel_off();

		l->waiting++;
		pthread_cond_wait(&l->c, &l->m);
		l->waiting--;
		clo_cancel_restore(cancel);
	}
	*h = (struct clo_rangelock_hold){ .next = l->holds, .range = r };
	l->holds = h;
	pthread_mutex_unlock(&l->m);
	clo_rank_got(l, l->id, r.start);
}

void clo_rangelock_unlock(struct clo_rangelock *l, struct clo_rangelock_hold *h)
{
	struct clo_rangelock_hold **at = &l->holds;

	clo_rank_drop(l, l->id, h->range.start);
	pthread_mutex_lock(&l->m);
	while (*at && *at != h)
		at = &(*at)->next;
	assert(*at == h);
	if (*at)
		*at = h->next;
	if (l->waiting)
		pthread_cond_broadcast(&l->c);
	pthread_mutex_unlock(&l->m);
}

void clo_event_sleep(struct clo_event *e, uint32_t seen)
{
	syscall(SYS_futex, &e->wakes.v, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

void clo_event_wake_sleepers(struct clo_event *e)
{
	int before = errno;

	syscall(SYS_futex, &e->wakes.v, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	errno = before;
}

void clo_relax(void)
{
	static _Thread_local unsigned turns;

#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
	/* The one that is waited for may have no processor. */
	if (++turns % RELAX_SPINS == 0)
		sched_yield();
}

static void *thread_main(void *arg)
{
	const struct clo_thread *t = arg;

	return t->fn(t->arg);
}

/* Signals of the program go to its own threads; only what a thread does to itself reaches ours. */
int clo_thread_create(struct clo_thread *t, void *(*fn)(void *arg), void *arg)
{
	sigset_t block;
	sigset_t before;

	sigfillset(&block);
	sigdelset(&block, SIGSEGV);
	sigdelset(&block, SIGBUS);
	sigdelset(&block, SIGFPE);
	sigdelset(&block, SIGILL);
	sigdelset(&block, SIGTRAP);
	sigdelset(&block, SIGABRT);
	t->fn = fn;
	t->arg = arg;
	pthread_sigmask(SIG_SETMASK, &block, &before);

	int err = pthread_create(&t->t, NULL, thread_main, t);

	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

int clo_thread_join(struct clo_thread *t)
{
	int cancel = clo_cancel_off();
	int ret = -pthread_join(t->t, NULL);

	clo_cancel_restore(cancel);
	return ret;
}
