/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explore/test_engine.c - small programs over the real engine, every interleaving with few
 * preemptions, I1..I7 after each step; and for each check that matters, the switch that removes it
 * and the violation that must then be found.
 */
#include "explore.h"

#include "check/check.h"
#include "cloister/cloister.h"
#include "harness/test.h"

#include <inttypes.h>
#include <sys/mman.h>

#define PAGE   4096ULL
#define GPA    0x10000ULL
#define PAGES  4ULL
#define SECRET 0x5ec2e7ULL

struct world;
typedef void (*body)(struct world *w, unsigned self);

/* A scene: how the VM is made, what runs at once, what must be true at the end. */
struct scene {
	uint32_t owner, vm_flags;
	uint64_t gmem_flags;
	body setup;
	body threads[3];
	/* NULL or what is wrong. */
	const char *(*judge)(struct world *w);
};

struct world {
	const struct scene *scene;
	struct clo_host *host;
	struct clo_vm *vm;
	struct clo_gmem *gmem;
	struct clo_vcpu *vcpu[2];
	struct clo_gmem_pin *pin;
	int ret[3];
	uint64_t value[3];
	bool up; /* host is valid */
};

struct starter {
	struct world *w;
	unsigned self;
};

static uint8_t *user; /* the VMM's memory behind the memslot */

static void must(int ret)
{
	if (ret)
		clo_sched_stop(ret);
}

static void slot_set(struct world *w, uint64_t bytes)
{
	struct clo_region r = {
		.flags = CLO_MEM_GUEST_MEMFD,
		.guest_phys_addr = GPA,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)user,
		.gmem = w->gmem,
	};

	must(clo_vm_set_region(w->vm, &r));
}

static void world_make(struct world *w)
{
	struct clo_host_config hc = { .size = sizeof(hc),
				      .view = CLO_HOST_VIEW_SOFT,
				      .mem_bytes = 16 * PAGE };
	struct clo_vm_config vc = {
		.size = sizeof(vc),
		.type = CLO_VM_SW_PROTECTED,
		.attr_owner = w->scene->owner,
		.flags = w->scene->vm_flags,
	};

	must(clo_host_create(&hc, &w->host));
	must(clo_vm_create(w->host, &vc, &w->vm));
	must(clo_gmem_create_for(w->vm, PAGES * PAGE, w->scene->gmem_flags, 0, &w->gmem));
	slot_set(w, PAGES * PAGE);
	for (unsigned i = 0; i < 2; i++)
		must(clo_vcpu_create(w->vm, i, &w->vcpu[i]));
	if (w->scene->setup)
		w->scene->setup(w, 0);
	w->up = true;
}

static void *thread_main(void *arg)
{
	const struct starter *s = arg;
	static const char *const names[] = { "CPU0", "CPU1", "CPU2" };

	clo_sched_name(names[s->self]);
	s->w->scene->threads[s->self](s->w, s->self);
	return NULL;
}

static void run(void *arg)
{
	struct world *w = arg;
	struct clo_thread t[3];
	struct starter s[3];
	unsigned n = 0;

	*w = (struct world){ .scene = w->scene };
	clo_sched_quiet(true);
	world_make(w);
	for (; n < 3 && w->scene->threads[n]; n++) {
		s[n] = (struct starter){ w, n };
		must(clo_thread_create(&t[n], thread_main, &s[n]));
	}
	clo_sched_quiet(false);
	for (unsigned i = 0; i < n; i++)
		clo_thread_join(&t[i]);
	clo_sched_quiet(true);
	w->up = false;
	if (w->pin)
		clo_gmem_unpin(w->pin);
	clo_vm_destroy(w->vm, NULL);
	must(clo_host_destroy(w->host));
}

static int check(void *arg, const char **invariant, char *why, size_t size)
{
	struct world *w = arg;
	struct clo_check_fail fail;

	if (!w->up || clo_check_host(w->host, &fail) == 0)
		return 0;
	*invariant = fail.invariant;
	snprintf(why, size, "%s", fail.text);
	return -EUCLEAN;
}

static int judge(void *arg, const char **invariant, char *why, size_t size)
{
	struct world *w = arg;
	const char *wrong = w->scene->judge ? w->scene->judge(w) : NULL;

	if (!wrong)
		return 0;
	*invariant = "outcome";
	snprintf(why, size, "%s (ret %d %d %d, values %#" PRIx64 " %#" PRIx64 " %#" PRIx64 ")",
		 wrong, w->ret[0], w->ret[1], w->ret[2], w->value[0], w->value[1], w->value[2]);
	return -EUCLEAN;
}

