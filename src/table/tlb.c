/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table/tlb.c - per-vCPU software TLBs and the shoot-down.
 *
 * Memory order (I5). A vCPU: [1] mode := odd, [2] read flush_req, walk, use, [3] mode := even. A
 * shoot-down, after the zap: [4] flush_req += 1, [5] read mode. 1, 2, 4, 5 are seq_cst, so one of
 * the two sees the other: either 2 sees the request, and the vCPU flushes before it uses anything
 * and its walks see what the zap did (2 acquires what 4 releases); or 5 sees the odd mode and waits
 * for 3, which releases every use made in that section. Whatever is left in the TLB then is flushed
 * by the next 2. So a translation may be inserted only from a walk of the same guest-mode section:
 * one that was made earlier could outlive the flush.
 *
 * RCU. Guest mode cannot stand for the read section of a walk: page-table pages that leave the tree
 * are freed by RCU, without a shoot-down, because a fault removes them and a fault may not wait for
 * vCPUs. (To free them after a shoot-down would also tie the life of each page to the slowest
 * vCPU.) So a walk on behalf of a vCPU takes RCU like every other; a TLB hit, which is the usual
 * case, touches no table and takes nothing.
 */
#include "table/table.h"

#include <errno.h>
#include <string.h>

#include "table/table_node.h"

int clo_mmu_init(struct clo_mmu *mmu)
{
	struct clo_table *table[CLO_SPACE_COUNT] = { NULL };

	for (unsigned s = 0; s < CLO_SPACE_COUNT; s++) {
		if (clo_table_create(&table[s]) != 0) {
			while (s > 0)
				clo_table_destroy(table[--s]);
			return clo_fail_heap("stage-2 tables");
		}
	}
	memcpy(mmu->table, table, sizeof(table));
	return 0;
}

void clo_mmu_destroy(struct clo_mmu *mmu)
{
	for (unsigned s = 0; s < CLO_SPACE_COUNT; s++) {
		clo_table_destroy(mmu->table[s]);
		mmu->table[s] = NULL;
	}
}

int clo_mmu_add_tlb(struct clo_mmu *mmu, struct clo_tlb *tlb)
{
	uint32_t count = clo_a32_get(&mmu->tlb_count);

	if (count >= CLO_MAX_VCPUS)
		return clo_fail(-E2BIG, CLO_REASON_BOUNDS, "id");
	clo_aptr_set(&mmu->tlb[count], tlb);
	/*
	 * seq_cst: a shoot-down that does not see this vCPU yet has done its zap before, and the
	 * vCPU's first walk comes after.
	 */
	clo_a32_set_sc(&mmu->tlb_count, count + 1);
	return 0;
}

void clo_tlb_enter(struct clo_tlb *tlb)
{
	uint32_t mode = clo_a32_get_relaxed(&tlb->mode);

	assert((mode & 1) == 0);
	clo_a32_set_sc(&tlb->mode, mode + 1);

	uint32_t asked = clo_a32_get_sc(&tlb->flush_req);

	if (CLO_UNLIKELY(asked != tlb->flush_seen)) {
		memset(tlb->e, 0, sizeof(tlb->e));
		tlb->flush_seen = asked;
		clo_stat_add_local(&tlb->flushes, 1);
	}
	tlb->in_use = true;
}

void clo_tlb_exit(struct clo_tlb *tlb)
{
	uint32_t mode = clo_a32_get_relaxed(&tlb->mode);

	assert((mode & 1) == 1);
	tlb->in_use = false;
	clo_a32_set(&tlb->mode, mode + 1);
}

static inline uint64_t key_of(struct clo_gfn gfn, enum clo_space space)
{
	return (gfn.n << 1 | (uint64_t)space) + 1;
}

/* One gfn in both spaces does not share a place, nor do its neighbours. */
static inline struct clo_tlb_entry *place_of(struct clo_tlb *tlb, struct clo_gfn gfn,
					     enum clo_space space)
{
	uint64_t n = gfn.n ^ ((uint64_t)space * (CLO_TLB_ENTRIES / 2));

	return &tlb->e[n % CLO_TLB_ENTRIES];
}

