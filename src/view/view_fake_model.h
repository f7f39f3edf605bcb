/* SPDX-License-Identifier: Apache-2.0 */
/* view/view_fake_model.h - what the two files of the model of the kernel share (view_fake.h). */
#ifndef CLO_VIEW_VIEW_FAKE_MODEL_H
#define CLO_VIEW_VIEW_FAKE_MODEL_H

#include "sync/sync.h"
#include "view/view_fake.h"
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
