/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_explore_atomic.c - atomics, points, notes and the spin of the explorer build.
 *
 * One OS thread runs all: an operation is a scheduling point and then a plain access.
 */
#include "sync/sync_explore_run.h"

#define HERE __builtin_return_address(0)

static void point(enum clo_op kind, const char *what, const void *obj, uint64_t arg,
		  const void *where)
{
	(void)clo_run_point((struct clo_sched_op){
		.kind = kind, .what = what, .obj = obj, .where = where, .arg = arg });
}

static void saw(uint64_t v)
{
	clo_run_changed(false, v, v);
}

static void wrote(uint64_t old, uint64_t v)
{
	clo_run_changed(old != v, old, v);
}

/* The caller has read @pointer, or something else: see clo_sched_config.use. */
static void use_pointer(uint64_t pointer, const void *where)
{
	const struct clo_sched_config *c = clo_run.config;
	const void *block;

	if (clo_run.quiet || !c->use)
		return;
	block = clo_arena_block((const void *)(uintptr_t)pointer);
	if (!block)
		return;
	if (c->use(c->arg, clo_run_id(clo_run.self), block, clo_run.result->steps))
		(void)clo_run_point((struct clo_sched_op){
			.kind = CLO_OP_USE, .what = "pointer", .obj = block, .where = where });
	else
		clo_run.result->steps++;
}

/* The three types differ in nothing else; U64 makes a number of a value, for the trace. */
#define DEFINE_GET(p, type, U64, USE, suffix)                                                      \
	type clo_##p##_get##suffix(const struct clo_##p *a)                                        \
	{                                                                                          \
		/* Checks of the whole state read a lot between two steps. */                      \
		if (!clo_run.self)                                                                 \
			return a->v;                                                               \
		point(CLO_OP_READ, #p ".get", a, 0, HERE);                                         \
		saw(U64(a->v));                                                                    \
		type v = a->v;                                                                     \
                                                                                                   \
		USE(U64(v), HERE);                                                                 \
		return v;                                                                          \
	}
#define DEFINE_SET(p, type, U64, suffix)                                                           \
	void clo_##p##_set##suffix(struct clo_##p *a, type v)                                      \
	{                                                                                          \
		point(CLO_OP_WRITE, #p ".set", a, U64(v), HERE);                                   \
		wrote(U64(a->v), U64(v));                                                          \
		a->v = v;                                                                          \
	}
#define DEFINE_RMW(p, type, U64, op, expr)                                                         \
	type clo_##p##_##op(struct clo_##p *a, type v)                                             \
	{                                                                                          \
		point(CLO_OP_RMW, #p "." #op, a, U64(v), HERE);                                    \
                                                                                                   \
		type old = a->v;                                                                   \
                                                                                                   \
		a->v = (expr);                                                                     \
		wrote(U64(old), U64(a->v));                                                        \
		return old;                                                                        \
	}
#define DEFINE_CAS(p, type, U64)                                                                   \
	bool clo_##p##_cas(struct clo_##p *a, type *expected, type desired)                        \
	{                                                                                          \
		point(CLO_OP_RMW, #p ".cas", a, U64(desired), HERE);                               \
                                                                                                   \
		type old = a->v;                                                                   \
                                                                                                   \
		if (old != *expected) {                                                            \
			saw(U64(old));                                                             \
			clo_run_failed();                                                          \
			*expected = old;                                                           \
			return false;                                                              \
		}                                                                                  \
		a->v = desired;                                                                    \
		wrote(U64(old), U64(desired));                                                     \
		return true;                                                                       \
	}
#define DEFINE_COMMON(p, type, U64, USE)                                                           \
	DEFINE_GET(p, type, U64, USE, )                                                            \
	DEFINE_GET(p, type, U64, USE, _relaxed)                                                    \
	DEFINE_GET(p, type, U64, USE, _sc)                                                         \
	DEFINE_SET(p, type, U64, )                                                                 \
	DEFINE_SET(p, type, U64, _relaxed)                                                         \
	DEFINE_SET(p, type, U64, _sc)                                                              \
	DEFINE_RMW(p, type, U64, xchg, v)                                                          \
	DEFINE_CAS(p, type, U64)
#define DEFINE_NUMBER(p, type, U64)                                                                \
	DEFINE_RMW(p, type, U64, add, old + v)                                                     \
	DEFINE_RMW(p, type, U64, sub, old - v)                                                     \
	DEFINE_RMW(p, type, U64, or, old | v)                                                      \
	DEFINE_RMW(p, type, U64, and, old &v)

typedef void *pointer;
#define OF_NUMBER(v)  ((uint64_t)(v))
#define OF_POINTER(v) ((uint64_t)(uintptr_t)(v))

/* Words of 64 bits hold pointers too: page tables, attributes. */
#define NO_USE(v, where) ((void)(v))

DEFINE_COMMON(a32, uint32_t, OF_NUMBER, NO_USE)
DEFINE_COMMON(a64, uint64_t, OF_NUMBER, use_pointer)
DEFINE_COMMON(aptr, pointer, OF_POINTER, use_pointer)
DEFINE_NUMBER(a32, uint32_t, OF_NUMBER)
DEFINE_NUMBER(a64, uint64_t, OF_NUMBER)

/* One step with the look at the number, as futex(2) has it. */
void clo_event_sleep(struct clo_event *e, uint32_t seen)
{
	point(CLO_OP_EVENT_SLEEP, "event", &e->wakes.v, seen, HERE);
	saw(e->wakes.v);
	if (e->wakes.v == seen)
		clo_run_fault("would wait for ever for an event: no other thread runs");
}

void clo_sync_point(const char *what, uint64_t value)
{
	point(CLO_OP_POINT, what, NULL, value, HERE);
	clo_run_changed(false, value, value);
	clo_run_world_changed();
}

void clo_note(const char *what, uint64_t value)
{
	struct clo_sched_step *s = &clo_run.step;

	if (!clo_run.self || clo_run.quiet)
		return;
	if (s->note_count < CLO_SCHED_NOTES)
		clo_run.notes[s->note_count] =
			(struct clo_sched_note){ .what = what, .value = value };
	s->note_count++;
}

/*
 * A turn ends when another thread has made progress since the last turn's end, not since this call:
 * what came between the caller's look at the world and this call must count.
 */
void clo_relax(void)
{
	struct clo_task *t = clo_run.self;

	if (!t)
		return;
	point(CLO_OP_RELAX, "relax", NULL, 0, HERE);
	t->relax_seen = clo_run.progress - t->progress;
	t->spins = t->spin_change == clo_run.changes ? t->spins + 1 : 0;
	t->spin_change = clo_run.changes;
}
