/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/conv_dma.c - DMA listeners: unmap before to-private, map after to-shared, roll back when one
 * refuses. They are told only of runs that really change kind.
 */
#include "conv_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void *append(void *array, unsigned count, size_t each, void **grown)
{
	void *bigger;

	/* Powers of two: grow when full. */
	if (count && (count & (count - 1)))
		return array;
	bigger = clo_alloc(each * (count ? 2ULL * count : 1));
	if (!bigger)
		return NULL;
	if (count)
		memcpy(bigger, array, each * count);
	clo_free(array);
	*grown = bigger;
	return bigger;
}

static int add_range(struct conv_dma *d, struct clo_dma_range r)
{
	void *grown = d->ranges;

	r.size = sizeof(r);
	if (!append(d->ranges, d->range_count, sizeof(*d->ranges), &grown))
		return clo_fail_heap("conversion");
	d->ranges = grown;
	d->ranges[d->range_count++] = r;
	/* The file may be closed at any time; it stays until the listeners have been told. */
	if (r.gmem)
		clo_gmem_get(r.gmem);
	return 0;
}

/* Remember @pages, all of one kind now, as a run that changes. */
static int add_run(struct conv_dma *d, struct clo_attr *attr, struct clo_range pages)
{
	void *grown = d->runs;
	int ret;

	if (!append(d->runs, d->run_count, sizeof(*d->runs), &grown))
		return clo_fail_heap("conversion");
	d->runs = grown;
	d->runs[d->run_count] = (struct conv_run){ .attr = attr, .pages = pages };
	ret = clo_attr_prepare(attr, pages, &d->runs[d->run_count].undo);
	if (ret == 0)
		d->run_count++;
	return ret;
}

struct collect {
	struct conv_dma *d;
	struct clo_vm *vm;
	struct clo_gmem *g;
	int ret;
};

static void collect_gfns(void *arg, struct clo_range index, struct clo_range gfns)
{
	struct collect *k = arg;
	struct clo_dma_range r = {
		.gpa = gfns.start << CLO_PAGE_SHIFT,
		.bytes = clo_range_len(gfns) << CLO_PAGE_SHIFT,
		.gmem = k->g,
		.gmem_offset = index.start << CLO_PAGE_SHIFT,
	};

	/* A file that cannot be mapped has its shared side in the VMM's memory. */
	if (!(clo_gmem_flags(k->g) & CLO_GMEM_MMAP)) {
		const struct clo_slot *slot = clo_slots_find(k->vm->slots, 0, clo_gfn(gfns.start));

		if (!slot || slot->hva.a == 0)
			return;
		r.gmem = NULL;
		r.gmem_offset = 0;
		r.hva = clo_slot_hva(slot, clo_gfn(gfns.start)).a;
	}
	if (k->ret == 0)
		k->ret = add_range(k->d, r);
}

int conv_dma_collect_inplace(struct conv *c)
{
	for (unsigned i = 0; c->dma.listener_count && i < c->seg_count; i++) {
		struct conv_seg *seg = &c->segs[i];
		struct clo_attr *attr = clo_gmem_attr(seg->g);

		for (uint64_t at = seg->index.start; at < seg->index.end;) {
			struct collect k = { .d = &c->dma, .vm = c->vm, .g = seg->g };
			bool is_private;
			struct clo_range run = clo_attr_run(attr, at, seg->index.end, &is_private);

			at = run.end;
			if (is_private == c->to_private)
				continue;
			k.ret = add_run(&c->dma, attr, run);
			if (k.ret == 0)
				clo_gmem_for_each_gfn(seg->g, run, collect_gfns, &k);
			if (k.ret)
				return k.ret;
		}
	}
	return 0;
}

/* The shared side of a slot is the VMM's memory, or the file where that can be mapped. */
static int collect_slot(void *arg, const struct clo_slot *slot, struct clo_range gfns)
{
	struct clo_dma_range r = {
		.gpa = gfns.start << CLO_PAGE_SHIFT,
		.bytes = clo_range_len(gfns) << CLO_PAGE_SHIFT,
	};

	if (slot->flags & CLO_MEMSLOT_GMEM_ONLY) {
		r.gmem = clo_slot_gmem(slot);
		r.gmem_offset = clo_slot_index(slot, clo_gfn(gfns.start)) << CLO_PAGE_SHIFT;
	} else if (slot->hva.a) {
		r.hva = clo_slot_hva(slot, clo_gfn(gfns.start)).a;
	}
	return r.gmem || r.hva ? add_range(arg, r) : 0;
}

int conv_dma_collect_gfns(struct conv *c)
{
	for (uint64_t at = c->gfns.start; c->dma.listener_count && at < c->gfns.end;) {
		bool is_private;
		struct clo_range run = clo_attr_run(c->vm->attr, at, c->gfns.end, &is_private);
		int ret;

		at = run.end;
		if (is_private == c->to_private)
			continue;
		ret = add_run(&c->dma, c->vm->attr, run);
		/* A file that is closed now stays until it has its reference. */
		clo_rcu_read_lock();
		if (ret == 0)
			ret = clo_slots_for_each(c->vm->slots, 0, run, collect_slot, &c->dma);
		clo_rcu_read_unlock();
		if (ret)
			return ret;
	}
	return 0;
}

void conv_dma_release(struct conv_dma *d)
{
	for (unsigned i = 0; i < d->run_count; i++)
		clo_attr_reserve_release(&d->runs[i].undo);
	for (unsigned i = 0; i < d->range_count; i++) {
		if (d->ranges[i].gmem)
			clo_gmem_put(d->ranges[i].gmem);
	}
	clo_free(d->runs);
	clo_free(d->ranges);
	clo_free(d->listeners);
}

void conv_dma_restore_attr(struct conv_dma *d, bool is_private)
{
	for (unsigned i = 0; i < d->run_count; i++)
		clo_attr_commit(d->runs[i].attr, d->runs[i].pages, is_private, &d->runs[i].undo);
}

static int tell(const struct clo_dma_listener *l, const struct clo_dma_range *r, bool map)
{
	int (*fn)(void *, const struct clo_dma_range *) = map ? l->map : l->unmap;
	int cancel = clo_cancel_off();
	int ret = fn ? fn(l->arg, r) : 0;

	clo_cancel_restore(cancel);
	return ret > 0 ? -EIO : ret; /* no errno, but no consent either */
}

int conv_dma_tell(struct conv *c, bool map)
{
	struct conv_dma *d = &c->dma;
	uint64_t pairs = (uint64_t)d->listener_count * d->range_count;

	d->told_map = map;
	for (d->told = 0; d->told < pairs; d->told++) {
		const struct clo_dma_listener *l = d->listeners[d->told / d->range_count];
		int ret = tell(l, &d->ranges[d->told % d->range_count], map);

		if (ret) {
			snprintf(c->holder, sizeof(c->holder), "%s", l->name ? l->name : "");
			return clo_fail(ret, CLO_REASON_LISTENER, map ? "map" : "unmap");
		}
	}
	return 0;
}

void conv_dma_take_back(struct conv *c)
{
	struct conv_dma *d = &c->dma;

	if (clo_broken(CLO_BREAK_UNDO))
		return;
	while (d->told > 0) {
		const struct clo_dma_listener *l = d->listeners[--d->told / d->range_count];

		if (tell(l, &d->ranges[d->told % d->range_count], !d->told_map))
			clo_stat_add(&c->vm->undo_failures, 1);
	}
}
