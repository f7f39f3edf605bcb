/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/litmus_op.c - one operation: guard, register, name, arguments by the table, outcomes; and
 * the rules that need more than one operation.
 */
#include "litmus_internal.h"

#include <string.h>

/* What a step needs beyond the operation while it is read. */
struct step {
	struct clo_litmus_op *op;
	struct clo_litmus_thread *thread;
	struct clo_lit_place at; /* of the operation's name */
	struct clo_lit_place reg_at;
	bool prologue;
	bool vm_given;
};

/* Can an operation of @code end in @o at all? */
static bool outcome_fits(enum clo_litmus_code code, const struct clo_litmus_outcome *o)
{
	switch ((enum clo_litmus_outcome_kind)o->kind) {
	case CLO_LITMUS_VALUE:
		return code == CLO_LITMUS_LOAD || code == CLO_LITMUS_HOST_READ ||
		       code == CLO_LITMUS_RAM_READ;
	case CLO_LITMUS_DIFFERS:
		return code == CLO_LITMUS_CHECK;
	case CLO_LITMUS_PAGES:
		return code == CLO_LITMUS_GET_ATTRIBUTES;
	case CLO_LITMUS_EXIT:
	case CLO_LITMUS_CAUSE:
		return clo_lit_ops[code].guest;
	case CLO_LITMUS_OK:
	case CLO_LITMUS_FAILED:
	case CLO_LITMUS_SKIPPED:
	case CLO_LITMUS_ERRNO:
		return true;
	}
	return false;
}

bool clo_lit_outcome_of(struct clo_lit *l, enum clo_litmus_code code,
			struct clo_litmus_outcome *out)
{
	struct clo_lit_place at = l->at;
	struct clo_lit_shown shown = clo_lit_show(l);

	if (!clo_lit_outcome(l, out))
		return false;
	if (!outcome_fits(code, out))
		return clo_lit_fail_at(l, at, NULL, "'%s' cannot end in %s", clo_lit_ops[code].name,
				       shown.text);
	return true;
}

static uint8_t find_reg(const struct clo_lit *l, const struct clo_litmus_thread *t)
{
	for (unsigned i = 0; i < t->op_count; i++) {
		if (t->ops[i].reg[0] && clo_lit_is(l, t->ops[i].reg))
			return (uint8_t)i;
	}
	return CLO_LITMUS_NONE;
}

bool clo_lit_reg(struct clo_lit *l, const struct clo_litmus_thread *t, uint8_t *op)
{
	struct clo_lit_suggest s = { 0 };

	if (l->failed)
		return false;
	*op = find_reg(l, t);
	if (*op != CLO_LITMUS_NONE) {
		clo_lit_next(l);
		return !l->failed;
	}
	if (l->token != T_WORD)
		return clo_lit_fail(l, "a result's name", "unexpected '%s'", clo_lit_show(l).text);
	for (unsigned i = 0; i < t->op_count; i++) {
		if (t->ops[i].reg[0])
			clo_lit_suggest(l, &s, t->ops[i].reg);
	}
	clo_lit_fail(l, "NAME of an earlier 'NAME = operation' of this thread",
		     "thread %s has no result '%s'", t->name, clo_lit_show(l).text);
	clo_lit_suggest_done(l, &s);
	return false;
}

/* "if r0 = mismatch:" */
static bool parse_guard(struct clo_lit *l, struct step *s)
{
	struct clo_litmus_op *op = s->op;

	if (!clo_lit_accept_word(l, "if"))
		return !l->failed;
	op->has_guard = 1;
	if (!clo_lit_reg(l, s->thread, &op->guard_op))
		return false;
	op->guard_negated = l->token == T_NE;
	if (!clo_lit_accept(l, T_NE) && !clo_lit_expect(l, '=', "'=' or '!='"))
		return false;
	if (!clo_lit_outcome_of(l, s->thread->ops[op->guard_op].code, &op->guard))
		return false;
	return clo_lit_expect(l, ':', "':' and the operation");
}

static bool parse_reg(struct clo_lit *l, struct step *s)
{
	struct clo_lit before = *l;

	if (l->token != T_WORD)
		return true;
	clo_lit_next(l);
	if (l->token != '=') {
		if (!l->failed)
			*l = before;
		return !l->failed;
	}
	*l = before;
	s->reg_at = l->at;
	if (find_reg(l, s->thread) != CLO_LITMUS_NONE)
		return clo_lit_fail(l, "another name", "the result '%s' is set twice",
				    clo_lit_show(l).text);
	return clo_lit_new_name(l, "a result's name", NULL, 0, 0, s->op->reg) &&
	       clo_lit_expect(l, '=', "'='");
}

