/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/litmus.h - litmus files: a race diagram as a program (docs/litmus.md is the language).
 *
 * The reader turns text into one flat struct: indexes, no pointers, no names left to look up, so
 * that an executor is a switch over op->code. The printer turns it back into canonical text, from
 * which the reader makes the same program. Both know operations and words from tables only (D3).
 * Any bytes may be read: what is wrong is an error with a place, never an abort.
 */
#ifndef CLO_LITMUS_LITMUS_H
#define CLO_LITMUS_LITMUS_H

#include <stdio.h>

#include "base/base.h"
#include "cloister/cloister.h"

#define CLO_LITMUS_NAME_MAX  32 /* bytes of a name with its final 0 */
#define CLO_LITMUS_VMS       4
#define CLO_LITMUS_GMEMS     8
#define CLO_LITMUS_SLOTS     16
#define CLO_LITMUS_PINS      16
#define CLO_LITMUS_LISTENERS 8
#define CLO_LITMUS_THREADS   8
#define CLO_LITMUS_OPS       48 /* a thread */
#define CLO_LITMUS_OUTCOMES  4  /* alternatives behind one "->" */
#define CLO_LITMUS_FINALS    16
#define CLO_LITMUS_NODES     128                /* of all conditions */
#define CLO_LITMUS_DEPTH     24                 /* of one condition */
#define CLO_LITMUS_TOUCH_MAX (1ULL << 18)       /* pages that one fill, zero or check may touch */
#define CLO_LITMUS_PAGE_END  (1ULL << 52)       /* page numbers are below */
#define CLO_LITMUS_NONE      0xff               /* index of nothing */
#define CLO_LITMUS_PROLOGUE  CLO_LITMUS_THREADS /* thread index of the initial state */

enum clo_litmus_kind {
	CLO_LITMUS_UNTYPED, /* an access of a VM that is not typed */
	CLO_LITMUS_PRIVATE,
	CLO_LITMUS_SHARED,
	CLO_LITMUS_MIXED, /* result of get_attributes only */
	CLO_LITMUS_KIND_COUNT
};

enum clo_litmus_code {
	CLO_LITMUS_LOAD,
	CLO_LITMUS_STORE,
	CLO_LITMUS_FILL,
	CLO_LITMUS_ZERO,
	CLO_LITMUS_CHECK,
	CLO_LITMUS_MAP_GPA,
	CLO_LITMUS_HYPERCALL,
	CLO_LITMUS_COMPLETE,
	CLO_LITMUS_PRE_FAULT,
	CLO_LITMUS_CONVERT,
	CLO_LITMUS_CONVERT_WAIT,
	CLO_LITMUS_DRY_CONVERT,
	CLO_LITMUS_SET_PRIVATE,
	CLO_LITMUS_SET_SHARED,
	CLO_LITMUS_SET_ATTRIBUTES,
	CLO_LITMUS_GMEM_ATTRIBUTES,
	CLO_LITMUS_GET_ATTRIBUTES,
	CLO_LITMUS_ALLOCATE,
	CLO_LITMUS_PUNCH,
	CLO_LITMUS_CLOSE,
	CLO_LITMUS_PIN,
	CLO_LITMUS_UNPIN,
	CLO_LITMUS_HOST_READ,
	CLO_LITMUS_HOST_WRITE,
	CLO_LITMUS_RAM_READ,
	CLO_LITMUS_RAM_WRITE,
	CLO_LITMUS_SLOT_CREATE,
	CLO_LITMUS_SLOT_DELETE,
	CLO_LITMUS_SLOT_MOVE,
	CLO_LITMUS_HOLE,
	CLO_LITMUS_UNHOLE,
	CLO_LITMUS_REFUSE,
	CLO_LITMUS_ACCEPT,
	CLO_LITMUS_PREPARE,
	CLO_LITMUS_CODE_COUNT
};

