/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/test_explore_inval.c - the invalidation protocol of sync.h in all schedules of a mapper and
 * a changer with three preemptions; and each of its steps left out, which must be found.
 */
#include "harness/dfs.h"

#define FROZEN 1ULL
#define MAPPED 2ULL /* + the state that was mapped */

enum mistake {
	NONE,
	NO_RETRY,      /* the mapper publishes without asking */
	RETRY_EARLY,   /* it asks before it announces */
	NO_WAIT,       /* the changer passes over an announced entry */
	SNAPSHOT_LATE, /* the mapper looks at the state first */
	NO_BEGIN,      /* the changer does not say that it begins */
	MISTAKE_COUNT
};

static struct {
	struct clo_inval iv;
	struct clo_a64 state;
	struct clo_a64 entry;
	enum mistake mistake;
	unsigned mapped; /* bit n: state n was mapped in some run */
} w;

static struct dfs dfs;

static void *mapper(void *arg)
{
	uint64_t none = 0;
	uint64_t v = w.mistake == SNAPSHOT_LATE ? clo_a64_get(&w.state) : 0;
	struct clo_inval_snap snap = clo_inval_snapshot(&w.iv, 0);
	bool retry = false;

	if (w.mistake != SNAPSHOT_LATE)
		v = clo_a64_get(&w.state);
	if (w.mistake == RETRY_EARLY)
		retry = clo_inval_retry(&w.iv, 0, snap);
	if (!clo_a64_cas(&w.entry, &none, FROZEN))
		return arg;
	if (w.mistake != RETRY_EARLY && w.mistake != NO_RETRY)
		retry = clo_inval_retry(&w.iv, 0, snap);
	clo_a64_set(&w.entry, retry ? 0 : MAPPED + v);
	if (!retry)
		w.mapped |= 1U << v;
	return arg;
}

static void *changer(void *arg)
{
	struct clo_range r = clo_range(0, 1);
	uint64_t e;

	if (w.mistake != NO_BEGIN)
		clo_inval_begin(&w.iv, r);
	clo_a64_set(&w.state, 1);
	while ((e = clo_a64_get_sc(&w.entry)) == FROZEN && w.mistake != NO_WAIT)
		clo_relax();
	if (e >= MAPPED)
		clo_a64_set(&w.entry, 0);
	if (w.mistake != NO_BEGIN)
		clo_inval_end(&w.iv, r);
	return arg;
}

static void inval_main(void *arg)
{
	struct clo_thread t[2];

	(void)arg;
	clo_sched_quiet(true);
	memset(&w.iv, 0, sizeof(w.iv));
	clo_a64_init(&w.state, 0);
	clo_a64_init(&w.entry, 0);
	CHECK_OK(clo_thread_create(&t[0], mapper, NULL));
	CHECK_OK(clo_thread_create(&t[1], changer, NULL));
	clo_sched_quiet(false);
	CHECK_OK(clo_thread_join(&t[0]));
	CHECK_OK(clo_thread_join(&t[1]));
	/* Both are through: what is mapped now is what the change left. */
	if (clo_a64_get(&w.entry) == MAPPED)
		clo_sched_stop(1);
}

TEST(the_protocol_holds)
{
	w.mistake = NONE;
	dfs = (struct dfs){ .main_fn = inval_main, .bound = 3 };
	CHECK(!dfs_search(&dfs, CLO_SCHED_END_COUNT));
	CHECK_EQ(dfs.ends[CLO_SCHED_DONE], dfs.runs);
	CHECK_EQ(w.mapped, 3); /* before the change, and after it */
	test_note("%llu runs, %llu steps", (unsigned long long)dfs.runs,
		  (unsigned long long)dfs.steps);
}

TEST(each_step_of_it_is_needed)
{
	for (unsigned m = NONE + 1; m < MISTAKE_COUNT; m++) {
		w.mistake = (enum mistake)m;
		dfs = (struct dfs){ .main_fn = inval_main, .bound = 2 };
		CHECK_MSG(dfs_search(&dfs, CLO_SCHED_STOPPED), "mistake %u is not found", m);

		uint64_t steps = dfs.last.steps;

		dfs_again(&dfs);
		CHECK_EQ(dfs.last.end, CLO_SCHED_STOPPED);
		CHECK_EQ(dfs.last.steps, steps);
	}
}
