/* SPDX-License-Identifier: Apache-2.0 */
/* view/test_view_access.c - clo_view_access, failing allocations and failing owners, at each level.
 */
#include "view_test.h"

#define PAGE ((size_t)CLO_PAGE_SIZE)

static void no_resolve_grant(void *garg, struct clo_range r, struct clo_pfn base)
{
	(void)garg, (void)r, (void)base;
}

static void access_by_offset(enum clo_view_level level, bool mapped)
{
	struct owner o;
	uint8_t buf[3 * 4096], back[3 * 4096];

	owner_open(&o, level, 16);
	if (mapped)
		(void)owner_map(&o);
	memset(buf, 0x5a, sizeof(buf));
	CHECK_OK(clo_view_access(o.vs, 100, buf, sizeof(buf), true));
	CHECK_OK(clo_view_access(o.vs, 100, back, sizeof(back), false));
	CHECK_MEM(buf, back, sizeof(buf));
	CHECK_EQ(owner_page(&o, 1)[0], 0x5a);
	CHECK_OK(owner_convert(&o, clo_range(1, 2), true));
	CHECK_ERR(clo_view_access(o.vs, 100, back, sizeof(back), false), -EFAULT);
	CHECK_ERR(clo_view_access(o.vs, PAGE, buf, 1, true), -EFAULT);
	CHECK_OK(clo_view_access(o.vs, PAGE - 1, buf, 1, true));
	CHECK_OK(clo_view_access(o.vs, 0, buf, 0, true));
	CHECK_ERR(clo_view_access(o.vs, 16 * PAGE - 1, buf, 2, false), -EFAULT);
	CHECK_ERR(clo_view_access(o.vs, UINT64_MAX, buf, 2, false), -EFAULT);
	clo_a32_set(&o.fail, ENOMEM);
	CHECK_ERR(clo_view_access(o.vs, 9 * PAGE, buf, 1, false), -ENOMEM);
	clo_a32_set(&o.fail, EHWPOISON);
	CHECK_ERR(clo_view_access(o.vs, 10 * PAGE, buf, 1, false), -EHWPOISON);
	clo_a32_set(&o.fail, 0);
	CHECK_OK(clo_view_access(o.vs, 9 * PAGE, back, 1, false));
	CHECK_OK(owner_convert(&o, clo_range(1, 2), false));
	CHECK_OK(clo_view_access(o.vs, 100, back, sizeof(back), false));
	CHECK_MEM(buf, back, sizeof(buf));
	owner_close(&o);
}
TEST(uffd_access)
{
	access_by_offset(CLO_VIEW_UFFD, true);
}
TEST(uffd_access_no_mapping)
{
	access_by_offset(CLO_VIEW_UFFD, false);
}
TEST(remap_access_no_mapping)
{
	access_by_offset(CLO_VIEW_REMAP, false);
}
TEST(soft_access)
{
	access_by_offset(CLO_VIEW_SOFT, false);
}

TEST(remap_access_private_from_start)
{
	struct owner o;
	uint8_t byte;

	owner_open(&o, CLO_VIEW_REMAP, 4);
	CHECK_OK(owner_convert(&o, clo_range(0, 4), true));
	CHECK_ERR(clo_view_access(o.vs, 0, &byte, 1, false), -EFAULT);
	(void)owner_map(&o);
	CHECK_ERR(clo_view_access(o.vs, 0, &byte, 1, false), -EFAULT);
	owner_close(&o);
}

/* A page refused for want of memory is not lost: the next touch asks again. */
TEST(uffd_resolve_errors)
{
	static const uint32_t errors[] = { ENOMEM, EHWPOISON };
	struct clo_view_stats s;
	struct owner o;
	uint8_t *v;

	owner_open(&o, CLO_VIEW_UFFD, 8);
	touch_init();
	v = owner_map(&o);
	for (uint64_t i = 0; i < CLO_ARRAY_SIZE(errors); i++) {
		clo_a32_set(&o.fail, errors[i]);
		CHECK_EQ(touch_load(v + i * PAGE), -1);
	}
	clo_a32_set(&o.fail, 0);
	while (touch_load(v) == -1) /* the time limit of the test ends this */
		clo_relax();
	CHECK_EQ(touch_load(v), 0);
	CHECK_EQ(touch_load(v + PAGE), -1);
	clo_view_stats(o.vs, &s);
	CHECK_LE(2, s.refused_faults);
	owner_close(&o);
}

