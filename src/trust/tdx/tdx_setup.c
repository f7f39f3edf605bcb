/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_setup.c - machine setup for tests and for `cloister seamcall`: a TD, an entry, a
 * lock put directly into a state. No module has such calls; one at a time.
 */
#include "trust/tdx/tdx_setup.h"
#include "trust/tdx/tdx_internal.h"

#include <errno.h>
#include <string.h>

bool tdx_free_page(struct clo_tdx *m, unsigned level, uint64_t *hpa)
{
	uint64_t step = 1ULL << (9 * level);

	/* HPA 0 is left alone: a page number that was forgotten is seen. */
	for (uint64_t pfn = step; pfn + step <= m->pages; pfn += step) {
		bool is_free = true;

		for (uint64_t i = 0; is_free && i < step; i++) {
			unsigned found;

			is_free = clo_a32_get(&tdx_pamt_of(m, pfn + i, &found)->pt) == TDX_PT_NDA;
		}
		*hpa = pfn << CLO_PAGE_SHIFT;
		if (is_free)
			return true;
	}
	return false;
}

static uint64_t call(struct clo_tdx *m, uint32_t leaf, uint64_t rcx, uint64_t rdx)
{
	struct clo_tdx_regs regs = { .rax = leaf, .rcx = rcx, .rdx = rdx };

	return clo_tdx_seamcall(m, 0, &regs);
}

/* The call with a new page in RCX. */
static uint64_t call_page(struct clo_tdx *m, uint32_t leaf, uint64_t rdx, uint64_t *hpa)
{
	return tdx_free_page(m, TDX_4K, hpa) ? call(m, leaf, *hpa, rdx)
					     : tdx_status(CLO_TDX_PAGE_METADATA_INCORRECT, TDX_RCX);
}

static uint64_t build(struct clo_tdx *m, uint32_t hkid, struct tdx_setup_td *td)
{
	uint64_t params, page, status = call_page(m, CLO_TDH_MNG_CREATE, hkid, &td->tdr);

	if (status || (status = call(m, CLO_TDH_MNG_KEY_CONFIG, td->tdr, 0)))
		return status;
	for (unsigned i = 0; !status && i < TDX_TDCS_PAGES; i++)
		status = call_page(m, CLO_TDH_MNG_ADDCX, td->tdr, &page);
	if (status || !tdx_free_page(m, TDX_4K, &params))
		return status ? status : tdx_status(CLO_TDX_OPERAND_INVALID, TDX_RDX);
	memset(m->memory + params, 0, CLO_PAGE_SIZE);
	m->memory[params + 16] = 8; /* MAX_VCPUS */
	if ((status = call(m, CLO_TDH_MNG_INIT, td->tdr, params)) ||
	    (status = call_page(m, CLO_TDH_VP_CREATE, td->tdr, &td->tdvpr)))
		return status;
	for (unsigned i = 1; !status && i < TDX_TDVPS_PAGES; i++)
		status = call_page(m, CLO_TDH_VP_ADDCX, td->tdvpr, &page);
	return status ? status : call(m, CLO_TDH_VP_INIT, td->tdvpr, 0);
}

uint64_t tdx_setup_td(struct clo_tdx *m, enum tdx_op op, struct tdx_setup_td *td)
{
	uint64_t status;
	uint32_t hkid = 1;

	while (hkid < TDX_HKIDS - 1 && m->hkid[hkid] != TDX_HKID_FREE)
		hkid++;
	status = build(m, hkid, td);
	if (!status)
		clo_a32_set(&tdx_td_at(m, td->tdr)->op, op);
	return status;
}

/* A table below @e, for pages of @td. */
static bool add_table(struct clo_tdx *m, struct tdx_td *td, struct clo_a64 *e)
{
	uint64_t hpa;

	if (!tdx_free_page(m, TDX_4K, &hpa))
		return false;
	tdx_sept_fill(m, hpa >> CLO_PAGE_SHIFT, tdx_entry_init(), 0);
	clo_a64_set(e, tdx_entry_table(hpa >> CLO_PAGE_SHIFT));
	tdx_pamt_assign(tdx_pamt_at(m, hpa >> CLO_PAGE_SHIFT, TDX_4K), TDX_PT_EPT, td->tdr);
	clo_a64_add(&td->children, 1);
	return true;
}

