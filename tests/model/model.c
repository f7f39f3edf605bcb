/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model/model.c - what each call should do, written as plainly as possible and without a look at
 * the engine's code.
 */
#include "model.h"

#include <errno.h>
#include <string.h>

#define SMALL_PAGES 64U
#define HUGE_BLOCK  512U

void model_config_decode(const uint8_t *head, unsigned vm, struct model_config *cfg)
{
	uint8_t b = head[vm];

	*cfg = (struct model_config){
		.owner_gmem = b & 1,
		.typed = b & 2,
		.mmap = b & 4,
		.zero = b & 8,
		.hugetlb = (head[2] & 1) && (b & 16),
		.nodirect = b & 32,
		.swapped = b & 64,
		.is_default = b >= 0xe8,
	};
	if (cfg->is_default) {
		cfg->typed = cfg->zero = cfg->nodirect = cfg->owner_gmem = false;
		cfg->mmap = true;
	}
	cfg->init_shared = !cfg->hugetlb && (b & 128) && (cfg->owner_gmem || cfg->is_default);
}

void model_op_decode(const uint8_t *b, const struct model_vm *vms, struct model_op *op)
{
	const struct model_vm *m;

	op->code = (enum model_code)(b[0] % MODEL_CODES);
	op->vm = b[1] & 1;
	op->is_private = b[1] & 2;
	op->n = ((unsigned)b[1] >> 2) % MODEL_PINS;
	m = &vms[op->vm];
	op->page = (b[2] | (unsigned)b[3] << 8) % (m->pages + 4);
	op->count = 1 + b[4] % 16U;
	/* Folios are only met by aligned ranges. */
	if (m->block > 1 && (b[1] & 64)) {
		op->page = op->page / m->block * m->block;
		op->count = m->block * (1 + b[4] % 2U);
	} else if (b[1] & 32) {
		op->count = 1;
	}
	op->value = 0x0101010101010101ULL * b[5] ^ ((uint64_t)b[6] << 32 | b[7]);
}

void model_vm_init(struct model_vm *m, const struct model_config *cfg)
{
	memset(m, 0, sizeof(*m));
	m->cfg = *cfg;
	m->block = cfg->hugetlb ? HUGE_BLOCK : 1;
	m->pages = cfg->hugetlb ? 4 * HUGE_BLOCK : SMALL_PAGES;
	if (cfg->owner_gmem && !cfg->init_shared)
		memset(m->attr, 1, sizeof(m->attr));
	m->slot[0].first = 0;
	m->slot[1].first = m->pages / 2;
	m->slot[0].index = cfg->swapped ? m->pages / 2 : 0;
	m->slot[1].index = cfg->swapped ? 0 : m->pages / 2;
}

bool model_gmem_only(const struct model_vm *m)
{
	return m->cfg.mmap;
}

static struct model_slot *slot_of(struct model_vm *m, unsigned page)
{
	for (unsigned i = 0; i < MODEL_SLOTS; i++) {
		struct model_slot *s = &m->slot[i];

		if (s->exists && page >= s->first && page < s->first + m->pages / 2)
			return s;
	}
	return NULL;
}

static unsigned index_of(const struct model_slot *s, unsigned page)
{
	return s->index + (page - s->first);
}

/* The gfn page that shows file page @index, or NULL. */
static struct model_slot *slot_of_index(struct model_vm *m, unsigned index, unsigned *page)
{
	for (unsigned i = 0; i < MODEL_SLOTS; i++) {
		struct model_slot *s = &m->slot[i];

		if (s->exists && index >= s->index && index < s->index + m->pages / 2) {
			*page = s->first + (index - s->index);
			return s;
		}
	}
	return NULL;
}

static bool attr_at(struct model_vm *m, unsigned page)
{
	const struct model_slot *s = slot_of(m, page);

	if (m->cfg.is_default)
		return false;
	if (!m->cfg.owner_gmem)
		return m->attr[page];
	return s && m->attr[index_of(s, page)];
}

