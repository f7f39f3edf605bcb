/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/test_view.c - what the VMM reaches through its mapping, and what it does not, at both levels
 * that have one. Bodies that hold for both are functions of the level.
 */
#include "view_test.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE ((size_t)CLO_PAGE_SIZE)

static void both_sides(enum clo_view_level level)
{
	struct owner o;
	uint8_t *v;

	owner_open(&o, level, 64);
	v = owner_map(&o);
	CHECK_EQ((uintptr_t)v % PAGE, 0);
	for (uint64_t i = 0; i < 64; i++) {
		CHECK_EQ(v[i * PAGE], 0);
		v[i * PAGE + 1] = (uint8_t)i;
		CHECK_EQ(owner_page(&o, i)[1], i);
		owner_page(&o, i)[2] = (uint8_t)(i + 1);
		CHECK_EQ(v[i * PAGE + 2], i + 1);
	}
	CHECK_ERR(clo_view_unmap(o.vs, v + PAGE, 64, &(struct clo_range){ 0 }), -EINVAL);
	CHECK_ERR(clo_view_unmap(o.vs, v, 63, &(struct clo_range){ 0 }), -EINVAL);
	CHECK_OK(clo_view_unmap(o.vs, v, 64, &(struct clo_range){ 0 }));
	CHECK_ERR(clo_view_unmap(o.vs, v, 64, &(struct clo_range){ 0 }), -EINVAL);
	owner_close(&o);
}
TEST(uffd_both_sides)
{
	both_sides(CLO_VIEW_UFFD);
}
TEST(remap_both_sides)
{
	both_sides(CLO_VIEW_REMAP);
}

static uint8_t *private_page(struct owner *o, enum clo_view_level level)
{
	uint8_t *v;

	owner_open(o, level, 8);
	v = owner_map(o);
	v[2 * PAGE] = 1;
	CHECK_OK(owner_convert(o, clo_range(2, 3), true));
	v[PAGE] = 1;
	return v;
}
EXPECT_SIGNAL(uffd_load, SIGBUS)
{
	struct owner o;
	volatile uint8_t *v = private_page(&o, CLO_VIEW_UFFD);

	(void)v[2 * PAGE];
}
EXPECT_SIGNAL(uffd_store, SIGBUS)
{
	struct owner o;
	volatile uint8_t *v = private_page(&o, CLO_VIEW_UFFD);

	v[2 * PAGE] = 1;
}
EXPECT_SIGNAL(remap_load, SIGBUS)
{
	struct owner o;
	volatile uint8_t *v = private_page(&o, CLO_VIEW_REMAP);

	(void)v[2 * PAGE];
}
EXPECT_SIGNAL(remap_store, SIGBUS)
{
	struct owner o;
	volatile uint8_t *v = private_page(&o, CLO_VIEW_REMAP);

	v[2 * PAGE] = 1;
}
/* Private from the start, never poisoned: the engine refuses. */
EXPECT_SIGNAL(uffd_load_hidden_at_map, SIGBUS)
{
	struct owner o;
	volatile uint8_t *v;

	owner_open(&o, CLO_VIEW_UFFD, 8);
	CHECK_OK(owner_convert(&o, clo_range(0, 8), true));
	v = owner_map(&o);
	(void)v[7 * PAGE];
}
EXPECT_SIGNAL(remap_load_hidden_at_map, SIGBUS)
{
	struct owner o;
	volatile uint8_t *v;

	owner_open(&o, CLO_VIEW_REMAP, 8);
	CHECK_OK(owner_convert(&o, clo_range(0, 8), true));
	v = owner_map(&o);
	(void)v[7 * PAGE];
}

/* Real system calls, not through this library. */
static void system_calls(enum clo_view_level level)
{
	struct owner o;
	uint8_t *v = private_page(&o, level);
	int p[2];

	CHECK_EQ(pipe(p), 0);
	CHECK_EQ(write(p[1], v + PAGE, 1), 1);
	CHECK_EQ(write(p[1], v + 2 * PAGE, 1), -1);
	CHECK_EQ(errno, EFAULT);
	CHECK_EQ(read(p[0], v + 2 * PAGE, 1), -1);
	CHECK_EQ(errno, EFAULT);
	CHECK_EQ(owner_page(&o, 2)[0], 1);
	CHECK_OK(owner_convert(&o, clo_range(2, 3), false));
	CHECK_EQ(write(p[1], v + 2 * PAGE, 1), 1);
	close(p[0]);
	close(p[1]);
	owner_close(&o);
}
TEST(uffd_system_calls)
{
	system_calls(CLO_VIEW_UFFD);
}
TEST(remap_system_calls)
{
	system_calls(CLO_VIEW_REMAP);
}

