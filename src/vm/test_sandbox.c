/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/test_sandbox.c - under real seccomp filters that refuse a system call the engine would like.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "harness/engine.h"

#define CALLS 3

/* From now on these fail with EPERM; 0 is none. */
static void refuse(const unsigned calls[CALLS])
{
	struct sock_filter f[2 * CALLS + 2] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
							 offsetof(struct seccomp_data, nr)) };
	struct sock_fprog p = { .len = 1, .filter = f };

	for (unsigned i = 0; i < CALLS && calls[i]; i++) {
		f[p.len++] =
			(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
		f[p.len++] =
			(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	}
	f[p.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p))
		SKIP("no seccomp filters here");
}

/* liburcu would end the process at the first grace period. */
TEST(without_membarrier)
{
	struct clo_host *host;
	int ret;

	if (syscall(SYS_membarrier, 0, 0) < 0)
		SKIP("no membarrier(2) here");
	refuse((const unsigned[CALLS]){ SYS_membarrier });
	ret = clo_host_create(NULL, &host);
#ifdef CLO_SYNC_TSAN
	CHECK_OK(ret); /* grace periods of our own */
#else
	CHECK_ERR(ret, -EPERM);
	CHECK_ERR(clo_host_create(NULL, &host), -EPERM);
#endif
}

static const unsigned process_vm[CALLS] = { SYS_process_vm_readv, SYS_process_vm_writev };

/* The VMM's buffers and its own memory are reached all the same. */
TEST(without_process_vm)
{
	struct eng e, two;
	uint8_t byte = 5;

	refuse(process_vm);
	eng_open(&e, (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM,
					  .gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED,
					  .view = CLO_HOST_VIEW_AUTO });
	CHECK_OK(clo_gmem_host_access(e.gmem, 0, &byte, 1, true));
	byte = 0;
	CHECK_OK(clo_gmem_host_access(e.gmem, 0, &byte, 1, false));
	CHECK_EQ(byte, 5);
	CHECK_EQ(eng_byte(&e, 0, 0), 5);
	CHECK_OK(eng_convert(&e, 0, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_ERR(clo_gmem_host_access(e.gmem, 0, &byte, 1, false), -EFAULT);
	eng_close(&e);
	eng_open(&two, (struct eng_config){ 0 });
	CHECK_OK(eng_store(&two, 1, 0, 9)); /* shared: the VMM's memory */
	CHECK_EQ(eng_byte(&two, 1, 0), 9);
	eng_close(&two);
}

EXPECT_SIGNAL(without_process_vm_a_bad_buffer_is_a_signal, SIGSEGV)
{
	struct eng e;
	void *bad = mmap(NULL, E_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(bad != MAP_FAILED);
	eng_open(&e, (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM,
					  .gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED });
	CHECK_ERR(clo_gmem_host_access(e.gmem, 0, bad, 1, false), -EFAULT);
	refuse(process_vm);
	(void)!clo_gmem_host_access(e.gmem, 0, bad, 1, false);
}

/* Neither the call nor the device: the level without it. */
TEST(without_userfaultfd)
{
	struct clo_host *host;

#ifdef CLO_SANITIZED
	SKIP("LeakSanitizer opens files when a program ends");
#endif
	refuse((const unsigned[CALLS]){ SYS_userfaultfd, SYS_openat, SYS_open });
	CHECK_OK(clo_host_create(NULL, &host));
	CHECK_EQ(clo_host_view(host), CLO_HOST_VIEW_REMAP);
	CHECK_OK(clo_host_destroy(host));
}