static bool parse_code(struct clo_lit *l, struct step *s)
{
	struct clo_lit_suggest near = { 0 };
	const struct clo_lit_word *alias = clo_lit_find_word(l, clo_lit_op_aliases);

	s->at = l->at;
	s->op->line = l->at.line;
	s->op->column = (uint32_t)(l->at.start - l->at.line_start) + 1;
	if (alias) {
		s->op->code = (enum clo_litmus_code)alias->code;
		clo_lit_next(l);
		return !l->failed;
	}
	for (unsigned i = 0; i < CLO_LITMUS_CODE_COUNT; i++) {
		if (clo_lit_is(l, clo_lit_ops[i].name)) {
			s->op->code = (enum clo_litmus_code)i;
			clo_lit_next(l);
			return !l->failed;
		}
		if (l->token == T_WORD)
			clo_lit_suggest(l, &near, clo_lit_ops[i].name);
	}
	clo_lit_fail(l, "an operation ('cloister run --ops' lists them)", "'%s' is no operation",
		     clo_lit_show(l).text);
	clo_lit_suggest_done(l, &near);
	return false;
}

static bool parse_new_pin(struct clo_lit *l, struct clo_litmus_op *op)
{
	struct clo_litmus *p = l->p;

	if (p->pin_count == CLO_LITMUS_PINS)
		return clo_lit_fail(l, NULL, "more than %d pins", CLO_LITMUS_PINS);
	op->pin = (uint8_t)p->pin_count;
	if (!clo_lit_new_name(l, "a name for the pin", p->pins, sizeof(p->pins[0]), p->pin_count,
			      p->pins[p->pin_count]))
		return false;
	p->pin_count++;
	return true;
}

static bool parse_kind(struct clo_lit *l, struct clo_litmus_op *op)
{
	const struct clo_lit_word *w;

	if (!clo_lit_word(l, "a kind", clo_lit_kinds, &w))
		return false;
	op->kind = (uint8_t)w->code;
	return true;
}

static bool parse_side(struct clo_lit *l, struct clo_litmus_op *op)
{
	if (clo_lit_accept_word(l, "map")) {
		op->is_map = 1;
		return !l->failed;
	}
	if (clo_lit_accept_word(l, "unmap"))
		return !l->failed;
	return clo_lit_fail(l, "map or unmap", "unexpected '%s'", clo_lit_show(l).text);
}

/* ok, or an errno. */
static bool parse_status(struct clo_lit *l, struct clo_litmus_op *op)
{
	struct clo_litmus_outcome o = { 0 };
	struct clo_lit_place at = l->at;

	if (!clo_lit_outcome(l, &o))
		return false;
	if (o.kind != CLO_LITMUS_OK && o.kind != CLO_LITMUS_ERRNO)
		return clo_lit_fail_at(l, at, "ok or an errno", "not a status");
	op->error = o.code;
	return true;
}

static bool parse_arg(struct clo_lit *l, enum clo_lit_arg arg, struct clo_litmus_op *op)
{
	struct clo_litmus *p = l->p;

	switch (arg) {
	case A_RANGE:
		return clo_lit_range(l, &op->page, &op->npages);
	case A_ADDR:
		op->npages = 1;
		return clo_lit_addr(l, &op->page, &op->offset);
	case A_GFN:
		return clo_lit_page(l, &op->page);
	case A_VALUE:
		return clo_lit_number(l, "a number", UINT64_MAX, &op->value);
	case A_ACCESS:
		return l->token == T_WORD ? parse_kind(l, op) : !l->failed;
	case A_KIND:
		return parse_kind(l, op);
	case A_FILE:
		return l->token != T_WORD ||
		       clo_lit_name(l, "a file", p->gmems, sizeof(p->gmems[0]), p->gmem_count,
				    &op->gmem);
	case A_SLOT:
		return clo_lit_name(l, "a memslot", p->slots, sizeof(p->slots[0]), p->slot_count,
				    &op->slot);
	case A_NEW_PIN:
		return parse_new_pin(l, op);
	case A_PIN:
		return clo_lit_name(l, "a pin made above", p->pins, sizeof(p->pins[0]),
				    p->pin_count, &op->pin);
	case A_LISTENER:
		return clo_lit_name(l, "a listener", p->listeners, sizeof(p->listeners[0]),
				    p->listener_count, &op->listener);
	case A_SIDE:
		return parse_side(l, op);
	case A_STATUS:
		return parse_status(l, op);
	case A_END:
	case A_COUNT:
		break;
	}
	return true;
}

