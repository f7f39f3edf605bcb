/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_pamt.c - the physical address metadata table: what each 4K, 2M and 1G of memory is,
 * and whose. Only a private page makes a 2M or 1G entry a leaf.
 *
 * One owner (I1) is an induction over this table: a page gets into a secure entry only from NDA,
 * under its exclusive lock. It knows no GPA: that a page is at one of them is counted by
 * tdx_check.c.
 */
#include "trust/tdx/tdx_internal.h"

struct tdx_pamt *tdx_pamt_at(struct clo_tdx *m, uint64_t pfn, unsigned level)
{
	return &m->pamt[level][pfn >> (9 * level)];
}

struct tdx_pamt *tdx_pamt_of(struct clo_tdx *m, uint64_t pfn, unsigned *level)
{
	for (*level = TDX_1G; *level > TDX_4K; (*level)--) {
		struct tdx_pamt *p = tdx_pamt_at(m, pfn, *level);

		if (clo_a32_get(&p->pt) == TDX_PT_REG)
			return p;
	}
	return tdx_pamt_at(m, pfn, TDX_4K);
}

/* From the 1G entry down to the one that @level or a leaf says. @taken: the lowest that is locked.
 */
static bool walk(struct clo_tdx *m, unsigned level, struct tdx_pamt_hold *h, unsigned *taken)
{
	for (h->level = TDX_1G;; h->level--) {
		struct tdx_pamt *p = tdx_pamt_at(m, h->pfn, h->level);
		bool last = h->level == TDX_4K;

		if (!tdx_lock_try(&p->lock, last ? h->mode : TDX_SH, true))
			return false;
		*taken = h->level;
		if (!last && level != h->level && clo_a32_get(&p->pt) != TDX_PT_REG)
			continue;
		if (!last && h->mode == TDX_EX && !tdx_lock_promote(&p->lock))
			return false;
		h->entry = p;
		return true;
	}
}

static void drop_above(struct clo_tdx *m, uint64_t pfn, unsigned level)
{
	for (; level <= TDX_1G; level++)
		tdx_lock_drop(&tdx_pamt_at(m, pfn, level)->lock, TDX_SH);
}

uint64_t tdx_pamt_walk(struct clo_tdx *m, uint64_t hpa, unsigned level, enum tdx_mode mode,
		       enum tdx_operand operand, struct tdx_pamt_hold *h)
{
	unsigned taken = TDX_1G + 1;

	*h = (struct tdx_pamt_hold){ .pfn = hpa >> CLO_PAGE_SHIFT, .mode = mode, .walked = true };
	if (!clo_is_aligned(hpa, CLO_PAGE_SIZE) || hpa >> TDX_PA_BITS)
		return tdx_status(CLO_TDX_OPERAND_INVALID, operand);
	if (h->pfn >= m->pages)
		return tdx_status(CLO_TDX_OPERAND_ADDR_RANGE_ERROR, operand);
	if (walk(m, level, h, &taken))
		return 0;
	drop_above(m, h->pfn, taken);
	return tdx_status(CLO_TDX_OPERAND_BUSY, operand);
}

void tdx_pamt_drop(struct clo_tdx *m, struct tdx_pamt_hold *h)
{
	if (!h->entry)
		return;
	tdx_lock_drop(&h->entry->lock, h->mode);
	if (h->walked)
		drop_above(m, h->pfn, h->level + 1);
	h->entry = NULL;
}

uint64_t tdx_pamt_get(struct clo_tdx *m, uint64_t hpa, enum tdx_mode mode, enum tdx_pt pt,
		      enum tdx_operand operand, struct tdx_pamt_hold *h)
{
	uint64_t status = tdx_pamt_walk(m, hpa, TDX_4K, mode, operand, h);

	if (status)
		return status;
	if (h->level == TDX_4K && clo_a32_get(&h->entry->pt) == pt)
		return 0;
	tdx_pamt_drop(m, h);
	return tdx_status(CLO_TDX_PAGE_METADATA_INCORRECT, operand);
}

uint64_t tdx_pamt_get_free(struct clo_tdx *m, uint64_t hpa, unsigned level,
			   enum tdx_operand operand, struct tdx_pamt_hold *h)
{
	uint64_t status;
	bool is_free;

	if (!clo_is_aligned(hpa, CLO_PAGE_SIZE << (9 * level)))
		return tdx_status(CLO_TDX_OPERAND_INVALID, operand);
	status = tdx_pamt_walk(m, hpa, level, TDX_EX, operand, h);
	if (status)
		return status;
	is_free = h->level == level && clo_a32_get(&h->entry->pt) == TDX_PT_NDA &&
		  h->pfn + (1ULL << (9 * level)) <= m->pages;
	/* Nobody can take one of them: that needs the lock which we hold, shared. */
	for (uint64_t i = 0; is_free && level == TDX_2M && i < 512; i++)
		is_free = clo_a32_get(&tdx_pamt_at(m, h->pfn + i, TDX_4K)->pt) == TDX_PT_NDA;
	if (is_free)
		return 0;
	tdx_pamt_drop(m, h);
	return tdx_status(CLO_TDX_PAGE_METADATA_INCORRECT, operand);
}

uint64_t tdx_pamt_lock(struct clo_tdx *m, uint64_t pfn, unsigned level, enum tdx_mode mode,
		       enum tdx_operand operand, struct tdx_pamt_hold *h)
{
	struct tdx_pamt *p = tdx_pamt_at(m, pfn, level);

	if (!tdx_lock_try(&p->lock, mode, true))
		return tdx_status(CLO_TDX_OPERAND_BUSY, operand);
	*h = (struct tdx_pamt_hold){ .entry = p, .pfn = pfn, .level = level, .mode = mode };
	return 0;
}

bool tdx_is_shared(struct clo_tdx *m, uint64_t pfn)
{
	unsigned level;

	return pfn < m->pages && clo_a32_get(&tdx_pamt_of(m, pfn, &level)->pt) == TDX_PT_NDA;
}

uint64_t tdx_pamt_shared(struct clo_tdx *m, uint64_t hpa, enum tdx_operand operand,
			 struct tdx_pamt_hold *h)
{
	uint64_t status;

	if (!tdx_is_shared(m, hpa >> CLO_PAGE_SHIFT))
		return tdx_status(CLO_TDX_OPERAND_INVALID, operand);
	status =
		tdx_pamt_get(m, clo_align_down(hpa, CLO_PAGE_SIZE), TDX_SH, TDX_PT_NDA, operand, h);
	/* It was, a moment ago. */
	return status >> 32 == CLO_TDX_PAGE_METADATA_INCORRECT
		       ? tdx_status(CLO_TDX_OPERAND_INVALID, operand)
		       : status;
}

void tdx_pamt_assign(struct tdx_pamt *p, enum tdx_pt pt, uint64_t owner)
{
	clo_a64_set(&p->owner, owner);
	/* Else an export would take the page for one that was sent. */
	clo_a64_set(&p->bepoch, 0);
	clo_a32_set(&p->pt, pt);
}

/* Owner and epoch stay, as in the real table: they mean nothing while the type is NDA. */
void tdx_pamt_free(struct tdx_pamt *p)
{
	clo_a32_set(&p->pt, TDX_PT_NDA);
}

const char *tdx_pt_name(uint32_t pt)
{
	static const char *const names[] = { "NDA",  "RSVD",  NULL, "REG", "TDR",
					     "TDCX", "TDVPR", NULL, "EPT" };

	return pt < CLO_ARRAY_SIZE(names) && names[pt] ? names[pt] : "?";
}
