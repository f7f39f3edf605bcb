/* SPDX-License-Identifier: Apache-2.0 */
/* view/view_internal.h - what the files of module view share. */
#ifndef CLO_VIEW_VIEW_INTERNAL_H
#define CLO_VIEW_VIEW_INTERNAL_H

#include "view/view.h"
#include "view/view_sys.h"

#define VIEW_HUGE_PAGES 512ULL

struct view_map;
struct view_seg;

/* What differs between the two levels with mappings. Under the set's lock, @x in the mapping. */
struct view_real_ops {
	/* Put the mapping at m->addr, with nothing reachable. -errno: the range is released. */
	int (*install)(struct view_map *m);
	/* The set knows it now: it may be touched. May be NULL. */
	int (*open)(struct view_map *m);
	/* Nothing of it is reachable after this, nor looked after; *out: what is to be unmapped. */
	int (*detach)(struct view_map *m, struct view_seg **out);
	/* hide, show, drop and detach may say -EAGAIN: what the VMM does to its address space is
	 * not known yet. Nothing may be held while this waits for it. May be NULL. */
	void (*wait)(struct clo_view_host *vh);
	/* Nothing of @x is reachable after it. On failure nothing has changed. */
	int (*hide)(struct view_map *m, struct clo_range x);
	/* Second half of hide, when every mapping agreed; or back to what it was. */
	void (*hide_commit)(struct view_map *m, struct clo_range x);
	void (*hide_undo)(struct view_map *m, struct clo_range x);
	int (*show)(struct view_map *m, struct clo_range x);
	int (*drop)(struct view_map *m, struct clo_range x);
	/* Keep all that is ours of it from children once more: the VMM may have said otherwise.
	 * With the host's lock, not the set's. */
	void (*keep)(struct view_map *m);
	/* The caller holds the folio lock of @x. @wanted: it is the mapping that was touched. */
	int (*grant)(struct view_map *m, struct clo_range x, bool wanted);
};

/* What differs between levels as a whole; the explorer has SOFT only. */
struct view_ops {
	int (*host_init)(struct clo_view_host *vh);
	void (*host_fini)(struct clo_view_host *vh);
	void (*set_fini)(struct clo_view_set *vs);
	int (*map)(struct clo_view_set *vs, const struct clo_view_piece *pieces, size_t count,
		   const struct clo_range *hidden, size_t hidden_count, void **addr);
	int (*unmap)(struct clo_view_set *vs, void *addr, uint64_t npages, struct clo_range *shown);
	int (*hide)(struct clo_view_set *vs, struct clo_range r);
	void (*show)(struct clo_view_set *vs, struct clo_range r);
	void (*drop)(struct clo_view_set *vs, struct clo_range r);
	int (*settle)(struct clo_view_set *vs, struct clo_range r);
	/* Of one page, with memory of the engine. -errno of resolve. */
	int (*access)(struct clo_view_set *vs, uint64_t off, uint8_t *bounce, size_t bytes,
		      bool write);
	bool (*is_shown)(const struct clo_view_set *vs, uint64_t index);
	const struct view_real_ops *real;
};
extern const struct view_ops view_soft_ops;
extern const struct view_ops view_uffd_ops;  /* threads only */
extern const struct view_ops view_remap_ops; /* threads only */

struct view_engine; /* view_engine.c */

/* How the kernel names a file that is mapped. */
struct view_file {
	uint64_t inode;
	uint32_t dev_major, dev_minor;
};

struct clo_view_host {
	struct clo_pagedb *db;
	enum clo_view_level level;
	const struct view_ops *ops;
	uint64_t unit; /* pages that are protected together: 1, or 512 in a pool of huge pages */
	int empty_fd;  /* what pages beyond the end, and at level REMAP private ones, map */
	struct clo_mutex spare_lock; /* rank LEAF */
	void *spare;                 /* REMAP [spare_lock]: a VMA in reserve */
	int maps_fd;                 /* REMAP: /proc/self/maps, -1: cannot be asked */
	struct view_file pool_file, empty_file;
	struct view_engine *engine; /* UFFD */
	/* Rank VIEW, never together with a set's: maps, and dying, refs of each. */
	struct clo_mutex lock;
	struct clo_cond idle;   /* refs of a mapping came to 0 */
	struct view_map *maps;  /* [lock] of all sets: where the engine finds an address */
	struct clo_rwlock ours; /* rank LEAF: segs of all mappings, see view_seg.c */
	struct clo_fork_hook fork_hook;
};

#define VIEW_SOFT_BUCKETS 64

