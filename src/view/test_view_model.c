/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/test_view_model.c - random operations against a flat array: after each of them every page of
 * every mapping and clo_view_access() must say what the array says.
 */
#include "view_test.h"

#define PAGE     ((size_t)CLO_PAGE_SIZE)
#define PAGES    48ULL
#define MAPPINGS 3
#define STEPS    400

struct model {
	struct owner o;
	struct clo_rand rand;
	int value[PAGES]; /* first byte; -1 private */
	uint8_t kept[PAGES];
	uint8_t *v[MAPPINGS];
	struct clo_range r[MAPPINGS];
};

static struct clo_range some_range(struct model *m)
{
	uint64_t start = clo_rand_below(&m->rand, PAGES);

	return clo_range(start, start + 1 + clo_rand_below(&m->rand, PAGES - start));
}

static void step_convert(struct model *m, bool to_private)
{
	struct clo_range r = some_range(m);

	CHECK_OK(owner_convert(&m->o, r, to_private));
	for (uint64_t i = r.start; i < r.end; i++) {
		if (to_private && m->value[i] >= 0) {
			m->kept[i] = (uint8_t)m->value[i];
			m->value[i] = -1;
		} else if (!to_private && m->value[i] < 0) {
			m->value[i] = m->kept[i];
		}
	}
}

static void step_punch(struct model *m)
{
	struct clo_range r = some_range(m);

	owner_punch(&m->o, r);
	for (uint64_t i = r.start; i < r.end; i++) {
		m->kept[i] = 0;
		if (m->value[i] >= 0)
			m->value[i] = 0;
	}
}

static void step_map(struct model *m)
{
	unsigned slot = (unsigned)clo_rand_below(&m->rand, MAPPINGS);
	struct clo_range hidden[PAGES];
	struct clo_view_piece p[2];
	struct clo_range r;
	uint64_t cut;
	size_t n = 0;
	void *addr;

	if (m->v[slot]) {
		CHECK_OK(clo_view_unmap(m->o.vs, m->v[slot], clo_range_len(m->r[slot]),
					&(struct clo_range){ 0 }));
		m->v[slot] = NULL;
		return;
	}
	r = some_range(m);
	for (uint64_t i = r.start; i < r.end; i++) {
		if (m->value[i] < 0)
			hidden[n++] = clo_range(i, i + 1);
	}
	cut = r.start + clo_range_len(r) / 2;
	p[0] = (struct clo_view_piece){ clo_range(r.start, cut), owner_pfn(&m->o, r.start) };
	p[1] = (struct clo_view_piece){ clo_range(cut, r.end), owner_pfn(&m->o, cut) };
	if (cut > r.start)
		CHECK_OK(clo_view_map(m->o.vs, p, 2, hidden, n, &addr));
	else
		CHECK_OK(clo_view_map(m->o.vs, &p[1], 1, hidden, n, &addr));
	m->v[slot] = addr;
	m->r[slot] = r;
}

static void step_write(struct model *m)
{
	uint64_t i = clo_rand_below(&m->rand, PAGES);
	uint8_t byte = (uint8_t)clo_rand_next(&m->rand);

	CHECK_ERR(clo_view_access(m->o.vs, i * PAGE, &byte, 1, true),
		  m->value[i] < 0 ? -EFAULT : 0);
	if (m->value[i] >= 0)
		m->value[i] = byte;
}

static void compare(struct model *m)
{
	for (unsigned s = 0; s < MAPPINGS; s++) {
		for (uint64_t i = m->r[s].start; m->v[s] && i < m->r[s].end; i++)
			CHECK_EQ(touch_load(m->v[s] + (i - m->r[s].start) * PAGE), m->value[i]);
	}
	for (uint64_t i = 0; i < PAGES; i++) {
		uint8_t byte = 0;
		int ret = clo_view_access(m->o.vs, i * PAGE, &byte, 1, false);

		CHECK_ERR(ret, m->value[i] < 0 ? -EFAULT : 0);
		if (ret == 0)
			CHECK_EQ(byte, m->value[i]);
	}
}

static void random_steps(enum clo_view_level level)
{
	struct model m = { .rand = { test_seed() } };

	owner_open(&m.o, level, PAGES);
	touch_init();
	for (int i = 0; i < STEPS; i++) {
		switch (clo_rand_below(&m.rand, level == CLO_VIEW_SOFT ? 4 : 5)) {
		case 0:
			step_convert(&m, true);
			break;
		case 1:
			step_convert(&m, false);
			break;
		case 2:
			step_punch(&m);
			break;
		case 3:
			step_write(&m);
			break;
		default:
			step_map(&m);
			break;
		}
		compare(&m);
	}
	owner_close(&m.o);
}
TEST_TIMEOUT(uffd_random, 60)
{
	random_steps(CLO_VIEW_UFFD);
}
TEST_TIMEOUT(remap_random, 60)
{
	random_steps(CLO_VIEW_REMAP);
}
TEST_TIMEOUT(soft_random, 60)
{
	random_steps(CLO_VIEW_SOFT);
}
