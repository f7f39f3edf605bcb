/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/test_parse.c - the reader: what a program holds, each error with its place, limits,
 * memory, and that the printed text reads back.
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
		clo_litmus_print_error(&e, stderr);
	CHECK_OK(ret);
	return p;
}

static char *print(const struct clo_litmus *p)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	CHECK(f != NULL);
	clo_litmus_print(p, f);
	fclose(f);
	return text;
}

/* The sketch of the design, for a VM type that is built. */
TEST(sketch)
{
	struct clo_litmus *p = parse("SW_PROTECTED migration-scenario-2   # type and name\n"
				     "{ gmem 16 pages; private 0x1; }     # initial state\n"
				     " vCPU0              | Userspace     ;\n"
				     "                    | host_read 0x2 ;\n"
				     " set_shared 0x1     |               ;\n"
				     " zero 0x1           |               ;\n"
				     "never (corrupt)\n");

	CHECK_STR(p->name, "migration-scenario-2");
	CHECK_EQ(p->type, (unsigned)CLO_VM_SW_PROTECTED);
	CHECK_EQ(p->vm_count, 1);
	CHECK_EQ(p->gmem_count, 1);
	CHECK_EQ(p->gmems[0].npages, 16);
	CHECK_EQ(p->gmems[0].flags, CLO_GMEM_MMAP);
	CHECK_EQ(p->slot_count, 1);
	CHECK_EQ(p->slots[0].npages, 16);
	CHECK_EQ(p->threads[CLO_LITMUS_PROLOGUE].op_count, 1);
	CHECK_EQ(p->threads[CLO_LITMUS_PROLOGUE].ops[0].code, CLO_LITMUS_SET_PRIVATE);
	CHECK_EQ(p->thread_count, 2);
	CHECK(p->threads[0].is_vcpu && !p->threads[1].is_vcpu);
	CHECK_EQ(p->row_count, 3);
	CHECK_EQ(p->threads[0].ops[0].row, 1);
	CHECK_EQ(p->threads[0].ops[1].row, 2);
	CHECK_EQ(p->threads[0].ops[1].line, 6);
	CHECK_EQ(p->threads[0].ops[1].column, 2);
	CHECK_EQ(p->threads[1].ops[0].gmem, 0);
	CHECK_EQ(p->final_count, 1);
	CHECK_EQ(p->nodes[p->finals[0].node].kind, (unsigned)CLO_LITMUS_CORRUPT);
	clo_litmus_free(p);
	clo_litmus_free(NULL);
}

static const char everything[] =
	"SW_PROTECTED all\n"
	"{ host 1M view soft;\n"
	"  vm a owner vm hypercall max_level 2M; vm b typed convert_on_hypercall;\n"
	"  vm c DEFAULT;\n"
	"  gmem f 4 pages; gmem g 2M huge 2M nommap zero_on_convert no_direct_map @b;\n"
	"  gmem h 64K init_shared @b;\n"
	"  slot s 0 0x10+4 gmem f; slot r 1 0x20+2 readonly; slot d 2 0x30+2 absent;\n"
	"  slot k 0 0+2 gmem g at 1 @b;\n"
	"  listener vfio pins @b; listener vhost;\n"
	"  fill 0 1 private @b; ; ram_write s 1:8 5; prepare ok @b\n"
	"}\n"
	" vCPU0 | CPU1@b | VMM@b | host ;\n"
	" r0 = load 0x10:0x8 -> 7 or EFAULT or MMIO or mismatch | store 1 5 shared | "
	"punch 1 | ;\n";

