/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attr/attr_write.c - prepare and commit: the only writer of the tree's words.
 *
 * One walk changes a range: a block inside it becomes one word, so that only the blocks which the
 * range cuts, at most two a level, are entered. A block that was uniform and is cut gets a node out
 * of the reserve. A node all of whose words have become the same is replaced by that word on the
 * way up: the tree is canonical whenever the lock is free.
 */
#include "attr/attr_internal.h"

#include <assert.h>
#include <errno.h>

struct change {
	struct clo_attr *a;
	struct clo_range r;
	uint64_t to;
	struct clo_attr_reserve *res;
};

static bool range_valid(const struct clo_attr *a, struct clo_range r)
{
	return r.start < r.end && r.end <= a->npages;
}

/* The blocks of a level that the ends of @r cut: what may become mixed by it. */
static unsigned cut_count(const struct clo_attr *a, struct clo_range r, unsigned level)
{
	if (level == a->top)
		return r.start > 0 || r.end < a->cover;

	uint64_t span = attr_span(level);
	bool at_start = !clo_is_aligned(r.start, span);
	bool at_end = !clo_is_aligned(r.end, span);
	bool same = clo_align_down(r.start, span) == clo_align_down(r.end, span);

	return at_start && at_end && same ? 1 : (unsigned)at_start + (unsigned)at_end;
}

int clo_attr_prepare(struct clo_attr *a, struct clo_range r, struct clo_attr_reserve *res)
{
	unsigned need[ATTR_LEVELS] = { 0 };

	if (!range_valid(a, r))
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "bytes");
	r = attr_widen(a, r);
	for (unsigned level = 0; level <= a->top; level++)
		need[level] = cut_count(a, r, level);
	return attr_pool_reserve(a, need, res);
}

static uint64_t leaf_new(const struct change *c, uint64_t kind, uint64_t base)
{
	uint64_t word = attr_pool_take(c->res, 0);
	struct attr_leaf *leaf = attr_leaf(word);

	/* Not all of the block changes, and to another kind: it is mixed. */
	for (unsigned i = 0; i < ATTR_LEAF_WORDS; i++) {
		uint64_t mask = attr_leaf_mask(base, i, c->r);

		clo_a64_init(&leaf->w[i], kind == ATTR_PRIVATE ? ~mask : mask);
	}
	return word;
}

static uint64_t change_leaf(const struct change *c, uint64_t word, uint64_t base)
{
	uint64_t full = c->to == ATTR_PRIVATE ? ~0ULL : 0;
	bool uniform = true;

	if (!attr_is_ptr(word))
		return leaf_new(c, word, base);

	struct attr_leaf *leaf = attr_leaf(word);

	for (unsigned i = 0; i < ATTR_LEAF_WORDS; i++) {
		uint64_t mask = attr_leaf_mask(base, i, c->r);
		uint64_t old = clo_a64_get_relaxed(&leaf->w[i]);
		uint64_t bits = (old & ~mask) | (full & mask);

		if (bits != old)
			clo_a64_set(&leaf->w[i], bits);
		uniform &= bits == full;
	}
	return uniform ? c->to : word;
}

static struct attr_node *node_new(const struct change *c, unsigned level, uint64_t kind)
{
	struct attr_node *n = attr_node(attr_pool_take(c->res, level));

	for (unsigned i = 0; i < n->fanout; i++)
		clo_a64_init(&n->w[i], kind);
	n->uniform[kind] = n->fanout;
	n->uniform[!kind] = 0;
	n->private_pages = kind == ATTR_PRIVATE ? (uint64_t)n->fanout << attr_order(level - 1) : 0;
	return n;
}

static uint64_t change_block(const struct change *c, unsigned level, uint64_t word, uint64_t base);

