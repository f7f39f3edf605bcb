/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/test_explore.c - the explorer finds what it should, and only that: lost updates, deadlocks,
 * livelocks, stale memory; and outcomes that sequential consistency forbids do not occur.
 */
#include "harness/dfs.h"

static struct dfs dfs;

static void start(struct clo_thread *t, void *(*fn)(void *arg), void *arg)
{
	CHECK_OK(clo_thread_create(t, fn, arg));
}

static void two_threads(void *(*a)(void *arg), void *(*b)(void *arg), void *arg)
{
	struct clo_thread t[2];

	clo_sched_quiet(true);
	start(&t[0], a, arg);
	start(&t[1], b, arg);
	clo_sched_quiet(false);
	for (unsigned i = 0; i < 2; i++)
		CHECK_OK(clo_thread_join(&t[i]));
}

/* Two threads add without an atomic add. */
struct counter {
	struct clo_a32 v;
	struct clo_mutex m;
	bool locked;
	uint32_t seen; /* bit n: a run ended with n */
};

static void *count_up(void *arg)
{
	struct counter *c = arg;

	if (c->locked)
		clo_mutex_lock(&c->m);
	clo_a32_set(&c->v, clo_a32_get(&c->v) + 1);
	if (c->locked)
		clo_mutex_unlock(&c->m);
	return NULL;
}

static void count_main(void *arg)
{
	struct counter *c = arg;

	clo_a32_init(&c->v, 0);
	clo_mutex_init(&c->m, CLO_RANK_LEAF, "count");
	two_threads(count_up, count_up, c);
	c->seen |= 1U << clo_a32_get(&c->v);
}

TEST(lost_update_is_found)
{
	struct counter c = { 0 };

	dfs = (struct dfs){ .main_fn = count_main, .arg = &c, .bound = 1 };
	CHECK(!dfs_search(&dfs, CLO_SCHED_END_COUNT));
	CHECK_EQ(dfs.ends[CLO_SCHED_DONE], dfs.runs);
	CHECK_EQ(c.seen, (1U << 1) | (1U << 2));
	test_note("%llu runs", (unsigned long long)dfs.runs);
}

TEST(no_update_is_lost_under_a_lock)
{
	struct counter c = { .locked = true };

	dfs = (struct dfs){ .main_fn = count_main, .arg = &c, .bound = 3 };
	CHECK(!dfs_search(&dfs, CLO_SCHED_END_COUNT));
	CHECK_EQ(dfs.ends[CLO_SCHED_DONE], dfs.runs);
	CHECK_EQ(c.seen, 1U << 2);
	CHECK_LT(2, dfs.runs);
}

TEST(no_preemption_no_lost_update)
{
	struct counter c = { 0 };

	dfs = (struct dfs){ .main_fn = count_main, .arg = &c, .bound = 0 };
	CHECK(!dfs_search(&dfs, CLO_SCHED_END_COUNT));
	CHECK_EQ(c.seen, 1U << 2);
}

/* Store buffering: with sequential consistency at least one thread sees the other's store. */
struct store_buffer {
	struct clo_a32 x;
	struct clo_a32 y;
	uint32_t got_x;
	uint32_t got_y;
	uint32_t seen;
};

static void *store_x(void *arg)
{
	struct store_buffer *s = arg;

	clo_a32_set_sc(&s->x, 1);
	s->got_y = clo_a32_get_sc(&s->y);
	return NULL;
}

static void *store_y(void *arg)
{
	struct store_buffer *s = arg;

	clo_a32_set_sc(&s->y, 1);
	s->got_x = clo_a32_get_sc(&s->x);
	return NULL;
}

static void store_main(void *arg)
{
	struct store_buffer *s = arg;

	clo_a32_init(&s->x, 0);
	clo_a32_init(&s->y, 0);
	two_threads(store_x, store_y, s);
	s->seen |= 1U << (s->got_x * 2 + s->got_y);
}

TEST(store_buffer_is_sequentially_consistent)
{
	struct store_buffer s = { 0 };

	dfs = (struct dfs){ .main_fn = store_main, .arg = &s, .bound = 4 };
	CHECK(!dfs_search(&dfs, CLO_SCHED_END_COUNT));
	CHECK_EQ(s.seen, (1U << 1) | (1U << 2) | (1U << 3)); /* never neither */
}

/* Locks have ranks, so a cycle of locks is a fault in every run. A thread and a grace period have
 * none. */
static struct clo_thread joined;

static void *synchronizes(void *arg)
{
	clo_sched_name("writer");
	clo_rcu_synchronize();
	return arg;
}

static void *joins_in_section(void *arg)
{
	clo_rcu_read_lock();
	CHECK_OK(clo_thread_join(&joined));
	clo_rcu_read_unlock();
	return arg;
}

static void join_main(void *arg)
{
	struct clo_thread t;

	clo_sched_quiet(true);
	start(&joined, synchronizes, arg);
	start(&t, joins_in_section, arg);
	clo_sched_quiet(false);
	CHECK_OK(clo_thread_join(&t));
}

