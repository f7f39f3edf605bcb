/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/test_threads.c - faults, zaps, moves and shoot-downs at once, with I5 checked.
 *
 * Memory is blocks of 512 gfns. Each block has two places in the host, of which one is alive at a
 * time: dead[] is set when a hole punch has freed it, after its zap and flush. A vCPU in guest mode
 * that reaches a dead place has a stale translation.
 */
#include "table/test_table.h"

#define VCPUS    3U
#define CHANGERS 2U
#define BLOCKS   8U

static struct clo_mmu mmu;
static struct clo_tlb tlb[VCPUS];
static struct clo_a64 backing[BLOCKS]; /* place + 1; 0: hole */
static struct clo_a32 dead[2 * BLOCKS];
static struct clo_a32 stop;
static struct clo_a64 touched, faulted;
static struct clo_a32 stale;
static unsigned rounds = 160; /* 0: until a stale translation is met */
static uint64_t seed;         /* test_seed() is for the main thread only */

static uint64_t pfn_of_place(uint64_t place)
{
	return place * SZ2M;
}

/* A guest fault by the rule for faults; @level by chance. */
static void fault(uint64_t gfn, enum clo_level level)
{
	struct clo_table *t = mmu.table[CLO_SPACE_PRIVATE];
	uint64_t size = clo_level_pages(level), base = clo_align_down(gfn, size);
	struct clo_map_ctx ctx;

	clo_rcu_read_lock();
	struct clo_inval_snap snap = clo_inval_snapshot(&mmu.inval, gfn);
	uint64_t place = clo_a64_get(&backing[gfn / SZ2M]);

	if (place == 0 || clo_inval_busy(&mmu.inval, gfn))
		goto out;
	if (clo_table_map_begin(t, clo_gfn(gfn), level, &ctx) != 0)
		goto out;
	if (clo_inval_retry(&mmu.inval, gfn, snap))
		clo_table_map_abort(&ctx);
	else
		clo_table_map_commit(
			&ctx,
			clo_spte_make(clo_pfn(pfn_of_place(place - 1) + base % SZ2M), level, RWX));
	clo_a64_add(&faulted, 1);
out:
	clo_rcu_read_unlock();
}

static void *vcpu(void *arg)
{
	struct clo_tlb *mine = arg;
	struct clo_rand rnd = { seed + (uint64_t)(mine - tlb) };

	while (!clo_a32_get(&stop)) {
		uint64_t gfn = clo_rand_below(&rnd, BLOCKS) * SZ2M + clo_rand_below(&rnd, 24);

		clo_tlb_enter(mine);
		uint64_t spte =
			clo_mmu_translate(&mmu, mine, clo_gfn(gfn), CLO_SPACE_PRIVATE, CLO_SPTE_W);

		for (unsigned i = 0; spte != 0 && i < 4; i++) {
			uint64_t pfn = clo_spte_pfn(spte).n;

			CHECK_EQ(pfn % SZ2M, gfn % SZ2M);
			CHECK_EQ(pfn / SZ2M / 2, gfn / SZ2M);
			if (clo_a32_get(&dead[pfn / SZ2M]))
				clo_a32_set(&stale, 1);
		}
		clo_tlb_exit(mine);
		if (spte != 0)
			clo_a64_add(&touched, 1);
		else
			fault(gfn, clo_rand_below(&rnd, 4) == 0 ? CLO_LEVEL_2M : CLO_LEVEL_4K);
		if (clo_a32_get(&stale))
			break;
	}
	return NULL;
}

/* Free the memory of a block, then give it another place. */
static void punch(uint64_t block, struct clo_range r)
{
	clo_inval_begin(&mmu.inval, r);
	uint64_t place = clo_a64_xchg(&backing[block], 0);

	clo_table_zap(mmu.table[CLO_SPACE_PRIVATE], r, NULL, NULL);
	clo_mmu_flush(&mmu);
	if (place != 0)
		clo_a32_set(&dead[place - 1], 1);
	clo_inval_end(&mmu.inval, r);
	if (place == 0)
		return;
	/* Its other place is dead since the last punch. */
	uint64_t other = (place - 1) ^ 1;

	clo_a32_set(&dead[other], 0);
	clo_a64_set(&backing[block], other + 1);
}

