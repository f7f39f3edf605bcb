/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_sched.h - the scheduler of the explorer build, for module explore and for tests.
 * Reached through sync.h.
 *
 * A run executes main_fn and the threads it creates as fibers of one OS thread. Before each
 * operation of sync a fiber announces it (struct clo_sched_op) and the scheduler decides who goes
 * on: an operation and all that follows it up to the next one is a step. The same choices give the
 * same run, addresses included.
 */
#ifndef CLO_SYNC_SYNC_SCHED_H
#define CLO_SYNC_SYNC_SCHED_H

#include "base/base.h"

#define CLO_SCHED_THREADS 64U
#define CLO_SCHED_NOTES   8U
#define CLO_SCHED_REPORT  1024U

enum clo_op {
	CLO_OP_START, /* a thread's first step: no operation */
	CLO_OP_READ,
	CLO_OP_WRITE,
	CLO_OP_RMW, /* add, or, xchg, cas */
	CLO_OP_LOCK,
	CLO_OP_TRYLOCK,
	CLO_OP_UNLOCK,
	CLO_OP_RDLOCK,
	CLO_OP_WRLOCK, /* come for a write lock: from now on readers wait */
	CLO_OP_WRWAIT, /* it was not free: take it */
	CLO_OP_RWUNLOCK,
	CLO_OP_RANGE_LOCK, /* arg, arg2: the range */
	CLO_OP_RANGE_UNLOCK,
	CLO_OP_COND_WAIT, /* give the mutex (obj2) back and begin to wait */
	CLO_OP_COND_WAKE, /* woken, in whatever way: take the mutex (obj2) again */
	CLO_OP_BROADCAST,
	CLO_OP_EVENT_SLEEP, /* until the number is not arg */
	CLO_OP_RCU_LOCK,
	CLO_OP_RCU_UNLOCK,
	CLO_OP_RCU_SYNC, /* begin a grace period */
	CLO_OP_RCU_WAIT, /* its end */
	CLO_OP_RCU_DEFER,
	CLO_OP_RCU_BARRIER,
	CLO_OP_RCU_CALL, /* the thread "rcu" makes one deferred call */
	CLO_OP_CREATE,
	CLO_OP_JOIN,
	CLO_OP_RELAX,
	CLO_OP_USE,   /* has read a pointer to this block of the run's memory: see config.use */
	CLO_OP_POINT, /* clo_sync_point(what, arg) */
	CLO_OP_COUNT
};

/* What a thread is about to do. */
struct clo_sched_op {
	enum clo_op kind;
	const char *what;  /* "a64.add", the name of a lock, the text of clo_sync_point() */
	const void *obj;   /* NULL: none */
	const void *obj2;  /* the mutex of a condition */
	const void *where; /* return address of the call: which line of code */
	uint64_t arg;      /* the value to be written, added, ...; of POINT its value */
	uint64_t arg2;
};

struct clo_sched_choice {
	const uint32_t *threads; /* who can run, ascending */
	uint32_t count;          /* > 0 */
	uint32_t current;        /* who made the last step */
	bool current_can_run;    /* to choose another is a preemption, */
	bool current_yields;     /* except that it is in clo_relax() */
	/*
	 * Bit per thread, none of @threads, that waits for a condition and may wake by itself: one
	 * with a deadline because time has passed, another for no reason. They can be chosen too.
	 * 0 without config.self_wakes.
	 */
	uint64_t sleepers;
	uint64_t step; /* number of the step to be made */
};

struct clo_sched_note {
	const char *what;
	uint64_t value;
};

/* A step that has been made. */
struct clo_sched_step {
	uint64_t number; /* from 0; setup does not count */
	uint32_t thread;
	const char *name;
	struct clo_sched_op op;
	bool ok;       /* false: a trylock or cas that failed, a wait that timed out */
	bool changed;  /* a shared atomic has another value now */
	bool finished; /* the thread has ended */
	uint64_t old;  /* value of an atomic before, and after */
	uint64_t value;
	uint32_t note_count; /* those beyond CLO_SCHED_NOTES are counted, not kept */
	const struct clo_sched_note *notes;
};

