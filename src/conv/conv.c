/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/conv.c - the public calls: decode and check, wait for pins, report where it failed.
 */
#include "conv_internal.h"

#include <errno.h>
#include <string.h>

#define KNOWN_FLAGS (CLO_CONVERT_TO_PRIVATE | CLO_CONVERT_DRY_RUN)

static struct clo_range pages_of(uint64_t at, uint64_t bytes)
{
	return clo_range(at >> CLO_PAGE_SHIFT, (at >> CLO_PAGE_SHIFT) + (bytes >> CLO_PAGE_SHIFT));
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

/* Where the conversion failed, in the caller's terms. */
static void report_place(const struct conv *c, struct clo_convert *a)
{
	memcpy(a->holder, c->holder, sizeof(a->holder));
	a->error_offset = c->err_gmem ? c->err_index << CLO_PAGE_SHIFT : 0;
	a->error_gpa = c->err_gfn != UINT64_MAX ? c->err_gfn << CLO_PAGE_SHIFT : a->gpa;
}

static int convert_once(struct conv *c)
{
	int ret;

	if (c->vm->attr_owner != CLO_ATTR_OWNER_GMEM)
		return conv_backings(c);
	ret = conv_inplace(c);
	if (ret == 0)
		conv_settle(c);
	return ret;
}

/*
 * Nothing is held while waiting for a pin: not the pages, whose other users go on, nor what keeps
 * memslots and listeners. So a conversion that may wait starts over, from the look at the memslots.
 */
static int convert(struct clo_vm *vm, struct clo_convert *a, struct clo_range gfns)
{
	uint64_t now = a->wait_ns ? clo_now_ns() : 0;
	/* UINT64_MAX and the like: for ever. */
	uint64_t deadline = a->wait_ns < UINT64_MAX - now ? now + a->wait_ns : UINT64_MAX;

	for (;;) {
		struct clo_gmem *blamed;
		struct conv c;
		bool again;
		int ret;

		conv_init(&c, vm, (a->flags & CLO_CONVERT_TO_PRIVATE) != 0);
		c.dry_run = (a->flags & CLO_CONVERT_DRY_RUN) != 0;
		c.tell_dma = true;
		c.by_gfn = true;
		c.gfns = gfns;
		ret = convert_once(&c);
		if (ret)
			report_place(&c, a);
		blamed = c.is_pinned && a->wait_ns ? c.err_gmem : NULL;
		if (blamed)
			clo_gmem_get(blamed);
		conv_release(&c);
		if (!blamed)
			return ret;
		again = clo_gmem_wait_blamed(blamed, c.ticket, deadline);
		clo_gmem_put(blamed);
		if (!again)
			return ret;
	}
}

static int check_convert(const struct clo_vm *vm, const struct clo_convert *a)
{
	int ret;

	if (a->flags & ~KNOWN_FLAGS)
		return clo_fail(-EINVAL, CLO_REASON_FLAGS, "clo_convert.flags");
	ret = clo_check_range(a->gpa, "clo_convert.gpa", a->bytes, "clo_convert.bytes");
	if (ret)
		return ret;
	if (!vm->trust->has_private_mem)
		return clo_fail(-EINVAL, CLO_REASON_NO_PRIVATE, "vm");
	return 0;
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
	ret = check_convert(vm, &a);
	if (ret)
		return ret;
	gfns = pages_of(a.gpa, a.bytes);
	ret = convert(vm, &a, gfns);
	if (!(a.flags & CLO_CONVERT_DRY_RUN))
		count(vm, ret, clo_range_len(gfns));
	if (ret && clo_struct_out(c, &a, sizeof(a), CLO_CONVERT_SIZE_VER0))
		return clo_fail(-EINVAL, CLO_REASON_CHANGED, "size");
	return ret;
}

/* KVM: attributes, then wrap and emptiness, then alignment; all are EINVAL. */
static int check_attributes(uint64_t attributes, bool no_private, uint64_t at, const char *at_name,
			    uint64_t bytes)
{
	if (attributes & ~CLO_ATTR_PRIVATE)
		return clo_fail(-EINVAL, CLO_REASON_FLAGS, "attributes");
	if (no_private)
		return clo_fail(-EINVAL, CLO_REASON_NO_PRIVATE, "attributes");
	return clo_check_range(at, at_name, bytes, "bytes");
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
	ret = check_attributes(attributes, !vm->trust->has_private_mem, off, "off", bytes);
	if (ret)
		return ret;
	if (off + bytes > clo_gmem_size(gmem))
		return clo_fail(-EINVAL, CLO_REASON_BOUNDS, "bytes");
	conv_init(&c, vm, to_private);
	ret = conv_add_seg(&c, gmem, pages_of(off, bytes));
	if (ret == 0)
		ret = conv_inplace(&c);
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
	struct conv c;
	int ret;

	if (clo_forked(vm->fork_gen))
		return -EIO;
	if (vm->attr_owner != CLO_ATTR_OWNER_VM)
		return -ENOTTY;
	ret = check_attributes(attributes, attributes && !vm->trust->has_private_mem, gpa, "gpa",
			       bytes);
	if (ret)
		return ret;
	conv_init(&c, vm, attributes == CLO_ATTR_PRIVATE);
	c.gfns = pages_of(gpa, bytes);
	ret = conv_backings(&c);
	conv_release(&c);
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
	int ret;

	if (clo_forked(vm->fork_gen))
		return -EIO;
	ret = clo_check_range(gpa, "gpa", bytes, "bytes");
	if (ret)
		return ret;
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
