/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/test_fork.c - in a child of fork() the parent's objects answer with EIO, as KVM's do
 * (virt/kvm/kvm_main.c, kvm->mm != current->mm), and what the child makes itself works. Nothing
 * hangs, whatever other threads were at when the process forked.
 *
 * in_a_child() calls each function of the API: tests/public/test_public.py looks that none is
 * missing in what comes before it.
 */
#include "vm/vm.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cloister/snp.h>
#include <cloister/tdx.h>

#include "harness/engine.h"

#define CHILDREN 50

static int no_map(void *arg, const struct clo_dma_range *r)
{
	(void)arg, (void)r;
	return 0;
}

static const struct clo_dma_listener listener = {
	.size = sizeof(listener), .name = "dev", .map = no_map, .unmap = no_map
};

static void vm_calls_are_refused(struct eng *e)
{
	struct clo_vm_config vc = { .size = sizeof(vc), .type = CLO_VM_SW_PROTECTED };
	struct clo_convert c = eng_range(0, 1, CLO_CONVERT_TO_PRIVATE);
	struct clo_vm_hooks hooks = { .size = sizeof(hooks) };
	struct clo_region region = eng_region(e, 9, 9 * E_GPA, 1, 0);
	uint64_t gpa = E_GPA, bytes = E_PAGE, attributes = 9, same = 9;
	struct clo_gmem *g = NULL;
	struct clo_vcpu *v = NULL;
	struct clo_vm *vm = NULL;
	uint8_t byte = 1;

	CHECK_ERR(clo_vm_create(e->host, &vc, &vm), -EIO);
	CHECK_ERR(clo_gmem_create(e->vm, E_PAGE, 0, 0, &g), -EIO);
	CHECK_ERR(clo_vcpu_create(e->vm, 77, &v), -EIO);
	CHECK(!vm && !g && !v);
	CHECK_ERR(clo_vm_set_region(e->vm, &region), -EIO);
	CHECK_ERR(eng_slot_delete(e, 0), -EIO);
	CHECK_ERR(clo_vm_set_holes(e->vm, 0, E_GPA, E_PAGE, false), -EIO);
	CHECK_ERR(clo_vm_set_attributes(e->vm, E_GPA, E_PAGE, CLO_ATTR_PRIVATE), -EIO);
	CHECK_ERR(clo_vm_get_attributes(e->vm, E_GPA, E_PAGE, &attributes, &same), -EIO);
	CHECK(attributes == 9 && same == 9);
	CHECK_ERR(clo_vm_convert(e->vm, &c), -EIO);
	CHECK_ERR(clo_vm_add_dma_listener(e->vm, &listener), -EIO);
	CHECK_ERR(clo_vm_remove_dma_listener(e->vm, &listener), -EIO);
	CHECK_ERR(clo_vm_set_hooks(e->vm, &hooks), -EIO);
	CHECK(e->vm->hooks.size == 0);
	CHECK_ERR(clo_vcpu_access(e->vcpu, E_GPA, &byte, 1, 0), -EIO);
	CHECK_ERR(clo_vcpu_pre_fault(e->vcpu, &gpa, &bytes), -EIO);
	CHECK_ERR(clo_vcpu_map_gpa_range(e->vcpu, E_GPA, 1, 0), -EIO);
	CHECK_ERR(clo_vcpu_complete_hypercall(e->vcpu, 0), -EIO);
	CHECK(gpa == E_GPA && bytes == E_PAGE && byte == 1);
	clo_vcpu_kick(e->vcpu);
	CHECK_EQ(clo_a32_get(&e->vcpu->waiter.off), 0);
}

