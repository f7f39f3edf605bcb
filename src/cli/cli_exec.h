/* SPDX-License-Identifier: Apache-2.0 */
/* cli/cli_exec.h - where the helper programs of the command are. */
#ifndef CLO_CLI_CLI_EXEC_H
#define CLO_CLI_CLI_EXEC_H

#include <stddef.h>

/* Path of @program: in CLOISTER_EXEC_PATH, else beside this command. 0 or -ENOENT. */
int cli_exec_path(char *path, size_t size, const char *program);
/*
 * Folder of the litmus files that come with Cloister: CLOISTER_LITMUS_PATH, else where they were
 * installed, else in the source tree. NULL: none of them is there.
 */
const char *cli_litmus_dir(void);
/* Path of one of them, named with or without ".litmus". 0 or -ENOENT. */
int cli_litmus_path(char *path, size_t size, const char *file);

#endif
