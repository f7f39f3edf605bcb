/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault/fault.h - one guest fault: private or shared, mismatch => exit, folio, prepare, map, retry
 * on the invalidation sequence.
 *
 * No global lock. The order is the proof (I5): snapshot of the sequence; slot, attribute, folio;
 * freeze the entry; sequence again; publish. What may block (a folio to be made, a hook, memory of
 * the VMM) is in the middle, outside of read sections and with nothing frozen.
 */
#ifndef CLO_FAULT_FAULT_H
#define CLO_FAULT_FAULT_H

#include "base/base.h"
#include "cloister/cloister.h"
#include "vm/vm.h"

struct clo_fault {
	struct clo_tlb *tlb; /* of the vCPU: where uses of the VMM's memory are announced */
	struct clo_gfn gfn;
	bool is_write;
	bool is_private;  /* what the access is, decided before the fault (clo_fault_classify) */
	bool is_prefault; /* KVM_PRE_FAULT_MEMORY: a slot in transition is -EAGAIN */
	struct clo_waiter *waiter; /* calls off a wait for a folio; NULL: RETRY at once */
	/* out */
	enum clo_level level; /* size mapped, when fixed */
	enum clo_fault_cause cause;
	int error; /* -errno with END_EXIT */
};

enum clo_fault_end {
	CLO_FAULT_FIXED, /* mapped, or was already: access again */
	CLO_FAULT_RETRY, /* clo_vcpu_wait() and fault again */
	CLO_FAULT_MMIO,  /* exit without an error */
	CLO_FAULT_EXIT,  /* exit MEMORY_FAULT with f->error */
};

/* The kind of an access by the VM's trust model: the first of two reads of the attribute. */
bool clo_fault_classify(struct clo_vm *vm, struct clo_gfn gfn, bool asked_private);

/*
 * Serve @f. Takes RCU, and the folio lock (by trylock) while it zeroes; waits for no lock, but,
 * with
 * @f->waiter and nothing held, for a folio that was locked. Blocks, with a touch announced and
 * nothing else held, where the VMM's own memory has to be made present. The order of its steps is
 * KVM's: docs/design/faults.md.
 */
enum clo_fault_end clo_fault_handle(struct clo_vm *vm, struct clo_fault *f);

/*
 * Copy @bytes of one page between @buf, the engine's, and the VMM's memory at @hva, without a
 * signal: a touch is announced, and a handler that does not come back would leave it for ever. It
 * may block. -EFAULT: not mapped, or not with these rights. -EHWPOISON.
 */
int clo_fault_user_copy(struct clo_hva hva, void *buf, size_t bytes, bool write) CLO_MUST_USE;
/* The cause of an exit for such an error. */
enum clo_fault_cause clo_fault_user_cause(int error);

#endif
