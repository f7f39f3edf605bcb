/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu/vcpu.h - the soft vCPU: guest loads, stores, hypercalls and pre-faults through TLB and
 * stage-2. All functions are public (cloister/vcpu.h): clo_vcpu_create, clo_vcpu_access,
 * clo_vcpu_exit, clo_vcpu_map_gpa_range, clo_vcpu_complete_hypercall, clo_vcpu_pre_fault.
 *
 * An access happens in guest mode (clo_tlb_enter .. exit), one page at a time, so a shoot-down
 * waits for at most one page's copy. Which table is asked: where the access carries private/shared,
 * the one of that kind; else both, of which one has the page at most. Locks: none in an access;
 * clo_vcpu_create takes the VM's.
 */
#ifndef CLO_VCPU_VCPU_H
#define CLO_VCPU_VCPU_H

#include "base/base.h"
#include "cloister/cloister.h"
#include "fault/fault.h"
#include "vm/vm.h"

#endif
