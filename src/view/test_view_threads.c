/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/test_view_threads.c - threads that touch while pages are hidden, shown, punched and
 * unmapped. A touch gives the data or SIGBUS, and after hide has returned SIGBUS only. Also run
 * under ThreadSanitizer.
 */
#include "view_test.h"

#include <sys/mman.h>

#define PAGE     ((size_t)CLO_PAGE_SIZE)
#define PAGES    64ULL
#define TOUCHERS 3
#define PUBLIC   0x50
#define SECRET   0x5e

struct shared {
	struct owner o;
	uint8_t *v;
	struct clo_a32 stop;
	struct clo_a32 turn;
	uint64_t seed; /* of the test; threads must not ask for it */
	struct clo_a64 seen, died, leaked;
	int rounds;
};

/* What is in the direct map while the page is private must never come out of the view. */
static void *toucher(void *arg)
{
	struct shared *s = arg;
	struct clo_rand r = { s->seed + clo_a32_add(&s->turn, 1) };

	while (!clo_a32_get(&s->stop)) {
		int got = touch_load(s->v + clo_rand_below(&r, PAGES) * PAGE);

		if (got < 0)
			clo_a64_add(&s->died, 1);
		else if (got == SECRET)
			clo_a64_add(&s->leaked, 1);
		else
			clo_a64_add(&s->seen, 1);
	}
	return NULL;
}

/* The same through the library. */
static void *accessor(void *arg)
{
	struct shared *s = arg;
	struct clo_rand r = { s->seed + 77 };

	while (!clo_a32_get(&s->stop)) {
		uint8_t byte = 0;
		int ret =
			clo_view_access(s->o.vs, clo_rand_below(&r, PAGES) * PAGE, &byte, 1, false);

		if (ret)
			CHECK_ERR(ret, -EFAULT);
		else if (byte == SECRET)
			clo_a64_add(&s->leaked, 1);
	}
	return NULL;
}

/*
 * The guest's byte is written by a plain store, as a guest does. Touchers read it through another
 * address: TSan sees no conflict, the MMU has to.
 */
static void paint(struct owner *o, struct clo_range r, uint8_t value)
{
	for (uint64_t i = r.start; i < r.end; i++)
		*owner_page(o, i) = value;
}

static void private_and_back(struct shared *s, struct clo_rand *rand)
{
	uint64_t start = clo_rand_below(rand, PAGES);
	struct clo_range r = clo_range(start, start + 1 + clo_rand_below(rand, PAGES - start));
	uint8_t byte;

	CHECK_OK(owner_convert(&s->o, r, true));
	paint(&s->o, r, SECRET);
	CHECK_EQ(touch_load(s->v + start * PAGE), -1);
	CHECK_EQ(touch_load(s->v + (r.end - 1) * PAGE), -1);
	CHECK_ERR(clo_view_access(s->o.vs, start * PAGE, &byte, 1, true), -EFAULT);
	paint(&s->o, r, PUBLIC);
	CHECK_OK(owner_convert(&s->o, r, false));
	if (clo_rand_below(rand, 4) == 0)
		owner_punch(&s->o, r);
}

