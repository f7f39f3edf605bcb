/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/alloc_arena.c - the memory of one explored run (explorer build).
 *
 * A block has pages of its own, cut from the arena in order and never given out twice in a run: a
 * stale pointer therefore points at 0x6b, or at pages that cannot be touched (guard), and the state
 * of each granule (one byte) says in O(1) whether an address is in use. The end of a run sets the
 * cut back to the start, so its cost is that of the bytes used, not of the size. The addresses are
 * asked for at a fixed place: what a trace prints is then the same in every process.
 *
 * Sparse memory is kept mapped between runs, and given back to the kernel (zeroed) when next used.
 */
#include "base/base_alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define ARENA_CLANG_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(ARENA_CLANG_ASAN)
#include <sanitizer/asan_interface.h>
#define ARENA_ASAN 1
#else
#define ARENA_ASAN                            0
#define ASAN_POISON_MEMORY_REGION(p, bytes)   ((void)(p), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(p, bytes) ((void)(p), (void)(bytes))
#endif

#define GRANULE     16U
#define POISON      0x6b
#define ARENA_AT    0x200000000000ULL
#define SPARSE_AT   0x210000000000ULL
#define SPARSE_MAX  64U
#define SPARSE_SKIP (1ULL << 30)

/* What is known of a page that a block has. */
struct page {
	uint32_t first;      /* page that its block begins with */
	uint32_t next_freed; /* of a first page: that of another freed block, 0 = none */
	uint64_t bytes;      /* of a first page: of the block, in whole granules */
};

struct sparse {
	char *p;
	size_t bytes;
	bool dirty;
	bool closed;
	enum clo_arena_state state; /* NEVER: not given out in this run */
};

static struct {
	char *mem;
	uint8_t *state; /* enum clo_arena_state of each granule, OUTSIDE (0) = not given out */
	struct page *page;
	uint64_t size;
	uint64_t used;
	uint64_t live;
	uint32_t freed;  /* first page of the block freed last, 0 = none: no block has page 0 */
	uint32_t closed; /* the same of those that cannot be touched */
	bool on;
	bool guard;
	void (*fault)(const char *what, const void *p);
	void (*on_free)(const void *p);
} arena;

static struct sparse sparse[SPARSE_MAX];
static unsigned sparse_count;

