/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slot/slot.c - life of a VM's set of slots, and of what readers may still look at.
 */
#include "slot_internal.h"

#include <errno.h>
#include <string.h>

int clo_slots_create(const struct clo_slots_config *cfg, struct clo_slots **out)
{
	struct clo_slots *s = clo_alloc(sizeof(*s) + cfg->as_count * sizeof(s->space[0]));

	if (!s)
		return clo_fail_heap("memslots");
	s->cfg = *cfg;
	clo_rwlock_init(&s->lock, CLO_RANK_SLOTS, "memslots");
	*out = s;
	return 0;
}

static void free_array(struct clo_rcu_head *rcu)
{
	clo_free(CLO_CONTAINER_OF(rcu, struct slot_array, rcu));
}

static void free_node(struct clo_rcu_head *rcu)
{
	clo_free(CLO_CONTAINER_OF(rcu, struct slot_node, rcu));
}

static void free_binding(struct clo_rcu_head *rcu)
{
	clo_free(CLO_CONTAINER_OF(rcu, struct clo_gmem_binding, rcu));
}

void slot_node_retire(struct slot_node *n)
{
	clo_rcu_defer(&n->rcu, free_node);
}

void slot_binding_retire(struct clo_gmem_binding *b)
{
	clo_gmem_unbind(b);
	clo_rcu_defer(&b->rcu, free_binding);
}

void slot_life_retire(struct slot_node *n)
{
	if (n->s.binding)
		slot_binding_retire(n->s.binding);
	if (n->s.holes)
		slot_holes_retire(n->s.holes);
	slot_node_retire(n);
}

struct slot_node *slot_node_copy(const struct slot_node *n)
{
	struct slot_node *copy = clo_alloc(sizeof(*copy));

	if (copy)
		copy->s = n->s;
	return copy;
}

void slot_publish(struct slot_space *sp, struct slot_array *fresh)
{
	struct slot_array *old = slot_array_of(sp);

	if (fresh->count == 0) { /* readers need not ask for the count */
		clo_free(fresh);
		fresh = NULL;
	}
	clo_aptr_set(&sp->array, fresh);
	if (old)
		clo_rcu_defer(&old->rcu, free_array);
}

void clo_slots_destroy(struct clo_slots *s)
{
	if (!s)
		return;
	for (unsigned as = 0; as < s->cfg.as_count; as++) {
		struct slot_array *a = slot_array_of(&s->space[as]);

		for (size_t i = 0; a && i < a->count; i++)
			slot_life_retire(a->node[i]);
		if (a)
			clo_rcu_defer(&a->rcu, free_array);
		clo_free(s->space[as].by_id);
	}
	clo_rwlock_destroy(&s->lock);
	clo_free(s);
}

struct slot_node *slot_by_id(const struct slot_space *sp, uint32_t id)
{
	return id < sp->by_id_count ? sp->by_id[id] : NULL;
}

void clo_slots_lock_shared(struct clo_slots *s)
{
	clo_rwlock_rdlock(&s->lock);
}

void clo_slots_unlock(struct clo_slots *s)
{
	clo_rwlock_unlock(&s->lock);
}

size_t clo_slots_count(struct clo_slots *s)
{
	size_t count = 0;

	clo_rcu_read_lock();
	for (unsigned as = 0; as < s->cfg.as_count; as++) {
		const struct slot_array *a = slot_array_of(&s->space[as]);

		count += a ? a->count : 0;
	}
	clo_rcu_read_unlock();
	return count;
}
