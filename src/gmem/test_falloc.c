/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/test_falloc.c - fallocate: every errno, what allocate leaves, the order of a hole, pins in a
 * hole; release, bound and pinned.
 */
#include "gmem/gmem_test.h"

/*
 * Reached by t_punch() and t_allocate():
 * errno: clo_gmem_fallocate -EAGAIN -ENOMEM: huge_hole_over_a_pinned_page, allocate_does_not_touch
 */

#define KEEP  CLO_FALLOC_KEEP_SIZE
#define PUNCH (CLO_FALLOC_KEEP_SIZE | CLO_FALLOC_PUNCH_HOLE)
#define P     4096LL
#define H     (2LL << 20)

struct fallocate_row {
	int mode;
	int64_t off, len;
	int small, huge; /* a file of 8 pages; one of 4 huge pages */
};

static const struct fallocate_row fallocate_rows[] = {
	{ KEEP, 0, 4 * H, -EINVAL, 0 },
	{ KEEP, 0, 8 * P, 0, -EINVAL },
	{ KEEP, 7 * P, P, 0, -EINVAL },
	{ KEEP, 8 * P, P, -EINVAL, -EINVAL },
	{ KEEP, 7 * P, 2 * P, -EINVAL, -EINVAL },
	{ KEEP, 3 * H, 2 * H, -EINVAL, -EINVAL },
	{ KEEP, 1, P, -EINVAL, -EINVAL },
	{ KEEP, 0, P + 1, -EINVAL, -EINVAL },
	{ KEEP, 0, 0, -EINVAL, -EINVAL },
	{ KEEP, 0, -P, -EINVAL, -EINVAL },
	{ KEEP, -P, P, -EINVAL, -EINVAL },
	{ KEEP, INT64_MAX, 1, -EFBIG, -EFBIG },
	{ KEEP, INT64_MAX - P + 1, P, -EFBIG, -EFBIG },
	{ PUNCH, 0, 8 * P, 0, -EINVAL },
	{ PUNCH, 0, H, 0, 0 },
	{ PUNCH, 8 * P, P, 0, -EINVAL },
	{ PUNCH, 8 * H, H, 0, 0 },
	{ PUNCH, 7 * P, 100 * P, 0, -EINVAL },
	{ PUNCH, 2 * H, 100 * H, 0, 0 },
	{ PUNCH, 1, P, -EINVAL, -EINVAL },
	{ PUNCH, P, P - 1, -EINVAL, -EINVAL },
	{ PUNCH, 0, 0, -EINVAL, -EINVAL },
	{ PUNCH, 0, INT64_MIN, -EINVAL, -EINVAL },
	{ PUNCH, -P, 2 * P, -EINVAL, -EINVAL },
	{ PUNCH, P, INT64_MAX, -EFBIG, -EFBIG },
	{ 0, 0, P, -EOPNOTSUPP, -EOPNOTSUPP },
	{ CLO_FALLOC_PUNCH_HOLE, 0, P, -EOPNOTSUPP, -EOPNOTSUPP },
	{ KEEP | 4, 0, P, -EOPNOTSUPP, -EOPNOTSUPP },
	{ PUNCH | 8, 0, P, -EOPNOTSUPP, -EOPNOTSUPP },
	{ 0x10, 0, P, -EOPNOTSUPP, -EOPNOTSUPP },
	{ -1, 0, P, -EOPNOTSUPP, -EOPNOTSUPP },
	{ 0, 0, 0, -EINVAL, -EINVAL },
};

TEST(fallocate_errno)
{
	struct t_host h;
	struct clo_gmem *small, *huge;

	t_host_open(&h, 8 + 4 * 512, 8192);
	small = t_file(&h, 8, 0, 0);
	huge = t_file(&h, 4 * 512, CLO_GMEM_HUGETLB, 9);
	for (size_t i = 0; i < CLO_ARRAY_SIZE(fallocate_rows); i++) {
		const struct fallocate_row *row = &fallocate_rows[i];

		test_note("mode %d [%ld, +%ld)", row->mode, row->off, row->len);
		CHECK_ERR(clo_gmem_fallocate(small, row->mode, row->off, row->len), row->small);
		CHECK_ERR(clo_gmem_fallocate(huge, row->mode, row->off, row->len), row->huge);
	}
	clo_gmem_release(small);
	clo_gmem_release(huge);
	t_host_close(&h);
}