/* What the flush of a memslot does: leaves go, the memory stays. A punch may count on it. */
static void slot_flush(struct clo_range r)
{
	clo_inval_begin(&mmu.inval, r);
	clo_table_zap(mmu.table[CLO_SPACE_PRIVATE], r, NULL, NULL);
	clo_mmu_flush(&mmu);
	clo_inval_end(&mmu.inval, r);
}

static void split(struct clo_range block)
{
	struct clo_range r = clo_range(block.start + 7, block.start + 9);
	struct clo_table *t = mmu.table[CLO_SPACE_PRIVATE];
	struct clo_split_reserve res;

	CHECK_OK(clo_table_split_prepare(t, r, &res));
	clo_inval_begin(&mmu.inval, block);
	clo_table_split_commit(t, r, &res, NULL, NULL, NULL);
	clo_table_zap(t, r, NULL, NULL);
	clo_mmu_flush(&mmu);
	clo_inval_end(&mmu.inval, block);
	clo_split_reserve_release(&res);
}

static void *changer(void *arg)
{
	struct clo_rand rnd = { seed * 77 + *(unsigned *)arg };

	for (unsigned i = 0; (rounds == 0 || i < rounds) && !clo_a32_get(&stale); i++) {
		/* Some use of the memory between the changes, however the threads are scheduled. */
		uint64_t before = clo_a64_get(&touched);

		while (i % 8 == 0 && clo_a64_get(&touched) == before && !clo_a32_get(&stale))
			clo_relax();
		uint64_t block = clo_rand_below(&rnd, BLOCKS);
		struct clo_range r = clo_range(block * SZ2M, (block + 1) * SZ2M);

		switch (clo_rand_below(&rnd, 4)) {
		case 0:
			slot_flush(r);
			break;
		case 1:
			split(r);
			break;
		default:
			punch(block, r);
		}
	}
	return NULL;
}

static void run_all(void)
{
	struct clo_thread v[VCPUS], c[CHANGERS];
	unsigned id[CHANGERS];

	seed = test_seed();
	CHECK_OK(clo_mmu_init(&mmu));
	for (unsigned i = 0; i < BLOCKS; i++) {
		clo_a64_set(&backing[i], 2 * i + 1);
		clo_a32_set(&dead[2 * i + 1], 1);
	}
	for (unsigned i = 0; i < VCPUS; i++) {
		CHECK_OK(clo_mmu_add_tlb(&mmu, &tlb[i]));
		CHECK_OK(clo_thread_create(&v[i], vcpu, &tlb[i]));
	}
	for (unsigned i = 0; i < CHANGERS; i++) {
		id[i] = i;
		CHECK_OK(clo_thread_create(&c[i], changer, &id[i]));
	}
	for (unsigned i = 0; i < CHANGERS; i++)
		CHECK_OK(clo_thread_join(&c[i]));
	clo_a32_set(&stop, 1);
	for (unsigned i = 0; i < VCPUS; i++)
		CHECK_OK(clo_thread_join(&v[i]));
}

TEST_TIMEOUT(no_vcpu_reaches_a_freed_frame, 60)
{
	uint64_t before = clo_alloc_live();

	run_all();
	CHECK_EQ(clo_a32_get(&stale), 0);
	CHECK(clo_a64_get(&touched) != 0 && clo_a64_get(&faulted) != 0);
	test_note("%llu touches, %llu faults, %llu shoot-downs, %llu waits",
		  (unsigned long long)clo_a64_get(&touched),
		  (unsigned long long)clo_a64_get(&faulted),
		  (unsigned long long)clo_stat_get(&mmu.shootdowns),
		  (unsigned long long)clo_stat_get(&mmu.ipis));
	slot_flush(clo_range(0, BLOCKS * SZ2M));
	CHECK_EQ(leaves_in(mmu.table[CLO_SPACE_PRIVATE]), 0);
	map_leaf(mmu.table[CLO_SPACE_PRIVATE], 0, CLO_LEVEL_1G, 0);
	clo_rcu_barrier();
	clo_mmu_destroy(&mmu);
	CHECK_EQ(clo_alloc_live(), before);
}

/* The same, without the flush: the check above is not empty. */
TEST_TIMEOUT(break_tlb_flush_is_found, 60)
{
	clo_break_set(CLO_BREAK_TLB_FLUSH, true);
	rounds = 0;
	run_all();
	CHECK_EQ(clo_a32_get(&stale), 1);
}

