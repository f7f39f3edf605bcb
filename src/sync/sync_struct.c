/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync/sync_struct.c - structs of the public API from and to callers of another version.
 */
#include "sync/sync.h"

#include <errno.h>
#include <string.h>

static uint32_t size_of(const void *s)
{
	uint32_t size;

	memcpy(&size, s, sizeof(size));
	return size;
}

static bool is_zero(const uint8_t *at, size_t bytes)
{
	while (bytes-- > 0) {
		if (*at++ != 0)
			return false;
	}
	return true;
}

int clo_struct_fits(const void *to, size_t first)
{
	uint32_t size = size_of(to);

	if (size < first)
		return clo_fail(-EINVAL, CLO_REASON_SIZE, "size");
	return size > CLO_PAGE_SIZE ? clo_fail(-E2BIG, CLO_REASON_SIZE, "size") : 0;
}

int clo_struct_in(void *to, size_t to_size, const void *from, size_t first)
{
	uint32_t size = size_of(from);
	int ret = clo_struct_fits(from, first);

	if (ret)
		return ret;
	if (size > to_size && !is_zero((const uint8_t *)from + to_size, size - to_size))
		return clo_fail(-E2BIG, CLO_REASON_UNKNOWN_FIELD, "size");
	memset(to, 0, to_size);
	memcpy(to, from, size < to_size ? size : to_size);
	return 0;
}

int clo_struct_out(void *to, const void *from, size_t from_size, size_t first)
{
	const size_t head = sizeof(uint32_t);
	uint32_t size = size_of(to);
	size_t known = size < from_size ? size : from_size;
	int ret = clo_struct_fits(to, first);

	if (ret)
		return ret;
	memcpy((uint8_t *)to + head, (const uint8_t *)from + head, known - head);
	memset((uint8_t *)to + known, 0, size - known);
	return 0;
}
