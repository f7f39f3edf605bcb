/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/test_rank.c - lock order is checked at each acquisition, in both builds: here without a run.
 */
#include "harness/test.h"
#include "sync/sync.h"

static struct clo_mutex mutex[CLO_RANK_COUNT];
static struct clo_rwlock rw;
static struct clo_rangelock range[2];
static struct clo_cond cond;

static void init(void)
{
	for (unsigned r = 0; r < CLO_RANK_COUNT; r++)
		clo_mutex_init(&mutex[r], (enum clo_rank)r, "mutex");
	clo_rwlock_init(&rw, CLO_RANK_SLOTS, "slots");
	clo_rangelock_init(&range[0], CLO_RANK_RANGE, "range 0");
	clo_rangelock_init(&range[1], CLO_RANK_RANGE, "range 1");
	clo_cond_init(&cond);
}

static void destroy(void)
{
	for (unsigned r = 0; r < CLO_RANK_COUNT; r++)
		clo_mutex_destroy(&mutex[r]);
	clo_rwlock_destroy(&rw);
	clo_rangelock_destroy(&range[0]);
	clo_rangelock_destroy(&range[1]);
	clo_cond_destroy(&cond);
}

TEST(all_ranks_upwards)
{
	init();
	for (unsigned r = 0; r < CLO_RANK_COUNT; r++)
		clo_mutex_lock(&mutex[r]);
	/* In any order out. */
	for (unsigned r = 0; r < CLO_RANK_COUNT; r += 2)
		clo_mutex_unlock(&mutex[r]);
	for (unsigned r = 1; r < CLO_RANK_COUNT; r += 2)
		clo_mutex_unlock(&mutex[r]);
	/* Nothing is held now, so any may be the first. */
	for (unsigned r = CLO_RANK_COUNT; r-- > 0;) {
		clo_mutex_lock(&mutex[r]);
		clo_mutex_unlock(&mutex[r]);
	}
	destroy();
}

TEST(ranges_in_order_of_address_and_start)
{
	struct clo_rangelock_hold h[4];

	init();
	clo_rangelock_lock(&range[0], clo_range(0, 4), &h[0]);
	clo_rangelock_lock(&range[0], clo_range(4, 8), &h[1]);
	clo_rangelock_lock(&range[1], clo_range(0, 8), &h[2]);
	clo_rangelock_lock(&range[1], clo_range(8, 9), &h[3]);
	clo_mutex_lock(&mutex[CLO_RANK_VIEW]);
	clo_mutex_unlock(&mutex[CLO_RANK_VIEW]);
	clo_rangelock_unlock(&range[0], &h[0]);
	clo_rangelock_unlock(&range[1], &h[3]);
	clo_rangelock_unlock(&range[0], &h[1]);
	clo_rangelock_unlock(&range[1], &h[2]);
	destroy();
}

TEST(trylock_needs_no_order)
{
	init();
	clo_mutex_lock(&mutex[CLO_RANK_PAGE]);
	CHECK(clo_mutex_trylock(&mutex[CLO_RANK_VM]));
	CHECK(!clo_mutex_trylock(&mutex[CLO_RANK_VM]));
	clo_mutex_unlock(&mutex[CLO_RANK_PAGE]);
	clo_mutex_unlock(&mutex[CLO_RANK_VM]);
	destroy();
}

EXPECT_SIGNAL(rank_downwards, SIGABRT)
{
	init();
	clo_mutex_lock(&mutex[CLO_RANK_TABLE]);
	clo_mutex_lock(&mutex[CLO_RANK_ATTR]);
}

EXPECT_SIGNAL(rank_twice, SIGABRT)
{
	struct clo_mutex other;

	init();
	clo_mutex_init(&other, CLO_RANK_LEAF, "other");
	clo_mutex_lock(&mutex[CLO_RANK_LEAF]);
	clo_mutex_lock(&other);
}

EXPECT_SIGNAL(mutex_of_its_own_again, SIGABRT)
{
	init();
	clo_mutex_lock(&mutex[CLO_RANK_VM]);
	clo_mutex_lock(&mutex[CLO_RANK_VM]);
}

EXPECT_SIGNAL(read_lock_downwards, SIGABRT)
{
	init();
	clo_mutex_lock(&mutex[CLO_RANK_VIEW]);
	clo_rwlock_rdlock(&rw);
}

EXPECT_SIGNAL(read_lock_twice, SIGABRT)
{
	init();
	clo_rwlock_rdlock(&rw);
	clo_rwlock_rdlock(&rw);
}

