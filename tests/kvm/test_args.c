/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm/test_args.c - arguments: each class of each one with each class of the others, then random
 * ones that favour the borders.
 */
#include "kvm/beside.h"

#include "harness/test.h"
#include "kvm/numbers.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define P        B_PAGE
#define PAGES    8ULL
#define TOP      (1ULL << 63)

/* Offsets, lengths, sizes: around 0, pages, the end of a file of PAGES, and powers of two. */
static const uint64_t numbers[] = {
	0,
	1,
	P - 1,
	P,
	P + 1,
	2 * P,
	(PAGES - 1) * P,
	PAGES *P - 1,
	PAGES *P,
	PAGES *P + 1,
	(PAGES + 1) * P,
	1ULL << 30,
	1ULL << 46,
	(1ULL << 47) - P,
	(1ULL << 47) - P + 1,
	1ULL << 47,
	(1ULL << 48) - P,
	1ULL << 62,
	TOP - 2 * P,
	TOP - P,
	TOP - P + 1,
	TOP - 1,
	TOP,
	TOP + P,
	0 - PAGES *P,
	0 - 2 * P,
	0 - P,
	0 - P + 1,
	0 - 1ULL,
};

static const uint64_t file_flags[] = {
	0,
	CLO_GMEM_MMAP,
	CLO_GMEM_INIT_SHARED,
	CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED,
};

static uint64_t random_number(uint64_t *s)
{
	uint64_t n = numbers[next_random(s) % COUNT(numbers)];

	switch (next_random(s) % 5) {
	case 0:
		return n;
	case 1:
		return n + (next_random(s) % 5 - 2) * P;
	case 2:
		return next_random(s) % (2 * PAGES) * P;
	case 3:
		return next_random(s) >> next_random(s) % 64;
	default:
		return (next_random(s) >> next_random(s) % 64) & ~(P - 1);
	}
}

TEST(create)
{
	struct beside b;
	uint64_t s = seed_random(test_seed());
	struct twin f;

	beside_open(&b, CLO_HOST_VIEW_AUTO);
	for (size_t i = 0; i < COUNT(numbers); i++) {
		for (size_t j = 0; j < COUNT(file_flags); j++) {
			beside_create(&b, numbers[i], file_flags[j], &f);
			beside_close_file(&f);
		}
	}
	/* A bit that both do not know; Cloister's own flags are not for a VM of this type. */
	for (unsigned bit = 2; bit < 64; bit++) {
		beside_create(&b, P, 1ULL << bit, &f);
		beside_close_file(&f);
		beside_create(&b, P, 1ULL << bit | CLO_GMEM_MMAP, &f);
		beside_close_file(&f);
	}
	for (unsigned i = 0; i < 2000; i++) {
		beside_create(&b, random_number(&s), next_random(&s) % 4, &f);
		beside_close_file(&f);
	}
	beside_close(&b);
}

static const int odd_modes[] = { 256,       512, 1 << 12, 1 << 16,   1 << 30,       1 << 30 | 3,
				 INT32_MIN, -1,  -2,      INT32_MAX, INT32_MIN | 3, 0x101 };

/* An allocation of more than a file of PAGES would be refused; the rest takes no memory. */
static void all_ranges(struct beside *b, const struct twin *f, int mode)
{
	for (size_t i = 0; i < COUNT(numbers); i++)
		for (size_t j = 0; j < COUNT(numbers); j++)
			beside_fallocate(b, f, mode, (int64_t)numbers[i], (int64_t)numbers[j]);
}

TEST(fallocate)
{
	struct beside b;
	uint64_t s = seed_random(test_seed());
	struct twin f;

	beside_open(&b, CLO_HOST_VIEW_AUTO);
	beside_create(&b, PAGES * P, CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED, &f);
	for (int mode = 0; mode < 256; mode++)
		all_ranges(&b, &f, mode);
	for (size_t i = 0; i < COUNT(odd_modes); i++)
		all_ranges(&b, &f, odd_modes[i]);
	for (unsigned i = 0; i < 20000; i++) {
		int mode = (int)(next_random(&s) % 4 ? next_random(&s) % 4 : next_random(&s));

		beside_fallocate(&b, &f, mode, (int64_t)random_number(&s),
				 (int64_t)random_number(&s));
	}
	beside_close_file(&f);
	beside_close(&b);
}

/* Holes in a file as large as there is. */
TEST(fallocate_sparse)
{
	struct beside b;
	struct twin f;

	beside_open(&b, CLO_HOST_VIEW_AUTO);
	beside_create(&b, TOP - P, CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED, &f);
	all_ranges(&b, &f, CLO_FALLOC_KEEP_SIZE | CLO_FALLOC_PUNCH_HOLE);
	beside_fallocate(&b, &f, CLO_FALLOC_KEEP_SIZE, (int64_t)(1ULL << 62), (int64_t)P);
	beside_fallocate(&b, &f, CLO_FALLOC_KEEP_SIZE, (int64_t)(TOP - 2 * P), (int64_t)P);
	all_ranges(&b, &f, CLO_FALLOC_KEEP_SIZE | CLO_FALLOC_PUNCH_HOLE);
	beside_close_file(&f);
	beside_close(&b);
}

static void mmap_one(struct beside *b, const struct twin *f, uint64_t off, uint64_t len,
		     bool shared)
{
	struct twin_map m;

	beside_mmap(b, f, off, len, shared, &m);
	beside_munmap(f, &m);
}

static void mmap_args(uint32_t view)
{
	struct beside b;
	uint64_t s = seed_random(test_seed());
	struct twin f;

	beside_open(&b, view);
	for (size_t k = 0; k < COUNT(file_flags); k++) {
		beside_create(&b, PAGES * P, file_flags[k], &f);
		for (size_t i = 0; i < COUNT(numbers); i++) {
			for (size_t j = 0; j < COUNT(numbers); j++) {
				mmap_one(&b, &f, numbers[i], numbers[j], true);
				mmap_one(&b, &f, numbers[i], numbers[j], false);
			}
		}
		for (unsigned i = 0; i < 1000; i++)
			mmap_one(&b, &f, random_number(&s), random_number(&s), next_random(&s) % 8);
		beside_close_file(&f);
	}
	beside_close(&b);
}

TEST(mmap_uffd)
{
	mmap_args(CLO_HOST_VIEW_UFFD);
}

TEST(mmap_remap)
{
	mmap_args(CLO_HOST_VIEW_REMAP);
}
