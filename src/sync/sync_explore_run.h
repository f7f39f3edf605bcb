/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_explore_run.h - the state of a run. Private to sync, explorer build.
 */
#ifndef CLO_SYNC_SYNC_EXPLORE_RUN_H
#define CLO_SYNC_SYNC_EXPLORE_RUN_H

#include "sync/sync.h"
#include "sync/sync_fiber.h"
#include "sync/sync_rank.h"

#include <setjmp.h>

#define CLO_NAME_BYTES 16U

struct clo_task {
	struct clo_fiber fiber;
	char name[CLO_NAME_BYTES];
	void *(*fn)(void *arg);
	void *arg;
	bool finished;
	bool daemon;            /* "rcu": the run does not wait for it */
	struct clo_sched_op op; /* what it will do next */
	struct clo_held_list held;
	uint64_t rcu_since; /* the grace period that its outermost read section began in */
	uint64_t rcu_off; /* bit per section that it is in, 0 the innermost: left out, see sites */
	uint64_t grace;   /* RCU_WAIT: sections older than this have to end. RCU_BARRIER: calls */
	/* COND_WAKE: */
	bool signaled;
	bool woke;         /* by itself: its time was over, or (no deadline) for no reason */
	uint64_t deadline; /* 0: none */
	/* RELAX, see sync_explore_run.c: */
	uint64_t progress;    /* steps of its own that are progress */
	uint64_t relax_seen;  /* progress of the others when it last came out of clo_relax() */
	uint64_t spin_change; /* run.changes then */
	uint32_t spins;       /* times it came out since the last change */
};

/* Of the run before, whose thread had the same number. */
void clo_failure_forget(uint32_t thread);

struct clo_run {
	bool active;
	uint32_t serial;       /* of this run; never 0 */
	struct clo_task *self; /* who runs now; NULL: the scheduler, or no run */
	struct clo_fiber scheduler;
	const struct clo_sched_config *config;
	struct clo_sched_result *result;
	uint32_t quiet;
	uint64_t now;      /* ns */
	uint64_t progress; /* steps that a spinning thread may have waited for */
	uint64_t changes;  /* of them those that changed an atomic, or may have changed the world */
	uint64_t epoch;    /* number of grace periods begun */
	struct clo_rcu_head *defer_first;
	struct clo_rcu_head **defer_last;
	uint64_t defer_given;
	uint64_t defer_made;
	struct clo_task *rcu;
	/* The step that is being made. */
	struct clo_sched_step step;
	struct clo_sched_note notes[CLO_SCHED_NOTES];
	bool ended;
	jmp_buf crash; /* where the scheduler goes on when it was itself that crashed */
	uint32_t task_count;
	struct clo_task task[CLO_SCHED_THREADS];
};

extern struct clo_run clo_run;

/*
 * The scheduling point before an operation: returns when the calling thread may make it. False:
 * there is no thread to schedule (no run, or the scheduler itself): do it at once, and do not wait.
 */
bool clo_run_point(struct clo_sched_op op);
/* What came of it. */
void clo_run_changed(bool changed, uint64_t old, uint64_t value);
void clo_run_failed(void);
/* A step that others may spin for, although no atomic changed: a lock given back, a wake-up. */
void clo_run_progress(void);
void clo_run_world_changed(void);
/* The run ends with FAULT and this text; outside of a run the program does. */
_Noreturn void clo_run_fault(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* From here to the end of the run a crash is its end; sync_explore_crash.c. */
void clo_run_crash_begin(void);
void clo_run_crash_end(void);
/* The run has ended; where the scheduler goes when it was itself that crashed. */
_Noreturn void clo_run_crashed(const char *text);
/* A new thread; NULL when there are too many or no memory. */
struct clo_task *clo_run_task(void *(*fn)(void *arg), void *arg, const char *name);
/* True when no thread is in a read section older than @grace. */
bool clo_run_grace_over(uint64_t grace);
bool clo_run_can(const struct clo_task *t);
/* It waits for a condition, and nothing has woken it yet. */
bool clo_run_sleeps(const struct clo_task *t);
/* Now it wakes by itself. */
void clo_run_woke(struct clo_task *t);
/* Fill result->report: who waits for what. */
void clo_run_report(void);
static inline uint32_t clo_run_id(const struct clo_task *t)
{
	return (uint32_t)(t - clo_run.task);
}

#endif
