/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cloister.h - private guest memory of a hypervisor, in userspace. Includes the whole public C API,
 * one header an object; each can be included alone.
 *
 * Objects: a host (simulated machine memory) has VMs; a VM has guest_memfds, memslots and vCPUs.
 * Names, numbers, check order and errno follow KVM (include/uapi/linux/kvm.h,
 * virt/kvm/guest_memfd.c) where KVM has the thing; what is Cloister's own says so.
 *
 * Conventions:
 *
 * - A function is called after the object that it gets first, or after the one that it makes.
 * - Functions return 0 or -errno, and a failed call has changed nothing, results included, unless
 *   its comment says otherwise. Any call that allocates can give -ENOMEM. Which of its meanings an
 *   errno had: clo_last_error().
 * - Addresses, offsets and sizes are bytes, times are ns. Pages are 4096 bytes.
 * - Structs that may grow start with `size`, as those of clone3(2) and openat2(2): the caller sets
 *   it to sizeof(the struct), also of one that the library fills. A library of another version
 *   takes fields beyond `size` as 0 and fills none of them; what it does not know itself must be 0
 *   (else -E2BIG), and is 0 when it fills. -EINVAL: `size` is below CLO_..._SIZE_VER0, the size
 *   that the struct had at first. Fields called reserved are 0. In a struct that the library gives
 *   out `size` says how much of it the library knows.
 * - Everything may be called from any thread unless noted, but not from inside a callback of the
 *   engine (DMA listeners, prepare hook), except what says so. No handle may be used after it was
 *   destroyed.
 * - After fork() a parent goes on as before. In the child every call with a handle that the parent
 *   made is -EIO and changes nothing, as KVM answers another process; calls that return nothing,
 *   clo_vm_destroy() and clo_host_destroy() do nothing. Calls that return no errno (sizes, flags,
 *   capabilities, the view level, a vCPU's last exit) say what they said before fork(). Guest
 * memory and its descriptors are not inherited. What the child creates itself works. fork() waits
 * for a grace period of RCU, which is short. A child made by vfork(), posix_spawn() or clone()
 * without fork handlers may only exec or exit. A program that gives liburcu-bp's fork handlers to
 * pthread_atfork() itself must not: the library does, and twice is a dead-lock.
 * - pthread_cancel() does not end a thread inside a call, nor inside a callback: it takes effect at
 *   the thread's next cancellation point. (Not so with PTHREAD_CANCEL_ASYNCHRONOUS.)
 * - Nothing installs signal handlers or prints. errno itself tells nothing.
 * - "As KVM" means Linux's virt/kvm and Documentation/virt/kvm/api.rst. "Mail N" is a design mail:
 *   0 two address spaces, 1 secure page tables, 2 shared pages and migration, 3 private fault
 *   exits, 4 folio preparation and zeroing.
 */
#ifndef CLOISTER_CLOISTER_H
#define CLOISTER_CLOISTER_H

#include <cloister/capability.h>
#include <cloister/convert.h>
#include <cloister/error.h>
#include <cloister/gmem.h>
#include <cloister/hooks.h>
#include <cloister/host.h>
#include <cloister/memslot.h>
#include <cloister/types.h>
#include <cloister/vcpu.h>
#include <cloister/vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of the library, not of the headers. */
CLO_API const char *clo_version(void);

#ifdef __cplusplus
}
#endif

#endif