uint64_t clo_tlb_lookup(struct clo_tlb *tlb, struct clo_gfn gfn, enum clo_space space)
{
	const struct clo_tlb_entry *e = place_of(tlb, gfn, space);

	if (CLO_UNLIKELY(e->key != key_of(gfn, space))) {
		clo_stat_add_local(&tlb->misses, 1);
		return 0;
	}
	clo_stat_add_local(&tlb->hits, 1);
	return e->spte;
}

void clo_tlb_insert(struct clo_tlb *tlb, struct clo_gfn gfn, enum clo_space space, uint64_t spte_4k)
{
	*place_of(tlb, gfn, space) =
		(struct clo_tlb_entry){ .key = key_of(gfn, space), .spte = spte_4k };
}

/* The 4K part at @gfn of a leaf. */
static uint64_t leaf_4k(const struct clo_leaf *leaf, struct clo_gfn gfn)
{
	return (leaf->spte + ((gfn.n - leaf->base.n) << 12)) & ~CLO_SPTE_HUGE;
}

uint64_t clo_mmu_translate(struct clo_mmu *mmu, struct clo_tlb *tlb, struct clo_gfn gfn,
			   enum clo_space space, uint64_t need)
{
	struct clo_leaf leaf;

	/* A guest may ask for any address; beyond the bits of a key two gfns would look alike. */
	if (CLO_UNLIKELY(gfn.n >= PT_GFN_END))
		return 0;

	uint64_t spte = clo_tlb_lookup(tlb, gfn, space);

	if (CLO_LIKELY(spte != 0 && (spte & need) == need))
		return spte;
	/* No entry, or one with too few rights, which may have grown without a shoot-down. */
	if (!clo_table_walk(mmu->table[space], gfn, &leaf))
		return 0;
	spte = leaf_4k(&leaf, gfn);
	if ((spte & need) != need)
		return 0;
	clo_tlb_insert(tlb, gfn, space, spte);
	return spte;
}

/* True while @tlb is still in the guest-mode section that @mode (odd) stands for. */
static bool still_inside(const struct clo_tlb *tlb, uint32_t mode)
{
	return clo_a32_get(&tlb->mode) == mode;
}

/* The removals that had ended when @seen was read are flushed now. Never goes back. */
static void note_flushed(struct clo_a64 *flushed, uint64_t seen)
{
	uint32_t ended = (uint32_t)(seen >> 32);
	uint64_t old = clo_a64_get(flushed);

	while ((int32_t)(ended - (uint32_t)old) > 0 && !clo_a64_cas(flushed, &old, ended))
		;
}

bool clo_mmu_flush(struct clo_mmu *mmu)
{
	for (unsigned s = 0; s < CLO_SPACE_COUNT; s++) {
		uint64_t now = clo_a64_get_sc(&mmu->table[s]->removals);

		if (((uint32_t)now != 0 && !clo_broken(CLO_BREAK_FLUSH_ENDED)) ||
		    (uint32_t)(now >> 32) != (uint32_t)clo_a64_get(&mmu->flushed[s])) {
			clo_mmu_shootdown(mmu);
			return true;
		}
	}
	return false;
}

void clo_mmu_shootdown(struct clo_mmu *mmu)
{
	uint64_t seen[CLO_SPACE_COUNT];

	if (clo_broken(CLO_BREAK_TLB_FLUSH))
		return;
	for (unsigned s = 0; s < CLO_SPACE_COUNT; s++)
		seen[s] = clo_a64_get_sc(&mmu->table[s]->removals);

	uint32_t count = clo_a32_get_sc(&mmu->tlb_count);

	for (uint32_t i = 0; i < count; i++) {
		struct clo_tlb *tlb = clo_aptr_get(&mmu->tlb[i]);

		clo_a32_add(&tlb->flush_req, 1);
	}
	clo_stat_add(&mmu->shootdowns, 1);
	if (clo_broken(CLO_BREAK_TLB_WAIT))
		return;
	for (uint32_t i = 0; i < count; i++) {
		const struct clo_tlb *tlb = clo_aptr_get(&mmu->tlb[i]);
		uint32_t mode = clo_a32_get_sc(&tlb->mode);

		if ((mode & 1) == 0)
			continue;
		clo_stat_add(&mmu->ipis, 1);
		while (still_inside(tlb, mode))
			clo_relax();
	}
	for (unsigned s = 0; s < CLO_SPACE_COUNT; s++)
		note_flushed(&mmu->flushed[s], seen[s]);
}
