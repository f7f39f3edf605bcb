/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/test_run.c - programs on the engine: what each operation ends in, set-up that cannot be,
 * memory that runs out at every place, and a judge that says no.
 */
#include <stdio.h>

#include "harness/test.h"
#include "litmus/litmus.h"

static struct clo_litmus *parse(const char *text)
{
	struct clo_litmus *p = NULL;
	struct clo_litmus_error e;
	int ret = clo_litmus_parse(text, strlen(text), "t", &p, &e);

	if (ret)
		clo_litmus_print_error(&e, stdout);
	CHECK_OK(ret);
	return p;
}

/* Run in the order of the rows and judge. */
static struct clo_litmus_verdict run(const char *text)
{
	struct clo_litmus *p = parse(text);
	struct clo_litmus_verdict v;
	struct clo_litmus_run *r;
	char why[CLO_LITMUS_WHY];
	int ret = clo_litmus_setup(p, CLO_HOST_VIEW_SOFT, &r, why);

	CHECK_MSG(ret == 0, "%s", why);
	CHECK(clo_litmus_host(r) != NULL && clo_litmus_vm(r, 0) != NULL);
	CHECK(clo_litmus_vm(r, p->vm_count) == NULL);
	clo_litmus_run_rows(r);
	clo_litmus_judge(r, &v);
	clo_litmus_teardown(r);
	clo_litmus_free(p);
	return v;
}

static void holds(const char *text)
{
	struct clo_litmus_verdict v = run(text);

	CHECK_MSG(v.holds, "%s (%s)", v.why, v.outcome);
}

/* Accesses, and each way in which they end. */
TEST(accesses)
{
	holds("SW_PROTECTED t { vm a typed hypercall; gmem f 8 pages; slot s 0 0+8 gmem f;\n"
	      " slot r 1 0x10+1 readonly; slot n 2 0x20+1; ram_write r 0 3; }\n"
	      "vCPU0 ;\n"
	      "store 0:8 5 private -> ok ;\n"
	      "load 0:8 private -> 5 ;\n"
	      "load 0 shared -> mismatch ;\n"
	      "load 0 shared -> EFAULT ;\n"
	      "load 0 shared -> MEMORY_FAULT ;\n"
	      "load 0 shared -> failed ;\n"
	      "fill 0+2 7 private ;\n"
	      "check 0+2 7 private -> ok ;\n"
	      "store 1:0xff8 8 private ;\n"
	      "check 0+2 7 private -> differs ;\n"
	      "zero 0+2 private ;\n"
	      "check 0+2 0 private -> ok ;\n"
	      "load 0x10 shared -> 3 ;\n"
	      "store 0x10 4 shared -> readonly ;\n"
	      "store 0x10 4 shared -> MMIO ;\n"
	      "load 0x30 shared -> no_slot ;\n"
	      "load 0x30 private -> no_slot ;\n"
	      "pre_fault 2+2 -> ok ;\n"
	      "pre_fault 0x100 -> ENOENT ;\n"
	      "fill 7+2 1 private -> no_slot ;\n"
	      "always (corrupt and page 0 = private and content 1 = 0)\n"
	      "never (page 0x30 = private)\n");
}

/* Two backings: KVM's call, the engine's, and the VMM's memory. */
TEST(two_backings)
{
	holds("SW_PROTECTED t { vm a owner vm; gmem f 4 pages; slot s 0 0+4 gmem f;\n"
	      " ram_write s 1 9; }\n"
	      "vCPU0 ;\n"
	      "load 1 -> 9 ;\n"
	      "get_attributes 0+4 -> shared ;\n"
	      "set_attributes 1 private -> ok ;\n"
	      "get_attributes 0+4 -> mixed ;\n"
	      "load 1 -> 0 ;\n"
	      "ram_read s 1 -> 9 ;\n"
	      "gmem_attributes 1 private -> ENOTTY ;\n"
	      "dry_convert 2 private -> ok ;\n"
	      "get_attributes 2 -> shared ;\n"
	      "convert 8 private -> ENOENT ;\n"
	      "set_shared 1 -> ok ;\n"
	      "set_private 0+4 -> ok ;\n"
	      "get_attributes 0+4 -> private ;\n"
	      "ram_read s 4 -> EFAULT ;\n"
	      "host_read 0 -> ENODEV ;\n"
	      "always (conversions = 3 and conversions_failed = 1 and faults > 0)\n");
}

