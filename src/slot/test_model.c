/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slot/test_model.c - random requests against a table of gfns, and many slots.
 */
#include "slot/test_fixture.h"

#define IDS  12U
#define GFNS 64U

struct model_slot {
	bool used, has_file;
	uint64_t gfn, npages, hva, index;
	uint32_t flags;
};

struct model {
	struct fixture f;
	struct clo_gmem *g;
	struct model_slot slot[IDS];
};

/* Id of the slot that covers @gfn, other than @skip; IDS = none. */
static uint32_t m_at(const struct model *m, uint64_t gfn, uint32_t skip)
{
	for (uint32_t i = 0; i < IDS; i++) {
		const struct model_slot *s = &m->slot[i];

		if (i != skip && s->used && gfn >= s->gfn && gfn < s->gfn + s->npages)
			return i;
	}
	return IDS;
}

static bool m_bound(const struct model *m, uint64_t index)
{
	for (uint32_t i = 0; i < IDS; i++) {
		const struct model_slot *s = &m->slot[i];

		if (s->used && s->has_file && index >= s->index && index < s->index + s->npages)
			return true;
	}
	return false;
}

/* What KVM says, one question after the other. */
static int m_wanted(const struct model *m, uint32_t id, const struct model_slot *r)
{
	const struct model_slot *old = &m->slot[id];

	if (r->has_file && r->flags)
		return -EINVAL;
	if (r->npages == 0)
		return old->used ? 0 : -EINVAL;
	if (old->used) {
		if (r->has_file || old->has_file || r->npages != old->npages ||
		    r->hva != old->hva || (r->flags ^ old->flags) & CLO_MEM_READONLY)
			return -EINVAL;
	}
	for (uint64_t gfn = r->gfn; gfn < r->gfn + r->npages; gfn++) {
		if (m_at(m, gfn, id) != IDS)
			return -EEXIST;
	}
	if (r->has_file && r->index + r->npages > 16)
		return -EINVAL;
	for (uint64_t i = r->index; r->has_file && i < r->index + r->npages; i++) {
		if (m_bound(m, i))
			return -EEXIST;
	}
	return 0;
}

static void m_compare(struct model *m)
{
	size_t count = 0;

	for (uint32_t i = 0; i < IDS; i++)
		count += m->slot[i].used;
	CHECK_EQ(clo_slots_count(m->f.s), count);
	for (uint64_t gfn = 0; gfn < GFNS + 8; gfn++) {
		uint32_t id = m_at(m, gfn, IDS);
		struct clo_slot got = at(&m->f, 0, gfn);

		if (id == IDS) {
			CHECK_EQ(got.id, UINT32_MAX);
			continue;
		}
		CHECK_EQ(got.id, id);
		CHECK_EQ(got.flags & ~CLO_MEM_GUEST_MEMFD, m->slot[id].flags);
		CHECK_EQ(got.gfns.start, m->slot[id].gfn);
		CHECK_EQ(clo_range_len(got.gfns), m->slot[id].npages);
		CHECK_EQ(got.binding != NULL, m->slot[id].has_file);
	}
}

static void m_step(struct model *m, struct clo_rand *r)
{
	uint32_t id = (uint32_t)clo_rand_below(r, IDS);
	struct model_slot want = {
		.used = true,
		.gfn = clo_rand_below(r, GFNS),
		.npages = clo_rand_below(r, 8),
		.hva = 16 + clo_rand_below(r, 2),
		.flags = (uint32_t)clo_rand_below(r, 4),
		.has_file = clo_rand_below(r, 3) == 0,
		.index = clo_rand_below(r, 16),
	};
	struct clo_region region_wanted;
	int ret;

	if (m->slot[id].used &&
	    clo_rand_below(r, 2)) { /* near what is there, so that changes happen */
		want.npages = m->slot[id].npages;
		want.hva = m->slot[id].hva;
		want.has_file = false;
	}
	if (want.has_file && clo_rand_below(r, 2))
		want.flags = 0;
	region_wanted = region(id, want.gfn, want.npages, want.hva);
	region_wanted.flags = want.flags | (want.has_file ? CLO_MEM_GUEST_MEMFD : 0);
	region_wanted.gmem = m->g;
	region_wanted.guest_memfd_offset = want.index * PAGE;
	ret = m_wanted(m, id, &want);
	CHECK_ERR(set(&m->f, region_wanted), ret);
	if (ret)
		return;
	if (want.npages == 0)
		want.used = false;
	m->slot[id] = want;
}

TEST(random_against_model)
{
	struct clo_rand r = { test_seed() };
	struct model m = { .g = NULL };

	fixture_open(&m.f, 1, ALL_FLAGS);
	m.g = file_open(&m.f, 16, 0, OWNER);
	for (unsigned i = 0; i < 4000; i++) {
		m_step(&m, &r);
		m_compare(&m);
	}
	clo_gmem_release(m.g);
	fixture_close(&m.f);
}

/* QEMU plugs hundreds. Holes of one page between them, in no order. */
TEST(many_slots)
{
	struct fixture f;

	fixture_open(&f, 1, ALL_FLAGS);
	for (uint32_t i = 0; i < 509; i++) {
		uint32_t id = i * 200 % 509;

		CHECK_OK(set(&f, region(id, 1 + id * 4ULL, 3, 16 + id)));
	}
	CHECK_EQ(clo_slots_count(f.s), 509);
	for (uint64_t gfn = 0; gfn < 509 * 4 + 8; gfn++) {
		struct clo_slot slot = at(&f, 0, gfn);

		if (gfn % 4 == 0 || gfn > 509 * 4)
			CHECK_EQ(slot.id, UINT32_MAX);
		else
			CHECK_EQ(slot.id, gfn / 4);
	}
	for (uint32_t i = 0; i < 509; i++)
		CHECK_OK(set(&f, region(i * 31 % 509, 0, 0, 0)));
	CHECK_EQ(clo_slots_count(f.s), 0);
	CHECK_EQ(f.flushes, 509U);
	fixture_close(&f);
}
