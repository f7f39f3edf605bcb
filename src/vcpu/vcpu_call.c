/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu/vcpu_call.c - KVM_HC_MAP_GPA_RANGE and KVM_PRE_FAULT_MEMORY.
 */
#include "vcpu.h"

#include <errno.h>

/* What the guest sees (include/uapi/linux/kvm_para.h). */
#define GUEST_ENOSYS 1000
#define GUEST_EINVAL 22

static int64_t convert(struct clo_vcpu *vcpu, uint64_t gpa, uint64_t npages, uint64_t attrs)
{
	struct clo_convert c = {
		.size = sizeof(c),
		.flags = attrs & CLO_MAP_GPA_ENCRYPTED ? CLO_CONVERT_TO_PRIVATE : 0,
		.gpa = gpa,
		.bytes = npages << CLO_PAGE_SHIFT,
	};

	/* Bits 3:0 are the page size, a hint that nothing here needs. */
	if (attrs & ~(CLO_MAP_GPA_ENCRYPTED | 0xf))
		return -GUEST_EINVAL;
	return clo_vm_convert(vcpu->vm, &c);
}

int64_t clo_vcpu_map_gpa_range(struct clo_vcpu *vcpu, uint64_t gpa, uint64_t npages, uint64_t attrs)
{
	struct clo_exit *x = &vcpu->exit;

	if (clo_forked(vcpu->fork_gen))
		return -EIO;
	if (clo_vcpu_take_kick(vcpu))
		return -EINTR;
	x->reason = CLO_EXIT_NONE;
	if (!vcpu->vm->exit_hypercall)
		return -GUEST_ENOSYS;
	if (!clo_is_aligned(gpa, CLO_PAGE_SIZE) || npages == 0 ||
	    npages > UINT64_MAX >> CLO_PAGE_SHIFT || gpa + (npages << CLO_PAGE_SHIFT) <= gpa)
		return -GUEST_EINVAL;
	if (vcpu->vm->flags & CLO_VM_CONVERT_ON_HYPERCALL)
		return convert(vcpu, gpa, npages, attrs);
	*x = (struct clo_exit){ .size = sizeof(*x), .reason = CLO_EXIT_HYPERCALL };
	x->hypercall.nr = CLO_HC_MAP_GPA_RANGE;
	x->hypercall.args[0] = gpa;
	x->hypercall.args[1] = npages;
	x->hypercall.args[2] = attrs;
	vcpu->hypercall_pending = true;
	return 1;
}

int64_t clo_vcpu_complete_hypercall(struct clo_vcpu *vcpu, uint64_t ret)
{
	if (clo_forked(vcpu->fork_gen))
		return -EIO;
	if (!vcpu->hypercall_pending)
		return -GUEST_EINVAL;
	vcpu->hypercall_pending = false;
	vcpu->exit.hypercall.ret = ret;
	return (int64_t)ret;
}

/*
 * Map the page at @gpa by the attribute it has now. Bytes mapped from @gpa on, or -errno. With
 * @any pages done the call will not return -EINTR: the kick is left for the next one.
 */
static int64_t pre_fault_one(struct clo_vcpu *vcpu, uint64_t gpa, bool any)
{
	struct clo_vm *vm = vcpu->vm;
	struct clo_fault f = { .tlb = &vcpu->tlb,
			       .waiter = &vcpu->waiter,
			       .gfn = clo_gfn(gpa >> CLO_PAGE_SHIFT),
			       .is_prefault = true };
	uint64_t pages;

	for (;;) {
		if (any ? clo_a32_get(&vcpu->waiter.off) != 0 : clo_vcpu_take_kick(vcpu))
			return -EINTR;
		clo_rcu_read_lock();
		f.is_private =
			clo_vm_gfn_is_private(vm, clo_slots_find(vm->slots, 0, f.gfn), f.gfn);
		clo_rcu_read_unlock();
		switch (clo_fault_handle(vm, &f)) {
		case CLO_FAULT_FIXED:
			pages = clo_level_pages(f.level);
			return (int64_t)((clo_align_down(f.gfn.n, pages) + pages - f.gfn.n)
					 << CLO_PAGE_SHIFT);
		case CLO_FAULT_MMIO:
			return -ENOENT;
		case CLO_FAULT_EXIT:
			return f.error;
		case CLO_FAULT_RETRY:
			clo_vcpu_wait(vcpu, f.gfn);
			break;
		}
	}
}

int clo_vcpu_pre_fault(struct clo_vcpu *vcpu, uint64_t *gpa, uint64_t *bytes)
{
	bool any = false;
	int ret;

	if (clo_forked(vcpu->fork_gen))
		return -EIO;
	ret = clo_check_range(*gpa, "gpa", *bytes, "bytes");
	if (ret)
		return ret;
	while (*bytes > 0) {
		int64_t done = pre_fault_one(vcpu, *gpa, any);
		uint64_t step;

		if (done < 0)
			return any ? 0 : (int)done;
		step = (uint64_t)done < *bytes ? (uint64_t)done : *bytes;
		*gpa += step;
		*bytes -= step;
		any = true;
	}
	return 0;
}
