/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus/litmus_words.c - the language's words as data: the reader, the printer, --help and the
 * documentation use these tables, and nothing else knows a word.
 */
#include "litmus_internal.h"

#include <errno.h>

const char *const clo_lit_arg_text[A_COUNT] = {
	[A_END] = "",
	[A_RANGE] = "PAGE[+N]",
	[A_ADDR] = "PAGE[:BYTE]",
	[A_GFN] = "PAGE",
	[A_VALUE] = "NUMBER",
	[A_ACCESS] = "private|shared",
	[A_KIND] = "private|shared",
	[A_FILE] = "[GMEM]",
	[A_SLOT] = "SLOT",
	[A_NEW_PIN] = "PIN",
	[A_PIN] = "PIN",
	[A_LISTENER] = "LISTENER",
	[A_SIDE] = "map|unmap",
	[A_STATUS] = "ok|ERRNO",
};

/* clang-format off */
const struct clo_lit_op_info clo_lit_ops[CLO_LITMUS_CODE_COUNT] = {
	[CLO_LITMUS_LOAD] = { "load", true, { A_ADDR, A_ACCESS },
		"guest reads the 64-bit word; its value is the result" },
	[CLO_LITMUS_STORE] = { "store", true, { A_ADDR, A_VALUE, A_ACCESS },
		"guest writes the 64-bit word" },
	[CLO_LITMUS_FILL] = { "fill", true, { A_RANGE, A_VALUE, A_ACCESS },
		"guest writes NUMBER to every word of the pages" },
	[CLO_LITMUS_ZERO] = { "zero", true, { A_RANGE, A_ACCESS },
		"guest writes 0 to every word of the pages" },
	[CLO_LITMUS_CHECK] = { "check", true, { A_RANGE, A_VALUE, A_ACCESS },
		"guest reads the pages: ok if every word is NUMBER, else differs (and corrupt)" },
	[CLO_LITMUS_MAP_GPA] = { "map_gpa", true, { A_RANGE, A_KIND },
		"MAP_GPA_RANGE hypercall; if it exits, the VMM converts and resumes" },
	[CLO_LITMUS_HYPERCALL] = { "hypercall", true, { A_RANGE, A_KIND },
		"MAP_GPA_RANGE hypercall only; an exit stays for 'complete'" },
	[CLO_LITMUS_COMPLETE] = { "complete", true, { A_STATUS },
		"VMM resumes the vCPU's pending hypercall with this result" },
	[CLO_LITMUS_PRE_FAULT] = { "pre_fault", true, { A_RANGE },
		"KVM_PRE_FAULT_MEMORY on this vCPU" },
	[CLO_LITMUS_CONVERT] = { "convert", false, { A_RANGE, A_KIND },
		"the engine's conversion of the guest pages, all or nothing" },
	[CLO_LITMUS_CONVERT_WAIT] = { "convert_wait", false, { A_RANGE, A_KIND, A_VALUE },
		"the same, waiting at most NUMBER ns for pins to go away" },
	[CLO_LITMUS_DRY_CONVERT] = { "dry_convert", false, { A_RANGE, A_KIND },
		"its checks only, no change" },
	[CLO_LITMUS_SET_PRIVATE] = { "set_private", false, { A_RANGE },
		"short for convert ... private" },
	[CLO_LITMUS_SET_SHARED] = { "set_shared", false, { A_RANGE },
		"short for convert ... shared" },
	[CLO_LITMUS_SET_ATTRIBUTES] = { "set_attributes", false, { A_RANGE, A_KIND },
		"KVM_SET_MEMORY_ATTRIBUTES: the VM owns the attribute; frees nothing" },
	[CLO_LITMUS_GMEM_ATTRIBUTES] = { "gmem_attributes", false, { A_FILE, A_RANGE, A_KIND },
		"KVM_SET_MEMORY_ATTRIBUTES2 on pages of the file: the file owns the attribute" },
	[CLO_LITMUS_GET_ATTRIBUTES] = { "get_attributes", false, { A_RANGE },
		"the result is private, shared or mixed" },
	[CLO_LITMUS_ALLOCATE] = { "allocate", false, { A_FILE, A_RANGE },
		"fallocate pages of the file" },
	[CLO_LITMUS_PUNCH] = { "punch", false, { A_FILE, A_RANGE },
		"punch a hole into the file" },
	[CLO_LITMUS_CLOSE] = { "close", false, { A_FILE },
		"close the file; nothing may name it afterwards" },
	[CLO_LITMUS_PIN] = { "pin", false, { A_NEW_PIN, A_FILE, A_RANGE },
		"a device pins pages of the file under the name PIN" },
	[CLO_LITMUS_UNPIN] = { "unpin", false, { A_PIN },
		"let go of the pin; skipped when it is not held" },
	[CLO_LITMUS_HOST_READ] = { "host_read", false, { A_FILE, A_ADDR },
		"host reads a word of the file; EFAULT stands for SIGBUS" },
	[CLO_LITMUS_HOST_WRITE] = { "host_write", false, { A_FILE, A_ADDR, A_VALUE },
		"host writes a word of the file" },
	[CLO_LITMUS_RAM_READ] = { "ram_read", false, { A_SLOT, A_ADDR },
		"VMM reads a word of its own memory behind the memslot, PAGE from its start" },
	[CLO_LITMUS_RAM_WRITE] = { "ram_write", false, { A_SLOT, A_ADDR, A_VALUE },
		"VMM writes a word there" },
	[CLO_LITMUS_SLOT_CREATE] = { "slot_create", false, { A_SLOT },
		"create the memslot as it was declared" },
	[CLO_LITMUS_SLOT_DELETE] = { "slot_delete", false, { A_SLOT },
		"delete it" },
	[CLO_LITMUS_SLOT_MOVE] = { "slot_move", false, { A_SLOT, A_GFN },
		"move it to begin at PAGE" },
	[CLO_LITMUS_HOLE] = { "hole", false, { A_SLOT, A_RANGE },
		"make guest pages of the memslot's shared side holes" },
	[CLO_LITMUS_UNHOLE] = { "unhole", false, { A_SLOT, A_RANGE },
		"fill such holes" },
	[CLO_LITMUS_REFUSE] = { "refuse", false, { A_LISTENER, A_SIDE },
		"from now on the DMA listener refuses this callback (EBUSY)" },
	[CLO_LITMUS_ACCEPT] = { "accept", false, { A_LISTENER },
		"the DMA listener refuses nothing any more" },
	[CLO_LITMUS_PREPARE] = { "prepare", false, { A_STATUS },
		"install the VM's hooks; from now on prepare gives this result" },
};

