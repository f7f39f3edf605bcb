/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explore/explore_dfs.c - depth-first search over schedules with a preemption bound.
 *
 * The stack holds the choices of the run just made at which something else was possible; the next
 * run repeats it up to the last one that has an alternative left, takes that, and goes on by
 * default. Bounds are tried from 0 up, so the first counterexample found has the fewest
 * preemptions.
 *
 * Deferred calls of RCU are steps of a thread like any other. A thread that waits for a condition
 * wakes by itself for the price of a preemption, also where a switch is free: otherwise one in a
 * loop could do so for ever. A join does nothing that others see, so where a switch is free it goes
 * first, and nothing else is tried in its place.
 */
#include "explore_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_STEPS 20000U
#define PASSED_MAX    2U

struct frame {
	uint32_t step;
	uint32_t chosen;      /* thread */
	uint32_t by_default;  /* thread */
	uint64_t left;        /* bit per thread still to be tried, */
	uint64_t asleep;      /* and per thread that would wake by itself: a preemption */
	uint32_t before;      /* preemptions used up to this choice, */
	uint32_t preemptions; /* and with it */
	bool costs;           /* an alternative is a preemption */
};

struct search {
	const struct clo_explore_program *p;
	const struct clo_explore_config *cfg;
	struct clo_explore_result *out;
	struct explore_objects objects;
	struct frame *stack;
	size_t depth, cap; /* frames in use */
	size_t at;         /* frames passed in this run */
	unsigned bound;
	uint32_t passed[CLO_SCHED_THREADS]; /* see fair() */
	uint64_t joined;                    /* step that follows a join which went first */
	bool no_memory;
	bool cut; /* an alternative was left out because of the bound */
};

static bool is_free(const struct clo_sched_choice *c)
{
	return !c->current_can_run || c->current_yields;
}

uint32_t explore_default(const struct clo_sched_choice *c)
{
	if (!is_free(c))
		return c->current;
	for (uint32_t i = 0; i < c->count; i++) {
		if (clo_sched_pending(c->threads[i])->kind == CLO_OP_JOIN)
			return c->threads[i];
	}
	/* The next after the current, round: two that spin for each other both get their turn. */
	for (uint32_t i = 0; i < c->count; i++) {
		if (c->threads[i] > c->current)
			return c->threads[i];
	}
	return c->threads[0];
}

static uint64_t mask_of(const struct clo_sched_choice *c)
{
	uint64_t mask = 0;

	for (uint32_t i = 0; i < c->count; i++)
		mask |= 1ULL << c->threads[i];
	return mask;
}

static struct frame *push(struct search *s)
{
	if (s->depth == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 1024;
		struct frame *bigger = realloc(s->stack, cap * sizeof(*bigger));

		if (!bigger)
			return NULL;
		s->stack = bigger;
		s->cap = cap;
	}
	return &s->stack[s->depth++];
}

/*
 * A thread that spins costs no preemption to leave, so threads that spin could be tried one after
 * the other for ever while the one they wait for stands still. That is no finding (a real scheduler
 * gives it its turn), and without an end. So a thread that could have gone on when others came out
 * of their spins, PASSED_MAX times since its own last step, goes before those.
 */
static void note_yield(struct search *s, const struct clo_sched_choice *c)
{
	if (!c->current_yields)
		return;
	for (uint32_t i = 0; i < c->count; i++)
		s->passed[c->threads[i]]++;
	s->passed[c->current] = 0;
}

static uint64_t fair(const struct search *s, uint64_t mask)
{
	uint64_t first = 0;

	for (uint64_t rest = mask; rest; rest &= rest - 1) {
		uint32_t t = (uint32_t)__builtin_ctzll(rest);

		if (s->passed[t] > PASSED_MAX)
			first |= 1ULL << t;
	}
	return first ? first : mask;
}

/* Is there a reason to run another thread here? */
static bool is_choice(const struct search *s, const struct clo_sched_choice *c)
{
	const struct clo_sched_op *op;

	if (is_free(c) || s->cfg->all_points)
		return true;
	op = clo_sched_pending(c->current);
	return !op || explore_objects_shared(&s->objects, op);
}

