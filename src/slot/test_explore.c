/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slot/test_explore.c - a fault against the deletion of its slot, under all schedules with few
 * preemptions (I5).
 */
#include "harness/dfs.h"
#include "slot/test_fixture.h"

static struct dfs dfs;

/* A stage-2 of one entry: 0, or the life of the slot that maps it. */
struct scene {
	struct fixture f; /* first: flush gets it */
	struct clo_inval inval;
	struct clo_a64 entry;
	bool no_sequence;
	bool move;
	unsigned stale; /* over all runs: mapped when the deletion has returned */
	unsigned seen;
};

#define FROZEN UINT64_MAX
#define GFN    8U

static void flush(struct fixture *f, const struct clo_slot *slot)
{
	struct scene *s = (struct scene *)(void *)f;
	uint64_t seen = clo_a64_get(&s->entry);

	clo_inval_begin(&s->inval, slot->gfns);
	while (seen == FROZEN || !clo_a64_cas(&s->entry, &seen, 0)) {
		clo_relax();
		seen = clo_a64_get(&s->entry);
	}
	clo_inval_end(&s->inval, slot->gfns);
}

static void *fault(void *arg)
{
	struct scene *s = arg;
	struct clo_inval_snap snap;
	const struct clo_slot *slot;
	uint64_t none = 0;

	clo_rcu_read_lock();
	snap = clo_inval_snapshot(&s->inval, GFN);
	slot = clo_slots_find(s->f.s, 0, clo_gfn(GFN));
	if (!slot) {
		s->seen |= 1;
	} else if (slot->flags & CLO_MEMSLOT_INVALID) {
		s->seen |= 2;
	} else if (clo_a64_cas(&s->entry, &none, FROZEN)) {
		bool refused = !s->no_sequence && clo_inval_retry(&s->inval, GFN, snap);

		clo_a64_set(&s->entry, refused ? 0 : slot->arch_id);
		s->seen |= refused ? 4 : 8;
	}
	clo_rcu_read_unlock();
	return NULL;
}

static void *deleter(void *arg)
{
	struct scene *s = arg;

	CHECK_OK(set(&s->f, region(0, s->move ? 64 : 0, s->move ? 16 : 0, 16)));
	if (clo_a64_get(&s->entry) != 0)
		s->stale++;
	return NULL;
}

static bool count_instead;

static void *count(void *arg)
{
	struct scene *s = arg;

	CHECK_LE(clo_slots_count(s->f.s), 1U);
	return NULL;
}

static void run_scene(void *arg)
{
	struct scene *s = arg;
	struct clo_thread t[2];

	clo_sched_quiet(true);
	fixture_open(&s->f, 1, ALL_FLAGS);
	s->f.in_flush = flush;
	memset(&s->inval, 0, sizeof(s->inval));
	clo_a64_init(&s->entry, 0);
	CHECK_OK(set(&s->f, region(0, 0, 16, 16)));
	CHECK_OK(clo_thread_create(&t[0], count_instead ? count : fault, s));
	CHECK_OK(clo_thread_create(&t[1], deleter, s));
	clo_sched_quiet(false);
	CHECK_OK(clo_thread_join(&t[0]));
	CHECK_OK(clo_thread_join(&t[1]));
	if (clo_a64_get(&s->entry) != 0)
		s->stale++;
	fixture_close(&s->f);
}

static void explore(struct scene *s)
{
	dfs = (struct dfs){ .main_fn = run_scene, .arg = s, .bound = 2 };
	dfs_all_end(&dfs);
	test_note("%llu runs, outcomes %#x, stale %u", (unsigned long long)dfs.runs, s->seen,
		  s->stale);
}

TEST_TIMEOUT(delete_against_fault, 60)
{
	for (unsigned move = 0; move < 2; move++) {
		struct scene s = { .move = move };

		explore(&s);
		CHECK_EQ(s.stale, 0U);
		CHECK_EQ(s.seen & 11, 11U); /* gone, INVALID, mapped in time */
	}
}

/* The grace period alone is enough. */
TEST_TIMEOUT(delete_against_fault_without_the_sequence, 60)
{
	struct scene s = { .no_sequence = true };

	explore(&s);
	CHECK_EQ(s.stale, 0U);
}

TEST_TIMEOUT(break_slot_sync_leaves_a_stale_leaf, 60)
{
	struct scene s = { .stale = 0 };

	clo_break_set(CLO_BREAK_SLOT_SYNC, true);
	explore(&s);
	CHECK_LT(0, s.stale);
}

/* The array of memslots goes while they are counted. (AddressSanitizer ends the test at the read.)
 */
#ifndef CLO_SANITIZED
TEST_TIMEOUT(count_beside_a_deletion, 60)
{
	struct scene s = { .stale = 0 };

	count_instead = true;
	dfs = (struct dfs){ .main_fn = run_scene, .arg = &s, .bound = 1, .pointers = true };
	CHECK(!dfs_search(&dfs, CLO_SCHED_FAULT));
	CHECK(clo_rcu_site_break("slot/slot.c:clo_slots_count", true));
	dfs = (struct dfs){ .main_fn = run_scene, .arg = &s, .bound = 1, .pointers = true };
	CHECK(dfs_search(&dfs, CLO_SCHED_FAULT));
	test_note("%s", dfs.last.report);
}
#endif
