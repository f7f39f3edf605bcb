/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_threads.h - the threads build of sync.h: pthreads, C11 memory model, liburcu. Included
 * by sync.h only.
 *
 * Fast paths are inline. In test builds (CLO_TEST) every lock carries its rank and name, and each
 * thread a list of what it holds; product builds have neither.
 */
#ifndef CLO_SYNC_SYNC_THREADS_H
#define CLO_SYNC_SYNC_THREADS_H

#include <pthread.h>

#include "sync/sync_ranks.h"
#include "sync/sync_threads_atomic.h"

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define CLO_SYNC_TSAN 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define CLO_SYNC_TSAN 1
#endif
#ifndef CLO_SYNC_TSAN
#include <urcu/urcu-bp.h>
/*
 * Inline, the read side costs a fifth of a call. It is within LGPL's ten lines, and meant by its
 * authors to be used like this. Not under sanitizers: liburcu's readers lie at addresses that their
 * own type does not allow, and what is inlined here would be instrumented.
 */
#ifdef CLO_SANITIZED
#define CLO_SYNC_READ_LOCK()   urcu_bp_read_lock()
#define CLO_SYNC_READ_UNLOCK() urcu_bp_read_unlock()
#else
#include <urcu/static/urcu-bp.h>
#define CLO_SYNC_READ_LOCK()   _urcu_bp_read_lock()
#define CLO_SYNC_READ_UNLOCK() _urcu_bp_read_unlock()
#endif
#endif

/* What a lock is, for the check of ranks in test builds. */
struct clo_lock_id {
#ifdef CLO_TEST
	enum clo_rank rank;
	const char *name;
#else
	char none[1];
#endif
};
#ifdef CLO_TEST
static inline struct clo_lock_id clo_lock_id(enum clo_rank rank, const char *name)
{
	return (struct clo_lock_id){ .rank = rank, .name = name };
}
/* See sync_rank.h. */
void clo_rank_want(const void *lock, struct clo_lock_id id, uint64_t at);
void clo_rank_got(const void *lock, struct clo_lock_id id, uint64_t at);
void clo_rank_drop(const void *lock, struct clo_lock_id id, uint64_t at);
void clo_rank_waits(const void *lock, struct clo_lock_id id);
void clo_rcu_nest(int by);
void clo_rcu_outside(const char *what);
#else
static inline struct clo_lock_id clo_lock_id(enum clo_rank rank, const char *name)
{
	(void)rank, (void)name;
	return (struct clo_lock_id){ { 0 } };
}
static inline void clo_rank_want(const void *lock, struct clo_lock_id id, uint64_t at)
{
	(void)lock, (void)id, (void)at;
}
static inline void clo_rank_got(const void *lock, struct clo_lock_id id, uint64_t at)
{
	(void)lock, (void)id, (void)at;
}
static inline void clo_rank_drop(const void *lock, struct clo_lock_id id, uint64_t at)
{
	(void)lock, (void)id, (void)at;
}
static inline void clo_rank_waits(const void *lock, struct clo_lock_id id)
{
	(void)lock, (void)id;
}
static inline void clo_rcu_nest(int by)
{
	(void)by;
}
static inline void clo_rcu_outside(const char *what)
{
	(void)what;
}
#endif

struct clo_mutex {
	pthread_mutex_t m;
	struct clo_lock_id id;
};

void clo_mutex_init(struct clo_mutex *m, enum clo_rank rank, const char *name);
void clo_mutex_destroy(struct clo_mutex *m);
static inline void clo_mutex_lock(struct clo_mutex *m)
{
	clo_rank_want(m, m->id, 0);
	pthread_mutex_lock(&m->m);
	clo_rank_got(m, m->id, 0);
}
static inline CLO_MUST_USE bool clo_mutex_trylock(struct clo_mutex *m)
{
	/* Out of order is fine: what does not wait cannot deadlock. */
	if (pthread_mutex_trylock(&m->m) != 0)
		return false;
	clo_rank_got(m, m->id, 0);
	return true;
}
static inline void clo_mutex_unlock(struct clo_mutex *m)
{
	clo_rank_drop(m, m->id, 0);
	pthread_mutex_unlock(&m->m);
}

/* Writers go first, so a stream of readers does not starve them; a read lock does not nest. */
struct clo_rwlock {
	pthread_rwlock_t l;
	struct clo_lock_id id;
};

