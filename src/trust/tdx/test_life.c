/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/test_life.c - a TD from CREATE to the reclaim of its last page, by its calls; the locks
 * that each leaf tries; lists; the measurement; random calls.
 */
#include "trust/tdx/tdx_test.h"

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#define SMALL (4ULL << 20)
#define LARGE (16ULL << 20)

static void bare(struct platform *p, uint64_t mem_bytes)
{
	struct clo_tdx_config c = { .size = sizeof(c), .mem_bytes = mem_bytes };

	*p = (struct platform){ .exit.size = sizeof(p->exit) };
	CHECK_OK(clo_tdx_create(&c, &p->m));
}

#define TDR   0x10000ULL
#define TDVPR 0x30000ULL

/* Until it is INITIALIZED. */
static void create(struct platform *q)
{
	uint64_t tdr = TDR, params = 0x20000, tdvpr = TDVPR;
	uint16_t max_vcpus = 1;
	struct platform p = *q;

	CHECK_EQ(t_call(&p, CLO_TDH_MNG_CREATE, tdr, 0, 0), ST(OPERAND_INVALID) | O_RDX);
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_CREATE, tdr + 1, 5, 0), ST(OPERAND_INVALID) | O_RCX);
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_CREATE, SMALL, 5, 0), ST(OPERAND_ADDR_RANGE_ERROR) | O_RCX);
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_CREATE, tdr, 5, 0), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_CREATE, tdr, 6, 0), ST(PAGE_METADATA_INCORRECT) | O_RCX);
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_CREATE, params, 5, 0), ST(HKID_NOT_FREE));
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_ADDCX, 0x11000, tdr, 0), ST(TD_KEYS_NOT_CONFIGURED));
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_KEY_CONFIG, tdr, 0, 0), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_KEY_CONFIG, tdr, 0, 0), ST(LIFECYCLE_STATE_INCORRECT));
	for (uint64_t i = 0; i < TDX_TDCS_MAX - 1; i++) {
		uint64_t status = i < 6 ? ST(TDCS_NOT_ALLOCATED) : ST(OP_STATE_INCORRECT);

		CHECK_EQ(t_call(&p, CLO_TDH_MEM_TRACK, tdr, 0, 0), status);
		CHECK_EQ(t_call(&p, CLO_TDH_MNG_ADDCX, 0x11000 + i * 0x1000, tdr, 0), 0);
	}
	CHECK_EQ(t_call(&p, CLO_TDH_VP_CREATE, tdvpr, tdr, 0), ST(OP_STATE_INCORRECT));
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_INIT, tdr, params + 8, 0), ST(OPERAND_INVALID) | O_RDX);
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_INIT, tdr, params, 0), ST(OPERAND_INVALID) | 68);
	CHECK_OK(clo_tdx_memory(p.m, params + 16, &max_vcpus, 2, 1));
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_INIT, tdr, params, 0), 0);
	CHECK_EQ(p.regs.rcx, 0);
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_ADDCX, 0x1f000, tdr, 0), ST(OP_STATE_INCORRECT));
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_INIT, tdr, params, 0), ST(OP_STATE_INCORRECT));
	CHECK_EQ(t_call(&p, CLO_TDH_MR_FINALIZE, tdr, 0, 0), ST(NO_VCPUS));
}

/* One vCPU, and it runs. */
static void run(struct platform *q)
{
	uint64_t tdr = TDR, tdvpr = TDVPR;
	struct platform p = *q;
	uint8_t v = 1;

	CHECK_EQ(t_call(&p, CLO_TDH_VP_CREATE, tdvpr, tdr, 0), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_VP_INIT, tdvpr, 0, 0), ST(TDCX_NUM_INCORRECT));
	for (uint64_t i = 1; i < TDX_TDVPS_MAX; i++)
		CHECK_EQ(t_call(&p, CLO_TDH_VP_ADDCX, tdvpr + i * 0x1000, tdvpr, 0), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_VP_ADDCX, 0x1f000, tdvpr, 0), ST(TDCX_NUM_INCORRECT));
	CHECK_EQ(t_call(&p, CLO_TDH_VP_INIT, tdvpr, 0, 0), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_VP_INIT, tdvpr, 0, 0), ST(VCPU_STATE_INCORRECT));
	p.td = (struct tdx_setup_td){ .tdr = tdr, .tdvpr = tdvpr };
	CHECK_EQ(t_enter(&p), ST(OP_STATE_INCORRECT));
	CHECK_EQ(t_call(&p, CLO_TDH_MR_FINALIZE, tdr, 0, 0), 0);
	CHECK_EQ(t_enter(&p), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_VPFLUSHDONE, tdr, 0, 0), ST(OPERAND_BUSY) | O_RCX);
	CHECK_EQ(t_touch(&p, 0, false, &v, 0), 1);
	*q = p;
}

