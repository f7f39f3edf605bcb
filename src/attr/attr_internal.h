/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attr/attr_internal.h - the tree's words, nodes and bitmaps. Private to attr.
 *
 * A word stands for a block of pages and is ATTR_SHARED, ATTR_PRIVATE, or a pointer to what the
 * block is made of. Level 0 blocks are 512 pages and point to a bitmap, higher levels to a node.
 * Bitmaps and nodes are aligned to 64 bytes; the low six bits of a pointer are the bitmap's place
 * in its slab, or ATTR_TAG_NODE.
 */
#ifndef CLO_ATTR_ATTR_INTERNAL_H
#define CLO_ATTR_ATTR_INTERNAL_H

#include "attr/attr.h"

#define ATTR_SHARED   0ULL
#define ATTR_PRIVATE  1ULL
#define ATTR_TAG_MASK 63ULL
#define ATTR_TAG_NODE 63ULL

#define ATTR_LEVELS     6U
#define ATTR_LEAF_WORDS 8U
#define ATTR_LEAF_PAGES 512U
#define ATTR_SLAB_LEAFS 63U
/* Nodes of each level that a store keeps for the next prepare: a range has two ends. */
#define ATTR_SPARE_MAX  2U
#define ATTR_NPAGES_MAX (1ULL << 52)

struct attr_leaf {
	_Alignas(64) struct clo_a64 w[ATTR_LEAF_WORDS];
};

struct attr_node {
	/* In a reserve, among the spares, or retired; readers do not look. */
	_Alignas(64) uint64_t next;
	struct clo_rcu_head rcu;
	struct clo_attr *a;
	uint64_t private_pages; /* [ATTR] as all below but the words */
	uint32_t uniform[2];    /* words that are ATTR_SHARED, ATTR_PRIVATE */
	uint32_t level;
	uint32_t fanout;
	struct clo_a64 w[];
};

/*
 * 63 bitmaps behind a header of one more: what a bitmap costs beyond its 64 bytes is one byte. The
 * head for RCU is here, once for all: bitmaps that died while one batch waits make the next.
 */
struct attr_slab {
	struct clo_rcu_head rcu;
	struct clo_attr *a;
	uint64_t used;    /* [pool] in the tree, in a reserve, or dead */
	uint64_t dead;    /* left the tree, to be given to RCU when the batch before is through */
	uint64_t waiting; /* given to RCU */
	struct attr_slab *prev;
	struct attr_slab *next;
	struct attr_leaf leaf[ATTR_SLAB_LEAFS];
};

/* Lock pool, rank LEAF: all of it. */
struct attr_pool {
	struct clo_mutex lock;
	struct attr_slab *partial; /* slabs with a free place */
	unsigned empty;            /* of these, wholly free */
	struct {
		uint64_t head;
		unsigned count;
	} spare[ATTR_LEVELS];
	uint64_t retired; /* nodes that the change in progress has taken out of the tree */
	uint64_t bytes;
	uint64_t refs; /* the store, and each batch that waits for RCU */
};

struct clo_attr {
	struct clo_a64 root; /* of level top */
	uint32_t top;
	uint64_t npages;
	/*
	 * npages up to a whole child block of the root. Pages in between have the kind of the last
	 * page: then a block that is uniform as far as it is inside is uniform.
	 */
	uint64_t cover;
	/* A line of its own: each look-up reads what is above, each change writes this. */
	_Alignas(64) struct clo_mutex lock; /* rank ATTR: writers */
	struct attr_pool pool;
};

static inline bool attr_is_ptr(uint64_t word)
{
	return word > ATTR_PRIVATE;
}
static inline bool attr_is_node(uint64_t word)
{
	return (word & ATTR_TAG_MASK) == ATTR_TAG_NODE;
}
static inline struct attr_node *attr_node(uint64_t word)
{
	return (struct attr_node *)(uintptr_t)(word & ~ATTR_TAG_MASK);
}
static inline struct attr_leaf *attr_leaf(uint64_t word)
{
	return (struct attr_leaf *)(uintptr_t)(word & ~ATTR_TAG_MASK);
}
static inline struct attr_slab *attr_slab(uint64_t word)
{
	struct attr_leaf *first = attr_leaf(word) - (word & ATTR_TAG_MASK);

	return CLO_CONTAINER_OF(first, struct attr_slab, leaf);
}
static inline uint64_t attr_node_word(const struct attr_node *n)
{
	return (uint64_t)(uintptr_t)n | ATTR_TAG_NODE;
}

/* A block of @level has 2^order pages. */
static inline unsigned attr_order(unsigned level)
{
	return level < 2 ? 9 * level + 9 : 10 * level + 8;
}
static inline uint64_t attr_span(unsigned level)
{
	return 1ULL << attr_order(level);
}
/* Which child of a node of @level (not 0) has @index. */
static inline unsigned attr_child(unsigned level, uint64_t index)
{
	uint64_t mask = level == 1 ? 511 : 1023;

	return (unsigned)((index >> attr_order(level - 1)) & mask);
}
/* Children of a node of @level: the root has only those that are needed. */
static inline unsigned attr_fanout(const struct clo_attr *a, unsigned level)
{
	if (level == a->top)
		return (unsigned)(a->cover >> attr_order(level - 1));
	return level == 1 ? 512 : 1024;
}
/* Where the block of @level that starts at @base ends. */
static inline uint64_t attr_block_end(const struct clo_attr *a, unsigned level, uint64_t base)
{
	return level == a->top ? a->cover : base + attr_span(level);
}
/* The bits of word @i of a bitmap that starts at page @base that are in @r. */
static inline uint64_t attr_leaf_mask(uint64_t base, unsigned i, struct clo_range r)
{
	uint64_t first = base + i * 64ULL;
	struct clo_range in = clo_range_clip(clo_range(first, first + 64), r);
	uint64_t len = clo_range_len(in);

	if (len == 0)
		return 0;
	return (~0ULL >> (64 - len)) << (in.start - first);
}
/* A set up to the last page sets what is behind it, see cover. */
static inline struct clo_range attr_widen(const struct clo_attr *a, struct clo_range r)
{
	return clo_range(r.start, r.end == a->npages ? a->cover : r.end);
}

/* attr.c. Under RCU or the lock: a stretch of one kind that starts at @at; where it ends. */
uint64_t attr_extent(const struct clo_attr *a, uint64_t at, bool *is_private);
struct clo_range attr_run(const struct clo_attr *a, uint64_t index, uint64_t end, bool *is_private);

/* attr_count.c. [ATTR] Private pages of the block of @level, below the root, that @word is. */
uint64_t attr_word_pages(uint64_t word, unsigned level);

/* attr_pool.c. */
void attr_pool_init(struct clo_attr *a);
/* All of the tree is freed, then the store when RCU is through with what left the tree before. */
void attr_pool_finish(struct clo_attr *a);
/* Nodes of each level, level 0: bitmaps. -ENOMEM: nothing changed. */
int attr_pool_reserve(struct clo_attr *a, const unsigned need[ATTR_LEVELS],
		      struct clo_attr_reserve *res);
/* A node (level 0: a bitmap) out of the reserve, which has one; its words are not set. */
uint64_t attr_pool_take(struct clo_attr_reserve *res, unsigned level);
/* [pool] The pointer @word has left the tree, with all below it. */
void attr_pool_retire(struct clo_attr *a, uint64_t word);
/* [pool] At the end of a change: one deferred call for all nodes that were retired. */
void attr_pool_retired(struct clo_attr *a);

#endif
