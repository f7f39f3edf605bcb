/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/test_report.c - the leak report, the statistics, and zaps that find nothing left to zap.
 */
#include "vm/vm.h"

#include "harness/engine.h"

static const struct eng_config in_place = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED,
};

TEST(nothing_is_wrong_at_first)
{
	struct clo_leak_report r = { .size = sizeof(r) };
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	CHECK_OK(eng_store(&e, 0, 0, 1));
	CHECK_OK(eng_convert(&e, 4, 4, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&e, 4, 0, 1));
	CHECK_OK(clo_vm_report(e.vm, &r));
	CHECK_EQ(r.backed_twice + r.pins_left + r.frames_lost + r.undo_failures + r.leak_count, 0);
	eng_close(&e);
}

TEST(pages_backed_twice_are_one_entry_a_run)
{
	struct clo_leak_report r = { .size = sizeof(r) };
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	for (unsigned i = 0; i < 16; i++)
		CHECK_OK(eng_store(&e, i, 0, 1));
	CHECK_OK(clo_vm_set_attributes(e.vm, E_GPA, 16 * E_PAGE, CLO_ATTR_PRIVATE));
	for (unsigned i = 2; i < 9; i++) {
		if (i != 5)
			CHECK_OK(eng_store(&e, i, 0, 1));
	}
	CHECK_OK(clo_vm_report(e.vm, &r));
	CHECK_EQ(r.backed_twice, 6);
	CHECK_EQ(r.leak_count, 2);
	CHECK_EQ(r.leaks[0].kind, CLO_LEAK_BACKED_TWICE);
	CHECK_EQ(r.leaks[0].gpa, E_GPA + 2 * E_PAGE);
	CHECK_EQ(r.leaks[0].npages, 3);
	CHECK_EQ(r.leaks[1].gpa, E_GPA + 6 * E_PAGE);
	CHECK_STR(r.leaks[1].holder, "");
	/* What the VMM frees, as KVM wants it, is gone from the report. */
	CHECK_EQ(madvise(e.user, 16 * E_PAGE, MADV_REMOVE), 0);
	CHECK_OK(clo_vm_report(e.vm, &r));
	CHECK_EQ(r.backed_twice + r.leak_count, 0);
	eng_close(&e);
}

TEST(more_entries_than_there_is_room_for_are_counted)
{
	struct eng_config c = { .pages = 1200 };
	struct clo_leak_report r = { .size = sizeof(r) };
	struct eng e;

	eng_open(&e, c);
	for (unsigned i = 0; i < 1200; i += 10)
		CHECK_OK(eng_store(&e, i, 0, 1));
	CHECK_OK(clo_vm_set_attributes(e.vm, E_GPA, 1200 * E_PAGE, CLO_ATTR_PRIVATE));
	for (unsigned i = 0; i < 1200; i += 10)
		CHECK_OK(eng_store(&e, i, 0, 1));
	CHECK_OK(clo_vm_report(e.vm, &r));
	CHECK_EQ(r.backed_twice, 120);
	CHECK_EQ(r.leak_count, 16);
	CHECK_EQ(r.leaks[15].gpa, E_GPA + 150 * E_PAGE);
	eng_close(&e);
}

TEST(pins_left_leak_their_frames)
{
	struct clo_gmem_pin *a, *b;
	struct clo_leak_report r = { .size = sizeof(r) };
	struct clo_host_stats s = { .size = sizeof(s) };
	struct eng e;

	eng_open(&e, in_place);
	CHECK_OK(clo_gmem_pin(e.gmem, 2 * E_PAGE, 2 * E_PAGE, "vfio0", &a, NULL));
	CHECK_OK(clo_gmem_pin(e.gmem, 3 * E_PAGE, E_PAGE,
			      "a holder whose name is longer than the room", &b, NULL));
	CHECK_OK(clo_vm_report(e.vm, &r));
	CHECK_EQ(r.pins_left, 3);
	CHECK_EQ(r.leak_count, 2);
	CHECK_EQ(r.leaks[0].kind, CLO_LEAK_PINNED);
	CHECK_STR(r.leaks[0].holder, "vfio0");
	CHECK_STR(r.leaks[1].holder, "a holder whose name is longer t");
	clo_vm_destroy(e.vm, &r);
	CHECK_EQ(r.pins_left, 3);
	CHECK_OK(clo_host_stats(e.host, &s));
	CHECK_EQ(s.frames_leaked, 2);
	CHECK_EQ(s.frames_used, 2);
	/* The pins outlive their VM. */
	clo_gmem_unpin(a);
	CHECK_OK(clo_host_stats(e.host, &s));
	CHECK_EQ(s.frames_leaked, 1);
	clo_gmem_unpin(b);
	CHECK_OK(clo_host_stats(e.host, &s));
	CHECK_EQ(s.frames_leaked, 0);
	CHECK_EQ(s.frames_used, 0);
	CHECK_OK(clo_host_destroy(e.host));
	CHECK_EQ(clo_alloc_live(), e.live);
}

