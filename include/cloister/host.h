/* SPDX-License-Identifier: Apache-2.0 */
/* cloister/host.h - the simulated machine: its memory, and how mappings of it are protected. */
#ifndef CLOISTER_HOST_H
#define CLOISTER_HOST_H

#include <cloister/types.h>

#ifdef __cplusplus
extern "C" {
#endif

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
#define CLO_HOST_CONFIG_SIZE_VER0 24U

/*
 * Create a simulated host in *out. cfg may be NULL: all defaults. At level UFFD it has a thread.
 * -E2BIG, -EINVAL: size; -EINVAL: unknown view, hugetlb not 0 or 1, reserved not 0, mem_bytes not a
 * multiple of 4096 or above 2^50. -ENOMEM: no memory, no address space (ulimit -v and -f should
 * allow 4 times mem_bytes, and some), or no huge pages. -EPERM: the view asked for is not permitted
 * on this machine (AUTO never gives this: it takes what can be had now, a lower level too where
 * descriptors have run out; clo_host_view() says which). Else what memfd_create(2) gave, or, where
 * a seccomp filter refuses it, membarrier(2): -EPERM or what the filter says. A filter that comes
 * after this call has to allow membarrier(2): liburcu ends the process otherwise. Without
 * process_vm_readv(2) and _writev(2) a buffer that cannot be touched is its own signal, not
 * -EFAULT.
 *
 * The address space of the pool is far larger than mem_bytes (32 TiB for the first host of a
 * process, for each further one half of what is left of 64 TiB), and mlockall() counts it: under
 * MCL_FUTURE a finite RLIMIT_MEMLOCK (without CAP_IPC_LOCK) is -ENOMEM here. Memory comes, and is
 * locked, with the first touch: when mlockall() was called before this, or later with MCL_ONFAULT,
 * or on Linux 6.15 or newer. On older kernels a later MCL_CURRENT fills all of the pool's address
 * space and of its tables, far more than mem_bytes, until the process is killed: do not call it.
 */
CLO_API int clo_host_create(const struct clo_host_config *cfg, struct clo_host **out) CLO_CHECKED;
/* -EBUSY: VMs are left; nothing has changed. Waits for memory that is freed late. NULL is 0. */
CLO_API int clo_host_destroy(struct clo_host *host);
/* The view level in force: CLO_HOST_VIEW_UFFD, _REMAP or _SOFT. */
CLO_API uint32_t clo_host_view(const struct clo_host *host);

struct clo_host_stats {
	uint32_t size; /* sizeof(struct clo_host_stats) */
	uint32_t reserved;
	uint64_t frames_limit; /* pages of 4096 bytes, all fields */
	uint64_t frames_used;
	uint64_t frames_leaked; /* pinned when their file went away, and still: not reused (I5, I6)
				 */
};
#define CLO_HOST_STATS_SIZE_VER0 32U
/* As of now, without a lock. -E2BIG, -EINVAL: size. */
CLO_API int clo_host_stats(const struct clo_host *host, struct clo_host_stats *out);

#ifdef __cplusplus
}
#endif

#endif
