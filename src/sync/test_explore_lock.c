/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/test_explore_lock.c - locks, conditions and time in the explorer, over all schedules with
 * few preemptions: they exclude whom they should, and nobody else.
 */
#include "harness/dfs.h"

static struct dfs dfs;

struct state {
	struct clo_mutex m;
	struct clo_rwlock rw;
	struct clo_cond c;
	struct clo_rangelock range;
	unsigned inside;
	unsigned seen; /* bit n: n were inside at once */
	unsigned ready;
	bool woken;
};

static struct state st;

static void run(void *(*a)(void *arg), void *(*b)(void *arg))
{
	struct clo_thread t[2];

	clo_sched_quiet(true);
	clo_mutex_init(&st.m, CLO_RANK_PAGE, "m");
	clo_rwlock_init(&st.rw, CLO_RANK_SLOTS, "rw");
	clo_cond_init(&st.c);
	clo_rangelock_init(&st.range, CLO_RANK_RANGE, "range");
	st.inside = 0;
	st.ready = 0;
	CHECK_OK(clo_thread_create(&t[0], a, NULL));
	CHECK_OK(clo_thread_create(&t[1], b, NULL));
	clo_sched_quiet(false);
	CHECK_OK(clo_thread_join(&t[0]));
	CHECK_OK(clo_thread_join(&t[1]));
	clo_mutex_destroy(&st.m);
	clo_rwlock_destroy(&st.rw);
	clo_cond_destroy(&st.c);
	clo_rangelock_destroy(&st.range);
}

static void explore(void (*main_fn)(void *arg), uint32_t bound)
{
	memset(&st, 0, sizeof(st));
	dfs = (struct dfs){ .main_fn = main_fn, .bound = bound };
	CHECK(!dfs_search(&dfs, CLO_SCHED_END_COUNT));
	CHECK_MSG(dfs.ends[CLO_SCHED_DONE] == dfs.runs, "%s", dfs.last.report);
}

static void look_inside(void)
{
	st.inside++;
	st.seen |= 1U << st.inside;
	clo_sync_point("inside", st.inside);
	st.seen |= 1U << st.inside;
	st.inside--;
}

static void *reads(void *arg)
{
	clo_rwlock_rdlock(&st.rw);
	look_inside();
	clo_rwlock_unlock(&st.rw);
	return arg;
}

static void *writes(void *arg)
{
	clo_rwlock_wrlock(&st.rw);
	look_inside();
	clo_rwlock_unlock(&st.rw);
	return arg;
}

static void readers_main(void *arg)
{
	(void)arg;
	run(reads, reads);
}

static void reader_writer_main(void *arg)
{
	(void)arg;
	run(reads, writes);
}

static void writers_main(void *arg)
{
	(void)arg;
	run(writes, writes);
}

TEST(rwlock_in_all_schedules)
{
	explore(readers_main, 2);
	CHECK_EQ(st.seen, 1U << 1 | 1U << 2);
	explore(reader_writer_main, 2);
	CHECK_EQ(st.seen, 1U << 1);
	explore(writers_main, 2);
	CHECK_EQ(st.seen, 1U << 1);
}

static void *tries(void *arg)
{
	if (!clo_mutex_trylock(&st.m)) {
		st.woken = true;
		return arg;
	}
	look_inside();
	clo_mutex_unlock(&st.m);
	return arg;
}

static void *spins_for_lock(void *arg)
{
	while (!clo_mutex_trylock(&st.m))
		clo_relax();
	look_inside();
	clo_mutex_unlock(&st.m);
	return arg;
}

static void trylock_main(void *arg)
{
	(void)arg;
	run(tries, spins_for_lock);
}

TEST(trylock_in_all_schedules)
{
	explore(trylock_main, 3);
	CHECK_EQ(st.seen, 1U << 1);
	CHECK(st.woken); /* it failed in some */
}

static void ranges_of(struct clo_range r)
{
	struct clo_rangelock_hold h;

	clo_rangelock_lock(&st.range, r, &h);
	look_inside();
	clo_rangelock_unlock(&st.range, &h);
}

static void *low_range(void *arg)
{
	ranges_of(clo_range(0, 4));
	return arg;
}

static void *middle_range(void *arg)
{
	ranges_of(clo_range(3, 5));
	return arg;
}

static void *high_range(void *arg)
{
	ranges_of(clo_range(4, 8));
	return arg;
}

static void disjoint_main(void *arg)
{
	(void)arg;
	run(low_range, high_range);
}

static void overlap_main(void *arg)
{
	(void)arg;
	run(low_range, middle_range);
}

