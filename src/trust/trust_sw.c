/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/trust_sw.c - SW_PROTECTED: private memory without hardware, KVM's development vehicle.
 *
 * The kind of an access comes from the attribute (mail 3: "special case VMs where .is_private is
 * derived from the memory attributes"), so there are no implicit conversions, unless the VM was
 * made with typed accesses, which mimic SNP and TDX. Content is preserved both ways (the conversion
 * selftests assert it, tools/testing/selftests/kvm); zeroing is a guest_memfd flag (mail 4).
 */
#include "trust/trust_types.h"

#include "cloister/cloister.h"

static bool classify(bool typed, bool asked, bool attr)
{
	return typed ? asked : attr;
}

const struct clo_trust_ops clo_trust_sw = {
	.name = "SW_PROTECTED",
	.vm_type = CLO_VM_SW_PROTECTED,
	.has_private_mem = true,
	.may_type_access = true,
	.as_count = 1,
	.gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_HUGETLB | CLO_GMEM_ZERO_ON_CONVERT |
		      CLO_GMEM_NO_DIRECT_MAP,
	.gmem_flags_gmem_owner = CLO_GMEM_INIT_SHARED,
	.mem_flags = CLO_MEM_READONLY | CLO_MEM_GUEST_MEMFD,
	.to_private = CLO_CONTENT_PRESERVE,
	.to_shared = CLO_CONTENT_PRESERVE,
	.classify = classify,
};