static void gmem_calls_are_refused(struct eng *e, struct clo_gmem_pin *pin)
{
	struct clo_gmem_pin *p = NULL;
	uint64_t off = 9;
	void *at = NULL;
	uint8_t byte = 1;

	CHECK_ERR(eng_punch(e, 0, 1), -EIO);
	CHECK_ERR(clo_gmem_inject_memory_error(e->gmem, 0), -EIO);
	CHECK_ERR(clo_gmem_fallocate(e->gmem, CLO_FALLOC_KEEP_SIZE, 0, E_PAGE), -EIO);
	CHECK_ERR(clo_gmem_mmap(e->gmem, 0, E_PAGE, true, &at), -EIO);
	CHECK_ERR(clo_gmem_munmap(e->gmem, e->user, E_PAGE), -EIO);
	CHECK_ERR(clo_gmem_host_access(e->gmem, 0, &byte, 1, false), -EIO);
	CHECK_ERR(clo_gmem_set_attributes(e->gmem, 0, E_PAGE, 0, &off), -EIO);
	CHECK_ERR(clo_gmem_pin(e->gmem, 0, E_PAGE, "", &p, &off), -EIO);
	CHECK_ERR(clo_gmem_pin_nowait(e->gmem, 0, E_PAGE, "", &p, &off), -EIO);
	CHECK(!at && !p && off == 9 && byte == 1);
	clo_gmem_unpin(pin);
}

/* No errno to answer with, and nothing but what never changes to look at. */
static void queries_are_answered(struct eng *e)
{
	CHECK_EQ(clo_gmem_size(e->gmem), e->pages * E_PAGE);
	CHECK_EQ(clo_gmem_flags(e->gmem), clo_vm_capability(e->vm, CLO_CAP_MEMORY_ATTRIBUTES)
						  ? 0
						  : CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED);
	CHECK_EQ(clo_gmem_page_order(e->gmem), 0);
	CHECK_EQ(clo_host_capability(e->host, CLO_CAP_GUEST_MEMFD), 1);
	CHECK_EQ(clo_vm_capability(e->vm, CLO_CAP_VM_TYPES), 1 << CLO_VM_SW_PROTECTED);
	CHECK_EQ(clo_vm_capability(e->vm, CLO_CAP_HOST_VIEW), clo_host_view(e->host));
	CHECK_EQ(clo_vcpu_exit(e->vcpu)->cause, CLO_CAUSE_NONE);
}

static void what_has_no_handle_works(void)
{
	struct clo_error why = { .size = sizeof(why), .reason = 9 };

	CHECK_OK(clo_last_error(-EIO, &why));
	CHECK_EQ(why.reason, CLO_REASON_NONE);
	CHECK(clo_version() && clo_reason_text(why.reason) && clo_zap_reason_text(0));
	CHECK(clo_leak_kind_text(0) && clo_fault_cause_text(0));
}

/* What a child may always do, in any order, and what it gets. */
static void ends_are_quiet(struct eng *e)
{
	struct clo_leak_report r = { .size = sizeof(r), .pins_left = 9 };
	struct clo_host_stats hs = { .size = sizeof(hs), .frames_used = 9 };
	struct clo_vm_stats vs = { .size = sizeof(vs), .faults = 9 };

	CHECK_ERR(clo_host_stats(e->host, &hs), -EIO);
	CHECK_ERR(clo_vm_stats(e->vm, &vs), -EIO);
	CHECK_ERR(clo_vm_report(e->vm, &r), -EIO);
	CHECK(hs.frames_used == 9 && vs.faults == 9 && r.pins_left == 9);
	clo_gmem_close(e->gmem);
	CHECK_OK(clo_vm_destroy(e->vm, &r));
	CHECK_OK(clo_host_destroy(e->host));
}

static bool has_fd_named(const char *name)
{
	for (int fd = 0; fd < 64; fd++) {
		char link[64], to[64] = "";

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		if (readlink(link, to, sizeof(to) - 1) > 0 && strstr(to, name))
			return true;
	}
	return false;
}

/* A machine of the child's own: faults, conversions, deferred frees, a host mapping. */
static void a_new_host_works(void)
{
	struct clo_host *host;
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	for (uint64_t i = 0; i < 4; i++) {
		CHECK_OK(eng_store(&e, i, 0, (uint8_t)i));
		CHECK_OK(eng_convert(&e, i, 1, CLO_CONVERT_TO_PRIVATE));
		CHECK_OK(eng_store(&e, i, 0, (uint8_t)(i + 1)));
		CHECK_EQ(eng_byte(&e, i, 0), i + 1);
	}
	CHECK_OK(eng_slot_delete(&e, 0));
	eng_close(&e);
	CHECK_OK(clo_host_create(NULL, &host));
	CHECK(clo_host_view(host) != CLO_HOST_VIEW_AUTO);
	CHECK_OK(clo_host_destroy(host));
}

