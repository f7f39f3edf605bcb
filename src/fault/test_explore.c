/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault/test_explore.c - a fault that makes its page outside of a read section maps it while a
 * larger leaf takes the place of the page-table page, in every schedule of one preemption.
 */
#include "fault/fault.h"

#include "harness/dfs.h"
#include "harness/engine.h"

static struct eng e;

static void fault(uint64_t page)
{
	struct clo_fault f;
	enum clo_fault_end end;

	for (;;) {
		f = (struct clo_fault){ .gfn = clo_gfn(E_GFN + page), .is_private = true };
		end = clo_fault_handle(e.vm, &f);
		if (end != CLO_FAULT_RETRY)
			break;
		clo_relax();
	}
	CHECK_EQ(end, CLO_FAULT_FIXED);
}

/* As a VM with this hook, every private fault asks it, outside of a read section. */
static int prepare(void *arg, const struct clo_hook_pages *p)
{
	(void)arg, (void)p;
	return 0;
}

static void *small_fault(void *arg)
{
	(void)arg;
	fault(1);
	return NULL;
}

static void *large_fault(void *arg)
{
	(void)arg;
	e.vm->max_level = CLO_LEVEL_2M;
	fault(0);
	return NULL;
}

static void small_and_large(void *arg)
{
	struct eng_config c = { .owner = CLO_ATTR_OWNER_GMEM,
				.gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_HUGETLB,
				.page_order = 9,
				.pages = 512,
				.no_slot = true };
	struct clo_vm_hooks hooks = { .size = sizeof(hooks), .prepare = prepare };
	struct clo_thread t[2];

	(void)arg;
	clo_sched_quiet(true);
	eng_open(&e, c);
	clo_gmem_close(e.gmem);
	CHECK_OK(clo_vm_set_hooks(e.vm, &hooks));
	CHECK_OK(clo_gmem_create(e.vm, e.pages * E_PAGE, c.gmem_flags, 9, &e.gmem));
	CHECK_OK(eng_slot(&e, 0, E_GPA, e.pages, 0));
	/* Page-table pages with nothing in them: a small leaf was there. */
	e.vm->max_level = CLO_LEVEL_4K;
	fault(3);
	CHECK_OK(eng_slot_delete(&e, 0));
	CHECK_OK(eng_slot(&e, 0, E_GPA, e.pages, 0));
	clo_rcu_barrier();
	CHECK_OK(clo_thread_create(&t[0], small_fault, NULL));
	CHECK_OK(clo_thread_create(&t[1], large_fault, NULL));
	clo_sched_quiet(false);
	CHECK_OK(clo_thread_join(&t[0]));
	CHECK_OK(clo_thread_join(&t[1]));
	clo_sched_quiet(true);
	eng_close(&e);
	clo_sched_quiet(false);
}

static bool is_fault_found(void)
{
	static struct dfs dfs;
	bool found;

	dfs = (struct dfs){ .main_fn = small_and_large, .bound = 1 };
	found = dfs_search(&dfs, CLO_SCHED_FAULT);
	test_note("%llu runs, %llu steps; %s", (unsigned long long)dfs.runs,
		  (unsigned long long)dfs.steps, dfs.last.report);
	if (!found)
		CHECK_EQ(dfs.ends[CLO_SCHED_DONE], dfs.runs);
	return found;
}

TEST_TIMEOUT(a_large_leaf_comes_under_a_small_one, 120)
{
	CHECK(!is_fault_found());
}

TEST_TIMEOUT(the_second_read_section_of_a_fault_is_needed, 120)
{
	CHECK(clo_rcu_site_break("fault/fault.c:make_and_map", true));
	CHECK(is_fault_found());
}
