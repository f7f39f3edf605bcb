/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/table.h - stage-2 radix tables with atomic entries, per-vCPU software TLBs, zap with a real
 * shoot-down.
 *
 * A VM has two tables (mail 0: two address spaces kept apart): shared and private. Four levels of
 * 512 entries: 48-bit gpa. There is no lock in the fault path. A fault freezes the leaf entry (mail
 * 1: the "frozen SPTE"), asks the invalidation sequence once more, then publishes or puts the old
 * value back. A zap runs inside clo_inval_begin/end and waits for frozen entries: so either the
 * fault sees the zap in progress, or the zap sees the frozen entry and what it becomes.
 *
 * THE RULE FOR FAULTS (docs/design/stage2.md). In this order: snapshot of
 * mmu->inval for the gfn; look at slot, attribute, backing; clo_table_map_begin(); then
 * clo_inval_retry() with the snapshot: true => clo_table_map_abort() and start again, false =>
 * clo_table_map_commit().
 *
 * THE RULE FOR CHANGERS. clo_inval_begin() over a range that covers every leaf which can be hit: a
 * huge leaf is removed whole, so round out to 2M, or to 1G where 1G leaves are in use. Then change
 * and zap, then clo_mmu_flush(), then use the frames again, then clo_inval_end(). Call
 * clo_mmu_flush() even when the zap has found nothing: another changer may have removed the leaf a
 * moment ago and not have shot it down yet.
 *
 * Invariant I5: after clo_mmu_flush() or clo_mmu_shootdown() has returned no vCPU can use a
 * translation that was removed before the call, by whomever.
 *
 * Locks: none. Page-table pages come from clo_alloc and are freed by RCU; entries are atomics.
 */
#ifndef CLO_TABLE_TABLE_H
#define CLO_TABLE_TABLE_H

#include "base/base.h"
#include "sync/sync.h"

#define CLO_GFN_BITS  36 /* 48-bit gpa */
#define CLO_MAX_VCPUS 1024

enum clo_space { CLO_SPACE_SHARED, CLO_SPACE_PRIVATE, CLO_SPACE_COUNT };

/*
 * SPTE: bit 0 R, 1 W, 2 X, 7 huge leaf, 8 accessed, 9 dirty, 12..51 pfn (40 bits, incl.
 * CLO_PFN_USER).
 */
#define CLO_SPTE_R    (1ULL << 0)
#define CLO_SPTE_W    (1ULL << 1)
#define CLO_SPTE_X    (1ULL << 2)
#define CLO_SPTE_HUGE (1ULL << 7)
#define CLO_SPTE_A    (1ULL << 8)
#define CLO_SPTE_D    (1ULL << 9)
/* An entry owned by somebody in the middle of a change: neither present nor free. All else wait. */
#define CLO_SPTE_FROZEN (1ULL << 60)

static inline bool clo_spte_present(uint64_t spte)
{
	return (spte & CLO_SPTE_R) != 0;
}
static inline struct clo_pfn clo_spte_pfn(uint64_t spte)
{
	return clo_pfn((spte >> 12) & ((1ULL << 40) - 1));
}
/* A leaf at @level for @pfn; bits: CLO_SPTE_R|W|X|A|D. R is implied; HUGE when level > 4K. */
static inline uint64_t clo_spte_make(struct clo_pfn pfn, enum clo_level level, uint64_t bits)
{
	return (pfn.n << 12) | bits | CLO_SPTE_R | (level == CLO_LEVEL_4K ? 0 : CLO_SPTE_HUGE);
}

struct clo_table;
/* An empty table in *@out. -ENOMEM: no memory, *@out is untouched. */
int clo_table_create(struct clo_table **out) CLO_MUST_USE;
/*
 * Free the table (NULL is allowed). No user may be left; leaves that are still present are
 * forgotten (the caller has zapped). Pages that left the tree earlier are freed by RCU, maybe
 * later: clo_rcu_barrier().
 */
void clo_table_destroy(struct clo_table *t);

struct clo_leaf {
	uint64_t spte;
	enum clo_level level;
	struct clo_gfn base; /* first gfn of the leaf */
};
/*
 * The present leaf that translates @gfn, or false: none, frozen, or @gfn beyond CLO_GFN_BITS.
 * Lock-free; takes RCU itself.
 */
bool clo_table_walk(struct clo_table *t, struct clo_gfn gfn, struct clo_leaf *out);

