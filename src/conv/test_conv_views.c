/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/test_conv_views.c - a conversion of several parts, one of which cannot be taken out of the
 * host's view: the process is at its limit of mappings (level REMAP needs one for each border).
 */
#include "conv/conv.h"

#include "harness/engine.h"
#include "harness/touch.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGES 16U

struct many {
	uint8_t *base;
	size_t pages;
	void *single[4];
};

/* As many mappings as the process may have, but @spare. */
static void use_up(struct many *m, unsigned spare)
{
	unsigned n = 0;

	m->pages = 1U << 17;
	m->base = mmap(NULL, m->pages * E_PAGE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(m->base != MAP_FAILED);
	for (size_t i = 1; i < m->pages; i += 2) {
		if (mprotect(m->base + i * E_PAGE, E_PAGE, PROT_READ))
			break;
		n++;
	}
	if (n == m->pages / 2)
		SKIP("vm.max_map_count is too high to be reached in a test");
	/* One by one to the limit: shared mappings do not become one. */
	memset(m->single, 0, sizeof(m->single));
	for (n = 0; n < CLO_ARRAY_SIZE(m->single); n++) {
		m->single[n] = mmap(NULL, E_PAGE, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (m->single[n] == MAP_FAILED)
			break;
	}
	CHECK(n >= spare && n < CLO_ARRAY_SIZE(m->single));
	while (spare-- > 0)
		CHECK_OK(munmap(m->single[--n], E_PAGE));
}

static void give_back(struct many *m)
{
	CHECK_OK(munmap(m->base, m->pages * E_PAGE));
}

/*
 * Two files in a row, both mapped and shared. All of file @easy is converted, which needs no new
 * mapping, and a page in the middle of the other, which needs two.
 */
static void second_part_fails(unsigned easy)
{
	struct eng_config cfg = { .owner = CLO_ATTR_OWNER_GMEM,
				  .view = CLO_HOST_VIEW_REMAP,
				  .gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED,
				  .pages = PAGES,
				  .no_slot = true };
	struct clo_gmem *file[2];
	struct clo_convert c;
	uint8_t *view[2];
	struct many many;
	struct eng e;

	eng_open(&e, cfg);
	touch_init();
	file[0] = e.gmem;
	CHECK_OK(clo_gmem_create(e.vm, PAGES * E_PAGE, cfg.gmem_flags, 0, &file[1]));
	/* The page in the middle of the hard file is the neighbour of the easy one. */
	for (unsigned i = 0; i < 2; i++) {
		struct clo_region r = eng_region(&e, i, E_GPA, PAGES, 0);

		r.gmem = file[i];
		if (i != easy) {
			r.guest_phys_addr = E_GPA + PAGES * E_PAGE;
			r.guest_memfd_offset = 4 * E_PAGE;
			r.memory_size = E_PAGE;
		}
		CHECK_OK(clo_vm_set_region(e.vm, &r));
		CHECK_OK(clo_gmem_mmap(file[i], 0, PAGES * E_PAGE, true, (void **)&view[i]));
		for (unsigned p = 0; p < PAGES; p++)
			view[i][p * E_PAGE] = (uint8_t)(p + 1);
	}
	c = eng_range(0, PAGES + 1, CLO_CONVERT_TO_PRIVATE);
	use_up(&many, 1);
	CHECK_ERR(clo_vm_convert(e.vm, &c), -ENOMEM);
	give_back(&many);
	CHECK_EQ(c.error_gpa, E_GPA + PAGES * E_PAGE);
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned p = 0; p < PAGES; p++)
			CHECK_EQ(touch_load(view[i] + p * E_PAGE), (int)p + 1);
	}
	CHECK(!eng_is_private(&e, 0));
	eng_check(&e);
	CHECK_OK(clo_vm_convert(e.vm, &c));
	CHECK_EQ(touch_load(view[easy]), -1);
	CHECK_EQ(touch_load(view[!easy] + 4 * E_PAGE), -1);
	CHECK_EQ(touch_load(view[!easy] + 5 * E_PAGE), 6);
	eng_close(&e);
}

/* Parts are taken in the order of their files' addresses, so in one of the two the part that fails
 * comes second. */
TEST_TIMEOUT(a_part_that_cannot_be_hidden_shows_the_others_again, 120)
{
	second_part_fails(0);
	second_part_fails(1);
}

/*
 * A limit, kept here so that it is known: a reference that the kernel has taken of a shared page
 * (vmsplice here; io_uring buffers, O_DIRECT in flight and vhost are the same) does not stop a
 * conversion, and leads to what the guest stores afterwards.
 */
TEST(a_reference_of_the_kernel_is_not_seen)
{
	struct eng_config cfg = { .owner = CLO_ATTR_OWNER_GMEM,
				  .view = CLO_HOST_VIEW_REMAP,
				  .gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED };
	uint8_t *view, got = 0;
	struct iovec v;
	struct eng e;
	int fd[2];

	eng_open(&e, cfg);
	CHECK_OK(clo_gmem_mmap(e.gmem, 0, e.pages * E_PAGE, true, (void **)&view));
	view[0] = 5;
	CHECK_OK(pipe(fd));
	v = (struct iovec){ view, 1 };
	CHECK_EQ(vmsplice(fd[1], &v, 1, 0), 1);
	CHECK_OK(eng_convert(&e, 0, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&e, 0, 0, 9));
	CHECK_EQ(read(fd[0], &got, 1), 1);
	CHECK_EQ(got, 9);
	close(fd[0]);
	close(fd[1]);
	eng_close(&e);
}