/* What else can be tried at a new choice. */
static void set_alternatives(struct search *s, struct frame *f, const struct clo_sched_choice *c)
{
	bool spent = f->before >= s->bound;

	f->left = mask_of(c) & ~(1ULL << f->by_default);
	f->asleep = c->sleepers;
	if (c->current_yields) {
		uint64_t kept = f->left & fair(s, mask_of(c));

		s->out->unfair += (unsigned)__builtin_popcountll(f->left & ~kept);
		f->left = kept;
	}
	if (f->asleep && spent) {
		s->cut = true;
		f->asleep = 0;
	}
	if (f->costs && spent) {
		s->cut |= f->left != 0;
		f->left = 0;
	}
}

static int choose(void *arg, const struct clo_sched_choice *c)
{
	struct search *s = arg;
	uint32_t by_default = explore_default(c);
	bool free_switch = is_free(c) || s->joined == c->step;
	struct frame *f;

	note_yield(s, c);
	if (is_free(c) && clo_sched_pending(by_default)->kind == CLO_OP_JOIN) {
		s->joined = c->step + 1;
		return (int)by_default;
	}
	if (!free_switch && !is_choice(s, c))
		return (int)by_default;
	if (s->at < s->depth) {
		/* An object that became shared since adds choices to the part that is repeated:
		 * pass over them. */
		if (s->stack[s->at].step != c->step)
			return (int)by_default;
		s->at++;
		return (int)s->stack[s->at - 1].chosen;
	}
	f = push(s);
	if (!f) {
		s->no_memory = true;
		return -1;
	}
	s->at++;
	*f = (struct frame){
		.step = (uint32_t)c->step,
		.chosen = by_default,
		.by_default = by_default,
		.before = s->at > 1 ? f[-1].preemptions : 0,
		.costs = !free_switch,
	};
	f->preemptions = f->before;
	set_alternatives(s, f, c);
	return (int)by_default;
}

/* A pointer is read: is the step behind it worth a choice? */
static bool on_use(void *arg, uint32_t thread, const void *block, uint64_t step)
{
	struct search *s = arg;

	(void)step;
	return explore_objects_use(&s->objects, thread, block) || s->cfg->all_points;
}

static void on_freed(void *arg, uint32_t thread, const void *block)
{
	struct search *s = arg;

	explore_objects_freed(&s->objects, thread, block);
}

static int on_step(void *arg, const struct clo_sched_step *step)
{
	struct search *s = arg;

	s->passed[step->thread] = 0;
	explore_objects_note(&s->objects, step->thread, &step->op);
	if (!s->p->check)
		return 0;
	return s->p->check(s->p->arg, &s->out->invariant, s->out->why, sizeof(s->out->why));
}

/* Prepare the next run: false when nothing is left. */
static bool advance(struct search *s)
{
	while (s->depth > 0) {
		struct frame *f = &s->stack[s->depth - 1];

		if (f->left) {
			f->chosen = (uint32_t)__builtin_ctzll(f->left);
			f->left &= f->left - 1;
			f->preemptions = f->before + f->costs;
			return true;
		}
		if (f->asleep) {
			f->chosen = (uint32_t)__builtin_ctzll(f->asleep);
			f->asleep &= f->asleep - 1;
			f->preemptions = f->before + 1;
			return true;
		}
		s->depth--;
	}
	return false;
}

static int keep_schedule(struct search *s)
{
	struct clo_explore_result *out = s->out;
	uint32_t count = 0;

	for (size_t i = 0; i < s->at; i++)
		count += s->stack[i].chosen != s->stack[i].by_default;
	out->schedule = calloc(count ? count : 1, sizeof(*out->schedule));
	if (!out->schedule)
		return -ENOMEM;
	for (size_t i = 0; i < s->at; i++) {
		const struct frame *f = &s->stack[i];

		if (f->chosen != f->by_default)
			out->schedule[out->schedule_count++] =
				(struct clo_explore_switch){ f->step, f->chosen };
	}
	out->preemptions = s->at ? s->stack[s->at - 1].preemptions : 0;
	return 0;
}

