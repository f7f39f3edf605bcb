/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_platform.c - the platform: memory, its table, what a debugger sees.
 */
#include "trust/tdx/tdx_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int alloc_tables(struct clo_tdx *m)
{
	m->memory_bytes = (size_t)(m->pages << CLO_PAGE_SHIFT);
	m->memory = clo_alloc_sparse(m->memory_bytes);
	if (!m->memory)
		return clo_fail(-ENOMEM, CLO_REASON_SPACE, "clo_tdx_config.mem_bytes");
	for (unsigned level = 0; level < CLO_ARRAY_SIZE(m->pamt); level++) {
		uint64_t n = ((m->pages - 1) >> (9 * level)) + 1;

		m->pamt_bytes[level] = (size_t)(n * sizeof(struct tdx_pamt));
		m->pamt[level] = clo_alloc_sparse(m->pamt_bytes[level]);
		if (!m->pamt[level])
			return clo_fail(-ENOMEM, CLO_REASON_SPACE, "clo_tdx_config.mem_bytes");
	}
	return 0;
}

int clo_tdx_create(const struct clo_tdx_config *config, struct clo_tdx **out)
{
	struct clo_tdx_config c;
	struct clo_tdx *m;
	int ret = clo_struct_in(&c, sizeof(c), config, CLO_TDX_CONFIG_SIZE_VER0);

	if (ret)
		return ret;
	if (c.reserved)
		return clo_fail(-EINVAL, CLO_REASON_RESERVED, "clo_tdx_config.reserved");
	if (c.mem_bytes == 0)
		return clo_fail(-EINVAL, CLO_REASON_EMPTY, "clo_tdx_config.mem_bytes");
	if (!clo_is_aligned(c.mem_bytes, CLO_PAGE_SIZE))
		return clo_fail(-EINVAL, CLO_REASON_ALIGN, "clo_tdx_config.mem_bytes");
	if (c.mem_bytes > 1ULL << TDX_PA_BITS)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "clo_tdx_config.mem_bytes");
	m = clo_alloc(sizeof(*m));
	if (!m)
		return clo_fail_heap("platform");
	m->pages = c.mem_bytes >> CLO_PAGE_SHIFT;
	ret = alloc_tables(m);
	if (ret)
		clo_tdx_destroy(m);
	else
		*out = m;
	return ret;
}

void tdx_retire(struct clo_tdx *m, struct tdx_object *o)
{
	void *first = clo_aptr_get(&m->retired);

	do {
		o->next = first;
	} while (!clo_aptr_cas(&m->retired, &first, o));
}

/* TDs and vCPUs hang from their pages: those that were used are few, and the table is sparse. */
static void free_objects(struct clo_tdx *m)
{
	for (uint64_t i = 0; i < m->pages; i++) {
		struct tdx_pamt *p = tdx_pamt_at(m, i, TDX_4K);
		uint32_t pt = clo_a32_get(&p->pt);
		void *object = clo_aptr_get(&p->object);

		if (pt == TDX_PT_TDR)
			tdx_mrtd_free(((struct tdx_td *)object)->mrtd);
		if (pt == TDX_PT_TDR || pt == TDX_PT_TDVPR)
			clo_free(object);
	}
}

void clo_tdx_destroy(struct clo_tdx *m)
{
	struct tdx_object *o = clo_aptr_get(&m->retired);

	while (o) {
		struct tdx_object *next = o->next;

		clo_free(o);
		o = next;
	}
	if (m->pamt[TDX_4K])
		free_objects(m);
	for (unsigned level = 0; level < CLO_ARRAY_SIZE(m->pamt); level++) {
		if (m->pamt[level])
			clo_free_sparse(m->pamt[level], m->pamt_bytes[level]);
	}
	if (m->memory)
		clo_free_sparse(m->memory, m->memory_bytes);
	clo_free(m);
}

void clo_tdx_set_interrupt(struct clo_tdx *m, uint32_t n)
{
	clo_a32_set(&m->interrupt, n ? n + 1 : 0);
}

