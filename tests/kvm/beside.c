/* SPDX-License-Identifier: Apache-2.0 */
/* kvm/beside.c - both sides: opened, called, closed. */
#include "kvm/beside.h"

#include "harness/test.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's interface, which headers of before Linux 6.8 lack. */
struct kvm_gmem_create {
	uint64_t size, flags, reserved[6];
};
struct kvm_region2 {
	uint32_t slot, flags;
	uint64_t guest_phys_addr, memory_size, userspace_addr, guest_memfd_offset;
	uint32_t guest_memfd, pad1;
	uint64_t pad2[14];
};
#define B_CREATE_VM        _IO(0xae, 0x01)
#define B_CHECK_EXTENSION  _IO(0xae, 0x03)
#define B_SET_REGION2      _IOW(0xae, 0x49, struct kvm_region2)
#define B_CREATE_GMEM      _IOWR(0xae, 0xd4, struct kvm_gmem_create)
#define B_CAP_SPACES       118
#define B_CAP_USER_MEMORY2 231
#define B_CAP_GUEST_MEMFD  234
#define B_CAP_GMEM_FLAGS   244

static int answer(long ret)
{
	return ret < 0 ? -errno : 0;
}

static void open_kernel(struct beside *b)
{
	b->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (b->kvm < 0)
		SKIP(errno == ENOENT ? "no /dev/kvm" : "/dev/kvm may not be opened");
	b->vm = ioctl(b->kvm, B_CREATE_VM, 0UL);
	b->other_vm = ioctl(b->kvm, B_CREATE_VM, 0UL);
	if (b->vm < 0 || b->other_vm < 0)
		SKIP("KVM makes no VM of type DEFAULT");
	if (ioctl(b->vm, B_CHECK_EXTENSION, B_CAP_USER_MEMORY2) <= 0 ||
	    ioctl(b->vm, B_CHECK_EXTENSION, B_CAP_GUEST_MEMFD) <= 0)
		SKIP("this KVM has no guest_memfd for a VM of type DEFAULT");
	if ((ioctl(b->vm, B_CHECK_EXTENSION, B_CAP_GMEM_FLAGS) & 3) != 3)
		SKIP("this KVM has no guest_memfd that can be mapped (before Linux 6.18)");
	b->one_space = ioctl(b->vm, B_CHECK_EXTENSION, B_CAP_SPACES) < 2;
}

void beside_open(struct beside *b, uint32_t view)
{
	struct clo_host_config hc = { .size = sizeof(hc), .view = view, .mem_bytes = 64ULL << 20 };
	struct clo_vm_config vc = { .size = sizeof(vc), .type = CLO_VM_DEFAULT };
	int ret;

	*b = (struct beside){ 0 };
	open_kernel(b);
	ret = clo_host_create(&hc, &b->host);
	if (ret == -EPERM)
		SKIP("this machine does not permit the host view");
	CHECK_OK(ret);
	CHECK_OK(clo_vm_create(b->host, &vc, &b->cvm));
	CHECK_OK(clo_vm_create(b->host, &vc, &b->other_cvm));
}

void beside_close(struct beside *b)
{
	beside_note(b);
	clo_vm_destroy(b->cvm, NULL);
	clo_vm_destroy(b->other_cvm, NULL);
	CHECK_OK(clo_host_destroy(b->host));
	close(b->other_vm);
	close(b->vm);
	close(b->kvm);
}

const char *beside_errno(int ret)
{
	const char *name = ret < 0 ? strerrorname_np(-ret) : NULL;

	return ret == 0 ? "0" : name ? name : "?";
}

bool beside_create(struct beside *b, uint64_t bytes, uint64_t flags, struct twin *out)
{
	struct kvm_gmem_create c = { .size = bytes, .flags = flags };
	const uint64_t arg[] = { bytes, flags };
	int kernel, here;

	out->fd = ioctl(b->vm, B_CREATE_GMEM, &c);
	kernel = answer(out->fd);
	out->gmem = NULL;
	here = clo_gmem_create(b->cvm, bytes, flags, 0, &out->gmem);
	out->pages = bytes / B_PAGE;
	return beside_agree(b, B_CREATE, arg, kernel, here, "create size 0x%llx flags 0x%llx",
			    (unsigned long long)bytes, (unsigned long long)flags);
}

void beside_close_file(struct twin *f)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->gmem)
		clo_gmem_close(f->gmem);
	*f = (struct twin){ .fd = -1 };
}

struct answers answers_fallocate(const struct beside *b, const struct twin *f, int mode,
				 int64_t off, int64_t len)
{
	bool lost = b->lose_holes && mode == (CLO_FALLOC_KEEP_SIZE | CLO_FALLOC_PUNCH_HOLE);
	struct answers a;

	a.kernel = answer(syscall(SYS_fallocate, f->fd, mode, off, len));
	a.here = lost ? a.kernel : clo_gmem_fallocate(f->gmem, mode, off, len);
	return a;
}