/* What clo_table_map_begin() froze, for commit or abort. */
struct clo_map_ctx {
	struct clo_a64 *entry;
	uint64_t old;         /* after -EEXIST the leaf found */
	enum clo_level level; /* of the entry; after -EEXIST of the leaf found */
	void *node;           /* private to table: the page-table page of the entry */
};
/*
 * First step of mapping @gfn by a leaf of @level: build the missing levels and freeze the entry.
 * Inside an RCU read section of the caller, which must last until commit or abort. Between begin
 * and either of these the caller takes no lock and waits for nobody: zaps of the range wait for it.
 *
 *  0        frozen: it was empty.
 *  -EINVAL  @gfn is beyond CLO_GFN_BITS.
 *  -EEXIST  a present leaf of @level or larger translates @gfn already: ctx->old, ctx->level tell
 *           which.
 *  -EAGAIN  frozen by another, or the page-table page has left the tree, or one is about to empty:
 *           clo_relax() and begin anew.
 *  -ENOMEM  no page-table page.
 *  -EBUSY   @level is 2M or 1G and present smaller leaves are in the way: map smaller, or zap.
 *
 * Empty page-table pages in the way of a huge leaf are removed. On failure nothing has changed,
 * except that empty page-table pages may be gone. Source: FROZEN_SPTE in arch/x86/kvm/mmu/spte.h.
 */
int clo_table_map_begin(struct clo_table *t, struct clo_gfn gfn, enum clo_level level,
			struct clo_map_ctx *ctx) CLO_MUST_USE;
/*
 * Publish @spte (present; HUGE exactly when ctx->level > 4K) in the frozen entry.
 */
void clo_table_map_commit(struct clo_map_ctx *ctx, uint64_t spte);
/* Empty again. */
void clo_table_map_abort(struct clo_map_ctx *ctx);

/*
 * Called for each leaf that leaves the tree (zap, split, move): drop the reverse map there. Must
 * not block. May be NULL wherever it is a parameter, except in clo_table_for_each().
 */
typedef void (*clo_leaf_fn)(void *arg, struct clo_gfn base, enum clo_level level, uint64_t spte);

/*
 * Remove every present leaf that overlaps @r (a huge leaf that sticks out is removed whole), under
 * the rule for changers. Waits for frozen entries, also for those of another zap: when it returns
 * every leaf that has left @r, by whomever, has been told to its @removed. Returns the number of
 * leaves removed by this call; 0 does not mean that no shoot-down is needed (clo_mmu_flush()). Cost
 * grows with the page-table pages in @r that hold something, not with its length. Cannot fail.
 */
uint64_t clo_table_zap(struct clo_table *t, struct clo_range r, clo_leaf_fn removed, void *arg);
/* Does a present leaf overlap @r? Lock-free snapshot. */
bool clo_table_any(struct clo_table *t, struct clo_range r);

/*
 * Split the huge leaves that cross the ends of @r into smaller ones, so that a zap of @r takes
 * nothing else (kvm_split_cross_boundary_leafs, in the conversion series).
 */
struct clo_split_reserve {
	void *pages[4]; /* both ends x two levels */
	unsigned count;
};
/*
 * Reserve the page-table pages that a split of @r needs. 0, or -ENOMEM: @res is empty and nothing
 * has changed. Exact (one page serves both ends if it can) when faults over @r are kept out (inside
 * clo_inval_begin); otherwise a fault may map a huge leaf after it.
 */
int clo_table_split_prepare(struct clo_table *t, struct clo_range r,
			    struct clo_split_reserve *res) CLO_MUST_USE;
/*
 * Split, under the rule for changers; cannot fail. @removed is called for each huge leaf, then
 * @added for each leaf that takes its place, before other threads can see those. A crossing leaf
 * for which @res has no page any more is removed whole: as right, but its neighbours fault again.
 * The smaller leaves have the bits of the huge one, A and D too. Returns the number of huge leaves
 * that left. The caller releases @res. A split alone needs no shoot-down, a removal does:
 * clo_mmu_flush() knows.
 */
uint64_t clo_table_split_commit(struct clo_table *t, struct clo_range r,
				struct clo_split_reserve *res, clo_leaf_fn removed,
				clo_leaf_fn added, void *arg);
/* Free what is left in @res. */
void clo_split_reserve_release(struct clo_split_reserve *res);

/*
 * Move 4K leaves of @r from one table to the other without a zap: the translation gfn -> pfn does
 * not change, so no TLB entry becomes stale (mail 4: in place, nothing zeroed, untyped guest).
 * Only leaves of level 4K; others are left (the caller zaps them). Missing levels of @to are built.
 * A leaf is dropped instead when there is no memory for those or another leaf is in its place;
 * *@dropped (may be NULL) counts those and clo_mmu_flush() is needed. No leaf is ever in both
 * tables; @moved is called before the leaf appears in @to. Under the rule for changers, and the
 * caller keeps other zaps and moves of the same gfns out (range lock): a zap that does one table,
 * then the other could miss the leaf. Returns the number of leaves moved.
 */
uint64_t clo_table_move(struct clo_table *from, struct clo_table *to, struct clo_range r,
			clo_leaf_fn moved, clo_leaf_fn dropped_fn, void *arg, uint64_t *dropped);

/* Call @fn for each present leaf in @r, by rising gfn (lock-free snapshot, for checks, reports). */
void clo_table_for_each(struct clo_table *t, struct clo_range r, clo_leaf_fn fn, void *arg);

