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

static int populate(uint64_t addr, size_t bytes, bool writable)
{
	void *p = (void *)(uintptr_t)addr;

	if (madvise(p, bytes, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) == 0)
		return 0;
	switch (errno) {
	case EINVAL:
		return probe(p);
	case EHWPOISON:
		return -EHWPOISON;
	default:
		return -EFAULT; /* ENOMEM: no mapping there; EFAULT: a mapping beyond its file, or
				   without the right */
	}
}

static bool block_is_resident(uint64_t addr)
{
	unsigned char vec[BLOCK_PAGES];
	unsigned resident = 1;

	if (mincore((void *)(uintptr_t)addr, BLOCK_BYTES, vec))
		return false;
	for (unsigned i = 0; i < BLOCK_PAGES; i++)
		resident &= vec[i];
	return resident & 1;
}

int clo_fault_user_page(struct clo_hva hva, bool writable, unsigned *order)
{
	uint64_t block = clo_align_down(hva.a, BLOCK_BYTES);
	int ret = populate(hva.a, CLO_PAGE_SIZE, writable);

	*order = 0;
	if (ret)
		return ret;
	if (block_is_resident(block) && populate(block, BLOCK_BYTES, writable) == 0)
		*order = clo_level_order(CLO_LEVEL_2M);
	return 0;
}
