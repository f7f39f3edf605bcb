/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/litmus_print.c - a program back to its canonical text: nothing implied, every word from
 * the tables. Reading the text gives the program again, which a test holds for all files and for
 * the fuzzer's inputs.
 */
#include "litmus_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "trust/trust.h"

/* Longest operation: guard, result, name, arguments and outcomes; names and words are bounded. */
struct line {
	char text[640];
	size_t used;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *out, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(out->text + out->used, sizeof(out->text) - out->used, format, args);
	va_end(args);
	if (n > 0)
		out->used += (size_t)n;
	if (out->used >= sizeof(out->text))
		out->used = sizeof(out->text) - 1;
}

static const char *word_of(const struct clo_lit_word *words, int code)
{
	while (words->name && words->code != code)
		words++;
	return words->name ? words->name : "?";
}

static void add_outcome(struct line *out, const struct clo_litmus_outcome *o)
{
	if (o->kind == CLO_LITMUS_VALUE) {
		add(out, "%#" PRIx64, o->value);
		return;
	}
	for (const struct clo_lit_word *w = clo_lit_outcomes; w->name; w++) {
		if (w->kind == o->kind && w->code == o->code) {
			add(out, "%s", w->name);
			return;
		}
	}
	/* What the language has no word for, in reports of runs. */
	add(out, o->kind == CLO_LITMUS_ERRNO ? "errno %d" : "result %d", (int)o->code);
}

static void add_addr(struct line *out, uint64_t page, uint64_t offset)
{
	add(out, "%#" PRIx64, page);
	if (offset)
		add(out, ":%#" PRIx64, offset);
}

static void add_range(struct line *out, uint64_t page, uint64_t npages)
{
	add(out, "%#" PRIx64, page);
	if (npages != 1)
		add(out, "+%" PRIu64, npages);
}

static void add_arg(struct line *out, const struct clo_litmus *p, const struct clo_litmus_op *op,
		    enum clo_lit_arg arg)
{
	struct clo_litmus_outcome status = { CLO_LITMUS_ERRNO, op->error, 0 };

	add(out, arg == A_ACCESS && op->kind == CLO_LITMUS_UNTYPED ? "" : " ");
	switch (arg) {
	case A_RANGE:
		add_range(out, op->page, op->npages);
		break;
	case A_ADDR:
		add_addr(out, op->page, op->offset);
		break;
	case A_GFN:
		add(out, "%#" PRIx64, op->page);
		break;
	case A_VALUE:
		add(out, "%#" PRIx64, op->value);
		break;
	case A_ACCESS:
	case A_KIND:
		if (op->kind != CLO_LITMUS_UNTYPED)
			add(out, "%s", word_of(clo_lit_kinds, op->kind));
		break;
	case A_FILE:
		add(out, "%s", p->gmems[op->gmem].name);
		break;
	case A_SLOT:
		add(out, "%s", p->slots[op->slot].name);
		break;
	case A_NEW_PIN:
	case A_PIN:
		add(out, "%s", p->pins[op->pin]);
		break;
	case A_LISTENER:
		add(out, "%s", p->listeners[op->listener].name);
		break;
	case A_SIDE:
		add(out, op->is_map ? "map" : "unmap");
		break;
	case A_STATUS:
		if (op->error)
			add_outcome(out, &status);
		else
			add(out, "ok");
		break;
	case A_END:
	case A_COUNT:
		break;
	}
}

static void add_op(struct line *out, const struct clo_litmus *p, const struct clo_litmus_thread *t,
		   const struct clo_litmus_op *op)
{
	const struct clo_lit_op_info *info = &clo_lit_ops[op->code];

	if (op->has_guard) {
		add(out, "if %s %s ", t->ops[op->guard_op].reg, op->guard_negated ? "!=" : "=");
		add_outcome(out, &op->guard);
		add(out, ": ");
	}
	if (op->reg[0])
		add(out, "%s = ", op->reg);
	add(out, "%s", info->name);
	for (unsigned i = 0; i < CLO_LIT_ARGS && info->args[i] != A_END; i++)
		add_arg(out, p, op, info->args[i]);
	if (op->vm != t->vm)
		add(out, " @%s", p->vms[op->vm].name);
	for (unsigned i = 0; i < op->outcome_count; i++) {
		add(out, i == 0 ? " -> " : " or ");
		add_outcome(out, &op->outcomes[i]);
	}
}

void clo_litmus_print_op(const struct clo_litmus *p, unsigned thread, unsigned op, FILE *f)
{
	struct line out = { .used = 0 };

	add_op(&out, p, &p->threads[thread], &p->threads[thread].ops[op]);
	fputs(out.text, f);
}

