/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_setup.h - a machine put into a state without the calls that lead there. For tests
 * and for `cloister seamcall`; with nobody else on the platform.
 */
#ifndef CLO_TRUST_TDX_TDX_SETUP_H
#define CLO_TRUST_TDX_TDX_SETUP_H

#include "trust/tdx/tdx_tables.h"

/* The lowest free page of @level. False: there is none. */
bool tdx_free_page(struct clo_tdx *m, unsigned level, uint64_t *hpa);

struct tdx_setup_td {
	uint64_t tdr, tdvpr; /* HPAs */
};
/* TDR, TDCS, one vCPU, S-EPT root, by the real calls; then its operation state. 0 or a status. */
uint64_t tdx_setup_td(struct clo_tdx *m, enum tdx_op op, struct tdx_setup_td *td);
/*
 * A free entry and what it needs: tables above it, a page or a table of the TD. The page was
 * blocked before the last epoch (@tracked) or in this one. -EEXIST: an entry is there. -ENOSPC: no
 * free page.
 */
int tdx_setup_entry(struct clo_tdx *m, uint64_t tdr, uint64_t gpa, unsigned level, enum tdx_state s,
		    bool tracked);

enum tdx_lock_what { TDX_LOCK_TREE, TDX_LOCK_ENTRY, TDX_LOCK_TDR, TDX_LOCK_EPOCH, TDX_LOCK_OP };
struct tdx_setup_lock {
	enum tdx_lock_what what;
	enum tdx_mode mode;
	uint64_t tdr, gpa;
	unsigned level;
};
/* As another processor. False: it is held. */
bool tdx_setup_lock(struct clo_tdx *m, const struct tdx_setup_lock *l);
void tdx_setup_unlock(struct clo_tdx *m, const struct tdx_setup_lock *l);

struct tdx_check_fail {
	char text[160];
};
/* 0: all holds. 1: it does not, see *f. -1: no memory to look. With nobody else on the platform. */
int tdx_check(struct clo_tdx *m, struct tdx_check_fail *f);

#endif
