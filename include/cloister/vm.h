/* SPDX-License-Identifier: Apache-2.0 */
/* cloister/vm.h - guests: type, owner of the attribute, statistics, what leaked. */
#ifndef CLOISTER_VM_H
#define CLOISTER_VM_H

#include <cloister/types.h>

#ifdef __cplusplus
extern "C" {
#endif

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
#define CLO_VM_CONFIG_SIZE_VER0 24U

/*
 * KVM_CREATE_VM. -E2BIG: size. -EINVAL: no cfg, size, unknown type, owner, flag or level;
 * TYPED_ACCESS on a type without private memory. -ENOMEM. -EMFILE: the host has 65535 VMs.
 */
CLO_API int clo_vm_create(struct clo_host *host, const struct clo_vm_config *cfg,
			  struct clo_vm **out) CLO_CHECKED;

#define CLO_LEAK_BACKED_TWICE 0
#define CLO_LEAK_PINNED       1
#define CLO_LEAK_FRAME_LOST   2
struct clo_leak {
	uint64_t gpa; /* bytes; of the first page. CLO_NO_GPA: no memslot shows the pages */
	uint64_t npages;
	uint32_t kind; /* CLO_LEAK_* */
	uint32_t reserved[3];
	char holder[32]; /* who holds the pin, or "" */
};
struct clo_leak_report {
	uint32_t size;         /* sizeof(struct clo_leak_report) */
	uint32_t leak_count;   /* entries valid in leaks; the rest is only counted */
	uint64_t backed_twice; /* pages private in a guest_memfd and resident in VMM memory too */
	uint64_t pins_left;    /* pins on pages of files that are open */
	uint64_t frames_lost; /* pages that were pinned when their file was closed, and still are */
	uint64_t undo_failures; /* DMA listeners that refused to undo, over the VM's life */
	struct clo_leak leaks[16];
};
#define CLO_LEAK_REPORT_SIZE_VER0 1064U
/* "backed twice", "pinned", "frame lost"; NULL for what is none. */
CLO_API const char *clo_leak_kind_text(uint32_t kind);
/*
 * Look at all memslots and files of a VM (residency by mincore(2), pages that have memory). Memslot
 * changes wait meanwhile; vCPUs do not, so the counts are no atomic snapshot. -E2BIG, -EINVAL:
 * size.
 */
CLO_API int clo_vm_report(struct clo_vm *vm, struct clo_leak_report *out);
/*
 * Destroy: no vCPU of it may be running. Closes its guest_memfds that are still open; its vCPUs and
 * listeners are gone. report (may be NULL) is filled just before, as by clo_vm_report(). Pinned
 * frames count as leaked until their last pin is given back, which must be before the host goes.
 * -E2BIG, -EINVAL: size of report; nothing has changed.
 */
CLO_API int clo_vm_destroy(struct clo_vm *vm, struct clo_leak_report *report);

struct clo_vm_stats {
	uint32_t size; /* sizeof(struct clo_vm_stats) */
	uint32_t reserved;
	uint64_t faults, faults_fixed, faults_retried, fault_exits;
	uint64_t conversions, converted_pages, conversions_failed;
	uint64_t moved_leaves; /* leaves of converted pages that needed no zap (mail 4) */
	uint64_t zaps[16];     /* leaves removed, by reason; names: clo_zap_reason_text() */
	uint64_t shootdowns, ipis;
	uint64_t table_pages;
};
#define CLO_VM_STATS_SIZE_VER0 224U
/* Counts since creation, and table_pages by a walk of both tables. -E2BIG, -EINVAL: size. */
CLO_API int clo_vm_stats(struct clo_vm *vm, struct clo_vm_stats *out);
/* Name of zaps[i] ("split-merge", ...), or NULL beyond the last. */
CLO_API const char *clo_zap_reason_text(uint32_t i);

#ifdef __cplusplus
}
#endif

#endif
