/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/snp/test_snp.c - every operation on every page state, at 4K and 2M; accesses; page state
 * change; random calls. What is expected of each cell is written here a second time.
 */
#include "trust/snp/snp_internal.h"

#include "harness/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MEM  (16ULL << 20)
#define SPA  (2ULL << 20)
#define GPA  (6ULL << 20)
#define ASID 7U
#define GCTX (12ULL << 20)

static const char *const names[SNP_STATE_COUNT] = {
	"Hypervisor", "Hypervisor-fixed", "Guest-Invalid", "Guest-Valid", "Pre-Guest",
	"Pre-Swap",   "Firmware",         "Metadata",      "Context",     "Reclaim",
};

static struct clo_snp *machine(void)
{
	struct clo_snp_config c = { .size = sizeof(c), .mem_bytes = MEM };
	struct clo_snp *m;

	CHECK_OK(clo_snp_create(&c, &m));
	return m;
}

static uint32_t rmp(struct clo_snp *m, uint64_t spa, uint64_t gpa, bool assigned, bool is_2m,
		    bool immutable, uint32_t asid)
{
	struct clo_snp_rmp_state s = { .gpa = gpa,
				       .assigned = assigned,
				       .pagesize = is_2m,
				       .immutable = immutable,
				       .asid = asid };

	return clo_snp_rmpupdate(m, spa, &s);
}

static uint32_t fw(struct clo_snp *m, uint32_t command, uint64_t spa, bool is_2m, uint32_t type)
{
	struct clo_snp_command c = { .size = sizeof(c),
				     .command = command,
				     .spa = spa,
				     .gctx = GCTX,
				     .asid = ASID,
				     .page_2m = is_2m,
				     .page_type = (uint8_t)type };

	return clo_snp_firmware(m, &c);
}

static struct clo_snp_access at(bool is_2m)
{
	return (struct clo_snp_access){ .size = sizeof(struct clo_snp_access),
					.asid = ASID,
					.gpa = GPA,
					.spa = SPA,
					.npt_2m = is_2m,
					.encrypted = true };
}

static void is(struct clo_snp *m, uint64_t spa, const char *state)
{
	struct clo_snp_entry e = { .size = sizeof(e) };

	CHECK_OK(clo_snp_look(m, spa, &e));
	CHECK_STR(e.state, state);
}

/* A guest's context page at GCTX, with its ASID. */
static void context(struct clo_snp *m)
{
	CHECK_EQ(rmp(m, GCTX, 0, true, false, true, 0), 0);
	CHECK_EQ(fw(m, CLO_SNP_GCTX_CREATE, GCTX, false, 0), 0);
	CHECK_EQ(fw(m, CLO_SNP_ACTIVATE, GCTX, false, 0), 0);
}

/* The page at SPA by the operations that lead there. */
static void put(struct clo_snp *m, enum snp_state s, bool is_2m)
{
	struct clo_snp_access a = at(is_2m);
	struct clo_snp_result r;

	switch (s) {
	case SNP_HV_FIXED:
		CHECK_EQ(rmp(m, SPA, 0, false, is_2m, true, 0), 0);
		break;
	case SNP_GUEST_INVALID:
	case SNP_GUEST_VALID:
	case SNP_PRE_SWAP:
		CHECK_EQ(rmp(m, SPA, GPA, true, is_2m, false, ASID), 0);
		if (s == SNP_GUEST_INVALID)
			break;
		CHECK_OK(clo_snp_pvalidate(m, &a, is_2m, 1, &r));
		CHECK(r.code == 0 && r.npf == 0 && r.cf == 0);
		if (s == SNP_PRE_SWAP)
			CHECK_EQ(rmp(m, SPA, GPA, true, is_2m, true, ASID), 0);
		break;
	case SNP_PRE_GUEST:
		CHECK_EQ(rmp(m, SPA, GPA, true, is_2m, true, ASID), 0);
		break;
	case SNP_FIRMWARE:
	case SNP_METADATA:
	case SNP_CONTEXT:
	case SNP_RECLAIM:
		CHECK_EQ(rmp(m, SPA, 0, true, is_2m, true, 0), 0);
		if (s == SNP_METADATA)
			CHECK_EQ(fw(m, CLO_SNP_PAGE_MD_INIT, SPA, is_2m, 0), 0);
		if (s == SNP_CONTEXT)
			CHECK_EQ(fw(m, CLO_SNP_GCTX_CREATE, SPA, is_2m, 0), 0);
		if (s == SNP_RECLAIM)
			CHECK_EQ(fw(m, CLO_SNP_PAGE_RECLAIM, SPA, is_2m, 0), 0);
		break;
	case SNP_HYPERVISOR:
	case SNP_STATE_COUNT:
	default:
		break;
	}
	is(m, SPA, names[s]);
}

