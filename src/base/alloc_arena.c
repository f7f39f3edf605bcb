/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/alloc_arena.c - the memory of one explored run (explorer build).
 *
 * A block is a header of one granule and its bytes, cut from the arena in order and never given out
 * twice in a run: a stale pointer therefore points at 0x6b, and the state of each granule (one
 * byte) says in O(1) whether an address is in use. The end of a run sets the cut back to the start,
 * so its cost is that of the bytes used, not of the size. The addresses are asked for at a fixed
 * place: what a trace prints is then the same in every process.
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
#define ARENA_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(ARENA_ASAN)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, bytes)   ((void)(p), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(p, bytes) ((void)(p), (void)(bytes))
#endif

#define GRANULE     16U
#define POISON      0x6b
#define ARENA_AT    0x200000000000ULL
#define SPARSE_AT   0x210000000000ULL
#define SPARSE_MAX  64U
#define SPARSE_SKIP (1ULL << 30)

struct header {
	uint64_t bytes;      /* of the block, in whole granules */
	uint64_t next_freed; /* offset of another freed block, 0 = none */
};

struct sparse {
	char *p;
	size_t bytes;
	bool dirty;
	enum clo_arena_state state; /* NEVER: not given out in this run */
};

static struct {
	char *mem;
	uint8_t *state; /* enum clo_arena_state of each granule, OUTSIDE (0) = not given out */
	uint64_t size;
	uint64_t used;
	uint64_t live;
	uint64_t freed; /* offset of the block freed last, 0 = none: a block never is at 0 */
	bool on;
	void (*fault)(const char *what, const void *p);
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
	arena.mem = NULL;
	arena.state = NULL;
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
	if (!arena.mem || !arena.state) {
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
	arena.on = true;
	return true;
}

void clo_arena_end(void)
{
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

static struct header header_of(const char *p)
{
	struct header copy;

	ASAN_UNPOISON_MEMORY_REGION(p - GRANULE, sizeof(copy));
	memcpy(&copy, p - GRANULE, sizeof(copy));
	ASAN_POISON_MEMORY_REGION(p - GRANULE, sizeof(copy));
	return copy;
}

static void set_header(char *p, struct header h)
{
	ASAN_UNPOISON_MEMORY_REGION(p - GRANULE, sizeof(h));
	memcpy(p - GRANULE, &h, sizeof(h));
	ASAN_POISON_MEMORY_REGION(p - GRANULE, sizeof(h));
}

bool clo_arena_take(size_t align, size_t bytes, void **out)
{
	if (!arena.on)
		return false;
	*out = NULL;
	if (align < GRANULE)
		align = GRANULE;
	if (align > arena.size || bytes > arena.size)
		return true;

	/* The granule before the block is its header. */
	uint64_t at = clo_align_up(arena.used + GRANULE, align);
	uint64_t len = clo_align_up(bytes ? bytes : 1, GRANULE);

	if (at + len > arena.size)
		return true;

	set_header(arena.mem + at, (struct header){ .bytes = len });
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

bool clo_arena_put(void *p)
{
	if (!p || !is_inside(p))
		return false;

	uint64_t at = offset_of(p);

	/* A block starts where the granule before it is a header, that is: not in use. */
	if (!arena.on || at % GRANULE || at < GRANULE ||
	    arena.state[at / GRANULE - 1] != CLO_ARENA_OUTSIDE)
		fault("clo_free() of what is no block", p);
	if (arena.state[at / GRANULE] != CLO_ARENA_LIVE)
		fault("clo_free() of freed memory", p);

	struct header h = header_of(p);

	ASAN_UNPOISON_MEMORY_REGION(p, h.bytes);
	memset(p, POISON, h.bytes);
	ASAN_POISON_MEMORY_REGION(p, h.bytes);
	memset(arena.state + at / GRANULE, CLO_ARENA_FREED, h.bytes / GRANULE);
	h.next_freed = arena.freed;
	set_header(p, h);
	arena.freed = at;
	arena.live -= h.bytes;
	clo_alloc_account(-(int64_t)h.bytes);
	return true;
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
	for (uint64_t at = arena.freed; at;) {
		const char *p = arena.mem + at;
		struct header h = header_of(p);

		ASAN_UNPOISON_MEMORY_REGION(p, h.bytes);
		if (!is_poison(p, h.bytes))
			return p;
		ASAN_POISON_MEMORY_REGION(p, h.bytes);
		at = h.next_freed;
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
	arena.live -= bytes;
	clo_alloc_account(-(int64_t)bytes);
	return true;
}
