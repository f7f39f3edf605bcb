/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_call.c - a SEAMCALL or TDCALL from its registers to its status: the checks that
 * leaves have in common, in the module's order, and the locks.
 *
 * The order decides which of several errors a caller sees: the TD, its operation state, the GPA,
 * the tree, the walk, the entry's lock, the entry's state, and last the pages. All locks are tried
 * once.
 */
#include "trust/tdx/tdx_internal.h"

#include <assert.h>

static_assert(sizeof(struct clo_a64) == 8, "an S-EPT page holds 512 entries");

bool tdx_interrupted(struct clo_tdx *m)
{
	uint32_t left = clo_a32_get(&m->interrupt);

	do {
		if (left <= 1)
			return left == 1;
	} while (!clo_a32_cas(&m->interrupt, &left, left - 1));
	return left == 2;
}

enum tdx_op tdx_op_state(const struct tdx_td *td)
{
	return (enum tdx_op)clo_a32_get(&td->op);
}

/* TDs have GPAs of 48 bits; bit 47 says shared. */
bool tdx_gpa_is_private(uint64_t gpa)
{
	return gpa >> 47 == 0;
}

uint64_t tdx_call_td(struct tdx_call *c, uint64_t hpa, enum tdx_operand operand)
{
	uint64_t status =
		tdx_pamt_get(c->m, hpa, (enum tdx_mode)c->leaf->tdr, TDX_PT_TDR, operand, &c->tdr);

	if (!status)
		c->td = clo_aptr_get(&c->tdr.entry->object);
	return status;
}

uint64_t tdx_call_vp(struct tdx_call *c, uint64_t hpa, enum tdx_operand operand, enum tdx_mode mode)
{
	uint64_t status = tdx_pamt_get(c->m, hpa, mode, TDX_PT_TDVPR, operand, &c->vp);

	if (status)
		return status;
	c->vcpu = clo_aptr_get(&c->vp.entry->object);
	status = tdx_pamt_lock(c->m, clo_a64_get(&c->vp.entry->owner), TDX_4K,
			       (enum tdx_mode)c->leaf->tdr, TDX_O_TDR, &c->tdr);
	if (!status)
		c->td = clo_aptr_get(&c->tdr.entry->object);
	return status;
}

uint64_t tdx_call_op_state(struct tdx_call *c)
{
	struct tdx_td *td = c->td;

	if (td->fatal)
		return tdx_status(CLO_TDX_TD_FATAL, 0);
	if (td->life != TDX_KEYS_CONFIGURED)
		return tdx_status(CLO_TDX_TD_KEYS_NOT_CONFIGURED, 0);
	if (clo_a32_get(&td->tdcx_count) < TDX_TDCS_PAGES)
		return tdx_status(CLO_TDX_TDCS_NOT_ALLOCATED, 0);
	if (c->leaf->op_lock) {
		if (!tdx_lock_try(&td->op_lock, (enum tdx_mode)c->leaf->op_lock, true))
			return tdx_status(CLO_TDX_OPERAND_BUSY, TDX_O_OP_STATE);
		c->op_held = (enum tdx_mode)c->leaf->op_lock;
	}
	if (!(c->leaf->ops >> tdx_op_state(td) & 1))
		return tdx_status(CLO_TDX_OP_STATE_INCORRECT, 0);
	return 0;
}

uint64_t tdx_call_gpa(struct tdx_call *c)
{
	uint64_t rcx = c->in.rcx;
	unsigned max = c->leaf->level_max == TDX_ROOT ? TDX_512G : c->leaf->level_max;

	c->level = rcx & 7;
	c->gpa = rcx & TDX_E_HPA;
	if (rcx & ~(TDX_E_HPA | 7) || c->level < c->leaf->level_min || c->level > max ||
	    !clo_is_aligned(c->gpa, CLO_PAGE_SIZE << (9 * c->level)) || !tdx_gpa_is_private(c->gpa))
		return tdx_status(CLO_TDX_OPERAND_INVALID, TDX_RCX);
	return 0;
}

uint64_t tdx_refuse(struct tdx_call *c, uint32_t code, unsigned level)
{
	tdx_entry_show(c->regs, c->raw, level);
	return tdx_status(code, TDX_RCX);
}