/* What an operation ended in, or may end in. No padding: programs are compared as bytes. */
enum clo_litmus_outcome_kind {
	CLO_LITMUS_OK,      /* done; for a load: whatever the value */
	CLO_LITMUS_FAILED,  /* any error or exit */
	CLO_LITMUS_VALUE,   /* done, and value is what was read */
	CLO_LITMUS_DIFFERS, /* a check that saw other bytes */
	CLO_LITMUS_SKIPPED, /* its guard did not hold */
	CLO_LITMUS_ERRNO,   /* code: -errno */
	CLO_LITMUS_EXIT,    /* code: enum clo_exit_reason */
	CLO_LITMUS_CAUSE,   /* code: enum clo_fault_cause of the exit */
	CLO_LITMUS_PAGES,   /* code: enum clo_litmus_kind, of get_attributes */
};
struct clo_litmus_outcome {
	uint32_t kind; /* enum clo_litmus_outcome_kind */
	int32_t code;
	uint64_t value;
};

struct clo_litmus_op {
	enum clo_litmus_code code;
	uint32_t row; /* step of time; run in order, all of row n come before row n + 1 */
	uint32_t line, column;
	uint8_t vm; /* indexes into the program's arrays, or CLO_LITMUS_NONE */
	uint8_t gmem;
	uint8_t slot;
	uint8_t pin;
	uint8_t listener;
	uint8_t kind;   /* enum clo_litmus_kind: of the access, or what to convert to */
	uint8_t is_map; /* refuse: 1 the map callback, 0 the unmap callback */
	uint8_t outcome_count;
	uint64_t page; /* gfn, or page of the file */
	uint64_t npages;
	uint64_t offset; /* byte in the page, a multiple of 8 */
	uint64_t value;  /* 64-bit word, or ns for convert_wait */
	int32_t error;   /* prepare, complete: 0 or -errno */
	uint8_t has_guard;
	uint8_t guard_negated;
	uint8_t guard_op; /* index of an earlier operation of the same thread */
	uint8_t reserved;
	struct clo_litmus_outcome guard;
	/* Each run must end it in one of these; none: anything may happen (in the prologue: OK). */
	struct clo_litmus_outcome outcomes[CLO_LITMUS_OUTCOMES];
	char reg[CLO_LITMUS_NAME_MAX]; /* name of its result, or "" */
};

struct clo_litmus_thread {
	char name[CLO_LITMUS_NAME_MAX];
	uint8_t vm;
	uint8_t is_vcpu; /* may make guest accesses */
	uint16_t vcpu_id;
	uint32_t op_count;
	struct clo_litmus_op ops[CLO_LITMUS_OPS];
};

struct clo_litmus_vm {
	char name[CLO_LITMUS_NAME_MAX];
	uint32_t type; /* CLO_VM_* */
	uint32_t attr_owner;
	uint32_t flags; /* CLO_VM_TYPED_ACCESS, CLO_VM_CONVERT_ON_HYPERCALL */
	uint32_t exit_hypercall;
	uint32_t max_level;   /* 0 no limit, 1 4K, 2 2M, 3 1G */
	uint32_t has_prepare; /* a prepare operation names it: install the hook */
};

struct clo_litmus_gmem {
	char name[CLO_LITMUS_NAME_MAX];
	uint64_t npages;
	uint64_t flags; /* CLO_GMEM_* */
	uint32_t page_order;
	uint32_t vm;
};

struct clo_litmus_slot {
	char name[CLO_LITMUS_NAME_MAX];
	uint64_t gfn;
	uint64_t npages;
	uint64_t gmem_page; /* file page of the first gfn */
	uint32_t id;
	uint32_t flags; /* 0 or CLO_MEM_READONLY */
	uint8_t gmem;   /* or CLO_LITMUS_NONE: the VMM's memory only */
	uint8_t vm;
	uint8_t absent; /* not created at the start */
	uint8_t reserved[5];
};

struct clo_litmus_listener {
	char name[CLO_LITMUS_NAME_MAX];
	uint32_t vm;
	uint32_t pins; /* its map callback pins, its unmap callback unpins */
};

