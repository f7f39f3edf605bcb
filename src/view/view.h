/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view.h - the VMM's mapping of a guest_memfd: real memory in which a private page cannot
 * be touched (D8).
 *
 * Levels, best first (docs/design/host-view.md; `cloister doctor` prints which
 * one this host gives):
 *
 * - UFFD: memfd or hugetlb mapping registered with userfaultfd MINOR|MISSING. Private: zapped
 *   and POISONed eagerly, in batches. A first touch of a shared page is resolved by one engine
 *   thread, which asks the owner (resolve) and CONTINUEs under the owner's folio lock.
 * - REMAP: no userfaultfd. Private ranges of the mapping are replaced (mmap MAP_FIXED, atomic)
 *   by a mapping of an empty memfd: beyond the end of the file, so a load or store is SIGBUS and
 *   a system call EFAULT as well. Each boundary costs a VMA (vm.max_map_count: about 32 700
 *   alternating pages, then -ENOMEM, nothing changed). Nobody sees a first touch, so resolve is
 *   called for the whole range at map time, and for pages that become shared or lose their folio
 *   later by clo_view_settle().
 * - SOFT: no mapping at all, clo_view_access() only, with present bits per page. Used by the
 *   explorer (each touch is a scheduling point) and for anonymous pools.
 *
 * Private page: load, store => SIGBUS (BUS_ADRERR); system call => EFAULT. One process is
 * protected against accidents, not against a hostile VMM. A pool of huge pages is protected in
 * units of 2M: one private page hides its whole block.
 *
 * Order rules (docs/design/host-view.md): zap, then POISON; MINOR registration, so that an access
 * between the two waits for the engine; CONTINUE only under the state lock. Lock: the list of
 * mappings of one set is under a rwlock of rank VIEW; hide, show, drop and grant take it shared,
 * and nothing above it. It is never held while resolve runs.
 */
#ifndef CLO_VIEW_VIEW_H
#define CLO_VIEW_VIEW_H

#include "base/base.h"
#include "page/page.h"
#include "sync/sync.h"

enum clo_view_level {
	CLO_VIEW_AUTO,
	CLO_VIEW_UFFD,
	CLO_VIEW_REMAP,
	CLO_VIEW_SOFT,
	CLO_VIEW_LEVEL_COUNT
};
const char *clo_view_level_name(enum clo_view_level level);

/*
 * What this host permits. Each int is 0 = yes, or the -errno that the attempt gave. Probes for
 * real: opens a userfaultfd, maps, poisons a page, touches it by process_vm_readv.
 */
struct clo_view_probe {
	int userfaultfd;     /* system call or /dev/userfaultfd */
	bool user_mode_only; /* UFFD_USER_MODE_ONLY: a system call on a missing page gets EFAULT */
	int minor_shmem, minor_hugetlb, poison, wp_async;
	int memfd, hugetlb_2m, hugetlb_1g;
	uint64_t hugetlb_2m_free, hugetlb_1g_free;
	uint64_t max_map_count;
	enum clo_view_level best; /* what AUTO takes for a memfd pool */
};
void clo_view_probe(struct clo_view_probe *out);

/*
 * The engine thread and the userfaultfd, one per host. AUTO = best permitted for the pool.
 * -EINVAL no such level; -ENODEV a level with mappings asked for an anonymous pool; -EPERM the
 * level asked for is not permitted here (or what userfaultfd(2) gave); -ENOMEM.
 */
struct clo_view_host;
int clo_view_host_create(struct clo_pagedb *db, enum clo_view_level level,
			 struct clo_view_host **out) CLO_MUST_USE;
/* Stops the thread; all view sets are gone. */
void clo_view_host_destroy(struct clo_view_host *vh);
enum clo_view_level clo_view_host_level(const struct clo_view_host *vh);

/*
 * Asked with no lock of this module held (by the engine thread, or inside clo_view_map, _settle and
 * _access) when a host touch meets a page with no host mapping: make the folio at @index exist if
 * it is shared, up to date, and call @grant while its folio lock is held, with the indexes [start,
 * end) of it (at most one 2M block, @index inside) and the pfn of start. Return 0, -EACCES private,
 * -ERANGE beyond the end, -ENOMEM, -EHWPOISON, -EAGAIN in transition (asked again).
 */
typedef void (*clo_view_grant_fn)(void *garg, struct clo_range r, struct clo_pfn base);
typedef int (*clo_view_resolve_fn)(void *owner, uint64_t index, clo_view_grant_fn grant,
				   void *garg);

