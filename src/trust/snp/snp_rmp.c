/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/snp/snp_rmp.c - the reverse map table: RMPUPDATE, PSMASH, what a host's store meets.
 *
 * An entry names one guest and one GPA, so a page is mapped once (I1): the check is at the access,
 * not at the update. Of a 2M page the entry of its first 4K decides; the others are not looked at.
 */
#include "trust/snp/snp_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct rmp_entry *snp_entry(struct clo_snp *m, uint64_t pfn)
{
	return &m->rmp[pfn];
}

enum snp_state snp_state_of(uint64_t lo)
{
	for (unsigned s = 0; s < SNP_STATE_COUNT; s++) {
		const struct snp_state_info *i = &snp_states[s];

		if (i->assigned == !!(lo & RMP_ASSIGNED) && i->asid == (rmp_asid(lo) != 0) &&
		    i->immutable == !!(lo & RMP_IMMUTABLE) &&
		    i->validated == !!(lo & RMP_VALIDATED) &&
		    (i->asid || i->vmsa == !!(lo & RMP_VMSA)) &&
		    (!(s == SNP_FIRMWARE || s == SNP_METADATA) || i->gpa == !!(lo & RMP_GPA)))
			return (enum snp_state)s;
	}
	return SNP_STATE_COUNT; /* no operation makes such an entry */
}

bool snp_lock(struct clo_snp *m, uint64_t pfn, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		if (clo_a64_or(&snp_entry(m, pfn + i)->lo, RMP_LOCK) & RMP_LOCK) {
			snp_unlock(m, pfn, i);
			return false;
		}
	}
	return true;
}

void snp_unlock(struct clo_snp *m, uint64_t pfn, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		clo_a64_and(&snp_entry(m, pfn + i)->lo, ~RMP_LOCK);
}

void snp_set(struct rmp_entry *e, uint64_t lo, uint64_t perms)
{
	clo_a64_set(&e->perms, perms);
	clo_a64_set(&e->lo, lo | RMP_LOCK);
}

uint64_t snp_deciding(struct clo_snp *m, uint64_t pfn, uint64_t *lo)
{
	uint64_t first = clo_align_down(pfn, 512);

	*lo = snp_get(snp_entry(m, first));
	if (*lo & RMP_2M)
		return first;
	*lo = snp_get(snp_entry(m, pfn));
	return pfn;
}

static enum snp_op update_kind(uint64_t old, uint64_t lo)
{
	if (!(lo & RMP_ASSIGNED))
		return lo & RMP_IMMUTABLE ? SNP_OP_RMP_HV_FIXED : SNP_OP_RMP_HYPERVISOR;
	if (rmp_asid(lo) == 0)
		return SNP_OP_RMP_FIRMWARE;
	if (!(lo & RMP_IMMUTABLE))
		return SNP_OP_RMP_GUEST;
	/* Only immutable is new: what is validated stays so. */
	return (old & ~(RMP_VALIDATED | RMP_VMSA)) == (lo & ~RMP_IMMUTABLE) ? SNP_OP_RMP_PRE
									    : SNP_OP_RMP_PRE_NEW;
}

/* 4K entries and a 2M entry of the same memory do not go together. */
static bool overlaps(struct clo_snp *m, uint64_t pfn, bool is_2m)
{
	uint64_t lo, first = clo_align_down(pfn, 512);

	if (!is_2m) {
		lo = clo_a64_get(&snp_entry(m, first)->lo);
		return (lo & (RMP_2M | RMP_ASSIGNED)) == (RMP_2M | RMP_ASSIGNED);
	}
	lo = clo_a64_get(&snp_entry(m, pfn)->lo);
	for (uint64_t i = lo & RMP_2M ? 512 : 0; i < 512; i++) {
		if (clo_a64_get(&snp_entry(m, pfn + i)->lo) & RMP_ASSIGNED)
			return true;
	}
	return false;
}