/* "OLD>NEW" by the numbers of the states; what is not there is refused with @refused. */
struct row {
	enum snp_op op;
	const char *next;
	uint32_t refused;
};
static const struct row rows[] = {
	{ SNP_OP_RMP_HYPERVISOR, "0>0 2>0 3>0 9>0", CLO_SNP_FAIL_PERMISSION },
	{ SNP_OP_RMP_HV_FIXED, "0>1 2>1 3>1 9>1", CLO_SNP_FAIL_PERMISSION },
	{ SNP_OP_RMP_GUEST, "0>2 2>2 3>2 9>2", CLO_SNP_FAIL_PERMISSION },
	{ SNP_OP_RMP_PRE, "0>4 2>4 3>5 9>4", CLO_SNP_FAIL_PERMISSION },
	{ SNP_OP_RMP_PRE_NEW, "0>4 2>4 3>4 9>4", CLO_SNP_FAIL_PERMISSION },
	{ SNP_OP_RMP_FIRMWARE, "0>6 2>6 3>6 9>6", CLO_SNP_FAIL_PERMISSION },
	{ SNP_OP_GCTX_CREATE, "6>8", CLO_SNP_FW_INVALID_PAGE_STATE },
	{ SNP_OP_DECOMMISSION, "8>6", CLO_SNP_FW_INVALID_PAGE_STATE },
	{ SNP_OP_LAUNCH_UPDATE, "4>3", CLO_SNP_FW_INVALID_PAGE_STATE },
	{ SNP_OP_PAGE_MD_INIT, "6>7", CLO_SNP_FW_INVALID_PAGE_STATE },
	{ SNP_OP_PAGE_RECLAIM, "4>2 5>3 6>9 7>9", CLO_SNP_FW_INVALID_PAGE_STATE },
};

static uint32_t run(struct clo_snp *m, enum snp_op op, bool is_2m)
{
	switch (op) {
	case SNP_OP_RMP_HYPERVISOR:
		return rmp(m, SPA, 0, false, is_2m, false, 0);
	case SNP_OP_RMP_HV_FIXED:
		return rmp(m, SPA, 0, false, is_2m, true, 0);
	case SNP_OP_RMP_GUEST:
		return rmp(m, SPA, GPA, true, is_2m, false, ASID);
	case SNP_OP_RMP_PRE:
		return rmp(m, SPA, GPA, true, is_2m, true, ASID);
	case SNP_OP_RMP_PRE_NEW:
		return rmp(m, SPA, GPA + (2ULL << 20), true, is_2m, true, ASID);
	case SNP_OP_RMP_FIRMWARE:
		return rmp(m, SPA, 0, true, is_2m, true, 0);
	case SNP_OP_GCTX_CREATE:
		return fw(m, CLO_SNP_GCTX_CREATE, SPA, is_2m, 0);
	case SNP_OP_DECOMMISSION:
		return fw(m, CLO_SNP_DECOMMISSION, SPA, is_2m, 0);
	case SNP_OP_LAUNCH_UPDATE:
		return fw(m, CLO_SNP_LAUNCH_UPDATE, SPA, is_2m, CLO_SNP_PAGE_NORMAL);
	case SNP_OP_PAGE_MD_INIT:
		return fw(m, CLO_SNP_PAGE_MD_INIT, SPA, is_2m, 0);
	case SNP_OP_PAGE_RECLAIM:
		return fw(m, CLO_SNP_PAGE_RECLAIM, SPA, is_2m, 0);
	case SNP_OP_PSMASH:
	case SNP_OP_PVALIDATE_1:
	case SNP_OP_PVALIDATE_0:
	case SNP_OP_RMPADJUST:
	case SNP_OP_ACTIVATE:
	case SNP_OP_PAGE_UNSMASH:
	case SNP_OP_COUNT:
	default:
		return ~0U;
	}
}

