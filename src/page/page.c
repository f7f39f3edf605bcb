/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page/page.c - the pool: its memory, its frame array, its numbers; and the state machine as data.
 *
 * Everything large here is sparse: a default pool has 32 TiB of content and 128 GiB of frame array,
 * of which only what is used takes memory. The direct map is one mapping, whatever it shows: a
 * guest that touches a page here and there must not use up the process's mappings.
 */
#include "page_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define PFN_SPACE_MAX (1ULL << 38)
#define HUGE_PAGES    512ULL
#define HUGE_BYTES    (HUGE_PAGES * CLO_PAGE_SIZE)

#define F CLO_FRAME_FREE
#define S CLO_FRAME_SHARED
#define P CLO_FRAME_PRIVATE
#define L CLO_FRAME_LEAKED
#define X CLO_FRAME_STATE_COUNT /* no such step */
/* clang-format off */
const enum clo_frame_state clo_frame_next[CLO_FRAME_STATE_COUNT][CLO_FRAME_OP_COUNT] = {
	/*                       ALLOC_SHARED ALLOC_PRIVATE MAKE_PRIVATE MAKE_SHARED FREE LEAK */
	[CLO_FRAME_FREE]    = {  S,           P,            X,           X,          X,   X },
	[CLO_FRAME_SHARED]  = {  X,           X,            P,           X,          F,   L },
	[CLO_FRAME_PRIVATE] = {  X,           X,            X,           S,          F,   L },
	[CLO_FRAME_LEAKED]  = {  X,           X,            X,           X,          X,   X },
};
/* clang-format on */

const char *clo_frame_state_name(enum clo_frame_state s)
{
	static const char *const name[CLO_FRAME_STATE_COUNT] = { "free", "shared", "private",
								 "leaked" };

	return (unsigned)s < CLO_FRAME_STATE_COUNT ? name[s] : "?";
}

const char *clo_frame_op_name(enum clo_frame_op op)
{
	static const char *const name[CLO_FRAME_OP_COUNT] = {
		"alloc_shared", "alloc_private", "make_private", "make_shared", "free", "leak",
	};

	return (unsigned)op < CLO_FRAME_OP_COUNT ? name[op] : "?";
}

bool page_pool_back(struct clo_pagedb *db, struct clo_pfn pfn, uint64_t npages)
{
	uint64_t start = clo_align_down(pfn.n, HUGE_PAGES);
	uint64_t end = clo_align_up(pfn.n + npages, HUGE_PAGES);

	if (db->kind != CLO_POOL_HUGETLB)
		return true;
	return fallocate(db->fd, FALLOC_FL_KEEP_SIZE, (off_t)clo_page_file_off(clo_pfn(start)),
			 (off_t)((end - start) << CLO_PAGE_SHIFT)) == 0;
}

static int open_memfd(struct clo_pagedb *db)
{
	unsigned flags = MFD_CLOEXEC;
	struct rlimit limit;
	int ret;

	/* Beyond it ftruncate is SIGXFSZ. */
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
	    limit.rlim_cur < CLO_SPARSE_LEAD + db->map_bytes)
		return clo_fail(-ENOMEM, CLO_REASON_SPACE, "ulimit -f");
	if (db->kind == CLO_POOL_HUGETLB)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	ret = clo_fork_memfd(&db->fork_fd, "cloister-pool", flags);
	if (ret)
		return ret;
	db->fd = db->fork_fd.fd;
	if (ftruncate(db->fd, (off_t)(CLO_SPARSE_LEAD + db->map_bytes)))
		return clo_fail_errno(CLO_REASON_KERNEL, "ftruncate");
	return 0;
}

/* Without a free huge page the first touch of a HUGETLB pool would be a signal: ask now. */
static bool probe_huge(struct clo_pagedb *db)
{
	if (!page_pool_back(db, clo_pfn(0), 1))
		return false;
	clo_page_discard(db, clo_pfn(0), HUGE_PAGES);
	return true;
}

/* Guests' memory is no child's business, and would make fork() copy page tables without end. */
static void keep_from_children(struct clo_pagedb *db)
{
#ifndef CLO_SYNC_EXPLORE /* an arena, which outlives the pool */
	(void)madvise(db->base - CLO_SPARSE_LEAD, CLO_SPARSE_LEAD + db->map_bytes, MADV_DONTFORK);
#else
	(void)db;
#endif
}