/* A TDX platform is the process's own memory: the child goes on with a copy of it. */
static void a_platform_is_copied(struct clo_tdx *m)
{
	struct clo_tdx_config c = { .size = sizeof(c), .mem_bytes = 1 << 20 };
	struct clo_tdx_entry entry = { .size = sizeof(entry) };
	struct clo_tdx_access a = { .size = sizeof(a), .bytes = 1 };
	struct clo_tdx_regs regs = { .rax = CLO_TDH_MNG_CREATE, .rcx = 0x1000, .rdx = 2 };
	struct clo_tdx_page page = { .size = sizeof(page) };
	struct clo_tdx_exit exit = { .size = sizeof(exit) };
	struct clo_tdx *own;
	uint8_t byte = 1;

	CHECK_EQ(clo_tdx_seamcall(m, 0, &regs), 0);
	CHECK_STR(clo_tdx_status_name(regs.rax), "SUCCESS");
	CHECK_STR(clo_tdx_operand_name(regs.rax), "");
	CHECK_OK(clo_tdx_look_page(m, 0x1000, &page));
	CHECK_STR(page.type_name, "TDR");
	CHECK_ERR(clo_tdx_look_entry(m, 0x1000, 0, 0, &entry), -EINVAL);
	CHECK_OK(clo_tdx_memory(m, 0x2000, &byte, 1, true));
	clo_tdx_set_interrupt(m, 1);
	CHECK_ERR(clo_tdx_access(m, 0x1000, &a, &byte, &exit), -EINVAL);
	CHECK_ERR(clo_tdx_tdcall(m, 0x1000, &regs, &exit), -EINVAL);
	CHECK_ERR(clo_tdx_interrupt(m, 0x1000, &exit), -EINVAL);
	clo_tdx_destroy(m);
	CHECK_OK(clo_tdx_create(&c, &own));
	clo_tdx_destroy(own);
}

/* So is SEV-SNP's. */
static void an_rmp_is_copied(void)
{
	struct clo_snp_access a = { .size = sizeof(a), .asid = 1, .encrypted = true };
	struct clo_snp_rmp_state s = { .assigned = true, .asid = 1 };
	struct clo_snp_config c = { .size = sizeof(c), .mem_bytes = 4 << 20 };
	struct clo_snp_command fw = { .size = sizeof(fw) };
	struct clo_snp_entry e = { .size = sizeof(e) };
	uint64_t buf[2] = { 0 }, answer;
	struct clo_snp_result r;
	struct clo_snp_psc psc;
	struct clo_snp *m;

	CHECK_OK(clo_snp_create(&c, &m));
	CHECK_EQ(clo_snp_rmpupdate(m, 0, &s), CLO_SNP_OK);
	CHECK_EQ(clo_snp_psmash(m, 0), CLO_SNP_FAIL_PERMISSION);
	CHECK_EQ(clo_snp_access(m, &a, &answer), 2);
	CHECK_EQ(clo_snp_host_write(m, 0, 0), CLO_SNP_NPF_RMP);
	CHECK_OK(clo_snp_pvalidate(m, &a, 0, 1, &r));
	CHECK_OK(clo_snp_rmpadjust(m, &a, 0, 1, 1, 0, &r));
	CHECK_EQ(clo_snp_firmware(m, &fw), CLO_SNP_FW_INVALID_PARAM);
	CHECK_OK(clo_snp_look(m, 0, &e));
	CHECK_EQ(clo_snp_psc_msr(0, &psc, &answer), 0);
	CHECK_EQ(answer, clo_snp_psc_msr_done(1));
	CHECK_EQ(clo_snp_psc_next(buf, sizeof(buf), &psc), CLO_SNP_PSC_OK);
	clo_snp_psc_done(buf, sizeof(buf), &psc, 0);
	clo_snp_destroy(m);
}