TEST(allocate_does_not_touch)
{
	struct t_host h;
	struct clo_gmem_config cfg;
	struct clo_gmem *g;
	struct clo_pfn pfn;

	t_host_open(&h, 6, 64);
	t_soil(h.db, 64);
	cfg = t_config(&h, 8, 0, 0);
	t_hooks(&cfg);
	CHECK_OK(clo_gmem_open(h.db, NULL, &cfg, &g));
	CHECK_OK(clo_attr_set(clo_gmem_attr(g), clo_range(2, 3), false));
	CHECK_OK(t_allocate(g, 1, 2));
	CHECK_EQ(t_frame(g, 1).state, CLO_FRAME_PRIVATE);
	CHECK_EQ(t_frame(g, 2).state, CLO_FRAME_SHARED);
	CHECK_EQ(t_frame(g, 1).flags, 0);
	CHECK_EQ(h.vm.prepare_calls, 0);
	CHECK_EQ(t_stats(g).zeroed, 0);
	CHECK_EQ(t_stats(g).shared_frames, 1);
	pfn = t_page(g, 1, true);
	t_check_zero(g, pfn);
	/* Again is nothing new; without memory what was made stays. */
	CHECK_OK(t_allocate(g, 0, 3));
	CHECK_ERR(t_allocate(g, 0, 8), -ENOMEM);
	CHECK_EQ(t_stats(g).allocated, 6);
	clo_gmem_release(g);
	t_host_close(&h);
}

TEST(hole_step_by_step)
{
	struct t_host h;
	struct clo_gmem *g;
	struct clo_gmem_binding a, b;
	struct clo_pfn pfn;

	t_host_open(&h, 64, 64);
	g = t_file(&h, 16, 0, 0);
	CHECK_OK(clo_gmem_bind(g, &a, clo_range(0, 4), 100));
	CHECK_OK(clo_gmem_bind(g, &b, clo_range(6, 16), 206));
	CHECK_OK(t_allocate(g, 0, 16));
	pfn = t_page(g, 3, true);
	memset(t_bytes(g, pfn), 0x33, 4096);
	CHECK_OK(t_punch(g, 2, 6));
	CHECK_STR(h.vm.log,
		  "begin 102-104; begin 206-208; zap 102-104 punch (16); zap 206-208 punch (16); "
		  "flush (16); end 102-104 (10); end 206-208 (10); ");
	CHECK_EQ(t_stats(g).punched, 6);
	CHECK_EQ(t_stats(g).allocated, 10);
	/* Attributes stay, content is gone. */
	CHECK(clo_attr_is_private(clo_gmem_attr(g), 3));
	pfn = t_page(g, 3, true);
	t_check_zero(g, pfn);
	/* Where no guest looks, nobody is told. */
	t_log_clear(&h.vm);
	CHECK_OK(t_punch(g, 4, 2));
	CHECK_OK(t_punch(g, 20, 2));
	CHECK_STR(h.vm.log, "");
	/* The switch that frees first: one of 11 frames is gone at the time of the zap. */
	clo_break_set(CLO_BREAK_FREE_BEFORE_ZAP, true);
	CHECK_OK(
		clo_page_rmap_claim(h.db, t_page(g, 0, true), CLO_LEVEL_4K, T_OWNER, clo_gfn(100)));
	CHECK_OK(t_punch(g, 0, 1));
	CHECK_STR(h.vm.log,
		  "begin 100-101; zap 100-101 punch (10); flush (10); end 100-101 (10); ");
	clo_break_set(CLO_BREAK_FREE_BEFORE_ZAP, false);
	clo_gmem_unbind(&a);
	clo_gmem_unbind(&b);
	clo_gmem_release(g);
	t_host_close(&h);
}

