/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu/test_vcpu_user.c - guest memory that is the VMM's own, and the VMM serves it itself: slowly,
 * or not at all. Whoever touches it waits or gets an error; nobody else waits with it.
 */
#include "vcpu/vcpu.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness/engine.h"

/* The access gave -EFAULT for memory that is not there, and no signal. */
static void is_bad_hva(struct eng *e, int got, uint64_t page)
{
	CHECK_ERR(got, -EFAULT);
	CHECK_EQ(clo_vcpu_exit(e->vcpu)->reason, CLO_EXIT_MEMORY_FAULT);
	CHECK_EQ(clo_vcpu_exit(e->vcpu)->cause, CLO_CAUSE_BAD_HVA);
	CHECK_EQ(clo_vcpu_exit(e->vcpu)->memory_fault.gpa, E_GPA + page * E_PAGE);
}

TEST(memory_that_goes_while_it_is_mapped)
{
	uint8_t *page;
	uint8_t v;
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	page = e.user + E_PAGE;
	CHECK_OK(eng_store(&e, 1, 0, 5));
	CHECK_EQ(mprotect(page, E_PAGE, PROT_READ), 0);
	is_bad_hva(&e, eng_store(&e, 1, 0, 6), 1);
	CHECK_EQ(eng_byte(&e, 1, 0), 5);
	CHECK_EQ(mprotect(page, E_PAGE, PROT_NONE), 0);
	is_bad_hva(&e, eng_load(&e, 1, 0, &v), 1);
	CHECK_EQ(v, 0xff);
	CHECK_EQ(munmap(page, E_PAGE), 0);
	is_bad_hva(&e, eng_load(&e, 1, 0, &v), 1);
	is_bad_hva(&e, eng_store(&e, 1, 0, 6), 1);
	/* Nothing is held: the page can change hands, and the rest works. */
	CHECK_OK(eng_convert(&e, 1, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&e, 1, 0, 7));
	CHECK_OK(eng_slot_delete(&e, 0));
	eng_close(&e);
}

/* The VMM's memory under a userfaultfd of its own, whose handler does not answer until told. */
struct slow {
	struct eng e;
	struct clo_vcpu *other;
	int uffd;
};

static void slow_open(struct slow *s)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	s->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (s->uffd < 0)
		SKIP("this host permits no userfaultfd for what the kernel touches");
	CHECK_EQ(ioctl(s->uffd, UFFDIO_API, &api), 0);
	eng_open(&s->e, (struct eng_config){ .pages = 64 });
	CHECK_OK(clo_vcpu_create(s->e.vm, 1, &s->other));
	/* Memory of page 1 only: the others come at once. */
	reg.range.start = (uintptr_t)s->e.user + E_PAGE;
	reg.range.len = E_PAGE;
	CHECK_EQ(ioctl(s->uffd, UFFDIO_REGISTER, &reg), 0);
}

/* Until somebody waits for page 1. */
static void slow_await(struct slow *s)
{
	struct uffd_msg msg;

	CHECK_EQ(read(s->uffd, &msg, sizeof(msg)), sizeof(msg));
	CHECK_EQ(msg.event, UFFD_EVENT_PAGEFAULT);
	CHECK_EQ(msg.arg.pagefault.address & ~(E_PAGE - 1), (uintptr_t)s->e.user + E_PAGE);
}

static void slow_answer(struct slow *s)
{
	struct uffdio_zeropage z = { .range = { .start = (uintptr_t)s->e.user + E_PAGE,
						.len = E_PAGE } };

	CHECK_EQ(ioctl(s->uffd, UFFDIO_ZEROPAGE, &z), 0);
}

static void slow_close(struct slow *s)
{
	eng_close(&s->e);
	close(s->uffd);
}

static void *store_1(void *arg)
{
	struct slow *s = arg;

	CHECK_OK(eng_store(&s->e, 1, 0, 9));
	return NULL;
}

