/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/vm.c - life of a VM, its files and memslots.
 */
#include "vm_internal.h"

#include <errno.h>
#include <string.h>

#define ATTR_GFNS (1ULL << 52) /* every gfn: attributes need no memslot, as KVM's */

static int vm_check_config(const struct clo_vm_config *cfg, struct clo_vm_config *out)
{
	const struct clo_trust_ops *trust;
	int ret;

	if (!cfg)
		return clo_fail(-EINVAL, CLO_REASON_NULL, "cfg");
	ret = clo_struct_in(out, sizeof(*out), cfg, CLO_VM_CONFIG_SIZE_VER0);
	if (ret)
		return ret;
	trust = clo_trust_find(out->type);
	if (!trust)
		return clo_fail(-EINVAL, CLO_REASON_VALUE, "clo_vm_config.type");
	if (out->attr_owner > CLO_ATTR_OWNER_GMEM)
		return clo_fail(-EINVAL, CLO_REASON_VALUE, "clo_vm_config.attr_owner");
	if (out->max_level > CLO_LEVEL_COUNT)
		return clo_fail(-EINVAL, CLO_REASON_VALUE, "clo_vm_config.max_level");
	if (out->flags & ~(CLO_VM_TYPED_ACCESS | CLO_VM_CONVERT_ON_HYPERCALL))
		return clo_fail(-EINVAL, CLO_REASON_FLAGS, "clo_vm_config.flags");
	if ((out->flags & CLO_VM_TYPED_ACCESS) && !trust->may_type_access)
		return clo_fail(-EINVAL, CLO_REASON_UNSUPPORTED, "clo_vm_config.flags");
	return 0;
}

static int vm_make_parts(struct clo_vm *vm)
{
	struct clo_slots_config sc = {
		.as_count = vm->trust->as_count,
		.valid_flags = vm->trust->mem_flags,
		.owner = vm->id,
		.db = vm->host->db,
		.gfn_end = CLO_GFN_END,
		.flush = clo_vm_slot_flush,
		.settle = clo_vm_slot_settle,
		.write_protect = clo_vm_slot_write_protect,
		.arg = vm,
	};
	int ret = clo_mmu_init(&vm->mmu);

	if (ret)
		return ret;
	ret = clo_slots_create(&sc, &vm->slots);
	if (ret)
		goto out_mmu;
	if (vm->attr_owner == CLO_ATTR_OWNER_VM)
		ret = clo_attr_create(ATTR_GFNS, false, &vm->attr);
	if (ret == 0)
		return 0;
	clo_slots_destroy(vm->slots);
out_mmu:
	clo_mmu_destroy(&vm->mmu);
	return ret;
}

int clo_vm_create(struct clo_host *host, const struct clo_vm_config *cfg, struct clo_vm **out)
{
	struct clo_vm_config c;
	struct clo_vm *vm;
	int ret;

	if (clo_forked(host->fork_gen))
		return -EIO;
	ret = vm_check_config(cfg, &c);
	if (ret)
		return ret;
	vm = clo_alloc(sizeof(*vm));
	if (!vm)
		return clo_fail_heap("VM");
	vm->host = host;
	vm->fork_gen = host->fork_gen;
	vm->trust = clo_trust_find(c.type);
	vm->attr_owner = c.attr_owner;
	vm->flags = c.flags;
	vm->exit_hypercall = c.exit_hypercall != 0 || (c.flags & CLO_VM_CONVERT_ON_HYPERCALL);
	vm->max_level = c.max_level ? (enum clo_level)(c.max_level - 1) : CLO_LEVEL_1G;
	ret = clo_host_id_take(host, vm);
	if (ret)
		goto out_free;
	ret = vm_make_parts(vm);
	if (ret)
		goto out_id;
	clo_mutex_init(&vm->lock, CLO_RANK_VM, "vm");
	clo_mutex_init(&vm->dma_lock, CLO_RANK_VM, "dma listeners");
	clo_cond_init(&vm->dma_told);
	vm->telling.next = vm->telling.prev = &vm->telling;
	clo_rangelock_init(&vm->ranges, CLO_RANK_GFNS, "vm gfns");
	*out = vm;
	return 0;
out_id:
	clo_host_id_give(host, vm);
out_free:
	clo_free(vm);
	return ret;
}

static void vm_free_lists(struct clo_vm *vm)
{
	struct clo_vcpu *vcpu = vm->vcpus;
	struct clo_vm_listener *l = vm->listeners;
	struct clo_vm_gmem *g = vm->lossy;

	while (vcpu) {
		struct clo_vcpu *next = vcpu->next;

		clo_free(vcpu);
		vcpu = next;
	}
	while (l) {
		struct clo_vm_listener *next = l->next;

		clo_free(l);
		l = next;
	}
	while (g) {
		struct clo_vm_gmem *next = g->next;

		clo_gmem_unwatch(g->gmem);
		clo_free(g);
		g = next;
	}
}

