/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm/test_region.c - memslots: every class of one field with every class of another, on a slot
 * that is absent, that is plain, and that has a file. Sequences of them: test_random.c.
 */
#include "kvm/beside.h"

#include "harness/test.h"
#include "kvm/numbers.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define P        B_PAGE
#define PAGES    16ULL
#define GPA      (1ULL << 32)
#define HVA      (1ULL << 40)
#define TOP      (1ULL << 63)

enum field { F_SLOT, F_FLAGS, F_GPA, F_SIZE, F_HVA, F_OFF, F_FILE, FIELDS };

#define CLASSES 24U
#define NONE    0x5a5aULL /* ends a row */

/* A valid size of more than a few GiB is left out: the kernel has its tables for it at once. */
static const uint64_t classes[FIELDS][CLASSES + 1] = {
	[F_SLOT] = { 0, 1, 2, 3, 32763, 32764, 32767, 65535, 0x10000, 0x10001, 0x17ffb, 0x20000,
		     0x80000000, 0xffffffff, NONE },
	[F_FLAGS] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 1 << 16, 1 << 17, 1 << 18, 0x80000000,
		      0xffffffff, NONE },
	[F_GPA] = { 0,
		    1,
		    P - 1,
		    P,
		    GPA,
		    GPA + 1,
		    GPA + P,
		    GPA - P,
		    GPA + 2 * P,
		    GPA + 100 * P,
		    1ULL << 47,
		    (1ULL << 48) - P,
		    (1ULL << 48) - 2 * P,
		    1ULL << 48,
		    1ULL << 51,
		    (1ULL << 52) - P,
		    (1ULL << 52) - 2 * P,
		    1ULL << 52,
		    1ULL << 62,
		    TOP,
		    0 - P,
		    0 - 2 * P,
		    0 - 1ULL,
		    NONE },
	[F_SIZE] = { 0,
		     1,
		     P - 1,
		     P,
		     P + 1,
		     2 * P,
		     3 * P,
		     PAGES *P,
		     (PAGES + 1) * P,
		     1ULL << 30,
		     1ULL << 43,
		     (1ULL << 43) + P,
		     (1ULL << 47) - P,
		     1ULL << 47,
		     1ULL << 62,
		     TOP - P,
		     TOP,
		     0 - 2 * P,
		     0 - P,
		     0 - 1ULL,
		     NONE },
	[F_HVA] = { 0, 1, P, HVA, HVA + 1, HVA + P, (1ULL << 47) - 3 * P, (1ULL << 47) - 2 * P,
		    (1ULL << 47) - P, 1ULL << 47, 1ULL << 56, TOP, TOP + HVA, 0 - P, 0 - 2 * P,
		    0 - 1ULL, NONE },
	[F_OFF] = { 0, 1, P - 1, P, 2 * P, (PAGES - 2) * P, (PAGES - 1) * P, PAGES *P,
		    (PAGES + 1) * P, 1ULL << 62, TOP - P, TOP, 0 - 2 * P, 0 - P, 0 - 1ULL, NONE },
	[F_FILE] = { 0, 1, 2, 3, NONE },
};

struct region_test {
	struct beside b;
	struct twin file[3]; /* the VM's, with and without MMAP; another VM's */
};

static void open_test(struct region_test *t)
{
	struct beside other;

	beside_open(&t->b, CLO_HOST_VIEW_AUTO);
	other = t->b;
	other.vm = t->b.other_vm;
	other.cvm = t->b.other_cvm;
	beside_create(&t->b, PAGES * P, CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED, &t->file[0]);
	beside_create(&t->b, PAGES * P, 0, &t->file[1]);
	beside_create(&other, PAGES * P, CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED, &t->file[2]);
}

static void close_test(struct region_test *t)
{
	for (size_t i = 0; i < COUNT(t->file); i++)
		beside_close_file(&t->file[i]);
	beside_close(&t->b);
}

static bool request(struct region_test *t, const uint64_t *field)
{
	struct clo_region r = {
		.size = sizeof(r),
		.slot = (uint32_t)field[F_SLOT],
		.flags = (uint32_t)field[F_FLAGS],
		.guest_phys_addr = field[F_GPA],
		.memory_size = field[F_SIZE],
		.userspace_addr = field[F_HVA],
		.guest_memfd_offset = field[F_OFF],
	};

	return beside_region(&t->b, r, field[F_FILE] < 3 ? &t->file[field[F_FILE]] : NULL);
}

/* On both sides, whatever is there. */
static void clear(struct region_test *t, uint64_t slot)
{
	(void)answers_region(
		&t->b,
		(struct clo_region){ .size = sizeof(struct clo_region), .slot = (uint32_t)slot },
		NULL);
}

static void prepare(struct region_test *t)
{
	/* A plain slot 1, and slot 2 with pages [2, 4) of the file. */
	const uint64_t plain[FIELDS] = { 1, 0, GPA + 100 * P, 2 * P, HVA, 0, 3 };
	const uint64_t bound[FIELDS] = { 2, 4, GPA + 200 * P, 2 * P, HVA, 2 * P, 0 };

	CHECK(request(t, plain));
	CHECK(request(t, bound));
}

static void pairs(struct region_test *t, const uint64_t *base)
{
	for (unsigned i = 0; i < FIELDS; i++) {
		for (unsigned j = i + 1; j < FIELDS; j++) {
			for (unsigned x = 0; classes[i][x] != NONE; x++) {
				for (unsigned y = 0; classes[j][y] != NONE; y++) {
					uint64_t field[FIELDS];

					memcpy(field, base, sizeof(field));
					field[i] = classes[i][x];
					field[j] = classes[j][y];
					request(t, field);
					clear(t, field[F_SLOT]);
					if (field[F_SLOT] == 1 || field[F_SLOT] == 2) {
						clear(t, 1);
						clear(t, 2);
						prepare(t);
					}
				}
			}
		}
	}
}

static void all_pairs(const uint64_t *base)
{
	struct region_test t = { 0 };

	open_test(&t);
	prepare(&t);
	pairs(&t, base);
	close_test(&t);
}

TEST(absent)
{
	all_pairs((const uint64_t[FIELDS]){ 0, 0, GPA, 2 * P, HVA, 0, 0 });
}

TEST(absent_with_file)
{
	all_pairs((const uint64_t[FIELDS]){ 0, 4, GPA, 2 * P, HVA, 0, 0 });
}

TEST(absent_with_file_not_mappable)
{
	all_pairs((const uint64_t[FIELDS]){ 0, 4, GPA, 2 * P, HVA, 0, 1 });
}

TEST(plain)
{
	all_pairs((const uint64_t[FIELDS]){ 1, 0, GPA + 100 * P, 2 * P, HVA, 0, 3 });
}

TEST(bound)
{
	all_pairs((const uint64_t[FIELDS]){ 2, 4, GPA + 200 * P, 2 * P, HVA, 2 * P, 0 });
}
