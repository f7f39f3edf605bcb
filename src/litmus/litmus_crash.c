/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/litmus_crash.c - what a run on threads says when the process dies in it.
 *
 * By then anything may be broken: the heap, a lock, the thread's stack. So each text is made before
 * the first run; the handler puts them together in memory of its own, writes, and lets the signal
 * end the process as if it had not been there: a core dump and a debugger see the place. Where
 * somebody handles the signal already (a sanitizer, which tells more), it stays so.
 */
#include "litmus_run.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const int caught[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
#define CAUGHT CLO_ARRAY_SIZE(caught)

#define TEXT_MAX 512U /* of an operation, names and outcomes at their longest: 400 */

static struct sigaction before[CAUGHT];
static stack_t stack_before;
static char main_stack[CLO_LIT_CRASH_STACK];

static struct {
	const char *path;
	char *texts; /* one after the other, each with its 0 */
	const char *op[CLO_LITMUS_THREADS + 1][CLO_LITMUS_OPS];
	volatile uint64_t number;
	const char *volatile phase;
	struct clo_litmus_run *volatile run; /* whose threads run */
} known;

static _Thread_local struct clo_lit_thread *here;
static struct clo_a32 reporting;

void clo_lit_enter(struct clo_lit_thread *t, unsigned op)
{
	clo_stat_set_local(&t->now, op + 1);
	here = t;
}

void clo_lit_leave(struct clo_lit_thread *t)
{
	clo_stat_set_local(&t->now, 0);
	here = NULL;
}

void clo_lit_threads(struct clo_litmus_run *r)
{
	known.run = r;
}

/* A thread's stack may be the reason, so the handler has one of its own, in the first frame. */
void clo_lit_crash_stack(void *stack)
{
	const stack_t own = { .ss_sp = stack,
			      .ss_size = CLO_LIT_CRASH_STACK,
			      .ss_flags = stack ? 0 : SS_DISABLE };

	(void)sigaltstack(&own, NULL);
}

/* What the handler writes. */
static char said[4096];
static size_t said_bytes;

static void say(const char *s)
{
	while (*s && said_bytes < sizeof(said))
		said[said_bytes++] = *s++;
}

static void say_number(uint64_t n, unsigned base)
{
	char digits[24];
	unsigned at = sizeof(digits);

	digits[--at] = '\0';
	do {
		digits[--at] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n > 0);
	say(base == 16 ? "0x" : "");
	say(&digits[at]);
}

static void say_signal(const siginfo_t *info, const void *context)
{
	static const char *const name[] = { "SIGABRT", "SIGSEGV", "SIGBUS",
					    "SIGFPE",  "SIGILL",  "SIGTRAP" };
	const ucontext_t *u = context;

	for (size_t i = 0; i < CAUGHT; i++)
		say(caught[i] == info->si_signo ? name[i] : "");
	if (info->si_code <= 0) {
		say(info->si_signo == SIGABRT ? "" : " sent by process ");
		if (info->si_signo != SIGABRT)
			say_number((uint64_t)info->si_pid, 10);
	} else if (info->si_signo == SIGSEGV || info->si_signo == SIGBUS) {
		say(" at ");
		say_number((uintptr_t)info->si_addr, 16);
	}
#ifdef __x86_64__
	/* For addr2line; of the C library and others no place is known here. */
	extern const char start[] __asm__("__ehdr_start") __attribute__((visibility("hidden")));
	extern const char etext[];
	uintptr_t at = (uintptr_t)u->uc_mcontext.gregs[REG_RIP];

	if (at < (uintptr_t)start || at >= (uintptr_t)etext)
		return;
	say(" (code at ");
	say_number(at - (uintptr_t)start, 16);
	say(")");
#else
	(void)u;
#endif
}

/* "  in vCPU0, line 9: load 0x1"; nothing where @t is between two operations. */
static void say_place(const char *how, const struct clo_lit_thread *t)
{
	uint64_t now = clo_stat_get(&t->now);

	if (now == 0 || now > CLO_LITMUS_OPS || !known.op[t->index][now - 1])
		return;
	say(how);
	say(known.op[t->index][now - 1]);
	say("\n");
}

