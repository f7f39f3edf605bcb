/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/bench_files.h - files of the kernel that the engine is measured against: a memfd, and the
 * kernel's own guest_memfd where /dev/kvm gives one that can be mapped.
 */
#ifndef CLO_BENCH_BENCH_FILES_H
#define CLO_BENCH_BENCH_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_file {
	int fd;
	int vm; /* -1: no guest_memfd */
	int kvm;
	uint64_t bytes;
	volatile uint8_t *map;
};

void bench_memfd(struct bench_file *f, uint64_t bytes);
/* False, and a reason, when this host cannot. */
bool bench_guest_memfd(struct bench_file *f, uint64_t bytes, char *why, size_t size);
void bench_file_close(struct bench_file *f);

/* A store into each page of the range. */
void bench_file_touch(const struct bench_file *f, uint64_t off, uint64_t bytes);
/* Pages go back to the kernel. */
void bench_file_punch(const struct bench_file *f, uint64_t off, uint64_t bytes);
/* Pages stay in the file, the mapping forgets them. */
void bench_file_forget(const struct bench_file *f, uint64_t off, uint64_t bytes);

/*
 * Can the kernel convert (KVM_SET_MEMORY_ATTRIBUTES, a VM with private memory)? If not, why.
 */
bool bench_kvm_attributes(char *why, size_t size);

#endif
