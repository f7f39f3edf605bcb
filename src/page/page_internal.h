/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page/page_internal.h - what the files of this module share: the bits of a frame's word, and the
 * pool.
 */
#ifndef CLO_PAGE_INTERNAL_H
#define CLO_PAGE_INTERNAL_H

#include "page/page.h"

/* word: state:3 flags:5 order:8 owner:16 pins:32. A FREE frame's word is 0, all of it. */
#define WORD_STATE_MASK  0x7ULL
#define WORD_FLAGS_MASK  0xf8ULL
#define WORD_ORDER_SHIFT 8
#define WORD_ORDER_MASK  (0xffULL << WORD_ORDER_SHIFT)
#define WORD_OWNER_SHIFT 16
#define WORD_OWNER_MASK  (0xffffULL << WORD_OWNER_SHIFT)
#define WORD_PIN_SHIFT   32
#define WORD_PIN_ONE     (1ULL << WORD_PIN_SHIFT)
#define OWNER_MAX        0xffffU

static inline enum clo_frame_state word_state(uint64_t w)
{
	return (enum clo_frame_state)(w & WORD_STATE_MASK);
}

static inline unsigned word_order(uint64_t w)
{
	return (unsigned)((w & WORD_ORDER_MASK) >> WORD_ORDER_SHIFT);
}

static inline uint32_t word_pins(uint64_t w)
{
	return (uint32_t)(w >> WORD_PIN_SHIFT);
}

/* In no folio that anybody can lock. */
static inline bool word_is_gone(uint64_t w)
{
	return word_state(w) == CLO_FRAME_FREE || word_state(w) == CLO_FRAME_LEAKED;
}

/*
 * The window allocator: a buddy tree in an array of bytes, one per node, root at 1. A node of order
 * o holds o + 1 minus (largest free order below it + 1): 0 = wholly free, o + 1 = nothing free. So
 * a zero-filled sparse array is an empty tree, and only the paths to live windows ever take memory.
 */
struct window_tree {
	uint8_t *node;
	size_t bytes;
	unsigned order; /* of the root */
};

/* How many frames are not FREE in each aligned block of 2^order pfns; page_count.c. */
struct page_counts {
	struct clo_a32 *of_block, *of_giga; /* of_giga: NULL in a space of one */
	size_t block_bytes, giga_bytes;
};

struct clo_pagedb {
	struct clo_frame *frames;
	struct page_counts counts;
	unsigned char *base; /* the direct map */
	uint64_t pfn_space;
	uint64_t frames_limit;
	size_t map_bytes;
	int fd;
	struct clo_fork_fd fork_fd;
	enum clo_pool_kind kind;
	_Alignas(64) struct clo_a64 used; /* the charge: SHARED + PRIVATE + LEAKED frames */
	struct clo_a64 leaked;
	struct clo_stat nodirect;
	_Alignas(64) struct clo_mutex lock; /* rank PAGE: tree */
	struct window_tree tree;
	uint64_t reserved; /* [lock] pfns in windows */
	struct clo_a64 windows;
	/* A folio lock has gone, in the blocks of 2M that have this number; see page_wake(). */
	_Alignas(64) struct clo_event unlocked[64];
};

int page_tree_init(struct window_tree *t, uint64_t pfn_space) CLO_MUST_USE; /* -ENOMEM */
void page_tree_destroy(struct window_tree *t);

int page_counts_init(struct page_counts *c, uint64_t pfn_space) CLO_MUST_USE; /* -ENOMEM */
void page_counts_destroy(struct page_counts *c);
/* @n frames from @pfn, one folio. */
void page_count_add(struct clo_pagedb *db, struct clo_pfn pfn, uint64_t n);
void page_count_sub(struct clo_pagedb *db, struct clo_pfn pfn, uint64_t n);

/* Real memory behind [pfn, pfn + npages) of a HUGETLB pool, where a touch of a missing page would
 * be a signal. False: none left. */
bool page_pool_back(struct clo_pagedb *db, struct clo_pfn pfn, uint64_t npages);

/* After the lock of the folio of 2^order frames at @head has gone, by an _sc write. */
void page_wake(struct clo_pagedb *db, struct clo_pfn head, unsigned order);

enum page_lock_result { PAGE_LOCKED, PAGE_BUSY, PAGE_GONE };
enum page_lock_result page_lock_try(struct clo_pagedb *db, struct clo_pfn pfn,
				    struct clo_pfn *head);

/* Is one of the @n frames from @pfn mapped by a private leaf? */
bool page_any_rmap(const struct clo_pagedb *db, struct clo_pfn pfn, uint64_t n);

static inline struct clo_frame *page_frame(const struct clo_pagedb *db, struct clo_pfn pfn)
{
	return &db->frames[pfn.n];
}

#endif
