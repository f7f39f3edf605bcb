/* SPDX-License-Identifier: Apache-2.0 */
/* explore/explore_main.h - the program cloister-explore: its options, and what prints without a
 * file. */
#ifndef CLO_EXPLORE_EXPLORE_MAIN_H
#define CLO_EXPLORE_EXPLORE_MAIN_H

#include "explore.h"

#include <json-c/json.h>

enum { EXIT_OK = 0, EXIT_FINDING = 1, EXIT_USAGE = 2 };

#define EXPLORE_PREEMPTIONS 2U

struct explore_options {
	struct clo_explore_config cfg;
	bool json, all_steps, canonical, breaks, help;
	const char *replay;
};

/* 0, and the files stand from optind on; or -1 after a message. */
int explore_parse_options(struct explore_options *o, int argc, char **argv);
void explore_print_help(void);
void explore_print_breaks(bool json);
/* Print and free. */
void explore_print_json(struct json_object *o);

#endif
