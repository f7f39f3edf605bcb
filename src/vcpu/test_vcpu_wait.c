/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu/test_vcpu_wait.c - whoever waits for the VMM's prepare hook, which keeps a folio locked, or
 * for a listener that does not come back, sleeps; a vCPU can be kicked out of it.
 */
#include "vcpu/vcpu.h"

#include "harness/engine.h"
#include "harness/thread.h"

/* The hook, or the listener, of page 0 stays until told; the first time. */
struct slow {
	struct eng e;
	struct clo_vcpu *other;
	struct clo_gmem_pin *pin;
	int is_in[2], go[2]; /* pipes */
	struct clo_a32 stayed;
	struct clo_a32 tid; /* of the one that waits */
	int ret;
	struct clo_thread holder, waiter;
};

static void tell(const int *to)
{
	CHECK_EQ(write(to[1], "x", 1), 1);
}

static void hear(const int *from)
{
	char byte;

	CHECK_EQ(read(from[0], &byte, 1), 1);
}

static int stay(struct slow *s, uint64_t gpa)
{
	if (gpa == E_GPA && clo_a32_xchg(&s->stayed, 1) == 0) {
		tell(s->is_in);
		hear(s->go);
	}
	return 0;
}

static int slow_prepare(void *arg, const struct clo_hook_pages *p)
{
	return stay(arg, p->gpa);
}

static int slow_map(void *arg, const struct clo_dma_range *r)
{
	return stay(arg, r->gpa);
}

static int no_unmap(void *arg, const struct clo_dma_range *r)
{
	(void)arg, (void)r;
	return 0;
}

static void *store_main(void *arg)
{
	struct slow *s = arg;

	CHECK_OK(eng_store(&s->e, 0, 0, 7));
	return NULL;
}

static void *convert_main(void *arg)
{
	struct slow *s = arg;

	CHECK_OK(eng_convert(&s->e, 0, 1, 0));
	return NULL;
}

/* @wait runs beside @hold, and is asleep in the end. */
static void meet(struct slow *s, void *(*hold)(void *arg), void *(*wait)(void *arg))
{
	CHECK_OK(clo_thread_create(&s->holder, hold, s));
	hear(s->is_in);
	CHECK_OK(clo_thread_create(&s->waiter, wait, s));
	while (clo_a32_get(&s->tid) == 0 || thread_state(clo_a32_get(&s->tid)) != 'S')
		clo_relax(); /* one that spins never comes to this */
}

static void go_on(struct slow *s)
{
	tell(s->go);
	CHECK_OK(clo_thread_join(&s->holder));
	CHECK_OK(clo_thread_join(&s->waiter));
}

static void slow_open(struct slow *s, bool hook)
{
	struct clo_vm_hooks hooks = { .size = sizeof(hooks), .prepare = slow_prepare, .arg = s };

	*s = (struct slow){ .ret = 1 };
	CHECK_EQ(pipe(s->is_in), 0);
	CHECK_EQ(pipe(s->go), 0);
	eng_open(&s->e, (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM,
					     .gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED,
					     .hooks = hook ? &hooks : NULL });
	CHECK_OK(clo_vcpu_create(s->e.vm, 1, &s->other));
	CHECK_OK(eng_convert(&s->e, 0, 1, CLO_CONVERT_TO_PRIVATE));
}

static void slow_close(struct slow *s)
{
	for (unsigned i = 0; i < 2; i++) {
		close(s->is_in[i]);
		close(s->go[i]);
	}
	eng_close(&s->e);
}

static void *other_stores(void *arg)
{
	struct slow *s = arg;
	uint8_t byte = 9;

	clo_a32_set(&s->tid, thread_id());
	s->ret = clo_vcpu_access(s->other, E_GPA, &byte, 1, CLO_ACCESS_WRITE);
	return NULL;
}

static void *other_prefaults(void *arg)
{
	uint64_t gpa = E_GPA, bytes = E_PAGE;
	struct slow *s = arg;

	clo_a32_set(&s->tid, thread_id());
	s->ret = clo_vcpu_pre_fault(s->other, &gpa, &bytes);
	return NULL;
}

TEST_TIMEOUT(a_vcpu_waits_asleep_for_a_hook, 60)
{
	struct slow s;

	slow_open(&s, true);
	meet(&s, store_main, other_stores);
	go_on(&s);
	CHECK_OK(s.ret);
	slow_close(&s);
}

static void kicked_out(void *(*wait)(void *arg))
{
	struct slow s;

	slow_open(&s, true);
	meet(&s, store_main, wait);
	clo_vcpu_kick(s.other);
	CHECK_OK(clo_thread_join(&s.waiter));
	CHECK_ERR(s.ret, -EINTR);
	CHECK_EQ(clo_vcpu_exit(s.other)->reason, CLO_EXIT_INTR);
	tell(s.go);
	CHECK_OK(clo_thread_join(&s.holder));
	CHECK_EQ(eng_byte(&s.e, 0, 0), 7);
	slow_close(&s);
}

TEST_TIMEOUT(a_kick_wakes_who_waits_for_a_hook, 60)
{
	kicked_out(other_stores);
	kicked_out(other_prefaults);
}

static void *punches(void *arg)
{
	struct slow *s = arg;

	clo_a32_set(&s->tid, thread_id());
	s->ret = eng_punch(&s->e, 0, 1);
	return NULL;
}

TEST_TIMEOUT(a_hole_waits_asleep_for_a_hook, 60)
{
	struct slow s;

	slow_open(&s, true);
	meet(&s, store_main, punches);
	go_on(&s);
	CHECK_OK(s.ret);
	slow_close(&s);
}

/* Page 1 is not converted: it has its stripe in common with page 0. */
static void *pins(void *arg)
{
	struct slow *s = arg;

	clo_a32_set(&s->tid, thread_id());
	s->ret = clo_gmem_pin(s->e.gmem, E_PAGE, E_PAGE, "dev", &s->pin, NULL);
	return NULL;
}

static void *allocates(void *arg)
{
	struct slow *s = arg;

	clo_a32_set(&s->tid, thread_id());
	s->ret = clo_gmem_fallocate(s->e.gmem, CLO_FALLOC_KEEP_SIZE, E_PAGE, E_PAGE);
	return NULL;
}

static void *reads(void *arg)
{
	struct slow *s = arg;
	uint8_t byte;

	clo_a32_set(&s->tid, thread_id());
	s->ret = clo_gmem_host_access(s->e.gmem, E_PAGE, &byte, 1, false);
	return NULL;
}

static void beside_a_listener(void *(*wait)(void *arg))
{
	struct clo_dma_listener l = {
		.size = sizeof(l), .name = "slow", .map = slow_map, .unmap = no_unmap
	};
	struct slow s;

	slow_open(&s, false);
	l.arg = &s;
	CHECK_OK(clo_vm_add_dma_listener(s.e.vm, &l));
	meet(&s, convert_main, wait);
	go_on(&s);
	CHECK_OK(s.ret);
	clo_gmem_unpin(s.pin);
	CHECK_OK(clo_vm_remove_dma_listener(s.e.vm, &l));
	slow_close(&s);
}

TEST_TIMEOUT(neighbours_of_a_page_whose_listener_is_slow_sleep, 60)
{
	beside_a_listener(pins);
	beside_a_listener(allocates);
	beside_a_listener(reads);
}
