/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_leaves.c - the leaves, as data: which operation states and entry states allow them,
 * what they lead to, which locks they try. tdx_call.c runs on this table; `cloister states tdx`
 * prints it.
 *
 * next[] names the states that are allowed and what comes of each; all others are refused. Where a
 * leaf does not change the state it says the state itself.
 */
#include "trust/tdx/tdx_internal.h"

#include <string.h>

#define OP(x) (1U << TDX_OP_##x)
/* While memory may be blocked, moved and resized. */
#define OPS_MOVE                                                                                   \
	(OP(INITIALIZED) | OP(RUNNABLE) | OP(LIVE_EXPORT) | OP(PAUSED_EXPORT) | OP(POST_EXPORT) |  \
	 OP(POST_IMPORT) | OP(LIVE_IMPORT))
#define OPS_IMPORT    (OP(MEMORY_IMPORT) | OP(STATE_IMPORT) | OP(POST_IMPORT) | OP(LIVE_IMPORT))
#define OPS_ALL_INIT  (OPS_MOVE | OPS_IMPORT | OP(FAILED_IMPORT))
#define OPS_TRACK     (OPS_MOVE | OPS_IMPORT)
#define OPS_ADD_TABLE (OP(INITIALIZED) | OP(RUNNABLE) | OP(LIVE_EXPORT) | OPS_IMPORT)
#define OPS_AUG       (OP(INITIALIZED) | OP(RUNNABLE) | OP(LIVE_EXPORT) | OP(LIVE_IMPORT))
#define OPS_UNBLOCKW  (OP(RUNNABLE) | OP(LIVE_EXPORT) | OP(PAUSED_EXPORT) | OP(POST_EXPORT))

/* The next states of a leaf, from `A: B` pairs; the rest is refused. */
#define N(from, to)   [TDX_##from] = TDX_##to + 1
#define SAME(s)       N(s, s)
#define SAME_EXPORTED SAME(EXPORTED_BLOCKEDW), SAME(EXPORTED_DIRTY), SAME(EXPORTED_DIRTY_BLOCKEDW)
#define SAME_PENDING_EXPORTED                                                                      \
	SAME(PENDING_EXPORTED_BLOCKEDW), SAME(PENDING_EXPORTED_DIRTY),                             \
		SAME(PENDING_EXPORTED_DIRTY_BLOCKEDW)

