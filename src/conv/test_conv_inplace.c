/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/test_conv_inplace.c - conversion in place: content, zaps by reason (mail 4), pins and the
 * wait for them, dry runs, ranges over several memslots, holes, direct map, failing allocations.
 */
#include "conv/conv.h"

#include "harness/engine.h"

static const struct eng_config untyped = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED,
};

static struct eng_config with(uint64_t gmem_flags, uint32_t vm_flags)
{
	struct eng_config c = untyped;

	c.gmem_flags |= gmem_flags;
	c.vm_flags = vm_flags;
	return c;
}

/* Every page gets its number + 1. */
static void fill(struct eng *e, uint32_t kind)
{
	for (unsigned i = 0; i < e->pages; i++)
		CHECK_OK(eng_store(e, i, kind, (uint8_t)(i + 1)));
}

TEST(untyped_leaves_move_without_zap_or_shootdown)
{
	struct clo_vm_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	struct eng e;

	eng_open(&e, untyped);
	fill(&e, 0);
	before = eng_stats(&e);
	CHECK_OK(eng_convert(&e, 2, 4, CLO_CONVERT_TO_PRIVATE));
	after = eng_stats(&e);
	CHECK_EQ(after.moved_leaves, 4);
	CHECK_EQ(after.shootdowns, before.shootdowns);
	CHECK_EQ(eng_zaps(&e), 0);
	CHECK(eng_mapped(&e, CLO_SPACE_PRIVATE, 2) && !eng_mapped(&e, CLO_SPACE_SHARED, 2));
	CHECK(eng_mapped(&e, CLO_SPACE_SHARED, 1));
	/* No fault is taken for what has moved. */
	for (unsigned i = 0; i < 16; i++)
		CHECK_EQ(eng_byte(&e, i, 0), i + 1);
	CHECK_EQ(eng_stats(&e).faults, before.faults);
	CHECK_OK(eng_convert(&e, 0, 16, 0));
	CHECK_EQ(eng_stats(&e).moved_leaves, 8);
	CHECK_EQ(eng_stats(&e).shootdowns, before.shootdowns);
	CHECK_EQ(eng_byte(&e, 3, 0), 4);
	CHECK_EQ(eng_stats(&e).conversions, 2);
	eng_close(&e);
}

/* Each reason of mail 4, and the two that come from the guest and the content. */
TEST(each_zap_has_its_reason)
{
	static const struct {
		uint64_t gmem_flags, minus;
		uint32_t vm_flags, page_order;
		enum clo_zap_reason why;
	} rows[] = {
		{ CLO_GMEM_HUGETLB, CLO_GMEM_INIT_SHARED, 0, 9, CLO_ZAP_SPLIT_MERGE },
		{ CLO_GMEM_NO_DIRECT_MAP, 0, 0, 0, CLO_ZAP_DIRECT_MAP },
		{ CLO_GMEM_ZERO_ON_CONVERT, 0, 0, 0, CLO_ZAP_CONTENT },
		{ 0, 0, CLO_VM_TYPED_ACCESS, 0, CLO_ZAP_KIND },
		{ 0, CLO_GMEM_MMAP, 0, 0, CLO_ZAP_HUGEPAGE },
	};

	for (unsigned i = 0; i < CLO_ARRAY_SIZE(rows); i++) {
		struct eng_config c = with(rows[i].gmem_flags, rows[i].vm_flags);
		struct clo_vm_stats s = { .size = sizeof(s) };
		struct eng e;

		c.gmem_flags &= ~rows[i].minus;
		c.page_order = rows[i].page_order;
		c.pages = 1024;
		eng_open(&e, c);
		CHECK_OK(eng_convert(&e, 0, 1024, 0));
		CHECK_OK(eng_store(&e, 1, 0, 7));
		s = eng_stats(&e);
		CHECK_OK(eng_convert(&e, 0, 4, CLO_CONVERT_TO_PRIVATE));
		for (unsigned k = 0; k < CLO_ARRAY_SIZE(s.zaps); k++)
			CHECK_EQ(eng_stats(&e).zaps[k] - s.zaps[k], k == (unsigned)rows[i].why);
		CHECK_EQ(eng_stats(&e).moved_leaves, 0);
		CHECK_EQ(eng_stats(&e).shootdowns, s.shootdowns + 1);
		eng_close(&e);
	}
}

