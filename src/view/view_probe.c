/* SPDX-License-Identifier: Apache-2.0 */
/* view/view_probe.c - what this host permits, found out by doing it. Leaves nothing behind. */
#include "view_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define SIZE_2M (2UL << 20)
#define SIZE_1G (1UL << 30)

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21U << 26)
#endif
#ifndef MFD_HUGE_1GB
#define MFD_HUGE_1GB (30U << 26)
#endif

/* A memfd of one page of @bytes, or -errno. */
static int one_page_file(unsigned flags, size_t bytes)
{
	int fd = memfd_create("cloister-probe", MFD_CLOEXEC | flags);

	if (fd >= 0 && ftruncate(fd, (off_t)bytes) != 0) {
		int ret = -errno;

		close(fd);
		return ret;
	}
	return fd < 0 ? -errno : fd;
}

/* Huge pages exist as a kind long before there is one free: take one. */
static int probe_huge(unsigned flags, size_t bytes)
{
	int fd = one_page_file(MFD_HUGETLB | flags, bytes);
	int ret = 0;

	if (fd < 0)
		return fd;
	if (fallocate(fd, 0, 0, (off_t)bytes) != 0)
		ret = -errno;
	close(fd);
	return ret;
}

static int touch(void *p)
{
	char byte;
	struct iovec local = { .iov_base = &byte, .iov_len = 1 };
	struct iovec remote = { .iov_base = p, .iov_len = 1 };

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) < 0 ? -errno : 0;
}

/* 0 when a poisoned page is refused. */
static int try_poison(int uffd, void *p, size_t bytes)
{
	size_t done;
	int ret = view_uffd_poison(uffd, p, bytes, bytes, &done);

	if (ret)
		return ret;
	ret = touch(p);
	if (ret == 0)
		return -EOPNOTSUPP; /* read */
	return ret == -EFAULT ? 0 : ret;
}

/* Register a page of @fd_flags memory with a userfaultfd of @features; poison it if asked. */
static int try_mode(unsigned fd_flags, size_t bytes, uint64_t features, uint64_t mode, bool poison)
{
	struct view_uffd u;
	int fd = one_page_file(fd_flags, bytes);
	int ret = fd < 0 ? fd : view_uffd_open(&u, features);
	void *p;

	if (ret) {
		if (fd >= 0)
			close(fd);
		return ret;
	}
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED) {
		ret = -errno;
	} else {
		ret = view_uffd_register(u.fd, p, bytes, mode);
		if (ret == 0 && poison)
			ret = try_poison(u.fd, p, bytes);
		(void)munmap(p, bytes);
	}
	close(u.fd);
	close(fd);
	return ret;
}

static uint64_t read_number(const char *path)
{
	unsigned long long n = 0;
	FILE *f = fopen(path, "re");

	if (!f)
		return 0;
	if (fscanf(f, "%llu", &n) != 1)
		n = 0;
	(void)fclose(f);
	return n;
}

static void probe_uffd(struct clo_view_probe *out)
{
	const uint64_t both = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR;
	const size_t page = (size_t)CLO_PAGE_SIZE;
	struct view_uffd u;

	out->userfaultfd = view_uffd_open(&u, 0);
	if (out->userfaultfd) {
		out->minor_shmem = out->minor_hugetlb = out->userfaultfd;
		out->poison = out->wp_async = out->userfaultfd;
		return;
	}
	out->user_mode_only = u.user_mode_only;
	close(u.fd);
	out->minor_shmem = try_mode(0, page, VIEW_UFFD_MINOR_SHMEM, both, false);
	out->minor_hugetlb =
		try_mode(MFD_HUGETLB | MFD_HUGE_2MB, SIZE_2M, VIEW_UFFD_MINOR_HUGETLB, both, false);
	out->poison = try_mode(0, page, VIEW_UFFD_MINOR_SHMEM | VIEW_UFFD_POISON, both, true);
	out->wp_async = try_mode(0, page, VIEW_UFFD_WP_ASYNC, UFFDIO_REGISTER_MODE_WP, false);
}

void clo_view_probe(struct clo_view_probe *out)
{
	int fd = one_page_file(0, (size_t)CLO_PAGE_SIZE);

	*out = (struct clo_view_probe){ .memfd = fd < 0 ? fd : 0 };
	if (fd >= 0)
		close(fd);
	probe_uffd(out);
	out->hugetlb_2m = probe_huge(MFD_HUGE_2MB, SIZE_2M);
	out->hugetlb_1g = probe_huge(MFD_HUGE_1GB, SIZE_1G);
	out->hugetlb_2m_free =
		read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
	out->hugetlb_1g_free =
		read_number("/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages");
	out->max_map_count = read_number("/proc/sys/vm/max_map_count");
	if (out->memfd)
		out->best = CLO_VIEW_SOFT;
	else
		out->best = out->minor_shmem || out->poison ? CLO_VIEW_REMAP : CLO_VIEW_UFFD;
}