static void *map_at(uint64_t at, size_t bytes)
{
	void *p = mmap((void *)(uintptr_t)at, bytes, PROT_READ | PROT_WRITE, /* a hint only */
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void arena_unmap(void)
{
	if (arena.mem) {
		ASAN_UNPOISON_MEMORY_REGION(arena.mem, arena.size);
		munmap(arena.mem, arena.size);
	}
	if (arena.state)
		munmap(arena.state, arena.size / GRANULE);
	if (arena.page)
		munmap(arena.page, arena.size / CLO_PAGE_SIZE * sizeof(*arena.page));
	arena.mem = NULL;
	arena.state = NULL;
	arena.page = NULL;
	arena.size = 0;
}

static bool arena_map(size_t bytes)
{
	if (arena.size >= bytes)
		return true;
	arena_unmap();
	arena.size = bytes;
	arena.mem = map_at(ARENA_AT, bytes);
	arena.state = map_at(0, bytes / GRANULE);
	arena.page = map_at(0, bytes / CLO_PAGE_SIZE * sizeof(*arena.page));
	if (!arena.mem || !arena.state || !arena.page) {
		arena_unmap();
		return false;
	}
	ASAN_POISON_MEMORY_REGION(arena.mem, arena.size);
	return true;
}

bool clo_arena_begin(size_t bytes)
{
	if (arena.on || !arena_map((size_t)clo_align_up(bytes, CLO_PAGE_SIZE)))
		return false;
	arena.used = 0;
	arena.live = 0;
	arena.freed = 0;
	arena.closed = 0;
	arena.on = true;
	return true;
}

static uint64_t pages_of(uint64_t bytes)
{
	return clo_align_up(bytes, CLO_PAGE_SIZE);
}

static void close_pages(void *p, uint64_t bytes, bool closed)
{
	if (mprotect(p, pages_of(bytes), closed ? PROT_NONE : PROT_READ | PROT_WRITE) != 0)
		abort(); /* more mappings than the kernel allows */
}

/* The next run writes there again. */
static void open_all(void)
{
	for (uint32_t at = arena.closed; at; at = arena.page[at].next_freed)
		close_pages(arena.mem + at * CLO_PAGE_SIZE, arena.page[at].bytes, false);
	arena.closed = 0;
	for (unsigned i = 0; i < sparse_count; i++) {
		if (sparse[i].closed)
			close_pages(sparse[i].p, sparse[i].bytes, false);
		sparse[i].closed = false;
	}
}

void clo_arena_end(void)
{
	open_all();
	arena.guard = false;
	arena.on_free = NULL;
	memset(arena.state, CLO_ARENA_OUTSIDE, (arena.used + GRANULE - 1) / GRANULE);
	ASAN_POISON_MEMORY_REGION(arena.mem, arena.used);
	clo_alloc_account(-(int64_t)arena.live);
	for (unsigned i = 0; i < sparse_count; i++)
		sparse[i].state = CLO_ARENA_NEVER;
	arena.used = 0;
	arena.live = 0;
	arena.on = false;
}

void clo_arena_on_fault(void (*fault)(const char *what, const void *p))
{
	arena.fault = fault;
}

void clo_arena_on_free(void (*on_free)(const void *p))
{
	arena.on_free = on_free;
}

/* AddressSanitizer has its own guard, which also knows who freed. */
void clo_arena_guard(bool on)
{
	arena.guard = on && !ARENA_ASAN;
}

uint64_t clo_arena_live(void)
{
	return arena.live;
}

static bool is_inside(const void *p)
{
	uintptr_t a = (uintptr_t)p;

	return a >= (uintptr_t)arena.mem && a - (uintptr_t)arena.mem < arena.size;
}

static uint64_t offset_of(const void *p)
{
	return (uintptr_t)p - (uintptr_t)arena.mem;
}

static struct sparse *sparse_of(const void *p)
{
	for (unsigned i = 0; i < sparse_count; i++)
		if ((uintptr_t)p - (uintptr_t)sparse[i].p < sparse[i].bytes)
			return &sparse[i];
	return NULL;
}

enum clo_arena_state clo_arena_state(const void *p)
{
	if (!arena.on)
		return CLO_ARENA_OUTSIDE;
	if (is_inside(p)) {
		uint8_t s = arena.state[offset_of(p) / GRANULE];

		return s == CLO_ARENA_OUTSIDE ? CLO_ARENA_NEVER : (enum clo_arena_state)s;
	}

	const struct sparse *s = sparse_of(p);

	return s ? s->state : CLO_ARENA_OUTSIDE;
}

const void *clo_arena_block(const void *p)
{
	if (!arena.on || !is_inside(p) || arena.state[offset_of(p) / GRANULE] != CLO_ARENA_LIVE)
		return NULL;
	return arena.mem + arena.page[offset_of(p) / CLO_PAGE_SIZE].first * CLO_PAGE_SIZE;
}

bool clo_arena_take(size_t align, size_t bytes, void **out)
{
	if (!arena.on)
		return false;
	*out = NULL;
	if (align < CLO_PAGE_SIZE)
		align = CLO_PAGE_SIZE;
	if (align > arena.size || bytes > arena.size)
		return true;

	/* Something before it that is in no block, for who runs over the end of another. */
	uint64_t at = clo_align_up(arena.used + GRANULE, align);
	uint64_t len = clo_align_up(bytes ? bytes : 1, GRANULE);

	if (at + len > arena.size)
		return true;

	for (uint64_t i = at; i < at + len; i += CLO_PAGE_SIZE)
		arena.page[i / CLO_PAGE_SIZE].first = (uint32_t)(at / CLO_PAGE_SIZE);
	arena.page[at / CLO_PAGE_SIZE].bytes = len;
	ASAN_UNPOISON_MEMORY_REGION(arena.mem + at, bytes);
	memset(arena.mem + at, 0, bytes);
	memset(arena.state + at / GRANULE, CLO_ARENA_LIVE, len / GRANULE);
	arena.used = at + len;
	arena.live += len;
	clo_alloc_account((int64_t)len);
	*out = arena.mem + at;
	return true;
}

static void fault(const char *what, const void *p)
{
	if (arena.fault)
		arena.fault(what, p);
	fprintf(stderr, "base: %s\n", what);
	abort();
}

/* Whoever touches the block later shall be seen. */
static void put_away(uint32_t first)
{
	char *p = arena.mem + first * CLO_PAGE_SIZE;
	struct page *page = &arena.page[first];
	uint32_t *list = arena.guard ? &arena.closed : &arena.freed;

	page->next_freed = *list;
	*list = first;
	if (arena.guard) {
		close_pages(p, page->bytes, true);
		return;
	}
	ASAN_UNPOISON_MEMORY_REGION(p, page->bytes);
	memset(p, POISON, page->bytes);
	ASAN_POISON_MEMORY_REGION(p, page->bytes);
}

bool clo_arena_put(void *p)
{
	if (!p || !is_inside(p))
		return false;

	uint64_t at = offset_of(p);

	uint32_t first = (uint32_t)(at / CLO_PAGE_SIZE);
	struct page *page = &arena.page[first];

	if (!arena.on || at % CLO_PAGE_SIZE || page->first != first ||
	    arena.state[at / GRANULE] == CLO_ARENA_OUTSIDE)
		fault("clo_free() of what is no block", p);
	if (arena.state[at / GRANULE] != CLO_ARENA_LIVE)
		fault("clo_free() of freed memory", p);
	memset(arena.state + at / GRANULE, CLO_ARENA_FREED, page->bytes / GRANULE);
	arena.live -= page->bytes;
	clo_alloc_account(-(int64_t)page->bytes);
	put_away(first);
	if (arena.on_free)
		arena.on_free(p);
	return true;
}

/* Of a live block: what it was made of stays, so that its next user can begin with it. */
static bool set_state(void *p, size_t bytes, enum clo_arena_state state)
{
	if (!arena.on || !is_inside(p))
		return false;
	memset(arena.state + offset_of(p) / GRANULE, (int)state, bytes / GRANULE);
	return true;
}

void clo_mem_idle(void *p, size_t bytes)
{
	if (!set_state(p, bytes, CLO_ARENA_FREED))
		return;
	ASAN_POISON_MEMORY_REGION(p, bytes);
	if (arena.on_free)
		arena.on_free(arena.mem +
			      arena.page[offset_of(p) / CLO_PAGE_SIZE].first * CLO_PAGE_SIZE);
}

void clo_mem_used(void *p, size_t bytes)
{
	if (set_state(p, bytes, CLO_ARENA_LIVE))
		ASAN_UNPOISON_MEMORY_REGION(p, bytes);
}

static bool is_poison(const char *p, uint64_t bytes)
{
	uint64_t want;

	memset(&want, POISON, sizeof(want));
	for (uint64_t i = 0; i < bytes; i += sizeof(want)) {
		uint64_t v;

		memcpy(&v, p + i, sizeof(v));
		if (v != want)
			return false;
	}
	return true;
}

/* With AddressSanitizer such a write has been reported already. */
const void *clo_arena_tampered(void)
{
	for (uint32_t at = arena.freed; at; at = arena.page[at].next_freed) {
		const char *p = arena.mem + at * CLO_PAGE_SIZE;
		uint64_t bytes = arena.page[at].bytes;

		ASAN_UNPOISON_MEMORY_REGION(p, bytes);
		if (!is_poison(p, bytes))
			return p;
		ASAN_POISON_MEMORY_REGION(p, bytes);
	}
	return NULL;
}

static struct sparse *sparse_unused(size_t bytes)
{
	for (unsigned i = 0; i < sparse_count; i++)
		if (sparse[i].state == CLO_ARENA_NEVER && sparse[i].bytes == bytes)
			return &sparse[i];
	if (sparse_count == SPARSE_MAX)
		return NULL;

	uint64_t at = sparse_count == 0 ? SPARSE_AT
					: clo_align_up((uintptr_t)sparse[sparse_count - 1].p +
							       sparse[sparse_count - 1].bytes,
						       SPARSE_SKIP);
	struct sparse *s = &sparse[sparse_count];

	*s = (struct sparse){ .p = map_at(at, bytes), .bytes = bytes, .state = CLO_ARENA_NEVER };
	if (!s->p)
		return NULL;
	sparse_count++;
	return s;
}

bool clo_arena_take_sparse(size_t bytes, void **out)
{
	if (!arena.on)
		return false;

	struct sparse *s = sparse_unused(bytes);

	*out = NULL;
	if (!s)
		return true;
	if (s->dirty)
		madvise(s->p, s->bytes, MADV_DONTNEED);
	s->dirty = true;
	s->state = CLO_ARENA_LIVE;
	arena.live += bytes;
	clo_alloc_account((int64_t)bytes);
	*out = s->p;
	return true;
}

bool clo_arena_put_sparse(void *p, size_t bytes)
{
	struct sparse *s = sparse_of(p);

	if (!s)
		return false;
	if (s->p != p || s->bytes != bytes || s->state != CLO_ARENA_LIVE)
		fault("clo_free_sparse() of what is not in use", p);
	s->state = CLO_ARENA_FREED;
	s->closed = arena.guard;
	if (s->closed)
		close_pages(p, bytes, true);
	arena.live -= bytes;
	clo_alloc_account(-(int64_t)bytes);
	return true;
}
