/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/error.c - the reasons of an errno, as data, and the last one of a thread.
 */
#include "vm/vm.h"

#define INVAL "EINVAL"
#define EXIST "EEXIST"
#define NOMEM "ENOMEM"
#define ANY   "EINVAL EEXIST ENOMEM E2BIG"
/* clang-format off */
static const struct clo_reason_info info[CLO_REASON_COUNT] = {
	[CLO_REASON_NONE]          = { "NONE", "", "none given" },
	[CLO_REASON_NULL]          = { "NULL", INVAL, "is NULL" },
	[CLO_REASON_SIZE]          = { "SIZE", "EINVAL E2BIG",
		"is no size that the struct has had" },
	[CLO_REASON_RESERVED]      = { "RESERVED", INVAL, "is reserved and not 0" },
	[CLO_REASON_FLAGS]         = { "FLAGS", INVAL, "has a flag that is not known" },
	[CLO_REASON_UNSUPPORTED]   = { "UNSUPPORTED", INVAL,
		"is known, but not for this object or not with other flags" },
	[CLO_REASON_VALUE]         = { "VALUE", INVAL, "is a number that stands for nothing" },
	[CLO_REASON_ALIGN]         = { "ALIGN", INVAL, "is not in whole pages" },
	[CLO_REASON_EMPTY]         = { "EMPTY", INVAL, "is 0" },
	[CLO_REASON_WRAP]          = { "WRAP", INVAL, "leads past 2^64" },
	[CLO_REASON_BOUNDS]        = { "BOUNDS", INVAL, "is beyond what there is" },
	[CLO_REASON_ABSENT]        = { "ABSENT", INVAL, "names nothing that is there" },
	[CLO_REASON_FIXED]         = { "FIXED", INVAL, "of this memslot cannot be changed" },
	[CLO_REASON_OTHER_VM]      = { "OTHER_VM", INVAL, "belongs to another VM" },
	[CLO_REASON_NO_PRIVATE]    = { "NO_PRIVATE", INVAL,
		"has, or wants, private memory, which the VM has not" },
	[CLO_REASON_HUGE_PARTS]    = { "HUGE_PARTS", INVAL,
		"covers parts of one huge page that do not touch" },
	[CLO_REASON_CHANGED]       = { "CHANGED", INVAL,
		"was changed by another thread meanwhile" },
	[CLO_REASON_UNKNOWN_FIELD] = { "UNKNOWN_FIELD", "E2BIG",
		"covers a field that is not 0 and not known" },
	[CLO_REASON_OVERLAP]       = { "OVERLAP", EXIST, "lies in another memslot" },
	[CLO_REASON_BOUND]         = { "BOUND", EXIST, "is bound to a memslot already" },
	[CLO_REASON_IN_USE]        = { "IN_USE", EXIST, "is in use" },
	[CLO_REASON_DOUBLE_MAP]    = { "DOUBLE_MAP", EXIST,
		"leads to a frame that is mapped elsewhere" },
	[CLO_REASON_HEAP]          = { "HEAP", NOMEM, "gets no memory of the library's own" },
	[CLO_REASON_FRAMES]        = { "FRAMES", NOMEM, "is used up" },
	[CLO_REASON_WINDOWS]       = { "WINDOWS", NOMEM, "has no free part that is large enough" },
	[CLO_REASON_SPACE]         = { "SPACE", NOMEM, "finds no address space (ulimit -v, -f)" },
	[CLO_REASON_MAPPINGS]      = { "MAPPINGS", NOMEM,
		"is refused: too many mappings (vm.max_map_count)" },
	[CLO_REASON_HUGETLB]       = { "HUGETLB", NOMEM,
		"finds no huge page free in the real host" },
	[CLO_REASON_KERNEL]        = { "KERNEL", ANY, "was refused by the kernel" },
	[CLO_REASON_LISTENER]      = { "LISTENER", ANY, "was refused by a DMA listener" },
	[CLO_REASON_HOOK]          = { "HOOK", ANY, "was refused by the hook" },
};
/* clang-format on */

const struct clo_reason_info *clo_reason_nth(uint32_t reason)
{
	return reason < CLO_REASON_COUNT ? &info[reason] : NULL;
}

const char *clo_reason_text(uint32_t reason)
{
	return reason < CLO_REASON_COUNT ? info[reason].text : "?";
}

int clo_last_error(int error, struct clo_error *out)
{
	const struct clo_failure *last = clo_failure();
	struct clo_error e = { .error = error, .what = "" };

	if (error && last->error == error) {
		e.reason = last->reason;
		e.what = last->what;
	}
	return clo_struct_out(out, &e, sizeof(e), CLO_ERROR_SIZE_VER0);
}
