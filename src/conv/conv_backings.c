/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/conv_backings.c - the VM owns the attribute: a private page lives in the guest_memfd, a
 * shared one in the VMM's own memory.
 *
 * KVM_SET_MEMORY_ATTRIBUTES stores the attribute and zaps; the VMM frees the other side, in a step
 * of its own. The engine's own conversion does both in one locked step, so that no page stays
 * backed twice and none is freed that has just been converted back.
 *
 * The lock of the gfns is held from the first look to the last page freed, and over the listeners'
 * callbacks; it stops nobody but who converts the same pages. The memslots are only locked while
 * they are looked at.
 */
#include "conv_internal.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

static struct clo_table *old_table(const struct conv *c)
{
	return c->vm->mmu.table[c->to_private ? CLO_SPACE_SHARED : CLO_SPACE_PRIVATE];
}

static struct clo_range table_range(const struct conv *c)
{
	return clo_range_clip(c->gfns, clo_range(0, CLO_GFN_END));
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

/* @index rounded out to huge pages, as far as they lie in what @slot binds. */
static struct clo_range round_out(const struct clo_slot *slot, struct clo_range index,
				  uint64_t block)
{
	uint64_t first = slot->gmem_index, end = first + clo_range_len(slot->gfns);
	struct clo_range r =
		clo_range(clo_align_down(index.start, block), clo_align_up(index.end, block));

	return clo_range_clip(r, clo_range(first, end));
}

/*
 * A huge page of the file is freed with the last of its private pages, so the range lock covers
 * the whole of it: no other conversion makes the rest private between the look and the hole.
 */
static int widen_slot(void *arg, const struct clo_slot *slot, struct clo_range gfns)
{
	struct conv *c = arg;
	struct clo_gmem *g = get_gmem(slot);
	struct clo_range out, index = clo_range(clo_slot_index(slot, clo_gfn(gfns.start)),
						clo_slot_index(slot, clo_gfn(gfns.end)));

	if (!g)
		return 0;
	out = round_out(slot, index, 1ULL << clo_gmem_page_order(g));
	clo_gmem_put(g);
	if (gfns.start - (index.start - out.start) < c->locked.start)
		c->locked.start = gfns.start - (index.start - out.start);
	if (gfns.end + (out.end - index.end) > c->locked.end)
		c->locked.end = gfns.end + (out.end - index.end);
	return 0;
}

static int lock_gfns(struct conv *c)
{
	c->locked = c->gfns;
	if (c->tell_dma && !c->to_private) {
		clo_rcu_read_lock();
		(void)clo_slots_for_each(c->vm->slots, 0, c->gfns, widen_slot, c);
		clo_rcu_read_unlock();
	}
	if (!clo_broken(CLO_BREAK_RANGE_LOCK))
		clo_rangelock_lock(&c->vm->ranges, c->locked, &c->hold);
	return 0;
}

static void unlock_gfns(struct conv *c)
{
	if (!clo_broken(CLO_BREAK_RANGE_LOCK))
		clo_rangelock_unlock(&c->vm->ranges, &c->hold);
}

static int reserve(struct conv *c)
{
	int ret = c->tell_dma ? conv_check_gfns(c) : 0;

	if (ret)
		return ret;
	/* Nothing to do, nothing zapped: as KVM. */
	if (clo_attr_range_is(c->vm->attr, c->gfns, c->to_private))
		return CONV_NOTHING_TO_DO;
	if (c->dry_run)
		return 0;
	ret = clo_attr_prepare(c->vm->attr, c->gfns, &c->attr);
	return ret ? ret : conv_dma_collect_gfns(c);
}

static int tell_unmap(struct conv *c)
{
	return conv_dma_tell(c, false);
}

/* Again: a memslot may have gone while the listeners were told. */
static int lock_slots(struct conv *c)
{
	int ret = 0;

	clo_slots_lock_shared(c->vm->slots);
	if (c->tell_dma)
		ret = conv_check_gfns(c);
	if (ret)
		clo_slots_unlock(c->vm->slots);
	return ret;
}

static int stop_faults(struct conv *c)
{
	clo_inval_begin(&c->vm->mmu.inval, c->gfns);
	return 0;
}

static void go_on_faults(struct conv *c)
{
	clo_inval_end(&c->vm->mmu.inval, c->gfns);
}

/* Exact only now, when no fault can map a new huge leaf. */
static int reserve_split(struct conv *c)
{
	struct clo_range r = table_range(c);

	return clo_range_len(r) ? clo_table_split_prepare(old_table(c), r, &c->split) : 0;
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

/* Leaves of the old kind go; huge ones that stick out are split first. */
static void zap_old(struct conv *c)
{
	struct clo_range r = table_range(c);

	if (clo_range_len(r) == 0)
		return;
	clo_stat_add(&c->vm->zaps[CLO_ZAP_SPLIT_MERGE],
		     clo_table_split_commit(old_table(c), r, &c->split, split_removed, split_added,
					    c->vm));
	(void)clo_vm_zap(c->vm, r, 1U << (c->to_private ? CLO_SPACE_SHARED : CLO_SPACE_PRIVATE),
			 CLO_ZAP_HUGEPAGE);
	/* Also when nothing was left to zap: a hole punched at the same time may have taken a leaf
	 * and not have shot it down yet (table.h, the rule for changers). */
	(void)clo_mmu_flush(&c->vm->mmu);
}

/* What a memslot with a file shows of some gfns. */
struct part {
	struct clo_gmem *g;       /* a reference; NULL: closed, or one for both kinds */
	struct clo_range gfns;    /* empty: there is none */
	struct clo_range binding; /* indexes */
	uint64_t delta;           /* modulo 2^64: gfn = index + delta */
};

static int first_part(void *arg, const struct clo_slot *slot, struct clo_range gfns)
{
	struct part *p = arg;

	p->g = slot->flags & CLO_MEMSLOT_GMEM_ONLY ? NULL : get_gmem(slot);
	p->gfns = gfns;
	p->binding = clo_range(slot->gmem_index, slot->gmem_index + clo_range_len(slot->gfns));
	p->delta = slot->gfns.start - slot->gmem_index;
	return 1;
}

/*
 * Calls @fn for each file of @r, with the memslots locked. Hooks are a stranger's: where there are
 * any the lock is let go. What is bound to our gfns stays so all the same, since who takes it away
 * waits for the conversion (clo_vm_set_region()).
 */
static void for_each_file(struct conv *c, struct clo_range r,
			  void (*fn)(struct conv *c, const struct part *p))
{
	for (;;) {
		struct part p = { .g = NULL };
		bool let_go;

		(void)clo_slots_for_each(c->vm->slots, 0, r, first_part, &p);
		if (clo_range_len(p.gfns) == 0)
			return;
		r.start = p.gfns.end;
		if (!p.g)
			continue;
		let_go = clo_gmem_has_hooks(p.g);
		if (let_go)
			clo_slots_unlock(c->vm->slots);
		fn(c, &p);
		clo_gmem_put(p.g);
		if (let_go)
			clo_slots_lock_shared(c->vm->slots);
	}
}

/* File pages of a part that becomes private: of an earlier time, see clo_gmem_renew(). */
static void renew_part(struct conv *c, const struct part *p)
{
	(void)c;
	clo_gmem_renew(p->g, clo_range(p->gfns.start - p->delta, p->gfns.end - p->delta));
}

/*
 * The file may have kept pages of a time before: they became shared while there was no memslot, or
 * by KVM's call, which frees nothing; or they are in a huge page that others needed. The guest must
 * not meet bytes from before two conversions.
 */
static void renew(struct conv *c)
{
	for (uint64_t at = c->gfns.start; at < c->gfns.end;) {
		bool is_private;
		struct clo_range run = clo_attr_run(c->vm->attr, at, c->gfns.end, &is_private);

		at = run.end;
		if (!is_private)
			for_each_file(c, run, renew_part);
	}
}

static int commit(struct conv *c)
{
	zap_old(c);
	if (c->tell_dma && c->to_private)
		renew(c);
	conv_holes_follow(c->vm, NULL, c->vm->attr, c->gfns, c->to_private);
	clo_attr_commit(c->vm->attr, c->gfns, c->to_private, &c->attr);
	clo_note("convert: attribute stored, private", c->to_private);
	return 0;
}

/* A listener has refused: the old attribute again. What was zapped faults in again. */
static void turn_back(struct conv *c)
{
	if (clo_broken(CLO_BREAK_UNDO))
		return;
	(void)clo_vm_zap(c->vm, c->gfns, CLO_SPACES_ALL, CLO_ZAP_HUGEPAGE);
	(void)clo_mmu_flush(&c->vm->mmu);
	for (unsigned i = 0; i < c->dma.run_count; i++)
		conv_holes_follow(c->vm, NULL, c->vm->attr, c->dma.runs[i].pages, true);
	conv_dma_restore_attr(&c->dma, !c->to_private);
}

static int tell_map(struct conv *c)
{
	int ret;

	if (c->dma.range_count == 0)
		return 0;
	clo_slots_unlock(c->vm->slots);
	ret = conv_dma_tell(c, true);
	if (ret)
		conv_dma_take_back(c);
	clo_slots_lock_shared(c->vm->slots);
	return ret;
}

/* Memory of the VMM behind a part that is private now; NULL: none that is to be freed. */
struct user_part {
	struct clo_range gfns; /* empty: there is none */
	void *addr;
};

static int first_user_part(void *arg, const struct clo_slot *slot, struct clo_range gfns)
{
	struct user_part *p = arg;

	p->gfns = gfns;
	if (slot->binding && !(slot->flags & CLO_MEMSLOT_GMEM_ONLY))
		p->addr = (void *)(uintptr_t)clo_slot_hva(slot, clo_gfn(gfns.start)).a;
	return 1;
}

/*
 * Nothing but our gfns is locked: the VMM may serve this memory by a userfaultfd, which hears of it
 * and lets the call return when it likes. A memslot of our gfns stays so long.
 */
static void free_user(struct conv *c)
{
	for (struct clo_range r = c->gfns;;) {
		struct user_part p = { .addr = NULL };
		size_t bytes;

		clo_slots_lock_shared(c->vm->slots);
		(void)clo_slots_for_each(c->vm->slots, 0, r, first_user_part, &p);
		clo_slots_unlock(c->vm->slots);
		bytes = (size_t)(clo_range_len(p.gfns) << CLO_PAGE_SHIFT);
		if (bytes == 0)
			return;
		r.start = p.gfns.end;
		if (!p.addr)
			continue;
		clo_sync_point("free VMM memory", p.gfns.start);
		/* Both kinds of memory: a shared file mapping, private memory. What cannot be
		 * freed stays, and the leak report tells. */
		if (madvise(p.addr, bytes, MADV_REMOVE))
			(void)madvise(p.addr, bytes, MADV_DONTNEED);
	}
}

/* Shared, and no other conversion can make it private before the hole. */
static bool stays_shared(const struct conv *c, struct clo_range gfns)
{
	return gfns.start >= c->locked.start && gfns.end <= c->locked.end &&
	       clo_attr_range_is(c->vm->attr, gfns, false);
}

/*
 * File pages of a part that is shared now. A huge page goes as a whole when no page of it is
 * private any more, so the hole is rounded out to such blocks and in otherwise. One that does not
 * lie in this memslot alone stays: nothing is known of its other pages here.
 */
static void free_gmem(struct conv *c, const struct part *p)
{
	struct clo_range index = clo_range(p->gfns.start - p->delta, p->gfns.end - p->delta);
	uint64_t block = 1ULL << clo_gmem_page_order(p->g);
	struct clo_range hole =
		clo_range(clo_align_down(index.start, block), clo_align_up(index.end, block));
	struct clo_range out = clo_range_clip(hole, p->binding);
	int left = 0;

	if (out.start != hole.start ||
	    !stays_shared(c, clo_range(out.start + p->delta, p->gfns.start)))
		hole.start += block;
	if (out.end != hole.end || !stays_shared(c, clo_range(p->gfns.end, out.end + p->delta)))
		hole.end -= block;
	/* What cannot be freed stays, and the leak report tells. */
	if (hole.start < hole.end)
		left = clo_gmem_fallocate(p->g, CLO_FALLOC_KEEP_SIZE | CLO_FALLOC_PUNCH_HOLE,
					  (int64_t)(hole.start << CLO_PAGE_SHIFT),
					  (int64_t)(clo_range_len(hole) << CLO_PAGE_SHIFT));
	(void)left;
}

/* Still with the gfns: a conversion back must not lose its new pages. */
static void free_other(struct conv *c)
{
	bool frees = c->done && c->tell_dma;

	if (frees && !c->to_private)
		for_each_file(c, c->gfns, free_gmem);
	clo_slots_unlock(c->vm->slots);
	if (c->done && c->to_private) {
		/* The VMM's memory may be in use still, and would come to life again. */
		clo_touch_wait(&c->vm->mmu, c->gfns);
		if (frees)
			free_user(c);
	}
}

/* clang-format off */
static const struct conv_step steps[CONV_PHASES] = {
	[CONV_LISTENING] = { CONV_IF_TOLD, conv_listeners_enter, NULL, conv_listeners_leave },
	[CONV_RANGED]    = { 0, lock_gfns, NULL, unlock_gfns },
	[CONV_RESERVED]  = { 0, reserve, NULL, NULL },
	[CONV_UNMAPPED]  = { CONV_IF_TOLD | CONV_IF_PRIVATE, tell_unmap, conv_dma_take_back, NULL },
	[CONV_SLOTTED]   = { 0, lock_slots, NULL, free_other },
	[CONV_STOPPED]   = { 0, stop_faults, NULL, go_on_faults },
	[CONV_LOCKED]    = { 0, reserve_split, NULL, NULL },
	[CONV_COMMITTED] = { 0, commit, turn_back, NULL },
	[CONV_MAPPED]    = { CONV_IF_TOLD | CONV_IF_SHARED, tell_map, NULL, NULL },
};
/* clang-format on */

int conv_backings(struct conv *c)
{
	return conv_run(c, steps, c->dry_run ? CONV_RESERVED : CONV_PHASES - 1);
}