static void touch_while_converting(enum clo_view_level level, int rounds)
{
	struct shared s = { .seed = test_seed() };
	struct clo_thread t[TOUCHERS + 1];
	struct clo_rand rand = { test_seed() };

	owner_open(&s.o, level, PAGES);
	touch_init();
	s.v = owner_map(&s.o);
	for (int i = 0; i < TOUCHERS; i++)
		CHECK_OK(clo_thread_create(&t[i], toucher, &s));
	CHECK_OK(clo_thread_create(&t[TOUCHERS], accessor, &s));
	for (int i = 0; i < rounds; i++)
		private_and_back(&s, &rand);
	clo_a32_set(&s.stop, 1);
	for (int i = 0; i <= TOUCHERS; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	CHECK_EQ(clo_a64_get(&s.leaked), 0);
	test_note("touches: %llu read, %llu SIGBUS", (unsigned long long)clo_a64_get(&s.seen),
		  (unsigned long long)clo_a64_get(&s.died));
	/* Nothing was left hidden. */
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK_LE(0, touch_load(s.v + i * PAGE));
	owner_close(&s.o);
}
TEST_TIMEOUT(uffd_touch_while_converting, 60)
{
	touch_while_converting(CLO_VIEW_UFFD, 300);
}
TEST_TIMEOUT(remap_touch_while_converting, 60)
{
	touch_while_converting(CLO_VIEW_REMAP, 300);
}

/* Disjoint ranges in parallel, one thread each, and mappings that come and go. */
struct worker {
	struct shared *s;
	struct clo_range r;
	uint64_t seed;
};

static void *converter(void *arg)
{
	struct worker *w = arg;
	struct clo_rand rand = { w->seed };

	for (int i = 0; i < w->s->rounds; i++) {
		uint64_t n = w->r.start + clo_rand_below(&rand, clo_range_len(w->r));

		CHECK_OK(owner_convert(&w->s->o, clo_range(n, w->r.end), true));
		CHECK_EQ(touch_load(w->s->v + n * PAGE), -1);
		CHECK_OK(owner_convert(&w->s->o, clo_range(n, w->r.end), false));
		CHECK_LE(0, touch_load(w->s->v + n * PAGE));
	}
	return NULL;
}

static void parallel(enum clo_view_level level, int rounds)
{
	struct shared s = { .rounds = rounds };
	struct worker w[2];
	struct clo_thread t[2];

	owner_open(&s.o, level, PAGES);
	touch_init();
	s.v = owner_map(&s.o);
	for (unsigned i = 0; i < 2; i++) {
		w[i] = (struct worker){ &s, clo_range(i * 24, i * 24 + 24), test_seed() + i };
		CHECK_OK(clo_thread_create(&t[i], converter, &w[i]));
	}
	for (int i = 0; i < rounds / 4; i++) {
		/* The pages that nobody converts: mapping asks for no answer of a conversion. */
		struct clo_view_piece p = { clo_range(48, PAGES), owner_pfn(&s.o, 48) };
		void *addr;

		CHECK_OK(clo_view_map(s.o.vs, &p, 1, NULL, 0, &addr));
		CHECK_LE(0, touch_load(addr));
		CHECK_OK(clo_view_unmap(s.o.vs, addr, PAGES - 48, &(struct clo_range){ 0 }));
	}
	for (unsigned i = 0; i < 2; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	owner_close(&s.o);
}
TEST_TIMEOUT(uffd_parallel, 60)
{
	parallel(CLO_VIEW_UFFD, 200);
}
TEST_TIMEOUT(remap_parallel, 60)
{
	parallel(CLO_VIEW_REMAP, 200);
}

/* A fault that is being answered, or waits for its answer, when its mapping goes away. */
static void *first_touches(void *arg)
{
	struct shared *s = arg;

	for (uint64_t i = 0; i < PAGES; i++) {
		clo_a32_set(&s->turn, (uint32_t)i + 1);
		(void)touch_load(s->v + i * PAGE);
	}
	return NULL;
}

TEST_TIMEOUT(uffd_unmap_while_faulting, 60)
{
	for (uint32_t round = 0; round < 48; round++) {
		struct shared s = { 0 };
		struct clo_thread t;
		uint8_t byte;

		owner_open(&s.o, CLO_VIEW_UFFD, PAGES);
		touch_init();
		/* A toucher that finds its memory gone dies of SIGSEGV: here as good as SIGBUS. */
		CHECK(signal(SIGSEGV, touch_died) != SIG_ERR);
		s.v = owner_map(&s.o);
		CHECK_OK(clo_thread_create(&t, first_touches, &s));
		while (clo_a32_get(&s.turn) <= round)
			clo_relax();
		CHECK_OK(clo_view_unmap(s.o.vs, s.v, PAGES, &(struct clo_range){ 0 }));
		CHECK_OK(clo_thread_join(&t));
		/* The engine is well. */
		CHECK_OK(clo_view_access(s.o.vs, 0, &byte, 1, false));
		owner_close(&s.o);
	}
}

/* clo_view_unmap waits for an access in progress; the access does not notice. */
static void *keep_accessing(void *arg)
{
	struct shared *s = arg;
	uint8_t buf[8 * 4096];

	while (!clo_a32_get(&s->stop)) {
		CHECK_OK(clo_view_access(s->o.vs, 0, buf, sizeof(buf), false));
		CHECK_OK(clo_view_access(s->o.vs, 0, buf, sizeof(buf), true));
		clo_a32_add(&s->turn, 1);
	}
	return NULL;
}

static void unmap_under_access(enum clo_view_level level)
{
	struct shared s = { 0 };
	struct clo_thread t;

	owner_open(&s.o, level, PAGES);
	CHECK_OK(clo_thread_create(&t, keep_accessing, &s));
	for (uint32_t i = 0; i < 64; i++) {
		uint32_t turn;

		s.v = owner_map(&s.o);
		turn = clo_a32_get(&s.turn);
		while (clo_a32_get(&s.turn) == turn)
			clo_relax();
		CHECK_OK(clo_view_unmap(s.o.vs, s.v, PAGES, &(struct clo_range){ 0 }));
	}
	clo_a32_set(&s.stop, 1);
	CHECK_OK(clo_thread_join(&t));
	owner_close(&s.o);
}
TEST_TIMEOUT(uffd_unmap_under_access, 60)
{
	unmap_under_access(CLO_VIEW_UFFD);
}
TEST_TIMEOUT(remap_unmap_under_access, 60)
{
	unmap_under_access(CLO_VIEW_REMAP);
}

/* The lock of SOFT is what keeps a copy from running into a page that has become private. */
TEST_TIMEOUT(soft_access_while_converting, 60)
{
	struct shared s = { .seed = test_seed() };
	struct clo_thread t;
	struct clo_rand rand = { test_seed() };

	owner_open(&s.o, CLO_VIEW_SOFT, PAGES);
	CHECK_OK(clo_thread_create(&t, accessor, &s));
	for (int i = 0; i < 2000; i++) {
		uint64_t n = clo_rand_below(&rand, PAGES);
		struct clo_range r = clo_range(n, n + 1);

		CHECK_OK(owner_convert(&s.o, r, true));
		paint(&s.o, r, SECRET);
		CHECK(!clo_view_is_shown(s.o.vs, n));
		paint(&s.o, r, PUBLIC);
		CHECK_OK(owner_convert(&s.o, r, false));
	}
	clo_a32_set(&s.stop, 1);
	CHECK_OK(clo_thread_join(&t));
	CHECK_EQ(clo_a64_get(&s.leaked), 0);
	owner_close(&s.o);
}
