/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_ranks.h - the order of all locks. Reached through sync.h; the reasons are in
 * docs/design/locking.md.
 */
#ifndef CLO_SYNC_SYNC_RANKS_H
#define CLO_SYNC_SYNC_RANKS_H

#include "base/base.h"

/* A thread may wait only for a lock of a higher rank than all it holds: checked in test builds. */
enum clo_rank {
	CLO_RANK_HOST,  /* list of VMs of a host */
	CLO_RANK_VM,    /* lists of vCPUs, files and listeners of a VM */
	CLO_RANK_GFNS,  /* gfn ranges of a VM that owns its attribute */
	CLO_RANK_SLOTS, /* memslots of a VM (rwlock) */
	CLO_RANK_RANGE, /* index ranges of guest_memfds; several may be held, in address order */
	CLO_RANK_VIEW,  /* host views of a gmem */
	CLO_RANK_ATTR,  /* writers of an attribute store */
	CLO_RANK_TABLE, /* map of a guest_memfd's folios */
	CLO_RANK_PAGE,  /* windows of the frame pool */
	CLO_RANK_LEAF,  /* pin registry, counters; takes nothing else */
	CLO_RANK_COUNT
};

#endif
