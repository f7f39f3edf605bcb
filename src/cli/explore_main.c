/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/explore_main.c - cloister-explore: litmus files in every interleaving. Reached as `cloister
 * explore`; a program of its own, because it is linked with the explorer's build of the engine.
 */
#include "explore_main.h"

#include "check/check.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PROGRESS_RUNS 1024U

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

/*
 * SIGINT, SIGTERM: the search ends with its run. One that comes a second later ends the program:
 * timeout(1) sends two at once.
 */
#define PATIENCE_S 1
static volatile sig_atomic_t interrupted;

static void on_signal(int signal_number)
{
	static struct timespec first;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!interrupted) {
		first = now;
		interrupted = signal_number;
	} else if (now.tv_sec > first.tv_sec + PATIENCE_S) {
		signal(signal_number, SIG_DFL);
		raise(signal_number);
	}
}

static void catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

static int show_progress(void *arg, uint64_t runs, unsigned preemptions)
{
	struct subject *s = arg;

	if (interrupted)
		s->stopped_by = interrupted == SIGINT ? "SIGINT" : "SIGTERM";
	else if (s->deadline_ns && clo_now_ns() >= s->deadline_ns)
		s->stopped_by = "--timeout";
	if (s->draws && runs % PROGRESS_RUNS == 0)
		fprintf(stderr, "\r\033[K%s: %" PRIu64 " runs, up to %u preemptions", s->p->name,
			runs, preemptions);
	return s->stopped_by != NULL;
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
	s->draws = isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0);
	s->deadline_ns = o->timeout_ns ? clo_now_ns() + o->timeout_ns : 0;
	o->cfg.progress = show_progress;
	o->cfg.progress_arg = s;
	ret = clo_explore(&prog, &o->cfg, &r);
	if (s->draws)
		fputs("\r\033[K", stderr);
	if (ret || s->setup_error) {
		status = not_run(path, s, ret);
	} else {
		if (o->json)
			json_object_array_add(all, explore_to_json(path, s, &r));
		else
			explore_print_text(&prog, o, path, s, &r);
		if (explore_is_finding(s, &r))
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
	catch_signals();
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
