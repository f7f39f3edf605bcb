/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_sept.c - words of S-EPT entries, the walk, the lock of an entry, what is tracked.
 *
 * The state is 7 bits of the word, the permissions are 3 others, and neither follows from the
 * other: an EXPORTED_BLOCKEDW that was reached while the TD was paused can still be writable.
 */
#include "trust/tdx/tdx_internal.h"

#include <string.h>

/* Where the 7 bits of a state are: D, TDEX, TDBW, TDB, TDP, IPAT, PS. */
static const uint8_t code_bits[] = { 9, 53, 54, 55, 56, 6, 7 };

static uint64_t code_to_raw(uint8_t code)
{
	uint64_t raw = 0;

	for (unsigned i = 0; i < CLO_ARRAY_SIZE(code_bits); i++)
		raw |= (uint64_t)(code >> i & 1) << code_bits[i];
	return raw;
}

static uint8_t raw_to_code(uint64_t raw)
{
	unsigned code = 0;

	for (unsigned i = 0; i < CLO_ARRAY_SIZE(code_bits); i++)
		code |= (unsigned)(raw >> code_bits[i] & 1) << i;
	return (uint8_t)code;
}

enum tdx_state tdx_entry_state(uint64_t raw)
{
	uint8_t code = raw_to_code(raw);

	for (unsigned s = 0; s < TDX_STATE_COUNT; s++) {
		if (tdx_states[s].code == code)
			return (enum tdx_state)s;
	}
	return TDX_STATE_COUNT; /* no writer makes such a word: tdx_check() says so */
}

uint64_t tdx_entry_state_only(uint64_t raw, enum tdx_state s)
{
	return (raw & ~code_to_raw(0x7f)) | code_to_raw(tdx_states[s].code);
}

uint64_t tdx_entry_with(uint64_t raw, enum tdx_state s)
{
	return (tdx_entry_state_only(raw, s) & ~TDX_E_RWX) | tdx_states[s].rwx;
}

uint64_t tdx_entry_init(void)
{
	return tdx_entry_with(TDX_E_SVE, TDX_FREE);
}

uint64_t tdx_entry_leaf(enum tdx_state s, uint64_t pfn)
{
	return tdx_entry_with(TDX_E_SVE | TDX_E_WB | pfn << CLO_PAGE_SHIFT, s);
}

uint64_t tdx_entry_table(uint64_t pfn)
{
	return tdx_entry_with(TDX_E_SVE | pfn << CLO_PAGE_SHIFT, TDX_NL_MAPPED);
}

uint64_t tdx_entry_clean(uint64_t raw, unsigned level)
{
	bool counts = level == TDX_2M && tdx_states[tdx_entry_state(raw)].flags & TDX_S_PENDING;

	return counts ? raw & ~TDX_E_ACCEPT : raw;
}

uint64_t tdx_entry_pfn(uint64_t raw, unsigned level)
{
	uint64_t pfn = (raw & TDX_E_HPA) >> CLO_PAGE_SHIFT;

	/* Of a leaf the bits below its size are no address. */
	if (tdx_states[tdx_entry_state(raw)].flags & TDX_S_LEAF)
		pfn = clo_align_down(pfn, 1ULL << (9 * level));
	return pfn;
}

void tdx_entry_show(struct clo_tdx_regs *regs, uint64_t raw, unsigned level)
{
	enum tdx_state s = tdx_entry_state(raw);
	uint64_t leaf = TDX_E_RWX | 7ULL << 3 | TDX_E_HPA | 1ULL << 6 | 1ULL << 7 | TDX_E_SVE;

	if (s == TDX_FREE)
		regs->rcx = TDX_E_SVE;
	else
		regs->rcx = raw & (tdx_states[s].flags & TDX_S_LEAF ? leaf : TDX_E_RWX | 1ULL << 7);
	regs->rdx = level | (uint64_t)tdx_states[s].shown << 8;
}

struct clo_a64 *tdx_sept_page(struct clo_tdx *m, uint64_t pfn)
{
	return (struct clo_a64 *)(void *)(m->memory + (pfn << CLO_PAGE_SHIFT));
}

void tdx_sept_fill(struct clo_tdx *m, uint64_t pfn, uint64_t first, uint64_t step)
{
	struct clo_a64 *e = tdx_sept_page(m, pfn);

	/* Nobody can reach the page yet; a debugger that was there before may look at it. */
	for (unsigned i = 0; i < 512; i++)
		clo_a64_set_relaxed(&e[i], first + i * step);
}

struct clo_a64 *tdx_sept_walk(struct clo_tdx *m, struct tdx_td *td, uint64_t gpa, unsigned *level,
			      uint64_t *raw)
{
	unsigned wanted = *level;
	uint64_t pfn = td->tdcx[TDX_ROOT_PAGE];

	for (*level = TDX_512G;; (*level)--) {
		uint64_t index = gpa >> (CLO_PAGE_SHIFT + 9 * *level) & 511;
		struct clo_a64 *e = &tdx_sept_page(m, pfn)[index];

		*raw = clo_a64_get(e);
		if (*level == wanted || *level == TDX_4K || !(*raw & TDX_E_RWX) ||
		    tdx_states[tdx_entry_state(*raw)].flags & TDX_S_LEAF)
			return e;
		pfn = tdx_entry_pfn(*raw, *level);
		/* Another's word: the table was given back under a walk without a lock. */
		if (pfn >= m->pages)
			return e;
	}
}

bool tdx_entry_trylock(struct clo_a64 *e)
{
	if (clo_a64_or(e, TDX_E_LOCK) & TDX_E_LOCK) {
		clo_a64_or(e, TDX_E_HP);
		return false;
	}
	clo_a64_and(e, ~TDX_E_HP);
	return true;
}

uint64_t tdx_entry_trylock_guest(struct clo_a64 *e)
{
	uint64_t old = clo_a64_or(e, TDX_E_LOCK);

	if (old & TDX_E_LOCK)
		return tdx_status(CLO_TDX_OPERAND_BUSY, 0);
	if (!(old & TDX_E_HP))
		return 0;
	clo_a64_and(e, ~TDX_E_LOCK);
	return tdx_status(CLO_TDX_OPERAND_BUSY_HOST_PRIORITY, 0);
}

void tdx_entry_unlock(struct clo_a64 *e)
{
	clo_a64_and(e, ~TDX_E_LOCK);
}

bool tdx_is_tracked(const struct tdx_td *td, uint64_t bepoch)
{
	uint64_t word = clo_a64_get_sc(&td->epoch);
	uint64_t epoch = word >> 32;

	if (bepoch >> 63) /* of a migration */
		return false;
	if (bepoch + 1 == epoch)
		return (word >> (bepoch & 1 ? 16 : 0) & 0xffff) == 0;
	return bepoch + 1 < epoch;
}

bool tdx_needs_tracking(const struct tdx_td *td, enum tdx_state s)
{
	return tdx_states[s].flags & TDX_S_TRACK && tdx_ops[clo_a32_get(&td->op)].track;
}