/* Content is kept through both conversions, and pages without a folio come as zeros after them. */
static void round_trip(enum clo_view_level level)
{
	struct owner o;
	uint8_t *v, *w;

	owner_open(&o, level, 32);
	touch_init();
	v = owner_map(&o);
	w = owner_map(&o);
	CHECK(v != w);
	memset(v, 0x11, 8 * PAGE);
	owner_punch(&o, clo_range(8, 32));
	CHECK_OK(owner_convert(&o, clo_range(4, 24), true));
	for (uint64_t i = 0; i < 32; i++) {
		int want = i < 4 ? 0x11 : i < 24 ? -1 : 0;

		CHECK_EQ(touch_load(v + i * PAGE), want);
		CHECK_EQ(touch_load(w + i * PAGE), want);
		CHECK_EQ(touch_store(w + i * PAGE + 1, 3), want >= 0);
	}
	memset(owner_page(&o, 5), 0x22, PAGE);
	CHECK_OK(owner_convert(&o, clo_range(4, 24), false));
	for (uint64_t i = 4; i < 24; i++) {
		int want = i == 5 ? 0x22 : i < 8 ? 0x11 : 0;

		CHECK_EQ(touch_load(v + i * PAGE), want);
		CHECK_EQ(touch_load(w + i * PAGE), want);
	}
	owner_close(&o);
}
TEST(uffd_round_trip)
{
	round_trip(CLO_VIEW_UFFD);
}
TEST(remap_round_trip)
{
	round_trip(CLO_VIEW_REMAP);
}

/* A frame that is up to date by decree has no memory yet: CONTINUE finds none, and makes it. */
TEST(uffd_content_without_memory)
{
	struct owner o;
	uint8_t *v;

	owner_open(&o, CLO_VIEW_UFFD, 8);
	touch_init();
	clo_a32_set(&o.lazy, 1);
	v = owner_map(&o);
	CHECK_EQ(touch_load(v), 0); /* grant */
	for (uint64_t i = 1; i < 8; i++) {
		CHECK_OK(owner_folio(&o, i));
		clo_page_unlock(o.db, owner_pfn(&o, i));
	}
	CHECK_OK(owner_convert(&o, clo_range(0, 8), true));
	CHECK_OK(owner_convert(&o, clo_range(0, 8), false)); /* show */
	for (uint64_t i = 0; i < 8; i++)
		CHECK_EQ(touch_load(v + i * PAGE), 0);
	owner_close(&o);
}

/* Punched: the old bytes are gone from the view, and the page comes back. */
static void punch(enum clo_view_level level)
{
	struct owner o;
	uint8_t *v;

	owner_open(&o, level, 16);
	touch_init();
	v = owner_map(&o);
	memset(v, 0x33, 16 * PAGE);
	CHECK_OK(owner_convert(&o, clo_range(0, 4), true));
	owner_punch(&o, clo_range(2, 8));
	for (uint64_t i = 0; i < 16; i++)
		CHECK_EQ(touch_load(v + i * PAGE), i < 4 ? -1 : i < 8 ? 0 : 0x33);
	owner_close(&o);
}
TEST(uffd_punch)
{
	punch(CLO_VIEW_UFFD);
}
TEST(remap_punch)
{
	punch(CLO_VIEW_REMAP);
}

/* Thousands of pages, every other one private. */
static void checkerboard(enum clo_view_level level, uint64_t npages)
{
	struct owner o;
	uint8_t *v;

	owner_open(&o, level, npages);
	touch_init();
	v = owner_map(&o);
	for (uint64_t i = 0; i < npages; i++)
		v[i * PAGE] = (uint8_t)i;
	for (uint64_t i = 0; i < npages; i += 2)
		CHECK_OK(owner_convert(&o, clo_range(i, i + 1), true));
	for (uint64_t i = 0; i < npages; i++)
		CHECK_EQ(touch_load(v + i * PAGE), i % 2 ? (int)(uint8_t)i : -1);
	for (uint64_t i = 0; i < npages; i += 2)
		CHECK_OK(owner_convert(&o, clo_range(i, i + 1), false));
	for (uint64_t i = 0; i < npages; i++)
		CHECK_EQ(touch_load(v + i * PAGE), (uint8_t)i);
	owner_close(&o);
}
TEST(uffd_checkerboard)
{
	checkerboard(CLO_VIEW_UFFD, 4096);
}
TEST(remap_checkerboard)
{
	checkerboard(CLO_VIEW_REMAP, 4096);
}

