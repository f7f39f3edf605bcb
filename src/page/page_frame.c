/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page/page_frame.c - the folio lock, steps of the state machine, flags and pins.
 *
 * WHY THE LOCK IS SAFE AGAINST SPLIT, MERGE AND FREE. The lock of a large folio is the LOCKED bit
 * of its head's word, and which frame is the head is written in each frame's word (order). Two
 * words are read, so the answer may be stale. Rule H keeps it checkable: at any moment, a frame
 * whose word says order o > 0 either has a head (its number rounded down to 2^o) whose word says o
 * too, or lies in a folio whose outer head is LOCKED by a merge that has not come to it yet:
 *
 * - alloc writes the head (LOCKED) before the other frames;
 * - free, leak and split write the head last;
 * - merge writes the new head first and then goes down from the last frame, so that frames of an
 *   inner folio change before its own head does.
 *
 * A locker reads order o from its frame, then takes
 * the bit by a compare-and-swap that expects the head's whole word with order o, not LOCKED and not
 * gone. When that succeeds, the head is at that moment the head of an unlocked folio of order o;
 * frames of unlocked folios do not change order, so the frame belongs to it, and from now on it
 * stays: order changes only under the bit that we hold. If the words did not fit together (stale
 * order; a folio freed, split or merged between the two reads, or all of it twice) the swap fails
 * or the orders differ, and the locker begins anew. ABA does no harm: the same words again mean the
 * same facts again.
 *
 * WHY A PIN CANNOT SLIP IN (I2). Order 0: the pin count, the state and the bit are one word, so
 * "not LOCKED, SHARED, one more pin" is one compare-and-swap; against it, the bit is set by a
 * compare-and-swap of the same word. Large: the count may go up only under the folio lock, which
 * the pinner takes for a moment. So while a holder has the lock, no count of the folio rises, and a
 * holder that saw none may make the folio private. unpin needs no lock: a count that falls makes no
 * decision of a holder wrong (it only sees a pin that has just gone), and who ends a DMA never
 * waits. Holders therefore change words that may have pins by read-modify-write only.
 */
#include "page_internal.h"

#include <assert.h>
#include <errno.h>

#define BLOCK_ORDER 9

struct clo_frame_info clo_frame_get(const struct clo_pagedb *db, struct clo_pfn pfn)
{
	/*
	 * seq_cst: a change that has begun looks for folios with this; who makes one asks for
	 * changes after it. One of the two must see the other.
	 */
	uint64_t w = clo_a64_get_sc(&page_frame(db, pfn)->word);

	return (struct clo_frame_info){
		.state = word_state(w),
		.flags = (uint32_t)(w & WORD_FLAGS_MASK),
		.order = word_order(w),
		.owner = (uint32_t)((w & WORD_OWNER_MASK) >> WORD_OWNER_SHIFT),
		.pins = word_pins(w),
	};
}

static struct clo_pfn head_of(struct clo_pfn pfn, unsigned order)
{
	return clo_pfn(clo_align_down(pfn.n, 1ULL << order));
}

enum page_lock_result page_lock_try(struct clo_pagedb *db, struct clo_pfn pfn, struct clo_pfn *head)
{
	for (;;) {
		uint64_t w = clo_a64_get(&page_frame(db, pfn)->word);
		struct clo_pfn h = head_of(pfn, word_order(w));
		uint64_t hw = w;

		if (word_is_gone(w))
			return PAGE_GONE;
		if (h.n != pfn.n)
			hw = clo_a64_get(&page_frame(db, h)->word);
		if (hw & CLO_FRAME_LOCKED)
			return PAGE_BUSY;
		if (word_order(hw) != word_order(w) || word_is_gone(hw))
			continue; /* the folio changed between the two reads */
		if (clo_a64_cas(&page_frame(db, h)->word, &hw, hw | CLO_FRAME_LOCKED)) {
			*head = h;
			return PAGE_LOCKED;
		}
	}
}

bool clo_page_trylock(struct clo_pagedb *db, struct clo_pfn pfn, struct clo_pfn *head)
{
	struct clo_pfn h;

	return page_lock_try(db, pfn, head ? head : &h) == PAGE_LOCKED;
}

