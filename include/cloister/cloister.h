/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cloister.h - private guest memory of a hypervisor, in userspace. The whole public C API.
 *
 * Objects: a host (simulated machine memory) has VMs; a VM has guest_memfds, memslots and vCPUs.
 * Names, numbers, check order and errno follow KVM (include/uapi/linux/kvm.h,
 * virt/kvm/guest_memfd.c) where KVM has the thing; what is Cloister's own says so.
 *
 * Conventions:
 *
 * - Functions return 0 or -errno, and a failed call has changed nothing, results included, unless
 *   its comment says otherwise. Any call that allocates can give -ENOMEM.
 * - Addresses, offsets and sizes are bytes, times are ns. Pages are 4096 bytes.
 * - Structs that may grow start with `size`, set by the caller to sizeof(the struct); fields
 *   beyond it count as 0.
 * - Everything may be called from any thread unless noted, but not from inside a callback of the
 *   engine (DMA listeners, prepare hook), except what says so. No handle may be used after it was
 *   destroyed.
 * - Nothing installs signal handlers or prints. errno itself tells nothing.
 * - "As KVM" means Linux's virt/kvm and Documentation/virt/kvm/api.rst. "Mail N" is a design mail:
 *   0 two address spaces, 1 secure page tables, 2 shared pages and migration, 3 private fault
 *   exits, 4 folio preparation and zeroing.
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

/*
 * How host mappings of guest_memfd are protected, best first; see docs/design/host-view.md and
 * `cloister doctor`. AUTO: the best that this machine permits. UFFD: userfaultfd, poisoned pages,
 * no VMA per page. REMAP: without userfaultfd; private ranges are mapped beyond the end of an
 * empty file, and shared pages that are mapped take memory at once, touched or not. SOFT: no
 * mappings, clo_gmem_host_access() only.
 */
#define CLO_HOST_VIEW_AUTO  0
#define CLO_HOST_VIEW_UFFD  1
#define CLO_HOST_VIEW_REMAP 2
#define CLO_HOST_VIEW_SOFT  3

struct clo_host_config {
	uint32_t size;      /* sizeof(struct clo_host_config) */
	uint32_t view;      /* CLO_HOST_VIEW_* */
	uint64_t mem_bytes; /* memory limit, multiple of 4096; 0: 64 GiB, or 1/16 of ulimit
			       -v and -f. Used when touched */
	uint32_t hugetlb;   /* 1: 2M pages of the real host behind it (not SOFT); else 0 */
	uint32_t reserved;  /* 0 */
};

/*
 * Create a simulated host in *out. cfg may be NULL: all defaults. At level UFFD it has a thread.
 * -EINVAL: size 0, unknown view, hugetlb not 0 or 1, reserved not 0, mem_bytes not a multiple of
 * 4096 or above 2^50. -ENOMEM: no memory, no address space (ulimit -v and -f should allow 4 times
 * mem_bytes, and some), or no huge pages. -EPERM: the view asked for is not permitted on this
 * machine (AUTO never gives this). Else what memfd_create(2) gave.
 */
CLO_API int clo_host_create(const struct clo_host_config *cfg, struct clo_host **out) CLO_CHECKED;
/* -EBUSY: VMs are left; nothing has changed. Waits for memory that is freed late. NULL is 0. */
CLO_API int clo_host_destroy(struct clo_host *host);
/* The view level in force: CLO_HOST_VIEW_UFFD, _REMAP or _SOFT. */
CLO_API uint32_t clo_host_view(const struct clo_host *host);

struct clo_host_stats {
	uint64_t frames_limit; /* pages of 4096 bytes, all fields */
	uint64_t frames_used;
	uint64_t frames_leaked; /* pinned when their file went away: never reused (I5, I6) */
};
/* As of now, without a lock. */
CLO_API void clo_host_stats(const struct clo_host *host, struct clo_host_stats *out);

/* ---- VM ---- */

/* KVM_X86_*_VM of asm/kvm.h. Others are -EINVAL until their trust model is built. */
#define CLO_VM_DEFAULT      0
#define CLO_VM_SW_PROTECTED 1

