/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/litmus_parse.c - a whole file: first line, initial state, columns, rows, conditions.
 */
#include "litmus_internal.h"

#include <errno.h>
#include <string.h>

/* vCPU3 or CPU3: the number; otherwise the thread has no vCPU. */
static bool vcpu_number(const char *name, uint16_t *id)
{
	unsigned n = 0;

	if (strncmp(name, "vCPU", 4) == 0)
		name += 4;
	else if (strncmp(name, "CPU", 3) == 0)
		name += 3;
	else
		return false;
	if (*name == 0 || strlen(name) > 3)
		return false;
	for (; *name; name++) {
		if (*name < '0' || *name > '9')
			return false;
		n = n * 10 + (unsigned)(*name - '0');
	}
	*id = (uint16_t)n;
	return true;
}

static bool parse_column(struct clo_lit *l)
{
	struct clo_litmus *p = l->p;
	struct clo_litmus_thread *t = &p->threads[p->thread_count];
	struct clo_lit_place at = l->at;
	bool given;

	if (p->thread_count == CLO_LITMUS_THREADS)
		return clo_lit_fail(l, NULL, "more than %d threads", CLO_LITMUS_THREADS);
	if (clo_lit_find_word(l, clo_lit_counters))
		return clo_lit_fail(l, "a name of a thread", "'%s' is a counter",
				    clo_lit_show(l).text);
	if (!clo_lit_new_name(l, "a name of a thread", p->threads, sizeof(*t), p->thread_count,
			      t->name) ||
	    !clo_lit_vm_suffix(l, &t->vm, &given))
		return false;
	t->is_vcpu = vcpu_number(t->name, &t->vcpu_id);
	for (unsigned i = 0; i < p->thread_count && t->is_vcpu; i++) {
		const struct clo_litmus_thread *o = &p->threads[i];

		if (o->is_vcpu && o->vcpu_id == t->vcpu_id && o->vm == t->vm)
			return clo_lit_fail_at(l, at, "another number", "%s is vCPU %u too",
					       o->name, (unsigned)o->vcpu_id);
	}
	p->thread_count++;
	return true;
}

static bool parse_columns(struct clo_lit *l)
{
	do {
		if (!parse_column(l))
			return false;
	} while (clo_lit_accept(l, '|'));
	return clo_lit_expect(l, ';', "'|' and another thread, or ';'");
}

/* One step of time: a cell, maybe empty, for each thread. */
static bool parse_row(struct clo_lit *l)
{
	struct clo_litmus *p = l->p;
	unsigned cell = 0;

	for (;;) {
		if (cell == p->thread_count)
			return clo_lit_fail(l, NULL, "a row of more than %u cells",
					    p->thread_count);
		if (l->token != '|' && l->token != ';' &&
		    !clo_lit_parse_step(l, &p->threads[cell], p->row_count, false))
			return false;
		cell++;
		if (l->token == ';' && cell < p->thread_count)
			return clo_lit_fail(l, "'|' and the next cell, empty or not",
					    "a row of %u cells for %u threads", cell,
					    p->thread_count);
		if (clo_lit_accept(l, ';')) {
			p->row_count++;
			return !l->failed;
		}
		if (!clo_lit_expect(l, '|', "'->' and a result, '|' or ';'"))
			return false;
	}
}

static bool parse_rows(struct clo_lit *l)
{
	while (l->token != T_END && !clo_lit_find_word(l, clo_lit_quantifiers)) {
		if (!parse_row(l))
			return false;
	}
	return !l->failed;
}

/* TYPE name */
static bool parse_head(struct clo_lit *l)
{
	struct clo_litmus *p = l->p;

	if (l->token != T_WORD)
		return clo_lit_fail(l, "a VM type and a name, as in: SW_PROTECTED my-test",
				    "unexpected '%s'", clo_lit_show(l).text);
	if (!clo_lit_type(l, &p->type))
		return false;
	if (l->token != T_WORD)
		return clo_lit_fail(l, "a name of the test", "unexpected '%s'",
				    clo_lit_show(l).text);
	if (l->at.len >= sizeof(p->name))
		return clo_lit_fail(l, NULL, "the name has more than %zu letters",
				    sizeof(p->name) - 1);
	memcpy(p->name, l->text + l->at.start, l->at.len);
	clo_lit_next(l);
	return !l->failed;
}

static bool parse_file(struct clo_lit *l)
{
	struct clo_litmus_thread *prologue = &l->p->threads[CLO_LITMUS_PROLOGUE];

	snprintf(prologue->name, sizeof(prologue->name), "prologue");
	prologue->is_vcpu = 1;
	clo_lit_next(l);
	if (!parse_head(l) || !clo_lit_parse_init(l) || !parse_columns(l) || !parse_rows(l))
		return false;
	while (l->token != T_END) {
		if (!clo_lit_parse_final(l))
			return false;
	}
	return !l->failed && clo_lit_check_close(l);
}

int clo_litmus_parse(const char *text, size_t len, const char *file, struct clo_litmus **out,
		     struct clo_litmus_error *error)
{
	struct clo_litmus_error unused;
	struct clo_lit l = {
		.text = text,
		.len = len,
		.file = file ? file : "litmus",
		.error = error ? error : &unused,
		.line = 1,
	};

	l.p = clo_alloc(sizeof(*l.p));
	if (!l.p)
		return -ENOMEM;
	if (!parse_file(&l)) {
		clo_free(l.p);
		return -EINVAL;
	}
	*out = l.p;
	return 0;
}

void clo_litmus_free(struct clo_litmus *p)
{
	clo_free(p);
}
