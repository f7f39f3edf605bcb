/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/table_node.h - page-table pages; private to module table.
 *
 * An entry is one of
 *	0			nothing here
 *	leaf			bit 0 set: see table.h
 *	CLO_SPTE_FROZEN		somebody owns it and changes it soon
 *	page-table page		its address | PT_TABLE (pages are 64-byte aligned, so bit 3 is free)
 *
 * Each page has one word of state. Its count is the number of entries that are not 0, plus the
 * claims: whoever wants to fill an empty entry first adds one to the count, and only then freezes
 * the entry. So count 0 says at once that the page is empty AND that nobody is about to fill it,
 * and "remove the empty page" is a single compare-and-swap of the word from count 0 to REMOVED: no
 * entry is touched, nothing has to be put back when it fails, two removers cannot dead-lock. A late
 * fault in a page that has left finds REMOVED when it claims and starts again from the root; a late
 * walker finds only empty entries.
 *
 * The state also has one bit for each 16 entries that was ever used (two cache lines of entries),
 * set together with the claim and never cleared: a scan looks only there.
 *
 * Why a zap may believe this word (Dekker, all seq_cst): fault = claim, freeze, ask the
 * invalidation sequence; zap = begin the invalidation, read the state, read the entries. If the zap
 * reads a state (or an entry of an upper level) from before the claim, then its begin precedes the
 * fault's question, and the fault aborts. The same holds for a page-table page that the zap does
 * not find: it is published, with its entry frozen already, before the fault asks.
 */
#ifndef CLO_TABLE_NODE_H
#define CLO_TABLE_NODE_H

#include "table/table.h"

#include <assert.h>

#define PT_ENTRIES    512U
#define PT_ROOT_LEVEL 3U
#define PT_GFN_END    (1ULL << CLO_GFN_BITS)
#define PT_TABLE      (1ULL << 3)

#define PT_LINE_ENTRIES 16U /* entries for each bit of PT_LINES */
#define PT_LINES        0xffffffffULL
#define PT_COUNT_ONE    (1ULL << 32)
#define PT_COUNT        (0xffffULL << 32) /* late claims on a REMOVED page may raise it: harmless */
#define PT_REMOVED      (1ULL << 63)

struct clo_pt {
	struct clo_a64 state;
	struct clo_rcu_head rcu;
	_Alignas(64) struct clo_a64 e[PT_ENTRIES];
};

struct clo_table {
	struct clo_pt root;      /* level 3: 512 GiB an entry; never removed */
	struct clo_a64 removals; /* {ended:32, in progress:32}, see clo_pt_removal_begin() */
};

/*
 * Brackets around the removal of leaves that a TLB may still hold. clo_mmu_flush() asks: is one in
 * progress, or did one end that no finished shoot-down began after? Begin precedes the first change
 * of an entry (both seq_cst), so who finds an entry empty also finds the removal that emptied it.
 * end() moves both halves by one addition: nobody sees it neither in progress nor ended.
 */
#define PT_REMOVAL_ONE   1ULL
#define PT_REMOVAL_ENDED (1ULL << 32)
static inline void clo_pt_removal_begin(struct clo_table *t)
{
	clo_a64_add(&t->removals, PT_REMOVAL_ONE);
}
static inline void clo_pt_removal_end(struct clo_table *t)
{
	clo_a64_add(&t->removals, PT_REMOVAL_ENDED - PT_REMOVAL_ONE);
}

static inline unsigned clo_pt_index(uint64_t gfn, unsigned level)
{
	return (unsigned)(gfn >> (9 * level)) % PT_ENTRIES;
}

static inline uint64_t clo_pt_line(unsigned index)
{
	return 1ULL << (index / PT_LINE_ENTRIES);
}

static inline bool clo_pt_is_table(uint64_t v)
{
	return (v & PT_TABLE) != 0;
}

static inline struct clo_pt *clo_pt_child(uint64_t v)
{
	return (struct clo_pt *)(uintptr_t)(v - PT_TABLE);
}

static inline uint64_t clo_pt_entry(const struct clo_pt *pt)
{
	return (uint64_t)(uintptr_t)pt | PT_TABLE;
}

/* Where a descent ended: an entry of @level, and the value read from it, which is no table. */
struct clo_pt_pos {
	struct clo_pt *pt;
	struct clo_a64 *e;
	uint64_t v;
	unsigned level;
};

/*
 * Descend towards @gfn to the first entry that is no table, but not below level @stop (there v may
 * be a table). Under RCU; @gfn < PT_GFN_END.
 */
static inline struct clo_pt_pos clo_pt_find(struct clo_table *t, uint64_t gfn, unsigned stop)
{
	struct clo_pt_pos p = { .pt = &t->root, .level = PT_ROOT_LEVEL };

	for (;;) {
		p.e = &p.pt->e[clo_pt_index(gfn, p.level)];
		p.v = clo_a64_get_sc(p.e);
		if (!clo_pt_is_table(p.v) || p.level == stop)
			return p;
		p.pt = clo_pt_child(p.v);
		p.level--;
	}
}

/* First gfn of what an entry of @level over @gfn translates. */
static inline uint64_t clo_pt_base(uint64_t gfn, unsigned level)
{
	return clo_align_down(gfn, 1ULL << (9 * level));
}

/* A page with nothing in it, or NULL. */
struct clo_pt *clo_pt_alloc(void);
/* Free a page that nobody else has seen. */
void clo_pt_free(struct clo_pt *pt);
/* Free a page that has left the tree, after a grace period. */
void clo_pt_free_later(struct clo_pt *pt);

/*
 * Claim entry @index of @pt, before it is frozen or filled. False: the page has left the tree.
 * clo_pt_release() gives @count claims back, after the entries have become 0.
 */
bool clo_pt_claim(struct clo_pt *pt, unsigned index);
void clo_pt_release(struct clo_pt *pt, unsigned count);

/*
 * Freeze the empty entry at @p: 0, or -EAGAIN: it is not empty any more, or the page has left.
 */
int clo_pt_freeze_empty(const struct clo_pt_pos *p);
/*
 * Levels are missing between the empty entry @p and @level: build them aside with the entry of @gfn
 * frozen, then publish all at once. On success @p is the frozen entry. -ENOMEM; -EAGAIN as above.
 */
int clo_pt_freeze_in_new(struct clo_pt_pos *p, uint64_t gfn, unsigned level);

/* What a visitor did with an entry. */
enum clo_pt_next {
	PT_NEXT,  /* left as it was */
	PT_AGAIN, /* waited, or lost a race: look at the entry anew */
	PT_GONE,  /* made it 0 */
	PT_STOP,  /* the answer is known */
};

/* A traversal of the entries in @r that are leaves or frozen, by rising gfn. */
struct clo_pt_visit {
	struct clo_range r;
	enum clo_pt_next (*entry)(struct clo_pt_visit *visit, struct clo_a64 *e, uint64_t v,
				  unsigned level, uint64_t base);
	uint64_t tables; /* out: page-table pages met below the root, empty ones too */
};
/* Takes RCU. False when a visitor said PT_STOP. */
bool clo_pt_visit(struct clo_table *t, struct clo_pt_visit *visit);

#endif
