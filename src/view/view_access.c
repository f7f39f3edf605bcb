/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view_access.c - clo_view_access() where there are mappings: the owner is asked for each page
 * and the bytes are copied while it is granted, under the folio lock, as the engine would map it.
 *
 * Mappings have no part in it. What the VMM has done to its own (unmapped a part and put other
 * memory there, taken rights away) is nothing to an access by offset, and nothing can refuse it but
 * the owner.
 */
#include "view_internal.h"

#include <errno.h>
#include <string.h>

struct page_copy {
	struct view_ask ask;
	uint64_t index;
	size_t in_page, bytes;
	uint8_t *bounce;
	bool write, done;
};

static void copy_grant(void *garg, struct clo_range r, struct clo_pfn base)
{
	struct page_copy *c = garg;
	struct clo_view_set *vs = c->ask.vs;
	uint8_t *page = clo_page_addr(vs->vh->db, clo_pfn(base.n + (c->index - r.start)));

	if (c->write)
		memcpy(page + c->in_page, c->bounce, c->bytes);
	else
		memcpy(c->bounce, page + c->in_page, c->bytes);
	c->done = true;
	/* A page that is wanted in a mapping: a touch there cannot ask. */
	if (vs->vh->level == CLO_VIEW_REMAP)
		view_ask_grant(&c->ask, r, base);
}

int view_real_access(struct clo_view_set *vs, uint64_t off, uint8_t *bounce, size_t bytes,
		     bool write)
{
	struct page_copy c = {
		.ask = { .vs = vs },
		.index = off >> CLO_PAGE_SHIFT,
		.in_page = (size_t)(off & CLO_PAGE_MASK),
		.bytes = bytes,
		.bounce = bounce,
		.write = write,
	};
	int ret;

	/* A page in transition: the one who changes it waits for nobody who could wait here. */
	while ((ret = vs->resolve(vs->owner, c.index, copy_grant, &c)) == -EAGAIN)
		vs->transit(vs->owner, c.index);
	return ret == 0 && !c.done ? -EFAULT : ret;
}
