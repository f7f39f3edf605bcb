/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/test_huge.c - folios of 2M and 1G: made, locked, poisoned, split and merged, prepared.
 */
#include "gmem/gmem_test.h"

TEST(prepare_of_a_huge_folio)
{
	struct t_host h;
	struct clo_gmem_config cfg;
	struct clo_gmem *g;
	struct clo_pfn pfn;
	unsigned order;

	t_host_open(&h, 1024, 4096);
	cfg = t_config(&h, 1024, CLO_GMEM_HUGETLB, 9);
	t_hooks(&cfg);
	CHECK_OK(clo_gmem_open(h.db, NULL, &cfg, &g));
	CHECK_OK(clo_gmem_get_folio(g, 515, clo_gfn(1027), true, &pfn, &order));
	CHECK_EQ(order, 9);
	CHECK_EQ(h.vm.prepared.order, 9);
	CHECK_EQ(h.vm.prepared.gfn.n, 1024);
	CHECK_EQ(h.vm.prepared.pfn.n, pfn.n - 3);
	/* A slot that begins at gfn 0 in the middle of a folio. */
	CHECK_OK(clo_gmem_get_folio(g, 515, clo_gfn(2), true, &pfn, &order));
	CHECK_EQ(h.vm.prepared.npages, 1);
	CHECK_EQ(h.vm.prepared.gfn.n, 2);
	CHECK_EQ(h.vm.prepared.pfn.n, pfn.n);
	clo_gmem_release(g);
	t_host_close(&h);
}

TEST(huge_folios_2m)
{
	struct t_host h;
	struct clo_gmem *g;
	struct clo_pfn pfn, head;
	unsigned order;

	t_host_open(&h, 1024, 4096);
	t_soil(h.db, 1024);
	g = t_file(&h, 1024, CLO_GMEM_HUGETLB | CLO_GMEM_MMAP, 9);
	CHECK_OK(t_get(g, 700, true, &pfn, &order));
	CHECK_EQ(order, 9);
	CHECK_EQ(pfn.n % 512, 700 % 512);
	t_check_zero(g, clo_pfn(pfn.n - 700 % 512));
	t_check_zero(g, pfn);
	CHECK_EQ(t_stats(g).huge_folios, 1);
	CHECK_EQ(t_stats(g).allocated, 512);
	/* The lock and the flag of the head count for every page, poison for its own. */
	CHECK(clo_page_lock(h.db, pfn, &head));
	CHECK_ERR(t_get(g, 1000, true, &pfn, &order), -EAGAIN);
	clo_page_unlock(h.db, head);
	clo_page_set_poison(h.db, clo_pfn(head.n + 1), true);
	CHECK_ERR(t_get(g, 513, true, &pfn, &order), -EHWPOISON);
	CHECK_OK(t_get(g, 514, true, &pfn, &order));
	clo_page_set_poison(h.db, clo_pfn(head.n + 1), false);
	/* One shared page makes the whole block small; contents stay. */
	t_bytes(g, head)[0] = 1;
	t_convert(g, clo_range(600, 601), false);
	CHECK_EQ(t_stats(g).splits, 1);
	CHECK_EQ(t_stats(g).huge_folios, 0);
	CHECK_OK(t_get(g, 600, false, &pfn, &order));
	CHECK_EQ(order, 0);
	CHECK_OK(t_get(g, 601, true, &pfn, &order));
	CHECK_EQ(order, 0);
	/* And back: one folio again. */
	t_convert(g, clo_range(600, 601), true);
	CHECK_EQ(t_stats(g).merges, 1);
	CHECK_EQ(t_stats(g).huge_folios, 1);
	CHECK_OK(t_get(g, 601, true, &pfn, &order));
	CHECK_EQ(order, 9);
	CHECK_EQ(t_bytes(g, head)[0], 1);
	/* In a mixed block without folios new ones are small, also the private ones. */
	t_convert(g, clo_range(0, 1), false);
	CHECK_OK(t_get(g, 1, true, &pfn, &order));
	CHECK_EQ(order, 0);
	CHECK_OK(t_get(g, 0, false, &pfn, &order));
	CHECK_EQ(order, 0);
	/* All private again, but pieces are there already: go on in pieces, no merge of what is not
	 * complete. */
	t_convert(g, clo_range(0, 1), true);
	CHECK_OK(t_get(g, 2, true, &pfn, &order));
	CHECK_EQ(order, 0);
	CHECK_EQ(t_stats(g).merges, 1);
	clo_gmem_release(g);
	t_host_close(&h);
}

TEST(huge_folio_1g)
{
	struct t_host h;
	struct clo_gmem *g;
	struct clo_pfn pfn;
	unsigned order;

	t_host_open(&h, 1ULL << 18, 1ULL << 20);
	g = t_file(&h, 1ULL << 18, CLO_GMEM_HUGETLB, 18);
	/* A change anywhere stops the folio that would cover it. */
	clo_inval_begin(clo_gmem_inval(g), clo_range(5000, 5001));
	CHECK_ERR(t_get(g, 0, true, &pfn, &order), -EAGAIN);
	clo_inval_end(clo_gmem_inval(g), clo_range(5000, 5001));
	CHECK_OK(t_allocate(g, 0, 1ULL << 18));
	CHECK_EQ(t_frame(g, 77777).order, 18);
	CHECK_EQ(t_stats(g).huge_folios, 1);
	CHECK_OK(t_punch(g, 0, 1ULL << 18));
	CHECK_EQ(t_frames(h.db), 0);
	clo_gmem_release(g);
	t_host_close(&h);
}

