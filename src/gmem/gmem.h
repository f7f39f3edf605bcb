/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/gmem.h - guest_memfd: folios of 4K, 2M, 1G, the up-to-date flag, allocate, punch hole, bindings, host view,
 * per-file attributes, pins with their holder's name. Errno as in facts/kvm.md sections 2 and 5b.
 *
 * Index = file offset >> 12. A folio exists iff its frames are not FREE: the "file map" is window arithmetic.
 * Invalidation: every change (conversion, punch hole, release) brackets itself with clo_inval_begin/end on gmem->inval (by index) and
 * on the VM's mmu (by gfn, through ops). An allocation announces its folio (locked) and then asks clo_inval_retry: so a change either sees the
 * locked folio or the allocation sees the change (no allocation lands in a range while it is converted).
 * Locks: change of a range: clo_gmem.ranges (rank RANGE, by index), disjoint changes run in parallel. Bindings: mutex rank SLOTS is held by the slot
 * module around bind/unbind; the list itself is RCU for readers. Pin registry: mutex rank LEAF.
 */
#ifndef CLO_GMEM_GMEM_H
#define CLO_GMEM_GMEM_H

#include "attr/attr.h"
#include "base/base.h"
#include "cloister/cloister.h" /* flags CLO_GMEM_*, fallocate, mmap, munmap, unpin, host access */
#include "page/page.h"
#include "sync/sync.h"
#include "view/view.h"

enum clo_zap_reason {
	CLO_ZAP_SPLIT_MERGE,   /* mail 4 reason 1: a private folio is split or merged */
	CLO_ZAP_HUGEPAGE,      /* reason 2: other frames, or the huge page must be reassessed (two backings) */
	CLO_ZAP_RW_CHANGE,     /* reason 3: rights change */
	CLO_ZAP_DIRECT_MAP,    /* reason 4: frames enter or leave the direct map */
	CLO_ZAP_KIND,	       /* the access carries private/shared (typed guests): the old kind must fault */
	CLO_ZAP_CONTENT,       /* content is zeroed under the guest */
	CLO_ZAP_PUNCH,	       /* frames are freed */
	CLO_ZAP_SLOT,	       /* memslot deleted or moved */
	CLO_ZAP_RELEASE,       /* guest_memfd closed, VM destroyed */
	CLO_ZAP_REASON_COUNT
};
const char *clo_zap_reason_name(enum clo_zap_reason r);

/* How a file tells its VM to let go of pages; arg is the VM. gfn ranges. Begin/end nest and pair; zap is complete (shoot-down done) when flush returns. */
struct clo_gmem_ops {
	void (*begin)(void *vm, struct clo_range gfns);
	void (*zap)(void *vm, struct clo_range gfns, enum clo_zap_reason why);
	void (*flush)(void *vm);
	void (*end)(void *vm, struct clo_range gfns);
	/* Mail 4's hook: called under the folio lock before a folio is first given to a guest as private (again after each conversion); may fail, then the
	 * fault exits with that errno and the folio stays not up to date. NULL = nothing to do. (sev_gmem_prepare) */
	int (*prepare)(void *vm, struct clo_pfn head, unsigned order, struct clo_gfn gfn);
	/* Called instead when a folio only becomes inaccessible to the host (Elliot Berman's ->prepare_inaccessible()); bookkeeping only, no zeroing. */
	int (*prepare_inaccessible)(void *vm, struct clo_pfn head, unsigned order);
	void *vm;
};

struct clo_gmem_config {
	uint64_t size;	     /* bytes */
	uint64_t flags;
	uint32_t page_order; /* 0; with HUGETLB 9 or 18 */
	uint32_t owner;	     /* VM id, 1..65535 */
	uint64_t valid_flags;/* what this VM type supports; others are -EINVAL */
	bool has_private_mem;/* VM type has private memory (else everything counts as shared for guests) */
	struct clo_gmem_ops ops;
};

