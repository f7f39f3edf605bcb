/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu/vcpu.h - the soft vCPU: guest loads, stores, hypercalls and pre-faults through TLB and
 * stage-2. All functions are public (cloister/vcpu.h): clo_vcpu_create, clo_vcpu_access,
 * clo_vcpu_exit, clo_vcpu_map_gpa_range, clo_vcpu_complete_hypercall, clo_vcpu_pre_fault,
 * clo_vcpu_kick.
 *
 * An access happens in guest mode (clo_tlb_enter .. exit), one page at a time, so a shoot-down
 * waits for at most one page's copy; the VMM's own memory is touched after it (clo_touch_begin).
 * Which table is asked: where the access carries private/shared, the one of that kind; else both,
 * of which one has the page at most. Locks: none in an access; clo_vcpu_create takes the VM's.
 */
#ifndef CLO_VCPU_VCPU_H
#define CLO_VCPU_VCPU_H

#include "base/base.h"
#include "cloister/cloister.h"
#include "fault/fault.h"
#include "vm/vm.h"

/*
 * A fault on @gfn said RETRY: wait until another look is worth it. Asleep where a change is in
 * progress, which lasts as long as a listener likes, until it is over or the vCPU is kicked.
 */
void clo_vcpu_wait(struct clo_vcpu *vcpu, struct clo_gfn gfn);

/* True, once for all kicks so far: leave with -EINTR; the exit says so. */
bool clo_vcpu_take_kick(struct clo_vcpu *vcpu);

#endif
