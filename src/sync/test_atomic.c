/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/test_atomic.c - what each atomic operation returns and leaves behind; both builds.
 */
#include "harness/test.h"
#include "sync/sync.h"

TEST(zero_filled_memory_is_a_value)
{
	struct clo_a32 a = { 0 };
	struct clo_a64 b = { 0 };
	struct clo_aptr p = { 0 };

	CHECK_EQ(clo_a32_get(&a), 0);
	CHECK_EQ(clo_a64_get(&b), 0);
	CHECK(clo_aptr_get(&p) == NULL);
}

TEST(a32)
{
	struct clo_a32 a;
	uint32_t seen;

	clo_a32_init(&a, 5);
	CHECK_EQ(clo_a32_get_relaxed(&a), 5);
	CHECK_EQ(clo_a32_add(&a, 3), 5);
	CHECK_EQ(clo_a32_sub(&a, 9), 8);
	CHECK_EQ(clo_a32_get_sc(&a), UINT32_MAX);
	CHECK_EQ(clo_a32_and(&a, 0xf0), UINT32_MAX);
	CHECK_EQ(clo_a32_or(&a, 0x0f), 0xf0);
	CHECK_EQ(clo_a32_xchg(&a, 1), 0xff);
	seen = 2;
	CHECK(!clo_a32_cas(&a, &seen, 3));
	CHECK_EQ(seen, 1);
	CHECK(clo_a32_cas(&a, &seen, 3));
	CHECK_EQ(seen, 1);
	CHECK_EQ(clo_a32_get(&a), 3);
	clo_a32_set(&a, 4);
	CHECK_EQ(clo_a32_get(&a), 4);
	clo_a32_set_relaxed(&a, 5);
	CHECK_EQ(clo_a32_get(&a), 5);
	clo_a32_set_sc(&a, 6);
	CHECK_EQ(clo_a32_get(&a), 6);
}

TEST(a64)
{
	const uint64_t big = 1ULL << 40;
	struct clo_a64 a;
	uint64_t seen;

	clo_a64_init(&a, big);
	CHECK_EQ(clo_a64_get_relaxed(&a), big);
	CHECK_EQ(clo_a64_add(&a, big), big);
	CHECK_EQ(clo_a64_sub(&a, 2 * big + 1), 2 * big);
	CHECK_EQ(clo_a64_get_sc(&a), UINT64_MAX);
	CHECK_EQ(clo_a64_and(&a, big), UINT64_MAX);
	CHECK_EQ(clo_a64_or(&a, 1), big);
	CHECK_EQ(clo_a64_xchg(&a, 1), big + 1);
	seen = 2;
	CHECK(!clo_a64_cas(&a, &seen, big));
	CHECK_EQ(seen, 1);
	CHECK(clo_a64_cas(&a, &seen, big));
	CHECK_EQ(clo_a64_get(&a), big);
	clo_a64_set(&a, 4);
	CHECK_EQ(clo_a64_get(&a), 4);
	clo_a64_set_relaxed(&a, 5);
	CHECK_EQ(clo_a64_get(&a), 5);
	clo_a64_set_sc(&a, 6);
	CHECK_EQ(clo_a64_get(&a), 6);
}

TEST(aptr)
{
	int x;
	int y;
	void *seen = &y;
	struct clo_aptr a;

	clo_aptr_init(&a, &x);
	CHECK(clo_aptr_get(&a) == &x && clo_aptr_get_relaxed(&a) == &x &&
	      clo_aptr_get_sc(&a) == &x);
	CHECK(!clo_aptr_cas(&a, &seen, NULL));
	CHECK(seen == &x);
	CHECK(clo_aptr_cas(&a, &seen, &y));
	CHECK(clo_aptr_xchg(&a, NULL) == &y);
	clo_aptr_set(&a, &x);
	CHECK(clo_aptr_get(&a) == &x);
	clo_aptr_set_relaxed(&a, &y);
	CHECK(clo_aptr_get(&a) == &y);
	clo_aptr_set_sc(&a, NULL);
	CHECK(clo_aptr_get(&a) == NULL);
}

TEST(statistics)
{
	struct clo_stat s = { 0 };

	clo_stat_add(&s, 2);
	clo_stat_add_local(&s, 3);
	CHECK_EQ(clo_stat_get(&s), 5);
}
