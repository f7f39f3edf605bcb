/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/snp/test_threads.c - processors at the RMP at once: hypervisors, guests and the firmware on
 * a few pages. At the end each entry is a state, and no 4K entry lies in a 2M page. Also run under
 * TSan.
 */
#include "trust/snp/snp_internal.h"

#include "harness/test.h"

#define MEM     (8ULL << 20)
#define SPA     (2ULL << 20)
#define THREADS 4U
#define CALLS   20000

struct stress {
	struct clo_snp *m;
	uint64_t seed;
	struct clo_a32 next;
	struct clo_a32 codes[8]; /* how often RMPUPDATE returned each */
};

static void update(struct stress *s, uint64_t x, bool is_2m, uint64_t offset)
{
	bool assigned = x & 1, guest = x & 2;
	struct clo_snp_rmp_state r = {
		.gpa = assigned && guest ? (6ULL << 20) + offset : 0,
		.assigned = assigned,
		.pagesize = is_2m,
		.immutable = assigned ? !guest || (x & 4) : 0,
		.asid = assigned && guest ? 1 + (uint32_t)(x >> 3 & 1) : 0,
	};

	clo_a32_add(&s->codes[clo_snp_rmpupdate(s->m, SPA + offset, &r) & 7], 1);
}

static void *processor(void *arg)
{
	/* Mostly the ways back: what is immutable would stay so. */
	static const uint32_t commands[] = { CLO_SNP_PAGE_RECLAIM, CLO_SNP_PAGE_RECLAIM,
					     CLO_SNP_PAGE_RECLAIM, CLO_SNP_PAGE_RECLAIM,
					     CLO_SNP_DECOMMISSION, CLO_SNP_GCTX_CREATE,
					     CLO_SNP_PAGE_MD_INIT, CLO_SNP_PAGE_UNSMASH };
	struct stress *s = arg;
	struct clo_rand rand = { s->seed + clo_a32_add(&s->next, 1) };

	for (int i = 0; i < CALLS; i++) {
		uint64_t x = clo_rand_next(&rand);
		bool is_2m = (x >> 8 & 7) == 0;
		uint64_t offset = is_2m ? 0 : (x >> 16 & 3) << CLO_PAGE_SHIFT;
		struct clo_snp_access a = { .size = sizeof(a),
					    .asid = 1 + (uint32_t)(x >> 20 & 1),
					    .gpa = (6ULL << 20) + offset,
					    .spa = SPA + offset,
					    .npt_2m = is_2m,
					    .encrypted = true };
		struct clo_snp_command c = { .size = sizeof(c),
					     .command = commands[x >> 24 & 7],
					     .spa = SPA + offset,
					     .page_2m = is_2m };
		struct clo_snp_result r;
		uint64_t npf;

		if (x >> 32 & 1)
			update(s, x >> 40, is_2m, offset);
		else if (x >> 33 & 1)
			CHECK_OK(clo_snp_pvalidate(s->m, &a, is_2m, x >> 34 & 1, &r));
		else if (x >> 35 & 1)
			CHECK_LE(0, clo_snp_access(s->m, &a, &npf));
		else if (x >> 36 & 1)
			(void)clo_snp_psmash(s->m, SPA);
		else
			(void)clo_snp_firmware(s->m, &c);
	}
	return NULL;
}

TEST_TIMEOUT(processors_at_once, 120)
{
	struct clo_snp_config c = { .size = sizeof(c), .mem_bytes = MEM };
	struct stress s = { .seed = test_seed() };
	struct clo_thread t[THREADS];
	uint64_t first, lo;

	CHECK_OK(clo_snp_create(&c, &s.m));
	for (unsigned i = 0; i < THREADS; i++)
		CHECK_OK(clo_thread_create(&t[i], processor, &s));
	for (unsigned i = 0; i < THREADS; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	first = clo_a64_get(&snp_entry(s.m, SPA >> CLO_PAGE_SHIFT)->lo);
	for (uint64_t i = 0; i < MEM >> CLO_PAGE_SHIFT; i++) {
		lo = clo_a64_get(&snp_entry(s.m, i)->lo);
		CHECK_EQ(lo & RMP_LOCK, 0);
		CHECK_NE(snp_state_of(lo), SNP_STATE_COUNT);
		if (first & RMP_2M && i > SPA >> CLO_PAGE_SHIFT &&
		    i < (SPA >> CLO_PAGE_SHIFT) + 512)
			CHECK_EQ(lo & RMP_ASSIGNED, 0);
	}
	test_note("RMPUPDATE: %u ok, %u in use, %u overlap", clo_a32_get(&s.codes[CLO_SNP_OK]),
		  clo_a32_get(&s.codes[CLO_SNP_FAIL_INUSE]),
		  clo_a32_get(&s.codes[CLO_SNP_FAIL_OVERLAP]));
	clo_snp_destroy(s.m);
}
