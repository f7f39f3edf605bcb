/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/test_gmem.c - create and its rules, refusals, folios of each size, zeroing, preparing, the
 * file map.
 */
#include "gmem/gmem_test.h"

/*
 * Reached by t_get():
 * errno: clo_gmem_get_folio -EFAULT -EAGAIN -ENOMEM -EHWPOISON -EACCES: get_folio_errno
 */

struct create_row {
	const char *what;
	uint64_t size, flags;
	uint32_t order, owner;
	uint64_t valid;
	int err;
};

static const struct create_row create_rows[] = {
	{ "one page", 4096, 0, 0, 1, T_ALL_FLAGS, 0 },
	{ "mmap", 8192, CLO_GMEM_MMAP, 0, 1, T_ALL_FLAGS, 0 },
	{ "init shared without mmap", 4096, CLO_GMEM_INIT_SHARED, 0, 1, T_ALL_FLAGS, 0 },
	{ "last owner", 4096, 0, 0, 65535, T_ALL_FLAGS, 0 },
	{ "2^62", 1ULL << 62, 0, 0, 1, T_ALL_FLAGS, 0 },
	{ "2^63 - 4096", (1ULL << 63) - 4096, 0, 0, 1, T_ALL_FLAGS, 0 },
	{ "2M page", 2ULL << 20, CLO_GMEM_HUGETLB, 9, 1, T_ALL_FLAGS, 0 },
	{ "1G pages", 3ULL << 30, CLO_GMEM_HUGETLB, 18, 1, T_ALL_FLAGS, 0 },
	{ "size 0", 0, 0, 0, 1, T_ALL_FLAGS, -EINVAL },
	{ "size 1", 1, 0, 0, 1, T_ALL_FLAGS, -EINVAL },
	{ "size 4095", 4095, 0, 0, 1, T_ALL_FLAGS, -EINVAL },
	{ "size 4097", 4097, 0, 0, 1, T_ALL_FLAGS, -EINVAL },
	{ "negative", 1ULL << 63, 0, 0, 1, T_ALL_FLAGS, -EINVAL },
	{ "-4096", ~4095ULL, 0, 0, 1, T_ALL_FLAGS, -EINVAL },
	{ "unknown flag", 4096, 1ULL << 3, 0, 1, T_ALL_FLAGS, -EINVAL },
	{ "top flag", 4096, 1ULL << 63, 0, 1, T_ALL_FLAGS, -EINVAL },
	{ "flag of another VM type", 4096, CLO_GMEM_MMAP, 0, 1, CLO_GMEM_HUGETLB, -EINVAL },
	{ "huge and shared", 2ULL << 20, CLO_GMEM_HUGETLB | CLO_GMEM_INIT_SHARED, 9, 1, T_ALL_FLAGS,
	  -EINVAL },
	{ "huge without order", 2ULL << 20, CLO_GMEM_HUGETLB, 0, 1, T_ALL_FLAGS, -EINVAL },
	{ "order without huge", 2ULL << 20, 0, 9, 1, T_ALL_FLAGS, -EINVAL },
	{ "odd order", 2ULL << 20, CLO_GMEM_HUGETLB, 10, 1, T_ALL_FLAGS, -EINVAL },
	{ "order 27", 2ULL << 20, CLO_GMEM_HUGETLB, 27, 1, T_ALL_FLAGS, -EINVAL },
	{ "order 64", 2ULL << 20, CLO_GMEM_HUGETLB, 64, 1, T_ALL_FLAGS, -EINVAL },
	{ "3M of 2M pages", 3ULL << 20, CLO_GMEM_HUGETLB, 9, 1, T_ALL_FLAGS, -EINVAL },
	{ "512M of 1G pages", 512ULL << 20, CLO_GMEM_HUGETLB, 18, 1, T_ALL_FLAGS, -EINVAL },
	{ "no owner", 4096, 0, 0, 0, T_ALL_FLAGS, -EINVAL },
	{ "owner too large", 4096, 0, 0, 65536, T_ALL_FLAGS, -EINVAL },
};

