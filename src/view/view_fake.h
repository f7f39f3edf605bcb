/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view_fake.h - a model of what level UFFD asks of the kernel, for the explorer: the page
 * tables and mappings of one process, and one userfaultfd (view_sys.h).
 *
 * Every call is a scheduling point, and as many more as the kernel (Linux 6.6 and later) has gaps:
 *
 * - madvise(MADV_DONTNEED), UFFDIO_POISON and _CONTINUE take page after page, with faults, zaps and
 *   fills by others in between; munmap(), mmap() and mremap() wait until they are over.
 * - A fault looks at the page table, then at the file, then is queued and looks again: a marker
 *   (poison) is no reason not to sleep, a mapped page is. Its message is gone when it is woken.
 * - munmap(), mmap() over something and mremap() raise the mark (mmap_changing: fills say EAGAIN),
 *   change the mappings, let go of them, and only then is there an event to be read; the caller
 *   takes the mark away after it was read.
 * - A fill wakes after it has filled.
 *
 * What is left out: docs/design/host-view.md.
 */
#ifndef CLO_VIEW_VIEW_FAKE_H
#define CLO_VIEW_VIEW_FAKE_H

#include "base/base.h"
#include "view/view_sys.h"

/* A new process. In each run, before the first host. */
void view_fake_reset(void);
/* mlockall(MCL_FUTURE): what is mapped and may be read is filled at once, as far as it goes. */
void view_fake_populate(bool on);

/*
 * A load or store of one byte: 0, or the signal (SIGBUS, SIGSEGV) that it gets. It waits for the
 * userfaultfd as long as the kernel does.
 */
int view_fake_load(const void *addr, uint8_t *byte);
int view_fake_store(void *addr, uint8_t byte);
/* mremap(2), MREMAP_MAYMOVE | MREMAP_FIXED, with MREMAP_DONTUNMAP if @keep. 0 or -errno. */
int view_fake_mremap(void *from, size_t bytes, void *to, bool keep);

/* Private to the model. */
#define FAKE_PAGES 32

enum fake_pte { FAKE_NONE, FAKE_PRESENT, FAKE_POISON };

/* One page of the address space. */
struct fake_page {
	uintptr_t va; /* 0: of none */
	int fd;       /* -1: anonymous memory */
	int64_t off;  /* in the file */
	int prot;
	uint64_t modes; /* registered: UFFDIO_REGISTER_MODE_* */
	enum fake_pte pte;
	uint8_t byte; /* content of anonymous memory, as long as it is PRESENT */
};

struct fake_page *fake_find(uintptr_t va);
/* Readers of the mappings go by pages, with others at work; a writer waits for them. */
void fake_read_lock(void);
void fake_read_unlock(void);
void fake_write_wait(void);
/* The file has content there: a fault on it is MINOR, not MISSING. */
bool fake_is_cached(const struct fake_page *p);
int fake_fail(int err); /* -1, errno */

/* Is the page registered for that fault? Then the caller sleeps until it is woken, else false. */
bool fake_uffd_wait(uintptr_t va, bool cached);
/* The mappings of [start, end) change, with the lock; whether a userfaultfd is to be told. */
bool fake_uffd_mark(uintptr_t start, uintptr_t end, uint64_t event);
/* Tell it and wait until that was read; the mark goes. @to: of a REMAP. */
void fake_uffd_event(uintptr_t start, uintptr_t end, uintptr_t to, uint8_t event);
void fake_uffd_reset(void);

#endif