TEST(each_cell)
{
	for (size_t i = 0; i < CLO_ARRAY_SIZE(rows); i++) {
		for (unsigned s = 0; s < SNP_STATE_COUNT * 2; s++) {
			bool is_2m = s >= SNP_STATE_COUNT;
			unsigned old = s % SNP_STATE_COUNT, next = old;
			struct clo_snp *m = machine();
			char key[4];
			const char *found;
			uint32_t got;

			context(m);
			put(m, (enum snp_state)old, is_2m);
			snprintf(key, sizeof(key), "%u>", old);
			found = strstr(rows[i].next, key);
			if (found)
				next = (unsigned)(found[2] - '0');
			got = run(m, rows[i].op, is_2m);
			CHECK_MSG(got == (found ? 0 : rows[i].refused), "%s on %s: %u",
				  snp_ops[rows[i].op].name, names[old], got);
			is(m, SPA, names[next]);
			clo_snp_destroy(m);
		}
	}
}

TEST(psmash_and_unsmash)
{
	struct clo_snp *m = machine();
	struct clo_snp_access a = at(true);
	struct clo_snp_entry e = { .size = sizeof(e) };
	struct clo_snp_result r;

	put(m, SNP_GUEST_VALID, true);
	CHECK_EQ(clo_snp_psmash(m, SPA + CLO_PAGE_SIZE), CLO_SNP_FAIL_INPUT);
	/* A 4K update inside a 2M page, and a 4K translation of one. */
	CHECK_EQ(rmp(m, SPA + CLO_PAGE_SIZE, 0, false, false, false, 0), CLO_SNP_FAIL_OVERLAP);
	a.npt_2m = false;
	CHECK_EQ(clo_snp_access(m, &a, &r.npf), 1);
	CHECK_EQ(r.npf, CLO_SNP_NPF_RMP | CLO_SNP_NPF_ENC);
	CHECK_OK(clo_snp_pvalidate(m, &a, 0, 1, &r));
	CHECK_EQ(r.npf, CLO_SNP_NPF_RMP | CLO_SNP_NPF_ENC | CLO_SNP_NPF_SIZEM);
	CHECK_EQ(clo_snp_psmash(m, SPA), 0);
	CHECK_EQ(clo_snp_psmash(m, SPA), CLO_SNP_FAIL_PERMISSION);
	CHECK_OK(clo_snp_look(m, SPA + 511 * CLO_PAGE_SIZE, &e));
	CHECK(e.gpa == GPA + 511 * CLO_PAGE_SIZE && e.validated && !e.pagesize && e.perms[0] == 15);
	CHECK_EQ(clo_snp_access(m, &a, &r.npf), 0);
	CHECK_OK(clo_snp_pvalidate(m, &a, 1, 1, &r));
	CHECK_EQ(r.code, CLO_SNP_FAIL_SIZEMISMATCH);
	CHECK_EQ(rmp(m, SPA, GPA, true, true, false, ASID), CLO_SNP_FAIL_OVERLAP);
	/* One of them is given back: a 2M mapping of the host would still reach the others. */
	CHECK_EQ(rmp(m, SPA, 0, false, false, false, 0), 0);
	CHECK_EQ(clo_snp_host_write(m, SPA, 0), 0);
	CHECK_EQ(clo_snp_host_write(m, SPA, 1), CLO_SNP_NPF_RMP);
	CHECK_EQ(fw(m, CLO_SNP_PAGE_UNSMASH, SPA, false, 0), CLO_SNP_FW_INVALID_PAGE_STATE);
	for (uint64_t i = 0; i < 512; i++)
		CHECK_EQ(rmp(m, SPA + i * CLO_PAGE_SIZE, GPA + i * CLO_PAGE_SIZE, true, false, true,
			     ASID),
			 0);
	CHECK_EQ(fw(m, CLO_SNP_PAGE_UNSMASH, SPA, false, 0), CLO_SNP_FW_INVALID_PAGE_STATE);
	CHECK_EQ(fw(m, CLO_SNP_PAGE_RECLAIM, SPA, false, 0), 0);
	CHECK_EQ(rmp(m, SPA, GPA, true, false, false, ASID), 0);
	a = at(false);
	CHECK_OK(clo_snp_pvalidate(m, &a, 0, 1, &r));
	CHECK_EQ(rmp(m, SPA, GPA, true, false, true, ASID), 0);
	CHECK_EQ(fw(m, CLO_SNP_PAGE_UNSMASH, SPA, false, 0), 0);
	is(m, SPA + 7 * CLO_PAGE_SIZE, "Pre-Swap");
	clo_snp_destroy(m);
}

