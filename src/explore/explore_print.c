/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explore/explore_print.c - one schedule as text: a column a thread, a line a step, as races are
 * drawn in mails. And the replay id.
 */
#include "explore_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COLUMN 36
#define TEXT   80
#define NAME   16

struct line {
	uint32_t step, thread;
	char text[TEXT];
};

struct printer {
	const struct clo_explore_program *p;
	struct explore_replay replay;
	bool all_steps, no_memory;
	struct line *lines;
	size_t count, cap;
	char names[CLO_SCHED_THREADS][NAME];
	uint64_t seen; /* bit per thread that has a line */
	const char *invariant;
	char why[CLO_EXPLORE_WHY];
};

uint32_t explore_replay_choose(struct explore_replay *r, const struct clo_sched_choice *c)
{
	if (r->at < r->count && r->schedule[r->at].step == c->step) {
		uint32_t wanted = r->schedule[r->at].thread;

		for (uint32_t i = 0; i < c->count; i++) {
			if (c->threads[i] != wanted)
				continue;
			r->at++;
			return wanted;
		}
		if (c->sleepers >> wanted & 1) {
			r->at++;
			return wanted;
		}
	}
	return explore_default(c);
}

static int choose(void *arg, const struct clo_sched_choice *c)
{
	struct printer *pr = arg;

	return (int)explore_replay_choose(&pr->replay, c);
}

/* A switch behind the reading of a pointer needs a step there, as the search made one. */
static bool on_use(void *arg, uint32_t thread, const void *block, uint64_t step)
{
	const struct explore_replay *r = &((struct printer *)arg)->replay;

	(void)thread, (void)block;
	return r->at < r->count && r->schedule[r->at].step == step;
}

static char *add_line(struct printer *pr, const struct clo_sched_step *step)
{
	struct line *l;

	if (pr->count == pr->cap) {
		size_t cap = pr->cap ? 2 * pr->cap : 256;
		struct line *bigger = realloc(pr->lines, cap * sizeof(*bigger));

		if (!bigger) {
			pr->no_memory = true;
			return NULL;
		}
		pr->lines = bigger;
		pr->cap = cap;
	}
	l = &pr->lines[pr->count++];
	l->step = (uint32_t)step->number;
	l->thread = step->thread;
	l->text[0] = 0;
	if (step->thread < CLO_SCHED_THREADS) {
		snprintf(pr->names[step->thread], NAME, "%s", step->name ? step->name : "?");
		pr->seen |= 1ULL << step->thread;
	}
	return l->text;
}

static void add_op(struct printer *pr, const struct clo_sched_step *step)
{
	bool point = step->op.kind == CLO_OP_POINT;
	char *text;

	if (!point && !pr->all_steps)
		return;
	text = add_line(pr, step);
	if (!text)
		return;
	if (point)
		snprintf(text, TEXT, "%s %#" PRIx64, step->op.what, step->op.arg);
	else
		snprintf(text, TEXT, "%s %s ..%04x%s", clo_op_name(step->op.kind),
			 step->op.what ? step->op.what : "",
			 (unsigned)((uintptr_t)step->op.obj & 0xffff), step->ok ? "" : " (failed)");
}

static int on_step(void *arg, const struct clo_sched_step *step)
{
	struct printer *pr = arg;

	add_op(pr, step);
	for (uint32_t i = 0; i < step->note_count && i < CLO_SCHED_NOTES; i++) {
		char *text = add_line(pr, step);

		if (text)
			snprintf(text, TEXT, "%s %#" PRIx64, step->notes[i].what,
				 step->notes[i].value);
	}
	if (pr->no_memory)
		return -ENOMEM;
	return pr->p->check ? pr->p->check(pr->p->arg, &pr->invariant, pr->why, sizeof(pr->why))
			    : 0;
}

static void put_header(const struct printer *pr, FILE *out)
{
	fprintf(out, "%6s", "step");
	for (unsigned t = 0; t < CLO_SCHED_THREADS; t++) {
		if (pr->seen & (1ULL << t))
			fprintf(out, " | %-*s", COLUMN, pr->names[t]);
	}
	fputc('\n', out);
}

