/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_status.c - names of status codes.
 */
#include "trust/tdx/tdx.h"

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
