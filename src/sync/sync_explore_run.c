/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_explore_run.c - the scheduler: one run from its start to one of its ends.
 *
 * Each thread stands before an operation (task.op). The loop asks which of these can be made now,
 * lets choose() pick one, switches to its thread, and is switched to again before that thread's
 * next operation. A thread that cannot go on is never chosen, so a run has no steps of mere
 * waiting.
 *
 * Spinning. A thread that comes to clo_relax() goes on when another has made progress since its
 * last turn. If none can go on but for that, nothing will ever change: a livelock. Spinners that
 * take locks wake each other for ever (to give back a lock is progress, plain data may have changed
 * under it); so it is a livelock too when all that can run have spun @spin_limit times since any
 * atomic changed.
 */
#include "sync/sync_explore_run.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_STEPS 100000U
#define DEFAULT_SPINS 64U
#define DEFAULT_ARENA (256ULL << 20)
#define QUIET_STEPS   1000000U
#define TIME_START    1000000000ULL

struct clo_run clo_run;

static void end_run(enum clo_sched_end end, int code)
{
	clo_run.ended = true;
	clo_run.result->end = end;
	clo_run.result->code = code;
}

static void to_scheduler(struct clo_task *t, bool ends)
{
	clo_run.self = NULL;
	clo_fiber_switch(&t->fiber, &clo_run.scheduler, ends);
}

/* The thread is never chosen again: the run has ended. */
static _Noreturn void leave(void)
{
	to_scheduler(clo_run.self, true);
	abort();
}

void clo_run_fault(const char *format, ...)
{
	char text[CLO_SCHED_REPORT / 2];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!clo_run.self) {
		fprintf(stderr, "sync: %s\n", text);
		abort();
	}
	snprintf(clo_run.result->report, CLO_SCHED_REPORT, "%s: %s", clo_run.self->name, text);
	end_run(CLO_SCHED_FAULT, 0);
	leave();
}

void clo_rank_die(const char *text)
{
	clo_run_fault("%s", text);
}

struct clo_held_list *clo_rank_self(void)
{
	static struct clo_held_list nobody; /* without a run: the program's own thread */

	return clo_run.self ? &clo_run.self->held : &nobody;
}

static void arena_fault(const char *what, const void *p)
{
	clo_run_fault("%s: %p", what, p);
}

static bool is_stale(const void *p)
{
	enum clo_arena_state s = clo_arena_state(p);

	return p && (s == CLO_ARENA_FREED || s == CLO_ARENA_NEVER);
}

static void check_memory(const struct clo_sched_op *op)
{
	/* A condition may go once its waiters have been woken; a pointer need not be followed. */
	const void *obj = op->kind == CLO_OP_COND_WAKE || op->kind == CLO_OP_USE ? NULL : op->obj;

	if (CLO_UNLIKELY(is_stale(obj) || is_stale(op->obj2)))
		clo_run_fault("%s (%s) of memory that is not in use: %p", clo_op_name(op->kind),
			      op->what, is_stale(obj) ? obj : op->obj2);
}

bool clo_run_point(struct clo_sched_op op)
{
	struct clo_task *t = clo_run.self;

	if (!t)
		return false;
	t->op = op;
	if (!clo_run.quiet || !clo_run_can(t))
		to_scheduler(t, false);
	check_memory(&op);
	return true;
}

static void on_free(const void *block)
{
	const struct clo_sched_config *c = clo_run.config;

	if (clo_run.self && !clo_run.quiet && c->freed)
		c->freed(c->arg, clo_run_id(clo_run.self), block);
}

void clo_run_progress(void)
{
	clo_run.progress++;
	if (clo_run.self)
		clo_run.self->progress++;
}

void clo_run_world_changed(void)
{
	clo_run.changes++;
	clo_run_progress();
}

void clo_run_changed(bool changed, uint64_t old, uint64_t value)
{
	if (!clo_run.quiet) {
		clo_run.step.changed = changed;
		clo_run.step.old = old;
		clo_run.step.value = value;
	}
	if (changed)
		clo_run_world_changed();
}

void clo_run_failed(void)
{
	if (!clo_run.quiet)
		clo_run.step.ok = false;
}

void clo_sched_stop(int code)
{
	if (!clo_run.self) {
		fprintf(stderr, "sync: clo_sched_stop(%d) outside of a thread\n", code);
		abort();
	}
	end_run(CLO_SCHED_STOPPED, code);
	leave();
}

static void task_main(void *arg)
{
	struct clo_task *t = arg;

	check_memory(&t->op);
	t->fn(t->arg);
	if (t->held.count)
		clo_run_fault("ended while holding \"%s\"", t->held.held[0].id.name);
	if (t->held.rcu_depth)
		clo_run_fault("ended in an RCU read section");
	t->finished = true;
	clo_run_world_changed();
	leave();
}

struct clo_task *clo_run_task(void *(*fn)(void *arg), void *arg, const char *name)
{
	if (clo_run.task_count == CLO_SCHED_THREADS)
		return NULL;