/* One page, one guest, one GPA: whoever asks under another name is refused. */
TEST(accesses)
{
	struct clo_snp *m = machine();
	struct clo_snp_access a = at(false);
	struct clo_snp_result r;
	uint64_t npf;

	CHECK_EQ(clo_snp_access(m, &a, &npf), 1);
	a.encrypted = false;
	CHECK_EQ(clo_snp_access(m, &a, &npf), 0);
	put(m, SNP_GUEST_INVALID, false);
	CHECK_EQ(clo_snp_host_write(m, SPA, 0), CLO_SNP_NPF_RMP);
	CHECK_EQ(clo_snp_access(m, &a, &npf), 0);
	a.write = true;
	CHECK_EQ(clo_snp_access(m, &a, &npf), 1);
	CHECK_EQ(npf, CLO_SNP_NPF_RMP | CLO_SNP_NPF_WRITE);
	a.encrypted = true;
	CHECK_EQ(clo_snp_access(m, &a, &npf), 2);
	CHECK_OK(clo_snp_pvalidate(m, &a, 0, 1, &r));
	CHECK_EQ(clo_snp_access(m, &a, &npf), 0);
	CHECK_OK(clo_snp_pvalidate(m, &a, 0, 1, &r));
	CHECK_EQ(r.cf, 1);
	a.gpa += CLO_PAGE_SIZE;
	CHECK_EQ(clo_snp_access(m, &a, &npf), 1);
	a.gpa = GPA;
	a.asid++;
	CHECK_EQ(clo_snp_access(m, &a, &npf), 1);
	CHECK_OK(clo_snp_pvalidate(m, &a, 0, 1, &r));
	CHECK_EQ(r.npf, CLO_SNP_NPF_RMP | CLO_SNP_NPF_ENC | CLO_SNP_NPF_WRITE);
	a.asid = ASID;
	/* A lower VMPL has nothing until it is given something, and no more than the giver has. */
	a.vmpl = 1;
	CHECK_EQ(clo_snp_access(m, &a, &npf), 1);
	CHECK_EQ(npf, CLO_SNP_NPF_RMP | CLO_SNP_NPF_ENC | CLO_SNP_NPF_WRITE | CLO_SNP_NPF_VMPL);
	CHECK_OK(clo_snp_rmpadjust(m, &a, 0, 1, 3, 0, &r));
	CHECK_EQ(r.code, CLO_SNP_FAIL_PERMISSION);
	a.vmpl = 0;
	CHECK_OK(clo_snp_rmpadjust(m, &a, 0, 4, 3, 0, &r));
	CHECK_EQ(r.code, CLO_SNP_FAIL_INPUT);
	CHECK_OK(clo_snp_rmpadjust(m, &a, 0, 1, 1, 0, &r));
	CHECK_EQ(r.code, 0);
	a.vmpl = 1;
	CHECK_EQ(clo_snp_access(m, &a, &npf), 1);
	a.write = false;
	CHECK_EQ(clo_snp_access(m, &a, &npf), 0);
	CHECK_OK(clo_snp_rmpadjust(m, &a, 0, 2, 2, 0, &r));
	CHECK_EQ(r.code, CLO_SNP_FAIL_PERMISSION);
	CHECK_OK(clo_snp_pvalidate(m, &a, 0, 1, &r));
	CHECK_EQ(r.code, CLO_SNP_FAIL_PERMISSION);
	/* The hypervisor maps it elsewhere: no more validated. */
	CHECK_EQ(rmp(m, SPA, GPA + CLO_PAGE_SIZE, true, false, false, ASID), 0);
	is(m, SPA, "Guest-Invalid");
	clo_snp_destroy(m);
}

