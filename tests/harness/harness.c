/* SPDX-License-Identifier: Apache-2.0 */
/*
 * harness/harness.c - runs tests, each in a child process, and prints TAP.
 *
 * The child's output goes to a file in memory and is printed by the parent when the child has
 * ended, so the TAP stream stays whole whatever a test writes. Whether the test skipped or asked
 * for the seed comes back through a shared page. The parent has no other thread, which is what
 * makes fork() safe here.
 */
#include "test.h"

#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOWER 4U
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SLOWER 4U
#endif
#endif
#ifndef SLOWER
#define SLOWER 1U
#endif

#define DEFAULT_SECONDS 60U
#define OUTPUT_MAX      (256U * 1024U)
#define EXIT_SKIP       77

struct shared {
	bool seed_used;
	char skip_reason[200];
};

static struct test_case *tests;
static struct test_case **tests_tail = &tests;
static struct shared *shared;
static uint64_t seed = 1;
static bool no_fork;

void test_register(struct test_case *t)
{
	*tests_tail = t;
	tests_tail = &t->next;
}

uint64_t test_seed(void)
{
	shared->seed_used = true;
	return seed;
}

void test_note(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
}

void test_skip(const char *why)
{
	snprintf(shared->skip_reason, sizeof(shared->skip_reason), "%s", why);
	fflush(NULL);
	_exit(EXIT_SKIP);
}

/* __FILE__ as the compiler was given it, from a build directory, is "../../src/..". */
static const char *from_root(const char *file)
{
	while (strncmp(file, "../", 3) == 0)
		file += 3;
	return file;
}

/* Prints the start of a failure report; the caller adds what it knows and calls fail_end(). */
static void fail_begin(const char *file, int line)
{
	printf("%s:%d: failed: ", from_root(file), line);
}

static _Noreturn void fail_end(void)
{
	putchar('\n');
	fflush(NULL);
	if (no_fork)
		abort(); /* a debugger stops here */
	_exit(1);
}

void test_fail(const char *file, int line, const char *format, ...)
{
	va_list ap;

	fail_begin(file, line);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	fail_end();
}

struct test_num test_num_s(long long v)
{
	return (struct test_num){ .v = (uint64_t)v, .neg = v < 0 };
}

struct test_num test_num_u(unsigned long long v)
{
	return (struct test_num){ .v = v };
}

struct test_num test_num_p(const volatile void *p)
{
	return (struct test_num){ .v = (uintptr_t)p };
}

static bool holds(enum test_relation rel, struct test_num a, struct test_num b)
{
	bool equal = a.v == b.v && a.neg == b.neg;
	bool less = a.neg != b.neg ? a.neg : a.v < b.v;

	switch (rel) {
	case TEST_EQ:
		return equal;
	case TEST_NE:
		return !equal;
	case TEST_LT:
		return less;
	case TEST_LE:
		return less || equal;
	}
	return false;
}

static void print_num(struct test_num n)
{
	if (n.neg)
		printf("%lld", (long long)n.v);
	else if (n.v < 10)
		printf("%llu", (unsigned long long)n.v);
	else
		printf("%llu (%#llx)", (unsigned long long)n.v, (unsigned long long)n.v);
}

void test_compare(struct test_place at, enum test_relation rel, struct test_num a,
		  struct test_num b)
{
	static const char *const sign[] = {
		[TEST_EQ] = "==", [TEST_NE] = "!=", [TEST_LT] = "<", [TEST_LE] = "<="
	};

	if (holds(rel, a, b))
		return;
	fail_begin(at.file, at.line);
	printf("%s %s %s: left ", at.left, sign[rel], at.right);
	print_num(a);
	printf(", right ");
	print_num(b);
	fail_end();
}

void test_compare_str(struct test_place at, const char *a, const char *b)
{
	if (a == b || (a && b && strcmp(a, b) == 0))
		return;
	test_fail(at.file, at.line, "%s == %s: left \"%s\", right \"%s\"", at.left, at.right,
		  a ? a : "(null)", b ? b : "(null)");
}

void test_compare_mem(struct test_place at, const void *a, const void *b, size_t bytes)
{
	const unsigned char *x = a;
	const unsigned char *y = b;

	for (size_t i = 0; i < bytes; i++)
		if (x[i] != y[i])
			test_fail(at.file, at.line,
				  "%s == %s: byte %zu of %zu: left %02x, right %02x", at.left,
				  at.right, i, bytes, x[i], y[i]);
}

