/* SPDX-License-Identifier: Apache-2.0 */
/* cloister/vcpu.h - vCPUs in software: accesses, exits, hypercalls. */
#ifndef CLOISTER_VCPU_H
#define CLOISTER_VCPU_H

#include <cloister/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum clo_exit_reason {
	CLO_EXIT_NONE,
	CLO_EXIT_HYPERCALL = 3,    /* KVM_EXIT_HYPERCALL */
	CLO_EXIT_MMIO = 6,         /* KVM_EXIT_MMIO */
	CLO_EXIT_INTR = 10,        /* KVM_EXIT_INTR: clo_vcpu_kick() */
	CLO_EXIT_MEMORY_FAULT = 39 /* KVM_EXIT_MEMORY_FAULT */
};
#define CLO_MEMORY_EXIT_FLAG_PRIVATE (1ULL << 3)

/* Why a fault could not be served (what KVM's exit lacks). */
enum clo_fault_cause {
	CLO_CAUSE_NONE,
	CLO_CAUSE_MISMATCH, /* access kind != attribute: convert, or tell the guest (mail 3) */
	CLO_CAUSE_NO_SLOT,
	CLO_CAUSE_NO_GMEM,   /* private access, slot without guest_memfd */
	CLO_CAUSE_GMEM_GONE, /* guest_memfd closed, or beyond its end */
	CLO_CAUSE_NO_MEMORY,
	CLO_CAUSE_POISON,
	CLO_CAUSE_PREPARE,    /* the trust model's prepare step failed */
	CLO_CAUSE_DOUBLE_MAP, /* the frame is mapped elsewhere (I1): refused */
	CLO_CAUSE_READONLY,
	CLO_CAUSE_HOLE,
	CLO_CAUSE_BAD_HVA, /* userspace_addr of the page: not mapped, or lacks rights */
	CLO_CAUSE_COUNT
};
/* In words; "?" for what is no cause. */
CLO_API const char *clo_fault_cause_text(uint32_t cause);

struct clo_exit {
	uint32_t size;   /* of this struct, as the library knows it */
	uint32_t reason; /* enum clo_exit_reason */
	uint32_t cause;  /* enum clo_fault_cause */
	int32_t error;   /* -errno that clo_vcpu_access returns with it */
	struct {
		uint64_t flags, gpa, size;
	} memory_fault; /* one page, as KVM */
	struct {
		uint64_t gpa;
		uint32_t len;
		uint32_t is_write; /* 0 or 1 */
	} mmio;
	struct {
		uint64_t nr, args[6];
		uint64_t ret; /* what clo_vcpu_complete_hypercall() was given */
	} hypercall;
};

/*
 * KVM_CREATE_VCPU. The vCPU lives until its VM is destroyed, and is for one thread at a time.
 * -EINVAL: id >= 1024. -EEXIST: id in use. -ENOMEM.
 */
CLO_API int clo_vcpu_create(struct clo_vm *vm, uint32_t id, struct clo_vcpu **out) CLO_CHECKED;

#define CLO_ACCESS_WRITE   (1U << 0)
#define CLO_ACCESS_PRIVATE (1U << 1) /* used with CLO_VM_TYPED_ACCESS only */
/*
 * Guest load or store (flags: CLO_ACCESS_WRITE) of bytes at gpa, from or to buf, through the
 * vCPU's TLB and the stage-2 tables, page by page; faults are served as KVM_RUN would. Waits
 * while a page is in transition. Pages before a failing one have been accessed, as on hardware;
 * clo_vcpu_exit() says where and why.
 * buf is touched with nothing held, and may be any memory, a host mapping of a guest_memfd too: a
 * bad one gives the caller the signal of a plain access. Its handler may leave by siglongjmp();
 * pages before it are done, a store has not touched its own, and the vCPU can be used again.
 * 0: done. 1: exit to the VMM with no error (MMIO). Exits of kind MEMORY_FAULT: -EFAULT; -ENOMEM;
 * -EHWPOISON; -EEXIST (cause DOUBLE_MAP); or what prepare returned. -EINVAL: unknown flag, no
 * exit. -EINTR: clo_vcpu_kick(), exit INTR. Unlike KVM: mmio is the rest of the access in its page,
 * not pieces of 8 bytes; a memory error in the VMM's own memory is an exit, not a signal; and
 * memory behind a memslot without READONLY must be writable for loads too (BAD_HVA).
 *
 * The VMM's own memory behind a shared page may block (a userfaultfd): this call waits then, and
 * who takes that very page from the guest; nobody else. Each such access is a system call, and not
 * atomic for others even where it is aligned.
 */
