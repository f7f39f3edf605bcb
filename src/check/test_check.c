/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check/test_check.c - each sentence of the checker is provoked: by a break switch where one leads
 * there without a race, else by hand.
 */
#include "check/check.h"

#include "harness/engine.h"

static const struct eng_config in_place = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED,
};

/* A violation of @invariant whose text has @words. */
static void violates(struct eng *e, const char *invariant, const char *words)
{
	static struct eng kept; /* such a machine cannot be taken down: no leak for LeakSanitizer */
	struct clo_check_fail fail = { 0 };

	kept = *e;
	CHECK(kept.host != NULL);
	CHECK_ERR(clo_check_host(e->host, &fail), -EUCLEAN);
	CHECK_MSG(strcmp(fail.invariant, invariant) == 0 && strstr(fail.text, words),
		  "%s: %s; wanted %s with '%s'", fail.invariant, fail.text, invariant, words);
}

static struct clo_pfn pfn_of(struct eng *e, uint64_t index)
{
	struct clo_pfn pfn;

	CHECK(clo_gmem_pfn(e->gmem, index, &pfn));
	return pfn;
}

static void frame_step(struct eng *e, uint64_t index, enum clo_frame_op op)
{
	struct clo_pfn head;

	CHECK(clo_page_lock(e->host->db, pfn_of(e, index), &head));
	CHECK_OK(clo_page_step(e->host->db, head, op));
	if (op != CLO_FRAME_FREE_OP && op != CLO_FRAME_LEAK)
		clo_page_unlock(e->host->db, head);
}

/* Put a leaf for @pfn at @page of @space, past all checks. */
static void plant(struct eng *e, enum clo_space space, uint64_t page, struct clo_pfn pfn)
{
	struct clo_map_ctx ctx;

	clo_rcu_read_lock();
	CHECK_OK(clo_table_map_begin(e->vm->mmu.table[space], clo_gfn(E_GFN + page), CLO_LEVEL_4K,
				     &ctx));
	clo_table_map_commit(&ctx, clo_spte_make(pfn, CLO_LEVEL_4K, CLO_SPTE_W));
	clo_rcu_read_unlock();
}

TEST(seven_invariants_have_names)
{
	const char *name, *sentence;
	unsigned n;

	for (n = 0; clo_check_nth(n, &name, &sentence); n++) {
		CHECK(name[0] == 'I' && name[1] == (char)('1' + n) && name[2] == 0);
		CHECK(strlen(sentence) > 20);
	}
	CHECK_EQ(n, 7);
}

TEST(a_good_host_passes)
{
	struct eng e;

	eng_open(&e, in_place);
	for (unsigned i = 0; i < 16; i++)
		CHECK_OK(eng_store(&e, i, 0, 1));
	eng_check(&e);
	CHECK_OK(eng_convert(&e, 3, 5, CLO_CONVERT_TO_PRIVATE));
	eng_check(&e);
	CHECK_OK(eng_punch(&e, 0, 6));
	eng_check(&e);
	clo_gmem_close(e.gmem);
	eng_check(&e);
	eng_close(&e);
}

TEST(free_frame_is_reached_by_a_leaf)
{
	struct eng e;

	eng_open(&e, in_place);
	CHECK_OK(eng_store(&e, 0, 0, 1));
	frame_step(&e, 0, CLO_FRAME_FREE_OP);
	violates(&e, "I5", "a leaf reaches");
	/* Also while a change is in progress: that may never be. */
	clo_inval_begin(&e.vm->mmu.inval, clo_range(E_GFN, E_GFN + 16));
	violates(&e, "I5", "which is free");
}

TEST(free_frame_is_reached_by_a_tlb)
{
	struct eng e;

	eng_open(&e, in_place);
	CHECK_OK(eng_store(&e, 0, 0, 1));
	clo_break_set(CLO_BREAK_TLB_FLUSH, true);
	CHECK_OK(eng_punch(&e, 0, 1));
	clo_break_set(CLO_BREAK_TLB_FLUSH, false);
	violates(&e, "I5", "a TLB reaches");
}

TEST(translation_is_left_in_a_tlb)
{
	struct eng e;

	eng_open(&e, (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM,
					  .vm_flags = CLO_VM_TYPED_ACCESS,
					  .gmem_flags = in_place.gmem_flags });
	CHECK_OK(eng_store(&e, 0, 0, 1));
	clo_break_set(CLO_BREAK_TLB_FLUSH, true);
	CHECK_OK(eng_convert(&e, 0, 1, CLO_CONVERT_TO_PRIVATE));
	clo_break_set(CLO_BREAK_TLB_FLUSH, false);
	violates(&e, "I5", "a TLB has a shared translation that was zapped");
}

