/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/test_vm.c - hosts, VMs, their files and memslots: arguments, errno, limits, life.
 */
#include "vm/vm.h"

#include "harness/engine.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static struct clo_host_config soft(uint64_t mem_bytes)
{
	return (struct clo_host_config){
		.size = sizeof(struct clo_host_config),
		.view = CLO_HOST_VIEW_SOFT,
		.mem_bytes = mem_bytes,
	};
}

TEST(host_arguments)
{
	struct clo_host_config c = soft(0);
	struct clo_host_stats s = { .size = sizeof(s) };
	struct clo_host *host;

	c = soft(4097);
	CHECK_ERR(clo_host_create(&c, &host), -EINVAL);
	c = soft(0);
	c.view = 4;
	CHECK_ERR(clo_host_create(&c, &host), -EINVAL);
	c = soft(0);
	c.reserved = 1;
	CHECK_ERR(clo_host_create(&c, &host), -EINVAL);
	c = soft(0);
	c.hugetlb = 2;
	CHECK_ERR(clo_host_create(&c, &host), -EINVAL);
	CHECK_OK(clo_host_destroy(NULL));
	CHECK_OK(clo_host_create(NULL, &host));
	CHECK_NE(clo_host_view(host), CLO_HOST_VIEW_AUTO);
	CHECK_OK(clo_host_stats(host, &s));
	CHECK_EQ(s.frames_limit, 64ULL << 18);
	CHECK_EQ(s.frames_used + s.frames_leaked, 0);
	CHECK_OK(clo_host_destroy(host));
}

TEST(host_without_memory)
{
	/* A pool that did not come about is tried again in less room: not each failure is seen. */
	for (uint64_t n = 1; n < 50; n++) {
		uint64_t live = clo_alloc_live();
		struct clo_host *host = NULL;
		int ret;

		clo_alloc_fail_at(n);
		ret = clo_host_create(NULL, &host);
		clo_alloc_fail_at(0);
		if (ret) {
			CHECK_ERR(ret, -ENOMEM);
			CHECK(host == NULL);
		} else {
			CHECK_OK(clo_host_destroy(host));
		}
		CHECK_EQ(clo_alloc_live(), live);
	}
}

/* As in a container: from now on @a and @b are EPERM. */
static void forbid(unsigned a, unsigned b)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, a, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, b, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = CLO_ARRAY_SIZE(filter), .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		SKIP("seccomp filters are not available");
}

TEST(host_view_that_is_not_permitted)
{
	struct clo_host_config c = soft(0);
	struct clo_host *host;

	forbid(SYS_userfaultfd, SYS_openat);
	c.view = CLO_HOST_VIEW_UFFD;
	CHECK_ERR(clo_host_create(&c, &host), -EPERM);
	c.view = CLO_HOST_VIEW_AUTO;
	CHECK_OK(clo_host_create(&c, &host));
	CHECK_EQ(clo_host_view(host), CLO_HOST_VIEW_REMAP);
	CHECK_OK(clo_host_destroy(host));
}

TEST(host_without_memfd)
{
	struct clo_host_config c = soft(0);
	struct clo_host *host;

	forbid(SYS_memfd_create, SYS_memfd_create);
	c.view = CLO_HOST_VIEW_REMAP;
	CHECK_ERR(clo_host_create(&c, &host), -EPERM);
	CHECK_OK(clo_host_create(NULL, &host));
	CHECK_EQ(clo_host_view(host), CLO_HOST_VIEW_SOFT);
	CHECK_OK(clo_host_destroy(host));
}

/* ulimit -f is for memfds too, and a file that is too large is a signal. */
TEST(host_within_the_limit_of_file_sizes)
{
	struct rlimit limit = { 1ULL << 30, 1ULL << 30 };
	struct clo_host_config c = soft(0);
	struct clo_host_stats s = { .size = sizeof(s) };
	struct clo_host *host;

	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	CHECK_OK(clo_host_create(NULL, &host));
	CHECK_EQ(clo_host_view(host) == CLO_HOST_VIEW_SOFT, false);
	CHECK_OK(clo_host_stats(host, &s));
	CHECK_EQ(s.frames_limit, (64ULL << 20) / CLO_PAGE_SIZE);
	CHECK_OK(clo_host_destroy(host));
	c.view = CLO_HOST_VIEW_AUTO;
	c.mem_bytes = 1ULL << 32;
	CHECK_ERR(clo_host_create(&c, &host), -ENOMEM);
}