TEST(hole_over_a_pinned_page)
{
	struct t_host h;
	struct clo_gmem *g;
	struct clo_gmem_pin *pin;
	struct clo_pfn pfn;

	t_host_open(&h, 16, 16);
	g = t_file(&h, 8, T_MMAP_ANY, 0);
	pfn = t_page(g, 2, false);
	memset(t_bytes(g, pfn), 0x22, 4096);
	CHECK_OK(clo_gmem_pin(g, 2 * 4096, 4096, "dma", &pin, NULL));
	CHECK_OK(t_allocate(g, 0, 8));
	CHECK_OK(t_punch(g, 0, 8));
	CHECK_EQ(t_stats(g).punched, 7);
	CHECK_EQ(t_stats(g).punched_pinned, 1);
	CHECK_EQ(t_stats(g).allocated, 1);
	/* The device's frame: still there, still its own, but empty. */
	CHECK_EQ(t_page(g, 2, false).n, pfn.n);
	CHECK_EQ(t_frame(g, 2).pins, 1);
	t_check_zero(g, pfn);
	clo_gmem_unpin(pin);
	CHECK_OK(t_punch(g, 0, 8));
	CHECK_EQ(t_stats(g).allocated, 0);
	clo_gmem_release(g);
	t_host_close(&h);
}

TEST(huge_hole_over_a_pinned_page)
{
	struct t_host h;
	struct clo_gmem *g;
	struct clo_gmem_pin *pin;
	struct clo_gmem_binding b;
	struct clo_pfn pfn;

	t_host_open(&h, 2048, 2048);
	g = t_file(&h, 1024, CLO_GMEM_HUGETLB, 9);
	CHECK_OK(clo_gmem_bind(g, &b, clo_range(0, 1024), 0));
	pfn = t_page(g, 1, true);
	t_convert(g, clo_range(600, 602), false);
	CHECK_OK(t_allocate(g, 0, 1024));
	CHECK_OK(clo_gmem_pin_nowait(g, 601 * 4096, 4096, "dma", &pin, NULL));
	t_bytes(g, pfn)[0] = 0x42;
	t_log_clear(&h.vm);
	CHECK_ERR(t_punch(g, 0, 1024), -EAGAIN);
	CHECK_ERR(t_punch(g, 512, 512), -EAGAIN);
	CHECK_STR(h.vm.log, "");
	CHECK_EQ(t_bytes(g, pfn)[0], 0x42);
	CHECK_EQ(t_stats(g).allocated, 1024);
	CHECK_OK(t_punch(g, 0, 512));
	CHECK_EQ(t_stats(g).allocated, 512);
	clo_gmem_unpin(pin);
	CHECK_OK(t_punch(g, 0, 1024));
	CHECK_EQ(t_stats(g).allocated, 0);
	clo_gmem_unbind(&b);
	clo_gmem_release(g);
	t_host_close(&h);
}

TEST(release_while_bound)
{
	struct t_host h;
	struct clo_gmem *g;
	struct clo_gmem_binding a, b;

	t_host_open(&h, 64, 64);
	g = t_file(&h, 8, 0, 0);
	CHECK_OK(clo_gmem_bind(g, &a, clo_range(0, 4), 100));
	CHECK_OK(clo_gmem_bind(g, &b, clo_range(4, 8), 300));
	CHECK_OK(t_allocate(g, 0, 8));
	clo_gmem_get(g);
	clo_gmem_release(g);
	CHECK_STR(h.vm.log,
		  "begin 100-104; begin 300-304; zap 100-104 release (8); zap 300-304 release (8); "
		  "flush (8); end 100-104 (0); end 300-304 (0); ");
	CHECK_EQ(clo_aptr_get(&a.gmem), NULL);
	CHECK_EQ(clo_aptr_get(&b.gmem), NULL);
	CHECK_EQ(t_frames(h.db), 0);
	clo_gmem_unbind(&a);
	clo_gmem_put(g);
	clo_gmem_unbind(&b);
	t_host_close(&h);
}

