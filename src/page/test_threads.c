/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page/test_threads.c - pins against conversions, splits and merges; allocations against each
 * other. Also run under ThreadSanitizer: content is read and written by plain accesses, so a hole
 * in the protocol is a data race too.
 */
#include "page/page.h"

#include "harness/test.h"

#define ORDER   3
#define FRAMES  (1U << ORDER)
#define PINNERS 3
#define ROUNDS  10000

struct shared {
	struct clo_pagedb *db;
	uint64_t seed;
	struct clo_a32 stop;
	struct clo_a32 pinned;
	struct clo_a32 turn;
};

static void set_word(struct shared *s, uint64_t n, uint64_t v)
{
	*(uint64_t *)clo_page_addr(s->db, clo_pfn(n)) = v;
}

static uint64_t get_word(struct shared *s, uint64_t n)
{
	return *(uint64_t *)clo_page_addr(s->db, clo_pfn(n));
}

#define SECRET 0x5ec3e7ULL
#define PUBLIC 0x9b11cULL

/* A device: what it reads through a pin must never be the guest's. */
static void *pinner(void *arg)
{
	struct shared *s = arg;
	struct clo_rand r = { clo_a32_add(&s->turn, 1) };

	while (!clo_a32_get(&s->stop)) {
		uint64_t n = clo_rand_below(&r, FRAMES);
		int ret = clo_page_pin(s->db, clo_pfn(n));

		if (ret) {
			CHECK_ERR(ret, -EFAULT);
			clo_relax();
			continue;
		}
		clo_a32_add(&s->pinned, 1);
		CHECK_EQ(get_word(s, n), PUBLIC);
		CHECK_EQ(clo_frame_get(s->db, clo_pfn(n)).state, CLO_FRAME_SHARED);
		CHECK_EQ(get_word(s, n), PUBLIC);
		CHECK_OK(clo_page_unpin(s->db, clo_pfn(n)));
	}
	return NULL;
}

static void unlock_all(struct shared *s)
{
	for (uint64_t n = 0; n < FRAMES; n++)
		clo_page_unlock(s->db, clo_pfn(n));
}

/* SHARED -> PRIVATE -> SHARED of the folio that holds frame @n, if no pin is in the way. */
static bool round_trip(struct shared *s, uint64_t n)
{
	struct clo_pfn head;
	uint64_t end;
	int ret;

	CHECK(clo_page_lock(s->db, clo_pfn(n), &head));
	end = head.n + (1ULL << clo_frame_get(s->db, head).order);
	ret = clo_page_step(s->db, head, CLO_FRAME_MAKE_PRIVATE);
	if (ret) {
		CHECK_ERR(ret, -EBUSY);
		clo_page_unlock(s->db, head);
		return false;
	}
	for (uint64_t i = head.n; i < end; i++)
		set_word(s, i, SECRET);
	clo_page_unlock(s->db, head); /* private, and anybody may try a pin */
	CHECK(clo_page_lock(s->db, clo_pfn(n), &head));
	CHECK_EQ(clo_page_pins(s->db, head, NULL), 0);
	for (uint64_t i = head.n; i < end; i++) {
		CHECK_EQ(get_word(s, i), SECRET);
		set_word(s, i, PUBLIC);
	}
	CHECK_OK(clo_page_step(s->db, head, CLO_FRAME_MAKE_SHARED));
	clo_page_unlock(s->db, head);
	return true;
}

static void split(struct shared *s)
{
	struct clo_pfn head;

	CHECK(clo_page_lock(s->db, clo_pfn(FRAMES - 1), &head));
	if (clo_frame_get(s->db, head).order == 0) {
		clo_page_unlock(s->db, head);
		return;
	}
	CHECK_OK(clo_page_split(s->db, head));
	unlock_all(s);
}

/* In address order, as every caller that holds several. */
static void merge(struct shared *s)
{
	struct clo_pfn head;

	for (uint64_t n = 0; n < FRAMES; n++) {
		CHECK(clo_page_lock(s->db, clo_pfn(n), &head));
		if (clo_frame_get(s->db, head).order > 0) {
			clo_page_unlock(s->db, head);
			return;
		}
	}
	if (clo_page_merge(s->db, clo_pfn(0), ORDER) == 0)
		clo_page_unlock(s->db, clo_pfn(0));
	else
		unlock_all(s);
}

