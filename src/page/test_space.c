/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page/test_space.c - pfn space: pools of all kinds, many of them, windows, and walks over what is
 * used.
 */
#include "page/page.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness/test.h"

#define OWNER 3U

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

TEST(pool_kinds)
{
	struct clo_pagedb *db;
	struct clo_pfn w;
	uint64_t n = 0;

	CHECK_OK(clo_pagedb_create(CLO_POOL_ANON, 8, 32, &db));
	CHECK_EQ(clo_pagedb_kind(db), CLO_POOL_ANON);
	CHECK_EQ(clo_pagedb_fd(db), -1);
	CHECK_OK(clo_page_window_reserve(db, 5, CLO_WINDOW_LAST, &w));
	CHECK_ERR(clo_page_window_reserve(db, 0, CLO_WINDOW_LAST, &w), -ENOMEM);
	clo_pagedb_destroy(db);

	CHECK_OK(clo_pagedb_create(CLO_POOL_MEMFD, 8, 0, &db));
	CHECK_EQ(clo_pagedb_kind(db), CLO_POOL_MEMFD);
	CHECK_LE(0, clo_pagedb_fd(db));
	while (clo_page_window_reserve(db, 18, CLO_WINDOW_LAST, &w) == 0)
		n++;
	CHECK_EQ(stats(db).windows, n);
	CHECK_LE(16, n); /* less than 16 GiB of address space, even under a sanitizer? */
	CHECK_EQ(w.n, (n - 1) << 18);
	/* The direct map and the file are the same memory, also at the far end. */
	CHECK_OK(clo_page_alloc(db, w, 0, OWNER, CLO_FRAME_ALLOC_SHARED));
	memset(clo_page_addr(db, w), 'x', CLO_PAGE_SIZE);
	char c = 0;
	CHECK_EQ(pread(clo_pagedb_fd(db), &c, 1, (off_t)clo_page_file_off(w)), 1);
	CHECK_EQ(c, 'x');
	test_note("%lu GiB of pfn space", n);
	clo_pagedb_destroy(db);
}

