/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view_map.c - mappings: made, found, hidden and shown over all of a set, taken away.
 *
 * A mapping is in two lists: its set's (what hide must reach) and its host's (where the engine
 * finds an address). It is in both before anybody can touch it, and it leaves the set's list only
 * when nothing is mapped any more: a hide that does not see it has nothing to hide.
 */
#include "view_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static const struct clo_view_piece *piece_of(const struct view_map *m, uint64_t index)
{
	size_t low = 0, high = m->piece_count;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (m->pieces[mid].r.start <= index)
			low = mid;
		else
			high = mid;
	}
	return &m->pieces[low];
}

struct clo_pfn view_pfn(const struct view_map *m, uint64_t index)
{
	const struct clo_view_piece *p = piece_of(m, index);

	return clo_pfn(p->base.n + (index - p->r.start));
}

uint64_t view_piece_end(const struct view_map *m, uint64_t index)
{
	return piece_of(m, index)->r.end;
}

static bool has_content(const struct view_map *m, uint64_t index)
{
	struct clo_frame_info f = clo_frame_get(m->set->vh->db, view_pfn(m, index));

	return f.state == CLO_FRAME_SHARED && (f.flags & CLO_FRAME_UPTODATE) != 0 &&
	       (f.flags & CLO_FRAME_POISON) == 0;
}

static bool unit_has_content(const struct view_map *m, uint64_t index)
{
	uint64_t end = index + m->set->vh->unit;

	while (index < end && has_content(m, index))
		index++;
	return index == end;
}

uint64_t view_next_frame(const struct view_map *m, uint64_t at, uint64_t end)
{
	while (at < end) {
		struct clo_pfn first = view_pfn(m, at), pfn = first;
		uint64_t stop = view_piece_end(m, at);

		stop = stop < end ? stop : end;
		if (clo_page_next_used(m->set->vh->db, &pfn, first.n + (stop - at)))
			return clo_align_down(at + (pfn.n - first.n), m->set->vh->unit);
		at = stop;
	}
	return end;
}

struct clo_range view_content_run(const struct view_map *m, uint64_t at, uint64_t end,
				  bool *content)
{
	uint64_t unit = m->set->vh->unit, i = at;

	*content = unit_has_content(m, at);
	do
		i = *content ? i + unit : view_next_frame(m, i + unit, end);
	while (i < end && unit_has_content(m, i) == *content);
	return clo_range(at, i < end ? i : end);
}

/* A folio is locked once, at its first page inside the block. */
struct block {
	struct view_map *m;
	struct clo_range r;
	struct clo_pfn heads[VIEW_HUGE_PAGES];
	unsigned head_count;
};

static void block_unlock(struct block *b)
{
	while (b->head_count > 0)
		clo_page_unlock(b->m->set->vh->db, b->heads[--b->head_count]);
}

/* @held is locked by the caller. */
static int block_lock(struct block *b, struct clo_range held)
{
	struct clo_pagedb *db = b->m->set->vh->db;

	/* Pages are made in ascending order: what is missing shows at the end, at once. */
	for (uint64_t i = b->r.end; i-- > b->r.start;) {
		struct clo_frame_info f = clo_frame_get(db, view_pfn(b->m, i));

		if (f.state == CLO_FRAME_PRIVATE)
			return -EACCES;
		if (!has_content(b->m, i))
			return -ENOENT;
	}
	for (uint64_t i = b->r.start; i < b->r.end; i++) {
		struct clo_pfn pfn = view_pfn(b->m, i);
		struct clo_pfn head;
		bool ours = clo_range_contains(held, i) ||
			    (b->head_count > 0 && clo_frame_get(db, pfn).order > 0 &&
			     b->heads[b->head_count - 1].n ==
				     clo_align_down(pfn.n, 1ULL << clo_frame_get(db, pfn).order));

		if (!ours) {
			if (!clo_page_trylock(db, pfn, &head)) {
				block_unlock(b);
				return -EAGAIN;
			}
			b->heads[b->head_count++] = head;
		}
		if (!has_content(b->m, i)) {
			block_unlock(b);
			return -EAGAIN;
		}
	}
	return 0;
}