/* Conditions over the end of a run: a tree in nodes[], children before their parent. */
enum clo_litmus_node_kind {
	CLO_LITMUS_AND, /* left, right */
	CLO_LITMUS_OR,
	CLO_LITMUS_NOT,     /* left */
	CLO_LITMUS_RESULT,  /* thread, op: outcome (cmp EQ or NE) */
	CLO_LITMUS_CORRUPT, /* some check that ran saw other bytes */
	CLO_LITMUS_PAGE,    /* vm, page: is outcome.code (a kind) */
	CLO_LITMUS_CONTENT, /* vm, page, offset: the word a guest reads there; value by cmp */
	CLO_LITMUS_COUNTER, /* vm, counter: value by cmp */
};
enum clo_litmus_cmp {
	CLO_LITMUS_EQ,
	CLO_LITMUS_NE,
	CLO_LITMUS_LT,
	CLO_LITMUS_LE,
	CLO_LITMUS_GT,
	CLO_LITMUS_GE
};
/* The first CLO_LITMUS_C_FAULTS are the zap reasons, in the order of clo_zap_reason_text(). */
enum clo_litmus_counter {
	CLO_LITMUS_C_ZAPS_SPLIT_MERGE,
	CLO_LITMUS_C_ZAPS_HUGEPAGE,
	CLO_LITMUS_C_ZAPS_RW_CHANGE,
	CLO_LITMUS_C_ZAPS_DIRECT_MAP,
	CLO_LITMUS_C_ZAPS_KIND,
	CLO_LITMUS_C_ZAPS_CONTENT,
	CLO_LITMUS_C_ZAPS_PUNCH,
	CLO_LITMUS_C_ZAPS_SLOT,
	CLO_LITMUS_C_ZAPS_RELEASE,
	CLO_LITMUS_C_ZAPS_HOOK,
	CLO_LITMUS_C_FAULTS,
	CLO_LITMUS_C_FAULTS_FIXED,
	CLO_LITMUS_C_FAULTS_RETRIED,
	CLO_LITMUS_C_FAULT_EXITS,
	CLO_LITMUS_C_CONVERSIONS,
	CLO_LITMUS_C_CONVERTED_PAGES,
	CLO_LITMUS_C_CONVERSIONS_FAILED,
	CLO_LITMUS_C_MOVED_LEAVES,
	CLO_LITMUS_C_SHOOTDOWNS,
	CLO_LITMUS_C_ZAPS, /* of all reasons */
	CLO_LITMUS_C_PREPARED,
	CLO_LITMUS_C_INVALIDATED,
	CLO_LITMUS_C_UNPAIRED,
	CLO_LITMUS_C_BACKED_TWICE,
	CLO_LITMUS_C_PINS_LEFT,
	CLO_LITMUS_C_FRAMES_LOST,
	CLO_LITMUS_C_UNDO_FAILURES,
	CLO_LITMUS_C_FRAMES_USED,   /* of the host */
	CLO_LITMUS_C_FRAMES_LEAKED, /* of the host */
	CLO_LITMUS_COUNTER_COUNT
};
struct clo_litmus_node {
	uint32_t kind; /* enum clo_litmus_node_kind */
	uint32_t cmp;
	uint8_t left, right;
	uint8_t thread, op;
	uint8_t vm;
	uint8_t counter;
	uint8_t reserved[2];
	uint64_t page, offset, value;
	struct clo_litmus_outcome outcome;
};

enum clo_litmus_quantifier {
	CLO_LITMUS_NEVER,     /* true in one run is a finding */
	CLO_LITMUS_ALWAYS,    /* false in one run is a finding */
	CLO_LITMUS_SOMETIMES, /* explored: false in all runs is a finding */
	CLO_LITMUS_QUANTIFIER_COUNT
};
struct clo_litmus_final {
	uint32_t quantifier;
	uint32_t node;
	uint32_t line, column;
};