static struct world the_world;

static struct clo_explore_result explore(const struct scene *scene, unsigned preemptions)
{
	struct clo_explore_program p = {
		.arg = &the_world, .run = run, .check = check, .judge = judge
	};
	struct clo_explore_config cfg = { .preemptions = preemptions, .max_runs = 400000 };
	struct clo_explore_result r;

	if (!user)
		user = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	the_world.scene = scene;
	CHECK_OK(clo_explore(&p, &cfg, &r));
	test_note("%" PRIu64 " runs, %" PRIu64 " steps, longest %" PRIu64 ", %u shared objects",
		  r.runs, r.steps, r.longest, r.objects);
	if (r.verdict == CLO_EXPLORE_VIOLATED) {
		test_note("%s: %s; %u preemptions", r.invariant, r.why, r.preemptions);
		CHECK_OK(clo_explore_print(&p, &cfg, r.schedule, r.schedule_count, false, stdout));
	}
	return r;
}

static void holds(const struct scene *scene, unsigned preemptions)
{
	struct clo_explore_result r = explore(scene, preemptions);

	CHECK_MSG(r.verdict == CLO_EXPLORE_HOLDS, "%s: %s\n%s", r.invariant, r.why, r.report);
	clo_explore_release(&r);
}

/* With @which broken the search must find a violation of one of @invariants ("I5 I1"). */
static void found(const struct scene *scene, unsigned preemptions, enum clo_break which,
		  const char *invariants)
{
	struct clo_explore_result r;

	clo_break_set(which, true);
	r = explore(scene, preemptions);
	clo_break_set(which, false);
	CHECK_MSG(r.verdict == CLO_EXPLORE_VIOLATED, "without %s nothing was found",
		  clo_break_name(which));
	CHECK_MSG(strstr(invariants, r.invariant) != NULL, "%s was violated, not %s: %s",
		  r.invariant, invariants, r.why);
	clo_explore_release(&r);
}

/* What threads do. */

static void guest_load(struct world *w, unsigned self)
{
	w->ret[self] =
		clo_vcpu_access(w->vcpu[self & 1], GPA, &w->value[self], 8, CLO_ACCESS_PRIVATE);
}

static void guest_load_shared(struct world *w, unsigned self)
{
	w->ret[self] = clo_vcpu_access(w->vcpu[self & 1], GPA, &w->value[self], 8, 0);
}

static void guest_store(struct world *w, unsigned self)
{
	uint64_t v = SECRET;

	w->ret[self] = clo_vcpu_access(w->vcpu[self & 1], GPA, &v, 8,
				       CLO_ACCESS_PRIVATE | CLO_ACCESS_WRITE);
}

static int convert(struct world *w, bool to_private)
{
	struct clo_convert c = { .size = sizeof(c),
				 .flags = to_private ? CLO_CONVERT_TO_PRIVATE : 0,
				 .gpa = GPA,
				 .bytes = PAGE };

	return clo_vm_convert(w->vm, &c);
}

static void to_shared(struct world *w, unsigned self)
{
	w->ret[self] = convert(w, false);
}

static void to_private(struct world *w, unsigned self)
{
	w->ret[self] = convert(w, true);
}

static void punch(struct world *w, unsigned self)
{
	w->ret[self] = clo_gmem_fallocate(w->gmem, CLO_FALLOC_KEEP_SIZE | CLO_FALLOC_PUNCH_HOLE, 0,
					  (int64_t)PAGE);
}

static void slot_delete(struct world *w, unsigned self)
{
	slot_set(w, 0);
	w->ret[self] = 0;
}

static void host_load(struct world *w, unsigned self)
{
	w->ret[self] = clo_gmem_host_access(w->gmem, 0, &w->value[self], 8, false);
}

static void pin(struct world *w, unsigned self)
{
	w->ret[self] = clo_vm_pin(w->gmem, 0, PAGE, "device", &w->pin, NULL);
}

/* Set-up: the page is private (VM owner: it has to be made so) and holds the secret. */
static void secret_inside(struct world *w, unsigned self)
{
	must(convert(w, true));
	guest_store(w, self);
	must(w->ret[self]);
}

static void made_private(struct world *w, unsigned self)
{
	(void)self;
	must(convert(w, true));
}

static const struct scene fault_convert = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.vm_flags = CLO_VM_TYPED_ACCESS,
	.gmem_flags = CLO_GMEM_MMAP,
	.threads = { guest_load, to_shared },
};

TEST_TIMEOUT(fault_against_conversion_in_place, 120)
{
	holds(&fault_convert, 2);
}

