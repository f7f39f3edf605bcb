/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_threads_atomic.h - shared atomics of the threads build. The compiler's builtins on
 * plain fields, not _Atomic: zero-filled memory is valid, and get takes a const pointer. Included
 * by sync.h only.
 */
#ifndef CLO_SYNC_SYNC_THREADS_ATOMIC_H
#define CLO_SYNC_SYNC_THREADS_ATOMIC_H

#include "base/base.h"

struct clo_a32 {
	uint32_t v;
};

/* Before anyone else can reach @a: no order, no scheduling point. */
static inline void clo_a32_init(struct clo_a32 *a, uint32_t v)
{
	__atomic_store_n(&a->v, v, __ATOMIC_RELAXED);
}
static inline uint32_t clo_a32_get(const struct clo_a32 *a)
{
	return __atomic_load_n(&a->v, __ATOMIC_ACQUIRE);
}
static inline uint32_t clo_a32_get_relaxed(const struct clo_a32 *a)
{
	return __atomic_load_n(&a->v, __ATOMIC_RELAXED);
}
static inline uint32_t clo_a32_get_sc(const struct clo_a32 *a)
{
	return __atomic_load_n(&a->v, __ATOMIC_SEQ_CST);
}
static inline void clo_a32_set(struct clo_a32 *a, uint32_t v)
{
	__atomic_store_n(&a->v, v, __ATOMIC_RELEASE);
}
static inline void clo_a32_set_relaxed(struct clo_a32 *a, uint32_t v)
{
	__atomic_store_n(&a->v, v, __ATOMIC_RELAXED);
}
static inline void clo_a32_set_sc(struct clo_a32 *a, uint32_t v)
{
	__atomic_store_n(&a->v, v, __ATOMIC_SEQ_CST);
}
static inline uint32_t clo_a32_add(struct clo_a32 *a, uint32_t v)
{
	return __atomic_fetch_add(&a->v, v, __ATOMIC_SEQ_CST);
}
static inline uint32_t clo_a32_sub(struct clo_a32 *a, uint32_t v)
{
	return __atomic_fetch_sub(&a->v, v, __ATOMIC_SEQ_CST);
}
static inline uint32_t clo_a32_or(struct clo_a32 *a, uint32_t v)
{
	return __atomic_fetch_or(&a->v, v, __ATOMIC_SEQ_CST);
}
static inline uint32_t clo_a32_and(struct clo_a32 *a, uint32_t v)
{
	return __atomic_fetch_and(&a->v, v, __ATOMIC_SEQ_CST);
}
static inline uint32_t clo_a32_xchg(struct clo_a32 *a, uint32_t v)
{
	return __atomic_exchange_n(&a->v, v, __ATOMIC_SEQ_CST);
}
static inline bool clo_a32_cas(struct clo_a32 *a, uint32_t *expected, uint32_t desired)
{
	return __atomic_compare_exchange_n(&a->v, expected, desired, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

struct clo_a64 {
	uint64_t v;
};

/* Before anyone else can reach @a: no order, no scheduling point. */
static inline void clo_a64_init(struct clo_a64 *a, uint64_t v)
{
	__atomic_store_n(&a->v, v, __ATOMIC_RELAXED);
}
static inline uint64_t clo_a64_get(const struct clo_a64 *a)
{
	return __atomic_load_n(&a->v, __ATOMIC_ACQUIRE);
}
static inline uint64_t clo_a64_get_relaxed(const struct clo_a64 *a)
{
	return __atomic_load_n(&a->v, __ATOMIC_RELAXED);
}
static inline uint64_t clo_a64_get_sc(const struct clo_a64 *a)
{
	return __atomic_load_n(&a->v, __ATOMIC_SEQ_CST);
}
static inline void clo_a64_set(struct clo_a64 *a, uint64_t v)
{
	__atomic_store_n(&a->v, v, __ATOMIC_RELEASE);
}
static inline void clo_a64_set_relaxed(struct clo_a64 *a, uint64_t v)
{
	__atomic_store_n(&a->v, v, __ATOMIC_RELAXED);
}
static inline void clo_a64_set_sc(struct clo_a64 *a, uint64_t v)
{
	__atomic_store_n(&a->v, v, __ATOMIC_SEQ_CST);
}
static inline uint64_t clo_a64_add(struct clo_a64 *a, uint64_t v)
{
	return __atomic_fetch_add(&a->v, v, __ATOMIC_SEQ_CST);
}
static inline uint64_t clo_a64_sub(struct clo_a64 *a, uint64_t v)
{
	return __atomic_fetch_sub(&a->v, v, __ATOMIC_SEQ_CST);
}
static inline uint64_t clo_a64_or(struct clo_a64 *a, uint64_t v)
{
	return __atomic_fetch_or(&a->v, v, __ATOMIC_SEQ_CST);
}
static inline uint64_t clo_a64_and(struct clo_a64 *a, uint64_t v)
{
	return __atomic_fetch_and(&a->v, v, __ATOMIC_SEQ_CST);
}
static inline uint64_t clo_a64_xchg(struct clo_a64 *a, uint64_t v)
{
	return __atomic_exchange_n(&a->v, v, __ATOMIC_SEQ_CST);
}
static inline bool clo_a64_cas(struct clo_a64 *a, uint64_t *expected, uint64_t desired)
{
	return __atomic_compare_exchange_n(&a->v, expected, desired, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

struct clo_aptr {
	void *v;
};

/* Before anyone else can reach @a: no order, no scheduling point. */
static inline void clo_aptr_init(struct clo_aptr *a, void *v)
{
	__atomic_store_n(&a->v, v, __ATOMIC_RELAXED);
}
static inline void *clo_aptr_get(const struct clo_aptr *a)
{
	return __atomic_load_n(&a->v, __ATOMIC_ACQUIRE);
}
static inline void *clo_aptr_get_relaxed(const struct clo_aptr *a)
{
	return __atomic_load_n(&a->v, __ATOMIC_RELAXED);
}
static inline void *clo_aptr_get_sc(const struct clo_aptr *a)
{
	return __atomic_load_n(&a->v, __ATOMIC_SEQ_CST);
}
static inline void clo_aptr_set(struct clo_aptr *a, void *v)
{
	__atomic_store_n(&a->v, v, __ATOMIC_RELEASE);
}
static inline void clo_aptr_set_relaxed(struct clo_aptr *a, void *v)
{
	__atomic_store_n(&a->v, v, __ATOMIC_RELAXED);
}
static inline void clo_aptr_set_sc(struct clo_aptr *a, void *v)
{
	__atomic_store_n(&a->v, v, __ATOMIC_SEQ_CST);
}
static inline void *clo_aptr_xchg(struct clo_aptr *a, void *v)
{
	return __atomic_exchange_n(&a->v, v, __ATOMIC_SEQ_CST);
}
static inline bool clo_aptr_cas(struct clo_aptr *a, void **expected, void *desired)
{
	return __atomic_compare_exchange_n(&a->v, expected, desired, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

#endif
