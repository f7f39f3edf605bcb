/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page/page_folio.c - folios come, are zeroed, split and merged. The order of the writes is rule H
 * of page_frame.c.
 */
#include "page_internal.h"

#include <errno.h>
#include <string.h>

/* What all frames of a folio have in common and a merge must find equal. */
#define KIND_MASK (WORD_STATE_MASK | WORD_OWNER_MASK | CLO_FRAME_NODIRECT | CLO_FRAME_POISON)

static struct clo_a64 *word_at(const struct clo_pagedb *db, uint64_t n)
{
	return &page_frame(db, clo_pfn(n))->word;
}

/* Exact, so that a call which fails cannot make another one fail. */
static bool charge(struct clo_pagedb *db, uint64_t n)
{
	uint64_t used = clo_a64_get_relaxed(&db->used);

	do {
		if (n > db->frames_limit - used)
			return false;
		if (clo_broken(CLO_BREAK_CHARGE)) {
			clo_a64_add(&db->used, n);
			return true;
		}
	} while (!clo_a64_cas(&db->used, &used, used + n));
	return true;
}

static bool all_free(const struct clo_pagedb *db, struct clo_pfn pfn, unsigned order)
{
	for (uint64_t i = 0; i < 1ULL << order; i++) {
		if (clo_a64_get(word_at(db, pfn.n + i)) != 0)
			return false;
	}
	return true;
}

/* FREE -> @word, the head LOCKED and first: nobody locks or pins a part before it is unlocked. */
static bool claim(struct clo_pagedb *db, struct clo_pfn pfn, unsigned order, uint64_t word)
{
	uint64_t seen = 0;
	uint64_t i;

	if (!clo_a64_cas(word_at(db, pfn.n), &seen, word | CLO_FRAME_LOCKED))
		return false;
	for (i = 1; i < 1ULL << order; i++) {
		seen = 0;
		if (!clo_a64_cas(word_at(db, pfn.n + i), &seen, word))
			break;
	}
	if (i == 1ULL << order)
		return true;
	while (i-- > 0)
		clo_a64_set_sc(word_at(db, pfn.n + i), 0);
	page_wake(db, pfn, order);
	return false;
}

/*
 * Claimed frames get their memory, or are FREE again. Claimed first: of two that want the same
 * frame, the last of the host, the loser hears -EEXIST and not that there is no memory.
 */
static int pay(struct clo_pagedb *db, struct clo_pfn pfn, unsigned order)
{
	uint64_t n = 1ULL << order;
	int ret;

	if (!charge(db, n)) {
		ret = clo_fail(-ENOMEM, CLO_REASON_FRAMES, "clo_host_config.mem_bytes");
	} else if (!page_pool_back(db, pfn, n)) {
		clo_a64_sub(&db->used, n);
		ret = clo_fail(-ENOMEM, CLO_REASON_HUGETLB, "memory of the host");
	} else {
		return 0;
	}
	for (uint64_t i = n; i-- > 0;)
		clo_a64_set_sc(word_at(db, pfn.n + i), 0);
	page_wake(db, pfn, order);
	return ret;
}

int clo_page_alloc(struct clo_pagedb *db, struct clo_pfn pfn, unsigned order, uint32_t owner,
		   enum clo_frame_op op)
{
	uint64_t n = 1ULL << (order & 63);
	uint64_t word;
	int ret;

	if (order > CLO_MAX_FOLIO_ORDER || !clo_is_aligned(pfn.n, n) || pfn.n + n > db->pfn_space)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "pfn");
	if (owner == 0 || owner > OWNER_MAX ||
	    clo_frame_next[CLO_FRAME_FREE][op] == CLO_FRAME_STATE_COUNT)
		return clo_fail(-EINVAL, CLO_REASON_VALUE, "owner");
	/* A look first: a large claim that must fail would show its half-made folio to others. */
	if (order > 0 && !all_free(db, pfn, order))
		return -EEXIST;
	word = (uint64_t)clo_frame_next[CLO_FRAME_FREE][op] | (uint64_t)order << WORD_ORDER_SHIFT |
	       (uint64_t)owner << WORD_OWNER_SHIFT;
	/* Counted before it can be seen: page_count.c. */
	page_count_add(db, pfn, n);
	ret = claim(db, pfn, order, word) ? 0 : -EEXIST;
	if (ret == 0)
		ret = pay(db, pfn, order);
	if (ret)
		page_count_sub(db, pfn, n);
	return ret;
}

