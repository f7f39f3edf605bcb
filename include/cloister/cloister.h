/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cloister.h - private guest memory of a hypervisor, in userspace. The whole public C API.
 *
 * Objects: a host (simulated machine memory) has VMs; a VM has guest_memfds, memslots and vCPUs.
 * Names, numbers, check order and errno follow KVM (include/uapi/linux/kvm.h,
 * virt/kvm/guest_memfd.c) where KVM has the thing; what is Cloister's own says so.
 *
 * Conventions. Functions return 0 or -errno, and a failed call has changed nothing unless its
 * comment says otherwise. Addresses and sizes are bytes. Structs that may grow start with `size`,
 * set by the caller to sizeof(the struct); fields beyond it count as 0. Everything may be called
 * from any thread unless noted; nothing installs signal handlers. No handle may be used after it
 * was destroyed.
 */
#ifndef CLOISTER_CLOISTER_H
#define CLOISTER_CLOISTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef CLO_API
#define CLO_API __attribute__((visibility("default")))
#endif
#define CLO_CHECKED __attribute__((warn_unused_result))

struct clo_host;
struct clo_vm;
struct clo_vcpu;
struct clo_gmem;

/* ---- Host ---- */

/* How host mappings of guest_memfd are protected, best first; see docs/design/host-view.md and
 * `cloister doctor`. */
#define CLO_HOST_VIEW_AUTO 0 /* best that this machine permits */
#define CLO_HOST_VIEW_UFFD 1 /* userfaultfd: poisoned pages, no VMA per page */
#define CLO_HOST_VIEW_REMAP                                                                        \
	2 /* no userfaultfd: private ranges are mapped beyond the end of an empty file */
#define CLO_HOST_VIEW_SOFT 3 /* no mappings: clo_gmem_host_access() only */

struct clo_host_config {
	uint32_t size;      /* sizeof(struct clo_host_config) */
	uint32_t view;      /* CLO_HOST_VIEW_* */
	uint64_t mem_bytes; /* memory limit of the simulated host, multiple of 4096; 0 = 64 GiB.
			       Memory is used when touched */
	uint32_t hugetlb;   /* 1: back guest memory by 2M pages of the real host (needs free huge
			       pages) */
	uint32_t reserved;  /* 0 */
};

/*
 * Create a simulated host. cfg may be NULL: all defaults.
 * -EINVAL: size 0, unknown view, mem_bytes not a multiple of 4096, reserved not 0. -ENOMEM: no
 * memory or no huge pages. -EPERM: the view asked for is not permitted on this machine (AUTO never
 * gives this).
 */
CLO_API int clo_host_create(const struct clo_host_config *cfg, struct clo_host **out) CLO_CHECKED;
/* -EBUSY: VMs are left; nothing has changed. NULL is 0. */
CLO_API int clo_host_destroy(struct clo_host *host);
/* The view level in force: CLO_HOST_VIEW_UFFD, _REMAP or _SOFT. */
CLO_API uint32_t clo_host_view(const struct clo_host *host);

struct clo_host_stats {
	uint64_t frames_limit; /* pages of 4096 bytes, all fields */
	uint64_t frames_used;
	uint64_t frames_leaked; /* pinned when their file went away: never reused (I5, I6) */
};
CLO_API void clo_host_stats(const struct clo_host *host, struct clo_host_stats *out);

/* ---- VM ---- */

/* KVM_X86_*_VM (facts: include/uapi/asm/kvm.h). Others are -EINVAL until their trust model is
 * built. */
#define CLO_VM_DEFAULT      0
#define CLO_VM_SW_PROTECTED 1

/* Which object owns the private attribute. A loaded KVM has only one of the two; here each VM
 * chooses. */
#define CLO_ATTR_OWNER_VM                                                                          \
	0 /* KVM_SET_MEMORY_ATTRIBUTES: two backings, the VMM frees the other side */
