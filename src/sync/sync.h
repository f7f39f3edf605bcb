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

#include "cloister/cloister.h"
#include "sync/sync_ranks.h"

#ifdef CLO_SYNC_EXPLORE
#include "sync/sync_explore.h"
#else
#include "sync/sync_threads.h"
#endif

uint32_t clo_event_prepare(struct clo_event *e) CLO_MUST_USE;
void clo_event_done(struct clo_event *e);
void clo_event_wake(struct clo_event *e);

/*
 * One that waits and can be called off, at any moment and by a signal handler too: before its wait,
 * between look and sleep, asleep. Zero-filled memory is one; @off stays until its owner clears it.
 */
struct clo_waiter {
	struct clo_a32 off;
	struct clo_aptr at; /* the event where it sleeps */
};
void clo_waiter_call_off(struct clo_waiter *w);
/*
 * Wait until @done says so or @who (may be NULL) is called off: spinning for a moment, for most
 * waits are shorter than a sleep would be, then asleep. @done reads, _sc, what is changed before
 * clo_event_wake(e). For as long as it takes: with nothing held that others need.
 */
void clo_event_await(struct clo_event *e, bool (*done)(const void *arg), const void *arg,
		     struct clo_waiter *who);

/*
 * What both parts provide. Types are complete so that they can be embedded; their fields are
 * private.
 *
 * Atomics: struct clo_a32, clo_a64 (uint32_t, uint64_t) and clo_aptr (void *). Zero-filled memory
 * is an atomic of value 0. For a32, and the others alike:
 *
 * - void clo_a32_init(a, v): before anyone else can reach @a. No order, no scheduling point.
 * - uint32_t clo_a32_get(const a), also _relaxed and _sc
 * - void clo_a32_set(a, v), also _relaxed and _sc
 * - uint32_t clo_a32_add(a, v), _sub, _or, _and, _xchg: the OLD value. Pointers have _xchg only.
 * - bool clo_a32_cas(a, uint32_t *expected, uint32_t desired): strong; on failure *expected =
 *   seen
 *
 * Locks. They have a rank and a name (a string that stays):
 *
 * - struct clo_mutex: clo_mutex_init(m, rank, name), _destroy(m), _lock(m), bool _trylock(m),
 *   _unlock(m)
 * - struct clo_rwlock: clo_rwlock_init(l, rank, name), _destroy(l), _rdlock(l), _wrlock(l),
 *   _unlock(l). Writers go first, so a read lock does not nest.
 * - struct clo_cond: clo_cond_init(c), _destroy(c), _wait(c, m), _broadcast(c), and bool
 *   _timedwait(c, m, deadline): false when clo_now_ns() has reached the deadline. In the explorer
 *   time passes only when nothing else can run.
 * - struct clo_rangelock: clo_rangelock_init(l, rank, name), _destroy(l), _unlock(l, h), and void
 *   _lock(l, struct clo_range r, struct clo_rangelock_hold *h): waits while any hold overlaps @r.
 *   @h is the caller's memory. Of several, the caller takes them in the order of (address,
 *   start).
 *
 * Events: to sleep until a condition that no lock protects has changed; free where nobody sleeps.
 * Zero-filled memory is an event.
 *
 * - uint32_t clo_event_prepare(e): the caller looks at its condition AFTER this, by _sc reads
 * - void clo_event_sleep(e, seen): until a wake-up after that prepare; may also end without
 * - void clo_event_done(e): after each prepare, slept or not
 * - void clo_event_wake(e): after the condition was changed by an _sc write. Never waits, keeps
 *   errno, may be called in a signal handler.
 *
 * RCU. Pointers under it are clo_aptr get and set:
 *
 * - void clo_rcu_read_lock(void), clo_rcu_read_unlock(void): nest; any thread, without
 *   registration
 * - void clo_rcu_synchronize(void): waits for all sections that have begun
 * - void clo_rcu_defer(struct clo_rcu_head *head, void (*fn)(struct clo_rcu_head *)): calls fn
 *   later, in the order of these calls
 * - void clo_rcu_barrier(void): waits for all deferred calls. Not from one.
 *
 * - int clo_rcu_usable(void): 0, or -errno: a sandbox refuses what grace periods need
 *
 * fork(). A child may not use what its parent made:
 *
 * - int clo_fork_watch(void): from now on forks are noticed. 0 or -ENOMEM.
 * - uint32_t clo_fork_now(void): the number of this process; what an object keeps of its maker
 * - bool clo_forked(uint32_t made): the number is not this process's: leave the object alone
 * - int clo_fork_memfd(struct clo_fork_fd *f, name, flags): memfd_create(2) of f->fd, which each
 *   child has closed; 0 or -errno. clo_fork_fd_close(f). @f is the caller's memory.
 * - void clo_fork_hook_add(struct clo_fork_hook *h, before, arg): before(arg) is called in the
 * parent ahead of each fork, by the thread that forks. clo_fork_hook_remove(h) waits for one under
 * way.
 *
 * Others:
 *
 * - void clo_relax(void): one turn of a spin loop. In the explorer the caller goes on only after
 *   another thread has made progress since its last turn; when all that can run are there, it is
 *   a livelock (I7).
 * - void clo_sync_point(const char *what, uint64_t value): a scheduling point for an access that
 *   is not one of the above (guest memory, a host touch). Threads: nothing.
 * - void clo_note(const char *what, uint64_t value): a line in the trace, at the current step; no
 *   scheduling point. Threads: nothing.
 * - int clo_thread_create(struct clo_thread *t, void *(*fn)(void *), void *arg): 0, or what
 *   pthread_create() says (negative). The thread gets no signals but those it causes itself.
 * - int clo_thread_join(struct clo_thread *t): 0, or what pthread_join() says.
 * - int clo_cancel_off(void), void clo_cancel_restore(int old): in between pthread_cancel() does
 * not end the caller, who would leave locked what it has locked. All waits above do it themselves;
 *   it is for other cancellation points (fallocate, open, close) and for callbacks of the VMM.
 */

