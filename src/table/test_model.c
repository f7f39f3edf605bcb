/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/test_model.c - random operations on two tables against flat arrays.
 *
 * The window is 1 GiB and a bit, so that leaves of all levels, and ranges across them, occur. The
 * model keeps, for each gfn and space, what a 4K look-up must give and the level of its leaf.
 */
#include "table/test_table.h"

#define WINDOW             (SZ1G + 4 * SZ2M)
#define PFN_OF(gfn, shift) ((gfn) + (shift)*8 * SZ1G)

struct page {
	uint32_t shift; /* 0: not mapped; else which frame */
	enum clo_level level;
};

static struct page model[CLO_SPACE_COUNT][WINDOW];
static struct clo_table *table[CLO_SPACE_COUNT];
static struct clo_rand rnd;
static uint64_t told; /* pages, by the callbacks */

static uint64_t any_gfn(void)
{
	/* Near the borders of leaves most of the time. */
	uint64_t block = clo_rand_below(&rnd, 3) ? clo_rand_below(&rnd, 3)
						 : clo_rand_below(&rnd, WINDOW / SZ2M);
	uint64_t gfn = block * SZ2M + (clo_rand_below(&rnd, 2) ? clo_rand_below(&rnd, 3)
							       : clo_rand_below(&rnd, SZ2M));

	return gfn % WINDOW;
}

static struct clo_range any_range(void)
{
	uint64_t a = any_gfn(), b = any_gfn();

	return a < b ? clo_range(a, b + 1) : clo_range(b, a + 1);
}

static struct clo_range leaf_at(uint64_t gfn, enum clo_level level)
{
	uint64_t size = clo_level_pages(level), base = clo_align_down(gfn, size);

	return clo_range(base, base + size);
}

static void set_pages(unsigned s, struct clo_range r, struct page p)
{
	for (uint64_t gfn = r.start; gfn < r.end; gfn++)
		model[s][gfn] = p;
}

static void do_map(unsigned s)
{
	uint64_t gfn = any_gfn(), dice = clo_rand_below(&rnd, 40);
	enum clo_level level = dice == 0 ? CLO_LEVEL_1G : dice < 12 ? CLO_LEVEL_2M : CLO_LEVEL_4K;
	struct clo_range r = leaf_at(gfn, level);
	struct page new = { 1 + (uint32_t)clo_rand_below(&rnd, 5), level };
	const struct page *have = &model[s][gfn];
	int want = 0;

	if (r.end > WINDOW)
		return;
	if (have->shift && have->level >= level)
		want = -EEXIST;
	else
		for (uint64_t i = r.start; want == 0 && i < r.end; i++)
			want = model[s][i].shift ? -EBUSY : 0;

	int ret = map_try(table[s], gfn, level, PFN_OF(r.start, new.shift));

	CHECK_EQ(ret, want);
	if (ret == 0)
		set_pages(s, r, new);
}

static void do_abort(unsigned s)
{
	struct clo_map_ctx ctx;

	clo_rcu_read_lock();
	if (clo_table_map_begin(table[s], clo_gfn(any_gfn()),
				(enum clo_level)clo_rand_below(&rnd, 3), &ctx) == 0)
		clo_table_map_abort(&ctx);
	clo_rcu_read_unlock();
}

static void tell(void *arg, struct clo_gfn base, enum clo_level level, uint64_t spte)
{
	const struct page *p = &model[*(unsigned *)arg][base.n];

	CHECK(p->shift != 0);
	CHECK_EQ(level, p->level);
	CHECK_EQ(clo_spte_pfn(spte).n, PFN_OF(base.n, p->shift));
	told += clo_level_pages(level);
}

/* Pages of the leaves in @r, which leave the model. */
static uint64_t model_zap(unsigned s, struct clo_range r)
{
	uint64_t pages = 0;

	for (uint64_t gfn = r.start; gfn < r.end; gfn++) {
		struct page p = model[s][gfn];

		if (p.shift == 0)
			continue;
		pages += clo_level_pages(p.level);
		set_pages(s, leaf_at(gfn, p.level), (struct page){ 0 });
	}
	return pages;
}

static bool model_crosses(unsigned s, uint64_t gfn)
{
	return gfn < WINDOW && model[s][gfn].shift &&
	       leaf_at(gfn, model[s][gfn].level).start != gfn;
}

