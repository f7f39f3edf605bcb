/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_guest.c - the inside: accesses, TDG.MEM.PAGE.ACCEPT and ATTR, EPT violations.
 *
 * Guest leaves take no lock of the tree: that an S-EPT page does not go away under them is what
 * tracking gives, since it cannot be removed before this vCPU has left.
 */
#include "trust/tdx/tdx_internal.h"

#include <errno.h>
#include <string.h>

#define EXIT_EPT_VIOLATION 48U
#define SHARED_BIT         (1ULL << 47)
/* Exit qualification: what was tried, and above it what the entry allows. */
#define EPT_READ         1ULL
#define EPT_WRITE        2ULL
#define EPT_ALLOWED(raw) (((raw)&TDX_E_RWX) << 3)

static void forget_faults(struct tdx_vcpu *v)
{
	v->epf_count = 0;
	v->epf_listed = 0;
}

/* The module sees where the guest is when it comes out, and compares it with where it went in. */
static void forget_if_moved(struct tdx_vcpu *v)
{
	if (v->rip != v->rip_at_entry)
		forget_faults(v);
}

/* Six times at one instruction a fault is only counted; from then on its GPA is written down. */
static void log_fault(struct tdx_vcpu *v, uint64_t gpa)
{
	if (v->epf_count < TDX_EPF_THRESHOLD) {
		v->epf_count++;
		return;
	}
	for (unsigned i = 0; i < v->epf_listed; i++) {
		if (v->epf_gpa[i] == gpa)
			return;
	}
	if (v->epf_listed < TDX_EPF_LIST)
		v->epf_gpa[v->epf_listed++] = gpa;
}

static void leave_with(struct clo_tdx *m, struct tdx_vcpu *v, struct clo_tdx_exit *exit,
		       struct clo_tdx_exit what)
{
	*exit = what;
	tdx_vcpu_leave(m, v);
}

/*
 * An EPT violation at the entry that the walk of the call has found; without @kind nothing is said
 * of it. The TDCALL is not done: it comes again with the registers that it had.
 */
uint64_t tdx_guest_exit(struct tdx_call *c, uint32_t kind, unsigned wanted)
{
	const struct tdx_state_info *s = &tdx_states[tdx_entry_state(c->raw)];
	uint64_t info = wanted | (uint64_t)c->level << 3 | (uint64_t)s->shown << 6 |
			(uint64_t) !!(s->flags & TDX_S_LEAF) << 14;

	c->exited = true;
	leave_with(
		c->m, c->vcpu, c->exit,
		(struct clo_tdx_exit){ .reason = EXIT_EPT_VIOLATION,
				       .qualification = kind ? EPT_WRITE | EPT_ALLOWED(c->raw) : 0,
				       .extended = kind ? kind | info << 32 : 0,
				       .gpa = c->gpa });
	return 0;
}

static void accept_chunk(struct tdx_call *c, uint64_t raw, uint64_t index)
{
	memset(tdx_page_bytes(c->m, tdx_entry_pfn(raw, c->level) + index), 0, CLO_PAGE_SIZE);
}

/* False: an interrupt came; what is done is kept in the entry. */
static bool accept_pages(struct tdx_call *c, uint64_t *raw)
{
	uint64_t done = (*raw & TDX_E_ACCEPT) >> CLO_PAGE_SHIFT;

	if (c->level == TDX_4K) {
		accept_chunk(c, *raw, 0);
		return true;
	}
	for (;;) {
		accept_chunk(c, *raw, done);
		if (++done == 512) {
			*raw &= ~TDX_E_ACCEPT;
			return true;
		}
		*raw = (*raw & ~TDX_E_ACCEPT) | done << CLO_PAGE_SHIFT;
		if (tdx_interrupted(c->m))
			return false;
	}
}

