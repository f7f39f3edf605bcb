/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/vm_hooks.c - the hooks of a trust model: set, and called for pieces of a file.
 */
#include "vm_internal.h"

#include <errno.h>
#include <string.h>

int clo_vm_set_hooks(struct clo_vm *vm, const struct clo_vm_hooks *hooks)
{
	struct clo_vm_hooks h;
	int ret;

	if (clo_forked(vm->fork_gen))
		return -EIO;
	if (!hooks)
		return clo_fail(-EINVAL, CLO_REASON_NULL, "hooks");
	ret = clo_struct_in(&h, sizeof(h), hooks, CLO_VM_HOOKS_SIZE_VER0);
	if (ret)
		return ret;
	if (h.reserved != 0)
		return clo_fail(-EINVAL, CLO_REASON_RESERVED, "clo_vm_hooks.reserved");
	clo_mutex_lock(&vm->lock);
	/* Its pages may have been given out without the new hooks. */
	if (vm->gmems)
		ret = -EBUSY;
	else
		vm->hooks = h;
	clo_mutex_unlock(&vm->lock);
	return ret;
}

static struct clo_hook_pages hook_pages(const struct clo_gmem_piece *p, uint32_t why)
{
	return (struct clo_hook_pages){
		.size = sizeof(struct clo_hook_pages),
		.why = why,
		.gpa = p->is_bound ? clo_gfn_to_gpa(p->gfn).a : CLO_NO_GPA,
		.npages = p->npages,
		.pfn = p->pfn.n,
		.gmem = p->gmem,
		.gmem_offset = p->index << CLO_PAGE_SHIFT,
		.order = p->order,
	};
}

static int gmem_prepare(void *arg, const struct clo_gmem_piece *piece)
{
	struct clo_hook_pages pages = hook_pages(piece, 0);
	const struct clo_vm *vm = arg;
	int cancel, ret;

	if (!vm->hooks.prepare)
		return 0;
	cancel = clo_cancel_off();
	ret = vm->hooks.prepare(vm->hooks.arg, &pages);
	clo_cancel_restore(cancel);
	if (ret > 0 || ret < -CLO_PREPARE_SHIFT)
		ret = -EIO; /* no errno */
	return ret ? ret - CLO_PREPARE_SHIFT : 0;
}

static void tell(const struct clo_vm *vm, void (*hook)(void *arg, const struct clo_hook_pages *p),
		 const struct clo_gmem_piece *piece, uint32_t why)
{
	struct clo_hook_pages pages = hook_pages(piece, why);
	int cancel;

	if (!hook)
		return;
	cancel = clo_cancel_off();
	hook(vm->hooks.arg, &pages);
	clo_cancel_restore(cancel);
}

static void gmem_invalidate(void *arg, const struct clo_gmem_piece *piece, uint32_t why)
{
	const struct clo_vm *vm = arg;

	clo_note("invalidate, pfn", piece->pfn.n);
	tell(vm, vm->hooks.invalidate, piece, why);
}

void clo_vm_tell_inaccessible(void *arg, const struct clo_gmem_piece *piece)
{
	const struct clo_vm *vm = arg;

	tell(vm, vm->hooks.inaccessible, piece, 0);
}

void clo_vm_hook_ops(const struct clo_vm *vm, struct clo_gmem_ops *ops)
{
	/* Without either a fault on a ready folio takes no folio lock. */
	if (!vm->hooks.prepare && !vm->hooks.invalidate)
		return;
	ops->prepare = gmem_prepare;
	ops->invalidate = gmem_invalidate;
}
