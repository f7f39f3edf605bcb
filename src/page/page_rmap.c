/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page/page_rmap.c - the reverse map of private leaves: I1 as one compare-and-swap.
 *
 * A frame that is private to a guest is mapped by at most one leaf. The leaf's owner has its SPTE
 * frozen while it claims, and the zap that removes the leaf drops the claim before the frame can be
 * freed; so a claim that meets another one is a double map, never a leftover.
 */
#include "page_internal.h"

#include <assert.h>
#include <errno.h>

/* valid:1 level:2 owner:16 gfn:45, from bit 0 */
#define RMAP_VALID       1ULL
#define RMAP_LEVEL_SHIFT 1
#define RMAP_LEVEL_MASK  (3ULL << RMAP_LEVEL_SHIFT)
#define RMAP_OWNER_SHIFT 3
#define RMAP_GFN_SHIFT   19
#define RMAP_GFN_BITS    45

static uint64_t rmap_make(enum clo_level level, uint32_t vm, struct clo_gfn gfn)
{
	assert(vm <= OWNER_MAX && gfn.n >> RMAP_GFN_BITS == 0);
	return RMAP_VALID | (uint64_t)level << RMAP_LEVEL_SHIFT | (uint64_t)vm << RMAP_OWNER_SHIFT |
	       gfn.n << RMAP_GFN_SHIFT;
}

static bool same_place(uint64_t a, uint64_t b)
{
	return (a & ~RMAP_LEVEL_MASK) == (b & ~RMAP_LEVEL_MASK);
}

int clo_page_rmap_claim(struct clo_pagedb *db, struct clo_pfn pfn, enum clo_level level,
			uint32_t vm, struct clo_gfn gfn)
{
	struct clo_a64 *rmap = &page_frame(db, pfn)->rmap;
	uint64_t want = rmap_make(level, vm, gfn);
	uint64_t seen = 0;

	if (clo_broken(CLO_BREAK_PAGE_RMAP)) {
		clo_a64_set(rmap, want);
		return 0;
	}
	while (!clo_a64_cas(rmap, &seen, want)) {
		if (seen == want)
			return 0;
		if (seen != 0 && !same_place(seen, want))
			return -EEXIST;
	}
	return 0;
}

int clo_page_rmap_drop(struct clo_pagedb *db, struct clo_pfn pfn, uint32_t vm, struct clo_gfn gfn)
{
	struct clo_a64 *rmap = &page_frame(db, pfn)->rmap;
	uint64_t mine = rmap_make(CLO_LEVEL_4K, vm, gfn);
	uint64_t seen = clo_a64_get(rmap);

	do {
		if (!same_place(seen, mine))
			return -ENOENT;
	} while (!clo_a64_cas(rmap, &seen, 0));
	return 0;
}

bool clo_page_rmap_get(const struct clo_pagedb *db, struct clo_pfn pfn, enum clo_level *level,
		       uint32_t *vm, struct clo_gfn *gfn)
{
	uint64_t r = clo_a64_get(&page_frame(db, pfn)->rmap);

	if (!(r & RMAP_VALID))
		return false;
	*level = (enum clo_level)((r & RMAP_LEVEL_MASK) >> RMAP_LEVEL_SHIFT);
	*vm = (uint32_t)(r >> RMAP_OWNER_SHIFT) & OWNER_MAX;
	*gfn = clo_gfn(r >> RMAP_GFN_SHIFT);
	return true;
}

bool page_any_rmap(const struct clo_pagedb *db, struct clo_pfn pfn, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		if (clo_a64_get(&page_frame(db, clo_pfn(pfn.n + i))->rmap))
			return true;
	}
	return false;
}
