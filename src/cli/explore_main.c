/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/explore_main.c - cloister-explore: litmus files in every interleaving. Reached as `cloister
 * explore`; a program of its own, because it is linked with the explorer's build of the engine.
 */
#include "explore_main.h"

#include "check/check.h"
#include "litmus/litmus.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The program that a run executes, and what it leaves behind. One exploration at a time. */
struct subject {
	const struct clo_litmus *p;
	struct clo_litmus_run *run; /* NULL: not set up, or being torn down */
	struct clo_litmus_verdict verdict;
	struct clo_litmus_tally tally;
	uint32_t sometimes;
	bool violated, ended; /* the last run */
	int setup_error;
	char why[CLO_LITMUS_WHY];
};

static void run_subject(void *arg)
{
	struct subject *s = arg;
	struct clo_litmus_run *run;

	s->run = NULL;
	s->violated = s->ended = false;
	clo_sched_quiet(true);
	clo_sched_name("main");
	s->setup_error = clo_litmus_setup(s->p, CLO_HOST_VIEW_SOFT, &run, s->why);
	if (s->setup_error)
		clo_sched_stop(s->setup_error);
	s->run = run;
	clo_rcu_barrier(); /* what set-up deferred is no part of the race */
	clo_sched_quiet(false);
	s->setup_error = clo_litmus_run_threads(run);
	clo_sched_quiet(true);
	s->run = NULL;
	if (s->setup_error)
		clo_sched_stop(s->setup_error);
	clo_litmus_judge(run, &s->verdict);
	clo_litmus_teardown(run);
	s->ended = true;
}

