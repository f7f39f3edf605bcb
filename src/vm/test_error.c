/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/test_error.c - which of its meanings an errno has: a public call for each reason, each field
 * of a memslot, and whose failure it is that a thread is told of.
 */
#include "harness/engine.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define CANNOT 1 /* this machine cannot show it */

static int region(struct eng *e, void (*change)(struct clo_region *r))
{
	struct clo_region r = eng_region(e, 0, E_GPA, 16, 0);

	change(&r);
	return clo_vm_set_region(e->vm, &r);
}

static int no_config(struct eng *e)
{
	struct clo_vm *vm;

	return clo_vm_create(e->host, NULL, &vm);
}

static int small_struct(struct eng *e)
{
	struct clo_vm_stats s = { .size = 3 };

	return clo_vm_stats(e->vm, &s);
}

static int large_struct(struct eng *e)
{
	struct clo_leak_report r = { .size = 5000 };

	return clo_vm_report(e->vm, &r);
}

static int later_field(struct eng *e)
{
	struct {
		struct clo_region known;
		uint64_t field;
	} r = { .known = eng_region(e, 0, E_GPA, 16, 0), .field = 1 };

	r.known.size = sizeof(r);
	return clo_vm_set_region(e->vm, &r.known);
}

static void set_reserved(struct clo_region *r)
{
	r->reserved = 1;
}

static int reserved_field(struct eng *e)
{
	return region(e, set_reserved);
}

static int file(struct eng *e, uint64_t bytes, uint64_t flags, uint32_t order)
{
	struct clo_gmem *g;

	return clo_gmem_create(e->vm, bytes, flags, order, &g);
}

static int unknown_flag(struct eng *e)
{
	return file(e, E_PAGE, 1ULL << 60, 0);
}

static int flag_of_others(struct eng *e)
{
	return file(e, E_2M, CLO_GMEM_HUGETLB | CLO_GMEM_INIT_SHARED, 9);
}

static int no_such_order(struct eng *e)
{
	return file(e, E_2M, CLO_GMEM_HUGETLB, 5);
}

static int half_a_page(struct eng *e)
{
	return file(e, 100, 0, 0);
}

static int empty(struct eng *e)
{
	return eng_convert(e, 0, 0, 0);
}

static int wrap(struct eng *e)
{
	uint64_t attributes, same;

	return clo_vm_get_attributes(e->vm, -E_PAGE, 2 * E_PAGE, &attributes, &same);
}

static int beyond(struct eng *e)
{
	return clo_gmem_fallocate(e->gmem, CLO_FALLOC_KEEP_SIZE, 0, (int64_t)(17 * E_PAGE));
}

static int absent(struct eng *e)
{
	return eng_slot_delete(e, 5);
}

static void move_up(struct clo_region *r)
{
	r->guest_phys_addr += r->memory_size;
}

static int fixed(struct eng *e)
{
	return region(e, move_up);
}

static int other_vm(struct eng *e)
{
	struct clo_region r = eng_region(e, 0, E_GPA, 16, 0);
	struct eng other;
	int ret;

	eng_open(&other, (struct eng_config){ 0 });
	r.slot = 1;
	r.guest_phys_addr = 0;
	r.gmem = other.gmem;
	ret = clo_vm_set_region(e->vm, &r);
	eng_close(&other);
	return ret;
}

static int no_private(struct eng *e)
{
	struct eng shared;
	int ret;

	(void)e;
	eng_open(&shared, (struct eng_config){ .is_default = true });
	ret = eng_convert(&shared, 0, 1, CLO_CONVERT_TO_PRIVATE);
	eng_close(&shared);
	return ret;
}

static int huge_parts(struct eng *e)
{
	struct eng_config c = { .owner = CLO_ATTR_OWNER_GMEM,
				.gmem_flags = CLO_GMEM_HUGETLB,
				.page_order = 9,
				.pages = 512,
				.no_slot = true };
	struct eng huge;
	int ret;

	(void)e;
	eng_open(&huge, c);
	CHECK_OK(eng_slot(&huge, 0, E_GPA, 128, 384));
	CHECK_OK(eng_slot(&huge, 1, E_GPA + 128 * E_PAGE, 128, 0));
	ret = eng_convert(&huge, 0, 256, 0);
	eng_close(&huge);
	return ret;
}

/* A thread of the VMM, in its own listener. */
static int spoil(void *arg, const struct clo_dma_range *r)
{
	(void)r;
	((struct clo_convert *)arg)->size = 3;
	return -EBUSY;
}

static int changed(struct eng *e)
{
	struct clo_convert c = eng_range(0, 1, CLO_CONVERT_TO_PRIVATE);
	struct clo_dma_listener l = { .size = sizeof(l), .unmap = spoil, .arg = &c };
	int ret;

	CHECK_OK(clo_vm_add_dma_listener(e->vm, &l));
	ret = clo_vm_convert(e->vm, &c);
	CHECK_OK(clo_vm_remove_dma_listener(e->vm, &l));
	return ret;
}

static int overlap(struct eng *e)
{
	return eng_slot(e, 1, E_GPA + E_PAGE, 1, 0);
}

