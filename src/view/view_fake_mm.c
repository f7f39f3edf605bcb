/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view_fake_mm.c - the model's address space: mappings, page tables, faults (view_fake.h).
 *
 * A file is the real memfd, so the direct map and the model see the same bytes, and whether a page
 * is in the page cache is what lseek(SEEK_DATA) says. A change of mappings is one step, made when
 * nobody goes by pages.
 */
#include "view/view_fake_model.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE      ((uintptr_t)CLO_PAGE_SIZE)
#define TOP_START (64ULL << 40)
#define LOW_STEP  (2ULL << 20)

static struct {
	struct fake_page page[FAKE_PAGES];
	unsigned readers;
	struct clo_event readers_gone;
	uint64_t randoms;
	uintptr_t top; /* where mmap() puts what has no address */
	bool populate;
} mm;

void view_fake_reset(void)
{
	memset(&mm, 0, sizeof(mm));
	mm.top = TOP_START;
	fake_uffd_reset();
}

void view_fake_populate(bool on)
{
	mm.populate = on;
}

int fake_fail(int err)
{
	errno = err;
	return -1;
}

struct fake_page *fake_find(uintptr_t va)
{
	for (unsigned i = 0; i < FAKE_PAGES; i++) {
		if (mm.page[i].va == va && va)
			return &mm.page[i];
	}
	return NULL;
}

void fake_read_lock(void)
{
	mm.readers++;
}

void fake_read_unlock(void)
{
	if (--mm.readers == 0)
		clo_a32_init(&mm.readers_gone.wakes, mm.readers_gone.wakes.v + 1);
}

void fake_write_wait(void)
{
	while (mm.readers > 0)
		clo_event_sleep(&mm.readers_gone, mm.readers_gone.wakes.v);
}

bool fake_is_cached(const struct fake_page *p)
{
	return lseek(p->fd, p->off, SEEK_DATA) == p->off;
}

static bool is_in_file(const struct fake_page *p)
{
	struct stat st;

	return fstat(p->fd, &st) == 0 && p->off < st.st_size;
}

/* What the kernel does at a fault by itself. */
static void fill(struct fake_page *p)
{
	if (p->pte != FAKE_NONE)
		return;
	if (p->fd >= 0 && !fake_is_cached(p))
		(void)!pwrite(p->fd, &(uint8_t){ 0 }, 1, p->off);
	p->byte = 0;
	p->pte = FAKE_PRESENT;
}

/* A touch of a page that the page table does not map. Then it is tried again, or a signal. */
static int fault(uintptr_t va)
{
	struct fake_page *p = fake_find(va);
	int ret = 0;

	fake_read_lock();
	clo_sync_point("fault", va >> CLO_PAGE_SHIFT);
	if (p->fd >= 0 && !is_in_file(p)) {
		ret = SIGBUS;
	} else if (p->fd >= 0 && p->modes) {
		/* Not registered for this kind: the kernel fills. */
		if (fake_uffd_wait(va, fake_is_cached(p)))
			return 0;
		fill(p);
	} else {
		fill(p);
	}
	fake_read_unlock();
	return ret;
}

/* NULL, and in *sig a signal or 0: try again. */
static struct fake_page *reach(uintptr_t va, int prot, int *sig)
{
	struct fake_page *p = fake_find(va);

	*sig = 0;
	if (!p || !(p->prot & prot))
		*sig = SIGSEGV;
	else if (p->pte == FAKE_POISON)
		*sig = SIGBUS;
	else if (p->pte == FAKE_PRESENT)
		return p;
	else
		*sig = fault(va);
	return NULL;
}

static int touch(const void *addr, int prot, uint8_t *byte)
{
	uintptr_t va = (uintptr_t)addr & ~(PAGE - 1);
	bool write = prot == PROT_WRITE;
	struct fake_page *p;
	int sig;

	do {
		clo_sync_point(write ? "VMM store" : "VMM load", va >> CLO_PAGE_SHIFT);
		p = reach(va, prot, &sig);
	} while (!p && !sig);
	if (!p)
		return sig;
	if (p->fd < 0 && write)
		p->byte = *byte;
	else if (p->fd < 0)
		*byte = p->byte;
	else if ((write ? pwrite(p->fd, byte, 1, p->off) : pread(p->fd, byte, 1, p->off)) != 1)
		return SIGBUS;
	return 0;
}

int view_fake_load(const void *addr, uint8_t *byte)
{
	return touch(addr, PROT_READ, byte);
}

int view_fake_store(void *addr, uint8_t byte)
{
	return touch(addr, PROT_WRITE, &byte);
}

static bool is_free(uintptr_t start, size_t bytes)
{
	for (uintptr_t va = start; va < start + bytes; va += PAGE) {
		if (fake_find(va))
			return false;
	}
	return true;
}

static void take_out(uintptr_t start, size_t bytes)
{
	for (uintptr_t va = start; va < start + bytes; va += PAGE) {
		struct fake_page *p = fake_find(va);

		if (p)
			p->va = 0;
	}
}

static bool put_in(uintptr_t start, size_t bytes, struct fake_page like)
{
	for (uintptr_t va = start; va < start + bytes; va += PAGE) {
		unsigned i = 0;

		while (i < FAKE_PAGES && mm.page[i].va)
			i++;
		if (i == FAKE_PAGES)
			return false;
		mm.page[i] = like;
		mm.page[i].va = va;
		like.off += (int64_t)PAGE;
	}
	return true;
}

