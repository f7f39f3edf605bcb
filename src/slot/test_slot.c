/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slot/test_slot.c - KVM's errno, cause by cause and in KVM's order; the steps of each change;
 * files; holes.
 */
#include "slot/slot_internal.h"
#include "slot/test_fixture.h"

/* A change publishes another one. */
static const void *published(const struct clo_slots *s)
{
	return clo_aptr_get(&s->space[0].array);
}

/* What clo_slots_set_region() refuses has changed nothing. */
static int tried(struct fixture *f, struct clo_region r)
{
	const void *before = published(f->s);
	size_t count = clo_slots_count(f->s);
	unsigned flushes = f->flushes;
	int ret = clo_slots_set_region(f->s, &r);

	CHECK_NE(ret, 0);
	CHECK(published(f->s) == before);
	CHECK_EQ(clo_slots_count(f->s), count);
	CHECK_EQ(f->flushes, flushes);
	return ret;
}

static struct clo_region with_flags(struct clo_region r, uint32_t flags)
{
	r.flags = flags;
	return r;
}

TEST(invalid_numbers)
{
	const uint64_t hva_end = (1ULL << 47) - PAGE;
	struct clo_region r;
	struct fixture f;

	fixture_open(&f, 1, ALL_FLAGS);
	r = region(0, 0, 1, 16);
	r.memory_size++;
	CHECK_ERR(tried(&f, r), -EINVAL);
	r = region(0, 0, 1, 16);
	r.guest_phys_addr++;
	CHECK_ERR(tried(&f, r), -EINVAL);
	r = region(0, 0, 1, 16);
	r.userspace_addr++;
	CHECK_ERR(tried(&f, r), -EINVAL);
	CHECK_ERR(tried(&f, region(0, 0, 1, hva_end / PAGE)), -EINVAL);
	CHECK_ERR(tried(&f, region(0, 0, 1, 1ULL << 51)), -EINVAL); /* kernel half */
	CHECK_ERR(tried(&f, region(0, 0, 1, 1ULL << 47)), -EINVAL); /* a tag */
	r = gmem_region(0, 0, 1, NULL, 0);
	r.guest_memfd_offset = 1;
	CHECK_ERR(tried(&f, r), -EINVAL);
	CHECK_ERR(tried(&f, gmem_region(0, 0, 2, NULL, (1ULL << 52) - 1)), -EINVAL);
	CHECK_ERR(tried(&f, region(1U << 16, 0, 1, 16)), -EINVAL); /* no such address space */
	CHECK_ERR(tried(&f, region(CLO_SLOT_ID_MAX, 0, 1, 16)), -EINVAL);
	CHECK_ERR(tried(&f, region(0, (1ULL << 52) - 1, 1, 16)), -EINVAL); /* gpa wraps to 0 */
	CHECK_ERR(tried(&f, region(0, (1ULL << 52) - 1, 2, 16)), -EINVAL);
	CHECK_ERR(tried(&f, region(0, 0, CLO_SLOT_MAX_PAGES + 1, 16)), -EINVAL);
	CHECK_ERR(tried(&f, region(0, 0, 0, 16)), -EINVAL); /* delete of an absent slot */
	/* The last good value of each. */
	CHECK_OK(set(&f, region(CLO_SLOT_ID_MAX - 1, (1ULL << 52) - 2, 1, hva_end / PAGE - 1)));
	CHECK_OK(set(&f, region(0, 0, CLO_SLOT_MAX_PAGES, 16)));
	CHECK_EQ(clo_slots_count(f.s), 2);
	fixture_close(&f);
}

