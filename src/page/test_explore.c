/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page/test_explore.c - pins, conversions, splits, merges, claims and allocations under all
 * schedules with few preemptions.
 */
#include "harness/dfs.h"
#include "page/page.h"

static struct dfs dfs;

/* One run: two or three threads on a small pool. */
struct scene {
	void *(*fn[3])(void *arg);
	unsigned order; /* of the folio at 0; shared, unlocked */
	uint64_t limit; /* 0 = 4 frames */
	void (*after)(struct scene *s);
	struct clo_pagedb *db;
	unsigned won;    /* what the threads of this run got */
	unsigned broken; /* over all runs: an invariant did not hold */
	unsigned seen;   /* over all runs: bits of outcomes */
};

static struct clo_frame_info frame(struct scene *s, uint64_t n)
{
	return clo_frame_get(s->db, clo_pfn(n));
}

static void run_scene(void *arg)
{
	struct scene *s = arg;
	struct clo_thread t[3];
	unsigned count = 0;

	clo_sched_quiet(true);
	s->won = 0;
	CHECK_OK(clo_pagedb_create(CLO_POOL_ANON, s->limit ? s->limit : 4, 4, &s->db));
	CHECK_OK(clo_page_alloc(s->db, clo_pfn(0), s->order, 1, CLO_FRAME_ALLOC_SHARED));
	clo_page_unlock(s->db, clo_pfn(0));
	for (; count < 3 && s->fn[count]; count++)
		CHECK_OK(clo_thread_create(&t[count], s->fn[count], s));
	clo_sched_quiet(false);
	for (unsigned i = 0; i < count; i++)
		CHECK_OK(clo_thread_join(&t[i]));
	clo_sched_quiet(true);
	s->after(s);
	clo_pagedb_destroy(s->db);
	clo_sched_quiet(false);
}

static void explore(struct scene *s, unsigned bound)
{
	dfs = (struct dfs){ .main_fn = run_scene, .arg = s, .bound = bound };
	dfs_all_end(&dfs);
	test_note("%llu runs, outcomes %#x, broken %u", (unsigned long long)dfs.runs, s->seen,
		  s->broken);
}

/* A device: pins the last frame of the folio, and must find it shared for as long as it holds it.
 */
static void *device(void *arg)
{
	struct scene *s = arg;
	uint64_t n = (1U << s->order) - 1;

	if (clo_page_pin(s->db, clo_pfn(n))) {
		s->seen |= 1;
		return NULL;
	}
	if (frame(s, n).state != CLO_FRAME_SHARED)
		s->broken++;
	CHECK_OK(clo_page_unpin(s->db, clo_pfn(n)));
	return NULL;
}

static void *converter(void *arg)
{
	struct scene *s = arg;
	struct clo_pfn head;

	CHECK(clo_page_lock(s->db, clo_pfn(0), &head));
	if (clo_page_step(s->db, head, CLO_FRAME_MAKE_PRIVATE))
		s->seen |= 2;
	else
		s->seen |= 4;
	clo_page_unlock(s->db, head);
	return NULL;
}

static void nothing(struct scene *s)
{
	CHECK_EQ(frame(s, 0).pins, 0U);
}

TEST(pin_against_make_private)
{
	for (unsigned order = 0; order <= 1; order++) {
		struct scene s = { .fn = { device, converter }, .order = order, .after = nothing };

		explore(&s, 3);
		CHECK_EQ(s.broken, 0U);
		CHECK_EQ(s.seen,
			 7U); /* the pin was late, the conversion was refused, and it was done */
	}
}

TEST(without_the_pin_check_a_schedule_breaks_i2)
{
	struct scene s = { .fn = { device, converter }, .order = 0, .after = nothing };

	clo_break_set(CLO_BREAK_PIN_CHECK, true);
	explore(&s, 2);
	CHECK_LT(0, s.broken);
}

