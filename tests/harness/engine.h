/* SPDX-License-Identifier: Apache-2.0 */
/*
 * harness/engine.h - a small machine for tests of the engine's upper modules: one host, one VM with
 * one guest_memfd in memslot 0 at E_GPA, VMM memory beside it, one vCPU. Closing it checks the
 * whole state (clo_check_idle) and that no frame and no heap memory is left.
 */
#ifndef CLO_HARNESS_ENGINE_H
#define CLO_HARNESS_ENGINE_H

#include "check/check.h"
#include "harness/test.h"
#include "vm/vm.h"

#include <sys/mman.h>

#define E_PAGE CLO_PAGE_SIZE
#define E_GPA  (1ULL << 30)
#define E_GFN  (E_GPA >> CLO_PAGE_SHIFT)
#define E_2M   (512 * E_PAGE)

/* Zero is: SW_PROTECTED, attribute owned by the VM, 16 pages, host view SOFT, 256 MiB. */
struct eng_config {
	bool is_default; /* VM type DEFAULT */
	uint32_t owner, vm_flags, page_order, view, max_level;
	uint64_t gmem_flags, pages, mem_bytes;
	bool hypercalls;
	bool no_slot;
	const struct clo_vm_hooks *hooks; /* or NULL */
};

struct eng {
	struct clo_host *host;
	struct clo_vm *vm;
	struct clo_gmem *gmem;
	struct clo_vcpu *vcpu;
	uint8_t *user; /* VMM memory, 2M-aligned */
	uint64_t pages;
	uint64_t leaks; /* frames that eng_close() is to find lost */
	uint64_t live;
};

