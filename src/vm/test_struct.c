/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/test_struct.c - structs of callers of another version: in both directions, at every size.
 */
#include "harness/test.h"
#include "vm/vm.h"

#include <errno.h>
#include <sys/mman.h>

/* As the library knows it; its first version ended before @added. */
struct known {
	uint32_t size;
	uint32_t a;
	uint64_t added;
};
#define FIRST 8U
#define ROOM  (2 * CLO_PAGE_SIZE)

/* A caller's struct whose bytes are @fill behind the size; nothing is mapped behind @size bytes. */
static uint8_t *callers(uint8_t *room, uint32_t size, uint8_t fill)
{
	uint8_t *at = room + ROOM - size;

	memset(at, fill, size);
	memcpy(at, &size, sizeof(size));
	return at;
}

static uint8_t *make_room(void)
{
	uint8_t *p = mmap(NULL, ROOM + CLO_PAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	CHECK_EQ(mprotect(p + ROOM, CLO_PAGE_SIZE, PROT_NONE), 0);
	return p;
}

TEST(in_at_every_size)
{
	uint8_t *room = make_room();

	for (uint32_t size = 4; size <= CLO_PAGE_SIZE + 8; size++) {
		struct known k = { .a = 77, .added = 77 }, want = { .size = size };
		const uint8_t *from = callers(room, size, 0);
		int ret = clo_struct_in(&k, sizeof(k), from, FIRST);

		if (size < FIRST) {
			CHECK_ERR(ret, -EINVAL);
			CHECK_EQ(k.a, 77);
		} else if (size > CLO_PAGE_SIZE) {
			CHECK_ERR(ret, -E2BIG);
			CHECK_EQ(k.added, 77);
		} else {
			CHECK_OK(ret);
			CHECK_MEM(&k, &want, sizeof(k));
		}
	}
}

TEST(in_takes_what_is_known_and_refuses_the_rest)
{
	uint8_t *room = make_room();

	for (uint32_t size = FIRST; size <= 64; size++) {
		struct known k = { 0 };
		uint8_t *from = callers(room, size, 0x5a);
		int ret = clo_struct_in(&k, sizeof(k), from, FIRST);

		if (size > sizeof(k)) {
			CHECK_ERR(ret, -E2BIG);
			CHECK_EQ(k.a, 0);
			continue;
		}
		CHECK_OK(ret);
		CHECK_EQ(k.a, 0x5a5a5a5a);
		CHECK_EQ(k.added & 0xff, size > FIRST ? 0x5a : 0);
		CHECK_EQ(k.added >> 56, size == sizeof(k) ? 0x5a : 0);
	}
	/* One byte, wherever it is. */
	for (uint32_t at = sizeof(struct known); at < CLO_PAGE_SIZE; at++) {
		struct known k;
		uint8_t *from = callers(room, CLO_PAGE_SIZE, 0);

		from[at] = 1;
		CHECK_ERR(clo_struct_in(&k, sizeof(k), from, FIRST), -E2BIG);
	}
}

TEST(out_at_every_size)
{
	const struct known k = { .size = sizeof(k), .a = 0x01010101, .added = 0x0101010101010101 };
	uint8_t *room = make_room();

	for (uint32_t size = 4; size <= CLO_PAGE_SIZE + 8; size++) {
		uint8_t *to = callers(room, size, 0x77);
		int ret = clo_struct_out(to, &k, sizeof(k), FIRST);
		uint32_t kept;

		memcpy(&kept, to, sizeof(kept));
		CHECK_EQ(kept, size);
		CHECK_ERR(ret, size < FIRST ? -EINVAL : size > CLO_PAGE_SIZE ? -E2BIG : 0);
		for (uint32_t i = 4; i < size; i++)
			CHECK_EQ(to[i], ret ? 0x77 : i < sizeof(k));
	}
}
