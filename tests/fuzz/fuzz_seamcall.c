/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/fuzz/fuzz_seamcall.c - any text as a SEAMCALL file: statements, leaves, operands. What was
 * called, the platform is as its rules say.
 */
#include "trust/tdx/tdx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Locks of a `lock` statement are left where they are: then nothing is recounted. */
static void check(struct tdx_script *s)
{
	struct tdx_check_fail f;

	/* I5: a RELOCATE that the module does not track; README.md of trust/tdx. */
	if (s->lock_count == 0 && tdx_check(s->m, &f) && strncmp(f.text, "I5", 2) != 0) {
		fprintf(stderr, "%s\n", f.text);
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tdx_script_result r;
	struct tdx_script_error e;
	struct tdx_script s;
	char line[600];

	if (tdx_script_open(&s, 8ULL << 20))
		return 0;
	for (size_t at = 0, lines = 0; at < size && lines < 64; lines++) {
		const uint8_t *end = memchr(data + at, '\n', size - at);
		size_t n = end ? (size_t)(end - (data + at)) : size - at;
		size_t kept = n < sizeof(line) - 1 ? n : sizeof(line) - 1;

		memcpy(line, data + at, kept);
		line[kept] = '\0';
		at += n + 1;
		if (!tdx_script_line(&s, line, &r, &e) && !e.word[0] && !e.text[0])
			abort();
	}
	check(&s);
	tdx_script_close(&s);
	return 0;
}