/* VMAs of this process now. */
static unsigned count_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned n = 0;
	int c;

	CHECK(f);
	while ((c = getc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

/* Until mmap refuses; then the refused page is as before, and the others are right. */
static void vma_limit(unsigned extra)
{
	struct clo_view_probe probe;
	struct clo_view_stats before, after;
	struct owner o;
	uint64_t refused = 0;
	unsigned maps;
	uint8_t *v;

	clo_view_probe(&probe);
	if (probe.max_map_count > 100000)
		SKIP("vm.max_map_count is too high to be reached in a test");
	/* The limit is met with one VMA left, or with none. */
	for (unsigned i = 0; i < extra; i++)
		CHECK(mmap(NULL, PAGE, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	owner_open(&o, CLO_VIEW_REMAP, probe.max_map_count + 64);
	touch_init();
	v = owner_map(&o);
	for (uint64_t i = 0; i < o.npages; i++)
		v[i * PAGE] = (uint8_t)i;
	for (uint64_t i = 1; i < o.npages && !refused; i += 2) {
		clo_view_stats(o.vs, &before);
		if (owner_convert(&o, clo_range(i, i + 1), true) == 0)
			continue;
		refused = i;
	}
	CHECK_NE(refused, 0);
	test_note("refused at page %llu", (unsigned long long)refused);
	maps = count_maps();
	CHECK_ERR(clo_view_hide(o.vs, clo_range(refused, refused + 1)), -ENOMEM);
	CHECK_EQ(count_maps(), maps);
	clo_view_stats(o.vs, &after);
	CHECK_EQ(before.hidden_pages, after.hidden_pages);
	for (uint64_t i = 0; i < o.npages; i++)
		CHECK_EQ(touch_load(v + i * PAGE), i % 2 && i < refused ? -1 : (int)(uint8_t)i);
	/* A hole must not fail: it takes the neighbours out with it, and they come back. */
	clo_view_drop(o.vs, clo_range(refused + 4, refused + 5));
	CHECK_EQ(touch_load(v + (refused + 4) * PAGE), -1);
	CHECK_OK(owner_convert(&o, clo_range(1, 2), false));
	CHECK_OK(clo_view_settle(o.vs, clo_range(0, o.npages)));
	CHECK_EQ(touch_load(v + (refused + 4) * PAGE), (uint8_t)(refused + 4));
	CHECK_EQ(touch_load(v + (refused + 8) * PAGE), (uint8_t)(refused + 8));
	owner_close(&o);
}
TEST_TIMEOUT(remap_vma_limit, 60)
{
	vma_limit(0);
}
TEST_TIMEOUT(remap_vma_limit_one_more, 60)
{
	vma_limit(1);
}

/* A child does not inherit the mapping; a VMM that locks its memory can be served. */
static void fork_and_mlock(enum clo_view_level level)
{
	struct owner o;
	uint8_t *v;
	int status;
	pid_t pid;

	owner_open(&o, level, 8);
	touch_init();
	v = owner_map(&o);
	v[0] = 1;
	CHECK_OK(owner_convert(&o, clo_range(4, 8), true));
	CHECK_EQ(mlock(v, PAGE), 0);
	CHECK_OK(owner_convert(&o, clo_range(0, 1), true));
	CHECK_EQ(touch_load(v), -1);
	CHECK_OK(owner_convert(&o, clo_range(0, 1), false));
	CHECK_EQ(touch_load(v), 1);
	pid = fork();
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		_exit(*(volatile uint8_t *)v == 1 ? 0 : 1);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
	owner_close(&o);
}
TEST(uffd_fork_and_mlock)
{
	fork_and_mlock(CLO_VIEW_UFFD);
}
TEST(remap_fork_and_mlock)
{
	fork_and_mlock(CLO_VIEW_REMAP);
}
