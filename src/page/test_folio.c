/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page/test_folio.c - large folios, windows, and random operations against a naive model.
 */
#include "page/page.h"

#include "harness/test.h"

#define FRAMES 32
#define LIMIT  24
#define ORDERS 4 /* 0..3 */

static struct clo_pagedb *pool(uint64_t limit, uint64_t space)
{
	struct clo_pagedb *db;

	CHECK_OK(clo_pagedb_create(CLO_POOL_ANON, limit, space, &db));
	return db;
}

TEST(split_and_merge)
{
	struct clo_pagedb *db = pool(1024, 1024);
	struct clo_pfn head = clo_pfn(512);

	CHECK_OK(clo_page_alloc(db, head, 9, 3, CLO_FRAME_ALLOC_SHARED));
	clo_page_set_uptodate(db, head, true);
	clo_page_unlock(db, head);
	CHECK_OK(clo_page_pin(db, clo_pfn(600)));
	CHECK(clo_page_lock(db, clo_pfn(700), &head));
	CHECK_EQ(head.n, 512);
	CHECK_OK(clo_page_rmap_claim(db, clo_pfn(513), CLO_LEVEL_4K, 3, clo_gfn(1)));
	CHECK_ERR(clo_page_split(db, head), -EBUSY);
	CHECK_EQ(clo_frame_get(db, head).order, 9U);
	CHECK_OK(clo_page_rmap_drop(db, clo_pfn(513), 3, clo_gfn(1)));
	CHECK_OK(clo_page_split(db, head));
	for (uint64_t n = 512; n < 1024; n++) {
		struct clo_frame_info f = clo_frame_get(db, clo_pfn(n));

		CHECK_EQ(f.order, 0U);
		CHECK_EQ(f.owner, 3U);
		CHECK_EQ(f.flags, CLO_FRAME_LOCKED | CLO_FRAME_UPTODATE);
		CHECK_EQ(f.pins, n == 600);
		CHECK_OK(clo_page_split(db, clo_pfn(n)));
	}
	CHECK_ERR(clo_page_merge(db, head, 9), -EBUSY); /* the pin */
	CHECK_OK(clo_page_unpin(db, clo_pfn(600)));
	CHECK_OK(clo_page_rmap_claim(db, clo_pfn(513), CLO_LEVEL_4K, 3, clo_gfn(1)));
	CHECK_ERR(clo_page_merge(db, head, 9), -EBUSY);
	CHECK_OK(clo_page_rmap_drop(db, clo_pfn(513), 3, clo_gfn(1)));
	CHECK_OK(clo_page_merge(db, head, 8)); /* folios of two sizes */
	CHECK_OK(clo_page_merge(db, head, 9));
	CHECK_EQ(clo_frame_get(db, clo_pfn(800)).order, 9U);
	CHECK_EQ(clo_frame_get(db, clo_pfn(800)).flags, CLO_FRAME_UPTODATE);
	CHECK_EQ(clo_frame_get(db, head).flags, CLO_FRAME_LOCKED | CLO_FRAME_UPTODATE);
	clo_page_unlock(db, head);
	clo_pagedb_destroy(db);
}

static void fill(struct clo_pagedb *db)
{
	for (uint64_t n = 0; n < 4; n++)
		CHECK_OK(clo_page_alloc(db, clo_pfn(n), 0, 3, CLO_FRAME_ALLOC_PRIVATE));
}

static void merge_refused(struct clo_pagedb *db)
{
	struct clo_frame_info before[4];

	for (uint64_t n = 0; n < 4; n++)
		before[n] = clo_frame_get(db, clo_pfn(n));
	CHECK_ERR(clo_page_merge(db, clo_pfn(0), 2), -EINVAL);
	for (uint64_t n = 0; n < 4; n++) {
		struct clo_frame_info f = clo_frame_get(db, clo_pfn(n));

		CHECK_EQ(f.state, before[n].state);
		CHECK_EQ(f.order, before[n].order);
		CHECK_EQ(f.flags, before[n].flags);
	}
}

