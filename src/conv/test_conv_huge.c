/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/test_conv_huge.c - files of 2M and 1G pages: a huge folio is split when a page of it becomes
 * shared and put together when all are private again. Of the 1G pages only a few 4K are touched.
 */
#include "conv/conv.h"

#include "harness/engine.h"

#define BLOCK 512U

static struct eng_config huge(unsigned order, uint64_t pages, uint64_t flags)
{
	return (struct eng_config){
		.owner = CLO_ATTR_OWNER_GMEM,
		.gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_HUGETLB | flags,
		.page_order = order,
		.pages = pages,
		.mem_bytes = 8ULL << 30,
	};
}

static struct clo_gmem_stats file_stats(const struct eng *e)
{
	struct clo_gmem_stats s;

	clo_gmem_stats(e->gmem, &s);
	return s;
}

TEST(split_and_merge_2m)
{
	struct eng e;

	eng_open(&e, huge(9, 3 * BLOCK, 0));
	for (unsigned i = 0; i < 3 * BLOCK; i += 100)
		CHECK_OK(eng_store(&e, i, 0, (uint8_t)(i / 100 + 1)));
	CHECK_EQ(eng_leaf(&e, 0).level, CLO_LEVEL_2M);
	CHECK_EQ(file_stats(&e).huge_folios, 3);
	/* One page: its block alone comes apart. */
	CHECK_OK(eng_convert(&e, 600, 1, 0));
	CHECK_EQ(file_stats(&e).huge_folios, 2);
	CHECK_EQ(file_stats(&e).splits, 1);
	CHECK_EQ(eng_leaf(&e, 600).level, CLO_LEVEL_COUNT);
	CHECK_EQ(eng_leaf(&e, 0).level, CLO_LEVEL_2M);
	for (unsigned i = 0; i < 3 * BLOCK; i += 100)
		CHECK_EQ(eng_byte(&e, i, 0), i / 100 + 1);
	CHECK_EQ(eng_leaf(&e, 600).level, CLO_LEVEL_4K);
	CHECK_OK(eng_store(&e, 600, 0, 66));
	/* Back: one folio, with all bytes, and one leaf. */
	CHECK_OK(eng_convert(&e, 600, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(file_stats(&e).huge_folios, 3);
	CHECK_EQ(file_stats(&e).merges, 1);
	CHECK_EQ(eng_byte(&e, 600, 0), 66);
	CHECK_EQ(eng_leaf(&e, 600).level, CLO_LEVEL_2M);
	CHECK_EQ(eng_byte(&e, 700, 0), 8);
	eng_close(&e);
}

TEST(a_range_over_parts_of_blocks)
{
	struct eng e;

	eng_open(&e, huge(9, 3 * BLOCK, 0));
	for (unsigned i = 0; i < 3 * BLOCK; i += 50)
		CHECK_OK(eng_store(&e, i, 0, (uint8_t)(i / 50 + 1)));
	CHECK_OK(eng_convert(&e, 500, 600, 0));
	CHECK_EQ(file_stats(&e).huge_folios, 0);
	CHECK_EQ(file_stats(&e).shared_frames, 600);
	eng_check(&e);
	CHECK_OK(eng_convert(&e, 400, 1136, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(file_stats(&e).huge_folios, 3);
	for (unsigned i = 0; i < 3 * BLOCK; i += 50)
		CHECK_EQ(eng_byte(&e, i, 0), i / 50 + 1);
	eng_close(&e);
}

TEST(a_pin_in_a_block_and_a_hole)
{
	struct clo_convert c = eng_range(0, 2 * BLOCK, CLO_CONVERT_TO_PRIVATE);
	struct clo_gmem_pin *pin;
	struct eng e;

	eng_open(&e, huge(9, 2 * BLOCK, 0));
	CHECK_OK(eng_store(&e, 520, 0, 1));
	CHECK_OK(eng_convert(&e, 512, 16, 0));
	CHECK_OK(clo_gmem_pin(e.gmem, 521 * E_PAGE, E_PAGE, "vfio", &pin, NULL));
	CHECK_ERR(clo_vm_convert(e.vm, &c), -EAGAIN);
	CHECK_EQ(c.error_offset, 521 * E_PAGE);
	CHECK_ERR(eng_punch(&e, BLOCK, BLOCK), -EAGAIN);
	CHECK_ERR(eng_punch(&e, BLOCK, 1), -EINVAL);
	CHECK_EQ(eng_byte(&e, 520, 0), 1);
	clo_gmem_unpin(pin);
	/* The other pages of the block do not exist any more than before: no merge. */
	CHECK_OK(eng_punch(&e, BLOCK, BLOCK));
	CHECK_EQ(eng_frames(&e), 0);
	CHECK(!eng_is_private(&e, 512));
	CHECK_OK(clo_vm_convert(e.vm, &c));
	CHECK_EQ(eng_byte(&e, 520, 0), 0);
	CHECK_EQ(eng_leaf(&e, 520).level, CLO_LEVEL_2M);
	eng_close(&e);
}

/* Half a huge page each in two memslots: both lose their leaves, each keeps its bytes. */
TEST(one_block_in_two_slots)
{
	struct eng_config cfg = huge(9, BLOCK, 0);
	struct eng e;

	cfg.no_slot = true;
	eng_open(&e, cfg);
	CHECK_OK(eng_slot(&e, 0, E_GPA, 256, 0));
	CHECK_OK(eng_slot(&e, 1, E_GPA + 256 * E_PAGE, 256, 256));
	for (unsigned i = 0; i < BLOCK; i += 16)
		CHECK_OK(eng_store(&e, i, 0, (uint8_t)(i / 16 + 1)));
	CHECK_OK(eng_convert(&e, 250, 12, 0));
	CHECK_EQ(file_stats(&e).shared_frames, 12);
	for (unsigned i = 0; i < BLOCK; i += 16)
		CHECK_EQ(eng_byte(&e, i, 0), i / 16 + 1);
	eng_check(&e);
	CHECK_OK(eng_convert(&e, 0, BLOCK, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(file_stats(&e).huge_folios, 1);
	eng_close(&e);
}

/* Parts of one huge page with a gap between them, in an order that is not the file's. */
TEST(a_block_that_is_met_twice_is_refused)
{
	struct eng_config cfg = huge(9, BLOCK, 0);
	struct clo_convert c = eng_range(0, 256, 0);
	struct eng e;

	cfg.no_slot = true;
	eng_open(&e, cfg);
	CHECK_OK(eng_slot(&e, 0, E_GPA, 128, 384));
	CHECK_OK(eng_slot(&e, 1, E_GPA + 128 * E_PAGE, 128, 0));
	CHECK_ERR(clo_vm_convert(e.vm, &c), -EINVAL);
	CHECK_EQ(c.error_gpa, E_GPA + 128 * E_PAGE);
	CHECK(eng_is_private(&e, 0));
	CHECK_OK(eng_convert(&e, 0, 128, 0));
	CHECK_OK(eng_convert(&e, 128, 128, 0));
	eng_close(&e);
}

/* The part that fills the gap comes last, and is in a huge page of either neighbour: still one
 * part. */
TEST(parts_that_meet_late_are_one)
{
	struct eng_config cfg = huge(9, 2 * BLOCK, 0);
	struct eng e;

	cfg.no_slot = true;
	eng_open(&e, cfg);
	CHECK_OK(eng_slot(&e, 0, E_GPA, 100, 0));
	CHECK_OK(eng_slot(&e, 1, E_GPA + 100 * E_PAGE, 100, 600));
	CHECK_OK(eng_slot(&e, 2, E_GPA + 200 * E_PAGE, 500, 100));
	CHECK_OK(eng_store(&e, 1, 0, 7));
	CHECK_OK(eng_store(&e, 101, 0, 8));
	CHECK_OK(eng_convert(&e, 0, 700, 0));
	CHECK_EQ(file_stats(&e).shared_frames, 700);
	CHECK_EQ(eng_byte(&e, 1, 0), 7);
	CHECK_EQ(eng_byte(&e, 101, 0), 8);
	eng_check(&e);
	CHECK_OK(eng_convert(&e, 0, 700, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(file_stats(&e).huge_folios, 2);
	eng_close(&e);
}

TEST(zero_policy_in_pieces)
{
	struct eng e;

	eng_open(&e, huge(9, BLOCK, CLO_GMEM_ZERO_ON_CONVERT));
	for (unsigned i = 0; i < 8; i++)
		CHECK_OK(eng_store(&e, i, 0, (uint8_t)(i + 1)));
	CHECK_OK(eng_convert(&e, 2, 2, 0));
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(eng_byte(&e, i, 0), i == 2 || i == 3 ? 0 : i + 1);
	CHECK_OK(eng_store(&e, 2, 0, 9));
	CHECK_OK(eng_convert(&e, 0, BLOCK, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(file_stats(&e).huge_folios, 1);
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(eng_byte(&e, i, 0), i == 2 || i == 3 ? 0 : i + 1);
	eng_close(&e);
}

TEST(no_direct_map_with_splits)
{
	struct clo_pagedb_stats s;
	struct eng e;

	eng_open(&e, huge(9, BLOCK, CLO_GMEM_NO_DIRECT_MAP));
	CHECK_OK(eng_store(&e, 0, 0, 1));
	clo_pagedb_stats(e.host->db, &s);
	CHECK_EQ(s.frames_nodirect, 512);
	CHECK_OK(eng_convert(&e, 8, 8, 0));
	clo_pagedb_stats(e.host->db, &s);
	CHECK_EQ(s.frames_nodirect, 504);
	CHECK_OK(eng_convert(&e, 8, 8, CLO_CONVERT_TO_PRIVATE));
	clo_pagedb_stats(e.host->db, &s);
	CHECK_EQ(s.frames_nodirect, 512);
	CHECK_EQ(file_stats(&e).huge_folios, 1);
	eng_close(&e);
}

/* Nothing of the block exists but a few shared pages, so that no gigabyte is written to. */
TEST_TIMEOUT(split_1g_sparse, 60)
{
	struct eng e;

	eng_open(&e, huge(18, 2ULL << 18, 0));
	CHECK_OK(eng_convert(&e, 0, 1000, 0));
	for (unsigned i = 0; i < 1000; i += 100)
		CHECK_OK(eng_store(&e, i, 0, (uint8_t)(i / 100 + 1)));
	CHECK_EQ(eng_frames(&e), 10);
	CHECK_OK(eng_convert(&e, 0, 1000, CLO_CONVERT_TO_PRIVATE));
	/* A 1G page with holes is not put together. */
	CHECK_EQ(file_stats(&e).merges, 0);
	for (unsigned i = 0; i < 1000; i += 100)
		CHECK_EQ(eng_byte(&e, i, 0), i / 100 + 1);
	CHECK_EQ(eng_leaf(&e, 100).level, CLO_LEVEL_4K);
	CHECK_OK(eng_convert(&e, (1U << 18) - 4, 8, 0));
	CHECK_EQ(eng_byte(&e, 100, 0), 2);
	eng_close(&e);
}
