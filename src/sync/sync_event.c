/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_event.c - sleeping until something that is no lock has changed. See sync.h.
 *
 * No wake-up is lost. The waiter announces itself [1], then reads the number of wake-ups [2] and
 * the condition [3]; the waker changes the condition [4], then looks for waiters [5] and counts
 * [6]. All are seq_cst. If 5 misses the waiter, then 4 < 5 < 1 < 3: the condition is seen. Else 6
 * follows, and either 2 < 6, and the sleep, which is one step with its look at the number, ends or
 * does not begin; or 6 < 2, then 4 < 6 < 2 < 3.
 */
#include "sync/sync.h"

uint32_t clo_event_prepare(struct clo_event *e)
{
	clo_a32_add(&e->waiters, 1);
	return clo_a32_get_sc(&e->wakes);
}

void clo_event_done(struct clo_event *e)
{
	clo_a32_sub(&e->waiters, 1);
}

void clo_event_wake(struct clo_event *e)
{
	if (clo_a32_get_sc(&e->waiters) == 0)
		return;
	clo_a32_add(&e->wakes, 1);
	clo_event_wake_sleepers(e);
}
