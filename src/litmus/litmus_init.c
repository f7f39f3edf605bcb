/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/litmus_init.c - the initial state in braces: declarations, then operations.
 */
#include "litmus_internal.h"

#include <string.h>

#include "trust/trust.h"

#define BYTES_MAX (1ULL << 62)

static const struct clo_lit_word vm_options[] = {
	{ "owner", 0, 0, NULL },     { "typed", 0, 1, NULL },
	{ "hypercall", 0, 2, NULL }, { "convert_on_hypercall", 0, 3, NULL },
	{ "max_level", 0, 4, NULL }, { NULL, 0, 0, NULL },
};

static const struct clo_lit_word owners[] = {
	{ "gmem", 0, CLO_ATTR_OWNER_GMEM, NULL },
	{ "vm", 0, CLO_ATTR_OWNER_VM, NULL },
	{ NULL, 0, 0, NULL },
};

static const struct clo_lit_word slot_options[] = {
	{ "gmem", 0, 0, NULL },
	{ "absent", 0, 1, NULL },
	{ "readonly", 0, 2, NULL },
	{ NULL, 0, 0, NULL },
};

/* More of something than the program has room for? */
static bool has_room(struct clo_lit *l, unsigned count, unsigned max, const char *what)
{
	if (count < max)
		return true;
	return clo_lit_fail(l, NULL, "more than %u %s", max, what);
}

/* N pages, or 4K, 2M, ... */
static bool parse_size(struct clo_lit *l, uint64_t *npages)
{
	struct clo_lit_place at = l->at;
	uint64_t n;

	if (!clo_lit_number(l, "a size (N pages, or 64K, 2M, 1G)", BYTES_MAX, &n))
		return false;
	if (clo_lit_accept_word(l, "pages") || clo_lit_accept_word(l, "page")) {
		*npages = n;
	} else {
		if (!clo_is_aligned(n, CLO_PAGE_SIZE)) {
			struct clo_lit_suggest s = { 0 };

			if (l->token == T_WORD)
				clo_lit_suggest(l, &s, "pages");
			clo_lit_fail_at(l, at, "N pages, or bytes as 64K, 2M, 1G",
					"no multiple of 4K");
			clo_lit_suggest_done(l, &s);
			return false;
		}
		*npages = n >> CLO_PAGE_SHIFT;
	}
	if (*npages == 0 || *npages >= CLO_LITMUS_PAGE_END >> 1)
		return clo_lit_fail_at(l, at, "at least one page, less than 2^51",
				       "the size is out of range");
	return !l->failed;
}

/* One of 4K, 2M, 1G as 0, 9, 18. */
static bool parse_order(struct clo_lit *l, unsigned *order)
{
	for (*order = 0; *order <= 18; *order += 9) {
		if (l->token == T_NUMBER && l->number == CLO_PAGE_SIZE << *order) {
			clo_lit_next(l);
			return !l->failed;
		}
	}
	return clo_lit_fail(l, "4K, 2M or 1G", "unexpected '%s'", clo_lit_show(l).text);
}

static bool parse_host(struct clo_lit *l)
{
	const struct clo_lit_word *view;

	if (!parse_size(l, &l->p->host_pages))
		return false;
	if (!clo_lit_accept_word(l, "view"))
		return !l->failed;
	if (!clo_lit_word(l, "a host view", clo_lit_views, &view))
		return false;
	l->p->host_view = (uint32_t)view->code;
	return true;
}

static bool parse_vm_option(struct clo_lit *l, struct clo_litmus_vm *vm)
{
	const struct clo_lit_word *option;
	const struct clo_lit_word *owner;
	unsigned order;

	if (!clo_lit_word(l, "an option of the VM", vm_options, &option))
		return false;
	switch (option->code) {
	case 0:
		if (!clo_lit_word(l, "the attribute's owner", owners, &owner))
			return false;
		vm->attr_owner = (uint32_t)owner->code;
		break;
	case 1:
		vm->flags |= CLO_VM_TYPED_ACCESS;
		break;
	case 2:
		vm->exit_hypercall = 1;
		break;
	case 3:
		vm->flags |= CLO_VM_CONVERT_ON_HYPERCALL;
		break;
	default:
		if (!parse_order(l, &order))
			return false;
		vm->max_level = order / 9 + 1;
	}
	return true;
}