TEST(launch)
{
	struct clo_snp *m = machine();
	struct clo_snp_entry e = { .size = sizeof(e) };
	struct clo_snp_command c = { .size = sizeof(c), .command = 0x42 };

	CHECK_EQ(clo_snp_firmware(m, &c), CLO_SNP_FW_INVALID_PARAM);
	put(m, SNP_PRE_GUEST, false);
	CHECK_EQ(fw(m, CLO_SNP_LAUNCH_UPDATE, SPA, false, CLO_SNP_PAGE_NORMAL),
		 CLO_SNP_FW_INVALID_PAGE_OWNER);
	context(m);
	CHECK_EQ(fw(m, CLO_SNP_ACTIVATE, GCTX, false, 0), CLO_SNP_FW_ASID_OWNED);
	CHECK_EQ(fw(m, CLO_SNP_LAUNCH_UPDATE, SPA, false, 9), CLO_SNP_FW_INVALID_PARAM);
	CHECK_EQ(fw(m, CLO_SNP_LAUNCH_UPDATE, SPA, true, CLO_SNP_PAGE_NORMAL),
		 CLO_SNP_FW_INVALID_PAGE_SIZE);
	CHECK_EQ(fw(m, CLO_SNP_LAUNCH_UPDATE, SPA + 8, false, CLO_SNP_PAGE_NORMAL),
		 CLO_SNP_FW_INVALID_ADDRESS);
	CHECK_EQ(fw(m, CLO_SNP_LAUNCH_UPDATE, SPA, false, CLO_SNP_PAGE_VMSA), 0);
	CHECK_OK(clo_snp_look(m, SPA, &e));
	CHECK(e.vmsa && e.validated && !e.immutable);
	CHECK_EQ(fw(m, CLO_SNP_DECOMMISSION, GCTX, false, 0), 0);
	is(m, GCTX, "Firmware");
	CHECK_EQ(fw(m, CLO_SNP_PAGE_RECLAIM, GCTX, false, 0), 0);
	CHECK_EQ(rmp(m, GCTX, 0, false, false, false, 0), 0);
	is(m, GCTX, "Hypervisor");
	clo_snp_destroy(m);
}

static uint64_t psc_entry(uint64_t gfn, uint64_t op, bool is_2m, uint64_t cur)
{
	return cur | gfn << 12 | op << 52 | (uint64_t)is_2m << 56;
}

