/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu/test_vcpu_kick.c - clo_vcpu_kick(): before a call, between pages, and while the vCPU waits
 * for a conversion whose listener does not come back until told.
 */
#include "vcpu/vcpu.h"

#include <signal.h>
#include <unistd.h>

#include "harness/engine.h"
#include "harness/thread.h"

static const struct eng_config in_place = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED,
	.vm_flags = CLO_VM_CONVERT_ON_HYPERCALL,
	.hypercalls = true,
};

static void left(struct eng *e)
{
	const struct clo_exit *x = clo_vcpu_exit(e->vcpu);

	CHECK_EQ(x->reason, CLO_EXIT_INTR);
	CHECK_EQ(x->cause, CLO_CAUSE_NONE);
	CHECK_ERR(x->error, -EINTR);
	CHECK_EQ(x->memory_fault.size, 0);
	CHECK_EQ(x->mmio.len, 0);
}

TEST(a_kick_before_the_call)
{
	uint64_t gpa = E_GPA, bytes = 2 * E_PAGE;
	struct eng e;
	uint8_t v = 3;

	eng_open(&e, in_place);
	CHECK_OK(eng_store(&e, 0, 0, 1));
	clo_vcpu_kick(e.vcpu);
	clo_vcpu_kick(e.vcpu);
	CHECK_ERR(clo_vcpu_access(e.vcpu, E_GPA, &v, 1, 4), -EINVAL); /* keeps the kick */
	CHECK_ERR(clo_vcpu_access(e.vcpu, E_GPA, &v, 1, CLO_ACCESS_WRITE), -EINTR);
	left(&e);
	CHECK_EQ(eng_byte(&e, 0, 0), 1); /* once for both kicks, and nothing stored */
	CHECK_EQ(clo_vcpu_exit(e.vcpu)->reason, CLO_EXIT_NONE);
	clo_vcpu_kick(e.vcpu);
	CHECK_ERR(clo_vcpu_access(e.vcpu, E_GPA, &v, 0, 0), -EINTR);
	left(&e);
	clo_vcpu_kick(e.vcpu);
	CHECK_ERR(clo_vcpu_pre_fault(e.vcpu, &gpa, &bytes), -EINTR);
	left(&e);
	CHECK(gpa == E_GPA && bytes == 2 * E_PAGE);
	clo_vcpu_kick(e.vcpu);
	CHECK_ERR(clo_vcpu_map_gpa_range(e.vcpu, E_GPA, 1, CLO_MAP_GPA_ENCRYPTED), -EINTR);
	left(&e);
	CHECK(!eng_is_private(&e, 0));
	CHECK_OK(clo_vcpu_map_gpa_range(e.vcpu, E_GPA, 1, CLO_MAP_GPA_ENCRYPTED));
	CHECK(eng_is_private(&e, 0));
	eng_close(&e);
}

/* A hypercall that is with the VMM is completed all the same, as KVM does before it leaves. */
TEST(a_kick_leaves_a_pending_hypercall)
{
	struct eng e;

	eng_open(&e, (struct eng_config){ .hypercalls = true });
	CHECK_EQ(clo_vcpu_map_gpa_range(e.vcpu, E_GPA, 1, CLO_MAP_GPA_ENCRYPTED), 1);
	clo_vcpu_kick(e.vcpu);
	CHECK_EQ(clo_vcpu_complete_hypercall(e.vcpu, 5), 5);
	CHECK_ERR(eng_store(&e, 0, 0, 1), -EINTR);
	CHECK_OK(eng_store(&e, 0, 0, 1));
	eng_close(&e);
}

/* The prepare hook of page @kick_at kicks the vCPU that it runs for. */
struct hook {
	struct eng e;
	uint64_t kick_at;
};

static int kicking_prepare(void *arg, const struct clo_hook_pages *p)
{
	struct hook *h = arg;

	if (p->gpa == E_GPA + h->kick_at * E_PAGE)
		clo_vcpu_kick(h->e.vcpu);
	return 0;
}

TEST(pages_before_the_kick_are_done)
{
	uint64_t gpa = E_GPA + 8 * E_PAGE, bytes = 3 * E_PAGE;
	struct hook h = { .kick_at = 1 };
	struct clo_vm_hooks hooks = { .size = sizeof(hooks),
				      .prepare = kicking_prepare,
				      .arg = &h };
	uint8_t out[3 * E_PAGE];

	eng_open(&h.e, (struct eng_config){ .hooks = &hooks });
	CHECK_OK(eng_convert(&h.e, 0, 16, CLO_CONVERT_TO_PRIVATE));
	memset(out, 5, sizeof(out));
	CHECK_ERR(clo_vcpu_access(h.e.vcpu, E_GPA, out, sizeof(out), CLO_ACCESS_WRITE), -EINTR);
	left(&h.e);
	h.kick_at = UINT64_MAX;
	CHECK_EQ(eng_byte(&h.e, 0, 0), 5);
	CHECK_EQ(eng_byte(&h.e, 1, 0), 0);
	CHECK_OK(clo_vcpu_access(h.e.vcpu, E_GPA, out, sizeof(out), CLO_ACCESS_WRITE));
	/* A pre-fault says how far it came, and the next call leaves. */
	h.kick_at = 8;
	CHECK_OK(clo_vcpu_pre_fault(h.e.vcpu, &gpa, &bytes));
	CHECK(gpa == E_GPA + 9 * E_PAGE && bytes == 2 * E_PAGE);
	CHECK_ERR(clo_vcpu_pre_fault(h.e.vcpu, &gpa, &bytes), -EINTR);
	left(&h.e);
	CHECK_OK(clo_vcpu_pre_fault(h.e.vcpu, &gpa, &bytes));
	CHECK_EQ(bytes, 0);
	eng_close(&h.e);
}

