/* SPDX-License-Identifier: Apache-2.0 */
/* cli/demo.h - the tour's stage: one host, two guests, and the table that it fills. */
#ifndef CLO_CLI_DEMO_H
#define CLO_CLI_DEMO_H

#include "cli.h"

#include "base/base.h"
#include "cloister/cloister.h"

#define DEMO_GUEST_BYTES ((uint64_t)64 << 20)
#define DEMO_VCPUS       3U
#define DEMO_GPA         ((uint64_t)4 << 30) /* guest memory begins here */

struct demo_guest {
	const char *name;
	struct clo_vm *vm;
	struct clo_gmem *gmem;
	struct clo_vcpu *vcpu[DEMO_VCPUS];
	uint8_t *user; /* the VMM's memory behind the shared side (two backings) */
};

struct demo {
	const struct cli_options *opt;
	struct clo_host *host;
	struct demo_guest alpha; /* the guest_memfd owns the attribute: converts in place */
	struct demo_guest beta;  /* the VM owns it: two backings */
	uint8_t *view;           /* host mapping of alpha's guest_memfd, or NULL */
	struct cli_table table;
	char error[256];
};

/* Each step: 0, or -1 with d->error said. A row for the table is added by demo_row(). */
typedef int (*demo_step)(struct demo *d);
int demo_private_work(struct demo *d);
int demo_sharing(struct demo *d);
int demo_under_load(struct demo *d);
int demo_host_touch(struct demo *d);
int demo_refusals(struct demo *d);
int demo_race(struct demo *d);
int demo_leaks(struct demo *d);

void demo_row(struct demo *d, const char *step, const char *done, const char *checked,
	      const char *measured);
int demo_fail(struct demo *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Up, with files, memslots and vCPUs; down. */
int demo_open(struct demo *d);
void demo_close(struct demo *d);
/* printf into one of a few static buffers, for rows. */
const char *demo_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
