/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/test_race.c - faults, zaps, moves and shoot-downs under every schedule of few preemptions.
 *
 * Each program is run by a depth-first search over the scheduler's choices. A program must be clean
 * under all of them; with a step taken out by a break switch, some schedule must show the harm.
 */
#include "harness/dfs.h"
#include "table/test_table.h"

#define CLEAN  0 /* and what clo_sched_stop() may say: */
#define STALE  1 /* a vCPU in guest mode used a frame that had been freed */
#define UNTOLD 2 /* a zap returned before a leaf's callback */
#define TWICE  3 /* a leaf in both tables */
#define WRONG  4 /* anything else */

/* Run @program under all schedules; the first finding, or CLEAN. */
static int explore(const char *name, void (*program)(void *), void *arg, unsigned preemptions,
		   int (*on_step)(void *, const struct clo_sched_step *))
{
	static struct dfs dfs;

	dfs = (struct dfs){
		.main_fn = program,
		.arg = arg,
		.on_step = on_step,
		/* CLO_MORE_PREEMPTIONS=1: minutes instead of seconds. */
		.bound = preemptions + (getenv("CLO_MORE_PREEMPTIONS") != NULL),
		.rcu_last = true,
	};
	if (dfs_search(&dfs, CLO_SCHED_STOPPED)) {
		test_note("%s: finding %d in run %llu", name, dfs.last.code,
			  (unsigned long long)dfs.runs);
		return dfs.last.code;
	}
	CHECK_MSG(dfs.ends[CLO_SCHED_DONE] == dfs.runs, "%s: not all runs ended", name);
	CHECK_EQ(dfs.left_bytes, 0);
	test_note("%s: clean in %llu runs, the last of %llu steps", name,
		  (unsigned long long)dfs.runs, (unsigned long long)dfs.last.steps);
	return CLEAN;
}

static void spawn(struct clo_thread *t, void *(*fn)(void *), void *arg)
{
	if (clo_thread_create(t, fn, arg) != 0)
		clo_sched_stop(WRONG);
}

static void join(struct clo_thread *t)
{
	if (clo_thread_join(t) != 0)
		clo_sched_stop(WRONG);
}

/* The state of one run; set up anew by each program. */
static struct clo_mmu mmu;
static struct clo_tlb tlb;
static struct clo_a64 backing; /* pfn of gfn 0; 0: hole */
static struct clo_a32 dead;    /* that frame is free */
#define FRAME 7U
static unsigned commits; /* leaves published by fault() */

static void begin(void)
{
	clo_sched_quiet(true);
	memset(&mmu, 0, sizeof(mmu));
	memset(&tlb, 0, sizeof(tlb));
	commits = 0;
	clo_a64_init(&backing, FRAME);
	clo_a32_init(&dead, 0);
	if (clo_mmu_init(&mmu) != 0 || clo_mmu_add_tlb(&mmu, &tlb) != 0)
		clo_sched_stop(WRONG);
}

static void finish(void)
{
	clo_sched_quiet(true);
	clo_rcu_barrier();
	clo_mmu_destroy(&mmu);
	clo_sched_quiet(false);
}

static void fault(uint64_t gfn, enum clo_level level)
{
	struct clo_map_ctx ctx;

	clo_rcu_read_lock();
	struct clo_inval_snap snap = clo_inval_snapshot(&mmu.inval, gfn);
	uint64_t pfn = clo_a64_get(&backing);

	if (pfn != 0 && clo_table_map_begin(mmu.table[0], clo_gfn(gfn), level, &ctx) == 0) {
		bool stale = level == CLO_LEVEL_1G ? clo_inval_retry_any(&mmu.inval, snap)
						   : clo_inval_retry(&mmu.inval, gfn, snap);

		if (stale && !clo_broken(CLO_BREAK_INVAL_SEQ)) {
			clo_table_map_abort(&ctx);
		} else {
			clo_table_map_commit(&ctx,
					     clo_spte_make(clo_pfn(level ? 0 : pfn), level, RWX));
			commits++;
		}
	}
	clo_rcu_read_unlock();
}

/* One stay in guest mode; false: it needs a fault. */
static bool guest(void)
{
	clo_tlb_enter(&tlb);
	bool hit = clo_mmu_translate(&mmu, &tlb, clo_gfn(0), CLO_SPACE_SHARED, CLO_SPTE_R) != 0;

	if (hit && clo_a32_get(&dead))
		clo_sched_stop(STALE);
	clo_tlb_exit(&tlb);
	return hit;
}

static void *vcpu(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 2; i++) {
		if (!guest())
			fault(0, CLO_LEVEL_4K);
	}
	guest();
	return NULL;
}

static bool flush_if_zapped; /* what clo_mmu_flush() is there to replace */

static void zap_and_flush(void)
{
	uint64_t count = clo_table_zap(mmu.table[0], clo_range(0, 1), NULL, NULL);

	if (!flush_if_zapped)
		clo_mmu_flush(&mmu);
	else if (count != 0)
		clo_mmu_shootdown(&mmu);
}