/* The sketch in the design writes the initial state with these. */
const struct clo_lit_word clo_lit_op_aliases[] = {
	{ "private", 0, CLO_LITMUS_SET_PRIVATE, NULL },
	{ "shared", 0, CLO_LITMUS_SET_SHARED, NULL },
	{ NULL, 0, 0, NULL },
};

#define ERRNO(e, help) { #e, CLO_LITMUS_ERRNO, -e, help }
const struct clo_lit_word clo_lit_outcomes[] = {
	{ "ok", CLO_LITMUS_OK, 0, "done, whatever was read" },
	{ "failed", CLO_LITMUS_FAILED, 0, "any error or exit" },
	{ "differs", CLO_LITMUS_DIFFERS, 0, "a check saw other bytes" },
	{ "skipped", CLO_LITMUS_SKIPPED, 0, "the 'if' did not hold, or nothing to unpin" },
	{ "private", CLO_LITMUS_PAGES, CLO_LITMUS_PRIVATE, "get_attributes: all are" },
	{ "shared", CLO_LITMUS_PAGES, CLO_LITMUS_SHARED, "get_attributes: all are" },
	{ "mixed", CLO_LITMUS_PAGES, CLO_LITMUS_MIXED, "get_attributes: some of each" },
	{ "MEMORY_FAULT", CLO_LITMUS_EXIT, CLO_EXIT_MEMORY_FAULT, "exit, whatever the cause" },
	{ "MMIO", CLO_LITMUS_EXIT, CLO_EXIT_MMIO, "exit without an error" },
	{ "HYPERCALL", CLO_LITMUS_EXIT, CLO_EXIT_HYPERCALL, "exit: the VMM has to convert" },
	{ "mismatch", CLO_LITMUS_CAUSE, CLO_CAUSE_MISMATCH, "exit: access and page differ" },
	{ "no_slot", CLO_LITMUS_CAUSE, CLO_CAUSE_NO_SLOT, "exit: no memslot there" },
	{ "no_gmem", CLO_LITMUS_CAUSE, CLO_CAUSE_NO_GMEM, "exit: private, memslot without file" },
	{ "gmem_gone", CLO_LITMUS_CAUSE, CLO_CAUSE_GMEM_GONE, "exit: file closed or too short" },
	{ "no_memory", CLO_LITMUS_CAUSE, CLO_CAUSE_NO_MEMORY, "exit: host out of memory" },
	{ "poison", CLO_LITMUS_CAUSE, CLO_CAUSE_POISON, "exit: memory error" },
	{ "prepare_failed", CLO_LITMUS_CAUSE, CLO_CAUSE_PREPARE, "exit: the prepare hook failed" },
	{ "double_map", CLO_LITMUS_CAUSE, CLO_CAUSE_DOUBLE_MAP, "exit: frame is mapped elsewhere" },
	{ "readonly", CLO_LITMUS_CAUSE, CLO_CAUSE_READONLY, "exit: write to a read-only memslot" },
	{ "in_hole", CLO_LITMUS_CAUSE, CLO_CAUSE_HOLE, "exit: hole of the shared side" },
	ERRNO(EACCES, NULL),
	ERRNO(EAGAIN, "pinned, or in transition"),
	ERRNO(EBADF, NULL),
	ERRNO(EBUSY, "refused by a listener"),
	ERRNO(EEXIST, "overlap, or bound already"),
	ERRNO(EFAULT, "also with an exit MEMORY_FAULT"),
	ERRNO(EHWPOISON, NULL),
	ERRNO(EINVAL, NULL),
	ERRNO(EIO, NULL),
	ERRNO(EMFILE, NULL),
	ERRNO(ENODEV, NULL),
	ERRNO(ENOENT, NULL),
	ERRNO(ENOMEM, NULL),
	ERRNO(ENOSYS, NULL),
	ERRNO(ENOTTY, "the attribute has another owner"),
	ERRNO(EOPNOTSUPP, NULL),
	ERRNO(EPERM, NULL),
	{ NULL, 0, 0, NULL },
};