bool clo_page_lock(struct clo_pagedb *db, struct clo_pfn pfn, struct clo_pfn *head)
{
	struct clo_pfn h;

	for (;;) {
		enum page_lock_result r = page_lock_try(db, pfn, head ? head : &h);

		if (r != PAGE_BUSY)
			return r == PAGE_LOCKED;
		clo_page_wait(db, pfn, NULL);
	}
}

/*
 * A folio may be locked for as long as a hook of the VMM takes. Its block of 2M is the same
 * whatever is split or merged meanwhile; a folio of 1G is met at any of its blocks.
 */
void page_wake(struct clo_pagedb *db, struct clo_pfn head, unsigned order)
{
	unsigned count = CLO_ARRAY_SIZE(db->unlocked);
	uint64_t first = head.n >> BLOCK_ORDER;

	for (unsigned i = 0; i < (order > BLOCK_ORDER ? count : 1); i++)
		clo_event_wake(&db->unlocked[(first + i) % count]);
}

struct place {
	const struct clo_pagedb *db;
	struct clo_pfn pfn;
};

static bool is_unlocked(const void *arg)
{
	const struct place *p = arg;
	uint64_t w = clo_a64_get_sc(&page_frame(p->db, p->pfn)->word);
	struct clo_pfn head = head_of(p->pfn, word_order(w));

	if (!word_is_gone(w) && head.n != p->pfn.n)
		w = clo_a64_get_sc(&page_frame(p->db, head)->word);
	return !(w & CLO_FRAME_LOCKED);
}

void clo_page_wait(struct clo_pagedb *db, struct clo_pfn pfn, struct clo_waiter *who)
{
	clo_event_await(&db->unlocked[(pfn.n >> BLOCK_ORDER) % CLO_ARRAY_SIZE(db->unlocked)],
			is_unlocked, &(struct place){ db, pfn }, who);
}

void clo_page_unlock(struct clo_pagedb *db, struct clo_pfn head)
{
	uint64_t old = clo_a64_and(&page_frame(db, head)->word, ~(uint64_t)CLO_FRAME_LOCKED);

	assert(old & CLO_FRAME_LOCKED);
	page_wake(db, head, word_order(old));
}

/* Pins may fall under us: never a plain store. */
static void update(struct clo_frame *f, uint64_t clear, uint64_t set)
{
	uint64_t w = clo_a64_get(&f->word);

	while (!clo_a64_cas(&f->word, &w, (w & ~clear) | set))
		;
}

static uint64_t folio_word(const struct clo_pagedb *db, struct clo_pfn head)
{
	uint64_t w = clo_a64_get(&page_frame(db, head)->word);

	assert(w & CLO_FRAME_LOCKED);
	assert(clo_is_aligned(head.n, 1ULL << word_order(w)));
	return w;
}

uint64_t clo_page_pins(const struct clo_pagedb *db, struct clo_pfn head, struct clo_pfn *first)
{
	uint64_t w = folio_word(db, head);
	uint64_t sum = word_pins(w);

	if (sum && first)
		*first = head;
	for (uint64_t i = 1; i < 1ULL << word_order(w); i++) {
		struct clo_pfn pfn = clo_pfn(head.n + i);
		uint32_t pins = word_pins(clo_a64_get(&page_frame(db, pfn)->word));

		if (pins && sum == 0 && first)
			*first = pfn;
		sum += pins;
	}
	return sum;
}

/* The trust model gives such a frame to the guest still: nobody else may have it. */
static bool any_prepared(const struct clo_pagedb *db, struct clo_pfn pfn, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		if (clo_a64_get(&page_frame(db, clo_pfn(pfn.n + i))->word) & CLO_FRAME_PREPARED)
			return true;
	}
	return false;
}

static int step_refused(const struct clo_pagedb *db, struct clo_pfn head, unsigned order,
			enum clo_frame_op op)
{
	bool unpinned = op == CLO_FRAME_FREE_OP ||
			(op == CLO_FRAME_MAKE_PRIVATE && !clo_broken(CLO_BREAK_PIN_CHECK));

