/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/cmd_demo.c - `cloister demo`: the frame of the tour. Its steps are in demo_steps.c,
 * demo_load.c and demo_touch.c.
 */
#include "demo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const struct {
	const char *name;
	demo_step run;
} steps[] = {
	{ "private work", demo_private_work },
	{ "sharing", demo_sharing },
	{ "conversion under load", demo_under_load },
	{ "a host touch", demo_host_touch },
	{ "refusals", demo_refusals },
	{ "a race, explored", demo_race },
	{ "leak report", demo_leaks },
};
#define STEPS (sizeof(steps) / sizeof(steps[0]))

const char *demo_text(const char *fmt, ...)
{
	static char buffers[8][256];
	static unsigned next;
	char *b = buffers[next++ % 8];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(b, sizeof(buffers[0]), fmt, ap);
	va_end(ap);
	return b;
}

int demo_fail(struct demo *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->error, sizeof(d->error), fmt, ap);
	va_end(ap);
	return -1;
}

void demo_row(struct demo *d, const char *step, const char *done, const char *checked,
	      const char *measured)
{
	const char *cells[] = { step, done, checked, measured };

	cli_table_row(&d->table, cells);
}

static int open_guest(struct demo *d, struct demo_guest *g, const char *name, uint32_t owner)
{
	struct clo_vm_config vc = {
		.size = sizeof(vc),
		.type = CLO_VM_SW_PROTECTED,
		.attr_owner = owner,
		.flags = CLO_VM_TYPED_ACCESS,
		.exit_hypercall = 1,
	};
	struct clo_region slot = { .size = sizeof(slot),
				   .flags = CLO_MEM_GUEST_MEMFD,
				   .guest_phys_addr = DEMO_GPA,
				   .memory_size = DEMO_GUEST_BYTES };
	bool in_place = owner == CLO_ATTR_OWNER_GMEM;
	void *user = mmap(NULL, DEMO_GUEST_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int ret;

	g->name = name;
	if (user == MAP_FAILED)
		return demo_fail(d, "no memory for guest %s", name);
	g->user = user;
	ret = clo_vm_create(d->host, &vc, &g->vm);
	if (ret == 0)
		ret = clo_gmem_create(g->vm, DEMO_GUEST_BYTES, in_place ? CLO_GMEM_MMAP : 0, 0,
				      &g->gmem);
	slot.userspace_addr = (uintptr_t)g->user;
	slot.gmem = g->gmem;
	if (ret == 0)
		ret = clo_vm_set_region(g->vm, &slot);
	if (ret == 0 && !in_place)
		ret = clo_vm_set_attributes(g->vm, DEMO_GPA, DEMO_GUEST_BYTES, CLO_ATTR_PRIVATE);
	for (unsigned i = 0; ret == 0 && i < DEMO_VCPUS; i++)
		ret = clo_vcpu_create(g->vm, i, &g->vcpu[i]);
	return ret ? demo_fail(d, "guest %s cannot be made: %s", name, strerror(-ret)) : 0;
}

int demo_open(struct demo *d)
{
	void *view;
	int ret = clo_host_create(NULL, &d->host);

	if (ret)
		return demo_fail(d, "no host: %s", strerror(-ret));
	if (open_guest(d, &d->alpha, "alpha", CLO_ATTR_OWNER_GMEM) ||
	    open_guest(d, &d->beta, "beta", CLO_ATTR_OWNER_VM))
		return -1;
	ret = clo_gmem_mmap(d->alpha.gmem, 0, DEMO_GUEST_BYTES, true, &view);
	if (ret == 0)
		d->view = view;
	return ret == 0 || ret == -EOPNOTSUPP
		       ? 0
		       : demo_fail(d, "host view of guest alpha: %s", strerror(-ret));
}

static void close_guest(struct demo_guest *g)
{
	if (g->vm)
		clo_vm_destroy(g->vm, NULL);
	if (g->user)
		munmap(g->user, DEMO_GUEST_BYTES);
	*g = (struct demo_guest){ 0 };
}

void demo_close(struct demo *d)
{
	int busy;

	if (d->view)
		busy = clo_gmem_munmap(d->alpha.gmem, d->view, DEMO_GUEST_BYTES);
	close_guest(&d->alpha);
	close_guest(&d->beta);
	busy = clo_host_destroy(d->host);
	(void)busy; /* the process ends */
}

static const char *level_text(const struct demo *d)
{
	static const char *const text[] = {
		[CLO_HOST_VIEW_UFFD] =
			"userfaultfd: a private page is poisoned in the VMM's mapping",
		[CLO_HOST_VIEW_REMAP] = "remap (no userfaultfd here): a private range is mapped "
					"beyond the end of an empty file",
		[CLO_HOST_VIEW_SOFT] = "soft: no host mappings here",
	};
	uint32_t level = clo_host_view(d->host);

	return level < sizeof(text) / sizeof(text[0]) && text[level] ? text[level] : "?";
}

static int run_steps(struct demo *d)
{
	for (size_t i = 0; i < STEPS; i++) {
		cli_progress(d->opt, demo_text("[%zu/%zu] %s ...", i + 1, STEPS, steps[i].name));
		if (steps[i].run(d)) {
			cli_progress(d->opt, NULL);
			fprintf(stderr, "cloister demo: %s: %s\n", steps[i].name, d->error);
			return -1;
		}
	}
	cli_progress(d->opt, NULL);
	return 0;
}

static void output(struct demo *d, int ret, uint64_t ns, const char *level)
{
	if (d->opt->json) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "host_view", json_object_new_string(level));
		json_object_object_add(o, "steps", cli_table_json(&d->table));
		json_object_object_add(o, "seconds", json_object_new_double((double)ns / 1e9));
		json_object_object_add(o, "good", json_object_new_boolean(ret == 0));
		json_object_object_add(o, "error", json_object_new_string(d->error));
		cli_print_json(o);
		return;
	}
	printf("Two guests of %" PRIu64 " MiB on one host, %u vCPUs each. alpha: its guest_memfd "
	       "owns private/shared, conversion in\n"
	       "place. beta: the VM owns it, two backings. Host view: %s.\n\n",
	       DEMO_GUEST_BYTES >> 20, DEMO_VCPUS, level);
	cli_table_print(&d->table, stdout);
	printf("\n%s in %.1f s\n", ret ? "FAILED" : "all checks passed", (double)ns / 1e9);
}

int cli_demo(const struct cli_options *opt, int argc, char **argv)
{
	static const char *const heads[] = { "step", "done", "checked", "measured" };
	struct demo d = { .opt = opt };
	uint64_t start = clo_now_ns();
	const char *level = "?";
	int ret = cli_only_args(argc, argv, 0);

	if (ret)
		return ret;
	cli_table_init(&d.table, heads, 4);
	ret = demo_open(&d);
	if (ret) {
		fprintf(stderr, "cloister demo: %s\n", d.error);
	} else {
		level = level_text(&d);
		ret = run_steps(&d);
	}
	output(&d, ret, clo_now_ns() - start, level);
	cli_table_free(&d.table);
	demo_close(&d);
	return ret ? CLI_FINDING : CLI_OK;
}
