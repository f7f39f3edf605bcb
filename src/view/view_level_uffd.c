/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view_level_uffd.c - level UFFD: hide, show, drop and grant on a userfaultfd mapping.
 *
 * - hide: zap, then POISON. Between the two, and wherever POISON could not be put, a touch asks
 *   the engine, which refuses it: poison makes the refusal cheap (2 us instead of 60) and
 *   independent of the engine, MINOR|MISSING makes it certain. So hide cannot fail for want of
 *   memory.
 * - show: CONTINUE, over the poison, what has content; take the poison from the rest. The caller
 *   keeps folios from changing, so no folio lock is taken here.
 * - drop: zap.
 * - grant: CONTINUE; the folio lock is the caller's.
 */
#include "view_internal.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* Eager POISON of a call stops here (1 GiB, 30 ms). */
#define POISON_MAX (1ULL << 18)
/* Pages that are zapped, or filled, without letting the engine read: 3 ms where all are mapped. */
#define ZAP_CHUNK  (1ULL << 15)
#define FILL_CHUNK (1ULL << 12)
/* The same where no frame is: 50 ms if somebody was refused at each page, else a microsecond. */
#define GAP_CHUNK (1ULL << 21)

static int fd_of(const struct view_map *m)
{
	return view_engine_fd(m->set->vh);
}

/* Without rights: with them, mlockall(MCL_FUTURE) would fill the mapping before it is registered.
 */
static int map_pieces(struct view_map *m)
{
	int fd = clo_pagedb_fd(m->set->vh->db);
	int prot = clo_broken(CLO_BREAK_VIEW_OPEN) ? PROT_READ | PROT_WRITE : PROT_NONE;

	for (size_t i = 0; i < m->piece_count; i++) {
		const struct clo_view_piece *p = &m->pieces[i];
		void *want = view_addr(m, p->r.start);

		if (view_sys_mmap(want, view_bytes(p->r), prot,
				  MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd,
				  (off_t)clo_page_file_off(p->base)) == MAP_FAILED)
			return clo_fail_errno(CLO_REASON_MAPPINGS, "mmap");
	}
	return 0;
}

/*
 * WP is for what it keeps out: in a range with it the kernel installs no huge mapping over the page
 * table and drops none (MADV_COLLAPSE, khugepaged), which would lose the poison. Huge pages of
 * hugetlb are not collapsed, and a kernel without WP for shared memory says EINVAL.
 */
static int claim(struct view_map *m)
{
	uint64_t modes = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR;
	int ret = 0;

	/* The tail too, which needs no engine: to hear of what the VMM does to it. */
	size_t bytes = view_bytes(view_all(m));

	if (clo_broken(CLO_BREAK_VIEW_MINOR))
		modes &= ~UFFDIO_REGISTER_MODE_MINOR;
	if (m->set->vh->unit == 1)
		ret = view_uffd_register(fd_of(m), m->addr, bytes, modes | UFFDIO_REGISTER_MODE_WP);
	if (m->set->vh->unit != 1 || ret == -EINVAL)
		ret = view_uffd_register(fd_of(m), m->addr, bytes, modes);
	return ret;
}

/* A mapping that cannot be made safe is none. */
static int unsafe(void)
{
	return clo_fail(-ENOMEM, CLO_REASON_KERNEL, "userfaultfd");
}

/* From the registration on nothing gets in by itself; what got in before goes. */
static int make_empty(struct view_map *m)
{
	size_t bytes = view_bytes(view_all(m));
	int ret = view_zap(m->addr, bytes);

	if (ret == 0 && view_is_mapped(m->addr, bytes))
		ret = unsafe();
	return ret;
}

static int uffd_install(struct view_map *m)
{
	size_t bytes = view_bytes(view_all(m));
	int ret = map_pieces(m);

	if (ret == 0)
		ret = claim(m);
	/* A child would have the pages without their poison; a core dump would wait for an engine
	 * that is stopped. */
	if (ret == 0 && (view_sys_madvise(m->addr, bytes, MADV_DONTFORK) != 0 ||
			 view_sys_madvise(m->addr, bytes, MADV_DONTDUMP) != 0))
		ret = clo_fail_errno(CLO_REASON_MAPPINGS, "madvise");
	/* Refused where the kernel has no huge pages at all. */
	(void)view_sys_madvise(m->addr, bytes, MADV_NOHUGEPAGE);
	if (ret == 0)
		ret = make_empty(m);
	return ret == -EAGAIN || ret == -EBUSY ? unsafe() : ret;
}

