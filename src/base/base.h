/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/base.h - strong types, ranges, memory with failure injection, random numbers.
 *
 * A gfn, a pfn, a gpa and an hva are one-field structs: a swap of two of them does not compile.
 */
#ifndef CLO_BASE_BASE_H
#define CLO_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLO_PAGE_SHIFT 12
#define CLO_PAGE_SIZE  4096ULL
#define CLO_PAGE_MASK  (CLO_PAGE_SIZE - 1)
/* End of user addresses on x86-64 with four levels: TASK_SIZE, what access_ok() allows. */
#define CLO_HVA_END ((1ULL << 47) - CLO_PAGE_SIZE)

#define CLO_API                             __attribute__((visibility("default")))
#define CLO_MUST_USE                        __attribute__((warn_unused_result))
#define CLO_LIKELY(x)                       __builtin_expect(!!(x), 1)
#define CLO_UNLIKELY(x)                     __builtin_expect(!!(x), 0)
#define CLO_ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))
#define CLO_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Guest physical address, in bytes. */
struct clo_gpa {
	uint64_t a;
};
/* Guest frame number: gpa >> 12. */
struct clo_gfn {
	uint64_t n;
};
/* Frame number of the simulated host; see page/page.h for the two kinds. */
struct clo_pfn {
	uint64_t n;
};
/* Address in the VMM's address space, in bytes. */
struct clo_hva {
	uint64_t a;
};

static inline struct clo_gfn clo_gfn(uint64_t n)
{
	return (struct clo_gfn){ n };
}
static inline struct clo_pfn clo_pfn(uint64_t n)
{
	return (struct clo_pfn){ n };
}
static inline struct clo_gfn clo_gpa_to_gfn(struct clo_gpa gpa)
{
	return (struct clo_gfn){ gpa.a >> CLO_PAGE_SHIFT };
}
static inline struct clo_gpa clo_gfn_to_gpa(struct clo_gfn gfn)
{
	return (struct clo_gpa){ gfn.n << CLO_PAGE_SHIFT };
}

/* Mapping and folio sizes. The value times 9 is the order. */
enum clo_level { CLO_LEVEL_4K, CLO_LEVEL_2M, CLO_LEVEL_1G, CLO_LEVEL_COUNT };

static inline unsigned clo_level_order(enum clo_level level)
{
	return 9U * (unsigned)level;
}
static inline uint64_t clo_level_pages(enum clo_level level)
{
	return 1ULL << clo_level_order(level);
}

/* Half-open range of pages [start, end): gfns, file indexes or pfns, as the owner says. */
struct clo_range {
	uint64_t start;
	uint64_t end;
};

static inline struct clo_range clo_range(uint64_t start, uint64_t end)
{
	return (struct clo_range){ start, end };
}
static inline uint64_t clo_range_len(struct clo_range r)
{
	return r.end - r.start;
}
static inline bool clo_range_overlaps(struct clo_range a, struct clo_range b)
{
	return a.start < b.end && b.start < a.end;
}
static inline bool clo_range_contains(struct clo_range r, uint64_t n)
{
	return n >= r.start && n < r.end;
}
/* The part of @a inside @b; empty (start == end) when they do not meet. */
static inline struct clo_range clo_range_clip(struct clo_range a, struct clo_range b)
{
	uint64_t s = a.start > b.start ? a.start : b.start;
	uint64_t e = a.end < b.end ? a.end : b.end;

	return s < e ? clo_range(s, e) : clo_range(s, s);
}
static inline uint64_t clo_align_down(uint64_t n, uint64_t align)
{
	return n & ~(align - 1);
}
static inline uint64_t clo_align_up(uint64_t n, uint64_t align)
{
	return (n + align - 1) & ~(align - 1);
}
static inline bool clo_is_aligned(uint64_t n, uint64_t align)
{
	return (n & (align - 1)) == 0;
}

/*
 * Heap memory, zeroed, or NULL; clo_alloc_aligned() takes a power of two. Both kinds are given back
 * by clo_free(). In test builds the n-th call can be made to fail: clo_alloc_fail_at(n) counts from
 * 1, 0 switches it off; clo_alloc_count() is the number of calls since.
 */
void *clo_alloc(size_t bytes) CLO_MUST_USE;
void *clo_alloc_aligned(size_t align, size_t bytes) CLO_MUST_USE;
void clo_free(void *p);
/*
 * For a module that keeps memory for its next need: bytes of a block, in multiples of 16, that
 * nobody may touch from idle to used. In the explorer build who does is found, as by a freed block;
 * elsewhere nothing happens.
 */