/* Keys first, then pages, the TDR last. */
static void tear_down(struct platform *q)
{
	uint64_t tdr = TDR, tdvpr = TDVPR;
	struct platform p = *q;

	CHECK_EQ(t_call(&p, CLO_TDH_MNG_VPFLUSHDONE, tdr, 0, 0), ST(FLUSHVP_NOT_DONE));
	p.regs = (struct clo_tdx_regs){ .rax = CLO_TDH_VP_FLUSH, .rcx = tdvpr };
	CHECK_EQ(clo_tdx_seamcall(p.m, 1, &p.regs), ST(VCPU_NOT_ASSOCIATED));
	CHECK_EQ(t_call(&p, CLO_TDH_VP_FLUSH, tdvpr, 0, 0), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_KEY_FREEID, tdr, 0, 0), ST(LIFECYCLE_STATE_INCORRECT));
	CHECK_EQ(t_call(&p, CLO_TDH_PHYMEM_CACHE_WB, 0, 0, 0), ST(NO_HKID_READY_TO_WBCACHE));
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_VPFLUSHDONE, tdr, 0, 0), 0);
	CHECK_EQ(t_enter(&p), ST(TD_KEYS_NOT_CONFIGURED));
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_KEY_FREEID, tdr, 0, 0), ST(WBCACHE_NOT_COMPLETE));
	CHECK_EQ(t_call(&p, CLO_TDH_PHYMEM_PAGE_RECLAIM, tdvpr, 0, 0),
		 ST(LIFECYCLE_STATE_INCORRECT));
	CHECK_EQ(t_call(&p, CLO_TDH_PHYMEM_CACHE_WB, 1, 0, 0), ST(WBCACHE_RESUME_ERROR));
	CHECK_EQ(t_call(&p, CLO_TDH_PHYMEM_CACHE_WB, 0, 0, 0), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_KEY_FREEID, tdr, 0, 0), 0);

	CHECK_EQ(t_call(&p, CLO_TDH_PHYMEM_PAGE_RECLAIM, tdr, 0, 0), ST(TD_ASSOCIATED_PAGES_EXIST));
	for (uint64_t i = 0; i < TDX_TDCS_MAX - 1; i++)
		CHECK_EQ(t_call(&p, CLO_TDH_PHYMEM_PAGE_RECLAIM, 0x11000 + i * 0x1000, 0, 0), 0);
	for (uint64_t i = 0; i < TDX_TDVPS_MAX; i++) {
		CHECK_EQ(t_call(&p, CLO_TDH_PHYMEM_PAGE_RECLAIM, tdvpr + i * 0x1000, 0, 0), 0);
		CHECK_EQ(p.regs.rdx, tdr);
	}
	CHECK_EQ(t_call(&p, CLO_TDH_PHYMEM_PAGE_RECLAIM, tdr, 0, 0), 0);
	CHECK_EQ(p.regs.rcx, TDX_PT_TDR);
	CHECK_EQ(t_call(&p, CLO_TDH_PHYMEM_PAGE_RECLAIM, tdr, 0, 0),
		 ST(PAGE_METADATA_INCORRECT) | O_RCX);
	CHECK_EQ(t_call(&p, CLO_TDH_MNG_CREATE, tdr, 5, 0), 0);
}

TEST(from_create_to_reclaim)
{
	struct platform p;

	bare(&p, SMALL);
	create(&p);
	run(&p);
	tear_down(&p);
	t_close(&p);
}