static void map_errors(enum clo_view_level level)
{
	struct clo_view_piece p[2] = { { clo_range(0, 4), clo_pfn(0) },
				       { clo_range(4, 8), clo_pfn(4) } };
	struct owner o;
	void *addr;

	owner_open(&o, level, 8);
	p[0].base.n += o.base.n;
	p[1].base.n += o.base.n;
	CHECK_ERR(clo_view_map(o.vs, p, 0, NULL, 0, &addr), -EINVAL);
	p[0].r = clo_range(8, 9);
	p[1].r = clo_range(9, 10);
	CHECK_ERR(clo_view_map(o.vs, p, 2, NULL, 0, &addr), -EINVAL); /* only the last may */
	p[0].r = clo_range(0, 4);
	p[1].r = clo_range(5, 8);
	CHECK_ERR(clo_view_map(o.vs, p, 2, NULL, 0, &addr), -EINVAL);
	p[1].r = clo_range(4, 9);
	CHECK_ERR(clo_view_map(o.vs, p, 2, NULL, 0, &addr), -EINVAL);
	p[1].r = clo_range(4, 4);
	CHECK_ERR(clo_view_map(o.vs, p, 2, NULL, 0, &addr), -EINVAL);
	p[1].r = clo_range(4, 8);
	clo_alloc_fail_at(1);
	CHECK_ERR(clo_view_map(o.vs, p, 2, NULL, 0, &addr), -ENOMEM);
	clo_alloc_fail_at(0);
	CHECK_OK(clo_view_map(o.vs, p, 2, NULL, 0, &addr));
	((uint8_t *)addr)[7 * PAGE] = 9;
	CHECK_EQ(owner_page(&o, 7)[0], 9);
	owner_close(&o);
}
TEST(uffd_map_errors)
{
	map_errors(CLO_VIEW_UFFD);
}
TEST(remap_map_errors)
{
	map_errors(CLO_VIEW_REMAP);
}

TEST(soft_has_no_mappings)
{
	struct clo_view_piece p = { clo_range(0, 4), clo_pfn(0) };
	struct clo_view_stats s;
	struct owner o;
	uint8_t byte = 1;
	void *addr;

	owner_open(&o, CLO_VIEW_SOFT, 4);
	CHECK_ERR(clo_view_map(o.vs, &p, 1, NULL, 0, &addr), -ENODEV);
	CHECK_ERR(clo_view_unmap(o.vs, o.vs, 4, &(struct clo_range){ 0 }), -EINVAL);
	CHECK(!clo_view_is_shown(o.vs, 1));
	CHECK(!clo_view_is_shown(o.vs, 4));
	CHECK_OK(clo_view_access(o.vs, PAGE, &byte, 1, true));
	CHECK(clo_view_is_shown(o.vs, 1));
	CHECK_OK(clo_view_hide(o.vs, clo_range(1, 2)));
	CHECK(!clo_view_is_shown(o.vs, 1));
	CHECK_OK(clo_view_access(o.vs, PAGE, &byte, 1, true));
	clo_view_drop(o.vs, clo_range(0, 4));
	CHECK(!clo_view_is_shown(o.vs, 1));
	clo_view_stats(o.vs, &s);
	CHECK_EQ(s.mappings, 0);
	CHECK_EQ(s.resolved_faults, 2);
	owner_close(&o);
}

/* A file of the greatest size costs nothing until it is touched. */
TEST(soft_huge_file)
{
	struct clo_view_set *vs;
	struct owner o;
	uint8_t byte;

	owner_open(&o, CLO_VIEW_SOFT, 4);
	CHECK_OK(clo_view_set_create(o.vh, (1ULL << 51) - 1, owner_resolve, &o, &vs));
	CHECK_OK(clo_view_hide(vs, clo_range(0, UINT64_MAX)));
	clo_view_show(vs, clo_range(0, UINT64_MAX));
	/* Far from the page that was touched, and in the middle of a word. */
	CHECK_OK(clo_view_access(vs, 0, &byte, 1, false));
	CHECK_OK(clo_view_hide(vs, clo_range((1ULL << 50) + 1, (1ULL << 50) + 3)));
	clo_view_drop(vs, clo_range((1ULL << 40) + 63, 1ULL << 50));
	CHECK(clo_view_is_shown(vs, 0));
	clo_view_set_destroy(vs);
	clo_alloc_fail_at(1);
	CHECK_ERR(clo_view_set_create(o.vh, 1, owner_resolve, &o, &vs), -ENOMEM);
	clo_alloc_fail_at(0);
	owner_close(&o);
}

/* The n-th allocation fails, for each n until none does; whatever was done is taken back. */
static void every_allocation(enum clo_view_level level)
{
	uint64_t live = clo_alloc_live();
	struct owner o;

	owner_open(&o, level, 4);
	for (uint64_t n = 1;; n++) {
		struct clo_view_piece p = { clo_range(0, 4), o.base };
		uint64_t before = clo_alloc_live();
		uint8_t byte = 1;
		void *addr;
		int ret, ret2;

		clo_alloc_fail_at(n);
		ret = clo_view_access(o.vs, 0, &byte, 1, true);
		ret2 = level == CLO_VIEW_SOFT ? 0 : clo_view_map(o.vs, &p, 1, NULL, 0, &addr);
		clo_alloc_fail_at(0);
		if (ret == 0 && ret2 == 0)
			break;
		CHECK(ret == 0 || ret == -ENOMEM);
		CHECK(ret2 == 0 || ret2 == -ENOMEM);
		if (ret && ret2)
			CHECK_EQ(clo_alloc_live(), before);
		if (ret2 == 0 && level != CLO_VIEW_SOFT)
			CHECK_OK(clo_view_unmap(o.vs, addr, 4, &(struct clo_range){ 0 }));
	}
	owner_close(&o);
	CHECK_EQ(clo_alloc_live(), live);
}
TEST(uffd_every_allocation)
{
	every_allocation(CLO_VIEW_UFFD);
}
TEST(remap_every_allocation)
{
	every_allocation(CLO_VIEW_REMAP);
}
TEST(soft_every_allocation)
{
	every_allocation(CLO_VIEW_SOFT);
}