/* Child @i of @n, which the range cuts. */
static void change_cut(const struct change *c, struct attr_node *n, unsigned level, unsigned i,
		       uint64_t base)
{
	uint64_t old = clo_a64_get_relaxed(&n->w[i]);
	uint64_t before = attr_word_pages(old, level - 1);
	uint64_t now = change_block(c, level - 1, old, base + i * attr_span(level - 1));

	n->private_pages += attr_word_pages(now, level - 1) - before;
	if (now == old)
		return;
	if (!attr_is_ptr(old))
		n->uniform[old]--;
	if (!attr_is_ptr(now))
		n->uniform[now]++;
	clo_a64_set(&n->w[i], now);
	if (attr_is_ptr(old))
		attr_pool_retire(c->a, old);
}

/* Children [@first, @end) of @n, which are inside the range: a terabyte may have many. */
static void change_inside(const struct change *c, struct attr_node *n, unsigned level,
			  unsigned first, unsigned end)
{
	uint32_t flipped = 0;
	uint32_t mixed = 0;
	uint64_t pages = 0; /* private in the mixed */

	for (unsigned i = first; i < end; i++) {
		uint64_t old = clo_a64_get_relaxed(&n->w[i]);

		if (old == c->to)
			continue;
		clo_a64_set(&n->w[i], c->to);
		if (CLO_LIKELY(!attr_is_ptr(old))) {
			flipped++;
			continue;
		}
		mixed++;
		pages += attr_word_pages(old, level - 1);
		attr_pool_retire(c->a, old);
	}
	n->uniform[!c->to] -= flipped;
	n->uniform[c->to] += flipped + mixed;
	if (c->to == ATTR_PRIVATE)
		n->private_pages += (flipped + mixed) * attr_span(level - 1) - pages;
	else
		n->private_pages -= flipped * attr_span(level - 1) + pages;
}

static uint64_t change_node(const struct change *c, unsigned level, uint64_t word, uint64_t base)
{
	struct attr_node *n = attr_is_ptr(word) ? attr_node(word) : node_new(c, level, word);
	struct clo_range in =
		clo_range_clip(c->r, clo_range(base, attr_block_end(c->a, level, base)));
	uint64_t child = attr_span(level - 1);
	unsigned first = attr_child(level, in.start);
	unsigned end = attr_child(level, in.end - 1) + 1;
	bool cut_start = !clo_is_aligned(in.start, child);
	bool cut_end = !clo_is_aligned(in.end, child) && !(cut_start && end - first == 1);

	if (cut_start)
		change_cut(c, n, level, first++, base);
	if (cut_end)
		change_cut(c, n, level, --end, base);
	change_inside(c, n, level, first, end);
	return n->uniform[c->to] == n->fanout ? c->to : attr_node_word(n);
}

/*
 * The word that the block is to have. What the old word points to, if it is another, is the
 * caller's to retire: only then no new reader can find it.
 */
static uint64_t change_block(const struct change *c, unsigned level, uint64_t word, uint64_t base)
{
	if (word == c->to || (c->r.start <= base && attr_block_end(c->a, level, base) <= c->r.end))
		return c->to;
	return level == 0 ? change_leaf(c, word, base) : change_node(c, level, word, base);
}

void clo_attr_commit(struct clo_attr *a, struct clo_range r, bool is_private,
		     struct clo_attr_reserve *res)
{
	assert(range_valid(a, r));

	struct change c = { .a = a,
			    .r = attr_widen(a, r),
			    .to = is_private ? ATTR_PRIVATE : ATTR_SHARED,
			    .res = res };

	clo_mutex_lock(&a->lock);
	clo_mutex_lock(&a->pool.lock);

	uint64_t old = clo_a64_get_relaxed(&a->root);
	uint64_t now = change_block(&c, a->top, old, 0);

	if (now != old) {
		clo_a64_set(&a->root, now);
		if (attr_is_ptr(old))
			attr_pool_retire(a, old);
	}
	attr_pool_retired(a);
	clo_mutex_unlock(&a->pool.lock);
	clo_mutex_unlock(&a->lock);
}

int clo_attr_set(struct clo_attr *a, struct clo_range r, bool is_private)
{
	struct clo_attr_reserve res = { 0 };
	int ret = clo_attr_prepare(a, r, &res);

	if (ret < 0)
		return ret;
	clo_attr_commit(a, r, is_private, &res);
	clo_attr_reserve_release(&res);
	return 0;
}