/* Split and merge under everybody's feet. */
static void *splitter(void *arg)
{
	struct scene *s = arg;
	struct clo_pfn head;

	CHECK(clo_page_lock(s->db, clo_pfn(1), &head));
	CHECK_EQ(head.n, 0);
	CHECK_OK(clo_page_split(s->db, head));
	clo_page_unlock(s->db, clo_pfn(0));
	clo_page_unlock(s->db, clo_pfn(1));
	return NULL;
}

static void *merger(void *arg)
{
	struct scene *s = arg;
	struct clo_pfn head[2];

	for (uint64_t n = 0; n < 2; n++) {
		CHECK(clo_page_lock(s->db, clo_pfn(n), &head[n]));
		if (frame(s, head[n].n).order > 0) { /* not split yet */
			clo_page_unlock(s->db, head[n]);
			return NULL;
		}
	}
	if (clo_page_merge(s->db, clo_pfn(0), 1)) {
		s->seen |= 2;
		clo_page_unlock(s->db, clo_pfn(1));
	} else {
		s->seen |= 4;
	}
	clo_page_unlock(s->db, clo_pfn(0));
	return NULL;
}

/* Locks the folio of frame 1, whatever it is, and must be alone in it. */
static void *holder(void *arg)
{
	struct scene *s = arg;
	struct clo_pfn head;
	struct clo_frame_info before, after;

	CHECK(clo_page_lock(s->db, clo_pfn(1), &head));
	before = frame(s, 1);
	if (head.n + (1U << before.order) != 2)
		s->broken++;
	clo_sync_point("hold", 0);
	after = frame(s, 1);
	if (after.order != before.order || after.state != before.state || after.pins > before.pins)
		s->broken++;
	s->seen |= before.order ? 8 : 16;
	clo_page_unlock(s->db, head);
	return NULL;
}

static void whole(struct scene *s)
{
	CHECK_EQ(frame(s, 0).order, frame(s, 1).order);
	CHECK_EQ(frame(s, 0).flags, 0U);
	CHECK_EQ(frame(s, 1).flags, 0U);
	CHECK_EQ(frame(s, 1).pins, 0U);
}

TEST_TIMEOUT(split_and_merge_against_lock, 60)
{
	struct scene s = { .fn = { splitter, merger, holder }, .order = 1, .after = whole };

	explore(&s, 2);
	CHECK_EQ(s.broken, 0U);
	CHECK_EQ(s.seen & 28, 28U); /* merged; held as one folio, and as two */
}

TEST_TIMEOUT(split_and_merge_against_pin, 60)
{
	struct scene s = { .fn = { splitter, merger, device }, .order = 1, .after = whole };

	explore(&s, 2);
	CHECK_EQ(s.broken, 0U);
	CHECK_EQ(s.seen & 7, 6U); /* the pin never fails, and a merge that meets it is refused */
}

static void *freer(void *arg)
{
	struct scene *s = arg;
	struct clo_pfn head;

	if (!clo_page_lock(s->db, clo_pfn(1), &head))
		return NULL;
	if (clo_page_step(s->db, head, CLO_FRAME_FREE_OP))
		clo_page_unlock(s->db, head);
	else
		s->won++;
	return NULL;
}

static void freed_once(struct scene *s)
{
	struct clo_pagedb_stats st;

	clo_pagedb_stats(s->db, &st);
	CHECK_EQ(s->won, frame(s, 0).state == CLO_FRAME_FREE);
	CHECK_EQ(st.frames_used, s->won ? 0 : 2);
	CHECK_EQ(frame(s, 1).pins, 0U);
	s->seen |= s->won ? 2 : 4;
}

TEST_TIMEOUT(free_against_free_and_pin, 60)
{
	struct scene s = { .fn = { freer, freer, device }, .order = 1, .after = freed_once };

	explore(&s, 2);
	CHECK_EQ(s.broken, 0U);
	CHECK_EQ(s.seen, 7U);
}

/* I1: two guests want one frame. */
static void claim(struct scene *s, uint32_t vm)
{
	if (clo_page_rmap_claim(s->db, clo_pfn(0), CLO_LEVEL_4K, vm, clo_gfn(9)) == 0)
		s->won++;
}