TEST(tlb_and_table_differ)
{
	struct eng e;

	eng_open(&e, in_place);
	CHECK_OK(eng_store(&e, 0, 0, 1));
	CHECK_OK(eng_store(&e, 1, 0, 1));
	CHECK_EQ(clo_vm_zap(e.vm, clo_range(E_GFN, E_GFN + 1), CLO_SPACES_ALL, CLO_ZAP_KIND), 1);
	plant(&e, CLO_SPACE_SHARED, 0, pfn_of(&e, 1));
	clo_inval_begin(&e.vm->mmu.inval, clo_range(E_GFN, E_GFN + 1));
	eng_check(&e); /* in progress: not judged yet */
	clo_inval_end(&e.vm->mmu.inval, clo_range(E_GFN, E_GFN + 1));
	violates(&e, "I5", "the memslot has another page there");
	CHECK_EQ(clo_vm_zap(e.vm, clo_range(E_GFN, E_GFN + 1), CLO_SPACES_ALL, CLO_ZAP_KIND), 1);
	plant(&e, CLO_SPACE_SHARED, 0, pfn_of(&e, 0));
	eng_check(&e);
	e.vcpu->tlb.e[0].spte = clo_spte_make(pfn_of(&e, 1), CLO_LEVEL_4K, CLO_SPTE_W);
	violates(&e, "I5", "the table another");
}

TEST(leaf_without_memslot)
{
	struct eng e;

	eng_open(&e, in_place);
	CHECK_OK(eng_store(&e, 0, 0, 1));
	plant(&e, CLO_SPACE_SHARED, 40, pfn_of(&e, 0));
	violates(&e, "I5", "no memslot");
}

TEST(leaf_of_the_wrong_kind)
{
	struct eng e;

	eng_open(&e, in_place);
	CHECK_OK(eng_store(&e, 0, 0, 1));
	CHECK_OK(eng_convert(&e, 0, 1, CLO_CONVERT_TO_PRIVATE));
	plant(&e, CLO_SPACE_SHARED, 0, pfn_of(&e, 0));
	violates(&e, "I5", "a shared leaf is left, the page is private");
}

TEST(mapped_before_it_was_up_to_date)
{
	struct eng e;

	eng_open(&e, in_place);
	CHECK_OK(clo_gmem_fallocate(e.gmem, CLO_FALLOC_KEEP_SIZE, 0, E_PAGE));
	plant(&e, CLO_SPACE_SHARED, 0, pfn_of(&e, 0));
	violates(&e, "I3", "never made up to date");
}

/* Mail 0: a frame of one guest mapped by another. */
TEST(frame_of_another_vm)
{
	struct clo_vm_config vc = { .size = sizeof(vc), .type = CLO_VM_SW_PROTECTED };
	struct eng e, two;

	eng_open(&e, in_place);
	two = e;
	CHECK_OK(clo_vm_create(e.host, &vc, &two.vm));
	CHECK_OK(clo_gmem_create(two.vm, 16 * E_PAGE, 0, 0, &two.gmem));
	CHECK_OK(eng_slot(&two, 0, E_GPA, 16, 0));
	CHECK_OK(eng_store(&e, 0, 0, 1));
	plant(&two, CLO_SPACE_SHARED, 0, pfn_of(&e, 0));
	violates(&e, "I1", "of VM 1");
}

TEST(private_frame_mapped_twice)
{
	struct eng e;

	eng_open(&e, in_place);
	CHECK_OK(eng_convert(&e, 0, 2, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&e, 0, 0, 1));
	CHECK_OK(clo_page_rmap_drop(e.host->db, pfn_of(&e, 0), e.vm->id, clo_gfn(E_GFN)));
	violates(&e, "I1", "belongs elsewhere");
	clo_break_set(CLO_BREAK_PAGE_RMAP, true);
	CHECK_OK(clo_page_rmap_claim(e.host->db, pfn_of(&e, 0), CLO_LEVEL_4K, 99, clo_gfn(7)));
	clo_break_set(CLO_BREAK_PAGE_RMAP, false);
	violates(&e, "I1", "belongs elsewhere");
}

TEST(private_and_pinned)
{
	struct clo_gmem_pin *pin;
	struct eng e;

	eng_open(&e, in_place);
	CHECK_OK(clo_gmem_pin(e.gmem, E_PAGE, E_PAGE, "x", &pin, NULL));
	clo_break_set(CLO_BREAK_PIN_CHECK, true);
	CHECK_OK(eng_convert(&e, 0, 4, CLO_CONVERT_TO_PRIVATE));
	clo_break_set(CLO_BREAK_PIN_CHECK, false);
	violates(&e, "I2", "private and pinned");
}