TEST_TIMEOUT(pins_against_conversion_split_and_merge, 30)
{
	struct shared s = { .db = NULL };
	struct clo_thread t[PINNERS];
	struct clo_rand r = { test_seed() };
	unsigned converted = 0;

	CHECK_OK(clo_pagedb_create(CLO_POOL_ANON, FRAMES, FRAMES, &s.db));
	CHECK_OK(clo_page_alloc(s.db, clo_pfn(0), ORDER, 1, CLO_FRAME_ALLOC_SHARED));
	for (uint64_t n = 0; n < FRAMES; n++)
		set_word(&s, n, PUBLIC);
	clo_page_unlock(s.db, clo_pfn(0));
	for (unsigned i = 0; i < PINNERS; i++)
		CHECK_OK(clo_thread_create(&t[i], pinner, &s));
	/* Both sides must have had their turn, on however few processors. */
	for (unsigned i = 0; i < ROUNDS || !converted || !clo_a32_get(&s.pinned); i++) {
		converted += round_trip(&s, clo_rand_below(&r, FRAMES));
		switch (clo_rand_below(&r, 4)) {
		case 0:
			split(&s);
			break;
		case 1:
			merge(&s);
			break;
		default:
			break;
		}
	}
	clo_a32_set(&s.stop, 1);
	for (unsigned i = 0; i < PINNERS; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	for (uint64_t n = 0; n < FRAMES; n++)
		CHECK_EQ(clo_frame_get(s.db, clo_pfn(n)).pins, 0U);
	test_note("%u round trips, %u pins", converted, clo_a32_get(&s.pinned));
	clo_pagedb_destroy(s.db);
}

#define POOL  64U
#define LIMIT 40U

/* Allocate, stamp under the lock, look again, free: two owners at once would see each other's
 * stamp. */
static void *owner(void *arg)
{
	struct shared *s = arg;
	uint32_t id = clo_a32_add(&s->turn, 1) + 1;
	struct clo_rand r = { s->seed + id };

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned order = (unsigned)clo_rand_below(&r, 4);
		uint64_t n = clo_align_down(clo_rand_below(&r, POOL), 1ULL << order);
		uint64_t end = n + (1ULL << order);
		struct clo_pagedb_stats st;
		int ret = clo_page_alloc(s->db, clo_pfn(n), order, id, CLO_FRAME_ALLOC_PRIVATE);

		clo_pagedb_stats(s->db, &st);
		CHECK_LE(st.frames_used, LIMIT);
		if (ret) {
			CHECK(ret == -EEXIST || ret == -ENOMEM);
			continue;
		}
		for (uint64_t p = n; p < end; p++)
			set_word(s, p, id);
		if (clo_rand_below(&r, 2)) {
			CHECK_OK(clo_page_split(s->db, clo_pfn(n)));
			for (uint64_t p = n; p < end; p++)
				clo_page_unlock(s->db, clo_pfn(p));
			for (uint64_t p = n; p < end; p++)
				CHECK(clo_page_lock(s->db, clo_pfn(p), NULL));
			CHECK_OK(order ? clo_page_merge(s->db, clo_pfn(n), order) : 0);
		}
		for (uint64_t p = n; p < end; p++) {
			CHECK_EQ(get_word(s, p), id);
			CHECK_EQ(clo_frame_get(s->db, clo_pfn(p)).owner, id);
		}
		CHECK_OK(clo_page_step(s->db, clo_pfn(n), CLO_FRAME_FREE_OP));
	}
	return NULL;
}

/* Somebody who knows nothing of the folios, and locks what it meets. */
static void *passer_by(void *arg)
{
	struct shared *s = arg;
	struct clo_rand r = { s->seed + 99 };

	while (!clo_a32_get(&s->stop)) {
		uint64_t n = clo_rand_below(&r, POOL);
		struct clo_pfn head;

		if (clo_page_trylock(s->db, clo_pfn(n), &head)) {
			struct clo_frame_info h = clo_frame_get(s->db, head);

			CHECK_EQ(h.state, CLO_FRAME_PRIVATE);
			CHECK(n >= head.n && n < head.n + (1ULL << h.order));
			for (uint64_t i = head.n; i < head.n + (1ULL << h.order); i++)
				CHECK_EQ(get_word(s, i), h.owner);
			clo_page_unlock(s->db, head);
		}
		clo_relax();
	}
	return NULL;
}

TEST_TIMEOUT(allocations_against_each_other, 30)
{
	struct shared s = { .seed = test_seed() };
	struct clo_thread t[3], passer;
	struct clo_pagedb_stats st;

	CHECK_OK(clo_pagedb_create(CLO_POOL_ANON, LIMIT, POOL, &s.db));
	CHECK_OK(clo_thread_create(&passer, passer_by, &s));
	for (unsigned i = 0; i < CLO_ARRAY_SIZE(t); i++)
		CHECK_OK(clo_thread_create(&t[i], owner, &s));
	for (unsigned i = 0; i < CLO_ARRAY_SIZE(t); i++)
		CHECK_OK(clo_thread_join(&t[i]));
	clo_a32_set(&s.stop, 1);
	CHECK_OK(clo_thread_join(&passer));
	clo_pagedb_stats(s.db, &st);
	CHECK_EQ(st.frames_used, 0);
	for (uint64_t n = 0; n < POOL; n++)
		CHECK_EQ(clo_frame_get(s.db, clo_pfn(n)).state, CLO_FRAME_FREE);
	clo_pagedb_destroy(s.db);
}

struct claimer {
	struct shared *s;
	uint32_t vm;
	unsigned won;
};

/* I1 among threads: between claim and drop nobody else has the frame. */
static void *claimer(void *arg)
{
	struct claimer *c = arg;

	/* Each has its turn, on however few processors. */
	for (unsigned i = 0; i < ROUNDS || !c->won; i++) {
		int ret = clo_page_rmap_claim(c->s->db, clo_pfn(0), CLO_LEVEL_4K, c->vm,
					      clo_gfn(c->vm));

		if (ret) {
			CHECK_ERR(ret, -EEXIST);
			clo_relax();
			continue;
		}
		c->won++;
		set_word(c->s, 0, c->vm);
		CHECK_EQ(get_word(c->s, 0), c->vm);
		CHECK_OK(clo_page_rmap_drop(c->s->db, clo_pfn(0), c->vm, clo_gfn(c->vm)));
	}
	return NULL;
}

TEST_TIMEOUT(rmap_has_one_holder, 30)
{
	struct shared s = { .db = NULL };
	struct claimer c[3];
	struct clo_thread t[3];

	CHECK_OK(clo_pagedb_create(CLO_POOL_ANON, 1, 1, &s.db));
	for (uint32_t i = 0; i < 3; i++) {
		c[i] = (struct claimer){ .s = &s, .vm = i + 1 };
		CHECK_OK(clo_thread_create(&t[i], claimer, &c[i]));
	}
	for (unsigned i = 0; i < 3; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	clo_pagedb_destroy(s.db);
}
