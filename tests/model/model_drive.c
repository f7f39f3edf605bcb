/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model/model_drive.c - the same operation on the engine and on the model, the answers compared,
 * the invariants checked after each.
 */
#include "model.h"

#include "base/base.h"
#include "check/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE             4096ULL
#define HOST_MEM         (64ULL << 20)
#define HUGE_CHECK_EVERY 16U
#define HOLDER           "model"

struct engine_vm {
	struct clo_vm *vm;
	struct clo_gmem *gmem;
	struct clo_vcpu *vcpu;
	uint8_t *user;
	struct clo_gmem_pin *pin[MODEL_PINS];
};

struct drive {
	struct clo_host *host;
	struct engine_vm e[MODEL_VMS];
	struct model_vm m[MODEL_VMS];
	unsigned steps, check_every;
};

static const char *const code_names[MODEL_CODES] = {
	"load",  "store",    "convert",   "set-attr",   "get-attr",
	"punch", "allocate", "host-load", "host-store", "pin",
	"unpin", "slot-add", "slot-del",  "pre-fault",  "holes",
};

void model_print_op(FILE *out, const struct model_op *op)
{
	fprintf(out, "vm%u %s %s n=%u page=%u count=%u value=%#" PRIx64 "\n", op->vm,
		code_names[op->code], op->is_private ? "private" : "shared", op->n, op->page,
		op->count, op->value);
}

static int slot_add(struct engine_vm *e, const struct model_vm *m, unsigned n)
{
	const struct model_slot *s = &m->slot[n];
	struct clo_region r = {
		.size = sizeof(r),
		.slot = n,
		.flags = CLO_MEM_GUEST_MEMFD,
		.guest_phys_addr = (MODEL_GFN + (uint64_t)s->first) * PAGE,
		.memory_size = m->pages / 2 * PAGE,
		.userspace_addr = (uintptr_t)e->user + s->first * PAGE,
		.guest_memfd_offset = s->index * PAGE,
		.gmem = e->gmem,
	};

	return clo_vm_set_region(e->vm, &r);
}

static uint64_t gmem_flags(const struct model_config *c)
{
	return (c->mmap ? CLO_GMEM_MMAP : 0) | (c->zero ? CLO_GMEM_ZERO_ON_CONVERT : 0) |
	       (c->hugetlb ? CLO_GMEM_HUGETLB : 0) | (c->nodirect ? CLO_GMEM_NO_DIRECT_MAP : 0) |
	       (c->init_shared ? CLO_GMEM_INIT_SHARED : 0);
}

