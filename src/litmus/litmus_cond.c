/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/litmus_cond.c - what is said about the end of a run: never, always, sometimes (condition).
 *
 *	or-expr  = and-expr { "or" and-expr }
 *	and-expr = factor { "and" factor }
 *	factor   = "not" factor | "(" or-expr ")" | fact
 */
#include "litmus_internal.h"

#include <string.h>

static bool parse_or(struct clo_lit *l, uint8_t *out);

static struct clo_litmus_node *new_node(struct clo_lit *l, enum clo_litmus_node_kind kind,
					uint8_t *index)
{
	struct clo_litmus *p = l->p;

	if (p->node_count == CLO_LITMUS_NODES) {
		clo_lit_fail(l, NULL, "the conditions have more than %d parts", CLO_LITMUS_NODES);
		return NULL;
	}
	*index = (uint8_t)p->node_count;
	p->nodes[p->node_count].kind = kind;
	return &p->nodes[p->node_count++];
}

/* = != < <= > >=, or the first two only. */
static bool parse_cmp(struct clo_lit *l, bool ordered, uint32_t *out)
{
	for (const struct clo_lit_word *w = clo_lit_cmps; w->name; w++) {
		bool is_order = w->code != CLO_LITMUS_EQ && w->code != CLO_LITMUS_NE;

		if ((int)w->kind == l->token && (ordered || !is_order)) {
			*out = (uint32_t)w->code;
			clo_lit_next(l);
			return !l->failed;
		}
	}
	return clo_lit_fail(l, ordered ? "= != < <= > or >=" : "= or !=", "unexpected '%s'",
			    clo_lit_show(l).text);
}

/* THREAD:NAME = outcome */
static bool parse_result(struct clo_lit *l, uint8_t thread, uint8_t *out)
{
	struct clo_litmus_node *n = new_node(l, CLO_LITMUS_RESULT, out);
	const struct clo_litmus_thread *t = &l->p->threads[thread];

	if (!n)
		return false;
	clo_lit_next(l);
	n->thread = thread;
	return clo_lit_expect(l, ':', "':' and the name of a result") &&
	       clo_lit_reg(l, t, &n->op) && parse_cmp(l, false, &n->cmp) &&
	       clo_lit_outcome_of(l, t->ops[n->op].code, &n->outcome);
}

/* page PAGE [@VM] = kind */
static bool parse_page(struct clo_lit *l, uint8_t *out)
{
	struct clo_litmus_node *n = new_node(l, CLO_LITMUS_PAGE, out);
	const struct clo_lit_word *w;
	bool given;

	if (!n || !clo_lit_page(l, &n->page) || !clo_lit_vm_suffix(l, &n->vm, &given) ||
	    !parse_cmp(l, false, &n->cmp) || !clo_lit_word(l, "a kind", clo_lit_kinds, &w))
		return false;
	n->outcome.kind = CLO_LITMUS_PAGES;
	n->outcome.code = w->code;
	return true;
}

/* content PAGE[:BYTE] [@VM] = value */
static bool parse_content(struct clo_lit *l, uint8_t *out)
{
	struct clo_litmus_node *n = new_node(l, CLO_LITMUS_CONTENT, out);
	bool given;

	return n && clo_lit_addr(l, &n->page, &n->offset) && clo_lit_vm_suffix(l, &n->vm, &given) &&
	       parse_cmp(l, true, &n->cmp) && clo_lit_number(l, "a value", UINT64_MAX, &n->value);
}

/* COUNTER [@VM] = value */
static bool parse_counter(struct clo_lit *l, int counter, uint8_t *out)
{
	struct clo_litmus_node *n = new_node(l, CLO_LITMUS_COUNTER, out);
	bool given;

	if (!n)
		return false;
	n->counter = (uint8_t)counter;
	return clo_lit_vm_suffix(l, &n->vm, &given) && parse_cmp(l, true, &n->cmp) &&
	       clo_lit_number(l, "a number", UINT64_MAX, &n->value);
}

