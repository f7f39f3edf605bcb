/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu/test_vcpu.c - life of a vCPU, accesses over page borders, and every exit with its fields.
 */
#include "vcpu/vcpu.h"

#include "harness/engine.h"

static const struct eng_config two_backings = { 0 };
static const struct eng_config typed = { .vm_flags = CLO_VM_TYPED_ACCESS };

/* The access failed with @error as MEMORY_FAULT on @page, for @cause. */
static void faulted(struct eng *e, int got, int error, uint64_t page, bool is_private,
		    enum clo_fault_cause cause)
{
	const struct clo_exit *x = clo_vcpu_exit(e->vcpu);

	CHECK_ERR(got, error);
	CHECK_EQ(x->reason, CLO_EXIT_MEMORY_FAULT);
	CHECK_EQ(x->cause, cause);
	CHECK_ERR(x->error, error);
	CHECK_EQ(x->memory_fault.gpa, E_GPA + page * E_PAGE);
	CHECK_EQ(x->memory_fault.size, E_PAGE);
	CHECK_EQ(x->memory_fault.flags, is_private ? CLO_MEMORY_EXIT_FLAG_PRIVATE : 0);
	CHECK_EQ(x->mmio.len, 0);
}

/* The access left for the VMM to emulate. */
static void emulated(struct eng *e, int got, uint64_t gpa, uint32_t len, bool is_write,
		     enum clo_fault_cause cause)
{
	const struct clo_exit *x = clo_vcpu_exit(e->vcpu);

	CHECK_EQ(got, 1);
	CHECK_EQ(x->reason, CLO_EXIT_MMIO);
	CHECK_EQ(x->cause, cause);
	CHECK_EQ(x->error, 0);
	CHECK_EQ(x->mmio.gpa, gpa);
	CHECK_EQ(x->mmio.len, len);
	CHECK_EQ(x->mmio.is_write, is_write);
	CHECK_EQ(x->memory_fault.size, 0);
}

TEST(ids)
{
	struct clo_vcpu *v = NULL;
	struct eng e;

	eng_open(&e, two_backings);
	CHECK_ERR(clo_vcpu_create(e.vm, 0, &v), -EEXIST);
	CHECK_ERR(clo_vcpu_create(e.vm, 1024, &v), -EINVAL);
	clo_alloc_fail_at(1);
	CHECK_ERR(clo_vcpu_create(e.vm, 1, &v), -ENOMEM);
	clo_alloc_fail_at(0);
	CHECK(v == NULL);
	for (uint32_t i = 1; i < 1024; i++)
		CHECK_OK(clo_vcpu_create(e.vm, i, &v));
	CHECK_ERR(clo_vcpu_create(e.vm, 1023, &v), -EEXIST);
	CHECK_EQ(clo_vcpu_exit(v)->reason, CLO_EXIT_NONE);
	eng_close(&e);
}

