/* SPDX-License-Identifier: Apache-2.0 */
/* vm/vm_internal.h - shared by the files of module vm. */
#ifndef CLO_VM_VM_INTERNAL_H
#define CLO_VM_VM_INTERNAL_H

#include "vm.h"

extern const struct clo_gmem_ops clo_vm_gmem_ops;
/* Adds what the VM's hooks need. */
void clo_vm_hook_ops(const struct clo_vm *vm, struct clo_gmem_ops *ops);
void clo_vm_slot_flush(void *arg, const struct clo_slot *slot);
void clo_vm_slot_settle(void *arg, struct clo_range gfns);
void clo_vm_slot_write_protect(void *arg, const struct clo_slot *slot);

/* VM ids of a host: 1..65535. -EMFILE none is free. */
int clo_host_id_take(struct clo_host *host, struct clo_vm *vm) CLO_MUST_USE;
void clo_host_id_give(struct clo_host *host, struct clo_vm *vm);

#endif