static bool has_arg(const struct clo_litmus_op *op, enum clo_lit_arg arg)
{
	for (unsigned i = 0; i < CLO_LIT_ARGS; i++) {
		if (clo_lit_ops[op->code].args[i] == arg)
			return true;
	}
	return false;
}

/* The VM that the operation is about, and its file where none was named. */
static bool resolve(struct clo_lit *l, struct step *s)
{
	struct clo_litmus *p = l->p;
	struct clo_litmus_op *op = s->op;
	uint8_t owner = op->vm;

	if (op->gmem != CLO_LITMUS_NONE)
		owner = (uint8_t)p->gmems[op->gmem].vm;
	else if (op->slot != CLO_LITMUS_NONE)
		owner = p->slots[op->slot].vm;
	else if (op->listener != CLO_LITMUS_NONE)
		owner = (uint8_t)p->listeners[op->listener].vm;
	if (s->vm_given && owner != op->vm)
		return clo_lit_fail_at(l, s->at, NULL, "what is named belongs to VM %s, not %s",
				       p->vms[owner].name, p->vms[op->vm].name);
	op->vm = owner;
	for (unsigned i = 0; has_arg(op, A_FILE) && op->gmem == CLO_LITMUS_NONE; i++) {
		if (i == p->gmem_count)
			return clo_lit_fail_at(l, s->at, "a 'gmem' statement", "VM %s has no file",
					       p->vms[op->vm].name);
		if (p->gmems[i].vm == op->vm)
			op->gmem = (uint8_t)i;
	}
	if (op->code == CLO_LITMUS_PREPARE)
		p->vms[op->vm].has_prepare = 1;
	return true;
}

static bool check_access(struct clo_lit *l, const struct step *s)
{
	const struct clo_litmus_op *op = s->op;
	const struct clo_litmus_vm *vm = &l->p->vms[op->vm];
	bool typed = (vm->flags & CLO_VM_TYPED_ACCESS) != 0;

	if (!has_arg(op, A_ACCESS) || typed == (op->kind != CLO_LITMUS_UNTYPED))
		return true;
	if (typed)
		return clo_lit_fail_at(l, s->at, "private or shared after the arguments",
				       "accesses of VM %s are private or shared", vm->name);
	clo_lit_fail_at(l, s->at, NULL, "accesses of VM %s carry no private or shared", vm->name);
	clo_lit_hint(l, "declare it: vm %s typed;", vm->name);
	return false;
}

static bool check_step(struct clo_lit *l, const struct step *s)
{
	const struct clo_litmus_op *op = s->op;
	const struct clo_lit_op_info *info = &clo_lit_ops[op->code];

	if (info->guest && !s->thread->is_vcpu) {
		clo_lit_fail_at(l, s->at, "a thread with a vCPU", "'%s' needs a vCPU, %s has none",
				info->name, s->thread->name);
		clo_lit_hint(l, "threads named vCPU0, vCPU1, CPU0, ... have one");
		return false;
	}
	if (info->guest && !s->prologue && op->vm != s->thread->vm)
		return clo_lit_fail_at(l, s->at, NULL, "%s is a vCPU of VM %s", s->thread->name,
				       l->p->vms[s->thread->vm].name);
	if ((op->code == CLO_LITMUS_FILL || op->code == CLO_LITMUS_ZERO ||
	     op->code == CLO_LITMUS_CHECK) &&
	    op->npages > CLO_LITMUS_TOUCH_MAX)
		return clo_lit_fail_at(l, s->at, NULL, "'%s' may touch %llu pages at most",
				       info->name, CLO_LITMUS_TOUCH_MAX);
	return check_access(l, s);
}

