/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_explore_crash.c - a crash of explored code is the end of its run, not of the search.
 *
 * The handler runs on a stack of its own (that of the thread may be the reason) and never returns:
 * it switches to the scheduler as a thread does that has ended. What the crashed code held is
 * dropped with the run. AddressSanitizer tells more of a bad access than we could, so there only
 * aborts are caught.
 */
#include "sync/sync_explore_run.h"

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define CRASH_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(CRASH_ASAN)
static const int caught[] = { SIGABRT };
#else
static const int caught[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
#endif
#define CAUGHT CLO_ARRAY_SIZE(caught)

#define STACK_BYTES (64U << 10)

static struct sigaction before[CAUGHT];
static stack_t stack_before;
static char stack[STACK_BYTES];

static const char *memory_text(const void *p)
{
	switch (clo_arena_state(p)) {
	case CLO_ARENA_FREED:
		return ", memory that has been freed";
	case CLO_ARENA_NEVER:
		return ", memory that was never allocated";
	case CLO_ARENA_OUTSIDE:
	case CLO_ARENA_LIVE:
		break;
	}
	return "";
}

/* For addr2line. */
static const char *code_text(const void *context, char *text, size_t size)
{
#ifdef __x86_64__
	extern const char start[] __asm__("__ehdr_start") __attribute__((visibility("hidden")));
	const ucontext_t *u = context;
	uintptr_t at = (uintptr_t)u->uc_mcontext.gregs[REG_RIP] - (uintptr_t)start;

	snprintf(text, size, " (code at %#" PRIxPTR ")", at);
#else
	(void)context, (void)size;
	text[0] = '\0';
#endif
	return text;
}

static void on_crash(int signal_number, siginfo_t *info, void *context)
{
	char code[64], text[192], at[96] = "";
	sigset_t set;

	/* Twice: what we do here crashes too. */
	if (!clo_run.active || clo_run.ended) {
		signal(signal_number, SIG_DFL);
		return;
	}
	if (signal_number == SIGSEGV || signal_number == SIGBUS)
		snprintf(at, sizeof(at), " at %p%s", info->si_addr, memory_text(info->si_addr));
	snprintf(text, sizeof(text), "SIG%s%s%s", sigabbrev_np(signal_number), at,
		 code_text(context, code, sizeof(code)));
	/* abort() may have blocked others; this one is blocked no more, see SA_NODEFER. */
	sigemptyset(&set);
	for (size_t i = 0; i < CAUGHT; i++)
		sigaddset(&set, caught[i]);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	clo_run_crashed(text);
}

void clo_run_crash_begin(void)
{
	struct sigaction sa = { .sa_sigaction = on_crash,
				.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	const stack_t own = { .ss_sp = stack, .ss_size = sizeof(stack) };

	sigaltstack(&own, &stack_before);
	for (size_t i = 0; i < CAUGHT; i++)
		sigaction(caught[i], &sa, &before[i]);
}

void clo_run_crash_end(void)
{
	for (size_t i = 0; i < CAUGHT; i++)
		sigaction(caught[i], &before[i], NULL);
	sigaltstack(&stack_before, NULL);
}

/* In the place of the C library's: what failed belongs into the report. */
void __assert_fail(const char *assertion, const char *file, unsigned int line, const char *function)
{
	char text[CLO_SCHED_REPORT / 2];

	snprintf(text, sizeof(text), "%s:%u: %s: assertion failed: %s", file, line, function,
		 assertion);
	if (!clo_run.active || clo_run.ended) {
		fprintf(stderr, "%s\n", text);
		abort();
	}
	clo_run_crashed(text);
}