EXPECT_SIGNAL(write_lock_downwards, SIGABRT)
{
	init();
	clo_mutex_lock(&mutex[CLO_RANK_VIEW]);
	clo_rwlock_wrlock(&rw);
}

EXPECT_SIGNAL(range_lock_downwards, SIGABRT)
{
	struct clo_rangelock_hold h;

	init();
	clo_mutex_lock(&mutex[CLO_RANK_VIEW]);
	clo_rangelock_lock(&range[0], clo_range(0, 1), &h);
}

EXPECT_SIGNAL(range_locks_against_the_address, SIGABRT)
{
	struct clo_rangelock_hold h[2];

	init();
	clo_rangelock_lock(&range[1], clo_range(0, 1), &h[0]);
	clo_rangelock_lock(&range[0], clo_range(0, 1), &h[1]);
}

EXPECT_SIGNAL(ranges_against_the_start, SIGABRT)
{
	struct clo_rangelock_hold h[2];

	init();
	clo_rangelock_lock(&range[0], clo_range(4, 8), &h[0]);
	clo_rangelock_lock(&range[0], clo_range(0, 4), &h[1]);
}

EXPECT_SIGNAL(unlock_of_what_is_not_held, SIGABRT)
{
	init();
	clo_mutex_unlock(&mutex[CLO_RANK_VM]);
}

EXPECT_SIGNAL(range_unlock_of_what_is_not_held, SIGABRT)
{
	struct clo_rangelock_hold h = { .range = { 0, 1 } };

	init();
	clo_rangelock_unlock(&range[0], &h);
}

EXPECT_SIGNAL(wait_without_the_mutex, SIGABRT)
{
	init();
	clo_cond_wait(&cond, &mutex[CLO_RANK_VM]);
}

EXPECT_SIGNAL(timed_wait_without_the_mutex, SIGABRT)
{
	init();
	(void)clo_cond_timedwait(&cond, &mutex[CLO_RANK_VM], 1);
}

EXPECT_SIGNAL(too_many_locks, SIGABRT)
{
	static struct clo_rangelock_hold h[100];

	init();
	for (unsigned i = 0; i < 100; i++)
		clo_rangelock_lock(&range[0], clo_range(i, i + 1), &h[i]);
}

#ifndef CLO_SYNC_EXPLORE /* which has no read sections without a run */
EXPECT_SIGNAL(grace_period_in_a_read_section, SIGABRT)
{
	clo_rcu_read_lock();
	clo_rcu_synchronize();
}

EXPECT_SIGNAL(barrier_in_a_read_section, SIGABRT)
{
	clo_rcu_read_lock();
	clo_rcu_barrier();
}

EXPECT_SIGNAL(lock_in_a_section_then_over_a_grace_period, SIGABRT)
{
	init();
	clo_rcu_read_lock();
	clo_mutex_lock(&mutex[CLO_RANK_TABLE]);
	clo_mutex_unlock(&mutex[CLO_RANK_TABLE]);
	clo_rcu_read_unlock();
	clo_mutex_lock(&mutex[CLO_RANK_VM]);
	clo_rcu_synchronize();
	clo_mutex_lock(&mutex[CLO_RANK_TABLE]);
	clo_rcu_synchronize();
}

EXPECT_SIGNAL(lock_over_a_grace_period_then_in_a_section, SIGABRT)
{
	init();
	clo_mutex_lock(&mutex[CLO_RANK_TABLE]);
	clo_rcu_synchronize();
	clo_mutex_unlock(&mutex[CLO_RANK_TABLE]);
	clo_rcu_read_lock();
	clo_mutex_lock(&mutex[CLO_RANK_PAGE]);
	clo_mutex_lock(&mutex[CLO_RANK_LEAF]);
	clo_mutex_unlock(&mutex[CLO_RANK_LEAF]);
	clo_mutex_unlock(&mutex[CLO_RANK_PAGE]);
	clo_mutex_lock(&mutex[CLO_RANK_TABLE]);
}

EXPECT_SIGNAL(end_of_no_read_section, SIGABRT)
{
	clo_rcu_read_lock();
	clo_rcu_read_unlock();
	clo_rcu_read_unlock();
}
#else
EXPECT_SIGNAL(destroyed_while_held, SIGABRT)
{
	init();
	clo_mutex_lock(&mutex[CLO_RANK_VM]);
	clo_mutex_destroy(&mutex[CLO_RANK_VM]);
}

EXPECT_SIGNAL(stop_without_a_run, SIGABRT)
{
	clo_sched_stop(1);
}
#endif
