/* SPDX-License-Identifier: Apache-2.0 */
/* cloister/hooks.h - what the engine calls: DMA listeners, and the hooks of a trust model. */
#ifndef CLOISTER_HOOKS_H
#define CLOISTER_HOOKS_H

#include <cloister/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct clo_dma_range {
	uint32_t size; /* of this struct, as the library knows it */
	uint32_t reserved;
	uint64_t gpa, bytes;
	struct clo_gmem *gmem; /* NULL: the VMM's own memory at hva */
	uint64_t gmem_offset;
	uint64_t hva;
};
/*
 * A DMA user (VFIO container, vhost, ...). Callbacks run in the converting thread, with the pages
 * locked against other conversions, holes and memslots; a slow one stops who needs these pages, and
 * in map, vCPUs that fault nearby. They must not convert, punch, change memslots or listeners, and
 * must not touch the pages. When a conversion waits for a pin they are called for each try. map may
 * pin with clo_gmem_pin_nowait (never clo_gmem_pin: that would wait for the conversion itself),
 * unmap may unpin. The order among listeners is not promised.
 */
struct clo_dma_listener {
	uint32_t size;                                        /* sizeof(struct clo_dma_listener) */
	uint32_t reserved;                                    /* 0 */
	const char *name;                                     /* for reports; kept by address */
	int (*map)(void *arg, const struct clo_dma_range *r); /* 0 or -errno = refused */
	int (*unmap)(void *arg, const struct clo_dma_range *r); /* 0 or -errno = refused */
	void *arg;
};
#define CLO_DMA_LISTENER_SIZE_VER0 40U
/*
 * The struct is copied; its address is the listener's name for removal. Ranges that are shared
 * already are not told. Both calls wait for conversions that have begun; those that begin later do
 * not wait, and know the new list.
 * -E2BIG, -EINVAL: size. -EINVAL: reserved. -EEXIST: already there. -ENOMEM.
 */
CLO_API int clo_vm_add_dma_listener(struct clo_vm *vm,
				    const struct clo_dma_listener *l) CLO_CHECKED;
/* -ENOENT: not there. No callback runs any more when it returns. */
CLO_API int clo_vm_remove_dma_listener(struct clo_vm *vm,
				       const struct clo_dma_listener *l) CLO_CHECKED;
/*
 * Hooks of a trust model that is not built in (mail 4), and for failure injection: where it learns
 * that a frame becomes the guest's, and when it must let go of it.
 */
struct clo_hook_pages {
	uint32_t size; /* of this struct, as the library knows it */
	uint32_t why;  /* invalidate: CLO_INVALIDATE_*; else 0 */
	uint64_t gpa;  /* bytes; of the first page. CLO_NO_GPA: no memslot shows the pages */
	uint64_t npages;
	uint64_t pfn; /* of the first page: its number in the host's memory, pages follow on */
	struct clo_gmem *gmem;
	uint64_t gmem_offset; /* bytes; of the first page */
	uint32_t order;       /* the folio of the pages has 2^order, aligned by pfn */
	uint32_t reserved;
};
#define CLO_INVALIDATE_TO_SHARED 1 /* an in-place conversion: next the host reaches the page */
#define CLO_INVALIDATE_HOLE      2 /* the frame is freed, or zeroed */
#define CLO_INVALIDATE_CLOSE     3 /* the frame is freed with its file or VM */
struct clo_vm_hooks {
	uint32_t size;     /* sizeof(struct clo_vm_hooks) */
	uint32_t reserved; /* 0 */
	int (*prepare)(void *arg, const struct clo_hook_pages *p);
	void (*inaccessible)(void *arg, const struct clo_hook_pages *p);
	void (*invalidate)(void *arg, const struct clo_hook_pages *p);
	void *arg; /* handed on */
};
#define CLO_VM_HOOKS_SIZE_VER0 40U
/*
 * Each hook may be NULL; all NULL: none, as at first. A hook must not call the engine, may sleep,
 * and may run in several threads at once, for different pages.
 *
 * - prepare (KVM's kvm_arch_gmem_prepare): called before a folio is given to the guest as private,
 *   each time, so it must be idempotent; with it no page changes kind without a new fault. 0, or
 *   -errno: the fault exits with it and cause PREPARE (no errno: EIO). It runs with the folio
 *   locked: who wants this folio waits for it.
 * - invalidate (kvm_arch_gmem_invalidate): takes a frame back that prepare was called for with 0,
 *   or would have been if it is NULL. Once for each frame, not for each prepare; the next use as
 *   private prepares anew. At that moment no vCPU can use the frame and none can come (its leaves
 *   are zapped and flushed, faults wait), the host cannot reach it, and the bytes are those of the
 *   guest; only after it the frame becomes shared, is zeroed or freed, and may be another's. Of a
 *   huge folio it may be called for a part, with the order of the whole: the rest stays prepared.
 *   It runs with the pages locked against conversions, holes and memslots, and with nothing else:
 *   a slow one stops who needs pages of the same 2M (or, with more than 8 of these, any).
 *   It cannot fail, because close cannot, nor the way back of a conversion: a model that cannot
 *   take a frame back has lost its guest, and stops it. A conversion that is undone after it
 *   leaves the pages private, not prepared, and their bytes as invalidate left them.
 *   A page that is not to be freed by a change of the attribute alone (clo_vm_set_attributes(), two
 *   backings) stays prepared until the hole.
 * - inaccessible: called when existing pages have stopped being accessible to the host by an
 *   in-place conversion; bookkeeping only. Held as for invalidate.
 *
 * -EINVAL: no hooks, size, reserved. -E2BIG: size. -EBUSY: the VM has an open guest_memfd.
 */
CLO_API int clo_vm_set_hooks(struct clo_vm *vm, const struct clo_vm_hooks *hooks) CLO_CHECKED;

#ifdef __cplusplus
}
#endif

#endif