int view_grant_units(struct view_map *m, struct clo_range x,
		     int (*map)(struct view_map *m, struct clo_range x))
{
	struct clo_range out = view_clip_out(m, x);
	struct block b = { .m = m, .r = out };
	int ret;

	if (out.start == x.start && out.end == x.end)
		return map(m, x);
	/* A folio is naturally aligned and at most a block here: it does not meet two of them. */
	ret = block_lock(&b, x);
	if (ret)
		return ret;
	ret = map(m, out);
	block_unlock(&b);
	return ret;
}

void view_ask_grant(void *garg, struct clo_range r, struct clo_pfn base)
{
	struct view_ask *a = garg;
	bool everywhere = a->vs->vh->level == CLO_VIEW_REMAP;

	(void)base; /* the pieces of the mapping say it too */
	clo_rwlock_rdlock(&a->vs->lock);
	for (struct view_map *m = a->vs->maps; m; m = m->next_in_set) {
		struct clo_range x = clo_range_clip(r, m->r);
		int ret = 0;

		if (x.start < x.end && (m == a->m || everywhere))
			ret = a->vs->vh->ops->real->grant(m, x, m == a->m);
		if (ret && (m == a->m || !a->m))
			a->ret = ret;
	}
	clo_rwlock_unlock(&a->vs->lock);
}

static int ask_page(struct clo_view_set *vs, struct view_map *m, uint64_t index, bool once)
{
	for (;;) {
		struct view_ask a = { .vs = vs, .m = m };
		int ret = vs->resolve(vs->owner, index, view_ask_grant, &a);

		if (ret == 0)
			ret = a.ret;
		if (ret != -EAGAIN || once)
			return ret;
		vs->transit(vs->owner, index);
	}
}

int view_ask(struct clo_view_set *vs, struct view_map *m, uint64_t index, bool once)
{
	uint64_t first = clo_align_down(index, vs->vh->unit);
	int ret = ask_page(vs, m, index, once);

	for (uint64_t i = first; ret == -ENOENT && i < first + vs->vh->unit; i++)
		ret = ask_page(vs, m, i, once);
	/* All were there, but not at one time. */
	return ret == -ENOENT ? -EAGAIN : ret;
}

static void link_map(struct view_map *m)
{
	struct clo_view_set *vs = m->set;
	struct clo_view_host *vh = vs->vh;

	clo_rwlock_wrlock(&vs->lock);
	m->next_in_set = vs->maps;
	vs->maps = m;
	clo_rwlock_unlock(&vs->lock);
	clo_mutex_lock(&vh->lock);
	m->next_in_host = vh->maps;
	vh->maps = m;
	clo_mutex_unlock(&vh->lock);
}

static void free_map(struct view_map *m)
{
	size_t words = (size_t)((clo_range_len(m->r) + 63) / 64);

	if (m->shown)
		clo_free_sparse(m->shown, words * sizeof(*m->shown));
	if (m->want)
		clo_free_sparse(m->want, words * sizeof(*m->want));
	view_seg_free(m->segs);
	clo_free(m);
}

int view_map_add(struct clo_view_set *vs, const struct clo_view_piece *pieces, size_t count,
		 struct view_map **out)
{
	struct view_map *m = clo_alloc(sizeof(*m) + count * sizeof(pieces[0]));
	int ret;

