/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/test_conv_args.c - what the public calls refuse, in KVM's order where KVM has the call.
 */
#include "conv/conv.h"

#include "harness/engine.h"

#define TOP (UINT64_MAX - E_PAGE + 1) /* the last page: an end of 2^64 wraps */

static const struct eng_config in_place = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED,
};

TEST(set_attributes_of_the_vm)
{
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	CHECK_ERR(clo_vm_set_attributes(e.vm, 0, E_PAGE, CLO_ATTR_PRIVATE | 1), -EINVAL);
	CHECK_ERR(clo_vm_set_attributes(e.vm, 0, 0, CLO_ATTR_PRIVATE), -EINVAL);
	CHECK_ERR(clo_vm_set_attributes(e.vm, 1, E_PAGE, CLO_ATTR_PRIVATE), -EINVAL);
	CHECK_ERR(clo_vm_set_attributes(e.vm, 0, E_PAGE + 1, CLO_ATTR_PRIVATE), -EINVAL);
	CHECK_ERR(clo_vm_set_attributes(e.vm, TOP, 2 * E_PAGE, CLO_ATTR_PRIVATE), -EINVAL);
	CHECK_ERR(clo_vm_set_attributes(e.vm, TOP, E_PAGE, CLO_ATTR_PRIVATE), -EINVAL);
	CHECK_ERR(clo_gmem_set_attributes(e.gmem, 0, E_PAGE, CLO_ATTR_PRIVATE, NULL), -ENOTTY);
	CHECK_EQ(eng_stats(&e).conversions_failed, 0);
	eng_close(&e);
	/* A type without private memory: nothing but 0 can be set. */
	eng_open(&e, (struct eng_config){ .is_default = true });
	CHECK_ERR(clo_vm_set_attributes(e.vm, 0, E_PAGE, CLO_ATTR_PRIVATE), -EINVAL);
	CHECK_OK(clo_vm_set_attributes(e.vm, 0, E_PAGE, 0));
	CHECK_ERR(eng_convert(&e, 0, 1, CLO_CONVERT_TO_PRIVATE), -EINVAL);
	CHECK_ERR(eng_convert(&e, 0, 1, 0), -EINVAL);
	eng_close(&e);
}

TEST(set_attributes_of_the_file)
{
	uint64_t at = 77;
	struct eng e;

	eng_open(&e, in_place);
	CHECK_ERR(clo_vm_set_attributes(e.vm, E_GPA, E_PAGE, CLO_ATTR_PRIVATE), -ENOTTY);
	CHECK_ERR(clo_gmem_set_attributes(e.gmem, 0, E_PAGE, 1, &at), -EINVAL);
	CHECK_ERR(clo_gmem_set_attributes(e.gmem, 0, 0, 0, &at), -EINVAL);
	CHECK_ERR(clo_gmem_set_attributes(e.gmem, 1, E_PAGE, 0, &at), -EINVAL);
	CHECK_ERR(clo_gmem_set_attributes(e.gmem, 0, 17 * E_PAGE, 0, &at), -EINVAL);
	CHECK_ERR(clo_gmem_set_attributes(e.gmem, 16 * E_PAGE, E_PAGE, 0, &at), -EINVAL);
	/* Ends that wrap to 0 or beyond it must not pass for small ones. */
	CHECK_ERR(clo_gmem_set_attributes(e.gmem, E_PAGE, TOP, 0, &at), -EINVAL);
	CHECK_ERR(clo_gmem_set_attributes(e.gmem, E_PAGE, TOP, CLO_ATTR_PRIVATE, &at), -EINVAL);
	CHECK_ERR(clo_gmem_set_attributes(e.gmem, 2 * E_PAGE, TOP, 0, &at), -EINVAL);
	CHECK_ERR(clo_gmem_set_attributes(e.gmem, TOP, E_PAGE, 0, &at), -EINVAL);
	CHECK_EQ(at, 77); /* no place: the arguments are at fault */
	CHECK_EQ(eng_stats(&e).conversions_failed, 0);
	eng_close(&e);
	eng_open(&e, (struct eng_config){ .is_default = true,
					  .owner = CLO_ATTR_OWNER_GMEM,
					  .gmem_flags = CLO_GMEM_MMAP });
	CHECK_ERR(clo_gmem_set_attributes(e.gmem, 0, E_PAGE, 0, NULL), -EINVAL);
	eng_close(&e);
}

TEST(convert)
{
	struct clo_convert c;
	struct eng e;

	for (unsigned owner = 0; owner < 2; owner++) {
		eng_open(&e, owner ? in_place : (struct eng_config){ 0 });
		c = eng_range(0, 1, 4);
		CHECK_ERR(clo_vm_convert(e.vm, &c), -EINVAL);
		c = eng_range(0, 0, 0);
		CHECK_ERR(clo_vm_convert(e.vm, &c), -EINVAL);
		c = eng_range(0, 1, 0);
		c.gpa++;
		CHECK_ERR(clo_vm_convert(e.vm, &c), -EINVAL);
		c = eng_range(0, 1, 0);
		c.bytes = TOP - E_GPA + E_PAGE;
		CHECK_ERR(clo_vm_convert(e.vm, &c), -EINVAL);
		c = eng_range(0, 17, CLO_CONVERT_TO_PRIVATE);
		CHECK_ERR(clo_vm_convert(e.vm, &c), -ENOENT);
		CHECK_EQ(c.error_gpa, E_GPA + 16 * E_PAGE);
		eng_close(&e);
	}
}