static void in_a_child(struct eng *e, struct clo_gmem_pin *pin)
{
	CHECK(!has_fd_named("cloister-pool"));
	vm_calls_are_refused(e);
	gmem_calls_are_refused(e, pin);
	queries_are_answered(e);
	what_has_no_handle_works();
	ends_are_quiet(e);
	a_new_host_works();
}

static void child_was_fine(pid_t pid)
{
	int status = -1;

	CHECK_LE(0, pid);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static const struct eng_config in_place = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED,
	.hypercalls = true,
};

TEST_TIMEOUT(parents_objects_are_eio, 60)
{
	struct clo_tdx_config tc = { .size = sizeof(tc), .mem_bytes = 1 << 20 };
	struct clo_tdx_page page = { .size = sizeof(page) };
	struct eng_config c = in_place;
	struct clo_gmem_pin *pin;
	struct clo_tdx *tdx;
	struct eng e;

	CHECK_OK(clo_tdx_create(&tc, &tdx));
	c.view = CLO_HOST_VIEW_REMAP;
	eng_open(&e, c);
	CHECK(has_fd_named("cloister-pool"));
	CHECK_OK(eng_store(&e, 0, 0, 1));
	CHECK_OK(clo_gmem_pin(e.gmem, 0, E_PAGE, "dev", &pin, NULL));

	pid_t pid = fork();

	if (pid == 0) {
		a_platform_is_copied(tdx);
		an_rmp_is_copied();
		in_a_child(&e, pin);
		_exit(0);
	}
	child_was_fine(pid);
	/* And the parent's are as they were. */
	CHECK_OK(clo_tdx_look_page(tdx, 0x1000, &page));
	CHECK_STR(page.type_name, "NDA");
	CHECK_EQ(eng_byte(&e, 0, 0), 1);
	clo_gmem_unpin(pin);
	eng_close(&e);
	clo_tdx_destroy(tdx);
}

struct busy {
	struct eng *e;
	struct clo_vcpu *vcpu;
	struct clo_a32 *stop;
	unsigned what;
	struct clo_thread t;
};

static void be_busy(struct busy *b, uint64_t page)
{
	struct clo_gmem_pin *pin;
	struct clo_host *host;
	uint8_t byte = 1;
	int any = 0;

	switch (b->what) {
	case 0:
		(void)eng_convert(b->e, page, 2, CLO_CONVERT_TO_PRIVATE);
		(void)eng_convert(b->e, page, 2, 0);
		break;
	case 1:
		CHECK_OK(eng_punch(b->e, page, 1));
		if (clo_gmem_pin(b->e->gmem, page * E_PAGE, E_PAGE, "b", &pin, NULL) == 0)
			clo_gmem_unpin(pin);
		any = clo_gmem_host_access(b->e->gmem, page * E_PAGE, &byte, 1, true);
		break;
	case 2:
		CHECK_OK(eng_slot(b->e, 1, 8 * E_GPA, 4, 16));
		CHECK_OK(eng_slot_delete(b->e, 1));
		break;
	case 3:
		CHECK_OK(clo_host_create(NULL, &host));
		CHECK_OK(clo_host_destroy(host));
		break;
	default:
		any = clo_vcpu_access(b->vcpu, E_GPA + page * E_PAGE, &byte, 1, CLO_ACCESS_WRITE);
		break;
	}
	(void)any;
}

static void *busy_main(void *arg)
{
	struct busy *b = arg;

	for (uint64_t i = 0; !clo_a32_get(b->stop); i++)
		be_busy(b, i % 8);
	return NULL;
}

