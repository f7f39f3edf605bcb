/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cloister/snp.h - the memory side of AMD SEV-SNP on a simulated platform: the reverse map table,
 * the instructions and firmware commands that change it, what it says to an access, and the page
 * state change of the GHCB.
 *
 * Sources: Linux 6.12 (arch/x86/virt/svm/sev.c, arch/x86/kvm/svm/sev.c, asm/sev-common.h) for
 * layouts and codes that KVM uses, the GHCB specification (56421) for page state change; AMD's APM
 * volume 2, 15.36, and the SNP firmware ABI (56860) for the rest, from memory: rows that are not
 * confirmed are marked in the table that `cloister states snp` prints. Encryption and measurement
 * are not built.
 */
#ifndef CLOISTER_SNP_H
#define CLOISTER_SNP_H

#include <cloister/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct clo_snp;

struct clo_snp_config {
	uint32_t size; /* sizeof(struct clo_snp_config) */
	uint32_t reserved;
	uint64_t mem_bytes; /* what the RMP covers; whole pages, at most 2^51 */
};
#define CLO_SNP_CONFIG_SIZE_VER0 16U
/*
 * All pages are the hypervisor's. SPAs are 0 to mem_bytes. Plain memory of the process, of which a
 * child of fork() has its own copy.
 * -E2BIG, -EINVAL: size. -EINVAL: reserved; mem_bytes not in pages, 0, or too large.
 */
CLO_API int clo_snp_create(const struct clo_snp_config *config, struct clo_snp **out) CLO_CHECKED;
CLO_API void clo_snp_destroy(struct clo_snp *m);

/* What the instructions return in EAX. */
#define CLO_SNP_OK                0U
#define CLO_SNP_FAIL_INPUT        1U
#define CLO_SNP_FAIL_PERMISSION   2U
#define CLO_SNP_FAIL_INUSE        3U /* another processor is at this entry: again */
#define CLO_SNP_FAIL_OVERLAP      4U /* 4K and 2M entries of the same memory */
#define CLO_SNP_FAIL_SIZEMISMATCH 6U

/* The operand of RMPUPDATE. */
struct clo_snp_rmp_state {
	uint64_t gpa; /* aligned to the page size */
	uint8_t assigned;
	uint8_t pagesize; /* 0: 4K, 1: 2M */
	uint8_t immutable;
	uint8_t reserved;
	uint32_t asid; /* 0: none, or the firmware's */
};
/*
 * Any number of processors at once; an entry that another one changes is FAIL_INUSE. What fails has
 * changed nothing.
 */
CLO_API uint32_t clo_snp_rmpupdate(struct clo_snp *m, uint64_t spa,
				   const struct clo_snp_rmp_state *state);
/* One 2M entry becomes 512 of 4K, each with its part of the GPA, validated as it was. */
CLO_API uint32_t clo_snp_psmash(struct clo_snp *m, uint64_t spa);

/* Bits of a nested page fault (EXITINFO1), and bit 31 of a #PF of the host. */
#define CLO_SNP_NPF_WRITE (1ULL << 1)
#define CLO_SNP_NPF_RMP   (1ULL << 31)
#define CLO_SNP_NPF_ENC   (1ULL << 34)
#define CLO_SNP_NPF_SIZEM (1ULL << 35)
#define CLO_SNP_NPF_VMPL  (1ULL << 36)

/* A translation as the nested page table gives it. */
struct clo_snp_access {
	uint32_t size; /* sizeof(struct clo_snp_access) */
	uint32_t asid;
	uint64_t gpa, spa;
	uint8_t npt_2m;    /* mapped by a 2M entry of the nested table */
	uint8_t encrypted; /* C-bit */
	uint8_t write;
	uint8_t execute; /* by the supervisor */
	uint8_t vmpl;    /* 0 to 3 */
	uint8_t reserved[3];
};
#define CLO_SNP_ACCESS_SIZE_VER0 32U
/*
 * 0: allowed. 1: nested page fault, its bits in *npf. 2: #VC in the guest, page not validated.
 * -EINVAL: size; spa or gpa beyond what there is; vmpl; reserved. -E2BIG: size.
 */
CLO_API int clo_snp_access(struct clo_snp *m, const struct clo_snp_access *access,
			   uint64_t *npf) CLO_CHECKED;
/* A store of the host through a 4K (0) or 2M (1) mapping: 0, or CLO_SNP_NPF_RMP of its #PF. */
CLO_API uint64_t clo_snp_host_write(struct clo_snp *m, uint64_t spa, int mapped_2m);

struct clo_snp_result {
	uint32_t code; /* CLO_SNP_*, when there was no fault */
	uint32_t cf;   /* PVALIDATE: it had that value already */
	uint64_t npf;  /* else 0 */
};
/*
 * The guest's instructions, at @access's translation (encrypted, by vmpl). size_2m is the operand.
 * -EINVAL, -E2BIG: as clo_snp_access().
 */
CLO_API int clo_snp_pvalidate(struct clo_snp *m, const struct clo_snp_access *access, int size_2m,
			      int validate, struct clo_snp_result *out) CLO_CHECKED;
/* perms: R 1, W 2, user X 4, supervisor X 8; vmsa: the page becomes a VMSA, or stops being one. */
CLO_API int clo_snp_rmpadjust(struct clo_snp *m, const struct clo_snp_access *access, int size_2m,
			      uint32_t target_vmpl, uint32_t perms, int vmsa,
			      struct clo_snp_result *out) CLO_CHECKED;

