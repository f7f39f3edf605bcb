/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attr/attr_count.c - what needs a store that stands still: runs, counts, statistics, the check.
 */
#include "attr/attr_internal.h"

#include <errno.h>

static uint64_t leaf_pages(const struct attr_leaf *leaf, uint64_t base, struct clo_range r)
{
	uint64_t pages = 0;

	for (unsigned i = 0; i < ATTR_LEAF_WORDS; i++) {
		uint64_t bits = clo_a64_get_relaxed(&leaf->w[i]) & attr_leaf_mask(base, i, r);

		pages += (unsigned)__builtin_popcountll(bits);
	}
	return pages;
}

uint64_t attr_word_pages(uint64_t word, unsigned level)
{
	if (!attr_is_ptr(word))
		return word == ATTR_PRIVATE ? attr_span(level) : 0;
	if (level == 0)
		return leaf_pages(attr_leaf(word), 0, clo_range(0, ATTR_LEAF_PAGES));
	return attr_node(word)->private_pages;
}

/* @r is inside the block. */
static uint64_t count_block(const struct clo_attr *a, unsigned level, uint64_t word, uint64_t base,
			    struct clo_range r)
{
	if (!attr_is_ptr(word))
		return word == ATTR_PRIVATE ? clo_range_len(r) : 0;
	if (level == 0)
		return leaf_pages(attr_leaf(word), base, r);

	const struct attr_node *n = attr_node(word);
	unsigned last = attr_child(level, r.end - 1);
	uint64_t pages = 0;

	if (r.start == base && r.end == attr_block_end(a, level, base))
		return n->private_pages;
	for (unsigned i = attr_child(level, r.start); i <= last; i++) {
		uint64_t from = base + ((uint64_t)i << attr_order(level - 1));
		struct clo_range child = clo_range(from, from + attr_span(level - 1));

		pages += count_block(a, level - 1, clo_a64_get_relaxed(&n->w[i]), from,
				     clo_range_clip(r, child));
	}
	return pages;
}

uint64_t clo_attr_count_private(struct clo_attr *a, struct clo_range r)
{
	uint64_t pages;

	r = clo_range_clip(r, clo_range(0, a->npages));
	if (r.start >= r.end)
		return 0;

	struct clo_range wide = attr_widen(a, r);

	clo_mutex_lock(&a->lock);
	pages = count_block(a, a->top, clo_a64_get_relaxed(&a->root), 0, wide);
	/* Counting to the end of the last block saves entering it; what is behind the end goes. */
	if (wide.end > r.end && clo_attr_is_private(a, a->npages - 1))
		pages -= wide.end - r.end;
	clo_mutex_unlock(&a->lock);
	return pages;
}

/* One pass from left to right over the whole tree. */
struct walk {
	const struct clo_attr *a;
	struct clo_attr_stats *st;
	uint64_t last; /* kind of the page before; 2 at first */
	bool bad;
};

static void walk_leaf(struct walk *w, uint64_t word)
{
	const struct attr_leaf *leaf = attr_leaf(word);
	const struct attr_slab *slab = attr_slab(word);
	uint64_t bit = 1ULL << (word & ATTR_TAG_MASK);
	uint64_t pages = leaf_pages(leaf, 0, clo_range(0, ATTR_LEAF_PAGES));

	w->st->bitmaps++;
	w->bad |= pages == 0 || pages == ATTR_LEAF_PAGES;
	w->bad |= slab->a != w->a || !(slab->used & bit) || ((slab->dead | slab->waiting) & bit);
	for (unsigned i = 0; i < ATTR_LEAF_WORDS; i++) {
		uint64_t bits = clo_a64_get_relaxed(&leaf->w[i]);
		uint64_t before = w->last == 2 ? ~bits & 1 : w->last;

		w->st->runs += (unsigned)__builtin_popcountll(bits ^ (bits << 1 | before));
		w->last = bits >> 63;
	}
}

static void walk_block(struct walk *w, unsigned level, uint64_t word)
{
	uint32_t uniform[2] = { 0 };
	uint64_t pages = 0;

	if (!attr_is_ptr(word)) {
		w->st->runs += word != w->last;
		w->last = word;
		return;
	}
	if (attr_is_node(word) != (level > 0)) {
		w->bad = true;
		return;
	}
	if (level == 0) {
		walk_leaf(w, word);
		return;
	}

	const struct attr_node *n = attr_node(word);

	w->st->nodes++;
	for (unsigned i = 0; i < attr_fanout(w->a, level); i++) {
		uint64_t child = clo_a64_get_relaxed(&n->w[i]);

		walk_block(w, level - 1, child);
		pages += attr_word_pages(child, level - 1);
		if (!attr_is_ptr(child))
			uniform[child]++;
	}
	w->bad |= n->a != w->a || n->level != level || n->fanout != attr_fanout(w->a, level);
	w->bad |= n->uniform[0] != uniform[0] || n->uniform[1] != uniform[1];
	w->bad |= uniform[0] == n->fanout || uniform[1] == n->fanout;
	w->bad |= n->private_pages != pages;
}

/* [ATTR] and [pool]. */
static bool walk_all(struct clo_attr *a, struct clo_attr_stats *st)
{
	struct walk w = { .a = a, .st = st, .last = 2 };

	*st = (struct clo_attr_stats){ .npages = a->npages, .bytes = a->pool.bytes };
	walk_block(&w, a->top, clo_a64_get_relaxed(&a->root));
	return !w.bad;
}

void clo_attr_stats(struct clo_attr *a, struct clo_attr_stats *out)
{
	clo_mutex_lock(&a->lock);
	clo_mutex_lock(&a->pool.lock);
	walk_all(a, out);
	clo_mutex_unlock(&a->pool.lock);
	clo_mutex_unlock(&a->lock);
}

/* Behind the end all is as the last page. */
static bool tail_good(const struct clo_attr *a)
{
	bool last;
	bool kind;
	uint64_t at = attr_extent(a, a->npages - 1, &last);

	for (kind = last; at < a->cover && kind == last;)
		at = attr_extent(a, at, &kind);
	return kind == last;
}

int clo_attr_check(struct clo_attr *a)
{
	struct clo_attr_stats st;
	bool good;

	clo_mutex_lock(&a->lock);
	clo_mutex_lock(&a->pool.lock);
	good = walk_all(a, &st) && tail_good(a);
	clo_mutex_unlock(&a->pool.lock);
	clo_mutex_unlock(&a->lock);
	return good ? 0 : -EUCLEAN;
}
