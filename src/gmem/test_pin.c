/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/test_pin.c - pins: bounds, all or nothing, holders, waiting; bindings: overlaps, order,
 * stale readers.
 */
#include "gmem/gmem_test.h"

struct pin_row {
	uint64_t off, len;
	int err;
};

static const struct pin_row pin_rows[] = {
	{ 0, 8 * 4096, 0 },          { 7 * 4096, 4096, 0 },           { 0, 0, -EINVAL },
	{ 8 * 4096, 4096, -EINVAL }, { 7 * 4096, 2 * 4096, -EINVAL }, { 1, 4096, -EINVAL },
	{ 0, 4095, -EINVAL },        { ~4095ULL, 8192, -EINVAL },     { 4096, ~4095ULL, -EINVAL },
};

TEST(pin_bounds)
{
	struct t_host h;
	struct clo_gmem *g;

	t_host_open(&h, 16, 0);
	g = t_file(&h, 8, T_MMAP_ANY, 0);
	for (size_t i = 0; i < CLO_ARRAY_SIZE(pin_rows); i++) {
		const struct pin_row *row = &pin_rows[i];
		struct clo_gmem_pin *pin = NULL;

		CHECK_ERR(clo_gmem_pin(g, row->off, row->len, "x", &pin, NULL), row->err);
		CHECK((pin != NULL) == (row->err == 0));
		clo_gmem_unpin(pin);
		pin = NULL;
		CHECK_ERR(clo_gmem_pin_nowait(g, row->off, row->len, "x", &pin, NULL), row->err);
		clo_gmem_unpin(pin);
	}
	CHECK_EQ(t_stats(g).pins, 0);
	clo_gmem_release(g);
	t_host_close(&h);
}

TEST(pin_is_all_or_nothing)
{
	struct t_host h;
	struct clo_gmem *g;
	struct clo_gmem_pin *pin = NULL;
	struct clo_pfn pfn;
	uint64_t off = 1;

	t_host_open(&h, 4, 64);
	g = t_file(&h, 16, T_MMAP_ANY, 0);
	CHECK_OK(clo_attr_set(clo_gmem_attr(g), clo_range(2, 3), true));
	CHECK_ERR(clo_gmem_pin(g, 0, 4 * 4096, "x", &pin, &off), -EFAULT);
	CHECK_EQ(off, 2 * 4096);
	CHECK_EQ(t_stats(g).pins, 0);
	CHECK_ERR(clo_gmem_pin_nowait(g, 0, 4 * 4096, "x", &pin, NULL), -EFAULT);
	/* The private page has a frame. */
	(void)t_page(g, 2, true);
	CHECK_ERR(clo_gmem_pin_nowait(g, 2 * 4096, 4096, "x", &pin, &off), -EFAULT);
	CHECK_EQ(off, 2 * 4096);
	/* Memory for one more page only. */
	CHECK_OK(t_allocate(g, 14, 2));
	CHECK_ERR(clo_gmem_pin(g, 8 * 4096, 3 * 4096, "x", &pin, &off), -ENOMEM);
	CHECK_EQ(off, 9 * 4096);
	CHECK_ERR(clo_gmem_pin_nowait(g, 8 * 4096, 3 * 4096, "x", &pin, &off), -ENOMEM);
	clo_alloc_fail_at(1);
	CHECK_ERR(clo_gmem_pin_nowait(g, 0, 4096, "x", &pin, &off), -ENOMEM);
	clo_alloc_fail_at(0);
	CHECK_EQ(t_stats(g).pins, 0);
	CHECK_EQ(pin, NULL);
	pfn = t_page(g, 8, false);
	clo_page_set_poison(h.db, pfn, true);
	CHECK_ERR(clo_gmem_pin_nowait(g, 8 * 4096, 4096, "x", &pin, &off), -EHWPOISON);
	CHECK_ERR(clo_gmem_pin(g, 8 * 4096, 4096, "x", &pin, &off), -EHWPOISON);
	clo_page_set_poison(h.db, pfn, false);
	clo_gmem_release(g);
	t_host_close(&h);
}

TEST(pin_makes_and_zeroes)
{
	struct t_host h;
	struct clo_gmem *g;
	struct clo_gmem_pin *pin, *again;
	struct clo_pfn pfn;

	t_host_open(&h, 16, 16);
	t_soil(h.db, 16);
	g = t_file(&h, 8, T_MMAP_ANY, 0);
	CHECK_OK(t_allocate(g, 0, 1)); /* there, but not zeroed */
	CHECK_OK(clo_gmem_pin(g, 0, 2 * 4096, "x", &pin, NULL));
	for (uint64_t i = 0; i < 2; i++) {
		CHECK(clo_gmem_pfn(g, i, &pfn));
		t_check_zero(g, pfn);
		CHECK_EQ(t_frame(g, i).pins, 1);
	}
	CHECK_OK(clo_gmem_pin(g, 4096, 4096, "y", &again, NULL));
	CHECK_EQ(t_frame(g, 1).pins, 2);
	CHECK_EQ(t_stats(g).pinned, 2);
	CHECK_EQ(t_stats(g).pins, 3);
	clo_gmem_unpin(pin);
	CHECK_EQ(t_stats(g).pins, 1);
	clo_gmem_unpin(again);
	clo_gmem_unpin(NULL);
	clo_gmem_release(g);
	t_host_close(&h);
}

