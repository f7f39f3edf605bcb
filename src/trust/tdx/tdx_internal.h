/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_internal.h - the platform, TDs, vCPUs and a call on its way, for the files of this
 * folder.
 */
#ifndef CLO_TRUST_TDX_TDX_INTERNAL_H
#define CLO_TRUST_TDX_TDX_INTERNAL_H

#include "trust/tdx/tdx_tables.h"

/* Physical addresses: HKIDs are above. */
#define TDX_PA_BITS 46
/* TDX_HKIDS: of TDs, 1 to TDX_HKIDS - 1. */
#define TDX_HKIDS 64U
/*
 * TDCS pages, the root of the S-EPT among them; TDVPS pages of a vCPU. L2 guests would have the
 * ones up to the maximum, which may be there without them.
 */
#define TDX_TDCS_PAGES  6U
#define TDX_TDCS_MAX    9U
#define TDX_TDVPS_PAGES 6U
#define TDX_TDVPS_MAX   15U
#define TDX_ROOT_PAGE   3U

/* No page, where a leaf takes one that may be missing. */
#define TDX_NULL_PA (~0ULL)

/* Operand ids. */
enum tdx_operand {
	TDX_RAX = 0,
	TDX_RCX = 1,
	TDX_RDX = 2,
	TDX_R8 = 8,
	TDX_R9 = 9,
	TDX_GPA_LIST_ENTRY = 97,
	TDX_O_TDR = 128,
	TDX_O_SEPT_TREE = 146,
	TDX_O_TD_EPOCH = 169,
	TDX_O_OP_STATE = 172,
	TDX_O_KOT = 186,
	TDX_O_WBCACHE = 188,
};
static inline uint64_t tdx_status(uint32_t code, uint64_t operand)
{
	return (uint64_t)code << 32 | operand;
}

/*
 * Locks are tried once: who fails gets a busy status and comes again. EX is bit 0, HP bit 1, the
 * sharers are counted above. HP: a host has failed here; a guest lets it go first.
 */
struct tdx_lock {
	struct clo_a32 word;
};
bool tdx_lock_try(struct tdx_lock *l, enum tdx_mode mode, bool priority);
void tdx_lock_drop(struct tdx_lock *l, enum tdx_mode mode);
/* A sharer becomes the holder, or stays a sharer. */
bool tdx_lock_promote(struct tdx_lock *l);

/* Page types in the PAMT. */
enum tdx_pt {
	TDX_PT_NDA = 0,
	TDX_PT_RSVD = 1,
	TDX_PT_REG = 3,
	TDX_PT_TDR = 4,
	TDX_PT_TDCX = 5,
	TDX_PT_TDVPR = 6,
	TDX_PT_EPT = 8,
};

struct tdx_pamt {
	struct tdx_lock lock;
	struct clo_a32 pt;
	struct clo_a64 owner;   /* pfn of the TDR; stale while NDA */
	struct clo_a64 bepoch;  /* epoch in which the page was blocked */
	struct clo_aptr object; /* of a TDR: struct tdx_td; of a TDVPR: struct tdx_vcpu */
};
/* A walk that holds its locks: 1G and 2M shared, the found entry as asked. */
struct tdx_pamt_hold {
	struct tdx_pamt *entry; /* NULL: nothing is held */
	uint64_t pfn;
	unsigned level;
	enum tdx_mode mode;
	bool walked; /* the entries above are locked shared */
};

#define TDX_EPF_THRESHOLD 6U
#define TDX_EPF_LIST      32U
#define TDX_TLB           16U

/*
 * TDs and vCPUs stay until the platform goes: who has found one by its page without a lock, as a
 * debugger does, may come when the page is reclaimed.
 */
struct tdx_object {
	struct tdx_object *next;
};
void tdx_retire(struct clo_tdx *m, struct tdx_object *o);