static int bound(struct eng *e)
{
	return eng_slot(e, 1, 0, 1, 0);
}

static int in_use(struct eng *e)
{
	struct clo_vcpu *vcpu;

	return clo_vcpu_create(e->vm, 0, &vcpu);
}

/* By hand, as in vcpu's test of the exit. */
static int double_map(struct eng *e)
{
	struct clo_pfn pfn;
	int ret;

	CHECK_OK(eng_convert(e, 0, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(clo_gmem_fallocate(e->gmem, CLO_FALLOC_KEEP_SIZE, 0, E_PAGE));
	CHECK(clo_gmem_pfn(e->gmem, 0, &pfn));
	CHECK_OK(clo_page_rmap_claim(e->host->db, pfn, CLO_LEVEL_4K, 99, clo_gfn(1)));
	ret = eng_store(e, 0, 0, 1);
	CHECK_OK(clo_page_rmap_drop(e->host->db, pfn, 99, clo_gfn(1)));
	return ret;
}

static int heap(struct eng *e)
{
	struct clo_vcpu *vcpu;
	int ret;

	clo_alloc_fail_at(1);
	ret = clo_vcpu_create(e->vm, 1, &vcpu);
	clo_alloc_fail_at(0);
	return ret;
}

/* As a guest's store meets it. */
static int frames(struct eng *e)
{
	struct eng small;
	int ret = 0;

	(void)e;
	eng_open(&small, (struct eng_config){ .mem_bytes = 8 * E_PAGE });
	CHECK_OK(eng_convert(&small, 0, 16, CLO_CONVERT_TO_PRIVATE));
	for (uint64_t i = 0; i < 16 && ret == 0; i++)
		ret = eng_store(&small, i, 0, 1);
	eng_close(&small);
	return ret;
}

static int map(struct eng *e, uint64_t len)
{
	struct clo_gmem *g;
	void *p;
	int ret;

	CHECK_OK(clo_gmem_create(e->vm, 1ULL << 46, CLO_GMEM_MMAP, 0, &g));
	ret = clo_gmem_mmap(g, 0, len, true, &p);
	clo_gmem_close(g);
	return ret;
}

static int windows(struct eng *e)
{
	return map(e, 1ULL << 46);
}

static int space(struct eng *e)
{
	return map(e, 1ULL << 47);
}

static int refuse(void *arg, const struct clo_dma_range *r)
{
	(void)arg;
	(void)r;
	return -EINVAL;
}

static int listener(struct eng *e)
{
	struct clo_dma_listener l = { .size = sizeof(l), .name = "vfio", .unmap = refuse };
	int ret;

	CHECK_OK(clo_vm_add_dma_listener(e->vm, &l));
	ret = eng_convert(e, 3, 1, CLO_CONVERT_TO_PRIVATE);
	CHECK_OK(clo_vm_remove_dma_listener(e->vm, &l));
	return ret;
}

static int prepare(void *arg, const struct clo_hook_pages *p)
{
	(void)arg;
	(void)p;
	return -ENOMEM;
}

/* In a VM of its own: hooks come before files. */
static int hook(struct eng *e)
{
	struct clo_vm_hooks hooks = { .size = sizeof(hooks), .prepare = prepare };
	struct eng own;
	int ret;

	(void)e;
	eng_open(&own, (struct eng_config){ .hooks = &hooks });
	CHECK_OK(eng_convert(&own, 0, 1, CLO_CONVERT_TO_PRIVATE));
	ret = eng_store(&own, 0, 0, 1);
	eng_close(&own);
	return ret;
}

/* All the mappings that the kernel allows. A sanitizer needs some of its own. */
#ifdef __SANITIZE_ADDRESS__
static int mappings(struct eng *e)
{
	(void)e;
	return CANNOT;
}
#else
static int mappings(struct eng *e)
{
	const size_t bytes = 200000 * E_PAGE;
	uint8_t *p =
		mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t at = E_PAGE;
	struct eng real;
	void *addr;
	int ret;

	(void)e;
	CHECK(p != MAP_FAILED);
	eng_open(&real,
		 (struct eng_config){ .view = CLO_HOST_VIEW_REMAP, .gmem_flags = CLO_GMEM_MMAP });
	while (at < bytes && mprotect(p + at, E_PAGE, PROT_READ) == 0)
		at += 2 * E_PAGE;
	/* That took two at a time. */
	while (at < bytes &&
	       mmap(NULL, E_PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
		;
	ret = at < bytes ? clo_gmem_mmap(real.gmem, 0, 16 * E_PAGE, true, &addr) : CANNOT;
	CHECK_EQ(munmap(p, bytes), 0);
	eng_close(&real);
	return ret;
}
#endif

/* From now on system call @nr is @error. */
static bool deny(unsigned nr, unsigned error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = CLO_ARRAY_SIZE(filter), .filter = filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0;
}

static int host(uint32_t hugetlb)
{
	struct clo_host_config c = { .size = sizeof(c),
				     .view = CLO_HOST_VIEW_REMAP,
				     .mem_bytes = E_2M,
				     .hugetlb = hugetlb };
	struct clo_host *h;

	return clo_host_create(&c, &h);
}

static int no_huge_page(struct eng *e)
{
	(void)e;
	return deny(SYS_fallocate, ENOSPC) ? host(1) : CANNOT;
}

static int kernel(struct eng *e)
{
	(void)e;
	return deny(SYS_memfd_create, ENOMEM) ? host(0) : CANNOT;
}

static const struct row {
	enum clo_reason reason;
	int error;
	const char *what;
	int (*call)(struct eng *e);
} rows[] = {
	{ CLO_REASON_NULL, -EINVAL, "cfg", no_config },
	{ CLO_REASON_SIZE, -EINVAL, "size", small_struct },
	{ CLO_REASON_SIZE, -E2BIG, "size", large_struct },
	{ CLO_REASON_UNKNOWN_FIELD, -E2BIG, "size", later_field },
	{ CLO_REASON_RESERVED, -EINVAL, "clo_region.reserved", reserved_field },
	{ CLO_REASON_FLAGS, -EINVAL, "flags", unknown_flag },
	{ CLO_REASON_UNSUPPORTED, -EINVAL, "flags", flag_of_others },
	{ CLO_REASON_VALUE, -EINVAL, "page_order", no_such_order },
	{ CLO_REASON_ALIGN, -EINVAL, "bytes", half_a_page },
	{ CLO_REASON_EMPTY, -EINVAL, "clo_convert.bytes", empty },
	{ CLO_REASON_WRAP, -EINVAL, "bytes", wrap },
	{ CLO_REASON_BOUNDS, -EINVAL, "len", beyond },
	{ CLO_REASON_ABSENT, -EINVAL, "clo_region.slot", absent },
	{ CLO_REASON_FIXED, -EINVAL, "clo_region.flags", fixed },
	{ CLO_REASON_OTHER_VM, -EINVAL, "clo_region.gmem", other_vm },
	{ CLO_REASON_NO_PRIVATE, -EINVAL, "vm", no_private },
	{ CLO_REASON_HUGE_PARTS, -EINVAL, "clo_convert.gpa", huge_parts },
	{ CLO_REASON_CHANGED, -EINVAL, "size", changed },
	{ CLO_REASON_OVERLAP, -EEXIST, "clo_region.guest_phys_addr", overlap },
	{ CLO_REASON_BOUND, -EEXIST, "clo_region.guest_memfd_offset", bound },
	{ CLO_REASON_IN_USE, -EEXIST, "id", in_use },
	{ CLO_REASON_DOUBLE_MAP, -EEXIST, "gpa", double_map },
	{ CLO_REASON_HEAP, -ENOMEM, "vCPU", heap },
	{ CLO_REASON_FRAMES, -ENOMEM, "clo_host_config.mem_bytes", frames },
	{ CLO_REASON_WINDOWS, -ENOMEM, "memory of the host", windows },
	{ CLO_REASON_SPACE, -ENOMEM, "len", space },
	{ CLO_REASON_LISTENER, -EINVAL, "unmap", listener },
	{ CLO_REASON_HOOK, -ENOMEM, "prepare", hook },
	{ CLO_REASON_MAPPINGS, -ENOMEM, "mmap", mappings },
	/* From here on system calls are refused. */
	{ CLO_REASON_HUGETLB, -ENOMEM, "memory of the host", no_huge_page },
	{ CLO_REASON_KERNEL, -ENOMEM, "memfd_create", kernel },
};

static bool has_errno(const struct clo_reason_info *r, int error)
{
	const char *name = error == -EINVAL   ? "EINVAL"
			   : error == -E2BIG  ? "E2BIG"
			   : error == -EEXIST ? "EEXIST"
					      : "ENOMEM";

	return strstr(r->errnos, name) != NULL;
}

TEST(each_reason_is_given_by_a_call)
{
	bool given[CLO_REASON_COUNT] = { [CLO_REASON_NONE] = true };
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	for (size_t i = 0; i < CLO_ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
		const struct clo_reason_info *info = clo_reason_nth(row->reason);
		struct clo_error last;
		int ret;

		clo_rcu_barrier();        /* a row with a machine of its own counts its memory */
		(void)clo_failure_take(); /* what is there afterwards is this call's */
		ret = row->call(&e);
		given[row->reason] = true;
		if (ret == CANNOT) {
			test_note("%s: not on this machine", info->name);
			continue;
		}
		last = eng_why(row->error);
		CHECK_MSG(ret == row->error && last.reason == row->reason &&
				  strcmp(last.what, row->what) == 0,
			  "%s: got %d, reason %s, \"%s\"", info->name, ret,
			  clo_reason_nth(last.reason)->name, last.what);
		CHECK_STR(clo_reason_text(row->reason), info->text);
		CHECK(has_errno(info, row->error));
	}
	for (unsigned i = 0; i < CLO_REASON_COUNT; i++)
		CHECK_MSG(given[i] && clo_reason_nth(i)->text, "no call for %u", i);
	CHECK(clo_reason_nth(CLO_REASON_COUNT) == NULL);
	CHECK_STR(clo_reason_text(CLO_REASON_COUNT), "?");
	eng_close(&e);
}
