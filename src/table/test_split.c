/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/test_split.c - leaves that cross the ends of a range become smaller ones.
 */
#include "table/test_table.h"

#define PFN (3 * SZ1G)

struct split_case {
	enum clo_level level; /* of all leaves in [0, 2 GiB) */
	struct clo_range r;
	unsigned pages; /* that the split needs */
	unsigned left;  /* huge leaves that leave, of both sizes */
};

static const struct split_case cases[] = {
	{ CLO_LEVEL_2M, { 0, SZ2M }, 0, 0 },
	{ CLO_LEVEL_2M, { 5, 5 }, 0, 0 },
	{ CLO_LEVEL_2M, { 1, SZ2M }, 1, 1 },
	{ CLO_LEVEL_2M, { 0, 1 }, 1, 1 },
	{ CLO_LEVEL_2M, { 1, 2 }, 1, 1 }, /* both ends in one leaf */
	{ CLO_LEVEL_2M, { 1, SZ2M + 1 }, 2, 2 },
	{ CLO_LEVEL_2M, { SZ2M - 1, 9 * SZ2M + 1 }, 2, 2 },
	{ CLO_LEVEL_1G, { 0, SZ1G }, 0, 0 },
	{ CLO_LEVEL_1G, { 0, SZ2M }, 1, 1 },
	{ CLO_LEVEL_1G, { SZ2M, 2 * SZ2M }, 1, 1 },
	{ CLO_LEVEL_1G, { SZ2M, 2 * SZ2M + 1 }, 2, 2 },
	{ CLO_LEVEL_1G, { SZ2M + 1, 2 * SZ2M }, 2, 2 },
	{ CLO_LEVEL_1G, { 1, 2 }, 2, 2 },
	{ CLO_LEVEL_1G, { 1, SZ2M + 1 }, 3, 3 },
	{ CLO_LEVEL_1G, { 0, 1 }, 2, 2 },
	{ CLO_LEVEL_1G, { 1, SZ1G + 1 }, 4, 4 },
	{ CLO_LEVEL_1G, { SZ2M, SZ1G + SZ2M }, 2, 2 },
	{ CLO_LEVEL_1G, { 1, 2 * SZ1G }, 2, 2 },
};

static struct clo_table *table_of(enum clo_level level)
{
	struct clo_table *t = table_new();

	for (uint64_t gfn = 0; gfn < 2 * SZ1G; gfn += clo_level_pages(level))
		map_leaf(t, gfn, level, PFN + gfn);
	return t;
}

static uint64_t pages_translated;
static void add_pages(void *arg, struct clo_gfn base, enum clo_level level, uint64_t spte)
{
	(void)arg;
	CHECK_EQ(clo_spte_pfn(spte).n, PFN + base.n);
	CHECK_EQ(spte & RWX, RWX);
	CHECK_EQ((spte & CLO_SPTE_HUGE) != 0, level != CLO_LEVEL_4K);
	pages_translated += clo_level_pages(level);
}

static void check_all_translated(struct clo_table *t, uint64_t pages)
{
	pages_translated = 0;
	clo_table_for_each(t, clo_range(0, NONE), add_pages, NULL);
	CHECK_EQ(pages_translated, pages);
}

TEST(a_split_frees_the_ends_and_changes_no_translation)
{
	for (unsigned i = 0; i < CLO_ARRAY_SIZE(cases); i++) {
		const struct split_case *c = &cases[i];
		struct clo_table *t = table_of(c->level);
		struct clo_split_reserve res;
		static struct seen removed;

		removed.count = 0;
		CHECK_EQ(table_crosses(t, c->r), c->pages != 0);
		CHECK_OK(clo_table_split_prepare(t, c->r, &res));
		CHECK_MSG(res.count == c->pages, "case %u: %u pages", i, res.count);
		CHECK_EQ(clo_table_split_commit(t, c->r, &res, see, NULL, &removed), c->left);
		CHECK_EQ(res.count, 0);
		CHECK(!table_crosses(t, c->r));
		check_all_translated(t, 2 * SZ1G);
		/* A zap takes nothing else now. */
		clo_table_zap(t, c->r, NULL, NULL);
		check_all_translated(t, 2 * SZ1G - clo_range_len(c->r));
		clo_split_reserve_release(&res);
		clo_table_destroy(t);
	}
}