struct tdx_td {
	struct tdx_object object;
	uint64_t tdr; /* pfn */
	/* Under the TDR's lock. */
	uint32_t hkid;
	enum tdx_life life;
	bool fatal;
	struct clo_a32 tdcx_count;
	uint64_t tdcx[TDX_TDCS_MAX]; /* pfns */
	struct clo_a64 children;     /* CHLDCNT: 4K frames that it owns, without the TDR */
	/* TDCS */
	struct tdx_lock op_lock, tree, epoch_lock;
	struct clo_a32 op;
	struct clo_a64 epoch;    /* TD_EPOCH:32 REFCOUNT[1]:16 REFCOUNT[0]:16, read as one */
	struct clo_a64 bw_epoch; /* of the last BLOCKW */
	struct clo_a64 exported, dirty;
	struct clo_a32 vcpus, associated;
	bool pending_ve_disable;
	uint16_t max_vcpus;
	struct tdx_mrtd *mrtd;
};

struct tdx_tlb {
	uint64_t gpa; /* page, plus 1; 0: none */
	uint64_t pfn;
	uint32_t rwx;
};
struct tdx_vcpu {
	struct tdx_object object;
	struct tdx_td *td;
	uint64_t tdvpr; /* pfn */
	/* Under the TDVPR's lock; lp by the processor that has it. */
	uint32_t pages;
	bool ready;            /* VP.INIT was there */
	struct clo_a32 lp;     /* processor that it is associated with, plus 1; 0: none */
	struct clo_a32 inside; /* TDR and TDVPR are locked shared while it is */
	struct tdx_pamt_hold tdr_hold, tdvpr_hold;
	uint64_t epoch;
	struct tdx_tlb tlb[TDX_TLB];
	/* Zero-step mitigation. */
	uint64_t rip, rip_at_entry;
	unsigned epf_count, epf_listed;
	uint64_t epf_gpa[TDX_EPF_LIST];
};

struct clo_tdx {
	uint64_t pages;
	uint8_t *memory;
	size_t memory_bytes;
	struct tdx_pamt *pamt[3];
	size_t pamt_bytes[3];
	struct tdx_lock kot_lock, wb_lock;
	uint8_t hkid[TDX_HKIDS]; /* enum tdx_hkid, under kot_lock */
	bool wb_needed[TDX_HKIDS];
	struct clo_aptr retired;  /* struct tdx_object */
	struct clo_a32 interrupt; /* looks until one is pending, plus 1; 0: none comes */
};
enum tdx_hkid { TDX_HKID_FREE, TDX_HKID_USED, TDX_HKID_FLUSHED };

/* A call on its way: what it holds is given back by tdx_call_end() alone. */
struct tdx_call {
	struct clo_tdx *m;
	const struct tdx_leaf *leaf;
	uint32_t lp; /* the processor that calls */
	struct clo_tdx_regs *regs;
	struct clo_tdx_exit *exit; /* TDCALL */
	struct tdx_vcpu *vcpu;
	struct tdx_td *td;
	struct clo_tdx_regs in; /* as the caller gave them */
	uint64_t gpa;
	unsigned level; /* of the found entry */
	struct clo_a64 *entry;
	uint64_t raw; /* its copy, read under its lock where that is taken */
	struct tdx_pamt_hold tdr, vp, page, old;
	enum tdx_mode op_held, tree_held;
	bool entry_held, exited, interrupted;
};

/* tdx_pamt.c */
struct tdx_pamt *tdx_pamt_at(struct clo_tdx *m, uint64_t pfn, unsigned level);
/* The entry that says what @pfn is: its level is that of the leaf, 4K where there is none. */
struct tdx_pamt *tdx_pamt_of(struct clo_tdx *m, uint64_t pfn, unsigned *level);
/* Walk to @level, or to the leaf where it is TDX_ROOT; 0 or the status with @operand. */
uint64_t tdx_pamt_walk(struct clo_tdx *m, uint64_t hpa, unsigned level, enum tdx_mode mode,
		       enum tdx_operand operand, struct tdx_pamt_hold *h);
/* An operand page: walked to, locked, of type @pt. */
uint64_t tdx_pamt_get(struct clo_tdx *m, uint64_t hpa, enum tdx_mode mode, enum tdx_pt pt,
		      enum tdx_operand operand, struct tdx_pamt_hold *h);
/* The same for a free page of @level, with nothing in use below it. */
uint64_t tdx_pamt_get_free(struct clo_tdx *m, uint64_t hpa, unsigned level,
			   enum tdx_operand operand, struct tdx_pamt_hold *h);
