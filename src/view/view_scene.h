/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view_scene.h - for the tests of level UFFD under the explorer: a file of one or two pages, a
 * few threads, and the model of the kernel (view_fake.h).
 *
 * A scene says what its threads do, and calls violated() where something is seen that must not be.
 * It is searched to the end with a bound of preemptions; or, with a break switch on, until it ends
 * in the violation that is expected. The pool is made once: it is the same again after each run.
 */
#ifndef CLO_VIEW_VIEW_SCENE_H
#define CLO_VIEW_VIEW_SCENE_H

#include "harness/dfs.h"
#include "view_test.h"

#include <signal.h>

#define SECRET  0x5e
#define PUBLIC  0x50
#define OWN     0x77 /* in memory of the VMM's */
#define PAGE    ((size_t)CLO_PAGE_SIZE)
#define THREADS 3U
/* No run with a fair schedule is as long. */
#define FAIR_STEPS 600
#define PLACE      ((uint8_t *)(50ULL << 40)) /* nobody maps there by itself */

struct play {
	uint64_t pages;
	uint32_t bound;
	bool in_turn;        /* see dfs.h */
	void (*setup)(void); /* nobody else runs; may be NULL, finish too */
	void *(*thread[THREADS])(void *arg);
	void (*finish)(void);
};

struct scene {
	struct owner o;
	bool open;
	const struct play *play;
	uint8_t *v, *v2; /* views; NULL: none */
	const char *violation;
	unsigned served, refused, gone; /* over all runs: what loads came to */
};

static struct scene scene;
static struct dfs dfs;

static inline void violated(const char *what)
{
	scene.violation = what;
	clo_sched_stop(1);
}

/* A load by the VMM: the byte or minus the signal. */
static inline int vmm_load(const uint8_t *at)
{
	uint8_t byte = 0;
	int sig = view_fake_load(at, &byte);

	scene.served += sig == 0;
	scene.refused += sig == SIGBUS;
	scene.gone += sig == SIGSEGV;
	if (sig == 0 && byte == SECRET)
		violated("a private byte is read");
	return sig ? -sig : byte;
}

/* The guest has @page and writes what nobody may read. */
static inline void guest_store(uint64_t index)
{
	clo_sync_point("guest store", index);
	*owner_page(&scene.o, index) = SECRET;
}

static inline void to_private(uint64_t index)
{
	CHECK_OK(owner_convert(&scene.o, clo_range(index, index + 1), true));
	guest_store(index);
}

static inline void to_shared(uint64_t index)
{
	*owner_page(&scene.o, index) = PUBLIC;
	CHECK_OK(owner_convert(&scene.o, clo_range(index, index + 1), false));
}

/* In a page that was shared, and for good. */
static inline void must_read(const uint8_t *at, int byte)
{
	int got = vmm_load(at);

	if (got < 0)
		violated("a shared page cannot be read");
	if (got != byte)
		violated("the content of a shared page is lost");
}

static inline void must_refuse(const uint8_t *at)
{
	if (vmm_load(at) >= 0)
		violated("a private page is served");
}

/* View of the file with page 0 there and of PUBLIC content. */
static inline void setup_mapped(void)
{
	scene.v = owner_map(&scene.o);
	if (view_fake_store(scene.v, PUBLIC))
		violated("setup");
}

static inline void setup_private(void)
{
	setup_mapped();
	to_private(0);
}

/* One that a run has left in the middle is not used again, nor can it be closed. */
static inline void pool_give_up(void)
{
	static struct owner kept[16];
	static unsigned count;

	kept[count++ % CLO_ARRAY_SIZE(kept)] = scene.o;
	scene.open = false;
}

static inline void pool_open(uint64_t pages)
{
	CHECK_OK(owner_try_pool(&scene.o, CLO_POOL_MEMFD, pages));
	scene.open = true;
}

static inline void pool_close(void)
{
	if (scene.open)
		owner_close_pool(&scene.o);
	scene.open = false;
}

