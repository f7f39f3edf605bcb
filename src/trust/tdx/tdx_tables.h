/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_tables.h - the tables that the TDX module runs on: states of entries and of TDs,
 * leaves.
 *
 * The rules are those of the public module source, github.com/intel/tdx-module, branch tdx_1.5
 * (1.5.01): include/auto_gen/sept_state_lookup.c and op_state_lookup.c for what is allowed where,
 * src/vmm_dispatcher and src/td_dispatcher for the order of the checks. Later modules may differ.
 */
#ifndef CLO_TRUST_TDX_TDX_TABLES_H
#define CLO_TRUST_TDX_TDX_TABLES_H

#include "base/base.h"
#include "sync/sync.h"

#include <cloister/tdx.h>

/* States of an S-EPT entry, in the order of Intel's tables. */
enum tdx_state {
	TDX_FREE,
	TDX_REMOVED,
	TDX_NL_MAPPED,
	TDX_NL_BLOCKED,
	TDX_MAPPED,
	TDX_BLOCKED,
	TDX_BLOCKEDW,
	TDX_EXPORTED_BLOCKEDW,
	TDX_EXPORTED_DIRTY,
	TDX_EXPORTED_DIRTY_BLOCKEDW,
	TDX_PENDING,
	TDX_PENDING_BLOCKED,
	TDX_PENDING_BLOCKEDW,
	TDX_PENDING_EXPORTED_BLOCKEDW,
	TDX_PENDING_EXPORTED_DIRTY,
	TDX_PENDING_EXPORTED_DIRTY_BLOCKEDW,
	TDX_STATE_COUNT
};
/* Where a transition does not lead to one state. */
enum tdx_next {
	TDX_REFUSED = TDX_STATE_COUNT, /* EPT_ENTRY_STATE_INCORRECT */
	TDX_OF_CHILD,                  /* PROMOTE: what the 512 children were */
	TDX_OVER_CHILDREN,             /* DEMOTE: NL_MAPPED over 512 of the old, unblocked, state */
};

/* What a state is, beside its bits. */
enum tdx_state_flag {
	TDX_S_TRACK = 1 << 0,    /* a translation may be cached: tracked before the page goes */
	TDX_S_LEAF = 1 << 1,     /* PS */
	TDX_S_PENDING = 1 << 2,  /* any pending */
	TDX_S_ACCEPT = 1 << 3,   /* pending, and the guest may accept it */
	TDX_S_BLOCKED = 1 << 4,  /* any blocked */
	TDX_S_BLOCKEDW = 1 << 5, /* any blocked for writing */
	TDX_S_EXPORTED = 1 << 6, /* any exported */
	TDX_S_DIRTY = 1 << 7,    /* exported and dirty */
	TDX_S_GUEST = 1 << 8,    /* a leaf that the guest may read, at least */
};
struct tdx_state_info {
	const char *name, *brief;
	uint8_t code;  /* the 7 bits D, TDEX, TDBW, TDB, TDP, IPAT, PS */
	uint8_t shown; /* in RDX[15:8] */
	uint8_t rwx;   /* permissions with which it is entered */
	uint16_t flags;
};
/* The last one is for words that are no entry: a page that the host has taken back meanwhile. */
extern const struct tdx_state_info tdx_states[TDX_STATE_COUNT + 1];

/* What the guest meets at an entry, by state (td_ept_violation.c). */
const char *tdx_state_access(enum tdx_state s);

/* Operation states of a TD. */
enum tdx_op {
	TDX_OP_UNINITIALIZED,
	TDX_OP_INITIALIZED,
	TDX_OP_RUNNABLE,
	TDX_OP_LIVE_EXPORT,
	TDX_OP_PAUSED_EXPORT,
	TDX_OP_POST_EXPORT,
	TDX_OP_MEMORY_IMPORT,
	TDX_OP_STATE_IMPORT,
	TDX_OP_POST_IMPORT,
	TDX_OP_LIVE_IMPORT,
	TDX_OP_FAILED_IMPORT,
	TDX_OP_COUNT
};
struct tdx_op_info {
	const char *name;
	bool track;   /* the TD may run: blocked and tracked before a page goes */
	bool import_; /* PAGE.REMOVE leaves REMOVED */
};
extern const struct tdx_op_info tdx_ops[TDX_OP_COUNT];

/* Lifecycle of a TD. */
enum tdx_life { TDX_HKID_ASSIGNED, TDX_KEYS_CONFIGURED, TDX_LIFE_BLOCKED, TDX_TEARDOWN };
const char *tdx_life_name(enum tdx_life l);

enum tdx_mode { TDX_NONE, TDX_SH, TDX_EX };

/* Levels of an S-EPT entry; TDX_ROOT in the table: that of the root page's entries. */
enum tdx_level { TDX_4K, TDX_2M, TDX_1G, TDX_512G, TDX_256T, TDX_ROOT };
const char *tdx_level_name(unsigned level);

/* Which operands a leaf takes, for the command and for its help. */
enum tdx_args {
	TDX_ARGS_TD,       /* RCX = TDR */
	TDX_ARGS_GPA,      /* RCX = GPA and level, RDX = TDR */
	TDX_ARGS_GPA_PAGE, /* R8 = page, too */
	TDX_ARGS_GPA_COPY, /* R9 = source page, too */
	TDX_ARGS_CHUNK,    /* RCX = GPA, RDX = TDR */
	TDX_ARGS_PAGE,     /* RCX = page */
	TDX_ARGS_PAGE_TD,  /* RCX = page, RDX = TDR */
	TDX_ARGS_VP,       /* RCX = TDVPR */
	TDX_ARGS_PAGE_VP,  /* RCX = page, RDX = TDVPR */
	TDX_ARGS_LIST,     /* RCX = GPA list, RDX = TDR */
	TDX_ARGS_NONE,
	TDX_ARGS_GUEST, /* TDCALL: RCX = GPA and level */
};

struct tdx_call;
struct tdx_leaf {
	uint16_t number;
	bool guest; /* TDCALL */
	const char *name;
	enum tdx_args args;
	uint16_t ops; /* operation states that allow it, a bit each; 0: none is asked for */
	uint8_t level_min, level_max;
	uint8_t tdr, op_lock, tree; /* enum tdx_mode */
	bool entry;                 /* takes the lock of the entry */
	uint32_t if_blocked;        /* status where a blocked entry is refused; 0: as any other */
	bool gate;                  /* blocked and tracked, where the state and the TD ask for it */
	uint8_t next[TDX_STATE_COUNT + 1]; /* plus 1; 0: refused. Ask tdx_leaf_next(). */
	uint64_t (*run)(struct tdx_call *c);
};
extern const struct tdx_leaf tdx_leaves[];
extern const unsigned tdx_leaf_count;
/* enum tdx_state or enum tdx_next. */
unsigned tdx_leaf_next(const struct tdx_leaf *leaf, enum tdx_state s);
/* Is it about the entry of a GPA and a level in RCX? */
bool tdx_leaf_has_entry(const struct tdx_leaf *leaf);
/* How it is refused there, as its name. */
const char *tdx_leaf_refusal(const struct tdx_leaf *leaf, enum tdx_state s);
const struct tdx_leaf *tdx_leaf_find(bool guest, uint64_t number);
const struct tdx_leaf *tdx_leaf_named(const char *name);

#endif
