/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attr/test_explore.c - a small store under every schedule of few preemptions: readers beside a
 * writer that splits, collapses and uses memory again; writers beside each other.
 */
#include "attr/attr.h"

#include "harness/dfs.h"

/* Two blocks of 512: the smallest store with a node. */
#define NPAGES 1024U
#define WRONG  77

static struct dfs dfs;
static struct clo_attr *a;
static const char *wrong;

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	wrong = what;
	clo_sched_stop(WRONG);
}

static void set(uint64_t start, uint64_t end, bool is_private)
{
	must(clo_attr_set(a, clo_range(start, end), is_private) == 0, "set");
}

static void together(void *(*one)(void *), void *(*other)(void *), void (*first)(void),
		     void (*last)(void))
{
	struct clo_thread t[2];

	clo_sched_quiet(true);
	must(clo_attr_create(NPAGES, false, &a) == 0, "create");
	first();
	must(clo_thread_create(&t[0], one, NULL) == 0, "thread");
	must(clo_thread_create(&t[1], other, NULL) == 0, "thread");
	clo_sched_quiet(false);
	clo_thread_join(&t[0]);
	clo_thread_join(&t[1]);
	clo_sched_quiet(true);
	must(clo_attr_check(a) == 0, "check");
	last();
	clo_attr_destroy(a);
	for (int i = 0; i < 3; i++)
		clo_rcu_barrier();
	clo_sched_quiet(false);
}

static void holds(void (*program)(void *), uint32_t bound, bool rcu_last)
{
	dfs = (struct dfs){ .main_fn = program, .bound = bound, .rcu_last = rcu_last };
	wrong = NULL;
	CHECK_MSG(!dfs_search(&dfs, CLO_SCHED_STOPPED), "%s", wrong ? wrong : "stopped");
	CHECK_EQ(dfs.ends[CLO_SCHED_DONE], dfs.runs);
	CHECK_EQ(dfs.left_bytes, 0);
	test_note("%llu runs, %llu steps", (unsigned long long)dfs.runs,
		  (unsigned long long)dfs.steps);
}

/* Page 0 alone is private; it becomes shared, by which all is of one kind. */
static void one_private(void)
{
	set(0, 1, true);
}

static void all_shared(void)
{
	must(clo_attr_range_is(a, clo_range(0, NPAGES), false), "end");
}

static void *collapse(void *arg)
{
	(void)arg;
	set(0, 1, false);
	return NULL;
}

static void *look_twice(void *arg)
{
	bool seen = clo_attr_is_private(a, 0);

	(void)arg;
	must(!clo_attr_is_private(a, 1), "a page that nobody changed");
	must(!clo_attr_is_private(a, 700), "a block that nobody changed");
	must(seen || !clo_attr_is_private(a, 0), "a page went back");
	return NULL;
}

static void collapse_program(void *arg)
{
	(void)arg;
	together(collapse, look_twice, one_private, all_shared);
}

TEST_TIMEOUT(reader_beside_collapse, 60)
{
	holds(collapse_program, 3, true);
}

static void nothing(void)
{
}

static void *split(void *arg)
{
	(void)arg;
	set(5, 600, true);
	return NULL;
}

static void *look_around(void *arg)
{
	bool kind;
	struct clo_range run;

	(void)arg;
	must(!clo_attr_is_private(a, 4), "a page before the range");
	must(clo_attr_range_is(a, clo_range(600, NPAGES), false), "pages behind the range");
	run = clo_attr_run(a, 0, NPAGES, &kind);
	must(!kind && (run.end == 5 || run.end >= 64), "a run");
	if (clo_attr_is_private(a, 5))
		must(clo_attr_is_private(a, 5), "a page went back");
	return NULL;
}

static void split_done(void)
{
	must(clo_attr_count_private(a, clo_range(0, NPAGES)) == 595, "count");
}

static void split_program(void *arg)
{
	(void)arg;
	together(split, look_around, nothing, split_done);
}

TEST_TIMEOUT(reader_beside_split, 60)
{
	holds(split_program, 3, true);
}

/*
 * The node and the bitmap leave the tree under each kind of reader, which is in them for as long as
 * its read section lasts.
 */
static void is_private(void)
{
	(void)clo_attr_is_private(a, 5);
}

static void is_uniform(void)
{
	(void)clo_attr_is_uniform(a, 5, CLO_LEVEL_2M);
}

static void range_is(void)
{
	(void)clo_attr_range_is(a, clo_range(5, 6), false);
}

static void run(void)
{
	bool kind;

	(void)clo_attr_run(a, 5, 6, &kind);
}

static void (*look)(void);

static void *look_once(void *arg)
{
	(void)arg;
	look();
	return NULL;
}

static void look_program(void *arg)
{
	(void)arg;
	together(collapse, look_once, one_private, all_shared);
}

TEST_TIMEOUT(each_read_section_is_needed, 60)
{
	static const struct {
		const char *site;
		void (*look)(void);
	} readers[] = {
		{ "attr/attr.c:clo_attr_is_private", is_private },
		{ "attr/attr.c:clo_attr_is_uniform", is_uniform },
		{ "attr/attr.c:clo_attr_range_is", range_is },
		{ "attr/attr.c:clo_attr_run", run },
	};

	for (size_t i = 0; i < CLO_ARRAY_SIZE(readers); i++) {
		look = readers[i].look;
		holds(look_program, 1, false);
		CHECK(clo_rcu_site_break(readers[i].site, true));
		dfs = (struct dfs){ .main_fn = look_program, .bound = 1 };
		CHECK_MSG(dfs_search(&dfs, CLO_SCHED_FAULT), "%s is not needed", readers[i].site);
		test_note("%s: %s", readers[i].site, dfs.last.report);
		CHECK(clo_rcu_site_break(readers[i].site, false));
	}
}

/*
 * The bitmap of block 0 leaves the tree and comes back for block 1, with bit 5 set. Page 5 was
 * never private: a reader who is still in the bitmap must not see it so. Here deferred calls run at
 * any time.
 */
static void *reuse(void *arg)
{
	(void)arg;
	set(0, 1, false);
	set(512 + 5, 512 + 6, true);
	return NULL;
}

static void *look_inside(void *arg)
{
	(void)arg;
	must(!clo_attr_is_private(a, 5), "memory that was still read was used again");
	return NULL;
}

static void reused(void)
{
	must(clo_attr_count_private(a, clo_range(0, NPAGES)) == 1, "count");
}

static void reuse_program(void *arg)
{
	(void)arg;
	together(reuse, look_inside, one_private, reused);
}

TEST_TIMEOUT(reader_beside_reuse, 60)
{
	holds(reuse_program, 2, false);
}

/* Two changes that overlap, prepared when the tree was another: both in full, in some order. */
static void *change_low(void *arg)
{
	(void)arg;
	set(3, 700, true);
	return NULL;
}

static void *change_high(void *arg)
{
	(void)arg;
	set(500, NPAGES, false);
	set(510, 513, true);
	return NULL;
}

static void both_changed(void)
{
	must(clo_attr_range_is(a, clo_range(3, 500), true), "what only one changed");
	must(clo_attr_range_is(a, clo_range(510, 513), true), "what both made private");
	must(clo_attr_range_is(a, clo_range(700, NPAGES), false), "what only the other changed");
	must(clo_attr_is_private(a, 500) == clo_attr_is_private(a, 699), "one after the other");
}

static void writers_program(void *arg)
{
	(void)arg;
	together(change_low, change_high, nothing, both_changed);
}

TEST_TIMEOUT(writers_beside_each_other, 60)
{
	holds(writers_program, 2, true);
}