static int map_content(struct clo_pagedb *db)
{
	void *p;
	int ret;

	db->map_bytes = (size_t)(db->pfn_space << CLO_PAGE_SHIFT);
	if (db->kind == CLO_POOL_ANON) {
		db->base = clo_alloc_sparse(db->map_bytes);
		if (!db->base)
			return clo_fail(-ENOMEM, CLO_REASON_SPACE, "memory of the host");
		keep_from_children(db);
		return 0;
	}
	db->map_bytes = (size_t)clo_align_up(db->map_bytes, HUGE_BYTES);
	ret = open_memfd(db);
	if (ret)
		return ret;
	p = clo_map_sparse(db->map_bytes, MAP_SHARED, db->fd);
	if (!p)
		return clo_fail(-ENOMEM, CLO_REASON_SPACE, "memory of the host");
	db->base = p;
	keep_from_children(db);
	/* A core dump must neither hold guests' memory nor walk 1 TiB. */
	(void)madvise(db->base - CLO_SPARSE_LEAD, CLO_SPARSE_LEAD + db->map_bytes, MADV_DONTDUMP);
	if (db->kind == CLO_POOL_HUGETLB && !probe_huge(db))
		return clo_fail(-ENOMEM, CLO_REASON_HUGETLB, "memory of the host");
	return 0;
}

static int create(enum clo_pool_kind kind, uint64_t frames_limit, uint64_t pfn_space,
		  struct clo_pagedb **out)
{
	struct clo_pagedb *db = clo_alloc_aligned(_Alignof(struct clo_pagedb), sizeof(*db));
	int ret;

	if (!db)
		return clo_fail_heap("host");
	memset(db, 0, sizeof(*db));
	db->kind = kind;
	db->fd = -1;
	db->frames_limit = frames_limit;
	db->pfn_space = pfn_space;
	clo_mutex_init(&db->lock, CLO_RANK_PAGE, "page windows");
	ret = page_tree_init(&db->tree, pfn_space);
	if (ret == 0)
		ret = page_counts_init(&db->counts, pfn_space);
	if (ret == 0)
		ret = map_content(db);
	if (ret == 0) {
		db->frames = clo_alloc_sparse((size_t)pfn_space * sizeof(*db->frames));
		ret = db->frames ? 0 : clo_fail(-ENOMEM, CLO_REASON_SPACE, "frames of the host");
	}
	if (ret) {
		clo_pagedb_destroy(db);
		return ret;
	}
	*out = db;
	return 0;
}

#ifdef CLO_SYNC_EXPLORE
/* The explorer's arena is small. */
static uint64_t default_space(uint64_t frames_limit)
{
	return 4 * frames_limit;
}
#else
/* At most half of the address space for all pools together: views want some, and the VMM. */
#ifdef CLO_SYNC_TSAN /* leaves 1.5 TiB of it */
#define SPACE_AT_MOST (1ULL << 27)
#else
#define SPACE_AT_MOST (1ULL << 33) /* 32 TiB */
#endif
#define SPACE_OF_PROCESS (2 * SPACE_AT_MOST)

static struct clo_a64 spaces; /* of all pools */

/* The largest power of two that leaves as much again, for the next host, and 3/4 of a limit. */
static uint64_t default_space(uint64_t frames_limit)
{
	uint64_t taken = clo_a64_get(&spaces);
	uint64_t room = taken < SPACE_OF_PROCESS ? (SPACE_OF_PROCESS - taken) / 2 : 0;
	uint64_t space = SPACE_AT_MOST;
	struct rlimit r;

	if (getrlimit(RLIMIT_AS, &r) == 0 && r.rlim_cur != RLIM_INFINITY &&
	    r.rlim_cur / 4 >> CLO_PAGE_SHIFT < room)
		room = r.rlim_cur / 4 >> CLO_PAGE_SHIFT;
	while (space > room)
		space /= 2;
	return space > 4 * frames_limit ? space : 4 * frames_limit;
}
#endif

int clo_pagedb_create(enum clo_pool_kind kind, uint64_t frames_limit, uint64_t pfn_space,
		      struct clo_pagedb **out)
{
	uint64_t least = pfn_space ? pfn_space : frames_limit;
	int ret;

