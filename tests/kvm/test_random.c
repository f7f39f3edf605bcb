/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm/test_random.c - random programs on one file and one VM, on both sides. Each step's answer,
 * each byte loaded, and in the end the whole file must be the same. A program that finds a
 * difference is shrunk before it is printed.
 */
#include "kvm/beside.h"

#include "harness/test.h"
#include "kvm/numbers.h"

#include <stdio.h>
#include <sys/mman.h>

#define P        B_PAGE
#define PAGES    16U
#define STEPS    20U
#define PROGRAMS 2500U
#define MAPS     3U
#define SLOTS    4U
#define GPA      (1ULL << 32)
#define HVA      (1ULL << 40)

enum code {
	S_ALLOCATE,
	S_HOLE,
	S_FALLOCATE, /* any mode */
	S_MAP,
	S_UNMAP,
	S_STORE,
	S_LOAD,
	S_ACCESS, /* by offset here, through a new mapping there */
	S_DONTNEED,
	S_REMOVE,
	S_POPULATE,
	S_SLOT,
	S_SLOT_DELETE,
	S_REOPEN,
	S_CODES
};

static const char *const code_name[S_CODES] = {
	[S_ALLOCATE] = "allocate",   [S_HOLE] = "hole",
	[S_FALLOCATE] = "fallocate", [S_MAP] = "map",
	[S_UNMAP] = "unmap",         [S_STORE] = "store",
	[S_LOAD] = "load",           [S_ACCESS] = "access",
	[S_DONTNEED] = "dontneed",   [S_REMOVE] = "remove",
	[S_POPULATE] = "populate",   [S_SLOT] = "slot",
	[S_SLOT_DELETE] = "delete",  [S_REOPEN] = "reopen",
};

struct step {
	enum code code;
	unsigned n;    /* mapping or memslot */
	unsigned page; /* of the file, or of the mapping */
	unsigned count;
	unsigned value;
};

struct program {
	struct step step[STEPS];
	unsigned count;
};

struct run {
	struct beside *b;
	struct twin f;
	struct twin_map map[MAPS];
	uint64_t flags;
	char text[160]; /* what differed */
};

static bool differ(struct run *r, enum beside_call call, const uint64_t *arg, struct answers a)
{
	if (a.kernel == a.here || beside_known(call, arg, a.kernel, a.here))
		return false;
	snprintf(r->text, sizeof(r->text), "the kernel gives %d (%s), Cloister %d (%s)", a.kernel,
		 beside_errno(a.kernel), a.here, beside_errno(a.here));
	return true;
}

static bool step_fallocate(struct run *r, const struct step *s)
{
	int mode = CLO_FALLOC_KEEP_SIZE;
	int64_t off = (int64_t)(s->page * P), len = (int64_t)(s->count * P);
	uint64_t arg[3];

	if (s->code == S_HOLE)
		mode |= CLO_FALLOC_PUNCH_HOLE;
	if (s->code == S_FALLOCATE) {
		mode = (int)(s->value & 0xff);
		off += s->value & 1;
	}
	arg[0] = (uint64_t)mode;
	arg[1] = (uint64_t)off;
	arg[2] = (uint64_t)len;
	return differ(r, B_FALLOCATE, arg, answers_fallocate(r->b, &r->f, mode, off, len));
}

static bool step_map(struct run *r, const struct step *s)
{
	struct twin_map *m = &r->map[s->n % MAPS];
	uint64_t len = s->count * P - s->value % 3;
	const uint64_t arg[] = { s->page * P, len, true };

	if (m->len)
		beside_munmap(&r->f, m);
	return differ(r, B_MMAP, arg, answers_mmap(&r->f, s->page * P, len, true, m));
}

static int advise(uint8_t *at, size_t bytes, int what)
{
	return madvise(at, bytes, what) < 0 ? -errno : 0;
}

