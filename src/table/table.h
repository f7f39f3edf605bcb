/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/table.h - stage-2 radix tables with atomic entries, per-vCPU software TLBs, zap with a real shoot-down.
 *
 * A VM has two tables (mail 0: two address spaces kept apart): shared and private. Four levels of 512 entries: 48-bit gpa.
 * There is no lock in the fault path. A fault freezes the leaf entry (mail 1: the "frozen SPTE"), asks the invalidation
 * sequence once more, then publishes or puts the old value back. A zap runs inside clo_inval_begin/end and waits for frozen
 * entries: so either the fault sees the zap in progress, or the zap sees the frozen entry and what it becomes.
 *
 * Invariant I5: after clo_mmu_shootdown() has returned no vCPU can use a translation that was removed before the call.
 * Lock: page-table pages come from clo_alloc; entries are atomics; readers hold RCU.
 */
#ifndef CLO_TABLE_TABLE_H
#define CLO_TABLE_TABLE_H

#include "base/base.h"
#include "sync/sync.h"

#define CLO_GFN_BITS  36 /* 48-bit gpa */
#define CLO_MAX_VCPUS 1024

enum clo_space { CLO_SPACE_SHARED, CLO_SPACE_PRIVATE, CLO_SPACE_COUNT };

/* SPTE: bit 0 R, 1 W, 2 X, 7 huge leaf, 8 accessed, 9 dirty, 12..51 pfn (40 bits, incl. CLO_PFN_USER). */
#define CLO_SPTE_R     (1ULL << 0)
#define CLO_SPTE_W     (1ULL << 1)
#define CLO_SPTE_X     (1ULL << 2)
#define CLO_SPTE_HUGE  (1ULL << 7)
#define CLO_SPTE_A     (1ULL << 8)
#define CLO_SPTE_D     (1ULL << 9)
/* A leaf entry owned by a fault in progress: not present, not free. Everybody else waits or retries. */
#define CLO_SPTE_FROZEN (1ULL << 60)
/* Every entry of a page-table page that has left the tree: a late fault there must start again from the root. */
#define CLO_SPTE_REMOVED (1ULL << 61)

static inline bool clo_spte_present(uint64_t spte)
{
	return (spte & CLO_SPTE_R) != 0;
}
static inline struct clo_pfn clo_spte_pfn(uint64_t spte)
{
	return clo_pfn((spte >> 12) & ((1ULL << 40) - 1));
}
/* A leaf at @level for @pfn; perms: CLO_SPTE_R|W|X. HUGE is added when level > 4K. */
static inline uint64_t clo_spte_make(struct clo_pfn pfn, enum clo_level level, uint64_t bits)
{
	return (pfn.n << 12) | bits | CLO_SPTE_R | (level == CLO_LEVEL_4K ? 0 : CLO_SPTE_HUGE);
}

struct clo_table;
int clo_table_create(struct clo_table **out) CLO_MUST_USE; /* -ENOMEM */
/* No user may be left; leaves that are still present are forgotten (the caller has zapped). */
void clo_table_destroy(struct clo_table *t);

struct clo_leaf {
	uint64_t spte;
	enum clo_level level;
	struct clo_gfn base; /* first gfn of the leaf */
};
/* Present leaf that translates @gfn, or false (none, frozen). Lock-free; takes RCU itself. */
bool clo_table_walk(struct clo_table *t, struct clo_gfn gfn, struct clo_leaf *out);

/*
 * Map, two steps, inside one RCU read section of the caller.
 * begin: builds the missing levels and freezes the entry of @gfn at @level.
 *  0	     frozen; ctx says where and what the old value was
 *  -EEXIST   a present leaf translates @gfn already (ctx->old, ctx->level tell which): e.g. somebody mapped it, or only a wider permission is asked.
 *	     With @replace true a present 4K..1G leaf at the SAME level is frozen instead and its old value kept in ctx->old (permission change).
 *  -EAGAIN   frozen by another, or the page-table page was removed: clo_relax() and begin anew
 *  -ENOMEM   no page-table page; nothing has changed but perhaps empty inner levels
 *  -EBUSY    @level is 2M/1G and smaller present leaves are in the way: map smaller, or zap first. An empty page-table page in the way is
 *	     removed (its entries become REMOVED, freed by RCU).
 * commit publishes; abort puts ctx->old back. Between begin and either nothing may block (zaps wait for it).
 */
struct clo_map_ctx {
	struct clo_a64 *entry;
	uint64_t old;
	enum clo_level level;
};
int clo_table_map_begin(struct clo_table *t, struct clo_gfn gfn, enum clo_level level, bool replace,
			struct clo_map_ctx *ctx) CLO_MUST_USE;
void clo_table_map_commit(struct clo_map_ctx *ctx, uint64_t spte);
void clo_table_map_abort(struct clo_map_ctx *ctx);

/* Called for each leaf that leaves the tree (zap, split, move): drop the reverse map there. Must not block. */
typedef void (*clo_leaf_fn)(void *arg, struct clo_gfn base, enum clo_level level, uint64_t spte);

/*
 * Remove every present leaf that overlaps @r (a huge leaf that sticks out is removed whole). The caller is inside
 * clo_inval_begin/end of a range that covers those leaves and calls clo_mmu_shootdown() afterwards. Waits for frozen entries.
 * Returns the number of leaves removed. Cost grows with page-table pages present in @r, not with its length.
 */