/* All host mappings of one guest_memfd. @npages: file size. -ENOMEM. */
struct clo_view_set;
int clo_view_set_create(struct clo_view_host *vh, uint64_t npages, clo_view_resolve_fn resolve,
			void *owner, struct clo_view_set **out) CLO_MUST_USE;
void clo_view_set_destroy(struct clo_view_set *vs); /* unmaps what is left */

/*
 * What to do between two questions after -EAGAIN, where nobody else waits for the answer; with
 * nothing of this module held. Until it is set: clo_relax().
 */
void clo_view_set_transit(struct clo_view_set *vs, void (*transit)(void *owner, uint64_t index));

/* One piece of the file: @r indexes are backed by pool pfns from @base. */
struct clo_view_piece {
	struct clo_range r;
	struct clo_pfn base;
};
/*
 * Map the file pages given by @pieces: in order, without gaps. @hidden: the private runs inside, in
 * order. The caller keeps conversions and holes of these pages out meanwhile. The last piece may
 * lie beyond the file (its base is not used): a touch there is SIGBUS. *addr: page-aligned address
 * in the VMM, not inherited by fork. -ENODEV level SOFT; -EINVAL pieces are none, empty, have gaps,
 * cross the end of the file, or are not in units of 2M in a pool of huge pages; -ENOMEM, also for
 * resolve (REMAP).
 */
int clo_view_map(struct clo_view_set *vs, const struct clo_view_piece *pieces, size_t piece_count,
		 const struct clo_range *hidden, size_t hidden_count, void **addr) CLO_MUST_USE;
/* *@shown: the indexes that it had. -EINVAL no such mapping. */
int clo_view_unmap(struct clo_view_set *vs, void *addr, uint64_t npages,
		   struct clo_range *shown) CLO_MUST_USE;

/*
 * Hide: after return no load, store or system call through any view of this set reaches a page of
 * @r. Every folio in @r is locked by the caller and none can appear (so that no grant runs).
 * -ENOMEM (REMAP: VMA limit), -EBUSY (REMAP: the VMM has moved a part that shows pages of @r):
 * pages are as before.
 */
int clo_view_hide(struct clo_view_set *vs, struct clo_range r) CLO_MUST_USE;
/*
 * Show: the pages of @r may be touched again; the caller keeps their folios from changing
 * (invalidation in progress, or folio locks). Those that have content (frame SHARED and UPTODATE)
 * are mapped at once, in one batch; the others are resolved at the first touch (UFFD, SOFT) or by
 * clo_view_settle (REMAP). Cannot fail in a way that loses anything: what the kernel refuses to map
 * stays hidden (REMAP) and is counted in stats.stuck_pages.
 */
void clo_view_show(struct clo_view_set *vs, struct clo_range r);
/*
 * Punch hole, release: the pages of @r leave all views but keep their kind; the next touch of a
 * shared page asks resolve again (REMAP: clo_view_settle).
 */
void clo_view_drop(struct clo_view_set *vs, struct clo_range r);
/*
 * Level REMAP, nothing elsewhere: ask resolve for the pages of @r that were shown or dropped and
 * have no folio, so that loads and stores find them. Called after a conversion or a hole is over,
 * nothing held. 0, or the first -ENOMEM, -EHWPOISON of resolve or the kernel; what was not mapped
 * can be asked again.
 */
int clo_view_settle(struct clo_view_set *vs, struct clo_range r) CLO_MUST_USE;

/*
 * A host access with an errno instead of a signal, at every level: copies @bytes between @buf and
 * file offset @off_bytes, page by page through memory of this module. The file's side is copied
 * while resolve grants it (SOFT: under the set's lock), @buf with nothing held: it may be any
 * memory. Called with no lock or folio lock held. -EFAULT private page, beyond the end, @buf cannot
 * be touched; -ENOMEM, -EHWPOISON as resolve said. All bytes before the first that could not be
 * copied are copied, none behind it.
 */
int clo_view_access(struct clo_view_set *vs, uint64_t off_bytes, void *buf, size_t bytes,
		    bool write) CLO_MUST_USE;

/* Is the page present in a view? For invariant I2 in the explorer: SOFT only, else false. */
bool clo_view_is_shown(const struct clo_view_set *vs, uint64_t index);

struct clo_view_stats {
	uint64_t mappings, hidden_calls, hidden_pages, shown_pages, resolved_faults, refused_faults,
		stuck_pages;
};
void clo_view_stats(const struct clo_view_set *vs, struct clo_view_stats *out);

#ifdef CLO_SYNC_EXPLORE
#include "view/view_fake.h" /* loads and stores through views, for tests */
#endif

#endif
