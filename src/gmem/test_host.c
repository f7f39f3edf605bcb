/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem/test_host.c - the VMM's side: mmap and its errno, access by offset, what a host touch makes,
 * holes under a mapping.
 */
#include "gmem/gmem_test.h"

#include <unistd.h>

#define P 4096ULL

static bool open_with_view(struct t_host *h, enum clo_pool_kind kind, enum clo_view_level level,
			   uint64_t limit)
{
	*h = (struct t_host){ 0 };
	CHECK_OK(clo_pagedb_create(kind, limit, 1ULL << 20, &h->db));
	h->vm.db = h->db;
	if (clo_view_host_create(h->db, level, &h->vh))
		return false;
	test_note("level %s", clo_view_level_name(clo_view_host_level(h->vh)));
	return true;
}

static void open_soft(struct t_host *h, uint64_t limit)
{
	CHECK(open_with_view(h, CLO_POOL_ANON, CLO_VIEW_SOFT, limit));
}

/* A level with real mappings, or the best there is. */
static void open_level(struct t_host *h, enum clo_view_level level)
{
	bool ok = open_with_view(h, CLO_POOL_MEMFD, level, 64);

	if (!ok || clo_view_host_level(h->vh) == CLO_VIEW_SOFT)
		SKIP("this host does not permit it");
}

static int put(struct clo_gmem *g, uint64_t off, uint8_t value)
{
	return clo_gmem_host_access(g, off, &value, 1, true);
}

static int get(struct clo_gmem *g, uint64_t off)
{
	uint8_t value = 0;
	int ret = clo_gmem_host_access(g, off, &value, 1, false);

	return ret ? ret : value;
}

struct mmap_row {
	const char *what;
	uint64_t flags, off, len;
	bool shared;
	int err, soft_err;
};

static const struct mmap_row mmap_rows[] = {
	{ "all", T_MMAP_ANY, 0, 8 * P, true, 0, -EOPNOTSUPP },
	{ "last page", T_MMAP_ANY, 7 * P, P, true, 0, -EOPNOTSUPP },
	{ "private file", CLO_GMEM_MMAP, 0, 8 * P, true, 0, -EOPNOTSUPP },
	{ "no flag", CLO_GMEM_INIT_SHARED, 0, 8 * P, true, -ENODEV, -ENODEV },
	{ "no flag, MAP_PRIVATE", 0, 0, 8 * P, false, -ENODEV, -ENODEV },
	{ "MAP_PRIVATE", T_MMAP_ANY, 0, 8 * P, false, -EINVAL, -EINVAL },
	{ "empty", T_MMAP_ANY, 0, 0, true, -EINVAL, -EINVAL },
	{ "empty, no flag", 0, 0, 0, true, -EINVAL, -EINVAL },
	{ "odd length", T_MMAP_ANY, 0, P + 1, true, 0, -EOPNOTSUPP },
	{ "odd length, no flag", 0, 0, P + 1, true, -ENODEV, -ENODEV },
	{ "odd offset", T_MMAP_ANY, 1, P, true, -EINVAL, -EINVAL },
	{ "odd offset, no flag", 0, 1, P, true, -EINVAL, -EINVAL },
	{ "beyond", T_MMAP_ANY, 8 * P, P, true, 0, -EOPNOTSUPP },
	{ "far beyond", T_MMAP_ANY, 1ULL << 62, P, true, 0, -EOPNOTSUPP },
	{ "across the end", T_MMAP_ANY, 7 * P, 2 * P, true, 0, -EOPNOTSUPP },
	{ "longer than the address space", T_MMAP_ANY, P, 1ULL << 47, true, -ENOMEM, -ENOMEM },
	{ "so long, no flag", 0, P, ~(P - 1), true, -ENOMEM, -ENOMEM },
	{ "rounds up to nothing", T_MMAP_ANY, 0, ~0ULL, true, -ENOMEM, -ENOMEM },
	{ "last offset", T_MMAP_ANY, (1ULL << 63) - 2 * P, P, true, 0, -EOPNOTSUPP },
	{ "past the last offset", T_MMAP_ANY, (1ULL << 63) - P, P, true, -EOVERFLOW, -EOVERFLOW },
	{ "past it, no flag", 0, 0 - P, P, true, -EOVERFLOW, -EOVERFLOW },
};

