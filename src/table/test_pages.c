/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/test_pages.c - page-table pages come and go under those who walk through them, in every
 * schedule of one preemption; deferred calls are made at any point that RCU allows.
 */
#include "harness/dfs.h"
#include "table/test_table.h"

#define WRONG 1 /* what clo_sched_stop() says */

static struct scene {
	enum clo_level before;  /* the leaf of gfn 0 that is there at first, */
	bool emptied;           /* and is zapped: its page-table pages stay */
	void (*change)(void);   /* one thread, */
	void (*beside)(void);   /* the other, */
	bool (*is_right)(void); /* and what is true in the end; NULL: nothing is asked */
} scene;

static struct clo_table *table;
static struct clo_a32 told;

static void *change_thread(void *arg)
{
	(void)arg;
	scene.change();
	return NULL;
}

static void *beside_thread(void *arg)
{
	(void)arg;
	scene.beside();
	return NULL;
}

static void run_scene(void *arg)
{
	struct clo_thread threads[2];

	(void)arg;
	clo_sched_quiet(true);
	table = table_new();
	clo_a32_init(&told, 0);
	map_leaf(table, 0, scene.before, 0);
	if (scene.emptied)
		clo_table_zap(table, clo_range(0, SZ1G), NULL, NULL);
	if (clo_thread_create(&threads[0], change_thread, NULL) ||
	    clo_thread_create(&threads[1], beside_thread, NULL))
		clo_sched_stop(WRONG);
	clo_sched_quiet(false);
	clo_thread_join(&threads[0]);
	clo_thread_join(&threads[1]);
	clo_sched_quiet(true);
	if (scene.is_right && !scene.is_right())
		clo_sched_stop(WRONG);
	clo_rcu_barrier();
	clo_table_destroy(table);
	clo_sched_quiet(false);
}

/* Is the end @stop met in some schedule? Else all runs ended well. */
static bool is_met(enum clo_sched_end stop)
{
	static struct dfs dfs;
	bool met;

	dfs = (struct dfs){ .main_fn = run_scene, .bound = 1 };
	met = dfs_search(&dfs, stop);
	test_note("%llu runs%s%s", (unsigned long long)dfs.runs, met ? ": " : "",
		  met ? dfs.last.report : "");
	if (!met) {
		CHECK_EQ(dfs.ends[CLO_SCHED_DONE], dfs.runs);
		CHECK_EQ(dfs.left_bytes, 0);
	}
	return met;
}

/* A huge leaf takes the place of page-table pages, which are freed. */
static void map_2m(void)
{
	struct clo_map_ctx ctx;

	clo_rcu_read_lock();
	if (clo_table_map_begin(table, clo_gfn(0), CLO_LEVEL_2M, &ctx) == 0)
		clo_table_map_commit(&ctx, clo_spte_make(clo_pfn(0), CLO_LEVEL_2M, RWX));
	clo_rcu_read_unlock();
}

static void walk(void)
{
	struct clo_leaf leaf;

	(void)clo_table_walk(table, clo_gfn(0), &leaf);
}

static void zap_one(void)
{
	clo_table_zap(table, clo_range(5, 6), NULL, NULL);
}

static void prepare_split(void)
{
	struct clo_split_reserve res;

	if (clo_table_split_prepare(table, clo_range(1, 2), &res) == 0)
		clo_split_reserve_release(&res);
}

static void commit_split(void)
{
	struct clo_split_reserve res = { 0 };

	clo_table_split_commit(table, clo_range(1, 2), &res, NULL, NULL, NULL);
}

TEST_TIMEOUT(page_table_pages_go_under_a_walk, 60)
{
	static const struct {
		const char *site;
		void (*walks)(void);
	} walks[] = {
		{ "table/table_walk.c:clo_table_walk", walk },
		{ "table/table_walk.c:clo_pt_visit", zap_one },
		{ "table/table_split.c:clo_table_split_prepare", prepare_split },
		{ "table/table_split.c:clo_table_split_commit", commit_split },
	};

	for (size_t i = 0; i < CLO_ARRAY_SIZE(walks); i++) {
		scene = (struct scene){ .before = CLO_LEVEL_4K,
					.emptied = true,
					.change = map_2m,
					.beside = walks[i].walks };
		CHECK(!is_met(CLO_SCHED_FAULT));
		CHECK(clo_rcu_site_break(walks[i].site, true));
		CHECK_MSG(is_met(CLO_SCHED_FAULT), "%s is not needed", walks[i].site);
		CHECK(clo_rcu_site_break(walks[i].site, false));
	}
}

/* As the reverse map, which is told of each new leaf: operations while the page is filled. */
static void tell(void *arg, struct clo_gfn base, enum clo_level level, uint64_t spte)
{
	(void)arg, (void)level, (void)spte;
	if (base.n < 2)
		clo_a32_add(&told, 1);
}

static void split(void)
{
	struct clo_split_reserve res;

	if (clo_table_split_prepare(table, clo_range(1, 2), &res))
		clo_sched_stop(WRONG);
	clo_table_split_commit(table, clo_range(1, 2), &res, NULL, tell, NULL);
	clo_split_reserve_release(&res);
}

static bool is_zapped(void)
{
	return pfn_of(table, 5) == NONE;
}

static const struct scene zap_beside_split = {
	.before = CLO_LEVEL_2M,
	.change = split,
	.beside = zap_one,
	.is_right = is_zapped,
};

TEST_TIMEOUT(a_zap_beside_a_split_misses_nothing, 60)
{
	scene = zap_beside_split;
	CHECK(!is_met(CLO_SCHED_STOPPED));
}

TEST_TIMEOUT(a_page_that_is_filled_late_hides_leaves, 60)
{
	scene = zap_beside_split;
	clo_break_set(CLO_BREAK_SPLIT_FILL, true);
	CHECK(is_met(CLO_SCHED_STOPPED));
	clo_break_set(CLO_BREAK_SPLIT_FILL, false);
}
