/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page/page.h - the simulated host's memory: frames, their owner, state, pins and direct-map bit.
 *
 * One sparse pool (a memfd, or anonymous memory where none is wanted) holds the content of every
 * frame; the engine's own mapping of it is the host's direct map, with pfn * 4096 as offset. A
 * guest_memfd reserves windows of the pool (at most 1 GiB each, naturally aligned), so the
 * pfn of a file index is arithmetic, folios of 2M and 1G are contiguous, and a mapping of the
 * window is a mapping of the file. A window is address space, not memory: memory is charged per
 * allocated frame against the host's limit. Frames keep their old bytes when they are freed;
 * nothing but the up-to-date rule hides them (I3 is real).
 *
 * A second kind of pfn names the VMM's own memory (userspace_addr of a memslot): hva >> 12 with
 * CLO_PFN_USER. Such frames have no state here.
 *
 * This module is the only writer of struct clo_frame. Invariants: I1 (rmap: one VM, one gfn), I2
 * (private => pins == 0), free <=> no owner.
 *
 * Locking: a frame's word and rmap are atomics.
 * CLO_FRAME_LOCKED is the folio lock, on the frame itself for an order-0 folio and on the head for
 * a large one; state, order, owner and flags change only under it (or FREE -> allocated by
 * compare-and-swap). Pins rise only while nobody else has the folio lock, and may fall at any time.
 * The argument is in page_frame.c. The window allocator has a mutex of rank CLO_RANK_PAGE.
 */
#ifndef CLO_PAGE_PAGE_H
#define CLO_PAGE_PAGE_H

#include "base/base.h"
#include "sync/sync.h"

#define CLO_PFN_USER        (1ULL << 39)
#define CLO_MAX_FOLIO_ORDER 18 /* 1 GiB */

enum clo_frame_state {
	CLO_FRAME_FREE,    /* in no folio */
	CLO_FRAME_SHARED,  /* the host may reach and pin it */
	CLO_FRAME_PRIVATE, /* only its guest */
	CLO_FRAME_LEAKED,  /* its file is gone, a pin is left */
	CLO_FRAME_STATE_COUNT
};

enum clo_frame_op {
	CLO_FRAME_ALLOC_SHARED,
	CLO_FRAME_ALLOC_PRIVATE,
	CLO_FRAME_MAKE_PRIVATE, /* needs pins == 0 */
	CLO_FRAME_MAKE_SHARED,
	CLO_FRAME_FREE_OP, /* needs pins == 0, no rmap, not PREPARED */
	CLO_FRAME_LEAK,    /* FREE what has no pin */
	CLO_FRAME_OP_COUNT
};

/* The state machine as data (D3). CLO_FRAME_STATE_COUNT = no such step. */
extern const enum clo_frame_state clo_frame_next[CLO_FRAME_STATE_COUNT][CLO_FRAME_OP_COUNT];
const char *clo_frame_state_name(enum clo_frame_state s);
const char *clo_frame_op_name(enum clo_frame_op op);

/* Flag bits in clo_frame_info.flags. */
#define CLO_FRAME_PREPARED                                                                         \
	(1U << 3)                    /* PRIVATE, and the trust model was told so: this frame only  \
				      */
#define CLO_FRAME_LOCKED   (1U << 4) /* folio lock */
#define CLO_FRAME_UPTODATE (1U << 5) /* zeroed and prepared for either use (mail 4) */
#define CLO_FRAME_NODIRECT (1U << 6) /* removed from the host's direct map */
#define CLO_FRAME_POISON   (1U << 7) /* hardware memory error: users get EHWPOISON */

/* 16 bytes a frame. Fields are private to module page; read through clo_frame_get(). */
struct clo_frame {
	struct clo_a64 word; /* state:3 flags:5 order:8 owner:16 pins:32, from bit 0 */
	struct clo_a64 rmap; /* 0, or the leaf that maps it: valid:1 level:2 owner:16 gfn:45 */
};

/* Each frame of a large folio carries all of this; of LOCKED only the head's means something. */
struct clo_frame_info {
	enum clo_frame_state state;
	uint32_t flags;
	unsigned order; /* of the folio: 0, 9 or 18; each 4K frame of a large folio carries it */
	uint32_t owner; /* id of the owning VM, 1..65535; 0 when free */
	uint32_t pins;
};

enum clo_pool_kind {
	CLO_POOL_MEMFD,   /* shareable: host views are real mappings */
	CLO_POOL_ANON,    /* private anonymous memory: explorer, unit tests, memfd refused */
	CLO_POOL_HUGETLB, /* memfd of 2M pages: needs free huge pages on the host */
};

struct clo_pagedb;

/*
 * Create a pool of @frames_limit frames that may be allocated at once, in a pfn space of @pfn_space
 * frames (>= frames_limit). 0 = what there is room for: 32 TiB for the first pool of a process,
 * less for each further one and under limits, but 4 x limit if they can be had at all (the
 * explorer: these). -EINVAL frames_limit 0 or pfn_space smaller or above 2^38; -ENOMEM; -EMFILE, or
 * what memfd_create gave.
 */
