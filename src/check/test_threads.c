/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check/test_threads.c - the whole engine under threads: vCPUs load and store while conversions,
 * holes, pins and memslot changes run. Each vCPU has its own byte in every page and knows what it
 * wrote last; in the end the state is checked as a whole. Under TSan too.
 */
#include "check/check.h"

#include "harness/engine.h"

#define PAGES   32U
#define CPUS    3U
#define WORK_NS 200000000ULL /* bounds the work, on slow machines too */
#define TURNS   60000U

struct stress {
	struct eng e;
	struct clo_vcpu *vcpu[CPUS];
	bool typed;
	bool preserved; /* bytes survive: no holes, no zeroing, one backing */
	struct clo_a32 stop;
	uint64_t until;
};

struct worker {
	struct stress *s;
	unsigned self;
	uint64_t seed;
	uint64_t done, refused;
	uint8_t last[PAGES];
	bool wrote[PAGES];
};

static bool over(const struct stress *s)
{
	return clo_now_ns() >= s->until;
}

/* A guest: stores to its byte of a page and loads it again, by the kind it believes in; told of a
 * mismatch it believes the other. */
static void *guest(void *arg)
{
	struct worker *w = arg;
	struct stress *s = w->s;
	struct clo_rand r = { w->seed * 77 + w->self };
	bool is_private[PAGES] = { 0 };

	/* As long as anyone changes anything, and one turn at least. */
	for (unsigned n = 0; n == 0 || (!clo_a32_get(&s->stop) && !over(s)); n++) {
		unsigned page = (unsigned)clo_rand_below(&r, PAGES);
		uint64_t gpa = E_GPA + page * E_PAGE + w->self;
		uint32_t flags = s->typed && is_private[page] ? CLO_ACCESS_PRIVATE : 0;
		bool write = clo_rand_below(&r, 2);
		uint8_t value = (uint8_t)n;
		int ret;

		ret = clo_vcpu_access(s->vcpu[w->self], gpa, &value, 1,
				      flags | (write ? CLO_ACCESS_WRITE : 0));
		if (ret == -EFAULT) {
			enum clo_fault_cause cause = clo_vcpu_exit(s->vcpu[w->self])->cause;

			CHECK(cause == CLO_CAUSE_MISMATCH || cause == CLO_CAUSE_NO_SLOT);
			is_private[page] = !is_private[page];
			w->refused++;
			continue;
		}
		if (ret == 1) { /* between deletion and creation of the memslot */
			CHECK_EQ(clo_vcpu_exit(s->vcpu[w->self])->cause, CLO_CAUSE_NO_SLOT);
			continue;
		}
		CHECK_OK(ret);
		w->done++;
		if (write) {
			w->last[page] = value;
			w->wrote[page] = true;
		} else if (w->wrote[page]) {
			/* Nobody else writes this byte: mine, or zero where content may go. */
			CHECK_MSG(value == w->last[page] || (!s->preserved && value == 0),
				  "vCPU %u page %u: wrote %u, read %u", w->self, page,
				  w->last[page], value);
			if (value != w->last[page])
				w->wrote[page] = false;
		}
	}
	return NULL;
}

static void *converter(void *arg)
{
	struct worker *w = arg;
	struct stress *s = w->s;
	struct clo_rand r = { w->seed * 99 + w->self };

	for (unsigned n = 0; n == 0 || (n < TURNS && !over(s)); n++) {
		uint64_t page = clo_rand_below(&r, PAGES);
		uint64_t pages = 1 + clo_rand_below(&r, PAGES - page);
		struct clo_convert c = eng_range(page, pages, n & 1 ? CLO_CONVERT_TO_PRIVATE : 0);
		int ret;

		c.wait_ns = n % 8 == 0 ? 100000 : 0;
		ret = clo_vm_convert(s->e.vm, &c);
		if (ret == 0)
			w->done++;
		else if (ret == -EAGAIN || ret == -ENOENT)
			w->refused++;
		else
			CHECK_OK(ret);
	}
	return NULL;
}

