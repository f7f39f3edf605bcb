/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/test_threads.c - locks, conditions, atomics and threads under contention; runs under TSan
 * too, which sees in the plain fields here whether the locks order anything.
 */
#include "harness/test.h"
#include "sync/sync.h"

#define THREADS 4U
#define TURNS   2000U

struct state {
	struct clo_mutex m;
	struct clo_rwlock rw;
	struct clo_cond c;
	struct clo_rangelock range;
	struct clo_a32 a32;
	struct clo_a64 a64;
	struct clo_aptr ptr;
	struct clo_a32 ready;
	uint64_t plain;
	uint64_t cell[2 * THREADS];
	unsigned turn;
	bool go;
};

static struct state st;
static uint64_t seed;

static void init(void)
{
	memset(&st, 0, sizeof(st));
	seed = test_seed();
	clo_mutex_init(&st.m, CLO_RANK_VM, "m");
	clo_rwlock_init(&st.rw, CLO_RANK_SLOTS, "rw");
	clo_cond_init(&st.c);
	clo_rangelock_init(&st.range, CLO_RANK_RANGE, "range");
}

static void destroy(void)
{
	clo_mutex_destroy(&st.m);
	clo_rwlock_destroy(&st.rw);
	clo_cond_destroy(&st.c);
	clo_rangelock_destroy(&st.range);
}

/* fn(n) in each of THREADS threads. */
static void run_all(void *(*fn)(void *arg))
{
	struct clo_thread t[THREADS];

	init();
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK_OK(clo_thread_create(&t[i], fn, (void *)i));
	for (unsigned i = 0; i < THREADS; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	destroy();
}

static void *with_mutex(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < TURNS; i++) {
		if (i % 2)
			clo_mutex_lock(&st.m);
		else
			while (!clo_mutex_trylock(&st.m))
				clo_relax();
		st.plain++;
		clo_mutex_unlock(&st.m);
	}
	return NULL;
}

TEST(mutex_excludes)
{
	run_all(with_mutex);
	CHECK_EQ(st.plain, THREADS * TURNS);
}

static void *with_rwlock(void *arg)
{
	for (unsigned i = 0; i < TURNS; i++) {
		if (arg == NULL || i % 16 == 0) {
			clo_rwlock_wrlock(&st.rw);
			st.cell[0]++;
			st.cell[1]++;
		} else {
			clo_rwlock_rdlock(&st.rw);
			CHECK_EQ(st.cell[0], st.cell[1]);
		}
		clo_rwlock_unlock(&st.rw);
	}
	return NULL;
}

TEST(rwlock_excludes_writers)
{
	run_all(with_rwlock);
	CHECK_EQ(st.cell[0], TURNS + (THREADS - 1) * (TURNS / 16));
}

static void *reader_waits_inside(void *arg)
{
	(void)arg;
	clo_rwlock_rdlock(&st.rw);
	clo_a32_add(&st.ready, 1);
	while (clo_a32_get(&st.ready) < THREADS)
		clo_relax();
	clo_rwlock_unlock(&st.rw);
	return NULL;
}

TEST(rwlock_lets_readers_in_together)
{
	run_all(reader_waits_inside);
}

static void *in_turn(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;

	clo_mutex_lock(&st.m);
	for (unsigned i = 0; i < TURNS / 10; i++) {
		while (st.turn % THREADS != me)
			clo_cond_wait(&st.c, &st.m);
		st.turn++;
		clo_cond_broadcast(&st.c);
	}
	clo_mutex_unlock(&st.m);
	return NULL;
}

TEST(condition_wakes_all_who_wait)
{
	run_all(in_turn);
	CHECK_EQ(st.turn, THREADS * (TURNS / 10));
}

static void *goes(void *arg)
{
	(void)arg;
	clo_mutex_lock(&st.m);
	st.go = true;
	clo_cond_broadcast(&st.c);
	clo_mutex_unlock(&st.m);
	return NULL;
}

TEST(timed_wait_ends_either_way)
{
	struct clo_thread t;

	init();
	clo_mutex_lock(&st.m);
	CHECK(!clo_cond_timedwait(&st.c, &st.m, clo_now_ns() + 1000000));
	CHECK(!clo_cond_timedwait(&st.c, &st.m, 0));
	CHECK_OK(clo_thread_create(&t, goes, NULL));
	while (!st.go)
		CHECK(clo_cond_timedwait(&st.c, &st.m, clo_now_ns() + 1000000000000ULL));
	clo_mutex_unlock(&st.m);
	CHECK_OK(clo_thread_join(&t));
	destroy();
}

/* Random ranges; each cell has one owner at a time. */
static void *with_ranges(void *arg)
{
	struct clo_rand r = { seed + (uintptr_t)arg };

	for (unsigned i = 0; i < TURNS / 2; i++) {
		uint64_t start = clo_rand_below(&r, 2ULL * THREADS);
		uint64_t end = start + 1 + clo_rand_below(&r, 2ULL * THREADS - start);
		struct clo_rangelock_hold h;

		clo_rangelock_lock(&st.range, clo_range(start, end), &h);
		for (uint64_t c = start; c < end; c++)
			st.cell[c]++;
		for (uint64_t c = start; c < end; c++)
			CHECK_LT(0, st.cell[c]);
		clo_rangelock_unlock(&st.range, &h);
	}
	return NULL;
}

