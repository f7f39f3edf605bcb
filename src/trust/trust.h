/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/trust.h - what differs between the VM types, as data and a few functions. No `if (type ==
 * X)` outside this module.
 *
 * Built: DEFAULT, SW_PROTECTED. A new type is one file with one struct clo_trust_ops and a row in
 * trust.c.
 */
#ifndef CLO_TRUST_TRUST_H
#define CLO_TRUST_TRUST_H

#include "base/base.h"

/* What a conversion does to the bytes (mail 4, "shall we zero depending on VM type?"). */
enum clo_content { CLO_CONTENT_PRESERVE, CLO_CONTENT_ZERO, CLO_CONTENT_COUNT };

struct clo_trust_ops {
	const char *name; /* as in litmus files: "SW_PROTECTED" */
	uint32_t vm_type; /* KVM's number */
	bool has_private_mem;
	bool may_type_access; /* CLO_VM_TYPED_ACCESS is allowed */
	/* Memslot address spaces: KVM gives 1 to types with private memory, 2 to others. */
	unsigned as_count;
	uint64_t gmem_flags; /* CLO_GMEM_* that are always allowed */
	/* Additionally, when the guest_memfd owns the attribute (GUEST_MEMFD_FLAG_INIT_SHARED). */
	uint64_t gmem_flags_gmem_owner;
	uint32_t mem_flags; /* CLO_MEM_* that are allowed */
	/* Default content policy; CLO_GMEM_ZERO_ON_CONVERT overrides. */
	enum clo_content to_private, to_shared;
	/*
	 * Is this access private? @asked: what the access carries; @typed: whether accesses carry
	 * anything in this VM; @attr: the attribute now. (docs/design/faults.md)
	 */
	bool (*classify)(bool typed, bool asked, bool attr);
};

/* NULL: no such type, or not built. */
const struct clo_trust_ops *clo_trust_find(uint32_t vm_type);
/* The i-th built type, NULL past the end: for listings and for tests that run over all types. */
const struct clo_trust_ops *clo_trust_nth(unsigned i);
const char *clo_content_name(enum clo_content c);

#endif
