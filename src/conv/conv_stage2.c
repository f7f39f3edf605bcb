/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/conv_stage2.c - what an in-place conversion does to the two stage-2 tables.
 *
 * "For VMs that allow inplace conversions and do not zero, we do not need to zap the stage-2
 * mappings on memory attribute changes, right?" (mail 4). Right, unless one of these reasons holds;
 * without one, the leaf moves to the other table: gfn -> pfn stays true, so no TLB is flushed and
 * no vCPU is interrupted.
 */
#include "conv_internal.h"

#include <assert.h>

static void begin_one(void *arg, struct clo_range index, struct clo_range gfns)
{
	struct clo_vm *vm = arg;

	(void)index;
	clo_inval_begin(&vm->mmu.inval, gfns);
}

static void end_one(void *arg, struct clo_range index, struct clo_range gfns)
{
	struct clo_vm *vm = arg;

	(void)index;
	clo_inval_end(&vm->mmu.inval, gfns);
}

/* The memslots lock is held shared: begin and end meet the same bindings. */
void conv_stage2_begin(struct conv *c)
{
	for (unsigned i = 0; i < c->seg_count; i++)
		clo_gmem_for_each_gfn(c->segs[i].g, c->segs[i].work, begin_one, c->vm);
}

void conv_stage2_end(struct conv *c)
{
	for (unsigned i = 0; i < c->seg_count; i++)
		clo_gmem_for_each_gfn(c->segs[i].g, c->segs[i].work, end_one, c->vm);
}

/* Must the leaves go, and why? COUNT: no, they may move. */
static enum clo_zap_reason zap_reason(const struct conv *c, const struct conv_seg *seg)
{
	uint64_t flags = clo_gmem_flags(seg->g);

	if (flags & CLO_GMEM_HUGETLB)
		return CLO_ZAP_SPLIT_MERGE; /* reason 1: refault at the new granularity */
	if (flags & CLO_GMEM_NO_DIRECT_MAP)
		return CLO_ZAP_DIRECT_MAP; /* reason 4 */
	if (seg->zero)
		return CLO_ZAP_CONTENT;
	if (clo_vm_typed(c->vm))
		return CLO_ZAP_KIND; /* an access of the old kind must fault */
	if (!(flags & CLO_GMEM_MMAP))
		return CLO_ZAP_HUGEPAGE; /* reason 2: the shared side is other memory */
	/* To private: prepare has to see the page first. To shared: invalidate sees a page that
	 * nobody can use any more. */
	if (clo_gmem_has_hooks(seg->g))
		return CLO_ZAP_HOOK;
	return CLO_ZAP_REASON_COUNT;
}

struct stage2_arg {
	struct conv *c;
	enum clo_zap_reason why;
};

static void moved(void *arg, struct clo_gfn base, enum clo_level level, uint64_t spte)
{
	struct conv *c = arg;
	struct clo_pagedb *db = c->vm->host->db;
	int ret;

	if (clo_pfn_is_user(clo_spte_pfn(spte)))
		return;
	if (c->to_private)
		ret = clo_page_rmap_claim(db, clo_spte_pfn(spte), level, c->vm->id, base);
	else
		ret = clo_page_rmap_drop(db, clo_spte_pfn(spte), c->vm->id, base);
	/* A shared frame is claimed by nobody, a private one by the leaf that we have in hand. */
	assert(ret == 0);
	(void)ret;
}

static void dropped(void *arg, struct clo_gfn base, enum clo_level level, uint64_t spte)
{
	struct conv *c = arg;

	(void)level;
	if (!clo_pfn_is_user(clo_spte_pfn(spte)))
		(void)clo_page_rmap_drop(c->vm->host->db, clo_spte_pfn(spte), c->vm->id, base);
}

static void change_one(void *arg, struct clo_range index, struct clo_range gfns)
{
	struct stage2_arg *a = arg;
	struct clo_vm *vm = a->c->vm;
	unsigned from = a->c->to_private ? CLO_SPACE_SHARED : CLO_SPACE_PRIVATE;
	struct clo_range r = clo_range_clip(gfns, clo_range(0, CLO_GFN_END));
	uint64_t lost = 0;

	(void)index;
	if (clo_range_len(r) == 0)
		return;
	if (a->why != CLO_ZAP_REASON_COUNT) {
		unsigned spaces = a->why == CLO_ZAP_SPLIT_MERGE ? CLO_SPACES_ALL : 1U << from;

		(void)clo_vm_zap(vm, r, spaces, a->why);
		return;
	}
	clo_stat_add(&vm->moved, clo_table_move(vm->mmu.table[from], vm->mmu.table[!from], r, moved,
						dropped, a->c, &lost));
	/* A leaf without a page to go to is gone, one of another size was left: both refault. */
	clo_stat_add(&vm->zaps[CLO_ZAP_HUGEPAGE], lost);
	(void)clo_vm_zap(vm, r, 1U << from, CLO_ZAP_HUGEPAGE);
}

void conv_stage2_commit(struct conv *c)
{
	for (unsigned i = 0; i < c->seg_count; i++) {
		struct conv_seg *seg = &c->segs[i];
		struct stage2_arg a = { .c = c, .why = zap_reason(c, seg) };

		clo_gmem_for_each_gfn(seg->g, a.why == CLO_ZAP_SPLIT_MERGE ? seg->work : seg->index,
				      change_one, &a);
	}
	/* One round for the whole range, however many pages it has (D6); none when every leaf has
	 * moved and nobody else is in the middle of a zap. */
	(void)clo_mmu_flush(&c->vm->mmu);
}

static void zap_one(void *arg, struct clo_range index, struct clo_range gfns)
{
	struct clo_vm *vm = arg;

	(void)index;
	(void)clo_vm_zap(vm, gfns, CLO_SPACES_ALL, CLO_ZAP_KIND);
}

void conv_stage2_zap_all(struct conv *c)
{
	for (unsigned i = 0; i < c->seg_count; i++)
		clo_gmem_for_each_gfn(c->segs[i].g, c->segs[i].work, zap_one, c->vm);
	(void)clo_mmu_flush(&c->vm->mmu);
}
