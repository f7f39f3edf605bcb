/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/test_view.c - each level by itself: what a private page answers, what a shared one shows,
 * errno. Bodies that hold for every level are functions of the level.
 */
#include "view_test.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE ((size_t)CLO_PAGE_SIZE)

static void no_resolve_grant(void *garg, struct clo_range r, struct clo_pfn base)
{
	(void)garg, (void)r, (void)base;
}

TEST(names)
{
	CHECK_STR(clo_view_level_name(CLO_VIEW_AUTO), "auto");
	CHECK_STR(clo_view_level_name(CLO_VIEW_UFFD), "uffd");
	CHECK_STR(clo_view_level_name(CLO_VIEW_REMAP), "remap");
	CHECK_STR(clo_view_level_name(CLO_VIEW_SOFT), "soft");
	CHECK(!clo_view_level_name(CLO_VIEW_LEVEL_COUNT));
}

TEST(probe_agrees_with_hosts)
{
	struct clo_view_probe p;
	struct clo_view_host *vh;
	struct clo_pagedb *db;

	clo_view_probe(&p);
	test_note("userfaultfd %d minor %d/%d poison %d best %s", p.userfaultfd, p.minor_shmem,
		  p.minor_hugetlb, p.poison, clo_view_level_name(p.best));
	CHECK_EQ(p.memfd, 0);
	CHECK_LT(0, p.max_map_count);
	CHECK_OK(clo_pagedb_create(CLO_POOL_MEMFD, 16, 0, &db));
	CHECK_OK(clo_view_host_create(db, CLO_VIEW_AUTO, &vh));
	CHECK_EQ(clo_view_host_level(vh), p.best);
	clo_view_host_destroy(vh);
	CHECK_OK(clo_view_host_create(db, CLO_VIEW_REMAP, &vh));
	clo_view_host_destroy(vh);
	clo_view_host_destroy(NULL);
	clo_pagedb_destroy(db);
}

TEST(host_errors)
{
	struct clo_view_host *vh = NULL;
	struct clo_pagedb *db;

	CHECK_OK(clo_pagedb_create(CLO_POOL_ANON, 16, 0, &db));
	CHECK_ERR(clo_view_host_create(db, CLO_VIEW_LEVEL_COUNT, &vh), -EINVAL);
	CHECK_ERR(clo_view_host_create(db, CLO_VIEW_UFFD, &vh), -ENODEV);
	CHECK_ERR(clo_view_host_create(db, CLO_VIEW_REMAP, &vh), -ENODEV);
	clo_alloc_fail_at(1);
	CHECK_ERR(clo_view_host_create(db, CLO_VIEW_SOFT, &vh), -ENOMEM);
	clo_alloc_fail_at(0);
	CHECK_OK(clo_view_host_create(db, CLO_VIEW_AUTO, &vh));
	CHECK_EQ(clo_view_host_level(vh), CLO_VIEW_SOFT);
	clo_view_host_destroy(vh);
	clo_pagedb_destroy(db);
}

/* As in a container: a filter refuses the system call, and the device is root's. */
static void forbid_userfaultfd(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = CLO_ARRAY_SIZE(code), .filter = code };

	if (geteuid() == 0)
		CHECK_EQ(syscall(SYS_setresuid, 65534, 65534, 65534), 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		SKIP("seccomp filters are not available");
}

TEST(not_permitted_falls_to_remap)
{
	struct clo_view_host *vh;
	struct clo_view_probe p;
	struct clo_pagedb *db;

	CHECK_OK(clo_pagedb_create(CLO_POOL_MEMFD, 16, 0, &db));
	forbid_userfaultfd();
	clo_view_probe(&p);
	CHECK_ERR(p.userfaultfd, -EPERM);
	CHECK_ERR(p.minor_shmem, -EPERM);
	CHECK_EQ(p.best, CLO_VIEW_REMAP);
	CHECK_ERR(clo_view_host_create(db, CLO_VIEW_UFFD, &vh), -EPERM);
	CHECK_OK(clo_view_host_create(db, CLO_VIEW_AUTO, &vh));
	CHECK_EQ(clo_view_host_level(vh), CLO_VIEW_REMAP);
	clo_view_host_destroy(vh);
	clo_pagedb_destroy(db);
}