TEST(create_rules)
{
	struct t_host h;

	t_host_open(&h, 16, 0);
	for (size_t i = 0; i < CLO_ARRAY_SIZE(create_rows); i++) {
		const struct create_row *row = &create_rows[i];
		struct clo_gmem_config cfg = t_config(&h, 1, row->flags, row->order);
		struct clo_gmem *g = NULL;

		test_note("%s", row->what);
		cfg.size = row->size;
		cfg.owner = row->owner;
		cfg.valid_flags = row->valid;
		CHECK_ERR(clo_gmem_open(h.db, NULL, &cfg, &g), row->err);
		CHECK((g != NULL) == (row->err == 0));
		if (!g)
			continue;
		CHECK_EQ(clo_gmem_size(g), row->size);
		CHECK_EQ(clo_gmem_flags(g), row->flags);
		CHECK_EQ(clo_gmem_page_order(g), row->order);
		CHECK_EQ(clo_gmem_owner(g), row->owner);
		CHECK_EQ(clo_gmem_vm(g), &h.vm);
		CHECK_EQ(clo_gmem_pagedb(g), h.db);
		CHECK_EQ(clo_gmem_views(g), NULL);
		CHECK_EQ(clo_attr_is_private(clo_gmem_attr(g), 0),
			 !(row->flags & CLO_GMEM_INIT_SHARED));
		clo_gmem_release(g);
	}
	t_host_close(&h);
}

TEST(folio_is_made_once_and_zeroed)
{
	struct t_host h;
	struct clo_gmem *g;
	struct clo_pfn pfn, again;
	unsigned order = 99;

	t_host_open(&h, 16, 16);
	t_soil(h.db, 16);
	g = t_file(&h, 8, 0, 0);
	CHECK(!clo_gmem_pfn(g, 0, &pfn));
	CHECK(!clo_gmem_pfn(g, 8, &pfn));
	CHECK_OK(t_get(g, 3, true, &pfn, &order));
	CHECK_EQ(order, 0);
	t_check_zero(g, pfn);
	CHECK_EQ(t_frame(g, 3).state, CLO_FRAME_PRIVATE);
	CHECK_EQ(t_frame(g, 3).owner, T_OWNER);
	CHECK_EQ(t_frame(g, 3).flags, CLO_FRAME_UPTODATE);
	t_bytes(g, pfn)[5] = 0x5a;
	again = t_page(g, 3, true);
	CHECK_EQ(again.n, pfn.n);
	CHECK_EQ(t_bytes(g, pfn)[5], 0x5a);
	CHECK(clo_gmem_pfn(g, 3, &again));
	CHECK_EQ(again.n, pfn.n);
	CHECK(clo_gmem_pfn(g, 7, &again));
	CHECK_EQ(again.n, pfn.n + 4);
	CHECK_EQ(t_stats(g).allocated, 1);
	CHECK_EQ(t_stats(g).private_frames, 1);
	CHECK_EQ(t_stats(g).zeroed, 1);
	clo_gmem_release(g);
	t_host_close(&h);
}

TEST(get_folio_errno)
{
	struct t_host h;
	struct clo_gmem *g;
	struct clo_pfn pfn, head;
	unsigned order;

	t_host_open(&h, 3, 64);
	g = t_file(&h, 8, 0, 0);
	CHECK_ERR(t_get(g, 8, true, &pfn, &order), -EFAULT);
	CHECK_ERR(t_get(g, UINT64_MAX, true, &pfn, &order), -EFAULT);
	/* The attribute decides where there is no folio, the folio where there is one. */
	CHECK_ERR(t_get(g, 0, false, &pfn, &order), -EACCES);
	pfn = t_page(g, 0, true);
	CHECK_ERR(t_get(g, 0, false, &pfn, &order), -EACCES);
	/* A conversion holds the folio. */
	CHECK(clo_page_lock(h.db, pfn, &head));
	CHECK_ERR(t_get(g, 0, true, &pfn, &order), -EAGAIN);
	clo_page_unlock(h.db, head);
	/* Nothing new while the range changes, but what is there is served. */
	clo_inval_begin(clo_gmem_inval(g), clo_range(0, 8));
	CHECK_ERR(t_get(g, 1, true, &pfn, &order), -EAGAIN);
	CHECK_OK(t_get(g, 0, true, &pfn, &order));
	clo_inval_end(clo_gmem_inval(g), clo_range(0, 8));
	CHECK_EQ(t_frames(h.db), 1);
	clo_page_set_poison(h.db, pfn, true);
	CHECK_ERR(t_get(g, 0, true, &pfn, &order), -EHWPOISON);
	clo_page_set_poison(h.db, pfn, false);
	CHECK_OK(t_get(g, 0, true, &pfn, &order));
	(void)t_page(g, 1, true);
	(void)t_page(g, 2, true);
	CHECK_ERR(t_get(g, 3, true, &pfn, &order), -ENOMEM);
	clo_gmem_get(g);
	clo_gmem_release(g);
	CHECK_ERR(t_get(g, 0, true, &pfn, &order), -EFAULT);
	clo_gmem_put(g);
	t_host_close(&h);
}

