/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/cli_output.c - tables, JSON, progress and usage errors.
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int cli_usage_error(const char *command, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "cloister %s: ", command);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nTry 'cloister %s --help'.\n", command);
	return CLI_USAGE;
}

int cli_bad_option(const char *command, char **argv)
{
	const char *arg = argv[optind - 1];
	int name = (int)strcspn(arg, "=");

	if (optopt == 0)
		return cli_usage_error(command, "unknown option '%.*s'", name, arg);
	if (arg[0] == '-' && arg[1] == '-' && arg[name] == '=')
		return cli_usage_error(command, "option '%.*s' takes no value", name, arg);
	if (arg[0] == '-' && arg[1] == '-')
		return cli_usage_error(command, "option '%s' needs a value", arg);
	return cli_usage_error(command, "unknown option '-%c'", optopt);
}

int cli_only_args(int argc, char **argv, int most)
{
	static const struct option none[] = { { NULL, 0, NULL, 0 } };

	opterr = 0;
	if (getopt_long(argc, argv, ":", none, NULL) != -1)
		return cli_bad_option(argv[0], argv);
	return argc - optind > most
		       ? cli_usage_error(argv[0], "unexpected argument '%s'", argv[optind + most])
		       : CLI_OK;
}

void cli_output_begin(void)
{
	/* Opened the wrong way round, so that using it is an error like using a closed one. */
	static const int wrong_way[] = { O_WRONLY, O_RDONLY, O_RDONLY };

	for (int fd = 0; fd < 3; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", wrong_way[fd]) != fd)
			_exit(CLI_USAGE);
	}
}

int cli_output_end(int status)
{
	bool failed = ferror(stdout) != 0;
	int err = 0;

	if (fclose(stdout)) {
		failed = true;
		err = errno;
	}
	if (!failed)
		return status;
	fprintf(stderr, "cloister: the output could not be written%s%s\n", err ? ": " : "",
		err ? strerror(err) : "");
	return CLI_USAGE;
}

void cli_progress(const struct cli_options *opt, const char *text)
{
	if (!opt->tty)
		return;
	fprintf(stderr, "\r\033[K%s", text ? text : "");
	fflush(stderr);
}

void cli_print_json(struct json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static void *must_alloc(void *p)
{
	if (!p) {
		fputs("cloister: out of memory\n", stderr);
		exit(CLI_FINDING);
	}
	return p;
}

void cli_table_init(struct cli_table *t, const char *const *heads, unsigned columns)
{
	*t = (struct cli_table){ .heads = heads, .columns = columns };
}

void cli_table_row(struct cli_table *t, const char *const *cells)
{
	char **row = must_alloc(calloc(t->columns, sizeof(*row)));

	for (unsigned c = 0; c < t->columns; c++)
		row[c] = must_alloc(strdup(cells[c] ? cells[c] : ""));
	if (t->count == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 16;
		t->rows = must_alloc(realloc(t->rows, t->cap * sizeof(*t->rows)));
	}
	t->rows[t->count++] = row;
}

#define CELL_MAX 36 /* wider cells are broken between words */

/* Bytes of the next line of a cell: all of it, or up to the last space that fits. */
static size_t line_of(const char *text)
{
	size_t len = strlen(text), at = CELL_MAX;

	if (len <= CELL_MAX)
		return len;
	while (at > 0 && text[at] != ' ')
		at--;
	return at ? at : CELL_MAX;
}

static size_t width_of(const struct cli_table *t, unsigned column)
{
	size_t width = strlen(t->heads[column]);

	for (unsigned r = 0; r < t->count; r++) {
		const char *at = t->rows[r][column];

		while (*at) {
			size_t n = line_of(at);

			width = n > width ? n : width;
			at += n;
			at += *at == ' ';
		}
	}
	return width;
}

/* One line of each cell; moves @at on. False: nothing was left. */
static bool print_line(const struct cli_table *t, const char **at, FILE *out)
{
	bool any = false;
	size_t pad = 0;

	for (unsigned c = 0; c < t->columns; c++)
		any |= *at[c] != '\0';
	for (unsigned c = 0; any && c < t->columns; c++) {
		size_t n = line_of(at[c]);

		if (n)
			fprintf(out, "%*s%.*s", (int)pad, "", (int)n, at[c]);
		pad = n ? width_of(t, c) - n + 2 : pad + width_of(t, c) + 2;
		at[c] += n;
		at[c] += *at[c] == ' ';
	}
	if (any)
		fputc('\n', out);
	return any;
}

static void print_row(const struct cli_table *t, const char *const *cells, FILE *out)
{
	const char *at[CLI_TABLE_COLUMNS];

	for (unsigned c = 0; c < t->columns; c++)
		at[c] = cells[c];
	while (print_line(t, at, out))
		;
}

void cli_table_print(const struct cli_table *t, FILE *out)
{
	print_row(t, t->heads, out);
	for (unsigned r = 0; r < t->count; r++)
		print_row(t, (const char *const *)t->rows[r], out);
}

struct json_object *cli_table_json(const struct cli_table *t)
{
	struct json_object *array = json_object_new_array();

	for (unsigned r = 0; r < t->count; r++) {
		struct json_object *o = json_object_new_object();

		for (unsigned c = 0; c < t->columns; c++)
			json_object_object_add(o, t->heads[c],
					       json_object_new_string(t->rows[r][c]));
		json_object_array_add(array, o);
	}
	return array;
}

void cli_table_free(struct cli_table *t)
{
	for (unsigned r = 0; r < t->count; r++) {
		for (unsigned c = 0; c < t->columns; c++)
			free(t->rows[r][c]);
		free(t->rows[r]);
	}
	free(t->rows);
	t->rows = NULL;
	t->count = t->cap = 0;
}
