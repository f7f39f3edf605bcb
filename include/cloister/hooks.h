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

#ifdef __cplusplus
}
#endif

#endif
