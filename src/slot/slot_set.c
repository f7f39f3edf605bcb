/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slot/slot_set.c - KVM_SET_USER_MEMORY_REGION2: the checks in KVM's order, all memory, then a
 * change that cannot fail.
 *
 * WHY NOTHING OLD IS MAPPED AFTER A DELETE OR MOVE (I5). A fault reads the invalidation sequence,
 * then the slot, then freezes its entry, asks the sequence again and publishes; all in one RCU read
 * section. The writer publishes the slot INVALID, awaits a grace period, and flushes: begin, zap,
 * shoot-down, end.
 *
 * 1. A fault that found the slot valid began its read section before INVALID was published, or at
 *    least before the grace period was over; the grace period waits for its end. What it mapped was
 *    there before the flush began, and the zap takes it.
 * 2. A fault that looks up later finds INVALID, maps nothing and retries, until the last array is
 *    published. So the flush meets everything and nothing comes after it, whatever the sequence
 *    says.
 *
 * The sequence alone gives the same, and has to for a fault that left its read section to make a
 * page (it publishes in another): a snapshot from before begin is refused or its frozen entry is
 * waited for, one from after begin is ordered after INVALID. Two guards are worth one grace period,
 * because the first one also covers whom the second does not: a reader in the middle of using the
 * slot's binding is gone before the caller may close what it names. Who uses the slot's hva has
 * announced a touch (table.h), and settle() waits for it, with no lock: the VMM's memory may block.
 *
 * WHY THERE IS NO SECOND GRACE PERIOD. Readers that still hold the INVALID copy after the last
 * array is published use nothing but its memory and its binding (whose attribute they may read).
 * The memory goes by RCU. The binding leaves its file's list after the last array is published; so
 * a release of the file either finds it and orphans it, or starts later than these readers did, and
 * its own grace period waits for them before the file goes.
 */
#include "slot_internal.h"

#include <errno.h>

#define AS_SHIFT 16
#define ID_MASK  0xffffU
enum change { CHANGE_NONE, CHANGE_CREATE, CHANGE_DELETE, CHANGE_MOVE, CHANGE_FLAGS };

/* What a change needs, all of it reserved before anything is changed. */
struct plan {
	enum change change;
	struct slot_space *sp;
	struct slot_node *old;
	struct slot_node *invalid;       /* delete, move: the INVALID copy of old */
	struct slot_array *with_invalid; /* ... and the array with it in the place of old */
	struct slot_node *fresh;         /* create, move, flags */
	struct slot_array *final;
	struct clo_gmem_binding *binding; /* create with GUEST_MEMFD */
};

/* Step 1 (kvm check_memory_region_flags). */
static int check_flags(const struct clo_slots *s, uint32_t flags)
{
	if (flags & ~(CLO_MEM_LOG_DIRTY | CLO_MEM_READONLY | CLO_MEM_GUEST_MEMFD))
		return clo_fail(-EINVAL, CLO_REASON_FLAGS, "clo_region.flags");
	if (flags & ~s->cfg.valid_flags)
		return clo_fail(-EINVAL, CLO_REASON_UNSUPPORTED, "clo_region.flags");
	/* No dirty log of private memory, and a guest_memfd has no read-only side. */
	if ((flags & CLO_MEM_GUEST_MEMFD) && (flags & (CLO_MEM_LOG_DIRTY | CLO_MEM_READONLY)))
		return clo_fail(-EINVAL, CLO_REASON_UNSUPPORTED, "clo_region.flags");
	return 0;
}

static int no(enum clo_reason reason, const char *what)
{
	return clo_fail(-EINVAL, reason, what);
}