static bool parse_outcomes(struct clo_lit *l, struct clo_litmus_op *op)
{
	if (!clo_lit_accept(l, T_ARROW))
		return !l->failed;
	do {
		if (op->outcome_count == CLO_LITMUS_OUTCOMES)
			return clo_lit_fail(l, NULL, "more than %d outcomes", CLO_LITMUS_OUTCOMES);
		if (!clo_lit_outcome_of(l, op->code, &op->outcomes[op->outcome_count]))
			return false;
		op->outcome_count++;
	} while (clo_lit_accept_word(l, "or"));
	return !l->failed;
}

bool clo_lit_parse_step(struct clo_lit *l, struct clo_litmus_thread *t, unsigned row, bool prologue)
{
	struct step s = { .thread = t, .prologue = prologue };
	struct clo_litmus_op *op = &t->ops[t->op_count];

	if (t->op_count == CLO_LITMUS_OPS)
		return clo_lit_fail(l, NULL, "more than %d operations of one thread",
				    CLO_LITMUS_OPS);
	s.op = op;
	op->row = row;
	op->vm = t->vm;
	op->gmem = op->slot = op->pin = op->listener = CLO_LITMUS_NONE;
	if (!parse_guard(l, &s) || !parse_reg(l, &s) || !parse_code(l, &s))
		return false;
	for (unsigned i = 0; i < CLO_LIT_ARGS && clo_lit_ops[op->code].args[i] != A_END; i++) {
		if (!parse_arg(l, clo_lit_ops[op->code].args[i], op))
			return false;
	}
	if (!clo_lit_vm_suffix(l, &op->vm, &s.vm_given) || !resolve(l, &s) || !check_step(l, &s))
		return false;
	if (!parse_outcomes(l, op))
		return false;
	t->op_count++;
	return true;
}

/* Does @op hand the file @g to the engine? */
static bool uses_file(const struct clo_litmus *p, const struct clo_litmus_op *op, unsigned g)
{
	if (op->code == CLO_LITMUS_SLOT_CREATE)
		return p->slots[op->slot].gmem == g;
	return op->gmem == g;
}

struct close_at {
	unsigned thread;
	unsigned op;
};

/* The first close of file @g; the prologue is last in the array and first in time. */
static bool find_close(const struct clo_litmus *p, unsigned g, struct close_at *out)
{
	for (unsigned n = 0; n <= CLO_LITMUS_THREADS; n++) {
		unsigned t = (n + CLO_LITMUS_PROLOGUE) % (CLO_LITMUS_THREADS + 1);

		for (unsigned i = 0; i < p->threads[t].op_count; i++) {
			const struct clo_litmus_op *op = &p->threads[t].ops[i];

			if (op->code == CLO_LITMUS_CLOSE && op->gmem == g) {
				*out = (struct close_at){ t, i };
				return true;
			}
		}
	}
	return false;
}

static struct clo_lit_place place_of(const struct clo_lit *l, const struct clo_litmus_op *op)
{
	struct clo_lit_place at = { .line = op->line };

	for (unsigned line = 1; line < op->line; line++) {
		const char *end = memchr(l->text + at.line_start, '\n', l->len - at.line_start);

		if (!end)
			break;
		at.line_start = (size_t)(end - l->text) + 1;
	}
	at.start = at.line_start + op->column - 1;
	at.len = strlen(clo_lit_ops[op->code].name);
	return at;
}

/*
 * A handle must not be used after it was destroyed: whoever names a file that is closed does so
 * before the close in the same thread, or in the prologue.
 */
static bool check_use(struct clo_lit *l, unsigned g, struct close_at close, unsigned thread)
{
	const struct clo_litmus_thread *t = &l->p->threads[thread];

	for (unsigned i = 0; i < t->op_count; i++) {
		bool before =
			thread == close.thread ? i <= close.op : thread == CLO_LITMUS_PROLOGUE;

		if (before || !uses_file(l->p, &t->ops[i], g))
			continue;
		return clo_lit_fail_at(l, place_of(l, &t->ops[i]), NULL,
				       "file %s is closed by thread %s and may not be named here",
				       l->p->gmems[g].name, l->p->threads[close.thread].name);
	}
	return true;
}

bool clo_lit_check_close(struct clo_lit *l)
{
	for (unsigned g = 0; g < l->p->gmem_count; g++) {
		struct close_at close;

		if (!find_close(l->p, g, &close))
			continue;
		for (unsigned t = 0; t <= CLO_LITMUS_THREADS; t++) {
			if (!check_use(l, g, close, t))
				return false;
		}
	}
	return true;
}