#define CLO_ATTR_OWNER_GMEM                                                                        \
	1 /* KVM_SET_MEMORY_ATTRIBUTES2 on the guest_memfd: in place, error_offset */

/* The guest's accesses carry private/shared, as on TDX (shared bit of the gpa) and SNP (C-bit).
 * Without it, SW_PROTECTED takes the kind from the attribute, as KVM does: then there are no
 * implicit conversions (mail 3). Cloister's own. */
#define CLO_VM_TYPED_ACCESS (1U << 0)
/* MAP_GPA_RANGE is done by the engine (clo_vm_convert) instead of an exit to the VMM. Cloister's
 * own. */
#define CLO_VM_CONVERT_ON_HYPERCALL (1U << 1)

struct clo_vm_config {
	uint32_t size;
	uint32_t type;       /* CLO_VM_* */
	uint32_t attr_owner; /* CLO_ATTR_OWNER_* */
	uint32_t flags;
	uint32_t exit_hypercall; /* 1: KVM_HC_MAP_GPA_RANGE is enabled (KVM_CAP_EXIT_HYPERCALL) */
	uint32_t max_level;      /* largest stage-2 leaf: 0 = no limit, 1 = 4K, 2 = 2M, 3 = 1G
				    (PG_LEVEL_*) */
};

/* -EINVAL: size 0, type, owner, flag or level unknown; TYPED_ACCESS on a type without private
 * memory. -ENOMEM. -EMFILE: 65535 VMs. */
CLO_API int clo_vm_create(struct clo_host *host, const struct clo_vm_config *cfg,
			  struct clo_vm **out) CLO_CHECKED;

struct clo_leak {
	uint64_t gpa; /* bytes; of the first page */
	uint64_t npages;
	const char *what; /* "backed twice", "pinned", "frame lost" */
	char holder[32];  /* who holds the pin, or "" */
};
struct clo_leak_report {
	uint64_t backed_twice; /* pages private in a guest_memfd and resident in the VMM's memory
				  too */
	uint64_t pins_left;
	uint64_t frames_lost;
	uint64_t undo_failures; /* a DMA listener refused to take back a mapping while a conversion
				   was undone */
	uint32_t leak_count;    /* entries valid in leaks; the rest is only counted */
	struct clo_leak leaks[16];
};
/* Look at a live VM; the counts are a snapshot, not atomic against running vCPUs. Looks at
 * residency by mincore(2). */
CLO_API void clo_vm_report(struct clo_vm *vm, struct clo_leak_report *out);
/*
 * Destroy: no vCPU of it may be running. Closes its guest_memfds that are still open. report (may
 * be NULL) is filled just before. Pinned frames are not reused: they count as leaked until the host
 * goes.
 */
CLO_API void clo_vm_destroy(struct clo_vm *vm, struct clo_leak_report *report);

struct clo_vm_stats {
	uint64_t faults, faults_fixed, faults_retried, fault_exits;
	uint64_t conversions, converted_pages, conversions_failed;
	uint64_t moved_leaves; /* conversions that needed no zap (mail 4) */
	uint64_t zaps[16];     /* leaves removed, by reason; names: clo_zap_reason_text() */
	uint64_t shootdowns, ipis;
	uint64_t table_pages;
};
CLO_API void clo_vm_stats(struct clo_vm *vm, struct clo_vm_stats *out);
/* Name of zaps[i] ("split/merge", ...), or NULL beyond the last. */
CLO_API const char *clo_zap_reason_text(unsigned i);

/* ---- guest_memfd ---- */

#define CLO_GMEM_MMAP        (1ULL << 0) /* GUEST_MEMFD_FLAG_MMAP */
#define CLO_GMEM_INIT_SHARED (1ULL << 1) /* GUEST_MEMFD_FLAG_INIT_SHARED */
#define CLO_GMEM_HUGETLB     (1ULL << 2) /* huge-page prototype: page_order 9 or 18 */
/* Cloister's own, in a range KVM does not use. */
#define CLO_GMEM_ZERO_ON_CONVERT                                                                   \
	(1ULL << 32) /* content policy: zero at each conversion (mail 4); else preserved */
