/* SPDX-License-Identifier: Apache-2.0 */
/* cli/explore_main.h - cloister-explore: its options, and what it prints without a file. */
#ifndef CLO_CLI_EXPLORE_MAIN_H
#define CLO_CLI_EXPLORE_MAIN_H

#include "cli.h"

#include "explore/explore.h"
#include "litmus/litmus.h"

#define EXPLORE_PREEMPTIONS 2U

#define EXPLORE_SITE  "rcu-site=" /* a --break that names a read section */
#define EXPLORE_SITES 8U

struct explore_options {
	struct clo_explore_config cfg;
	uint64_t timeout_ns; /* for a file; 0: none */
	const char *sites[EXPLORE_SITES];
	unsigned site_count;
	bool json, all_steps, canonical, breaks, help;
	const char *replay;
};

/* The program that a run executes, and what it leaves behind. One exploration at a time. */
struct subject {
	const struct clo_litmus *p;
	struct clo_litmus_run *run; /* NULL: not set up, or being torn down */
	struct clo_litmus_verdict verdict;
	struct clo_litmus_tally tally;
	uint32_t sometimes;
	bool violated, ended; /* the last run */
	int setup_error;
	char why[CLO_LITMUS_WHY];
	uint64_t deadline_ns;   /* 0: none */
	bool draws;             /* progress, on a terminal */
	const char *stopped_by; /* "SIGINT", "--timeout"; NULL: nothing of the kind */
};

void explore_print_text(const struct clo_explore_program *prog, const struct explore_options *o,
			const char *path, struct subject *s, const struct clo_explore_result *r);
struct json_object *explore_to_json(const char *path, struct subject *s,
				    const struct clo_explore_result *r);
bool explore_is_finding(const struct subject *s, const struct clo_explore_result *r);

/* 0, and the files stand from optind on; else CLI_USAGE after a message. */
int explore_parse_options(struct explore_options *o, int argc, char **argv);
void explore_print_help(void);
void explore_print_breaks(bool json);

#endif