TEST(page_state_change)
{
	uint64_t buf[1 + CLO_SNP_PSC_ENTRIES] = { 7ULL << 16 }, answer;
	struct clo_snp_psc r;

	buf[1] = psc_entry(0x100, CLO_SNP_PSC_PRIVATE, false, 0);
	buf[2] = psc_entry(0x101, CLO_SNP_PSC_PRIVATE, false, 0);
	buf[3] = psc_entry(0x103, CLO_SNP_PSC_PRIVATE, false, 0);
	buf[4] = psc_entry(0x104, CLO_SNP_PSC_SHARED, false, 0);
	buf[5] = psc_entry(0x400, CLO_SNP_PSC_SMASH, true, 0);
	buf[6] = psc_entry(0x600, CLO_SNP_PSC_SHARED, true, 500);
	buf[7] = psc_entry(0x800, CLO_SNP_PSC_SHARED, true, 0);
	buf[8] = psc_entry(0xa00, CLO_SNP_PSC_SHARED, true, 0);
	static const struct {
		uint64_t gfn, n;
		uint32_t op, page_2m;
	} want[] = {
		{ 0x100, 2, CLO_SNP_PSC_PRIVATE, 0 },   { 0x103, 1, CLO_SNP_PSC_PRIVATE, 0 },
		{ 0x104, 1, CLO_SNP_PSC_SHARED, 0 },    { 0x7f4, 12, CLO_SNP_PSC_SHARED, 1 },
		{ 0x800, 1024, CLO_SNP_PSC_SHARED, 1 },
	};

	for (size_t i = 0; i < CLO_ARRAY_SIZE(want); i++) {
		CHECK_EQ(clo_snp_psc_next(buf, sizeof(buf), &r), CLO_SNP_PSC_OK);
		CHECK(r.gpa == want[i].gfn << 12 && r.npages == want[i].n && r.op == want[i].op &&
		      r.page_2m == want[i].page_2m);
		clo_snp_psc_done(buf, sizeof(buf), &r, i == 4 ? 700 : r.npages);
	}
	/* A part was done: the rest of its entry goes on in pieces. */
	CHECK_EQ(buf[0] & 0xffff, 7);
	CHECK_EQ(clo_snp_psc_next(buf, sizeof(buf), &r), CLO_SNP_PSC_OK);
	CHECK(r.gpa == 0xa00000 + 188 * CLO_PAGE_SIZE && r.npages == 324 && r.page_2m);
	clo_snp_psc_done(buf, sizeof(buf), &r, r.npages);
	CHECK_EQ(clo_snp_psc_next(buf, sizeof(buf), &r), CLO_SNP_PSC_OK);
	CHECK_EQ(r.npages, 0);
	CHECK_EQ(buf[0] & 0xffff, 8);
	buf[0] = 253ULL << 16;
	CHECK_EQ(clo_snp_psc_next(buf, sizeof(buf), &r), CLO_SNP_PSC_INVALID_HEADER);
	CHECK_EQ(clo_snp_psc_next(buf, 8, &r), CLO_SNP_PSC_INVALID_HEADER);
	CHECK_EQ(clo_snp_psc_next(buf, 7, &r), CLO_SNP_PSC_GENERIC);
	buf[0] = 0;
	buf[1] = psc_entry(0x100, CLO_SNP_PSC_PRIVATE, false, 2);
	CHECK_EQ(clo_snp_psc_next(buf, sizeof(buf), &r), CLO_SNP_PSC_INVALID_ENTRY);
	buf[1] = psc_entry(0x101, CLO_SNP_PSC_PRIVATE, true, 0);
	CHECK_EQ(clo_snp_psc_next(buf, sizeof(buf), &r), CLO_SNP_PSC_INVALID_ENTRY);

	CHECK_EQ(clo_snp_psc_msr(0x014 | 0x55ULL << 12 | 1ULL << 52, &r, &answer), 1);
	CHECK(r.gpa == 0x55000 && r.npages == 1 && r.op == CLO_SNP_PSC_PRIVATE);
	CHECK_EQ(clo_snp_psc_msr(0x014 | 3ULL << 52, &r, &answer), 0);
	CHECK_EQ(answer, 0x8000000000000015ULL);
	CHECK_EQ(clo_snp_psc_msr_done(0), 0x015);
}