static bool parse_vm(struct clo_lit *l)
{
	struct clo_litmus *p = l->p;
	struct clo_litmus_vm *vm = &p->vms[p->vm_count];
	struct clo_lit_place at;

	if (!has_room(l, p->vm_count, CLO_LITMUS_VMS, "VMs"))
		return false;
	if (p->gmem_count || p->slot_count || p->listener_count)
		return clo_lit_fail(l, NULL, "VMs are declared before what belongs to them");
	if (!clo_lit_new_name(l, "a name for the VM", p->vms, sizeof(*vm), p->vm_count, vm->name))
		return false;
	vm->type = p->type;
	vm->attr_owner = CLO_ATTR_OWNER_GMEM;
	at = l->at;
	if (l->token == T_WORD && !clo_lit_find_word(l, vm_options) && !clo_lit_type(l, &vm->type))
		return false;
	while (l->token != ';' && l->token != '}') {
		if (!parse_vm_option(l, vm))
			return false;
	}
	if ((vm->flags & CLO_VM_TYPED_ACCESS) && !clo_trust_find(vm->type)->may_type_access)
		return clo_lit_fail_at(l, at, "a type with private memory",
				       "accesses of a %s VM cannot be typed",
				       clo_trust_find(vm->type)->name);
	p->vm_count++;
	return true;
}

/* Where no VM is declared there is one, of the file's type. */
static void imply_vm(struct clo_litmus *p)
{
	if (p->vm_count > 0)
		return;
	snprintf(p->vms[0].name, sizeof(p->vms[0].name), "a");
	p->vms[0].type = p->type;
	p->vms[0].attr_owner = CLO_ATTR_OWNER_GMEM;
	p->vm_count = 1;
}

static bool parse_gmem_options(struct clo_lit *l, struct clo_litmus_gmem *g)
{
	bool no_mmap = false;
	bool given;
	uint8_t vm = 0;

	while (l->token == T_WORD) {
		const struct clo_lit_word *flag;

		if (clo_lit_accept_word(l, "nommap")) {
			no_mmap = true;
		} else if (clo_lit_accept_word(l, "huge")) {
			g->flags |= CLO_GMEM_HUGETLB;
			if (!parse_order(l, &g->page_order))
				return false;
		} else if (clo_lit_word(l, "a flag of the file, nommap or huge", clo_lit_gmem_flags,
					&flag)) {
			g->flags |= 1ULL << flag->code;
		} else {
			return false;
		}
	}
	if (!clo_lit_vm_suffix(l, &vm, &given))
		return false;
	g->vm = vm;
	/* In place, the host's way to the shared pages is the file itself. */
	if (l->p->vms[vm].attr_owner == CLO_ATTR_OWNER_GMEM && !no_mmap)
		g->flags |= CLO_GMEM_MMAP;
	return !l->failed;
}

static bool parse_gmem(struct clo_lit *l)
{
	struct clo_litmus *p = l->p;
	struct clo_litmus_gmem *g = &p->gmems[p->gmem_count];

	if (!has_room(l, p->gmem_count, CLO_LITMUS_GMEMS, "files"))
		return false;
	imply_vm(p);
	if (l->token == T_WORD || p->gmem_count > 0) {
		if (!clo_lit_new_name(l, "a name for the file", p->gmems, sizeof(*g), p->gmem_count,
				      g->name))
			return false;
	} else {
		snprintf(g->name, sizeof(g->name), "mem");
	}
	if (!parse_size(l, &g->npages) || !parse_gmem_options(l, g))
		return false;
	p->gmem_count++;
	return true;
}

static bool parse_slot_file(struct clo_lit *l, struct clo_litmus_slot *s)
{
	struct clo_litmus *p = l->p;

	if (!clo_lit_name(l, "a file", p->gmems, sizeof(p->gmems[0]), p->gmem_count, &s->gmem))
		return false;
	return !clo_lit_accept_word(l, "at") || clo_lit_page(l, &s->gmem_page);
}

