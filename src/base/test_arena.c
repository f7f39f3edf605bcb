/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/test_arena.c - the memory of explored runs.
 */
#include "base/base.h"
#include "harness/test.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define HAVE_ASAN 1
#endif

#define ARENA (1U << 20)

TEST(a_run_begins_with_the_same_addresses)
{
	void *heap = clo_alloc(100);
	uint64_t before = clo_alloc_live();
	const void *first[3] = { NULL };

	for (unsigned run = 0; run < 3; run++) {
		CHECK(clo_arena_begin(ARENA));

		unsigned char *p[3] = { clo_alloc(33), clo_alloc_aligned(4096, 4096),
					clo_alloc_sparse(1 << 22) };

		for (unsigned i = 0; i < 3; i++) {
			CHECK(p[i] && p[i][0] == 0 && p[i][32] == 0);
			CHECK(!first[i] || first[i] == p[i]);
			first[i] = p[i];
			memset(p[i], 0xee, 33);
			CHECK_EQ(clo_arena_state(p[i]), CLO_ARENA_LIVE);
		}
		CHECK(clo_is_aligned((uintptr_t)p[1], 4096));
		CHECK_EQ(clo_arena_state(heap), CLO_ARENA_OUTSIDE);
		CHECK_LT(0, clo_arena_live());
		clo_arena_end();
		CHECK_EQ(clo_arena_state(p[0]), CLO_ARENA_OUTSIDE);
		CHECK_EQ(clo_alloc_live(), before);
	}
	clo_free(heap);
}

TEST(freed_memory_is_known_and_not_used_again)
{
	CHECK(clo_arena_begin(ARENA));

	unsigned char *p = clo_alloc(40);
	unsigned char *s = clo_alloc_sparse(1 << 22);

	CHECK_EQ(clo_arena_state(p - 1), CLO_ARENA_NEVER);
	clo_free(p);
	clo_free_sparse(s, 1 << 22);
	CHECK_EQ(clo_arena_state(p), CLO_ARENA_FREED);
	CHECK_EQ(clo_arena_state(p + 39), CLO_ARENA_FREED);
	CHECK_EQ(clo_arena_state(s + 5000), CLO_ARENA_FREED);
	for (unsigned i = 0; i < 100; i++) {
		CHECK(clo_alloc(40) != p);
		CHECK(clo_alloc_sparse(1 << 22) != s || i >= 64);
	}
	CHECK(clo_arena_tampered() == NULL);
	clo_arena_end();
}

#ifndef HAVE_ASAN /* which ends the program at the access */
TEST(memory_that_is_kept_is_not_in_use)
{
	CHECK(clo_arena_begin(ARENA));

	unsigned char *p = clo_alloc(8192);

	memset(p, 0x11, 8192);
	clo_mem_idle(p + 4096, 32);
	CHECK_EQ(clo_arena_state(p + 4095), CLO_ARENA_LIVE);
	CHECK_EQ(clo_arena_state(p + 4096), CLO_ARENA_FREED);
	CHECK_EQ(clo_arena_state(p + 4127), CLO_ARENA_FREED);
	CHECK_EQ(clo_arena_state(p + 4128), CLO_ARENA_LIVE);
	clo_mem_used(p + 4096, 16);
	CHECK_EQ(clo_arena_state(p + 4096), CLO_ARENA_LIVE);
	CHECK_EQ(clo_arena_state(p + 4112), CLO_ARENA_FREED);
	CHECK_EQ(p[4096], 0x11);
	clo_free(p);
	CHECK(!clo_arena_tampered());
	clo_arena_end();
	/* Outside of a run nothing is known. */
	p = clo_alloc(64);
	clo_mem_idle(p, 64);
	p[0] = 1;
	clo_free(p);
}

TEST(late_writes_are_seen)
{
	CHECK(clo_arena_begin(ARENA));

	unsigned char *p[4];

	for (unsigned i = 0; i < 4; i++)
		p[i] = clo_alloc(100);
	for (unsigned i = 0; i < 3; i++)
		clo_free(p[i]);
	CHECK_EQ(p[1][50], 0x6b);
	CHECK(clo_arena_tampered() == NULL);
	p[3][50] = 1;
	CHECK(clo_arena_tampered() == NULL);
	p[1][50] = 1;
	CHECK(clo_arena_tampered() == p[1]);
	clo_arena_end();
}
#endif

