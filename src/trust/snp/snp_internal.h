/* SPDX-License-Identifier: Apache-2.0 */
/* trust/snp/snp_internal.h - the RMP and its entries, for the files of this folder. */
#ifndef CLO_TRUST_SNP_SNP_INTERNAL_H
#define CLO_TRUST_SNP_SNP_INTERNAL_H

#include "trust/snp/snp_tables.h"

/* Bits 63:0 as Linux has them for family 19h; the processor's own bit 63 is our lock of the entry.
 */
#define RMP_ASSIGNED   1ULL
#define RMP_2M         2ULL
#define RMP_IMMUTABLE  4ULL
#define RMP_GPA        0x0007fffffffff000ULL
#define RMP_ASID_SHIFT 51
#define RMP_ASID_MAX   1023U
#define RMP_VMSA       (1ULL << 61)
#define RMP_VALIDATED  (1ULL << 62)
#define RMP_LOCK       (1ULL << 63)
/* Of VMPL 0 everything, of the others nothing. */
#define PERMS_FIRST 0xfU

struct rmp_entry {
	struct clo_a64 lo;
	struct clo_a64 perms; /* 4 bits for each VMPL; under the lock */
};

struct clo_snp {
	uint64_t pages;
	struct rmp_entry *rmp;
	size_t rmp_bytes;
	/* What the firmware knows: which context page has which ASID. Under its lock. */
	struct clo_mutex firmware;
	uint64_t gctx_of[RMP_ASID_MAX + 1]; /* pfn plus 1 */
};

struct rmp_entry *snp_entry(struct clo_snp *m, uint64_t pfn);
enum snp_state snp_state_of(uint64_t lo);
static inline uint64_t snp_get(const struct rmp_entry *e)
{
	return clo_a64_get(&e->lo) & ~RMP_LOCK;
}
static inline uint32_t rmp_asid(uint64_t lo)
{
	return (uint32_t)(lo >> RMP_ASID_SHIFT) & RMP_ASID_MAX;
}
/* Entries [pfn, pfn + n), all or none; another processor at one of them is false. */
bool snp_lock(struct clo_snp *m, uint64_t pfn, uint64_t n);
/* The lock goes, and @lo of each of them stays. */
void snp_unlock(struct clo_snp *m, uint64_t pfn, uint64_t n);
void snp_set(struct rmp_entry *e, uint64_t lo, uint64_t perms); /* keeps the lock */
/* The entry that decides for a page: of a 2M entry the first one. */
uint64_t snp_deciding(struct clo_snp *m, uint64_t pfn, uint64_t *lo);

#endif