/* Each host of a process finds room, and none takes what the views and the VMM need. */
TEST(many_pools)
{
	struct clo_pagedb *db[24];
	void *p;

	for (size_t i = 0; i < CLO_ARRAY_SIZE(db); i++)
		CHECK_OK(clo_pagedb_create(CLO_POOL_MEMFD, 1 << 20, 0, &db[i]));
	p = mmap(NULL, 1ULL << 36, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(p != MAP_FAILED);
	munmap(p, 1ULL << 36);
	for (size_t i = 0; i < CLO_ARRAY_SIZE(db); i++)
		clo_pagedb_destroy(db[i]);
}

/* A guest may touch one page in each 1G, and after it nobody else finds a window. */
TEST(windows_keep_room_for_others)
{
	struct clo_pagedb *db = pool(16, 64);
	struct clo_pfn w, first;
	unsigned n;

	CHECK_OK(clo_page_window_reserve(db, 3, CLO_WINDOW_WANTED, &first));
	for (n = 1; clo_page_window_reserve(db, 3, CLO_WINDOW_WANTED, &w) == 0; n++)
		;
	CHECK_EQ(n, 4); /* half */
	CHECK_ERR(clo_page_window_reserve(db, 0, CLO_WINDOW_WANTED, &w), -ENOMEM);
	for (n = 0; clo_page_window_reserve(db, 3, CLO_WINDOW_NEEDED, &w) == 0; n++)
		;
	CHECK_EQ(n, 2); /* a quarter more */
	for (n = 0; clo_page_window_reserve(db, 0, CLO_WINDOW_LAST, &w) == 0; n++)
		;
	CHECK_EQ(n, 16);
	clo_page_window_release(db, first, 3);
	CHECK_ERR(clo_page_window_reserve(db, 3, CLO_WINDOW_NEEDED, &w), -ENOMEM);
	CHECK_OK(clo_page_window_reserve(db, 3, CLO_WINDOW_LAST, &w));
	CHECK_EQ(w.n, first.n);
	clo_pagedb_destroy(db);
}

/* A walk meets all that is there, and nothing else, however far apart. */
TEST(next_used)
{
	struct clo_rand r = { test_seed() };
	const uint64_t space = 1ULL << 21; /* 8 GiB */
	struct clo_pagedb *db = pool(4096, space);
	uint64_t at[40], count = 0;
	struct clo_pfn p = clo_pfn(0);

	CHECK(!clo_page_next_used(db, &p, space));
	CHECK_EQ(p.n, space);
	for (size_t i = 0; i < CLO_ARRAY_SIZE(at); i++) {
		unsigned order = clo_rand_below(&r, 10) == 0 ? 9 : 0;

		at[i] = clo_align_down(clo_rand_below(&r, space), 1ULL << order);
		if (clo_page_alloc(db, clo_pfn(at[i]), order, OWNER, CLO_FRAME_ALLOC_SHARED))
			at[i] = space;
	}
	for (size_t i = 0; i < CLO_ARRAY_SIZE(at); i += 3) {
		if (at[i] < space)
			CHECK_OK(clo_page_step(db, clo_pfn(at[i]), CLO_FRAME_FREE_OP));
	}
	for (p = clo_pfn(0); clo_page_next_used(db, &p, space); p.n++, count++)
		CHECK_NE(clo_frame_get(db, p).state, CLO_FRAME_FREE);
	CHECK_EQ(count, stats(db).frames_used);
	p = clo_pfn(at[1]);
	CHECK(at[1] == space || (clo_page_next_used(db, &p, at[1] + 1) && p.n == at[1]));
	clo_pagedb_destroy(db);
}

TEST(windows)
{
	struct clo_pagedb *db = pool(1, 1024);
	struct clo_pfn w[128], any;
	struct clo_pagedb_stats s;

	CHECK_ERR(clo_page_window_reserve(db, 19, CLO_WINDOW_LAST, w), -EINVAL);
	CHECK_ERR(clo_page_window_reserve(db, 11, CLO_WINDOW_LAST, w), -ENOMEM);
	for (size_t n = 0; n < 128; n++) {
		CHECK_OK(clo_page_window_reserve(db, 3, CLO_WINDOW_LAST, &w[n]));
		CHECK_EQ(w[n].n, n * 8); /* the lowest of equals */
	}
	CHECK_ERR(clo_page_window_reserve(db, 0, CLO_WINDOW_LAST, &any), -ENOMEM);
	/* Best fit: a hole of one is used before a hole of two is broken. */
	clo_page_window_release(db, w[2], 3);
	clo_page_window_release(db, w[3], 3);
	clo_page_window_release(db, w[7], 3);
	CHECK_OK(clo_page_window_reserve(db, 3, CLO_WINDOW_LAST, &any));
	CHECK_EQ(any.n, 56);
	CHECK_OK(clo_page_window_reserve(db, 4, CLO_WINDOW_LAST, &any));
	CHECK_EQ(any.n, 16);
	clo_pagedb_stats(db, &s);
	CHECK_EQ(s.windows, 127);
	clo_pagedb_destroy(db);

	db = pool(1, 1000); /* not a power of two: nothing is given beyond the end */
	for (size_t n = 0; n < 125; n++) {
		CHECK_OK(clo_page_window_reserve(db, 3, CLO_WINDOW_LAST, &any));
		CHECK_LT(any.n, 1000);
	}
	CHECK_ERR(clo_page_window_reserve(db, 0, CLO_WINDOW_LAST, &any), -ENOMEM);
	clo_pagedb_destroy(db);
}

TEST(windows_random)
{
	struct clo_rand r = { test_seed() };
	struct clo_pagedb *db = pool(1, 700);
	unsigned char used[700] = { 0 };
	struct {
		struct clo_pfn base;
		unsigned order;
	} live[700];
	size_t count = 0;

	for (unsigned step = 0; step < 20000; step++) {
		unsigned order = (unsigned)clo_rand_below(&r, 7);
		struct clo_pfn base;

		if (clo_rand_below(&r, 2) && count) {
			size_t i = (size_t)clo_rand_below(&r, count);

			clo_page_window_release(db, live[i].base, live[i].order);
			memset(used + live[i].base.n, 0, 1U << live[i].order);
			live[i] = live[--count];
		} else if (clo_page_window_reserve(db, order, CLO_WINDOW_LAST, &base) == 0) {
			CHECK(clo_is_aligned(base.n, 1U << order));
			for (uint64_t n = base.n; n < base.n + (1U << order); n++) {
				CHECK_LT(n, 700);
				CHECK_EQ(used[n]++, 0);
			}
			live[count].base = base;
			live[count++].order = order;
		} else { /* refused: then there really is none */
			for (size_t n = 0; n + (1U << order) <= 700; n += 1U << order)
				CHECK(memchr(used + n, 1, 1U << order) != NULL);
		}
	}
	clo_pagedb_destroy(db);
}