TEST(release_while_pinned)
{
	struct t_host h;
	struct clo_gmem *g;
	struct clo_gmem_pin *pin;
	struct clo_pagedb_stats s;
	struct clo_pfn pfn;
	uint64_t live = clo_alloc_live();

	t_host_open(&h, 16, 16);
	g = t_file(&h, 4, T_MMAP_ANY, 0);
	CHECK_OK(t_allocate(g, 0, 4));
	CHECK_OK(clo_gmem_pin(g, 4096, 2 * 4096, "forgotten", &pin, NULL));
	pfn = t_page(g, 1, false);
	clo_gmem_release(g);
	clo_pagedb_stats(h.db, &s);
	CHECK_EQ(s.frames_leaked, 2);
	CHECK_EQ(s.frames_used, 2);
	CHECK_EQ(clo_frame_get(h.db, pfn).state, CLO_FRAME_LEAKED);
	g = t_file(&h, 8, T_MMAP_ANY, 0);
	for (uint64_t i = 0; i < 8; i++)
		CHECK_NE(t_page(g, i, false).n, pfn.n);
	clo_gmem_release(g);
	/* The pin kept the bookkeeping. With it all goes. */
	clo_gmem_unpin(pin);
	clo_pagedb_stats(h.db, &s);
	CHECK_EQ(s.frames_leaked, 0);
	CHECK_EQ(s.frames_used, 0);
	CHECK_EQ(s.windows, 0);
	t_host_close(&h);
	CHECK_EQ(clo_alloc_live(), live);
}

/* A lost frame that is still asked for, by somebody with a reference. */
TEST(lost_frame_is_not_served)
{
	struct t_host h;
	struct clo_gmem *g;
	struct clo_gmem_pin *pin;
	struct clo_pfn pfn;
	unsigned order;

	t_host_open(&h, 16, 16);
	g = t_file(&h, 4, T_MMAP_ANY, 0);
	CHECK_OK(clo_gmem_pin(g, 0, 4096, "forgotten", &pin, NULL));
	clo_gmem_get(g);
	clo_gmem_release(g);
	CHECK_ERR(t_get(g, 0, false, &pfn, &order), -EFAULT);
	CHECK_EQ(t_stats(g).allocated, 0);
	CHECK_ERR(t_allocate(g, 0, 1), -EFAULT);
	CHECK_OK(t_punch(g, 0, 4));
	clo_gmem_unpin(pin);
	clo_gmem_put(g);
	t_host_close(&h);
}

/* After the zap and the flush, before anything is freed; once. */
TEST(what_was_prepared_is_taken_back_before_it_is_freed)
{
	struct clo_gmem_binding b = { 0 };
	struct t_host h;
	struct clo_gmem_config cfg;
	struct clo_gmem *g;

	t_host_open(&h, 16, 64);
	cfg = t_config(&h, 8, 0, 0);
	t_hooks(&cfg);
	CHECK_OK(clo_gmem_open(h.db, NULL, &cfg, &g));
	CHECK_OK(clo_gmem_bind(g, &b, clo_range(0, 4), 100));
	for (uint64_t i = 3; i < 6; i++)
		(void)t_page(g, i, true);
	CHECK_OK(t_allocate(g, 0, 1));
	t_log_clear(&h.vm);
	CHECK_OK(t_punch(g, 0, 5));
	CHECK_STR(h.vm.log, "begin 100-104; zap 100-104 punch (4); flush (4); "
			    "invalidate 3-4 gfn 103 why 2 (4); invalidate 4-5 why 2 (4); "
			    "end 100-104 (1); ");
	t_log_clear(&h.vm);
	CHECK_OK(t_punch(g, 0, 5));
	CHECK(!strstr(h.vm.log, "invalidate"));
	CHECK_EQ(t_stats(g).invalidated, 2);
	t_log_clear(&h.vm);
	clo_gmem_unbind(&b);
	clo_gmem_release(g);
	CHECK_STR(h.vm.log, "invalidate 5-6 why 3 (1); ");
	t_host_close(&h);
}
