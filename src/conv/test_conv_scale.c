/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/test_conv_scale.c - large sparse guests in one call. What is slow here for each page, or for
 * each pair of pages, does not end within the time of a test.
 */
#include "harness/engine.h"

#define TIB (1ULL << 40)

TEST(a_tib_in_place)
{
	struct eng_config c = { .owner = CLO_ATTR_OWNER_GMEM,
				.gmem_flags = CLO_GMEM_MMAP,
				.pages = TIB / E_PAGE };
	struct eng e;

	eng_open(&e, c);
	CHECK_OK(eng_store(&e, 0, 0, 1));
	CHECK_OK(eng_store(&e, e.pages - 1, 0, 2));
	for (unsigned i = 0; i < 10; i++)
		CHECK_OK(eng_convert(&e, 0, e.pages, i & 1 ? CLO_CONVERT_TO_PRIVATE : 0));
	CHECK_EQ(eng_byte(&e, e.pages - 1, 0), 2);
	CHECK_OK(eng_punch(&e, 0, e.pages));
	CHECK_EQ(eng_frames(&e), 0);
	eng_close(&e);
}

/* Two pages, a PiB apart: time goes by pages, not by what lies between them. */
TEST(a_pib_between_two_pages)
{
	struct eng_config c = { .owner = CLO_ATTR_OWNER_GMEM, .gmem_flags = CLO_GMEM_MMAP };
	struct clo_gmem_stats s;
	struct clo_gmem *far;
	struct eng e;

	eng_open(&e, c);
	CHECK_OK(clo_gmem_create(e.vm, 2048 * TIB, CLO_GMEM_MMAP, 0, &far));
	CHECK_OK(clo_gmem_fallocate(far, CLO_FALLOC_KEEP_SIZE, 0, E_PAGE));
	CHECK_OK(clo_gmem_fallocate(far, CLO_FALLOC_KEEP_SIZE, 1024 * TIB, E_PAGE));
	for (unsigned i = 0; i < 10; i++)
		CHECK_OK(clo_gmem_set_attributes(far, 0, 2048 * TIB, i & 1 ? CLO_ATTR_PRIVATE : 0,
						 NULL));
	clo_gmem_stats(far, &s);
	CHECK_EQ(s.private_frames, 2);
	clo_gmem_close(far);
	eng_close(&e);
}

TEST(a_tib_in_two_backings)
{
	struct eng_config c = { .pages = TIB / E_PAGE };
	struct eng e;

	eng_open(&e, c);
	CHECK_OK(eng_store(&e, e.pages - 1, 0, 1));
	for (unsigned i = 0; i < 11; i++)
		CHECK_OK(eng_convert(&e, 0, e.pages, i & 1 ? 0 : CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&e, 1, 0, 1));
	CHECK_EQ(eng_frames(&e), 1);
	CHECK_OK(eng_convert(&e, 0, e.pages, 0));
	CHECK_EQ(eng_frames(&e), 0);
	eng_close(&e);
}

/* What level REMAP must map at once is more than the host has: the rest stays out of reach, and the
 * conversion does not ask for page after page in vain. */
TEST(more_shared_pages_mapped_than_the_host_has)
{
	struct eng_config c = { .owner = CLO_ATTR_OWNER_GMEM,
				.view = CLO_HOST_VIEW_REMAP,
				.gmem_flags = CLO_GMEM_MMAP,
				.pages = TIB / 16 / E_PAGE,
				.mem_bytes = 8ULL << 20 };
	struct eng e;
	void *p;

	eng_open(&e, c);
	CHECK_OK(clo_gmem_mmap(e.gmem, 0, e.pages * E_PAGE, true, &p));
	CHECK_OK(eng_convert(&e, 0, e.pages, 0));
	CHECK_EQ(eng_frames(&e), c.mem_bytes / E_PAGE);
	*(volatile char *)p = 1;
	CHECK_OK(eng_convert(&e, 0, e.pages, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(eng_byte(&e, 0, 0), 1);
	CHECK_OK(clo_gmem_munmap(e.gmem, p, e.pages * E_PAGE));
	eng_close(&e);
}
