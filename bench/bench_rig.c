/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench_rig.c - making a guest and driving it; whatever fails ends the program. */
#include "bench_rig.h"

#include <string.h>
#include <sys/mman.h>

#include "bench.h"

static void must(int ret, const char *what)
{
	if (ret != 0)
		bench_die("%s: %s", what, ret < 0 ? strerror(-ret) : "an exit");
}

void rig_slot(struct rig *g, bool there)
{
	struct clo_region r = {
		.size = sizeof(r),
		.flags = CLO_MEM_GUEST_MEMFD,
		.guest_phys_addr = RIG_GPA,
		.memory_size = there ? g->cfg.bytes : 0,
		.userspace_addr = (uintptr_t)g->user,
		.gmem = g->gmem,
	};

	must(clo_vm_set_region(g->vm, &r), "clo_vm_set_region");
}

void rig_make(struct rig *g, struct rig_config cfg)
{
	struct clo_host_config host = { .size = sizeof(host), .view = cfg.host_view };
	struct clo_vm_config vm = { .size = sizeof(vm),
				    .type = CLO_VM_SW_PROTECTED,
				    .attr_owner = cfg.owner };
	uint64_t flags = cfg.flags;

	/* Else shared pages would be the VMM's own memory: nothing would be in place. */
	if (cfg.owner == CLO_ATTR_OWNER_GMEM)
		flags |= CLO_GMEM_MMAP;
	*g = (struct rig){ .cfg = cfg };
	g->user = mmap(NULL, cfg.bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (g->user == MAP_FAILED)
		bench_die("no memory for the guest");
	must(clo_host_create(&host, &g->host), "clo_host_create");
	must(clo_vm_create(g->host, &vm, &g->vm), "clo_vm_create");
	must(clo_gmem_create(g->vm, cfg.bytes, flags, cfg.page_order, &g->gmem), "clo_gmem_create");
	if (cfg.view)
		must(clo_gmem_mmap(g->gmem, 0, cfg.bytes, true, &g->view), "clo_gmem_mmap");
	rig_slot(g, true);
	for (unsigned i = 0; i < RIG_THREADS; i++)
		must(clo_vcpu_create(g->vm, i, &g->vcpu[i]), "clo_vcpu_create");
	if (cfg.owner == CLO_ATTR_OWNER_VM)
		rig_convert(g, 0, cfg.bytes, true);
}

void rig_free(struct rig *g)
{
	if (g->view)
		must(clo_gmem_munmap(g->gmem, g->view, g->cfg.bytes), "clo_gmem_munmap");
	clo_vm_destroy(g->vm, NULL);
	must(clo_host_destroy(g->host), "clo_host_destroy");
	munmap(g->user, g->cfg.bytes);
}

void rig_touch(struct rig *g, unsigned vcpu, uint64_t off, uint64_t bytes, uint64_t stride)
{
	uint64_t word = off;

	for (uint64_t at = off; at < off + bytes; at += stride)
		must(clo_vcpu_access(g->vcpu[vcpu], RIG_GPA + at, &word, sizeof(word),
				     CLO_ACCESS_WRITE),
		     "clo_vcpu_access");
}

void rig_convert(struct rig *g, uint64_t off, uint64_t bytes, bool to_private)
{
	struct clo_convert c = { .size = sizeof(c),
				 .flags = to_private ? CLO_CONVERT_TO_PRIVATE : 0,
				 .gpa = RIG_GPA + off,
				 .bytes = bytes };

	must(clo_vm_convert(g->vm, &c), "clo_vm_convert");
}

void rig_punch(struct rig *g, uint64_t off, uint64_t bytes)
{
	must(clo_gmem_fallocate(g->gmem, CLO_FALLOC_KEEP_SIZE | CLO_FALLOC_PUNCH_HOLE, (int64_t)off,
				(int64_t)bytes),
	     "clo_gmem_fallocate");
}
