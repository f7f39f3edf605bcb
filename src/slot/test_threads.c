/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slot/test_threads.c - faults against creation, deletion and moves (I5). Also run under
 * ThreadSanitizer.
 *
 * A toy stage-2: one entry a gfn. A "fault" maps the slot's life number there; when a delete or
 * move has returned, nothing of the old slot may be in the table, now or later.
 */
#include "slot/test_fixture.h"

#define GFNS    64U
#define FAULTS  2U
#define FROZEN  UINT64_MAX
#define CHANGES 150U

struct toy {
	struct fixture f; /* first: flush gets it */
	struct clo_inval inval;
	struct clo_a64 entry[GFNS];
	struct clo_a32 stop;
	struct clo_a32 mapped;
	struct clo_a32 seeds;
	bool no_sequence; /* faults do not ask the invalidation sequence */
};

static struct toy toy;

static void flush(struct fixture *f, const struct clo_slot *slot)
{
	(void)f;
	clo_inval_begin(&toy.inval, slot->gfns);
	for (uint64_t gfn = slot->gfns.start; gfn < slot->gfns.end; gfn++) {
		uint64_t seen = clo_a64_get(&toy.entry[gfn]);

		while (seen == FROZEN || !clo_a64_cas(&toy.entry[gfn], &seen, 0)) {
			clo_relax();
			seen = clo_a64_get(&toy.entry[gfn]);
		}
	}
	clo_inval_end(&toy.inval, slot->gfns);
}

/* As clo_fault_handle(): sequence, slot, freeze, sequence, publish. */
static void fault(uint64_t gfn)
{
	struct clo_inval_snap snap;
	const struct clo_slot *slot;
	uint64_t none = 0;

	clo_rcu_read_lock();
	snap = clo_inval_snapshot(&toy.inval, gfn);
	slot = clo_slots_find(toy.f.s, 0, clo_gfn(gfn));
	if (slot && !(slot->flags & CLO_MEMSLOT_INVALID)) {
		CHECK(clo_range_contains(slot->gfns, gfn));
		if (clo_a64_cas(&toy.entry[gfn], &none, FROZEN)) {
			bool stale = !toy.no_sequence && clo_inval_retry(&toy.inval, gfn, snap);

			clo_a64_set(&toy.entry[gfn], stale ? 0 : slot->arch_id);
			if (!stale)
				clo_a32_add(&toy.mapped, 1);
		}
	}
	clo_rcu_read_unlock();
}

static void *faults(void *arg)
{
	struct clo_rand r = { clo_a32_add(&toy.seeds, 1) };

	(void)arg;
	while (!clo_a32_get(&toy.stop))
		fault(clo_rand_below(&r, GFNS));
	return NULL;
}

/* Nothing is mapped in [start, start + n). */
static void check_empty(uint64_t start, uint64_t n)
{
	for (uint64_t gfn = start; gfn < start + n; gfn++)
		CHECK_EQ(clo_a64_get(&toy.entry[gfn]), 0);
}

static void check_life(uint64_t start, uint64_t n, uint64_t life)
{
	for (uint64_t gfn = start; gfn < start + n; gfn++) {
		uint64_t e = clo_a64_get(&toy.entry[gfn]);

		CHECK(e == 0 || e == FROZEN || e == life);
	}
}

static void change(struct clo_rand *r, bool move)
{
	uint64_t life;

	CHECK_OK(set(&toy.f, region(1, 0, 16, 16)));
	life = at(&toy.f, 0, 0).arch_id;
	for (uint64_t i = clo_rand_below(r, 50); i > 0; i--)
		clo_relax();
	if (move) {
		CHECK_OK(set(&toy.f, region(1, 32, 16, 16)));
		check_empty(0, 16);
		check_life(32, 16, life);
	}
	CHECK_OK(set(&toy.f, region(1, 0, 0, 0)));
	check_empty(0, 16);
	for (uint64_t i = clo_rand_below(r, 20); i > 0; i--)
		clo_relax();
	check_empty(0, 16);
	check_empty(32, 16);
}

static void run(bool no_sequence)
{
	struct clo_thread t[FAULTS];
	struct clo_rand r = { test_seed() };

	memset(&toy, 0, sizeof(toy));
	fixture_open(&toy.f, 1, ALL_FLAGS);
	toy.f.in_flush = flush;
	toy.no_sequence = no_sequence;
	CHECK_OK(set(&toy.f, region(0, 20, 4, 16))); /* stands still */
	for (unsigned i = 0; i < FAULTS; i++)
		CHECK_OK(clo_thread_create(&t[i], faults, NULL));
	for (unsigned i = 0; i < CHANGES || !clo_a32_get(&toy.mapped); i++)
		change(&r, i % 2);
	clo_a32_set(&toy.stop, 1);
	for (unsigned i = 0; i < FAULTS; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	check_life(20, 4, 1);
	test_note("%u leaves mapped", clo_a32_get(&toy.mapped));
	fixture_close(&toy.f);
}

TEST_TIMEOUT(no_fault_maps_a_deleted_slot, 30)
{
	run(false);
}

/* The grace period alone is enough. */
TEST_TIMEOUT(nor_without_the_sequence, 30)
{
	run(true);
}

/* Files that close while their slots are deleted, and readers of the bindings. */
static void *bindings(void *arg)
{
	struct clo_rand r = { 1 };

	(void)arg;
	while (!clo_a32_get(&toy.stop)) {
		const struct clo_slot *slot;

		clo_rcu_read_lock();
		slot = clo_slots_find(toy.f.s, 0, clo_gfn(clo_rand_below(&r, 16)));
		if (slot && slot->binding) {
			struct clo_gmem *g = clo_aptr_get(&slot->binding->gmem);

			if (g) {
				CHECK_EQ(clo_gmem_owner(g), OWNER);
				clo_a32_add(&toy.mapped, 1);
			}
		}
		clo_rcu_read_unlock();
	}
	return NULL;
}

static void *closer(void *arg)
{
	clo_gmem_release(arg);
	return NULL;
}

TEST_TIMEOUT(close_against_delete, 30)
{
	struct clo_thread reader, c;

	memset(&toy, 0, sizeof(toy));
	fixture_open(&toy.f, 1, ALL_FLAGS);
	CHECK_OK(clo_thread_create(&reader, bindings, NULL));
	for (unsigned i = 0; i < 50 || !clo_a32_get(&toy.mapped); i++) {
		struct clo_gmem *g = file_open(&toy.f, 16, 0, OWNER);

		CHECK_OK(set(&toy.f, gmem_region(0, 0, 8, g, 0)));
		CHECK_OK(set(&toy.f, gmem_region(1, 8, 8, g, 8)));
		CHECK_OK(clo_thread_create(&c, closer, g));
		CHECK_OK(set(&toy.f, region(0, 0, 0, 0)));
		CHECK_OK(set(&toy.f, region(1, 0, 0, 0)));
		CHECK_OK(clo_thread_join(&c));
	}
	clo_a32_set(&toy.stop, 1);
	CHECK_OK(clo_thread_join(&reader));
	fixture_close(&toy.f);
}
