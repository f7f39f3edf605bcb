/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/litmus_device.c - a DMA user: refuses when it is told to, and pins what it maps, page by
 * page, as VFIO does.
 */
#include "litmus_run.h"

#include <errno.h>

/* Take the pin of the page off the list, or NULL. */
static struct clo_gmem_pin *take(struct clo_lit_device *d, const struct clo_gmem *gmem,
				 uint64_t offset)
{
	struct clo_gmem_pin *pin = NULL;

	clo_mutex_lock(&d->lock);
	for (unsigned i = 0; i < CLO_LIT_DEVICE_PAGES && !pin; i++) {
		if (d->pins[i].pin && d->pins[i].gmem == gmem && d->pins[i].offset == offset) {
			pin = d->pins[i].pin;
			d->pins[i].pin = NULL;
		}
	}
	clo_mutex_unlock(&d->lock);
	return pin;
}

static bool put(struct clo_lit_device *d, struct clo_gmem_pin *pin, struct clo_gmem *gmem,
		uint64_t offset)
{
	unsigned i = 0;

	clo_mutex_lock(&d->lock);
	while (i < CLO_LIT_DEVICE_PAGES && d->pins[i].pin)
		i++;
	if (i < CLO_LIT_DEVICE_PAGES)
		d->pins[i] = (struct clo_lit_device_pin){ pin, gmem, offset };
	clo_mutex_unlock(&d->lock);
	return i < CLO_LIT_DEVICE_PAGES;
}

static void unpin_range(struct clo_lit_device *d, const struct clo_dma_range *range, uint64_t bytes)
{
	for (uint64_t at = 0; at < bytes; at += CLO_PAGE_SIZE)
		clo_gmem_unpin(take(d, range->gmem, range->gmem_offset + at));
}

int clo_lit_device_map(void *arg, const struct clo_dma_range *range)
{
	struct clo_lit_device *d = arg;

	clo_note("dma map", range->gpa >> CLO_PAGE_SHIFT);
	if (clo_a32_get(&d->refuses) & CLO_LIT_REFUSES_MAP)
		return -EBUSY;
	for (uint64_t at = 0; d->does_pin && range->gmem && at < range->bytes;
	     at += CLO_PAGE_SIZE) {
		uint64_t offset = range->gmem_offset + at;
		struct clo_gmem_pin *pin;
		int ret = clo_gmem_pin_nowait(range->gmem, offset, CLO_PAGE_SIZE, d->listener.name,
					      &pin, NULL);

		if (ret == 0 && !put(d, pin, range->gmem, offset)) {
			clo_gmem_unpin(pin);
			ret = -ENOMEM;
		}
		if (ret) {
			unpin_range(d, range, at);
			return ret;
		}
	}
	return 0;
}

int clo_lit_device_unmap(void *arg, const struct clo_dma_range *range)
{
	struct clo_lit_device *d = arg;

	clo_note("dma unmap", range->gpa >> CLO_PAGE_SHIFT);
	if (clo_a32_get(&d->refuses) & CLO_LIT_REFUSES_UNMAP)
		return -EBUSY;
	if (d->does_pin && range->gmem)
		unpin_range(d, range, range->bytes);
	return 0;
}

void clo_lit_device_release(struct clo_lit_device *d)
{
	for (unsigned i = 0; i < CLO_LIT_DEVICE_PAGES; i++) {
		clo_gmem_unpin(d->pins[i].pin);
		d->pins[i].pin = NULL;
	}
}