TEST(flags_by_vm_type)
{
	struct fixture f;

	fixture_open(&f, 1, ALL_FLAGS);
	for (uint32_t bit = 0; bit < 32; bit++) {
		struct clo_region r = with_flags(region(0, 0, 1, 16), 1U << bit);

		if ((1U << bit) & ~ALL_FLAGS)
			CHECK_ERR(tried(&f, r), -EINVAL); /* also KVM's internal bits 16 and 17 */
	}
	CHECK_ERR(
		tried(&f, with_flags(region(0, 0, 1, 16), CLO_MEM_GUEST_MEMFD | CLO_MEM_LOG_DIRTY)),
		-EINVAL);
	CHECK_ERR(
		tried(&f, with_flags(region(0, 0, 1, 16), CLO_MEM_GUEST_MEMFD | CLO_MEM_READONLY)),
		-EINVAL);
	/* Flags count for a delete too. */
	CHECK_OK(set(&f, region(0, 0, 1, 16)));
	CHECK_ERR(tried(&f, with_flags(region(0, 0, 0, 16), 1U << 5)), -EINVAL);
	fixture_close(&f);

	fixture_open(&f, 1, CLO_MEM_LOG_DIRTY);
	CHECK_ERR(tried(&f, with_flags(region(0, 0, 1, 16), CLO_MEM_READONLY)), -EINVAL);
	CHECK_ERR(tried(&f, with_flags(region(0, 0, 1, 16), CLO_MEM_GUEST_MEMFD)), -EINVAL);
	CHECK_OK(set(&f, with_flags(region(0, 0, 1, 16), CLO_MEM_LOG_DIRTY)));
	fixture_close(&f);
}

TEST(changes_of_a_slot)
{
	struct fixture f;
	struct clo_slot first;
	const void *before;

	fixture_open(&f, 1, ALL_FLAGS);
	CHECK_OK(set(&f, region(3, 100, 10, 16)));
	first = at(&f, 0, 100);
	CHECK_EQ(first.id, 3U);
	CHECK_EQ(clo_slot_hva(&first, clo_gfn(104)).a, 20 * PAGE);
	CHECK(none_at(&f, 0, 99) && none_at(&f, 0, 110) && none_at(&f, 1, 100));

	before = published(f.s);
	CHECK_OK(set(&f, region(3, 100, 10, 16))); /* the same again */
	CHECK(published(f.s) == before);
	CHECK_ERR(tried(&f, region(3, 100, 11, 16)), -EINVAL); /* size */
	CHECK_ERR(tried(&f, region(3, 100, 9, 16)), -EINVAL);
	CHECK_ERR(tried(&f, region(3, 100, 10, 17)), -EINVAL); /* hva */
	CHECK_ERR(tried(&f, with_flags(region(3, 100, 10, 16), CLO_MEM_READONLY)), -EINVAL);
	CHECK_ERR(tried(&f, with_flags(region(3, 100, 10, 16), CLO_MEM_GUEST_MEMFD)), -EINVAL);

	CHECK_OK(set(&f, with_flags(region(3, 100, 10, 16), CLO_MEM_LOG_DIRTY)));
	CHECK_EQ(f.protects, 1U);
	CHECK_EQ(f.last.flags, CLO_MEM_LOG_DIRTY);
	CHECK_EQ(at(&f, 0, 100).flags, CLO_MEM_LOG_DIRTY);
	CHECK_EQ(at(&f, 0, 100).arch_id, first.arch_id);
	CHECK_OK(set(&f, region(3, 100, 10, 16)));
	CHECK_EQ(f.protects, 1U); /* off: nothing to protect */
	CHECK_EQ(f.flushes, 0U);

	CHECK_OK(set(&f, region(3, 105, 10, 16))); /* move, over its own old place */
	CHECK_EQ(f.flushes, 1U);
	CHECK_EQ(f.last.gfns.start, 100);
	CHECK_EQ(f.settled.start, 100);
	CHECK(none_at(&f, 0, 104));
	CHECK_EQ(at(&f, 0, 114).arch_id, first.arch_id);
	CHECK_EQ(clo_slots_count(f.s), 1);

	CHECK_OK(set(&f, region(3, 0, 0, 0))); /* delete looks at the id only */
	CHECK_EQ(f.flushes, 2U);
	CHECK_EQ(f.last.gfns.start, 105);
	CHECK_EQ(f.settled.start, 105);
	CHECK_EQ(clo_slots_count(f.s), 0);
	CHECK(none_at(&f, 0, 110));
	CHECK_OK(set(&f, region(3, 100, 10, 16)));
	CHECK_NE(at(&f, 0, 100).arch_id, first.arch_id);
	fixture_close(&f);
}

