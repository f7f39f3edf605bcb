/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check/check.c - leaves, TLBs and frames of a host against each other and against memslots, files
 * and attributes.
 */
#include "check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct walk {
	struct clo_host *host;
	struct clo_vm *vm;
	enum clo_space space;
	struct clo_check_fail *fail;
	int ret;
};

static const char *const sentences[][2] = {
	{ "I1", "one owner: a private frame is mapped in one guest, at one gfn, at most" },
	{ "I2", "no host reach: a private page has no pin, host mapping or way for a system call" },
	{ "I3", "no leak: a new holder sees no byte of the old one, but where the policy preserves "
		"content" },
	{ "I4", "no loss: where the policy preserves content, a conversion keeps every byte" },
	{ "I5", "no stale translation: after a zap has returned no vCPU can use the old one" },
	{ "I6", "all or nothing: a failed operation leaves everything as it was" },
	{ "I7", "no hang: each fault ends in a mapping, a retry that makes progress, or an exit" },
};

bool clo_check_nth(unsigned i, const char **invariant, const char **sentence)
{
	if (i >= CLO_ARRAY_SIZE(sentences))
		return false;
	*invariant = sentences[i][0];
	*sentence = sentences[i][1];
	return true;
}

__attribute__((format(printf, 3, 4))) static void violated(struct walk *w, const char *invariant,
							   const char *fmt, ...)
{
	va_list ap;

	if (w->ret)
		return;
	w->ret = -EUCLEAN;
	w->fail->invariant = invariant;
	va_start(ap, fmt);
	vsnprintf(w->fail->text, sizeof(w->fail->text), fmt, ap);
	va_end(ap);
}

static const char *space_name(enum clo_space s)
{
	return s == CLO_SPACE_PRIVATE ? "private" : "shared";
}

/* May a change in progress cover the leaf? */
static bool in_change(struct clo_vm *vm, struct clo_gfn base, enum clo_level level)
{
	const struct clo_inval *iv = &vm->mmu.inval;

	if (level == CLO_LEVEL_1G)
		return clo_inval_retry_any(iv, clo_inval_snapshot(iv, base.n));
	return clo_inval_busy(iv, base.n);
}

/* What holds at every moment for a frame that a vCPU can reach. */
static void check_reachable(struct walk *w, struct clo_gfn gfn, struct clo_pfn pfn, const char *by)
{
	struct clo_frame_info f;

	if (clo_pfn_is_user(pfn))
		return;
	f = clo_frame_get(w->host->db, pfn);
	if (f.state == CLO_FRAME_FREE)
		violated(w, "I5",
			 "VM %u gfn %#" PRIx64 ": %s reaches pfn %#" PRIx64 ", which is free",
			 w->vm->id, gfn.n, by, pfn.n);
	else if (f.owner != w->vm->id)
		violated(w, "I1", "VM %u gfn %#" PRIx64 ": %s reaches pfn %#" PRIx64 " of VM %u",
			 w->vm->id, gfn.n, by, pfn.n, f.owner);
}

/* Does the memslot still say that @gfn is backed by @pfn? */
static bool slot_agrees(const struct clo_slot *slot, struct clo_gfn gfn, struct clo_pfn pfn)
{
	struct clo_gmem *g = clo_slot_gmem(slot);
	struct clo_pfn at;

	if (clo_pfn_is_user(pfn))
		return clo_pfn_of_hva(clo_slot_hva(slot, gfn)).n == pfn.n;
	return g && clo_gmem_pfn(g, clo_slot_index(slot, gfn), &at) && at.n == pfn.n;
}

/* One 4K page of a leaf that no change covers. */
static void check_settled_page(struct walk *w, const struct clo_slot *slot, struct clo_gfn gfn,
			       struct clo_pfn pfn)
{
	bool attr = clo_vm_gfn_is_private(w->vm, slot, gfn);
	struct clo_frame_info f;

	if (!slot) {
		violated(w, "I5", "VM %u gfn %#" PRIx64 ": a %s leaf is left and no memslot",
			 w->vm->id, gfn.n, space_name(w->space));
		return;
	}
	if (attr != (w->space == CLO_SPACE_PRIVATE)) {
		violated(w, "I5", "VM %u gfn %#" PRIx64 ": a %s leaf is left, the page is %s",
			 w->vm->id, gfn.n, space_name(w->space), attr ? "private" : "shared");
		return;
	}
	if (!slot_agrees(slot, gfn, pfn)) {
		violated(w, "I5",
			 "VM %u gfn %#" PRIx64 ": leaf to pfn %#" PRIx64
			 ", the memslot has another page there",
			 w->vm->id, gfn.n, pfn.n);
		return;
	}
	if (clo_pfn_is_user(pfn))
		return;
	f = clo_frame_get(w->host->db, pfn);
	if (!(f.flags & (CLO_FRAME_UPTODATE | CLO_FRAME_LOCKED)))
		violated(w, "I3",
			 "VM %u gfn %#" PRIx64 ": pfn %#" PRIx64
			 " is mapped and was never made up to date",
			 w->vm->id, gfn.n, pfn.n);
}

