/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/test_conv_dma.c - DMA listeners: what they are told and in which order; a refusal at each
 * position puts all of them back.
 */
#include "conv/conv.h"

#include "harness/engine.h"

#include <stdio.h>

#define PAGES     16U
#define LISTENERS 3U

/* A device: which pages of the machine it has mapped; it pins them when it is told to. */
struct device {
	struct clo_dma_listener l;
	struct eng *e;
	char name[8];
	bool mapped[PAGES];
	unsigned maps, unmaps;
	unsigned refuse_map, refuse_unmap; /* the n-th call from now; 0: none */
	int refusal;
	bool pins;
	struct clo_gmem_pin *pin[PAGES];
	struct clo_dma_range last;
};

static unsigned page_of(const struct clo_dma_range *r)
{
	return (unsigned)((r->gpa - E_GPA) / E_PAGE);
}

static int device_map(void *arg, const struct clo_dma_range *r)
{
	struct device *d = arg;
	unsigned first = page_of(r), pages = (unsigned)(r->bytes / E_PAGE);

	d->maps++;
	d->last = *r;
	if (d->refuse_map && --d->refuse_map == 0)
		return d->refusal;
	for (unsigned i = first; i < first + pages; i++) {
		CHECK_MSG(!d->mapped[i], "%s: page %u is mapped twice", d->name, i);
		d->mapped[i] = true;
		if (d->pins)
			CHECK_OK(clo_gmem_pin_nowait(d->e->gmem,
						     r->gmem_offset + (i - first) * E_PAGE, E_PAGE,
						     d->name, &d->pin[i], NULL));
	}
	return 0;
}

static int device_unmap(void *arg, const struct clo_dma_range *r)
{
	struct device *d = arg;
	unsigned first = page_of(r), pages = (unsigned)(r->bytes / E_PAGE);

	d->unmaps++;
	d->last = *r;
	if (d->refuse_unmap && --d->refuse_unmap == 0)
		return d->refusal;
	for (unsigned i = first; i < first + pages; i++) {
		CHECK_MSG(d->mapped[i], "%s: page %u is not mapped", d->name, i);
		d->mapped[i] = false;
		clo_gmem_unpin(d->pin[i]);
		d->pin[i] = NULL;
	}
	return 0;
}

/* @mapped: what is shared now. */
static void device_open(struct device *d, struct eng *e, unsigned n, bool pins)
{
	*d = (struct device){ .e = e, .refusal = -ENOSPC, .pins = pins };
	snprintf(d->name, sizeof(d->name), "dma%u", n);
	d->l = (struct clo_dma_listener){ .size = sizeof(struct clo_dma_listener),
					  .name = d->name,
					  .map = device_map,
					  .unmap = device_unmap,
					  .arg = d };
	for (unsigned i = 0; i < PAGES; i++)
		d->mapped[i] = !eng_is_private(e, i);
	CHECK_OK(clo_vm_add_dma_listener(e->vm, &d->l));
}

static void devices_agree(struct device *d, unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		for (unsigned i = 0; i < PAGES; i++)
			CHECK_MSG(d[k].mapped[i] != eng_is_private(d[k].e, i),
				  "%s and page %u differ", d[k].name, i);
	}
}

TEST(listeners_are_added_once_and_removed)
{
	struct device d;
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	device_open(&d, &e, 0, false);
	CHECK_ERR(clo_vm_add_dma_listener(e.vm, &d.l), -EEXIST);
	CHECK_OK(clo_vm_remove_dma_listener(e.vm, &d.l));
	CHECK_ERR(clo_vm_remove_dma_listener(e.vm, &d.l), -ENOENT);
	clo_alloc_fail_at(1);
	CHECK_ERR(clo_vm_add_dma_listener(e.vm, &d.l), -ENOMEM);
	clo_alloc_fail_at(0);
	CHECK_ERR(clo_vm_remove_dma_listener(e.vm, &d.l), -ENOENT);
	eng_close(&e);
}

