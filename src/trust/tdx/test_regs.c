/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/test_regs.c - what is in the registers besides a page and a status: flags, bits that
 * are not looked at, what is left in them; the locks of leaves that are about no entry.
 */
#include "trust/tdx/tdx_test.h"

#define SMALL (4ULL << 20)
#define LARGE (16ULL << 20)

/* The leaves of a vCPU try OP_STATE too; VP.ENTER gives it back before the guest runs. */
TEST(leaves_of_a_vcpu_try_op_state)
{
	static const struct {
		uint32_t leaf;
		enum tdx_op op;
		uint64_t free; /* what it says once the lock is free */
	} rows[] = {
		{ CLO_TDH_VP_ENTER, TDX_OP_RUNNABLE, 0 },
		{ CLO_TDH_VP_INIT, TDX_OP_INITIALIZED, ST(VCPU_STATE_INCORRECT) },
		{ CLO_TDH_VP_ADDCX, TDX_OP_INITIALIZED, ST(VCPU_STATE_INCORRECT) },
		{ CLO_TDH_VP_FLUSH, TDX_OP_RUNNABLE, 0 },
	};

	for (size_t i = 0; i < CLO_ARRAY_SIZE(rows); i++) {
		struct tdx_setup_lock lock = { .what = TDX_LOCK_OP, .mode = TDX_EX };
		bool addcx = rows[i].leaf == CLO_TDH_VP_ADDCX, flush = i == 3;
		struct platform p;
		uint64_t page;

		t_open(&p, rows[i].op, SMALL);
		page = addcx ? t_page(&p, T_4K) : p.td.tdvpr;
		lock.tdr = p.td.tdr;
		CHECK(tdx_setup_lock(p.m, &lock));
		if (!flush)
			CHECK_EQ(t_call(&p, rows[i].leaf, page, p.td.tdvpr, 0),
				 ST(OPERAND_BUSY) | O_OP);
		else
			CHECK_EQ(t_call(&p, rows[i].leaf, page, 0, 0), 0);
		tdx_setup_unlock(p.m, &lock);
		if (!flush)
			CHECK_EQ(t_call(&p, rows[i].leaf, page, p.td.tdvpr, 0), rows[i].free);
		/* Also while the guest runs. */
		CHECK(tdx_setup_lock(p.m, &lock));
		tdx_setup_unlock(p.m, &lock);
		t_close(&p);
	}
}

/* RESUME_L1 and HOST_RECOVERABILITY_HINT are looked at when the vCPU is associated already. */
TEST(flags_of_enter)
{
	struct platform p;

	t_open(&p, TDX_OP_RUNNABLE, SMALL);
	CHECK_EQ(t_call(&p, CLO_TDH_VP_FLUSH, p.td.tdvpr, 0, 0), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_VP_FLUSH, p.td.tdvpr, 0, 0), ST(VCPU_NOT_ASSOCIATED));
	CHECK_EQ(t_call(&p, CLO_TDH_VP_ENTER, p.td.tdvpr | 1ULL << 54, 0, 0),
		 ST(OPERAND_INVALID) | O_RCX);
	CHECK_EQ(t_call(&p, CLO_TDH_VP_FLUSH, p.td.tdvpr, 0, 0), ST(VCPU_NOT_ASSOCIATED));
	CHECK_EQ(t_call(&p, CLO_TDH_VP_ENTER, p.td.tdr | 1ULL << 53, 0, 0),
		 ST(PAGE_METADATA_INCORRECT) | O_RCX);
	for (unsigned bit = 52; bit < 54; bit++) {
		CHECK_EQ(t_call(&p, CLO_TDH_VP_ENTER, p.td.tdvpr | 1ULL << bit, 0, 0),
			 ST(OPERAND_INVALID) | O_RCX);
		CHECK_EQ(t_call(&p, CLO_TDH_VP_FLUSH, p.td.tdvpr, 0, 0), 0);
	}
	CHECK_EQ(t_enter(&p), 0);
	t_leave(&p);
	t_close(&p);
}

