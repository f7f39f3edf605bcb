/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/test_view_seg_explore.c - level UFFD as it ships, on a model of the kernel: what the VMM
 * does to its own mappings (munmap, mmap, mremap) while their pages are hidden, punched and
 * unmapped by the library. Its memory is not touched, and no private byte comes out wherever a view
 * has gone.
 */
#include "view_scene.h"

#include <sys/mman.h>

static void *hide_page(void *arg)
{
	to_private(0);
	return arg;
}

static void *unmap(void *arg)
{
	CHECK_OK(clo_view_unmap(scene.o.vs, scene.v, scene.o.npages, &(struct clo_range){ 0 }));
	return arg;
}

/* Memory of the VMM's own, with a byte in it. */
static void own_memory(uint8_t *at)
{
	CHECK(view_sys_mmap(at, PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
	CHECK_EQ(view_fake_store(at, OWN), 0);
}

static void own_memory_is_there(void)
{
	if (vmm_load(scene.v) != OWN)
		violated("memory of the VMM's is gone");
}

static void *unmap_and_map_own(void *arg)
{
	CHECK_EQ(view_sys_munmap(scene.v, PAGE), 0);
	own_memory(scene.v);
	own_memory_is_there();
	return arg;
}

static void *map_own_over(void *arg)
{
	own_memory(scene.v);
	own_memory_is_there();
	return arg;
}

static const struct play own_after = {
	.pages = 1,
	.bound = 3,
	.in_turn = true,
	.setup = setup_mapped,
	.thread = { unmap_and_map_own, hide_page },
	.finish = own_memory_is_there,
};

static const struct play own_over = {
	.pages = 1,
	.bound = 3,
	.in_turn = true,
	.setup = setup_mapped,
	.thread = { map_own_over, hide_page },
	.finish = own_memory_is_there,
};

TEST(the_vmm_maps_memory_of_its_own)
{
	scene_holds(&own_after);
	scene_holds(&own_over);
	clo_break_set(CLO_BREAK_VIEW_CUT, true);
	scene_fails(&own_after, "memory of the VMM's is gone");
}

/* A view moves, and is looked at where it is now. */
static void *move_and_load(void *arg)
{
	/* The library may have unmapped it already. */
	(void)view_fake_mremap(scene.v, PAGE, PLACE, false);
	(void)vmm_load(PLACE);
	return arg;
}

static void *move_and_leave(void *arg)
{
	(void)view_fake_mremap(scene.v, PAGE, PLACE, true);
	(void)vmm_load(PLACE);
	(void)vmm_load(scene.v);
	return arg;
}

static void moved_is_private(void)
{
	must_refuse(PLACE);
	to_shared(0);
	must_read(PLACE, PUBLIC);
}

static void both_are_private(void)
{
	must_refuse(scene.v);
	moved_is_private();
	must_read(scene.v, PUBLIC);
}

static const struct play moves = {
	.pages = 1,
	.bound = 2,
	.in_turn = true,
	.setup = setup_mapped,
	.thread = { move_and_load, hide_page },
	.finish = moved_is_private,
};

static const struct play moves_and_stays = {
	.pages = 1,
	.bound = 2,
	.in_turn = true,
	.setup = setup_mapped,
	.thread = { move_and_leave, hide_page },
	.finish = both_are_private,
};

TEST(a_view_moves_while_a_page_is_hidden)
{
	scene_holds(&moves);
	scene_holds(&moves_and_stays);
}

/* The page is punched: the frame may be another's, and is not mapped at the new place. */
static void *punch(void *arg)
{
	struct owner *o = &scene.o;
	struct clo_range r = clo_range(0, 1);

	owner_set(o, r, OWNER_TRANSIT);
	CHECK(clo_page_lock(o->db, owner_pfn(o, 0), NULL));
	clo_view_drop(o->vs, r);
	guest_store(0);
	clo_sync_point("guest has it", 0);
	*owner_page(o, 0) = 0;
	clo_page_unlock(o->db, owner_pfn(o, 0));
	owner_free(o, r);
	owner_set(o, r, OWNER_SHARED);
	return arg;
}

static void moved_is_zero(void)
{
	must_read(PLACE, 0);
}

static const struct play moves_hole = {
	.pages = 1,
	.bound = 2,
	.in_turn = true,
	.setup = setup_mapped,
	.thread = { move_and_load, punch },
	.finish = moved_is_zero,
};

TEST(a_view_moves_while_a_page_is_punched)
{
	scene_holds(&moves_hole);
}

/* The view is taken away while it moves: nothing of it is left at the new place. */
static void moved_is_out_of_reach(void)
{
	to_private(0);
	(void)vmm_load(PLACE);
	(void)vmm_load(scene.v);
}

static const struct play moves_unmap = {
	.pages = 1,
	.bound = 2,
	.in_turn = true,
	.setup = setup_mapped,
	.thread = { move_and_load, unmap },
	.finish = moved_is_out_of_reach,
};

static const struct play leaves_unmap = {
	.pages = 1,
	.bound = 2,
	.in_turn = true,
	.setup = setup_mapped,
	.thread = { move_and_leave, unmap },
	.finish = moved_is_out_of_reach,
};

TEST(a_view_moves_while_it_is_taken_away)
{
	scene_holds(&moves_unmap);
	scene_holds(&leaves_unmap);
	clo_break_set(CLO_BREAK_VIEW_MARK, true);
	scene_fails(&moves_unmap, "a private byte is read");
}

/* A touch that waits for the engine while its mapping goes. */
static void *first_load(void *arg)
{
	(void)vmm_load(scene.v);
	return arg;
}

static void *vmm_unmaps(void *arg)
{
	CHECK_EQ(view_sys_munmap(scene.v, PAGE), 0);
	return arg;
}

static void setup_unmade(void)
{
	scene.v = owner_map(&scene.o);
}

static const struct play fault_unmap = {
	.pages = 1,
	.bound = 2,
	.in_turn = true,
	.setup = setup_unmade,
	.thread = { first_load, vmm_unmaps },
};

static const struct play fault_unmap_twice = {
	.pages = 1,
	.bound = 2,
	.in_turn = true,
	.setup = setup_unmade,
	.thread = { first_load, vmm_unmaps, unmap },
};

TEST(a_fault_waits_while_its_mapping_goes)
{
	scene_holds(&fault_unmap);
	CHECK_LT(0, scene.gone);
	CHECK_LT(0, scene.served);
	scene_holds(&fault_unmap_twice);
}

/* Of two pages the first goes, the second is still looked after. */
static void setup_two(void)
{
	setup_mapped();
	CHECK_EQ(view_fake_store(scene.v + PAGE, PUBLIC), 0);
}

static void *hide_second(void *arg)
{
	to_private(1);
	return arg;
}

static void second_is_private(void)
{
	own_memory_is_there();
	must_refuse(scene.v + PAGE);
	to_shared(1);
	must_read(scene.v + PAGE, PUBLIC);
}

static const struct play part = {
	.pages = 2,
	.bound = 2,
	.in_turn = true,
	.setup = setup_two,
	.thread = { unmap_and_map_own, hide_second },
	.finish = second_is_private,
};

TEST(a_part_of_a_view_goes)
{
	scene_holds(&part);
}

/*
 * The window that docs/design/host-view.md admits: while one thread waits in munmap() for the
 * engine to read of it, another maps memory at that very address and writes to it.
 */
static void *vmm_maps_there(void *arg)
{
	void *at = view_sys_mmap(scene.v, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				 -1, 0);

	/* The view is still there. */
	if (at != scene.v)
		return arg;
	CHECK_EQ(view_fake_store(at, OWN), 0);
	own_memory_is_there();
	return arg;
}

static const struct play window = {
	.pages = 1,
	.bound = 3,
	.in_turn = true,
	.setup = setup_mapped,
	.thread = { vmm_unmaps, vmm_maps_there, hide_page },
};

/* And the other: two threads unmap the same, one by the library; the second unmaps what the first
 * has put there. */
static const struct play both_unmap = {
	.pages = 1,
	.bound = 3,
	.in_turn = true,
	.setup = setup_mapped,
	.thread = { unmap_and_map_own, unmap },
	.finish = own_memory_is_there,
};

TEST(what_is_not_kept_out_is_found)
{
	scene_fails(&window, "memory of the VMM's is gone");
	scene_fails(&both_unmap, "memory of the VMM's is gone");
}
