/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/test_view_explore.c - a host that reads and writes a page while it is converted, under all
 * schedules with few preemptions (level SOFT). No byte of the guest comes out and none of the
 * host's goes in; without hide, some schedule shows it.
 */
#include "harness/dfs.h"
#include "view_test.h"

#define SECRET 0x5e
#define PUBLIC 0x50

static struct dfs dfs;

struct scene {
	struct owner o;
	unsigned leaked; /* over all runs */
	unsigned lost;   /* the host wrote into the guest's page */
	unsigned refused, served;
};

static void *host_side(void *arg)
{
	struct scene *s = arg;

	for (int i = 0; i < 2; i++) {
		uint8_t byte = PUBLIC;
		int ret = clo_view_access(s->o.vs, 0, &byte, 1, i == 1);

		if (ret)
			CHECK_ERR(ret, -EFAULT);
		s->leaked += ret == 0 && byte == SECRET;
		s->refused += ret != 0;
		s->served += ret == 0;
	}
	return NULL;
}

static void *guest_side(void *arg)
{
	struct scene *s = arg;
	struct clo_range r = clo_range(0, 1);
	uint8_t *page = owner_page(&s->o, 0);

	CHECK_OK(owner_convert(&s->o, r, true));
	*page = SECRET;
	clo_sync_point("guest store", SECRET);
	s->lost += *page != SECRET;
	*page = PUBLIC;
	CHECK_OK(owner_convert(&s->o, r, false));
	return NULL;
}

static void run_scene(void *arg)
{
	struct scene *s = arg;
	struct clo_thread host, guest;

	clo_sched_quiet(true);
	owner_open(&s->o, CLO_VIEW_SOFT, 1);
	CHECK_OK(clo_thread_create(&host, host_side, s));
	CHECK_OK(clo_thread_create(&guest, guest_side, s));
	clo_sched_quiet(false);
	CHECK_OK(clo_thread_join(&host));
	CHECK_OK(clo_thread_join(&guest));
	clo_sched_quiet(true);
	owner_close(&s->o);
	clo_sched_quiet(false);
}

static void explore(struct scene *s)
{
	dfs = (struct dfs){ .main_fn = run_scene, .arg = s, .bound = 2 };
	if (dfs_search(&dfs, CLO_SCHED_END_COUNT) || dfs.ends[CLO_SCHED_DONE] != dfs.runs)
		test_fail(__FILE__, __LINE__, "%s", dfs.last.report);
	CHECK_EQ(dfs.last.live_bytes, 0);
	test_note("%llu runs: %u served, %u refused, %u leaked, %u lost",
		  (unsigned long long)dfs.runs, s->served, s->refused, s->leaked, s->lost);
}

TEST(hidden_page_is_out_of_reach)
{
	struct scene s = { 0 };

	explore(&s);
	CHECK_EQ(s.leaked + s.lost, 0);
	CHECK_LT(0, s.served);
	CHECK_LT(0, s.refused);
}

TEST(without_hide_it_is_not)
{
	struct scene s = { 0 };

	clo_break_set(CLO_BREAK_VIEW_ZAP, true);
	explore(&s);
	clo_break_set(CLO_BREAK_VIEW_ZAP, false);
	CHECK_LT(0, s.leaked);
	CHECK_LT(0, s.lost);
}