static bool parse_slot_options(struct clo_lit *l, struct clo_litmus_slot *s)
{
	bool given;

	while (l->token == T_WORD) {
		const struct clo_lit_word *option;

		if (!clo_lit_word(l, "an option of the memslot", slot_options, &option))
			return false;
		switch (option->code) {
		case 0:
			if (!parse_slot_file(l, s))
				return false;
			break;
		case 1:
			s->absent = 1;
			break;
		default:
			s->flags |= CLO_MEM_READONLY;
		}
	}
	return clo_lit_vm_suffix(l, &s->vm, &given);
}

/* slot NAME ID PAGE+N [gmem FILE [at PAGE]] [absent] ... */
static bool parse_slot(struct clo_lit *l)
{
	struct clo_litmus *p = l->p;
	struct clo_litmus_slot *s = &p->slots[p->slot_count];
	uint64_t id;

	if (!has_room(l, p->slot_count, CLO_LITMUS_SLOTS, "memslots"))
		return false;
	imply_vm(p);
	s->gmem = CLO_LITMUS_NONE;
	if (!clo_lit_new_name(l, "a name for the memslot", p->slots, sizeof(*s), p->slot_count,
			      s->name) ||
	    !clo_lit_number(l, "a memslot number", UINT32_MAX, &id) ||
	    !clo_lit_range(l, &s->gfn, &s->npages) || !parse_slot_options(l, s))
		return false;
	s->id = (uint32_t)id;
	p->slot_count++;
	return true;
}

static bool parse_listener(struct clo_lit *l)
{
	struct clo_litmus *p = l->p;
	struct clo_litmus_listener *d = &p->listeners[p->listener_count];
	bool given;
	uint8_t vm = 0;

	if (!has_room(l, p->listener_count, CLO_LITMUS_LISTENERS, "listeners"))
		return false;
	imply_vm(p);
	if (!clo_lit_new_name(l, "a name for the listener", p->listeners, sizeof(*d),
			      p->listener_count, d->name))
		return false;
	d->pins = clo_lit_accept_word(l, "pins");
	if (!clo_lit_vm_suffix(l, &vm, &given))
		return false;
	d->vm = vm;
	p->listener_count++;
	return !l->failed;
}

/* Where no memslot is declared, the first file of each VM is its memory from page 0 on. */
static void finish_declarations(struct clo_lit *l)
{
	struct clo_litmus *p = l->p;
	bool has_slots = p->slot_count > 0;

	l->declared = true;
	imply_vm(p);
	for (unsigned vm = 0; vm < p->vm_count && !has_slots; vm++) {
		unsigned g = 0;

		while (g < p->gmem_count && p->gmems[g].vm != vm)
			g++;
		if (g < p->gmem_count) {
			struct clo_litmus_slot *s = &p->slots[p->slot_count];

			snprintf(s->name, sizeof(s->name), "slot%u", p->slot_count++);
			s->npages = p->gmems[g].npages;
			s->gmem = (uint8_t)g;
			s->vm = (uint8_t)vm;
		}
	}
}

static const struct {
	const char *word;
	bool (*parse)(struct clo_lit *l);
} declarations[] = {
	{ "host", parse_host },         { "vm", parse_vm },
	{ "gmem", parse_gmem },         { "slot", parse_slot },
	{ "listener", parse_listener },
};

static bool parse_statement(struct clo_lit *l)
{
	struct clo_litmus_thread *prologue = &l->p->threads[CLO_LITMUS_PROLOGUE];

	for (size_t i = 0; i < CLO_ARRAY_SIZE(declarations); i++) {
		if (!clo_lit_is(l, declarations[i].word))
			continue;
		if (l->declared)
			return clo_lit_fail(l, NULL, "declarations come before operations");
		clo_lit_next(l);
		return declarations[i].parse(l);
	}
	if (!l->declared)
		finish_declarations(l);
	return clo_lit_parse_step(l, prologue, prologue->op_count, true);
}

bool clo_lit_parse_init(struct clo_lit *l)
{
	if (!clo_lit_expect(l, '{', "'{' and the initial state"))
		return false;
	while (!clo_lit_accept(l, '}')) {
		if (clo_lit_accept(l, ';'))
			continue;
		if (l->token == T_END)
			return clo_lit_fail(l, "'}'", "the initial state is not closed");
		if (!parse_statement(l))
			return false;
		if (l->token != '}' && !clo_lit_expect(l, ';', "';' after the statement"))
			return false;
	}
	if (!l->declared)
		finish_declarations(l);
	return !l->failed;
}