static struct model_result memory_fault(int err, int cause)
{
	return (struct model_result){ .ret = err, .reason = CLO_EXIT_MEMORY_FAULT, .cause = cause };
}

static struct model_result mmio(int cause)
{
	return (struct model_result){ .ret = 1, .reason = CLO_EXIT_MMIO, .cause = cause };
}

/* Where an access of kind @is_private ends: NULL and *r, or the content's place. */
static uint64_t *resolve(struct model_vm *m, unsigned page, bool is_private, struct model_result *r)
{
	struct model_slot *s = slot_of(m, page);

	*r = (struct model_result){ 0 };
	if (!s && is_private)
		*r = memory_fault(-EFAULT, CLO_CAUSE_NO_SLOT);
	else if (is_private != attr_at(m, page))
		*r = memory_fault(-EFAULT, CLO_CAUSE_MISMATCH);
	else if (!s)
		*r = mmio(CLO_CAUSE_NO_SLOT);
	else if (!is_private && s->hole[page - s->first])
		*r = mmio(CLO_CAUSE_HOLE);
	else
		return is_private || model_gmem_only(m) ? &m->file[index_of(s, page)]
							: &m->user[page];
	return NULL;
}

static struct model_result guest_access(struct model_vm *m, const struct model_op *op,
					bool is_write)
{
	bool kind = m->cfg.typed ? op->is_private : attr_at(m, op->page);
	struct model_result r;
	uint64_t *at = resolve(m, op->page, kind, &r);

	if (at && is_write)
		*at = op->value;
	if (at)
		r.value = *at;
	return r;
}

static struct model_result prefault(struct model_vm *m, const struct model_op *op)
{
	struct model_result r;

	/* The first page decides; more is a bonus. */
	if (!resolve(m, op->page, attr_at(m, op->page), &r)) {
		if (r.ret == 1)
			r.ret = -ENOENT;
		return (struct model_result){ .ret = r.ret };
	}
	return (struct model_result){ 0 };
}

static struct model_result host_access(struct model_vm *m, const struct model_op *op, bool is_write)
{
	if (!m->cfg.mmap)
		return (struct model_result){ .ret = -ENODEV };
	/* A file without a private/shared owner of its own keeps its first kind. */
	if (op->page >= m->pages || (m->cfg.owner_gmem ? m->attr[op->page] : !m->cfg.init_shared))
		return (struct model_result){ .ret = -EFAULT };
	if (is_write)
		m->file[op->page] = op->value;
	return (struct model_result){ .value = m->file[op->page] };
}

static void hole_follows(struct model_vm *m, unsigned page, bool is_private)
{
	struct model_slot *s = slot_of(m, page);

	if (s && s->track)
		s->hole[page - s->first] = is_private;
}

/* In place: file pages marked in @in. Pages of the right kind already are left alone. */
static struct model_result convert_file(struct model_vm *m, const uint8_t *in, bool to_private)
{
	for (unsigned i = 0; i < m->pages && to_private; i++) {
		if (in[i] && !m->attr[i] && m->pins[i])
			return (struct model_result){ .ret = -EAGAIN, .where = (uint64_t)i * 4096 };
	}
	for (unsigned i = 0; i < m->pages; i++) {
		unsigned page;

		if (!in[i] || m->attr[i] == to_private)
			continue;
		m->attr[i] = to_private;
		if (m->cfg.zero)
			m->file[i] = 0;
		if (slot_of_index(m, i, &page))
			hole_follows(m, page, to_private);
	}
	return (struct model_result){ 0 };
}

static void set_attr_vm(struct model_vm *m, unsigned page, unsigned count, bool to_private)
{
	for (unsigned p = page; p < page + count; p++) {
		if (m->attr[p] != to_private)
			hole_follows(m, p, to_private);
		m->attr[p] = to_private;
	}
}

static struct model_result set_attr(struct model_vm *m, const struct model_op *op)
{
	uint8_t in[MODEL_MAX_PAGES] = { 0 };

