/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_litmus.c - any bytes through the litmus reader: an error with a place, or a program whose
 * canonical text reads back to the same program.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "litmus/litmus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A finding of our own, for libFuzzer and the replay alike. */
#define REQUIRE(cond)                                                                              \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "fuzz_litmus: %s does not hold\n", #cond);                 \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static char *print(const struct clo_litmus *p, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	REQUIRE(f);
	clo_litmus_print(p, f);
	REQUIRE(fclose(f) == 0);
	return text;
}

static void clear_places(struct clo_litmus *p)
{
	for (unsigned t = 0; t <= CLO_LITMUS_THREADS; t++) {
		for (unsigned i = 0; i < p->threads[t].op_count; i++)
			p->threads[t].ops[i].line = p->threads[t].ops[i].column = 0;
	}
	for (unsigned i = 0; i < p->final_count; i++)
		p->finals[i].line = p->finals[i].column = 0;
}

static void check_error(const struct clo_litmus_error *e)
{
	REQUIRE(e->line >= 1 && e->column >= 1 && e->span >= 1 && e->message[0]);
	REQUIRE(e->caret <= strlen(e->source));
	REQUIRE(e->caret + e->span <= strlen(e->source) + 1);
}

static void check_program(struct clo_litmus *p)
{
	struct clo_litmus_error e;
	struct clo_litmus *again;
	size_t len;
	char *text = print(p, &len);

	if (clo_litmus_parse(text, len, "printed", &again, &e) != 0) {
		fputs(text, stderr);
		clo_litmus_print_error(&e, stderr);
		abort();
	}
	clear_places(p);
	clear_places(again);
	REQUIRE(memcmp(p, again, sizeof(*p)) == 0);
	clo_litmus_free(again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct clo_litmus_error e;
	struct clo_litmus *p = NULL;
	int ret = clo_litmus_parse((const char *)data, size, "input", &p, &e);

	REQUIRE(ret == 0 || ret == -EINVAL);
	if (ret == 0)
		check_program(p);
	else
		check_error(&e);
	clo_litmus_free(p);
	return 0;
}