/* A process without privilege gets a userfaultfd for user mode only: loads wait, system calls do
 * not. */
TEST(user_mode_only)
{
	struct clo_view_probe p;
	struct owner o;
	uint8_t byte = 0x77;
	uint8_t *v;

	if (geteuid() != 0)
		SKIP("needs root, to give it up");
	CHECK_EQ(syscall(SYS_setresuid, 65534, 65534, 65534), 0);
	clo_view_probe(&p);
	if (p.userfaultfd != 0 || !p.user_mode_only)
		SKIP("no userfaultfd for user mode only here");
	owner_open(&o, CLO_VIEW_UFFD, 8);
	CHECK_OK(owner_convert(&o, clo_range(3, 4), true));
	v = owner_map(&o);
	touch_init();
	CHECK_EQ(touch_load(v), 0);
	CHECK_EQ(touch_load(v + 3 * PAGE), -1);
	/* Never touched: the kernel cannot wait, clo_view_access asks. */
	CHECK_OK(clo_view_access(o.vs, PAGE + 5, &byte, 1, true));
	CHECK_EQ(v[PAGE + 5], 0x77);
	CHECK_ERR(clo_view_access(o.vs, 3 * PAGE, &byte, 1, false), -EFAULT);
	owner_close(&o);
}

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
	CHECK_ERR(clo_view_unmap(o.vs, v + PAGE, 64), -EINVAL);
	CHECK_ERR(clo_view_unmap(o.vs, v, 63), -EINVAL);
	CHECK_OK(clo_view_unmap(o.vs, v, 64));
	CHECK_ERR(clo_view_unmap(o.vs, v, 64), -EINVAL);
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

static void access_by_offset(enum clo_view_level level, bool mapped)
{
	struct owner o;
	uint8_t buf[3 * 4096], back[3 * 4096];

	owner_open(&o, level, 16);
	if (mapped)
		(void)owner_map(&o);
	memset(buf, 0x5a, sizeof(buf));
	CHECK_OK(clo_view_access(o.vs, 100, buf, sizeof(buf), true));
	CHECK_OK(clo_view_access(o.vs, 100, back, sizeof(back), false));
	CHECK_MEM(buf, back, sizeof(buf));
	CHECK_EQ(owner_page(&o, 1)[0], 0x5a);
	CHECK_OK(owner_convert(&o, clo_range(1, 2), true));
	CHECK_ERR(clo_view_access(o.vs, 100, back, sizeof(back), false), -EFAULT);
	CHECK_ERR(clo_view_access(o.vs, PAGE, buf, 1, true), -EFAULT);
	CHECK_OK(clo_view_access(o.vs, PAGE - 1, buf, 1, true));
	CHECK_OK(clo_view_access(o.vs, 0, buf, 0, true));
	CHECK_ERR(clo_view_access(o.vs, 16 * PAGE - 1, buf, 2, false), -EFAULT);
	CHECK_ERR(clo_view_access(o.vs, UINT64_MAX, buf, 2, false), -EFAULT);
	clo_a32_set(&o.fail, ENOMEM);
	CHECK_ERR(clo_view_access(o.vs, 9 * PAGE, buf, 1, false), -ENOMEM);
	clo_a32_set(&o.fail, EHWPOISON);
	CHECK_ERR(clo_view_access(o.vs, 10 * PAGE, buf, 1, false), -EHWPOISON);
	clo_a32_set(&o.fail, 0);
	CHECK_OK(clo_view_access(o.vs, 9 * PAGE, back, 1, false));
	CHECK_OK(owner_convert(&o, clo_range(1, 2), false));
	CHECK_OK(clo_view_access(o.vs, 100, back, sizeof(back), false));
	CHECK_MEM(buf, back, sizeof(buf));
	owner_close(&o);
}
TEST(uffd_access)
{
	access_by_offset(CLO_VIEW_UFFD, true);
}
TEST(uffd_access_no_mapping)
{
	access_by_offset(CLO_VIEW_UFFD, false);
}
TEST(remap_access_no_mapping)
{
	access_by_offset(CLO_VIEW_REMAP, false);
}
TEST(soft_access)
{
	access_by_offset(CLO_VIEW_SOFT, false);
}

