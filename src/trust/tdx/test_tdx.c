/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/test_tdx.c - what is not one cell: a page's whole life, tracking, sizes, the guest.
 */
#include "trust/tdx/tdx_test.h"

#include <errno.h>

#define SMALL (4ULL << 20)
#define LARGE (16ULL << 20)

/* Down to the entries of 4K pages at T_GPA. */
static void tables(struct platform *p)
{
	for (unsigned level = TDX_512G; level > 0; level--) {
		uint64_t gpa = clo_align_down(T_GPA, CLO_PAGE_SIZE << (9 * level));

		CHECK_EQ(t_mem_page(p, CLO_TDH_MEM_SEPT_ADD, gpa, level, t_page(p, T_4K)), 0);
	}
}

/* AUG, ACCEPT, use, BLOCK, TRACK, REMOVE: as a host does it. */
TEST(a_page_comes_and_goes)
{
	struct platform p;
	uint8_t v = 7;
	uint64_t page;

	t_open(&p, TDX_OP_RUNNABLE, SMALL);
	tables(&p);
	page = t_page(&p, T_4K);
	v = 0x55;
	CHECK_OK(clo_tdx_memory(p.m, page + 3, &v, 1, 1));
	CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_PAGE_AUG, T_GPA, T_4K, page), 0);
	/* It is the TD's: the host cannot write it, nor give it to anyone. */
	CHECK_ERR(clo_tdx_memory(p.m, page + 3, &v, 1, 1), -EFAULT);
	CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_PAGE_AUG, T_GPA + CLO_PAGE_SIZE, T_4K, page),
		 ST(PAGE_METADATA_INCORRECT) | O_R8);

	CHECK_EQ(t_enter(&p), 0);
	CHECK_EQ(t_touch(&p, T_GPA + 3, false, &v, 1), 2);
	CHECK_EQ(t_tdcall(&p, CLO_TDG_MEM_PAGE_ACCEPT, T_GPA), 0);
	CHECK_EQ(p.regs.rax, 0);
	CHECK_EQ(t_touch(&p, T_GPA + 3, false, &v, 1), 0);
	CHECK_EQ(v, 0);
	v = 9;
	CHECK_EQ(t_touch(&p, T_GPA + 3, true, &v, 1), 0);
	CHECK_EQ(t_tdcall(&p, CLO_TDG_MEM_PAGE_ACCEPT, T_GPA), 0);
	CHECK_EQ(p.regs.rax, ST(PAGE_ALREADY_ACCEPTED));
	t_leave(&p);

	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_PAGE_REMOVE, T_GPA, T_4K),
		 ST(GPA_RANGE_NOT_BLOCKED) | O_RCX);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_RANGE_BLOCK, T_GPA, T_4K), 0);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_PAGE_REMOVE, T_GPA, T_4K),
		 ST(TLB_TRACKING_NOT_DONE) | O_RCX);
	CHECK_EQ(t_call(&p, CLO_TDH_MEM_TRACK, p.td.tdr, 0, 0), 0);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_PAGE_REMOVE, T_GPA, T_4K), 0);
	CHECK_EQ(p.regs.rcx, page);
	CHECK_OK(clo_tdx_memory(p.m, page + 3, &v, 1, 1));
	t_close(&p);
}

/* The epoch of a page ends when those that had entered in it have left. */
TEST(tracking_waits_for_who_is_inside)
{
	struct platform p;
	uint8_t v = 1;

	t_open(&p, TDX_OP_RUNNABLE, SMALL);
	t_entry(&p, T_GPA, T_4K, TDX_MAPPED, false);
	CHECK_EQ(t_enter(&p), 0);
	CHECK_EQ(t_touch(&p, T_GPA, true, &v, 1), 0);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_RANGE_BLOCK, T_GPA, T_4K), 0);
	/* It still uses what it knows. */
	CHECK_EQ(t_touch(&p, T_GPA, true, &v, 1), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_MEM_TRACK, p.td.tdr, 0, 0), 0);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_PAGE_REMOVE, T_GPA, T_4K),
		 ST(TLB_TRACKING_NOT_DONE) | O_RCX);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_RANGE_UNBLOCK, T_GPA, T_4K),
		 ST(TLB_TRACKING_NOT_DONE) | O_TREE);
	CHECK_EQ(t_call(&p, CLO_TDH_MEM_TRACK, p.td.tdr, 0, 0), ST(PREVIOUS_TLB_EPOCH_BUSY));
	t_leave(&p);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_PAGE_REMOVE, T_GPA, T_4K), 0);
	CHECK_EQ(t_enter(&p), 0);
	CHECK_EQ(t_touch(&p, T_GPA, false, &v, 1), 1);
	CHECK_EQ(p.exit.reason, 48);
	CHECK_EQ(p.exit.gpa, T_GPA);
	t_close(&p);
}

