/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slot/slot.h - memslots: KVM's rules and errno for SET_USER_MEMORY_REGION2, look-up.
 *
 * Readers (faults) look up under RCU in an immutable sorted array; writers copy it under the lock
 * (rank SLOTS, write). Delete and move: the slot is first published INVALID (its faults retry) and
 * a grace period awaited, then flush(slot) zaps everything it mapped, then the array without it (or
 * with it at the new gfn) is published: after the call returns no fault can install a mapping of
 * the old slot, nor is one still using it (mail 3, I5; the proof is in slot_set.c). Conversions
 * hold the lock shared: the set of slots does not move under them. The lock must not be taken
 * inside an RCU read section: its writers await grace periods.
 */
#ifndef CLO_SLOT_SLOT_H
#define CLO_SLOT_SLOT_H

#include "base/base.h"
#include "cloister/cloister.h" /* struct clo_region, CLO_MEM_* */
#include "gmem/gmem.h"
#include "sync/sync.h"

/* Internal, as KVM's. GMEM_ONLY: file with MMAP flag, shared faults come from the file too. */
#define CLO_MEMSLOT_INVALID   (1U << 16)
#define CLO_MEMSLOT_GMEM_ONLY (1U << 17)

#define CLO_SLOT_ID_MAX    32764              /* KVM_USER_MEM_SLOTS on x86 */
#define CLO_SLOT_MAX_PAGES ((1ULL << 31) - 1) /* KVM_MEM_MAX_NR_PAGES */

struct clo_slot {
	uint32_t id;    /* 15:0 id; 31:16 address space */
	uint32_t flags; /* CLO_MEM_* | CLO_MEMSLOT_* */
	struct clo_range gfns;
	struct clo_hva hva;  /* userspace_addr of gfns.start; 0 allowed with GMEM_ONLY */
	uint64_t gmem_index; /* file index of gfns.start */
	/* NULL without GUEST_MEMFD; shared by the copies of a slot, the INVALID one too. */
	struct clo_gmem_binding *binding;
	/* Mail 0: which pages of the shared side are holes, not looked through; NULL: none is. */
	struct clo_hole_map *holes;
	/* Serial number of this slot's life: the same in all its copies and after a move. */
	uint64_t arch_id;
};

struct clo_slots_config {
	unsigned as_count;    /* address spaces: 1 with private memory, 2 otherwise (as KVM) */
	uint32_t valid_flags; /* CLO_MEM_* that this VM type supports */
	uint64_t gfn_end;     /* gfns a stage-2 table can hold; a slot beyond is EINVAL; 0: all */
	uint32_t owner;       /* VM id; a file of another owner, or of another host, is EINVAL */
	const struct clo_pagedb *db; /* the host's */
	/*
	 * Zap everything @slot maps; complete when it returns. Called with the lock held (write),
	 * slot published INVALID. CLO_BREAK_SLOT_SYNC: called while the slot is still published
	 * valid, and no grace period is awaited.
	 */
	void (*flush)(void *arg, const struct clo_slot *slot);
	/* After a delete or move, without the lock: wait until nobody uses the VMM's memory of
	 * these gfns any more. */
	void (*settle)(void *arg, struct clo_range gfns);
	/* LOG_DIRTY was switched on: the slot's shared leaves must lose their write right. */
	void (*write_protect)(void *arg, const struct clo_slot *slot);
	void *arg;
};

struct clo_slots;
int clo_slots_create(const struct clo_slots_config *cfg,
		     struct clo_slots **out) CLO_MUST_USE; /* -ENOMEM */
/* VM destruction: unbinds all; no vCPU runs any more. Memory goes by RCU: clo_rcu_barrier(). */
void clo_slots_destroy(struct clo_slots *s);

/*
 * KVM's checks in KVM's order, then the change. EINVAL, EEXIST, EBADF, ENOMEM exactly as KVM's
 * (each cause is beside its check in slot_set.c). On failure nothing has changed. Takes the lock
 * (write). Must not be called in guest mode or an RCU read section.
 *
 * - -EINVAL: flags, alignment, bounds, wrap, id; delete of an absent slot; a change of size, hva or
 *   READONLY; any change of a guest_memfd slot; a file of another VM, or a range beyond its end.
 * - -EEXIST: gfn overlap, or the file range is bound already.
 * - -EBADF: no file, or a closed one.
 * - -ENOMEM.
 */
int clo_slots_set_region(struct clo_slots *s, const struct clo_region *r) CLO_MUST_USE;

/* Under RCU: the slot of @as that has @gfn (may be INVALID), or NULL. Lock-free, O(log slots). */
const struct clo_slot *clo_slots_find(struct clo_slots *s, unsigned as, struct clo_gfn gfn);
void clo_slots_lock_shared(struct clo_slots *s);
void clo_slots_unlock(struct clo_slots *s);
/*
 * Calls @fn for each non-INVALID slot of @as that meets @r, in gfn order, with the overlap; stops
 * on nonzero, which is returned. Caller holds the lock or RCU.
 */
int clo_slots_for_each(struct clo_slots *s, unsigned as, struct clo_range r,
		       int (*fn)(void *arg, const struct clo_slot *slot, struct clo_range overlap),
		       void *arg);
size_t clo_slots_count(struct clo_slots *s);

/*
 * Attach a bitmap of mapped pages to a slot: all mapped at first; 0 if it has one. -ENOENT no slot
 * of that id; -ENOMEM. Takes the lock (write). On failure nothing has changed.
 */
int clo_slots_track_holes(struct clo_slots *s, uint32_t slot_id) CLO_MUST_USE;
/* @gfn lies in @slot. Lock-free, under RCU or the lock. */
bool clo_slot_is_hole(const struct clo_slot *slot, struct clo_gfn gfn);
/*
 * Mark gfns of @slot mapped or hole; no-op without a bitmap. Cannot fail. Who makes holes zaps,
 * inside the VM's invalidation sequence.
 */
void clo_slot_set_holes(const struct clo_slot *slot, struct clo_range gfns, bool mapped);

/* hva of @gfn in @slot (shared side). */
static inline struct clo_hva clo_slot_hva(const struct clo_slot *slot, struct clo_gfn gfn)
{
	return (struct clo_hva){ slot->hva.a + ((gfn.n - slot->gfns.start) << CLO_PAGE_SHIFT) };
}
static inline uint64_t clo_slot_index(const struct clo_slot *slot, struct clo_gfn gfn)
{
	return slot->gmem_index + (gfn.n - slot->gfns.start);
}

#endif