static int uffd_open(struct view_map *m)
{
	/* Shared memory that is locked is not filled by this. */
	if (view_sys_mprotect(m->addr, view_bytes(m->r), PROT_READ | PROT_WRITE) != 0)
		return clo_fail_errno(CLO_REASON_MAPPINGS, "mprotect");
	return 0;
}

/*
 * All of @x, whatever the frames: what is mapped where none is, is the poison of refused touches.
 * That it is little is all that frames are asked for here; a frame that comes or goes meanwhile
 * makes a call longer or shorter.
 */
static int zap(struct view_map *m, struct clo_range x)
{
	int first = 0;

	while (x.start < x.end && first != -EAGAIN) {
		uint64_t end = view_next_frame(m, x.start, x.end);
		uint64_t gap = end - x.start;
		int ret;

		if (gap < ZAP_CHUNK)
			end = x.end - x.start < ZAP_CHUNK ? x.end : x.start + ZAP_CHUNK;
		else if (gap > GAP_CHUNK)
			end = x.start + GAP_CHUNK;
		ret = view_seg_each(m, clo_range(x.start, end), end - x.start, view_seg_zap);
		if (first == 0 || ret == -EAGAIN)
			first = ret;
		x.start = end;
	}
	return first;
}

/*
 * Best effort, see above, but for -EAGAIN. EEXIST: the engine has poisoned the page already, or,
 * where nobody should have been able to, somebody has mapped it: @sure zaps that page once more.
 */
static int poison(struct view_map *m, uint8_t *addr, struct clo_range r, bool sure)
{
	uint64_t unit = m->set->vh->unit;
	const uint8_t *zapped = NULL;

	while (r.start < r.end) {
		size_t done;
		int ret = view_uffd_poison(fd_of(m), addr, view_bytes(r),
					   (size_t)(unit * CLO_PAGE_SIZE), &done);

		addr += done;
		r.start += done / CLO_PAGE_SIZE;
		if (ret == -EEXIST && sure && zapped != addr) {
			zapped = addr;
			ret = view_seg_zap(m, addr, clo_range(r.start, r.start + unit));
			if (ret == 0)
				continue;
		}
		if (ret == -EAGAIN)
			return ret;
		if (ret != -EEXIST && ret != -ENOENT)
			break;
		addr += unit * CLO_PAGE_SIZE;
		r.start += unit;
	}
	return 0;
}

static int poison_surely_at(struct view_map *m, uint8_t *addr, struct clo_range r)
{
	return poison(m, addr, r, true);
}

static int poison_at(struct view_map *m, uint8_t *addr, struct clo_range r)
{
	return poison(m, addr, r, false);
}

/*
 * Poison goes into the blocks of 2M that have frames: only there was anything worth touching. No
 * frame can appear between the look and the poison (the caller's word to clo_view_hide()), and one
 * that is made when the page is private needs no poison to be out of reach: nothing maps it but a
 * grant, which is refused for a private page, as any touch of a page that was not poisoned is.
 */
static int uffd_hide(struct view_map *m, struct clo_range x)
{
	uint64_t at = view_next_frame(m, x.start, x.end), done = 0;
	int ret = zap(m, x);

	while (ret == 0 && at < x.end && done < POISON_MAX) {
		uint64_t first = clo_align_down(at, VIEW_HUGE_PAGES);
		struct clo_range block =
			clo_range_clip(clo_range(first, first + VIEW_HUGE_PAGES), x);

		ret = view_seg_each(m, block, FILL_CHUNK, poison_surely_at);
		done += clo_range_len(block);
		at = view_next_frame(m, block.end, x.end);
	}
	return ret;
}

static void uffd_hide_commit(struct view_map *m, struct clo_range x)
{
	(void)m;
	(void)x;
}

/* A page without poison asks: nothing is lost by taking it away, nor, with -EAGAIN, by leaving it
 * to the show that undoes the hide for all. */
static void uffd_hide_undo(struct view_map *m, struct clo_range x)
{
	(void)zap(m, x);
}

/* Pool memory for a page with a frame that was never written: CONTINUE maps only what is there. */
static int fill(struct view_map *m, uint64_t index)
{
	void *direct = clo_page_addr(m->set->vh->db, view_pfn(m, index));
	size_t bytes = (size_t)(m->set->vh->unit * CLO_PAGE_SIZE);

	if (view_sys_madvise(direct, bytes, MADV_POPULATE_READ) != 0)
		return clo_fail_errno(CLO_REASON_KERNEL, "madvise");
	return 0;
}