static void *pre_fault_1(void *arg)
{
	struct slow *s = arg;
	uint64_t gpa = E_GPA + E_PAGE, bytes = E_PAGE;

	CHECK_OK(clo_vcpu_pre_fault(s->e.vcpu, &gpa, &bytes));
	return NULL;
}

/* The blocked vCPU may lose its page on the way: then it is told. */
static void *store_1_or_lose(void *arg)
{
	struct slow *s = arg;
	int ret = eng_store(&s->e, 1, 0, 9);

	CHECK(ret == 0 || ret == 1 || ret == -EFAULT);
	return NULL;
}

static void *convert_1(void *arg)
{
	struct slow *s = arg;

	CHECK_OK(eng_convert(&s->e, 1, 1, CLO_CONVERT_TO_PRIVATE));
	return NULL;
}

static void *set_attributes_1(void *arg)
{
	struct slow *s = arg;

	CHECK_OK(clo_vm_set_attributes(s->e.vm, E_GPA + E_PAGE, E_PAGE, CLO_ATTR_PRIVATE));
	return NULL;
}

static void *delete_slot(void *arg)
{
	struct slow *s = arg;

	CHECK_OK(eng_slot_delete(&s->e, 0));
	return NULL;
}

static void another_host_works(void)
{
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	CHECK_OK(eng_store(&e, 1, 0, 1));
	CHECK_OK(eng_convert(&e, 1, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&e, 1, 0, 2));
	CHECK_OK(eng_punch(&e, 1, 1));
	CHECK_OK(eng_slot_delete(&e, 0));
	clo_gmem_close(e.gmem);
	eng_check(&e);
	clo_vm_destroy(e.vm, NULL);
	CHECK_EQ(eng_frames(&e), 0);
	/* The process's live memory says nothing here: the other host frees some meanwhile. */
	CHECK_OK(clo_host_destroy(e.host));
}

/* What concerns other pages of the same VM, for another vCPU. */
static void the_rest_of_the_vm_works(struct slow *s)
{
	struct eng *e = &s->e;
	uint8_t v = 3;
	struct clo_region r = { .size = sizeof(r),
				.slot = 7,
				.guest_phys_addr = 4 * E_GPA,
				.memory_size = E_PAGE,
				.userspace_addr = (uintptr_t)e->user + 40 * E_PAGE };

	CHECK_OK(clo_vm_set_region(e->vm, &r));
	CHECK_OK(clo_vcpu_access(s->other, 4 * E_GPA, &v, 1, CLO_ACCESS_WRITE));
	r.memory_size = 0;
	CHECK_OK(clo_vm_set_region(e->vm, &r));
	CHECK_OK(clo_vcpu_access(s->other, 4 * E_GPA, &v, 1, 0) == 1 ? 0 : -EIO);
}