/* Memory of the VMM, as anonymous shared memory: aligned, so that 2M leaves are possible. */
static inline uint8_t *eng_map_user(uint64_t bytes)
{
	uint8_t *p = mmap(NULL, bytes + E_2M, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(p != MAP_FAILED);
	return p + (E_2M - ((uintptr_t)p & (E_2M - 1)));
}

/* Memslot @id: @pages of the file from @index at @gpa, VMM memory at the same distance. */
static inline struct clo_region eng_region(const struct eng *e, uint32_t id, uint64_t gpa,
					   uint64_t pages, uint64_t index)
{
	return (struct clo_region){
		.size = sizeof(struct clo_region),
		.slot = id,
		.flags = CLO_MEM_GUEST_MEMFD,
		.guest_phys_addr = gpa,
		.memory_size = pages * E_PAGE,
		.userspace_addr = (uintptr_t)(e->user + index * E_PAGE),
		.guest_memfd_offset = index * E_PAGE,
		.gmem = e->gmem,
	};
}

static inline int eng_slot(struct eng *e, uint32_t id, uint64_t gpa, uint64_t pages, uint64_t index)
{
	struct clo_region r = eng_region(e, id, gpa, pages, index);

	return clo_vm_set_region(e->vm, &r);
}

static inline int eng_slot_delete(struct eng *e, uint32_t id)
{
	struct clo_region r = { .size = sizeof(r), .slot = id };

	return clo_vm_set_region(e->vm, &r);
}

static inline void eng_open(struct eng *e, struct eng_config c)
{
	struct clo_host_config hc = {
		.size = sizeof(hc),
		.view = c.view ? c.view : CLO_HOST_VIEW_SOFT,
		.mem_bytes = c.mem_bytes ? c.mem_bytes : 256ULL << 20,
	};
	struct clo_vm_config vc = {
		.size = sizeof(vc),
		.type = c.is_default ? CLO_VM_DEFAULT : CLO_VM_SW_PROTECTED,
		.attr_owner = c.owner,
		.flags = c.vm_flags,
		.exit_hypercall = c.hypercalls,
		.max_level = c.max_level,
	};

	*e = (struct eng){ .pages = c.pages ? c.pages : 16, .live = clo_alloc_live() };
	e->user = eng_map_user(e->pages * E_PAGE);
	CHECK_OK(clo_host_create(&hc, &e->host));
	CHECK_OK(clo_vm_create(e->host, &vc, &e->vm));
	if (c.hooks)
		CHECK_OK(clo_vm_set_hooks(e->vm, c.hooks));
	CHECK_OK(clo_gmem_create(e->vm, e->pages * E_PAGE, c.gmem_flags, c.page_order, &e->gmem));
	CHECK_OK(clo_vcpu_create(e->vm, 0, &e->vcpu));
	if (!c.no_slot)
		CHECK_OK(eng_slot(e, 0, E_GPA, e->pages, 0));
}

static inline void eng_check(struct eng *e)
{
	struct clo_check_fail fail;

	CHECK_MSG(clo_check_idle(e->host, &fail) == 0, "%s: %s", fail.invariant, fail.text);
}

static inline uint64_t eng_frames(const struct eng *e)
{
	struct clo_host_stats s = { .size = sizeof(s) };

	CHECK_OK(clo_host_stats(e->host, &s));
	return s.frames_used;
}

static inline void eng_close(struct eng *e)
{
	eng_check(e);
	clo_vm_destroy(e->vm, NULL);
	CHECK_EQ(eng_frames(e), e->leaks);
	CHECK_OK(clo_host_destroy(e->host));
	CHECK_EQ(clo_alloc_live(), e->live);
}

/* Which of its meanings @error has, of the last call that failed so in this thread. */
static inline struct clo_error eng_why(int error)
{
	struct clo_error e = { .size = sizeof(e) };

	CHECK_OK(clo_last_error(error, &e));
	CHECK_EQ(e.error, error);
	CHECK(e.what != NULL);
	return e;
}

/* One byte at @page; @kind: 0 or CLO_ACCESS_PRIVATE. What clo_vcpu_access() returns. */
static inline int eng_store(struct eng *e, uint64_t page, uint32_t kind, uint8_t value)
{
	return clo_vcpu_access(e->vcpu, E_GPA + page * E_PAGE, &value, 1, kind | CLO_ACCESS_WRITE);
}

static inline int eng_load(struct eng *e, uint64_t page, uint32_t kind, uint8_t *value)
{
	*value = 0xff;
	return clo_vcpu_access(e->vcpu, E_GPA + page * E_PAGE, value, 1, kind);
}

/* The byte at @page, of a load that is served. */
static inline uint8_t eng_byte(struct eng *e, uint64_t page, uint32_t kind)
{
	uint8_t value;

	CHECK_OK(eng_load(e, page, kind, &value));
	return value;
}

static inline struct clo_convert eng_range(uint64_t page, uint64_t pages, uint32_t flags)
{
	return (struct clo_convert){
		.size = sizeof(struct clo_convert),
		.flags = flags,
		.gpa = E_GPA + page * E_PAGE,
		.bytes = pages * E_PAGE,
	};
}

static inline int eng_convert(struct eng *e, uint64_t page, uint64_t pages, uint32_t flags)
{
	struct clo_convert c = eng_range(page, pages, flags);

	return clo_vm_convert(e->vm, &c);
}

static inline bool eng_is_private(struct eng *e, uint64_t page)
{
	uint64_t attributes, same;

	CHECK_OK(clo_vm_get_attributes(e->vm, E_GPA + page * E_PAGE, E_PAGE, &attributes, &same));
	return attributes == CLO_ATTR_PRIVATE;
}

static inline struct clo_vm_stats eng_stats(const struct eng *e)
{
	struct clo_vm_stats s = { .size = sizeof(s) };

	CHECK_OK(clo_vm_stats(e->vm, &s));
	return s;
}

static inline uint64_t eng_zaps(const struct eng *e)
{
	struct clo_vm_stats s = eng_stats(e);
	uint64_t all = 0;

	for (unsigned i = 0; i < CLO_ARRAY_SIZE(s.zaps); i++)
		all += s.zaps[i];
	return all;
}

static inline struct clo_frame_info eng_frame(const struct eng *e, uint64_t index)
{
	struct clo_pfn pfn;

	if (!clo_gmem_pfn(e->gmem, index, &pfn))
		return (struct clo_frame_info){ .state = CLO_FRAME_FREE };
	return clo_frame_get(e->host->db, pfn);
}

/* The leaf that maps @page, in any table; level COUNT: none. */
static inline struct clo_leaf eng_leaf(const struct eng *e, uint64_t page)
{
	struct clo_leaf leaf = { .level = CLO_LEVEL_COUNT };

	for (unsigned s = 0; s < CLO_SPACE_COUNT; s++) {
		if (clo_table_walk(e->vm->mmu.table[s], clo_gfn(E_GFN + page), &leaf))
			return leaf;
	}
	return (struct clo_leaf){ .level = CLO_LEVEL_COUNT };
}

static inline bool eng_mapped(const struct eng *e, enum clo_space space, uint64_t page)
{
	struct clo_leaf leaf;

	return clo_table_walk(e->vm->mmu.table[space], clo_gfn(E_GFN + page), &leaf);
}

static inline int eng_punch(struct eng *e, uint64_t index, uint64_t pages)
{
	return clo_gmem_fallocate(e->gmem, CLO_FALLOC_KEEP_SIZE | CLO_FALLOC_PUNCH_HOLE,
				  (int64_t)(index * E_PAGE), (int64_t)(pages * E_PAGE));
}

#endif
