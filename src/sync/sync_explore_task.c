/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_explore_task.c - what is asked about threads and their operations: can it be made, who
 * waits for what.
 */
#include "sync/sync_explore_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const op_name[CLO_OP_COUNT] = {
	[CLO_OP_START] = "start",
	[CLO_OP_READ] = "read",
	[CLO_OP_WRITE] = "write",
	[CLO_OP_RMW] = "rmw",
	[CLO_OP_LOCK] = "lock",
	[CLO_OP_TRYLOCK] = "trylock",
	[CLO_OP_UNLOCK] = "unlock",
	[CLO_OP_RDLOCK] = "read-lock",
	[CLO_OP_WRLOCK] = "write-lock",
	[CLO_OP_WRWAIT] = "write-wait",
	[CLO_OP_RWUNLOCK] = "rw-unlock",
	[CLO_OP_RANGE_LOCK] = "range-lock",
	[CLO_OP_RANGE_UNLOCK] = "range-unlock",
	[CLO_OP_COND_WAIT] = "wait",
	[CLO_OP_COND_WAKE] = "wake",
	[CLO_OP_BROADCAST] = "broadcast",
	[CLO_OP_EVENT_SLEEP] = "sleep",
	[CLO_OP_RCU_LOCK] = "rcu-lock",
	[CLO_OP_RCU_UNLOCK] = "rcu-unlock",
	[CLO_OP_RCU_SYNC] = "rcu-sync",
	[CLO_OP_RCU_WAIT] = "rcu-wait",
	[CLO_OP_RCU_DEFER] = "rcu-defer",
	[CLO_OP_RCU_BARRIER] = "rcu-barrier",
	[CLO_OP_RCU_CALL] = "rcu-call",
	[CLO_OP_CREATE] = "create",
	[CLO_OP_JOIN] = "join",
	[CLO_OP_RELAX] = "relax",
	[CLO_OP_USE] = "use",
	[CLO_OP_POINT] = "point",
};

const char *clo_op_name(enum clo_op kind)
{
	return (unsigned)kind < CLO_OP_COUNT ? op_name[kind] : "?";
}

const char *clo_sched_end_name(enum clo_sched_end end)
{
	static const char *const name[CLO_SCHED_END_COUNT] = {
		[CLO_SCHED_DONE] = "done",         [CLO_SCHED_STOPPED] = "stopped",
		[CLO_SCHED_DEADLOCK] = "deadlock", [CLO_SCHED_LIVELOCK] = "livelock",
		[CLO_SCHED_STEP_LIMIT] = "limit",  [CLO_SCHED_FAULT] = "fault",
	};

	return (unsigned)end < CLO_SCHED_END_COUNT ? name[end] : "?";
}

bool clo_op_writes(const struct clo_sched_op *op)
{
	return op->kind != CLO_OP_READ && op->kind != CLO_OP_EVENT_SLEEP &&
	       op->kind != CLO_OP_RDLOCK && op->kind != CLO_OP_RCU_LOCK &&
	       op->kind != CLO_OP_RCU_UNLOCK && op->kind != CLO_OP_USE;
}

/* A lock whose state may be read, and was touched in this run. */
static bool is_known(const void *lock, const uint32_t *run)
{
	enum clo_arena_state s = clo_arena_state(lock);

	return (s == CLO_ARENA_OUTSIDE || s == CLO_ARENA_LIVE) && *run == clo_run.serial;
}

static uint32_t mutex_owner(const struct clo_mutex *m)
{
	return is_known(m, &m->run) ? m->owner : 0;
}

static uint32_t range_owner(const struct clo_rangelock *l, struct clo_range r)
{
	if (!is_known(l, &l->run))
		return 0;
	for (const struct clo_rangelock_hold *h = l->holds; h; h = h->next)
		if (clo_range_overlaps(h->range, r))
			return h->owner;
	return 0;
}

static uint32_t waiting_writer(const struct clo_rwlock *l)
{
	for (uint32_t i = 0; i < clo_run.task_count; i++)
		if (clo_run.task[i].op.kind == CLO_OP_WRWAIT && clo_run.task[i].op.obj == l)
			return i + 1;
	return 0;
}

/* Whom a reader waits for: also a writer that only waits. */
static uint32_t read_blocker(const struct clo_rwlock *l)
{
	if (!is_known(l, &l->run))
		return 0;
	return l->writer || !l->waiting ? l->writer : waiting_writer(l);
}

/* Whom a writer that has come waits for. */
static uint32_t write_blocker(const struct clo_rwlock *l, uint32_t self)
{
	if (!is_known(l, &l->run))
		return 0;
	if (l->writer)
		return l->writer;
	if (l->readers)
		return (uint32_t)__builtin_ctzll(l->readers) + 1;
	return l->first == self ? 0 : l->first;
}

static uint32_t older_reader(uint64_t grace)
{
	for (uint32_t i = 0; i < clo_run.task_count; i++) {
		const struct clo_task *t = &clo_run.task[i];

		if (!t->finished && t->held.rcu_depth > 0 && t->rcu_since < grace)
			return i + 1;
	}
	return 0;
}

bool clo_run_grace_over(uint64_t grace)
{
	return older_reader(grace) == 0;
}

static bool can_wake(const struct clo_task *t)
{
	return (t->signaled || t->woke) && mutex_owner(t->op.obj2) == 0;
}

