/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/conv_listeners.c - the VM's list of DMA listeners, against conversions that are telling
 * them.
 *
 * A listener is a stranger and may be slow, so nothing is held for the list while one is called: a
 * conversion copies the list when it begins, and who changes the list waits for the conversions
 * that began before. Later ones do not wait, and see the new list.
 */
#include "conv_internal.h"

#include <errno.h>

static unsigned count_listeners(const struct clo_vm *vm)
{
	unsigned n = 0;

	for (const struct clo_vm_listener *e = vm->listeners; e; e = e->next)
		n++;
	return n;
}

int conv_listeners_enter(struct conv *c)
{
	struct clo_vm *vm = c->vm;
	struct conv_dma *d = &c->dma;
	struct clo_vm_telling *t = &d->telling;
	unsigned room = 0, n;

	clo_mutex_lock(&vm->dma_lock);
	while ((n = count_listeners(vm)) > room) {
		clo_mutex_unlock(&vm->dma_lock);
		clo_free(d->listeners);
		room = n;
		d->listeners = clo_alloc(room * sizeof(struct clo_dma_listener *));
		if (!d->listeners)
			return clo_fail_heap("conversion");
		clo_mutex_lock(&vm->dma_lock);
	}
	for (const struct clo_vm_listener *e = vm->listeners; e; e = e->next)
		d->listeners[d->listener_count++] = &e->l;
	*t = (struct clo_vm_telling){
		.next = &vm->telling,
		.prev = vm->telling.prev,
		.turn = vm->dma_turn++,
	};
	t->prev->next = t;
	vm->telling.prev = t;
	clo_mutex_unlock(&vm->dma_lock);
	return 0;
}

void conv_listeners_leave(struct conv *c)
{
	struct clo_vm *vm = c->vm;
	struct clo_vm_telling *t = &c->dma.telling;

	clo_mutex_lock(&vm->dma_lock);
	t->prev->next = t->next;
	t->next->prev = t->prev;
	clo_cond_broadcast(&vm->dma_told);
	clo_mutex_unlock(&vm->dma_lock);
}

/* With the lock, the list changed. */
static void wait_for_tellers(struct clo_vm *vm)
{
	uint64_t turn = vm->dma_turn++;

	while (vm->telling.next != &vm->telling && vm->telling.next->turn < turn)
		clo_cond_wait(&vm->dma_told, &vm->dma_lock);
}

static struct clo_vm_listener **find(struct clo_vm *vm, const struct clo_dma_listener *l)
{
	struct clo_vm_listener **p = &vm->listeners;

	while (*p && (*p)->id != l)
		p = &(*p)->next;
	return p;
}

int clo_vm_add_dma_listener(struct clo_vm *vm, const struct clo_dma_listener *l)
{
	struct clo_vm_listener *e;
	int ret;

	if (clo_forked(vm->fork_gen))
		return -EIO;
	e = clo_alloc(sizeof(*e));
	if (!e)
		return clo_fail_heap("listener");
	e->id = l;
	ret = clo_struct_in(&e->l, sizeof(e->l), l, CLO_DMA_LISTENER_SIZE_VER0);
	if (ret == 0 && e->l.reserved != 0)
		ret = clo_fail(-EINVAL, CLO_REASON_RESERVED, "clo_dma_listener.reserved");
	if (ret) {
		clo_free(e);
		return ret;
	}
	clo_mutex_lock(&vm->dma_lock);
	if (*find(vm, l)) {
		ret = clo_fail(-EEXIST, CLO_REASON_IN_USE, "l");
	} else {
		e->next = vm->listeners;
		vm->listeners = e;
		wait_for_tellers(vm);
	}
	clo_mutex_unlock(&vm->dma_lock);
	if (ret)
		clo_free(e);
	return ret;
}

int clo_vm_remove_dma_listener(struct clo_vm *vm, const struct clo_dma_listener *l)
{
	struct clo_vm_listener **at, *gone;

	if (clo_forked(vm->fork_gen))
		return -EIO;
	clo_mutex_lock(&vm->dma_lock);
	at = find(vm, l);
	gone = *at;
	if (gone) {
		*at = gone->next;
		wait_for_tellers(vm);
	}
	clo_mutex_unlock(&vm->dma_lock);
	clo_free(gone);
	return gone ? 0 : -ENOENT;
}
