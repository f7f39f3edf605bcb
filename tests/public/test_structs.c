/* SPDX-License-Identifier: Apache-2.0 */
/*
 * public/test_structs.c - callers whose headers are of another version: each struct that a call
 * takes or fills, at sizes that are too small, the first, larger with nothing, with something.
 */
#include "harness/engine.h"

/* A struct of a later version: what comes behind what is known here. */
#define LATER(type)                                                                                \
	struct {                                                                                   \
		struct type known;                                                                 \
		uint64_t field;                                                                    \
		uint8_t rest[2 * CLO_PAGE_SIZE];                                                   \
	}
#define LATER_SIZE(s) ((uint32_t)offsetof(__typeof__(s), rest))
#define TOO_LARGE     ((uint32_t)CLO_PAGE_SIZE + 8)
#define A_FLAG_ONLY   (1ULL << 63)

TEST(host_config)
{
	LATER(clo_host_config) c = { .known = { .view = CLO_HOST_VIEW_SOFT } };
	struct clo_host *host;

	c.known.size = CLO_HOST_CONFIG_SIZE_VER0 - 1;
	CHECK_ERR(clo_host_create(&c.known, &host), -EINVAL);
	c.known.size = CLO_HOST_CONFIG_SIZE_VER0;
	CHECK_OK(clo_host_create(&c.known, &host));
	CHECK_OK(clo_host_destroy(host));
	c.known.size = LATER_SIZE(c);
	CHECK_OK(clo_host_create(&c.known, &host));
	CHECK_OK(clo_host_destroy(host));
	c.field = A_FLAG_ONLY;
	CHECK_ERR(clo_host_create(&c.known, &host), -E2BIG);
	c.field = 0;
	c.known.size = TOO_LARGE;
	CHECK_ERR(clo_host_create(&c.known, &host), -E2BIG);
}

TEST(vm_config)
{
	LATER(clo_vm_config) c = { .known = { .type = CLO_VM_SW_PROTECTED } };
	struct clo_vm *vm;
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	c.known.size = CLO_VM_CONFIG_SIZE_VER0 - 1;
	CHECK_ERR(clo_vm_create(e.host, &c.known, &vm), -EINVAL);
	c.known.size = 3;
	CHECK_ERR(clo_vm_create(e.host, &c.known, &vm), -EINVAL);
	c.known.size = CLO_VM_CONFIG_SIZE_VER0;
	CHECK_OK(clo_vm_create(e.host, &c.known, &vm));
	CHECK_OK(clo_vm_destroy(vm, NULL));
	c.known.size = LATER_SIZE(c);
	CHECK_OK(clo_vm_create(e.host, &c.known, &vm));
	CHECK_OK(clo_vm_destroy(vm, NULL));
	c.field = A_FLAG_ONLY;
	CHECK_ERR(clo_vm_create(e.host, &c.known, &vm), -E2BIG);
	eng_close(&e);
}

TEST(region)
{
	LATER(clo_region) r = { 0 };
	struct eng e;

	eng_open(&e, (struct eng_config){ .no_slot = true });
	r.known = eng_region(&e, 0, E_GPA, 16, 0);
	r.known.size = CLO_REGION_SIZE_VER0 - 1;
	CHECK_ERR(clo_vm_set_region(e.vm, &r.known), -EINVAL);
	r.known.size = LATER_SIZE(r);
	r.field = A_FLAG_ONLY;
	CHECK_ERR(clo_vm_set_region(e.vm, &r.known), -E2BIG);
	r.field = 0;
	r.known.reserved = 1;
	CHECK_ERR(clo_vm_set_region(e.vm, &r.known), -EINVAL);
	r.known.reserved = 0;
	CHECK_OK(clo_vm_set_region(e.vm, &r.known));
	CHECK_OK(eng_store(&e, 3, 0, 1));
	r.known.memory_size = 0;
	CHECK_OK(clo_vm_set_region(e.vm, &r.known));
	eng_close(&e);
}

TEST(convert)
{
	LATER(clo_convert) c = { 0 };
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	c.known = eng_range(0, 17, CLO_CONVERT_TO_PRIVATE);
	c.known.size = CLO_CONVERT_SIZE_VER0 - 1;
	CHECK_ERR(clo_vm_convert(e.vm, &c.known), -EINVAL);
	c.known.size = LATER_SIZE(c);
	c.field = A_FLAG_ONLY;
	CHECK_ERR(clo_vm_convert(e.vm, &c.known), -E2BIG);
	CHECK_EQ(c.known.error_gpa, 0);
	/* It fails for its own reason: results are given, and nothing behind the struct. */
	c.field = 0;
	c.rest[0] = 77;
	CHECK_ERR(clo_vm_convert(e.vm, &c.known), -ENOENT);
	CHECK_EQ(c.known.error_gpa, E_GPA + 16 * E_PAGE);
	CHECK_EQ(c.known.size, LATER_SIZE(c));
	CHECK_EQ(c.rest[0], 77);
	c.known = eng_range(0, 16, CLO_CONVERT_TO_PRIVATE);
	c.known.size = LATER_SIZE(c);
	CHECK_OK(clo_vm_convert(e.vm, &c.known));
	eng_close(&e);
}

static int told(void *arg, const struct clo_dma_range *r)
{
	CHECK(r->size >= sizeof(*r));
	++*(unsigned *)arg;
	return 0;
}

