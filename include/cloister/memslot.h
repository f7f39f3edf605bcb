/* SPDX-License-Identifier: Apache-2.0 */
/* cloister/memslot.h - memslots, and holes of their shared side. */
#ifndef CLOISTER_MEMSLOT_H
#define CLOISTER_MEMSLOT_H

#include <cloister/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* KVM_MEM_*. LOG_DIRTY is -EINVAL until there is a dirty log. */
#define CLO_MEM_LOG_DIRTY   (1U << 0)
#define CLO_MEM_READONLY    (1U << 1)
#define CLO_MEM_GUEST_MEMFD (1U << 2)

/* kvm_userspace_memory_region2, with the file as a handle. */
struct clo_region {
	uint32_t size;               /* sizeof(struct clo_region) */
	uint32_t slot;               /* 31:16 address space, 15:0 id */
	uint32_t flags;              /* CLO_MEM_* */
	uint32_t reserved;           /* 0 */
	uint64_t guest_phys_addr;    /* gpa of the first page */
	uint64_t memory_size;        /* bytes; 0 deletes */
	uint64_t userspace_addr;     /* the VMM's memory behind the shared side */
	uint64_t guest_memfd_offset; /* bytes; with CLO_MEM_GUEST_MEMFD */
	struct clo_gmem *gmem;       /* with CLO_MEM_GUEST_MEMFD */
};
#define CLO_REGION_SIZE_VER0 56U
/*
 * KVM_SET_USER_MEMORY_REGION2, checks in KVM's order. The VMM keeps userspace_addr mapped as long
 * as the memslot exists. A deletion has the same checks of flags and alignment, and looks at no
 * file: gmem may be closed. Delete and move are complete when the call returns: no vCPU can use the
 * old slot. Waits for conversions and, to delete or move, for faults in progress.
 * -E2BIG, -EINVAL: size. -EINVAL: reserved, flags; GUEST_MEMFD with LOG_DIRTY or READONLY;
 * alignment, wrap, bounds, slot id; delete of an absent slot; a change of size, userspace_addr or
 * READONLY; any change of a guest_memfd slot but its deletion; a file of another VM; beyond the
 * file; gpa beyond 48 bits. -EEXIST: gfn overlap, or file range already bound. -EBADF: no file, or
 * closed. -ENOMEM.
 */
CLO_API int clo_vm_set_region(struct clo_vm *vm, const struct clo_region *region) CLO_CHECKED;
/*
 * Mail 0: give memslot slot (31:16 address space, 15:0 id) a bitmap of mapped shared pages, all
 * mapped at first, and mark [gpa, gpa + bytes) as mapped or as hole. A hole of the shared side is
 * not looked through to the VMM's memory: the access exits as MMIO. When the call returns no vCPU
 * can use a page that became a hole. Conversions keep it: to private makes holes, to shared fills
 * them. Waits for conversions.
 * -EINVAL: alignment, empty, wrap; range not inside the memslot. -ENOENT: no such memslot.
 * -ENOMEM.
 */
CLO_API int clo_vm_set_holes(struct clo_vm *vm, uint32_t slot, uint64_t gpa, uint64_t bytes,
			     bool mapped) CLO_CHECKED;

#ifdef __cplusplus
}
#endif

#endif
