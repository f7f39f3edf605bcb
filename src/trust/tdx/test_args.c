/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/test_args.c - what callers of cloister/tdx.h can do wrong, and files of calls.
 */
#include "trust/tdx/tdx_test.h"

#include "trust/tdx/tdx_script.h"

#include <errno.h>

#define MEM (8ULL << 20)

TEST(config)
{
	struct clo_tdx_config c = { .size = sizeof(c), .mem_bytes = MEM };
	struct clo_tdx *m = NULL;

	c.size = 8;
	CHECK_ERR(clo_tdx_create(&c, &m), -EINVAL);
	c.size = 8192;
	CHECK_ERR(clo_tdx_create(&c, &m), -E2BIG);
	c.size = sizeof(c);
	c.reserved = 1;
	CHECK_ERR(clo_tdx_create(&c, &m), -EINVAL);
	c.reserved = 0;
	c.mem_bytes = 0;
	CHECK_ERR(clo_tdx_create(&c, &m), -EINVAL);
	c.mem_bytes = MEM + 1;
	CHECK_ERR(clo_tdx_create(&c, &m), -EINVAL);
	c.mem_bytes = 1ULL << 47;
	CHECK_ERR(clo_tdx_create(&c, &m), -EINVAL);
	CHECK(m == NULL);
}

TEST(no_memory)
{
	struct clo_tdx_config c = { .size = sizeof(c), .mem_bytes = MEM };
	uint64_t live = clo_alloc_live();
	struct clo_tdx *m;
	int ret = -ENOMEM;

	for (uint64_t n = 1; ret; n++) {
		clo_alloc_fail_at(n);
		ret = clo_tdx_create(&c, &m);
		clo_alloc_fail_at(0);
		if (ret)
			CHECK_ERR(ret, -ENOMEM);
	}
	clo_tdx_destroy(m);
	CHECK_EQ(clo_alloc_live(), live);
}

TEST(guest_calls)
{
	struct clo_tdx_access a = { .size = sizeof(a), .bytes = 1 };
	struct clo_tdx_regs regs = { .rax = CLO_TDG_MEM_PAGE_ACCEPT };
	struct clo_tdx_exit e = { .size = sizeof(e) }, bad = { .size = 4 };
	struct platform p;
	uint8_t v;

	t_open(&p, TDX_OP_RUNNABLE, MEM);
	/* Not inside, no vCPU, no page. */
	CHECK_ERR(clo_tdx_access(p.m, p.td.tdvpr, &a, &v, &e), -EINVAL);
	CHECK_ERR(clo_tdx_tdcall(p.m, p.td.tdr, &regs, &e), -EINVAL);
	CHECK_ERR(clo_tdx_interrupt(p.m, MEM, &e), -EINVAL);
	CHECK_EQ(t_enter(&p), 0);
	CHECK_EQ(t_enter(&p), ST(OPERAND_BUSY) | O_RCX);
	CHECK_ERR(clo_tdx_access(p.m, p.td.tdvpr, &a, &v, &bad), -EINVAL);
	CHECK_ERR(clo_tdx_tdcall(p.m, p.td.tdvpr, &regs, &bad), -EINVAL);
	CHECK_ERR(clo_tdx_interrupt(p.m, p.td.tdvpr, &bad), -EINVAL);
	bad.size = 8192;
	CHECK_ERR(clo_tdx_tdcall(p.m, p.td.tdvpr, &regs, &bad), -E2BIG);
	CHECK_ERR(clo_tdx_interrupt(p.m, p.td.tdvpr, &bad), -E2BIG);
	a.bytes = 0;
	CHECK_ERR(clo_tdx_access(p.m, p.td.tdvpr, &a, &v, &e), -EINVAL);
	a.bytes = 2;
	a.gpa = CLO_PAGE_SIZE - 1;
	CHECK_ERR(clo_tdx_access(p.m, p.td.tdvpr, &a, &v, &e), -EINVAL);
	a.size = 8192;
	CHECK_ERR(clo_tdx_access(p.m, p.td.tdvpr, &a, &v, &e), -E2BIG);
	/* The shared half is the host's table. */
	CHECK_EQ(t_touch(&p, 1ULL << 47, true, &v, 0), 1);
	CHECK_EQ(p.exit.reason, 48);
	CHECK_EQ(p.exit.qualification, 2);
	t_close(&p);
}

