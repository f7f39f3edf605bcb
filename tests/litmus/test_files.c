/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_files.c - the files of litmus/ hold: run in the order of their rows and on threads (threads
 * build), in every interleaving (explorer build). And with a step of the engine left out, the file
 * that is about it finds that: docs/invariants.md, "Break switches".
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness/test.h"
#include "litmus/litmus.h"

/* Each file of litmus/; how deep it is explored is in bounds.txt. */
#define FILES(X)                                                                                   \
	X(close_vs_convert, "close-vs-convert")                                                    \
	X(close_vs_convert_backings, "close-vs-convert-backings")                                  \
	X(close_vs_convert_listener, "close-vs-convert-listener")                                  \
	X(close_vs_slot_delete, "close-vs-slot-delete")                                            \
	X(convert_backings_vs_slot_beside, "convert-backings-vs-slot-beside")                      \
	X(convert_refused, "convert-refused")                                                      \
	X(convert_refused_missing, "convert-refused-missing")                                      \
	X(convert_refused_zero, "convert-refused-zero")                                            \
	X(convert_vs_convert, "convert-vs-convert")                                                \
	X(convert_vs_slot, "convert-vs-slot")                                                      \
	X(convert_vs_pin, "convert-vs-pin")                                                        \
	X(fault_vs_convert, "fault-vs-convert")                                                    \
	X(fault_vs_punch, "fault-vs-punch")                                                        \
	X(fault_vs_slot_delete, "fault-vs-slot-delete")                                            \
	X(get_attributes_vs_slot_delete, "get-attributes-vs-slot-delete")                          \
	X(host_touch_vs_convert, "host-touch-vs-convert")                                          \
	X(host_touch_vs_punch, "host-touch-vs-punch")                                              \
	X(hypercall, "hypercall")                                                                  \
	X(in_place_preserved, "in-place-preserved")                                                \
	X(mail0_double_mapping, "mail0-double-mapping")                                            \
	X(mail0_holes, "mail0-holes")                                                              \
	X(mail0_slot_moves_file, "mail0-slot-moves-file")                                          \
	X(mail3_attribute_decides, "mail3-attribute-decides")                                      \
	X(mail3_both_convert, "mail3-both-convert")                                                \
	X(mail3_private_fault_exit, "mail3-private-fault-exit")                                    \
	X(mail4_preparation, "mail4-preparation")                                                  \
	X(mail4_prepare_fails, "mail4-prepare-fails")                                              \
	X(pre_fault_vs_convert, "pre-fault-vs-convert")                                            \
	X(pre_fault_vs_slot_delete, "pre-fault-vs-slot-delete")                                    \
	X(punch_vs_convert, "punch-vs-convert")                                                    \
	X(punch_vs_fault_beside, "punch-vs-fault-beside")                                          \
	X(slot_delete_vs_punch, "slot-delete-vs-punch")                                            \
	X(slot_delete_vs_punch_beside, "slot-delete-vs-punch-beside")                              \
	X(slot_refused_vs_punch, "slot-refused-vs-punch")                                          \
	X(taken_back, "taken-back")                                                                \
	X(taken_back_undone, "taken-back-undone")                                                  \
	X(two_backings_again, "two-backings-again")                                                \
	X(two_backings_vs_slot, "two-backings-vs-slot")                                            \
	X(wait_for_listener, "wait-for-listener")                                                  \
	X(wait_holds_nothing, "wait-holds-nothing")                                                \
	X(zero_policy, "zero-policy")                                                              \
	X(zero_policy_vs_host, "zero-policy-vs-host")

static struct clo_litmus *read_file(const char *name)
{
	const char *root = getenv("CLO_SOURCE_ROOT");
	struct clo_litmus *p;
	char path[512];

	if (!root)
		SKIP("CLO_SOURCE_ROOT is not set");
	snprintf(path, sizeof(path), "%s/litmus/%s.litmus", root, name);
	CHECK_OK(clo_litmus_read(path, &p, stdout));
	return p;
}