static void mmap_errno_at(struct t_host *h, bool soft)
{
	for (size_t i = 0; i < CLO_ARRAY_SIZE(mmap_rows); i++) {
		const struct mmap_row *row = &mmap_rows[i];
		struct clo_gmem *g = t_file(h, 8, row->flags, 0);
		void *addr = NULL;

		test_note("%s", row->what);
		if (soft)
			CHECK_ERR(clo_gmem_mmap(g, row->off, row->len, row->shared, &addr),
				  row->soft_err);
		else
			CHECK_ERR(clo_gmem_mmap(g, row->off, row->len, row->shared, &addr),
				  row->err);
		CHECK((addr != NULL) == (!soft && row->err == 0));
		if (addr) {
			CHECK_ERR(clo_gmem_munmap(g, (char *)addr + P, row->len), -EINVAL);
			CHECK_ERR(clo_gmem_munmap(g, addr, row->len + P), -EINVAL);
			CHECK_ERR(clo_gmem_munmap(g, addr, 0), -EINVAL);
			CHECK_ERR(clo_gmem_munmap(g, addr, ~0ULL), -EINVAL);
			CHECK_OK(clo_gmem_munmap(g, addr, row->len));
		}
		CHECK_ERR(clo_gmem_munmap(g, h, P), -EINVAL);
		CHECK_ERR(clo_gmem_munmap(g, addr, P + 1), -EINVAL);
		clo_gmem_release(g);
	}
}

TEST(mmap_errno_uffd)
{
	struct t_host h;

	open_level(&h, CLO_VIEW_UFFD);
	mmap_errno_at(&h, false);
	t_host_close(&h);
}

TEST(mmap_errno_remap)
{
	struct t_host h;

	open_level(&h, CLO_VIEW_REMAP);
	mmap_errno_at(&h, false);
	t_host_close(&h);
}

TEST(mmap_errno_soft)
{
	struct t_host h;

	open_soft(&h, 64);
	mmap_errno_at(&h, true);
	t_host_close(&h);
}

TEST(no_view_host)
{
	struct t_host h;
	struct clo_gmem *g;
	void *addr;
	char c;

	t_host_open(&h, 8, 0);
	g = t_file(&h, 8, T_MMAP_ANY, 0);
	CHECK_ERR(clo_gmem_mmap(g, 0, P, true, &addr), -EOPNOTSUPP);
	CHECK_ERR(clo_gmem_host_access(g, 0, &c, 1, false), -EOPNOTSUPP);
	clo_gmem_release(g);
	t_host_close(&h);
}

/* Mapping without memory: nothing is left, not even address space of the pool. */
TEST(mmap_without_memory)
{
	struct t_host h;
	struct clo_gmem *g;
	void *addr = NULL;
	uint64_t live;
	int ret = -ENOMEM;

	open_level(&h, CLO_VIEW_AUTO);
	live = clo_alloc_live();
	g = t_file(&h, (1ULL << 18) + 4, CLO_GMEM_MMAP, 0);
	CHECK_OK(clo_attr_set(clo_gmem_attr(g), clo_range(3, 4), false));
	for (uint64_t n = 1; ret; n++) {
		clo_alloc_fail_at(n);
		ret = clo_gmem_mmap(g, 0, clo_gmem_size(g), true, &addr);
		clo_alloc_fail_at(0);
		if (ret) {
			CHECK_ERR(ret, -ENOMEM);
			CHECK_EQ(t_windows(h.db), 0);
		}
	}
	CHECK_OK(clo_gmem_munmap(g, addr, clo_gmem_size(g)));
	CHECK_EQ(t_windows(h.db), 0);
	clo_gmem_release(g);
	clo_rcu_barrier();
	CHECK_EQ(clo_alloc_live(), live);
	t_host_close(&h);
}

static void host_access_at(struct t_host *h)
{
	struct clo_gmem *g = t_file(h, 8, CLO_GMEM_MMAP, 0);
	struct clo_gmem *blind = t_file(h, 8, CLO_GMEM_INIT_SHARED, 0);
	uint8_t big[3 * P];

	memset(big, 0x44, sizeof(big));
	CHECK_ERR(clo_gmem_host_access(blind, 0, big, 1, false), -ENODEV);
	CHECK_ERR(clo_gmem_host_access(blind, 100 * P, big, 1, false), -ENODEV);
	CHECK_ERR(put(g, 0, 1), -EFAULT);
	t_convert(g, clo_range(2, 6), false);
	CHECK_OK(put(g, 2 * P, 9));
	CHECK_EQ(get(g, 2 * P), 9);
	CHECK_EQ(get(g, 3 * P), 0);
	CHECK_EQ(t_frame(g, 3).state, CLO_FRAME_SHARED);
	CHECK_ERR(get(g, 6 * P), -EFAULT);
	CHECK_ERR(get(g, 8 * P), -EFAULT);
	CHECK_ERR(clo_gmem_host_access(g, ~0ULL, big, 2, false), -EFAULT);
	CHECK_OK(clo_gmem_host_access(g, 8 * P, big, 0, false));
	CHECK_OK(clo_gmem_host_access(g, 2 * P + 100, big, sizeof(big), true));
	CHECK_EQ(get(g, 5 * P + 99), 0x44);
	CHECK_EQ(get(g, 5 * P + 100), 0);
	CHECK_ERR(clo_gmem_host_access(g, 4 * P, big, sizeof(big), true), -EFAULT);
	/* The guest sees it, and what the guest writes is seen. */
	CHECK_EQ(t_bytes(g, t_page(g, 3, false))[7], 0x44);
	t_bytes(g, t_page(g, 3, false))[7] = 0x55;
	CHECK_EQ(get(g, 3 * P + 7), 0x55);
	/* A hole reads as zero, in what is still shared. */
	CHECK_OK(t_punch(g, 0, 8));
	CHECK_EQ(get(g, 3 * P + 7), 0);
	CHECK_ERR(get(g, 6 * P), -EFAULT);
	clo_gmem_get(g);
	clo_gmem_release(g);
	CHECK_ERR(get(g, 3 * P), -EFAULT);
	clo_gmem_put(g);
	clo_gmem_release(blind);
}

