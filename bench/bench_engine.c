/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/bench_engine.c - soft faults, conversions and zaps of the whole engine, by its public API.
 *
 * The peer of a fault is the kernel's own fault on a memfd, or on its guest_memfd. Ours has no
 * hardware exit in it.
 */
#include "bench_engine.h"

#include "bench_files.h"
#include "bench_rig.h"

/* ---- soft faults ---- */

struct faults {
	struct rig g;
	struct bench_file f;
	uint64_t bytes;
	uint64_t unit; /* of a fault */
};

static void guest_touch(void *arg, uint64_t n)
{
	struct faults *t = arg;

	rig_touch(&t->g, 0, 0, n * t->unit, t->unit);
}

static void guest_forget(void *arg)
{
	struct faults *t = arg;

	rig_slot(&t->g, false);
	rig_slot(&t->g, true);
}

static void guest_punch(void *arg)
{
	struct faults *t = arg;

	rig_punch(&t->g, 0, t->bytes);
}

static void file_touch(void *arg, uint64_t n)
{
	struct faults *t = arg;

	bench_file_touch(&t->f, 0, n * t->unit);
}

static void file_forget(void *arg)
{
	struct faults *t = arg;

	bench_file_forget(&t->f, 0, t->bytes);
}

static void file_punch(void *arg)
{
	struct faults *t = arg;

	bench_file_punch(&t->f, 0, t->bytes);
}

static void guest_load_again(void *arg, uint64_t n)
{
	struct faults *t = arg;
	uint64_t word;

	while (n--)
		if (clo_vcpu_access(t->g.vcpu[0], RIG_GPA + (n & 15) * RIG_PAGE, &word,
				    sizeof(word), 0) != 0)
			bench_die("clo_vcpu_access");
}

/* A second file as a peer, the kernel's guest_memfd, in rows of their own. */
static void kernel_row(struct bench *b, const char *name, const struct bench_time *own,
		       struct faults *t, void (*before)(void *))
{
	struct faults k = *t;
	struct bench_time peer;
	char why[128];

	if (!bench_guest_memfd(&k.f, t->bytes, why, sizeof(why))) {
		bench_missing(b, bench_text(b, "%s, guest_memfd", name), why);
		return;
	}
	bench_file_touch(&k.f, 0, k.bytes);
	peer = bench_run_fixed(b, k.bytes / k.unit, before, file_touch, &k);
	bench_print(b, (struct bench_row){ .name = name,
					   .own = own,
					   .peer_name = "kernel guest_memfd, host",
					   .peer = &peer });
	bench_file_close(&k.f);
}

static void fault_rows(struct bench *b, struct faults *t, const char *size, double target)
{
	uint64_t n = t->bytes / t->unit;
	const char *there = bench_text(b, "fault %s, page there", size);
	const char *fresh = bench_text(b, "fault %s, page to be allocated", size);
	const char *note = t->unit > RIG_PAGE ? "peer: 512 faults of 4K" : NULL;
	struct bench_time own;
	struct bench_time peer;

	bench_memfd(&t->f, t->bytes);
	bench_file_touch(&t->f, 0, t->bytes);
	own = bench_run_fixed(b, n, guest_forget, guest_touch, t);
	peer = bench_run_fixed(b, n, file_forget, file_touch, t);
	bench_print(b, (struct bench_row){ .name = there,
					   .own = &own,
					   .peer_name = "memfd, mapped anew",
					   .peer = &peer,
					   .target = target,
					   .note = note });
	own = bench_run_fixed(b, n, guest_punch, guest_touch, t);
	peer = bench_run_fixed(b, n, file_punch, file_touch, t);
	bench_print(b, (struct bench_row){ .name = fresh,
					   .own = &own,
					   .peer_name = "memfd, after PUNCH_HOLE",
					   .peer = &peer,
					   .note = note });
	kernel_row(b, fresh, &own, t, file_punch);
	bench_file_close(&t->f);
}