/* An exit that the zero-step mitigation makes up is one of a write. */
TEST(registers_of_a_zero_step_exit)
{
	struct platform p;
	uint8_t v;

	t_open(&p, TDX_OP_RUNNABLE, SMALL);
	for (unsigned i = 0; i < 7; i++) {
		CHECK_EQ(t_enter(&p), 0);
		CHECK_EQ(t_touch(&p, T_GPA, false, &v, 0x100), 1);
	}
	p.regs = (struct clo_tdx_regs){ CLO_TDH_VP_ENTER, p.td.tdvpr, 7, 7, 7, 7, 7 };
	CHECK_EQ(clo_tdx_seamcall(p.m, 0, &p.regs), 48);
	CHECK(p.regs.rcx == 2 && p.regs.rdx == 0 && p.regs.r8 == T_GPA);
	CHECK(p.regs.r9 == 0 && p.regs.r10 == 0 && p.regs.r11 == 0);
	t_close(&p);
}

/* What is not done comes again: an exit leaves the guest its registers. */
TEST(a_tdcall_that_exits_keeps_its_registers)
{
	static const uint32_t leaves[] = { CLO_TDG_MEM_PAGE_ACCEPT, CLO_TDG_MEM_PAGE_ATTR_RD,
					   CLO_TDG_MEM_PAGE_ATTR_WR };
	struct platform p;

	t_open(&p, TDX_OP_RUNNABLE, SMALL);
	t_entry(&p, T_GPA, T_4K, TDX_BLOCKED, true);
	for (size_t i = 0; i < CLO_ARRAY_SIZE(leaves); i++) {
		CHECK_EQ(t_enter(&p), 0);
		CHECK_EQ(t_tdcall(&p, leaves[i], T_GPA), 1);
		CHECK_EQ(p.exit.reason, 48);
		CHECK_EQ(p.exit.gpa, T_GPA);
		/* The two that would write say so. */
		CHECK_EQ(p.exit.qualification, leaves[i] == CLO_TDG_MEM_PAGE_ATTR_RD ? 0 : 2);
		CHECK(p.regs.rax == leaves[i] && p.regs.rcx == T_GPA);
	}
	t_close(&p);
}

/* Bits 5:3 of the qualification are what the entry allows. */
TEST(qualification_of_a_blocked_write)
{
	struct platform p;
	uint8_t v = 1;

	t_open(&p, TDX_OP_RUNNABLE, SMALL);
	t_entry(&p, T_GPA, T_4K, TDX_BLOCKEDW, true);
	CHECK_EQ(t_enter(&p), 0);
	CHECK_EQ(t_touch(&p, T_GPA, true, &v, 0), 1);
	CHECK_EQ(p.exit.qualification, 2 | 5 << 3);
	CHECK_EQ(t_enter(&p), 0);
	CHECK_EQ(t_tdcall(&p, CLO_TDG_MEM_PAGE_ATTR_WR, T_GPA), 1);
	CHECK_EQ(p.exit.qualification, 2 | 5 << 3);
	CHECK_EQ(t_enter(&p), 0);
	CHECK_EQ(t_touch(&p, T_GPA + CLO_PAGE_SIZE, false, &v, 0), 1);
	CHECK_EQ(p.exit.qualification, 1);
	t_close(&p);
}

/* ATTR.RD takes any address of the page, ATTR.WR looks at VM after VM. */
TEST(operands_of_attributes)
{
	struct platform p;

	t_open(&p, TDX_OP_RUNNABLE, SMALL);
	t_entry(&p, T_GPA, T_4K, TDX_MAPPED, true);
	CHECK_EQ(t_enter(&p), 0);
	CHECK_EQ(t_tdcall(&p, CLO_TDG_MEM_PAGE_ATTR_RD, T_GPA | 0xabc), 0);
	CHECK(p.regs.rax == 0 && p.regs.rcx == T_GPA);
	CHECK_EQ(t_tdcall(&p, CLO_TDG_MEM_PAGE_ATTR_RD, T_GPA | 1ULL << 47), 0);
	CHECK_EQ(p.regs.rax, ST(OPERAND_INVALID) | O_RCX);
	CHECK_EQ(t_tdcall(&p, CLO_TDG_MEM_PAGE_ATTR_RD, T_GPA | 1ULL << 52), 0);
	CHECK_EQ(p.regs.rax, ST(OPERAND_INVALID) | O_RCX);
	for (unsigned vm = 0; vm < 4; vm++) {
		p.regs = (struct clo_tdx_regs){ .rax = CLO_TDG_MEM_PAGE_ATTR_WR,
						.rcx = T_GPA,
						.rdx = 1ULL << 16 * vm,
						.r8 = 1ULL << 32 };
		CHECK_EQ(clo_tdx_tdcall(p.m, p.td.tdvpr, &p.regs, &p.exit), 0);
		CHECK_EQ(p.regs.rax, ST(OPERAND_INVALID) | (vm > 2 ? O_R8 : O_RDX));
	}
	t_leave(&p);
	t_close(&p);
}

