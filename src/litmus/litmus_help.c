/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/litmus_help.c - the language's words for people, from the same tables that the reader
 * uses.
 */
#include "litmus_internal.h"

#include <string.h>

static void print_row(const char *what, const char *help, bool markdown, FILE *f)
{
	/* A bar would end the cell. */
	if (markdown) {
		fputs("| `", f);
		for (; *what; what++)
			fputs(*what == '|' ? "\\|" : (const char[]){ *what, 0 }, f);
		fprintf(f, "` | %s |\n", help ? help : "");
	} else {
		fprintf(f, "  %-42s %s\n", what, help ? help : "");
	}
}

static void print_title(const char *title, const char *column, bool markdown, FILE *f)
{
	if (markdown)
		fprintf(f, "### %s\n\n| %s | |\n| --- | --- |\n", title, column);
	else
		fprintf(f, "%s:\n", title);
}

static void print_group(bool guest, bool markdown, FILE *f)
{
	for (unsigned i = 0; i < CLO_LITMUS_CODE_COUNT; i++) {
		const struct clo_lit_op_info *info = &clo_lit_ops[i];
		char synopsis[96];
		size_t used;

		if (info->guest != guest)
			continue;
		used = (size_t)snprintf(synopsis, sizeof(synopsis), "%s", info->name);
		for (unsigned a = 0; a < CLO_LIT_ARGS && info->args[a] != A_END; a++)
			used += (size_t)snprintf(synopsis + used, sizeof(synopsis) - used, " %s",
						 clo_lit_arg_text[info->args[a]]);
		print_row(synopsis, info->help, markdown, f);
	}
	fputc('\n', f);
}

static void print_words(const char *title, const char *column, const struct clo_lit_word *words,
			bool markdown, FILE *f)
{
	print_title(title, column, markdown, f);
	for (; words->name; words++)
		print_row(words->name, words->help, markdown, f);
	fputc('\n', f);
}

void clo_litmus_print_ops(FILE *f, bool markdown)
{
	print_title("Operations of a thread with a vCPU", "operation", markdown, f);
	print_group(true, markdown, f);
	print_title("Operations of any thread", "operation", markdown, f);
	print_group(false, markdown, f);
	print_words("Results", "result", clo_lit_outcomes, markdown, f);
	print_words("Counters", "counter", clo_lit_counters, markdown, f);
	print_words("Flags of a file", "flag", clo_lit_gmem_flags, markdown, f);
	print_words("Conditions", "word", clo_lit_quantifiers, markdown, f);
}