/*
 * Which object owns the private attribute. A loaded KVM has only one of the two; here each VM
 * chooses. VM: KVM_SET_MEMORY_ATTRIBUTES, two backings, the VMM frees the other side. GMEM:
 * KVM_SET_MEMORY_ATTRIBUTES2 on the guest_memfd, in place, with error_offset.
 */
#define CLO_ATTR_OWNER_VM   0
#define CLO_ATTR_OWNER_GMEM 1

/*
 * The guest's accesses carry private/shared, as on TDX (shared bit of the gpa) and SNP (C-bit).
 * Without it, SW_PROTECTED takes the kind from the attribute, as KVM does: then there are no
 * implicit conversions (mail 3). Cloister's own.
 */
#define CLO_VM_TYPED_ACCESS (1U << 0)
/*
 * MAP_GPA_RANGE is done by the engine (clo_vm_convert) instead of an exit to the VMM, and enabled.
 * Cloister's own.
 */
#define CLO_VM_CONVERT_ON_HYPERCALL (1U << 1)

struct clo_vm_config {
	uint32_t size;           /* sizeof(struct clo_vm_config) */
	uint32_t type;           /* CLO_VM_* */
	uint32_t attr_owner;     /* CLO_ATTR_OWNER_* */
	uint32_t flags;          /* CLO_VM_TYPED_ACCESS, CLO_VM_CONVERT_ON_HYPERCALL */
	uint32_t exit_hypercall; /* not 0: KVM_HC_MAP_GPA_RANGE is on (KVM_CAP_EXIT_HYPERCALL) */
	uint32_t max_level;      /* largest stage-2 leaf: 0 any, 1 4K, 2 2M, 3 1G (PG_LEVEL_*) */
};

/*
 * KVM_CREATE_VM. -EINVAL: no cfg, size 0, unknown type, owner, flag or level; TYPED_ACCESS on a
 * type without private memory. -ENOMEM. -EMFILE: the host has 65535 VMs.
 */
CLO_API int clo_vm_create(struct clo_host *host, const struct clo_vm_config *cfg,
			  struct clo_vm **out) CLO_CHECKED;

#define CLO_NO_GPA UINT64_MAX
struct clo_leak {
	uint64_t gpa; /* bytes; of the first page. CLO_NO_GPA: no memslot shows the pages */
	uint64_t npages;
	const char *what; /* "backed twice", "pinned", "frame lost" */
	char holder[32];  /* who holds the pin, or "" */
};
struct clo_leak_report {
	uint64_t backed_twice;  /* pages private in a guest_memfd and resident in VMM memory too */
	uint64_t pins_left;     /* pins on pages of files that are open */
	uint64_t frames_lost;   /* pages that were pinned when their file was closed */
	uint64_t undo_failures; /* DMA listeners that refused to undo, over the VM's life */
	uint32_t leak_count;    /* entries valid in leaks; the rest is only counted */
	struct clo_leak leaks[16];
};
/*
 * Look at all memslots and files of a VM (residency by mincore(2), pages that have memory). Memslot
 * changes wait meanwhile; vCPUs do not, so the counts are no atomic snapshot.
 */
CLO_API void clo_vm_report(struct clo_vm *vm, struct clo_leak_report *out);
/*
 * Destroy: no vCPU of it may be running. Closes its guest_memfds that are still open; its vCPUs and
 * listeners are gone. report (may be NULL) is filled just before, as by clo_vm_report(). Pinned
 * frames count as leaked until the host goes; a pin must be given back before that.
 */
CLO_API void clo_vm_destroy(struct clo_vm *vm, struct clo_leak_report *report);

struct clo_vm_stats {
	uint64_t faults, faults_fixed, faults_retried, fault_exits;
	uint64_t conversions, converted_pages, conversions_failed;
	uint64_t moved_leaves; /* leaves of converted pages that needed no zap (mail 4) */
	uint64_t zaps[16];     /* leaves removed, by reason; names: clo_zap_reason_text() */
	uint64_t shootdowns, ipis;
	uint64_t table_pages;
};
/* Counts since creation, and table_pages by a walk of both tables. */
CLO_API void clo_vm_stats(struct clo_vm *vm, struct clo_vm_stats *out);
/* Name of zaps[i] ("split-merge", ...), or NULL beyond the last. */
CLO_API const char *clo_zap_reason_text(unsigned i);

/* ---- guest_memfd ---- */

