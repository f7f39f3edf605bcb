/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/vm.h - a VM and its host: the object that holds slots, attributes, the two stage-2 tables and
 * vCPUs together, and the one place where leaves are zapped and each zap is counted by its reason
 * (mail 4).
 *
 * Locks: clo_host.lock (rank HOST): VMs and their ids. clo_vm.lock (rank VM): vCPUs, files.
 * clo_vm.dma_lock (rank VM): the list of listeners, not the calls. Everything else has its own
 * (slot, attr, gmem).
 */
#ifndef CLO_VM_VM_H
#define CLO_VM_VM_H

#include "attr/attr.h"
#include "base/base.h"
#include "cloister/cloister.h"
#include "gmem/gmem.h"
#include "page/page.h"
#include "slot/slot.h"
#include "sync/sync.h"
#include "table/table.h"
#include "trust/trust.h"
#include "view/view.h"

struct clo_host {
	struct clo_pagedb *db;
	struct clo_view_host *views;
	uint32_t fork_gen; /* clo_forked(): a child's copy */
	struct clo_mutex lock;
	struct clo_vm *vms;    /* [lock] */
	uint8_t id_used[8192]; /* [lock] bit per VM id */
};

struct clo_vcpu {
	struct clo_vcpu *next; /* [vm->lock] */
	struct clo_vm *vm;
	uint32_t id;
	uint32_t fork_gen;
	struct clo_tlb tlb;
	struct clo_exit exit; /* [owner thread] */
	struct clo_stat faults, fixed, retried, exits;
	bool hypercall_pending; /* [owner thread] */
	/* Called off: leave the access that is under way, or the next. */
	struct clo_waiter waiter;
};

/* A file of the VM; or one that was closed with pages pinned, watched. */
struct clo_vm_gmem {
	struct clo_vm_gmem *next;
	struct clo_gmem *gmem;
};

struct clo_vm_listener {
	struct clo_vm_listener *next;
	const struct clo_dma_listener *id; /* the caller's; l is a copy */
	struct clo_dma_listener l;
};

/* A conversion that tells the listeners which it found when it began. */
struct clo_vm_telling {
	struct clo_vm_telling *next, *prev;
	uint64_t turn;
};

struct clo_vm {
	struct clo_host *host;
	struct clo_vm *next, *prev; /* [host->lock] */
	const struct clo_trust_ops *trust;
	uint32_t fork_gen;
	uint32_t id;
	uint32_t attr_owner;
	uint32_t flags; /* CLO_VM_TYPED_ACCESS, ... */
	bool exit_hypercall;
	enum clo_level max_level;
	struct clo_mmu mmu;
	struct clo_slots *slots;
	struct clo_attr *attr;       /* CLO_ATTR_OWNER_VM: by gfn; else NULL */
	struct clo_rangelock ranges; /* conversions of gfns, CLO_ATTR_OWNER_VM */
	struct clo_mutex lock;
	struct clo_vcpu *vcpus;    /* [lock] */
	struct clo_vm_gmem *gmems; /* [lock] open */
	struct clo_vm_gmem *lossy; /* [lock] closed with pages pinned */
	struct clo_mutex dma_lock;
	struct clo_cond dma_told;          /* a conversion has told the last listener */
	struct clo_vm_listener *listeners; /* [dma_lock] */
	struct clo_vm_telling telling;     /* [dma_lock] ring of those in progress, oldest first */
	uint64_t dma_turn;                 /* [dma_lock] moves with conversions and with the list */
	struct clo_vm_hooks hooks;         /* set before there is a file */
	struct clo_stat zaps[CLO_ZAP_REASON_COUNT];
	struct clo_stat moved, conversions, converted_pages, conversions_failed, undo_failures;
};

/*
 * What the VM's prepare hook returned comes back from clo_gmem_get_folio() shifted by 4096, so that
 * an -EAGAIN of the hook is not taken for the file's own and retried for ever (I7).
 */
#define CLO_PREPARE_SHIFT 4096
static inline bool clo_is_prepare_error(int ret)
{
	return ret < -CLO_PREPARE_SHIFT;
}

/*
 * What `cloister states reason` prints of each enum clo_reason. A reason of CLO_REASON_KERNEL and
 * behind it comes with any errno that has reasons; name and errnos are "" for CLO_REASON_NONE.
 */
struct clo_reason_info {
	const char *name;   /* "ALIGN" */
	const char *errnos; /* "EINVAL", "EINVAL E2BIG" */
	const char *text;
};
const struct clo_reason_info *clo_reason_nth(uint32_t reason); /* NULL: no such reason */

/* The inaccessible hook, for a piece of a conversion; @arg: the VM. */
void clo_vm_tell_inaccessible(void *arg, const struct clo_gmem_piece *piece);

/* gfns that a stage-2 table can hold. */
#define CLO_GFN_END (1ULL << CLO_GFN_BITS)

/*
 * Zap the leaves of @gfns in the spaces of @space_mask (1 << CLO_SPACE_x), drop their reverse maps
 * and count them under @why. Inside clo_inval_begin/end on vm->mmu.inval; the caller calls
 * clo_mmu_flush() once for all zaps of an operation (D6). Returns the number of leaves.
 */
uint64_t clo_vm_zap(struct clo_vm *vm, struct clo_range gfns, unsigned space_mask,
		    enum clo_zap_reason why);
#define CLO_SPACES_ALL ((1U << CLO_SPACE_SHARED) | (1U << CLO_SPACE_PRIVATE))

/* begin, zap, shoot-down, end: complete when it returns. */
void clo_vm_zap_now(struct clo_vm *vm, struct clo_range gfns, enum clo_zap_reason why);

/*
 * Is @gfn private now (kvm_mem_is_private)? @slot: its memslot or NULL. False for types without
 * private memory. By the VM's attribute, or by the attribute of the file that @slot binds (no file:
 * shared). In an RCU section or with the slots lock.
 */
bool clo_vm_gfn_is_private(struct clo_vm *vm, const struct clo_slot *slot, struct clo_gfn gfn);

static inline bool clo_vm_typed(const struct clo_vm *vm)
{
	return (vm->flags & CLO_VM_TYPED_ACCESS) != 0;
}
/* File of @slot, or NULL: none, or closed. In an RCU section. */
static inline struct clo_gmem *clo_slot_gmem(const struct clo_slot *slot)
{
	return slot->binding ? clo_aptr_get(&slot->binding->gmem) : NULL;
}

#endif
