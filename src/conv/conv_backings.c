/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/conv_backings.c - the VM owns the attribute: a private page lives in the guest_memfd, a
 * shared one in the VMM's own memory.
 *
 * KVM_SET_MEMORY_ATTRIBUTES stores the attribute and zaps; the VMM frees the other side
 * (docs/design/conversion.md). The engine's own conversion does both in one locked step, so that no
 * page stays backed twice and none is freed that has just been converted back.
 */
#include "conv_internal.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

struct backings {
	struct clo_vm *vm;
	struct clo_range gfns;
	bool to_private;
	bool free_other;
	struct clo_attr_reserve attr;
	struct clo_split_reserve split;
	struct conv_dma dma;
};

static struct clo_table *old_table(const struct backings *b)
{
	return b->vm->mmu.table[b->to_private ? CLO_SPACE_SHARED : CLO_SPACE_PRIVATE];
}

static struct clo_range table_range(const struct backings *b)
{
	return clo_range_clip(b->gfns, clo_range(0, CLO_GFN_END));
}

static int reserve(struct backings *b, bool tell_dma)
{
	int ret = clo_attr_prepare(b->vm->attr, b->gfns, &b->attr);

	if (ret == 0 && tell_dma)
		ret = conv_dma_collect_gfns(&b->dma, b->vm, b->gfns, b->to_private);
	return ret;
}

static void release(struct backings *b)
{
	clo_attr_reserve_release(&b->attr);
	clo_split_reserve_release(&b->split);
	conv_dma_release(&b->dma);
}

/* The pieces of a split leaf take over its reverse map. */
static void split_removed(void *arg, struct clo_gfn base, enum clo_level level, uint64_t spte)
{
	struct clo_vm *vm = arg;

	(void)level;
	if (!clo_pfn_is_user(clo_spte_pfn(spte)))
		(void)clo_page_rmap_drop(vm->host->db, clo_spte_pfn(spte), vm->id, base);
}

static void split_added(void *arg, struct clo_gfn base, enum clo_level level, uint64_t spte)
{
	struct clo_vm *vm = arg;
	struct clo_pfn pfn = clo_spte_pfn(spte);
	int ret;

	if (clo_pfn_is_user(pfn) || clo_frame_get(vm->host->db, pfn).state != CLO_FRAME_PRIVATE)
		return;
	ret = clo_page_rmap_claim(vm->host->db, pfn, level, vm->id, base);
	assert(ret == 0); /* the huge leaf held it until now */
	(void)ret;
}

/* Inside the invalidation: leaves of the old kind go; huge ones that stick out are split first. */
static void zap_old(struct backings *b)
{
	struct clo_range r = table_range(b);
	if (clo_range_len(r) == 0)
		return;
	clo_stat_add(&b->vm->zaps[CLO_ZAP_SPLIT_MERGE],
		     clo_table_split_commit(old_table(b), r, &b->split, split_removed, split_added,
					    b->vm));
	(void)clo_vm_zap(b->vm, r, 1U << (b->to_private ? CLO_SPACE_SHARED : CLO_SPACE_PRIVATE),
			 CLO_ZAP_HUGEPAGE);
	/* Also when nothing was left to zap: a hole punched at the same time may have taken a leaf
	 * and not have shot it down yet (table.h, the rule for changers). */
	(void)clo_mmu_flush(&b->vm->mmu);
}

/* With a reference: the file may be closed at any time. */
static struct clo_gmem *get_gmem(const struct clo_slot *slot)
{
	struct clo_gmem *g;

	clo_rcu_read_lock();
	g = clo_slot_gmem(slot);
	if (g)
		clo_gmem_get(g);
	clo_rcu_read_unlock();
	return g;
}

/* File pages of a part that becomes private: of an earlier time, see clo_gmem_renew(). */
static int renew_slot(void *arg, const struct clo_slot *slot, struct clo_range gfns)
{
	struct clo_gmem *g = slot->flags & CLO_MEMSLOT_GMEM_ONLY ? NULL : get_gmem(slot);
	uint64_t index = clo_slot_index(slot, clo_gfn(gfns.start));

	(void)arg;
	if (!g)
		return 0;
	clo_gmem_renew(g, clo_range(index, index + clo_range_len(gfns)));
	clo_gmem_put(g);
	return 0;
}

