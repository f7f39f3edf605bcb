/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench_attr_peers.c - the sorted array and the bitmap, each as one would write it. */
#include "bench_attr_peers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"

void peer_array_set(struct peer_array *p, struct clo_range r, bool is_private)
{
	/* Changes inside [start, end] go; at each end one stays or comes if the kinds differ. */
	size_t from = r.start ? peer_array_find(p, r.start - 1) : 0;
	size_t to = peer_array_find(p, r.end);
	bool before = from & 1;
	bool after = to & 1;
	uint64_t put[2];
	size_t n = 0;

	if (before != is_private)
		put[n++] = r.start;
	if (after != is_private)
		put[n++] = r.end;
	if (p->count + n > p->room) {
		p->room = p->room * 2 + 16;
		p->at = realloc(p->at, p->room * sizeof(*p->at));
		if (!p->at)
			bench_die("no memory");
	}
	memmove(p->at + from + n, p->at + to, (p->count - to) * sizeof(*p->at));
	memcpy(p->at + from, put, n * sizeof(*put));
	p->count = p->count - (to - from) + n;
}

uint64_t peer_array_private(const struct peer_array *p, struct clo_range r)
{
	uint64_t pages = 0;
	uint64_t at = r.start;
	size_t i = peer_array_find(p, at);

	while (at < r.end) {
		uint64_t next = i < p->count && p->at[i] < r.end ? p->at[i] : r.end;

		pages += i & 1 ? next - at : 0;
		at = next;
		i++;
	}
	return pages;
}

void peer_array_free(struct peer_array *p)
{
	free(p->at);
	*p = (struct peer_array){ 0 };
}

void peer_bitmap_init(struct peer_bitmap *p, uint64_t npages)
{
	p->npages = npages;
	p->word = mmap(NULL, npages / 8, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->word == MAP_FAILED)
		bench_die("no memory");
}

static void word_set(struct clo_a64 *word, uint64_t mask, bool is_private)
{
	if (is_private)
		clo_a64_or(word, mask);
	else
		clo_a64_and(word, ~mask);
}

void peer_bitmap_set(struct peer_bitmap *p, struct clo_range r, bool is_private)
{
	uint64_t first = r.start / 64;
	uint64_t last = (r.end - 1) / 64;
	uint64_t head = ~0ULL << (r.start % 64);
	uint64_t tail = ~0ULL >> (63 - (r.end - 1) % 64);

	if (first == last) {
		word_set(&p->word[first], head & tail, is_private);
		return;
	}
	word_set(&p->word[first], head, is_private);
	memset(&p->word[first + 1], is_private ? 0xff : 0, (last - first - 1) * 8);
	word_set(&p->word[last], tail, is_private);
}

uint64_t peer_bitmap_private(const struct peer_bitmap *p, struct clo_range r)
{
	uint64_t pages = 0;

	/* Ends on whole words suffice here. */
	for (uint64_t i = r.start / 64; i < r.end / 64; i++)
		pages += (unsigned)__builtin_popcountll(clo_a64_get_relaxed(&p->word[i]));
	return pages;
}

void peer_bitmap_free(struct peer_bitmap *p)
{
	munmap(p->word, p->npages / 8);
	*p = (struct peer_bitmap){ 0 };
}
