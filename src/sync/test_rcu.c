/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/test_rcu.c - grace periods and the invalidation protocol with real threads; also under TSan.
 */
#include "harness/test.h"
#include "sync/sync.h"

#include <sys/wait.h>
#include <unistd.h>

#define READERS  3U
#define REPLACES 300U

struct object {
	uint64_t a;
	uint64_t b;
	struct clo_rcu_head rcu;
};

static struct clo_aptr current;
static struct clo_a32 stop;
static struct clo_a64 freed;

static struct object *make_object(uint64_t v)
{
	struct object *o = clo_alloc(sizeof(*o));

	CHECK(o != NULL);
	o->a = v;
	o->b = ~v;
	return o;
}

static void free_object(struct clo_rcu_head *head)
{
	struct object *o = CLO_CONTAINER_OF(head, struct object, rcu);

	o->b = o->a;
	clo_free(o);
	clo_a64_add(&freed, 1);
}

static void *reads(void *arg)
{
	uint64_t last = 0;

	(void)arg;
	while (!clo_a32_get(&stop)) {
		clo_rcu_read_lock();
		clo_rcu_read_lock();

		const struct object *o = clo_aptr_get(&current);

		clo_rcu_read_unlock();
		CHECK_EQ(o->a, ~o->b);
		CHECK_LE(last, o->a);
		last = o->a;
		clo_rcu_read_unlock();
	}
	return NULL;
}