struct clo_view_set {
	struct clo_view_host *vh;
	uint64_t npages;
	clo_view_resolve_fn resolve;
	void (*transit)(void *owner, uint64_t index);
	void *owner;
	struct clo_rwlock lock; /* rank VIEW */
	struct view_map *maps;  /* [lock] */
	/* Counts shows: a refusal that was asked for before one must not poison after it. */
	struct clo_a64 show_seq;
	struct clo_aptr soft[VIEW_SOFT_BUCKETS]; /* SOFT: struct soft_chunk, hashed by index */
	struct clo_stat hidden_calls, hidden_pages, shown_pages, resolved_faults, refused_faults,
		stuck_pages;
};

/* A part of a mapping, where the VMM has it now. */
struct view_seg {
	struct view_seg *next;
	uint8_t *addr;
	struct clo_range r; /* indexes, also of the tail */
};

/* One mapping. */
struct view_map {
	struct view_map *next_in_set;  /* [set lock] */
	struct view_map *next_in_host; /* [host lock] */
	struct clo_view_set *set;
	uint8_t *addr;                /* as it was made, and as the VMM names it */
	struct view_seg *segs;        /* [host ours] */
	struct clo_range r;           /* indexes; empty: only a tail */
	uint64_t tail;                /* pages behind r, beyond the end of the file */
	bool dying;                   /* [host lock] unmap has begun */
	uint32_t refs;                /* [host lock] engine at work on a fault */
	struct clo_a64 *shown, *want; /* REMAP: bits per page; shared but not mapped = want */
	size_t piece_count;
	struct clo_view_piece pieces[];
};

static inline uint8_t *view_addr(const struct view_map *m, uint64_t index)
{
	return m->addr + (index - m->r.start) * CLO_PAGE_SIZE;
}
static inline size_t view_bytes(struct clo_range r)
{
	return (size_t)(clo_range_len(r) * CLO_PAGE_SIZE);
}
/* The indexes of @m with those of its tail, which no page of the file has. */
static inline struct clo_range view_all(const struct view_map *m)
{
	return clo_range(m->r.start, m->r.end + m->tail);
}
/* @r rounded out to units, inside the mapping (whose ends are multiples of the unit). */
static inline struct clo_range view_clip_out(const struct view_map *m, struct clo_range r)
{
	uint64_t unit = m->set->vh->unit;

	if (r.start >= r.end || !clo_range_overlaps(r, m->r))
		return clo_range(0, 0);
	r = clo_range_clip(r, m->r);
	return clo_range(clo_align_down(r.start, unit), clo_align_up(r.end, unit));
}

/* view.c: before a fork, of a host with mappings; for clo_fork_hook_add(). */
void view_real_before_fork(void *host);

/* view_map.c: what both levels with mappings share. */
int view_real_map(struct clo_view_set *vs, const struct clo_view_piece *pieces, size_t count,
		  const struct clo_range *hidden, size_t hidden_count, void **addr);
int view_real_unmap(struct clo_view_set *vs, void *addr, uint64_t npages, struct clo_range *shown);
int view_real_hide(struct clo_view_set *vs, struct clo_range r);
void view_real_show(struct clo_view_set *vs, struct clo_range r);
void view_real_drop(struct clo_view_set *vs, struct clo_range r);
void view_real_set_fini(struct clo_view_set *vs);
bool view_real_is_shown(const struct clo_view_set *vs, uint64_t index);
struct clo_pfn view_pfn(const struct view_map *m, uint64_t index);
/* End of the piece of @m that holds @index. */
uint64_t view_piece_end(const struct view_map *m, uint64_t index);
/*
 * Call @map for each unit of @x that has content throughout. The folio lock of @x is held; a unit
 * that @x does not fill needs its other folios locked too, which are only tried. 0; -ENOENT a page
 * without content; -EACCES a private page; -EAGAIN a lock is busy; or what @map returned.
 */
int view_grant_units(struct view_map *m, struct clo_range x,
		     int (*map)(struct view_map *m, struct clo_range x));
/* The unit of the first page in [@at, end) that has a frame; or @end. A few pages may lie TiB
 * apart. */
uint64_t view_next_frame(const struct view_map *m, uint64_t at, uint64_t end);
/* The longest run of pages from @at, at most to @end, that all have content, or all have none. */
struct clo_range view_content_run(const struct view_map *m, uint64_t at, uint64_t end,
				  bool *content);
/* Make a mapping of @pieces and add it to the set. */
int view_map_add(struct clo_view_set *vs, const struct clo_view_piece *pieces, size_t count,
		 struct view_map **out);
/* view_seg.c */
/* Address space for a mapping: where the kernel puts nothing else by itself, if it can be had. */
uint8_t *view_reserve(size_t bytes, size_t align);
/* The errno of a view_reserve() that gave NULL, with its reason. */
int view_no_room(void);
int view_seg_add(struct view_map *m, uint8_t *addr, struct clo_range r);
void view_seg_free(struct view_seg *s); /* the list */
/* Both with ours held for writing and the host's lock: the VMM has unmapped, moved. */
void view_seg_unmapped(struct clo_view_host *vh, const uint8_t *start, const uint8_t *end);
void view_seg_moved(struct clo_view_host *vh, const uint8_t *from, uint8_t *to, size_t bytes);
/* With ours held. */
struct view_seg *view_seg_find(const struct view_map *m, const uint8_t *addr);
/* Called with ours held for each part of @x that is still there; at most @chunk pages at a time, so
 * that the engine is not kept from reading. The first error, -EAGAIN before others. */
