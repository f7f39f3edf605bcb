/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explore/explore.h - every interleaving of a small program over the real engine, with a bounded
 * number of preemptions.
 *
 * Depth-first over the scheduler of sync (sync_sched.h): a run is repeated from its start with
 * other choices until none is left. Switching away from a thread that could go on is a preemption
 * and counts; a switch because a thread waits, spins or has ended is free. Preemptions are tried
 * only before operations on objects that two threads use and one writes (learned while exploring;
 * the search starts again when more are found), and before clo_sync_point(): elsewhere they lead to
 * the same states.
 *
 * After each step the invariants are checked (clo_check_host), at the end of a run the program's
 * own judge. Explorer build only. One exploration at a time.
 */
#ifndef CLO_EXPLORE_EXPLORE_H
#define CLO_EXPLORE_EXPLORE_H

#include "base/base.h"
#include "sync/sync.h"

#include <stdio.h>

#define CLO_EXPLORE_WHY 256

struct clo_explore_program {
	void *arg;
	/*
	 * The main thread of a run: builds the state (clo_sched_quiet), creates the threads, joins
	 * them, and tears down (quiet again).
	 */
	void (*run)(void *arg);
	/* After each step, without waiting: 0, or -EUCLEAN with *@invariant ("I5") and @why. */
	int (*check)(void *arg, const char **invariant, char *why, size_t size);
	/* After a run that ended: the same. Either may be NULL. */
	int (*judge)(void *arg, const char **invariant, char *why, size_t size);
};

struct clo_explore_config {
	unsigned preemptions; /* bound */
	uint64_t max_runs;    /* 0: no limit */
	uint64_t max_steps;   /* of a run; 0: 20000. More is a hang (I7) */
	bool all_points; /* preempt before every operation: slow, for distrust of the reduction */
	/* After each run, @preemptions the bound; may be NULL. Nonzero ends the search: INCOMPLETE.
	 */
	int (*progress)(void *arg, uint64_t runs, unsigned preemptions);
	void *progress_arg;
};

enum clo_explore_verdict {
	CLO_EXPLORE_HOLDS, /* all interleavings within the bound, but see result.unfair */
	CLO_EXPLORE_VIOLATED,
	CLO_EXPLORE_INCOMPLETE, /* the limit of runs, or progress, ended the search */
};

/* A choice that is not the default one. A schedule is a list of them: short, and a replay id. */
struct clo_explore_switch {
	uint32_t step;
	uint32_t thread;
};

struct clo_explore_result {
	enum clo_explore_verdict verdict;
	uint64_t runs, steps, longest;
	/*
	 * Continuations left out because they are unfair: a thread that could go on was passed over
	 * by threads that spin, again and again. Of the last bound, which has those before in it.
	 */
	uint64_t unfair;
	unsigned
		bounds_done; /* n: all interleavings with at most n - 1 preemptions were explored */
	bool exhausted;      /* more preemptions would bring nothing */
	uint32_t objects;    /* shared objects found */
	unsigned preemptions;  /* of the violation; else the bound */
	const char *invariant; /* violated one, or "" */
	char why[CLO_EXPLORE_WHY];
	char report[CLO_SCHED_REPORT];       /* scheduler's words on deadlock, livelock, fault */
	struct clo_explore_switch *schedule; /* of the violation; clo_explore_release() */
	uint32_t schedule_count;
};

/* -ENOMEM, -EINVAL (no run function). 0: the result is valid, and to be released. */
int clo_explore(const struct clo_explore_program *p, const struct clo_explore_config *cfg,
		struct clo_explore_result *out) CLO_MUST_USE;
void clo_explore_release(struct clo_explore_result *r);

/*
 * Run one schedule again and print it to @out in columns, a thread each: notes of the engine and of
 * the program, switches; with @all_steps every operation. 0, or -ENOMEM.
 */
int clo_explore_print(const struct clo_explore_program *p, const struct clo_explore_config *cfg,
		      const struct clo_explore_switch *schedule, uint32_t count, bool all_steps,
		      FILE *out) CLO_MUST_USE;

/* "41:2,57:1" and back. parse: -EINVAL, -ENOMEM; *@schedule by malloc, free() it. */
void clo_explore_format(const struct clo_explore_result *r, FILE *out);
int clo_explore_parse(const char *text, struct clo_explore_switch **schedule,
		      uint32_t *count) CLO_MUST_USE;

#endif