TEST(arguments)
{
	struct clo_snp_config c = { .size = sizeof(c), .mem_bytes = MEM };
	struct clo_snp_entry e = { .size = 4 };
	struct clo_snp_access a = at(false);
	struct clo_snp_result r;
	struct clo_snp *m;
	uint64_t npf;

	c.size = 4;
	CHECK_ERR(clo_snp_create(&c, &m), -EINVAL);
	c.size = 8192;
	CHECK_ERR(clo_snp_create(&c, &m), -E2BIG);
	c.size = sizeof(c);
	c.mem_bytes = 5;
	CHECK_ERR(clo_snp_create(&c, &m), -EINVAL);
	for (uint64_t n = 1; n <= 2; n++) {
		c.mem_bytes = MEM;
		clo_alloc_fail_at(n);
		CHECK_ERR(clo_snp_create(&c, &m), -ENOMEM);
		clo_alloc_fail_at(0);
	}
	m = machine();
	CHECK_ERR(clo_snp_look(m, 0, &e), -EINVAL);
	e.size = sizeof(e);
	CHECK_ERR(clo_snp_look(m, MEM, &e), -EINVAL);
	e.size = 8192;
	CHECK_ERR(clo_snp_look(m, 0, &e), -E2BIG);
	a.vmpl = 4;
	CHECK_ERR(clo_snp_access(m, &a, &npf), -EINVAL);
	CHECK_ERR(clo_snp_pvalidate(m, &a, 0, 1, &r), -EINVAL);
	CHECK_ERR(clo_snp_rmpadjust(m, &a, 0, 1, 1, 0, &r), -EINVAL);
	a.size = 8192;
	CHECK_ERR(clo_snp_access(m, &a, &npf), -E2BIG);
	CHECK_ERR(clo_snp_pvalidate(m, &a, 0, 1, &r), -E2BIG);
	CHECK_ERR(clo_snp_rmpadjust(m, &a, 0, 1, 1, 0, &r), -E2BIG);
	CHECK_EQ(rmp(m, MEM, 0, false, false, false, 0), CLO_SNP_FAIL_INPUT);
	CHECK_EQ(rmp(m, 0, 0, false, false, false, 3), CLO_SNP_FAIL_INPUT);
	CHECK_EQ(rmp(m, 0, 0, true, false, false, 0), CLO_SNP_FAIL_INPUT);
	CHECK_EQ(rmp(m, 0, 8, true, false, false, 3), CLO_SNP_FAIL_INPUT);
	CHECK_EQ(clo_snp_host_write(m, MEM, 0), 0);
	clo_snp_destroy(m);
}

/* Each entry is one of the states, whatever is called; no page is used under two names. */
TEST(random_calls)
{
	static const uint32_t commands[] = { CLO_SNP_GCTX_CREATE,  CLO_SNP_ACTIVATE,
					     CLO_SNP_DECOMMISSION, CLO_SNP_LAUNCH_UPDATE,
					     CLO_SNP_PAGE_MD_INIT, CLO_SNP_PAGE_RECLAIM,
					     CLO_SNP_PAGE_UNSMASH };
	struct clo_rand rand = { test_seed() };
	struct clo_snp *m = machine();

	for (int i = 0; i < 200000; i++) {
		uint64_t x = clo_rand_next(&rand);
		bool is_2m = x >> 8 & 1;
		uint64_t spa = SPA + (is_2m ? 0 : (x & 3) << CLO_PAGE_SHIFT), lo;
		uint64_t gpa = GPA + (is_2m ? 0 : (x >> 2 & 3) << CLO_PAGE_SHIFT);
		struct clo_snp_access a = at(is_2m);
		struct clo_snp_result r;
		uint64_t npf;

		a.spa = spa;
		a.gpa = gpa;
		a.asid = 1 + (uint32_t)(x >> 4 & 1);
		switch (x >> 16 & 7) {
		case 0:
			(void)rmp(m, spa, x & 1ULL << 40 ? gpa : 0, x & 1ULL << 41, is_2m,
				  x & 1ULL << 42, x & 1ULL << 43 ? a.asid : 0);
			break;
		case 1:
			(void)clo_snp_psmash(m, spa);
			break;
		case 2:
		case 3:
			CHECK_OK(clo_snp_pvalidate(m, &a, is_2m, x >> 44 & 1, &r));
			break;
		case 4:
			CHECK_OK(clo_snp_rmpadjust(m, &a, is_2m, (uint32_t)(x >> 45 & 3),
						   (uint32_t)(x >> 47 & 15), 0, &r));
			break;
		case 5:
			(void)fw(m, commands[(x >> 32) % CLO_ARRAY_SIZE(commands)], spa, is_2m,
				 CLO_SNP_PAGE_NORMAL);
			break;
		default:
			/* Who may use the page is who it is assigned to. */
			if (clo_snp_access(m, &a, &npf) == 0) {
				snp_deciding(m, spa >> CLO_PAGE_SHIFT, &lo);
				CHECK_EQ(rmp_asid(lo), a.asid);
				CHECK(lo & RMP_VALIDATED);
			}
			break;
		}
		snp_deciding(m, spa >> CLO_PAGE_SHIFT, &lo);
		CHECK_NE(snp_state_of(lo), SNP_STATE_COUNT);
	}
	clo_snp_destroy(m);
}
