/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/test_conv_wait.c - who waits for a stranger, a pin or a listener, stops nobody else. A test
 * that fails does not end.
 */
#include "conv/conv.h"

#include "harness/engine.h"

static const struct eng_config in_place = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED,
};

struct waiter {
	struct eng *e;
	struct clo_convert c;
	int ret;
};

static void *convert_thread(void *arg)
{
	struct waiter *w = arg;

	w->ret = clo_vm_convert(w->e->vm, &w->c);
	return NULL;
}

static void wait_start(struct waiter *w, struct clo_thread *t, struct eng *e, uint64_t page)
{
	*w = (struct waiter){ .e = e, .c = eng_range(page, 1, CLO_CONVERT_TO_PRIVATE) };
	w->c.wait_ns = UINT64_MAX;
	CHECK_OK(clo_thread_create(t, convert_thread, w));
}

/* Changes of the file that have ended: each try of a conversion is one. */
static uint64_t tries(struct eng *e)
{
	return clo_a64_get(&clo_gmem_inval(e->gmem)->any) >> 32;
}

static void until_tried(struct eng *e, uint64_t count)
{
	while (tries(e) < count)
		clo_relax();
}

/* Another part of the guest, and of the file. */
static void use_the_rest(struct eng *e)
{
	struct clo_gmem_pin *pin;

	for (unsigned i = 0; i < 3; i++) {
		CHECK_OK(eng_convert(e, 4, 4, CLO_CONVERT_TO_PRIVATE));
		CHECK_OK(eng_slot_delete(e, 1));
		CHECK_OK(eng_convert(e, 4, 4, 0));
		CHECK_OK(eng_slot(e, 1, E_GPA + 64 * E_PAGE, 4, 12));
		CHECK_OK(eng_punch(e, 4, 4));
	}
	/* Also a second pin of the page that is waited for. */
	CHECK_OK(clo_gmem_pin(e->gmem, 0, E_PAGE, "second", &pin, NULL));
	clo_gmem_unpin(pin);
}

TEST(a_wait_for_a_pin_holds_nothing)
{
	struct eng_config cfg = in_place;
	struct clo_gmem_pin *pin;
	struct clo_thread t;
	struct waiter w;
	struct eng e;
	uint64_t before;

	cfg.no_slot = true;
	eng_open(&e, cfg);
	CHECK_OK(eng_slot(&e, 0, E_GPA, 12, 0));
	CHECK_OK(eng_slot(&e, 1, E_GPA + 64 * E_PAGE, 4, 12));
	CHECK_OK(eng_store(&e, 0, 0, 7));
	CHECK_OK(clo_gmem_pin(e.gmem, 0, E_PAGE, "nic", &pin, NULL));
	before = tries(&e);
	wait_start(&w, &t, &e, 0);
	until_tried(&e, before + 1);
	use_the_rest(&e);
	CHECK(!eng_is_private(&e, 0));
	clo_gmem_unpin(pin);
	CHECK_OK(clo_thread_join(&t));
	CHECK_OK(w.ret);
	CHECK(eng_is_private(&e, 0));
	CHECK_EQ(eng_byte(&e, 0, 0), 7);
	CHECK_OK(eng_slot_delete(&e, 1));
	eng_close(&e);
}

/* What has changed meanwhile is seen: the memslot is gone, or the file. */
TEST(a_wait_for_a_pin_ends_with_what_it_waits_for)
{
	for (unsigned closes = 0; closes < 2; closes++) {
		struct clo_gmem_pin *pin;
		struct clo_thread t;
		struct waiter w;
		struct eng e;
		uint64_t before;

		eng_open(&e, in_place);
		CHECK_OK(clo_gmem_pin(e.gmem, 0, E_PAGE, "nic", &pin, NULL));
		before = tries(&e);
		wait_start(&w, &t, &e, 0);
		until_tried(&e, before + 1);
		if (closes) {
			clo_gmem_close(e.gmem);
		} else {
			CHECK_OK(eng_slot_delete(&e, 0));
			clo_gmem_unpin(pin);
		}
		CHECK_OK(clo_thread_join(&t));
		CHECK_ERR(w.ret, -ENOENT);
		CHECK_EQ(w.c.error_gpa, E_GPA);
		if (closes)
			clo_gmem_unpin(pin);
		eng_close(&e);
	}
}

