/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/test_host_access.c - clo_gmem_host_access() and the caller's buffer, which may be any memory:
 * it ends with an errno that says how far it came, and nobody waits for it.
 */
#include "harness/engine.h"
#include "harness/thread.h"

#include <sys/uio.h>
#include <unistd.h>

static void open_level(struct eng *e, uint32_t level)
{
	struct clo_host_config hc = { .size = sizeof(hc), .view = level, .mem_bytes = 1 << 20 };
	struct clo_host *probe;
	int ret = clo_host_create(&hc, &probe);

	if (ret == -EPERM || ret == -ENOSYS)
		SKIP("this level of host view is not permitted here");
	CHECK_OK(ret);
	CHECK_OK(clo_host_destroy(probe));
	eng_open(e, (struct eng_config){
			    .owner = CLO_ATTR_OWNER_GMEM,
			    .view = level,
			    .gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED,
		    });
}

static int access_at(struct eng *e, uint64_t off, void *buf, size_t bytes, bool write)
{
	return clo_gmem_host_access(e->gmem, off, buf, bytes, write);
}

static void fill_file(struct eng *e)
{
	uint8_t page[E_PAGE];

	for (uint64_t i = 0; i < 16; i++) {
		memset(page, (int)(0x10 + i), sizeof(page));
		CHECK_OK(access_at(e, i * E_PAGE, page, sizeof(page), true));
	}
}

