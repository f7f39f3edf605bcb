/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explore/test_kick.c - a kick is never lost: a vCPU that is about to wait, waits, or has stopped
 * waiting leaves, though what it waits for does not end before it has left.
 */
#include "explore/test_scene.h"

#include <errno.h>

#include "vm/vm.h"

/* The device that maps a page stays in its callback until the vCPU is out of its access. */
static struct {
	struct clo_mutex lock;
	struct clo_cond left;
	bool has_left;
} device;

static int wait_for_vcpu(void *arg, const struct clo_dma_range *r)
{
	(void)arg;
	(void)r;
	clo_mutex_lock(&device.lock);
	while (!device.has_left)
		clo_cond_wait(&device.left, &device.lock);
	clo_mutex_unlock(&device.lock);
	return 0;
}

static int nothing(void *arg, const struct clo_dma_range *r)
{
	(void)arg;
	(void)r;
	return 0;
}

static const struct clo_dma_listener listener = {
	.size = sizeof(listener), .name = "dev", .map = wait_for_vcpu, .unmap = nothing
};

static void with_device(struct world *w, unsigned self)
{
	clo_mutex_init(&device.lock, CLO_RANK_LEAF, "test device");
	clo_cond_init(&device.left);
	device.has_left = false;
	scene_must(clo_vm_add_dma_listener(w->vm, &listener));
	set_secret_inside(w, self);
}

static void load_and_leave(struct world *w, unsigned self)
{
	do_guest_load(w, self);
	clo_mutex_lock(&device.lock);
	device.has_left = true;
	clo_cond_broadcast(&device.left);
	clo_mutex_unlock(&device.lock);
}

static void do_kick(struct world *w, unsigned self)
{
	w->ret[self] = 0;
	clo_vcpu_kick(w->vcpu[0]);
}

static const char *served_or_left(struct world *w)
{
	if (w->ret[1])
		return "the conversion failed";
	/* -EFAULT: it came when the page was shared. */
	if (w->ret[0] == -EINTR || w->ret[0] == -EFAULT)
		return NULL;
	return w->ret[0] || w->value[0] != SECRET ? "the load was neither served nor left" : NULL;
}

static const struct scene kick = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.vm_flags = CLO_VM_TYPED_ACCESS,
	.setup = with_device,
	.threads = { load_and_leave, do_to_shared, do_kick },
	.judge = served_or_left,
};

TEST_TIMEOUT(kick_of_a_vcpu_that_is_about_to_wait, 120)
{
	scene_holds(&kick, 1);
}

/* Nothing but the kick ends this wait, so what is found is a kick that is lost. */
TEST_TIMEOUT(kick_that_is_not_looked_at_before_the_sleep, 120)
{
	scene_found(&kick, 2, CLO_BREAK_EVENT_LOOK, "I7");
}
