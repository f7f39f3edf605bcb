/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/conv_inplace.c - the file owns the attribute: the same frame is shared, then private, then shared.
 *
 * All that can fail comes before conv_stage2_begin(), but for a DMA listener that refuses to map pages that have become shared: the device
 * can only be asked then. For that case everything needed to turn back was set aside before (conv_dma, conv_frames_save), the range
 * stays locked, and vCPUs and host touches wait on the invalidation until the answer is there.
 */
#include "conv_internal.h"

#include <errno.h>

static void gmem_begin(struct conv *c)
{
	for (unsigned i = 0; i < c->seg_count; i++)
		clo_inval_begin(clo_gmem_inval(c->segs[i].g), c->segs[i].work);
}

static void gmem_end(struct conv *c)
{
	for (unsigned i = 0; i < c->seg_count; i++)
		clo_inval_end(clo_gmem_inval(c->segs[i].g), c->segs[i].work);
}

static int reserve(struct conv *c)
{
	int ret = 0;

	for (unsigned i = 0; i < c->seg_count && ret == 0; i++) {
		struct conv_seg *seg = &c->segs[i];

		ret = clo_attr_prepare(clo_gmem_attr(seg->g), seg->index, &seg->attr);
		if (ret == 0)
			ret = conv_frames_prepare(seg);
		if (ret)
			conv_fail_at(c, seg->g, seg->index.start);
	}
	return ret ? ret : conv_dma_collect_inplace(c);
}

/* A device maps what is there: pages that do not exist yet are made first, still private, as its pin would make them. */
static int populate(struct conv *c)
{
	for (unsigned i = 0; i < c->dma.run_count; i++) {
		const struct conv_run *run = &c->dma.runs[i];
		struct clo_gmem *g = NULL;

		for (unsigned k = 0; k < c->seg_count; k++) {
			if (clo_gmem_attr(c->segs[k].g) == run->attr)
				g = c->segs[k].g;
		}
		for (uint64_t at = run->pages.start; at < run->pages.end;) {
			struct clo_pfn pfn;
			unsigned order;
			int ret = clo_gmem_get_folio(g, at, clo_gfn(at), true, &pfn, &order);

			if (ret == -EAGAIN) {
				clo_relax();
				continue;
			}
			if (ret) {
				conv_fail_at(c, g, at);
				return ret;
			}
			at++;
		}
	}
	return 0;
}

static int lock_frames(struct conv *c)
{
	for (unsigned i = 0; i < c->seg_count; i++) {
		int ret = conv_frames_lock(c, &c->segs[i]);

		if (ret) {
			while (i-- > 0)
				conv_frames_forget(&c->segs[i]);
			return ret;
		}
	}
	return 0;
}

/* Begin the files' invalidation and collect the folios; wait for pins as long as the caller allows. On failure neither is held. */
static int collect_frames(struct conv *c)
{
	uint64_t deadline = c->wait_ns ? clo_now_ns() + c->wait_ns : 0;

	for (;;) {
		uint64_t seen[1] = { 0 };
		int ret;

		for (unsigned i = 0; i < c->seg_count; i++)
			seen[0] += clo_gmem_unpin_count(c->segs[i].g);
		gmem_begin(c);
		ret = lock_frames(c);
		if (ret == 0)
			return 0;
		gmem_end(c);
		if (ret != -EAGAIN || deadline == 0)
			return ret;
		/* An unpin of another file than the blamed one changes nothing for this wait. */
		if (!clo_gmem_wait_unpin(c->err_gmem, clo_gmem_unpin_count(c->err_gmem), deadline))
			return ret;
	}
}
