/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attr/attr_pool.c - memory of a store: nodes, and bitmaps in slabs.
 *
 * A node or bitmap is in the tree, in a reserve, free, or has left the tree and waits for the
 * readers that may still be in it. A node that left takes all below it along: one deferred call for
 * a terabyte. The store itself lives until the last of these calls, so destroy need not wait.
 */
#include "attr/attr_internal.h"

#include <assert.h>
#include <errno.h>

#define SLAB_FULL (~0ULL >> 1)

static size_t node_bytes(const struct clo_attr *a, unsigned level)
{
	return sizeof(struct attr_node) + attr_fanout(a, level) * sizeof(struct clo_a64);
}

/* Of what readers look at, in units of clo_mem_idle(): a last odd word is left out. */
static size_t words_bytes(const struct attr_node *n)
{
	return clo_align_down(n->fanout * sizeof(n->w[0]), 16);
}

void attr_pool_init(struct clo_attr *a)
{
	clo_mutex_init(&a->pool.lock, CLO_RANK_LEAF, "attr pool");
	a->pool.bytes = sizeof(*a);
	a->pool.refs = 1;
}

/* [pool] Slabs with a free place are on a list, newest use first. */
static void slab_list(struct attr_pool *pool, struct attr_slab *slab)
{
	slab->prev = NULL;
	slab->next = pool->partial;
	if (slab->next)
		slab->next->prev = slab;
	pool->partial = slab;
}

static void slab_unlist(struct attr_pool *pool, struct attr_slab *slab)
{
	if (slab->prev)
		slab->prev->next = slab->next;
	else
		pool->partial = slab->next;
	if (slab->next)
		slab->next->prev = slab->prev;
}

static uint64_t slab_take(struct attr_pool *pool, struct attr_slab *slab)
{
	unsigned i = (unsigned)__builtin_ctzll(~slab->used);

	if (slab->used == 0)
		pool->empty--;
	slab->used |= 1ULL << i;
	if (slab->used == SLAB_FULL)
		slab_unlist(pool, slab);
	clo_mem_used(&slab->leaf[i], sizeof(slab->leaf[i]));
	return (uint64_t)(uintptr_t)&slab->leaf[i] | i;
}

/* [pool] The places @bits are free again. One empty slab is kept. */
static void slab_put(struct attr_pool *pool, struct attr_slab *slab, uint64_t bits)
{
	if (slab->used == SLAB_FULL)
		slab_list(pool, slab);
	slab->used &= ~bits;
	for (uint64_t rest = bits; rest; rest &= rest - 1) {
		struct attr_leaf *leaf = &slab->leaf[__builtin_ctzll(rest)];

		clo_mem_idle(leaf, sizeof(*leaf));
	}
	if (slab->used != 0)
		return;
	if (pool->empty == 0) {
		pool->empty++;
		return;
	}
	slab_unlist(pool, slab);
	pool->bytes -= sizeof(*slab);
	clo_free(slab);
}

/* [pool] */
static void node_put(struct clo_attr *a, struct attr_node *n)
{
	struct attr_pool *pool = &a->pool;

	if (pool->spare[n->level].count < ATTR_SPARE_MAX) {
		clo_mem_idle(n->w, words_bytes(n));
		n->next = pool->spare[n->level].head;
		pool->spare[n->level].head = attr_node_word(n);
		pool->spare[n->level].count++;
		return;
	}
	pool->bytes -= node_bytes(a, n->level);
	clo_free(n);
}

/* [pool] Nobody can be in @word or below it. */
static void word_put(struct clo_attr *a, uint64_t word)
{
	if (!attr_is_node(word)) {
		slab_put(&a->pool, attr_slab(word), 1ULL << (word & ATTR_TAG_MASK));
		return;
	}

	struct attr_node *n = attr_node(word);

	for (unsigned i = 0; i < n->fanout; i++) {
		uint64_t child = clo_a64_get_relaxed(&n->w[i]);

		if (attr_is_ptr(child))
			word_put(a, child);
	}
	node_put(a, n);
}

