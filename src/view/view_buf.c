/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view/view_buf.c - the caller's buffer of clo_view_access().
 *
 * It is any memory of the VMM: unmapped, read-only, a private page of a view, a page that another
 * userfaultfd serves when it likes. So it is copied by the kernel, which gives an error where a
 * plain access gives a signal, from and to a page of the engine's, with nothing held.
 */
#include "view_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef CLO_SYNC_EXPLORE
size_t view_buf_copy(void *buf, void *bounce, size_t bytes, bool to_buf)
{
	memcpy(to_buf ? buf : bounce, to_buf ? bounce : buf, bytes);
	return bytes;
}
#else
size_t view_buf_copy(void *buf, void *bounce, size_t bytes, bool to_buf)
{
	struct iovec ours = { .iov_base = bounce, .iov_len = bytes };
	struct iovec theirs = { .iov_base = buf, .iov_len = bytes };
	ssize_t n = to_buf ? process_vm_writev(getpid(), &ours, 1, &theirs, 1, 0)
			   : process_vm_readv(getpid(), &ours, 1, &theirs, 1, 0);

	if (n >= 0)
		return (size_t)n;
	if (errno != EPERM && errno != ENOSYS)
		return 0;
	/* A seccomp filter forbids the call: then a bad buffer is its owner's signal. */
	memcpy(to_buf ? buf : bounce, to_buf ? bounce : buf, bytes);
	return bytes;
}
#endif