static void *punch(void *arg)
{
	struct clo_range r = clo_range(0, 1);

	(void)arg;
	clo_inval_begin(&mmu.inval, r);
	clo_a64_set(&backing, 0);
	zap_and_flush();
	clo_a32_set(&dead, 1);
	clo_inval_end(&mmu.inval, r);
	return NULL;
}

static void *slot_flush(void *arg)
{
	struct clo_range r = clo_range(0, 1);

	(void)arg;
	clo_inval_begin(&mmu.inval, r);
	zap_and_flush();
	clo_inval_end(&mmu.inval, r);
	return NULL;
}

static void fault_and_punch(void *arg)
{
	struct clo_thread t[2];

	(void)arg;
	begin();
	spawn(&t[0], vcpu, NULL);
	spawn(&t[1], punch, NULL);
	clo_sched_quiet(false);
	join(&t[0]);
	join(&t[1]);
	finish();
}

TEST_TIMEOUT(fault_against_punch, 100)
{
	CHECK_EQ(explore("fault, punch", fault_and_punch, NULL, 2, NULL), CLEAN);
}

TEST_TIMEOUT(each_break_switch_is_found, 100)
{
	static const enum clo_break which[] = { CLO_BREAK_INVAL_SEQ, CLO_BREAK_FROZEN_WAIT,
						CLO_BREAK_TLB_FLUSH, CLO_BREAK_TLB_WAIT };

	for (unsigned i = 0; i < CLO_ARRAY_SIZE(which); i++) {
		clo_break_set(which[i], true);
		CHECK_EQ(explore(clo_break_name(which[i]), fault_and_punch, NULL, 2, NULL), STALE);
		clo_break_set(which[i], false);
	}
}

static void *vcpu_once(void *arg)
{
	(void)arg;
	guest();
	return NULL;
}

static void *vcpu_twice(void *arg)
{
	(void)arg;
	guest();
	clo_relax(); /* a switch here is no preemption */
	guest();
	return NULL;
}

static void punch_and_slot_flush(void *arg)
{
	struct clo_thread t[3];

	(void)arg;
	begin();
	fault(0, CLO_LEVEL_4K);
	guest(); /* it is in the TLB */
	spawn(&t[0], vcpu_once, NULL);
	spawn(&t[1], slot_flush, NULL);
	spawn(&t[2], punch, NULL);
	clo_sched_quiet(false);
	for (unsigned i = 0; i < 3; i++)
		join(&t[i]);
	finish();
}

/* The punch finds the entry empty, because the other has just zapped it: it has to flush anyway. */
TEST_TIMEOUT(two_changers_of_one_gfn, 100)
{
	CHECK_EQ(explore("punch, slot", punch_and_slot_flush, NULL, 1, NULL), CLEAN);
	flush_if_zapped = true;
	CHECK_EQ(explore("punch, slot, flush if zapped", punch_and_slot_flush, NULL, 1, NULL),
		 STALE);
}

static void *round_of_another(void *arg)
{
	(void)arg;
	clo_mmu_shootdown(&mmu);
	return NULL;
}

static void punch_and_round(void *arg)
{
	struct clo_thread t[3];

	(void)arg;
	begin();
	fault(0, CLO_LEVEL_4K);
	spawn(&t[0], round_of_another, NULL);
	spawn(&t[1], vcpu_twice, NULL);
	spawn(&t[2], punch, NULL);
	clo_sched_quiet(false);
	for (unsigned i = 0; i < 3; i++)
		join(&t[i]);
	finish();
}

/* A round that began before the leaf went does not pay for it. (Harm needs two preemptions.) */
TEST_TIMEOUT(a_round_already_under_way, 100)
{
	CHECK_EQ(explore("punch, round", punch_and_round, NULL, 1, NULL), CLEAN);
}

static struct clo_a32 told;

static void tell(void *arg, struct clo_gfn base, enum clo_level level, uint64_t spte)
{
	(void)arg, (void)base, (void)level, (void)spte;
	clo_a32_set(&told, 1);
}

static void *zapper(void *arg)
{
	(void)arg;
	clo_table_zap(mmu.table[0], clo_range(0, 1), tell, NULL);
	if (!clo_a32_get(&told))
		clo_sched_stop(UNTOLD);
	return NULL;
}

static void two_zaps(void *arg)
{
	struct clo_thread t[2];

	(void)arg;
	begin();
	clo_a32_init(&told, 0);
	fault(0, CLO_LEVEL_4K);
	spawn(&t[0], zapper, NULL);
	spawn(&t[1], zapper, NULL);
	clo_sched_quiet(false);
	join(&t[0]);
	join(&t[1]);
	finish();
}

/* Who zaps next frees the frame: the reverse map must be gone, whoever removed the leaf. */
TEST_TIMEOUT(a_zap_waits_for_the_callback_of_another, 100)
{
	CHECK_EQ(explore("two zaps", two_zaps, NULL, 3, NULL), CLEAN);
	clo_break_set(CLO_BREAK_FROZEN_WAIT, true);
	CHECK_EQ(explore("two zaps, frozen-wait", two_zaps, NULL, 2, NULL), UNTOLD);
}