static int check_subject(void *arg, const char **invariant, char *why, size_t size)
{
	struct subject *s = arg;
	struct clo_check_fail fail;

	if (!s->run || clo_check_host(clo_litmus_host(s->run), &fail) == 0)
		return 0;
	s->violated = true;
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
	s->violated = true;
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

static void print_violation(const struct clo_explore_program *prog, const struct explore_options *o,
			    const char *path, const struct clo_explore_result *r)
{
	printf("  VIOLATED: %s: %s\n", r->invariant, r->why);
	if (*r->report)
		printf("  %s\n", r->report);
	printf("  the schedule, %u preemption%s:\n\n", r->preemptions,
	       r->preemptions == 1 ? "" : "s");
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

static void print_text(const struct clo_explore_program *prog, const struct explore_options *o,
		       const char *path, struct subject *s, const struct clo_explore_result *r)
{
	int missing = never_seen(s);

	printf("%s: %s, every interleaving with at most %u preemption%s\n", path, s->p->name,
	       o->cfg.preemptions, o->cfg.preemptions == 1 ? "" : "s");
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

/* The id for --replay. */
static void add_replay(struct json_object *j, const struct clo_explore_result *r)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return;
	clo_explore_format(r, f);
	if (fclose(f) == 0)
		json_object_object_add(j, "replay", json_object_new_string(text));
	free(text);
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
	if (r->verdict == CLO_EXPLORE_VIOLATED)
		add_replay(j, r);
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

/* A bare name can be a file that comes with Cloister: `cloister explore` says in which folder. */
static int read_file(const char *path, struct clo_litmus **out)
{
	static const char *const ends[] = { "", ".litmus" };
	const char *dir = getenv("CLOISTER_LITMUS_PATH");
	char known[PATH_MAX];

	if (dir && *path && !strchr(path, '/') && access(path, F_OK) != 0) {
		for (size_t i = 0; i < CLO_ARRAY_SIZE(ends); i++) {
			int used = snprintf(known, sizeof(known), "%s/%s%s", dir, path, ends[i]);

			if (used > 0 && (size_t)used < sizeof(known) && access(known, R_OK) == 0)
				return clo_litmus_read(known, out, stderr);
		}
	}
	return clo_litmus_read(path, out, stderr);
}

/* A file whose initial state cannot be made, or no memory: nothing was explored. */
static int not_run(const char *path, const struct subject *s, int ret)
{
	fprintf(stderr, "%s: %s%s%s\n", path, strerror(ret ? -ret : -s->setup_error),
		*s->why ? ": " : "", s->why);
	return CLI_USAGE;
}

static struct subject *new_subject(void)
{
	struct subject *s = calloc(1, sizeof(*s));

	if (!s)
		fputs("cloister explore: out of memory\n", stderr);
	return s;
}

static int explore_file(struct explore_options *o, const char *path, struct json_object *all)
{
	struct subject *s = new_subject();
	struct clo_explore_program prog = {
		.arg = s, .run = run_subject, .check = check_subject, .judge = judge_subject
	};
	const char *term = getenv("TERM");
	struct clo_explore_result r;
	struct clo_litmus *p = NULL;
	int ret = s ? read_file(path, &p) : -ENOMEM, status = CLI_OK;

	if (ret) {
		free(s);
		return CLI_USAGE;
	}
	s->p = p;
	if (o->canonical) {
		clo_litmus_print(p, stdout);
		goto out;
	}
	if (isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0)) {
		o->cfg.progress = show_progress;
		o->cfg.progress_arg = s;
	}
	ret = clo_explore(&prog, &o->cfg, &r);
	if (o->cfg.progress)
		fputs("\r\033[K", stderr);
	if (ret || s->setup_error) {
		status = not_run(path, s, ret);
	} else {
		if (o->json)
			json_object_array_add(all, to_json(path, s, &r));
		else
			print_text(&prog, o, path, s, &r);
		if (r.verdict != CLO_EXPLORE_HOLDS || never_seen(s) >= 0)
			status = CLI_FINDING;
	}
	if (ret == 0)
		clo_explore_release(&r);
out:
	clo_litmus_free(p);
	free(s);
	return status;
}

static int replay_file(struct explore_options *o, const char *path)
{
	struct subject *s = new_subject();
	struct clo_explore_program prog = {
		.arg = s, .run = run_subject, .check = check_subject, .judge = judge_subject
	};
	struct clo_explore_switch *schedule = NULL;
	struct clo_litmus *p = NULL;
	uint32_t count;
	int ret = s ? clo_explore_parse(o->replay, &schedule, &count) : -ENOMEM, status = CLI_USAGE;

	if (ret == -ENOMEM) {
		free(s);
		return CLI_USAGE;
	}
	if (ret) {
		fprintf(stderr,
			"cloister explore: --replay wants STEP:THREAD,... as a violation printed "
			"it, not '%s'\n",
			o->replay);
		free(s);
		return CLI_USAGE;
	}
	ret = read_file(path, &p);
	if (ret == 0) {
		s->p = p;
		ret = clo_explore_print(&prog, &o->cfg, schedule, count, o->all_steps, stdout);
		if (ret || s->setup_error)
			status = not_run(path, s, ret);
		else
			status = s->violated || !s->ended ? CLI_FINDING : CLI_OK;
		clo_litmus_free(p);
	}
	free(schedule);
	free(s);
	return status;
}

static int explore_files(struct explore_options *o, int argc, char **argv)
{
	struct json_object *all = json_object_new_array();
	int status = CLI_OK;

	for (int i = optind; i < argc; i++) {
		int s = o->replay ? replay_file(o, argv[i]) : explore_file(o, argv[i], all);

		status = s > status ? s : status;
	}
	if (o->json)
		cli_print_json(all);
	else
		json_object_put(all);
	return status;
}

int main(int argc, char **argv)
{
	struct explore_options o = { .cfg = { .preemptions = EXPLORE_PREEMPTIONS } };
	int status = CLI_OK;

	cli_output_begin();
	if (explore_parse_options(&o, argc, argv))
		status = CLI_USAGE;
	else if (o.help)
		explore_print_help();
	else if (o.breaks)
		explore_print_breaks(o.json);
	else
		status = explore_files(&o, argc, argv);
	return cli_output_end(status);
}
