/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/demo_steps.c - private work, sharing, refusals, the explored race, the leak report.
 */
#include "demo.h"

#include "check/check.h"
#include "cli_exec.h"
#include "sync/sync.h"
#include "vm/vm.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE         ((uint64_t)4096)
#define SHARED_BYTES ((uint64_t)4 << 20) /* what alpha shares with the host */

/* ---- private work ---- */

struct worker {
	struct clo_thread thread;
	struct demo_guest *guest;
	unsigned index;
	int ret;
	bool wrong;
};

static uint64_t word_of(const struct demo_guest *g, uint64_t gpa)
{
	struct clo_rand r = { gpa ^ (uintptr_t)g };

	return clo_rand_next(&r);
}

/* Store a page of words, later read them all again. */
static int page_pass(struct worker *w, uint64_t gpa, bool is_write)
{
	uint64_t words[PAGE / 8];
	int ret;

	for (unsigned i = 0; is_write && i < PAGE / 8; i++)
		words[i] = word_of(w->guest, gpa) + i;
	ret = clo_vcpu_access(w->guest->vcpu[w->index], gpa, words, sizeof(words),
			      CLO_ACCESS_PRIVATE | (is_write ? CLO_ACCESS_WRITE : 0));
	for (unsigned i = 0; !is_write && ret == 0 && i < PAGE / 8; i++)
		w->wrong |= words[i] != word_of(w->guest, gpa) + i;
	return ret;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned pass = 0; pass < 2; pass++) {
		for (uint64_t off = w->index * PAGE; off < DEMO_GUEST_BYTES && w->ret == 0;
		     off += DEMO_VCPUS * PAGE)
			w->ret = page_pass(w, DEMO_GPA + off, pass == 0);
	}
	return NULL;
}

int demo_private_work(struct demo *d)
{
	struct worker w[2 * DEMO_VCPUS] = { 0 };
	struct clo_vm_stats a = { .size = sizeof(a) }, b = { .size = sizeof(b) };
	uint64_t pages = 2 * (DEMO_GUEST_BYTES / PAGE), start = clo_now_ns();
	unsigned made = 0;
	int ret = 0;

	for (unsigned i = 0; i < 2 * DEMO_VCPUS && ret == 0; i++) {
		w[i].guest = i < DEMO_VCPUS ? &d->alpha : &d->beta;
		w[i].index = i % DEMO_VCPUS;
		if (clo_thread_create(&w[i].thread, work, &w[i]))
			ret = demo_fail(d, "no thread");
		made += ret == 0;
	}
	/* All of them, also after a failure: they use what the end of the demo destroys. */
	for (unsigned i = 0; i < made; i++) {
		clo_thread_join(&w[i].thread);
		if (ret == 0 && (w[i].ret || w[i].wrong))
			ret = demo_fail(d, "guest %s vCPU %u: %s", w[i].guest->name, w[i].index,
					w[i].ret ? strerror(-w[i].ret) : "wrong bytes");
	}
	if (ret)
		return ret;
	clo_vm_stats(d->alpha.vm, &a);
	clo_vm_stats(d->beta.vm, &b);
	demo_row(d, "private work",
		 demo_text("%u vCPUs store %" PRIu64 " private pages and load them again",
			   2 * DEMO_VCPUS, pages),
		 "every byte comes back to its own guest",
		 demo_text("%" PRIu64 " faults; %" PRIu64
			   " ns a page for fault, zeroing, store and load",
			   a.faults_fixed + b.faults_fixed, (clo_now_ns() - start) / pages));
	return 0;
}

/* ---- sharing ---- */

