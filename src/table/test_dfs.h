/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/test_dfs.h - all schedules of few preemptions of a small program, depth first.
 */
#ifndef CLO_TABLE_TEST_DFS_H
#define CLO_TABLE_TEST_DFS_H

#include "harness/test.h"
#include "sync/sync.h"

#ifdef CLO_SYNC_EXPLORE
#define POINTS_MAX 4096U
#define CLEAN      0 /* other findings are the program's, > 0 */

/* One choice of a run: who went on, and who could have. */
struct point {
	uint32_t threads[8];
	uint32_t count;
	uint32_t taken; /* index in threads[]; the first costs nothing */
	bool costs;     /* the others are preemptions */
};
static struct {
	struct point p[POINTS_MAX];
	uint32_t count;  /* points of this run so far */
	uint32_t replay; /* of them prescribed */
	unsigned budget;
	unsigned spent;
} dfs;

static int choose(void *arg, const struct clo_sched_choice *c)
{
	struct point *p = &dfs.p[dfs.count];

	(void)arg;
	if (dfs.count >= POINTS_MAX)
		return -1;
	if (dfs.count >= dfs.replay) {
		bool stay = c->current_can_run && !c->current_yields;

		p->count = 0;
		p->taken = 0;
		p->costs = stay;
		if (stay)
			p->threads[p->count++] = c->current;
		for (uint32_t i = 0; i < c->count && p->count < 8; i++)
			if (!stay || c->threads[i] != c->current)
				p->threads[p->count++] = c->threads[i];
	}
	if (p->costs && p->taken != 0)
		dfs.spent++;
	dfs.count++;
	return (int)p->threads[p->taken];
}

/* Prescribe the next run: the last choice that has an alternative within the budget. */
static bool next_run(void)
{
	unsigned spent = dfs.spent;

	while (dfs.count > 0) {
		struct point *p = &dfs.p[dfs.count - 1];

		if (p->costs && p->taken != 0)
			spent--;
		if (p->taken + 1 < p->count && (!p->costs || spent < dfs.budget)) {
			p->taken++;
			dfs.replay = dfs.count;
			return true;
		}
		dfs.count--;
	}
	return false;
}

/* Run @program under all schedules; the first finding, or CLEAN. */
static inline int explore(const char *name, void (*program)(void *), void *arg,
			  unsigned preemptions,
			  int (*on_step)(void *, const struct clo_sched_step *))
{
	struct clo_sched_config config = {
		.choose = choose, .on_step = on_step, .rcu_last = true, .arena_bytes = 1U << 20
	};
	struct clo_sched_result result = { 0 };
	unsigned runs = 0;

	memset(&dfs, 0, sizeof(dfs));
	/* CLO_MORE_PREEMPTIONS=1: minutes instead of seconds. */
	dfs.budget = preemptions + (getenv("CLO_MORE_PREEMPTIONS") != NULL);
	do {
		dfs.count = dfs.spent = 0;
		CHECK_OK(clo_sched_run(&config, program, arg, &result));
		runs++;
		if (result.end == CLO_SCHED_STOPPED && result.code > 0) {
			test_note("%s: finding %d in run %u", name, result.code, runs);
			return result.code;
		}
		CHECK_MSG(result.end == CLO_SCHED_DONE, "%s: %s in run %u: %s", name,
			  clo_sched_end_name(result.end), runs, result.report);
		CHECK_EQ(result.live_bytes, 0);
	} while (next_run());
	test_note("%s: clean in %u runs, the last of %llu steps", name, runs,
		  (unsigned long long)result.steps);
	return CLEAN;
}

#endif /* CLO_SYNC_EXPLORE */
#endif
