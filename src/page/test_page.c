/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page/test_page.c - the pool, the state table cell by cell, flags, content, every errno.
 */
#include "page/page.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness/test.h"

#define OWNER 7U

static struct clo_pagedb *pool(uint64_t limit, uint64_t space)
{
	struct clo_pagedb *db;

	CHECK_OK(clo_pagedb_create(CLO_POOL_ANON, limit, space, &db));
	return db;
}

static struct clo_pagedb_stats stats(const struct clo_pagedb *db)
{
	struct clo_pagedb_stats s;

	clo_pagedb_stats(db, &s);
	return s;
}

static void alloc(struct clo_pagedb *db, uint64_t pfn, unsigned order, enum clo_frame_op op)
{
	CHECK_OK(clo_page_alloc(db, clo_pfn(pfn), order, OWNER, op));
}

static void same(struct clo_frame_info a, struct clo_frame_info b)
{
	CHECK_EQ(a.state, b.state);
	CHECK_EQ(a.flags, b.flags);
	CHECK_EQ(a.order, b.order);
	CHECK_EQ(a.owner, b.owner);
	CHECK_EQ(a.pins, b.pins);
}

/* The whole table, said once more and by hand: state before, op, state after (COUNT = refused). */
static const enum clo_frame_state wanted[CLO_FRAME_STATE_COUNT][CLO_FRAME_OP_COUNT] = {
	[CLO_FRAME_FREE] = { CLO_FRAME_SHARED, CLO_FRAME_PRIVATE, CLO_FRAME_STATE_COUNT,
			     CLO_FRAME_STATE_COUNT, CLO_FRAME_STATE_COUNT, CLO_FRAME_STATE_COUNT },
	[CLO_FRAME_SHARED] = { CLO_FRAME_STATE_COUNT, CLO_FRAME_STATE_COUNT, CLO_FRAME_PRIVATE,
			       CLO_FRAME_STATE_COUNT, CLO_FRAME_FREE, CLO_FRAME_LEAKED },
	[CLO_FRAME_PRIVATE] = { CLO_FRAME_STATE_COUNT, CLO_FRAME_STATE_COUNT, CLO_FRAME_STATE_COUNT,
				CLO_FRAME_SHARED, CLO_FRAME_FREE, CLO_FRAME_LEAKED },
	[CLO_FRAME_LEAKED] = { CLO_FRAME_STATE_COUNT, CLO_FRAME_STATE_COUNT, CLO_FRAME_STATE_COUNT,
			       CLO_FRAME_STATE_COUNT, CLO_FRAME_STATE_COUNT,
			       CLO_FRAME_STATE_COUNT },
};

/* What a leaf maps is lost whole, with or without pins. */
static void leak_all(struct clo_pagedb *db, unsigned order)
{
	for (uint64_t i = 0; i < 1U << order; i++)
		CHECK_OK(clo_page_rmap_claim(db, clo_pfn(i), CLO_LEVEL_4K, OWNER, clo_gfn(i)));
	CHECK_OK(clo_page_step(db, clo_pfn(0), CLO_FRAME_LEAK));
}

/* A locked folio of @order at 0 can be stepped; FREE and LEAKED frames only meet alloc and lock. */
static void cell(enum clo_frame_state from, enum clo_frame_op op, unsigned order)
{
	enum clo_frame_state to = wanted[from][op];
	struct clo_pagedb *db = pool(64, 64);
	struct clo_frame_info before;

	if (from != CLO_FRAME_FREE)
		alloc(db, 0, order,
		      from == CLO_FRAME_PRIVATE ? CLO_FRAME_ALLOC_PRIVATE : CLO_FRAME_ALLOC_SHARED);
	if (from == CLO_FRAME_LEAKED)
		leak_all(db, order);
	before = clo_frame_get(db, clo_pfn(0));
	CHECK_EQ(before.state, from);
	if (from == CLO_FRAME_FREE) {
		CHECK_ERR(clo_page_alloc(db, clo_pfn(0), order, OWNER, op),
			  to == CLO_FRAME_STATE_COUNT ? -EINVAL : 0);
	} else if (from == CLO_FRAME_LEAKED) {
		CHECK(!clo_page_lock(db, clo_pfn(0), NULL));
		CHECK(!clo_page_trylock(db, clo_pfn(0), NULL));
		CHECK_ERR(clo_page_alloc(db, clo_pfn(0), order, OWNER, op),
			  op <= CLO_FRAME_ALLOC_PRIVATE ? -EEXIST : -EINVAL);
	} else if (to == CLO_FRAME_LEAKED) {
		leak_all(db, order);
	} else {
		CHECK_ERR(clo_page_step(db, clo_pfn(0), op),
			  to == CLO_FRAME_STATE_COUNT ? -EPERM : 0);
	}
	for (uint64_t i = 0; i < 1U << order; i++) {
		struct clo_frame_info f = clo_frame_get(db, clo_pfn(i));

		if (to == CLO_FRAME_STATE_COUNT && i == 0)
			same(f, before);
		CHECK_EQ(f.state, to == CLO_FRAME_STATE_COUNT ? from : to);
		CHECK_EQ(f.owner == 0, f.state == CLO_FRAME_FREE);
		CHECK_EQ(f.order,
			 f.state == CLO_FRAME_FREE || f.state == CLO_FRAME_LEAKED ? 0 : order);
	}
	CHECK_EQ(stats(db).frames_used,
		 clo_frame_get(db, clo_pfn(0)).state == CLO_FRAME_FREE ? 0 : 1U << order);
	clo_pagedb_destroy(db);
}