#ifdef CLO_SYNC_EXPLORE
void clo_mem_idle(void *p, size_t bytes);
void clo_mem_used(void *p, size_t bytes);
#else
static inline void clo_mem_idle(void *p, size_t bytes)
{
	(void)p, (void)bytes;
}
static inline void clo_mem_used(void *p, size_t bytes)
{
	(void)p, (void)bytes;
}
#endif
/* Zero pages from mmap(MAP_NORESERVE), for large sparse tables. Counted as an allocation. */
void *clo_alloc_sparse(size_t bytes) CLO_MUST_USE;
void clo_free_sparse(void *p, size_t bytes);
/*
 * What clo_alloc_sparse() is made of: mmap() of @bytes with @flags and @fd, readable and writable,
 * or NULL with errno. A program that calls mlockall() has every mapping filled at once, 1 TiB of it
 * too; here memory comes with the first touch all the same, and is locked then. For that there is a
 * lead of CLO_SPARSE_LEAD bytes before what is returned, in the same VMA, which nobody may touch or
 * set apart: advice that is kept with a VMA is given to both. In a file the lead is its first
 * bytes. MCL_CURRENT needs Linux 6.13, of a file 6.15.
 */
#define CLO_SPARSE_LEAD ((size_t)2 << 20)
void *clo_map_sparse(size_t bytes, int flags, int fd) CLO_MUST_USE;
void clo_unmap_sparse(void *p, size_t bytes);
#ifdef CLO_TEST
void clo_alloc_fail_at(uint64_t n);
uint64_t clo_alloc_count(void);
/* Bytes of heap in use now (test builds): a test compares before and after. */
uint64_t clo_alloc_live(void);
#endif

/* SplitMix64: small, seedable, good enough for tests and schedules. Not for secrets. */
struct clo_rand {
	uint64_t state;
};
uint64_t clo_rand_next(struct clo_rand *r);
/* Uniform in [0, bound); bound > 0. */
uint64_t clo_rand_below(struct clo_rand *r, uint64_t bound);

/* Monotonic clock in ns, for reports and bounded waits (never for ordering). */
uint64_t clo_now_ns(void);

#ifdef CLO_SYNC_EXPLORE
/*
 * Explorer build only, for sync: memory and time of one explored run. From clo_arena_begin() to
 * clo_arena_end() all allocations come from an arena, at the same addresses in each run, and the
 * end drops them all at once, also after a run that was cut off. Each block has pages of its own.
 * Freed memory is not used again within a run: it is filled with 0x6b, and remembered. One thread.
 */
enum clo_arena_state { CLO_ARENA_OUTSIDE, CLO_ARENA_LIVE, CLO_ARENA_FREED, CLO_ARENA_NEVER };
bool clo_arena_begin(size_t bytes) CLO_MUST_USE; /* false: no such address space */
void clo_arena_end(void);
enum clo_arena_state clo_arena_state(const void *p);
/* Bytes allocated in this run and not freed. */
uint64_t clo_arena_live(void);
/* The start of a freed block that was written to afterwards, or NULL. Looks at all freed memory. */
const void *clo_arena_tampered(void);
/* The block, not freed, that @p points into, or NULL: none, or sparse memory. */
const void *clo_arena_block(const void *p);
/*
 * From now on what is freed cannot be touched any more until the run ends: SIGSEGV. (It is not
 * filled then.) A run begins without; with AddressSanitizer nothing changes, which sees it anyway.
 */
void clo_arena_guard(bool on);
/* Called with the block after each clo_free() and clo_mem_idle() until the run ends. */
void clo_arena_on_free(void (*on_free)(const void *p));
/* Called for a wrong clo_free(): must not return. */
void clo_arena_on_fault(void (*fault)(const char *what, const void *p));
/* The time that clo_now_ns() gives; 0: the real one. */
void clo_clock_fake(uint64_t ns);
#endif

/*
 * Break switches (test builds only): each removes one check or step that an invariant depends on,
 * so that a test can show the checker finding it. In product builds clo_broken() is the constant
 * false.
 */