/* A device must not meet a memory error unprepared; what was made for it before is gone again. */
TEST(a_page_with_a_memory_error_is_not_given_to_a_device)
{
	struct clo_convert c = eng_range(0, 4, 0);
	struct device d;
	struct clo_pfn pfn;
	struct eng e;

	eng_open(&e,
		 (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM, .gmem_flags = CLO_GMEM_MMAP });
	device_open(&d, &e, 0, true);
	CHECK_OK(eng_store(&e, 2, 0, 7));
	CHECK(clo_gmem_pfn(e.gmem, 2, &pfn));
	clo_page_set_poison(e.host->db, pfn, true);
	CHECK_ERR(clo_vm_convert(e.vm, &c), -EHWPOISON);
	CHECK_EQ(c.error_gpa, E_GPA + 2 * E_PAGE);
	CHECK_EQ(eng_frames(&e), 1);
	CHECK_EQ(d.maps, 0);
	devices_agree(&d, 1);
	clo_page_set_poison(e.host->db, pfn, false);
	CHECK_OK(clo_vm_convert(e.vm, &c));
	CHECK_EQ(eng_byte(&e, 2, 0), 7);
	CHECK_EQ(eng_frames(&e), 4);
	CHECK_OK(eng_convert(&e, 0, 4, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(clo_vm_remove_dma_listener(e.vm, &d.l));
	eng_close(&e);
}

TEST(in_place_only_runs_that_change_are_told)
{
	struct device d;
	struct eng e;

	eng_open(&e,
		 (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM, .gmem_flags = CLO_GMEM_MMAP });
	CHECK_OK(eng_convert(&e, 4, 2, 0));
	device_open(&d, &e, 0, true);
	CHECK_OK(eng_convert(&e, 2, 6, 0));
	CHECK_EQ(d.maps, 2); /* 2-3 and 6-7 */
	CHECK(d.last.gmem == e.gmem && d.last.hva == 0);
	CHECK_EQ(d.last.gpa, E_GPA + 6 * E_PAGE);
	CHECK_EQ(d.last.bytes, 2 * E_PAGE);
	CHECK_EQ(d.last.gmem_offset, 6 * E_PAGE);
	/* Nothing changes, nobody is told. */
	CHECK_OK(eng_convert(&e, 2, 6, 0));
	CHECK_EQ(d.maps, 2);
	/* Its pins do not stand in the way: it is told first. (4 and 5 were mapped before it came.)
	 */
	CHECK_OK(eng_convert(&e, 2, 2, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(d.unmaps, 1);
	devices_agree(&d, 1);
	/* A dry run tells nobody. KVM's own call neither. */
	CHECK_OK(eng_convert(&e, 0, 2, CLO_CONVERT_DRY_RUN));
	CHECK_OK(clo_gmem_set_attributes(e.gmem, 0, E_PAGE, 0, NULL));
	CHECK_EQ(d.maps, 2);
	CHECK_OK(eng_convert(&e, 0, 1, CLO_CONVERT_TO_PRIVATE | CLO_CONVERT_DRY_RUN));
	CHECK_EQ(d.unmaps, 1);
	for (unsigned i = 0; i < PAGES; i++)
		clo_gmem_unpin(d.pin[i]);
	eng_close(&e);
}

TEST(two_backings_are_told_with_the_address_of_the_vmm)
{
	struct device d;
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	device_open(&d, &e, 0, false);
	CHECK_OK(eng_convert(&e, 2, 4, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(d.unmaps, 1);
	CHECK(d.last.gmem == NULL);
	CHECK_EQ(d.last.hva, (uintptr_t)e.user + 2 * E_PAGE);
	CHECK_EQ(d.last.bytes, 4 * E_PAGE);
	CHECK_OK(eng_convert(&e, 0, PAGES, 0));
	CHECK_EQ(d.maps, 1);
	CHECK_EQ(d.last.gpa, E_GPA + 2 * E_PAGE);
	/* KVM's call tells nobody. */
	CHECK_OK(clo_vm_set_attributes(e.vm, E_GPA, E_PAGE, CLO_ATTR_PRIVATE));
	CHECK_EQ(d.unmaps, 1);
	eng_close(&e);
}

/* The shared side of a file that can be mapped is the file, whoever owns the attribute; of one
 * that cannot, the VMM's memory. */
TEST(the_side_that_is_told_is_the_one_that_the_guest_uses)
{
	struct device d;
	struct eng e;

	eng_open(&e, (struct eng_config){ .gmem_flags = CLO_GMEM_MMAP });
	device_open(&d, &e, 0, false);
	CHECK_OK(eng_convert(&e, 2, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK(d.last.gmem == e.gmem);
	CHECK_EQ(d.last.gmem_offset, 2 * E_PAGE);
	eng_close(&e);

	eng_open(&e, (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM });
	device_open(&d, &e, 0, false);
	CHECK_OK(eng_convert(&e, 2, 1, 0));
	CHECK(d.last.gmem == NULL);
	CHECK_EQ(d.last.hva, (uintptr_t)e.user + 2 * E_PAGE);
	/* Nor is memory taken for file pages that no device uses. */
	CHECK_EQ(eng_frames(&e), 0);
	eng_close(&e);
}

static void refuse_everywhere(struct eng_config cfg, bool to_private)
{
	uint32_t flags = to_private ? CLO_CONVERT_TO_PRIVATE : 0;
	unsigned ranges = 2; /* told to each: page 5 of the range has the new kind already */

	for (unsigned who = 0; who < LISTENERS; who++) {
		for (unsigned n = 1; n <= ranges; n++) {
			struct device d[LISTENERS];
			struct clo_convert c = eng_range(4, 4, flags);
			struct eng e;

			eng_open(&e, cfg);
			CHECK_OK(
				eng_convert(&e, 0, PAGES, to_private ? 0 : CLO_CONVERT_TO_PRIVATE));
			for (unsigned i = 0; i < PAGES; i++)
				CHECK_OK(eng_store(&e, i, 0, (uint8_t)(i + 1)));
			CHECK_OK(eng_convert(&e, 5, 1, flags));
			CHECK_OK(eng_store(&e, 5, 0, 6));
			for (unsigned i = 0; i < LISTENERS; i++)
				device_open(&d[i], &e, i, false);
			d[who].refuse_map = to_private ? 0 : n;
			d[who].refuse_unmap = to_private ? n : 0;
			CHECK_ERR(clo_vm_convert(e.vm, &c), -ENOSPC);
			CHECK_STR(c.holder, d[who].name);
			devices_agree(d, LISTENERS);
			eng_check(&e);
			for (unsigned i = 0; i < PAGES; i++) {
				CHECK_EQ(eng_is_private(&e, i), (i == 5) == to_private);
				CHECK_EQ(eng_byte(&e, i, 0), i + 1);
			}
			CHECK_OK(clo_vm_convert(e.vm, &c));
			devices_agree(d, LISTENERS);
			CHECK_EQ(eng_stats(&e).conversions_failed, 1);
			eng_close(&e);
		}
	}
}

TEST(a_refusal_at_each_position_in_place)
{
	struct eng_config c = { .owner = CLO_ATTR_OWNER_GMEM, .gmem_flags = CLO_GMEM_MMAP };

	refuse_everywhere(c, true);
	refuse_everywhere(c, false);
	c.gmem_flags |= CLO_GMEM_NO_DIRECT_MAP;
	refuse_everywhere(c, false);
}

TEST(a_refusal_at_each_position_between_backings)
{
	refuse_everywhere((struct eng_config){ 0 }, true);
	refuse_everywhere((struct eng_config){ 0 }, false);
}

/* What is zeroed on the way comes back when the conversion is undone. */
TEST(a_refusal_gives_zeroed_content_back)
{
	struct device d;
	struct eng e;

	eng_open(&e, (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM,
					  .gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_ZERO_ON_CONVERT });
	for (unsigned i = 0; i < 4; i++)
		CHECK_OK(eng_store(&e, i, 0, (uint8_t)(i + 1)));
	device_open(&d, &e, 0, true);
	d.refuse_map = 1;
	CHECK_ERR(eng_convert(&e, 0, 8, 0), -ENOSPC);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(eng_byte(&e, i, 0), i + 1);
	for (unsigned i = 4; i < 8; i++)
		CHECK_EQ(eng_byte(&e, i, 0), 0);
	CHECK_OK(eng_convert(&e, 0, 8, 0));
	CHECK_EQ(eng_byte(&e, 0, 0), 0);
	CHECK_OK(eng_convert(&e, 0, 8, CLO_CONVERT_TO_PRIVATE));
	eng_close(&e);
}

/* A listener that maps, refuses the second range, and then keeps its pin though it was told to
 * unmap: the page cannot be private again. */
static int keep_pinned(void *arg, const struct clo_dma_range *r)
{
	(void)arg;
	(void)r;
	return -EBUSY;
}

TEST(a_listener_that_keeps_its_pin_is_counted)
{
	struct device d;
	struct clo_leak_report report = { .size = sizeof(report) };
	struct eng e;

	eng_open(&e,
		 (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM, .gmem_flags = CLO_GMEM_MMAP });
	CHECK_OK(eng_store(&e, 4, 0, 5));
	CHECK_OK(eng_convert(&e, 5, 1, 0));
	device_open(&d, &e, 0, true);
	CHECK_OK(clo_vm_remove_dma_listener(e.vm, &d.l));
	d.l.unmap = keep_pinned;
	CHECK_OK(clo_vm_add_dma_listener(e.vm, &d.l));
	d.refuse_map = 2;
	CHECK_ERR(eng_convert(&e, 4, 3, 0), -ENOSPC);
	CHECK_OK(clo_vm_report(e.vm, &report));
	CHECK_EQ(report.undo_failures, 2); /* the listener's, and the conversion's */
	CHECK(!eng_is_private(&e, 4));
	CHECK_EQ(eng_byte(&e, 4, 0), 5);
	eng_check(&e);
	clo_gmem_unpin(d.pin[4]);
	eng_close(&e);
}

/* Told to unmap, then a foreign pin is met: the devices get their pages back. */
TEST(a_pin_after_the_unmap_puts_the_listeners_back)
{
	struct device d[2];
	struct clo_gmem_pin *pin;
	struct clo_convert c = eng_range(0, PAGES, CLO_CONVERT_TO_PRIVATE);
	struct eng e;

	eng_open(&e, (struct eng_config){ .owner = CLO_ATTR_OWNER_GMEM,
					  .gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED });
	CHECK_OK(clo_gmem_pin(e.gmem, 3 * E_PAGE, E_PAGE, "nic", &pin, NULL));
	device_open(&d[0], &e, 0, false);
	device_open(&d[1], &e, 1, false);
	CHECK_ERR(clo_vm_convert(e.vm, &c), -EAGAIN);
	CHECK_STR(c.holder, "nic");
	CHECK_EQ(c.error_gpa, E_GPA + 3 * E_PAGE);
	devices_agree(d, 2);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(d[i].unmaps, 1);
		CHECK_EQ(d[i].maps, 1);
	}
	clo_gmem_unpin(pin);
	CHECK_OK(clo_vm_convert(e.vm, &c));
	devices_agree(d, 2);
	eng_close(&e);
}

/* Every allocation of a conversion with listeners fails once: nothing has changed, for them
 * either. */
static void starve(struct eng_config cfg, bool to_private)
{
	uint32_t flags = to_private ? CLO_CONVERT_TO_PRIVATE : 0;
	bool done = false;

	for (uint64_t n = 1; !done; n++) {
		struct clo_convert c = eng_range(1, 13, flags);
		struct device d[2];
		struct eng e;
		int ret;

		eng_open(&e, cfg);
		CHECK_OK(eng_convert(&e, 0, PAGES, to_private ? 0 : CLO_CONVERT_TO_PRIVATE));
		for (unsigned i = 0; i < PAGES; i += 3)
			CHECK_OK(eng_store(&e, i, 0, (uint8_t)(i + 1)));
		for (unsigned i = 2; i < PAGES; i += 4)
			CHECK_OK(eng_convert(&e, i, 1, flags));
		for (unsigned i = 0; i < 2; i++)
			device_open(&d[i], &e, i, false);
		clo_alloc_fail_at(n);
		ret = clo_vm_convert(e.vm, &c);
		clo_alloc_fail_at(0);
		done = ret == 0;
		if (!done)
			CHECK_ERR(ret, -ENOMEM);
		devices_agree(d, 2);
		eng_check(&e);
		for (unsigned i = 0; !done && i < PAGES; i++) {
			CHECK_EQ(eng_is_private(&e, i), (i % 4 == 2) == to_private);
			if (i % 3 == 0 && i % 4 != 2)
				CHECK_EQ(eng_byte(&e, i, 0), i + 1);
		}
		eng_close(&e);
		CHECK(n < 500);
	}
}

TEST(every_allocation_fails_once_with_listeners)
{
	struct eng_config in_place = { .owner = CLO_ATTR_OWNER_GMEM, .gmem_flags = CLO_GMEM_MMAP };
	struct eng_config zero = in_place;

	zero.gmem_flags |= CLO_GMEM_ZERO_ON_CONVERT;
	starve(in_place, true);
	starve(in_place, false);
	starve((struct eng_config){ 0 }, true);
	starve((struct eng_config){ 0 }, false);
	starve(zero, true);
	starve(zero, false);
}
