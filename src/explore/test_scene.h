/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explore/test_scene.h - small programs over the real engine for the explorer's tests: one VM, one
 * file, up to three threads, the invariants checked after each step.
 */
#ifndef CLO_EXPLORE_TEST_SCENE_H
#define CLO_EXPLORE_TEST_SCENE_H

#include "explore/explore.h"

#include "cloister/cloister.h"
#include "harness/test.h"

#define PAGE   4096ULL
#define GPA    0x10000ULL
#define PAGES  4ULL
#define SECRET 0x5ec2e7ULL

struct world;
typedef void (*body)(struct world *w, unsigned self);

/* A scene: how the VM is made, what runs at once, what must be true at the end. */
struct scene {
	uint32_t owner, vm_flags;
	uint64_t gmem_flags;
	const struct clo_vm_hooks *hooks; /* or NULL; the world is their arg */
	body setup;
	body threads[3];
	body after; /* when they have ended, while the VM is there; or NULL */
	/* NULL or what is wrong. */
	const char *(*judge)(struct world *w);
};

/* One run of a scene. */
struct world {
	const struct scene *scene;
	struct clo_host *host;
	struct clo_vm *vm;
	struct clo_gmem *gmem;
	struct clo_vcpu *vcpu[2];
	struct clo_gmem_pin *pin;
	int ret[3];
	uint64_t value[3];
	bool held[PAGES];  /* the hooks' books: given to the guest */
	const char *wrong; /* what the hooks found */
	bool up;           /* host is valid */
};

/* All interleavings with @preemptions: none violates anything. */
void scene_holds(const struct scene *scene, unsigned preemptions);
/* With @which broken the search must find a violation of one of @invariants ("I5 I1"). */
void scene_found(const struct scene *scene, unsigned preemptions, enum clo_break which,
		 const char *invariants);
/* Without the read section that begins at @site the search must find a use of freed memory. */
void scene_needs_section(const struct scene *scene, unsigned preemptions, const char *site);

/* Ends the run when @ret is an error: set-up must work. */
void scene_must(int ret);
/* The memslot, which do_slot_delete() has taken away. */
void scene_slot(struct world *w);
/* The first page. */
int scene_convert(struct world *w, bool to_private);

/* What threads do. */
void do_guest_load(struct world *w, unsigned self);
void do_guest_load_shared(struct world *w, unsigned self);
void do_guest_store(struct world *w, unsigned self);
void do_to_shared(struct world *w, unsigned self);
void do_to_private(struct world *w, unsigned self);
void do_punch(struct world *w, unsigned self);
void do_slot_delete(struct world *w, unsigned self);
void do_host_load(struct world *w, unsigned self);
void do_pin(struct world *w, unsigned self);

/* Set-ups: the first page is private and holds the secret; it is private. */
void set_secret_inside(struct world *w, unsigned self);
void set_private(struct world *w, unsigned self);

#endif
