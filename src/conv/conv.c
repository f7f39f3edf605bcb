/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/conv.c - the public calls: decode and check, find the files behind a gfn range, report where
 * it failed.
 */
#include "conv_internal.h"

#include <errno.h>
#include <string.h>

#define KNOWN_FLAGS (CLO_CONVERT_TO_PRIVATE | CLO_CONVERT_DRY_RUN)

/* Page-aligned, not empty, below 2^64: an end of exactly 2^64 wraps to 0, which KVM refuses too. */
static bool is_range(uint64_t at, uint64_t bytes)
{
	return clo_is_aligned(at | bytes, CLO_PAGE_SIZE) && at + bytes > at;
}

static struct clo_range pages_of(uint64_t at, uint64_t bytes)
{
	return clo_range(at >> CLO_PAGE_SHIFT, (at >> CLO_PAGE_SHIFT) + (bytes >> CLO_PAGE_SHIFT));
}

/* The set of memslots and of listeners does not move under a conversion. */
static void enter(struct clo_vm *vm)
{
	clo_rwlock_rdlock(&vm->dma_lock);
	clo_slots_lock_shared(vm->slots);
}

static void leave(struct clo_vm *vm)
{
	clo_slots_unlock(vm->slots);
	clo_rwlock_unlock(&vm->dma_lock);
}

static void count(struct clo_vm *vm, int ret, uint64_t pages)
{
	if (ret) {
		clo_stat_add(&vm->conversions_failed, 1);
		return;
	}
	clo_stat_add(&vm->conversions, 1);
	clo_stat_add(&vm->converted_pages, pages);
}

struct cover {
	struct conv *c;
	uint64_t next; /* first gfn not covered yet */
	bool strict;
	int ret;
};

/* A part of the range that lies in one memslot. To private it must have a file, and the parts must
 * follow one another. */
static int cover_slot(void *arg, const struct clo_slot *slot, struct clo_range gfns)
{
	struct cover *k = arg;
	struct clo_gmem *g = clo_slot_gmem(slot);
	uint64_t index = clo_slot_index(slot, clo_gfn(gfns.start));

	if (k->strict && (gfns.start != k->next || !g)) {
		k->ret = -ENOENT;
		return 1;
	}
	k->next = gfns.start;
	if (k->c && g)
		k->ret = conv_add_seg(k->c, g, clo_range(index, index + clo_range_len(gfns)));
	if (k->ret)
		return 1;
	k->next = gfns.end;
	return 0;
}

/* Collect the parts of @gfns into @c (may be NULL: only check). -ENOENT: *at is the first gfn
 * without a file. */
static int cover(struct clo_vm *vm, struct conv *c, struct clo_range gfns, bool to_private,
		 uint64_t *at)
{
	struct cover k = { .c = c, .next = gfns.start, .strict = to_private };

	/* RCU: a file that is closed meanwhile stays until conv_add_seg has its reference. */
	clo_rcu_read_lock();
	(void)clo_slots_for_each(vm->slots, 0, gfns, cover_slot, &k);
	clo_rcu_read_unlock();
	if (k.ret == 0 && to_private && k.next != gfns.end)
		k.ret = -ENOENT;
	*at = k.next;
	return k.ret;
}

struct locate {
	uint64_t gfn;
	bool found;
};

static void locate_gfn(void *arg, struct clo_range index, struct clo_range gfns)
{
	struct locate *l = arg;

	(void)index;
	l->gfn = gfns.start;
	l->found = true;
}

/* Where the conversion failed, in the caller's terms. */
static void report_place(const struct conv *c, struct clo_convert *a)
{
	struct locate l = { 0 };

	memcpy(a->holder, c->holder, sizeof(a->holder));
	if (!c->err_gmem)
		return;
	a->error_offset = c->err_index << CLO_PAGE_SHIFT;
	clo_gmem_for_each_gfn(c->err_gmem, clo_range(c->err_index, c->err_index + 1), locate_gfn,
			      &l);
	if (l.found)
		a->error_gpa = l.gfn << CLO_PAGE_SHIFT;
}

static int convert_inplace(struct clo_vm *vm, struct clo_convert *a, struct clo_range gfns)
{
	bool to_private = (a->flags & CLO_CONVERT_TO_PRIVATE) != 0;
	struct conv c;
	uint64_t at;
	int ret;

	conv_init(&c, vm, to_private);
	c.dry_run = (a->flags & CLO_CONVERT_DRY_RUN) != 0;
	c.wait_ns = a->wait_ns;
	c.tell_dma = true;
	enter(vm);
	ret = cover(vm, &c, gfns, to_private, &at);
	if (ret) {
		a->error_gpa = at << CLO_PAGE_SHIFT;
	} else {
		ret = conv_inplace(&c);
		if (ret)
			report_place(&c, a);
	}
	leave(vm);
	if (ret == 0)
		conv_settle(&c);
	conv_release(&c);
	return ret;
}

static int convert_backings(struct clo_vm *vm, struct clo_convert *a, struct clo_range gfns)
{
	bool to_private = (a->flags & CLO_CONVERT_TO_PRIVATE) != 0;
	uint64_t at;
	int ret;

	enter(vm);
	ret = cover(vm, NULL, gfns, to_private, &at);
	if (ret)
		a->error_gpa = at << CLO_PAGE_SHIFT;
	else if (!(a->flags & CLO_CONVERT_DRY_RUN))
		ret = conv_backings(vm, gfns, to_private, true, a->holder, sizeof(a->holder));
	leave(vm);
	return ret;
}