TEST(vm_arguments)
{
	struct clo_vm_config c = { .size = sizeof(c) }, bad;
	struct clo_host_config hc = soft(0);
	struct clo_host *host;
	struct clo_vm *vm;

	CHECK_OK(clo_host_create(&hc, &host));
	CHECK_ERR(clo_vm_create(host, NULL, &vm), -EINVAL);
	bad = c;
	bad.type = 2; /* SEV: not built */
	CHECK_ERR(clo_vm_create(host, &bad, &vm), -EINVAL);
	bad = c;
	bad.attr_owner = 2;
	CHECK_ERR(clo_vm_create(host, &bad, &vm), -EINVAL);
	bad = c;
	bad.flags = 4;
	CHECK_ERR(clo_vm_create(host, &bad, &vm), -EINVAL);
	bad = c;
	bad.max_level = 4;
	CHECK_ERR(clo_vm_create(host, &bad, &vm), -EINVAL);
	bad = c;
	bad.flags = CLO_VM_TYPED_ACCESS; /* DEFAULT has no private memory */
	CHECK_ERR(clo_vm_create(host, &bad, &vm), -EINVAL);
	CHECK_OK(clo_vm_create(host, &c, &vm));
	CHECK_ERR(clo_host_destroy(host), -EBUSY);
	clo_vm_destroy(vm, NULL);
	CHECK_OK(clo_host_destroy(host));
}

TEST(vm_without_memory)
{
	struct clo_vm_config c = { .size = sizeof(c), .type = CLO_VM_SW_PROTECTED };
	struct clo_host_config hc = soft(0);
	struct clo_host *host;
	int ret = -ENOMEM;

	CHECK_OK(clo_host_create(&hc, &host));
	for (uint64_t n = 1; ret; n++) {
		uint64_t live = clo_alloc_live();
		struct clo_vm *vm;

		clo_alloc_fail_at(n);
		ret = clo_vm_create(host, &c, &vm);
		clo_alloc_fail_at(0);
		if (ret)
			CHECK_ERR(ret, -ENOMEM);
		else
			clo_vm_destroy(vm, NULL);
		CHECK_EQ(clo_alloc_live(), live);
		CHECK(n < 50);
	}
	/* No id was lost, no VM is on the list. */
	CHECK_OK(clo_host_destroy(host));
}

TEST(vm_ids_run_out_and_come_back)
{
	struct clo_vm_config c = { .size = sizeof(c) };
	struct clo_host_config hc = soft(0);
	struct clo_host *host;
	struct clo_vm *vm, *other;

	CHECK_OK(clo_host_create(&hc, &host));
	/* 65534 VMs would take a while to make. */
	memset(host->id_used, 0xff, sizeof(host->id_used));
	host->id_used[8191] = 0x7f;
	CHECK_OK(clo_vm_create(host, &c, &vm));
	CHECK_EQ(vm->id, 65535);
	CHECK_ERR(clo_vm_create(host, &c, &other), -EMFILE);
	clo_vm_destroy(vm, NULL);
	CHECK_OK(clo_vm_create(host, &c, &other));
	clo_vm_destroy(other, NULL);
	memset(host->id_used, 0, sizeof(host->id_used));
	CHECK_OK(clo_vm_create(host, &c, &vm));
	CHECK_EQ(vm->id, 1);
	CHECK_OK(clo_vm_create(host, &c, &other));
	CHECK_EQ(other->id, 2);
	clo_vm_destroy(vm, NULL);
	CHECK_OK(clo_vm_create(host, &c, &vm));
	CHECK_EQ(vm->id, 1);
	clo_vm_destroy(vm, NULL);
	clo_vm_destroy(other, NULL);
	CHECK_OK(clo_host_destroy(host));
}

TEST(files_of_each_type_and_owner)
{
	static const struct {
		bool is_default;
		uint32_t owner;
		uint64_t allowed;
	} rows[] = {
		{ true, CLO_ATTR_OWNER_VM, CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED },
		{ true, CLO_ATTR_OWNER_GMEM, CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED },
		{ false, CLO_ATTR_OWNER_VM,
		  CLO_GMEM_MMAP | CLO_GMEM_ZERO_ON_CONVERT | CLO_GMEM_NO_DIRECT_MAP },
		{ false, CLO_ATTR_OWNER_GMEM,
		  CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED | CLO_GMEM_ZERO_ON_CONVERT |
			  CLO_GMEM_NO_DIRECT_MAP },
	};

	for (unsigned i = 0; i < CLO_ARRAY_SIZE(rows); i++) {
		struct clo_gmem *g;
		struct eng e;

		eng_open(&e, (struct eng_config){ .is_default = rows[i].is_default,
						  .owner = rows[i].owner });
		for (unsigned bit = 0; bit < 64; bit++) {
			uint64_t flag = 1ULL << bit;

			if (flag == CLO_GMEM_HUGETLB)
				CHECK_OK(clo_gmem_create(e.vm, E_2M, flag, 9, &g));
			else if (flag & rows[i].allowed)
				CHECK_OK(clo_gmem_create(e.vm, E_PAGE, flag, 0, &g));
			else
				CHECK_ERR(clo_gmem_create(e.vm, E_PAGE, flag, 0, &g), -EINVAL);
		}
		eng_close(&e);
	}
}