static void *puncher(void *arg)
{
	struct worker *w = arg;
	struct clo_rand r = { w->seed * 55 };

	for (unsigned n = 0; n == 0 || (n < TURNS / 2 && !over(w->s)); n++) {
		uint64_t page = clo_rand_below(&r, PAGES);

		CHECK_OK(eng_punch(&w->s->e, page, 1 + clo_rand_below(&r, PAGES - page)));
		w->done++;
	}
	return NULL;
}

static void *pinner(void *arg)
{
	struct worker *w = arg;
	struct clo_rand r = { w->seed * 33 };

	for (unsigned n = 0; n == 0 || (n < TURNS && !over(w->s)); n++) {
		uint64_t page = clo_rand_below(&r, PAGES);
		struct clo_gmem_pin *pin;
		uint64_t where;
		int ret = clo_gmem_pin(w->s->e.gmem, page * E_PAGE,
				       (1 + clo_rand_below(&r, PAGES - page)) * E_PAGE, "stress",
				       &pin, &where);

		if (ret) {
			CHECK_ERR(ret, -EFAULT);
			w->refused++;
			continue;
		}
		w->done++;
		for (unsigned k = 0; k < 20; k++)
			clo_relax();
		clo_gmem_unpin(pin);
	}
	return NULL;
}

static void *slot_changer(void *arg)
{
	struct worker *w = arg;

	for (unsigned n = 0; n == 0 || (n < TURNS && !over(w->s)); n++) {
		CHECK_OK(eng_slot_delete(&w->s->e, 0));
		CHECK_OK(eng_slot(&w->s->e, 0, E_GPA, PAGES, 0));
		for (unsigned k = 0; k < 20 && !over(w->s); k++)
			clo_relax();
		w->done++;
	}
	return NULL;
}

/* The host touches what it may; a private page is refused. */
static void *host_toucher(void *arg)
{
	struct worker *w = arg;
	struct clo_rand r = { w->seed * 11 };

	for (unsigned n = 0; n == 0 || (n < TURNS && !over(w->s)); n++) {
		uint8_t byte = 0xa5;
		int ret = clo_gmem_host_access(
			w->s->e.gmem, clo_rand_below(&r, PAGES) * E_PAGE + 64, &byte, 1, n & 1);

		if (ret == 0) {
			w->done++;
		} else {
			CHECK_ERR(ret, -EFAULT);
			w->refused++;
		}
	}
	return NULL;
}

struct role {
	void *(*fn)(void *);
	const char *name;
};

static void stress(struct eng_config cfg, const struct role *roles, unsigned count, bool preserved)
{
	struct stress s = { .typed = (cfg.vm_flags & CLO_VM_TYPED_ACCESS) != 0,
			    .preserved = preserved };
	struct worker w[CPUS + 6] = { 0 };
	struct clo_thread t[CPUS + 6];

	cfg.pages = PAGES;
	eng_open(&s.e, cfg);
	s.vcpu[0] = s.e.vcpu;
	for (unsigned i = 1; i < CPUS; i++)
		CHECK_OK(clo_vcpu_create(s.e.vm, i, &s.vcpu[i]));
	s.until = clo_now_ns() + WORK_NS;
	for (unsigned i = 0; i < CPUS + count; i++) {
		w[i].s = &s;
		w[i].self = i;
		w[i].seed = test_seed();
		CHECK_OK(clo_thread_create(&t[i], i < CPUS ? guest : roles[i - CPUS].fn, &w[i]));
	}
	for (unsigned i = CPUS; i < CPUS + count; i++)
		clo_thread_join(&t[i]);
	clo_a32_set(&s.stop, 1);
	for (unsigned i = 0; i < CPUS; i++)
		clo_thread_join(&t[i]);
	for (unsigned i = 0; i < CPUS + count; i++) {
		test_note("%s: %lu done, %lu refused", i < CPUS ? "vCPU" : roles[i - CPUS].name,
			  (unsigned long)w[i].done, (unsigned long)w[i].refused);
		CHECK(i < CPUS || w[i].done + w[i].refused > 0);
	}
	eng_check(&s.e);
	/* All as one kind: what is left of each byte can be read. */
	CHECK_OK(eng_convert(&s.e, 0, PAGES, CLO_CONVERT_TO_PRIVATE));
	for (unsigned i = 0; preserved && i < CPUS; i++) {
		for (unsigned p = 0; p < PAGES; p++) {
			uint8_t v;

			CHECK_OK(clo_vcpu_access(s.vcpu[i], E_GPA + p * E_PAGE + i, &v, 1,
						 CLO_ACCESS_PRIVATE));
			if (w[i].wrote[p])
				CHECK_EQ(v, w[i].last[p]);
		}
	}
	eng_close(&s.e);
}

