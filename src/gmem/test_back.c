/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/test_back.c - what a call took before it failed: frames and windows are as they were, and
 * another file can have them.
 */
#include "gmem/gmem_test.h"

#define LIMIT 256U

static void put_byte(struct clo_gmem *g, uint64_t index, uint8_t byte)
{
	t_bytes(g, t_page(g, index, false))[9] = byte;
}

static uint8_t byte_of(struct clo_gmem *g, uint64_t index)
{
	return t_bytes(g, t_page(g, index, false))[9];
}

typedef int pin_fn(struct clo_gmem *g, uint64_t off, uint64_t len, const char *holder,
		   struct clo_gmem_pin **out, uint64_t *err_off);

static void pin_without_memory(pin_fn *pin_with)
{
	struct clo_gmem_pin *pin = NULL;
	struct clo_gmem *g, *other;
	uint64_t off = 0, live;
	struct t_host h;

	t_host_open(&h, LIMIT, 4 * LIMIT);
	g = t_file(&h, 4 * LIMIT, T_MMAP_ANY, 0);
	other = t_file(&h, 16, T_MMAP_ANY, 0);
	live = clo_alloc_live();
	CHECK_ERR(pin_with(g, 0, 4 * LIMIT * 4096, "x", &pin, &off), -ENOMEM);
	CHECK_EQ(off, LIMIT * 4096);
	CHECK_EQ(t_frames(h.db), 0);
	CHECK_EQ(t_windows(h.db), 0);
	clo_rcu_barrier();
	CHECK_EQ(clo_alloc_live(), live);
	/* What was there stays as it is: used, only allocated, pinned. */
	put_byte(g, 7, 1);
	CHECK_OK(t_allocate(g, 9, 1));
	CHECK_OK(clo_gmem_pin(g, 11 * 4096, 4096, "first", &pin, NULL));
	CHECK_ERR(pin_with(g, 4096, (4 * LIMIT - 1) * 4096, "x", &pin, &off), -ENOMEM);
	CHECK_EQ(off, (LIMIT + 1) * 4096);
	CHECK_EQ(t_frames(h.db), 3);
	CHECK_EQ(t_stats(g).pins, 1);
	CHECK_EQ(byte_of(g, 7), 1);
	/* A page in the way behind many that are missing. */
	t_convert(g, clo_range(100, 101), true);
	CHECK_ERR(pin_with(g, 0, LIMIT / 2 * 4096, "x", &pin, &off), -EFAULT);
	CHECK_EQ(off, 100 * 4096);
	CHECK_EQ(t_frames(h.db), 3);
	clo_gmem_unpin(pin);
	/* Another file can have it all. */
	CHECK_OK(t_punch(g, 0, 4 * LIMIT));
	CHECK_OK(pin_with(other, 0, 16 * 4096, "x", &pin, NULL));
	CHECK_EQ(t_frames(h.db), 16);
	clo_gmem_unpin(pin);
	clo_gmem_release(g);
	clo_gmem_release(other);
	t_host_close(&h);
}

TEST(pin_gives_back)
{
	pin_without_memory(clo_gmem_pin);
}

TEST(pin_nowait_gives_back)
{
	pin_without_memory(clo_gmem_pin_nowait);
}

TEST(pin_of_poison_gives_back)
{
	struct clo_gmem_pin *pin = NULL;
	struct clo_gmem *g;
	uint64_t off = 0;
	struct t_host h;

	t_host_open(&h, LIMIT, 4 * LIMIT);
	g = t_file(&h, 64, T_MMAP_ANY, 0);
	clo_page_set_poison(h.db, t_page(g, 40, false), true);
	CHECK_ERR(clo_gmem_pin(g, 0, 64 * 4096, "x", &pin, &off), -EHWPOISON);
	CHECK_EQ(off, 40 * 4096);
	CHECK_EQ(t_frames(h.db), 1);
	clo_gmem_release(g);
	t_host_close(&h);
}

/* A pin of more pages than fit in a word of bits, each allocation failing in its turn. */
TEST(pin_without_heap_gives_back)
{
	struct clo_gmem_pin *pin = NULL;
	struct clo_gmem *g;
	struct t_host h;
	int ret = -ENOMEM;

	t_host_open(&h, LIMIT, 4 * LIMIT);
	g = t_file(&h, LIMIT, T_MMAP_ANY, 0);
	for (uint64_t n = 1; ret; n++) {
		clo_alloc_fail_at(n);
		ret = clo_gmem_pin(g, 0, LIMIT * 4096, "x", &pin, NULL);
		clo_alloc_fail_at(0);
		if (ret) {
			CHECK_ERR(ret, -ENOMEM);
			CHECK_EQ(t_frames(h.db), 0);
			CHECK_EQ(t_windows(h.db), 0);
		}
	}
	CHECK_EQ(t_frames(h.db), LIMIT);
	clo_gmem_unpin(pin);
	clo_gmem_release(g);
	t_host_close(&h);
}

