/* SPDX-License-Identifier: Apache-2.0 */
/* cloister/gmem.h - guest_memfds: the file, host mappings, and pins on shared pages. */
#ifndef CLOISTER_GMEM_H
#define CLOISTER_GMEM_H

#include <cloister/types.h>

#ifdef __cplusplus
extern "C" {
#endif

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
CLO_API int clo_gmem_create(struct clo_vm *vm, uint64_t bytes, uint64_t flags, uint32_t page_order,
			    struct clo_gmem **out) CLO_CHECKED;
/*
 * close(2): zaps all that guests map of it and frees its memory; pinned frames, and what
 * clo_gmem_mmap() mapped, go with the last pin. Memslots stay; their later faults exit with
 * EFAULT. Waits for conversions and holes in progress and for vCPUs.
 */
CLO_API void clo_gmem_close(struct clo_gmem *gmem);

/* As it was created: bytes, CLO_GMEM_*, 0 or 9 or 18. */
CLO_API uint64_t clo_gmem_size(const struct clo_gmem *gmem);
CLO_API uint64_t clo_gmem_flags(const struct clo_gmem *gmem);
CLO_API uint32_t clo_gmem_page_order(const struct clo_gmem *gmem);

#define CLO_FALLOC_KEEP_SIZE  1
#define CLO_FALLOC_PUNCH_HOLE 2
/*
 * fallocate(2) of [off, off + len); mode: KEEP_SIZE allocates, KEEP_SIZE|PUNCH_HOLE frees. After
 * a hole no vCPU, host mapping or new pin reaches the old pages, and they read as zeroes; a page
 * that is pinned (not HUGETLB) is zeroed in place. Beyond the size a hole is 0. Attributes do not
 * change. Waits for conversions in the range. The checks in order:
 * -EINVAL: off < 0 or len <= 0. -EOPNOTSUPP: a mode that fallocate(2) does not know. -EFBIG: off +
 * len is past the largest offset. -EOPNOTSUPP: another mode than these two. -EINVAL: unaligned (to
 * the huge page with HUGETLB); allocation beyond the size.
 * -EAGAIN: HUGETLB hole over a pinned page. -ENOMEM: allocation; what was made before stays (as
 * KVM).
 */
CLO_API int clo_gmem_fallocate(struct clo_gmem *gmem, int mode, int64_t off,
			       int64_t len) CLO_CHECKED;
/*
 * mmap(2) of [off, off + len), readable and writable; *addr is given back by clo_gmem_munmap(). len
 * is rounded up to whole pages. In the mapping a private page, and one beyond the size, is SIGBUS
 * on load or store and EFAULT in a system call; a child of fork() does not have it. shared: false
 * stands for MAP_PRIVATE. Waits for conversions in the range.
 *
 * The program may unmap parts by munmap(2) and map its own memory there: what is gone is no longer
 * touched. At level UFFD it may move parts by mremap(2) too: what was moved stays protected. Level
 * REMAP asks the kernel what is there each time before it puts something over an address, and
 * does not see
 * - another thread that changes the mapping in the moment between the answer and its use;
 * - anything where the kernel cannot be asked (before Linux 6.11, no /proc): the program must not
 *   unmap parts there;
 * - where mremap(2) has put pages: what was moved keeps its shared pages from becoming private
 *   (-EBUSY) until it is unmapped or back in its place, but holes do not reach it; a copy (old size
 *   0) and what a part grew by show pages that become private.
 * MADV_REMOVE at level UFFD makes the bytes of a page zero, a guest's private ones too, and changes
 * nothing else: it is no hole (clo_gmem_fallocate()); at level REMAP it does nothing to a private
 * page. MADV_DOFORK of a mapping is undone ahead of each fork(2), but not of a bare clone(2), nor
 * while another thread gives it: such a child reads its private pages.
 * The checks in order: -EINVAL: len 0, off unaligned. -ENOMEM: len is more than an address space,
 * or wraps when it is rounded. -EOVERFLOW: off + len is past the largest offset. -ENODEV: no MMAP
 * flag. -EINVAL: not shared. -EOPNOTSUPP: host view level SOFT. -EINVAL: on a host with hugetlb, an
 * end inside the file (the size is one) that is not in units of 2M. -ENOMEM: also a limit of VMAs,
 * or no room: all mappings of a host together have 3/4 of the pool's address space. A call that
 * fails has taken neither memory nor room.
 */
CLO_API int clo_gmem_mmap(struct clo_gmem *gmem, uint64_t off, uint64_t len, bool shared,
			  void **addr) CLO_CHECKED;
/*
 * All that is left of a mapping, where it is now (UFFD). Not while another thread unmaps parts of
 * it. -EINVAL: addr and len (rounded up) are not those of one clo_gmem_mmap().
 */
CLO_API int clo_gmem_munmap(struct clo_gmem *gmem, void *addr, uint64_t len) CLO_CHECKED;
/*
 * Copy bytes between buf and offset off (write: to the file), with an errno instead of a signal.
 * Mappings have no part in it. buf may be any memory, a mapping of a guest_memfd too; it is touched
 * with nothing held. When it fails, all bytes before the first that could not be copied are copied,
 * and none from there on; beyond the size: none. Waits while a page is being converted.
 * -ENODEV: no MMAP flag. -EFAULT: private, or beyond the size;
 * buf cannot be read (write: false: be written), or is a private page of a mapping. ENOMEM,
 * EHWPOISON: the page cannot be had. Where a seccomp filter forbids process_vm_readv() and
 * process_vm_writev(), a bad buf is the signal of a plain access.
 */
CLO_API int clo_gmem_host_access(struct clo_gmem *gmem, uint64_t off, void *buf, size_t bytes,
				 bool write) CLO_CHECKED;

/*
 * For a VMM's tests, as the kernel's hwpoison-inject: an uncorrectable memory error on the page at
 * off (with HUGETLB the huge page). When the call returns nobody has it: a guest's access exits
 * with -EHWPOISON and cause POISON, a host touch is SIGBUS, clo_gmem_host_access(), a new pin and a
 * pre-fault are -EHWPOISON. A hole over it ends that: the next page there is a new one. Waits for
 * conversions and holes in the page. -EINVAL: unaligned, beyond the file. -ENOENT: no page there.
 */
CLO_API int clo_gmem_inject_memory_error(struct clo_gmem *gmem, uint64_t off) CLO_CHECKED;

/*
 * Pins: a DMA user's hold on shared pages, which keeps them from becoming private. holder: a name
 * for reports, of which 31 bytes are kept; NULL is "".
 */
/*
 * Pin all of [off, off + len), or nothing; missing pages are made. Cloister's own. Waits for
 * conversions and holes in the range. *err_off (may be NULL): the page in the way.
 * -EINVAL: bounds, alignment, empty. -EFAULT: a private page. -EHWPOISON: memory error. -ENOMEM.
 * When it fails, pages that it has made are freed again, but for those that somebody uses by then.
 */
CLO_API int clo_gmem_pin(struct clo_gmem *gmem, uint64_t off, uint64_t len, const char *holder,
			 struct clo_gmem_pin **out, uint64_t *err_off) CLO_CHECKED;
/*
 * The same without waiting for the range: for a DMA listener's map callback, whose conversion holds
 * it. Errors as clo_gmem_pin(), and -EAGAIN: a missing page of a range that is being changed (the
 * engine makes those that a listener is told of).
 */
CLO_API int clo_gmem_pin_nowait(struct clo_gmem *gmem, uint64_t off, uint64_t len,
				const char *holder, struct clo_gmem_pin **out,
				uint64_t *err_off) CLO_CHECKED;
/* Also after a close, and in a listener's unmap callback. NULL is nothing. */
CLO_API void clo_gmem_unpin(struct clo_gmem_pin *pin);

#ifdef __cplusplus
}
#endif

#endif