#define CLO_GMEM_MMAP        (1ULL << 0) /* GUEST_MEMFD_FLAG_MMAP */
#define CLO_GMEM_INIT_SHARED (1ULL << 1) /* GUEST_MEMFD_FLAG_INIT_SHARED */
#define CLO_GMEM_HUGETLB     (1ULL << 2) /* huge-page prototype: page_order 9 or 18 */
/*
 * Cloister's own, in a range KVM does not use. ZERO_ON_CONVERT: content policy, zero at each
 * conversion; else preserved (mail 4). NO_DIRECT_MAP: private pages leave the host's direct map.
 */
#define CLO_GMEM_ZERO_ON_CONVERT (1ULL << 32)
#define CLO_GMEM_NO_DIRECT_MAP   (1ULL << 33)

/*
 * KVM_CREATE_GUEST_MEMFD. bytes: > 0 as a signed number, a multiple of 4096 or of the huge page;
 * no upper limit, memory is used when touched. page_order: 0; with HUGETLB 9 or 18. All pages are
 * private at first, shared with INIT_SHARED.
 * -EINVAL: bytes; a flag that this VM does not support (INIT_SHARED: only without private memory
 * or with CLO_ATTR_OWNER_GMEM; ZERO_ON_CONVERT, NO_DIRECT_MAP: SW_PROTECTED only);
 * HUGETLB|INIT_SHARED; page_order. -ENOMEM.
 */
CLO_API int clo_gmem_create_for(struct clo_vm *vm, uint64_t bytes, uint64_t flags,
				uint32_t page_order, struct clo_gmem **out) CLO_CHECKED;
/*
 * close(2): zaps all that guests map of it and frees its memory; pinned frames leak, and what
 * clo_gmem_mmap() mapped goes with the last pin. Memslots stay; their later faults exit with
 * EFAULT. Waits for conversions and holes in progress and for vCPUs.
 */
CLO_API void clo_gmem_close(struct clo_gmem *gmem);

#define CLO_FALLOC_KEEP_SIZE  1
#define CLO_FALLOC_PUNCH_HOLE 2
/*
 * fallocate(2) of [off, off + len); mode: KEEP_SIZE allocates, KEEP_SIZE|PUNCH_HOLE frees. After
 * a hole no vCPU, host mapping or new pin reaches the old pages, and they read as zeroes; a page
 * that is pinned (not HUGETLB) is zeroed in place. Beyond the size a hole is 0. Attributes do not
 * change. Waits for conversions in the range. The checks in order:
 * -EINVAL: off < 0 or len <= 0. -EOPNOTSUPP: another mode. -EFBIG: off + len is past the largest
 * offset. -EINVAL: unaligned (to the huge page with HUGETLB); allocation beyond the size.
 * -EAGAIN: HUGETLB hole over a pinned page. -ENOMEM: allocation; what was made before stays (as
 * KVM).
 */
CLO_API int clo_gmem_fallocate(struct clo_gmem *gmem, int mode, int64_t off,
			       int64_t len) CLO_CHECKED;
/*
 * mmap(2) of [off, off + len), readable and writable; *addr is given back by clo_gmem_munmap().
 * In the mapping a private page is SIGBUS on load or store and EFAULT in a system call; a child
 * of fork() does not have it. shared: false stands for MAP_PRIVATE. Waits for conversions in the
 * range.
 * -EINVAL: empty, unaligned (to 2M on a host with hugetlb), wraps. -ENODEV: no MMAP flag.
 * -EINVAL: not shared, beyond the size. -EOPNOTSUPP: host view level SOFT. -ENOMEM: also a limit
 * of VMAs.
 */
CLO_API int clo_gmem_mmap(struct clo_gmem *gmem, uint64_t off, uint64_t len, bool shared,
			  void **addr) CLO_CHECKED;
/* -EINVAL: addr and len are not those of one clo_gmem_mmap(). Waits for accesses through it. */
CLO_API int clo_gmem_munmap(struct clo_gmem *gmem, void *addr, uint64_t len) CLO_CHECKED;
/*
 * Copy bytes between buf and offset off (write: to the file), with an errno instead of a signal, as
 * decided by the MMU where there are mappings. Pages before a bad one may have been copied. Waits
 * while a page is being converted.
 * -ENODEV: no MMAP flag. -EFAULT: private, or beyond the size. ENOMEM, EHWPOISON: cannot be had.
 */