static void print_err(long long v)
{
	const char *name = v < 0 && v > -4096 ? strerrorname_np((int)-v) : NULL;

	if (name)
		printf("-%s", name);
	else
		printf("%lld", v);
}

/* Of the library's test builds (sync/sync.h); not there in programs without it. */
__attribute__((weak)) int clo_failure_take(void);

/* Is @left a call of the public API, or of the small machine in engine.h? */
static bool is_public_call(const char *left)
{
	static const char *const prefix[] = { "clo_host_", "clo_vm_", "clo_gmem_", "clo_vcpu_",
					      "eng_" };

	for (size_t i = 0; i < sizeof(prefix) / sizeof(prefix[0]); i++) {
		if (strncmp(left, prefix[i], strlen(prefix[i])) == 0)
			return strchr(left, '(') != NULL;
	}
	return false;
}

/*
 * An errno of many meanings comes with its reason (cloister/error.h). One that was not taken by an
 * earlier check is this call's.
 */
static bool lacks_reason(const char *left, long long got)
{
	if (!clo_failure_take || !is_public_call(left))
		return false;
	switch (got) {
	case -EINVAL:
	case -E2BIG:
	case -ENOMEM: /* not -EEXIST, which modules say to each other: "another was faster" */
		return clo_failure_take() != got;
	default:
		return false;
	}
}

void test_compare_err(struct test_place at, long long got, long long want)
{
	if (got == want && lacks_reason(at.left, got))
		test_fail(at.file, at.line, "%s: no reason was kept for it", at.left);
	if (got == want)
		return;
	fail_begin(at.file, at.line);
	printf("%s: got ", at.left);
	print_err(got);
	printf(", want ");
	print_err(want);
	fail_end();
}

/* The child's side; never returns. */
static _Noreturn void run_child(const struct test_case *t, int out, const sigset_t *old_mask)
{
	setpgid(0, 0);
	if (dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
		_exit(125);
	sigprocmask(SIG_SETMASK, old_mask, NULL);
	/* A sanitizer's handler would report the expected signal as a bug. */
	if (t->expect_signal)
		signal(t->expect_signal, SIG_DFL);
	t->fn();
	/* exit, not _exit: the leak checker and the coverage counters run at exit. */
	exit(0);
}

/* Waits for @pid at most @seconds; true and *status, or false: it was killed for its time. */
static bool wait_child(pid_t pid, unsigned seconds, int *status)
{
	struct timespec now;
	struct timespec end;
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += seconds;
	while (waitpid(pid, status, WNOHANG) != pid) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec >= end.tv_sec) {
			kill(-pid, SIGKILL);
			kill(pid, SIGKILL); /* in case it had no time to make its group */
			waitpid(pid, status, 0);
			return false;
		}
		/* A SIGCHLD that came before is still pending: it is blocked since main(). */
		sigtimedwait(&chld, NULL, &(struct timespec){ .tv_sec = end.tv_sec - now.tv_sec });
	}
	kill(-pid, SIGKILL); /* what the test left behind */
	return true;
}

/* Prints what the child wrote, as TAP comments. */
static void print_output(int fd)
{
	static char text[OUTPUT_MAX];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	char *save = NULL;

	if (n <= 0)
		return;
	for (ssize_t i = 0; i < n; i++)
		if (text[i] == '\0')
			text[i] = '?';
	text[n] = '\0';
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		printf("# %s\n", line);
	if ((size_t)n == sizeof(text) - 1)
		printf("# (more was written than is shown)\n");
}