static void *claim_1(void *arg)
{
	claim(arg, 1);
	return NULL;
}

static void *claim_2(void *arg)
{
	claim(arg, 2);
	return NULL;
}

static void one_winner(struct scene *s)
{
	s->broken += s->won != 1;
}

TEST(rmap_has_one_winner)
{
	struct scene s = { .fn = { claim_1, claim_2 }, .order = 0, .after = one_winner };

	explore(&s, 3);
	CHECK_EQ(s.broken, 0U);
	clo_break_set(CLO_BREAK_PAGE_RMAP, true);
	explore(&s, 3);
	CHECK_LT(0, s.broken);
}

/* A large folio and a small one inside it: never both; and a loser leaves nothing. */
static void *alloc_large(void *arg)
{
	struct scene *s = arg;

	if (clo_page_alloc(s->db, clo_pfn(2), 1, 1, CLO_FRAME_ALLOC_PRIVATE) == 0) {
		s->won |= 1;
		clo_page_unlock(s->db, clo_pfn(2));
	}
	return NULL;
}

static void *alloc_small(void *arg)
{
	struct scene *s = arg;

	if (clo_page_alloc(s->db, clo_pfn(3), 0, 2, CLO_FRAME_ALLOC_SHARED) == 0) {
		s->won |= 2;
		clo_page_unlock(s->db, clo_pfn(3));
	}
	return NULL;
}

static void charged_right(struct scene *s)
{
	struct clo_pagedb_stats st;

	clo_pagedb_stats(s->db, &st);
	CHECK_LT(s->won, 3);
	CHECK_EQ(st.frames_used, 1U + (s->won == 1 ? 2U : s->won == 2 ? 1U : 0U));
	CHECK_EQ(frame(s, 2).owner, s->won == 1);
	CHECK_EQ(frame(s, 3).owner, s->won);
	s->seen |= 1U << s->won;
}

TEST(large_and_small_allocation)
{
	struct scene s = { .fn = { alloc_large, alloc_small }, .order = 0, .after = charged_right };

	explore(&s, 3);
	CHECK_EQ(s.seen & 6, 6U);
}

/* The host has one frame left, and two want it. */
static void alloc_one(struct scene *s, uint64_t n)
{
	if (clo_page_alloc(s->db, clo_pfn(n), 0, 1, CLO_FRAME_ALLOC_SHARED) == 0) {
		s->won++;
		clo_page_unlock(s->db, clo_pfn(n));
	}
}

static void *alloc_1(void *arg)
{
	alloc_one(arg, 1);
	return NULL;
}

static void *alloc_2(void *arg)
{
	alloc_one(arg, 2);
	return NULL;
}

static void within_limit(struct scene *s)
{
	struct clo_pagedb_stats st;

	clo_pagedb_stats(s->db, &st);
	s->broken += s->won != 1 || st.frames_used != 2;
}

TEST(charge_is_exact)
{
	struct scene s = { .fn = { alloc_1, alloc_2 }, .limit = 2, .after = within_limit };

	explore(&s, 3);
	CHECK_EQ(s.broken, 0U);
	clo_break_set(CLO_BREAK_CHARGE, true);
	explore(&s, 2);
	CHECK_LT(0, s.broken);
}

/* Both want the last frame, at the same pfn: one makes it, and the other is told so. */
static void *alloc_same(void *arg)
{
	struct scene *s = arg;
	int ret = clo_page_alloc(s->db, clo_pfn(1), 0, 1, CLO_FRAME_ALLOC_SHARED);

	if (ret)
		CHECK_ERR(ret, -EEXIST);
	else
		clo_page_unlock(s->db, clo_pfn(1));
	s->won += ret == 0;
	return NULL;
}

TEST(the_last_frame_twice)
{
	struct scene s = { .fn = { alloc_same, alloc_same }, .limit = 2, .after = within_limit };

	explore(&s, 3);
	CHECK_EQ(s.broken, 0U);
}