CLO_API int clo_gmem_host_access(struct clo_gmem *gmem, uint64_t off, void *buf, size_t bytes,
				 bool write) CLO_CHECKED;

/*
 * Pins: a DMA user's hold on shared pages, which keeps them from becoming private. holder: a name
 * for reports, kept by address while pinned; NULL is "".
 */
struct clo_gmem_pin;
/*
 * Pin all of [off, off + len), or nothing; missing pages are made. Cloister's own. Waits for
 * conversions and holes in the range. *err_off (may be NULL): the page in the way.
 * -EINVAL: bounds, alignment, empty. -EFAULT: a private page. -EHWPOISON: memory error. -ENOMEM.
 */
CLO_API int clo_vm_pin(struct clo_gmem *gmem, uint64_t off, uint64_t len, const char *holder,
		       struct clo_gmem_pin **out, uint64_t *err_off) CLO_CHECKED;
/* Also after a close, and in a listener's unmap callback. NULL is nothing. */
CLO_API void clo_gmem_unpin(struct clo_gmem_pin *pin);

/* ---- memslots ---- */

#define CLO_MEM_LOG_DIRTY   (1U << 0)
#define CLO_MEM_READONLY    (1U << 1)
#define CLO_MEM_GUEST_MEMFD (1U << 2)

/* kvm_userspace_memory_region2, with the file as a handle. A size of 0 deletes. */
struct clo_region {
	uint32_t slot;               /* 31:16 address space, 15:0 id */
	uint32_t flags;              /* CLO_MEM_* */
	uint64_t guest_phys_addr;    /* gpa of the first page */
	uint64_t memory_size;        /* bytes; 0 deletes */
	uint64_t userspace_addr;     /* the VMM's memory behind the shared side */
	uint64_t guest_memfd_offset; /* bytes; with CLO_MEM_GUEST_MEMFD */
	struct clo_gmem *gmem;       /* with CLO_MEM_GUEST_MEMFD */
};
/*
 * KVM_SET_USER_MEMORY_REGION2, checks in KVM's order. The VMM keeps userspace_addr mapped as long
 * as the memslot exists. Delete and move are complete when the call returns: no vCPU can use the
 * old slot. Waits for conversions and, to delete or move, for faults in progress.
 * -EINVAL: flags; GUEST_MEMFD with LOG_DIRTY or READONLY; alignment, wrap, bounds, slot id;
 * delete of an absent slot; a change of size, userspace_addr or READONLY; any change of a
 * guest_memfd slot but its deletion; a file of another VM; beyond the file; gpa beyond 48 bits.
 * -EEXIST: gfn overlap, or file range already bound. -EBADF: no file, or closed. -ENOMEM.
 */
CLO_API int clo_vm_set_region(struct clo_vm *vm, const struct clo_region *region) CLO_CHECKED;
/*
 * Mail 0: give memslot slot (31:16 address space, 15:0 id) a bitmap of mapped shared pages, all
 * mapped at first, and mark [gpa, gpa + bytes) as mapped or as hole. A hole of the shared side is
 * not looked through to the VMM's memory: the access exits as MMIO. When the call returns no vCPU
 * can use a page that became a hole. Conversions keep it: to private makes holes, to shared fills
 * them. Waits for conversions.
 * -EINVAL: alignment, empty, wrap; range not inside the memslot. -ENOENT: no such memslot.
 * -ENOMEM.
 */
CLO_API int clo_vm_set_holes(struct clo_vm *vm, uint32_t slot, uint64_t gpa, uint64_t bytes,
			     bool mapped) CLO_CHECKED;

/* ---- attributes and conversion ---- */

#define CLO_ATTR_PRIVATE (1ULL << 3) /* KVM_MEMORY_ATTRIBUTE_PRIVATE */

/*
 * KVM_SET_MEMORY_ATTRIBUTES (CLO_ATTR_OWNER_VM) of [gpa, gpa + bytes), which needs no memslot.
 * Zaps the old kind and frees nothing, as KVM; tells no DMA listener. attributes: 0 or
 * CLO_ATTR_PRIVATE. Waits for conversions of these pages.
 * -ENOTTY: the VM's owner is the guest_memfd. -EINVAL: attributes other than PRIVATE, or PRIVATE
 * without private memory; bytes 0, unaligned, wraps. -ENOMEM.
 */