TEST(split_and_merge_refusals)
{
	struct t_host h;
	struct clo_gmem *g;
	struct clo_pfn pfn, head;

	t_host_open(&h, 1024, 4096);
	g = t_file(&h, 512, CLO_GMEM_HUGETLB, 9);
	CHECK_ERR(clo_gmem_split_block(g, 0), -ENOENT);
	CHECK(!clo_gmem_merge_block(g, 0));
	pfn = t_page(g, 7, true);
	CHECK(!clo_gmem_merge_block(g, 0)); /* is one already */
	CHECK(clo_page_lock(h.db, pfn, &head));
	CHECK_OK(clo_page_rmap_claim(h.db, clo_pfn(head.n + 3), CLO_LEVEL_4K, T_OWNER, clo_gfn(3)));
	CHECK_ERR(clo_gmem_split_block(g, 7), -EBUSY);
	CHECK_OK(clo_page_rmap_drop(h.db, clo_pfn(head.n + 3), T_OWNER, clo_gfn(3)));
	CHECK_OK(clo_gmem_split_block(g, 7));
	CHECK_OK(clo_gmem_split_block(g, 7));
	for (uint64_t i = 0; i < 512; i++)
		clo_page_unlock(h.db, clo_pfn(head.n + i));
	/* Poison, a mapping, a shared attribute each keep the pieces apart. */
	clo_page_set_poison(h.db, clo_pfn(head.n + 9), true);
	CHECK(!clo_gmem_merge_block(g, 0));
	clo_page_set_poison(h.db, clo_pfn(head.n + 9), false);
	CHECK_OK(clo_page_rmap_claim(h.db, clo_pfn(head.n + 3), CLO_LEVEL_4K, T_OWNER, clo_gfn(3)));
	CHECK(!clo_gmem_merge_block(g, 0));
	CHECK_OK(clo_page_rmap_drop(h.db, clo_pfn(head.n + 3), T_OWNER, clo_gfn(3)));
	CHECK_OK(clo_attr_set(clo_gmem_attr(g), clo_range(4, 5), false));
	CHECK(!clo_gmem_merge_block(g, 0));
	CHECK_OK(clo_attr_set(clo_gmem_attr(g), clo_range(4, 5), true));
	/* Some pages were never made ready: they get their zeroes before they are called so. */
	CHECK(clo_page_lock(h.db, clo_pfn(head.n + 20), NULL));
	clo_page_set_uptodate(h.db, clo_pfn(head.n + 20), false);
	clo_page_unlock(h.db, clo_pfn(head.n + 20));
	memset(t_bytes(g, clo_pfn(head.n + 20)), 0xee, 4096);
	memset(t_bytes(g, clo_pfn(head.n + 21)), 0x11, 4096);
	CHECK(clo_gmem_merge_block(g, 511));
	t_check_zero(g, clo_pfn(head.n + 20));
	CHECK_EQ(t_bytes(g, clo_pfn(head.n + 21))[0], 0x11);
	CHECK_EQ(t_frame(g, 20).order, 9);
	CHECK_EQ(t_frame(g, 0).flags, CLO_FRAME_UPTODATE);
	clo_gmem_release(g);
	/* A file of small pages has nothing to merge. */
	g = t_file(&h, 512, 0, 0);
	(void)t_page(g, 0, true);
	CHECK(!clo_gmem_merge_block(g, 0));
	clo_gmem_release(g);
	t_host_close(&h);
}

/* What a conversion makes for a device: locked, private, and gone again without a trace. */
TEST(page_made_for_a_conversion)
{
	struct t_host h;
	struct clo_gmem *g;
	struct clo_pfn pfn;

	t_host_open(&h, 2, 16);
	g = t_file(&h, 8, 0, 0);
	CHECK_OK(clo_gmem_make_locked(g, 3, &pfn));
	CHECK_EQ(clo_frame_get(h.db, pfn).state, CLO_FRAME_PRIVATE);
	CHECK((clo_frame_get(h.db, pfn).flags & CLO_FRAME_LOCKED) != 0);
	CHECK((clo_frame_get(h.db, pfn).flags & CLO_FRAME_UPTODATE) == 0);
	CHECK_ERR(clo_gmem_make_locked(g, 3, &pfn), -EEXIST);
	CHECK_ERR(clo_gmem_make_locked(g, 8, &pfn), -EFAULT);
	CHECK_OK(clo_gmem_make_locked(g, 4, &pfn));
	clo_page_unlock(h.db, pfn);
	CHECK_ERR(clo_gmem_make_locked(g, 5, &pfn), -ENOMEM); /* the host has two frames */
	CHECK(clo_gmem_pfn(g, 3, &pfn));
	CHECK_OK(clo_page_step(h.db, pfn, CLO_FRAME_FREE_OP));
	CHECK_EQ(t_stats(g).allocated, 1);
	clo_gmem_release(g);
	t_host_close(&h);
}