	if (!m)
		return clo_fail_heap("mapping");
	m->set = vs;
	m->r = clo_range(pieces[0].r.start, pieces[count - 1].r.end);
	if (m->r.end > vs->npages) {
		count--;
		m->tail = clo_range_len(pieces[count].r);
		m->r.end -= m->tail;
	}
	m->piece_count = count;
	memcpy(m->pieces, pieces, count * sizeof(pieces[0]));
	/* 2M for all, so that the kernel can use huge mappings where it has them. */
	m->addr = view_reserve(view_bytes(view_all(m)), (size_t)(VIEW_HUGE_PAGES * CLO_PAGE_SIZE));
	ret = m->addr ? view_seg_add(m, m->addr, view_all(m)) : view_no_room();
	if (ret == 0)
		ret = view_tail_map(m);
	if (ret == 0)
		ret = vs->vh->ops->real->install(m);
	if (ret) {
		if (m->addr)
			(void)view_sys_munmap(m->addr, view_bytes(view_all(m)));
		free_map(m);
		return ret;
	}
	if (!clo_broken(CLO_BREAK_VIEW_LINK))
		link_map(m);
	if (vs->vh->ops->real->open)
		ret = vs->vh->ops->real->open(m);
	if (clo_broken(CLO_BREAK_VIEW_LINK))
		link_map(m);
	if (ret)
		view_map_remove(m);
	*out = m;
	return ret;
}

static int detach_once(struct view_map *m, struct view_seg **segs)
{
	struct clo_view_set *vs = m->set;
	struct view_map **p;
	int ret;

	/* A hide either sees the mapping or has nothing to hide. */
	clo_rwlock_wrlock(&vs->lock);
	ret = vs->vh->ops->real->detach(m, segs);
	if (ret == 0) {
		for (p = &vs->maps; *p != m; p = &(*p)->next_in_set)
			;
		*p = m->next_in_set;
	}
	clo_rwlock_unlock(&vs->lock);
	return ret;
}

/* Out of the engine's sight: what it is at work on is waited for. */
static void unlink_host(struct view_map *m)
{
	struct clo_view_host *vh = m->set->vh;
	struct view_map **p;

	clo_mutex_lock(&vh->lock);
	while (m->refs > 0)
		clo_cond_wait(&vh->idle, &vh->lock);
	for (p = &vh->maps; *p != m; p = &(*p)->next_in_host)
		;
	*p = m->next_in_host;
	clo_mutex_unlock(&vh->lock);
}

void view_map_remove(struct view_map *m)
{
	const struct view_real_ops *ops = m->set->vh->ops->real;
	struct view_seg *segs = NULL;

	while (detach_once(m, &segs) == -EAGAIN)
		ops->wait(m->set->vh);
	unlink_host(m);
	/* Nothing held: the engine is told of this unmapping too. One that is refused (mseal)
	 * leaves an empty mapping whose touches are refused. */
	for (struct view_seg *s = segs; s; s = s->next)
		(void)view_sys_munmap(s->addr, view_bytes(s->r));
	view_seg_free(segs);
	free_map(m);
}

/* The pages of @m outside @hidden: resolved now, because their first touch will not be seen. */
static int settle_new(struct view_map *m, const struct clo_range *hidden, size_t hidden_count)
{
	size_t h = 0;

	for (uint64_t i = m->r.start; i < m->r.end;) {
		int ret;

		while (h < hidden_count && hidden[h].end <= i)
			h++;
		if (h < hidden_count && hidden[h].start <= i) {
			i = hidden[h].end;
			continue;
		}
		ret = view_ask(m->set, m, i, false);
		if (ret && ret != -EACCES && ret != -EHWPOISON && ret != -ERANGE)
			return ret;
		i++;
	}
	return 0;
}

static bool start_dying(struct view_map *m)
{
	struct clo_view_host *vh = m->set->vh;
	bool first;

	clo_mutex_lock(&vh->lock);
	first = !m->dying;
	m->dying = true;
	clo_mutex_unlock(&vh->lock);
	return first;
}

int view_real_map(struct clo_view_set *vs, const struct clo_view_piece *pieces, size_t count,
		  const struct clo_range *hidden, size_t hidden_count, void **addr)
{
	struct view_map *m;
	int ret = view_map_add(vs, pieces, count, &m);

	if (ret)
		return ret;
	/* UFFD: nothing is mapped yet and the engine refuses private pages: no work for @hidden. */
	if (vs->vh->level == CLO_VIEW_REMAP)
		ret = settle_new(m, hidden, hidden_count);
	if (ret) {
		(void)start_dying(m);
		view_map_remove(m);
		return ret;
	}
	*addr = m->addr;
	return 0;
}

