/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view_uffd.c - the system calls on a userfaultfd, with their partial results made whole.
 */
#include "view_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

static int open_dev(void)
{
	int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int fd, err;

	if (dev < 0)
		return clo_fail_errno(CLO_REASON_KERNEL, "/dev/userfaultfd");
	fd = ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	err = errno;
	close(dev);
	return fd < 0 ? clo_fail(-err, CLO_REASON_KERNEL, "/dev/userfaultfd") : fd;
}

static int open_syscall(unsigned flags)
{
	int fd = view_sys_userfaultfd(O_CLOEXEC | O_NONBLOCK | flags);

	return fd < 0 ? clo_fail_errno(CLO_REASON_KERNEL, "userfaultfd") : fd;
}

/* The best kind permitted. The error is the system call's: the device is only another way. */
static int open_best(bool *user_mode_only)
{
	int fd = open_syscall(0);
	int first = fd;

	*user_mode_only = false;
	if (fd == -EPERM)
		fd = open_dev();
	if (fd < 0 && first == -EPERM) {
		fd = open_syscall(UFFD_USER_MODE_ONLY);
		*user_mode_only = fd >= 0;
	}
	return fd < 0 ? first : fd;
}

static int handshake(int fd, uint64_t want, uint64_t *features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = want };

	if (view_sys_ioctl(fd, UFFDIO_API, &api) < 0)
		return clo_fail_errno(CLO_REASON_KERNEL, "UFFDIO_API");
	*features = api.features;
	return 0;
}

int view_uffd_open(struct view_uffd *u, uint64_t features)
{
	int fd = open_best(&u->user_mode_only);
	int ret;

	if (fd < 0)
		return fd;
	ret = handshake(fd, features, &u->features);
	if (ret) {
		view_sys_close(fd);
		/* The only reason that is left here: a feature this kernel does not have. */
		return ret == -EINVAL ? -EPERM : ret;
	}
	u->fd = fd;
	return 0;
}

int view_uffd_register(int fd, void *addr, size_t bytes, uint64_t mode)
{
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)addr, .len = bytes },
		.mode = mode,
	};

	if (view_sys_ioctl(fd, UFFDIO_REGISTER, &reg) < 0)
		return clo_fail_errno(CLO_REASON_MAPPINGS, "UFFDIO_REGISTER");
	return 0;
}

/* One ioctl over [addr, addr + bytes): 0, or -errno and in *count what was done before it. */
typedef int (*fill_fn)(int fd, uint8_t *addr, size_t bytes, int64_t *count);

static int one_continue(int fd, uint8_t *addr, size_t bytes, int64_t *count)
{
	struct uffdio_continue c = { .range = { .start = (uintptr_t)addr, .len = bytes } };
	int ret = view_sys_ioctl(fd, UFFDIO_CONTINUE, &c) == 0
			  ? 0
			  : clo_fail_errno(CLO_REASON_KERNEL, "userfaultfd");

	*count = c.mapped;
	return ret;
}

static int one_poison(int fd, uint8_t *addr, size_t bytes, int64_t *count)
{
	struct view_poison p = { .range = { .start = (uintptr_t)addr, .len = bytes } };
	int ret = view_sys_ioctl(fd, VIEW_UFFDIO_POISON, &p) == 0
			  ? 0
			  : clo_fail_errno(CLO_REASON_KERNEL, "userfaultfd");

	*count = p.updated;
	return ret;
}

/*
 * An ioctl reports a part done by EAGAIN and a count; any other error stands for the first unit
 * after *done. It works inside one VMA only (ENOENT): the VMM splits them, by mprotect() of a part.
 */
static int fill(int fd, uint8_t *addr, size_t bytes, size_t unit, size_t *done, fill_fn one)
{
	size_t len = bytes;

	*done = 0;
	while (*done < bytes) {
		int64_t count = 0;
		int ret;

		if (len > bytes - *done)
			len = bytes - *done;
		ret = one(fd, addr + *done, len, &count);
		if (ret == 0)
			count = (int64_t)len;
		if (count > 0) {
			*done += (size_t)count;
			len = bytes - *done;
		}
		if (ret == -ENOENT && len > unit)
			len = len / 2 < unit ? unit : len / 2 / unit * unit;
		else if (ret && !(ret == -EAGAIN && count > 0))
			return ret;
	}
	return 0;
}

int view_uffd_continue(int fd, void *addr, size_t bytes, size_t unit, size_t *done)
{
	return fill(fd, addr, bytes, unit, done, one_continue);
}

int view_uffd_poison(int fd, void *addr, size_t bytes, size_t unit, size_t *done)
{
	return fill(fd, addr, bytes, unit, done, one_poison);
}

bool view_uffd_changing(int fd)
{
	/* Of nothing: what is looked at before the arguments is all that matters. */
	struct uffdio_writeprotect none = { .mode = 0 };

	return view_sys_ioctl(fd, UFFDIO_WRITEPROTECT, &none) != 0 && errno == EAGAIN;
}

void view_uffd_wake(int fd, void *addr, size_t bytes)
{
	struct uffdio_range r = { .start = (uintptr_t)addr, .len = bytes };

	(void)view_sys_ioctl(fd, UFFDIO_WAKE, &r);
}

int view_zap(void *addr, size_t bytes)
{
	if (view_sys_madvise(addr, bytes, MADV_DONTNEED) == 0)
		return 0;
	/* A VMM that called mlockall(): the plain form refuses locked memory. */
	if (errno == EINVAL && view_sys_madvise(addr, bytes, MADV_DONTNEED_LOCKED) == 0)
		return 0;
	return clo_fail_errno(CLO_REASON_KERNEL, "madvise");
}

bool view_is_mapped(const void *addr, size_t bytes)
{
	int cancel = clo_cancel_off();
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct view_region found;
	struct view_scan scan = {
		.size = sizeof(scan),
		.start = (uintptr_t)addr,
		.end = (uintptr_t)addr + bytes,
		.vec = (uintptr_t)&found,
		.vec_len = 1,
		.max_pages = 1,
		.category_mask = VIEW_PAGE_IS_PRESENT,
		.return_mask = VIEW_PAGE_IS_PRESENT,
	};
	int n = 0;

	if (fd >= 0) {
		n = view_sys_ioctl(fd, VIEW_PAGEMAP_SCAN, &scan);
		close(fd);
	}
	clo_cancel_restore(cancel);
	return n > 0;
}
