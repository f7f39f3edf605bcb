/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/test_table.h - what the tests of module table share.
 */
#ifndef CLO_TABLE_TEST_TABLE_H
#define CLO_TABLE_TEST_TABLE_H

#include "harness/test.h"
#include "table/table.h"

#define RWX  (CLO_SPTE_R | CLO_SPTE_W | CLO_SPTE_X)
#define SZ2M (1ULL << 9)
#define SZ1G (1ULL << 18)

static inline struct clo_table *table_new(void)
{
	struct clo_table *t = NULL;

	CHECK_OK(clo_table_create(&t));
	return t;
}

/* Map one leaf as a fault does, without the invalidation sequence. What map_begin gave. */
static inline int map_try(struct clo_table *t, uint64_t gfn, enum clo_level level, uint64_t pfn)
{
	struct clo_map_ctx ctx;

	clo_rcu_read_lock();
	int ret = clo_table_map_begin(t, clo_gfn(gfn), level, &ctx);

	if (ret == 0)
		clo_table_map_commit(&ctx, clo_spte_make(clo_pfn(pfn), level, RWX));
	clo_rcu_read_unlock();
	return ret;
}

static inline void map_leaf(struct clo_table *t, uint64_t gfn, enum clo_level level, uint64_t pfn)
{
	CHECK_OK(map_try(t, gfn, level, pfn));
}

/* The pfn that translates @gfn; UINT64_MAX: none. */
static inline uint64_t pfn_of(struct clo_table *t, uint64_t gfn)
{
	struct clo_leaf leaf;

	if (!clo_table_walk(t, clo_gfn(gfn), &leaf))
		return UINT64_MAX;
	return clo_spte_pfn(leaf.spte).n + (gfn - leaf.base.n);
}
#define NONE UINT64_MAX

static inline uint64_t pages_in(struct clo_table *t)
{
	struct clo_table_stats stats;

	clo_table_stats(t, &stats);
	return stats.pages;
}

static inline uint64_t leaves_in(struct clo_table *t)
{
	struct clo_table_stats stats;

	clo_table_stats(t, &stats);
	return stats.leaves[CLO_LEVEL_4K] + stats.leaves[CLO_LEVEL_2M] + stats.leaves[CLO_LEVEL_1G];
}

/* A callback that writes down what it is told. */
#define SEEN_MAX 2048U
struct seen {
	unsigned count;
	struct {
		uint64_t base;
		uint64_t spte;
		enum clo_level level;
	} leaf[SEEN_MAX];
};

static inline void see(void *arg, struct clo_gfn base, enum clo_level level, uint64_t spte)
{
	struct seen *seen = arg;

	CHECK(seen->count < SEEN_MAX);
	seen->leaf[seen->count].base = base.n;
	seen->leaf[seen->count].level = level;
	seen->leaf[seen->count++].spte = spte;
}

/* Does a leaf lie across an end of @r, so that a zap of @r would take more than @r? */
static inline bool table_crosses(struct clo_table *t, struct clo_range r)
{
	struct clo_leaf leaf;

	if (r.start >= r.end)
		return false;
	return (clo_table_walk(t, clo_gfn(r.start), &leaf) && leaf.base.n != r.start) ||
	       (clo_table_walk(t, clo_gfn(r.end), &leaf) && leaf.base.n != r.end);
}

#endif
