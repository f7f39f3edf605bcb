/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/touch.c - uses of the VMM's own memory, outside of guest mode.
 *
 * The VMM's memory may block whoever touches it: a userfaultfd of its own, a network file system.
 * So it is touched by nobody in guest mode, in a read section or with an entry frozen. The vCPU
 * says for which gfns, in one word; who has removed these from the guest waits for that word alone,
 * after its flush. Both uses are announced before a change could miss them:
 *
 * - an access, in the guest-mode section that translated it: the flush waits for the section or
 *   finds it over (tlb.c), and a section that begins later has no such translation;
 * - a fault that makes the memory present, before it asks the invalidation sequence once more:
 *   the announcement, the question, begin and the look here are seq_cst, so either the fault sees
 *   the change, or the look here sees the fault.
 */
#include "table/table.h"

/* busy:1 level:2 gfn:36 number:25. A word never comes twice in a row. */
#define BUSY         1ULL
#define LEVEL_SHIFT  1
#define GFN_SHIFT    3
#define NUMBER_SHIFT (GFN_SHIFT + CLO_GFN_BITS)

void clo_touch_begin(struct clo_tlb *tlb, struct clo_gfn gfn, enum clo_level level)
{
	uint64_t number = (clo_a64_get_relaxed(&tlb->touch) >> NUMBER_SHIFT) + 1;

	clo_a64_set_sc(&tlb->touch, number << NUMBER_SHIFT | gfn.n << GFN_SHIFT |
					    (uint64_t)level << LEVEL_SHIFT | BUSY);
}

void clo_touch_end(struct clo_mmu *mmu, struct clo_tlb *tlb)
{
	clo_a64_set_sc(&tlb->touch, clo_a64_get_relaxed(&tlb->touch) & ~BUSY);
	clo_event_wake(&mmu->touched);
}

static bool covers(uint64_t word, struct clo_range gfns)
{
	uint64_t gfn = (word >> GFN_SHIFT) & ((1ULL << CLO_GFN_BITS) - 1);
	enum clo_level level = (enum clo_level)(word >> LEVEL_SHIFT & 3);

	return (word & BUSY) &&
	       clo_range_overlaps(gfns, clo_range(gfn, gfn + clo_level_pages(level)));
}

struct use {
	const struct clo_tlb *tlb;
	uint64_t word;
};

static bool is_over(const void *arg)
{
	const struct use *u = arg;

	return clo_a64_get_sc(&u->tlb->touch) != u->word;
}

void clo_touch_wait(struct clo_mmu *mmu, struct clo_range gfns)
{
	uint32_t count = clo_a32_get_sc(&mmu->tlb_count);

	if (clo_broken(CLO_BREAK_TOUCH_WAIT))
		return;
	for (uint32_t i = 0; i < count; i++) {
		const struct clo_tlb *tlb = clo_aptr_get(&mmu->tlb[i]);
		uint64_t word = clo_a64_get_sc(&tlb->touch);

		if (covers(word, gfns))
			clo_event_await(&mmu->touched, is_over, &(struct use){ tlb, word }, NULL);
	}
}
