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
	{ "snp", "Page of SEV-SNP's reverse map x operation -> next state, or its status",
	  states_snp },
	{ "snp-state", "States of a page of SEV-SNP", states_snp_state },
};
#define TABLES (sizeof(tables) / sizeof(tables[0]))

enum form { FORM_TEXT, FORM_MARKDOWN, FORM_DOT };

/* Column of @head, or the number of columns. */
static unsigned column(const struct cli_table *t, const char *head)
{
	unsigned c = 0;

	while (c < t->columns && strcmp(t->heads[c], head) != 0)
		c++;
	return c;
}

/* A graph of what has a state and a next one; steps that stay are left out. */
static void print_dot(const char *name, const struct cli_table *t)
{
	unsigned state = column(t, "state"), next = column(t, "next");

	if (state == t->columns || next == t->columns)
		return;
	printf("digraph \"%s\" {\n\trankdir=LR;\n", name);
	for (unsigned r = 0; r < t->count; r++) {
		char **row = t->rows[r];

		if (strcmp(row[next], "-") != 0 && strcmp(row[next], row[state]) != 0)
			printf("\t\"%s\" -> \"%s\" [label=\"%s\"];\n", row[state], row[next],
			       row[state + 1]);
	}
	printf("}\n");
}

static void print_markdown_row(const struct cli_table *t, const char *const *cells)
{
	for (unsigned c = 0; c < t->columns; c++)
		printf("| %s ", cells[c]);
	printf("|\n");
}

static void print_markdown(const char *name, const char *title, const struct cli_table *t)
{
	printf("## %s\n\n%s.\n\n", name, title);
	print_markdown_row(t, t->heads);
	for (unsigned c = 0; c < t->columns; c++)
		printf("| --- ");
	printf("|\n");
	for (unsigned r = 0; r < t->count; r++)
		print_markdown_row(t, (const char *const *)t->rows[r]);
}

static void print_table(const char *name, const char *title, const struct cli_table *t,
			enum form form, bool any)
{
	if (form == FORM_DOT) {
		print_dot(name, t);
		return;
	}
	if (any)
		printf("\n");
	if (form == FORM_MARKDOWN) {
		print_markdown(name, title, t);
		return;
	}
	printf("%s: %s\n\n", name, title);
	cli_table_print(t, stdout);
}

/* -1: go on. */
static int options(int argc, char **argv, enum form *form)
{
	static const struct option known[] = {
		{ "markdown", no_argument, NULL, 'm' },
		{ "dot", no_argument, NULL, 'd' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", known, NULL)) != -1) {
		if (c != 'm' && c != 'd')
			return cli_bad_option("states", argv);
		*form = c == 'm' ? FORM_MARKDOWN : FORM_DOT;
	}
	return -1;
}

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

static int no_table_error(const char *name)
{
	char known[160] = "";

	for (size_t i = 0; i < TABLES; i++) {
		size_t n = strlen(known);

		snprintf(known + n, sizeof(known) - n, "%s%s", i ? ", " : "", tables[i].name);
	}
	return cli_usage_error("states", "no table '%s': %s", name, known);
}

int cli_states(const struct cli_options *opt, int argc, char **argv)
{
	enum form form = FORM_TEXT;
	int ret = options(argc, argv, &form);
	struct json_object *all;
	const char *bad;
	bool any = false;

	if (ret >= 0)
		return ret;
	bad = no_table(argc, argv);
	if (bad)
		return no_table_error(bad);
	all = json_object_new_object();
	for (size_t i = 0; i < TABLES; i++) {
		struct cli_table t;

		if (!wanted(tables[i].name, argc, argv))
			continue;
		tables[i].fill(&t);
		if (opt->json)
			json_object_object_add(all, tables[i].name, cli_table_json(&t));
		else
			print_table(tables[i].name, tables[i].title, &t, form, any);
		any = true;
		cli_table_free(&t);
	}
	if (opt->json)
		cli_print_json(all);
	else
		json_object_put(all);
	return CLI_OK;
}
