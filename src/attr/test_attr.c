/* SPDX-License-Identifier: Apache-2.0 */
/* attr/test_attr.c - the store by hand: edges of blocks, refusals, failing memory, what it costs.
 */
#include "attr/attr_internal.h"

#include "harness/test.h"

#define TIB_PAGES (1ULL << 28)
#define GIB_PAGES (1ULL << 18)
#define M2_PAGES  512ULL

static struct clo_attr *make(uint64_t npages, bool is_private)
{
	struct clo_attr *a;

	CHECK_OK(clo_attr_create(npages, is_private, &a));
	CHECK_OK(clo_attr_check(a));
	return a;
}

static void set(struct clo_attr *a, uint64_t start, uint64_t end, bool is_private)
{
	CHECK_OK(clo_attr_set(a, clo_range(start, end), is_private));
	CHECK_OK(clo_attr_check(a));
}

static struct clo_attr_stats stats(struct clo_attr *a)
{
	struct clo_attr_stats st;

	clo_attr_stats(a, &st);
	return st;
}

/* All deferred calls, also those that a deferred call gives. */
static void settle(void)
{
	for (int i = 0; i < 3; i++)
		clo_rcu_barrier();
}

TEST(create_refuses_bad_sizes)
{
	struct clo_attr *a = NULL;

	CHECK_ERR(clo_attr_create(0, false, &a), -EINVAL);
	CHECK_ERR(clo_attr_create((1ULL << 52) + 1, false, &a), -EINVAL);
	CHECK(a == NULL);
	CHECK_OK(clo_attr_create(1ULL << 52, true, &a));
	CHECK(clo_attr_is_private(a, (1ULL << 52) - 1));
	CHECK(!clo_attr_is_private(a, 1ULL << 52));
	CHECK(!clo_attr_is_private(a, UINT64_MAX));
	clo_attr_destroy(a);
	clo_attr_destroy(NULL);
}

TEST(create_without_memory)
{
	struct clo_attr *a = NULL;
	uint64_t live = clo_alloc_live();

	clo_alloc_fail_at(1);
	CHECK_ERR(clo_attr_create(100, false, &a), -ENOMEM);
	clo_alloc_fail_at(0);
	CHECK(a == NULL);
	CHECK_EQ(clo_alloc_live(), live);
}

TEST(ranges_that_are_refused)
{
	static const struct clo_range bad[] = {
		{ 0, 0 },
		{ 5, 5 },
		{ 7, 6 },
		{ 0, 1001 },
		{ 1000, 1001 },
		{ 0, UINT64_MAX },
		{ UINT64_MAX - 1, UINT64_MAX },
	};
	struct clo_attr *a = make(1000, false);
	struct clo_attr_reserve res = { 0 };

	for (size_t i = 0; i < CLO_ARRAY_SIZE(bad); i++) {
		CHECK_ERR(clo_attr_prepare(a, bad[i], &res), -EINVAL);
		CHECK_ERR(clo_attr_set(a, bad[i], true), -EINVAL);
		CHECK(res.nodes == NULL);
	}
	clo_attr_reserve_release(&res);
	CHECK_EQ(stats(a).runs, 1);
	clo_attr_destroy(a);
}

/* Single pages and short ranges on both sides of each kind of edge, there and back. */
TEST(edges_of_blocks)
{
	static const uint64_t edge[] = { 64,         128,        512,        1024,      1ULL << 18,
					 1ULL << 19, 1ULL << 28, 1ULL << 38, 1ULL << 39 };
	struct clo_attr *a = make(1ULL << 40, false);

	for (size_t i = 0; i < CLO_ARRAY_SIZE(edge); i++) {
		for (uint64_t before = 0; before < 3; before++) {
			for (uint64_t after = !before; after < 3; after++) {
				struct clo_range r = clo_range(edge[i] - before, edge[i] + after);

				set(a, r.start, r.end, true);
				CHECK(!clo_attr_is_private(a, r.start - 1));
				CHECK(clo_attr_is_private(a, r.start));
				CHECK(clo_attr_is_private(a, r.end - 1));
				CHECK(!clo_attr_is_private(a, r.end));
				CHECK(clo_attr_range_is(a, r, true));
				CHECK(!clo_attr_range_is(a, clo_range(r.start - 1, r.end), true));
				CHECK(!clo_attr_range_is(a, clo_range(r.start, r.end + 1), true));
				CHECK_EQ(clo_attr_count_private(a, clo_range(0, 1ULL << 40)),
					 before + after);
				CHECK_EQ(stats(a).runs, 3);
				set(a, r.start, r.end, false);
				CHECK_EQ(stats(a).nodes, 0);
				CHECK_EQ(stats(a).bitmaps, 0);
			}
		}
	}
	clo_attr_destroy(a);
}

