/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu/test_vcpu_buf.c - the caller's buffer of an access may be anything: a page in transition, a
 * page that gives a signal whose handler never comes back. Nobody else may have to wait for it.
 */
#include "vcpu/vcpu.h"

#include <setjmp.h>

#include "harness/engine.h"

#define ROUNDS 3000

static const struct eng_config in_place = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED,
	.view = CLO_HOST_VIEW_AUTO,
};

/* A machine with a host mapping of the file in *view. */
static void open_mapped(struct eng *e, uint8_t **view)
{
	struct eng_config c = in_place;
	struct clo_host *probe;
	uint32_t level;
	void *at;

	CHECK_OK(clo_host_create(NULL, &probe));
	level = clo_host_view(probe);
	CHECK_OK(clo_host_destroy(probe));
	if (level == CLO_HOST_VIEW_SOFT)
		SKIP("this host permits no mappings of a guest_memfd");
	c.view = level;
	eng_open(e, c);
	CHECK_OK(clo_gmem_mmap(e->gmem, 0, 16 * E_PAGE, true, &at));
	*view = at;
}

static void close_mapped(struct eng *e, uint8_t *view)
{
	CHECK_OK(clo_gmem_munmap(e->gmem, view, 16 * E_PAGE));
	eng_close(e);
}

struct holes {
	struct eng *e;
	struct clo_vcpu *vcpu;
	struct clo_a32 stop;
};

static void *punch_holes(void *arg)
{
	struct holes *h = arg;

	while (!clo_a32_get(&h->stop))
		CHECK_OK(eng_punch(h->e, 0, 1));
	return NULL;
}

/* So that each hole has a leaf to zap, and vCPUs to wait for. */
static void *touch_page(void *arg)
{
	struct holes *h = arg;
	uint8_t byte = 1;

	while (!clo_a32_get(&h->stop))
		CHECK_OK(clo_vcpu_access(h->vcpu, E_GPA, &byte, 1, CLO_ACCESS_WRITE));
	return NULL;
}

/* What virtio does: the buffer is shared guest memory, and its page becomes a hole meanwhile. */
TEST_TIMEOUT(buffer_in_a_page_that_becomes_a_hole, 120)
{
	struct clo_thread puncher, toucher;
	struct holes h = { 0 };
	uint8_t *view;
	struct eng e;

	open_mapped(&e, &view);
	h.e = &e;
	CHECK_OK(clo_vcpu_create(e.vm, 1, &h.vcpu));
	CHECK_OK(clo_thread_create(&puncher, punch_holes, &h));
	CHECK_OK(clo_thread_create(&toucher, touch_page, &h));
	for (unsigned i = 0; i < ROUNDS; i++) {
		CHECK_OK(clo_vcpu_access(e.vcpu, E_GPA + E_PAGE, view, 512, CLO_ACCESS_WRITE));
		CHECK_OK(clo_vcpu_access(e.vcpu, E_GPA + E_PAGE, view, 512, 0));
	}
	clo_a32_set(&h.stop, 1);
	CHECK_OK(clo_thread_join(&puncher));
	CHECK_OK(clo_thread_join(&toucher));
	close_mapped(&e, view);
}

static _Thread_local sigjmp_buf out;

static void leave(int sig)
{
	siglongjmp(out, sig);
}

static void leave_by_signals(void)
{
	struct sigaction sa = { .sa_handler = leave };

	CHECK_EQ(sigaction(SIGBUS, &sa, NULL), 0);
	CHECK_EQ(sigaction(SIGSEGV, &sa, NULL), 0);
}

/* The signal that an access with @buf ended in; 0: none. */
static int signal_of(struct clo_vcpu *vcpu, uint64_t gpa, void *buf, size_t bytes, uint32_t flags)
{
	int sig = sigsetjmp(out, 1);

	if (sig == 0)
		CHECK_OK(clo_vcpu_access(vcpu, gpa, buf, bytes, flags));
	return sig;
}

/* As after any other call: changes of the page finish, the vCPU works, nothing is held. */
static void goes_on(struct eng *e)
{
	CHECK_OK(eng_convert(e, 1, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_punch(e, 1, 1));
	CHECK_OK(eng_convert(e, 1, 1, 0));
	CHECK_OK(eng_slot_delete(e, 0));
	CHECK_OK(eng_slot(e, 0, E_GPA, e->pages, 0));
	CHECK_OK(eng_store(e, 1, 0, 7));
	CHECK_EQ(eng_byte(e, 1, 0), 7);
}

TEST(private_page_of_a_view_as_buffer)
{
	uint8_t *view;
	struct eng e;

	open_mapped(&e, &view);
	leave_by_signals();
	CHECK_OK(eng_store(&e, 1, 0, 1));
	CHECK_OK(eng_convert(&e, 4, 1, CLO_CONVERT_TO_PRIVATE));
	for (unsigned i = 0; i < 8; i++) {
		CHECK_EQ(signal_of(e.vcpu, E_GPA + E_PAGE, view + 4 * E_PAGE, 8, 0), SIGBUS);
		CHECK_EQ(signal_of(e.vcpu, E_GPA + E_PAGE, view + 4 * E_PAGE, 8, CLO_ACCESS_WRITE),
			 SIGBUS);
		CHECK_EQ(eng_byte(&e, 1, 0), i ? 7 : 1);
		goes_on(&e);
	}
	close_mapped(&e, view);
}

/* The signal comes at the caller's own access: pages before it are done, its page is not. */
static void bad_buffers(struct eng_config c)
{
	uint8_t *buf;
	struct eng e;

	eng_open(&e, c);
	leave_by_signals();
	buf = mmap(NULL, 2 * E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(buf != MAP_FAILED);
	CHECK_EQ(mprotect(buf + E_PAGE, E_PAGE, PROT_NONE), 0);
	memset(buf, 3, E_PAGE);
	CHECK_OK(eng_store(&e, 1, 0, 1));
	CHECK_OK(eng_store(&e, 2, 0, 2));
	CHECK_EQ(signal_of(e.vcpu, E_GPA + E_PAGE, buf, 2 * E_PAGE, CLO_ACCESS_WRITE), SIGSEGV);
	CHECK_EQ(eng_byte(&e, 1, 0), 3);
	CHECK_EQ(eng_byte(&e, 2, 0), 2);
	goes_on(&e);
	CHECK_EQ(signal_of(e.vcpu, E_GPA + E_PAGE, buf, 2 * E_PAGE, 0), SIGSEGV);
	CHECK_EQ(buf[0], 7);
	goes_on(&e);
	CHECK_EQ(signal_of(e.vcpu, E_GPA + E_PAGE, buf + E_PAGE, 1, 0), SIGSEGV);
	CHECK_EQ(mprotect(buf, E_PAGE, PROT_READ), 0);
	CHECK_EQ(signal_of(e.vcpu, E_GPA + E_PAGE, buf, 8, 0), SIGSEGV);
	CHECK_EQ(signal_of(e.vcpu, E_GPA + E_PAGE, buf, 8, CLO_ACCESS_WRITE), 0);
	goes_on(&e);
	CHECK_EQ(munmap(buf, 2 * E_PAGE), 0);
	eng_close(&e);
}

TEST(unmapped_buffer_in_place)
{
	struct eng_config c = in_place;

	c.view = CLO_HOST_VIEW_SOFT;
	bad_buffers(c);
}

TEST(unmapped_buffer_two_backings)
{
	bad_buffers((struct eng_config){ 0 });
}
