/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_error.c - why the last call of a thread failed.
 */
#include "sync/sync.h"

#include <errno.h>

#ifdef CLO_SYNC_EXPLORE
#include "sync/sync_explore_run.h"

/* The threads of a run are fibers of one; the last is who is none of them. */
static struct clo_failure last[CLO_SCHED_THREADS + 1];

struct clo_failure *clo_failure(void)
{
	uint32_t self = clo_sched_self();

	return &last[self < CLO_SCHED_THREADS ? self : CLO_SCHED_THREADS];
}

void clo_failure_forget(uint32_t thread)
{
	last[thread] = (struct clo_failure){ 0 };
}
#else
static _Thread_local struct clo_failure last;

struct clo_failure *clo_failure(void)
{
	return &last;
}
#endif

#ifdef CLO_TEST
int clo_failure_take(void)
{
	int error = clo_failure()->error;

	*clo_failure() = (struct clo_failure){ 0 };
	return error;
}
#endif

int clo_fail(int error, uint32_t reason, const char *what)
{
	switch (error) {
	case -EINVAL:
	case -E2BIG:
	case -EEXIST:
	case -ENOMEM:
		*clo_failure() = (struct clo_failure){ error, reason, what };
		break;
	default:
		break;
	}
	return error;
}

int clo_fail_heap(const char *what)
{
	return clo_fail(-ENOMEM, CLO_REASON_HEAP, what);
}

int clo_fail_errno(uint32_t reason, const char *what)
{
	return clo_fail(-errno, reason, what);
}