struct clo_sched_config {
	void *arg;
	/*
	 * Which of c->threads goes on; anything else (-1) stops the run. NULL: the current one
	 * while it can. Not called when there is only one, unless @choose_single.
	 */
	int (*choose)(void *arg, const struct clo_sched_choice *c);
	/*
	 * After each step, with all threads stopped between steps. Nonzero stops the run. It may
	 * use any function of the engine that does not wait: operations of sync are direct here,
	 * locks are taken as if they were free.
	 */
	int (*on_step)(void *arg, const struct clo_sched_step *step);
	bool choose_single;
	bool self_wakes; /* offer choice.sleepers */
	/*
	 * @thread has read, as step @step - 1, a pointer into @block of the run's memory. True: a
	 * step begins before it goes on, so that others can come between its read of the pointer
	 * and its plain accesses behind it. The step is counted in any case, so the answer changes
	 * no numbers. NULL: none is.
	 */
	bool (*use)(void *arg, uint32_t thread, const void *block, uint64_t step);
	/* @thread has freed this block. NULL: nobody asks. Neither is called while quiet. */
	void (*freed)(void *arg, uint32_t thread, const void *block);
	/* Memory that is freed while not quiet cannot be touched any more: a fault where it is. */
	bool guard;
	bool rcu_last; /* deferred calls only when nothing else can run: smaller, finds less */
	uint32_t spin_limit; /* turns of clo_relax() without a change that make a livelock; 0: 64 */
	uint64_t max_steps;  /* 0: 100000 */
	size_t arena_bytes;  /* 0: 256 MiB of address space; what is used costs */
};

enum clo_sched_end {
	CLO_SCHED_DONE,     /* all threads have ended */
	CLO_SCHED_STOPPED,  /* by choose, on_step or clo_sched_stop() */
	CLO_SCHED_DEADLOCK, /* none can run */
	CLO_SCHED_LIVELOCK, /* all that can run spin (clo_relax), and nothing changes */
	CLO_SCHED_STEP_LIMIT,
	CLO_SCHED_FAULT, /* stale memory, lock order, a crash, a failed assert, ... */
	CLO_SCHED_END_COUNT
};

struct clo_sched_result {
	enum clo_sched_end end;
	int code; /* of a stop: what choose, on_step or clo_sched_stop() gave */
	uint64_t steps;
	uint64_t quiet_steps;          /* switches made while quiet */
	uint32_t thread_count;         /* main, its threads, "rcu" if any call was deferred */
	uint32_t last;                 /* who ran last */
	uint64_t live_bytes;           /* DONE: memory not given back */
	char report[CLO_SCHED_REPORT]; /* who waits for what, or what was misused; "" when DONE */
};

/* One run; not from within one. 0, or -ENOMEM: no memory for it. -EBUSY: called from a run. */
int clo_sched_run(const struct clo_sched_config *config, void (*main_fn)(void *arg), void *arg,
		  struct clo_sched_result *result) CLO_MUST_USE;

/*
 * For threads of a run. Setup (nests): nobody else runs until this thread waits, and nothing is
 * counted.
 */
void clo_sched_quiet(bool on);
/* Name of the calling thread in traces; at most 15 bytes are kept. */
void clo_sched_name(const char *name);
/* End the run now: STOPPED with @code. */
_Noreturn void clo_sched_stop(int code);
/* The calling thread; 0 is main. UINT32_MAX outside of threads: choose, on_step, no run. */
uint32_t clo_sched_self(void);

/* For choose and on_step: what @thread will do next. NULL: it has ended, or is none. */
const struct clo_sched_op *clo_sched_pending(uint32_t thread);

/*
 * The places in the program that begin a read section of RCU, from 0: name, as
 * "fault/fault.c:clo_fault_classify", into @text; false: there is none with that number. break: the
 * sections that begin at places of that name are left out from now on, @off, or no more; false: no
 * such place.
 */
bool clo_rcu_site_name(unsigned site, char *text, size_t size);
bool clo_rcu_site_break(const char *name, bool off);

const char *clo_op_name(enum clo_op kind);
const char *clo_sched_end_name(enum clo_sched_end end);
/* Whether @op may change what another operation on the same object sees. */
bool clo_op_writes(const struct clo_sched_op *op);

#endif
