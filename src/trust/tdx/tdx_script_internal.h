/* SPDX-License-Identifier: Apache-2.0 */
/* trust/tdx/tdx_script_internal.h - a line on its way, for the two files of the script. */
#ifndef CLO_TRUST_TDX_TDX_SCRIPT_INTERNAL_H
#define CLO_TRUST_TDX_TDX_SCRIPT_INTERNAL_H

#include "trust/tdx/tdx_internal.h"
#include "trust/tdx/tdx_script.h"

struct script_line {
	struct tdx_script *s;
	struct tdx_script_result *r;
	struct tdx_script_error *e;
	unsigned count, at;
	const char *words[TDX_SCRIPT_WORDS];
	char buf[512];
};

/* False, always, with the error filled in. */
bool script_fail(struct script_line *l, const char *word, const char *text);
/* The next word, or NULL. */
const char *script_next(struct script_line *l);
bool script_end(struct script_line *l);
bool script_number(struct script_line *l, const char *what, uint64_t *out);
bool script_level(struct script_line *l, unsigned *level);
/* The TD that the next word names, or NULL. */
struct tdx_script_td *script_td(struct script_line *l);
bool script_new_name(struct script_line *l, const char *name);
bool script_add_td(struct script_line *l, const char *name, uint64_t tdr);
/* A leaf by its name. */
bool script_call(struct script_line *l, const char *name);

#endif
