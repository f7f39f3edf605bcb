/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view_access.c - clo_view_access() where there are mappings: the kernel copies through one of
 * them, so the MMU says what may be reached.
 *
 * The lock of the set is not held while the kernel copies: a missing page waits for the engine,
 * which takes it. A use count keeps the mapping instead.
 */
#include "view_internal.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#define WINDOW_PAGES (1ULL << CLO_MAX_FOLIO_ORDER)

static struct view_map *get_map(struct clo_view_set *vs, uint64_t index)
{
	struct view_map *m;

	clo_mutex_lock(&vs->vh->lock);
	for (m = vs->vh->maps; m; m = m->next_in_host) {
		if (m->set == vs && !m->dying && clo_range_contains(m->r, index)) {
			m->users++;
			break;
		}
	}
	clo_mutex_unlock(&vs->vh->lock);
	return m;
}

static void put_map(struct view_map *m)
{
	struct clo_view_host *vh = m->set->vh;

	clo_mutex_lock(&vh->lock);
	if (--m->users == 0)
		clo_cond_broadcast(&vh->idle);
	clo_mutex_unlock(&vh->lock);
}

struct learn {
	uint64_t index;
	struct clo_pfn pfn;
	bool known;
};

static void learn_grant(void *garg, struct clo_range r, struct clo_pfn base)
{
	struct learn *l = garg;

	l->pfn = clo_pfn(base.n + (l->index - r.start));
	l->known = true;
}

/*
 * No mapping has @index: make one of the whole window that it is in. Files lie in windows of at
 * most 1 GiB, aligned as their index is, so one frame tells where all of them are.
 */
static int make_window(struct clo_view_set *vs, uint64_t index)
{
	uint64_t start = clo_align_down(index, WINDOW_PAGES);
	uint64_t end = start + WINDOW_PAGES < vs->npages ? start + WINDOW_PAGES : vs->npages;
	struct learn l = { .index = index };
	struct clo_view_piece piece;
	struct view_map *m;
	int ret;

	for (;;) {
		ret = vs->resolve(vs->owner, index, learn_grant, &l);
		if (ret != -EAGAIN)
			break;
		clo_relax();
	}
	if (ret)
		return ret;
	if (!l.known)
		return -EFAULT;
	piece = (struct clo_view_piece){
		.r = clo_range(start, clo_align_down(end, vs->vh->unit)),
		.base = clo_pfn(l.pfn.n - (index - start)),
	};
	if (index >= piece.r.end)
		return -EFAULT; /* a tail that is no whole unit cannot be mapped */
	return view_map_add(vs, &piece, 1, true, &m);
}

/* Bytes copied, or -errno. */
static ssize_t copy(uint8_t *at, uint8_t *buf, size_t bytes, bool write)
{
	struct iovec local = { .iov_base = buf, .iov_len = bytes };
	struct iovec view = { .iov_base = at, .iov_len = bytes };
	ssize_t n = write ? process_vm_writev(getpid(), &local, 1, &view, 1, 0)
			  : process_vm_readv(getpid(), &local, 1, &view, 1, 0);

	return n < 0 ? -errno : n;
}

/*
 * The MMU has refused a page. Poison of a private page, or a page that nobody could ask for (REMAP,
 * or a userfaultfd for user mode only): the owner says which. 0: try again.
 */
static int ask_why(struct view_map *m, uint64_t index)
{
	int ret = view_ask(m->set, m, index, false);

	return ret == -EACCES || ret == -ERANGE ? -EFAULT : ret;
}

static int copy_in_map(struct view_map *m, uint64_t off, uint8_t *buf, size_t bytes, bool write)
{
	size_t limit = bytes; /* one page after a failure, to know which page it was */

	while (bytes > 0) {
		uint64_t index = off >> CLO_PAGE_SHIFT;
		size_t in_page = (size_t)(off & CLO_PAGE_MASK);
		size_t rest = (size_t)CLO_PAGE_SIZE - in_page;
		ssize_t n = copy(view_addr(m, index) + in_page, buf, limit < bytes ? limit : bytes,
				 write);

		if (n == -EFAULT && limit > rest && bytes > rest) {
			limit = rest;
			continue;
		}
		if (n == -EFAULT) {
			int ret = ask_why(m, index);

			if (ret)
				return ret;
			continue;
		}
		if (n <= 0)
			return n < 0 ? (int)n : -EFAULT;
		off += (uint64_t)n;
		buf += n;
		bytes -= (size_t)n;
		limit = bytes;
	}
	return 0;
}

int view_real_access(struct clo_view_set *vs, uint64_t off, uint8_t *buf, size_t bytes, bool write)
{
	while (bytes > 0) {
		uint64_t index = off >> CLO_PAGE_SHIFT;
		struct view_map *m = get_map(vs, index);
		size_t n;
		int ret;

		if (!m) {
			ret = make_window(vs, index);
			if (ret)
				return ret == -EACCES || ret == -ERANGE ? -EFAULT : ret;
			continue;
		}
		n = (size_t)(m->r.end * CLO_PAGE_SIZE - off);
		if (n > bytes)
			n = bytes;
		ret = copy_in_map(m, off, buf, n, write);
		put_map(m);
		if (ret)
			return ret;
		off += n;
		buf += n;
		bytes -= n;
	}
	return 0;
}
