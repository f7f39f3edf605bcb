/* SPDX-License-Identifier: Apache-2.0 */
/* cloister/error.h - which of its meanings an errno has. */
#ifndef CLOISTER_ERROR_H
#define CLOISTER_ERROR_H

#include <cloister/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `cloister states reason` prints them with their text. New ones come last. */
enum clo_reason {
	CLO_REASON_NONE, /* the library has said nothing of this errno in this thread */
	/* -EINVAL: an argument */
	CLO_REASON_NULL, /* NULL where something is needed */
	CLO_REASON_SIZE, /* size of a struct: smaller than its first version; -E2BIG: too large */
	CLO_REASON_RESERVED,    /* a reserved field is not 0 */
	CLO_REASON_FLAGS,       /* a flag that this library does not know */
	CLO_REASON_UNSUPPORTED, /* known, but not for this object, or not with the other flags */
	CLO_REASON_VALUE,       /* a number that stands for nothing: type, owner, level, order */
	CLO_REASON_ALIGN,    /* not in whole pages, or whole huge pages where these are the unit */
	CLO_REASON_EMPTY,    /* 0 bytes */
	CLO_REASON_WRAP,     /* the end is past 2^64 */
	CLO_REASON_BOUNDS,   /* beyond the file, the memslot, or what addresses there are */
	CLO_REASON_ABSENT,   /* nothing there that could be deleted or unmapped */
	CLO_REASON_FIXED,    /* memslot: what cannot be changed in place */
	CLO_REASON_OTHER_VM, /* the file is another VM's */
	CLO_REASON_NO_PRIVATE, /* the VM has no private memory */
	CLO_REASON_HUGE_PARTS, /* parts of one huge page that do not touch */
	CLO_REASON_CHANGED,    /* another thread changed the struct meanwhile */
	/* -E2BIG */
	CLO_REASON_UNKNOWN_FIELD, /* not 0, and this library does not know it */
	/* -EEXIST */
	CLO_REASON_OVERLAP,    /* gpa: another memslot is there */
	CLO_REASON_BOUND,      /* the part of the file is in a memslot */
	CLO_REASON_IN_USE,     /* id of a vCPU, address of a listener */
	CLO_REASON_DOUBLE_MAP, /* the frame is mapped elsewhere (I1) */
	/* -ENOMEM */
	CLO_REASON_HEAP,    /* memory for the library itself */
	CLO_REASON_FRAMES,  /* the host's mem_bytes are used up */
	CLO_REASON_WINDOWS, /* no part of the host's memory large enough for what is mapped */
	CLO_REASON_SPACE,   /* address space or file size: ulimit -v, ulimit -f, length of a mapping
			     */
	CLO_REASON_MAPPINGS, /* the kernel makes no more mappings: vm.max_map_count */
	CLO_REASON_HUGETLB,  /* no huge page of the real host is free */
	/* any of these */
	CLO_REASON_KERNEL,   /* what the system call `what` said */
	CLO_REASON_LISTENER, /* what a DMA listener returned; clo_convert.holder names it */
	CLO_REASON_HOOK,     /* what the prepare hook returned */
	CLO_REASON_COUNT
};
/* In words; "?" for what is no reason. */
CLO_API const char *clo_reason_text(uint32_t reason);

struct clo_error {
	uint32_t size;   /* sizeof(struct clo_error) */
	int32_t error;   /* as asked */
	uint32_t reason; /* enum clo_reason */
	uint32_t reserved;
	const char *what; /* "clo_region.memory_size", "len", "mmap"; never NULL, stays valid */
};
#define CLO_ERROR_SIZE_VER0 24U
/*
 * Why the last call of this thread that returned error did so: ask right after it. Each EINVAL,
 * E2BIG, EEXIST and ENOMEM that a function of this API returns has a reason, which takes the place
 * of the last one. Other errno have one meaning where they are named: reason NONE, what "". So is
 * it when error is not what failed last: a reason is never that of another errno. Do not ask after
 * a call that returned 0, which may have left what it met on its way.
 *
 * what names the argument, the field, the system call, or what the memory was for. When several
 * are wrong it is the first that was looked at. What a guest sees (clo_vcpu_map_gpa_range(),
 * clo_vcpu_complete_hypercall()) is no error of a call. May be called from any callback, for the
 * callback's own calls. -E2BIG, -EINVAL: size.
 */
CLO_API int clo_last_error(int error, struct clo_error *out);

#ifdef __cplusplus
}
#endif

#endif