static void the_rest_of_the_slot_works(struct slow *s)
{
	struct eng *e = &s->e;
	uint8_t v = 3;

	CHECK_OK(clo_vcpu_access(s->other, E_GPA + 2 * E_PAGE, &v, 1, CLO_ACCESS_WRITE));
	CHECK_OK(eng_convert(e, 2, 4, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(clo_vcpu_access(s->other, E_GPA + 2 * E_PAGE, &v, 1, CLO_ACCESS_WRITE));
	CHECK_OK(eng_punch(e, 2, 1));
	CHECK_OK(eng_convert(e, 2, 4, 0));
}

static void others_work(struct slow *s)
{
	another_host_works();
	the_rest_of_the_vm_works(s);
	the_rest_of_the_slot_works(s);
}

/* A vCPU is blocked at page 1 in @user; @changer takes the page from it meanwhile. */
static void blocked(void *(*user)(void *), void *(*changer)(void *), bool is_mapped)
{
	struct clo_leak_report report = { .size = sizeof(report) };
	struct clo_thread u, c;
	struct slow s;

	slow_open(&s);
	if (is_mapped) {
		slow_answer(&s);
		CHECK_OK(eng_store(&s.e, 1, 0, 1));
		/* As a balloon or a migration takes it, with the leaf in place. */
		CHECK_EQ(madvise(s.e.user + E_PAGE, E_PAGE, MADV_REMOVE), 0);
	}
	CHECK_OK(clo_thread_create(&u, user, &s));
	slow_await(&s);
	others_work(&s);
	if (changer)
		CHECK_OK(clo_thread_create(&c, changer, &s));
	while (changer && is_mapped && eng_mapped(&s.e, CLO_SPACE_SHARED, 1))
		clo_relax();
	another_host_works();
	the_rest_of_the_vm_works(&s);
	if (changer != delete_slot)
		the_rest_of_the_slot_works(&s);
	slow_answer(&s);
	CHECK_OK(clo_thread_join(&u));
	if (changer)
		CHECK_OK(clo_thread_join(&c));
	if (changer == convert_1) {
		CHECK(eng_is_private(&s.e, 1));
		CHECK_OK(clo_vm_report(s.e.vm, &report));
		CHECK_EQ(report.backed_twice, 0);
	}
	slow_close(&s);
}

TEST_TIMEOUT(a_fault_that_blocks, 60)
{
	blocked(store_1, NULL, false);
}

TEST_TIMEOUT(a_fault_that_blocks_while_its_page_is_converted, 60)
{
	blocked(store_1_or_lose, convert_1, false);
}

TEST_TIMEOUT(a_fault_that_blocks_while_its_slot_goes, 60)
{
	blocked(store_1_or_lose, delete_slot, false);
}

TEST_TIMEOUT(a_pre_fault_that_blocks, 60)
{
	blocked(pre_fault_1, NULL, false);
}

TEST_TIMEOUT(an_access_that_blocks, 60)
{
	blocked(store_1, NULL, true);
}

TEST_TIMEOUT(an_access_that_blocks_while_its_page_is_converted, 60)
{
	blocked(store_1_or_lose, convert_1, true);
}

TEST_TIMEOUT(an_access_that_blocks_while_its_attribute_changes, 60)
{
	blocked(store_1_or_lose, set_attributes_1, true);
}

TEST_TIMEOUT(an_access_that_blocks_while_its_slot_goes, 60)
{
	blocked(store_1_or_lose, delete_slot, true);
}

/* Memory that the conversion frees: its userfaultfd hears of it, and lets it return when it likes.
 */
TEST_TIMEOUT(freeing_that_blocks, 60)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_EVENT_REMOVE };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct clo_thread c;
	struct uffd_msg msg;
	struct slow s;

	s.uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (s.uffd < 0 || ioctl(s.uffd, UFFDIO_API, &api))
		SKIP("this host permits no userfaultfd with events");
	eng_open(&s.e, (struct eng_config){ .pages = 64 });
	CHECK_OK(clo_vcpu_create(s.e.vm, 1, &s.other));
	CHECK_OK(eng_store(&s.e, 1, 0, 1));
	reg.range.start = (uintptr_t)s.e.user + E_PAGE;
	reg.range.len = E_PAGE;
	CHECK_EQ(ioctl(s.uffd, UFFDIO_REGISTER, &reg), 0);
	CHECK_OK(clo_thread_create(&c, convert_1, &s));
	while (!eng_is_private(&s.e, 1))
		clo_relax();
	/* Nobody reads the event yet. */
	others_work(&s);
	CHECK_EQ(read(s.uffd, &msg, sizeof(msg)), sizeof(msg));
	CHECK_EQ(msg.event, UFFD_EVENT_REMOVE);
	CHECK_OK(clo_thread_join(&c));
	CHECK_EQ(ioctl(s.uffd, UFFDIO_UNREGISTER, &reg.range), 0);
	slow_close(&s);
}
