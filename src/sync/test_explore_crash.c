/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/test_explore_crash.c - a crash in a run is the end of the run, told as a fault; the program
 * goes on, and the next run is as if nothing had been.
 */
#include "harness/dfs.h"

#include <assert.h>
#include <signal.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define TEST_ASAN 1
#endif

static struct clo_mutex lock;
static volatile int zero;
static int *volatile nowhere;

static void crash(unsigned how)
{
	switch (how) {
	case 0:
		assert(zero == 1);
		return;
	case 1:
		abort();
	case 2:
		*nowhere = 1;
		return;
	case 3:
		raise(SIGFPE);
		return;
	default:
		raise(SIGILL);
	}
}

static const char *const text[] = {
	"test_explore_crash.c", "SIGABRT",
#ifndef TEST_ASAN /* which tells of the others itself */
	"SIGSEGV at (nil)",     "SIGFPE",  "SIGILL",
#endif
};

static void *crashes(void *arg)
{
	clo_sched_name("bad");
	clo_mutex_lock(&lock);
	crash(*(const unsigned *)arg);
	return NULL;
}

static void crash_main(void *arg)
{
	struct clo_thread t;

	clo_sched_quiet(true);
	clo_mutex_init(&lock, CLO_RANK_LEAF, "held");
	CHECK_OK(clo_thread_create(&t, crashes, arg));
	clo_sched_quiet(false);
	CHECK_OK(clo_thread_join(&t));
}

static void fine_main(void *arg)
{
	(void)arg;
	clo_mutex_lock(&lock);
	clo_mutex_unlock(&lock);
}

TEST(a_crash_is_a_fault_of_the_run)
{
	struct clo_sched_config config = { 0 };
	struct clo_sched_result result;

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < CLO_ARRAY_SIZE(text); i++) {
			CHECK_OK(clo_sched_run(&config, crash_main, &i, &result));
			CHECK_EQ(result.end, CLO_SCHED_FAULT);
			CHECK_MSG(strstr(result.report, text[i]), "%s", result.report);
			CHECK_MSG(strncmp(result.report, "bad: ", 5) == 0, "%s", result.report);
			CHECK_OK(clo_sched_run(&config, fine_main, NULL, &result));
			CHECK_EQ(result.end, CLO_SCHED_DONE);
		}
	}
}

static int crash_on_step(void *arg, const struct clo_sched_step *step)
{
	(void)arg, (void)step;
	abort();
}

TEST(a_crash_of_the_check_too)
{
	struct clo_sched_config config = { .on_step = crash_on_step };
	struct clo_sched_result result;

	for (unsigned round = 0; round < 3; round++) {
		CHECK_OK(clo_sched_run(&config, fine_main, NULL, &result));
		CHECK_EQ(result.end, CLO_SCHED_FAULT);
		CHECK_MSG(strstr(result.report, "check of the state: SIGABRT"), "%s",
			  result.report);
	}
}

#ifndef TEST_ASAN
/* Volatile and after the call: neither can be left out, so each level takes its kilobyte. */
static unsigned deeper(unsigned n) // NOLINT: that it has no end is the point
{
	volatile char here[1024];

	here[n % sizeof(here)] = (char)n;
	return n == UINT32_MAX ? 0 : deeper(n + 1) + (unsigned)here[n % sizeof(here)];
}

static void overflow_main(void *arg)
{
	(void)arg;
	clo_note("deep", deeper(1));
}

TEST(an_overflow_of_the_stack)
{
	struct clo_sched_config config = { 0 };
	struct clo_sched_result result;

	CHECK_OK(clo_sched_run(&config, overflow_main, NULL, &result));
	CHECK_EQ(result.end, CLO_SCHED_FAULT);
	CHECK_MSG(strstr(result.report, "main: SIGSEGV"), "%s", result.report);
}
#endif

static void on_signal(int signal_number)
{
	(void)signal_number;
}

TEST(handlers_of_the_program_come_back)
{
	struct sigaction sa = { .sa_handler = on_signal }, now;
	struct clo_sched_config config = { 0 };
	struct clo_sched_result result;

	CHECK_OK(sigaction(SIGABRT, &sa, NULL));
	CHECK_OK(clo_sched_run(&config, fine_main, NULL, &result));
	CHECK_OK(sigaction(SIGABRT, NULL, &now));
	CHECK(now.sa_handler == on_signal);
}

/* Outside of a run an assert still ends the program. */
EXPECT_SIGNAL(an_assert_without_a_run, SIGABRT)
{
	assert(zero == 1);
}
