/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_mem.c - tables and pages come and go: MEM.SEPT.ADD/REMOVE/RD,
 * MEM.PAGE.ADD/AUG/REMOVE.
 */
#include "trust/tdx/tdx_internal.h"

#include <string.h>

uint64_t tdx_sept_add(struct tdx_call *c)
{
	bool allow_existing = c->in.rdx & 1, none = c->in.r8 == TDX_NULL_PA;
	/* Bit 63: an earlier call has not used the page. */
	uint64_t status, hpa = c->in.r8 & ~(1ULL << 63), pfn = hpa >> CLO_PAGE_SHIFT;

	if (c->in.rdx & (CLO_PAGE_MASK & ~1ULL) || c->in.rdx >> 52)
		return tdx_status(CLO_TDX_OPERAND_INVALID, TDX_RDX);
	c->in.rdx &= ~1ULL;
	if ((status = tdx_call_entry(c)))
		return status;
	if (none)
		return tdx_status(CLO_TDX_OPERAND_INVALID, TDX_R8);
	if (tdx_entry_state(c->raw) != TDX_FREE)
		return allow_existing ? 0
				      : tdx_refuse(c, CLO_TDX_EPT_ENTRY_STATE_INCORRECT, c->level);
	status = tdx_pamt_get(c->m, hpa, TDX_EX, TDX_PT_NDA, TDX_R8, &c->page);
	if (status)
		return status;
	tdx_sept_fill(c->m, pfn, tdx_entry_init(), 0);
	tdx_publish(c, tdx_entry_table(pfn));
	clo_a64_add(&c->td->children, 1);
	tdx_pamt_assign(c->page.entry, TDX_PT_EPT, c->td->tdr);
	return 0;
}

uint64_t tdx_sept_remove(struct tdx_call *c)
{
	uint64_t pfn, status = tdx_call_entry(c);
	const struct clo_a64 *table;

	if (status)
		return status;
	pfn = tdx_entry_pfn(c->raw, c->level);
	if ((status = tdx_pamt_lock(c->m, pfn, TDX_4K, TDX_EX, TDX_RCX, &c->old)) ||
	    (status = tdx_call_gate(c, c->old.entry, TDX_RCX)))
		return status;
	table = tdx_sept_page(c->m, pfn);
	for (unsigned i = 0; i < 512; i++) {
		if (tdx_entry_state(clo_a64_get(&table[i])) != TDX_FREE)
			return tdx_refuse(c, CLO_TDX_EPT_PAGE_NOT_FREE, c->level);
	}
	/* FREE also while the TD is imported. */
	tdx_publish(c, tdx_entry_init());
	clo_a64_sub(&c->td->children, 1);
	tdx_pamt_free(c->old.entry);
	c->regs->rcx = pfn << CLO_PAGE_SHIFT;
	return 0;
}

uint64_t tdx_sept_rd(struct tdx_call *c)
{
	/* Attributes of L2 guests are for the debugger of a debuggable TD, which none is. */
	bool attributes = c->in.rdx & 1;
	uint64_t status;

	c->in.rdx &= ~1ULL;
	if (attributes) {
		if ((status = tdx_call_td(c, c->in.rdx, TDX_RDX)) ||
		    (status = tdx_call_op_state(c)))
			return status;
		return tdx_status(CLO_TDX_OPERAND_INVALID, TDX_RDX);
	}
	status = tdx_call_entry(c);
	if (!status)
		tdx_entry_show(c->regs, c->raw, c->level);
	return status;
}

