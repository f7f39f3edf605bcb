/* SPDX-License-Identifier: Apache-2.0 */
/* conv/conv_internal.h - what the files of module conv share. */
#ifndef CLO_CONV_CONV_INTERNAL_H
#define CLO_CONV_CONV_INTERNAL_H

#include "conv.h"

/*
 * What has to be put back when a DMA listener refuses after the change, and what to tell the
 * listeners: the runs that really change kind. Collected before anything changes, and only when
 * there are listeners.
 */
struct conv_run {
	struct clo_attr *attr;
	struct clo_range pages; /* indexes of attr */
	struct clo_attr_reserve undo;
};
struct conv_dma {
	struct conv_run *runs;
	struct clo_dma_range *ranges;
	unsigned run_count, range_count;
};

/* A part of one guest_memfd. */
struct conv_seg {
	struct clo_gmem *g;
	struct clo_range index; /* what is converted */
	struct clo_range work;  /* index, rounded out to the file's huge pages */
	struct clo_rangelock_hold hold;
	struct clo_attr_reserve attr;
	uint64_t *locked; /* bit per page of work: head of a folio that this conversion owns */
	uint64_t locked_inline[8]; /* enough for a call of 2M */
	uint64_t first, last;      /* no bit is set outside of these indexes */
	uint64_t *made;            /* NULL, or of them those that conv_populate() made */
	uint8_t *content;          /* zero policy with listeners: the bytes to put back */
	uint64_t unpins;           /* unpin count of the file before its pins were checked */
	bool zero;
	bool splits; /* a huge folio has to be split */
};

struct conv {
	struct clo_vm *vm;
	bool to_private;
	bool dry_run;
	bool tell_dma;    /* the engine's own conversion; KVM's call tells nobody */
	uint64_t wait_ns; /* for pins */
	struct conv_seg *segs;
	unsigned seg_count, seg_cap;
	struct conv_seg seg_inline;
	struct conv_dma dma;
	/* Failure report. */
	struct clo_gmem *err_gmem;
	uint64_t err_index;
	char holder[32];
};

/* conv_plan.c */
void conv_init(struct conv *c, struct clo_vm *vm, bool to_private);
int conv_add_seg(struct conv *c, struct clo_gmem *g, struct clo_range index) CLO_MUST_USE;
/* After the last part: those of one file that touch become one. -EINVAL: a huge page is met by two.
 */
int conv_join_segs(struct conv *c) CLO_MUST_USE;
void conv_lock_ranges(struct conv *c);
void conv_unlock_ranges(struct conv *c);
bool conv_is_noop(struct conv *c);
void conv_release(struct conv *c);
void conv_fail_at(struct conv *c, struct clo_gmem *g, uint64_t index);

/*
 * conv_frames.c: folios of a part. lock collects them, commit changes them, revert turns back;
 * unlock leaves the collection for revert, forget empties it.
 */
int conv_frames_prepare(struct conv_seg *seg) CLO_MUST_USE; /* -ENOMEM */
/* A device maps what is there, so missing pages are made before it is asked: room for @seg to
 * remember which, and, with its folios collected, to make them. They go again when the conversion
 * fails. -ENOMEM, -EHWPOISON, -EFAULT; conv_fail_at() says where. */
int conv_frames_make_room(struct conv_seg *seg) CLO_MUST_USE;
int conv_frames_make(struct conv *c, struct conv_seg *seg, struct clo_range pages) CLO_MUST_USE;
/* -EAGAIN pinned: all unlocked again. */
int conv_frames_lock(struct conv *c, struct conv_seg *seg) CLO_MUST_USE;
void conv_frames_unlock(struct conv_seg *seg);
void conv_frames_forget(struct conv_seg *seg);
/* Content of all collected folios. -ENOMEM. */
int conv_frames_save_room(struct conv_seg *seg) CLO_MUST_USE; /* -ENOMEM */
/* Content of all collected folios, if there is room for it. Not before the guest has lost them. */
void conv_frames_save(struct conv_seg *seg);
void conv_frames_commit(struct conv *c, struct conv_seg *seg);
void conv_frames_tell_inaccessible(struct conv *c, struct conv_seg *seg);
/* Before revert; false: a page is pinned, nothing is locked. */
bool conv_frames_relock(struct conv_seg *seg);
void conv_frames_revert(struct conv_seg *seg);
void conv_frames_release(struct conv_seg *seg);

/* conv_stage2.c */
void conv_stage2_begin(struct conv *c);
void conv_stage2_commit(struct conv *c);
void conv_stage2_end(struct conv *c);
void conv_stage2_zap_all(struct conv *c); /* turned back: both spaces, all parts */

/*
 * conv_holes.c: mail 0's bitmaps of mapped shared pages follow every run of @pages (indexes of
 * @attr; of @g, or gfns when that is NULL) that is not @to_private yet.
 */
void conv_holes_follow(struct clo_vm *vm, struct clo_gmem *g, struct clo_attr *attr,
		       struct clo_range pages, bool to_private);

/* conv_inplace.c */
int conv_inplace(struct conv *c) CLO_MUST_USE;
/* After it, nothing held: host views of pages that have become shared. */
void conv_settle(struct conv *c);

/* conv_backings.c: the VM owns the attribute. !@free_other: KVM's call, which frees nothing. */
int conv_backings(struct clo_vm *vm, struct clo_range gfns, bool to_private, bool free_other,
		  char *who, size_t who_size) CLO_MUST_USE;

/* conv_dma.c */
int conv_dma_collect_inplace(struct conv *c) CLO_MUST_USE; /* -ENOMEM */
int conv_dma_collect_gfns(struct conv_dma *d, struct clo_vm *vm, struct clo_range gfns,
			  bool to_private) CLO_MUST_USE;
void conv_dma_release(struct conv_dma *d);
/* Tell every listener of every range; when one refuses, those told before are told the opposite. */
int conv_dma_tell(struct clo_vm *vm, const struct conv_dma *d, bool map, char *who,
		  size_t who_size) CLO_MUST_USE;
/* The conversion failed after conv_dma_tell(!map): the opposite. Refusals are only counted. */
void conv_dma_take_back(struct clo_vm *vm, const struct conv_dma *d, bool map);
void conv_dma_restore_attr(struct conv_dma *d, bool is_private);

#endif