/*
 * The module sees the instruction pointer when the guest comes out: a loop that went on inside and
 * faults at the same instruction again is at one place for it.
 */
TEST(zero_step_sees_exits_only)
{
	struct platform p;
	uint8_t v;

	t_open(&p, TDX_OP_RUNNABLE, SMALL);
	t_entry(&p, 0, T_4K, TDX_MAPPED, true);
	for (unsigned i = 0; i < 7; i++) {
		CHECK_EQ(t_enter(&p), 0);
		CHECK_EQ(t_touch(&p, 0, false, &v, 0x200), 0);
		CHECK_EQ(t_touch(&p, T_GPA, false, &v, 0x100), 1);
	}
	CHECK_EQ(t_enter(&p), 48);
	CHECK_EQ(p.regs.r8, T_GPA);
	t_close(&p);
}

/* Too many pages of a TD that is not yet initialized. */
TEST(nine_tdcs_pages)
{
	struct clo_tdx_config c = { .size = sizeof(c), .mem_bytes = SMALL };
	struct platform p = { 0 };

	CHECK_OK(clo_tdx_create(&c, &p.m));
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_CREATE, 0x10000, 5, 0), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_KEY_CONFIG, 0x10000, 0, 0), 0);
	for (uint64_t i = 0; i < 9; i++)
		CHECK_EQ(t_call(&p, CLO_TDH_MNG_ADDCX, 0x11000 + i * 0x1000, 0x10000, 0), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_ADDCX, 0x1a000, 0x10000, 0), ST(TDCX_NUM_INCORRECT));
	t_close(&p);
}

/* Bit 63 of the page says that an earlier call has not used it; all ones are no page. */
TEST(flags_of_sept_add)
{
	uint64_t page, gpa = T_GPA;
	struct platform p;

	t_open(&p, TDX_OP_RUNNABLE, SMALL);
	t_entry(&p, gpa, T_2M, TDX_NL_MAPPED, false);
	gpa += 2ULL << 20;
	page = t_page(&p, T_4K);
	CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_SEPT_ADD, gpa, T_2M, ~0ULL),
		 ST(OPERAND_INVALID) | O_R8);
	CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_SEPT_ADD, gpa, T_2M, page | 1ULL << 62),
		 ST(OPERAND_INVALID) | O_R8);
	CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_SEPT_ADD, gpa, T_2M, page | 1ULL << 63), 0);
	t_is(&p, gpa, T_2M, TDX_NL_MAPPED);
	/* With ALLOW_EXISTING. */
	p.td.tdr |= 1;
	CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_SEPT_ADD, gpa, T_2M, t_page(&p, T_4K)), 0);
	CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_SEPT_ADD, gpa, T_2M, ~0ULL),
		 ST(OPERAND_INVALID) | O_R8);
	t_close(&p);
}

/* Bit 0 beside the TDR: attributes of L2 guests, their pages. */
TEST(flags_of_sept_rd_and_demote)
{
	struct platform p;
	uint64_t table;

	t_open(&p, TDX_OP_RUNNABLE, LARGE);
	t_entry(&p, T_GPA, T_2M, TDX_BLOCKED, true);
	p.td.tdr |= 1;
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_SEPT_RD, T_GPA, T_2M), ST(OPERAND_INVALID) | O_RDX);
	p.td.tdr |= 2;
	CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_PAGE_DEMOTE, T_GPA, T_2M, t_page(&p, T_4K)),
		 ST(OPERAND_INVALID) | O_RDX);
	p.td.tdr -= 2;
	/* Interrupted, the registers come back as they were. */
	table = t_page(&p, T_4K);
	clo_tdx_set_interrupt(p.m, 1);
	CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_PAGE_DEMOTE, T_GPA, T_2M, table),
		 ST(INTERRUPTED_RESTARTABLE));
	CHECK(p.regs.rcx == (T_GPA | T_2M) && p.regs.rdx == p.td.tdr);
	clo_tdx_set_interrupt(p.m, 0);
	CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_PAGE_DEMOTE, T_GPA, T_2M, table), 0);
	t_close(&p);
}