/* [pool], which it drops. The last one frees the store. */
static void pool_unref(struct clo_attr *a)
{
	bool last = --a->pool.refs == 0;

	clo_mutex_unlock(&a->pool.lock);
	if (!last)
		return;
	for (unsigned level = 1; level < ATTR_LEVELS; level++) {
		uint64_t word = a->pool.spare[level].head;

		while (word) {
			struct attr_node *n = attr_node(word);

			word = n->next;
			clo_free(n);
		}
	}
	assert(!a->pool.partial || !a->pool.partial->next);
	clo_free(a->pool.partial);
	clo_mutex_destroy(&a->pool.lock);
	clo_free(a);
}

void attr_pool_finish(struct clo_attr *a)
{
	uint64_t root = clo_a64_get_relaxed(&a->root);

	clo_mutex_lock(&a->pool.lock);
	if (attr_is_ptr(root))
		word_put(a, root);
	pool_unref(a);
}

/* All nodes that left by one change. */
static void nodes_grace(struct clo_rcu_head *head)
{
	struct attr_node *n = CLO_CONTAINER_OF(head, struct attr_node, rcu);
	struct clo_attr *a = n->a;

	clo_mutex_lock(&a->pool.lock);
	while (n) {
		struct attr_node *next = n->next ? attr_node(n->next) : NULL;

		word_put(a, attr_node_word(n));
		n = next;
	}
	pool_unref(a);
}

static void slab_grace(struct clo_rcu_head *head)
{
	struct attr_slab *slab = CLO_CONTAINER_OF(head, struct attr_slab, rcu);
	struct clo_attr *a = slab->a;

	clo_mutex_lock(&a->pool.lock);

	uint64_t freed = slab->waiting;

	slab->waiting = slab->dead;
	slab->dead = 0;
	if (slab->waiting) {
		a->pool.refs++;
		clo_rcu_defer(&slab->rcu, slab_grace);
	}
	slab_put(&a->pool, slab, freed);
	pool_unref(a);
}

void attr_pool_retire(struct clo_attr *a, uint64_t word)
{
	if (attr_is_node(word)) {
		attr_node(word)->next = a->pool.retired;
		a->pool.retired = word;
		return;
	}

	struct attr_slab *slab = attr_slab(word);

	slab->dead |= 1ULL << (word & ATTR_TAG_MASK);
	if (slab->waiting)
		return;
	slab->waiting = slab->dead;
	slab->dead = 0;
	a->pool.refs++;
	clo_rcu_defer(&slab->rcu, slab_grace);
}

void attr_pool_retired(struct clo_attr *a)
{
	uint64_t word = a->pool.retired;

	if (!word)
		return;
	a->pool.retired = 0;
	a->pool.refs++;
	clo_rcu_defer(&attr_node(word)->rcu, nodes_grace);
}

/* A node keeps the link in a field, a bitmap in its first word: it has no content yet. */
static uint64_t link_get(uint64_t word)
{
	if (attr_is_node(word))
		return attr_node(word)->next;
	return clo_a64_get_relaxed(&attr_leaf(word)->w[0]);
}

static void link_set(uint64_t word, uint64_t next)
{
	if (attr_is_node(word))
		attr_node(word)->next = next;
	else
		clo_a64_init(&attr_leaf(word)->w[0], next);
}

static uint64_t reserve_head(const struct clo_attr_reserve *res)
{
	return (uint64_t)(uintptr_t)res->nodes;
}

static void reserve_push(struct clo_attr_reserve *res, uint64_t word)
{
	link_set(word, reserve_head(res));
	res->nodes = (void *)(uintptr_t)word;
	res->count++;
}

/* Take what is there already; the rest of @need is to be allocated. */
static void reserve_spares(struct clo_attr *a, unsigned need[ATTR_LEVELS],
			   struct clo_attr_reserve *res)
{
	struct attr_pool *pool = &a->pool;

