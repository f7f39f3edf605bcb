/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/snp/snp_tables.c - the tables that the RMP runs on. What is marked as not verified is from
 * memory of AMD's manuals, and is changed here alone.
 */
#include "trust/snp/snp_tables.h"

#define N(from, to) [SNP_##from] = SNP_##to + 1
/* clang-format off */
/* RMPUPDATE takes what is not immutable. */
#define MUTABLE(to)                                                                                \
	{ N(HYPERVISOR, to), N(GUEST_INVALID, to), N(GUEST_VALID, to), N(RECLAIM, to) }

const struct snp_state_info snp_states[SNP_STATE_COUNT] = {
	[SNP_HYPERVISOR] = { "Hypervisor", .guest = "C=0 only", .host = "reads and writes" },
	[SNP_HV_FIXED] = { "Hypervisor-fixed", .immutable = true, .guest = "C=0 only",
		.host = "reads and writes" },
	[SNP_GUEST_INVALID] = { "Guest-Invalid", .assigned = true, .asid = true,
		.guest = "C=1: #VC", .host = "a write is #PF RMP" },
	[SNP_GUEST_VALID] = { "Guest-Valid", .assigned = true, .validated = true, .asid = true,
		.guest = "C=1, as its VMPL may", .host = "a write is #PF RMP" },
	[SNP_PRE_GUEST] = { "Pre-Guest", .assigned = true, .immutable = true, .asid = true,
		.guest = "#NPF", .host = "a write is #PF RMP" },
	[SNP_PRE_SWAP] = { "Pre-Swap", .assigned = true, .validated = true, .immutable = true,
		.asid = true, .guest = "#NPF", .host = "a write is #PF RMP" },
	[SNP_FIRMWARE] = { "Firmware", .assigned = true, .immutable = true, .guest = "#NPF",
		.host = "a write is #PF RMP" },
	[SNP_METADATA] = { "Metadata", .assigned = true, .immutable = true, .gpa = true,
		.guest = "#NPF", .host = "a write is #PF RMP" },
	[SNP_CONTEXT] = { "Context", .assigned = true, .immutable = true, .vmsa = true,
		.guest = "#NPF", .host = "a write is #PF RMP" },
	[SNP_RECLAIM] = { "Reclaim", .assigned = true, .guest = "#NPF",
		.host = "a write is #PF RMP" },
};

const struct snp_op_info snp_ops[SNP_OP_COUNT] = {
	[SNP_OP_RMP_HYPERVISOR] = { "RMPUPDATE to Hypervisor", true, "FAIL_PERMISSION",
		MUTABLE(HYPERVISOR) },
	[SNP_OP_RMP_HV_FIXED] = { "RMPUPDATE to Hypervisor-fixed", false, "FAIL_PERMISSION",
		MUTABLE(HV_FIXED) },
	[SNP_OP_RMP_GUEST] = { "RMPUPDATE to an ASID", true, "FAIL_PERMISSION",
		MUTABLE(GUEST_INVALID) },
	[SNP_OP_RMP_PRE] = { "RMPUPDATE, the same and immutable", false, "FAIL_PERMISSION",
		{ N(GUEST_INVALID, PRE_GUEST), N(GUEST_VALID, PRE_SWAP) } },
	[SNP_OP_RMP_PRE_NEW] = { "RMPUPDATE to an ASID, immutable", true, "FAIL_PERMISSION",
		MUTABLE(PRE_GUEST) },
	[SNP_OP_RMP_FIRMWARE] = { "RMPUPDATE to the firmware", true, "FAIL_PERMISSION",
		MUTABLE(FIRMWARE) },
	[SNP_OP_PSMASH] = { "PSMASH", true, "FAIL_PERMISSION",
		{ N(GUEST_INVALID, GUEST_INVALID), N(GUEST_VALID, GUEST_VALID),
		  N(RECLAIM, RECLAIM) } },
	[SNP_OP_PVALIDATE_1] = { "PVALIDATE 1", true, "#NPF RMP",
		{ N(GUEST_INVALID, GUEST_VALID), N(GUEST_VALID, GUEST_VALID) } },
	[SNP_OP_PVALIDATE_0] = { "PVALIDATE 0", true, "#NPF RMP",
		{ N(GUEST_INVALID, GUEST_INVALID), N(GUEST_VALID, GUEST_INVALID) } },
	[SNP_OP_RMPADJUST] = { "RMPADJUST", true, "#NPF RMP, or #VC",
		{ N(GUEST_VALID, GUEST_VALID) } },
	[SNP_OP_GCTX_CREATE] = { "SNP_GCTX_CREATE", true, "INVALID_PAGE_STATE",
		{ N(FIRMWARE, CONTEXT) } },
	[SNP_OP_ACTIVATE] = { "SNP_ACTIVATE", true, "INVALID_PAGE_STATE", { N(CONTEXT, CONTEXT) } },
	[SNP_OP_DECOMMISSION] = { "SNP_DECOMMISSION", true, "INVALID_PAGE_STATE",
		{ N(CONTEXT, FIRMWARE) } },
	[SNP_OP_LAUNCH_UPDATE] = { "SNP_LAUNCH_UPDATE", true, "INVALID_PAGE_STATE",
		{ N(PRE_GUEST, GUEST_VALID) } },
	[SNP_OP_PAGE_MD_INIT] = { "SNP_PAGE_MD_INIT", false, "INVALID_PAGE_STATE",
		{ N(FIRMWARE, METADATA) } },
	[SNP_OP_PAGE_RECLAIM] = { "SNP_PAGE_RECLAIM", true, "INVALID_PAGE_STATE",
		{ N(FIRMWARE, RECLAIM), N(METADATA, RECLAIM), N(PRE_GUEST, GUEST_INVALID),
		  N(PRE_SWAP, GUEST_VALID) } },
	[SNP_OP_PAGE_UNSMASH] = { "SNP_PAGE_UNSMASH", false, "INVALID_PAGE_STATE",
		{ N(PRE_GUEST, PRE_GUEST), N(PRE_SWAP, PRE_SWAP) } },
};
/* clang-format on */

enum snp_state snp_next(enum snp_op op, enum snp_state s)
{
	uint8_t next = snp_ops[op].next[s];

	return next ? (enum snp_state)(next - 1) : SNP_STATE_COUNT;
}
