/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view_tail.c - the empty file: every address in a mapping of it is beyond its end, so a touch
 * is SIGBUS and a system call EFAULT, without an engine. It stands behind what a mapping has beyond
 * the end of the guest_memfd, at both levels, and at level REMAP behind private pages.
 */
#include "view_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int view_empty_open(struct clo_view_host *vh)
{
	int fd = memfd_create("cloister-hidden", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return clo_fail_errno(CLO_REASON_KERNEL, "memfd_create");
	/* It stays empty, whoever gets hold of it. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
		int ret = clo_fail_errno(CLO_REASON_KERNEL, "fcntl");

		close(fd);
		return ret;
	}
	vh->empty_fd = fd;
	return 0;
}

void view_empty_close(struct clo_view_host *vh)
{
	if (vh->empty_fd >= 0)
		close(vh->empty_fd);
	vh->empty_fd = -1;
}

int view_tail_map(struct view_map *m)
{
	size_t bytes = (size_t)(m->tail * CLO_PAGE_SIZE);
	uint8_t *at = view_addr(m, m->r.end);

	if (bytes == 0)
		return 0;
	if (view_sys_mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
			  m->set->vh->empty_fd, 0) == MAP_FAILED)
		return clo_fail_errno(CLO_REASON_MAPPINGS, "mmap");
	/* As the rest of the mapping; and a core dump would be as large as the tail. */
	if (view_sys_madvise(at, bytes, MADV_DONTFORK) != 0 ||
	    view_sys_madvise(at, bytes, MADV_DONTDUMP) != 0)
		return clo_fail_errno(CLO_REASON_MAPPINGS, "madvise");
	return 0;
}

/* One page more shows whether it is the room that lacks, or the number of mappings. */
int view_no_room(void)
{
	void *p = view_reserve((size_t)CLO_PAGE_SIZE, (size_t)CLO_PAGE_SIZE);

	if (!p)
		return clo_fail(-ENOMEM, CLO_REASON_MAPPINGS, "mmap");
	(void)view_sys_munmap(p, (size_t)CLO_PAGE_SIZE);
	return clo_fail(-ENOMEM, CLO_REASON_SPACE, "mapping");
}
