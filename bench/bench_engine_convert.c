/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/bench_engine_convert.c - conversions: in place and between two backings, by calls of 4K, 2M
 * and 1G, on one and two threads.
 *
 * The peer is what a VMM does without conversion in place: PUNCH_HOLE of one file and faults in
 * another, with the same number of threads. Rows are for a page, however many a call has.
 * "touched": the guest stores into each page after each call; the peer always does, else it had
 * done nothing yet.
 */
#include "bench_engine.h"

#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include "bench_files.h"
#include "bench_rig.h"
#include "sync/sync.h"

static void nothing(void *arg)
{
	(void)arg;
}

/* One half of the memory each for the main thread and, with two, for one that waits to be told. */
struct convs {
	struct rig g;
	struct bench_file f[2]; /* private, shared: a VMM's two backings */
	uint64_t part;          /* bytes of a thread */
	uint64_t call;          /* bytes of a call */
	unsigned threads;
	bool touch;
	bool is_private;
	void (*work)(struct convs *c, unsigned thread);
	struct clo_a32 go;
	struct clo_a32 done;
	struct clo_a32 stop;
	struct clo_thread helper;
};

static void *helper_main(void *arg)
{
	struct convs *c = arg;
	uint32_t seen = 0;

	for (;;) {
		while (clo_a32_get(&c->go) == seen && !clo_a32_get(&c->stop))
			sched_yield();
		if (clo_a32_get(&c->stop))
			return NULL;
		seen++;
		c->work(c, 1);
		clo_a32_set(&c->done, seen);
	}
}

static void helper_start(struct convs *c)
{
	clo_a32_set(&c->go, 0);
	clo_a32_set(&c->done, 0);
	clo_a32_set(&c->stop, 0);
	if (c->threads == 2 && clo_thread_create(&c->helper, helper_main, c) < 0)
		bench_die("no thread");
}

static void helper_stop(struct convs *c)
{
	clo_a32_set(&c->stop, 1);
	if (c->threads == 2)
		clo_thread_join(&c->helper);
}

/* All of the memory to the other kind; n is its pages. */
static void convert_all(void *arg, uint64_t n)
{
	struct convs *c = arg;

	(void)n;
	if (c->threads == 2)
		clo_a32_set(&c->go, clo_a32_get(&c->go) + 1);
	c->work(c, 0);
	while (c->threads == 2 && clo_a32_get(&c->done) != clo_a32_get(&c->go))
		sched_yield();
	c->is_private = !c->is_private;
}

static void work_engine(struct convs *c, unsigned thread)
{
	uint64_t off = thread * c->part;

	for (uint64_t end = off + c->part; off < end; off += c->call) {
		rig_convert(&c->g, off, c->call, !c->is_private);
		if (c->touch)
			rig_touch(&c->g, thread, off, c->call, RIG_PAGE);
	}
}

static void work_files(struct convs *c, unsigned thread)
{
	const struct bench_file *from = &c->f[!c->is_private];
	const struct bench_file *to = &c->f[c->is_private];
	uint64_t off = thread * c->part;

	for (uint64_t end = off + c->part; off < end; off += c->call) {
		bench_file_punch(from, off, c->call);
		bench_file_touch(to, off, c->call);
	}
}

/* What is converted has been used: all pages are there, and mapped. */
static void use_all(void *arg)
{
	struct convs *c = arg;

	rig_touch(&c->g, 0, 0, c->part * c->threads, RIG_PAGE);
}

static struct bench_time convert_time(struct bench *b, struct convs *c,
				      void (*work)(struct convs *, unsigned), bool touch)
{
	struct bench_time t;

	c->work = work;
	c->touch = touch;
	helper_start(c);
	t = bench_run_fixed(b, c->part * c->threads / RIG_PAGE,
			    work == work_files ? nothing : use_all, convert_all, c);
	helper_stop(c);
	return t;
}

static struct bench_time files_time(struct bench *b, struct convs *c)
{
	struct bench_time t;

	bench_memfd(&c->f[0], c->part * c->threads);
	bench_memfd(&c->f[1], c->part * c->threads);
	bench_file_touch(&c->f[0], 0, c->part * c->threads);
	c->is_private = true;
	t = convert_time(b, c, work_files, true);
	bench_file_close(&c->f[0]);
	bench_file_close(&c->f[1]);
	return t;
}

static struct bench_time rig_time(struct bench *b, struct convs *c, struct rig_config cfg,
				  bool touch)
{
	struct bench_time t;

	cfg.bytes = c->part * c->threads;
	rig_make(&c->g, cfg);
	c->is_private = true;
	t = convert_time(b, c, work_engine, touch);
	rig_free(&c->g);
	return t;
}

