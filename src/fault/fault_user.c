/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault/fault_user.c - the VMM's own memory behind a shared page.
 */
#include "fault_user.h"

#include <errno.h>
#include <string.h>
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

/* A copy that the kernel makes for us: with an error for a signal. */
static bool copy(struct clo_hva hva, void *buf, size_t bytes, bool write)
{
	struct iovec local = { .iov_base = buf, .iov_len = bytes };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)hva.a, .iov_len = bytes };
	ssize_t done = write ? process_vm_writev(getpid(), &local, 1, &remote, 1, 0)
			     : process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

	if (CLO_LIKELY(done == (ssize_t)bytes))
		return true;
	if (errno != EPERM && errno != ENOSYS)
		return false;
	/* A sandbox without the call: a plain copy, with plain signals. */
	if (write)
		memcpy(remote.iov_base, buf, bytes);
	else
		memcpy(buf, remote.iov_base, bytes);
	return true;
}

int clo_fault_user_copy(struct clo_hva hva, void *buf, size_t bytes, bool write)
{
	struct clo_hva page = { clo_align_down(hva.a, CLO_PAGE_SIZE) };
	int ret;

	if (copy(hva, buf, bytes, write))
		return 0;
	/* Why? A page that can be made present after all was taken away and given back. */
	ret = clo_fault_user_populate(page, CLO_PAGE_SIZE, write);
	if (ret == 0 && !copy(hva, buf, bytes, write))
		ret = -EFAULT;
	return ret;
}

enum clo_fault_cause clo_fault_user_cause(int error)
{
	return error == -EHWPOISON ? CLO_CAUSE_POISON : CLO_CAUSE_BAD_HVA;
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