struct clo_litmus {
	char name[2 * CLO_LITMUS_NAME_MAX];
	uint32_t type;       /* CLO_VM_* of the first line: default of each vm */
	uint32_t host_view;  /* CLO_HOST_VIEW_*; 0 the executor's choice */
	uint64_t host_pages; /* 0: the engine's default */
	uint32_t vm_count, gmem_count, slot_count, pin_count, listener_count;
	uint32_t thread_count, row_count, final_count, node_count;
	uint32_t reserved;
	struct clo_litmus_vm vms[CLO_LITMUS_VMS];
	struct clo_litmus_gmem gmems[CLO_LITMUS_GMEMS];
	struct clo_litmus_slot slots[CLO_LITMUS_SLOTS];
	struct clo_litmus_listener listeners[CLO_LITMUS_LISTENERS];
	char pins[CLO_LITMUS_PINS][CLO_LITMUS_NAME_MAX];
	struct clo_litmus_final finals[CLO_LITMUS_FINALS];
	struct clo_litmus_node nodes[CLO_LITMUS_NODES];
	/* [CLO_LITMUS_PROLOGUE] is the initial state: run first, by one thread, on any VM. */
	struct clo_litmus_thread threads[CLO_LITMUS_THREADS + 1];
};

/* What is wrong with a text and where; strings are cut to fit, never unprintable. */
struct clo_litmus_error {
	char file[128];
	unsigned line, column; /* from 1; column in bytes */
	unsigned caret;        /* position of the caret in source, from 0 */
	unsigned span;         /* bytes that it underlines, at least 1 */
	char message[192];
	char expected[256]; /* what was expected there, or "" */
	char hint[96];      /* the nearest known word, a remedy, or "" */
	char source[120];   /* the line, or the part of it around the place */
};

/*
 * Read @len bytes of @text. @file is named in errors; NULL is allowed. A program in *@out is given
 * back by clo_litmus_free().
 * -EINVAL: not a litmus file, or one beyond a limit above; *@error (may be NULL) says what and
 * where. -ENOMEM: no memory. On failure *@out is untouched.
 */
int clo_litmus_parse(const char *text, size_t len, const char *file, struct clo_litmus **out,
		     struct clo_litmus_error *error) CLO_MUST_USE;
/* NULL is allowed. */
void clo_litmus_free(struct clo_litmus *p);

/* The error as a compiler prints it: place, message, the line with a caret, what was expected. */
void clo_litmus_print_error(const struct clo_litmus_error *error, FILE *f);
/* Canonical text of @p: reading it gives the same program, but for lines and columns. */
void clo_litmus_print(const struct clo_litmus *p, FILE *f);
/* One operation, guard and outcomes included, in canonical text without line end. */
void clo_litmus_print_op(const struct clo_litmus *p, unsigned thread, unsigned op, FILE *f);
void clo_litmus_print_final(const struct clo_litmus *p, unsigned final, FILE *f);
/* The language's operations, results and counters, for people; @markdown: as tables for docs/. */
void clo_litmus_print_ops(FILE *f, bool markdown);

/* Name of an operation ("load"); NULL beyond the last. */
const char *clo_litmus_op_name(enum clo_litmus_code code);
const char *clo_litmus_counter_name(enum clo_litmus_counter c);

/* ---- Running a program (litmus_setup.c, litmus_exec.c, litmus_judge.c) ---- */

/* How one operation ended. */
struct clo_litmus_result {
	uint8_t ran; /* 0: not reached, or skipped */
	uint8_t skipped;
	uint8_t differs;
	uint8_t pages; /* enum clo_litmus_kind, of get_attributes */
	int32_t error; /* 0 or -errno */
	uint32_t exit; /* enum clo_exit_reason */
	uint32_t cause;
	uint64_t value;
};
/* Does @r count as @o? */
bool clo_litmus_matches(const struct clo_litmus_result *r, const struct clo_litmus_outcome *o);
/* The most telling outcome of @r: what a report prints. */
struct clo_litmus_outcome clo_litmus_outcome_of(const struct clo_litmus_result *r,
						enum clo_litmus_code code);

/* A program set up on a host of its own. The program must outlive it. */
struct clo_litmus_run;