#define CLO_GMEM_NO_DIRECT_MAP                                                                     \
	(1ULL << 33) /* private pages leave the host's direct map (mail 4, reason 4) */

/*
 * KVM_CREATE_GUEST_MEMFD. bytes: multiple of 4096, > 0 as a signed number; no upper limit.
 * page_order: 0, or 9 / 18 with HUGETLB. -EINVAL: bytes; a flag that this VM does not support
 * (INIT_SHARED: only without private memory or with CLO_ATTR_OWNER_GMEM; ZERO_ON_CONVERT:
 * SW_PROTECTED only); HUGETLB|INIT_SHARED; page_order without HUGETLB. -ENOMEM.
 */
CLO_API int clo_gmem_create_for(struct clo_vm *vm, uint64_t bytes, uint64_t flags,
				uint32_t page_order, struct clo_gmem **out) CLO_CHECKED;
/* close(2): zaps all that guests map of it, frees its memory; bound slots stay and later faults
 * exit with EFAULT. */
CLO_API void clo_gmem_close(struct clo_gmem *gmem);

#define CLO_FALLOC_KEEP_SIZE  1
#define CLO_FALLOC_PUNCH_HOLE 2
/*
 * fallocate(2). -EOPNOTSUPP: mode other than KEEP_SIZE or KEEP_SIZE|PUNCH_HOLE. -EINVAL: off or len
 * negative, 0, unaligned (to the huge page with HUGETLB); allocation beyond the size. -EFBIG: off +
 * len is past the largest offset. -ENOMEM: allocation keeps what it did before (as KVM). -EAGAIN:
 * HUGETLB hole over a pinned page. Punching beyond the size is 0. Attributes do not change.
 */
CLO_API int clo_gmem_fallocate(struct clo_gmem *gmem, int mode, int64_t off,
			       int64_t len) CLO_CHECKED;
/*
 * mmap(2) of [off, off+len). -ENODEV: no MMAP flag. -EINVAL: not shared (MAP_PRIVATE), unaligned,
 * empty, beyond the size. -EOPNOTSUPP: host view level SOFT. -ENOMEM. In the mapping a private page
 * is SIGBUS on load or store and EFAULT in a system call.
 */
CLO_API int clo_gmem_mmap(struct clo_gmem *gmem, uint64_t off, uint64_t len, bool shared,
			  void **addr) CLO_CHECKED;
/* -EINVAL: not a mapping that clo_gmem_mmap gave. */
CLO_API int clo_gmem_munmap(struct clo_gmem *gmem, void *addr, uint64_t len) CLO_CHECKED;
/* A host access that gives an errno instead of a signal, decided by the same MMU state. -EFAULT:
 * private, or beyond the size. -ENODEV: no MMAP flag. */
CLO_API int clo_gmem_host_access(struct clo_gmem *gmem, uint64_t off, void *buf, size_t bytes,
				 bool write) CLO_CHECKED;

/* Pins: a DMA user's hold on shared pages. holder: a name for reports, must stay valid while
 * pinned. */
struct clo_gmem_pin;
/* -EINVAL: bounds or alignment. -EFAULT: a private page at *err_off (bytes, may be NULL). -ENOMEM.
 * Waits for a conversion in progress. */
CLO_API int clo_vm_pin(struct clo_gmem *gmem, uint64_t off, uint64_t len, const char *holder,
		       struct clo_gmem_pin **out, uint64_t *err_off) CLO_CHECKED;
CLO_API void clo_gmem_unpin(struct clo_gmem_pin *pin);

/* ---- memslots ---- */

#define CLO_MEM_LOG_DIRTY   (1U << 0)
#define CLO_MEM_READONLY    (1U << 1)
#define CLO_MEM_GUEST_MEMFD (1U << 2)

