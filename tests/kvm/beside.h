/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm/beside.h - the same call to the guest_memfd of the running kernel (/dev/kvm) and to
 * Cloister's public API, side by side.
 *
 * The VM is of type DEFAULT on both sides: the only one that every KVM with guest_memfd can make,
 * so these tests say nothing about attributes, conversion and private faults. Each call gives one
 * number a side, 0 or -errno. Where the two differ, the difference is in the list of
 * beside_known.c with its reason, or the test fails. Without /dev/kvm, or with a KVM that has no
 * guest_memfd to map, the tests are skipped.
 */
#ifndef CLO_KVM_BESIDE_H
#define CLO_KVM_BESIDE_H

#include "cloister/cloister.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define B_PAGE 4096ULL
/* A longer mapping is made on one side after the other, and is gone when the call returns. */
#define B_BOTH (1ULL << 40)

/* What the list of differences looks at: B_REGION */
enum { B_REGION_SLOT, B_REGION_FLAGS, B_REGION_GPA, B_REGION_SIZE, B_REGION_OFF, B_REGION_ARGS };
/* B_MAPPED: which call it is, and whether the page is beyond the file. */
enum { B_MAP_OTHER, B_MAP_EXEC, B_MAP_SYNC, B_MAP_POPULATE };
/* madvise(2), which older headers lack. */
#define B_POPULATE_READ  22
#define B_POPULATE_WRITE 23
#define B_COLLAPSE       25

enum beside_call { B_CREATE, B_FALLOCATE, B_MMAP, B_REGION, B_MAPPED, B_CALLS };

struct beside {
	int kvm, vm, other_vm;
	bool one_space; /* the kernel has one address space for memslots (no SMM) */
	struct clo_host *host;
	struct clo_vm *cvm, *other_cvm;
	/* Test of the tests: holes are dropped on Cloister's side. */
	bool lose_holes;
	uint64_t calls, differences;
};

/* A file on both sides; -1 and NULL when it was refused. */
struct twin {
	int fd;
	struct clo_gmem *gmem;
	uint64_t pages;
};

/* A mapping on both sides; NULL when it was refused (or is longer than B_BOTH). */
struct twin_map {
	uint8_t *kernel, *here;
	uint64_t off, len;
};

/* Skips the test when there is nothing to compare with; @view: CLO_HOST_VIEW_*. */
void beside_open(struct beside *b, uint32_t view);
void beside_close(struct beside *b);

/*
 * The two answers to one call are the same or a known difference; else the test fails, with the
 * arguments as @format says them. True: the same.
 */
bool beside_agree(struct beside *b, enum beside_call call, const uint64_t *arg, int kernel,
		  int here, const char *format, ...) __attribute__((format(printf, 6, 7)));
/* Two answers without a test: for the sequences, which shrink first. */
bool beside_known(enum beside_call call, const uint64_t *arg, int kernel, int here);
/* A note for each known difference that was met, with the reason and how often. */
void beside_note(const struct beside *b);
const char *beside_errno(int ret);

/* Each calls both sides; arg: what the list of differences looks at. */
bool beside_create(struct beside *b, uint64_t bytes, uint64_t flags, struct twin *out);
void beside_close_file(struct twin *f);
bool beside_fallocate(struct beside *b, const struct twin *f, int mode, int64_t off, int64_t len);
bool beside_mmap(struct beside *b, const struct twin *f, uint64_t off, uint64_t len, bool shared,
		 struct twin_map *out);
void beside_munmap(const struct twin *f, struct twin_map *m);
/* @r->gmem is not looked at; @f may be NULL: no file, which is fd -1. */
bool beside_region(struct beside *b, struct clo_region r, const struct twin *f);

/* The two answers only. */
struct answers {
	int kernel, here;
};
struct answers answers_fallocate(const struct beside *b, const struct twin *f, int mode,
				 int64_t off, int64_t len);
struct answers answers_mmap(const struct twin *f, uint64_t off, uint64_t len, bool shared,
			    struct twin_map *out);
struct answers answers_region(const struct beside *b, struct clo_region r, const struct twin *f);

/* Load (or store) one byte: its value, or -signal. */
int beside_touch(volatile uint8_t *at, bool write, uint8_t value);

#endif