/* What a VMM does with KVM_EXIT_HYPERCALL: convert, answer, resume. */
static int64_t guest_shares(struct demo_guest *g, uint64_t gpa, uint64_t bytes, bool to_private)
{
	int64_t rax = clo_vcpu_map_gpa_range(g->vcpu[0], gpa, bytes / PAGE,
					     to_private ? CLO_MAP_GPA_ENCRYPTED : 0);
	const struct clo_exit *x = clo_vcpu_exit(g->vcpu[0]);
	struct clo_convert c = { .size = sizeof(c) };
	int ret;

	if (rax != 1 || x->reason != CLO_EXIT_HYPERCALL)
		return rax;
	c.flags = x->hypercall.args[2] & CLO_MAP_GPA_ENCRYPTED ? CLO_CONVERT_TO_PRIVATE : 0;
	c.gpa = x->hypercall.args[0];
	c.bytes = x->hypercall.args[1] * PAGE;
	ret = clo_vm_convert(g->vm, &c);
	return clo_vcpu_complete_hypercall(g->vcpu[0], (uint64_t)ret);
}

/* The host's side of a byte of alpha's file. */
static int host_word(struct demo *d, uint64_t off, uint64_t *word, bool is_write)
{
	if (!d->view)
		return clo_gmem_host_access(d->alpha.gmem, off, word, sizeof(*word), is_write);
	if (is_write)
		memcpy(d->view + off, word, sizeof(*word));
	else
		memcpy(word, d->view + off, sizeof(*word));
	return 0;
}

int demo_sharing(struct demo *d)
{
	struct demo_guest *a = &d->alpha;
	uint64_t start = clo_now_ns(), ns;
	int64_t rax = guest_shares(a, DEMO_GPA, SHARED_BYTES, false);

	if (rax)
		return demo_fail(d, "MAP_GPA_RANGE gave the guest %" PRId64, rax);
	ns = clo_now_ns() - start;
	for (uint64_t off = 0; off < SHARED_BYTES; off += PAGE) {
		uint64_t word = 0, answer;

		/* The policy preserves content: the host finds what the guest left for it. */
		if (host_word(d, off, &word, false) || word != word_of(a, DEMO_GPA + off))
			return demo_fail(d, "the host sees other bytes at offset %#" PRIx64, off);
		answer = ~word;
		if (host_word(d, off, &answer, true))
			return demo_fail(d, "the host cannot store at offset %#" PRIx64, off);
		if (clo_vcpu_access(a->vcpu[0], DEMO_GPA + off, &answer, 8, 0) || answer != ~word)
			return demo_fail(
				d, "the guest does not see the host's answer at offset %#" PRIx64,
				off);
	}
	demo_row(d, "sharing",
		 demo_text("guest shares %" PRIu64 " MiB by hypercall, in place",
			   SHARED_BYTES >> 20),
		 demo_text("bytes kept; host %s, guest reads the answer",
			   d->view ? "reads and stores by its mapping" : "reads and stores"),
		 demo_text("%" PRIu64 " ns a page converted", ns / (SHARED_BYTES / PAGE)));
	return 0;
}

/* ---- refusals ---- */

int demo_refusals(struct demo *d)
{
	struct clo_region again = { .size = sizeof(again),
				    .slot = 1,
				    .flags = CLO_MEM_GUEST_MEMFD,
				    .guest_phys_addr = 2 * DEMO_GPA,
				    .memory_size = SHARED_BYTES,
				    .userspace_addr = (uintptr_t)d->alpha.user,
				    .gmem = d->alpha.gmem };
	struct clo_convert c = { .size = sizeof(c),
				 .flags = CLO_CONVERT_TO_PRIVATE,
				 .gpa = DEMO_GPA,
				 .bytes = SHARED_BYTES };
	struct clo_gmem_pin *pin;
	int twice = clo_vm_set_region(d->alpha.vm, &again);
	int other = clo_vm_set_region(d->beta.vm, &again);
	int pinned;

	if (twice != -EEXIST || other != -EINVAL)
		return demo_fail(d, "second binding gave %d, other VM's file %d", twice, other);
	if (clo_gmem_pin(d->alpha.gmem, 3 * PAGE, PAGE, "vhost-net queue 0", &pin, NULL))
		return demo_fail(d, "a shared page could not be pinned");
	pinned = clo_vm_convert(d->alpha.vm, &c);
	clo_gmem_unpin(pin);
	if (pinned != -EAGAIN || c.error_gpa != DEMO_GPA + 3 * PAGE ||
	    strcmp(c.holder, "vhost-net queue 0") != 0)
		return demo_fail(d, "conversion of a pinned page gave %d at %#" PRIx64, pinned,
				 c.error_gpa);
	if (clo_vm_convert(d->alpha.vm, &c))
		return demo_fail(d, "conversion after the unpin failed");
	demo_row(d, "refusals", "file bound twice; another guest's file; a pinned page to private",
		 demo_text("EEXIST; EINVAL; EAGAIN at gpa %#" PRIx64 ", held by %s", c.error_gpa,
			   "vhost-net queue 0"),
		 "nothing changed by any of them");
	return 0;
}

