/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/explore_options.c - the options of cloister-explore.
 */
#include "explore_main.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PREEMPTIONS 16U
#define MAX_TIMEOUT     10000000U

/* clang-format off */
void explore_print_help(void)
{
	puts("usage: cloister [--json] explore [OPTION]... FILE...\n\n"
	     "Run litmus files in every interleaving with a bounded number of preemptions, on\n"
	     "the engine itself, built on a deterministic scheduler. The invariants I1..I7 are\n"
	     "checked after each step, the file's conditions after each run. A violation is\n"
	     "printed as a diagram, a column a thread, with an id that replays it. FILE is a\n"
	     "path, or the bare name of a file that comes with Cloister, as fault-vs-punch.\n\n"
	     "  --preemptions N  at most N switches away from a thread that could go on; 2\n"
	     "  --max-runs N     stop after N interleavings; the verdict is then 'incomplete'\n"
	     "  --timeout SEC    the same after this time with a file\n"
	     "  --all-points     preempt before every operation, not only where two threads share\n"
	     "                   an object: slow\n"
	     "  --break NAME     take one check or step out of the engine; may be given again.\n"
	     "                   " EXPLORE_SITE "PLACE: the RCU read section that begins there\n"
	     "  --breaks         list what --break can take out, and stop\n"
	     "  --replay ID      run one schedule of one file and print it\n"
	     "  --all-steps      print every operation of a schedule, not only what the engine\n"
	     "                   notes\n"
	     "  --canonical      print the file as the reader understood it, and stop\n\n"
	     "A search that is interrupted (SIGINT, SIGTERM) says what it has explored. What a\n"
	     "verdict does not cover is listed under it.\n\n"
	     "Exit status: 0 holds; 1 a violation, an outcome never seen, or incomplete; 2 wrong\n"
	     "usage or a file that cannot be read. CLOISTER_EXEC_PATH: folder of\n"
	     "cloister-explore, which does the work; else it is looked for beside cloister.");
}
/* clang-format on */

static void print_break(struct json_object *all, bool json, const char *name, const char *help)
{
	struct json_object *one = json_object_new_object();

	json_object_object_add(one, "name", json_object_new_string(name));
	json_object_object_add(one, "without", json_object_new_string(help));
	json_object_array_add(all, one);
	if (!json)
		printf("  %-16s %s\n", name, help);
}

void explore_print_breaks(bool json)
{
	struct json_object *all = json_object_new_array();
	char text[128] = EXPLORE_SITE, *site = text + strlen(EXPLORE_SITE);

	for (unsigned b = CLO_BREAK_NONE + 1; b < CLO_BREAK_COUNT; b++)
		print_break(all, json, clo_break_name((enum clo_break)b),
			    clo_break_help((enum clo_break)b));
	for (unsigned i = 0; clo_rcu_site_name(i, site, sizeof(text) - strlen(EXPLORE_SITE)); i++)
		print_break(all, json, text, "read section: does not hold up a grace period (I5)");
	if (json)
		cli_print_json(all);
	else
		json_object_put(all);
}

static bool parse_number(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *out <= max;
}

static int set_break(struct explore_options *o, const char *name)
{
	enum clo_break b = clo_break_parse(name);
	const char *site = name + strlen(EXPLORE_SITE);

	if (strncmp(name, EXPLORE_SITE, strlen(EXPLORE_SITE)) == 0 &&
	    o->site_count < EXPLORE_SITES && clo_rcu_site_break(site, true)) {
		o->sites[o->site_count++] = site;
		return 0;
	}
	if (b == CLO_BREAK_COUNT || b == CLO_BREAK_NONE)
		return cli_usage_error("explore", "--break: no '%s'; --breaks lists what there is",
				       name);
	clo_break_set(b, true);
	return 0;
}

static int one_option(struct explore_options *o, int c, char **argv)
{
	uint64_t n;

	switch (c) {
	case 'p':
		if (!parse_number(optarg, MAX_PREEMPTIONS, &n))
			return cli_usage_error("explore",
					       "--preemptions wants a number up to %u, not '%s'",
					       MAX_PREEMPTIONS, optarg);
		o->cfg.preemptions = (unsigned)n;
		return 0;
	case 'm':
		if (!parse_number(optarg, UINT64_MAX, &o->cfg.max_runs) || o->cfg.max_runs == 0)
			return cli_usage_error(
				"explore", "--max-runs wants a number from 1, not '%s'", optarg);
		return 0;
	case 't':
		if (!parse_number(optarg, MAX_TIMEOUT, &n) || n == 0)
			return cli_usage_error("explore",
					       "--timeout wants seconds from 1 to %u, not '%s'",
					       MAX_TIMEOUT, optarg);
		o->timeout_ns = n * 1000000000ULL;
		return 0;
	case 'b':
		return set_break(o, optarg);
	case 'r':
		o->replay = optarg;
		return 0;
	case 'a':
		o->cfg.all_points = true;
		return 0;
	case 's':
		o->all_steps = true;
		return 0;
	case 'j':
		o->json = true;
		return 0;
	case 'c':
		o->canonical = true;
		return 0;
	case 'l':
		o->breaks = true;
		return 0;
	case 'h':
		o->help = true;
		return 0;
	default:
		return cli_bad_option("explore", argv);
	}
}

int explore_parse_options(struct explore_options *o, int argc, char **argv)
{
	static const struct option options[] = {
		{ "preemptions", required_argument, NULL, 'p' },
		{ "max-runs", required_argument, NULL, 'm' },
		{ "timeout", required_argument, NULL, 't' },
		{ "break", required_argument, NULL, 'b' },
		{ "replay", required_argument, NULL, 'r' },
		{ "all-points", no_argument, NULL, 'a' },
		{ "all-steps", no_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "canonical", no_argument, NULL, 'c' },
		{ "breaks", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (one_option(o, c, argv))
			return CLI_USAGE;
	}
	if (o->help || o->breaks)
		return 0;
	if (o->json && (o->replay || o->canonical))
		return cli_usage_error("explore", "%s prints text: it has no JSON form",
				       o->replay ? "--replay" : "--canonical");
	if (optind == argc)
		return cli_usage_error("explore", "no litmus file named");
	if (o->replay && argc - optind > 1)
		return cli_usage_error("explore", "--replay is about one file, not %d",
				       argc - optind);
	return 0;
}
