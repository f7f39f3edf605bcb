/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault/test_fault.c - one fault at a time: what retries, what exits, which leaf is mapped.
 */
#include "fault/fault.h"

#include "fault/fault_user.h"
#include "harness/engine.h"

static struct clo_fault at(const struct eng *e, uint64_t page, bool is_private)
{
	return (struct clo_fault){ .tlb = &e->vcpu->tlb,
				   .gfn = clo_gfn(E_GFN + page),
				   .is_private = is_private };
}

static enum clo_fault_end fault(struct eng *e, uint64_t page, bool is_private)
{
	struct clo_fault f = at(e, page, is_private);

	return clo_fault_handle(e->vm, &f);
}

TEST(kind_of_an_access)
{
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	CHECK_OK(eng_convert(&e, 1, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK(!clo_fault_classify(e.vm, clo_gfn(E_GFN), true));
	CHECK(clo_fault_classify(e.vm, clo_gfn(E_GFN + 1), false));
	eng_close(&e);
	eng_open(&e, (struct eng_config){ .vm_flags = CLO_VM_TYPED_ACCESS });
	CHECK(clo_fault_classify(e.vm, clo_gfn(E_GFN), true));
	CHECK(!clo_fault_classify(e.vm, clo_gfn(E_GFN), false));
	eng_close(&e);
	eng_open(&e, (struct eng_config){ .is_default = true });
	CHECK(!clo_fault_classify(e.vm, clo_gfn(E_GFN), true));
	eng_close(&e);
}

/* Mail 3: "access GFN A in private way ... convert GFN A to shared ... faultin, mismatch and exit".
 */
TEST(a_mismatch_never_retries)
{
	struct clo_fault f;
	struct eng e;

	eng_open(&e,
		 (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM, .gmem_flags = CLO_GMEM_MMAP });
	f = at(&e, 0, true);
	CHECK_OK(eng_convert(&e, 0, 1, 0));
	/* Not even while the page is being converted: a retry changes neither side. */
	clo_inval_begin(&e.vm->mmu.inval, clo_range(E_GFN, E_GFN + 1));
	CHECK_EQ(clo_fault_handle(e.vm, &f), CLO_FAULT_EXIT);
	clo_inval_end(&e.vm->mmu.inval, clo_range(E_GFN, E_GFN + 1));
	CHECK_EQ(f.cause, CLO_CAUSE_MISMATCH);
	CHECK_ERR(f.error, -EFAULT);
	clo_break_set(CLO_BREAK_MISMATCH_RETRY, true);
	CHECK_EQ(clo_fault_handle(e.vm, &f), CLO_FAULT_RETRY);
	clo_break_set(CLO_BREAK_MISMATCH_RETRY, false);
	eng_close(&e);
}

TEST(what_retries)
{
	struct clo_range r = clo_range(E_GFN, E_GFN + 1), file = clo_range(0, 1);
	struct clo_pfn head;
	struct eng e;

	eng_open(&e,
		 (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM, .gmem_flags = CLO_GMEM_MMAP });
	/* A change of the gfn; one far away does not concern it. */
	clo_inval_begin(&e.vm->mmu.inval, r);
	CHECK_EQ(fault(&e, 0, true), CLO_FAULT_RETRY);
	clo_inval_end(&e.vm->mmu.inval, r);
	clo_inval_begin(&e.vm->mmu.inval, clo_range(E_GFN + 512, E_GFN + 513));
	CHECK_EQ(fault(&e, 1, true), CLO_FAULT_FIXED);
	clo_inval_end(&e.vm->mmu.inval, clo_range(E_GFN + 512, E_GFN + 513));
	/* A change of the file's page. */
	clo_inval_begin(clo_gmem_inval(e.gmem), file);
	CHECK_EQ(fault(&e, 0, true), CLO_FAULT_RETRY);
	clo_inval_end(clo_gmem_inval(e.gmem), file);
	CHECK_EQ(eng_frames(&e), 1);
	/* A folio that somebody works on. */
	CHECK_EQ(fault(&e, 0, true), CLO_FAULT_FIXED);
	clo_vm_zap_now(e.vm, r, CLO_ZAP_KIND);
	CHECK(clo_page_lock(e.host->db, clo_spte_pfn(eng_leaf(&e, 1).spte), &head));
	clo_page_unlock(e.host->db, head);
	head.n--;
	CHECK(clo_page_lock(e.host->db, head, &head));
	CHECK_EQ(fault(&e, 0, true), CLO_FAULT_RETRY);
	clo_page_unlock(e.host->db, head);
	CHECK_EQ(fault(&e, 0, true), CLO_FAULT_FIXED);
	CHECK_EQ(fault(&e, 0, true), CLO_FAULT_FIXED); /* mapped already */
	eng_close(&e);
}

static void *delete_slot(void *arg)
{
	CHECK_OK(eng_slot_delete(arg, 0));
	return NULL;
}

TEST(a_slot_that_is_going_is_waited_for)
{
	struct clo_thread t;
	struct clo_fault f;
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	clo_rcu_read_lock();
	CHECK_OK(clo_thread_create(&t, delete_slot, &e));
	while (!(clo_slots_find(e.vm->slots, 0, clo_gfn(E_GFN))->flags & CLO_MEMSLOT_INVALID))
		clo_relax();
	CHECK_EQ(fault(&e, 0, false), CLO_FAULT_RETRY);
	f = at(&e, 0, false);
	f.is_prefault = true;
	CHECK_EQ(clo_fault_handle(e.vm, &f), CLO_FAULT_EXIT);
	CHECK_ERR(f.error, -EAGAIN);
	clo_rcu_read_unlock();
	clo_thread_join(&t);
	CHECK_EQ(fault(&e, 0, false), CLO_FAULT_MMIO);
	eng_close(&e);
}

/* The memory of a host whose pages are in 2M folios; private through and through. */
static struct eng_config huge(unsigned order, uint64_t pages)
{
	return (struct eng_config){
		.owner = CLO_ATTR_OWNER_GMEM,
		.gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_HUGETLB,
		.page_order = order,
		.pages = pages,
		.mem_bytes = 1ULL << 30,
	};
}

TEST(leaf_size_by_folio_slot_and_limit)
{
	struct eng_config c = huge(9, 1024);
	struct clo_fault f;
	struct eng e;

	eng_open(&e, c);
	f = at(&e, 700, true);
	CHECK_EQ(clo_fault_handle(e.vm, &f), CLO_FAULT_FIXED);
	CHECK_EQ(f.level, CLO_LEVEL_2M);
	CHECK_EQ(eng_leaf(&e, 1023).base.n, E_GFN + 512);
	eng_close(&e);

	c.max_level = 1;
	eng_open(&e, c);
	CHECK_EQ(fault(&e, 700, true), CLO_FAULT_FIXED);
	CHECK_EQ(eng_leaf(&e, 700).level, CLO_LEVEL_4K);
	CHECK_EQ(eng_leaf(&e, 701).level, CLO_LEVEL_COUNT);
	eng_close(&e);

	/* A memslot that begins inside the block, or whose gfns are not congruent to the file. */
	c.max_level = 0;
	c.no_slot = true;
	eng_open(&e, c);
	CHECK_OK(eng_slot(&e, 0, E_GPA + 8 * E_PAGE, 1016, 8));
	CHECK_EQ(fault(&e, 8, true), CLO_FAULT_FIXED);
	CHECK_EQ(eng_leaf(&e, 8).level, CLO_LEVEL_4K);
	CHECK_EQ(fault(&e, 600, true), CLO_FAULT_FIXED);
	CHECK_EQ(eng_leaf(&e, 600).level, CLO_LEVEL_2M);
	eng_close(&e);
	eng_open(&e, c);
	CHECK_OK(eng_slot(&e, 0, E_GPA, 1000, 8));
	CHECK_EQ(fault(&e, 600, true), CLO_FAULT_FIXED);
	CHECK_EQ(eng_leaf(&e, 600).level, CLO_LEVEL_4K);
	eng_close(&e);
}

TEST(small_leaves_in_the_way_of_a_large_one)
{
	struct clo_fault f;
	struct eng e;

	eng_open(&e, huge(9, 512));
	e.vm->max_level = CLO_LEVEL_4K;
	CHECK_EQ(fault(&e, 3, true), CLO_FAULT_FIXED);
	e.vm->max_level = CLO_LEVEL_1G;
	f = at(&e, 4, true);
	CHECK_EQ(clo_fault_handle(e.vm, &f), CLO_FAULT_FIXED);
	CHECK_EQ(f.level, CLO_LEVEL_4K);
	eng_close(&e);
}

/* Any page under a leaf of 1G can change while the folio is made ready. */
#define FAR 5000U /* another 2M block than that of the fault: another word of the sequence */
static int share_far_page(void *arg, const struct clo_hook_pages *p)
{
	struct eng *e = arg;

	CHECK_EQ(p->gpa, E_GPA);
	CHECK_EQ(p->npages, e->pages);
	return clo_vm_set_attributes(e->vm, E_GPA + FAR * E_PAGE, E_PAGE, 0);
}

static enum clo_fault_end fault_beside_far_change(struct eng *e)
{
	struct clo_vm_hooks hooks = { .size = sizeof(hooks), .prepare = share_far_page, .arg = e };
	struct eng_config c = huge(18, 1ULL << 18);

	c.owner = CLO_ATTR_OWNER_VM;
	c.no_slot = true;
	c.mem_bytes = 1ULL << 30;
	eng_open(e, c);
	clo_gmem_close(e->gmem);
	CHECK_OK(clo_vm_set_hooks(e->vm, &hooks));
	CHECK_OK(clo_gmem_create(e->vm, e->pages * E_PAGE, c.gmem_flags, 18, &e->gmem));
	CHECK_OK(eng_slot(e, 0, E_GPA, e->pages, 0));
	CHECK_OK(clo_vm_set_attributes(e->vm, E_GPA, e->pages * E_PAGE, CLO_ATTR_PRIVATE));
	return fault(e, 0, true);
}

TEST(a_leaf_of_1g_beside_a_change_far_away)
{
	struct eng e;

	/* A gigabyte of zeroes, written into memory that is new, would show nothing. */
	clo_break_set(CLO_BREAK_ZERO, true);
	CHECK_EQ(fault_beside_far_change(&e), CLO_FAULT_RETRY);
	CHECK_EQ(fault(&e, 0, true), CLO_FAULT_FIXED);
	CHECK_EQ(eng_leaf(&e, 0).level, CLO_LEVEL_2M);
	CHECK_EQ(eng_leaf(&e, FAR).level, CLO_LEVEL_COUNT);
	eng_close(&e);
	clo_break_set(CLO_BREAK_INVAL_1G, true);
	CHECK_EQ(fault_beside_far_change(&e), CLO_FAULT_FIXED);
	CHECK_EQ(eng_leaf(&e, FAR).level, CLO_LEVEL_1G);
}

/* An ordinary VM maps a huge private folio as what it is to it: memory. */
TEST(huge_pages_of_a_default_vm)
{
	struct eng_config c = huge(9, 512);
	struct eng e;

	c.is_default = true;
	c.owner = CLO_ATTR_OWNER_VM;
	eng_open(&e, c);
	CHECK_EQ(fault(&e, 5, false), CLO_FAULT_FIXED);
	CHECK_EQ(eng_leaf(&e, 5).level, CLO_LEVEL_2M);
	CHECK(eng_mapped(&e, CLO_SPACE_SHARED, 5));
	CHECK_OK(eng_store(&e, 6, 0, 3));
	CHECK_OK(eng_slot_delete(&e, 0));
	CHECK_OK(eng_slot(&e, 0, E_GPA, 512, 0));
	CHECK_EQ(eng_byte(&e, 6, 0), 3);
	eng_close(&e);
}

TEST(memory_of_the_vmm)
{
	uint8_t *p = eng_map_user(2 * E_2M);
	struct clo_hva hva = { (uintptr_t)p };
	unsigned char vec = 0;

	CHECK_EQ(clo_fault_user_order(hva), 0);
	CHECK_OK(clo_fault_user_populate(hva, E_PAGE, true));
	CHECK_EQ(mincore(p, E_PAGE, &vec), 0);
	CHECK(vec & 1);
	CHECK_EQ(clo_fault_user_order(hva), 0);
	CHECK_OK(clo_fault_user_populate(hva, E_2M, true));
	CHECK_EQ(clo_fault_user_order(hva), 9);
	hva.a += 77 * E_PAGE;
	CHECK_EQ(clo_fault_user_order(hva), 9);
	CHECK_EQ(mprotect(p + E_2M, E_PAGE, PROT_READ), 0);
	hva.a = (uintptr_t)p + E_2M;
	CHECK_OK(clo_fault_user_populate(hva, E_PAGE, false));
	CHECK_ERR(clo_fault_user_populate(hva, E_PAGE, true), -EFAULT);
	CHECK_EQ(mprotect(p + E_2M, E_PAGE, PROT_NONE), 0);
	CHECK_ERR(clo_fault_user_populate(hva, E_PAGE, false), -EFAULT);
	CHECK_EQ(munmap(p + E_2M, E_PAGE), 0);
	CHECK_ERR(clo_fault_user_populate(hva, E_PAGE, false), -EFAULT);
	CHECK_EQ(clo_fault_user_order(hva), 0);
}

/* Errors where a plain access gives signals, and nothing is changed by them. */
TEST(copies_of_the_vmms_memory)
{
	uint8_t *p = eng_map_user(2 * E_PAGE);
	struct clo_hva hva = { (uintptr_t)p + 100 };
	uint8_t buf[16] = { 1, 2, 3 };

	CHECK_OK(clo_fault_user_copy(hva, buf, 3, true));
	CHECK_EQ(p[101], 2);
	CHECK_OK(clo_fault_user_copy((struct clo_hva){ hva.a - 1 }, buf, 3, false));
	CHECK(buf[0] == 0 && buf[1] == 1 && buf[2] == 2);
	CHECK_EQ(mprotect(p, E_PAGE, PROT_READ), 0);
	CHECK_OK(clo_fault_user_copy(hva, buf, 1, false));
	CHECK_ERR(clo_fault_user_copy(hva, buf, 1, true), -EFAULT);
	CHECK_EQ(mprotect(p, E_PAGE, PROT_NONE), 0);
	CHECK_ERR(clo_fault_user_copy(hva, buf, 1, false), -EFAULT);
	CHECK_EQ(munmap(p, E_PAGE), 0);
	CHECK_ERR(clo_fault_user_copy(hva, buf, 1, false), -EFAULT);
	CHECK_EQ(clo_fault_user_cause(-EFAULT), CLO_CAUSE_BAD_HVA);
	CHECK_EQ(clo_fault_user_cause(-EHWPOISON), CLO_CAUSE_POISON);
}

/* The block is resident, but not with the rights: the page alone is. */
TEST(a_large_leaf_that_cannot_be_had_becomes_a_small_one)
{
	struct clo_fault f;
	struct eng e;

	eng_open(&e, (struct eng_config){ .pages = 512 });
	for (unsigned i = 0; i < 512; i++)
		e.user[i * E_PAGE] = 1;
	CHECK_EQ(mprotect(e.user + 511 * E_PAGE, E_PAGE, PROT_READ), 0);
	f = at(&e, 3, false);
	CHECK_EQ(clo_fault_handle(e.vm, &f), CLO_FAULT_FIXED);
	CHECK_EQ(f.level, CLO_LEVEL_4K);
	CHECK_EQ(fault(&e, 511, false), CLO_FAULT_EXIT);
	CHECK_EQ(mprotect(e.user + 511 * E_PAGE, E_PAGE, PROT_READ | PROT_WRITE), 0);
	eng_close(&e);
}
