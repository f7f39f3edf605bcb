/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explore/test_conv.c - conversions against host, devices and each other; preparation, every
 * interleaving with few preemptions; and for each check that matters, the switch that removes it
 * and the violation that must then be found.
 */
#include "explore/test_scene.h"

#include <errno.h>

static const char *never_stale(struct world *w)
{
	return w->value[0] == SECRET && w->ret[0] == 0
		       ? "the host read the guest's secret after the zeroing policy"
		       : NULL;
}

static const struct scene host_against_zeroing = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_ZERO_ON_CONVERT,
	.setup = set_secret_inside,
	.threads = { do_host_load, do_to_shared },
	.judge = never_stale,
};

TEST_TIMEOUT(host_touch_against_conversion_that_zeroes, 120)
{
	scene_holds(&host_against_zeroing, 2);
}

TEST_TIMEOUT(conversion_that_forgets_to_zero, 120)
{
	scene_found(&host_against_zeroing, 2, CLO_BREAK_ZERO, "outcome");
}

static const char *kept(struct world *w)
{
	return w->ret[0] == 0 && w->value[0] != SECRET ? "content was lost" : NULL;
}

/* The memslot goes and comes back: with its leaf in the table and in the TLB, a load and a
 * conversion in place have nothing in common. */
static void secret_not_mapped(struct world *w, unsigned self)
{
	set_secret_inside(w, self);
	do_slot_delete(w, self);
	scene_slot(w);
}

static const struct scene preserve = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.setup = secret_not_mapped,
	.threads = { do_guest_load, do_to_shared },
	.judge = kept,
};

TEST_TIMEOUT(conversion_keeps_content, 120)
{
	scene_holds(&preserve, 2);
}

TEST_TIMEOUT(conversion_that_clears_content, 120)
{
	scene_found(&preserve, 2, CLO_BREAK_PRESERVE, "outcome");
}

static void shared_at_first(struct world *w, unsigned self)
{
	(void)self;
	scene_must(scene_convert(w, false));
}

static const struct scene pin_against_private = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.setup = shared_at_first,
	.threads = { do_pin, do_to_private },
};

TEST_TIMEOUT(pin_against_conversion_to_private, 120)
{
	scene_holds(&pin_against_private, 2);
}

TEST_TIMEOUT(conversion_that_ignores_pins, 120)
{
	scene_found(&pin_against_private, 2, CLO_BREAK_PIN_CHECK, "I2");
}

static void shared_and_shown(struct world *w, unsigned self)
{
	shared_at_first(w, self);
	do_host_load(w, self);
	scene_must(w->ret[self]);
}

static const struct scene host_against_private = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.setup = shared_and_shown,
	.threads = { do_host_load, do_to_private },
};

TEST_TIMEOUT(host_touch_against_conversion_to_private, 120)
{
	scene_holds(&host_against_private, 2);
}

TEST_TIMEOUT(conversion_that_leaves_the_host_view, 120)
{
	scene_found(&host_against_private, 2, CLO_BREAK_VIEW_ZAP, "I2");
}

/* Page 0 shared, page 1 private: each conversion of both pages changes one of them. */
static void mixed(struct world *w, unsigned self)
{
	uint64_t v;

	shared_and_shown(w, self);
	scene_must(clo_vcpu_access(w->vcpu[0], GPA + PAGE, &v, 8, 0));
}

static int convert_two(struct world *w, bool do_to_private)
{
	struct clo_convert c = { .size = sizeof(c),
				 .flags = do_to_private ? CLO_CONVERT_TO_PRIVATE : 0,
				 .gpa = GPA,
				 .bytes = 2 * PAGE };

	return clo_vm_convert(w->vm, &c);
}

static void two_to_private(struct world *w, unsigned self)
{
	w->ret[self] = convert_two(w, true);
}

static void two_to_shared(struct world *w, unsigned self)
{
	w->ret[self] = convert_two(w, false);
}

static const struct scene two_conversions = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.setup = mixed,
	.threads = { two_to_private, two_to_shared },
};

TEST_TIMEOUT(two_conversions_that_overlap, 120)
{
	scene_holds(&two_conversions, 1); /* with 2: 10 s */
}

TEST_TIMEOUT(two_conversions_without_range_lock, 120)
{
	scene_found(&two_conversions, 2, CLO_BREAK_RANGE_LOCK, "I6 I2 I5 I7");
}

/* Mail 3: the attribute moves between the two reads of a fault. The access ends in an exit, never
 * in a loop. */
static const char *ended(struct world *w)
{
	return w->ret[0] == 0 || w->ret[0] == -EFAULT
		       ? NULL
		       : "the fault ended in neither a mapping nor an exit";
}

static const struct scene mismatch = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.vm_flags = CLO_VM_TYPED_ACCESS,
	.gmem_flags = CLO_GMEM_MMAP,
	.threads = { do_guest_load_shared, do_to_private },
	.setup = shared_at_first,
	.judge = ended,
};

TEST_TIMEOUT(mismatch_is_an_exit, 120)
{
	scene_holds(&mismatch, 1); /* with 2: 20 s */
}

TEST_TIMEOUT(mismatch_that_is_retried_hangs, 120)
{
	scene_found(&mismatch, 2, CLO_BREAK_MISMATCH_RETRY, "I7");
}

/* Mail 4: two vCPUs meet one folio that is not ready. */
static const char *prepared_once(struct world *w)
{
	if (w->ret[0] == 0 && w->value[0] != SECRET + 1)
		return "the folio was prepared again under a vCPU that had stored to it";
	if (w->ret[1] == 0 && w->value[1] != 0 && w->value[1] != SECRET + 1)
		return "a vCPU saw bytes of an earlier owner";
	return NULL;
}

static void store_and_load(struct world *w, unsigned self)
{
	uint64_t v = SECRET + 1;

	w->ret[self] =
		clo_vcpu_access(w->vcpu[self], GPA, &v, 8, CLO_ACCESS_PRIVATE | CLO_ACCESS_WRITE);
	if (w->ret[self] == 0)
		do_guest_load(w, self);
}

static void dirty_frame(struct world *w, unsigned self)
{
	set_secret_inside(w, self);
	do_punch(w, self);
	scene_must(w->ret[self]);
}

static const struct scene prepare_race = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.setup = dirty_frame,
	.threads = { store_and_load, do_guest_load },
	.judge = prepared_once,
};

TEST_TIMEOUT(two_faults_prepare_one_folio, 120)
{
	scene_holds(&prepare_race, 2);
}

TEST_TIMEOUT(preparation_without_folio_lock, 120)
{
	scene_found(&prepare_race, 2, CLO_BREAK_PREPARE_LOCK, "outcome I3");
}
