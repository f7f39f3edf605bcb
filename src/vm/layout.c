/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/layout.c - the layout of the public structs, held at compile time. A field that was released
 * never moves; a new one comes at the end and changes the size, never CLO_..._SIZE_VER0.
 */
#include "cloister/cloister.h"

#include <assert.h>
#include <cloister/snp.h>
#include <cloister/tdx.h>

#define AT(type, field, at) static_assert(offsetof(struct type, field) == (at), #type "." #field)
#define SIZE(type, size)    static_assert(sizeof(struct type) == (size), "size of " #type)
#define VERSIONED(type, size, ver0)                                                                \
	AT(type, size, 0);                                                                         \
	static_assert(sizeof(struct type) >= (ver0), "first size of " #type)

/* clang-format off */
VERSIONED(clo_error, size, CLO_ERROR_SIZE_VER0);
AT(clo_error, error, 4);
AT(clo_error, reason, 8);
AT(clo_error, reserved, 12);
AT(clo_error, what, 16);
SIZE(clo_error, 24);

VERSIONED(clo_host_config, size, CLO_HOST_CONFIG_SIZE_VER0);
AT(clo_host_config, view, 4);
AT(clo_host_config, mem_bytes, 8);
AT(clo_host_config, hugetlb, 16);
AT(clo_host_config, reserved, 20);
SIZE(clo_host_config, 24);

VERSIONED(clo_host_stats, size, CLO_HOST_STATS_SIZE_VER0);
AT(clo_host_stats, frames_limit, 8);
AT(clo_host_stats, frames_used, 16);
AT(clo_host_stats, frames_leaked, 24);
SIZE(clo_host_stats, 32);

VERSIONED(clo_vm_config, size, CLO_VM_CONFIG_SIZE_VER0);
AT(clo_vm_config, type, 4);
AT(clo_vm_config, attr_owner, 8);
AT(clo_vm_config, flags, 12);
AT(clo_vm_config, exit_hypercall, 16);
AT(clo_vm_config, max_level, 20);
SIZE(clo_vm_config, 24);

/* An array of these is in clo_leak_report: they never grow. */
AT(clo_leak, gpa, 0);
AT(clo_leak, npages, 8);
AT(clo_leak, kind, 16);
AT(clo_leak, reserved, 20);
AT(clo_leak, holder, 32);
SIZE(clo_leak, 64);

VERSIONED(clo_leak_report, size, CLO_LEAK_REPORT_SIZE_VER0);
AT(clo_leak_report, leak_count, 4);
AT(clo_leak_report, backed_twice, 8);
AT(clo_leak_report, pins_left, 16);
AT(clo_leak_report, frames_lost, 24);
AT(clo_leak_report, undo_failures, 32);
AT(clo_leak_report, leaks, 40);
SIZE(clo_leak_report, 40 + 16 * 64);

VERSIONED(clo_vm_stats, size, CLO_VM_STATS_SIZE_VER0);
AT(clo_vm_stats, faults, 8);
AT(clo_vm_stats, faults_fixed, 16);
AT(clo_vm_stats, faults_retried, 24);
AT(clo_vm_stats, fault_exits, 32);
AT(clo_vm_stats, conversions, 40);
AT(clo_vm_stats, converted_pages, 48);
AT(clo_vm_stats, conversions_failed, 56);
AT(clo_vm_stats, moved_leaves, 64);
AT(clo_vm_stats, zaps, 72);
AT(clo_vm_stats, shootdowns, 200);
AT(clo_vm_stats, ipis, 208);
AT(clo_vm_stats, table_pages, 216);
SIZE(clo_vm_stats, 224);

AT(clo_hook_pages, size, 0);
AT(clo_hook_pages, why, 4);
AT(clo_hook_pages, gpa, 8);
AT(clo_hook_pages, npages, 16);
AT(clo_hook_pages, pfn, 24);
AT(clo_hook_pages, gmem, 32);
AT(clo_hook_pages, gmem_offset, 40);
AT(clo_hook_pages, order, 48);
AT(clo_hook_pages, reserved, 52);
SIZE(clo_hook_pages, 56);

VERSIONED(clo_vm_hooks, size, CLO_VM_HOOKS_SIZE_VER0);
AT(clo_vm_hooks, reserved, 4);
AT(clo_vm_hooks, prepare, 8);
AT(clo_vm_hooks, inaccessible, 16);
AT(clo_vm_hooks, invalidate, 24);
AT(clo_vm_hooks, arg, 32);
SIZE(clo_vm_hooks, 40);

VERSIONED(clo_region, size, CLO_REGION_SIZE_VER0);
AT(clo_region, slot, 4);
AT(clo_region, flags, 8);
AT(clo_region, reserved, 12);
AT(clo_region, guest_phys_addr, 16);
AT(clo_region, memory_size, 24);
AT(clo_region, userspace_addr, 32);
AT(clo_region, guest_memfd_offset, 40);
AT(clo_region, gmem, 48);
SIZE(clo_region, 56);

VERSIONED(clo_convert, size, CLO_CONVERT_SIZE_VER0);
AT(clo_convert, flags, 4);
AT(clo_convert, gpa, 8);
AT(clo_convert, bytes, 16);
AT(clo_convert, wait_ns, 24);
AT(clo_convert, error_gpa, 32);
AT(clo_convert, error_offset, 40);
AT(clo_convert, holder, 48);
SIZE(clo_convert, 80);

/* Given out by the library: size says how much of it a caller may read. */
AT(clo_dma_range, size, 0);
AT(clo_dma_range, gpa, 8);
AT(clo_dma_range, bytes, 16);
AT(clo_dma_range, gmem, 24);
AT(clo_dma_range, gmem_offset, 32);
AT(clo_dma_range, hva, 40);
SIZE(clo_dma_range, 48);

VERSIONED(clo_dma_listener, size, CLO_DMA_LISTENER_SIZE_VER0);
AT(clo_dma_listener, reserved, 4);
AT(clo_dma_listener, name, 8);
AT(clo_dma_listener, map, 16);
AT(clo_dma_listener, unmap, 24);
AT(clo_dma_listener, arg, 32);
SIZE(clo_dma_listener, 40);

AT(clo_exit, size, 0);
AT(clo_exit, reason, 4);
AT(clo_exit, cause, 8);
AT(clo_exit, error, 12);
AT(clo_exit, memory_fault.flags, 16);
AT(clo_exit, memory_fault.gpa, 24);
AT(clo_exit, memory_fault.size, 32);
AT(clo_exit, mmio.gpa, 40);
AT(clo_exit, mmio.len, 48);
AT(clo_exit, mmio.is_write, 52);
AT(clo_exit, hypercall.nr, 56);
AT(clo_exit, hypercall.args, 64);
AT(clo_exit, hypercall.ret, 112);
SIZE(clo_exit, 120);

VERSIONED(clo_tdx_config, size, CLO_TDX_CONFIG_SIZE_VER0);
AT(clo_tdx_config, mem_bytes, 8);
SIZE(clo_tdx_config, 16);

/* Registers: never more. */
SIZE(clo_tdx_regs, 56);

VERSIONED(clo_tdx_exit, size, CLO_TDX_EXIT_SIZE_VER0);
AT(clo_tdx_exit, reason, 4);
AT(clo_tdx_exit, qualification, 8);
AT(clo_tdx_exit, extended, 16);
AT(clo_tdx_exit, gpa, 24);
SIZE(clo_tdx_exit, 32);

VERSIONED(clo_tdx_access, size, CLO_TDX_ACCESS_SIZE_VER0);
AT(clo_tdx_access, write, 4);
AT(clo_tdx_access, gpa, 8);
AT(clo_tdx_access, bytes, 16);
AT(clo_tdx_access, rip, 24);
SIZE(clo_tdx_access, 32);

VERSIONED(clo_tdx_page, size, CLO_TDX_PAGE_SIZE_VER0);
AT(clo_tdx_page, type, 4);
AT(clo_tdx_page, level, 8);
AT(clo_tdx_page, owner, 16);
AT(clo_tdx_page, type_name, 24);
SIZE(clo_tdx_page, 32);

VERSIONED(clo_tdx_entry, size, CLO_TDX_ENTRY_SIZE_VER0);
AT(clo_tdx_entry, level, 4);
AT(clo_tdx_entry, raw, 8);
AT(clo_tdx_entry, rwx, 16);
AT(clo_tdx_entry, state, 20);
AT(clo_tdx_entry, hpa, 24);
AT(clo_tdx_entry, name, 32);
SIZE(clo_tdx_entry, 72);

VERSIONED(clo_snp_config, size, CLO_SNP_CONFIG_SIZE_VER0);
AT(clo_snp_config, mem_bytes, 8);
SIZE(clo_snp_config, 16);

/* The operand of RMPUPDATE: as the processor has it. */
AT(clo_snp_rmp_state, assigned, 8);
AT(clo_snp_rmp_state, asid, 12);
SIZE(clo_snp_rmp_state, 16);

VERSIONED(clo_snp_access, size, CLO_SNP_ACCESS_SIZE_VER0);
AT(clo_snp_access, asid, 4);
AT(clo_snp_access, gpa, 8);
AT(clo_snp_access, spa, 16);
AT(clo_snp_access, npt_2m, 24);
AT(clo_snp_access, vmpl, 28);
SIZE(clo_snp_access, 32);

VERSIONED(clo_snp_command, size, CLO_SNP_COMMAND_SIZE_VER0);
AT(clo_snp_command, command, 4);
AT(clo_snp_command, spa, 8);
AT(clo_snp_command, gctx, 16);
AT(clo_snp_command, asid, 24);
AT(clo_snp_command, page_2m, 28);
AT(clo_snp_command, page_type, 29);
SIZE(clo_snp_command, 32);

VERSIONED(clo_snp_entry, size, CLO_SNP_ENTRY_SIZE_VER0);
AT(clo_snp_entry, asid, 4);
AT(clo_snp_entry, gpa, 8);
AT(clo_snp_entry, assigned, 16);
AT(clo_snp_entry, perms, 21);
AT(clo_snp_entry, state, 28);
SIZE(clo_snp_entry, 48);
/* clang-format on */
