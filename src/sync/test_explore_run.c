/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/test_explore_run.c - the scheduler's own promises: the same choices give the same run, setup
 * is quiet, a run leaves nothing behind, and each end is told as what it is.
 */
#include "harness/dfs.h"

#define TRACE_MAX 512U

struct trace {
	struct clo_sched_step step[TRACE_MAX];
	uint32_t count;
	int stop_at; /* step whose on_step returns 7; -1 = none */
};

static struct trace trace[2];
static struct clo_sched_result result;

static int record(void *arg, const struct clo_sched_step *s)
{
	struct trace *t = arg;

	CHECK(t->count < TRACE_MAX);
	CHECK_EQ(s->number, t->count);
	t->step[t->count++] = *s;
	return (int)s->number == t->stop_at ? 7 : 0;
}

struct world {
	struct clo_mutex m;
	struct clo_a64 a;
	struct clo_cond c;
	uint64_t *heap;
};

static struct world *world; /* outlives the runs, as a static lock would */

static void *mixed(void *arg)
{
	struct world *w = arg;

	for (unsigned i = 0; i < 3; i++) {
		clo_mutex_lock(&w->m);
		*w->heap += 1;
		clo_note("heap", *w->heap);
		clo_mutex_unlock(&w->m);
		clo_a64_add(&w->a, 1);
		clo_sync_point("guest", i);
	}
	return NULL;
}

