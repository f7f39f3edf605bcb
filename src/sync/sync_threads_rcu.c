/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_threads_rcu.c - grace periods and deferred calls of the threads build.
 *
 * The read side is liburcu's (inline, no fence where the kernel has membarrier). Under
 * ThreadSanitizer it is ours: liburcu is not instrumented there, so its grace periods would order
 * nothing in the eyes of the tool. Deferred calls are one text for both: a list, and a thread that
 * takes all of it, waits for one grace period and makes the calls. The thread is started by the
 * first deferred call.
 */
#include "sync/sync_threads_fork.h"

#include <assert.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef CLO_SYNC_TSAN
#include <sched.h>

/*
 * A reader publishes the grace period it has seen; 0 is outside. seq_cst on both sides: either the
 * reader's store is seen by the scan, or the scan came first and all that preceded it is seen by
 * the reader. A slot is for one thread until that ends.
 */
#define READERS_MAX 512U

struct reader {
	_Alignas(64) uint64_t seen;
	uint32_t nest;
	bool used;
};

static struct reader readers[READERS_MAX];
static uint64_t grace = 1;
static pthread_key_t reader_key;
static pthread_once_t reader_once = PTHREAD_ONCE_INIT;
static _Thread_local struct reader *self;

static void reader_gone(void *arg)
{
	struct reader *r = arg;

	__atomic_store_n(&r->used, false, __ATOMIC_RELEASE);
}

static void reader_key_make(void)
{
	pthread_key_create(&reader_key, reader_gone);
}

static struct reader *reader_claim(void)
{
	pthread_once(&reader_once, reader_key_make);
	for (unsigned i = 0; i < READERS_MAX; i++) {
		if (__atomic_exchange_n(&readers[i].used, true, __ATOMIC_ACQ_REL))
			continue;
		self = &readers[i];
		self->nest = 0;
		pthread_setspecific(reader_key, self);
		return self;
	}
	abort(); /* a test with too many threads */
}

void clo_rcu_tsan_lock(void)
{
	struct reader *r = self ? self : reader_claim();

	if (r->nest++ == 0)
		__atomic_store_n(&r->seen, __atomic_load_n(&grace, __ATOMIC_SEQ_CST),
				 __ATOMIC_SEQ_CST);
}

void clo_rcu_tsan_unlock(void)
{
	if (--self->nest == 0)
		__atomic_store_n(&self->seen, 0, __ATOMIC_SEQ_CST);
}

static void grace_period(void)
{
	uint64_t now = __atomic_add_fetch(&grace, 1, __ATOMIC_SEQ_CST);

	for (unsigned i = 0; i < READERS_MAX; i++) {
		for (;;) {
			uint64_t seen = __atomic_load_n(&readers[i].seen, __ATOMIC_SEQ_CST);

			if (seen == 0 || seen >= now)
				break;
			sched_yield();
		}
	}
}

static void fork_before(void)
{
}

static void fork_parent(void)
{
}