/* Firmware commands, by their numbers. */
#define CLO_SNP_DECOMMISSION  0x90U
#define CLO_SNP_ACTIVATE      0x91U
#define CLO_SNP_GCTX_CREATE   0x93U
#define CLO_SNP_LAUNCH_UPDATE 0xA1U
#define CLO_SNP_PAGE_MD_INIT  0xC3U
#define CLO_SNP_PAGE_RECLAIM  0xC7U
#define CLO_SNP_PAGE_UNSMASH  0xC8U
/* Status values of the firmware. */
#define CLO_SNP_FW_SUCCESS            0U
#define CLO_SNP_FW_INVALID_ADDRESS    0x09U
#define CLO_SNP_FW_ASID_OWNED         0x11U
#define CLO_SNP_FW_INVALID_PARAM      0x16U
#define CLO_SNP_FW_INVALID_PAGE_SIZE  0x19U
#define CLO_SNP_FW_INVALID_PAGE_STATE 0x1AU
#define CLO_SNP_FW_INVALID_PAGE_OWNER 0x1CU
/* page_type of LAUNCH_UPDATE. */
#define CLO_SNP_PAGE_NORMAL     1U
#define CLO_SNP_PAGE_VMSA       2U
#define CLO_SNP_PAGE_ZERO       3U
#define CLO_SNP_PAGE_UNMEASURED 4U
#define CLO_SNP_PAGE_SECRETS    5U
#define CLO_SNP_PAGE_CPUID      6U
struct clo_snp_command {
	uint32_t size; /* sizeof(struct clo_snp_command) */
	uint32_t command;
	uint64_t spa;      /* the page, or the context page of ACTIVATE and DECOMMISSION */
	uint64_t gctx;     /* LAUNCH_UPDATE: context page of the guest */
	uint32_t asid;     /* ACTIVATE */
	uint8_t page_2m;   /* LAUNCH_UPDATE, PAGE_RECLAIM */
	uint8_t page_type; /* LAUNCH_UPDATE */
	uint8_t reserved[2];
};
#define CLO_SNP_COMMAND_SIZE_VER0 32U
/*
 * The firmware's answer. One command at a time. INVALID_PARAM: a command that is not known, a
 * reserved field, a struct of another size.
 */
CLO_API uint32_t clo_snp_firmware(struct clo_snp *m, const struct clo_snp_command *c);

struct clo_snp_entry {
	uint32_t size; /* sizeof(struct clo_snp_entry) */
	uint32_t asid;
	uint64_t gpa;
	uint8_t assigned, pagesize, immutable, vmsa, validated;
	uint8_t perms[4]; /* by VMPL */
	uint8_t reserved[3];
	char state[20]; /* "Guest-Invalid" */
};
#define CLO_SNP_ENTRY_SIZE_VER0 48U
/* The entry that decides for this page. -EINVAL: spa beyond the RMP; size. -E2BIG: size. */
CLO_API int clo_snp_look(struct clo_snp *m, uint64_t spa, struct clo_snp_entry *out) CLO_CHECKED;

/*
 * GHCB, page state change. The guest's request is a hint: what it asks for is decoded and bounded
 * here, and what to do with it is the VMM's.
 *
 * MSR protocol (GHCBData 0x014): one 4K page. The answer is the value for the guest.
 * NAE event 0x80000010: a buffer of an 8 byte header (cur_entry, end_entry) and entries of 8 bytes.
 */
#define CLO_SNP_PSC_PRIVATE 1U
#define CLO_SNP_PSC_SHARED  2U
#define CLO_SNP_PSC_SMASH   3U
#define CLO_SNP_PSC_UNSMASH 4U
#define CLO_SNP_PSC_ENTRIES 253U
/* SW_EXITINFO2. */
#define CLO_SNP_PSC_OK             0ULL
#define CLO_SNP_PSC_GENERIC        (0x100ULL << 32)
#define CLO_SNP_PSC_INVALID_HEADER (1ULL << 32 | 1)
#define CLO_SNP_PSC_INVALID_ENTRY  (1ULL << 32 | 2)
struct clo_snp_psc {
	uint64_t gpa;
	uint64_t npages;  /* of 4K; 0: the whole request is done */
	uint32_t op;      /* CLO_SNP_PSC_PRIVATE or _SHARED */
	uint32_t page_2m; /* of the entry: what is left of a 2M one that was begun is 4K pages */
};
/* False: *answer (0x015, an error in 63:32) goes to the guest as it is. */
CLO_API int clo_snp_psc_msr(uint64_t ghcb, struct clo_snp_psc *out, uint64_t *answer);
/* 0x015 with success, or with an error. */
CLO_API uint64_t clo_snp_psc_msr_done(int failed);
/*
 * The next range of the request, adjacent entries of one kind together; entries that only ask for
 * another page size are done at once. buf has bytes bytes of the guest's shared memory, which may
 * change meanwhile: each field is read once. Returns CLO_SNP_PSC_OK, or the error for SW_EXITINFO2.
 */
CLO_API uint64_t clo_snp_psc_next(void *buf, size_t bytes, struct clo_snp_psc *out);
/* npages of that range were changed: the guest's buffer says so. */
CLO_API void clo_snp_psc_done(void *buf, size_t bytes, const struct clo_snp_psc *range,
			      uint64_t npages);

#ifdef __cplusplus
}
#endif

#endif