static void fork_while_busy(struct eng_config c)
{
	struct clo_gmem_pin *pin = NULL;
	struct clo_a32 stop = { 0 };
	struct busy b[6];
	struct eng e;

	c.pages = 32;
	eng_open(&e, (struct eng_config){ .no_slot = true });
	eng_close(&e);
	eng_open(&e, c);
	CHECK_OK(eng_slot_delete(&e, 0));
	CHECK_OK(eng_slot(&e, 0, E_GPA, 16, 0));
	if (c.owner == CLO_ATTR_OWNER_GMEM)
		CHECK_OK(clo_gmem_pin(e.gmem, 20 * E_PAGE, E_PAGE, "dev", &pin, NULL));
	for (unsigned i = 0; i < CLO_ARRAY_SIZE(b); i++) {
		b[i] = (struct busy){ .e = &e, .stop = &stop, .what = i };
		CHECK_OK(clo_vcpu_create(e.vm, i + 1, &b[i].vcpu));
		CHECK_OK(clo_thread_create(&b[i].t, busy_main, &b[i]));
	}
	for (unsigned i = 0; i < CHILDREN; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			in_a_child(&e, pin);
			_exit(0);
		}
		child_was_fine(pid);
	}
	clo_a32_set(&stop, 1);
	for (unsigned i = 0; i < CLO_ARRAY_SIZE(b); i++)
		CHECK_OK(clo_thread_join(&b[i].t));
	clo_gmem_unpin(pin);
	eng_close(&e);
}

/* A child of threads cannot make threads of its own under AddressSanitizer: its locks are taken. */
#ifdef __SANITIZE_ADDRESS__
#define SKIP_UNDER_ASAN() SKIP("AddressSanitizer does not survive fork() of a busy process")
#else
#define SKIP_UNDER_ASAN() (void)0
#endif

TEST_TIMEOUT(forks_while_all_is_busy_in_place, 120)
{
	SKIP_UNDER_ASAN();
	fork_while_busy(in_place);
}

TEST_TIMEOUT(forks_while_all_is_busy_two_backings, 120)
{
	SKIP_UNDER_ASAN();
	fork_while_busy((struct eng_config){ .hypercalls = true });
}

/* The parent goes, the child carries on: with machines of its own. */
TEST_TIMEOUT(daemonize, 60)
{
	int to_daemon[2], answer[2];
	char byte = 0;
	struct eng e;

	CHECK_EQ(pipe(to_daemon), 0);
	CHECK_EQ(pipe(answer), 0);

	pid_t pid = fork();

	if (pid == 0) {
		eng_open(&e, in_place);
		CHECK_OK(eng_store(&e, 0, 0, 1));
		if (fork() != 0)
			_exit(0); /* as daemon(3) does: nothing is destroyed */
		close(to_daemon[1]);
		/* The end of file: parent and grandparent have let go. */
		CHECK_EQ(read(to_daemon[0], &byte, 1), 0);
		in_a_child(&e, NULL);
		CHECK_EQ(write(answer[1], "y", 1), 1);
		_exit(0);
	}
	child_was_fine(pid);
	close(to_daemon[1]);
	close(answer[1]);
	CHECK_EQ(read(answer[0], &byte, 1), 1);
	CHECK_EQ(byte, 'y');
}

static void *convert_and_wait(void *arg)
{
	struct clo_convert c = eng_range(0, 1, CLO_CONVERT_TO_PRIVATE);
	struct eng *e = arg;

	c.wait_ns = UINT64_MAX;
	CHECK_OK(clo_vm_convert(e->vm, &c));
	return NULL;
}

TEST_TIMEOUT(fork_while_a_conversion_waits_for_a_pin, 60)
{
	struct clo_gmem_pin *pin;
	struct clo_thread t;
	struct eng e;

	eng_open(&e, in_place);
	CHECK_OK(eng_store(&e, 0, 0, 1));
	CHECK_OK(clo_gmem_pin(e.gmem, 0, E_PAGE, "dev", &pin, NULL));
	CHECK_OK(clo_thread_create(&t, convert_and_wait, &e));
	for (unsigned i = 0; i < 10; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			in_a_child(&e, pin);
			_exit(0);
		}
		child_was_fine(pid);
	}
	clo_gmem_unpin(pin);
	CHECK_OK(clo_thread_join(&t));
	CHECK(eng_is_private(&e, 0));
	eng_close(&e);
}
