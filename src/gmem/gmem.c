/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/gmem.c - life of a guest_memfd: create, references, release; what it is; what it refuses.
 */
#include "gmem_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define ALL_FLAGS                                                                                  \
	(CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED | CLO_GMEM_HUGETLB | CLO_GMEM_ZERO_ON_CONVERT |      \
	 CLO_GMEM_NO_DIRECT_MAP)

static int check_config(const struct clo_gmem_config *cfg)
{
	bool huge = (cfg->flags & CLO_GMEM_HUGETLB) != 0;

	if (cfg->flags & ~ALL_FLAGS)
		return clo_fail(-EINVAL, CLO_REASON_FLAGS, "flags");
	if (cfg->flags & ~cfg->valid_flags)
		return clo_fail(-EINVAL, CLO_REASON_UNSUPPORTED, "flags");
	if (cfg->size == 0)
		return clo_fail(-EINVAL, CLO_REASON_EMPTY, "bytes");
	if ((int64_t)cfg->size < 0)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "bytes");
	if (!clo_is_aligned(cfg->size, CLO_PAGE_SIZE))
		return clo_fail(-EINVAL, CLO_REASON_ALIGN, "bytes");
	if (huge && (cfg->flags & CLO_GMEM_INIT_SHARED))
		return clo_fail(-EINVAL, CLO_REASON_UNSUPPORTED, "flags");
	if (huge ? cfg->page_order != 9 && cfg->page_order != CLO_MAX_FOLIO_ORDER
		 : cfg->page_order != 0)
		return clo_fail(-EINVAL, CLO_REASON_VALUE, "page_order");
	if (!clo_is_aligned(cfg->size, CLO_PAGE_SIZE << cfg->page_order))
		return clo_fail(-EINVAL, CLO_REASON_ALIGN, "bytes");
	if (cfg->owner == 0 || cfg->owner > UINT16_MAX)
		return clo_fail(-EINVAL, CLO_REASON_VALUE, "owner");
	return 0;
}

int clo_check_range(uint64_t at, const char *at_name, uint64_t bytes, const char *bytes_name)
{
	if (bytes == 0)
		return clo_fail(-EINVAL, CLO_REASON_EMPTY, bytes_name);
	if (at + bytes <= at)
		return clo_fail(-EINVAL, CLO_REASON_WRAP, bytes_name);
	if (!clo_is_aligned(at, CLO_PAGE_SIZE))
		return clo_fail(-EINVAL, CLO_REASON_ALIGN, at_name);
	if (!clo_is_aligned(bytes, CLO_PAGE_SIZE))
		return clo_fail(-EINVAL, CLO_REASON_ALIGN, bytes_name);
	return 0;
}

/* The last reference is gone: all but what a watcher may ask. */
static void gmem_fini(struct clo_gmem *g)
{
	if (g->views)
		clo_view_set_destroy(g->views);
	gmem_map_destroy(g);
	clo_mutex_destroy(&g->map_lock);
	clo_rangelock_destroy(&g->ranges);
	clo_attr_destroy(g->attr);
}

int clo_gmem_open(struct clo_pagedb *db, struct clo_view_host *vh,
		  const struct clo_gmem_config *cfg, struct clo_gmem **out)
{
	struct clo_gmem *g;
	int ret = check_config(cfg);

	if (ret)
		return ret;
	g = clo_alloc_aligned(_Alignof(struct clo_gmem), sizeof(*g));
	if (!g)
		return clo_fail_heap("guest_memfd");
	memset(g, 0, sizeof(*g));
	g->db = db;
	g->npages = cfg->size >> CLO_PAGE_SHIFT;
	g->owner = cfg->owner;
	g->fork_gen = clo_fork_now();
	g->page_order = cfg->page_order;
	g->flags = cfg->flags;
	g->ops = cfg->ops;
	assert(!g->ops.prepare == !g->ops.invalidate);
	ret = clo_attr_create(g->npages, !(g->flags & CLO_GMEM_INIT_SHARED), &g->attr);
	if (ret) {
		clo_free(g);
		return ret;
	}
	gmem_map_init(g);
	clo_a64_set(&g->refs, 1);
	clo_a64_set(&g->watchers, 1); /* all references together */
	clo_rangelock_init(&g->ranges, CLO_RANK_RANGE, "gmem ranges");
	clo_mutex_init(&g->map_lock, CLO_RANK_TABLE, "gmem map");
	clo_mutex_init(&g->pin_lock, CLO_RANK_LEAF, "gmem pins");
	clo_cond_init(&g->unpinned);
	if ((g->flags & CLO_GMEM_MMAP) && vh)
		ret = clo_view_set_create(vh, g->npages, gmem_resolve, g, &g->views);
	if (g->views)
		clo_view_set_transit(g->views, gmem_transit);
	g->all_at_once = g->views && clo_view_host_level(vh) == CLO_VIEW_REMAP;
	if (ret) {
		clo_gmem_put(g);
		return ret;
	}
	*out = g;
	return 0;
}

