/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/bench_attr.c - the attribute store against a sorted array and a bitmap.
 *
 * Contents: 1 TiB of one kind; a checkerboard of single pages over 4 GiB; 20000 random ranges of 4K
 * to 64M in 16 GiB, and in 1 TiB. Looked-up indexes come out of a multiplication each and depend on
 * the answer before, so what is measured is latency, with whatever cache misses there are: the last
 * content does not fit into the caches of a core.
 */
#include "attr/attr.h"
#include "bench.h"
#include "bench_attr_peers.h"

#define TIB_PAGES   (1ULL << 28)
#define BOARD_PAGES (1ULL << 20)
#define GUEST_PAGES (1ULL << 22)

struct stores {
	struct clo_attr *attr;
	struct peer_array array;
	struct peer_bitmap bitmap;
	struct clo_rwlock lock; /* the array's, when somebody writes */
	uint64_t domain;        /* look-ups are in [0, domain), a power of two */
	struct clo_range r;     /* what the set loops change */
	uint64_t x;
	uint64_t pace; /* ns between two changes of a writer; 0: as fast as it goes */
	struct clo_a32 stop;
	struct clo_a64 sets;
};

static void set_attr(struct stores *s, struct clo_range r, bool is_private)
{
	if (clo_attr_set(s->attr, r, is_private) < 0)
		bench_die("clo_attr_set failed");
}

static void set_all(struct stores *s, struct clo_range r, bool is_private)
{
	set_attr(s, r, is_private);
	peer_array_set(&s->array, r, is_private);
	peer_bitmap_set(&s->bitmap, r, is_private);
}

static void stores_make(struct stores *s)
{
	*s = (struct stores){ .domain = TIB_PAGES, .x = 1 };
	if (clo_attr_create(4 * TIB_PAGES, false, &s->attr) < 0)
		bench_die("clo_attr_create failed");
	peer_bitmap_init(&s->bitmap, 4 * TIB_PAGES);
	clo_rwlock_init(&s->lock, CLO_RANK_LEAF, "array");
}

static void stores_free(struct stores *s)
{
	clo_attr_destroy(s->attr);
	clo_rcu_barrier();
	peer_array_free(&s->array);
	peer_bitmap_free(&s->bitmap);
	clo_rwlock_destroy(&s->lock);
}

/* From left to right, which is the array's best case: anywhere else it moves megabytes. */
static void fill_board(struct stores *s)
{
	s->domain = BOARD_PAGES;
	for (uint64_t at = 0; at < BOARD_PAGES; at += 2)
		set_all(s, clo_range(at, at + 1), true);
}

static void fill_random(struct stores *s, uint64_t domain)
{
	struct clo_rand rnd = { 1 };

	s->domain = domain;
	for (int i = 0; i < 20000; i++) {
		uint64_t start = clo_rand_below(&rnd, domain - (1U << 14));
		uint64_t len = 1 + clo_rand_below(&rnd, 1ULL << clo_rand_below(&rnd, 15));

		set_all(s, clo_range(start, start + len), i % 3 != 0);
	}
}

/* The high bits of a linear generator; @last makes the next index wait for the last answer. */
static inline uint64_t next_index(struct stores *s, bool last)
{
	s->x = s->x * 6364136223846793005ULL + 1442695040888963407ULL + last;
	return (s->x >> 30) & (s->domain - 1);
}

#define LOOKUP_LOOP(name, question)                                                                \
	static void name(void *arg, uint64_t n)                                                    \
	{                                                                                          \
		struct stores *s = arg;                                                            \
		uint64_t found = 0;                                                                \
		bool is = false;                                                                   \
                                                                                                   \
		while (n--) {                                                                      \
			uint64_t index = next_index(s, is);                                        \
                                                                                                   \
			is = (question);                                                           \
			found += is;                                                               \
		}                                                                                  \
		bench_keep(found);                                                                 \
	}

