/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explore/test_hooks.c - a trust model's hooks against faults, conversions, holes and close: what
 * was given to the guest is taken back once, before it changes hands, and nothing is given while it
 * does.
 */
#include "explore/test_scene.h"

#include "gmem/gmem.h"
#include "vm/vm.h"

#define FIRST(p) ((p)->gmem_offset / PAGE)

static void found(struct world *w, const char *what)
{
	if (!w->wrong)
		w->wrong = what;
}

/* A stranger that sleeps: others run before and after what it does. */
static int on_prepare(void *arg, const struct clo_hook_pages *p)
{
	struct world *w = arg;

	clo_sync_point("prepare", p->pfn);
	for (uint64_t i = 0; i < p->npages; i++)
		w->held[FIRST(p) + i] = true;
	clo_sync_point("prepared", p->pfn);
	return 0;
}

static void on_invalidate(void *arg, const struct clo_hook_pages *p)
{
	struct world *w = arg;

	clo_sync_point("invalidate", p->pfn);
	for (uint64_t i = 0; i < p->npages; i++) {
		struct clo_pfn pfn = clo_pfn(p->pfn + i);
		enum clo_level level;
		struct clo_gfn gfn;
		uint32_t vm;

		if (!w->held[FIRST(p) + i])
			found(w, "a page was taken back that the guest did not have");
		if (clo_frame_get(w->host->db, pfn).state != CLO_FRAME_PRIVATE)
			found(w, "a page was taken back after it had changed hands");
		if (clo_page_rmap_get(w->host->db, pfn, &level, &vm, &gfn))
			found(w, "a page was taken back that is mapped");
		w->held[FIRST(p) + i] = false;
	}
	clo_sync_point("invalidated", p->pfn);
}

static const struct clo_vm_hooks hooks = {
	.size = sizeof(hooks),
	.prepare = on_prepare,
	.invalidate = on_invalidate,
};

/* The hooks' books and the frames' flags are the same. */
static void look(struct world *w, unsigned self)
{
	(void)self;
	for (uint64_t i = 0; i < PAGES; i++) {
		struct clo_frame_info f = { .state = CLO_FRAME_FREE };
		struct clo_pfn pfn;

		if (w->gmem && clo_gmem_pfn(w->gmem, i, &pfn))
			f = clo_frame_get(w->host->db, pfn);
		if (w->held[i] && f.state != CLO_FRAME_PRIVATE)
			found(w, "the guest still has a page that has changed hands");
		if (w->held[i] != ((f.flags & CLO_FRAME_PREPARED) != 0))
			found(w, "the frame's flag is not what the hooks were told");
	}
}

static const char *books_agree(struct world *w)
{
	for (uint64_t i = 0; i < PAGES; i++) {
		if (w->held[i])
			found(w, "the guest still has a page, and is gone");
	}
	return w->wrong;
}

static const struct scene to_shared = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.hooks = &hooks,
	.setup = set_secret_inside,
	.threads = { do_guest_load, do_to_shared },
	.after = look,
	.judge = books_agree,
};

TEST_TIMEOUT(fault_that_prepares_against_conversion, 120)
{
	scene_holds(&to_shared, 2);
}

TEST_TIMEOUT(conversion_that_takes_nothing_back, 120)
{
	scene_found(&to_shared, 1, CLO_BREAK_INVALIDATE_HOOK, "I1");
}

/* The page is not there yet: it is made while it is converted. */
static const struct scene fresh_to_shared = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.hooks = &hooks,
	.threads = { do_guest_load, do_to_shared },
	.after = look,
	.judge = books_agree,
};

TEST_TIMEOUT(first_fault_that_prepares_against_conversion, 120)
{
	scene_holds(&fresh_to_shared, 1); /* with 2: a minute */
}

static void there_and_back(struct world *w, unsigned self)
{
	do_to_shared(w, self);
	scene_must(w->ret[self]);
	do_to_private(w, self);
	scene_must(w->ret[self]);
}

static const struct scene back_again = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.hooks = &hooks,
	.setup = set_secret_inside,
	.threads = { do_guest_load, there_and_back },
	.after = look,
	.judge = books_agree,
};

