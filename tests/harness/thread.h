/* SPDX-License-Identifier: Apache-2.0 */
/*
 * harness/thread.h - is a thread of the test asleep? What a test waits for by this is an event, no
 * span of time.
 */
#ifndef CLO_HARNESS_THREAD_H
#define CLO_HARNESS_THREAD_H

#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness/test.h"

static inline uint32_t thread_id(void)
{
	return (uint32_t)syscall(SYS_gettid);
}

/* As proc(5) has it: R runs or could run, S and D sleep. */
static inline char thread_state(uint32_t tid)
{
	char name[64], line[256] = "", *end;
	FILE *f;

	snprintf(name, sizeof(name), "/proc/self/task/%u/stat", tid);
	f = fopen(name, "re");
	CHECK(f && fgets(line, sizeof(line), f));
	fclose(f);
	end = strrchr(line, ')');
	CHECK(end);
	return end[2];
}

#endif