static void do_zap(unsigned s)
{
	struct clo_range r = any_range();
	bool any = false;

	for (uint64_t gfn = r.start; !any && gfn < r.end; gfn++)
		any = model[s][gfn].shift != 0;
	CHECK_EQ(clo_table_any(table[s], r), any);
	CHECK_EQ(table_crosses(table[s], r), model_crosses(s, r.start) || model_crosses(s, r.end));
	told = 0;
	clo_table_zap(table[s], r, tell, &s);
	CHECK_EQ(told, model_zap(s, r));
}

static void split_end(unsigned s, uint64_t gfn)
{
	while (model_crosses(s, gfn)) {
		struct page p = model[s][gfn];
		struct clo_range r = leaf_at(gfn, p.level);

		p.level--;
		set_pages(s, r, p);
	}
}

static void do_split(unsigned s)
{
	struct clo_split_reserve res;
	struct clo_range r = any_range();

	CHECK_OK(clo_table_split_prepare(table[s], r, &res));
	clo_table_split_commit(table[s], r, &res, NULL, NULL, NULL);
	CHECK_EQ(res.count, 0);
	split_end(s, r.start);
	split_end(s, r.end);
	clo_split_reserve_release(&res);
}

static void do_move(unsigned s)
{
	struct clo_range r = any_range();
	uint64_t want_moved = 0, want_dropped = 0, dropped = 0;
	uint64_t moved = clo_table_move(table[s], table[!s], r, tell, tell, &s, &dropped);

	for (uint64_t gfn = r.start; gfn < r.end; gfn++) {
		if (model[s][gfn].shift == 0 || model[s][gfn].level != CLO_LEVEL_4K)
			continue;
		if (model[!s][gfn].shift) {
			want_dropped++;
		} else {
			model[!s][gfn] = model[s][gfn];
			want_moved++;
		}
		model[s][gfn].shift = 0;
	}
	CHECK_EQ(moved, want_moved);
	CHECK_EQ(dropped, want_dropped);
}

static void check_gfn(unsigned s, uint64_t gfn)
{
	const struct page *p = &model[s][gfn];
	struct clo_leaf leaf;

	if (!clo_table_walk(table[s], clo_gfn(gfn), &leaf)) {
		CHECK_MSG(p->shift == 0, "gfn %#llx is lost", (unsigned long long)gfn);
		return;
	}
	CHECK_EQ(leaf.level, p->level);
	CHECK_EQ(leaf.base.n, leaf_at(gfn, leaf.level).start);
	CHECK_EQ(clo_spte_pfn(leaf.spte).n, PFN_OF(leaf.base.n, p->shift));
}

static void check_all(void)
{
	for (unsigned s = 0; s < CLO_SPACE_COUNT; s++)
		for (uint64_t gfn = 0; gfn < WINDOW; gfn++)
			check_gfn(s, gfn);
}

TEST_TIMEOUT(random_operations_match_flat_arrays, 60)
{
	uint64_t before = clo_alloc_live();

	rnd.state = test_seed();
	table[0] = table_new();
	table[1] = table_new();
	for (unsigned i = 0; i < 4000; i++) {
		unsigned s = (unsigned)clo_rand_below(&rnd, CLO_SPACE_COUNT);
		uint64_t dice = clo_rand_below(&rnd, 100);

		if (dice < 60)
			do_map(s);
		else if (dice < 70)
			do_abort(s);
		else if (dice < 80)
			do_zap(s);
		else if (dice < 90)
			do_split(s);
		else
			do_move(s);
		for (unsigned k = 0; k < 20; k++)
			check_gfn(k % 2, any_gfn());
		if (i % 500 == 0)
			check_all();
	}
	check_all();
	for (unsigned s = 0; s < CLO_SPACE_COUNT; s++) {
		/* What is empty gives way to the largest leaf: no count of a page is wrong. */
		clo_table_zap(table[s], clo_range(0, NONE), NULL, NULL);
		map_leaf(table[s], 0, CLO_LEVEL_1G, 0);
		clo_table_destroy(table[s]);
	}
	clo_rcu_barrier();
	CHECK_EQ(clo_alloc_live(), before);
}