/* Page 0 is on its way to shared, and the device that maps it stays in its callback until told. */
struct slow {
	struct eng e;
	struct clo_dma_listener l;
	int is_in[2], go[2]; /* pipes */
	bool pre_fault;
	int ret;
	struct clo_a32 tid; /* of the vCPU's thread */
	struct clo_thread convert, vcpu;
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

static int slow_map(void *arg, const struct clo_dma_range *r)
{
	struct slow *s = arg;

	(void)r;
	tell(s->is_in);
	hear(s->go);
	return 0;
}

static int no_unmap(void *arg, const struct clo_dma_range *r)
{
	(void)arg, (void)r;
	return 0;
}

static void *convert_main(void *arg)
{
	struct slow *s = arg;

	CHECK_OK(eng_convert(&s->e, 0, 1, 0));
	return NULL;
}

static void *vcpu_main(void *arg)
{
	uint64_t gpa = E_GPA, bytes = E_PAGE;
	struct slow *s = arg;

	clo_a32_set(&s->tid, thread_id());
	s->ret = s->pre_fault ? clo_vcpu_pre_fault(s->e.vcpu, &gpa, &bytes)
			      : eng_store(&s->e, 0, 0, 7);
	return NULL;
}

static void slow_open(struct slow *s, struct eng_config cfg)
{
	eng_open(&s->e, cfg);
	CHECK_EQ(pipe(s->is_in), 0);
	CHECK_EQ(pipe(s->go), 0);
	CHECK_OK(eng_convert(&s->e, 0, 1, CLO_CONVERT_TO_PRIVATE));
	s->l = (struct clo_dma_listener){
		.size = sizeof(s->l), .name = "slow", .map = slow_map, .unmap = no_unmap, .arg = s
	};
	CHECK_OK(clo_vm_add_dma_listener(s->e.vm, &s->l));
	CHECK_OK(clo_thread_create(&s->convert, convert_main, s));
	hear(s->is_in);
	CHECK_OK(clo_thread_create(&s->vcpu, vcpu_main, s));
}

static void slow_close(struct slow *s)
{
	tell(s->go);
	CHECK_OK(clo_thread_join(&s->convert));
	CHECK_OK(eng_store(&s->e, 0, 0, 8)); /* and the vCPU works as before */
	CHECK_OK(clo_vm_remove_dma_listener(s->e.vm, &s->l));
	for (unsigned i = 0; i < 2; i++) {
		close(s->is_in[i]);
		close(s->go[i]);
	}
	eng_close(&s->e);
}

/* Until the vCPU has gone to sleep in its wait; one that spins does not get here. */
static void until_asleep(struct slow *s)
{
	while (clo_a32_get_sc(&s->e.vm->mmu.inval.ended.waiters) == 0)
		clo_relax();
	while (thread_state(clo_a32_get(&s->tid)) != 'S')
		clo_relax();
}

static void kicked_out(struct eng_config cfg, bool pre_fault)
{
	struct slow s = { .pre_fault = pre_fault };

	slow_open(&s, cfg);
	until_asleep(&s);
	clo_vcpu_kick(s.e.vcpu);
	CHECK_OK(clo_thread_join(&s.vcpu));
	CHECK_ERR(s.ret, -EINTR);
	left(&s.e);
	slow_close(&s);
}

TEST_TIMEOUT(a_kick_wakes_who_waits_for_a_listener, 60)
{
	kicked_out(in_place, false);
	kicked_out(in_place, true);
	kicked_out((struct eng_config){ 0 }, false);
	kicked_out((struct eng_config){ 0 }, true);
}

static struct clo_vcpu *signalled;

static void on_signal(int sig)
{
	(void)sig;
	clo_vcpu_kick(signalled);
}

TEST_TIMEOUT(a_kick_from_a_signal_handler, 60)
{
	struct sigaction act = { .sa_handler = on_signal };
	struct slow s = { 0 };

	slow_open(&s, in_place);
	until_asleep(&s);
	signalled = s.e.vcpu;
	CHECK_EQ(sigaction(SIGUSR1, &act, NULL), 0);
	CHECK_EQ(raise(SIGUSR1), 0);
	CHECK_OK(clo_thread_join(&s.vcpu));
	CHECK_ERR(s.ret, -EINTR);
	slow_close(&s);
}

static void *kick_main(void *arg)
{
	clo_vcpu_kick(arg);
	return NULL;
}

/* At any moment: before the look, between look and sleep, asleep. None is lost, or this hangs. */
TEST_TIMEOUT(kicks_at_any_moment, 120)
{
	for (unsigned i = 0; i < 200; i++) {
		struct slow s = { 0 };
		struct clo_thread k;

		slow_open(&s, in_place);
		CHECK_OK(clo_thread_create(&k, kick_main, s.e.vcpu));
		CHECK_OK(clo_thread_join(&s.vcpu));
		CHECK_OK(clo_thread_join(&k));
		CHECK_ERR(s.ret, -EINTR);
		slow_close(&s);
	}
}
