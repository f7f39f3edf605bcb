/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_td.c - the life of a TD: MNG.CREATE, KEY.CONFIG, ADDCX, INIT, MR.EXTEND,
 * MR.FINALIZE, VPFLUSHDONE, CACHE.WB, KEY.FREEID, and the pages' way back, PHYMEM.PAGE.RECLAIM.
 */
#include "trust/tdx/tdx_internal.h"

#include <string.h>

#define ATTR_SEPT_VE_DISABLE (1ULL << 28)
#define O_MAX_VCPUS          68

uint64_t tdx_mng_create(struct tdx_call *c)
{
	uint64_t hkid = c->in.rdx, status;
	struct tdx_td *td;

	if (hkid == 0 || hkid >= TDX_HKIDS)
		return tdx_status(CLO_TDX_OPERAND_INVALID, TDX_RDX);
	status = tdx_pamt_get(c->m, c->in.rcx, TDX_EX, TDX_PT_NDA, TDX_RCX, &c->page);
	if (status)
		return status;
	if (!tdx_lock_try(&c->m->kot_lock, TDX_EX, false))
		return tdx_status(CLO_TDX_OPERAND_BUSY, TDX_O_KOT);
	td = NULL;
	if (c->m->hkid[hkid] != TDX_HKID_FREE)
		status = tdx_status(CLO_TDX_HKID_NOT_FREE, 0);
	else if (!(td = clo_alloc(sizeof(*td))))
		status = tdx_status(CLO_TDX_OPERAND_BUSY, TDX_RCX); /* the platform's memory */
	else
		c->m->hkid[hkid] = TDX_HKID_USED;
	tdx_lock_drop(&c->m->kot_lock, TDX_EX);
	if (status)
		return status;
	td->tdr = c->page.pfn;
	td->hkid = (uint32_t)hkid;
	td->life = TDX_HKID_ASSIGNED;
	clo_aptr_set(&c->page.entry->object, td);
	tdx_pamt_assign(c->page.entry, TDX_PT_TDR, 0);
	return 0;
}

/* One package. */
uint64_t tdx_mng_key_config(struct tdx_call *c)
{
	uint64_t status = tdx_call_td(c, c->in.rcx, TDX_RCX);

	if (status)
		return status;
	if (c->td->fatal)
		return tdx_status(CLO_TDX_TD_FATAL, 0);
	if (c->td->life != TDX_HKID_ASSIGNED)
		return tdx_status(CLO_TDX_LIFECYCLE_STATE_INCORRECT, 0);
	c->td->life = TDX_KEYS_CONFIGURED;
	return 0;
}

uint64_t tdx_mng_addcx(struct tdx_call *c)
{
	uint64_t status = tdx_call_td(c, c->in.rdx, TDX_RDX);
	uint32_t n;

	if (status)
		return status;
	if (c->td->fatal)
		return tdx_status(CLO_TDX_TD_FATAL, 0);
	if (c->td->life != TDX_KEYS_CONFIGURED)
		return tdx_status(CLO_TDX_TD_KEYS_NOT_CONFIGURED, 0);
	n = clo_a32_get(&c->td->tdcx_count);
	if (n >= TDX_TDCS_MAX)
		return tdx_status(CLO_TDX_TDCX_NUM_INCORRECT, 0);
	status = tdx_pamt_get(c->m, c->in.rcx, TDX_EX, TDX_PT_NDA, TDX_RCX, &c->page);
	if (status)
		return status;
	/* OP_STATE is in these pages, and there once they are all. */
	if (n >= TDX_TDCS_PAGES && !(c->leaf->ops >> tdx_op_state(c->td) & 1))
		return tdx_status(CLO_TDX_OP_STATE_INCORRECT, 0);
	if (n == TDX_ROOT_PAGE)
		tdx_sept_fill(c->m, c->page.pfn, tdx_entry_init(), 0);
	c->td->tdcx[n] = c->page.pfn;
	clo_a32_set(&c->td->tdcx_count, n + 1);
	clo_a64_add(&c->td->children, 1);
	tdx_pamt_assign(c->page.entry, TDX_PT_TDCX, c->td->tdr);
	return 0;
}

/* Of TD_PARAMS: ATTRIBUTES (bytes 7:0) and MAX_VCPUS (bytes 17:16). */
uint64_t tdx_mng_init(struct tdx_call *c)
{
	uint64_t attributes, status;
	const uint8_t *params;
	uint16_t max_vcpus;

	/* What is wrong with the CPUID values would be here. */
	c->regs->rcx = 0;
	if ((status = tdx_call_td(c, c->in.rcx, TDX_RCX)) || (status = tdx_call_op_state(c)))
		return status;
	if (!clo_is_aligned(c->in.rdx, 1024))
		return tdx_status(CLO_TDX_OPERAND_INVALID, TDX_RDX);
	if ((status = tdx_pamt_shared(c->m, c->in.rdx, TDX_RDX, &c->page)))
		return status;
	params = c->m->memory + c->in.rdx;
	memcpy(&attributes, params, sizeof(attributes));
	memcpy(&max_vcpus, params + 16, sizeof(max_vcpus));
	if (max_vcpus == 0)
		return tdx_status(CLO_TDX_OPERAND_INVALID, O_MAX_VCPUS);
	if (!c->td->mrtd && !(c->td->mrtd = tdx_mrtd_new()))
		return tdx_status(CLO_TDX_OPERAND_BUSY, TDX_RCX);
	c->td->pending_ve_disable = attributes & ATTR_SEPT_VE_DISABLE;
	c->td->max_vcpus = max_vcpus;
	clo_a64_set(&c->td->epoch, 1ULL << 32);
	clo_a32_set(&c->td->op, TDX_OP_INITIALIZED);
	return 0;
}