TEST(merge_errors)
{
	struct clo_pagedb *db = pool(16, 16);

	fill(db);
	CHECK_ERR(clo_page_merge(db, clo_pfn(0), 19), -EINVAL);
	CHECK_ERR(clo_page_merge(db, clo_pfn(1), 1), -EINVAL);
	CHECK_ERR(clo_page_merge(db, clo_pfn(0), 5), -EINVAL); /* beyond the pool */
	CHECK_OK(clo_page_step(db, clo_pfn(2), CLO_FRAME_MAKE_SHARED));
	merge_refused(db);
	CHECK_OK(clo_page_step(db, clo_pfn(2), CLO_FRAME_MAKE_PRIVATE));
	clo_page_set_direct(db, clo_pfn(3), false);
	merge_refused(db);
	clo_page_set_direct(db, clo_pfn(3), true);
	clo_page_set_poison(db, clo_pfn(1), true);
	merge_refused(db);
	clo_page_set_poison(db, clo_pfn(1), false);
	clo_page_unlock(db, clo_pfn(1));
	merge_refused(db); /* one is not locked */
	CHECK(clo_page_lock(db, clo_pfn(1), NULL));
	CHECK_OK(clo_page_step(db, clo_pfn(1), CLO_FRAME_FREE_OP));
	merge_refused(db); /* a hole */
	CHECK_OK(clo_page_alloc(db, clo_pfn(1), 0, 4, CLO_FRAME_ALLOC_PRIVATE));
	merge_refused(db); /* another owner */
	CHECK_OK(clo_page_step(db, clo_pfn(1), CLO_FRAME_FREE_OP));
	CHECK_OK(clo_page_alloc(db, clo_pfn(1), 0, 3, CLO_FRAME_ALLOC_PRIVATE));
	clo_page_set_uptodate(db, clo_pfn(1), true); /* one of four: not up to date */
	CHECK_OK(clo_page_merge(db, clo_pfn(0), 2));
	CHECK_EQ(clo_frame_get(db, clo_pfn(1)).flags, 0U);
	merge_refused(db); /* not smaller */
	clo_pagedb_destroy(db);
}

/* The model: what each frame is, written down without bits, locks or order of writes. */
struct model_frame {
	enum clo_frame_state state;
	unsigned order;
	uint32_t owner, pins;
	bool locked, uptodate, nodirect, poison, prepared;
	uint32_t rmap_vm; /* 0 = none */
	uint64_t rmap_gfn;
};
struct model {
	struct clo_pagedb *db;
	struct model_frame f[FRAMES];
};

static uint64_t m_head(const struct model *m, uint64_t n)
{
	return clo_align_down(n, 1ULL << m->f[n].order);
}

static bool m_live(const struct model *m, uint64_t n)
{
	return m->f[n].state == CLO_FRAME_SHARED || m->f[n].state == CLO_FRAME_PRIVATE;
}

static uint64_t m_used(const struct model *m)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < FRAMES; i++)
		n += m->f[i].state != CLO_FRAME_FREE;
	return n;
}

static void m_compare(const struct model *m)
{
	struct clo_pagedb_stats s;
	uint64_t leaked = 0, nodirect = 0;

	for (uint64_t n = 0; n < FRAMES; n++) {
		const struct model_frame *w = &m->f[n];
		struct clo_frame_info f = clo_frame_get(m->db, clo_pfn(n));
		enum clo_level level;
		struct clo_gfn gfn;
		uint32_t vm;

		CHECK_EQ(f.state, w->state);
		CHECK_EQ(f.order, w->order);
		CHECK_EQ(f.owner, w->owner);
		CHECK_EQ(f.pins, w->pins);
		CHECK_EQ(!(f.flags & CLO_FRAME_UPTODATE), !w->uptodate);
		CHECK_EQ(!(f.flags & CLO_FRAME_NODIRECT), !w->nodirect);
		CHECK_EQ(!(f.flags & CLO_FRAME_POISON), !w->poison);
		CHECK_EQ(!(f.flags & CLO_FRAME_PREPARED), !w->prepared);
		if (m_head(m, n) == n)
			CHECK_EQ(!(f.flags & CLO_FRAME_LOCKED), !w->locked);
		CHECK_EQ(clo_page_rmap_get(m->db, clo_pfn(n), &level, &vm, &gfn), w->rmap_vm != 0);
		leaked += w->state == CLO_FRAME_LEAKED;
		nodirect += w->nodirect;
	}
	clo_pagedb_stats(m->db, &s);
	CHECK_EQ(s.frames_used, m_used(m));
	CHECK_EQ(s.frames_leaked, leaked);
	CHECK_EQ(s.frames_nodirect, nodirect);
}

static void op_alloc(struct model *m, struct clo_rand *r)
{
	unsigned order = (unsigned)clo_rand_below(r, ORDERS);
	uint64_t n = clo_align_down(clo_rand_below(r, FRAMES), 1ULL << order);
	uint32_t owner = (uint32_t)clo_rand_below(r, 2) + 1;
	enum clo_frame_op op =
		clo_rand_below(r, 2) ? CLO_FRAME_ALLOC_SHARED : CLO_FRAME_ALLOC_PRIVATE;
	int want = 0;

	if (m_used(m) + (1ULL << order) > LIMIT)
		want = -ENOMEM;
	for (uint64_t i = n; i < n + (1ULL << order); i++)
		if (m->f[i].state != CLO_FRAME_FREE)
			want = -EEXIST;
	CHECK_ERR(clo_page_alloc(m->db, clo_pfn(n), order, owner, op), want);
	for (uint64_t i = n; want == 0 && i < n + (1ULL << order); i++)
		m->f[i] = (struct model_frame){ .state = op == CLO_FRAME_ALLOC_SHARED
								 ? CLO_FRAME_SHARED
								 : CLO_FRAME_PRIVATE,
						.order = order,
						.owner = owner,
						.locked = i == n };
}

