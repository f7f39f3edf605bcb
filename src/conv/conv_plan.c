/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/conv_plan.c - which parts of which files a conversion touches, and their range locks.
 */
#include "conv_internal.h"

#include <errno.h>
#include <string.h>

void conv_init(struct conv *c, struct clo_vm *vm, bool to_private)
{
	*c = (struct conv){ .vm = vm, .to_private = to_private };
	c->segs = &c->seg_inline;
	c->seg_cap = 1;
}

static int grow(struct conv *c)
{
	struct conv_seg *segs;

	if (c->seg_count < c->seg_cap)
		return 0;
	segs = clo_alloc(sizeof(*segs) * c->seg_cap * 4);
	if (!segs)
		return -ENOMEM;
	memcpy(segs, c->segs, sizeof(*segs) * c->seg_count);
	if (c->segs != &c->seg_inline)
		clo_free(c->segs);
	c->segs = segs;
	c->seg_cap *= 4;
	return 0;
}

/* Takes a reference of @g. -ENOMEM. */
int conv_add_seg(struct conv *c, struct clo_gmem *g, struct clo_range index)
{
	uint64_t block = 1ULL << clo_gmem_page_order(g);

	if (grow(c))
		return -ENOMEM;
	clo_gmem_get(g);
	c->segs[c->seg_count++] = (struct conv_seg){
		.g = g,
		.index = index,
		.work = clo_range(clo_align_down(index.start, block),
				  clo_align_up(index.end, block)),
		.zero = (clo_gmem_flags(g) & CLO_GMEM_ZERO_ON_CONVERT) ||
			(c->to_private ? c->vm->trust->to_private : c->vm->trust->to_shared) ==
				CLO_CONTENT_ZERO,
	};
	return 0;
}

/* Files in address order, so that two conversions take their range locks in one order. */
static void sort_segs(struct conv *c)
{
	for (unsigned i = 1; i < c->seg_count; i++) {
		struct conv_seg s = c->segs[i];
		unsigned k = i;

		while (k > 0 &&
		       ((uintptr_t)c->segs[k - 1].g > (uintptr_t)s.g ||
			(c->segs[k - 1].g == s.g && c->segs[k - 1].index.start > s.index.start))) {
			c->segs[k] = c->segs[k - 1];
			k--;
		}
		c->segs[k] = s;
	}
}

/*
 * Only when all parts are known, and sorted: memslots may come in another order than their parts of
 * the file, and the part that fills a gap may be the last.
 */
int conv_join_segs(struct conv *c)
{
	unsigned count = 0;

	sort_segs(c);
	for (unsigned i = 0; i < c->seg_count; i++) {
		struct conv_seg s = c->segs[i];
		struct conv_seg *last = count > 0 ? &c->segs[count - 1] : NULL;

		if (!last || last->g != s.g || last->index.end != s.index.start) {
			c->segs[count++] = s;
			continue;
		}
		last->index.end = s.index.end;
		last->work.end = s.work.end;
		clo_gmem_put(s.g); /* not the last reference: the part before has one */
	}
	c->seg_count = count;
	for (unsigned i = 1; i < count; i++) {
		if (c->segs[i].g == c->segs[i - 1].g &&
		    clo_range_overlaps(c->segs[i - 1].work, c->segs[i].work)) {
			conv_fail_at(c, c->segs[i - 1].g, c->segs[i - 1].index.start);
			return -EINVAL;
		}
	}
	return 0;
}

/* One hold per file, from its first part to its last. */
void conv_lock_ranges(struct conv *c)
{
	if (clo_broken(CLO_BREAK_RANGE_LOCK))
		return;
	for (unsigned i = 0; i < c->seg_count;) {
		unsigned last = i;

		while (last + 1 < c->seg_count && c->segs[last + 1].g == c->segs[i].g)
			last++;
		clo_rangelock_lock(clo_gmem_ranges(c->segs[i].g),
				   clo_range(c->segs[i].work.start, c->segs[last].work.end),
				   &c->segs[i].hold);
		i = last + 1;
	}
}

void conv_unlock_ranges(struct conv *c)
{
	if (clo_broken(CLO_BREAK_RANGE_LOCK))
		return;
	for (unsigned i = 0; i < c->seg_count; i++) {
		if (i == 0 || c->segs[i].g != c->segs[i - 1].g)
			clo_rangelock_unlock(clo_gmem_ranges(c->segs[i].g), &c->segs[i].hold);
	}
}

/* Is there anything to do? Under the range locks. */
bool conv_is_noop(struct conv *c)
{
	for (unsigned i = 0; i < c->seg_count; i++) {
		if (!clo_attr_range_is(clo_gmem_attr(c->segs[i].g), c->segs[i].index,
				       c->to_private))
			return false;
	}
	return true;
}

void conv_release(struct conv *c)
{
	/* First: what is set aside for the listeners belongs to attributes of these files. */
	conv_dma_release(&c->dma);
	for (unsigned i = 0; i < c->seg_count; i++) {
		struct conv_seg *s = &c->segs[i];

		clo_attr_reserve_release(&s->attr);
		conv_frames_release(s);
		clo_gmem_put(s->g);
	}
	if (c->segs != &c->seg_inline)
		clo_free(c->segs);
}

void conv_fail_at(struct conv *c, struct clo_gmem *g, uint64_t index)
{
	c->err_gmem = g;
	c->err_index = index;
}
