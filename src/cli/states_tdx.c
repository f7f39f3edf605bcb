/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/states_tdx.c - the tables of the TDX module, for `cloister states`.
 */
#include "cli.h"

#include "trust/tdx/tdx.h"

#include <string.h>

static const char *next_name(unsigned next)
{
	switch (next) {
	case TDX_OF_CHILD:
		return "MAPPED or PENDING, as its 512 children";
	case TDX_OVER_CHILDREN:
		return "NL_MAPPED over 512 of the old, unblocked";
	default:
		return next < TDX_STATE_COUNT ? tdx_states[next].name : "-";
	}
}

void states_tdx(struct cli_table *t)
{
	static const char *const heads[] = { "state", "leaf", "next", "status", "must be" };

	cli_table_init(t, heads, 5);
	for (unsigned s = 0; s < TDX_STATE_COUNT; s++) {
		for (unsigned i = 0; i < tdx_leaf_count; i++) {
			const struct tdx_leaf *leaf = &tdx_leaves[i];
			unsigned next = tdx_leaf_next(leaf, (enum tdx_state)s);
			bool gate = leaf->gate && tdx_states[s].flags & TDX_S_TRACK;
			const char *cells[] = { tdx_states[s].name, leaf->name, next_name(next),
						next == TDX_REFUSED
							? tdx_leaf_refusal(leaf, (enum tdx_state)s)
							: "SUCCESS",
						next != TDX_REFUSED && gate ? "blocked, tracked"
									    : "" };

			/* Leaves that are not about an entry. */
			if (tdx_leaf_has_entry(leaf) || leaf->guest ||
			    leaf->args == TDX_ARGS_LIST || leaf->args == TDX_ARGS_CHUNK)
				cli_table_row(t, cells);
		}
	}
}

void states_tdx_state(struct cli_table *t)
{
	static const char *const heads[] = { "state", "short", "code", "shown",
					     "rwx",   "track", "guest" };
	static const char *const rwx[] = { "---", "r--", "-w-", "rw-", "--x", "r-x", "-wx", "rwx" };

	cli_table_init(t, heads, 7);
	for (unsigned s = 0; s < TDX_STATE_COUNT; s++) {
		const struct tdx_state_info *i = &tdx_states[s];
		char code[8], shown[8];
		const char *cells[] = { i->name,
					i->brief,
					code,
					shown,
					rwx[i->rwx & 7],
					i->flags & TDX_S_TRACK ? "yes" : "no",
					tdx_state_access((enum tdx_state)s) };

		snprintf(code, sizeof(code), "0x%02x", i->code);
		snprintf(shown, sizeof(shown), "%u", i->shown);
		cli_table_row(t, cells);
	}
}

void states_tdx_op(struct cli_table *t)
{
	static const char *const heads[] = { "state", "leaf", "allowed", "may run" };

	cli_table_init(t, heads, 4);
	for (unsigned op = 0; op < TDX_OP_COUNT; op++) {
		for (unsigned i = 0; i < tdx_leaf_count; i++) {
			const char *cells[] = { tdx_ops[op].name, tdx_leaves[i].name,
						tdx_leaves[i].ops >> op & 1 ? "yes" : "no",
						tdx_ops[op].track ? "yes" : "no" };

			if (tdx_leaves[i].ops)
				cli_table_row(t, cells);
		}
	}
}

void states_tdx_leaf(struct cli_table *t)
{
	static const char *const heads[] = { "leaf",     "number", "levels", "TDR",
					     "OP_STATE", "tree",   "entry" };
	static const char *const modes[] = { "-", "shared", "exclusive" };

	cli_table_init(t, heads, 7);
	for (unsigned i = 0; i < tdx_leaf_count; i++) {
		const struct tdx_leaf *l = &tdx_leaves[i];
		const char *entry = !l->entry ? "-" : l->guest ? "guest" : "host";
		char number[16], levels[16] = "-";
		const char *cells[] = { l->name,           number,         levels, modes[l->tdr],
					modes[l->op_lock], modes[l->tree], entry };

		snprintf(number, sizeof(number), "%s %u", l->guest ? "TDCALL" : "SEAMCALL",
			 l->number);
		if (tdx_leaf_has_entry(l) || l->guest)
			snprintf(levels, sizeof(levels), "%s..%s", tdx_level_name(l->level_min),
				 tdx_level_name(l->level_max));
		cli_table_row(t, cells);
	}
}
