/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/demo_touch.c - the host touches a private page: load, store and system call.
 */
#include "demo.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define PRIVATE_OFFSET ((uint64_t)32 << 20)

static sigjmp_buf touch_return;

static void on_sigbus(int sig)
{
	(void)sig;
	siglongjmp(touch_return, 1);
}

/* True: it was SIGBUS. */
static bool touch(volatile uint8_t *at, bool is_write)
{
	/* A jump out of a handler of a synchronous signal is defined. */
	if (sigsetjmp(touch_return, 1))
		return true;
	if (is_write)
		*at = 1;
	else
		(void)*at;
	return false;
}

/* errno of write(2) from that address. */
static int system_call(const uint8_t *at)
{
	int fds[2], err;

	if (pipe(fds))
		return errno;
	err = write(fds[1], at, 8) == 8 ? 0 : errno;
	close(fds[0]);
	close(fds[1]);
	return err;
}

int demo_host_touch(struct demo *d)
{
	struct sigaction sa = { .sa_handler = on_sigbus }, old;
	uint64_t word;
	bool load, store;
	int err;

	if (clo_gmem_host_access(d->alpha.gmem, PRIVATE_OFFSET, &word, sizeof(word), false) !=
	    -EFAULT)
		return demo_fail(d, "clo_gmem_host_access() reached a private page");
	if (!d->view) {
		demo_row(d, "a host touch", "clo_gmem_host_access() of a private page", "EFAULT",
			 "this host permits no host mapping: see cloister doctor");
		return 0;
	}
	sigaction(SIGBUS, &sa, &old);
	load = touch(d->view + PRIVATE_OFFSET, false);
	store = touch(d->view + PRIVATE_OFFSET, true);
	sigaction(SIGBUS, &old, NULL);
	err = system_call(d->view + PRIVATE_OFFSET);
	if (!load || !store || err != EFAULT)
		return demo_fail(d,
				 "a private page was reached: load %d, store %d, write(2) errno %d",
				 !load, !store, err);
	demo_row(d, "a host touch", "VMM loads, stores and write(2)s a private page",
		 "SIGBUS, SIGBUS, EFAULT: by the MMU", "");
	return 0;
}
