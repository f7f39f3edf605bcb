/* SPDX-License-Identifier: Apache-2.0 */
/* view/test_view_host.c - what the host permits, and which level follows. */
#include "view_internal.h"
#include "view_test.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE ((size_t)CLO_PAGE_SIZE)

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

/* Where a part was moved to, hide does not reach; nothing has changed when it says so. */
TEST(remap_hide_moved)
{
	struct owner o;
	uint8_t *v, *to;

	owner_open(&o, CLO_VIEW_REMAP, 8);
	if (o.vh->maps_fd < 0)
		SKIP("this kernel does not tell what is mapped at an address");
	v = owner_map(&o);
	touch_init();
	for (uint64_t i = 0; i < 8; i++)
		v[i * PAGE] = (uint8_t)i;
	to = mremap(v + 4 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
	CHECK(to != MAP_FAILED && to != v + 4 * PAGE);
	CHECK_ERR(clo_view_hide(o.vs, clo_range(0, 8)), -EBUSY);
	for (uint64_t i = 0; i < 8; i++)
		CHECK_EQ(i == 4 ? *to : v[i * PAGE], i);
	CHECK_OK(owner_convert(&o, clo_range(0, 4), true));
	CHECK_EQ(munmap(to, 2 * PAGE), 0);
	CHECK_OK(owner_convert(&o, clo_range(0, 8), true));
	CHECK_EQ(touch_load(v + 3 * PAGE), -1);
	owner_close(&o);
}
