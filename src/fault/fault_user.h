/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault/fault_user.h - the VMM's own memory behind a shared page: what get_user_pages() is to KVM.
 */
#ifndef CLO_FAULT_FAULT_USER_H
#define CLO_FAULT_FAULT_USER_H

#include "fault.h"

/*
 * Largest leaf for the page at @hva: order 9 when the whole 2M block around it is resident (KVM
 * asks the host's page tables), else 0. Changes nothing.
 */
unsigned clo_fault_user_order(struct clo_hva hva);
/*
 * Make [@hva, @hva + @bytes) present, with the right to write if @writable. It may block. -EFAULT:
 * not mapped, or not with these rights. -EHWPOISON.
 */
int clo_fault_user_populate(struct clo_hva hva, uint64_t bytes, bool writable) CLO_MUST_USE;

#endif
