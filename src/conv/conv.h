/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/conv.h - explicit conversion between private and shared. The functions are public
 * (cloister/convert.h, hooks.h): clo_vm_convert, clo_gmem_set_attributes (in place),
 * clo_vm_set_attributes (two backings), clo_vm_get_attributes, clo_vm_*_dma_listener. The steps
 * of both kinds, what each can fail with and what undoes it: docs/design/conversion.md.
 *
 * Check, then commit (D2): up to the commit everything can fail and is undone; the commit cannot.
 * To shared the listeners' map comes after it, and when one refuses everything is turned back under
 * the same locks. A leaf is zapped only for a reason (mail 4); without one it moves from one table
 * to the other and no TLB is flushed.
 *
 * Locks: GFNS and memslots shared, or RANGE, then folio locks. Disjoint ranges convert in parallel.
 */
#ifndef CLO_CONV_CONV_H
#define CLO_CONV_CONV_H

#include "base/base.h"
#include "cloister/cloister.h"
#include "vm/vm.h"

#endif