CLO_API int clo_vcpu_access(struct clo_vcpu *vcpu, uint64_t gpa, void *buf, size_t bytes,
			    uint32_t flags) CLO_CHECKED;
/* Of the last access or hypercall, or pre-fault that was kicked; NONE when served. Valid until
 * the next. */
CLO_API const struct clo_exit *clo_vcpu_exit(const struct clo_vcpu *vcpu);

#define CLO_HC_MAP_GPA_RANGE  12
#define CLO_MAP_GPA_ENCRYPTED (1ULL << 4)
/*
 * KVM_HC_MAP_GPA_RANGE from the guest. Returns what the guest sees in RAX: 0, -1000 (KVM_ENOSYS:
 * not enabled), -22 (KVM_EINVAL: gpa unaligned, npages 0, wraps); or 1: exit HYPERCALL to the
 * VMM, which converts, and calls clo_vcpu_complete_hypercall() with the result. attrs is passed
 * on unchecked, as KVM does. With CLO_VM_CONVERT_ON_HYPERCALL the engine converts: reserved bits
 * in attrs are -22, else the guest sees what clo_vm_convert() gave. -EINTR, exit INTR: kicked
 * before anything was done; not for the guest, which has not called yet. Unlike KVM an npages of
 * 2^52 and more, whose bytes wrap, is -22 too.
 */
CLO_API int64_t clo_vcpu_map_gpa_range(struct clo_vcpu *vcpu, uint64_t gpa, uint64_t npages,
				       uint64_t attrs) CLO_CHECKED;
/* The VMM resumes the vCPU: returns the value for RAX, ret; -22 when no hypercall waits for it. */
CLO_API int64_t clo_vcpu_complete_hypercall(struct clo_vcpu *vcpu, uint64_t ret);

/*
 * KVM_PRE_FAULT_MEMORY of [*gpa, *gpa + *bytes), each page as its attribute says; both move on by
 * what was done. 0 if at least one page was mapped.
 * -EINVAL: unaligned, empty, wraps. -ENOENT: no memslot (private: -EFAULT, as in KVM), or a hole.
 * -EINTR: clo_vcpu_kick(), exit INTR. -EAGAIN: the memslot is being deleted or moved. -EFAULT,
 * -EHWPOISON, -ENOMEM, others: as a fault.
 */
CLO_API int clo_vcpu_pre_fault(struct clo_vcpu *vcpu, uint64_t *gpa, uint64_t *bytes) CLO_CHECKED;

/*
 * As kvm_run.immediate_exit and a signal: the call above that the vCPU is in, or else its next one,
 * returns -EINTR with exit INTR at the next page, or out of a wait for a change in progress. Pages
 * before are done; the call may be made again for the rest. A pre-fault that has mapped a page
 * returns 0, and the next call -EINTR. Kicks before that -EINTR count as one; an access that ends
 * otherwise, with its last page or an exit, leaves the kick to the next call. No end of: a
 * conversion that a hypercall has begun, a prepare hook, a wait for the VMM's own memory.
 * From any thread, callback or signal handler: takes no lock and waits for nobody.
 */
CLO_API void clo_vcpu_kick(struct clo_vcpu *vcpu);

#ifdef __cplusplus
}
#endif

#endif
