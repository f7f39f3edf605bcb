/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault/fault.c - a guest fault, from the memslot to the published leaf.
 *
 * Steps as in KVM (docs/design/faults.md). Each failure is an exit with its own cause and errno;
 * nothing is retried that a retry cannot change (mail 3: a private/shared mismatch exits: "Retrying
 * on SNP or TDX would hang the guest").
 */
#include "fault_user.h"

#include <errno.h>

/* Where the page comes from. */
struct backing {
	struct clo_pfn pfn;
	unsigned order;       /* largest contiguous folio around pfn */
	enum clo_level level; /* largest leaf that memslot and attributes allow */
	bool is_private;      /* the frame is PRIVATE: one gfn only (I1) */
	bool writable;
	bool is_ready;
	struct clo_gmem *gmem; /* not ready: a reference; NULL: memory of the VMM */
	uint64_t index;
};

bool clo_fault_classify(struct clo_vm *vm, struct clo_gfn gfn, bool asked_private)
{
	bool attr = false;

	if (!clo_vm_typed(vm)) {
		clo_rcu_read_lock();
		attr = clo_vm_gfn_is_private(vm, clo_slots_find(vm->slots, 0, gfn), gfn);
		clo_rcu_read_unlock();
	}
	return vm->trust->classify(clo_vm_typed(vm), asked_private, attr);
}

static enum clo_fault_end fail(struct clo_fault *f, enum clo_fault_cause cause, int error)
{
	f->cause = cause;
	f->error = error;
	return CLO_FAULT_EXIT;
}

static enum clo_fault_end mmio(struct clo_fault *f, enum clo_fault_cause cause)
{
	f->cause = cause;
	f->error = 0;
	return CLO_FAULT_MMIO;
}

/* Steps 3 to 9: may this access be served by this slot at all? FIXED = go on. */
static enum clo_fault_end check_slot(struct clo_vm *vm, const struct clo_slot *slot,
				     struct clo_fault *f)
{
	bool no_slot = !slot || f->gfn.n >= CLO_GFN_END;

	/* Before the kinds are compared: what nothing is behind has no kind to disagree on. A
	 * shared access comes after, as in KVM: where the VMM has promised private memory there is
	 * no device to emulate. */
	if (no_slot && f->is_private)
		return fail(f, CLO_CAUSE_NO_SLOT, -EFAULT);
	if (f->is_private != clo_vm_gfn_is_private(vm, slot, f->gfn)) {
		if (clo_broken(CLO_BREAK_MISMATCH_RETRY))
			return CLO_FAULT_RETRY;
		clo_note("fault: kinds differ: exit, access private", f->is_private);
		return fail(f, CLO_CAUSE_MISMATCH, -EFAULT);
	}
	if (no_slot)
		return mmio(f, CLO_CAUSE_NO_SLOT);
	if (slot->flags & CLO_MEMSLOT_INVALID)
		return f->is_prefault ? fail(f, CLO_CAUSE_NO_SLOT, -EAGAIN) : CLO_FAULT_RETRY;
	if (clo_inval_busy(&vm->mmu.inval, f->gfn.n))
		return CLO_FAULT_RETRY;
	if (f->is_private && !slot->binding)
		return fail(f, CLO_CAUSE_NO_GMEM, -EFAULT);
	if (f->is_write && (slot->flags & CLO_MEM_READONLY))
		return mmio(f, CLO_CAUSE_READONLY);
	if (!f->is_private && clo_slot_is_hole(slot, f->gfn))
		return mmio(f, CLO_CAUSE_HOLE);
	return CLO_FAULT_FIXED;
}

static enum clo_fault_end gmem_error(struct clo_fault *f, int ret)
{
	switch (ret) {
	case -EAGAIN:
	case -EACCES: /* the folio is of the other kind: a conversion is on its way */
		return CLO_FAULT_RETRY;
	case -EFAULT:
		return fail(f, CLO_CAUSE_GMEM_GONE, ret);
	case -ENOMEM:
		return fail(f, CLO_CAUSE_NO_MEMORY, ret);
	case -EHWPOISON:
		return fail(f, CLO_CAUSE_POISON, ret);
	default:
		if (clo_is_prepare_error(ret))
			ret = clo_fail(ret + CLO_PREPARE_SHIFT, CLO_REASON_HOOK, "prepare");
		return fail(f, CLO_CAUSE_PREPARE, ret);
	}
}

static bool attr_uniform(struct clo_vm *vm, const struct clo_slot *slot, struct clo_gfn gfn,
			 enum clo_level level)
{
	struct clo_gmem *g;

	if (!vm->trust->has_private_mem || level == CLO_LEVEL_4K)
		return true;
	if (vm->attr_owner == CLO_ATTR_OWNER_VM)
		return clo_attr_is_uniform(vm->attr, gfn.n, level);
	g = clo_slot_gmem(slot);
	return !g || clo_attr_is_uniform(clo_gmem_attr(g), clo_slot_index(slot, gfn), level);
}

/* Largest leaf that memslot and attributes allow, and folios of @order. */
static enum clo_level slot_level(struct clo_vm *vm, const struct clo_slot *slot,
				 const struct clo_fault *f, unsigned order)
{
	for (enum clo_level level = vm->max_level; level > CLO_LEVEL_4K; level--) {
		uint64_t pages = clo_level_pages(level);
		uint64_t base = clo_align_down(f->gfn.n, pages);

		if (clo_level_order(level) > order || base < slot->gfns.start ||
		    base + pages > slot->gfns.end)
			continue;
		if (!attr_uniform(vm, slot, f->gfn, level) || (!f->is_private && slot->holes))
			continue;
		return level;
	}
	return CLO_LEVEL_4K;
}

/* Largest leaf for this backing: gfn and pfn have to be aligned to each other. */
static enum clo_level fit(const struct clo_fault *f, const struct backing *b)
{
	enum clo_level level = b->level;

	while (level > CLO_LEVEL_4K &&
	       (clo_level_order(level) > b->order ||
		!clo_is_aligned(f->gfn.n - b->pfn.n, clo_level_pages(level))))
		level--;
	return level;
}

/*
 * Steps 10 and 11: the backing. What is not ready is made so by make_and_map(), with nothing held,
 * so it gets what it needs here: a reference, and what the memslot says.
 */
static enum clo_fault_end find_backing(struct clo_vm *vm, const struct clo_slot *slot,
				       struct clo_fault *f, struct backing *b)
{
	struct clo_gmem *g;

	*b = (struct backing){ .writable = !(slot->flags & CLO_MEM_READONLY) };
	if (!f->is_private && !(slot->flags & CLO_MEMSLOT_GMEM_ONLY)) {
		b->pfn = clo_pfn_of_hva(clo_slot_hva(slot, f->gfn));
		b->order = clo_level_order(CLO_LEVEL_2M);
		b->level = slot_level(vm, slot, f, b->order);
		return CLO_FAULT_FIXED;
	}
	g = clo_slot_gmem(slot);
	if (!g)
		return fail(f, CLO_CAUSE_GMEM_GONE, -EFAULT);
	b->index = clo_slot_index(slot, f->gfn);
	/* The file's own state, which is the access's kind wherever the file owns the attribute. */
	b->is_private = clo_attr_is_private(clo_gmem_attr(g), b->index);
	b->is_ready = clo_gmem_find_folio(g, b->index, b->is_private, &b->pfn, &b->order);
	if (!b->is_ready) {
		clo_gmem_get(g);
		b->gmem = g;
		b->order = CLO_MAX_FOLIO_ORDER;
	} else {
		clo_note("fault: folio ready, pfn", b->pfn.n);
	}
	b->level = slot_level(vm, slot, f, b->order);
	return CLO_FAULT_FIXED;
}

/* Has anything under the leaf moved since @snap, or is it moving? */
static bool stale(struct clo_vm *vm, struct clo_gfn gfn, enum clo_level level,
		  struct clo_inval_snap snap)
{
	if (clo_broken(CLO_BREAK_INVAL_SEQ))
		return false;
	if (level == CLO_LEVEL_1G && !clo_broken(CLO_BREAK_INVAL_1G))
		return clo_inval_retry_any(&vm->mmu.inval, snap);
	return clo_inval_retry(&vm->mmu.inval, gfn.n, snap);
}

/* Step 10: the frame, zeroed and prepared. */
static enum clo_fault_end make_folio(struct clo_fault *f, struct backing *b)
{
	int ret = clo_gmem_get_folio(b->gmem, b->index, f->gfn, b->is_private, &b->pfn, &b->order);

	if (ret == 0)
		clo_note("fault: folio ready, pfn", b->pfn.n);
	return ret ? gmem_error(f, ret) : CLO_FAULT_FIXED;
}

/*
 * Step 11, the VMM's own memory: make it present. It may block for as long as the VMM likes, so
 * nothing is held; but who takes the page from the guest waits for the touch before it frees the
 * page, or the page would come to life again behind its back and nobody would free it.
 */
static enum clo_fault_end make_present(struct clo_vm *vm, struct clo_fault *f, struct backing *b,
				       struct clo_inval_snap snap)
{
	struct clo_hva hva = { (b->pfn.n & ~CLO_PFN_USER) << CLO_PAGE_SHIFT };
	enum clo_fault_end end = CLO_FAULT_FIXED;
	enum clo_level level = fit(f, b);
	uint64_t bytes;
	int ret;

	if (level > CLO_LEVEL_4K)
		b->order = clo_fault_user_order(hva);
	level = fit(f, b);
	bytes = clo_level_pages(level) << CLO_PAGE_SHIFT;
	clo_touch_begin(f->tlb, clo_gfn(clo_align_down(f->gfn.n, clo_level_pages(level))), level);
	if (stale(vm, f->gfn, level, snap)) {
		end = CLO_FAULT_RETRY;
	} else {
		clo_sync_point("VMM memory made present", f->gfn.n);
		ret = clo_fault_user_populate((struct clo_hva){ clo_align_down(hva.a, bytes) },
					      bytes, b->writable);
		if (ret && level > CLO_LEVEL_4K) { /* a neighbour's trouble */
			b->order = 0;
			ret = clo_fault_user_populate(hva, CLO_PAGE_SIZE, b->writable);
		}
		if (ret)
			end = fail(f, clo_fault_user_cause(ret), ret);
	}
	clo_touch_end(&vm->mmu, f->tlb);
	return end;
}

/* The entry is frozen: last checks, then publish or put back. */
static enum clo_fault_end publish(struct clo_vm *vm, struct clo_fault *f, const struct backing *b,
				  struct clo_map_ctx *ctx, struct clo_inval_snap snap)
{
	uint64_t pages = clo_level_pages(ctx->level);
	struct clo_pfn pfn = clo_pfn(clo_align_down(b->pfn.n, pages));
	struct clo_gfn gfn = clo_gfn(clo_align_down(f->gfn.n, pages));
	uint64_t bits = CLO_SPTE_X | CLO_SPTE_A;

	clo_note("fault: entry frozen, gfn", gfn.n);
	if (stale(vm, f->gfn, ctx->level, snap)) {
		clo_table_map_abort(ctx);
		clo_note("fault: sequence moved: retry, gfn", gfn.n);
		return CLO_FAULT_RETRY;
	}
	if (b->is_private && clo_page_rmap_claim(vm->host->db, pfn, ctx->level, vm->id, gfn)) {
		clo_table_map_abort(ctx);
		return fail(f, CLO_CAUSE_DOUBLE_MAP,
			    clo_fail(-EEXIST, CLO_REASON_DOUBLE_MAP, "gpa"));
	}
	if (b->writable)
		bits |= CLO_SPTE_W;
	if (f->is_write)
		bits |= CLO_SPTE_D;
	f->level = ctx->level;
	clo_table_map_commit(ctx, clo_spte_make(pfn, ctx->level, bits));
	clo_note("fault: leaf published, pfn", pfn.n);
	return CLO_FAULT_FIXED;
}

/* Steps 12 and 13. In a read section. */
static enum clo_fault_end map(struct clo_vm *vm, struct clo_fault *f, const struct backing *b,
			      struct clo_inval_snap snap)
{
	struct clo_table *table =
		vm->mmu.table[f->is_private ? CLO_SPACE_PRIVATE : CLO_SPACE_SHARED];
	enum clo_level level = fit(f, b);

	for (;;) {
		struct clo_map_ctx ctx;
		int ret = clo_table_map_begin(table, f->gfn, level, &ctx);

		switch (ret) {
		case 0:
			return publish(vm, f, b, &ctx, snap);
		case -EEXIST: /* another vCPU was faster; a slot's leaves have the same rights */
			f->level = ctx.level;
			return CLO_FAULT_FIXED;
		case -EBUSY: /* smaller leaves are in the way, all of the same pages */
			level--;
			continue;
		case -EAGAIN:
			return CLO_FAULT_RETRY;
		default:
			return fail(f, CLO_CAUSE_NO_MEMORY, ret);
		}
	}
}

/* Outside of the read section; the snapshot says in the end whether all is as it was seen there. */
static enum clo_fault_end make_and_map(struct clo_vm *vm, struct clo_fault *f, struct backing *b,
				       struct clo_inval_snap snap)
{
	enum clo_fault_end end;

	if (b->gmem) {
		end = make_folio(f, b);
		/* Another vCPU is in the VMM's prepare hook with it, or the file changes nearby. */
		if (end == CLO_FAULT_RETRY && f->waiter)
			clo_gmem_wait(b->gmem, b->index, f->waiter);
		clo_gmem_put(b->gmem);
	} else {
		end = make_present(vm, f, b, snap);
	}
	if (end == CLO_FAULT_FIXED) {
		clo_rcu_read_lock();
		end = map(vm, f, b, snap);
		clo_rcu_read_unlock();
	}
	return end;
}

enum clo_fault_end clo_fault_handle(struct clo_vm *vm, struct clo_fault *f)
{
	struct clo_inval_snap snap;
	const struct clo_slot *slot;
	enum clo_fault_end end;
	struct backing b;

	f->cause = CLO_CAUSE_NONE;
	f->error = 0;
	clo_rcu_read_lock();
	/* Before anything that a change could move is read: slot, attribute, folio. */
	snap = clo_inval_snapshot(&vm->mmu.inval, f->gfn.n);
	clo_note("fault: sequence read, gfn", f->gfn.n);
	slot = clo_slots_find(vm->slots, 0, f->gfn);
	end = check_slot(vm, slot, f);
	if (end == CLO_FAULT_FIXED)
		end = find_backing(vm, slot, f, &b);
	if (end == CLO_FAULT_FIXED && b.is_ready)
		end = map(vm, f, &b, snap);
	clo_rcu_read_unlock();
	if (end == CLO_FAULT_FIXED && !b.is_ready)
		end = make_and_map(vm, f, &b, snap);
	return end;
}

const char *clo_fault_cause_text(uint32_t cause)
{
	static const char *const text[CLO_CAUSE_COUNT] = {
		[CLO_CAUSE_NONE] = "none",
		[CLO_CAUSE_MISMATCH] = "access kind differs from the attribute",
		[CLO_CAUSE_NO_SLOT] = "no memslot",
		[CLO_CAUSE_NO_GMEM] = "private access to a memslot without guest_memfd",
		[CLO_CAUSE_GMEM_GONE] = "guest_memfd closed or too short",
		[CLO_CAUSE_NO_MEMORY] = "host out of memory",
		[CLO_CAUSE_POISON] = "memory error (poison)",
		[CLO_CAUSE_PREPARE] = "prepare failed",
		[CLO_CAUSE_DOUBLE_MAP] = "frame is mapped elsewhere",
		[CLO_CAUSE_READONLY] = "write to a read-only memslot",
		[CLO_CAUSE_HOLE] = "hole of the shared side",
		[CLO_CAUSE_BAD_HVA] = "userspace_addr is not mapped",
	};

	return cause < CLO_CAUSE_COUNT ? text[cause] : "?";
}
