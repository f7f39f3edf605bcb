/* SPDX-License-Identifier: Apache-2.0 */
/* trust/snp/test_psc.c - page state changes of entries that were begun: what joins them. */
#include <cloister/snp.h>

#include "harness/test.h"

static uint64_t entry(uint64_t gfn, uint64_t cur, bool is_2m)
{
	return cur | gfn << 12 | (uint64_t)CLO_SNP_PSC_SHARED << 52 | (uint64_t)is_2m << 56;
}

/* The range that a request of two entries begins with. */
static struct clo_snp_psc first(uint64_t a, uint64_t b)
{
	uint64_t buf[3] = { 1ULL << 16, a, b };
	struct clo_snp_psc r;

	CHECK_EQ(clo_snp_psc_next(buf, sizeof(buf), &r), CLO_SNP_PSC_OK);
	return r;
}

/* Linux compares with the begin of the first entry plus what is left of it. */
TEST(what_was_begun_is_joined_by_its_begin)
{
	struct clo_snp_psc r = first(entry(0x200, 256, true), entry(0x400, 0, false));

	CHECK(r.gpa == 0x300000 && r.npages == 256 && r.page_2m == 1);
	r = first(entry(0x200, 256, true), entry(0x300, 0, false));
	CHECK(r.gpa == 0x300000 && r.npages == 257);
	/* 2M and what goes on in 4K are not of one kind. */
	r = first(entry(0x200, 256, true), entry(0x400, 0, true));
	CHECK_EQ(r.npages, 256);
	r = first(entry(0x200, 0, true), entry(0x400, 0, true));
	CHECK(r.gpa == 0x200000 && r.npages == 1024 && r.page_2m == 1);
	r = first(entry(0x200, 0, true), entry(0x400, 0, false));
	CHECK_EQ(r.npages, 512);
}
