/* SPDX-License-Identifier: Apache-2.0 */
/* model/fuzz_ops.c - the operation sequence as fuzz input; a difference from the model is a crash.
 */
#include "model.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct model_drive_config cfg = { .view = CLO_HOST_VIEW_SOFT };
	char why[512] = "";
	long at = model_drive(data, size, &cfg, why, sizeof(why));

	if (at != 0) {
		fprintf(stderr, "operation %ld: %s\n", at, why);
		abort();
	}
	return 0;
}