/* In place: files, holes punched, pins, host touches. */
TEST(in_place)
{
	holds("SW_PROTECTED t { gmem f 8 pages init_shared; gmem g 4 pages; slot s 0 0+8 gmem f; "
	      "}\n"
	      "vCPU0 ;\n"
	      "host_write f 1 6 -> ok ;\n"
	      "load 1 -> 6 ;\n"
	      "p = pin dev f 1 -> ok ;\n"
	      "convert 0+4 private -> EAGAIN ;\n"
	      "convert_wait 0+4 private 1000 -> EAGAIN ;\n"
	      "unpin dev -> ok ;\n"
	      "q = unpin dev -> skipped ;\n"
	      "convert_wait 0+4 private 1000 -> ok ;\n"
	      "pin again f 1 -> EFAULT ;\n"
	      "host_read f 1 -> EFAULT ;\n"
	      "gmem_attributes f 1 shared -> ok ;\n"
	      "set_attributes 1 shared -> ENOTTY ;\n"
	      "host_read f 1 -> 6 ;\n"
	      "allocate f 2+2 -> ok ;\n"
	      "allocate f 7+2 -> EINVAL ;\n"
	      "punch f 1+1 -> ok ;\n"
	      "load 1 -> 0 ;\n"
	      "ram_read s 0 -> ENODEV ;\n"
	      "close g -> ok ;\n"
	      "if p = ok: load 1 -> 0 ;\n"
	      "if p != ok: load 1 -> 0 ;\n"
	      "always (pins_left = 0 and zaps_punch >= 1 and frames_leaked = 0)\n");
}

/* Memslots, holes, hypercalls, listeners, the prepare hook. */
TEST(the_rest)
{
	holds("SW_PROTECTED t { vm a typed hypercall; gmem f 4 pages; slot s 0 0+4 gmem f;\n"
	      " slot u 1 0x40+1; slot x 2 0x41+2 absent; listener d pins; listener e; }\n"
	      "vCPU0 ;\n"
	      "slot_create x -> ok ;\n"
	      "slot_move u 0x42 -> EEXIST ;\n"
	      "slot_move u 0x50 -> ok ;\n"
	      "slot_move s 0x60 -> EINVAL ;\n"
	      "slot_delete x -> ok ;\n"
	      "slot_delete x -> EINVAL ;\n"
	      "hole u 0x50 -> ok ;\n"
	      "load 0x50 shared -> in_hole ;\n"
	      "unhole u 0x50 -> ok ;\n"
	      "load 0x50 shared -> 0 ;\n"
	      "map_gpa 1 shared -> ok ;\n"
	      "get_attributes 1 -> shared ;\n"
	      "hypercall 1 private -> HYPERCALL ;\n"
	      "complete EAGAIN -> ok ;\n"
	      "complete ok -> EINVAL ;\n"
	      "refuse e map ;\n"
	      "convert 2 shared -> EBUSY ;\n"
	      "accept e ;\n"
	      "convert 2 shared -> ok ;\n"
	      "refuse e unmap ;\n"
	      "convert 2 private -> EBUSY ;\n"
	      "accept e ;\n"
	      "convert 2 private -> ok ;\n"
	      "prepare EIO ;\n"
	      "load 3 private -> prepare_failed ;\n"
	      "load 3 private -> EIO ;\n"
	      "prepare ok ;\n"
	      "load 3 private -> 0 ;\n"
	      "always (prepared >= 1 and undo_failures = 0 and pins_left = 1)\n");
	holds("SW_PROTECTED t { vm a convert_on_hypercall; gmem 4 pages; }\n"
	      "vCPU0 ; map_gpa 1 shared -> ok ; get_attributes 1 -> shared ;\n");
	holds("SW_PROTECTED t { gmem 4 pages; } vCPU0 ; map_gpa 1 shared -> ENOSYS ;\n");
}

/* What a VM may not be, and a prologue that does not go as it must: said, nothing left. */
TEST(setup_errors)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "DEFAULT t { gmem 1 pages zero_on_convert; } A ;", "file mem cannot be made" },
		{ "SW_PROTECTED t { gmem 1 pages; slot s 0 0+2 gmem mem; } A ;", "memslot s" },
		{ "DEFAULT t { slot s 0 0+2; slot r 1 1+2; } A ;", "memslot r" },
		{ "DEFAULT t { slot s 0 0+1;\n load 0x9; } A ;", "line 2: prologue: 'load 0x9'" },
		{ "DEFAULT t { slot s 0 0+1; load 0 -> 5; } A ;", "ended in 0" },
		{ "DEFAULT t { host 1 pages; gmem 4 pages; fill 0+4 1; } A ;", NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct clo_litmus *p = parse(cases[i].text);
		uint64_t live = clo_alloc_live();
		struct clo_litmus_run *r = NULL;
		char why[CLO_LITMUS_WHY] = "";
		int ret = clo_litmus_setup(p, CLO_HOST_VIEW_SOFT, &r, why);

		CHECK(r == NULL);
		CHECK_EQ(clo_alloc_live(), live);
		if (cases[i].why) {
			CHECK_ERR(ret, -EINVAL);
			CHECK_MSG(strstr(why, cases[i].why), "'%s'", why);
		} else {
			CHECK_ERR(ret, -ENOMEM);
		}
		clo_litmus_free(p);
	}
	clo_litmus_teardown(NULL);
}