int clo_vm_destroy(struct clo_vm *vm, struct clo_leak_report *report)
{
	int ret;

	if (clo_forked(vm->fork_gen))
		return 0;
	ret = report ? clo_vm_report(vm, report) : 0;
	if (ret)
		return ret;
	/* Release the files while the slots still stand: each zaps what its bindings map. */
	while (vm->gmems)
		clo_gmem_close(vm->gmems->gmem);
	clo_vm_zap_now(vm, clo_range(0, CLO_GFN_END), CLO_ZAP_RELEASE);
	clo_slots_destroy(vm->slots);
	clo_rcu_barrier();
	clo_mmu_destroy(&vm->mmu);
	clo_attr_destroy(vm->attr);
	clo_rangelock_destroy(&vm->ranges);
	clo_cond_destroy(&vm->dma_told);
	clo_mutex_destroy(&vm->dma_lock);
	clo_mutex_destroy(&vm->lock);
	vm_free_lists(vm);
	clo_host_id_give(vm->host, vm);
	clo_free(vm);
	return 0;
}

int clo_gmem_create(struct clo_vm *vm, uint64_t bytes, uint64_t flags, uint32_t page_order,
		    struct clo_gmem **out)
{
	struct clo_vm_gmem *entry;
	struct clo_gmem_config cfg = {
		.size = bytes,
		.flags = flags,
		.page_order = page_order,
		.owner = vm->id,
		.valid_flags = vm->trust->gmem_flags,
		.ops = clo_vm_gmem_ops,
	};
	int ret;

	if (clo_forked(vm->fork_gen))
		return -EIO;
	entry = clo_alloc(sizeof(*entry));
	if (!entry)
		return clo_fail_heap("guest_memfd");
	if (vm->attr_owner == CLO_ATTR_OWNER_GMEM)
		cfg.valid_flags |= vm->trust->gmem_flags_gmem_owner;
	cfg.ops.vm = vm;
	clo_vm_hook_ops(vm, &cfg.ops);
	ret = clo_gmem_open(vm->host->db, vm->host->views, &cfg, &entry->gmem);
	if (ret) {
		clo_free(entry);
		return ret;
	}
	clo_mutex_lock(&vm->lock);
	entry->next = vm->gmems;
	vm->gmems = entry;
	clo_mutex_unlock(&vm->lock);
	*out = entry->gmem;
	return 0;
}

void clo_gmem_close(struct clo_gmem *gmem)
{
	struct clo_vm *vm = clo_gmem_vm(gmem);
	struct clo_vm_gmem *entry = NULL;

	if (clo_forked(vm->fork_gen))
		return;
	clo_mutex_lock(&vm->lock);
	for (struct clo_vm_gmem **p = &vm->gmems; *p; p = &(*p)->next) {
		if ((*p)->gmem == gmem) {
			entry = *p;
			*p = entry->next;
			break;
		}
	}
	clo_mutex_unlock(&vm->lock);
	clo_gmem_watch(gmem);
	clo_gmem_release(gmem);
	if (clo_gmem_lost(gmem, NULL, 0) == 0) {
		clo_gmem_unwatch(gmem);
		clo_free(entry);
		return;
	}
	clo_mutex_lock(&vm->lock);
	entry->next = vm->lossy;
	vm->lossy = entry;
	clo_mutex_unlock(&vm->lock);
}

struct find_slot {
	uint32_t id;
	const struct clo_slot *slot;
};

static int match_id(void *arg, const struct clo_slot *slot, struct clo_range overlap)
{
	struct find_slot *f = arg;

	(void)overlap;
	if (slot->id == f->id)
		f->slot = slot;
	return f->slot != NULL;
}

/* Memslot @id, or NULL. Under the slots lock. */
static const struct clo_slot *slot_by_id(struct clo_vm *vm, uint32_t id)
{
	struct find_slot f = { .id = id };

	if (id >> 16 < vm->trust->as_count)
		(void)clo_slots_for_each(vm->slots, id >> 16, clo_range(0, UINT64_MAX), match_id,
					 &f);
	return f.slot;
}

/*
 * The gfns that a memslot loses by @r, where a conversion frees the VMM's memory behind them: it
 * lets go of the memslots while it waits for uses of that memory, and must find them again, or what
 * it was to free comes back as shared. Two changes of one memslot at once are the VMM's own race.
 */
static struct clo_range lost_gfns(struct clo_vm *vm, const struct clo_region *r)
{
	struct clo_range lost = clo_range(0, 0);
	const struct clo_slot *slot;

	if (vm->attr_owner != CLO_ATTR_OWNER_VM)
		return lost;
	clo_slots_lock_shared(vm->slots);
	slot = slot_by_id(vm, r->slot);
	if (slot &&
	    (r->memory_size == 0 || r->guest_phys_addr >> CLO_PAGE_SHIFT != slot->gfns.start))
		lost = slot->gfns;
	clo_slots_unlock(vm->slots);
	return lost;
}