struct clo_table_stats {
	uint64_t pages;                   /* page-table pages in the tree now, the root included */
	uint64_t leaves[CLO_LEVEL_COUNT]; /* present leaves */
};
/* Counted by a walk over all the table. */
void clo_table_stats(struct clo_table *t, struct clo_table_stats *out);

/* Software TLB of one vCPU. Guest mode is the section in which translations may be used. */
#define CLO_TLB_ENTRIES 256
struct clo_tlb_entry {
	uint64_t key;  /* gfn << 1 | space, + 1 so that 0 is empty */
	uint64_t spte; /* of the 4K page: pfn already advanced inside a huge leaf, no HUGE bit */
};
/* Zero-filled is valid: outside guest mode, empty. */
struct clo_tlb {
	struct clo_a32 mode;                     /* odd: in guest mode; even: outside. Only rises */
	struct clo_a32 flush_req;                /* raised by shoot-downs */
	uint32_t flush_seen;                     /* [owner vCPU thread] */
	bool in_use;                             /* [owner] inside and flushed: e may be used */
	struct clo_a64 touch;                    /* memory of the VMM in use: touch.c */
	struct clo_tlb_entry e[CLO_TLB_ENTRIES]; /* [owner vCPU thread, in guest mode] */
	struct clo_stat hits, misses, flushes;   /* written by the owner vCPU thread only */
};

struct clo_mmu {
	struct clo_table *table[CLO_SPACE_COUNT];
	struct clo_inval inval;             /* by gfn */
	struct clo_aptr tlb[CLO_MAX_VCPUS]; /* struct clo_tlb *, set once */
	struct clo_a32 tlb_count;
	struct clo_a64 flushed[CLO_SPACE_COUNT]; /* removals that a finished round has covered */
	struct clo_event touched;                /* a use of the VMM's memory is over */
	struct clo_stat shootdowns;              /* rounds */
	struct clo_stat ipis; /* vCPUs that were in guest mode and had to be waited for */
};
/* Both tables, no TLB. @mmu is zero-filled. -ENOMEM: nothing is held. */
int clo_mmu_init(struct clo_mmu *mmu) CLO_MUST_USE;
void clo_mmu_destroy(struct clo_mmu *mmu);
/*
 * Register a zero-filled TLB for the mmu's whole life. -E2BIG: CLO_MAX_VCPUS are registered.
 * Takes no lock; the caller serialises (VM lock).
 */
int clo_mmu_add_tlb(struct clo_mmu *mmu, struct clo_tlb *tlb) CLO_MUST_USE;

/* Enter guest mode: flushes first if a shoot-down asked. While inside: no blocking, short. */
void clo_tlb_enter(struct clo_tlb *tlb);
void clo_tlb_exit(struct clo_tlb *tlb);
/* In guest mode. The SPTE of the 4K page, or 0. */
uint64_t clo_tlb_lookup(struct clo_tlb *tlb, struct clo_gfn gfn, enum clo_space space);
/* In guest mode. @spte_4k must come from a walk made in the same guest-mode section (I5). */
void clo_tlb_insert(struct clo_tlb *tlb, struct clo_gfn gfn, enum clo_space space,
		    uint64_t spte_4k);
/*
 * In guest mode: TLB, then a walk of @space's table (filling the TLB). The SPTE of the 4K page; 0 =
 * not translated, or bits of @need (CLO_SPTE_R|W|X) are missing.
 */
uint64_t clo_mmu_translate(struct clo_mmu *mmu, struct clo_tlb *tlb, struct clo_gfn gfn,
			   enum clo_space space, uint64_t need);

/*
 * One round for all vCPUs: raise flush_req everywhere, then wait for each vCPU that was in guest
 * mode to leave it once. Must not be called in guest mode.
 */
void clo_mmu_shootdown(struct clo_mmu *mmu);
/*
 * A round only if leaves have left either table, by any thread, and no round that began after that
 * has ended: what a changer calls after its zaps. True: there was a round.
 */
bool clo_mmu_flush(struct clo_mmu *mmu);

/*
 * The VMM's own memory, which may block, is used outside of guest mode. Begin: this vCPU uses what
 * is behind the page of @level at @gfn (aligned to it) until end; one use at a time. Called in the
 * guest-mode section whose translation the use follows, or before clo_inval_retry(), which has to
 * say then that nothing has changed.
 */
void clo_touch_begin(struct clo_tlb *tlb, struct clo_gfn gfn, enum clo_level level);
void clo_touch_end(struct clo_mmu *mmu, struct clo_tlb *tlb);
/*
 * After zap and flush of @gfns: wait for uses of the VMM's memory behind them that began before.
 * It may take as long as that memory takes, so the caller holds nothing that others need.
 */
void clo_touch_wait(struct clo_mmu *mmu, struct clo_range gfns);

#endif