	if (unpinned && clo_page_pins(db, head, NULL))
		return -EBUSY;
	if (op == CLO_FRAME_FREE_OP &&
	    (page_any_rmap(db, head, 1ULL << order) || any_prepared(db, head, 1ULL << order)))
		return -EBUSY;
	return 0;
}

/*
 * @n frames become FREE and nothing can stop it; @w is the word of each. Before the words say so,
 * or whoever finds them free, in a host that is full, finds no memory for them.
 */
static void uncharge(struct clo_pagedb *db, uint64_t n, uint64_t w)
{
	if (w & CLO_FRAME_NODIRECT)
		clo_stat_add(&db->nodirect, 0 - n);
	clo_a64_sub(&db->used, n);
}

/* A frame that nobody has any more, after its file: free, with @w as its last word. Its window is
 * nobody's before it is uncounted, so nobody else finds it. */
static int lost_no_more(struct clo_pagedb *db, struct clo_pfn pfn, uint64_t w)
{
	clo_a64_sub(&db->leaked, 1);
	uncharge(db, 1, w);
	page_count_sub(db, pfn, 1);
	return 1;
}

/*
 * What somebody's DMA (or, against all rules, a leaf or the trust model's table) still reaches is
 * LEAKED, each frame for
 * itself, until the last pin goes; the rest is FREE. Pins fall meanwhile, so one compare-and-swap
 * decides between the two: a pin that goes after it finds the frame LEAKED and frees it.
 */
static int leak_frame(struct clo_pagedb *db, struct clo_pfn pfn)
{
	struct clo_a64 *word = &page_frame(db, pfn)->word;
	uint64_t w = clo_a64_get(word);
	uint64_t old = w;
	bool mapped = page_any_rmap(db, pfn, 1) || (w & CLO_FRAME_PREPARED);
	uint64_t to;

	do {
		bool kept = mapped || word_pins(clo_broken(CLO_BREAK_LAST_PIN) ? old : w) > 0;

		to = kept ? (w & ~(WORD_STATE_MASK | WORD_ORDER_MASK | CLO_FRAME_LOCKED)) |
				     CLO_FRAME_LEAKED
			  : 0;
	} while (!clo_a64_cas(word, &w, to));
	return to == 0 ? lost_no_more(db, pfn, w) : 0;
}

int clo_page_step(struct clo_pagedb *db, struct clo_pfn head, enum clo_frame_op op)
{
	uint64_t w = folio_word(db, head);
	enum clo_frame_state to = clo_frame_next[word_state(w)][op];
	uint64_t n = 1ULL << word_order(w);
	int ret, unpinned = 0;

	if (to == CLO_FRAME_STATE_COUNT)
		return -EPERM;
	ret = step_refused(db, head, word_order(w), op);
	if (ret)
		return ret;
	if (to == CLO_FRAME_LEAKED)
		clo_a64_add(&db->leaked, n); /* before an unpin can take one of them off */
	else if (to == CLO_FRAME_FREE)
		uncharge(db, n, w);
	for (uint64_t i = n; i-- > 0;) { /* the head last: it has the lock */
		struct clo_pfn pfn = clo_pfn(head.n + i);

		/* A free frame is back in the direct map, and stands for another page than the one
		 * that had the memory error. */
		if (to == CLO_FRAME_LEAKED)
			unpinned += leak_frame(db, pfn);
		else
			update(page_frame(db, pfn), to == CLO_FRAME_FREE ? ~0ULL : WORD_STATE_MASK,
			       to);
	}
	if (to == CLO_FRAME_FREE)
		page_count_sub(db, head, n);
	if (to == CLO_FRAME_FREE || to == CLO_FRAME_LEAKED)
		page_wake(db, head, word_order(w));
	return unpinned;
}

static void set_flag(struct clo_pagedb *db, struct clo_pfn head, uint64_t flag, bool on)
{
	uint64_t n = 1ULL << word_order(folio_word(db, head));

	for (uint64_t i = 0; i < n; i++) {
		struct clo_a64 *word = &page_frame(db, clo_pfn(head.n + i))->word;

		if (on)
			clo_a64_or(word, flag);
		else
			clo_a64_and(word, ~flag);
	}
}