TEST(deadlock_is_found_and_told)
{
	dfs = (struct dfs){ .main_fn = join_main, .bound = 2 };
	CHECK(dfs_search(&dfs, CLO_SCHED_DEADLOCK));
	test_note("%s", dfs.last.report);
	CHECK(dfs.ends[CLO_SCHED_DONE] > 0); /* not in every schedule */
	CHECK(strstr(dfs.last.report, "T2: join \"writer\", waits for writer"));
	CHECK(strstr(dfs.last.report, "writer: rcu-wait \"rcu\", waits for T2"));
}

/* What a lock that is taken in a section and held over a grace period may lead to is said at once.
 */
static struct clo_mutex both;

static void *locks_in_section(void *arg)
{
	clo_rcu_read_lock();
	clo_mutex_lock(&both);
	clo_mutex_unlock(&both);
	clo_rcu_read_unlock();
	return arg;
}

static void *synchronizes_in_lock(void *arg)
{
	clo_mutex_lock(&both);
	clo_rcu_synchronize();
	clo_mutex_unlock(&both);
	return arg;
}

static void both_main(void *arg)
{
	clo_mutex_init(&both, CLO_RANK_LEAF, "both");
	two_threads(locks_in_section, synchronizes_in_lock, arg);
}

TEST(lock_in_section_and_over_grace_period_is_a_fault)
{
	dfs = (struct dfs){ .main_fn = both_main, .bound = 0 };
	CHECK(dfs_search(&dfs, CLO_SCHED_FAULT));
	CHECK_EQ(dfs.runs, 1);
	CHECK_MSG(strstr(dfs.last.report, "\"both\" (rank LEAF)"), "%s", dfs.last.report);
}

/* Each spins until the other has gone first. */
struct politeness {
	struct clo_a32 gone[2];
	struct clo_mutex m;
	bool with_lock;
};

static bool politeness_look(struct politeness *p, unsigned who)
{
	bool gone;

	if (p->with_lock)
		clo_mutex_lock(&p->m);
	gone = clo_a32_get(&p->gone[who]) != 0;
	if (p->with_lock)
		clo_mutex_unlock(&p->m);
	return gone;
}

static void *after_second(void *arg)
{
	struct politeness *p = arg;

	while (!politeness_look(p, 1))
		clo_relax();
	clo_a32_set(&p->gone[0], 1);
	return NULL;
}

static void *after_first(void *arg)
{
	struct politeness *p = arg;

	while (!politeness_look(p, 0))
		clo_relax();
	clo_a32_set(&p->gone[1], 1);
	return NULL;
}

static void *go_second(void *arg)
{
	struct politeness *p = arg;

	clo_a32_set(&p->gone[1], 1);
	return NULL;
}

static void polite_main(void *arg)
{
	struct politeness *p = arg;

	clo_mutex_init(&p->m, CLO_RANK_LEAF, "polite");
	two_threads(after_second, after_first, p);
}

static void spin_main(void *arg)
{
	struct politeness *p = arg;

	clo_a32_init(&p->gone[0], 0);
	clo_a32_init(&p->gone[1], 0);
	clo_mutex_init(&p->m, CLO_RANK_LEAF, "polite");
	two_threads(after_second, go_second, p);
}

TEST(livelock_is_found)
{
	struct politeness p = { 0 };

	dfs = (struct dfs){ .main_fn = polite_main, .arg = &p, .bound = 1 };
	CHECK(!dfs_search(&dfs, CLO_SCHED_END_COUNT));
	CHECK_EQ(dfs.ends[CLO_SCHED_LIVELOCK], dfs.runs);
	CHECK(strstr(dfs.last.report, "T1: relax"));
}

TEST(livelock_of_spinners_with_a_lock_is_found)
{
	struct politeness p = { .with_lock = true };

	dfs = (struct dfs){ .main_fn = polite_main, .arg = &p, .bound = 0 };
	dfs_search(&dfs, CLO_SCHED_LIVELOCK);
	CHECK_EQ(dfs.ends[CLO_SCHED_LIVELOCK], 1);
	CHECK_EQ(dfs.runs, 1);
}

TEST(a_spin_that_ends_is_no_livelock)
{
	struct politeness p = { 0 };

	for (unsigned i = 0; i < 2; i++) {
		p.with_lock = i == 1;
		dfs = (struct dfs){ .main_fn = spin_main, .arg = &p, .bound = 3 };
		CHECK(!dfs_search(&dfs, CLO_SCHED_END_COUNT));
		CHECK_EQ(dfs.ends[CLO_SCHED_DONE], dfs.runs);
		CHECK_LT(3, dfs.runs);
	}
}

TEST(endless_change_meets_the_step_limit)
{
	struct counter c = { 0 };

	dfs = (struct dfs){ .main_fn = count_main, .arg = &c, .bound = 0, .max_steps = 3 };
	dfs_search(&dfs, CLO_SCHED_STEP_LIMIT);
	CHECK_EQ(dfs.last.end, CLO_SCHED_STEP_LIMIT);
	CHECK_EQ(dfs.last.steps, 3);
	CHECK(strstr(dfs.last.report, "T1: "));
}
