/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_script_call.c - a leaf in a SEAMCALL file: its operands, the call, what it changed.
 */
#include "trust/tdx/tdx_script_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct request {
	const struct tdx_leaf *leaf;
	struct tdx_script_td *td;
	const char *new_name; /* MNG.CREATE */
	struct clo_tdx_regs regs;
	uint64_t gpa;
	unsigned level;
	bool has_entry;
	uint64_t page; /* operand page, plus 1 */
};

/* TDH.MEM.PAGE.ADD, tdh_mem_page_add: dots and case do not matter. */
static bool same_name(const char *a, const char *b)
{
	for (; *a && *b; a++, b++) {
		char x = *a == '_' ? '.' : (char)toupper((unsigned char)*a);

		if (x != *b)
			return false;
	}
	return *a == *b;
}

/* `page N`, `page new`: its HPA. */
static bool page_operand(struct script_line *l, unsigned level, const char *key, uint64_t *hpa)
{
	const char *word = script_next(l);

	if (!word || strcmp(word, key) != 0)
		return script_fail(l, word,
				   strcmp(key, "page") == 0 ? "page N or page new" : "from N");
	if (l->at < l->count && strcmp(l->words[l->at], "new") == 0) {
		l->at++;
		return tdx_free_page(l->s->m, level, hpa) ||
		       script_fail(l, "new", "no free page of this size");
	}
	if (!script_number(l, "a page's number, or new", hpa))
		return false;
	if (*hpa >> (64 - CLO_PAGE_SHIFT))
		return script_fail(l, NULL, "a page's number is too large");
	*hpa <<= CLO_PAGE_SHIFT;
	return true;
}

static bool gpa_operand(struct script_line *l, struct request *q)
{
	if (!script_number(l, "a GPA", &q->gpa) || !script_level(l, &q->level))
		return false;
	q->has_entry = true;
	q->regs.rcx = q->gpa | q->level;
	return true;
}

/* The GPAs go into a page of memory that is free: an EXPORT list. */
static bool list_operand(struct script_line *l, struct request *q)
{
	uint64_t list[512] = { 0 }, hpa, n = 0;

	while (l->at < l->count) {
		if (!script_number(l, "a GPA", &q->gpa))
			return false;
		list[n++] = q->gpa | 1ULL << 52; /* MIGRATE: not NOP */
	}
	if (n == 0)
		return script_fail(l, NULL, "one GPA or more");
	if (!tdx_free_page(l->s->m, TDX_4K, &hpa))
		return script_fail(l, NULL, "no free page for the list");
	if (clo_tdx_memory(l->s->m, hpa, list, sizeof(list), 1))
		return script_fail(l, NULL, "the list cannot be written");
	q->regs.rcx = hpa | (n - 1) << 55;
	q->has_entry = n == 1;
	return true;
}

static bool create_operands(struct script_line *l, struct request *q)
{
	const char *word;

	q->new_name = script_next(l);
	if (!script_new_name(l, q->new_name) || !page_operand(l, TDX_4K, "page", &q->regs.rcx))
		return false;
	word = script_next(l);
	if (!word || strcmp(word, "hkid") != 0)
		return script_fail(l, word, "hkid N");
	return script_number(l, "an HKID", &q->regs.rdx);
}

static bool td_operands(struct script_line *l, struct request *q)
{
	struct clo_tdx_regs *regs = &q->regs;
	unsigned size;

	q->td = script_td(l);
	if (!q->td)
		return false;
	regs->rdx = q->td->td.tdr;
	switch (q->leaf->args) {
	case TDX_ARGS_TD:
		regs->rcx = q->td->td.tdr;
		/* MNG.INIT: a page with TD_PARAMS. */
		return q->leaf->number != CLO_TDH_MNG_INIT ||
		       page_operand(l, TDX_4K, "page", &regs->rdx);
	case TDX_ARGS_VP:
		regs->rcx = q->td->td.tdvpr;
		return true;
	case TDX_ARGS_CHUNK:
		return script_number(l, "a GPA", &regs->rcx);
	case TDX_ARGS_PAGE_TD:
		return page_operand(l, TDX_4K, "page", &regs->rcx);
	case TDX_ARGS_PAGE_VP:
		regs->rdx = q->td->td.tdvpr;
		return page_operand(l, TDX_4K, "page", &regs->rcx);
	case TDX_ARGS_LIST:
		return list_operand(l, q);
	case TDX_ARGS_GUEST:
		regs->rdx = 0;
		if (q->leaf->number != CLO_TDG_MEM_PAGE_ATTR_RD)
			return gpa_operand(l, q);
		q->has_entry = true;
		if (!script_number(l, "a GPA", &q->gpa))
			return false;
		regs->rcx = q->gpa;
		return true;
	case TDX_ARGS_GPA:
	case TDX_ARGS_GPA_PAGE:
	case TDX_ARGS_GPA_COPY:
		if (!gpa_operand(l, q))
			return false;
		if (q->leaf->args == TDX_ARGS_GPA)
			return true;
		size = q->leaf->number == CLO_TDH_MEM_PAGE_AUG ? q->level : TDX_4K;
		if (!page_operand(l, size, "page", &regs->r8))
			return false;
		q->page = regs->r8 + 1;
		if (q->leaf->args == TDX_ARGS_GPA_PAGE)
			return true;
		/* What is added stays where it is, or comes from another page. */
		regs->r9 = regs->r8;
		return l->at == l->count || page_operand(l, TDX_4K, "from", &regs->r9);
	case TDX_ARGS_PAGE:
	case TDX_ARGS_NONE:
	default:
		return true;
	}
}

