/* SPDX-License-Identifier: Apache-2.0 */
/*
 * public/test_query.c - what a VMM can ask: a file's size and flags, and capabilities, each of
 * which must be what the call that it is about does.
 */
#include "harness/engine.h"

TEST(a_file_says_what_it_is)
{
	struct clo_gmem *huge;
	struct eng e;

	eng_open(&e, (struct eng_config){ .gmem_flags = CLO_GMEM_MMAP });
	CHECK_EQ(clo_gmem_size(e.gmem), 16 * E_PAGE);
	CHECK_EQ(clo_gmem_flags(e.gmem), CLO_GMEM_MMAP);
	CHECK_EQ(clo_gmem_page_order(e.gmem), 0);
	CHECK_OK(clo_gmem_create(e.vm, 2 * E_2M, CLO_GMEM_HUGETLB, 9, &huge));
	CHECK_EQ(clo_gmem_size(huge), 2 * E_2M);
	CHECK_EQ(clo_gmem_flags(huge), CLO_GMEM_HUGETLB);
	CHECK_EQ(clo_gmem_page_order(huge), 9);
	clo_gmem_close(huge);
	eng_close(&e);
}

static const struct eng_config kinds[] = {
	{ .owner = CLO_ATTR_OWNER_VM },
	{ .owner = CLO_ATTR_OWNER_GMEM },
	{ .is_default = true },
	{ .is_default = true, .owner = CLO_ATTR_OWNER_GMEM },
};

static void check_flags(struct eng *e)
{
	uint64_t gmem_flags = clo_vm_capability(e->vm, CLO_CAP_GUEST_MEMFD_FLAGS);
	uint64_t mem_flags = clo_vm_capability(e->vm, CLO_CAP_MEM_FLAGS);

	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t flag = 1ULL << bit;
		uint32_t order = flag == CLO_GMEM_HUGETLB ? 9 : 0;
		struct clo_gmem *g;
		bool can = clo_gmem_create(e->vm, E_2M, flag, order, &g) == 0;

		CHECK_EQ(can, (gmem_flags & flag) != 0);
		if (can)
			clo_gmem_close(g);
	}
	for (unsigned bit = 0; bit < 32; bit++) {
		struct clo_region r = eng_region(e, 7, E_GPA + 64 * E_PAGE, 4, 0);
		bool can;

		r.flags = 1U << bit;
		if (r.flags == CLO_MEM_GUEST_MEMFD) {
			CHECK_OK(clo_gmem_create(e->vm, 4 * E_PAGE, 0, 0, &r.gmem));
			CHECK(mem_flags & CLO_MEM_GUEST_MEMFD);
		}
		can = clo_vm_set_region(e->vm, &r) == 0;
		CHECK_EQ(can, (mem_flags >> bit) & 1);
		if (can)
			CHECK_OK(eng_slot_delete(e, 7));
	}
	CHECK_EQ(clo_vm_capability(e->vm, CLO_CAP_READONLY_MEM),
		 (mem_flags / CLO_MEM_READONLY) & 1);
}

static void check_attributes(struct eng *e)
{
	uint64_t by_vm = clo_vm_capability(e->vm, CLO_CAP_MEMORY_ATTRIBUTES);
	uint64_t by_gmem = clo_vm_capability(e->vm, CLO_CAP_GUEST_MEMFD_ATTRIBUTES);
	uint64_t convert = clo_vm_capability(e->vm, CLO_CAP_CONVERT_FLAGS);
	uint64_t at;

	for (unsigned bit = 0; bit < 64; bit++) {
		CHECK_EQ(clo_vm_set_attributes(e->vm, E_GPA, E_PAGE, 1ULL << bit) == 0,
			 (by_vm >> bit) & 1);
		CHECK_EQ(clo_gmem_set_attributes(e->gmem, 0, E_PAGE, 1ULL << bit, &at) == 0,
			 (by_gmem >> bit) & 1);
	}
	for (unsigned bit = 0; bit < 32 && (by_vm | by_gmem); bit++) {
		struct clo_convert c = eng_range(0, 1, 1U << bit);

		CHECK_EQ(clo_vm_convert(e->vm, &c) == 0, (convert >> bit) & 1);
	}
}