LOOKUP_LOOP(look_nothing, index & 1)
LOOKUP_LOOP(look_attr, clo_attr_is_private(s->attr, index))
LOOKUP_LOOP(look_array, peer_array_is_private(&s->array, index))
LOOKUP_LOOP(look_bitmap, peer_bitmap_is_private(&s->bitmap, index))
LOOKUP_LOOP(look_uniform_2m, clo_attr_is_uniform(s->attr, index, CLO_LEVEL_2M))

static void look_array_locked(void *arg, uint64_t n)
{
	struct stores *s = arg;
	uint64_t found = 0;
	bool is = false;

	while (n--) {
		uint64_t index = next_index(s, is);

		clo_rwlock_rdlock(&s->lock);
		is = peer_array_is_private(&s->array, index);
		clo_rwlock_unlock(&s->lock);
		found += is;
	}
	bench_keep(found);
}

static void lookup_rows(struct bench *b, struct stores *s, const char *content)
{
	const char *name = bench_text(b, "look-up, %s", content);
	struct bench_time empty;
	struct bench_time own;
	struct bench_time array;
	struct bench_time bitmap;
	const char *note;

	if (!bench_wanted(b, name))
		return;
	empty = bench_run(b, look_nothing, s);
	own = bench_run(b, look_attr, s);
	array = bench_run(b, look_array, s);
	bitmap = bench_run(b, look_bitmap, s);
	note = bench_text(b, "of it the loop itself %.1f ns", empty.median);
	bench_print(b, (struct bench_row){ .name = name,
					   .own = &own,
					   .peer_name = "sorted array",
					   .peer = &array,
					   .note = note });
	bench_print(b, (struct bench_row){
			       .name = name, .own = &own, .peer_name = "bitmap", .peer = &bitmap });
	own = bench_run(b, look_uniform_2m, s);
	bench_print(b, (struct bench_row){ .name = bench_text(b, "2M uniform?, %s", content),
					   .own = &own });
}

/* Single pages, 2M and 1G blocks all over the domain. */
static struct clo_range writer_range(struct clo_rand *rnd, uint64_t domain)
{
	static const unsigned orders[] = { 0, 0, 3, 9, 9, 18 };
	/* A collapse of a whole 1G now and then, but not of a quarter of all. */
	unsigned kinds = domain == TIB_PAGES ? CLO_ARRAY_SIZE(orders) : CLO_ARRAY_SIZE(orders) - 1;
	unsigned order = orders[clo_rand_below(rnd, kinds)];
	uint64_t start = clo_align_down(clo_rand_below(rnd, domain), 1ULL << order);

	return clo_range(start, start + (1ULL << order));
}

/* Until it is time for the next change; false: no more of them. */
static bool writer_turn(struct stores *s, uint64_t *next)
{
	if (s->pace) {
		while (clo_now_ns() < *next)
			;
		*next = clo_now_ns() + s->pace;
	}
	clo_a64_set(&s->sets, clo_a64_get_relaxed(&s->sets) + 1);
	return !clo_a32_get(&s->stop);
}

static void *write_attr(void *arg)
{
	struct stores *s = arg;
	struct clo_rand rnd = { 7 };
	uint64_t next = 0;

	while (writer_turn(s, &next))
		set_attr(s, writer_range(&rnd, s->domain), clo_rand_next(&rnd) & 1);
	return NULL;
}

static void *write_array(void *arg)
{
	struct stores *s = arg;
	struct clo_rand rnd = { 7 };
	uint64_t next = 0;

	while (writer_turn(s, &next)) {
		struct clo_range r = writer_range(&rnd, s->domain);

		clo_rwlock_wrlock(&s->lock);
		peer_array_set(&s->array, r, clo_rand_next(&rnd) & 1);
		clo_rwlock_unlock(&s->lock);
	}
	return NULL;
}

static void *write_bitmap(void *arg)
{
	struct stores *s = arg;
	struct clo_rand rnd = { 7 };
	uint64_t next = 0;

	while (writer_turn(s, &next))
		peer_bitmap_set(&s->bitmap, writer_range(&rnd, s->domain), clo_rand_next(&rnd) & 1);
	return NULL;
}