/* A device that is told to unmap, and to map again when the try has failed. */
struct device {
	struct clo_dma_listener l;
	struct eng *e;
	struct clo_gmem_pin *pin; /* of page 0 */
	struct clo_a32 maps, unmaps;
	/* A callback of page 0 says that it is in, and stays until it is let out. */
	struct clo_a32 stays, is_in;
};

static void stay(struct device *d, const struct clo_dma_range *r)
{
	if (r->gpa != E_GPA || !clo_a32_get(&d->stays))
		return;
	clo_a32_set(&d->is_in, 1);
	while (clo_a32_get(&d->stays))
		clo_relax();
}

static int device_map(void *arg, const struct clo_dma_range *r)
{
	struct device *d = arg;

	clo_a32_add(&d->maps, 1);
	stay(d, r);
	if (r->gpa == E_GPA && r->gmem)
		CHECK_OK(clo_gmem_pin_nowait(d->e->gmem, 0, E_PAGE, "vfio", &d->pin, NULL));
	return 0;
}

static int device_unmap(void *arg, const struct clo_dma_range *r)
{
	struct device *d = arg;

	clo_a32_add(&d->unmaps, 1);
	stay(d, r);
	if (r->gpa == E_GPA) {
		clo_gmem_unpin(d->pin);
		d->pin = NULL;
	}
	return 0;
}

static void device_open(struct device *d, struct eng *e)
{
	*d = (struct device){ .e = e };
	d->l = (struct clo_dma_listener){ .size = sizeof(d->l),
					  .name = "vfio",
					  .map = device_map,
					  .unmap = device_unmap,
					  .arg = d };
	CHECK_OK(clo_vm_add_dma_listener(e->vm, &d->l));
}

/* Each try tells the listener, whose own pin is none to wait for; unpins of other pages are no
 * reason to try. */
TEST(each_try_tells_the_listeners)
{
	struct clo_gmem_pin *pin[2], *other;
	struct clo_thread t;
	struct device d;
	struct waiter w;
	struct eng e;
	uint64_t before;

	eng_open(&e, in_place);
	device_open(&d, &e);
	CHECK_OK(clo_gmem_pin(e.gmem, 0, E_PAGE, "vfio", &d.pin, NULL));
	for (unsigned i = 0; i < 2; i++)
		CHECK_OK(clo_gmem_pin(e.gmem, 0, E_PAGE, "nic", &pin[i], NULL));
	before = tries(&e);
	wait_start(&w, &t, &e, 0);
	for (unsigned i = 0; i < 2; i++) {
		until_tried(&e, before + 1 + i);
		while (clo_a32_get(&d.maps) != i + 1)
			clo_relax();
		for (unsigned k = 0; k < 10; k++) {
			CHECK_OK(clo_gmem_pin(e.gmem, E_PAGE, E_PAGE, "x", &other, NULL));
			clo_gmem_unpin(other);
		}
		CHECK_EQ(clo_a32_get(&d.unmaps), i + 1);
		/* The last that was pinned is the first that is found. */
		clo_gmem_unpin(pin[1 - i]);
	}
	CHECK_OK(clo_thread_join(&t));
	CHECK_OK(w.ret);
	CHECK_EQ(clo_a32_get(&d.maps), 2);
	CHECK_EQ(clo_a32_get(&d.unmaps), 3);
	CHECK(!d.pin);
	eng_close(&e);
}

struct adder {
	struct clo_vm *vm;
	const struct clo_dma_listener *l;
};

static void *add_thread(void *arg)
{
	struct adder *a = arg;

	CHECK_OK(clo_vm_add_dma_listener(a->vm, a->l));
	return NULL;
}

static bool is_listed(struct clo_vm *vm, const struct clo_dma_listener *l)
{
	bool found;

	clo_mutex_lock(&vm->dma_lock);
	found = vm->listeners->id == l;
	clo_mutex_unlock(&vm->dma_lock);
	return found;
}

