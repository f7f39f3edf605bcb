/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view_soft.c - level SOFT: no mapping, a present bit per page that clo_view_access() obeys.
 *
 * A bit is set by grant (folio lock held) and by show never: a shown page is asked for again at its
 * first touch. hide and drop clear bits with the set's lock held for writing, which waits for
 * accesses that have seen a bit and are copying: after hide nobody reads. Chunks come on demand,
 * since a file may be as long as 2^63 bytes; they live until the set dies.
 */
#include "view_internal.h"

#include <errno.h>
#include <string.h>

#define CHUNK_PAGES 4096ULL

struct soft_chunk {
	struct soft_chunk *next; /* written before the chunk is published */
	uint64_t start;
	struct clo_a64 base; /* pfn of start, known since the first grant */
	struct clo_a64 bits[CHUNK_PAGES / 64];
};

struct soft_granted {
	struct clo_view_set *vs;
	bool no_memory;
};

static struct clo_aptr *bucket(const struct clo_view_set *vs, uint64_t index)
{
	const struct clo_aptr *b = &vs->soft[index / CHUNK_PAGES % VIEW_SOFT_BUCKETS];

	return (struct clo_aptr *)(uintptr_t)b;
}

static struct soft_chunk *find_chunk(const struct clo_view_set *vs, uint64_t index)
{
	struct soft_chunk *c = clo_aptr_get(bucket(vs, index));

	while (c && c->start != clo_align_down(index, CHUNK_PAGES))
		c = c->next;
	return c;
}

static struct soft_chunk *make_chunk(struct clo_view_set *vs, uint64_t index)
{
	struct soft_chunk *c = clo_alloc(sizeof(*c));
	void *head;

	if (!c)
		return NULL;
	c->start = clo_align_down(index, CHUNK_PAGES);
	head = clo_aptr_get(bucket(vs, index));
	do {
		struct soft_chunk *other = find_chunk(vs, index);

		if (other) {
			clo_free(c);
			return other;
		}
		c->next = head;
	} while (!clo_aptr_cas(bucket(vs, index), &head, c));
	return c;
}

/* The bits of @r in word @w of its chunk. */
static uint64_t word_mask(struct clo_range r, uint64_t first_of_word)
{
	struct clo_range x = clo_range_clip(r, clo_range(first_of_word, first_of_word + 64));
	uint64_t n = clo_range_len(x);

	if (n == 0)
		return 0;
	return (n == 64 ? ~0ULL : (1ULL << n) - 1) << (x.start - first_of_word);
}

static void grant(void *garg, struct clo_range r, struct clo_pfn base)
{
	struct soft_granted *g = garg;

	clo_rwlock_rdlock(&g->vs->lock);
	for (uint64_t at = r.start; at < r.end;) {
		uint64_t word = clo_align_down(at, 64);
		struct soft_chunk *c = find_chunk(g->vs, at);

		if (!c)
			c = make_chunk(g->vs, at);
		if (!c) {
			g->no_memory = true;
			break;
		}
		/* Windows are naturally aligned, so a chunk lies in one: all grants agree. */
		clo_a64_set(&c->base, base.n + (c->start - r.start));
		clo_a64_or(&c->bits[(word - c->start) / 64], word_mask(r, word));
		at = word + 64;
	}
	clo_rwlock_unlock(&g->vs->lock);
}

static void clear(struct clo_view_set *vs, struct clo_range r)
{
	clo_rwlock_wrlock(&vs->lock);
	for (unsigned b = 0; b < VIEW_SOFT_BUCKETS; b++) {
		for (struct soft_chunk *c = clo_aptr_get(&vs->soft[b]); c; c = c->next) {
			struct clo_range x =
				clo_range_clip(r, clo_range(c->start, c->start + CHUNK_PAGES));

			/* Not even the word that an empty range begins in: it is another's. */
			if (x.start == x.end)
				continue;
			for (uint64_t at = clo_align_down(x.start, 64); at < x.end; at += 64)
				clo_a64_and(&c->bits[(at - c->start) / 64], ~word_mask(x, at));
		}
	}
	clo_rwlock_unlock(&vs->lock);
}

static int soft_hide(struct clo_view_set *vs, struct clo_range r)
{
	clear(vs, r);
	return 0;
}

static void soft_show(struct clo_view_set *vs, struct clo_range r)
{
	(void)vs;
	(void)r;
}

static bool bit_of(const struct soft_chunk *c, uint64_t index)
{
	uint64_t bit = index % CHUNK_PAGES;

	return (clo_a64_get(&c->bits[bit / 64]) >> bit % 64 & 1) != 0;
}

static bool soft_is_shown(const struct clo_view_set *vs, uint64_t index)
{
	const struct soft_chunk *c = find_chunk(vs, index);

	return c && bit_of(c, index);
}

/* False: the page is not present. */
static bool copy_page(struct clo_view_set *vs, uint64_t off, uint8_t *bounce, size_t bytes,
		      bool write)
{
	uint64_t index = off >> CLO_PAGE_SHIFT;
	const struct soft_chunk *c;
	bool there;

	clo_sync_point(write ? "host store" : "host load", index);
	clo_rwlock_rdlock(&vs->lock);
	c = find_chunk(vs, index);
	there = c && bit_of(c, index);
	if (there) {
		struct clo_pfn pfn = clo_pfn(clo_a64_get(&c->base) + (index - c->start));
		uint8_t *p = (uint8_t *)clo_page_addr(vs->vh->db, pfn) + (off & CLO_PAGE_MASK);

		if (write)
			memcpy(p, bounce, bytes);
		else
			memcpy(bounce, p, bytes);
	}
	clo_rwlock_unlock(&vs->lock);
	return there;
}

static int fault(struct clo_view_set *vs, uint64_t index)
{
	struct soft_granted g = { .vs = vs };
	int ret = vs->resolve(vs->owner, index, grant, &g);

	if (ret == -EAGAIN) {
		vs->transit(vs->owner, index);
		return 0;
	}
	clo_stat_add(ret ? &vs->refused_faults : &vs->resolved_faults, 1);
	return ret == 0 && g.no_memory ? clo_fail_heap("host view") : ret;
}

/* Of one page. */
static int soft_access(struct clo_view_set *vs, uint64_t off, uint8_t *bounce, size_t bytes,
		       bool write)
{
	while (!copy_page(vs, off, bounce, bytes, write)) {
		int ret = fault(vs, off >> CLO_PAGE_SHIFT);

		if (ret)
			return ret;
	}
	return 0;
}

static int soft_host_init(struct clo_view_host *vh)
{
	(void)vh;
	return 0;
}

static void soft_host_fini(struct clo_view_host *vh)
{
	(void)vh;
}

static void soft_set_fini(struct clo_view_set *vs)
{
	for (unsigned b = 0; b < VIEW_SOFT_BUCKETS; b++) {
		struct soft_chunk *c = clo_aptr_get(&vs->soft[b]);

		while (c) {
			struct soft_chunk *next = c->next;

			clo_free(c);
			c = next;
		}
	}
}

const struct view_ops view_soft_ops = {
	.host_init = soft_host_init,
	.host_fini = soft_host_fini,
	.set_fini = soft_set_fini,
	.hide = soft_hide,
	.show = soft_show,
	.drop = clear,
	.access = soft_access,
	.is_shown = soft_is_shown,
};
