/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attr/attr.h - private or shared, per gfn of a VM or per file index of a guest_memfd.
 *
 * A radix tree whose nodes hold, for each child block, uniform shared, uniform private or a
 * pointer; a block of 512 pages that is mixed is a bitmap. Uniform blocks are collapsed at once, so
 * "mixed" is "has a child" and is known without a scan. Fan-outs (in bits): 9 (2M bitmap), 9 (1G),
 * 10 (1T), 10, 10, ...: an aligned 1 TiB range is one entry.
 *
 * Readers are lock-free under RCU (taken inside, or held by the caller). Writers serialise on a
 * mutex, rank ATTR. A reader that runs beside a writer sees each page old or new; consumers close
 * the race by the invalidation sequence, as KVM does (mmu_invalidate_retry_gfn() of
 * linux/kvm_host.h; mail 3).
 *
 * Check, then commit (D2): prepare reserves every node that the change can need, commit cannot
 * fail.
 */
#ifndef CLO_ATTR_ATTR_H
#define CLO_ATTR_ATTR_H

#include "base/base.h"
#include "sync/sync.h"

struct clo_attr;

/*
 * Covers indexes [0, npages), all @is_private or all shared at first. -EINVAL npages 0 or above
 * 2^52; -ENOMEM.
 */
int clo_attr_create(uint64_t npages, bool is_private, struct clo_attr **out) CLO_MUST_USE;
/* No reader or writer may be left, and no reserve. NULL is nothing. Does not wait. */
void clo_attr_destroy(struct clo_attr *a);

/* Lock-free; false for an index outside. */
bool clo_attr_is_private(const struct clo_attr *a, uint64_t index);
/*
 * Is the naturally aligned block of @level around @index of one kind? Only the part of the block
 * that the store covers counts. O(depth), no scan. (4K: always.)
 */
bool clo_attr_is_uniform(const struct clo_attr *a, uint64_t index, enum clo_level level);
/* Does every page in @r have @is_private? O(entries met). Empty: true. Outside: shared. */
bool clo_attr_range_is(const struct clo_attr *a, struct clo_range r, bool is_private);

/* Nodes set aside by prepare. Opaque; zero-initialise; release after commit or to give up. */
struct clo_attr_reserve {
	void *nodes;
	unsigned count;
};
/* -ENOMEM (nothing changed), -EINVAL range empty or outside. May be called before any lock. */
int clo_attr_prepare(struct clo_attr *a, struct clo_range r,
		     struct clo_attr_reserve *res) CLO_MUST_USE;
/*
 * Store. Cannot fail after a prepare of the same range, whatever other writers did in between.
 * Takes rank ATTR.
 */
void clo_attr_commit(struct clo_attr *a, struct clo_range r, bool is_private,
		     struct clo_attr_reserve *res);
void clo_attr_reserve_release(struct clo_attr_reserve *res);
/* prepare + commit + release; -ENOMEM, -EINVAL as prepare. */
int clo_attr_set(struct clo_attr *a, struct clo_range r, bool is_private) CLO_MUST_USE;

/*
 * The maximal run from @index on and before @end, lock-free: run.start == index. Empty when @index
 * is outside, or not below @end.
 */
struct clo_range clo_attr_run(const struct clo_attr *a, uint64_t index, uint64_t end,
			      bool *is_private);
/* Private pages in @r. Whole uniform and whole mixed blocks are counted without visiting pages. */
uint64_t clo_attr_count_private(struct clo_attr *a, struct clo_range r);

struct clo_attr_stats {
	uint64_t npages;
	uint64_t runs;    /* maximal runs of one kind in the whole store ("entries") */
	uint64_t nodes;   /* inner nodes */
	uint64_t bitmaps; /* leaf bitmaps */
	uint64_t bytes;   /* heap used, what is kept for the next change included */
};
void clo_attr_stats(struct clo_attr *a, struct clo_attr_stats *out);
/* Structural self-check (canonical form, counters); 0 or -EUCLEAN. For tests and the explorer. */
int clo_attr_check(struct clo_attr *a);

#endif