/* ---- a race, explored ---- */

/* Run cloister-explore on @file; its exit status, or -1. */
static int explore(const char *path, const char *file, bool broken)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (!freopen("/dev/null", "w", stdout))
			_exit(CLI_USAGE);
		if (broken)
			execl(path, path, "--break", "inval-seq", file, (char *)NULL);
		else
			execl(path, path, file, (char *)NULL);
		_exit(CLI_USAGE);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

int demo_race(struct demo *d)
{
	char path[PATH_MAX + 32], file[PATH_MAX];
	uint64_t start = clo_now_ns(), ns;
	int good, broken;

	if (cli_exec_path(path, sizeof(path), "cloister-explore") ||
	    cli_litmus_path(file, sizeof(file), "fault-vs-convert.litmus")) {
		demo_row(d, "a race, explored",
			 "left out: cloister-explore or its litmus files are not installed", "",
			 "");
		return 0;
	}
	good = explore(path, file, false);
	ns = clo_now_ns() - start;
	broken = explore(path, file, true);
	if (good != CLI_OK || broken != CLI_FINDING)
		return demo_fail(d,
				 "fault-vs-convert.litmus: exploration ended with %d, without the "
				 "sequence check with %d",
				 good, broken);
	demo_row(d, "a race, explored",
		 "guest fault against conversion, every interleaving with 2 preemptions",
		 "I1..I7 after each step; without the sequence check: found",
		 demo_text("%.1f s", (double)ns / 1e9));
	return 0;
}

/* ---- leak report ---- */

int demo_leaks(struct demo *d)
{
	struct clo_check_fail fail;
	struct clo_leak_report r = { .size = sizeof(r) };
	struct clo_gmem_pin *pin;
	uint64_t word = 0;
	uint64_t frames;
	struct clo_host_stats s = { .size = sizeof(s) };

	if (clo_check_idle(d->host, &fail))
		return demo_fail(d, "%s: %s", fail.invariant, fail.text);
	/* What VMMs do wrong: KVM's call frees nothing, and this VMM forgets to punch the hole; a
	 * device's pin is left behind. */
	if (clo_vm_set_attributes(d->beta.vm, DEMO_GPA, 16 * PAGE, 0) ||
	    clo_vcpu_access(d->beta.vcpu[0], DEMO_GPA, &word, 8, CLO_ACCESS_WRITE) ||
	    clo_gmem_set_attributes(d->alpha.gmem, 0, PAGE, 0, NULL) ||
	    clo_gmem_pin(d->alpha.gmem, 0, PAGE, "vfio 0000:3b:00.0", &pin, NULL))
		return demo_fail(d, "set-up of the leaks failed");
	clo_vm_report(d->beta.vm, &r);
	if (r.backed_twice != 1)
		return demo_fail(d, "%" PRIu64 " pages backed twice, 1 expected", r.backed_twice);
	clo_vm_report(d->alpha.vm, &r);
	if (r.pins_left != 1 || r.leak_count != 1 ||
	    strcmp(r.leaks[0].holder, "vfio 0000:3b:00.0") != 0)
		return demo_fail(d, "%" PRIu64 " pins left, 1 expected", r.pins_left);
	clo_gmem_unpin(pin);
	clo_host_stats(d->host, &s);
	frames = s.frames_used;
	demo_row(d, "leak report", "a hole never punched, a pin never dropped",
		 demo_text("1 page backed twice at gpa %#" PRIx64 "; 1 pin left: vfio 0000:3b:00.0",
			   DEMO_GPA),
		 demo_text("I1..I6 over %" PRIu64 " frames, all leaves and TLBs", frames));
	return 0;
}
