/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/bench_rig.h - one guest of the engine, by the public API only: a host, a SW_PROTECTED VM,
 * one guest_memfd in one memslot, a vCPU for each thread.
 */
#ifndef CLO_BENCH_BENCH_RIG_H
#define CLO_BENCH_BENCH_RIG_H

#include "cloister/cloister.h"

#define RIG_GPA     (1ULL << 32)
#define RIG_THREADS 2U
#define RIG_PAGE    4096ULL

struct rig_config {
	uint32_t owner;     /* CLO_ATTR_OWNER_* */
	uint32_t host_view; /* CLO_HOST_VIEW_* */
	uint64_t flags;     /* CLO_GMEM_*; MMAP is added when the file owns the attribute */
	uint32_t page_order;
	uint64_t bytes;
	bool view; /* the VMM maps the file */
};

struct rig {
	struct rig_config cfg;
	struct clo_host *host;
	struct clo_vm *vm;
	struct clo_gmem *gmem;
	struct clo_vcpu *vcpu[RIG_THREADS];
	void *user; /* the VMM's own memory behind the memslot */
	void *view;
};

void rig_make(struct rig *g, struct rig_config cfg);
void rig_free(struct rig *g);
/* An 8-byte store of the guest into each page. */
void rig_touch(struct rig *g, unsigned vcpu, uint64_t off, uint64_t bytes, uint64_t stride);
void rig_convert(struct rig *g, uint64_t off, uint64_t bytes, bool to_private);
void rig_punch(struct rig *g, uint64_t off, uint64_t bytes);
/* The memslot goes and with it all that the guest has mapped; the pages stay. */
void rig_slot(struct rig *g, bool there);

#endif
