/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/states_snp.c - the tables of SEV-SNP's reverse map, for `cloister states`.
 */
#include "cli.h"

#include "trust/snp/snp.h"

void states_snp(struct cli_table *t)
{
	static const char *const heads[] = { "state", "operation", "next", "status", "source" };

	cli_table_init(t, heads, 5);
	for (unsigned s = 0; s < SNP_STATE_COUNT; s++) {
		for (unsigned op = 0; op < SNP_OP_COUNT; op++) {
			enum snp_state next = snp_next((enum snp_op)op, (enum snp_state)s);
			bool refused = next == SNP_STATE_COUNT;
			const char *cells[] = { snp_states[s].name, snp_ops[op].name,
						refused ? "-" : snp_states[next].name,
						refused ? snp_ops[op].refused : "SUCCESS",
						snp_ops[op].verified ? "" : "not verified" };

			cli_table_row(t, cells);
		}
	}
}

void states_snp_state(struct cli_table *t)
{
	static const char *const heads[] = { "state", "assigned", "validated", "immutable",
					     "VMSA",  "ASID",     "guest",     "host" };

	cli_table_init(t, heads, 8);
	for (unsigned s = 0; s < SNP_STATE_COUNT; s++) {
		const struct snp_state_info *i = &snp_states[s];
		const char *cells[] = { i->name,
					i->assigned ? "1" : "0",
					i->validated ? "1" : "0",
					i->immutable ? "1" : "0",
					i->vmsa   ? "1"
					: i->asid ? "any"
						  : "0",
					i->asid ? "guest" : "0",
					i->guest,
					i->host };

		cli_table_row(t, cells);
	}
}