static uint64_t walk(struct tdx_call *c)
{
	unsigned wanted = c->level;

	if (c->leaf->tree) {
		if (!tdx_lock_try(&c->td->tree, (enum tdx_mode)c->leaf->tree, false))
			return tdx_status(CLO_TDX_OPERAND_BUSY, TDX_O_SEPT_TREE);
		c->tree_held = (enum tdx_mode)c->leaf->tree;
	}
	c->entry = tdx_sept_walk(c->m, c->td, c->gpa, &c->level, &c->raw);
	if (c->level != wanted)
		return tdx_refuse(c, CLO_TDX_EPT_WALK_FAILED, c->level);
	if (c->leaf->entry) {
		if (!tdx_entry_trylock(c->entry))
			return tdx_refuse(c, CLO_TDX_OPERAND_BUSY, c->level);
		c->entry_held = true;
	}
	/* Again: it may have changed before it was locked. Not the lock itself. */
	c->raw = clo_a64_get(c->entry) & ~(TDX_E_LOCK | TDX_E_HP);
	return 0;
}

/*
 * Where nothing is tracked, PROMOTE takes a table away from under a call that has walked to it, and
 * the host has its page before the call locks the entry there: then the word is the host's.
 */
static bool is_foreign(const struct tdx_call *c, enum tdx_state s)
{
	bool leaf = tdx_states[s].flags & TDX_S_LEAF;

	if (s == TDX_FREE || s == TDX_REMOVED)
		return false;
	return tdx_entry_pfn(c->raw, c->level) + (leaf ? 1ULL << (9 * c->level) : 1) > c->m->pages;
}

uint64_t tdx_call_entry(struct tdx_call *c)
{
	enum tdx_state s;
	uint64_t status;

	if ((status = tdx_call_td(c, c->in.rdx, TDX_RDX)) || (status = tdx_call_op_state(c)) ||
	    (status = tdx_call_gpa(c)) || (status = walk(c)))
		return status;
	s = tdx_entry_state(c->raw);
	if (is_foreign(c, s))
		return tdx_refuse(c, CLO_TDX_OPERAND_BUSY, c->level);
	if (tdx_leaf_next(c->leaf, s) != TDX_REFUSED)
		return 0;
	if (c->leaf->if_blocked && tdx_states[s].flags & TDX_S_BLOCKED)
		return tdx_refuse(c, c->leaf->if_blocked, c->level);
	return tdx_refuse(c, CLO_TDX_EPT_ENTRY_STATE_INCORRECT, c->level);
}

uint64_t tdx_call_gate(struct tdx_call *c, const struct tdx_pamt *page, enum tdx_operand operand)
{
	enum tdx_state s = tdx_entry_state(c->raw);

	if (!c->leaf->gate || !tdx_needs_tracking(c->td, s))
		return 0;
	if (!(tdx_states[s].flags & TDX_S_BLOCKED))
		return tdx_refuse(c, CLO_TDX_GPA_RANGE_NOT_BLOCKED, c->level);
	if (!tdx_is_tracked(c->td, clo_a64_get(&page->bepoch)) && !clo_broken(CLO_BREAK_TDX_TRACK))
		return tdx_status(CLO_TDX_TLB_TRACKING_NOT_DONE, operand);
	return 0;
}

void tdx_publish(struct tdx_call *c, uint64_t raw)
{
	clo_a64_set(c->entry, raw);
	c->entry_held = false;
}

void tdx_call_end(struct tdx_call *c)
{
	tdx_pamt_drop(c->m, &c->page);
	tdx_pamt_drop(c->m, &c->old);
	if (c->entry_held)
		tdx_entry_unlock(c->entry);
	if (c->tree_held)
		tdx_lock_drop(&c->td->tree, c->tree_held);
	if (c->op_held)
		tdx_lock_drop(&c->td->op_lock, c->op_held);
	tdx_pamt_drop(c->m, &c->tdr);
	tdx_pamt_drop(c->m, &c->vp);
}

uint64_t clo_tdx_seamcall(struct clo_tdx *m, uint32_t lp, struct clo_tdx_regs *regs)
{
	struct tdx_call c = { .m = m, .lp = lp, .regs = regs, .in = *regs };

	c.leaf = tdx_leaf_find(false, regs->rax & 0xffff);
	/* Later versions add what L2 guests need. */
	if (!c.leaf || regs->rax >> 16) {
		regs->rax = tdx_status(CLO_TDX_OPERAND_INVALID, TDX_RAX);
		return regs->rax;
	}
	if (tdx_leaf_has_entry(c.leaf) || c.leaf->args == TDX_ARGS_CHUNK) {
		regs->rcx = 0;
		regs->rdx = 0;
	}
	regs->rax = c.leaf->run(&c);
	tdx_call_end(&c);
	return regs->rax;
}