static void say_places(void)
{
	const struct clo_litmus_run *r = known.run;

	if (here)
		say_place("  in ", here);
	else if (r)
		say("  in no operation: a thread of the engine, or between two operations\n");
	for (unsigned i = 0; r && i < CLO_LITMUS_THREADS; i++) {
		if (&r->threads[i] != here)
			say_place("  beside ", &r->threads[i]);
	}
}

static void on_crash(int signal_number, siginfo_t *info, void *context)
{
	int err = errno;
	ssize_t n = 0;

	/* Another thread is at it: it ends the process. (Or this one, twice: so does the kernel,
	 * for all these signals are blocked here.) */
	while (clo_a32_xchg(&reporting, 1) != 0)
		(void)pause();
	say(known.path);
	say(": crashed: ");
	say_signal(info, context);
	say(" in run ");
	say_number(known.number, 10);
	say(", ");
	say(known.phase);
	say("\n");
	say_places();
	say("  Whatever the file says, this is a defect of the engine. Every interleaving of it: "
	    "cloister explore ");
	say(known.path);
	say("\n");
	for (size_t at = 0; at < said_bytes && n >= 0; at += (size_t)n)
		n = write(STDERR_FILENO, said + at, said_bytes - at);
	errno = err;
	signal(signal_number, SIG_DFL);
	/* A fault happens again as soon as we return; what was sent has to be sent again. */
	if (info->si_code <= 0)
		raise(signal_number);
}

static bool make_texts(const struct clo_litmus *p)
{
	size_t ops = 0, at = 0;
	FILE *f;

	for (unsigned t = 0; t <= CLO_LITMUS_THREADS; t++)
		ops += p->threads[t].op_count;
	known.texts = clo_alloc((ops + 1) * TEXT_MAX);
	f = known.texts ? fmemopen(known.texts, (ops + 1) * TEXT_MAX, "w") : NULL;
	if (!f)
		return false;
	for (unsigned t = 0; t <= CLO_LITMUS_THREADS; t++) {
		for (unsigned i = 0; i < p->threads[t].op_count; i++) {
			fprintf(f, "%s, line %" PRIu32 ": ",
				t == CLO_LITMUS_PROLOGUE ? "the initial state" : p->threads[t].name,
				p->threads[t].ops[i].line);
			clo_litmus_print_op(p, t, i, f);
			fputc('\0', f);
		}
	}
	if (fclose(f) != 0)
		return false;
	for (unsigned t = 0; t <= CLO_LITMUS_THREADS; t++) {
		for (unsigned i = 0; i < p->threads[t].op_count; i++) {
			known.op[t][i] = known.texts + at;
			at += strlen(known.texts + at) + 1;
		}
	}
	return true;
}

int clo_litmus_crash_begin(const char *path, const struct clo_litmus *p)
{
	struct sigaction sa = { .sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	const stack_t own = { .ss_sp = main_stack, .ss_size = sizeof(main_stack) };

	memset(&known, 0, sizeof(known));
	known.path = path;
	known.phase = "set-up";
	if (!make_texts(p)) {
		clo_free(known.texts);
		return -ENOMEM;
	}
	for (size_t i = 0; i < CAUGHT; i++)
		sigaddset(&sa.sa_mask, caught[i]);
	(void)sigaltstack(&own, &stack_before);
	for (size_t i = 0; i < CAUGHT; i++) {
		if (sigaction(caught[i], NULL, &before[i]) == 0 && before[i].sa_handler == SIG_DFL)
			(void)sigaction(caught[i], &sa, NULL);
	}
	return 0;
}

void clo_litmus_crash_phase(uint64_t number, const char *phase)
{
	known.number = number;
	known.phase = phase;
}

void clo_litmus_crash_end(void)
{
	for (size_t i = 0; i < CAUGHT; i++)
		(void)sigaction(caught[i], &before[i], NULL);
	(void)sigaltstack(&stack_before, NULL);
	clo_free(known.texts);
	known.texts = NULL;
}
