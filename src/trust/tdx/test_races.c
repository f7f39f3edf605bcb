/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/test_races.c - processors, a host that writes to memory, and a debugger, at once:
 * pages and TDs go away under who has found them.
 */
#include "trust/tdx/tdx_test.h"

#include <errno.h>

#define MEM   (8ULL << 20)
#define TURNS 20000

static struct shared {
	struct platform p;
	uint64_t page; /* a table, then the host's, then a table */
	struct clo_a32 stop;
} s;

/* All ones in each word: taken for an entry, it would point out of memory. */
static void *host(void *arg)
{
	uint8_t ones[CLO_PAGE_SIZE];

	memset(ones, 0xff, sizeof(ones));
	while (!clo_a32_get(&s.stop)) {
		int ret = clo_tdx_memory(s.p.m, s.page, ones, sizeof(ones), 1);

		CHECK(ret == 0 || ret == -EFAULT);
	}
	return arg;
}

/* Words that a debugger reads may be the host's bytes at the same time: no finding, and told so. */
static void *debugger(void *arg)
{
#ifdef __SANITIZE_THREAD__
	return arg;
#endif
	while (!clo_a32_get(&s.stop)) {
		struct clo_tdx_entry e = { .size = sizeof(e) };

		CHECK_OK(clo_tdx_look_entry(s.p.m, s.p.td.tdr, T_GPA, T_4K, &e));
	}
	return arg;
}

TEST_TIMEOUT(a_table_comes_and_goes, 120)
{
	struct clo_thread t[2];

	/* Nothing is tracked before the TD runs. */
	t_open(&s.p, TDX_OP_INITIALIZED, MEM);
	t_entry(&s.p, T_GPA, T_2M, TDX_FREE, false);
	s.page = t_page(&s.p, T_4K);
	clo_a32_set(&s.stop, 0);
	CHECK_OK(clo_thread_create(&t[0], host, NULL));
	CHECK_OK(clo_thread_create(&t[1], debugger, NULL));
	for (unsigned i = 0; i < TURNS; i++) {
		uint64_t busy = ST(OPERAND_BUSY), status;

		while ((status = t_mem_page(&s.p, CLO_TDH_MEM_SEPT_ADD, T_GPA, T_2M, s.page)))
			CHECK_EQ(status, busy | O_R8);
		/* What the host wrote is not in it. */
		CHECK_EQ(t_mem(&s.p, CLO_TDH_MEM_SEPT_RD, T_GPA, T_4K), 0);
		CHECK_EQ(s.p.regs.rdx, 0);
		/* Its page is held for a moment by the host that finds it taken. */
		while ((status = t_mem(&s.p, CLO_TDH_MEM_SEPT_REMOVE, T_GPA, T_2M)))
			CHECK_EQ(status, busy | O_RCX);
	}
	clo_a32_set(&s.stop, 1);
	clo_thread_join(&t[0]);
	clo_thread_join(&t[1]);
	t_close(&s.p);
}

#define TDR 0x10000ULL
/* A TD with its pages, and away again. */
static void live(struct clo_tdx *m)
{
	static const struct {
		uint32_t leaf;
		uint64_t rcx, rdx;
	} calls[] = {
		{ CLO_TDH_MNG_CREATE, TDR, 5 },
		{ CLO_TDH_MNG_KEY_CONFIG, TDR, 0 },
		{ CLO_TDH_MNG_ADDCX, TDR + 0x1000, TDR },
		{ CLO_TDH_MNG_ADDCX, TDR + 0x2000, TDR },
		{ CLO_TDH_MNG_ADDCX, TDR + 0x3000, TDR },
		{ CLO_TDH_MNG_ADDCX, TDR + 0x4000, TDR },
		{ CLO_TDH_MNG_ADDCX, TDR + 0x5000, TDR },
		{ CLO_TDH_MNG_ADDCX, TDR + 0x6000, TDR },
		{ CLO_TDH_MNG_INIT, TDR, 0 },
		{ CLO_TDH_VP_CREATE, TDR + 0x7000, TDR },
		{ CLO_TDH_MNG_VPFLUSHDONE, TDR, 0 },
		{ CLO_TDH_PHYMEM_CACHE_WB, 0, 0 },
		{ CLO_TDH_MNG_KEY_FREEID, TDR, 0 },
		{ CLO_TDH_PHYMEM_PAGE_RECLAIM, TDR + 0x7000, 0 },
		{ CLO_TDH_PHYMEM_PAGE_RECLAIM, TDR + 0x1000, 0 },
		{ CLO_TDH_PHYMEM_PAGE_RECLAIM, TDR + 0x2000, 0 },
		{ CLO_TDH_PHYMEM_PAGE_RECLAIM, TDR + 0x3000, 0 },
		{ CLO_TDH_PHYMEM_PAGE_RECLAIM, TDR + 0x4000, 0 },
		{ CLO_TDH_PHYMEM_PAGE_RECLAIM, TDR + 0x5000, 0 },
		{ CLO_TDH_PHYMEM_PAGE_RECLAIM, TDR + 0x6000, 0 },
		{ CLO_TDH_PHYMEM_PAGE_RECLAIM, TDR, 0 },
	};

	for (size_t i = 0; i < CLO_ARRAY_SIZE(calls); i++) {
		struct clo_tdx_regs r = { calls[i].leaf, calls[i].rcx, calls[i].rdx, 0, 0, 0, 0 };
		uint64_t status = clo_tdx_seamcall(m, 0, &r);

		CHECK_MSG(status == 0, "call %zu: 0x%llx", i, (unsigned long long)status);
	}
}

static void *who_is_there(void *arg)
{
	struct clo_tdx_exit exit = { .size = sizeof(exit) };
	struct clo_tdx_entry e = { .size = sizeof(e) };

	while (!clo_a32_get(&s.stop)) {
		int ret = clo_tdx_look_entry(s.p.m, TDR, 0, 0, &e);

		CHECK(ret == 0 || ret == -EINVAL);
		CHECK_ERR(clo_tdx_interrupt(s.p.m, TDR + 0x7000, &exit), -EINVAL);
	}
	return arg;
}

TEST_TIMEOUT(a_td_comes_and_goes, 120)
{
	struct clo_tdx_config c = { .size = sizeof(c), .mem_bytes = MEM };
	uint64_t live_before = clo_alloc_live();
	uint16_t max_vcpus = 1;
	struct clo_thread t;

	CHECK_OK(clo_tdx_create(&c, &s.p.m));
	CHECK_OK(clo_tdx_memory(s.p.m, 16, &max_vcpus, sizeof(max_vcpus), 1));
	clo_a32_set(&s.stop, 0);
	CHECK_OK(clo_thread_create(&t, who_is_there, NULL));
	for (unsigned i = 0; i < TURNS / 20; i++)
		live(s.p.m);
	clo_a32_set(&s.stop, 1);
	clo_thread_join(&t);
	clo_tdx_destroy(s.p.m);
	CHECK_EQ(clo_alloc_live(), live_before);
}