static int vm_open(struct drive *d, unsigned i)
{
	struct engine_vm *e = &d->e[i];
	struct model_vm *m = &d->m[i];
	struct clo_vm_config vc = {
		.size = sizeof(vc),
		.type = m->cfg.is_default ? CLO_VM_DEFAULT : CLO_VM_SW_PROTECTED,
		.attr_owner = m->cfg.owner_gmem ? CLO_ATTR_OWNER_GMEM : CLO_ATTR_OWNER_VM,
		.flags = m->cfg.typed ? CLO_VM_TYPED_ACCESS : 0,
	};
	int ret = clo_vm_create(d->host, &vc, &e->vm);

	if (ret)
		return ret;
	e->user = mmap(NULL, m->pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	if (e->user == MAP_FAILED) {
		e->user = NULL;
		return -ENOMEM;
	}
	ret = clo_gmem_create(e->vm, m->pages * PAGE, gmem_flags(&m->cfg), m->cfg.hugetlb ? 9 : 0,
			      &e->gmem);
	if (ret == 0)
		ret = clo_vcpu_create(e->vm, 0, &e->vcpu);
	for (unsigned n = 0; ret == 0 && n < MODEL_SLOTS; n++) {
		ret = slot_add(e, m, n);
		m->slot[n].exists = ret == 0;
	}
	return ret;
}

static void vm_close(struct drive *d, unsigned i)
{
	struct engine_vm *e = &d->e[i];

	for (unsigned n = 0; n < MODEL_PINS; n++) {
		if (e->pin[n])
			clo_gmem_unpin(e->pin[n]);
	}
	if (e->vm)
		clo_vm_destroy(e->vm, NULL);
	if (e->user)
		munmap(e->user, d->m[i].pages * PAGE);
}

/* A value in the first and in the last word of the page, so that half a page done is seen. */
static struct model_result guest_access(struct engine_vm *e, const struct model_op *op,
					bool is_write)
{
	uint64_t gpa = (MODEL_GFN + (uint64_t)op->page) * PAGE, head = op->value, tail = op->value;
	uint32_t flags =
		(is_write ? CLO_ACCESS_WRITE : 0) | (op->is_private ? CLO_ACCESS_PRIVATE : 0);
	struct model_result r = { 0 };

	r.ret = clo_vcpu_access(e->vcpu, gpa, &head, sizeof(head), flags);
	if (r.ret == 0)
		r.ret = clo_vcpu_access(e->vcpu, gpa + PAGE - sizeof(tail), &tail, sizeof(tail),
					flags);
	if (r.ret) {
		r.reason = (int)clo_vcpu_exit(e->vcpu)->reason;
		r.cause = (int)clo_vcpu_exit(e->vcpu)->cause;
		return r;
	}
	r.value = head == tail ? head : ~head;
	return r;
}

static struct model_result host_access(struct engine_vm *e, const struct model_op *op,
				       bool is_write)
{
	uint64_t off = op->page * PAGE, head = op->value, tail = op->value;
	struct model_result r = { 0 };

	r.ret = clo_gmem_host_access(e->gmem, off, &head, sizeof(head), is_write);
	if (r.ret == 0)
		r.ret = clo_gmem_host_access(e->gmem, off + PAGE - sizeof(tail), &tail,
					     sizeof(tail), is_write);
	if (r.ret == 0)
		r.value = head == tail ? head : ~head;
	return r;
}

static struct model_result convert(struct engine_vm *e, const struct model_op *op)
{
	struct clo_convert c = {
		.size = sizeof(c),
		.flags = op->is_private ? CLO_CONVERT_TO_PRIVATE : 0,
		.gpa = (MODEL_GFN + (uint64_t)op->page) * PAGE,
		.bytes = op->count * PAGE,
	};
	struct model_result r = { .ret = clo_vm_convert(e->vm, &c) };

	if (r.ret == -ENOENT || r.ret == -EAGAIN)
		r.where = c.error_gpa;
	return r;
}

static struct model_result set_attr(struct engine_vm *e, const struct model_vm *m,
				    const struct model_op *op)
{
	uint64_t attr = op->is_private ? CLO_ATTR_PRIVATE : 0, bytes = op->count * PAGE, where = 0;
	struct model_result r = { 0 };

	if (m->cfg.owner_gmem)
		r.ret = clo_gmem_set_attributes(e->gmem, op->page * PAGE, bytes, attr, &where);
	else
		r.ret = clo_vm_set_attributes(e->vm, (MODEL_GFN + (uint64_t)op->page) * PAGE, bytes,
					      attr);
	if (r.ret == -EAGAIN)
		r.where = where;
	return r;
}

static struct model_result get_attr(struct engine_vm *e, const struct model_op *op)
{
	struct model_result r = { 0 };

	r.ret = clo_vm_get_attributes(e->vm, (MODEL_GFN + (uint64_t)op->page) * PAGE,
				      op->count * PAGE, &r.value, &r.where);
	return r;
}

static struct model_result pin(struct engine_vm *e, const struct model_op *op)
{
	struct model_result r = { 0 };
	uint64_t where = 0;

	if (e->pin[op->n])
		return r;
	r.ret = clo_gmem_pin(e->gmem, op->page * PAGE, op->count * PAGE, HOLDER, &e->pin[op->n],
			     &where);
	if (r.ret)
		e->pin[op->n] = NULL;
	if (r.ret == -EFAULT)
		r.where = where;
	return r;
}

static struct model_result engine_apply(struct engine_vm *e, const struct model_vm *m,
					const struct model_op *op)
{
	uint64_t gpa = (MODEL_GFN + (uint64_t)op->page) * PAGE, bytes = op->count * PAGE;
	struct clo_region del = { .size = sizeof(del), .slot = op->n % MODEL_SLOTS };
	struct model_result r = { 0 };

	switch (op->code) {
	case MODEL_LOAD:
	case MODEL_STORE:
		return guest_access(e, op, op->code == MODEL_STORE);
	case MODEL_CONVERT:
		return convert(e, op);
	case MODEL_SET_ATTR:
		return set_attr(e, m, op);
	case MODEL_GET_ATTR:
		return get_attr(e, op);
	case MODEL_PUNCH:
	case MODEL_ALLOC:
		r.ret = clo_gmem_fallocate(
			e->gmem,
			CLO_FALLOC_KEEP_SIZE |
				(op->code == MODEL_PUNCH ? CLO_FALLOC_PUNCH_HOLE : 0),
			(int64_t)(op->page * PAGE), (int64_t)bytes);
		return r;
	case MODEL_HOST_LOAD:
	case MODEL_HOST_STORE:
		return host_access(e, op, op->code == MODEL_HOST_STORE);
	case MODEL_PIN:
		return pin(e, op);
	case MODEL_UNPIN:
		if (e->pin[op->n])
			clo_gmem_unpin(e->pin[op->n]);
		e->pin[op->n] = NULL;
		return r;
	case MODEL_SLOT_ADD:
		r.ret = slot_add(e, m, op->n % MODEL_SLOTS);
		return r;
	case MODEL_SLOT_DEL:
		r.ret = clo_vm_set_region(e->vm, &del);
		return r;
	case MODEL_PREFAULT:
		r.ret = clo_vcpu_pre_fault(e->vcpu, &gpa, &bytes);
		return r;
	case MODEL_HOLES:
		r.ret = clo_vm_set_holes(e->vm, op->n % MODEL_SLOTS, gpa, bytes, op->is_private);
		return r;
	case MODEL_CODES:
		break;
	}
	return r;
}

static bool same(const struct model_result *a, const struct model_result *b)
{
	return a->ret == b->ret && a->reason == b->reason && a->cause == b->cause &&
	       a->value == b->value && a->where == b->where;
}

static bool compare(const struct model_result *got, const struct model_result *want, char *why,
		    size_t size)
{
	if (same(got, want))
		return true;
	snprintf(why, size,
		 "engine: ret %d reason %d cause \"%s\" value %#" PRIx64 " where %#" PRIx64
		 "; model: ret %d reason %d cause \"%s\" value %#" PRIx64 " where %#" PRIx64,
		 got->ret, got->reason, clo_fault_cause_text((enum clo_fault_cause)got->cause),
		 got->value, got->where, want->ret, want->reason,
		 clo_fault_cause_text((enum clo_fault_cause)want->cause), want->value, want->where);
	return false;
}

static bool invariants_hold(struct drive *d, char *why, size_t size)
{
	struct clo_check_fail fail;

	if (clo_check_idle(d->host, &fail) == 0)
		return true;
	snprintf(why, size, "%s: %s", fail.invariant, fail.text);
	return false;
}

/* One operation; false: they differ. With failing allocations, -ENOMEM must have changed nothing:
 * the call is made again. */
static bool step(struct drive *d, const struct model_op *op, char *why, size_t size)
{
	struct engine_vm *e = &d->e[op->vm];
	struct model_vm *m = &d->m[op->vm];
	struct model_result got = engine_apply(e, m, op), want;

	if (got.ret == -ENOMEM) {
		if (!invariants_hold(d, why, size))
			return false;
		got = engine_apply(e, m, op);
	}
	want = model_apply(m, op);
	if (!compare(&got, &want, why, size))
		return false;
	/* The walk over all frames is what takes time: large files have it now and then. */
	return d->steps++ % d->check_every || invariants_hold(d, why, size);
}

/* Every page of both VMs, by the guest and by the host. */
static bool read_back(struct drive *d, char *why, size_t size)
{
	for (unsigned vm = 0; vm < MODEL_VMS; vm++) {
		unsigned stride = d->m[vm].block > 1 ? 61 : 1; /* a sample of the large ones */

		for (unsigned p = 0; p < d->m[vm].pages; p += stride) {
			for (unsigned k = 0; k < 4; k++) {
				struct model_op op = { .code = k & 1 ? MODEL_LOAD : MODEL_HOST_LOAD,
						       .vm = vm,
						       .page = p,
						       .is_private = k & 2,
						       .count = 1 };

				if (!step(d, &op, why, size))
					return false;
			}
		}
	}
	return true;
}

/* Nothing may be left on the host when its VMs are gone. */
static bool close_all(struct drive *d, char *why, size_t size)
{
	struct clo_host_stats s = { .size = sizeof(s) };
	bool good = true;

	for (unsigned i = 0; i < MODEL_VMS; i++)
		vm_close(d, i);
	if (d->host) {
		(void)clo_host_stats(d->host, &s);
		if (clo_host_destroy(d->host) || s.frames_used) {
			snprintf(why, size, "%" PRIu64 " frames left after the VMs are gone",
				 s.frames_used);
			good = false;
		}
	}
	return good;
}

long model_drive(const uint8_t *bytes, size_t size, const struct model_drive_config *cfg, char *why,
		 size_t why_size)
{
	struct clo_host_config hc = { .size = sizeof(hc),
				      .view = cfg->view,
				      .mem_bytes = HOST_MEM };
	struct drive *d;
	long result = 0;
	size_t ops;

	if (size < MODEL_HEAD)
		return 0;
	d = calloc(1, sizeof(*d));
	ops = (size - MODEL_HEAD) / MODEL_OP;
	if (!d || clo_host_create(&hc, &d->host)) {
		free(d);
		snprintf(why, why_size, "no host");
		return -1;
	}
	for (unsigned i = 0; i < MODEL_VMS && result == 0; i++) {
		struct model_config c;
		int ret;

		model_config_decode(bytes, i, &c);
		model_vm_init(&d->m[i], &c);
		ret = vm_open(d, i);
		if (ret) {
			snprintf(why, why_size, "VM %u cannot be made: %s", i, strerror(-ret));
			result = -1;
		}
	}
	d->check_every = d->m[0].block > 1 || d->m[1].block > 1 ? HUGE_CHECK_EVERY : 1;
	clo_alloc_fail_at(result ? 0 : cfg->fail_at);
	for (size_t i = 0; i < ops && result == 0; i++) {
		struct model_op op;

		model_op_decode(bytes + MODEL_HEAD + i * MODEL_OP, d->m, &op);
		if (cfg->trace)
			model_print_op(cfg->trace, &op);
		if (!step(d, &op, why, why_size))
			result = (long)i + 1;
	}
	if (cfg->allocations)
		*cfg->allocations = clo_alloc_count();
	clo_alloc_fail_at(0);
	if (result == 0 && !read_back(d, why, why_size))
		result = (long)ops + 1;
	if (!close_all(d, why, why_size) && result == 0)
		result = (long)ops + 2;
	free(d);
	return result;
}