/* The only frame goes while somebody makes it: whoever finds it free finds its memory free. */
static void *unmaker(void *arg)
{
	struct scene *s = arg;

	CHECK(clo_page_lock(s->db, clo_pfn(0), NULL));
	CHECK_OK(clo_page_step(s->db, clo_pfn(0), CLO_FRAME_FREE_OP));
	return NULL;
}

static void *maker(void *arg)
{
	struct scene *s = arg;
	int ret = clo_page_alloc(s->db, clo_pfn(0), 0, 1, CLO_FRAME_ALLOC_SHARED);

	s->broken += ret != 0 && ret != -EEXIST;
	s->seen |= ret == 0 ? 1 : 2;
	if (ret == 0)
		clo_page_unlock(s->db, clo_pfn(0));
	return NULL;
}

TEST(the_last_frame_freed_and_made)
{
	struct scene s = { .fn = { unmaker, maker }, .limit = 1, .after = nothing };

	explore(&s, 3);
	CHECK_EQ(s.broken, 0U);
	CHECK_EQ(s.seen, 3U);
}

static void *dma(void *arg)
{
	struct scene *s = arg;
	uint64_t n = (1U << s->order) - 1;

	if (clo_page_pin(s->db, clo_pfn(n)) == 0)
		s->seen |= clo_page_unpin(s->db, clo_pfn(n)) == 1 ? 1 : 2;
	return NULL;
}

/* A file is closed while a device ends its DMA: whichever is last frees the frame. */
static void *closer(void *arg)
{
	struct scene *s = arg;

	if (clo_page_lock(s->db, clo_pfn(0), NULL))
		CHECK_LE(0, clo_page_step(s->db, clo_pfn(0), CLO_FRAME_LEAK));
	return NULL;
}

static void nothing_is_lost(struct scene *s)
{
	struct clo_pagedb_stats st;

	clo_pagedb_stats(s->db, &st);
	s->broken += st.frames_used != 0 || st.frames_leaked != 0 ||
		     frame(s, 0).state != CLO_FRAME_FREE || frame(s, 1).state != CLO_FRAME_FREE;
}

TEST(last_pin_against_close)
{
	for (unsigned order = 0; order <= 1; order++) {
		struct scene s = { .fn = { dma, closer, dma },
				   .order = order,
				   .after = nothing_is_lost };

		explore(&s, 2);
		CHECK_EQ(s.broken, 0U);
		CHECK_EQ(s.seen, 3U);
	}
}

TEST(without_the_last_look_a_frame_is_lost)
{
	struct scene s = { .fn = { dma, closer }, .order = 0, .after = nothing_is_lost };

	clo_break_set(CLO_BREAK_LAST_PIN, true);
	explore(&s, 2);
	CHECK_LT(0, s.broken);
}

/* A walk after a change has begun, against an allocation that asks for changes: one sees the
 * other. The walk reads the counts, so these must be up before the question. */
static struct clo_a32 change;

static void *announcing(void *arg)
{
	struct scene *s = arg;

	if (clo_page_alloc(s->db, clo_pfn(2), 0, 1, CLO_FRAME_ALLOC_PRIVATE) == 0) {
		if (clo_a32_get_sc(&change) == 0)
			s->won |= 1;
		clo_page_unlock(s->db, clo_pfn(2));
	}
	return NULL;
}

static void *walker(void *arg)
{
	struct scene *s = arg;
	struct clo_pfn at = clo_pfn(2);

	clo_a32_set_sc(&change, 1);
	if (clo_page_next_used(s->db, &at, 4))
		s->won |= 2;
	return NULL;
}

static void one_has_seen_the_other(struct scene *s)
{
	s->broken += s->won == 1;
	s->seen |= 1U << s->won;
	clo_a32_init(&change, 0);
}

TEST(walk_against_allocation)
{
	struct scene s = { .fn = { announcing, walker }, .after = one_has_seen_the_other };

	explore(&s, 3);
	CHECK_EQ(s.broken, 0U);
	CHECK_EQ(s.seen & 13, 13U); /* overtaken; seen, overtaken; seen, in time */
}
