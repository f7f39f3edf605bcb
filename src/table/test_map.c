/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/test_map.c - begin, commit, abort at each level, each errno, each allocation failing.
 */
#include "table/test_table.h"

TEST(an_empty_table_translates_nothing)
{
	struct clo_table *t = table_new();

	CHECK_EQ(pfn_of(t, 0), NONE);
	CHECK_EQ(pfn_of(t, (1ULL << CLO_GFN_BITS) - 1), NONE);
	CHECK_EQ(pfn_of(t, 1ULL << CLO_GFN_BITS), NONE);
	CHECK_EQ(pfn_of(t, NONE), NONE);
	CHECK_EQ(pages_in(t), 1);
	CHECK_EQ(leaves_in(t), 0);
	clo_table_destroy(t);
	clo_table_destroy(NULL);
}

TEST(a_leaf_of_each_level_translates_its_pages)
{
	static const unsigned pages[] = { 4, 3, 2 };

	for (enum clo_level level = CLO_LEVEL_4K; level < CLO_LEVEL_COUNT; level++) {
		struct clo_table *t = table_new();
		uint64_t size = clo_level_pages(level), base = 7 * SZ1G + (level == 0 ? 513 : 0);
		struct clo_table_stats stats;
		struct clo_leaf leaf;

		/* Asked for by its last gfn. */
		map_leaf(t, base + size - 1, level, 5 * SZ1G);
		CHECK_EQ(pfn_of(t, base - 1), NONE);
		CHECK_EQ(pfn_of(t, base), 5 * SZ1G);
		CHECK_EQ(pfn_of(t, base + size - 1), 5 * SZ1G + size - 1);
		CHECK_EQ(pfn_of(t, base + size), NONE);
		CHECK(clo_table_walk(t, clo_gfn(base + size - 1), &leaf));
		CHECK_EQ(leaf.base.n, base);
		CHECK_EQ(leaf.level, level);
		CHECK_EQ((leaf.spte & CLO_SPTE_HUGE) != 0, level != CLO_LEVEL_4K);
		clo_table_stats(t, &stats);
		CHECK_EQ(stats.pages, pages[level]);
		for (enum clo_level l = CLO_LEVEL_4K; l < CLO_LEVEL_COUNT; l++)
			CHECK_EQ(stats.leaves[l], l == level ? 1 : 0);
		clo_table_destroy(t);
	}
}

TEST(user_pfns_and_the_last_gfn_fit)
{
	struct clo_table *t = table_new();
	uint64_t last = (1ULL << CLO_GFN_BITS) - 1, pfn = (1ULL << 40) - 1;

	map_leaf(t, last, CLO_LEVEL_4K, pfn);
	CHECK_EQ(pfn_of(t, last), pfn);
	clo_table_destroy(t);
}

TEST(a_gfn_out_of_range_is_refused)
{
	struct clo_table *t = table_new();
	struct clo_map_ctx ctx;

	clo_rcu_read_lock();
	CHECK_ERR(clo_table_map_begin(t, clo_gfn(1ULL << CLO_GFN_BITS), CLO_LEVEL_4K, &ctx),
		  -EINVAL);
	CHECK_ERR(clo_table_map_begin(t, clo_gfn(NONE), CLO_LEVEL_1G, &ctx), -EINVAL);
	clo_rcu_read_unlock();
	CHECK_EQ(pages_in(t), 1);
	clo_table_destroy(t);
}

TEST(a_leaf_in_place_is_told)
{
	struct clo_map_ctx ctx;

	/* A leaf of @have is there; one of @want is asked for. */
	for (enum clo_level have = CLO_LEVEL_4K; have < CLO_LEVEL_COUNT; have++) {
		for (enum clo_level want = CLO_LEVEL_4K; want <= have; want++) {
			struct clo_table *t = table_new();

			map_leaf(t, 0, have, SZ1G);
			clo_rcu_read_lock();
			CHECK_ERR(clo_table_map_begin(t, clo_gfn(0), want, &ctx), -EEXIST);
			CHECK_EQ(ctx.level, have);
			CHECK_EQ(clo_spte_pfn(ctx.old).n, SZ1G);
			clo_rcu_read_unlock();
			CHECK_EQ(leaves_in(t), 1);
			clo_table_destroy(t);
		}
	}
}

TEST(a_frozen_entry_makes_others_come_again)
{
	struct clo_table *t = table_new();
	struct clo_map_ctx a, b;

	clo_rcu_read_lock();
	for (enum clo_level have = CLO_LEVEL_4K; have < CLO_LEVEL_COUNT; have++) {
		CHECK_OK(clo_table_map_begin(t, clo_gfn(0), have, &a));
		CHECK_EQ(pfn_of(t, 0), NONE);
		for (enum clo_level want = CLO_LEVEL_4K; want < CLO_LEVEL_COUNT; want++) {
			CHECK_ERR(clo_table_map_begin(t, clo_gfn(0), want, &b), -EAGAIN);
		}
		clo_table_map_abort(&a);
		CHECK_EQ(leaves_in(t), 0);
	}
	CHECK_OK(clo_table_map_begin(t, clo_gfn(0), CLO_LEVEL_4K, &a));
	clo_table_map_commit(&a, clo_spte_make(clo_pfn(9), CLO_LEVEL_4K, RWX));
	clo_rcu_read_unlock();
	CHECK_EQ(pfn_of(t, 0), 9);
	clo_table_destroy(t);
}