/* A slot's use of a file. Memory is the slot's; the fields are written by bind. */
struct clo_gmem_binding {
	struct clo_gmem_binding *next; /* [RCU list, written under the caller's slots lock] */
	struct clo_aptr gmem;	       /* struct clo_gmem *, NULL after release (later faults: EFAULT) */
	struct clo_range index;
	uint64_t base_gfn;	       /* gfn of index.start */
	struct clo_rcu_head rcu;
};

/*
 * Create. -EINVAL: flags outside valid_flags; size <= 0 as signed 64 or not page aligned (HUGETLB: not a multiple of the huge page); HUGETLB|INIT_SHARED; page_order without HUGETLB or not 9/18.
 * No upper limit: 2^63-4096 is fine (facts/kvm.md 2). -ENOMEM. Reference count 1 (the "file").
 */
int clo_gmem_create(struct clo_pagedb *db, struct clo_view_host *vh, const struct clo_gmem_config *cfg, struct clo_gmem **out) CLO_MUST_USE;
/* References: one for the file handle; slots and VMM use clo_gmem_get around calls. The last put frees all memory (after release). */
void clo_gmem_get(struct clo_gmem *g);
void clo_gmem_put(struct clo_gmem *g);
/* close(2) of the last descriptor: zaps every binding (reason RELEASE), sets their gmem to NULL, frees all folios; pinned frames are LEAKED and counted
 * (a frame somebody's DMA still reaches is never reused); then drops the file's reference. Safe while bound and while vCPUs fault. */
void clo_gmem_release(struct clo_gmem *g);

uint64_t clo_gmem_size(const struct clo_gmem *g);
uint64_t clo_gmem_flags(const struct clo_gmem *g);
uint32_t clo_gmem_owner(const struct clo_gmem *g);
unsigned clo_gmem_order(const struct clo_gmem *g);
void *clo_gmem_vm(const struct clo_gmem *g); /* ops.vm */
struct clo_pagedb *clo_gmem_pagedb(const struct clo_gmem *g);
struct clo_attr *clo_gmem_attr(const struct clo_gmem *g);   /* always there; initial INIT_SHARED ? shared : private */
struct clo_inval *clo_gmem_inval(struct clo_gmem *g);
struct clo_rangelock *clo_gmem_ranges(struct clo_gmem *g);
struct clo_view_set *clo_gmem_views(struct clo_gmem *g);    /* NULL without MMAP flag */

/* fallocate. EOPNOTSUPP without KEEP_SIZE or with modes other than KEEP_SIZE, KEEP_SIZE|PUNCH_HOLE. EINVAL: negative, len <= 0, off+len wraps, unaligned (to the huge page with HUGETLB); allocate beyond the
 * size. Allocate: order as the attribute allows, not zeroed, not prepared; ENOMEM keeps what was done before (as KVM). Punch beyond the size is 0; inside: begin, zap, flush, drop from views, free, end; attributes do not change. A pinned frame of an
 * order-0 file cannot leave its place here: it is zeroed and stays (the kernel gives the file a fresh page and the pin keeps the old one), the call is 0 and stats.punched_pinned counts it.
 * HUGETLB: EAGAIN when a pinned page is inside (nothing changed). Memory goes back to the real host (clo_page_discard). */
/* int clo_gmem_fallocate(): public */
/* Always refused, with the kernel's errno: ftruncate EINVAL; read, write EINVAL; pread, pwrite, lseek ESPIPE. */
int clo_gmem_truncate(struct clo_gmem *g, int64_t size) CLO_MUST_USE;
int64_t clo_gmem_read(struct clo_gmem *g, void *buf, size_t n) CLO_MUST_USE;
int64_t clo_gmem_write(struct clo_gmem *g, const void *buf, size_t n) CLO_MUST_USE;
int64_t clo_gmem_pread(struct clo_gmem *g, void *buf, size_t n, int64_t off) CLO_MUST_USE;
int64_t clo_gmem_pwrite(struct clo_gmem *g, const void *buf, size_t n, int64_t off) CLO_MUST_USE;
int64_t clo_gmem_lseek(struct clo_gmem *g, int64_t off, int whence) CLO_MUST_USE;

