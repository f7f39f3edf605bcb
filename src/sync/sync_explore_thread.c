/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_explore_thread.c - RCU and threads of the explorer build.
 *
 * A grace period has a number; a read section remembers how many had begun when it did, and blocks
 * those that begin later. Deferred calls are made by a thread of their own, "rcu", one a step: so
 * the schedule decides how late memory is really freed, and a pointer that was kept too long meets
 * a schedule in which it is stale.
 */
#include "sync/sync_explore_run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HERE __builtin_return_address(0)

static bool rcu_op(enum clo_op kind, const void *obj, const void *where)
{
	return clo_run_point(
		(struct clo_sched_op){ .kind = kind, .what = "rcu", .obj = obj, .where = where });
}

/* All of RCU is one object to the question whether two operations can change places. */
static bool rcu_point(enum clo_op kind, const void *where)
{
	return rcu_op(kind, &clo_run.epoch, where);
}

/* Inside of another section nothing begins or ends. */
static bool section_point(enum clo_op kind, int32_t outermost, const void *where)
{
	const struct clo_task *t = clo_run.self;
	bool inner = t && t->held.rcu_depth > outermost;

	return rcu_op(kind, inner ? NULL : &clo_run.epoch, where);
}

extern struct clo_rcu_site *const sites_begin[] __asm__("__start_clo_rcu_sites")
	__attribute__((weak));
extern struct clo_rcu_site *const sites_end[] __asm__("__stop_clo_rcu_sites") __attribute__((weak));

bool clo_rcu_site_name(unsigned site, char *text, size_t size)
{
	const char *file;
	const char *src;

	if (site >= (uintptr_t)sites_end / sizeof(*sites_end) -
			    (uintptr_t)sites_begin / sizeof(*sites_begin))
		return false;
	file = sites_begin[site]->file;
	src = strstr(file, "src/");
	snprintf(text, size, "%s:%s", src ? src + 4 : file, sites_begin[site]->function);
	return true;
}

bool clo_rcu_site_break(const char *name, bool off)
{
	char text[128];
	bool found = false;

	for (unsigned i = 0; clo_rcu_site_name(i, text, sizeof(text)); i++) {
		if (strcmp(text, name) != 0)
			continue;
		sites_begin[i]->off = off;
		found = true;
	}
	return found;
}

void clo_rcu_read_lock_at(const struct clo_rcu_site *site)
{
	struct clo_task *t = clo_run.self;

	if (t)
		t->rcu_off = t->rcu_off << 1 | site->off;
	if (site->off || !section_point(CLO_OP_RCU_LOCK, 0, HERE))
		return;
	if (t->held.rcu_depth == 0)
		t->rcu_since = clo_run.epoch;
	clo_rcu_nest(1);
}

void clo_rcu_read_unlock(void)
{
	struct clo_task *t = clo_run.self;
	bool off = t && (t->rcu_off & 1);

	if (t)
		t->rcu_off >>= 1;
	if (!off && section_point(CLO_OP_RCU_UNLOCK, 1, HERE))
		clo_rcu_nest(-1);
}

void clo_rcu_synchronize(void)
{
	const void *where = HERE;
	struct clo_task *t = clo_run.self;

	if (!t)
		return;
	clo_rcu_outside("clo_rcu_synchronize");
	(void)rcu_point(CLO_OP_RCU_SYNC, where);
	t->grace = ++clo_run.epoch;
	(void)rcu_point(CLO_OP_RCU_WAIT, where);
}

static void *rcu_main(void *arg)
{
	(void)arg;
	for (bool first = true;; first = false) {
		if (!first)
			(void)rcu_point(CLO_OP_RCU_CALL, NULL);

		struct clo_rcu_head *head = clo_run.defer_first;

		clo_run.defer_first = head->next;
		if (!head->next)
			clo_run.defer_last = &clo_run.defer_first;
		head->fn(head);
		clo_run.defer_made++;
		clo_run_progress();
	}
	return NULL;
}

void clo_rcu_defer(struct clo_rcu_head *head, void (*fn)(struct clo_rcu_head *head))
{
	/* Without threads there are no readers. */
	if (!rcu_point(CLO_OP_RCU_DEFER, HERE)) {
		fn(head);
		return;
	}
	if (!clo_run.rcu) {
		clo_run.rcu = clo_run_task(rcu_main, NULL, "rcu");
		if (!clo_run.rcu)
			clo_run_fault("no thread left for deferred calls");
		clo_run.rcu->daemon = true;
		/* It has no step of starting: its first is the first call. */
		clo_run.rcu->op.kind = CLO_OP_RCU_CALL;
		clo_run.rcu->op.obj = &clo_run.epoch;
	}
	*head = (struct clo_rcu_head){ .fn = fn, .grace = ++clo_run.epoch };
	*clo_run.defer_last = head;
	clo_run.defer_last = &head->next;
	clo_run.defer_given++;
}

void clo_rcu_barrier(void)
{
	struct clo_task *t = clo_run.self;

	if (!t)
		return;
	clo_rcu_outside("clo_rcu_barrier");
	t->grace = clo_run.defer_given;
	(void)rcu_point(CLO_OP_RCU_BARRIER, HERE);
}

int clo_thread_create(struct clo_thread *t, void *(*fn)(void *arg), void *arg)
{
	char name[CLO_NAME_BYTES];

	if (!clo_run_point((struct clo_sched_op){
		    .kind = CLO_OP_CREATE, .what = "create", .obj = t, .where = HERE }))
		return -EAGAIN;
	snprintf(name, sizeof(name), "T%u", clo_run.task_count);

	struct clo_task *task = clo_run_task(fn, arg, name);

	if (!task)
		return -EAGAIN;
	t->id = clo_run_id(task);
	return 0;
}

int clo_thread_join(struct clo_thread *t)
{
	if (t->id >= clo_run.task_count)
		return -ESRCH;
	if (!clo_run_point((struct clo_sched_op){ .kind = CLO_OP_JOIN,
						  .what = clo_run.task[t->id].name,
						  .obj = t,
						  .where = HERE,
						  .arg = t->id }))
		return -EDEADLK;
	return 0;
}