static void op_lock(struct model *m, uint64_t n)
{
	struct clo_pfn head;

	if (m_live(m, n) && !m->f[m_head(m, n)].locked) {
		CHECK(clo_page_lock(m->db, clo_pfn(n), &head));
		CHECK_EQ(head.n, m_head(m, n));
		m->f[head.n].locked = true;
	} else {
		CHECK(!clo_page_trylock(m->db, clo_pfn(n), &head));
	}
}

/* Nobody reaches it any more. */
static bool m_gone(const struct model_frame *f)
{
	return !f->pins && !f->rmap_vm && !f->prepared;
}

static void op_step(struct model *m, struct clo_rand *r, uint64_t head)
{
	enum clo_frame_op op = (enum clo_frame_op)clo_rand_below(r, CLO_FRAME_OP_COUNT);
	enum clo_frame_state to = clo_frame_next[m->f[head].state][op];
	uint64_t end = head + (1ULL << m->f[head].order);
	int want = to == CLO_FRAME_STATE_COUNT ? -EPERM : 0;

	for (uint64_t i = head; want == 0 && i < end; i++) {
		if ((op == CLO_FRAME_MAKE_PRIVATE || op == CLO_FRAME_FREE_OP) && m->f[i].pins)
			want = -EBUSY;
		if (op == CLO_FRAME_FREE_OP && (m->f[i].rmap_vm || m->f[i].prepared))
			want = -EBUSY;
	}
	for (uint64_t i = head; to == CLO_FRAME_LEAKED && i < end; i++)
		want += m_gone(&m->f[i]);
	if (op == CLO_FRAME_LEAK && clo_rand_below(r, 20))
		return; /* seldom: some never come back */
	CHECK_ERR(clo_page_step(m->db, clo_pfn(head), op), want);
	if (want < 0)
		return;
	for (uint64_t i = head; i < end; i++) {
		m->f[i].state = to;
		if (to == CLO_FRAME_FREE || (to == CLO_FRAME_LEAKED && m_gone(&m->f[i])))
			m->f[i] = (struct model_frame){ .state = CLO_FRAME_FREE };
		if (to == CLO_FRAME_LEAKED) {
			m->f[i].locked = false;
			m->f[i].order = 0;
		}
	}
}

static void op_split(struct model *m, uint64_t head)
{
	uint64_t end = head + (1ULL << m->f[head].order);
	int want = 0;

	for (uint64_t i = head; end - head > 1 && i < end; i++)
		want = m->f[i].rmap_vm ? -EBUSY : want;
	CHECK_ERR(clo_page_split(m->db, clo_pfn(head)), want);
	for (uint64_t i = head; want == 0 && i < end; i++) {
		m->f[i].order = 0;
		m->f[i].locked = true;
	}
}

static void op_merge(struct model *m, struct clo_rand *r, uint64_t n)
{
	unsigned order = (unsigned)clo_rand_below(r, ORDERS);
	uint64_t head = clo_align_down(n, 1ULL << order), end = head + (1ULL << order);
	const struct model_frame *a = &m->f[head];
	bool uptodate = true;
	int want = 0;

	for (uint64_t i = head; i < end; i++) {
		const struct model_frame *f = &m->f[i];

		uptodate = uptodate && f->uptodate;
		if (want == 0 && (f->pins || f->rmap_vm))
			want = -EBUSY;
		if (!m_live(m, i) || f->order >= order || f->state != a->state ||
		    f->owner != a->owner || f->nodirect != a->nodirect || f->poison != a->poison ||
		    !m->f[m_head(m, i)].locked)
			want = -EINVAL;
	}
	CHECK_ERR(clo_page_merge(m->db, clo_pfn(head), order), want);
	for (uint64_t i = head; want == 0 && i < end; i++) {
		m->f[i].order = order;
		m->f[i].uptodate = uptodate;
		m->f[i].locked = i == head;
	}
}

