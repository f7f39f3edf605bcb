/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_lock.c - the module's try-locks. A failed try of the host leaves its wish (HP), of
 * which only guests take notice; the next success of a host takes it away.
 *
 * The counter never shows a sharer that did not get the lock, as the real module's may for a
 * moment: which of two tries wins can differ, what a winner may rely on does not.
 */
#include "trust/tdx/tdx_internal.h"

#define EX    1U
#define HP    2U
#define SHARE 4U

bool tdx_lock_try(struct tdx_lock *l, enum tdx_mode mode, bool priority)
{
	uint32_t seen = clo_a32_get(&l->word);
	uint32_t next;

	do {
		if (seen & EX || (mode == TDX_EX && seen >= SHARE)) {
			if (priority)
				clo_a32_or(&l->word, HP);
			return false;
		}
		next = (seen & ~HP) + (mode == TDX_EX ? EX : SHARE);
	} while (!clo_a32_cas(&l->word, &seen, next));
	return true;
}

void tdx_lock_drop(struct tdx_lock *l, enum tdx_mode mode)
{
	if (mode == TDX_EX)
		clo_a32_and(&l->word, ~EX);
	else if (mode == TDX_SH)
		clo_a32_sub(&l->word, SHARE);
}

bool tdx_lock_promote(struct tdx_lock *l)
{
	uint32_t seen = clo_a32_get(&l->word);

	do {
		if (seen / SHARE != 1) {
			clo_a32_or(&l->word, HP);
			return false;
		}
	} while (!clo_a32_cas(&l->word, &seen, EX));
	return true;
}