TEST(host_access_uffd)
{
	struct t_host h;

	open_level(&h, CLO_VIEW_UFFD);
	host_access_at(&h);
	t_host_close(&h);
}

TEST(host_access_remap)
{
	struct t_host h;

	open_level(&h, CLO_VIEW_REMAP);
	host_access_at(&h);
	t_host_close(&h);
}

TEST(host_access_soft)
{
	struct t_host h;

	open_soft(&h, 64);
	host_access_at(&h);
	t_host_close(&h);
}

/* What resolve says, as the view asks it. */
struct granted {
	struct clo_gmem *g;
	struct clo_range r;
	struct clo_pfn base;
	bool locked;
};

static void note_grant(void *arg, struct clo_range r, struct clo_pfn base)
{
	struct granted *k = arg;

	k->r = r;
	k->base = base;
	k->locked = (t_frame(k->g, r.start).flags & CLO_FRAME_LOCKED) != 0;
}

/* Not public: the file gives it to its view set. */
int gmem_resolve(void *owner, uint64_t index, clo_view_grant_fn grant, void *garg);

TEST(resolve)
{
	struct t_host h;
	struct clo_gmem *g;
	struct granted k = { 0 };
	struct clo_pfn pfn, head;

	t_host_open(&h, 2, 64);
	t_soil(h.db, 64);
	k.g = g = t_file(&h, 8, T_MMAP_ANY, 0);
	CHECK_OK(clo_attr_set(clo_gmem_attr(g), clo_range(5, 6), true));
	CHECK_ERR(gmem_resolve(g, 8, note_grant, &k), -ERANGE);
	CHECK_ERR(gmem_resolve(g, 5, note_grant, &k), -EACCES);
	clo_inval_begin(clo_gmem_inval(g), clo_range(0, 1));
	CHECK_ERR(gmem_resolve(g, 3, note_grant, &k), -EAGAIN);
	CHECK_EQ(t_frames(h.db), 0);
	clo_inval_end(clo_gmem_inval(g), clo_range(0, 1));
	CHECK_EQ(k.r.end, 0);
	CHECK_OK(gmem_resolve(g, 3, note_grant, &k));
	CHECK(k.locked);
	CHECK_EQ(k.r.start, 3);
	CHECK_EQ(k.r.end, 4);
	CHECK(clo_gmem_pfn(g, 3, &pfn));
	CHECK_EQ(k.base.n, pfn.n);
	t_check_zero(g, pfn);
	CHECK_EQ(t_frame(g, 3).flags, CLO_FRAME_UPTODATE);
	/* Busy, poisoned, no memory. */
	CHECK(clo_page_lock(h.db, pfn, &head));
	CHECK_ERR(gmem_resolve(g, 3, note_grant, &k), -EAGAIN);
	clo_page_unlock(h.db, head);
	clo_page_set_poison(h.db, pfn, true);
	CHECK_ERR(gmem_resolve(g, 3, note_grant, &k), -EHWPOISON);
	clo_page_set_poison(h.db, pfn, false);
	CHECK_OK(gmem_resolve(g, 4, note_grant, &k));
	CHECK_ERR(gmem_resolve(g, 6, note_grant, &k), -ENOMEM);
	clo_gmem_get(g);
	clo_gmem_release(g);
	CHECK_ERR(gmem_resolve(g, 3, note_grant, &k), -ERANGE);
	clo_gmem_put(g);
	t_host_close(&h);
}

