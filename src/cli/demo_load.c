/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/demo_load.c - conversion under load: vCPUs store and load while another thread converts under
 * them.
 */
#include "demo.h"

#include "sync/sync.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define PAGE             ((uint64_t)4096)
#define ZONE_OFFSET      ((uint64_t)8 << 20)
#define ZONE_BYTES       ((uint64_t)4 << 20)
#define ZONE_PAGES       (ZONE_BYTES / PAGE)
#define ROUNDS           600U
#define ACCESSES_BETWEEN 4U

struct load {
	struct demo *d;
	struct clo_a32 stop;
};

struct loader {
	struct clo_thread thread;
	struct load *load;
	unsigned index;
	struct clo_stat accesses;
	struct clo_a32 ended;
	uint64_t awaited; /* [converting thread] */
	uint64_t mismatches;
	int ret;
	bool wrong;
	uint64_t expect[ZONE_PAGES];
};

/* Access in the kind last seen; an exit for a mismatch tells that the page has been converted. */
static int access_any(struct loader *l, uint64_t gpa, uint64_t *word, uint32_t flags)
{
	struct clo_vcpu *vcpu = l->load->d->alpha.vcpu[l->index];

	for (;;) {
		int ret = clo_vcpu_access(vcpu, gpa, word, sizeof(*word), flags);

		if (ret != -EFAULT || clo_vcpu_exit(vcpu)->cause != CLO_CAUSE_MISMATCH)
			return ret;
		l->mismatches++;
		flags ^= CLO_ACCESS_PRIVATE;
	}
}

/* Each page belongs to one vCPU, which knows what it stored last. */
static void *load_main(void *arg)
{
	struct loader *l = arg;
	struct clo_rand r = { l->index + 1 };

	while (!clo_a32_get(&l->load->stop) && l->ret == 0 && !l->wrong) {
		uint64_t page = clo_rand_below(&r, ZONE_PAGES / DEMO_VCPUS) * DEMO_VCPUS + l->index;
		uint64_t gpa = DEMO_GPA + ZONE_OFFSET + page * PAGE, word = clo_rand_next(&r);
		bool is_write = word & 1;

		if (is_write)
			l->expect[page] = word;
		l->ret = access_any(l, gpa, &word,
				    CLO_ACCESS_PRIVATE | (is_write ? CLO_ACCESS_WRITE : 0));
		l->wrong = l->ret == 0 && !is_write && l->expect[page] && word != l->expect[page];
		clo_stat_add_local(&l->accesses, 1);
	}
	clo_a32_set(&l->ended, 1);
	return NULL;
}

/* Until every vCPU has made some accesses since the last time, or has ended for a reason of its
 * own. */
static void let_run(struct loader *loaders)
{
	for (unsigned i = 0; i < DEMO_VCPUS; i++) {
		while (clo_stat_get(&loaders[i].accesses) < loaders[i].awaited &&
		       !clo_a32_get(&loaders[i].ended))
			clo_relax();
		loaders[i].awaited = clo_stat_get(&loaders[i].accesses) + ACCESSES_BETWEEN;
	}
}

/* 2M at a time and 4K at a time, there and back. */
static int convert_rounds(struct demo *d, struct loader *loaders, uint64_t *pages, uint64_t *ns)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t bytes = i % 3 == 2 ? PAGE : 2ULL << 20, start;
		struct clo_convert c = {
			.size = sizeof(c),
			.flags = i % 2 ? CLO_CONVERT_TO_PRIVATE : 0,
			.gpa = DEMO_GPA + ZONE_OFFSET + (i / 2 * bytes) % ZONE_BYTES,
			.bytes = bytes,
		};
		int ret;

		let_run(loaders);
		start = clo_now_ns();
		ret = clo_vm_convert(d->alpha.vm, &c);
		if (ret)
			return demo_fail(d, "conversion %u at %#" PRIx64 ": %s", i, c.gpa,
					 strerror(-ret));
		*ns += clo_now_ns() - start;
		*pages += bytes / PAGE;
	}
	return 0;
}

int demo_under_load(struct demo *d)
{
	static struct loader loaders[DEMO_VCPUS];
	struct load load = { .d = d };
	uint64_t pages = 0, ns = 0, accesses = 0, mismatches = 0;
	struct clo_vm_stats s = { .size = sizeof(s) };
	unsigned made = 0;
	int ret = 0;

	for (unsigned i = 0; i < DEMO_VCPUS && ret == 0; i++) {
		loaders[i] = (struct loader){ .load = &load, .index = i };
		if (clo_thread_create(&loaders[i].thread, load_main, &loaders[i]))
			ret = demo_fail(d, "no thread");
		made += ret == 0;
	}
	if (ret == 0)
		ret = convert_rounds(d, loaders, &pages, &ns);
	clo_a32_set(&load.stop, 1);
	for (unsigned i = 0; i < made; i++) {
		clo_thread_join(&loaders[i].thread);
		accesses += clo_stat_get(&loaders[i].accesses);
		mismatches += loaders[i].mismatches;
		if (ret == 0 && (loaders[i].ret || loaders[i].wrong))
			ret = demo_fail(d, "vCPU %u: %s", i,
					loaders[i].ret ? strerror(-loaders[i].ret)
						       : "a stored word was lost");
	}
	if (ret)
		return ret;
	clo_vm_stats(d->alpha.vm, &s);
	demo_row(d, "conversion under load",
		 demo_text("%u conversions, %" PRIu64 " pages, under %u busy vCPUs", ROUNDS, pages,
			   DEMO_VCPUS),
		 demo_text("%" PRIu64 " accesses, no word lost; %" PRIu64 " exits for a mismatch",
			   accesses, mismatches),
		 demo_text("%" PRIu64 " ns a page; %" PRIu64 " shoot-downs, %" PRIu64
			   " vCPUs interrupted",
			   ns / pages, s.shootdowns, s.ipis));
	return 0;
}
