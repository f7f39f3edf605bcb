/* SPDX-License-Identifier: Apache-2.0 */
/* gmem/gmem_internal.h - what the files of module gmem share. */
#ifndef CLO_GMEM_GMEM_INTERNAL_H
#define CLO_GMEM_GMEM_INTERNAL_H

#include "gmem.h"

#define GMEM_BLOCK_ORDER 9
#define GMEM_BLOCK_PAGES (1ULL << GMEM_BLOCK_ORDER)

/* A run of pfns of the pool that stands for as many indexes: gmem_map.c. */
struct gmem_window {
	struct clo_pfn base;
	uint64_t start; /* index of base */
	unsigned order;
	struct clo_a64 users; /* what keeps it besides its frames; and has it left the file? */
	struct clo_rcu_head rcu;
};

struct clo_gmem {
	/* Read by every fault; written once, but for root and released. */
	struct clo_pagedb *db;
	uint64_t npages;
	struct clo_aptr root; /* a window or a node; [map_lock to write] */
	unsigned map_order;   /* of the pages that the root stands for */
	unsigned least_order; /* of a window */
	struct clo_a32 released;
	uint32_t owner;
	uint32_t fork_gen; /* clo_forked(): a child's copy */
	unsigned page_order;
	uint64_t flags;
	struct clo_attr *attr;
	struct clo_view_set *views; /* or NULL */
	bool all_at_once;           /* a mapping needs all its shared pages when it is made */
	struct clo_gmem_ops ops;

	_Alignas(64) struct clo_inval inval;
	struct clo_a64 refs, watchers; /* gmem.c */
	struct clo_a64 lost;           /* frames that were pinned at close and are still */
	struct clo_rangelock ranges;
	struct clo_mutex map_lock; /* rank TABLE: changes of the file map */
	struct clo_aptr bindings;  /* sorted by index; who may write: gmem_bind.c */

	struct clo_mutex pin_lock; /* rank LEAF */
	struct clo_cond unpinned;
	struct clo_gmem_pin *pins; /* [pin_lock] */
	uint64_t blamed_gone;      /* [pin_lock] blamed pins that have ended */
	bool blame_next;           /* [pin_lock] a pin was blamed that is not on the list */

	struct clo_stat zeroed, prepared, invalidated, splits, merges, punched, punched_pinned;
};

static inline struct clo_range gmem_all(const struct clo_gmem *g)
{
	return clo_range(0, g->npages);
}

/* gmem_map.c: which pfns belong to which indexes. */
void gmem_map_init(struct clo_gmem *g);
void gmem_map_destroy(struct clo_gmem *g); /* gives all windows back */
/* Lock-free, in a read section; NULL. Who has no use of it asks, after it has looked at a frame,
 * whether it was dead. */
struct gmem_window *gmem_window_find(const struct clo_gmem *g, uint64_t index);
bool gmem_window_is_dead(const struct gmem_window *win);
/* Find or reserve, and use: it stays until put. For a mapping it is never more than what is free
 * beyond what is kept back for frames. -ENOMEM. */
int gmem_window_get(struct clo_gmem *g, uint64_t index, bool mapping,
		    struct gmem_window **out) CLO_MUST_USE;
/* Use it if it is there. */
bool gmem_window_use(const struct clo_gmem *g, uint64_t index, struct gmem_window **out);
/* @look: it may be without a frame, and then it goes. */
void gmem_window_put(struct clo_gmem *g, struct gmem_window *win, bool look);
/* From *win (NULL: none yet), used, to the one of @index, in which there is a frame. */
void gmem_window_move(struct clo_gmem *g, struct gmem_window **win, uint64_t index);
/* A mapping of @index is gone, and its uses. */
void gmem_windows_unmapped(struct clo_gmem *g, struct clo_range index);
/* Windows that meet @index and are used by nobody go, if they have no frame. */
void gmem_map_trim(struct clo_gmem *g, struct clo_range index);

static inline bool gmem_window_has(const struct gmem_window *win, uint64_t index)
{
	return index - win->start < 1ULL << win->order;
}

static inline struct clo_pfn gmem_window_pfn(const struct gmem_window *win, uint64_t index)
{
	return clo_pfn(win->base.n + (index - win->start));
}

/* A locked folio. */
struct gmem_hold {
	struct clo_pfn pfn; /* of the index asked for, or met */
	struct clo_pfn head;
	unsigned order;
	bool made; /* by this call */
};
/* The first folio that has a page in [*at, end), locked; *at moves behind it. False: none left. */
bool gmem_folio_lock_next(const struct clo_gmem *g, uint64_t *at, uint64_t end,
			  struct gmem_hold *h);

/* gmem_folio.c */
/* The folio of @index, made if missing, locked. Errors as clo_gmem_get_folio, but for prepare's. */
int gmem_folio_hold(struct clo_gmem *g, uint64_t index, bool is_private,
		    struct gmem_hold *h) CLO_MUST_USE;
/* Zeroed if it is not up to date; *fresh tells, and the caller sets the flag when nothing else can
 * fail. -EHWPOISON; -EAGAIN: lost, no longer locked. */
int gmem_folio_clear(struct clo_gmem *g, struct gmem_hold *h, bool *fresh) CLO_MUST_USE;

/* gmem_hooks.c */
int gmem_prepare(struct clo_gmem *g, const struct gmem_hold *h, uint64_t index,
		 struct clo_gfn gfn) CLO_MUST_USE;

/* gmem_pin.c: who waits for a pin looks again. */
void gmem_wake_blamers(struct clo_gmem *g);

/* gmem_made.c: shared pages that a call makes first. */
struct gmem_made {
	struct clo_gmem *g;
	uint64_t start, pages;
	uint64_t *map; /* bit: made here; NULL: none was missing */
	uint64_t few;
	bool any;
};
void gmem_made_init(struct gmem_made *m, struct clo_gmem *g, struct clo_range index);
/* Is there, or is made, and nobody has to know: errors as clo_gmem_get_folio(). */
int gmem_made_page(struct gmem_made *m, uint64_t index) CLO_MUST_USE;
/* @keep: else those that nobody has used since are freed. */
void gmem_made_end(struct gmem_made *m, bool keep);

/* gmem_bind.c: the ops of all bindings that meet @index. */
void gmem_stage2_begin(struct clo_gmem *g, struct clo_range index);
void gmem_stage2_zap(struct clo_gmem *g, struct clo_range index,
		     enum clo_zap_reason why); /* with the flush */
void gmem_stage2_end(struct clo_gmem *g, struct clo_range index);
void gmem_bindings_orphan(struct clo_gmem *g);

/* gmem_falloc.c */
/* Free all folios of @index, out of every view first. Inside the invalidation, zapped. @closing:
 * pinned frames are leaked, else zeroed in place. */
void gmem_free_range(struct clo_gmem *g, struct clo_range index, bool closing);
void gmem_drop_views(struct clo_gmem *g, struct clo_range index);

/* gmem_pin.c: the holder of some pin, whatever it pins. */
void gmem_pin_any_holder(struct clo_gmem *g, char *name, size_t size);

/* gmem_map.c: the folio's part of clo_gmem_wait(), where a change in progress may be our own. */
void gmem_wait_folio(struct clo_gmem *g, uint64_t index, struct clo_waiter *who);

/* gmem_host.c: clo_view_resolve_fn. */
int gmem_resolve(void *owner, uint64_t index, clo_view_grant_fn grant, void *garg);
void gmem_transit(void *owner, uint64_t index);

#endif
