/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/test_explore.c - processors that call the module at once, in every interleaving with
 * few preemptions: one frame wanted twice (mail 0), a page that is taken away from a running vCPU.
 */
#include "trust/tdx/tdx_test.h"

#include "harness/dfs.h"

#define MEM   (64 * CLO_PAGE_SIZE)
#define FRAME (48 * CLO_PAGE_SIZE)

static struct dfs dfs;

struct scene {
	void *(*fn[2])(void *arg);
	enum tdx_state s; /* of the entry at T_GPA */
	struct clo_tdx *m;
	struct tdx_setup_td td[2];
	unsigned won;          /* in this run: a bit for each thread whose call went through */
	unsigned seen, broken; /* over all runs */
};

static uint64_t call(struct scene *s, unsigned td, uint32_t leaf, uint64_t rcx, uint64_t r8)
{
	struct clo_tdx_regs regs = { .rax = leaf, .rcx = rcx, .rdx = s->td[td].tdr, .r8 = r8 };

	return clo_tdx_seamcall(s->m, td, &regs);
}

static void run_scene(void *arg)
{
	struct clo_tdx_config c = { .size = sizeof(c), .mem_bytes = MEM };
	struct tdx_check_fail f;
	struct scene *s = arg;
	struct clo_thread t[2];

	clo_sched_quiet(true);
	s->won = 0;
	CHECK_OK(clo_tdx_create(&c, &s->m));
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(tdx_setup_td(s->m, TDX_OP_RUNNABLE, &s->td[i]), 0);
		CHECK_OK(tdx_setup_entry(s->m, s->td[i].tdr, T_GPA, T_4K, i ? TDX_FREE : s->s,
					 false));
	}
	for (unsigned i = 0; i < 2; i++)
		CHECK_OK(clo_thread_create(&t[i], s->fn[i], s));
	clo_sched_quiet(false);
	for (unsigned i = 0; i < 2; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	clo_sched_quiet(true);
	s->seen |= 1U << s->won;
	s->broken += tdx_check(s->m, &f) != 0;
	clo_tdx_destroy(s->m);
	clo_sched_quiet(false);
}

static void explore(struct scene *s, unsigned bound)
{
	dfs = (struct dfs){ .main_fn = run_scene, .arg = s, .bound = bound };
	dfs_all_end(&dfs);
	CHECK_LT(10, dfs.runs);
	test_note("%llu runs, outcomes %#x, broken %u", (unsigned long long)dfs.runs, s->seen,
		  s->broken);
}

static void *aug_into_a(void *arg)
{
	struct scene *s = arg;

	if (call(s, 0, CLO_TDH_MEM_PAGE_AUG, T_GPA, FRAME) == 0)
		s->won |= 1;
	return NULL;
}

static void *aug_into_b(void *arg)
{
	struct scene *s = arg;

	if (call(s, 1, CLO_TDH_MEM_PAGE_AUG, T_GPA, FRAME) == 0)
		s->won |= 2;
	return NULL;
}

static void *aug_at_another_gpa(void *arg)
{
	struct scene *s = arg;

	if (call(s, 0, CLO_TDH_MEM_PAGE_AUG, T_GPA + CLO_PAGE_SIZE, FRAME) == 0)
		s->won |= 2;
	return NULL;
}

/* "What stops it being mapped into two guests": never both. */
TEST(one_frame_for_two_guests)
{
	struct scene s = { .fn = { aug_into_a, aug_into_b }, .s = TDX_FREE };

	explore(&s, 2);
	CHECK_EQ(s.broken, 0);
	CHECK_EQ(s.seen & 1U << 3, 0);
	CHECK_EQ(s.seen & 6, 6);
}

TEST(one_frame_at_two_gpas)
{
	struct scene s = { .fn = { aug_into_a, aug_at_another_gpa }, .s = TDX_FREE };

	explore(&s, 1);
	CHECK_EQ(s.broken, 0);
	CHECK_EQ(s.seen & 1U << 3, 0);
	CHECK_EQ(s.seen & 6, 6);
}

