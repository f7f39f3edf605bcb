/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attr/test_attr_model.c - random changes against naive models: a flat array of pages for small
 * stores, a list of stretches for large ones. The form of the tree is compared too: it depends on
 * the content only.
 */
#include "attr/attr.h"

#include "harness/test.h"

struct model {
	uint8_t *kind;
	uint64_t npages;
};

static bool block_mixed(const struct model *m, uint64_t start, uint64_t end)
{
	uint64_t stop = end < m->npages ? end : m->npages;

	for (uint64_t i = start + 1; i < stop; i++)
		if (m->kind[i] != m->kind[start])
			return true;
	return false;
}

/* Stores of up to 1 TiB: a bitmap a mixed 2M block, a node a mixed 1G block, and the root. */
static void check_form(struct clo_attr *a, const struct model *m)
{
	struct clo_attr_stats st;
	uint64_t runs = 1;
	uint64_t nodes = 0;
	uint64_t bitmaps = 0;

	for (uint64_t i = 1; i < m->npages; i++)
		runs += m->kind[i] != m->kind[i - 1];
	for (uint64_t i = 0; i < m->npages; i += 512)
		bitmaps += block_mixed(m, i, i + 512);
	if (m->npages > 512)
		for (uint64_t i = 0; i < m->npages; i += 1U << 18)
			nodes += block_mixed(m, i, i + (1U << 18));
	if (m->npages > 1U << 18)
		nodes += runs > 1;
	CHECK_OK(clo_attr_check(a));
	clo_attr_stats(a, &st);
	CHECK_EQ(st.runs, runs);
	CHECK_EQ(st.bitmaps, bitmaps);
	CHECK_EQ(st.nodes, nodes);
}

static void check_all(struct clo_attr *a, const struct model *m)
{
	for (uint64_t at = 0; at < m->npages;) {
		bool kind;
		struct clo_range run = clo_attr_run(a, at, m->npages, &kind);

		CHECK_EQ(run.start, at);
		CHECK_LT(run.start, run.end);
		CHECK(at == 0 || m->kind[at - 1] != kind);
		for (; at < run.end; at++)
			CHECK_EQ(m->kind[at], kind);
	}
	for (uint64_t i = 0; i < m->npages; i++)
		CHECK_EQ(clo_attr_is_private(a, i), m->kind[i]);
	for (uint64_t i = 0; i < m->npages; i += 512)
		CHECK_EQ(clo_attr_is_uniform(a, i, CLO_LEVEL_2M), !block_mixed(m, i, i + 512));
	check_form(a, m);
}

/* Lengths of all magnitudes, ends on edges of blocks more often than by chance. */
static struct clo_range random_range(struct clo_rand *rnd, uint64_t npages)
{
	static const unsigned shift[] = { 0, 0, 0, 6, 9, 9, 18 };
	uint64_t end[2];

	do {
		uint64_t len = 1ULL << clo_rand_below(rnd, 20);

		end[0] = clo_rand_below(rnd, npages + 1);
		end[1] = end[0] + clo_rand_below(rnd, len) + 1;
		for (int i = 0; i < 2; i++) {
			end[i] &= ~0ULL << shift[clo_rand_below(rnd, CLO_ARRAY_SIZE(shift))];
			if (end[i] > npages)
				end[i] = npages;
		}
	} while (end[0] >= end[1]);
	return clo_range(end[0], end[1]);
}

static void check_range(struct clo_attr *a, const struct model *m, struct clo_range r)
{
	uint64_t pages = 0;
	uint64_t same = r.start;
	bool kind;

	for (uint64_t i = r.start; i < r.end; i++)
		pages += m->kind[i];
	while (same < r.end && m->kind[same] == m->kind[r.start])
		same++;
	CHECK_EQ(clo_attr_count_private(a, r), pages);
	CHECK_EQ(clo_attr_range_is(a, r, true), pages == clo_range_len(r));
	CHECK_EQ(clo_attr_range_is(a, r, false), pages == 0);
	CHECK_EQ(clo_attr_run(a, r.start, r.end, &kind).end, same);
	CHECK_EQ(kind, m->kind[r.start]);
}