#define PARALLEL 4U
#define GFNS     6000U
static struct clo_table *shared_table;
static struct clo_a64 mapped;

static void *map_all(void *arg)
{
	struct clo_rand rnd = { seed + *(unsigned *)arg };
	uint64_t count = 0, start = clo_rand_below(&rnd, GFNS);

	for (unsigned i = 0; i < GFNS; i++) {
		uint64_t gfn = (start + i) % GFNS;
		int ret;

		while ((ret = map_try(shared_table, gfn, CLO_LEVEL_4K, gfn)) == -EAGAIN)
			clo_relax();
		if (ret == 0)
			count++;
		else
			CHECK_ERR(ret, -EEXIST);
	}
	clo_a64_add(&mapped, count);
	return NULL;
}

TEST(each_gfn_is_mapped_by_one_of_many_faults)
{
	struct clo_thread t[PARALLEL];
	unsigned id[PARALLEL];

	seed = test_seed();
	shared_table = table_new();
	for (unsigned i = 0; i < PARALLEL; i++) {
		id[i] = i;
		CHECK_OK(clo_thread_create(&t[i], map_all, &id[i]));
	}
	for (unsigned i = 0; i < PARALLEL; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	CHECK_EQ(clo_a64_get(&mapped), GFNS);
	CHECK_EQ(leaves_in(shared_table), GFNS);
	CHECK_EQ(pages_in(shared_table), 1 + 1 + 1 + (GFNS + 511) / 512);
	clo_table_destroy(shared_table);
}

static struct clo_table *side[2];
static struct clo_a32 movers_left;

/* Each owns one residue of the blocks (the range lock of a conversion) and moves it to and fro. */
static void *mover(void *arg)
{
	uint64_t base = *(unsigned *)arg * SZ2M;

	for (unsigned i = 0; i < 200; i++) {
		struct clo_range r = clo_range(base, base + 40);
		uint64_t dropped = 0;

		CHECK_EQ(clo_table_move(side[i % 2], side[!(i % 2)], r, NULL, NULL, NULL, &dropped),
			 40);
		CHECK_EQ(dropped, 0);
	}
	clo_a32_sub(&movers_left, 1);
	return NULL;
}

/* Tries to map where the movers work, and always thinks better of it. */
static void *teaser(void *arg)
{
	struct clo_rand rnd = { seed };

	(void)arg;
	while (clo_a32_get(&movers_left) != 0) {
		enum clo_level level = clo_rand_below(&rnd, 3) ? CLO_LEVEL_4K : CLO_LEVEL_2M;
		uint64_t gfn = clo_rand_below(&rnd, 2) * SZ2M + clo_rand_below(&rnd, 50);
		struct clo_map_ctx ctx;

		clo_rcu_read_lock();
		if (clo_table_map_begin(side[clo_rand_below(&rnd, 2)], clo_gfn(gfn), level, &ctx) ==
		    0)
			clo_table_map_abort(&ctx);
		clo_rcu_read_unlock();
	}
	return NULL;
}

TEST_TIMEOUT(moves_lose_nothing_beside_faults, 60)
{
	struct clo_thread m[2], f;
	unsigned id[2] = { 0, 1 };
	uint64_t before = clo_alloc_live();

	seed = test_seed();
	side[0] = table_new();
	side[1] = table_new();
	clo_a32_set(&movers_left, 2);
	for (unsigned i = 0; i < 2; i++)
		for (uint64_t gfn = 0; gfn < 40; gfn++)
			map_leaf(side[0], i * SZ2M + gfn, CLO_LEVEL_4K, i * SZ2M + gfn);
	for (unsigned i = 0; i < 2; i++)
		CHECK_OK(clo_thread_create(&m[i], mover, &id[i]));
	CHECK_OK(clo_thread_create(&f, teaser, NULL));
	for (unsigned i = 0; i < 2; i++)
		CHECK_OK(clo_thread_join(&m[i]));
	CHECK_OK(clo_thread_join(&f));
	CHECK_EQ(leaves_in(side[0]), 80);
	CHECK_EQ(leaves_in(side[1]), 0);
	map_leaf(side[1], 0, CLO_LEVEL_1G, 0);
	clo_rcu_barrier();
	clo_table_destroy(side[0]);
	clo_table_destroy(side[1]);
	CHECK_EQ(clo_alloc_live(), before);
}
