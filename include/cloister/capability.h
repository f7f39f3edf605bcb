/* SPDX-License-Identifier: Apache-2.0 */
/* cloister/capability.h - what a host and a VM can do, as KVM_CHECK_EXTENSION. */
#ifndef CLOISTER_CAPABILITY_H
#define CLOISTER_CAPABILITY_H

#include <cloister/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* KVM_CAP_* of the same number. */
#define CLO_CAP_NR_MEMSLOTS         10  /* memslot ids of an address space */
#define CLO_CAP_MAX_VCPUS           66  /* vCPU ids are below it */
#define CLO_CAP_READONLY_MEM        81  /* CLO_MEM_READONLY */
#define CLO_CAP_MULTI_ADDRESS_SPACE 118 /* address spaces of memslots */
#define CLO_CAP_EXIT_HYPERCALL      201 /* bit per hypercall number */
#define CLO_CAP_USER_MEMORY2        231 /* clo_vm_set_region() */
#define CLO_CAP_MEMORY_FAULT_INFO   232 /* exits of kind MEMORY_FAULT */
#define CLO_CAP_MEMORY_ATTRIBUTES   233 /* attributes of clo_vm_set_attributes() */
#define CLO_CAP_GUEST_MEMFD         234 /* clo_gmem_create() */
#define CLO_CAP_VM_TYPES            235 /* bit per CLO_VM_* type */
#define CLO_CAP_PRE_FAULT_MEMORY    236 /* clo_vcpu_pre_fault() */
#define CLO_CAP_GUEST_MEMFD_FLAGS   244 /* flags of clo_gmem_create() */
/* Cloister's own. */
#define CLO_CAP_HOST_VIEW              0x10000 /* the level in force, CLO_HOST_VIEW_* */
#define CLO_CAP_VM_FLAGS               0x10001 /* clo_vm_config.flags */
#define CLO_CAP_MEM_FLAGS              0x10002 /* clo_region.flags */
#define CLO_CAP_GUEST_MEMFD_ATTRIBUTES 0x10003 /* attributes of clo_gmem_set_attributes() */
#define CLO_CAP_CONVERT_FLAGS          0x10004 /* clo_convert.flags */
#define CLO_CAP_MEMORY_ERROR           0x10005 /* clo_gmem_inject_memory_error() */

/*
 * KVM_CHECK_EXTENSION of the system and of a VM: a number or bits as beside each, 0: not there, or
 * not known to this library. The host answers for all types and owners of the attribute together,
 * the VM for itself.
 */
CLO_API uint64_t clo_host_capability(const struct clo_host *host, uint32_t cap);
CLO_API uint64_t clo_vm_capability(const struct clo_vm *vm, uint32_t cap);

#ifdef __cplusplus
}
#endif

#endif
