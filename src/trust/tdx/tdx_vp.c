/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_vp.c - vCPUs: VP.CREATE, ADDCX, INIT, FLUSH, ENTER, and the way out.
 *
 * A vCPU inside holds its TDVPR and TDR shared, so every leaf that wants one of them alone is busy.
 * Its epoch counts it: TRACK waits for those of the epoch before.
 */
#include "trust/tdx/tdx_internal.h"

#include <string.h>

/* VMX basic exit reason, and its qualification: of a write. */
#define EXIT_EPT_VIOLATION 48
#define EPT_WRITE          2

/* RCX of VP.ENTER: HOST_RECOVERABILITY_HINT and RESUME_L1. */
#define ENTER_FLAGS (3ULL << 52)

uint64_t tdx_vp_create(struct tdx_call *c)
{
	struct tdx_vcpu *v;
	uint64_t status;

	if ((status = tdx_call_td(c, c->in.rdx, TDX_RDX)) || (status = tdx_call_op_state(c)) ||
	    (status = tdx_pamt_get(c->m, c->in.rcx, TDX_EX, TDX_PT_NDA, TDX_RCX, &c->page)))
		return status;
	v = clo_alloc(sizeof(*v));
	if (!v)
		return tdx_status(CLO_TDX_OPERAND_BUSY, TDX_RCX); /* the platform's memory */
	v->td = c->td;
	v->tdvpr = c->page.pfn;
	v->pages = 1;
	clo_a64_add(&c->td->children, 1);
	clo_aptr_set(&c->page.entry->object, v);
	tdx_pamt_assign(c->page.entry, TDX_PT_TDVPR, c->td->tdr);
	return 0;
}

uint64_t tdx_vp_addcx(struct tdx_call *c)
{
	uint64_t status;

	if ((status = tdx_call_vp(c, c->in.rdx, TDX_RDX, TDX_EX)) ||
	    (status = tdx_call_op_state(c)))
		return status;
	if (c->vcpu->ready)
		return tdx_status(CLO_TDX_VCPU_STATE_INCORRECT, 0);
	if (c->vcpu->pages >= TDX_TDVPS_MAX)
		return tdx_status(CLO_TDX_TDCX_NUM_INCORRECT, 0);
	status = tdx_pamt_get(c->m, c->in.rcx, TDX_EX, TDX_PT_NDA, TDX_RCX, &c->page);
	if (status)
		return status;
	c->vcpu->pages++;
	clo_a64_add(&c->td->children, 1);
	tdx_pamt_assign(c->page.entry, TDX_PT_TDCX, c->td->tdr);
	return 0;
}

static void associate(struct tdx_call *c)
{
	clo_a32_set(&c->vcpu->lp, c->lp + 1);
	clo_a32_add(&c->td->associated, 1);
}

uint64_t tdx_vp_init(struct tdx_call *c)
{
	uint64_t status;

	if ((status = tdx_call_vp(c, c->in.rcx, TDX_RCX, TDX_EX)) ||
	    (status = tdx_call_op_state(c)))
		return status;
	if (c->vcpu->pages < TDX_TDVPS_PAGES)
		return tdx_status(CLO_TDX_TDCX_NUM_INCORRECT, 0);
	if (c->vcpu->ready)
		return tdx_status(CLO_TDX_VCPU_STATE_INCORRECT, 0);
	if (clo_a32_add(&c->td->vcpus, 1) >= c->td->max_vcpus) {
		clo_a32_sub(&c->td->vcpus, 1);
		return tdx_status(CLO_TDX_MAX_VCPUS_EXCEEDED, 0);
	}
	c->vcpu->ready = true;
	associate(c);
	return 0;
}

uint64_t tdx_vp_flush(struct tdx_call *c)
{
	uint64_t status = tdx_call_vp(c, c->in.rcx, TDX_RCX, TDX_EX);

	if (status)
		return status;
	if (c->td->life != TDX_KEYS_CONFIGURED)
		return tdx_status(CLO_TDX_TD_KEYS_NOT_CONFIGURED, 0);
	if (c->vcpu->pages < TDX_TDVPS_PAGES)
		return tdx_status(CLO_TDX_TDCX_NUM_INCORRECT, 0);
	if (clo_a32_get(&c->vcpu->lp) != c->lp + 1)
		return tdx_status(CLO_TDX_VCPU_NOT_ASSOCIATED, 0);
	memset(c->vcpu->tlb, 0, sizeof(c->vcpu->tlb));
	clo_a32_set(&c->vcpu->lp, 0);
	clo_a32_sub(&c->td->associated, 1);
	return 0;
}

static uint64_t epoch_count(uint64_t epoch)
{
	return 1ULL << (epoch & 1 ? 16 : 0);
}