/* The TDR is exclusive: no vCPU is inside, no other leaf of the TD runs. */
uint64_t tdx_page_add(struct tdx_call *c)
{
	uint64_t pfn = c->in.r8 >> CLO_PAGE_SHIFT, source = c->in.r9 >> CLO_PAGE_SHIFT;
	uint64_t status = tdx_call_entry(c);

	if (status)
		return status;
	if (!clo_is_aligned(c->in.r9, CLO_PAGE_SIZE) || !tdx_is_shared(c->m, source))
		return tdx_status(CLO_TDX_OPERAND_INVALID, TDX_R9);
	if (source != pfn && (status = tdx_pamt_shared(c->m, c->in.r9, TDX_R9, &c->old)))
		return status;
	status = tdx_pamt_get(c->m, c->in.r8, TDX_EX, TDX_PT_NDA, TDX_R8, &c->page);
	if (status)
		return status;
	if (source != pfn)
		memcpy(tdx_page_bytes(c->m, pfn), tdx_page_bytes(c->m, source), CLO_PAGE_SIZE);
	tdx_publish(c, tdx_entry_leaf(TDX_MAPPED, pfn));
	tdx_mrtd_extend(c->td->mrtd, "MEM.PAGE.ADD", c->gpa, NULL, 0);
	clo_a64_add(&c->td->children, 1);
	tdx_pamt_assign(c->page.entry, TDX_PT_REG, c->td->tdr);
	return 0;
}

/* What is in the page stays in it: the guest's ACCEPT zeroes it. */
uint64_t tdx_page_aug(struct tdx_call *c)
{
	uint64_t status = tdx_call_entry(c);

	if (status)
		return status;
	status = tdx_pamt_get_free(c->m, c->in.r8, c->level, TDX_R8, &c->page);
	if (status)
		return status;
	tdx_publish(c, tdx_entry_leaf(TDX_PENDING, c->page.pfn));
	clo_a64_add(&c->td->children, 1ULL << (9 * c->level));
	tdx_pamt_assign(c->page.entry, TDX_PT_REG, c->td->tdr);
	return 0;
}

/* Bits 43:12 the migration epoch of the removal, bit 44: they say one. */
static uint64_t removed(void)
{
	return tdx_entry_with(TDX_E_SVE | 1ULL << 44, TDX_REMOVED);
}

uint64_t tdx_page_remove(struct tdx_call *c)
{
	uint64_t pfn, status = tdx_call_entry(c);
	bool imported;

	if (status)
		return status;
	pfn = tdx_entry_pfn(c->raw, c->level);
	if ((status = tdx_pamt_lock(c->m, pfn, c->level, TDX_EX, TDX_RCX, &c->old)) ||
	    (status = tdx_call_gate(c, c->old.entry, TDX_RCX)))
		return status;
	imported = tdx_ops[tdx_op_state(c->td)].import_;
	tdx_publish(c, imported ? removed() : tdx_entry_init());
	clo_a64_sub(&c->td->children, 1ULL << (9 * c->level));
	tdx_pamt_free(c->old.entry);
	c->regs->rcx = pfn << CLO_PAGE_SHIFT;
	return 0;
}

uint64_t tdx_page_relocate(struct tdx_call *c)
{
	uint64_t pfn, raw, to = c->in.r8 >> CLO_PAGE_SHIFT, status = tdx_call_entry(c);
	enum tdx_state was;

	if (status)
		return status;
	was = tdx_entry_state(c->raw);
	pfn = tdx_entry_pfn(c->raw, c->level);
	if (c->in.r8 == pfn << CLO_PAGE_SHIFT)
		return tdx_status(CLO_TDX_OPERAND_INVALID, TDX_R8);
	if ((status = tdx_pamt_lock(c->m, pfn, c->level, TDX_EX, TDX_RCX, &c->old)) ||
	    (status = tdx_call_gate(c, c->old.entry, TDX_RCX)) ||
	    (status = tdx_pamt_get(c->m, c->in.r8, TDX_EX, TDX_PT_NDA, TDX_R8, &c->page)))
		return status;
	if (!(tdx_states[was].flags & TDX_S_PENDING))
		memcpy(tdx_page_bytes(c->m, to), tdx_page_bytes(c->m, pfn), CLO_PAGE_SIZE);
	raw = (c->raw & ~TDX_E_HPA) | to << CLO_PAGE_SHIFT;
	/* It is unblocked; else state and permissions stay as they are. */
	if (tdx_states[was].flags & TDX_S_BLOCKED)
		raw = tdx_entry_with(raw, (enum tdx_state)tdx_leaf_next(c->leaf, was));
	tdx_publish(c, raw);
	tdx_pamt_assign(c->page.entry, TDX_PT_REG, c->td->tdr);
	tdx_pamt_free(c->old.entry);
	c->regs->rcx = pfn << CLO_PAGE_SHIFT;
	return 0;
}