/* Step 2: what can be said of the request alone. */
static int check_numbers(const struct clo_slots *s, const struct clo_region *r)
{
	if (!clo_is_aligned(r->memory_size, CLO_PAGE_SIZE))
		return no(CLO_REASON_ALIGN, "clo_region.memory_size");
	if (!clo_is_aligned(r->guest_phys_addr, CLO_PAGE_SIZE))
		return no(CLO_REASON_ALIGN, "clo_region.guest_phys_addr");
	if (!clo_is_aligned(r->userspace_addr, CLO_PAGE_SIZE))
		return no(CLO_REASON_ALIGN, "clo_region.userspace_addr");
	/* access_ok(): the kernel will read it with plain user accesses; a tagged address (LAM) is
	 * out of bounds too. */
	if (r->memory_size > CLO_HVA_END)
		return no(CLO_REASON_BOUNDS, "clo_region.memory_size");
	if (r->userspace_addr > CLO_HVA_END - r->memory_size)
		return no(CLO_REASON_BOUNDS, "clo_region.userspace_addr");
	if ((r->flags & CLO_MEM_GUEST_MEMFD) &&
	    !clo_is_aligned(r->guest_memfd_offset, CLO_PAGE_SIZE))
		return no(CLO_REASON_ALIGN, "clo_region.guest_memfd_offset");
	if ((r->flags & CLO_MEM_GUEST_MEMFD) &&
	    r->guest_memfd_offset + r->memory_size < r->guest_memfd_offset)
		return no(CLO_REASON_WRAP, "clo_region.guest_memfd_offset");
	if (r->slot >> AS_SHIFT >= s->cfg.as_count || (r->slot & ID_MASK) >= CLO_SLOT_ID_MAX)
		return no(CLO_REASON_BOUNDS, "clo_region.slot");
	if (r->guest_phys_addr + r->memory_size < r->guest_phys_addr)
		return no(CLO_REASON_WRAP, "clo_region.guest_phys_addr");
	if (r->memory_size >> CLO_PAGE_SHIFT > CLO_SLOT_MAX_PAGES)
		return no(CLO_REASON_BOUNDS, "clo_region.memory_size");
	return 0;
}

static struct clo_range gfns_of(const struct clo_region *r)
{
	return clo_range(r->guest_phys_addr >> CLO_PAGE_SHIFT,
			 (r->guest_phys_addr + r->memory_size) >> CLO_PAGE_SHIFT);
}

/* Step 3: which change is it? -EINVAL: none that is allowed. */
static int classify(const struct clo_region *r, const struct slot_node *old, enum change *change)
{
	struct clo_range gfns = gfns_of(r);

	if (r->memory_size == 0) {
		*change = CHANGE_DELETE;
		return old ? 0 : no(CLO_REASON_ABSENT, "clo_region.slot");
	}
	if (!old) {
		*change = CHANGE_CREATE;
		return 0;
	}
	/* A slot of private memory can only be deleted, and the flag cannot be dropped. */
	if ((r->flags | old->s.flags) & CLO_MEM_GUEST_MEMFD)
		return no(CLO_REASON_FIXED, "clo_region.flags");
	if (r->userspace_addr != old->s.hva.a)
		return no(CLO_REASON_FIXED, "clo_region.userspace_addr");
	if (clo_range_len(gfns) != clo_range_len(old->s.gfns))
		return no(CLO_REASON_FIXED, "clo_region.memory_size");
	if ((r->flags ^ old->s.flags) & CLO_MEM_READONLY)
		return no(CLO_REASON_FIXED, "clo_region.flags");
	if (gfns.start != old->s.gfns.start)
		*change = CHANGE_MOVE;
	else
		*change = r->flags != old->s.flags ? CHANGE_FLAGS : CHANGE_NONE;
	return 0;
}

/* Step 4: does another slot of the address space cover one of the gfns? */
static bool overlaps(const struct slot_array *a, const struct slot_node *old, struct clo_range gfns)
{
	for (size_t i = slot_array_first(a, gfns.start);
	     a && i < a->count && a->start[i] < gfns.end; i++) {
		if (a->node[i] != old)
			return true;
	}
	return false;
}