TEST(overlap)
{
	struct fixture f;

	fixture_open(&f, 2, ALL_FLAGS);
	CHECK_OK(set(&f, region(0, 100, 10, 16)));
	CHECK_OK(set(&f, region(1, 120, 10, 16)));
	CHECK_ERR(tried(&f, region(2, 99, 2, 16)), -EEXIST);
	CHECK_ERR(tried(&f, region(2, 109, 1, 16)), -EEXIST);
	CHECK_ERR(tried(&f, region(2, 0, 1000, 16)), -EEXIST);
	CHECK_ERR(tried(&f, region(2, 105, 20, 16)), -EEXIST);
	CHECK_ERR(tried(&f, region(0, 111, 10, 16)), -EEXIST); /* move onto another */
	CHECK_OK(set(&f, region(2, 110, 10, 16)));             /* fits exactly */
	CHECK_OK(set(&f, region(1U << 16, 100, 10, 16)));      /* another address space */
	CHECK_EQ(at(&f, 1, 100).id, 1U << 16);
	/* Overlap is asked before the file is. */
	CHECK_ERR(tried(&f, gmem_region(5, 100, 1, NULL, 0)), -EEXIST);
	fixture_close(&f);
}

TEST(files)
{
	struct fixture f;
	struct clo_gmem *g, *other, *mapped;
	struct clo_slot slot;

	fixture_open(&f, 1, ALL_FLAGS);
	g = file_open(&f, 16, 0, OWNER);
	other = file_open(&f, 16, 0, OWNER + 1);
	mapped = file_open(&f, 16, CLO_GMEM_MMAP, OWNER);
	CHECK_ERR(tried(&f, gmem_region(0, 100, 4, NULL, 0)), -EBADF);
	CHECK_ERR(tried(&f, gmem_region(0, 100, 4, other, 0)), -EINVAL);
	CHECK_ERR(tried(&f, gmem_region(0, 100, 4, g, 13)), -EINVAL); /* beyond the end */
	CHECK_ERR(tried(&f, gmem_region(0, 100, 17, g, 0)), -EINVAL);
	CHECK_OK(set(&f, gmem_region(0, 100, 4, g, 8)));
	slot = at(&f, 0, 102);
	CHECK_EQ(clo_slot_index(&slot, clo_gfn(102)), 10);
	CHECK_EQ((uintptr_t)clo_aptr_get(&slot.binding->gmem), (uintptr_t)g);
	CHECK_EQ(slot.flags, CLO_MEM_GUEST_MEMFD);
	/* The range is bound, here and in any other slot; what is beside it is not. */
	CHECK_ERR(tried(&f, gmem_region(1, 200, 4, g, 11)), -EEXIST);
	CHECK_ERR(tried(&f, gmem_region(1, 200, 16, g, 0)), -EEXIST);
	CHECK_OK(set(&f, gmem_region(1, 200, 4, g, 12)));
	CHECK_OK(set(&f, gmem_region(2, 300, 8, g, 0)));
	CHECK_OK(set(&f, gmem_region(4, 400, 16, mapped, 0)));
	CHECK_EQ(at(&f, 0, 400).flags, CLO_MEM_GUEST_MEMFD | CLO_MEMSLOT_GMEM_ONLY);
	/* Immutable: not even the same again. */
	CHECK_ERR(tried(&f, gmem_region(0, 100, 4, g, 8)), -EINVAL);
	CHECK_ERR(tried(&f, gmem_region(0, 110, 4, g, 8)), -EINVAL);
	CHECK_ERR(tried(&f, region(0, 100, 4, 0)), -EINVAL);
	CHECK_ERR(tried(&f, with_flags(region(0, 100, 4, 0), CLO_MEM_LOG_DIRTY)), -EINVAL);
	/* Delete frees the range. */
	CHECK_OK(set(&f, region(0, 0, 0, 0)));
	CHECK_OK(set(&f, gmem_region(0, 500, 4, g, 8)));
	/* A closed file: the slots stay, and nothing new is bound to it. */
	clo_gmem_get(g);
	clo_gmem_release(g);
	CHECK(clo_aptr_get(&at(&f, 0, 500).binding->gmem) == NULL);
	CHECK_OK(set(&f, region(0, 0, 0, 0)));
	CHECK_ERR(tried(&f, gmem_region(0, 500, 4, g, 8)), -EBADF);
	clo_gmem_put(g);
	clo_gmem_release(other);
	clo_gmem_release(mapped);
	fixture_close(&f);
}

