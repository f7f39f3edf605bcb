/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view.c - hosts and sets, and the way to the level in force.
 *
 * The explorer library has no level REMAP, and UFFD on a model of the kernel (view_fake.h).
 */
#include "view_internal.h"

#include <errno.h>

static const struct view_ops *const ops_of[CLO_VIEW_LEVEL_COUNT] = {
	[CLO_VIEW_SOFT] = &view_soft_ops,
	[CLO_VIEW_UFFD] = &view_uffd_ops,
#ifndef CLO_SYNC_EXPLORE
	[CLO_VIEW_REMAP] = &view_remap_ops,
#endif
};

const char *clo_view_level_name(enum clo_view_level level)
{
	static const char *const names[CLO_VIEW_LEVEL_COUNT] = {
		[CLO_VIEW_AUTO] = "auto",
		[CLO_VIEW_UFFD] = "uffd",
		[CLO_VIEW_REMAP] = "remap",
		[CLO_VIEW_SOFT] = "soft",
	};

	return (unsigned)level < CLO_VIEW_LEVEL_COUNT ? names[level] : NULL;
}

static int host_try(struct clo_view_host *vh, enum clo_view_level level)
{
	if (level != CLO_VIEW_SOFT && clo_pagedb_kind(vh->db) == CLO_POOL_ANON)
		return -ENODEV;
	if (!ops_of[level])
		return -EPERM;
	vh->level = level;
	vh->ops = ops_of[level];
	return vh->ops->host_init(vh);
}

/* No memory is no reason to take a lower level. */
static int host_auto(struct clo_view_host *vh)
{
	int ret = host_try(vh, CLO_VIEW_UFFD);

	if (ret && ret != -ENOMEM)
		ret = host_try(vh, CLO_VIEW_REMAP);
	if (ret && ret != -ENOMEM)
		ret = host_try(vh, CLO_VIEW_SOFT);
	return ret;
}

int clo_view_host_create(struct clo_pagedb *db, enum clo_view_level level,
			 struct clo_view_host **out)
{
	struct clo_view_host *vh;
	int ret;

	if ((unsigned)level >= CLO_VIEW_LEVEL_COUNT)
		return clo_fail(-EINVAL, CLO_REASON_VALUE, "clo_host_config.view");
	vh = clo_alloc(sizeof(*vh));
	if (!vh)
		return clo_fail_heap("host view");
	vh->db = db;
	vh->unit = clo_pagedb_kind(db) == CLO_POOL_HUGETLB ? VIEW_HUGE_PAGES : 1;
	vh->empty_fd = -1;
	vh->maps_fd = -1;
	clo_mutex_init(&vh->lock, CLO_RANK_VIEW, "view host");
	clo_cond_init(&vh->idle);
	clo_rwlock_init(&vh->ours, CLO_RANK_LEAF, "view addresses");
	ret = level == CLO_VIEW_AUTO ? host_auto(vh) : host_try(vh, level);
	if (ret) {
		clo_rwlock_destroy(&vh->ours);
		clo_cond_destroy(&vh->idle);
		clo_mutex_destroy(&vh->lock);
		clo_free(vh);
		return ret;
	}
	*out = vh;
	return 0;
}

void clo_view_host_destroy(struct clo_view_host *vh)
{
	if (!vh)
		return;
	vh->ops->host_fini(vh);
	clo_rwlock_destroy(&vh->ours);
	clo_cond_destroy(&vh->idle);
	clo_mutex_destroy(&vh->lock);
	clo_free(vh);
}

enum clo_view_level clo_view_host_level(const struct clo_view_host *vh)
{
	return vh->level;
}

static void relax(void *owner, uint64_t index)
{
	(void)owner, (void)index;
	clo_relax();
}

void clo_view_set_transit(struct clo_view_set *vs, void (*transit)(void *owner, uint64_t index))
{
	vs->transit = transit;
}

int clo_view_set_create(struct clo_view_host *vh, uint64_t npages, clo_view_resolve_fn resolve,
			void *owner, struct clo_view_set **out)
{
	struct clo_view_set *vs = clo_alloc(sizeof(*vs));

	if (!vs)
		return clo_fail_heap("host view");
	vs->vh = vh;
	vs->npages = npages;
	vs->resolve = resolve;
	vs->transit = relax;
	vs->owner = owner;
	clo_rwlock_init(&vs->lock, CLO_RANK_VIEW, "view set");
	*out = vs;
	return 0;
}

void clo_view_set_destroy(struct clo_view_set *vs)
{
	if (!vs)
		return;
	vs->vh->ops->set_fini(vs);
	clo_rwlock_destroy(&vs->lock);
	clo_free(vs);
}

/* The last one may be beyond the file. */
static bool pieces_ok(const struct clo_view_set *vs, const struct clo_view_piece *pieces,
		      size_t count)
{
	uint64_t unit = vs->vh->unit;

	for (size_t i = 0; i < count; i++) {
		struct clo_range r = pieces[i].r;

		if (r.start >= r.end)
			return false;
		if (r.end > vs->npages && (r.start < vs->npages || i + 1 < count))
			return false;
		if (i > 0 && r.start != pieces[i - 1].r.end)
			return false;
		if (!clo_is_aligned(r.start, unit) || !clo_is_aligned(r.end, unit) ||
		    !clo_is_aligned(pieces[i].base.n, unit))
			return false;
	}
	return count > 0;
}

