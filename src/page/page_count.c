/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page/page_count.c - which parts of pfn space have frames: a walk over TiB of which a few pages
 * are used must cost what these cost.
 *
 * Two counts, for each 2M and each 1G of pfn space, of frames that are not FREE. A frame is counted
 * before it is claimed and until after it is FREE, so a count of 0 says that there is none; a count
 * above 0 may be a moment early or late. The count rises by a sequentially consistent operation
 * before its thread asks whether a change has begun, and a walk reads it, sequentially consistent,
 * after its change has begun: either the walk sees the frame or the allocation sees the change.
 */
#include "page_internal.h"

#include <errno.h>

#define BLOCK_ORDER  9
#define GIGA_ORDER   18
#define HEAP_AT_MOST ((size_t)CLO_PAGE_SIZE)

static struct clo_a32 *array(uint64_t pfn_space, unsigned order, size_t *bytes)
{
	*bytes = (size_t)(((pfn_space - 1) >> order) + 1) * sizeof(struct clo_a32);
	return *bytes <= HEAP_AT_MOST ? clo_alloc(*bytes) : clo_alloc_sparse(*bytes);
}

static void array_free(struct clo_a32 *a, size_t bytes)
{
	if (bytes <= HEAP_AT_MOST)
		clo_free(a);
	else
		clo_free_sparse(a, bytes);
}

int page_counts_init(struct page_counts *c, uint64_t pfn_space)
{
	c->of_block = array(pfn_space, BLOCK_ORDER, &c->block_bytes);
	if (!c->of_block)
		return clo_fail(-ENOMEM, CLO_REASON_SPACE, "frames of the host");
	if (pfn_space > 1ULL << GIGA_ORDER) {
		c->of_giga = array(pfn_space, GIGA_ORDER, &c->giga_bytes);
		if (!c->of_giga)
			return clo_fail(-ENOMEM, CLO_REASON_SPACE, "frames of the host");
	}
	return 0;
}

void page_counts_destroy(struct page_counts *c)
{
	array_free(c->of_block, c->block_bytes);
	array_free(c->of_giga, c->giga_bytes);
}

static uint32_t in_block(uint64_t n)
{
	return (uint32_t)(n < 1ULL << BLOCK_ORDER ? n : 1ULL << BLOCK_ORDER);
}

void page_count_add(struct clo_pagedb *db, struct clo_pfn pfn, uint64_t n)
{
	if (db->counts.of_giga)
		clo_a32_add(&db->counts.of_giga[pfn.n >> GIGA_ORDER], (uint32_t)n);
	for (uint64_t i = pfn.n; i < pfn.n + n; i += in_block(n))
		clo_a32_add(&db->counts.of_block[i >> BLOCK_ORDER], in_block(n));
}

void page_count_sub(struct clo_pagedb *db, struct clo_pfn pfn, uint64_t n)
{
	for (uint64_t i = pfn.n; i < pfn.n + n; i += in_block(n))
		clo_a32_sub(&db->counts.of_block[i >> BLOCK_ORDER], in_block(n));
	if (db->counts.of_giga)
		clo_a32_sub(&db->counts.of_giga[pfn.n >> GIGA_ORDER], (uint32_t)n);
}

/* Is nothing counted around @n? Then *next is where the next block begins. */
static bool nothing(const struct clo_a32 *counts, uint64_t n, unsigned order, uint64_t *next)
{
	if (clo_a32_get_sc(&counts[n >> order]) != 0)
		return false;
	*next = ((n >> order) + 1) << order;
	return true;
}

bool clo_page_next_used(const struct clo_pagedb *db, struct clo_pfn *at, uint64_t end)
{
	const struct page_counts *c = &db->counts;
	uint64_t n = at->n;

	while (n < end) {
		uint64_t next = ((n >> BLOCK_ORDER) + 1) << BLOCK_ORDER;

		if ((c->of_giga && nothing(c->of_giga, n, GIGA_ORDER, &next)) ||
		    nothing(c->of_block, n, BLOCK_ORDER, &next)) {
			n = next;
			continue;
		}
		for (next = next < end ? next : end; n < next; n++) {
			if (clo_a64_get_sc(&page_frame(db, clo_pfn(n))->word) != 0) {
				*at = clo_pfn(n);
				return true;
			}
		}
	}
	*at = clo_pfn(end);
	return false;
}

bool clo_page_all_free(const struct clo_pagedb *db, struct clo_pfn base, unsigned order)
{
	if (order == GIGA_ORDER && db->counts.of_giga)
		return clo_a32_get_sc(&db->counts.of_giga[base.n >> GIGA_ORDER]) == 0;
	if (order == BLOCK_ORDER)
		return clo_a32_get_sc(&db->counts.of_block[base.n >> BLOCK_ORDER]) == 0;
	return !clo_page_next_used(db, &base, base.n + (1ULL << order));
}
