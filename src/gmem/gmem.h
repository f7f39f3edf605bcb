/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/gmem.h - guest_memfd: folios of 4K, 2M, 1G, the up-to-date flag, allocate, punch hole,
 * bindings, host view, per-file attributes, pins with their holder's name. Errno as KVM's; where a
 * file differs from KVM's, docs/design/guest-memfd.md says so and why.
 *
 * Index = file offset >> 12. A folio exists iff its frames are not FREE: the "file map" is window
 * arithmetic. Invalidation: every change (conversion, punch hole, release) brackets itself with
 * clo_inval_begin/end on the file's sequence (by index) and on the VM's (by gfn, through ops). An
 * allocation announces its folio (locked) and then asks clo_inval_retry: so a change either sees
 * the locked folio or the allocation sees the change (no allocation lands in a range while it is
 * converted).
 *
 * Locks: a change of a range holds it in clo_gmem_ranges (rank RANGE, by index); disjoint changes
 * run in parallel. Bindings: the memslots lock (rank SLOTS) is held by the caller of bind and
 * unbind, which take their own range: inside a held range the bindings of that range stand still.
 * Readers of the list use RCU. Growth of the file map: mutex rank TABLE. Pin registry: mutex rank
 * LEAF.
 */
#ifndef CLO_GMEM_GMEM_H
#define CLO_GMEM_GMEM_H

#include "attr/attr.h"
#include "base/base.h"
#include "cloister/cloister.h" /* CLO_GMEM_*; fallocate, mmap, munmap, pin, unpin, host access */
#include "page/page.h"
#include "sync/sync.h"
#include "view/view.h"

enum clo_zap_reason {
	CLO_ZAP_SPLIT_MERGE, /* mail 4 reason 1: a private folio is split or merged */
	CLO_ZAP_HUGEPAGE,    /* 2: other frames, or the huge page must be reassessed */
	CLO_ZAP_RW_CHANGE,   /* 3: rights change */
	CLO_ZAP_DIRECT_MAP,  /* 4: frames enter or leave the direct map */
	CLO_ZAP_KIND,        /* accesses carry private/shared: one of the old kind must fault */
	CLO_ZAP_CONTENT,     /* content is zeroed under the guest */
	CLO_ZAP_PUNCH,       /* frames are freed */
	CLO_ZAP_SLOT,        /* memslot deleted or moved */
	CLO_ZAP_RELEASE,     /* guest_memfd closed, VM destroyed */
	CLO_ZAP_HOOK,        /* the trust model's hooks must see the page change hands */
	CLO_ZAP_REASON_COUNT
};
const char *clo_zap_reason_name(enum clo_zap_reason r);

/* Pages of one folio, and of one binding or of none. */
struct clo_gmem_piece {
	struct clo_gmem *gmem;
	uint64_t index, npages;
	struct clo_pfn pfn;
	unsigned order; /* of the folio that they are in */
	bool is_bound;
	struct clo_gfn gfn; /* of the first, if they are bound */
};

/*
 * How a file tells its VM to let go of pages; vm is the argument. Ranges of gfns. Begin and end
 * nest and pair; zap is complete (shoot-down done) when flush returns. begin, zap and end are
 * called in an RCU section. Each may be NULL (no guest maps the file).
 */
struct clo_gmem_ops {
	void (*begin)(void *vm, struct clo_range gfns);
	void (*zap)(void *vm, struct clo_range gfns, enum clo_zap_reason why);
	void (*flush)(void *vm);
	void (*end)(void *vm, struct clo_range gfns);
	/*
	 * Mail 4's hook (sev_gmem_prepare): called under the folio lock each time a folio is given
	 * to a guest as private, as KVM does, because the kind can have gone back and forth since:
	 * must be idempotent. When it fails the fault exits with that errno and nothing has
	 * changed: a folio that was not up to date is not. NULL = nothing to do, and a fault on a
	 * ready folio takes no lock.
	 */
	int (*prepare)(void *vm, const struct clo_gmem_piece *piece);
	/*
	 * Its opposite (sev_gmem_invalidate): frames that were prepared, once each, before they
	 * change hands. Both are there, or neither. @why: CLO_INVALIDATE_*.
	 */
	void (*invalidate)(void *vm, const struct clo_gmem_piece *piece, uint32_t why);
	void *vm;
};

