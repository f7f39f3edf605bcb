/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_explore.h - the explorer build of sync.h. Included by sync.h only; the scheduler behind
 * it is sync_sched.h.
 *
 * Nothing is inline: the return address of each call is the place in the code that a trace names.
 * Each type remembers the run that touched it last, so that objects which outlive a run start each
 * one as new.
 */
#ifndef CLO_SYNC_SYNC_EXPLORE_H
#define CLO_SYNC_SYNC_EXPLORE_H

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sync/sync_ranks.h"
#include "sync/sync_sched.h"

struct clo_a32 {
	uint32_t v;
};
struct clo_a64 {
	uint64_t v;
};
struct clo_aptr {
	void *v;
};

/* Before anyone else can reach @a: no scheduling point. */
static inline void clo_a32_init(struct clo_a32 *a, uint32_t v)
{
	a->v = v;
}
static inline void clo_a64_init(struct clo_a64 *a, uint64_t v)
{
	a->v = v;
}
static inline void clo_aptr_init(struct clo_aptr *a, void *v)
{
	a->v = v;
}

uint32_t clo_a32_get(const struct clo_a32 *a);
uint32_t clo_a32_get_relaxed(const struct clo_a32 *a);
uint32_t clo_a32_get_sc(const struct clo_a32 *a);
void clo_a32_set(struct clo_a32 *a, uint32_t v);
void clo_a32_set_relaxed(struct clo_a32 *a, uint32_t v);
void clo_a32_set_sc(struct clo_a32 *a, uint32_t v);
uint32_t clo_a32_add(struct clo_a32 *a, uint32_t v);
uint32_t clo_a32_sub(struct clo_a32 *a, uint32_t v);
uint32_t clo_a32_or(struct clo_a32 *a, uint32_t v);
uint32_t clo_a32_and(struct clo_a32 *a, uint32_t v);
uint32_t clo_a32_xchg(struct clo_a32 *a, uint32_t v);
bool clo_a32_cas(struct clo_a32 *a, uint32_t *expected, uint32_t desired);

uint64_t clo_a64_get(const struct clo_a64 *a);
uint64_t clo_a64_get_relaxed(const struct clo_a64 *a);
uint64_t clo_a64_get_sc(const struct clo_a64 *a);
void clo_a64_set(struct clo_a64 *a, uint64_t v);
void clo_a64_set_relaxed(struct clo_a64 *a, uint64_t v);
void clo_a64_set_sc(struct clo_a64 *a, uint64_t v);
uint64_t clo_a64_add(struct clo_a64 *a, uint64_t v);
uint64_t clo_a64_sub(struct clo_a64 *a, uint64_t v);
uint64_t clo_a64_or(struct clo_a64 *a, uint64_t v);
uint64_t clo_a64_and(struct clo_a64 *a, uint64_t v);
uint64_t clo_a64_xchg(struct clo_a64 *a, uint64_t v);
bool clo_a64_cas(struct clo_a64 *a, uint64_t *expected, uint64_t desired);

void *clo_aptr_get(const struct clo_aptr *a);
void *clo_aptr_get_relaxed(const struct clo_aptr *a);
void *clo_aptr_get_sc(const struct clo_aptr *a);
void clo_aptr_set(struct clo_aptr *a, void *v);
void clo_aptr_set_relaxed(struct clo_aptr *a, void *v);
void clo_aptr_set_sc(struct clo_aptr *a, void *v);
void *clo_aptr_xchg(struct clo_aptr *a, void *v);
bool clo_aptr_cas(struct clo_aptr *a, void **expected, void *desired);

struct clo_lock_id {
	enum clo_rank rank;
	const char *name;
};

/* Owner and readers are counted in threads of the run @run; in another run the lock is free. */
struct clo_mutex {
	struct clo_lock_id id;
	uint32_t run;
	uint32_t owner; /* thread + 1, 0 = free */
};
void clo_mutex_init(struct clo_mutex *m, enum clo_rank rank, const char *name);
void clo_mutex_destroy(struct clo_mutex *m);
void clo_mutex_lock(struct clo_mutex *m);
CLO_MUST_USE bool clo_mutex_trylock(struct clo_mutex *m);
void clo_mutex_unlock(struct clo_mutex *m);

