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

/*
 * The look for waiters is no choice point of the explorer: it would only let one in that announces
 * itself between change and look, and that one sees the change (4 < 1 < 3).
 */
static bool nobody_waits(const struct clo_event *e)
{
#ifdef CLO_SYNC_EXPLORE
	return e->waiters.v == 0;
#else
	return clo_a32_get_sc(&e->waiters) == 0;
#endif
}

void clo_event_wake(struct clo_event *e)
{
	if (nobody_waits(e))
		return;
	clo_a32_add(&e->wakes, 1);
	clo_event_wake_sleepers(e);
}

static bool is_over(bool (*done)(const void *arg), const void *arg, const struct clo_waiter *who)
{
	return done(arg) || (who && clo_a32_get_sc(&who->off));
}

void clo_event_await(struct clo_event *e, bool (*done)(const void *arg), const void *arg,
		     struct clo_waiter *who)
{
	for (int i = 0; i < CLO_WAIT_SPINS; i++) {
		if (is_over(done, arg, who))
			return;
		clo_relax();
	}
	/* Before the look at @off: who sets that looks here then. */
	if (who)
		clo_aptr_set_sc(&who->at, e);
	for (bool go = false; !go;) {
		uint32_t seen = clo_event_prepare(e);

		/* Again: what changed before the prepare woke nobody. */
		go = !clo_broken(CLO_BREAK_EVENT_LOOK) && is_over(done, arg, who);
		if (!go)
			clo_event_sleep(e, seen);
		clo_event_done(e);
	}
	if (who)
		clo_aptr_set(&who->at, NULL);
}

void clo_waiter_call_off(struct clo_waiter *w)
{
	struct clo_event *e;

	clo_a32_set_sc(&w->off, 1);
	e = clo_aptr_get_sc(&w->at);
	if (e)
		clo_event_wake(e);
}
