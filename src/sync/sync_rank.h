/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_rank.h - what a thread holds, and whether it may wait for one more lock. Private to
 * sync; test builds.
 *
 * A thread says what it is about to wait for (want), that it has it (got), that it gives it back
 * (drop); @at is the start of a range, else 0. One that waits for a condition must hold the mutex
 * (waits).
 */
#ifndef CLO_SYNC_SYNC_RANK_H
#define CLO_SYNC_SYNC_RANK_H

#include "sync/sync.h"

#ifdef CLO_TEST
#define CLO_HELD_MAX 32U

struct clo_held {
	const void *lock;
	struct clo_lock_id id;
	uint64_t at; /* start of a range; else 0 */
};

struct clo_held_list {
	uint32_t count;
	int32_t rcu_depth;
	struct clo_held held[CLO_HELD_MAX];
};

/* Provided by each build: the list of the calling thread, and the end of the run or the program. */
struct clo_held_list *clo_rank_self(void);
_Noreturn void clo_rank_die(const char *text);

#ifdef CLO_SYNC_EXPLORE /* the threads build's inline locks need them in its header */
void clo_rank_want(const void *lock, struct clo_lock_id id, uint64_t at);
void clo_rank_got(const void *lock, struct clo_lock_id id, uint64_t at);
void clo_rank_drop(const void *lock, struct clo_lock_id id, uint64_t at);
void clo_rank_waits(const void *lock, struct clo_lock_id id);
void clo_rcu_nest(int by);
void clo_rcu_outside(const char *what);
#endif
#endif

#endif