/* Each lock held by another: which of them a leaf wants, and what it says. */
TEST(each_lock_of_each_leaf)
{
	static const struct {
		uint32_t leaf;
		unsigned level;
		enum tdx_state s;
		enum tdx_lock_what what;
		enum tdx_mode held;
		uint64_t status;
	} rows[] = {
		{ CLO_TDH_MEM_SEPT_RD, 0, TDX_MAPPED, TDX_LOCK_TDR, TDX_EX,
		  ST(OPERAND_BUSY) | O_RDX },
		{ CLO_TDH_MEM_SEPT_RD, 0, TDX_MAPPED, TDX_LOCK_TDR, TDX_SH, 0 },
		{ CLO_TDH_MEM_SEPT_RD, 0, TDX_MAPPED, TDX_LOCK_OP, TDX_EX,
		  ST(OPERAND_BUSY) | O_OP },
		{ CLO_TDH_MEM_SEPT_RD, 0, TDX_MAPPED, TDX_LOCK_OP, TDX_SH, 0 },
		{ CLO_TDH_MEM_SEPT_RD, 0, TDX_MAPPED, TDX_LOCK_TREE, TDX_EX,
		  ST(OPERAND_BUSY) | O_TREE },
		{ CLO_TDH_MEM_SEPT_RD, 0, TDX_MAPPED, TDX_LOCK_TREE, TDX_SH, 0 },
		{ CLO_TDH_MEM_SEPT_RD, 0, TDX_MAPPED, TDX_LOCK_ENTRY, TDX_EX,
		  ST(OPERAND_BUSY) | O_RCX },
		{ CLO_TDH_MEM_SEPT_RD, 0, TDX_MAPPED, TDX_LOCK_EPOCH, TDX_EX, 0 },
		{ CLO_TDH_MEM_RANGE_BLOCK, 0, TDX_MAPPED, TDX_LOCK_TREE, TDX_SH,
		  ST(OPERAND_BUSY) | O_TREE },
		{ CLO_TDH_MEM_RANGE_UNBLOCK, 0, TDX_BLOCKED, TDX_LOCK_TREE, TDX_SH,
		  ST(OPERAND_BUSY) | O_TREE },
		{ CLO_TDH_MEM_SEPT_REMOVE, 1, TDX_NL_BLOCKED, TDX_LOCK_TREE, TDX_SH,
		  ST(OPERAND_BUSY) | O_TREE },
		{ CLO_TDH_MEM_PAGE_REMOVE, 0, TDX_BLOCKED, TDX_LOCK_TREE, TDX_SH, 0 },
		{ CLO_TDH_MEM_PAGE_AUG, 0, TDX_FREE, TDX_LOCK_TREE, TDX_SH, 0 },
		{ CLO_TDH_MEM_PAGE_AUG, 0, TDX_FREE, TDX_LOCK_ENTRY, TDX_EX,
		  ST(OPERAND_BUSY) | O_RCX },
		{ CLO_TDH_MEM_PAGE_ADD, 0, TDX_FREE, TDX_LOCK_TDR, TDX_SH,
		  ST(OPERAND_BUSY) | O_RDX },
		{ CLO_TDH_MEM_PAGE_ADD, 0, TDX_FREE, TDX_LOCK_TREE, TDX_EX, 0 },
		{ CLO_TDH_MEM_PAGE_ADD, 0, TDX_FREE, TDX_LOCK_OP, TDX_EX, 0 },
	};

	for (size_t i = 0; i < CLO_ARRAY_SIZE(rows); i++) {
		bool add = rows[i].leaf == CLO_TDH_MEM_PAGE_ADD;
		struct tdx_setup_lock lock = { .what = rows[i].what,
					       .mode = rows[i].held,
					       .gpa = T_GPA,
					       .level = rows[i].level };
		struct clo_tdx_regs again;
		struct platform p;

		t_open(&p, add ? TDX_OP_INITIALIZED : TDX_OP_RUNNABLE, LARGE);
		lock.tdr = p.td.tdr;
		t_entry(&p, T_GPA, rows[i].level, rows[i].s, true);
		CHECK(tdx_setup_lock(p.m, &lock));
		CHECK_EQ(t_mem_page(&p, rows[i].leaf, T_GPA, rows[i].level, t_page(&p, T_4K)),
			 rows[i].status);
		tdx_setup_unlock(p.m, &lock);
		t_check(&p);
		/* Nothing is left taken: the same call goes through. */
		again = p.regs;
		if (rows[i].status)
			CHECK_EQ(t_mem_page(&p, rows[i].leaf, T_GPA, rows[i].level, again.r8), 0);
		t_close(&p);
	}
}

/* A host that failed at an entry goes before a guest. */
TEST(host_priority)
{
	struct tdx_setup_lock lock = { .what = TDX_LOCK_ENTRY, .gpa = T_GPA };
	struct platform p;

	t_open(&p, TDX_OP_RUNNABLE, SMALL);
	lock.tdr = p.td.tdr;
	t_entry(&p, T_GPA, T_4K, TDX_PENDING, false);
	CHECK_EQ(t_enter(&p), 0);
	CHECK(tdx_setup_lock(p.m, &lock));
	CHECK_EQ(t_tdcall(&p, CLO_TDG_MEM_PAGE_ACCEPT, T_GPA), 0);
	CHECK_EQ(p.regs.rax, ST(OPERAND_BUSY) | O_RCX);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_SEPT_RD, T_GPA, T_4K), ST(OPERAND_BUSY) | O_RCX);
	tdx_setup_unlock(p.m, &lock);
	CHECK_EQ(t_tdcall(&p, CLO_TDG_MEM_PAGE_ACCEPT, T_GPA), 0);
	CHECK_EQ(p.regs.rax, ST(OPERAND_BUSY) | O_RCX);
	CHECK_EQ(t_mem(&p, CLO_TDH_MEM_SEPT_RD, T_GPA, T_4K), 0);
	CHECK_EQ(t_tdcall(&p, CLO_TDG_MEM_PAGE_ACCEPT, T_GPA), 0);
	CHECK_EQ(p.regs.rax, 0);
	t_close(&p);
}

