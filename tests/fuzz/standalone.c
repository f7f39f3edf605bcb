/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standalone.c - main of a fuzz target where libFuzzer is not linked: gives it each file of the
 * folders named on the command line, in the order of their names, and prints TAP. A crash ends the
 * program; the line before it names the input.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (16U << 20)

static unsigned run_count;

/* Exactly @size bytes are allocated, so that a sanitizer sees a read beyond the input. */
static void run_input(const char *name, const uint8_t *bytes, size_t size)
{
	uint8_t *data = malloc(size ? size : 1);

	if (!data) {
		perror("malloc");
		exit(2);
	}
	if (size)
		memcpy(data, bytes, size);
	run_count++;
	printf("# %s, %zu bytes\n", name, size);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, size);
	printf("ok %u - %s\n", run_count, name);
	free(data);
}

static void run_file(const char *dir, const char *name)
{
	static uint8_t bytes[INPUT_MAX];
	char path[4096];
	size_t size;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	size = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	run_input(name, bytes, size);
}

static int is_input(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static void run_dir(const char *dir)
{
	struct dirent **list;
	int n = scandir(dir, &list, is_input, alphasort);

	if (n < 0) {
		fprintf(stderr, "%s: %s\n", dir, strerror(errno));
		exit(2);
	}
	for (int i = 0; i < n; i++) {
		run_file(dir, list[i]->d_name);
		free(list[i]);
	}
	free(list);
}

int main(int argc, char **argv)
{
	run_input("empty input", NULL, 0);
	for (int i = 1; i < argc; i++)
		run_dir(argv[i]);
	printf("1..%u\n", run_count);
	return 0;
}
