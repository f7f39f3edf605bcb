/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/test_tlb.c - translations in guest mode, shoot-downs and what they skip when broken.
 */
#include "table/test_table.h"

#define SH CLO_SPACE_SHARED
#define PR CLO_SPACE_PRIVATE

static void mmu_new(struct clo_mmu *mmu, struct clo_tlb *tlb)
{
	memset(mmu, 0, sizeof(*mmu));
	memset(tlb, 0, sizeof(*tlb));
	CHECK_OK(clo_mmu_init(mmu));
	CHECK_OK(clo_mmu_add_tlb(mmu, tlb));
}

static struct clo_mmu mmu;
static struct clo_tlb tlb;

/* pfn, or NONE; one guest-mode section. */
static uint64_t touch(uint64_t gfn, enum clo_space space, uint64_t need)
{
	clo_tlb_enter(&tlb);
	uint64_t spte = clo_mmu_translate(&mmu, &tlb, clo_gfn(gfn), space, need);

	clo_tlb_exit(&tlb);
	return spte == 0 ? NONE : clo_spte_pfn(spte).n;
}

TEST(a_translation_is_kept_until_a_flush)
{
	mmu_new(&mmu, &tlb);
	map_leaf(mmu.table[SH], 5, CLO_LEVEL_4K, 50);
	map_leaf(mmu.table[PR], 5, CLO_LEVEL_4K, 60);
	CHECK_EQ(touch(5, SH, RWX), 50);
	CHECK_EQ(touch(5, PR, RWX), 60);
	CHECK_EQ(clo_stat_get(&tlb.misses), 2);
	CHECK_EQ(touch(5, SH, CLO_SPTE_R), 50);
	CHECK_EQ(touch(5, PR, CLO_SPTE_W), 60);
	CHECK_EQ(clo_stat_get(&tlb.hits), 2);
	CHECK_EQ(touch(6, SH, CLO_SPTE_R), NONE);
	/* Gone from the table, not yet shot down: a TLB may say so or not; ours keeps it. */
	CHECK_EQ(clo_table_zap(mmu.table[SH], clo_range(5, 6), NULL, NULL), 1);
	CHECK_EQ(touch(5, SH, CLO_SPTE_R), 50);
	clo_mmu_shootdown(&mmu);
	CHECK_EQ(touch(5, SH, CLO_SPTE_R), NONE);
	CHECK_EQ(touch(5, PR, CLO_SPTE_R), 60);
	CHECK_EQ(clo_stat_get(&tlb.flushes), 1);
	CHECK_EQ(clo_stat_get(&mmu.shootdowns), 1);
	CHECK_EQ(clo_stat_get(&mmu.ipis), 0);
	clo_mmu_destroy(&mmu);
}

TEST(each_page_of_a_huge_leaf)
{
	mmu_new(&mmu, &tlb);
	map_leaf(mmu.table[SH], 0, CLO_LEVEL_2M, SZ2M);
	map_leaf(mmu.table[SH], SZ1G, CLO_LEVEL_1G, 4 * SZ1G);
	for (uint64_t gfn = 0; gfn < SZ2M; gfn++)
		CHECK_EQ(touch(gfn, SH, RWX), SZ2M + gfn);
	CHECK_EQ(touch(2 * SZ1G - 1, SH, RWX), 5 * SZ1G - 1);
	CHECK_EQ(touch(2 * SZ1G, SH, RWX), NONE);
	clo_tlb_enter(&tlb);
	CHECK_EQ(clo_tlb_lookup(&tlb, clo_gfn(2 * SZ1G - 1), SH) & CLO_SPTE_HUGE, 0);
	CHECK_EQ(clo_tlb_lookup(&tlb, clo_gfn(2 * SZ1G - 1), PR), 0);
	clo_tlb_exit(&tlb);
	clo_mmu_destroy(&mmu);
}

