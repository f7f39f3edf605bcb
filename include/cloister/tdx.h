/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cloister/tdx.h - the memory side of an Intel TDX module on a simulated platform: SEAMCALL and
 * TDCALL leaves with registers in, status and registers out.
 *
 * Numbers, check order, status codes and operand ids are those of the public TDX module source
 * (github.com/intel/tdx-module, branch tdx_1.5, 1.5.01). Not built: L2 guests, EXPORT.MEM and
 * IMPORT.MEM, metadata of more than this, encryption (a host reads zeros where it would read those
 * or ciphertext).
 */
#ifndef CLOISTER_TDX_H
#define CLOISTER_TDX_H

#include <cloister/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* SEAMCALL leaves (RAX[15:0]; the version is RAX[23:16]). */
#define CLO_TDH_VP_ENTER            0U
#define CLO_TDH_MNG_ADDCX           1U
#define CLO_TDH_MEM_PAGE_ADD        2U
#define CLO_TDH_MEM_SEPT_ADD        3U
#define CLO_TDH_VP_ADDCX            4U
#define CLO_TDH_MEM_PAGE_RELOCATE   5U
#define CLO_TDH_MEM_PAGE_AUG        6U
#define CLO_TDH_MEM_RANGE_BLOCK     7U
#define CLO_TDH_MNG_KEY_CONFIG      8U
#define CLO_TDH_MNG_CREATE          9U
#define CLO_TDH_VP_CREATE           10U
#define CLO_TDH_MEM_PAGE_DEMOTE     15U
#define CLO_TDH_MR_EXTEND           16U
#define CLO_TDH_MR_FINALIZE         17U
#define CLO_TDH_VP_FLUSH            18U
#define CLO_TDH_MNG_VPFLUSHDONE     19U
#define CLO_TDH_MNG_KEY_FREEID      20U
#define CLO_TDH_MNG_INIT            21U
#define CLO_TDH_VP_INIT             22U
#define CLO_TDH_MEM_PAGE_PROMOTE    23U
#define CLO_TDH_PHYMEM_PAGE_RDMD    24U
#define CLO_TDH_MEM_SEPT_RD         25U
#define CLO_TDH_PHYMEM_PAGE_RECLAIM 28U
#define CLO_TDH_MEM_PAGE_REMOVE     29U
#define CLO_TDH_MEM_SEPT_REMOVE     30U
#define CLO_TDH_MEM_TRACK           38U
#define CLO_TDH_MEM_RANGE_UNBLOCK   39U
#define CLO_TDH_PHYMEM_CACHE_WB     40U
#define CLO_TDH_PHYMEM_PAGE_WBINVD  41U
#define CLO_TDH_EXPORT_BLOCKW       65U
#define CLO_TDH_EXPORT_RESTORE      66U
#define CLO_TDH_EXPORT_UNBLOCKW     75U
/* TDCALL leaves. */
#define CLO_TDG_MEM_PAGE_ACCEPT  6U
#define CLO_TDG_MEM_PAGE_ATTR_RD 23U
#define CLO_TDG_MEM_PAGE_ATTR_WR 24U