/* DEMOTE leaves its new table the epoch that the page was last blocked in; SEPT.ADD does not. */
TEST(epoch_of_a_new_table)
{
	uint64_t page, gpa = T_GPA + (2ULL << 20);
	struct platform p;

	t_open(&p, TDX_OP_RUNNABLE, LARGE);
	t_entry(&p, T_GPA, T_2M, TDX_BLOCKED, true);
	t_entry(&p, gpa, T_2M, TDX_FREE, false);
	page = t_page(&p, T_4K);
	CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_SEPT_ADD, gpa, T_2M, page), 0);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_RANGE_BLOCK, gpa, T_2M), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_MEM_TRACK, p.td.tdr, 0, 0), 0);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_SEPT_REMOVE, gpa, T_2M), 0);
	CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_PAGE_DEMOTE, T_GPA, T_2M, page), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_PHYMEM_PAGE_RDMD, page, 0, 0), 0);
	CHECK(p.regs.rcx == TDX_PT_EPT && p.regs.r9 == 1);
	CHECK_EQ(t_call(&p, CLO_TDH_PHYMEM_PAGE_RDMD, p.td.tdvpr, 0, 0), 0);
	CHECK_EQ(p.regs.r9, 0);
	t_close(&p);
}

/* CACHE.WB has a lock of the package's, and shares the table of keys. */
TEST(locks_of_cache_wb)
{
	struct platform p;

	t_open(&p, TDX_OP_RUNNABLE, SMALL);
	CHECK(tdx_lock_try(&p.m->kot_lock, TDX_SH, false));
	CHECK_EQ(t_call(&p, CLO_TDH_PHYMEM_CACHE_WB, 0, 0, 0), ST(NO_HKID_READY_TO_WBCACHE));
	tdx_lock_drop(&p.m->kot_lock, TDX_SH);
	CHECK(tdx_lock_try(&p.m->kot_lock, TDX_EX, false));
	CHECK_EQ(t_call(&p, CLO_TDH_PHYMEM_CACHE_WB, 1, 0, 0), ST(OPERAND_BUSY) | 186);
	CHECK(tdx_lock_try(&p.m->wb_lock, TDX_EX, false));
	CHECK_EQ(t_call(&p, CLO_TDH_PHYMEM_CACHE_WB, 1, 0, 0), ST(OPERAND_BUSY) | 188);
	CHECK_STR(clo_tdx_operand_name(p.regs.rax), "WBCACHE");
	tdx_lock_drop(&p.m->wb_lock, TDX_EX);
	tdx_lock_drop(&p.m->kot_lock, TDX_EX);
	t_close(&p);
}

/* 2M pages of which the first was accepted in part: their 1G page has the count in its word. */
TEST(promote_keeps_what_was_counted)
{
	uint64_t size = 2ULL << 20, large = 1ULL << 30;
	struct platform p;

	t_open(&p, TDX_OP_RUNNABLE, 2 * large);
	t_entry(&p, T_GPA, T_2M, TDX_FREE, false);
	for (uint64_t i = 0; i < 512; i++)
		CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_PAGE_AUG, T_GPA + i * size, T_2M,
				    large + i * size),
			 0);
	CHECK_EQ(t_enter(&p), 0);
	clo_tdx_set_interrupt(p.m, 3);
	CHECK_EQ(t_tdcall(&p, CLO_TDG_MEM_PAGE_ACCEPT, T_GPA | T_2M), 1);
	CHECK_EQ(p.exit.reason, CLO_TDX_EXIT_INTERRUPT);
	clo_tdx_set_interrupt(p.m, 0);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_RANGE_BLOCK, T_GPA, 2), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_MEM_TRACK, p.td.tdr, 0, 0), 0);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_PAGE_PROMOTE, T_GPA, 2), 0);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_SEPT_RD, T_GPA, 2), 0);
	CHECK_EQ(p.regs.rcx & TDX_E_HPA, large | 3 << 12);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_RANGE_BLOCK, T_GPA, 2), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_MEM_TRACK, p.td.tdr, 0, 0), 0);
	t_check(&p);
	/* The pages that it is split into begin anew. */
	CHECK_EQ(t_mem_page(&p, CLO_TDH_MEM_PAGE_DEMOTE, T_GPA, 2, t_page(&p, T_4K)), 0);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_SEPT_RD, T_GPA + size, T_2M), 0);
	CHECK_EQ(p.regs.rcx & TDX_E_HPA, large + size);
	t_close(&p);
}
