/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view_level_remap.c - level REMAP: without userfaultfd, what must not be touched is mapped
 * beyond the end of an empty file.
 *
 * Two bits per page of a mapping. shown: the pool is mapped there. want: shared, but no folio was
 * there to map; clo_view_settle() and clo_view_access() ask for it. Neither: private.
 * Hidden neighbours are one VMA, because the offset into the empty file grows with the address.
 */
#include "view_internal.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void set_bits(struct clo_a64 *map, uint64_t from, uint64_t to, bool on)
{
	while (from < to) {
		uint64_t n = 64 - from % 64;
		uint64_t mask;

		if (n > to - from)
			n = to - from;
		mask = (n == 64 ? ~0ULL : (1ULL << n) - 1) << from % 64;
		if (on)
			clo_a64_or(&map[from / 64], mask);
		else
			clo_a64_and(&map[from / 64], ~mask);
		from += n;
	}
}

/* First bit from @from that is @on, or @to. */
static uint64_t next_bit(const struct clo_a64 *map, uint64_t from, uint64_t to, bool on)
{
	while (from < to) {
		uint64_t word = clo_a64_get(&map[from / 64]);

		if (!on)
			word = ~word;
		word >>= from % 64;
		if (word) {
			from += (uint64_t)__builtin_ctzll(word);
			return from < to ? from : to;
		}
		from = clo_align_down(from, 64) + 64;
	}
	return to;
}

static void mark(struct view_map *m, struct clo_a64 *map, struct clo_range x, bool on)
{
	set_bits(map, x.start - m->r.start, x.end - m->r.start, on);
}

/* First run of @x whose bits in @map are @on; empty at x.end when there is none. */
static struct clo_range next_run(const struct view_map *m, const struct clo_a64 *map,
				 struct clo_range x, bool on)
{
	uint64_t end = x.end - m->r.start;
	uint64_t from = next_bit(map, x.start - m->r.start, end, on);
	uint64_t to = next_bit(map, from, end, !on);

	return clo_range(m->r.start + from, m->r.start + to);
}