typedef int (*view_seg_fn)(struct view_map *m, uint8_t *addr, struct clo_range r);
int view_seg_each(struct view_map *m, struct clo_range x, uint64_t chunk, view_seg_fn fn);
int view_seg_zap(struct view_map *m, uint8_t *addr, struct clo_range r); /* a view_seg_fn */
int view_seg_detach(struct view_map *m, struct view_seg **out);
void view_seg_wait(struct clo_view_host *vh);

/* No engine at work, not mapped, freed. Called once, by the one who set dying. */
void view_map_remove(struct view_map *m);
/*
 * Ask the owner for @index (and, in huge memory, for what is missing of its block); granted pages
 * are mapped in @m (REMAP: wherever they are wanted; @m may be NULL). -errno of resolve or of the
 * mapping; -EAGAIN is waited out unless @once.
 */
int view_ask(struct clo_view_set *vs, struct view_map *m, uint64_t index, bool once);

/* view_tail.c: the empty file, and the part of a mapping that is beyond its file. 0 or -errno. */
int view_empty_open(struct clo_view_host *vh);
void view_empty_close(struct clo_view_host *vh);
int view_tail_map(struct view_map *m);

/* view_owned.c */
void view_owned_open(struct clo_view_host *vh);
void view_owned_close(struct clo_view_host *vh);
/* The longest run of pages from x.start, at most to x.end, that are all ours at their address, or
 * all not; the tail counts too. */
struct clo_range view_owned_run(const struct view_map *m, struct clo_range x, bool *ours);
/* Does this process have a page of @x in a mapping that is not where the set has it? With the set's
 * lock; looks at all file mappings. */
bool view_owned_elsewhere(const struct view_map *m, struct clo_range x);

/* A clo_view_grant_fn and what it is called with: maps what is granted, as view_ask() says. */
struct view_ask {
	struct clo_view_set *vs;
	struct view_map *m;
	int ret;
};
void view_ask_grant(void *garg, struct clo_range r, struct clo_pfn base);

/* view_access.c */
int view_real_access(struct clo_view_set *vs, uint64_t off, uint8_t *bounce, size_t bytes,
		     bool write);

/* view_buf.c: copy between the caller's buffer and the engine's; fewer bytes: it is bad there. */
size_t view_buf_copy(void *buf, void *bounce, size_t bytes, bool to_buf);

/* view_uffd.c: system calls on a userfaultfd. 0 or -errno. */
struct view_uffd {
	int fd;
	bool user_mode_only;
	uint64_t features;
};
int view_uffd_open(struct view_uffd *u, uint64_t features);
int view_uffd_register(int fd, void *addr, size_t bytes, uint64_t mode);
/* *done: bytes that were mapped or poisoned before the error. Mappings of the VMM's making that
 * meet inside are passed over in units. -EAGAIN: view_uffd_changing(). */
int view_uffd_continue(int fd, void *addr, size_t bytes, size_t unit, size_t *done);
int view_uffd_poison(int fd, void *addr, size_t bytes, size_t unit, size_t *done);
/* Has the VMM unmapped or moved something that was registered, and nobody has read it yet? */
bool view_uffd_changing(int fd);
void view_uffd_wake(int fd, void *addr, size_t bytes);
/* Empty the page tables of a range; locked memory (mlockall) too. 0 or -errno. */
int view_zap(void *addr, size_t bytes);
/* Does a page table of the range map anything? False also where the kernel cannot tell (< 6.7). */
bool view_is_mapped(const void *addr, size_t bytes);
/* What a host view needs of the kernel. */
#define VIEW_UFFD_EVENT_REMAP   (1ULL << 2)
#define VIEW_UFFD_EVENT_UNMAP   (1ULL << 6)
#define VIEW_UFFD_MINOR_HUGETLB (1ULL << 9)
#define VIEW_UFFD_MINOR_SHMEM   (1ULL << 10)
#define VIEW_UFFD_POISON        (1ULL << 14)
#define VIEW_UFFD_WP_ASYNC      (1ULL << 15)

/* view_engine.c */
int view_engine_start(struct clo_view_host *vh, uint64_t features);
void view_engine_stop(struct clo_view_host *vh);
int view_engine_fd(const struct clo_view_host *vh);
/* view_level_uffd.c: poison the unit of @index, unless a show has come after @seq was read. */
void view_level_refuse(struct view_map *m, uint64_t index, uint64_t seq);

#endif