struct clo_gmem_config {
	uint64_t size; /* bytes */
	uint64_t flags;
	uint32_t page_order;  /* 0; with HUGETLB 9 or 18 */
	uint32_t owner;       /* VM id, 1..65535 */
	uint64_t valid_flags; /* what this VM type supports; others are -EINVAL */
	struct clo_gmem_ops ops;
};

/*
 * A slot's use of a file. Memory is the slot's, kept until a grace period after unbind; the fields
 * are written by bind, unbind and release.
 */
struct clo_gmem_binding {
	struct clo_aptr next; /* struct clo_gmem_binding *, private to gmem */
	struct clo_aptr gmem; /* struct clo_gmem *, NULL after release (later faults: EFAULT) */
	struct clo_range index;
	uint64_t base_gfn; /* gfn of index.start */
	struct clo_rcu_head rcu;
};

/*
 * Create. -EINVAL: flags outside valid_flags; size <= 0 as signed 64 or not page aligned (HUGETLB:
 * not a multiple of the huge page); HUGETLB|INIT_SHARED; page_order without HUGETLB, or not 9 or
 * 18; owner. No upper limit: 2^63-4096 is fine as in KVM, memory is used for what is touched.
 * -ENOMEM. One reference: the "file". @vh may be NULL: no host view, mmap and host access are
 * EOPNOTSUPP.
 */
int clo_gmem_open(struct clo_pagedb *db, struct clo_view_host *vh,
		  const struct clo_gmem_config *cfg, struct clo_gmem **out) CLO_MUST_USE;
/*
 * References: one for the file handle, one for each pin; callers put clo_gmem_get around calls that
 * may meet a close. The last put frees the bookkeeping and unmaps what the VMM left mapped.
 */
void clo_gmem_get(struct clo_gmem *g);
void clo_gmem_put(struct clo_gmem *g);
/* Whoever wants to ask clo_gmem_lost() of a file that is closed: keeps its memory, nothing else. */
void clo_gmem_watch(struct clo_gmem *g);
void clo_gmem_unwatch(struct clo_gmem *g);
/* Frames that were pinned when @g was closed and are still; above 0: with the holder of a pin. */
uint64_t clo_gmem_lost(struct clo_gmem *g, char *holder, size_t size);
/*
 * close(2) of the last descriptor, once: zaps every binding (reason RELEASE), frees all folios,
 * sets the bindings' gmem to NULL; pinned frames are LEAKED and counted (somebody's DMA still
 * reaches them) until their last pin goes; then drops the file's reference. Safe while bound and
 * while vCPUs fault. Waits for an RCU grace period: not in a read section.
 */
void clo_gmem_release(struct clo_gmem *g);

uint32_t clo_gmem_owner(const struct clo_gmem *g);
/*
 * -EINVAL, with its reason: bytes 0, past 2^64 (an end of exactly 2^64 wraps to 0, which KVM
 * refuses too), not in whole pages. The names are those of the public call's arguments.
 */
int clo_check_range(uint64_t at, const char *at_name, uint64_t bytes,
		    const char *bytes_name) CLO_MUST_USE;
void *clo_gmem_vm(const struct clo_gmem *g); /* ops.vm */
struct clo_pagedb *clo_gmem_pagedb(const struct clo_gmem *g);
/* Always there; initially INIT_SHARED ? shared : private. */
struct clo_attr *clo_gmem_attr(const struct clo_gmem *g);
struct clo_inval *clo_gmem_inval(struct clo_gmem *g);
struct clo_rangelock *clo_gmem_ranges(struct clo_gmem *g);
struct clo_view_set *clo_gmem_views(struct clo_gmem *g); /* NULL without MMAP flag */