int clo_tdx_memory(struct clo_tdx *m, uint64_t hpa, void *buf, uint64_t bytes, int write)
{
	uint64_t pfn = hpa >> CLO_PAGE_SHIFT;
	struct tdx_pamt_hold held = { 0 };
	uint64_t status;
	bool shared;

	if (pfn >= m->pages || bytes > CLO_PAGE_SIZE - (hpa & CLO_PAGE_MASK))
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "hpa");
	/* A call that has the page alone does not have it for long. */
	while ((status = tdx_pamt_shared(m, hpa, TDX_RCX, &held)) >> 32 == CLO_TDX_OPERAND_BUSY)
		clo_relax();
	shared = status == 0;
	if (write && !shared)
		return -EFAULT;
	if (write)
		memcpy(m->memory + hpa, buf, bytes);
	else if (shared)
		memcpy(buf, m->memory + hpa, bytes);
	else
		memset(buf, 0, bytes);
	tdx_pamt_drop(m, &held);
	return 0;
}

int clo_tdx_look_page(struct clo_tdx *m, uint64_t hpa, struct clo_tdx_page *out)
{
	uint64_t pfn = hpa >> CLO_PAGE_SHIFT;
	struct clo_tdx_page page = { 0 };
	struct tdx_pamt *p;

	if (pfn >= m->pages)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "hpa");
	p = tdx_pamt_of(m, pfn, &page.level);
	page.type = clo_a32_get(&p->pt);
	page.owner = clo_a64_get(&p->owner) << CLO_PAGE_SHIFT;
	snprintf(page.type_name, sizeof(page.type_name), "%s", tdx_pt_name(page.type));
	return clo_struct_out(out, &page, sizeof(page), CLO_TDX_PAGE_SIZE_VER0);
}

/* The TD of a TDR that has its S-EPT root, or NULL. */
struct tdx_td *tdx_td_at(struct clo_tdx *m, uint64_t tdr)
{
	uint64_t pfn = tdr >> CLO_PAGE_SHIFT;
	struct tdx_td *td;

	if (!clo_is_aligned(tdr, CLO_PAGE_SIZE) || pfn >= m->pages ||
	    clo_a32_get(&tdx_pamt_at(m, pfn, TDX_4K)->pt) != TDX_PT_TDR)
		return NULL;
	/* None: it is reclaimed meanwhile. */
	td = clo_aptr_get(&tdx_pamt_at(m, pfn, TDX_4K)->object);
	return td && clo_a32_get(&td->tdcx_count) > TDX_ROOT_PAGE ? td : NULL;
}

int clo_tdx_look_entry(struct clo_tdx *m, uint64_t tdr, uint64_t gpa, uint32_t level,
		       struct clo_tdx_entry *out)
{
	struct tdx_td *td = tdx_td_at(m, tdr);
	struct clo_tdx_entry e = { .level = level };
	const struct tdx_state_info *s;

	if (!td)
		return clo_fail(-EINVAL, CLO_REASON_ABSENT, "tdr");
	if (level > TDX_512G)
		return clo_fail(-EINVAL, CLO_REASON_VALUE, "level");
	if (!tdx_gpa_is_private(gpa) || !clo_is_aligned(gpa, CLO_PAGE_SIZE << (9 * level)))
		return clo_fail(-EINVAL, CLO_REASON_ALIGN, "gpa");
	tdx_sept_walk(m, td, gpa, &e.level, &e.raw);
	s = &tdx_states[tdx_entry_state(e.raw)];
	e.rwx = e.raw & TDX_E_RWX;
	e.state = s->shown;
	if (s->flags & TDX_S_LEAF || s->shown & 0x80)
		e.hpa = tdx_entry_pfn(e.raw, e.level) << CLO_PAGE_SHIFT;
	snprintf(e.name, sizeof(e.name), "%s", s->name);
	return clo_struct_out(out, &e, sizeof(e), CLO_TDX_ENTRY_SIZE_VER0);
}
