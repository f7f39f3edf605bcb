/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/test_cells.c - every leaf on every state of an entry, in every operation state, tracked
 * and not: the status, the next state, the permissions, and the platform recounted. What is
 * expected is written here a second time, in words of the module's tables.
 */
#include "trust/tdx/tdx_internal.h"
#include "trust/tdx/tdx_setup.h"

#include "harness/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MEM   (16ULL << 20)
#define GPA   (1ULL << 30)
#define RCX   1U
#define R8    8U
#define TREE  146U
#define ST(c) ((uint64_t)CLO_TDX_##c << 32)

struct row {
	uint32_t leaf;
	unsigned level;
	const char *ops;  /* a digit for each operation state, in their order */
	const char *next; /* "OLD>NEW", short names; what is not there is refused */
	bool gate;        /* must be blocked and tracked, where the TD may run */
	uint32_t track_operand;
};

/* clang-format off */
static const struct row rows[] = {
	{ CLO_TDH_MEM_SEPT_ADD, 1, "01110011110", "FRE>NLM", false, 0 },
	{ CLO_TDH_MEM_SEPT_REMOVE, 1, "01111111111", "NLM>FRE NLB>FRE", true, RCX },
	{ CLO_TDH_MEM_SEPT_RD, 0, "01111111111",
	  "FRE>FRE REM>REM MAP>MAP BLK>BLK BW>BW EBW>EBW ED>ED EDBW>EDBW P>P PB>PB PBW>PBW "
	  "PEBW>PEBW PED>PED PEDBW>PEDBW", false, 0 },
	{ CLO_TDH_MEM_SEPT_RD, 1, "01111111111",
	  "FRE>FRE REM>REM NLM>NLM NLB>NLB MAP>MAP BLK>BLK P>P PB>PB",
	  false, 0 },
	{ CLO_TDH_MEM_PAGE_ADD, 0, "01000000000", "FRE>MAP", false, 0 },
	{ CLO_TDH_MEM_PAGE_AUG, 0, "01110000010", "FRE>P REM>P", false, 0 },
	{ CLO_TDH_MEM_PAGE_AUG, 1, "01110000010", "FRE>P REM>P", false, 0 },
	{ CLO_TDH_MEM_PAGE_REMOVE, 0, "01111100111",
	  "MAP>FRE BLK>FRE BW>FRE P>FRE PB>FRE PBW>FRE", true, RCX },
	{ CLO_TDH_MEM_PAGE_REMOVE, 1, "01111100111", "MAP>FRE BLK>FRE P>FRE PB>FRE", true, RCX },
	{ CLO_TDH_MEM_PAGE_RELOCATE, 0, "01111100110",
	  "MAP>MAP BLK>MAP BW>BW EBW>EBW ED>ED EDBW>EDBW P>P PB>P PBW>PBW PEBW>PEBW PED>PED "
	  "PEDBW>PEDBW", true, RCX },
	{ CLO_TDH_MEM_PAGE_DEMOTE, 1, "01111100110", "MAP>NLM BLK>NLM P>NLM PB>NLM", true, RCX },
	{ CLO_TDH_MEM_RANGE_BLOCK, 0, "01111100110", "MAP>BLK BW>BLK P>PB PBW>PB", false, 0 },
	{ CLO_TDH_MEM_RANGE_BLOCK, 1, "01111100110", "NLM>NLB MAP>BLK P>PB", false, 0 },
	{ CLO_TDH_MEM_RANGE_UNBLOCK, 0, "01111100110", "BLK>MAP PB>P", true, TREE },
	{ CLO_TDH_MEM_RANGE_UNBLOCK, 1, "01111100110", "NLB>NLM BLK>MAP PB>P", true, TREE },
	{ CLO_TDH_EXPORT_UNBLOCKW, 0, "00111100000",
	  "BW>MAP EBW>ED EDBW>ED PBW>P PEBW>PED PEDBW>PED", false, 0 },
};
/* Of the states: where a translation may be cached, and which are only of 4K entries. */
static const char track[] = " NLM NLB MAP BLK BW ED EDBW P PB PBW PED PEDBW ";
static const char only_4k[] = " BW EBW ED EDBW PBW PEBW PED PEDBW ";
static const char only_table[] = " NLM NLB ";
static const char blocked[] = " NLB BLK PB ";
static const char runs[] = "00110000010";
static const char imports[] = "00000011110";
/* clang-format on */

static bool is_in(const char *set, const char *name)
{
	char word[16];

	snprintf(word, sizeof(word), " %s ", name);
	return strstr(set, word) != NULL;
}

/* The new state's short name, or NULL. */
static bool next_of(const struct row *r, const char *old, char *out, size_t size)
{
	char key[16];
	const char *at;

	snprintf(key, sizeof(key), "%s>", old);
	for (at = r->next; (at = strstr(at, key)); at++) {
		if (at == r->next || at[-1] == ' ') {
			at += strlen(key);
			snprintf(out, size, "%.*s", (int)strcspn(at, " "), at);
			return true;
		}
	}
	return false;
}

