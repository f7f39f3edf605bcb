/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explore/test_scene.c - the frame of the explored scenes.
 */
#include "explore/test_scene.h"

#include "check/check.h"

#include <inttypes.h>
#include <sys/mman.h>

struct starter {
	struct world *w;
	unsigned self;
};

static uint8_t *user; /* the VMM's memory behind the memslot */

void scene_must(int ret)
{
	if (ret)
		clo_sched_stop(ret);
}

static void slot_set(struct world *w, uint64_t bytes)
{
	struct clo_region r = {
		.size = sizeof(r),
		.flags = CLO_MEM_GUEST_MEMFD,
		.guest_phys_addr = GPA,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)user,
		.gmem = w->gmem,
	};

	scene_must(clo_vm_set_region(w->vm, &r));
}

void scene_slot(struct world *w)
{
	slot_set(w, PAGES * PAGE);
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

	scene_must(clo_host_create(&hc, &w->host));
	scene_must(clo_vm_create(w->host, &vc, &w->vm));
	if (w->scene->hooks) {
		struct clo_vm_hooks hooks = *w->scene->hooks;

		hooks.arg = w;
		scene_must(clo_vm_set_hooks(w->vm, &hooks));
	}
	scene_must(clo_gmem_create(w->vm, PAGES * PAGE, w->scene->gmem_flags, 0, &w->gmem));
	scene_slot(w);
	for (unsigned i = 0; i < 2; i++)
		scene_must(clo_vcpu_create(w->vm, i, &w->vcpu[i]));
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
	/* What set-up deferred is no part of the race. Before there are threads: they would run
	 * while this waits, unexplored. */
	clo_rcu_barrier();
	for (; n < 3 && w->scene->threads[n]; n++) {
		s[n] = (struct starter){ w, n };
		scene_must(clo_thread_create(&t[n], thread_main, &s[n]));
	}
	clo_sched_quiet(false);
	for (unsigned i = 0; i < n; i++)
		clo_thread_join(&t[i]);
	clo_sched_quiet(true);
	w->up = false;
	if (w->scene->after)
		w->scene->after(w, 0);
	if (w->pin)
		clo_gmem_unpin(w->pin);
	clo_vm_destroy(w->vm, NULL);
	scene_must(clo_host_destroy(w->host));
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

void scene_holds(const struct scene *scene, unsigned preemptions)
{
	struct clo_explore_result r = explore(scene, preemptions);

	CHECK_MSG(r.verdict == CLO_EXPLORE_HOLDS, "%s: %s\n%s", r.invariant, r.why, r.report);
	/* Else its threads only took turns, however many runs that were. */
	CHECK_MSG(r.objects > 0, "no object is shared: there was no race to explore");
	clo_explore_release(&r);
}

/* With @which broken the search scene_must find a violation of one of @invariants ("I5 I1"). */
void scene_found(const struct scene *scene, unsigned preemptions, enum clo_break which,
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

void scene_needs_section(const struct scene *scene, unsigned preemptions, const char *site)
{
	struct clo_explore_result r;

	CHECK_MSG(clo_rcu_site_break(site, true), "no such place: %s", site);
	r = explore(scene, preemptions);
	CHECK(clo_rcu_site_break(site, false));
	CHECK_MSG(r.verdict == CLO_EXPLORE_VIOLATED, "without %s nothing was found", site);
	CHECK_STR(r.invariant, "I5");
	clo_explore_release(&r);
}

/* What threads do. */

void do_guest_load(struct world *w, unsigned self)
{
	w->ret[self] =
		clo_vcpu_access(w->vcpu[self & 1], GPA, &w->value[self], 8, CLO_ACCESS_PRIVATE);
}

void do_guest_load_shared(struct world *w, unsigned self)
{
	w->ret[self] = clo_vcpu_access(w->vcpu[self & 1], GPA, &w->value[self], 8, 0);
}

void do_guest_store(struct world *w, unsigned self)
{
	uint64_t v = SECRET;

	w->ret[self] = clo_vcpu_access(w->vcpu[self & 1], GPA, &v, 8,
				       CLO_ACCESS_PRIVATE | CLO_ACCESS_WRITE);
}

int scene_convert(struct world *w, bool do_to_private)
{
	struct clo_convert c = { .size = sizeof(c),
				 .flags = do_to_private ? CLO_CONVERT_TO_PRIVATE : 0,
				 .gpa = GPA,
				 .bytes = PAGE };

	return clo_vm_convert(w->vm, &c);
}

void do_to_shared(struct world *w, unsigned self)
{
	w->ret[self] = scene_convert(w, false);
}

void do_to_private(struct world *w, unsigned self)
{
	w->ret[self] = scene_convert(w, true);
}

void do_punch(struct world *w, unsigned self)
{
	w->ret[self] = clo_gmem_fallocate(w->gmem, CLO_FALLOC_KEEP_SIZE | CLO_FALLOC_PUNCH_HOLE, 0,
					  (int64_t)PAGE);
}

void do_slot_delete(struct world *w, unsigned self)
{
	slot_set(w, 0);
	w->ret[self] = 0;
}

void do_host_load(struct world *w, unsigned self)
{
	w->ret[self] = clo_gmem_host_access(w->gmem, 0, &w->value[self], 8, false);
}

void do_pin(struct world *w, unsigned self)
{
	w->ret[self] = clo_gmem_pin(w->gmem, 0, PAGE, "device", &w->pin, NULL);
}

/* Set-up: the page is private (VM owner: it has to be made so) and scene_holds the secret. */
void set_secret_inside(struct world *w, unsigned self)
{
	scene_must(scene_convert(w, true));
	do_guest_store(w, self);
	scene_must(w->ret[self]);
}

void set_private(struct world *w, unsigned self)
{
	(void)self;
	scene_must(scene_convert(w, true));
}