/* Each allocation of the set-up fails once: nothing is left, and it works when none does. */
TEST(setup_without_memory)
{
	struct clo_litmus *p = parse(
		"SW_PROTECTED t { vm a owner vm; vm b; gmem f 2 pages; gmem g 2 pages @b;\n"
		" slot s 0 0+2 gmem f; slot r 0 0+2 gmem g @b; listener d pins @b;\n"
		" ram_write s 0 1; convert 0 private; fill 0 2; pin x g 0 @b -> ok or EFAULT;\n"
		" convert 0 shared @b; } vCPU0 | vCPU0b@b ; | ;\n");
	uint64_t live = clo_alloc_live();
	struct clo_litmus_run *r = NULL;
	unsigned n = 1;

	for (;; n++) {
		uint64_t count;
		int ret;

		clo_alloc_fail_at(n);
		ret = clo_litmus_setup(p, CLO_HOST_VIEW_SOFT, &r, NULL);
		count = clo_alloc_count();
		clo_alloc_fail_at(0);
		if (ret == 0 && count < n)
			break;
		if (ret == 0) { /* one that can be done without */
			clo_litmus_teardown(r);
			continue;
		}
		CHECK_ERR(ret, -ENOMEM);
		CHECK_MSG(clo_alloc_live() == live, "allocation %u: memory is left", n);
	}
	CHECK_LT(10, n);
	test_note("%u allocations", n - 1);
	clo_litmus_teardown(r);
	CHECK_EQ(clo_alloc_live(), live);
	clo_litmus_free(p);
}

/* The judge says no, to results and to conditions, and says where. */
TEST(judge)
{
	struct clo_litmus_verdict v =
		run("DEFAULT t { slot s 0 0+1; } vCPU0 ;\nr0 = load 0 -> 7 or EFAULT ;\n");

	CHECK(!v.holds);
	CHECK_EQ(v.thread, 0);
	CHECK_EQ(v.op, 0);
	CHECK_EQ(v.final, CLO_LITMUS_NONE);
	CHECK_STR(v.outcome, "vCPU0:r0=0");
	CHECK_STR(v.why, "line 2: vCPU0: 'r0 = load 0 -> 0x7 or EFAULT' ended in 0");

	v = run("DEFAULT t { slot s 0 0+1; } vCPU0 | VMM ;\nr0 = load 0 | ;\n"
		"if r0 = 1: r1 = load 0 -> 9 | g = get_attributes 0 ;\nc = check 0 1 | ;\n"
		"sometimes (vCPU0:r0 = 1) sometimes (vCPU0:r1 = skipped)\n"
		"always (not corrupt)\n");
	CHECK(!v.holds);
	CHECK_EQ(v.final, 2);
	CHECK_EQ(v.sometimes, 2);
	CHECK_STR(v.outcome, "vCPU0:r0=0 vCPU0:r1=skipped vCPU0:c=differs VMM:g=shared");
	CHECK_STR(v.why, "line 6: the 'always' condition is false");

	v = run("DEFAULT t { slot s 0 0+1; } vCPU0 ; r = load 5 ;\n"
		"never (faults > 5 or faults < 1 or faults >= 9 or faults <= 0 or faults != 1 or\n"
		" content 5 = 0 or vCPU0:r = no_slot)\n");
	CHECK(!v.holds);
	CHECK_EQ(v.final, 0);
	CHECK_STR(v.outcome, "vCPU0:r=no_slot");
}

/* On threads, many times: what is expected of every interleaving. */
TEST(threads)
{
	struct clo_litmus *p =
		parse("SW_PROTECTED t { gmem 2 pages; fill 0+2 1; }\n"
		      "vCPU0 | vCPU1 | VMM ;\n"
		      "load 0 -> 1 or 2 or mismatch | store 0 2 | set_shared 0+2 ;\n"
		      "load 1 -> 1 or mismatch | store 0 2 | set_private 0+2 -> ok ;\n"
		      "always (page 0 = private and content 1 = 1)\n");

	for (unsigned i = 0; i < 50; i++) {
		struct clo_litmus_verdict v;
		struct clo_litmus_run *r;

		CHECK_OK(clo_litmus_setup(p, CLO_HOST_VIEW_SOFT, &r, NULL));
		CHECK_OK(clo_litmus_run_threads(r));
		clo_litmus_judge(r, &v);
		CHECK_MSG(v.holds, "%s", v.why);
		CHECK(clo_litmus_result(r, 2, 1)->ran);
		clo_litmus_teardown(r);
	}
	clo_litmus_free(p);
}