TEST(loads_and_stores_over_page_borders)
{
	uint8_t out[3 * E_PAGE], in[3 * E_PAGE];
	struct eng e;

	eng_open(&e, two_backings);
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7);
	CHECK_OK(eng_convert(&e, 2, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(
		clo_vcpu_access(e.vcpu, E_GPA + E_PAGE - 3, out, 2 * E_PAGE + 6, CLO_ACCESS_WRITE));
	CHECK_OK(clo_vcpu_access(e.vcpu, E_GPA + E_PAGE - 3, in, 2 * E_PAGE + 6, 0));
	CHECK_MEM(in, out, 2 * E_PAGE + 6);
	CHECK_EQ(e.user[E_PAGE - 1], out[2]);
	CHECK_EQ(e.user[3 * E_PAGE], out[2 * E_PAGE + 3]);
	CHECK_EQ(eng_frames(&e), 1);
	CHECK_OK(clo_vcpu_access(e.vcpu, 12345, in, 0, 0));
	CHECK_EQ(clo_vcpu_exit(e.vcpu)->reason, CLO_EXIT_NONE);
	CHECK_ERR(clo_vcpu_access(e.vcpu, E_GPA, in, 1, 4), -EINVAL);
	eng_close(&e);
}

TEST(pages_before_the_failing_one_are_done)
{
	uint8_t out[2 * E_PAGE];
	struct eng e;

	eng_open(&e, two_backings);
	memset(out, 5, sizeof(out));
	emulated(&e,
		 clo_vcpu_access(e.vcpu, E_GPA + 15 * E_PAGE + 8, out, E_PAGE, CLO_ACCESS_WRITE),
		 E_GPA + 16 * E_PAGE, 8, true, CLO_CAUSE_NO_SLOT);
	CHECK_EQ(e.user[15 * E_PAGE + 8], 5);
	CHECK_EQ(e.user[16 * E_PAGE - 1], 5);
	eng_close(&e);
}

TEST(the_end_of_the_address_space)
{
	uint8_t byte[16] = { 0 };
	struct eng e;

	eng_open(&e, typed);
	/* Beyond what a stage-2 table holds, and at the last bytes: no gfn aliases another. */
	emulated(&e, clo_vcpu_access(e.vcpu, (1ULL << 48) + E_GPA, byte, 4, 0),
		 (1ULL << 48) + E_GPA, 4, false, CLO_CAUSE_NO_SLOT);
	emulated(&e, clo_vcpu_access(e.vcpu, UINT64_MAX - 7, byte, 16, 0), UINT64_MAX - 7, 8, false,
		 CLO_CAUSE_NO_SLOT);
	CHECK_ERR(clo_vcpu_access(e.vcpu, UINT64_MAX - 7, byte, 16, CLO_ACCESS_PRIVATE), -EFAULT);
	CHECK_EQ(clo_vcpu_exit(e.vcpu)->cause, CLO_CAUSE_NO_SLOT);
	CHECK_OK(clo_vm_set_attributes(e.vm, 1ULL << 50, E_PAGE, CLO_ATTR_PRIVATE));
	CHECK_ERR(clo_vcpu_access(e.vcpu, 1ULL << 50, byte, 1, CLO_ACCESS_PRIVATE), -EFAULT);
	CHECK_EQ(clo_vcpu_exit(e.vcpu)->cause, CLO_CAUSE_NO_SLOT);
	CHECK_EQ(clo_vcpu_exit(e.vcpu)->memory_fault.gpa, 1ULL << 50);
	eng_close(&e);
}

TEST(exit_mismatch_by_the_kind_of_the_access)
{
	struct eng e;
	uint8_t v;

	eng_open(&e, typed);
	faulted(&e, eng_load(&e, 3, CLO_ACCESS_PRIVATE, &v), -EFAULT, 3, true, CLO_CAUSE_MISMATCH);
	CHECK_OK(eng_convert(&e, 3, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&e, 3, CLO_ACCESS_PRIVATE, 1));
	faulted(&e, eng_store(&e, 3, 0, 1), -EFAULT, 3, false, CLO_CAUSE_MISMATCH);
	CHECK_EQ(eng_stats(&e).fault_exits, 2);
	/* No page was taken for what was refused. */
	CHECK_EQ(eng_frames(&e), 1);
	eng_close(&e);
	/* Without typed accesses the attribute decides, and what the access says is not looked at.
	 */
	eng_open(&e, two_backings);
	CHECK_OK(eng_load(&e, 3, CLO_ACCESS_PRIVATE, &v));
	eng_close(&e);
}

TEST(exit_no_slot)
{
	struct eng e;
	uint8_t v;

	eng_open(&e, two_backings);
	emulated(&e, eng_load(&e, 20, 0, &v), E_GPA + 20 * E_PAGE, 1, false, CLO_CAUSE_NO_SLOT);
	CHECK_OK(clo_vm_set_attributes(e.vm, E_GPA + 20 * E_PAGE, E_PAGE, CLO_ATTR_PRIVATE));
	faulted(&e, eng_store(&e, 20, 0, 1), -EFAULT, 20, true, CLO_CAUSE_NO_SLOT);
	eng_close(&e);
	/* Private, and nothing there: that no kind is agreed on says less. Shared where the VMM
	 * has promised private memory is no device: as KVM, whose check of the kind is first. */
	eng_open(&e, typed);
	faulted(&e, eng_load(&e, 20, CLO_ACCESS_PRIVATE, &v), -EFAULT, 20, true, CLO_CAUSE_NO_SLOT);
	CHECK_OK(clo_vm_set_attributes(e.vm, E_GPA + 20 * E_PAGE, E_PAGE, CLO_ATTR_PRIVATE));
	faulted(&e, eng_load(&e, 20, CLO_ACCESS_PRIVATE, &v), -EFAULT, 20, true, CLO_CAUSE_NO_SLOT);
	faulted(&e, eng_load(&e, 20, 0, &v), -EFAULT, 20, false, CLO_CAUSE_MISMATCH);
	eng_close(&e);
}

TEST(exit_no_gmem)
{
	struct clo_region r = { .size = sizeof(r),
				.slot = 1,
				.guest_phys_addr = E_GPA + 32 * E_PAGE,
				.memory_size = E_PAGE };
	struct eng e;

	eng_open(&e, two_backings);
	r.userspace_addr = (uintptr_t)e.user;
	CHECK_OK(clo_vm_set_region(e.vm, &r));
	CHECK_OK(eng_store(&e, 32, 0, 4));
	CHECK_EQ(e.user[0], 4);
	CHECK_OK(clo_vm_set_attributes(e.vm, E_GPA + 32 * E_PAGE, E_PAGE, CLO_ATTR_PRIVATE));
	faulted(&e, eng_store(&e, 32, 0, 1), -EFAULT, 32, true, CLO_CAUSE_NO_GMEM);
	eng_close(&e);
}

TEST(exit_gmem_gone)
{
	struct eng e;

	eng_open(&e, two_backings);
	CHECK_OK(eng_convert(&e, 0, 16, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&e, 1, 0, 1));
	clo_gmem_close(e.gmem);
	faulted(&e, eng_store(&e, 1, 0, 1), -EFAULT, 1, true, CLO_CAUSE_GMEM_GONE);
	/* The memslot stays, and its shared side too. */
	CHECK_OK(clo_vm_set_attributes(e.vm, E_GPA, E_PAGE, 0));
	CHECK_OK(eng_store(&e, 0, 0, 1));
	eng_close(&e);
	/* A file that owns its attribute takes it along: what is left is shared, as in KVM. */
	eng_open(&e,
		 (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM, .gmem_flags = CLO_GMEM_MMAP });
	clo_gmem_close(e.gmem);
	faulted(&e, eng_store(&e, 1, 0, 1), -EFAULT, 1, false, CLO_CAUSE_GMEM_GONE);
	eng_close(&e);
}

TEST(exit_no_memory)
{
	struct eng_config c = two_backings;
	struct eng e;

	c.mem_bytes = 2 * E_PAGE;
	eng_open(&e, c);
	CHECK_OK(eng_convert(&e, 0, 16, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&e, 0, 0, 1));
	CHECK_OK(eng_store(&e, 1, 0, 1));
	faulted(&e, eng_store(&e, 2, 0, 1), -ENOMEM, 2, true, CLO_CAUSE_NO_MEMORY);
	CHECK_ERR(eng_store(&e, 2, 0, 1), -ENOMEM);
	CHECK_OK(eng_punch(&e, 0, 1));
	CHECK_OK(eng_store(&e, 2, 0, 1));
	/* No page-table page. */
	CHECK_OK(eng_slot_delete(&e, 0));
	CHECK_OK(eng_slot(&e, 0, E_GPA, 16, 0));
	for (uint64_t n = 1, ret = 1; ret; n++) {
		clo_alloc_fail_at(n);
		ret = eng_store(&e, 2, 0, 1) != 0;
		clo_alloc_fail_at(0);
		if (ret)
			faulted(&e, clo_vcpu_exit(e.vcpu)->error, -ENOMEM, 2, true,
				CLO_CAUSE_NO_MEMORY);
		CHECK(n < 20);
	}
	eng_close(&e);
}

TEST(exit_poison)
{
	struct clo_pfn pfn, head;
	struct eng e;

	eng_open(&e, two_backings);
	CHECK_OK(eng_convert(&e, 0, 16, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&e, 5, 0, 1));
	CHECK(clo_gmem_pfn(e.gmem, 5, &pfn));
	CHECK(clo_page_lock(e.host->db, pfn, &head));
	clo_page_set_poison(e.host->db, pfn, true);
	clo_page_unlock(e.host->db, head);
	clo_vm_zap_now(e.vm, clo_range(E_GFN, E_GFN + 16), CLO_ZAP_RW_CHANGE);
	faulted(&e, eng_store(&e, 5, 0, 1), -EHWPOISON, 5, true, CLO_CAUSE_POISON);
	/* A hole puts another page there. */
	CHECK_OK(eng_punch(&e, 5, 1));
	CHECK_EQ(eng_byte(&e, 5, 0), 0);
	eng_close(&e);
}

static int prepare(void *arg, const struct clo_hook_pages *p)
{
	static const int results[] = { 0, -EIO, -EAGAIN, -EACCES, -EFAULT, 1 };
	int *left = arg;

	CHECK_EQ(p->gpa, E_GPA + 2 * E_PAGE);
	CHECK_EQ(p->npages, 1);
	return results[*left];
}

TEST(exit_prepare)
{
	uint64_t gpa, bytes;
	int left = 0;
	struct clo_vm_hooks hooks = { .size = sizeof(hooks), .prepare = prepare, .arg = &left };
	struct eng e;

	eng_open(&e, (struct eng_config){ .hooks = &hooks });
	CHECK_OK(eng_convert(&e, 0, 16, CLO_CONVERT_TO_PRIVATE));
	/* Whatever it says is an exit, -EAGAIN too: a retry would have to change something. */
	for (left = 5; left > 0; left--) {
		static const int errors[] = { 0, -EIO, -EAGAIN, -EACCES, -EFAULT, -EIO };

		faulted(&e, eng_store(&e, 2, 0, 1), errors[left], 2, true, CLO_CAUSE_PREPARE);
		CHECK(!(eng_frame(&e, 2).flags & CLO_FRAME_UPTODATE));
		gpa = E_GPA + 2 * E_PAGE;
		bytes = E_PAGE;
		CHECK_ERR(clo_vcpu_pre_fault(e.vcpu, &gpa, &bytes), errors[left]);
	}
	CHECK_OK(eng_store(&e, 2, 0, 1));
	eng_close(&e);
}

/* errno: clo_vcpu_access -EEXIST -ENOMEM: checked by faulted(), in exit_double_map and
 * exit_no_memory */

/* I1: the frame is another's, says its reverse map. No way is known to get there: by hand. */
TEST(exit_double_map)
{
	struct clo_pfn pfn;
	struct eng e;

	eng_open(&e, two_backings);
	CHECK_OK(eng_convert(&e, 0, 16, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(clo_gmem_fallocate(e.gmem, CLO_FALLOC_KEEP_SIZE, 0, E_PAGE));
	CHECK(clo_gmem_pfn(e.gmem, 0, &pfn));
	CHECK_OK(clo_page_rmap_claim(e.host->db, pfn, CLO_LEVEL_4K, 99, clo_gfn(1)));
	faulted(&e, eng_store(&e, 0, 0, 1), -EEXIST, 0, true, CLO_CAUSE_DOUBLE_MAP);
	CHECK_EQ(eng_leaf(&e, 0).level, CLO_LEVEL_COUNT);
	CHECK_OK(clo_page_rmap_drop(e.host->db, pfn, 99, clo_gfn(1)));
	CHECK_OK(eng_store(&e, 0, 0, 1));
	eng_close(&e);
}

TEST(exit_readonly)
{
	struct clo_region r = { .size = sizeof(r),
				.slot = 1,
				.flags = CLO_MEM_READONLY,
				.guest_phys_addr = E_GPA + 32 * E_PAGE,
				.memory_size = 2 * E_PAGE };
	struct eng e;
	uint8_t v;

	eng_open(&e, (struct eng_config){ .is_default = true });
	r.userspace_addr = (uintptr_t)e.user;
	e.user[0] = 42;
	CHECK_OK(clo_vm_set_region(e.vm, &r));
	CHECK_EQ(eng_byte(&e, 32, 0), 42);
	emulated(&e, eng_store(&e, 32, 0, 1), E_GPA + 32 * E_PAGE, 1, true, CLO_CAUSE_READONLY);
	emulated(&e, eng_store(&e, 33, 0, 1), E_GPA + 33 * E_PAGE, 1, true, CLO_CAUSE_READONLY);
	CHECK_EQ(e.user[0], 42);
	/* Memory that the VMM itself may only read is enough. */
	CHECK_EQ(mprotect(e.user, 2 * E_PAGE, PROT_READ), 0);
	CHECK_OK(clo_vm_set_region(
		e.vm, &(struct clo_region){ .size = sizeof(struct clo_region), .slot = 1 }));
	CHECK_OK(clo_vm_set_region(e.vm, &r));
	CHECK_EQ(eng_load(&e, 32, 0, &v), 0);
	CHECK_EQ(v, 42);
	eng_close(&e);
}

TEST(exit_hole)
{
	struct eng e;
	uint8_t v;

	eng_open(&e, two_backings);
	CHECK_OK(eng_store(&e, 4, 0, 1));
	CHECK_OK(clo_vm_set_holes(e.vm, 0, E_GPA + 4 * E_PAGE, E_PAGE, false));
	emulated(&e, eng_load(&e, 4, 0, &v), E_GPA + 4 * E_PAGE, 1, false, CLO_CAUSE_HOLE);
	CHECK_OK(eng_store(&e, 5, 0, 1));
	CHECK_EQ(eng_stats(&e).zaps[CLO_ZAP_RW_CHANGE], 1);
	eng_close(&e);
}

TEST(exit_bad_hva)
{
	struct eng e;
	uint8_t v;

	eng_open(&e, two_backings);
	CHECK_EQ(munmap(e.user + 3 * E_PAGE, E_PAGE), 0);
	faulted(&e, eng_load(&e, 3, 0, &v), -EFAULT, 3, false, CLO_CAUSE_BAD_HVA);
	CHECK_EQ(mprotect(e.user + 4 * E_PAGE, E_PAGE, PROT_READ), 0);
	/* Also a load: the memslot promises that stores are possible. */
	faulted(&e, eng_load(&e, 4, 0, &v), -EFAULT, 4, false, CLO_CAUSE_BAD_HVA);
	faulted(&e, eng_store(&e, 4, 0, 1), -EFAULT, 4, false, CLO_CAUSE_BAD_HVA);
	CHECK_EQ(mprotect(e.user + 4 * E_PAGE, E_PAGE, PROT_READ | PROT_WRITE), 0);
	CHECK_OK(eng_store(&e, 4, 0, 1));
	eng_close(&e);
}

TEST(every_cause_has_a_text)
{
	for (unsigned i = 0; i < CLO_CAUSE_COUNT; i++)
		CHECK(clo_fault_cause_text((enum clo_fault_cause)i)[0] != '?');
	CHECK_STR(clo_fault_cause_text(CLO_CAUSE_COUNT), "?");
}
