/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/test_inval.c - the invalidation sequence by itself, against a naive model.
 */
#include "harness/test.h"
#include "sync/sync.h"

#define BLOCK 512ULL

static struct clo_inval iv;

static bool busy_everywhere(uint64_t blocks)
{
	for (uint64_t b = 0; b < blocks; b++)
		if (!clo_inval_busy(&iv, b * BLOCK))
			return false;
	return true;
}

TEST(nothing_happens)
{
	struct clo_inval_snap s = clo_inval_snapshot(&iv, 7);

	CHECK(!clo_inval_retry(&iv, 7, s));
	CHECK(!clo_inval_retry_any(&iv, s));
	CHECK(!clo_inval_busy(&iv, 7));
}

TEST(a_change_in_progress_is_a_retry)
{
	struct clo_range r = clo_range(BLOCK, 2 * BLOCK);
	struct clo_inval_snap before = clo_inval_snapshot(&iv, BLOCK);

	clo_inval_begin(&iv, r);

	struct clo_inval_snap within = clo_inval_snapshot(&iv, BLOCK);

	CHECK(clo_inval_busy(&iv, BLOCK));
	CHECK(clo_inval_retry(&iv, BLOCK, before));
	CHECK(clo_inval_retry(&iv, BLOCK, within));
	CHECK(clo_inval_retry_any(&iv, before));
	CHECK(clo_inval_retry_any(&iv, within));
	clo_inval_end(&iv, r);
	CHECK(!clo_inval_busy(&iv, BLOCK));
	CHECK(clo_inval_retry(&iv, BLOCK, before));
	CHECK(clo_inval_retry(&iv, BLOCK, within));
	CHECK(clo_inval_retry_any(&iv, within));

	struct clo_inval_snap after = clo_inval_snapshot(&iv, BLOCK);

	CHECK(!clo_inval_retry(&iv, BLOCK, after));
	CHECK(!clo_inval_retry_any(&iv, after));
}

TEST(small_changes_stay_local)
{
	struct clo_range r = clo_range(10 * BLOCK + 5, 10 * BLOCK + 6);
	struct clo_inval_snap near = clo_inval_snapshot(&iv, 10 * BLOCK);
	struct clo_inval_snap far = clo_inval_snapshot(&iv, 11 * BLOCK);

	clo_inval_begin(&iv, r);
	CHECK(clo_inval_retry(&iv, 10 * BLOCK, near));
	CHECK(!clo_inval_retry(&iv, 11 * BLOCK, far));
	CHECK(clo_inval_retry_any(&iv, far)); /* a 1G leaf at block 11 has block 10 in it */
	clo_inval_end(&iv, r);
	CHECK(!clo_inval_retry(&iv, 11 * BLOCK, far));
}

TEST(where_small_ends)
{
	struct clo_range fine = clo_range(BLOCK - 1, (CLO_INVAL_FINE - 1) * BLOCK + 1);
	struct clo_range large = clo_range(BLOCK - 1, CLO_INVAL_FINE * BLOCK + 1);

	clo_inval_begin(&iv, fine);
	CHECK(busy_everywhere(CLO_INVAL_FINE));
	CHECK(!clo_inval_busy(&iv, CLO_INVAL_FINE * BLOCK));
	clo_inval_end(&iv, fine);
	clo_inval_begin(&iv, large);
	CHECK(busy_everywhere(2ULL * CLO_INVAL_STRIPES));
	clo_inval_end(&iv, large);
	CHECK(!busy_everywhere(1));
}

TEST(an_empty_range_is_no_change)
{
	struct clo_inval_snap s = clo_inval_snapshot(&iv, 0);

	clo_inval_begin(&iv, clo_range(5, 5));
	clo_inval_end(&iv, clo_range(5, 5));
	clo_inval_begin(&iv, clo_range(0, 0));
	clo_inval_end(&iv, clo_range(0, 0));
	CHECK(!clo_inval_retry(&iv, 0, s));
	CHECK(!clo_inval_retry_any(&iv, s));
}

/* Many changes at once, at random: busy says no less than the truth, and all is quiet at the end.
 */
TEST(random_changes_against_a_list)
{
	struct clo_rand rnd = { test_seed() };
	struct clo_range open[16];
	struct clo_inval_snap snap[16];
	unsigned count = 0;
	unsigned exact = 0;

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t start = clo_rand_below(&rnd, 40 * BLOCK);

		if (count < 16 && clo_rand_below(&rnd, 2)) {
			open[count] = clo_range(start, start + 1 + clo_rand_below(&rnd, 3000));
			snap[count] = clo_inval_snapshot(&iv, open[count].start);
			clo_inval_begin(&iv, open[count]);
			count++;
		} else if (count > 0) {
			count--;
			clo_inval_end(&iv, open[count]);
			CHECK(clo_inval_retry(&iv, open[count].start, snap[count]));
			CHECK(clo_inval_retry_any(&iv, snap[count]));
		}

		uint64_t at = clo_rand_below(&rnd, 40 * BLOCK);
		bool covered = false;

		for (unsigned k = 0; k < count; k++)
			covered |= clo_range_contains(open[k], at);
		CHECK(!covered || clo_inval_busy(&iv, at));
		exact += covered == clo_inval_busy(&iv, at);
	}
	while (count > 0)
		clo_inval_end(&iv, open[--count]);
	for (uint64_t b = 0; b < CLO_INVAL_STRIPES; b++)
		CHECK(!clo_inval_busy(&iv, b * BLOCK));
	CHECK_LT(10000, exact);
}
