/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/test_error_whose.c - whose failure it is that a thread is told of.
 */
#include "harness/engine.h"

/* The record is the last failure's of the same errno in the same thread, or none is told. */
static void *elsewhere(void *arg)
{
	CHECK_EQ(eng_why(-EINVAL).reason, CLO_REASON_NONE);
	CHECK_EQ(eng_slot_delete(arg, 5), -EINVAL);
	CHECK_EQ(eng_why(-EINVAL).reason, CLO_REASON_ABSENT);
	return NULL;
}

TEST(whose_failure_it_is)
{
	struct clo_error e = { .size = 3 };
	struct clo_thread t;
	struct eng m;

	eng_open(&m, (struct eng_config){ 0 });
	CHECK_EQ(eng_why(-EINVAL).reason, CLO_REASON_NONE);
	CHECK_EQ(eng_why(0).reason, CLO_REASON_NONE);
	CHECK_EQ(eng_convert(&m, 0, 0, 0), -EINVAL);
	CHECK_OK(clo_thread_create(&t, elsewhere, &m));
	CHECK_OK(clo_thread_join(&t));
	CHECK_EQ(eng_why(-EINVAL).reason, CLO_REASON_EMPTY);
	CHECK_EQ(eng_why(-ENOMEM).reason, CLO_REASON_NONE);
	CHECK_STR(eng_why(-ENOMEM).what, "");
	CHECK_ERR(clo_check_range(0, "gpa", 5, "bytes"), -EINVAL);
	CHECK_STR(eng_why(-EINVAL).what, "bytes");
	CHECK_ERR(clo_last_error(-EINVAL, &e), -EINVAL);
	CHECK_EQ(eng_why(-EINVAL).reason, CLO_REASON_SIZE);
	e.size = 5000;
	CHECK_ERR(clo_last_error(-EINVAL, &e), -E2BIG);
	eng_close(&m);
}

/* It refuses the second part, and the way back makes it fail on its own. */
static int second(void *arg, const struct clo_dma_range *r)
{
	(void)arg;
	return r->gpa == E_GPA ? 0 : -EINVAL;
}

static int pin_badly(void *arg, const struct clo_dma_range *r)
{
	struct clo_gmem_pin *pin;
	struct eng *e = arg;

	(void)r;
	CHECK_ERR(clo_gmem_pin_nowait(e->gmem, 5, E_PAGE, "x", &pin, NULL), -EINVAL);
	return 0;
}

TEST(the_way_back_does_not_hide_the_reason)
{
	struct eng e;
	struct clo_dma_listener l = {
		.size = sizeof(l), .map = pin_badly, .unmap = second, .arg = &e
	};

	eng_open(&e, (struct eng_config){ 0 });
	CHECK_OK(eng_convert(&e, 1, 1, CLO_CONVERT_TO_PRIVATE));
	CHECK_OK(clo_vm_add_dma_listener(e.vm, &l));
	CHECK_EQ(eng_convert(&e, 0, 3, CLO_CONVERT_TO_PRIVATE), -EINVAL);
	CHECK_EQ(eng_why(-EINVAL).reason, CLO_REASON_LISTENER);
	CHECK_OK(clo_vm_remove_dma_listener(e.vm, &l));
	eng_close(&e);
}
