/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/litmus_exec.c - one operation of a program on the engine, by its public API only.
 */
#include "litmus_run.h"

#include <errno.h>
#include <string.h>

#define GUEST_ENOSYS 1000 /* KVM_ENOSYS, what the guest sees without the hypercall */

struct exec {
	struct clo_litmus_run *r;
	struct clo_lit_thread *t;
	const struct clo_litmus_op *op;
	struct clo_litmus_result *res;
	struct clo_vm *vm;
	struct clo_vcpu *vcpu; /* or NULL */
	struct clo_gmem *gmem; /* or NULL */
	uint64_t at, bytes;    /* the operation's pages, in bytes */
};

/* Status of a vCPU call: 0, -errno, or 1 = exit without an error. */
static void set_exit(struct exec *e, int ret)
{
	const struct clo_exit *x = clo_vcpu_exit(e->vcpu);

	e->res->error = ret < 0 ? ret : 0;
	if (ret == 0)
		return;
	e->res->exit = x->reason;
	e->res->cause = x->cause;
}

static int touch(struct exec *e, uint64_t at, void *buf, size_t bytes, bool is_write)
{
	uint32_t flags = is_write ? CLO_ACCESS_WRITE : 0;

	if (e->op->kind == CLO_LITMUS_PRIVATE)
		flags |= CLO_ACCESS_PRIVATE;
	return clo_vcpu_access(e->vcpu, at, buf, bytes, flags);
}

static void do_fill(struct exec *e, uint64_t value)
{
	int ret = 0;

	for (unsigned i = 0; i < CLO_ARRAY_SIZE(e->t->page); i++)
		e->t->page[i] = value;
	for (uint64_t n = 0; n < e->op->npages && ret == 0; n++)
		ret = touch(e, e->at + n * CLO_PAGE_SIZE, e->t->page, CLO_PAGE_SIZE, true);
	set_exit(e, ret);
}

static void op_check(struct exec *e)
{
	int ret = 0;

	for (uint64_t n = 0; n < e->op->npages && ret == 0; n++) {
		ret = touch(e, e->at + n * CLO_PAGE_SIZE, e->t->page, CLO_PAGE_SIZE, false);
		for (unsigned i = 0; ret == 0 && i < CLO_ARRAY_SIZE(e->t->page); i++) {
			if (e->t->page[i] == e->op->value || e->res->differs)
				continue;
			e->res->differs = 1;
			e->res->value = e->t->page[i];
		}
	}
	set_exit(e, ret);
}

static int convert(struct exec *e, uint64_t gpa, uint64_t bytes, bool to_private)
{
	struct clo_convert c = {
		.size = sizeof(c),
		.flags = to_private ? CLO_CONVERT_TO_PRIVATE : 0,
		.gpa = gpa,
		.bytes = bytes,
	};

	if (e->op->code == CLO_LITMUS_DRY_CONVERT)
		c.flags |= CLO_CONVERT_DRY_RUN;
	if (e->op->code == CLO_LITMUS_CONVERT_WAIT)
		c.wait_ns = e->op->value;
	return clo_vm_convert(e->vm, &c);
}

/* The guest's half of MAP_GPA_RANGE, and with @whole the VMM's. */
static void do_map_gpa(struct exec *e, bool whole)
{
	bool to_private = e->op->kind == CLO_LITMUS_PRIVATE;
	int64_t ret = clo_vcpu_map_gpa_range(e->vcpu, e->at, e->op->npages,
					     to_private ? CLO_MAP_GPA_ENCRYPTED : 0);

	if (ret == 1 && whole) {
		int status = convert(e, e->at, e->bytes, to_private);

		ret = clo_vcpu_complete_hypercall(e->vcpu, (uint64_t)(int64_t)status);
	}
	if (ret == 1)
		e->res->exit = CLO_EXIT_HYPERCALL;
	else
		e->res->error = ret == -GUEST_ENOSYS ? -ENOSYS : (int)ret;
}

static void op_pre_fault(struct exec *e)
{
	uint64_t gpa = e->at;
	uint64_t bytes = e->bytes;

	e->res->error = clo_vcpu_pre_fault(e->vcpu, &gpa, &bytes);
}

static void op_get_attributes(struct exec *e)
{
	uint64_t attributes = 0;
	uint64_t same = 0;

	e->res->error = clo_vm_get_attributes(e->vm, e->at, e->bytes, &attributes, &same);
	if (e->res->error)
		return;
	if (same < e->bytes)
		e->res->pages = CLO_LITMUS_MIXED;
	else
		e->res->pages =
			attributes & CLO_ATTR_PRIVATE ? CLO_LITMUS_PRIVATE : CLO_LITMUS_SHARED;
}

