/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/gmem_test.h - what this module's tests share: a host, a file, and a VM that only writes down
 * what it is told.
 */
#ifndef CLO_GMEM_GMEM_TEST_H
#define CLO_GMEM_GMEM_TEST_H

#include <stdarg.h>
#include <stdio.h>

#include "gmem/gmem.h"
#include "harness/test.h"

#define T_OWNER    7U
#define T_MMAP_ANY (CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED)
#define T_ALL_FLAGS                                                                                \
	(CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED | CLO_GMEM_HUGETLB | CLO_GMEM_ZERO_ON_CONVERT |      \
	 CLO_GMEM_NO_DIRECT_MAP)

/* The VM behind the ops: a log in words, and a prepare that fails when told to. */
struct t_vm {
	struct clo_pagedb *db;
	char log[4096];
	size_t used;
	int prepare_ret;
	unsigned prepare_calls;
	struct clo_gmem_piece prepared; /* the last one that was asked for */
	bool prepare_locked;            /* the folio lock was held */
};

__attribute__((format(printf, 2, 3))) static inline void t_log(struct t_vm *vm, const char *format,
							       ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(vm->log + vm->used, sizeof(vm->log) - vm->used, format, ap);
	va_end(ap);
	if (n > 0 && vm->used + (size_t)n < sizeof(vm->log))
		vm->used += (size_t)n;
}

static inline void t_log_clear(struct t_vm *vm)
{
	vm->used = 0;
	vm->log[0] = 0;
}

static inline uint64_t t_frames(struct clo_pagedb *db)
{
	struct clo_pagedb_stats s;

	clo_pagedb_stats(db, &s);
	return s.frames_used;
}

static inline uint64_t t_windows(struct clo_pagedb *db)
{
	struct clo_pagedb_stats s;

	clo_pagedb_stats(db, &s);
	return s.windows;
}

static inline void t_begin(void *arg, struct clo_range r)
{
	t_log(arg, "begin %lu-%lu; ", r.start, r.end);
}

/* With the number of frames in use, which shows what is freed when. */
static inline void t_zap(void *arg, struct clo_range r, enum clo_zap_reason why)
{
	struct t_vm *vm = arg;

	t_log(vm, "zap %lu-%lu %s (%lu); ", r.start, r.end, clo_zap_reason_name(why),
	      t_frames(vm->db));
}

static inline void t_flush(void *arg)
{
	struct t_vm *vm = arg;

	t_log(vm, "flush (%lu); ", t_frames(vm->db));
}

static inline void t_end(void *arg, struct clo_range r)
{
	struct t_vm *vm = arg;

	t_log(vm, "end %lu-%lu (%lu); ", r.start, r.end, t_frames(vm->db));
}

static inline int t_prepare(void *arg, const struct clo_gmem_piece *p)
{
	struct t_vm *vm = arg;

	vm->prepare_calls++;
	vm->prepared = *p;
	vm->prepare_locked = (clo_frame_get(vm->db, p->pfn).flags & CLO_FRAME_LOCKED) != 0;
	return vm->prepare_ret;
}

/* With the gfn, or -, and the number of frames in use. */
static inline void t_invalidate(void *arg, const struct clo_gmem_piece *p, uint32_t why)
{
	struct t_vm *vm = arg;

	for (uint64_t i = 0; i < p->npages; i++) {
		struct clo_frame_info f = clo_frame_get(vm->db, clo_pfn(p->pfn.n + i));

		CHECK_EQ(f.state, CLO_FRAME_PRIVATE);
		CHECK_EQ(f.flags & ~CLO_FRAME_POISON, CLO_FRAME_UPTODATE);
		CHECK_EQ(f.order, p->order);
	}
	t_log(vm, "invalidate %lu-%lu ", p->index, p->index + p->npages);
	if (p->is_bound)
		t_log(vm, "gfn %lu ", p->gfn.n);
	t_log(vm, "why %u (%lu); ", why, t_frames(vm->db));
}

struct t_host {
	struct clo_pagedb *db;
	struct clo_view_host *vh;
	struct t_vm vm;
};

static inline void t_host_open(struct t_host *h, uint64_t limit, uint64_t space)
{
	*h = (struct t_host){ 0 };
	CHECK_OK(clo_pagedb_create(CLO_POOL_ANON, limit, space, &h->db));
	h->vm.db = h->db;
}

/* Also: nothing is left behind. */
static inline void t_host_close(struct t_host *h)
{
	struct clo_pagedb_stats s;

	clo_rcu_barrier();
	clo_pagedb_stats(h->db, &s);
	CHECK_EQ(s.frames_used, s.frames_leaked);
	if (s.frames_leaked == 0)
		CHECK_EQ(s.windows, 0);
	if (h->vh)
		clo_view_host_destroy(h->vh);
	clo_pagedb_destroy(h->db);
}

static inline struct clo_gmem_config t_config(struct t_host *h, uint64_t npages, uint64_t flags,
					      uint32_t order)
{
	return (struct clo_gmem_config){
		.size = npages << CLO_PAGE_SHIFT,
		.flags = flags,
		.page_order = order,
		.owner = T_OWNER,
		.valid_flags = T_ALL_FLAGS,
		.ops = { .begin = t_begin,
			 .zap = t_zap,
			 .flush = t_flush,
			 .end = t_end,
			 .vm = &h->vm },
	};
}

static inline void t_hooks(struct clo_gmem_config *cfg)
{
	cfg->ops.prepare = t_prepare;
	cfg->ops.invalidate = t_invalidate;
}