static void replace_all(bool deferred)
{
	struct clo_thread t[READERS];
	uint64_t live = clo_alloc_live();

	clo_a32_set(&stop, 0);
	clo_a64_set(&freed, 0);
	clo_aptr_set(&current, make_object(0));
	for (unsigned i = 0; i < READERS; i++)
		CHECK_OK(clo_thread_create(&t[i], reads, NULL));
	for (uint64_t i = 1; i <= REPLACES; i++) {
		struct object *old = clo_aptr_xchg(&current, make_object(i));

		if (deferred) {
			clo_rcu_defer(&old->rcu, free_object);
		} else {
			clo_rcu_synchronize();
			free_object(&old->rcu);
		}
	}
	clo_a32_set(&stop, 1);
	for (unsigned i = 0; i < READERS; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	clo_rcu_barrier();
	CHECK_EQ(clo_a64_get(&freed), REPLACES);
	clo_free(clo_aptr_get(&current));
	CHECK_EQ(clo_alloc_live(), live);
}

TEST(readers_never_see_what_is_freed_after_synchronize)
{
	replace_all(false);
}

TEST(readers_never_see_what_is_freed_by_defer)
{
	replace_all(true);
}

static void *barrier_main(void *arg)
{
	(void)arg;
	for (unsigned round = 0; round < 20; round++) {
		struct object *o = make_object(round);

		clo_rcu_defer(&o->rcu, free_object);
		clo_rcu_barrier();
	}
	return NULL;
}

TEST(barriers_of_many_threads)
{
	struct clo_thread t[READERS];

	clo_a64_set(&freed, 0);
	for (unsigned i = 0; i < READERS; i++)
		CHECK_OK(clo_thread_create(&t[i], barrier_main, NULL));
	for (unsigned i = 0; i < READERS; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	CHECK_EQ(clo_a64_get(&freed), 20U * READERS);
}

static struct clo_a32 inside;

static void *long_reader(void *arg)
{
	uint64_t *done = arg;

	clo_rcu_read_lock();
	clo_a32_set(&inside, 1);
	for (unsigned i = 0; i < 1000; i++)
		clo_relax();
	*done = 1;
	clo_rcu_read_unlock();
	return NULL;
}

struct numbered {
	struct clo_rcu_head rcu;
	unsigned number;
};

static unsigned next_number;

static void check_number(struct clo_rcu_head *head)
{
	CHECK_EQ(CLO_CONTAINER_OF(head, struct numbered, rcu)->number, next_number);
	next_number++;
}

/* As in the explorer: one order less to think of. */
TEST(deferred_calls_are_made_in_order)
{
	static struct numbered n[1000];

	for (unsigned i = 0; i < 1000; i++) {
		n[i].number = i;
		clo_rcu_defer(&n[i].rcu, check_number);
	}
	clo_rcu_barrier();
	CHECK_EQ(next_number, 1000);
}

TEST(synchronize_waits_for_a_section)
{
	struct clo_thread t;
	uint64_t done = 0;

	CHECK_OK(clo_thread_create(&t, long_reader, &done));
	while (!clo_a32_get(&inside))
		clo_relax();
	clo_rcu_synchronize();
	CHECK_EQ(done, 1); /* plain: ordered by the grace period */
	CHECK_OK(clo_thread_join(&t));
}

#ifndef CLO_SYNC_TSAN /* which does not follow threads into a child */
TEST(a_child_of_fork_can_defer)
{
	int status;

	clo_a64_set(&freed, 0);
	clo_rcu_defer(&make_object(1)->rcu, free_object);
	clo_rcu_barrier();

	pid_t child = fork();

	CHECK_LE(0, child);
	if (child == 0) {
		clo_rcu_defer(&make_object(2)->rcu, free_object);
		clo_rcu_barrier();
		_exit(clo_a64_get(&freed) == 2 ? 0 : 1);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
}
#endif

/*
 * The protocol of sync.h with an entry per page: a mapper publishes what it read unless a change
 * came between; a changer changes the state and then removes what was published before. At no time
 * may an entry that survives a change show the state before it.
 */
#define PAGES 8U

static struct clo_inval iv;
static struct clo_a64 state[PAGES];
static struct clo_a64 entry[PAGES]; /* 0 = none, FROZEN = announced, else state + 1 */
#define FROZEN UINT64_MAX
static uint64_t seed;

static void map_one(unsigned page)
{
	uint64_t none = 0;
	struct clo_inval_snap snap = clo_inval_snapshot(&iv, page);
	uint64_t v = clo_a64_get(&state[page]);

	if (!clo_a64_cas(&entry[page], &none, FROZEN))
		return;
	clo_a64_set(&entry[page], clo_inval_retry(&iv, page, snap) ? 0 : v + 1);
}

static void change_one(unsigned page)
{
	struct clo_range r = clo_range(page, page + 1);
	uint64_t e;

	clo_inval_begin(&iv, r);

	uint64_t v = clo_a64_add(&state[page], 1) + 1;

	while ((e = clo_a64_get_sc(&entry[page])) == FROZEN)
		clo_relax();
	if (e)
		CHECK(clo_a64_cas(&entry[page], &e, 0));
	/* Before the end none can be published. */
	e = clo_a64_get_sc(&entry[page]);
	CHECK_MSG(e == 0 || e == FROZEN, "stale entry of page %u", page);
	clo_inval_end(&iv, r);
	e = clo_a64_get_sc(&entry[page]);
	CHECK(e == 0 || e == FROZEN || e == v + 1);
}

static void *maps(void *arg)
{
	struct clo_rand r = { seed + (uintptr_t)arg };

	while (!clo_a32_get(&stop))
		map_one((unsigned)clo_rand_below(&r, PAGES));
	return NULL;
}

/* One changer for each half of the pages. */
static void *changes(void *arg)
{
	struct clo_rand r = { seed + 100 + (uintptr_t)arg };

	for (unsigned i = 0; i < 3000; i++)
		change_one((unsigned)(clo_rand_below(&r, PAGES / 2) * 2 + (uintptr_t)arg));
	return NULL;
}

TEST(nothing_stale_survives_an_invalidation)
{
	struct clo_thread mapper[2];
	struct clo_thread changer[2];

	seed = test_seed();
	clo_a32_set(&stop, 0);
	for (uintptr_t i = 0; i < 2; i++) {
		CHECK_OK(clo_thread_create(&mapper[i], maps, (void *)i));
		CHECK_OK(clo_thread_create(&changer[i], changes, (void *)i));
	}
	for (unsigned i = 0; i < 2; i++)
		CHECK_OK(clo_thread_join(&changer[i]));
	clo_a32_set(&stop, 1);
	for (unsigned i = 0; i < 2; i++)
		CHECK_OK(clo_thread_join(&mapper[i]));
	for (unsigned p = 0; p < PAGES; p++) {
		uint64_t e = clo_a64_get(&entry[p]);

		CHECK(e == 0 || e == clo_a64_get(&state[p]) + 1);
	}
}