/* mmap of the whole file or a part, MAP_SHARED. ENODEV without MMAP flag; EINVAL for MAP_PRIVATE (@shared false) or unaligned; ENOMEM. Pages beyond the size: the mapping is
 * limited to the size rounded up (touching beyond is SIGBUS: not mapped by us, so the map covers [off, min(off+len, size)) and the rest is a hidden tail). */
/* clo_gmem_mmap(), clo_gmem_munmap(): public */

/* Bindings: index range [off, off+npages) to gfns from base_gfn. EINVAL: beyond the size; EEXIST: overlaps a binding of this file. Caller holds the VM's slots lock. */
int clo_gmem_bind(struct clo_gmem *g, struct clo_gmem_binding *b, struct clo_range index, uint64_t base_gfn) CLO_MUST_USE;
/* The slot goes away: readers may still see @b until RCU. */
void clo_gmem_unbind(struct clo_gmem_binding *b);
/* Calls @fn for each binding that meets @index with the overlapping indexes and the matching gfns; inside RCU. */
void clo_gmem_for_each_gfn(struct clo_gmem *g, struct clo_range index,
			   void (*fn)(void *arg, struct clo_range index, struct clo_range gfns), void *arg);

/* pfn that index maps to if its window exists, else false. Lock-free. */
bool clo_gmem_pfn(const struct clo_gmem *g, uint64_t index, struct clo_pfn *pfn);

/*
 * The folio for a guest fault (kvm_gmem_get_pfn). @is_private: the kind wanted. Finds or allocates; zeroes if not up to date; calls ops.prepare for private use if not prepared; leaves the folio unlocked and up to date.
 * *pfn is the frame of @index itself; *order the folio's. Nothing is held: the caller closes the race by the mmu's invalidation sequence.
 * -EFAULT released or beyond the end; -EAGAIN in transition (clo_relax and retry the fault); -ENOMEM; -EHWPOISON; -EACCES the folio is of the other kind (attribute moved on: retry decides); what prepare returned.
 */
int clo_gmem_get_folio(struct clo_gmem *g, uint64_t index, struct clo_gfn gfn, bool is_private, struct clo_pfn *pfn, unsigned *order) CLO_MUST_USE;

/* Pins with a holder (a DMA user's name, kept by reference: must stay valid). All or nothing over [off, off+len) bytes. Allocates missing shared folios. -EFAULT a private page (err_off tells, bytes); -EINVAL bounds; -ENOMEM. */
int clo_gmem_pin(struct clo_gmem *g, uint64_t off, uint64_t len, const char *holder, struct clo_gmem_pin **out, uint64_t *err_off) CLO_MUST_USE;
/* clo_gmem_unpin(): public */
/* First holder of a pin on @index, copied to @name; false when none. */
bool clo_gmem_pin_holder(struct clo_gmem *g, uint64_t index, char *name, size_t size);
/* Wait until the number of unpins has moved past @seen or @deadline_ns (clo_now_ns) has come; false = timed out. */
uint64_t clo_gmem_unpin_count(struct clo_gmem *g);
bool clo_gmem_wait_unpin(struct clo_gmem *g, uint64_t seen, uint64_t deadline_ns);

/* Host access by offset, errno instead of a signal (clo_view_access with resolve): EFAULT private or beyond; ENODEV without MMAP. */
/* clo_gmem_host_access(): public */

struct clo_gmem_stats {
	uint64_t allocated, private_frames, shared_frames, huge_folios, pinned, pins;
	uint64_t zeroed, prepared, splits, merges, punched, punched_pinned;
};
void clo_gmem_stats(struct clo_gmem *g, struct clo_gmem_stats *out);

#endif