void clo_lit_format_op(const struct clo_litmus *p, unsigned thread, unsigned op, char *out,
		       size_t size)
{
	struct line text = { .used = 0 };

	add_op(&text, p, &p->threads[thread], &p->threads[thread].ops[op]);
	snprintf(out, size, "%.*s", (int)(size - 1), text.text);
}

void clo_lit_format_outcome(struct clo_litmus_outcome o, char out[CLO_LIT_OUTCOME_MAX])
{
	struct line text = { .used = 0 };

	add_outcome(&text, &o);
	snprintf(out, CLO_LIT_OUTCOME_MAX, "%.*s", CLO_LIT_OUTCOME_MAX - 1, text.text);
}

static void print_vm(const struct clo_litmus_vm *vm, FILE *f)
{
	static const char *const levels[] = { "", " max_level 4K", " max_level 2M",
					      " max_level 1G" };

	fprintf(f, "\tvm %s %s owner %s%s%s%s%s;\n", vm->name, clo_trust_find(vm->type)->name,
		vm->attr_owner == CLO_ATTR_OWNER_GMEM ? "gmem" : "vm",
		vm->flags & CLO_VM_TYPED_ACCESS ? " typed" : "",
		vm->exit_hypercall ? " hypercall" : "",
		vm->flags & CLO_VM_CONVERT_ON_HYPERCALL ? " convert_on_hypercall" : "",
		levels[vm->max_level]);
}

static void print_gmem(const struct clo_litmus *p, const struct clo_litmus_gmem *g, FILE *f)
{
	static const char *const orders[] = { "4K", "2M", "1G" };

	fprintf(f, "\tgmem %s %" PRIu64 " pages", g->name, g->npages);
	for (const struct clo_lit_word *w = clo_lit_gmem_flags; w->name; w++) {
		if (g->flags & (1ULL << w->code))
			fprintf(f, " %s", w->name);
	}
	if (!(g->flags & CLO_GMEM_MMAP))
		fprintf(f, " nommap");
	if (g->flags & CLO_GMEM_HUGETLB)
		fprintf(f, " huge %s", orders[g->page_order / 9]);
	fprintf(f, " @%s;\n", p->vms[g->vm].name);
}

static void print_slot(const struct clo_litmus *p, const struct clo_litmus_slot *s, FILE *f)
{
	fprintf(f, "\tslot %s %#x %#" PRIx64 "+%" PRIu64, s->name, s->id, s->gfn, s->npages);
	if (s->gmem != CLO_LITMUS_NONE)
		fprintf(f, " gmem %s at %#" PRIx64, p->gmems[s->gmem].name, s->gmem_page);
	fprintf(f, "%s%s @%s;\n", s->absent ? " absent" : "",
		s->flags & CLO_MEM_READONLY ? " readonly" : "", p->vms[s->vm].name);
}

static void print_init(const struct clo_litmus *p, FILE *f)
{
	const struct clo_litmus_thread *t = &p->threads[CLO_LITMUS_PROLOGUE];

	fprintf(f, "{\n");
	if (p->host_pages) {
		fprintf(f, "\thost %" PRIu64 " pages view %s;\n", p->host_pages,
			word_of(clo_lit_views, (int)p->host_view));
	}
	for (unsigned i = 0; i < p->vm_count; i++)
		print_vm(&p->vms[i], f);
	for (unsigned i = 0; i < p->gmem_count; i++)
		print_gmem(p, &p->gmems[i], f);
	for (unsigned i = 0; i < p->slot_count; i++)
		print_slot(p, &p->slots[i], f);
	for (unsigned i = 0; i < p->listener_count; i++) {
		fprintf(f, "\tlistener %s%s @%s;\n", p->listeners[i].name,
			p->listeners[i].pins ? " pins" : "", p->vms[p->listeners[i].vm].name);
	}
	for (unsigned i = 0; i < t->op_count; i++) {
		fputc('\t', f);
		clo_litmus_print_op(p, CLO_LITMUS_PROLOGUE, i, f);
		fprintf(f, ";\n");
	}
	fprintf(f, "}\n");
}

static void add_column(struct line *out, const struct clo_litmus *p,
		       const struct clo_litmus_thread *t)
{
	add(out, "%s@%s", t->name, p->vms[t->vm].name);
}