/*
 * The file may have kept pages of a time before: they became shared while there was no memslot, or
 * by KVM's call, which frees nothing; or they are in a huge page that others needed. The guest must
 * not meet bytes from before two conversions.
 */
static void renew(const struct backings *b)
{
	for (uint64_t at = b->gfns.start; at < b->gfns.end;) {
		bool is_private;
		struct clo_range run = clo_attr_run(b->vm->attr, at, b->gfns.end, &is_private);

		at = run.end;
		if (!is_private)
			(void)clo_slots_for_each(b->vm->slots, 0, run, renew_slot, NULL);
	}
}

/* A listener has refused: the old attribute again. What was zapped faults in again. */
static void turn_back(struct backings *b)
{
	if (clo_broken(CLO_BREAK_UNDO))
		return;
	(void)clo_vm_zap(b->vm, b->gfns, CLO_SPACES_ALL, CLO_ZAP_HUGEPAGE);
	(void)clo_mmu_flush(&b->vm->mmu);
	for (unsigned i = 0; i < b->dma.run_count; i++)
		conv_holes_follow(b->vm, NULL, b->vm->attr, b->dma.runs[i].pages, true);
	conv_dma_restore_attr(&b->dma, !b->to_private);
}

static int change(struct backings *b, char *who, size_t who_size)
{
	struct clo_range r = table_range(b);
	int ret = 0;

	if (b->to_private) {
		ret = conv_dma_tell(b->vm, &b->dma, false, who, who_size);
		if (ret)
			return ret;
	}
	clo_inval_begin(&b->vm->mmu.inval, b->gfns);
	/* Exact only now, when no fault can map a new huge leaf. */
	if (clo_range_len(r))
		ret = clo_table_split_prepare(old_table(b), r, &b->split);
	if (ret) {
		if (b->to_private)
			conv_dma_take_back(b->vm, &b->dma, true);
	} else {
		zap_old(b);
		if (b->to_private && b->free_other)
			renew(b);
		conv_holes_follow(b->vm, NULL, b->vm->attr, b->gfns, b->to_private);
		clo_attr_commit(b->vm->attr, b->gfns, b->to_private, &b->attr);
		clo_note("convert: attribute stored, private", b->to_private);
		if (!b->to_private) {
			ret = conv_dma_tell(b->vm, &b->dma, true, who, who_size);
			if (ret)
				turn_back(b);
		}
	}
	clo_inval_end(&b->vm->mmu.inval, b->gfns);
	return ret;
}

/* The VMM's pages of a part that is private now. Both kinds of VMM memory: a shared file mapping,
 * private memory. */
static int free_user(void *arg, const struct clo_slot *slot, struct clo_range gfns)
{
	void *addr = (void *)(uintptr_t)clo_slot_hva(slot, clo_gfn(gfns.start)).a;
	size_t bytes = (size_t)(clo_range_len(gfns) << CLO_PAGE_SHIFT);

	(void)arg;
	if (!addr || !slot->binding || (slot->flags & CLO_MEMSLOT_GMEM_ONLY))
		return 0;
	clo_sync_point("free VMM memory", gfns.start);
	/* What cannot be freed stays, and the leak report tells. */
	if (madvise(addr, bytes, MADV_REMOVE))
		(void)madvise(addr, bytes, MADV_DONTNEED);
	return 0;
}

/* @index rounded out to huge pages, as far as they lie in what @slot binds. */
static struct clo_range round_out(const struct clo_slot *slot, struct clo_range index,
				  uint64_t block)
{
	uint64_t first = slot->gmem_index, end = first + clo_range_len(slot->gfns);
	struct clo_range r =
		clo_range(clo_align_down(index.start, block), clo_align_up(index.end, block));

	return clo_range_clip(r, clo_range(first, end));
}

struct widen {
	struct clo_range gfns;
};

