/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attr/test_attr_threads.c - readers beside writers.
 *
 * Pages that no writer touches keep their kind in every look; pages that go one way only are never
 * seen to go back; writers of disjoint ranges do not disturb each other.
 */
#include "attr/attr.h"

#include "harness/test.h"

#define GIB_PAGES (1ULL << 18)

/* [0, 100) and [1G, 2G) stay private, all else is changed. */
struct shared {
	struct clo_attr *a;
	struct clo_a32 stop;
	struct clo_a32 readers; /* that have had a look */
	struct clo_a64 front;   /* pages below it are private for good */
	unsigned rounds;
};

struct part {
	struct shared *s;
	uint64_t seed;
	struct clo_range r;
};

static void *reader(void *arg)
{
	struct part *p = arg;
	struct clo_attr *a = p->s->a;
	struct clo_rand rnd = { p->seed };
	bool first = true;

	while (!clo_a32_get(&p->s->stop)) {
		bool kind;
		struct clo_range run;
		uint64_t at = GIB_PAGES + clo_rand_below(&rnd, GIB_PAGES);

		CHECK(clo_attr_is_private(a, clo_rand_below(&rnd, 100)));
		CHECK(clo_attr_is_private(a, at));
		CHECK(clo_attr_is_uniform(a, at, CLO_LEVEL_1G));
		CHECK(clo_attr_range_is(a, clo_range(at, 2 * GIB_PAGES), true));
		CHECK(!clo_attr_range_is(a, clo_range(50, 150 + at), false));
		run = clo_attr_run(a, at, 3 * GIB_PAGES, &kind);
		CHECK(kind && run.start == at && run.end >= 2 * GIB_PAGES);
		run = clo_attr_run(a, clo_rand_below(&rnd, GIB_PAGES), 4 * GIB_PAGES, &kind);
		CHECK_LT(run.start, run.end);
		clo_attr_is_uniform(a, 3 * GIB_PAGES, CLO_LEVEL_2M);
		if (first)
			clo_a32_add(&p->s->readers, 1);
		first = false;
	}
	return NULL;
}

/* Splits and collapses blocks in its part; leaves it with one kind known. */
static void *writer(void *arg)
{
	struct part *p = arg;
	struct clo_rand rnd = { p->seed };
	uint64_t len = clo_range_len(p->r);

	for (unsigned i = 0; i < p->s->rounds; i++) {
		uint64_t start = p->r.start + clo_rand_below(&rnd, len);
		uint64_t most = 1ULL << clo_rand_below(&rnd, 19);
		uint64_t end = start + 1 + clo_rand_below(&rnd, most);
		struct clo_range r = clo_range_clip(clo_range(start, end), p->r);
		bool to = clo_rand_below(&rnd, 2);

		CHECK_OK(clo_attr_set(p->s->a, r, to));
		CHECK(clo_attr_range_is(p->s->a, r, to));
		CHECK_EQ(clo_attr_count_private(p->s->a, r), to ? clo_range_len(r) : 0);
		if (i % 16 == 0)
			CHECK_OK(clo_attr_set(p->s->a, p->r, i % 32 == 0));
	}
	CHECK_OK(clo_attr_set(p->s->a, p->r, true));
	return NULL;
}

static void start(struct clo_thread *t, void *(*fn)(void *arg), struct part *p)
{
	CHECK_OK(clo_thread_create(t, fn, p));
}