/* Bits 63:32 of a status; the rest is an operand id or a detail. */
#define CLO_TDX_SUCCESS                        0x00000000U
#define CLO_TDX_INTERRUPTED_RESUMABLE          0x80000003U
#define CLO_TDX_INTERRUPTED_RESTARTABLE        0x80000004U
#define CLO_TDX_OPERAND_INVALID                0xC0000100U
#define CLO_TDX_OPERAND_ADDR_RANGE_ERROR       0xC0000101U
#define CLO_TDX_OPERAND_BUSY                   0x80000200U
#define CLO_TDX_PREVIOUS_TLB_EPOCH_BUSY        0x80000201U
#define CLO_TDX_OPERAND_BUSY_HOST_PRIORITY     0x80000204U
#define CLO_TDX_HOST_PRIORITY_BUSY_TIMEOUT     0x90000205U
#define CLO_TDX_PAGE_METADATA_INCORRECT        0xC0000300U
#define CLO_TDX_TD_ASSOCIATED_PAGES_EXIST      0xC0000400U
#define CLO_TDX_TD_FATAL                       0xE0000604U
#define CLO_TDX_TDCS_NOT_ALLOCATED             0xC0000606U
#define CLO_TDX_LIFECYCLE_STATE_INCORRECT      0xC0000607U
#define CLO_TDX_OP_STATE_INCORRECT             0xC0000608U
#define CLO_TDX_NO_VCPUS                       0xC0000609U
#define CLO_TDX_TDCX_NUM_INCORRECT             0xC0000610U
#define CLO_TDX_VCPU_STATE_INCORRECT           0xC0000700U
#define CLO_TDX_VCPU_ASSOCIATED                0x80000701U
#define CLO_TDX_VCPU_NOT_ASSOCIATED            0x80000702U
#define CLO_TDX_MAX_VCPUS_EXCEEDED             0xC0000705U
#define CLO_TDX_TD_KEYS_NOT_CONFIGURED         0x80000810U
#define CLO_TDX_KEY_CONFIGURED                 0x00000815U
#define CLO_TDX_WBCACHE_NOT_COMPLETE           0x80000817U
#define CLO_TDX_HKID_NOT_FREE                  0xC0000820U
#define CLO_TDX_NO_HKID_READY_TO_WBCACHE       0x00000821U
#define CLO_TDX_WBCACHE_RESUME_ERROR           0xC0000823U
#define CLO_TDX_FLUSHVP_NOT_DONE               0x80000824U
#define CLO_TDX_EPT_WALK_FAILED                0xC0000B00U
#define CLO_TDX_EPT_ENTRY_NOT_PRESENT          0xC0000B03U
#define CLO_TDX_GPA_RANGE_NOT_BLOCKED          0xC0000B06U
#define CLO_TDX_GPA_RANGE_ALREADY_BLOCKED      0x00000B07U
#define CLO_TDX_TLB_TRACKING_NOT_DONE          0xC0000B08U
#define CLO_TDX_EPT_INVALID_PROMOTE_CONDITIONS 0xC0000B09U
#define CLO_TDX_PAGE_ALREADY_ACCEPTED          0x00000B0AU
#define CLO_TDX_PAGE_SIZE_MISMATCH             0xC0000B0BU
#define CLO_TDX_EPT_ENTRY_STATE_INCORRECT      0xC0000B0DU
#define CLO_TDX_EPT_PAGE_NOT_FREE              0xC0000B0EU
#define CLO_TDX_PAGE_ATTR_INVALID              0xC0000B11U
/* Of bits 63:32 of a status; "?" for none of these. */
CLO_API const char *clo_tdx_status_name(uint64_t status);
/* Of the operand in bits 31:0 of a status that has one there: "RCX", "SEPT_TREE"; else "". */
CLO_API const char *clo_tdx_operand_name(uint64_t status);

struct clo_tdx;

struct clo_tdx_config {
	uint32_t size; /* sizeof(struct clo_tdx_config) */
	uint32_t reserved;
	uint64_t mem_bytes; /* memory of the platform, all of it convertible; whole pages */
};
#define CLO_TDX_CONFIG_SIZE_VER0 16U
/*
 * A platform with a module that is ready (TDH.SYS.* has been called), and memory of which every
 * page is free. HPAs are 0 to mem_bytes. Memory comes with its first use. -E2BIG, -EINVAL: size.
 * -EINVAL: reserved; mem_bytes not in pages, 0, or more than 2^46.
 */
CLO_API int clo_tdx_create(const struct clo_tdx_config *config, struct clo_tdx **out) CLO_CHECKED;
/* No call is on its way, no vCPU matters any more: all goes. */
CLO_API void clo_tdx_destroy(struct clo_tdx *m);

struct clo_tdx_regs {
	uint64_t rax, rcx, rdx, r8, r9, r10, r11;
};
/*
 * SEAMCALL on logical processor lp: RAX is the leaf, then the status, which is also returned. What
 * a leaf does not define keeps its value. Any number of threads may call; a processor is one at a
 * time. All locks of the module are tried once: OPERAND_BUSY names the one, and the call has
 * changed nothing but, for locks that have it, the host's priority.
 *
 * TDH.VP.ENTER returns 0 with the vCPU inside, where clo_tdx_access() and clo_tdx_tdcall() drive
 * it; what those return is the TD exit. It returns an exit reason (48: EPT violation; R8 is the
 * GPA) when the zero-step mitigation does not let the guest run.
 *
 * Not as the real one: versions above 0 are OPERAND_INVALID of RAX; HPAs beyond mem_bytes are
 * OPERAND_ADDR_RANGE_ERROR, or OPERAND_INVALID where shared memory is asked for, and so is a page
 * there that is a TD's or the module's; no memory for the module's own is OPERAND_BUSY of RCX;
 * there is one package, and no cache; a page that is read or written as shared memory (a list,
 * TD_PARAMS, a source) is held shared meanwhile, and OPERAND_BUSY of its operand where a call has
 * it alone.
 */
CLO_API uint64_t clo_tdx_seamcall(struct clo_tdx *m, uint32_t lp, struct clo_tdx_regs *regs);

