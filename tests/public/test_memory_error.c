/* SPDX-License-Identifier: Apache-2.0 */
/*
 * public/test_memory_error.c - a memory error by order, at each view level: what guest, host and
 * devices meet, what is beside the page, and what ends it.
 */
#include "harness/engine.h"

#include <fcntl.h>

/* A load by the kernel: false when it is refused. */
static bool kernel_reads(const void *at)
{
	int fds[2];
	ssize_t n;

	CHECK_EQ(pipe(fds), 0);
	n = write(fds[1], at, 1);
	close(fds[0]);
	close(fds[1]);
	return n == 1;
}

static void guest_is_told(struct eng *e, uint64_t page)
{
	uint64_t gpa = E_GPA + page * E_PAGE, bytes = E_PAGE;
	uint8_t v;

	CHECK_ERR(eng_load(e, page, 0, &v), -EHWPOISON);
	CHECK_EQ(clo_vcpu_exit(e->vcpu)->reason, CLO_EXIT_MEMORY_FAULT);
	CHECK_EQ(clo_vcpu_exit(e->vcpu)->cause, CLO_CAUSE_POISON);
	CHECK_EQ(clo_vcpu_exit(e->vcpu)->memory_fault.gpa, gpa);
	CHECK_ERR(eng_store(e, page, 0, 1), -EHWPOISON);
	CHECK_ERR(clo_vcpu_pre_fault(e->vcpu, &gpa, &bytes), -EHWPOISON);
}

static void shared_page(uint32_t view)
{
	struct clo_gmem_pin *pin;
	void *at = NULL;
	struct eng e;
	uint8_t v;

	eng_open(&e, (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM,
					  .gmem_flags = CLO_GMEM_MMAP,
					  .view = view });
	CHECK_OK(eng_convert(&e, 0, 16, 0));
	for (uint64_t i = 0; i < 16; i++)
		CHECK_OK(eng_store(&e, i, 0, (uint8_t)(i + 1)));
	if (view != CLO_HOST_VIEW_SOFT) {
		CHECK_OK(clo_gmem_mmap(e.gmem, 0, 16 * E_PAGE, true, &at));
		CHECK(kernel_reads((char *)at + 5 * E_PAGE));
	}
	CHECK_OK(clo_gmem_inject_memory_error(e.gmem, 5 * E_PAGE));
	guest_is_told(&e, 5);
	CHECK_ERR(clo_gmem_host_access(e.gmem, 5 * E_PAGE, &v, 1, false), -EHWPOISON);
	CHECK_ERR(clo_gmem_pin(e.gmem, 5 * E_PAGE, E_PAGE, "x", &pin, NULL), -EHWPOISON);
	if (at) {
		CHECK(!kernel_reads((char *)at + 5 * E_PAGE));
		CHECK(kernel_reads((char *)at + 4 * E_PAGE));
		CHECK(kernel_reads((char *)at + 6 * E_PAGE));
	}
	CHECK_EQ(eng_byte(&e, 4, 0), 5);
	CHECK_EQ(eng_byte(&e, 6, 0), 7);
	/* Another page comes with the hole. */
	CHECK_OK(eng_punch(&e, 5, 1));
	CHECK_EQ(eng_byte(&e, 5, 0), 0);
	CHECK_OK(clo_gmem_host_access(e.gmem, 5 * E_PAGE, &v, 1, false));
	if (at) {
		CHECK(kernel_reads((char *)at + 5 * E_PAGE));
		CHECK_OK(clo_gmem_munmap(e.gmem, at, 16 * E_PAGE));
	}
	eng_close(&e);
}

TEST(a_shared_page_soft)
{
	shared_page(CLO_HOST_VIEW_SOFT);
}

TEST(a_shared_page_remap)
{
	shared_page(CLO_HOST_VIEW_REMAP);
}

TEST(a_shared_page_uffd)
{
	struct clo_host_config c = { .size = sizeof(c), .view = CLO_HOST_VIEW_UFFD };
	struct clo_host *host;
	int ret = clo_host_create(&c, &host);

	if (ret == -EPERM)
		SKIP("no userfaultfd here");
	CHECK_OK(ret);
	CHECK_OK(clo_host_destroy(host));
	shared_page(CLO_HOST_VIEW_UFFD);
}

TEST(a_private_page)
{
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	CHECK_OK(eng_convert(&e, 0, 16, CLO_CONVERT_TO_PRIVATE));
	CHECK_ERR(clo_gmem_inject_memory_error(e.gmem, 3 * E_PAGE), -ENOENT);
	CHECK_OK(eng_store(&e, 3, 0, 9));
	CHECK_OK(clo_gmem_inject_memory_error(e.gmem, 3 * E_PAGE));
	guest_is_told(&e, 3);
	CHECK_OK(clo_gmem_inject_memory_error(e.gmem, 3 * E_PAGE)); /* again */
	guest_is_told(&e, 3);
	CHECK_OK(eng_punch(&e, 3, 1));
	CHECK_EQ(eng_byte(&e, 3, 0), 0);
	CHECK_ERR(clo_gmem_inject_memory_error(e.gmem, 16 * E_PAGE), -EINVAL);
	CHECK_ERR(clo_gmem_inject_memory_error(e.gmem, E_PAGE + 1), -EINVAL);
	CHECK_ERR(clo_gmem_inject_memory_error(e.gmem, UINT64_MAX - E_PAGE + 1), -EINVAL);
	eng_close(&e);
}

/* A huge page goes as a whole, its neighbour stays. */
TEST(a_huge_page)
{
	struct eng e;

	eng_open(&e, (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM,
					  .gmem_flags = CLO_GMEM_HUGETLB,
					  .page_order = 9,
					  .pages = 1024 });
	CHECK_OK(eng_store(&e, 100, 0, 1));
	CHECK_OK(eng_store(&e, 600, 0, 2));
	CHECK_OK(clo_gmem_inject_memory_error(e.gmem, 7 * E_PAGE));
	guest_is_told(&e, 7);
	guest_is_told(&e, 100);
	CHECK_EQ(eng_byte(&e, 600, 0), 2);
	CHECK_OK(eng_punch(&e, 0, 512));
	CHECK_EQ(eng_byte(&e, 100, 0), 0);
	eng_close(&e);
}
