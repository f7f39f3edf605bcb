/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/test_model.c - random operations on two files of one small host against flat arrays.
 *
 * The model says for each page whether it is there, of which kind, what its first byte is and how
 * often it is pinned; and for each call its result.
 */
#include "gmem/gmem_test.h"

#define PAGES 12U
#define FILES 2U
#define LIMIT 16U
#define PINS  6U
#define STEPS 20000U

struct m_page {
	bool there, is_private, ready;
	uint8_t byte;
	unsigned pins;
};

struct m_pin {
	struct clo_gmem_pin *pin;
	unsigned start, end;
};

struct m_file {
	struct clo_gmem *g;
	struct m_page page[PAGES];
	bool attr[PAGES]; /* private */
	struct m_pin pin[PINS];
};

struct m {
	struct t_host h;
	struct clo_rand rand;
	struct m_file file[FILES];
};

static unsigned used(const struct m *m)
{
	unsigned n = 0;

	for (unsigned f = 0; f < FILES; f++) {
		for (unsigned i = 0; i < PAGES; i++)
			n += m->file[f].page[i].there;
	}
	return n;
}

static unsigned below(struct m *m, unsigned n)
{
	return (unsigned)clo_rand_below(&m->rand, n);
}

/* A new page if there is memory. */
static bool m_make(struct m *m, struct m_file *f, unsigned i)
{
	if (f->page[i].there)
		return true;
	if (used(m) == LIMIT)
		return false;
	f->page[i] = (struct m_page){ .there = true, .is_private = f->attr[i] };
	return true;
}

static void m_ready(struct m_page *p)
{
	if (!p->ready)
		p->byte = 0;
	p->ready = true;
}

static void op_get(struct m *m, struct m_file *f, unsigned i)
{
	bool is_private = below(m, 2);
	struct m_page *p = &f->page[i];
	struct clo_pfn pfn;
	unsigned order;
	int ret = t_get(f->g, i, is_private, &pfn, &order);

	if ((p->there ? p->is_private : f->attr[i]) != is_private) {
		CHECK_ERR(ret, -EACCES);
		return;
	}
	if (!m_make(m, f, i)) {
		CHECK_ERR(ret, -ENOMEM);
		return;
	}
	CHECK_OK(ret);
	m_ready(p);
	CHECK_EQ(t_bytes(f->g, pfn)[0], p->byte);
	if (below(m, 2)) {
		p->byte = (uint8_t)(1 + below(m, 255));
		t_bytes(f->g, pfn)[0] = p->byte;
	}
}

static void op_allocate(struct m *m, struct m_file *f, unsigned start, unsigned end)
{
	int want = 0;
	int ret = t_allocate(f->g, start, end - start);

	for (unsigned i = start; i < end && want == 0; i++) {
		if (!m_make(m, f, i))
			want = -ENOMEM;
	}
	CHECK_EQ(ret, want);
}

static void op_punch(struct m_file *f, unsigned start, unsigned end)
{
	CHECK_OK(t_punch(f->g, start, end - start));
	for (unsigned i = start; i < end; i++) {
		struct m_page *p = &f->page[i];

		if (p->pins) {
			p->byte = 0;
			p->ready = true;
		} else {
			*p = (struct m_page){ 0 };
		}
	}
}

static void op_convert(struct m *m, struct m_file *f, unsigned start, unsigned end)
{
	bool to_private = below(m, 2);

	for (unsigned i = start; i < end; i++) {
		if (f->page[i].pins)
			return; /* what a conversion must refuse */
	}
	t_convert(f->g, clo_range(start, end), to_private);
	for (unsigned i = start; i < end; i++) {
		f->attr[i] = to_private;
		f->page[i].is_private = to_private;
	}
}

static void op_pin(struct m *m, struct m_file *f, unsigned start, unsigned end)
{
	struct m_pin *pin = &f->pin[below(m, PINS)];
	struct m_page before[PAGES];
	uint64_t off = 0;
	unsigned i;
	int ret, want = 0;

	if (pin->pin) {
		clo_gmem_unpin(pin->pin);
		for (i = pin->start; i < pin->end; i++)
			f->page[i].pins--;
		*pin = (struct m_pin){ 0 };
		return;
	}
	memcpy(before, f->page, sizeof(before));
	ret = clo_gmem_pin(f->g, (uint64_t)start << 12, (uint64_t)(end - start) << 12, "model",
			   &pin->pin, &off);
	for (i = start; i < end && want == 0; i++) {
		if (f->attr[i])
			want = -EFAULT;
		else if (!m_make(m, f, i))
			want = -ENOMEM;
		else
			m_ready(&f->page[i]);
	}
	CHECK_EQ(ret, want);
	if (want) {
		CHECK_EQ(off >> 12, i - 1);
		memcpy(f->page, before, sizeof(before));
		return;
	}
	pin->start = start;
	pin->end = end;
	for (i = start; i < end; i++)
		f->page[i].pins++;
}

