/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/conv_holes.c - mail 0: "the shared slot can have a bitmap of mapped pages; holes are not
 * looked through". A page that becomes private becomes a hole of the shared side, and one that
 * becomes shared is filled.
 */
#include "conv_internal.h"

static int set_one(void *arg, const struct clo_slot *slot, struct clo_range gfns)
{
	const bool *mapped = arg;

	clo_slot_set_holes(slot, gfns, *mapped);
	return 0;
}

static void set_gfns(struct clo_vm *vm, struct clo_range gfns, bool mapped)
{
	(void)clo_slots_for_each(vm->slots, 0, gfns, set_one, &mapped);
}

struct follow {
	struct clo_vm *vm;
	bool mapped;
};

static void follow_gfns(void *arg, struct clo_range index, struct clo_range gfns)
{
	const struct follow *f = arg;

	(void)index;
	set_gfns(f->vm, gfns, f->mapped);
}

void conv_holes_follow(struct clo_vm *vm, struct clo_gmem *g, struct clo_attr *attr,
		       struct clo_range pages, bool to_private)
{
	struct follow f = { .vm = vm, .mapped = !to_private };

	for (uint64_t at = pages.start; at < pages.end;) {
		bool is_private;
		struct clo_range run = clo_attr_run(attr, at, pages.end, &is_private);

		at = run.end;
		if (is_private == to_private)
			continue;
		if (g)
			clo_gmem_for_each_gfn(g, run, follow_gfns, &f);
		else
			set_gfns(vm, run, f.mapped);
	}
}