/* Writes are blocked by a list, and allowed again one by one: then the page is dirty. */
TEST(lists)
{
	uint64_t list[4], page, hpa;
	struct platform p;
	uint8_t v = 1;

	t_open(&p, TDX_OP_LIVE_EXPORT, SMALL);
	t_entry(&p, T_GPA, T_4K, TDX_MAPPED, false);
	t_entry(&p, T_GPA + 0x1000, T_4K, TDX_EXPORTED_BLOCKEDW, false);
	t_entry(&p, T_GPA + 0x2000, T_4K, TDX_PENDING, false);
	page = t_page(&p, T_4K);
	for (uint64_t i = 0; i < 4; i++)
		list[i] = (T_GPA + i * 0x1000) | 1ULL << 52;
	list[3] = T_GPA; /* NOP */
	CHECK_OK(clo_tdx_memory(p.m, page, list, sizeof(list), 1));
	clo_tdx_set_interrupt(p.m, 2);
	CHECK_EQ(t_call(&p, CLO_TDH_EXPORT_BLOCKW, page | 3ULL << 55, p.td.tdr, 0),
		 ST(INTERRUPTED_RESUMABLE));
	clo_tdx_set_interrupt(p.m, 0);
	CHECK_EQ(p.regs.rcx, page | 3ULL << 55 | 2 << 3);
	CHECK_EQ(t_call(&p, CLO_TDH_EXPORT_BLOCKW, p.regs.rcx, p.td.tdr, 0), 0);
	CHECK_OK(clo_tdx_memory(p.m, page, list, sizeof(list), 0));
	CHECK_EQ(list[0] >> 56, 0);
	CHECK_EQ(list[1], (T_GPA + 0x1000) | 4ULL << 56);
	CHECK_EQ(list[2] >> 56, 0);
	CHECK_EQ(list[3] >> 56, 1);
	t_is(&p, T_GPA, T_4K, TDX_BLOCKEDW);
	t_is(&p, T_GPA + 0x2000, T_4K, TDX_PENDING_BLOCKEDW);
	CHECK_EQ(t_enter(&p), 0);
	CHECK_EQ(t_touch(&p, T_GPA, false, &v, 1), 0);
	CHECK_EQ(t_touch(&p, T_GPA, true, &v, 1), 1);
	CHECK_EQ(t_mem(&p, CLO_TDH_EXPORT_UNBLOCKW, T_GPA, T_4K), 0);
	CHECK_EQ(t_mem(&p, CLO_TDH_EXPORT_UNBLOCKW, T_GPA + 0x1000, T_4K), 0);
	t_is(&p, T_GPA + 0x1000, T_4K, TDX_EXPORTED_DIRTY);
	CHECK_EQ(t_enter(&p), 0);
	v = 1;
	CHECK_EQ(t_touch(&p, T_GPA, true, &v, 1), 0);
	/* What is no entry of a list ends it. */
	hpa = t_page(&p, T_4K);
	list[0] = 1;
	CHECK_OK(clo_tdx_memory(p.m, hpa, list, 8, 1));
	CHECK_EQ(t_call(&p, CLO_TDH_EXPORT_BLOCKW, hpa, p.td.tdr, 0), ST(OPERAND_INVALID) | 97);
	CHECK_EQ(t_call(&p, CLO_TDH_EXPORT_BLOCKW, SMALL, p.td.tdr, 0),
		 ST(OPERAND_INVALID) | O_RCX);
	t_close(&p);
}