static void mapping_sees_holes_and_guests(enum clo_view_level level)
{
	struct t_host h;
	struct clo_gmem *g;
	volatile uint8_t *p;
	void *addr;

	open_level(&h, level);
	g = t_file(&h, 8, T_MMAP_ANY, 0);
	CHECK_OK(clo_gmem_mmap(g, 0, 8 * P, true, &addr));
	p = addr;
	for (uint64_t i = 0; i < 8; i++)
		p[i * P] = 0xaa;
	CHECK_EQ(t_stats(g).allocated, 8);
	CHECK_EQ(t_bytes(g, t_page(g, 2, false))[0], 0xaa);
	CHECK_OK(t_punch(g, 0, 1));
	CHECK_EQ(p[0], 0);
	CHECK_EQ(p[P], 0xaa);
	p[0] = 0xbb;
	CHECK_EQ(t_bytes(g, t_page(g, 0, false))[0], 0xbb);
	CHECK_OK(clo_gmem_munmap(g, addr, 8 * P));
	clo_gmem_release(g);
	t_host_close(&h);
}

TEST(mapping_uffd)
{
	mapping_sees_holes_and_guests(CLO_VIEW_UFFD);
}

TEST(mapping_remap)
{
	mapping_sees_holes_and_guests(CLO_VIEW_REMAP);
}

static volatile uint8_t *private_page(enum clo_view_level level)
{
	static struct t_host h;
	struct clo_gmem *g;
	void *addr;

	open_level(&h, level);
	g = t_file(&h, 8, T_MMAP_ANY, 0);
	CHECK_OK(clo_attr_set(clo_gmem_attr(g), clo_range(3, 4), true));
	(void)t_page(g, 3, true);
	CHECK_OK(clo_gmem_mmap(g, 0, 8 * P, true, &addr));
	*(volatile uint8_t *)addr = 1;
	return (volatile uint8_t *)addr + 3 * P;
}

EXPECT_SIGNAL(load_of_a_private_page_uffd, SIGBUS)
{
	test_note("%d", *private_page(CLO_VIEW_UFFD));
}

EXPECT_SIGNAL(store_to_a_private_page_uffd, SIGBUS)
{
	*private_page(CLO_VIEW_UFFD) = 1;
}

EXPECT_SIGNAL(load_of_a_private_page_remap, SIGBUS)
{
	test_note("%d", *private_page(CLO_VIEW_REMAP));
}

EXPECT_SIGNAL(store_to_a_private_page_remap, SIGBUS)
{
	*private_page(CLO_VIEW_REMAP) = 1;
}

/* Four pages from the last one on: the file ends behind the first. */
static volatile uint8_t *beyond(enum clo_view_level level)
{
	static struct t_host h;
	struct clo_gmem *g;
	void *addr, *nothing;
	uint8_t byte = 1;
	int fd[2];

	open_level(&h, level);
	g = t_file(&h, 8, T_MMAP_ANY, 0);
	CHECK_OK(clo_gmem_mmap(g, 7 * P, 4 * P - 1, true, &addr));
	CHECK_OK(clo_gmem_mmap(g, 8 * P, P, true, &nothing));
	*(volatile uint8_t *)addr = 7;
	CHECK_EQ(get(g, 7 * P), 7);
	CHECK_OK(pipe(fd));
	CHECK_EQ(write(fd[1], &byte, 1), 1);
	CHECK_EQ(read(fd[0], (char *)addr + P, 1), -1);
	CHECK_EQ(errno, EFAULT);
	/* A change of the last page leaves what is behind it alone. */
	t_convert(g, clo_range(7, 8), true);
	CHECK_EQ(write(fd[1], addr, 1), -1);
	CHECK_EQ(errno, EFAULT);
	t_convert(g, clo_range(7, 8), false);
	CHECK_OK(t_punch(g, 0, 8));
	CHECK_EQ(*(volatile uint8_t *)addr, 0);
	CHECK_ERR(clo_gmem_munmap(g, addr, P), -EINVAL);
	CHECK_ERR(clo_gmem_munmap(g, nothing, 2 * P), -EINVAL);
	CHECK_OK(clo_gmem_munmap(g, nothing, 1));
	return (volatile uint8_t *)addr + 3 * P;
}

EXPECT_SIGNAL(load_beyond_the_file_uffd, SIGBUS)
{
	test_note("%d", *beyond(CLO_VIEW_UFFD));
}

EXPECT_SIGNAL(store_beyond_the_file_remap, SIGBUS)
{
	*beyond(CLO_VIEW_REMAP) = 1;
}

/* A mapping that the VMM forgot goes with the file. */
TEST(forgotten_mapping)
{
	struct t_host h;
	struct clo_gmem *g;
	void *addr;

	open_level(&h, CLO_VIEW_AUTO);
	g = t_file(&h, 8, T_MMAP_ANY, 0);
	CHECK_OK(clo_gmem_mmap(g, 0, 8 * P, true, &addr));
	*(volatile uint8_t *)addr = 1;
	clo_gmem_release(g);
	t_host_close(&h);
}