TEST(get_attributes)
{
	uint64_t attributes = 1, same = 1;
	struct eng e;

	eng_open(&e, in_place);
	CHECK_ERR(clo_vm_get_attributes(e.vm, 1, E_PAGE, &attributes, &same), -EINVAL);
	CHECK_ERR(clo_vm_get_attributes(e.vm, 0, 0, &attributes, &same), -EINVAL);
	CHECK_ERR(clo_vm_get_attributes(e.vm, TOP, E_PAGE, &attributes, &same), -EINVAL);
	CHECK_EQ(attributes, 1);
	CHECK_OK(eng_convert(&e, 2, 3, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(clo_vm_get_attributes(e.vm, E_GPA, 1ULL << 40, &attributes, &same));
	CHECK_EQ(attributes, 0);
	CHECK_EQ(same, 2 * E_PAGE);
	CHECK_OK(clo_vm_get_attributes(e.vm, E_GPA + 2 * E_PAGE, 2 * E_PAGE, &attributes, &same));
	CHECK_EQ(attributes, CLO_ATTR_PRIVATE);
	CHECK_EQ(same, 2 * E_PAGE);
	/* Where no memslot is nothing is private; a run ends with its memslot. */
	CHECK_OK(clo_vm_get_attributes(e.vm, E_GPA + 5 * E_PAGE, 1ULL << 40, &attributes, &same));
	CHECK_EQ(same, 11 * E_PAGE);
	CHECK_OK(clo_vm_get_attributes(e.vm, 0, E_PAGE, &attributes, &same));
	CHECK_EQ(attributes, 0);
	CHECK_EQ(same, E_PAGE);
	clo_gmem_close(e.gmem);
	CHECK(!eng_is_private(&e, 3));
	eng_close(&e);
	/* The file of a DEFAULT VM may be closed to the host; to the guest it is ordinary memory.
	 */
	eng_open(&e, (struct eng_config){ .is_default = true,
					  .owner = CLO_ATTR_OWNER_GMEM,
					  .gmem_flags = CLO_GMEM_MMAP });
	CHECK(!eng_is_private(&e, 0));
	eng_close(&e);
}

TEST(pins)
{
	struct clo_gmem_pin *pin;
	uint64_t at = 0;
	struct eng e;

	eng_open(&e, in_place);
	CHECK_ERR(clo_gmem_pin(e.gmem, 1, E_PAGE, "x", &pin, &at), -EINVAL);
	CHECK_ERR(clo_gmem_pin(e.gmem, 0, 0, "x", &pin, &at), -EINVAL);
	CHECK_ERR(clo_gmem_pin(e.gmem, 16 * E_PAGE, E_PAGE, "x", &pin, &at), -EINVAL);
	CHECK_ERR(clo_gmem_pin_nowait(e.gmem, 0, 17 * E_PAGE, "x", &pin, &at), -EINVAL);
	CHECK_OK(eng_convert(&e, 3, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_ERR(clo_gmem_pin(e.gmem, 0, 16 * E_PAGE, "x", &pin, &at), -EFAULT);
	CHECK_EQ(at, 3 * E_PAGE);
	CHECK_ERR(clo_gmem_pin_nowait(e.gmem, 3 * E_PAGE, E_PAGE, "x", &pin, &at), -EFAULT);
	CHECK_EQ(eng_frame(&e, 0).pins, 0);
	clo_alloc_fail_at(1);
	CHECK_ERR(clo_gmem_pin(e.gmem, 0, E_PAGE, "x", &pin, &at), -ENOMEM);
	clo_alloc_fail_at(1);
	CHECK_ERR(clo_gmem_pin_nowait(e.gmem, 0, E_PAGE, "x", &pin, &at), -ENOMEM);
	clo_alloc_fail_at(0);
	CHECK_OK(clo_gmem_pin(e.gmem, 0, E_PAGE, NULL, &pin, NULL));
	clo_gmem_unpin(pin);
	clo_gmem_unpin(NULL);
	eng_close(&e);
}

TEST(the_host_runs_out_of_memory_for_a_device)
{
	struct clo_convert c = eng_range(0, 16, 0);
	struct clo_dma_listener l = { .size = sizeof(l), .name = "iommu" };
	struct eng_config cfg = in_place;
	struct eng e;

	cfg.mem_bytes = 4 * E_PAGE;
	cfg.gmem_flags = CLO_GMEM_MMAP;
	eng_open(&e, cfg);
	CHECK_OK(clo_vm_add_dma_listener(e.vm, &l));
	CHECK_ERR(clo_vm_convert(e.vm, &c), -ENOMEM);
	CHECK_EQ(c.error_offset, 4 * E_PAGE);
	CHECK_EQ(c.error_gpa, E_GPA + 4 * E_PAGE);
	CHECK(eng_is_private(&e, 0));
	eng_close(&e);
}