CLO_API int clo_vm_set_attributes(struct clo_vm *vm, uint64_t gpa, uint64_t bytes,
				  uint64_t attributes) CLO_CHECKED;
/*
 * KVM_SET_MEMORY_ATTRIBUTES2 on the guest_memfd (CLO_ATTR_OWNER_GMEM) of [off, off + bytes): in
 * place, all or nothing; tells no DMA listener. attributes: 0 or CLO_ATTR_PRIVATE. error_offset
 * (may be NULL): on -EAGAIN and -ENOMEM the first page in the way. Waits for conversions and
 * holes in the range, not for pins.
 * -ENOTTY: owner is the VM. -EINVAL: attributes other than PRIVATE; no private memory; bytes 0,
 * unaligned, beyond the file. -EAGAIN: to private, a pinned page. -ENOMEM, also at the limit of
 * VMAs (view level REMAP). On failure stage-2 leaves may have to be faulted in again.
 */
CLO_API int clo_gmem_set_attributes(struct clo_gmem *gmem, uint64_t off, uint64_t bytes,
				    uint64_t attributes, uint64_t *error_offset) CLO_CHECKED;
/*
 * What KVM lacks: read back. *attributes: 0 or CLO_ATTR_PRIVATE, of the page at gpa; *bytes_same:
 * how far from gpa on, within bytes, it is known to be the same. Where the file owns the
 * attribute a run ends with its memslot, and a page without a memslot is a shared run of its own.
 * Lock-free.
 * -EINVAL: alignment, empty, wrap.
 */
CLO_API int clo_vm_get_attributes(struct clo_vm *vm, uint64_t gpa, uint64_t bytes,
				  uint64_t *attributes, uint64_t *bytes_same) CLO_CHECKED;

/* clo_convert.flags */
#define CLO_CONVERT_TO_PRIVATE (1U << 0)
#define CLO_CONVERT_DRY_RUN    (1U << 1) /* all checks, no change */

struct clo_convert {
	uint32_t size;         /* sizeof(struct clo_convert) */
	uint32_t flags;        /* CLO_CONVERT_* */
	uint64_t gpa;          /* of the first page */
	uint64_t bytes;        /* multiple of 4096, > 0 */
	uint64_t wait_ns;      /* in place: wait at most so long for pins; 0 = do not wait */
	uint64_t error_gpa;    /* out on failure: first page that could not be converted */
	uint64_t error_offset; /* out on failure: its offset in the guest_memfd, if it has one */
	char holder[32];       /* out on failure: who holds the pin, or which listener refused */
};
/*
 * The engine's own conversion, both attribute owners: any range, over several memslots and huge
 * pages, all or nothing. Frees the other backing (CLO_ATTR_OWNER_VM). DMA listeners are told to
 * unmap before to-private and to map after to-shared; when one refuses, everything is put back.
 * Pages that have the kind already are left alone; to shared, a gpa without memslot is no error.
 * DRY_RUN makes the checks that need nobody's consent. c is written on failure only. Disjoint
 * ranges run in parallel; memslot changes wait.
 * -EINVAL: size 0, flags, alignment, empty, wrap, no private memory; memslots show two parts of one
 * huge page that do not touch: convert them one at a time. -ENOENT: to private, and some page has
 * no guest_memfd memslot. -EAGAIN: pinned. -ENOMEM. -EHWPOISON, if a listener is to be
 * told of it. Else what a listener returned. On failure stage-2 leaves may have to fault in again.
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
 * conversion: they must not convert, punch or change memslots, and must not touch the pages. map
 * may pin with clo_dma_pin (never clo_vm_pin: that would wait for the conversion itself), unmap may
 * unpin. The order among listeners is not promised.
 */
struct clo_dma_listener {
	const char *name;
	int (*map)(void *arg, const struct clo_dma_range *r);   /* 0 or -errno = refused */
	int (*unmap)(void *arg, const struct clo_dma_range *r); /* 0 or -errno = refused */
	void *arg;
};
/*
 * The listener is remembered by address and must stay valid until removed or the VM is destroyed.
 * Ranges that are shared already are not told. Both calls wait for conversions in progress.
 * -EEXIST: already there. -ENOMEM.
 */
