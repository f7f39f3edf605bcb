/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/test_conv_hooks.c - what a trust model's hooks hear: each frame that was prepared is taken
 * back once, before it changes hands and when nobody can use it, whatever changes its hands.
 */
#include "conv/conv.h"

#include "harness/engine.h"

#include <errno.h>

#define PAGES 1024U

/* The trust model: which pages of the file are the guest's. */
struct model {
	struct eng *e;
	bool held[PAGES];
	unsigned prepares, invalidates, pages; /* calls, calls, pages taken back */
	struct clo_hook_pages last;            /* that was taken back */
	struct clo_hook_pages prepared;
	void (*meanwhile)(struct eng *e); /* in another thread, while a page is taken back */
};

static int on_prepare(void *arg, const struct clo_hook_pages *p)
{
	struct model *m = arg;
	uint64_t first = p->gmem_offset / E_PAGE;

	CHECK_EQ(p->size, sizeof(*p));
	CHECK_EQ(p->why, 0);
	CHECK_LE(first + p->npages, PAGES);
	m->prepares++;
	m->prepared = *p;
	for (uint64_t i = first; i < first + p->npages; i++)
		m->held[i] = true;
	return 0;
}

static void *meanwhile_main(void *arg)
{
	struct model *m = arg;

	m->meanwhile(m->e);
	return NULL;
}

static void on_invalidate(void *arg, const struct clo_hook_pages *p)
{
	struct model *m = arg;
	uint64_t first = p->gmem_offset / E_PAGE;

	m->invalidates++;
	m->last = *p;
	for (uint64_t i = 0; i < p->npages; i++) {
		struct clo_pfn pfn = clo_pfn(p->pfn + i);
		struct clo_frame_info f = clo_frame_get(m->e->host->db, pfn);
		enum clo_level level;
		struct clo_gfn gfn;
		uint32_t vm;

		CHECK_MSG(m->held[first + i], "page %lu is not the guest's", first + i);
		m->held[first + i] = false;
		m->pages++;
		CHECK_EQ(f.state, CLO_FRAME_PRIVATE);
		CHECK_EQ(f.order, p->order);
		CHECK(!(f.flags & (CLO_FRAME_LOCKED | CLO_FRAME_PREPARED)));
		CHECK(!clo_page_rmap_get(m->e->host->db, pfn, &level, &vm, &gfn));
	}
	/* In a read section this would not return. */
	clo_rcu_synchronize();
	if (m->meanwhile) {
		struct clo_thread t;

		CHECK_OK(clo_thread_create(&t, meanwhile_main, m));
		CHECK_OK(clo_thread_join(&t));
	}
}

static unsigned held(const struct model *m)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PAGES; i++)
		n += m->held[i];
	return n;
}

/* The engine's flags are the model's books. */
static void books_agree(const struct model *m)
{
	for (unsigned i = 0; i < m->e->pages; i++) {
		struct clo_frame_info f = eng_frame(m->e, i);

		CHECK_MSG(!(f.flags & CLO_FRAME_PREPARED) == !m->held[i], "page %u", i);
	}
	eng_check(m->e);
}

static void open_model(struct eng *e, struct model *m, struct eng_config c)
{
	struct clo_vm_hooks hooks = {
		.size = sizeof(hooks), .prepare = on_prepare, .invalidate = on_invalidate, .arg = m
	};

	*m = (struct model){ .e = e };
	c.hooks = &hooks;
	eng_open(e, c);
}

static void close_model(struct model *m)
{
	struct eng e = *m->e;

	books_agree(m);
	eng_close(&e);
	CHECK_EQ(held(m), 0);
}

static const struct eng_config in_place = { .owner = CLO_ATTR_OWNER_GMEM,
					    .gmem_flags = CLO_GMEM_MMAP };

static void store_all(struct eng *e, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		CHECK_OK(eng_store(e, i, 0, (uint8_t)(i + 1)));
}