int clo_view_map(struct clo_view_set *vs, const struct clo_view_piece *pieces, size_t piece_count,
		 const struct clo_range *hidden, size_t hidden_count, void **addr)
{
	if (!vs->vh->ops->map)
		return -ENODEV;
	if (!pieces_ok(vs, pieces, piece_count))
		return clo_fail(-EINVAL, CLO_REASON_ALIGN, "len");
	return vs->vh->ops->map(vs, pieces, piece_count, hidden, hidden_count, addr);
}

int clo_view_unmap(struct clo_view_set *vs, void *addr, uint64_t npages, struct clo_range *shown)
{
	if (!vs->vh->ops->unmap)
		return clo_fail(-EINVAL, CLO_REASON_ABSENT, "addr");
	return vs->vh->ops->unmap(vs, addr, npages, shown);
}

static struct clo_range inside(const struct clo_view_set *vs, struct clo_range r)
{
	return clo_range_clip(r, clo_range(0, vs->npages));
}

int clo_view_hide(struct clo_view_set *vs, struct clo_range r)
{
	int ret;

	r = inside(vs, r);
	clo_stat_add(&vs->hidden_calls, 1);
	if (r.start == r.end)
		return 0;
	ret = vs->vh->ops->hide(vs, r);
	if (ret == 0)
		clo_stat_add(&vs->hidden_pages, clo_range_len(r));
	return ret;
}

void clo_view_show(struct clo_view_set *vs, struct clo_range r)
{
	r = inside(vs, r);
	if (r.start == r.end)
		return;
	clo_stat_add(&vs->shown_pages, clo_range_len(r));
	vs->vh->ops->show(vs, r);
}

void clo_view_drop(struct clo_view_set *vs, struct clo_range r)
{
	r = inside(vs, r);
	if (r.start < r.end)
		vs->vh->ops->drop(vs, r);
}

int clo_view_settle(struct clo_view_set *vs, struct clo_range r)
{
	r = inside(vs, r);
	if (!vs->vh->ops->settle || r.start == r.end)
		return 0;
	return vs->vh->ops->settle(vs, r);
}

/* Of one page. *@done: bytes that were copied, also when it fails. */
static int access_page(struct clo_view_set *vs, uint64_t off, uint8_t *buf, size_t bytes,
		       bool write, size_t *done)
{
	uint8_t bounce[CLO_PAGE_SIZE];
	size_t n = bytes;
	int ret = 0;

	*done = 0;
	if (write)
		n = view_buf_copy(buf, bounce, bytes, false);
	if (n > 0)
		ret = vs->vh->ops->access(vs, off, bounce, n, write);
	if (ret == -EACCES || ret == -ERANGE)
		ret = -EFAULT;
	if (ret)
		return ret;
	if (!write)
		n = view_buf_copy(buf, bounce, bytes, true);
	*done = n;
	return n < bytes ? -EFAULT : 0;
}

int clo_view_access(struct clo_view_set *vs, uint64_t off_bytes, void *buf, size_t bytes,
		    bool write)
{
	uint8_t *at = buf;
	uint64_t last;

	if (bytes == 0)
		return 0;
	if (__builtin_add_overflow(off_bytes, (uint64_t)bytes - 1, &last) ||
	    last >> CLO_PAGE_SHIFT >= vs->npages)
		return -EFAULT;
	while (bytes > 0) {
		size_t n = (size_t)(CLO_PAGE_SIZE - (off_bytes & CLO_PAGE_MASK));
		int ret;

		if (n > bytes)
			n = bytes;
		ret = access_page(vs, off_bytes, at, n, write, &n);
		if (ret)
			return ret;
		off_bytes += n;
		at += n;
		bytes -= n;
	}
	return 0;
}

bool clo_view_is_shown(const struct clo_view_set *vs, uint64_t index)
{
	return index < vs->npages && vs->vh->ops->is_shown(vs, index);
}

void clo_view_stats(const struct clo_view_set *vs, struct clo_view_stats *out)
{
	struct clo_rwlock *lock = (struct clo_rwlock *)(uintptr_t)&vs->lock;
	uint64_t mappings = 0;

	clo_rwlock_rdlock(lock);
	for (const struct view_map *m = vs->maps; m; m = m->next_in_set)
		mappings++;
	clo_rwlock_unlock(lock);
	*out = (struct clo_view_stats){
		.mappings = mappings,
		.hidden_calls = clo_stat_get(&vs->hidden_calls),
		.hidden_pages = clo_stat_get(&vs->hidden_pages),
		.shown_pages = clo_stat_get(&vs->shown_pages),
		.resolved_faults = clo_stat_get(&vs->resolved_faults),
		.refused_faults = clo_stat_get(&vs->refused_faults),
		.stuck_pages = clo_stat_get(&vs->stuck_pages),
	};
}

void view_real_before_fork(void *host)
{
	struct clo_view_host *vh = host;

	clo_mutex_lock(&vh->lock);
	for (struct view_map *m = vh->maps; m; m = m->next_in_host)
		vh->ops->real->keep(m);
	clo_mutex_unlock(&vh->lock);
}
