/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view_seg.c - what of a mapping is still where it was, and still ours (level UFFD).
 *
 * The VMM may unmap a part of its mapping and map memory of its own there, or move a part away. The
 * kernel tells the engine so (UFFD_EVENT_UNMAP, _REMAP), lets the VMM's call return only when that
 * was read, and refuses what userfaultfd can do to the address space until then. Reading, and what
 * follows from it here, is done with vh->ours held for writing; whoever acts on addresses holds it
 * for reading and looks first that no change is in flight. So an address in this list is ours while
 * the lock is held.
 *
 * What userfaultfd does is checked by the kernel at the very moment. Zapping is not: madvise() is
 * told an address. So it is looked again afterwards: what has moved away in between has not been
 * zapped, and is when the move is known. And between the look and the madvise() a thread can unmap
 * a part; nothing else can be there before the event is read unless another thread maps it there by
 * address, or mremap() moves memory onto the view. The kernel by itself chooses no address there:
 * see view_reserve().
 */
#include "view_internal.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* Addresses that no kernel picks while it has others, downwards from the stack or (legacy layout)
 * upwards from 42 TiB, and that are no sanitizer's shadow. */
#define LOW_START (18ULL << 40)
#define LOW_END   (40ULL << 40)
#define LOW_TRIES 8

#define WAIT_TURNS 64
#define WAIT_NS    100000

