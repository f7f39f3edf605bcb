/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/litmus_judge.c - results against what the file expects.
 */
#include "litmus_internal.h"
#include "litmus_run.h"

#include <errno.h>
#include <string.h>

#include "gmem/gmem.h"

/* The counters of the language are the engine's reasons, in its order. */
#define SAME_REASON(name)                                                                          \
	_Static_assert((int)CLO_LITMUS_C_ZAPS_##name == (int)CLO_ZAP_##name, "zap reason " #name)
SAME_REASON(SPLIT_MERGE);
SAME_REASON(HUGEPAGE);
SAME_REASON(RW_CHANGE);
SAME_REASON(DIRECT_MAP);
SAME_REASON(KIND);
SAME_REASON(CONTENT);
SAME_REASON(PUNCH);
SAME_REASON(SLOT);
SAME_REASON(RELEASE);
SAME_REASON(HOOK);
_Static_assert((int)CLO_LITMUS_C_FAULTS == (int)CLO_ZAP_REASON_COUNT, "zap reasons");

struct judge {
	struct clo_litmus_run *r;
	bool corrupt;
	/* Taken before contents are read, which faults. */
	uint64_t counters[CLO_LITMUS_VMS][CLO_LITMUS_COUNTER_COUNT];
};

bool clo_litmus_matches(const struct clo_litmus_result *r, const struct clo_litmus_outcome *o)
{
	bool done = r->ran && r->error == 0 && r->exit == CLO_EXIT_NONE && !r->differs;

	switch ((enum clo_litmus_outcome_kind)o->kind) {
	case CLO_LITMUS_OK:
		return done;
	case CLO_LITMUS_FAILED:
		return r->ran && (r->error != 0 || r->exit != CLO_EXIT_NONE);
	case CLO_LITMUS_VALUE:
		return done && r->value == o->value;
	case CLO_LITMUS_DIFFERS:
		return r->ran && r->differs;
	case CLO_LITMUS_SKIPPED:
		return r->skipped;
	case CLO_LITMUS_ERRNO:
		return r->ran && r->error == o->code;
	case CLO_LITMUS_EXIT:
		return r->ran && r->exit == (uint32_t)o->code;
	case CLO_LITMUS_CAUSE:
		return r->ran && r->exit != CLO_EXIT_NONE && r->cause == (uint32_t)o->code;
	case CLO_LITMUS_PAGES:
		return done && r->pages == o->code;
	}
	return false;
}

struct clo_litmus_outcome clo_litmus_outcome_of(const struct clo_litmus_result *r,
						enum clo_litmus_code code)
{
	struct clo_litmus_outcome o = { .kind = CLO_LITMUS_OK };

	if (!r->ran) {
		o.kind = CLO_LITMUS_SKIPPED;
	} else if (r->exit != CLO_EXIT_NONE && r->cause != CLO_CAUSE_NONE) {
		o.kind = CLO_LITMUS_CAUSE;
		o.code = (int32_t)r->cause;
	} else if (r->exit != CLO_EXIT_NONE) {
		o.kind = CLO_LITMUS_EXIT;
		o.code = (int32_t)r->exit;
	} else if (r->error) {
		o.kind = CLO_LITMUS_ERRNO;
		o.code = r->error;
	} else if (r->differs) {
		o.kind = CLO_LITMUS_DIFFERS;
	} else if (code == CLO_LITMUS_GET_ATTRIBUTES) {
		o.kind = CLO_LITMUS_PAGES;
		o.code = r->pages;
	} else if (code == CLO_LITMUS_LOAD || code == CLO_LITMUS_HOST_READ ||
		   code == CLO_LITMUS_RAM_READ) {
		o.kind = CLO_LITMUS_VALUE;
		o.value = r->value;
	}
	return o;
}

bool clo_lit_expected(const struct clo_litmus_run *r, unsigned thread, unsigned op)
{
	static const struct clo_litmus_outcome ok = { .kind = CLO_LITMUS_OK };
	static const struct clo_litmus_outcome skipped = { .kind = CLO_LITMUS_SKIPPED };
	const struct clo_litmus_op *o = &r->p->threads[thread].ops[op];
	const struct clo_litmus_result *res = &r->threads[thread].results[op];

	/* What did not have to run has no result to compare. */
	if (clo_litmus_matches(res, &skipped))
		return true;
	if (o->outcome_count == 0)
		return thread != CLO_LITMUS_PROLOGUE || clo_litmus_matches(res, &ok);
	for (unsigned i = 0; i < o->outcome_count; i++) {
		if (clo_litmus_matches(res, &o->outcomes[i]))
			return true;
	}
	return false;
}

void clo_lit_say(const struct clo_litmus_run *r, unsigned thread, unsigned op, char *why)
{
	const struct clo_litmus_op *o = &r->p->threads[thread].ops[op];
	char text[160];
	char outcome[CLO_LIT_OUTCOME_MAX];

	clo_lit_format_op(r->p, thread, op, text, sizeof(text));
	clo_lit_format_outcome(clo_litmus_outcome_of(&r->threads[thread].results[op], o->code),
			       outcome);
	snprintf(why, CLO_LITMUS_WHY, "line %u: %s: '%s' ended in %s", o->line,
		 r->p->threads[thread].name, text, outcome);
}

static void count_vm(struct judge *j, unsigned vm)
{
	uint64_t *c = j->counters[vm];
	struct clo_leak_report report = { .size = sizeof(report) };
	struct clo_host_stats host = { .size = sizeof(host) };
	struct clo_vm_stats s = { .size = sizeof(s) };

	clo_vm_stats(j->r->vms[vm].vm, &s);
	clo_vm_report(j->r->vms[vm].vm, &report);
	clo_host_stats(j->r->host, &host);
	for (unsigned i = 0; i < CLO_LITMUS_C_FAULTS; i++) {
		c[i] = s.zaps[i];
		c[CLO_LITMUS_C_ZAPS] += s.zaps[i];
	}
	c[CLO_LITMUS_C_FAULTS] = s.faults;
	c[CLO_LITMUS_C_FAULTS_FIXED] = s.faults_fixed;
	c[CLO_LITMUS_C_FAULTS_RETRIED] = s.faults_retried;
	c[CLO_LITMUS_C_FAULT_EXITS] = s.fault_exits;
	c[CLO_LITMUS_C_CONVERSIONS] = s.conversions;
	c[CLO_LITMUS_C_CONVERTED_PAGES] = s.converted_pages;
	c[CLO_LITMUS_C_CONVERSIONS_FAILED] = s.conversions_failed;
	c[CLO_LITMUS_C_MOVED_LEAVES] = s.moved_leaves;
	c[CLO_LITMUS_C_SHOOTDOWNS] = s.shootdowns;
	c[CLO_LITMUS_C_PREPARED] = clo_a64_get(&j->r->vms[vm].prepared);
	c[CLO_LITMUS_C_INVALIDATED] = clo_a64_get(&j->r->vms[vm].invalidated);
	c[CLO_LITMUS_C_UNPAIRED] = clo_a64_get(&j->r->vms[vm].unpaired);
	c[CLO_LITMUS_C_BACKED_TWICE] = report.backed_twice;
	c[CLO_LITMUS_C_PINS_LEFT] = report.pins_left;
	c[CLO_LITMUS_C_FRAMES_LOST] = report.frames_lost;
	c[CLO_LITMUS_C_UNDO_FAILURES] = report.undo_failures;
	c[CLO_LITMUS_C_FRAMES_USED] = host.frames_used;
	c[CLO_LITMUS_C_FRAMES_LEAKED] = host.frames_leaked;
}

static bool compare(uint64_t a, uint32_t cmp, uint64_t b)
{
	switch ((enum clo_litmus_cmp)cmp) {
	case CLO_LITMUS_EQ:
		return a == b;
	case CLO_LITMUS_NE:
		return a != b;
	case CLO_LITMUS_LT:
		return a < b;
	case CLO_LITMUS_LE:
		return a <= b;
	case CLO_LITMUS_GT:
		return a > b;
	case CLO_LITMUS_GE:
		return a >= b;
	}
	return false;
}

/* Attributes of the page; false when it has none (out of bounds). */
static bool page_kind(struct judge *j, const struct clo_litmus_node *n, bool *is_private)
{
	uint64_t attributes = 0;
	uint64_t same = 0;

	if (clo_vm_get_attributes(j->r->vms[n->vm].vm, n->page << CLO_PAGE_SHIFT, CLO_PAGE_SIZE,
				  &attributes, &same))
		return false;
	*is_private = (attributes & CLO_ATTR_PRIVATE) != 0;
	return true;
}

/* The page's kind is what it is: =, or !=. */
static bool eval_page(struct judge *j, const struct clo_litmus_node *n)
{
	bool is_private;

	if (!page_kind(j, n, &is_private))
		return false;
	return (is_private == (n->outcome.code == CLO_LITMUS_PRIVATE)) == (n->cmp == CLO_LITMUS_EQ);
}

/* What a guest that accesses the page by its kind would read; a page that it cannot read is not
 * equal. */
static bool eval_content(struct judge *j, const struct clo_litmus_node *n)
{
	uint64_t value = 0;
	bool is_private = false;
	uint32_t flags;

	(void)page_kind(j, n, &is_private);
	flags = is_private ? CLO_ACCESS_PRIVATE : 0;
	if (clo_vcpu_access(j->r->vms[n->vm].own, (n->page << CLO_PAGE_SHIFT) + n->offset, &value,
			    sizeof(value), flags))
		return n->cmp == CLO_LITMUS_NE;
	return compare(value, n->cmp, n->value);
}

static bool eval(struct judge *j, unsigned index)
{
	const struct clo_litmus_node *n = &j->r->p->nodes[index];

	switch ((enum clo_litmus_node_kind)n->kind) {
	case CLO_LITMUS_AND:
		return eval(j, n->left) && eval(j, n->right);
	case CLO_LITMUS_OR:
		return eval(j, n->left) || eval(j, n->right);
	case CLO_LITMUS_NOT:
		return !eval(j, n->left);
	case CLO_LITMUS_RESULT:
		return clo_litmus_matches(&j->r->threads[n->thread].results[n->op], &n->outcome) ==
		       (n->cmp == CLO_LITMUS_EQ);
	case CLO_LITMUS_CORRUPT:
		return j->corrupt;
	case CLO_LITMUS_PAGE:
		return eval_page(j, n);
	case CLO_LITMUS_CONTENT:
		return eval_content(j, n);
	case CLO_LITMUS_COUNTER:
		return compare(j->counters[n->vm][n->counter], n->cmp, n->value);
	}
	return false;
}

/* "vCPU0:r0=0x7 VMM:c=ok", cut where the room ends. */
static void describe(const struct judge *j, char *out)
{
	size_t used = 0;

	out[0] = 0;
	for (unsigned t = 0; t < j->r->p->thread_count; t++) {
		const struct clo_litmus_thread *th = &j->r->p->threads[t];

		for (unsigned i = 0; i < th->op_count && used < CLO_LITMUS_WHY; i++) {
			char text[CLO_LIT_OUTCOME_MAX];

			if (!th->ops[i].reg[0])
				continue;
			clo_lit_format_outcome(clo_litmus_outcome_of(&j->r->threads[t].results[i],
								     th->ops[i].code),
					       text);
			used += (size_t)snprintf(out + used, CLO_LITMUS_WHY - used, "%s%s:%s=%s",
						 used ? " " : "", th->name, th->ops[i].reg, text);
		}
	}
}

static void judge_results(struct judge *j, struct clo_litmus_verdict *out)
{
	for (unsigned t = 0; t < j->r->p->thread_count; t++) {
		for (unsigned i = 0; i < j->r->p->threads[t].op_count; i++) {
			j->corrupt |= j->r->threads[t].results[i].differs != 0;
			if (!out->holds || clo_lit_expected(j->r, t, i))
				continue;
			out->holds = false;
			out->thread = (uint8_t)t;
			out->op = (uint8_t)i;
			clo_lit_say(j->r, t, i, out->why);
		}
	}
}

static void judge_final(struct judge *j, unsigned i, struct clo_litmus_verdict *out)
{
	const struct clo_litmus_final *f = &j->r->p->finals[i];
	bool is_true = eval(j, f->node);

	if (f->quantifier == CLO_LITMUS_SOMETIMES) {
		out->sometimes |= is_true ? 1U << i : 0;
	} else if (is_true == (f->quantifier == CLO_LITMUS_NEVER) && out->holds) {
		out->holds = false;
		out->final = (uint8_t)i;
		snprintf(out->why, sizeof(out->why), "line %u: the '%s' condition is %s", f->line,
			 f->quantifier == CLO_LITMUS_NEVER ? "never" : "always",
			 is_true ? "true" : "false");
	}
}

void clo_litmus_judge(struct clo_litmus_run *r, struct clo_litmus_verdict *out)
{
	struct judge j = { .r = r };

	*out = (struct clo_litmus_verdict){
		.holds = true,
		.thread = CLO_LITMUS_NONE,
		.op = CLO_LITMUS_NONE,
		.final = CLO_LITMUS_NONE,
	};
	for (unsigned i = 0; i < r->p->vm_count; i++)
		count_vm(&j, i);
	describe(&j, out->outcome);
	judge_results(&j, out);
	for (unsigned i = 0; i < r->p->final_count; i++)
		judge_final(&j, i, out);
}
