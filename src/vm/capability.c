/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/capability.c - what a host and a VM can do, by KVM's numbers where KVM has the thing.
 */
#include "vm_internal.h"

/* The same in each VM. */
static uint64_t common(const struct clo_host *host, uint32_t cap)
{
	switch (cap) {
	case CLO_CAP_NR_MEMSLOTS:
		return CLO_SLOT_ID_MAX;
	case CLO_CAP_MAX_VCPUS:
		return CLO_MAX_VCPUS;
	case CLO_CAP_EXIT_HYPERCALL:
		return 1ULL << CLO_HC_MAP_GPA_RANGE;
	case CLO_CAP_USER_MEMORY2:
	case CLO_CAP_MEMORY_FAULT_INFO:
	case CLO_CAP_GUEST_MEMFD:
	case CLO_CAP_PRE_FAULT_MEMORY:
	case CLO_CAP_MEMORY_ERROR:
		return 1;
	case CLO_CAP_HOST_VIEW:
		return clo_host_view(host);
	case CLO_CAP_CONVERT_FLAGS:
		return CLO_CONVERT_TO_PRIVATE | CLO_CONVERT_DRY_RUN;
	default:
		return 0;
	}
}

/* What depends on the type and on who owns the attribute. */
static uint64_t of_type(const struct clo_trust_ops *t, bool vm_owns, bool gmem_owns, uint32_t cap)
{
	switch (cap) {
	case CLO_CAP_VM_TYPES:
		return 1ULL << t->vm_type;
	case CLO_CAP_VM_FLAGS:
		return CLO_VM_CONVERT_ON_HYPERCALL | (t->may_type_access ? CLO_VM_TYPED_ACCESS : 0);
	case CLO_CAP_READONLY_MEM:
		return (t->mem_flags & CLO_MEM_READONLY) != 0;
	case CLO_CAP_MEM_FLAGS:
		return t->mem_flags;
	case CLO_CAP_MULTI_ADDRESS_SPACE:
		return t->as_count;
	case CLO_CAP_MEMORY_ATTRIBUTES:
		return vm_owns && t->has_private_mem ? CLO_ATTR_PRIVATE : 0;
	case CLO_CAP_GUEST_MEMFD_ATTRIBUTES:
		return gmem_owns && t->has_private_mem ? CLO_ATTR_PRIVATE : 0;
	case CLO_CAP_GUEST_MEMFD_FLAGS:
		return t->gmem_flags | (gmem_owns ? t->gmem_flags_gmem_owner : 0);
	default:
		return 0;
	}
}

uint64_t clo_host_capability(const struct clo_host *host, uint32_t cap)
{
	const struct clo_trust_ops *t;
	uint64_t all = common(host, cap);

	for (unsigned i = 0; (t = clo_trust_nth(i)); i++) {
		uint64_t one = of_type(t, true, true, cap);

		/* A number is that of the type with most; the others are bits. */
		if (cap == CLO_CAP_MULTI_ADDRESS_SPACE)
			all = one > all ? one : all;
		else
			all |= one;
	}
	return all;
}

uint64_t clo_vm_capability(const struct clo_vm *vm, uint32_t cap)
{
	return common(vm->host, cap) | of_type(vm->trust, vm->attr_owner == CLO_ATTR_OWNER_VM,
					       vm->attr_owner == CLO_ATTR_OWNER_GMEM, cap);
}