TEST(what_a_vm_says_it_does)
{
	for (unsigned i = 0; i < CLO_ARRAY_SIZE(kinds); i++) {
		struct clo_vcpu *vcpu;
		uint32_t vcpus, spaces;
		struct eng e;

		eng_open(&e, kinds[i]);
		check_flags(&e);
		check_attributes(&e);
		vcpus = (uint32_t)clo_vm_capability(e.vm, CLO_CAP_MAX_VCPUS);
		CHECK_OK(clo_vcpu_create(e.vm, vcpus - 1, &vcpu));
		CHECK_ERR(clo_vcpu_create(e.vm, vcpus, &vcpu), -EINVAL);
		spaces = (uint32_t)clo_vm_capability(e.vm, CLO_CAP_MULTI_ADDRESS_SPACE);
		for (uint32_t as = 0; as < 4; as++) {
			struct clo_region r = { .size = sizeof(r), .memory_size = E_PAGE };

			r.slot = as << 16 |
				 (uint32_t)(clo_vm_capability(e.vm, CLO_CAP_NR_MEMSLOTS) - 1);
			r.userspace_addr = (uintptr_t)e.user;
			CHECK_EQ(clo_vm_set_region(e.vm, &r) == 0, as < spaces);
			r.slot++;
			CHECK_ERR(clo_vm_set_region(e.vm, &r), -EINVAL);
		}
		CHECK_EQ(clo_vm_capability(e.vm, CLO_CAP_EXIT_HYPERCALL),
			 1 << CLO_HC_MAP_GPA_RANGE);
		CHECK_EQ(clo_vm_capability(e.vm, CLO_CAP_HOST_VIEW), clo_host_view(e.host));
		for (uint32_t cap = CLO_CAP_USER_MEMORY2; cap <= CLO_CAP_PRE_FAULT_MEMORY; cap++)
			CHECK(clo_vm_capability(e.vm, cap) || cap == CLO_CAP_MEMORY_ATTRIBUTES);
		CHECK_EQ(clo_vm_capability(e.vm, CLO_CAP_MEMORY_ERROR), 1);
		CHECK_EQ(clo_vm_capability(e.vm, 0), 0);
		CHECK_EQ(clo_vm_capability(e.vm, UINT32_MAX), 0);
		eng_close(&e);
	}
}

TEST(what_a_host_says_it_makes)
{
	struct clo_vm *vm;
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	for (uint32_t type = 0; type < 32; type++) {
		struct clo_vm_config c = { .size = sizeof(c), .type = type };
		bool can = clo_vm_create(e.host, &c, &vm) == 0;

		CHECK_EQ(can, (clo_host_capability(e.host, CLO_CAP_VM_TYPES) >> type) & 1);
		if (!can)
			continue;
		CHECK_EQ(clo_vm_capability(vm, CLO_CAP_VM_TYPES), 1ULL << type);
		for (unsigned bit = 0; bit < 32; bit++) {
			struct clo_vm *other;

			c.flags = 1U << bit;
			can = clo_vm_create(e.host, &c, &other) == 0;
			CHECK_EQ(can, (clo_vm_capability(vm, CLO_CAP_VM_FLAGS) >> bit) & 1);
			if (can)
				CHECK_OK(clo_vm_destroy(other, NULL));
		}
		CHECK_OK(clo_vm_destroy(vm, NULL));
	}
	/* Of all types and owners. */
	CHECK_EQ(clo_host_capability(e.host, CLO_CAP_MULTI_ADDRESS_SPACE), 2);
	CHECK_EQ(clo_host_capability(e.host, CLO_CAP_MEMORY_ATTRIBUTES), CLO_ATTR_PRIVATE);
	CHECK_EQ(clo_host_capability(e.host, CLO_CAP_GUEST_MEMFD_ATTRIBUTES), CLO_ATTR_PRIVATE);
	CHECK(clo_host_capability(e.host, CLO_CAP_GUEST_MEMFD_FLAGS) & CLO_GMEM_INIT_SHARED);
	CHECK_EQ(clo_host_capability(e.host, 0), 0);
	eng_close(&e);
}