TEST(file_arguments)
{
	struct clo_gmem *g;
	struct eng e;

	eng_open(&e, (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM });
	CHECK_ERR(clo_gmem_create(e.vm, 0, 0, 0, &g), -EINVAL);
	CHECK_ERR(clo_gmem_create(e.vm, 4095, 0, 0, &g), -EINVAL);
	CHECK_ERR(clo_gmem_create(e.vm, 1ULL << 63, 0, 0, &g), -EINVAL);
	CHECK_ERR(clo_gmem_create(e.vm, E_2M, 0, 9, &g), -EINVAL);
	CHECK_ERR(clo_gmem_create(e.vm, E_2M, CLO_GMEM_HUGETLB, 0, &g), -EINVAL);
	CHECK_ERR(clo_gmem_create(e.vm, E_2M, CLO_GMEM_HUGETLB, 10, &g), -EINVAL);
	CHECK_ERR(clo_gmem_create(e.vm, E_2M + E_PAGE, CLO_GMEM_HUGETLB, 9, &g), -EINVAL);
	CHECK_ERR(clo_gmem_create(e.vm, E_2M, CLO_GMEM_HUGETLB | CLO_GMEM_INIT_SHARED, 9, &g),
		  -EINVAL);
	CHECK_OK(clo_gmem_create(e.vm, INT64_MAX - E_PAGE + 1, 0, 0, &g));
	for (uint64_t n = 1;; n++) {
		int ret;

		clo_alloc_fail_at(n);
		ret = clo_gmem_create(e.vm, E_PAGE, 0, 0, &g);
		clo_alloc_fail_at(0);
		if (ret == 0)
			break;
		CHECK_ERR(ret, -ENOMEM);
		CHECK(n < 20);
	}
	eng_close(&e);
}

TEST(calls_on_a_file)
{
	uint64_t byte = 0;
	struct eng e;
	void *addr;

	eng_open(&e, (struct eng_config){ .mem_bytes = 4 * E_PAGE });
	CHECK_ERR(clo_gmem_fallocate(e.gmem, 0, 0, E_PAGE), -EOPNOTSUPP);
	CHECK_ERR(clo_gmem_fallocate(e.gmem, CLO_FALLOC_KEEP_SIZE | 4, 0, E_PAGE), -EOPNOTSUPP);
	CHECK_ERR(clo_gmem_fallocate(e.gmem, CLO_FALLOC_KEEP_SIZE, -4096, E_PAGE), -EINVAL);
	CHECK_ERR(clo_gmem_fallocate(e.gmem, CLO_FALLOC_KEEP_SIZE, 0, 0), -EINVAL);
	CHECK_ERR(clo_gmem_fallocate(e.gmem, CLO_FALLOC_KEEP_SIZE, 0, 17 * E_PAGE), -EINVAL);
	CHECK_ERR(eng_punch(&e, 0, 0), -EINVAL);
	CHECK_OK(eng_punch(&e, 100, 1));
	CHECK_ERR(clo_gmem_fallocate(e.gmem, CLO_FALLOC_KEEP_SIZE, 0, 16 * E_PAGE), -ENOMEM);
	CHECK_EQ(eng_frames(&e), 4); /* what was done stays, as in KVM */
	CHECK_ERR(clo_gmem_mmap(e.gmem, 0, E_PAGE, true, &addr), -ENODEV);
	CHECK_ERR(clo_gmem_host_access(e.gmem, 0, &byte, 1, false), -ENODEV);
	eng_close(&e);
	eng_open(&e, (struct eng_config){ .gmem_flags = CLO_GMEM_MMAP });
	CHECK_ERR(clo_gmem_mmap(e.gmem, 0, E_PAGE, true, &addr), -EOPNOTSUPP);
	CHECK_ERR(clo_gmem_host_access(e.gmem, 0, &byte, 1, false), -EFAULT);
	eng_close(&e);
}