static int fallocate_pages(struct exec *e, int mode)
{
	return clo_gmem_fallocate(e->gmem, mode, (int64_t)e->at, (int64_t)e->bytes);
}

static void op_pin(struct exec *e)
{
	struct clo_gmem_pin *pin = NULL;

	e->res->error =
		clo_gmem_pin(e->gmem, e->at, e->bytes, e->r->p->pins[e->op->pin], &pin, NULL);
	if (e->res->error == 0)
		clo_aptr_set(&e->r->pins[e->op->pin], pin);
}

static void op_unpin(struct exec *e)
{
	struct clo_gmem_pin *pin = clo_aptr_xchg(&e->r->pins[e->op->pin], NULL);

	e->res->skipped = pin == NULL;
	clo_gmem_unpin(pin);
}

/*
 * The VMM's own memory, which guests and other threads of the VMM touch at the same time, as on
 * hardware: no data race of the engine, so the thread sanitizer looks away.
 */
#if defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize("thread"), noinline))
#endif
static uint64_t
access_word(volatile uint64_t *word, bool is_write, uint64_t value)
{
	if (is_write)
		*word = value;
	return *word;
}

static int do_ram(struct exec *e, bool is_write)
{
	const struct clo_litmus_slot *s = &e->r->p->slots[e->op->slot];
	char *ram = e->r->ram[e->op->slot];

	if (!ram)
		return -ENODEV;
	if (e->op->page >= s->npages)
		return -EFAULT;
	clo_sync_point(is_write ? "host store" : "host load", e->at + e->op->offset);
	e->res->value = access_word((uint64_t *)(void *)(ram + e->at + e->op->offset), is_write,
				    e->op->value);
	return 0;
}

static int do_host(struct exec *e, bool is_write)
{
	uint64_t value = e->op->value;
	int ret = clo_gmem_host_access(e->gmem, e->at + e->op->offset, &value, sizeof(value),
				       is_write);

	if (ret == 0)
		e->res->value = value;
	return ret;
}

struct clo_region clo_lit_region(const struct clo_litmus_run *r, unsigned slot)
{
	const struct clo_litmus_slot *s = &r->p->slots[slot];
	struct clo_region region = {
		.size = sizeof(region),
		.slot = s->id,
		.flags = s->flags,
		.guest_phys_addr = s->gfn << CLO_PAGE_SHIFT,
		.memory_size = s->npages << CLO_PAGE_SHIFT,
		.userspace_addr = (uint64_t)(uintptr_t)r->ram[slot],
	};

	if (s->gmem != CLO_LITMUS_NONE) {
		region.flags |= CLO_MEM_GUEST_MEMFD;
		region.gmem = r->gmems[s->gmem];
		region.guest_memfd_offset = s->gmem_page << CLO_PAGE_SHIFT;
	}
	return region;
}

static void op_slot(struct exec *e)
{
	struct clo_region region = { .size = sizeof(region),
				     .slot = e->r->p->slots[e->op->slot].id };

	/* A deletion does not look at the file, which another thread may be closing. */
	if (e->op->code != CLO_LITMUS_SLOT_DELETE)
		region = clo_lit_region(e->r, e->op->slot);
	if (e->op->code == CLO_LITMUS_SLOT_MOVE)
		region.guest_phys_addr = e->at;
	e->res->error = clo_vm_set_region(e->vm, &region);
}

static int do_holes(struct exec *e, bool mapped)
{
	return clo_vm_set_holes(e->vm, e->r->p->slots[e->op->slot].id, e->at, e->bytes, mapped);
}

static void op_complete(struct exec *e)
{
	int64_t ret = clo_vcpu_complete_hypercall(e->vcpu, (uint64_t)(int64_t)e->op->error);

	/* What the guest gets is what was said, unless no hypercall was pending. */
	e->res->error = ret == e->op->error ? 0 : (int)ret;
}

static void op_load(struct exec *e)
{
	uint64_t value = 0;

	set_exit(e, touch(e, e->at + e->op->offset, &value, sizeof(value), false));
	e->res->value = value;
}

static void op_store(struct exec *e)
{
	uint64_t value = e->op->value;

	set_exit(e, touch(e, e->at + e->op->offset, &value, sizeof(value), true));
}

