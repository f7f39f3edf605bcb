/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/vm_zap.c - zapping stage-2 leaves, and who asks for it: files and memslots.
 */
#include "vm_internal.h"

#include <errno.h>

static void leaf_removed(void *arg, struct clo_gfn base, enum clo_level level, uint64_t spte)
{
	struct clo_vm *vm = arg;
	struct clo_pfn pfn = clo_spte_pfn(spte);

	(void)level;
	/* Shared leaves of a file have no reverse map: -ENOENT is the normal answer for them. */
	if (!clo_pfn_is_user(pfn))
		(void)clo_page_rmap_drop(vm->host->db, pfn, vm->id, base);
}

uint64_t clo_vm_zap(struct clo_vm *vm, struct clo_range gfns, unsigned space_mask,
		    enum clo_zap_reason why)
{
	struct clo_range r = clo_range_clip(gfns, clo_range(0, CLO_GFN_END));
	uint64_t leaves = 0;

	if (clo_range_len(r) == 0)
		return 0;
	for (unsigned s = 0; s < CLO_SPACE_COUNT; s++) {
		if (space_mask & (1U << s))
			leaves += clo_table_zap(vm->mmu.table[s], r, leaf_removed, vm);
	}
	clo_stat_add(&vm->zaps[why], leaves);
	clo_note("zap: leaves removed", leaves);
	return leaves;
}

void clo_vm_zap_now(struct clo_vm *vm, struct clo_range gfns, enum clo_zap_reason why)
{
	clo_inval_begin(&vm->mmu.inval, gfns);
	(void)clo_vm_zap(vm, gfns, CLO_SPACES_ALL, why);
	/* Also when nothing was left to zap: another changer may have taken a leaf and not have
	 * shot it down yet (table.h, the rule for changers). */
	(void)clo_mmu_flush(&vm->mmu);
	clo_inval_end(&vm->mmu.inval, gfns);
}

bool clo_vm_gfn_is_private(struct clo_vm *vm, const struct clo_slot *slot, struct clo_gfn gfn)
{
	struct clo_gmem *g;

	if (!vm->trust->has_private_mem)
		return false;
	if (vm->attr_owner == CLO_ATTR_OWNER_VM)
		return clo_attr_is_private(vm->attr, gfn.n);
	g = slot ? clo_slot_gmem(slot) : NULL;
	return g && clo_attr_is_private(clo_gmem_attr(g), clo_slot_index(slot, gfn));
}

/* clo_gmem_ops: a file lets go of pages. */

static void gmem_begin(void *arg, struct clo_range gfns)
{
	struct clo_vm *vm = arg;

	clo_inval_begin(&vm->mmu.inval, gfns);
}

static void gmem_zap(void *arg, struct clo_range gfns, enum clo_zap_reason why)
{
	clo_vm_zap(arg, gfns, CLO_SPACES_ALL, why);
}

static void gmem_flush(void *arg)
{
	struct clo_vm *vm = arg;

	(void)clo_mmu_flush(&vm->mmu);
}

static void gmem_end(void *arg, struct clo_range gfns)
{
	struct clo_vm *vm = arg;

	clo_inval_end(&vm->mmu.inval, gfns);
}

const struct clo_gmem_ops clo_vm_gmem_ops = {
	.begin = gmem_begin,
	.zap = gmem_zap,
	.flush = gmem_flush,
	.end = gmem_end,
};

/* clo_slots_config: a memslot goes away, or starts dirty logging. */

void clo_vm_slot_flush(void *arg, const struct clo_slot *slot)
{
	clo_vm_zap_now(arg, slot->gfns, CLO_ZAP_SLOT);
}

void clo_vm_slot_settle(void *arg, struct clo_range gfns)
{
	struct clo_vm *vm = arg;

	clo_touch_wait(&vm->mmu, gfns);
}

void clo_vm_slot_write_protect(void *arg, const struct clo_slot *slot)
{
	clo_vm_zap_now(arg, slot->gfns, CLO_ZAP_RW_CHANGE);
}
