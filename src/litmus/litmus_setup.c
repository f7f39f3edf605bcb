/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/litmus_setup.c - the initial state on a host of its own, and its end.
 */
#include "litmus_run.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

__attribute__((format(printf, 2, 3))) static void say(char *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, CLO_LITMUS_WHY, format, args);
	va_end(args);
}

/* Only memory can be short; all else means that the state is not possible. */
static int setup_error(int ret, const char *what, const char *name, char *why)
{
	if (ret)
		say(why, "%s %s cannot be made: %s", what, name, strerror(-ret));
	return ret == 0 || ret == -ENOMEM ? ret : -EINVAL;
}

/* What the hooks have been told of the pages of a file: one bit each, of the first 64. */
static struct clo_a64 *books_of(struct clo_lit_vm *vm, const struct clo_hook_pages *p)
{
	struct clo_litmus_run *r = vm->run;

	for (unsigned i = 0; i < r->p->gmem_count; i++) {
		if (r->gmems[i] == p->gmem)
			return &r->books[i];
	}
	return NULL;
}

static uint64_t bits_of(const struct clo_hook_pages *p)
{
	uint64_t at = p->gmem_offset >> CLO_PAGE_SHIFT;
	struct clo_range r = clo_range_clip(clo_range(at, at + p->npages), clo_range(0, 64));

	if (r.start >= r.end)
		return 0;
	return (~0ULL >> (64 - clo_range_len(r))) << r.start;
}

static int prepare_hook(void *arg, const struct clo_hook_pages *p)
{
	struct clo_lit_vm *vm = arg;
	int error = -(int)clo_a32_get(&vm->prepare_error);
	struct clo_a64 *books = books_of(vm, p);

	clo_note(error ? "prepare fails" : "prepare", p->gpa >> CLO_PAGE_SHIFT);
	if (error == 0)
		clo_a64_add(&vm->prepared, 1);
	if (error == 0 && books)
		clo_a64_or(books, bits_of(p));
	return error;
}

/* A page that was not prepared, or was taken back already, is not the trust model's to give. */
static void invalidate_hook(void *arg, const struct clo_hook_pages *p)
{
	struct clo_lit_vm *vm = arg;
	struct clo_a64 *books = books_of(vm, p);
	uint64_t bits = bits_of(p);

	clo_note("invalidated, gfn", p->gpa >> CLO_PAGE_SHIFT);
	clo_a64_add(&vm->invalidated, p->npages);
	if (books && (clo_a64_and(books, ~bits) & bits) != bits)
		clo_a64_add(&vm->unpaired, 1);
}

static int make_vms(struct clo_litmus_run *r, char *why)
{
	for (unsigned i = 0; i < r->p->vm_count; i++) {
		const struct clo_litmus_vm *v = &r->p->vms[i];
		struct clo_vm_config cfg = {
			.size = sizeof(cfg),
			.type = v->type,
			.attr_owner = v->attr_owner,
			.flags = v->flags,
			.exit_hypercall = v->exit_hypercall,
			.max_level = v->max_level,
		};
		int ret = clo_vm_create(r->host, &cfg, &r->vms[i].vm);

		r->vms[i].run = r;
		if (ret == 0)
			ret = clo_vcpu_create(r->vms[i].vm, CLO_LIT_OWN_VCPU, &r->vms[i].own);
		if (ret)
			return setup_error(ret, "VM", v->name, why);
		if (v->has_prepare) {
			struct clo_vm_hooks hooks = { .size = sizeof(hooks),
						      .prepare = prepare_hook,
						      .invalidate = invalidate_hook,
						      .arg = &r->vms[i] };

			ret = clo_vm_set_hooks(r->vms[i].vm, &hooks);
			if (ret)
				return ret;
		}
	}
	return 0;
}

static int make_gmems(struct clo_litmus_run *r, char *why)
{
	for (unsigned i = 0; i < r->p->gmem_count; i++) {
		const struct clo_litmus_gmem *g = &r->p->gmems[i];
		int ret = clo_gmem_create(r->vms[g->vm].vm, g->npages << CLO_PAGE_SHIFT, g->flags,
					  g->page_order, &r->gmems[i]);

		if (ret)
			return setup_error(ret, "file", g->name, why);
	}
	return 0;
}

/* The VMM's memory is needed where a file does not serve the shared side too. */
static int make_ram(struct clo_litmus_run *r, unsigned slot)
{
	const struct clo_litmus_slot *s = &r->p->slots[slot];
	size_t bytes = s->npages << CLO_PAGE_SHIFT;

	if (s->gmem != CLO_LITMUS_NONE && (r->p->gmems[s->gmem].flags & CLO_GMEM_MMAP))
		return 0;
	if (s->npages > SIZE_MAX >> CLO_PAGE_SHIFT)
		return -ENOMEM;
	r->ram[slot] = clo_alloc_sparse(bytes);
	if (!r->ram[slot])
		return -ENOMEM;
	/* The explorer has the same addresses in each run; what is resident must not stay. */
	(void)madvise(r->ram[slot], bytes, MADV_DONTNEED);
	return 0;
}

