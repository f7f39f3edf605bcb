/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/test_crash.c - what is said of a process that dies in a run: the file, the signal and its
 * address, the thread and its operation, the others'. Each in a process of its own.
 */
#include "litmus/litmus_run.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/test.h"

/* One thread's memory is bad; the other is in an operation for as long as that takes. */
static const char text[] = "SW_PROTECTED t { gmem f 2 pages init_shared; slot s 0 0+2 gmem f;\n"
			   " slot r 1 8+1; }\n"
			   " vCPU0  | VMM ;\n"
			   " load 0 | ram_read r 0:8 ;\n";
struct death {
	int status;
	char said[4096];
};

static _Noreturn void die_in(const char *program, void (*spoil)(struct clo_litmus_run *r), int fd)
{
	struct clo_litmus *p;
	struct clo_litmus_run *r;

	CHECK_EQ(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	CHECK_EQ(setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }), 0);
	for (int sig = 1; sig < SIGRTMIN; sig++)
		(void)signal(sig, SIG_DFL); /* a sanitizer's own */
	CHECK_OK(clo_litmus_parse(program, strlen(program), "x.litmus", &p, NULL));
	CHECK_OK(clo_litmus_crash_begin("x.litmus", p));
	clo_litmus_crash_phase(7, "its threads");
	CHECK_OK(clo_litmus_setup(p, CLO_HOST_VIEW_SOFT, &r, NULL));
	spoil(r);
	(void)!clo_litmus_run_threads(r);
	_exit(0);
}

static struct death death_of(const char *program, void (*spoil)(struct clo_litmus_run *r))
{
	struct death d = { 0 };
	size_t used = 0;
	ssize_t n;
	int fd[2];
	pid_t pid;

	CHECK_EQ(pipe(fd), 0);
	pid = fork();
	CHECK_LE(0, pid);
	if (pid == 0)
		die_in(program, spoil, fd[1]);
	close(fd[1]);
	while ((n = read(fd[0], d.said + used, sizeof(d.said) - 1 - used)) > 0)
		used += (size_t)n;
	close(fd[0]);
	CHECK_EQ(waitpid(pid, &d.status, 0), pid);
	test_note("%s", d.said);
	return d;
}

static void has(const struct death *d, const char *what)
{
	CHECK_MSG(strstr(d->said, what), "no '%s' in: %s", what, d->said);
}

static void no_memory(struct clo_litmus_run *r)
{
	size_t bytes = CLO_PAGE_SIZE;

	r->ram[1] = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(r->ram[1] != MAP_FAILED);
}

TEST(a_bad_access)
{
	struct death d = death_of(text, no_memory);

	CHECK(WIFSIGNALED(d.status));
	CHECK_EQ(WTERMSIG(d.status), SIGSEGV);
	has(&d, "x.litmus: crashed: SIGSEGV at 0x");
	has(&d, " in run 7, its threads\n");
	has(&d, "  in VMM, line 4: ram_read r 0:0x8\n");
	has(&d, "cloister explore x.litmus\n");
}

/* Two conversions; a listener is asked for each, and does not come back. */
static const char listens[] = "SW_PROTECTED t { gmem f 2 pages; slot s 0 0+2 gmem f; }\n"
			      " vCPU0            | VMM ;\n"
			      " convert 0 shared |     ;\n"
			      "                  | convert 1 shared ;\n";
static struct clo_a32 inside, never;

static void stay_in_page_0(const struct clo_dma_range *range)
{
	if (range->gpa == 0) {
		clo_a32_set(&inside, 1);
		while (!clo_a32_get(&never))
			clo_relax();
	}
	while (!clo_a32_get(&inside))
		clo_relax();
}

static int abort_in_page_1(void *arg, const struct clo_dma_range *range)
{
	(void)arg;
	stay_in_page_0(range);
	abort();
}

/* The handler needs a stack of its own. */
static int overflow_in_page_1(void *arg, const struct clo_dma_range *range)
{
	volatile char here[4096];

	stay_in_page_0(range);
	here[0] = 1;
	if (!clo_a32_get(&never)) /* so that the end is out of the compiler's sight */
		here[0] = (char)overflow_in_page_1(arg, range);
	return here[0];
}

static void add_listener(struct clo_litmus_run *r, int (*map)(void *, const struct clo_dma_range *))
{
	const struct clo_dma_listener l = {
		.size = sizeof(l), .name = "crash", .map = map, .unmap = map
	};

	CHECK_OK(clo_vm_add_dma_listener(clo_litmus_vm(r, 0), &l));
}

static void listen_abort(struct clo_litmus_run *r)
{
	add_listener(r, abort_in_page_1);
}

static void listen_overflow(struct clo_litmus_run *r)
{
	add_listener(r, overflow_in_page_1);
}

TEST(an_abort_and_what_the_other_was_at)
{
	struct death d = death_of(listens, listen_abort);

	CHECK_EQ(WTERMSIG(d.status), SIGABRT);
	has(&d, "crashed: SIGABRT");
	has(&d, "  in VMM, line 4: convert 0x1 shared\n");
	has(&d, "  beside vCPU0, line 3: convert 0 shared\n");
}

TEST(a_stack_that_overflows)
{
	struct death d = death_of(listens, listen_overflow);

	CHECK_EQ(WTERMSIG(d.status), SIGSEGV);
	has(&d, "  in VMM, line 4: convert 0x1 shared\n");
}

/* Sent from outside, when no operation runs. */
static void send(struct clo_litmus_run *r)
{
	(void)r;
	CHECK_EQ(kill(getpid(), SIGBUS), 0);
}

TEST(a_signal_that_was_sent)
{
	struct death d = death_of(text, send);

	CHECK_EQ(WTERMSIG(d.status), SIGBUS);
	has(&d, "crashed: SIGBUS sent by process ");
}

/* Handlers that are there stay, and after the end all is as before. */
static void mine(int sig)
{
	(void)sig;
}

TEST(other_handlers_stay)
{
	struct clo_litmus *p;
	struct sigaction sa;

	CHECK(signal(SIGBUS, mine) != SIG_ERR);
	CHECK(signal(SIGSEGV, SIG_DFL) != SIG_ERR);
	CHECK_OK(clo_litmus_parse(text, strlen(text), "x.litmus", &p, NULL));
	clo_alloc_fail_at(1);
	CHECK_ERR(clo_litmus_crash_begin("x.litmus", p), -ENOMEM);
	clo_alloc_fail_at(0);
	CHECK_EQ(sigaction(SIGSEGV, NULL, &sa), 0);
	CHECK(sa.sa_handler == SIG_DFL);
	CHECK_OK(clo_litmus_crash_begin("x.litmus", p));
	CHECK_EQ(sigaction(SIGBUS, NULL, &sa), 0);
	CHECK(sa.sa_handler == mine);
	CHECK_EQ(sigaction(SIGSEGV, NULL, &sa), 0);
	CHECK(sa.sa_handler != SIG_DFL);
	clo_litmus_crash_end();
	CHECK_EQ(sigaction(SIGBUS, NULL, &sa), 0);
	CHECK(sa.sa_handler == mine);
	CHECK_EQ(sigaction(SIGSEGV, NULL, &sa), 0);
	CHECK(sa.sa_handler == SIG_DFL);
	clo_litmus_free(p);
}
