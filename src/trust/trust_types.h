/* SPDX-License-Identifier: Apache-2.0 */
/* trust/trust_types.h - the built trust models, for the registry only. */
#ifndef CLO_TRUST_TRUST_TYPES_H
#define CLO_TRUST_TRUST_TYPES_H

#include "trust/trust.h"

extern const struct clo_trust_ops clo_trust_default;
extern const struct clo_trust_ops clo_trust_sw;

#endif
