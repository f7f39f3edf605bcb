/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explore/test_search.c - the search itself, on programs whose interleavings are known.
 */
#include "explore/explore.h"

#include "harness/test.h"

#include <inttypes.h>
#include <string.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif

#define THREADS 2U
#define MOST    3U

struct toy {
	struct clo_a32 value;
	struct clo_a32 own[MOST]; /* written by one thread each */
	struct clo_mutex a, b;
	void *(*body)(void *arg);
	unsigned threads;
	uint32_t end;
};

struct toy_arg {
	struct toy *t;
	unsigned self;
};

static void *add_twice(void *arg)
{
	struct toy_arg *a = arg;

	clo_a32_add(&a->t->value, 1);
	clo_a32_add(&a->t->own[a->self], 1);
	return NULL;
}

/* The classic: read, then write. */
static void *lose_update(void *arg)
{
	struct toy_arg *a = arg;
	uint32_t v = clo_a32_get(&a->t->value);

	clo_a32_set(&a->t->value, v + 1);
	return NULL;
}

static void *cross_locks(void *arg)
{
	struct toy_arg *a = arg;
	struct clo_mutex *first = a->self ? &a->t->b : &a->t->a,
			 *second = a->self ? &a->t->a : &a->t->b;

	/* trylock escapes the rank check: what is tested is the search. */
	clo_mutex_lock(first);
	while (!clo_mutex_trylock(second))
		clo_relax();
	clo_mutex_unlock(second);
	clo_mutex_unlock(first);
	return NULL;
}