static void *map_spare(struct clo_view_host *vh)
{
	void *p = mmap(NULL, (size_t)CLO_PAGE_SIZE, PROT_NONE, MAP_SHARED, vh->empty_fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

/*
 * Not through libc: TSan takes its mmap for a write to the whole range, and a thread of the VMM
 * that touches the page meanwhile for a race. That thread is what this module is for.
 */
static int map_fixed(uint8_t *at, size_t bytes, int fd, uint64_t off)
{
	long p = syscall(SYS_mmap, at, bytes, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, (off_t)off);

	return p == -1 ? clo_fail_errno(CLO_REASON_MAPPINGS, "mmap") : 0;
}

/*
 * A process may come to have one VMA more than vm.max_map_count; from then on the kernel refuses
 * every mmap, even one that would lower the number. The spare VMA makes room for those: else a
 * mapping at the limit could never be shown again, nor a hole be made in it. It is used only where
 * @whole VMAs are replaced, so that it can be had again afterwards.
 */
static int map_over(struct view_map *m, struct clo_range x, int fd, uint64_t off, bool whole)
{
	struct clo_view_host *vh = m->set->vh;
	uint8_t *at = view_addr(m, x.start);
	int ret = map_fixed(at, view_bytes(x), fd, off);

	if (ret != -ENOMEM || !whole)
		return ret;
	clo_mutex_lock(&vh->spare_lock);
	if (vh->spare)
		(void)munmap(vh->spare, (size_t)CLO_PAGE_SIZE);
	ret = map_fixed(at, view_bytes(x), fd, off);
	vh->spare = map_spare(vh);
	clo_mutex_unlock(&vh->spare_lock);
	return ret;
}

static int map_hidden(struct view_map *m, struct clo_range x, bool whole)
{
	uint64_t off = (x.start - m->r.start) * CLO_PAGE_SIZE;

	return map_over(m, x, m->set->vh->empty_fd, off, whole);
}

/* Do VMAs end at both ends of @x? Those of hidden pages do where a shown one begins. */
static bool is_whole(const struct view_map *m, struct clo_range x)
{
	uint64_t start = x.start - m->r.start, end = x.end - m->r.start;
	uint64_t last = clo_range_len(m->r);

	return (start == 0 || next_bit(m->shown, start - 1, start, true) < start) &&
	       (end == last || next_bit(m->shown, end, end + 1, true) == end);
}

static int map_shown(struct view_map *m, struct clo_range x)
{
	struct clo_pagedb *db = m->set->vh->db;

	for (uint64_t at = x.start; at < x.end;) {
		uint64_t end = view_piece_end(m, at);
		struct clo_range part = clo_range(at, end < x.end ? end : x.end);
		int ret = map_over(m, part, clo_pagedb_fd(db), clo_page_file_off(view_pfn(m, at)),
				   is_whole(m, part));

		if (ret)
			return ret;
		/* A child would keep the page when it becomes private. */
		if (madvise(view_addr(m, at), view_bytes(part), MADV_DONTFORK) != 0)
			return clo_fail_errno(CLO_REASON_MAPPINGS, "madvise");
		at = part.end;
	}
	return 0;
}

/* @fn for each run of @x that is still ours; the first error ends it. What is not is nobody's. */
typedef int (*run_fn)(struct view_map *m, struct clo_range run);
static int each_owned(struct view_map *m, struct clo_range x, run_fn fn)
{
	int ret = 0;

	while (x.start < x.end && ret == 0) {
		bool ours;
		struct clo_range run = view_owned_run(m, x, &ours);

		if (ours) {
			ret = fn(m, run);
		} else {
			mark(m, m->shown, run, false);
			mark(m, m->want, run, false);
		}
		x.start = run.end;
	}
	return ret;
}

static int show_run(struct view_map *m, struct clo_range x)
{
	int ret = map_shown(m, x);

	if (ret) {
		(void)map_hidden(m, x, false);
		clo_stat_add(&m->set->stuck_pages, clo_range_len(x));
	}
	mark(m, m->shown, x, ret == 0);
	mark(m, m->want, x, ret != 0);
	return ret;
}

/* Map the pool at @x, or leave it hidden and wanted. */
static int try_show(struct view_map *m, struct clo_range x)
{
	return each_owned(m, x, show_run);
}

static int want_run(struct view_map *m, struct clo_range x)
{
	mark(m, m->want, x, true);
	return 0;
}

static int remap_install(struct view_map *m)
{
	size_t words = (size_t)((clo_range_len(m->r) + 63) / 64);

	if (m->piece_count == 0)
		return 0;
	m->shown = clo_alloc_sparse(words * sizeof(*m->shown));
	m->want = clo_alloc_sparse(words * sizeof(*m->want));
	if (!m->shown || !m->want)
		return clo_fail_heap("mapping");
	return map_hidden(m, m->r, false);
}

static int hide_run(struct view_map *m, struct clo_range x)
{
	return map_hidden(m, x, false);
}

static void remap_hide_undo(struct view_map *m, struct clo_range x);

/*
 * A part that is not in its place any more was unmapped, which is the VMM's right, or moved, and
 * then its pages can be touched where they are now. Only in this case it is worth a look at all
 * mappings of the process. What is moved would have to be followed for ever: it is refused instead,
 * before anything has changed.
 */
static int remap_hide(struct view_map *m, struct clo_range x)
{
	bool ours;
	struct clo_range run = view_owned_run(m, x, &ours);
	int ret;

	if (ours && run.end == x.end)
		return hide_run(m, x);
	if (view_owned_elsewhere(m, x))
		return -EBUSY;
	ret = each_owned(m, x, hide_run);
	if (ret)
		remap_hide_undo(m, x);
	return ret;
}

static void remap_hide_commit(struct view_map *m, struct clo_range x)
{
	mark(m, m->shown, x, false);
	mark(m, m->want, x, false);
}

static void remap_hide_undo(struct view_map *m, struct clo_range x)
{
	while (x.start < x.end) {
		struct clo_range run = next_run(m, m->shown, x, true);

		if (run.start < run.end)
			(void)try_show(m, run);
		x.start = run.end;
	}
}

static int remap_show(struct view_map *m, struct clo_range x)
{
	for (uint64_t at = x.start; at < x.end;) {
		bool content;
		struct clo_range run = view_content_run(m, at, x.end, &content);

		/* A failure is counted. */
		(void)each_owned(m, run, content ? show_run : want_run);
		at = run.end;
	}
	return 0;
}

/* @x and what is mapped in one piece with its ends: to replace it splits no VMA and needs none. */
static struct clo_range whole_runs(const struct view_map *m, struct clo_range x)
{
	uint64_t start = x.start - m->r.start, end = x.end - m->r.start;

	while (start > 0 && (clo_a64_get(&m->shown[(start - 1) / 64]) >> (start - 1) % 64 & 1))
		start--;
	end = next_bit(m->shown, end, clo_range_len(m->r), false);
	return clo_range(m->r.start + start, m->r.start + end);
}

static int drop_run(struct view_map *m, struct clo_range x)
{
	if (map_hidden(m, x, false) != 0) {
		struct clo_range wide = whole_runs(m, x);
		bool whole;

		if (view_owned_run(m, wide, &whole).end == wide.end && whole)
			x = wide;
		clo_stat_add(&m->set->stuck_pages, clo_range_len(x));
		/* Somebody took the spare VMA: out of reach all the same, by SIGSEGV. */
		if (map_hidden(m, x, whole) != 0)
			(void)mprotect(view_addr(m, x.start), view_bytes(x), PROT_NONE);
	}
	for (struct clo_range rest = x; rest.start < rest.end;) {
		struct clo_range run = next_run(m, m->shown, rest, true);

		mark(m, m->want, run, true);
		rest.start = run.end;
	}
	mark(m, m->shown, x, false);
	return 0;
}

static int remap_drop(struct view_map *m, struct clo_range x)
{
	return each_owned(m, x, drop_run);
}

static int remap_detach(struct view_map *m, struct view_seg **out)
{
	for (struct clo_range x = view_all(m); x.start < x.end;) {
		bool ours;
		struct clo_range run = view_owned_run(m, x, &ours);

		if (ours)
			(void)munmap(view_addr(m, run.start), view_bytes(run));
		x.start = run.end;
	}
	*out = NULL;
	return 0;
}

static int grant_runs(struct view_map *m, struct clo_range x)
{
	while (x.start < x.end) {
		struct clo_range run = next_run(m, m->shown, x, false);
		int ret = run.start < run.end ? try_show(m, run) : 0;

		if (ret)
			return ret;
		x.start = run.end;
	}
	return 0;
}

static int remap_grant(struct view_map *m, struct clo_range x, bool wanted)
{
	struct clo_range want = next_run(m, m->want, x, true);

	if (!wanted && want.start == want.end)
		return 0;
	return view_grant_units(m, x, grant_runs);
}

/* First wanted page of @r in any mapping, or r.end. */
static uint64_t next_wanted(struct clo_view_set *vs, struct clo_range r)
{
	uint64_t best = r.end;

	clo_rwlock_rdlock(&vs->lock);
	for (struct view_map *m = vs->maps; m; m = m->next_in_set) {
		struct clo_range x = clo_range_clip(r, m->r);
		uint64_t end = x.end - m->r.start;
		uint64_t at;

		if (x.start == x.end)
			continue;
		at = next_bit(m->want, x.start - m->r.start, end, true);
		if (at < end && m->r.start + at < best)
			best = m->r.start + at;
	}
	clo_rwlock_unlock(&vs->lock);
	return best;
}

static int remap_settle(struct clo_view_set *vs, struct clo_range r)
{
	int first = 0;

	for (;;) {
		int ret;

		r.start = next_wanted(vs, r);
		if (r.start == r.end)
			return first;
		ret = view_ask(vs, NULL, r.start, false);
		/* Gone private or away meanwhile: no failure of this call. */
		if (ret && ret != -EACCES && ret != -ERANGE && first == 0)
			first = ret;
		/* Nor is there memory for the next page. */
		if (ret == -ENOMEM)
			return first;
		r.start++;
	}
}

static void remap_keep(struct view_map *m)
{
	for (struct clo_range x = view_all(m); x.start < x.end;) {
		bool ours;
		struct clo_range run = view_owned_run(m, x, &ours);

		if (ours)
			(void)madvise(view_addr(m, run.start), view_bytes(run), MADV_DONTFORK);
		x.start = run.end;
	}
}

static int remap_host_init(struct clo_view_host *vh)
{
	int ret = view_empty_open(vh);

	if (ret)
		return ret;
	clo_mutex_init(&vh->spare_lock, CLO_RANK_LEAF, "view spare");
	vh->spare = map_spare(vh);
	view_owned_open(vh);
	clo_fork_hook_add(&vh->fork_hook, view_real_before_fork, vh);
	return 0;
}

static void remap_host_fini(struct clo_view_host *vh)
{
	clo_fork_hook_remove(&vh->fork_hook);
	if (vh->spare)
		(void)munmap(vh->spare, (size_t)CLO_PAGE_SIZE);
	clo_mutex_destroy(&vh->spare_lock);
	view_owned_close(vh);
	view_empty_close(vh);
}

static const struct view_real_ops real_ops = {
	.install = remap_install,
	.detach = remap_detach,
	.hide = remap_hide,
	.hide_commit = remap_hide_commit,
	.hide_undo = remap_hide_undo,
	.show = remap_show,
	.drop = remap_drop,
	.grant = remap_grant,
	.keep = remap_keep,
};

const struct view_ops view_remap_ops = {
	.host_init = remap_host_init,
	.host_fini = remap_host_fini,
	.set_fini = view_real_set_fini,
	.map = view_real_map,
	.unmap = view_real_unmap,
	.hide = view_real_hide,
	.show = view_real_show,
	.drop = view_real_drop,
	.settle = remap_settle,
	.access = view_real_access,
	.is_shown = view_real_is_shown,
	.real = &real_ops,
};