TEST(what_a_debugger_asks)
{
	struct clo_tdx_page page = { .size = sizeof(page) };
	struct clo_tdx_entry e = { .size = sizeof(e) };
	struct platform p;
	uint8_t v = 1;

	t_open(&p, TDX_OP_RUNNABLE, MEM);
	CHECK_ERR(clo_tdx_look_page(p.m, MEM, &page), -EINVAL);
	CHECK_ERR(clo_tdx_look_entry(p.m, p.td.tdvpr, 0, 0, &e), -EINVAL);
	CHECK_ERR(clo_tdx_look_entry(p.m, p.td.tdr, 0, 4, &e), -EINVAL);
	CHECK_ERR(clo_tdx_look_entry(p.m, p.td.tdr, 0x1000, 1, &e), -EINVAL);
	CHECK_ERR(clo_tdx_look_entry(p.m, p.td.tdr, 1ULL << 47, 0, &e), -EINVAL);
	e.size = 8192;
	CHECK_ERR(clo_tdx_look_entry(p.m, p.td.tdr, 0, 0, &e), -E2BIG);
	page.size = 8192;
	CHECK_ERR(clo_tdx_look_page(p.m, 0, &page), -E2BIG);
	CHECK_ERR(clo_tdx_memory(p.m, MEM, &v, 1, 0), -EINVAL);
	CHECK_ERR(clo_tdx_memory(p.m, 0xfff, &v, 2, 0), -EINVAL);
	CHECK_ERR(clo_tdx_memory(p.m, p.td.tdr, &v, 1, 1), -EFAULT);
	v = 9;
	CHECK_OK(clo_tdx_memory(p.m, p.td.tdr, &v, 1, 0));
	CHECK_EQ(v, 0);
	t_close(&p);
}

TEST(no_leaf)
{
	struct clo_tdx_exit e = { .size = sizeof(e) };
	struct platform p;

	t_open(&p, TDX_OP_RUNNABLE, MEM);
	CHECK_EQ(t_call(&p, 999, 0, 0, 0), ST(OPERAND_INVALID));
	CHECK_EQ(t_call(&p, CLO_TDH_MEM_SEPT_RD | 1 << 16, 0, p.td.tdr, 0), ST(OPERAND_INVALID));
	CHECK_EQ(t_enter(&p), 0);
	p.regs.rax = 999;
	CHECK_EQ(clo_tdx_tdcall(p.m, p.td.tdvpr, &p.regs, &e), 0);
	CHECK_EQ(p.regs.rax, ST(OPERAND_INVALID));
	/* Names are for what is known. */
	CHECK_STR(clo_tdx_status_name(ST(OPERAND_BUSY) | O_TREE), "OPERAND_BUSY");
	CHECK_STR(clo_tdx_operand_name(ST(OPERAND_BUSY) | O_TREE), "SEPT_TREE");
	CHECK_STR(clo_tdx_operand_name(ST(PAGE_ALREADY_ACCEPTED) | 1), "");
	CHECK_STR(clo_tdx_status_name(~0ULL), "?");
	t_close(&p);
}

