/* SPDX-License-Identifier: Apache-2.0 */
/* cloister/convert.h - private or shared: attributes, and the engine's own conversion. */
#ifndef CLOISTER_CONVERT_H
#define CLOISTER_CONVERT_H

#include <cloister/types.h>

#ifdef __cplusplus
extern "C" {
#endif

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
 * (may be NULL): on -EAGAIN, -EBUSY and -ENOMEM the first page in the way. Waits for conversions
 * and holes in the range, not for pins.
 * -ENOTTY: owner is the VM. -EINVAL: attributes other than PRIVATE; no private memory; bytes 0,
 * unaligned, beyond the file. -EAGAIN: to private, a pinned page. -EBUSY: to private, the program
 * has moved a mapping of the page by mremap(2) (view level REMAP). -ENOMEM, also at the limit of
 * VMAs (REMAP). On failure stage-2 leaves may have to be faulted in again.
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
	uint32_t size;      /* sizeof(struct clo_convert) */
	uint32_t flags;     /* CLO_CONVERT_* */
	uint64_t gpa;       /* of the first page */
	uint64_t bytes;     /* multiple of 4096, > 0 */
	uint64_t wait_ns;   /* in place: wait at most so long for pins; 0: not, UINT64_MAX: ever */
	uint64_t error_gpa; /* out on failure: first page that could not be converted */
	uint64_t error_offset; /* out on failure: its offset in the guest_memfd, if it has one */
	char holder[32];       /* out on failure: who holds the pin, or which listener refused */
};
#define CLO_CONVERT_SIZE_VER0 80U
/*
 * The engine's own conversion, both attribute owners: any range, over several memslots and huge
 * pages, all or nothing. Pages that have the kind already are left alone; to shared, a gpa without
 * memslot is no error. Disjoint ranges run in parallel.
 *
 * With CLO_ATTR_OWNER_VM it frees the other backing. A page that becomes private reads as zeroes,
 * also when the file had kept one there (it became shared without a memslot, or by
 * clo_vm_set_attributes()); to shared the VMM's memory is taken as it is. A file with CLO_GMEM_MMAP
 * is both sides in one: its bytes stay.
 *
 * DMA listeners are told to unmap before to-private and to map after to-shared; when one refuses,
 * everything is put back. DRY_RUN makes the checks that need nobody's consent.
 *
 * A pinned page cannot become private: -EAGAIN, or with wait_ns, wait for the pin. Nothing is held
 * while waiting: listeners map again, other pins may come, memslots and files may go. When the pin
 * in the way has gone the conversion starts over. What the kernel holds (vmsplice, io_uring,
 * O_DIRECT, vhost) is no pin and stops nothing: clo_gmem_pin() a page before it is given away.
 *
 * c is written on failure only.
 * -E2BIG, -EINVAL: size. -EINVAL: flags, alignment, empty, wrap, no private memory; memslots show
 * two parts of one huge page that do not touch: convert them one at a time. -ENOENT: to private,
 * and some page has no guest_memfd memslot. -EAGAIN: pinned. -EBUSY: a mapping was moved, as
 * clo_gmem_set_attributes(). -ENOMEM. -EHWPOISON, if a listener is to be told of it. Else what a
 * listener returned. On failure stage-2 leaves may have to fault in again.
 */
CLO_API int clo_vm_convert(struct clo_vm *vm, struct clo_convert *c) CLO_CHECKED;

#ifdef __cplusplus
}
#endif

#endif
