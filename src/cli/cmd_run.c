/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/cmd_run.c - `cloister run FILE...`: litmus files on real threads, many times.
 */
#include "cli.h"
#include "cli_exec.h"

#include "litmus/litmus.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_TIMES 1000U
#define MAX_TIMES     100000000U
#define PROGRESS_EACH 256U

struct run_options {
	uint64_t times;
	bool rows; /* in the order of the rows, once */
	bool ops;  /* print the language and end */
	uint32_t view;
};

struct outcome_of_file {
	struct clo_litmus_tally tally;
	uint64_t violations;
	uint32_t sometimes;
	struct clo_litmus_verdict first; /* violation */
	char why[CLO_LITMUS_WHY];        /* set-up that failed */
};

static const struct {
	const char *name;
	uint32_t view;
} views[] = {
	{ "auto", CLO_HOST_VIEW_AUTO },
	{ "uffd", CLO_HOST_VIEW_UFFD },
	{ "remap", CLO_HOST_VIEW_REMAP },
	{ "soft", CLO_HOST_VIEW_SOFT },
};

static int one_run(const struct clo_litmus *p, const struct run_options *ro,
		   struct outcome_of_file *o)
{
	struct clo_litmus_verdict v;
	struct clo_litmus_run *r;
	uint64_t number = o->tally.runs + 1;
	int ret;

	clo_litmus_crash_phase(number, "set-up");
	ret = clo_litmus_setup(p, ro->view, &r, o->why);
	if (ret)
		return ret;
	clo_litmus_crash_phase(number, ro->rows ? "its rows" : "its threads");
	if (ro->rows)
		clo_litmus_run_rows(r);
	else
		ret = clo_litmus_run_threads(r);
	clo_litmus_crash_phase(number, "judgement and tear-down");
	if (ret == 0) {
		clo_litmus_judge(r, &v);
		clo_litmus_tally_add(&o->tally, v.outcome);
		o->sometimes |= v.sometimes;
		if (!v.holds && o->violations++ == 0)
			o->first = v;
	} else {
		snprintf(o->why, sizeof(o->why), "no thread");
	}
	clo_litmus_teardown(r);
	return ret;
}

/* Conditions "sometimes" that no run met: on threads no finding, a race may just be rare. */
static unsigned unmet(const struct clo_litmus *p, const struct outcome_of_file *o, uint32_t *mask)
{
	unsigned n = 0;

	*mask = 0;
	for (uint32_t i = 0; i < p->final_count; i++) {
		if (p->finals[i].quantifier == CLO_LITMUS_SOMETIMES &&
		    !(o->sometimes & (1U << i))) {
			*mask |= 1U << i;
			n++;
		}
	}
	return n;
}

static void print_unseen(const char *path, const struct clo_litmus *p, struct outcome_of_file *o)
{
	uint32_t mask;

	if (unmet(p, o, &mask) == 0)
		return;
	for (uint32_t i = 0; i < p->final_count; i++) {
		if (!(mask & (1U << i)))
			continue;
		printf("  not seen: ");
		clo_litmus_print_final(p, i, stdout);
		putchar('\n');
	}
	printf("  A race can be too rare for threads: cloister explore %s\n", path);
}

static void print_text(const char *path, const struct clo_litmus *p, const struct run_options *ro,
		       struct outcome_of_file *o)
{
	printf("%s: %s, ", path, p->name);
	if (ro->rows)
		printf("once, in the order of its rows\n");
	else
		printf("%" PRIu64 " run%s on threads\n", o->tally.runs,
		       o->tally.runs == 1 ? "" : "s");
	clo_litmus_tally_print(&o->tally, stdout);
	if (o->violations)
		printf("  VIOLATED in %" PRIu64 " run%s: %s\n    first: %s\n", o->violations,
		       o->violations == 1 ? "" : "s", o->first.why, o->first.outcome);
	else
		printf("  holds\n");
	if (!ro->rows)
		print_unseen(path, p, o);
}

static struct json_object *to_json(const char *path, const struct clo_litmus *p,
				   struct outcome_of_file *o)
{
	struct json_object *j = json_object_new_object(), *list = json_object_new_array();
	uint32_t mask;

	clo_litmus_tally_sort(&o->tally);
	for (unsigned i = 0; i < o->tally.count; i++) {
		struct json_object *one = json_object_new_object();

		json_object_object_add(one, "outcome",
				       json_object_new_string(o->tally.outcomes[i].text));
		json_object_object_add(one, "times",
				       json_object_new_uint64(o->tally.outcomes[i].times));
		json_object_array_add(list, one);
	}
	json_object_object_add(j, "file", json_object_new_string(path));
	json_object_object_add(j, "name", json_object_new_string(p->name));
	json_object_object_add(j, "runs", json_object_new_uint64(o->tally.runs));
	json_object_object_add(j, "outcomes", list);
	json_object_object_add(j, "violations", json_object_new_uint64(o->violations));
	json_object_object_add(j, "why", json_object_new_string(o->first.why));
	json_object_object_add(j, "sometimes_not_seen",
			       json_object_new_int((int)unmet(p, o, &mask)));
	return j;
}