/* On the mapping, if there is one. */
static bool step_mapped(struct run *r, const struct step *s)
{
	const struct twin_map *m = &r->map[s->n % MAPS];
	unsigned pages = m->here ? (unsigned)((m->len + P - 1) / P) : 0;
	unsigned page = pages ? s->page % pages : 0;
	uint64_t at = page * P + s->value % P;
	size_t bytes = P * (s->count < pages - page ? s->count : pages - page);
	const uint64_t arg[] = { B_MAP_OTHER, m->off / P + page >= PAGES };
	struct answers a;
	int what;

	if (pages == 0)
		return false;
	if (s->code == S_STORE || s->code == S_LOAD) {
		bool write = s->code == S_STORE;

		a.kernel = beside_touch(m->kernel + at, write, (uint8_t)s->value);
		a.here = beside_touch(m->here + at, write, (uint8_t)s->value);
		return differ(r, B_MAPPED, arg, a);
	}
	what = s->code == S_DONTNEED ? MADV_DONTNEED
	       : s->code == S_REMOVE ? MADV_REMOVE
				     : B_POPULATE_WRITE;
	a.kernel = advise(m->kernel + page * P, bytes, what);
	a.here = advise(m->here + page * P, bytes, what);
	return differ(r, B_MAPPED, arg, a);
}

/* The whole page, without the VMM's mapping of it. */
static bool compare_page(struct run *r, unsigned page)
{
	uint8_t bytes[P];
	uint8_t *there = mmap(NULL, P, PROT_READ, MAP_SHARED, r->f.fd, (off_t)(page * P));
	bool same;

	CHECK(there != MAP_FAILED);
	memset(bytes, 0xee, sizeof(bytes));
	CHECK_OK(clo_gmem_host_access(r->f.gmem, page * P, bytes, sizeof(bytes), false));
	same = memcmp(there, bytes, sizeof(bytes)) == 0;
	for (unsigned i = 0; i < P && !same; i++) {
		if (there[i] == bytes[i])
			continue;
		snprintf(r->text, sizeof(r->text),
			 "page %u byte %u: the kernel has %u, Cloister %u", page, i, there[i],
			 bytes[i]);
		break;
	}
	CHECK_OK(munmap(there, P));
	return !same;
}

static bool step_slot(struct run *r, const struct step *s)
{
	struct clo_region region = { .size = sizeof(region), .slot = s->n % SLOTS };
	const uint64_t arg[B_REGION_ARGS] = { region.slot, CLO_MEM_GUEST_MEMFD };

	if (s->code == S_SLOT) {
		region.flags = s->value % 4 ? CLO_MEM_GUEST_MEMFD : CLO_MEM_READONLY;
		region.guest_phys_addr = GPA + s->value / 4 % 8 * P;
		region.memory_size = s->count * P;
		region.userspace_addr = HVA;
		region.guest_memfd_offset = s->page * P;
	}
	return differ(r, B_REGION, arg, answers_region(r->b, region, &r->f));
}

static void open_file(struct run *r)
{
	CHECK(beside_create(r->b, PAGES * P, r->flags, &r->f));
}

static void close_file(struct run *r)
{
	/* A mapping keeps a file in the kernel, and goes with it here. */
	for (unsigned i = 0; i < MAPS; i++)
		if (r->map[i].len)
			beside_munmap(&r->f, &r->map[i]);
	beside_close_file(&r->f);
}

static bool run_step(struct run *r, const struct step *s)
{
	r->b->calls++;
	switch (s->code) {
	case S_ALLOCATE:
	case S_HOLE:
	case S_FALLOCATE:
		return step_fallocate(r, s);
	case S_MAP:
		return step_map(r, s);
	case S_UNMAP:
		if (r->map[s->n % MAPS].len)
			beside_munmap(&r->f, &r->map[s->n % MAPS]);
		return false;
	case S_ACCESS:
		return compare_page(r, s->page % PAGES);
	case S_SLOT:
	case S_SLOT_DELETE:
		return step_slot(r, s);
	case S_REOPEN:
		close_file(r);
		open_file(r);
		return false;
	case S_STORE:
	case S_LOAD:
	case S_DONTNEED:
	case S_REMOVE:
	case S_POPULATE:
		return step_mapped(r, s);
	case S_CODES:
		break;
	}
	return false;
}