static inline struct clo_gmem *t_file(struct t_host *h, uint64_t npages, uint64_t flags,
				      uint32_t order)
{
	struct clo_gmem_config cfg = t_config(h, npages, flags, order);
	struct clo_gmem *g;

	CHECK_OK(clo_gmem_open(h->db, h->vh, &cfg, &g));
	return g;
}

static inline int t_get(struct clo_gmem *g, uint64_t index, bool is_private, struct clo_pfn *pfn,
			unsigned *order)
{
	int ret;

	clo_rcu_read_lock();
	ret = clo_gmem_get_folio(g, index, clo_gfn(index), is_private, pfn, order);
	clo_rcu_read_unlock();
	return ret;
}

/* As a vCPU does: -EAGAIN is another try (the view's engine may just have the folio). */
static inline struct clo_pfn t_page(struct clo_gmem *g, uint64_t index, bool is_private)
{
	struct clo_pfn pfn;
	unsigned order;
	int ret;

	while ((ret = t_get(g, index, is_private, &pfn, &order)) == -EAGAIN)
		clo_relax();
	CHECK_OK(ret);
	return pfn;
}

static inline struct clo_frame_info t_frame(struct clo_gmem *g, uint64_t index)
{
	struct clo_frame_info f = { .state = CLO_FRAME_FREE };
	struct clo_pfn pfn;

	clo_rcu_read_lock();
	if (clo_gmem_pfn(g, index, &pfn))
		f = clo_frame_get(clo_gmem_pagedb(g), pfn);
	clo_rcu_read_unlock();
	return f;
}

static inline int t_punch(struct clo_gmem *g, uint64_t index, uint64_t npages)
{
	return clo_gmem_fallocate(g, CLO_FALLOC_KEEP_SIZE | CLO_FALLOC_PUNCH_HOLE,
				  (int64_t)(index << CLO_PAGE_SHIFT),
				  (int64_t)(npages << CLO_PAGE_SHIFT));
}

static inline int t_allocate(struct clo_gmem *g, uint64_t index, uint64_t npages)
{
	return clo_gmem_fallocate(g, CLO_FALLOC_KEEP_SIZE, (int64_t)(index << CLO_PAGE_SHIFT),
				  (int64_t)(npages << CLO_PAGE_SHIFT));
}

static inline struct clo_gmem_stats t_stats(struct clo_gmem *g)
{
	struct clo_gmem_stats s;

	clo_gmem_stats(g, &s);
	return s;
}

static inline uint8_t *t_bytes(struct clo_gmem *g, struct clo_pfn pfn)
{
	return clo_page_addr(clo_gmem_pagedb(g), pfn);
}

static inline void t_check_zero(struct clo_gmem *g, struct clo_pfn pfn)
{
	static const uint8_t zero[CLO_PAGE_SIZE];

	CHECK_MEM(t_bytes(g, pfn), zero, sizeof(zero));
}

/* Take or return all of the pool but what is used, so that old bytes are there for a new owner to
 * find. */
static inline void t_soil(struct clo_pagedb *db, uint64_t pfns)
{
	for (uint64_t i = 0; i < pfns; i++)
		memset(clo_page_addr(db, clo_pfn(i)), 0xee, CLO_PAGE_SIZE);
}

/*
 * A conversion in place, as small as it can be: range lock, invalidation, folios split, changed,
 * merged. No pins may be there.
 */
static inline void t_convert(struct clo_gmem *g, struct clo_range r, bool to_private)
{
	struct clo_pagedb *db = clo_gmem_pagedb(g);
	uint64_t block = 1ULL << clo_gmem_page_order(g);
	struct clo_range work =
		clo_range(clo_align_down(r.start, block), clo_align_up(r.end, block));
	struct clo_rangelock_hold hold;

	clo_rangelock_lock(clo_gmem_ranges(g), work, &hold);
	clo_inval_begin(clo_gmem_inval(g), work);
	if (!to_private)
		clo_gmem_invalidate(g, r, CLO_INVALIDATE_TO_SHARED);
	for (uint64_t i = r.start; i < r.end; i++) {
		struct clo_pfn pfn, head;
		struct clo_frame_info f;

		uint64_t at = i;

		if (!clo_gmem_next_frame(g, &at, i + 1, &pfn) ||
		    !clo_gmem_lock_frame(g, i, pfn, &head))
			continue;
		f = clo_frame_get(db, head);
		if ((f.state == CLO_FRAME_PRIVATE) != to_private) {
			if (to_private && clo_gmem_views(g))
				CHECK_OK(clo_view_hide(clo_gmem_views(g), clo_range(i, i + 1)));
			CHECK_OK(clo_gmem_split_block(g, i));
			for (uint64_t k = 0; k < 1ULL << f.order; k++) {
				if (head.n + k != pfn.n)
					clo_page_unlock(db, clo_pfn(head.n + k));
			}
			CHECK_OK(clo_page_step(db, pfn,
					       to_private ? CLO_FRAME_MAKE_PRIVATE
							  : CLO_FRAME_MAKE_SHARED));
			head = pfn;
		}
		clo_page_unlock(db, head);
	}
	CHECK_OK(clo_attr_set(clo_gmem_attr(g), r, to_private));
	for (uint64_t i = work.start; block > 1 && i < work.end; i += block)
		clo_gmem_merge_block(g, i);
	clo_inval_end(clo_gmem_inval(g), work);
	clo_rangelock_unlock(clo_gmem_ranges(g), &hold);
}

#endif