/* All runs of one file. */
static int run_times(const struct cli_options *opt, const struct run_options *ro, const char *path,
		     const struct clo_litmus *p, struct outcome_of_file *o)
{
	int ret = clo_litmus_crash_begin(path, p);

	if (ret)
		return ret;
	for (uint64_t i = 0; i < (ro->rows ? 1 : ro->times) && ret == 0; i++) {
		if (opt->tty && i % PROGRESS_EACH == 0) {
			char text[128];

			snprintf(text, sizeof(text), "%s: run %" PRIu64 " of %" PRIu64, p->name, i,
				 ro->times);
			cli_progress(opt, text);
		}
		ret = one_run(p, ro, o);
	}
	clo_litmus_crash_end();
	cli_progress(opt, NULL);
	return ret;
}

static int run_file(const struct cli_options *opt, const struct run_options *ro, const char *path,
		    struct json_object *all)
{
	struct outcome_of_file *o = calloc(1, sizeof(*o));
	char known[PATH_MAX];
	struct clo_litmus *p;
	int ret = o ? 0 : -ENOMEM;
	int status = CLI_OK;

	if (ret == 0) {
		/* A bare name can be a file that comes with Cloister. */
		bool bare = *path && !strchr(path, '/') && access(path, F_OK) != 0 &&
			    cli_litmus_path(known, sizeof(known), path) == 0;

		ret = clo_litmus_read(bare ? known : path, &p, stderr);
	} else {
		fputs("cloister run: out of memory\n", stderr);
	}
	if (ret) {
		free(o);
		return CLI_USAGE;
	}
	ret = run_times(opt, ro, path, p, o);
	if (ret) {
		fprintf(stderr, "%s: %s%s%s\n", path, strerror(-ret), *o->why ? ": " : "", o->why);
		status = CLI_USAGE; /* no run, so nothing was found */
	} else {
		if (opt->json)
			json_object_array_add(all, to_json(path, p, o));
		else
			print_text(path, p, ro, o);
		/* Not lost when the next file crashes. */
		fflush(stdout);
		status = o->violations ? CLI_FINDING : CLI_OK;
	}
	clo_litmus_free(p);
	free(o);
	return status;
}

static bool parse_times(const char *text, uint64_t *times)
{
	char *end;

	errno = 0;
	*times = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0' && *text != '-' && *times > 0 && *times <= MAX_TIMES;
}

static bool parse_view(const char *text, uint32_t *view)
{
	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
		if (strcmp(text, views[i].name) == 0) {
			*view = views[i].view;
			return true;
		}
	}
	return false;
}

/* -1: go on. */
static int run_options(struct run_options *ro, int argc, char **argv)
{
	static const struct option options[] = {
		{ "times", required_argument, NULL, 't' },
		{ "view", required_argument, NULL, 'v' },
		{ "rows", no_argument, NULL, 'r' },
		{ "ops", no_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		switch (c) {
		case 't':
			if (!parse_times(optarg, &ro->times))
				return cli_usage_error(
					"run", "--times wants a number from 1 to %u, not '%s'",
					MAX_TIMES, optarg);
			break;
		case 'v':
			if (!parse_view(optarg, &ro->view))
				return cli_usage_error(
					"run", "--view wants auto, uffd, remap or soft, not '%s'",
					optarg);
			break;
		case 'r':
			ro->rows = true;
			break;
		case 'o':
			ro->ops = true;
			break;
		default:
			return cli_bad_option("run", argv);
		}
	}
	return -1;
}

int cli_run(const struct cli_options *opt, int argc, char **argv)
{
	struct run_options ro = { .times = DEFAULT_TIMES };
	struct json_object *all;
	int status = run_options(&ro, argc, argv);

	if (status >= 0)
		return status;
	if (ro.ops) {
		if (opt->json)
			return cli_usage_error("run", "--ops has no JSON form");
		clo_litmus_print_ops(stdout, false);
		return CLI_OK;
	}
	if (optind == argc)
		return cli_usage_error("run", "no litmus file named");
	all = json_object_new_array();
	status = CLI_OK;
	for (int i = optind; i < argc; i++) {
		int s = run_file(opt, &ro, argv[i], all);

		status = s > status ? s : status;
	}
	if (opt->json)
		cli_print_json(all);
	else
		json_object_put(all);
	return status;
}
