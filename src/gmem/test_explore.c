/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/test_explore.c - a file under every schedule of few preemptions: a fault against a hole, a
 * conversion, the close and another fault; a host touch and a pin against a hole. After each step
 * the state is judged; where the module has a break switch, its harm must be found.
 */
#include "gmem/gmem_test.h"
#include "harness/dfs.h"

#define FRAMES 4U
#define FROZEN 1U
#define WRONG  77 /* code of a run that was stopped by the judge */

/* The least that can be called a VM: one leaf for gfn 0, with the protocol of the real table. */
static struct world {
	struct clo_pagedb *db;
	struct clo_view_host *vh;
	struct clo_gmem *g;
	struct clo_gmem_binding b;
	struct clo_inval mmu;
	struct clo_a64 leaf; /* 0, FROZEN, or (pfn + 1) << 1 */
	struct clo_gmem_pin *pin;
	bool up;
} w;

static struct dfs dfs;
static const char *wrong;

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	wrong = what;
	clo_sched_stop(WRONG);
}

static void w_begin(void *vm, struct clo_range r)
{
	(void)vm;
	clo_inval_begin(&w.mmu, r);
}

static void w_zap(void *vm, struct clo_range r, enum clo_zap_reason why)
{
	uint64_t seen;

	(void)vm;
	(void)r;
	(void)why;
	while ((seen = clo_a64_get(&w.leaf)) != 0) {
		if (seen == FROZEN)
			clo_relax();
		else if (clo_a64_cas(&w.leaf, &seen, 0))
			break;
	}
}

static void w_end(void *vm, struct clo_range r)
{
	(void)vm;
	clo_inval_end(&w.mmu, r);
}

static void open_world(uint64_t flags, bool views)
{
	struct clo_gmem_config cfg = {
		.size = 2 * CLO_PAGE_SIZE,
		.flags = flags,
		.owner = T_OWNER,
		.valid_flags = T_ALL_FLAGS,
		.ops = { .begin = w_begin, .zap = w_zap, .end = w_end },
	};

	clo_sched_quiet(true);
	w = (struct world){ 0 };
	must(clo_pagedb_create(CLO_POOL_ANON, FRAMES, FRAMES, &w.db) == 0, "pool");
	t_soil(w.db, FRAMES);
	if (views)
		must(clo_view_host_create(w.db, CLO_VIEW_SOFT, &w.vh) == 0, "view host");
	must(clo_gmem_open(w.db, w.vh, &cfg, &w.g) == 0, "file");
	must(clo_gmem_bind(w.g, &w.b, clo_range(0, 2), 0) == 0, "bind");
	w.up = true;
	clo_sched_quiet(false);
}

static void close_world(bool released)
{
	clo_sched_quiet(true);
	w.up = false;
	clo_gmem_unpin(w.pin);
	if (!released)
		clo_gmem_release(w.g);
	clo_rcu_barrier();
	must(t_frames(w.db) == 0, "a frame is left");
	if (w.vh)
		clo_view_host_destroy(w.vh);
	clo_pagedb_destroy(w.db);
	clo_sched_quiet(false);
}

static void together(void *(*a)(void *), void *(*b)(void *))
{
	struct clo_thread t[2];

	clo_sched_quiet(true);
	must(clo_thread_create(&t[0], a, NULL) == 0 && clo_thread_create(&t[1], b, NULL) == 0,
	     "threads");
	clo_sched_quiet(false);
	clo_thread_join(&t[0]);
	clo_thread_join(&t[1]);
}

/* A leaf maps a frame of this file, of the kind private. A view shows, and a pin holds, shared
 * frames only. */
static int judge(void *arg, const struct clo_sched_step *step)
{
	struct clo_frame_info f;
	const char *found = NULL;
	uint64_t leaf;

	(void)arg;
	(void)step;
	if (!w.up)
		return 0;
	leaf = clo_a64_get(&w.leaf);
	if (leaf > FROZEN && clo_frame_get(w.db, clo_pfn((leaf >> 1) - 1)).state == CLO_FRAME_FREE)
		found = "a leaf maps a free frame";
	f = t_frame(w.g, 0);
	if (f.pins && f.state != CLO_FRAME_SHARED)
		found = "a pinned frame is not shared";
	if (w.vh && clo_view_is_shown(clo_gmem_views(w.g), 0) && f.state != CLO_FRAME_SHARED)
		found = "a view shows a frame that is not shared";
	if (found)
		wrong = found;
	return found ? WRONG : 0;
}

