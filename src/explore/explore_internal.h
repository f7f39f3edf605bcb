/* SPDX-License-Identifier: Apache-2.0 */
/* explore/explore_internal.h - shared by the files of module explore. */
#ifndef CLO_EXPLORE_INTERNAL_H
#define CLO_EXPLORE_INTERNAL_H

#include "explore.h"

/*
 * Objects by address: which threads read and wrote them, in all runs so far. Two threads and a
 * write: shared. Memory of the C library: the heap of the engine belongs to the run.
 */
struct explore_object {
	uintptr_t addr;
	uint64_t readers, writers; /* bit per thread */
};
struct explore_objects {
	struct explore_object *table; /* open addressing, a power of two */
	size_t size, used;
	uint32_t shared;
	bool failed; /* no memory: every operation counts as shared */
};
int explore_objects_init(struct explore_objects *o);
void explore_objects_free(struct explore_objects *o);
void explore_objects_note(struct explore_objects *o, uint32_t thread,
			  const struct clo_sched_op *op);
/* A pointer to a block was read, or a block freed. use: is it worth a preemption behind it? */
bool explore_objects_use(struct explore_objects *o, uint32_t thread, const void *block);
void explore_objects_freed(struct explore_objects *o, uint32_t thread, const void *block);
/* Is it worth a preemption before @op of @thread? */
bool explore_objects_shared(const struct explore_objects *o, const struct clo_sched_op *op);

/* What the scheduler does when nothing says otherwise. */
uint32_t explore_default(const struct clo_sched_choice *c);
/* The same scheduler for a search and for its replay: only then a schedule's steps are the same. */
struct clo_sched_config explore_sched(const struct clo_explore_config *cfg);

/* A run that follows a schedule. */
struct explore_replay {
	const struct clo_explore_switch *schedule;
	uint32_t count, at;
};
uint32_t explore_replay_choose(struct explore_replay *r, const struct clo_sched_choice *c);

#endif