TEST(a_terabyte_is_one_entry)
{
	struct clo_attr *a = make(4 * TIB_PAGES, false);
	struct clo_attr_reserve res = { 0 };

	CHECK_OK(clo_attr_prepare(a, clo_range(TIB_PAGES, 2 * TIB_PAGES), &res));
	CHECK_EQ(res.count, 1);
	clo_attr_commit(a, clo_range(TIB_PAGES, 2 * TIB_PAGES), true, &res);
	CHECK_EQ(res.count, 0);
	clo_attr_reserve_release(&res);
	CHECK_OK(clo_attr_check(a));
	CHECK_EQ(stats(a).runs, 3);
	CHECK_EQ(stats(a).nodes, 1);
	CHECK_EQ(stats(a).bitmaps, 0);
	CHECK_LE(stats(a).bytes, 1024);
	CHECK_EQ(clo_attr_count_private(a, clo_range(0, 4 * TIB_PAGES)), TIB_PAGES);
	set(a, 0, 4 * TIB_PAGES, true);
	CHECK_EQ(stats(a).runs, 1);
	CHECK_EQ(stats(a).nodes, 0);
	clo_attr_destroy(a);
}

TEST(uniform_by_level)
{
	struct clo_attr *a = make(2 * GIB_PAGES + 700, false);
	uint64_t last = 2 * GIB_PAGES + 699;

	set(a, GIB_PAGES + 5 * M2_PAGES, GIB_PAGES + 6 * M2_PAGES, true);
	CHECK(clo_attr_is_uniform(a, 0, CLO_LEVEL_1G));
	CHECK(!clo_attr_is_uniform(a, GIB_PAGES, CLO_LEVEL_1G));
	CHECK(clo_attr_is_uniform(a, GIB_PAGES + 5 * M2_PAGES + 7, CLO_LEVEL_2M));
	set(a, GIB_PAGES + 5 * M2_PAGES + 1, GIB_PAGES + 5 * M2_PAGES + 2, false);
	CHECK(!clo_attr_is_uniform(a, GIB_PAGES + 5 * M2_PAGES + 511, CLO_LEVEL_2M));
	CHECK(clo_attr_is_uniform(a, GIB_PAGES + 6 * M2_PAGES, CLO_LEVEL_2M));
	CHECK(clo_attr_is_uniform(a, GIB_PAGES + 5 * M2_PAGES + 1, CLO_LEVEL_4K));

	/* Blocks that the end of the store cuts: only what is inside counts. */
	CHECK(clo_attr_is_uniform(a, last, CLO_LEVEL_1G));
	set(a, 2 * GIB_PAGES + 512, 2 * GIB_PAGES + 700, true);
	CHECK(clo_attr_is_uniform(a, last, CLO_LEVEL_2M));
	CHECK(!clo_attr_is_uniform(a, last, CLO_LEVEL_1G));
	set(a, 2 * GIB_PAGES, 2 * GIB_PAGES + 512, true);
	CHECK(clo_attr_is_uniform(a, last, CLO_LEVEL_1G));
	CHECK(clo_attr_is_uniform(a, last + 1, CLO_LEVEL_1G));
	CHECK_EQ(clo_attr_count_private(a, clo_range(2 * GIB_PAGES, UINT64_MAX)), 700);
	clo_attr_destroy(a);
}

/* Every store of up to 130 pages and every size near a block: the end is nothing special. */
TEST(small_and_odd_sizes)
{
	static const uint64_t big[] = { 511, 512, 513, 1023, 1025, GIB_PAGES - 1, GIB_PAGES + 1 };

	for (size_t i = 0; i < 130 + CLO_ARRAY_SIZE(big); i++) {
		uint64_t n = i < 130 ? i + 1 : big[i - 130];
		struct clo_attr *a = make(n, i & 1);
		bool kind;

		set(a, n - 1, n, !(i & 1));
		CHECK_EQ(clo_attr_is_private(a, n - 1), !(i & 1));
		CHECK_EQ(clo_attr_count_private(a, clo_range(0, n)), i & 1 ? n - 1 : 1);
		CHECK_EQ(stats(a).runs, n == 1 ? 1 : 2);
		CHECK_EQ(clo_attr_run(a, n - 1, UINT64_MAX, &kind).end, n);
		set(a, 0, n, !(i & 1));
		CHECK_EQ(stats(a).nodes + stats(a).bitmaps, 0);
		CHECK_EQ(stats(a).npages, n);
		clo_attr_destroy(a);
	}
}