const struct clo_lit_word clo_lit_kinds[] = {
	{ "private", 0, CLO_LITMUS_PRIVATE, NULL },
	{ "shared", 0, CLO_LITMUS_SHARED, NULL },
	{ NULL, 0, 0, NULL },
};

const struct clo_lit_word clo_lit_views[] = {
	{ "auto", 0, CLO_HOST_VIEW_AUTO, NULL },
	{ "uffd", 0, CLO_HOST_VIEW_UFFD, NULL },
	{ "remap", 0, CLO_HOST_VIEW_REMAP, NULL },
	{ "soft", 0, CLO_HOST_VIEW_SOFT, NULL },
	{ NULL, 0, 0, NULL },
};

const struct clo_lit_word clo_lit_quantifiers[] = {
	{ "never", 0, CLO_LITMUS_NEVER, "a run in which it is true is a finding" },
	{ "always", 0, CLO_LITMUS_ALWAYS, "a run in which it is false is a finding" },
	{ "sometimes", 0, CLO_LITMUS_SOMETIMES, "no run in which it is true is a finding" },
	{ NULL, 0, 0, NULL },
};

#define FLAG(name, flag, help) { name, 0, __builtin_ctzll(flag), help }
const struct clo_lit_word clo_lit_gmem_flags[] = {
	FLAG("mmap", CLO_GMEM_MMAP, "the host may map it (default in VMs of owner gmem)"),
	FLAG("init_shared", CLO_GMEM_INIT_SHARED, "its pages start shared"),
	FLAG("zero_on_convert", CLO_GMEM_ZERO_ON_CONVERT, "a conversion zeroes"),
	FLAG("no_direct_map", CLO_GMEM_NO_DIRECT_MAP, "private pages leave the direct map"),
	{ NULL, 0, 0, NULL },
};

