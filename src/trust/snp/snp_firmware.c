/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/snp/snp_firmware.c - commands of the SNP firmware that change pages: a context comes, gets
 * its ASID and goes; pages of a launch become the guest's; pages are given back.
 */
#include "trust/snp/snp_internal.h"

#include <errno.h>

static bool context_asid(struct clo_snp *m, uint64_t pfn, uint32_t *asid)
{
	for (*asid = 1; *asid <= RMP_ASID_MAX; (*asid)++) {
		if (m->gctx_of[*asid] == pfn + 1)
			return true;
	}
	return false;
}

static uint32_t launch_checks(struct clo_snp *m, const struct clo_snp_command *c, uint64_t lo)
{
	uint64_t gctx;
	uint32_t asid;

	if (c->page_type < CLO_SNP_PAGE_NORMAL || c->page_type > CLO_SNP_PAGE_CPUID)
		return CLO_SNP_FW_INVALID_PARAM;
	if (c->gctx >> CLO_PAGE_SHIFT >= m->pages)
		return CLO_SNP_FW_INVALID_ADDRESS;
	snp_deciding(m, c->gctx >> CLO_PAGE_SHIFT, &gctx);
	if (snp_state_of(gctx) != SNP_CONTEXT ||
	    !context_asid(m, c->gctx >> CLO_PAGE_SHIFT, &asid) || rmp_asid(lo) != asid)
		return CLO_SNP_FW_INVALID_PAGE_OWNER;
	/* A VMSA is a 4K page. */
	if (c->page_type == CLO_SNP_PAGE_VMSA && lo & RMP_2M)
		return CLO_SNP_FW_INVALID_PAGE_SIZE;
	return CLO_SNP_FW_SUCCESS;
}

static uint32_t activate(struct clo_snp *m, const struct clo_snp_command *c, uint64_t pfn)
{
	uint32_t asid;

	if (c->asid == 0 || c->asid > RMP_ASID_MAX)
		return CLO_SNP_FW_INVALID_PARAM;
	if (m->gctx_of[c->asid] || context_asid(m, pfn, &asid))
		return CLO_SNP_FW_ASID_OWNED;
	m->gctx_of[c->asid] = pfn + 1;
	return CLO_SNP_FW_SUCCESS;
}

/* The bits of a page in its new state; its GPA, ASID and size are as they were where it has them.
 */
static uint64_t rewrite(enum snp_state s, uint64_t lo)
{
	const struct snp_state_info *i = &snp_states[s];
	uint64_t out = lo & ~(RMP_VALIDATED | RMP_IMMUTABLE);

	if (!i->asid)
		out &= RMP_ASSIGNED | RMP_2M;
	return out | (i->validated ? RMP_VALIDATED : 0) | (i->immutable ? RMP_IMMUTABLE : 0) |
	       (i->vmsa ? RMP_VMSA : 0) | (s == SNP_METADATA ? CLO_PAGE_SIZE : 0);
}

/* 512 entries of 4K become one: alike, adjacent, all in a state that allows it. */
static uint32_t unsmash(struct clo_snp *m, uint64_t pfn)
{
	struct rmp_entry *e = snp_entry(m, pfn);
	uint64_t lo = snp_get(e), perms = clo_a64_get(&e->perms);

	if (snp_next(SNP_OP_PAGE_UNSMASH, snp_state_of(lo)) == SNP_STATE_COUNT)
		return CLO_SNP_FW_INVALID_PAGE_STATE;
	if (lo & RMP_2M || !clo_is_aligned(lo & RMP_GPA, CLO_PAGE_SIZE << 9))
		return CLO_SNP_FW_INVALID_PAGE_SIZE;
	for (uint64_t i = 1; i < 512; i++) {
		struct rmp_entry *other = snp_entry(m, pfn + i);

		if (snp_get(other) != lo + i * CLO_PAGE_SIZE || clo_a64_get(&other->perms) != perms)
			return CLO_SNP_FW_INVALID_PAGE_STATE;
	}
	snp_set(e, lo | RMP_2M, perms);
	for (uint64_t i = 1; i < 512; i++)
		snp_set(snp_entry(m, pfn + i), 0, 0);
	return CLO_SNP_FW_SUCCESS;
}