/* What readers see while the old mappings are flushed. */
static void see_invalid(struct fixture *f, const struct clo_slot *slot)
{
	struct clo_slot seen = at(f, 0, slot->gfns.start);

	CHECK(slot->flags & CLO_MEMSLOT_INVALID);
	CHECK_EQ(seen.flags, slot->flags);
	CHECK_EQ(seen.id, slot->id);
	CHECK(none_at(f, 0, 1000)); /* where a move goes */
	CHECK_EQ((uintptr_t)seen.binding, (uintptr_t)slot->binding);
}

static int count_slot(void *arg, const struct clo_slot *slot, struct clo_range overlap)
{
	unsigned *n = arg;

	(void)slot;
	*n += (unsigned)clo_range_len(overlap);
	return 0;
}

static void see_no_invalid(struct fixture *f, const struct clo_slot *slot)
{
	unsigned pages = 0;

	see_invalid(f, slot);
	CHECK_OK(clo_slots_for_each(f->s, 0, clo_range(0, UINT64_MAX), count_slot, &pages));
	CHECK_EQ(pages, 1U); /* the other slot */
}

TEST(invalid_while_flushed)
{
	struct fixture f;
	struct clo_gmem *g;

	fixture_open(&f, 1, ALL_FLAGS);
	f.in_flush = see_no_invalid;
	g = file_open(&f, 16, 0, OWNER);
	CHECK_OK(set(&f, region(9, 50, 1, 16)));
	CHECK_OK(set(&f, region(0, 100, 10, 16)));
	CHECK_OK(set(&f, region(0, 1000, 10, 16)));
	CHECK_EQ(at(&f, 0, 1000).flags, 0U);
	CHECK(none_at(&f, 0, 100));
	f.in_flush = NULL;
	CHECK_OK(set(&f, region(0, 0, 0, 0)));
	f.in_flush = see_no_invalid;
	CHECK_OK(set(&f, gmem_region(0, 100, 10, g, 0)));
	CHECK_OK(set(&f, region(0, 0, 0, 0)));
	CHECK_EQ(f.flushes, 3U);
	clo_gmem_release(g);
	fixture_close(&f);
}

static void see_valid(struct fixture *f, const struct clo_slot *slot)
{
	CHECK_EQ(at(f, 0, slot->gfns.start).flags & CLO_MEMSLOT_INVALID, 0U);
}

/* Without the step a fault behind the flush would still find the slot valid. */
TEST(break_slot_sync)
{
	struct fixture f;

	fixture_open(&f, 1, ALL_FLAGS);
	CHECK_OK(set(&f, region(0, 100, 10, 16)));
	clo_break_set(CLO_BREAK_SLOT_SYNC, true);
	f.in_flush = see_valid;
	CHECK_OK(set(&f, region(0, 0, 0, 0)));
	CHECK_EQ(f.flushes, 1U);
	fixture_close(&f);
}