/* Two spin for the third, and each turn wakes the other. */
static void *wait_for_the_last(void *arg)
{
	struct toy_arg *a = arg;

	if (a->self == MOST - 1) {
		clo_a32_add(&a->t->own[a->self], 1);
		clo_a32_set(&a->t->value, THREADS);
	}
	while (clo_a32_get(&a->t->value) == 0) {
		clo_a32_add(&a->t->own[a->self], 1);
		clo_relax();
	}
	return NULL;
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(TEST_ASAN) /* which tells of a crash itself */
static volatile uint32_t *volatile nowhere;

/* Only when the other comes between its two steps. */
static void *crash_of_a_race(void *arg)
{
	struct toy_arg *a = arg;
	uint32_t v = clo_a32_get(&a->t->value);

	if (clo_a32_add(&a->t->value, 1) != v)
		*nowhere = 1;
	return NULL;
}
#endif

static void run(void *arg)
{
	struct toy *t = arg;
	struct clo_thread thread[MOST];
	struct toy_arg a[MOST];
	void *(*body)(void *) = t->body;
	unsigned threads = t->threads;

	*t = (struct toy){ .body = body, .threads = threads };
	clo_sched_quiet(true);
	clo_mutex_init(&t->a, CLO_RANK_LEAF, "a");
	clo_mutex_init(&t->b, CLO_RANK_LEAF, "b");
	for (unsigned i = 0; i < threads; i++) {
		a[i] = (struct toy_arg){ t, i };
		if (clo_thread_create(&thread[i], body, &a[i]))
			clo_sched_stop(1);
	}
	clo_sched_quiet(false);
	for (unsigned i = 0; i < threads; i++)
		clo_thread_join(&thread[i]);
	clo_sched_quiet(true);
	t->end = clo_a32_get(&t->value);
	clo_mutex_destroy(&t->a);
	clo_mutex_destroy(&t->b);
}

static int two(void *arg, const char **invariant, char *why, size_t size)
{
	const struct toy *t = arg;

	if (t->end == THREADS)
		return 0;
	*invariant = "sum";
	snprintf(why, size, "%u", t->end);
	return -EUCLEAN;
}

static struct toy the_toy;

static struct clo_explore_result search(void *(*body)(void *), const struct clo_explore_config *cfg,
					bool judged)
{
	struct clo_explore_program p = { .arg = &the_toy,
					 .run = run,
					 .judge = judged ? two : NULL };
	struct clo_explore_result r;

	the_toy.body = body;
	the_toy.threads = THREADS;
	CHECK_OK(clo_explore(&p, cfg, &r));
	return r;
}

TEST(correct_program_holds_and_private_objects_cost_nothing)
{
	struct clo_explore_config cfg = { .preemptions = 2 },
				  all = { .preemptions = 2, .all_points = true };
	struct clo_explore_result r = search(add_twice, &cfg, true);
	struct clo_explore_result every = search(add_twice, &all, true);

	CHECK_EQ(r.verdict, CLO_EXPLORE_HOLDS);
	CHECK_EQ(every.verdict, CLO_EXPLORE_HOLDS);
	CHECK_EQ(r.objects, 1U);
	CHECK_LT(r.runs, every.runs);
	clo_explore_release(&r);
	clo_explore_release(&every);
}

TEST(lost_update_needs_one_preemption)
{
	struct clo_explore_config none = { .preemptions = 0 }, one = { .preemptions = 1 };
	struct clo_explore_result r = search(lose_update, &none, true);

	CHECK_EQ(r.verdict, CLO_EXPLORE_HOLDS);
	clo_explore_release(&r);
	r = search(lose_update, &one, true);
	CHECK_EQ(r.verdict, CLO_EXPLORE_VIOLATED);
	CHECK_STR(r.invariant, "sum");
	CHECK_EQ(r.preemptions, 1U);
	CHECK(r.schedule_count > 0);
	clo_explore_release(&r);
}

TEST(a_hang_is_i7)
{
	struct clo_explore_config cfg = { .preemptions = 2 };
	struct clo_explore_result r = search(cross_locks, &cfg, false);

	CHECK_EQ(r.verdict, CLO_EXPLORE_VIOLATED);
	CHECK_STR(r.invariant, "I7");
	clo_explore_release(&r);
}

TEST(threads_that_spin_do_not_starve_the_one_they_wait_for)
{
	struct clo_explore_program p = { .arg = &the_toy, .run = run, .judge = two };
	struct clo_explore_config cfg = { .preemptions = 2 };
	struct clo_explore_result r;

	the_toy.body = wait_for_the_last;
	the_toy.threads = MOST;
	CHECK_OK(clo_explore(&p, &cfg, &r));
	CHECK_EQ(r.verdict, CLO_EXPLORE_HOLDS);
	CHECK_LT(r.longest, 200U);
	CHECK_LT(0U, r.unfair); /* that they would is said */
	clo_explore_release(&r);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(TEST_ASAN)
TEST(a_crash_is_a_violation_with_its_schedule)
{
	struct clo_explore_program p = { .arg = &the_toy, .run = run };
	struct clo_explore_config cfg = { .preemptions = 2 };
	struct clo_explore_result r = search(crash_of_a_race, &cfg, false);
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	CHECK(f != NULL);
	CHECK_EQ(r.verdict, CLO_EXPLORE_VIOLATED);
	CHECK_STR(r.invariant, "I5");
	CHECK_EQ(r.preemptions, 1U);
	CHECK_MSG(strstr(r.report, ": SIGSEGV at (nil)"), "%s", r.report);
	/* The schedule again: the crash again, and the program goes on. */
	CHECK_OK(clo_explore_print(&p, &cfg, r.schedule, r.schedule_count, false, f));
	fclose(f);
	CHECK_MSG(strstr(text, "SIGSEGV at (nil)"), "%s", text);
	free(text);
	clo_explore_release(&r);
}
#endif

/* What was left out is counted, and what was done is said. */
TEST(a_result_says_what_it_covers)
{
	struct clo_explore_config one = { .preemptions = 1 }, many = { .preemptions = 16 };
	struct clo_explore_result r = search(add_twice, &one, true);

	CHECK_EQ(r.bounds_done, 2U);
	CHECK(!r.exhausted && r.unfair == 0);
	clo_explore_release(&r);
	r = search(add_twice, &many, true);
	CHECK_EQ(r.verdict, CLO_EXPLORE_HOLDS);
	CHECK(r.exhausted && r.unfair == 0);
	CHECK_LT(r.bounds_done, 17U);
	clo_explore_release(&r);
	many.max_runs = 1;
	r = search(add_twice, &many, true);
	CHECK_EQ(r.bounds_done, 0U);
	CHECK(!r.exhausted);
	clo_explore_release(&r);
}

static int stop_at_three(void *arg, uint64_t runs, unsigned preemptions)
{
	(void)arg, (void)preemptions;
	return runs == 3;
}

TEST(progress_can_end_the_search)
{
	struct clo_explore_config cfg = { .preemptions = 2, .progress = stop_at_three };
	struct clo_explore_result r = search(add_twice, &cfg, true);

	CHECK_EQ(r.verdict, CLO_EXPLORE_INCOMPLETE);
	CHECK_EQ(r.runs, 3U);
	clo_explore_release(&r);
}

TEST(limits_end_the_search_as_incomplete)
{
	struct clo_explore_config few = { .preemptions = 2, .max_runs = 3 };
	struct clo_explore_config long_run = { .preemptions = 2, .max_steps = 2 };
	struct clo_explore_result r = search(add_twice, &few, true);

	CHECK_EQ(r.verdict, CLO_EXPLORE_INCOMPLETE);
	CHECK_EQ(r.runs, 3U);
	clo_explore_release(&r);
	r = search(add_twice, &long_run, true);
	CHECK_EQ(r.verdict, CLO_EXPLORE_VIOLATED);
	CHECK_STR(r.invariant, "I7");
	clo_explore_release(&r);
}

/* What was found is found again by its id, to the letter. */
TEST(a_schedule_replays)
{
	struct clo_explore_program p = { .arg = &the_toy, .run = run, .judge = two };
	struct clo_explore_config cfg = { .preemptions = 2 };
	struct clo_explore_result r = search(lose_update, &cfg, true);
	struct clo_explore_switch *schedule;
	char id[128], *text[2] = { NULL, NULL };
	size_t size[2];
	uint32_t count;
	FILE *f = fmemopen(id, sizeof(id), "w");

	CHECK(f != NULL);
	clo_explore_format(&r, f);
	fclose(f);
	CHECK_OK(clo_explore_parse(id, &schedule, &count));
	CHECK_EQ(count, r.schedule_count);
	CHECK_MEM(schedule, r.schedule, count * sizeof(*schedule));
	for (unsigned i = 0; i < 2; i++) {
		f = open_memstream(&text[i], &size[i]);
		CHECK(f != NULL);
		CHECK_OK(clo_explore_print(&p, &cfg, schedule, count, true, f));
		fclose(f);
		CHECK(strstr(text[i], "sum violated: 1") != NULL);
		CHECK(strstr(text[i], "did not fit") == NULL);
	}
	CHECK_STR(text[0], text[1]);
	free(text[0]);
	free(text[1]);
	free(schedule);
	clo_explore_release(&r);
}

TEST(a_schedule_that_does_not_fit_says_so)
{
	struct clo_explore_program p = { .arg = &the_toy, .run = run };
	struct clo_explore_config cfg = { 0 };
	struct clo_explore_switch far = { .step = 100000, .thread = 1 };
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	CHECK(f != NULL);
	the_toy.body = add_twice;
	the_toy.threads = THREADS;
	CHECK_OK(clo_explore_print(&p, &cfg, &far, 1, false, f));
	fclose(f);
	CHECK(strstr(text, "1 of the schedule's 1 switches did not fit") != NULL);
	free(text);
}

TEST(bad_input_is_refused)
{
	static const char *const bad[] = {
		"", "x", "1", "1:", ":1", "1:2,", "1:2;3:4", "1:99", "99999999999:1", "-1:1"
	};
	struct clo_explore_program p = { .run = NULL };
	struct clo_explore_config cfg = { 0 };
	struct clo_explore_switch *schedule;
	struct clo_explore_result r;
	uint32_t count;

	CHECK_ERR(clo_explore(&p, &cfg, &r), -EINVAL);
	for (size_t i = 0; i < CLO_ARRAY_SIZE(bad); i++)
		CHECK_ERR(clo_explore_parse(bad[i], &schedule, &count), -EINVAL);
	CHECK_OK(clo_explore_parse("0", &schedule, &count));
	CHECK_EQ(count, 0U);
	free(schedule);
}