TEST(a_split_tells_the_huge_leaf_then_the_small_ones)
{
	struct clo_table *t = table_new();
	struct clo_split_reserve res;
	static struct seen removed, added;
	struct clo_map_ctx ctx;

	clo_rcu_read_lock();
	CHECK_OK(clo_table_map_begin(t, clo_gfn(SZ2M), CLO_LEVEL_2M, &ctx));
	clo_table_map_commit(&ctx, clo_spte_make(clo_pfn(0), CLO_LEVEL_2M,
						 CLO_SPTE_X | CLO_SPTE_A | CLO_SPTE_D));
	clo_rcu_read_unlock();
	CHECK_OK(clo_table_split_prepare(t, clo_range(0, SZ2M + 1), &res));
	CHECK_EQ(clo_table_split_commit(t, clo_range(0, SZ2M + 1), &res, see, NULL, &removed), 1);
	CHECK_EQ(removed.count, 1);
	CHECK_EQ(removed.leaf[0].base, SZ2M);
	CHECK_EQ(removed.leaf[0].level, CLO_LEVEL_2M);
	clo_table_for_each(t, clo_range(0, NONE), see, &added);
	CHECK_EQ(added.count, 512);
	for (unsigned i = 0; i < 512; i++) {
		CHECK_EQ(added.leaf[i].base, SZ2M + i);
		CHECK_EQ(added.leaf[i].spte, clo_spte_make(clo_pfn(i), CLO_LEVEL_4K,
							   CLO_SPTE_X | CLO_SPTE_A | CLO_SPTE_D));
	}
	/* The page that took its place can go again. */
	CHECK_EQ(clo_table_zap(t, clo_range(0, SZ1G), NULL, NULL), 512);
	map_leaf(t, 0, CLO_LEVEL_1G, 0);
	CHECK_EQ(pages_in(t), 2);
	clo_table_destroy(t);
}

TEST(added_leaves_are_told_before_they_are_seen)
{
	struct clo_table *t = table_of(CLO_LEVEL_2M);
	struct clo_split_reserve res;
	static struct seen added;

	CHECK_OK(clo_table_split_prepare(t, clo_range(1, 2), &res));
	CHECK_EQ(clo_table_split_commit(t, clo_range(1, 2), &res, NULL, see, &added), 1);
	CHECK_EQ(added.count, 512);
	for (unsigned i = 0; i < 512; i++)
		CHECK_EQ(added.leaf[i].base, i);
	clo_table_destroy(t);
}

/* Each n-th allocation fails: -ENOMEM, @res empty, nothing changed, nothing lost. */
TEST(a_reserve_is_all_or_nothing)
{
	for (unsigned i = 0; i < CLO_ARRAY_SIZE(cases); i++) {
		const struct split_case *c = &cases[i];
		struct clo_table *t = table_of(c->level);
		struct clo_split_reserve res;
		uint64_t live = clo_alloc_live();
		uint64_t leaves = leaves_in(t);

		for (uint64_t n = 1; n <= c->pages; n++) {
			clo_alloc_fail_at(n);
			CHECK_ERR(clo_table_split_prepare(t, c->r, &res), -ENOMEM);
			CHECK_EQ(res.count, 0);
			CHECK_EQ(clo_alloc_live(), live);
			CHECK_EQ(leaves_in(t), leaves);
		}
		clo_alloc_fail_at(0);
		CHECK_OK(clo_table_split_prepare(t, c->r, &res));
		clo_split_reserve_release(&res);
		CHECK_EQ(clo_alloc_live(), live);
		clo_table_destroy(t);
	}
}

/* A huge leaf that came after the reserve: removed whole, its neighbours fault again. */
TEST(without_a_page_the_leaf_goes_whole)
{
	for (unsigned i = 0; i < CLO_ARRAY_SIZE(cases); i++) {
		const struct split_case *c = &cases[i];
		struct clo_table *t = table_of(c->level);
		struct clo_split_reserve res = { 0 };
		static struct seen removed;
		uint64_t gone = 0;

		removed.count = 0;
		clo_table_split_commit(t, c->r, &res, see, NULL, &removed);
		for (unsigned k = 0; k < removed.count; k++)
			gone += clo_level_pages(removed.leaf[k].level);
		CHECK(!table_crosses(t, c->r));
		check_all_translated(t, 2 * SZ1G - gone);
		CHECK_EQ(gone != 0, c->pages != 0);
		clo_table_destroy(t);
	}
}