struct shared {
	struct clo_gmem *g;
	struct clo_a32 stop;
	struct clo_a32 tries;
	struct clo_a32 starved; /* the other one has met -ENOMEM: it is let go first */
};

static void *greedy(void *arg)
{
	struct shared *s = arg;
	struct clo_gmem_pin *pin;

	while (!clo_a32_get(&s->stop)) {
		CHECK_ERR(clo_gmem_pin(s->g, 0, 2 * LIMIT * 4096, "x", &pin, NULL), -ENOMEM);
		clo_a32_add(&s->tries, 1);
		while (clo_a32_get(&s->starved) && !clo_a32_get(&s->stop))
			clo_relax();
	}
	return NULL;
}

/*
 * What a guest has stored in a page that the failing call has made is not taken back. Nor is what
 * it stores in one that it makes while the call gives that page back.
 */
TEST_TIMEOUT(a_page_in_use_is_not_taken_back, 60)
{
	struct shared s = { .g = NULL };
	struct clo_thread t;
	struct t_host h;

	t_host_open(&h, LIMIT, 4 * LIMIT);
	s.g = t_file(&h, 2 * LIMIT, T_MMAP_ANY, 0);
	CHECK_OK(clo_thread_create(&t, greedy, &s));
	for (uint64_t i = 0; i < LIMIT / 2; i++) {
		struct clo_pfn pfn;
		unsigned order;
		int ret;

		/* Every fourth as it goes, from under the hands of who gives it back. */
		while (i % 4 == 1 && t_frame(s.g, i).state == CLO_FRAME_FREE)
			clo_relax();
		while (i % 4 == 1 && t_frame(s.g, i).state != CLO_FRAME_FREE)
			clo_relax();
		/* The other one has all the memory now and then. */
		while ((ret = t_get(s.g, i, false, &pfn, &order)) == -EAGAIN || ret == -ENOMEM) {
			clo_a32_set(&s.starved, ret == -ENOMEM);
			clo_relax();
		}
		clo_a32_set(&s.starved, 0);
		CHECK_OK(ret);
		t_bytes(s.g, pfn)[9] = (uint8_t)(i + 1);
	}
	while (clo_a32_get(&s.tries) < 20)
		clo_relax();
	clo_a32_set(&s.stop, 1);
	CHECK_OK(clo_thread_join(&t));
	CHECK_EQ(t_frames(h.db), LIMIT / 2);
	for (uint64_t i = 0; i < LIMIT / 2; i++)
		CHECK_EQ(byte_of(s.g, i), (uint8_t)(i + 1));
	clo_gmem_release(s.g);
	t_host_close(&h);
}

TEST(mmap_remap_gives_back)
{
	struct clo_gmem *g, *other;
	struct t_host h = { 0 };
	void *addr;

	CHECK_OK(clo_pagedb_create(CLO_POOL_MEMFD, LIMIT, 16 * LIMIT, &h.db));
	CHECK_OK(clo_view_host_create(h.db, CLO_VIEW_REMAP, &h.vh));
	h.vm.db = h.db;
	g = t_file(&h, 2 * LIMIT, T_MMAP_ANY, 0);
	other = t_file(&h, LIMIT, T_MMAP_ANY, 0);
	CHECK_ERR(clo_gmem_mmap(g, 0, 2 * LIMIT * 4096, true, &addr), -ENOMEM);
	CHECK_EQ(t_frames(h.db), 0);
	CHECK_EQ(t_windows(h.db), 0);
	CHECK_OK(clo_gmem_mmap(other, 0, LIMIT * 4096, true, &addr));
	CHECK_EQ(t_frames(h.db), LIMIT);
	((volatile uint8_t *)addr)[5 * 4096] = 1;
	CHECK_OK(clo_gmem_munmap(other, addr, LIMIT * 4096));
	CHECK_OK(t_punch(other, 0, LIMIT));
	CHECK_EQ(t_windows(h.db), 0);
	clo_gmem_release(g);
	clo_gmem_release(other);
	t_host_close(&h);
}
