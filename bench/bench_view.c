/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/bench_view.c - hiding pages from the VMM's mapping and showing them again, per page,
 * against what a VMM without this could do: mprotect, and MADV_DONTNEED with a fault on each page
 * afterwards.
 *
 * Batches of 4K to 2M out of 32 MiB, all pages present. The rows "2 threads" have one more thread
 * that runs in the process, as vCPUs do: then each zap of present pages costs an IPI, here and in
 * the peers.
 */
#include "bench.h"
#include "view/view.h"

#include <sys/mman.h>
#include <unistd.h>

#define PAGES 8192ULL

struct rig {
	struct clo_pagedb *db;
	struct clo_view_host *vh;
	struct clo_view_set *vs;
	struct clo_pfn base;
	volatile uint8_t *view;
	volatile uint8_t *peer; /* plain memfd, populated */
	uint64_t batch;
	uint64_t at;
	struct clo_a32 stop;
};

static int resolve(void *owner, uint64_t index, clo_view_grant_fn grant, void *garg)
{
	struct rig *g = owner;
	struct clo_pfn pfn = clo_pfn(g->base.n + index);

	if (!clo_page_lock(g->db, pfn, NULL)) {
		if (clo_page_alloc(g->db, pfn, 0, 1, CLO_FRAME_ALLOC_SHARED))
			return -1;
		clo_page_zero(g->db, pfn);
		clo_page_set_uptodate(g->db, pfn, true);
	}
	grant(garg, clo_range(index, index + 1), pfn);
	clo_page_unlock(g->db, pfn);
	return 0;
}

static bool rig_open(struct rig *g, enum clo_view_level level)
{
	struct clo_view_piece piece = { .r = clo_range(0, PAGES) };
	void *addr;

	*g = (struct rig){ 0 };
	if (clo_pagedb_create(CLO_POOL_MEMFD, PAGES, PAGES, &g->db))
		bench_die("no pool");
	if (clo_view_host_create(g->db, level, &g->vh)) {
		clo_pagedb_destroy(g->db);
		return false;
	}
	if (clo_page_window_reserve(g->db, 13, CLO_WINDOW_LAST, &g->base) ||
	    clo_view_set_create(g->vh, PAGES, resolve, g, &g->vs))
		bench_die("no view set");
	piece.base = g->base;
	if (clo_view_map(g->vs, &piece, 1, NULL, 0, &addr))
		bench_die("no mapping");
	g->view = addr;
	for (uint64_t i = 0; i < PAGES; i++)
		bench_keep(g->view[i * CLO_PAGE_SIZE]);
	return true;
}

static void rig_close(struct rig *g)
{
	clo_view_set_destroy(g->vs);
	clo_view_host_destroy(g->vh);
	for (uint64_t i = 0; i < PAGES; i++) {
		if (clo_page_lock(g->db, clo_pfn(g->base.n + i), NULL) &&
		    clo_page_step(g->db, clo_pfn(g->base.n + i), CLO_FRAME_FREE_OP))
			bench_die("a frame is not freed");
	}
	clo_page_window_release(g->db, g->base, 13);
	clo_pagedb_destroy(g->db);
}

static void peer_open(struct rig *g)
{
	int fd = memfd_create("bench-view", MFD_CLOEXEC);
	void *p;

	if (fd < 0 || ftruncate(fd, (off_t)(PAGES * CLO_PAGE_SIZE)) != 0)
		bench_die("no memfd");
	p = mmap(NULL, PAGES * CLO_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED || madvise(p, PAGES * CLO_PAGE_SIZE, MADV_POPULATE_WRITE) != 0)
		bench_die("no memory for the peer");
	g->peer = p;
}

static struct clo_range next_batch(struct rig *g)
{
	/* Far from the last one: neighbours would be cheap for mprotect, which merges them. */
	g->at = (g->at + PAGES / 2 + 2 * g->batch) % PAGES;
	g->at = clo_align_down(g->at, g->batch);
	return clo_range(g->at, g->at + g->batch);
}

static void run_view(void *arg, uint64_t n)
{
	struct rig *g = arg;

	while (n-- > 0) {
		struct clo_range r = next_batch(g);

		if (clo_view_hide(g->vs, r))
			bench_die("hide failed");
		clo_view_show(g->vs, r);
	}
}

static void *peer_at(struct rig *g, struct clo_range r)
{
	return (void *)((uintptr_t)g->peer + r.start * CLO_PAGE_SIZE);
}

static void run_mprotect(void *arg, uint64_t n)
{
	struct rig *g = arg;
	size_t bytes = (size_t)(g->batch * CLO_PAGE_SIZE);

	while (n-- > 0) {
		void *p = peer_at(g, next_batch(g));

		if (mprotect(p, bytes, PROT_NONE) || mprotect(p, bytes, PROT_READ | PROT_WRITE))
			bench_die("mprotect failed");
	}
}