/* clang-format off */
enum clo_break {
	CLO_BREAK_NONE,
	CLO_BREAK_INVAL_SEQ,       /* fault: map without asking the sequence again (I5, I1) */
	CLO_BREAK_FROZEN_WAIT,     /* zap: do not wait for a frozen entry (I5) */
	CLO_BREAK_TLB_FLUSH,       /* zap: skip the shoot-down (I5) */
	CLO_BREAK_TLB_WAIT,        /* shoot-down: do not wait for vCPUs in guest mode (I5) */
	CLO_BREAK_PAGE_RMAP,       /* map: do not claim the frame for one guest and gfn (I1) */
	CLO_BREAK_PIN_CHECK,       /* conversion: ignore pins (I2) */
	CLO_BREAK_VIEW_ZAP,        /* conversion: leave the host view mapped (I2) */
	CLO_BREAK_VIEW_OWNED,      /* REMAP: take all of a mapping for ours (I2) */
	CLO_BREAK_ZERO,            /* allocation, conversion: do not zero (I3) */
	CLO_BREAK_FREE_BEFORE_ZAP, /* punch hole: free frames before the zap (I5, I3) */
	CLO_BREAK_UNDO,            /* conversion: skip the roll-back of a failed step (I6) */
	CLO_BREAK_MISMATCH_RETRY,  /* fault: retry a private/shared mismatch, no exit (I7) */
	CLO_BREAK_PRESERVE,        /* conversion: clear what the policy preserves (I4) */
	CLO_BREAK_RANGE_LOCK,      /* conversion: do not lock the range (I6) */
	CLO_BREAK_SLOT_SYNC,       /* slot deletion: do not wait for readers (I5) */
	CLO_BREAK_PREPARE_LOCK,    /* folio preparation: no folio lock while zeroing (I3, I4) */
	CLO_BREAK_CHARGE,          /* allocation: charge by read, compare, store (I6) */
	CLO_BREAK_LAST_PIN,        /* close: lose a frame for a pin that has just gone (I6) */
	CLO_BREAK_WINDOW,          /* window: give it back without the second look (I3) */
	CLO_BREAK_WINDOW_DEAD,     /* fault: trust a frame of a window that has gone (I1) */
	CLO_BREAK_TOUCH_WAIT,      /* zap: do not wait for uses of the VMM's memory (I5) */
	CLO_BREAK_EVENT_LOOK,      /* sleep: no look at the condition after the announcement (I7) */
	CLO_BREAK_FLUSH_ENDED,     /* shoot-down asked for: count ended removals only (I5) */
	CLO_BREAK_ZAP_CLEAR,       /* zap: clear the entry before the reverse map (I5, I1) */
	CLO_BREAK_VIEW_GRANT,      /* host touch: grant when the folio is unlocked (I2) */
	CLO_BREAK_VIEW_OPEN,       /* view: rights before it is registered and empty (I2) */
	CLO_BREAK_VIEW_MINOR,      /* view: registered for missing pages only (I2) */
	CLO_BREAK_VIEW_LINK,       /* view: to be touched before the engine knows it (I7) */
	CLO_BREAK_VIEW_DETACH,     /* view: leaves the set while pages are mapped (I2) */
	CLO_BREAK_VIEW_REFUSE,     /* view: poison although a show has come (I7) */
	CLO_BREAK_VIEW_WAKE,       /* view: wake only who was answered (I7) */
	CLO_BREAK_VIEW_CUT,        /* view: read an event while others act on addresses (I2) */
	CLO_BREAK_VIEW_MARK,       /* view: zap without the look at the mark after it (I2) */
	CLO_BREAK_PREPARE_LATE,    /* prepare: not asked whether a change is under way (I1) */
	CLO_BREAK_INVALIDATE_HOOK, /* frames change hands unseen by the trust model (I1) */
	CLO_BREAK_INVAL_1G,        /* fault: a 1G leaf asks only the stripe of its own gfn (I5) */
	CLO_BREAK_GRANT_LOOK,      /* host touch: map the page without the last look (I2) */
	CLO_BREAK_SPLIT_FILL,      /* split: publish the page-table page before it is filled (I5) */
	CLO_BREAK_TDX_TRACK,       /* TDX: a blocked page may go without tracking (I5) */
	CLO_BREAK_TDX_FLUSH,       /* TDX: a new epoch does not flush a vCPU (I5) */
	CLO_BREAK_COUNT
};
/* clang-format on */
#ifdef CLO_TEST
void clo_break_set(enum clo_break which, bool on);
bool clo_broken(enum clo_break which);
#else
static inline bool clo_broken(enum clo_break which)
{
	(void)which;
	return false;
}
#endif
/* Name for `cloister explore --break NAME` ("inval-seq"), or NULL; its inverse: COUNT = unknown. */
const char *clo_break_name(enum clo_break which);
const char *clo_break_help(enum clo_break which);
enum clo_break clo_break_parse(const char *name);

#endif