TEST(a_block_is_known_by_each_of_its_bytes)
{
	CHECK(clo_arena_begin(ARENA));

	char *p = clo_alloc(10000), *q = clo_alloc(1);

	CHECK(clo_arena_block(p) == p && clo_arena_block(p + 9999) == p);
	CHECK(clo_arena_block(q) == q);
	CHECK(clo_arena_block(q + 100) == NULL);
	CHECK(clo_arena_block(&p) == NULL);
	clo_free(p);
	CHECK(clo_arena_block(p + 5000) == NULL);
	clo_arena_end();
	CHECK(clo_arena_block(q) == NULL);
}

static const void *last_freed;

static void note_freed(const void *p)
{
	last_freed = p;
}

TEST(who_frees_is_told)
{
	CHECK(clo_arena_begin(ARENA));
	clo_arena_on_free(note_freed);

	void *p = clo_alloc(10);

	CHECK(last_freed == NULL);
	clo_free(p);
	CHECK(last_freed == p);
	clo_arena_end();
	CHECK(clo_arena_begin(ARENA));
	last_freed = NULL;
	clo_free(clo_alloc(10));
	CHECK(last_freed == NULL);
	clo_arena_end();
}

/* Memory behind a guard is usable again by the next run, at the same address. */
TEST(a_guard_ends_with_the_run)
{
	char *p[2], *s[2];

	for (unsigned run = 0; run < 2; run++) {
		CHECK(clo_arena_begin(ARENA));
		if (run == 0)
			clo_arena_guard(true);
		p[run] = clo_alloc(5000);
		s[run] = clo_alloc_sparse(1 << 21);
		p[run][4999] = s[run][100] = 1;
		clo_free(p[run]);
		clo_free_sparse(s[run], 1 << 21);
		CHECK(clo_arena_tampered() == NULL);
		clo_arena_end();
	}
	CHECK(p[0] == p[1] && s[0] == s[1]);
}

#ifndef HAVE_ASAN
EXPECT_SIGNAL(freed_memory_behind_a_guard_is_read, SIGSEGV)
{
	CHECK(clo_arena_begin(ARENA));
	clo_arena_guard(true);

	volatile char *p = clo_alloc(10);

	clo_free((void *)(uintptr_t)p);
	CHECK_EQ(p[3], 0);
}

EXPECT_SIGNAL(sparse_memory_behind_a_guard_is_read, SIGSEGV)
{
	CHECK(clo_arena_begin(ARENA));
	clo_arena_guard(true);

	volatile char *p = clo_alloc_sparse(1 << 21);

	clo_free_sparse((void *)(uintptr_t)p, 1 << 21);
	CHECK_EQ(p[3], 0);
}
#endif

TEST(an_arena_has_an_end)
{
	CHECK(clo_arena_begin(ARENA));
	CHECK(!clo_arena_begin(ARENA));
	CHECK(clo_alloc(ARENA) == NULL);
	CHECK(clo_alloc_aligned(2 * ARENA, 1) == NULL);
	CHECK(clo_alloc(SIZE_MAX) == NULL);

	unsigned made = 0;

	while (clo_alloc(1000))
		made++;
	CHECK_LT(200, made); /* each has a page */
	CHECK_LT(made, ARENA / CLO_PAGE_SIZE);
	clo_arena_end();
	CHECK(!clo_arena_begin((size_t)1 << 60));
	CHECK(clo_arena_begin(2 * ARENA));
	CHECK(clo_alloc(ARENA) != NULL);
	clo_arena_end();
}

EXPECT_SIGNAL(freed_twice, SIGABRT)
{
	CHECK(clo_arena_begin(ARENA));

	void *p = clo_alloc(10);

	clo_free(p);
	clo_free(p);
}

EXPECT_SIGNAL(freed_in_the_middle, SIGABRT)
{
	CHECK(clo_arena_begin(ARENA));

	char *p = clo_alloc(100);

	clo_free(p + 16);
}

EXPECT_SIGNAL(sparse_freed_twice, SIGABRT)
{
	CHECK(clo_arena_begin(ARENA));

	void *p = clo_alloc_sparse(1 << 21);

	clo_free_sparse(p, 1 << 21);
	clo_free_sparse(p, 1 << 21);
}

TEST(time_of_a_run)
{
	clo_clock_fake(17);
	CHECK_EQ(clo_now_ns(), 17);
	clo_clock_fake(0);
	CHECK_LT(17, clo_now_ns());
}