static bool parse_fact(struct clo_lit *l, uint8_t *out)
{
	static const char expected[] = "THREAD:NAME = result, page N = kind, content N = value, "
				       "a counter, corrupt, not, or '('";
	struct clo_litmus *p = l->p;
	const struct clo_lit_word *counter = clo_lit_find_word(l, clo_lit_counters);
	uint8_t thread = clo_lit_index(l, p->threads, sizeof(p->threads[0]), p->thread_count);
	struct clo_lit_suggest s = { 0 };

	if (thread != CLO_LITMUS_NONE)
		return parse_result(l, thread, out);
	if (clo_lit_accept_word(l, "corrupt"))
		return new_node(l, CLO_LITMUS_CORRUPT, out) != NULL;
	if (clo_lit_accept_word(l, "page"))
		return parse_page(l, out);
	if (clo_lit_accept_word(l, "content"))
		return parse_content(l, out);
	if (counter) {
		clo_lit_next(l);
		return parse_counter(l, counter->code, out);
	}
	if (l->token == T_WORD) {
		clo_lit_suggest_words(l, &s, clo_lit_counters);
		for (unsigned i = 0; i < p->thread_count; i++)
			clo_lit_suggest(l, &s, p->threads[i].name);
	}
	clo_lit_fail(l, expected, "unexpected '%s'", clo_lit_show(l).text);
	clo_lit_suggest_done(l, &s);
	return false;
}

static bool parse_factor(struct clo_lit *l, uint8_t *out)
{
	struct clo_litmus_node *n;
	uint8_t left;
	bool ok;

	if (++l->depth > CLO_LITMUS_DEPTH)
		return clo_lit_fail(l, NULL, "conditions nest deeper than %d", CLO_LITMUS_DEPTH);
	if (clo_lit_accept_word(l, "not")) {
		ok = parse_factor(l, &left) && (n = new_node(l, CLO_LITMUS_NOT, out)) != NULL;
		if (ok)
			n->left = left;
	} else if (clo_lit_accept(l, '(')) {
		ok = parse_or(l, out) && clo_lit_expect(l, ')', "')', 'and' or 'or'");
	} else {
		ok = parse_fact(l, out);
	}
	l->depth--;
	return ok && !l->failed;
}

/* left { word right }, grouped to the left. */
static bool parse_chain(struct clo_lit *l, const char *word, enum clo_litmus_node_kind kind,
			bool (*part)(struct clo_lit *l, uint8_t *out), uint8_t *out)
{
	if (!part(l, out))
		return false;
	while (clo_lit_accept_word(l, word)) {
		struct clo_litmus_node *n;
		uint8_t left = *out;
		uint8_t right;

		if (!part(l, &right))
			return false;
		n = new_node(l, kind, out);
		if (!n)
			return false;
		n->left = left;
		n->right = right;
	}
	return !l->failed;
}

static bool parse_and(struct clo_lit *l, uint8_t *out)
{
	return parse_chain(l, "and", CLO_LITMUS_AND, parse_factor, out);
}

static bool parse_or(struct clo_lit *l, uint8_t *out)
{
	return parse_chain(l, "or", CLO_LITMUS_OR, parse_and, out);
}

bool clo_lit_parse_final(struct clo_lit *l)
{
	struct clo_litmus *p = l->p;
	struct clo_litmus_final *f = &p->finals[p->final_count];
	const struct clo_lit_word *w;
	struct clo_lit_place at = l->at;
	uint8_t node;

	if (p->final_count == CLO_LITMUS_FINALS)
		return clo_lit_fail(l, NULL, "more than %d conditions", CLO_LITMUS_FINALS);
	if (!clo_lit_word(l, "a condition", clo_lit_quantifiers, &w) ||
	    !clo_lit_expect(l, '(', "'(' and a condition") || !parse_or(l, &node) ||
	    !clo_lit_expect(l, ')', "')', 'and' or 'or'"))
		return false;
	f->quantifier = (uint32_t)w->code;
	f->node = node;
	f->line = at.line;
	f->column = (uint32_t)(at.start - at.line_start) + 1;
	p->final_count++;
	return true;
}