void clo_gmem_get(struct clo_gmem *g)
{
	clo_a64_add(&g->refs, 1);
}

void clo_gmem_put(struct clo_gmem *g)
{
	if (clo_a64_sub(&g->refs, 1) != 1)
		return;
	gmem_fini(g);
	clo_gmem_unwatch(g);
}

void clo_gmem_watch(struct clo_gmem *g)
{
	clo_a64_add(&g->watchers, 1);
}

void clo_gmem_unwatch(struct clo_gmem *g)
{
	if (clo_a64_sub(&g->watchers, 1) != 1)
		return;
	clo_cond_destroy(&g->unpinned);
	clo_mutex_destroy(&g->pin_lock);
	clo_free(g);
}

uint64_t clo_gmem_lost(struct clo_gmem *g, char *holder, size_t size)
{
	uint64_t lost = clo_a64_get(&g->lost);

	if (lost)
		gmem_pin_any_holder(g, holder, size);
	return lost;
}

void clo_gmem_release(struct clo_gmem *g)
{
	struct clo_rangelock_hold hold;
	struct clo_range all = gmem_all(g);

	/* Before the invalidation begins: an allocation either sees the flag or is overtaken. */
	clo_a32_set_sc(&g->released, 1);
	clo_rangelock_lock(&g->ranges, all, &hold);
	clo_inval_begin(&g->inval, all);
	gmem_stage2_begin(g, all);
	gmem_stage2_zap(g, all, CLO_ZAP_RELEASE);
	gmem_drop_views(g, all);
	clo_gmem_invalidate(g, all, CLO_INVALIDATE_CLOSE);
	gmem_free_range(g, all, true);
	gmem_stage2_end(g, all);
	/* Last: until here an unbind waits for the range, so the bindings stay. */
	gmem_bindings_orphan(g);
	clo_inval_end(&g->inval, all);
	clo_rangelock_unlock(&g->ranges, &hold);
	gmem_wake_blamers(g);
	/* Faults that took the file from a binding are over before the reference goes. */
	clo_rcu_synchronize();
	clo_gmem_put(g);
}

uint64_t clo_gmem_size(const struct clo_gmem *g)
{
	return g->npages << CLO_PAGE_SHIFT;
}

uint64_t clo_gmem_flags(const struct clo_gmem *g)
{
	return g->flags;
}

bool clo_gmem_has_hooks(const struct clo_gmem *g)
{
	return g->ops.prepare != NULL;
}

uint32_t clo_gmem_owner(const struct clo_gmem *g)
{
	return g->owner;
}

uint32_t clo_gmem_page_order(const struct clo_gmem *g)
{
	return g->page_order;
}

void *clo_gmem_vm(const struct clo_gmem *g)
{
	return g->ops.vm;
}

struct clo_pagedb *clo_gmem_pagedb(const struct clo_gmem *g)
{
	return g->db;
}

struct clo_attr *clo_gmem_attr(const struct clo_gmem *g)
{
	return g->attr;
}

struct clo_inval *clo_gmem_inval(struct clo_gmem *g)
{
	return &g->inval;
}

struct clo_rangelock *clo_gmem_ranges(struct clo_gmem *g)
{
	return &g->ranges;
}

struct clo_view_set *clo_gmem_views(struct clo_gmem *g)
{
	return g->views;
}

void clo_gmem_stats(struct clo_gmem *g, struct clo_gmem_stats *out)
{
	struct clo_pfn pfn;

	*out = (struct clo_gmem_stats){
		.zeroed = clo_stat_get(&g->zeroed),
		.prepared = clo_stat_get(&g->prepared),
		.invalidated = clo_stat_get(&g->invalidated),
		.splits = clo_stat_get(&g->splits),
		.merges = clo_stat_get(&g->merges),
		.punched = clo_stat_get(&g->punched),
		.punched_pinned = clo_stat_get(&g->punched_pinned),
	};
	/* Frame by frame and without locks: a folio that changes meanwhile is counted in parts. */
	for (uint64_t at = 0; clo_gmem_next_frame(g, &at, g->npages, &pfn); at++) {
		struct clo_frame_info f = clo_frame_get(g->db, pfn);

		if (f.state == CLO_FRAME_FREE || f.state == CLO_FRAME_LEAKED)
			continue;
		out->allocated++;
		if (f.state == CLO_FRAME_PRIVATE)
			out->private_frames++;
		else
			out->shared_frames++;
		if (f.order > 0 && clo_is_aligned(pfn.n, 1ULL << f.order))
			out->huge_folios++;
		out->pinned += f.pins > 0;
		out->pins += f.pins;
	}
}