static void describe(int status, bool in_time, unsigned seconds, char *text, size_t size)
{
	if (!in_time)
		snprintf(text, size, "still running after %u s", seconds);
	else if (WIFSIGNALED(status))
		snprintf(text, size, "killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
	else
		snprintf(text, size, "exit status %d", WEXITSTATUS(status));
}

static bool result(const struct test_case *t, unsigned number, int status, bool in_time,
		   unsigned seconds)
{
	char text[64];

	if (in_time && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP &&
	    shared->skip_reason[0]) {
		printf("ok %u - %s # SKIP %s\n", number, t->name, shared->skip_reason);
		return true;
	}
	if (in_time &&
	    (t->expect_signal ? WIFSIGNALED(status) && WTERMSIG(status) == t->expect_signal
			      : WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
		printf("ok %u - %s\n", number, t->name);
		return true;
	}
	describe(status, in_time, seconds, text, sizeof(text));
	printf("# %s: %s", from_root(t->file), text);
	if (t->expect_signal)
		printf(", expected SIG%s", sigabbrev_np(t->expect_signal));
	if (shared->seed_used)
		printf("; repeat with CLO_SEED=%llu", (unsigned long long)seed);
	printf("\nnot ok %u - %s\n", number, t->name);
	return false;
}

static bool run_forked(const struct test_case *t, unsigned number, unsigned default_seconds,
		       const sigset_t *old_mask)
{
	unsigned seconds = SLOWER * (t->seconds ? t->seconds : default_seconds);
	int out = memfd_create("output", MFD_CLOEXEC);
	int status = 0;
	bool in_time;
	pid_t pid;

	memset(shared, 0, sizeof(*shared));
	fflush(NULL);
	pid = out < 0 ? -1 : fork();
	if (pid < 0) {
		printf("# %s\nnot ok %u - %s\n", strerror(errno), number, t->name);
		return false;
	}
	if (pid == 0)
		run_child(t, out, old_mask);
	setpgid(pid, pid);
	in_time = wait_child(pid, seconds, &status);
	print_output(out);
	close(out);
	return result(t, number, status, in_time, seconds);
}

static bool run_here(const struct test_case *t, unsigned number)
{
	if (t->expect_signal) {
		printf("ok %u - %s # SKIP dies of a signal, needs its own process\n", number,
		       t->name);
		return true;
	}
	t->fn();
	printf("ok %u - %s\n", number, t->name);
	return true;
}

static bool wanted(const struct test_case *t, char **filters, int count)
{
	for (int i = 0; i < count; i++)
		if (strstr(t->name, filters[i]) || fnmatch(filters[i], t->name, 0) == 0)
			return true;
	return count == 0;
}

/* A whole number from the environment or the command line; anything else ends the program. */
static uint64_t number_of(const char *what, const char *text)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 0);
	if (errno || end == text || *end != '\0' || *text == '-') {
		fprintf(stderr, "%s: not a number: '%s'\n", what, text);
		exit(2);
	}
	return v;
}

static int run_all(char **filters, int count, unsigned default_seconds)
{
	unsigned total = 0;
	unsigned number = 0;
	bool all_ok = true;
	sigset_t chld;
	sigset_t old_mask;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &old_mask);
	for (const struct test_case *t = tests; t; t = t->next)
		total += wanted(t, filters, count);
	printf("1..%u\n", total);
	for (const struct test_case *t = tests; t; t = t->next) {
		if (!wanted(t, filters, count))
			continue;
		number++;
		all_ok &= no_fork ? run_here(t, number)
				  : run_forked(t, number, default_seconds, &old_mask);
		fflush(stdout);
	}
	return all_ok ? 0 : 1;
}

int main(int argc, char **argv)
{
	const char *env_seed = getenv("CLO_SEED");
	const char *env_seconds = getenv("CLO_TEST_TIMEOUT");
	unsigned seconds = DEFAULT_SECONDS;
	int i;

	/* Keeps the order of what a test writes to stdout and stderr. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (env_seed)
		seed = number_of("CLO_SEED", env_seed);
	if (env_seconds)
		seconds = (unsigned)number_of("CLO_TEST_TIMEOUT", env_seconds);
	for (i = 1; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
		if (strcmp(argv[i], "--list") == 0) {
			for (const struct test_case *t = tests; t; t = t->next)
				puts(t->name);
			return 0;
		} else if (strcmp(argv[i], "--no-fork") == 0) {
			no_fork = true;
		} else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
			seed = number_of("--seed", argv[++i]);
		} else {
			fprintf(stderr, "usage: %s [--list] [--no-fork] [--seed N] [FILTER...]\n",
				argv[0]);
			return 2;
		}
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED) {
		perror("mmap");
		return 2;
	}
	return run_all(argv + i, argc - i, seconds);
}