	struct clo_task *t = &clo_run.task[clo_run.task_count];

	memset(t, 0, offsetof(struct clo_task, held.held));
	memset(&t->rcu_since, 0, sizeof(*t) - offsetof(struct clo_task, rcu_since));
	if (!clo_fiber_make(&t->fiber, task_main, t))
		return NULL;
	t->fn = fn;
	t->arg = arg;
	t->op = (struct clo_sched_op){ .kind = CLO_OP_START, .what = "start" };
	snprintf(t->name, sizeof(t->name), "%s", name);
	clo_failure_forget(clo_run.task_count++);
	return t;
}

/* Let @t make its step; quiet steps leave no trace. */
static void resume(struct clo_task *t)
{
	const struct clo_sched_config *c = clo_run.config;
	struct clo_sched_step *s = &clo_run.step;
	bool counts = clo_run.quiet == 0;

	if (counts)
		*s = (struct clo_sched_step){ .number = clo_run.result->steps++,
					      .thread = clo_run_id(t),
					      .name = t->name,
					      .op = t->op,
					      .ok = true,
					      .notes = clo_run.notes };
	else
		clo_run.result->quiet_steps++;
	clo_run.result->last = clo_run_id(t);
	clo_run.self = t;
	clo_fiber_switch(&clo_run.scheduler, &t->fiber, false);
	clo_run.self = NULL;
	if (t->finished)
		clo_fiber_drop(&t->fiber);
	if (!counts || !c->on_step)
		return;
	s->finished = t->finished;

	int code = c->on_step(c->arg, s);

	if (code != 0 && !clo_run.ended)
		end_run(CLO_SCHED_STOPPED, code);
}

/* Nothing can run: the earliest of the waits that have an end comes to it. */
static bool time_passes(void)
{
	struct clo_task *first = NULL;

	for (uint32_t i = 0; i < clo_run.task_count; i++) {
		struct clo_task *t = &clo_run.task[i];

		if (clo_run_sleeps(t) && t->deadline && (!first || t->deadline < first->deadline))
			first = t;
	}
	if (first)
		clo_run_woke(first);
	return first != NULL;
}

static bool all_done(void)
{
	for (uint32_t i = 0; i < clo_run.task_count; i++)
		if (!clo_run.task[i].finished && !clo_run.task[i].daemon)
			return false;
	return clo_run.defer_given == clo_run.defer_made;
}

static bool any_relaxes(void)
{
	for (uint32_t i = 0; i < clo_run.task_count; i++)
		if (!clo_run.task[i].finished && clo_run.task[i].op.kind == CLO_OP_RELAX)
			return true;
	return false;
}

/* The second kind of livelock: see the head of this file. */
static bool all_spin(void)
{
	const struct clo_task *last = &clo_run.task[clo_run.result->last];
	uint32_t limit = clo_run.config->spin_limit ? clo_run.config->spin_limit : DEFAULT_SPINS;

	if (last->op.kind != CLO_OP_RELAX || last->spins < limit)
		return false;
	for (uint32_t i = 0; i < clo_run.task_count; i++) {
		const struct clo_task *t = &clo_run.task[i];

		if (clo_run_can(t) && (t->spins < limit || t->spin_change != clo_run.changes))
			return false;
	}
	return true;
}

static uint32_t find_runnable(uint32_t *ids)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < clo_run.task_count; i++)
		if (clo_run_can(&clo_run.task[i]))
			ids[count++] = i;
	if (!clo_run.config->rcu_last || !clo_run.rcu || count < 2)
		return count;

	uint32_t kept = 0;

	/* Only where a call would begin: one that has begun goes on like any thread. */
	for (uint32_t i = 0; i < count; i++)
		if (&clo_run.task[ids[i]] != clo_run.rcu || clo_run.rcu->op.kind != CLO_OP_RCU_CALL)
			ids[kept++] = ids[i];
	return kept;
}

static uint64_t find_sleepers(void)
{
	uint64_t mask = 0;

	for (uint32_t i = 0; i < clo_run.task_count && clo_run.config->self_wakes; i++)
		if (clo_run_sleeps(&clo_run.task[i]))
			mask |= 1ULL << i;
	return mask;
}

static bool has(const uint32_t *ids, uint32_t count, uint32_t id)
{
	for (uint32_t i = 0; i < count; i++)
		if (ids[i] == id)
			return true;
	return false;
}

static bool has_bit(uint64_t mask, int id)
{
	return id < (int)CLO_SCHED_THREADS && (mask >> id & 1);
}

/* The current one while it can and wants to, else the next in turn. */
static uint32_t default_choice(const struct clo_sched_choice *c)
{
	if (c->current_can_run && !c->current_yields)
		return c->current;
	for (uint32_t i = 0; i < c->count; i++)
		if (c->threads[i] > c->current)
			return c->threads[i];
	return c->threads[0];
}