int clo_pagedb_create(enum clo_pool_kind kind, uint64_t frames_limit, uint64_t pfn_space,
		      struct clo_pagedb **out) CLO_MUST_USE;
void clo_pagedb_destroy(struct clo_pagedb *db);
enum clo_pool_kind clo_pagedb_kind(const struct clo_pagedb *db);
int clo_pagedb_fd(const struct clo_pagedb *db); /* memfd, or -1 */
/* Where a frame is in that file, in bytes. */
static inline uint64_t clo_page_file_off(struct clo_pfn pfn)
{
	return CLO_SPARSE_LEAD + (pfn.n << CLO_PAGE_SHIFT);
}

struct clo_pagedb_stats {
	uint64_t frames_limit;
	uint64_t frames_used; /* SHARED + PRIVATE + LEAKED */
	uint64_t frames_leaked;
	uint64_t frames_nodirect;
	uint64_t windows; /* reserved now */
};
void clo_pagedb_stats(const struct clo_pagedb *db, struct clo_pagedb_stats *out);

/*
 * Reserve / give back a naturally aligned window of 2^order pfns (order <= CLO_MAX_FOLIO_ORDER).
 * @use says how much of the space is kept back for others: half of it from a window that could as
 * well be smaller, a quarter from one that cannot be (a huge page, a mapping), nothing from single
 * pages. So a page finds its place as long as there is memory, however others use the space, if it
 * has 4 times the limit. A window with a frame that is not FREE (LEAKED) is not given back.
 * -ENOMEM: no room, after what is kept back. -EINVAL: order too large. Lock: takes rank PAGE.
 */
enum clo_window_use { CLO_WINDOW_WANTED, CLO_WINDOW_NEEDED, CLO_WINDOW_LAST };
int clo_page_window_reserve(struct clo_pagedb *db, unsigned order, enum clo_window_use use,
			    struct clo_pfn *base) CLO_MUST_USE;
void clo_page_window_release(struct clo_pagedb *db, struct clo_pfn base, unsigned order);

/*
 * Content address of a frame: pool or user. The caller holds a reason why the frame stays (lock,
 * guest mode, pin).
 */
void *clo_page_addr(const struct clo_pagedb *db, struct clo_pfn pfn);
static inline bool clo_pfn_is_user(struct clo_pfn pfn)
{
	return (pfn.n & CLO_PFN_USER) != 0;
}
static inline struct clo_pfn clo_pfn_of_hva(struct clo_hva hva)
{
	return clo_pfn(CLO_PFN_USER | hva.a >> CLO_PAGE_SHIFT);
}

/* Snapshot of one frame; lock-free. pfn must lie in pfn space. */
struct clo_frame_info clo_frame_get(const struct clo_pagedb *db, struct clo_pfn pfn);
/*
 * *@at moves to the first frame in [*@at, end) that is not FREE; false: there is none, and *@at is
 * @end. Lock-free; passes over a free 2M or 1G in one step.
 */
bool clo_page_next_used(const struct clo_pagedb *db, struct clo_pfn *at, uint64_t end);
/* Are all frames of a window FREE? As clo_page_next_used(), but by one look if it is of 2M or 1G.
 */
bool clo_page_all_free(const struct clo_pagedb *db, struct clo_pfn base, unsigned order);

/*
 * Allocate the folio of 2^order frames at @pfn (aligned to it) for @owner, state by @op (ALLOC_*),
 * not up to date, and return with its folio lock held. Lock-free; charges 2^order frames. -EEXIST a
 * frame of it is not FREE (somebody was faster, or a smaller folio is there); -ENOMEM host limit
 * reached (HUGETLB pool: or the real host has no huge page). -EINVAL owner, op, alignment, order or
 * place that no folio can have. On failure nothing has changed.
 */
int clo_page_alloc(struct clo_pagedb *db, struct clo_pfn pfn, unsigned order, uint32_t owner,
		   enum clo_frame_op op) CLO_MUST_USE;

/*
 * Folio lock on the head frame of the folio that holds @pfn. trylock: false when locked by another,
 * or FREE/LEAKED. lock: waits, asleep if it takes long; false when the frame is (or becomes)
 * FREE/LEAKED. On success *head (may be NULL) is the head and the folio can neither be freed,
 * split, converted nor pinned until unlock.
 */
bool clo_page_trylock(struct clo_pagedb *db, struct clo_pfn pfn, struct clo_pfn *head);
bool clo_page_lock(struct clo_pagedb *db, struct clo_pfn pfn, struct clo_pfn *head);
void clo_page_unlock(struct clo_pagedb *db, struct clo_pfn head);
/* Until nobody has the folio lock of @pfn, or @who (may be NULL) is called off. */
void clo_page_wait(struct clo_pagedb *db, struct clo_pfn pfn, struct clo_waiter *who);

/* All below need the folio lock. */