	if (frames_limit == 0 || frames_limit > PFN_SPACE_MAX)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "clo_host_config.mem_bytes");
	if (pfn_space == 0)
		pfn_space = default_space(frames_limit);
	else if (pfn_space < frames_limit || pfn_space > PFN_SPACE_MAX)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "clo_host_config.mem_bytes");
	if (pfn_space > PFN_SPACE_MAX)
		pfn_space = PFN_SPACE_MAX;
	/* Strict overcommit, a limit of file size, a sanitizer: less room then. */
	while ((ret = create(kind, frames_limit, pfn_space, out)) == -ENOMEM && pfn_space > least)
		pfn_space = pfn_space / 2 > least ? pfn_space / 2 : least;
	if (ret)
		return ret;
#ifndef CLO_SYNC_EXPLORE
	clo_a64_add(&spaces, pfn_space);
#endif
	return 0;
}

void clo_pagedb_destroy(struct clo_pagedb *db)
{
	if (!db)
		return;
	if (db->frames)
		clo_free_sparse(db->frames, (size_t)db->pfn_space * sizeof(*db->frames));
	if (db->base && db->kind == CLO_POOL_ANON)
		clo_free_sparse(db->base, db->map_bytes);
	else if (db->base)
		clo_unmap_sparse(db->base, db->map_bytes);
	if (db->fd >= 0)
		clo_fork_fd_close(&db->fork_fd);
#ifndef CLO_SYNC_EXPLORE
	if (db->frames) /* it was finished */
		clo_a64_sub(&spaces, db->pfn_space);
#endif
	page_counts_destroy(&db->counts);
	page_tree_destroy(&db->tree);
	clo_mutex_destroy(&db->lock);
	clo_free(db);
}

enum clo_pool_kind clo_pagedb_kind(const struct clo_pagedb *db)
{
	return db->kind;
}

int clo_pagedb_fd(const struct clo_pagedb *db)
{
	return db->fd;
}

void clo_pagedb_stats(const struct clo_pagedb *db, struct clo_pagedb_stats *out)
{
	*out = (struct clo_pagedb_stats){
		.frames_limit = db->frames_limit,
		.frames_used = clo_a64_get(&db->used),
		.frames_leaked = clo_a64_get(&db->leaked),
		.frames_nodirect = clo_stat_get(&db->nodirect),
		.windows = clo_a64_get(&db->windows),
	};
}

void *clo_page_addr(const struct clo_pagedb *db, struct clo_pfn pfn)
{
	if (clo_pfn_is_user(pfn))
		return (void *)(uintptr_t)((pfn.n & ~CLO_PFN_USER) << CLO_PAGE_SHIFT);
	return db->base + (pfn.n << CLO_PAGE_SHIFT);
}

#ifdef CLO_SYNC_EXPLORE
/* Old bytes show a leak (I3) where zeroes would hide it. */
static bool keeps_bytes(const struct clo_pagedb *db)
{
	return db->kind == CLO_POOL_ANON;
}
#else
static bool keeps_bytes(const struct clo_pagedb *db)
{
	(void)db;
	return false;
}
#endif

void clo_page_discard(struct clo_pagedb *db, struct clo_pfn pfn, uint64_t npages)
{
	uint64_t start = pfn.n;
	uint64_t end = pfn.n + npages;
	int cancel;

	if (db->kind == CLO_POOL_HUGETLB) { /* neighbours in a huge page stay */
		start = clo_align_up(start, HUGE_PAGES);
		end = clo_align_down(end, HUGE_PAGES);
	}
	if (start >= end || keeps_bytes(db))
		return;
	cancel = clo_cancel_off();
	/* A refusal only costs memory: the content is undefined either way. */
	if (db->kind == CLO_POOL_ANON)
		(void)madvise(db->base + (start << CLO_PAGE_SHIFT),
			      (size_t)((end - start) << CLO_PAGE_SHIFT), MADV_DONTNEED);
	else
		(void)fallocate(db->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)clo_page_file_off(clo_pfn(start)),
				(off_t)((end - start) << CLO_PAGE_SHIFT));
	clo_cancel_restore(cancel);
}