TEST(rangelock_in_all_schedules)
{
	explore(disjoint_main, 2);
	CHECK_EQ(st.seen, 1U << 1 | 1U << 2);
	explore(overlap_main, 2);
	CHECK_EQ(st.seen, 1U << 1);
}

static void *waits(void *arg)
{
	clo_mutex_lock(&st.m);
	while (!st.ready)
		clo_cond_wait(&st.c, &st.m);
	look_inside();
	clo_mutex_unlock(&st.m);
	return arg;
}

static void *signals(void *arg)
{
	clo_mutex_lock(&st.m);
	st.ready = 1;
	clo_cond_broadcast(&st.c);
	look_inside();
	clo_mutex_unlock(&st.m);
	return arg;
}

static void *forgets_to_signal(void *arg)
{
	clo_mutex_lock(&st.m);
	st.ready = 1;
	clo_mutex_unlock(&st.m);
	return arg;
}

static void condition_main(void *arg)
{
	(void)arg;
	run(waits, signals);
}

static void lost_wakeup_main(void *arg)
{
	(void)arg;
	run(waits, forgets_to_signal);
}

TEST(condition_in_all_schedules)
{
	explore(condition_main, 3);
	CHECK_EQ(st.seen, 1U << 1);
}

TEST(a_lost_wakeup_is_a_deadlock)
{
	memset(&st, 0, sizeof(st));
	dfs = (struct dfs){ .main_fn = lost_wakeup_main, .bound = 1 };
	CHECK(dfs_search(&dfs, CLO_SCHED_DEADLOCK));
	CHECK_MSG(strstr(dfs.last.report, "T1: wake \"m\""), "%s", dfs.last.report);
}

/* In on_step the world stands still, whoever holds its locks. */
static unsigned looked_while_held;

static int look_at_world(void *arg, const struct clo_sched_step *s)
{
	struct clo_rangelock_hold h;

	(void)arg;
	clo_mutex_lock(&st.m);
	clo_rwlock_rdlock(&st.rw);
	clo_rangelock_lock(&st.range, clo_range(0, 8), &h);
	clo_rcu_read_lock();
	looked_while_held += s->op.kind == CLO_OP_LOCK;
	clo_rcu_read_unlock();
	clo_rangelock_unlock(&st.range, &h);
	clo_rwlock_unlock(&st.rw);
	clo_mutex_unlock(&st.m);
	return 0;
}

TEST(on_step_may_look_behind_locks)
{
	dfs = (struct dfs){ .main_fn = condition_main, .bound = 1, .on_step = look_at_world };
	CHECK(!dfs_search(&dfs, CLO_SCHED_END_COUNT));
	CHECK_EQ(dfs.ends[CLO_SCHED_DONE], dfs.runs);
	CHECK_LT(0, looked_while_held);
}

/*
 * Random priorities with few changes find a bug of depth d more often than blind chance: the scheme
 * of probabilistic concurrency testing, here as an example of choose().
 */
struct pct {
	struct clo_rand rand;
	uint64_t priority[CLO_SCHED_THREADS];
	uint64_t change_at[2];
};

static int pct_choose(void *arg, const struct clo_sched_choice *c)
{
	struct pct *p = arg;
	uint32_t best = c->threads[0];

	for (unsigned i = 0; i < CLO_ARRAY_SIZE(p->change_at); i++)
		if (c->step == p->change_at[i])
			p->priority[c->current] = i; /* below all */
	for (uint32_t i = 1; i < c->count; i++)
		if (p->priority[c->threads[i]] > p->priority[best])
			best = c->threads[i];
	return (int)best;
}

TEST(random_priorities_find_the_lost_wakeup)
{
	struct clo_sched_result result;
	unsigned found = 0;

	for (uint64_t seed = 0; seed < 200; seed++) {
		struct pct p = { .rand = { test_seed() * 1000 + seed } };
		struct clo_sched_config config = { .arg = &p, .choose = pct_choose };

		for (unsigned i = 0; i < CLO_SCHED_THREADS; i++)
			p.priority[i] = 2 + clo_rand_below(&p.rand, 1000);
		for (unsigned i = 0; i < CLO_ARRAY_SIZE(p.change_at); i++)
			p.change_at[i] = clo_rand_below(&p.rand, 15);
		CHECK_OK(clo_sched_run(&config, lost_wakeup_main, NULL, &result));
		found += result.end == CLO_SCHED_DEADLOCK;
	}
	CHECK_LT(0, found);
	CHECK_LT(found, 200);
}
