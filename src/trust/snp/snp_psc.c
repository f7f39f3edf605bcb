/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/snp/snp_psc.c - the GHCB's page state change, as a host decodes it (Linux 6.12,
 * arch/x86/kvm/svm/sev.c, snp_begin_psc): each field of the guest's buffer is read once, indexes
 * are bounded before they are used, progress goes back into the buffer.
 */
#include "trust/snp/snp_tables.h"

#include <string.h>

#define MSR_REQUEST 0x014U
#define MSR_ANSWER  0x015U
#define MSR_ERROR   (1ULL << 63)

#define ENTRY_CUR(e) ((e)&0xfff)
#define ENTRY_GFN(e) ((e) >> 12 & ((1ULL << 40) - 1))
#define ENTRY_OP(e)  ((uint32_t)((e) >> 52 & 15))
#define ENTRY_2M(e)  ((uint32_t)((e) >> 56 & 1))

int clo_snp_psc_msr(uint64_t ghcb, struct clo_snp_psc *out, uint64_t *answer)
{
	*out = (struct clo_snp_psc){ .gpa = ENTRY_GFN(ghcb) << CLO_PAGE_SHIFT,
				     .npages = 1,
				     .op = ENTRY_OP(ghcb) };
	*answer = clo_snp_psc_msr_done(1);
	return (ghcb & 0xfff) == MSR_REQUEST &&
	       (out->op == CLO_SNP_PSC_PRIVATE || out->op == CLO_SNP_PSC_SHARED);
}

uint64_t clo_snp_psc_msr_done(int failed)
{
	return MSR_ANSWER | (failed ? MSR_ERROR : 0);
}

/* Once, whole: the guest may write meanwhile, and can hurt itself alone. */
static uint64_t read_once(const void *at)
{
	return *(const volatile uint64_t *)at;
}

static uint16_t header(const void *buf, unsigned n)
{
	return ((const volatile uint16_t *)buf)[n];
}

static uint64_t *entry_at(void *buf, unsigned i)
{
	return (uint64_t *)buf + 1 + i;
}

static unsigned pages_of(uint64_t e)
{
	return ENTRY_2M(e) ? 512 : 1;
}

/* What is left of an entry. 0: nothing; false: it is none. */
static bool rest_of(uint64_t e, struct clo_snp_psc *out)
{
	uint64_t n = pages_of(e), cur = ENTRY_CUR(e);

	if (cur > n || !clo_is_aligned(ENTRY_GFN(e), n))
		return false;
	*out = (struct clo_snp_psc){
		.gpa = (ENTRY_GFN(e) + cur) << CLO_PAGE_SHIFT,
		.npages = n - cur,
		.op = ENTRY_OP(e),
		.page_2m = ENTRY_2M(e),
	};
	return true;
}

static void set_current(void *buf, unsigned i)
{
	((volatile uint16_t *)buf)[0] = (uint16_t)i;
}

static void finish(void *buf, unsigned i)
{
	uint64_t e = read_once(entry_at(buf, i));

	*(volatile uint64_t *)entry_at(buf, i) = (e & ~0xfffULL) | pages_of(e);
	set_current(buf, i + 1);
}

/*
 * Entries behind @first, the @i-th, that go on where @out ends, and are of its kind. What was begun
 * goes on in 4K. Where it ends is counted from the begin of its entry, as in Linux: 4K that are
 * next to it are not taken along, and ones within it can be.
 */
static void join(void *buf, uint64_t first, unsigned i, unsigned end, struct clo_snp_psc *out)
{
	bool huge = ENTRY_2M(first) && ENTRY_CUR(first) == 0;

	while (++i <= end) {
		uint64_t e = read_once(entry_at(buf, i));

		if (ENTRY_OP(e) != out->op || ENTRY_2M(e) != huge || ENTRY_CUR(e) ||
		    ENTRY_GFN(e) != ENTRY_GFN(first) + out->npages)
			break;
		out->npages += pages_of(e);
	}
}

uint64_t clo_snp_psc_next(void *buf, size_t bytes, struct clo_snp_psc *out)
{
	size_t entries = bytes < 8 ? 0 : (bytes - 8) / 8;
	unsigned i, end;

	*out = (struct clo_snp_psc){ 0 };
	if (bytes < 8 || entries > CLO_SNP_PSC_ENTRIES)
		return CLO_SNP_PSC_GENERIC;
	i = header(buf, 0);
	end = header(buf, 1);
	if (end >= entries)
		return CLO_SNP_PSC_INVALID_HEADER;
	for (; i <= end; i++) {
		uint64_t e = read_once(entry_at(buf, i));
		struct clo_snp_psc one;

		if (!rest_of(e, &one))
			return CLO_SNP_PSC_INVALID_ENTRY;
		if (one.npages == 0) {
			set_current(buf, i + 1);
		} else if (one.op != CLO_SNP_PSC_PRIVATE && one.op != CLO_SNP_PSC_SHARED) {
			/* A wish for another page size: done as it is. */
			finish(buf, i);
		} else {
			*out = one;
			join(buf, e, i, end, out);
			return CLO_SNP_PSC_OK;
		}
	}
	return CLO_SNP_PSC_OK;
}

void clo_snp_psc_done(void *buf, size_t bytes, const struct clo_snp_psc *range, uint64_t npages)
{
	size_t entries = bytes < 8 ? 0 : (bytes - 8) / 8;
	unsigned i = header(buf, 0);

	if (npages > range->npages)
		npages = range->npages;
	for (; npages > 0 && i < entries; i++) {
		uint64_t e = read_once(entry_at(buf, i));
		uint64_t cur = ENTRY_CUR(e), left = pages_of(e) > cur ? pages_of(e) - cur : 0;

		if (left <= npages) {
			finish(buf, i);
			npages -= left;
		} else {
			*(volatile uint64_t *)entry_at(buf, i) = e + npages;
			npages = 0;
		}
	}
}