/* Bits 3:0 of clo_tdx_exit.extended, the extended exit qualification. */
#define CLO_TDX_EXIT_NONE    0U
#define CLO_TDX_EXIT_ACCEPT  1U
#define CLO_TDX_EXIT_ATTR_WR 5U
#define CLO_TDX_EXIT_PENDING 6U /* access to a pending page, with SEPT_VE_DISABLE */
/* Basic exit reason: an interrupt of the host. */
#define CLO_TDX_EXIT_INTERRUPT 1U
struct clo_tdx_exit {
	uint32_t size;   /* sizeof(struct clo_tdx_exit) */
	uint32_t reason; /* VMX basic exit reason; 48: EPT violation */
	/* Of an EPT violation: 1 read, 2 write; bits 5:3 what the entry allows, R, W, X. */
	uint64_t qualification;
	/* 63:32 of an ACCEPT: wanted level 2:0, level 5:3 and state 13:6 of the entry, leaf 14. */
	uint64_t extended;
	uint64_t gpa; /* of an EPT violation, its page */
};
#define CLO_TDX_EXIT_SIZE_VER0 32U
struct clo_tdx_access {
	uint32_t size; /* sizeof(struct clo_tdx_access) */
	uint32_t write;
	uint64_t gpa, bytes; /* inside one page */
	uint64_t rip;        /* for the zero-step mitigation: the same at a try again */
};
#define CLO_TDX_ACCESS_SIZE_VER0 32U
/*
 * A load or store of the vCPU of TDVPR page tdvpr, which is inside, by its own thread. 0: done. 1:
 * TD exit, see *exit; the vCPU is out. 2: #VE: the page is pending. The vCPU keeps what it has
 * walked, as a TLB does, until it enters in a later epoch. -EINVAL: no vCPU that is inside; bytes 0
 * or past the page; size. -E2BIG: size.
 */
CLO_API int clo_tdx_access(struct clo_tdx *m, uint64_t tdvpr, const struct clo_tdx_access *access,
			   void *buf, struct clo_tdx_exit *exit) CLO_CHECKED;
/*
 * TDCALL. 0: RAX is the status. 1: TD exit, see *exit; the vCPU is out, registers are as before,
 * and it executes the same TDCALL again when it is back. -EINVAL: no vCPU that is inside; size.
 * -E2BIG: size.
 */
CLO_API int clo_tdx_tdcall(struct clo_tdx *m, uint64_t tdvpr, struct clo_tdx_regs *regs,
			   struct clo_tdx_exit *exit) CLO_CHECKED;
/* The host's interrupt takes the vCPU out. -EINVAL: no vCPU that is inside; size. -E2BIG: size. */
CLO_API int clo_tdx_interrupt(struct clo_tdx *m, uint64_t tdvpr,
			      struct clo_tdx_exit *exit) CLO_CHECKED;
/*
 * An interrupt becomes pending for what can be interrupted (a 2M ACCEPT, PROMOTE, DEMOTE, lists) at
 * the n-th time that it looks, from 1, and stays so. 0: none does.
 */
CLO_API void clo_tdx_set_interrupt(struct clo_tdx *m, uint32_t n);

/*
 * Memory as the host sees it, bytes inside one page, for sources, lists and TD_PARAMS. A page that
 * is a TD's or the module's reads as zeros.
 * -EINVAL: past a page or the platform. -EFAULT: to write such a page (a machine check on real
 * hardware, when it is used).
 */
CLO_API int clo_tdx_memory(struct clo_tdx *m, uint64_t hpa, void *buf, uint64_t bytes,
			   int write) CLO_CHECKED;

struct clo_tdx_page {
	uint32_t size;  /* sizeof(struct clo_tdx_page) */
	uint32_t type;  /* as TDH.PHYMEM.PAGE.RDMD gives it: 0 NDA, 3 REG, 4 TDR ... */
	uint32_t level; /* 0: 4K */
	uint32_t reserved;
	uint64_t owner;    /* HPA of its TDR */
	char type_name[8]; /* "NDA" */
};
#define CLO_TDX_PAGE_SIZE_VER0 32U
struct clo_tdx_entry {
	uint32_t size;  /* sizeof(struct clo_tdx_entry) */
	uint32_t level; /* where the walk ended */
	uint64_t raw;   /* the word, locks and all */
	uint32_t rwx;   /* R 1, W 2, X 4 */
	uint32_t state; /* as RDX[15:8] shows it */
	uint64_t hpa;   /* of its page or table; 0: none */
	char name[40];  /* "PENDING_BLOCKED" */
};
#define CLO_TDX_ENTRY_SIZE_VER0 72U
/*
 * Without locks: what a debugger would see. -EINVAL: hpa beyond the platform; tdr is no TDR with an
 * S-EPT root; gpa shared or not aligned to level; level; size. -E2BIG: size.
 */
CLO_API int clo_tdx_look_page(struct clo_tdx *m, uint64_t hpa,
			      struct clo_tdx_page *out) CLO_CHECKED;
CLO_API int clo_tdx_look_entry(struct clo_tdx *m, uint64_t tdr, uint64_t gpa, uint32_t level,
			       struct clo_tdx_entry *out) CLO_CHECKED;

#ifdef __cplusplus
}
#endif

#endif
