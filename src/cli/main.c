/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/main.c - the command `cloister`.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct cli_command commands[] = {
	{ "demo", "", "a tour of the engine on this machine, under 30 s",
	  "Two guests on one host: private work, sharing, conversion under load on several vCPUs, "
	  "a host touch that\n"
	  "gets its SIGBUS, refused double mappings, a race explored, the leak report. Every step "
	  "is checked; the\n"
	  "table says what was done, what was checked and what was measured.\n",
	  cli_demo },
	{ "doctor", "", "what this host permits, and the protection level that results",
	  "Tries each thing that host views of guest memory need (userfaultfd and its features, "
	  "memfd, huge pages,\n"
	  "the limit of mappings) and says which level the engine will use and what that level "
	  "protects.\n",
	  cli_doctor },
	{ "run", "[--times N] [--rows] [--view LEVEL] FILE...", "run litmus files on threads",
	  "Runs each file N times (1000) on real threads and prints the outcomes with their "
	  "counts. Exit status 1 when an\n"
	  "outcome that the file forbids was seen. A race may need the explorer to be found: see "
	  "explore.\n\n"
	  "  --times N     runs of each file\n"
	  "  --rows        once, in the order of the rows, as the diagram is read\n"
	  "  --view LEVEL  host views: auto, uffd, remap or soft (see doctor)\n"
	  "  --ops         the operations, results and counters of the language\n",
	  cli_run },
	{ "explore", "[OPTION]... FILE...", "run litmus files in every interleaving",
	  "Runs each file under a deterministic scheduler in every interleaving with at most N "
	  "preemptions, the\n"
	  "invariants I1..I7 checked after each step. 'cloister explore --help' comes from "
	  "cloister-explore, which\n"
	  "does the work; it is looked for beside this command, or in CLOISTER_EXEC_PATH.\n",
	  cli_explore },
	{ "states", "[NAME]", "the state machines and lists that the engine runs on",
	  "Prints the tables that the code itself uses: frame, zap, cause, invariant, type. "
	  "Without NAME: all.\n",
	  cli_states },
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_help(FILE *out)
{
	fputs("usage: cloister [--json] COMMAND [ARGUMENT]...\n\n"
	      "Private guest memory of a hypervisor, in userspace: guest_memfd, private and shared "
	      "pages, conversion,\n"
	      "secure stage-2 tables, without confidential hardware.\n\ncommands:\n",
	      out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
	fputs("\noptions:\n"
	      "  --json     machine-readable output on stdout\n"
	      "  --help     this text; behind a command: its own\n"
	      "  --version  version\n\n"
	      "Exit status: 0 all well, 1 a finding, 2 wrong usage. 'cloister COMMAND --help' says "
	      "more.\n",
	      out);
}

static int command_help(const struct cli_command *c)
{
	printf("usage: cloister [--json] %s%s%s\n\n%s\n\n%s", c->name, *c->args ? " " : "", c->args,
	       c->summary, c->help);
	return CLI_OK;
}

static const struct cli_command *find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

/* --json may stand before or behind the command. Returns the new argc. */
static int take_options(int argc, char **argv, struct cli_options *opt)
{
	int kept = 0;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			opt->json = true;
		else
			argv[kept++] = argv[i];
	}
	argv[kept] = NULL;
	return kept;
}

int main(int argc, char **argv)
{
	struct cli_options opt = { .tty = isatty(STDERR_FILENO) };
	const struct cli_command *c;

	argc = take_options(argc, argv, &opt);
	if (argc < 2) {
		print_help(stderr);
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		c = argc > 2 ? find(argv[2]) : NULL;
		if (c)
			return command_help(c);
		print_help(stdout);
		return CLI_OK;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("cloister " CLO_VERSION);
		return CLI_OK;
	}
	c = find(argv[1]);
	if (!c) {
		fprintf(stderr, "cloister: no command '%s'. 'cloister --help' lists them.\n",
			argv[1]);
		return CLI_USAGE;
	}
	/* The explorer's options are its own. */
	if (c->run != cli_explore && argc > 2 &&
	    (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0))
		return command_help(c);
	return c->run(&opt, argc - 1, argv + 1);
}