/* @to_private: a callback of unmap stays, else of map. */
static void a_slow_listener(struct eng_config cfg, bool to_private)
{
	struct device d[2];
	struct clo_thread t[2];
	struct adder adder;
	struct waiter w;
	struct eng e;

	cfg.no_slot = true;
	eng_open(&e, cfg);
	CHECK_OK(eng_slot(&e, 0, E_GPA, 12, 0));
	CHECK_OK(eng_slot(&e, 1, E_GPA + 64 * E_PAGE, 4, 12));
	CHECK_OK(eng_convert(&e, 0, 1, to_private ? 0 : CLO_CONVERT_TO_PRIVATE));
	device_open(&d[0], &e);
	clo_a32_set(&d[0].stays, 1);
	w = (struct waiter){ .e = &e,
			     .c = eng_range(0, 1, to_private ? CLO_CONVERT_TO_PRIVATE : 0) };
	CHECK_OK(clo_thread_create(&t[0], convert_thread, &w));
	while (!clo_a32_get(&d[0].is_in))
		clo_relax();
	for (unsigned i = 0; i < 3; i++) {
		CHECK_OK(eng_convert(&e, 4, 4, CLO_CONVERT_TO_PRIVATE));
		CHECK_OK(eng_slot_delete(&e, 1));
		CHECK_OK(eng_convert(&e, 4, 4, 0));
		CHECK_OK(eng_slot(&e, 1, E_GPA + 64 * E_PAGE, 4, 12));
	}
	/* Who adds a listener waits, but nobody waits for him; what is converted from now on is
	 * told to it too. */
	d[1] = (struct device){ .e = &e };
	d[1].l = (struct clo_dma_listener){
		.size = sizeof(d[1].l), .name = "new", .map = device_map, .arg = &d[1]
	};
	adder = (struct adder){ .vm = e.vm, .l = &d[1].l };
	CHECK_OK(clo_thread_create(&t[1], add_thread, &adder));
	while (!is_listed(e.vm, &d[1].l))
		clo_relax();
	CHECK_OK(eng_convert(&e, 4, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_convert(&e, 4, 1, 0));
	CHECK_EQ(clo_a32_get(&d[1].maps), 1);
	clo_a32_set(&d[0].stays, 0);
	CHECK_OK(clo_thread_join(&t[0]));
	CHECK_OK(clo_thread_join(&t[1]));
	CHECK_OK(w.ret);
	CHECK_EQ(clo_a32_get(&d[1].maps), 1);
	CHECK_OK(clo_vm_remove_dma_listener(e.vm, &d[0].l));
	CHECK_OK(clo_vm_remove_dma_listener(e.vm, &d[1].l));
	CHECK_EQ(eng_is_private(&e, 0), to_private);
	clo_gmem_unpin(d[0].pin);
	eng_close(&e);
}

TEST(a_slow_listener_stops_nobody)
{
	a_slow_listener(in_place, true);
	a_slow_listener(in_place, false);
	a_slow_listener((struct eng_config){ 0 }, true);
	a_slow_listener((struct eng_config){ 0 }, false);
}

struct remover {
	struct clo_vm *vm;
	struct device *d;
};

static void *remove_thread(void *arg)
{
	struct remover *r = arg;

	CHECK_OK(clo_vm_remove_dma_listener(r->vm, &r->d->l));
	CHECK(!clo_a32_get(&r->d->is_in)); /* no callback runs any more */
	return NULL;
}

TEST(a_listener_is_removed_when_its_last_callback_is_over)
{
	struct remover r;
	struct clo_thread t[2];
	struct device d;
	struct waiter w;
	struct eng e;

	eng_open(&e, in_place);
	device_open(&d, &e);
	clo_a32_set(&d.stays, 1);
	w = (struct waiter){ .e = &e, .c = eng_range(0, 1, CLO_CONVERT_TO_PRIVATE) };
	CHECK_OK(clo_thread_create(&t[0], convert_thread, &w));
	while (!clo_a32_get(&d.is_in))
		clo_relax();
	r = (struct remover){ .vm = e.vm, .d = &d };
	CHECK_OK(clo_thread_create(&t[1], remove_thread, &r));
	for (bool listed = true; listed;) {
		clo_mutex_lock(&e.vm->dma_lock);
		listed = e.vm->listeners != NULL;
		clo_mutex_unlock(&e.vm->dma_lock);
	}
	/* Off the list: not told any more. */
	CHECK_OK(eng_convert(&e, 4, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(clo_a32_get(&d.unmaps), 1);
	clo_a32_set(&d.is_in, 0);
	clo_a32_set(&d.stays, 0);
	CHECK_OK(clo_thread_join(&t[0]));
	CHECK_OK(clo_thread_join(&t[1]));
	CHECK_OK(w.ret);
	eng_close(&e);
}
