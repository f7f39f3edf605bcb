/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/cmd_states.c - `cloister states`: the tables that the engine runs on (D3), printed from the
 * very objects.
 */
#include "cli.h"

#include "check/check.h"
#include "cloister/cloister.h"
#include "page/page.h"
#include "trust/trust.h"
#include "vm/vm.h"

#include <getopt.h>
#include <string.h>

static void frame_table(struct cli_table *t)
{
	static const char *const heads[] = { "state", "operation", "next" };

	cli_table_init(t, heads, 3);
	for (unsigned s = 0; s < CLO_FRAME_STATE_COUNT; s++) {
		for (unsigned op = 0; op < CLO_FRAME_OP_COUNT; op++) {
			enum clo_frame_state next = clo_frame_next[s][op];
			const char *cells[] = { clo_frame_state_name((enum clo_frame_state)s),
						clo_frame_op_name((enum clo_frame_op)op),
						next == CLO_FRAME_STATE_COUNT
							? "-"
							: clo_frame_state_name(next) };

			cli_table_row(t, cells);
		}
	}
}

static void zap_table(struct cli_table *t)
{
	static const char *const heads[] = { "number", "reason" };

	cli_table_init(t, heads, 2);
	for (unsigned i = 0; clo_zap_reason_text(i); i++) {
		char number[16];
		const char *cells[] = { number, clo_zap_reason_text(i) };

		snprintf(number, sizeof(number), "%u", i);
		cli_table_row(t, cells);
	}
}

static void cause_table(struct cli_table *t)
{
	static const char *const heads[] = { "number", "cause of an exit" };

	cli_table_init(t, heads, 2);
	for (unsigned i = 0; i < CLO_CAUSE_COUNT; i++) {
		char number[16];
		const char *cells[] = { number, clo_fault_cause_text((enum clo_fault_cause)i) };

		snprintf(number, sizeof(number), "%u", i);
		cli_table_row(t, cells);
	}
}

static void reason_table(struct cli_table *t)
{
	static const char *const heads[] = { "number", "name", "errno", "reason" };
	const struct clo_reason_info *r;

	cli_table_init(t, heads, 4);
	for (unsigned i = 0; (r = clo_reason_nth(i)) != NULL; i++) {
		char number[16];
		const char *cells[] = { number, r->name, r->errnos, r->text };

		snprintf(number, sizeof(number), "%u", i);
		cli_table_row(t, cells);
	}
}

static void invariant_table(struct cli_table *t)
{
	static const char *const heads[] = { "invariant", "sentence" };
	const char *cells[2];

	cli_table_init(t, heads, 2);
	for (unsigned i = 0; clo_check_nth(i, &cells[0], &cells[1]); i++)
		cli_table_row(t, cells);
}

static void type_table(struct cli_table *t)
{
	static const char *const heads[] = { "type",         "number",     "private memory",
					     "typed access", "to private", "to shared" };
	const struct clo_trust_ops *ops;

	cli_table_init(t, heads, 6);
	for (unsigned i = 0; (ops = clo_trust_nth(i)) != NULL; i++) {
		char number[16];
		const char *cells[] = { ops->name,
					number,
					ops->has_private_mem ? "yes" : "no",
					ops->may_type_access ? "possible" : "no",
					clo_content_name(ops->to_private),
					clo_content_name(ops->to_shared) };

		snprintf(number, sizeof(number), "%u", ops->vm_type);
		cli_table_row(t, cells);
	}
}

static const struct {
	const char *name, *title;
	void (*fill)(struct cli_table *t);
} tables[] = {
	{ "frame", "Frame of the host: state x operation -> next state ('-': refused)",
	  frame_table },
	{ "zap", "Why a stage-2 leaf is zapped", zap_table },
	{ "cause", "Why a guest access exits", cause_table },
	{ "reason", "Which of its meanings an errno has (clo_last_error)", reason_table },
	{ "invariant", "What must always be true", invariant_table },
	{ "type", "VM types built in, and their content policy", type_table },
	{ "tdx", "S-EPT entry x leaf of the TDX module -> next state, or its status", states_tdx },
	{ "tdx-state", "States of an S-EPT entry", states_tdx_state },
	{ "tdx-op", "Operation states of a TD, and the leaves that each allows", states_tdx_op },
	{ "tdx-leaf", "Leaves of the TDX module: levels, locks", states_tdx_leaf },
};
#define TABLES (sizeof(tables) / sizeof(tables[0]))

/* No name means all. */
static bool wanted(const char *table, int argc, char **argv)
{
	for (int i = optind; i < argc; i++) {
		if (strcmp(table, argv[i]) == 0)
			return true;
	}
	return optind == argc;
}

/* The first name that is no table, or NULL. */
static const char *no_table(int argc, char **argv)
{
	for (int i = optind; i < argc; i++) {
		size_t k = 0;

		while (k < TABLES && strcmp(argv[i], tables[k].name) != 0)
			k++;
		if (k == TABLES)
			return argv[i];
	}
	return NULL;
}

int cli_states(const struct cli_options *opt, int argc, char **argv)
{
	int ret = cli_only_args(argc, argv, argc);
	const char *bad = ret ? NULL : no_table(argc, argv);
	struct json_object *all;
	bool any = false;

	if (ret)
		return ret;
	if (bad)
		return cli_usage_error(
			"states", "no table '%s': frame, zap, cause, reason, invariant or type",
			bad);
	all = json_object_new_object();
	for (size_t i = 0; i < TABLES; i++) {
		struct cli_table t;

		if (!wanted(tables[i].name, argc, argv))
			continue;
		tables[i].fill(&t);
		if (opt->json) {
			json_object_object_add(all, tables[i].name, cli_table_json(&t));
		} else {
			printf("%s%s: %s\n\n", any ? "\n" : "", tables[i].name, tables[i].title);
			cli_table_print(&t, stdout);
		}
		any = true;
		cli_table_free(&t);
	}
	if (opt->json)
		cli_print_json(all);
	else
		json_object_put(all);
	return CLI_OK;
}
