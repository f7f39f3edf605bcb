/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explore/explore_objects.c - which objects are shared between threads.
 */
#include "explore_internal.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_SIZE 4096U

int explore_objects_init(struct explore_objects *o)
{
	*o = (struct explore_objects){ .size = FIRST_SIZE };
	o->table = calloc(o->size, sizeof(*o->table));
	return o->table ? 0 : -ENOMEM;
}

void explore_objects_free(struct explore_objects *o)
{
	free(o->table);
	o->table = NULL;
}

static size_t slot_of(const struct explore_objects *o, uintptr_t addr)
{
	size_t at = (size_t)((addr >> 3) * 0x9e3779b97f4a7c15ULL >> 20) & (o->size - 1);

	while (o->table[at].addr && o->table[at].addr != addr)
		at = (at + 1) & (o->size - 1);
	return at;
}

static void grow(struct explore_objects *o)
{
	struct explore_objects bigger = *o;

	bigger.size = 2 * o->size;
	bigger.table = calloc(bigger.size, sizeof(*bigger.table));
	if (!bigger.table) {
		o->failed = true;
		return;
	}
	for (size_t i = 0; i < o->size; i++) {
		if (o->table[i].addr)
			bigger.table[slot_of(&bigger, o->table[i].addr)] = o->table[i];
	}
	free(o->table);
	*o = bigger;
}

static bool is_shared(const struct explore_object *x)
{
	uint64_t all = x->readers | x->writers;

	return x->writers && (all & (all - 1));
}

static void note(struct explore_objects *o, uint32_t thread, const void *obj, bool writes)
{
	struct explore_object *x;
	bool before;

	if (!obj || o->failed)
		return;
	x = &o->table[slot_of(o, (uintptr_t)obj)];
	before = x->addr && is_shared(x);
	if (!x->addr) {
		x->addr = (uintptr_t)obj;
		o->used++;
	}
	if (writes)
		x->writers |= 1ULL << thread;
	else
		x->readers |= 1ULL << thread;
	if (!before && is_shared(x))
		o->shared++;
	if (o->used * 2 > o->size)
		grow(o);
}

static bool shared(const struct explore_objects *o, const void *obj)
{
	const struct explore_object *x;

	if (!obj)
		return false;
	x = &o->table[slot_of(o, (uintptr_t)obj)];
	return x->addr && is_shared(x);
}

/* The life of a block, beside what may be an object at its first byte. */
static const void *block_key(const void *block)
{
	return (const char *)block + 1;
}

bool explore_objects_use(struct explore_objects *o, uint32_t thread, const void *block)
{
	note(o, thread, block_key(block), false);
	return o->failed || shared(o, block_key(block));
}

void explore_objects_freed(struct explore_objects *o, uint32_t thread, const void *block)
{
	note(o, thread, block_key(block), true);
}

void explore_objects_note(struct explore_objects *o, uint32_t thread, const struct clo_sched_op *op)
{
	if (op->kind == CLO_OP_USE)
		return; /* explore_objects_use() */
	note(o, thread, op->obj, clo_op_writes(op));
	note(o, thread, op->obj2, true);
}

bool explore_objects_shared(const struct explore_objects *o, const struct clo_sched_op *op)
{
	if (o->failed)
		return true;
	switch (op->kind) {
	case CLO_OP_START:
	case CLO_OP_POINT:
		return true; /* memory of the guest, a host touch: no object is named */
	case CLO_OP_CREATE:
	case CLO_OP_JOIN:
	case CLO_OP_RELAX:
		return false;
	case CLO_OP_USE:
		return shared(o, block_key(op->obj));
	case CLO_OP_RCU_LOCK: /* sections and grace periods: one object, that of sync */
	case CLO_OP_RCU_UNLOCK:
	case CLO_OP_RCU_SYNC:
	case CLO_OP_RCU_WAIT:
	case CLO_OP_RCU_DEFER:
	case CLO_OP_RCU_BARRIER:
	case CLO_OP_RCU_CALL:
	case CLO_OP_READ:
	case CLO_OP_WRITE:
	case CLO_OP_RMW:
	case CLO_OP_LOCK:
	case CLO_OP_TRYLOCK:
	case CLO_OP_UNLOCK:
	case CLO_OP_RDLOCK:
	case CLO_OP_WRLOCK:
	case CLO_OP_WRWAIT:
	case CLO_OP_RWUNLOCK:
	case CLO_OP_RANGE_LOCK:
	case CLO_OP_RANGE_UNLOCK:
	case CLO_OP_COND_WAIT:
	case CLO_OP_COND_WAKE:
	case CLO_OP_BROADCAST:
	case CLO_OP_EVENT_SLEEP:
	case CLO_OP_COUNT:
		break;
	}
	return shared(o, op->obj) || shared(o, op->obj2);
}