static void *fault_small(void *arg)
{
	(void)arg;
	fault(0, CLO_LEVEL_4K);
	return NULL;
}

static void *fault_large(void *arg)
{
	enum clo_level level = *(enum clo_level *)arg;

	fault(0, level);
	fault(0, level);
	return NULL;
}

/* Two page-table pages for gfn 0, both empty: in the way of a large fault, which removes them. */
static void begin_with_empty_pages(void)
{
	begin();
	fault(0, CLO_LEVEL_4K);
	clo_table_zap(mmu.table[0], clo_range(0, 1), NULL, NULL);
	commits = 0;
}

/* Nothing is frozen for ever, and no count of a page is wrong. */
static void check_and_finish(void)
{
	clo_sched_quiet(true);
	clo_table_zap(mmu.table[0], clo_range(0, SZ1G), NULL, NULL);
	if (map_try(mmu.table[0], 0, CLO_LEVEL_1G, 0) != 0 || pages_in(mmu.table[0]) != 2)
		clo_sched_stop(WRONG);
	finish();
}

static void small_large(void *arg)
{
	struct clo_thread t[2];

	begin_with_empty_pages();
	spawn(&t[0], fault_small, NULL);
	spawn(&t[1], fault_large, arg);
	clo_sched_quiet(false);
	join(&t[0]);
	join(&t[1]);
	clo_sched_quiet(true);
	/* No leaf is published into a page that has left the tree. */
	if (leaves_in(mmu.table[0]) != commits)
		clo_sched_stop(WRONG);
	check_and_finish();
}

static void small_large_zap(void *arg)
{
	struct clo_thread t[3];

	begin_with_empty_pages();
	spawn(&t[0], fault_small, NULL);
	spawn(&t[1], fault_large, arg);
	spawn(&t[2], slot_flush, NULL);
	clo_sched_quiet(false);
	for (unsigned i = 0; i < 3; i++)
		join(&t[i]);
	check_and_finish();
}

/* Page-table pages leave the tree under claims; the arena finds a touch of freed memory. */
TEST_TIMEOUT(small_and_large_faults, 100)
{
	for (enum clo_level level = CLO_LEVEL_2M; level < CLO_LEVEL_COUNT; level++) {
		CHECK_EQ(explore("small, large", small_large, &level, 2, NULL), CLEAN);
		CHECK_EQ(explore("small, large, zap", small_large_zap, &level, 1, NULL), CLEAN);
	}
}

static void *move_thread(void *arg)
{
	(void)arg;
	clo_inval_begin(&mmu.inval, clo_range(0, 1));
	clo_table_move(mmu.table[0], mmu.table[1], clo_range(0, 1), NULL, NULL, NULL, NULL);
	clo_inval_end(&mmu.inval, clo_range(0, 1));
	return NULL;
}

/* A fault of the other kind; it has read its attribute before the conversion. */
static void *fault_other(void *arg)
{
	struct clo_inval_snap snap = clo_inval_snapshot(&mmu.inval, 0);
	struct clo_map_ctx ctx;

	(void)arg;
	if (clo_a32_get(&dead))
		return NULL;
	clo_rcu_read_lock();
	if (clo_table_map_begin(mmu.table[1], clo_gfn(0), CLO_LEVEL_2M, &ctx) == 0)
		clo_table_map_abort(&ctx);
	if (clo_table_map_begin(mmu.table[1], clo_gfn(0), CLO_LEVEL_4K, &ctx) == 0) {
		(void)clo_inval_retry(&mmu.inval, 0, snap);
		clo_table_map_abort(&ctx);
	}
	clo_rcu_read_unlock();
	return NULL;
}

static void move_and_fault(void *arg)
{
	struct clo_thread t[2];
	struct clo_leaf leaf;

	(void)arg;
	begin();
	fault(0, CLO_LEVEL_4K);
	spawn(&t[0], move_thread, NULL);
	spawn(&t[1], fault_other, NULL);
	clo_sched_quiet(false);
	join(&t[0]);
	join(&t[1]);
	clo_sched_quiet(true);
	if (clo_table_walk(mmu.table[0], clo_gfn(0), &leaf) ||
	    !clo_table_walk(mmu.table[1], clo_gfn(0), &leaf))
		clo_sched_stop(WRONG);
	finish();
}

static int in_one_table(void *arg, const struct clo_sched_step *step)
{
	struct clo_leaf a, b;

	(void)arg, (void)step;
	if (mmu.table[0] == NULL || mmu.table[1] == NULL)
		return CLEAN;
	return clo_table_walk(mmu.table[0], clo_gfn(0), &a) &&
			       clo_table_walk(mmu.table[1], clo_gfn(0), &b)
		       ? TWICE
		       : CLEAN;
}

TEST_TIMEOUT(a_moving_leaf_is_never_in_both_tables, 100)
{
	CHECK_EQ(explore("move, fault", move_and_fault, NULL, 2, in_one_table), CLEAN);
}