/* clang-format off */
const struct tdx_leaf tdx_leaves[] = {
	{ .number = CLO_TDH_MNG_CREATE, .name = "TDH.MNG.CREATE", .args = TDX_ARGS_PAGE,
	  .run = tdx_mng_create },
	{ .number = CLO_TDH_MNG_KEY_CONFIG, .name = "TDH.MNG.KEY.CONFIG", .args = TDX_ARGS_TD,
	  .tdr = TDX_EX, .run = tdx_mng_key_config },
	{ .number = CLO_TDH_MNG_ADDCX, .name = "TDH.MNG.ADDCX", .args = TDX_ARGS_PAGE_TD,
	  .ops = OP(UNINITIALIZED), .tdr = TDX_EX, .run = tdx_mng_addcx },
	{ .number = CLO_TDH_MNG_INIT, .name = "TDH.MNG.INIT", .args = TDX_ARGS_TD,
	  .ops = OP(UNINITIALIZED), .tdr = TDX_EX, .run = tdx_mng_init },
	{ .number = CLO_TDH_MNG_VPFLUSHDONE, .name = "TDH.MNG.VPFLUSHDONE", .args = TDX_ARGS_TD,
	  .tdr = TDX_EX, .run = tdx_mng_vpflushdone },
	{ .number = CLO_TDH_MNG_KEY_FREEID, .name = "TDH.MNG.KEY.FREEID", .args = TDX_ARGS_TD,
	  .tdr = TDX_EX, .run = tdx_mng_key_freeid },
	{ .number = CLO_TDH_VP_CREATE, .name = "TDH.VP.CREATE", .args = TDX_ARGS_PAGE_TD,
	  .ops = OP(INITIALIZED) | OP(STATE_IMPORT), .tdr = TDX_SH, .op_lock = TDX_SH,
	  .run = tdx_vp_create },
	{ .number = CLO_TDH_VP_ADDCX, .name = "TDH.VP.ADDCX", .args = TDX_ARGS_PAGE_VP,
	  .ops = OP(INITIALIZED) | OP(STATE_IMPORT), .tdr = TDX_SH, .op_lock = TDX_SH,
	  .run = tdx_vp_addcx },
	{ .number = CLO_TDH_VP_INIT, .name = "TDH.VP.INIT", .args = TDX_ARGS_VP,
	  .ops = OP(INITIALIZED), .tdr = TDX_SH, .op_lock = TDX_SH, .run = tdx_vp_init },
	{ .number = CLO_TDH_VP_FLUSH, .name = "TDH.VP.FLUSH", .args = TDX_ARGS_VP,
	  .tdr = TDX_SH, .run = tdx_vp_flush },
	{ .number = CLO_TDH_VP_ENTER, .name = "TDH.VP.ENTER", .args = TDX_ARGS_VP,
	  /* OP_STATE only until the guest runs. */
	  .ops = OP(RUNNABLE) | OP(LIVE_EXPORT) | OP(LIVE_IMPORT),
	  .tdr = TDX_SH, .op_lock = TDX_SH, .run = tdx_vp_enter },
	{ .number = CLO_TDH_PHYMEM_PAGE_RDMD, .name = "TDH.PHYMEM.PAGE.RDMD", .args = TDX_ARGS_PAGE,
	  .run = tdx_phymem_rdmd },
	{ .number = CLO_TDH_PHYMEM_PAGE_RECLAIM, .name = "TDH.PHYMEM.PAGE.RECLAIM",
	  .args = TDX_ARGS_PAGE, .run = tdx_phymem_reclaim },
	{ .number = CLO_TDH_PHYMEM_PAGE_WBINVD, .name = "TDH.PHYMEM.PAGE.WBINVD",
	  .args = TDX_ARGS_PAGE, .run = tdx_phymem_wbinvd },
	{ .number = CLO_TDH_PHYMEM_CACHE_WB, .name = "TDH.PHYMEM.CACHE.WB", .args = TDX_ARGS_NONE,
	  .run = tdx_phymem_cache_wb },

	{ .number = CLO_TDH_MEM_SEPT_ADD, .name = "TDH.MEM.SEPT.ADD", .args = TDX_ARGS_GPA_PAGE,
	  .ops = OPS_ADD_TABLE, .level_min = TDX_2M, .level_max = TDX_ROOT,
	  .tdr = TDX_SH, .op_lock = TDX_SH, .tree = TDX_SH, .entry = true,
	  /* NL_MAPPED: for versions that add L2 pages, and ALLOW_EXISTING; else run() refuses. */
	  .next = { N(FREE, NL_MAPPED), SAME(NL_MAPPED) }, .run = tdx_sept_add },
	{ .number = CLO_TDH_MEM_SEPT_REMOVE, .name = "TDH.MEM.SEPT.REMOVE", .args = TDX_ARGS_GPA,
	  .ops = OPS_ALL_INIT, .level_min = TDX_2M, .level_max = TDX_ROOT,
	  .tdr = TDX_SH, .op_lock = TDX_SH, .tree = TDX_EX, .entry = true, .gate = true,
	  .next = { N(NL_MAPPED, FREE), N(NL_BLOCKED, FREE) }, .run = tdx_sept_remove },
	{ .number = CLO_TDH_MEM_SEPT_RD, .name = "TDH.MEM.SEPT.RD", .args = TDX_ARGS_GPA,
	  .ops = OPS_ALL_INIT, .level_min = TDX_4K, .level_max = TDX_ROOT,
	  .tdr = TDX_SH, .op_lock = TDX_SH, .tree = TDX_SH, .entry = true,
	  .next = { SAME(FREE), SAME(REMOVED), SAME(NL_MAPPED), SAME(NL_BLOCKED), SAME(MAPPED),
		SAME(BLOCKED), SAME(BLOCKEDW), SAME_EXPORTED, SAME(PENDING),
		SAME(PENDING_BLOCKED), SAME(PENDING_BLOCKEDW), SAME_PENDING_EXPORTED },
	  .run = tdx_sept_rd },
	{ .number = CLO_TDH_MEM_PAGE_ADD, .name = "TDH.MEM.PAGE.ADD", .args = TDX_ARGS_GPA_COPY,
	  .ops = OP(INITIALIZED), .level_min = TDX_4K, .level_max = TDX_4K, .tdr = TDX_EX,
	  .next = { N(FREE, MAPPED) }, .run = tdx_page_add },
	{ .number = CLO_TDH_MEM_PAGE_AUG, .name = "TDH.MEM.PAGE.AUG", .args = TDX_ARGS_GPA_PAGE,
	  .ops = OPS_AUG, .level_min = TDX_4K, .level_max = TDX_2M,
	  .tdr = TDX_SH, .op_lock = TDX_SH, .tree = TDX_SH, .entry = true,
	  .next = { N(FREE, PENDING), N(REMOVED, PENDING) }, .run = tdx_page_aug },
	{ .number = CLO_TDH_MEM_PAGE_REMOVE, .name = "TDH.MEM.PAGE.REMOVE", .args = TDX_ARGS_GPA,
	  .ops = OPS_MOVE | OP(FAILED_IMPORT), .level_min = TDX_4K, .level_max = TDX_1G,
	  .tdr = TDX_SH, .op_lock = TDX_SH, .tree = TDX_SH, .entry = true, .gate = true,
	  /* REMOVED instead of FREE while the TD is imported: tdx_ops. */
	  .next = { N(MAPPED, FREE), N(BLOCKED, FREE), N(BLOCKEDW, FREE), N(PENDING, FREE),
		N(PENDING_BLOCKED, FREE), N(PENDING_BLOCKEDW, FREE) },
	  .run = tdx_page_remove },
	{ .number = CLO_TDH_MEM_PAGE_RELOCATE, .name = "TDH.MEM.PAGE.RELOCATE",
	  .args = TDX_ARGS_GPA_PAGE, .ops = OPS_MOVE, .level_min = TDX_4K, .level_max = TDX_4K,
	  .tdr = TDX_SH, .op_lock = TDX_SH, .tree = TDX_SH, .entry = true, .gate = true,
	  .next = { SAME(MAPPED), N(BLOCKED, MAPPED), SAME(BLOCKEDW), SAME_EXPORTED, SAME(PENDING),
		N(PENDING_BLOCKED, PENDING), SAME(PENDING_BLOCKEDW), SAME_PENDING_EXPORTED },
	  .run = tdx_page_relocate },
	{ .number = CLO_TDH_MEM_PAGE_PROMOTE, .name = "TDH.MEM.PAGE.PROMOTE", .args = TDX_ARGS_GPA,
	  .ops = OPS_MOVE, .level_min = TDX_2M, .level_max = TDX_1G,
	  .tdr = TDX_SH, .op_lock = TDX_SH, .tree = TDX_SH, .entry = true, .gate = true,
	  .next = { N(NL_MAPPED, OF_CHILD), N(NL_BLOCKED, OF_CHILD) }, .run = tdx_page_promote },
	{ .number = CLO_TDH_MEM_PAGE_DEMOTE, .name = "TDH.MEM.PAGE.DEMOTE",
	  .args = TDX_ARGS_GPA_PAGE, .ops = OPS_MOVE, .level_min = TDX_2M, .level_max = TDX_1G,
	  .tdr = TDX_SH, .op_lock = TDX_SH, .tree = TDX_SH, .entry = true, .gate = true,
	  .next = { N(MAPPED, OVER_CHILDREN), N(BLOCKED, OVER_CHILDREN), N(PENDING, OVER_CHILDREN),
		N(PENDING_BLOCKED, OVER_CHILDREN) },
	  .run = tdx_page_demote },
	{ .number = CLO_TDH_MEM_RANGE_BLOCK, .name = "TDH.MEM.RANGE.BLOCK", .args = TDX_ARGS_GPA,
	  .ops = OPS_MOVE, .level_min = TDX_4K, .level_max = TDX_ROOT,
	  .tdr = TDX_SH, .op_lock = TDX_SH, .tree = TDX_EX, .entry = true,
	  .if_blocked = CLO_TDX_GPA_RANGE_ALREADY_BLOCKED,
	  .next = { N(NL_MAPPED, NL_BLOCKED), N(MAPPED, BLOCKED), N(BLOCKEDW, BLOCKED),
		N(PENDING, PENDING_BLOCKED), N(PENDING_BLOCKEDW, PENDING_BLOCKED) },
	  .run = tdx_range_block },
	{ .number = CLO_TDH_MEM_RANGE_UNBLOCK, .name = "TDH.MEM.RANGE.UNBLOCK",
	  .args = TDX_ARGS_GPA, .ops = OPS_MOVE, .level_min = TDX_4K, .level_max = TDX_ROOT,
	  .tdr = TDX_SH, .op_lock = TDX_SH, .tree = TDX_EX, .entry = true, .gate = true,
	  .next = { N(NL_BLOCKED, NL_MAPPED), N(BLOCKED, MAPPED), N(PENDING_BLOCKED, PENDING) },
	  .run = tdx_range_unblock },
	{ .number = CLO_TDH_MEM_TRACK, .name = "TDH.MEM.TRACK", .args = TDX_ARGS_TD,
	  .ops = OPS_TRACK, .tdr = TDX_SH, .op_lock = TDX_SH, .run = tdx_mem_track },
	{ .number = CLO_TDH_MR_EXTEND, .name = "TDH.MR.EXTEND", .args = TDX_ARGS_CHUNK,
	  .ops = OP(INITIALIZED), .tdr = TDX_EX, .next = { SAME(MAPPED) }, .run = tdx_mr_extend },
	{ .number = CLO_TDH_MR_FINALIZE, .name = "TDH.MR.FINALIZE", .args = TDX_ARGS_TD,
	  .ops = OP(INITIALIZED), .tdr = TDX_EX, .run = tdx_mr_finalize },

	{ .number = CLO_TDH_EXPORT_BLOCKW, .name = "TDH.EXPORT.BLOCKW", .args = TDX_ARGS_LIST,
	  .ops = OP(LIVE_EXPORT), .tdr = TDX_SH, .op_lock = TDX_SH, .tree = TDX_SH,
	  .next = { N(MAPPED, BLOCKEDW), N(EXPORTED_DIRTY, EXPORTED_DIRTY_BLOCKEDW),
		N(PENDING, PENDING_BLOCKEDW),
		N(PENDING_EXPORTED_DIRTY, PENDING_EXPORTED_DIRTY_BLOCKEDW) },
	  .run = tdx_export_blockw },
	{ .number = CLO_TDH_EXPORT_UNBLOCKW, .name = "TDH.EXPORT.UNBLOCKW", .args = TDX_ARGS_GPA,
	  .ops = OPS_UNBLOCKW, .level_min = TDX_4K, .level_max = TDX_4K,
	  .tdr = TDX_SH, .op_lock = TDX_SH, .tree = TDX_SH, .entry = true,
	  .next = { N(BLOCKEDW, MAPPED), N(EXPORTED_BLOCKEDW, EXPORTED_DIRTY),
		N(EXPORTED_DIRTY_BLOCKEDW, EXPORTED_DIRTY), N(PENDING_BLOCKEDW, PENDING),
		N(PENDING_EXPORTED_BLOCKEDW, PENDING_EXPORTED_DIRTY),
		N(PENDING_EXPORTED_DIRTY_BLOCKEDW, PENDING_EXPORTED_DIRTY) },
	  .run = tdx_export_unblockw },
	{ .number = CLO_TDH_EXPORT_RESTORE, .name = "TDH.EXPORT.RESTORE", .args = TDX_ARGS_LIST,
	  .ops = OP(RUNNABLE), .tdr = TDX_SH, .op_lock = TDX_SH, .tree = TDX_SH,
	  .next = { N(EXPORTED_BLOCKEDW, MAPPED), N(EXPORTED_DIRTY, MAPPED),
		N(EXPORTED_DIRTY_BLOCKEDW, MAPPED), N(PENDING_EXPORTED_BLOCKEDW, PENDING),
		N(PENDING_EXPORTED_DIRTY, PENDING),
		N(PENDING_EXPORTED_DIRTY_BLOCKEDW, PENDING) },
	  .run = tdx_export_restore },

	{ .number = CLO_TDG_MEM_PAGE_ACCEPT, .guest = true, .name = "TDG.MEM.PAGE.ACCEPT",
	  .args = TDX_ARGS_GUEST, .level_min = TDX_4K, .level_max = TDX_2M, .entry = true,
	  .next = { N(PENDING, MAPPED), N(PENDING_EXPORTED_DIRTY, EXPORTED_DIRTY) },
	  .run = tdx_page_accept },
	{ .number = CLO_TDG_MEM_PAGE_ATTR_RD, .guest = true, .name = "TDG.MEM.PAGE.ATTR.RD",
	  .args = TDX_ARGS_GUEST, .level_min = TDX_4K, .level_max = TDX_1G, .entry = true,
	  .next = { SAME(MAPPED), SAME(BLOCKEDW), SAME_EXPORTED, SAME(PENDING),
		SAME(PENDING_BLOCKEDW), SAME_PENDING_EXPORTED },
	  .run = tdx_page_attr_rd },
	{ .number = CLO_TDG_MEM_PAGE_ATTR_WR, .guest = true, .name = "TDG.MEM.PAGE.ATTR.WR",
	  .args = TDX_ARGS_GUEST, .level_min = TDX_4K, .level_max = TDX_1G, .entry = true,
	  .next = { SAME(MAPPED), SAME(EXPORTED_DIRTY), SAME(PENDING),
		SAME(PENDING_EXPORTED_DIRTY) },
	  .run = tdx_page_attr_wr },
};
/* clang-format on */
const unsigned tdx_leaf_count = CLO_ARRAY_SIZE(tdx_leaves);