	clo_mutex_lock(&pool->lock);
	for (; need[0] && pool->partial; need[0]--)
		reserve_push(res, slab_take(pool, pool->partial));
	for (unsigned level = 1; level < ATTR_LEVELS; level++) {
		for (; need[level] && pool->spare[level].count; need[level]--) {
			uint64_t word = pool->spare[level].head;

			pool->spare[level].head = attr_node(word)->next;
			pool->spare[level].count--;
			clo_mem_used(attr_node(word)->w, words_bytes(attr_node(word)));
			reserve_push(res, word);
		}
	}
	clo_mutex_unlock(&pool->lock);
}

static bool reserve_leafs(struct clo_attr *a, unsigned need, struct clo_attr_reserve *res)
{
	struct attr_slab *slab = clo_alloc_aligned(_Alignof(struct attr_slab), sizeof(*slab));

	if (!slab)
		return false;
	slab->a = a;
	slab->used = 0;
	slab->dead = 0;
	slab->waiting = 0;
	clo_mutex_lock(&a->pool.lock);
	a->pool.bytes += sizeof(*slab);
	a->pool.empty++;
	slab_list(&a->pool, slab);
	for (; need; need--)
		reserve_push(res, slab_take(&a->pool, slab));
	clo_mutex_unlock(&a->pool.lock);
	return true;
}

static bool reserve_node(struct clo_attr *a, unsigned level, struct clo_attr_reserve *res)
{
	struct attr_node *n = clo_alloc_aligned(_Alignof(struct attr_node), node_bytes(a, level));

	if (!n)
		return false;
	n->a = a;
	n->level = level;
	n->fanout = attr_fanout(a, level);
	clo_mutex_lock(&a->pool.lock);
	a->pool.bytes += node_bytes(a, level);
	clo_mutex_unlock(&a->pool.lock);
	reserve_push(res, attr_node_word(n));
	return true;
}

int attr_pool_reserve(struct clo_attr *a, const unsigned need[ATTR_LEVELS],
		      struct clo_attr_reserve *res)
{
	struct clo_attr_reserve got = { 0 };
	unsigned lack[ATTR_LEVELS];
	bool ok;

	for (unsigned level = 0; level < ATTR_LEVELS; level++)
		lack[level] = need[level];
	reserve_spares(a, lack, &got);
	ok = lack[0] == 0 || reserve_leafs(a, lack[0], &got);
	for (unsigned level = 1; level < ATTR_LEVELS; level++)
		for (; ok && lack[level]; lack[level]--)
			ok = reserve_node(a, level, &got);
	if (!ok) {
		clo_attr_reserve_release(&got);
		return clo_fail_heap("attributes");
	}
	*res = got;
	return 0;
}

uint64_t attr_pool_take(struct clo_attr_reserve *res, unsigned level)
{
	uint64_t word = reserve_head(res);
	uint64_t prev = 0;

	for (;; prev = word, word = link_get(word)) {
		assert(word != 0); /* else: a commit without a prepare of the same range */
		if (level == (attr_is_node(word) ? attr_node(word)->level : 0))
			break;
	}
	if (prev)
		link_set(prev, link_get(word));
	else
		res->nodes = (void *)(uintptr_t)link_get(word);
	res->count--;
	return word;
}

void clo_attr_reserve_release(struct clo_attr_reserve *res)
{
	uint64_t word = reserve_head(res);

	if (!word)
		return;

	struct clo_attr *a = attr_is_node(word) ? attr_node(word)->a : attr_slab(word)->a;

	clo_mutex_lock(&a->pool.lock);
	while (word) {
		uint64_t next = link_get(word);

		if (attr_is_node(word))
			node_put(a, attr_node(word));
		else
			word_put(a, word);
		word = next;
	}
	clo_mutex_unlock(&a->pool.lock);
	*res = (struct clo_attr_reserve){ 0 };
}