struct clo_rwlock {
	struct clo_lock_id id;
	uint32_t run;
	uint32_t writer;  /* thread + 1 */
	uint64_t readers; /* a bit for each thread */
	uint32_t waiting; /* writers that have come and wait: no reader gets in */
	uint32_t first;   /* thread + 1: of them the one that the last reader gives the lock to */
};
void clo_rwlock_init(struct clo_rwlock *l, enum clo_rank rank, const char *name);
void clo_rwlock_destroy(struct clo_rwlock *l);
void clo_rwlock_rdlock(struct clo_rwlock *l);
void clo_rwlock_wrlock(struct clo_rwlock *l);
void clo_rwlock_unlock(struct clo_rwlock *l);

struct clo_cond {
	uint64_t unused; /* who waits is known by the threads */
};
void clo_cond_init(struct clo_cond *c);
void clo_cond_destroy(struct clo_cond *c);
void clo_cond_wait(struct clo_cond *c, struct clo_mutex *m);
bool clo_cond_timedwait(struct clo_cond *c, struct clo_mutex *m, uint64_t deadline_ns);
void clo_cond_broadcast(struct clo_cond *c);

struct clo_rangelock_hold {
	struct clo_rangelock_hold *next;
	struct clo_range range;
	uint32_t owner;
};
struct clo_rangelock {
	struct clo_lock_id id;
	uint32_t run;
	struct clo_rangelock_hold *holds;
};
void clo_rangelock_init(struct clo_rangelock *l, enum clo_rank rank, const char *name);
void clo_rangelock_destroy(struct clo_rangelock *l);
void clo_rangelock_lock(struct clo_rangelock *l, struct clo_range r, struct clo_rangelock_hold *h);
void clo_rangelock_unlock(struct clo_rangelock *l, struct clo_rangelock_hold *h);

struct clo_rcu_head {
	struct clo_rcu_head *next;
	void (*fn)(struct clo_rcu_head *head);
	uint64_t grace; /* made when no older section is left */
};
/*
 * Each place that begins a read section is known, so that one can be left out to see whether that
 * is found: clo_rcu_site_break(). The pointers are an array that the linker makes.
 */
struct clo_rcu_site {
	const char *file;
	const char *function;
	bool off;
};
void clo_rcu_read_lock_at(const struct clo_rcu_site *site);
#define clo_rcu_read_lock()                                                                        \
	do {                                                                                       \
		static struct clo_rcu_site clo_site_here = { __FILE__, __func__, false };          \
		static struct clo_rcu_site *clo_site_known                                         \
			__attribute__((section("clo_rcu_sites"), used)) = &clo_site_here;          \
                                                                                                   \
		clo_rcu_read_lock_at(&clo_site_here);                                              \
	} while (0)
void clo_rcu_read_unlock(void);
void clo_rcu_synchronize(void);
void clo_rcu_defer(struct clo_rcu_head *head, void (*fn)(struct clo_rcu_head *head));
void clo_rcu_barrier(void);
static inline int clo_rcu_usable(void)
{
	return 0;
}

#define CLO_WAIT_SPINS 0
struct clo_event {
	struct clo_a32 wakes;
	struct clo_a32 waiters;
};
void clo_event_sleep(struct clo_event *e, uint32_t seen);
/* Who sleeps sees the number. */
static inline void clo_event_wake_sleepers(struct clo_event *e)
{
	(void)e;
}

/* Nothing that is explored forks. */
static inline bool clo_forked(uint32_t made)
{
	return made != 0;
}
static inline uint32_t clo_fork_now(void)
{
	return 0;
}
static inline CLO_MUST_USE int clo_fork_watch(void)
{
	return 0;
}
struct clo_fork_fd {
	int fd;
};
static inline CLO_MUST_USE int clo_fork_memfd(struct clo_fork_fd *f, const char *name,
					      unsigned flags)
{
	f->fd = memfd_create(name, flags);
	return f->fd < 0 ? -errno : 0;
}
static inline void clo_fork_fd_close(struct clo_fork_fd *f)
{
	close(f->fd);
}
struct clo_fork_hook {
	char unused;
};
static inline void clo_fork_hook_add(struct clo_fork_hook *h, void (*before)(void *arg), void *arg)
{
	(void)h, (void)before, (void)arg;
}
static inline void clo_fork_hook_remove(struct clo_fork_hook *h)
{
	(void)h;
}

void clo_relax(void);
static inline int clo_cancel_off(void)
{
	return 0;
}
static inline void clo_cancel_restore(int old)
{
	(void)old;
}
void clo_sync_point(const char *what, uint64_t value);
void clo_note(const char *what, uint64_t value);

struct clo_thread {
	uint32_t id;
};
int clo_thread_create(struct clo_thread *t, void *(*fn)(void *arg), void *arg);
int clo_thread_join(struct clo_thread *t);

#endif
