/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slot/slot_internal.h - what the files of this module share.
 */
#ifndef CLO_SLOT_INTERNAL_H
#define CLO_SLOT_INTERNAL_H

#include "slot/slot.h"

/* A slot as readers see it: immutable. A change makes another one; this one goes by RCU. */
struct slot_node {
	struct clo_slot s;
	struct clo_rcu_head rcu;
};

/*
 * The slots of one address space in gfn order: immutable, gone by RCU. The starts are apart from
 * the slots, so that a look-up reads few cache lines.
 */
struct slot_array {
	struct clo_rcu_head rcu;
	size_t count;
	struct slot_node **node; /* behind start[] */
	uint64_t start[];
};

/* Set bits are holes, so that zero-filled memory is "all mapped". */
struct clo_hole_map {
	struct clo_rcu_head rcu;
	size_t bytes; /* of the whole allocation */
	bool is_sparse;
	struct clo_a64 word[];
};

struct slot_space {
	struct clo_aptr array;    /* struct slot_array *, NULL = empty [written under lock] */
	struct slot_node **by_id; /* [lock] */
	size_t by_id_count;       /* [lock] */
};

struct clo_slots {
	struct clo_slots_config cfg;
	struct clo_rwlock lock;
	uint64_t lives; /* [lock] */
	struct slot_space space[];
};

static inline struct slot_array *slot_array_of(const struct slot_space *sp)
{
	return clo_aptr_get(&sp->array);
}

/* Copies of an array (may be NULL = empty); NULL = no memory. */
struct slot_array *slot_array_with(const struct slot_array *a,
				   struct slot_node *added) CLO_MUST_USE;
struct slot_array *slot_array_replace(const struct slot_array *a, const struct slot_node *old,
				      struct slot_node *fresh) CLO_MUST_USE;
struct slot_array *slot_array_without(const struct slot_array *a,
				      const struct slot_node *old) CLO_MUST_USE;
/* First slot of @a that ends after @gfn, or count. */
size_t slot_array_first(const struct slot_array *a, uint64_t gfn);

/* Make @fresh what readers see, and let the old array go after them. */
void slot_publish(struct slot_space *sp, struct slot_array *fresh);
struct slot_node *slot_by_id(const struct slot_space *sp, uint32_t id);
struct slot_node *slot_node_copy(const struct slot_node *n) CLO_MUST_USE;
/* After all readers: give back one copy, or the slot itself with what all its copies share. */
void slot_node_retire(struct slot_node *n);
void slot_life_retire(struct slot_node *n);
/* Take a binding off its file's list; gone after all readers. */
void slot_binding_retire(struct clo_gmem_binding *b);
void slot_holes_retire(struct clo_hole_map *map);

#endif
