/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/test_view_uffd_explore.c - level UFFD as it ships, on a model of the kernel, under all
 * schedules with few preemptions: pages that are hidden, shown and punched, mappings that are made
 * and taken away, while the VMM touches. What the VMM does to its own mappings is in
 * test_view_seg_explore.c.
 */
#include "view_scene.h"

/* The second view of a run is there. */
#define NEXT_VIEW ((uint8_t *)(18ULL << 40) + (2U << 20))

static void *load_twice(void *arg)
{
	(void)vmm_load(scene.v);
	(void)vmm_load(scene.v);
	return arg;
}

static void *hide_page(void *arg)
{
	to_private(0);
	return arg;
}

static void *show_page(void *arg)
{
	to_shared(0);
	return arg;
}

static void private_at_the_end(void)
{
	must_refuse(scene.v);
	must_refuse(scene.v);
	to_shared(0);
	must_read(scene.v, PUBLIC);
}

static void shared_at_the_end(void)
{
	must_read(scene.v, PUBLIC);
}

static const struct play hide = {
	.pages = 1,
	.bound = 5,
	.in_turn = true,
	.setup = setup_mapped,
	.thread = { load_twice, hide_page },
	.finish = private_at_the_end,
};

static const struct play show = {
	.pages = 1,
	.bound = 4,
	.in_turn = true,
	.setup = setup_private,
	.thread = { load_twice, show_page },
	.finish = shared_at_the_end,
};

TEST(a_page_is_hidden)
{
	scene_holds(&hide);
	CHECK_LT(0, scene.served);
	CHECK_LT(0, scene.refused);
}

TEST(a_page_is_shown)
{
	scene_holds(&show);
	CHECK_LT(0, scene.served);
	CHECK_LT(0, scene.refused);
}

/* A private page that never had a folio, in a new mapping, where it has no poison: the engine
 * refuses it; show takes poison away, and nothing else. */
static void setup_private_empty(void)
{
	CHECK_OK(owner_convert(&scene.o, clo_range(0, 1), true));
	scene.v = owner_map(&scene.o);
}

static void *show_empty(void *arg)
{
	CHECK_OK(owner_convert(&scene.o, clo_range(0, 1), false));
	return arg;
}

static void zero_at_the_end(void)
{
	must_read(scene.v, 0);
}

static const struct play empty_show = {
	.pages = 1,
	.bound = 3,
	.in_turn = true,
	.setup = setup_private_empty,
	.thread = { load_twice, show_empty },
	.finish = zero_at_the_end,
};

TEST(a_page_without_content_is_shown)
{
	scene_holds(&empty_show);
	clo_break_set(CLO_BREAK_VIEW_REFUSE, true);
	scene_fails(&empty_show, "a shared page cannot be read");
}

TEST(missing_alone_does_not_keep_out)
{
	clo_break_set(CLO_BREAK_VIEW_MINOR, true);
	scene_fails(&hide, "a private byte is read");
}

/* There and back, with a toucher that meets all of it. */
static void *there_and_back(void *arg)
{
	to_private(0);
	to_shared(0);
	return arg;
}

static const struct play convert = {
	.pages = 1,
	.bound = 4,
	.in_turn = true,
	.setup = setup_mapped,
	.thread = { load_twice, there_and_back },
	.finish = shared_at_the_end,
};

TEST(there_and_back_again)
{
	scene_holds(&convert);
}

/* Two pages in one call: POISON and CONTINUE are page by page. */
static void setup_two(void)
{
	setup_mapped();
	CHECK_EQ(view_fake_store(scene.v + PAGE, PUBLIC), 0);
}

static void *load_second(void *arg)
{
	(void)vmm_load(scene.v + PAGE);
	(void)vmm_load(scene.v + PAGE);
	return arg;
}

static void *two_there_and_back(void *arg)
{
	CHECK_OK(owner_convert(&scene.o, clo_range(0, 2), true));
	guest_store(0);
	guest_store(1);
	*owner_page(&scene.o, 0) = PUBLIC;
	*owner_page(&scene.o, 1) = PUBLIC;
	CHECK_OK(owner_convert(&scene.o, clo_range(0, 2), false));
	return arg;
}

static void both_at_the_end(void)
{
	must_read(scene.v, PUBLIC);
	must_read(scene.v + PAGE, PUBLIC);
}

static const struct play two_pages = {
	.pages = 2,
	.bound = 3,
	.in_turn = true,
	.setup = setup_two,
	.thread = { load_second, two_there_and_back },
	.finish = both_at_the_end,
};

TEST(two_pages_in_one_call)
{
	scene_holds(&two_pages);
}

/* A hole: what was there is gone, and the next touch makes a new page. */
static void *punch(void *arg)
{
	owner_punch(&scene.o, clo_range(0, 1));
	return arg;
}

static const struct play hole = {
	.pages = 1,
	.bound = 3,
	.in_turn = true,
	.setup = setup_mapped,
	.thread = { load_twice, punch },
	.finish = zero_at_the_end,
};

TEST(a_hole_is_punched)
{
	scene_holds(&hole);
}

/* A mapping is made of a page that is private, by a VMM with mlockall(MCL_FUTURE); a stray touch
 * knows where. */