/* Each switch alone lets a vCPU use a page that went away, and the recount sees it. */
static void stale(enum clo_break which)
{
	struct tdx_check_fail f;
	struct platform p;
	uint8_t v = 1;

	t_open(&p, TDX_OP_RUNNABLE, SMALL);
	t_entry(&p, T_GPA, T_4K, TDX_MAPPED, false);
	clo_break_set(which, true);
	CHECK_EQ(t_enter(&p), 0);
	CHECK_EQ(t_touch(&p, T_GPA, true, &v, 1), 0);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_RANGE_BLOCK, T_GPA, T_4K), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_MEM_TRACK, p.td.tdr, 0, 0), 0);
	if (which == CLO_BREAK_TDX_FLUSH) {
		t_leave(&p);
		CHECK_EQ(t_enter(&p), 0);
	}
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_PAGE_REMOVE, T_GPA, T_4K), 0);
	CHECK_EQ(tdx_check(p.m, &f), 1);
	CHECK(strncmp(f.text, "I5", 2) == 0);
	clo_tdx_destroy(p.m);
}

TEST(without_tracking_a_translation_is_stale)
{
	stale(CLO_BREAK_TDX_TRACK);
}

TEST(without_a_flush_a_translation_is_stale)
{
	stale(CLO_BREAK_TDX_FLUSH);
}

/*
 * A deviation that is the module's own: EXPORTED_BLOCKEDW asks for no tracking, and RELOCATE takes
 * it, so a running vCPU can read a page that was given back.
 */
TEST(relocate_of_an_exported_page_is_not_tracked)
{
	struct tdx_check_fail f;
	struct platform p;
	uint8_t v;

	t_open(&p, TDX_OP_RUNNABLE, SMALL);
	t_entry(&p, T_GPA, T_4K, TDX_EXPORTED_BLOCKEDW, false);
	CHECK_EQ(t_enter(&p), 0);
	CHECK_EQ(t_touch(&p, T_GPA, false, &v, 1), 0);
	CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_PAGE_RELOCATE, T_GPA, T_4K, t_page(&p, T_4K)), 0);
	CHECK_EQ(tdx_check(p.m, &f), 1);
	CHECK(strncmp(f.text, "I5", 2) == 0);
	clo_tdx_destroy(p.m);
}

/* 512 pages become one, and back; one that differs, or an interrupt, and nothing has happened. */
TEST(promote_and_demote)
{
	uint64_t base = 4ULL << 20, table;
	struct platform p;

	t_open(&p, TDX_OP_INITIALIZED, LARGE);
	tables(&p);
	for (uint64_t i = 0; i < 512; i++) {
		CHECK_EQ(t_mem(&p, CLO_TDH_MEM_PAGE_PROMOTE, T_GPA, T_2M),
			 ST(EPT_INVALID_PROMOTE_CONDITIONS) | O_RCX);
		CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_PAGE_AUG, T_GPA + i * CLO_PAGE_SIZE, T_4K,
				    base + i * CLO_PAGE_SIZE),
			 0);
	}
	clo_tdx_set_interrupt(p.m, 1);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_PAGE_PROMOTE, T_GPA, T_2M), ST(INTERRUPTED_RESTARTABLE));
	CHECK_EQ(p.regs.rcx, T_GPA | T_2M);
	t_check(&p);
	clo_tdx_set_interrupt(p.m, 0);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_PAGE_PROMOTE, T_GPA, T_2M), 0);
	table = p.regs.rcx;
	t_is(&p, T_GPA, T_2M, TDX_PENDING);
	t_check(&p);
	/* A 4K operation below a 2M page. */
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_PAGE_REMOVE, T_GPA, T_4K), ST(EPT_WALK_FAILED) | O_RCX);
	CHECK_EQ(p.regs.rdx, T_2M | 2 << 8);
	CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_PAGE_DEMOTE, T_GPA, T_2M, base),
		 ST(PAGE_METADATA_INCORRECT) | O_R8);
	CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_PAGE_DEMOTE, T_GPA, T_2M, table), 0);
	t_is(&p, T_GPA + 511 * CLO_PAGE_SIZE, T_4K, TDX_PENDING);
	t_close(&p);
}

