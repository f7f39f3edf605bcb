/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_states.c - the states of S-EPT entries and of TDs, as data. tdx_leaves.c has what
 * leads from one to another.
 */
#include "trust/tdx/tdx_tables.h"

#define LEAF    TDX_S_LEAF
#define TRACK   (TDX_S_LEAF | TDX_S_TRACK)
#define PENDING (TDX_S_LEAF | TDX_S_PENDING)

#define R_X 5
#define RWX 7

/* clang-format off */
const struct tdx_state_info tdx_states[TDX_STATE_COUNT + 1] = {
	[TDX_FREE] = { "FREE", "FRE", 0x0e, 0, 0, 0 },
	[TDX_REMOVED] = { "REMOVED", "REM", 0x0c, 5, 0, 0 },
	[TDX_NL_MAPPED] = { "NL_MAPPED", "NLM", 0x00, 132, RWX, TDX_S_TRACK },
	[TDX_NL_BLOCKED] = { "NL_BLOCKED", "NLB", 0x08, 129, 0, TDX_S_TRACK | TDX_S_BLOCKED },
	[TDX_MAPPED] = { "MAPPED", "MAP", 0x60, 4, RWX, TRACK | TDX_S_GUEST },
	[TDX_BLOCKED] = { "BLOCKED", "BLK", 0x68, 1, 0, TRACK | TDX_S_BLOCKED },
	[TDX_BLOCKEDW] = { "BLOCKEDW", "BW", 0x64, 8, R_X,
		TRACK | TDX_S_BLOCKEDW | TDX_S_GUEST },
	/* The only state that needs no tracking while a translation may be cached: README.md. */
	[TDX_EXPORTED_BLOCKEDW] = { "EXPORTED_BLOCKEDW", "EBW", 0x66, 9, R_X,
		LEAF | TDX_S_BLOCKEDW | TDX_S_EXPORTED | TDX_S_GUEST },
	[TDX_EXPORTED_DIRTY] = { "EXPORTED_DIRTY", "ED", 0x63, 11, RWX,
		TRACK | TDX_S_EXPORTED | TDX_S_DIRTY | TDX_S_GUEST },
	[TDX_EXPORTED_DIRTY_BLOCKEDW] = { "EXPORTED_DIRTY_BLOCKEDW", "EDBW", 0x67, 12, R_X,
		TRACK | TDX_S_BLOCKEDW | TDX_S_EXPORTED | TDX_S_DIRTY | TDX_S_GUEST },
	[TDX_PENDING] = { "PENDING", "P", 0x70, 2, 0, PENDING | TDX_S_TRACK | TDX_S_ACCEPT },
	[TDX_PENDING_BLOCKED] = { "PENDING_BLOCKED", "PB", 0x78, 3, 0,
		PENDING | TDX_S_TRACK | TDX_S_BLOCKED },
	[TDX_PENDING_BLOCKEDW] = { "PENDING_BLOCKEDW", "PBW", 0x74, 16, 0,
		PENDING | TDX_S_TRACK | TDX_S_BLOCKEDW },
	[TDX_PENDING_EXPORTED_BLOCKEDW] = { "PENDING_EXPORTED_BLOCKEDW", "PEBW", 0x76, 17, 0,
		PENDING | TDX_S_BLOCKEDW | TDX_S_EXPORTED },
	[TDX_PENDING_EXPORTED_DIRTY] = { "PENDING_EXPORTED_DIRTY", "PED", 0x73, 19, 0,
		PENDING | TDX_S_TRACK | TDX_S_ACCEPT | TDX_S_EXPORTED | TDX_S_DIRTY },
	[TDX_PENDING_EXPORTED_DIRTY_BLOCKEDW] = { "PENDING_EXPORTED_DIRTY_BLOCKEDW", "PEDBW", 0x77,
		20, 0, PENDING | TDX_S_TRACK | TDX_S_BLOCKEDW | TDX_S_EXPORTED | TDX_S_DIRTY },
	[TDX_STATE_COUNT] = { "?", "?", 0x7f, 0, 0, 0 },
};

const struct tdx_op_info tdx_ops[TDX_OP_COUNT] = {
	[TDX_OP_UNINITIALIZED] = { "UNINITIALIZED", false, false },
	[TDX_OP_INITIALIZED] = { "INITIALIZED", false, false },
	[TDX_OP_RUNNABLE] = { "RUNNABLE", true, false },
	[TDX_OP_LIVE_EXPORT] = { "LIVE_EXPORT", true, false },
	[TDX_OP_PAUSED_EXPORT] = { "PAUSED_EXPORT", false, false },
	[TDX_OP_POST_EXPORT] = { "POST_EXPORT", false, false },
	[TDX_OP_MEMORY_IMPORT] = { "MEMORY_IMPORT", false, true },
	[TDX_OP_STATE_IMPORT] = { "STATE_IMPORT", false, true },
	[TDX_OP_POST_IMPORT] = { "POST_IMPORT", false, true },
	[TDX_OP_LIVE_IMPORT] = { "LIVE_IMPORT", true, true },
	[TDX_OP_FAILED_IMPORT] = { "FAILED_IMPORT", false, false },
};
/* clang-format on */

const char *tdx_state_access(enum tdx_state s)
{
	uint16_t flags = tdx_states[s].flags;

	if (flags & TDX_S_ACCEPT)
		return "#VE, or an exit where PENDING_VE_DISABLE is set";
	if (!(flags & TDX_S_LEAF) && tdx_states[s].rwx)
		return "the walk goes on";
	if (!(flags & TDX_S_GUEST))
		return "EPT violation, exit";
	return flags & TDX_S_BLOCKEDW ? "reads; a write is an EPT violation, exit"
				      : "reads and writes";
}

const char *tdx_life_name(enum tdx_life l)
{
	static const char *const names[] = { "HKID_ASSIGNED", "KEYS_CONFIGURED", "BLOCKED",
					     "TEARDOWN" };

	return (unsigned)l < CLO_ARRAY_SIZE(names) ? names[l] : "?";
}

const char *tdx_level_name(unsigned level)
{
	static const char *const names[] = { "4K", "2M", "1G", "512G", "256T", "root" };

	return level < CLO_ARRAY_SIZE(names) ? names[level] : "?";
}