/* Every kind of statement once; the numbers that matter. */
TEST(declarations)
{
	struct clo_litmus *p = parse(everything);

	CHECK_EQ(p->host_pages, 256);
	CHECK_EQ(p->host_view, CLO_HOST_VIEW_SOFT);
	CHECK_EQ(p->vm_count, 3);
	CHECK_EQ(p->vms[0].attr_owner, CLO_ATTR_OWNER_VM);
	CHECK_EQ(p->vms[0].max_level, 2);
	CHECK_EQ(p->vms[0].exit_hypercall, 1);
	CHECK_EQ(p->vms[1].flags, CLO_VM_TYPED_ACCESS | CLO_VM_CONVERT_ON_HYPERCALL);
	CHECK_EQ(p->vms[1].has_prepare, 1);
	CHECK_EQ(p->vms[2].type, (unsigned)CLO_VM_DEFAULT);
	CHECK_EQ(p->gmems[0].flags, 0);
	CHECK_EQ(p->gmems[1].flags,
		 CLO_GMEM_HUGETLB | CLO_GMEM_ZERO_ON_CONVERT | CLO_GMEM_NO_DIRECT_MAP);
	CHECK_EQ(p->gmems[1].page_order, 9);
	CHECK_EQ(p->gmems[1].npages, 512);
	CHECK_EQ(p->gmems[2].flags, CLO_GMEM_INIT_SHARED | CLO_GMEM_MMAP);
	CHECK_EQ(p->slots[1].gmem, CLO_LITMUS_NONE);
	CHECK_EQ(p->slots[1].flags, CLO_MEM_READONLY);
	CHECK_EQ(p->slots[2].absent, 1);
	CHECK_EQ(p->slots[3].gmem_page, 1);
	CHECK_EQ(p->slots[3].vm, 1);
	CHECK_EQ(p->listeners[0].pins, 1);
	CHECK_EQ(p->listeners[0].vm, 1);
	CHECK_EQ(p->threads[CLO_LITMUS_PROLOGUE].op_count, 3);
	CHECK_EQ(p->threads[0].ops[0].outcome_count, 4);
	CHECK_EQ(p->threads[0].ops[0].offset, 8);
	CHECK_EQ(p->threads[1].vm, 1);
	CHECK_EQ(p->threads[1].vcpu_id, 1);
	CHECK_EQ(p->threads[1].ops[0].kind, CLO_LITMUS_SHARED);
	CHECK_EQ(p->threads[2].ops[0].gmem, 1); /* the first file of its VM */
	clo_litmus_free(p);
}

#define HEAD "SW_PROTECTED t { gmem 4 pages; }\n"
#define BODY HEAD "vCPU0 | VMM ;\n"