static void populate(uintptr_t start, size_t bytes)
{
	uint8_t byte;

	for (uintptr_t va = start; va < start + bytes; va += PAGE) {
		struct fake_page *p = fake_find(va);

		if (p && (p->prot & PROT_READ))
			(void)view_fake_load((const void *)va, &byte);
	}
}

static uintptr_t place(uintptr_t wish, size_t bytes, bool fixed)
{
	if (fixed || (wish && is_free(wish, bytes)))
		return wish;
	wish = mm.top;
	mm.top += clo_align_up(bytes, LOW_STEP);
	return wish;
}

void *view_sys_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t off)
{
	struct fake_page like = { .fd = flags & MAP_ANONYMOUS ? -1 : fd, .off = off, .prot = prot };
	uintptr_t at;
	bool told;

	bytes = (size_t)clo_align_up(bytes, PAGE);
	clo_sync_point("mmap", (uintptr_t)addr >> CLO_PAGE_SHIFT);
	fake_write_wait();
	at = place((uintptr_t)addr, bytes, flags & MAP_FIXED);
	told = fake_uffd_mark(at, at + bytes, UFFD_FEATURE_EVENT_UNMAP);
	take_out(at, bytes);
	if (!put_in(at, bytes, like)) {
		take_out(at, bytes);
		errno = ENOMEM;
		return MAP_FAILED;
	}
	if (told)
		fake_uffd_event(at, at + bytes, 0, UFFD_EVENT_UNMAP);
	if (mm.populate)
		populate(at, bytes);
	return (void *)at;
}

int view_sys_munmap(void *addr, size_t bytes)
{
	uintptr_t at = (uintptr_t)addr;
	bool told;

	bytes = (size_t)clo_align_up(bytes, PAGE);
	clo_sync_point("munmap", at >> CLO_PAGE_SHIFT);
	fake_write_wait();
	told = fake_uffd_mark(at, at + bytes, UFFD_FEATURE_EVENT_UNMAP);
	take_out(at, bytes);
	if (told)
		fake_uffd_event(at, at + bytes, 0, UFFD_EVENT_UNMAP);
	return 0;
}

/* The page tables go along, poison too. */
static void move(uintptr_t from, size_t bytes, uintptr_t to, bool keep)
{
	for (size_t done = 0; done < bytes; done += PAGE) {
		struct fake_page *p = fake_find(from + done);
		struct fake_page left = *p;

		p->va = to + done;
		left.pte = FAKE_NONE;
		if (keep)
			(void)put_in(from + done, PAGE, left);
	}
}

int view_fake_mremap(void *from, size_t bytes, void *to, bool keep)
{
	uintptr_t at = (uintptr_t)from, there = (uintptr_t)to;
	bool covered, moved, left;

	clo_sync_point("mremap", at >> CLO_PAGE_SHIFT);
	fake_write_wait();
	for (uintptr_t va = at; va < at + bytes; va += PAGE) {
		if (!fake_find(va))
			return -EFAULT;
	}
	covered = fake_uffd_mark(there, there + bytes, UFFD_FEATURE_EVENT_UNMAP);
	take_out(there, bytes);
	moved = fake_uffd_mark(at, at + bytes, UFFD_FEATURE_EVENT_REMAP);
	left = !keep && fake_uffd_mark(at, at + bytes, UFFD_FEATURE_EVENT_UNMAP);
	move(at, bytes, there, keep);
	if (covered)
		fake_uffd_event(there, there + bytes, 0, UFFD_EVENT_UNMAP);
	if (moved)
		fake_uffd_event(at, at + bytes, there, UFFD_EVENT_REMAP);
	if (left)
		fake_uffd_event(at, at + bytes, 0, UFFD_EVENT_UNMAP);
	return 0;
}

int view_sys_mprotect(void *addr, size_t bytes, int prot)
{
	uintptr_t at = (uintptr_t)addr;

	clo_sync_point("mprotect", at >> CLO_PAGE_SHIFT);
	fake_write_wait();
	for (uintptr_t va = at; va < at + bytes; va += PAGE) {
		struct fake_page *p = fake_find(va);

		if (!p)
			return fake_fail(ENOMEM);
		p->prot = prot;
	}
	return 0;
}

/* What a hole between mappings does to the rest, is reported, not what is there. */
static int dontneed(uintptr_t at, size_t bytes)
{
	bool hole = false;

	fake_read_lock();
	for (uintptr_t va = at; va < at + bytes; va += PAGE) {
		struct fake_page *p = fake_find(va);

		if (va > at)
			clo_sync_point("zap next", va >> CLO_PAGE_SHIFT);
		if (p)
			p->pte = FAKE_NONE;
		else
			hole = true;
	}
	fake_read_unlock();
	return hole ? fake_fail(ENOMEM) : 0;
}

int view_sys_madvise(void *addr, size_t bytes, int advice)
{
	uintptr_t at = (uintptr_t)addr;

	/* Of the direct map, which is real. */
	if (advice == MADV_POPULATE_READ)
		return madvise(addr, bytes, advice);
	if (advice != MADV_DONTNEED)
		return 0;
	clo_sync_point("zap", at >> CLO_PAGE_SHIFT);
	return dontneed(at, bytes);
}

/* Every view gets 2M of its own, in order. */
int view_sys_random(uint64_t *value)
{
	*value = mm.randoms++ * LOW_STEP;
	return 0;
}
