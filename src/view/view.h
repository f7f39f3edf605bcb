/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view.h - the VMM's mapping of a guest_memfd: real memory in which a private page cannot be touched (D8).
 *
 * Levels, best first (facts/views.md; `cloister doctor` prints which one this host gives):
 *  UFFD	  memfd or hugetlb mapping registered with userfaultfd MINOR|MISSING. Private: zapped and POISONed eagerly, in batches. A first touch of a
 *	  shared page is resolved by one engine thread, which asks the owner (resolve) and CONTINUEs under the owner's folio lock.
 *  REMAP  no userfaultfd: private ranges of the mapping are replaced (mmap MAP_FIXED, atomic) by a mapping of an empty memfd: beyond end of file, so a load or
 *	  store is SIGBUS and a system call EFAULT as well, but each boundary costs a VMA (vm.max_map_count: about 32 700 alternating pages, then -ENOMEM, nothing changed).
 *	  A page not allocated yet is readable as zeros by the host before the engine has seen it (no MISSING event): resolve is called for the whole range at map time instead.
 *  SOFT	  no mapping at all: clo_view_access() only, with present bits per page. Used by the explorer (each touch is a scheduling point) and for anonymous pools.
 * Private page: load, store => SIGBUS (BUS_ADRERR); system call => EFAULT. One process is protected against accidents, not against a hostile VMM.
 *
 * Order rules (facts/views.md 5): zap, then POISON; MINOR registration, so that an access between the two waits for the engine; CONTINUE only under the state lock.
 * Lock: the list of views of one set is under a mutex of rank VIEW; hide/show take it shared with nothing above.
 */
#ifndef CLO_VIEW_VIEW_H
#define CLO_VIEW_VIEW_H

#include "base/base.h"
#include "page/page.h"
#include "sync/sync.h"

enum clo_view_level { CLO_VIEW_AUTO, CLO_VIEW_UFFD, CLO_VIEW_REMAP, CLO_VIEW_SOFT, CLO_VIEW_LEVEL_COUNT };
const char *clo_view_level_name(enum clo_view_level level);

/* What this host permits. Each field 0 = yes or the -errno that the attempt gave. Probes for real (opens a userfaultfd, maps, poisons a page, touches it by process_vm_readv). */
struct clo_view_probe {
	int userfaultfd;	/* syscall or /dev/userfaultfd */
	bool user_mode_only;	/* only UFFD_USER_MODE_ONLY was permitted: system calls on missing pages fail with EFAULT instead of waiting */
	int minor_shmem, minor_hugetlb, poison, wp_async;
	int memfd, hugetlb_2m, hugetlb_1g;
	uint64_t hugetlb_2m_free, hugetlb_1g_free;
	uint64_t max_map_count;
	enum clo_view_level best; /* what AUTO takes */
};
void clo_view_probe(struct clo_view_probe *out);

/* The engine thread and the userfaultfd, one per host. AUTO = best permitted for the pool. -EPERM/-ENOSYS/... the level asked is not permitted; -ENOMEM. */
struct clo_view_host;
int clo_view_host_create(struct clo_pagedb *db, enum clo_view_level level, struct clo_view_host **out) CLO_MUST_USE;
void clo_view_host_destroy(struct clo_view_host *vh); /* stops the thread; all view sets are gone */
enum clo_view_level clo_view_host_level(const struct clo_view_host *vh);

/*
 * Asked (engine thread or caller of clo_view_access, no lock held) when a host touch meets a page with no host mapping: make the folio at
 * @index exist if it is shared, and call @grant with the folio's indexes [start, end) (at most one 2M block) while its folio lock is held.
 * Return 0, -EACCES private, -ERANGE beyond the end, -ENOMEM, -EHWPOISON, -EAGAIN in transition (asked again).
 */
typedef int (*clo_view_resolve_fn)(void *owner, uint64_t index, void (*grant)(void *garg, struct clo_range r), void *garg);

/* All host mappings of one guest_memfd. @npages: file size. */
struct clo_view_set;
int clo_view_set_create(struct clo_view_host *vh, uint64_t npages, clo_view_resolve_fn resolve, void *owner, struct clo_view_set **out) CLO_MUST_USE;
void clo_view_set_destroy(struct clo_view_set *vs); /* unmaps what is left */

/* One piece of the file: @r indexes are backed by pool pfns from @base. In order, without gaps, over the range to map. */
struct clo_view_piece {
	struct clo_range r;
	struct clo_pfn base;
};
/*
 * Map file pages [start, end) given by @pieces; pages private by @is_private(owner, index run) are hidden from the start. Level SOFT: -ENODEV.
 * @hidden: calls back for each private run inside the range. *addr: page-aligned address in the VMM. -ENOMEM; -EAGAIN uffd busy.
 */
int clo_view_map(struct clo_view_set *vs, const struct clo_view_piece *pieces, size_t piece_count,
		 const struct clo_range *hidden, size_t hidden_count, void **addr) CLO_MUST_USE;
/* -EINVAL no such mapping. */
int clo_view_unmap(struct clo_view_set *vs, void *addr, uint64_t npages) CLO_MUST_USE;

/*
 * Hide: after return no load, store or system call through any view of this set reaches a page of @r. Every folio in @r is locked by the caller (so
 * that no grant runs). -ENOMEM (REMAP level: VMA limit): pages are as before. show: the pages may be touched again; UFFD: eagerly CONTINUEs those that have content (one batch), REMAP: maps back. Cannot
 * fail in a way that loses anything: what could not be shown eagerly is resolved at the first touch (UFFD), or the mapping stays hidden and *stuck counts pages (REMAP, only if the kernel refuses a mapping).
 */
int clo_view_hide(struct clo_view_set *vs, struct clo_range r) CLO_MUST_USE;
void clo_view_show(struct clo_view_set *vs, struct clo_range r);
/* Punch hole, release: pages of @r leave all views but keep their state; the next touch of a shared page asks resolve again. */
void clo_view_drop(struct clo_view_set *vs, struct clo_range r);

/*
 * A host access with an errno instead of a signal, at every level: copies @bytes between @buf and file offset @off_bytes. Levels UFFD and REMAP go through the first real mapping (or a private one
 * made for the purpose) by process_vm_readv/writev on this process, so the MMU decides. -EFAULT private page or beyond the end. Partial: nothing is promised about bytes before the bad page.
 */
int clo_view_access(struct clo_view_set *vs, uint64_t off_bytes, void *buf, size_t bytes, bool write) CLO_MUST_USE;

/* Is the page present in a view (SOFT: bit; else: asks mincore/pagemap-free knowledge kept by the set)? For invariant I2 in the explorer: SOFT only, others return false. */
bool clo_view_is_shown(const struct clo_view_set *vs, uint64_t index);

struct clo_view_stats {
	uint64_t mappings, hidden_calls, hidden_pages, shown_pages, resolved_faults, refused_faults, stuck_pages;
};
void clo_view_stats(const struct clo_view_set *vs, struct clo_view_stats *out);

#endif
