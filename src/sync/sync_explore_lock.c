/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_explore_lock.c - locks and conditions of the explorer build.
 *
 * A thread that announced a lock is chosen only when the lock is free for it (clo_run_can()), so
 * behind the scheduling point it takes it without a doubt. Outside of threads locks are free:
 * choose and on_step look at a world that stands still.
 */
#include "sync/sync_explore_run.h"

#define HERE __builtin_return_address(0)

static uint32_t me(void)
{
	return clo_run.self ? clo_run_id(clo_run.self) + 1 : 1;
}

static bool is_scheduler(void)
{
	return clo_run.active && !clo_run.self;
}

static void point(enum clo_op kind, const char *name, const void *lock, const void *where)
{
	(void)clo_run_point(
		(struct clo_sched_op){ .kind = kind, .what = name, .obj = lock, .where = where });
}

static _Noreturn void alone(const char *name)
{
	clo_run_fault("would wait for ever for \"%s\": no other thread runs", name);
}

/* What a run that was cut off left behind does not count. */
static void mutex_fresh(struct clo_mutex *m)
{
	if (m->run != clo_run.serial) {
		m->run = clo_run.serial;
		m->owner = 0;
	}
}

static void mutex_take(struct clo_mutex *m)
{
	mutex_fresh(m);
	if (m->owner)
		alone(m->id.name);
	m->owner = me();
	clo_rank_got(m, m->id, 0);
}

void clo_mutex_init(struct clo_mutex *m, enum clo_rank rank, const char *name)
{
	*m = (struct clo_mutex){ .id = { .rank = rank, .name = name } };
}

void clo_mutex_destroy(struct clo_mutex *m)
{
	mutex_fresh(m);
	if (m->owner)
		clo_run_fault("destroys \"%s\", which is held", m->id.name);
}

void clo_mutex_lock(struct clo_mutex *m)
{
	if (is_scheduler())
		return;
	clo_rank_want(m, m->id, 0);
	point(CLO_OP_LOCK, m->id.name, m, HERE);
	mutex_take(m);
}

bool clo_mutex_trylock(struct clo_mutex *m)
{
	if (is_scheduler())
		return true;
	point(CLO_OP_TRYLOCK, m->id.name, m, HERE);
	mutex_fresh(m);
	if (m->owner) {
		clo_run_failed();
		return false;
	}
	mutex_take(m);
	return true;
}

void clo_mutex_unlock(struct clo_mutex *m)
{
	if (is_scheduler())
		return;
	point(CLO_OP_UNLOCK, m->id.name, m, HERE);
	mutex_fresh(m);
	clo_rank_drop(m, m->id, 0);
	m->owner = 0;
	clo_run_progress();
}

static void rwlock_fresh(struct clo_rwlock *l)
{
	if (l->run != clo_run.serial) {
		l->run = clo_run.serial;
		l->writer = 0;
		l->readers = 0;
		l->waiting = 0;
		l->first = 0;
	}
}

void clo_rwlock_init(struct clo_rwlock *l, enum clo_rank rank, const char *name)
{
	*l = (struct clo_rwlock){ .id = { .rank = rank, .name = name } };
}

void clo_rwlock_destroy(struct clo_rwlock *l)
{
	rwlock_fresh(l);
	if (l->writer || l->readers || l->waiting)
		clo_run_fault("destroys \"%s\", which is held", l->id.name);
}

void clo_rwlock_rdlock(struct clo_rwlock *l)
{
	if (is_scheduler())
		return;
	clo_rank_want(l, l->id, 0);
	point(CLO_OP_RDLOCK, l->id.name, l, HERE);
	rwlock_fresh(l);
	if (l->writer)
		alone(l->id.name);
	l->readers |= 1ULL << (me() - 1);
	clo_rank_got(l, l->id, 0);
}

/*
 * As PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP: a writer that has come keeps new readers out
 * while it waits. The first that came while there were readers gets the lock from the last of them;
 * a writer gives it to any other, also to one that comes just then.
 */
void clo_rwlock_wrlock(struct clo_rwlock *l)
{
	const void *where = HERE;

	if (is_scheduler())
		return;
	clo_rank_want(l, l->id, 0);
	point(CLO_OP_WRLOCK, l->id.name, l, where);
	rwlock_fresh(l);
	if (l->writer || l->readers || l->first) {
		if (!l->writer && !l->first)
			l->first = me();
		l->waiting++;
		point(CLO_OP_WRWAIT, l->id.name, l, where);
		l->waiting--;
		l->first = 0;
	}
	if (l->writer || l->readers)
		alone(l->id.name);
	l->writer = me();
	clo_rank_got(l, l->id, 0);
}