static int make_slots(struct clo_litmus_run *r, char *why)
{
	for (unsigned i = 0; i < r->p->slot_count; i++) {
		const struct clo_litmus_slot *s = &r->p->slots[i];
		int ret = make_ram(r, i);

		if (ret == 0 && !s->absent) {
			struct clo_region region = clo_lit_region(r, i);

			ret = clo_vm_set_region(r->vms[s->vm].vm, &region);
		}
		if (ret)
			return setup_error(ret, "memslot", s->name, why);
	}
	return 0;
}

static int make_devices(struct clo_litmus_run *r, char *why)
{
	for (unsigned i = 0; i < r->p->listener_count; i++) {
		const struct clo_litmus_listener *l = &r->p->listeners[i];
		struct clo_lit_device *d = &r->devices[i];
		int ret;

		clo_mutex_init(&d->lock, CLO_RANK_LEAF, "litmus listener");
		d->does_pin = l->pins;
		d->listener = (struct clo_dma_listener){
			.size = sizeof(struct clo_dma_listener),
			.name = l->name,
			.map = clo_lit_device_map,
			.unmap = clo_lit_device_unmap,
			.arg = d,
		};
		ret = clo_vm_add_dma_listener(r->vms[l->vm].vm, &d->listener);
		if (ret)
			return setup_error(ret, "listener", l->name, why);
	}
	return 0;
}

static int make_vcpus(struct clo_litmus_run *r, char *why)
{
	for (unsigned i = 0; i < r->p->thread_count; i++) {
		const struct clo_litmus_thread *t = &r->p->threads[i];
		int ret = 0;

		if (t->is_vcpu)
			ret = clo_vcpu_create(r->vms[t->vm].vm, t->vcpu_id, &r->threads[i].vcpu);
		if (ret)
			return setup_error(ret, "vCPU", t->name, why);
	}
	return 0;
}

static int run_prologue(struct clo_litmus_run *r, char *why)
{
	const struct clo_litmus_thread *t = &r->p->threads[CLO_LITMUS_PROLOGUE];

	for (unsigned i = 0; i < t->op_count; i++) {
		const struct clo_litmus_result *res = &r->threads[CLO_LITMUS_PROLOGUE].results[i];

		clo_litmus_run_op(r, CLO_LITMUS_PROLOGUE, i);
		if (clo_lit_expected(r, CLO_LITMUS_PROLOGUE, i))
			continue;
		clo_lit_say(r, CLO_LITMUS_PROLOGUE, i, why);
		return res->error == -ENOMEM ? -ENOMEM : -EINVAL;
	}
	return 0;
}

static int make_all(struct clo_litmus_run *r, uint32_t view, char *why)
{
	struct clo_host_config cfg = {
		.size = sizeof(cfg),
		.view = r->p->host_view ? r->p->host_view : view,
		.mem_bytes = r->p->host_pages << CLO_PAGE_SHIFT,
	};
	static int (*const steps[])(struct clo_litmus_run * r, char *why) = {
		make_vms, make_gmems, make_slots, make_devices, make_vcpus, run_prologue,
	};
	int ret = setup_error(clo_host_create(&cfg, &r->host), "host", r->p->name, why);

	for (size_t i = 0; ret == 0 && i < CLO_ARRAY_SIZE(steps); i++)
		ret = steps[i](r, why);
	return ret;
}

int clo_litmus_setup(const struct clo_litmus *p, uint32_t view, struct clo_litmus_run **out,
		     char *why)
{
	struct clo_litmus_run *r = clo_alloc(sizeof(*r));
	char unused[CLO_LITMUS_WHY];
	int ret;

	if (!why)
		why = unused;
	why[0] = 0;
	if (!r) {
		say(why, "out of memory");
		return -ENOMEM;
	}
	r->p = p;
	for (unsigned i = 0; i <= CLO_LITMUS_THREADS; i++) {
		r->threads[i].run = r;
		r->threads[i].index = i;
	}
	ret = make_all(r, view, why);
	if (ret) {
		clo_litmus_teardown(r);
		return ret;
	}
	*out = r;
	return 0;
}

/* Listeners stay with their VM to its end; only what they pin has to go before. */
void clo_litmus_teardown(struct clo_litmus_run *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < r->p->pin_count; i++)
		clo_gmem_unpin(clo_aptr_xchg(&r->pins[i], NULL));
	for (unsigned i = 0; i < r->p->listener_count; i++) {
		struct clo_lit_device *d = &r->devices[i];

		if (!d->listener.name)
			continue;
		clo_lit_device_release(d);
		clo_mutex_destroy(&d->lock);
	}
	for (unsigned i = 0; i < r->p->vm_count; i++) {
		if (r->vms[i].vm)
			clo_vm_destroy(r->vms[i].vm, NULL);
	}
	(void)clo_host_destroy(r->host);
	for (unsigned i = 0; i < r->p->slot_count; i++) {
		if (r->ram[i])
			clo_free_sparse(r->ram[i], r->p->slots[i].npages << CLO_PAGE_SHIFT);
	}
	clo_free(r);
}

struct clo_host *clo_litmus_host(const struct clo_litmus_run *r)
{
	return r->host;
}

struct clo_vm *clo_litmus_vm(const struct clo_litmus_run *r, unsigned vm)
{
	return vm < r->p->vm_count ? r->vms[vm].vm : NULL;
}

const struct clo_litmus_result *clo_litmus_result(const struct clo_litmus_run *r, unsigned thread,
						  unsigned op)
{
	return &r->threads[thread].results[op];
}