CLO_API int clo_dma_listener_add(struct clo_vm *vm, const struct clo_dma_listener *l) CLO_CHECKED;
/* -ENOENT: not there. No callback runs any more when it returns. */
CLO_API int clo_dma_listener_remove(struct clo_vm *vm,
				    const struct clo_dma_listener *l) CLO_CHECKED;
/*
 * clo_vm_pin() from inside a map callback: does not wait for the range. Errors as there; besides
 * EAGAIN for a page that is missing (the engine makes those that the listener is told of).
 */
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
	CLO_CAUSE_BAD_HVA, /* userspace_addr of the page: not mapped, or lacks rights */
	CLO_CAUSE_COUNT
};
/* In words; "?" for what is no cause. */
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
 * 0: done. 1: exit to the VMM with no error (MMIO). Exits of kind MEMORY_FAULT: -EFAULT; -ENOMEM;
 * -EHWPOISON; -EEXIST (cause DOUBLE_MAP); or what prepare returned. -EINVAL: unknown flag, no
 * exit. Unlike KVM: mmio is the rest of the access in its page, not pieces of 8 bytes; a memory
 * error in the VMM's own memory is an exit, not a signal; and memory behind a memslot without
 * READONLY must be writable for loads too (BAD_HVA).
 */
CLO_API int clo_vcpu_access(struct clo_vcpu *vcpu, uint64_t gpa, void *buf, size_t bytes,
			    uint32_t flags) CLO_CHECKED;
/* Of the last access or hypercall; reason NONE when that was served. Valid until the next. */
CLO_API const struct clo_exit *clo_vcpu_exit(const struct clo_vcpu *vcpu);

#define CLO_HC_MAP_GPA_RANGE  12
#define CLO_MAP_GPA_ENCRYPTED (1ULL << 4)
/*
 * KVM_HC_MAP_GPA_RANGE from the guest. Returns what the guest sees in RAX: 0, -1000 (KVM_ENOSYS:
 * not enabled), -22 (KVM_EINVAL: gpa unaligned, npages 0, wraps); or 1: exit HYPERCALL to the
 * VMM, which converts, and calls clo_vcpu_complete_hypercall() with the result. attrs is passed
 * on unchecked, as KVM does. With CLO_VM_CONVERT_ON_HYPERCALL the engine converts: reserved bits
 * in attrs are -22, else the guest sees what clo_vm_convert() gave. Unlike KVM an npages of 2^52
 * and more, whose bytes wrap, is -22 too.
 */
CLO_API int64_t clo_vcpu_map_gpa_range(struct clo_vcpu *vcpu, uint64_t gpa, uint64_t npages,
				       uint64_t attrs) CLO_CHECKED;
/* The VMM resumes the vCPU: returns the value for RAX, ret; -22 when no hypercall waits for it. */
CLO_API int64_t clo_vcpu_complete_hypercall(struct clo_vcpu *vcpu, uint64_t ret);

/*
 * KVM_PRE_FAULT_MEMORY of [*gpa, *gpa + *bytes), each page as its attribute says; both move on by
 * what was done. 0 if at least one page was mapped.
 * -EINVAL: unaligned, empty, wraps. -ENOENT: no memslot (private: -EFAULT, as in KVM), or a hole.
 * -EAGAIN: the memslot is being deleted or moved. -EFAULT, -EHWPOISON, -ENOMEM, others: as a fault.
 */
CLO_API int clo_vcpu_pre_fault(struct clo_vcpu *vcpu, uint64_t *gpa, uint64_t *bytes) CLO_CHECKED;

/*
 * Mail 4's hooks, for a trust model that is not built in and for failure injection; arg is handed
 * on. Both may be NULL. Set them before the first guest_memfd is created. They run under locks of
 * the engine and must not call it.
 * - prepare: called before a folio is given to the guest as private, each time, so it must be
 *   idempotent. 0, or -errno: the fault exits with it and cause PREPARE (no errno: EIO).
 * - inaccessible: called when an existing page stops being accessible to the host by an in-place
 *   conversion; bookkeeping only.
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
