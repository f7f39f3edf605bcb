/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/test_cancel.c - pthread_cancel() of a thread that is inside a call: the call ends as always,
 * and what it holds is given back; the thread ends at its own next cancellation point.
 */
#include "vm/vm.h"

#include "harness/engine.h"

struct cancelled {
	struct eng *e;
	void (*call)(struct eng *e);
	bool returned;
};

static void *cancel_and_call(void *arg)
{
	struct cancelled *c = arg;

	/* It stays pending until the first cancellation point. */
	CHECK_EQ(pthread_cancel(pthread_self()), 0);
	c->call(c->e);
	c->returned = true;
	pthread_testcancel();
	return NULL;
}

static void cancelled(struct eng *e, void (*call)(struct eng *e))
{
	struct cancelled c = { .e = e, .call = call };
	pthread_t t;
	void *ret;

	CHECK_EQ(pthread_create(&t, NULL, cancel_and_call, &c), 0);
	CHECK_EQ(pthread_join(t, &ret), 0);
	CHECK(c.returned);
	CHECK(ret == PTHREAD_CANCELED);
}

static void wait_for_a_pin(struct eng *e)
{
	struct clo_convert c = eng_range(3, 1, CLO_CONVERT_TO_PRIVATE);

	c.wait_ns = 1;
	CHECK_ERR(clo_vm_convert(e->vm, &c), -EAGAIN);
}

static void hole(struct eng *e)
{
	CHECK_OK(clo_gmem_fallocate(e->gmem, CLO_FALLOC_KEEP_SIZE | CLO_FALLOC_PUNCH_HOLE, 0,
				    (int64_t)(8 * E_PAGE)));
}

static void map_and_unmap(struct eng *e)
{
	void *addr;

	CHECK_OK(clo_gmem_mmap(e->gmem, 0, 8 * E_PAGE, true, &addr));
	CHECK_OK(clo_gmem_munmap(e->gmem, addr, 8 * E_PAGE));
}

static void slots(struct eng *e)
{
	CHECK_OK(eng_slot_delete(e, 0));
	CHECK_OK(eng_slot(e, 0, E_GPA, e->pages, 0));
}

static void files(struct eng *e)
{
	struct clo_gmem *g;
	uint8_t byte = 1;

	CHECK_OK(clo_gmem_create(e->vm, E_PAGE, CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED, 0, &g));
	CHECK_OK(clo_gmem_host_access(g, 0, &byte, 1, true));
	clo_gmem_close(g);
}

static void hosts(struct eng *e)
{
	struct clo_host_config hc = { .size = sizeof(hc), .mem_bytes = 1 << 20 };
	struct clo_vm_config vc = { .size = sizeof(vc), .type = CLO_VM_SW_PROTECTED };
	struct clo_host *host;
	struct clo_vm *vm;

	(void)e;
	CHECK_OK(clo_host_create(&hc, &host));
	CHECK_OK(clo_vm_create(host, &vc, &vm));
	clo_vm_destroy(vm, NULL);
	CHECK_OK(clo_host_destroy(host));
}

/* A callback of the VMM runs inside a conversion: it is no place to end a thread either. */
static int is_told(void *arg, const struct clo_dma_range *r)
{
	(void)arg;
	(void)r;
	pthread_testcancel();
	return 0;
}

static const struct clo_dma_listener listener = {
	.size = sizeof(listener),
	.name = "dev",
	.map = is_told,
	.unmap = is_told,
};

static void conversions(struct eng *e)
{
	CHECK_OK(eng_convert(e, 1, 4, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(e, 2, CLO_ACCESS_PRIVATE, 5));
	CHECK_OK(eng_convert(e, 1, 4, 0));
}

static int prepare(void *arg, const struct clo_hook_pages *p)
{
	(void)arg;
	(void)p;
	pthread_testcancel();
	return 0;
}

static void changes_hands(void *arg, const struct clo_hook_pages *p)
{
	(void)prepare(arg, p);
}

static const struct clo_vm_hooks hooks = {
	.size = sizeof(hooks),
	.prepare = prepare,
	.inaccessible = changes_hands,
	.invalidate = changes_hands,
};

static void open_engine(struct eng *e, const struct clo_vm_hooks *h)
{
	struct clo_view_probe p;

	clo_view_probe(&p);
	eng_open(e, (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM,
					 .vm_flags = CLO_VM_TYPED_ACCESS,
					 .gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED,
					 .hooks = h,
					 .view = p.best == CLO_VIEW_UFFD ? CLO_HOST_VIEW_UFFD
									 : CLO_HOST_VIEW_REMAP });
}

TEST(calls)
{
	static void (*const all[])(struct eng *) = { wait_for_a_pin, hole,  map_and_unmap,
						     slots,          files, hosts };
	struct clo_gmem_pin *pin;
	struct eng e;

	open_engine(&e, NULL);
	CHECK_OK(clo_gmem_pin(e.gmem, 3 * E_PAGE, E_PAGE, "dev", &pin, NULL));
	for (size_t i = 0; i < CLO_ARRAY_SIZE(all); i++) {
		test_note("call %zu", i);
		cancelled(&e, all[i]);
	}
	clo_gmem_unpin(pin);
	conversions(&e);
	eng_close(&e);
}

TEST(callbacks)
{
	struct eng e;

	open_engine(&e, &hooks);
	CHECK_OK(clo_vm_add_dma_listener(e.vm, &listener));
	cancelled(&e, conversions);
	CHECK_OK(clo_vm_remove_dma_listener(e.vm, &listener));
	cancelled(&e, conversions);
	conversions(&e);
	eng_close(&e);
}