static void soft_faults(struct bench *b)
{
	struct faults t = { .bytes = bench_quick(b) ? 32 * MIB : 256 * MIB, .unit = RIG_PAGE };
	struct rig_config cfg = { .owner = CLO_ATTR_OWNER_GMEM,
				  .host_view = CLO_HOST_VIEW_SOFT,
				  .bytes = t.bytes };
	struct bench_time own;

	bench_group(b, "fault, private memory, one vCPU");
	if (!bench_wanted(b, "fault") && !bench_wanted(b, "load"))
		return;
	rig_make(&t.g, cfg);
	rig_touch(&t.g, 0, 0, t.bytes, RIG_PAGE);
	own = bench_run(b, guest_load_again, &t);
	bench_print(b, (struct bench_row){ .name = "load of 8 bytes, no fault", .own = &own });
	fault_rows(b, &t, "4K", 300);
	rig_free(&t.g);

	cfg.flags = CLO_GMEM_HUGETLB;
	cfg.page_order = 9;
	t.unit = 2 * MIB;
	rig_make(&t.g, cfg);
	rig_touch(&t.g, 0, 0, t.bytes, t.unit);
	fault_rows(b, &t, "2M", 0);
	rig_free(&t.g);
}

/* ---- zaps ---- */

static void zap_prepare(void *arg)
{
	struct faults *t = arg;

	rig_slot(&t->g, true);
	rig_touch(&t->g, 0, 0, t->bytes, t->unit);
}

static void zap_slot(void *arg, uint64_t n)
{
	struct faults *t = arg;

	(void)n;
	rig_slot(&t->g, false);
}

static void hole_prepare(void *arg)
{
	struct faults *t = arg;

	rig_touch(&t->g, 0, 0, t->bytes, t->unit);
}

static void hole_all(void *arg, uint64_t n)
{
	struct faults *t = arg;

	for (uint64_t off = 0; off < n * RIG_PAGE; off += 2 * MIB)
		rig_punch(&t->g, off, 2 * MIB);
}

static void file_prepare(void *arg)
{
	struct faults *t = arg;

	bench_file_touch(&t->f, 0, t->bytes);
}

static void file_forget_all(void *arg, uint64_t n)
{
	struct faults *t = arg;

	bench_file_forget(&t->f, 0, n * RIG_PAGE);
}

static void file_hole_all(void *arg, uint64_t n)
{
	struct faults *t = arg;

	for (uint64_t off = 0; off < n * RIG_PAGE; off += 2 * MIB)
		bench_file_punch(&t->f, off, 2 * MIB);
}

static void zaps(struct bench *b)
{
	struct faults t = { .bytes = bench_quick(b) ? 32 * MIB : 256 * MIB, .unit = RIG_PAGE };
	struct rig_config cfg = { .owner = CLO_ATTR_OWNER_GMEM,
				  .host_view = CLO_HOST_VIEW_SOFT,
				  .bytes = t.bytes };
	uint64_t n = t.bytes / RIG_PAGE;
	struct bench_time own;
	struct bench_time peer;
	char why[128];

	bench_group(b, "zap, ns for each page");
	if (!bench_wanted(b, "memslot") && !bench_wanted(b, "holes"))
		return;
	bench_memfd(&t.f, t.bytes);
	rig_make(&t.g, cfg);
	rig_slot(&t.g, false);
	own = bench_run_fixed(b, n, zap_prepare, zap_slot, &t);
	peer = bench_run_fixed(b, n, file_prepare, file_forget_all, &t);
	bench_print(b, (struct bench_row){ .name = "a memslot is deleted, 4K leaves",
					   .own = &own,
					   .peer_name = "memfd, MADV_DONTNEED",
					   .peer = &peer });
	rig_slot(&t.g, true);
	own = bench_run_fixed(b, n, hole_prepare, hole_all, &t);
	peer = bench_run_fixed(b, n, file_prepare, file_hole_all, &t);
	bench_print(b, (struct bench_row){ .name = "holes of 2M, 4K leaves",
					   .own = &own,
					   .peer_name = "memfd, PUNCH_HOLE",
					   .peer = &peer });
	bench_file_close(&t.f);
	if (bench_guest_memfd(&t.f, t.bytes, why, sizeof(why))) {
		peer = bench_run_fixed(b, n, file_prepare, file_hole_all, &t);
		bench_print(b, (struct bench_row){ .name = "holes of 2M, 4K leaves",
						   .own = &own,
						   .peer_name = "kernel guest_memfd",
						   .peer = &peer });
		bench_file_close(&t.f);
	} else {
		bench_missing(b, "holes of 2M, guest_memfd", why);
	}
	rig_free(&t.g);
}

int main(int argc, char **argv)
{
	struct bench *b = bench_start(argc, argv, "engine");

	soft_faults(b);
	bench_conversions(b);
	zaps(b);
	return bench_finish(b);
}
