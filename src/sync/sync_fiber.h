/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_fiber.h - contexts that are switched by hand. Private to sync, explorer build.
 */
#ifndef CLO_SYNC_SYNC_FIBER_H
#define CLO_SYNC_SYNC_FIBER_H

#include "base/base.h"

#ifndef __x86_64__
#include <ucontext.h>
#endif

struct clo_fiber {
	void *sp;           /* while it does not run */
	const char *bottom; /* lowest address of its stack */
	size_t bytes;
	bool own_stack; /* false: the stack of the program itself */
	void *asan;     /* what AddressSanitizer keeps for it */
	void (*fn)(void *arg);
	void *arg;
#ifndef __x86_64__
	ucontext_t context;
#endif
};

/* @f runs fn(arg) when first switched to; fn must not return. False: no memory for a stack. */
bool clo_fiber_make(struct clo_fiber *f, void (*fn)(void *arg), void *arg) CLO_MUST_USE;
/* Its stack goes back to the pool; whatever it was doing is dropped. */
void clo_fiber_drop(struct clo_fiber *f);
/* @ends: @from will not be switched to again. */
void clo_fiber_switch(struct clo_fiber *from, struct clo_fiber *to, bool ends);

#endif
