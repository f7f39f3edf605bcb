/* SPDX-License-Identifier: Apache-2.0 */
/*
 * victim.c - tests that fail in each way a test can fail; test_harness.c looks at what is said of
 * them. Not run by itself.
 */
#include "harness/test.h"

#include <stdio.h>
#include <unistd.h>

TEST(passes)
{
	CHECK(true);
	CHECK_EQ(2 + 2, 4U);
}

TEST(fails_check)
{
	int zero = 0;

	CHECK(zero == 1);
}

TEST(fails_eq_sign)
{
	int a = -1;
	unsigned long long b = 18446744073709551615ULL;

	CHECK_EQ(a, b);
}

TEST(fails_order)
{
	CHECK_LT(5, 5);
}

TEST(fails_err)
{
	CHECK_ERR(-ENOENT, -EINVAL);
}

TEST(fails_str)
{
	CHECK_STR("one", "two");
}

TEST(fails_mem)
{
	CHECK_MEM("abc", "abd", 3);
}

TEST(fails_with_seed)
{
	CHECK_EQ(test_seed(), 0);
}

TEST_TIMEOUT(hangs, 1)
{
	for (;;)
		pause();
}

TEST(crashes)
{
	raise(SIGKILL);
}

TEST(exits_nonzero)
{
	exit(3);
}

TEST(skips)
{
	SKIP("no such device");
}

/* The status of a skip without a reason is a failure like any other status. */
TEST(exits_77)
{
	_exit(77);
}

EXPECT_SIGNAL(dies_as_expected, SIGBUS)
{
	raise(SIGBUS);
}

EXPECT_SIGNAL(dies_otherwise, SIGBUS)
{
	raise(SIGKILL);
}

EXPECT_SIGNAL(does_not_die, SIGBUS)
{
}

TEST(prints)
{
	test_note("measured %d ns", 42);
	printf("not ok 99 - a line that looks like a result\n");
	fprintf(stderr, "and one on stderr, without an end");
}

/* What only a sanitizer sees must fail a test as well. */
#ifdef __SANITIZE_ADDRESS__
TEST(leaks)
{
	volatile char *p = malloc(10);

	CHECK(p);
	p[0] = 1;
	p = NULL;
}

TEST(overruns)
{
	volatile char *p = malloc(10);
	volatile size_t beyond = 10;

	CHECK(p);
	p[beyond] = 1;
}
#endif

#ifdef __SANITIZE_THREAD__
#include <pthread.h>

static int raced;

static void *race(void *arg)
{
	raced++;
	return arg;
}

TEST(races)
{
	pthread_t a;
	pthread_t b;

	CHECK_OK(pthread_create(&a, NULL, race, NULL));
	CHECK_OK(pthread_create(&b, NULL, race, NULL));
	CHECK_OK(pthread_join(a, NULL));
	CHECK_OK(pthread_join(b, NULL));
}
#endif
