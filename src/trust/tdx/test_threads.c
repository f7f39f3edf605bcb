/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/test_threads.c - processors that call the module at once: hosts with random calls, a TD
 * that comes and goes, vCPUs that enter and touch. When all have ended the platform is as its rules
 * say. Also run under ThreadSanitizer.
 */
#include "trust/tdx/tdx_test.h"

#define PAGES 96
#define HOSTS 3U
#define CALLS 20000

struct stress {
	struct platform p;
	struct tdx_setup_td td[2];
	struct clo_a32 next, stop;
	uint64_t seed;
};

static void call(struct stress *s, uint32_t lp, uint32_t leaf, uint64_t rcx, uint64_t rdx,
		 uint64_t r8)
{
	struct clo_tdx_regs regs = { .rax = leaf, .rcx = rcx, .rdx = rdx, .r8 = r8, .r9 = r8 };

	clo_tdx_seamcall(s->p.m, lp, &regs);
}

/* Pages of a few, GPAs of a few, every leaf about an entry. */
static void *host(void *arg)
{
	struct stress *s = arg;
	uint32_t lp = 10 + clo_a32_add(&s->next, 1);
	struct clo_rand r = { s->seed + lp };

	for (int i = 0; i < CALLS; i++) {
		const struct tdx_leaf *leaf = &tdx_leaves[clo_rand_below(&r, tdx_leaf_count)];
		const struct tdx_setup_td *td = &s->td[clo_rand_below(&r, 2)];
		uint64_t page = (40 + clo_rand_below(&r, PAGES - 40)) << CLO_PAGE_SHIFT;

		if (tdx_leaf_has_entry(leaf))
			call(s, lp, leaf->number, T_GPA + (clo_rand_below(&r, 4) << 12), td->tdr,
			     page);
		else if (leaf->run == tdx_mem_track)
			call(s, lp, leaf->number, td->tdr, 0, 0);
		else if (leaf->run == tdx_phymem_rdmd || leaf->run == tdx_phymem_reclaim)
			call(s, lp, leaf->number, page, 0, 0);
	}
	return NULL;
}

/* A third TD: its TDR, and what hangs from it, comes and goes. */
static void *keeper(void *arg)
{
	uint64_t tdr = 30ULL << CLO_PAGE_SHIFT, tdcx = 31ULL << CLO_PAGE_SHIFT;
	struct stress *s = arg;

	while (!clo_a32_get(&s->stop)) {
		call(s, 1, CLO_TDH_MNG_CREATE, tdr, 40, 0);
		call(s, 1, CLO_TDH_MNG_KEY_CONFIG, tdr, 0, 0);
		call(s, 1, CLO_TDH_MNG_ADDCX, tdcx, tdr, 0);
		call(s, 1, CLO_TDH_MNG_VPFLUSHDONE, tdr, 0, 0);
		call(s, 1, CLO_TDH_PHYMEM_CACHE_WB, 0, 0, 0);
		call(s, 1, CLO_TDH_MNG_KEY_FREEID, tdr, 0, 0);
		call(s, 1, CLO_TDH_PHYMEM_PAGE_RECLAIM, tdcx, 0, 0);
		call(s, 1, CLO_TDH_PHYMEM_PAGE_RECLAIM, tdr, 0, 0);
	}
	return NULL;
}

/* Whoever looks at that TDR meanwhile. */
static void *visitor(void *arg)
{
	uint64_t tdr = 30ULL << CLO_PAGE_SHIFT;
	struct stress *s = arg;

	while (!clo_a32_get(&s->stop)) {
		call(s, 2, CLO_TDH_MEM_TRACK, tdr, 0, 0);
		call(s, 2, CLO_TDH_MEM_SEPT_RD, T_GPA, tdr, 0);
		call(s, 2, CLO_TDH_PHYMEM_PAGE_RDMD, tdr, 0, 0);
	}
	return NULL;
}

/* One byte here and there, ACCEPT where it is pending. */
static void *guest(void *arg)
{
	struct stress *s = arg;
	unsigned n = clo_a32_add(&s->next, 1) & 1;
	struct clo_tdx_exit exit = { .size = sizeof(exit) };
	struct clo_rand r = { s->seed + 77 + n };

	while (!clo_a32_get(&s->stop)) {
		struct clo_tdx_regs regs = { .rax = CLO_TDH_VP_ENTER, .rcx = s->td[n].tdvpr };

		if (clo_tdx_seamcall(s->p.m, 0, &regs))
			continue;
		for (int i = 0; i < 20; i++) {
			uint64_t gpa = T_GPA + (clo_rand_below(&r, 4) << 12);
			struct clo_tdx_access a = {
				.size = sizeof(a), .gpa = gpa, .bytes = 1, .rip = clo_rand_next(&r)
			};
			uint8_t v;
			int ret = clo_tdx_access(s->p.m, s->td[n].tdvpr, &a, &v, &exit);

			regs = (struct clo_tdx_regs){ .rax = CLO_TDG_MEM_PAGE_ACCEPT, .rcx = gpa };
			if (ret == 2)
				ret = clo_tdx_tdcall(s->p.m, s->td[n].tdvpr, &regs, &exit);
			if (ret == 1)
				break;
		}
		(void)!clo_tdx_interrupt(s->p.m, s->td[n].tdvpr, &exit);
	}
	return NULL;
}

TEST_TIMEOUT(processors_at_once, 120)
{
	void *(*const others[])(void *) = { keeper, visitor, guest, guest };
	struct stress s = { .seed = test_seed() };
	struct clo_thread host_of[HOSTS], other[CLO_ARRAY_SIZE(others)];

	t_open(&s.p, TDX_OP_RUNNABLE, PAGES * CLO_PAGE_SIZE);
	s.td[0] = s.p.td;
	CHECK_EQ(tdx_setup_td(s.p.m, TDX_OP_RUNNABLE, &s.td[1]), 0);
	for (unsigned i = 0; i < 2; i++)
		CHECK_OK(tdx_setup_entry(s.p.m, s.td[i].tdr, T_GPA, T_4K, TDX_FREE, false));
	for (unsigned i = 0; i < CLO_ARRAY_SIZE(others); i++)
		CHECK_OK(clo_thread_create(&other[i], others[i], &s));
	for (unsigned i = 0; i < HOSTS; i++)
		CHECK_OK(clo_thread_create(&host_of[i], host, &s));
	for (unsigned i = 0; i < HOSTS; i++)
		CHECK_OK(clo_thread_join(&host_of[i]));
	clo_a32_set(&s.stop, 1);
	for (unsigned i = 0; i < CLO_ARRAY_SIZE(others); i++)
		CHECK_OK(clo_thread_join(&other[i]));
	t_close(&s.p);
}