/* A PRIVATE frame's leaf is where its reverse map says: one place at most. */
static void check_rmap(struct walk *w, struct clo_gfn base, enum clo_level level,
		       struct clo_pfn pfn)
{
	struct clo_gfn gfn;
	enum clo_level l;
	uint32_t vm;

	if (clo_frame_get(w->host->db, pfn).state != CLO_FRAME_PRIVATE)
		return;
	if (!clo_page_rmap_get(w->host->db, pfn, &l, &vm, &gfn) || vm != w->vm->id ||
	    gfn.n != base.n || l != level)
		violated(w, "I1",
			 "VM %u gfn %#" PRIx64 ": private pfn %#" PRIx64
			 " is mapped here and belongs elsewhere by its reverse map",
			 w->vm->id, base.n, pfn.n);
}

static void check_leaf(void *arg, struct clo_gfn base, enum clo_level level, uint64_t spte)
{
	struct walk *w = arg;
	struct clo_pfn first = clo_spte_pfn(spte);
	bool settled = !in_change(w->vm, base, level);

	for (uint64_t i = 0; i < clo_level_pages(level) && w->ret == 0; i++) {
		struct clo_gfn gfn = clo_gfn(base.n + i);
		const struct clo_slot *slot = clo_slots_find(w->vm->slots, 0, gfn);

		check_reachable(w, gfn, clo_pfn(first.n + i), "a leaf");
		/* INVALID: the memslot is about to be zapped. */
		if (settled && !(slot && (slot->flags & CLO_MEMSLOT_INVALID)))
			check_settled_page(w, slot, gfn, clo_pfn(first.n + i));
	}
	if (settled && !clo_pfn_is_user(first))
		check_rmap(w, base, level, first);
}

/* A translation that the vCPU may use without another walk. */
static void check_tlb_entry(struct walk *w, const struct clo_tlb_entry *e)
{
	struct clo_gfn gfn = clo_gfn((e->key - 1) >> 1);
	enum clo_space space = (e->key - 1) & 1 ? CLO_SPACE_PRIVATE : CLO_SPACE_SHARED;
	struct clo_pfn pfn = clo_spte_pfn(e->spte);
	struct clo_leaf leaf;

	check_reachable(w, gfn, pfn, "a TLB");
	if (in_change(w->vm, gfn, CLO_LEVEL_4K))
		return;
	/* An untyped guest's page may have moved to the other table, translation and all. */
	if (!clo_table_walk(w->vm->mmu.table[space], gfn, &leaf) &&
	    (clo_vm_typed(w->vm) || !clo_table_walk(w->vm->mmu.table[!space], gfn, &leaf))) {
		violated(w, "I5",
			 "VM %u gfn %#" PRIx64 ": a TLB has a %s translation that was zapped",
			 w->vm->id, gfn.n, space_name(space));
		return;
	}
	if (clo_spte_pfn(leaf.spte).n + (gfn.n - leaf.base.n) != pfn.n)
		violated(w, "I5",
			 "VM %u gfn %#" PRIx64 ": a TLB has pfn %#" PRIx64 ", the table another",
			 w->vm->id, gfn.n, pfn.n);
}

static void check_tlbs(struct walk *w)
{
	uint32_t count = clo_a32_get(&w->vm->mmu.tlb_count);

	for (uint32_t i = 0; i < count && w->ret == 0; i++) {
		const struct clo_tlb *tlb = clo_aptr_get(&w->vm->mmu.tlb[i]);

		/* With a flush asked for it is emptied before the next use, except by who is in
		 * guest mode already. */
		if (!tlb || (!tlb->in_use && clo_a32_get(&tlb->flush_req) != tlb->flush_seen))
			continue;
		for (unsigned k = 0; k < CLO_TLB_ENTRIES && w->ret == 0; k++) {
			if (tlb->e[k].key)
				check_tlb_entry(w, &tlb->e[k]);
		}
	}
}

/* The folio's lock is its head's. */
static bool is_locked(struct walk *w, struct clo_pfn pfn, unsigned order)
{
	struct clo_pfn head = clo_pfn(clo_align_down(pfn.n, 1ULL << order));

	return (clo_frame_get(w->host->db, head).flags & CLO_FRAME_LOCKED) != 0;
}