uint64_t clo_table_zap(struct clo_table *t, struct clo_range r, clo_leaf_fn removed, void *arg);
/* Does any present leaf overlap @r? Is there one that crosses r.start or r.end? (for splits) Lock-free. */
bool clo_table_any(struct clo_table *t, struct clo_range r);
bool clo_table_crosses(struct clo_table *t, struct clo_range r);

/*
 * Split the huge leaves that cross the ends of @r into smaller leaves (kvm_split_cross_boundary_leafs), so that a zap of @r
 * takes nothing else. prepare allocates (at most 4 page-table pages: both ends x two levels), commit cannot fail; same locking as zap;
 * shoot-down afterwards. @removed is called for the huge leaf, @added for each new leaf.
 */
struct clo_split_reserve {
	void *pages[4];
	unsigned count;
};
int clo_table_split_prepare(struct clo_table *t, struct clo_range r, struct clo_split_reserve *res) CLO_MUST_USE; /* -ENOMEM */
uint64_t clo_table_split_commit(struct clo_table *t, struct clo_range r, struct clo_split_reserve *res,
				clo_leaf_fn removed, clo_leaf_fn added, void *arg);
void clo_split_reserve_release(struct clo_split_reserve *res);

/*
 * Move 4K leaves of @r from one table to the other without a zap: the translation gfn -> pfn does not change, so no
 * TLB entry becomes stale (mail 4: in place, nothing zeroed, untyped guest). Only leaves wholly inside @r, level 4K; others are left (the
 * caller zaps them). Missing page-table pages in @to make the leaf be dropped instead (returned in *dropped; then a shoot-down is needed).
 * Inside clo_inval_begin/end. Returns leaves moved.
 */
uint64_t clo_table_move(struct clo_table *from, struct clo_table *to, struct clo_range r, clo_leaf_fn moved,
			clo_leaf_fn dropped_fn, void *arg, uint64_t *dropped);

/* Calls @fn for each present leaf in @r in order (lock-free snapshot, for checks and reports). */
void clo_table_for_each(struct clo_table *t, struct clo_range r, clo_leaf_fn fn, void *arg);

struct clo_table_stats {
	uint64_t pages;	    /* page-table pages now */
	uint64_t leaves[CLO_LEVEL_COUNT]; /* present leaves, counted by a walk */
};
void clo_table_stats(struct clo_table *t, struct clo_table_stats *out);

/* Software TLB of one vCPU. Guest mode is the section in which translations may be used. */
#define CLO_TLB_ENTRIES 256
struct clo_tlb_entry {
	uint64_t key;  /* gfn << 1 | space, + 1 so that 0 is empty */
	uint64_t spte; /* of the 4K page: pfn already advanced inside a huge leaf */
};
struct clo_tlb {
	struct clo_a32 mode;	  /* odd: in guest mode; even: outside. Never goes back. */
	struct clo_a32 flush_req; /* raised by shoot-downs */
	uint32_t flush_seen;	  /* [owner vCPU thread] */
	struct clo_tlb_entry e[CLO_TLB_ENTRIES]; /* [owner vCPU thread, in guest mode] */
	uint64_t hits, misses, flushes;		 /* [owner vCPU thread] */
};

struct clo_mmu {
	struct clo_table *table[CLO_SPACE_COUNT];
	struct clo_inval inval;		/* by gfn */
	struct clo_aptr tlb[CLO_MAX_VCPUS]; /* struct clo_tlb *, set once */
	struct clo_a32 tlb_count;
	struct clo_a64 shootdowns;	/* rounds */
	struct clo_a64 ipis;		/* vCPUs that were in guest mode and had to be waited for */
};
int clo_mmu_init(struct clo_mmu *mmu) CLO_MUST_USE; /* -ENOMEM */
void clo_mmu_destroy(struct clo_mmu *mmu);
/* Register a TLB for the mmu's whole life. -E2BIG more than CLO_MAX_VCPUS. Takes no lock; the caller serialises (VM lock). */
int clo_mmu_add_tlb(struct clo_mmu *mmu, struct clo_tlb *tlb) CLO_MUST_USE;

/* Enter guest mode: flushes first if a shoot-down asked. While inside: no blocking, short. */
void clo_tlb_enter(struct clo_tlb *tlb);
void clo_tlb_exit(struct clo_tlb *tlb);
/* In guest mode. Returns the SPTE of the 4K page, or 0. */
uint64_t clo_tlb_lookup(struct clo_tlb *tlb, struct clo_gfn gfn, enum clo_space space);
void clo_tlb_insert(struct clo_tlb *tlb, struct clo_gfn gfn, enum clo_space space, uint64_t spte_4k);
/* In guest mode: TLB, then a walk of @space's table (filling the TLB). 0 = not translated, or @need bits missing. */
uint64_t clo_mmu_translate(struct clo_mmu *mmu, struct clo_tlb *tlb, struct clo_gfn gfn, enum clo_space space, uint64_t need);

/* One round for all vCPUs: raise flush_req everywhere, then wait for each vCPU that was in guest mode to leave it once. Must not be called in guest mode. */
void clo_mmu_shootdown(struct clo_mmu *mmu);

#endif
