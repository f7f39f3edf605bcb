/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/test_explore_rcu.c - grace periods, deferred calls and stale memory in the explorer.
 */
#include "harness/dfs.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define TEST_ASAN 1
#endif

static struct dfs dfs;

struct object {
	struct clo_a32 value;
	struct clo_rcu_head rcu;
};

struct shared {
	struct clo_aptr current;
	bool no_section; /* the reader's mistake */
	bool no_grace;   /* the writer's */
	bool plain;      /* the reader looks without an operation of sync */
	bool write_late;
	uint32_t seen;
};

static void free_object(struct clo_rcu_head *head)
{
	clo_free(CLO_CONTAINER_OF(head, struct object, rcu));
}

static struct object *make_object(uint32_t v)
{
	struct object *o = clo_alloc(sizeof(*o));

	CHECK(o != NULL);
	clo_a32_init(&o->value, v);
	return o;
}

static void *reader(void *arg)
{
	struct shared *s = arg;

	if (!s->no_section)
		clo_rcu_read_lock();

	struct object *o = clo_aptr_get(&s->current);

	if (s->plain || s->write_late) {
		clo_sync_point("look", 0);
		if (s->write_late)
			o->value.v = 3;
		s->seen |= o->value.v == 0x6b6b6b6b ? 8 : o->value.v;
	} else {
		s->seen |= clo_a32_get(&o->value);
	}
	if (!s->no_section)
		clo_rcu_read_unlock();
	return NULL;
}

static void *replacer(void *arg)
{
	struct shared *s = arg;
	struct object *old = clo_aptr_xchg(&s->current, make_object(2));

	if (s->no_grace)
		clo_free(old);
	else
		clo_rcu_defer(&old->rcu, free_object);
	return NULL;
}

static void *sync_replacer(void *arg)
{
	struct shared *s = arg;
	struct object *old = clo_aptr_xchg(&s->current, make_object(2));

	if (!s->no_grace)
		clo_rcu_synchronize();
	clo_free(old);
	return NULL;
}

static void run_main(struct shared *s, void *(*writer)(void *arg))
{
	struct clo_thread t[2];

	clo_sched_quiet(true);
	clo_aptr_init(&s->current, make_object(1));
	CHECK_OK(clo_thread_create(&t[0], reader, s));
	CHECK_OK(clo_thread_create(&t[1], writer, s));
	clo_sched_quiet(false);
	for (unsigned i = 0; i < 2; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	clo_rcu_barrier();
	clo_free(clo_aptr_get(&s->current));
}

static void defer_main(void *arg)
{
	run_main(arg, replacer);
}

static void sync_main(void *arg)
{
	run_main(arg, sync_replacer);
}

TEST(readers_see_old_or_new_and_nothing_stale)
{
	for (unsigned i = 0; i < 3; i++) {
		struct shared s = { 0 };

		dfs = (struct dfs){ .main_fn = i == 0 ? sync_main : defer_main,
				    .arg = &s,
				    .bound = 2,
				    .rcu_last = i == 2 };
		CHECK(!dfs_search(&dfs, CLO_SCHED_END_COUNT));
		CHECK_EQ(dfs.ends[CLO_SCHED_DONE], dfs.runs);
		CHECK_EQ(s.seen, 3);
		CHECK_EQ(dfs.last.live_bytes, 0);
		test_note("%llu runs", (unsigned long long)dfs.runs);
	}
}

static void expect_fault(void (*main_fn)(void *arg), struct shared s, const char *what)
{
	dfs = (struct dfs){ .main_fn = main_fn, .arg = &s, .bound = 2 };
	CHECK(dfs_search(&dfs, CLO_SCHED_FAULT));
	test_note("%s", dfs.last.report);
	CHECK(strstr(dfs.last.report, what));
}

TEST(reader_without_section_meets_stale_memory)
{
	expect_fault(defer_main, (struct shared){ .no_section = true },
		     "T1: read (a32.get) of memory that is not in use");
	expect_fault(sync_main, (struct shared){ .no_section = true }, "not in use");
}

TEST(writer_without_grace_period_is_found)
{
	expect_fault(sync_main, (struct shared){ .no_grace = true }, "not in use");
}

#ifndef TEST_ASAN /* which stops at the access itself */
TEST(plain_reads_of_stale_memory_show_a_pattern)
{
	struct shared s = { .no_grace = true, .plain = true };

	dfs = (struct dfs){ .main_fn = sync_main, .arg = &s, .bound = 2 };
	CHECK(!dfs_search(&dfs, CLO_SCHED_FAULT));
	CHECK_EQ(s.seen, 1 | 2 | 8);
}

TEST(plain_writes_to_stale_memory_are_found)
{
	expect_fault(sync_main, (struct shared){ .no_grace = true, .write_late = true },
		     "freed memory was written to");
}
#endif

/* A section that began after synchronize() did is not waited for; nesting counts as one. */
static struct clo_a32 phase;
static uint32_t order_seen;

static void *nested_reader(void *arg)
{
	(void)arg;
	clo_rcu_read_lock();
	clo_rcu_read_lock();
	clo_a32_set(&phase, 1);
	clo_rcu_read_unlock();
	clo_a32_set(&phase, 2);
	clo_rcu_read_unlock();
	return NULL;
}

static void *waiter(void *arg)
{
	(void)arg;

	uint32_t before = clo_a32_get(&phase);

	clo_rcu_synchronize();

	uint32_t after = clo_a32_get(&phase);

	CHECK(before != 1 || after == 2);
	order_seen |= 1U << (before * 3 + after);
	return NULL;
}

static void nested_main(void *arg)
{
	struct clo_thread t[2];

	(void)arg;
	clo_sched_quiet(true);
	clo_a32_init(&phase, 0);
	CHECK_OK(clo_thread_create(&t[0], nested_reader, NULL));
	CHECK_OK(clo_thread_create(&t[1], waiter, NULL));
	clo_sched_quiet(false);
	CHECK_OK(clo_thread_join(&t[0]));
	CHECK_OK(clo_thread_join(&t[1]));
}

TEST(synchronize_waits_for_older_sections_only)
{
	dfs = (struct dfs){ .main_fn = nested_main, .bound = 3 };
	CHECK(!dfs_search(&dfs, CLO_SCHED_END_COUNT));
	CHECK_EQ(dfs.ends[CLO_SCHED_DONE], dfs.runs);
	/* before, after: 00 01 02 12 22 */
	CHECK_EQ(order_seen, 1U << 0 | 1U << 1 | 1U << 2 | 1U << 5 | 1U << 8);
}

static unsigned calls;

static void count_call(struct clo_rcu_head *head)
{
	(void)head;
	calls++;
}

static void barrier_main(void *arg)
{
	struct clo_rcu_head head[4];

	(void)arg;
	calls = 0;
	for (unsigned i = 0; i < 4; i++)
		clo_rcu_defer(&head[i], count_call);
	clo_rcu_barrier();
	CHECK_EQ(calls, 4);
}

TEST(barrier_waits_for_all_calls)
{
	dfs = (struct dfs){ .main_fn = barrier_main, .bound = 3 };
	CHECK(!dfs_search(&dfs, CLO_SCHED_END_COUNT));
	CHECK_EQ(dfs.ends[CLO_SCHED_DONE], dfs.runs);
	CHECK_LT(4, dfs.runs);
}