TEST(content_is_preserved_or_zeroed_by_the_flag)
{
	struct eng e;

	eng_open(&e, untyped);
	fill(&e, 0);
	CHECK_OK(eng_convert(&e, 0, 16, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(eng_byte(&e, 5, 0), 6);
	CHECK_OK(eng_convert(&e, 0, 16, 0));
	CHECK_EQ(eng_byte(&e, 5, 0), 6);
	eng_close(&e);

	eng_open(&e, with(CLO_GMEM_ZERO_ON_CONVERT, 0));
	fill(&e, 0);
	CHECK_OK(eng_convert(&e, 0, 4, CLO_CONVERT_TO_PRIVATE));
	CHECK(!(eng_frame(&e, 1).flags & CLO_FRAME_UPTODATE));
	CHECK_EQ(eng_byte(&e, 1, 0), 0);
	CHECK_EQ(eng_byte(&e, 4, 0), 5);
	CHECK_OK(eng_store(&e, 1, 0, 9));
	CHECK_OK(eng_convert(&e, 1, 1, 0));
	/* Towards the host at once: it may look without asking. */
	CHECK(eng_frame(&e, 1).flags & CLO_FRAME_UPTODATE);
	CHECK_EQ(eng_byte(&e, 1, 0), 0);
	eng_close(&e);
}

TEST(pages_of_the_right_kind_are_left_alone)
{
	struct eng e;

	eng_open(&e, with(CLO_GMEM_ZERO_ON_CONVERT, 0));
	fill(&e, 0);
	CHECK_OK(eng_convert(&e, 3, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&e, 3, 0, 9));
	CHECK_OK(eng_convert(&e, 0, 16, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(eng_byte(&e, 3, 0), 9);
	CHECK_EQ(eng_byte(&e, 2, 0), 0);
	eng_close(&e);
}

TEST(nothing_to_do_changes_nothing)
{
	struct eng e;

	eng_open(&e, with(0, CLO_VM_TYPED_ACCESS));
	fill(&e, 0);
	CHECK_OK(eng_convert(&e, 0, 16, 0));
	CHECK_EQ(eng_zaps(&e), 0);
	CHECK(eng_mapped(&e, CLO_SPACE_SHARED, 3));
	/* To shared may name gfns without memslot; to private may not. */
	CHECK_OK(eng_convert(&e, 100, 16, 0));
	eng_close(&e);
}

TEST(typed_accesses_of_the_old_kind_exit)
{
	struct eng e;
	uint8_t v;

	eng_open(&e, with(0, CLO_VM_TYPED_ACCESS));
	CHECK_OK(eng_store(&e, 0, 0, 3));
	CHECK_OK(eng_convert(&e, 0, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_ERR(eng_load(&e, 0, 0, &v), -EFAULT);
	CHECK_EQ(clo_vcpu_exit(e.vcpu)->cause, CLO_CAUSE_MISMATCH);
	CHECK_EQ(clo_vcpu_exit(e.vcpu)->memory_fault.flags, 0);
	CHECK_EQ(eng_byte(&e, 0, CLO_ACCESS_PRIVATE), 3);
	eng_close(&e);
}

TEST(a_pin_is_named_with_its_place)
{
	struct clo_convert c = eng_range(2, 10, CLO_CONVERT_TO_PRIVATE);
	struct clo_gmem_pin *pin, *other;
	uint64_t at = 0;
	struct eng e;

	eng_open(&e, untyped);
	CHECK_OK(clo_gmem_pin(e.gmem, 5 * E_PAGE, 2 * E_PAGE, "vhost-net", &pin, NULL));
	CHECK_OK(clo_gmem_pin(e.gmem, 9 * E_PAGE, E_PAGE, "vfio", &other, NULL));
	CHECK_ERR(clo_vm_convert(e.vm, &c), -EAGAIN);
	CHECK_STR(c.holder, "vhost-net");
	CHECK_EQ(c.error_gpa, E_GPA + 5 * E_PAGE);
	CHECK_EQ(c.error_offset, 5 * E_PAGE);
	CHECK_ERR(clo_gmem_set_attributes(e.gmem, 6 * E_PAGE, E_PAGE, CLO_ATTR_PRIVATE, &at),
		  -EAGAIN);
	CHECK_EQ(at, 6 * E_PAGE);
	/* A dry run says the same. */
	c = eng_range(7, 9, CLO_CONVERT_TO_PRIVATE | CLO_CONVERT_DRY_RUN);
	CHECK_ERR(clo_vm_convert(e.vm, &c), -EAGAIN);
	CHECK_STR(c.holder, "vfio");
	for (unsigned i = 0; i < 16; i++)
		CHECK(!eng_is_private(&e, i));
	/* What lies beside is not concerned. */
	CHECK_OK(eng_convert(&e, 7, 2, CLO_CONVERT_TO_PRIVATE));
	CHECK_ERR(clo_gmem_pin(e.gmem, 6 * E_PAGE, 2 * E_PAGE, "x", &pin, &at), -EFAULT);
	CHECK_EQ(at, 7 * E_PAGE);
	clo_gmem_unpin(other);
	clo_gmem_unpin(pin);
	CHECK_OK(eng_convert(&e, 0, 16, CLO_CONVERT_TO_PRIVATE));
	eng_close(&e);
}

struct unpinner {
	struct clo_gmem *g;
	struct clo_gmem_pin *pin;
	uint32_t checks;
};

/* Checks of pins that have ended. */
static uint32_t checks(struct clo_gmem *g)
{
	return (uint32_t)(clo_a64_get(&clo_gmem_inval(g)->any) >> 32);
}

/* As soon as the conversion has checked the pin once. */
static void *unpin_thread(void *arg)
{
	struct unpinner *u = arg;

	while (checks(u->g) == u->checks)
		clo_relax();
	clo_gmem_unpin(u->pin);
	return NULL;
}

TEST(a_bounded_wait_ends_with_the_unpin)
{
	struct clo_convert c = eng_range(0, 16, CLO_CONVERT_TO_PRIVATE);
	struct unpinner u = { 0 };
	struct clo_gmem_pin *first;
	struct clo_thread t;
	struct eng e;

	eng_open(&e, untyped);
	fill(&e, 0);
	CHECK_OK(clo_gmem_pin(e.gmem, 0, E_PAGE, "disk", &first, NULL));
	/* A wait that is over before it begins. */
	c.wait_ns = 1;
	CHECK_ERR(clo_vm_convert(e.vm, &c), -EAGAIN);
	CHECK_STR(c.holder, "disk");
	c.wait_ns = 1000000;
	CHECK_ERR(clo_vm_convert(e.vm, &c), -EAGAIN);
	u.g = e.gmem;
	u.pin = first;
	u.checks = checks(e.gmem);
	CHECK_OK(clo_thread_create(&t, unpin_thread, &u));
	/* For ever: no sum of it and the clock may wrap. */
	c.wait_ns = UINT64_MAX;
	CHECK_OK(clo_vm_convert(e.vm, &c));
	clo_thread_join(&t);
	CHECK(eng_is_private(&e, 0));
	CHECK_EQ(eng_byte(&e, 15, 0), 16);
	eng_close(&e);
}

TEST(a_dry_run_changes_nothing)
{
	struct clo_vm_stats before = { .size = sizeof(before) };
	struct eng e;

	eng_open(&e, with(CLO_GMEM_ZERO_ON_CONVERT, CLO_VM_TYPED_ACCESS));
	fill(&e, 0);
	before = eng_stats(&e);
	CHECK_OK(eng_convert(&e, 0, 16, CLO_CONVERT_TO_PRIVATE | CLO_CONVERT_DRY_RUN));
	CHECK_EQ(eng_stats(&e).conversions, before.conversions);
	CHECK_EQ(eng_zaps(&e), 0);
	CHECK_EQ(eng_byte(&e, 4, 0), 5);
	CHECK(!eng_is_private(&e, 4));
	CHECK_ERR(eng_convert(&e, 10, 16, CLO_CONVERT_TO_PRIVATE | CLO_CONVERT_DRY_RUN), -ENOENT);
	eng_close(&e);
}

/* Slots 1 and 2 are neighbours by gfn and far apart, and in the other order, in the file. */
TEST(a_range_over_several_slots)
{
	struct eng_config cfg = untyped;
	struct clo_convert c = eng_range(0, 12, CLO_CONVERT_TO_PRIVATE);
	struct clo_gmem_pin *pin;
	struct eng e;

	cfg.no_slot = true;
	eng_open(&e, cfg);
	CHECK_OK(eng_slot(&e, 1, E_GPA, 4, 12));
	CHECK_OK(eng_slot(&e, 2, E_GPA + 4 * E_PAGE, 6, 0));
	for (unsigned i = 0; i < 10; i++)
		CHECK_OK(eng_store(&e, i, 0, (uint8_t)(i + 1)));
	CHECK_ERR(clo_vm_convert(e.vm, &c), -ENOENT);
	CHECK_EQ(c.error_gpa, E_GPA + 10 * E_PAGE);
	CHECK(!eng_is_private(&e, 0));
	CHECK_OK(eng_slot(&e, 3, E_GPA + 11 * E_PAGE, 1, 8));
	CHECK_ERR(clo_vm_convert(e.vm, &c), -ENOENT);
	CHECK_EQ(c.error_gpa, E_GPA + 10 * E_PAGE);
	CHECK_OK(eng_slot(&e, 4, E_GPA + 10 * E_PAGE, 1, 7));
	CHECK_OK(clo_gmem_pin(e.gmem, 2 * E_PAGE, E_PAGE, "gpu", &pin, NULL));
	CHECK_ERR(clo_vm_convert(e.vm, &c), -EAGAIN);
	CHECK_EQ(c.error_gpa, E_GPA + 6 * E_PAGE);
	CHECK_EQ(c.error_offset, 2 * E_PAGE);
	clo_gmem_unpin(pin);
	CHECK_OK(clo_vm_convert(e.vm, &c));
	for (unsigned i = 0; i < 12; i++) {
		CHECK(eng_is_private(&e, i));
		CHECK_EQ(eng_byte(&e, i, 0), i < 10 ? i + 1 : 0);
	}
	/* The file's state goes with the memory, not with the gfn. */
	CHECK_OK(eng_slot_delete(&e, 1));
	CHECK(!eng_is_private(&e, 0));
	CHECK_OK(eng_slot(&e, 1, E_GPA + 20 * E_PAGE, 4, 12));
	CHECK(eng_is_private(&e, 20));
	CHECK_EQ(eng_byte(&e, 20, 0), 1);
	eng_close(&e);
}

TEST(holes_follow_the_pages)
{
	struct eng e;
	uint8_t v;

	eng_open(&e, untyped);
	fill(&e, 0);
	CHECK_OK(clo_vm_set_holes(e.vm, 0, E_GPA + 8 * E_PAGE, 2 * E_PAGE, false));
	CHECK_EQ(eng_load(&e, 8, 0, &v), 1);
	CHECK_EQ(clo_vcpu_exit(e.vcpu)->cause, CLO_CAUSE_HOLE);
	CHECK_OK(eng_convert(&e, 0, 16, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(eng_byte(&e, 8, 0), 9);
	CHECK_OK(eng_convert(&e, 4, 8, 0));
	/* Filled: the guest has asked for the page as shared. */
	CHECK_EQ(eng_byte(&e, 8, 0), 9);
	clo_rcu_read_lock();
	CHECK(clo_slot_is_hole(clo_slots_find(e.vm->slots, 0, clo_gfn(E_GFN)), clo_gfn(E_GFN)));
	CHECK(!clo_slot_is_hole(clo_slots_find(e.vm->slots, 0, clo_gfn(E_GFN)),
				clo_gfn(E_GFN + 4)));
	clo_rcu_read_unlock();
	eng_close(&e);
}

TEST(private_pages_leave_the_direct_map)
{
	struct clo_pagedb_stats s;
	struct eng e;

	eng_open(&e, with(CLO_GMEM_NO_DIRECT_MAP, 0));
	fill(&e, 0);
	CHECK(!(eng_frame(&e, 2).flags & CLO_FRAME_NODIRECT));
	CHECK_OK(eng_convert(&e, 0, 4, CLO_CONVERT_TO_PRIVATE));
	CHECK(eng_frame(&e, 2).flags & CLO_FRAME_NODIRECT);
	clo_pagedb_stats(e.host->db, &s);
	CHECK_EQ(s.frames_nodirect, 4);
	CHECK_OK(eng_convert(&e, 2, 1, 0));
	CHECK(!(eng_frame(&e, 2).flags & CLO_FRAME_NODIRECT));
	CHECK_EQ(eng_byte(&e, 2, 0), 3);
	CHECK_EQ(eng_byte(&e, 1, 0), 2);
	eng_close(&e);
}

/* errno: clo_vm_convert -ENOMEM; clo_gmem_set_attributes -ENOMEM: by the loop's failing allocations
 */
TEST(every_allocation_fails_once)
{
	for (unsigned kvm_call = 0; kvm_call < 2; kvm_call++) {
		int ret = -ENOMEM;

		for (uint64_t n = 1; ret; n++) {
			struct eng_config cfg = with(0, 0);
			struct eng e;

			cfg.pages = 2048;
			eng_open(&e, cfg);
			for (unsigned i = 0; i < 2048; i += 512)
				CHECK_OK(eng_store(&e, i, 0, (uint8_t)(i / 512 + 1)));
			CHECK_OK(eng_convert(&e, 1024, 3, CLO_CONVERT_TO_PRIVATE));
			clo_alloc_fail_at(n);
			ret = kvm_call ? clo_gmem_set_attributes(e.gmem, E_PAGE, 2046 * E_PAGE,
								 CLO_ATTR_PRIVATE, NULL)
				       : eng_convert(&e, 1, 2046, CLO_CONVERT_TO_PRIVATE);
			clo_alloc_fail_at(0);
			if (ret)
				CHECK_ERR(ret, -ENOMEM);
			CHECK_EQ(eng_is_private(&e, 512), ret == 0);
			CHECK(eng_is_private(&e, 1024));
			eng_check(&e);
			for (unsigned i = 0; i < 2048; i += 512)
				CHECK_EQ(eng_byte(&e, i, 0), i / 512 + 1);
			eng_close(&e);
			CHECK(n < 100);
		}
	}
}
