/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/bench_table.c - stage-2 tables: walk, map, zap, move, and how a zap grows with vCPUs.
 *
 * The peer of single operations is a flat array of entries with one compare-and-swap or load each:
 * what a table would cost without levels, and without a protocol. The peer of a range is what KVM
 * does with private pages of TDX: a round of all vCPUs for each page (one IPI broadcast a
 * page), where a range here costs one (D6).
 */
#include "bench.h"
#include "table/table.h"

#define LEAVES   (1ULL << 16)
#define RANGE    512ULL
#define RWX      (CLO_SPTE_R | CLO_SPTE_W | CLO_SPTE_X)
#define IDLE_MAX 1024U

struct tables {
	struct clo_mmu mmu;
	struct clo_tlb own;
	struct clo_tlb *idle;
	struct clo_a64 *flat;
	struct clo_range r;
	unsigned from; /* table that holds the leaves, for moves */
	struct clo_a32 stop;
};

static void map_one(struct tables *t, uint64_t gfn)
{
	struct clo_inval_snap snap = clo_inval_snapshot(&t->mmu.inval, gfn);
	struct clo_map_ctx ctx;

	clo_rcu_read_lock();
	if (clo_table_map_begin(t->mmu.table[0], clo_gfn(gfn), CLO_LEVEL_4K, &ctx) == 0) {
		if (clo_inval_retry(&t->mmu.inval, gfn, snap))
			clo_table_map_abort(&ctx);
		else
			clo_table_map_commit(&ctx, clo_spte_make(clo_pfn(gfn), CLO_LEVEL_4K, RWX));
	}
	clo_rcu_read_unlock();
}

static void map_all(void *arg, uint64_t n)
{
	for (uint64_t gfn = 0; gfn < n; gfn++)
		map_one(arg, gfn);
}

static void fill(void *arg)
{
	map_all(arg, LEAVES);
}

static void empty(void *arg)
{
	struct tables *t = arg;

	clo_table_zap(t->mmu.table[0], clo_range(0, LEAVES), NULL, NULL);
}

static void zap_all(void *arg, uint64_t n)
{
	struct tables *t = arg;

	clo_table_zap(t->mmu.table[0], clo_range(0, n), NULL, NULL);
}

static void nothing(void *arg)
{
	(void)arg;
}

static void flat_set(void *arg, uint64_t n)
{
	struct tables *t = arg;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t old = clo_a64_get(&t->flat[i]);

		bench_keep(clo_a64_cas(&t->flat[i], &old, i));
	}
}

/* Each gfn depends on the answer before: latency. */
static void walk(void *arg, uint64_t n)
{
	struct tables *t = arg;
	struct clo_leaf leaf = { 0 };
	uint64_t gfn = 1;

	for (uint64_t i = 0; i < n; i++) {
		clo_table_walk(t->mmu.table[0], clo_gfn(gfn), &leaf);
		gfn = (clo_spte_pfn(leaf.spte).n * 5 + 12345) % LEAVES;
	}
	bench_keep(gfn);
}

static void flat_walk(void *arg, uint64_t n)
{
	struct tables *t = arg;
	uint64_t gfn = 1;

	for (uint64_t i = 0; i < n; i++)
		gfn = (clo_a64_get(&t->flat[gfn]) * 5 + 12345) % LEAVES;
	bench_keep(gfn);
}

static void translate(void *arg, uint64_t n)
{
	struct tables *t = arg;
	uint64_t sum = 0;

	clo_tlb_enter(&t->own);
	for (uint64_t i = 0; i < n; i++)
		sum += clo_mmu_translate(&t->mmu, &t->own, clo_gfn(i % 128), CLO_SPACE_SHARED,
					 CLO_SPTE_R);
	clo_tlb_exit(&t->own);
	bench_keep(sum);
}

static void guest_mode(void *arg, uint64_t n)
{
	struct tables *t = arg;

	for (uint64_t i = 0; i < n; i++) {
		clo_tlb_enter(&t->own);
		clo_tlb_exit(&t->own);
	}
}

/* To and fro: each leaf moves once in a sample. */
static void move_all(void *arg, uint64_t n)
{
	struct tables *t = arg;

	clo_table_move(t->mmu.table[t->from], t->mmu.table[!t->from], clo_range(0, n), NULL, NULL,
		       NULL, NULL);
	t->from = !t->from;
}

