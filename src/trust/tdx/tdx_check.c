/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_check.c - the platform recounted, with nobody on it: what the module keeps by
 * induction (one owner, one GPA), by counters (CHLDCNT, MIG_COUNT, DIRTY_COUNT), and by tracking
 * (no vCPU knows a page that went away).
 */
#include "trust/tdx/tdx_internal.h"
#include "trust/tdx/tdx_setup.h"

#include <stdio.h>

struct recount {
	struct clo_tdx *m;
	struct tdx_td *td;
	uint8_t *seen; /* by pfn: in a secure entry */
	uint64_t children, exported, dirty;
	struct tdx_check_fail *fail;
};

static bool fail(struct recount *r, const char *invariant, const char *what, uint64_t a, uint64_t b)
{
	snprintf(r->fail->text, sizeof(r->fail->text), "%s: %s (0x%llx, 0x%llx)", invariant, what,
		 (unsigned long long)a, (unsigned long long)b);
	return false;
}

/* Every 4K frame of a leaf or table: in no other entry, and the TD's in the table of pages. */
static bool claim(struct recount *r, uint64_t pfn, unsigned level, uint32_t pt, uint64_t gpa)
{
	struct tdx_pamt *p;
	unsigned found;

	if (pfn + (1ULL << (9 * level)) > r->m->pages)
		return fail(r, "I1", "a secure entry points out of memory", gpa, pfn);
	p = tdx_pamt_of(r->m, pfn, &found);
	if (clo_a32_get(&p->pt) != pt || found != level)
		return fail(r, "I1", "a secure entry has a page of another type or size", gpa, pfn);
	if (clo_a64_get(&p->owner) != r->td->tdr)
		return fail(r, "I1", "a secure entry has a page of another TD", gpa, pfn);
	for (uint64_t i = pfn; i < pfn + (1ULL << (9 * level)); i++) {
		if (r->seen[i])
			return fail(r, "I1", "a frame is in two secure entries", gpa, i);
		r->seen[i] = 1;
	}
	r->children += 1ULL << (9 * level);
	return true;
}

static bool walk(struct recount *r, uint64_t table, unsigned level, uint64_t gpa)
{
	for (uint64_t i = 0; i < 512; i++, gpa += CLO_PAGE_SIZE << (9 * level)) {
		uint64_t raw = clo_a64_get(&tdx_sept_page(r->m, table)[i]);
		enum tdx_state s = tdx_entry_state(raw);
		uint64_t pfn;

		if (s == TDX_STATE_COUNT)
			return fail(r, "state", "an entry's bits are no state", gpa, raw);
		if (raw & TDX_E_LOCK)
			return fail(r, "I7", "an entry stayed locked", gpa, raw);
		if (s == TDX_FREE || s == TDX_REMOVED)
			continue;
		pfn = tdx_entry_pfn(raw, level);
		if (tdx_states[s].flags & TDX_S_LEAF) {
			r->exported += !!(tdx_states[s].flags & TDX_S_EXPORTED);
			r->dirty += !!(tdx_states[s].flags & TDX_S_DIRTY);
			if (!claim(r, pfn, level, TDX_PT_REG, gpa))
				return false;
		} else if (!claim(r, pfn, TDX_4K, TDX_PT_EPT, gpa) ||
			   !walk(r, pfn, level - 1, gpa)) {
			return false;
		}
	}
	return true;
}

static bool counts(struct recount *r)
{
	struct tdx_td *td = r->td;
	enum tdx_op op = tdx_op_state(td);

	if (clo_a64_get(&td->children) != r->children)
		return fail(r, "I6", "CHLDCNT", clo_a64_get(&td->children), r->children);
	if (clo_a64_get(&td->exported) != r->exported)
		return fail(r, "I6", "MIG_COUNT", clo_a64_get(&td->exported), r->exported);
	/* Of the last export while there is none. */
	if ((op == TDX_OP_LIVE_EXPORT || op == TDX_OP_PAUSED_EXPORT) &&
	    clo_a64_get(&td->dirty) != r->dirty)
		return fail(r, "I6", "DIRTY_COUNT", clo_a64_get(&td->dirty), r->dirty);
	return true;
}

static bool check_td(struct recount *r)
{
	r->children = 0;
	r->exported = 0;
	r->dirty = 0;
	for (uint64_t i = 0; i < r->m->pages; i++) {
		struct tdx_pamt *p = tdx_pamt_at(r->m, i, TDX_4K);
		uint32_t pt = clo_a32_get(&p->pt);

		r->children += (pt == TDX_PT_TDCX || pt == TDX_PT_TDVPR) &&
			       clo_a64_get(&p->owner) == r->td->tdr;
	}
	if (clo_a32_get(&r->td->tdcx_count) <= TDX_ROOT_PAGE)
		return true;
	return walk(r, r->td->tdcx[TDX_ROOT_PAGE], TDX_512G, 0) && counts(r);
}

/* A vCPU that is inside may use what it knows: it must still be the TD's. */
static bool check_vcpu(struct recount *r, struct tdx_vcpu *v)
{
	for (unsigned i = 0; clo_a32_get(&v->inside) && i < TDX_TLB; i++) {
		struct tdx_pamt *p;
		unsigned level;

		if (!v->tlb[i].gpa)
			continue;
		p = tdx_pamt_of(r->m, v->tlb[i].pfn, &level);
		if (clo_a32_get(&p->pt) != TDX_PT_REG || clo_a64_get(&p->owner) != v->td->tdr)
			return fail(r, "I5", "a vCPU has a translation to a page that went away",
				    (v->tlb[i].gpa - 1) << CLO_PAGE_SHIFT, v->tlb[i].pfn);
	}
	return true;
}

static bool check_pages(struct recount *r)
{
	for (uint64_t i = 0; i < r->m->pages; i++) {
		struct tdx_pamt *p = tdx_pamt_at(r->m, i, TDX_4K);
		uint32_t pt = clo_a32_get(&p->pt);

		if (pt == TDX_PT_TDR) {
			r->td = clo_aptr_get(&p->object);
			if (!check_td(r))
				return false;
		} else if (pt == TDX_PT_TDVPR && !check_vcpu(r, clo_aptr_get(&p->object))) {
			return false;
		}
	}
	for (uint64_t i = 0; i < r->m->pages; i++) {
		unsigned level;
		uint32_t pt = clo_a32_get(&tdx_pamt_of(r->m, i, &level)->pt);

		if ((pt == TDX_PT_REG || pt == TDX_PT_EPT) && !r->seen[i])
			return fail(r, "I6", "a page of a TD is in no secure entry", i, pt);
	}
	return true;
}

int tdx_check(struct clo_tdx *m, struct tdx_check_fail *f)
{
	struct recount r = { .m = m, .fail = f };
	bool ok;

	r.seen = clo_alloc_sparse((size_t)m->pages);
	if (!r.seen)
		return -1;
	ok = check_pages(&r);
	clo_free_sparse(r.seen, (size_t)m->pages);
	return ok ? 0 : 1;
}
