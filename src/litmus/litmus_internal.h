/* SPDX-License-Identifier: Apache-2.0 */
/* litmus/litmus_internal.h - shared by the files of module litmus: words, lexer, parser parts. */
#ifndef CLO_LITMUS_LITMUS_INTERNAL_H
#define CLO_LITMUS_LITMUS_INTERNAL_H

#include "litmus.h"

/* ---- words (litmus_words.c) ---- */

/* Arguments of operations. A_ACCESS is there exactly in typed VMs; A_FILE may be left out. */
enum clo_lit_arg {
	A_END,
	A_RANGE,
	A_ADDR,
	A_GFN,
	A_VALUE,
	A_ACCESS,
	A_KIND,
	A_FILE,
	A_SLOT,
	A_NEW_PIN,
	A_PIN,
	A_LISTENER,
	A_SIDE,
	A_STATUS,
	A_COUNT
};
#define CLO_LIT_ARGS 4

struct clo_lit_op_info {
	const char *name;
	bool guest;
	enum clo_lit_arg args[CLO_LIT_ARGS];
	const char *help;
};
extern const struct clo_lit_op_info clo_lit_ops[CLO_LITMUS_CODE_COUNT];
extern const char *const clo_lit_arg_text[A_COUNT];

/* A word and what it stands for; lists end in a NULL name. */
struct clo_lit_word {
	const char *name;
	uint32_t kind;
	int32_t code;
	const char *help;
};
extern const struct clo_lit_word clo_lit_op_aliases[]; /* code: enum clo_litmus_code */
extern const struct clo_lit_word clo_lit_outcomes[];   /* kind, code as in clo_litmus_outcome */
extern const struct clo_lit_word clo_lit_kinds[];
extern const struct clo_lit_word clo_lit_views[];
extern const struct clo_lit_word clo_lit_quantifiers[];
extern const struct clo_lit_word clo_lit_gmem_flags[]; /* code: bit of CLO_GMEM_* */
extern const struct clo_lit_word clo_lit_cmps[];
extern const struct clo_lit_word clo_lit_counters[]; /* in the order of the enum */

/* ---- lexer and errors (litmus_lex.c, litmus_error.c) ---- */

/* Punctuation is its own character code. */
enum clo_lit_token {
	T_END,
	T_WORD = 256,
	T_NUMBER,
	T_ARROW, /* -> */
	T_NE,
	T_LE,
	T_GE,
	T_BAD /* an error was reported */
};

struct clo_lit_place {
	size_t start, len;
	size_t line_start;
	unsigned line;
};

struct clo_lit {
	const char *text;
	size_t len;
	const char *file;
	struct clo_litmus *p;
	struct clo_litmus_error *error;
	bool failed; /* the first error is in *error */
	size_t pos;
	size_t line_start;
	unsigned line;
	int token;
	struct clo_lit_place at; /* of the token */
	uint64_t number;
	unsigned depth; /* of a condition */
	bool declared;  /* the declarations are over: operations follow */
};

/* Read the next token. */
void clo_lit_next(struct clo_lit *l);
/* Is the token the word @word? */
bool clo_lit_is(const struct clo_lit *l, const char *word);
/* If so, go on. */
bool clo_lit_accept_word(struct clo_lit *l, const char *word);
bool clo_lit_accept(struct clo_lit *l, int token);
/* The token must be @token; @what names it in the error. */
bool clo_lit_expect(struct clo_lit *l, int token, const char *what);
/* A number up to @max. */
bool clo_lit_number(struct clo_lit *l, const char *what, uint64_t max, uint64_t *out);
/* A new name: a word that fits, is none of the language's and is not among @count names already. */
bool clo_lit_new_name(struct clo_lit *l, const char *what, const void *names, size_t stride,
		      unsigned count, char *out);

/* Report; always false, so that a caller can return it. @expected may be NULL. */
bool clo_lit_fail(struct clo_lit *l, const char *expected, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool clo_lit_fail_at(struct clo_lit *l, struct clo_lit_place at, const char *expected,
		     const char *format, ...) __attribute__((format(printf, 4, 5)));
void clo_lit_hint(struct clo_lit *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The token, made printable, at most 40 bytes, for messages. */
struct clo_lit_shown {
	char text[48];
};
struct clo_lit_shown clo_lit_show(const struct clo_lit *l);

/* The known word that is nearest to the token, given as a hint after an error. */
struct clo_lit_suggest {
	const char *best;
	unsigned distance;
};
void clo_lit_suggest(const struct clo_lit *l, struct clo_lit_suggest *s, const char *word);
void clo_lit_suggest_words(const struct clo_lit *l, struct clo_lit_suggest *s,
			   const struct clo_lit_word *words);
void clo_lit_suggest_done(struct clo_lit *l, const struct clo_lit_suggest *s);

/* ---- look-up of tokens (litmus_find.c): false after an error ---- */

const struct clo_lit_word *clo_lit_find_word(const struct clo_lit *l,
					     const struct clo_lit_word *words);
/* One of @words must follow. */
bool clo_lit_word(struct clo_lit *l, const char *what, const struct clo_lit_word *words,
		  const struct clo_lit_word **out);
/* Index of the token among @count structs that begin with a name, or CLO_LITMUS_NONE. */
uint8_t clo_lit_index(const struct clo_lit *l, const void *names, size_t stride, unsigned count);
/* A name among them must follow. */
bool clo_lit_name(struct clo_lit *l, const char *what, const void *names, size_t stride,
		  unsigned count, uint8_t *out);
bool clo_lit_vm_suffix(struct clo_lit *l, uint8_t *vm, bool *given); /* ["@" VM] */
bool clo_lit_page(struct clo_lit *l, uint64_t *page);
bool clo_lit_range(struct clo_lit *l, uint64_t *page, uint64_t *npages);
bool clo_lit_addr(struct clo_lit *l, uint64_t *page, uint64_t *offset);
bool clo_lit_outcome(struct clo_lit *l, struct clo_litmus_outcome *out);
bool clo_lit_type(struct clo_lit *l, uint32_t *type); /* a VM type that is built */

/* An outcome that an operation of @code can have (litmus_op.c). */
bool clo_lit_outcome_of(struct clo_lit *l, enum clo_litmus_code code,
			struct clo_litmus_outcome *out);
/* Index of the operation whose result has this name (litmus_op.c). */
bool clo_lit_reg(struct clo_lit *l, const struct clo_litmus_thread *t, uint8_t *op);

/* ---- text of parts (litmus_print.c), cut to fit ---- */

#define CLO_LIT_OUTCOME_MAX 32
void clo_lit_format_op(const struct clo_litmus *p, unsigned thread, unsigned op, char *out,
		       size_t size);
void clo_lit_format_outcome(struct clo_litmus_outcome o, char out[CLO_LIT_OUTCOME_MAX]);

/* ---- the parser's parts: false after an error ---- */

bool clo_lit_parse_init(struct clo_lit *l); /* litmus_init.c: { ... } */
bool clo_lit_parse_step(struct clo_lit *l, struct clo_litmus_thread *t, unsigned row,
			bool prologue);      /* litmus_op.c: one operation */
bool clo_lit_parse_final(struct clo_lit *l); /* litmus_cond.c: never (...) */
bool clo_lit_check_close(struct clo_lit *l); /* litmus_op.c: no use of a file after close */

#endif