/* One mistake each: where it is, what is said, and the hint. */
static const struct {
	const char *text;
	unsigned line, column;
	const char *message, *hint;
} mistakes[] = {
	{ "", 1, 1, "unexpected 'end of file'", "" },
	{ "SW_PROTECTD t {}", 1, 1, "is no VM type", "SW_PROTECTED" },
	{ "TDX t {}", 1, 1, "TDX is not built yet", "" },
	{ "DEFAULT {", 1, 9, "unexpected '{'", "" },
	{ "DEFAULT t", 1, 10, "unexpected 'end of file'", "" },
	{ "DEFAULT t { gmem 4 pages", 1, 25, "unexpected 'end of file'", "" },
	{ "DEFAULT t {\n gmem 4 pagse; }", 2, 7, "no multiple of 4K", "pages" },
	{ "DEFAULT t { gmem 0 pages; }", 1, 18, "out of range", "" },
	{ "DEFAULT t { gmem 4 pages mmapp; }", 1, 26, "unexpected 'mmapp'", "mmap" },
	{ "DEFAULT t { gmem 4 pages; gmem 4 pages; }", 1, 32, "unexpected '4'", "" },
	{ "DEFAULT t { gmem f 4 pages; gmem f 4 pages; }", 1, 34, "in use", "" },
	{ "DEFAULT t { gmem if 4 pages; }", 1, 18, "word of the language", "" },
	{ "DEFAULT t { gmem 4 pages; vm a; }", 1, 30, "before what belongs", "" },
	{ "DEFAULT t { vm a typed; }", 1, 18, "cannot be typed", "" },
	{ "DEFAULT t { vm a max_level 3; }", 1, 28, "unexpected '3'", "" },
	{ "DEFAULT t { gmem 4 pages; zero 1; gmem g 1 pages; }", 1, 35, "come before", "" },
	{ "DEFAULT t { slot s 0 0+4 gmem g; }", 1, 31, "not the name of a file", "" },
	{ "DEFAULT t { gmem 99999999999999999999 pages; }", 1, 18, "too large", "" },
	{ "DEFAULT t { gmem 4x pages; }", 1, 18, "bad number '4x'", "" },
	{ "DEFAULT t { $ }", 1, 13, "unexpected character '$'", "" },
	{ "DEFAULT t { \xff }", 1, 13, "unexpected character '\\xff'", "" },
	{ HEAD "vCPU0 | vCPU0 ;", 2, 9, "in use", "" },
	{ HEAD "vCPU0 | CPU0 ;", 2, 9, "is vCPU 0 too", "" },
	{ HEAD "vCPU0 VMM ;", 2, 7, "unexpected 'VMM'", "" },
	{ HEAD "zaps ;", 2, 1, "is a counter", "" },
	{ BODY "load 1 ;", 3, 8, "a row of 1 cells for 2 threads", "" },
	{ BODY "load 1 | | ;", 3, 12, "more than 2 cells", "" },
	{ BODY "covnert 1 private | ;", 3, 1, "'covnert' is no operation", "convert" },
	{ BODY "convert 1 pirvate | ;", 3, 11, "unexpected 'pirvate'", "private" },
	{ BODY "convert 1 | ;", 3, 11, "unexpected '|'", "" },
	{ BODY " | load 1 ;", 3, 4, "'load' needs a vCPU", "vCPU0" },
	{ BODY "load 1 private | ;", 3, 1, "carry no private", "typed" },
	{ "SW_PROTECTED t { vm a typed; }\nvCPU0 ;\nload 1 ;", 3, 1, "are private or shared", "" },
	{ BODY "load 1:4 | ;", 3, 8, "words are 8 bytes", "" },
	{ BODY "load 1:4096 | ;", 3, 8, "at most", "" },
	{ BODY "load 0x10000000000000 | ;", 3, 6, "at most", "" },
	{ BODY "fill 0+0x100000 1 | ;", 3, 1, "may touch", "" },
	{ BODY "punch f 1 | ;", 3, 7, "not the name of a file", "" },
	{ "DEFAULT t { }\nVMM ;\n punch 1 ;", 3, 2, "has no file", "" },
	{ BODY "unpin p | ;", 3, 7, "not the name of a pin", "" },
	{ BODY "refuse v map | ;", 3, 8, "not the name of a listener", "" },
	{ BODY "prepare mismatch | ;", 3, 9, "not a status", "" },
	{ BODY "load 1 -> differs | ;", 3, 11, "cannot end in differs", "" },
	{ BODY "punch 1 -> 5 | ;", 3, 12, "cannot end in 5", "" },
	{ BODY "load 1 -> EINVALL | ;", 3, 11, "unexpected", "EINVAL" },
	{ BODY "load 1 -> 1 or 2 or 3 or 4 or 5 | ;", 3, 31, "more than 4 outcomes", "" },
	{ BODY "r = load 1 | ;\nr = load 2 | ;", 4, 1, "set twice", "" },
	{ BODY "if r = 1: load 1 | ;", 3, 4, "no result 'r'", "" },
	{ BODY "r0 = load 1 | ;\nif r1 = 1: load 1 | ;", 4, 4, "no result 'r1'", "r0" },
	{ BODY "r = load 1 | ;\nif r = 1 load 1 | ;", 4, 10, "unexpected 'load'", "" },
	{ BODY "load 1 @b | ;", 3, 9, "not the name of a VM", "" },
	{ BODY "close | ;\n | punch 1 ;", 4, 4, "closed by thread vCPU0", "" },
	{ BODY "close | ;\n punch 1 | ;", 4, 2, "closed by thread vCPU0", "" },
	{ BODY "nevr (corrupt)", 3, 1, "is no operation", "" },
	{ BODY "never corrupt", 3, 7, "unexpected 'corrupt'", "" },
	{ BODY "never (corrupt", 3, 15, "unexpected 'end of file'", "" },
	{ BODY "never (curropt)", 3, 8, "unexpected 'curropt'", "" },
	{ BODY "never (zap = 1)", 3, 8, "unexpected 'zap'", "zaps" },
	{ BODY "never (vCPU0:r = 1)", 3, 14, "no result 'r'", "" },
	{ BODY "r = load 1|;never (vCPU0:r < 1)", 3, 28, "unexpected '<'", "" },
	{ BODY "never (page 1 = mixed)", 3, 17, "unexpected 'mixed'", "" },
	{ BODY "never (zaps 1)", 3, 13, "unexpected '1'", "" },
	{ BODY "never (corrupt) load", 3, 17, "unexpected 'load'", "" },
};