/*
 * clo_gmem_fallocate() is public. What its comment does not say:
 * - Allocate: folio order as the attribute allows; neither zeroed nor prepared.
 * - Punch: begin, zap, flush, drop from views, free, give the memory to the real host, end. A
 *   pinned frame of an order-0 file cannot leave its place here: it is zeroed and stays (the kernel
 *   gives the file a fresh page and the pin keeps the old one), and stats.punched_pinned counts it.
 */

/*
 * For a conversion between two backings: the guest gets these pages as private ones, and must not
 * meet what the file has kept of them from an earlier time. Whole folios are freed as by a hole, in
 * a huge one that sticks out its pages are zeroed; what was only allocated stays. No guest maps
 * @index and nobody can pin it. Takes the range.
 */
void clo_gmem_renew(struct clo_gmem *g, struct clo_range index);

/*
 * Bind indexes to gfns from base_gfn. -EINVAL: empty or beyond the size; -EEXIST: overlaps a
 * binding of this file; -EBADF: released. The caller holds the VM's slots lock for writing. Waits
 * for a conversion or hole in the range.
 */
int clo_gmem_bind(struct clo_gmem *g, struct clo_gmem_binding *b, struct clo_range index,
		  uint64_t base_gfn) CLO_MUST_USE;
/*
 * The slot goes away: called once nobody can find it any more (readers from before may still use @b
 * until RCU; b->gmem keeps its value for them, so that they retry instead of taking the file for
 * closed). Also after release. Waits for a conversion or hole in the range.
 */
void clo_gmem_unbind(struct clo_gmem_binding *b);
/*
 * Calls @fn for each binding that meets @index, in index order, with the overlapping indexes and
 * the matching gfns; inside RCU.
 */
void clo_gmem_for_each_gfn(struct clo_gmem *g, struct clo_range index,
			   void (*fn)(void *arg, struct clo_range index, struct clo_range gfns),
			   void *arg);

/*
 * Calls @fn for each piece of @index, pages of one folio from frame @pfn on. The caller keeps the
 * bindings of @index (its range) and the folio; nothing else is held during the calls.
 */
void clo_gmem_for_each_piece(struct clo_gmem *g, struct clo_range index, struct clo_pfn pfn,
			     void (*fn)(void *arg, const struct clo_gmem_piece *piece), void *arg);
/*
 * Private pages of @index are about to change hands: takes back from the trust model what was
 * prepared. With the range, in the file's invalidation, leaves zapped and flushed, no folio locked
 * by the caller. Waits for the lock of each folio. CLO_BREAK_INVALIDATE_HOOK: skipped.
 */
void clo_gmem_invalidate(struct clo_gmem *g, struct clo_range index, uint32_t why);
/* Are there hooks? Then no leaf may go from one table to the other unseen. */
bool clo_gmem_has_hooks(const struct clo_gmem *g);

/*
 * pfn that index maps to if its window exists, else false (also beyond the size). Lock-free. Unless
 * the caller keeps a frame at @index from going, the window may have gone when it returns, and the
 * pfn be another file's.
 */
bool clo_gmem_pfn(const struct clo_gmem *g, uint64_t index, struct clo_pfn *pfn);
/*
 * *@at moves to the first index in [*@at, end) whose frame is not FREE; *@pfn is that frame.
 * False: none. Lock-free; passes over what has no frame, 1G at a time, however large the file.
 */
bool clo_gmem_next_frame(const struct clo_gmem *g, uint64_t *at, uint64_t end, struct clo_pfn *pfn);
/*
 * What was -EAGAIN at @index is worth another try: no change of the file that may cover it is in
 * progress, and nobody has its folio locked; or @who (may be NULL) was called off. No more than a
 * moment may have passed: a loop has its clo_relax() beside. With nothing held that the VMM's hooks
 * and listeners need: it lasts as long as they like.
 */
void clo_gmem_wait(struct clo_gmem *g, uint64_t index, struct clo_waiter *who);
/*
 * Lock the folio with frame @pfn, which clo_gmem_next_frame() found at @index, and its head in
 * *head. False: it is no longer this file's.
 */
