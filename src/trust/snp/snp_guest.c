/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/snp/snp_guest.c - what the RMP says to a guest: accesses, PVALIDATE, RMPADJUST.
 */
#include "trust/snp/snp_internal.h"

#include <errno.h>

#define PERM_R  1U
#define PERM_W  2U
#define PERM_SX 8U

static int take(struct clo_snp *m, const struct clo_snp_access *from, struct clo_snp_access *a)
{
	int ret = clo_struct_in(a, sizeof(*a), from, CLO_SNP_ACCESS_SIZE_VER0);

	if (ret)
		return ret;
	if (a->reserved[0] || a->reserved[1] || a->reserved[2])
		return clo_fail(-EINVAL, CLO_REASON_RESERVED, "clo_snp_access.reserved");
	if (a->spa >> CLO_PAGE_SHIFT >= m->pages || a->gpa & ~(RMP_GPA | CLO_PAGE_MASK))
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "clo_snp_access.spa, gpa");
	if (a->vmpl > 3 || a->asid > RMP_ASID_MAX)
		return clo_fail(-EINVAL, CLO_REASON_VALUE, "clo_snp_access.vmpl, asid");
	return 0;
}

/* Is the page this guest's, at this GPA, and can it be used? */
static bool is_theirs(const struct clo_snp_access *a, uint64_t first, uint64_t lo)
{
	uint64_t offset = (a->spa >> CLO_PAGE_SHIFT) - first;

	return lo & RMP_ASSIGNED && rmp_asid(lo) == a->asid && a->asid &&
	       (lo & RMP_GPA) + (offset << CLO_PAGE_SHIFT) == (a->gpa & RMP_GPA) &&
	       !(lo & RMP_IMMUTABLE);
}

static uint64_t bits(const struct clo_snp_access *a, uint64_t more)
{
	return CLO_SNP_NPF_RMP | more | (a->encrypted ? CLO_SNP_NPF_ENC : 0) |
	       (a->write ? CLO_SNP_NPF_WRITE : 0);
}

/* C=0: the guest's is as the host's, but reads go through. */
static int unencrypted(const struct clo_snp_access *a, uint64_t lo, uint64_t *npf)
{
	if (!a->write || !(lo & RMP_ASSIGNED))
		return 0;
	*npf = bits(a, 0);
	return 1;
}

int clo_snp_access(struct clo_snp *m, const struct clo_snp_access *asked, uint64_t *npf)
{
	struct clo_snp_access a;
	uint64_t lo, first, perms, want;
	int ret = take(m, asked, &a);

	if (ret)
		return ret;
	*npf = 0;
	first = snp_deciding(m, a.spa >> CLO_PAGE_SHIFT, &lo);
	if (!a.encrypted)
		return unencrypted(&a, lo, npf);
	/* 4K of the nested table over a 2M entry: the host is asked to PSMASH. */
	if (!is_theirs(&a, first, lo) || (lo & RMP_2M && !a.npt_2m)) {
		*npf = bits(&a, 0);
		return 1;
	}
	if (!(lo & RMP_VALIDATED))
		return 2;
	perms = clo_a64_get(&snp_entry(m, first)->perms) >> (4 * a.vmpl);
	want = PERM_R | (a.write ? PERM_W : 0) | (a.execute ? PERM_SX : 0);
	/* A VMSA is not the guest's to write. */
	if ((perms & want) == want && !(lo & RMP_VMSA && a.write))
		return 0;
	*npf = bits(&a, CLO_SNP_NPF_VMPL);
	return 1;
}

/*
 * What both instructions ask first. True: go on, with the entry locked. False: *out is the answer;
 * a code of CLO_SNP_OK with npf 0 means that another processor is there, and it is tried again.
 */
static bool begin(struct clo_snp *m, const struct clo_snp_access *a, bool size_2m, uint64_t *first,
		  uint64_t *lo, struct clo_snp_result *out)
{
	*first = snp_deciding(m, a->spa >> CLO_PAGE_SHIFT, lo);
	if (size_2m && !clo_is_aligned(a->gpa, CLO_PAGE_SIZE << 9)) {
		out->code = CLO_SNP_FAIL_INPUT;
		return false;
	}
	if (!a->encrypted || !is_theirs(a, *first, *lo)) {
		out->npf = bits(a, 0);
		return false;
	}
	if (size_2m && !(*lo & RMP_2M)) {
		out->code = CLO_SNP_FAIL_SIZEMISMATCH;
		return false;
	}
	if (!size_2m && *lo & RMP_2M) {
		out->npf = bits(a, CLO_SNP_NPF_SIZEM);
		return false;
	}
	if (!snp_lock(m, *first, 1)) {
		out->code = CLO_SNP_FAIL_INUSE;
		return false;
	}
	if (snp_get(snp_entry(m, *first)) == *lo)
		return true;
	/* It changed between the look and the lock: as if it were in use. */
	snp_unlock(m, *first, 1);
	out->code = CLO_SNP_FAIL_INUSE;
	return false;
}

int clo_snp_pvalidate(struct clo_snp *m, const struct clo_snp_access *asked, int size_2m,
		      int validate, struct clo_snp_result *out)
{
	struct clo_snp_access a;
	uint64_t first, lo;
	int ret = take(m, asked, &a);

	if (ret)
		return ret;
	*out = (struct clo_snp_result){ 0 };
	if (a.vmpl != 0) {
		out->code = CLO_SNP_FAIL_PERMISSION;
		return 0;
	}
	if (!begin(m, &a, size_2m, &first, &lo, out))
		return 0;
	out->cf = !!(lo & RMP_VALIDATED) == !!validate;
	snp_set(snp_entry(m, first), validate ? lo | RMP_VALIDATED : lo & ~RMP_VALIDATED,
		clo_a64_get(&snp_entry(m, first)->perms));
	snp_unlock(m, first, 1);
	return 0;
}

static uint32_t adjust(struct rmp_entry *e, uint64_t lo, const struct clo_snp_access *a,
		       uint32_t target, uint32_t perms, bool vmsa)
{
	uint64_t all = clo_a64_get(&e->perms);
	uint64_t own = all >> (4 * a->vmpl) & 15;

	/* Only who is less privileged, and no more than one has. */
	if (target <= a->vmpl || perms & ~own || (vmsa && a->vmpl != 0))
		return CLO_SNP_FAIL_PERMISSION;
	all = (all & ~(15ULL << (4 * target))) | (uint64_t)perms << (4 * target);
	snp_set(e, vmsa ? lo | RMP_VMSA : lo & ~RMP_VMSA, all);
	return CLO_SNP_OK;
}

int clo_snp_rmpadjust(struct clo_snp *m, const struct clo_snp_access *asked, int size_2m,
		      uint32_t target_vmpl, uint32_t perms, int vmsa, struct clo_snp_result *out)
{
	struct clo_snp_access a;
	uint64_t first, lo;
	int ret = take(m, asked, &a);

	if (ret)
		return ret;
	*out = (struct clo_snp_result){ 0 };
	if (target_vmpl > 3 || perms > 15) {
		out->code = CLO_SNP_FAIL_INPUT;
		return 0;
	}
	if (!begin(m, &a, size_2m, &first, &lo, out))
		return 0;
	if (lo & RMP_VALIDATED)
		out->code = adjust(snp_entry(m, first), lo, &a, target_vmpl, perms, vmsa);
	else
		out->code = CLO_SNP_FAIL_PERMISSION;
	snp_unlock(m, first, 1);
	return 0;
}
