/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/test_base.c - ranges, types, random numbers, the clock, break switches.
 */
#include "base/base.h"
#include "harness/test.h"

#define SMALL 9U

/* Each range function against the set of numbers that it stands for. */
TEST(ranges_are_sets)
{
	for (uint64_t i = 0; i < SMALL * SMALL * SMALL * SMALL; i++) {
		struct clo_range a = clo_range(i % SMALL, i / SMALL % SMALL);
		struct clo_range b =
			clo_range(i / (SMALL * SMALL) % SMALL, i / (SMALL * SMALL * SMALL));
		uint64_t both = 0;

		if (a.start >= a.end || b.start >= b.end)
			continue;
		for (uint64_t n = 0; n < SMALL; n++)
			both += clo_range_contains(a, n) && clo_range_contains(b, n);
		CHECK_EQ(clo_range_overlaps(a, b), both > 0);
		CHECK_EQ(clo_range_overlaps(b, a), both > 0);

		struct clo_range clip = clo_range_clip(a, b);

		CHECK_EQ(clo_range_len(clip), both);
		for (uint64_t n = 0; n < SMALL; n++)
			CHECK_EQ(clo_range_contains(clip, n),
				 clo_range_contains(a, n) && clo_range_contains(b, n));
	}
}

TEST(empty_ranges_meet_nothing)
{
	CHECK(!clo_range_overlaps(clo_range(4, 4), clo_range(4, 8)));
	CHECK(!clo_range_contains(clo_range(4, 4), 4));
	CHECK_EQ(clo_range_len(clo_range_clip(clo_range(0, 4), clo_range(4, 8))), 0);
	CHECK_EQ(clo_range_len(clo_range(0, UINT64_MAX)), UINT64_MAX);
}

TEST(alignment)
{
	for (uint64_t align = 1; align <= 16; align *= 2) {
		for (uint64_t n = 0; n < 40; n++) {
			CHECK_EQ(clo_align_down(n, align), n / align * align);
			CHECK_EQ(clo_align_up(n, align), (n + align - 1) / align * align);
			CHECK_EQ(clo_is_aligned(n, align), n % align == 0);
		}
	}
}

TEST(frames_and_levels)
{
	CHECK_EQ(clo_gpa_to_gfn((struct clo_gpa){ 0x5fff }).n, 5);
	CHECK_EQ(clo_gfn_to_gpa(clo_gfn(5)).a, 0x5000);
	CHECK_EQ(clo_pfn(7).n, 7);
	CHECK_EQ(clo_level_order(CLO_LEVEL_1G), 18);
	CHECK_EQ(clo_level_pages(CLO_LEVEL_4K), 1);
	CHECK_EQ(clo_level_pages(CLO_LEVEL_2M), 512);
	CHECK_EQ(clo_level_pages(CLO_LEVEL_1G), 512 * 512);
}

TEST(random_numbers_are_those_of_splitmix64)
{
	/* The published sequence of the seed 1234567. */
	struct clo_rand r = { 1234567 };

	CHECK_EQ(clo_rand_next(&r), 6457827717110365317ULL);
	CHECK_EQ(clo_rand_next(&r), 3203168211198807973ULL);
	CHECK_EQ(clo_rand_next(&r), 9817491932198370423ULL);
}

TEST(random_numbers_stay_below_their_bound)
{
	static const uint64_t bounds[] = { 1, 2, 3, 7, 1000, 1ULL << 40, UINT64_MAX };
	struct clo_rand r = { test_seed() };
	unsigned hits[7] = { 0 };

	for (unsigned b = 0; b < CLO_ARRAY_SIZE(bounds); b++)
		for (unsigned i = 0; i < 1000; i++)
			CHECK_LT(clo_rand_below(&r, bounds[b]), bounds[b]);
	for (unsigned i = 0; i < 7000; i++)
		hits[clo_rand_below(&r, 7)]++;
	for (unsigned i = 0; i < 7; i++)
		CHECK_LT(800, hits[i]);
}

TEST(clock_does_not_go_back)
{
	uint64_t last = clo_now_ns();

	for (unsigned i = 0; i < 1000; i++) {
		uint64_t now = clo_now_ns();

		CHECK_LE(last, now);
		last = now;
	}
}

TEST(each_break_switch_has_its_name)
{
	for (unsigned i = 0; i < CLO_BREAK_COUNT; i++) {
		enum clo_break b = (enum clo_break)i;

		CHECK(clo_break_name(b) && clo_break_help(b));
		CHECK(strlen(clo_break_help(b)) > 0);
		CHECK_EQ(clo_break_parse(clo_break_name(b)), b);
		CHECK_EQ(strspn(clo_break_name(b), "abcdefghijklmnopqrstuvwxyz0123456789-"),
			 strlen(clo_break_name(b)));
	}
	CHECK_EQ(clo_break_parse("inval-seq"), CLO_BREAK_INVAL_SEQ);
	CHECK_EQ(clo_break_parse("prepare-lock"), CLO_BREAK_PREPARE_LOCK);
	CHECK_EQ(clo_break_parse("nothing-like-it"), CLO_BREAK_COUNT);
	CHECK_EQ(clo_break_parse(""), CLO_BREAK_COUNT);
	CHECK_EQ(clo_break_parse(NULL), CLO_BREAK_COUNT);
	CHECK(clo_break_name(CLO_BREAK_COUNT) == NULL);
	CHECK(clo_break_help(CLO_BREAK_COUNT) == NULL);
}

TEST(break_switches_are_apart)
{
	for (unsigned i = 0; i < CLO_BREAK_COUNT; i++)
		CHECK(!clo_broken((enum clo_break)i));
	clo_break_set(CLO_BREAK_UNDO, true);
	for (unsigned i = 0; i < CLO_BREAK_COUNT; i++)
		CHECK_EQ(clo_broken((enum clo_break)i), i == CLO_BREAK_UNDO);
	clo_break_set(CLO_BREAK_UNDO, false);
	CHECK(!clo_broken(CLO_BREAK_UNDO));
	/* Nothing to break, and no such switch. */
	clo_break_set(CLO_BREAK_NONE, true);
	clo_break_set(CLO_BREAK_COUNT, true);
	CHECK(!clo_broken(CLO_BREAK_NONE) && !clo_broken(CLO_BREAK_COUNT));
}