/* Counted in its epoch; what it knew from an older one is forgotten. */
static bool enter_epoch(struct tdx_call *c, bool is_new)
{
	struct tdx_vcpu *v = c->vcpu;
	uint64_t epoch;

	if (!tdx_lock_try(&c->td->epoch_lock, TDX_SH, false))
		return false;
	epoch = clo_a64_get_sc(&c->td->epoch) >> 32;
	clo_a64_add(&c->td->epoch, epoch_count(epoch));
	tdx_lock_drop(&c->td->epoch_lock, TDX_SH);
	if ((epoch != v->epoch || is_new) && !clo_broken(CLO_BREAK_TDX_FLUSH))
		memset(v->tlb, 0, sizeof(v->tlb));
	v->epoch = epoch;
	return true;
}

static void leave_epoch(struct tdx_vcpu *v)
{
	clo_a64_sub(&v->td->epoch, epoch_count(v->epoch));
}

/* Would the guest fault there again? */
static bool still_faults(struct tdx_call *c, uint64_t gpa)
{
	unsigned level = TDX_4K;
	uint64_t raw;

	tdx_sept_walk(c->m, c->td, gpa, &level, &raw);
	return (raw & TDX_E_RWX) != TDX_E_RWX;
}

/*
 * Zero-step mitigation: with GPAs on the list the tree is taken alone, so that nobody changes what
 * is looked at; a GPA that would fault again is told to the VMM and the guest does not run.
 */
static uint64_t look_at_faults(struct tdx_call *c)
{
	struct tdx_vcpu *v = c->vcpu;

	v->rip_at_entry = v->rip;
	if (v->epf_listed == 0)
		return 0;
	if (!tdx_lock_try(&c->td->tree, TDX_EX, false))
		return tdx_status(CLO_TDX_OPERAND_BUSY, TDX_O_SEPT_TREE);
	c->tree_held = TDX_EX;
	for (unsigned i = 0; i < v->epf_listed; i++) {
		if (!still_faults(c, v->epf_gpa[i]))
			continue;
		*c->regs = (struct clo_tdx_regs){ .rcx = EPT_WRITE, .r8 = v->epf_gpa[i] };
		return tdx_status(CLO_TDX_SUCCESS, EXIT_EPT_VIOLATION);
	}
	return 0;
}

static uint64_t check_vcpu(struct tdx_call *c, bool *is_new)
{
	uint32_t lp = clo_a32_get(&c->vcpu->lp);

	if (c->vcpu->pages < TDX_TDVPS_PAGES)
		return tdx_status(CLO_TDX_TDCX_NUM_INCORRECT, 0);
	if (!c->vcpu->ready)
		return tdx_status(CLO_TDX_VCPU_STATE_INCORRECT, 0);
	*is_new = lp == 0;
	if (lp == 0) {
		uint32_t none = 0;

		if (!clo_a32_cas(&c->vcpu->lp, &none, c->lp + 1))
			return tdx_status(CLO_TDX_VCPU_ASSOCIATED, 0);
		clo_a32_add(&c->td->associated, 1);
	} else if (lp != c->lp + 1) {
		return tdx_status(CLO_TDX_VCPU_ASSOCIATED, 0);
	}
	/* A processor is in the guest or calls, never both: the caller's error. */
	return clo_a32_get(&c->vcpu->inside) ? tdx_status(CLO_TDX_OPERAND_BUSY, TDX_RCX) : 0;
}

uint64_t tdx_vp_enter(struct tdx_call *c)
{
	uint64_t status;
	bool is_new;

	if ((status = tdx_call_vp(c, c->in.rcx & ~ENTER_FLAGS, TDX_RCX, TDX_SH)) ||
	    (status = tdx_call_op_state(c)) || (status = check_vcpu(c, &is_new)))
		return status;
	/* Nothing here exits as what the flags go on from does. The vCPU stays associated. */
	if (c->in.rcx & ENTER_FLAGS)
		return tdx_status(CLO_TDX_OPERAND_INVALID, TDX_RCX);
	if (!enter_epoch(c, is_new))
		return tdx_status(CLO_TDX_OPERAND_BUSY, TDX_O_TD_EPOCH);
	status = look_at_faults(c);
	if (status) {
		leave_epoch(c->vcpu);
		return status;
	}
	clo_a32_set(&c->vcpu->inside, 1);
	/* These two stay locked until it leaves. */
	c->vcpu->tdr_hold = c->tdr;
	c->vcpu->tdvpr_hold = c->vp;
	c->tdr.entry = NULL;
	c->vp.entry = NULL;
	return 0;
}

void tdx_vcpu_leave(struct clo_tdx *m, struct tdx_vcpu *v)
{
	struct tdx_pamt_hold tdr = v->tdr_hold, vp = v->tdvpr_hold;

	clo_a32_set(&v->inside, 0);
	leave_epoch(v);
	tdx_pamt_drop(m, &tdr);
	tdx_pamt_drop(m, &vp);
}