TEST(for_each)
{
	struct fixture f;
	unsigned pages = 0;

	fixture_open(&f, 1, ALL_FLAGS);
	CHECK_OK(clo_slots_for_each(f.s, 0, clo_range(0, 10), count_slot, &pages));
	for (uint32_t i = 0; i < 5; i++)
		CHECK_OK(set(&f, region(i, 20 * i, 10, 16)));
	CHECK_OK(clo_slots_for_each(f.s, 0, clo_range(10, 20), count_slot, &pages));
	CHECK_OK(clo_slots_for_each(f.s, 1, clo_range(0, 20), count_slot, &pages));
	CHECK_OK(clo_slots_for_each(f.s, 0, clo_range(5, 5), count_slot, &pages));
	CHECK_OK(clo_slots_for_each(f.s, 0, clo_range(90, 500), count_slot, &pages));
	CHECK_EQ(pages, 0U);
	CHECK_OK(clo_slots_for_each(f.s, 0, clo_range(5, 43), count_slot, &pages));
	CHECK_EQ(pages, 5U + 10U + 3U);
	fixture_close(&f);
}

/* Each change, with each of its allocations failing. */
static void with_failures(struct fixture *f, struct clo_region r)
{
	uint64_t n = 1;

	clo_rcu_barrier();
	for (;; n++) {
		uint64_t live = clo_alloc_live();
		const void *before = published(f->s);
		int ret;

		clo_alloc_fail_at(n);
		ret = clo_slots_set_region(f->s, &r);
		clo_alloc_fail_at(0);
		if (ret == 0)
			break;
		CHECK_ERR(ret, -ENOMEM);
		CHECK_EQ(clo_alloc_live(), live);
		CHECK(published(f->s) == before);
		CHECK_LT(n, 12);
	}
	CHECK_LT(1, n);
}

TEST(allocation_failures)
{
	struct clo_slots_config cfg = { .as_count = 1 };
	struct clo_slots *none = NULL;
	struct fixture f;
	struct clo_gmem *g;
	uint64_t live = clo_alloc_live();

	clo_alloc_fail_at(1);
	CHECK_ERR(clo_slots_create(&cfg, &none), -ENOMEM);
	clo_alloc_fail_at(0);
	CHECK(none == NULL);
	clo_slots_destroy(NULL);

	fixture_open(&f, 1, ALL_FLAGS);
	g = file_open(&f, 16, 0, OWNER);
	with_failures(&f, region(0, 100, 10, 16));
	with_failures(&f, with_flags(region(0, 100, 10, 16), CLO_MEM_LOG_DIRTY));
	with_failures(&f, region(0, 200, 10, 16));
	with_failures(&f, gmem_region(1, 300, 10, g, 0));
	for (uint64_t n = 1; n < 4; n++) {
		clo_alloc_fail_at(n);
		CHECK_ERR(clo_slots_track_holes(f.s, 0), -ENOMEM);
	}
	clo_alloc_fail_at(0);
	CHECK_OK(clo_slots_track_holes(f.s, 0));
	with_failures(&f, region(0, 0, 0, 0));
	with_failures(&f, region(1, 0, 0, 0));
	clo_gmem_release(g);
	fixture_close(&f);
	CHECK_EQ(clo_alloc_live(), live);
}

