/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/test_explore_wait.c - what waiting does in the explorer: a writer that waits keeps readers
 * out, and a wait for a condition can end by time or for no reason.
 */
#include "harness/dfs.h"

static struct dfs dfs;

struct state {
	struct clo_mutex m;
	struct clo_rwlock rw;
	struct clo_cond c;
	unsigned ready;
	unsigned order;
	bool timed_out;
	bool woken;
	bool late; /* the time was over, and the signal there */
};

static struct state st;

static void run_three(void *(*const body[3])(void *arg))
{
	struct clo_thread t[3];
	unsigned count = 0;

	clo_sched_quiet(true);
	clo_mutex_init(&st.m, CLO_RANK_PAGE, "m");
	clo_rwlock_init(&st.rw, CLO_RANK_SLOTS, "rw");
	clo_cond_init(&st.c);
	st.ready = 0;
	st.order = 0;
	for (; count < 3 && body[count]; count++)
		CHECK_OK(clo_thread_create(&t[count], body[count], NULL));
	clo_sched_quiet(false);
	for (unsigned i = 0; i < count; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	clo_mutex_destroy(&st.m);
	clo_rwlock_destroy(&st.rw);
	clo_cond_destroy(&st.c);
}

static void run(void *(*a)(void *arg), void *(*b)(void *arg))
{
	void *(*const body[3])(void *) = { a, b, NULL };

	run_three(body);
}

static void explore(void (*main_fn)(void *arg), uint32_t bound)
{
	memset(&st, 0, sizeof(st));
	dfs = (struct dfs){ .main_fn = main_fn, .bound = bound };
	CHECK(!dfs_search(&dfs, CLO_SCHED_END_COUNT));
	CHECK_MSG(dfs.ends[CLO_SCHED_DONE] == dfs.runs, "%s", dfs.last.report);
}

static void *waits(void *arg)
{
	clo_mutex_lock(&st.m);
	while (!st.ready)
		clo_cond_wait(&st.c, &st.m);
	clo_mutex_unlock(&st.m);
	return arg;
}

static void *signals(void *arg)
{
	clo_mutex_lock(&st.m);
	st.ready = 1;
	clo_cond_broadcast(&st.c);
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

static void *writes(void *arg)
{
	clo_rwlock_wrlock(&st.rw);
	clo_rwlock_unlock(&st.rw);
	return arg;
}

/* As a conversion that waits for a pin under the lock of the memslots ... */
static void *reads_until_ready(void *arg)
{
	clo_rwlock_rdlock(&st.rw);
	clo_mutex_lock(&st.m);
	while (!st.ready)
		clo_cond_wait(&st.c, &st.m);
	clo_mutex_unlock(&st.m);
	clo_rwlock_unlock(&st.rw);
	return arg;
}

/* ... beside a device that converts another page before it unpins. */
static void *reads_and_signals(void *arg)
{
	clo_rwlock_rdlock(&st.rw);
	clo_rwlock_unlock(&st.rw);
	signals(arg);
	return arg;
}

static void reader_behind_writer_main(void *arg)
{
	static void *(*const body[3])(void *) = { reads_until_ready, writes, reads_and_signals };

	(void)arg;
	run_three(body);
}

/* Two readers alone are no dead-lock: it is the writer that waits between them. */
static void readers_and_signal_main(void *arg)
{
	(void)arg;
	run(reads_until_ready, reads_and_signals);
}

TEST(a_waiting_writer_keeps_new_readers_out)
{
	explore(readers_and_signal_main, 2);
	memset(&st, 0, sizeof(st));
	/* All three are waited for: no preemption is needed. */
	dfs = (struct dfs){ .main_fn = reader_behind_writer_main, .bound = 0 };
	CHECK(dfs_search(&dfs, CLO_SCHED_DEADLOCK));
	CHECK_MSG(strstr(dfs.last.report, "T1: wake \"m\"\n"
					  "T2: write-wait \"rw\", waits for T1\n"
					  "T3: read-lock \"rw\", waits for T2"),
		  "%s", dfs.last.report);
	/* When the device comes before the writer, or the writer before all, it ends well. */
	dfs = (struct dfs){ .main_fn = reader_behind_writer_main, .bound = 1 };
	CHECK(!dfs_search(&dfs, CLO_SCHED_END_COUNT));
	CHECK_LT(0, dfs.ends[CLO_SCHED_DONE]);
	CHECK_LT(0, dfs.ends[CLO_SCHED_DEADLOCK]);
	CHECK_EQ(dfs.ends[CLO_SCHED_DONE] + dfs.ends[CLO_SCHED_DEADLOCK], dfs.runs);
}

/* Who was first inside of st.rw, when all three met there: digits, the first one leftmost. */
static void enter(unsigned who)
{
	st.order = 10 * st.order + who;
	clo_sync_point("inside", who);
	clo_rwlock_unlock(&st.rw);
}

static void *first_reader(void *arg)
{
	clo_rwlock_rdlock(&st.rw);
	/* Until the writer waits, and the second reader stands behind it. */
	while (st.ready < 2)
		clo_sync_point("hold", 0);
	enter(1);
	return arg;
}

static void *first_writer(void *arg)
{
	clo_rwlock_wrlock(&st.rw);
	enter(2);
	return arg;
}

static void *second_reader(void *arg)
{
	clo_rwlock_rdlock(&st.rw);
	enter(3);
	return arg;
}

static int choose_by_turns(void *arg, const struct clo_sched_choice *c)
{
	const struct clo_sched_op *writer = clo_sched_pending(2), *first = clo_sched_pending(1);

	(void)arg;
	/* The reader is in, then the writer comes, then the rest by the lowest number. */
	if (writer && writer->kind != CLO_OP_WRWAIT && first && first->kind == CLO_OP_POINT)
		return 2;
	if (writer && writer->kind == CLO_OP_WRWAIT)
		st.ready = 2;
	for (uint32_t i = 0; i < c->count; i++)
		if (c->threads[i] != 0)
			return (int)c->threads[i];
	return (int)c->threads[0];
}

static void three_in_turn_main(void *arg)
{
	static void *(*const body[3])(void *) = { first_reader, first_writer, second_reader };

	(void)arg;
	run_three(body);
}

TEST(a_reader_gets_in_behind_the_writer_that_came_before_it)
{
	struct clo_sched_config config = { .choose = choose_by_turns };
	struct clo_sched_result result;

	memset(&st, 0, sizeof(st));
	CHECK_OK(clo_sched_run(&config, three_in_turn_main, NULL, &result));
	CHECK_EQ(result.end, CLO_SCHED_DONE);
	CHECK_EQ(st.order, 123);
}

#define LATER 5000000000ULL

static void *waits_until(void *arg)
{
	uint64_t start = clo_now_ns();

	clo_mutex_lock(&st.m);
	while (!st.ready) {
		if (clo_cond_timedwait(&st.c, &st.m, start + LATER)) {
			st.woken = true;
		} else {
			st.timed_out = true;
			st.late |= st.ready;
			CHECK_LE(start + LATER, clo_now_ns());
			break;
		}
	}
	clo_mutex_unlock(&st.m);
	return arg;
}

static void timed_main(void *arg)
{
	(void)arg;
	run(waits_until, signals);
}

static void timeout_main(void *arg)
{
	(void)arg;
	run(waits_until, waits_until);
}

TEST(time_passes_when_nothing_else_can_run)
{
	explore(timed_main, 3);
	CHECK(st.woken && !st.timed_out);
	explore(timeout_main, 1);
	CHECK(st.timed_out && !st.woken);
}

static void explore_self_wakes(void (*main_fn)(void *arg), uint32_t bound)
{
	memset(&st, 0, sizeof(st));
	dfs = (struct dfs){ .main_fn = main_fn, .bound = bound, .self_wakes = true };
	CHECK(!dfs_search(&dfs, CLO_SCHED_END_COUNT));
}

/* A time-out beside threads that could run costs a preemption; it may come behind the signal. */
TEST(time_can_pass_at_any_point)
{
	explore_self_wakes(timed_main, 0);
	CHECK(st.woken && !st.timed_out);
	explore_self_wakes(timed_main, 2);
	CHECK(st.woken && st.timed_out && st.late);
	CHECK_EQ(dfs.ends[CLO_SCHED_DONE], dfs.runs);
}

/* One that takes a wake-up for what it waits for. */
static void *waits_once(void *arg)
{
	clo_mutex_lock(&st.m);
	if (!st.ready)
		clo_cond_wait(&st.c, &st.m);
	st.woken |= !st.ready;
	clo_mutex_unlock(&st.m);
	return arg;
}

static void waits_once_main(void *arg)
{
	(void)arg;
	run(waits_once, signals);
}

TEST(a_wait_can_end_without_a_signal)
{
	explore_self_wakes(waits_once_main, 0);
	CHECK(!st.woken);
	explore_self_wakes(waits_once_main, 1);
	CHECK(st.woken);
	/* That it can is no way out of a wake-up that was lost, and a loop sees through it. */
	explore_self_wakes(lost_wakeup_main, 1);
	CHECK_LT(0, dfs.ends[CLO_SCHED_DEADLOCK]);
	explore_self_wakes(condition_main, 2);
	CHECK_EQ(dfs.ends[CLO_SCHED_DONE], dfs.runs);
}
