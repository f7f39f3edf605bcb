/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view_owned.c - which parts of a mapping are still ours, where nobody tells (level REMAP).
 *
 * The VMM may unmap a part of its mapping and have memory of its own there, or move a part away.
 * Level UFFD is told; here the kernel is asked (PROCMAP_QUERY on /proc/self/maps, Linux 6.11) each
 * time before something is put over an address or unmapped: it is ours while the pool, or the empty
 * file, is mapped there at the offset that this module gave it. Nothing is remembered: a part that
 * comes back to its place is looked after again.
 *
 * Between the answer and what is done with it another thread of the VMM can change the mapping.
 * Where the kernel cannot be asked everything counts as ours.
 */
#include "view_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* PROCMAP_QUERY: a uapi of Linux 6.11, which older headers do not have. */
struct view_procmap {
	uint64_t size, query_flags, query_addr;
	uint64_t start, end, flags, page_size, offset, inode;
	uint32_t dev_major, dev_minor, name_size, build_id_size;
	uint64_t name, build_id;
};
#define VIEW_PROCMAP_QUERY _IOWR('f', 17, struct view_procmap)
#define QUERY_SHARED       (1ULL << 3)
#define QUERY_OR_NEXT      (1ULL << 4)
#define QUERY_OF_FILE      (1ULL << 5)

/* 0; -ENOENT nothing at @addr or above it; else the kernel cannot be asked. */
static int ask(const struct clo_view_host *vh, uint64_t addr, uint64_t flags,
	       struct view_procmap *q)
{
	*q = (struct view_procmap){ .size = sizeof(*q),
				    .query_flags = QUERY_OR_NEXT | flags,
				    .query_addr = addr };
	if (ioctl(vh->maps_fd, VIEW_PROCMAP_QUERY, q) != 0)
		return clo_fail_errno(CLO_REASON_KERNEL, "/proc/self/maps");
	return 0;
}

static bool is_of(const struct view_procmap *q, const struct view_file *f)
{
	return (q->flags & QUERY_SHARED) != 0 && q->inode == f->inode &&
	       q->dev_major == f->dev_major && q->dev_minor == f->dev_minor;
}

static bool identify(int fd, struct view_file *f)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return false;
	f->inode = st.st_ino;
	f->dev_major = major(st.st_dev);
	f->dev_minor = minor(st.st_dev);
	return true;
}

void view_owned_open(struct clo_view_host *vh)
{
	int cancel = clo_cancel_off();
	struct view_procmap q;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	vh->maps_fd = fd;
	if (fd >= 0 && (ask(vh, 0, 0, &q) != 0 || !identify(vh->empty_fd, &vh->empty_file) ||
			!identify(clo_pagedb_fd(vh->db), &vh->pool_file))) {
		close(fd);
		vh->maps_fd = -1;
	}
	clo_cancel_restore(cancel);
}

void view_owned_close(struct clo_view_host *vh)
{
	if (vh->maps_fd >= 0)
		close(vh->maps_fd);
	vh->maps_fd = -1;
}

/* The part of @x from its start that the answer @q says one thing about; *ours: what it says. */
static struct clo_range judge(const struct view_map *m, struct clo_range x,
			      const struct view_procmap *q, bool *ours)
{
	const struct clo_view_host *vh = m->set->vh;
	uint64_t at = (uintptr_t)view_addr(m, x.start);
	bool in_file = x.start < m->r.end;
	uint64_t off, stop;

	*ours = false;
	stop = x.start + ((q->start > at ? q->start : q->end) - at) / CLO_PAGE_SIZE;
	x.end = stop < x.end ? stop : x.end;
	if (q->start > at)
		return x;
	off = q->offset + (at - q->start);
	if (in_file && x.end > m->r.end)
		x.end = m->r.end;
	if (is_of(q, &vh->empty_file)) {
		*ours = off == (x.start - (in_file ? m->r.start : m->r.end)) * CLO_PAGE_SIZE;
	} else if (in_file && is_of(q, &vh->pool_file)) {
		stop = view_piece_end(m, x.start);
		x.end = stop < x.end ? stop : x.end;
		*ours = off == clo_page_file_off(view_pfn(m, x.start));
	}
	return x;
}

static struct clo_range one_run(const struct view_map *m, struct clo_range x, bool *ours)
{
	struct view_procmap q;
	int ret = ask(m->set->vh, (uintptr_t)view_addr(m, x.start), 0, &q);

	if (ret == 0)
		return judge(m, x, &q, ours);
	*ours = ret != -ENOENT;
	return x;
}

struct clo_range view_owned_run(const struct view_map *m, struct clo_range x, bool *ours)
{
	struct clo_range run;

	*ours = true;
	if (m->set->vh->maps_fd < 0 || clo_broken(CLO_BREAK_VIEW_OWNED))
		return x;
	run = one_run(m, x, ours);
	while (run.end < x.end) {
		bool next_ours;
		struct clo_range next = one_run(m, clo_range(run.end, x.end), &next_ours);

		if (next_ours != *ours)
			break;
		run.end = next.end;
	}
	return run;
}

/* Is the page @index at @addr where a mapping of the set has it? */
static bool in_place(const struct clo_view_set *vs, uint64_t index, uint64_t addr)
{
	for (const struct view_map *m = vs->maps; m; m = m->next_in_set) {
		if (clo_range_contains(m->r, index) && (uintptr_t)view_addr(m, index) == addr)
			return true;
	}
	return false;
}

/* Does @q, of the pool, show a page of @x where it should not be? */
static bool shows(const struct view_map *m, struct clo_range x, const struct view_procmap *q)
{
	uint64_t first = q->offset / CLO_PAGE_SIZE;
	struct clo_range vma = clo_range(first, first + (q->end - q->start) / CLO_PAGE_SIZE);
	uintptr_t direct = (uintptr_t)clo_page_addr(m->set->vh->db, clo_pfn(0));

	if (q->start - q->offset == direct - clo_page_file_off(clo_pfn(0)))
		return false;
	for (uint64_t at = x.start; at < x.end;) {
		uint64_t end = view_piece_end(m, at);
		uint64_t in_file = clo_page_file_off(view_pfn(m, at)) / CLO_PAGE_SIZE;
		struct clo_range met;

		end = end < x.end ? end : x.end;
		met = clo_range_clip(clo_range(in_file, in_file + (end - at)), vma);
		/* Addresses and indexes go together in it, so that its ends speak for it. */
		if (met.start < met.end) {
			uint64_t addr = q->start + (met.start - vma.start) * CLO_PAGE_SIZE;
			uint64_t last = clo_range_len(met) - 1;
			uint64_t index = at + (met.start - in_file);

			if (!in_place(m->set, index, addr) ||
			    !in_place(m->set, index + last, addr + last * CLO_PAGE_SIZE))
				return true;
		}
		at = end;
	}
	return false;
}

bool view_owned_elsewhere(const struct view_map *m, struct clo_range x)
{
	const struct clo_view_host *vh = m->set->vh;
	struct view_procmap q;

	for (uint64_t at = 0; ask(vh, at, QUERY_OF_FILE, &q) == 0; at = q.end) {
		if (is_of(&q, &vh->pool_file) && shows(m, x, &q))
			return true;
	}
	return false;
}
