/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/bench_files.c - memfd and guest_memfd. The kernel's numbers are written out here: the
 * headers of the distribution may be older than the kernel that runs.
 */
#include "bench_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define PAGE 4096U

/* Linux 6.18, include/uapi/linux/kvm.h. */
#define KVM_IO_CHECK_EXTENSION 0xae03UL
#define KVM_IO_CREATE_VM       0xae01UL
#define CAP_MEMORY_ATTRIBUTES  233
#define CAP_GUEST_MEMFD        234
#define CAP_GUEST_MEMFD_FLAGS  244
#define VM_SW_PROTECTED        1
#define FILE_MMAP              1U
#define FILE_INIT_SHARED       2U
#define SLOT_GUEST_MEMFD       4U

struct create_file {
	uint64_t size;
	uint64_t flags;
	uint64_t reserved[6];
};
struct region {
	uint32_t slot;
	uint32_t flags;
	uint64_t gpa;
	uint64_t bytes;
	uint64_t hva;
	uint64_t file_offset;
	uint32_t file;
	uint32_t pad1;
	uint64_t pad2[14];
};
#define KVM_IO_CREATE_FILE _IOWR(0xae, 0xd4, struct create_file)
#define KVM_IO_SET_REGION  _IOW(0xae, 0x49, struct region)

static void map_file(struct bench_file *f)
{
	void *map = mmap(NULL, f->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);

	if (map == MAP_FAILED)
		bench_die("mmap of a file: %s", strerror(errno));
	f->map = map;
}

void bench_memfd(struct bench_file *f, uint64_t bytes)
{
	*f = (struct bench_file){ .vm = -1, .kvm = -1, .bytes = bytes };
	f->fd = memfd_create("bench", MFD_CLOEXEC);
	if (f->fd < 0 || ftruncate(f->fd, (off_t)bytes) < 0)
		bench_die("memfd: %s", strerror(errno));
	map_file(f);
}

static int open_kvm(char *why, size_t size)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm < 0)
		snprintf(why, size, "not on this host: /dev/kvm: %s", strerror(errno));
	return kvm;
}

/* The file, in a memslot of a VM, so that a hole is told to a guest's tables as well. */
static bool bind_file(struct bench_file *f, char *why, size_t size)
{
	struct create_file c = { .size = f->bytes, .flags = FILE_MMAP | FILE_INIT_SHARED };
	struct region r = { .flags = SLOT_GUEST_MEMFD, .bytes = f->bytes };
	int flags = ioctl(f->vm, KVM_IO_CHECK_EXTENSION, CAP_GUEST_MEMFD_FLAGS);

	if (ioctl(f->vm, KVM_IO_CHECK_EXTENSION, CAP_GUEST_MEMFD) != 1) {
		snprintf(why, size, "not on this host: KVM_CAP_GUEST_MEMFD is 0");
		return false;
	}
	if (flags < 0 || ((uint32_t)flags & c.flags) != c.flags) {
		snprintf(why, size, "not on this host: KVM_CAP_GUEST_MEMFD_FLAGS is %d", flags);
		return false;
	}
	f->fd = ioctl(f->vm, KVM_IO_CREATE_FILE, &c);
	if (f->fd < 0) {
		snprintf(why, size, "KVM_CREATE_GUEST_MEMFD: %s", strerror(errno));
		return false;
	}
	map_file(f);
	r.hva = (uintptr_t)f->map;
	r.file = (uint32_t)f->fd;
	if (ioctl(f->vm, KVM_IO_SET_REGION, &r) < 0) {
		snprintf(why, size, "KVM_SET_USER_MEMORY_REGION2: %s", strerror(errno));
		return false;
	}
	return true;
}

bool bench_guest_memfd(struct bench_file *f, uint64_t bytes, char *why, size_t size)
{
	*f = (struct bench_file){ .fd = -1, .vm = -1, .bytes = bytes };
	f->kvm = open_kvm(why, size);
	if (f->kvm < 0)
		return false;
	f->vm = ioctl(f->kvm, KVM_IO_CREATE_VM, 0);
	if (f->vm < 0)
		snprintf(why, size, "not on this host: KVM_CREATE_VM: %s", strerror(errno));
	else if (bind_file(f, why, size))
		return true;
	bench_file_close(f);
	return false;
}

void bench_file_close(struct bench_file *f)
{
	if (f->map)
		munmap((void *)(uintptr_t)f->map, f->bytes);
	if (f->fd >= 0)
		close(f->fd);
	if (f->vm >= 0)
		close(f->vm);
	if (f->kvm >= 0)
		close(f->kvm);
}

void bench_file_touch(const struct bench_file *f, uint64_t off, uint64_t bytes)
{
	for (uint64_t at = off; at < off + bytes; at += PAGE)
		f->map[at] = 1;
}

void bench_file_punch(const struct bench_file *f, uint64_t off, uint64_t bytes)
{
	if (fallocate(f->fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, (off_t)off, (off_t)bytes) <
	    0)
		bench_die("PUNCH_HOLE: %s", strerror(errno));
}

void bench_file_forget(const struct bench_file *f, uint64_t off, uint64_t bytes)
{
	if (madvise((void *)(uintptr_t)(f->map + off), bytes, MADV_DONTNEED) < 0)
		bench_die("MADV_DONTNEED: %s", strerror(errno));
}

bool bench_kvm_attributes(char *why, size_t size)
{
	int kvm = open_kvm(why, size);
	int attributes;
	int vm;

	if (kvm < 0)
		return false;
	attributes = ioctl(kvm, KVM_IO_CHECK_EXTENSION, CAP_MEMORY_ATTRIBUTES);
	vm = ioctl(kvm, KVM_IO_CREATE_VM, VM_SW_PROTECTED);
	if (vm < 0)
		snprintf(why, size,
			 "not on this host: no KVM_X86_SW_PROTECTED_VM (%s), "
			 "KVM_CAP_MEMORY_ATTRIBUTES is %d",
			 strerror(errno), attributes);
	else if (attributes <= 0)
		snprintf(why, size, "not on this host: KVM_CAP_MEMORY_ATTRIBUTES is 0");
	if (vm >= 0)
		close(vm);
	close(kvm);
	return vm >= 0 && attributes > 0;
}