static struct bench_time beside(struct bench *b, struct stores *s, void *(*writer)(void *),
				void (*look)(void *arg, uint64_t n), double *writes_each_second)
{
	struct bench_time t;
	struct clo_thread w;
	uint64_t start;

	clo_a32_set(&s->stop, 0);
	clo_a64_set(&s->sets, 0);
	if (clo_thread_create(&w, writer, s) < 0)
		bench_die("no thread");
	start = clo_now_ns();
	t = bench_run(b, look, s);
	*writes_each_second = (double)clo_a64_get(&s->sets) * 1e9 / (double)(clo_now_ns() - start);
	clo_a32_set(&s->stop, 1);
	clo_thread_join(&w);
	return t;
}

static void lookup_beside(struct bench *b, struct stores *s, const char *name)
{
	double rate;
	double ignored;
	struct bench_time own;
	struct bench_time array;
	struct bench_time bitmap;

	if (!bench_wanted(b, name))
		return;
	own = beside(b, s, write_attr, look_attr, &rate);
	array = beside(b, s, write_array, look_array_locked, &ignored);
	bitmap = beside(b, s, write_bitmap, look_bitmap, &ignored);
	bench_print(b, (struct bench_row){ .name = name,
					   .own = &own,
					   .peer_name = "sorted array, rwlock",
					   .peer = &array,
					   .target = 20,
					   .note = bench_text(b, "%.2g writes/s", rate) });
	bench_print(b, (struct bench_row){
			       .name = name, .own = &own, .peer_name = "bitmap", .peer = &bitmap });
}

/* A change each microsecond is about what the engine can convert by calls of 4K. */
static void lookup_beside_writer(struct bench *b, struct stores *s, const char *content)
{
	s->pace = 1000;
	lookup_beside(b, s, bench_text(b, "look-up, 1 write/us, %s", content));
	s->pace = 0;
	lookup_beside(b, s, bench_text(b, "look-up, many writes, %s", content));
}

#define SET_LOOP(name, call)                                                                       \
	static void name(void *arg, uint64_t n)                                                    \
	{                                                                                          \
		struct stores *s = arg;                                                            \
                                                                                                   \
		while (n--) {                                                                      \
			struct clo_range r = s->r;                                                 \
			bool to = !(n & 1);                                                        \
                                                                                                   \
			call;                                                                      \
		}                                                                                  \
	}

SET_LOOP(set_attr_loop, set_attr(s, r, to))
SET_LOOP(set_array_loop, peer_array_set(&s->array, r, to))
SET_LOOP(set_bitmap_loop, peer_bitmap_set(&s->bitmap, r, to))

struct loops {
	void (*attr)(void *arg, uint64_t n);
	void (*array)(void *arg, uint64_t n);
	void (*bitmap)(void *arg, uint64_t n);
};

/* The same in all three stores. */
static void three_rows(struct bench *b, struct stores *s, const char *name, struct loops loops,
		       double target)
{
	struct bench_time own;
	struct bench_time array;
	struct bench_time bitmap;

	if (!bench_wanted(b, name))
		return;
	own = bench_run(b, loops.attr, s);
	array = bench_run(b, loops.array, s);
	bitmap = bench_run(b, loops.bitmap, s);
	bench_print(b, (struct bench_row){ .name = name,
					   .own = &own,
					   .peer_name = "sorted array",
					   .peer = &array,
					   .target = target });
	bench_print(b, (struct bench_row){
			       .name = name, .own = &own, .peer_name = "bitmap", .peer = &bitmap });
}

static const struct loops set_loops = { set_attr_loop, set_array_loop, set_bitmap_loop };

#define RANDOM_LOOP(name, call)                                                                    \
	static void name(void *arg, uint64_t n)                                                    \
	{                                                                                          \
		struct stores *s = arg;                                                            \
		uint64_t len = clo_range_len(s->r);                                                \
                                                                                                   \
		while (n--) {                                                                      \
			uint64_t at = clo_align_down(next_index(s, n & 1), len);                   \
			struct clo_range r = clo_range(at, at + len);                              \
			bool to = s->x >> 63;                                                      \
                                                                                                   \
			call;                                                                      \
		}                                                                                  \
	}

