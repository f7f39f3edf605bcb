/* SPDX-License-Identifier: Apache-2.0 */
/*
 * implicit.c - conversions that cannot be done at once, and what a VMM does then.
 *
 *   cc -o implicit implicit.c $(pkg-config --cflags --libs cloister) -pthread
 *   ./implicit
 *
 * On TDX and SNP the guest's access says whether it means private or shared memory. An access of
 * the other kind exits with a memory fault, and the host must convert (mail 3). Here a device holds
 * the page, then another one refuses it; after each refusal nothing has changed.
 */
#include <cloister/cloister.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE        ((uint64_t)4096)
#define GUEST_BYTES (16 * PAGE)

static void must(int ret, const char *what)
{
	if (ret == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-ret));
	exit(1);
}

/* The guest stores a byte to its first page; prints how KVM_RUN would have returned. */
static int store(struct clo_vcpu *vcpu, uint32_t kind)
{
	char byte = 'x';
	int ret = clo_vcpu_access(vcpu, 0, &byte, 1, CLO_ACCESS_WRITE | kind);
	const struct clo_exit *e = clo_vcpu_exit(vcpu);

	printf("%s store: ", kind ? "private" : "shared");
	if (ret == 0)
		printf("done\n");
	else
		printf("exit %d, gpa %#" PRIx64 ", wants %s, cause: %s\n", (int)e->reason,
		       e->memory_fault.gpa,
		       e->memory_fault.flags & CLO_MEMORY_EXIT_FLAG_PRIVATE ? "private" : "shared",
		       clo_fault_cause_text(e->cause));
	return ret;
}

static int convert(struct clo_vm *vm, uint32_t flags, uint64_t wait_ns)
{
	struct clo_convert c = {
		.size = sizeof(c),
		.flags = flags,
		.bytes = GUEST_BYTES,
		.wait_ns = wait_ns,
	};
	int ret = clo_vm_convert(vm, &c);

	printf("  to %s%s%s: ", flags & CLO_CONVERT_TO_PRIVATE ? "private" : "shared",
	       flags & CLO_CONVERT_DRY_RUN ? ", dry run" : "", wait_ns ? ", waiting" : "");
	if (ret == 0)
		printf("done\n");
	else
		printf("%s at gpa %#" PRIx64 ", because of %s\n", strerror(-ret), c.error_gpa,
		       *c.holder ? c.holder : "nobody");
	return ret;
}

static const char *kind_of(struct clo_vm *vm)
{
	uint64_t attributes, same;

	must(clo_vm_get_attributes(vm, 0, GUEST_BYTES, &attributes, &same), "attributes");
	if (same != GUEST_BYTES)
		return "mixed";
	return attributes & CLO_ATTR_PRIVATE ? "private" : "shared";
}

/* The device completes its I/O in its own time. */
static void *complete(void *pin)
{
	clo_gmem_unpin(pin);
	return NULL;
}

/* An IOMMU that is out of mappings, as VFIO's at 65535 of them. */
static int refuse(void *arg, const struct clo_dma_range *r)
{
	(void)arg;
	(void)r;
	return -ENOSPC;
}

static int accept_unmap(void *arg, const struct clo_dma_range *r)
{
	(void)arg;
	(void)r;
	return 0;
}

static struct clo_vm *make_guest(struct clo_host *host, struct clo_gmem **gmem)
{
	struct clo_vm_config config = {
		.size = sizeof(config),
		.type = CLO_VM_SW_PROTECTED,
		.attr_owner = CLO_ATTR_OWNER_GMEM,
		.flags = CLO_VM_TYPED_ACCESS,
	};
	struct clo_region slot = { .size = sizeof(slot),
				   .flags = CLO_MEM_GUEST_MEMFD,
				   .memory_size = GUEST_BYTES };
	struct clo_vm *vm;

	must(clo_vm_create(host, &config, &vm), "VM");
	must(clo_gmem_create(vm, GUEST_BYTES, CLO_GMEM_MMAP, 0, gmem), "guest_memfd");
	slot.gmem = *gmem;
	must(clo_vm_set_region(vm, &slot), "memslot");
	return vm;
}

int main(void)
{
	static const struct clo_dma_listener full = {
		.size = sizeof(full),
		.name = "vfio1",
		.map = refuse,
		.unmap = accept_unmap,
	};
	struct clo_gmem_pin *pin;
	struct clo_host *host;
	struct clo_gmem *gmem;
	struct clo_vcpu *vcpu;
	struct clo_vm *vm;
	pthread_t device;

	must(clo_host_create(NULL, &host), "host");
	vm = make_guest(host, &gmem);
	must(clo_vcpu_create(vm, 0, &vcpu), "vCPU");

	printf("-- the guest touches private memory as shared\n");
	if (store(vcpu, 0) == -EFAULT)
		must(convert(vm, 0, 0), "conversion");
	must(store(vcpu, 0), "resume");

	printf("-- a device has the third page pinned\n");
	must(clo_gmem_pin(gmem, 2 * PAGE, PAGE, "vfio0", &pin, NULL), "pin");
	if (store(vcpu, CLO_ACCESS_PRIVATE) != -EFAULT)
		must(-EINVAL, "memory fault");
	/* Would it work? Without a change, so that a VMM can ask before it tells anybody. */
	if (convert(vm, CLO_CONVERT_TO_PRIVATE | CLO_CONVERT_DRY_RUN, 0) != -EAGAIN ||
	    convert(vm, CLO_CONVERT_TO_PRIVATE, 0) != -EAGAIN)
		must(-EINVAL, "refusal");
	printf("  all is %s as before\n", kind_of(vm));
	must(-pthread_create(&device, NULL, complete, pin), "thread");
	must(convert(vm, CLO_CONVERT_TO_PRIVATE, UINT64_MAX), "conversion");
	must(-pthread_join(device, NULL), "thread");
	must(store(vcpu, CLO_ACCESS_PRIVATE), "resume");

	printf("-- a listener refuses to map the shared pages\n");
	must(clo_vm_add_dma_listener(vm, &full), "listener");
	if (store(vcpu, 0) != -EFAULT || convert(vm, 0, 0) != -ENOSPC)
		must(-EINVAL, "refusal");
	printf("  all is %s as before\n", kind_of(vm));
	must(store(vcpu, CLO_ACCESS_PRIVATE), "private access");
	must(clo_vm_remove_dma_listener(vm, &full), "listener");
	must(convert(vm, 0, 0), "conversion");

	clo_vm_destroy(vm, NULL);
	must(clo_host_destroy(host), "host");
	return 0;
}