/* A file that no test runs would only look like one. */
TEST(each_file_has_its_test)
{
#define NAME(id, file) file ".litmus",
	static const char *const names[] = { FILES(NAME) };
	const char *root = getenv("CLO_SOURCE_ROOT");
	char path[512];
	struct dirent *d;
	DIR *dir;

	if (!root)
		SKIP("CLO_SOURCE_ROOT is not set");
	snprintf(path, sizeof(path), "%s/litmus", root);
	dir = opendir(path);
	CHECK(dir != NULL);
	while ((d = readdir(dir)) != NULL) {
		bool known = !strstr(d->d_name, ".litmus");

		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !known; i++)
			known = strcmp(names[i], d->d_name) == 0;
		CHECK_MSG(known, "%s is in no test", d->d_name);
	}
	closedir(dir);
}

#ifndef CLO_SYNC_EXPLORE

/* Enough for each file to show most of its outcomes, few enough for the thread sanitizer. */
#define RUNS 60

static void run_once(const struct clo_litmus *p, bool threads)
{
	struct clo_litmus_verdict v;
	struct clo_litmus_run *r;
	char why[CLO_LITMUS_WHY];
	int ret = clo_litmus_setup(p, CLO_HOST_VIEW_SOFT, &r, why);

	CHECK_MSG(ret == 0, "%s", why);
	if (threads)
		CHECK_OK(clo_litmus_run_threads(r));
	else
		clo_litmus_run_rows(r);
	clo_litmus_judge(r, &v);
	CHECK_MSG(v.holds, "%s (%s)", v.why, v.outcome);
	clo_litmus_teardown(r);
}

/* docs/litmus.md has the tables as --help prints them. */
TEST(documentation_is_current)
{
	const char *root = getenv("CLO_SOURCE_ROOT");
	static char doc[1 << 16];
	char path[512];
	char *words = NULL;
	size_t len;
	FILE *f;

	if (!root)
		SKIP("CLO_SOURCE_ROOT is not set");
	snprintf(path, sizeof(path), "%s/docs/litmus.md", root);
	f = fopen(path, "r");
	CHECK(f != NULL);
	len = fread(doc, 1, sizeof(doc) - 1, f);
	fclose(f);
	doc[len] = 0;
	f = open_memstream(&words, &len);
	CHECK(f != NULL);
	clo_litmus_print_ops(f, true);
	fclose(f);
	CHECK_MSG(strstr(doc, words) != NULL, "docs/litmus.md needs this text:\n%s", words);
	free(words);
}

#define FILE_TEST(id, file)                                                                        \
	TEST(id)                                                                                   \
	{                                                                                          \
		struct clo_litmus *p = read_file(file);                                            \
		uint64_t live = clo_alloc_live();                                                  \
                                                                                                   \
		for (unsigned i = 0; i < RUNS; i++)                                                \
			run_once(p, i > 0);                                                        \
		CHECK_EQ(clo_alloc_live(), live);                                                  \
		clo_litmus_free(p);                                                                \
	}
FILES(FILE_TEST)

#else

#include "check/check.h"
#include "explore/explore.h"

struct subject {
	const struct clo_litmus *p;
	struct clo_litmus_run *run; /* NULL: not there, or not to be checked */
	struct clo_litmus_verdict verdict;
	struct clo_litmus_tally tally;
	uint32_t sometimes;
};

