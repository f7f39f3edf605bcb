/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/litmus_find.c - tokens to meanings: words of the language, names of the file, addresses.
 */
#include "litmus_internal.h"

#include <string.h>

#include "trust/trust.h"

/* Words with a meaning of their own where a name could stand. */
static const struct clo_lit_word reserved[] = {
	{ "if", 0, 0, NULL },    { "or", 0, 0, NULL },      { "and", 0, 0, NULL },
	{ "not", 0, 0, NULL },   { "gmem", 0, 0, NULL },    { "at", 0, 0, NULL },
	{ "page", 0, 0, NULL },  { "content", 0, 0, NULL }, { "corrupt", 0, 0, NULL },
	{ "pages", 0, 0, NULL }, { NULL, 0, 0, NULL },
};

/* Expected words, for an error: "a, b, c"; cut where the room ends. */
static void list_words(const struct clo_lit_word *words, const char *what, char *out, size_t size)
{
	size_t used = (size_t)snprintf(out, size, "%s (", what);

	for (; words->name && used < size; words++) {
		const char *more = words[1].name ? ", " : ")";
		size_t need = strlen(words->name) + 6;

		if (used + need >= size) {
			snprintf(out + used, size - used, "...)");
			return;
		}
		used += (size_t)snprintf(out + used, size - used, "%s%s", words->name, more);
	}
}

const struct clo_lit_word *clo_lit_find_word(const struct clo_lit *l,
					     const struct clo_lit_word *words)
{
	for (; words->name; words++) {
		if (clo_lit_is(l, words->name))
			return words;
	}
	return NULL;
}

bool clo_lit_word(struct clo_lit *l, const char *what, const struct clo_lit_word *words,
		  const struct clo_lit_word **out)
{
	struct clo_lit_suggest s = { 0 };
	char expected[200];

	*out = clo_lit_find_word(l, words);
	if (*out) {
		clo_lit_next(l);
		return !l->failed;
	}
	list_words(words, what, expected, sizeof(expected));
	if (l->token == T_WORD)
		clo_lit_suggest_words(l, &s, words);
	clo_lit_fail(l, expected, "unexpected '%s'", clo_lit_show(l).text);
	clo_lit_suggest_done(l, &s);
	return false;
}

static const char *nth_name(const void *names, size_t stride, unsigned i)
{
	return (const char *)names + stride * i;
}

uint8_t clo_lit_index(const struct clo_lit *l, const void *names, size_t stride, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (clo_lit_is(l, nth_name(names, stride, i)))
			return (uint8_t)i;
	}
	return CLO_LITMUS_NONE;
}

bool clo_lit_name(struct clo_lit *l, const char *what, const void *names, size_t stride,
		  unsigned count, uint8_t *out)
{
	struct clo_lit_suggest s = { 0 };

	if (l->failed)
		return false;
	*out = clo_lit_index(l, names, stride, count);
	if (*out != CLO_LITMUS_NONE) {
		clo_lit_next(l);
		return !l->failed;
	}
	if (l->token != T_WORD)
		return clo_lit_fail(l, what, "unexpected '%s'", clo_lit_show(l).text);
	for (unsigned i = 0; i < count; i++)
		clo_lit_suggest(l, &s, nth_name(names, stride, i));
	clo_lit_fail(l, what, "'%s' is not the name of %s", clo_lit_show(l).text, what);
	clo_lit_suggest_done(l, &s);
	return false;
}

bool clo_lit_new_name(struct clo_lit *l, const char *what, const void *names, size_t stride,
		      unsigned count, char *out)
{
	if (l->failed)
		return false;
	if (l->token != T_WORD)
		return clo_lit_fail(l, what, "unexpected '%s'", clo_lit_show(l).text);
	if (l->at.len >= CLO_LITMUS_NAME_MAX)
		return clo_lit_fail(l, NULL, "a name has %d letters at most",
				    CLO_LITMUS_NAME_MAX - 1);
	if (clo_lit_find_word(l, reserved))
		return clo_lit_fail(l, what, "'%s' is a word of the language",
				    clo_lit_show(l).text);
	if (clo_lit_index(l, names, stride, count) != CLO_LITMUS_NONE)
		return clo_lit_fail(l, "another name", "the name '%s' is in use",
				    clo_lit_show(l).text);
	memcpy(out, l->text + l->at.start, l->at.len);
	out[l->at.len] = 0;
	clo_lit_next(l);
	return !l->failed;
}