unsigned tdx_leaf_next(const struct tdx_leaf *leaf, enum tdx_state s)
{
	return leaf->next[s] ? leaf->next[s] - 1U : TDX_REFUSED;
}

bool tdx_leaf_has_entry(const struct tdx_leaf *leaf)
{
	return leaf->args == TDX_ARGS_GPA || leaf->args == TDX_ARGS_GPA_PAGE ||
	       leaf->args == TDX_ARGS_GPA_COPY;
}

/* A guest's leaf and a list say more than one thing: an exit, a size, the entry's own status. */
const char *tdx_leaf_refusal(const struct tdx_leaf *leaf, enum tdx_state s)
{
	uint16_t flags = tdx_states[s].flags;

	if (leaf->if_blocked && flags & TDX_S_BLOCKED)
		return clo_tdx_status_name((uint64_t)leaf->if_blocked << 32);
	if (leaf->args == TDX_ARGS_LIST)
		return "entry status SEPT_ENTRY_STATE_INCORRECT";
	if (leaf->args == TDX_ARGS_CHUNK)
		return "EPT_ENTRY_NOT_PRESENT";
	if (!leaf->guest)
		return "EPT_ENTRY_STATE_INCORRECT";
	if (leaf->number != CLO_TDG_MEM_PAGE_ATTR_RD && s != TDX_FREE && !(flags & TDX_S_LEAF))
		return "PAGE_SIZE_MISMATCH";
	if (leaf->number == CLO_TDG_MEM_PAGE_ACCEPT && flags & TDX_S_GUEST)
		return "PAGE_ALREADY_ACCEPTED";
	return "exit, EPT violation";
}

const struct tdx_leaf *tdx_leaf_find(bool guest, uint64_t number)
{
	for (unsigned i = 0; i < tdx_leaf_count; i++) {
		if (tdx_leaves[i].guest == guest && tdx_leaves[i].number == number)
			return &tdx_leaves[i];
	}
	return NULL;
}

const struct tdx_leaf *tdx_leaf_named(const char *name)
{
	for (unsigned i = 0; i < tdx_leaf_count; i++) {
		if (strcmp(tdx_leaves[i].name, name) == 0)
			return &tdx_leaves[i];
	}
	return NULL;
}