TEST(state_table)
{
	for (enum clo_frame_state s = 0; s < CLO_FRAME_STATE_COUNT; s++) {
		for (enum clo_frame_op op = 0; op < CLO_FRAME_OP_COUNT; op++) {
			CHECK_EQ(clo_frame_next[s][op], wanted[s][op]);
			cell(s, op, 0);
			cell(s, op, 3);
		}
	}
}

TEST(names)
{
	CHECK_STR(clo_frame_state_name(CLO_FRAME_FREE), "free");
	CHECK_STR(clo_frame_state_name(CLO_FRAME_LEAKED), "leaked");
	CHECK_STR(clo_frame_state_name(CLO_FRAME_STATE_COUNT), "?");
	CHECK_STR(clo_frame_op_name(CLO_FRAME_ALLOC_SHARED), "alloc_shared");
	CHECK_STR(clo_frame_op_name(CLO_FRAME_LEAK), "leak");
	CHECK_STR(clo_frame_op_name(CLO_FRAME_OP_COUNT), "?");
}

TEST(create_errors)
{
	struct clo_pagedb *db = NULL;
	struct rlimit saved, none;

	CHECK_ERR(clo_pagedb_create(CLO_POOL_ANON, 0, 0, &db), -EINVAL);
	CHECK_ERR(clo_pagedb_create(CLO_POOL_ANON, 8, 7, &db), -EINVAL);
	CHECK_ERR(clo_pagedb_create(CLO_POOL_ANON, 8, (1ULL << 38) + 1, &db), -EINVAL);
	CHECK_ERR(clo_pagedb_create(CLO_POOL_ANON, (1ULL << 38) + 1, 0, &db), -EINVAL);
	/* 1 PiB of address space is more than there is. */
	CHECK_ERR(clo_pagedb_create(CLO_POOL_ANON, 1, 1ULL << 38, &db), -ENOMEM);
	CHECK_ERR(clo_pagedb_create(CLO_POOL_MEMFD, 1, 1ULL << 38, &db), -ENOMEM);
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &saved));
	none = (struct rlimit){ 0, saved.rlim_max };
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &none));
	CHECK_ERR(clo_pagedb_create(CLO_POOL_MEMFD, 1, 0, &db), -EMFILE);
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &saved));
	CHECK(db == NULL);
}

TEST(create_allocation_failures)
{
	static const enum clo_pool_kind kinds[] = { CLO_POOL_ANON, CLO_POOL_MEMFD };

	for (size_t k = 0; k < CLO_ARRAY_SIZE(kinds); k++) {
		uint64_t live = clo_alloc_live();
		struct clo_pagedb *db;
		uint64_t n = 1;

		for (;; n++) {
			clo_alloc_fail_at(n);
			if (clo_pagedb_create(kinds[k], 16, 64, &db) == 0)
				break;
			CHECK_EQ(clo_alloc_live(), live);
			CHECK_LT(n, 10);
		}
		clo_alloc_fail_at(0);
		CHECK_LT(2, n);
		clo_pagedb_destroy(db);
		CHECK_EQ(clo_alloc_live(), live);
	}
	clo_pagedb_destroy(NULL);
}

static uint64_t free_huge_pages(void)
{
	FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");
	unsigned long n = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%lu", &n) != 1)
		n = 0;
	(void)fclose(f);
	return n;
}

