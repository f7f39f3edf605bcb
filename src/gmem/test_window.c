/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/test_window.c - windows of the pool's space: what sparse files and failed calls take, and
 * that they give it back.
 */
#include "gmem/gmem_test.h"

#define GIB (1ULL << 18) /* in pages */
#define TIB (1ULL << 28)

static uint8_t *bytes_of(struct clo_gmem *g, uint64_t index)
{
	struct clo_pfn pfn;

	CHECK(clo_gmem_pfn(g, index, &pfn));
	return t_bytes(g, pfn);
}

TEST(small_windows_where_space_is_short)
{
	struct t_host h;
	struct clo_gmem *a, *b;

	t_host_open(&h, 8, 16);
	a = t_file(&h, 5, 0, 0);
	b = t_file(&h, 8, 0, 0);
	(void)t_page(a, 4, true);
	CHECK_EQ(t_windows(h.db), 1); /* of 8 pages */
	for (uint64_t i = 0; i < 7; i++) {
		(void)t_page(b, i, true);
		bytes_of(b, i)[0] = (uint8_t)(i + 1);
	}
	CHECK_EQ(t_windows(h.db), 8);
	for (uint64_t i = 0; i < 7; i++)
		CHECK_EQ(bytes_of(b, i)[0], i + 1);
	CHECK_EQ(t_stats(b).allocated, 7);
	CHECK_OK(t_punch(b, 1, 1));
	CHECK_EQ(t_windows(h.db), 7);
	CHECK_EQ(t_stats(b).allocated, 6);
	CHECK_OK(t_punch(b, 0, 8));
	CHECK_EQ(t_windows(h.db), 1);
	CHECK_OK(t_punch(a, 0, 5));
	CHECK_EQ(t_windows(h.db), 0);
	(void)t_page(b, 0, true);
	(void)t_page(b, 7, true);
	CHECK_EQ(t_windows(h.db), 1);
	clo_gmem_release(a);
	clo_gmem_release(b);
	t_host_close(&h);
}

/* A guest that touches one page in each 1G of a huge memslot takes no other guest's memory. */
TEST(sparse_use_leaves_room_for_others)
{
	const uint64_t limit = 1ULL << 12;
	struct t_host h;
	struct clo_gmem *sparse, *other;
	uint64_t live, n;

	t_host_open(&h, limit, 1ULL << 24); /* 64 GiB of space */
	live = clo_alloc_live();
	sparse = t_file(&h, 100 * TIB, 0, 0);
	for (n = 0; n < limit - 2; n++)
		CHECK_EQ(t_frame(sparse, n * 7 * GIB / 2).state, CLO_FRAME_FREE);
	for (n = 0; n < limit - 2; n++)
		(void)t_page(sparse, n * 7 * GIB / 2, true);
	CHECK_EQ(t_stats(sparse).allocated, limit - 2);
	other = t_file(&h, 4 * GIB, 0, 0);
	(void)t_page(other, 0, true);
	(void)t_page(other, 4 * GIB - 1, true);
	CHECK_EQ(t_frames(h.db), limit);
	CHECK_OK(t_punch(other, 0, 4 * GIB));
	CHECK_OK(t_punch(sparse, 0, 100 * TIB));
	CHECK_EQ(t_frames(h.db), 0);
	CHECK_EQ(t_windows(h.db), 0);
	/* And with the space free again they are large. */
	for (n = 0; n < 16; n++)
		(void)t_page(other, n * GIB / 4, true);
	CHECK_EQ(t_windows(h.db), 4);
	clo_gmem_release(other);
	clo_gmem_release(sparse);
	clo_rcu_barrier();
	CHECK_EQ(clo_alloc_live(), live);
	t_host_close(&h);
}

/* A huge page needs a window of its size; what cannot be had leaves nothing. */
TEST(huge_pages_where_space_is_short)
{
	struct t_host h;
	struct clo_gmem *sparse, *huge;
	struct clo_pfn pfn;
	unsigned order;
	uint64_t n;

	t_host_open(&h, 2048, 4096);
	sparse = t_file(&h, TIB, 0, 0);
	for (n = 0; n < 12; n++)
		(void)t_page(sparse, n * GIB, true);
	huge = t_file(&h, 2048, CLO_GMEM_HUGETLB, 9);
	CHECK_ERR(t_get(huge, 0, true, &pfn, &order), -ENOMEM);
	CHECK_EQ(t_frames(h.db), 12);
	CHECK_OK(t_punch(sparse, 0, 6 * GIB));
	CHECK_OK(t_get(huge, 600, true, &pfn, &order));
	CHECK_EQ(order, 9);
	clo_gmem_release(huge);
	clo_gmem_release(sparse);
	CHECK_EQ(t_windows(h.db), 0);
	t_host_close(&h);
}