static uint64_t accept_locked(struct tdx_call *c, unsigned wanted)
{
	enum tdx_state s = tdx_entry_state(c->raw);
	bool leaf = tdx_states[s].flags & TDX_S_LEAF;
	uint64_t raw = c->raw;

	/* REMOVED is no leaf and not FREE: it answers as a table does. */
	if (!leaf && s != TDX_FREE)
		return tdx_status(CLO_TDX_PAGE_SIZE_MISMATCH, c->level);
	if (tdx_states[s].flags & TDX_S_GUEST)
		return tdx_status(CLO_TDX_PAGE_ALREADY_ACCEPTED, c->level);
	if (tdx_leaf_next(c->leaf, s) == TDX_REFUSED) {
		tdx_entry_unlock(c->entry);
		c->entry_held = false;
		return tdx_guest_exit(c, CLO_TDX_EXIT_ACCEPT, wanted);
	}
	if (!accept_pages(c, &raw)) {
		tdx_publish(c, raw);
		c->interrupted = true;
		return 0;
	}
	tdx_publish(c, tdx_entry_with(raw, (enum tdx_state)tdx_leaf_next(c->leaf, s)));
	return 0;
}

uint64_t tdx_page_accept(struct tdx_call *c)
{
	uint64_t status = tdx_call_gpa(c);
	unsigned wanted = c->level;

	if (status)
		return status;
	c->entry = tdx_sept_walk(c->m, c->td, c->gpa, &c->level, &c->raw);
	if (c->level != wanted) {
		if (tdx_states[tdx_entry_state(c->raw)].flags & TDX_S_GUEST)
			return tdx_status(CLO_TDX_PAGE_ALREADY_ACCEPTED, c->level);
		return tdx_guest_exit(c, CLO_TDX_EXIT_ACCEPT, wanted);
	}
	status = tdx_entry_trylock_guest(c->entry);
	if (status)
		return status | TDX_RCX;
	c->entry_held = true;
	c->raw = clo_a64_get(c->entry) & ~(TDX_E_LOCK | TDX_E_HP);
	return accept_locked(c, wanted);
}

/* Attributes are of L2 guests, which there are none: RDX is 0. */
static uint64_t attr_result(struct tdx_call *c)
{
	bool pending = tdx_states[tdx_entry_state(c->raw)].flags & TDX_S_PENDING;

	c->regs->rcx = clo_align_down(c->gpa, CLO_PAGE_SIZE << (9 * c->level)) | c->level |
		       (uint64_t)pending << 62;
	c->regs->rdx = 0;
	return 0;
}

static uint64_t attr_lock(struct tdx_call *c)
{
	uint64_t status = tdx_entry_trylock_guest(c->entry);

	if (status)
		return status | TDX_RCX;
	c->entry_held = true;
	c->raw = clo_a64_get(c->entry) & ~(TDX_E_LOCK | TDX_E_HP);
	return 0;
}

static uint64_t attr_exit(struct tdx_call *c, uint32_t kind, unsigned wanted)
{
	if (c->entry_held)
		tdx_entry_unlock(c->entry);
	c->entry_held = false;
	return tdx_guest_exit(c, kind, wanted);
}

uint64_t tdx_page_attr_rd(struct tdx_call *c)
{
	uint64_t status;

	c->regs->rcx = 0;
	c->regs->rdx = 0;
	/* Any address of the page. */
	c->gpa = c->in.rcx & ~CLO_PAGE_MASK;
	if (!tdx_gpa_is_private(c->gpa))
		return tdx_status(CLO_TDX_OPERAND_INVALID, TDX_RCX);
	c->level = TDX_4K;
	c->entry = tdx_sept_walk(c->m, c->td, c->gpa, &c->level, &c->raw);
	if ((status = attr_lock(c)))
		return status;
	if (tdx_leaf_next(c->leaf, tdx_entry_state(c->raw)) == TDX_REFUSED)
		return attr_exit(c, CLO_TDX_EXIT_NONE, c->level);
	return attr_result(c);
}

uint64_t tdx_page_attr_wr(struct tdx_call *c)
{
	uint64_t status;
	unsigned wanted;
	enum tdx_state s;

	c->regs->rcx = 0;
	c->regs->rdx = 0;
	for (unsigned vm = 0; vm < 4; vm++) {
		if (c->in.rdx >> 16 * vm & 0xffff)
			return tdx_status(CLO_TDX_OPERAND_INVALID, TDX_RDX);
		if (c->in.r8 >> 16 * vm & 0xffff)
			return tdx_status(CLO_TDX_OPERAND_INVALID, TDX_R8);
	}
	if ((status = tdx_call_gpa(c)))
		return status;
	wanted = c->level;
	c->entry = tdx_sept_walk(c->m, c->td, c->gpa, &c->level, &c->raw);
	if (c->level != wanted)
		return attr_exit(c, CLO_TDX_EXIT_ATTR_WR, wanted);
	if ((status = attr_lock(c)))
		return status;
	s = tdx_entry_state(c->raw);
	if (!(tdx_states[s].flags & TDX_S_LEAF) && s != TDX_FREE)
		return tdx_status(CLO_TDX_PAGE_SIZE_MISMATCH, c->level);
	if (tdx_leaf_next(c->leaf, s) == TDX_REFUSED)
		return attr_exit(c, CLO_TDX_EXIT_ATTR_WR, wanted);
	return attr_result(c);
}