TEST(hugetlb_pool)
{
	struct clo_pagedb *db;
	uint64_t n = free_huge_pages();
	int ret = clo_pagedb_create(CLO_POOL_HUGETLB, 1 << 20, 0, &db);

	if (n == 0) {
		CHECK(ret == -ENOMEM || ret == -ENOSYS || ret == -EINVAL);
		SKIP("no free huge pages");
	}
	CHECK_OK(ret);
	/* The host's limit is large, but each huge page must be there: no signal at the first
	 * touch. */
	for (uint64_t i = 0; i <= n; i++) {
		ret = clo_page_alloc(db, clo_pfn(i * 512), 9, OWNER, CLO_FRAME_ALLOC_PRIVATE);
		if (ret)
			break;
		clo_page_zero(db, clo_pfn(i * 512));
	}
	CHECK_ERR(ret, -ENOMEM);
	CHECK_OK(clo_page_step(db, clo_pfn(0), CLO_FRAME_FREE_OP));
	clo_page_discard(db, clo_pfn(0), 512);
	clo_pagedb_destroy(db);
}

TEST(alloc_errors)
{
	struct clo_pagedb *db = pool(8, 32);
	struct clo_pfn at = clo_pfn(4);

	CHECK_ERR(clo_page_alloc(db, at, 0, 0, CLO_FRAME_ALLOC_SHARED), -EINVAL);
	CHECK_ERR(clo_page_alloc(db, at, 0, 65536, CLO_FRAME_ALLOC_SHARED), -EINVAL);
	CHECK_ERR(clo_page_alloc(db, at, 19, 1, CLO_FRAME_ALLOC_SHARED), -EINVAL);
	CHECK_ERR(clo_page_alloc(db, at, 3, 1, CLO_FRAME_ALLOC_SHARED), -EINVAL);
	CHECK_ERR(clo_page_alloc(db, clo_pfn(32), 0, 1, CLO_FRAME_ALLOC_SHARED), -EINVAL);
	CHECK_ERR(clo_page_alloc(db, at, 0, 1, CLO_FRAME_LEAK), -EINVAL);

	alloc(db, 4, 0, CLO_FRAME_ALLOC_SHARED);
	CHECK_ERR(clo_page_alloc(db, at, 0, 1, CLO_FRAME_ALLOC_SHARED), -EEXIST);
	CHECK_ERR(clo_page_alloc(db, clo_pfn(0), 3, 1, CLO_FRAME_ALLOC_SHARED), -EEXIST);
	CHECK_ERR(clo_page_alloc(db, clo_pfn(8), 3, 1, CLO_FRAME_ALLOC_SHARED), -ENOMEM);
	CHECK_EQ(stats(db).frames_used, 1);
	alloc(db, 8, 2, CLO_FRAME_ALLOC_PRIVATE);
	for (uint64_t i = 0; i < 3; i++)
		alloc(db, 12 + i, 0, CLO_FRAME_ALLOC_SHARED);
	CHECK_ERR(clo_page_alloc(db, clo_pfn(20), 0, 1, CLO_FRAME_ALLOC_SHARED), -ENOMEM);
	/* What is there already is said before that the host is full. */
	CHECK_ERR(clo_page_alloc(db, clo_pfn(8), 0, 1, CLO_FRAME_ALLOC_SHARED), -EEXIST);
	CHECK_EQ(clo_frame_get(db, clo_pfn(20)).state, CLO_FRAME_FREE);
	CHECK_OK(clo_page_step(db, at, CLO_FRAME_FREE_OP));
	alloc(db, 20, 0, CLO_FRAME_ALLOC_SHARED);
	clo_pagedb_destroy(db);
}

