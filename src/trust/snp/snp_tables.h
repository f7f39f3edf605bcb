/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/snp/snp_tables.h - page states of SEV-SNP, and what each operation makes of them.
 */
#ifndef CLO_TRUST_SNP_SNP_TABLES_H
#define CLO_TRUST_SNP_SNP_TABLES_H

#include "base/base.h"
#include "sync/sync.h"

#include <cloister/snp.h>

enum snp_state {
	SNP_HYPERVISOR,
	SNP_HV_FIXED,
	SNP_GUEST_INVALID,
	SNP_GUEST_VALID,
	SNP_PRE_GUEST,
	SNP_PRE_SWAP,
	SNP_FIRMWARE,
	SNP_METADATA,
	SNP_CONTEXT,
	SNP_RECLAIM,
	SNP_STATE_COUNT
};
/* The bits of an entry that make its state. */
struct snp_state_info {
	const char *name;
	bool assigned, validated, immutable, vmsa;
	bool asid; /* of a guest */
	bool gpa;  /* not 0, where that tells it from another */
	const char *guest, *host;
};
extern const struct snp_state_info snp_states[SNP_STATE_COUNT];

/* By whom a state is changed. RMPUPDATE has a row for each kind of entry that it can write. */
enum snp_op {
	SNP_OP_RMP_HYPERVISOR, /* not assigned */
	SNP_OP_RMP_HV_FIXED,   /* not assigned, immutable */
	SNP_OP_RMP_GUEST,      /* assigned to an ASID */
	SNP_OP_RMP_PRE,        /* the same entry, immutable */
	SNP_OP_RMP_PRE_NEW,    /* another entry, immutable */
	SNP_OP_RMP_FIRMWARE,   /* assigned to no ASID, immutable, GPA 0 */
	SNP_OP_PSMASH,
	SNP_OP_PVALIDATE_1,
	SNP_OP_PVALIDATE_0,
	SNP_OP_RMPADJUST,
	SNP_OP_GCTX_CREATE,
	SNP_OP_ACTIVATE,
	SNP_OP_DECOMMISSION,
	SNP_OP_LAUNCH_UPDATE,
	SNP_OP_PAGE_MD_INIT,
	SNP_OP_PAGE_RECLAIM,
	SNP_OP_PAGE_UNSMASH,
	SNP_OP_COUNT
};
struct snp_op_info {
	const char *name;
	bool verified;       /* false: from memory of AMD's manuals */
	const char *refused; /* what a state that is not allowed is told */
	/* Next state plus 1; 0: refused. */
	uint8_t next[SNP_STATE_COUNT];
};
extern const struct snp_op_info snp_ops[SNP_OP_COUNT];
/* SNP_STATE_COUNT: refused. */
enum snp_state snp_next(enum snp_op op, enum snp_state s);

#endif
