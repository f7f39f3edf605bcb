/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/test_sparse.c - guests with files of many TiB on one host, mapped and not, by the public API:
 * what one of them takes, or fails to get, is not missing to the other.
 */
#include "harness/engine.h"
#include "harness/touch.h"

#define GIB  (1ULL << 30)
#define TIB  (1ULL << 40)
#define SLOT (4 * TIB) /* a memslot is less than 8 TiB */

static const struct eng_config host_of_256m = { .owner = CLO_ATTR_OWNER_GMEM,
						.view = CLO_HOST_VIEW_UFFD,
						.gmem_flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED,
						.pages = 16,
						.no_slot = true };

/* Sanitizers and ulimit leave less than what these tests map. */
static bool has_address_space(uint64_t bytes)
{
#ifdef CLO_SYNC_TSAN /* ends the process */
	return bytes < TIB;
#endif
	void *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return false;
	munmap(p, bytes);
	return true;
}

static bool can_map(void)
{
	struct clo_host_config c = { .size = sizeof(c), .view = CLO_HOST_VIEW_UFFD };
	struct clo_host *host;

	if (clo_host_create(&c, &host))
		return false;
	CHECK_OK(clo_host_destroy(host));
	return true;
}

struct guest {
	struct clo_vm *vm;
	struct clo_vcpu *vcpu;
	struct clo_gmem *gmem;
	uint64_t bytes;
};

static void guest_open(struct guest *u, struct eng *e, uint64_t bytes)
{
	struct clo_vm_config c = { .size = sizeof(c),
				   .type = CLO_VM_SW_PROTECTED,
				   .attr_owner = CLO_ATTR_OWNER_GMEM };

	u->bytes = bytes;
	CHECK_OK(clo_vm_create(e->host, &c, &u->vm));
	CHECK_OK(clo_vcpu_create(u->vm, 0, &u->vcpu));
	CHECK_OK(clo_gmem_create(u->vm, bytes, CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED, 0, &u->gmem));
	for (uint64_t at = 0; at < bytes; at += SLOT) {
		struct clo_region r = { .size = sizeof(r),
					.slot = (uint32_t)(at / SLOT),
					.flags = CLO_MEM_GUEST_MEMFD,
					.guest_phys_addr = at,
					.memory_size = bytes - at < SLOT ? bytes - at : SLOT,
					.guest_memfd_offset = at,
					.gmem = u->gmem };

		CHECK_OK(clo_vm_set_region(u->vm, &r));
	}
}

static int store(struct guest *u, uint64_t gpa, uint8_t value)
{
	return clo_vcpu_access(u->vcpu, gpa, &value, 1, CLO_ACCESS_WRITE);
}

static uint8_t load(struct guest *u, uint64_t gpa)
{
	uint8_t value = 0xff;

	CHECK_OK(clo_vcpu_access(u->vcpu, gpa, &value, 1, 0));
	return value;
}

static void guest_close(struct guest *u)
{
	clo_vm_destroy(u->vm, NULL);
}

TEST(a_mapping_that_cannot_be_had_takes_nothing)
{
	struct guest large, small;
	struct eng e;
	void *addr;

	if (!can_map())
		SKIP("no userfaultfd");
	eng_open(&e, host_of_256m);
	guest_open(&large, &e, 100 * TIB);
	guest_open(&small, &e, 4 * GIB);
	for (unsigned i = 0; i < 3; i++)
		CHECK_ERR(clo_gmem_mmap(large.gmem, 0, 100 * TIB, true, &addr), -ENOMEM);
	CHECK_EQ(eng_frames(&e), 0);
	CHECK_OK(store(&small, 3 * GIB, 1));
	CHECK_OK(store(&large, 99 * TIB, 2));
	CHECK_EQ(load(&large, 99 * TIB), 2);
	/* A part of it can be mapped, and all of the other. */
	CHECK_OK(clo_gmem_mmap(large.gmem, 99 * TIB, GIB, true, &addr));
	CHECK_EQ(*(volatile uint8_t *)addr, 2);
	CHECK_OK(clo_gmem_munmap(large.gmem, addr, GIB));
	CHECK_OK(clo_gmem_mmap(small.gmem, 0, 4 * GIB, true, &addr));
	CHECK_EQ(((volatile uint8_t *)addr)[3 * GIB], 1);
	guest_close(&large);
	guest_close(&small);
	eng_close(&e);
}

