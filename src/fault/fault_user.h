/* SPDX-License-Identifier: Apache-2.0 */
/* fault/fault_user.h - the VMM's own memory behind a shared page: what get_user_pages() does for
 * KVM. */
#ifndef CLO_FAULT_FAULT_USER_H
#define CLO_FAULT_FAULT_USER_H

#include "fault.h"

/*
 * Make the page at @hva present, with the right to write if @writable. *order: 9 when the whole 2M
 * block around it is resident and may be mapped by one leaf (KVM asks the host's page tables), else
 * 0. -EFAULT: not mapped, or not with these rights. -EHWPOISON. -ENOMEM. The VMM must keep it
 * mapped as long as the memslot exists: there is no MMU notifier in userspace.
 */
int clo_fault_user_page(struct clo_hva hva, bool writable, unsigned *order) CLO_MUST_USE;

#endif
