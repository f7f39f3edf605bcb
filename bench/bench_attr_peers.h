/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/bench_attr_peers.h - what else one would keep private and shared in.
 *
 * A sorted array: the pages at which the kind changes; found by bisection, changed by moving what
 * is behind. A bitmap: one bit for each page. Neither has a lock of its own; beside a writer the
 * array is read under a rwlock, the bitmap by atomic words.
 */
#ifndef CLO_BENCH_BENCH_ATTR_PEERS_H
#define CLO_BENCH_BENCH_ATTR_PEERS_H

#include "base/base.h"
#include "sync/sync.h"

struct peer_array {
	uint64_t *at; /* [0, at[0]) is shared, [at[0], at[1]) private, ... */
	size_t count;
	size_t room;
};

void peer_array_set(struct peer_array *p, struct clo_range r, bool is_private);
uint64_t peer_array_private(const struct peer_array *p, struct clo_range r);
void peer_array_free(struct peer_array *p);

/* How many changes are at or before @index. */
static inline size_t peer_array_find(const struct peer_array *p, uint64_t index)
{
	size_t base = 0;
	size_t n = p->count;

	if (n == 0)
		return 0;
	while (n > 1) {
		size_t half = n / 2;

		base += p->at[base + half - 1] <= index ? half : 0;
		n -= half;
	}
	return base + (p->at[base] <= index);
}
static inline bool peer_array_is_private(const struct peer_array *p, uint64_t index)
{
	return peer_array_find(p, index) & 1;
}

struct peer_bitmap {
	struct clo_a64 *word;
	uint64_t npages;
};

void peer_bitmap_init(struct peer_bitmap *p, uint64_t npages);
void peer_bitmap_set(struct peer_bitmap *p, struct clo_range r, bool is_private);
uint64_t peer_bitmap_private(const struct peer_bitmap *p, struct clo_range r);
void peer_bitmap_free(struct peer_bitmap *p);

static inline bool peer_bitmap_is_private(const struct peer_bitmap *p, uint64_t index)
{
	return clo_a64_get(&p->word[index / 64]) >> (index % 64) & 1;
}

#endif