/* The vCPU of @tdvpr if it is inside: then its page is locked, and stays what it is. */
static struct tdx_vcpu *inside(struct clo_tdx *m, uint64_t tdvpr)
{
	struct tdx_pamt *p;
	struct tdx_vcpu *v;

	if (tdvpr >> CLO_PAGE_SHIFT >= m->pages)
		return NULL;
	p = tdx_pamt_at(m, tdvpr >> CLO_PAGE_SHIFT, TDX_4K);
	if (clo_a32_get(&p->pt) != TDX_PT_TDVPR)
		return NULL;
	v = clo_aptr_get(&p->object);
	return v && clo_a32_get(&v->inside) ? v : NULL;
}

static int tdcall(struct tdx_call *c)
{
	c->leaf = tdx_leaf_find(true, c->in.rax & 0xffff);
	if (!c->leaf || c->in.rax >> 16) {
		c->regs->rax = tdx_status(CLO_TDX_OPERAND_INVALID, TDX_RAX);
		return 0;
	}
	c->td = c->vcpu->td;
	/* It has come as far as this instruction. */
	forget_faults(c->vcpu);
	c->regs->rax = c->leaf->run(c);
	tdx_call_end(c);
	if (c->interrupted) {
		leave_with(c->m, c->vcpu, c->exit,
			   (struct clo_tdx_exit){ .reason = CLO_TDX_EXIT_INTERRUPT });
		*c->regs = c->in;
		return 1;
	}
	if (c->exited)
		*c->regs = c->in;
	/* The wish of the host is not the guest's to know. */
	if (c->regs->rax >> 32 == CLO_TDX_OPERAND_BUSY_HOST_PRIORITY)
		c->regs->rax = tdx_status(CLO_TDX_OPERAND_BUSY, c->regs->rax & 0xffffffff);
	return c->exited;
}

int clo_tdx_tdcall(struct clo_tdx *m, uint64_t tdvpr, struct clo_tdx_regs *regs,
		   struct clo_tdx_exit *exit)
{
	struct clo_tdx_exit e = { 0 };
	struct tdx_call c = { .m = m, .regs = regs, .in = *regs, .exit = &e };
	int ret = clo_struct_fits(exit, CLO_TDX_EXIT_SIZE_VER0);

	if (ret)
		return ret;
	c.vcpu = inside(m, tdvpr);
	if (!c.vcpu)
		return clo_fail(-EINVAL, CLO_REASON_ABSENT, "tdvpr");
	ret = tdcall(&c);
	if (ret == 1 && clo_struct_out(exit, &e, sizeof(e), CLO_TDX_EXIT_SIZE_VER0))
		return clo_fail(-EINVAL, CLO_REASON_CHANGED, "exit");
	return ret;
}

/* What the processor keeps of a walk; it uses it until it is told to forget. */
static struct tdx_tlb *translate(struct clo_tdx *m, struct tdx_vcpu *v, uint64_t gpa,
				 struct tdx_call *c)
{
	struct tdx_tlb *t = &v->tlb[(gpa >> CLO_PAGE_SHIFT) % TDX_TLB];
	uint64_t page = gpa >> CLO_PAGE_SHIFT;

	if (t->gpa == page + 1)
		return t;
	c->level = TDX_4K;
	tdx_sept_walk(m, v->td, gpa, &c->level, &c->raw);
	if (!(tdx_states[tdx_entry_state(c->raw)].flags & TDX_S_GUEST) || !(c->raw & TDX_E_RWX))
		return NULL;
	t->gpa = page + 1;
	t->pfn = tdx_entry_pfn(c->raw, c->level) + (page & ((1ULL << (9 * c->level)) - 1));
	t->rwx = c->raw & TDX_E_RWX;
	return t;
}