/* Readers that the child does not have would hold up its grace periods for ever. */
static void fork_child(void)
{
	for (unsigned i = 0; i < READERS_MAX; i++) {
		if (&readers[i] == self)
			continue;
		__atomic_store_n(&readers[i].seen, 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(&readers[i].used, false, __ATOMIC_RELEASE);
	}
}
#else
static void grace_period(void)
{
	int cancel = clo_cancel_off(); /* it polls with its lock held */

	urcu_bp_synchronize_rcu();
	clo_cancel_restore(cancel);
}

static void fork_before(void)
{
	urcu_bp_before_fork();
}

static void fork_parent(void)
{
	urcu_bp_after_fork_parent();
}

static void fork_child(void)
{
	urcu_bp_after_fork_child();
}
#endif

void clo_rcu_synchronize(void)
{
	clo_rcu_outside("clo_rcu_synchronize");
	grace_period();
}

static struct {
	pthread_mutex_t m;
	pthread_cond_t work;
	pthread_cond_t done;
	struct clo_rcu_head *list; /* newest first */
	uint64_t given;
	uint64_t made;
	bool running;
	bool draining; /* one at a time, so that what is made is the oldest of what was given */
} defer = { .m = PTHREAD_MUTEX_INITIALIZER,
	    .work = PTHREAD_COND_INITIALIZER,
	    .done = PTHREAD_COND_INITIALIZER };

/* One grace period for all that is there. Called with the lock held, which it drops meanwhile. */
static void defer_drain(void)
{
	struct clo_rcu_head *newest = defer.list, *head = NULL;
	uint64_t made = 0;

	defer.list = NULL;
	defer.draining = true;
	pthread_mutex_unlock(&defer.m);
	while (newest) {
		struct clo_rcu_head *older = newest->next;

		newest->next = head;
		head = newest;
		newest = older;
	}
	grace_period();
	while (head) {
		struct clo_rcu_head *next = head->next;

		head->fn(head);
		head = next;
		made++;
	}
	pthread_mutex_lock(&defer.m);
	defer.made += made;
	defer.draining = false;
	pthread_cond_signal(&defer.work);
	pthread_cond_broadcast(&defer.done);
}

static void *defer_main(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&defer.m);
	for (;;) {
		while (!defer.list || defer.draining)
			pthread_cond_wait(&defer.work, &defer.m);
		defer_drain();
	}
	return NULL;
}

void clo_rcu_fork_before(void)
{
	fork_before();
	/* Not earlier: readers defer calls, and the line above may wait for readers. */
	pthread_mutex_lock(&defer.m);
}

void clo_rcu_fork_parent(void)
{
	pthread_mutex_unlock(&defer.m);
	fork_parent();
}

/*
 * The thread is gone, and a barrier would wait for it for ever: the next deferred call starts it
 * anew. What was deferred belongs to objects that the child leaves alone.
 */
void clo_rcu_fork_child(void)
{
	pthread_mutex_unlock(&defer.m);
	pthread_cond_init(&defer.work, NULL);
	pthread_cond_init(&defer.done, NULL);
	defer.running = false;
	defer.draining = false;
	defer.list = NULL;
	defer.made = defer.given;
	fork_child();
}

/* With the lock held. Without a thread (none to be had) the barrier does the work itself. */
static void defer_start(void)
{
	static struct clo_thread worker;

	if (defer.running)
		return;
	if (clo_thread_create(&worker, defer_main, NULL) == 0) {
		pthread_detach(worker.t);
		defer.running = true;
	}
}

void clo_rcu_defer(struct clo_rcu_head *head, void (*fn)(struct clo_rcu_head *head))
{
	head->fn = fn;
	pthread_mutex_lock(&defer.m);
	defer_start();
	head->next = defer.list;
	defer.list = head;
	defer.given++;
	if (!head->next)
		pthread_cond_signal(&defer.work);
	pthread_mutex_unlock(&defer.m);
}

void clo_rcu_barrier(void)
{
	clo_rcu_outside("clo_rcu_barrier");
	pthread_mutex_lock(&defer.m);

	uint64_t upto = defer.given;

	int cancel = clo_cancel_off();

	while (defer.made < upto) {
		if (defer.list && !defer.draining)
			defer_drain();
		else
			pthread_cond_wait(&defer.done, &defer.m);
	}
	pthread_mutex_unlock(&defer.m);
	clo_cancel_restore(cancel);
}

/*
 * liburcu looked for membarrier(2) when it was loaded, and ends the process if a grace period is
 * refused it later: by a seccomp filter that was installed since.
 */
#ifdef CLO_SYNC_TSAN
int clo_rcu_usable(void)
{
	return 0;
}
#else
#ifdef CLO_SANITIZED
/* Declared by <urcu/static/urcu-bp.h>, which sanitizers do without. */
extern int urcu_bp_has_sys_membarrier;
#endif

int clo_rcu_usable(void)
{
	if (urcu_bp_has_sys_membarrier &&
	    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0) != 0)
		return clo_fail_errno(CLO_REASON_KERNEL, "membarrier");
	return 0;
}
#endif