TEST(a_failed_allocation_gives_its_window_back)
{
	struct t_host h;
	struct clo_gmem *a, *b;
	struct clo_pfn pfn;
	unsigned order;
	uint64_t live;

	t_host_open(&h, 1, 64);
	a = t_file(&h, 4, 0, 0);
	(void)t_page(a, 0, true);
	b = t_file(&h, TIB, 0, 0);
	live = clo_alloc_live();
	CHECK_ERR(t_get(b, 5 * GIB, true, &pfn, &order), -ENOMEM);
	CHECK_ERR(t_get(b, 5 * GIB, false, &pfn, &order), -EACCES);
	CHECK_EQ(t_windows(h.db), 1);
	clo_rcu_barrier();
	CHECK_EQ(clo_alloc_live(), live); /* the nodes of the map too */
	CHECK_ERR(clo_gmem_make_locked(b, 7, &pfn), -ENOMEM);
	CHECK_OK(t_punch(a, 0, 4));
	CHECK_EQ(t_windows(h.db), 0);
	CHECK_OK(clo_gmem_make_locked(b, 7, &pfn));
	CHECK_EQ(t_windows(h.db), 1);
	clo_gmem_unmake(b, 7, pfn);
	CHECK_EQ(t_windows(h.db), 0);
	CHECK_EQ(t_frames(h.db), 0);
	clo_gmem_release(a);
	clo_gmem_release(b);
	t_host_close(&h);
}

/* The window of a lost frame goes with its last pin. */
TEST(a_lost_frame_keeps_its_window)
{
	struct t_host h;
	struct clo_gmem_pin *first, *last;
	struct clo_gmem *g;

	t_host_open(&h, 16, 64);
	g = t_file(&h, 3 * GIB, T_MMAP_ANY, 0);
	CHECK_OK(clo_gmem_pin(g, 0, 2 * 4096, "first", &first, NULL));
	CHECK_OK(clo_gmem_pin(g, 2 * GIB * 4096, 4096, "last", &last, NULL));
	(void)t_page(g, GIB, false);
	CHECK_EQ(t_windows(h.db), 4); /* of one page each: the pool is small */
	clo_gmem_release(g);
	CHECK_EQ(t_windows(h.db), 3);
	clo_gmem_unpin(first);
	CHECK_EQ(t_windows(h.db), 1);
	CHECK_EQ(t_frames(h.db), 1);
	clo_gmem_unpin(last);
	CHECK_EQ(t_windows(h.db), 0);
	CHECK_EQ(t_frames(h.db), 0);
	t_host_close(&h);
}

#define PAGES 24U

struct shared {
	struct t_host h;
	struct clo_gmem *g[2];
	struct clo_a32 turn;
	uint64_t seed;
};

static void put_stamp(struct clo_gmem *g, uint64_t index, uint64_t stamp)
{
	struct clo_pagedb *db = clo_gmem_pagedb(g);
	struct clo_pfn pfn, head;
	uint64_t at = index;

	if (!clo_gmem_next_frame(g, &at, index + 1, &pfn) ||
	    !clo_gmem_lock_frame(g, index, pfn, &head))
		return;
	if (clo_frame_get(db, pfn).flags & CLO_FRAME_UPTODATE) {
		uint64_t *word = clo_page_addr(db, pfn);

		CHECK(*word == 0 || *word == stamp);
		*word = stamp;
	}
	clo_page_unlock(db, head);
}

/* Makes pages, stamps them, punches holes; windows come and go under everybody's feet. */
static void *guest(void *arg)
{
	struct shared *s = arg;
	uint32_t me = clo_a32_add(&s->turn, 1);
	struct clo_gmem *g = s->g[me % 2];
	struct clo_rand r = { s->seed + me };

	for (unsigned i = 0; i < 4000; i++) {
		uint64_t n = clo_rand_below(&r, PAGES);
		uint64_t index = n * (GIB / 2 + 3);
		struct clo_pfn pfn;
		unsigned order;
		int ret;

		switch (clo_rand_below(&r, 4)) {
		case 0:
			CHECK_OK(t_punch(g, index, 1));
			break;
		case 1:
			put_stamp(g, index, (me % 2 + 1) << 16 | n);
			break;
		default:
			ret = t_get(g, index, true, &pfn, &order);
			CHECK(ret == 0 || ret == -EAGAIN || ret == -ENOMEM);
			break;
		}
	}
	return NULL;
}

TEST_TIMEOUT(windows_change_hands, 60)
{
	struct shared s = { .seed = test_seed() };
	struct clo_thread t[4];

	t_host_open(&s.h, PAGES, 64);
	for (unsigned i = 0; i < 2; i++)
		s.g[i] = t_file(&s.h, TIB, 0, 0);
	for (unsigned i = 0; i < CLO_ARRAY_SIZE(t); i++)
		CHECK_OK(clo_thread_create(&t[i], guest, &s));
	for (unsigned i = 0; i < CLO_ARRAY_SIZE(t); i++)
		CHECK_OK(clo_thread_join(&t[i]));
	for (unsigned i = 0; i < 2; i++) {
		CHECK_OK(t_punch(s.g[i], 0, TIB));
		clo_gmem_release(s.g[i]);
	}
	CHECK_EQ(t_windows(s.h.db), 0);
	t_host_close(&s.h);
}