static inline void scene_run(void *arg)
{
	const struct play *p = arg;
	struct clo_thread t[THREADS];
	struct owner *o = &scene.o;

	clo_sched_quiet(true);
	view_fake_reset();
	scene.v = scene.v2 = NULL;
	CHECK_OK(owner_try_views(o, CLO_VIEW_UFFD));
	if (p->setup)
		p->setup();
	for (unsigned i = 0; i < THREADS && p->thread[i]; i++)
		CHECK_OK(clo_thread_create(&t[i], p->thread[i], NULL));
	clo_sched_quiet(false);
	for (unsigned i = 0; i < THREADS && p->thread[i]; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	clo_sched_quiet(true);

	if (p->finish)
		p->finish();
	owner_close_views(o);
	owner_free(o, clo_range(0, o->npages));
	clo_page_discard(o->db, o->base, o->npages);
	owner_set(o, clo_range(0, o->npages), OWNER_SHARED);
	clo_sched_quiet(false);
}

/* A line of the schedule that failed. */
static inline int scene_step(void *arg, const struct clo_sched_step *s)
{
	(void)arg;
	test_note("%s: %s %s %llx -> %llx%s", s->name, clo_op_name(s->op.kind), s->op.what,
		  (unsigned long long)s->op.arg, (unsigned long long)s->value,
		  s->ok ? "" : " (not)");
	return 0;
}

static inline void scene_replay(void)
{
	pool_open(scene.play->pages);
	dfs.on_step = scene_step;
	dfs_again(&dfs);
}

/*
 * True: all schedules were tried, and each came to its end. Left out is one in which a touch is
 * refused, woken and tried again for ever while the thread that it waits for could go on and is
 * never chosen: no processor does that. Such a run is cut off.
 */
static inline bool scene_search(const struct play *p)
{
	bool good;

	scene = (struct scene){ .play = p };
	pool_open(p->pages);
	dfs = (struct dfs){ .main_fn = scene_run,
			    .arg = (void *)(uintptr_t)p,
			    .bound = p->bound,
			    .in_turn = p->in_turn,
			    .max_steps = FAIR_STEPS };
	do {
		dfs_again(&dfs);
		dfs.runs++;
		dfs.ends[dfs.last.end]++;
		good = dfs.last.end == CLO_SCHED_DONE || dfs.last.end == CLO_SCHED_STEP_LIMIT;
		if (dfs.last.end == CLO_SCHED_DONE)
			continue;
		pool_give_up();
		pool_open(p->pages);
	} while (good && dfs_next(&dfs));
	pool_close();
	return good;
}

static inline void scene_holds(const struct play *p)
{
	if (!scene_search(p)) {
		scene_replay();
		test_fail(__FILE__, __LINE__, "run %llu: %s: %s\n%s", (unsigned long long)dfs.runs,
			  clo_sched_end_name(dfs.last.end), scene.violation ? scene.violation : "",
			  dfs.last.report);
	}
	CHECK_EQ(dfs.last.live_bytes, 0);
	test_note("%llu runs, %llu unfair: %u loads served, %u refused, %u of no mapping",
		  (unsigned long long)dfs.runs, (unsigned long long)dfs.ends[CLO_SCHED_STEP_LIMIT],
		  scene.served, scene.refused, scene.gone);
	CHECK_LT(dfs.ends[CLO_SCHED_STEP_LIMIT] * 10, dfs.runs);
}

/* With the break switches that the caller has thrown. @what: the violation; NULL: a dead-lock. */
static inline void scene_fails(const struct play *p, const char *what)
{
	const char *name = "no switch";
	bool held = scene_search(p);

	for (unsigned b = CLO_BREAK_NONE + 1; b < CLO_BREAK_COUNT; b++) {
		if (clo_broken((enum clo_break)b))
			name = clo_break_name((enum clo_break)b);
		clo_break_set((enum clo_break)b, false);
	}
	if (held)
		test_fail(__FILE__, __LINE__, "%s: nothing is found", name);
	test_note("%s: found in run %llu", name, (unsigned long long)dfs.runs);
	if (what)
		CHECK(scene.violation && strcmp(scene.violation, what) == 0);
	else
		CHECK(dfs.last.end == CLO_SCHED_DEADLOCK || dfs.last.end == CLO_SCHED_LIVELOCK);
}

#endif
