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
		return -EINVAL;
	vcpu = clo_alloc(sizeof(*vcpu));
	if (!vcpu)
		return -ENOMEM;
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->fork_gen = vm->fork_gen;
	vcpu->exit.size = sizeof(vcpu->exit);
	clo_mutex_lock(&vm->lock);
	for (const struct clo_vcpu *v = vm->vcpus; v && ret == 0; v = v->next) {
		if (v->id == id)
			ret = -EEXIST;
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

/*
 * One page's part of an access, if it is mapped. @bounce is the engine's: a touch of the caller's
 * memory could wait for a change that waits for this vCPU, or end in a signal handler that never
 * comes back.
 */
static bool access_mapped(struct clo_vcpu *vcpu, uint64_t gpa, uint8_t *bounce, size_t bytes,
			  uint32_t flags)
{
	bool is_write = (flags & CLO_ACCESS_WRITE) != 0;
	uint64_t spte;

	clo_tlb_enter(&vcpu->tlb);
	spte = translate(vcpu, clo_gfn(gpa >> CLO_PAGE_SHIFT), (flags & CLO_ACCESS_PRIVATE) != 0,
			 CLO_SPTE_R | (is_write ? CLO_SPTE_W : 0));
	if (spte) {
		struct clo_pfn pfn = clo_spte_pfn(spte);
		char *at = (char *)clo_page_addr(vcpu->vm->host->db, pfn) + (gpa & CLO_PAGE_MASK);

		clo_sync_point(is_write ? "guest store" : "guest load", gpa);
		if (is_write)
			copy(at, bounce, bytes);
		else
			copy(bounce, at, bytes);
	}
	clo_tlb_exit(&vcpu->tlb);
	return spte != 0;
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

/* One page's part of an access, from or to the engine's @bounce. */
static int access_page(struct clo_vcpu *vcpu, uint64_t gpa, uint8_t *bounce, size_t bytes,
		       uint32_t flags)
{
	struct clo_fault f = {
		.gfn = clo_gfn(gpa >> CLO_PAGE_SHIFT),
		.is_write = (flags & CLO_ACCESS_WRITE) != 0,
	};

	while (!access_mapped(vcpu, gpa, bounce, bytes, flags)) {
		enum clo_fault_end end;

		f.is_private =
			clo_fault_classify(vcpu->vm, f.gfn, (flags & CLO_ACCESS_PRIVATE) != 0);
		clo_stat_add_local(&vcpu->faults, 1);
		end = clo_fault_handle(vcpu->vm, &f);
		switch (end) {
		case CLO_FAULT_FIXED:
			clo_stat_add_local(&vcpu->fixed, 1);
			break;
		case CLO_FAULT_RETRY:
			clo_stat_add_local(&vcpu->retried, 1);
			clo_relax();
			break;
		case CLO_FAULT_MMIO:
		case CLO_FAULT_EXIT:
			return exit_to_vmm(vcpu, &f, end, gpa, bytes);
		}
	}
	return 0;
}

int clo_vcpu_access(struct clo_vcpu *vcpu, uint64_t gpa, void *buf, size_t bytes, uint32_t flags)
{
	uint8_t bounce[CLO_PAGE_SIZE];
	uint8_t *at = buf;

	if (clo_forked(vcpu->fork_gen))
		return -EIO;
	vcpu->exit.reason = CLO_EXIT_NONE;
	if (flags & ~(CLO_ACCESS_WRITE | CLO_ACCESS_PRIVATE))
		return -EINVAL;
	while (bytes > 0) {
		size_t part = CLO_PAGE_SIZE - (gpa & CLO_PAGE_MASK);
		int ret;

		part = bytes < part ? bytes : part;
		/* buf is touched here only, with nothing held: it may block, or not come back. */
		if (flags & CLO_ACCESS_WRITE)
			memcpy(bounce, at, part);
		ret = access_page(vcpu, gpa, bounce, part, flags);
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
