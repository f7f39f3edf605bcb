/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/test_zap.c - zap, move and the questions about ranges.
 */
#include "table/test_table.h"

TEST(a_zap_takes_what_it_overlaps_and_no_more)
{
	struct clo_table *t = table_new();
	static struct seen seen;

	for (uint64_t gfn = 500; gfn < 530; gfn++)
		map_leaf(t, gfn, CLO_LEVEL_4K, 1000 + gfn);
	CHECK_EQ(clo_table_zap(t, clo_range(0, 500), see, &seen), 0);
	CHECK_EQ(clo_table_zap(t, clo_range(530, SZ1G), see, &seen), 0);
	CHECK_EQ(clo_table_zap(t, clo_range(510, 510), see, &seen), 0);
	CHECK_EQ(clo_table_zap(t, clo_range(520, 510), see, &seen), 0);
	CHECK_EQ(clo_table_zap(t, clo_range(505, 520), see, &seen), 15);
	CHECK_EQ(seen.count, 15);
	for (unsigned i = 0; i < seen.count; i++) {
		CHECK_EQ(seen.leaf[i].base, 505 + i);
		CHECK_EQ(seen.leaf[i].level, CLO_LEVEL_4K);
		CHECK_EQ(clo_spte_pfn(seen.leaf[i].spte).n, 1505 + i);
	}
	for (uint64_t gfn = 500; gfn < 530; gfn++)
		CHECK_EQ(pfn_of(t, gfn) == NONE, gfn >= 505 && gfn < 520);
	CHECK_EQ(leaves_in(t), 15);
	clo_table_destroy(t);
}

TEST(a_zap_takes_a_huge_leaf_whole)
{
	for (enum clo_level level = CLO_LEVEL_2M; level < CLO_LEVEL_COUNT; level++) {
		struct clo_table *t = table_new();
		uint64_t size = clo_level_pages(level);
		static struct seen seen;

		for (uint64_t gfn = 0; gfn < 3 * size; gfn += size)
			map_leaf(t, gfn, level, gfn);
		seen.count = 0;
		CHECK_EQ(clo_table_zap(t, clo_range(2 * size - 1, 2 * size), see, &seen), 1);
		CHECK_EQ(seen.leaf[0].base, size);
		CHECK_EQ(seen.leaf[0].level, level);
		CHECK_EQ(pfn_of(t, size - 1), size - 1);
		CHECK_EQ(pfn_of(t, size), NONE);
		CHECK_EQ(pfn_of(t, 2 * size), 2 * size);
		map_leaf(t, size, level, size);
		CHECK_EQ(clo_table_zap(t, clo_range(size - 1, 2 * size + 1), NULL, NULL), 3);
		CHECK_EQ(leaves_in(t), 0);
		clo_table_destroy(t);
	}
}

TEST(a_zap_over_everything_finds_each_leaf_once)
{
	struct clo_table *t = table_new();
	uint64_t count = 0;
	static struct seen seen;

	for (uint64_t at = 0; at < 2048 * SZ1G; at += 512 * SZ1G) {
		map_leaf(t, at, CLO_LEVEL_1G, at);
		map_leaf(t, at + SZ1G, CLO_LEVEL_2M, at + SZ1G);
		map_leaf(t, at + SZ1G + SZ2M, CLO_LEVEL_4K, 1);
		map_leaf(t, at + 512 * SZ1G - 1, CLO_LEVEL_4K, 2);
		count += 4;
	}
	clo_table_for_each(t, clo_range(0, NONE), see, &seen);
	CHECK_EQ(seen.count, count);
	for (unsigned i = 1; i < seen.count; i++)
		CHECK(seen.leaf[i].base > seen.leaf[i - 1].base);
	CHECK_EQ(clo_table_zap(t, clo_range(0, NONE), NULL, NULL), count);
	CHECK_EQ(leaves_in(t), 0);
	CHECK_EQ(clo_table_zap(t, clo_range(0, NONE), NULL, NULL), 0);
	clo_table_destroy(t);
}

TEST(the_leaf_is_in_no_table_while_it_is_told)
{
	struct clo_table *t = table_new();

	map_leaf(t, 5, CLO_LEVEL_4K, 6);
	CHECK_EQ(clo_table_zap(t, clo_range(5, 6), NULL, NULL), 1);
	CHECK(!clo_table_any(t, clo_range(0, SZ1G)));
	clo_table_destroy(t);
}

TEST(any)
{
	struct clo_table *t = table_new();
	struct clo_map_ctx ctx;

	map_leaf(t, SZ1G, CLO_LEVEL_1G, 0);
	map_leaf(t, 2 * SZ1G, CLO_LEVEL_2M, 0);
	map_leaf(t, 2 * SZ1G + SZ2M, CLO_LEVEL_4K, 0);
	CHECK(!clo_table_any(t, clo_range(0, SZ1G)));
	CHECK(clo_table_any(t, clo_range(0, SZ1G + 1)));
	CHECK(clo_table_any(t, clo_range(2 * SZ1G - 1, 2 * SZ1G)));
	CHECK(clo_table_any(t, clo_range(2 * SZ1G + 511, 2 * SZ1G + 512)));
	CHECK(!clo_table_any(t, clo_range(2 * SZ1G + 513, NONE)));
	CHECK(!clo_table_any(t, clo_range(SZ1G, SZ1G)));

	/* Frozen is not present. */
	clo_rcu_read_lock();
	CHECK_OK(clo_table_map_begin(t, clo_gfn(7), CLO_LEVEL_4K, &ctx));
	CHECK(!clo_table_any(t, clo_range(0, 100)));
	clo_table_map_abort(&ctx);
	clo_rcu_read_unlock();
	clo_table_destroy(t);
}