TEST(holes)
{
	struct fixture f;
	struct clo_slot slot;

	fixture_open(&f, 1, ALL_FLAGS);
	CHECK_ERR(clo_slots_track_holes(f.s, 0), -ENOENT);
	CHECK_ERR(clo_slots_track_holes(f.s, 1U << 16), -ENOENT);
	CHECK_OK(set(&f, region(0, 100, 200, 16)));
	CHECK_ERR(clo_slots_track_holes(f.s, 1), -ENOENT);
	slot = at(&f, 0, 100);
	clo_slot_set_holes(&slot, clo_range(100, 300), false); /* no bitmap: nothing */
	CHECK(!clo_slot_is_hole(&slot, clo_gfn(100)));
	CHECK_OK(clo_slots_track_holes(f.s, 0));
	CHECK_OK(clo_slots_track_holes(f.s, 0));
	slot = at(&f, 0, 100);
	for (uint64_t gfn = 100; gfn < 300; gfn++)
		CHECK(!clo_slot_is_hole(&slot, clo_gfn(gfn)));
	clo_slot_set_holes(&slot, clo_range(110, 240), false);
	clo_slot_set_holes(&slot, clo_range(120, 121), true);
	clo_slot_set_holes(&slot, clo_range(290, 400), false); /* only what is inside */
	clo_slot_set_holes(&slot, clo_range(0, 100), false);
	clo_slot_set_holes(&slot, clo_range(300, 400), false);
	/* They stay with the slot when it changes and moves. */
	CHECK_OK(set(&f, with_flags(region(0, 100, 200, 16), CLO_MEM_LOG_DIRTY)));
	CHECK_OK(set(&f, with_flags(region(0, 1100, 200, 16), CLO_MEM_LOG_DIRTY)));
	slot = at(&f, 0, 1100);
	for (uint64_t gfn = 100; gfn < 300; gfn++) {
		bool hole = (gfn >= 110 && gfn < 240 && gfn != 120) || gfn >= 290;

		CHECK_EQ(clo_slot_is_hole(&slot, clo_gfn(gfn + 1000)), hole);
	}
	CHECK_OK(set(&f, region(0, 0, 0, 0)));
	CHECK_OK(set(&f, region(0, 100, CLO_SLOT_MAX_PAGES, 16))); /* a large one is sparse */
	CHECK_OK(clo_slots_track_holes(f.s, 0));
	slot = at(&f, 0, 100);
	clo_slot_set_holes(&slot, clo_range(slot.gfns.end - 1, slot.gfns.end), false);
	CHECK(clo_slot_is_hole(&slot, clo_gfn(slot.gfns.end - 1)));
	CHECK(!clo_slot_is_hole(&slot, clo_gfn(slot.gfns.end - 2)));
	fixture_close(&f);
}

TEST(lock_is_shared_by_conversions)
{
	struct fixture f;

	fixture_open(&f, 1, ALL_FLAGS);
	CHECK_OK(set(&f, region(0, 100, 10, 16)));
	clo_slots_lock_shared(f.s);
	CHECK_EQ(clo_slots_find(f.s, 0, clo_gfn(100))->id, 0U);
	clo_slots_unlock(f.s);
	fixture_close(&f);
}

static void nothing_mapped(void *arg, const struct clo_slot *slot)
{
	(void)arg;
	(void)slot;
}

static void nothing_used(void *arg, struct clo_range gfns)
{
	(void)arg;
	(void)gfns;
}

TEST(beyond_the_stage2_table)
{
	struct fixture f;
	struct clo_slots_config cfg = {
		.as_count = 1,
		.valid_flags = ALL_FLAGS,
		.owner = OWNER,
		.gfn_end = 1000,
		.flush = nothing_mapped,
		.settle = nothing_used,
	};
	struct clo_slots *s = NULL;
	struct clo_region last = region(0, 990, 10, 16), beyond = region(1, 991, 10, 16);
	struct clo_region gmem = beyond;

	fixture_open(&f, 1, ALL_FLAGS);
	cfg.db = f.db;
	CHECK_OK(clo_slots_create(&cfg, &s));
	CHECK_ERR(clo_slots_set_region(s, &beyond), -EINVAL);
	CHECK_OK(clo_slots_set_region(s, &last));
	last.guest_phys_addr += CLO_PAGE_SIZE;
	CHECK_ERR(clo_slots_set_region(s, &last), -EINVAL);
	/* The file is as free as before. */
	gmem.gmem = file_open(&f, 16, 0, OWNER);
	gmem.flags = CLO_MEM_GUEST_MEMFD;
	CHECK_OK(clo_slots_set_region(
		s, &(struct clo_region){ .size = sizeof(struct clo_region), .slot = 0 }));
	CHECK_ERR(clo_slots_set_region(s, &gmem), -EINVAL);
	gmem.guest_phys_addr = 0;
	CHECK_OK(clo_slots_set_region(s, &gmem));
	clo_slots_destroy(s);
	clo_gmem_release(gmem.gmem);
	fixture_close(&f);
}