TEST(pins)
{
	struct clo_pagedb *db = pool(16, 16);
	struct clo_pfn first = clo_pfn(99);

	CHECK_ERR(clo_page_pin(db, clo_pfn(0)), -EFAULT); /* free */
	CHECK_ERR(clo_page_unpin(db, clo_pfn(0)), -EINVAL);
	for (unsigned order = 0; order <= 2; order += 2) {
		struct clo_pfn last = clo_pfn((1ULL << order) - 1);

		alloc(db, 0, order, CLO_FRAME_ALLOC_SHARED);
		clo_page_unlock(db, clo_pfn(0));
		CHECK_OK(clo_page_pin(db, last));
		CHECK_OK(clo_page_pin(db, last));
		CHECK_EQ(clo_frame_get(db, last).pins, 2);
		CHECK(clo_page_lock(db, last, NULL));
		CHECK_EQ(clo_page_pins(db, clo_pfn(0), &first), 2);
		CHECK_EQ(first.n, last.n);
		CHECK_ERR(clo_page_step(db, clo_pfn(0), CLO_FRAME_MAKE_PRIVATE), -EBUSY);
		CHECK_ERR(clo_page_step(db, clo_pfn(0), CLO_FRAME_FREE_OP), -EBUSY);
		CHECK_EQ(clo_frame_get(db, last).state, CLO_FRAME_SHARED);
		CHECK_OK(clo_page_unpin(db, last)); /* while locked */
		CHECK_OK(clo_page_unpin(db, last));
		CHECK_ERR(clo_page_unpin(db, last), -EINVAL);
		CHECK_OK(clo_page_step(db, clo_pfn(0), CLO_FRAME_MAKE_PRIVATE));
		clo_page_unlock(db, clo_pfn(0));
		CHECK_ERR(clo_page_pin(db, last), -EFAULT); /* private */
		CHECK(clo_page_lock(db, last, NULL));
		CHECK_OK(clo_page_step(db, clo_pfn(0), CLO_FRAME_FREE_OP));
	}
	clo_pagedb_destroy(db);
}

/* With the check removed I2 breaks: a private page with a pin. Without, it cannot. */
TEST(break_pin_check)
{
	struct clo_pagedb *db = pool(4, 4);

	alloc(db, 0, 0, CLO_FRAME_ALLOC_SHARED);
	clo_page_unlock(db, clo_pfn(0));
	CHECK_OK(clo_page_pin(db, clo_pfn(0)));
	CHECK(clo_page_lock(db, clo_pfn(0), NULL));
	CHECK_ERR(clo_page_step(db, clo_pfn(0), CLO_FRAME_MAKE_PRIVATE), -EBUSY);
	clo_break_set(CLO_BREAK_PIN_CHECK, true);
	CHECK_OK(clo_page_step(db, clo_pfn(0), CLO_FRAME_MAKE_PRIVATE));
	CHECK_EQ(clo_frame_get(db, clo_pfn(0)).pins, 1);
	CHECK_ERR(clo_page_step(db, clo_pfn(0), CLO_FRAME_FREE_OP), -EBUSY); /* that stays */
	clo_pagedb_destroy(db);
}

TEST(leak)
{
	struct clo_pagedb *db = pool(16, 16);
	struct clo_pfn w, lost;

	CHECK_OK(clo_page_window_reserve(db, 2, CLO_WINDOW_LAST, &w));
	alloc(db, w.n, 2, CLO_FRAME_ALLOC_SHARED);
	clo_page_unlock(db, w);
	lost = clo_pfn(w.n + 1);
	CHECK_OK(clo_page_pin(db, lost));
	CHECK_OK(clo_page_pin(db, lost));
	CHECK(clo_page_lock(db, w, NULL));
	CHECK_EQ(clo_page_step(db, w, CLO_FRAME_LEAK), 3);
	/* What has no pin is free. */
	CHECK_EQ(stats(db).frames_leaked, 1);
	CHECK_EQ(stats(db).frames_used, 1);
	CHECK_EQ(clo_frame_get(db, w).state, CLO_FRAME_FREE);
	CHECK_EQ(clo_frame_get(db, lost).pins, 2);
	CHECK_EQ(clo_frame_get(db, lost).order, 0U);
	CHECK_EQ(clo_frame_get(db, lost).owner, OWNER);
	CHECK_ERR(clo_page_pin(db, lost), -EFAULT);
	CHECK_OK(clo_page_unpin(db, lost));
	/* Neither the frame nor its window, while a pin is left. */
	CHECK_ERR(clo_page_alloc(db, lost, 0, OWNER, CLO_FRAME_ALLOC_SHARED), -EEXIST);
	clo_page_window_release(db, w, 2);
	CHECK_EQ(stats(db).windows, 1);
	CHECK_EQ(clo_page_unpin(db, lost), 1);
	CHECK_EQ(clo_frame_get(db, lost).state, CLO_FRAME_FREE);
	CHECK_EQ(stats(db).frames_leaked, 0);
	CHECK_EQ(stats(db).frames_used, 0);
	CHECK_ERR(clo_page_unpin(db, lost), -EINVAL);
	clo_page_window_release(db, w, 2);
	CHECK_EQ(stats(db).windows, 0);
	clo_pagedb_destroy(db);
}

