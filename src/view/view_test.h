/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view_test.h - for the tests of this module: the smallest owner of a file that obeys the
 * contract of view.h. A page is shared, private or in transition; its folio (one page) is made at
 * the first touch.
 */
#ifndef CLO_VIEW_VIEW_TEST_H
#define CLO_VIEW_VIEW_TEST_H

#include "view/view.h"

#include "harness/test.h"
#include "harness/touch.h"

#include <string.h>

enum { OWNER_SHARED, OWNER_PRIVATE, OWNER_TRANSIT };

struct owner {
	struct clo_pagedb *db;
	struct clo_view_host *vh;
	struct clo_view_set *vs;
	struct clo_pfn base;
	uint64_t npages;
	unsigned order; /* of the window */
	unsigned folio; /* order of its folios: 0, or 9 with conversions of whole folios */
	struct clo_a32 *attr;
	struct clo_a32 fail;  /* errno that resolve gives instead of an answer */
	struct clo_a32 asked; /* calls of resolve */
	struct clo_a32 lazy;  /* make folios up to date without writing to them */
	bool *locked;         /* by convert */
};

static inline struct clo_pfn owner_pfn(const struct owner *o, uint64_t index)
{
	return clo_pfn(o->base.n + index);
}
/* The page in the direct map. */
static inline uint8_t *owner_page(const struct owner *o, uint64_t index)
{
	return clo_page_addr(o->db, owner_pfn(o, index));
}

/* The first page of the folio that holds @index. */
static inline uint64_t owner_first(const struct owner *o, uint64_t index)
{
	return clo_align_down(index, 1ULL << o->folio);
}

/* The folio of @index, locked, up to date. */
static inline int owner_folio(struct owner *o, uint64_t index)
{
	struct clo_pfn pfn = owner_pfn(o, owner_first(o, index));
	int ret;

	if (clo_page_lock(o->db, pfn, NULL))
		return 0;
	ret = clo_page_alloc(o->db, pfn, o->folio, 1, CLO_FRAME_ALLOC_SHARED);
	if (ret)
		return ret == -EEXIST ? -EAGAIN : ret;
	/* Announced; now the last look, and only then is it made up to date. */
	if (clo_a32_get_sc(&o->attr[index]) != OWNER_SHARED) {
		CHECK_OK(clo_page_step(o->db, pfn, CLO_FRAME_FREE_OP));
		return -EAGAIN;
	}
	if (!clo_a32_get(&o->lazy))
		clo_page_zero(o->db, pfn);
	clo_page_set_uptodate(o->db, pfn, true);
	return 0;
}

static inline int owner_resolve(void *owner, uint64_t index, clo_view_grant_fn grant, void *garg)
{
	struct owner *o = owner;
	uint64_t first = owner_first(o, index);
	uint32_t attr;
	int ret;

	clo_a32_add(&o->asked, 1);
	if (clo_a32_get(&o->fail))
		return -(int)clo_a32_get(&o->fail);
	if (index >= o->npages)
		return -ERANGE;
	attr = clo_a32_get_sc(&o->attr[index]);
	if (attr != OWNER_SHARED)
		return attr == OWNER_PRIVATE ? -EACCES : -EAGAIN;
	ret = owner_folio(o, index);
	if (ret)
		return ret;
	if (clo_a32_get_sc(&o->attr[index]) == OWNER_SHARED)
		grant(garg, clo_range(first, first + (1ULL << o->folio)), owner_pfn(o, first));
	else
		ret = -EAGAIN;
	clo_page_unlock(o->db, owner_pfn(o, first));
	return ret;
}

static inline void owner_set(struct owner *o, struct clo_range r, uint32_t attr)
{
	for (uint64_t i = r.start; i < r.end; i++)
		clo_a32_set_sc(&o->attr[i], attr);
}

/* hide or show of one range, as module conv does it; returns what hide gave. */
static inline int owner_convert(struct owner *o, struct clo_range r, bool to_private)
{
	enum clo_frame_op op = to_private ? CLO_FRAME_MAKE_PRIVATE : CLO_FRAME_MAKE_SHARED;
	uint64_t step = 1ULL << o->folio;
	int ret = 0;

	owner_set(o, r, OWNER_TRANSIT);
	for (uint64_t i = r.start; i < r.end; i += step)
		o->locked[i] = clo_page_lock(o->db, owner_pfn(o, i), NULL);
	if (to_private && !clo_broken(CLO_BREAK_VIEW_ZAP))
		ret = clo_view_hide(o->vs, r);
	for (uint64_t i = r.start; i < r.end; i += step) {
		if (!o->locked[i])
			continue;
		/* A page may be of that kind already: -EPERM. */
		if (ret == 0)
			(void)!clo_page_step(o->db, owner_pfn(o, i), op);
		clo_page_unlock(o->db, owner_pfn(o, i));
	}
	if (!to_private)
		clo_view_show(o->vs, r);
	owner_set(o, r, to_private && ret == 0 ? OWNER_PRIVATE : OWNER_SHARED);
	if (!to_private)
		CHECK_OK(clo_view_settle(o->vs, r));
	return ret;
}

