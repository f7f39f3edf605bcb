/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explore/main.c - cloister-explore: litmus files in every interleaving. Reached as `cloister
 * explore`.
 */
#include "explore.h"

#include "check/check.h"
#include "litmus/litmus.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_FINDING = 1, EXIT_USAGE = 2 };

#define DEFAULT_PREEMPTIONS 2U

struct options {
	struct clo_explore_config cfg;
	bool json, all_steps, canonical;
	const char *replay;
	int first_file;
};

/* The program that a run executes, and what it leaves behind. One exploration at a time. */
struct subject {
	const struct clo_litmus *p;
	struct clo_litmus_run *run; /* NULL: not set up, or being torn down */
	struct clo_litmus_verdict verdict;
	struct clo_litmus_tally tally;
	uint32_t sometimes;
	int setup_error;
	char why[CLO_LITMUS_WHY];
};

static void run_subject(void *arg)
{
	struct subject *s = arg;
	struct clo_litmus_run *run;

	s->run = NULL;
	clo_sched_quiet(true);
	clo_sched_name("main");
	s->setup_error = clo_litmus_setup(s->p, CLO_HOST_VIEW_SOFT, &run, s->why);
	if (s->setup_error)
		clo_sched_stop(s->setup_error);
	s->run = run;
	clo_sched_quiet(false);
	s->setup_error = clo_litmus_run_threads(run);
	clo_sched_quiet(true);
	s->run = NULL;
	if (s->setup_error)
		clo_sched_stop(s->setup_error);
	clo_litmus_judge(run, &s->verdict);
	clo_litmus_teardown(run);
}

static int check_subject(void *arg, const char **invariant, char *why, size_t size)
{
	struct subject *s = arg;
	struct clo_check_fail fail;

	if (!s->run || clo_check_host(clo_litmus_host(s->run), &fail) == 0)
		return 0;
	*invariant = fail.invariant;
	snprintf(why, size, "%s", fail.text);
	return -EUCLEAN;
}

static int judge_subject(void *arg, const char **invariant, char *why, size_t size)
{
	struct subject *s = arg;

	clo_litmus_tally_add(&s->tally, s->verdict.outcome);
	s->sometimes |= s->verdict.sometimes;
	if (s->verdict.holds)
		return 0;
	*invariant = "outcome";
	snprintf(why, size, "%s (%s)", s->verdict.why, s->verdict.outcome);
	return -EUCLEAN;
}

static int show_progress(void *arg, uint64_t runs, unsigned preemptions)
{
	const struct subject *s = arg;

	fprintf(stderr, "\r\033[K%s: %" PRIu64 " runs, up to %u preemptions", s->p->name, runs,
		preemptions);
	return 0;
}

/* The first "sometimes" that no interleaving made true, or -1. */
static int never_seen(const struct subject *s)
{
	for (uint32_t i = 0; i < s->p->final_count; i++) {
		if (s->p->finals[i].quantifier == CLO_LITMUS_SOMETIMES &&
		    !(s->sometimes & (1U << i)))
			return (int)i;
	}
	return -1;
}

static const char *verdict_text(const struct clo_explore_result *r)
{
	switch (r->verdict) {
	case CLO_EXPLORE_HOLDS:
		return "holds";
	case CLO_EXPLORE_VIOLATED:
		return "violated";
	case CLO_EXPLORE_INCOMPLETE:
		return "incomplete";
	}
	return "?";
}

static void print_violation(const struct clo_explore_program *prog, const struct options *o,
			    const char *path, const struct clo_explore_result *r)
{
	printf("  VIOLATED: %s: %s\n", r->invariant, r->why);
	if (*r->report)
		printf("  %s\n", r->report);
	printf("  the schedule, %u preemptions:\n\n", r->preemptions);
	if (clo_explore_print(prog, &o->cfg, r->schedule, r->schedule_count, o->all_steps, stdout))
		printf("  (no memory to print it)\n");
	printf("\n  again: cloister explore --replay ");
	clo_explore_format(r, stdout);
	for (unsigned b = CLO_BREAK_NONE + 1; b < CLO_BREAK_COUNT; b++) {
		if (clo_broken((enum clo_break)b))
			printf(" --break %s", clo_break_name((enum clo_break)b));
	}
	printf(" %s\n", path);
}

static void print_text(const struct clo_explore_program *prog, const struct options *o,
		       const char *path, struct subject *s, const struct clo_explore_result *r)
{
	int missing = never_seen(s);

	printf("%s: %s, every interleaving with at most %u preemptions\n", path, s->p->name,
	       o->cfg.preemptions);
	printf("  %" PRIu64 " interleavings, %" PRIu64 " steps, the longest %" PRIu64
	       "; %u shared objects; I1..I7 after each step\n",
	       r->runs, r->steps, r->longest, r->objects);
	clo_litmus_tally_print(&s->tally, stdout);
	if (r->verdict == CLO_EXPLORE_VIOLATED) {
		print_violation(prog, o, path, r);
		return;
	}
	if (missing >= 0) {
		printf("  NEVER SEEN: ");
		clo_litmus_print_final(s->p, (unsigned)missing, stdout);
		putchar('\n');
	} else {
		printf("  %s\n", verdict_text(r));
	}
}