/* A line, and the word and the beginning of the sentence that are wrong with it. */
TEST(files_with_errors)
{
	static const struct {
		const char *line, *word, *text;
	} rows[] = {
		{ "td", "", "a short name" },
		{ "td averyveryverylongnameforatd", "averyveryverylongnameforatd", "a short name" },
		{ "td a", "a", "a TD has this name" },
		{ "td b op NOWHERE", "NOWHERE", "an operation state" },
		{ "td b up", "up", "op STATE" },
		{ "sept c 0 4K MAP", "c", "no TD of this name" },
		{ "sept a x 4K MAP", "x", "a GPA" },
		{ "sept a -1 4K MAP", "-1", "a GPA" },
		{ "sept a 0 8K MAP", "8K", "a level" },
		{ "sept a 0 4K MAPPY", "MAPPY", "a state" },
		{ "sept a 0 4K NLM", "NLM", "no entry of this level" },
		{ "sept a 0 512G MAP", "MAP", "no entry of this level" },
		{ "sept a 0x1000 2M MAP", "", "the GPA is not private, or not aligned" },
		{ "sept a 0x1000 4K MAP trackt", "trackt", "tracked or untracked" },
		{ "sept a 0x1000 4K MAP tracked now", "now", "nothing more" },
		{ "sept a 0 4K P", "", "an entry is there" },
		{ "lock a door", "door", "tree, entry" },
		{ "lock a tree ajar", "ajar", "exclusive or shared" },
		{ "unlock a tree", "", "no `lock` statement" },
		{ "read a 0", "a", "its vCPU is not inside" },
		{ "leave a", "a", "its vCPU is not inside" },
		{ "on 5000", "", "a processor's number" },
		{ "TDH.MEM.NOTHING a", "TDH.MEM.NOTHING", "no statement and no leaf" },
		{ "TDH.MEM.PAGE.AUG a 0 4K", "", "page N or page new" },
		{ "TDH.MEM.PAGE.AUG a 0 4K page", "", "a page's number" },
		{ "TDH.MEM.PAGE.AUG a 0 4K page new more", "more", "nothing more" },
		{ "TDH.MEM.PAGE.AUG a 0 1G page new", "new", "no free page of this size" },
		{ "TDH.EXPORT.BLOCKW a", "", "one GPA or more" },
		{ "TDH.MNG.CREATE b page new", "", "hkid N" },
	};
	struct tdx_script_result r;
	struct tdx_script_error e;
	struct tdx_script s;

	CHECK_OK(tdx_script_open(&s, MEM));
	CHECK(tdx_script_line(&s, "  td a  # a TD", &r, &e));
	CHECK(tdx_script_line(&s, "sept a 0 4K MAP", &r, &e));
	CHECK(tdx_script_line(&s, "", &r, &e));
	for (size_t i = 0; i < CLO_ARRAY_SIZE(rows); i++) {
		CHECK_MSG(!tdx_script_line(&s, rows[i].line, &r, &e), "%s", rows[i].line);
		CHECK_STR(e.word, rows[i].word);
		CHECK_MSG(strncmp(e.text, rows[i].text, strlen(rows[i].text)) == 0, "%s: %s",
			  rows[i].line, e.text);
	}
	tdx_script_close(&s);
}

static void does(struct tdx_script *s, const char *line)
{
	struct tdx_script_result r;
	struct tdx_script_error e;

	CHECK_MSG(tdx_script_line(s, line, &r, &e), "%s: %s", line, e.text);
}

/* A lock of a TD that has gone is not the next one's that has its TDR page. */
TEST(a_lock_goes_with_its_td)
{
	struct tdx_script_result r;
	struct tdx_script_error e;
	struct tdx_script s;
	char line[60];

	CHECK_OK(tdx_script_open(&s, MEM));
	does(&s, "td a");
	does(&s, "lock a tree shared");
	does(&s, "TDH.VP.FLUSH a");
	does(&s, "TDH.MNG.VPFLUSHDONE a");
	does(&s, "TDH.PHYMEM.CACHE.WB");
	does(&s, "TDH.MNG.KEY.FREEID a");
	for (unsigned page = 40; page > 0; page--) {
		snprintf(line, sizeof(line), "TDH.PHYMEM.PAGE.RECLAIM page %u", page);
		does(&s, line);
	}
	does(&s, "td b");
	CHECK(!tdx_script_line(&s, "unlock b tree shared", &r, &e));
	CHECK(strncmp(e.text, "no `lock` statement", 19) == 0);
	does(&s, "TDH.MEM.RANGE.BLOCK b 0 512G");
	tdx_script_close(&s);
}