TEST(measurement)
{
	uint8_t want[SHA384_DIGEST_LENGTH], block[128] = { 0 }, data[CLO_PAGE_SIZE];
	uint64_t gpa = T_GPA, page, source;
	struct platform p;
	SHA512_CTX sha;

	memset(data, 0x5a, sizeof(data));
	t_open(&p, TDX_OP_INITIALIZED, SMALL);
	t_entry(&p, T_GPA, T_4K, TDX_FREE, false);
	source = t_page(&p, T_4K);
	page = source + 0x5000;
	CHECK_OK(clo_tdx_memory(p.m, source, data, sizeof(data), 1));
	p.regs = (struct clo_tdx_regs){
		.rax = CLO_TDH_MEM_PAGE_ADD, .rcx = T_GPA, .rdx = p.td.tdr, .r8 = page, .r9 = source
	};
	CHECK_EQ(clo_tdx_seamcall(p.m, 0, &p.regs), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_MR_EXTEND, T_GPA + 8, p.td.tdr, 0),
		 ST(OPERAND_INVALID) | O_RCX);
	CHECK_EQ(t_call(&p, CLO_TDH_MR_EXTEND, T_GPA + 0x1000, p.td.tdr, 0),
		 ST(EPT_ENTRY_NOT_PRESENT) | O_RCX);
	CHECK_EQ(t_call(&p, CLO_TDH_MR_EXTEND, T_GPA, p.td.tdr, 0), 0);
	CHECK_EQ(t_call(&p, CLO_TDH_MR_FINALIZE, p.td.tdr, 0, 0), 0);

	SHA384_Init(&sha);
	memcpy(block, "MEM.PAGE.ADD", 12);
	memcpy(block + 16, &gpa, 8);
	SHA384_Update(&sha, block, sizeof(block));
	memset(block, 0, 16);
	memcpy(block, "MR.EXTEND", 9);
	SHA384_Update(&sha, block, sizeof(block));
	SHA384_Update(&sha, data, 256);
	SHA384_Final(want, &sha);
	CHECK_EQ(memcmp(want, tdx_mrtd_value(tdx_td_at(p.m, p.td.tdr)->mrtd), sizeof(want)), 0);
	t_close(&p);
}

/* Registers that a fuzzer would give: pages and GPAs of a few, sometimes anything. */
static uint64_t random_page(struct clo_rand *r)
{
	return clo_rand_below(r, 16) ? clo_rand_below(r, 64) << 12 : clo_rand_next(r);
}

static uint64_t random_gpa(struct clo_rand *r)
{
	uint64_t level = clo_rand_below(r, 3), gpa = clo_rand_below(r, 4) << (12 + 9 * level);

	return clo_rand_below(r, 16) ? gpa | level : clo_rand_next(r);
}

static void random_call(struct platform *p, struct tdx_setup_td *td, struct clo_rand *r)
{
	const struct tdx_leaf *leaf = &tdx_leaves[clo_rand_below(r, tdx_leaf_count)];
	bool about_td = leaf->args == TDX_ARGS_TD, about_gpa = tdx_leaf_has_entry(leaf);

	p->td = td[clo_rand_below(r, 2)];
	p->regs = (struct clo_tdx_regs){
		.rax = leaf->number,
		.rcx = about_gpa || leaf->guest    ? random_gpa(r)
		       : about_td                  ? p->td.tdr
		       : leaf->args == TDX_ARGS_VP ? p->td.tdvpr
						   : random_page(r),
		.rdx = leaf->args == TDX_ARGS_PAGE_VP ? p->td.tdvpr : p->td.tdr,
		.r8 = random_page(r),
		.r9 = random_page(r),
	};
	/* Once gone, TDs do not come back here. */
	if (leaf->run == tdx_mng_vpflushdone || leaf->run == tdx_mng_key_freeid)
		return;
	if (leaf->guest)
		(void)!clo_tdx_tdcall(p->m, p->td.tdvpr, &p->regs, &p->exit);
	else
		clo_tdx_seamcall(p->m, 0, &p->regs);
}

/* Two TDs fight for 64 pages: after each call the platform is as its rules say. */
TEST_TIMEOUT(random_calls, 120)
{
	struct clo_rand r = { test_seed() };

	for (int round = 0; round < 40; round++) {
		struct tdx_setup_td td[2];
		struct platform p;
		uint8_t v = 0;

		t_open(&p, TDX_OP_RUNNABLE, 64 * CLO_PAGE_SIZE);
		td[0] = p.td;
		CHECK_EQ(tdx_setup_td(p.m, (enum tdx_op)clo_rand_below(&r, TDX_OP_COUNT), &td[1]),
			 0);
		for (int i = 0; i < 400; i++) {
			random_call(&p, td, &r);
			if (clo_rand_below(&r, 4) == 0)
				(void)!t_touch(&p, clo_rand_below(&r, 4) << 12, i & 1, &v, 0);
			t_check(&p);
		}
		clo_tdx_destroy(p.m);
	}
}