TEST(remap_settle_errors)
{
	struct owner o;
	uint8_t *v;

	owner_open(&o, CLO_VIEW_REMAP, 8);
	touch_init();
	v = owner_map(&o);
	clo_view_drop(o.vs, clo_range(0, 8));
	CHECK_EQ(touch_load(v), -1);
	clo_a32_set(&o.fail, ENOMEM);
	CHECK_ERR(clo_view_settle(o.vs, clo_range(0, 8)), -ENOMEM);
	clo_a32_set(&o.fail, EHWPOISON);
	CHECK_ERR(clo_view_settle(o.vs, clo_range(0, 8)), -EHWPOISON);
	clo_a32_set(&o.fail, 0);
	CHECK_OK(clo_view_settle(o.vs, clo_range(0, 8)));
	CHECK_EQ(touch_load(v), 0);
	owner_close(&o);
}

/* An owner whose answer is late: the page has been shown since, and must not be closed by it. */
static int late_resolve(void *owner, uint64_t index, clo_view_grant_fn grant, void *garg)
{
	struct owner *o = owner;

	if (clo_a32_xchg(&o->lazy, 0)) {
		clo_view_show(o->vs, clo_range(index, index + 1));
		return -EACCES;
	}
	return owner_resolve(owner, index, grant, garg);
}

TEST(uffd_late_refusal)
{
	struct owner o;
	uint8_t *v;

	owner_open(&o, CLO_VIEW_UFFD, 4);
	clo_view_set_destroy(o.vs);
	CHECK_OK(clo_view_set_create(o.vh, 4, late_resolve, &o, &o.vs));
	touch_init();
	v = owner_map(&o);
	clo_a32_set(&o.lazy, 1);
	CHECK_EQ(touch_load(v + PAGE), 0);
	CHECK_EQ(clo_a32_get(&o.lazy), 0);
	owner_close(&o);
}

struct stall {
	struct owner o;
	uint8_t *v;
	struct clo_a32 inside, go;
};

static int stalled_resolve(void *owner, uint64_t index, clo_view_grant_fn grant, void *garg)
{
	struct stall *s = owner;

	clo_a32_set(&s->inside, 1);
	while (!clo_a32_get(&s->go))
		clo_relax();
	return owner_resolve(&s->o, index, grant, garg);
}

static void *stalled_access(void *arg)
{
	struct stall *s = arg;
	uint8_t byte = 1;

	CHECK_OK(clo_view_access(s->o.vs, 0, &byte, 1, false));
	CHECK_EQ(byte, 0);
	return NULL;
}

/* An access has no part in a mapping: one that takes its time keeps nobody from unmapping. */
static void unmap_goes_on(enum clo_view_level level)
{
	struct stall s = { 0 };
	struct clo_thread access;

	owner_open(&s.o, level, 4);
	clo_view_set_destroy(s.o.vs);
	CHECK_OK(clo_view_set_create(s.o.vh, 4, stalled_resolve, &s, &s.o.vs));
	clo_a32_set(&s.go, 1);
	s.v = owner_map(&s.o);
	clo_view_drop(s.o.vs, clo_range(0, 4));
	clo_a32_set(&s.inside, 0);
	clo_a32_set(&s.go, 0);
	CHECK_OK(clo_thread_create(&access, stalled_access, &s));
	while (!clo_a32_get(&s.inside))
		clo_relax();
	CHECK_OK(clo_view_unmap(s.o.vs, s.v, 4, &(struct clo_range){ 0 }));
	clo_a32_set(&s.go, 1);
	CHECK_OK(clo_thread_join(&access));
	owner_close(&s.o);
}
TEST(uffd_unmap_under_slow_access)
{
	unmap_goes_on(CLO_VIEW_UFFD);
}
TEST(remap_unmap_under_slow_access)
{
	unmap_goes_on(CLO_VIEW_REMAP);
}

/* Beyond the end there is nothing to ask for. */
TEST(resolve_contract)
{
	struct owner o;

	owner_open(&o, CLO_VIEW_SOFT, 4);
	CHECK_ERR(owner_resolve(&o, 4, no_resolve_grant, NULL), -ERANGE);
	CHECK_OK(owner_resolve(&o, 3, no_resolve_grant, NULL));
	owner_close(&o);
}
