/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx.h - the Intel TDX module's memory side, for other modules: what `cloister/tdx.h`
 * promises, the tables that it runs on, machine setup, and calls as text.
 */
#ifndef CLO_TRUST_TDX_TDX_H
#define CLO_TRUST_TDX_TDX_H

#include "trust/tdx/tdx_script.h"
#include "trust/tdx/tdx_setup.h"
#include "trust/tdx/tdx_tables.h"

#endif
