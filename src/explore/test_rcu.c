/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explore/test_rcu.c - misuse of RCU is found by the search as users have it, with one preemption
 * and without all points; its right use holds.
 */
#include "explore/explore.h"

#include "harness/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define TEST_ASAN 1
#endif

struct object {
	struct clo_a64 atomic;
	uint64_t plain;
	struct clo_rcu_head rcu;
};

/* What the two threads do, right or wrong. */
struct misuse {
	bool no_section;
	bool early_read; /* the pointer is from before the section */
	bool atomic;     /* what is behind it is read by an operation of sync, not plainly */
	bool synchronize;
	bool no_grace;
};

static struct {
	struct misuse m;
	struct clo_aptr current;
	uint64_t seen;
} the;

static void free_object(struct clo_rcu_head *head)
{
	clo_free(CLO_CONTAINER_OF(head, struct object, rcu));
}

static struct object *make_object(uint64_t v)
{
	struct object *o = clo_alloc(sizeof(*o));

	if (!o)
		clo_sched_stop(1);
	o->plain = v;
	clo_a64_init(&o->atomic, v);
	return o;
}

static void *reader(void *arg)
{
	struct object *o = the.m.early_read ? clo_aptr_get(&the.current) : NULL;

	if (!the.m.no_section)
		clo_rcu_read_lock();
	if (!o)
		o = clo_aptr_get(&the.current);
	the.seen |= the.m.atomic ? clo_a64_get(&o->atomic) : o->plain;
	if (!the.m.no_section)
		clo_rcu_read_unlock();
	return arg;
}

static void *writer(void *arg)
{
	struct object *old = clo_aptr_xchg(&the.current, make_object(2));

	if (the.m.no_grace) {
		clo_free(old);
	} else if (the.m.synchronize) {
		clo_rcu_synchronize();
		clo_free(old);
	} else {
		clo_rcu_defer(&old->rcu, free_object);
	}
	return arg;
}

static void run(void *arg)
{
	struct clo_thread t[2];

	(void)arg;
	clo_sched_quiet(true);
	clo_aptr_init(&the.current, make_object(1));
	if (clo_thread_create(&t[0], reader, NULL) || clo_thread_create(&t[1], writer, NULL))
		clo_sched_stop(1);
	clo_sched_quiet(false);
	clo_thread_join(&t[0]);
	clo_thread_join(&t[1]);
	clo_sched_quiet(true);
	clo_rcu_barrier();
	clo_free(clo_aptr_get(&the.current));
}

static struct clo_explore_result search(struct misuse m)
{
	struct clo_explore_program p = { .run = run };
	struct clo_explore_config cfg = { .preemptions = 1 };
	struct clo_explore_result r;

	memset(&the, 0, sizeof(the));
	the.m = m;
	CHECK_OK(clo_explore(&p, &cfg, &r));
	test_note("%" PRIu64 " runs; %s %s", r.runs, r.why, r.report);
	return r;
}

static void holds(struct misuse m)
{
	struct clo_explore_result r = search(m);

	CHECK_MSG(r.verdict == CLO_EXPLORE_HOLDS, "%s", r.report);
	CHECK_EQ(the.seen, 3U);
	clo_explore_release(&r);
}

/* I5, with a schedule that shows it again. */
static void found(struct misuse m)
{
	struct clo_explore_program p = { .run = run };
	struct clo_explore_config cfg = { .preemptions = 1 };
	struct clo_explore_result r;
	char *text = NULL;
	size_t size;
	FILE *f;

#ifdef TEST_ASAN
	if (!m.atomic)
		return; /* the sanitizer ends the program at the access */
#endif
	r = search(m);
	CHECK_EQ(r.verdict, CLO_EXPLORE_VIOLATED);
	CHECK_STR(r.invariant, "I5");
	CHECK_MSG(strstr(r.report,
			 m.atomic ? "memory that is not in use" : "memory that has been freed"),
		  "%s", r.report);
	f = open_memstream(&text, &size);
	CHECK(f != NULL);
	CHECK_OK(clo_explore_print(&p, &cfg, r.schedule, r.schedule_count, true, f));
	fclose(f);
	CHECK_MSG(strstr(text, r.report), "%s", text);
	CHECK(strstr(text, "did not fit") == NULL);
	free(text);
	clo_explore_release(&r);
}

TEST(right_use_holds)
{
	for (unsigned i = 0; i < 4; i++)
		holds((struct misuse){ .atomic = i & 1, .synchronize = i & 2 });
}

/* To begin a section is a choice: a grace period may end before it. */
TEST(a_pointer_from_before_the_section)
{
	for (unsigned i = 0; i < 4; i++)
		found((struct misuse){ .early_read = true, .atomic = i & 1, .synchronize = i & 2 });
}

/* A deferred call is a choice: it may be made while the reader still has the pointer. */
TEST(no_section_at_all)
{
	for (unsigned i = 0; i < 4; i++)
		found((struct misuse){ .no_section = true, .atomic = i & 1, .synchronize = i & 2 });
}

TEST(no_grace_period)
{
	found((struct misuse){ .no_grace = true });
	found((struct misuse){ .no_grace = true, .atomic = true });
}