/* Three pages of which the last cannot be had: exactly what is before it is copied. */
static void bad_buffer(uint32_t level)
{
	struct eng e;
	uint8_t *buf =
		mmap(NULL, 3 * E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(buf != MAP_FAILED);
	open_level(&e, level);
	fill_file(&e);
	CHECK_EQ(mprotect(buf + 2 * E_PAGE, E_PAGE, PROT_NONE), 0);
	CHECK_ERR(access_at(&e, 100, buf, 3 * E_PAGE, false), -EFAULT);
	CHECK_EQ(buf[0], 0x10);
	CHECK_EQ(buf[2 * E_PAGE - 1], 0x12);
	memset(buf, 0x77, 2 * E_PAGE);
	CHECK_ERR(access_at(&e, 100, buf, 3 * E_PAGE, true), -EFAULT);
	CHECK_EQ(eng_byte(&e, 0, 0), 0x10);
	CHECK_EQ(eng_byte(&e, 1, 0), 0x77);
	CHECK_OK(access_at(&e, 2 * E_PAGE + 99, buf, 2, false));
	CHECK_EQ(buf[0], 0x77);
	CHECK_EQ(buf[1], 0x12);
	/* Not at all, and one way only. */
	CHECK_ERR(access_at(&e, 0, NULL, 1, false), -EFAULT);
	CHECK_ERR(access_at(&e, 0, NULL, 1, true), -EFAULT);
	CHECK_ERR(access_at(&e, 0, (void *)~0xfffULL, 1, true), -EFAULT);
	CHECK_EQ(mprotect(buf, E_PAGE, PROT_READ), 0);
	CHECK_ERR(access_at(&e, 0, buf, 8, false), -EFAULT);
	CHECK_OK(access_at(&e, 3 * E_PAGE, buf, 8, true));
	CHECK_EQ(eng_byte(&e, 3, 0), 0x77);
	/* The file's side ends it in the same way. */
	CHECK_OK(eng_convert(&e, 5, 1, CLO_CONVERT_TO_PRIVATE));
	memset(buf + E_PAGE, 0, E_PAGE);
	CHECK_ERR(access_at(&e, 5 * E_PAGE - 8, buf + E_PAGE, 16, false), -EFAULT);
	CHECK_EQ(buf[E_PAGE + 7], 0x14);
	CHECK_EQ(buf[E_PAGE + 8], 0);
	CHECK_EQ(munmap(buf, 3 * E_PAGE), 0);
	eng_close(&e);
}
TEST(uffd_bad_buffer)
{
	bad_buffer(CLO_HOST_VIEW_UFFD);
}
TEST(remap_bad_buffer)
{
	bad_buffer(CLO_HOST_VIEW_REMAP);
}
TEST(soft_bad_buffer)
{
	bad_buffer(CLO_HOST_VIEW_SOFT);
}

/* The buffer is guest memory itself: the page that is accessed, another, a private one. */
static void buffer_in_view(uint32_t level)
{
	struct eng e;
	uint8_t *v;
	void *addr;

	open_level(&e, level);
	CHECK_OK(clo_gmem_mmap(e.gmem, 0, 16 * E_PAGE, true, &addr));
	v = addr;
	fill_file(&e);
	CHECK_OK(access_at(&e, 2 * E_PAGE, v + 2 * E_PAGE, E_PAGE, false));
	CHECK_OK(access_at(&e, 2 * E_PAGE, v + 2 * E_PAGE, E_PAGE, true));
	CHECK_OK(access_at(&e, 2 * E_PAGE, v + 3 * E_PAGE, E_PAGE, false));
	CHECK_EQ(v[3 * E_PAGE], 0x12);
	CHECK_OK(access_at(&e, 2 * E_PAGE, v + 4 * E_PAGE, E_PAGE, true));
	CHECK_EQ(eng_byte(&e, 2, 0), 0x14);
	CHECK_OK(eng_convert(&e, 6, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_ERR(access_at(&e, 2 * E_PAGE, v + 6 * E_PAGE, 1, false), -EFAULT);
	CHECK_ERR(access_at(&e, 2 * E_PAGE, v + 6 * E_PAGE, 1, true), -EFAULT);
	CHECK_ERR(access_at(&e, 6 * E_PAGE, v + 6 * E_PAGE, 1, false), -EFAULT);
	CHECK_OK(eng_convert(&e, 6, 1, 0));
	CHECK_OK(clo_gmem_munmap(e.gmem, addr, 16 * E_PAGE));
	/* What was a view is no memory now. */
	CHECK_ERR(access_at(&e, 2 * E_PAGE, v + 6 * E_PAGE, 1, true), -EFAULT);
	eng_close(&e);
}
TEST(uffd_buffer_in_view)
{
	buffer_in_view(CLO_HOST_VIEW_UFFD);
}
TEST(remap_buffer_in_view)
{
	buffer_in_view(CLO_HOST_VIEW_REMAP);
}

struct changes {
	struct eng *e;
	struct clo_a32 stop;
};

static void *change(void *arg)
{
	struct changes *c = arg;

	while (!clo_a32_get(&c->stop)) {
		CHECK_OK(eng_punch(c->e, 2, 1));
		CHECK_OK(eng_convert(c->e, 2, 2, CLO_CONVERT_TO_PRIVATE));
		CHECK_OK(eng_convert(c->e, 2, 2, 0));
	}
	return NULL;
}

/* File page and buffer are in transition all the time: it ends, well or with EFAULT. */
static void buffer_in_transition(uint32_t level)
{
	struct clo_thread t;
	struct changes c = { 0 };
	struct eng e;
	uint8_t *v;
	void *addr;

	open_level(&e, level);
	CHECK_OK(clo_gmem_mmap(e.gmem, 0, 16 * E_PAGE, true, &addr));
	v = addr;
	c.e = &e;
	CHECK_OK(clo_thread_create(&t, change, &c));
	for (unsigned i = 0; i < 2000; i++) {
		int ret = access_at(&e, (2 + i % 3) * E_PAGE, v + 2 * E_PAGE, 512, i % 2);

		if (ret)
			CHECK_ERR(ret, -EFAULT);
	}
	clo_a32_set(&c.stop, 1);
	CHECK_OK(clo_thread_join(&t));
	CHECK_OK(clo_gmem_munmap(e.gmem, addr, 16 * E_PAGE));
	eng_close(&e);
}
TEST_TIMEOUT(uffd_buffer_in_transition, 120)
{
	buffer_in_transition(CLO_HOST_VIEW_UFFD);
}
TEST_TIMEOUT(remap_buffer_in_transition, 120)
{
	buffer_in_transition(CLO_HOST_VIEW_REMAP);
}

/* A buffer that nobody serves yet: meanwhile its file can be unmapped, converted and closed. */
struct slow {
	struct eng *e;
	uint8_t *buf;
	struct clo_a32 tid;
	int ret;
};

static void *access_slow(void *arg)
{
	struct slow *s = arg;

	clo_a32_set(&s->tid, thread_id());
	s->ret = access_at(s->e, 2 * E_PAGE, s->buf, 8, false);
	return NULL;
}

TEST_TIMEOUT(uffd_buffer_that_blocks, 60)
{
	struct clo_pfn pfn, head;
	struct eng e, other;
	struct slow s = { 0 };
	struct clo_thread t;
	uint8_t *v, byte;
	void *addr;

	open_level(&e, CLO_HOST_VIEW_UFFD);
	open_level(&other, CLO_HOST_VIEW_UFFD);
	fill_file(&e);
	CHECK_OK(clo_gmem_mmap(other.gmem, 0, 16 * E_PAGE, true, &addr));
	v = addr;
	/* A page of the other host's file whose folio is locked: its first touch is asked for
	 * again and again, until the lock goes. */
	CHECK_OK(access_at(&other, 4 * E_PAGE, &byte, 1, false));
	CHECK(clo_gmem_pfn(other.gmem, 4, &pfn));
	CHECK(clo_page_lock(other.host->db, pfn, &head));
	s.e = &e;
	s.buf = v + 4 * E_PAGE;
	CHECK_OK(clo_thread_create(&t, access_slow, &s));
	/* Asleep: it has its bytes, and waits for its buffer. */
	while (clo_a32_get(&s.tid) == 0 || thread_state(clo_a32_get(&s.tid)) == 'R')
		clo_relax();
	for (unsigned i = 0; i < 50; i++) {
		CHECK_OK(eng_convert(&e, 2, 2, CLO_CONVERT_TO_PRIVATE));
		CHECK_OK(eng_punch(&e, 2, 2));
		CHECK_OK(eng_convert(&e, 2, 2, 0));
		CHECK_OK(clo_gmem_mmap(e.gmem, 0, 16 * E_PAGE, true, &addr));
		CHECK_OK(clo_gmem_munmap(e.gmem, addr, 16 * E_PAGE));
	}
	clo_rcu_synchronize();
	clo_page_unlock(other.host->db, head);
	CHECK_OK(clo_thread_join(&t));
	CHECK_OK(s.ret);
	CHECK_OK(clo_gmem_munmap(other.gmem, v, 16 * E_PAGE));
	clo_vm_destroy(other.vm, NULL);
	CHECK_OK(clo_host_destroy(other.host));
	eng_close(&e);
}