static int violation(struct clo_tdx *m, struct tdx_vcpu *v, const struct clo_tdx_access *a,
		     const struct tdx_call *c, struct clo_tdx_exit *exit)
{
	bool accept = tdx_states[tdx_entry_state(c->raw)].flags & TDX_S_ACCEPT;
	uint32_t kind = accept ? CLO_TDX_EXIT_PENDING : CLO_TDX_EXIT_NONE;

	forget_if_moved(v);
	if (accept && !v->td->pending_ve_disable)
		return 2;
	log_fault(v, a->gpa & ~CLO_PAGE_MASK);
	leave_with(m, v, exit,
		   (struct clo_tdx_exit){ .reason = EXIT_EPT_VIOLATION,
					  .qualification = (a->write ? EPT_WRITE : EPT_READ) |
							   EPT_ALLOWED(c->raw),
					  .extended = kind,
					  .gpa = a->gpa & ~CLO_PAGE_MASK });
	return 1;
}

static int do_access(struct clo_tdx *m, struct tdx_vcpu *v, const struct clo_tdx_access *a,
		     void *buf, struct clo_tdx_exit *exit)
{
	struct tdx_call c = { .m = m };
	struct tdx_tlb *t;
	uint8_t *at;

	v->rip = a->rip;
	if (a->gpa & SHARED_BIT) {
		forget_if_moved(v);
		/* The host's own table, which is not here, would serve it. */
		leave_with(m, v, exit,
			   (struct clo_tdx_exit){ .reason = EXIT_EPT_VIOLATION,
						  .qualification = a->write ? EPT_WRITE : EPT_READ,
						  .gpa = a->gpa & ~CLO_PAGE_MASK });
		return 1;
	}
	t = translate(m, v, a->gpa, &c);
	if (t && a->write && !(t->rwx & TDX_E_W)) {
		/* It looks again before it faults. */
		t->gpa = 0;
		t = translate(m, v, a->gpa, &c);
	}
	if (!t || (a->write && !(t->rwx & TDX_E_W)))
		return violation(m, v, a, &c, exit);
	at = tdx_page_bytes(m, t->pfn) + (a->gpa & CLO_PAGE_MASK);
	clo_sync_point("tdx access", a->gpa);
	memcpy(a->write ? at : (uint8_t *)buf, a->write ? (uint8_t *)buf : at, a->bytes);
	return 0;
}

int clo_tdx_access(struct clo_tdx *m, uint64_t tdvpr, const struct clo_tdx_access *asked, void *buf,
		   struct clo_tdx_exit *exit)
{
	struct clo_tdx_exit e = { 0 };
	struct clo_tdx_access a;
	struct tdx_vcpu *v;
	int ret;

	if ((ret = clo_struct_in(&a, sizeof(a), asked, CLO_TDX_ACCESS_SIZE_VER0)) ||
	    (ret = clo_struct_fits(exit, CLO_TDX_EXIT_SIZE_VER0)))
		return ret;
	if (a.bytes == 0 || a.bytes > CLO_PAGE_SIZE - (a.gpa & CLO_PAGE_MASK) || a.gpa >> 48)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "clo_tdx_access");
	v = inside(m, tdvpr);
	if (!v)
		return clo_fail(-EINVAL, CLO_REASON_ABSENT, "tdvpr");
	ret = do_access(m, v, &a, buf, &e);
	if (ret == 1 && clo_struct_out(exit, &e, sizeof(e), CLO_TDX_EXIT_SIZE_VER0))
		return clo_fail(-EINVAL, CLO_REASON_CHANGED, "exit");
	return ret;
}

int clo_tdx_interrupt(struct clo_tdx *m, uint64_t tdvpr, struct clo_tdx_exit *exit)
{
	struct clo_tdx_exit e = { 0 };
	struct tdx_vcpu *v;
	int ret = clo_struct_fits(exit, CLO_TDX_EXIT_SIZE_VER0);

	if (ret)
		return ret;
	v = inside(m, tdvpr);
	if (!v)
		return clo_fail(-EINVAL, CLO_REASON_ABSENT, "tdvpr");
	leave_with(m, v, &e, (struct clo_tdx_exit){ .reason = CLO_TDX_EXIT_INTERRUPT });
	return clo_struct_out(exit, &e, sizeof(e), CLO_TDX_EXIT_SIZE_VER0);
}