/*
 * One step of clo_frame_next for a whole folio. -EPERM no such step; -EBUSY pinned (MAKE_PRIVATE,
 * FREE), or still mapped by rmap or PREPARED (FREE). On failure nothing has changed. FREE and LEAK
 * drop the lock; FREE uncharges and clears all flags (a frame with a memory error comes back as
 * another page). LEAK: what is pinned (or, against all rules, mapped by rmap or PREPARED) becomes
 * LEAKED, each frame for itself, with owner and pins, and FREE with its last pin; what is not is
 * FREE at once, and the result is the number of these. Content is not touched. CLO_BREAK_PIN_CHECK:
 * MAKE_PRIVATE ignores pins.
 */
int clo_page_step(struct clo_pagedb *db, struct clo_pfn head, enum clo_frame_op op) CLO_MUST_USE;
/* Sum of pins over the folio, and the first pinned frame in *first (may be NULL). */
uint64_t clo_page_pins(const struct clo_pagedb *db, struct clo_pfn head, struct clo_pfn *first);
void clo_page_set_uptodate(struct clo_pagedb *db, struct clo_pfn head, bool on);
void clo_page_set_direct(struct clo_pagedb *db, struct clo_pfn head, bool in_direct_map);
void clo_page_set_poison(struct clo_pagedb *db, struct clo_pfn pfn, bool on); /* this frame only */
/*
 * Some frames of the folio are given to the guest by the trust model. take: the first run of such
 * frames in @pfns is in *@run, and they are so no more; false: there is none.
 */
void clo_page_set_prepared(struct clo_pagedb *db, struct clo_range pfns);
bool clo_page_take_prepared(struct clo_pagedb *db, struct clo_range pfns, struct clo_range *run);
/* memset 0 over the folio's content (a scheduling point each page in the explorer). */
void clo_page_zero(struct clo_pagedb *db, struct clo_pfn head);
void clo_page_zero_one(struct clo_pagedb *db, struct clo_pfn pfn); /* this frame only */
/*
 * Give the memory of frames [pfn, pfn+npages) back to the real host (memfd pools: PUNCH_HOLE). The
 * content is undefined afterwards: old bytes or zero. They are FREE, and the caller sees to it that
 * none of them is allocated meanwhile; or they are his, locked and not up to date.
 */
void clo_page_discard(struct clo_pagedb *db, struct clo_pfn pfn, uint64_t npages);
/*
 * Split a large folio into order-0 folios; state, owner, uptodate, direct bit and poison are
 * inherited, and PREPARED stays where it is. Every new folio is returned LOCKED; unlock each.
 * -EBUSY when mapped by rmap (zap first).
 */
int clo_page_split(struct clo_pagedb *db, struct clo_pfn head) CLO_MUST_USE;
/*
 * Merge 2^order order-0 (or smaller) folios from @head, all locked by the caller, one owner and
 * state, no pins, no rmap, into one folio whose head stays locked (the other locks are gone).
 * uptodate of the result = all were up to date (the caller zeroes the parts that are not before);
 * PREPARED stays where it is.
 * -EINVAL mixed state, owner, direct bit or poison, a folio that is not locked, FREE or not
 * smaller; -EBUSY pins or rmap. On failure nothing changed.
 */
int clo_page_merge(struct clo_pagedb *db, struct clo_pfn head, unsigned order) CLO_MUST_USE;

/*
 * Pins (DMA, GUP): +1 on one 4K frame. Waits out a folio lock. -EFAULT not SHARED (a
 * private page is never pinned).
 */
int clo_page_pin(struct clo_pagedb *db, struct clo_pfn pfn) CLO_MUST_USE;
/*
 * -1; never waits, also takes pins off a LEAKED frame: 1 = it was the last one, the frame is FREE
 * now (the caller discards it). -EINVAL not pinned.
 */
int clo_page_unpin(struct clo_pagedb *db, struct clo_pfn pfn) CLO_MUST_USE;

/*
 * Reverse map of private leaves (I1): claim the frames of a leaf for (vm, gfn). Lock-free. Called
 * while the SPTE is frozen, so no free can run. -EEXIST mapped elsewhere (another VM or another
 * gfn). Claiming again for the same gfn is 0 and sets the level. CLO_BREAK_PAGE_RMAP: overwrites
 * whatever claim is there. drop: -ENOENT not mapped so. The rmap sits on the leaf's first frame.
 */
int clo_page_rmap_claim(struct clo_pagedb *db, struct clo_pfn pfn, enum clo_level level,
			uint32_t vm, struct clo_gfn gfn) CLO_MUST_USE;
int clo_page_rmap_drop(struct clo_pagedb *db, struct clo_pfn pfn, uint32_t vm, struct clo_gfn gfn);
/* Where @pfn's own entry is mapped; false = nowhere. */
bool clo_page_rmap_get(const struct clo_pagedb *db, struct clo_pfn pfn, enum clo_level *level,
		       uint32_t *vm, struct clo_gfn *gfn);

#endif
