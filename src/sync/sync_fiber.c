/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_fiber.c - stacks and the switch between them.
 *
 * A million runs of some hundred steps each want a switch of nanoseconds: on x86-64 it saves the
 * six registers that a call preserves. (swapcontext() does a system call to save the signal mask;
 * other systems use it.) Stacks are kept in a pool, each above a guard page.
 */
#include "sync/sync_fiber.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(FIBER_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#undef FIBER_ASAN
#define FIBER_ASAN  1
#define STACK_BYTES (256U << 10)
#else
#define FIBER_ASAN  0
#define STACK_BYTES (64U << 10)
#endif

#define POOL_MAX 64U

static char *pool[POOL_MAX];
static unsigned pool_count;

static char *stack_take(void)
{
	if (pool_count > 0)
		return pool[--pool_count];

	char *p = mmap(NULL, STACK_BYTES + CLO_PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	mprotect(p, CLO_PAGE_SIZE, PROT_NONE);
	return p + CLO_PAGE_SIZE;
}

static void stack_give(char *stack)
{
	if (pool_count < POOL_MAX)
		pool[pool_count++] = stack;
	else
		munmap(stack - CLO_PAGE_SIZE, STACK_BYTES + CLO_PAGE_SIZE);
}

/* Where a first switch arrives: the fiber that is switched to, and the one that did it. */
static struct clo_fiber *arriving;
static struct clo_fiber *leaving;

static void arrived(struct clo_fiber *self)
{
#if FIBER_ASAN
	const void *bottom;
	size_t bytes;

	__sanitizer_finish_switch_fiber(self->asan, &bottom, &bytes);
	/* The stack of the program is not ours: its bounds are learnt when it is left. */
	if (!leaving->own_stack) {
		leaving->bytes = bytes;
		leaving->bottom = bottom;
	}
#else
	(void)self;
#endif
}

static _Noreturn void fiber_entry(void)
{
	struct clo_fiber *self = arriving;

	arrived(self);
	self->fn(self->arg);
	abort(); /* fn does not return */
}

#ifdef __x86_64__
void clo_fiber_jump(void **save_sp, void *load_sp) __attribute__((visibility("hidden")));

__asm__(".text\n"
	".globl clo_fiber_jump\n"
	".hidden clo_fiber_jump\n"
	".type clo_fiber_jump, @function\n"
	"clo_fiber_jump:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".size clo_fiber_jump, . - clo_fiber_jump\n");

#define SAVED_REGISTERS 6U

static void context_make(struct clo_fiber *f, char *stack)
{
	/* Popped by the first switch: six registers and the entry, aligned as the ABI says. */
	uint64_t *top = (uint64_t *)(void *)(stack + STACK_BYTES - 16);

	top[1] = 0;
	top[0] = (uintptr_t)fiber_entry;
	for (unsigned i = 1; i <= SAVED_REGISTERS; i++)
		*(top - i) = 0;
	f->sp = top - SAVED_REGISTERS;
}

static void context_jump(struct clo_fiber *from, struct clo_fiber *to)
{
	clo_fiber_jump(&from->sp, to->sp);
}
#else
static void context_make(struct clo_fiber *f, char *stack)
{
	if (getcontext(&f->context) != 0)
		abort();
	f->context.uc_stack.ss_sp = stack;
	f->context.uc_stack.ss_size = STACK_BYTES;
	f->context.uc_link = NULL;
	makecontext(&f->context, (void (*)(void))fiber_entry, 0);
}

static void context_jump(struct clo_fiber *from, struct clo_fiber *to)
{
	if (swapcontext(&from->context, &to->context) != 0)
		abort();
}
#endif

bool clo_fiber_make(struct clo_fiber *f, void (*fn)(void *arg), void *arg)
{
	char *stack = stack_take();

	if (!stack)
		return false;
#if FIBER_ASAN
	/* Marks of frames that were dropped in the middle. */
	__asan_unpoison_memory_region(stack, STACK_BYTES);
#endif
	*f = (struct clo_fiber){
		.bottom = stack, .bytes = STACK_BYTES, .own_stack = true, .fn = fn, .arg = arg
	};
	context_make(f, stack);
	return true;
}

void clo_fiber_drop(struct clo_fiber *f)
{
	stack_give((char *)(uintptr_t)f->bottom);
	*f = (struct clo_fiber){ 0 };
}

void clo_fiber_switch(struct clo_fiber *from, struct clo_fiber *to, bool ends)
{
#if FIBER_ASAN
	__sanitizer_start_switch_fiber(ends ? NULL : &from->asan, to->bottom, to->bytes);
#else
	(void)ends;
#endif
	arriving = to;
	leaving = from;
	context_jump(from, to);
	arrived(from);
}
