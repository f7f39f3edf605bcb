/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/alloc.c - heap memory, with allocations that fail on demand.
 *
 * The only caller of malloc in the library. A test walks n = 1, 2, ... over the n-th allocation of
 * an operation, and after each failure compares clo_alloc_live() with what it was.
 */
#include "base/base_alloc.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#ifdef CLO_TEST
/* Relaxed: an exact n-th only has a meaning when one thread allocates. */
static uint64_t fail_at;
static uint64_t count;
static int64_t live;

void clo_alloc_fail_at(uint64_t n)
{
	__atomic_store_n(&count, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&fail_at, n, __ATOMIC_RELAXED);
}

uint64_t clo_alloc_count(void)
{
	return __atomic_load_n(&count, __ATOMIC_RELAXED);
}

uint64_t clo_alloc_live(void)
{
	return (uint64_t)__atomic_load_n(&live, __ATOMIC_RELAXED);
}

bool clo_alloc_injected(void)
{
	uint64_t n = __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);

	return n == __atomic_load_n(&fail_at, __ATOMIC_RELAXED);
}

void clo_alloc_account(int64_t bytes)
{
	__atomic_fetch_add(&live, bytes, __ATOMIC_RELAXED);
}
#endif

/* What malloc really gave: the same number again when it is given back. */
static void account(void *p, int sign)
{
#ifdef CLO_TEST
	if (p)
		clo_alloc_account(sign * (int64_t)malloc_usable_size(p));
#else
	(void)p, (void)sign;
#endif
}

void *clo_alloc(size_t bytes)
{
	void *p;

	if (clo_alloc_injected())
		return NULL;
	if (clo_arena_take(16, bytes, &p))
		return p;
	p = calloc(1, bytes ? bytes : 1);
	account(p, 1);
	return p;
}

void *clo_alloc_aligned(size_t align, size_t bytes)
{
	void *p;

	if (clo_alloc_injected())
		return NULL;
	if (align < sizeof(void *))
		align = sizeof(void *);
	if (clo_arena_take(align, bytes, &p))
		return p;
	if (posix_memalign(&p, align, bytes ? bytes : 1) != 0)
		return NULL;
	memset(p, 0, bytes);
	account(p, 1);
	return p;
}

void clo_free(void *p)
{
	if (clo_arena_put(p))
		return;
	account(p, -1);
	free(p);
}

/* Of all that madvise() can say about a fresh mapping, only this differs when it is locked. */
static bool is_locked(void *p)
{
	return madvise(p, (size_t)CLO_PAGE_SIZE, MADV_DONTNEED) != 0 && errno == EINVAL;
}

/*
 * mlockall(MCL_CURRENT) fills each VMA from its start on, up to the first page that cannot be
 * faulted in, and goes on with the next VMA: so the first page is made one. EINVAL on older
 * kernels.
 */
static void guard(void *p)
{
	(void)madvise(p, (size_t)CLO_PAGE_SIZE, MADV_GUARD_INSTALL);
}

void *clo_map_sparse(size_t bytes, int flags, int fd)
{
	size_t all = bytes + CLO_SPARSE_LEAD;
	bool locked;
	uint8_t *p;

	if (all < bytes) {
		errno = ENOMEM;
		return NULL;
	}
	/* Without rights nothing is filled in, whatever mlockall() asked for. */
	p = mmap(NULL, all, PROT_NONE, flags | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED)
		return NULL;
	locked = is_locked(p);
	if (locked)
		(void)munlock(p, all);
	guard(p);
	if (locked)
		(void)mlock2(p, all, MLOCK_ONFAULT);
	if (mprotect(p, all, PROT_READ | PROT_WRITE) != 0) {
		int err = errno;

		(void)munmap(p, all);
		errno = err;
		return NULL;
	}
	return p + CLO_SPARSE_LEAD;
}

void clo_unmap_sparse(void *p, size_t bytes)
{
	(void)munmap((uint8_t *)p - CLO_SPARSE_LEAD, bytes + CLO_SPARSE_LEAD);
}

void *clo_alloc_sparse(size_t bytes)
{
	void *p;

	if (clo_alloc_injected())
		return NULL;
	if (clo_arena_take_sparse(bytes, &p))
		return p;
	p = clo_map_sparse(bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (!p)
		return NULL;
	clo_alloc_account((int64_t)bytes);
	return p;
}

void clo_free_sparse(void *p, size_t bytes)
{
	if (!p || clo_arena_put_sparse(p, bytes))
		return;
	clo_unmap_sparse(p, bytes);
	clo_alloc_account(-(int64_t)bytes);
}
