/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model/test_model.c - long random sequences on engine and model; a difference is shrunk and
 * printed with its seed.
 */
#include "model.h"

#include "base/base.h"
#include "harness/test.h"

#include <inttypes.h>

#define WHY       512
#define LONG_OPS  400U
#define MAX_BYTES (MODEL_HEAD + MODEL_OP * LONG_OPS)

/* Remove operations as long as some difference stays: halves, then quarters, ... then single ones.
 */
static size_t shrink(uint8_t *bytes, size_t size, const struct model_drive_config *cfg)
{
	char why[WHY];
	size_t ops = (size - MODEL_HEAD) / MODEL_OP;

	for (size_t chunk = ops / 2; chunk > 0; chunk /= 2) {
		for (size_t at = 0; at + chunk <= ops;) {
			uint8_t tried[MAX_BYTES];
			size_t from = MODEL_HEAD + at * MODEL_OP, gone = chunk * MODEL_OP,
			       left = MODEL_HEAD + ops * MODEL_OP - gone;

			memcpy(tried, bytes, from);
			memcpy(tried + from, bytes + from + gone, left - from);
			if (model_drive(tried, left, cfg, why, sizeof(why)) != 0) {
				memcpy(bytes, tried, left);
				ops -= chunk;
			} else {
				at += chunk;
			}
		}
	}
	return MODEL_HEAD + ops * MODEL_OP;
}

static void fail_with_trace(uint8_t *bytes, size_t size, uint64_t seed,
			    struct model_drive_config cfg)
{
	char why[WHY] = "";
	long at;

	size = shrink(bytes, size, &cfg);
	cfg.trace = stdout;
	printf("head %02x %02x %02x %02x\n", bytes[0], bytes[1], bytes[2], bytes[3]);
	at = model_drive(bytes, size, &cfg, why, sizeof(why));
	test_fail(__FILE__, __LINE__, "seed %" PRIu64 ", operation %ld: %s", seed, at, why);
}

static size_t random_sequence(struct clo_rand *r, uint8_t *bytes, unsigned ops, bool huge)
{
	size_t size = MODEL_HEAD + ops * MODEL_OP;

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)clo_rand_next(r);
	bytes[2] = (uint8_t)((bytes[2] & ~1U) | huge);
	/* Operations close together, so that they meet. */
	for (unsigned i = 0; i < ops; i++) {
		uint8_t *op = bytes + MODEL_HEAD + i * MODEL_OP;

		if (clo_rand_below(r, 4)) {
			op[2] &= 0x1f;
			op[3] = huge ? op[3] & 3 : 0;
		}
	}
	return size;
}

static void run_random(unsigned sequences, unsigned ops, bool huge, uint32_t view, unsigned salt)
{
	struct model_drive_config cfg = { .view = view };

	for (unsigned i = 0; i < sequences; i++) {
		struct clo_rand r = { test_seed() * 1000003 + salt * 7919 + i };
		uint8_t bytes[MAX_BYTES];
		size_t size = random_sequence(&r, bytes, ops, huge);
		char why[WHY] = "";

		if (model_drive(bytes, size, &cfg, why, sizeof(why)) != 0)
			fail_with_trace(bytes, size, test_seed(), cfg);
	}
}

TEST(random_sequences_of_small_pages)
{
	run_random(150, LONG_OPS, false, CLO_HOST_VIEW_SOFT, 1);
}

TEST(random_sequences_of_huge_pages)
{
	run_random(12, LONG_OPS, true, CLO_HOST_VIEW_SOFT, 2);
}

TEST(random_sequences_with_real_host_views)
{
	run_random(20, LONG_OPS, false, CLO_HOST_VIEW_AUTO, 3);
}

TEST(short_sequences_of_every_configuration)
{
	struct model_drive_config cfg = { .view = CLO_HOST_VIEW_SOFT };

	for (unsigned head = 0; head < 256; head++) {
		struct clo_rand r = { test_seed() + head };
		uint8_t bytes[MAX_BYTES];
		size_t size = random_sequence(&r, bytes, 60, false);
		char why[WHY] = "";

		bytes[0] = (uint8_t)head;
		bytes[1] = (uint8_t)(head * 7);
		if (model_drive(bytes, size, &cfg, why, sizeof(why)) != 0)
			fail_with_trace(bytes, size, test_seed(), cfg);
	}
}

/* For every n: the n-th allocation fails, the call that met it gives ENOMEM and has changed
 * nothing, and gives the right answer when made again. */
TEST(every_allocation_fails_once)
{
	for (unsigned k = 0; k < 24; k++) {
		struct clo_rand r = { test_seed() * 31 + k };
		struct model_drive_config cfg = { .view = CLO_HOST_VIEW_SOFT };
		uint8_t bytes[MAX_BYTES];
		size_t size = random_sequence(&r, bytes, 40, false);
		char why[WHY] = "";
		uint64_t count = 0;

		cfg.allocations = &count;
		CHECK_EQ(model_drive(bytes, size, &cfg, why, sizeof(why)), 0);
		cfg.allocations = NULL;
		CHECK(count > 0);
		for (uint64_t n = 1; n <= count; n++) {
			cfg.fail_at = n;
			if (model_drive(bytes, size, &cfg, why, sizeof(why)) != 0)
				fail_with_trace(bytes, size, test_seed(), cfg);
		}
	}
}