static void put_line(const struct printer *pr, const struct line *l, FILE *out)
{
	fprintf(out, "%6u", l->step);
	for (unsigned t = 0; t < CLO_SCHED_THREADS && t <= l->thread; t++) {
		if (!(pr->seen & (1ULL << t)))
			continue;
		if (t == l->thread)
			fprintf(out, " | %s", l->text);
		else
			fprintf(out, " | %-*s", COLUMN, "");
	}
	fputc('\n', out);
}

static void put_end(const struct printer *pr, const struct clo_sched_result *r, FILE *out)
{
	if (r->end == CLO_SCHED_DONE && pr->invariant == NULL)
		fprintf(out, "%6s   all threads ended, nothing violated\n", "");
	else if (pr->invariant)
		fprintf(out, "%6s   %s violated: %s\n", "", pr->invariant, pr->why);
	else
		fprintf(out, "%6s   %s\n%s%s", "", clo_sched_end_name(r->end), r->report,
			*r->report ? "\n" : "");
}

int clo_explore_print(const struct clo_explore_program *p, const struct clo_explore_config *cfg,
		      const struct clo_explore_switch *schedule, uint32_t count, bool all_steps,
		      FILE *out)
{
	struct printer pr = { .p = p,
			      .replay = { .schedule = schedule, .count = count },
			      .all_steps = all_steps };
	struct clo_sched_config sc = explore_sched(cfg);
	struct clo_sched_result r;
	int ret;

	sc.arg = &pr;
	sc.choose = choose;
	sc.on_step = on_step;
	sc.use = on_use;
	ret = clo_sched_run(&sc, p->run, p->arg, &r);
	if (ret == 0 && pr.no_memory)
		ret = -ENOMEM;
	if (ret == 0 && r.end == CLO_SCHED_DONE && p->judge)
		(void)p->judge(p->arg, &pr.invariant, pr.why, sizeof(pr.why));
	if (ret == 0) {
		put_header(&pr, out);
		for (size_t i = 0; i < pr.count; i++)
			put_line(&pr, &pr.lines[i], out);
		put_end(&pr, &r, out);
		if (pr.replay.at < pr.replay.count)
			fprintf(out,
				"%6s   %u of the schedule's %u switches did not fit: it is of "
				"another program, or of another version\n",
				"", pr.replay.count - pr.replay.at, pr.replay.count);
	}
	free(pr.lines);
	return ret;
}

void clo_explore_format(const struct clo_explore_result *r, FILE *out)
{
	if (r->schedule_count == 0)
		fputs("0", out); /* no switch: the default schedule */
	for (uint32_t i = 0; i < r->schedule_count; i++)
		fprintf(out, "%s%u:%u", i ? "," : "", r->schedule[i].step, r->schedule[i].thread);
}

/* Digits at *@at, moved behind them. */
static bool parse_number(const char **at, uint32_t *out)
{
	uint64_t n = 0;
	const char *p = *at;

	while (*p >= '0' && *p <= '9' && n <= UINT32_MAX)
		n = n * 10 + (uint64_t)(*p++ - '0');
	if (p == *at || n > UINT32_MAX)
		return false;
	*at = p;
	*out = (uint32_t)n;
	return true;
}

/* "STEP:THREAD" and, unless it is the last, a comma. */
static bool parse_switch(const char **at, struct clo_explore_switch *s, bool *more)
{
	if (!parse_number(at, &s->step) || *(*at)++ != ':' || !parse_number(at, &s->thread))
		return false;
	*more = **at == ',';
	*at += *more;
	return s->thread < CLO_SCHED_THREADS && (*more || **at == '\0');
}

int clo_explore_parse(const char *text, struct clo_explore_switch **schedule, uint32_t *count)
{
	size_t most = strlen(text) / 2 + 1;
	struct clo_explore_switch *list = calloc(most, sizeof(*list));
	bool more = strcmp(text, "0") != 0;
	uint32_t n = 0;

	if (!list)
		return -ENOMEM;
	while (more) {
		if (!parse_switch(&text, &list[n++], &more)) {
			free(list);
			return -EINVAL;
		}
	}
	*schedule = list;
	*count = n;
	return 0;
}
