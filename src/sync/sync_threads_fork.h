/* SPDX-License-Identifier: Apache-2.0 */
/* sync/sync_threads_fork.h - RCU's part of fork(): called around it by sync_threads_fork.c. */
#ifndef CLO_SYNC_SYNC_THREADS_FORK_H
#define CLO_SYNC_SYNC_THREADS_FORK_H

#include "sync/sync.h"

/* Locks what must be whole in the child. Waits for a grace period in progress. */
void clo_rcu_fork_before(void);
void clo_rcu_fork_parent(void);
void clo_rcu_fork_child(void);

#endif