/* 0 or the last error; the other pages are mapped all the same. */
static int continue_at(struct view_map *m, uint8_t *addr, struct clo_range x)
{
	uint64_t unit = m->set->vh->unit;
	uint64_t filled = UINT64_MAX;
	int failed = 0;

	while (x.start < x.end) {
		size_t done;
		int ret = view_uffd_continue(fd_of(m), addr, view_bytes(x),
					     (size_t)(unit * CLO_PAGE_SIZE), &done);

		addr += done;
		x.start += done / CLO_PAGE_SIZE;
		if (ret == 0 || ret == -EAGAIN)
			return ret ? ret : failed;
		if (ret == -EFAULT && filled != x.start) {
			filled = x.start;
			ret = fill(m, x.start);
			if (ret == 0)
				continue;
		}
		/* ENOENT: the VMM has taken userfaultfd off that page; it cannot be served. */
		if (ret != -EEXIST && ret != -ENOENT) {
			(void)view_seg_zap(m, addr, clo_range(x.start, x.start + unit));
			failed = ret;
		}
		addr += unit * CLO_PAGE_SIZE;
		x.start += unit;
	}
	return failed;
}

static int map_content(struct view_map *m, struct clo_range x)
{
	return view_seg_each(m, x, FILL_CHUNK, continue_at);
}

/* What could not be mapped is resolved at its first touch. */
static int uffd_show(struct view_map *m, struct clo_range x)
{
	int ret = 0;

	for (uint64_t at = x.start; at < x.end && ret != -EAGAIN;) {
		bool content;
		struct clo_range run = view_content_run(m, at, x.end, &content);

		ret = content ? map_content(m, run) : zap(m, run);
		at = run.end;
	}
	return ret;
}

static int uffd_grant(struct view_map *m, struct clo_range x, bool wanted)
{
	(void)wanted;
	return view_grant_units(m, x, map_content);
}

void view_level_refuse(struct view_map *m, uint64_t index, uint64_t seq)
{
	struct clo_view_set *vs = m->set;
	struct clo_range unit = clo_range(index, index + vs->vh->unit);

	/* For writing: no show is in progress, and one that came after the question is seen. */
	clo_rwlock_wrlock(&vs->lock);
	if (clo_a64_get_sc(&vs->show_seq) == seq || clo_broken(CLO_BREAK_VIEW_REFUSE))
		(void)view_seg_each(m, unit, FILL_CHUNK, poison_at);
	clo_rwlock_unlock(&vs->lock);
}

static int keep_at(struct view_map *m, uint8_t *addr, struct clo_range r)
{
	(void)m;
	(void)view_sys_madvise(addr, view_bytes(r), MADV_DONTFORK);
	return 0;
}

static void uffd_keep(struct view_map *m)
{
	struct clo_range all = view_all(m);

	(void)view_seg_each(m, all, clo_range_len(all), keep_at);
}

static int uffd_host_init(struct clo_view_host *vh)
{
	bool huge = clo_pagedb_kind(vh->db) == CLO_POOL_HUGETLB;
	int ret = view_empty_open(vh);

	if (ret)
		return ret;
	ret = view_engine_start(vh,
				VIEW_UFFD_POISON | VIEW_UFFD_EVENT_UNMAP | VIEW_UFFD_EVENT_REMAP |
					(huge ? VIEW_UFFD_MINOR_HUGETLB : VIEW_UFFD_MINOR_SHMEM));
	if (ret)
		view_empty_close(vh);
	else
		clo_fork_hook_add(&vh->fork_hook, view_real_before_fork, vh);
	return ret;
}

static void uffd_host_fini(struct clo_view_host *vh)
{
	clo_fork_hook_remove(&vh->fork_hook);
	view_engine_stop(vh);
	view_empty_close(vh);
}

static const struct view_real_ops real_ops = {
	.install = uffd_install,
	.open = uffd_open,
	.detach = view_seg_detach,
	.wait = view_seg_wait,
	.hide = uffd_hide,
	.hide_commit = uffd_hide_commit,
	.hide_undo = uffd_hide_undo,
	.show = uffd_show,
	.drop = zap,
	.grant = uffd_grant,
	.keep = uffd_keep,
};

const struct view_ops view_uffd_ops = {
	.host_init = uffd_host_init,
	.host_fini = uffd_host_fini,
	.set_fini = view_real_set_fini,
	.map = view_real_map,
	.unmap = view_real_unmap,
	.hide = view_real_hide,
	.show = view_real_show,
	.drop = view_real_drop,
	.access = view_real_access,
	.is_shown = view_real_is_shown,
	.real = &real_ops,
};