void clo_page_zero_one(struct clo_pagedb *db, struct clo_pfn pfn)
{
	clo_sync_point("zero", pfn.n);
	memset(clo_page_addr(db, pfn), 0, CLO_PAGE_SIZE);
}

void clo_page_zero(struct clo_pagedb *db, struct clo_pfn head)
{
	uint64_t n = 1ULL << clo_frame_get(db, head).order;

#ifdef CLO_SYNC_EXPLORE
	for (uint64_t i = 0; i < n; i++)
		clo_page_zero_one(db, clo_pfn(head.n + i));
#else
	memset(clo_page_addr(db, head), 0, (size_t)(n * CLO_PAGE_SIZE));
#endif
}

int clo_page_split(struct clo_pagedb *db, struct clo_pfn head)
{
	uint64_t n = 1ULL << clo_frame_get(db, head).order;

	if (n == 1)
		return 0;
	if (page_any_rmap(db, head, n))
		return -EBUSY;
	for (uint64_t i = n; i-- > 0;) { /* pins may fall meanwhile: read-modify-write */
		uint64_t w = clo_a64_get(word_at(db, head.n + i));

		while (!clo_a64_cas(word_at(db, head.n + i), &w,
				    (w & ~WORD_ORDER_MASK) | CLO_FRAME_LOCKED))
			;
	}
	return 0;
}

/* 0 and in *common what the frames have in common (up to date if all are), or why they cannot. */
static int merge_check(const struct clo_pagedb *db, struct clo_pfn head, unsigned order,
		       uint64_t *common)
{
	uint64_t first = clo_a64_get(word_at(db, head.n));
	uint64_t all = ~0ULL;
	uint64_t pins = 0;

	for (uint64_t i = 0; i < 1ULL << order; i++) {
		uint64_t w = clo_a64_get(word_at(db, head.n + i));
		bool is_head = clo_is_aligned(head.n + i, 1ULL << word_order(w));

		if (word_is_gone(w) || word_order(w) >= order || ((w ^ first) & KIND_MASK))
			return clo_fail(-EINVAL, CLO_REASON_VALUE, "frames");
		if (is_head && !(w & CLO_FRAME_LOCKED))
			return clo_fail(-EINVAL, CLO_REASON_VALUE, "frames");
		all &= w;
		pins |= word_pins(w);
	}
	if (pins || page_any_rmap(db, head, 1ULL << order))
		return -EBUSY;
	*common = (first & KIND_MASK) | (all & CLO_FRAME_UPTODATE);
	return 0;
}

static uint64_t prepared(const struct clo_pagedb *db, uint64_t n)
{
	return clo_a64_get(word_at(db, n)) & CLO_FRAME_PREPARED;
}

int clo_page_merge(struct clo_pagedb *db, struct clo_pfn head, unsigned order)
{
	uint64_t word = 0;
	int ret;

	if (order > CLO_MAX_FOLIO_ORDER || !clo_is_aligned(head.n, 1ULL << order) ||
	    head.n + (1ULL << order) > db->pfn_space)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "pfn");
	ret = merge_check(db, head, order, &word);
	if (ret)
		return ret;
	word |= (uint64_t)order << WORD_ORDER_SHIFT;
	/* No pins, and none can come: plain stores. */
	clo_a64_set(word_at(db, head.n), word | prepared(db, head.n) | CLO_FRAME_LOCKED);
	for (uint64_t i = 1ULL << order; i-- > 1;)
		clo_a64_set(word_at(db, head.n + i), word | prepared(db, head.n + i));
	return 0;
}
