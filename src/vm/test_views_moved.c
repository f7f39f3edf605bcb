/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/test_views_moved.c - a VMM that unmaps a part of its mapping, maps memory of its own there,
 * moves a part away. Its own memory is never touched, what is left of the mapping works, and what
 * was moved is still a mapping of the guest_memfd.
 */
#include "harness/engine.h"
#include "harness/touch.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define OWN    0x77
#define SECRET 0x5e
#define PAGES  16ULL
#define EMPTY  0x100000 /* MAP_FIXED_NOREPLACE */

struct scene {
	struct eng e;
	uint8_t *v;
};

/* PROCMAP_QUERY, as Linux 6.11 has it: the struct is 13 words. */
static bool kernel_can_be_asked(void)
{
	uint64_t q[13] = { sizeof(q), 1 << 4 };
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	bool yes = fd >= 0 && ioctl(fd, _IOWR('f', 17, uint64_t[13]), q) == 0;

	if (fd >= 0)
		close(fd);
	return yes;
}

static void scene_open(struct scene *s, uint32_t level)
{
	struct clo_host_config hc = { .size = sizeof(hc), .view = level, .mem_bytes = 1 << 20 };
	struct clo_host *probe;
	int ret = clo_host_create(&hc, &probe);
	void *addr;

	if (ret == -EPERM || ret == -ENOSYS)
		SKIP("this level of host view is not permitted here");
	CHECK_OK(ret);
	if (level == CLO_HOST_VIEW_REMAP && !kernel_can_be_asked())
		SKIP("this kernel does not tell what is mapped at an address");
	CHECK_OK(clo_host_destroy(probe));
	touch_init();
	CHECK(signal(SIGSEGV, touch_died) != SIG_ERR);
	eng_open(&s->e, (struct eng_config){
				.owner = CLO_ATTR_OWNER_GMEM,
				.view = level,
				.pages = PAGES,
				.gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED,
			});
	CHECK_OK(clo_gmem_mmap(s->e.gmem, 0, PAGES * E_PAGE, true, &addr));
	s->v = addr;
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(touch_store(s->v + i * E_PAGE, (uint8_t)i));
}

static void scene_close(struct scene *s)
{
	CHECK_OK(clo_gmem_munmap(s->e.gmem, s->v, PAGES * E_PAGE));
	eng_close(&s->e);
}

/* Pages of the VMM's own at @at, as any allocator may get them. */
static void map_own(uint8_t *at, uint64_t pages, int how)
{
	void *p = mmap(at, pages * E_PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | how, -1, 0);

	CHECK(p == at);
	memset(at, OWN, pages * E_PAGE);
}

static void check_own(const uint8_t *at, uint64_t pages)
{
	for (uint64_t i = 0; i < pages * E_PAGE; i++)
		CHECK_EQ(at[i], OWN);
}

static void make_secret(struct scene *s, uint64_t page)
{
	CHECK_OK(eng_convert(&s->e, page, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&s->e, page, CLO_ACCESS_PRIVATE, SECRET));
}

static uint8_t by_offset(struct scene *s, uint64_t page)
{
	uint8_t byte;

	CHECK_OK(clo_gmem_host_access(s->e.gmem, page * E_PAGE, &byte, 1, false));
	return byte;
}

