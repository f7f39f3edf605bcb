/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_size.c - MEM.PAGE.PROMOTE and DEMOTE: 512 entries become one, and back.
 *
 * Both can be interrupted before they commit, and are then called again with the same registers.
 */
#include "trust/tdx/tdx_internal.h"

/* Lock the children that are alike; *locked of them are. */
static uint64_t lock_children(struct tdx_call *c, struct clo_a64 *table, unsigned *locked)
{
	unsigned level = c->level - 1;
	uint64_t first = 0;

	for (unsigned i = 0; i < 512; i++) {
		uint64_t raw;

		if (!tdx_entry_trylock(&table[i]))
			return tdx_refuse(c, CLO_TDX_OPERAND_BUSY, c->level);
		*locked = i + 1;
		raw = tdx_entry_clean(clo_a64_get(&table[i]), level) & ~TDX_E_LOCK;
		if (i == 0) {
			enum tdx_state s = tdx_entry_state(raw);

			if ((s != TDX_MAPPED && s != TDX_PENDING) ||
			    !clo_is_aligned(tdx_entry_pfn(raw, level), 1ULL << (9 * c->level)))
				return tdx_refuse(c, CLO_TDX_EPT_INVALID_PROMOTE_CONDITIONS,
						  c->level);
			first = raw;
		}
		if (raw != first + (i * CLO_PAGE_SIZE << (9 * level)))
			return tdx_refuse(c, CLO_TDX_EPT_INVALID_PROMOTE_CONDITIONS, c->level);
	}
	return 0;
}

static void merge_pages(struct tdx_call *c, uint64_t pfn, struct tdx_pamt *merged)
{
	struct tdx_pamt *child = tdx_pamt_at(c->m, pfn, c->level - 1);

	clo_a64_set(&merged->owner, c->td->tdr);
	clo_a32_set(&merged->pt, TDX_PT_REG);
	for (unsigned i = 0; i < 512; i++)
		tdx_pamt_free(&child[i]);
}

uint64_t tdx_page_promote(struct tdx_call *c)
{
	uint64_t table_pfn, pfn, status = tdx_call_entry(c);
	struct clo_a64 *table;
	unsigned locked = 0;

	if (status)
		return status;
	table_pfn = tdx_entry_pfn(c->raw, c->level);
	table = tdx_sept_page(c->m, table_pfn);
	if ((status = tdx_pamt_lock(c->m, table_pfn, TDX_4K, TDX_EX, TDX_RCX, &c->old)) ||
	    (status = tdx_call_gate(c, c->old.entry, TDX_RCX)))
		return status;
	status = lock_children(c, table, &locked);
	if (!status && tdx_interrupted(c->m)) {
		c->regs->rcx = c->in.rcx;
		c->regs->rdx = c->in.rdx;
		status = tdx_status(CLO_TDX_INTERRUPTED_RESTARTABLE, 0);
	}
	pfn = tdx_entry_pfn(clo_a64_get(&table[0]), c->level - 1);
	if (!status)
		status = tdx_pamt_lock(c->m, pfn, c->level, TDX_EX, TDX_RCX, &c->page);
	if (status) {
		while (locked-- > 0)
			tdx_entry_unlock(&table[locked]);
		return status;
	}
	merge_pages(c, pfn, c->page.entry);
	/* As it is: what was accepted of the first one stays in the word, and says nothing there.
	 */
	tdx_publish(c, clo_a64_get(&table[0]) & ~TDX_E_LOCK);
	clo_a64_sub(&c->td->children, 1);
	tdx_pamt_free(c->old.entry);
	c->regs->rcx = table_pfn << CLO_PAGE_SHIFT;
	return 0;
}

static void split_pages(struct tdx_call *c, uint64_t pfn)
{
	struct tdx_pamt *child = tdx_pamt_at(c->m, pfn, c->level - 1);

	for (unsigned i = 0; i < 512; i++)
		tdx_pamt_assign(&child[i], TDX_PT_REG, c->td->tdr);
	tdx_pamt_free(c->old.entry);
}

uint64_t tdx_page_demote(struct tdx_call *c)
{
	uint64_t pfn, table, child, status, rdx = c->in.rdx;

	/* Bit 0, L2_SEPT_ADD_MODE, is about pages for L2 guests. */
	c->in.rdx &= ~1ULL;
	status = tdx_call_entry(c);
	c->in.rdx = rdx;
	if (status)
		return status;
	pfn = tdx_entry_pfn(c->raw, c->level);
	if ((status = tdx_call_gate(c, tdx_pamt_at(c->m, pfn, c->level), TDX_RCX)) ||
	    (status = tdx_pamt_get(c->m, c->in.r8, TDX_EX, TDX_PT_NDA, TDX_R8, &c->page)))
		return status;
	table = c->page.pfn;
	child = tdx_entry_leaf(tdx_states[tdx_entry_state(c->raw)].flags & TDX_S_PENDING
				       ? TDX_PENDING
				       : TDX_MAPPED,
			       pfn);
	tdx_sept_fill(c->m, table, child, CLO_PAGE_SIZE << (9 * (c->level - 1)));
	if (tdx_interrupted(c->m)) {
		c->regs->rcx = c->in.rcx;
		c->regs->rdx = c->in.rdx;
		return tdx_status(CLO_TDX_INTERRUPTED_RESTARTABLE, 0);
	}
	/* The page's own lock comes last. */
	status = tdx_pamt_lock(c->m, pfn, c->level, TDX_EX, TDX_RCX, &c->old);
	if (status)
		return status;
	split_pages(c, pfn);
	tdx_publish(c, tdx_entry_table(table));
	clo_a64_add(&c->td->children, 1);
	/* Not as SEPT.ADD: what the page has as its epoch stays. */
	clo_a64_set(&c->page.entry->owner, c->td->tdr);
	clo_a32_set(&c->page.entry->pt, TDX_PT_EPT);
	return 0;
}
