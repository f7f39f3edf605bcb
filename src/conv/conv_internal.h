/* SPDX-License-Identifier: Apache-2.0 */
/* conv/conv_internal.h - what the files of module conv share. */
#ifndef CLO_CONV_CONV_INTERNAL_H
#define CLO_CONV_CONV_INTERNAL_H

#include "conv.h"

/*
 * How far a conversion has come. Each kind is a table of steps in this order (conv_inplace.c,
 * conv_backings.c), and conv_run() is the one way up and down: what a step has done is undone, and
 * what it holds is let go, in the reverse order. docs/design/conversion.md has both as a table.
 */
enum conv_phase {
	CONV_BEGUN,
	CONV_LISTENING, /* the VM's listeners as they are now are those that will be told */
	CONV_RANGED,    /* no other conversion of these pages; what lies behind gfns stands still */
	CONV_RESERVED,  /* all memory that is needed */
	CONV_UNMAPPED,  /* to private: the listeners have unmapped */
	CONV_SLOTTED,   /* two backings: memslots stand still, and were looked at again */
	CONV_STOPPED,   /* invalidation: no new folio (in place), no new leaf (two backings) */
	CONV_LOCKED, /* in place: folios locked, none pinned; two backings: leaves can be split */
	CONV_MADE,   /* in place, to shared: what a device will map is there */
	CONV_HIDDEN, /* in place, to private: out of the host's views */
	CONV_COMMITTED, /* changed. Up to here nobody could see anything, from here nothing fails...
			 */
	CONV_MAPPED,    /* ... but for this, to shared: the listeners have mapped */
	CONV_PHASES
};

struct conv;
struct conv_step {
	unsigned when;             /* CONV_IF_* that must all be true; 0: always */
	int (*go)(struct conv *c); /* 0, -errno, or CONV_NOTHING_TO_DO */
	/* When a later step has failed, or this one after a part of its work. */
	void (*undo)(struct conv *c);
	void (*end)(struct conv *c); /* in any case, after undo, if go was 0 */
};
#define CONV_IF_PRIVATE    (1U << 0)
#define CONV_IF_SHARED     (1U << 1)
#define CONV_IF_TOLD       (1U << 2) /* listeners are told */
#define CONV_NOTHING_TO_DO 1

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
	struct clo_vm_telling telling;
	const struct clo_dma_listener **listeners;
	struct conv_run *runs;
	struct clo_dma_range *ranges;
	unsigned listener_count, run_count, range_count;
	uint64_t told; /* pairs of listener and range, in this order */
	bool told_map;
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
	uint64_t *made;            /* NULL, or of them those that conv_frames_make() made */
	uint8_t *content;          /* zero policy with listeners: the bytes to put back */
	bool zero;
	bool splits; /* a huge folio has to be split */
};

struct conv {
	struct clo_vm *vm;
	bool to_private;
	bool dry_run;
	bool tell_dma;         /* the engine's own conversion; KVM's call tells nobody */
	bool by_gfn;           /* gfns say which parts */
	struct clo_range gfns; /* with by_gfn */
	enum conv_phase phase;
	bool done;
	struct conv_dma dma;
	/* In place. */
	struct conv_seg *segs;
	unsigned seg_count, seg_cap;
	struct conv_seg seg_inline;
	unsigned hidden; /* parts out of the views */
	/* Two backings. */
	struct clo_range locked; /* gfns, at least those */
	struct clo_rangelock_hold hold;
	struct clo_attr_reserve attr;
	struct clo_split_reserve split;
	/* Failure report. */
	struct clo_gmem *err_gmem;
	uint64_t err_index;
	uint64_t err_gfn; /* or UINT64_MAX */
	char holder[32];
	bool is_pinned;  /* this is why: err_gmem has the ticket */
	uint64_t ticket; /* clo_gmem_wait_blamed() */
};

/* conv_steps.c: up to @last (and with success all stays but what ends), then down. 0 or -errno. */
int conv_run(struct conv *c, const struct conv_step steps[CONV_PHASES],
	     enum conv_phase last) CLO_MUST_USE;

/* conv_plan.c */
void conv_init(struct conv *c, struct clo_vm *vm, bool to_private);
int conv_add_seg(struct conv *c, struct clo_gmem *g, struct clo_range index) CLO_MUST_USE;
/* Is there a file behind each of the gfns (to private)? -ENOENT: err_gfn is the first without. */
int conv_check_gfns(struct conv *c) CLO_MUST_USE;
/* Find the parts (by_gfn), lock their ranges. Then the bindings of these ranges stand still. */
int conv_lock_parts(struct conv *c) CLO_MUST_USE;
void conv_unlock_ranges(struct conv *c);
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
/* -EAGAIN pinned. Then, too, conv_frames_forget() unlocks. */
int conv_frames_lock(struct conv *c, struct conv_seg *seg) CLO_MUST_USE;
void conv_frames_unlock(struct conv_seg *seg);
void conv_frames_forget(struct conv_seg *seg);
/* They are unlocked already. */
void conv_frames_drop(struct conv_seg *seg);
int conv_frames_save_room(struct conv_seg *seg) CLO_MUST_USE; /* -ENOMEM */
/* Content of all collected folios, if there is room for it. Not before the guest has lost them. */
void conv_frames_save(struct conv_seg *seg);
void conv_frames_commit(struct conv *c, struct conv_seg *seg);
/* The collection is unlocked. */
void conv_frames_tell_inaccessible(struct conv *c, struct conv_seg *seg);
/* Before revert; false: a page is pinned, nothing is locked. */
bool conv_frames_relock(struct conv_seg *seg);
/* Private again, those that were made gone again; unlocked. */
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

/* conv_inplace.c: the parts are those of gfns (by_gfn) or were added. */
int conv_inplace(struct conv *c) CLO_MUST_USE;
/* After it, nothing held: host views of pages that have become shared. */
void conv_settle(struct conv *c);

/* conv_backings.c: the VM owns the attribute. !tell_dma: KVM's call, which frees nothing and asks
 * for no file. */
int conv_backings(struct conv *c) CLO_MUST_USE;

/* conv_listeners.c: from enter to leave the conversion tells these listeners, whoever is added or
 * removed meanwhile; who adds or removes waits for the leave. -ENOMEM. */
int conv_listeners_enter(struct conv *c) CLO_MUST_USE;
void conv_listeners_leave(struct conv *c);

/* conv_dma.c */
int conv_dma_collect_inplace(struct conv *c) CLO_MUST_USE; /* -ENOMEM */
int conv_dma_collect_gfns(struct conv *c) CLO_MUST_USE;    /* -ENOMEM */
void conv_dma_release(struct conv_dma *d);
/* Tell every listener of every range. One that refuses is named, and conv_dma_take_back() tells
 * those told before the opposite, last first; refusals of that are only counted. */
int conv_dma_tell(struct conv *c, bool map) CLO_MUST_USE;
void conv_dma_take_back(struct conv *c);
void conv_dma_restore_attr(struct conv_dma *d, bool is_private);

#endif