static void op_fill(struct exec *e)
{
	do_fill(e, e->op->value);
}

static void op_zero(struct exec *e)
{
	do_fill(e, 0);
}

static void op_map_gpa(struct exec *e)
{
	do_map_gpa(e, true);
}

static void op_hypercall(struct exec *e)
{
	do_map_gpa(e, false);
}

static void op_convert(struct exec *e)
{
	e->res->error = convert(e, e->at, e->bytes, e->op->kind == CLO_LITMUS_PRIVATE);
}

static void op_set_private(struct exec *e)
{
	e->res->error = convert(e, e->at, e->bytes, true);
}

static void op_set_shared(struct exec *e)
{
	e->res->error = convert(e, e->at, e->bytes, false);
}

static uint64_t wanted_attributes(const struct exec *e)
{
	return e->op->kind == CLO_LITMUS_PRIVATE ? CLO_ATTR_PRIVATE : 0;
}

static void op_set_attributes(struct exec *e)
{
	e->res->error = clo_vm_set_attributes(e->vm, e->at, e->bytes, wanted_attributes(e));
}

static void op_gmem_attributes(struct exec *e)
{
	e->res->error =
		clo_gmem_set_attributes(e->gmem, e->at, e->bytes, wanted_attributes(e), NULL);
}

static void op_allocate(struct exec *e)
{
	e->res->error = fallocate_pages(e, CLO_FALLOC_KEEP_SIZE);
}

static void op_punch(struct exec *e)
{
	e->res->error = fallocate_pages(e, CLO_FALLOC_KEEP_SIZE | CLO_FALLOC_PUNCH_HOLE);
}

static void op_close(struct exec *e)
{
	clo_gmem_close(e->gmem);
	e->r->gmems[e->op->gmem] = NULL;
}

static void op_host_read(struct exec *e)
{
	e->res->error = do_host(e, false);
}

static void op_host_write(struct exec *e)
{
	e->res->error = do_host(e, true);
}

static void op_ram_read(struct exec *e)
{
	e->res->error = do_ram(e, false);
}

static void op_ram_write(struct exec *e)
{
	e->res->error = do_ram(e, true);
}

static void op_hole(struct exec *e)
{
	e->res->error = do_holes(e, false);
}

static void op_unhole(struct exec *e)
{
	e->res->error = do_holes(e, true);
}

static void op_refuse(struct exec *e)
{
	clo_a32_or(&e->r->devices[e->op->listener].refuses,
		   e->op->is_map ? CLO_LIT_REFUSES_MAP : CLO_LIT_REFUSES_UNMAP);
}

static void op_accept(struct exec *e)
{
	clo_a32_set(&e->r->devices[e->op->listener].refuses, 0);
}

static void op_prepare(struct exec *e)
{
	clo_a32_set(&e->r->vms[e->op->vm].prepare_error, (uint32_t)-e->op->error);
}

static void (*const run[CLO_LITMUS_CODE_COUNT])(struct exec *e) = {
	[CLO_LITMUS_LOAD] = op_load,
	[CLO_LITMUS_STORE] = op_store,
	[CLO_LITMUS_FILL] = op_fill,
	[CLO_LITMUS_ZERO] = op_zero,
	[CLO_LITMUS_CHECK] = op_check,
	[CLO_LITMUS_MAP_GPA] = op_map_gpa,
	[CLO_LITMUS_HYPERCALL] = op_hypercall,
	[CLO_LITMUS_COMPLETE] = op_complete,
	[CLO_LITMUS_PRE_FAULT] = op_pre_fault,
	[CLO_LITMUS_CONVERT] = op_convert,
	[CLO_LITMUS_CONVERT_WAIT] = op_convert,
	[CLO_LITMUS_DRY_CONVERT] = op_convert,
	[CLO_LITMUS_SET_PRIVATE] = op_set_private,
	[CLO_LITMUS_SET_SHARED] = op_set_shared,
	[CLO_LITMUS_SET_ATTRIBUTES] = op_set_attributes,
	[CLO_LITMUS_GMEM_ATTRIBUTES] = op_gmem_attributes,
	[CLO_LITMUS_GET_ATTRIBUTES] = op_get_attributes,
	[CLO_LITMUS_ALLOCATE] = op_allocate,
	[CLO_LITMUS_PUNCH] = op_punch,
	[CLO_LITMUS_CLOSE] = op_close,
	[CLO_LITMUS_PIN] = op_pin,
	[CLO_LITMUS_UNPIN] = op_unpin,
	[CLO_LITMUS_HOST_READ] = op_host_read,
	[CLO_LITMUS_HOST_WRITE] = op_host_write,
	[CLO_LITMUS_RAM_READ] = op_ram_read,
	[CLO_LITMUS_RAM_WRITE] = op_ram_write,
	[CLO_LITMUS_SLOT_CREATE] = op_slot,
	[CLO_LITMUS_SLOT_DELETE] = op_slot,
	[CLO_LITMUS_SLOT_MOVE] = op_slot,
	[CLO_LITMUS_HOLE] = op_hole,
	[CLO_LITMUS_UNHOLE] = op_unhole,
	[CLO_LITMUS_REFUSE] = op_refuse,
	[CLO_LITMUS_ACCEPT] = op_accept,
	[CLO_LITMUS_PREPARE] = op_prepare,
};