int clo_vm_set_region(struct clo_vm *vm, const struct clo_region *region)
{
	struct clo_rangelock_hold hold;
	struct clo_range lost;
	struct clo_region r;
	int ret = clo_struct_in(&r, sizeof(r), region, CLO_REGION_SIZE_VER0);

	if (clo_forked(vm->fork_gen))
		return -EIO;
	if (ret)
		return ret;
	if (r.reserved != 0)
		return clo_fail(-EINVAL, CLO_REASON_RESERVED, "clo_region.reserved");
	lost = lost_gfns(vm, &r);
	if (clo_range_len(lost) == 0)
		return clo_slots_set_region(vm->slots, &r);
	clo_rangelock_lock(&vm->ranges, lost, &hold);
	ret = clo_slots_set_region(vm->slots, &r);
	clo_rangelock_unlock(&vm->ranges, &hold);
	return ret;
}

/* The memslot @id that must hold @gfns. Under the slots lock. */
static int find_slot(struct clo_vm *vm, uint32_t id, struct clo_range gfns,
		     const struct clo_slot **out)
{
	*out = slot_by_id(vm, id);
	if (!*out)
		return -ENOENT;
	if (gfns.start < (*out)->gfns.start || gfns.end > (*out)->gfns.end)
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "gpa");
	return 0;
}

int clo_vm_set_holes(struct clo_vm *vm, uint32_t slot_id, uint64_t gpa, uint64_t bytes, bool mapped)
{
	struct clo_range gfns = clo_range(gpa >> CLO_PAGE_SHIFT, (gpa + bytes) >> CLO_PAGE_SHIFT);
	const struct clo_slot *slot;
	int ret;

	if (clo_forked(vm->fork_gen))
		return -EIO;
	ret = clo_check_range(gpa, "gpa", bytes, "bytes");
	if (ret)
		return ret;
	clo_slots_lock_shared(vm->slots);
	ret = find_slot(vm, slot_id, gfns, &slot);
	clo_slots_unlock(vm->slots);
	if (ret == 0)
		ret = clo_slots_track_holes(vm->slots, slot_id);
	if (ret)
		return ret;
	clo_slots_lock_shared(vm->slots);
	/* Again: the memslot may have gone between the two locks. */
	ret = find_slot(vm, slot_id, gfns, &slot);
	if (ret == 0) {
		/* Inside the invalidation, so that a fault which read the old bit retries. */
		clo_inval_begin(&vm->mmu.inval, gfns);
		clo_slot_set_holes(slot, gfns, mapped);
		if (!mapped) {
			(void)clo_vm_zap(vm, gfns, 1U << CLO_SPACE_SHARED, CLO_ZAP_RW_CHANGE);
			(void)clo_mmu_flush(&vm->mmu);
		}
		clo_inval_end(&vm->mmu.inval, gfns);
	}
	clo_slots_unlock(vm->slots);
	if (ret == 0 && !mapped)
		clo_touch_wait(&vm->mmu, gfns);
	return ret;
}

int clo_vm_stats(struct clo_vm *vm, struct clo_vm_stats *out)
{
	struct clo_vm_stats s = {
		.conversions = clo_stat_get(&vm->conversions),
		.converted_pages = clo_stat_get(&vm->converted_pages),
		.conversions_failed = clo_stat_get(&vm->conversions_failed),
		.moved_leaves = clo_stat_get(&vm->moved),
		.shootdowns = clo_stat_get(&vm->mmu.shootdowns),
		.ipis = clo_stat_get(&vm->mmu.ipis),
	};
	int ret;

	if (clo_forked(vm->fork_gen))
		return -EIO;
	ret = clo_struct_fits(out, CLO_VM_STATS_SIZE_VER0);
	if (ret)
		return ret;
	_Static_assert(CLO_ZAP_REASON_COUNT <= CLO_ARRAY_SIZE(s.zaps), "zaps[] holds every reason");
	for (unsigned i = 0; i < CLO_ZAP_REASON_COUNT; i++)
		s.zaps[i] = clo_stat_get(&vm->zaps[i]);
	for (unsigned space = 0; space < CLO_SPACE_COUNT; space++) {
		struct clo_table_stats ts;

		clo_table_stats(vm->mmu.table[space], &ts);
		s.table_pages += ts.pages;
	}
	clo_mutex_lock(&vm->lock);
	for (struct clo_vcpu *v = vm->vcpus; v; v = v->next) {
		s.faults += clo_stat_get(&v->faults);
		s.faults_fixed += clo_stat_get(&v->fixed);
		s.faults_retried += clo_stat_get(&v->retried);
		s.fault_exits += clo_stat_get(&v->exits);
	}
	clo_mutex_unlock(&vm->lock);
	return clo_struct_out(out, &s, sizeof(s), CLO_VM_STATS_SIZE_VER0);
}

const char *clo_zap_reason_text(uint32_t i)
{
	return i < CLO_ZAP_REASON_COUNT ? clo_zap_reason_name((enum clo_zap_reason)i) : NULL;
}

const char *clo_version(void)
{
	return CLO_VERSION;
}