static void m_check(struct m *m)
{
	CHECK_EQ(t_frames(m->h.db), used(m));
	for (unsigned k = 0; k < FILES; k++) {
		for (unsigned i = 0; i < PAGES; i++) {
			const struct m_page *p = &m->file[k].page[i];
			struct clo_frame_info f = t_frame(m->file[k].g, i);

			CHECK_EQ(f.state, !p->there       ? CLO_FRAME_FREE
					  : p->is_private ? CLO_FRAME_PRIVATE
							  : CLO_FRAME_SHARED);
			CHECK_EQ(f.pins, p->pins);
			CHECK_EQ((f.flags & CLO_FRAME_UPTODATE) != 0, p->ready);
			CHECK_EQ(clo_attr_is_private(clo_gmem_attr(m->file[k].g), i),
				 m->file[k].attr[i]);
		}
	}
}

static void m_step(struct m *m)
{
	struct m_file *f = &m->file[below(m, FILES)];
	unsigned start = below(m, PAGES);
	unsigned end = start + 1 + below(m, below(m, 4) ? 2 : PAGES - start);

	if (end > PAGES)
		end = PAGES;
	switch (below(m, 8)) {
	case 0:
		op_allocate(m, f, start, end);
		break;
	case 1:
	case 2:
		op_punch(f, start, end);
		break;
	case 3:
		op_convert(m, f, start, end);
		break;
	case 4:
		op_pin(m, f, start, end);
		break;
	default:
		op_get(m, f, start);
		break;
	}
}

TEST_TIMEOUT(random_operations, 60)
{
	static struct m m;

	m.rand.state = test_seed();
	/* Two windows of 16, so that frames change hands between the files only in content checks;
	 * memory is what they share. */
	t_host_open(&m.h, LIMIT, 32);
	t_soil(m.h.db, 32);
	for (unsigned k = 0; k < FILES; k++) {
		m.file[k].g = t_file(&m.h, PAGES, k ? T_MMAP_ANY : CLO_GMEM_MMAP, 0);
		for (unsigned i = 0; i < PAGES; i++)
			m.file[k].attr[i] = k == 0;
	}
	for (unsigned n = 0; n < STEPS; n++) {
		m_step(&m);
		m_check(&m);
	}
	for (unsigned k = 0; k < FILES; k++) {
		for (unsigned i = 0; i < PINS; i++)
			clo_gmem_unpin(m.file[k].pin[i].pin);
		clo_gmem_release(m.file[k].g);
	}
	t_host_close(&m.h);
}

/* Huge folios: kinds and orders against the rule "huge iff the whole block is private and was made
 * or merged so". */
TEST_TIMEOUT(random_huge_operations, 60)
{
	const unsigned pages = 1024;
	struct t_host h;
	struct clo_gmem *g;
	struct clo_rand rand = { test_seed() };
	static bool attr[1024];

	t_host_open(&h, pages, 4 * pages);
	g = t_file(&h, pages, CLO_GMEM_HUGETLB | CLO_GMEM_MMAP, 9);
	for (unsigned i = 0; i < pages; i++)
		attr[i] = true;
	for (unsigned n = 0; n < 300; n++) {
		uint64_t start = clo_rand_below(&rand, pages);
		uint64_t end = start + 1 + clo_rand_below(&rand, pages - start);
		bool to_private = clo_rand_below(&rand, 3) != 0;

		switch (clo_rand_below(&rand, 3)) {
		case 0:
			t_convert(g, clo_range(start, end), to_private);
			for (uint64_t i = start; i < end; i++)
				attr[i] = to_private;
			break;
		case 1:
			CHECK_OK(t_punch(g, clo_align_down(start, 512), 512));
			break;
		default:
			(void)t_page(g, start, attr[start]);
			break;
		}
		for (uint64_t i = 0; i < pages; i++) {
			struct clo_frame_info f = t_frame(g, i);

			CHECK(f.state == CLO_FRAME_FREE ||
			      (f.state == CLO_FRAME_PRIVATE) == attr[i]);
			if (f.order == 9)
				CHECK(clo_attr_is_uniform(clo_gmem_attr(g), i, CLO_LEVEL_2M) &&
				      attr[i]);
		}
	}
	clo_gmem_release(g);
	t_host_close(&h);
}
