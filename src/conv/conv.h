/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/conv.h - explicit conversion between private and shared. The functions are public
 * (cloister/convert.h, hooks.h): clo_vm_convert, clo_gmem_set_attributes (in place),
 * clo_vm_set_attributes (two backings), clo_vm_get_attributes, clo_vm_*_dma_listener. The steps
 * of both kinds, what each can fail with and what undoes it: docs/design/conversion.md.
 *
 * Check, then commit (D2). In place, to private:
 *
 * - Each of these can fail, and is undone: decode; range locks in order; attribute nodes
 *   reserved; DMA listeners unmap; the files' invalidation begins (no allocation lands any
 *   more); folios locked; pins checked; host views hidden.
 * - None of these can: the mmu's invalidation begins; leaves moved or zapped, one shoot-down;
 *   content policy; frames change state; attribute stored; the invalidations end.
 *
 * To shared the listeners' map comes last before the ends, and when one refuses everything is
 * turned back under the same locks. A leaf is zapped only for a reason (mail 4); without one it
 * moves from one table to the other and no TLB is flushed.
 *
 * Locks: listeners and memslots shared (ranks VM, SLOTS), range locks (GFNS or RANGE), then
 * folio locks. Disjoint ranges convert in parallel.
 */
#ifndef CLO_CONV_CONV_H
#define CLO_CONV_CONV_H

#include "base/base.h"
#include "cloister/cloister.h"
#include "vm/vm.h"

#endif
