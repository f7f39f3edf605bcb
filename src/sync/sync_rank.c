/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_rank.c - lock ranks, checked at each acquisition in test builds of threads.
 *
 * A thread may wait only for a lock of a higher rank than all it holds, so no cycle of waits can
 * form. Of rank RANGE it may hold several, taken in the order of (address, start of the range).
 * What breaks the rule is a bug in every run, not only in the one where it deadlocks; so it ends
 * the program.
 */
#include "sync/sync.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef CLO_TEST
#define HELD_MAX 64U

struct held {
	const void *lock;
	struct clo_lock_id id;
	uint64_t at;
};

static _Thread_local struct held held[HELD_MAX];
static _Thread_local unsigned held_count;
static _Thread_local int rcu_depth;

static const char *const rank_name[CLO_RANK_COUNT] = {
	[CLO_RANK_HOST] = "HOST",   [CLO_RANK_VM] = "VM",     [CLO_RANK_SLOTS] = "SLOTS",
	[CLO_RANK_RANGE] = "RANGE", [CLO_RANK_VIEW] = "VIEW", [CLO_RANK_ATTR] = "ATTR",
	[CLO_RANK_TABLE] = "TABLE", [CLO_RANK_PAGE] = "PAGE", [CLO_RANK_LEAF] = "LEAF",
};

static const char *name_of_rank(struct clo_lock_id id)
{
	return (unsigned)id.rank < CLO_RANK_COUNT ? rank_name[id.rank] : "?";
}

static _Noreturn void violation(const char *what, struct clo_lock_id id, const struct held *h)
{
	fprintf(stderr, "sync: %s \"%s\" (rank %s)", what, id.name ? id.name : "?",
		name_of_rank(id));
	if (h)
		fprintf(stderr, " while holding \"%s\" (rank %s)", h->id.name ? h->id.name : "?",
			name_of_rank(h->id));
	fputc('\n', stderr);
	abort();
}

static bool is_after(const struct held *h, const void *lock, struct clo_lock_id id, uint64_t at)
{
	if (h->id.rank != id.rank)
		return h->id.rank < id.rank;
	if (id.rank != CLO_RANK_RANGE)
		return false;
	return h->lock == lock ? h->at < at : (uintptr_t)h->lock < (uintptr_t)lock;
}

void clo_rank_want(const void *lock, struct clo_lock_id id, uint64_t at)
{
	for (unsigned i = 0; i < held_count; i++)
		if (!is_after(&held[i], lock, id, at))
			violation("out of order: wants", id, &held[i]);
}

void clo_rank_got(const void *lock, struct clo_lock_id id, uint64_t at)
{
	if (held_count == HELD_MAX)
		violation("too many locks at once: has", id, &held[HELD_MAX - 1]);
	held[held_count++] = (struct held){ .lock = lock, .id = id, .at = at };
}

void clo_rank_drop(const void *lock, struct clo_lock_id id, uint64_t at)
{
	/* From the end: locks are mostly released in the reverse order. */
	for (unsigned i = held_count; i-- > 0;) {
		if (held[i].lock != lock || held[i].at != at)
			continue;
		for (held_count--; i < held_count; i++)
			held[i] = held[i + 1];
		return;
	}
	violation("not held by this thread: releases", id, NULL);
}

void clo_rank_waits(const void *lock, struct clo_lock_id id)
{
	for (unsigned i = 0; i < held_count; i++)
		if (held[i].lock == lock)
			return;
	violation("not held by this thread: waits with", id, NULL);
}

void clo_rcu_nest(int by)
{
	rcu_depth += by;
	if (rcu_depth < 0) {
		fputs("sync: clo_rcu_read_unlock() without a read section\n", stderr);
		abort();
	}
}

void clo_rcu_outside(const char *what)
{
	if (rcu_depth == 0)
		return;
	fprintf(stderr, "sync: %s() in a read section would wait for itself\n", what);
	abort();
}
#endif