/* kvm_userspace_memory_region2, with the file as a handle. */
struct clo_region {
	uint32_t slot; /* 31:16 address space, 15:0 id */
	uint32_t flags;
	uint64_t guest_phys_addr;
	uint64_t memory_size; /* 0 deletes */
	uint64_t userspace_addr;
	uint64_t guest_memfd_offset;
	struct clo_gmem *gmem; /* with CLO_MEM_GUEST_MEMFD */
};
/*
 * KVM_SET_USER_MEMORY_REGION2, checks in KVM's order.
 * -EINVAL: flags; GUEST_MEMFD with LOG_DIRTY or READONLY; alignment, wrap, bounds, slot id; delete
 * of an absent slot; a change of size, hva or READONLY; any change of a guest_memfd slot; a file of
 * another VM; offset beyond the file; gpa beyond 48 bits. -EEXIST: gfn overlap, or file range
 * already bound. -EBADF: no file. -ENOMEM. Delete and move are complete (no vCPU can use the old
 * slot) when the call returns.
 */
CLO_API int clo_vm_set_region(struct clo_vm *vm, const struct clo_region *region) CLO_CHECKED;
/*
 * Mail 0: give a slot a bitmap of mapped shared pages (all mapped at first) and mark a part as hole
 * or mapped. A hole of the shared side is not looked through to the VMM's memory: the access exits
 * as MMIO. Conversions keep it: to private makes holes, to shared fills them. -ENOENT: no such
 * slot. -EINVAL: alignment, range not inside the slot. -ENOMEM.
 */
CLO_API int clo_vm_set_holes(struct clo_vm *vm, uint32_t slot, uint64_t gpa, uint64_t bytes,
			     bool mapped) CLO_CHECKED;

/* ---- attributes and conversion ---- */

#define CLO_ATTR_PRIVATE (1ULL << 3) /* KVM_MEMORY_ATTRIBUTE_PRIVATE */

/*
 * KVM_SET_MEMORY_ATTRIBUTES (CLO_ATTR_OWNER_VM). Frees nothing, as KVM. -ENOTTY: the VM's owner is
 * the guest_memfd. -EINVAL: attributes other than PRIVATE, or PRIVATE without private memory; bytes
 * 0, unaligned, wraps. -ENOMEM.
 */
CLO_API int clo_vm_set_attributes(struct clo_vm *vm, uint64_t gpa, uint64_t bytes,
				  uint64_t attributes) CLO_CHECKED;
/*
 * KVM_SET_MEMORY_ATTRIBUTES2 on the guest_memfd (CLO_ATTR_OWNER_GMEM): in place, all or nothing.
 * -ENOTTY: owner is the VM. -EINVAL: attributes other than PRIVATE; no private memory; bytes 0,
 * unaligned, beyond the file. -EAGAIN: to private, a pinned page at *error_offset. -ENOMEM.
 */
CLO_API int clo_gmem_set_attributes(struct clo_gmem *gmem, uint64_t off, uint64_t bytes,
				    uint64_t attributes, uint64_t *error_offset) CLO_CHECKED;
/* What KVM lacks: read back. *bytes_same: length of the run of one kind from gpa on, within bytes.
 * -EINVAL: alignment, wrap. */
CLO_API int clo_vm_get_attributes(struct clo_vm *vm, uint64_t gpa, uint64_t bytes,
				  uint64_t *attributes, uint64_t *bytes_same) CLO_CHECKED;

/* clo_convert.flags */
#define CLO_CONVERT_TO_PRIVATE (1U << 0)
#define CLO_CONVERT_DRY_RUN    (1U << 1) /* all checks, no change */

