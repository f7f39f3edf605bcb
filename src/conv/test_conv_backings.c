/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/test_conv_backings.c - the VM owns the attribute: KVM's call frees nothing, the engine's own
 * conversion frees the other side, leaves are split and zapped.
 */
#include "conv/conv.h"

#include "harness/engine.h"

TEST(kvms_call_frees_nothing)
{
	struct clo_leak_report r = { .size = sizeof(r) };
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	CHECK_OK(eng_store(&e, 2, 0, 7));
	CHECK_OK(clo_vm_set_attributes(e.vm, E_GPA, 16 * E_PAGE, CLO_ATTR_PRIVATE));
	CHECK_EQ(e.user[2 * E_PAGE], 7);
	CHECK_EQ(eng_byte(&e, 2, 0), 0);
	CHECK_OK(eng_store(&e, 2, 0, 8));
	CHECK_OK(clo_vm_report(e.vm, &r));
	CHECK_EQ(r.backed_twice, 1);
	CHECK_OK(clo_vm_set_attributes(e.vm, E_GPA, 16 * E_PAGE, 0));
	CHECK_EQ(eng_byte(&e, 2, 0), 7);
	/* The private side is there still (SW_PROTECTED keeps it). */
	CHECK_OK(clo_vm_set_attributes(e.vm, E_GPA, 16 * E_PAGE, CLO_ATTR_PRIVATE));
	CHECK_EQ(eng_byte(&e, 2, 0), 8);
	eng_close(&e);
}

TEST(attributes_need_no_memslot_and_outlive_it)
{
	uint64_t attributes, same;
	struct eng e;

	eng_open(&e, (struct eng_config){ .no_slot = true });
	CHECK_OK(clo_vm_set_attributes(e.vm, E_GPA, 4 * E_PAGE, CLO_ATTR_PRIVATE));
	CHECK_OK(eng_slot(&e, 0, E_GPA, 16, 0));
	CHECK_OK(eng_store(&e, 1, 0, 1));
	CHECK(eng_mapped(&e, CLO_SPACE_PRIVATE, 1));
	CHECK_OK(eng_slot_delete(&e, 0));
	CHECK_OK(clo_vm_get_attributes(e.vm, E_GPA + E_PAGE, 1ULL << 40, &attributes, &same));
	CHECK_EQ(attributes, CLO_ATTR_PRIVATE);
	CHECK_EQ(same, 3 * E_PAGE);
	CHECK_OK(clo_vm_get_attributes(e.vm, E_GPA + 4 * E_PAGE, 1ULL << 40, &attributes, &same));
	CHECK_EQ(attributes, 0);
	CHECK_EQ(same, 1ULL << 40);
	/* The last page that KVM's check of the wrap lets pass. */
	CHECK_OK(
		clo_vm_set_attributes(e.vm, UINT64_MAX - 2 * E_PAGE + 1, E_PAGE, CLO_ATTR_PRIVATE));
	eng_close(&e);
}

TEST(the_engines_conversion_frees_the_other_side)
{
	struct clo_leak_report r = { .size = sizeof(r) };
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	for (unsigned i = 0; i < 16; i++)
		CHECK_OK(eng_store(&e, i, 0, (uint8_t)(i + 1)));
	CHECK_OK(eng_convert(&e, 2, 4, CLO_CONVERT_TO_PRIVATE));
	for (unsigned i = 0; i < 16; i++)
		CHECK_EQ(eng_byte(&e, i, 0), i >= 2 && i < 6 ? 0 : i + 1);
	CHECK_EQ(eng_frames(&e), 4);
	CHECK_OK(clo_vm_report(e.vm, &r));
	CHECK_EQ(r.backed_twice, 0);
	CHECK_OK(eng_convert(&e, 0, 16, 0));
	CHECK_EQ(eng_frames(&e), 0);
	CHECK_EQ(eng_byte(&e, 2, 0), 0);
	CHECK_EQ(eng_byte(&e, 1, 0), 2);
	eng_close(&e);
}

