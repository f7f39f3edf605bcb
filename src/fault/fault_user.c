/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault/fault_user.c - the VMM's own memory behind a shared page.
 */
#include "fault_user.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

#define BLOCK_PAGES 512U
#define BLOCK_BYTES (BLOCK_PAGES * CLO_PAGE_SIZE)

/* Without MADV_POPULATE (before Linux 5.14) only that it can be read is known. */
static int probe(void *addr)
{
	char byte;
	struct iovec local = { .iov_base = &byte, .iov_len = 1 };
	struct iovec remote = { .iov_base = addr, .iov_len = 1 };

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1 ? 0 : -EFAULT;
}

/* EINVAL says "no such advice" or "not with these rights": ask for what certainly may be had. */
static bool has_populate(void)
{
	char here;

	return madvise((void *)(uintptr_t)clo_align_down((uintptr_t)&here, CLO_PAGE_SIZE),
		       CLO_PAGE_SIZE, MADV_POPULATE_READ) == 0;
}

int clo_fault_user_populate(struct clo_hva hva, uint64_t bytes, bool writable)
{
	void *p = (void *)(uintptr_t)hva.a;

	if (madvise(p, (size_t)bytes, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) == 0)
		return 0;
	switch (errno) {
	case EINVAL:
		return has_populate() ? -EFAULT : probe(p);
	case EHWPOISON:
		return -EHWPOISON;
	default:
		/* ENOMEM: no mapping there; EFAULT: beyond its file */
		return -EFAULT;
	}
}

unsigned clo_fault_user_order(struct clo_hva hva)
{
	unsigned char vec[BLOCK_PAGES];
	unsigned resident = 1;

	if (mincore((void *)(uintptr_t)clo_align_down(hva.a, BLOCK_BYTES), BLOCK_BYTES, vec))
		return 0;
	for (unsigned i = 0; i < BLOCK_PAGES; i++)
		resident &= vec[i];
	return resident & 1 ? clo_level_order(CLO_LEVEL_2M) : 0;
}
