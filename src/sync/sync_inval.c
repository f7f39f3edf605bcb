/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_inval.c - the invalidation sequence. See sync.h for the protocol.
 *
 * Each word holds {seq, in_progress}. end() advances both with one addition, so no reader can see
 * the count drop without the sequence moving (KVM orders seq++ before count-- for the same reason).
 */
#include "sync/sync.h"

#define PROGRESS_ONE 1ULL
#define SEQ_ONE      (1ULL << 32)
#define PROGRESS(w)  ((uint32_t)(w))
#define BLOCK_SHIFT  9

static unsigned stripe_of(uint64_t block)
{
	return (unsigned)(block % CLO_INVAL_STRIPES);
}

static bool is_fine(struct clo_range r)
{
	return ((r.end - 1) >> BLOCK_SHIFT) - (r.start >> BLOCK_SHIFT) < CLO_INVAL_FINE;
}

/* Add @delta to every word that covers @r. */
static void bump(struct clo_inval *iv, struct clo_range r, uint64_t delta)
{
	if (r.start >= r.end)
		return;
	clo_a64_add(&iv->any, delta);
	if (!is_fine(r)) {
		clo_a64_add(&iv->all, delta);
		return;
	}
	for (uint64_t b = r.start >> BLOCK_SHIFT; b <= (r.end - 1) >> BLOCK_SHIFT; b++)
		clo_a64_add(&iv->stripe[stripe_of(b)], delta);
}

void clo_inval_begin(struct clo_inval *iv, struct clo_range r)
{
	bump(iv, r, PROGRESS_ONE);
}

void clo_inval_end(struct clo_inval *iv, struct clo_range r)
{
	bump(iv, r, SEQ_ONE - PROGRESS_ONE);
	clo_event_wake(&iv->ended);
}

struct clo_inval_snap clo_inval_snapshot(const struct clo_inval *iv, uint64_t index)
{
	struct clo_inval_snap s = {
		.any = clo_a64_get(&iv->any),
		.all = clo_a64_get(&iv->all),
		.stripe = clo_a64_get(&iv->stripe[stripe_of(index >> BLOCK_SHIFT)]),
	};

	return s;
}

bool clo_inval_retry(const struct clo_inval *iv, uint64_t index, struct clo_inval_snap snap)
{
	uint64_t all = clo_a64_get_sc(&iv->all);
	uint64_t stripe = clo_a64_get_sc(&iv->stripe[stripe_of(index >> BLOCK_SHIFT)]);

	return all != snap.all || stripe != snap.stripe || PROGRESS(all) || PROGRESS(stripe);
}

bool clo_inval_retry_any(const struct clo_inval *iv, struct clo_inval_snap snap)
{
	uint64_t any = clo_a64_get_sc(&iv->any);

	return any != snap.any || PROGRESS(any);
}

/* The last words as in retry(), seq_cst: who sleeps on it has announced itself before. */
bool clo_inval_busy(const struct clo_inval *iv, uint64_t index)
{
	return PROGRESS(clo_a64_get_sc(&iv->all)) ||
	       PROGRESS(clo_a64_get_sc(&iv->stripe[stripe_of(index >> BLOCK_SHIFT)]));
}

struct place {
	const struct clo_inval *iv;
	uint64_t index;
};

static bool is_quiet(const void *arg)
{
	const struct place *p = arg;

	return !clo_inval_busy(p->iv, p->index);
}

void clo_inval_wait(struct clo_inval *iv, uint64_t index, struct clo_waiter *who)
{
	clo_event_await(&iv->ended, is_quiet, &(struct place){ iv, index }, who);
}
