/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_status.c - names of status codes.
 */
#include "trust/tdx/tdx_tables.h"

#define NAME(code)                                                                                 \
	{                                                                                          \
		CLO_TDX_##code, #code                                                              \
	}

static const struct {
	uint32_t code;
	const char *name;
} names[] = {
	NAME(SUCCESS),
	NAME(INTERRUPTED_RESUMABLE),
	NAME(INTERRUPTED_RESTARTABLE),
	NAME(OPERAND_INVALID),
	NAME(OPERAND_ADDR_RANGE_ERROR),
	NAME(OPERAND_BUSY),
	NAME(PREVIOUS_TLB_EPOCH_BUSY),
	NAME(OPERAND_BUSY_HOST_PRIORITY),
	NAME(HOST_PRIORITY_BUSY_TIMEOUT),
	NAME(PAGE_METADATA_INCORRECT),
	NAME(TD_ASSOCIATED_PAGES_EXIST),
	NAME(TD_FATAL),
	NAME(TDCS_NOT_ALLOCATED),
	NAME(LIFECYCLE_STATE_INCORRECT),
	NAME(OP_STATE_INCORRECT),
	NAME(NO_VCPUS),
	NAME(TDCX_NUM_INCORRECT),
	NAME(VCPU_STATE_INCORRECT),
	NAME(VCPU_ASSOCIATED),
	NAME(VCPU_NOT_ASSOCIATED),
	NAME(MAX_VCPUS_EXCEEDED),
	NAME(TD_KEYS_NOT_CONFIGURED),
	NAME(KEY_CONFIGURED),
	NAME(WBCACHE_NOT_COMPLETE),
	NAME(HKID_NOT_FREE),
	NAME(NO_HKID_READY_TO_WBCACHE),
	NAME(WBCACHE_RESUME_ERROR),
	NAME(FLUSHVP_NOT_DONE),
	NAME(EPT_WALK_FAILED),
	NAME(EPT_ENTRY_NOT_PRESENT),
	NAME(GPA_RANGE_NOT_BLOCKED),
	NAME(GPA_RANGE_ALREADY_BLOCKED),
	NAME(TLB_TRACKING_NOT_DONE),
	NAME(EPT_INVALID_PROMOTE_CONDITIONS),
	NAME(PAGE_ALREADY_ACCEPTED),
	NAME(PAGE_SIZE_MISMATCH),
	NAME(EPT_ENTRY_STATE_INCORRECT),
	NAME(EPT_PAGE_NOT_FREE),
	NAME(PAGE_ATTR_INVALID),
};

const char *clo_tdx_status_name(uint64_t status)
{
	uint32_t code = (uint32_t)(status >> 32);

	for (unsigned i = 0; i < CLO_ARRAY_SIZE(names); i++) {
		if (names[i].code == code)
			return names[i].name;
	}
	return "?";
}

static const struct {
	uint32_t id;
	const char *name;
} operands[] = {
	{ 0, "RAX" },
	{ 1, "RCX" },
	{ 2, "RDX" },
	{ 8, "R8" },
	{ 9, "R9" },
	{ 68, "MAX_VCPUS" },
	{ 97, "GPA_LIST_ENTRY" },
	{ 128, "TDR" },
	{ 146, "SEPT_TREE" },
	{ 169, "TD_EPOCH" },
	{ 172, "OP_STATE" },
	{ 186, "KOT" },
	{ 188, "WBCACHE" },
};

/* Codes whose low bits are an operand; those of others are a level, or nothing. */
static const uint32_t with_operand[] = {
	CLO_TDX_OPERAND_INVALID,
	CLO_TDX_OPERAND_ADDR_RANGE_ERROR,
	CLO_TDX_OPERAND_BUSY,
	CLO_TDX_OPERAND_BUSY_HOST_PRIORITY,
	CLO_TDX_PAGE_METADATA_INCORRECT,
	CLO_TDX_EPT_WALK_FAILED,
	CLO_TDX_GPA_RANGE_NOT_BLOCKED,
	CLO_TDX_GPA_RANGE_ALREADY_BLOCKED,
	CLO_TDX_TLB_TRACKING_NOT_DONE,
	CLO_TDX_EPT_INVALID_PROMOTE_CONDITIONS,
	CLO_TDX_EPT_ENTRY_STATE_INCORRECT,
	CLO_TDX_EPT_PAGE_NOT_FREE,
};

const char *clo_tdx_operand_name(uint64_t status)
{
	uint32_t code = (uint32_t)(status >> 32), id = (uint32_t)status;
	bool has = false;

	for (unsigned i = 0; i < CLO_ARRAY_SIZE(with_operand); i++)
		has |= with_operand[i] == code;
	for (unsigned i = 0; has && i < CLO_ARRAY_SIZE(operands); i++) {
		if (operands[i].id == id)
			return operands[i].name;
	}
	return "";
}