static bool is_well_formed(struct clo_snp *m, uint64_t spa, const struct clo_snp_rmp_state *s)
{
	uint64_t bytes = s->pagesize ? CLO_PAGE_SIZE << 9 : CLO_PAGE_SIZE;

	if (s->assigned > 1 || s->pagesize > 1 || s->immutable > 1 || s->reserved)
		return false;
	if (!clo_is_aligned(spa, bytes) || spa >> CLO_PAGE_SHIFT >= m->pages ||
	    bytes > (m->pages << CLO_PAGE_SHIFT) - spa)
		return false;
	if (!clo_is_aligned(s->gpa, bytes) || s->gpa & ~RMP_GPA || s->asid > RMP_ASID_MAX)
		return false;
	/* No owner: nothing to say of it; the firmware's pages are its own, and immutable. */
	if (!s->assigned)
		return s->asid == 0 && s->gpa == 0;
	return s->asid || (s->immutable && s->gpa == 0);
}

/* Under the locks of the page's entries. */
static uint32_t update(struct clo_snp *m, uint64_t pfn, uint64_t lo)
{
	uint64_t perms = lo & RMP_ASSIGNED && rmp_asid(lo) ? PERMS_FIRST : 0;
	struct rmp_entry *e = snp_entry(m, pfn);
	uint64_t old = snp_get(e);
	enum snp_op op = update_kind(old, lo);

	if (snp_next(op, snp_state_of(old)) == SNP_STATE_COUNT)
		return CLO_SNP_FAIL_PERMISSION;
	if (overlaps(m, pfn, lo & RMP_2M))
		return CLO_SNP_FAIL_OVERLAP;
	if (op == SNP_OP_RMP_PRE) {
		lo |= old & (RMP_VALIDATED | RMP_VMSA);
		perms = clo_a64_get(&e->perms);
	}
	/* A page of the hypervisor's has no size. */
	snp_set(e, lo & RMP_ASSIGNED ? lo : lo & RMP_IMMUTABLE, perms);
	return CLO_SNP_OK;
}

uint32_t clo_snp_rmpupdate(struct clo_snp *m, uint64_t spa, const struct clo_snp_rmp_state *s)
{
	uint64_t pfn = spa >> CLO_PAGE_SHIFT, first = clo_align_down(pfn, 512), lo;
	struct clo_snp_rmp_state c = *s;
	uint64_t n = c.pagesize ? 512 : 1;
	uint32_t ret;

	if (!is_well_formed(m, spa, &c))
		return CLO_SNP_FAIL_INPUT;
	lo = (c.assigned ? RMP_ASSIGNED : 0) | (c.pagesize ? RMP_2M : 0) |
	     (c.immutable ? RMP_IMMUTABLE : 0) | c.gpa | (uint64_t)c.asid << RMP_ASID_SHIFT;
	/* The first entry of the 2M too: it says whether there is a 2M page. */
	if (!snp_lock(m, first, pfn == first ? 0 : 1))
		return CLO_SNP_FAIL_INUSE;
	ret = CLO_SNP_FAIL_INUSE;
	if (snp_lock(m, pfn, n)) {
		ret = update(m, pfn, lo);
		snp_unlock(m, pfn, n);
	}
	snp_unlock(m, first, pfn == first ? 0 : 1);
	return ret;
}

uint32_t clo_snp_psmash(struct clo_snp *m, uint64_t spa)
{
	uint64_t pfn = spa >> CLO_PAGE_SHIFT, lo, perms;
	uint32_t ret = CLO_SNP_FAIL_PERMISSION;
	struct rmp_entry *e;

	if (!clo_is_aligned(spa, CLO_PAGE_SIZE << 9) || pfn >= m->pages || m->pages - pfn < 512)
		return CLO_SNP_FAIL_INPUT;
	if (!snp_lock(m, pfn, 512))
		return CLO_SNP_FAIL_INUSE;
	e = snp_entry(m, pfn);
	lo = snp_get(e);
	perms = clo_a64_get(&e->perms);
	if (lo & RMP_2M && snp_next(SNP_OP_PSMASH, snp_state_of(lo)) != SNP_STATE_COUNT) {
		uint64_t gpa = lo & RMP_GPA;

		/* The first one last: until then it decides for all. */
		for (uint64_t i = 512; i-- > 0;)
			snp_set(snp_entry(m, pfn + i),
				(lo & ~(RMP_2M | RMP_GPA)) | (gpa + i * CLO_PAGE_SIZE), perms);
		ret = CLO_SNP_OK;
	}
	snp_unlock(m, pfn, 512);
	return ret;
}