/* The mapping at @addr, dying by this call; NULL: none, or another call has it. */
static struct view_map *take(struct clo_view_set *vs, const void *addr, uint64_t npages)
{
	struct view_map *m;

	clo_mutex_lock(&vs->vh->lock);
	for (m = vs->vh->maps; m; m = m->next_in_host) {
		if (m->set == vs && m->addr == addr && clo_range_len(m->r) + m->tail == npages &&
		    !m->dying)
			break;
	}
	if (m)
		m->dying = true;
	clo_mutex_unlock(&vs->vh->lock);
	return m;
}

int view_real_unmap(struct clo_view_set *vs, void *addr, uint64_t npages, struct clo_range *shown)
{
	struct view_map *m = take(vs, addr, npages);

	if (!m)
		return clo_fail(-EINVAL, CLO_REASON_ABSENT, "addr");
	*shown = m->r;
	view_map_remove(m);
	return 0;
}

void view_real_set_fini(struct clo_view_set *vs)
{
	while (vs->maps) {
		(void)start_dying(vs->maps);
		view_map_remove(vs->maps);
	}
}

typedef int (*set_fn)(struct clo_view_set *vs, struct clo_range r);

/* @once with the lock of the set, until no change of the address space is in its way. */
static int settled(struct clo_view_set *vs, struct clo_range r, set_fn once)
{
	for (;;) {
		int ret;

		clo_rwlock_rdlock(&vs->lock);
		ret = once(vs, r);
		clo_rwlock_unlock(&vs->lock);
		if (ret != -EAGAIN)
			return ret;
		vs->vh->ops->real->wait(vs->vh);
	}
}

static int hide_once(struct clo_view_set *vs, struct clo_range r)
{
	const struct view_real_ops *ops = vs->vh->ops->real;
	struct view_map *m, *bad = NULL;
	int ret = 0;

	for (m = vs->maps; m && !bad; m = m->next_in_set) {
		struct clo_range x = view_clip_out(m, r);

		if (x.start < x.end)
			ret = ops->hide(m, x);
		if (ret)
			bad = m;
	}
	if (ret == -EAGAIN)
		return ret;
	for (m = vs->maps; m != bad; m = m->next_in_set) {
		struct clo_range x = view_clip_out(m, r);

		if (x.start == x.end)
			continue;
		if (bad)
			ops->hide_undo(m, x);
		else
			ops->hide_commit(m, x);
	}
	return ret;
}

int view_real_hide(struct clo_view_set *vs, struct clo_range r)
{
	return settled(vs, r, hide_once);
}

static int on_all(struct clo_view_set *vs, struct clo_range r,
		  int (*fn)(struct view_map *m, struct clo_range x))
{
	int ret = 0;

	for (struct view_map *m = vs->maps; m && ret != -EAGAIN; m = m->next_in_set) {
		struct clo_range x = view_clip_out(m, r);

		if (x.start < x.end)
			ret = fn(m, x);
	}
	return ret;
}

static int show_once(struct clo_view_set *vs, struct clo_range r)
{
	(void)clo_a64_add(&vs->show_seq, 1);
	return on_all(vs, r, vs->vh->ops->real->show);
}

void view_real_show(struct clo_view_set *vs, struct clo_range r)
{
	(void)settled(vs, r, show_once);
}

static int drop_once(struct clo_view_set *vs, struct clo_range r)
{
	return on_all(vs, r, vs->vh->ops->real->drop);
}

void view_real_drop(struct clo_view_set *vs, struct clo_range r)
{
	(void)settled(vs, r, drop_once);
}

bool view_real_is_shown(const struct clo_view_set *vs, uint64_t index)
{
	(void)vs;
	(void)index;
	return false;
}