static bool guard_holds(const struct clo_lit_thread *t, const struct clo_litmus_op *op)
{
	if (!op->has_guard)
		return true;
	return clo_litmus_matches(&t->results[op->guard_op], &op->guard) !=
	       (op->guard_negated != 0);
}

void clo_litmus_run_op(struct clo_litmus_run *r, unsigned thread, unsigned op)
{
	struct clo_lit_thread *t = &r->threads[thread];
	struct exec e = { .r = r, .t = t, .op = &r->p->threads[thread].ops[op] };

	e.res = &t->results[op];
	*e.res = (struct clo_litmus_result){ .ran = 1 };
	if (!guard_holds(t, e.op)) {
		*e.res = (struct clo_litmus_result){ .skipped = 1 };
		return;
	}
	e.vm = r->vms[e.op->vm].vm;
	e.vcpu = thread == CLO_LITMUS_PROLOGUE ? r->vms[e.op->vm].own : t->vcpu;
	if (e.op->gmem != CLO_LITMUS_NONE)
		e.gmem = r->gmems[e.op->gmem];
	e.at = e.op->page << CLO_PAGE_SHIFT;
	e.bytes = e.op->npages << CLO_PAGE_SHIFT;
	clo_note(clo_litmus_op_name(e.op->code), e.op->page);
	clo_lit_enter(t, op);
	run[e.op->code](&e);
	clo_lit_leave(t);
	if (e.res->skipped)
		e.res->ran = 0;
}

void clo_litmus_run_thread(struct clo_litmus_run *r, unsigned thread)
{
	for (unsigned i = 0; i < r->p->threads[thread].op_count; i++)
		clo_litmus_run_op(r, thread, i);
}

void clo_litmus_run_rows(struct clo_litmus_run *r)
{
	unsigned next[CLO_LITMUS_THREADS] = { 0 };

	for (unsigned row = 0; row < r->p->row_count; row++) {
		for (unsigned t = 0; t < r->p->thread_count; t++) {
			const struct clo_litmus_thread *th = &r->p->threads[t];

			if (next[t] < th->op_count && th->ops[next[t]].row == row)
				clo_litmus_run_op(r, t, next[t]++);
		}
	}
}

static void *thread_main(void *arg)
{
	struct clo_lit_thread *t = arg;
#ifdef CLO_SYNC_EXPLORE
	clo_sched_name(t->run->p->threads[t->index].name);
	clo_litmus_run_thread(t->run, t->index);
#else
	char crash_stack[CLO_LIT_CRASH_STACK];

	clo_lit_crash_stack(crash_stack);
	/* All at once: otherwise the first is often done before the last has begun. */
	clo_a32_sub(&t->run->started, 1);
	while (clo_a32_get(&t->run->started) != 0)
		clo_relax();
	clo_litmus_run_thread(t->run, t->index);
	clo_lit_crash_stack(NULL);
#endif
	return NULL;
}

int clo_litmus_run_threads(struct clo_litmus_run *r)
{
	unsigned made = 0;
	int ret = 0;

	clo_lit_threads(r);
	clo_a32_set(&r->started, r->p->thread_count);
	while (made < r->p->thread_count && ret == 0) {
		struct clo_lit_thread *t = &r->threads[made];

		ret = clo_thread_create(&t->thread, thread_main, t);
		if (ret == 0)
			made++;
	}
	/* Those that wait for the missing ones go on. */
	if (ret)
		clo_a32_sub(&r->started, r->p->thread_count - made);
	for (unsigned i = 0; i < made; i++)
		clo_thread_join(&r->threads[i].thread);
	clo_lit_threads(NULL);
	return ret;
}
