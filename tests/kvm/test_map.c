/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm/test_map.c - what a mapping does: touches, system calls that are handed a page of it, and the
 * system calls of a VMM on its address range; on a shared page, on a private one, beyond the end
 * of the file, and across the end.
 */
#include "kvm/beside.h"

#include "harness/test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define P        B_PAGE
#define PAGES    4ULL

static int answer(long ret)
{
	return ret < 0 ? -errno : 0;
}

static int do_madvise(uint8_t *at, int what)
{
	return answer(madvise(at, P, what));
}

static int do_protect(uint8_t *at, int prot)
{
	int ret = answer(mprotect(at, P, prot));

	CHECK_OK(mprotect(at, P, PROT_READ | PROT_WRITE));
	return ret;
}

static int do_sync(uint8_t *at, int flags)
{
	return answer(msync(at, P, flags));
}

static int do_lock(uint8_t *at, int flags)
{
	int ret = answer(mlock2(at, P, (unsigned)flags));

	CHECK_OK(munlock(at, P));
	return ret;
}

/* The kernel reads the page (to write it to a pipe), or writes it. */
static int do_copy(uint8_t *at, int write_it)
{
	uint8_t byte = 0;
	int fd[2];
	int ret;

	CHECK_OK(pipe(fd));
	if (write_it) {
		CHECK_EQ(write(fd[1], &byte, 1), 1);
		ret = answer(read(fd[0], at, 1));
	} else {
		ret = answer(write(fd[1], at, 1));
	}
	close(fd[0]);
	close(fd[1]);
	return ret;
}

static int do_splice(uint8_t *at, int flags)
{
	struct iovec v = { .iov_base = at, .iov_len = 1 };
	int fd[2];
	int ret;

	CHECK_OK(pipe(fd));
	ret = answer(vmsplice(fd[1], &v, 1, (unsigned)flags));
	close(fd[0]);
	close(fd[1]);
	return ret;
}

static int do_foreign(uint8_t *at, int flags)
{
	uint8_t byte;
	struct iovec v = { .iov_base = at, .iov_len = 1 };
	struct iovec l = { .iov_base = &byte, .iov_len = 1 };

	return answer(process_vm_readv(getpid(), &l, 1, &v, 1, (unsigned long)flags));
}

static int do_touch(uint8_t *at, int write_it)
{
	int ret = beside_touch(at, write_it != 0, 7);

	return ret < 0 ? ret : 0;
}

struct op {
	const char *name;
	int (*run)(uint8_t *at, int arg);
	int arg;
	unsigned kind; /* B_MAP_*: what is known to differ */
};

static const struct op ops[] = {
	{ "load", do_touch, 0, B_MAP_OTHER },
	{ "store", do_touch, 1, B_MAP_OTHER },
	{ "write(2) from it", do_copy, 0, B_MAP_OTHER },
	{ "read(2) into it", do_copy, 1, B_MAP_OTHER },
	{ "vmsplice", do_splice, 0, B_MAP_OTHER },
	{ "process_vm_readv", do_foreign, 0, B_MAP_OTHER },
	{ "MADV_POPULATE_READ", do_madvise, B_POPULATE_READ, B_MAP_POPULATE },
	{ "MADV_POPULATE_WRITE", do_madvise, B_POPULATE_WRITE, B_MAP_POPULATE },
	{ "MADV_NORMAL", do_madvise, MADV_NORMAL, B_MAP_OTHER },
	{ "MADV_RANDOM", do_madvise, MADV_RANDOM, B_MAP_OTHER },
	{ "MADV_WILLNEED", do_madvise, MADV_WILLNEED, B_MAP_OTHER },
	{ "MADV_DONTNEED", do_madvise, MADV_DONTNEED, B_MAP_OTHER },
	{ "MADV_FREE", do_madvise, MADV_FREE, B_MAP_OTHER },
	{ "MADV_COLD", do_madvise, MADV_COLD, B_MAP_OTHER },
	{ "MADV_PAGEOUT", do_madvise, MADV_PAGEOUT, B_MAP_OTHER },
	{ "MADV_HUGEPAGE", do_madvise, MADV_HUGEPAGE, B_MAP_OTHER },
	{ "MADV_NOHUGEPAGE", do_madvise, MADV_NOHUGEPAGE, B_MAP_OTHER },
	{ "MADV_COLLAPSE", do_madvise, B_COLLAPSE, B_MAP_OTHER },
	{ "MADV_MERGEABLE", do_madvise, MADV_MERGEABLE, B_MAP_OTHER },
	{ "MADV_WIPEONFORK", do_madvise, MADV_WIPEONFORK, B_MAP_OTHER },
	{ "MADV_REMOVE", do_madvise, MADV_REMOVE, B_MAP_OTHER },
	{ "mprotect NONE", do_protect, PROT_NONE, B_MAP_OTHER },
	{ "mprotect READ", do_protect, PROT_READ, B_MAP_OTHER },
	{ "mprotect READ|EXEC", do_protect, PROT_READ | PROT_EXEC, B_MAP_EXEC },
	{ "msync SYNC", do_sync, MS_SYNC, B_MAP_SYNC },
	{ "msync ASYNC", do_sync, MS_ASYNC, B_MAP_OTHER },
	{ "mlock", do_lock, 0, B_MAP_OTHER },
	{ "mlock ONFAULT", do_lock, MLOCK_ONFAULT, B_MAP_OTHER },
};

static void all_ops(struct beside *b, const struct twin_map *m, uint64_t page, const char *where)
{
	bool beyond = m->off / P + page >= PAGES;

	for (size_t i = 0; i < COUNT(ops); i++) {
		const struct op *op = &ops[i];
		const uint64_t arg[] = { op->kind, beyond };
		int kernel = op->run(m->kernel + page * P, op->arg);
		int here = op->run(m->here + page * P, op->arg);

		beside_agree(b, B_MAPPED, arg, kernel, here, "%s, %s page", op->name, where);
	}
}

static void one_mapping(struct beside *b, uint64_t flags, uint64_t off, uint64_t len, uint64_t page,
			const char *where)
{
	struct twin_map m;
	struct twin f;

	beside_create(b, PAGES * P, flags, &f);
	beside_mmap(b, &f, off, len, true, &m);
	CHECK(m.kernel && m.here);
	all_ops(b, &m, page, where);
	beside_munmap(&f, &m);
	beside_close_file(&f);
}

static void all_mappings(uint32_t view)
{
	const uint64_t shared = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED;
	struct beside b;

	beside_open(&b, view);
	one_mapping(&b, shared, 0, PAGES * P, 1, "a shared");
	one_mapping(&b, CLO_GMEM_MMAP, 0, PAGES * P, 1, "a private");
	one_mapping(&b, shared, 0, 2 * PAGES * P, PAGES, "the first beyond, a");
	one_mapping(&b, shared, P, 2 * PAGES * P, 2 * PAGES - 1, "the last beyond, a");
	one_mapping(&b, shared, PAGES * P, 2 * P, 1, "nothing but beyond, a");
	one_mapping(&b, shared, 1ULL << 40, 2 * P, 1, "far beyond, a");
	one_mapping(&b, CLO_GMEM_MMAP, (PAGES - 1) * P, 2 * P, 1, "beyond, private file, a");
	beside_close(&b);
}

TEST(mapping_uffd)
{
	all_mappings(CLO_HOST_VIEW_UFFD);
}

TEST(mapping_remap)
{
	all_mappings(CLO_HOST_VIEW_REMAP);
}