/*
 * A huge page of the file is freed with the last of its private pages, so the range lock covers
 * the whole of it: no other conversion makes the rest private between the look and the hole.
 */
static int widen_slot(void *arg, const struct clo_slot *slot, struct clo_range gfns)
{
	struct widen *w = arg;
	struct clo_gmem *g = get_gmem(slot);
	struct clo_range out, index = clo_range(clo_slot_index(slot, clo_gfn(gfns.start)),
						clo_slot_index(slot, clo_gfn(gfns.end)));

	if (!g)
		return 0;
	out = round_out(slot, index, 1ULL << clo_gmem_page_order(g));
	clo_gmem_put(g);
	if (gfns.start - (index.start - out.start) < w->gfns.start)
		w->gfns.start = gfns.start - (index.start - out.start);
	if (gfns.end + (out.end - index.end) > w->gfns.end)
		w->gfns.end = gfns.end + (out.end - index.end);
	return 0;
}

/*
 * File pages of a part that is shared now. A huge page goes as a whole when no page of it is
 * private any more, so the hole is rounded out to such blocks and in otherwise. One that does not
 * lie in this memslot alone stays: nothing is known of its other pages here.
 */
static int free_gmem(void *arg, const struct clo_slot *slot, struct clo_range gfns)
{
	struct clo_vm *vm = arg;
	struct clo_gmem *g = slot->flags & CLO_MEMSLOT_GMEM_ONLY ? NULL : get_gmem(slot);
	struct clo_range index =
		clo_range(clo_slot_index(slot, clo_gfn(gfns.start)),
			  clo_slot_index(slot, clo_gfn(gfns.start)) + clo_range_len(gfns));
	uint64_t block, delta;
	struct clo_range hole, out;
	int left = 0;

	if (!g)
		return 0;
	block = 1ULL << clo_gmem_page_order(g);
	delta = slot->gfns.start - slot->gmem_index; /* modulo 2^64: gfn = index + delta */
	hole = clo_range(clo_align_down(index.start, block), clo_align_up(index.end, block));
	out = round_out(slot, index, block);
	if (out.start != hole.start ||
	    !clo_attr_range_is(vm->attr, clo_range(out.start + delta, index.start + delta), false))
		hole.start += block;
	if (out.end != hole.end ||
	    !clo_attr_range_is(vm->attr, clo_range(index.end + delta, out.end + delta), false))
		hole.end -= block;
	/* What cannot be freed stays, and the leak report tells. */
	if (hole.start < hole.end)
		left = clo_gmem_fallocate(g, CLO_FALLOC_KEEP_SIZE | CLO_FALLOC_PUNCH_HOLE,
					  (int64_t)(hole.start << CLO_PAGE_SHIFT),
					  (int64_t)(clo_range_len(hole) << CLO_PAGE_SHIFT));
	clo_gmem_put(g);
	(void)left;
	return 0;
}

int conv_backings(struct clo_vm *vm, struct clo_range gfns, bool to_private, bool free_other,
		  char *who, size_t who_size)
{
	struct backings b = {
		.vm = vm, .gfns = gfns, .to_private = to_private, .free_other = free_other
	};
	struct widen w = { .gfns = gfns };
	struct clo_rangelock_hold hold;
	bool locked = !clo_broken(CLO_BREAK_RANGE_LOCK);
	int ret = 0;

	if (free_other && !to_private)
		(void)clo_slots_for_each(vm->slots, 0, gfns, widen_slot, &w);
	if (locked)
		clo_rangelock_lock(&vm->ranges, w.gfns, &hold);
	/* Nothing to do, nothing zapped: as KVM. */
	if (!clo_attr_range_is(vm->attr, gfns, to_private)) {
		ret = reserve(&b, free_other);
		if (ret == 0)
			ret = change(&b, who, who_size);
		/* Still under the range lock: a conversion back must not lose its new pages. */
		if (ret == 0 && free_other)
			(void)clo_slots_for_each(vm->slots, 0, gfns,
						 to_private ? free_user : free_gmem, vm);
		release(&b);
	}
	if (locked)
		clo_rangelock_unlock(&vm->ranges, &hold);
	return ret;
}
