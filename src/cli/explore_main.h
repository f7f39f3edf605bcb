/* SPDX-License-Identifier: Apache-2.0 */
/* cli/explore_main.h - cloister-explore: its options, and what it prints without a file. */
#ifndef CLO_CLI_EXPLORE_MAIN_H
#define CLO_CLI_EXPLORE_MAIN_H

#include "cli.h"

#include "explore/explore.h"

#define EXPLORE_PREEMPTIONS 2U

struct explore_options {
	struct clo_explore_config cfg;
	bool json, all_steps, canonical, breaks, help;
	const char *replay;
};

/* 0, and the files stand from optind on; else CLI_USAGE after a message. */
int explore_parse_options(struct explore_options *o, int argc, char **argv);
void explore_print_help(void);
void explore_print_breaks(bool json);

#endif
