/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/trust_default.c - DEFAULT: an ordinary VM. It may be backed by a guest_memfd, but nothing
 * in it is private to a guest's fault.
 */
#include "trust/trust_types.h"

#include "cloister/cloister.h"

static bool classify(bool typed, bool asked, bool attr)
{
	(void)typed;
	(void)asked;
	(void)attr;
	return false;
}

const struct clo_trust_ops clo_trust_default = {
	.name = "DEFAULT",
	.vm_type = CLO_VM_DEFAULT,
	.has_private_mem = false,
	.may_type_access = false,
	.as_count = 2,
	.gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED | CLO_GMEM_HUGETLB,
	.gmem_flags_gmem_owner = 0,
	.mem_flags = CLO_MEM_READONLY | CLO_MEM_GUEST_MEMFD,
	.to_private = CLO_CONTENT_PRESERVE,
	.to_shared = CLO_CONTENT_PRESERVE,
	.classify = classify,
};
