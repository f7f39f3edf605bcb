/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_range.c - MEM.RANGE.BLOCK and UNBLOCK, MEM.TRACK: how a translation dies.
 *
 * BLOCK stamps the page with the TD's epoch; TRACK begins the next epoch, if nobody is left in the
 * one before; a vCPU that enters sees that the epoch is new and flushes. The page is tracked when
 * all that had entered in its epoch have left.
 */
#include "trust/tdx/tdx_internal.h"

/* The entry of the page that a secure entry points to: a private page, or a table. */
static struct tdx_pamt *target(struct tdx_call *c)
{
	bool leaf = tdx_states[tdx_entry_state(c->raw)].flags & TDX_S_LEAF;

	return tdx_pamt_at(c->m, tdx_entry_pfn(c->raw, c->level), leaf ? c->level : TDX_4K);
}

uint64_t tdx_range_block(struct tdx_call *c)
{
	uint64_t status = tdx_call_entry(c);
	struct tdx_pamt *page;
	enum tdx_state next;

	if (status)
		return status;
	/* The tree is exclusive: nobody else looks at the page of this entry. */
	page = target(c);
	next = (enum tdx_state)tdx_leaf_next(c->leaf, tdx_entry_state(c->raw));
	tdx_publish(c, tdx_entry_with(tdx_entry_clean(c->raw, c->level), next));
	clo_a64_set(&page->bepoch, clo_a64_get_sc(&c->td->epoch) >> 32);
	return 0;
}

uint64_t tdx_range_unblock(struct tdx_call *c)
{
	uint64_t status = tdx_call_entry(c);

	/* Its tracking error names the tree, those of other leaves RCX. */
	if (status || (status = tdx_call_gate(c, target(c), TDX_O_SEPT_TREE)))
		return status;
	tdx_publish(c, tdx_entry_with(c->raw, (enum tdx_state)tdx_leaf_next(
						      c->leaf, tdx_entry_state(c->raw))));
	return 0;
}

uint64_t tdx_mem_track(struct tdx_call *c)
{
	uint64_t word, status;

	if ((status = tdx_call_td(c, c->in.rcx, TDX_RCX)) || (status = tdx_call_op_state(c)))
		return status;
	if (!tdx_lock_try(&c->td->epoch_lock, TDX_EX, false))
		return tdx_status(CLO_TDX_OPERAND_BUSY, TDX_O_TD_EPOCH);
	/* Counts fall meanwhile; they rise under the lock only. */
	word = clo_a64_get_sc(&c->td->epoch);
	if (word >> (word >> 32 & 1 ? 0 : 16) & 0xffff)
		status = tdx_status(CLO_TDX_PREVIOUS_TLB_EPOCH_BUSY, 0);
	else
		clo_a64_add(&c->td->epoch, 1ULL << 32);
	tdx_lock_drop(&c->td->epoch_lock, TDX_EX);
	return status;
}