static inline void owner_free(struct owner *o, struct clo_range r)
{
	uint64_t step = 1ULL << o->folio;

	for (uint64_t i = r.start; i < r.end; i += step) {
		if (!clo_page_lock(o->db, owner_pfn(o, i), NULL))
			continue;
		CHECK_OK(clo_page_step(o->db, owner_pfn(o, i), CLO_FRAME_FREE_OP));
		clo_page_discard(o->db, owner_pfn(o, i), step);
	}
}

/* Punch hole: views first, then the frames. */
static inline void owner_punch(struct owner *o, struct clo_range r)
{
	uint32_t *was = clo_alloc((size_t)clo_range_len(r) * sizeof(*was));

	CHECK(was);
	for (uint64_t i = r.start; i < r.end; i++)
		was[i - r.start] = clo_a32_get(&o->attr[i]);
	/* No touch brings a page back that is about to be freed. */
	owner_set(o, r, OWNER_TRANSIT);
	for (uint64_t i = r.start; i < r.end; i += 1ULL << o->folio) {
		if (clo_page_lock(o->db, owner_pfn(o, i), NULL))
			clo_page_unlock(o->db, owner_pfn(o, i));
	}
	clo_view_drop(o->vs, r);
	owner_free(o, r);
	for (uint64_t i = r.start; i < r.end; i++)
		clo_a32_set_sc(&o->attr[i], was[i - r.start]);
	clo_free(was);
	CHECK_OK(clo_view_settle(o->vs, r));
}

/* The pool and the file in it; then, on it, the host's views of it. */
static inline int owner_try_pool(struct owner *o, enum clo_pool_kind kind, uint64_t npages)
{
	int ret;

	*o = (struct owner){ .npages = npages };
	while (1ULL << o->order < npages)
		o->order++;
	ret = clo_pagedb_create(kind, npages, 4ULL << (o->order < 9 ? 9 : o->order), &o->db);
	if (ret)
		return ret;
	CHECK_OK(clo_page_window_reserve(o->db, o->order, CLO_WINDOW_LAST, &o->base));
	o->attr = clo_alloc_sparse((size_t)npages * sizeof(*o->attr));
	o->locked = clo_alloc_sparse((size_t)npages * sizeof(*o->locked));
	CHECK(o->attr && o->locked);
	return 0;
}

static inline void owner_close_pool(struct owner *o)
{
	clo_page_window_release(o->db, o->base, o->order);
	clo_free_sparse(o->attr, (size_t)o->npages * sizeof(*o->attr));
	clo_free_sparse(o->locked, (size_t)o->npages * sizeof(*o->locked));
	clo_pagedb_destroy(o->db);
}

static inline int owner_try_views(struct owner *o, enum clo_view_level level)
{
	int ret = clo_view_host_create(o->db, level, &o->vh);

	if (ret == 0)
		CHECK_OK(clo_view_set_create(o->vh, o->npages, owner_resolve, o, &o->vs));
	return ret;
}

static inline void owner_close_views(struct owner *o)
{
	clo_view_set_destroy(o->vs);
	clo_view_host_destroy(o->vh);
}

static inline int owner_try_open(struct owner *o, enum clo_pool_kind kind,
				 enum clo_view_level level, uint64_t npages)
{
	int ret = owner_try_pool(o, kind, npages);

	if (ret)
		return ret;
	ret = owner_try_views(o, level);
	if (ret)
		owner_close_pool(o);
	return ret;
}

static inline void owner_open_pool(struct owner *o, enum clo_pool_kind kind,
				   enum clo_view_level level, uint64_t npages)
{
	int ret = owner_try_open(o, kind, level, npages);

	if (ret == -EPERM || ret == -ENOSYS)
		SKIP("userfaultfd is not permitted on this host");
	CHECK_OK(ret);
	CHECK_EQ(clo_view_host_level(o->vh), level);
}

static inline void owner_open(struct owner *o, enum clo_view_level level, uint64_t npages)
{
	owner_open_pool(o, level == CLO_VIEW_SOFT ? CLO_POOL_ANON : CLO_POOL_MEMFD, level, npages);
}

static inline void owner_close(struct owner *o)
{
	owner_close_views(o);
	owner_free(o, clo_range(0, o->npages));
	owner_close_pool(o);
}

/* The whole file, with what is private now hidden. */
static inline uint8_t *owner_map(struct owner *o)
{
	struct clo_view_piece piece = { clo_range(0, o->npages), o->base };
	struct clo_range *hidden = clo_alloc((size_t)o->npages * sizeof(*hidden));
	size_t n = 0;
	void *addr;

	CHECK(hidden);
	for (uint64_t i = 0; i < o->npages; i++) {
		if (clo_a32_get(&o->attr[i]) == OWNER_PRIVATE)
			hidden[n++] = clo_range(i, i + 1);
	}
	CHECK_OK(clo_view_map(o->vs, &piece, 1, hidden, n, &addr));
	clo_free(hidden);
	return addr;
}

#endif