static int violated(struct search *s, const struct clo_sched_result *r)
{
	struct clo_explore_result *out = s->out;

	out->verdict = CLO_EXPLORE_VIOLATED;
	switch (r->end) {
	case CLO_SCHED_DEADLOCK:
	case CLO_SCHED_LIVELOCK:
	case CLO_SCHED_STEP_LIMIT:
		out->invariant = "I7";
		snprintf(out->why, sizeof(out->why), "%s", clo_sched_end_name(r->end));
		break;
	case CLO_SCHED_FAULT:
		out->invariant = "I5";
		snprintf(out->why, sizeof(out->why), "the engine misused memory or a lock");
		break;
	case CLO_SCHED_DONE:
	case CLO_SCHED_STOPPED:
	case CLO_SCHED_END_COUNT:
		break; /* check or judge has said why */
	}
	memcpy(out->report, r->report, sizeof(out->report));
	return keep_schedule(s);
}

struct clo_sched_config explore_sched(const struct clo_explore_config *cfg)
{
	return (struct clo_sched_config){
		.self_wakes = true,
		.guard = true,
		.max_steps = cfg->max_steps ? cfg->max_steps : DEFAULT_STEPS,
	};
}

/* One run. 0: go on; 1: violation kept; or -errno. */
static int one_run(struct search *s)
{
	struct clo_sched_config sc = explore_sched(s->cfg);
	struct clo_sched_result r;
	int ret;

	sc.arg = s;
	sc.choose = choose;
	sc.on_step = on_step;
	sc.use = on_use;
	sc.freed = on_freed;
	s->joined = UINT64_MAX;
	s->at = 0;
	memset(s->passed, 0, sizeof(s->passed));
	ret = clo_sched_run(&sc, s->p->run, s->p->arg, &r);
	if (ret)
		return ret;
	if (s->no_memory)
		return -ENOMEM;
	s->out->runs++;
	s->out->steps += r.steps;
	if (r.steps > s->out->longest)
		s->out->longest = r.steps;
	if (r.end == CLO_SCHED_DONE &&
	    (!s->p->judge ||
	     s->p->judge(s->p->arg, &s->out->invariant, s->out->why, sizeof(s->out->why)) == 0))
		return 0;
	ret = violated(s, &r);
	return ret ? ret : 1;
}

static bool is_over(const struct search *s)
{
	if (s->cfg->max_runs && s->out->runs >= s->cfg->max_runs)
		return true;
	return s->cfg->progress && s->cfg->progress(s->cfg->progress_arg, s->out->runs, s->bound);
}

/* All schedules with at most s->bound preemptions. 0 done, 1 violation or limit, -errno. */
static int search_bound(struct search *s)
{
	for (;;) {
		uint32_t shared = s->objects.shared;

		s->depth = 0;
		s->cut = false;
		s->out->unfair = 0;
		do {
			int ret = one_run(s);

			if (ret)
				return ret;
			if (is_over(s)) {
				s->out->verdict = CLO_EXPLORE_INCOMPLETE;
				return 1;
			}
		} while (advance(s));
		/* Choices were passed over at objects that only now are known as shared: again. */
		if (s->objects.shared == shared)
			return 0;
	}
}

int clo_explore(const struct clo_explore_program *p, const struct clo_explore_config *cfg,
		struct clo_explore_result *out)
{
	struct search s = { .p = p, .cfg = cfg, .out = out };
	int ret;

	*out = (struct clo_explore_result){ .verdict = CLO_EXPLORE_HOLDS,
					    .invariant = "",
					    .preemptions = cfg->preemptions };
	if (!p->run)
		return -EINVAL;
	ret = explore_objects_init(&s.objects);
	for (s.bound = 0; ret == 0 && s.bound <= cfg->preemptions; s.bound++) {
		ret = search_bound(&s);
		out->bounds_done += ret == 0;
		out->exhausted = ret == 0 && !s.cut;
		if (out->exhausted)
			break;
	}
	out->objects = s.objects.shared;
	free(s.stack);
	explore_objects_free(&s.objects);
	if (ret < 0)
		clo_explore_release(out);
	return ret < 0 ? ret : 0;
}

void clo_explore_release(struct clo_explore_result *r)
{
	free(r->schedule);
	r->schedule = NULL;
	r->schedule_count = 0;
}
