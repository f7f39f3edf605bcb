/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/report.c - the leak report: pages backed twice, pins left, frames lost (facts/users.md 1.6,
 * wishes 3 and 4).
 */
#include "vm_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK_PAGES 512U

struct report_walk {
	struct clo_vm *vm;
	struct clo_leak_report *out;
};

/* Add @npages at @gfn to the list; runs of the same kind and holder that touch are one entry. */
static void add_leak(struct clo_leak_report *out, uint64_t gfn, const char *what,
		     const char *holder)
{
	struct clo_leak *last = out->leak_count ? &out->leaks[out->leak_count - 1] : NULL;

	if (last && last->what == what && strcmp(last->holder, holder) == 0 &&
	    last->gpa + (last->npages << CLO_PAGE_SHIFT) == gfn << CLO_PAGE_SHIFT) {
		last->npages++;
		return;
	}
	if (out->leak_count == CLO_ARRAY_SIZE(out->leaks))
		return;
	last = &out->leaks[out->leak_count++];
	last->gpa = gfn << CLO_PAGE_SHIFT;
	last->npages = 1;
	last->what = what;
	snprintf(last->holder, sizeof(last->holder), "%s", holder);
}

static const char twice[] = "backed twice";
static const char pinned[] = "pinned";
static const char lost[] = "frame lost";

static void report_frame(struct report_walk *w, struct clo_gmem *g, uint64_t index, uint64_t gfn,
			 bool resident)
{
	struct clo_frame_info f;
	struct clo_pfn pfn;

	if (!clo_gmem_pfn(g, index, &pfn))
		return;
	f = clo_frame_get(w->vm->host->db, pfn);
	if (f.state == CLO_FRAME_FREE)
		return;
	if (f.state == CLO_FRAME_LEAKED) {
		w->out->frames_lost++;
		add_leak(w->out, gfn, lost, "");
		return;
	}
	if (resident) {
		w->out->backed_twice++;
		add_leak(w->out, gfn, twice, "");
	}
	if (f.pins) {
		char holder[sizeof(w->out->leaks[0].holder)] = "";

		(void)clo_gmem_pin_holder(g, index, holder, sizeof(holder));
		w->out->pins_left += f.pins;
		add_leak(w->out, gfn, pinned, holder);
	}
}

static int report_slot(void *arg, const struct clo_slot *slot, struct clo_range gfns)
{
	struct report_walk *w = arg;
	struct clo_gmem *g = clo_slot_gmem(slot);
	bool two_sides = slot->hva.a != 0 && !(slot->flags & CLO_MEMSLOT_GMEM_ONLY);

	if (!g)
		return 0;
	for (uint64_t gfn = gfns.start; gfn < gfns.end; gfn += CHUNK_PAGES) {
		unsigned char vec[CHUNK_PAGES] = { 0 };
		uint64_t n = gfns.end - gfn < CHUNK_PAGES ? gfns.end - gfn : CHUNK_PAGES;
		struct clo_pfn pfn;

		/* Nothing of this window was ever allocated: pass over it. */
		if (!clo_gmem_pfn(g, clo_slot_index(slot, clo_gfn(gfn)), &pfn) &&
		    !clo_gmem_pfn(g, clo_slot_index(slot, clo_gfn(gfn + n - 1)), &pfn))
			continue;
		/* A part that is not mapped has no resident page: mincore fails and vec stays 0. */
		if (two_sides)
			(void)mincore((void *)(uintptr_t)clo_slot_hva(slot, clo_gfn(gfn)).a,
				      n << CLO_PAGE_SHIFT, vec);
		for (uint64_t i = 0; i < n; i++)
			report_frame(w, g, clo_slot_index(slot, clo_gfn(gfn + i)), gfn + i,
				     vec[i] & 1);
	}
	return 0;
}

void clo_vm_report(struct clo_vm *vm, struct clo_leak_report *out)
{
	struct report_walk w = { .vm = vm, .out = out };

	*out = (struct clo_leak_report){ .undo_failures = clo_stat_get(&vm->undo_failures) };
	clo_slots_lock_shared(vm->slots);
	clo_rcu_read_lock();
	for (unsigned as = 0; as < vm->trust->as_count; as++)
		(void)clo_slots_for_each(vm->slots, as, clo_range(0, UINT64_MAX), report_slot, &w);
	clo_rcu_read_unlock();
	clo_slots_unlock(vm->slots);
}
