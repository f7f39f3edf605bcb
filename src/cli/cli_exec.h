/* SPDX-License-Identifier: Apache-2.0 */
/* cli/cli_exec.h - where the helper programs of the command are. */
#ifndef CLO_CLI_CLI_EXEC_H
#define CLO_CLI_CLI_EXEC_H

#include <stddef.h>

/* Path of @program: in CLOISTER_EXEC_PATH, else beside this command. 0 or -ENOENT (not there, or
 * not executable). */
int cli_exec_path(char *path, size_t size, const char *program);

#endif
