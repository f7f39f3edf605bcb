/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/test_conv_uffd_explore.c - conversions and holes of a guest_memfd that the VMM has mapped at
 * level UFFD, by the public calls, under the explorer: the whole engine as it ships, on the model
 * of the kernel that module view has.
 */
#include "harness/dfs.h"
#include "harness/engine.h"
#include "view/view.h"

#include <signal.h>

#define SECRET 0x5e
#define PUBLIC 0x50

struct play {
	uint32_t bound;
	bool touched; /* page 0 has content, and is in the view */
	void *(*change)(void *arg);
	void (*finish)(void);
};

static struct eng e;
static uint8_t *v;
static const char *violation;
static unsigned served, refused;
static struct dfs dfs;

static int vmm_load(void)
{
	uint8_t byte = 0;
	int sig = view_fake_load(v, &byte);

	served += sig == 0;
	refused += sig == SIGBUS;
	if (sig == 0 && byte == SECRET) {
		violation = "a private byte is read";
		clo_sched_stop(1);
	}
	return sig ? -sig : byte;
}

static void must_be(int byte)
{
	int got = vmm_load();

	if (got != byte) {
		violation = byte < 0 ? "a private page is served" : "a shared page is lost";
		clo_sched_stop(1);
	}
}

static void *load_twice(void *arg)
{
	(void)vmm_load();
	(void)vmm_load();
	return arg;
}

static void *to_private(void *arg)
{
	CHECK_OK(eng_convert(&e, 0, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&e, 0, CLO_ACCESS_PRIVATE, SECRET));
	return arg;
}

static void is_private(void)
{
	must_be(-SIGBUS);
}

static void *there_and_back(void *arg)
{
	CHECK_OK(eng_convert(&e, 0, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&e, 0, CLO_ACCESS_PRIVATE, PUBLIC + 1));
	CHECK_OK(eng_convert(&e, 0, 1, 0));
	return arg;
}

static void is_shared(void)
{
	must_be(PUBLIC + 1);
}

static void *punch(void *arg)
{
	CHECK_OK(clo_gmem_fallocate(e.gmem, CLO_FALLOC_PUNCH_HOLE | CLO_FALLOC_KEEP_SIZE, 0,
				    E_PAGE));
	return arg;
}

static void is_zero(void)
{
	must_be(0);
}

static void run(void *arg)
{
	const struct play *p = arg;
	struct clo_thread t[2];
	void *addr;

	clo_sched_quiet(true);
	view_fake_reset();
	eng_open(&e, (struct eng_config){
			     .owner = CLO_ATTR_OWNER_GMEM,
			     .view = CLO_HOST_VIEW_UFFD,
			     .pages = 1,
			     .mem_bytes = 4 * E_PAGE,
			     .gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED,
		     });
	CHECK_OK(clo_gmem_mmap(e.gmem, 0, E_PAGE, true, &addr));
	v = addr;
	if (p->touched)
		CHECK_EQ(view_fake_store(v, PUBLIC), 0);
	CHECK_OK(clo_thread_create(&t[0], load_twice, NULL));
	CHECK_OK(clo_thread_create(&t[1], p->change, NULL));
	clo_sched_quiet(false);
	CHECK_OK(clo_thread_join(&t[0]));
	CHECK_OK(clo_thread_join(&t[1]));
	clo_sched_quiet(true);
	p->finish();
	CHECK_OK(clo_gmem_munmap(e.gmem, v, E_PAGE));
	eng_close(&e);
	clo_sched_quiet(false);
}

static bool search(const struct play *p)
{
	violation = NULL;
	served = refused = 0;
	dfs = (struct dfs){
		.main_fn = run, .arg = (void *)(uintptr_t)p, .bound = p->bound, .in_turn = true
	};
	do {
		dfs_again(&dfs);
		dfs.runs++;
	} while (dfs.last.end == CLO_SCHED_DONE && dfs_next(&dfs));
	test_note("%llu runs: %u loads served, %u refused", (unsigned long long)dfs.runs, served,
		  refused);
	return dfs.last.end == CLO_SCHED_DONE;
}

static void holds(const struct play *p)
{
	if (!search(p))
		test_fail(__FILE__, __LINE__, "run %llu: %s: %s\n%s", (unsigned long long)dfs.runs,
			  clo_sched_end_name(dfs.last.end), violation ? violation : "",
			  dfs.last.report);
}

static const struct play hide = { 2, true, to_private, is_private };
static const struct play hide_untouched = { 2, false, to_private, is_private };
static const struct play convert = { 2, true, there_and_back, is_shared };
static const struct play hole = { 3, true, punch, is_zero };

TEST(a_page_is_converted)
{
	holds(&hide);
	CHECK_LT(0, served);
	CHECK_LT(0, refused);
}

TEST(a_page_is_converted_at_its_first_touch)
{
	holds(&hide_untouched);
}

TEST(a_page_is_converted_twice)
{
	holds(&convert);
}

TEST(a_page_is_punched)
{
	holds(&hole);
}

TEST(a_grant_without_the_folio_lock)
{
	clo_break_set(CLO_BREAK_VIEW_GRANT, true);
	CHECK(!search(&hide_untouched));
	CHECK(violation && strcmp(violation, "a private byte is read") == 0);
}

TEST(a_conversion_that_does_not_hide)
{
	clo_break_set(CLO_BREAK_VIEW_ZAP, true);
	CHECK(!search(&hide));
	CHECK(violation && strcmp(violation, "a private byte is read") == 0);
}
