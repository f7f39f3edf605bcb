/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/test_threads.c - faults, holes, conversions, pins, binds and the close of a file against
 * each other. Also run under ThreadSanitizer: content is read and written by plain accesses, so a
 * hole in the protocol is a data race too.
 */
#include "gmem/gmem_test.h"

#define PAGES  8U
#define ROUNDS 3000U

struct shared {
	struct t_host h;
	struct clo_gmem *g;
	struct clo_a32 stop;
	struct clo_a32 ready; /* the memslot's pointer to the file */
	struct clo_gmem_binding b;
	struct clo_a64 got, refused;
};

static void no_range(void *vm, struct clo_range r)
{
	(void)vm;
	(void)r;
}

static void open_shared(struct shared *s, uint64_t flags, uint64_t limit)
{
	struct clo_gmem_config cfg;

	*s = (struct shared){ 0 };
	t_host_open(&s->h, limit, 64);
	cfg = t_config(&s->h, PAGES, flags, 0);
	/* The log is one thread's. */
	cfg.ops = (struct clo_gmem_ops){ .begin = no_range, .end = no_range, .vm = &s->h.vm };
	CHECK_OK(clo_gmem_open(s->h.db, NULL, &cfg, &s->g));
}

/* A vCPU as fault.c has it: RCU, the file from the slot's binding, any error but these is wrong. */
static void *faulter(void *arg)
{
	struct shared *s = arg;
	struct clo_rand rand = { clo_a64_add(&s->got, 1) };

	while (!clo_a32_get(&s->stop)) {
		uint64_t index = clo_rand_below(&rand, PAGES);
		struct clo_gmem *g;
		struct clo_pfn pfn;
		unsigned order;
		int ret = -EFAULT;

		clo_rcu_read_lock();
		g = clo_aptr_get(&s->b.gmem);
		if (g)
			ret = t_get(g, index, clo_attr_is_private(clo_gmem_attr(g), index), &pfn,
				    &order);
		clo_rcu_read_unlock();
		if (ret == 0)
			clo_a64_add(&s->got, 1);
		else if (ret == -EFAULT)
			return NULL; /* closed */
		else
			CHECK(ret == -EAGAIN || ret == -EACCES || ret == -ENOMEM);
		clo_relax();
	}
	return NULL;
}

static void *puncher(void *arg)
{
	struct shared *s = arg;
	struct clo_rand rand = { 77 };

	for (unsigned n = 0; n < ROUNDS; n++) {
		uint64_t start = clo_rand_below(&rand, PAGES);

		CHECK_OK(t_punch(s->g, start, 1 + clo_rand_below(&rand, PAGES - start)));
	}
	return NULL;
}

static void *converter(void *arg)
{
	struct shared *s = arg;
	struct clo_rand rand = { 99 };

	for (unsigned n = 0; n < ROUNDS; n++) {
		uint64_t start = clo_rand_below(&rand, PAGES);

		t_convert(s->g, clo_range(start, start + 1), n & 1);
	}
	return NULL;
}

/* While a device holds a page it is the device's to write, and nobody makes it private or takes it
 * away. */
static void *device(void *arg)
{
	struct shared *s = arg;
	struct clo_rand rand = { 55 };

	while (!clo_a32_get(&s->stop)) {
		uint64_t index = clo_rand_below(&rand, PAGES);
		struct clo_gmem_pin *pin;
		int ret = clo_gmem_pin(s->g, index << 12, 4096, "device", &pin, NULL);

		if (ret) {
			CHECK(ret == -EFAULT || ret == -ENOMEM);
			continue;
		}
		CHECK_EQ(t_frame(s->g, index).state, CLO_FRAME_SHARED);
		CHECK_NE(t_frame(s->g, index).pins, 0);
		clo_gmem_unpin(pin);
		clo_a64_add(&s->got, 1);
	}
	return NULL;
}

static void *binder(void *arg)
{
	struct shared *s = arg;

	while (!clo_a32_get(&s->stop)) {
		struct clo_gmem_binding b;

		/* The list has one writer at a time: here this thread alone, as the memslots lock
		 * would see to. */
		if (clo_gmem_bind(s->g, &b, clo_range(0, 2), 0))
			break;
		clo_gmem_unbind(&b);
		clo_rcu_synchronize();
	}
	return NULL;
}

