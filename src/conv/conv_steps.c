/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv/conv_steps.c - the one way up and down of a conversion.
 *
 * A step that fails may have done a part: its undo copes with any part, none included.
 */
#include "conv_internal.h"

#include <assert.h>

static bool applies(const struct conv *c, const struct conv_step *step)
{
	unsigned is = (c->to_private ? CONV_IF_PRIVATE : CONV_IF_SHARED) |
		      (c->tell_dma && !c->dry_run ? CONV_IF_TOLD : 0);

	return step->go && (step->when & ~is) == 0;
}

static void down(struct conv *c, const struct conv_step *steps, enum conv_phase failed)
{
	for (enum conv_phase p = failed; p > CONV_BEGUN; p--) {
		if (!applies(c, &steps[p]))
			continue;
		if (!c->done && steps[p].undo)
			steps[p].undo(c);
		if (p <= c->phase && steps[p].end)
			steps[p].end(c);
	}
	c->phase = CONV_BEGUN;
}

int conv_run(struct conv *c, const struct conv_step steps[CONV_PHASES], enum conv_phase last)
{
	enum conv_phase p = CONV_BEGUN;
	struct clo_failure why;
	int ret = 0;

	assert(c->phase == CONV_BEGUN);
	while (ret == 0 && p < last) {
		p++;
		if (!applies(c, &steps[p]))
			continue;
		ret = steps[p].go(c);
		if (ret == 0)
			c->phase = p;
	}
	c->done = ret == 0 && !c->dry_run;
	/* Not what the way back meets: a listener's own calls, a page that is not shown again. */
	why = *clo_failure();
	down(c, steps, p);
	*clo_failure() = why;
	return ret == CONV_NOTHING_TO_DO ? 0 : ret;
}