static void run_subject(void *arg)
{
	struct subject *s = arg;
	struct clo_litmus_run *run;

	s->run = NULL;
	clo_sched_quiet(true);
	if (clo_litmus_setup(s->p, CLO_HOST_VIEW_SOFT, &run, NULL))
		clo_sched_stop(1);
	s->run = run;
	clo_rcu_barrier();
	clo_sched_quiet(false);
	if (clo_litmus_run_threads(run))
		clo_sched_stop(1);
	clo_sched_quiet(true);
	s->run = NULL;
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

static struct subject subject; /* its address is in no schedule */

static struct clo_explore_result explore(const char *file, unsigned bound, bool all_points)
{
	struct clo_explore_program prog = {
		.arg = &subject, .run = run_subject, .check = check_subject, .judge = judge_subject
	};
	struct clo_explore_config cfg = { .preemptions = bound,
					  .max_runs = 200000,
					  .all_points = all_points };
	struct clo_explore_result r;

	subject = (struct subject){ .p = read_file(file) };
	CHECK_OK(clo_explore(&prog, &cfg, &r));
	test_note("%" PRIu64 " runs, %" PRIu64 " steps, longest %" PRIu64, r.runs, r.steps,
		  r.longest);
	if (r.verdict == CLO_EXPLORE_VIOLATED) {
		test_note("%s: %s", r.invariant, r.why);
		CHECK_OK(clo_explore_print(&prog, &cfg, r.schedule, r.schedule_count, false,
					   stdout));
	}
	return r;
}

struct bounds {
	unsigned preemptions, all_points;
};

static struct bounds bounds_of(const char *file)
{
	struct bounds b = { 0 };
	char path[512], line[256], name[64];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/litmus/bounds.txt", getenv("CLO_SOURCE_ROOT"));
	f = fopen(path, "r");
	CHECK(f != NULL);
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%63s %u %u", name, &b.preemptions, &b.all_points) == 3 &&
			strcmp(name, file) == 0;
	fclose(f);
	CHECK_MSG(found, "%s is not in bounds.txt", file);
	return b;
}

/* Under a sanitizer without preemptions: they are for the verdict, which is the same there. */
#ifdef CLO_SANITIZED
#define WITH_PREEMPTIONS 0
#else
#define WITH_PREEMPTIONS 1
#endif

static void holds(const char *file)
{
	unsigned bound = WITH_PREEMPTIONS ? bounds_of(file).preemptions : 0;
	struct clo_explore_result r = explore(file, bound, false);

	CHECK_MSG(r.verdict == CLO_EXPLORE_HOLDS, "%s: %s\n%s", r.invariant, r.why, r.report);
	CHECK_MSG(r.objects > 0, "no object is shared: there was no race to explore");
	for (unsigned i = 0; i < subject.p->final_count; i++) {
		CHECK_MSG(!WITH_PREEMPTIONS ||
				  subject.p->finals[i].quantifier != CLO_LITMUS_SOMETIMES ||
				  (subject.sometimes & (1U << i)),
			  "line %u: never seen", subject.p->finals[i].line);
	}
	clo_explore_release(&r);
}

#define FILE_TEST(id, file)                                                                        \
	TEST_TIMEOUT(id, 120)                                                                      \
	{                                                                                          \
		holds(file);                                                                       \
	}
FILES(FILE_TEST)

/* The same code as above: a sanitizer has nothing to find in it, and each step costs it more. */
#ifndef CLO_SANITIZED
static int compare_outcomes(const void *a, const void *b)
{
	const struct clo_litmus_tally_outcome *x = a, *y = b;

	return strcmp(x->text, y->text);
}

/* The outcomes of a file, in an order that does not depend on how often each was met. */
static struct clo_litmus_tally *outcomes(const char *file, unsigned bound, bool all_points)
{
	struct clo_explore_result r = explore(file, bound, all_points);
	struct clo_litmus_tally *t = malloc(sizeof(*t));

	CHECK(t != NULL);
	CHECK_EQ(r.verdict, CLO_EXPLORE_HOLDS);
	clo_explore_release(&r);
	*t = subject.tally;
	CHECK_EQ(t->others, 0U);
	qsort(t->outcomes, t->count, sizeof(t->outcomes[0]), compare_outcomes);
	return t;
}

/*
 * A switch before each operation finds nothing that one before shared objects does not. At a bound
 * for which the long way takes seconds.
 */
static void loses_nothing(const char *file)
{
	struct clo_litmus_tally *some, *all;
	unsigned bound = bounds_of(file).all_points;

	some = outcomes(file, bound, false);
	all = outcomes(file, bound, true);
	CHECK_LE(some->runs, all->runs);
	for (unsigned i = 0; i < all->count; i++)
		CHECK_MSG(i < some->count &&
				  strcmp(some->outcomes[i].text, all->outcomes[i].text) == 0,
			  "lost: %s", all->outcomes[i].text);
	CHECK_EQ(some->count, all->count);
	free(some);
	free(all);
}

#define POINTS_TEST(id, file)                                                                      \
	TEST_TIMEOUT(all_points_##id, 120)                                                         \
	{                                                                                          \
		loses_nothing(file);                                                               \
	}
FILES(POINTS_TEST)
#endif

/* Without this step one preemption must be enough to see something of @invariants. */
static void found(const char *file, enum clo_break which, const char *invariants)
{
	struct clo_explore_result r;

	clo_break_set(which, true);
	r = explore(file, 1, false);
	clo_break_set(which, false);
	CHECK_MSG(r.verdict == CLO_EXPLORE_VIOLATED, "without %s nothing was found",
		  clo_break_name(which));
	CHECK_MSG(strstr(invariants, r.invariant) != NULL, "%s was violated, not %s: %s",
		  r.invariant, invariants, r.why);
	clo_explore_release(&r);
}

/*
 * "outcome": the file's own conditions, for what is about bytes or errors. page-rmap is not here:
 * bindings alone keep a page from a second address, the claim is a second wall (test_page).
 */
#define BREAKS(X)                                                                                  \
	X(inval_seq_punch, "fault-vs-punch", INVAL_SEQ, "I5")                                      \
	X(inval_seq_convert, "fault-vs-convert", INVAL_SEQ, "I5")                                  \
	X(frozen_wait, "fault-vs-punch", FROZEN_WAIT, "I5 outcome")                                \
	X(tlb_flush_punch, "fault-vs-punch", TLB_FLUSH, "I5")                                      \
	X(tlb_flush_slot, "fault-vs-slot-delete", TLB_FLUSH, "I5")                                 \
	X(tlb_wait, "fault-vs-punch", TLB_WAIT, "I5")                                              \
	X(pin_check, "convert-vs-pin", PIN_CHECK, "I2")                                            \
	X(view_zap, "host-touch-vs-convert", VIEW_ZAP, "I2")                                       \
	X(zero_policy_off, "zero-policy", ZERO, "outcome I3")                                      \
	X(zero_preparation, "mail4-preparation", ZERO, "outcome I3")                               \
	X(free_before_zap, "fault-vs-punch", FREE_BEFORE_ZAP, "I5")                                \
	X(undo, "convert-refused", UNDO, "outcome I6")                                             \
	X(mismatch_retry, "mail3-private-fault-exit", MISMATCH_RETRY, "I7")                        \
	X(preserve, "in-place-preserved", PRESERVE, "outcome I4")                                  \
	X(range_lock, "convert-vs-convert", RANGE_LOCK, "I5 I6")                                   \
	X(slot_sync, "fault-vs-slot-delete", SLOT_SYNC, "I5")                                      \
	X(prepare_lock, "mail4-preparation", PREPARE_LOCK, "outcome I3 I4")                        \
	X(touch_wait, "fault-vs-convert", TOUCH_WAIT, "outcome")                                   \
	X(event_look, "fault-vs-punch", EVENT_LOOK, "I7")                                          \
	X(flush_ended, "slot-delete-vs-punch", FLUSH_ENDED, "I5")                                  \
	X(zap_clear, "slot-delete-vs-punch", ZAP_CLEAR, "outcome I5 I1")                           \
	X(invalidate_hook, "taken-back", INVALIDATE_HOOK, "I1")

#define BREAK_TEST(id, file, which, invariants)                                                    \
	TEST_TIMEOUT(break_##id, 120)                                                              \
	{                                                                                          \
		found(file, CLO_BREAK_##which, invariants);                                        \
	}
BREAKS(BREAK_TEST)

#endif