static void run(struct shared *s, void *(*const *fn)(void *), unsigned count, unsigned waited)
{
	struct clo_thread t[8];

	for (unsigned i = 0; i < count; i++)
		CHECK_OK(clo_thread_create(&t[i], fn[i], s));
	for (unsigned i = 0; i < waited; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	clo_a32_set(&s->stop, 1);
	for (unsigned i = waited; i < count; i++)
		CHECK_OK(clo_thread_join(&t[i]));
}

TEST_TIMEOUT(faults_against_holes_and_conversions, 60)
{
	void *(*const fn[])(void *) = { puncher, converter, faulter, faulter, binder };
	static struct shared s;

	open_shared(&s, CLO_GMEM_MMAP, 64);
	CHECK_OK(clo_gmem_bind(s.g, &s.b, clo_range(2, PAGES), 2));
	run(&s, fn, CLO_ARRAY_SIZE(fn), 2);
	clo_gmem_unbind(&s.b);
	clo_gmem_release(s.g);
	t_host_close(&s.h);
}

TEST_TIMEOUT(pins_against_holes, 60)
{
	void *(*const fn[])(void *) = { puncher, device, device, faulter };
	static struct shared s;

	open_shared(&s, T_MMAP_ANY, PAGES - 2);
	CHECK_OK(clo_gmem_bind(s.g, &s.b, clo_range(2, PAGES), 2));
	run(&s, fn, CLO_ARRAY_SIZE(fn), 1);
	clo_gmem_unbind(&s.b);
	clo_gmem_release(s.g);
	t_host_close(&s.h);
}

static void *closer(void *arg)
{
	struct shared *s = arg;

	/* Some faults first, by count. */
	while (clo_a64_get(&s->got) < 50)
		clo_relax();
	clo_gmem_release(s->g);
	return NULL;
}

static void *unbinder(void *arg)
{
	struct shared *s = arg;

	while (clo_a64_get(&s->got) < 50)
		clo_relax();
	clo_gmem_unbind(&s->b);
	return NULL;
}

/* Close while bound and while vCPUs fault; in every second round the memslot goes at the same time.
 */
TEST_TIMEOUT(close_against_faults, 60)
{
	void *(*const bound[])(void *) = { closer, faulter, faulter };
	void *(*const unbound[])(void *) = { closer, unbinder, faulter, faulter };

	for (unsigned n = 0; n < 40; n++) {
		static struct shared s;

		open_shared(&s, n & 2 ? T_MMAP_ANY : 0, 64);
		CHECK_OK(clo_gmem_bind(s.g, &s.b, clo_range(0, PAGES), 0));
		/* The faulters read the binding until the end, so the file has to stay. */
		clo_gmem_get(s.g);
		if (n & 1)
			run(&s, unbound, 4, 2);
		else
			run(&s, bound, 3, 1);
		clo_gmem_put(s.g);
		t_host_close(&s.h);
	}
}

/* The VMM's touches, at the level that needs no mapping: each finds zero or what it wrote itself,
 * or is refused. */
struct host_side {
	struct t_host h;
	struct clo_gmem *g;
	struct clo_a32 stop, next;
};

static void *host_thread(void *arg)
{
	struct host_side *s = arg;
	uint8_t me = (uint8_t)(1 + clo_a32_add(&s->next, 1));
	struct clo_rand rand = { me };

	while (!clo_a32_get(&s->stop)) {
		uint64_t off = (clo_rand_below(&rand, PAGES) << 12) + 64U * me;
		uint8_t byte = me;
		int ret = clo_gmem_host_access(s->g, off, &byte, 1, clo_rand_next(&rand) & 1);

		CHECK(ret == 0 ? byte == 0 || byte == me : ret == -EFAULT);
	}
	return NULL;
}

TEST_TIMEOUT(host_touches_against_holes_and_conversions, 60)
{
	static struct host_side s;
	struct clo_rand rand = { 3 };
	struct clo_thread t[2];

	t_host_open(&s.h, 64, 64);
	CHECK_OK(clo_view_host_create(s.h.db, CLO_VIEW_SOFT, &s.h.vh));
	s.g = t_file(&s.h, PAGES, T_MMAP_ANY, 0);
	for (unsigned i = 0; i < 2; i++)
		CHECK_OK(clo_thread_create(&t[i], host_thread, &s));
	for (unsigned n = 0; n < ROUNDS; n++) {
		uint64_t start = clo_rand_below(&rand, PAGES);

		if (n % 4 == 0)
			CHECK_OK(t_punch(s.g, start, PAGES - start));
		else
			t_convert(s.g, clo_range(start, start + 1), n & 1);
	}
	clo_a32_set(&s.stop, 1);
	for (unsigned i = 0; i < 2; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	clo_gmem_release(s.g);
	t_host_close(&s.h);
}

/* Writers of one page through get_folio: its zeroing must not wipe out what another thread has
 * written since (mail 4's race). */
struct zero_race {
	struct t_host h;
	struct clo_gmem *g;
	struct clo_a32 go[2];
	struct clo_a32 done;
};

static void *writer(void *arg)
{
	struct zero_race *z = arg;
	uint32_t me = clo_a32_add(&z->go[0], 1);

	for (uint64_t index = 0; index < 2000; index++) {
		struct clo_a32 *word;
		struct clo_pfn pfn;
		unsigned order;

		while (t_get(z->g, index, true, &pfn, &order))
			clo_relax();
		word = (void *)(t_bytes(z->g, pfn) + 64 * me);
		clo_a32_set(word, 1);
		clo_relax();
		CHECK_EQ(clo_a32_get(word), 1);
	}
	return NULL;
}

TEST_TIMEOUT(zeroing_is_done_once, 60)
{
	static struct zero_race z;
	struct clo_thread t[3];

	t_host_open(&z.h, 2000, 4096);
	t_soil(z.h.db, 2048);
	z.g = t_file(&z.h, 2000, 0, 0);
	for (unsigned i = 0; i < 3; i++)
		CHECK_OK(clo_thread_create(&t[i], writer, &z));
	for (unsigned i = 0; i < 3; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	clo_gmem_release(z.g);
	t_host_close(&z.h);
}
