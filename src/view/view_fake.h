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

#include "view/view_sys.h"

#include <stdbool.h>

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

#endif