const struct clo_lit_word clo_lit_cmps[] = {
	{ "=", '=', CLO_LITMUS_EQ, NULL },  { "!=", T_NE, CLO_LITMUS_NE, NULL },
	{ "<", '<', CLO_LITMUS_LT, NULL },  { "<=", T_LE, CLO_LITMUS_LE, NULL },
	{ ">", '>', CLO_LITMUS_GT, NULL },  { ">=", T_GE, CLO_LITMUS_GE, NULL },
	{ NULL, 0, 0, NULL },
};

#define COUNTER(name, id, help) { name, 0, CLO_LITMUS_C_##id, help }
const struct clo_lit_word clo_lit_counters[] = {
	COUNTER("zaps_split_merge", ZAPS_SPLIT_MERGE, "leaves zapped: folio split or merged"),
	COUNTER("zaps_hugepage", ZAPS_HUGEPAGE, "... other frames, or a huge page reassessed"),
	COUNTER("zaps_rw_change", ZAPS_RW_CHANGE, "... rights changed"),
	COUNTER("zaps_direct_map", ZAPS_DIRECT_MAP, "... frames left or entered the direct map"),
	COUNTER("zaps_kind", ZAPS_KIND, "... a typed guest must fault on the old kind"),
	COUNTER("zaps_content", ZAPS_CONTENT, "... content was zeroed"),
	COUNTER("zaps_punch", ZAPS_PUNCH, "... frames were freed"),
	COUNTER("zaps_slot", ZAPS_SLOT, "... memslot deleted or moved"),
	COUNTER("zaps_release", ZAPS_RELEASE, "... file closed"),
	COUNTER("zaps_hook", ZAPS_HOOK, "... the hooks must see the page"),
	COUNTER("faults", FAULTS, "faults of all vCPUs of the VM"),
	COUNTER("faults_fixed", FAULTS_FIXED, "... that ended in a mapping"),
	COUNTER("faults_retried", FAULTS_RETRIED, "... that were tried again"),
	COUNTER("fault_exits", FAULT_EXITS, "... that ended in an exit"),
	COUNTER("conversions", CONVERSIONS, "conversions done"),
	COUNTER("converted_pages", CONVERTED_PAGES, "pages of them"),
	COUNTER("conversions_failed", CONVERSIONS_FAILED, "conversions refused or undone"),
	COUNTER("moved_leaves", MOVED_LEAVES, "leaves that changed table without a zap"),
	COUNTER("shootdowns", SHOOTDOWNS, "rounds of TLB shoot-down"),
	COUNTER("zaps", ZAPS, "leaves zapped, all reasons"),
	COUNTER("prepared", PREPARED, "calls of the prepare hook that gave 0"),
	COUNTER("invalidated", INVALIDATED, "pages that the invalidate hook was called for"),
	COUNTER("unpaired", UNPAIRED, "... and that were not prepared"),
	COUNTER("backed_twice", BACKED_TWICE, "leak report: pages in both backings"),
	COUNTER("pins_left", PINS_LEFT, "leak report: pins"),
	COUNTER("frames_lost", FRAMES_LOST, "leak report: frames"),
	COUNTER("undo_failures", UNDO_FAILURES, "listeners that refused an undo"),
	COUNTER("frames_used", FRAMES_USED, "frames in use, whole host"),
	COUNTER("frames_leaked", FRAMES_LEAKED, "frames never to be used again, whole host"),
	{ NULL, 0, 0, NULL },
};
/* clang-format on */

const char *clo_litmus_op_name(enum clo_litmus_code code)
{
	return (unsigned)code < CLO_LITMUS_CODE_COUNT ? clo_lit_ops[code].name : NULL;
}

const char *clo_litmus_counter_name(enum clo_litmus_counter c)
{
	return (unsigned)c < CLO_LITMUS_COUNTER_COUNT ? clo_lit_counters[c].name : NULL;
}