static void plan_free(struct plan *p)
{
	clo_free(p->invalid);
	clo_free(p->with_invalid);
	clo_free(p->fresh);
	clo_free(p->final);
	clo_free(p->binding);
}

/* Room for @id in the table by id. Nobody sees that it has grown, so it need not be undone. */
static bool reserve_id(struct slot_space *sp, uint32_t id)
{
	size_t count = sp->by_id_count ? sp->by_id_count : 8;
	struct slot_node **grown;

	if (id < sp->by_id_count)
		return true;
	while (count <= id)
		count *= 2;
	grown = clo_alloc(count * sizeof(struct slot_node *));
	if (!grown)
		return false;
	for (size_t i = 0; i < sp->by_id_count; i++)
		grown[i] = sp->by_id[i];
	clo_free(sp->by_id);
	sp->by_id = grown;
	sp->by_id_count = count;
	return true;
}

static bool reserve_invalid(struct plan *p)
{
	p->invalid = slot_node_copy(p->old);
	if (!p->invalid)
		return false;
	p->invalid->s.flags |= CLO_MEMSLOT_INVALID;
	p->with_invalid = slot_array_replace(slot_array_of(p->sp), p->old, p->invalid);
	return p->with_invalid != NULL;
}

static bool reserve_fresh(struct clo_slots *s, const struct clo_region *r, struct plan *p)
{
	p->fresh = clo_alloc(sizeof(*p->fresh));
	if (!p->fresh)
		return false;
	p->fresh->s = (struct clo_slot){
		.id = r->slot,
		.flags = r->flags,
		.gfns = gfns_of(r),
		.hva = { r->userspace_addr },
		.holes = p->old ? p->old->s.holes : NULL,
		.arch_id = p->old ? p->old->s.arch_id : ++s->lives,
	};
	if (r->flags & CLO_MEM_GUEST_MEMFD) {
		p->binding = clo_alloc(sizeof(*p->binding));
		if (!p->binding)
			return false;
		p->fresh->s.binding = p->binding;
		p->fresh->s.gmem_index = r->guest_memfd_offset >> CLO_PAGE_SHIFT;
	}
	if (p->old)
		p->final = slot_array_replace(slot_array_of(p->sp), p->old, p->fresh);
	else
		p->final = slot_array_with(slot_array_of(p->sp), p->fresh);
	return p->final && reserve_id(p->sp, r->slot & ID_MASK);
}

static int reserve(struct clo_slots *s, const struct clo_region *r, struct plan *p)
{
	if ((p->change == CHANGE_DELETE || p->change == CHANGE_MOVE) && !reserve_invalid(p))
		return clo_fail_heap("memslots");
	if (p->change == CHANGE_DELETE) {
		p->final = slot_array_without(slot_array_of(p->sp), p->old);
		return p->final ? 0 : clo_fail_heap("memslots");
	}
	return reserve_fresh(s, r, p) ? 0 : clo_fail_heap("memslots");
}

/* Step 5 (kvm_gmem_bind). */
static int bind(struct clo_slots *s, const struct clo_region *r, struct plan *p)
{
	uint64_t index = r->guest_memfd_offset >> CLO_PAGE_SHIFT;
	int ret;

	if (!p->binding)
		return 0;
	if (!r->gmem)
		return -EBADF;
	/* Another VM's file; ids are one host's. */
	if (clo_gmem_owner(r->gmem) != s->cfg.owner || clo_gmem_pagedb(r->gmem) != s->cfg.db)
		return no(CLO_REASON_OTHER_VM, "clo_region.gmem");
	/* -EINVAL beyond the end, -EEXIST bound already (here or elsewhere), -EBADF closed. */
	ret = clo_gmem_bind(r->gmem, p->binding,
			    clo_range(index, index + clo_range_len(p->fresh->s.gfns)),
			    p->fresh->s.gfns.start);
	if (ret == 0 && (clo_gmem_flags(r->gmem) & CLO_GMEM_MMAP))
		p->fresh->s.flags |= CLO_MEMSLOT_GMEM_ONLY;
	return ret;
}

