/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm.c - the memory half of a small VMM: vCPU threads, exits, pages shared with a device, DMA.
 *
 *   cc -o vmm vmm.c $(pkg-config --cflags --libs cloister) -pthread
 *   ./vmm               two backings: shared pages are the VMM's own memory
 *   ./vmm --in-place    one backing: shared pages are in the guest_memfd, mapped by the VMM
 *
 * Memory is private at first. Each guest shares a page with the device, puts a request there, rings
 * a doorbell (MMIO), reads the answer and makes the page private again. Even vCPUs ask for each
 * conversion by hypercall; odd ones just access the page the other way, which is a memory fault.
 */
#include <cloister/cloister.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE        ((uint64_t)4096)
#define GUEST_BYTES (256 * PAGE)
#define DOORBELL    ((uint64_t)0xfe000000) /* no memslot is there: an access is MMIO */
#define VCPUS       4
#define ROUNDS      100

struct request {
	uint32_t bytes;
	char text[60];
};

struct vmm {
	struct clo_vm *vm;
	struct clo_gmem *gmem;
	bool in_place;
	void *shared; /* where the VMM and its devices find the page of gpa 0 if it is shared */
	struct clo_gmem_pin *pins[GUEST_BYTES / PAGE]; /* an entry is of who converts the page */
	atomic_ulong doorbells, hypercalls, faults, mapped, unmapped;
};

struct cpu {
	struct vmm *vmm;
	struct clo_vcpu *vcpu;
	pthread_t thread;
	uint64_t page; /* gpa of what it shares */
};

/* For what cannot fail in a program without bugs, as vCPU threads have nobody to return it to. */
static void must(int64_t ret, const char *what)
{
	if (ret == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, ret < 0 ? strerror((int)-ret) : "unexpected");
	exit(1);
}

/* DMA as VFIO does it: pin what is mapped, page by page, since so it is asked back. */
static int dma_unmap(void *arg, const struct clo_dma_range *r)
{
	struct vmm *vmm = arg;

	for (uint64_t gpa = r->gpa; gpa < r->gpa + r->bytes; gpa += PAGE) {
		clo_gmem_unpin(vmm->pins[gpa / PAGE]); /* NULL is nothing */
		vmm->pins[gpa / PAGE] = NULL;
		vmm->unmapped++;
	}
	return 0;
}

static int dma_map(void *arg, const struct clo_dma_range *r)
{
	struct vmm *vmm = arg;
	struct clo_dma_range part = { .gpa = r->gpa };

	for (; part.bytes < r->bytes; part.bytes += PAGE) {
		uint64_t gpa = r->gpa + part.bytes, off = r->gmem_offset + part.bytes;
		struct clo_gmem_pin **pin = &vmm->pins[gpa / PAGE];
		/* Without a file it is the VMM's memory at r->hva, which stays where it is. */
		int ret = r->gmem ? clo_gmem_pin_nowait(r->gmem, off, PAGE, "vfio0", pin, NULL) : 0;

		if (ret) {
			(void)dma_unmap(vmm, &part);
			return ret; /* the conversion is undone */
		}
		vmm->mapped++;
	}
	return 0;
}

static int convert(struct vmm *vmm, uint64_t gpa, uint64_t bytes, bool to_private)
{
	struct clo_convert c = {
		.size = sizeof(c),
		.flags = to_private ? CLO_CONVERT_TO_PRIVATE : 0,
		.gpa = gpa,
		.bytes = bytes,
		.wait_ns = 1000000000, /* for a device that is slow to unpin */
	};
	int ret = clo_vm_convert(vmm->vm, &c);

	if (ret)
		fprintf(stderr, "gpa %#" PRIx64 ": %s, held by %s\n", c.error_gpa, strerror(-ret),
			*c.holder ? c.holder : "nobody");
	return ret;
}

/* The device answers in capitals. A guest that makes the page private meanwhile is SIGBUS here when
 * in place; a VMM that must survive that uses clo_gmem_host_access(). */
static int doorbell(struct vmm *vmm, uint64_t gpa)
{
	struct request *shared = (void *)((char *)vmm->shared + gpa);
	uint32_t bytes;

	if (gpa >= GUEST_BYTES || gpa % PAGE)
		return -EINVAL;
	bytes = *(volatile uint32_t *)&shared->bytes;
	for (uint32_t i = 0; i < bytes && i < sizeof(shared->text); i++)
		shared->text[i] = (char)toupper((unsigned char)shared->text[i]);
	vmm->doorbells++;
	return 0;
}

/* KVM_RUN and the switch behind it: until the guest's access is done. */
static void access_guest(struct cpu *cpu, uint64_t gpa, void *buf, size_t bytes, uint32_t flags)
{
	for (;;) {
		int ret = clo_vcpu_access(cpu->vcpu, gpa, buf, bytes, flags);
		const struct clo_exit *e = clo_vcpu_exit(cpu->vcpu);

		if (ret == 1 && e->reason == CLO_EXIT_MMIO && e->mmio.gpa == DOORBELL)
			ret = doorbell(cpu->vmm, *(uint64_t *)buf);
		if (ret == 0)
			return;
		if (e->reason != CLO_EXIT_MEMORY_FAULT || e->cause != CLO_CAUSE_MISMATCH)
			must(ret, clo_fault_cause_text(e->cause));
		/* The page is not of the kind of the access: make it so, and resume. */
		must(convert(cpu->vmm, e->memory_fault.gpa, e->memory_fault.size,
			     e->memory_fault.flags & CLO_MEMORY_EXIT_FLAG_PRIVATE),
		     "implicit conversion");
		cpu->vmm->faults++;
	}
}