TEST(errors)
{
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		struct clo_litmus *p = NULL;
		struct clo_litmus_error e;
		int ret = clo_litmus_parse(mistakes[i].text, strlen(mistakes[i].text), "m.litmus",
					   &p, &e);

		CHECK_ERR(ret, -EINVAL);
		CHECK(p == NULL);
		CHECK_MSG(e.line == mistakes[i].line && e.column == mistakes[i].column,
			  "'%s': at %u:%u: %s", mistakes[i].text, e.line, e.column, e.message);
		CHECK_MSG(strstr(e.message, mistakes[i].message), "'%s': says '%s'",
			  mistakes[i].text, e.message);
		CHECK_MSG(mistakes[i].hint[0] ? strstr(e.hint, mistakes[i].hint) != NULL
					      : e.hint[0] == 0 || mistakes[i].hint[0] == 0,
			  "'%s': hints '%s'", mistakes[i].text, e.hint);
	}
}

/* The whole form of an error, as a person sees it. */
TEST(error_text)
{
	static const char text[] = BODY "\tcovnert 1 private | ;\n";
	struct clo_litmus_error e;
	struct clo_litmus *p;
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	CHECK_ERR(clo_litmus_parse(text, strlen(text), "x.litmus", &p, &e), -EINVAL);
	CHECK(f != NULL);
	clo_litmus_print_error(&e, f);
	fclose(f);
	CHECK_STR(out, "x.litmus:3:2: 'covnert' is no operation\n"
		       "    3 |  covnert 1 private | ;\n"
		       "      |  ^~~~~~~\n"
		       "expected: an operation ('cloister run --ops' lists them)\n"
		       "hint: did you mean 'convert'?\n");
	free(out);
	/* No file, no error wanted: fine too. */
	CHECK_ERR(clo_litmus_parse(text, strlen(text), NULL, &p, NULL), -EINVAL);
}

/* A place far right in a long line, and bytes that no terminal should get. */
TEST(error_long_line)
{
	char text[3000];
	char file[300];
	struct clo_litmus_error e;
	struct clo_litmus *p;

	memset(text, ' ', sizeof(text));
	memcpy(text, "DEFAULT t { \x1b", 13);
	memcpy(text + 2000, "\x1b[2Jx", 5);
	text[12] = ' ';
	memset(file, 'd', sizeof(file));
	memcpy(file + 295, "/end", 5);
	CHECK_ERR(clo_litmus_parse(text, sizeof(text), file, &p, &e), -EINVAL);
	CHECK_EQ(e.column, 2001);
	CHECK(e.caret < strlen(e.source));
	CHECK_EQ(e.source[e.caret], '?');
	CHECK(strchr(e.source, 0x1b) == NULL);
	CHECK(strstr(e.file, "/end") != NULL);
}

/* Reading what was printed gives the same program, places aside. */
static void check_round_trip(const char *text)
{
	struct clo_litmus *p = parse(text);
	char *once = print(p);
	struct clo_litmus *q = parse(once);
	char *twice = print(q);

	CHECK_STR(once, twice);
	CHECK_EQ(p->row_count, q->row_count);
	CHECK_EQ(p->node_count, q->node_count);
	CHECK_MEM(p->nodes, q->nodes, sizeof(p->nodes));
	CHECK_MEM(p->slots, q->slots, sizeof(p->slots));
	CHECK_MEM(p->gmems, q->gmems, sizeof(p->gmems));
	CHECK_MEM(p->vms, q->vms, sizeof(p->vms));
	free(once);
	free(twice);
	clo_litmus_free(p);
	clo_litmus_free(q);
}

TEST(round_trip_conditions)
{
	check_round_trip(
		BODY "r0 = load 1 | ;\n"
		     "never (not (corrupt and not corrupt) or (corrupt or zaps >= 3) and\n"
		     "       (vCPU0:r0 != EFAULT or content 1:8 < 5) and page 2 = private)\n"
		     "always (corrupt and (corrupt and corrupt) and not not corrupt)\n"
		     "sometimes (frames_used != 0x10 or zaps_split_merge <= 1 or faults > 2)\n");
}