uint64_t tdx_mr_extend(struct tdx_call *c)
{
	uint64_t status;

	if ((status = tdx_call_td(c, c->in.rdx, TDX_RDX)) || (status = tdx_call_op_state(c)))
		return status;
	c->gpa = c->in.rcx;
	if (!clo_is_aligned(c->gpa, 256) || !tdx_gpa_is_private(c->gpa))
		return tdx_status(CLO_TDX_OPERAND_INVALID, TDX_RCX);
	c->level = TDX_4K;
	c->entry = tdx_sept_walk(c->m, c->td, c->gpa, &c->level, &c->raw);
	if (!(tdx_states[tdx_entry_state(c->raw)].flags & TDX_S_LEAF) || !(c->raw & TDX_E_RWX))
		return tdx_refuse(c, CLO_TDX_EPT_ENTRY_NOT_PRESENT, c->level);
	/* The same code without its operand. */
	if (tdx_leaf_next(c->leaf, tdx_entry_state(c->raw)) == TDX_REFUSED)
		return tdx_status(CLO_TDX_EPT_ENTRY_NOT_PRESENT, 0);
	tdx_mrtd_extend(c->td->mrtd, "MR.EXTEND", c->gpa,
			c->m->memory + (tdx_entry_pfn(c->raw, c->level) << CLO_PAGE_SHIFT) +
				(c->gpa & ((CLO_PAGE_SIZE << (9 * c->level)) - 1)),
			256);
	return 0;
}

uint64_t tdx_mr_finalize(struct tdx_call *c)
{
	uint64_t status;

	if ((status = tdx_call_td(c, c->in.rcx, TDX_RCX)) || (status = tdx_call_op_state(c)))
		return status;
	if (clo_a32_get(&c->td->vcpus) == 0)
		return tdx_status(CLO_TDX_NO_VCPUS, 0);
	tdx_mrtd_end(c->td->mrtd);
	clo_a32_set(&c->td->op, TDX_OP_RUNNABLE);
	return 0;
}

uint64_t tdx_mng_vpflushdone(struct tdx_call *c)
{
	uint64_t status = tdx_call_td(c, c->in.rcx, TDX_RCX);
	struct tdx_td *td = c->td;

	if (status)
		return status;
	if (!tdx_lock_try(&c->m->kot_lock, TDX_EX, false))
		return tdx_status(CLO_TDX_OPERAND_BUSY, TDX_O_KOT);
	if (td->life != TDX_KEYS_CONFIGURED && td->life != TDX_HKID_ASSIGNED) {
		status = tdx_status(CLO_TDX_LIFECYCLE_STATE_INCORRECT, 0);
	} else if (clo_a32_get(&td->associated)) {
		status = tdx_status(CLO_TDX_FLUSHVP_NOT_DONE, 0);
	} else {
		td->life = TDX_LIFE_BLOCKED;
		c->m->hkid[td->hkid] = TDX_HKID_FLUSHED;
		c->m->wb_needed[td->hkid] = true;
	}
	tdx_lock_drop(&c->m->kot_lock, TDX_EX);
	return status;
}

/* RCX 0: start. 1, resume, is for a call that was interrupted: none is. */
uint64_t tdx_phymem_cache_wb(struct tdx_call *c)
{
	uint64_t status = tdx_status(CLO_TDX_NO_HKID_READY_TO_WBCACHE, 0);

	if (c->in.rcx > 1)
		return tdx_status(CLO_TDX_OPERAND_INVALID, TDX_RCX);
	if (!tdx_lock_try(&c->m->wb_lock, TDX_EX, false))
		return tdx_status(CLO_TDX_OPERAND_BUSY, TDX_O_WBCACHE);
	if (!tdx_lock_try(&c->m->kot_lock, TDX_SH, false)) {
		tdx_lock_drop(&c->m->wb_lock, TDX_EX);
		return tdx_status(CLO_TDX_OPERAND_BUSY, TDX_O_KOT);
	}
	if (c->in.rcx == 1)
		status = tdx_status(CLO_TDX_WBCACHE_RESUME_ERROR, 0);
	/* The only other use is with the table of keys alone. */
	for (unsigned i = 1; c->in.rcx == 0 && i < TDX_HKIDS; i++) {
		if (c->m->hkid[i] == TDX_HKID_FLUSHED)
			status = 0;
		c->m->wb_needed[i] = false;
	}
	tdx_lock_drop(&c->m->kot_lock, TDX_SH);
	tdx_lock_drop(&c->m->wb_lock, TDX_EX);
	return status;
}