void clo_rwlock_init(struct clo_rwlock *l, enum clo_rank rank, const char *name);
void clo_rwlock_destroy(struct clo_rwlock *l);
static inline void clo_rwlock_rdlock(struct clo_rwlock *l)
{
	clo_rank_want(l, l->id, 0);
	pthread_rwlock_rdlock(&l->l);
	clo_rank_got(l, l->id, 0);
}
static inline void clo_rwlock_wrlock(struct clo_rwlock *l)
{
	clo_rank_want(l, l->id, 0);
	pthread_rwlock_wrlock(&l->l);
	clo_rank_got(l, l->id, 0);
}
static inline void clo_rwlock_unlock(struct clo_rwlock *l)
{
	clo_rank_drop(l, l->id, 0);
	pthread_rwlock_unlock(&l->l);
}

struct clo_cond {
	pthread_cond_t c;
};

void clo_cond_init(struct clo_cond *c);
void clo_cond_destroy(struct clo_cond *c);
void clo_cond_wait(struct clo_cond *c, struct clo_mutex *m);
bool clo_cond_timedwait(struct clo_cond *c, struct clo_mutex *m, uint64_t deadline_ns);
void clo_cond_broadcast(struct clo_cond *c);

struct clo_rangelock_hold {
	struct clo_rangelock_hold *next;
	struct clo_range range;
};

struct clo_rangelock {
	pthread_mutex_t m;
	pthread_cond_t c;
	struct clo_rangelock_hold *holds;
	uint32_t waiting;
	struct clo_lock_id id;
};

void clo_rangelock_init(struct clo_rangelock *l, enum clo_rank rank, const char *name);
void clo_rangelock_destroy(struct clo_rangelock *l);
void clo_rangelock_lock(struct clo_rangelock *l, struct clo_range r, struct clo_rangelock_hold *h);
void clo_rangelock_unlock(struct clo_rangelock *l, struct clo_rangelock_hold *h);

struct clo_rcu_head {
	struct clo_rcu_head *next;
	void (*fn)(struct clo_rcu_head *head);
};

#ifdef CLO_SYNC_TSAN
void clo_rcu_tsan_lock(void);
void clo_rcu_tsan_unlock(void);
#define CLO_SYNC_READ_LOCK()   clo_rcu_tsan_lock()
#define CLO_SYNC_READ_UNLOCK() clo_rcu_tsan_unlock()
#endif
static inline void clo_rcu_read_lock(void)
{
	clo_rcu_nest(1);
	CLO_SYNC_READ_LOCK();
}
static inline void clo_rcu_read_unlock(void)
{
	CLO_SYNC_READ_UNLOCK();
	clo_rcu_nest(-1);
}
/* 0, or why a grace period would end the process: see sync_threads_rcu.c. */
int clo_rcu_usable(void) CLO_MUST_USE;
void clo_rcu_synchronize(void);
void clo_rcu_defer(struct clo_rcu_head *head, void (*fn)(struct clo_rcu_head *head));
void clo_rcu_barrier(void);

/* Turns of clo_relax() before a sleep. */
#define CLO_WAIT_SPINS 200
struct clo_event {
	struct clo_a32 wakes;
	struct clo_a32 waiters;
};
void clo_event_sleep(struct clo_event *e, uint32_t seen);
void clo_event_wake_sleepers(struct clo_event *e);

/* See sync.h, and sync_threads_fork.c for the reasons. */
extern uint32_t clo_fork_gen;
static inline bool clo_forked(uint32_t gen)
{
	return CLO_UNLIKELY(gen != clo_fork_gen);
}
static inline uint32_t clo_fork_now(void)
{
	return clo_fork_gen;
}
int clo_fork_watch(void) CLO_MUST_USE;
struct clo_fork_fd {
	struct clo_fork_fd *next, *prev;
	int fd;
};
int clo_fork_memfd(struct clo_fork_fd *f, const char *name, unsigned flags) CLO_MUST_USE;
void clo_fork_fd_close(struct clo_fork_fd *f);
struct clo_fork_hook {
	struct clo_fork_hook *next, *prev;
	void (*before)(void *arg);
	void *arg;
};
void clo_fork_hook_add(struct clo_fork_hook *h, void (*before)(void *arg), void *arg);
void clo_fork_hook_remove(struct clo_fork_hook *h);

void clo_relax(void);
int clo_cancel_off(void);
void clo_cancel_restore(int old);

static inline void clo_sync_point(const char *what, uint64_t value)
{
	(void)what, (void)value;
}
static inline void clo_note(const char *what, uint64_t value)
{
	(void)what, (void)value;
}

struct clo_thread {
	pthread_t t;
	void *(*fn)(void *arg);
	void *arg;
};

int clo_thread_create(struct clo_thread *t, void *(*fn)(void *arg), void *arg);
int clo_thread_join(struct clo_thread *t);

#endif
