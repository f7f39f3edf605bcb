/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/test_views.c - what a VMM does to its mapping of a guest_memfd, by the public calls: locks all
 * memory, asks for huge pages, unmaps, moves, maps memory of its own over it, forks.
 */
#include "harness/engine.h"
#include "harness/touch.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define SECRET 0x5e
#define PUBLIC 0x50

struct scene {
	struct eng e;
	uint8_t *v; /* mapping of the whole file */
};

/* A file of @pages, all shared, whose mapping the test makes. */
static void open_unmapped(struct scene *s, uint32_t level, uint64_t pages)
{
	struct clo_host_config hc = { .size = sizeof(hc), .view = level, .mem_bytes = 1 << 20 };
	struct clo_host *probe;
	int ret = clo_host_create(&hc, &probe);

	if (ret == -EPERM || ret == -ENOSYS)
		SKIP("this level of host view is not permitted here");
	CHECK_OK(ret);
	CHECK_OK(clo_host_destroy(probe));
	touch_init();
	eng_open(&s->e, (struct eng_config){
				.owner = CLO_ATTR_OWNER_GMEM,
				.view = level,
				.pages = pages,
				.gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED,
			});
}

static void map_all(struct scene *s)
{
	void *addr;

	CHECK_OK(clo_gmem_mmap(s->e.gmem, 0, s->e.pages * E_PAGE, true, &addr));
	s->v = addr;
}

static void scene_open(struct scene *s, uint32_t level, uint64_t pages)
{
	open_unmapped(s, level, pages);
	map_all(s);
}

static void scene_close(struct scene *s)
{
	CHECK_OK(clo_gmem_munmap(s->e.gmem, s->v, s->e.pages * E_PAGE));
	eng_close(&s->e);
}

/* @page becomes private and the guest writes a secret into it. */
static void make_secret(struct scene *s, uint64_t page)
{
	CHECK_OK(eng_convert(&s->e, page, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&s->e, page, CLO_ACCESS_PRIVATE, SECRET));
}

static void check_secret(struct scene *s, uint64_t page)
{
	uint8_t byte = 0;

	CHECK_EQ(touch_load(s->v + page * E_PAGE), -1);
	CHECK(!touch_store(s->v + page * E_PAGE, 1));
	CHECK_ERR(clo_gmem_host_access(s->e.gmem, page * E_PAGE, &byte, 1, false), -EFAULT);
	CHECK_EQ(byte, 0);
	CHECK_EQ(eng_byte(&s->e, page, CLO_ACCESS_PRIVATE), SECRET);
}

/* mlockall() before, or after, the mapping is made: what is private stays out of it. */
static void locked_all(uint32_t level, bool before, int flags)
{
	struct scene s;

	open_unmapped(&s, level, 600);
	for (uint64_t i = 0; i < 600; i += 3)
		make_secret(&s, i);
	CHECK_OK(eng_store(&s.e, 1, 0, PUBLIC));
	if (before)
		CHECK_EQ(mlockall(flags), 0);
	map_all(&s);
	if (!before)
		CHECK_EQ(mlockall(flags), 0);
	for (uint64_t i = 0; i < 600; i += 3)
		check_secret(&s, i);
	CHECK_EQ(touch_load(s.v + E_PAGE), PUBLIC);
	CHECK(touch_store(s.v + 2 * E_PAGE, 9));
	CHECK_EQ(eng_byte(&s.e, 2, 0), 9);
	/* What is locked can be hidden and shown as well. */
	make_secret(&s, 1);
	check_secret(&s, 1);
	CHECK_OK(eng_convert(&s.e, 1, 1, 0));
	CHECK_LE(0, touch_load(s.v + E_PAGE));
	scene_close(&s);
}
TEST(uffd_mlockall_future)
{
	locked_all(CLO_HOST_VIEW_UFFD, true, MCL_FUTURE);
}
TEST(uffd_mlockall_future_on_fault)
{
	locked_all(CLO_HOST_VIEW_UFFD, true, MCL_FUTURE | MCL_ONFAULT);
}
TEST(uffd_mlockall_on_fault_later)
{
	locked_all(CLO_HOST_VIEW_UFFD, false, MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}
TEST(remap_mlockall_future)
{
	locked_all(CLO_HOST_VIEW_REMAP, true, MCL_FUTURE);
}
TEST(remap_mlockall_on_fault_later)
{
	locked_all(CLO_HOST_VIEW_REMAP, false, MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}

static uint64_t memory_in_use(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long long kib, sum = 0;
	char line[128];

	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "RssAnon: %llu", &kib) == 1 ||
		    sscanf(line, "RssShmem: %llu", &kib) == 1)
			sum += kib << 10;
	}
	CHECK_EQ(fclose(f), 0);
	return sum;
}