/* What a DMA listener does: pin inside a conversion, when the frames are shared and the range is
 * still changing. */
TEST(pin_inside_a_conversion)
{
	struct t_host h;
	struct clo_gmem *g;
	struct clo_gmem_pin *pin = NULL;
	uint64_t off = 0;

	t_host_open(&h, 16, 0);
	g = t_file(&h, 8, T_MMAP_ANY, 0);
	(void)t_page(g, 1, false);
	CHECK_OK(t_allocate(g, 2, 1)); /* not ready: zeroed by the pin */
	clo_inval_begin(clo_gmem_inval(g), clo_range(0, 8));
	CHECK_OK(clo_gmem_pin_nowait(g, 4096, 2 * 4096, "listener", &pin, NULL));
	clo_gmem_unpin(pin);
	pin = NULL;
	/* A page that does not exist cannot be made now, and the listener must not wait for its own
	 * conversion. */
	CHECK_ERR(clo_gmem_pin_nowait(g, 4096, 3 * 4096, "listener", &pin, &off), -EAGAIN);
	CHECK_EQ(off, 3 * 4096);
	CHECK_EQ(pin, NULL);
	CHECK_EQ(t_stats(g).pins, 0);
	clo_inval_end(clo_gmem_inval(g), clo_range(0, 8));
	CHECK_OK(clo_gmem_pin_nowait(g, 4096, 3 * 4096, "listener", &pin, &off));
	clo_gmem_unpin(pin);
	clo_gmem_release(g);
	t_host_close(&h);
}

TEST(pin_after_release)
{
	struct t_host h;
	struct clo_gmem *g;
	struct clo_gmem_pin *pin = NULL;

	t_host_open(&h, 16, 0);
	g = t_file(&h, 8, T_MMAP_ANY, 0);
	clo_gmem_get(g);
	clo_gmem_release(g);
	CHECK_ERR(clo_gmem_pin_nowait(g, 0, 4096, "x", &pin, NULL), -EFAULT);
	CHECK_ERR(clo_gmem_pin(g, 0, 4096, "x", &pin, NULL), -EFAULT);
	clo_gmem_put(g);
	t_host_close(&h);
}

TEST(holders)
{
	struct t_host h;
	struct clo_gmem *g;
	struct clo_gmem_pin *pin[3];
	char name[8] = "none", mine[5] = "vfio";

	t_host_open(&h, 16, 0);
	g = t_file(&h, 8, T_MMAP_ANY, 0);
	CHECK(!clo_gmem_pin_holder(g, 0, name, sizeof(name)));
	CHECK_STR(name, "none");
	CHECK_OK(clo_gmem_pin(g, 0, 2 * 4096, mine, &pin[0], NULL));
	memset(mine, 'x', sizeof(mine)); /* the caller's memory is the caller's again */
	CHECK_OK(clo_gmem_pin(g, 2 * 4096, 4096, "vhost-user-net", &pin[1], NULL));
	CHECK_OK(clo_gmem_pin(g, 4 * 4096, 4096, NULL, &pin[2], NULL));
	CHECK(clo_gmem_pin_holder(g, 1, name, sizeof(name)));
	CHECK_STR(name, "vfio");
	CHECK(clo_gmem_pin_holder(g, 2, name, sizeof(name)));
	CHECK_STR(name, "vhost-u");
	CHECK(!clo_gmem_pin_holder(g, 3, name, sizeof(name)));
	CHECK(clo_gmem_pin_holder(g, 4, name, sizeof(name)));
	CHECK_STR(name, "");
	CHECK(clo_gmem_pin_holder(g, 4, NULL, 0));
	clo_gmem_unpin(pin[1]); /* from the middle of the list */
	CHECK(!clo_gmem_pin_holder(g, 2, name, sizeof(name)));
	CHECK(clo_gmem_pin_holder(g, 1, name, sizeof(name)));
	clo_gmem_unpin(pin[0]);
	clo_gmem_unpin(pin[2]);
	CHECK(!clo_gmem_pin_holder(g, 1, name, sizeof(name)));
	clo_gmem_release(g);
	t_host_close(&h);
}

struct waiter {
	struct clo_gmem *g;
	uint64_t ticket;
};

static void *wait_for_unpin(void *arg)
{
	struct waiter *w = arg;

	CHECK(clo_gmem_wait_blamed(w->g, w->ticket, UINT64_MAX));
	return NULL;
}