/* With the wait broken, a zap passes a fault by that is about to publish. */
TEST(break_frozen_wait_leaves_the_leaf)
{
	struct clo_table *t = table_new();
	struct clo_map_ctx ctx;

	clo_break_set(CLO_BREAK_FROZEN_WAIT, true);
	clo_rcu_read_lock();
	CHECK_OK(clo_table_map_begin(t, clo_gfn(7), CLO_LEVEL_4K, &ctx));
	CHECK_EQ(clo_table_zap(t, clo_range(0, 512), NULL, NULL), 0);
	clo_table_map_commit(&ctx, clo_spte_make(clo_pfn(1), CLO_LEVEL_4K, RWX));
	clo_rcu_read_unlock();
	CHECK_EQ(pfn_of(t, 7), 1);
	clo_table_destroy(t);
}

struct mover {
	struct clo_table *from, *to;
	unsigned moved, dropped;
};

static void on_moved(void *arg, struct clo_gfn base, enum clo_level level, uint64_t spte)
{
	struct mover *m = arg;

	/* In neither table now. */
	CHECK_EQ(level, CLO_LEVEL_4K);
	CHECK_EQ(clo_spte_pfn(spte).n, base.n + 3);
	CHECK_EQ(pfn_of(m->from, base.n), NONE);
	CHECK_EQ(pfn_of(m->to, base.n), NONE);
	m->moved++;
}

static void on_dropped(void *arg, struct clo_gfn base, enum clo_level level, uint64_t spte)
{
	struct mover *m = arg;

	CHECK_EQ(level, CLO_LEVEL_4K);
	CHECK_EQ(clo_spte_pfn(spte).n, base.n + 3);
	CHECK_EQ(pfn_of(m->from, base.n), NONE);
	m->dropped++;
}

static void move_begin(struct mover *m)
{
	*m = (struct mover){ .from = table_new(), .to = table_new() };
	for (uint64_t gfn = 0; gfn < 1024; gfn++)
		map_leaf(m->from, gfn, CLO_LEVEL_4K, gfn + 3);
}

static void move_end(struct mover *m)
{
	clo_table_destroy(m->from);
	clo_table_destroy(m->to);
}

TEST(a_move_builds_levels_and_keeps_translations)
{
	struct mover m;
	uint64_t dropped = 9;

	move_begin(&m);
	CHECK_EQ(clo_table_move(m.from, m.to, clo_range(500, 600), on_moved, on_dropped, &m,
				&dropped),
		 100);
	CHECK_EQ(dropped, 0);
	CHECK_EQ(m.moved, 100);
	CHECK_EQ(m.dropped, 0);
	for (uint64_t gfn = 0; gfn < 1024; gfn++) {
		bool in = gfn >= 500 && gfn < 600;

		CHECK_EQ(pfn_of(m.from, gfn), in ? NONE : gfn + 3);
		CHECK_EQ(pfn_of(m.to, gfn), in ? gfn + 3 : NONE);
	}
	CHECK_EQ(leaves_in(m.to), 100);
	/* And back, without callbacks. */
	CHECK_EQ(clo_table_move(m.to, m.from, clo_range(0, NONE), NULL, NULL, NULL, NULL), 100);
	CHECK_EQ(leaves_in(m.from), 1024);
	CHECK_EQ(leaves_in(m.to), 0);
	/* The counts are right: what was emptied can be replaced by a huge leaf. */
	map_leaf(m.to, 0, CLO_LEVEL_1G, 0);
	CHECK_EQ(pages_in(m.to), 2);
	move_end(&m);
}

TEST(a_move_drops_a_leaf_whose_place_is_taken)
{
	struct mover m;
	uint64_t dropped = 0;

	move_begin(&m);
	map_leaf(m.to, 10, CLO_LEVEL_4K, 77);
	map_leaf(m.to, 512, CLO_LEVEL_2M, 0);
	CHECK_EQ(
		clo_table_move(m.from, m.to, clo_range(0, 520), on_moved, on_dropped, &m, &dropped),
		511);
	CHECK_EQ(dropped, 1 + 8);
	CHECK_EQ(m.dropped, 1 + 8);
	CHECK_EQ(pfn_of(m.to, 10), 77);
	CHECK_EQ(leaves_in(m.from), 1024 - 520);
	move_end(&m);
}

TEST(a_move_leaves_huge_leaves)
{
	struct mover m;
	uint64_t dropped = 0;

	move_begin(&m);
	map_leaf(m.from, 1024, CLO_LEVEL_2M, 0);
	map_leaf(m.from, SZ1G, CLO_LEVEL_1G, 0);
	CHECK_EQ(clo_table_move(m.from, m.to, clo_range(0, NONE), on_moved, on_dropped, &m,
				&dropped),
		 1024);
	CHECK_EQ(dropped, 0);
	CHECK_EQ(leaves_in(m.from), 2);
	move_end(&m);
}

/* Without memory a leaf is dropped; the next one tries again. */
TEST(a_move_survives_each_failing_allocation)
{
	for (uint64_t n = 1; n <= 5; n++) {
		struct mover m;
		uint64_t dropped = 0;

		move_begin(&m);
		clo_alloc_fail_at(n);
		uint64_t moved = clo_table_move(m.from, m.to, clo_range(0, 1024), on_moved,
						on_dropped, &m, &dropped);

		clo_alloc_fail_at(0);
		/* Three pages for the first leaf, one more for gfn 512. */
		CHECK_EQ(dropped, n <= 4 ? 1 : 0);
		CHECK_EQ(moved, 1024 - dropped);
		CHECK_EQ(leaves_in(m.from), 0);
		CHECK_EQ(leaves_in(m.to), moved);
		move_end(&m);
	}
}
