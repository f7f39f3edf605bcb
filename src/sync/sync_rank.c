/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_rank.c - lock ranks, checked at each acquisition in test builds.
 *
 * A thread may wait only for a lock of a higher rank than all it holds, so no cycle of waits can
 * form. Of rank RANGE it may hold several, taken in the order of (address, start of the range).
 * What breaks the rule is a bug in every run, not only in the one where it deadlocks; so it ends
 * the program, or in the explorer the run.
 */
#include "sync/sync_rank.h"

#include <stdio.h>

#ifdef CLO_TEST
/* clang-format off */
static const char *const rank_name[CLO_RANK_COUNT] = {
	[CLO_RANK_HOST]  = "HOST",
	[CLO_RANK_VM]    = "VM",
	[CLO_RANK_GFNS]  = "GFNS",
	[CLO_RANK_SLOTS] = "SLOTS",
	[CLO_RANK_RANGE] = "RANGE",
	[CLO_RANK_VIEW]  = "VIEW",
	[CLO_RANK_ATTR]  = "ATTR",
	[CLO_RANK_TABLE] = "TABLE",
	[CLO_RANK_PAGE]  = "PAGE",
	[CLO_RANK_LEAF]  = "LEAF",
};
/* clang-format on */

static const char *name_of_rank(struct clo_lock_id id)
{
	return (unsigned)id.rank < CLO_RANK_COUNT ? rank_name[id.rank] : "?";
}

static const char *name_of(struct clo_lock_id id)
{
	return id.name ? id.name : "?";
}

static _Noreturn void violation(const char *what, struct clo_lock_id id, const struct clo_held *h)
{
	char text[256];

	if (h)
		snprintf(text, sizeof(text), "%s \"%s\" (rank %s) while holding \"%s\" (rank %s)",
			 what, name_of(id), name_of_rank(id), name_of(h->id), name_of_rank(h->id));
	else
		snprintf(text, sizeof(text), "%s \"%s\" (rank %s)", what, name_of(id),
			 name_of_rank(id));
	clo_rank_die(text);
}

static bool is_after(const struct clo_held *h, const void *lock, struct clo_lock_id id, uint64_t at)
{
	if (h->id.rank != id.rank)
		return h->id.rank < id.rank;
	if (id.rank != CLO_RANK_RANGE)
		return false;
	return h->lock == lock ? h->at < at : (uintptr_t)h->lock < (uintptr_t)lock;
}

static uint32_t over_grace;
static uint32_t in_section;

/* Add the rank to one of the two sets. seq_cst: of two that add at once, one sees the other. */
static bool is_in_both(uint32_t *set, const uint32_t *other, struct clo_lock_id id)
{
	uint32_t bit = 1U << id.rank;

	if (!(__atomic_load_n(set, __ATOMIC_RELAXED) & bit))
		__atomic_fetch_or(set, bit, __ATOMIC_SEQ_CST);
	return __atomic_load_n(other, __ATOMIC_SEQ_CST) & bit;
}

void clo_rank_want(const void *lock, struct clo_lock_id id, uint64_t at)
{
	const struct clo_held_list *l = clo_rank_self();

	if (l->rcu_depth > 0 && is_in_both(&in_section, &over_grace, id))
		violation("a grace period is waited for under this rank: wants", id, NULL);

	for (unsigned i = 0; i < l->count; i++)
		if (!is_after(&l->held[i], lock, id, at))
			violation("out of order: wants", id, &l->held[i]);
}

void clo_rank_got(const void *lock, struct clo_lock_id id, uint64_t at)
{
	struct clo_held_list *l = clo_rank_self();

	if (l->count == CLO_HELD_MAX)
		violation("too many locks at once: has", id, &l->held[l->count - 1]);
	l->held[l->count++] = (struct clo_held){ .lock = lock, .id = id, .at = at };
}

void clo_rank_drop(const void *lock, struct clo_lock_id id, uint64_t at)
{
	struct clo_held_list *l = clo_rank_self();

	/* From the end: locks are mostly released in the reverse order. */
	for (unsigned i = l->count; i-- > 0;) {
		if (l->held[i].lock != lock || l->held[i].at != at)
			continue;
		for (l->count--; i < l->count; i++)
			l->held[i] = l->held[i + 1];
		return;
	}
	violation("not held by this thread: releases", id, NULL);
}

void clo_rank_waits(const void *lock, struct clo_lock_id id)
{
	const struct clo_held_list *l = clo_rank_self();

	for (unsigned i = 0; i < l->count; i++)
		if (l->held[i].lock == lock)
			return;
	violation("not held by this thread: waits with", id, NULL);
}

void clo_rcu_nest(int by)
{
	struct clo_held_list *l = clo_rank_self();

	l->rcu_depth += by;
	if (l->rcu_depth < 0)
		clo_rank_die("clo_rcu_read_unlock() without a read section");
}

void clo_rcu_outside(const char *what)
{
	const struct clo_held_list *l = clo_rank_self();
	char text[128];

	for (unsigned i = 0; i < l->count; i++)
		if (is_in_both(&over_grace, &in_section, l->held[i].id))
			violation("read sections wait for this rank: has", l->held[i].id, NULL);
	if (l->rcu_depth == 0)
		return;
	snprintf(text, sizeof(text), "%s() in a read section would wait for itself", what);
	clo_rank_die(text);
}
#endif