static void run_dontneed(void *arg, uint64_t n)
{
	struct rig *g = arg;

	while (n-- > 0) {
		struct clo_range r = next_batch(g);

		if (madvise(peer_at(g, r), (size_t)(g->batch * CLO_PAGE_SIZE), MADV_DONTNEED))
			bench_die("madvise failed");
		for (uint64_t i = r.start; i < r.end; i++)
			g->peer[i * CLO_PAGE_SIZE] = 1;
	}
}

static struct bench_time per_page(struct bench_time t, uint64_t pages)
{
	double n = (double)pages;

	t.median /= n;
	t.p10 /= n;
	t.p90 /= n;
	t.p99 /= n;
	return t;
}

static void *spin(void *arg)
{
	struct rig *g = arg;

	while (!clo_a32_get(&g->stop))
		;
	return NULL;
}

static void measure_batch(struct bench *b, struct rig *g, const char *what, uint64_t pages)
{
	const char *name = bench_text(b, "%s, by %lluK", what, (unsigned long long)pages * 4);
	struct bench_time own, peer;

	if (!bench_wanted(b, name))
		return;
	g->batch = pages;
	own = per_page(bench_run(b, run_view, g), pages);
	peer = per_page(bench_run(b, run_dontneed, g), pages);
	bench_print(b, (struct bench_row){ .name = name,
					   .own = &own,
					   .peer_name = "DONTNEED + refault",
					   .peer = &peer,
					   .note = "ns per page" });
	peer = per_page(bench_run(b, run_mprotect, g), pages);
	bench_print(b, (struct bench_row){ .name = name,
					   .own = &own,
					   .peer_name = "mprotect twice",
					   .peer = &peer,
					   .note = "ns per page" });
}

static void measure_batches(struct bench *b, struct rig *g, const char *what)
{
	static const uint64_t batches[] = { 1, 16, 512 };

	for (unsigned i = 0; i < CLO_ARRAY_SIZE(batches); i++)
		measure_batch(b, g, what, batches[i]);
}

/* Pages leave the view and keep their folio: each touch goes to the engine and back. */
static void run_first_touch(void *arg, uint64_t n)
{
	struct rig *g = arg;

	for (uint64_t i = 0; i < n; i++)
		bench_keep(g->view[i * CLO_PAGE_SIZE]);
}

static void before_first_touch(void *arg)
{
	struct rig *g = arg;

	clo_view_drop(g->vs, clo_range(0, PAGES));
}

static void run_access(void *arg, uint64_t n)
{
	struct rig *g = arg;
	uint64_t word;

	for (uint64_t i = 0; i < n; i++) {
		if (clo_view_access(g->vs, i % PAGES * CLO_PAGE_SIZE, &word, sizeof(word), false))
			bench_die("access failed");
	}
}

static void measure_uffd(struct bench *b)
{
	struct clo_thread t;
	struct bench_time own;
	struct rig g;

	bench_group(b, "level uffd: hide + show");
	if (!rig_open(&g, CLO_VIEW_UFFD)) {
		bench_missing(b, "uffd", "userfaultfd is not permitted");
		return;
	}
	peer_open(&g);
	measure_batches(b, &g, "uffd, 1 thread");
	if (clo_thread_create(&t, spin, &g))
		bench_die("no thread");
	measure_batches(b, &g, "uffd, 2 threads");
	clo_a32_set(&g.stop, 1);
	(void)clo_thread_join(&t);
	if (bench_wanted(b, "uffd, first touch by the engine")) {
		own = bench_run_fixed(b, 64, before_first_touch, run_first_touch, &g);
		bench_print(b, (struct bench_row){ .name = "uffd, first touch by the engine",
						   .own = &own });
	}
	clo_view_show(g.vs, clo_range(0, PAGES));
	own = bench_run(b, run_access, &g);
	bench_print(b,
		    (struct bench_row){ .name = "uffd, clo_view_access of 8 bytes", .own = &own });
	(void)munmap((void *)(uintptr_t)g.peer, PAGES * CLO_PAGE_SIZE);
	rig_close(&g);
}

static void measure_remap(struct bench *b)
{
	struct rig g;

	bench_group(b, "level remap: hide + show, without the faults after it");
	if (!rig_open(&g, CLO_VIEW_REMAP)) {
		bench_missing(b, "remap", "memfd is not permitted");
		return;
	}
	peer_open(&g);
	measure_batches(b, &g, "remap, 1 thread");
	(void)munmap((void *)(uintptr_t)g.peer, PAGES * CLO_PAGE_SIZE);
	rig_close(&g);
}

int main(int argc, char **argv)
{
	struct bench *b = bench_start(argc, argv, "host view");

	measure_uffd(b);
	measure_remap(b);
	return bench_finish(b);
}
