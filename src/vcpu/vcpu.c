/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu/vcpu.c - life of a vCPU; guest loads and stores.
 */
#include "vcpu.h"

#include <errno.h>
#include <string.h>

int clo_vcpu_create(struct clo_vm *vm, uint32_t id, struct clo_vcpu **out)
{
	struct clo_vcpu *vcpu;
	int ret = 0;

	if (clo_forked(vm->fork_gen))
		return -EIO;
	if (id >= CLO_MAX_VCPUS)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "id");
	vcpu = clo_alloc(sizeof(*vcpu));
	if (!vcpu)
		return clo_fail_heap("vCPU");
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->fork_gen = vm->fork_gen;
	vcpu->exit.size = sizeof(vcpu->exit);
	clo_mutex_lock(&vm->lock);
	for (const struct clo_vcpu *v = vm->vcpus; v && ret == 0; v = v->next) {
		if (v->id == id)
			ret = clo_fail(-EEXIST, CLO_REASON_IN_USE, "id");
	}
	if (ret == 0)
		ret = clo_mmu_add_tlb(&vm->mmu, &vcpu->tlb);
	if (ret == 0) {
		vcpu->next = vm->vcpus;
		vm->vcpus = vcpu;
		*out = vcpu;
	}
	clo_mutex_unlock(&vm->lock);
	if (ret)
		clo_free(vcpu);
	return ret;
}

const struct clo_exit *clo_vcpu_exit(const struct clo_vcpu *vcpu)
{
	return &vcpu->exit;
}

/*
 * The bytes of the guest. Guest, VMM and devices may touch them at once, as on hardware, so this is
 * no data race of the engine; and the VMM's memory may be anything. Sanitizers look away here, and
 * only here.
 */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
__attribute__((no_sanitize("thread", "address", "undefined"))) static void
copy(void *to, const void *from, size_t bytes)
{
	volatile uint8_t *t = to;
	const volatile uint8_t *f = from;

	while (bytes-- > 0)
		*t++ = *f++;
}
#else
static void copy(void *to, const void *from, size_t bytes)
{
	memcpy(to, from, bytes);
}
#endif

void clo_vcpu_wait(struct clo_vcpu *vcpu, struct clo_gfn gfn)
{
	struct clo_inval *iv = &vcpu->vm->mmu.inval;

	if (clo_inval_busy(iv, gfn.n))
		clo_inval_wait(iv, gfn.n, &vcpu->waiter);
	else
		clo_relax();
}

void clo_vcpu_kick(struct clo_vcpu *vcpu)
{
	if (clo_forked(vcpu->fork_gen))
		return;
	clo_waiter_call_off(&vcpu->waiter);
}

bool clo_vcpu_take_kick(struct clo_vcpu *vcpu)
{
	if (CLO_LIKELY(!clo_a32_get(&vcpu->waiter.off)))
		return false;
	/* An exchange: who leaves sees what each kicker has written before. */
	(void)clo_a32_xchg(&vcpu->waiter.off, 0);
	clo_stat_add_local(&vcpu->exits, 1);
	vcpu->exit = (struct clo_exit){ .size = sizeof(vcpu->exit),
					.reason = CLO_EXIT_INTR,
					.error = -EINTR };
	return true;
}

/* In guest mode: the leaf for an access of kind @asked_private, or 0. */
static uint64_t translate(struct clo_vcpu *vcpu, struct clo_gfn gfn, bool asked_private,
			  uint64_t need)
{
	struct clo_mmu *mmu = &vcpu->vm->mmu;
	uint64_t spte;

	if (clo_vm_typed(vcpu->vm))
		return clo_mmu_translate(mmu, &vcpu->tlb, gfn,
					 asked_private ? CLO_SPACE_PRIVATE : CLO_SPACE_SHARED,
					 need);
	/* Both TLB kinds before any walk: most pages of a guest are in one of them. */
	spte = clo_tlb_lookup(&vcpu->tlb, gfn, CLO_SPACE_PRIVATE);
	if ((spte & need) == need)
		return spte;
	spte = clo_mmu_translate(mmu, &vcpu->tlb, gfn, CLO_SPACE_SHARED, need);
	return spte ? spte : clo_mmu_translate(mmu, &vcpu->tlb, gfn, CLO_SPACE_PRIVATE, need);
}

/* One page's part of an access. */
struct access {
	uint64_t gpa;
	uint8_t *bounce;
	size_t bytes;
	uint32_t flags;
};

static bool is_write(const struct access *a)
{
	return (a->flags & CLO_ACCESS_WRITE) != 0;
}

enum step {
	STEP_DONE,
	STEP_MISS, /* not mapped: a fault */
	STEP_USER, /* mapped to the VMM's own memory, and announced: touch_user() */
};

/*
 * In guest mode only what is the engine's is touched: its pool and @bounce. The caller's memory, or
 * the VMM's behind a shared page, could wait for a change that waits for this vCPU, or end in a
 * signal handler that never comes back.
 */
static enum step access_mapped(struct clo_vcpu *vcpu, const struct access *a, struct clo_pfn *pfn)
{
	struct clo_gfn gfn = clo_gfn(a->gpa >> CLO_PAGE_SHIFT);
	enum step step = STEP_MISS;
	uint64_t spte;