static void random_changes(uint64_t npages, unsigned changes, unsigned look_every)
{
	struct clo_rand rnd = { test_seed() ^ npages };
	struct model m = { .kind = calloc(npages, 1), .npages = npages };
	struct clo_attr *a;

	CHECK(m.kind != NULL);
	CHECK_OK(clo_attr_create(npages, false, &a));
	for (unsigned i = 1; i <= changes; i++) {
		struct clo_range r = random_range(&rnd, npages);
		bool to = clo_rand_below(&rnd, 2);

		CHECK_OK(clo_attr_set(a, r, to));
		memset(m.kind + r.start, to, clo_range_len(r));
		check_range(a, &m, random_range(&rnd, npages));
		if (i % look_every == 0)
			check_all(a, &m);
	}
	clo_attr_destroy(a);
	clo_rcu_barrier();
	free(m.kind);
}

TEST(random_changes_small)
{
	random_changes(77, 3000, 1);
	random_changes(512, 3000, 3);
	random_changes(513, 3000, 3);
	random_changes(5000, 3000, 10);
}

TEST(random_changes_some_gib)
{
	random_changes((1U << 18) - 3, 2000, 200);
	random_changes(3 * (1U << 18) + 77, 2000, 400);
}

/*
 * A large store: a few hundred points at which a kind may change, near the edges of blocks of all
 * sizes; between two of them all is of one kind.
 */
#define POINTS_MAX 400

struct points {
	uint64_t at[POINTS_MAX]; /* the last is the end of the store */
	uint8_t kind[POINTS_MAX];
	unsigned count;
};

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void points_make(struct points *p, uint64_t npages)
{
	unsigned n = 0;

	p->at[n++] = 0;
	for (unsigned order = 6; order < 52; order++) {
		for (int64_t near = -2; near <= 2; near++) {
			uint64_t at = (1ULL << order) + (uint64_t)near;

			if (at < npages)
				p->at[n++] = at;
		}
		if (3ULL << order < npages)
			p->at[n++] = 3ULL << order;
	}
	p->at[n++] = npages - 1;
	p->at[n++] = npages;
	qsort(p->at, n, sizeof(p->at[0]), by_value);
	p->count = 0;
	for (unsigned i = 0; i < n; i++)
		if (i == 0 || p->at[i] != p->at[i - 1])
			p->at[p->count++] = p->at[i];
}

static void points_check(struct clo_attr *a, const struct points *p)
{
	struct clo_attr_stats st;
	uint64_t runs = 1;

	for (unsigned i = 0; i + 1 < p->count; i++) {
		CHECK_EQ(clo_attr_is_private(a, p->at[i]), p->kind[i]);
		CHECK_EQ(clo_attr_is_private(a, p->at[i + 1] - 1), p->kind[i]);
		CHECK(clo_attr_range_is(a, clo_range(p->at[i], p->at[i + 1]), p->kind[i]));
		runs += i > 0 && p->kind[i] != p->kind[i - 1];
	}
	CHECK_OK(clo_attr_check(a));
	clo_attr_stats(a, &st);
	CHECK_EQ(st.runs, runs);
}

static void random_points(uint64_t npages, unsigned changes)
{
	struct clo_rand rnd = { test_seed() ^ npages };
	struct points p = { 0 };
	struct clo_attr *a;

	points_make(&p, npages);
	CHECK_OK(clo_attr_create(npages, false, &a));
	for (unsigned i = 0; i < changes; i++) {
		unsigned first = (unsigned)clo_rand_below(&rnd, p.count - 1);
		unsigned left = p.count - 1 - first;
		unsigned last =
			first + 1 + (unsigned)clo_rand_below(&rnd, i % 2 ? left : left / 9 + 1);
		struct clo_range r = clo_range(p.at[first], p.at[last]);
		bool to = clo_rand_below(&rnd, 2);
		uint64_t pages = 0;

		CHECK_OK(clo_attr_set(a, r, to));
		memset(p.kind + first, to, last - first);
		points_check(a, &p);
		for (unsigned j = 0; j + 1 < p.count; j++)
			pages += p.kind[j] ? p.at[j + 1] - p.at[j] : 0;
		CHECK_EQ(clo_attr_count_private(a, clo_range(0, npages)), pages);
		CHECK_EQ(clo_attr_count_private(a, r), to ? clo_range_len(r) : 0);
	}
	CHECK_OK(clo_attr_set(a, clo_range(0, npages), true));
	CHECK_OK(clo_attr_check(a));
	clo_attr_destroy(a);
	clo_rcu_barrier();
}

TEST(random_changes_large)
{
	random_points(1ULL << 28, 1000);
	random_points((1ULL << 38) - 5, 1000);
	random_points(1ULL << 40, 1000);
	random_points((1ULL << 52) - 12345, 500);
	random_points(1ULL << 52, 500);
}
