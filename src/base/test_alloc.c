/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/test_alloc.c - memory is zero, aligned, counted, and fails when asked to.
 */
#include "base/base.h"
#include "harness/test.h"

static bool is_zero(const unsigned char *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (p[i])
			return false;
	return true;
}

TEST(memory_is_zero_and_given_back)
{
	uint64_t before = clo_alloc_live();

	for (size_t bytes = 0; bytes < 5000; bytes = bytes * 2 + 1) {
		unsigned char *p = clo_alloc(bytes);

		CHECK(p && is_zero(p, bytes));
		CHECK_LE(before + bytes, clo_alloc_live());
		memset(p, 0xff, bytes);
		clo_free(p);
		CHECK_EQ(clo_alloc_live(), before);
	}
	clo_free(NULL);
	CHECK_EQ(clo_alloc_live(), before);
}

TEST(aligned_memory_is_aligned)
{
	uint64_t before = clo_alloc_live();

	for (size_t align = 1; align <= 1U << 21; align *= 8) {
		unsigned char *p = clo_alloc_aligned(align, 3 * align);

		CHECK(p && clo_is_aligned((uintptr_t)p, align));
		CHECK(is_zero(p, 3 * align));
		memset(p, 0xff, 3 * align);
		clo_free(p);
	}
	CHECK_EQ(clo_alloc_live(), before);
}

TEST(sparse_memory_costs_address_space_only)
{
	const size_t bytes = (size_t)1 << 36;
	uint64_t before = clo_alloc_live();
	unsigned char *p = clo_alloc_sparse(bytes);

	CHECK(p != NULL);
	CHECK_EQ(clo_alloc_live(), before + bytes);
	for (size_t at = 0; at < bytes; at += bytes / 16) {
		CHECK_EQ(p[at], 0);
		p[at] = 1;
	}
	clo_free_sparse(p, bytes);
	clo_free_sparse(NULL, bytes);
	CHECK_EQ(clo_alloc_live(), before);
}

TEST(what_cannot_be_had_is_null)
{
	uint64_t before = clo_alloc_live();

	CHECK(clo_alloc(SIZE_MAX / 2) == NULL);
	CHECK(clo_alloc_aligned(4096, SIZE_MAX / 2) == NULL);
	CHECK(clo_alloc_sparse((size_t)1 << 62) == NULL);
	CHECK_EQ(clo_alloc_live(), before);
}

/* Three allocations of three kinds; the number that were made. */
static unsigned three(void)
{
	void *a = clo_alloc(10);
	void *b = clo_alloc_aligned(64, 10);
	void *c = clo_alloc_sparse(1 << 20);
	unsigned made = (a ? 1U : 0) + (b ? 1U : 0) + (c ? 1U : 0);

	clo_free(a);
	clo_free(b);
	clo_free_sparse(c, 1 << 20);
	return made;
}

TEST(the_nth_allocation_fails_once)
{
	uint64_t before = clo_alloc_live();

	for (uint64_t n = 1; n <= 3; n++) {
		clo_alloc_fail_at(n);
		CHECK_EQ(three(), 2);
		CHECK_EQ(clo_alloc_count(), 3);
		CHECK_EQ(three(), 3);
		CHECK_EQ(clo_alloc_count(), 6);
		CHECK_EQ(clo_alloc_live(), before);
	}
	clo_alloc_fail_at(4);
	CHECK_EQ(three(), 3);
	clo_alloc_fail_at(0);
	CHECK_EQ(three(), 3);
	CHECK_EQ(clo_alloc_live(), before);
}

TEST(random_sizes_do_not_overlap)
{
	struct clo_rand r = { test_seed() };
	unsigned char *p[64] = { NULL };
	size_t bytes[64] = { 0 };
	uint64_t before = clo_alloc_live();

	for (unsigned i = 0; i < 5000; i++) {
		unsigned k = (unsigned)clo_rand_below(&r, 64);

		if (p[k]) {
			for (size_t j = 0; j < bytes[k]; j++)
				CHECK_EQ(p[k][j], k);
			clo_free(p[k]);
			p[k] = NULL;
			continue;
		}
		bytes[k] = clo_rand_below(&r, 300);
		p[k] = k % 2 ? clo_alloc(bytes[k]) : clo_alloc_aligned(64, bytes[k]);
		CHECK(p[k] && is_zero(p[k], bytes[k]));
		memset(p[k], (int)k, bytes[k]);
	}
	for (unsigned k = 0; k < 64; k++)
		clo_free(p[k]);
	CHECK_EQ(clo_alloc_live(), before);
}
