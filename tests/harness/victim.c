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
