/* SPDX-License-Identifier: Apache-2.0 */
/* test_harness.c - the harness, tested through what it prints about the tests of victim.c. */
#include "harness/test.h"

#include <stdio.h>
#include <unistd.h>

static char said[65536];

/* Runs the victim with @args; its standard output is in said[], its exit status is returned. */
static int victim(const char *args)
{
	const char *path = getenv("CLO_VICTIM");
	char command[1024];
	size_t n;
	FILE *f;
	int status;

	CHECK_MSG(path, "CLO_VICTIM must name the victim program; meson sets it");
	snprintf(command, sizeof(command), "'%s' %s 2>&1", path, args);
	f = popen(command, "r");
	CHECK(f);
	n = fread(said, 1, sizeof(said) - 1, f);
	said[n] = '\0';
	status = pclose(f);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void check_said(const char *text)
{
	CHECK_MSG(strstr(said, text), "expected '%s' in:\n%s", text, said);
}

TEST(pass_is_ok)
{
	CHECK_EQ(victim("passes"), 0);
	CHECK_STR(said, "1..1\nok 1 - passes\n");
}

TEST(failed_check_is_reported)
{
	CHECK_EQ(victim("fails_check"), 1);
	check_said("victim.c:21: failed: CHECK(zero == 1)\n");
	check_said("not ok 1 - fails_check\n");
}

/* -1 and 2^64-1 have the same bits and are not equal. */
TEST(compare_knows_the_sign)
{
	CHECK_EQ(victim("fails_eq_sign"), 1);
	check_said("a == b: left -1, right 18446744073709551615 (0xffffffffffffffff)");
	CHECK_LT(-1, 1U);
	CHECK_NE(-1L, UINT64_MAX);
	CHECK_LE((uint8_t)255, 255);
	CHECK_EQ(said, (void *)said);
}

TEST(compare_reports)
{
	CHECK_EQ(victim("fails_order"), 1);
	check_said("5 < 5: left 5, right 5");
	CHECK_EQ(victim("fails_err"), 1);
	check_said("got -ENOENT, want -EINVAL");
	CHECK_EQ(victim("fails_str"), 1);
	check_said("left \"one\", right \"two\"");
	CHECK_EQ(victim("fails_mem"), 1);
	check_said("byte 2 of 3: left 63, right 64");
}

TEST(seed_is_given_and_printed)
{
	CHECK_EQ(victim("--seed 0x2a fails_with_seed"), 1);
	check_said("repeat with CLO_SEED=42\n");
	CHECK_EQ(victim("--seed 0 fails_with_seed"), 0);
	CHECK_EQ(victim("fails_check"), 1);
	CHECK_MSG(!strstr(said, "CLO_SEED"), "a test without seed shows one:\n%s", said);
}

TEST_TIMEOUT(time_limit_works, 10)
{
	CHECK_EQ(victim("hangs"), 1);
	check_said("still running after ");
	check_said("not ok 1 - hangs\n");
}

TEST(death_is_a_failure)
{
	CHECK_EQ(victim("crashes"), 1);
	check_said("killed by SIGKILL");
	CHECK_EQ(victim("exits_nonzero"), 1);
	check_said("exit status 3");
}

TEST(skip_needs_a_reason)
{
	CHECK_EQ(victim("skips"), 0);
	check_said("ok 1 - skips # SKIP no such device\n");
	CHECK_EQ(victim("exits_77"), 1);
	check_said("not ok 1 - exits_77\n");
}

TEST(expected_signal)
{
	CHECK_EQ(victim("dies_as_expected"), 0);
	check_said("ok 1 - dies_as_expected\n");
	CHECK_EQ(victim("dies_otherwise"), 1);
	check_said("killed by SIGKILL, expected SIGBUS");
	CHECK_EQ(victim("does_not_die"), 1);
	check_said("exit status 0, expected SIGBUS");
}

TEST(output_cannot_forge_a_result)
{
	CHECK_EQ(victim("prints"), 0);
	CHECK_STR(said, "1..1\n"
			"# measured 42 ns\n"
			"# not ok 99 - a line that looks like a result\n"
			"# and one on stderr, without an end\n"
			"ok 1 - prints\n");
}

TEST(filters_and_list)
{
	CHECK_EQ(victim("--list"), 0);
	check_said("passes\nfails_check\n");
	CHECK_EQ(victim("'pass*' prints"), 0);
	check_said("1..2\nok 1 - passes\n");
	CHECK_EQ(victim("no-such-test"), 0);
	CHECK_STR(said, "1..0\n");
	CHECK_EQ(victim("--unknown"), 2);
	CHECK_EQ(victim("--seed x passes"), 2);
}

TEST(no_fork_runs_here)
{
	CHECK_EQ(victim("--no-fork passes dies_as_expected"), 0);
	check_said("ok 1 - passes\n");
	check_said("# SKIP dies of a signal");
}

EXPECT_SIGNAL(own_signal_is_seen, SIGSEGV)
{
	raise(SIGSEGV);
}

#ifdef __SANITIZE_ADDRESS__
TEST(sanitizer_finding_is_a_failure)
{
	CHECK_EQ(victim("overruns"), 1);
	check_said("exit status 9"); /* 98 or 99: UBSan or ASan, as the compiler has it */
	check_said("not ok 1 - overruns\n");
	CHECK_EQ(victim("leaks"), 1);
	check_said("10 byte(s) leaked");
	check_said("not ok 1 - leaks\n");
}
#endif

#ifdef __SANITIZE_THREAD__
TEST(sanitizer_finding_is_a_failure)
{
	CHECK_EQ(victim("races"), 1);
	check_said("data race");
	check_said("not ok 1 - races\n");
}
#endif