bool beside_fallocate(struct beside *b, const struct twin *f, int mode, int64_t off, int64_t len)
{
	const uint64_t arg[] = { (uint64_t)(int64_t)mode, (uint64_t)off, (uint64_t)len };
	struct answers a = answers_fallocate(b, f, mode, off, len);

	return beside_agree(b, B_FALLOCATE, arg, a.kernel, a.here,
			    "fallocate mode %d off 0x%llx len 0x%llx of %llu pages", mode,
			    (unsigned long long)off, (unsigned long long)len,
			    (unsigned long long)f->pages);
}

struct answers answers_mmap(const struct twin *f, uint64_t off, uint64_t len, bool shared,
			    struct twin_map *out)
{
	struct answers a;
	void *here = NULL;
	/* Not libc's mmap, which has checks of its own. */
	long at = syscall(SYS_mmap, NULL, len, PROT_READ | PROT_WRITE,
			  shared ? MAP_SHARED : MAP_PRIVATE, f->fd, off);

	a.kernel = at == -1 ? -errno : 0;
	*out = (struct twin_map){ .off = off, .len = len };
	out->kernel = a.kernel ? NULL : (uint8_t *)(uintptr_t)at;
	/* There is no room for both. */
	if (out->kernel && len > B_BOTH) {
		CHECK_OK(munmap(out->kernel, len));
		out->kernel = NULL;
	}
	a.here = clo_gmem_mmap(f->gmem, off, len, shared, &here);
	out->here = a.here ? NULL : here;
	return a;
}

bool beside_mmap(struct beside *b, const struct twin *f, uint64_t off, uint64_t len, bool shared,
		 struct twin_map *out)
{
	const uint64_t arg[] = { off, len, shared };
	struct answers a = answers_mmap(f, off, len, shared, out);

	return beside_agree(b, B_MMAP, arg, a.kernel, a.here,
			    "mmap off 0x%llx len 0x%llx %s of %llu pages", (unsigned long long)off,
			    (unsigned long long)len, shared ? "shared" : "private",
			    (unsigned long long)f->pages);
}

void beside_munmap(const struct twin *f, struct twin_map *m)
{
	if (m->kernel)
		CHECK_OK(munmap(m->kernel, m->len));
	if (m->here)
		CHECK_OK(clo_gmem_munmap(f->gmem, m->here, m->len));
	*m = (struct twin_map){ 0 };
}

struct answers answers_region(const struct beside *b, struct clo_region r, const struct twin *f)
{
	struct kvm_region2 k = {
		.slot = r.slot,
		.flags = r.flags,
		.guest_phys_addr = r.guest_phys_addr,
		.memory_size = r.memory_size,
		.userspace_addr = r.userspace_addr,
		.guest_memfd_offset = r.guest_memfd_offset,
		.guest_memfd = f ? (uint32_t)f->fd : UINT32_MAX,
	};
	struct answers a;

	r.size = sizeof(r);
	r.gmem = f ? f->gmem : NULL;
	a.kernel = answer(ioctl(b->vm, B_SET_REGION2, &k));
	a.here = clo_vm_set_region(b->cvm, &r);
	return a;
}

bool beside_region(struct beside *b, struct clo_region r, const struct twin *f)
{
	const uint64_t arg[B_REGION_ARGS] = {
		[B_REGION_SLOT] = b->one_space ? r.slot : r.slot & UINT16_MAX,
		[B_REGION_FLAGS] = r.flags,
		[B_REGION_GPA] = r.guest_phys_addr,
		[B_REGION_SIZE] = r.memory_size,
		[B_REGION_OFF] = r.guest_memfd_offset,
	};
	struct answers a = answers_region(b, r, f);

	return beside_agree(
		b, B_REGION, arg, a.kernel, a.here,
		"region slot 0x%x flags %u gpa 0x%llx size 0x%llx hva 0x%llx off 0x%llx%s", r.slot,
		r.flags, (unsigned long long)r.guest_phys_addr, (unsigned long long)r.memory_size,
		(unsigned long long)r.userspace_addr, (unsigned long long)r.guest_memfd_offset,
		f ? "" : " no file");
}

static sigjmp_buf touch_back;

static void touch_signal(int signal)
{
	siglongjmp(touch_back, signal);
}

int beside_touch(volatile uint8_t *at, bool write, uint8_t value)
{
	struct sigaction act = { .sa_handler = touch_signal }, bus, segv;
	volatile int result;
	int signal;

	sigemptyset(&act.sa_mask);
	CHECK_OK(sigaction(SIGBUS, &act, &bus));
	CHECK_OK(sigaction(SIGSEGV, &act, &segv));
	signal = sigsetjmp(touch_back, 1);
	result = -signal;
	if (signal == 0 && write)
		*at = value;
	else if (signal == 0)
		result = *at;
	CHECK_OK(sigaction(SIGBUS, &bus, NULL));
	CHECK_OK(sigaction(SIGSEGV, &segv, NULL));
	return result;
}