uint64_t clo_snp_host_write(struct clo_snp *m, uint64_t spa, int mapped_2m)
{
	uint64_t pfn = spa >> CLO_PAGE_SHIFT, first = clo_align_down(pfn, 512), lo;

	if (pfn >= m->pages)
		return 0;
	snp_deciding(m, pfn, &lo);
	if (lo & RMP_ASSIGNED)
		return CLO_SNP_NPF_RMP;
	/* Through a large mapping all that it covers must be the host's. */
	for (uint64_t i = first; mapped_2m && i < first + 512 && i < m->pages; i++) {
		if (clo_a64_get(&snp_entry(m, i)->lo) & RMP_ASSIGNED)
			return CLO_SNP_NPF_RMP;
	}
	return 0;
}

int clo_snp_create(const struct clo_snp_config *config, struct clo_snp **out)
{
	struct clo_snp_config c;
	struct clo_snp *m;
	int ret = clo_struct_in(&c, sizeof(c), config, CLO_SNP_CONFIG_SIZE_VER0);

	if (ret)
		return ret;
	if (c.reserved)
		return clo_fail(-EINVAL, CLO_REASON_RESERVED, "clo_snp_config.reserved");
	if (c.mem_bytes == 0)
		return clo_fail(-EINVAL, CLO_REASON_EMPTY, "clo_snp_config.mem_bytes");
	if (!clo_is_aligned(c.mem_bytes, CLO_PAGE_SIZE))
		return clo_fail(-EINVAL, CLO_REASON_ALIGN, "clo_snp_config.mem_bytes");
	if (c.mem_bytes > RMP_GPA + CLO_PAGE_SIZE)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "clo_snp_config.mem_bytes");
	m = clo_alloc(sizeof(*m));
	if (!m)
		return clo_fail_heap("platform");
	m->pages = c.mem_bytes >> CLO_PAGE_SHIFT;
	/* Whole 2M: the last entry of them is looked at as the others are. */
	m->rmp_bytes = (size_t)(clo_align_up(m->pages, 512) * sizeof(struct rmp_entry));
	m->rmp = clo_alloc_sparse(m->rmp_bytes);
	if (!m->rmp) {
		clo_free(m);
		return clo_fail(-ENOMEM, CLO_REASON_SPACE, "clo_snp_config.mem_bytes");
	}
	clo_mutex_init(&m->firmware, CLO_RANK_LEAF, "snp firmware");
	*out = m;
	return 0;
}

void clo_snp_destroy(struct clo_snp *m)
{
	clo_mutex_destroy(&m->firmware);
	clo_free_sparse(m->rmp, m->rmp_bytes);
	clo_free(m);
}

int clo_snp_look(struct clo_snp *m, uint64_t spa, struct clo_snp_entry *out)
{
	uint64_t pfn = spa >> CLO_PAGE_SHIFT, lo, perms;
	struct clo_snp_entry e = { 0 };

	if (pfn >= m->pages)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "spa");
	perms = clo_a64_get(&snp_entry(m, snp_deciding(m, pfn, &lo))->perms);
	e.asid = rmp_asid(lo);
	e.gpa = lo & RMP_GPA;
	e.assigned = !!(lo & RMP_ASSIGNED);
	e.pagesize = !!(lo & RMP_2M);
	e.immutable = !!(lo & RMP_IMMUTABLE);
	e.vmsa = !!(lo & RMP_VMSA);
	e.validated = !!(lo & RMP_VALIDATED);
	for (unsigned v = 0; v < 4; v++)
		e.perms[v] = (uint8_t)(perms >> (4 * v) & 15);
	snprintf(e.state, sizeof(e.state), "%s", snp_states[snp_state_of(lo)].name);
	return clo_struct_out(out, &e, sizeof(e), CLO_SNP_ENTRY_SIZE_VER0);
}