static bool explore(void (*main_fn)(void *), uint32_t bound)
{
	bool found;

	wrong = NULL;
	dfs = (struct dfs){
		.main_fn = main_fn, .on_step = judge, .bound = bound, .rcu_last = true
	};
	found = dfs_search(&dfs, CLO_SCHED_STOPPED);
	test_note("%llu runs, %llu steps%s%s", (unsigned long long)dfs.runs,
		  (unsigned long long)dfs.steps, found ? ": " : "", found && wrong ? wrong : "");
	return found;
}

/* All runs end, each as it should. */
static void holds(void (*main_fn)(void *), uint32_t bound)
{
	CHECK(!explore(main_fn, bound));
	CHECK_EQ(dfs.ends[CLO_SCHED_DONE], dfs.runs);
	CHECK_EQ(dfs.last.live_bytes, 0);
}

static int fault(uint64_t *pfn_out)
{
	struct clo_inval_snap snap;
	struct clo_gmem *g;
	struct clo_pfn pfn;
	uint64_t none = 0;
	unsigned order;
	int ret = -EFAULT;

	clo_rcu_read_lock();
	snap = clo_inval_snapshot(&w.mmu, 0);
	g = clo_aptr_get(&w.b.gmem);
	if (g)
		ret = t_get(g, 0, clo_attr_is_private(clo_gmem_attr(g), 0), &pfn, &order);
	if (ret == 0 && clo_a64_cas(&w.leaf, &none, FROZEN)) {
		if (clo_inval_retry(&w.mmu, 0, snap)) {
			clo_a64_set(&w.leaf, 0);
			ret = -EAGAIN;
		} else {
			clo_a64_set(&w.leaf, (pfn.n + 1) << 1);
		}
	}
	clo_rcu_read_unlock();
	if (ret == 0)
		*pfn_out = pfn.n;
	return ret;
}

static void *vcpu(void *arg)
{
	uint64_t pfn;
	int ret;

	(void)arg;
	while ((ret = fault(&pfn)) == -EAGAIN || ret == -EACCES)
		clo_relax();
	must(ret == 0 || ret == -EFAULT, "fault");
	return NULL;
}

static void *puncher(void *arg)
{
	(void)arg;
	must(t_punch(w.g, 0, 1) == 0, "punch");
	return NULL;
}

static void fault_against_hole(void *arg)
{
	(void)arg;
	open_world(0, false);
	together(vcpu, puncher);
	close_world(false);
}

TEST_TIMEOUT(hole_never_frees_what_is_mapped, 120)
{
	holds(fault_against_hole, 2);
}

TEST_TIMEOUT(free_before_zap_is_found, 120)
{
	clo_break_set(CLO_BREAK_FREE_BEFORE_ZAP, true);
	CHECK(explore(fault_against_hole, 2));
	CHECK_STR(wrong, "a leaf maps a free frame");
	clo_break_set(CLO_BREAK_FREE_BEFORE_ZAP, false);
}

static void *converter(void *arg)
{
	struct clo_pfn pfn;
	struct clo_range r = clo_range(0, 1);
	struct clo_rangelock_hold hold;

	(void)arg;
	clo_rangelock_lock(clo_gmem_ranges(w.g), r, &hold);
	clo_inval_begin(clo_gmem_inval(w.g), r);
	w_begin(NULL, r);
	w_zap(NULL, r, CLO_ZAP_KIND);
	if (clo_gmem_pfn(w.g, 0, &pfn) && clo_page_lock(w.db, pfn, NULL)) {
		must(clo_page_step(w.db, pfn, CLO_FRAME_MAKE_SHARED) == 0, "make shared");
		clo_page_unlock(w.db, pfn);
	}
	must(clo_attr_set(clo_gmem_attr(w.g), r, false) == 0, "attribute");
	w_end(NULL, r);
	clo_inval_end(clo_gmem_inval(w.g), r);
	clo_rangelock_unlock(clo_gmem_ranges(w.g), &hold);
	return NULL;
}

static void fault_against_conversion(void *arg)
{
	(void)arg;
	open_world(CLO_GMEM_MMAP, false);
	together(vcpu, converter);
	/* No allocation of the old kind has landed behind the conversion's back. */
	must(t_frame(w.g, 0).state != CLO_FRAME_PRIVATE, "a private folio in a shared page");
	close_world(false);
}

TEST_TIMEOUT(no_allocation_lands_in_a_conversion, 120)
{
	holds(fault_against_conversion, 2);
}

static void *closer(void *arg)
{
	(void)arg;
	clo_gmem_release(w.g);
	return NULL;
}