TEST(private_and_in_a_host_view)
{
	uint8_t byte = 3;
	struct eng e;

	eng_open(&e, in_place);
	CHECK_OK(clo_gmem_host_access(e.gmem, E_PAGE, &byte, 1, true));
	eng_check(&e);
	clo_break_set(CLO_BREAK_VIEW_ZAP, true);
	CHECK_OK(eng_convert(&e, 0, 4, CLO_CONVERT_TO_PRIVATE));
	clo_break_set(CLO_BREAK_VIEW_ZAP, false);
	violates(&e, "I2", "in a host view");
}

TEST(private_and_in_the_direct_map)
{
	struct clo_pfn head;
	struct eng e;

	eng_open(&e, (struct eng_config){ .gmem_flags = CLO_GMEM_NO_DIRECT_MAP });
	CHECK_OK(clo_gmem_fallocate(e.gmem, CLO_FALLOC_KEEP_SIZE, 0, E_PAGE));
	eng_check(&e);
	CHECK(clo_page_lock(e.host->db, pfn_of(&e, 0), &head));
	clo_page_set_direct(e.host->db, head, true);
	eng_check(&e); /* somebody is at work on it */
	clo_page_unlock(e.host->db, head);
	violates(&e, "I2", "in the direct map");
}

TEST(state_and_attribute_differ)
{
	struct eng e;

	eng_open(&e, in_place);
	CHECK_OK(clo_gmem_fallocate(e.gmem, CLO_FALLOC_KEEP_SIZE, 0, E_PAGE));
	CHECK_OK(clo_attr_set(clo_gmem_attr(e.gmem), clo_range(0, 1), true));
	clo_inval_begin(clo_gmem_inval(e.gmem), clo_range(0, 1));
	eng_check(&e);
	clo_inval_end(clo_gmem_inval(e.gmem), clo_range(0, 1));
	violates(&e, "I6", "its attribute says private");
	CHECK_OK(clo_attr_set(clo_gmem_attr(e.gmem), clo_range(0, 1), false));
	frame_step(&e, 0, CLO_FRAME_MAKE_PRIVATE);
	violates(&e, "I6", "its attribute says shared");
}

static int refuse(void *arg, const struct clo_dma_range *r)
{
	(void)arg;
	(void)r;
	return -ENOSPC;
}

/* Without the undo a refused conversion stays; state and attribute agree, but the caller was told
 * that nothing has changed: that is for the one who called to see. */
TEST(counters_are_not_the_sums_over_frames)
{
	struct clo_check_fail fail = { 0 };
	struct clo_pfn lone;
	struct eng e;

	eng_open(&e, in_place);
	CHECK_OK(eng_store(&e, 3, 0, 1));
	CHECK_OK(clo_check_idle(e.host, &fail));
	/* A frame that no file has. */
	CHECK_OK(clo_page_window_reserve(e.host->db, 0, CLO_WINDOW_LAST, &lone));
	CHECK_OK(clo_page_alloc(e.host->db, lone, 0, e.vm->id, CLO_FRAME_ALLOC_PRIVATE));
	CHECK_OK(clo_check_host(e.host, &fail));
	CHECK_ERR(clo_check_idle(e.host, &fail), -EUCLEAN);
	CHECK(strcmp(fail.invariant, "I6") == 0 && strstr(fail.text, "2 frames in use"));
	CHECK_OK(clo_page_step(e.host->db, lone, CLO_FRAME_FREE_OP));
	/* One out of the direct map. */
	CHECK_OK(clo_page_alloc(e.host->db, lone, 0, e.vm->id, CLO_FRAME_ALLOC_PRIVATE));
	clo_page_set_direct(e.host->db, lone, false);
	CHECK_OK(clo_page_rmap_claim(e.host->db, lone, CLO_LEVEL_4K, e.vm->id, clo_gfn(1)));
	CHECK_OK(clo_page_step(e.host->db, lone, CLO_FRAME_LEAK));
	CHECK_ERR(clo_check_idle(e.host, &fail), -EUCLEAN);
	CHECK(strcmp(fail.invariant, "I6") == 0 && strstr(fail.text, "out of the direct map"));
	clo_vm_destroy(e.vm, NULL);
	CHECK_OK(clo_host_destroy(e.host));
}

TEST(break_undo_leaves_the_change)
{
	struct clo_dma_listener l = { .size = sizeof(l), .name = "x", .map = refuse };
	struct eng e;

	eng_open(&e,
		 (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM, .gmem_flags = CLO_GMEM_MMAP });
	CHECK_OK(clo_vm_add_dma_listener(e.vm, &l));
	clo_break_set(CLO_BREAK_UNDO, true);
	CHECK_ERR(eng_convert(&e, 0, 1, 0), -ENOSPC);
	clo_break_set(CLO_BREAK_UNDO, false);
	CHECK(!eng_is_private(&e, 0));
	CHECK_OK(eng_convert(&e, 0, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_ERR(eng_convert(&e, 0, 1, 0), -ENOSPC);
	CHECK(eng_is_private(&e, 0));
	eng_close(&e);
}