	if (op->is_private && m->cfg.is_default)
		return (struct model_result){ .ret = -EINVAL };
	if (!m->cfg.owner_gmem) {
		set_attr_vm(m, op->page, op->count, op->is_private);
		return (struct model_result){ 0 };
	}
	if (op->page + op->count > m->pages)
		return (struct model_result){ .ret = -EINVAL };
	memset(in + op->page, 1, op->count);
	return convert_file(m, in, op->is_private);
}

/* The other side of pages [page, page + count) of one slot goes. */
static void free_other(struct model_vm *m, const struct model_slot *s, unsigned page,
		       unsigned count, bool to_private)
{
	unsigned first = page - s->first, last = first + count;

	if (model_gmem_only(m))
		return;
	if (to_private) {
		memset(&m->user[page], 0, count * sizeof(m->user[0]));
		return;
	}
	/* Folios of which no page is private. */
	for (unsigned b = first / m->block * m->block; b < last; b += m->block) {
		bool any_private = false;

		for (unsigned i = 0; i < m->block; i++)
			any_private |= m->attr[s->first + b + i];
		if (!any_private)
			memset(&m->file[s->index + b], 0, m->block * sizeof(m->file[0]));
	}
}

static struct model_result convert(struct model_vm *m, const struct model_op *op)
{
	uint8_t in[MODEL_MAX_PAGES] = { 0 };
	bool same = true;

	if (m->cfg.is_default)
		return (struct model_result){ .ret = -EINVAL };
	for (unsigned p = op->page; p < op->page + op->count; p++) {
		const struct model_slot *s = slot_of(m, p);

		if (s)
			in[index_of(s, p)] = 1;
		else if (op->is_private)
			return (struct model_result){ .ret = -ENOENT,
						      .where = (MODEL_GFN + (uint64_t)p) * 4096 };
	}
	if (m->cfg.owner_gmem) {
		struct model_result r = convert_file(m, in, op->is_private);
		unsigned page;

		/* The call speaks of guest addresses. */
		if (r.ret && slot_of_index(m, (unsigned)(r.where / 4096), &page))
			r.where = (MODEL_GFN + (uint64_t)page) * 4096;
		return r;
	}
	for (unsigned p = op->page; p < op->page + op->count; p++)
		same &= m->attr[p] == op->is_private;
	if (same)
		return (struct model_result){ 0 };
	/* What becomes private is new, whatever the file has kept. */
	for (unsigned p = op->page; p < op->page + op->count; p++) {
		const struct model_slot *s = slot_of(m, p);

		if (s && op->is_private && !m->attr[p] && !model_gmem_only(m))
			m->file[index_of(s, p)] = 0;
	}
	set_attr_vm(m, op->page, op->count, op->is_private);
	for (unsigned i = 0; i < MODEL_SLOTS; i++) {
		const struct model_slot *s = &m->slot[i];
		unsigned start = op->page > s->first ? op->page : s->first;
		unsigned end = op->page + op->count < s->first + m->pages / 2
				       ? op->page + op->count
				       : s->first + m->pages / 2;

		if (s->exists && start < end)
			free_other(m, s, start, end - start, op->is_private);
	}
	return (struct model_result){ 0 };
}

static struct model_result get_attr(struct model_vm *m, const struct model_op *op)
{
	const struct model_slot *s = slot_of(m, op->page);
	unsigned run = 1;
	bool kind = attr_at(m, op->page);

	if (m->cfg.is_default || (m->cfg.owner_gmem && !s)) {
		if (m->cfg.owner_gmem)
			return (struct model_result){ .where = 4096 };
		return (struct model_result){ .where = (uint64_t)op->count * 4096 };
	}
	while (run < op->count && attr_at(m, op->page + run) == kind &&
	       (!m->cfg.owner_gmem || slot_of(m, op->page + run) == s))
		run++;
	return (struct model_result){ .value = kind ? CLO_ATTR_PRIVATE : 0,
				      .where = (uint64_t)run * 4096 };
}