static void *stray(void *arg)
{
	(void)vmm_load(NEXT_VIEW);
	(void)vmm_load(NEXT_VIEW);
	return arg;
}

static void *map(void *arg)
{
	scene.v = owner_map(&scene.o);
	CHECK(scene.v == NEXT_VIEW);
	return arg;
}

static void setup_unmapped_shared(void)
{
	setup_mapped();
	CHECK_OK(clo_view_unmap(scene.o.vs, scene.v, 1, &(struct clo_range){ 0 }));
	scene.v = NULL;
}

static void setup_unmapped_private(void)
{
	setup_unmapped_shared();
	to_private(0);
	view_fake_populate(true);
}

static const struct play new_private = {
	.pages = 1,
	.bound = 4,
	.in_turn = true,
	.setup = setup_unmapped_private,
	.thread = { stray, map },
	.finish = private_at_the_end,
};

/* The same of a shared page, which must be readable at last. */
static const struct play new_shared = {
	.pages = 1,
	.bound = 4,
	.in_turn = true,
	.setup = setup_unmapped_shared,
	.thread = { stray, map },
	.finish = shared_at_the_end,
};

TEST(a_mapping_is_made)
{
	scene_holds(&new_private);
	scene_holds(&new_shared);
	clo_break_set(CLO_BREAK_VIEW_OPEN, true);
	scene_fails(&new_private, "a private byte is read");
	clo_break_set(CLO_BREAK_VIEW_LINK, true);
	scene_fails(&new_shared, "a shared page cannot be read");
}

/* A mapping goes while its page is hidden, and is touched. */
static void *unmap(void *arg)
{
	CHECK_OK(clo_view_unmap(scene.o.vs, scene.v, scene.o.npages, &(struct clo_range){ 0 }));
	return arg;
}

static const struct play gone = {
	.pages = 1,
	.bound = 1,
	.setup = setup_mapped,
	.thread = { load_twice, hide_page, unmap },
};

TEST(a_mapping_is_taken_away)
{
	scene_holds(&gone);
	CHECK_LT(0, scene.gone);
	clo_break_set(CLO_BREAK_VIEW_DETACH, true);
	scene_fails(&gone, "a private byte is read");
}

/* Two mappings of the file: hide reaches both. */
static void setup_mapped_twice(void)
{
	setup_mapped();
	scene.v2 = owner_map(&scene.o);
}

static void *load_both(void *arg)
{
	(void)vmm_load(scene.v2);
	(void)vmm_load(scene.v);
	(void)vmm_load(scene.v2);
	return arg;
}

static void both_views(void)
{
	must_refuse(scene.v2);
	must_refuse(scene.v);
	to_shared(0);
	must_read(scene.v2, PUBLIC);
	must_read(scene.v, PUBLIC);
}

static const struct play twice = {
	.pages = 1,
	.bound = 2,
	.in_turn = true,
	.setup = setup_mapped_twice,
	.thread = { load_both, hide_page },
	.finish = both_views,
};

TEST(a_page_is_mapped_twice)
{
	scene_holds(&twice);
}

/* Two threads meet a page that has no frame. */
static void setup_unmade(void)
{
	scene.v = owner_map(&scene.o);
}

static void *must_load(void *arg)
{
	must_read(scene.v, 0);
	return arg;
}

static const struct play first_touch = {
	.pages = 1,
	.bound = 3,
	.in_turn = true,
	.setup = setup_unmade,
	.thread = { must_load, must_load },
};

TEST(a_first_touch_by_two)
{
	scene_holds(&first_touch);
	CHECK_EQ(scene.refused, 0);
}

/* No memory for a moment: the page is refused, and later it is not. */
static void *load_once(void *arg)
{
	(void)vmm_load(scene.v);
	return arg;
}

static void *memory_comes_back(void *arg)
{
	clo_a32_set(&scene.o.fail, 0);
	return arg;
}

static void setup_no_memory(void)
{
	setup_unmade();
	clo_a32_set(&scene.o.fail, ENOMEM);
}

static void served_at_last(void)
{
	while (vmm_load(scene.v) < 0)
		clo_relax();
}

static const struct play no_memory = {
	.pages = 1,
	.bound = 3,
	.in_turn = true,
	.setup = setup_no_memory,
	.thread = { load_once, memory_comes_back },
	.finish = served_at_last,
};

TEST(no_memory_for_a_moment)
{
	scene_holds(&no_memory);
	CHECK_LT(0, scene.refused);
}

/* A page that stays in transition for longer than the engine asks. */
static void *transition_ends(void *arg)
{
	for (unsigned i = 0; i < 20; i++) {
		clo_sync_point("transition", i);
		clo_relax();
	}
	clo_a32_set(&scene.o.fail, 0);
	return arg;
}

static void setup_transition(void)
{
	setup_unmade();
	clo_a32_set(&scene.o.fail, EAGAIN);
}

static const struct play transition = {
	.pages = 1,
	.bound = 0,
	.setup = setup_transition,
	.thread = { must_load, transition_ends },
};

TEST(a_long_transition)
{
	scene_holds(&transition);
	clo_break_set(CLO_BREAK_VIEW_WAKE, true);
	scene_fails(&transition, NULL);
}