TEST(remap_access_private_from_start)
{
	struct owner o;
	uint8_t byte;

	owner_open(&o, CLO_VIEW_REMAP, 4);
	CHECK_OK(owner_convert(&o, clo_range(0, 4), true));
	CHECK_ERR(clo_view_access(o.vs, 0, &byte, 1, false), -EFAULT);
	(void)owner_map(&o);
	CHECK_ERR(clo_view_access(o.vs, 0, &byte, 1, false), -EFAULT);
	owner_close(&o);
}

/* A page refused for want of memory is not lost: the next touch asks again. */
TEST(uffd_resolve_errors)
{
	static const uint32_t errors[] = { ENOMEM, EHWPOISON };
	struct clo_view_stats s;
	struct owner o;
	uint8_t *v;

	owner_open(&o, CLO_VIEW_UFFD, 8);
	touch_init();
	v = owner_map(&o);
	for (uint64_t i = 0; i < CLO_ARRAY_SIZE(errors); i++) {
		clo_a32_set(&o.fail, errors[i]);
		CHECK_EQ(touch_load(v + i * PAGE), -1);
	}
	clo_a32_set(&o.fail, 0);
	while (touch_load(v) == -1) /* the time limit of the test ends this */
		clo_relax();
	CHECK_EQ(touch_load(v), 0);
	CHECK_EQ(touch_load(v + PAGE), -1);
	clo_view_stats(o.vs, &s);
	CHECK_LE(2, s.refused_faults);
	owner_close(&o);
}

static void map_errors(enum clo_view_level level)
{
	struct clo_view_piece p[2] = { { clo_range(0, 4), clo_pfn(0) },
				       { clo_range(4, 8), clo_pfn(4) } };
	struct owner o;
	void *addr;

	owner_open(&o, level, 8);
	p[0].base.n += o.base.n;
	p[1].base.n += o.base.n;
	CHECK_ERR(clo_view_map(o.vs, p, 0, NULL, 0, &addr), -EINVAL);
	p[1].r.start = 5;
	CHECK_ERR(clo_view_map(o.vs, p, 2, NULL, 0, &addr), -EINVAL);
	p[1].r = clo_range(4, 9);
	CHECK_ERR(clo_view_map(o.vs, p, 2, NULL, 0, &addr), -EINVAL);
	p[1].r = clo_range(4, 4);
	CHECK_ERR(clo_view_map(o.vs, p, 2, NULL, 0, &addr), -EINVAL);
	p[1].r = clo_range(4, 8);
	clo_alloc_fail_at(1);
	CHECK_ERR(clo_view_map(o.vs, p, 2, NULL, 0, &addr), -ENOMEM);
	clo_alloc_fail_at(0);
	CHECK_OK(clo_view_map(o.vs, p, 2, NULL, 0, &addr));
	((uint8_t *)addr)[7 * PAGE] = 9;
	CHECK_EQ(owner_page(&o, 7)[0], 9);
	owner_close(&o);
}
TEST(uffd_map_errors)
{
	map_errors(CLO_VIEW_UFFD);
}
TEST(remap_map_errors)
{
	map_errors(CLO_VIEW_REMAP);
}

TEST(soft_has_no_mappings)
{
	struct clo_view_piece p = { clo_range(0, 4), clo_pfn(0) };
	struct clo_view_stats s;
	struct owner o;
	uint8_t byte = 1;
	void *addr;

	owner_open(&o, CLO_VIEW_SOFT, 4);
	CHECK_ERR(clo_view_map(o.vs, &p, 1, NULL, 0, &addr), -ENODEV);
	CHECK_ERR(clo_view_unmap(o.vs, o.vs, 4), -EINVAL);
	CHECK(!clo_view_is_shown(o.vs, 1));
	CHECK(!clo_view_is_shown(o.vs, 4));
	CHECK_OK(clo_view_access(o.vs, PAGE, &byte, 1, true));
	CHECK(clo_view_is_shown(o.vs, 1));
	CHECK_OK(clo_view_hide(o.vs, clo_range(1, 2)));
	CHECK(!clo_view_is_shown(o.vs, 1));
	CHECK_OK(clo_view_access(o.vs, PAGE, &byte, 1, true));
	clo_view_drop(o.vs, clo_range(0, 4));
	CHECK(!clo_view_is_shown(o.vs, 1));
	clo_view_stats(o.vs, &s);
	CHECK_EQ(s.mappings, 0);
	CHECK_EQ(s.resolved_faults, 2);
	owner_close(&o);
}