/* Columns as wide as their widest cell. */
static void print_table(const struct clo_litmus *p, FILE *f)
{
	unsigned next[CLO_LITMUS_THREADS] = { 0 };
	int width[CLO_LITMUS_THREADS];

	for (unsigned t = 0; t < p->thread_count; t++) {
		struct line head = { .used = 0 };

		add_column(&head, p, &p->threads[t]);
		width[t] = (int)head.used;
		for (unsigned i = 0; i < p->threads[t].op_count; i++) {
			struct line cell = { .used = 0 };

			add_op(&cell, p, &p->threads[t], &p->threads[t].ops[i]);
			if ((int)cell.used > width[t])
				width[t] = (int)cell.used;
		}
		fprintf(f, "%s %-*s ", t ? "|" : "", width[t], head.text);
	}
	fprintf(f, ";\n");
	for (unsigned row = 0; row < p->row_count; row++) {
		for (unsigned t = 0; t < p->thread_count; t++) {
			const struct clo_litmus_thread *th = &p->threads[t];
			struct line cell = { .used = 0 };

			if (next[t] < th->op_count && th->ops[next[t]].row == row)
				add_op(&cell, p, th, &th->ops[next[t]++]);
			fprintf(f, "%s %-*s ", t ? "|" : "", width[t], cell.text);
		}
		fprintf(f, ";\n");
	}
}

static void print_node(const struct clo_litmus *p, unsigned index, FILE *f);

/* In brackets where the reader would group otherwise; never more of them than it can have met. */
static void print_part(const struct clo_litmus *p, unsigned index, bool brackets, FILE *f)
{
	if (brackets)
		fputc('(', f);
	print_node(p, index, f);
	if (brackets)
		fputc(')', f);
}

static bool is_kind(const struct clo_litmus *p, unsigned index, enum clo_litmus_node_kind a,
		    enum clo_litmus_node_kind b)
{
	return p->nodes[index].kind == a || p->nodes[index].kind == b;
}

static void print_node(const struct clo_litmus *p, unsigned index, FILE *f)
{
	const struct clo_litmus_node *n = &p->nodes[index];
	const char *cmp = word_of(clo_lit_cmps, (int)n->cmp);
	const char *vm = p->vms[n->vm].name;
	struct line out = { .used = 0 };

	switch ((enum clo_litmus_node_kind)n->kind) {
	case CLO_LITMUS_AND:
		print_part(p, n->left, is_kind(p, n->left, CLO_LITMUS_OR, CLO_LITMUS_OR), f);
		fputs(" and ", f);
		print_part(p, n->right, is_kind(p, n->right, CLO_LITMUS_OR, CLO_LITMUS_AND), f);
		return;
	case CLO_LITMUS_OR:
		print_node(p, n->left, f);
		fputs(" or ", f);
		print_part(p, n->right, is_kind(p, n->right, CLO_LITMUS_OR, CLO_LITMUS_OR), f);
		return;
	case CLO_LITMUS_NOT:
		fputs("not ", f);
		print_part(p, n->left, is_kind(p, n->left, CLO_LITMUS_OR, CLO_LITMUS_AND), f);
		return;
	case CLO_LITMUS_RESULT:
		add(&out, "%s:%s %s ", p->threads[n->thread].name,
		    p->threads[n->thread].ops[n->op].reg, cmp);
		add_outcome(&out, &n->outcome);
		break;
	case CLO_LITMUS_CORRUPT:
		add(&out, "corrupt");
		break;
	case CLO_LITMUS_PAGE:
		add(&out, "page %#" PRIx64 " @%s %s ", n->page, vm, cmp);
		add_outcome(&out, &n->outcome);
		break;
	case CLO_LITMUS_CONTENT:
		add(&out, "content ");
		add_addr(&out, n->page, n->offset);
		add(&out, " @%s %s %#" PRIx64, vm, cmp, n->value);
		break;
	case CLO_LITMUS_COUNTER:
		add(&out, "%s @%s %s %" PRIu64, clo_lit_counters[n->counter].name, vm, cmp,
		    n->value);
	}
	fputs(out.text, f);
}

void clo_litmus_print_final(const struct clo_litmus *p, unsigned final, FILE *f)
{
	const struct clo_litmus_final *c = &p->finals[final];

	fprintf(f, "%s (", word_of(clo_lit_quantifiers, (int)c->quantifier));
	print_node(p, c->node, f);
	fputc(')', f);
}

void clo_litmus_print(const struct clo_litmus *p, FILE *f)
{
	fprintf(f, "%s %s\n", clo_trust_find(p->type)->name, p->name);
	print_init(p, f);
	print_table(p, f);
	for (unsigned i = 0; i < p->final_count; i++) {
		clo_litmus_print_final(p, i, f);
		fputc('\n', f);
	}
}