void clo_page_set_uptodate(struct clo_pagedb *db, struct clo_pfn head, bool on)
{
	set_flag(db, head, CLO_FRAME_UPTODATE, on);
}

void clo_page_set_direct(struct clo_pagedb *db, struct clo_pfn head, bool in_direct_map)
{
	uint64_t w = folio_word(db, head);
	uint64_t n = 1ULL << word_order(w);

	if (!(w & CLO_FRAME_NODIRECT) == in_direct_map)
		return;
	set_flag(db, head, CLO_FRAME_NODIRECT, !in_direct_map);
	clo_stat_add(&db->nodirect, in_direct_map ? 0 - n : n);
}

void clo_page_set_poison(struct clo_pagedb *db, struct clo_pfn pfn, bool on)
{
	struct clo_a64 *word = &page_frame(db, pfn)->word;

	if (on)
		clo_a64_or(word, CLO_FRAME_POISON);
	else
		clo_a64_and(word, ~(uint64_t)CLO_FRAME_POISON);
}

void clo_page_set_prepared(struct clo_pagedb *db, struct clo_range pfns)
{
	for (uint64_t n = pfns.start; n < pfns.end; n++)
		clo_a64_or(&page_frame(db, clo_pfn(n))->word, CLO_FRAME_PREPARED);
}

bool clo_page_take_prepared(struct clo_pagedb *db, struct clo_range pfns, struct clo_range *run)
{
	uint64_t n = pfns.start;

	while (n < pfns.end && !any_prepared(db, clo_pfn(n), 1))
		n++;
	*run = clo_range(n, n);
	for (; n < pfns.end && any_prepared(db, clo_pfn(n), 1); n++)
		clo_a64_and(&page_frame(db, clo_pfn(n))->word, ~(uint64_t)CLO_FRAME_PREPARED);
	run->end = n;
	return run->start < run->end;
}

/* A frame of a large folio: the count rises under the folio lock. */
static enum page_lock_result pin_large(struct clo_pagedb *db, struct clo_pfn pfn, int *ret)
{
	struct clo_a64 *word = &page_frame(db, pfn)->word;
	struct clo_pfn head;
	enum page_lock_result r = page_lock_try(db, pfn, &head);

	if (r != PAGE_LOCKED)
		return r;
	*ret = -EFAULT;
	if (word_state(clo_a64_get(word)) == CLO_FRAME_SHARED) {
		clo_a64_add(word, WORD_PIN_ONE);
		*ret = 0;
	}
	clo_page_unlock(db, head);
	return r;
}

int clo_page_pin(struct clo_pagedb *db, struct clo_pfn pfn)
{
	struct clo_a64 *word = &page_frame(db, pfn)->word;

	for (;;) {
		uint64_t w = clo_a64_get(word);
		enum page_lock_result r = PAGE_BUSY;
		int ret = 0;

		if (word_is_gone(w))
			return -EFAULT;
		if (word_order(w) > 0) {
			r = pin_large(db, pfn, &ret);
			if (r != PAGE_BUSY)
				return r == PAGE_LOCKED ? ret : -EFAULT;
		} else if (!(w & CLO_FRAME_LOCKED)) {
			if (word_state(w) != CLO_FRAME_SHARED)
				return -EFAULT;
			if (clo_a64_cas(word, &w, w + WORD_PIN_ONE))
				return 0;
			continue;
		}
		clo_page_wait(db, pfn, NULL);
	}
}

int clo_page_unpin(struct clo_pagedb *db, struct clo_pfn pfn)
{
	struct clo_a64 *word = &page_frame(db, pfn)->word;
	uint64_t w = clo_a64_get(word);
	uint64_t to;

	do {
		if (word_pins(w) == 0)
			return clo_fail(-EINVAL, CLO_REASON_ABSENT, "pin");
		to = w - WORD_PIN_ONE;
		if (word_state(w) == CLO_FRAME_LEAKED && word_pins(to) == 0 &&
		    !page_any_rmap(db, pfn, 1) && !(w & CLO_FRAME_PREPARED))
			to = 0;
	} while (!clo_a64_cas(word, &w, to));
	return to == 0 ? lost_no_more(db, pfn, w) : 0;
}