/* The step that differs; p->count: the bytes in the end; more: none. */
static unsigned run_program(struct beside *b, const struct program *p, char *text, size_t size)
{
	struct run r = { .b = b, .flags = CLO_GMEM_MMAP | CLO_GMEM_INIT_SHARED };
	unsigned at = 0;
	bool bad = false;

	open_file(&r);
	while (at < p->count && !bad) {
		bad = run_step(&r, &p->step[at]);
		at += !bad;
	}
	for (unsigned i = 0; i < PAGES && !bad; i++)
		bad = compare_page(&r, i);
	close_file(&r);
	for (unsigned i = 0; i < SLOTS; i++)
		(void)answers_region(
			b, (struct clo_region){ .size = sizeof(struct clo_region), .slot = i },
			NULL);
	snprintf(text, size, "%s", r.text);
	return bad ? at : p->count + 1;
}

static void make_program(struct program *p, uint64_t *s)
{
	p->count = STEPS;
	for (unsigned i = 0; i < STEPS; i++) {
		/* In this order: what a call gets must not depend on the compiler. */
		uint64_t x = next_random(s);

		p->step[i] = (struct step){
			.code = (enum code)(x % S_CODES),
			.n = (unsigned)(x >> 8 & 0xff),
			.page = (unsigned)(x >> 16 & 0xff) % (PAGES + 2),
			.count = 1 + (unsigned)(x >> 24 & 0xff) % (x >> 40 & 3 ? 3 : PAGES + 2),
			.value = (unsigned)(x >> 48),
		};
		/* Stores are what there is to be lost. */
		if (p->step[i].code == S_REOPEN && x >> 42 & 7)
			p->step[i].code = S_STORE;
	}
}

/* Steps without which it still differs are taken out, half of them at a time, down to one. */
static void shrink(struct beside *b, struct program *p)
{
	char text[160];

	for (unsigned size = p->count / 2; size > 0; size /= 2) {
		for (unsigned at = 0; at + size <= p->count;) {
			struct program less = *p;

			less.count -= size;
			memmove(&less.step[at], &p->step[at + size],
				(p->count - at - size) * sizeof(p->step[0]));
			if (run_program(b, &less, text, sizeof(text)) <= less.count)
				*p = less;
			else
				at++;
		}
	}
}

static void print_program(struct beside *b, const struct program *p)
{
	char text[160];
	unsigned at = run_program(b, p, text, sizeof(text));

	for (unsigned i = 0; i < p->count; i++) {
		const struct step *s = &p->step[i];

		test_note("%s %u page %u count %u value %u%s", code_name[s->code], s->n, s->page,
			  s->count, s->value, i == at ? "   <- here" : "");
	}
	test_note("%s%s", at == p->count ? "in the end " : "", text);
}

/* True: a difference; *p: the program, shrunk. */
static bool search(struct beside *b, uint64_t seed, struct program *p)
{
	uint64_t s = seed_random(seed);
	char text[160];

	for (unsigned i = 0; i < PROGRAMS; i++) {
		make_program(p, &s);
		if (run_program(b, p, text, sizeof(text)) > p->count)
			continue;
		test_note("seed %llu, program %u", (unsigned long long)seed, i);
		shrink(b, p);
		print_program(b, p);
		return true;
	}
	return false;
}

static void programs(uint32_t view)
{
	struct program p;
	struct beside b;

	beside_open(&b, view);
	if (search(&b, test_seed(), &p))
		test_fail(__FILE__, __LINE__, "the sides differ");
	beside_close(&b);
}

TEST(programs_uffd)
{
	programs(CLO_HOST_VIEW_UFFD);
}

TEST(programs_remap)
{
	programs(CLO_HOST_VIEW_REMAP);
}

/* Holes that Cloister forgets are found, and what is left is a store and a hole. */
TEST(a_lost_hole_is_found_and_shrunk)
{
	struct program p;
	struct beside b;

	beside_open(&b, CLO_HOST_VIEW_AUTO);
	b.lose_holes = true;
	CHECK(search(&b, test_seed(), &p));
	CHECK_LE(p.count, 3U);
	CHECK_EQ(p.step[p.count - 1].code, S_HOLE);
	beside_close(&b);
}