TEST(rangelock_excludes_what_overlaps)
{
	run_all(with_ranges);
}

static void *range_waits_inside(void *arg)
{
	uint64_t me = (uintptr_t)arg;
	struct clo_rangelock_hold h;

	clo_rangelock_lock(&st.range, clo_range(me, me + 1), &h);
	clo_a32_add(&st.ready, 1);
	while (clo_a32_get(&st.ready) < THREADS)
		clo_relax();
	clo_rangelock_unlock(&st.range, &h);
	return NULL;
}

TEST(rangelock_lets_disjoint_ranges_in_together)
{
	run_all(range_waits_inside);
}

static void *with_atomics(void *arg)
{
	for (unsigned i = 0; i < TURNS; i++) {
		uint64_t seen = clo_a64_get_relaxed(&st.a64);
		void *p = clo_aptr_get_relaxed(&st.ptr);

		clo_a32_add(&st.a32, 3);
		clo_a32_sub(&st.a32, 2);
		while (!clo_a64_cas(&st.a64, &seen, seen + 1))
			clo_relax();
		while (!clo_aptr_cas(&st.ptr, &p, (void *)((uintptr_t)p + 1)))
			clo_relax();
	}
	(void)arg;
	return NULL;
}

TEST(atomics_lose_nothing)
{
	run_all(with_atomics);
	CHECK_EQ(clo_a32_get(&st.a32), THREADS * TURNS);
	CHECK_EQ(clo_a64_get(&st.a64), THREADS * TURNS);
	CHECK_EQ((uintptr_t)clo_aptr_get(&st.ptr), THREADS * TURNS);
}

static void *publishes(void *arg)
{
	(void)arg;
	st.plain = 17;
	clo_aptr_set(&st.ptr, &st.plain);
	return NULL;
}

TEST(what_is_published_is_seen)
{
	struct clo_thread t;
	const uint64_t *p;

	init();
	CHECK_OK(clo_thread_create(&t, publishes, NULL));
	while ((p = clo_aptr_get(&st.ptr)) == NULL)
		clo_relax();
	CHECK_EQ(*p, 17);
	CHECK_OK(clo_thread_join(&t));
	destroy();
}

static void *asks_its_mask(void *arg)
{
	sigset_t mask;

	(void)arg;
	CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &mask), 0);
	CHECK(sigismember(&mask, SIGINT) && sigismember(&mask, SIGUSR1));
	CHECK(!sigismember(&mask, SIGBUS) && !sigismember(&mask, SIGSEGV));
	return NULL;
}

TEST(threads_leave_signals_to_the_program)
{
	sigset_t mask;

	run_all(asks_its_mask);
	CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &mask), 0);
	CHECK(!sigismember(&mask, SIGUSR1));
}

struct cancelled {
	struct clo_mutex m;
	struct clo_cond c;
	struct clo_rangelock l;
	struct clo_a32 ready, go, done;
};

/* A cancellation that is pending when a wait begins does not end it, nor does one that comes then.
 */
static void *wait_cancelled(void *arg)
{
	struct cancelled *t = arg;
	struct clo_rangelock_hold h;

	CHECK_EQ(pthread_cancel(pthread_self()), 0);
	clo_mutex_lock(&t->m);
	clo_a32_set(&t->ready, 1);
	while (!clo_a32_get(&t->go))
		clo_cond_wait(&t->c, &t->m);
	CHECK(!clo_cond_timedwait(&t->c, &t->m, 1));
	clo_mutex_unlock(&t->m);
	clo_a32_set(&t->ready, 2);
	clo_rangelock_lock(&t->l, clo_range(0, 1), &h);
	clo_rangelock_unlock(&t->l, &h);
	clo_rcu_synchronize();
	clo_a32_set(&t->done, 1);
	pthread_testcancel();
	return NULL;
}

TEST(cancelled_threads_go_on)
{
	struct cancelled t = { 0 };
	struct clo_rangelock_hold h;
	pthread_t thread;
	void *ret;

	clo_mutex_init(&t.m, CLO_RANK_LEAF, "m");
	clo_cond_init(&t.c);
	clo_rangelock_init(&t.l, CLO_RANK_RANGE, "l");
	clo_rangelock_lock(&t.l, clo_range(0, 1), &h);
	CHECK_EQ(pthread_create(&thread, NULL, wait_cancelled, &t), 0);
	while (clo_a32_get(&t.ready) != 1)
		clo_relax();
	/* With the lock: the thread is in its wait. */
	clo_mutex_lock(&t.m);
	clo_a32_set(&t.go, 1);
	clo_cond_broadcast(&t.c);
	clo_mutex_unlock(&t.m);
	while (clo_a32_get(&t.ready) != 2)
		clo_relax();
	clo_rangelock_unlock(&t.l, &h);
	CHECK_EQ(pthread_join(thread, &ret), 0);
	CHECK(clo_a32_get(&t.done) && ret == PTHREAD_CANCELED);
	clo_rangelock_destroy(&t.l);
	clo_cond_destroy(&t.c);
	clo_mutex_destroy(&t.m);
}
