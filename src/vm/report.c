/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/report.c - the leak report: pages backed twice, pins left, frames lost.
 */
#include "vm_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK_PAGES 512U

struct report_walk {
	struct clo_vm *vm;
	struct clo_leak_report *out;
};

/* Does one more page at @gpa continue @last? Pages without a gpa are one entry. */
static bool continues(const struct clo_leak *last, uint64_t gpa)
{
	if (last->gpa == CLO_NO_GPA || gpa == CLO_NO_GPA)
		return last->gpa == gpa;
	return last->gpa + (last->npages << CLO_PAGE_SHIFT) == gpa;
}

/* Add @npages at @gpa to the list; runs of the same kind and holder that touch are one entry. */
static void add_leak(struct clo_leak_report *out, uint64_t gpa, uint64_t npages, uint32_t kind,
		     const char *holder)
{
	struct clo_leak *last = out->leak_count ? &out->leaks[out->leak_count - 1] : NULL;

	if (last && last->kind == kind && strcmp(last->holder, holder) == 0 &&
	    continues(last, gpa)) {
		last->npages += npages;
		return;
	}
	if (out->leak_count == CLO_ARRAY_SIZE(out->leaks))
		return;
	last = &out->leaks[out->leak_count++];
	last->gpa = gpa;
	last->npages = npages;
	last->kind = kind;
	snprintf(last->holder, sizeof(last->holder), "%s", holder);
}

const char *clo_leak_kind_text(uint32_t kind)
{
	static const char *const text[] = {
		[CLO_LEAK_BACKED_TWICE] = "backed twice",
		[CLO_LEAK_PINNED] = "pinned",
		[CLO_LEAK_FRAME_LOST] = "frame lost",
	};

	return kind < CLO_ARRAY_SIZE(text) ? text[kind] : NULL;
}

static void report_pins(struct report_walk *w, struct clo_gmem *g, uint64_t index, uint64_t gpa,
			uint64_t pins)
{
	char holder[sizeof(w->out->leaks[0].holder)] = "";

	(void)clo_gmem_pin_holder(g, index, holder, sizeof(holder));
	w->out->pins_left += pins;
	add_leak(w->out, gpa, 1, CLO_LEAK_PINNED, holder);
}

static void report_frame(struct report_walk *w, struct clo_gmem *g, uint64_t index, uint64_t gfn,
			 struct clo_pfn pfn, bool resident)
{
	struct clo_frame_info f = clo_frame_get(w->vm->host->db, pfn);

	if (f.state == CLO_FRAME_FREE || f.state == CLO_FRAME_LEAKED)
		return;
	if (resident) {
		w->out->backed_twice++;
		add_leak(w->out, gfn << CLO_PAGE_SHIFT, 1, CLO_LEAK_BACKED_TWICE, "");
	}
	if (f.pins)
		report_pins(w, g, index, gfn << CLO_PAGE_SHIFT, f.pins);
}

/* Only what was allocated: a memslot of TiB with a few pages in it costs no more than these. */
static int report_slot(void *arg, const struct clo_slot *slot, struct clo_range gfns)
{
	struct report_walk *w = arg;
	struct clo_gmem *g = clo_slot_gmem(slot);
	bool two_sides = slot->hva.a != 0 && !(slot->flags & CLO_MEMSLOT_GMEM_ONLY);
	uint64_t first = clo_slot_index(slot, clo_gfn(gfns.start));
	uint64_t end = first + clo_range_len(gfns);
	unsigned char vec[CHUNK_PAGES] = { 0 };
	uint64_t chunk_end = gfns.start;
	struct clo_pfn pfn;

	for (uint64_t index = first; g && clo_gmem_next_frame(g, &index, end, &pfn); index++) {
		uint64_t gfn = gfns.start + (index - first);

		if (two_sides && gfn >= chunk_end) {
			uint64_t n = gfns.end - gfn < CHUNK_PAGES ? gfns.end - gfn : CHUNK_PAGES;

			/* A part that is not mapped has no resident page: mincore fails then. */
			memset(vec, 0, sizeof(vec));
			(void)mincore((void *)(uintptr_t)clo_slot_hva(slot, clo_gfn(gfn)).a,
				      n << CLO_PAGE_SHIFT, vec);
			chunk_end = gfn + CHUNK_PAGES;
		}
		report_frame(w, g, index, gfn, pfn,
			     two_sides && (vec[gfn + CHUNK_PAGES - chunk_end] & 1));
	}
	return 0;
}

static void is_shown(void *arg, struct clo_range index, struct clo_range gfns)
{
	(void)index;
	(void)gfns;
	*(bool *)arg = true;
}

/* Pinned pages that no memslot shows: the walk over the memslots did not meet them. */
static void report_unbound(struct report_walk *w, struct clo_gmem *g)
{
	uint64_t end = clo_gmem_size(g) >> CLO_PAGE_SHIFT;
	struct clo_pfn pfn;

	for (uint64_t index = 0; clo_gmem_next_frame(g, &index, end, &pfn); index++) {
		struct clo_frame_info f = clo_frame_get(w->vm->host->db, pfn);
		bool shown = false;

		if (f.pins == 0)
			continue;
		clo_gmem_for_each_gfn(g, clo_range(index, index + 1), is_shown, &shown);
		if (!shown)
			report_pins(w, g, index, CLO_NO_GPA, f.pins);
	}
}

/* A file whose last pin is gone has nothing more to say. */
static void report_lost(struct clo_vm *vm, struct clo_leak_report *out)
{
	struct clo_vm_gmem **p = &vm->lossy;

	while (*p) {
		struct clo_vm_gmem *f = *p;
		char holder[sizeof(out->leaks[0].holder)] = "";
		uint64_t n = clo_gmem_lost(f->gmem, holder, sizeof(holder));

		if (n) {
			out->frames_lost += n;
			add_leak(out, CLO_NO_GPA, n, CLO_LEAK_FRAME_LOST, holder);
			p = &f->next;
			continue;
		}
		*p = f->next;
		clo_gmem_unwatch(f->gmem);
		clo_free(f);
	}
}

int clo_vm_report(struct clo_vm *vm, struct clo_leak_report *out)
{
	struct clo_leak_report r = { .undo_failures = clo_stat_get(&vm->undo_failures) };
	struct report_walk w = { .vm = vm, .out = &r };
	int ret;

	if (clo_forked(vm->fork_gen))
		return -EIO;
	/* First: the look at lost frames forgets those that have come back. */
	ret = clo_struct_fits(out, CLO_LEAK_REPORT_SIZE_VER0);
	if (ret)
		return ret;
	/* It keeps the files of the list open. */
	clo_mutex_lock(&vm->lock);
	clo_slots_lock_shared(vm->slots);
	clo_rcu_read_lock();
	for (unsigned as = 0; as < vm->trust->as_count; as++)
		(void)clo_slots_for_each(vm->slots, as, clo_range(0, UINT64_MAX), report_slot, &w);
	clo_rcu_read_unlock();
	for (struct clo_vm_gmem *f = vm->gmems; f; f = f->next)
		report_unbound(&w, f->gmem);
	clo_slots_unlock(vm->slots);
	report_lost(vm, &r);
	clo_mutex_unlock(&vm->lock);
	return clo_struct_out(out, &r, sizeof(r), CLO_LEAK_REPORT_SIZE_VER0);
}