static void *try_low(size_t bytes, size_t align)
{
	uint64_t random = 0, at;
	void *p;

	if (bytes > LOW_END - LOW_START || view_sys_random(&random) < 0)
		return NULL;
	at = LOW_START + random % (LOW_END - LOW_START - bytes + 1);
	at = clo_align_down(at, align);
	/* Only a wish: a sanitizer's mmap() knows better, and takes MAP_FIXED_NOREPLACE for 0. */
	p = view_sys_mmap((void *)(uintptr_t)at, bytes, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if ((uintptr_t)p == at)
		return p;
	(void)view_sys_munmap(p, bytes);
	return NULL;
}

uint8_t *view_reserve(size_t bytes, size_t align)
{
	size_t all = bytes + align;
	uint8_t *p, *at;

	for (int i = 0; i < LOW_TRIES; i++) {
		p = try_low(bytes, align);
		if (p)
			return p;
	}
	if (all < bytes)
		return NULL;
	p = view_sys_mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	at = p + (align - ((uintptr_t)p & (align - 1))) % align;
	if (at > p)
		(void)view_sys_munmap(p, (size_t)(at - p));
	if (at + bytes < p + all)
		(void)view_sys_munmap(at + bytes, (size_t)(p + all - (at + bytes)));
	return at;
}

int view_seg_add(struct view_map *m, uint8_t *addr, struct clo_range r)
{
	struct view_seg *s = clo_alloc(sizeof(*s));

	if (!s)
		return clo_fail_heap("mapping");
	s->addr = addr;
	s->r = r;
	s->next = m->segs;
	m->segs = s;
	return 0;
}

void view_seg_free(struct view_seg *s)
{
	while (s) {
		struct view_seg *next = s->next;

		clo_free(s);
		s = next;
	}
}

/* The pages of @s that are in [start, end). */
static struct clo_range met(const struct view_seg *s, const uint8_t *start, const uint8_t *end)
{
	const uint8_t *s_end = s->addr + view_bytes(s->r);
	const uint8_t *from = start > s->addr ? start : s->addr;
	const uint8_t *to = end < s_end ? end : s_end;

	if (from >= to)
		return clo_range(s->r.start, s->r.start);
	return clo_range(s->r.start + (uint64_t)(from - s->addr) / CLO_PAGE_SIZE,
			 s->r.start + (uint64_t)(to - s->addr) / CLO_PAGE_SIZE);
}

struct view_seg *view_seg_find(const struct view_map *m, const uint8_t *addr)
{
	for (struct view_seg *s = m->segs; s; s = s->next) {
		if (addr >= s->addr && addr < s->addr + view_bytes(s->r))
			return s;
	}
	return NULL;
}

static void cut(struct view_map *m, const uint8_t *start, const uint8_t *end)
{
	for (struct view_seg **at = &m->segs; *at;) {
		struct view_seg *s = *at;
		struct clo_range gone = met(s, start, end);

		if (gone.start == gone.end) {
			at = &s->next;
		} else if (gone.start > s->r.start) {
			/* Without memory what is behind the gap is no longer looked after: emptied
			 * here, and whoever touches it is refused. */
			struct clo_range rest = clo_range(gone.end, s->r.end);
			uint8_t *rest_addr = s->addr + view_bytes(clo_range(s->r.start, gone.end));

			if (rest.start < rest.end && view_seg_add(m, rest_addr, rest)) {
				(void)view_zap(rest_addr, view_bytes(rest));
				clo_stat_add(&m->set->stuck_pages, clo_range_len(rest));
			}
			/* The new one may have gone in before this one. */
			while (*at != s)
				at = &(*at)->next;
			s->r.end = gone.start;
			at = &s->next;
		} else if (gone.end < s->r.end) {
			s->addr += view_bytes(gone);
			s->r.start = gone.end;
			at = &s->next;
		} else {
			*at = s->next;
			clo_free(s);
		}
	}
}

void view_seg_unmapped(struct clo_view_host *vh, const uint8_t *start, const uint8_t *end)
{
	for (struct view_map *m = vh->maps; m; m = m->next_in_host)
		cut(m, start, end);
}

static void moved(struct view_map *m, const uint8_t *from, uint8_t *to, size_t bytes)
{
	for (struct view_seg *s = m->segs, *next; s; s = next) {
		struct clo_range r = met(s, from, from + bytes);
		uint8_t *addr;

		next = s->next;
		if (r.start == r.end)
			continue;
		addr = to + (s->addr + view_bytes(clo_range(s->r.start, r.start)) - from);
		if (view_seg_add(m, addr, r)) {
			(void)view_zap(addr, view_bytes(r));
			clo_stat_add(&m->set->stuck_pages, clo_range_len(r));
		}
	}
}

/* What is left behind (MREMAP_DONTUNMAP) is still registered; else the kernel says so next. */
void view_seg_moved(struct clo_view_host *vh, const uint8_t *from, uint8_t *to, size_t bytes)
{
	for (struct view_map *m = vh->maps; m; m = m->next_in_host)
		moved(m, from, to, bytes);
}

int view_seg_each(struct view_map *m, struct clo_range x, uint64_t chunk, view_seg_fn fn)
{
	struct clo_view_host *vh = m->set->vh;
	int first = 0;

	for (uint64_t at = x.start; at < x.end; at += chunk) {
		struct clo_range part = clo_range(at, x.end - at > chunk ? at + chunk : x.end);

		clo_rwlock_rdlock(&vh->ours);
		for (struct view_seg *s = m->segs; s; s = s->next) {
			struct clo_range r = clo_range_clip(part, s->r);
			int ret = 0;

			if (r.start < r.end)
				ret = fn(m, s->addr + view_bytes(clo_range(s->r.start, r.start)),
					 r);
			if (ret && (first == 0 || ret == -EAGAIN))
				first = ret;
		}
		clo_rwlock_unlock(&vh->ours);
		if (first == -EAGAIN || x.end - at <= chunk)
			break;
	}
	return first;
}

static bool is_changing(const struct view_map *m)
{
	return view_uffd_changing(view_engine_fd(m->set->vh));
}

int view_seg_zap(struct view_map *m, uint8_t *addr, struct clo_range r)
{
	int ret;

	if (is_changing(m))
		return -EAGAIN;
	ret = view_zap(addr, view_bytes(r));
	/* What has been moved away between the look and the zap is mapped where it is now. The mark
	 * of that stays while ours is held. */
	if (is_changing(m) && !clo_broken(CLO_BREAK_VIEW_MARK))
		return -EAGAIN;
	/* Nothing is mapped there, and nothing has moved: it is empty. */
	return ret == -ENOMEM ? 0 : ret;
}

int view_seg_detach(struct view_map *m, struct view_seg **out)
{
	struct clo_view_host *vh = m->set->vh;
	int ret = 0;

	clo_rwlock_wrlock(&vh->ours);
	for (struct view_seg *s = m->segs; s && ret != -EAGAIN; s = s->next)
		ret = clo_broken(CLO_BREAK_VIEW_DETACH) ? 0 : view_seg_zap(m, s->addr, s->r);
	if (ret != -EAGAIN) {
		*out = m->segs;
		m->segs = NULL;
	}
	clo_rwlock_unlock(&vh->ours);
	return ret == -EAGAIN ? ret : 0;
}

/*
 * The engine tells when it has read; the mark goes a moment later, when the thread that unmaps goes
 * on, of which nobody tells. Both may need the processor of the one who waits.
 */
void view_seg_wait(struct clo_view_host *vh)
{
	int fd = view_engine_fd(vh);

	for (unsigned i = 0; i < WAIT_TURNS && view_uffd_changing(fd); i++)
		clo_relax();
	clo_mutex_lock(&vh->lock);
	while (view_uffd_changing(fd))
		(void)clo_cond_timedwait(&vh->idle, &vh->lock, clo_now_ns() + WAIT_NS);
	clo_mutex_unlock(&vh->lock);
}