bool clo_lit_vm_suffix(struct clo_lit *l, uint8_t *vm, bool *given)
{
	*given = clo_lit_accept(l, '@');
	if (!*given)
		return !l->failed;
	return clo_lit_name(l, "a VM", l->p->vms, sizeof(l->p->vms[0]), l->p->vm_count, vm);
}

bool clo_lit_page(struct clo_lit *l, uint64_t *page)
{
	return clo_lit_number(l, "a page number", CLO_LITMUS_PAGE_END - 1, page);
}

bool clo_lit_range(struct clo_lit *l, uint64_t *page, uint64_t *npages)
{
	*npages = 1;
	if (!clo_lit_page(l, page))
		return false;
	if (!clo_lit_accept(l, '+'))
		return !l->failed;
	return clo_lit_number(l, "a number of pages", CLO_LITMUS_PAGE_END - *page, npages);
}

bool clo_lit_addr(struct clo_lit *l, uint64_t *page, uint64_t *offset)
{
	struct clo_lit_place at;

	*offset = 0;
	if (!clo_lit_page(l, page))
		return false;
	if (!clo_lit_accept(l, ':'))
		return !l->failed;
	at = l->at;
	if (!clo_lit_number(l, "a byte in the page", CLO_PAGE_SIZE - 8, offset))
		return false;
	if (!clo_is_aligned(*offset, 8))
		return clo_lit_fail_at(l, at, "a multiple of 8", "words are 8 bytes");
	return true;
}

bool clo_lit_outcome(struct clo_lit *l, struct clo_litmus_outcome *out)
{
	const struct clo_lit_word *w;

	if (l->token == T_NUMBER) {
		out->kind = CLO_LITMUS_VALUE;
		return clo_lit_number(l, "a value", UINT64_MAX, &out->value);
	}
	if (!clo_lit_word(l, "a value or a result", clo_lit_outcomes, &w))
		return false;
	out->kind = w->kind;
	out->code = w->code;
	return true;
}

/* Types that the design knows, to tell "not yet" from "never heard of". */
static const struct clo_lit_word other_types[] = {
	{ "SEV", 0, 0, NULL },      { "SEV_ES", 0, 0, NULL }, { "SNP", 0, 0, NULL },
	{ "TDX", 0, 0, NULL },      { "PKVM", 0, 0, NULL },   { "GUNYAH", 0, 0, NULL },
	{ "NODIRECT", 0, 0, NULL }, { NULL, 0, 0, NULL },
};

bool clo_lit_type(struct clo_lit *l, uint32_t *type)
{
	const struct clo_trust_ops *t;
	struct clo_lit_suggest s = { 0 };
	char expected[200] = "a VM type that is built:";

	for (unsigned i = 0; (t = clo_trust_nth(i)) != NULL; i++) {
		size_t used = strlen(expected);

		if (clo_lit_is(l, t->name)) {
			*type = t->vm_type;
			clo_lit_next(l);
			return !l->failed;
		}
		snprintf(expected + used, sizeof(expected) - used, " %s", t->name);
		clo_lit_suggest(l, &s, t->name);
	}
	if (clo_lit_find_word(l, other_types))
		return clo_lit_fail(l, expected, "the VM type %s is not built yet",
				    clo_lit_show(l).text);
	clo_lit_fail(l, expected, "'%s' is no VM type", clo_lit_show(l).text);
	if (l->at.len > 0)
		clo_lit_suggest_done(l, &s);
	return false;
}
