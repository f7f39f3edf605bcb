/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check/check.h - the invariants I1..I6 over the whole state of a host (docs/invariants.md). I7 is
 * the scheduler's: it finds deadlock and livelock. What the guests, the host and devices read (I3,
 * I4) is besides judged by the loads of a program; here only what the state shows.
 *
 * When: between two steps of the explorer, or when no other thread runs. No locks are taken. A page
 * that a change in progress may cover (invalidation begun, not ended) is judged only by what must
 * hold even then: no frame is free or another guest's while a vCPU can reach it, no private frame
 * is pinned or in a host view.
 */
#ifndef CLO_CHECK_CHECK_H
#define CLO_CHECK_CHECK_H

#include "base/base.h"
#include "vm/vm.h"

struct clo_check_fail {
	const char *invariant; /* "I1" */
	char text[200];        /* what is wrong, with gfn, pfn, VM id */
};

/* 0, or -EUCLEAN with the first violation in *@fail. */
int clo_check_host(struct clo_host *host, struct clo_check_fail *fail) CLO_MUST_USE;
/*
 * The same, and that the pool's counters are the sums over the frames of all open files: for when
 * no call of the engine is in progress, since within one they differ for a moment. -EUCLEAN as
 * above.
 */
int clo_check_idle(struct clo_host *host, struct clo_check_fail *fail) CLO_MUST_USE;

/* The i-th invariant's name and sentence; false past the end. */
bool clo_check_nth(unsigned i, const char **invariant, const char **sentence);

#endif
