/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/base_alloc.h - what the files of the allocator share. Private to base.
 */
#ifndef CLO_BASE_BASE_ALLOC_H
#define CLO_BASE_BASE_ALLOC_H

#include "base/base.h"

#ifdef CLO_TEST
/* Count one allocation; true when this is the one that has to fail. */
bool clo_alloc_injected(void);
/* Heap in use grows (+) or shrinks (-) by @bytes. */
void clo_alloc_account(int64_t bytes);
#else
static inline bool clo_alloc_injected(void)
{
	return false;
}
static inline void clo_alloc_account(int64_t bytes)
{
	(void)bytes;
}
#endif

#ifdef CLO_SYNC_EXPLORE
/*
 * The arena of the explorer (alloc_arena.c), asked first by every function of alloc.c: true when
 * the call was the arena's, which it is during a run, and for memory given out during one.
 */
bool clo_arena_take(size_t align, size_t bytes, void **out);
bool clo_arena_put(void *p);
bool clo_arena_take_sparse(size_t bytes, void **out);
bool clo_arena_put_sparse(void *p, size_t bytes);
#else
static inline bool clo_arena_take(size_t align, size_t bytes, void **out)
{
	(void)align, (void)bytes, (void)out;
	return false;
}
static inline bool clo_arena_put(void *p)
{
	(void)p;
	return false;
}
static inline bool clo_arena_take_sparse(size_t bytes, void **out)
{
	(void)bytes, (void)out;
	return false;
}
static inline bool clo_arena_put_sparse(void *p, size_t bytes)
{
	(void)p, (void)bytes;
	return false;
}
#endif

#endif