static void fault_against_close(void *arg)
{
	(void)arg;
	open_world(0, false);
	clo_sched_quiet(true);
	clo_gmem_get(w.g); /* the judge looks at the file */
	clo_sched_quiet(false);
	together(vcpu, closer);
	w.up = false;
	must(clo_a64_get(&w.leaf) == 0, "a leaf survived the file");
	clo_gmem_put(w.g);
	close_world(true);
}

TEST_TIMEOUT(close_leaves_nothing, 120)
{
	holds(fault_against_close, 2);
}

static void *unbinder(void *arg)
{
	(void)arg;
	clo_gmem_unbind(&w.b);
	return NULL;
}

static void unbind_against_close(void *arg)
{
	(void)arg;
	open_world(0, false);
	w.up = false;
	together(unbinder, closer);
	close_world(true);
}

TEST_TIMEOUT(slot_and_file_go_together, 120)
{
	holds(unbind_against_close, 3);
}

/* Mail 4: two vCPUs meet one new page. What either writes must stay, and neither may see what was
 * there before. */
static void *writer(void *arg)
{
	struct clo_pfn pfn;
	volatile uint8_t *p;
	unsigned order;

	(void)arg;
	while (t_get(w.g, 0, true, &pfn, &order) == -EAGAIN)
		clo_relax();
	clo_sync_point("guest store", pfn.n);
	p = t_bytes(w.g, pfn) + clo_sched_self();
	must(*p == 0, "old bytes");
	*p = 1;
	clo_sync_point("guest load", pfn.n);
	must(*p == 1, "a store is lost");
	return NULL;
}

static void two_writers(void *arg)
{
	(void)arg;
	open_world(0, false);
	together(writer, writer);
	close_world(false);
}

TEST_TIMEOUT(zeroing_is_done_once, 120)
{
	holds(two_writers, 2);
}

TEST_TIMEOUT(zeroing_without_the_lock_is_found, 120)
{
	clo_break_set(CLO_BREAK_PREPARE_LOCK, true);
	CHECK(explore(two_writers, 2));
	CHECK_STR(wrong, "a store is lost");
	clo_break_set(CLO_BREAK_PREPARE_LOCK, false);
}

TEST_TIMEOUT(no_zeroing_is_found, 120)
{
	clo_break_set(CLO_BREAK_ZERO, true);
	CHECK(explore(two_writers, 2));
	CHECK_STR(wrong, "old bytes");
	clo_break_set(CLO_BREAK_ZERO, false);
}

static void *host_reader(void *arg)
{
	uint8_t byte = 0xff;

	(void)arg;
	must(clo_gmem_host_access(w.g, 0, &byte, 1, false) == 0, "host access");
	must(byte == 0, "the host read old bytes");
	return NULL;
}

static void host_against_hole(void *arg)
{
	(void)arg;
	open_world(T_MMAP_ANY, true);
	together(host_reader, puncher);
	close_world(false);
}

TEST_TIMEOUT(no_view_of_a_freed_frame, 120)
{
	holds(host_against_hole, 2);
}

/* The page is there: the touch asks before the hole begins, and has the folio after the views were
 * emptied. */
static void touch_of_a_page_against_hole(void *arg)
{
	(void)arg;
	open_world(T_MMAP_ANY, true);
	clo_sched_quiet(true);
	must(t_allocate(w.g, 0, 1) == 0, "allocate");
	clo_sched_quiet(false);
	together(host_reader, puncher);
	close_world(false);
}

TEST_TIMEOUT(no_view_of_a_frame_that_goes, 120)
{
	holds(touch_of_a_page_against_hole, 2);
}

TEST_TIMEOUT(a_touch_without_the_last_look_is_found, 120)
{
	clo_break_set(CLO_BREAK_GRANT_LOOK, true);
	CHECK(explore(touch_of_a_page_against_hole, 2));
	CHECK_STR(wrong, "a view shows a frame that is not shared");
	clo_break_set(CLO_BREAK_GRANT_LOOK, false);
}

static void *pinner(void *arg)
{
	(void)arg;
	must(clo_gmem_pin(w.g, 0, CLO_PAGE_SIZE, "explorer", &w.pin, NULL) == 0, "pin");
	return NULL;
}

static void pin_against_hole(void *arg)
{
	(void)arg;
	open_world(T_MMAP_ANY, false);
	together(pinner, puncher);
	must(t_frame(w.g, 0).pins == 1 && t_frame(w.g, 0).state == CLO_FRAME_SHARED,
	     "the pin is gone");
	close_world(false);
}

TEST_TIMEOUT(pin_and_hole, 120)
{
	holds(pin_against_hole, 2);
}
