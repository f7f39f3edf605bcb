/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/base.c - random numbers, the clock, and the break switches.
 */
#include "base/base.h"

#include <string.h>
#include <time.h>

uint64_t clo_rand_next(struct clo_rand *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

uint64_t clo_rand_below(struct clo_rand *r, uint64_t bound)
{
	/* The values below 2^64 mod bound would come up once more often than the others. */
	uint64_t skip = (0 - bound) % bound;
	uint64_t v;

	do {
		v = clo_rand_next(r);
	} while (v < skip);
	return v % bound;
}

#ifdef CLO_SYNC_EXPLORE
static uint64_t fake_now;

void clo_clock_fake(uint64_t ns)
{
	fake_now = ns;
}
#endif

uint64_t clo_now_ns(void)
{
	struct timespec ts;

#ifdef CLO_SYNC_EXPLORE
	if (fake_now)
		return fake_now;
#endif
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

struct break_text {
	const char *name;
	const char *help;
};

static const struct break_text break_text[CLO_BREAK_COUNT] = {
	[CLO_BREAK_NONE] = { "none", "change nothing" },
	[CLO_BREAK_INVAL_SEQ] = { "inval-seq", "fault: map without asking whether an invalidation "
					       "came between" },
	[CLO_BREAK_FROZEN_WAIT] = { "frozen-wait", "zap: pass over a frozen entry" },
	[CLO_BREAK_TLB_FLUSH] = { "tlb-flush", "zap: no shoot-down" },
	[CLO_BREAK_TLB_WAIT] = { "tlb-wait", "shoot-down: do not wait for vCPUs in guest mode" },
	[CLO_BREAK_PAGE_RMAP] = { "page-rmap", "map: let a frame have two guests or two gfns" },
	[CLO_BREAK_PIN_CHECK] = { "pin-check", "conversion: convert pages that are pinned" },
	[CLO_BREAK_VIEW_ZAP] = { "view-zap", "conversion: leave the host view mapped" },
	[CLO_BREAK_VIEW_OWNED] = { "view-owned",
				   "host view REMAP: map over what the VMM has put there" },
	[CLO_BREAK_ZERO] = { "zero", "allocation, conversion: do not zero what must be zeroed" },
	[CLO_BREAK_FREE_BEFORE_ZAP] = { "free-before-zap",
					"punch hole: free frames that are still mapped" },
	[CLO_BREAK_UNDO] = { "undo", "conversion: no roll-back of a failed step" },
	[CLO_BREAK_MISMATCH_RETRY] = { "mismatch-retry",
				       "fault: retry what only the VMM can resolve" },
	[CLO_BREAK_PRESERVE] = { "preserve", "conversion: clear what the policy preserves" },
	[CLO_BREAK_RANGE_LOCK] = { "range-lock", "conversion: let two of them overlap" },
	[CLO_BREAK_SLOT_SYNC] = { "slot-sync", "slot deletion: do not wait for readers" },
	[CLO_BREAK_PREPARE_LOCK] = { "prepare-lock", "folio preparation: zero without the lock" },
	[CLO_BREAK_CHARGE] = { "charge", "allocation: charge the host in two steps" },
	[CLO_BREAK_FLUSH_ENDED] = { "flush-ended",
				    "shoot-down: look at removals that have ended only" },
	[CLO_BREAK_PREPARE_LATE] = { "prepare-late",
				     "fault: prepare though a change of the page is under way" },
	[CLO_BREAK_INVALIDATE_HOOK] = { "invalidate-hook", "hole, conversion: frames are not taken "
							   "back from the hooks" },
	[CLO_BREAK_ZAP_CLEAR] = { "zap-clear", "zap: clear the entry before the reverse map" },
	[CLO_BREAK_TDX_TRACK] = { "tdx-track", "TDX: a blocked page may go without tracking" },
	[CLO_BREAK_TDX_FLUSH] = { "tdx-flush", "TDX: a new epoch does not flush a vCPU" },
	[CLO_BREAK_LAST_PIN] = { "last-pin", "close: decide by an old look which frames are lost" },
	[CLO_BREAK_WINDOW] = { "window", "window: give it back without the second look" },
	[CLO_BREAK_WINDOW_DEAD] = { "window-dead",
				    "fault: trust a frame of a window that has gone" },
	[CLO_BREAK_TOUCH_WAIT] = { "touch-wait", "zap: do not wait for uses of the VMM's memory" },
	[CLO_BREAK_VIEW_GRANT] = { "view-grant", "host touch: unlock the folio, then map it" },
	[CLO_BREAK_VIEW_OPEN] = { "view-open", "host view: rights before it is registered" },
	[CLO_BREAK_VIEW_MINOR] = { "view-minor", "host view: register for missing pages only" },
	[CLO_BREAK_VIEW_LINK] = { "view-link", "host view: rights before the engine knows it" },
	[CLO_BREAK_VIEW_DETACH] = { "view-detach", "host view: forget it before it is emptied" },
	[CLO_BREAK_VIEW_REFUSE] = { "view-refuse", "host view: poison by an old answer" },
	[CLO_BREAK_VIEW_WAKE] = { "view-wake", "host view: leave asleep who got no answer" },
	[CLO_BREAK_VIEW_CUT] = { "view-cut", "host view: read events while addresses are used" },
	[CLO_BREAK_VIEW_MARK] = { "view-mark",
				  "host view: zap, and do not look whether it has moved" },
	[CLO_BREAK_EVENT_LOOK] = { "event-look", "sleep: no look after the announcement" },
	[CLO_BREAK_INVAL_1G] = { "inval-1g", "fault: a 1G leaf asks only about its own 2M" },
	[CLO_BREAK_GRANT_LOOK] = { "grant-look", "host touch: map a page without a last look" },
	[CLO_BREAK_SPLIT_FILL] = { "split-fill",
				   "split: publish the page-table page before it is filled" },
};

const char *clo_break_name(enum clo_break which)
{
	return (unsigned)which < CLO_BREAK_COUNT ? break_text[which].name : NULL;
}

const char *clo_break_help(enum clo_break which)
{
	return (unsigned)which < CLO_BREAK_COUNT ? break_text[which].help : NULL;
}

enum clo_break clo_break_parse(const char *name)
{
	for (unsigned i = 0; name && i < CLO_BREAK_COUNT; i++)
		if (strcmp(break_text[i].name, name) == 0)
			return (enum clo_break)i;
	return CLO_BREAK_COUNT;
}

#ifdef CLO_TEST
static bool broken[CLO_BREAK_COUNT];

/* Atomic only so that a switch may be thrown while threads run: it orders nothing. */
void clo_break_set(enum clo_break which, bool on)
{
	if (which != CLO_BREAK_NONE && (unsigned)which < CLO_BREAK_COUNT)
		__atomic_store_n(&broken[which], on, __ATOMIC_RELAXED);
}

bool clo_broken(enum clo_break which)
{
	return (unsigned)which < CLO_BREAK_COUNT &&
	       __atomic_load_n(&broken[which], __ATOMIC_RELAXED);
}
#endif
