/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu/test_vcpu_call.c - KVM_HC_MAP_GPA_RANGE and KVM_PRE_FAULT_MEMORY.
 */
#include "vcpu/vcpu.h"

#include "harness/engine.h"

#define GUEST_ENOSYS (-1000)
#define GUEST_EINVAL (-22)
#define ENCRYPTED    CLO_MAP_GPA_ENCRYPTED

TEST(hypercall_is_off_at_first)
{
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	/* Before the arguments are looked at. */
	CHECK_EQ(clo_vcpu_map_gpa_range(e.vcpu, 1, 0, 0), GUEST_ENOSYS);
	CHECK_EQ(clo_vcpu_exit(e.vcpu)->reason, CLO_EXIT_NONE);
	CHECK_EQ(clo_vcpu_complete_hypercall(e.vcpu, 0), GUEST_EINVAL);
	eng_close(&e);
}

TEST(hypercall_exits_with_its_arguments_unchecked)
{
	const struct clo_exit *x;
	struct eng e;

	eng_open(&e, (struct eng_config){ .hypercalls = true });
	CHECK_EQ(clo_vcpu_map_gpa_range(e.vcpu, E_GPA + 1, 1, 0), GUEST_EINVAL);
	CHECK_EQ(clo_vcpu_map_gpa_range(e.vcpu, E_GPA, 0, 0), GUEST_EINVAL);
	CHECK_EQ(clo_vcpu_map_gpa_range(e.vcpu, 0, 1ULL << 52, 0), GUEST_EINVAL);
	CHECK_EQ(clo_vcpu_map_gpa_range(e.vcpu, E_GPA, (1ULL << 52) + 1, 0), GUEST_EINVAL);
	CHECK_EQ(clo_vcpu_map_gpa_range(e.vcpu, UINT64_MAX - E_PAGE + 1, 1, 0), GUEST_EINVAL);
	CHECK_EQ(clo_vcpu_complete_hypercall(e.vcpu, 0), GUEST_EINVAL);
	CHECK_EQ(clo_vcpu_map_gpa_range(e.vcpu, E_GPA, 7, ~0ULL), 1);
	x = clo_vcpu_exit(e.vcpu);
	CHECK_EQ(x->reason, CLO_EXIT_HYPERCALL);
	CHECK_EQ(x->cause, CLO_CAUSE_NONE);
	CHECK_EQ(x->hypercall.nr, CLO_HC_MAP_GPA_RANGE);
	CHECK_EQ(x->hypercall.args[0], E_GPA);
	CHECK_EQ(x->hypercall.args[1], 7);
	CHECK_EQ(x->hypercall.args[2], ~0ULL);
	CHECK_EQ(x->hypercall.args[3], 0);
	CHECK_EQ(x->hypercall.ret, 0); /* preset, as newer kernels */
	CHECK_EQ(clo_vcpu_complete_hypercall(e.vcpu, (uint64_t)-11), -11);
	CHECK_EQ(clo_vcpu_exit(e.vcpu)->hypercall.ret, (uint64_t)-11);
	CHECK_EQ(clo_vcpu_complete_hypercall(e.vcpu, 0), GUEST_EINVAL); /* once */
	CHECK(!eng_is_private(&e, 0)); /* KVM does no bookkeeping */
	eng_close(&e);
}

TEST(hypercall_that_converts)
{
	struct clo_gmem_pin *pin;
	struct eng e;

	eng_open(&e, (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM,
					  .vm_flags = CLO_VM_CONVERT_ON_HYPERCALL,
					  .gmem_flags = CLO_GMEM_MMAP });
	/* Bits 3:0 are a page size, a hint; 63:5 must be 0. */
	CHECK_EQ(clo_vcpu_map_gpa_range(e.vcpu, E_GPA, 4, 1), 0);
	CHECK(!eng_is_private(&e, 3) && eng_is_private(&e, 4));
	CHECK_EQ(clo_vcpu_map_gpa_range(e.vcpu, E_GPA, 1, ENCRYPTED | 1 << 5), GUEST_EINVAL);
	CHECK_EQ(clo_vcpu_map_gpa_range(e.vcpu, E_GPA + 1, 1, ENCRYPTED), GUEST_EINVAL);
	CHECK_OK(clo_gmem_pin(e.gmem, 0, E_PAGE, "x", &pin, NULL));
	CHECK_ERR(clo_vcpu_map_gpa_range(e.vcpu, E_GPA, 1, ENCRYPTED), -EAGAIN);
	clo_gmem_unpin(pin);
	CHECK_EQ(clo_vcpu_map_gpa_range(e.vcpu, E_GPA, 1, ENCRYPTED), 0);
	CHECK(eng_is_private(&e, 0));
	CHECK_EQ(clo_vcpu_exit(e.vcpu)->reason, CLO_EXIT_NONE);
	CHECK_EQ(clo_vcpu_complete_hypercall(e.vcpu, 0), GUEST_EINVAL);
	eng_close(&e);
}

/* *@gpa and *@bytes as pages from E_GPA. */
static int pre_fault(struct eng *e, uint64_t page, uint64_t pages, uint64_t *done)
{
	uint64_t gpa = E_GPA + page * E_PAGE, bytes = pages * E_PAGE;
	int ret = clo_vcpu_pre_fault(e->vcpu, &gpa, &bytes);

	CHECK_EQ(gpa + bytes, E_GPA + (page + pages) * E_PAGE);
	*done = (gpa - E_GPA) / E_PAGE - page;
	return ret;
}