/* The files of litmus/ are the examples that people copy. */
TEST(round_trip_files)
{
	static const char *const files[] = {
		"mail0-double-mapping",
		"mail0-holes",
		"mail0-slot-moves-file",
		"mail3-attribute-decides",
		"mail3-private-fault-exit",
		"mail4-preparation",
		"mail4-prepare-fails",
		"convert-refused",
		"hypercall",
	};
	const char *root = getenv("CLO_SOURCE_ROOT");

	if (!root)
		SKIP("CLO_SOURCE_ROOT is not set");
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[512];
		char text[8192];
		size_t n;
		FILE *f;

		snprintf(path, sizeof(path), "%s/litmus/%s.litmus", root, files[i]);
		f = fopen(path, "r");
		CHECK_MSG(f != NULL, "%s", path);
		n = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
		text[n] = 0;
		check_round_trip(text);
	}
}

/* Every operation reads back from its own synopsis, so no row of the table is dead. */
TEST(every_operation)
{
	static const char *const arguments[CLO_LITMUS_CODE_COUNT] = {
		[CLO_LITMUS_LOAD] = "1:8 private",
		[CLO_LITMUS_STORE] = "1 5 shared",
		[CLO_LITMUS_FILL] = "1+2 5 shared",
		[CLO_LITMUS_ZERO] = "1+2 private",
		[CLO_LITMUS_CHECK] = "1+2 5 private",
		[CLO_LITMUS_MAP_GPA] = "1+2 shared",
		[CLO_LITMUS_HYPERCALL] = "1+2 shared",
		[CLO_LITMUS_COMPLETE] = "EINVAL",
		[CLO_LITMUS_PRE_FAULT] = "1+2",
		[CLO_LITMUS_CONVERT] = "1+2 private",
		[CLO_LITMUS_CONVERT_WAIT] = "1+2 private 1000",
		[CLO_LITMUS_DRY_CONVERT] = "1+2 private",
		[CLO_LITMUS_SET_PRIVATE] = "1",
		[CLO_LITMUS_SET_SHARED] = "1",
		[CLO_LITMUS_SET_ATTRIBUTES] = "1 shared",
		[CLO_LITMUS_GMEM_ATTRIBUTES] = "f 1 shared",
		[CLO_LITMUS_GET_ATTRIBUTES] = "1+3 -> mixed",
		[CLO_LITMUS_ALLOCATE] = "f 1",
		[CLO_LITMUS_PUNCH] = "1+2",
		[CLO_LITMUS_CLOSE] = "g",
		[CLO_LITMUS_PIN] = "p2 f 1+2",
		[CLO_LITMUS_UNPIN] = "p",
		[CLO_LITMUS_HOST_READ] = "f 1 -> 7",
		[CLO_LITMUS_HOST_WRITE] = "f 1 7",
		[CLO_LITMUS_RAM_READ] = "s 1",
		[CLO_LITMUS_RAM_WRITE] = "s 1 7",
		[CLO_LITMUS_SLOT_CREATE] = "s",
		[CLO_LITMUS_SLOT_DELETE] = "s",
		[CLO_LITMUS_SLOT_MOVE] = "s 0x100",
		[CLO_LITMUS_HOLE] = "s 1+2",
		[CLO_LITMUS_UNHOLE] = "s 1+2",
		[CLO_LITMUS_REFUSE] = "l unmap",
		[CLO_LITMUS_ACCEPT] = "l",
		[CLO_LITMUS_PREPARE] = "EIO",
	};

	for (unsigned i = 0; i < CLO_LITMUS_CODE_COUNT; i++) {
		const char *name = clo_litmus_op_name((enum clo_litmus_code)i);
		char text[512];
		struct clo_litmus *p;

		CHECK(name != NULL && arguments[i] != NULL);
		snprintf(text, sizeof(text),
			 "SW_PROTECTED t { vm a typed; gmem f 4 pages; gmem g 4 pages;\n"
			 "slot s 0 0+4 gmem f; listener l; pin p f 0; }\nvCPU0 ;\n%s %s ;\n",
			 name, arguments[i]);
		p = parse(text);
		CHECK_EQ(p->threads[0].ops[0].code, i);
		clo_litmus_free(p);
		check_round_trip(text);
	}
	CHECK(clo_litmus_op_name(CLO_LITMUS_CODE_COUNT) == NULL);
	CHECK(clo_litmus_counter_name(CLO_LITMUS_COUNTER_COUNT) == NULL);
}

