/* SPDX-License-Identifier: Apache-2.0 */
/* kvm/numbers.h - random numbers: the same everywhere for a seed (xorshift64*). */
#ifndef CLO_KVM_NUMBERS_H
#define CLO_KVM_NUMBERS_H

#include <stdint.h>

static inline uint64_t next_random(uint64_t *s)
{
	*s ^= *s >> 12;
	*s ^= *s << 25;
	*s ^= *s >> 27;
	return *s * 0x2545f4914f6cdd1dULL;
}

static inline uint64_t seed_random(uint64_t seed)
{
	return seed * 0x9e3779b97f4a7c15ULL | 1;
}

#endif