RANDOM_LOOP(random_attr, set_attr(s, r, to))
RANDOM_LOOP(random_array, peer_array_set(&s->array, r, to))
RANDOM_LOOP(random_bitmap, peer_bitmap_set(&s->bitmap, r, to))

static const struct loops random_loops = { random_attr, random_array, random_bitmap };

static void count_attr(void *arg, uint64_t n)
{
	struct stores *s = arg;

	while (n--)
		bench_keep(clo_attr_count_private(s->attr, clo_range(64, s->domain - 64)));
}

static void count_array(void *arg, uint64_t n)
{
	struct stores *s = arg;

	while (n--)
		bench_keep(peer_array_private(&s->array, clo_range(64, s->domain - 64)));
}

static void count_bitmap(void *arg, uint64_t n)
{
	struct stores *s = arg;

	while (n--)
		bench_keep(peer_bitmap_private(&s->bitmap, clo_range(64, s->domain - 64)));
}

static const struct loops count_loops = { count_attr, count_array, count_bitmap };

static void bytes_rows(struct bench *b, struct stores *s, const char *name)
{
	struct clo_attr_stats st;
	double pages = (double)s->domain;
	const char *note;

	clo_attr_stats(s->attr, &st);
	note = bench_text(b, "%llu runs, %llu nodes, %llu bitmaps, %llu KiB in all",
			  (unsigned long long)st.runs, (unsigned long long)st.nodes,
			  (unsigned long long)st.bitmaps, (unsigned long long)st.bytes / 1024);
	bench_value(b, name, (double)st.bytes / pages, "bytes/page", "sorted array",
		    (double)s->array.count * 8 / pages, note);
	bench_value(b, name, (double)st.bytes / pages, "bytes/page", "bitmap", 0.125, NULL);
}

static void random_content(struct bench *b, uint64_t domain, const char *size)
{
	struct stores s;

	bench_group(b, bench_text(b, "20000 random ranges in %s", size));
	stores_make(&s);
	fill_random(&s, domain);
	bytes_rows(b, &s, bench_text(b, "memory, random %s", size));
	lookup_rows(b, &s, bench_text(b, "random %s", size));
	three_rows(b, &s, bench_text(b, "count all, random %s", size), count_loops, 0);
	lookup_beside_writer(b, &s, bench_text(b, "random %s", size));
	s.r = clo_range(0, 512);
	three_rows(b, &s, bench_text(b, "set 2M, random %s", size), random_loops, 0);
	stores_free(&s);
}

int main(int argc, char **argv)
{
	struct bench *b = bench_start(argc, argv, "attributes");
	struct stores s;

	bench_group(b, "all of one kind");
	stores_make(&s);
	s.r = clo_range(0, TIB_PAGES);
	three_rows(b, &s, "set 1 TiB, aligned", set_loops, 10000);
	set_all(&s, s.r, true);
	lookup_rows(b, &s, "uniform");
	bytes_rows(b, &s, "memory, 1 TiB of one kind");
	s.r = clo_range(3, TIB_PAGES + 3);
	three_rows(b, &s, "set 1 TiB, ends inside a 2M block", set_loops, 10000);
	s.r = clo_range(77777, 77778);
	three_rows(b, &s, "set 4K alone: split and collapse", set_loops, 0);
	stores_free(&s);

	bench_group(b, "checkerboard of 4 GiB");
	stores_make(&s);
	fill_board(&s);
	bytes_rows(b, &s, "memory, checkerboard");
	lookup_rows(b, &s, "checkerboard");
	three_rows(b, &s, "count all, checkerboard", count_loops, 0);
	s.r = clo_range(0, 1);
	three_rows(b, &s, "set 4K, checkerboard", random_loops, 0);
	lookup_beside_writer(b, &s, "checkerboard");
	stores_free(&s);

	random_content(b, GUEST_PAGES, "16 GiB");
	random_content(b, TIB_PAGES, "1 TiB");
	return bench_finish(b);
}