/* The page of a secure entry: only its own entry is locked; 0 or the status with @operand. */
uint64_t tdx_pamt_lock(struct clo_tdx *m, uint64_t pfn, unsigned level, enum tdx_mode mode,
		       enum tdx_operand operand, struct tdx_pamt_hold *h);
void tdx_pamt_drop(struct clo_tdx *m, struct tdx_pamt_hold *h);
/*
 * Memory that a leaf reads or writes as the host's: there, and no page of a TD or of the module.
 * Real hardware takes any address, and what comes of a private one is a machine check later.
 */
bool tdx_is_shared(struct clo_tdx *m, uint64_t pfn);
/*
 * The same, and it stays so: no call makes it a TD's while it is held. OPERAND_INVALID of @operand;
 * OPERAND_BUSY where a call has it alone, which no real module says.
 */
uint64_t tdx_pamt_shared(struct clo_tdx *m, uint64_t hpa, enum tdx_operand operand,
			 struct tdx_pamt_hold *h);
void tdx_pamt_assign(struct tdx_pamt *p, enum tdx_pt pt, uint64_t owner);
void tdx_pamt_free(struct tdx_pamt *p);
const char *tdx_pt_name(uint32_t pt);

/* tdx_sept.c: words of entries. */
#define TDX_E_RWX    7ULL
#define TDX_E_W      2ULL
#define TDX_E_WB     (6ULL << 3)
#define TDX_E_LOCK   (1ULL << 11)
#define TDX_E_HP     (1ULL << 52)
#define TDX_E_SVE    (1ULL << 63)
#define TDX_E_HPA    0x000ffffffffff000ULL
#define TDX_E_ACCEPT 0x00000000001ff000ULL /* ACCEPT_COUNTER of a pending 2M leaf */
enum tdx_state tdx_entry_state(uint64_t raw);
uint64_t tdx_entry_with(uint64_t raw, enum tdx_state s); /* the state's bits and permissions */
uint64_t tdx_entry_state_only(uint64_t raw, enum tdx_state s);
uint64_t tdx_entry_leaf(enum tdx_state s, uint64_t pfn);
uint64_t tdx_entry_table(uint64_t pfn);
uint64_t tdx_entry_init(void);
uint64_t tdx_entry_pfn(uint64_t raw, unsigned level);
/* Without what a pending 2M leaf keeps in its address. */
uint64_t tdx_entry_clean(uint64_t raw, unsigned level);
/* What RCX and RDX say of an entry. */
void tdx_entry_show(struct clo_tdx_regs *regs, uint64_t raw, unsigned level);
/* Down to @level, or to where it ends: the entry, its level and a copy of it. */
struct clo_a64 *tdx_sept_walk(struct clo_tdx *m, struct tdx_td *td, uint64_t gpa, unsigned *level,
			      uint64_t *raw);
struct clo_a64 *tdx_sept_page(struct clo_tdx *m, uint64_t pfn);
void tdx_sept_fill(struct clo_tdx *m, uint64_t pfn, uint64_t first, uint64_t step);
bool tdx_entry_trylock(struct clo_a64 *e);
uint64_t tdx_entry_trylock_guest(struct clo_a64 *e); /* 0 or a status without operand */
void tdx_entry_unlock(struct clo_a64 *e);
bool tdx_is_tracked(const struct tdx_td *td, uint64_t bepoch);
/* Flags say that the state, and the TD's operation state, ask for blocking and tracking. */
bool tdx_needs_tracking(const struct tdx_td *td, enum tdx_state s);

static inline uint8_t *tdx_page_bytes(struct clo_tdx *m, uint64_t pfn)
{
	return m->memory + (pfn << CLO_PAGE_SHIFT);
}

/* tdx_call.c: what leaves have in common. 0, or the status with which the call ends. */
uint64_t tdx_call_td(struct tdx_call *c, uint64_t hpa, enum tdx_operand operand);
/* The vCPU and, implicitly, its TD. */
uint64_t tdx_call_vp(struct tdx_call *c, uint64_t hpa, enum tdx_operand operand,
		     enum tdx_mode mode);