bool clo_run_sleeps(const struct clo_task *t)
{
	return !t->finished && t->op.kind == CLO_OP_COND_WAKE && !t->signaled && !t->woke;
}

void clo_run_woke(struct clo_task *t)
{
	t->woke = true;
	if (clo_run.now >= t->deadline)
		return;
	clo_run.now = t->deadline;
	clo_clock_fake(clo_run.now);
}

static bool can_call(void)
{
	return clo_run.defer_first && clo_run_grace_over(clo_run.defer_first->grace);
}

bool clo_run_can(const struct clo_task *t)
{
	const struct clo_sched_op *op = &t->op;

	if (t->finished)
		return false;
	/* clang-format off */
	switch (op->kind) {
	case CLO_OP_LOCK:	 return mutex_owner(op->obj) == 0;
	case CLO_OP_RDLOCK:	 return read_blocker(op->obj) == 0;
	case CLO_OP_WRWAIT:	 return write_blocker(op->obj, clo_run_id(t) + 1) == 0;
	case CLO_OP_RANGE_LOCK:	 return range_owner(op->obj, clo_range(op->arg, op->arg2)) == 0;
	case CLO_OP_COND_WAKE:	 return can_wake(t);
	case CLO_OP_EVENT_SLEEP: return *(const uint32_t *)op->obj != op->arg;
	case CLO_OP_RCU_WAIT:	 return clo_run_grace_over(t->grace);
	case CLO_OP_RCU_BARRIER: return clo_run.defer_made >= t->grace;
	case CLO_OP_RCU_CALL:	 return can_call();
	case CLO_OP_JOIN:	 return clo_run.task[op->arg].finished;
	case CLO_OP_RELAX:	 return clo_run.progress - t->progress != t->relax_seen;
	case CLO_OP_START:
	case CLO_OP_READ:
	case CLO_OP_WRITE:
	case CLO_OP_RMW:
	case CLO_OP_TRYLOCK:
	case CLO_OP_UNLOCK:
	case CLO_OP_WRLOCK:
	case CLO_OP_RWUNLOCK:
	case CLO_OP_RANGE_UNLOCK:
	case CLO_OP_COND_WAIT:
	case CLO_OP_BROADCAST:
	case CLO_OP_RCU_LOCK:
	case CLO_OP_RCU_UNLOCK:
	case CLO_OP_RCU_SYNC:
	case CLO_OP_RCU_DEFER:
	case CLO_OP_CREATE:
	case CLO_OP_USE:
	case CLO_OP_POINT:
	case CLO_OP_COUNT:
		break;
	}
	/* clang-format on */
	return true;
}

/* Whom @t waits for: thread + 1, 0 = nobody in particular. */
static uint32_t waits_for(const struct clo_task *t)
{
	if (t->op.kind == CLO_OP_LOCK)
		return mutex_owner(t->op.obj);
	if (t->op.kind == CLO_OP_RDLOCK)
		return read_blocker(t->op.obj);
	if (t->op.kind == CLO_OP_WRWAIT)
		return write_blocker(t->op.obj, clo_run_id(t) + 1);
	if (t->op.kind == CLO_OP_RANGE_LOCK)
		return range_owner(t->op.obj, clo_range(t->op.arg, t->op.arg2));
	if (t->op.kind == CLO_OP_RCU_WAIT)
		return older_reader(t->grace);
	if (t->op.kind == CLO_OP_RCU_CALL && clo_run.defer_first)
		return older_reader(clo_run.defer_first->grace);
	if (t->op.kind == CLO_OP_JOIN)
		return (uint32_t)t->op.arg + 1;
	return 0;
}

static size_t append(char *to, size_t at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static size_t append(char *to, size_t at, const char *format, ...)
{
	va_list args;

	va_start(args, format);

	int n = vsnprintf(to + at, CLO_SCHED_REPORT - at, format, args);

	va_end(args);
	at += n > 0 ? (size_t)n : 0;
	return at < CLO_SCHED_REPORT ? at : CLO_SCHED_REPORT - 1;
}

void clo_run_report(void)
{
	char *r = clo_run.result->report;
	size_t at = 0;

	for (uint32_t i = 0; i < clo_run.task_count; i++) {
		const struct clo_task *t = &clo_run.task[i];
		uint32_t other = waits_for(t);

		if (t->finished || (t->daemon && !clo_run.defer_first))
			continue;
		at = append(r, at, "%s%s: %s \"%s\"", at ? "\n" : "", t->name,
			    clo_op_name(t->op.kind), t->op.what);
		if (other)
			at = append(r, at, ", waits for %s", clo_run.task[other - 1].name);
	}
}

void clo_sched_quiet(bool on)
{
	if (!clo_run.self)
		return;
	if (!on && clo_run.quiet == 0)
		clo_run_fault("clo_sched_quiet(false) without a beginning");
	clo_run.quiet = on ? clo_run.quiet + 1 : clo_run.quiet - 1;
	clo_arena_guard(clo_run.config->guard && !clo_run.quiet);
}

void clo_sched_name(const char *name)
{
	if (clo_run.self)
		snprintf(clo_run.self->name, sizeof(clo_run.self->name), "%s", name);
}

uint32_t clo_sched_self(void)
{
	return clo_run.self ? clo_run_id(clo_run.self) : UINT32_MAX;
}

const struct clo_sched_op *clo_sched_pending(uint32_t thread)
{
	if (thread >= clo_run.task_count || clo_run.task[thread].finished)
		return NULL;
	return &clo_run.task[thread].op;
}
