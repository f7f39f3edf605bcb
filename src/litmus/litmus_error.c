/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/litmus_error.c - errors that help: the place, what was expected, the nearest known word.
 */
#include "litmus_internal.h"

#include <stdarg.h>
#include <string.h>

#define WORD_MAX 40 /* longest token that is compared with known words */

static char printable(char c)
{
	if (c == '\t')
		return ' ';
	return c >= ' ' && c <= '~' ? c : '?';
}

/* Copy [@from, @from + @len) to @to, cut to @size with its 0, unprintable bytes replaced. */
static void copy_printable(char *to, size_t size, const char *from, size_t len)
{
	size_t n = len < size - 1 ? len : size - 1;

	for (size_t i = 0; i < n; i++)
		to[i] = printable(from[i]);
	to[n] = 0;
}

struct clo_lit_shown clo_lit_show(const struct clo_lit *l)
{
	struct clo_lit_shown s;

	if (l->token == T_END && l->at.start >= l->len) {
		snprintf(s.text, sizeof(s.text), "end of file");
	} else if (l->at.len == 1 && printable(l->text[l->at.start]) == '?' &&
		   l->text[l->at.start] != '?') {
		snprintf(s.text, sizeof(s.text), "\\x%02x", (unsigned char)l->text[l->at.start]);
	} else {
		copy_printable(s.text, WORD_MAX + 1, l->text + l->at.start, l->at.len);
	}
	return s;
}

/* The line of @at, or the part around the place when it is long. */
static void copy_line(const struct clo_lit *l, struct clo_lit_place at, struct clo_litmus_error *e)
{
	size_t start = at.line_start;
	size_t end = start;
	size_t column = at.start - at.line_start;
	size_t room = sizeof(e->source) - 1;
	size_t span;

	while (end < l->len && l->text[end] != '\n')
		end++;
	if (end > start && l->text[end - 1] == '\r' && at.start < end)
		end--;
	if (column > room - WORD_MAX) {
		start += column - room / 2;
		column = room / 2;
	}
	copy_printable(e->source, sizeof(e->source), l->text + start, end - start);
	e->caret = (unsigned)column;
	span = strlen(e->source) > column ? strlen(e->source) - column : 1;
	e->span = (unsigned)(at.len < 1 ? 1 : at.len < span ? at.len : span);
}

__attribute__((format(printf, 4, 0))) static void report(struct clo_lit *l, struct clo_lit_place at,
							 const char *expected, const char *format,
							 va_list args)
{
	struct clo_litmus_error *e = l->error;
	size_t file_len = strlen(l->file);

	if (l->failed)
		return;
	l->failed = true;
	l->token = T_BAD;
	memset(e, 0, sizeof(*e));
	/* The end of a long path says more than its beginning. */
	if (file_len >= sizeof(e->file))
		copy_printable(e->file, sizeof(e->file), l->file + file_len - (sizeof(e->file) - 1),
			       sizeof(e->file) - 1);
	else
		copy_printable(e->file, sizeof(e->file), l->file, file_len);
	e->line = at.line;
	e->column = (unsigned)(at.start - at.line_start) + 1;
	vsnprintf(e->message, sizeof(e->message), format, args);
	if (expected)
		snprintf(e->expected, sizeof(e->expected), "%s", expected);
	copy_line(l, at, e);
}

bool clo_lit_fail(struct clo_lit *l, const char *expected, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report(l, l->at, expected, format, args);
	va_end(args);
	return false;
}

bool clo_lit_fail_at(struct clo_lit *l, struct clo_lit_place at, const char *expected,
		     const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report(l, at, expected, format, args);
	va_end(args);
	return false;
}

void clo_lit_hint(struct clo_lit *l, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (l->failed && l->error->hint[0] == 0)
		vsnprintf(l->error->hint, sizeof(l->error->hint), format, args);
	va_end(args);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

/* Edits (insert, delete, replace) between two short words, capitals aside. */
static unsigned edits(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned row[WORD_MAX + 1];

	for (unsigned j = 0; j <= b_len; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a_len; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= b_len; j++) {
			unsigned replaced = diagonal + (lower(a[i - 1]) != lower(b[j - 1]));
			unsigned best = row[j] < row[j - 1] ? row[j] : row[j - 1];

			diagonal = row[j];
			row[j] = replaced < best + 1 ? replaced : best + 1;
		}
	}
	return row[b_len];
}

void clo_lit_suggest(const struct clo_lit *l, struct clo_lit_suggest *s, const char *word)
{
	size_t len = strlen(word);
	unsigned distance;

	if (l->at.len > WORD_MAX || len > WORD_MAX || l->at.start + l->at.len > l->len)
		return;
	distance = edits(l->text + l->at.start, l->at.len, word, len);
	/* A third of the letters may be wrong; more is another word. */
	if (distance <= (l->at.len + 2) / 3 && (!s->best || distance < s->distance)) {
		s->best = word;
		s->distance = distance;
	}
}

void clo_lit_suggest_words(const struct clo_lit *l, struct clo_lit_suggest *s,
			   const struct clo_lit_word *words)
{
	for (; words->name; words++)
		clo_lit_suggest(l, s, words->name);
}

void clo_lit_suggest_done(struct clo_lit *l, const struct clo_lit_suggest *s)
{
	if (s->best)
		clo_lit_hint(l, "did you mean '%s'?", s->best);
}

void clo_litmus_print_error(const struct clo_litmus_error *e, FILE *f)
{
	fprintf(f, "%s:%u:%u: %s\n", e->file, e->line, e->column, e->message);
	fprintf(f, "%5u | %s\n", e->line, e->source);
	fprintf(f, "      | %*s^", (int)e->caret, "");
	for (unsigned i = 1; i < e->span; i++)
		fputc('~', f);
	fputc('\n', f);
	if (e->expected[0])
		fprintf(f, "expected: %s\n", e->expected);
	if (e->hint[0])
		fprintf(f, "hint: %s\n", e->hint);
}
