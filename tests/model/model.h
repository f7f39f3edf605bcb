/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model/model.h - a naive model of the engine (flat arrays, no locks, no tables) and a driver that
 * does each operation on both.
 *
 * A sequence is bytes: MODEL_HEAD bytes choose the two VMs, then MODEL_OP bytes an operation; every
 * byte string is a sequence, so random tests, shrinking and the fuzz target share it.
 */
#ifndef CLO_MODEL_H
#define CLO_MODEL_H

#include "cloister/cloister.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define MODEL_HEAD      4U
#define MODEL_OP        8U
#define MODEL_VMS       2U
#define MODEL_MAX_PAGES 2048U
#define MODEL_MAX_COUNT 1024U  /* of one operation; it may reach beyond the file */
#define MODEL_GFN       0x400U /* first gfn of slot 0, on a 2M boundary */
#define MODEL_PINS      4U
#define MODEL_SLOTS     2U

enum model_code {
	MODEL_LOAD,
	MODEL_STORE,
	MODEL_CONVERT,
	MODEL_SET_ATTR,
	MODEL_GET_ATTR,
	MODEL_PUNCH,
	MODEL_ALLOC,
	MODEL_HOST_LOAD,
	MODEL_HOST_STORE,
	MODEL_PIN,
	MODEL_UNPIN,
	MODEL_SLOT_ADD,
	MODEL_SLOT_DEL,
	MODEL_PREFAULT,
	MODEL_HOLES,
	MODEL_CODES
};

struct model_op {
	enum model_code code;
	unsigned vm;
	bool is_private; /* access, target kind; holes: mapped */
	unsigned n;      /* slot or pin number */
	unsigned page;   /* 0.. pages + a few beyond */
	unsigned count;  /* pages */
	uint64_t value;  /* to store */
};

struct model_config {
	bool owner_gmem, typed, mmap, zero, hugetlb, nodirect, init_shared, swapped;
	bool is_default; /* VM type DEFAULT */
};

/* What a call should give; fields that a call does not have stay 0. */
struct model_result {
	int ret;
	int reason, cause;
	uint64_t value; /* loaded, or kind of get_attr */
	uint64_t where; /* error offset or gpa, or run length */
};

struct model_pin {
	bool used;
	unsigned page, count;
};

struct model_slot {
	bool exists, track;
	unsigned first; /* gfn page number from MODEL_GFN */
	unsigned index; /* file page */
	uint8_t hole[MODEL_MAX_PAGES];
};

struct model_vm {
	struct model_config cfg;
	unsigned pages, block; /* of the file; pages of a folio */
	uint8_t attr[MODEL_MAX_PAGES + MODEL_MAX_COUNT +
		     4];                /* VM owner: by gfn page; gmem owner: by file page */
	uint64_t file[MODEL_MAX_PAGES]; /* content */
	uint64_t user[MODEL_MAX_PAGES];
	unsigned pins[MODEL_MAX_PAGES];
	struct model_pin pin[MODEL_PINS];
	struct model_slot slot[MODEL_SLOTS];
};

/* model.c: the model alone. */
void model_config_decode(const uint8_t *head, unsigned vm, struct model_config *cfg);
void model_op_decode(const uint8_t *bytes, const struct model_vm *vms, struct model_op *op);
void model_vm_init(struct model_vm *m, const struct model_config *cfg);
struct model_result model_apply(struct model_vm *m, const struct model_op *op);
bool model_gmem_only(const struct model_vm *m);

/* model_drive.c: engine and model side by side. */
struct model_drive_config {
	uint32_t view;         /* CLO_HOST_VIEW_* */
	uint64_t fail_at;      /* the n-th allocation from the first operation on fails; 0 = none */
	uint64_t *allocations; /* out, may be NULL: how many there were */
	FILE *trace;           /* each operation in words, or NULL */
};
/* 0, or the number (from 1) of the operation that differs, *why in words; -1: set-up failed. */
long model_drive(const uint8_t *bytes, size_t size, const struct model_drive_config *cfg, char *why,
		 size_t why_size);
void model_print_op(FILE *out, const struct model_op *op);

#endif