static void single(struct bench *b, struct tables *t)
{
	struct bench_time own, peer;

	bench_group(b, "one leaf");
	fill(t);
	empty(t);
	peer = bench_run_fixed(b, LEAVES, nothing, flat_set, t);
	own = bench_run_fixed(b, LEAVES, empty, map_all, t);
	bench_print(b, (struct bench_row){ .name = "table.map-4k",
					   .own = &own,
					   .peer_name = "flat array, one swap",
					   .peer = &peer });
	own = bench_run_fixed(b, LEAVES, fill, zap_all, t);
	bench_print(b, (struct bench_row){ .name = "table.zap-4k",
					   .own = &own,
					   .peer_name = "flat array, one swap",
					   .peer = &peer });
	fill(t);
	own = bench_run(b, walk, t);
	peer = bench_run(b, flat_walk, t);
	bench_print(b, (struct bench_row){ .name = "table.walk",
					   .own = &own,
					   .peer_name = "flat array, one load",
					   .peer = &peer });
	own = bench_run(b, translate, t);
	bench_print(b, (struct bench_row){ .name = "table.tlb-hit", .own = &own });
	own = bench_run(b, guest_mode, t);
	bench_print(b, (struct bench_row){ .name = "table.guest-mode",
					   .own = &own,
					   .note = "enter and leave" });
	own = bench_run_fixed(b, LEAVES, nothing, move_all, t);
	if (t->from != 0)
		move_all(t, LEAVES);
	bench_print(b, (struct bench_row){
			       .name = "table.move-4k", .own = &own, .note = "no flush needed" });
	empty(t);
}

static void fill_range(void *arg)
{
	map_all(arg, RANGE);
}

static void zap_range_once(void *arg, uint64_t n)
{
	struct tables *t = arg;

	clo_table_zap(t->mmu.table[0], clo_range(0, n), NULL, NULL);
	clo_mmu_flush(&t->mmu);
}

static void zap_range_by_page(void *arg, uint64_t n)
{
	struct tables *t = arg;

	for (uint64_t gfn = 0; gfn < n; gfn++) {
		clo_table_zap(t->mmu.table[0], clo_range(gfn, gfn + 1), NULL, NULL);
		clo_mmu_flush(&t->mmu);
	}
}

static void rounds(void *arg, uint64_t n)
{
	struct tables *t = arg;

	for (uint64_t i = 0; i < n; i++)
		clo_mmu_shootdown(&t->mmu);
}

static void compare_ranges(struct bench *b, struct tables *t, const char *vcpus)
{
	struct bench_time own, peer;

	own = bench_run(b, rounds, t);
	/* A busy vCPU that got no processor looks idle: say how many rounds met it. */
	double made = (double)clo_stat_get(&t->mmu.shootdowns);
	double met = (double)clo_stat_get(&t->mmu.ipis);

	bench_print(b,
		    (struct bench_row){ .name = bench_text(b, "table.shootdown-%s", vcpus),
					.own = &own,
					.note = bench_text(b, "%.2f waits a round", met / made) });
	own = bench_run_fixed(b, RANGE, fill_range, zap_range_once, t);
	peer = bench_run_fixed(b, RANGE, fill_range, zap_range_by_page, t);
	bench_print(b, (struct bench_row){ .name = bench_text(b, "table.zap-2m-%s", vcpus),
					   .own = &own,
					   .peer_name = "a round for each page",
					   .peer = &peer,
					   .note = "per page" });
}

/* A vCPU that is in guest mode most of the time: sections of some 100 translations. */
static void *busy_vcpu(void *arg)
{
	struct tables *t = arg;

	while (!clo_a32_get(&t->stop))
		translate(t, 100);
	return NULL;
}

static void growth(struct bench *b, struct tables *t)
{
	unsigned count = 0;

	bench_group(b, "growth with vCPUs");
	for (unsigned wanted = 1; wanted <= 256; wanted *= 4) {
		for (; count < wanted; count++)
			if (clo_mmu_add_tlb(&t->mmu, count == 0 ? &t->own : &t->idle[count]) != 0)
				bench_die("no place for a vCPU");
		compare_ranges(b, t, bench_text(b, "%u-idle", wanted));
	}
}

static void growth_busy(struct bench *b, struct tables *t)
{
	struct clo_thread thread;

	if (clo_mmu_add_tlb(&t->mmu, &t->own) != 0 || clo_thread_create(&thread, busy_vcpu, t) != 0)
		bench_die("no busy vCPU");
	compare_ranges(b, t, "1-busy");
	clo_a32_set(&t->stop, 1);
	if (clo_thread_join(&thread) != 0)
		bench_die("no end of a thread");
}

static void with_tables(struct bench *b, void (*fn)(struct bench *, struct tables *))
{
	struct tables *t = clo_alloc_aligned(64, sizeof(*t));

	if (t == NULL || clo_mmu_init(&t->mmu) != 0)
		bench_die("no memory");
	t->idle = clo_alloc(sizeof(*t->idle) * IDLE_MAX);
	t->flat = clo_alloc(sizeof(*t->flat) * LEAVES);
	if (t->idle == NULL || t->flat == NULL)
		bench_die("no memory");
	fn(b, t);
	clo_mmu_destroy(&t->mmu);
	clo_rcu_barrier();
	clo_free(t->flat);
	clo_free(t->idle);
	clo_free(t);
}

int main(int argc, char **argv)
{
	struct bench *b = bench_start(argc, argv, "stage-2 tables");

	with_tables(b, single);
	with_tables(b, growth);
	with_tables(b, growth_busy);
	return bench_finish(b);
}