static const char *size_text(uint64_t bytes)
{
	return bytes == RIG_PAGE ? "4K" : bytes == 2 * MIB ? "2M" : "1G";
}

static const struct rig_config in_place = { .owner = CLO_ATTR_OWNER_GMEM,
					    .host_view = CLO_HOST_VIEW_SOFT };
static const struct rig_config two_backings = { .owner = CLO_ATTR_OWNER_VM,
						.host_view = CLO_HOST_VIEW_SOFT };

/* One row; the peer is measured once for all rows that have it. */
static void convert_row(struct bench *b, struct convs *c, const char *name, struct rig_config cfg,
			bool touch, struct bench_time *peer, const char *note)
{
	struct bench_time own;
	bool target = cfg.owner == CLO_ATTR_OWNER_GMEM && c->call == 2 * MIB && !note;

	if (!bench_wanted(b, name))
		return;
	if (peer->samples == 0)
		*peer = files_time(b, c);
	own = rig_time(b, c, cfg, touch);
	bench_print(b, (struct bench_row){ .name = name,
					   .own = &own,
					   .peer_name = "PUNCH_HOLE + fault, memfd",
					   .peer = peer,
					   .ratio = target ? 10 : 0,
					   .note = note });
}

static uint64_t part_bytes(struct bench *b, uint64_t call)
{
	uint64_t part = bench_quick(b) ? 16 * MIB : 64 * MIB;

	return call > part ? call : part;
}

static void convert_rows(struct bench *b, uint64_t call, unsigned threads)
{
	struct convs c = { .call = call, .threads = threads, .part = part_bytes(b, call) };
	const char *what = bench_text(b, "%s calls, %u thread%s", size_text(call), threads,
				      threads > 1 ? "s" : "");
	struct bench_time peer = { 0 };

	if (call == GIB && bench_quick(b)) {
		bench_missing(b, what, "left out by --quick");
		return;
	}
	convert_row(b, &c, bench_text(b, "in place, %s", what), in_place, false, &peer, NULL);
	convert_row(b, &c, bench_text(b, "in place, touched, %s", what), in_place, true, &peer,
		    NULL);
	convert_row(b, &c, bench_text(b, "two backings, touched, %s", what), two_backings, true,
		    &peer, NULL);
}

static void convert_variants(struct bench *b)
{
	struct convs c = { .call = 2 * MIB, .threads = 1, .part = part_bytes(b, 2 * MIB) };
	struct rig_config cfg = in_place;
	struct bench_time peer = { 0 };

	cfg.flags = CLO_GMEM_HUGETLB;
	cfg.page_order = 9;
	convert_row(b, &c, "in place, 2M calls, 2M folios", cfg, false, &peer,
		    "to shared splits, to private merges");
	cfg = in_place;
	cfg.flags = CLO_GMEM_ZERO_ON_CONVERT;
	convert_row(b, &c, "in place, 2M calls, zeroed", cfg, false, &peer, "content policy zero");
	cfg = in_place;
	cfg.host_view = CLO_HOST_VIEW_AUTO;
	cfg.view = true;
	convert_row(b, &c, "in place, 2M calls, mapped by the VMM", cfg, false, &peer,
		    "hidden and shown by the MMU");
}

static void memset_fn(void *arg, uint64_t n)
{
	memset(arg, (int)(n & 0xff), n * RIG_PAGE);
	bench_keep((uintptr_t)arg);
}

static void memset_row(struct bench *b)
{
	uint64_t bytes = 64 * MIB;
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct bench_time t;

	if (mem == MAP_FAILED)
		bench_die("no memory");
	t = bench_run_fixed(b, bytes / RIG_PAGE, nothing, memset_fn, mem);
	bench_print(b, (struct bench_row){ .name = "limit: memset of a page",
					   .own = &t,
					   .note = bench_text(b, "%.1f GB/s", 4096 / t.median) });
	munmap(mem, bytes);
}

void bench_conversions(struct bench *b)
{
	static const uint64_t calls[] = { RIG_PAGE, 2 * MIB, GIB };
	char why[160];

	bench_group(b, "conversion, ns for each page");
	memset_row(b);
	for (size_t i = 0; i < CLO_ARRAY_SIZE(calls); i++)
		for (unsigned threads = 1; threads <= 2; threads++)
			convert_rows(b, calls[i], threads);
	convert_variants(b);
	if (bench_wanted(b, "KVM_SET_MEMORY_ATTRIBUTES") && !bench_kvm_attributes(why, sizeof(why)))
		bench_missing(b, "KVM_SET_MEMORY_ATTRIBUTES", why);
}
