/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/test_view_huge.c - folios of 2M on small pages, and pools of huge pages, where 2M is the
 * unit of protection.
 */
#include "view_test.h"

#include <stdio.h>
#include <sys/mman.h>

#define PAGE   ((size_t)CLO_PAGE_SIZE)
#define BLOCK  512ULL
#define BLOCKS 4ULL
#define PAGES  (BLOCKS * BLOCK)

static const char nr_path[] = "/proc/sys/vm/nr_hugepages";

static bool write_nr(unsigned long n)
{
	FILE *f = fopen(nr_path, "we");
	bool ok;

	if (!f)
		return false;
	ok = fprintf(f, "%lu\n", n) > 0;
	return fclose(f) == 0 && ok;
}

static unsigned long read_nr(void)
{
	FILE *f = fopen(nr_path, "re");
	unsigned long n = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%lu", &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

/*
 * Take the host's free huge pages, or ask for some. As soon as the pool has them the number is put
 * back: they are surplus from then on, and the kernel takes them back with the pool. Only a kill
 * within these few ms would leave them.
 */
static void open_huge(struct owner *o, enum clo_view_level level)
{
	unsigned long before = read_nr();
	bool asked = write_nr(before + BLOCKS);
	int ret = owner_try_open(o, CLO_POOL_HUGETLB, level, PAGES);

	if (ret == 0)
		ret = madvise(owner_page(o, 0), PAGES * PAGE, MADV_POPULATE_WRITE) ? -errno : 0;
	if (asked)
		CHECK(write_nr(before));
	if (ret)
		SKIP("no free huge pages, or userfaultfd not permitted for them");
}

/* A page of each block is shared, private, and shared again: the block follows. */
static void huge_pool(enum clo_view_level level, unsigned folio)
{
	struct owner o;
	uint8_t byte = 7;
	uint8_t *v;

	open_huge(&o, level);
	o.folio = folio;
	touch_init();
	v = owner_map(&o);
	for (uint64_t i = 0; i < PAGES; i += 64) {
		CHECK(touch_store(v + i * PAGE, (uint8_t)(i / 64)));
		CHECK_EQ(owner_page(&o, i)[0], i / 64);
	}
	CHECK_OK(owner_convert(&o, clo_range(BLOCK, 2 * BLOCK), true));
	if (folio == 0)
		CHECK_OK(owner_convert(&o, clo_range(2 * BLOCK + 5, 2 * BLOCK + 6), true));
	for (uint64_t i = 0; i < PAGES; i += 64) {
		bool hidden = i / BLOCK == 1 || (folio == 0 && i / BLOCK == 2);

		CHECK_EQ(touch_load(v + i * PAGE), hidden ? -1 : (int)(i / 64));
		/* By offset only what is private is refused. */
		CHECK_EQ(clo_view_access(o.vs, i * PAGE, &byte, 1, false),
			 i / BLOCK == 1 ? -EFAULT : 0);
	}
	if (folio == 0)
		CHECK_OK(owner_convert(&o, clo_range(2 * BLOCK + 5, 2 * BLOCK + 6), false));
	CHECK_OK(owner_convert(&o, clo_range(BLOCK, 2 * BLOCK), false));
	for (uint64_t i = 0; i < PAGES; i += 64)
		CHECK_EQ(touch_load(v + i * PAGE), i / 64);
	owner_close(&o);
}
TEST(uffd_huge_pool)
{
	huge_pool(CLO_VIEW_UFFD, 0);
}
TEST(uffd_huge_pool_huge_folios)
{
	huge_pool(CLO_VIEW_UFFD, 9);
}
TEST(remap_huge_pool)
{
	huge_pool(CLO_VIEW_REMAP, 0);
}
TEST(remap_huge_pool_huge_folios)
{
	huge_pool(CLO_VIEW_REMAP, 9);
}

TEST(huge_pool_units)
{
	struct clo_view_piece p;
	struct owner o;
	void *addr;

	open_huge(&o, CLO_VIEW_UFFD);
	p = (struct clo_view_piece){ clo_range(0, BLOCK + 1), o.base };
	CHECK_ERR(clo_view_map(o.vs, &p, 1, NULL, 0, &addr), -EINVAL);
	p = (struct clo_view_piece){ clo_range(0, BLOCK), owner_pfn(&o, 1) };
	CHECK_ERR(clo_view_map(o.vs, &p, 1, NULL, 0, &addr), -EINVAL);
	p = (struct clo_view_piece){ clo_range(BLOCK, 2 * BLOCK), owner_pfn(&o, BLOCK) };
	CHECK_OK(clo_view_map(o.vs, &p, 1, NULL, 0, &addr));
	*(uint8_t *)addr = 3;
	CHECK_EQ(owner_page(&o, BLOCK)[0], 3);
	owner_close(&o);
}

/* One grant for a whole folio of small pages: one question for 512 touches. */
static void huge_folio(enum clo_view_level level)
{
	struct owner o;
	uint8_t *v;

	owner_open(&o, level, PAGES);
	o.folio = 9;
	touch_init();
	v = owner_map(&o);
	CHECK_EQ(touch_load(v + 700 * PAGE), 0);
	if (level == CLO_VIEW_UFFD)
		CHECK_EQ(clo_a32_get(&o.asked), 1);
	for (uint64_t i = BLOCK; i < 2 * BLOCK; i++)
		CHECK_EQ(touch_load(v + i * PAGE), 0);
	if (level == CLO_VIEW_UFFD)
		CHECK_EQ(clo_a32_get(&o.asked), 1);
	CHECK_OK(owner_convert(&o, clo_range(BLOCK, 2 * BLOCK), true));
	CHECK_EQ(touch_load(v + 700 * PAGE), -1);
	CHECK_EQ(touch_load(v), 0);
	CHECK_OK(owner_convert(&o, clo_range(BLOCK, 2 * BLOCK), false));
	CHECK_EQ(touch_load(v + 700 * PAGE), 0);
	owner_close(&o);
}
TEST(uffd_huge_folio)
{
	huge_folio(CLO_VIEW_UFFD);
}
TEST(remap_huge_folio)
{
	huge_folio(CLO_VIEW_REMAP);
}

/* Pages of a mapping that hold no page but poison: in pagemap they look swapped out. */
static uint64_t count_poison(const uint8_t *v, uint64_t npages)
{
	FILE *f = fopen("/proc/self/pagemap", "re");
	uint64_t entry[512], count = 0;

	CHECK(f);
	CHECK_EQ(fseek(f, (long)((uintptr_t)v / PAGE * sizeof(entry[0])), SEEK_SET), 0);
	for (uint64_t at = 0; at < npages; at += CLO_ARRAY_SIZE(entry)) {
		CHECK_EQ(fread(entry, sizeof(entry), 1, f), 1);
		for (size_t i = 0; i < CLO_ARRAY_SIZE(entry); i++)
			count += entry[i] >> 62 & 1;
	}
	CHECK_EQ(fclose(f), 0);
	return count;
}

static uint64_t refusals(const struct owner *o)
{
	struct clo_view_stats s;

	clo_view_stats(o->vs, &s);
	return s.refused_faults;
}

#define SPARSE (1ULL << 18)
#define USED   16ULL
static uint64_t used(uint64_t i)
{
	return i * (SPARSE / USED) + 3 * BLOCK + i;
}

/* A few pages far apart: hidden where they are, all over the file; the rest costs no page table. */
TEST(uffd_sparse)
{
	struct clo_range all = clo_range(0, SPARSE);
	struct owner o;
	uint8_t *v;

	owner_open(&o, CLO_VIEW_UFFD, SPARSE);
	v = owner_map(&o);
	touch_init();
	for (uint64_t i = 0; i < USED; i++)
		CHECK(touch_store(v + used(i) * PAGE, (uint8_t)(i + 1)));
	for (unsigned round = 0; round < 2; round++) {
		uint64_t refused = refusals(&o);

		CHECK_OK(owner_convert(&o, all, true));
		CHECK_EQ(count_poison(v, SPARSE), USED * BLOCK);
		for (uint64_t i = 0; i < USED; i++)
			CHECK_EQ(touch_load(v + used(i) * PAGE), -1);
		CHECK_EQ(refusals(&o), refused);
		/* Without poison, and without a frame: the engine is asked, and refuses. */
		for (uint64_t i = 0; i < USED; i++)
			CHECK_EQ(touch_load(v + (used(i) + BLOCK) * PAGE), -1);
		CHECK_EQ(refusals(&o), refused + USED);
		CHECK_EQ(count_poison(v, SPARSE), USED * BLOCK + USED);
		CHECK_OK(owner_convert(&o, all, false));
		CHECK_EQ(count_poison(v, SPARSE), 0);
		for (uint64_t i = 0; i < USED; i++)
			CHECK_EQ(touch_load(v + used(i) * PAGE), i + 1);
	}
	owner_close(&o);
}

/* A frame that is made in a hidden page, where no poison is: as a guest's first touch does. */
TEST(uffd_frame_after_hide)
{
	const uint64_t late = 5 * BLOCK + 7;
	struct owner o;
	uint8_t *v;

	owner_open(&o, CLO_VIEW_UFFD, SPARSE);
	v = owner_map(&o);
	touch_init();
	CHECK(touch_store(v, 1));
	CHECK_OK(owner_convert(&o, clo_range(0, SPARSE), true));
	CHECK_OK(clo_page_alloc(o.db, owner_pfn(&o, late), 0, 1, CLO_FRAME_ALLOC_PRIVATE));
	owner_page(&o, late)[0] = 5;
	clo_page_set_uptodate(o.db, owner_pfn(&o, late), true);
	clo_page_unlock(o.db, owner_pfn(&o, late));
	CHECK_EQ(touch_load(v + late * PAGE), -1);
	CHECK(!touch_store(v + late * PAGE, 6));
	CHECK_EQ(owner_page(&o, late)[0], 5);
	CHECK_OK(owner_convert(&o, clo_range(0, SPARSE), false));
	CHECK_EQ(touch_load(v + late * PAGE), 5);
	owner_close(&o);
}
