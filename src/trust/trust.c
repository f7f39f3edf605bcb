/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/trust.c - registry of the trust models.
 */
#include "trust/trust.h"

#include "trust/trust_types.h"

static const struct clo_trust_ops *const models[] = { &clo_trust_default, &clo_trust_sw };

const struct clo_trust_ops *clo_trust_nth(unsigned i)
{
	return i < CLO_ARRAY_SIZE(models) ? models[i] : NULL;
}

const struct clo_trust_ops *clo_trust_find(uint32_t vm_type)
{
	for (unsigned i = 0; i < CLO_ARRAY_SIZE(models); i++) {
		if (models[i]->vm_type == vm_type)
			return models[i];
	}
	return NULL;
}

const char *clo_content_name(enum clo_content c)
{
	static const char *const names[CLO_CONTENT_COUNT] = { "preserve", "zero" };

	return (unsigned)c < CLO_CONTENT_COUNT ? names[c] : "?";
}
