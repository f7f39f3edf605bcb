/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench_engine.h - the parts of bench-engine. */
#ifndef CLO_BENCH_BENCH_ENGINE_H
#define CLO_BENCH_BENCH_ENGINE_H

#include "bench.h"

#define MIB (1ULL << 20)
#define GIB (1ULL << 30)

void bench_conversions(struct bench *b);

#endif