static void op_flags(struct model *m, struct clo_rand *r, uint64_t head)
{
	uint64_t what = clo_rand_below(r, 3);
	bool on = clo_rand_below(r, 2);

	if (what == 0)
		clo_page_set_uptodate(m->db, clo_pfn(head), on);
	else if (what == 1)
		clo_page_set_direct(m->db, clo_pfn(head), !on);
	else
		clo_page_set_poison(m->db, clo_pfn(head), on);
	for (uint64_t i = head; i < head + (1ULL << m->f[head].order); i++) {
		if (what == 0)
			m->f[i].uptodate = on;
		else if (what == 1)
			m->f[i].nodirect = on;
		else if (i == head)
			m->f[i].poison = on;
	}
}

static void op_prepared(struct model *m, struct clo_rand *r, uint64_t head)
{
	uint64_t pages = 1ULL << m->f[head].order;
	uint64_t from = head + clo_rand_below(r, pages), to = head + pages, end;
	struct clo_range run;
	bool any;

	if (clo_rand_below(r, 3) == 0) {
		to = from + 1;
		clo_page_set_prepared(m->db, clo_range(from, to));
		m->f[from].prepared = true;
		return;
	}
	any = clo_page_take_prepared(m->db, clo_range(from, to), &run);
	while (from < to && !m->f[from].prepared)
		from++;
	CHECK_EQ(any, from < to);
	for (end = from; end < to && m->f[end].prepared; end++)
		m->f[end].prepared = false;
	CHECK(run.start == from && run.end == end);
}

static void op_rmap(struct model *m, struct clo_rand *r, uint64_t n)
{
	struct model_frame *f = &m->f[n];
	uint32_t vm = (uint32_t)clo_rand_below(r, 2) + 1;
	uint64_t gfn = clo_rand_below(r, 2);
	bool here = f->rmap_vm == vm && f->rmap_gfn == gfn;

	if (clo_rand_below(r, 3) == 0 && m_live(m, n)) {
		CHECK_ERR(clo_page_rmap_claim(m->db, clo_pfn(n), CLO_LEVEL_4K, vm, clo_gfn(gfn)),
			  f->rmap_vm && !here ? -EEXIST : 0);
		if (!f->rmap_vm) {
			f->rmap_vm = vm;
			f->rmap_gfn = gfn;
		}
	} else {
		CHECK_ERR(clo_page_rmap_drop(m->db, clo_pfn(n), vm, clo_gfn(gfn)),
			  here ? 0 : -ENOENT);
		if (here)
			f->rmap_vm = 0;
	}
}

static void op_pin(struct model *m, struct clo_rand *r, uint64_t n)
{
	if (clo_rand_below(r, 5) < 2 && !(m_live(m, n) && m->f[m_head(m, n)].locked)) {
		int want = m->f[n].state == CLO_FRAME_SHARED ? 0 : -EFAULT;

		CHECK_ERR(clo_page_pin(m->db, clo_pfn(n)), want);
		m->f[n].pins += want == 0;
	} else {
		bool last = m->f[n].state == CLO_FRAME_LEAKED && m->f[n].pins == 1 &&
			    !m->f[n].rmap_vm && !m->f[n].prepared;

		CHECK_ERR(clo_page_unpin(m->db, clo_pfn(n)), last ? 1 : m->f[n].pins ? 0 : -EINVAL);
		m->f[n].pins -= m->f[n].pins != 0;
		if (last)
			m->f[n] = (struct model_frame){ .state = CLO_FRAME_FREE };
	}
}

static void op_any(struct model *m, struct clo_rand *r)
{
	uint64_t n = clo_rand_below(r, FRAMES);
	uint64_t head = m_head(m, n);

	switch (clo_rand_below(r, 8)) {
	case 0:
		op_alloc(m, r);
		return;
	case 1:
		op_pin(m, r, n);
		return;
	case 2:
		op_rmap(m, r, n);
		return;
	case 3:
		op_merge(m, r, n);
		return;
	default:
		break;
	}
	if (!m_live(m, n) || !m->f[head].locked) {
		op_lock(m, n);
		return;
	}
	switch (clo_rand_below(r, 6)) {
	case 5:
		op_prepared(m, r, head);
		return;
	case 0:
		op_split(m, head);
		return;
	case 1:
		op_flags(m, r, head);
		return;
	case 2:
		clo_page_unlock(m->db, clo_pfn(head));
		m->f[head].locked = false;
		return;
	default:
		op_step(m, r, head);
		return;
	}
}

TEST(random_against_model)
{
	struct clo_rand r = { test_seed() };

	for (unsigned round = 0; round < 60; round++) {
		struct model m = { .db = pool(LIMIT, FRAMES) };

		for (unsigned step = 0; step < 600; step++) {
			op_any(&m, &r);
			m_compare(&m);
		}
		clo_pagedb_destroy(m.db);
	}
}