TEST(pre_fault_arguments)
{
	uint64_t gpa = E_GPA, bytes = 0;
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	CHECK_ERR(clo_vcpu_pre_fault(e.vcpu, &gpa, &bytes), -EINVAL);
	bytes = 1;
	CHECK_ERR(clo_vcpu_pre_fault(e.vcpu, &gpa, &bytes), -EINVAL);
	bytes = E_PAGE;
	gpa = 1;
	CHECK_ERR(clo_vcpu_pre_fault(e.vcpu, &gpa, &bytes), -EINVAL);
	gpa = UINT64_MAX - E_PAGE + 1;
	CHECK_ERR(clo_vcpu_pre_fault(e.vcpu, &gpa, &bytes), -EINVAL);
	CHECK_EQ(bytes, E_PAGE);
	eng_close(&e);
}

TEST(pre_fault_maps_by_the_attribute_and_stops_at_the_slot)
{
	struct clo_vm_stats s = { .size = sizeof(s) };
	uint64_t done;
	struct eng e;

	eng_open(&e, (struct eng_config){ .vm_flags = CLO_VM_TYPED_ACCESS });
	CHECK_OK(eng_convert(&e, 4, 4, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(pre_fault(&e, 2, 4, &done));
	CHECK_EQ(done, 4);
	CHECK(eng_mapped(&e, CLO_SPACE_SHARED, 3) && eng_mapped(&e, CLO_SPACE_PRIVATE, 5));
	/* No fault is left to take. */
	s = eng_stats(&e);
	CHECK_OK(eng_store(&e, 4, CLO_ACCESS_PRIVATE, 1));
	CHECK_OK(eng_store(&e, 3, 0, 1));
	CHECK_EQ(eng_stats(&e).faults, s.faults);
	/* Across the end of the memslot: what was done counts, the next call says why. */
	CHECK_OK(pre_fault(&e, 14, 5, &done));
	CHECK_EQ(done, 2);
	CHECK_ERR(pre_fault(&e, 16, 3, &done), -ENOENT);
	CHECK_EQ(done, 0);
	/* Private without a memslot is what a fault would get, not ENOENT: as KVM. */
	CHECK_OK(clo_vm_set_attributes(e.vm, E_GPA + 16 * E_PAGE, E_PAGE, CLO_ATTR_PRIVATE));
	CHECK_ERR(pre_fault(&e, 16, 1, &done), -EFAULT);
	CHECK_OK(clo_vm_set_holes(e.vm, 0, E_GPA, E_PAGE, false));
	CHECK_ERR(pre_fault(&e, 0, 1, &done), -ENOENT);
	/* Idempotent. */
	CHECK_OK(pre_fault(&e, 1, 15, &done));
	CHECK_EQ(done, 15);
	eng_close(&e);
}

TEST(pre_fault_moves_by_whole_leaves)
{
	uint64_t done;
	struct eng e;

	eng_open(&e, (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM,
					  .gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_HUGETLB,
					  .page_order = 9,
					  .pages = 1024 });
	CHECK_OK(pre_fault(&e, 100, 1, &done));
	CHECK_EQ(done, 1);
	CHECK_EQ(eng_leaf(&e, 0).level, CLO_LEVEL_2M);
	CHECK_OK(pre_fault(&e, 0, 1024, &done));
	CHECK_EQ(done, 1024);
	CHECK_EQ(eng_frames(&e), 1024);
	eng_close(&e);
}

TEST(pre_fault_without_memory_or_file)
{
	uint64_t done;
	struct eng e;

	eng_open(&e, (struct eng_config){ .mem_bytes = 3 * E_PAGE });
	CHECK_OK(eng_convert(&e, 0, 16, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(pre_fault(&e, 0, 16, &done));
	CHECK_EQ(done, 3);
	CHECK_ERR(pre_fault(&e, 3, 13, &done), -ENOMEM);
	clo_gmem_close(e.gmem);
	CHECK_ERR(pre_fault(&e, 3, 13, &done), -EFAULT);
	eng_close(&e);
}

static void *delete_slot(void *arg)
{
	CHECK_OK(eng_slot_delete(arg, 0));
	return NULL;
}

/* The read section keeps the deletion between INVALID and gone. A vCPU would retry; this call must
 * not, because who deletes may wait for it. */
TEST(pre_fault_while_the_slot_is_being_deleted)
{
	struct clo_thread t;
	uint64_t done;
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	clo_rcu_read_lock();
	CHECK_OK(clo_thread_create(&t, delete_slot, &e));
	while (!(clo_slots_find(e.vm->slots, 0, clo_gfn(E_GFN))->flags & CLO_MEMSLOT_INVALID))
		clo_relax();
	CHECK_ERR(pre_fault(&e, 0, 1, &done), -EAGAIN);
	CHECK_EQ(done, 0);
	clo_rcu_read_unlock();
	clo_thread_join(&t);
	CHECK_ERR(pre_fault(&e, 0, 1, &done), -ENOENT);
	eng_close(&e);
}