TEST(two_guests_of_8_tib_mapped)
{
	struct guest u[2];
	uint8_t *addr[2];
	struct eng e;

	if (!can_map())
		SKIP("no userfaultfd");
	if (!has_address_space(60 * TIB))
		SKIP("no address space");
	eng_open(&e, host_of_256m);
	for (unsigned i = 0; i < 2; i++) {
		void *p;

		guest_open(&u[i], &e, 8 * TIB);
		CHECK_OK(clo_gmem_mmap(u[i].gmem, 0, 8 * TIB, true, &p));
		addr[i] = p;
	}
	for (uint64_t at = 0; at < 8 * TIB; at += 257 * GIB) {
		for (unsigned i = 0; i < 2; i++)
			CHECK_OK(store(&u[i], at, (uint8_t)(i + 1)));
		for (unsigned i = 0; i < 2; i++)
			CHECK_EQ(addr[i][at], i + 1);
	}
	for (unsigned i = 0; i < 2; i++) {
		uint64_t off;

		CHECK_OK(clo_gmem_set_attributes(u[i].gmem, 0, 8 * TIB, CLO_ATTR_PRIVATE, &off));
		CHECK_OK(clo_gmem_set_attributes(u[i].gmem, 0, 8 * TIB, 0, &off));
		CHECK_EQ(addr[i][257 * GIB], i + 1);
		CHECK_OK(clo_gmem_munmap(u[i].gmem, addr[i], 8 * TIB));
		guest_close(&u[i]);
	}
	eng_close(&e);
}

/* One page in each 50 GiB: of 4096, more than the pool's space has windows of 1G. */
TEST(one_page_here_and_there)
{
	struct eng_config c = host_of_256m;
	struct guest sparse, other;
	struct eng e;

	c.view = CLO_HOST_VIEW_SOFT;
	eng_open(&e, c);
	guest_open(&sparse, &e, 200 * TIB);
	guest_open(&other, &e, GIB);
	for (uint64_t i = 0; i < 4096; i++)
		CHECK_OK(store(&sparse, i * 50 * GIB, (uint8_t)i));
	CHECK_OK(store(&other, 0, 1));
	for (uint64_t i = 0; i < 4096; i++)
		CHECK_EQ(load(&sparse, i * 50 * GIB), (uint8_t)i);
	CHECK_OK(clo_gmem_fallocate(sparse.gmem, CLO_FALLOC_KEEP_SIZE | CLO_FALLOC_PUNCH_HOLE, 0,
				    (int64_t)(200 * TIB)));
	CHECK_EQ(eng_frames(&e), 1);
	CHECK_OK(store(&other, GIB - 1, 1));
	guest_close(&sparse);
	guest_close(&other);
	eng_close(&e);
}

/* 16 pages in 256 GiB, all of it converted and punched in one call, as a guest may ask. */
TEST(sparse_mapping_is_converted_whole)
{
	const uint64_t bytes = 256 * GIB, step = bytes / 16;
	struct guest u;
	struct eng e;
	uint8_t *v;
	void *addr;

	if (!can_map() || !has_address_space(4 * bytes))
		SKIP("no userfaultfd, or not enough address space");
	touch_init();
	eng_open(&e, host_of_256m);
	guest_open(&u, &e, bytes);
	CHECK_OK(clo_gmem_mmap(u.gmem, 0, bytes, true, &addr));
	v = addr;
	for (unsigned round = 0; round < 2; round++) {
		struct clo_convert c = { .size = sizeof(c), .bytes = bytes };

		for (uint64_t i = 0; i < 16; i++)
			CHECK(touch_store(v + i * step + i * E_PAGE, (uint8_t)(i + 1)));
		c.flags = CLO_CONVERT_TO_PRIVATE;
		CHECK_OK(clo_vm_convert(u.vm, &c));
		for (uint64_t i = 0; i < 16; i++) {
			CHECK_EQ(touch_load(v + i * step + i * E_PAGE), -1);
			CHECK_EQ(touch_load(v + i * step + 700 * E_PAGE), -1);
		}
		c.flags = 0;
		CHECK_OK(clo_vm_convert(u.vm, &c));
		for (uint64_t i = 0; i < 16; i++) {
			CHECK_EQ(touch_load(v + i * step + i * E_PAGE), i + 1);
			CHECK_EQ(touch_load(v + i * step + 700 * E_PAGE), 0);
		}
		CHECK_OK(clo_gmem_fallocate(u.gmem, CLO_FALLOC_KEEP_SIZE | CLO_FALLOC_PUNCH_HOLE, 0,
					    (int64_t)bytes));
		for (uint64_t i = 0; i < 16; i++)
			CHECK_EQ(touch_load(v + i * step + i * E_PAGE), 0);
	}
	guest_close(&u);
	eng_close(&e);
}
