/* SPDX-License-Identifier: Apache-2.0 */
/*
 * harness/test.h - the test harness: each test is its own process with a time limit.
 *
 *	TEST(name) { ... }			passes when the body returns
 *	TEST_TIMEOUT(name, seconds) { ... }	with its own time limit
 *	EXPECT_SIGNAL(name, SIGBUS) { ... }	passes only when the body dies of that signal
 *
 * A failed CHECK ends the test at once, from any thread. A test that ends (with 0 or not) is not
 * waited for further: processes that it left behind are killed. What a test prints appears as "# "
 * lines before its result. A CHECK_* macro evaluates its arguments once.
 *
 * Programs print TAP. Usage: PROGRAM [--list] [--no-fork] [--seed N] [FILTER...]; a filter is a
 * part of a name, or a shell pattern. With --no-fork tests run in the program itself, for a
 * debugger. Environment: CLO_SEED (see test_seed), CLO_TEST_TIMEOUT (seconds, for tests without
 * their own limit). Sanitizer builds get four times each limit.
 */
#ifndef CLO_HARNESS_TEST_H
#define CLO_HARNESS_TEST_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct test_case {
	const char *name;
	const char *file;
	void (*fn)(void);
	int expect_signal; /* 0: the body must return */
	unsigned seconds;  /* 0: the default limit */
	struct test_case *next;
};

void test_register(struct test_case *t);

#define TEST_DEFINE(fn_name, signal_number, limit)                                                 \
	static void test_body_##fn_name(void);                                                     \
	__attribute__((constructor)) static void test_ctor_##fn_name(void)                         \
	{                                                                                          \
		static struct test_case t = { .name = #fn_name,                                    \
					      .file = __FILE__,                                    \
					      .fn = test_body_##fn_name,                           \
					      .expect_signal = (signal_number),                    \
					      .seconds = (limit) };                                \
                                                                                                   \
		test_register(&t);                                                                 \
	}                                                                                          \
	static void test_body_##fn_name(void)

#define TEST(name)                  TEST_DEFINE(name, 0, 0)
#define TEST_TIMEOUT(name, seconds) TEST_DEFINE(name, 0, seconds)
#define EXPECT_SIGNAL(name, signal) TEST_DEFINE(name, signal, 0)

/*
 * The seed of this run: --seed or CLO_SEED, else 1, so that a run repeats unless asked otherwise. A
 * test that called this has its seed printed when it fails.
 */
uint64_t test_seed(void);

/* A line of output, printed as a comment of the test whether it passes or not. */
void test_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* End the test as skipped: the host does not have what it needs. A reason is owed. */
_Noreturn void test_skip(const char *why);

_Noreturn void test_fail(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A number of any integer type, or a pointer, without loss. */
struct test_num {
	uint64_t v;
	bool neg; /* v is the two's complement of a negative number */
};
struct test_num test_num_s(long long v);
struct test_num test_num_u(unsigned long long v);
struct test_num test_num_p(const volatile void *p);

#define TEST_NUM(x)                                                                                \
	_Generic((x), _Bool                                                                        \
		 : test_num_u, char                                                                \
		 : test_num_s, signed char                                                         \
		 : test_num_s, unsigned char                                                       \
		 : test_num_u, short                                                               \
		 : test_num_s, unsigned short                                                      \
		 : test_num_u, int                                                                 \
		 : test_num_s, unsigned                                                            \
		 : test_num_u, long                                                                \
		 : test_num_s, unsigned long                                                       \
		 : test_num_u, long long                                                           \
		 : test_num_s, unsigned long long                                                  \
		 : test_num_u, default                                                             \
		 : test_num_p)(x)

enum test_relation { TEST_EQ, TEST_NE, TEST_LT, TEST_LE };
struct test_place {
	const char *file;
	int line;
	const char *left;
	const char *right;
};
void test_compare(struct test_place at, enum test_relation rel, struct test_num a,
		  struct test_num b);
void test_compare_str(struct test_place at, const char *a, const char *b);
void test_compare_mem(struct test_place at, const void *a, const void *b, size_t bytes);
/* The value is 0 or -errno; printed by its name. */
void test_compare_err(struct test_place at, long long got, long long want);

#define TEST_PLACE(l, r)                                                                           \
	(struct test_place)                                                                        \
	{                                                                                          \
		.file = __FILE__, .line = __LINE__, .left = (l), .right = (r)                      \
	}

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			test_fail(__FILE__, __LINE__, "CHECK(%s)", #cond);                         \
	} while (0)
/* A condition with words of one's own. */
#define CHECK_MSG(cond, ...)                                                                       \
	do {                                                                                       \
		if (!(cond))                                                                       \
			test_fail(__FILE__, __LINE__, __VA_ARGS__);                                \
	} while (0)
#define CHECK_EQ(a, b)         test_compare(TEST_PLACE(#a, #b), TEST_EQ, TEST_NUM(a), TEST_NUM(b))
#define CHECK_NE(a, b)         test_compare(TEST_PLACE(#a, #b), TEST_NE, TEST_NUM(a), TEST_NUM(b))
#define CHECK_LT(a, b)         test_compare(TEST_PLACE(#a, #b), TEST_LT, TEST_NUM(a), TEST_NUM(b))
#define CHECK_LE(a, b)         test_compare(TEST_PLACE(#a, #b), TEST_LE, TEST_NUM(a), TEST_NUM(b))
#define CHECK_STR(a, b)        test_compare_str(TEST_PLACE(#a, #b), a, b)
#define CHECK_MEM(a, b, bytes) test_compare_mem(TEST_PLACE(#a, #b), a, b, bytes)
/* CHECK_ERR(clo_f(x), -EINVAL): tools/check-errno.py counts these, so name the errno in place. */
#define CHECK_ERR(expr, err) test_compare_err(TEST_PLACE(#expr, #err), expr, err)
#define CHECK_OK(expr)       test_compare_err(TEST_PLACE(#expr, "0"), expr, 0)
#define SKIP(why)            test_skip(why)

#endif
