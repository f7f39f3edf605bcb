/* SPDX-License-Identifier: Apache-2.0 */
/* trust/snp/snp.h - the memory side of SEV-SNP, for other modules: cloister/snp.h and its tables.
 */
#ifndef CLO_TRUST_SNP_SNP_H
#define CLO_TRUST_SNP_SNP_H

#include "trust/snp/snp_tables.h"

#endif