TEST(flags)
{
	struct clo_pagedb *db = pool(16, 16);
	struct clo_pfn two = clo_pfn(2);

	for (unsigned order = 0; order <= 1; order++) {
		struct clo_pfn last = clo_pfn(two.n + (1ULL << order) - 1);

		alloc(db, two.n, order, CLO_FRAME_ALLOC_SHARED);
		CHECK_EQ(clo_frame_get(db, two).flags, CLO_FRAME_LOCKED);
		clo_page_set_uptodate(db, two, true);
		clo_page_set_direct(db, two, false);
		clo_page_set_direct(db, two, false);
		clo_page_set_poison(db, last, true);
		CHECK_EQ(stats(db).frames_nodirect, 1U << order);
		CHECK_EQ(clo_frame_get(db, last).flags & ~CLO_FRAME_LOCKED,
			 CLO_FRAME_UPTODATE | CLO_FRAME_NODIRECT | CLO_FRAME_POISON);
		if (order > 0)
			CHECK_EQ(clo_frame_get(db, two).flags & CLO_FRAME_POISON, 0U);
		CHECK_OK(clo_page_step(db, two, CLO_FRAME_MAKE_PRIVATE)); /* flags stay */
		CHECK(clo_frame_get(db, last).flags & CLO_FRAME_UPTODATE);
		clo_page_set_uptodate(db, two, false);
		clo_page_set_poison(db, last, false);
		CHECK_EQ(clo_frame_get(db, last).flags & ~CLO_FRAME_LOCKED, CLO_FRAME_NODIRECT);
		clo_page_set_direct(db, two, true);
		CHECK_EQ(stats(db).frames_nodirect, 0);
		clo_page_set_direct(db, two, false);
		clo_page_set_poison(db, two, true);
		CHECK_OK(clo_page_step(db, two, CLO_FRAME_FREE_OP));
		CHECK_EQ(stats(db).frames_nodirect, 0);
		CHECK_EQ(clo_frame_get(db, two).flags, 0U);
	}
	clo_pagedb_destroy(db);
}

TEST(lock)
{
	struct clo_pagedb *db = pool(16, 16);
	struct clo_pfn head = clo_pfn(77);

	CHECK(!clo_page_lock(db, clo_pfn(5), &head));
	CHECK(!clo_page_trylock(db, clo_pfn(5), &head));
	alloc(db, 4, 2, CLO_FRAME_ALLOC_PRIVATE);
	CHECK(!clo_page_trylock(db, clo_pfn(5), &head));
	CHECK_EQ(head.n, 77);
	clo_page_unlock(db, clo_pfn(4));
	CHECK(clo_page_trylock(db, clo_pfn(7), &head));
	CHECK_EQ(head.n, 4);
	clo_page_unlock(db, head);
	CHECK(clo_page_lock(db, clo_pfn(6), &head));
	CHECK_EQ(head.n, 4);
	clo_pagedb_destroy(db);
}

/* I3 is real: bytes outlive the folio until somebody zeroes. */
TEST(content)
{
	struct clo_pagedb *db = pool(16, 16);
	unsigned char *p = clo_page_addr(db, clo_pfn(4));
	char own[16];
	struct clo_hva hva = { (uintptr_t)own };

	alloc(db, 4, 2, CLO_FRAME_ALLOC_PRIVATE);
	memset(p - CLO_PAGE_SIZE, 's', 6 * CLO_PAGE_SIZE);
	CHECK_OK(clo_page_step(db, clo_pfn(4), CLO_FRAME_FREE_OP));
	alloc(db, 4, 1, CLO_FRAME_ALLOC_SHARED);
	CHECK_EQ(p[0], 's');
	clo_page_zero(db, clo_pfn(4));
	for (size_t i = 0; i < 2 * CLO_PAGE_SIZE; i++)
		CHECK_EQ(p[i], 0);
	CHECK_EQ(p[-1], 's');
	CHECK_EQ(p[2 * CLO_PAGE_SIZE], 's');
	clo_page_discard(db, clo_pfn(6), 1);
	CHECK(p[2 * CLO_PAGE_SIZE] == 's' || p[2 * CLO_PAGE_SIZE] == 0);
	CHECK_EQ(p[3 * CLO_PAGE_SIZE], 's');
	/* The VMM's memory has pfns too. */
	CHECK(clo_pfn_is_user(clo_pfn_of_hva(hva)));
	CHECK(!clo_pfn_is_user(clo_pfn(4)));
	CHECK_EQ((uintptr_t)clo_page_addr(db, clo_pfn_of_hva(hva)), hva.a & ~CLO_PAGE_MASK);
	clo_pagedb_destroy(db);
}