TEST(statistics)
{
	struct clo_vm_stats s = { .size = sizeof(s) };
	struct eng e;

	eng_open(&e, in_place);
	CHECK_OK(eng_store(&e, 0, 0, 1));
	CHECK_OK(eng_store(&e, 0, 0, 1));
	CHECK_EQ(eng_store(&e, 20, 0, 1), 1);
	CHECK_OK(eng_convert(&e, 0, 16, CLO_CONVERT_TO_PRIVATE));
	CHECK_ERR(eng_convert(&e, 0, 20, CLO_CONVERT_TO_PRIVATE), -ENOENT);
	s = eng_stats(&e);
	CHECK_EQ(s.faults, 2);
	CHECK_EQ(s.faults_fixed, 1);
	CHECK_EQ(s.fault_exits, 1);
	CHECK_EQ(s.conversions, 1);
	CHECK_EQ(s.converted_pages, 16);
	CHECK_EQ(s.conversions_failed, 1);
	CHECK_EQ(s.moved_leaves, 1);
	CHECK(s.table_pages >= 2);
	CHECK_OK(eng_punch(&e, 0, 16));
	CHECK_EQ(eng_stats(&e).zaps[CLO_ZAP_PUNCH], 1);
	CHECK_OK(eng_store(&e, 1, 0, 1));
	CHECK_OK(eng_slot_delete(&e, 0));
	CHECK_EQ(eng_stats(&e).zaps[CLO_ZAP_SLOT], 1);
	CHECK_OK(eng_slot(&e, 0, E_GPA, 16, 0));
	CHECK_OK(eng_store(&e, 1, 0, 1));
	clo_gmem_close(e.gmem);
	CHECK_EQ(eng_stats(&e).zaps[CLO_ZAP_RELEASE], 1);
	CHECK_EQ(eng_stats(&e).shootdowns, 3);
	/* Nothing is mapped any more: no vCPU is disturbed for nothing. */
	CHECK_OK(eng_slot_delete(&e, 0));
	CHECK_EQ(eng_stats(&e).shootdowns, 3);
	for (unsigned i = 0; i < CLO_ZAP_REASON_COUNT; i++)
		CHECK(clo_zap_reason_text(i) != NULL);
	CHECK(clo_zap_reason_text(CLO_ZAP_REASON_COUNT) == NULL);
	CHECK_EQ(strncmp(clo_version(), "0.", 2), 0);
	eng_close(&e);
}

/* I5: the leaf was taken by a changer that has not shot it down yet. Who comes next and finds
 * nothing must not return before the translation is dead. */
TEST(a_zap_that_finds_nothing_flushes_what_others_have_zapped)
{
	struct clo_range r = clo_range(E_GFN, E_GFN + 16);
	struct eng e;

	eng_open(&e, in_place);
	CHECK_OK(eng_store(&e, 3, 0, 1));
	clo_inval_begin(&e.vm->mmu.inval, r);
	CHECK_EQ(clo_vm_zap(e.vm, r, CLO_SPACES_ALL, CLO_ZAP_PUNCH), 1);
	CHECK_OK(eng_slot_delete(&e, 0));
	clo_inval_end(&e.vm->mmu.inval, r);
	CHECK_EQ(eng_stats(&e).shootdowns, 1);
	CHECK_EQ(eng_store(&e, 3, 0, 1), 1); /* not by the old translation */
	eng_close(&e);
}

TEST(a_file_closed_while_bound)
{
	struct clo_gmem *second;
	struct eng e;
	uint8_t v;

	eng_open(&e, in_place);
	CHECK_OK(clo_gmem_create(e.vm, E_PAGE, 0, 0, &second));
	CHECK_OK(eng_store(&e, 0, 0, 1));
	clo_gmem_close(second);
	CHECK_OK(eng_store(&e, 0, 0, 1));
	clo_gmem_close(e.gmem);
	CHECK_ERR(eng_load(&e, 0, 0, &v), -EFAULT);
	CHECK_EQ(eng_frames(&e), 0);
	CHECK_OK(eng_slot_delete(&e, 0));
	CHECK_EQ(eng_load(&e, 0, 0, &v), 1);
	eng_close(&e);
}

TEST(pins_that_no_memslot_shows_are_reported)
{
	struct clo_leak_report r = { .size = sizeof(r) };
	struct clo_gmem *second;
	struct clo_gmem_pin *p;
	struct eng e;

	eng_open(&e, in_place);
	CHECK_OK(clo_gmem_create(e.vm, 8 * E_PAGE, CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED, 0,
				 &second));
	CHECK_OK(clo_gmem_pin(second, 2 * E_PAGE, 3 * E_PAGE, "vhost", &p, NULL));
	CHECK_OK(clo_vm_report(e.vm, &r));
	CHECK_EQ(r.pins_left, 3);
	CHECK_EQ(r.leak_count, 1);
	CHECK_EQ(r.leaks[0].gpa, CLO_NO_GPA);
	CHECK_EQ(r.leaks[0].npages, 3);
	CHECK_STR(r.leaks[0].holder, "vhost");
	clo_gmem_unpin(p);
	eng_close(&e);
}