/* Two files hand one frame back and forth: nobody reads the other's bytes. */
TEST(no_old_bytes)
{
	struct t_host h;

	t_host_open(&h, 1, 1);
	for (unsigned i = 0; i < 4; i++) {
		struct clo_gmem *g = t_file(&h, 1, i & 1 ? CLO_GMEM_INIT_SHARED : 0, 0);
		struct clo_pfn pfn = t_page(g, 0, !(i & 1));

		t_check_zero(g, pfn);
		memset(t_bytes(g, pfn), 0xa0 + (int)i, CLO_PAGE_SIZE);
		clo_gmem_release(g);
	}
	/* The same without the zeroing shows that the test sees it. (Anonymous memory came back as
	 * zeroes; soil it.) */
	clo_break_set(CLO_BREAK_ZERO, true);
	t_soil(h.db, 1);
	{
		struct clo_gmem *g = t_file(&h, 1, 0, 0);

		CHECK_EQ(t_bytes(g, t_page(g, 0, true))[0], 0xee);
		clo_gmem_release(g);
	}
	clo_break_set(CLO_BREAK_ZERO, false);
	t_host_close(&h);
}

TEST(prepare_is_asked_for_private_use)
{
	struct t_host h;
	struct clo_gmem_config cfg;
	struct clo_gmem *g;
	struct clo_pfn pfn;
	unsigned order;

	t_host_open(&h, 1024, 4096);
	t_soil(h.db, 8);
	cfg = t_config(&h, 8, CLO_GMEM_MMAP, 0);
	t_hooks(&cfg);
	CHECK_OK(clo_gmem_open(h.db, NULL, &cfg, &g));
	h.vm.prepare_ret = -EIO;
	CHECK_ERR(clo_gmem_get_folio(g, 2, clo_gfn(102), true, &pfn, &order), -EIO);
	CHECK(h.vm.prepare_locked);
	CHECK_EQ(h.vm.prepared.gfn.n, 102);
	CHECK_EQ(h.vm.prepared.order, 0);
	/* The folio stays, not up to date, unlocked. */
	CHECK_EQ(t_frame(g, 2).state, CLO_FRAME_PRIVATE);
	CHECK_EQ(t_frame(g, 2).flags, 0);
	CHECK_EQ(t_stats(g).prepared, 0);
	h.vm.prepare_ret = 0;
	CHECK_OK(clo_gmem_get_folio(g, 2, clo_gfn(102), true, &pfn, &order));
	CHECK_EQ(t_frame(g, 2).flags, CLO_FRAME_UPTODATE | CLO_FRAME_PREPARED);
	t_bytes(g, pfn)[0] = 0x77;
	CHECK_EQ(h.vm.prepare_calls, 2);
	/* As KVM: on each use, because the kind may have changed meanwhile. Its failure then keeps
	 * the content. */
	h.vm.prepare_ret = -EBUSY;
	CHECK_ERR(clo_gmem_get_folio(g, 2, clo_gfn(102), true, &pfn, &order), -EBUSY);
	CHECK_EQ(t_frame(g, 2).flags, CLO_FRAME_UPTODATE | CLO_FRAME_PREPARED);
	h.vm.prepare_ret = 0;
	CHECK_OK(clo_gmem_get_folio(g, 2, clo_gfn(102), true, &pfn, &order));
	CHECK_EQ(t_bytes(g, pfn)[0], 0x77);
	CHECK_EQ(t_stats(g).prepared, 2);
	/* Shared use asks nobody. */
	t_convert(g, clo_range(2, 3), false);
	CHECK_OK(t_get(g, 2, false, &pfn, &order));
	CHECK_EQ(t_bytes(g, pfn)[0], 0x77);
	CHECK_EQ(h.vm.prepare_calls, 4);
	clo_gmem_release(g);
	t_host_close(&h);
}

TEST(no_direct_map)
{
	struct t_host h;
	struct clo_gmem *g;

	t_host_open(&h, 8, 8);
	g = t_file(&h, 4, CLO_GMEM_NO_DIRECT_MAP, 0);
	(void)t_page(g, 0, true);
	CHECK_EQ(t_frame(g, 0).flags, CLO_FRAME_UPTODATE | CLO_FRAME_NODIRECT);
	t_convert(g, clo_range(1, 2), false);
	(void)t_page(g, 1, false);
	CHECK_EQ(t_frame(g, 1).flags, CLO_FRAME_UPTODATE);
	clo_gmem_release(g);
	t_host_close(&h);
}