static struct json_object *to_json(const char *path, struct subject *s,
				   const struct clo_explore_result *r)
{
	struct json_object *j = json_object_new_object(), *list = json_object_new_array(),
			   *schedule = json_object_new_array();

	clo_litmus_tally_sort(&s->tally);
	for (unsigned i = 0; i < s->tally.count; i++) {
		struct json_object *one = json_object_new_object();

		json_object_object_add(one, "outcome",
				       json_object_new_string(s->tally.outcomes[i].text));
		json_object_object_add(one, "times",
				       json_object_new_uint64(s->tally.outcomes[i].times));
		json_object_array_add(list, one);
	}
	for (uint32_t i = 0; i < r->schedule_count; i++) {
		struct json_object *one = json_object_new_object();

		json_object_object_add(one, "step", json_object_new_int64(r->schedule[i].step));
		json_object_object_add(one, "thread", json_object_new_int64(r->schedule[i].thread));
		json_object_array_add(schedule, one);
	}
	json_object_object_add(j, "file", json_object_new_string(path));
	json_object_object_add(j, "name", json_object_new_string(s->p->name));
	json_object_object_add(
		j, "verdict",
		json_object_new_string(never_seen(s) >= 0 && r->verdict == CLO_EXPLORE_HOLDS
					       ? "never seen"
					       : verdict_text(r)));
	json_object_object_add(j, "interleavings", json_object_new_uint64(r->runs));
	json_object_object_add(j, "steps", json_object_new_uint64(r->steps));
	json_object_object_add(j, "preemptions", json_object_new_int64(r->preemptions));
	json_object_object_add(j, "violated", json_object_new_string(r->invariant));
	json_object_object_add(j, "why", json_object_new_string(r->why));
	json_object_object_add(j, "schedule", schedule);
	json_object_object_add(j, "outcomes", list);
	return j;
}

static int explore_file(struct options *o, const char *path, struct json_object *all)
{
	struct subject *s = calloc(1, sizeof(*s));
	struct clo_explore_program prog = {
		.arg = s, .run = run_subject, .check = check_subject, .judge = judge_subject
	};
	struct clo_explore_result r;
	struct clo_litmus *p = NULL;
	int ret = s ? clo_litmus_read(path, &p, stderr) : -ENOMEM, status = EXIT_OK;

	if (ret) {
		free(s);
		return EXIT_USAGE;
	}
	s->p = p;
	if (o->canonical) {
		clo_litmus_print(p, stdout);
		goto out;
	}
	if (isatty(STDERR_FILENO)) {
		o->cfg.progress = show_progress;
		o->cfg.progress_arg = s;
	}
	ret = clo_explore(&prog, &o->cfg, &r);
	if (o->cfg.progress)
		fputs("\r\033[K", stderr);
	if (ret || s->setup_error) {
		fprintf(stderr, "%s: %s%s%s\n", path, strerror(ret ? -ret : -s->setup_error),
			*s->why ? ": " : "", s->why);
		status = EXIT_FINDING;
	} else if (o->json) {
		json_object_array_add(all, to_json(path, s, &r));
	} else {
		print_text(&prog, o, path, s, &r);
	}
	if (ret == 0) {
		if (r.verdict != CLO_EXPLORE_HOLDS || never_seen(s) >= 0)
			status = EXIT_FINDING;
		clo_explore_release(&r);
	}
out:
	clo_litmus_free(p);
	free(s);
	return status;
}

static int replay_file(struct options *o, const char *path)
{
	struct subject *s = calloc(1, sizeof(*s));
	struct clo_explore_program prog = {
		.arg = s, .run = run_subject, .check = check_subject, .judge = judge_subject
	};
	struct clo_explore_switch *schedule = NULL;
	struct clo_litmus *p = NULL;
	uint32_t count;
	int ret = s ? clo_explore_parse(o->replay, &schedule, &count) : -ENOMEM;

	if (ret) {
		fprintf(stderr,
			"cloister explore: --replay wants STEP:THREAD,... as a violation printed "
			"it, not '%s'\n",
			o->replay);
		free(s);
		return EXIT_USAGE;
	}
	ret = clo_litmus_read(path, &p, stderr);
	if (ret == 0) {
		s->p = p;
		ret = clo_explore_print(&prog, &o->cfg, schedule, count, o->all_steps, stdout);
		clo_litmus_free(p);
	}
	free(schedule);
	free(s);
	return ret ? EXIT_USAGE : EXIT_OK;
}

