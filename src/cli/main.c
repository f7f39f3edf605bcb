/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/main.c - the command `cloister`.
 */
#include "cli.h"
#include "cli_exec.h"

#include "cloister/cloister.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* clang-format off */
static const struct cli_command commands[] = {
	{ "demo", "", "a tour of the engine on this machine, under 30 s",
	  "Two guests on one host: private work, sharing, conversion under load on several\n"
	  "vCPUs, a host touch that gets its SIGBUS, refused double mappings, a race explored,\n"
	  "the leak report. Every step is checked; the table says what was done, what was\n"
	  "checked and what was measured.\n",
	  cli_demo },
	{ "doctor", "", "what this host permits, and the protection level that results",
	  "Tries each thing that host views of guest memory need (userfaultfd and its features,\n"
	  "memfd, huge pages, the limit of mappings) and says which level the engine will use,\n"
	  "what that level protects and how to get a better one.\n",
	  cli_doctor },
	{ "run", "[OPTION]... FILE...", "run litmus files on threads",
	  "Runs each file many times on real threads and prints the outcomes with their counts.\n"
	  "An outcome that the file forbids is a finding. A race may be too rare to be met so:\n"
	  "see explore. FILE is a path, or the bare name of a file that comes with Cloister, as\n"
	  "fault-vs-punch.\n\n"
	  "  --times N     runs of each file; 1000\n"
	  "  --rows        once, in the order of the rows, as the diagram is read\n"
	  "  --view LEVEL  host views: auto, uffd, remap or soft (see doctor); auto\n"
	  "  --ops         print the operations, results and counters of the language, and stop\n",
	  cli_run },
	{ "explore", "[OPTION]... FILE...", "run litmus files in every interleaving",
	  "", /* cloister-explore says it */
	  cli_explore },
	{ "seamcall", "FILE", "run a list of calls of the TDX module",
	  "What does the module say if X is called in state Y? A statement a line, from FILE or\n"
	  "standard input (-); each call prints its status, its registers, the entry afterwards\n"
	  "and what its pages are. cloister-seamcall(5) has it all.\n\n"
	  "  td a [op RUNNABLE]              a TD with one vCPU, put into an operation state\n"
	  "  sept a GPA 4K MAPPED [tracked]  an entry put into a state, with a page of a\n"
	  "  lock a tree|entry GPA LEVEL|tdr|epoch|op [shared]   held as by another; unlock\n"
	  "  TDH.MEM.RANGE.BLOCK a GPA 4K    a leaf; a page is `page N` or `page new`\n"
	  "  TDG.MEM.PAGE.ACCEPT a GPA 4K    by vCPU 0 of a, which enters for it\n"
	  "  read|write a GPA [rip N]; leave a    the guest, after TDH.VP.ENTER a\n"
	  "  interrupt N; on PROCESSOR; check\n\n"
	  "As:\n"
	  "  printf 'td a\\nsept a 0 4K MAPPED\\nTDH.MEM.PAGE.REMOVE a 0 4K\\n' |\n"
	  "  cloister seamcall -\n",
	  cli_seamcall },
	{ "states", "[OPTION]... [NAME]...", "the state machines and lists that the engine runs on",
	  "Prints the tables that the code itself uses; without NAME all of them:\n\n"
	  "  frame      states of a frame of the host, and what each operation makes of them\n"
	  "  zap        why a stage-2 leaf is removed\n"
	  "  cause      why an access of a guest exits to the VMM\n"
	  "  reason     which of its meanings an errno of the library has\n"
	  "  invariant  what must always be true\n"
	  "  type       VM types, and what a conversion does to the bytes\n"
	  "  tdx        S-EPT entry: what each leaf of the TDX module makes of each state\n"
	  "  tdx-state  those states: bits, permissions, what a guest meets\n"
	  "  tdx-op     operation states of a TD, and the leaves that each allows\n"
	  "  tdx-leaf   the leaves: levels, locks\n"
	  "  snp        page of SEV-SNP: what each operation makes of each state\n"
	  "  snp-state  those states: bits, what a guest and the host meet\n\n"
	  "  --markdown  tables as docs/design/states.md has them\n"
	  "  --dot       a graph for Graphviz of each that has states and next states\n",
	  cli_states },
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))
/* clang-format on */

static void print_help(FILE *out)
{
	const char *dir = cli_litmus_dir();

	fputs("usage: cloister [--json] COMMAND [ARGUMENT]...\n\n"
	      "Private guest memory of a hypervisor, in userspace: what KVM's guest_memfd does for "
	      "confidential\nguests, on any machine. Litmus files are small races between guest "
	      "and host, written as diagrams.\n\ncommands:\n",
	      out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
	fputs("\noptions:\n"
	      "  --json     machine-readable output on stdout\n"
	      "  --help     this text; behind a command: its own\n"
	      "  --version  version\n\n"
	      "to begin with:\n"
	      "  cloister demo\n"
	      "  cloister run --times 200 fault-vs-punch\n"
	      "  cloister explore fault-vs-punch\n"
	      "  cloister explore --break inval-seq fault-vs-punch   the same without one check: "
	      "what it prevents\n\n",
	      out);
	if (dir)
		fprintf(out, "Litmus files: %s\n", dir);
	fputs("Exit status: 0 all well, 1 a finding, 2 wrong usage or a file that cannot be "
	      "read.\n",
	      out);
}

static int command_help(const struct cli_options *opt, const struct cli_command *c)
{
	static char name[] = "explore", help[] = "--help";
	char *argv[] = { name, help, NULL };

	if (c->run == cli_explore)
		return cli_explore(opt, 2, argv);
	printf("usage: cloister [--json] %s%s%s\n\n%c%s.\n\n%s", c->name, *c->args ? " " : "",
	       c->args, toupper((unsigned char)c->summary[0]), c->summary + 1, c->help);
	return CLI_OK;
}

/* NULL after a message. */
static const struct cli_command *find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	fprintf(stderr, "cloister: no %s '%s'. 'cloister --help' lists them.\n",
		name[0] == '-' ? "option" : "command", name);
	return NULL;
}

static bool is_help(const char *arg)
{
	return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

/* --json and --help may stand before or behind the command. Returns the new argc. */
static int take_options(int argc, char **argv, struct cli_options *opt, bool *help)
{
	int kept = 0, i = 0;

	for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--json") == 0)
			opt->json = true;
		else if (is_help(argv[i]))
			*help = true;
		else
			argv[kept++] = argv[i];
	}
	while (i < argc)
		argv[kept++] = argv[i++];
	argv[kept] = NULL;
	return kept;
}

static int command(const struct cli_options *opt, int argc, char **argv, bool help)
{
	const struct cli_command *c;

	if (argc > 1 && strcmp(argv[1], "help") == 0) {
		help = true;
		argc--;
		argv++;
	}
	if (argc < 2) {
		print_help(help ? stdout : stderr);
		return help ? CLI_OK : CLI_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("cloister %s\n", clo_version());
		return CLI_OK;
	}
	c = find(argv[1]);
	if (!c)
		return CLI_USAGE;
	return help ? command_help(opt, c) : c->run(opt, argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	struct cli_options opt = { 0 };
	const char *term = getenv("TERM");
	bool help = false;

	cli_output_begin();
	opt.tty = isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0);
	argc = take_options(argc, argv, &opt, &help);
	return cli_output_end(command(&opt, argc, argv, help));
}