/* A file of the greatest size costs nothing until it is touched. */
TEST(soft_huge_file)
{
	struct clo_view_set *vs;
	struct owner o;

	owner_open(&o, CLO_VIEW_SOFT, 4);
	CHECK_OK(clo_view_set_create(o.vh, (1ULL << 51) - 1, owner_resolve, &o, &vs));
	CHECK_OK(clo_view_hide(vs, clo_range(0, UINT64_MAX)));
	clo_view_show(vs, clo_range(0, UINT64_MAX));
	clo_view_set_destroy(vs);
	clo_alloc_fail_at(1);
	CHECK_ERR(clo_view_set_create(o.vh, 1, owner_resolve, &o, &vs), -ENOMEM);
	clo_alloc_fail_at(0);
	owner_close(&o);
}

/* The n-th allocation fails, for each n until none does; whatever was done is taken back. */
static void every_allocation(enum clo_view_level level)
{
	uint64_t live = clo_alloc_live();
	struct owner o;

	owner_open(&o, level, 4);
	for (uint64_t n = 1;; n++) {
		struct clo_view_piece p = { clo_range(0, 4), o.base };
		uint64_t before = clo_alloc_live();
		uint8_t byte = 1;
		void *addr;
		int ret, ret2;

		clo_alloc_fail_at(n);
		ret = clo_view_access(o.vs, 0, &byte, 1, true);
		ret2 = level == CLO_VIEW_SOFT ? 0 : clo_view_map(o.vs, &p, 1, NULL, 0, &addr);
		clo_alloc_fail_at(0);
		if (ret == 0 && ret2 == 0)
			break;
		CHECK(ret == 0 || ret == -ENOMEM);
		CHECK(ret2 == 0 || ret2 == -ENOMEM);
		if (ret && ret2)
			CHECK_EQ(clo_alloc_live(), before);
		if (ret2 == 0 && level != CLO_VIEW_SOFT)
			CHECK_OK(clo_view_unmap(o.vs, addr, 4));
	}
	owner_close(&o);
	CHECK_EQ(clo_alloc_live(), live);
}
TEST(uffd_every_allocation)
{
	every_allocation(CLO_VIEW_UFFD);
}
TEST(remap_every_allocation)
{
	every_allocation(CLO_VIEW_REMAP);
}
TEST(soft_every_allocation)
{
	every_allocation(CLO_VIEW_SOFT);
}

TEST(remap_settle_errors)
{
	struct owner o;
	uint8_t *v;

	owner_open(&o, CLO_VIEW_REMAP, 8);
	touch_init();
	v = owner_map(&o);
	clo_view_drop(o.vs, clo_range(0, 8));
	CHECK_EQ(touch_load(v), -1);
	clo_a32_set(&o.fail, ENOMEM);
	CHECK_ERR(clo_view_settle(o.vs, clo_range(0, 8)), -ENOMEM);
	clo_a32_set(&o.fail, EHWPOISON);
	CHECK_ERR(clo_view_settle(o.vs, clo_range(0, 8)), -EHWPOISON);
	clo_a32_set(&o.fail, 0);
	CHECK_OK(clo_view_settle(o.vs, clo_range(0, 8)));
	CHECK_EQ(touch_load(v), 0);
	owner_close(&o);
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

/* Beyond the end there is nothing to ask for. */
TEST(resolve_contract)
{
	struct owner o;

	owner_open(&o, CLO_VIEW_SOFT, 4);
	CHECK_ERR(owner_resolve(&o, 4, no_resolve_grant, NULL), -ERANGE);
	CHECK_OK(owner_resolve(&o, 3, no_resolve_grant, NULL));
	owner_close(&o);
}
