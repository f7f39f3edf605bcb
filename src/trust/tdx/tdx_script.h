/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_script.h - a list of calls as text: what `cloister seamcall` runs.
 * cloister-seamcall(5) is its language.
 */
#ifndef CLO_TRUST_TDX_TDX_SCRIPT_H
#define CLO_TRUST_TDX_TDX_SCRIPT_H

#include "trust/tdx/tdx_setup.h"

#define TDX_SCRIPT_TDS   16U
#define TDX_SCRIPT_LOCKS 16U
#define TDX_SCRIPT_NAME  24U
#define TDX_SCRIPT_WORDS 80U

struct tdx_script {
	struct clo_tdx *m;
	uint32_t lp; /* the processor that calls */
	unsigned td_count, lock_count;
	struct tdx_script_td {
		char name[TDX_SCRIPT_NAME];
		struct tdx_setup_td td;
	} tds[TDX_SCRIPT_TDS];
	struct tdx_setup_lock locks[TDX_SCRIPT_LOCKS];
};

/* What was wrong: the word and what is expected there. */
struct tdx_script_error {
	char word[40];
	char text[160];
};

enum tdx_script_kind {
	TDX_SCRIPT_NOTHING, /* an empty line, or machine setup */
	TDX_SCRIPT_CALL,
	TDX_SCRIPT_ACCESS, /* of the guest */
	TDX_SCRIPT_CHECK,  /* text says what does not hold, "" that all does */
};
struct tdx_script_page {
	const char *role; /* "old", "new", "S-EPT"; "": the entry's, before and now */
	uint64_t hpa;
	uint32_t type, level;
	const char *type_name;
	const char *owner; /* name of its TD, or "" */
};
struct tdx_script_result {
	enum tdx_script_kind kind;
	const struct tdx_leaf *leaf; /* NULL: an access */
	struct clo_tdx_regs regs;
	bool shows_regs; /* the leaf defines RCX and RDX */
	bool has_entry;
	struct clo_tdx_entry before, after;
	uint64_t gpa;
	unsigned page_count;
	struct tdx_script_page pages[3];
	int outcome; /* 0 done, 1 exit, 2 #VE */
	struct clo_tdx_exit exit;
	uint8_t value;
	char text[160];
};

/* 0 or -ENOMEM. */
int tdx_script_open(struct tdx_script *s, uint64_t mem_bytes) CLO_MUST_USE;
void tdx_script_close(struct tdx_script *s);
/* One line. False: *e says what is wrong, and nothing was done. */
bool tdx_script_line(struct tdx_script *s, const char *line, struct tdx_script_result *r,
		     struct tdx_script_error *e) CLO_MUST_USE;

#endif