TEST(promote_refuses_what_is_not_alike)
{
	struct platform p;

	t_open(&p, TDX_OP_INITIALIZED, LARGE);
	t_entry(&p, T_GPA, T_2M, TDX_MAPPED, true);
	CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_PAGE_DEMOTE, T_GPA, T_2M, t_page(&p, T_4K)), 0);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_RANGE_BLOCK, T_GPA + 7 * CLO_PAGE_SIZE, T_4K), 0);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_PAGE_PROMOTE, T_GPA, T_2M),
		 ST(EPT_INVALID_PROMOTE_CONDITIONS) | O_RCX);
	t_check(&p);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_RANGE_UNBLOCK, T_GPA + 7 * CLO_PAGE_SIZE, T_4K), 0);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_PAGE_PROMOTE, T_GPA, T_2M), 0);
	t_close(&p);
}

/* ACCEPT of 2M goes on where an interrupt stopped it; a BLOCK makes it begin anew. */
TEST(a_large_accept_is_interrupted)
{
	struct platform p;
	struct clo_tdx_entry e = { .size = sizeof(e) };
	unsigned exits = 0;

	t_open(&p, TDX_OP_RUNNABLE, LARGE);
	t_entry(&p, T_GPA, T_2M, TDX_PENDING, false);
	for (;;) {
		clo_tdx_set_interrupt(p.m, 100);
		CHECK_EQ(t_enter(&p), 0);
		if (t_tdcall(&p, CLO_TDG_MEM_PAGE_ACCEPT, T_GPA | T_2M) == 0)
			break;
		CHECK_EQ(p.exit.reason, CLO_TDX_EXIT_INTERRUPT);
		CHECK_EQ(p.regs.rcx, T_GPA | T_2M);
		t_is(&p, T_GPA, T_2M, TDX_PENDING);
		exits++;
	}
	CHECK_EQ(p.regs.rax, 0);
	CHECK_EQ(exits, 5);
	t_is(&p, T_GPA, T_2M, TDX_MAPPED);
	CHECK_OK(clo_tdx_look_entry(p.m, p.td.tdr, T_GPA, T_2M, &e));
	CHECK(clo_is_aligned(e.hpa, 2ULL << 20));
	t_close(&p);
}

/* What ACCEPT of each state and size answers. */
TEST(accept_of_what_is_not_pending)
{
	static const struct {
		enum tdx_state s;
		unsigned level, wanted;
		uint64_t status; /* 1: an exit */
	} rows[] = {
		{ TDX_FREE, T_4K, T_4K, 1 },
		{ TDX_REMOVED, T_4K, T_4K, ST(PAGE_SIZE_MISMATCH) },
		{ TDX_NL_MAPPED, T_2M, T_2M, ST(PAGE_SIZE_MISMATCH) | T_2M },
		{ TDX_NL_MAPPED, T_2M, T_4K, 1 },
		{ TDX_NL_BLOCKED, T_2M, T_2M, ST(PAGE_SIZE_MISMATCH) | T_2M },
		{ TDX_NL_BLOCKED, T_2M, T_4K, 1 },
		{ TDX_MAPPED, T_4K, T_4K, ST(PAGE_ALREADY_ACCEPTED) },
		{ TDX_MAPPED, T_2M, T_4K, ST(PAGE_ALREADY_ACCEPTED) | T_2M },
		{ TDX_BLOCKED, T_4K, T_4K, 1 },
		{ TDX_BLOCKEDW, T_4K, T_4K, ST(PAGE_ALREADY_ACCEPTED) },
		{ TDX_EXPORTED_BLOCKEDW, T_4K, T_4K, ST(PAGE_ALREADY_ACCEPTED) },
		{ TDX_EXPORTED_DIRTY, T_4K, T_4K, ST(PAGE_ALREADY_ACCEPTED) },
		{ TDX_EXPORTED_DIRTY_BLOCKEDW, T_4K, T_4K, ST(PAGE_ALREADY_ACCEPTED) },
		{ TDX_PENDING, T_4K, T_4K, 0 },
		{ TDX_PENDING, T_2M, T_4K, 1 },
		{ TDX_PENDING_BLOCKED, T_4K, T_4K, 1 },
		{ TDX_PENDING_BLOCKEDW, T_4K, T_4K, 1 },
		{ TDX_PENDING_EXPORTED_BLOCKEDW, T_4K, T_4K, 1 },
		{ TDX_PENDING_EXPORTED_DIRTY, T_4K, T_4K, 0 },
		{ TDX_PENDING_EXPORTED_DIRTY_BLOCKEDW, T_4K, T_4K, 1 },
	};

	for (size_t i = 0; i < CLO_ARRAY_SIZE(rows); i++) {
		bool exits = rows[i].status == 1;
		struct platform p;
		uint64_t shown = (uint64_t)tdx_states[rows[i].s].shown << 6;
		unsigned at =
			rows[i].s == TDX_NL_MAPPED && rows[i].wanted == T_4K ? T_4K : rows[i].level;

		t_open(&p, TDX_OP_RUNNABLE, LARGE);
		t_entry(&p, T_GPA, rows[i].level, rows[i].s, true);
		CHECK_EQ(t_enter(&p), 0);
		CHECK_EQ(t_tdcall(&p, CLO_TDG_MEM_PAGE_ACCEPT, T_GPA | rows[i].wanted), exits);
		if (!exits) {
			CHECK_EQ(p.regs.rax, rows[i].status);
		} else {
			CHECK_EQ(p.exit.reason, 48);
			CHECK_EQ(p.exit.extended & 15, CLO_TDX_EXIT_ACCEPT);
			CHECK_EQ(p.exit.extended >> 32 & 0x3f, rows[i].wanted | at << 3);
			/* Below NL_MAPPED the entry is FREE. */
			CHECK_EQ(p.exit.extended >> 32 & 0x3fc0, at == rows[i].level ? shown : 0);
		}
		t_close(&p);
	}
}