TEST(missing_rights_are_looked_up_anew)
{
	struct clo_map_ctx ctx;

	mmu_new(&mmu, &tlb);
	clo_rcu_read_lock();
	CHECK_OK(clo_table_map_begin(mmu.table[SH], clo_gfn(1), CLO_LEVEL_4K, &ctx));
	clo_table_map_commit(&ctx, clo_spte_make(clo_pfn(8), CLO_LEVEL_4K, 0));
	CHECK_EQ(touch(1, SH, CLO_SPTE_R), 8);
	CHECK_EQ(touch(1, SH, CLO_SPTE_W), NONE);
	/* More rights need no shoot-down. */
	CHECK_EQ(clo_table_zap(mmu.table[SH], clo_range(1, 2), NULL, NULL), 1);
	CHECK_OK(clo_table_map_begin(mmu.table[SH], clo_gfn(1), CLO_LEVEL_4K, &ctx));
	clo_table_map_commit(&ctx, clo_spte_make(clo_pfn(8), CLO_LEVEL_4K, CLO_SPTE_W));
	clo_rcu_read_unlock();
	CHECK_EQ(touch(1, SH, CLO_SPTE_W), 8);
	CHECK_EQ(touch(1, SH, CLO_SPTE_X), NONE);
	clo_mmu_destroy(&mmu);
}

/* Shifted into a key, these gfns would look like gfn 5. */
TEST(a_gfn_beyond_all_bits_is_no_alias)
{
	mmu_new(&mmu, &tlb);
	map_leaf(mmu.table[SH], 5, CLO_LEVEL_4K, 50);
	CHECK_EQ(touch(5, SH, CLO_SPTE_R), 50);
	CHECK_EQ(touch(5 | 1ULL << 63, SH, CLO_SPTE_R), NONE);
	CHECK_EQ(touch(5 | 1ULL << CLO_GFN_BITS, SH, CLO_SPTE_R), NONE);
	CHECK_EQ(touch(NONE, PR, CLO_SPTE_R), NONE);
	clo_mmu_destroy(&mmu);
}

TEST(two_gfns_may_share_a_place)
{
	mmu_new(&mmu, &tlb);
	map_leaf(mmu.table[SH], 1, CLO_LEVEL_4K, 50);
	map_leaf(mmu.table[SH], 1 + CLO_TLB_ENTRIES, CLO_LEVEL_4K, 51);
	for (unsigned i = 0; i < 4; i++) {
		CHECK_EQ(touch(1, SH, CLO_SPTE_R), 50);
		CHECK_EQ(touch(1 + CLO_TLB_ENTRIES, SH, CLO_SPTE_R), 51);
	}
	CHECK_EQ(clo_stat_get(&tlb.hits), 0);
	clo_mmu_destroy(&mmu);
}

TEST(vcpus_are_limited)
{
	static struct clo_tlb many[CLO_MAX_VCPUS];

	CHECK_OK(clo_mmu_init(&mmu));
	for (unsigned i = 0; i < CLO_MAX_VCPUS; i++)
		CHECK_OK(clo_mmu_add_tlb(&mmu, &many[i]));
	CHECK_ERR(clo_mmu_add_tlb(&mmu, &tlb), -E2BIG);
	clo_mmu_shootdown(&mmu);
	for (unsigned i = 0; i < CLO_MAX_VCPUS; i++) {
		clo_tlb_enter(&many[i]);
		clo_tlb_exit(&many[i]);
		CHECK_EQ(clo_stat_get(&many[i].flushes), 1);
	}
	clo_mmu_destroy(&mmu);
}

TEST(an_mmu_needs_memory)
{
	uint64_t live = clo_alloc_live();

	for (uint64_t n = 1; n <= CLO_SPACE_COUNT; n++) {
		clo_alloc_fail_at(n);
		CHECK_ERR(clo_mmu_init(&mmu), -ENOMEM);
		CHECK_EQ(clo_alloc_live(), live);
		CHECK(mmu.table[SH] == NULL && mmu.table[PR] == NULL);
	}
	clo_alloc_fail_at(0);
	CHECK_OK(clo_mmu_init(&mmu));
	clo_mmu_destroy(&mmu);
	CHECK_EQ(clo_alloc_live(), live);
}

static bool flushed_inside;
static void flush_inside(void *arg, struct clo_gfn base, enum clo_level level, uint64_t spte)
{
	(void)arg, (void)base, (void)level, (void)spte;
	flushed_inside = clo_mmu_flush(&mmu);
}

