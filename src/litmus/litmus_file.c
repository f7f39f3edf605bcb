/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/litmus_file.c - what `cloister run` and `cloister explore` share: a file read, outcomes
 * counted.
 */
#include "litmus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES (1U << 20)

int clo_litmus_read(const char *path, struct clo_litmus **out, FILE *err)
{
	FILE *f = fopen(path, "rb");
	struct clo_litmus_error error;
	char *text = NULL;
	size_t len = 0;
	int ret = f ? 0 : -errno;

	if (f) {
		text = clo_alloc(FILE_MAX_BYTES);
		ret = text ? 0 : -ENOMEM;
	}
	if (ret == 0) {
		len = fread(text, 1, FILE_MAX_BYTES, f);
		/* A folder opens, and fails here. */
		if (ferror(f))
			ret = -EISDIR;
		else if (len == FILE_MAX_BYTES)
			ret = -EFBIG;
	}
	if (f)
		fclose(f);
	if (ret == 0) {
		ret = clo_litmus_parse(text, len, path, out, &error);
		if (ret == -EINVAL)
			clo_litmus_print_error(&error, err);
	} else {
		fprintf(err, "%s: %s\n", path, strerror(-ret));
	}
	clo_free(text);
	return ret;
}

void clo_litmus_tally_add(struct clo_litmus_tally *t, const char *outcome)
{
	t->runs++;
	for (unsigned i = 0; i < t->count; i++) {
		if (strcmp(t->outcomes[i].text, outcome) == 0) {
			t->outcomes[i].times++;
			return;
		}
	}
	if (t->count == CLO_LITMUS_TALLY_MAX) {
		t->others++;
		return;
	}
	t->outcomes[t->count].times = 1;
	snprintf(t->outcomes[t->count++].text, CLO_LITMUS_WHY, "%s", outcome);
}

static int more_often(const void *a, const void *b)
{
	const struct clo_litmus_tally_outcome *x = a, *y = b;

	if (x->times != y->times)
		return x->times < y->times ? 1 : -1;
	return strcmp(x->text, y->text);
}

void clo_litmus_tally_sort(struct clo_litmus_tally *t)
{
	qsort(t->outcomes, t->count, sizeof(t->outcomes[0]), more_often);
}

void clo_litmus_tally_print(struct clo_litmus_tally *t, FILE *out)
{
	clo_litmus_tally_sort(t);
	for (unsigned i = 0; i < t->count; i++)
		fprintf(out, "  %8" PRIu64 "  %s\n", t->outcomes[i].times,
			*t->outcomes[i].text ? t->outcomes[i].text : "(no named results)");
	if (t->others)
		fprintf(out, "  %8" PRIu64 "  (further outcomes)\n", t->others);
}
