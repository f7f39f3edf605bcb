/* SPDX-License-Identifier: Apache-2.0 */
/* cli/cli_exec.h - where the helper programs of the command are. */
#ifndef CLO_CLI_CLI_EXEC_H
#define CLO_CLI_CLI_EXEC_H

#include <stddef.h>

/* Path of @program: in CLOISTER_EXEC_PATH, else beside this command. 0 or -ENOENT (not there, or
 * not executable). */
int cli_exec_path(char *path, size_t size, const char *program);
/* Path of a litmus file that comes with Cloister: in CLOISTER_LITMUS_PATH, else where it was
 * installed, else in the source tree. 0 or -ENOENT. */
int cli_litmus_path(char *path, size_t size, const char *file);

#endif