void clo_rwlock_unlock(struct clo_rwlock *l)
{
	if (is_scheduler())
		return;
	point(CLO_OP_RWUNLOCK, l->id.name, l, HERE);
	rwlock_fresh(l);
	clo_rank_drop(l, l->id, 0);
	if (l->writer == me())
		l->writer = 0;
	l->readers &= ~(1ULL << (me() - 1));
	clo_run_progress();
}

void clo_cond_init(struct clo_cond *c)
{
	c->unused = 0;
}

void clo_cond_destroy(struct clo_cond *c)
{
	for (uint32_t i = 0; i < clo_run.task_count; i++) {
		const struct clo_task *t = &clo_run.task[i];

		if (t->op.obj == c && clo_run_sleeps(t))
			clo_run_fault("destroys a condition that %s waits for", t->name);
	}
}

static bool cond_wait(struct clo_cond *c, struct clo_mutex *m, uint64_t deadline, const void *where)
{
	struct clo_sched_op op = { .kind = CLO_OP_COND_WAIT,
				   .what = m->id.name,
				   .obj = c,
				   .obj2 = m,
				   .where = where,
				   .arg = deadline };
	struct clo_task *t = clo_run.self;

	clo_rank_waits(m, m->id);
	if (!clo_run_point(op))
		alone(m->id.name);
	clo_rank_drop(m, m->id, 0);
	m->owner = 0;
	clo_run_progress();
	t->signaled = false;
	t->woke = false;
	t->deadline = deadline;
	op.kind = CLO_OP_COND_WAKE;
	(void)clo_run_point(op);
	/* By itself: a step of its own, as the mutex may be held, and the caller late. */
	if (clo_run_sleeps(t)) {
		clo_run_woke(t);
		(void)clo_run_point(op);
	}
	t->deadline = 0;
	mutex_take(m);
	if (!t->signaled)
		clo_run_failed();
	return t->signaled;
}

void clo_cond_wait(struct clo_cond *c, struct clo_mutex *m)
{
	(void)cond_wait(c, m, 0, HERE);
}

bool clo_cond_timedwait(struct clo_cond *c, struct clo_mutex *m, uint64_t deadline_ns)
{
	return cond_wait(c, m, deadline_ns ? deadline_ns : 1, HERE);
}

void clo_cond_broadcast(struct clo_cond *c)
{
	point(CLO_OP_BROADCAST, "condition", c, HERE);
	for (uint32_t i = 0; i < clo_run.task_count; i++) {
		struct clo_task *t = &clo_run.task[i];

		if (t->op.obj == c && clo_run_sleeps(t))
			t->signaled = true;
	}
	clo_run_progress();
}

static void range_fresh(struct clo_rangelock *l)
{
	if (l->run != clo_run.serial) {
		l->run = clo_run.serial;
		l->holds = NULL;
	}
}

static void range_point(enum clo_op kind, const struct clo_rangelock *l, struct clo_range r,
			const void *where)
{
	(void)clo_run_point((struct clo_sched_op){ .kind = kind,
						   .what = l->id.name,
						   .obj = l,
						   .where = where,
						   .arg = r.start,
						   .arg2 = r.end });
}

void clo_rangelock_init(struct clo_rangelock *l, enum clo_rank rank, const char *name)
{
	*l = (struct clo_rangelock){ .id = { .rank = rank, .name = name } };
}

void clo_rangelock_destroy(struct clo_rangelock *l)
{
	range_fresh(l);
	if (l->holds)
		clo_run_fault("destroys \"%s\", which is held", l->id.name);
}

void clo_rangelock_lock(struct clo_rangelock *l, struct clo_range r, struct clo_rangelock_hold *h)
{
	if (is_scheduler())
		return;
	clo_rank_want(l, l->id, r.start);
	range_point(CLO_OP_RANGE_LOCK, l, r, HERE);
	range_fresh(l);
	for (const struct clo_rangelock_hold *o = l->holds; o; o = o->next)
		if (clo_range_overlaps(o->range, r))
			alone(l->id.name);
	*h = (struct clo_rangelock_hold){ .next = l->holds, .range = r, .owner = me() };
	l->holds = h;
	clo_rank_got(l, l->id, r.start);
}

void clo_rangelock_unlock(struct clo_rangelock *l, struct clo_rangelock_hold *h)
{
	struct clo_rangelock_hold **at = &l->holds;

	if (is_scheduler())
		return;
	range_point(CLO_OP_RANGE_UNLOCK, l, h->range, HERE);
	range_fresh(l);
	clo_rank_drop(l, l->id, h->range.start);
	while (*at && *at != h)
		at = &(*at)->next;
	if (!*at)
		clo_run_fault("releases a range of \"%s\" that is not held", l->id.name);
	*at = h->next;
	clo_run_progress();
}