static uint32_t change(struct clo_snp *m, const struct clo_snp_command *c, enum snp_op op,
		       uint64_t pfn)
{
	struct rmp_entry *e = snp_entry(m, pfn);
	uint64_t lo = snp_get(e);
	enum snp_state next = snp_next(op, snp_state_of(lo));
	uint32_t asid, ret = CLO_SNP_FW_SUCCESS;
	bool sized = op == SNP_OP_LAUNCH_UPDATE || op == SNP_OP_PAGE_RECLAIM;

	if (next == SNP_STATE_COUNT)
		return CLO_SNP_FW_INVALID_PAGE_STATE;
	if (sized && !!(lo & RMP_2M) != c->page_2m)
		return CLO_SNP_FW_INVALID_PAGE_SIZE;
	if (op == SNP_OP_LAUNCH_UPDATE)
		ret = launch_checks(m, c, lo);
	else if (op == SNP_OP_ACTIVATE)
		ret = activate(m, c, pfn);
	else if (op == SNP_OP_DECOMMISSION && context_asid(m, pfn, &asid))
		m->gctx_of[asid] = 0;
	if (ret)
		return ret;
	lo = rewrite(next, lo);
	if (op == SNP_OP_LAUNCH_UPDATE && c->page_type == CLO_SNP_PAGE_VMSA)
		lo |= RMP_VMSA;
	snp_set(e, lo, clo_a64_get(&e->perms));
	return CLO_SNP_FW_SUCCESS;
}

static bool op_of(uint32_t command, enum snp_op *op)
{
	static const struct {
		uint32_t command;
		enum snp_op op;
	} ops[] = {
		{ CLO_SNP_GCTX_CREATE, SNP_OP_GCTX_CREATE },
		{ CLO_SNP_ACTIVATE, SNP_OP_ACTIVATE },
		{ CLO_SNP_DECOMMISSION, SNP_OP_DECOMMISSION },
		{ CLO_SNP_LAUNCH_UPDATE, SNP_OP_LAUNCH_UPDATE },
		{ CLO_SNP_PAGE_MD_INIT, SNP_OP_PAGE_MD_INIT },
		{ CLO_SNP_PAGE_RECLAIM, SNP_OP_PAGE_RECLAIM },
		{ CLO_SNP_PAGE_UNSMASH, SNP_OP_PAGE_UNSMASH },
	};

	for (unsigned i = 0; i < CLO_ARRAY_SIZE(ops); i++) {
		if (ops[i].command == command) {
			*op = ops[i].op;
			return true;
		}
	}
	return false;
}

uint32_t clo_snp_firmware(struct clo_snp *m, const struct clo_snp_command *command)
{
	struct clo_snp_command c;
	uint64_t pfn, n;
	enum snp_op op;
	uint32_t ret;

	if (clo_struct_in(&c, sizeof(c), command, CLO_SNP_COMMAND_SIZE_VER0) || c.reserved[0] ||
	    c.reserved[1] || c.page_2m > 1 || !op_of(c.command, &op))
		return CLO_SNP_FW_INVALID_PARAM;
	pfn = c.spa >> CLO_PAGE_SHIFT;
	n = op == SNP_OP_PAGE_UNSMASH ? 512 : 1;
	if (!clo_is_aligned(c.spa, (c.page_2m ? 512 : n) << CLO_PAGE_SHIFT) || pfn >= m->pages ||
	    m->pages - pfn < n)
		return CLO_SNP_FW_INVALID_ADDRESS;
	clo_mutex_lock(&m->firmware);
	/* Instructions at these entries are short, and wait for nobody. */
	while (!snp_lock(m, pfn, n))
		clo_relax();
	ret = op == SNP_OP_PAGE_UNSMASH ? unsmash(m, pfn) : change(m, &c, op, pfn);
	snp_unlock(m, pfn, n);
	clo_mutex_unlock(&m->firmware);
	return ret;
}
