/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync.h - every lock, shared atomic, RCU section, condition and thread of Cloister (D1).
 *
 * Two builds of one interface. Threads (default): pthreads, C11 atomics, liburcu. Explorer
 * (CLO_SYNC_EXPLORE): fibers under a deterministic scheduler, where each call below that touches
 * shared state is a scheduling point. Code above this header is the same text in both.
 *
 * Memory order: plain get is acquire, plain set is release, read-modify-write and *_sc are seq_cst,
 * *_relaxed is relaxed. The explorer is sequentially consistent: it finds races of order, not of
 * weak memory.
 */
#ifndef CLO_SYNC_SYNC_H
#define CLO_SYNC_SYNC_H

#include "base/base.h"

/* Lock ranks: a thread may only take a lock of a higher rank than all it holds (checked when
 * CLO_TEST). */
enum clo_rank {
	CLO_RANK_HOST,  /* list of VMs and guest_memfds of a host */
	CLO_RANK_VM,    /* VM-wide: vCPU list, listeners */
	CLO_RANK_SLOTS, /* memslots of a VM (rwlock) */
	CLO_RANK_GFNS,  /* gfn ranges of a VM that owns its attribute */
	CLO_RANK_RANGE, /* index ranges of guest_memfds; several may be held, in address order */
	CLO_RANK_VIEW,  /* host views of a gmem */
	CLO_RANK_ATTR,  /* writers of an attribute store */
	CLO_RANK_TABLE, /* page-table page allocation and release */
	CLO_RANK_PAGE,  /* frame pool */
	CLO_RANK_LEAF,  /* pin registry, counters; takes nothing else */
	CLO_RANK_COUNT
};

#ifdef CLO_SYNC_EXPLORE
#include "sync/sync_explore.h"
#else
#include "sync/sync_threads.h"
#endif

/*
 * What both parts provide (types are complete so that they can be embedded; fields are private to
 *sync):
 *
 * struct clo_a32, clo_a64, clo_aptr: shared atomics. Zero-filled memory is a valid atomic of value
 *0. uint32_t clo_a32_get(const struct clo_a32 *a)		also _relaxed, _sc void
 *clo_a32_set(struct clo_a32 *a, uint32_t v)	also _relaxed, _sc uint32_t clo_a32_add(a, v),
 *clo_a32_sub, clo_a32_or, clo_a32_and, clo_a32_xchg: return the OLD value bool	 clo_a32_cas(a,
 *uint32_t *expected, uint32_t desired): strong; on failure *expected = seen the same for clo_a64_*
 *(uint64_t); clo_aptr_get/_set/_xchg/_cas with void * (cas: void **expected) void clo_fence(void)
 *seq_cst fence
 *
 * struct clo_mutex:  clo_mutex_init(m, rank, name), _destroy, _lock, _trylock (bool), _unlock
 * struct clo_rwlock: clo_rwlock_init(l, rank, name), _destroy, _rdlock, _wrlock, _unlock
 * struct clo_cond:   clo_cond_init, _destroy, _wait(c, m), bool _timedwait(c, m, deadline_ns of
 *clo_now_ns: false = timed out; in the explorer time passes only when nothing else can run),
 *_broadcast struct clo_rangelock: clo_rangelock_init(l, rank, name), _destroy, void
 *clo_rangelock_lock(l, struct clo_range r, struct clo_rangelock_hold *h)	exclusive; waits
 *while any overlapping hold exists void clo_rangelock_unlock(l, h) (a small mutex + list of holds
 *(caller's memory) + cond; disjoint ranges run in parallel; several range locks of one thread are
 *taken in address order by the caller)
 *
 * RCU: clo_rcu_read_lock(), clo_rcu_read_unlock() (nestable, any thread, no registration by the
 *caller), clo_rcu_synchronize(), struct clo_rcu_head, clo_rcu_defer(head, void (*fn)(struct
 *clo_rcu_head *)), clo_rcu_barrier() (waits for all deferred calls). Pointers under RCU are
 *clo_aptr get/set.
 *
 * void clo_relax(void): one turn of a spin loop. In the explorer the caller runs again only after
 *another thread has made a step; when all runnable threads are in clo_relax the run is a livelock
 *(I7). void clo_sync_point(const char *what, uint64_t value): explorer: scheduling point for an
 *access that is not one of the above (guest memory, a host touch); threads: nothing. void
 *clo_note(const char *what, uint64_t value): explorer: adds a line to the current step of the
 *trace, no scheduling point; threads: nothing. int clo_thread_create(struct clo_thread *t, void
 **(*fn)(void *), void *arg), clo_thread_join(t): 0 or -errno.
 */

/*
 * Invalidation sequence (KVM's mmu_invalidate_seq and _in_progress, facts/kvm.md 2), built on the
 * atomics above, so one text in both builds. A change of pages brackets itself by begin and end; a
 * consumer takes a snapshot BEFORE it reads the state that can change, and asks retry() after it
 * has announced its result (frozen entry, locked new folio) and before it publishes it. begin,
 * announce and retry are seq_cst: either the consumer sees the change in progress or the changer
 * sees the announcement. Where KVM keeps one merged range, small ranges (up to CLO_INVAL_FINE
 * blocks of 2M) use hashed stripes here, so conversions do not stall faults far away; larger ones
 * stall all. False sharing of a stripe costs a retry, nothing else.
 */
#define CLO_INVAL_STRIPES 64
#define CLO_INVAL_FINE    8
struct clo_inval {
	struct clo_a64 any; /* every change; each word: seq:32 in_progress:32 */
	struct clo_a64 all; /* large changes */
	struct clo_a64 stripe[CLO_INVAL_STRIPES];
};
struct clo_inval_snap {
	uint64_t any;
	uint64_t all;
	uint64_t stripe;
};
void clo_inval_begin(struct clo_inval *iv, struct clo_range r);
void clo_inval_end(struct clo_inval *iv, struct clo_range r);
struct clo_inval_snap clo_inval_snapshot(const struct clo_inval *iv, uint64_t index);
/* True: something that may cover the 2M block of @index changes now, or has since the snapshot. */
bool clo_inval_retry(const struct clo_inval *iv, uint64_t index, struct clo_inval_snap snap);
/* The same for any index at all: what a 1G leaf has to ask. */
bool clo_inval_retry_any(const struct clo_inval *iv, struct clo_inval_snap snap);
/* True when a change that may cover @index is in progress (to give up early). */
bool clo_inval_busy(const struct clo_inval *iv, uint64_t index);

/*
 * Statistics: counters that nothing decides on. Relaxed, and not a scheduling point in the
 * explorer. _local: one writer.
 */
struct clo_stat {
	uint64_t v;
};
static inline void clo_stat_add(struct clo_stat *s, uint64_t n)
{
	__atomic_fetch_add(&s->v, n, __ATOMIC_RELAXED);
}
static inline void clo_stat_add_local(struct clo_stat *s, uint64_t n)
{
	__atomic_store_n(&s->v, __atomic_load_n(&s->v, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}
static inline uint64_t clo_stat_get(const struct clo_stat *s)
{
	return __atomic_load_n(&s->v, __ATOMIC_RELAXED);
}

#endif