/* A VMM closes its files, then destroys the VM: what it forgot to unpin is in the report still. */
TEST(frames_lost_by_a_close_are_reported)
{
	struct clo_leak_report r = { .size = sizeof(r) };
	struct clo_gmem_pin *p;
	struct clo_host_stats s = { .size = sizeof(s) };
	struct eng e;

	eng_open(&e, in_place);
	CHECK_OK(clo_gmem_pin(e.gmem, 4 * E_PAGE, 2 * E_PAGE, "vfio0", &p, NULL));
	clo_gmem_close(e.gmem);
	clo_vm_destroy(e.vm, &r);
	CHECK_OK(clo_host_stats(e.host, &s));
	CHECK_EQ(s.frames_leaked, 2);
	CHECK_EQ(s.frames_used, 2);
	CHECK_EQ(r.pins_left, 0);
	CHECK_EQ(r.frames_lost, 2);
	CHECK_EQ(r.leak_count, 1);
	CHECK_EQ(r.leaks[0].gpa, CLO_NO_GPA);
	CHECK_EQ(r.leaks[0].npages, 2);
	CHECK_EQ(r.leaks[0].kind, CLO_LEAK_FRAME_LOST);
	CHECK_STR(r.leaks[0].holder, "vfio0");
	/* Late, but the host is there: the frames come back. */
	clo_gmem_unpin(p);
	CHECK_OK(clo_host_stats(e.host, &s));
	CHECK_EQ(s.frames_leaked, 0);
	CHECK_EQ(s.frames_used, 0);
	CHECK_OK(clo_host_destroy(e.host));
	CHECK_EQ(clo_alloc_live(), e.live);
}

/* Two holders of a closed file: the report says what is lost now, and by whom. */
TEST(a_late_unpin_ends_the_loss)
{
	struct clo_gmem_pin *first, *second;
	struct clo_leak_report r = { .size = sizeof(r) };
	struct clo_host_stats s = { .size = sizeof(s) };
	struct eng e;

	eng_open(&e, in_place);
	CHECK_OK(clo_gmem_pin(e.gmem, 4 * E_PAGE, 2 * E_PAGE, "vfio0", &first, NULL));
	CHECK_OK(clo_gmem_pin(e.gmem, 5 * E_PAGE, 2 * E_PAGE, "vhost", &second, NULL));
	clo_gmem_close(e.gmem);
	CHECK_OK(clo_vm_report(e.vm, &r));
	CHECK_EQ(r.frames_lost, 3);
	clo_gmem_unpin(first);
	CHECK_OK(clo_vm_report(e.vm, &r));
	CHECK_EQ(r.frames_lost, 2);
	CHECK_EQ(r.leak_count, 1);
	CHECK_STR(r.leaks[0].holder, "vhost");
	CHECK_OK(clo_host_stats(e.host, &s));
	CHECK_EQ(s.frames_leaked, 2);
	clo_gmem_unpin(second);
	/* Refused before the look at the file, which is its last. */
	r.size = 3;
	CHECK_ERR(clo_vm_report(e.vm, &r), -EINVAL);
	CHECK(e.vm->lossy != NULL);
	r.size = sizeof(r);
	CHECK_OK(clo_vm_report(e.vm, &r));
	CHECK(e.vm->lossy == NULL);
	CHECK_EQ(r.frames_lost, 0);
	CHECK_EQ(r.leak_count, 0);
	clo_vm_destroy(e.vm, &r);
	CHECK_OK(clo_host_stats(e.host, &s));
	CHECK_EQ(s.frames_used, 0);
	CHECK_OK(clo_host_destroy(e.host));
	CHECK_EQ(clo_alloc_live(), e.live);
}

/* Would take minutes if empty pages were looked at one by one. */
TEST(a_sparse_guest_is_reported_at_once)
{
	struct eng_config c = in_place;
	struct clo_leak_report r = { .size = sizeof(r) };
	struct clo_gmem_pin *p;
	struct eng e;

	c.pages = (1ULL << 40) / E_PAGE;
	eng_open(&e, c);
	CHECK_OK(eng_store(&e, 0, 0, 1));
	CHECK_OK(clo_gmem_pin(e.gmem, (1ULL << 40) - E_PAGE, E_PAGE, "vfio0", &p, NULL));
	for (unsigned i = 0; i < 1000; i++)
		CHECK_OK(clo_vm_report(e.vm, &r));
	CHECK_EQ(r.pins_left, 1);
	CHECK_EQ(r.leaks[0].gpa, E_GPA + (1ULL << 40) - E_PAGE);
	clo_gmem_unpin(p);
	eng_close(&e);
}