/* The largest file, touched at both ends and between: it costs windows and nodes, not its size. */
TEST(sparse_file)
{
	const uint64_t npages = ((1ULL << 63) - 4096) >> CLO_PAGE_SHIFT;
	const uint64_t at[] = {
		0, 1, (1ULL << 18) - 1, 1ULL << 18, (1ULL << 27) + 5, 1ULL << 40, npages - 1
	};
	uint64_t live = clo_alloc_live();
	struct t_host h;
	struct clo_gmem *g;

	t_host_open(&h, 64, 1ULL << 22);
	g = t_file(&h, npages, 0, 0);
	for (size_t i = 0; i < CLO_ARRAY_SIZE(at); i++) {
		struct clo_pfn pfn = t_page(g, at[i], true);

		CHECK_EQ(pfn.n % (1ULL << 18), at[i] % (1ULL << 18));
		*(uint64_t *)(void *)t_bytes(g, pfn) = at[i];
	}
	for (size_t i = 0; i < CLO_ARRAY_SIZE(at); i++)
		CHECK_EQ(*(uint64_t *)(void *)t_bytes(g, t_page(g, at[i], true)), at[i]);
	CHECK_EQ(t_stats(g).allocated, CLO_ARRAY_SIZE(at));
	CHECK_OK(t_punch(g, 1, npages - 2));
	CHECK_EQ(t_stats(g).allocated, 2);
	CHECK_EQ(t_stats(g).punched, CLO_ARRAY_SIZE(at) - 2);
	clo_gmem_release(g);
	t_host_close(&h);
	CHECK_EQ(clo_alloc_live(), live);
}

/* One way through everything that allocates. Returns the first error and leaves nothing. */
static int use_all(struct t_host *h)
{
	struct clo_gmem_config cfg = t_config(h, 1ULL << 20, CLO_GMEM_MMAP, 0);
	struct clo_gmem_pin *pin = NULL;
	struct clo_gmem *g;
	struct clo_pfn pfn;
	unsigned order;
	int ret = clo_gmem_open(h->db, h->vh, &cfg, &g);

	if (ret)
		return ret;
	ret = t_get(g, 5, true, &pfn, &order);
	if (ret == 0)
		ret = t_allocate(g, (1ULL << 18) - 2, 4);
	if (ret == 0)
		ret = clo_attr_set(clo_gmem_attr(g), clo_range(1ULL << 19, (1ULL << 19) + 3),
				   false);
	if (ret == 0)
		ret = clo_gmem_pin_nowait(g, 1ULL << 31, 3 * 4096, "test", &pin, NULL);
	if (ret == 0)
		CHECK_EQ(t_stats(g).pins, 3);
	clo_gmem_unpin(pin);
	clo_gmem_release(g);
	CHECK_EQ(t_frames(h->db), 0);
	return ret;
}

TEST(nth_allocation_fails)
{
	struct t_host h;
	uint64_t n, live;

	t_host_open(&h, 64, 1ULL << 20);
	live = clo_alloc_live();
	for (n = 1;; n++) {
		int ret;

		clo_alloc_fail_at(n);
		ret = use_all(&h);
		clo_alloc_fail_at(0);
		clo_rcu_barrier();
		CHECK_EQ(clo_alloc_live(), live);
		if (ret == 0)
			break;
		CHECK_ERR(ret, -ENOMEM);
	}
	CHECK_LT(4, n); /* file, attribute, windows, node, pin */
	t_host_close(&h);
}

TEST(create_without_memory)
{
	struct t_host h;
	struct clo_gmem_config cfg;
	struct clo_gmem *g = NULL;

	t_host_open(&h, 16, 0);
	cfg = t_config(&h, 4, 0, 0);
	clo_alloc_fail_at(1);
	CHECK_ERR(clo_gmem_open(h.db, NULL, &cfg, &g), -ENOMEM);
	clo_alloc_fail_at(2);
	CHECK_ERR(clo_gmem_open(h.db, NULL, &cfg, &g), -ENOMEM);
	clo_alloc_fail_at(0);
	CHECK_EQ(g, NULL);
	t_host_close(&h);
}

TEST(zap_reasons_have_names)
{
	for (unsigned i = 0; i < CLO_ZAP_REASON_COUNT; i++) {
		for (unsigned k = 0; k < i; k++)
			CHECK(strcmp(clo_zap_reason_name((enum clo_zap_reason)i),
				     clo_zap_reason_name((enum clo_zap_reason)k)) != 0);
	}
	CHECK_STR(clo_zap_reason_name(CLO_ZAP_REASON_COUNT), "?");
}