TEST(runs_in_order)
{
	static const uint64_t ends[] = { 100, 600, 601, GIB_PAGES * 3 + 5, TIB_PAGES };
	struct clo_attr *a = make(TIB_PAGES, false);
	uint64_t at = 50;
	bool kind;

	set(a, 100, GIB_PAGES * 3 + 5, true);
	set(a, 600, 601, false);
	for (unsigned i = 0; i < CLO_ARRAY_SIZE(ends); i++) {
		struct clo_range run = clo_attr_run(a, at, TIB_PAGES + 9, &kind);

		CHECK_EQ(run.start, at);
		CHECK_EQ(run.end, ends[i]);
		CHECK_EQ(kind, i & 1);
		at = run.end;
	}
	CHECK_EQ(clo_range_len(clo_attr_run(a, 8, 8, &kind)), 0);
	CHECK_EQ(clo_range_len(clo_attr_run(a, TIB_PAGES, TIB_PAGES + 1, &kind)), 0);
	clo_attr_destroy(a);
}

TEST(questions_outside)
{
	struct clo_attr *a = make(1000, true);
	bool kind = true;
	struct clo_range run = clo_attr_run(a, 1000, 2000, &kind);

	CHECK_EQ(clo_range_len(run), 0);
	CHECK(!kind);
	run = clo_attr_run(a, 10, 10, &kind);
	CHECK_EQ(clo_range_len(run), 0);
	run = clo_attr_run(a, 10, 20, &kind);
	CHECK_EQ(run.end, 20);
	CHECK(kind);
	CHECK(clo_attr_range_is(a, clo_range(5, 5), false));
	CHECK(clo_attr_range_is(a, clo_range(0, 1000), true));
	CHECK(!clo_attr_range_is(a, clo_range(0, 1001), true));
	CHECK(!clo_attr_range_is(a, clo_range(999, 1001), false));
	CHECK(clo_attr_range_is(a, clo_range(1000, 1001), false));
	CHECK_EQ(clo_attr_count_private(a, clo_range(990, 2000)), 10);
	CHECK_EQ(clo_attr_count_private(a, clo_range(1000, 2000)), 0);
	CHECK_EQ(clo_attr_count_private(a, clo_range(7, 7)), 0);
	clo_attr_destroy(a);
}

/* A prepare that fails at any allocation leaves all as it was; a commit needs no memory. */
TEST(nth_allocation_fails)
{
	struct clo_range r = clo_range(TIB_PAGES - GIB_PAGES - 77, 3 * TIB_PAGES + 1111);
	struct clo_attr_reserve res = { 0 };
	struct clo_attr *a;
	uint64_t n;
	int ret;

	for (n = 1;; n++) {
		a = make(1ULL << 45, false);
		clo_alloc_fail_at(n);
		ret = clo_attr_prepare(a, r, &res);
		if (ret == 0)
			break;
		CHECK_ERR(ret, -ENOMEM);
		CHECK(res.nodes == NULL);
		CHECK_OK(clo_attr_check(a));
		CHECK_EQ(stats(a).runs, 1);
		clo_attr_destroy(a);
	}
	CHECK_EQ(n, 8); /* a slab; nodes: the root, one of 1P, two of 1T and two of 1G */
	clo_alloc_fail_at(1);
	clo_attr_commit(a, r, true, &res);
	CHECK_EQ(clo_alloc_count(), 0);
	clo_alloc_fail_at(0);
	clo_attr_reserve_release(&res);
	CHECK_OK(clo_attr_check(a));
	CHECK_EQ(clo_attr_count_private(a, r), clo_range_len(r));

	clo_alloc_fail_at(1);
	ret = clo_attr_set(a, clo_range(1ULL << 44, (1ULL << 44) + 5), true);
	CHECK_ERR(ret, -ENOMEM);
	clo_alloc_fail_at(0);
	CHECK(!clo_attr_is_private(a, 1ULL << 44));
	clo_attr_destroy(a);
	settle();
}

/* What was reserved suffices when the tree is another by then. */
TEST(reserve_holds_whatever_happens_between)
{
	struct clo_attr *a = make(4 * TIB_PAGES, false);
	struct clo_range r = clo_range(TIB_PAGES + 3, 2 * TIB_PAGES + 9);
	struct clo_attr_reserve res = { 0 };

	for (int round = 0; round < 6; round++) {
		bool to = round & 1;

		CHECK_OK(clo_attr_prepare(a, r, &res));
		switch (round / 2) {
		case 0:
			set(a, 0, 4 * TIB_PAGES, !to);
			break;
		case 1:
			set(a, TIB_PAGES, 3 * TIB_PAGES, !to);
			break;
		default:
			for (uint64_t at = TIB_PAGES; at < TIB_PAGES + 9000; at += 7)
				set(a, at, at + 2, to);
			break;
		}
		clo_attr_commit(a, r, to, &res);
		clo_attr_reserve_release(&res);
		CHECK(clo_attr_range_is(a, r, to));
		CHECK_OK(clo_attr_check(a));
	}
	clo_attr_destroy(a);
}

