/* SPDX-License-Identifier: Apache-2.0 */
/* gmem/gmem_internal.h - what the files of module gmem share. */
#ifndef CLO_GMEM_GMEM_INTERNAL_H
#define CLO_GMEM_GMEM_INTERNAL_H

#include "gmem.h"

/* One reserved window of the pool. A bit of touched is set before the first folio of its 2M block
 * can exist, so that walks pass over the rest. */
#define GMEM_BLOCK_ORDER   9
#define GMEM_BLOCK_PAGES   (1ULL << GMEM_BLOCK_ORDER)
#define GMEM_TOUCHED_WORDS ((1U << (CLO_MAX_FOLIO_ORDER - GMEM_BLOCK_ORDER)) / 64)
struct gmem_window {
	struct clo_pfn base;
	struct clo_a64 touched[GMEM_TOUCHED_WORDS];
};

/* Inner node of the file map; see gmem_map.c. */
#define GMEM_NODE_BITS 9
struct gmem_node {
	struct clo_aptr slot[1U << GMEM_NODE_BITS];
};

struct clo_gmem {
	/* Read by every fault; written once, but for root and released. */
	struct clo_pagedb *db;
	uint64_t npages;
	struct clo_aptr root; /* window when depth is 0, else node; grows under map_lock */
	unsigned win_order;
	unsigned depth;
	struct clo_a32 released;
	uint32_t owner;
	uint32_t fork_gen; /* clo_forked(): a child's copy */
	unsigned page_order;
	uint64_t flags;
	struct clo_attr *attr;
	struct clo_view_set *views; /* or NULL */
	struct clo_gmem_ops ops;

	_Alignas(64) struct clo_inval inval;
	struct clo_a64 refs, watchers; /* gmem.c */
	struct clo_a64 lost;           /* frames that were pinned at close and are still */
	struct clo_rangelock ranges;
	struct clo_mutex map_lock; /* rank TABLE: growth of the file map */
	struct clo_aptr bindings;  /* sorted by index; who may write: gmem_bind.c */

	struct clo_mutex pin_lock; /* rank LEAF */
	struct clo_cond unpinned;
	struct clo_gmem_pin *pins;  /* [pin_lock] */
	struct clo_a64 unpin_count; /* [pin_lock to write] */

	struct clo_stat zeroed, prepared, splits, merges, punched, punched_pinned;
};

static inline struct clo_range gmem_all(const struct clo_gmem *g)
{
	return clo_range(0, g->npages);
}

/* gmem_map.c: which pfns belong to which indexes. */
void gmem_map_init(struct clo_gmem *g);
void gmem_map_destroy(struct clo_gmem *g); /* gives all windows back */
struct gmem_window *gmem_window_find(const struct clo_gmem *g,
				     uint64_t index); /* lock-free; NULL */
/* Find or reserve. -ENOMEM. */
int gmem_window_get(struct clo_gmem *g, uint64_t index, struct gmem_window **out) CLO_MUST_USE;
/* Before a folio of 2^order frames at @index is made. */
void gmem_window_touch(const struct clo_gmem *g, struct gmem_window *win, uint64_t index,
		       unsigned order);

static inline struct clo_pfn gmem_window_pfn(const struct clo_gmem *g,
					     const struct gmem_window *win, uint64_t index)
{
	return clo_pfn(win->base.n + (index & ((1ULL << g->win_order) - 1)));
}

/* A locked folio. */
struct gmem_hold {
	struct clo_pfn pfn; /* of the index asked for, or met */
	struct clo_pfn head;
	unsigned order;
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

/* gmem_host.c: clo_view_resolve_fn. */
int gmem_resolve(void *owner, uint64_t index, clo_view_grant_fn grant, void *garg);

#endif