struct clo_convert {
	uint32_t size;
	uint32_t flags;
	uint64_t gpa;
	uint64_t bytes;
	uint64_t wait_ns;      /* in: wait at most so long for pins to go away; 0 = do not wait */
	uint64_t error_gpa;    /* out on failure: first page that could not be converted */
	uint64_t error_offset; /* out on failure: its offset in the guest_memfd, if it has one */
	char holder[32]; /* out on -EAGAIN: who holds the pin; on a listener's refusal: the listener
			  */
};
/*
 * The engine's own conversion, both attribute owners: any range, over several slots and huge pages,
 * all or nothing. Frees the other backing (CLO_ATTR_OWNER_VM). DMA listeners are told to unmap
 * before to-private and to map after to-shared; when one refuses, everything is put back. -EINVAL:
 * size, flags, alignment, wrap, no private memory. -ENOENT: to private and some page has no
 * guest_memfd memslot. -EAGAIN: pinned (holder). -ENOMEM. What a listener or the prepare hook
 * returned. On failure nothing has changed (stage-2 leaves may have to be faulted in again).
 * -EINVAL also where memslots show two parts of one huge page that do not touch: one at a time.
 */
CLO_API int clo_vm_convert(struct clo_vm *vm, struct clo_convert *c) CLO_CHECKED;

struct clo_dma_range {
	uint64_t gpa, bytes;
	struct clo_gmem *gmem; /* NULL: the VMM's own memory at hva */
	uint64_t gmem_offset;
	uint64_t hva;
};
/*
 * A DMA user (VFIO container, vhost, ...). Callbacks run in the converting thread, inside the
 * conversion: they must not convert, punch or change slots, and must not touch the pages. map may
 * pin with clo_dma_pin (never clo_vm_pin: that would wait for the conversion itself).
 */
struct clo_dma_listener {
	const char *name;
	int (*map)(void *arg, const struct clo_dma_range *r);   /* 0 or -errno = refused */
	int (*unmap)(void *arg, const struct clo_dma_range *r); /* 0 or -errno = refused */
	void *arg;
};
/* The listener is remembered by address; it must stay valid until removed. Existing shared ranges
 * are not replayed. -ENOMEM; -EEXIST: already there. */
CLO_API int clo_dma_listener_add(struct clo_vm *vm, const struct clo_dma_listener *l) CLO_CHECKED;
/* -ENOENT. */
CLO_API int clo_dma_listener_remove(struct clo_vm *vm,
				    const struct clo_dma_listener *l) CLO_CHECKED;
/* Pin from inside a map callback. Errors as clo_vm_pin. */
CLO_API int clo_dma_pin(struct clo_gmem *gmem, uint64_t off, uint64_t len, const char *holder,
			struct clo_gmem_pin **out, uint64_t *err_off) CLO_CHECKED;

/* ---- vCPU (soft) ---- */

enum clo_exit_reason {
	CLO_EXIT_NONE,
	CLO_EXIT_HYPERCALL = 3,    /* KVM_EXIT_HYPERCALL */
	CLO_EXIT_MMIO = 6,         /* KVM_EXIT_MMIO */
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
	CLO_CAUSE_BAD_HVA, /* userspace_addr of the page is not mapped, or not with the rights of
			      the memslot */
	CLO_CAUSE_COUNT
};
CLO_API const char *clo_fault_cause_text(enum clo_fault_cause c);

struct clo_exit {
	enum clo_exit_reason reason;
	enum clo_fault_cause cause;
	int error; /* -errno that clo_vcpu_access returns with it */
	struct {
		uint64_t flags, gpa, size;
	} memory_fault; /* one page, as KVM */
	struct {
		uint64_t gpa;
		uint32_t len;
		bool is_write;
	} mmio;
	struct {
		uint64_t nr, args[6];
		uint64_t ret; /* the VMM writes it before it resumes */
	} hypercall;
};

/* -EEXIST: id in use. -EINVAL: id >= 1024. -ENOMEM. The vCPU lives until its VM is destroyed. */
CLO_API int clo_vcpu_create(struct clo_vm *vm, uint32_t id, struct clo_vcpu **out) CLO_CHECKED;