uint64_t tdx_call_op_state(struct tdx_call *c);
/* RCX = GPA and level: reserved bits, level, alignment, private. */
uint64_t tdx_call_gpa(struct tdx_call *c);
/* All that the table asks for before a leaf of TDX_ARGS_GPA* looks at its pages. */
uint64_t tdx_call_entry(struct tdx_call *c);
/* The page is blocked and tracked, where that is asked for. */
uint64_t tdx_call_gate(struct tdx_call *c, const struct tdx_pamt *page, enum tdx_operand operand);
/* The status @code for RCX, which says with RDX what the entry is. */
uint64_t tdx_refuse(struct tdx_call *c, uint32_t code, unsigned level);
/* The entry is written and its lock given back in one store. */
void tdx_publish(struct tdx_call *c, uint64_t raw);
void tdx_call_end(struct tdx_call *c);
/* Is an interrupt pending now? */
bool tdx_interrupted(struct clo_tdx *m);
bool tdx_gpa_is_private(uint64_t gpa);
enum tdx_op tdx_op_state(const struct tdx_td *td);

/* tdx_mrtd.c */
struct tdx_mrtd *tdx_mrtd_new(void);
void tdx_mrtd_free(struct tdx_mrtd *mr);
void tdx_mrtd_extend(struct tdx_mrtd *mr, const char *what, uint64_t gpa, const void *data,
		     size_t bytes);
void tdx_mrtd_end(struct tdx_mrtd *mr);
const uint8_t *tdx_mrtd_value(const struct tdx_mrtd *mr);

/* tdx_platform.c: the TD of a TDR that has its S-EPT root, or NULL. */
struct tdx_td *tdx_td_at(struct clo_tdx *m, uint64_t tdr);

/* tdx_vp.c */
void tdx_vcpu_leave(struct clo_tdx *m, struct tdx_vcpu *v);
/* tdx_guest.c: the guest leaves, with an EPT violation of @gpa. */
uint64_t tdx_guest_exit(struct tdx_call *c, uint32_t kind, unsigned wanted);

/* The leaves; the table has their rules, their files the rest. */
uint64_t tdx_mng_create(struct tdx_call *c);
uint64_t tdx_mng_key_config(struct tdx_call *c);
uint64_t tdx_mng_addcx(struct tdx_call *c);
uint64_t tdx_mng_init(struct tdx_call *c);
uint64_t tdx_mng_vpflushdone(struct tdx_call *c);
uint64_t tdx_mng_key_freeid(struct tdx_call *c);
uint64_t tdx_vp_create(struct tdx_call *c);
uint64_t tdx_vp_addcx(struct tdx_call *c);
uint64_t tdx_vp_init(struct tdx_call *c);
uint64_t tdx_vp_flush(struct tdx_call *c);
uint64_t tdx_vp_enter(struct tdx_call *c);
uint64_t tdx_phymem_rdmd(struct tdx_call *c);
uint64_t tdx_phymem_reclaim(struct tdx_call *c);
uint64_t tdx_phymem_wbinvd(struct tdx_call *c);
uint64_t tdx_phymem_cache_wb(struct tdx_call *c);
uint64_t tdx_sept_add(struct tdx_call *c);
uint64_t tdx_sept_remove(struct tdx_call *c);
uint64_t tdx_sept_rd(struct tdx_call *c);
uint64_t tdx_page_add(struct tdx_call *c);
uint64_t tdx_page_aug(struct tdx_call *c);
uint64_t tdx_page_remove(struct tdx_call *c);
uint64_t tdx_page_relocate(struct tdx_call *c);
uint64_t tdx_page_promote(struct tdx_call *c);
uint64_t tdx_page_demote(struct tdx_call *c);
uint64_t tdx_range_block(struct tdx_call *c);
uint64_t tdx_range_unblock(struct tdx_call *c);
uint64_t tdx_mem_track(struct tdx_call *c);
uint64_t tdx_mr_extend(struct tdx_call *c);
uint64_t tdx_mr_finalize(struct tdx_call *c);
uint64_t tdx_export_blockw(struct tdx_call *c);
uint64_t tdx_export_unblockw(struct tdx_call *c);
uint64_t tdx_export_restore(struct tdx_call *c);
uint64_t tdx_page_accept(struct tdx_call *c);
uint64_t tdx_page_attr_rd(struct tdx_call *c);
uint64_t tdx_page_attr_wr(struct tdx_call *c);

#endif