static struct model_result fallocate_call(struct model_vm *m, const struct model_op *op)
{
	unsigned end = op->page + op->count;

	if (op->page % m->block || op->count % m->block ||
	    (op->code == MODEL_ALLOC && end > m->pages))
		return (struct model_result){ .ret = -EINVAL };
	if (op->code == MODEL_ALLOC)
		return (struct model_result){ 0 };
	for (unsigned i = op->page; i < end && i < m->pages; i++) {
		if (m->block > 1 && m->pins[i])
			return (struct model_result){ .ret = -EAGAIN };
	}
	for (unsigned i = op->page; i < end && i < m->pages; i++)
		m->file[i] = 0;
	return (struct model_result){ 0 };
}

static struct model_result pin(struct model_vm *m, const struct model_op *op)
{
	struct model_pin *p = &m->pin[op->n];

	if (p->used)
		return (struct model_result){ 0 };
	if (op->page + op->count > m->pages)
		return (struct model_result){ .ret = -EINVAL };
	for (unsigned i = op->page; i < op->page + op->count; i++) {
		if (m->cfg.owner_gmem ? m->attr[i] : !m->cfg.init_shared)
			return (struct model_result){ .ret = -EFAULT, .where = (uint64_t)i * 4096 };
	}
	*p = (struct model_pin){ .used = true, .page = op->page, .count = op->count };
	for (unsigned i = op->page; i < op->page + op->count; i++)
		m->pins[i]++;
	return (struct model_result){ 0 };
}

static struct model_result unpin(struct model_vm *m, const struct model_op *op)
{
	struct model_pin *p = &m->pin[op->n];

	for (unsigned i = p->page; p->used && i < p->page + p->count; i++)
		m->pins[i]--;
	p->used = false;
	return (struct model_result){ 0 };
}

static struct model_result slot_change(struct model_vm *m, const struct model_op *op, bool add)
{
	struct model_slot *s = &m->slot[op->n % MODEL_SLOTS];

	if (s->exists == add)
		return (struct model_result){ .ret = -EINVAL };
	s->exists = add;
	s->track = false;
	memset(s->hole, 0, sizeof(s->hole));
	return (struct model_result){ 0 };
}

static struct model_result holes(struct model_vm *m, const struct model_op *op)
{
	struct model_slot *s = &m->slot[op->n % MODEL_SLOTS];

	if (!s->exists)
		return (struct model_result){ .ret = -ENOENT };
	if (op->page < s->first || op->page + op->count > s->first + m->pages / 2)
		return (struct model_result){ .ret = -EINVAL };
	s->track = true;
	memset(s->hole + (op->page - s->first), !op->is_private, op->count);
	return (struct model_result){ 0 };
}

struct model_result model_apply(struct model_vm *m, const struct model_op *op)
{
	switch (op->code) {
	case MODEL_LOAD:
	case MODEL_STORE:
		return guest_access(m, op, op->code == MODEL_STORE);
	case MODEL_CONVERT:
		return convert(m, op);
	case MODEL_SET_ATTR:
		return set_attr(m, op);
	case MODEL_GET_ATTR:
		return get_attr(m, op);
	case MODEL_PUNCH:
	case MODEL_ALLOC:
		return fallocate_call(m, op);
	case MODEL_HOST_LOAD:
	case MODEL_HOST_STORE:
		return host_access(m, op, op->code == MODEL_HOST_STORE);
	case MODEL_PIN:
		return pin(m, op);
	case MODEL_UNPIN:
		return unpin(m, op);
	case MODEL_SLOT_ADD:
	case MODEL_SLOT_DEL:
		return slot_change(m, op, op->code == MODEL_SLOT_ADD);
	case MODEL_PREFAULT:
		return prefault(m, op);
	case MODEL_HOLES:
		return holes(m, op);
	case MODEL_CODES:
		break;
	}
	return (struct model_result){ 0 };
}