/* Everything that acts on the mapping of the whole file, page 5 among it. */
static void use_file(struct scene *s)
{
	uint8_t byte = 0x33;

	CHECK_OK(clo_gmem_host_access(s->e.gmem, 5 * E_PAGE, &byte, 1, true));
	CHECK_EQ(eng_byte(&s->e, 5, 0), 0x33);
	make_secret(s, 5);
	CHECK_ERR(clo_gmem_host_access(s->e.gmem, 5 * E_PAGE, &byte, 1, true), -EFAULT);
	CHECK_OK(eng_convert(&s->e, 5, 1, 0));
	CHECK_OK(eng_convert(&s->e, 0, PAGES, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_convert(&s->e, 0, PAGES, 0));
	CHECK_EQ(by_offset(s, 5), SECRET);
	CHECK_OK(eng_punch(&s->e, 5, 1));
	CHECK_EQ(by_offset(s, 5), 0);
	CHECK_OK(eng_punch(&s->e, 0, PAGES));
	for (uint64_t i = 0; i < PAGES; i++) {
		byte = (uint8_t)i;
		CHECK_OK(clo_gmem_host_access(s->e.gmem, i * E_PAGE, &byte, 1, true));
	}
}

/* The pages outside of [4, 7) are where they were. */
static void check_rest(struct scene *s)
{
	for (uint64_t i = 0; i < PAGES; i++) {
		if (i >= 4 && i < 7)
			continue;
		CHECK_EQ(touch_load(s->v + i * E_PAGE), i);
		make_secret(s, i);
		CHECK_EQ(touch_load(s->v + i * E_PAGE), -1);
		CHECK_OK(eng_convert(&s->e, i, 1, 0));
		CHECK_EQ(touch_load(s->v + i * E_PAGE), SECRET);
		CHECK(touch_store(s->v + i * E_PAGE, (uint8_t)i));
	}
}

enum gap { GAP_LEFT, GAP_MAPPED, GAP_MAPPED_OVER };

/* Of [4, 7) the VMM takes one page after the other, or nothing is there. */
static void take_part(uint32_t level, enum gap gap)
{
	uint8_t *at;
	struct scene s;

	scene_open(&s, level);
	at = s.v + 4 * E_PAGE;
	if (gap == GAP_MAPPED_OVER) {
		map_own(at, 3, MAP_FIXED);
	} else {
		CHECK_EQ(munmap(at + E_PAGE, E_PAGE), 0);
		use_file(&s);
		CHECK_EQ(munmap(at, 3 * E_PAGE), 0);
	}
	if (gap == GAP_MAPPED)
		map_own(at, 3, EMPTY);
	for (unsigned i = 0; i < 3; i++) {
		use_file(&s);
		check_rest(&s);
		if (gap != GAP_LEFT)
			check_own(at, 3);
		else
			CHECK_EQ(touch_load(at + E_PAGE), -1);
	}
	scene_close(&s);
	if (gap != GAP_LEFT)
		check_own(at, 3);
}
TEST(uffd_gap)
{
	take_part(CLO_HOST_VIEW_UFFD, GAP_LEFT);
}
TEST(uffd_gap_with_own_memory)
{
	take_part(CLO_HOST_VIEW_UFFD, GAP_MAPPED);
}
TEST(uffd_own_memory_mapped_over)
{
	take_part(CLO_HOST_VIEW_UFFD, GAP_MAPPED_OVER);
}
TEST(remap_gap)
{
	take_part(CLO_HOST_VIEW_REMAP, GAP_LEFT);
}
TEST(remap_gap_with_own_memory)
{
	take_part(CLO_HOST_VIEW_REMAP, GAP_MAPPED);
}
TEST(remap_own_memory_mapped_over)
{
	take_part(CLO_HOST_VIEW_REMAP, GAP_MAPPED_OVER);
}

/* All of it, an end of it; and twice the same place. */
static void all_gone(uint32_t level)
{
	struct scene s;
	void *addr;

	scene_open(&s, level);
	CHECK_EQ(munmap(s.v, PAGES * E_PAGE), 0);
	map_own(s.v, PAGES, EMPTY);
	use_file(&s);
	CHECK_OK(clo_gmem_mmap(s.e.gmem, 0, PAGES * E_PAGE, true, &addr));
	CHECK_EQ(touch_load((uint8_t *)addr + 3 * E_PAGE), 3);
	CHECK_OK(clo_gmem_munmap(s.e.gmem, addr, PAGES * E_PAGE));
	CHECK_OK(clo_gmem_munmap(s.e.gmem, s.v, PAGES * E_PAGE));
	CHECK_ERR(clo_gmem_munmap(s.e.gmem, s.v, PAGES * E_PAGE), -EINVAL);
	check_own(s.v, PAGES);
	eng_close(&s.e);
}
TEST(uffd_all_gone)
{
	all_gone(CLO_HOST_VIEW_UFFD);
}
TEST(remap_all_gone)
{
	all_gone(CLO_HOST_VIEW_REMAP);
}

/* A file that is closed while parts are gone leaves the VMM's memory alone. */
static void close_with_gap(uint32_t level)
{
	struct scene s;

	scene_open(&s, level);
	CHECK_EQ(munmap(s.v, E_PAGE), 0);
	CHECK_EQ(munmap(s.v + 9 * E_PAGE, 7 * E_PAGE), 0);
	map_own(s.v, 1, EMPTY);
	map_own(s.v + 12 * E_PAGE, 2, EMPTY);
	clo_gmem_close(s.e.gmem);
	check_own(s.v, 1);
	check_own(s.v + 12 * E_PAGE, 2);
	CHECK_EQ(touch_load(s.v + 2 * E_PAGE), -1);
	eng_close(&s.e);
}
TEST(uffd_close_with_gap)
{
	close_with_gap(CLO_HOST_VIEW_UFFD);
}
TEST(remap_close_with_gap)
{
	close_with_gap(CLO_HOST_VIEW_REMAP);
}

/* Without the question to the kernel all of this is seen to go wrong. */
TEST(remap_break_owned)
{
	struct scene s;

	scene_open(&s, CLO_HOST_VIEW_REMAP);
	map_own(s.v + 4 * E_PAGE, 3, MAP_FIXED);
	clo_break_set(CLO_BREAK_VIEW_OWNED, true);
	make_secret(&s, 5);
	clo_break_set(CLO_BREAK_VIEW_OWNED, false);
	CHECK_EQ(touch_load(s.v + 4 * E_PAGE), OWN);
	CHECK_EQ(touch_load(s.v + 5 * E_PAGE), -1);
	scene_close(&s);
}

/* Level REMAP does not follow what was moved: its shared pages cannot become private. */
TEST(remap_moved)
{
	struct clo_convert c = eng_range(5, 1, CLO_CONVERT_TO_PRIVATE);
	uint8_t *old, *to;
	uint64_t err_off;
	struct scene s;

	scene_open(&s, CLO_HOST_VIEW_REMAP);
	to = mmap(NULL, 8 * E_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(to != MAP_FAILED);
	old = s.v + 4 * E_PAGE;
	make_secret(&s, 6);
	CHECK(mremap(old, 3 * E_PAGE, 3 * E_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	map_own(old, 3, EMPTY);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_ERR(clo_vm_convert(s.e.vm, &c), -EBUSY);
		CHECK_ERR(clo_gmem_set_attributes(s.e.gmem, 5 * E_PAGE, E_PAGE, CLO_ATTR_PRIVATE,
						  &err_off),
			  -EBUSY);
		CHECK_EQ(err_off, 5 * E_PAGE);
		CHECK_ERR(eng_convert(&s.e, 0, PAGES, CLO_CONVERT_TO_PRIVATE), -EBUSY);
		CHECK(!eng_is_private(&s.e, 0) && !eng_is_private(&s.e, 5));
		CHECK_EQ(touch_load(s.v), 0);
		CHECK_EQ(touch_load(to + E_PAGE), 5);
	}
	/* What was private went there hidden; elsewhere there is nothing to refuse. */
	CHECK_EQ(touch_load(to + 2 * E_PAGE), -1);
	make_secret(&s, 7);
	/* Back in its place, or gone, it stops nothing. */
	CHECK_EQ(munmap(old, 3 * E_PAGE), 0);
	CHECK(mremap(to, E_PAGE, E_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, old) == old);
	make_secret(&s, 4);
	CHECK_EQ(touch_load(old), -1);
	CHECK_ERR(clo_vm_convert(s.e.vm, &c), -EBUSY);
	CHECK_EQ(munmap(to, 3 * E_PAGE), 0);
	make_secret(&s, 5);
	CHECK_OK(eng_convert(&s.e, 0, PAGES, 0));
	CHECK_EQ(touch_load(old), SECRET);
	use_file(&s);
	scene_close(&s);
}

/* A part that was moved shows the same pages, and is hidden with them. */
static void move(int flags)
{
	uint8_t *old, *to;
	struct scene s;

	scene_open(&s, CLO_HOST_VIEW_UFFD);
	to = mmap(NULL, 8 * E_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(to != MAP_FAILED);
	old = s.v + 4 * E_PAGE;
	make_secret(&s, 5);
	CHECK(mremap(old, 3 * E_PAGE, 3 * E_PAGE, flags | MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	if (!(flags & MREMAP_DONTUNMAP))
		map_own(old, 3, EMPTY);
	CHECK_EQ(touch_load(to), 4);
	CHECK_EQ(touch_load(to + E_PAGE), -1);
	CHECK_EQ(touch_load(to + 2 * E_PAGE), 6);
	CHECK_OK(eng_convert(&s.e, 5, 1, 0));
	CHECK_EQ(touch_load(to + E_PAGE), SECRET);
	for (uint64_t i = 0; i < 3; i++) {
		make_secret(&s, 4 + i);
		CHECK_EQ(touch_load(to + i * E_PAGE), -1);
		if (flags & MREMAP_DONTUNMAP)
			CHECK_EQ(touch_load(old + i * E_PAGE), -1);
		CHECK_OK(eng_convert(&s.e, 4 + i, 1, 0));
		CHECK_EQ(touch_load(to + i * E_PAGE), SECRET);
		if (flags & MREMAP_DONTUNMAP)
			CHECK_EQ(touch_load(old + i * E_PAGE), SECRET);
	}
	use_file(&s);
	check_rest(&s);
	CHECK_EQ(touch_load(to + E_PAGE), 5);
	if (!(flags & MREMAP_DONTUNMAP))
		check_own(old, 3);
	/* The mapping goes with all that was made of it. */
	CHECK_OK(clo_gmem_munmap(s.e.gmem, s.v, PAGES * E_PAGE));
	CHECK_EQ(touch_load(to), -1);
	eng_close(&s.e);
	if (!(flags & MREMAP_DONTUNMAP))
		check_own(old, 3);
}
TEST(uffd_moved)
{
	move(0);
}
TEST(uffd_moved_left_mapped)
{
	move(MREMAP_DONTUNMAP);
}

/* What mremap() makes more of than there was is refused: a copy, and what comes behind the end. */
TEST(uffd_not_multiplied)
{
	struct scene s;
	uint8_t *copy, *grown;

	scene_open(&s, CLO_HOST_VIEW_UFFD);
	make_secret(&s, 3);
	copy = mremap(s.v, 0, PAGES * E_PAGE, MREMAP_MAYMOVE);
	if (copy != MAP_FAILED) {
		for (uint64_t i = 0; i < PAGES; i++)
			CHECK_EQ(touch_load(copy + i * E_PAGE), -1);
		CHECK_EQ(munmap(copy, PAGES * E_PAGE), 0);
	}
	grown = mremap(s.v + (PAGES - 1) * E_PAGE, E_PAGE, 3 * E_PAGE, MREMAP_MAYMOVE);
	if (grown != MAP_FAILED) {
		CHECK_EQ(touch_load(grown), PAGES - 1);
		CHECK_EQ(touch_load(grown + E_PAGE), -1);
		CHECK_EQ(touch_load(grown + 2 * E_PAGE), -1);
		CHECK_EQ(munmap(grown + E_PAGE, 2 * E_PAGE), 0);
	}
	CHECK_EQ(touch_load(s.v + 3 * E_PAGE), -1);
	CHECK_EQ(touch_load(s.v + 2 * E_PAGE), 2);
	scene_close(&s);
}

/* Other rights for a part: what is shared there can be hidden, and comes back. */
TEST(uffd_rights_of_a_part)
{
	struct scene s;

	scene_open(&s, CLO_HOST_VIEW_UFFD);
	CHECK_EQ(mprotect(s.v + 4 * E_PAGE, E_PAGE, PROT_READ), 0);
	CHECK_EQ(mprotect(s.v + 6 * E_PAGE, E_PAGE, PROT_NONE), 0);
	CHECK_OK(eng_convert(&s.e, 0, PAGES, CLO_CONVERT_TO_PRIVATE));
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK_EQ(touch_load(s.v + i * E_PAGE), -1);
	CHECK_OK(eng_convert(&s.e, 0, PAGES, 0));
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK_EQ(touch_load(s.v + i * E_PAGE), i == 6 ? -1 : (int)i);
	CHECK_EQ(mprotect(s.v, PAGES * E_PAGE, PROT_READ | PROT_WRITE), 0);
	check_rest(&s);
	CHECK_EQ(touch_load(s.v + 6 * E_PAGE), 6);
	scene_close(&s);
}

/* One thread takes parts and maps its own there, another converts all the time. */
struct racer {
	struct scene s;
	struct clo_a32 stop;
};

static void *convert_all(void *arg)
{
	struct racer *r = arg;

	while (!clo_a32_get(&r->stop)) {
		CHECK_OK(eng_convert(&r->s.e, 0, PAGES, CLO_CONVERT_TO_PRIVATE));
		CHECK_OK(eng_convert(&r->s.e, 0, PAGES, 0));
		CHECK_OK(eng_punch(&r->s.e, 3, 9));
		(void)by_offset(&r->s, 7);
	}
	return NULL;
}

TEST_TIMEOUT(uffd_parts_taken_while_converting, 120)
{
	struct racer r = { 0 };
	struct clo_thread t;

	scene_open(&r.s, CLO_HOST_VIEW_UFFD);
	CHECK_OK(clo_thread_create(&t, convert_all, &r));
	for (unsigned round = 0; round < 200; round++) {
		uint8_t *v;
		void *addr;

		CHECK_OK(clo_gmem_mmap(r.s.e.gmem, 0, PAGES * E_PAGE, true, &addr));
		v = addr;
		(void)touch_load(v + 5 * E_PAGE);
		map_own(v + 8 * E_PAGE, 2, MAP_FIXED);
		CHECK_EQ(munmap(v + 2 * E_PAGE, 4 * E_PAGE), 0);
		map_own(v + 3 * E_PAGE, 2, EMPTY);
		check_own(v + 8 * E_PAGE, 2);
		(void)touch_load(v + E_PAGE);
		check_own(v + 3 * E_PAGE, 2);
		CHECK_OK(clo_gmem_munmap(r.s.e.gmem, addr, PAGES * E_PAGE));
		check_own(v + 3 * E_PAGE, 2);
		check_own(v + 8 * E_PAGE, 2);
		CHECK_EQ(munmap(v + 3 * E_PAGE, 2 * E_PAGE), 0);
		CHECK_EQ(munmap(v + 8 * E_PAGE, 2 * E_PAGE), 0);
	}
	clo_a32_set(&r.stop, 1);
	CHECK_OK(clo_thread_join(&t));
	scene_close(&r.s);
}