TEST(to_shared_in_place_and_back)
{
	struct model m;
	struct eng e;

	open_model(&e, &m, in_place);
	store_all(&e, 0, 4);
	CHECK_EQ(m.prepares, 4);
	CHECK_EQ(held(&m), 4);
	/* Without hooks the leaves would move to the other table. */
	CHECK_OK(eng_convert(&e, 1, 2, 0));
	CHECK_EQ(m.invalidates, 2);
	CHECK_EQ(m.last.why, CLO_INVALIDATE_TO_SHARED);
	CHECK_EQ(m.last.gpa, E_GPA + 2 * E_PAGE);
	CHECK_EQ(m.last.gmem_offset, 2 * E_PAGE);
	CHECK(m.last.gmem == e.gmem && m.last.npages == 1 && m.last.order == 0);
	CHECK(eng_leaf(&e, 1).level == CLO_LEVEL_COUNT);
	CHECK_EQ(eng_stats(&e).zaps[CLO_ZAP_HOOK], 2);
	CHECK_EQ(eng_stats(&e).moved_leaves, 0);
	books_agree(&m);
	CHECK_EQ(eng_byte(&e, 2, 0), 3);
	CHECK_EQ(m.prepares, 4);
	/* To private: no leaf goes back to the guest that the model has not seen. */
	CHECK_OK(eng_convert(&e, 0, 4, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(eng_stats(&e).zaps[CLO_ZAP_HOOK], 3);
	CHECK(!m.held[2]);
	CHECK_EQ(eng_byte(&e, 2, 0), 3);
	CHECK_EQ(m.prepares, 5);
	CHECK(m.held[2] && !m.held[1]);
	CHECK_EQ(m.invalidates, 2);
	close_model(&m);
	CHECK_EQ(m.last.why, CLO_INVALIDATE_CLOSE);
	CHECK_EQ(m.invalidates, 2 + 3);
}

TEST(what_was_not_prepared_is_not_taken_back)
{
	struct model m;
	struct eng e;

	open_model(&e, &m, in_place);
	CHECK_OK(clo_gmem_fallocate(e.gmem, CLO_FALLOC_KEEP_SIZE, 0, 8 * E_PAGE));
	CHECK_OK(eng_convert(&e, 0, 4, 0));
	store_all(&e, 0, 2);
	CHECK_OK(eng_punch(&e, 0, 8));
	CHECK_EQ(m.prepares + m.invalidates, 0);
	close_model(&m);
	CHECK_EQ(m.invalidates, 0);
}

TEST(hole_close_and_the_end_of_the_vm)
{
	struct clo_gmem *second;
	struct model m;
	struct eng e;

	open_model(&e, &m, in_place);
	store_all(&e, 0, 8);
	CHECK_OK(clo_gmem_inject_memory_error(e.gmem, E_PAGE));
	CHECK_OK(eng_punch(&e, 1, 2));
	CHECK_EQ(m.invalidates, 2);
	CHECK_EQ(m.last.why, CLO_INVALIDATE_HOLE);
	CHECK_EQ(eng_frames(&e), 6);
	books_agree(&m);
	/* A new frame, prepared anew. */
	CHECK_EQ(eng_byte(&e, 1, 0), 0);
	CHECK_EQ(m.prepares, 9);
	/* No memslot shows the page any more. */
	CHECK_OK(eng_slot_delete(&e, 0));
	CHECK_EQ(m.invalidates, 2);
	CHECK_OK(eng_punch(&e, 3, 1));
	CHECK_EQ(m.last.gpa, CLO_NO_GPA);
	CHECK_EQ(m.last.gmem_offset, 3 * E_PAGE);
	CHECK_EQ(m.invalidates, 3);
	CHECK_OK(eng_slot(&e, 0, 2 * E_GPA, 16, 0));
	clo_gmem_close(e.gmem);
	CHECK_EQ(m.last.why, CLO_INVALIDATE_CLOSE);
	CHECK_EQ(m.last.gpa, 2 * E_GPA + 7 * E_PAGE);
	CHECK_EQ(m.invalidates, 3 + 6);
	CHECK_EQ(held(&m), 0);
	/* The end of the VM closes what is open. */
	CHECK_OK(eng_slot_delete(&e, 0));
	CHECK_OK(clo_gmem_create(e.vm, 16 * E_PAGE, CLO_GMEM_MMAP, 0, &second));
	e.gmem = second;
	CHECK_OK(eng_slot(&e, 0, E_GPA, 16, 0));
	store_all(&e, 0, 2);
	close_model(&m);
	CHECK_EQ(m.last.why, CLO_INVALIDATE_CLOSE);
	CHECK_EQ(m.invalidates, 3 + 6 + 2);
}

TEST(two_backings)
{
	struct model m;
	struct eng e;

	open_model(&e, &m, (struct eng_config){ 0 });
	CHECK_OK(eng_convert(&e, 0, 8, CLO_CONVERT_TO_PRIVATE));
	store_all(&e, 0, 4);
	/* The engine's conversion frees the private side. */
	CHECK_OK(eng_convert(&e, 0, 2, 0));
	CHECK_EQ(m.invalidates, 2);
	CHECK_EQ(m.last.why, CLO_INVALIDATE_HOLE);
	CHECK_EQ(m.last.gpa, E_GPA + E_PAGE);
	books_agree(&m);
	/* KVM's call does not: the frame stays the guest's until the VMM's hole... */
	CHECK_OK(clo_vm_set_attributes(e.vm, E_GPA + 2 * E_PAGE, 2 * E_PAGE, 0));
	CHECK_EQ(m.invalidates, 2);
	books_agree(&m);
	CHECK_OK(eng_punch(&e, 2, 1));
	CHECK_EQ(m.invalidates, 3);
	/* ... or until the page is private again and made anew. */
	CHECK_OK(eng_convert(&e, 3, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(m.invalidates, 4);
	CHECK_EQ(eng_byte(&e, 3, 0), 0);
	CHECK_EQ(m.prepares, 5);
	close_model(&m);
	CHECK_EQ(m.invalidates, 5);
}

static struct eng_config huge(uint32_t owner)
{
	return (struct eng_config){
		.owner = owner,
		.gmem_flags = CLO_GMEM_HUGETLB | (owner == CLO_ATTR_OWNER_GMEM ? CLO_GMEM_MMAP : 0),
		.page_order = 9,
		.pages = PAGES,
	};
}

TEST(part_of_a_huge_page)
{
	struct model m;
	struct eng e;

	open_model(&e, &m, huge(CLO_ATTR_OWNER_GMEM));
	CHECK_OK(eng_store(&e, 515, 0, 5));
	CHECK_EQ(m.prepares, 1);
	CHECK_EQ(held(&m), 512);
	CHECK(m.prepared.order == 9 && m.prepared.npages == 512);
	CHECK_EQ(m.prepared.gpa, E_GPA + 512 * E_PAGE);
	/* Told with the order of the whole, before it is split: a model may have to split too. */
	CHECK_OK(eng_convert(&e, 514, 2, 0));
	CHECK_EQ(m.invalidates, 1);
	CHECK(m.last.order == 9 && m.last.npages == 2);
	CHECK_EQ(m.last.gpa, E_GPA + 514 * E_PAGE);
	CHECK_EQ(held(&m), 510);
	books_agree(&m);
	/* The pieces are given out one by one, and are the guest's all along. */
	CHECK_EQ(eng_byte(&e, 513, 0), 0);
	CHECK(m.prepared.order == 0 && m.prepared.npages == 1);
	CHECK_EQ(held(&m), 510);
	/* One folio again, of which two pages are not the guest's until the next use. */
	CHECK_OK(eng_convert(&e, 514, 2, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(eng_frame(&e, 514).order, 9);
	books_agree(&m);
	CHECK_EQ(eng_byte(&e, 515, 0), 5);
	CHECK(m.prepared.order == 9 && m.prepared.npages == 512);
	CHECK_EQ(held(&m), 512);
	/* Runs of a folio that is mixed. */
	CHECK_OK(eng_convert(&e, 512 + 100, 1, 0));
	CHECK_OK(eng_convert(&e, 512 + 100, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(eng_frame(&e, 514).order, 9);
	m.invalidates = m.pages = 0;
	CHECK_OK(eng_punch(&e, 512, 512));
	CHECK_EQ(m.invalidates, 2);
	CHECK_EQ(m.pages, 511);
	close_model(&m);
}

/* Its other pages need the folio, so the page is zeroed where it is: by the host. */
TEST(part_of_a_huge_page_two_backings)
{
	struct model m;
	struct eng e;

	open_model(&e, &m, huge(CLO_ATTR_OWNER_VM));
	CHECK_OK(eng_convert(&e, 0, 1024, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_store(&e, 3, 0, 5));
	CHECK_EQ(held(&m), 512);
	CHECK_OK(eng_convert(&e, 3, 2, 0));
	CHECK_EQ(m.invalidates, 0);
	CHECK_OK(eng_convert(&e, 3, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(m.invalidates, 1);
	CHECK(m.last.npages == 1 && m.last.order == 9 && m.last.gpa == E_GPA + 3 * E_PAGE);
	books_agree(&m);
	CHECK_EQ(eng_byte(&e, 3, 0), 0);
	close_model(&m);
	CHECK_EQ(m.pages, 513);
}

static int refuse(void *arg, const struct clo_dma_range *r)
{
	(void)r;
	return *(int *)arg;
}

TEST(a_conversion_that_is_undone)
{
	int answer = -EBUSY;
	struct clo_dma_listener l = {
		.size = sizeof(l), .name = "dev", .map = refuse, .unmap = refuse, .arg = &answer
	};
	struct model m;
	struct eng e;

	open_model(&e, &m, in_place);
	CHECK_OK(clo_vm_add_dma_listener(e.vm, &l));
	store_all(&e, 0, 2);
	CHECK_ERR(eng_convert(&e, 0, 2, 0), -EBUSY);
	/* It was taken back, so it is given again. */
	CHECK_EQ(m.invalidates, 2);
	CHECK_EQ(held(&m), 0);
	books_agree(&m);
	CHECK_EQ(eng_byte(&e, 0, 0), 1);
	CHECK_EQ(m.prepares, 3);
	answer = 0;
	CHECK_OK(eng_convert(&e, 0, 2, 0));
	CHECK_EQ(m.invalidates, 3);
	CHECK_EQ(eng_byte(&e, 1, 0), 2);
	CHECK_OK(clo_vm_remove_dma_listener(e.vm, &l));
	close_model(&m);
	CHECK_EQ(m.invalidates, 3);
}

TEST(a_conversion_that_fails_before)
{
	int answer = 0, ret = -ENOMEM;
	struct clo_dma_listener l = {
		.size = sizeof(l), .name = "dev", .map = refuse, .unmap = refuse, .arg = &answer
	};

	for (uint64_t n = 1; ret; n++) {
		struct model m;
		struct eng e;

		open_model(&e, &m, in_place);
		CHECK_OK(clo_vm_add_dma_listener(e.vm, &l));
		store_all(&e, 2, 4);
		clo_alloc_fail_at(n);
		ret = eng_convert(&e, 0, 8, 0);
		clo_alloc_fail_at(0);
		if (ret)
			CHECK_ERR(ret, -ENOMEM);
		CHECK_EQ(m.invalidates, ret ? 0 : 2);
		books_agree(&m);
		CHECK_OK(clo_vm_remove_dma_listener(e.vm, &l));
		close_model(&m);
		CHECK_EQ(m.invalidates, 2);
		CHECK(n < 100);
	}
}

/* What others need: a memslot, a conversion, a fault, far from the pages that are taken back. */
static void all_goes_on(struct eng *e)
{
	struct clo_vcpu *v;
	uint8_t byte = 9;

	CHECK_OK(eng_slot(e, 5, 64 * E_GPA, 1, 900));
	CHECK_OK(eng_slot_delete(e, 5));
	CHECK_OK(eng_convert(e, 600, 1, 0));
	CHECK_OK(eng_convert(e, 600, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(clo_vcpu_create(e->vm, 77, &v));
	CHECK_OK(clo_vcpu_access(v, E_GPA + 601 * E_PAGE, &byte, 1, CLO_ACCESS_WRITE));
}

static void others_go_on(struct eng_config c)
{
	struct model m;
	struct eng e;

	c.pages = PAGES;
	c.no_slot = true;
	open_model(&e, &m, c);
	CHECK_OK(eng_slot(&e, 0, E_GPA, 800, 0));
	CHECK_OK(eng_convert(&e, 0, 800, CLO_CONVERT_TO_PRIVATE));
	store_all(&e, 0, 2);
	m.meanwhile = all_goes_on;
	CHECK_OK(eng_convert(&e, 0, 1, 0));
	CHECK_EQ(m.invalidates, 1);
	m.meanwhile = NULL;
	close_model(&m);
}

TEST_TIMEOUT(nobody_else_waits_in_place, 60)
{
	others_go_on(in_place);
}

TEST_TIMEOUT(nobody_else_waits_two_backings, 60)
{
	others_go_on((struct eng_config){ 0 });
}

/* errno: clo_vm_set_hooks -EINVAL -E2BIG -EBUSY */
TEST(hooks_are_set_before_files)
{
	struct {
		struct clo_vm_hooks known;
		uint64_t later;
	} h = { .known = { .size = CLO_VM_HOOKS_SIZE_VER0, .arg = &h } };
	struct eng e;

	eng_open(&e, (struct eng_config){ .no_slot = true });
	CHECK_ERR(clo_vm_set_hooks(e.vm, &h.known), -EBUSY);
	CHECK_ERR(clo_vm_set_hooks(e.vm, NULL), -EINVAL);
	clo_gmem_close(e.gmem);
	CHECK_OK(clo_vm_set_hooks(e.vm, &h.known));
	h.known.size--;
	CHECK_ERR(clo_vm_set_hooks(e.vm, &h.known), -EINVAL);
	h.known.size = sizeof(h);
	CHECK_OK(clo_vm_set_hooks(e.vm, &h.known));
	h.known.reserved = 1;
	CHECK_ERR(clo_vm_set_hooks(e.vm, &h.known), -EINVAL);
	h.known.reserved = 0;
	h.later = 1;
	CHECK_ERR(clo_vm_set_hooks(e.vm, &h.known), -E2BIG);
	eng_close(&e);
}

static void on_inaccessible(void *arg, const struct clo_hook_pages *p)
{
	struct model *m = arg;

	CHECK_EQ(p->npages, 1);
	CHECK(!(clo_frame_get(m->e->host->db, clo_pfn(p->pfn)).flags & CLO_FRAME_LOCKED));
	clo_rcu_synchronize();
	m->last = *p;
	m->pages++;
}

TEST(the_inaccessible_hook_hears_of_existing_pages_only)
{
	struct eng e;
	struct model m = { .e = &e };
	struct clo_vm_hooks hooks = { .size = sizeof(hooks),
				      .inaccessible = on_inaccessible,
				      .arg = &m };
	struct eng_config c = in_place;

	c.hooks = &hooks;
	c.gmem_flags |= CLO_GMEM_INIT_SHARED;
	eng_open(&e, c);
	CHECK_OK(eng_store(&e, 2, 0, 1));
	CHECK_OK(eng_store(&e, 7, 0, 1));
	CHECK_OK(eng_convert(&e, 0, 16, CLO_CONVERT_TO_PRIVATE));
	CHECK_EQ(m.pages, 2);
	CHECK_EQ(m.last.gpa, E_GPA + 7 * E_PAGE);
	/* Bookkeeping only: leaves move as without it. */
	CHECK_EQ(eng_stats(&e).moved_leaves, 2);
	CHECK_OK(eng_convert(&e, 0, 16, 0));
	CHECK_EQ(m.pages, 2);
	/* No memslot shows the page. */
	CHECK_OK(eng_slot_delete(&e, 0));
	CHECK_OK(clo_gmem_set_attributes(e.gmem, 2 * E_PAGE, E_PAGE, CLO_ATTR_PRIVATE, NULL));
	CHECK_EQ(m.pages, 3);
	CHECK_EQ(m.last.gpa, CLO_NO_GPA);
	eng_close(&e);
}