static int touch(struct scene *s, struct clo_tdx_exit *exit)
{
	struct clo_tdx_access a = { .size = sizeof(a), .write = 1, .gpa = T_GPA, .bytes = 1 };
	uint8_t v = 1;

	return clo_tdx_access(s->m, s->td[0].tdvpr, &a, &v, exit);
}

static bool enter(struct scene *s)
{
	struct clo_tdx_regs regs = { .rax = CLO_TDH_VP_ENTER, .rcx = s->td[0].tdvpr };

	return clo_tdx_seamcall(s->m, 0, &regs) == 0;
}

/* Stays inside, unless a fault takes it out. */
static void *guest(void *arg)
{
	struct clo_tdx_exit exit = { .size = sizeof(exit) };
	struct scene *s = arg;

	if (enter(s) && touch(s, &exit) == 0)
		s->won |= 1;
	return NULL;
}

/* Leaves, and comes back with what it still knows. */
static void *guest_again(void *arg)
{
	struct clo_tdx_exit exit = { .size = sizeof(exit) };
	struct scene *s = arg;

	if (enter(s) && touch(s, &exit) == 0) {
		s->won |= 1;
		CHECK_OK(clo_tdx_interrupt(s->m, s->td[0].tdvpr, &exit));
		(void)!enter(s);
	}
	return NULL;
}

/* BLOCK, TRACK, REMOVE, once each: the host of a page that is reclaimed. */
static void *reclaim(void *arg)
{
	struct scene *s = arg;

	if (call(s, 0, CLO_TDH_MEM_RANGE_BLOCK, T_GPA, 0))
		return NULL;
	if (call(s, 0, CLO_TDH_MEM_TRACK, s->td[0].tdr, 0))
		return NULL;
	if (call(s, 0, CLO_TDH_MEM_PAGE_REMOVE, T_GPA, 0) == 0)
		s->won |= 2;
	return NULL;
}

TEST(a_page_is_taken_from_a_running_vcpu)
{
	struct scene s = { .fn = { guest, reclaim }, .s = TDX_MAPPED };

	explore(&s, 2);
	CHECK_EQ(s.broken, 0);
	/* Touched and refused; touched never after it was removed. */
	CHECK_EQ(s.seen & 6, 6);
	s.fn[0] = guest_again;
	explore(&s, 1);
	CHECK_EQ(s.broken, 0);
	CHECK_EQ(s.seen & 1U << 3, 1U << 3);
}

TEST(without_tracking_or_flush_it_is_found)
{
	struct scene s = { .fn = { guest, reclaim }, .s = TDX_MAPPED };

	clo_break_set(CLO_BREAK_TDX_TRACK, true);
	explore(&s, 1);
	CHECK_LT(0, s.broken);
	clo_break_set(CLO_BREAK_TDX_TRACK, false);
	s = (struct scene){ .fn = { guest_again, reclaim }, .s = TDX_MAPPED };
	clo_break_set(CLO_BREAK_TDX_FLUSH, true);
	explore(&s, 1);
	CHECK_LT(0, s.broken);
	clo_break_set(CLO_BREAK_TDX_FLUSH, false);
}

static void *accept(void *arg)
{
	struct clo_tdx_regs regs = { .rax = CLO_TDG_MEM_PAGE_ACCEPT, .rcx = T_GPA };
	struct clo_tdx_exit exit = { .size = sizeof(exit) };
	struct scene *s = arg;

	if (enter(s) && clo_tdx_tdcall(s->m, s->td[0].tdvpr, &regs, &exit) == 0 && regs.rax == 0)
		s->won |= 1;
	return NULL;
}

/* ACCEPT takes no lock of the tree: the entry's decides. */
TEST(accept_against_reclaim)
{
	struct scene s = { .fn = { accept, reclaim }, .s = TDX_PENDING };

	explore(&s, 2);
	CHECK_EQ(s.broken, 0);
	CHECK_EQ(s.seen & 2, 2);
}
