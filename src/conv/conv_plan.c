/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/conv_plan.c - which parts of which files a conversion touches, and their range locks.
 */
#include "conv_internal.h"

#include <errno.h>
#include <string.h>

void conv_init(struct conv *c, struct clo_vm *vm, bool to_private)
{
	*c = (struct conv){ .vm = vm, .to_private = to_private, .err_gfn = UINT64_MAX };
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
		return clo_fail_heap("conversion");
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
	int ret = grow(c);

	if (ret)
		return ret;
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
static int join_segs(struct conv *c)
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
			return clo_fail(-EINVAL, CLO_REASON_HUGE_PARTS, "clo_convert.gpa");
		}
	}
	return 0;
}

/* A part of the gfns that lies in one memslot. To private it must have a file, and the parts must
 * follow one another. */
struct cover {
	struct conv *c;
	uint64_t next;  /* first gfn not covered yet */
	uint64_t pages; /* of files */
	bool collect;   /* into the conversion's parts */
	int ret;
};

static int cover_slot(void *arg, const struct clo_slot *slot, struct clo_range gfns)
{
	struct cover *k = arg;
	struct clo_gmem *g = clo_slot_gmem(slot);
	uint64_t index = clo_slot_index(slot, clo_gfn(gfns.start));

	if (k->c->to_private && (gfns.start != k->next || !g)) {
		k->ret = -ENOENT;
		return 1;
	}
	k->next = gfns.start;
	if (k->collect && g)
		k->ret = conv_add_seg(k->c, g, clo_range(index, index + clo_range_len(gfns)));
	if (k->ret)
		return 1;
	k->next = gfns.end;
	return 0;
}

static int cover(struct conv *c, bool collect)
{
	struct cover k = { .c = c, .next = c->gfns.start, .collect = collect };

	/* RCU: a file that is closed meanwhile stays until conv_add_seg has its reference. */
	clo_rcu_read_lock();
	(void)clo_slots_for_each(c->vm->slots, 0, c->gfns, cover_slot, &k);
	clo_rcu_read_unlock();
	if (k.ret == 0 && c->to_private && k.next != c->gfns.end)
		k.ret = -ENOENT;
	c->err_gfn = k.ret ? k.next : UINT64_MAX;
	return k.ret;
}

int conv_check_gfns(struct conv *c)
{
	return cover(c, false);
}

/* One hold per file, from its first part to its last. */
static void lock_ranges(struct conv *c)
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

static bool is_part(const struct conv *c, const struct clo_gmem *g, struct clo_range index)
{
	for (unsigned i = 0; i < c->seg_count; i++) {
		const struct conv_seg *s = &c->segs[i];

		if (s->g == g && index.start >= s->index.start && index.end <= s->index.end)
			return true;
	}
	return false;
}

static int confirm_slot(void *arg, const struct clo_slot *slot, struct clo_range gfns)
{
	struct cover *k = arg;
	const struct clo_gmem *g = clo_slot_gmem(slot);
	uint64_t index = clo_slot_index(slot, clo_gfn(gfns.start));

	if (g && !is_part(k->c, g, clo_range(index, index + clo_range_len(gfns))))
		k->ret = -EAGAIN;
	k->pages += g ? clo_range_len(gfns) : 0;
	return k->ret;
}

/* Are the parts still what lies behind the gfns? */
static bool is_current(struct conv *c)
{
	struct cover k = { .c = c };
	uint64_t pages = 0;

	clo_rcu_read_lock();
	(void)clo_slots_for_each(c->vm->slots, 0, c->gfns, confirm_slot, &k);
	clo_rcu_read_unlock();
	for (unsigned i = 0; i < c->seg_count; i++)
		pages += clo_range_len(c->segs[i].index);
	return k.ret == 0 && k.pages == pages;
}

static void drop_parts(struct conv *c)
{
	for (unsigned i = 0; i < c->seg_count; i++)
		clo_gmem_put(c->segs[i].g);
	c->seg_count = 0;
}

/*
 * A memslot may go or come until the ranges are held, and nothing that others need is held while
 * waiting for them: so the gfns are looked up before and after. A binding can only come or go under
 * its range, so what was confirmed stays to the end.
 */
int conv_lock_parts(struct conv *c)
{
	for (;;) {
		int ret = c->by_gfn ? cover(c, true) : 0;

		if (ret == 0)
			ret = join_segs(c);
		if (ret)
			return ret;
		lock_ranges(c);
		if (!c->by_gfn || is_current(c))
			return 0;
		conv_unlock_ranges(c);
		drop_parts(c);
	}
}

void conv_release(struct conv *c)
{
	/* First what is set aside, then the files whose attributes it belongs to. */
	conv_dma_release(&c->dma);
	clo_attr_reserve_release(&c->attr);
	clo_split_reserve_release(&c->split);
	for (unsigned i = 0; i < c->seg_count; i++) {
		clo_attr_reserve_release(&c->segs[i].attr);
		conv_frames_release(&c->segs[i]);
	}
	drop_parts(c);
	if (c->segs != &c->seg_inline)
		clo_free(c->segs);
}

static void note_gfn(void *arg, struct clo_range index, struct clo_range gfns)
{
	struct conv *c = arg;

	(void)index;
	c->err_gfn = gfns.start;
}

void conv_fail_at(struct conv *c, struct clo_gmem *g, uint64_t index)
{
	c->err_gmem = g;
	c->err_index = index;
	c->err_gfn = UINT64_MAX;
	clo_gmem_for_each_gfn(g, clo_range(index, index + 1), note_gfn, c);
}