/* A load and a store in each state, as tdx_state_access() has it. */
TEST(what_the_guest_meets)
{
	for (unsigned s = 0; s < TDX_STATE_COUNT; s++) {
		uint16_t flags = tdx_states[s].flags;
		struct platform p;
		uint8_t v = 1;

		if (s == TDX_NL_MAPPED || s == TDX_NL_BLOCKED)
			continue;
		for (int write = 0; write < 2; write++) {
			bool ok = flags & TDX_S_GUEST && (!write || !(flags & TDX_S_BLOCKEDW));
			int want = ok ? 0 : flags & TDX_S_ACCEPT ? 2 : 1;

			t_open(&p, TDX_OP_RUNNABLE, LARGE);
			t_entry(&p, T_GPA, T_4K, (enum tdx_state)s, true);
			CHECK_EQ(t_enter(&p), 0);
			CHECK_MSG(t_touch(&p, T_GPA, write, &v, 1) == want, "%s",
				  tdx_states[s].name);
			t_close(&p);
		}
	}
}

/* Seven faults at one instruction: the next entry takes the tree, and does not enter in vain. */
TEST(zero_step)
{
	struct tdx_setup_lock tree = { .what = TDX_LOCK_TREE, .mode = TDX_SH };
	struct platform p;
	uint8_t v;

	t_open(&p, TDX_OP_RUNNABLE, LARGE);
	tree.tdr = p.td.tdr;
	for (int i = 0; i < 7; i++) {
		CHECK_EQ(t_enter(&p), 0);
		CHECK_EQ(t_touch(&p, T_GPA, false, &v, 0x100), 1);
	}
	CHECK(tdx_setup_lock(p.m, &tree));
	CHECK_EQ(t_enter(&p), ST(OPERAND_BUSY) | O_TREE);
	tdx_setup_unlock(p.m, &tree);
	CHECK_EQ(t_enter(&p), 48);
	CHECK_EQ(p.regs.r8, T_GPA);
	/* A page that is there but was not accepted still faults. */
	t_entry(&p, T_GPA, T_4K, TDX_PENDING, false);
	CHECK_EQ(t_enter(&p), 48);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_RANGE_BLOCK, T_GPA, T_4K), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_MEM_TRACK, p.td.tdr, 0, 0), 0);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_PAGE_REMOVE, T_GPA, T_4K), 0);
	t_entry(&p, T_GPA + CLO_PAGE_SIZE, T_4K, TDX_MAPPED, false);
	CHECK_EQ(t_enter(&p), 48);
	t_check(&p);
	clo_tdx_destroy(p.m);
}

/* Progress between two faults, and nothing is counted. */
TEST(zero_step_counts_one_instruction)
{
	struct platform p;
	uint8_t v;

	t_open(&p, TDX_OP_RUNNABLE, SMALL);
	for (int i = 0; i < 40; i++) {
		CHECK_EQ(t_enter(&p), 0);
		CHECK_EQ(t_touch(&p, T_GPA, false, &v, 0x100 + (uint64_t)i / 4), 1);
	}
	CHECK_EQ(t_enter(&p), 0);
	t_close(&p);
}