TEST(dma_listener)
{
	LATER(clo_dma_listener) l = { .known = { .name = "x", .map = told, .unmap = told } };
	unsigned calls = 0;
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	l.known.arg = &calls;
	l.known.size = CLO_DMA_LISTENER_SIZE_VER0 - 1;
	CHECK_ERR(clo_vm_add_dma_listener(e.vm, &l.known), -EINVAL);
	l.known.size = LATER_SIZE(l);
	l.field = A_FLAG_ONLY;
	CHECK_ERR(clo_vm_add_dma_listener(e.vm, &l.known), -E2BIG);
	l.field = 0;
	l.known.reserved = 1;
	CHECK_ERR(clo_vm_add_dma_listener(e.vm, &l.known), -EINVAL);
	l.known.reserved = 0;
	CHECK_OK(clo_vm_add_dma_listener(e.vm, &l.known));
	CHECK_ERR(clo_vm_add_dma_listener(e.vm, &l.known), -EEXIST);
	/* It was copied: what the caller does with its own is its own. */
	l.known.map = NULL;
	l.known.unmap = NULL;
	CHECK_OK(eng_convert(&e, 0, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(eng_convert(&e, 0, 1, 0));
	CHECK_EQ(calls, 2);
	CHECK_OK(clo_vm_remove_dma_listener(e.vm, &l.known));
	eng_close(&e);
}

/* What the library fills: nothing behind the caller's size, 0 behind what it knows itself. */
TEST(host_stats)
{
	LATER(clo_host_stats) s;
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	memset(&s, 0x77, sizeof(s));
	s.known.size = CLO_HOST_STATS_SIZE_VER0 - 1;
	CHECK_ERR(clo_host_stats(e.host, &s.known), -EINVAL);
	CHECK_EQ(s.known.frames_used, 0x7777777777777777);
	s.known.size = TOO_LARGE;
	CHECK_ERR(clo_host_stats(e.host, &s.known), -E2BIG);
	s.known.size = CLO_HOST_STATS_SIZE_VER0;
	CHECK_OK(clo_host_stats(e.host, &s.known));
	CHECK_EQ(s.known.frames_limit, (256ULL << 20) / E_PAGE);
	CHECK_EQ(s.known.reserved, 0);
	CHECK_EQ(s.field, 0x7777777777777777);
	s.known.size = LATER_SIZE(s);
	CHECK_OK(clo_host_stats(e.host, &s.known));
	CHECK_EQ(s.field, 0);
	CHECK_EQ(s.rest[0], 0x77);
	eng_close(&e);
}

TEST(vm_stats)
{
	LATER(clo_vm_stats) s;
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	CHECK_OK(eng_store(&e, 0, 0, 1));
	memset(&s, 0x77, sizeof(s));
	s.known.size = CLO_VM_STATS_SIZE_VER0 - 1;
	CHECK_ERR(clo_vm_stats(e.vm, &s.known), -EINVAL);
	s.known.size = TOO_LARGE;
	CHECK_ERR(clo_vm_stats(e.vm, &s.known), -E2BIG);
	s.known.size = LATER_SIZE(s);
	CHECK_OK(clo_vm_stats(e.vm, &s.known));
	CHECK_EQ(s.known.faults_fixed, 1);
	CHECK_EQ(s.known.reserved, 0);
	CHECK_EQ(s.field, 0);
	CHECK_EQ(s.rest[0], 0x77);
	eng_close(&e);
}

TEST(leak_report)
{
	LATER(clo_leak_report) r;
	struct eng e;

	eng_open(&e, (struct eng_config){ 0 });
	memset(&r, 0x77, sizeof(r));
	r.known.size = CLO_LEAK_REPORT_SIZE_VER0 - 1;
	CHECK_ERR(clo_vm_report(e.vm, &r.known), -EINVAL);
	CHECK_ERR(clo_vm_destroy(e.vm, &r.known), -EINVAL);
	r.known.size = TOO_LARGE;
	CHECK_ERR(clo_vm_report(e.vm, &r.known), -E2BIG);
	CHECK_ERR(clo_vm_destroy(e.vm, &r.known), -E2BIG);
	/* Nothing was destroyed. */
	CHECK_OK(eng_store(&e, 0, 0, 1));
	r.known.size = LATER_SIZE(r);
	CHECK_OK(clo_vm_report(e.vm, &r.known));
	CHECK_EQ(r.known.leak_count, 0);
	CHECK_EQ(r.field, 0);
	CHECK_EQ(r.rest[0], 0x77);
	eng_close(&e);
}

TEST(exit_says_its_size)
{
	struct eng e;

	eng_open(&e, (struct eng_config){ .hypercalls = true });
	CHECK_EQ(clo_vcpu_exit(e.vcpu)->size, sizeof(struct clo_exit));
	CHECK_EQ(eng_store(&e, 16, 0, 1), 1);
	CHECK_EQ(clo_vcpu_exit(e.vcpu)->size, sizeof(struct clo_exit));
	CHECK_EQ(clo_vcpu_map_gpa_range(e.vcpu, E_GPA, 1, 0), 1);
	CHECK_EQ(clo_vcpu_exit(e.vcpu)->size, sizeof(struct clo_exit));
	eng_close(&e);
}

TEST(leak_kinds_have_a_text)
{
	CHECK_STR(clo_leak_kind_text(CLO_LEAK_BACKED_TWICE), "backed twice");
	CHECK_STR(clo_leak_kind_text(CLO_LEAK_PINNED), "pinned");
	CHECK_STR(clo_leak_kind_text(CLO_LEAK_FRAME_LOST), "frame lost");
	CHECK(clo_leak_kind_text(3) == NULL);
}