int clo_vm_convert(struct clo_vm *vm, struct clo_convert *c)
{
	struct clo_convert a;
	struct clo_range gfns;
	int ret = clo_struct_in(&a, sizeof(a), c, CLO_CONVERT_SIZE_VER0);

	if (clo_forked(vm->fork_gen))
		return -EIO;
	if (ret)
		return ret;
	a.error_gpa = a.gpa;
	a.error_offset = 0;
	memset(a.holder, 0, sizeof(a.holder));
	if ((a.flags & ~KNOWN_FLAGS) || !is_range(a.gpa, a.bytes) || !vm->trust->has_private_mem)
		return -EINVAL;
	gfns = pages_of(a.gpa, a.bytes);
	ret = vm->attr_owner == CLO_ATTR_OWNER_GMEM ? convert_inplace(vm, &a, gfns)
						    : convert_backings(vm, &a, gfns);
	if (!(a.flags & CLO_CONVERT_DRY_RUN))
		count(vm, ret, clo_range_len(gfns));
	if (ret && clo_struct_out(c, &a, sizeof(a), CLO_CONVERT_SIZE_VER0))
		return -EINVAL; /* another thread changed it meanwhile */
	return ret;
}

int clo_gmem_set_attributes(struct clo_gmem *gmem, uint64_t off, uint64_t bytes,
			    uint64_t attributes, uint64_t *error_offset)
{
	struct clo_vm *vm = clo_gmem_vm(gmem);
	bool to_private = attributes == CLO_ATTR_PRIVATE;
	struct conv c;
	int ret;

	if (clo_forked(vm->fork_gen))
		return -EIO;
	if (vm->attr_owner != CLO_ATTR_OWNER_GMEM)
		return -ENOTTY;
	if ((attributes & ~CLO_ATTR_PRIVATE) || !vm->trust->has_private_mem ||
	    !is_range(off, bytes) || off + bytes > clo_gmem_size(gmem))
		return -EINVAL;
	conv_init(&c, vm, to_private);
	enter(vm);
	ret = conv_add_seg(&c, gmem, pages_of(off, bytes));
	if (ret == 0)
		ret = conv_inplace(&c);
	leave(vm);
	if (ret == 0)
		conv_settle(&c);
	if (ret && error_offset)
		*error_offset = c.err_gmem ? c.err_index << CLO_PAGE_SHIFT : off;
	conv_release(&c);
	count(vm, ret, bytes >> CLO_PAGE_SHIFT);
	return ret;
}

int clo_vm_set_attributes(struct clo_vm *vm, uint64_t gpa, uint64_t bytes, uint64_t attributes)
{
	int ret;

	if (clo_forked(vm->fork_gen))
		return -EIO;
	if (vm->attr_owner != CLO_ATTR_OWNER_VM)
		return -ENOTTY;
	/* KVM: attributes, then wrap and emptiness, then alignment; all are EINVAL. */
	if ((attributes & ~CLO_ATTR_PRIVATE) || (attributes && !vm->trust->has_private_mem) ||
	    !is_range(gpa, bytes))
		return -EINVAL;
	enter(vm);
	ret = conv_backings(vm, pages_of(gpa, bytes), attributes == CLO_ATTR_PRIVATE, false, NULL,
			    0);
	leave(vm);
	count(vm, ret, bytes >> CLO_PAGE_SHIFT);
	return ret;
}

/* The file owns the attribute: a run ends with the memslot; what has no file is shared. */
static struct clo_range gmem_run(struct clo_vm *vm, struct clo_range gfns, bool *is_private)
{
	const struct clo_slot *slot = clo_slots_find(vm->slots, 0, clo_gfn(gfns.start));
	struct clo_gmem *g = slot ? clo_slot_gmem(slot) : NULL;
	uint64_t index, end = gfns.end;
	struct clo_range run;

	*is_private = false;
	if (slot)
		end = end < slot->gfns.end ? end : slot->gfns.end;
	else
		end = gfns.start + 1;
	if (!g)
		return clo_range(gfns.start, end);
	index = clo_slot_index(slot, clo_gfn(gfns.start));
	run = clo_attr_run(clo_gmem_attr(g), index, index + (end - gfns.start), is_private);
	/* To a guest without private memory nothing is. */
	*is_private = *is_private && vm->trust->has_private_mem;
	return clo_range(gfns.start, gfns.start + clo_range_len(run));
}

int clo_vm_get_attributes(struct clo_vm *vm, uint64_t gpa, uint64_t bytes, uint64_t *attributes,
			  uint64_t *bytes_same)
{
	struct clo_range gfns, run;
	bool is_private = false;

	if (clo_forked(vm->fork_gen))
		return -EIO;
	if (!is_range(gpa, bytes))
		return -EINVAL;
	gfns = pages_of(gpa, bytes);
	clo_rcu_read_lock();
	if (vm->attr_owner == CLO_ATTR_OWNER_VM)
		run = clo_attr_run(vm->attr, gfns.start, gfns.end, &is_private);
	else
		run = gmem_run(vm, gfns, &is_private);
	clo_rcu_read_unlock();
	*attributes = is_private ? CLO_ATTR_PRIVATE : 0;
	*bytes_same = clo_range_len(run) << CLO_PAGE_SHIFT;
	return 0;
}