static uint64_t expected(const struct row *r, const char *old, unsigned op, bool tracked,
			 char *next, size_t size)
{
	bool can_run = runs[op] == '1';

	if (r->ops[op] != '1')
		return ST(OP_STATE_INCORRECT);
	if (!next_of(r, old, next, size)) {
		bool already = r->leaf == CLO_TDH_MEM_RANGE_BLOCK && is_in(blocked, old);

		return (already ? ST(GPA_RANGE_ALREADY_BLOCKED) : ST(EPT_ENTRY_STATE_INCORRECT)) |
		       RCX;
	}
	if (r->gate && can_run && is_in(track, old)) {
		if (!is_in(blocked, old))
			return ST(GPA_RANGE_NOT_BLOCKED) | RCX;
		if (!tracked)
			return ST(TLB_TRACKING_NOT_DONE) | r->track_operand;
	}
	if (r->leaf == CLO_TDH_MEM_PAGE_REMOVE && imports[op] == '1')
		snprintf(next, size, "REM");
	return 0;
}

static struct clo_tdx *machine(unsigned op, struct tdx_setup_td *td)
{
	struct clo_tdx_config c = { .size = sizeof(c), .mem_bytes = MEM };
	struct clo_tdx *m;

	CHECK_OK(clo_tdx_create(&c, &m));
	CHECK_EQ(tdx_setup_td(m, (enum tdx_op)op, td), 0);
	return m;
}

static void holds(struct clo_tdx *m)
{
	struct tdx_check_fail f;

	CHECK_MSG(tdx_check(m, &f) == 0, "%s", f.text);
}

static struct clo_tdx_entry entry(struct clo_tdx *m, uint64_t tdr, unsigned level)
{
	struct clo_tdx_entry e = { .size = sizeof(e) };

	CHECK_OK(clo_tdx_look_entry(m, tdr, GPA, level, &e));
	return e;
}

static void cell(const struct row *r, enum tdx_state old, unsigned op, bool tracked)
{
	struct tdx_setup_td td;
	struct clo_tdx *m = machine(op, &td);
	const char *name = tdx_states[old].brief;
	struct clo_tdx_entry before, after;
	char next[16];
	uint64_t want, got;
	struct clo_tdx_regs regs = { .rax = r->leaf, .rcx = GPA | r->level, .rdx = td.tdr };

	snprintf(next, sizeof(next), "%s", name);
	want = expected(r, name, op, tracked, next, sizeof(next));
	CHECK_OK(tdx_setup_entry(m, td.tdr, GPA, r->level, old, tracked));
	CHECK(tdx_free_page(m, r->leaf == CLO_TDH_MEM_PAGE_AUG ? r->level : 0, &regs.r8));
	before = entry(m, td.tdr, r->level);
	got = clo_tdx_seamcall(m, 0, &regs);
	CHECK_MSG(got == want, "leaf %u level %u state %s op %s tracked %d: 0x%llx, not 0x%llx",
		  r->leaf, r->level, name, tdx_ops[op].name, tracked, (unsigned long long)got,
		  (unsigned long long)want);
	after = entry(m, td.tdr, r->level);
	if (want) {
		CHECK_EQ(after.raw, before.raw);
		snprintf(next, sizeof(next), "%s", name);
	}
	for (unsigned s = 0; s < TDX_STATE_COUNT; s++) {
		if (strcmp(tdx_states[s].brief, next) == 0)
			CHECK_STR(after.name, tdx_states[s].name);
	}
	if (!want)
		CHECK_EQ(after.rwx, tdx_states[tdx_entry_state(after.raw)].rwx);
	holds(m);
	clo_tdx_destroy(m);
}

TEST_TIMEOUT(each_cell, 120)
{
	unsigned n = 0;

	for (size_t i = 0; i < CLO_ARRAY_SIZE(rows); i++) {
		for (unsigned s = 0; s < TDX_STATE_COUNT; s++) {
			const char *name = tdx_states[s].brief;

			if (is_in(rows[i].level ? only_4k : only_table, name))
				continue;
			for (unsigned op = 0; op < TDX_OP_COUNT; op++) {
				cell(&rows[i], (enum tdx_state)s, op, false);
				cell(&rows[i], (enum tdx_state)s, op, true);
				n += 2;
			}
		}
	}
	test_note("%u cells", n);
}

/* The table says the same as the rows above: none of its lines is without a test. */
TEST(each_leaf_of_entries_has_its_cells)
{
	for (unsigned i = 0; i < tdx_leaf_count; i++) {
		const struct tdx_leaf *leaf = &tdx_leaves[i];
		bool found = false;

		if (leaf->args != TDX_ARGS_GPA && leaf->args != TDX_ARGS_GPA_PAGE &&
		    leaf->args != TDX_ARGS_GPA_COPY)
			continue;
		/* PROMOTE is about 512 entries: test_tdx.c. */
		if (leaf->number == CLO_TDH_MEM_PAGE_PROMOTE)
			continue;
		for (size_t k = 0; k < CLO_ARRAY_SIZE(rows); k++)
			found |= rows[k].leaf == leaf->number;
		CHECK_MSG(found, "%s", leaf->name);
	}
}

TEST(states_are_told_apart)
{
	for (unsigned a = 0; a < TDX_STATE_COUNT; a++) {
		CHECK_EQ(tdx_entry_state(tdx_entry_with(0, (enum tdx_state)a)), a);
		for (unsigned b = 0; b < a; b++) {
			CHECK_NE(tdx_states[a].code, tdx_states[b].code);
			CHECK_NE(tdx_states[a].shown, tdx_states[b].shown);
		}
	}
}