#define IN_PLACE (CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED)

TEST_TIMEOUT(in_place_preserves_every_byte, 60)
{
	static const struct role roles[] = {
		{ converter, "converter" }, { converter, "converter" },  { pinner, "pinner" },
		{ host_toucher, "host" },   { slot_changer, "memslot" },
	};
	struct eng_config c = { .owner = CLO_ATTR_OWNER_GMEM, .gmem_flags = IN_PLACE };

	stress(c, roles, CLO_ARRAY_SIZE(roles), true);
	c.vm_flags = CLO_VM_TYPED_ACCESS;
	stress(c, roles, CLO_ARRAY_SIZE(roles), true);
	c.gmem_flags |= CLO_GMEM_NO_DIRECT_MAP;
	stress(c, roles, CLO_ARRAY_SIZE(roles), true);
}

TEST_TIMEOUT(in_place_with_holes_and_zeroes, 60)
{
	static const struct role roles[] = {
		{ converter, "converter" }, { puncher, "puncher" },      { pinner, "pinner" },
		{ host_toucher, "host" },   { slot_changer, "memslot" },
	};
	struct eng_config c = { .owner = CLO_ATTR_OWNER_GMEM, .gmem_flags = IN_PLACE };

	stress(c, roles, CLO_ARRAY_SIZE(roles), false);
	c.gmem_flags |= CLO_GMEM_ZERO_ON_CONVERT;
	c.vm_flags = CLO_VM_TYPED_ACCESS;
	stress(c, roles, CLO_ARRAY_SIZE(roles), false);
}

TEST_TIMEOUT(two_backings, 60)
{
	static const struct role roles[] = {
		{ converter, "converter" },
		{ converter, "converter" },
		{ puncher, "puncher" },
		{ slot_changer, "memslot" },
	};
	struct eng_config c = { 0 };

	stress(c, roles, CLO_ARRAY_SIZE(roles), false);
	c.vm_flags = CLO_VM_TYPED_ACCESS;
	stress(c, roles, CLO_ARRAY_SIZE(roles), false);
}

/* A file that can be mapped serves both kinds: nothing is lost between two backings either. */
TEST_TIMEOUT(two_kinds_from_one_file, 60)
{
	static const struct role roles[] = {
		{ converter, "converter" },
		{ converter, "converter" },
		{ slot_changer, "memslot" },
	};
	struct eng_config c = { .gmem_flags = CLO_GMEM_MMAP };

	stress(c, roles, CLO_ARRAY_SIZE(roles), true);
}

static bool has_view(uint32_t view)
{
	struct clo_host_config c = { .size = sizeof(c), .view = view, .mem_bytes = 1 << 20 };
	struct clo_host *host;

	if (clo_host_create(&c, &host))
		return false;
	return clo_host_destroy(host) == 0;
}

static void real_views(uint32_t view)
{
	static const struct role roles[] = {
		{ converter, "converter" }, { converter, "converter" },  { pinner, "pinner" },
		{ host_toucher, "host" },   { slot_changer, "memslot" },
	};
	static const struct role holes[] = {
		{ converter, "converter" },
		{ puncher, "puncher" },
		{ host_toucher, "host" },
	};
	struct eng_config c = { .owner = CLO_ATTR_OWNER_GMEM,
				.gmem_flags = IN_PLACE,
				.view = view };

	stress(c, roles, CLO_ARRAY_SIZE(roles), true);
	stress(c, holes, CLO_ARRAY_SIZE(holes), false);
}

TEST_TIMEOUT(with_views_of_userfaultfd, 60)
{
	if (!has_view(CLO_HOST_VIEW_UFFD))
		SKIP("userfaultfd is not permitted here");
	real_views(CLO_HOST_VIEW_UFFD);
}

TEST_TIMEOUT(with_views_without_userfaultfd, 60)
{
	real_views(CLO_HOST_VIEW_REMAP);
}
