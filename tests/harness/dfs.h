/* SPDX-License-Identifier: Apache-2.0 */
/*
 * harness/dfs.h - all schedules of a small program with few preemptions, depth first, in as few
 * lines as can be: for the explorer tests of modules that module explore is built on. The search
 * that users have is module explore's. Explorer build only.
 */
#ifndef CLO_HARNESS_DFS_H
#define CLO_HARNESS_DFS_H

#include "harness/test.h"
#include "sync/sync.h"

#ifdef CLO_SYNC_EXPLORE

#define DFS_DEPTH   4096U
#define DFS_THREADS 8U

struct dfs_node {
	uint32_t option[DFS_THREADS]; /* the first is no preemption */
	uint32_t count;
	uint32_t awake; /* options before those that wake by themselves, which always cost */
	uint32_t taken;
	uint32_t preemptions; /* before this choice */
	bool free;            /* to choose another is no preemption */
};

struct dfs {
	void (*main_fn)(void *arg);
	void *arg;
	int (*on_step)(void *arg, const struct clo_sched_step *step);
	uint32_t bound;
	/* Who is next when a thread cannot go on: any at no cost; or the next in turn, and every
	 * other choice costs, so that threads which only wait for each other do not branch. */
	bool in_turn;
	uint64_t max_steps;
	bool rcu_last;
	bool self_wakes;
	bool pointers; /* switch behind the read of a pointer too, and see plain reads of freed
			  memory */
	/* Results. */
	uint64_t runs;
	uint64_t steps;
	uint64_t ends[CLO_SCHED_END_COUNT];
	uint64_t left_bytes; /* the most that a run did not give back */
	struct clo_sched_result last;
	/* Private. */
	struct dfs_node node[DFS_DEPTH];
	uint32_t len;
	uint32_t at;
};

static inline uint32_t dfs_cost(const struct dfs_node *n, uint32_t taken)
{
	return n->preemptions + ((taken > 0 && !n->free) || taken >= n->awake ? 1 : 0);
}

/* Of c->threads. */
static inline uint32_t dfs_first(const struct dfs *d, const struct clo_sched_choice *c)
{
	uint32_t i = 0;

	while (d->in_turn && i < c->count && c->threads[i] <= c->current)
		i++;
	return i % c->count;
}

static inline int dfs_choose(void *arg, const struct clo_sched_choice *c)
{
	struct dfs *d = arg;
	struct dfs_node *n = &d->node[d->at];

	if (d->at == d->len) {
		CHECK(d->len < DFS_DEPTH && c->count <= DFS_THREADS);
		*n = (struct dfs_node){
			.free = !d->in_turn && (!c->current_can_run || c->current_yields),
		};
		n->preemptions = d->at ? dfs_cost(n - 1, (n - 1)->taken) : 0;
		/* A spinner goes last. */
		if (c->current_can_run && !c->current_yields)
			n->option[n->count++] = c->current;
		for (uint32_t i = 0, first = dfs_first(d, c); i < c->count; i++) {
			uint32_t t = c->threads[(first + i) % c->count];

			if (!c->current_can_run || t != c->current)
				n->option[n->count++] = t;
		}
		if (c->current_can_run && c->current_yields)
			n->option[n->count++] = c->current;
		n->awake = n->count;
		for (uint32_t i = 0; i < CLO_SCHED_THREADS; i++)
			if (c->sleepers >> i & 1)
				n->option[n->count++] = i;
		CHECK(n->count <= DFS_THREADS);
		d->len++;
	}
	CHECK_EQ(n->awake, c->count); /* the same choices give the same run */
	d->at++;
	return (int)n->option[n->taken];
}

static inline bool dfs_next(struct dfs *d)
{
	for (; d->len > 0; d->len--) {
		struct dfs_node *n = &d->node[d->len - 1];

		if (n->taken + 1 < n->count && dfs_cost(n, n->taken + 1) <= d->bound) {
			n->taken++;
			return true;
		}
	}
	return false;
}

static inline bool dfs_use(void *arg, uint32_t thread, const void *block, uint64_t step)
{
	const struct dfs *d = arg;

	(void)thread, (void)block, (void)step;
	return d->pointers;
}

/* One run by the choices made so far, then by default. */
static inline void dfs_again(struct dfs *d)
{
	struct clo_sched_config config = { .arg = d,
					   .choose = dfs_choose,
					   .on_step = d->on_step,
					   .rcu_last = d->rcu_last,
					   .self_wakes = d->self_wakes,
					   .use = d->pointers ? dfs_use : NULL,
					   .guard = d->pointers,
					   .max_steps = d->max_steps };

	d->at = 0;
	CHECK_OK(clo_sched_run(&config, d->main_fn, d->arg, &d->last));
}

/*
 * Until @stop (an end; CLO_SCHED_END_COUNT: none) is met: true. dfs_again() repeats that run.
 */
static inline bool dfs_search(struct dfs *d, enum clo_sched_end stop)
{
	do {
		dfs_again(d);
		d->runs++;
		d->steps += d->last.steps;
		d->ends[d->last.end]++;
		if (d->last.live_bytes > d->left_bytes)
			d->left_bytes = d->last.live_bytes;
		if (d->last.end == stop)
			return true;
	} while (dfs_next(d));
	return false;
}

/* All schedules end, and none leaves memory behind. */
static inline void dfs_all_end(struct dfs *d)
{
	if (dfs_search(d, CLO_SCHED_END_COUNT) || d->ends[CLO_SCHED_DONE] != d->runs)
		test_fail(__FILE__, __LINE__, "%s", d->last.report);
	CHECK_EQ(d->left_bytes, 0);
}

#endif /* CLO_SYNC_EXPLORE */

#endif
