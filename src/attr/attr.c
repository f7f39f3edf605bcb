/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attr/attr.c - making a store, and its lock-free readers.
 *
 * A reader loads one word a level, with acquire, and never sees a node or bitmap that is not
 * complete: a writer fills what is new before it stores the word that leads there. What a writer
 * takes out stays as it was until all readers of that time have left.
 */
#include "attr/attr_internal.h"

#include <errno.h>

int clo_attr_create(uint64_t npages, bool is_private, struct clo_attr **out)
{
	if (npages == 0 || npages > ATTR_NPAGES_MAX)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "bytes");

	struct clo_attr *a = clo_alloc_aligned(_Alignof(struct clo_attr), sizeof(*a));

	if (!a)
		return clo_fail_heap("attributes");
	while (attr_span(a->top) < npages)
		a->top++;
	a->npages = npages;
	a->cover = clo_align_up(npages, attr_span(a->top == 0 ? 0 : a->top - 1));
	clo_a64_init(&a->root, is_private ? ATTR_PRIVATE : ATTR_SHARED);
	clo_mutex_init(&a->lock, CLO_RANK_ATTR, "attr");
	attr_pool_init(a);
	*out = a;
	return 0;
}

void clo_attr_destroy(struct clo_attr *a)
{
	if (!a)
		return;
	clo_mutex_destroy(&a->lock);
	attr_pool_finish(a);
}

/* The word of the smallest block around @index that the tree knows, not below @level. */
static inline uint64_t word_at(const struct clo_attr *a, uint64_t index, unsigned level)
{
	uint64_t word = clo_a64_get(&a->root);

	for (unsigned at = a->top; at > level && attr_is_ptr(word); at--)
		word = clo_a64_get(&attr_node(word)->w[attr_child(at, index)]);
	return word;
}

bool clo_attr_is_private(const struct clo_attr *a, uint64_t index)
{
	if (index >= a->npages)
		return false;
	clo_rcu_read_lock();

	uint64_t word = word_at(a, index, 0);

	if (attr_is_ptr(word)) {
		word = clo_a64_get(&attr_leaf(word)->w[index % ATTR_LEAF_PAGES / 64]);
		word = word >> (index % 64) & 1;
	}
	clo_rcu_read_unlock();
	return word == ATTR_PRIVATE;
}

bool clo_attr_is_uniform(const struct clo_attr *a, uint64_t index, enum clo_level level)
{
	if (level == CLO_LEVEL_4K || index >= a->npages)
		return true;
	clo_rcu_read_lock();

	bool uniform = !attr_is_ptr(word_at(a, index, (unsigned)level - 1));

	clo_rcu_read_unlock();
	return uniform;
}

static uint64_t leaf_extent(const struct attr_leaf *leaf, uint64_t at, bool *is_private)
{
	uint64_t base = clo_align_down(at, ATTR_LEAF_PAGES);
	unsigned i = (unsigned)(at - base) / 64;
	uint64_t word = clo_a64_get(&leaf->w[i]);
	bool kind = word >> (at % 64) & 1;
	uint64_t other = (kind ? ~word : word) & (~0ULL << (at % 64));

	*is_private = kind;
	while (other == 0) {
		if (++i == ATTR_LEAF_WORDS)
			return base + ATTR_LEAF_PAGES;
		word = clo_a64_get(&leaf->w[i]);
		other = kind ? ~word : word;
	}
	return base + i * 64ULL + (unsigned)__builtin_ctzll(other);
}

uint64_t attr_extent(const struct clo_attr *a, uint64_t at, bool *is_private)
{
	uint64_t word = clo_a64_get(&a->root);
	uint64_t end = a->cover;
	unsigned level = a->top;

	while (attr_is_ptr(word)) {
		if (level == 0)
			return leaf_extent(attr_leaf(word), at, is_private);

		const struct attr_node *n = attr_node(word);
		unsigned i = attr_child(level, at);

		word = clo_a64_get(&n->w[i]);
		if (!attr_is_ptr(word)) {
			do
				i++;
			while (i < attr_fanout(a, level) && clo_a64_get(&n->w[i]) == word);
			end = clo_align_down(at, attr_span(level)) +
			      ((uint64_t)i << attr_order(level - 1));
		}
		level--;
	}
	*is_private = word == ATTR_PRIVATE;
	return end;
}

struct clo_range attr_run(const struct clo_attr *a, uint64_t index, uint64_t end, bool *is_private)
{
	struct clo_range run = clo_range(index, index);
	bool kind = false;

	*is_private = false;
	if (end > a->npages)
		end = a->npages;
	while (run.end < end) {
		uint64_t to = attr_extent(a, run.end, &kind);

		if (run.end == index)
			*is_private = kind;
		else if (kind != *is_private)
			break;
		run.end = to < end ? to : end;
	}
	return run;
}

struct clo_range clo_attr_run(const struct clo_attr *a, uint64_t index, uint64_t end,
			      bool *is_private)
{
	clo_rcu_read_lock();

	struct clo_range run = attr_run(a, index, end, is_private);

	clo_rcu_read_unlock();
	return run;
}

bool clo_attr_range_is(const struct clo_attr *a, struct clo_range r, bool is_private)
{
	uint64_t end = r.end < a->npages ? r.end : a->npages;
	bool all = true;

	if (r.start >= r.end)
		return true;
	if (r.end > a->npages && is_private)
		return false;
	clo_rcu_read_lock();
	for (uint64_t at = r.start; at < end && all;) {
		bool kind;

		at = attr_extent(a, at, &kind);
		all = kind == is_private;
	}
	clo_rcu_read_unlock();
	return all;
}