TEST_TIMEOUT(readers_beside_writers, 60)
{
	struct shared s = { .rounds = 1500 };
	struct part part[5] = {
		{ &s, test_seed(), { 0 } },
		{ &s, test_seed() + 1, { 0 } },
		{ &s, test_seed() + 2, { 100, GIB_PAGES } },
		{ &s, test_seed() + 3, { 2 * GIB_PAGES, 3 * GIB_PAGES + 300 } },
		{ &s, test_seed() + 4, { 3 * GIB_PAGES + 300, 5 * GIB_PAGES + 77 } },
	};
	struct clo_thread t[5];

	CHECK_OK(clo_attr_create(5 * GIB_PAGES + 77, false, &s.a));
	CHECK_OK(clo_attr_set(s.a, clo_range(0, 100), true));
	CHECK_OK(clo_attr_set(s.a, clo_range(GIB_PAGES, 2 * GIB_PAGES), true));
	for (unsigned i = 0; i < 2; i++)
		start(&t[i], reader, &part[i]);
	/* A busy machine may run all of a writer before it starts a reader. */
	while (clo_a32_get(&s.readers) < 2)
		clo_relax();
	for (unsigned i = 2; i < 5; i++)
		start(&t[i], writer, &part[i]);
	for (unsigned i = 2; i < 5; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	clo_a32_set(&s.stop, 1);
	for (unsigned i = 0; i < 2; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	CHECK_OK(clo_attr_check(s.a));
	CHECK(clo_attr_range_is(s.a, clo_range(0, 5 * GIB_PAGES + 77), true));
	clo_attr_destroy(s.a);
	clo_rcu_barrier();
}

/* The front is announced when all below it is private: whoever has seen it must see that. */
static void *front_reader(void *arg)
{
	struct part *p = arg;
	struct clo_rand rnd = { p->seed };

	while (!clo_a32_get(&p->s->stop)) {
		uint64_t front = clo_a64_get(&p->s->front);
		bool kind;

		if (front == 0)
			continue;
		CHECK(clo_attr_is_private(p->s->a, clo_rand_below(&rnd, front)));
		CHECK_LE(front, clo_attr_run(p->s->a, 0, UINT64_MAX, &kind).end);
		CHECK(clo_attr_range_is(p->s->a, clo_range(0, front), true));
	}
	return NULL;
}

TEST_TIMEOUT(nothing_goes_back, 60)
{
	struct shared s = { 0 };
	struct part part[2] = { { &s, test_seed(), { 0 } }, { &s, test_seed() + 1, { 0 } } };
	struct clo_rand rnd = { test_seed() };
	struct clo_thread t[2];
	uint64_t at = 0;

	CHECK_OK(clo_attr_create(3 * GIB_PAGES, false, &s.a));
	for (unsigned i = 0; i < 2; i++)
		start(&t[i], front_reader, &part[i]);
	while (at < 2 * GIB_PAGES) {
		uint64_t len = 1 + clo_rand_below(&rnd, 1ULL << clo_rand_below(&rnd, 13));

		CHECK_OK(clo_attr_set(s.a, clo_range(at, at + len), true));
		at += len;
		clo_a64_set(&s.front, at);
	}
	clo_a32_set(&s.stop, 1);
	for (unsigned i = 0; i < 2; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	CHECK_OK(clo_attr_check(s.a));
	clo_attr_destroy(s.a);
	clo_rcu_barrier();
}

/* Reserves of several threads of one store, given up and used. */
static void *reserver(void *arg)
{
	struct part *p = arg;
	struct clo_rand rnd = { p->seed };

	for (unsigned i = 0; i < p->s->rounds; i++) {
		struct clo_attr_reserve res[3] = { 0 };
		uint64_t at = p->r.start + clo_rand_below(&rnd, clo_range_len(p->r) - 600);
		struct clo_range r = clo_range(at, at + 1 + clo_rand_below(&rnd, 600));
		bool to = i & 1;

		for (unsigned j = 0; j < 3; j++)
			CHECK_OK(clo_attr_prepare(p->s->a, r, &res[j]));
		clo_attr_commit(p->s->a, r, to, &res[1]);
		CHECK(clo_attr_range_is(p->s->a, r, to));
		for (unsigned j = 0; j < 3; j++)
			clo_attr_reserve_release(&res[j]);
	}
	return NULL;
}

TEST_TIMEOUT(reserves_of_several_threads, 60)
{
	struct shared s = { .rounds = 3000 };
	struct part part[3] = { { &s, test_seed(), { 0, 2000 } },
				{ &s, test_seed() + 1, { 2000, GIB_PAGES } },
				{ &s, test_seed() + 2, { GIB_PAGES, 3 * GIB_PAGES } } };
	struct clo_thread t[3];

	CHECK_OK(clo_attr_create(3 * GIB_PAGES, true, &s.a));
	for (unsigned i = 0; i < 3; i++)
		start(&t[i], reserver, &part[i]);
	for (unsigned i = 0; i < 3; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	CHECK_OK(clo_attr_check(s.a));
	clo_attr_destroy(s.a);
	clo_rcu_barrier();
}