static void print_help(void)
{
	puts("usage: cloister explore [OPTION]... FILE...\n\n"
	     "Runs litmus files in every interleaving with a bounded number of preemptions, on the "
	     "engine itself, built on a\n"
	     "deterministic scheduler. The invariants I1..I7 are checked after each step, the "
	     "file's conditions after each run.\n"
	     "A violation is printed as a diagram, a column a thread, with an id that replays "
	     "it.\n\n"
	     "  --preemptions N  switches away from a thread that could go on; 2\n"
	     "  --max-runs N     stop after N interleavings (the verdict is then 'incomplete')\n"
	     "  --all-points     preempt before every operation, not only where two threads share "
	     "an object: slow\n"
	     "  --break NAME     take one check or step out of the engine; may be given again. "
	     "'cloister explore --breaks' lists them\n"
	     "  --replay ID      run one schedule and print it\n"
	     "  --all-steps      print every operation of a schedule, not only what the engine "
	     "notes\n"
	     "  --canonical      print the file as the reader understood it, and stop\n"
	     "  --json           machine-readable output\n\n"
	     "Exit status: 0 holds, 1 a violation, an outcome never seen, or incomplete, 2 wrong "
	     "usage.");
}

static void print_breaks(void)
{
	for (unsigned b = CLO_BREAK_NONE + 1; b < CLO_BREAK_COUNT; b++)
		printf("  %-16s %s\n", clo_break_name((enum clo_break)b),
		       clo_break_help((enum clo_break)b));
}

static bool parse_number(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *out <= max;
}

static int usage(const char *what, const char *arg)
{
	fprintf(stderr, "cloister explore: %s '%s'\nTry 'cloister explore --help'.\n", what, arg);
	return -1;
}

/* An option with a value. 0, or -1 after a message. */
static int value_option(struct options *o, const char *name, const char *value)
{
	uint64_t n;

	if (strcmp(name, "--preemptions") == 0) {
		if (!parse_number(value, 16, &n))
			return usage("--preemptions wants a number up to 16, not", value);
		o->cfg.preemptions = (unsigned)n;
	} else if (strcmp(name, "--max-runs") == 0) {
		if (!parse_number(value, UINT64_MAX, &o->cfg.max_runs))
			return usage("--max-runs wants a number, not", value);
	} else if (strcmp(name, "--replay") == 0) {
		o->replay = value;
	} else {
		enum clo_break b = clo_break_parse(value);

		if (b == CLO_BREAK_COUNT || b == CLO_BREAK_NONE)
			return usage("--breaks lists what --break can take out; there is no",
				     value);
		clo_break_set(b, true);
	}
	return 0;
}

/* 0: go on; 1: done (help); -1: wrong usage. */
static int parse_options(struct options *o, int argc, char **argv)
{
	static const char *const valued[] = { "--preemptions", "--max-runs", "--replay",
					      "--break" };
	int i = 1;

	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		bool has_value = false;

		for (size_t k = 0; k < CLO_ARRAY_SIZE(valued); k++)
			has_value |= strcmp(argv[i], valued[k]) == 0;
		if (has_value) {
			if (i + 1 == argc)
				return usage("a value is missing behind", argv[i]);
			if (value_option(o, argv[i], argv[i + 1]))
				return -1;
			i++;
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			print_help();
			return 1;
		} else if (strcmp(argv[i], "--breaks") == 0) {
			print_breaks();
			return 1;
		} else if (strcmp(argv[i], "--json") == 0) {
			o->json = true;
		} else if (strcmp(argv[i], "--all-steps") == 0) {
			o->all_steps = true;
		} else if (strcmp(argv[i], "--all-points") == 0) {
			o->cfg.all_points = true;
		} else if (strcmp(argv[i], "--canonical") == 0) {
			o->canonical = true;
		} else {
			return usage("unknown option", argv[i]);
		}
	}
	o->first_file = i;
	return i < argc ? 0 : usage("no litmus file named behind", argv[argc - 1]);
}

int main(int argc, char **argv)
{
	struct options o = { .cfg = { .preemptions = DEFAULT_PREEMPTIONS } };
	struct json_object *all;
	int status = EXIT_OK, ret = parse_options(&o, argc, argv);

	if (ret)
		return ret < 0 ? EXIT_USAGE : EXIT_OK;
	all = json_object_new_array();
	for (int i = o.first_file; i < argc; i++) {
		int s = o.replay ? replay_file(&o, argv[i]) : explore_file(&o, argv[i], all);

		status = s > status ? s : status;
	}
	if (o.json)
		puts(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY |
								 JSON_C_TO_STRING_SPACED |
								 JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(all);
	return status;
}