/* The pool's terabyte and the tables beside it are filled by use, not by mlockall(). */
TEST(host_under_mlockall_is_sparse)
{
	uint64_t before = memory_in_use();
	struct scene s;

	CHECK_EQ(mlockall(MCL_FUTURE), 0);
	scene_open(&s, CLO_HOST_VIEW_UFFD, 1024);
	CHECK_LE(memory_in_use(), before + (64 << 20));
	CHECK(touch_store(s.v + 77 * E_PAGE, 7));
	CHECK_EQ(eng_byte(&s.e, 77, 0), 7);
	scene_close(&s);
}

/*
 * The same when the lock comes later, as from a VMM that locks its memory when it is set up. Were
 * it not so, this would fill the machine: so the guards are looked at first, and if somebody is
 * killed, it is this process.
 */
TEST(host_before_mlockall_is_sparse)
{
	uint64_t *table, before;
	struct scene s;
	uint8_t *first;
	FILE *f;

	scene_open(&s, CLO_HOST_VIEW_UFFD, 1024);
	table = clo_alloc_sparse(E_2M);
	CHECK(table);
	first = mmap(NULL, E_PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(first != MAP_FAILED);
	if (madvise(first, E_PAGE, MADV_GUARD_INSTALL) != 0)
		SKIP("this kernel cannot guard pages of files");
	first = clo_page_addr(s.e.host->db, clo_pfn(0));
	CHECK_EQ(madvise(first - CLO_SPARSE_LEAD, E_PAGE, MADV_POPULATE_READ), -1);
	first = (uint8_t *)table - CLO_SPARSE_LEAD;
	CHECK_EQ(madvise(first, E_PAGE, MADV_POPULATE_READ), -1);
	f = fopen("/proc/self/oom_score_adj", "we");
	CHECK(f && fputs("1000", f) >= 0);
	CHECK_EQ(fclose(f), 0);
	make_secret(&s, 0);
	before = memory_in_use();
	CHECK_EQ(mlockall(MCL_CURRENT), 0);
	CHECK_LE(memory_in_use(), before + (64 << 20));
	check_secret(&s, 0);
	CHECK(touch_store(s.v + 77 * E_PAGE, 7));
	CHECK_EQ(eng_byte(&s.e, 77, 0), 7);
	table[E_2M / sizeof(*table) - 1] = 1;
	make_secret(&s, 77);
	check_secret(&s, 77);
	clo_free_sparse(table, E_2M);
	scene_close(&s);
}

/* Advice that fills page tables ahead: refused at the private page, what is before it is there. */
static void prefault(uint32_t level)
{
	struct scene s;

	scene_open(&s, level, 16);
	CHECK(touch_store(s.v, 1));
	make_secret(&s, 8);
	CHECK_OK(eng_convert(&s.e, 9, 7, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(madvise(s.v, 8 * E_PAGE, MADV_POPULATE_READ), 0);
	CHECK_EQ(madvise(s.v, 8 * E_PAGE, MADV_POPULATE_WRITE), 0);
	CHECK_EQ(madvise(s.v, 16 * E_PAGE, MADV_POPULATE_READ), -1);
	CHECK_EQ(madvise(s.v, 16 * E_PAGE, MADV_POPULATE_WRITE), -1);
	CHECK_EQ(madvise(s.v, 16 * E_PAGE, MADV_WILLNEED), 0);
	CHECK_EQ(madvise(s.v, 16 * E_PAGE, MADV_SEQUENTIAL), 0);
	check_secret(&s, 8);
	/* Takes poison away, and whatever else there is: the next touch is asked about. */
	(void)madvise(s.v, 16 * E_PAGE, MADV_DONTNEED);
	check_secret(&s, 8);
	CHECK_EQ(touch_load(s.v), 1);
	scene_close(&s);
}
TEST(uffd_prefault)
{
	prefault(CLO_HOST_VIEW_UFFD);
}
TEST(remap_prefault)
{
	prefault(CLO_HOST_VIEW_REMAP);
}

/* One private page in a block that is to become one huge page. */
static void collapse(uint32_t level)
{
	struct scene s;

	scene_open(&s, level, 1024);
	for (uint64_t i = 0; i < 1024; i++)
		CHECK(touch_store(s.v + i * E_PAGE, PUBLIC));
	make_secret(&s, 600);
	CHECK_EQ((uintptr_t)s.v % E_2M, 0);
	CHECK_EQ(madvise(s.v + E_2M, E_2M, MADV_COLLAPSE), -1);
	check_secret(&s, 600);
	(void)madvise(s.v, 2 * E_2M, MADV_HUGEPAGE);
	CHECK_EQ(madvise(s.v + E_2M, E_2M, MADV_COLLAPSE), -1);
	check_secret(&s, 600);
	/* A block that is all shared may become what it will, and its pages can still be hidden. */
	(void)madvise(s.v, E_2M, MADV_COLLAPSE);
	make_secret(&s, 5);
	check_secret(&s, 5);
	check_secret(&s, 600);
	CHECK_EQ(touch_load(s.v + 601 * E_PAGE), PUBLIC);
	scene_close(&s);
}
TEST(uffd_collapse)
{
	collapse(CLO_HOST_VIEW_UFFD);
}
TEST(remap_collapse)
{
	collapse(CLO_HOST_VIEW_REMAP);
}

/*
 * MADV_REMOVE of a private page. Level UFFD: the bytes are gone, as after a hole, and nothing else:
 * kind, frame, leaf and counters stay, neighbours are not concerned, the host reaches the page no
 * more than before. Level REMAP: behind a private page is the empty file, so nothing happens.
 */
static void removed(uint32_t level, uint8_t left)
{
	struct scene s;
	uint64_t zaps, frames;

	scene_open(&s, level, 16);
	CHECK(touch_store(s.v + 2 * E_PAGE, PUBLIC));
	for (uint64_t i = 3; i < 6; i++)
		make_secret(&s, i);
	zaps = eng_zaps(&s.e);
	frames = eng_frames(&s.e);
	CHECK_EQ(madvise(s.v + 4 * E_PAGE, E_PAGE, MADV_REMOVE), 0);
	CHECK(eng_is_private(&s.e, 4));
	CHECK_EQ(eng_frame(&s.e, 4).state, CLO_FRAME_PRIVATE);
	CHECK(eng_leaf(&s.e, 4).level != CLO_LEVEL_COUNT);
	CHECK_EQ(eng_zaps(&s.e), zaps);
	CHECK_EQ(eng_frames(&s.e), frames);
	CHECK_EQ(touch_load(s.v + 4 * E_PAGE), -1);
	CHECK_EQ(eng_byte(&s.e, 4, CLO_ACCESS_PRIVATE), left);
	check_secret(&s, 3);
	check_secret(&s, 5);
	CHECK_EQ(touch_load(s.v + 2 * E_PAGE), PUBLIC);
	/* The page is one like others afterwards. */
	CHECK_OK(eng_store(&s.e, 4, CLO_ACCESS_PRIVATE, SECRET));
	check_secret(&s, 4);
	CHECK_OK(eng_convert(&s.e, 4, 1, 0));
	CHECK_EQ(touch_load(s.v + 4 * E_PAGE), SECRET);
	scene_close(&s);
}
TEST(uffd_removed)
{
	removed(CLO_HOST_VIEW_UFFD, 0);
}
TEST(remap_removed)
{
	removed(CLO_HOST_VIEW_REMAP, SECRET);
}

/* A child does not get what the VMM has told the kernel to give it. */
static void do_fork(uint32_t level)
{
	struct scene s;
	pid_t pid;
	int status;

	scene_open(&s, level, 16);
	CHECK(touch_store(s.v + E_PAGE, PUBLIC));
	make_secret(&s, 3);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(madvise(s.v, 16 * E_PAGE, MADV_DOFORK), 0);
		pid = fork();
		CHECK_LE(0, pid);
		if (pid == 0) {
			signal(SIGSEGV, touch_died);
			_exit(touch_load(s.v + 3 * E_PAGE) == -1 && touch_load(s.v + E_PAGE) == -1);
		}
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1);
		check_secret(&s, 3);
		CHECK_EQ(touch_load(s.v + E_PAGE), PUBLIC);
	}
	scene_close(&s);
}
TEST(uffd_do_fork)
{
	do_fork(CLO_HOST_VIEW_UFFD);
}
TEST(remap_do_fork)
{
	do_fork(CLO_HOST_VIEW_REMAP);
}
