/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/gmem_bind.c - which gfns use which part of a file.
 *
 * The list is sorted by index and read under RCU. It is written by bind and unbind, whose callers
 * hold the VM's memslots lock, and by release, which holds the whole file's range. Bind and unbind
 * also hold the range of their own indexes: whoever has locked a range meets the same bindings at
 * begin and at end, without knowing about memslots.
 */
#include "gmem_internal.h"

#include <errno.h>

int clo_gmem_bind(struct clo_gmem *g, struct clo_gmem_binding *b, struct clo_range index,
		  uint64_t base_gfn)
{
	struct clo_rangelock_hold hold;
	struct clo_aptr *at = &g->bindings;
	struct clo_gmem_binding *next;
	int ret = 0;

	if (index.start >= index.end || index.end > g->npages)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "clo_region.guest_memfd_offset");
	clo_rangelock_lock(&g->ranges, index, &hold);
	while ((next = clo_aptr_get(at)) && next->index.end <= index.start)
		at = &next->next;
	if (clo_a32_get(&g->released))
		ret = -EBADF;
	else if (next && clo_range_overlaps(next->index, index))
		ret = clo_fail(-EEXIST, CLO_REASON_BOUND, "clo_region.guest_memfd_offset");
	if (ret == 0) {
		b->index = index;
		b->base_gfn = base_gfn;
		clo_aptr_set(&b->gmem, g);
		clo_aptr_set(&b->next, next);
		clo_aptr_set(at, b);
	}
	clo_rangelock_unlock(&g->ranges, &hold);
	return ret;
}

static void unlink_binding(struct clo_gmem *g, struct clo_gmem_binding *b)
{
	struct clo_aptr *at = &g->bindings;
	struct clo_gmem_binding *x;

	while ((x = clo_aptr_get(at))) {
		if (x == b) {
			clo_aptr_set(at, clo_aptr_get(&b->next));
			return;
		}
		at = &x->next;
	}
}

void clo_gmem_unbind(struct clo_gmem_binding *b)
{
	struct clo_rangelock_hold hold;
	struct clo_gmem *g;

	/* Release sets the pointer to NULL and drops the file's reference after a grace period:
	 * inside RCU the file is there. */
	clo_rcu_read_lock();
	g = clo_aptr_get(&b->gmem);
	if (g)
		clo_gmem_get(g);
	clo_rcu_read_unlock();
	if (!g)
		return;
	clo_rangelock_lock(&g->ranges, b->index, &hold);
	if (clo_aptr_get(&b->gmem))
		unlink_binding(g, b);
	clo_rangelock_unlock(&g->ranges, &hold);
	clo_gmem_put(g);
}

void gmem_bindings_orphan(struct clo_gmem *g)
{
	struct clo_gmem_binding *b, *next;

	/* Once its pointer is NULL a binding may be freed by its slot; until then the slot waits
	 * for the range, which is the caller's. So no read section. */
	b = clo_aptr_get(&g->bindings);
	clo_aptr_set(&g->bindings, NULL);
	for (; b; b = next) {
		next = clo_aptr_get(&b->next);
		clo_aptr_set(&b->gmem, NULL);
	}
}

void clo_gmem_for_each_gfn(struct clo_gmem *g, struct clo_range index,
			   void (*fn)(void *arg, struct clo_range index, struct clo_range gfns),
			   void *arg)
{
	struct clo_gmem_binding *b;

	clo_rcu_read_lock();
	for (b = clo_aptr_get(&g->bindings); b && b->index.start < index.end;
	     b = clo_aptr_get(&b->next)) {
		struct clo_range part = clo_range_clip(index, b->index);
		uint64_t gfn = b->base_gfn + (part.start - b->index.start);

		if (part.start < part.end)
			fn(arg, part, clo_range(gfn, gfn + clo_range_len(part)));
	}
	clo_rcu_read_unlock();
}

static void begin_one(void *arg, struct clo_range index, struct clo_range gfns)
{
	struct clo_gmem *g = arg;

	(void)index;
	g->ops.begin(g->ops.vm, gfns);
}

static void end_one(void *arg, struct clo_range index, struct clo_range gfns)
{
	struct clo_gmem *g = arg;

	(void)index;
	g->ops.end(g->ops.vm, gfns);
}

struct zap_arg {
	struct clo_gmem *g;
	enum clo_zap_reason why;
	bool any;
};

static void zap_one(void *arg, struct clo_range index, struct clo_range gfns)
{
	struct zap_arg *z = arg;

	(void)index;
	z->g->ops.zap(z->g->ops.vm, gfns, z->why);
	z->any = true;
}

void gmem_stage2_begin(struct clo_gmem *g, struct clo_range index)
{
	if (g->ops.begin)
		clo_gmem_for_each_gfn(g, index, begin_one, g);
}

void gmem_stage2_end(struct clo_gmem *g, struct clo_range index)
{
	if (g->ops.end)
		clo_gmem_for_each_gfn(g, index, end_one, g);
}

void gmem_stage2_zap(struct clo_gmem *g, struct clo_range index, enum clo_zap_reason why)
{
	struct zap_arg z = { .g = g, .why = why };

	if (g->ops.zap)
		clo_gmem_for_each_gfn(g, index, zap_one, &z);
	/* One round for all bindings (D6). */
	if (z.any && g->ops.flush)
		g->ops.flush(g->ops.vm);
}

const char *clo_zap_reason_name(enum clo_zap_reason r)
{
	static const char *const name[CLO_ZAP_REASON_COUNT] = {
		[CLO_ZAP_SPLIT_MERGE] = "split-merge",
		[CLO_ZAP_HUGEPAGE] = "hugepage",
		[CLO_ZAP_RW_CHANGE] = "rw-change",
		[CLO_ZAP_DIRECT_MAP] = "direct-map",
		[CLO_ZAP_KIND] = "kind",
		[CLO_ZAP_CONTENT] = "content",
		[CLO_ZAP_PUNCH] = "punch",
		[CLO_ZAP_SLOT] = "slot",
		[CLO_ZAP_RELEASE] = "release",
		[CLO_ZAP_HOOK] = "hook",
	};

	return (unsigned)r < CLO_ZAP_REASON_COUNT ? name[r] : "?";
}