/* Step 6 (kvm_arch_prepare_memory_region): beyond what a stage-2 table can hold. */
static int arch_check(const struct clo_slots *s, struct plan *p)
{
	if ((p->change != CHANGE_CREATE && p->change != CHANGE_MOVE) || s->cfg.gfn_end == 0 ||
	    p->fresh->s.gfns.end <= s->cfg.gfn_end)
		return 0;
	/* It was on its file's list: a hole elsewhere in the file may be walking over it. */
	if (p->binding)
		slot_binding_retire(p->binding);
	p->binding = NULL;
	return no(CLO_REASON_BOUNDS, "clo_region.guest_phys_addr");
}

/* The old slot's mappings go. See the head of this file. */
static void retire_mappings(struct clo_slots *s, struct plan *p)
{
	if (clo_broken(CLO_BREAK_SLOT_SYNC)) {
		/* No INVALID and no wait: a fault maps the slot again behind the flush. */
		s->cfg.flush(s->cfg.arg, &p->old->s);
		clo_free(p->with_invalid);
		return;
	}
	slot_publish(p->sp, p->with_invalid);
	clo_rcu_synchronize();
	s->cfg.flush(s->cfg.arg, &p->invalid->s);
}

static void commit(struct clo_slots *s, const struct clo_region *r, struct plan *p)
{
	if (p->invalid)
		retire_mappings(s, p);
	slot_publish(p->sp, p->final);
	p->sp->by_id[r->slot & ID_MASK] = p->fresh;
	/* A fault that read the old flags took its snapshot before this began: it retries, or its
	 * leaf is there and is met. */
	if (p->change == CHANGE_FLAGS && (p->fresh->s.flags & ~p->old->s.flags & CLO_MEM_LOG_DIRTY))
		s->cfg.write_protect(s->cfg.arg, &p->fresh->s);
	/* Not earlier: the last array must be out before a grace period for these may begin. */
	if (p->invalid)
		slot_node_retire(p->invalid);
	if (p->change == CHANGE_DELETE)
		slot_life_retire(p->old);
	else if (p->old)
		slot_node_retire(p->old);
}

/* *@gone: gfns that the guest cannot use as before, empty if none. */
static int set_region_locked(struct clo_slots *s, const struct clo_region *r,
			     struct clo_range *gone)
{
	struct plan p = { .sp = &s->space[r->slot >> AS_SHIFT] };
	int ret;

	p.old = slot_by_id(p.sp, r->slot & ID_MASK);
	ret = classify(r, p.old, &p.change);
	if (ret || p.change == CHANGE_NONE)
		return ret;
	if ((p.change == CHANGE_CREATE || p.change == CHANGE_MOVE) &&
	    overlaps(slot_array_of(p.sp), p.old, gfns_of(r)))
		return clo_fail(-EEXIST, CLO_REASON_OVERLAP, "clo_region.guest_phys_addr");
	ret = reserve(s, r, &p);
	if (ret == 0)
		ret = bind(s, r, &p);
	if (ret == 0)
		ret = arch_check(s, &p);
	if (ret) {
		plan_free(&p);
		return ret;
	}
	if (p.invalid)
		*gone = p.old->s.gfns;
	commit(s, r, &p);
	return 0;
}

int clo_slots_set_region(struct clo_slots *s, const struct clo_region *r)
{
	struct clo_range gone = { 0 };
	int ret = check_flags(s, r->flags);

	if (ret == 0)
		ret = check_numbers(s, r);
	if (ret)
		return ret;
	clo_rwlock_wrlock(&s->lock);
	ret = set_region_locked(s, r, &gone);
	clo_rwlock_unlock(&s->lock);
	if (clo_range_len(gone))
		s->cfg.settle(s->cfg.arg, gone);
	return ret;
}