#define CLO_LITMUS_WHY 256
/*
 * Build host, VMs, files, memslots and listeners, then run the prologue. @view: CLO_HOST_VIEW_* for
 * a program that names none. @why (may be NULL, else CLO_LITMUS_WHY bytes) says what did not work.
 * -EINVAL: the initial state cannot be made so, or a prologue operation did not end as it must.
 * -ENOMEM. On failure nothing is left.
 */
int clo_litmus_setup(const struct clo_litmus *p, uint32_t view, struct clo_litmus_run **out,
		     char *why) CLO_MUST_USE;
/* Destroys everything; no thread of it runs. NULL is allowed. */
void clo_litmus_teardown(struct clo_litmus_run *r);

/* All operations of one thread, in order. One caller at a time per thread. */
void clo_litmus_run_thread(struct clo_litmus_run *r, unsigned thread);
/* One operation: for a run in the order of the rows. */
void clo_litmus_run_op(struct clo_litmus_run *r, unsigned thread, unsigned op);
/*
 * All threads at once, by clo_thread_create; in the explorer the scheduler takes them from there.
 * 0, or what clo_thread_create() gave for one of them; those that were made have ended.
 */
int clo_litmus_run_threads(struct clo_litmus_run *r) CLO_MUST_USE;
/* All threads by the rows, one operation after the other. */
void clo_litmus_run_rows(struct clo_litmus_run *r);

const struct clo_litmus_result *clo_litmus_result(const struct clo_litmus_run *r, unsigned thread,
						  unsigned op);
/* For checks of the whole state. */
struct clo_host *clo_litmus_host(const struct clo_litmus_run *r);
struct clo_vm *clo_litmus_vm(const struct clo_litmus_run *r, unsigned vm);

struct clo_litmus_verdict {
	bool holds;
	uint32_t sometimes; /* bit n: condition n is a "sometimes" and was true in this run */
	uint8_t thread, op; /* whose result was none of the expected, or CLO_LITMUS_NONE */
	uint8_t final;      /* the condition that was violated, or CLO_LITMUS_NONE */
	char outcome[CLO_LITMUS_WHY]; /* named results, "vCPU0:r0=0x7 VMM:c=ok", to count by */
	char why[CLO_LITMUS_WHY];     /* "" when it holds */
};
/* After all threads have ended, before teardown, once. Reads contents through a vCPU of its own. */
void clo_litmus_judge(struct clo_litmus_run *r, struct clo_litmus_verdict *out);

/* ---- A crash on threads (litmus_crash.c; not in the explorer, which has a verdict for it) ---- */

/*
 * From now on a signal that would end the process (SIGSEGV, an assertion, ..) first says on stderr
 * in which operation of @p, read from @path, it came, and what the other threads were at; where the
 * signal has a handler already, nothing changes. Both stay until clo_litmus_crash_end(); one
 * program at a time. -ENOMEM, and nothing has changed.
 */
int clo_litmus_crash_begin(const char *path, const struct clo_litmus *p) CLO_MUST_USE;
/* In run @number, from 1; @phase is a string that stays. */
void clo_litmus_crash_phase(uint64_t number, const char *phase);
void clo_litmus_crash_end(void);

/* ---- Files and counts (litmus_file.c) ---- */

/* Read and parse @path; errors are printed on @err. -errno of reading, or of clo_litmus_parse(). */
int clo_litmus_read(const char *path, struct clo_litmus **out, FILE *err) CLO_MUST_USE;

#define CLO_LITMUS_TALLY_MAX 64
struct clo_litmus_tally_outcome {
	uint64_t times;
	char text[CLO_LITMUS_WHY];
};
/* Outcomes with their counts. Zero-filled is empty; big: not for a stack. */
struct clo_litmus_tally {
	uint64_t runs, others;
	unsigned count;
	struct clo_litmus_tally_outcome outcomes[CLO_LITMUS_TALLY_MAX];
};
void clo_litmus_tally_add(struct clo_litmus_tally *t, const char *outcome);
void clo_litmus_tally_sort(struct clo_litmus_tally *t); /* most frequent first */
void clo_litmus_tally_print(struct clo_litmus_tally *t, FILE *out);

#endif