TEST(all_memory_comes_back)
{
	uint64_t live = clo_alloc_live();
	struct clo_attr *a = make(GIB_PAGES * 8 + 5, false);
	struct clo_attr_reserve res = { 0 };

	for (uint64_t at = 0; at < GIB_PAGES / 4; at += 2)
		CHECK_OK(clo_attr_set(a, clo_range(at, at + 1), true));
	CHECK_OK(clo_attr_check(a));
	CHECK_OK(clo_attr_prepare(a, clo_range(3, GIB_PAGES * 8 + 1), &res));
	set(a, 1, GIB_PAGES, true); /* many bitmaps out of one node */
	settle();
	CHECK_LE(stats(a).bytes, 64 * 1024);
	set(a, GIB_PAGES + 5, GIB_PAGES + 6, true);
	set(a, 0, GIB_PAGES * 8 + 5, true); /* a whole tree at once */
	clo_attr_reserve_release(&res);
	clo_attr_destroy(a);
	settle();
	CHECK_EQ(clo_alloc_live(), live);
}

/* Half of all pages of 16 GiB, one by one: the worst case. The price is in the design. */
TEST(checkerboard_costs_little_more_than_a_bit)
{
	uint64_t npages = 16 * GIB_PAGES / 4;
	struct clo_attr *a = make(npages, false);

	for (uint64_t at = 0; at < npages; at += 2)
		CHECK_OK(clo_attr_set(a, clo_range(at, at + 1), true));
	CHECK_OK(clo_attr_check(a));
	CHECK_EQ(stats(a).runs, npages);
	CHECK_EQ(stats(a).bitmaps, npages / 512);
	CHECK_EQ(clo_attr_count_private(a, clo_range(0, npages)), npages / 2);
	CHECK_LE(stats(a).bytes * 8, npages * 12 / 10);
	test_note("checkerboard: %.3f bits a page", (double)stats(a).bytes * 8 / (double)npages);
	clo_attr_destroy(a);
}

TEST(check_finds_what_is_wrong)
{
	struct clo_attr *a = make(2 * GIB_PAGES + 5, false);
	struct attr_leaf *leaf;
	struct attr_node *root;
	struct attr_node *n;
	uint64_t word;

	set(a, 3, 4, true);
	root = attr_node(clo_a64_get(&a->root));
	n = attr_node(clo_a64_get(&root->w[0]));
	word = clo_a64_get(&n->w[0]);
	leaf = attr_leaf(word);

	/* A bitmap of one kind, and a wrong count. */
	clo_a64_set(&leaf->w[0], 0);
	CHECK_ERR(clo_attr_check(a), -EUCLEAN);
	clo_a64_set(&leaf->w[0], 16 + 1);
	CHECK_ERR(clo_attr_check(a), -EUCLEAN);
	clo_a64_set(&leaf->w[0], 8);
	CHECK_OK(clo_attr_check(a));
	n->private_pages++;
	CHECK_ERR(clo_attr_check(a), -EUCLEAN);
	n->private_pages--;
	n->uniform[ATTR_SHARED]--;
	CHECK_ERR(clo_attr_check(a), -EUCLEAN);
	n->uniform[ATTR_SHARED]++;
	/* A bitmap where a node belongs. */
	clo_a64_set(&root->w[1], word);
	CHECK_ERR(clo_attr_check(a), -EUCLEAN);
	clo_a64_set(&root->w[1], ATTR_SHARED);
	/* Another owner. */
	n->a = NULL;
	CHECK_ERR(clo_attr_check(a), -EUCLEAN);
	n->a = a;
	/* A bitmap that is free to be given out. */
	attr_slab(word)->used = 0;
	CHECK_ERR(clo_attr_check(a), -EUCLEAN);
	attr_slab(word)->used = 1;
	/* Pages behind the end are not as the last. */
	set(a, 2 * GIB_PAGES, 2 * GIB_PAGES + 5, true);
	a->npages = 2 * GIB_PAGES;
	CHECK_ERR(clo_attr_check(a), -EUCLEAN);
	a->npages = 2 * GIB_PAGES + 5;
	CHECK_OK(clo_attr_check(a));
	clo_attr_destroy(a);
}
