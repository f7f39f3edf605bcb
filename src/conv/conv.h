/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/conv.h - explicit conversion between private and shared. The functions are public
 *(cloister/cloister.h): clo_vm_convert, clo_gmem_set_attributes (in place), clo_vm_set_attributes
 *(two backings), clo_vm_get_attributes, clo_vm_pin, clo_dma_*.
 *
 * Check, then commit (D2). In place, to private:
 *	decode; range locks in order; attribute nodes reserved; DMA listeners unmap; gmem
 *invalidation begins (no allocation lands any more); folios locked; pins checked; host views hidden
 *-- up to here each step can fail and is undone -- mmu invalidation begins; leaves moved or zapped,
 *one shoot-down; content policy; frames change state; attribute stored; ends. To shared: the
 *listeners' map comes last before the ends, and when one refuses everything is turned back under
 *the same locks. Zapping happens only for a reason (mail 4); without one the leaves move from one
 *table to the other and no TLB is flushed.
 *
 * Locks: memslots shared (rank SLOTS), range locks (RANGE), then folio locks. Disjoint ranges
 *convert in parallel.
 */
#ifndef CLO_CONV_CONV_H
#define CLO_CONV_CONV_H

#include "base/base.h"
#include "cloister/cloister.h"
#include "vm/vm.h"

#endif