/* One page of a file: state against attribute, pins, views and the direct map. */
static void check_frame(struct walk *w, struct clo_gmem *g, uint64_t index, struct clo_pfn pfn)
{
	struct clo_frame_info f = clo_frame_get(w->host->db, pfn);
	struct clo_view_set *views = clo_gmem_views(g);
	bool attr;

	if (f.state == CLO_FRAME_PRIVATE && f.pins)
		violated(w, "I2",
			 "VM %u file page %#" PRIx64 ": pfn %#" PRIx64 " is private and pinned",
			 w->vm->id, index, pfn.n);
	if (f.state != CLO_FRAME_PRIVATE && (f.flags & CLO_FRAME_PREPARED))
		violated(w, "I1",
			 "VM %u file page %#" PRIx64 ": pfn %#" PRIx64
			 " is %s, and the guest's for the trust model still",
			 w->vm->id, index, pfn.n, clo_frame_state_name(f.state));
	if (f.state != CLO_FRAME_SHARED && views && clo_view_is_shown(views, index))
		violated(w, "I2",
			 "VM %u file page %#" PRIx64 ": pfn %#" PRIx64 " is %s and in a host view",
			 w->vm->id, index, pfn.n, clo_frame_state_name(f.state));
	if (f.state != CLO_FRAME_PRIVATE && f.state != CLO_FRAME_SHARED)
		return;
	if (clo_inval_busy(clo_gmem_inval(g), index) || is_locked(w, pfn, f.order))
		return;
	if (f.state == CLO_FRAME_PRIVATE && (clo_gmem_flags(g) & CLO_GMEM_NO_DIRECT_MAP) &&
	    !(f.flags & CLO_FRAME_NODIRECT))
		violated(w, "I2",
			 "VM %u file page %#" PRIx64 ": pfn %#" PRIx64
			 " is private and in the direct map",
			 w->vm->id, index, pfn.n);
	attr = clo_attr_is_private(clo_gmem_attr(g), index);
	if (attr != (f.state == CLO_FRAME_PRIVATE))
		violated(w, "I6",
			 "VM %u file page %#" PRIx64 ": pfn %#" PRIx64
			 " is %s, its attribute says %s",
			 w->vm->id, index, pfn.n, clo_frame_state_name(f.state),
			 attr ? "private" : "shared");
}

static void check_file(struct walk *w, struct clo_gmem *g)
{
	uint64_t npages = clo_gmem_size(g) >> CLO_PAGE_SHIFT;
	struct clo_pfn pfn;

	for (uint64_t index = 0; w->ret == 0 && clo_gmem_next_frame(g, &index, npages, &pfn);
	     index++)
		check_frame(w, g, index, pfn);
}

static void check_vm(struct walk *w)
{
	for (unsigned s = 0; s < CLO_SPACE_COUNT && w->ret == 0; s++) {
		w->space = (enum clo_space)s;
		clo_table_for_each(w->vm->mmu.table[s], clo_range(0, CLO_GFN_END), check_leaf, w);
	}
	check_tlbs(w);
	for (struct clo_vm_gmem *e = w->vm->gmems; e && w->ret == 0; e = e->next)
		check_file(w, e->gmem);
}

int clo_check_host(struct clo_host *host, struct clo_check_fail *fail)
{
	struct walk w = { .host = host, .fail = fail };

	clo_rcu_read_lock();
	for (w.vm = host->vms; w.vm && w.ret == 0; w.vm = w.vm->next)
		check_vm(&w);
	clo_rcu_read_unlock();
	return w.ret;
}

static void count_file(struct clo_gmem *g, struct clo_pagedb_stats *sum)
{
	uint64_t npages = clo_gmem_size(g) >> CLO_PAGE_SHIFT;
	struct clo_pfn pfn;

	for (uint64_t index = 0; clo_gmem_next_frame(g, &index, npages, &pfn); index++) {
		struct clo_frame_info f = clo_frame_get(clo_gmem_pagedb(g), pfn);

		sum->frames_used += f.state != CLO_FRAME_LEAKED;
		sum->frames_nodirect += (f.flags & CLO_FRAME_NODIRECT) != 0;
	}
}

int clo_check_idle(struct clo_host *host, struct clo_check_fail *fail)
{
	struct clo_pagedb_stats have, sum = { 0 };
	struct walk w = { .host = host, .fail = fail, .ret = clo_check_host(host, fail) };

	clo_pagedb_stats(host->db, &have);
	for (const struct clo_vm *vm = host->vms; vm && w.ret == 0; vm = vm->next) {
		for (const struct clo_vm_gmem *e = vm->gmems; e; e = e->next)
			count_file(e->gmem, &sum);
	}
	if (have.frames_used != sum.frames_used + have.frames_leaked)
		violated(&w, "I6",
			 "the pool counts %" PRIu64 " frames in use, files have %" PRIu64
			 " and %" PRIu64 " are lost",
			 have.frames_used, sum.frames_used, have.frames_leaked);
	if (have.frames_nodirect != sum.frames_nodirect)
		violated(&w, "I6",
			 "the pool counts %" PRIu64
			 " frames out of the direct map, files have %" PRIu64,
			 have.frames_nodirect, sum.frames_nodirect);
	return w.ret;
}
