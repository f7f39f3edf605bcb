/* SPDX-License-Identifier: Apache-2.0 */
/* litmus/litmus_run.h - a program while it runs; shared by setup, exec and judge. */
#ifndef CLO_LITMUS_LITMUS_RUN_H
#define CLO_LITMUS_LITMUS_RUN_H

#include "litmus.h"
#include "sync/sync.h"

#define CLO_LIT_DEVICE_PAGES  64 /* that a pinning listener may hold at once */
#define CLO_LIT_REFUSES_MAP   1U
#define CLO_LIT_REFUSES_UNMAP 2U
#define CLO_LIT_OWN_VCPU      1023 /* of the prologue and the judge, in each VM */

struct clo_lit_thread {
	struct clo_litmus_run *run;
	unsigned index;
	struct clo_vcpu *vcpu; /* or NULL */
	struct clo_thread thread;
	struct clo_stat now;              /* its operation + 1, for who meets a crash; 0: in none */
	uint64_t page[CLO_PAGE_SIZE / 8]; /* for fill and check */
	struct clo_litmus_result results[CLO_LITMUS_OPS];
};

struct clo_litmus_run;
struct clo_lit_vm {
	struct clo_vm *vm;
	struct clo_vcpu *own;
	struct clo_a32 prepare_error; /* -errno of the hook, sign removed; 0 = ok */
	struct clo_a64 prepared, invalidated, unpaired; /* calls, pages, pages */
	struct clo_litmus_run *run;
};

struct clo_lit_device_pin {
	struct clo_gmem_pin *pin; /* NULL: free */
	struct clo_gmem *gmem;
	uint64_t offset;
};
struct clo_lit_device {
	struct clo_dma_listener listener;
	struct clo_mutex lock; /* rank LEAF: pins */
	struct clo_lit_device_pin pins[CLO_LIT_DEVICE_PAGES];
	struct clo_a32 refuses; /* CLO_LIT_REFUSES_* */
	bool does_pin;
};

struct clo_litmus_run {
	const struct clo_litmus *p;
	struct clo_host *host;
	struct clo_lit_vm vms[CLO_LITMUS_VMS];
	struct clo_gmem *gmems[CLO_LITMUS_GMEMS]; /* NULL: closed */
	struct clo_a64 books[CLO_LITMUS_GMEMS];   /* bit per page: prepared, say the hooks */
	void *ram[CLO_LITMUS_SLOTS];              /* the VMM's memory; NULL: none needed */
	struct clo_aptr pins[CLO_LITMUS_PINS];
	struct clo_lit_device devices[CLO_LITMUS_LISTENERS];
	struct clo_a32 started;
	struct clo_lit_thread threads[CLO_LITMUS_THREADS + 1];
};

/* litmus_crash.c: where a crash finds each thread. In the explorer the search knows. */
#define CLO_LIT_CRASH_STACK (64U << 10)
#ifdef CLO_SYNC_EXPLORE
static inline void clo_lit_enter(struct clo_lit_thread *t, unsigned op)
{
	(void)t, (void)op;
}
static inline void clo_lit_leave(struct clo_lit_thread *t)
{
	(void)t;
}
static inline void clo_lit_threads(struct clo_litmus_run *r)
{
	(void)r;
}
#else
void clo_lit_enter(struct clo_lit_thread *t, unsigned op);
void clo_lit_leave(struct clo_lit_thread *t);
void clo_lit_threads(struct clo_litmus_run *r); /* NULL: they have ended */
/* The stack of this thread's handler, CLO_LIT_CRASH_STACK bytes; NULL: no longer. */
void clo_lit_crash_stack(void *stack);
#endif

/* Memslot @slot as a request; gfn as declared. */
struct clo_region clo_lit_region(const struct clo_litmus_run *r, unsigned slot);
/* Give back all that a listener has pinned. */
void clo_lit_device_release(struct clo_lit_device *d);
int clo_lit_device_map(void *arg, const struct clo_dma_range *range);
int clo_lit_device_unmap(void *arg, const struct clo_dma_range *range);
/* Did the operation end in one of its outcomes? None given: yes, but in the prologue only ok. */
bool clo_lit_expected(const struct clo_litmus_run *r, unsigned thread, unsigned op);
/* "line 7: load 0x1 ended in mismatch" */
void clo_lit_say(const struct clo_litmus_run *r, unsigned thread, unsigned op, char *why);

#endif
