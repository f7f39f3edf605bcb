/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/cli.h - the command `cloister`: a table of subcommands, common options, output as text or
 * JSON.
 *
 * Exit status: 0 all well, 1 a finding (a violated expectation, a failed step), 2 wrong usage, a
 * file that cannot be read, or output that cannot be written.
 */
#ifndef CLO_CLI_CLI_H
#define CLO_CLI_CLI_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

enum { CLI_OK = 0, CLI_FINDING = 1, CLI_USAGE = 2 };

struct cli_options {
	bool json;
	bool tty; /* stderr is a terminal: progress may be drawn */
};

struct cli_command {
	const char *name;
	const char *args;    /* synopsis behind the name */
	const char *summary; /* one line */
	const char *help;    /* paragraphs for --help */
	/* argv[0] is the subcommand. */
	int (*run)(const struct cli_options *opt, int argc, char **argv);
};

int cli_demo(const struct cli_options *opt, int argc, char **argv);
int cli_doctor(const struct cli_options *opt, int argc, char **argv);
int cli_explore(const struct cli_options *opt, int argc, char **argv);
int cli_run(const struct cli_options *opt, int argc, char **argv);
int cli_seamcall(const struct cli_options *opt, int argc, char **argv);
int cli_states(const struct cli_options *opt, int argc, char **argv);

/* "cloister CMD: message" on stderr; returns CLI_USAGE. */
int cli_usage_error(const char *command, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* What getopt_long() called '?' or ':' with opterr 0, in words; returns CLI_USAGE. */
int cli_bad_option(const char *command, char **argv);
/* For commands without options: at most @most arguments. CLI_OK, or CLI_USAGE after a message. */
int cli_only_args(int argc, char **argv, int most);
/* One line, overwritten by the next; NULL ends it. Nothing when stderr is no terminal. */
void cli_progress(const struct cli_options *opt, const char *text);
/* Before the first open: a closed descriptor 0, 1 or 2 must not become one of the engine's. */
void cli_output_begin(void);
/* Flush; CLI_USAGE after a message when the output could not be written, else @status. */
int cli_output_end(int status);
/* Print and free. */
void cli_print_json(struct json_object *o);
#define CLI_TABLE_COLUMNS 8U
/* Text columns: widths from the cells. */
struct cli_table {
	const char *const *heads;
	unsigned columns; /* at most CLI_TABLE_COLUMNS */
	char ***rows;     /* [row][column], malloc */
	unsigned count, cap;
};
void cli_table_init(struct cli_table *t, const char *const *heads, unsigned columns);
void cli_table_row(struct cli_table *t, const char *const *cells);
void cli_table_print(const struct cli_table *t, FILE *out);
/* The tables of the trust models, for `cloister states`. */
void states_tdx(struct cli_table *t);
void states_tdx_state(struct cli_table *t);
void states_tdx_op(struct cli_table *t);
void states_tdx_leaf(struct cli_table *t);
void states_snp(struct cli_table *t);
void states_snp_state(struct cli_table *t);
/* Array of objects, keys are the heads. */
struct json_object *cli_table_json(const struct cli_table *t);
void cli_table_free(struct cli_table *t);

#endif