#ifndef CLO_SYNC_EXPLORE
TEST(discard_gives_memory_back)
{
	struct clo_pagedb *db;
	unsigned char *p;

	CHECK_OK(clo_pagedb_create(CLO_POOL_MEMFD, 16, 16, &db));
	p = clo_page_addr(db, clo_pfn(0));
	memset(p, 'x', 16 * CLO_PAGE_SIZE);
	clo_page_discard(db, clo_pfn(4), 8);
	CHECK_EQ(p[4 * CLO_PAGE_SIZE - 1], 'x');
	CHECK_EQ(p[4 * CLO_PAGE_SIZE], 0);
	CHECK_EQ(p[12 * CLO_PAGE_SIZE - 1], 0);
	CHECK_EQ(p[12 * CLO_PAGE_SIZE], 'x');
	clo_pagedb_destroy(db);
}
#endif

TEST(rmap)
{
	struct clo_pagedb *db = pool(16, 16);
	struct clo_pfn f = clo_pfn(3);
	struct clo_gfn gfn = clo_gfn((1ULL << 40) - 1);
	enum clo_level level;
	uint32_t vm;
	struct clo_gfn got;

	alloc(db, 3, 0, CLO_FRAME_ALLOC_PRIVATE);
	CHECK(!clo_page_rmap_get(db, f, &level, &vm, &got));
	CHECK_ERR(clo_page_rmap_drop(db, f, 65535, gfn), -ENOENT);
	CHECK_OK(clo_page_rmap_claim(db, f, CLO_LEVEL_2M, 65535, gfn));
	CHECK_OK(clo_page_rmap_claim(db, f, CLO_LEVEL_2M, 65535, gfn));
	CHECK(clo_page_rmap_get(db, f, &level, &vm, &got));
	CHECK_EQ(level, CLO_LEVEL_2M);
	CHECK_EQ(vm, 65535U);
	CHECK_EQ(got.n, gfn.n);
	CHECK_ERR(clo_page_rmap_claim(db, f, CLO_LEVEL_2M, 65534, gfn), -EEXIST);
	CHECK_ERR(clo_page_rmap_claim(db, f, CLO_LEVEL_2M, 65535, clo_gfn(0)), -EEXIST);
	CHECK_OK(clo_page_rmap_claim(db, f, CLO_LEVEL_4K, 65535, gfn));
	CHECK(clo_page_rmap_get(db, f, &level, &vm, &got));
	CHECK_EQ(level, CLO_LEVEL_4K);
	CHECK_ERR(clo_page_step(db, f, CLO_FRAME_FREE_OP), -EBUSY);
	CHECK_ERR(clo_page_rmap_drop(db, f, 1, gfn), -ENOENT);
	CHECK_ERR(clo_page_rmap_drop(db, f, 65535, clo_gfn(1)), -ENOENT);
	CHECK_OK(clo_page_rmap_drop(db, f, 65535, gfn));
	CHECK_OK(clo_page_rmap_claim(db, f, CLO_LEVEL_4K, 1, clo_gfn(0)));
	CHECK_OK(clo_page_rmap_drop(db, f, 1, clo_gfn(0)));
	CHECK_OK(clo_page_step(db, f, CLO_FRAME_FREE_OP));
	clo_pagedb_destroy(db);
}

/* With the check removed I1 breaks: two guests take the same frame. */
TEST(break_page_rmap)
{
	struct clo_pagedb *db = pool(4, 4);

	alloc(db, 0, 0, CLO_FRAME_ALLOC_PRIVATE);
	CHECK_OK(clo_page_rmap_claim(db, clo_pfn(0), CLO_LEVEL_4K, 1, clo_gfn(5)));
	CHECK_ERR(clo_page_rmap_claim(db, clo_pfn(0), CLO_LEVEL_4K, 2, clo_gfn(5)), -EEXIST);
	clo_break_set(CLO_BREAK_PAGE_RMAP, true);
	CHECK_OK(clo_page_rmap_claim(db, clo_pfn(0), CLO_LEVEL_4K, 2, clo_gfn(5)));
	clo_pagedb_destroy(db);
}