/*
 * Invalidation sequence (KVM's mmu_invalidate_seq and _in_progress, linux/kvm_host.h), built on the
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
	struct clo_event ended; /* a change has */
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
 * Sleep until no change that may cover @index is in progress, or @who (may be NULL) is called off.
 * With nothing held: a change may take as long as a listener likes.
 */
void clo_inval_wait(struct clo_inval *iv, uint64_t index, struct clo_waiter *who);

/*
 * Which of its meanings an errno has (cloister/error.h): kept for each thread, like errno, as the
 * engine goes down with it. What returns -EINVAL, -E2BIG, -ENOMEM or what the kernel said to module
 * vm or to its callers says it through one of these (tools/check-errno.py), so that nobody meets an
 * older reason of the same errno. @what stays; see struct clo_error.
 *
 * - clo_fail(): @error, for @reason. One that has no reasons (cloister/error.h) is not kept.
 * - clo_fail_heap(): -ENOMEM, no memory for the library itself.
 * - clo_fail_errno(): -errno; ENOMEM, for one, is for @reason.
 *
 * What goes back after a failure may fail on its own: who does so in the middle of a call saves
 * *clo_failure() before and puts it back. In the explorer no scheduling point.
 */
struct clo_failure {
	int error;
	uint32_t reason;
	const char *what;
};
int clo_fail(int error, uint32_t reason, const char *what);
int clo_fail_heap(const char *what);
int clo_fail_errno(uint32_t reason, const char *what);
struct clo_failure *clo_failure(void);
#ifdef CLO_TEST
/* The errno that was kept; now none is. The harness asks it after each public call that failed. */
int clo_failure_take(void);
#endif

/*
 * Structs of the public API, which begin with a uint32_t size and come from a caller of another
 * version, as copy_struct_from_user() and copy_struct_to_user() do it. @first: their size in the
 * first version that had them.
 *
 * clo_struct_in() copies @from to @to, zero beyond what @from has. -EINVAL: smaller than @first.
 * -E2BIG: a field that is not known here is not 0; or larger than a page, which no version is.
 * clo_struct_out() copies @from to @to as far as that goes, zero beyond @from; @to keeps its size.
 * -EINVAL: smaller than @first. -E2BIG: larger than a page. clo_struct_fits(): the same answer,
 * before the work.
 */
int clo_struct_in(void *to, size_t to_size, const void *from, size_t first) CLO_MUST_USE;
int clo_struct_fits(const void *to, size_t first) CLO_MUST_USE;
int clo_struct_out(void *to, const void *from, size_t from_size, size_t first) CLO_MUST_USE;

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
static inline void clo_stat_set_local(struct clo_stat *s, uint64_t n)
{
	__atomic_store_n(&s->v, n, __ATOMIC_RELAXED);
}
static inline uint64_t clo_stat_get(const struct clo_stat *s)
{
	return __atomic_load_n(&s->v, __ATOMIC_RELAXED);
}

#endif