TEST(smaller_leaves_are_in_the_way)
{
	struct clo_table *t = table_new();

	map_leaf(t, 511, CLO_LEVEL_4K, 511);
	CHECK_ERR(map_try(t, 0, CLO_LEVEL_2M, 0), -EBUSY);
	CHECK_ERR(map_try(t, 0, CLO_LEVEL_1G, 0), -EBUSY);
	map_leaf(t, 512, CLO_LEVEL_2M, 512);
	CHECK_EQ(clo_table_zap(t, clo_range(511, 512), NULL, NULL), 1);
	CHECK_ERR(map_try(t, 0, CLO_LEVEL_1G, 0), -EBUSY);
	CHECK_EQ(pages_in(t), 4);
	map_leaf(t, 0, CLO_LEVEL_2M, 0);
	CHECK_EQ(pages_in(t), 3);
	CHECK_EQ(pfn_of(t, 511), 511);
	CHECK_EQ(pfn_of(t, 600), 600);
	clo_table_destroy(t);
}

TEST(empty_pages_make_room_for_a_huge_leaf)
{
	struct clo_table *t = table_new();

	for (uint64_t gfn = 0; gfn < SZ1G; gfn += 3 * SZ2M + 7)
		map_leaf(t, gfn, CLO_LEVEL_4K, gfn);
	CHECK(pages_in(t) > 100);
	clo_table_zap(t, clo_range(0, SZ1G), NULL, NULL);
	CHECK(pages_in(t) > 100);
	map_leaf(t, 77, CLO_LEVEL_1G, 0);
	CHECK_EQ(pages_in(t), 2);
	CHECK_EQ(pfn_of(t, SZ1G - 1), SZ1G - 1);
	clo_table_destroy(t);
}

/* An empty page in a page that is not: the empty one may go, the other stays. */
TEST(a_refused_huge_leaf_leaves_the_rest)
{
	struct clo_table *t = table_new();
	struct clo_map_ctx ctx, huge;

	map_leaf(t, 0, CLO_LEVEL_4K, 0);
	clo_table_zap(t, clo_range(0, 1), NULL, NULL);
	clo_rcu_read_lock();
	CHECK_OK(clo_table_map_begin(t, clo_gfn(SZ2M), CLO_LEVEL_4K, &ctx));
	CHECK_ERR(clo_table_map_begin(t, clo_gfn(0), CLO_LEVEL_1G, &huge), -EAGAIN);
	clo_table_map_commit(&ctx, clo_spte_make(clo_pfn(3), CLO_LEVEL_4K, RWX));
	CHECK_ERR(clo_table_map_begin(t, clo_gfn(0), CLO_LEVEL_1G, &huge), -EBUSY);
	clo_rcu_read_unlock();
	CHECK_EQ(pfn_of(t, SZ2M), 3);
	map_leaf(t, 0, CLO_LEVEL_4K, 4);
	CHECK_EQ(leaves_in(t), 2);
	clo_table_destroy(t);
}

/*
 * For each n until none fails: the n-th allocation fails, nothing has changed, nothing is lost.
 * errno: clo_table_map_begin -ENOMEM: through map_try()
 */
TEST(each_allocation_may_fail)
{
	uint64_t before = clo_alloc_live();
	unsigned failed = 0;

	for (enum clo_level level = CLO_LEVEL_4K; level < CLO_LEVEL_COUNT; level++) {
		for (uint64_t n = 1;; n++) {
			struct clo_table *t = table_new();
			uint64_t live = clo_alloc_live();

			clo_alloc_fail_at(n);
			int ret = map_try(t, 12345, level, 0);

			clo_alloc_fail_at(0);
			if (ret != 0) {
				CHECK_ERR(ret, -ENOMEM);
				CHECK_EQ(clo_alloc_live(), live);
				CHECK_EQ(pages_in(t), 1);
				map_leaf(t, 12345, level, 0);
				failed++;
			}
			clo_table_destroy(t);
			if (ret == 0)
				break;
		}
	}
	CHECK_EQ(failed, 3 + 2 + 1);
	CHECK_EQ(clo_alloc_live(), before);
}

TEST(a_table_needs_memory)
{
	struct clo_table *t = NULL;

	clo_alloc_fail_at(1);
	CHECK_ERR(clo_table_create(&t), -ENOMEM);
	CHECK(t == NULL);
}

TEST(all_memory_comes_back)
{
	uint64_t before = clo_alloc_live();
	struct clo_table *t = table_new();

	for (uint64_t gfn = 0; gfn < 20 * SZ1G; gfn += SZ1G / 3)
		map_leaf(t, gfn, CLO_LEVEL_4K, gfn);
	clo_table_zap(t, clo_range(0, NONE), NULL, NULL);
	for (uint64_t gfn = 0; gfn < 20 * SZ1G; gfn += SZ1G)
		map_leaf(t, gfn, CLO_LEVEL_1G, gfn);
	clo_rcu_barrier();
	clo_table_destroy(t);
	CHECK_EQ(clo_alloc_live(), before);
}

/* The assert that says: a leaf's form fits its entry. */
EXPECT_SIGNAL(commit_of_a_wrong_size, SIGABRT)
{
	struct clo_table *t = table_new();
	struct clo_map_ctx ctx;

	clo_rcu_read_lock();
	CHECK_OK(clo_table_map_begin(t, clo_gfn(0), CLO_LEVEL_4K, &ctx));
	clo_table_map_commit(&ctx, clo_spte_make(clo_pfn(0), CLO_LEVEL_2M, RWX));
}
