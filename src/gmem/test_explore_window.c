/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/test_explore_window.c - windows go while others look for frames in them, under every
 * schedule of few preemptions; and what is found when a look is left out.
 */
#include "gmem/gmem_test.h"
#include "harness/dfs.h"

static struct dfs dfs;

static struct scene {
	void *(*fn[2])(void *arg);
	void (*before)(void);
	void (*after)(void);
	struct clo_pagedb *db;
	struct clo_gmem *a, *b, *c, *first;
	uint64_t pages; /* of a; 0: 2 */
	int ret[2];
	unsigned seen;   /* over all runs: bits of outcomes */
	unsigned broken; /* over all runs */
} s;

static struct clo_gmem *file(uint32_t owner, uint64_t npages)
{
	struct clo_gmem_config cfg = { .size = npages * CLO_PAGE_SIZE, .owner = owner };
	struct clo_gmem *g;

	CHECK_OK(clo_gmem_open(s.db, NULL, &cfg, &g));
	return g;
}

static void run_scene(void *arg)
{
	struct clo_thread t[2];

	(void)arg;
	clo_sched_quiet(true);
	CHECK_OK(clo_pagedb_create(CLO_POOL_ANON, 2, 8, &s.db));
	s.first = file(4, 1);
	s.a = file(1, s.pages ? s.pages : 2);
	s.b = file(2, 2);
	s.c = file(3, 1);
	s.before();
	for (unsigned i = 0; i < 2; i++)
		CHECK_OK(clo_thread_create(&t[i], s.fn[i], NULL));
	clo_sched_quiet(false);
	for (unsigned i = 0; i < 2; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	clo_sched_quiet(true);
	s.after();
	clo_gmem_release(s.first);
	clo_gmem_release(s.a);
	clo_gmem_release(s.b);
	clo_gmem_release(s.c);
	clo_rcu_barrier();
	s.broken += t_frames(s.db) != 0 || t_windows(s.db) != 0;
	clo_pagedb_destroy(s.db);
	clo_sched_quiet(false);
}

/* All schedules end, and none leaves memory behind. */
static void explore(uint32_t bound)
{
	dfs = (struct dfs){ .main_fn = run_scene, .bound = bound };
	if (dfs_search(&dfs, CLO_SCHED_FAULT) || dfs.ends[CLO_SCHED_DONE] != dfs.runs)
		test_fail(__FILE__, __LINE__, "%s", dfs.last.report);
	CHECK_EQ(dfs.left_bytes, 0);
	test_note("%llu runs, outcomes %#x, broken %u", (unsigned long long)dfs.runs, s.seen,
		  s.broken);
}

static int get(struct clo_gmem *g, uint64_t index, uint32_t *owner)
{
	struct clo_pfn pfn;
	unsigned order;
	int ret;

	/* The frame is looked at where the pfn cannot change hands by a hole: there is none. */
	clo_rcu_read_lock();
	for (;;) {
		/* As a fault: first the look that takes no lock. */
		ret = clo_gmem_find_folio(g, index, true, &pfn, &order)
			      ? 0
			      : clo_gmem_get_folio(g, index, clo_gfn(index), true, &pfn, &order);
		if (ret != -EAGAIN)
			break;
		clo_relax();
	}
	*owner = ret == 0 ? clo_frame_get(s.db, pfn).owner : 0;
	clo_rcu_read_unlock();
	return ret;
}

/* No memory is left: a fault makes a window, and takes it back. Then there is some, and another
 * file gets the same pfns. */
static void no_memory(void)
{
	uint32_t owner;

	CHECK_OK(get(s.first, 0, &owner));
	CHECK_OK(get(s.c, 0, &owner));
}

static void *fail_then_another(void *arg)
{
	uint32_t owner;

	(void)arg;
	s.ret[0] = get(s.a, 1, &owner);
	s.broken += s.ret[0] == 0 && owner != 1;
	CHECK_OK(t_punch(s.c, 0, 1));
	s.ret[1] = get(s.b, 1, &owner);
	s.broken += s.ret[1] == 0 && owner != 2;
	return NULL;
}

static void *fault_beside(void *arg)
{
	uint32_t owner;
	int ret = get(s.a, 1, &owner);

	(void)arg;
	s.broken += ret == 0 && owner != 1;
	s.seen |= ret == 0 ? 1 : 2;
	return NULL;
}

static void one_got_it(void)
{
	s.seen |= s.ret[1] == 0 ? 4 : 8;
	s.broken += t_frames(s.db) != 2;
}

TEST_TIMEOUT(a_window_that_failed_changes_hands, 120)
{
	s = (struct scene){ .fn = { fail_then_another, fault_beside },
			    .before = no_memory,
			    .after = one_got_it };
	explore(2);
	CHECK_EQ(s.broken, 0U);
	CHECK_EQ(s.seen, 15U);
}

TEST_TIMEOUT(without_asking_a_guest_gets_anothers_frame, 120)
{
	s = (struct scene){ .fn = { fail_then_another, fault_beside },
			    .before = no_memory,
			    .after = one_got_it };
	clo_break_set(CLO_BREAK_WINDOW_DEAD, true);
	explore(2);
	CHECK_LT(0, s.broken);
}

/* A fault that fails takes its window back, while there is memory for the next. */
static void *fail(void *arg)
{
	uint32_t owner;

	(void)arg;
	s.ret[0] = get(s.a, 0, &owner);
	return NULL;
}

static void *free_then_fault(void *arg)
{
	uint32_t owner;

	(void)arg;
	CHECK_OK(t_punch(s.c, 0, 1));
	s.ret[1] = get(s.a, 1, &owner);
	return NULL;
}

static void who_got_it_has_it(void)
{
	for (uint64_t i = 0; i < 2; i++)
		s.broken += (t_frame(s.a, i).state == CLO_FRAME_PRIVATE) != (s.ret[i] == 0);
	s.seen |= s.ret[0] == 0 ? 1 : 2;
	s.seen |= s.ret[1] == 0 ? 4 : 8;
}

TEST_TIMEOUT(a_window_goes_under_a_fault, 120)
{
	s = (struct scene){ .fn = { fail, free_then_fault },
			    .before = no_memory,
			    .after = who_got_it_has_it };
	explore(2);
	CHECK_EQ(s.broken, 0U);
	CHECK_EQ(s.seen, 15U);
}

TEST_TIMEOUT(without_the_second_look_a_page_is_lost, 120)
{
	s = (struct scene){ .fn = { fail, free_then_fault },
			    .before = no_memory,
			    .after = who_got_it_has_it };
	clo_break_set(CLO_BREAK_WINDOW, true);
	explore(1);
	CHECK_LT(0, s.broken);
}

/* A walk and a lock, of somebody who does not hold the range, meet this file's frames only. */
static void *walk(void *arg)
{
	struct clo_pfn pfn, head;
	uint64_t at = 0;

	(void)arg;
	if (clo_gmem_next_frame(s.a, &at, 2, &pfn) && clo_gmem_lock_frame(s.a, at, pfn, &head)) {
		s.broken += clo_frame_get(s.db, head).owner != 1;
		clo_page_unlock(s.db, head);
		s.seen |= 1;
	} else {
		s.seen |= 2;
	}
	return NULL;
}

static void one_page(void)
{
	uint32_t owner;

	CHECK_OK(get(s.a, 0, &owner));
}

static void *hole_then_another(void *arg)
{
	uint32_t owner;

	(void)arg;
	CHECK_OK(t_punch(s.a, 0, 1));
	CHECK_OK(get(s.b, 0, &owner));
	s.broken += owner != 2;
	return NULL;
}

static void nothing(void)
{
}

TEST_TIMEOUT(a_walk_meets_no_other_files_frame, 120)
{
	s = (struct scene){ .fn = { hole_then_another, walk },
			    .before = one_page,
			    .after = nothing };
	explore(2);
	CHECK_EQ(s.broken, 0U);
	CHECK_EQ(s.seen, 3U);
}

/*
 * File a has a window for each page, and a node above them: the pool has no room for more. Its
 * first page has gone, and the frame is another file's. Who walked over the page before that locks
 * the frame now, and to see whose it is looks a's window up; just then the node goes with a's last
 * page.
 */
static struct clo_pfn walked;

static void frame_of_another(void)
{
	uint32_t owner;

	CHECK_OK(get(s.a, 0, &owner));
	CHECK_OK(get(s.a, 1, &owner));
	CHECK(clo_gmem_pfn(s.a, 0, &walked));
	CHECK_OK(t_punch(s.a, 0, 1));
	CHECK_OK(get(s.c, 0, &owner));
	CHECK_EQ(clo_frame_get(s.db, walked).owner, 3U);
}

static void *last_hole(void *arg)
{
	(void)arg;
	CHECK_OK(t_punch(s.a, 1, 1));
	return NULL;
}

static void *lock_walked(void *arg)
{
	struct clo_pfn head;

	(void)arg;
	s.broken += clo_gmem_lock_frame(s.a, 0, walked, &head);
	return NULL;
}

static const struct scene node_under_lock = {
	.fn = { last_hole, lock_walked },
	.before = frame_of_another,
	.after = nothing,
	.pages = 16,
};

static void *look_up(void *arg)
{
	struct clo_pfn pfn;

	(void)arg;
	s.seen |= clo_gmem_pfn(s.a, 1, &pfn) ? 1U : 2U;
	return NULL;
}

static const struct scene node_under_look = {
	.fn = { last_hole, look_up },
	.before = frame_of_another,
	.after = nothing,
	.pages = 16,
};

static void needs_section(const struct scene *scene, const char *site)
{
	s = *scene;
	explore(1);
	CHECK_EQ(s.broken, 0U);
	CHECK(clo_rcu_site_break(site, true));
	dfs = (struct dfs){ .main_fn = run_scene, .bound = 1 };
	CHECK(dfs_search(&dfs, CLO_SCHED_FAULT));
	test_note("%llu runs: %s", (unsigned long long)dfs.runs, dfs.last.report);
}

TEST_TIMEOUT(a_node_goes_under_who_locks_a_frame, 120)
{
	needs_section(&node_under_lock, "gmem/gmem_map.c:clo_gmem_lock_frame");
}

TEST_TIMEOUT(a_node_goes_under_who_looks_for_a_frame, 120)
{
	needs_section(&node_under_look, "gmem/gmem_map.c:clo_gmem_pfn");
}
