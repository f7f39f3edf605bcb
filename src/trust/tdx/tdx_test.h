/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_test.h - for the tests of this folder: a platform with one TD, and calls in one
 * line.
 */
#ifndef CLO_TRUST_TDX_TDX_TEST_H
#define CLO_TRUST_TDX_TDX_TEST_H

#include "trust/tdx/tdx_internal.h"
#include "trust/tdx/tdx_setup.h"

#include "harness/test.h"

#include <stdio.h>
#include <string.h>

#define T_GPA   (1ULL << 30)
#define T_4K    0U
#define T_2M    1U
#define ST(c)   ((uint64_t)CLO_TDX_##c << 32)
#define O_RCX   1U
#define O_RDX   2U
#define O_R8    8U
#define O_TDR   128U
#define O_TREE  146U
#define O_EPOCH 169U
#define O_OP    172U

struct platform {
	struct clo_tdx *m;
	struct tdx_setup_td td;
	struct clo_tdx_regs regs; /* of the last call */
	struct clo_tdx_exit exit;
};

static inline void t_open(struct platform *p, enum tdx_op op, uint64_t mem_bytes)
{
	struct clo_tdx_config c = { .size = sizeof(c), .mem_bytes = mem_bytes };

	*p = (struct platform){ .exit.size = sizeof(p->exit) };
	CHECK_OK(clo_tdx_create(&c, &p->m));
	CHECK_EQ(tdx_setup_td(p->m, op, &p->td), 0);
}

static inline void t_check(struct platform *p)
{
	struct tdx_check_fail f;

	CHECK_MSG(tdx_check(p->m, &f) == 0, "%s", f.text);
}

static inline void t_close(struct platform *p)
{
	t_check(p);
	clo_tdx_destroy(p->m);
}

static inline uint64_t t_page(struct platform *p, unsigned level)
{
	uint64_t hpa;

	CHECK(tdx_free_page(p->m, level, &hpa));
	return hpa;
}

/* A leaf with what it takes: @a is RCX, @b RDX, @c R8. */
static inline uint64_t t_call(struct platform *p, uint32_t leaf, uint64_t a, uint64_t b, uint64_t c)
{
	p->regs = (struct clo_tdx_regs){ .rax = leaf, .rcx = a, .rdx = b, .r8 = c };
	return clo_tdx_seamcall(p->m, 0, &p->regs);
}

/* A leaf on an entry of the TD. */
static inline uint64_t t_mem(struct platform *p, uint32_t leaf, uint64_t gpa, unsigned level)
{
	return t_call(p, leaf, gpa | level, p->td.tdr, 0);
}

static inline uint64_t t_mem_page(struct platform *p, uint32_t leaf, uint64_t gpa, unsigned level,
				  uint64_t hpa)
{
	return t_call(p, leaf, gpa | level, p->td.tdr, hpa);
}

static inline void t_entry(struct platform *p, uint64_t gpa, unsigned level, enum tdx_state s,
			   bool tracked)
{
	CHECK_OK(tdx_setup_entry(p->m, p->td.tdr, gpa, level, s, tracked));
}

static inline void t_is(struct platform *p, uint64_t gpa, unsigned level, enum tdx_state s)
{
	struct clo_tdx_entry e = { .size = sizeof(e) };

	CHECK_OK(clo_tdx_look_entry(p->m, p->td.tdr, gpa, level, &e));
	CHECK_EQ(e.level, level);
	CHECK_STR(e.name, tdx_states[s].name);
}

static inline uint64_t t_enter(struct platform *p)
{
	return t_call(p, CLO_TDH_VP_ENTER, p->td.tdvpr, 0, 0);
}

static inline void t_leave(struct platform *p)
{
	CHECK_OK(clo_tdx_interrupt(p->m, p->td.tdvpr, &p->exit));
	CHECK_EQ(p->exit.reason, CLO_TDX_EXIT_INTERRUPT);
}

/* One byte of the guest; 0, 1 an exit, 2 #VE. */
static inline int t_touch(struct platform *p, uint64_t gpa, bool write, uint8_t *value,
			  uint64_t rip)
{
	struct clo_tdx_access a = {
		.size = sizeof(a), .write = write, .gpa = gpa, .bytes = 1, .rip = rip
	};

	return clo_tdx_access(p->m, p->td.tdvpr, &a, value, &p->exit);
}

/* 0 and the status in p->regs.rax, or 1: an exit. */
static inline int t_tdcall(struct platform *p, uint32_t leaf, uint64_t rcx)
{
	p->regs = (struct clo_tdx_regs){ .rax = leaf, .rcx = rcx };
	return clo_tdx_tdcall(p->m, p->td.tdvpr, &p->regs, &p->exit);
}

#endif