uint64_t tdx_mng_key_freeid(struct tdx_call *c)
{
	uint64_t status = tdx_call_td(c, c->in.rcx, TDX_RCX);

	if (status)
		return status;
	if (c->td->life != TDX_LIFE_BLOCKED)
		return tdx_status(CLO_TDX_LIFECYCLE_STATE_INCORRECT, 0);
	if (!tdx_lock_try(&c->m->kot_lock, TDX_EX, false))
		return tdx_status(CLO_TDX_OPERAND_BUSY, TDX_O_KOT);
	if (c->m->wb_needed[c->td->hkid]) {
		status = tdx_status(CLO_TDX_WBCACHE_NOT_COMPLETE, 0);
	} else {
		c->m->hkid[c->td->hkid] = TDX_HKID_FREE;
		c->td->life = TDX_TEARDOWN;
	}
	tdx_lock_drop(&c->m->kot_lock, TDX_EX);
	return status;
}

uint64_t tdx_phymem_rdmd(struct tdx_call *c)
{
	uint64_t hpa = c->in.rcx, status;
	uint32_t pt;

	*c->regs = (struct clo_tdx_regs){ .rax = c->in.rax };
	status = tdx_pamt_walk(c->m, hpa, TDX_ROOT, TDX_SH, TDX_RCX, &c->page);
	if (status)
		return status;
	pt = clo_a32_get(&c->page.entry->pt);
	c->regs->rcx = pt;
	c->regs->rdx = clo_a64_get(&c->page.entry->owner) << CLO_PAGE_SHIFT;
	c->regs->r8 = c->page.level;
	if (pt == TDX_PT_REG || pt == TDX_PT_EPT)
		c->regs->r9 = clo_a64_get(&c->page.entry->bepoch);
	return 0;
}

/* The last page of a TD is its TDR. */
static uint64_t reclaim_tdr(struct tdx_call *c)
{
	struct tdx_td *td = clo_aptr_get(&c->page.entry->object);

	if (td->life != TDX_TEARDOWN)
		return tdx_status(CLO_TDX_LIFECYCLE_STATE_INCORRECT, 0);
	if (clo_a64_get(&td->children) != 0)
		return tdx_status(CLO_TDX_TD_ASSOCIATED_PAGES_EXIST, 0);
	clo_aptr_set(&c->page.entry->object, NULL);
	tdx_pamt_free(c->page.entry);
	tdx_mrtd_free(td->mrtd);
	td->mrtd = NULL;
	tdx_retire(c->m, &td->object);
	return 0;
}

uint64_t tdx_phymem_reclaim(struct tdx_call *c)
{
	uint64_t owner, status;
	struct tdx_td *td;
	uint32_t pt;

	*c->regs = (struct clo_tdx_regs){ .rax = c->in.rax };
	status = tdx_pamt_walk(c->m, c->in.rcx, TDX_ROOT, TDX_EX, TDX_RCX, &c->page);
	if (status)
		return status;
	pt = clo_a32_get(&c->page.entry->pt);
	owner = clo_a64_get(&c->page.entry->owner);
	if (pt == TDX_PT_NDA || pt == TDX_PT_RSVD)
		return tdx_status(CLO_TDX_PAGE_METADATA_INCORRECT, TDX_RCX);
	c->regs->rcx = pt;
	c->regs->rdx = owner << CLO_PAGE_SHIFT;
	c->regs->r8 = c->page.level;
	if (!clo_is_aligned(c->in.rcx, CLO_PAGE_SIZE << (9 * c->page.level)))
		return tdx_status(CLO_TDX_OPERAND_INVALID, TDX_RCX);
	if (pt == TDX_PT_TDR)
		return reclaim_tdr(c);
	status = tdx_pamt_lock(c->m, owner, TDX_4K, TDX_SH, TDX_O_TDR, &c->tdr);
	if (status)
		return status;
	td = clo_aptr_get(&c->tdr.entry->object);
	if (td->life != TDX_TEARDOWN)
		return tdx_status(CLO_TDX_LIFECYCLE_STATE_INCORRECT, 0);
	if (pt == TDX_PT_TDVPR) {
		struct tdx_vcpu *v = clo_aptr_get(&c->page.entry->object);

		clo_aptr_set(&c->page.entry->object, NULL);
		tdx_retire(c->m, &v->object);
	}
	clo_a64_sub(&td->children, 1ULL << (9 * c->page.level));
	tdx_pamt_free(c->page.entry);
	return 0;
}

/* Caches are not modelled: what is asked of the page is. The HKID to flush is above its address. */
uint64_t tdx_phymem_wbinvd(struct tdx_call *c)
{
	return tdx_pamt_get(c->m, c->in.rcx & ((1ULL << TDX_PA_BITS) - 1), TDX_SH, TDX_PT_NDA,
			    TDX_RCX, &c->page);
}