static struct clo_task *choose(const uint32_t *ids, uint32_t count)
{
	const struct clo_sched_config *config = clo_run.config;
	uint32_t current = clo_run.result->last;
	struct clo_sched_choice c = { .threads = ids,
				      .count = count,
				      .current = current,
				      .current_can_run = has(ids, count, current),
				      .current_yields =
					      clo_run.task[current].op.kind == CLO_OP_RELAX,
				      .sleepers = find_sleepers(),
				      .step = clo_run.result->steps };

	if (clo_run.quiet || !config->choose)
		return &clo_run.task[default_choice(&c)];
	if (count == 1 && !c.sleepers && !config->choose_single)
		return &clo_run.task[ids[0]];

	int id = config->choose(config->arg, &c);

	if (id >= 0 && (has(ids, count, (uint32_t)id) || has_bit(c.sleepers, id)))
		return &clo_run.task[id];
	end_run(CLO_SCHED_STOPPED, id);
	return NULL;
}

/* Who makes the next step; NULL: the run has ended. */
static struct clo_task *next_task(void)
{
	uint32_t ids[CLO_SCHED_THREADS];
	uint32_t count = 0;

	if (clo_run.ended)
		return NULL;
	if (all_done()) {
		end_run(CLO_SCHED_DONE, 0);
		return NULL;
	}
	do {
		count = find_runnable(ids);
	} while (count == 0 && time_passes());
	if (count == 0 || all_spin()) {
		clo_run_report();
		end_run(count > 0 || any_relaxes() ? CLO_SCHED_LIVELOCK : CLO_SCHED_DEADLOCK, 0);
		return NULL;
	}

	uint64_t max = clo_run.config->max_steps ? clo_run.config->max_steps : DEFAULT_STEPS;

	if (clo_run.result->steps >= max || clo_run.result->quiet_steps >= QUIET_STEPS) {
		clo_run_report();
		end_run(CLO_SCHED_STEP_LIMIT, 0);
		return NULL;
	}
	return choose(ids, count);
}

/* Memory misused in ways that no operation showed. */
static void check_end(void)
{
	struct clo_sched_result *r = clo_run.result;

	if (r->end != CLO_SCHED_DONE)
		return;
	r->live_bytes = clo_arena_live();

	const void *p = clo_arena_tampered();

	if (p) {
		r->end = CLO_SCHED_FAULT;
		snprintf(r->report, CLO_SCHED_REPORT, "freed memory was written to: %p", p);
	}
}

struct main_call {
	void (*fn)(void *arg);
	void *arg;
};

static void *call_main(void *arg)
{
	const struct main_call *m = arg;

	m->fn(m->arg);
	return NULL;
}

static void run_reset(const struct clo_sched_config *config, struct clo_sched_result *result)
{
	static uint32_t serial;

	/* Not the tasks, which are large: each is cleared when it is made. */
	memset(&clo_run, 0, offsetof(struct clo_run, task));
	clo_run.active = true;
	clo_run.serial = ++serial ? serial : ++serial;
	clo_run.config = config;
	clo_run.result = result;
	clo_run.now = TIME_START;
	clo_run.defer_last = &clo_run.defer_first;
	clo_clock_fake(clo_run.now);
}

void clo_run_crashed(const char *text)
{
	snprintf(clo_run.result->report, CLO_SCHED_REPORT, "%s: %s",
		 clo_run.self ? clo_run.self->name : "check of the state", text);
	end_run(CLO_SCHED_FAULT, 0);
	if (clo_run.self)
		leave();
	longjmp(clo_run.crash, 1);
}

static void run_all(void)
{
	struct clo_task *t;

	clo_run_crash_begin();
	/* Nothing of this function is used behind a crash. */
	if (setjmp(clo_run.crash) == 0) {
		while ((t = next_task()) != NULL)
			resume(t);
	}
	clo_run_crash_end();
}

int clo_sched_run(const struct clo_sched_config *config, void (*main_fn)(void *arg), void *arg,
		  struct clo_sched_result *result)
{
	struct main_call call = { .fn = main_fn, .arg = arg };

	if (clo_run.active)
		return -EBUSY;
	if (!clo_arena_begin(config->arena_bytes ? config->arena_bytes : DEFAULT_ARENA))
		return -ENOMEM;
	memset(result, 0, offsetof(struct clo_sched_result, report));
	result->report[0] = '\0';
	run_reset(config, result);
	clo_arena_on_fault(arena_fault);
	clo_arena_on_free(on_free);
	clo_arena_guard(config->guard);
	if (!clo_run_task(call_main, &call, "main")) {
		clo_run.active = false;
		clo_arena_end();
		return -ENOMEM;
	}
	run_all();
	result->thread_count = clo_run.task_count;
	check_end();
	for (uint32_t i = 0; i < clo_run.task_count; i++)
		if (!clo_run.task[i].finished)
			clo_fiber_drop(&clo_run.task[i].fiber);
	clo_arena_end();
	clo_clock_fake(0);
	clo_run.active = false;
	clo_run.serial = 0;
	clo_run.task_count = 0;
	return 0;
}
