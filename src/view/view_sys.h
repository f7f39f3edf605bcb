/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view_sys.h - the system calls of level UFFD on the VMM's address space and on a userfaultfd.
 *
 * In the product each is the call itself. In the explorer library they are those of a small model
 * of the kernel (view_fake.h), where each is a scheduling point, or several. What is told nothing
 * of mappings (memfd_create, the device, /proc) is called as it is in both.
 *
 * Numbers that headers older than Linux 6.6 lack are given here; the kernel refuses what it does
 * not know (UFFDIO_API: EINVAL), so nothing depends on the headers of the build machine.
 */
#ifndef CLO_VIEW_VIEW_SYS_H
#define CLO_VIEW_VIEW_SYS_H

#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/types.h>

/* UFFDIO_POISON: since Linux 6.6. */
struct view_poison {
	struct uffdio_range range;
	uint64_t mode;
	int64_t updated;
};
#define VIEW_UFFDIO_POISON _IOWR(0xAA, 0x08, struct view_poison)

/* PAGEMAP_SCAN: since Linux 6.7. */
struct view_region {
	uint64_t start, end, categories;
};
struct view_scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted,
		category_mask, category_anyof_mask, return_mask;
};
#define VIEW_PAGEMAP_SCAN    _IOWR('f', 16, struct view_scan)
#define VIEW_PAGE_IS_PRESENT (1ULL << 3)

#ifdef CLO_SYNC_EXPLORE

void *view_sys_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t off);
int view_sys_munmap(void *addr, size_t bytes);
int view_sys_mprotect(void *addr, size_t bytes, int prot);
int view_sys_madvise(void *addr, size_t bytes, int advice);
int view_sys_userfaultfd(unsigned flags);
int view_sys_ioctl(int fd, unsigned long request, void *arg);
int view_sys_eventfd(void);
ssize_t view_sys_read(int fd, void *buf, size_t bytes);
ssize_t view_sys_write(int fd, const void *buf, size_t bytes);
int view_sys_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int view_sys_close(int fd);
int view_sys_random(uint64_t *value);

#else

#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline void *view_sys_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t off)
{
	return mmap(addr, bytes, prot, flags, fd, off);
}
static inline int view_sys_munmap(void *addr, size_t bytes)
{
	return munmap(addr, bytes);
}
static inline int view_sys_mprotect(void *addr, size_t bytes, int prot)
{
	return mprotect(addr, bytes, prot);
}
static inline int view_sys_madvise(void *addr, size_t bytes, int advice)
{
	return madvise(addr, bytes, advice);
}
static inline int view_sys_userfaultfd(unsigned flags)
{
	return (int)syscall(SYS_userfaultfd, flags);
}
static inline int view_sys_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg);
}
static inline int view_sys_eventfd(void)
{
	return eventfd(0, EFD_CLOEXEC);
}
static inline ssize_t view_sys_read(int fd, void *buf, size_t bytes)
{
	return read(fd, buf, bytes);
}
static inline ssize_t view_sys_write(int fd, const void *buf, size_t bytes)
{
	return write(fd, buf, bytes);
}
static inline int view_sys_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	return poll(fds, count, timeout_ms);
}
static inline int view_sys_close(int fd)
{
	return close(fd);
}
/* Not through libc: there getrandom() is a place to be cancelled at. */
static inline int view_sys_random(uint64_t *value)
{
	return (int)syscall(SYS_getrandom, value, sizeof(*value), GRND_NONBLOCK);
}

#endif

#endif
