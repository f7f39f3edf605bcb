/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slot/test_fixture.h - a VM's slots for tests, with flush and write_protect counted, and files to
 * bind.
 */
#ifndef CLO_SLOT_TEST_FIXTURE_H
#define CLO_SLOT_TEST_FIXTURE_H

#include "slot/slot.h"

#include "harness/test.h"

#define OWNER     7U
#define ALL_FLAGS (CLO_MEM_LOG_DIRTY | CLO_MEM_READONLY | CLO_MEM_GUEST_MEMFD)
#define PAGE      CLO_PAGE_SIZE

struct fixture {
	struct clo_slots *s;
	struct clo_pagedb *db;
	unsigned flushes;
	unsigned protects;
	struct clo_range settled; /* what the last settle was called with */
	struct clo_slot last;     /* what the last of them was called with */
	void (*in_flush)(struct fixture *f, const struct clo_slot *slot);
};

static inline void fixture_flush(void *arg, const struct clo_slot *slot)
{
	struct fixture *f = arg;

	f->flushes++;
	f->last = *slot;
	if (f->in_flush)
		f->in_flush(f, slot);
}

/* Without the lock: who waits here for a stranger stops nobody. */
static inline void fixture_settle(void *arg, struct clo_range gfns)
{
	struct fixture *f = arg;

	CHECK_EQ(gfns.start, f->last.gfns.start);
	CHECK_EQ(gfns.end, f->last.gfns.end);
	f->settled = gfns;
	clo_slots_lock_shared(f->s);
	clo_slots_unlock(f->s);
}

static inline void fixture_protect(void *arg, const struct clo_slot *slot)
{
	struct fixture *f = arg;

	f->protects++;
	f->last = *slot;
}

static inline void fixture_open(struct fixture *f, unsigned as_count, uint32_t valid_flags)
{
	*f = (struct fixture){ .s = NULL };
	CHECK_OK(clo_pagedb_create(CLO_POOL_ANON, 64, 0, &f->db));

	struct clo_slots_config cfg = {
		.as_count = as_count,
		.valid_flags = valid_flags,
		.owner = OWNER,
		.db = f->db,
		.flush = fixture_flush,
		.settle = fixture_settle,
		.write_protect = fixture_protect,
		.arg = f,
	};

	CHECK_OK(clo_slots_create(&cfg, &f->s));
}

static inline void fixture_close(struct fixture *f)
{
	clo_slots_destroy(f->s);
	clo_rcu_barrier();
	clo_pagedb_destroy(f->db);
}

static inline struct clo_gmem *file_open(struct fixture *f, uint64_t npages, uint64_t flags,
					 uint32_t owner)
{
	struct clo_gmem_config cfg = {
		.size = npages * PAGE,
		.flags = flags,
		.owner = owner,
		.valid_flags = CLO_GMEM_MMAP,
	};
	struct clo_gmem *g;

	CHECK_OK(clo_gmem_open(f->db, NULL, &cfg, &g));
	return g;
}

/* In pages. */
static inline struct clo_region region(uint32_t slot, uint64_t gfn, uint64_t npages,
				       uint64_t hva_page)
{
	return (struct clo_region){
		.size = sizeof(struct clo_region),
		.slot = slot,
		.guest_phys_addr = gfn * PAGE,
		.memory_size = npages * PAGE,
		.userspace_addr = hva_page * PAGE,
	};
}

static inline struct clo_region gmem_region(uint32_t slot, uint64_t gfn, uint64_t npages,
					    struct clo_gmem *g, uint64_t index)
{
	struct clo_region r = region(slot, gfn, npages, 0);

	r.flags = CLO_MEM_GUEST_MEMFD;
	r.gmem = g;
	r.guest_memfd_offset = index * PAGE;
	return r;
}

static inline int set(struct fixture *f, struct clo_region r)
{
	return clo_slots_set_region(f->s, &r);
}

static inline struct clo_slot at(struct fixture *f, unsigned as, uint64_t gfn)
{
	const struct clo_slot *slot;
	struct clo_slot copy = { .id = UINT32_MAX };

	clo_rcu_read_lock();
	slot = clo_slots_find(f->s, as, clo_gfn(gfn));
	if (slot)
		copy = *slot;
	clo_rcu_read_unlock();
	return copy;
}

static inline bool none_at(struct fixture *f, unsigned as, uint64_t gfn)
{
	return at(f, as, gfn).id == UINT32_MAX;
}

#endif