static int walk_to(struct clo_tdx *m, struct tdx_td *td, uint64_t gpa, unsigned level,
		   struct clo_a64 **e)
{
	for (;;) {
		unsigned at = level;
		uint64_t raw;

		*e = tdx_sept_walk(m, td, gpa, &at, &raw);
		if (at == level)
			return tdx_entry_state(raw) == TDX_FREE ? 0 : -EEXIST;
		if (tdx_entry_state(raw) != TDX_FREE)
			return -EEXIST;
		if (!add_table(m, td, *e))
			return -ENOSPC;
	}
}

int tdx_setup_entry(struct clo_tdx *m, uint64_t tdr, uint64_t gpa, unsigned level, enum tdx_state s,
		    bool tracked)
{
	struct tdx_td *td = tdx_td_at(m, tdr);
	uint16_t flags = tdx_states[s].flags;
	unsigned size = flags & TDX_S_LEAF ? level : TDX_4K;
	struct tdx_pamt *page;
	struct clo_a64 *e;
	uint64_t hpa = 0;
	int ret = walk_to(m, td, gpa, level, &e);

	if (ret)
		return ret;
	if (s == TDX_FREE)
		return 0;
	if (s == TDX_REMOVED) {
		clo_a64_set(e, tdx_entry_with(TDX_E_SVE | 1ULL << 44, s));
		return 0;
	}
	if (!tdx_free_page(m, size, &hpa))
		return -ENOSPC;
	page = tdx_pamt_at(m, hpa >> CLO_PAGE_SHIFT, size);
	if (flags & TDX_S_LEAF) {
		clo_a64_set(e, tdx_entry_leaf(s, hpa >> CLO_PAGE_SHIFT));
	} else {
		tdx_sept_fill(m, hpa >> CLO_PAGE_SHIFT, tdx_entry_init(), 0);
		clo_a64_set(e, tdx_entry_with(TDX_E_SVE | hpa, s));
	}
	tdx_pamt_assign(page, flags & TDX_S_LEAF ? TDX_PT_REG : TDX_PT_EPT, td->tdr);
	clo_a64_set(&page->bepoch, tracked ? 0 : clo_a64_get_sc(&td->epoch) >> 32);
	clo_a64_add(&td->children, 1ULL << (9 * size));
	clo_a64_add(&td->exported, !!(flags & TDX_S_EXPORTED));
	clo_a64_add(&td->dirty, !!(flags & TDX_S_DIRTY));
	return 0;
}

static struct tdx_lock *named_lock(struct clo_tdx *m, const struct tdx_setup_lock *l)
{
	struct tdx_td *td = tdx_td_at(m, l->tdr);

	switch (l->what) {
	case TDX_LOCK_TREE:
		return &td->tree;
	case TDX_LOCK_TDR:
		return &tdx_pamt_at(m, td->tdr, TDX_4K)->lock;
	case TDX_LOCK_EPOCH:
		return &td->epoch_lock;
	case TDX_LOCK_OP:
		return &td->op_lock;
	case TDX_LOCK_ENTRY:
	default:
		return NULL;
	}
}

bool tdx_setup_lock(struct clo_tdx *m, const struct tdx_setup_lock *l)
{
	struct tdx_lock *lock = named_lock(m, l);
	unsigned level = l->level;
	uint64_t raw;

	if (lock)
		return tdx_lock_try(lock, l->mode, false);
	return tdx_entry_trylock(tdx_sept_walk(m, tdx_td_at(m, l->tdr), l->gpa, &level, &raw));
}

void tdx_setup_unlock(struct clo_tdx *m, const struct tdx_setup_lock *l)
{
	struct tdx_lock *lock = named_lock(m, l);
	unsigned level = l->level;
	uint64_t raw;

	if (lock)
		tdx_lock_drop(lock, l->mode);
	else
		tdx_entry_unlock(tdx_sept_walk(m, tdx_td_at(m, l->tdr), l->gpa, &level, &raw));
}
