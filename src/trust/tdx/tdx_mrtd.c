/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_mrtd.c - the measurement of a TD: SHA-384 over what was added, in its order.
 */
#include "trust/tdx/tdx_internal.h"

#include <string.h>

/* The context is part of the TD, and a run that the explorer drops leaves nothing behind. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

struct tdx_mrtd {
	SHA512_CTX sha;
	uint8_t value[SHA384_DIGEST_LENGTH];
};

struct tdx_mrtd *tdx_mrtd_new(void)
{
	struct tdx_mrtd *mr = clo_alloc(sizeof(*mr));

	if (mr)
		SHA384_Init(&mr->sha);
	return mr;
}

void tdx_mrtd_free(struct tdx_mrtd *mr)
{
	clo_free(mr);
}

void tdx_mrtd_extend(struct tdx_mrtd *mr, const char *what, uint64_t gpa, const void *data,
		     size_t bytes)
{
	uint8_t block[128] = { 0 };

	memcpy(block, what, strlen(what));
	memcpy(block + 16, &gpa, sizeof(gpa));
	SHA384_Update(&mr->sha, block, sizeof(block));
	if (bytes)
		SHA384_Update(&mr->sha, data, bytes);
}

void tdx_mrtd_end(struct tdx_mrtd *mr)
{
	SHA384_Final(mr->value, &mr->sha);
}

const uint8_t *tdx_mrtd_value(const struct tdx_mrtd *mr)
{
	return mr->value;
}