TEST_TIMEOUT(fault_that_prepares_against_two_conversions, 120)
{
	scene_holds(&back_again, 1);
}

static const struct scene hole = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.hooks = &hooks,
	.setup = set_secret_inside,
	.threads = { do_guest_load, do_punch },
	.after = look,
	.judge = books_agree,
};

TEST_TIMEOUT(fault_that_prepares_against_hole, 120)
{
	scene_holds(&hole, 1);
}

/* A page that is there and not mapped: the fault is on its way when the change begins. */
static void allocated(struct world *w, unsigned self)
{
	(void)self;
	scene_must(clo_gmem_fallocate(w->gmem, CLO_FALLOC_KEEP_SIZE, 0, (int64_t)PAGE));
}

static const struct scene late_to_shared = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.hooks = &hooks,
	.setup = allocated,
	.threads = { do_guest_load, do_to_shared },
	.after = look,
	.judge = books_agree,
};

TEST_TIMEOUT(fault_on_its_way_against_conversion, 120)
{
	scene_holds(&late_to_shared, 1);
}

TEST_TIMEOUT(fault_that_prepares_what_is_taken_back, 120)
{
	scene_found(&late_to_shared, 2, CLO_BREAK_PREPARE_LATE, "I1 outcome");
}

static const struct scene late_hole = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.hooks = &hooks,
	.setup = allocated,
	.threads = { do_guest_load, do_punch },
	.after = look,
	.judge = books_agree,
};

TEST_TIMEOUT(fault_on_its_way_against_hole, 120)
{
	scene_holds(&late_hole, 1);
}
static void look_into_the_hole(struct world *w, unsigned self)
{
	struct clo_pfn pfn;

	if (clo_gmem_pfn(w->gmem, 0, &pfn) &&
	    clo_frame_get(w->host->db, pfn).state != CLO_FRAME_FREE)
		found(w, "the hole has a page");
	look(w, self);
}

static const struct scene quiet_hole = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.hooks = &hooks,
	.setup = set_secret_inside,
	.threads = { do_punch, do_host_load },
	.after = look_into_the_hole,
	.judge = books_agree,
};

TEST_TIMEOUT(hole_with_nobody_inside, 120)
{
	scene_holds(&quiet_hole, 1);
}

/* The frame is kept rather than given to somebody else. */
TEST_TIMEOUT(hole_that_takes_nothing_back, 120)
{
	scene_found(&quiet_hole, 0, CLO_BREAK_INVALIDATE_HOOK, "outcome");
}

static void do_close(struct world *w, unsigned self)
{
	struct clo_gmem *g = w->gmem;

	clo_gmem_close(g);
	w->gmem = NULL;
	w->ret[self] = 0;
}

static const struct scene closing = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.hooks = &hooks,
	.setup = set_secret_inside,
	.threads = { do_guest_load, do_close },
	.after = look,
	.judge = books_agree,
};

TEST_TIMEOUT(fault_that_prepares_against_close, 120)
{
	scene_holds(&closing, 1);
}

TEST_TIMEOUT(close_that_takes_nothing_back, 120)
{
	scene_found(&closing, 1, CLO_BREAK_INVALIDATE_HOOK, "outcome");
}

/* The memslots are not locked while the private side is taken back. */
static const struct scene two_backings = {
	.owner = CLO_ATTR_OWNER_VM,
	.hooks = &hooks,
	.setup = set_secret_inside,
	.threads = { do_to_shared, do_slot_delete },
	.after = look,
	.judge = books_agree,
};

TEST_TIMEOUT(conversion_between_backings_against_slot_deletion, 120)
{
	scene_holds(&two_backings, 1);
}

static const struct scene two_backings_fault = {
	.owner = CLO_ATTR_OWNER_VM,
	.hooks = &hooks,
	.setup = set_secret_inside,
	.threads = { do_to_shared, do_guest_load },
	.after = look,
	.judge = books_agree,
};

TEST_TIMEOUT(conversion_between_backings_against_a_fault, 120)
{
	scene_holds(&two_backings_fault, 1);
}
