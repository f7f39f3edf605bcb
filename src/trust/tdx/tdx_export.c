/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_export.c - EXPORT.BLOCKW, UNBLOCKW and RESTORE: the state of pages that are sent.
 * What sends them comes with migration.
 *
 * A list is a page of 512 entries. What is wrong with one entry is its own status, and the loop
 * goes on; the call's low 32 bits count such entries.
 */
#include "trust/tdx/tdx_internal.h"

/* Fields of RCX and of a list's entries. */
#define LIST_FORMAT(rcx)  ((rcx)&7)
#define LIST_FIRST(rcx)   ((rcx) >> 3 & 511)
#define LIST_LAST(rcx)    ((rcx) >> 55)
#define LIST_RESERVED     (7ULL << 52)
#define ENTRY_RESERVED    (0xfULL << 3 | 3ULL << 54 | 7ULL << 61)
#define ENTRY_LEVEL       3ULL
#define ENTRY_OP(e)       ((e) >> 52 & 3)
#define ENTRY_STATUS(n)   ((uint64_t)(n) << 56)
#define ENTRY_RESULT_BITS (3ULL << 52 | 31ULL << 56)

enum {
	LIST_OK,
	LIST_SKIPPED,
	LIST_WALK_FAILED,
	LIST_BUSY,
	LIST_STATE_INCORRECT,
	LIST_INVALID = 15,
};

/* The entry's status, or LIST_INVALID: the whole call ends there. */
static unsigned one(struct tdx_call *c, uint64_t item,
		    void (*change)(struct tdx_call *, enum tdx_state))
{
	enum tdx_state s;

	if (item & (ENTRY_RESERVED | ENTRY_LEVEL))
		return LIST_INVALID;
	/* NOP and CANCEL. */
	if (!(ENTRY_OP(item) & 1))
		return LIST_SKIPPED;
	c->gpa = item & TDX_E_HPA;
	if (!tdx_gpa_is_private(c->gpa))
		return LIST_INVALID;
	c->level = TDX_4K;
	c->entry = tdx_sept_walk(c->m, c->td, c->gpa, &c->level, &c->raw);
	if (c->level != TDX_4K)
		return LIST_WALK_FAILED;
	if (!tdx_entry_trylock(c->entry))
		return LIST_BUSY;
	c->entry_held = true;
	c->raw = clo_a64_get(c->entry) & ~(TDX_E_LOCK | TDX_E_HP);
	s = tdx_entry_state(c->raw);
	if (tdx_leaf_next(c->leaf, s) != TDX_REFUSED) {
		change(c, s);
		return LIST_OK;
	}
	tdx_entry_unlock(c->entry);
	c->entry_held = false;
	return LIST_STATE_INCORRECT;
}

static uint64_t open_list(struct tdx_call *c, struct clo_a64 **list)
{
	uint64_t rcx = c->in.rcx, status;
	uint64_t pfn = (rcx & TDX_E_HPA) >> CLO_PAGE_SHIFT;

	if ((status = tdx_call_td(c, c->in.rdx, TDX_RDX)) || (status = tdx_call_op_state(c)))
		return status;
	if (!tdx_lock_try(&c->td->tree, TDX_SH, false))
		return tdx_status(CLO_TDX_OPERAND_BUSY, TDX_O_SEPT_TREE);
	c->tree_held = TDX_SH;
	if (LIST_FORMAT(rcx) || rcx & LIST_RESERVED || LIST_FIRST(rcx) > LIST_LAST(rcx))
		return tdx_status(CLO_TDX_OPERAND_INVALID, TDX_RCX);
	/* It is written to: no page of the module's, then. */
	if ((status = tdx_pamt_shared(c->m, rcx & TDX_E_HPA, TDX_RCX, &c->page)))
		return status;
	*list = tdx_sept_page(c->m, pfn);
	return 0;
}

static uint64_t each(struct tdx_call *c, void (*change)(struct tdx_call *, enum tdx_state))
{
	uint64_t rcx = c->in.rcx, i = LIST_FIRST(rcx), problems = 0;
	struct clo_a64 *list;
	uint64_t status = open_list(c, &list);

	for (; !status && i <= LIST_LAST(rcx); i++) {
		uint64_t item = clo_a64_get(&list[i]);
		unsigned result = one(c, item, change);

		/* What failed becomes a NOP: the list can be given to EXPORT.MEM. */
		item &= ~(result == LIST_OK ? 31ULL << 56 : ENTRY_RESULT_BITS);
		clo_a64_set(&list[i], item | ENTRY_STATUS(result));
		problems += result > LIST_SKIPPED;
		if (result == LIST_INVALID) {
			status = tdx_status(CLO_TDX_OPERAND_INVALID, TDX_GPA_LIST_ENTRY);
			break;
		}
		if (i < LIST_LAST(rcx) && tdx_interrupted(c->m))
			status = tdx_status(CLO_TDX_INTERRUPTED_RESUMABLE, 0);
	}
	/* Where to go on. */
	c->regs->rcx = (rcx & ~(511ULL << 3)) | (i & 511) << 3;
	return status ? status : tdx_status(CLO_TDX_SUCCESS, problems);
}

/* Only the write permission goes: a pending page has none. */
static void block_writes(struct tdx_call *c, enum tdx_state s)
{
	enum tdx_state next = (enum tdx_state)tdx_leaf_next(c->leaf, s);

	/* Before who tracks can see the entry. */
	clo_a64_set(&c->td->bw_epoch, clo_a64_get_sc(&c->td->epoch) >> 32);
	tdx_publish(c, tdx_entry_state_only(c->raw & ~TDX_E_W, next));
}

static void allow_writes(struct tdx_call *c, enum tdx_state s)
{
	enum tdx_state next = (enum tdx_state)tdx_leaf_next(c->leaf, s);
	uint64_t w = tdx_states[next].flags & TDX_S_PENDING ? 0 : TDX_E_W;

	tdx_publish(c, tdx_entry_state_only(c->raw | w, next));
}

/* DIRTY_COUNT stays, as in the module: the next export begins it anew. */
static void restore(struct tdx_call *c, enum tdx_state s)
{
	allow_writes(c, s);
	clo_a64_sub(&c->td->exported, 1);
}

uint64_t tdx_export_blockw(struct tdx_call *c)
{
	return each(c, block_writes);
}

uint64_t tdx_export_restore(struct tdx_call *c)
{
	return each(c, restore);
}

uint64_t tdx_export_unblockw(struct tdx_call *c)
{
	uint64_t status = tdx_call_entry(c);
	enum tdx_state s;

	if (status) {
		/* Busy is told without what the entry is. */
		if (status == tdx_status(CLO_TDX_OPERAND_BUSY, TDX_RCX)) {
			c->regs->rcx = 0;
			c->regs->rdx = 0;
		}
		return status;
	}
	s = tdx_entry_state(c->raw);
	allow_writes(c, s);
	if (tdx_states[s].flags & TDX_S_EXPORTED && !(tdx_states[s].flags & TDX_S_DIRTY))
		clo_a64_add(&c->td->dirty, 1);
	return 0;
}