	clo_tlb_enter(&vcpu->tlb);
	spte = translate(vcpu, gfn, (a->flags & CLO_ACCESS_PRIVATE) != 0,
			 CLO_SPTE_R | (is_write(a) ? CLO_SPTE_W : 0));
	*pfn = clo_spte_pfn(spte);
	if (spte && clo_pfn_is_user(*pfn)) {
		clo_touch_begin(&vcpu->tlb, gfn, CLO_LEVEL_4K);
		step = STEP_USER;
	} else if (spte) {
		char *at =
			(char *)clo_page_addr(vcpu->vm->host->db, *pfn) + (a->gpa & CLO_PAGE_MASK);

		clo_sync_point(is_write(a) ? "guest store" : "guest load", a->gpa);
		if (is_write(a))
			copy(at, a->bounce, a->bytes);
		else
			copy(a->bounce, at, a->bytes);
		step = STEP_DONE;
	}
	clo_tlb_exit(&vcpu->tlb);
	return step;
}

/* 0, or as clo_fault_user_copy(). */
static int touch_user(struct clo_vcpu *vcpu, const struct access *a, struct clo_pfn pfn)
{
	uint64_t hva = (uintptr_t)clo_page_addr(vcpu->vm->host->db, pfn) + (a->gpa & CLO_PAGE_MASK);
	int ret;

	clo_sync_point(is_write(a) ? "guest store" : "guest load", a->gpa);
	ret = clo_fault_user_copy((struct clo_hva){ hva }, a->bounce, a->bytes, is_write(a));
	clo_touch_end(&vcpu->vm->mmu, &vcpu->tlb);
	return ret;
}

/* Fill vcpu->exit from a fault that was not served; what clo_vcpu_access() returns. */
static int exit_to_vmm(struct clo_vcpu *vcpu, const struct clo_fault *f, enum clo_fault_end end,
		       uint64_t gpa, size_t bytes)
{
	struct clo_exit *x = &vcpu->exit;

	clo_stat_add_local(&vcpu->exits, 1);
	*x = (struct clo_exit){ .size = sizeof(*x), .cause = f->cause, .error = f->error };
	if (end == CLO_FAULT_MMIO) {
		x->reason = CLO_EXIT_MMIO;
		x->mmio.gpa = gpa;
		x->mmio.len = (uint32_t)bytes;
		x->mmio.is_write = f->is_write;
		return 1;
	}
	x->reason = CLO_EXIT_MEMORY_FAULT;
	x->memory_fault.flags = f->is_private ? CLO_MEMORY_EXIT_FLAG_PRIVATE : 0;
	x->memory_fault.gpa = f->gfn.n << CLO_PAGE_SHIFT;
	x->memory_fault.size = CLO_PAGE_SIZE;
	return f->error;
}

/* An access that is not mapped: RETRY means again, now or when a change in progress is over. */
static enum clo_fault_end serve_fault(struct clo_vcpu *vcpu, struct clo_fault *f, uint32_t flags)
{
	enum clo_fault_end end;

	f->is_private = clo_fault_classify(vcpu->vm, f->gfn, (flags & CLO_ACCESS_PRIVATE) != 0);
	clo_stat_add_local(&vcpu->faults, 1);
	end = clo_fault_handle(vcpu->vm, f);
	if (end == CLO_FAULT_FIXED)
		clo_stat_add_local(&vcpu->fixed, 1);
	else if (end == CLO_FAULT_RETRY)
		clo_stat_add_local(&vcpu->retried, 1);
	return end;
}

static int access_page(struct clo_vcpu *vcpu, const struct access *a)
{
	struct clo_fault f = {
		.tlb = &vcpu->tlb,
		.waiter = &vcpu->waiter,
		.gfn = clo_gfn(a->gpa >> CLO_PAGE_SHIFT),
		.is_write = is_write(a),
	};
	enum clo_fault_end end = CLO_FAULT_FIXED;

	while (end == CLO_FAULT_FIXED || end == CLO_FAULT_RETRY) {
		struct clo_pfn pfn;

		if (clo_vcpu_take_kick(vcpu))
			return -EINTR;
		switch (access_mapped(vcpu, a, &pfn)) {
		case STEP_DONE:
			return 0;
		case STEP_USER:
			f.error = touch_user(vcpu, a, pfn);
			if (f.error == 0)
				return 0;
			f.cause = clo_fault_user_cause(f.error);
			end = CLO_FAULT_EXIT;
			break;
		case STEP_MISS:
			end = serve_fault(vcpu, &f, a->flags);
			if (end == CLO_FAULT_RETRY)
				clo_vcpu_wait(vcpu, f.gfn);
			break;
		}
	}
	return exit_to_vmm(vcpu, &f, end, a->gpa, a->bytes);
}

int clo_vcpu_access(struct clo_vcpu *vcpu, uint64_t gpa, void *buf, size_t bytes, uint32_t flags)
{
	uint8_t bounce[CLO_PAGE_SIZE];
	uint8_t *at = buf;

	if (clo_forked(vcpu->fork_gen))
		return -EIO;
	vcpu->exit.reason = CLO_EXIT_NONE;
	if (flags & ~(CLO_ACCESS_WRITE | CLO_ACCESS_PRIVATE))
		return clo_fail(-EINVAL, CLO_REASON_FLAGS, "flags");
	if (bytes == 0 && clo_vcpu_take_kick(vcpu))
		return -EINTR;
	while (bytes > 0) {
		size_t part = CLO_PAGE_SIZE - (gpa & CLO_PAGE_MASK);
		int ret;

		part = bytes < part ? bytes : part;
		/* buf is touched here only, with nothing held: it may block, or not come back. */
		if (flags & CLO_ACCESS_WRITE)
			memcpy(bounce, at, part);
		ret = access_page(vcpu, &(struct access){ gpa, bounce, part, flags });
		if (ret)
			return ret;
		if (!(flags & CLO_ACCESS_WRITE))
			memcpy(at, bounce, part);
		gpa += part; /* past 2^64 it wraps to 0, as an address would */
		at += part;
		bytes -= part;
	}
	return 0;
}