static void hypercall(struct cpu *cpu, uint64_t attrs)
{
	int64_t rax = clo_vcpu_map_gpa_range(cpu->vcpu, cpu->page, 1, attrs);
	const struct clo_exit *e = clo_vcpu_exit(cpu->vcpu);

	if (rax == 1 && e->reason == CLO_EXIT_HYPERCALL) {
		const uint64_t *a = e->hypercall.args;

		rax = convert(cpu->vmm, a[0], a[1] * PAGE, a[2] & CLO_MAP_GPA_ENCRYPTED);
		rax = clo_vcpu_complete_hypercall(cpu->vcpu, (uint64_t)rax);
		cpu->vmm->hypercalls++;
	}
	must(rax, "hypercall");
}

static void *guest(void *arg)
{
	struct cpu *cpu = arg;
	uint64_t secret = cpu->page + 128 * PAGE; /* never shared */
	const uint32_t put = CLO_ACCESS_WRITE, private = CLO_ACCESS_PRIVATE;
	bool asks = cpu->page / PAGE % 2 == 0;

	for (uint64_t round = 0; round < ROUNDS; round++) {
		struct request req = { .bytes = 5, .text = "hello" };
		uint64_t word = round;

		access_guest(cpu, secret, &word, sizeof(word), put | private);
		if (asks)
			hypercall(cpu, 0);
		access_guest(cpu, cpu->page, &req, sizeof(req), put);
		word = cpu->page;
		access_guest(cpu, DOORBELL, &word, sizeof(word), put);
		access_guest(cpu, cpu->page, &req, sizeof(req), 0);
		must(memcmp(req.text, "HELLO", 5), "answer of the device");
		if (asks)
			hypercall(cpu, CLO_MAP_GPA_ENCRYPTED);
		access_guest(cpu, cpu->page, &req, sizeof(req), put | private);
		access_guest(cpu, secret, &word, sizeof(word), private);
		must(word != round, "secret");
	}
	return NULL;
}

static void make_guest(struct vmm *vmm, struct clo_host *host)
{
	int prot = PROT_READ | PROT_WRITE;
	void *ram = mmap(NULL, GUEST_BYTES, prot, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct clo_vm_config config = {
		.size = sizeof(config),
		.type = CLO_VM_SW_PROTECTED,
		.attr_owner = vmm->in_place ? CLO_ATTR_OWNER_GMEM : CLO_ATTR_OWNER_VM,
		.flags = CLO_VM_TYPED_ACCESS,
		.exit_hypercall = 1,
	};
	struct clo_region slot = {
		.size = sizeof(slot),
		.flags = CLO_MEM_GUEST_MEMFD,
		.memory_size = GUEST_BYTES,
		.userspace_addr = (uintptr_t)ram,
	};
	uint64_t flags = vmm->in_place ? CLO_GMEM_MMAP : 0;

	must(ram == MAP_FAILED, "mmap");
	vmm->shared = ram;
	must(clo_vm_create(host, &config, &vmm->vm), "VM");
	must(clo_gmem_create(vmm->vm, GUEST_BYTES, flags, 0, &vmm->gmem), "guest_memfd");
	slot.gmem = vmm->gmem;
	must(clo_vm_set_region(vmm->vm, &slot), "memslot");
	if (vmm->in_place) /* EOPNOTSUPP: see `cloister doctor` */
		must(clo_gmem_mmap(vmm->gmem, 0, GUEST_BYTES, true, &vmm->shared), "mapping");
	else /* KVM's attributes begin as shared, a guest_memfd as private */
		must(convert(vmm, 0, GUEST_BYTES, true), "private memory");
}

int main(int argc, char **argv)
{
	static struct vmm vmm;
	struct clo_dma_listener vfio = {
		.size = sizeof(vfio),
		.name = "vfio0",
		.map = dma_map,
		.unmap = dma_unmap,
		.arg = &vmm,
	};
	struct clo_leak_report leaks = { .size = sizeof(leaks) };
	struct clo_host *host;
	struct cpu cpus[VCPUS];

	vmm.in_place = argc > 1 && strcmp(argv[1], "--in-place") == 0;
	must(clo_host_create(NULL, &host), "host");
	make_guest(&vmm, host);
	must(clo_vm_add_dma_listener(vmm.vm, &vfio), "listener");
	for (unsigned i = 0; i < VCPUS; i++) {
		cpus[i] = (struct cpu){ .vmm = &vmm, .page = i * PAGE };
		must(clo_vcpu_create(vmm.vm, i, &cpus[i].vcpu), "vCPU");
		must(-pthread_create(&cpus[i].thread, NULL, guest, &cpus[i]), "thread");
	}
	for (unsigned i = 0; i < VCPUS; i++)
		must(-pthread_join(cpus[i].thread, NULL), "thread");
	printf("%s: %lu doorbells, %lu hypercalls, %lu memory faults\n",
	       vmm.in_place ? "in place" : "two backings", vmm.doorbells, vmm.hypercalls,
	       vmm.faults);
	printf("DMA: %lu pages mapped, %lu unmapped\n", vmm.mapped, vmm.unmapped);

	clo_vm_destroy(vmm.vm, &leaks);
	printf("leaks: %" PRIu64 " pages backed twice, %" PRIu64 " pins, %" PRIu64 " frames\n",
	       leaks.backed_twice, leaks.pins_left, leaks.frames_lost);
	must(clo_host_destroy(host), "host");
	return leaks.leak_count ? 1 : 0;
}