/* A 2M leaf of the VMM's memory: only what is converted leaves it. */
TEST(a_huge_leaf_is_split_at_the_border)
{
	struct clo_vm_stats s = { .size = sizeof(s) };
	struct eng e;

	eng_open(&e, (struct eng_config){ .pages = 1024 });
	for (unsigned i = 0; i < 512; i++)
		e.user[i * E_PAGE] = 1;
	CHECK_OK(eng_store(&e, 0, 0, 5));
	CHECK_EQ(eng_leaf(&e, 0).level, CLO_LEVEL_2M);
	CHECK_OK(eng_convert(&e, 3, 2, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(eng_leaf(&e, 0).level, CLO_LEVEL_4K);
	CHECK_EQ(eng_leaf(&e, 511).level, CLO_LEVEL_4K);
	CHECK_EQ(eng_leaf(&e, 3).level, CLO_LEVEL_COUNT);
	s = eng_stats(&e);
	CHECK_EQ(s.zaps[CLO_ZAP_SPLIT_MERGE], 1);
	CHECK_EQ(s.zaps[CLO_ZAP_HUGEPAGE], 2);
	CHECK_EQ(eng_byte(&e, 0, 0), 5);
	/* Mixed: small leaves only, until it is of one kind again. */
	CHECK_OK(eng_store(&e, 3, 0, 1));
	CHECK_EQ(eng_leaf(&e, 3).level, CLO_LEVEL_4K);
	CHECK_OK(eng_convert(&e, 0, 1024, 0));
	CHECK_EQ(eng_byte(&e, 0, 0), 5);
	eng_close(&e);
}

/* Two memslots share one huge page of the file: to make the one shared must not free the other. */
TEST(a_huge_page_in_two_slots_is_not_freed_under_the_second)
{
	struct eng_config c = {
		.gmem_flags = CLO_GMEM_HUGETLB, .page_order = 9, .pages = 512, .no_slot = true
	};
	struct eng e;

	eng_open(&e, c);
	CHECK_OK(eng_slot(&e, 0, E_GPA, 256, 256));
	CHECK_OK(eng_slot(&e, 1, E_GPA + 1024 * E_PAGE, 256, 0));
	CHECK_OK(clo_vm_set_attributes(e.vm, E_GPA, 2048 * E_PAGE, CLO_ATTR_PRIVATE));
	CHECK_OK(eng_store(&e, 1024 + 7, 0, 77));
	CHECK_OK(eng_store(&e, 1, 0, 11));
	CHECK_OK(eng_convert(&e, 0, 256, 0));
	CHECK_EQ(eng_byte(&e, 1024 + 7, 0), 77);
	CHECK_OK(eng_convert(&e, 1024, 256, 0));
	eng_close(&e);
}

/* The same at gfn 0, where the other half's gfns would be negative. */
TEST(a_huge_page_that_begins_before_gfn_0)
{
	struct eng_config c = {
		.gmem_flags = CLO_GMEM_HUGETLB, .page_order = 9, .pages = 512, .no_slot = true
	};
	struct clo_convert conv = { .size = sizeof(conv), .bytes = 256 * E_PAGE };
	struct eng e;

	eng_open(&e, c);
	CHECK_OK(eng_slot(&e, 0, 0, 256, 256));
	CHECK_OK(eng_slot(&e, 1, E_GPA, 256, 0));
	CHECK_OK(clo_vm_set_attributes(e.vm, 0, 1ULL << 40, CLO_ATTR_PRIVATE));
	CHECK_OK(eng_store(&e, 7, 0, 77));
	CHECK_OK(clo_vm_convert(e.vm, &conv));
	CHECK_EQ(eng_byte(&e, 7, 0), 77);
	eng_close(&e);
}

TEST(a_huge_page_is_freed_with_its_last_private_page)
{
	struct eng_config c = { .gmem_flags = CLO_GMEM_HUGETLB, .page_order = 9, .pages = 1024 };
	struct eng e;

	eng_open(&e, c);
	CHECK_OK(eng_convert(&e, 0, 1024, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&e, 0, 0, 1));
	CHECK_OK(eng_store(&e, 600, 0, 2));
	CHECK_EQ(eng_frames(&e), 1024);
	CHECK_OK(eng_convert(&e, 0, 511, 0));
	CHECK_EQ(eng_frames(&e), 1024);
	CHECK_OK(eng_convert(&e, 511, 2, 0));
	CHECK_EQ(eng_frames(&e), 512);
	CHECK_EQ(eng_byte(&e, 600, 0), 2);
	CHECK_OK(eng_convert(&e, 512, 512, 0));
	CHECK_EQ(eng_frames(&e), 0);
	eng_close(&e);
}

/*
 * What the file has kept, because the memslot was away or KVM's call frees nothing: the guest does
 * not meet it when it takes the pages back. Memory that was only allocated stays.
 */
TEST(pages_that_become_private_again_are_new)
{
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	CHECK_OK(eng_convert(&e, 0, 8, CLO_CONVERT_TO_PRIVATE));
	for (unsigned i = 0; i < 8; i++)
		CHECK_OK(eng_store(&e, i, 0, 5));
	CHECK_OK(eng_slot_delete(&e, 0));
	CHECK_OK(eng_convert(&e, 0, 4, 0));
	CHECK_OK(eng_slot(&e, 0, E_GPA, 16, 0));
	CHECK_OK(clo_vm_set_attributes(e.vm, E_GPA + 4 * E_PAGE, 2 * E_PAGE, 0));
	CHECK_EQ(eng_frames(&e), 8);
	CHECK_OK(eng_store(&e, 1, 0, 9));
	CHECK_OK(eng_convert(&e, 0, 8, CLO_CONVERT_TO_PRIVATE));
	/* The two that stayed private keep their bytes. */
	CHECK_EQ(eng_frames(&e), 2);
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(eng_byte(&e, i, 0), i < 6 ? 0 : 5);
	CHECK_OK(clo_gmem_fallocate(e.gmem, CLO_FALLOC_KEEP_SIZE, 8 * E_PAGE, 4 * E_PAGE));
	CHECK_OK(eng_convert(&e, 8, 8, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(eng_frames(&e), 12);
	eng_close(&e);
}

/* A huge page stays as long as one page of it is private: the others lose their bytes in place. */
TEST(pages_of_a_huge_page_that_become_private_again_are_new)
{
	struct eng_config c = { .gmem_flags = CLO_GMEM_HUGETLB, .page_order = 9, .pages = 1536 };
	struct eng e;

	eng_open(&e, c);
	CHECK_OK(eng_convert(&e, 0, 1536, CLO_CONVERT_TO_PRIVATE));
	for (unsigned i = 0; i < 1536; i += 32)
		CHECK_OK(eng_store(&e, i, 0, 5));
	CHECK_OK(eng_convert(&e, 32, 1, 0));
	CHECK_EQ(eng_frames(&e), 1536);
	CHECK_OK(eng_convert(&e, 32, 1, CLO_CONVERT_TO_PRIVATE));
	for (unsigned i = 0; i < 512; i += 32)
		CHECK_EQ(eng_byte(&e, i, 0), i == 32 ? 0 : 5);
	/* Parts of two blocks and all of the one between them. */
	CHECK_OK(clo_vm_set_attributes(e.vm, E_GPA + 256 * E_PAGE, 1024 * E_PAGE, 0));
	CHECK_OK(eng_convert(&e, 256, 1024, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(eng_frames(&e), 1024);
	for (unsigned i = 0; i < 1536; i += 32)
		CHECK_EQ(eng_byte(&e, i, 0), i != 32 && (i < 256 || i >= 1280) ? 5 : 0);
	eng_close(&e);
}

/* A file that can be mapped serves both kinds: nothing may be freed. */
TEST(a_mappable_file_keeps_its_pages)
{
	struct eng e;

	eng_open(&e, (struct eng_config){ .gmem_flags = CLO_GMEM_MMAP });
	CHECK_OK(eng_store(&e, 3, 0, 9));
	CHECK_EQ(eng_frames(&e), 1);
	CHECK_OK(eng_convert(&e, 0, 16, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(eng_byte(&e, 3, 0), 9);
	CHECK_OK(eng_convert(&e, 0, 16, 0));
	CHECK_EQ(eng_byte(&e, 3, 0), 9);
	CHECK_EQ(eng_frames(&e), 1);
	eng_close(&e);
}

TEST(to_private_needs_a_file_behind_every_page)
{
	struct clo_convert c = eng_range(12, 8, CLO_CONVERT_TO_PRIVATE);
	struct clo_region plain = {
		.size = sizeof(plain),
		.slot = 5,
		.guest_phys_addr = E_GPA + 16 * E_PAGE,
		.memory_size = 4 * E_PAGE,
	};
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	CHECK_ERR(clo_vm_convert(e.vm, &c), -ENOENT);
	CHECK_EQ(c.error_gpa, E_GPA + 16 * E_PAGE);
	plain.userspace_addr = (uintptr_t)e.user;
	CHECK_OK(clo_vm_set_region(e.vm, &plain));
	c.flags |= CLO_CONVERT_DRY_RUN;
	CHECK_ERR(clo_vm_convert(e.vm, &c), -ENOENT);
	CHECK_EQ(c.error_gpa, E_GPA + 16 * E_PAGE);
	CHECK(!eng_is_private(&e, 12));
	CHECK_OK(eng_convert(&e, 12, 4, CLO_CONVERT_TO_PRIVATE | CLO_CONVERT_DRY_RUN));
	CHECK(!eng_is_private(&e, 12));
	/* A file that was closed is no file. */
	clo_gmem_close(e.gmem);
	CHECK_ERR(eng_convert(&e, 0, 1, CLO_CONVERT_TO_PRIVATE), -ENOENT);
	eng_close(&e);
}

TEST(holes_follow_the_pages)
{
	struct eng e;
	uint8_t v;

	eng_open(&e, (struct eng_config){ .vm_flags = CLO_VM_TYPED_ACCESS });
	CHECK_OK(clo_vm_set_holes(e.vm, 0, E_GPA, 8 * E_PAGE, false));
	CHECK_EQ(eng_load(&e, 1, 0, &v), 1);
	CHECK_OK(eng_convert(&e, 0, 4, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&e, 1, CLO_ACCESS_PRIVATE, 3));
	CHECK_OK(eng_convert(&e, 0, 2, 0));
	CHECK_EQ(eng_byte(&e, 1, 0), 0);
	CHECK_EQ(eng_load(&e, 5, 0, &v), 1);
	CHECK_OK(clo_vm_set_holes(e.vm, 0, E_GPA + 4 * E_PAGE, 4 * E_PAGE, true));
	CHECK_EQ(eng_byte(&e, 5, 0), 0);
	eng_close(&e);
}

/* errno: clo_vm_convert -ENOMEM; clo_vm_set_attributes -ENOMEM: by the loop's failing allocations
 */
TEST(every_allocation_fails_once)
{
	for (unsigned kvm_call = 0; kvm_call < 2; kvm_call++) {
		int ret = -ENOMEM;

		for (uint64_t n = 1; ret; n++) {
			struct eng e;

			eng_open(&e, (struct eng_config){ .pages = 1024 });
			for (unsigned i = 0; i < 512; i++)
				e.user[i * E_PAGE] = 1;
			CHECK_OK(eng_store(&e, 0, 0, 5));
			clo_alloc_fail_at(n);
			ret = kvm_call ? clo_vm_set_attributes(e.vm, E_GPA + E_PAGE, 700 * E_PAGE,
							       CLO_ATTR_PRIVATE)
				       : eng_convert(&e, 1, 700, CLO_CONVERT_TO_PRIVATE);
			clo_alloc_fail_at(0);
			if (ret)
				CHECK_ERR(ret, -ENOMEM);
			CHECK_EQ(eng_is_private(&e, 1), ret == 0);
			eng_check(&e);
			CHECK_EQ(eng_byte(&e, 0, 0), 5);
			CHECK_EQ(eng_byte(&e, 2, 0), ret != 0);
			eng_close(&e);
			CHECK(n < 100);
		}
	}
}
