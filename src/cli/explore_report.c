/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/explore_report.c - what cloister-explore says about a file, as text and as JSON: the verdict,
 * and what it does not cover.
 */
#include "explore_main.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LACKS 4U

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

static const char *verdict_text(const struct subject *s, const struct clo_explore_result *r)
{
	if (r->verdict == CLO_EXPLORE_VIOLATED)
		return "violated";
	if (r->verdict == CLO_EXPLORE_INCOMPLETE)
		return "incomplete";
	if (never_seen(s) >= 0)
		return "never seen";
	return r->unfair ? "holds if fair" : "holds";
}

bool explore_is_finding(const struct subject *s, const struct clo_explore_result *r)
{
	return r->verdict != CLO_EXPLORE_HOLDS || never_seen(s) >= 0;
}

/* What no verdict here speaks of: @bound is room for the first. */
static unsigned not_explored(const struct clo_explore_result *r, const char *list[LACKS],
			     char *bound, size_t size)
{
	unsigned n = 0;

	if (!r->exhausted) {
		snprintf(bound, size, "more than %u preemption%s", r->preemptions,
			 r->preemptions == 1 ? "" : "s");
		list[n++] = bound;
	}
	list[n++] = "weak memory";
	/* The view of an explored host is of level soft: the engine's own accesses only. */
	list[n++] = "user mappings of host views";
	list[n++] = "discard";
	return n;
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
	for (unsigned i = 0; i < o->site_count; i++)
		printf(" --break " EXPLORE_SITE "%s", o->sites[i]);
	printf(" %s\n", path);
}

static void print_incomplete(const struct subject *s, const struct clo_explore_result *r)
{
	printf("  incomplete: stopped by %s; explored are ",
	       s->stopped_by ? s->stopped_by : "--max-runs");
	if (r->bounds_done == 0)
		printf("not even all interleavings without preemptions\n");
	else if (r->bounds_done == 1)
		printf("all interleavings without preemptions, some with 1\n");
	else
		printf("all interleavings with at most %u, some with %u preemptions\n",
		       r->bounds_done - 1, r->bounds_done);
}

static void print_holds(const struct subject *s, const struct clo_explore_result *r)
{
	int missing = never_seen(s);

	if (missing >= 0) {
		printf("  NEVER SEEN: ");
		clo_litmus_print_final(s->p, (unsigned)missing, stdout);
		putchar('\n');
		return;
	}
	printf("  %s\n", verdict_text(s, r));
	if (r->unfair)
		printf("  left out: %" PRIu64
		       " continuations in which a thread that can go on never "
		       "gets its turn while others spin\n",
		       r->unfair);
}

void explore_print_text(const struct clo_explore_program *prog, const struct explore_options *o,
			const char *path, struct subject *s, const struct clo_explore_result *r)
{
	const char *lacks[LACKS];
	char bound[64];
	unsigned n = not_explored(r, lacks, bound, sizeof(bound));

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
	if (r->verdict == CLO_EXPLORE_INCOMPLETE)
		print_incomplete(s, r);
	else
		print_holds(s, r);
	printf("  not explored: ");
	for (unsigned i = 0; i < n; i++)
		printf("%s%s", i ? ", " : "", lacks[i]);
	putchar('\n');
}

static struct json_object *outcomes_json(struct clo_litmus_tally *t)
{
	struct json_object *list = json_object_new_array();

	clo_litmus_tally_sort(t);
	for (unsigned i = 0; i < t->count; i++) {
		struct json_object *one = json_object_new_object();

		json_object_object_add(one, "outcome", json_object_new_string(t->outcomes[i].text));
		json_object_object_add(one, "times", json_object_new_uint64(t->outcomes[i].times));
		json_object_array_add(list, one);
	}
	return list;
}

static struct json_object *schedule_json(const struct clo_explore_result *r)
{
	struct json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < r->schedule_count; i++) {
		struct json_object *one = json_object_new_object();

		json_object_object_add(one, "step", json_object_new_int64(r->schedule[i].step));
		json_object_object_add(one, "thread", json_object_new_int64(r->schedule[i].thread));
		json_object_array_add(list, one);
	}
	return list;
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

static void add_coverage(struct json_object *j, const struct subject *s,
			 const struct clo_explore_result *r)
{
	struct json_object *list = json_object_new_array();
	const char *lacks[LACKS];
	char bound[64];
	unsigned n = not_explored(r, lacks, bound, sizeof(bound));

	for (unsigned i = 0; i < n; i++)
		json_object_array_add(list, json_object_new_string(lacks[i]));
	json_object_object_add(j, "not_explored", list);
	json_object_object_add(j, "left_out_as_unfair", json_object_new_uint64(r->unfair));
	json_object_object_add(j, "preemptions_done",
			       json_object_new_int64((int64_t)r->bounds_done - 1));
	if (r->verdict == CLO_EXPLORE_INCOMPLETE)
		json_object_object_add(
			j, "stopped_by",
			json_object_new_string(s->stopped_by ? s->stopped_by : "--max-runs"));
}

struct json_object *explore_to_json(const char *path, struct subject *s,
				    const struct clo_explore_result *r)
{
	struct json_object *j = json_object_new_object();

	if (r->verdict == CLO_EXPLORE_VIOLATED)
		add_replay(j, r);
	json_object_object_add(j, "file", json_object_new_string(path));
	json_object_object_add(j, "name", json_object_new_string(s->p->name));
	json_object_object_add(j, "verdict", json_object_new_string(verdict_text(s, r)));
	json_object_object_add(j, "interleavings", json_object_new_uint64(r->runs));
	json_object_object_add(j, "steps", json_object_new_uint64(r->steps));
	json_object_object_add(j, "preemptions", json_object_new_int64(r->preemptions));
	json_object_object_add(j, "violated", json_object_new_string(r->invariant));
	json_object_object_add(j, "why", json_object_new_string(r->why));
	if (*r->report)
		json_object_object_add(j, "report", json_object_new_string(r->report));
	json_object_object_add(j, "schedule", schedule_json(r));
	json_object_object_add(j, "outcomes", outcomes_json(&s->tally));
	add_coverage(j, s, r);
	return j;
}
