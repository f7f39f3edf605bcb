/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page/page_window.c - windows of pfn space: naturally aligned, best fit, O(log space), no
 * allocation after creation.
 */
#include "page_internal.h"

#include <errno.h>

/* Largest free order below node @i of order @order, plus 1; 0 = nothing is free. */
static unsigned free_below(const struct window_tree *t, uint64_t i, unsigned order)
{
	return order + 1 - t->node[i];
}

static uint64_t node_of(const struct window_tree *t, uint64_t base, unsigned order)
{
	return (1ULL << (t->order - order)) + (base >> order);
}

/* Set node @i and bring its ancestors up to date. */
static void set_node(struct window_tree *t, uint64_t i, unsigned order, bool used)
{
	t->node[i] = used ? (uint8_t)(order + 1) : 0;
	while (i > 1) {
		unsigned left = free_below(t, i & ~1ULL, order);
		unsigned right = free_below(t, i | 1, order);

		i /= 2;
		order++;
		if (left == order && right == order) /* both halves wholly free: one block again */
			t->node[i] = 0;
		else
			t->node[i] = (uint8_t)(order + 1 - (left > right ? left : right));
	}
}

int page_tree_init(struct window_tree *t, uint64_t pfn_space)
{
	uint64_t at = pfn_space;

	t->order = 0;
	while (1ULL << t->order < pfn_space)
		t->order++;
	t->bytes = (size_t)2 << t->order;
	t->node = clo_alloc_sparse(t->bytes);
	if (!t->node)
		return clo_fail(-ENOMEM, CLO_REASON_SPACE, "frames of the host");
	/* What the power of two has more than the pool is taken for ever. */
	while (at < 1ULL << t->order) {
		unsigned order = (unsigned)__builtin_ctzll(at);

		set_node(t, node_of(t, at, order), order, true);
		at += 1ULL << order;
	}
	return 0;
}

void page_tree_destroy(struct window_tree *t)
{
	if (t->node)
		clo_free_sparse(t->node, t->bytes);
}

static bool tree_take(struct window_tree *t, unsigned order, uint64_t *base)
{
	uint64_t i = 1;

	if (order > t->order || free_below(t, 1, t->order) <= order)
		return false;
	for (unsigned at = t->order; at > order; at--) {
		unsigned left = free_below(t, 2 * i, at - 1);
		unsigned right = free_below(t, 2 * i + 1, at - 1);

		/* The tighter half that fits, so that large windows stay possible. */
		i = 2 * i + (left <= order || (right > order && right < left));
	}
	*base = (i << order) - (1ULL << t->order);
	set_node(t, i, order, true);
	return true;
}

/* How much of the space must stay unreserved, so that others find room. */
static uint64_t kept_back(const struct clo_pagedb *db, enum clo_window_use use)
{
	switch (use) {
	case CLO_WINDOW_WANTED:
		return db->pfn_space / 2;
	case CLO_WINDOW_NEEDED:
		return db->pfn_space / 4;
	case CLO_WINDOW_LAST:
	default:
		return 0;
	}
}

int clo_page_window_reserve(struct clo_pagedb *db, unsigned order, enum clo_window_use use,
			    struct clo_pfn *base)
{
	uint64_t start = 0;
	uint64_t n = 1ULL << (order & 63);
	bool found;

	if (order > CLO_MAX_FOLIO_ORDER)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "order");
	clo_mutex_lock(&db->lock);
	found = db->reserved + n + kept_back(db, use) <= db->pfn_space &&
		tree_take(&db->tree, order, &start);
	if (found) {
		db->reserved += n;
		clo_a64_add(&db->windows, 1);
	}
	clo_mutex_unlock(&db->lock);
	if (!found)
		return clo_fail(-ENOMEM, CLO_REASON_WINDOWS, "memory of the host");
	*base = clo_pfn(start);
	return 0;
}

void clo_page_window_release(struct clo_pagedb *db, struct clo_pfn base, unsigned order)
{
	if (!clo_page_all_free(db, base, order))
		return;
	clo_mutex_lock(&db->lock);
	set_node(&db->tree, node_of(&db->tree, base.n, order), order, false);
	db->reserved -= 1ULL << order;
	clo_a64_sub(&db->windows, 1);
	clo_mutex_unlock(&db->lock);
}
