/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/litmus_lex.c - bytes to tokens. A word may hold '-' between letters ("fault-vs-punch"), so
 * that "->" still ends it.
 */
#include "litmus_internal.h"

#include <string.h>

static bool is_letter(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

/* The byte @ahead of the position, or -1 at the end. */
static int peek(const struct clo_lit *l, size_t ahead)
{
	return ahead < l->len - l->pos ? (unsigned char)l->text[l->pos + ahead] : -1;
}

static void skip_space(struct clo_lit *l)
{
	for (;;) {
		int c = peek(l, 0);

		if (c == '#') {
			while (peek(l, 0) != '\n' && peek(l, 0) != -1)
				l->pos++;
			continue;
		}
		if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
			return;
		l->pos++;
		if (c == '\n') {
			l->line++;
			l->line_start = l->pos;
		}
	}
}

static void lex_word(struct clo_lit *l)
{
	for (;;) {
		int c = peek(l, 0);
		int after = peek(l, 1);

		if (!is_letter(c) && !is_digit(c) &&
		    !(c == '-' && (is_letter(after) || is_digit(after))))
			break;
		l->pos++;
	}
	l->token = T_WORD;
}

static int digit_of(int c, unsigned base)
{
	int digit = -1;

	if (is_digit(c))
		digit = c - '0';
	else if (base == 16 && c >= 'a' && c <= 'f')
		digit = c - 'a' + 10;
	else if (base == 16 && c >= 'A' && c <= 'F')
		digit = c - 'A' + 10;
	return digit;
}

/* 12, 0x1f, and 4K, 2M, 1G. */
static void lex_number(struct clo_lit *l)
{
	unsigned base = 10;
	unsigned digits = 0;
	unsigned shift = 0;
	bool overflow = false;

	l->number = 0;
	if (peek(l, 0) == '0' && (peek(l, 1) == 'x' || peek(l, 1) == 'X')) {
		base = 16;
		l->pos += 2;
	}
	for (int d; (d = digit_of(peek(l, 0), base)) >= 0; l->pos++, digits++) {
		overflow |= __builtin_mul_overflow(l->number, base, &l->number);
		overflow |= __builtin_add_overflow(l->number, (uint64_t)d, &l->number);
	}
	if (base == 10 && (peek(l, 0) == 'K' || peek(l, 0) == 'M' || peek(l, 0) == 'G')) {
		shift = peek(l, 0) == 'K' ? 10 : peek(l, 0) == 'M' ? 20 : 30;
		overflow |= l->number > UINT64_MAX >> shift;
		l->number <<= shift;
		l->pos++;
	}
	while (is_letter(peek(l, 0)) || is_digit(peek(l, 0))) {
		digits = 0;
		l->pos++;
	}
	l->at.len = l->pos - l->at.start;
	l->token = T_NUMBER;
	if (digits == 0)
		clo_lit_fail(l, "decimal or 0x and hex digits, or 4K, 2M, 1G", "bad number '%s'",
			     clo_lit_show(l).text);
	else if (overflow)
		clo_lit_fail(l, "a number of 64 bits", "the number is too large");
}

static void lex_punctuation(struct clo_lit *l)
{
	static const struct {
		char text[3];
		int token;
	} pairs[] = { { "->", T_ARROW }, { "!=", T_NE }, { "<=", T_LE }, { ">=", T_GE } };
	int c = peek(l, 0);

	for (size_t i = 0; i < CLO_ARRAY_SIZE(pairs); i++) {
		if (c == pairs[i].text[0] && peek(l, 1) == pairs[i].text[1]) {
			l->pos += 2;
			l->token = pairs[i].token;
			return;
		}
	}
	l->pos++;
	l->token = c;
	if (c == 0 || !strchr("{}()|;:,+=<>@", c)) {
		l->at.len = 1;
		clo_lit_fail(l, NULL, "unexpected character '%s'", clo_lit_show(l).text);
	}
}

void clo_lit_next(struct clo_lit *l)
{
	if (l->failed)
		return;
	skip_space(l);
	l->at = (struct clo_lit_place){ l->pos, 0, l->line_start, l->line };
	if (l->pos >= l->len)
		l->token = T_END;
	else if (is_letter(peek(l, 0)))
		lex_word(l);
	else if (is_digit(peek(l, 0)))
		lex_number(l);
	else
		lex_punctuation(l);
	l->at.len = l->pos - l->at.start;
}

bool clo_lit_is(const struct clo_lit *l, const char *word)
{
	return !l->failed && l->token == T_WORD && strlen(word) == l->at.len &&
	       memcmp(l->text + l->at.start, word, l->at.len) == 0;
}

bool clo_lit_accept_word(struct clo_lit *l, const char *word)
{
	if (!clo_lit_is(l, word))
		return false;
	clo_lit_next(l);
	return true;
}

bool clo_lit_accept(struct clo_lit *l, int token)
{
	if (l->failed || l->token != token)
		return false;
	clo_lit_next(l);
	return true;
}

bool clo_lit_expect(struct clo_lit *l, int token, const char *what)
{
	if (l->failed)
		return false;
	if (l->token != token)
		return clo_lit_fail(l, what, "unexpected '%s'", clo_lit_show(l).text);
	clo_lit_next(l);
	return !l->failed;
}

bool clo_lit_number(struct clo_lit *l, const char *what, uint64_t max, uint64_t *out)
{
	if (l->failed)
		return false;
	if (l->token != T_NUMBER)
		return clo_lit_fail(l, what, "unexpected '%s'", clo_lit_show(l).text);
	if (l->number > max)
		return clo_lit_fail(l, NULL, "%s may be %#llx at most", what,
				    (unsigned long long)max);
	*out = l->number;
	clo_lit_next(l);
	return !l->failed;
}
