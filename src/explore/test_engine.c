/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explore/test_engine.c - faults against conversions, holes and memslots, every interleaving with
 * few preemptions; and for each check that matters, the switch that removes it and the violation
 * that must then be found.
 */
#include "explore/test_scene.h"

static const struct scene fault_convert = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.vm_flags = CLO_VM_TYPED_ACCESS,
	.gmem_flags = CLO_GMEM_MMAP,
	.threads = { do_guest_load, do_to_shared },
};

TEST_TIMEOUT(fault_against_conversion_in_place, 120)
{
	scene_holds(&fault_convert, 2);
}

TEST_TIMEOUT(fault_against_conversion_without_sequence_check, 120)
{
	scene_found(&fault_convert, 2, CLO_BREAK_INVAL_SEQ, "I5 I1");
}

static const struct scene fault_convert_untyped = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.threads = { do_guest_load, do_to_shared },
};

TEST_TIMEOUT(fault_against_conversion_in_place_untyped, 120)
{
	scene_holds(&fault_convert_untyped, 1); /* with 2: 17 s */
}

static const struct scene fault_convert_backings = {
	.owner = CLO_ATTR_OWNER_VM,
	.setup = set_private,
	.threads = { do_guest_load, do_to_shared },
};

TEST_TIMEOUT(fault_against_conversion_two_backings, 120)
{
	scene_holds(&fault_convert_backings, 1); /* with 2: minutes */
}

TEST_TIMEOUT(fault_against_conversion_two_backings_without_sequence_check, 120)
{
	scene_found(&fault_convert_backings, 2, CLO_BREAK_INVAL_SEQ, "I5 I1");
}

static const struct scene fault_punch = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.setup = set_secret_inside,
	.threads = { do_guest_load, do_punch },
};

TEST_TIMEOUT(fault_against_punch_hole, 120)
{
	scene_holds(&fault_punch, 1); /* with 2: 20 s */
}

TEST_TIMEOUT(punch_hole_that_frees_before_the_zap, 120)
{
	scene_found(&fault_punch, 2, CLO_BREAK_FREE_BEFORE_ZAP, "I5 I1 I3");
}

static const struct scene fresh_fault_punch = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.threads = { do_guest_load, do_punch },
};

TEST_TIMEOUT(first_fault_against_punch_hole, 120)
{
	scene_holds(&fresh_fault_punch, 1); /* with 2: 17 s */
}

TEST_TIMEOUT(first_fault_against_punch_hole_without_sequence_check, 120)
{
	scene_found(&fresh_fault_punch, 2, CLO_BREAK_INVAL_SEQ, "I5 I1");
}

static const struct scene fault_delete = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.threads = { do_guest_load, do_slot_delete },
};

TEST_TIMEOUT(fault_against_slot_deletion, 120)
{
	scene_holds(&fault_delete, 1); /* with 2: 15 s */
}

/* A grace period alone is not enough: a fault leaves its read section to make the page. */
TEST_TIMEOUT(fault_against_slot_deletion_without_sequence_check, 120)
{
	scene_found(&fault_delete, 1, CLO_BREAK_INVAL_SEQ, "I5 I1");
}

TEST_TIMEOUT(fault_against_slot_deletion_without_grace_period, 120)
{
	scene_found(&fault_delete, 2, CLO_BREAK_SLOT_SYNC, "I5 I1");
}

TEST_TIMEOUT(zap_without_shoot_down, 120)
{
	scene_found(&fault_punch, 2, CLO_BREAK_TLB_FLUSH, "I5 I1");
}

TEST_TIMEOUT(shoot_down_that_does_not_wait, 120)
{
	scene_found(&fault_punch, 2, CLO_BREAK_TLB_WAIT, "I5 I1");
}

TEST_TIMEOUT(zap_that_does_not_wait_for_frozen_entries, 120)
{
	scene_found(&fault_convert, 3, CLO_BREAK_FROZEN_WAIT, "I5 I1");
}

#ifndef CLO_SANITIZED /* AddressSanitizer ends the program at a read of freed memory */
/* A file that is closed is off the VM's list, and still behind its memslot: the report walks it. */
static void do_report(struct world *w, unsigned self)
{
	struct clo_leak_report r = { .size = sizeof(r) };

	w->ret[self] = clo_vm_report(w->vm, &r);
}

static void do_close(struct world *w, unsigned self)
{
	clo_gmem_close(w->gmem);
	w->ret[self] = 0;
}

static const struct scene report_close = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.setup = set_secret_inside,
	.threads = { do_report, do_close },
};

TEST_TIMEOUT(report_beside_close, 120)
{
	scene_holds(&report_close, 2);
	scene_needs_section(&report_close, 2, "vm/report.c:clo_vm_report");
}
#endif