#define CLO_ACCESS_WRITE   (1U << 0)
#define CLO_ACCESS_PRIVATE (1U << 1) /* used with CLO_VM_TYPED_ACCESS only */
/*
 * Guest load or store of bytes at gpa through the vCPU's TLB and the stage-2 tables, page by page;
 * faults are served as KVM_RUN would. One thread at a time per vCPU. 0: done. 1: exit to the VMM
 * with no error (MMIO). -EFAULT: MEMORY_FAULT. -ENOMEM, -EHWPOISON, or what prepare returned:
 * MEMORY_FAULT filled in too; -EEXIST with cause DOUBLE_MAP. -EINVAL: unknown flag, no exit. Pages
 * before the failing one have been accessed, as on hardware; exit says where. Unlike KVM: mmio is
 * the rest of the access in its page, not pieces of 8 bytes; a memory error in the VMM's own memory
 * is an exit, not a signal; and memory behind a memslot without READONLY must be writable for loads
 * too (BAD_HVA).
 */
CLO_API int clo_vcpu_access(struct clo_vcpu *vcpu, uint64_t gpa, void *buf, size_t bytes,
			    uint32_t flags) CLO_CHECKED;
CLO_API const struct clo_exit *clo_vcpu_exit(const struct clo_vcpu *vcpu);

#define CLO_HC_MAP_GPA_RANGE  12
#define CLO_MAP_GPA_ENCRYPTED (1ULL << 4)
/*
 * KVM_HC_MAP_GPA_RANGE from the guest. Returns what the guest sees in RAX: 0, -1000 (KVM_ENOSYS:
 * not enabled), -22 (KVM_EINVAL: gpa unaligned, npages 0, wraps); or 1: exit HYPERCALL to the VMM,
 * which converts, writes the result and calls clo_vcpu_complete_hypercall(). attrs is passed on
 * unchecked, as KVM does; with CLO_VM_CONVERT_ON_HYPERCALL the engine converts and reserved bits in
 * attrs are -22, pins -EAGAIN. Unlike KVM an npages of 2^52 and more, whose bytes wrap, is -22 too.
 */
CLO_API int64_t clo_vcpu_map_gpa_range(struct clo_vcpu *vcpu, uint64_t gpa, uint64_t npages,
				       uint64_t attrs) CLO_CHECKED;
/* Returns the value for RAX: ret; -22 when no hypercall waits for it. */
CLO_API int64_t clo_vcpu_complete_hypercall(struct clo_vcpu *vcpu, uint64_t ret);

/*
 * KVM_PRE_FAULT_MEMORY: *gpa and *bytes move on by what was done. 0 if at least one page was
 * mapped. -EINVAL: unaligned, 0, wraps. -ENOENT: no memslot (private: -EFAULT, as in KVM), or a
 * hole. -EFAULT, -EHWPOISON, -ENOMEM: as a fault. -EAGAIN: the slot is being deleted or moved.
 */
CLO_API int clo_vcpu_pre_fault(struct clo_vcpu *vcpu, uint64_t *gpa, uint64_t *bytes) CLO_CHECKED;

/*
 * Mail 4's hooks, for a trust model that is not built in and for failure injection. prepare: called
 * before a folio is given to the guest as private, under the folio lock; must be idempotent; a
 * nonzero -errno makes the fault exit with cause PREPARE. inaccessible: called when an existing
 * page stops being accessible to the host by an in-place conversion; bookkeeping only. Both may be
 * NULL. Set them before the first guest_memfd is created.
 */
CLO_API void clo_vm_set_prepare(struct clo_vm *vm,
				int (*prepare)(void *arg, uint64_t gpa, uint64_t npages),
				void (*inaccessible)(void *arg, uint64_t gpa, uint64_t npages),
				void *arg);

CLO_API const char *clo_version(void);

#ifdef __cplusplus
}
#endif

#endif