TEST(memslot_rules)
{
	struct clo_region r;
	struct eng e, other;

	eng_open(&e, (struct eng_config){ 0 });
	eng_open(&other, (struct eng_config){ 0 });
	r = eng_region(&e, 1, E_GPA + 32 * E_PAGE, 1, 0);
	r.flags |= CLO_MEM_LOG_DIRTY;
	CHECK_ERR(clo_vm_set_region(e.vm, &r), -EINVAL);
	r = eng_region(&e, 1 << 16, E_GPA + 32 * E_PAGE, 1, 0); /* one address space */
	CHECK_ERR(clo_vm_set_region(e.vm, &r), -EINVAL);
	CHECK_ERR(eng_slot_delete(&e, 1), -EINVAL);
	CHECK_ERR(eng_slot(&e, 1, E_GPA + 15 * E_PAGE, 1, 0), -EEXIST);
	CHECK_ERR(eng_slot(&e, 1, E_GPA + 32 * E_PAGE, 1, 3), -EEXIST); /* bound already */
	r = eng_region(&e, 1, E_GPA + 32 * E_PAGE, 1, 0);
	r.gmem = NULL;
	CHECK_ERR(clo_vm_set_region(e.vm, &r), -EBADF);
	r.gmem = other.gmem;
	CHECK_ERR(clo_vm_set_region(e.vm, &r), -EINVAL);
	CHECK_OK(eng_slot_delete(&e, 0));
	CHECK_ERR(eng_slot(&e, 0, E_GPA, 17, 0), -EINVAL);
	clo_alloc_fail_at(1);
	CHECK_ERR(eng_slot(&e, 0, E_GPA, 16, 0), -ENOMEM);
	clo_alloc_fail_at(0);
	CHECK_OK(eng_slot(&e, 0, E_GPA, 16, 0));
	clo_vm_destroy(other.vm, NULL);
	CHECK_OK(clo_host_destroy(other.host));
	clo_vm_destroy(e.vm, NULL);
	CHECK_OK(clo_host_destroy(e.host));
	CHECK_EQ(clo_alloc_live(), e.live);
}

/* A deletion, and what is refused before a file is asked for, look at no file: here there is none.
 */
TEST(memslot_whose_file_is_gone)
{
	struct clo_region r;
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	r = eng_region(&e, 0, E_GPA, 16, 0);
	CHECK_OK(eng_convert(&e, 0, 16, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&e, 0, 0, 1));
	clo_gmem_close(e.gmem);
	CHECK_ERR(clo_vm_set_region(e.vm, &r), -EINVAL); /* no change of a guest_memfd slot */
	r.memory_size = 0;
	CHECK_OK(clo_vm_set_region(e.vm, &r));
	eng_close(&e);
	/* Any pointer will do. */
	eng_open(&e, (struct eng_config){ 0 });
	r = eng_region(&e, 0, E_GPA, 16, 0);
	r.gmem = (struct clo_gmem *)mmap(NULL, E_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
					 0);
	CHECK_ERR(clo_vm_set_region(e.vm, &r), -EINVAL);
	r.guest_phys_addr += 8 * E_PAGE;
	r.slot = 1;
	CHECK_ERR(clo_vm_set_region(e.vm, &r), -EEXIST);
	r.slot = 0;
	r.memory_size = 0;
	CHECK_OK(clo_vm_set_region(e.vm, &r));
	eng_close(&e);
}

TEST(holes_of_a_memslot)
{
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	CHECK_ERR(clo_vm_set_holes(e.vm, 1, E_GPA, E_PAGE, false), -ENOENT);
	CHECK_ERR(clo_vm_set_holes(e.vm, 1 << 16, E_GPA, E_PAGE, false), -ENOENT);
	CHECK_ERR(clo_vm_set_holes(e.vm, 0, E_GPA + 1, E_PAGE, false), -EINVAL);
	CHECK_ERR(clo_vm_set_holes(e.vm, 0, E_GPA, 0, false), -EINVAL);
	CHECK_ERR(clo_vm_set_holes(e.vm, 0, E_GPA, 17 * E_PAGE, false), -EINVAL);
	CHECK_ERR(clo_vm_set_holes(e.vm, 0, E_GPA - E_PAGE, 2 * E_PAGE, false), -EINVAL);
	CHECK_ERR(clo_vm_set_holes(e.vm, 0, UINT64_MAX - E_PAGE + 1, E_PAGE, false), -EINVAL);
	for (uint64_t n = 1; n <= 3; n++) {
		clo_alloc_fail_at(n);
		CHECK_ERR(clo_vm_set_holes(e.vm, 0, E_GPA, E_PAGE, false), -ENOMEM);
		clo_alloc_fail_at(0);
		CHECK_OK(eng_store(&e, 0, 0, 1));
	}
	CHECK_OK(clo_vm_set_holes(e.vm, 0, E_GPA, 16 * E_PAGE, false));
	CHECK_EQ(eng_store(&e, 0, 0, 1), 1);
	CHECK_OK(clo_vm_set_holes(e.vm, 0, E_GPA, E_PAGE, true));
	CHECK_OK(eng_store(&e, 0, 0, 1));
	eng_close(&e);
}