static bool operands(struct script_line *l, struct request *q)
{
	if (q->leaf->number == CLO_TDH_MNG_CREATE && !q->leaf->guest)
		return create_operands(l, q);
	if (q->leaf->args == TDX_ARGS_NONE)
		return true;
	if (q->leaf->args == TDX_ARGS_PAGE)
		return page_operand(l, TDX_4K, "page", &q->regs.rcx);
	return td_operands(l, q);
}

static void look(struct script_line *l, const struct request *q, struct clo_tdx_entry *e)
{
	uint64_t gpa = clo_align_down(q->gpa, CLO_PAGE_SIZE << (9 * q->level));

	l->r->has_entry =
		q->has_entry && clo_tdx_look_entry(l->s->m, q->td->td.tdr, gpa, q->level, e) == 0;
}

static const char *owner_name(struct tdx_script *s, const struct clo_tdx_page *p)
{
	for (unsigned i = 0; p->type && i < s->td_count; i++) {
		if (s->tds[i].td.tdr == p->owner)
			return s->tds[i].name;
	}
	return "";
}

static void show_page(struct script_line *l, const char *role, uint64_t hpa)
{
	struct clo_tdx_page p = { .size = sizeof(p) };
	struct tdx_script_result *r = l->r;

	for (unsigned i = 0; i < r->page_count; i++) {
		if (r->pages[i].hpa == hpa)
			return;
	}
	if (!hpa || r->page_count == CLO_ARRAY_SIZE(r->pages) ||
	    clo_tdx_look_page(l->s->m, hpa, &p))
		return;
	r->pages[r->page_count++] = (struct tdx_script_page){
		.role = role,
		.hpa = hpa,
		.type = p.type,
		.level = p.level,
		.type_name = tdx_pt_name(p.type),
		.owner = owner_name(l->s, &p),
	};
}

/* What the entry pointed to, the operand, what it points to now. */
static void show_pages(struct script_line *l, const struct request *q)
{
	const struct clo_tdx_entry *before = &l->r->before, *after = &l->r->after;
	bool table = q->leaf->run == tdx_sept_add || q->leaf->run == tdx_page_demote;

	if (l->r->has_entry)
		show_page(l,
			  before->state & 0x80        ? "S-EPT"
			  : before->hpa == after->hpa ? ""
						      : "old",
			  before->hpa);
	if (q->page)
		show_page(l, table ? "S-EPT" : "new", q->page - 1);
	if (l->r->has_entry)
		show_page(l, after->state & 0x80 ? "S-EPT" : "new", after->hpa);
}

/* By vCPU 0, which enters for it and leaves again, if it is not inside. */
static bool guest_call(struct script_line *l, struct request *q)
{
	struct clo_tdx_regs enter = { .rax = CLO_TDH_VP_ENTER, .rcx = q->td->td.tdvpr };
	struct tdx_script_result *r = l->r;
	int ret = clo_tdx_tdcall(l->s->m, q->td->td.tdvpr, &r->regs, &r->exit);
	bool visits = ret < 0;

	if (visits) {
		if (clo_tdx_seamcall(l->s->m, l->s->lp, &enter)) {
			r->leaf = tdx_leaf_find(false, CLO_TDH_VP_ENTER);
			r->regs = enter;
			return true;
		}
		ret = clo_tdx_tdcall(l->s->m, q->td->td.tdvpr, &r->regs, &r->exit);
	}
	r->outcome = ret;
	if (visits && ret == 0) {
		struct clo_tdx_exit left = { .size = sizeof(left) };

		if (clo_tdx_interrupt(l->s->m, q->td->td.tdvpr, &left))
			return script_fail(l, NULL, "the vCPU did not leave");
	}
	return true;
}

/* Locks of a TD that is gone are not there to be given back. */
static void forget_locks(struct tdx_script *s, uint64_t tdr)
{
	for (unsigned i = s->lock_count; i-- > 0;) {
		if (s->locks[i].tdr == tdr)
			s->locks[i] = s->locks[--s->lock_count];
	}
}

bool script_call(struct script_line *l, const char *name)
{
	struct request q = { .leaf = NULL };
	struct tdx_script_result *r = l->r;

	for (unsigned i = 0; i < tdx_leaf_count; i++) {
		if (same_name(name, tdx_leaves[i].name))
			q.leaf = &tdx_leaves[i];
	}
	if (!q.leaf)
		return script_fail(l, name,
				   "no statement and no leaf: see cloister seamcall --help");
	if (!operands(l, &q) || !script_end(l))
		return false;
	q.regs.rax = q.leaf->number;
	look(l, &q, &r->before);
	r->kind = TDX_SCRIPT_CALL;
	r->leaf = q.leaf;
	r->regs = q.regs;
	r->gpa = q.gpa;
	r->shows_regs = tdx_leaf_has_entry(q.leaf) || q.leaf->args == TDX_ARGS_CHUNK ||
			q.leaf->args == TDX_ARGS_LIST || q.leaf->args == TDX_ARGS_PAGE ||
			q.leaf->run == tdx_page_attr_rd || q.leaf->run == tdx_page_attr_wr;
	if (q.leaf->guest) {
		if (!guest_call(l, &q))
			return false;
	} else {
		clo_tdx_seamcall(l->s->m, l->s->lp, &r->regs);
	}
	if (r->regs.rax == 0 && q.new_name && !script_add_td(l, q.new_name, q.regs.rcx))
		return false;
	if (r->regs.rax == 0 && q.leaf->number == CLO_TDH_VP_CREATE && !q.leaf->guest)
		q.td->td.tdvpr = q.regs.rcx;
	if (r->regs.rax == 0 && q.leaf->run == tdx_phymem_reclaim && r->regs.rcx == TDX_PT_TDR)
		forget_locks(l->s, q.regs.rcx);
	look(l, &q, &r->after);
	show_pages(l, &q);
	return true;
}
