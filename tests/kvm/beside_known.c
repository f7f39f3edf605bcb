/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm/beside_known.c - the differences that are on purpose. docs/design/guest-memfd.md and
 * docs/design/kvm-differences.md say the same in words.
 */
#include "kvm/beside.h"

#include "harness/test.h"

#include <stdarg.h>
#include <stdio.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct known {
	enum beside_call call;
	int kernel, here;
	bool (*when)(const uint64_t *arg); /* NULL: always */
	const char *why;
};

static bool is_exec(const uint64_t *arg)
{
	return arg[0] == B_MAP_EXEC;
}

static bool is_sync(const uint64_t *arg)
{
	return arg[0] == B_MAP_SYNC;
}

static bool is_populate(const uint64_t *arg)
{
	return arg[0] == B_MAP_POPULATE && !arg[1];
}

/* Address space; and memory, which a mapping that is not shared would need. */
static bool no_room(const uint64_t *arg)
{
	return arg[1] < 1ULL << 47 && arg[1] > (arg[2] ? 1ULL << 45 : 1ULL << 30);
}

static bool other_space(const uint64_t *arg)
{
	return arg[B_REGION_SLOT] > UINT16_MAX;
}

static bool has_file(const uint64_t *arg)
{
	return (arg[B_REGION_FLAGS] & CLO_MEM_GUEST_MEMFD) != 0;
}

static bool logs_dirty(const uint64_t *arg)
{
	return (arg[B_REGION_FLAGS] & CLO_MEM_LOG_DIRTY) != 0;
}

static bool high_gpa(const uint64_t *arg)
{
	return arg[B_REGION_GPA] + arg[B_REGION_SIZE] > 1ULL << 48;
}

static bool signed_wrap(const uint64_t *arg)
{
	return has_file(arg) && arg[B_REGION_OFF] <= INT64_MAX &&
	       arg[B_REGION_OFF] + arg[B_REGION_SIZE] > INT64_MAX;
}

static const struct known list[] = {
	{ B_MMAP, -ENOMEM, -ENODEV, no_room, "no room is found before the file is asked" },
	{ B_MMAP, -ENOMEM, -EINVAL, no_room, "no room is found before the file is asked" },
	{ B_MMAP, -ENOMEM, -EOVERFLOW, no_room, "no room is found before the file is asked" },
	{ B_MAPPED, -EACCES, 0, is_exec, "a memfd is not on a noexec mount" },
	{ B_MAPPED, -EINVAL, 0, is_sync, "a memfd has an fsync that does nothing" },
	{ B_MAPPED, -EFAULT, -EHWPOISON, is_populate, "the marker that hides a private page" },
	{ B_REGION, -EINVAL, -EEXIST, has_file, "newer kernels say EEXIST of a range bound twice" },
	{ B_REGION, 0, -EINVAL, logs_dirty, "no dirty log yet" },
	{ B_REGION, -EEXIST, -EINVAL, logs_dirty, "no dirty log yet" },
	{ B_REGION, 0, -EINVAL, high_gpa, "stage-2 tables of four levels" },
	{ B_REGION, 0, -EINVAL, signed_wrap, "the kernel's sum wraps to a negative number" },
	{ B_REGION, -EINVAL, 0, other_space, "this KVM has no SMM, so no second address space" },
	{ B_REGION, -EINVAL, -EBADF, other_space, "this KVM has no SMM" },
};

static uint64_t met[COUNT(list)];

static int find(enum beside_call call, const uint64_t *arg, int kernel, int here)
{
	for (size_t i = 0; i < COUNT(list); i++) {
		const struct known *k = &list[i];

		if (k->call == call && k->kernel == kernel && k->here == here &&
		    (!k->when || k->when(arg)))
			return (int)i;
	}
	return -1;
}

bool beside_known(enum beside_call call, const uint64_t *arg, int kernel, int here)
{
	int i = find(call, arg, kernel, here);

	if (i >= 0)
		met[i]++;
	return i >= 0;
}

bool beside_agree(struct beside *b, enum beside_call call, const uint64_t *arg, int kernel,
		  int here, const char *format, ...)
{
	char text[256];
	va_list ap;

	b->calls++;
	if (kernel == here)
		return true;
	b->differences++;
	if (beside_known(call, arg, kernel, here))
		return false;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	test_fail(__FILE__, __LINE__, "%s: the kernel gives %s, Cloister %s", text,
		  beside_errno(kernel), beside_errno(here));
}

void beside_note(const struct beside *b)
{
	test_note("%llu calls, %llu answers differ as known", (unsigned long long)b->calls,
		  (unsigned long long)b->differences);
	for (size_t i = 0; i < COUNT(list); i++) {
		if (met[i] == 0)
			continue;
		test_note("%llu times %s in the kernel, %s here: %s", (unsigned long long)met[i],
			  beside_errno(list[i].kernel), beside_errno(list[i].here), list[i].why);
		met[i] = 0;
	}
}
