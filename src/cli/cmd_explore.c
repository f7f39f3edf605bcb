/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/cmd_explore.c - `cloister explore`: hands over to cloister-explore, the same engine built on
 * the deterministic scheduler.
 */
#include "cli.h"
#include "cli_exec.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int cli_exec_path(char *path, size_t size, const char *program)
{
	const char *dir = getenv("CLOISTER_EXEC_PATH");
	char self[PATH_MAX];
	ssize_t n;
	int used;

	if (dir && *dir) {
		used = snprintf(path, size, "%s/%s", dir, program);
		return used > 0 && (size_t)used < size && access(path, X_OK) == 0 ? 0 : -ENOENT;
	}
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return -ENOENT;
	self[n] = '\0';
	*(strrchr(self, '/') ? strrchr(self, '/') : self) = '\0';
	used = snprintf(path, size, "%s/%s", self, program);
	return used > 0 && (size_t)used < size && access(path, X_OK) == 0 ? 0 : -ENOENT;
}

const char *cli_litmus_dir(void)
{
	const char *dirs[] = { getenv("CLOISTER_LITMUS_PATH"), CLO_LITMUS_DIR,
			       CLO_LITMUS_SOURCE_DIR };

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		if (dirs[i] && *dirs[i] && access(dirs[i], R_OK | X_OK) == 0)
			return dirs[i];
	}
	return NULL;
}

int cli_litmus_path(char *path, size_t size, const char *file)
{
	static const char *const ends[] = { "", ".litmus" };
	const char *dir = cli_litmus_dir();

	for (size_t i = 0; dir && i < sizeof(ends) / sizeof(ends[0]); i++) {
		int used = snprintf(path, size, "%s/%s%s", dir, file, ends[i]);

		if (used > 0 && (size_t)used < size && access(path, R_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

int cli_explore(const struct cli_options *opt, int argc, char **argv)
{
	char path[PATH_MAX + 32];
	char **args = calloc((size_t)argc + 2, sizeof(*args));
	const char *litmus = cli_litmus_dir();
	int n = 0;

	if (!args) {
		fputs("cloister explore: out of memory\n", stderr);
		return CLI_FINDING;
	}
	if (cli_exec_path(path, sizeof(path), "cloister-explore")) {
		free(args);
		if (getenv("CLOISTER_EXEC_PATH") && *getenv("CLOISTER_EXEC_PATH"))
			fprintf(stderr,
				"cloister explore: no program cloister-explore in "
				"CLOISTER_EXEC_PATH, which is '%s'\n",
				getenv("CLOISTER_EXEC_PATH"));
		else
			fputs("cloister explore: cloister-explore was not found beside this "
			      "command; set CLOISTER_EXEC_PATH to its folder\n",
			      stderr);
		return CLI_USAGE;
	}
	/* The helper does not know where files are installed. */
	if (litmus)
		(void)setenv("CLOISTER_LITMUS_PATH", litmus, 1);
	args[n++] = path;
	if (opt->json)
		args[n++] = (char *)(uintptr_t) "--json";
	for (int i = 1; i < argc; i++)
		args[n++] = argv[i];
	fflush(NULL);
	execv(path, args);
	fprintf(stderr, "cloister explore: %s: %s\n", path, strerror(errno));
	free(args);
	return CLI_USAGE;
}