bool clo_gmem_lock_frame(const struct clo_gmem *g, uint64_t index, struct clo_pfn pfn,
			 struct clo_pfn *head);

/*
 * The folio for a guest fault if nothing has to be done for it: up to date, of the kind wanted, not
 * in transition, no hook to be called. One look, which never blocks, in a read section; the rest is
 * as below.
 */
bool clo_gmem_find_folio(struct clo_gmem *g, uint64_t index, bool is_private, struct clo_pfn *pfn,
			 unsigned *order);
/*
 * The folio for a guest fault (kvm_gmem_get_pfn). @is_private: the kind wanted. Finds or allocates;
 * zeroes if not up to date; calls ops.prepare for private use; leaves the folio unlocked and up to
 * date. *pfn is the frame of @index itself; *order the folio's. Nothing is held: the caller closes
 * the race by the mmu's invalidation sequence. The hook is a stranger's and may sleep: with a
 * reference to @g, not in a read section.
 * With a hook, -EAGAIN also: a change nearby is under way.
 * -EFAULT released or beyond the end; -EAGAIN in transition (clo_relax and retry the fault);
 * -ENOMEM; -EHWPOISON; -EACCES the folio, or the attribute where there is none, is of the other
 * kind (a conversion was faster: a retry decides); or what prepare returned.
 */
int clo_gmem_get_folio(struct clo_gmem *g, uint64_t index, struct clo_gfn gfn, bool is_private,
		       struct clo_pfn *pfn, unsigned *order) CLO_MUST_USE;

/*
 * For conversions of HUGETLB files, inside the file's clo_inval_begin/end with the range held.
 * - split: the folio of @index, locked by the caller, becomes order-0 folios, all of them locked.
 *   Nothing to do (order 0): 0. -EBUSY mapped (zap first); -ENOENT no folio.
 * - merge: the block of page_order around @index becomes one folio again if all of it is private
 *   and every frame exists, unpinned, unmapped, not poisoned; else nothing changes and false. No
 *   folio of the block is locked by the caller. Pages that are not up to date are zeroed if others
 *   are.
 */
int clo_gmem_split_block(struct clo_gmem *g, uint64_t index) CLO_MUST_USE;
bool clo_gmem_merge_block(struct clo_gmem *g, uint64_t index);

/*
 * For a conversion as above: make the missing page @index, a private folio of 4K, locked and not up
 * to date. The caller shares it, or frees it without anyone having seen it. -EEXIST: there already,
 * or for a moment somebody's who comes too late; -EFAULT closed, beyond the end; -ENOMEM.
 */
int clo_gmem_make_locked(struct clo_gmem *g, uint64_t index, struct clo_pfn *pfn) CLO_MUST_USE;
/* Free such a page again, as if it had never been. The lock goes with it. */
void clo_gmem_unmake(struct clo_gmem *g, uint64_t index, struct clo_pfn pfn);

/* Some holder of a pin on @index, copied to @name; false when none. */
bool clo_gmem_pin_holder(struct clo_gmem *g, uint64_t index, char *name, size_t size);
/*
 * Page @index was found pinned: copies the name of a holder to @name and remembers that somebody
 * waits for this pin. The ticket is for clo_gmem_wait_blamed(), which waits, with nothing held but
 * a reference, until such a pin has gone, or the file was closed; false: @deadline_ns (clo_now_ns)
 * has come. Other unpins wake nobody. Then look again: there may be another pin.
 */
uint64_t clo_gmem_blame(struct clo_gmem *g, uint64_t index, char *name, size_t size);
bool clo_gmem_wait_blamed(struct clo_gmem *g, uint64_t ticket, uint64_t deadline_ns);

/* Frames and pins as they are now (a walk), and counts since creation. */
struct clo_gmem_stats {
	uint64_t allocated, private_frames, shared_frames, huge_folios, pinned, pins;
	uint64_t zeroed, prepared, invalidated, splits, merges, punched, punched_pinned;
};
void clo_gmem_stats(struct clo_gmem *g, struct clo_gmem_stats *out);

#endif