/* Each word that a person may need is in the help, in both forms. */
TEST(help)
{
	for (int markdown = 0; markdown < 2; markdown++) {
		char *text = NULL;
		size_t len;
		FILE *f = open_memstream(&text, &len);

		CHECK(f != NULL);
		clo_litmus_print_ops(f, markdown != 0);
		fclose(f);
		for (unsigned i = 0; i < CLO_LITMUS_CODE_COUNT; i++)
			CHECK(strstr(text, clo_litmus_op_name((enum clo_litmus_code)i)) != NULL);
		for (unsigned i = 0; i < CLO_LITMUS_COUNTER_COUNT; i++)
			CHECK(strstr(text, clo_litmus_counter_name((enum clo_litmus_counter)i)) !=
			      NULL);
		free(text);
	}
}

/* @head, then @part @count times, then @tail: one more than there is room for is an error. */
static void check_limit(const char *head, const char *part, unsigned count, const char *tail,
			const char *message)
{
	size_t size = strlen(head) + (strlen(part) + 12) * (count + 1) + strlen(tail) + 1;

	for (unsigned n = count; n <= count + 1; n++) {
		char *text = malloc(size);
		size_t used = (size_t)snprintf(text, size, "%s", head);
		struct clo_litmus *p = NULL;
		struct clo_litmus_error e = { .line = 0 };
		int ret;

		CHECK(text != NULL);
		for (unsigned i = 0; i < n; i++) {
			/* At most one %u in a part: the number that makes a name of it. */
			const char *at = strstr(part, "%u");

			if (at)
				used += (size_t)snprintf(text + used, size - used, "%.*s%u%s",
							 (int)(at - part), part, i, at + 2);
			else
				used += (size_t)snprintf(text + used, size - used, "%s", part);
		}
		snprintf(text + used, size - used, "%s", tail);
		ret = clo_litmus_parse(text, strlen(text), "limit", &p, &e);
		if (n == count)
			CHECK_MSG(ret == 0, "%s: %s", message, e.message);
		else
			CHECK_ERR(ret, -EINVAL);
		if (ret)
			CHECK_MSG(strstr(e.message, message), "'%s'", e.message);
		clo_litmus_free(p);
		free(text);
	}
}

TEST(limits)
{
	check_limit("DEFAULT t {", "vm v%u;", CLO_LITMUS_VMS, "} A ;", "VMs");
	check_limit("DEFAULT t {", "gmem f%u 1 pages;", CLO_LITMUS_GMEMS, "} A ;", "files");
	check_limit("DEFAULT t {", "slot s%u 0 0+1;", CLO_LITMUS_SLOTS, "} A ;", "memslots");
	check_limit("DEFAULT t {", "listener l%u;", CLO_LITMUS_LISTENERS, "} A ;", "listeners");
	check_limit("DEFAULT t { gmem 1 pages;", "pin p%u 0;", CLO_LITMUS_PINS, "} A ;", "pins");
	check_limit("DEFAULT t { } T", "| T%u", CLO_LITMUS_THREADS - 1, ";", "threads");
	check_limit("DEFAULT t { } A ;", "set_shared 1;", CLO_LITMUS_OPS, "", "operations");
	check_limit("DEFAULT t { } A ;", "never (corrupt)", CLO_LITMUS_FINALS, "", "conditions");
	check_limit("DEFAULT t { } A ; never (corrupt", " or corrupt", (CLO_LITMUS_NODES - 1) / 2,
		    ")", "parts");
	check_limit("DEFAULT t { } A ; never (", "not ", CLO_LITMUS_DEPTH - 1, "corrupt)",
		    "nest deeper");
}

/* The one allocation fails: an error and nothing held. */
TEST(no_memory)
{
	struct clo_litmus *p = NULL;
	uint64_t live = clo_alloc_live();

	clo_alloc_fail_at(1);
	CHECK_ERR(clo_litmus_parse(HEAD "A ;", strlen(HEAD "A ;"), "t", &p, NULL), -ENOMEM);
	clo_alloc_fail_at(0);
	CHECK(p == NULL);
	p = parse(HEAD "A ;");
	clo_litmus_free(p);
	CHECK_EQ(clo_alloc_live(), live);
}
