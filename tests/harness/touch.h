/* SPDX-License-Identifier: Apache-2.0 */
/*
 * harness/touch.h - loads and stores that may die of SIGBUS, as a VMM meets a private page.
 */
#ifndef CLO_HARNESS_TOUCH_H
#define CLO_HARNESS_TOUCH_H

#include "harness/test.h"

#include <setjmp.h>

/*
 * A touch that may die of SIGBUS: the byte, or -1. The handler is the test's, the library has none.
 * One jump buffer per thread.
 */
static _Thread_local sigjmp_buf touch_back;
static _Thread_local volatile bool touch_armed;

static inline void touch_died(int sig)
{
	if (!touch_armed) {
		signal(sig, SIG_DFL);
		return;
	}
	touch_armed = false;
	siglongjmp(touch_back, 1);
}

static inline void touch_init(void)
{
	struct sigaction sa = { .sa_handler = touch_died };

	CHECK_EQ(sigaction(SIGBUS, &sa, NULL), 0);
}

static inline int touch_load(const volatile uint8_t *p)
{
	int value;

	if (sigsetjmp(touch_back, 1))
		return -1;
	touch_armed = true;
	value = *p;
	touch_armed = false;
	return value;
}

static inline bool touch_store(volatile uint8_t *p, uint8_t value)
{
	if (sigsetjmp(touch_back, 1))
		return false;
	touch_armed = true;
	*p = value;
	touch_armed = false;
	return true;
}

#endif