TEST_TIMEOUT(fault_against_conversion_without_sequence_check, 120)
{
	found(&fault_convert, 2, CLO_BREAK_INVAL_SEQ, "I5 I1");
}

static const struct scene fault_convert_untyped = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.threads = { guest_load, to_shared },
};

TEST_TIMEOUT(fault_against_conversion_in_place_untyped, 120)
{
	holds(&fault_convert_untyped, 2);
}

static const struct scene fault_convert_backings = {
	.owner = CLO_ATTR_OWNER_VM,
	.setup = made_private,
	.threads = { guest_load, to_shared },
};

TEST_TIMEOUT(fault_against_conversion_two_backings, 120)
{
	holds(&fault_convert_backings, 2);
}

TEST_TIMEOUT(fault_against_conversion_two_backings_without_sequence_check, 120)
{
	found(&fault_convert_backings, 2, CLO_BREAK_INVAL_SEQ, "I5 I1");
}

static const struct scene fault_punch = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.setup = secret_inside,
	.threads = { guest_load, punch },
};

TEST_TIMEOUT(fault_against_punch_hole, 120)
{
	holds(&fault_punch, 2);
}

TEST_TIMEOUT(punch_hole_that_frees_before_the_zap, 120)
{
	found(&fault_punch, 2, CLO_BREAK_FREE_BEFORE_ZAP, "I5 I1 I3");
}

static const struct scene fresh_fault_punch = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.threads = { guest_load, punch },
};

TEST_TIMEOUT(first_fault_against_punch_hole, 120)
{
	holds(&fresh_fault_punch, 2);
}

TEST_TIMEOUT(first_fault_against_punch_hole_without_sequence_check, 120)
{
	found(&fresh_fault_punch, 2, CLO_BREAK_INVAL_SEQ, "I5 I1");
}

static const struct scene fault_delete = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.threads = { guest_load, slot_delete },
};

TEST_TIMEOUT(fault_against_slot_deletion, 120)
{
	holds(&fault_delete, 2);
}

/* The grace period between INVALID and the zap is what holds here: no fault that saw the memslot is
 * left, so the sequence has nothing to catch. */
TEST_TIMEOUT(fault_against_slot_deletion_without_sequence_check, 120)
{
	clo_break_set(CLO_BREAK_INVAL_SEQ, true);
	holds(&fault_delete, 2);
}

TEST_TIMEOUT(fault_against_slot_deletion_without_grace_period, 120)
{
	found(&fault_delete, 2, CLO_BREAK_SLOT_SYNC, "I5 I1");
}

TEST_TIMEOUT(zap_without_shoot_down, 120)
{
	found(&fault_punch, 2, CLO_BREAK_TLB_FLUSH, "I5 I1");
}

TEST_TIMEOUT(shoot_down_that_does_not_wait, 120)
{
	found(&fault_punch, 2, CLO_BREAK_TLB_WAIT, "I5 I1");
}

TEST_TIMEOUT(zap_that_does_not_wait_for_frozen_entries, 120)
{
	found(&fault_convert, 3, CLO_BREAK_FROZEN_WAIT, "I5 I1");
}

static const char *never_stale(struct world *w)
{
	return w->value[0] == SECRET && w->ret[0] == 0
		       ? "the host read the guest's secret after the zeroing policy"
		       : NULL;
}

static const struct scene host_against_zeroing = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_ZERO_ON_CONVERT,
	.setup = secret_inside,
	.threads = { host_load, to_shared },
	.judge = never_stale,
};

TEST_TIMEOUT(host_touch_against_conversion_that_zeroes, 120)
{
	holds(&host_against_zeroing, 2);
}

TEST_TIMEOUT(conversion_that_forgets_to_zero, 120)
{
	found(&host_against_zeroing, 2, CLO_BREAK_ZERO, "outcome");
}

static const char *kept(struct world *w)
{
	return w->ret[0] == 0 && w->value[0] != SECRET ? "content was lost" : NULL;
}

static const struct scene preserve = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.setup = secret_inside,
	.threads = { guest_load, to_shared },
	.judge = kept,
};

TEST_TIMEOUT(conversion_keeps_content, 120)
{
	holds(&preserve, 2);
}

TEST_TIMEOUT(conversion_that_clears_content, 120)
{
	found(&preserve, 2, CLO_BREAK_PRESERVE, "outcome");
}

static void shared_at_first(struct world *w, unsigned self)
{
	(void)self;
	must(convert(w, false));
}

static const struct scene pin_against_private = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.setup = shared_at_first,
	.threads = { pin, to_private },
};