/* Only the end of a pin that was in the way wakes, and the file's. */
TEST(waiting_for_an_unpin)
{
	struct t_host h;
	struct clo_gmem_pin *pin[3];
	struct clo_thread thread;
	char name[8] = "none";
	struct waiter w;

	t_host_open(&h, 16, 0);
	w.g = t_file(&h, 8, T_MMAP_ANY, 0);
	/* Gone before it was looked for. */
	w.ticket = clo_gmem_blame(w.g, 0, name, sizeof(name));
	CHECK_STR(name, "none");
	CHECK(clo_gmem_wait_blamed(w.g, w.ticket, 0));
	for (unsigned i = 0; i < 3; i++)
		CHECK_OK(clo_gmem_pin(w.g, i * 4096, 4096, i ? "other" : "x", &pin[i], NULL));
	w.ticket = clo_gmem_blame(w.g, 0, name, sizeof(name));
	CHECK_STR(name, "x");
	CHECK(!clo_gmem_wait_blamed(w.g, w.ticket, 0));
	clo_gmem_unpin(pin[1]);
	CHECK(!clo_gmem_wait_blamed(w.g, w.ticket, clo_now_ns() + 1000));
	CHECK_OK(clo_thread_create(&thread, wait_for_unpin, &w));
	clo_gmem_unpin(pin[0]);
	CHECK_OK(clo_thread_join(&thread));
	CHECK(clo_gmem_wait_blamed(w.g, w.ticket, 0));
	w.ticket = clo_gmem_blame(w.g, 2, name, sizeof(name));
	CHECK_OK(clo_thread_create(&thread, wait_for_unpin, &w));
	clo_gmem_get(w.g);
	clo_gmem_release(w.g);
	CHECK_OK(clo_thread_join(&thread));
	clo_gmem_put(w.g);
	clo_gmem_unpin(pin[2]);
	t_host_close(&h);
}

/* Bindings. */

static void note_gfns(void *arg, struct clo_range index, struct clo_range gfns)
{
	t_log(arg, "%lu-%lu=%lu-%lu; ", index.start, index.end, gfns.start, gfns.end);
}

static const char *gfns_of(struct t_host *h, struct clo_gmem *g, uint64_t start, uint64_t end)
{
	t_log_clear(&h->vm);
	clo_gmem_for_each_gfn(g, clo_range(start, end), note_gfns, &h->vm);
	return h->vm.log;
}

TEST(bindings_do_not_overlap)
{
	struct t_host h;
	struct clo_gmem *g;
	struct clo_gmem_binding a, b, c, d;

	t_host_open(&h, 16, 0);
	g = t_file(&h, 32, 0, 0);
	CHECK_ERR(clo_gmem_bind(g, &a, clo_range(0, 33), 0), -EINVAL);
	CHECK_ERR(clo_gmem_bind(g, &a, clo_range(32, 33), 0), -EINVAL);
	CHECK_ERR(clo_gmem_bind(g, &a, clo_range(3, 3), 0), -EINVAL);
	CHECK_ERR(clo_gmem_bind(g, &a, clo_range(4, 3), 0), -EINVAL);
	CHECK_OK(clo_gmem_bind(g, &b, clo_range(8, 16), 1000));
	CHECK_EQ(clo_aptr_get(&b.gmem), g);
	CHECK_ERR(clo_gmem_bind(g, &a, clo_range(8, 16), 2000), -EEXIST);
	CHECK_ERR(clo_gmem_bind(g, &a, clo_range(0, 9), 2000), -EEXIST);
	CHECK_ERR(clo_gmem_bind(g, &a, clo_range(15, 32), 2000), -EEXIST);
	CHECK_ERR(clo_gmem_bind(g, &a, clo_range(9, 10), 2000), -EEXIST);
	CHECK_ERR(clo_gmem_bind(g, &a, clo_range(0, 32), 2000), -EEXIST);
	CHECK_OK(clo_gmem_bind(g, &c, clo_range(16, 20), 50));
	CHECK_OK(clo_gmem_bind(g, &a, clo_range(0, 8), 0));
	CHECK_OK(clo_gmem_bind(g, &d, clo_range(31, 32), 7));
	CHECK_STR(gfns_of(&h, g, 0, 32), "0-8=0-8; 8-16=1000-1008; 16-20=50-54; 31-32=7-8; ");
	CHECK_STR(gfns_of(&h, g, 7, 17), "7-8=7-8; 8-16=1000-1008; 16-17=50-51; ");
	CHECK_STR(gfns_of(&h, g, 20, 31), "");
	CHECK_STR(gfns_of(&h, g, 9, 9), "");
	clo_gmem_unbind(&b);
	CHECK_STR(gfns_of(&h, g, 0, 32), "0-8=0-8; 16-20=50-54; 31-32=7-8; ");
	/* A reader that found the binding before must not take the file for closed. */
	CHECK_EQ(clo_aptr_get(&b.gmem), g);
	CHECK_OK(clo_gmem_bind(g, &b, clo_range(12, 13), 9));
	clo_gmem_unbind(&a);
	clo_gmem_unbind(&d);
	clo_gmem_unbind(&c);
	clo_gmem_unbind(&b);
	CHECK_STR(gfns_of(&h, g, 0, 32), "");
	clo_gmem_get(g);
	clo_gmem_release(g);
	CHECK_ERR(clo_gmem_bind(g, &a, clo_range(0, 8), 0), -EBADF);
	clo_gmem_put(g);
	t_host_close(&h);
}