TEST(a_flush_knows_what_is_owed)
{
	struct clo_split_reserve res = { 0 };
	uint64_t dropped;

	mmu_new(&mmu, &tlb);
	CHECK(!clo_mmu_flush(&mmu));
	for (uint64_t gfn = 0; gfn < 8; gfn++)
		map_leaf(mmu.table[PR], gfn, CLO_LEVEL_4K, gfn);
	CHECK(!clo_mmu_flush(&mmu));
	CHECK_EQ(clo_table_zap(mmu.table[PR], clo_range(100, 200), NULL, NULL), 0);
	CHECK(!clo_mmu_flush(&mmu));
	CHECK_EQ(clo_table_zap(mmu.table[PR], clo_range(0, 1), NULL, NULL), 1);
	CHECK(clo_mmu_flush(&mmu));
	CHECK(!clo_mmu_flush(&mmu));
	/* A round by somebody else will do as well. */
	CHECK_EQ(clo_table_zap(mmu.table[PR], clo_range(1, 2), NULL, NULL), 1);
	clo_mmu_shootdown(&mmu);
	CHECK(!clo_mmu_flush(&mmu));
	/* One that began before the removal has ended does not pay for it. */
	CHECK_EQ(clo_table_zap(mmu.table[PR], clo_range(2, 3), flush_inside, NULL), 1);
	CHECK(flushed_inside);
	CHECK(clo_mmu_flush(&mmu));
	/* A move owes nothing, a dropped leaf does. */
	CHECK_EQ(clo_table_move(mmu.table[PR], mmu.table[SH], clo_range(0, 4), NULL, NULL, NULL,
				NULL),
		 1);
	CHECK(!clo_mmu_flush(&mmu));
	map_leaf(mmu.table[SH], 4, CLO_LEVEL_4K, 40);
	CHECK_EQ(clo_table_move(mmu.table[PR], mmu.table[SH], clo_range(4, 5), NULL, NULL, NULL,
				&dropped),
		 0);
	CHECK_EQ(dropped, 1);
	CHECK(clo_mmu_flush(&mmu));
	/* A split owes nothing, unless it had to remove. */
	map_leaf(mmu.table[SH], SZ2M, CLO_LEVEL_2M, 0);
	CHECK_OK(clo_table_split_prepare(mmu.table[SH], clo_range(0, SZ2M + 1), &res));
	CHECK_EQ(clo_table_split_commit(mmu.table[SH], clo_range(0, SZ2M + 1), &res, NULL, NULL,
					NULL),
		 1);
	CHECK(!clo_mmu_flush(&mmu));
	map_leaf(mmu.table[SH], SZ1G, CLO_LEVEL_2M, 0);
	CHECK_EQ(clo_table_split_commit(mmu.table[SH], clo_range(0, SZ1G + 1), &res, NULL, NULL,
					NULL),
		 1);
	CHECK(clo_mmu_flush(&mmu));
	CHECK(!clo_mmu_flush(&mmu));
	clo_mmu_destroy(&mmu);
}

/* Broken: the stale translation outlives the shoot-down. */
TEST(break_tlb_flush_leaves_a_stale_translation)
{
	mmu_new(&mmu, &tlb);
	map_leaf(mmu.table[SH], 5, CLO_LEVEL_4K, 50);
	CHECK_EQ(touch(5, SH, CLO_SPTE_R), 50);
	CHECK_EQ(clo_table_zap(mmu.table[SH], clo_range(5, 6), NULL, NULL), 1);
	clo_break_set(CLO_BREAK_TLB_FLUSH, true);
	clo_mmu_shootdown(&mmu);
	CHECK_EQ(touch(5, SH, CLO_SPTE_R), 50);
	clo_break_set(CLO_BREAK_TLB_FLUSH, false);
	clo_mmu_shootdown(&mmu);
	CHECK_EQ(touch(5, SH, CLO_SPTE_R), NONE);
	clo_mmu_destroy(&mmu);
}

/* Broken: a shoot-down returns while a vCPU is in guest mode and goes on with what it has. */
TEST(break_tlb_wait_returns_too_early)
{
	mmu_new(&mmu, &tlb);
	map_leaf(mmu.table[SH], 5, CLO_LEVEL_4K, 50);
	clo_tlb_enter(&tlb);
	CHECK_NE(clo_mmu_translate(&mmu, &tlb, clo_gfn(5), SH, CLO_SPTE_R), 0);
	CHECK_EQ(clo_table_zap(mmu.table[SH], clo_range(5, 6), NULL, NULL), 1);
	clo_break_set(CLO_BREAK_TLB_WAIT, true);
	clo_mmu_shootdown(&mmu);
	CHECK_NE(clo_mmu_translate(&mmu, &tlb, clo_gfn(5), SH, CLO_SPTE_R), 0);
	clo_tlb_exit(&tlb);
	CHECK_EQ(touch(5, SH, CLO_SPTE_R), NONE);
	clo_mmu_destroy(&mmu);
}