TEST_TIMEOUT(pin_against_conversion_to_private, 120)
{
	holds(&pin_against_private, 2);
}

TEST_TIMEOUT(conversion_that_ignores_pins, 120)
{
	found(&pin_against_private, 2, CLO_BREAK_PIN_CHECK, "I2");
}

static void shared_and_shown(struct world *w, unsigned self)
{
	shared_at_first(w, self);
	host_load(w, self);
	must(w->ret[self]);
}

static const struct scene host_against_private = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.setup = shared_and_shown,
	.threads = { host_load, to_private },
};

TEST_TIMEOUT(host_touch_against_conversion_to_private, 120)
{
	holds(&host_against_private, 2);
}

TEST_TIMEOUT(conversion_that_leaves_the_host_view, 120)
{
	found(&host_against_private, 2, CLO_BREAK_VIEW_ZAP, "I2");
}

/* Page 0 shared, page 1 private: each conversion of both pages changes one of them. */
static void mixed(struct world *w, unsigned self)
{
	uint64_t v;

	shared_and_shown(w, self);
	must(clo_vcpu_access(w->vcpu[0], GPA + PAGE, &v, 8, 0));
}

static int convert_two(struct world *w, bool to_private)
{
	struct clo_convert c = { .size = sizeof(c),
				 .flags = to_private ? CLO_CONVERT_TO_PRIVATE : 0,
				 .gpa = GPA,
				 .bytes = 2 * PAGE };

	return clo_vm_convert(w->vm, &c);
}

static void two_to_private(struct world *w, unsigned self)
{
	w->ret[self] = convert_two(w, true);
}

static void two_to_shared(struct world *w, unsigned self)
{
	w->ret[self] = convert_two(w, false);
}

static const struct scene two_conversions = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.setup = mixed,
	.threads = { two_to_private, two_to_shared },
};

TEST_TIMEOUT(two_conversions_that_overlap, 120)
{
	holds(&two_conversions, 2);
}

TEST_TIMEOUT(two_conversions_without_range_lock, 120)
{
	found(&two_conversions, 2, CLO_BREAK_RANGE_LOCK, "I6 I2 I5 I7");
}

/* Mail 3: the attribute moves between the two reads of a fault. The access ends in an exit, never
 * in a loop. */
static const char *ended(struct world *w)
{
	return w->ret[0] == 0 || w->ret[0] == -EFAULT
		       ? NULL
		       : "the fault ended in neither a mapping nor an exit";
}

static const struct scene mismatch = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.vm_flags = CLO_VM_TYPED_ACCESS,
	.gmem_flags = CLO_GMEM_MMAP,
	.threads = { guest_load_shared, to_private },
	.setup = shared_at_first,
	.judge = ended,
};

TEST_TIMEOUT(mismatch_is_an_exit, 120)
{
	holds(&mismatch, 2);
}

TEST_TIMEOUT(mismatch_that_is_retried_hangs, 120)
{
	found(&mismatch, 2, CLO_BREAK_MISMATCH_RETRY, "I7");
}

/* Mail 4: two vCPUs meet one folio that is not ready. */
static const char *prepared_once(struct world *w)
{
	if (w->ret[0] == 0 && w->value[0] != SECRET + 1)
		return "the folio was prepared again under a vCPU that had stored to it";
	if (w->ret[1] == 0 && w->value[1] != 0 && w->value[1] != SECRET + 1)
		return "a vCPU saw bytes of an earlier owner";
	return NULL;
}

static void store_and_load(struct world *w, unsigned self)
{
	uint64_t v = SECRET + 1;

	w->ret[self] =
		clo_vcpu_access(w->vcpu[self], GPA, &v, 8, CLO_ACCESS_PRIVATE | CLO_ACCESS_WRITE);
	if (w->ret[self] == 0)
		guest_load(w, self);
}

static void dirty_frame(struct world *w, unsigned self)
{
	secret_inside(w, self);
	punch(w, self);
	must(w->ret[self]);
}

static const struct scene prepare_race = {
	.owner = CLO_ATTR_OWNER_GMEM,
	.gmem_flags = CLO_GMEM_MMAP,
	.setup = dirty_frame,
	.threads = { store_and_load, guest_load },
	.judge = prepared_once,
};

TEST_TIMEOUT(two_faults_prepare_one_folio, 120)
{
	holds(&prepare_race, 2);
}

TEST_TIMEOUT(preparation_without_folio_lock, 120)
{
	found(&prepare_race, 2, CLO_BREAK_PREPARE_LOCK, "outcome I3");
}