static void mixed_main(void *arg)
{
	struct world *w = clo_alloc(sizeof(*w));
	struct clo_thread t[3];

	(void)arg;
	clo_sched_quiet(true);
	clo_mutex_init(&w->m, CLO_RANK_LEAF, "mixed");
	w->heap = clo_alloc(sizeof(*w->heap));
	clo_sched_quiet(true);
	for (unsigned i = 0; i < 3; i++)
		CHECK_OK(clo_thread_create(&t[i], mixed, w));
	clo_sched_quiet(false);
	clo_a64_add(&w->a, 1);
	clo_sched_quiet(false);
	for (unsigned i = 0; i < 3; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	CHECK_EQ(*w->heap, 9);
	CHECK_EQ(clo_a64_get(&w->a), 10);
	clo_free(w->heap);
	clo_free(w);
}

static int choose_random(void *arg, const struct clo_sched_choice *c)
{
	struct clo_rand *r = arg;

	return (int)c->threads[clo_rand_below(r, c->count)];
}

struct replay {
	struct clo_rand rand;
	struct trace *trace;
};

static int replay_choose(void *arg, const struct clo_sched_choice *c)
{
	return choose_random(&((struct replay *)arg)->rand, c);
}

static int replay_step(void *arg, const struct clo_sched_step *s)
{
	return record(((struct replay *)arg)->trace, s);
}

static void run_random(uint64_t seed, struct trace *t)
{
	struct replay r = { .rand = { seed }, .trace = t };
	struct clo_sched_config config = { .arg = &r,
					   .choose = replay_choose,
					   .on_step = replay_step };

	t->count = 0;
	t->stop_at = -1;
	CHECK_OK(clo_sched_run(&config, mixed_main, NULL, &result));
	CHECK_EQ(result.end, CLO_SCHED_DONE);
	CHECK_EQ(result.steps, t->count);
	CHECK_EQ(result.thread_count, 4);
	CHECK_EQ(result.live_bytes, 0);
}

static void check_same(const struct clo_sched_step *a, const struct clo_sched_step *b)
{
	CHECK_EQ(a->thread, b->thread);
	CHECK_EQ(a->op.kind, b->op.kind);
	CHECK(a->op.obj == b->op.obj && a->op.where == b->op.where);
	CHECK_EQ(a->value, b->value);
	CHECK_EQ(a->old, b->old);
	CHECK_EQ(a->note_count, b->note_count);
}

TEST(the_same_choices_give_the_same_run)
{
	unsigned other = 0;

	for (uint64_t seed = 0; seed < 50; seed++) {
		run_random(seed, &trace[0]);
		run_random(seed, &trace[1]);
		CHECK_EQ(trace[0].count, trace[1].count);
		for (uint32_t i = 0; i < trace[0].count; i++)
			check_same(&trace[0].step[i], &trace[1].step[i]);
		run_random(seed + 1000, &trace[1]);
		for (uint32_t i = 0; i < trace[0].count && i < trace[1].count; i++)
			other += trace[0].step[i].thread != trace[1].step[i].thread;
	}
	CHECK_LT(1000, other);
}

TEST(a_step_tells_what_was_done)
{
	unsigned adds = 0;
	unsigned locks = 0;
	unsigned points = 0;

	run_random(1, &trace[0]);
	for (uint32_t i = 0; i < trace[0].count; i++) {
		const struct clo_sched_step *s = &trace[0].step[i];

		if (s->op.kind == CLO_OP_RMW) {
			adds++;
			CHECK_STR(s->op.what, "a64.add");
			CHECK(s->changed && s->ok);
			CHECK_EQ(s->value, s->old + 1);
			CHECK(s->op.where != NULL);
		} else if (s->op.kind == CLO_OP_LOCK) {
			locks++;
			CHECK_STR(s->op.what, "mixed");
			CHECK_EQ(s->note_count, 1);
		} else if (s->op.kind == CLO_OP_POINT) {
			points++;
			CHECK_STR(s->op.what, "guest");
			CHECK_EQ(s->op.arg, s->value);
		}
	}
	CHECK_EQ(adds, 9); /* the tenth was quiet */
	CHECK_EQ(locks, 9);
	CHECK_EQ(points, 9);
}

TEST(on_step_and_choose_can_stop_the_run)
{
	struct clo_sched_config config = { .arg = &trace[0], .on_step = record };

	for (int at = 0; at < 20; at++) {
		trace[0].count = 0;
		trace[0].stop_at = at;
		CHECK_OK(clo_sched_run(&config, mixed_main, NULL, &result));
		CHECK_EQ(result.end, CLO_SCHED_STOPPED);
		CHECK_EQ(result.code, 7);
		CHECK_EQ(result.steps, (uint64_t)at + 1);
	}
}

static int choose_none(void *arg, const struct clo_sched_choice *c)
{
	(void)arg;
	CHECK_LT(1, c->count);
	return -5;
}

static int choose_first(void *arg, const struct clo_sched_choice *c)
{
	unsigned *single = arg;

	*single += c->count == 1;
	CHECK_EQ(clo_sched_self(), UINT32_MAX);
	CHECK(clo_sched_pending(c->threads[0]) != NULL);
	CHECK(clo_sched_pending(63) == NULL);
	return (int)c->threads[0];
}

TEST(choose_is_asked_when_there_is_a_choice)
{
	unsigned single = 0;
	struct clo_sched_config config = { .arg = &single, .choose = choose_none };

	CHECK_OK(clo_sched_run(&config, mixed_main, NULL, &result));
	CHECK_EQ(result.end, CLO_SCHED_STOPPED);
	CHECK_EQ(result.code, -5);
	config.choose = choose_first;
	CHECK_OK(clo_sched_run(&config, mixed_main, NULL, &result));
	CHECK_EQ(result.end, CLO_SCHED_DONE);
	CHECK_EQ(single, 0);
	config.choose_single = true;
	CHECK_OK(clo_sched_run(&config, mixed_main, NULL, &result));
	CHECK_LT(0, single);
}

static void stop_main(void *arg)
{
	CHECK_EQ(clo_sched_self(), 0);
	clo_sched_name("a name that is too long");
	CHECK_ERR(clo_sched_run(arg, stop_main, NULL, &result), -EBUSY);
	clo_mutex_lock(&world->m);
	clo_sched_stop(-3);
}

TEST(a_stopped_run_leaves_nothing_behind)
{
	struct clo_sched_config config = { 0 };
	uint64_t live;

	world = clo_alloc(sizeof(*world));
	CHECK(world != NULL);
	live = clo_alloc_live();
	clo_mutex_init(&world->m, CLO_RANK_LEAF, "world");
	for (unsigned i = 0; i < 100; i++) {
		/* The lock is left taken by each run, and free for the next. */
		CHECK_OK(clo_sched_run(&config, stop_main, &config, &result));
		CHECK_EQ(result.end, CLO_SCHED_STOPPED);
		CHECK_EQ(result.code, -3);
	}
	CHECK_EQ(clo_alloc_live(), live);
	CHECK_EQ(clo_sched_self(), UINT32_MAX);
	clo_mutex_lock(&world->m);
	clo_mutex_unlock(&world->m);
	clo_free(world);
}

TEST(no_memory_for_a_run)
{
	struct clo_sched_config config = { .arena_bytes = (size_t)1 << 60 };

	CHECK_ERR(clo_sched_run(&config, mixed_main, NULL, &result), -ENOMEM);
	config.arena_bytes = 0;
	CHECK_OK(clo_sched_run(&config, mixed_main, NULL, &result));
	CHECK_EQ(result.end, CLO_SCHED_DONE);
}

static void *nothing(void *arg)
{
	return arg;
}

static void many_main(void *arg)
{
	static struct clo_thread t[CLO_SCHED_THREADS];
	unsigned n = 0;

	(void)arg;
	clo_sched_quiet(true);
	while (n < CLO_SCHED_THREADS - 1)
		CHECK_OK(clo_thread_create(&t[n++], nothing, NULL));
	CHECK_EQ(clo_thread_create(&t[n], nothing, NULL), -EAGAIN);
	for (unsigned i = 0; i < n; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	t[0].id = 1000;
	CHECK_EQ(clo_thread_join(&t[0]), -ESRCH);
}

TEST(threads_have_a_limit)
{
	struct clo_sched_config config = { 0 };
	struct clo_thread t;

	CHECK_OK(clo_sched_run(&config, many_main, NULL, &result));
	CHECK_EQ(result.end, CLO_SCHED_DONE);
	CHECK_EQ(result.steps, 1);
	CHECK_EQ(result.thread_count, CLO_SCHED_THREADS);
	CHECK_LE(CLO_SCHED_THREADS - 1, result.quiet_steps);
	CHECK_EQ(clo_thread_create(&t, nothing, NULL), -EAGAIN);
}

static void fault_main(void *arg)
{
	struct clo_mutex m[2];
	void *p;

	clo_mutex_init(&m[0], CLO_RANK_VM, "low");
	clo_mutex_init(&m[1], CLO_RANK_PAGE, "high");
	switch (*(const unsigned *)arg) {
	case 0:
		clo_mutex_lock(&m[1]);
		clo_mutex_lock(&m[0]);
		return;
	case 1:
		clo_mutex_unlock(&m[0]);
		return;
	case 2:
		clo_mutex_lock(&m[0]);
		return;
	case 3:
		clo_rcu_read_lock();
		return;
	case 4:
		clo_rcu_read_lock();
		clo_rcu_synchronize();
		return;
	case 5:
		p = clo_alloc(8);
		clo_free(p);
		clo_free(p);
		return;
	case 6:
		clo_sched_quiet(false);
		return;
	default:
		clo_mutex_lock(&m[0]);
		clo_mutex_destroy(&m[0]);
		return;
	}
}

TEST(misuse_is_a_fault_of_the_run)
{
	static const char *const text[] = {
		"main: out of order: wants \"low\" (rank VM) while holding \"high\" (rank PAGE)",
		"main: not held by this thread: releases \"low\"",
		"main: ended while holding \"low\"",
		"main: ended in an RCU read section",
		"clo_rcu_synchronize() in a read section",
		"clo_free() of freed memory",
		"clo_sched_quiet(false) without a beginning",
		"destroys \"low\", which is held",
	};
	struct clo_sched_config config = { 0 };

	for (unsigned i = 0; i < CLO_ARRAY_SIZE(text); i++) {
		CHECK_OK(clo_sched_run(&config, fault_main, &i, &result));
		CHECK_EQ(result.end, CLO_SCHED_FAULT);
		CHECK_MSG(strstr(result.report, text[i]), "%s", result.report);
	}
}

TEST(names)
{
	for (unsigned k = 0; k < CLO_OP_COUNT; k++)
		CHECK(strcmp(clo_op_name((enum clo_op)k), "?") != 0);
	for (unsigned k = 0; k < CLO_SCHED_END_COUNT; k++)
		CHECK(strcmp(clo_sched_end_name((enum clo_sched_end)k), "?") != 0);
	CHECK_STR(clo_op_name(CLO_OP_COUNT), "?");
	CHECK_STR(clo_sched_end_name(CLO_SCHED_END_COUNT), "?");
}
