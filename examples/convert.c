/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert.c - one page of a guest, private, then shared with its host, then private again.
 *
 * With Cloister installed:
 *   cc -o convert convert.c $(pkg-config --cflags --libs cloister)
 *   ./convert
 */
#include <cloister/cloister.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE        ((uint64_t)4096)
#define GUEST_BYTES (16 * PAGE)
#define GPA         ((uint64_t)1 << 20) /* where guest memory begins */

/* Every call gives 0 or -errno; here any error ends the program. */
static void must(int ret, const char *what)
{
	if (ret == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-ret));
	exit(1);
}

/* What the host gets from the guest's first page by the file's own rules: "refused" while it is
 * private. A load through clo_gmem_mmap() would be SIGBUS then. */
static void host_look(struct clo_gmem *gmem, const char *when)
{
	char word[8] = "";
	int ret = clo_gmem_host_access(gmem, 0, word, sizeof(word), false);

	printf("%-24s host reads: %s\n", when, ret ? strerror(-ret) : word);
	if (ret && ret != -EFAULT)
		must(ret, "host access");
}

static void convert(struct clo_vm *vm, bool to_private)
{
	struct clo_convert c = {
		.size = sizeof(c),
		.flags = to_private ? CLO_CONVERT_TO_PRIVATE : 0,
		.gpa = GPA,
		.bytes = PAGE,
	};
	int ret = clo_vm_convert(vm, &c);

	if (ret)
		fprintf(stderr, "page at %#" PRIx64 ", held by %s\n", c.error_gpa,
			*c.holder ? c.holder : "nobody");
	must(ret, "conversion");
}

/* A VM whose guest_memfd owns private/shared, so that pages convert in place. Private at first. */
static struct clo_vm *make_guest(struct clo_host *host, struct clo_gmem **gmem, void *user)
{
	struct clo_vm_config config = {
		.size = sizeof(config),
		.type = CLO_VM_SW_PROTECTED,
		.attr_owner = CLO_ATTR_OWNER_GMEM,
	};
	struct clo_region slot = {
		.size = sizeof(slot),
		.slot = 0,
		.flags = CLO_MEM_GUEST_MEMFD,
		.guest_phys_addr = GPA,
		.memory_size = GUEST_BYTES,
		.userspace_addr = (uintptr_t)user,
	};
	struct clo_vm *vm;

	must(clo_vm_create(host, &config, &vm), "VM");
	must(clo_gmem_create(vm, GUEST_BYTES, CLO_GMEM_MMAP, 0, gmem), "guest_memfd");
	slot.gmem = *gmem;
	must(clo_vm_set_region(vm, &slot), "memslot");
	return vm;
}

int main(void)
{
	/* Shared pages of a file with CLO_GMEM_MMAP are in the file; this stands behind the memslot
	 * as KVM wants it. */
	void *user =
		mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct clo_leak_report report = { .size = sizeof(report) };
	struct clo_vcpu *vcpu;
	struct clo_host *host;
	struct clo_gmem *gmem;
	struct clo_vm *vm;
	char word[8] = "";

	if (user == MAP_FAILED)
		must(-errno, "mmap");
	must(clo_host_create(NULL, &host), "host");
	vm = make_guest(host, &gmem, user);
	must(clo_vcpu_create(vm, 0, &vcpu), "vCPU");

	memcpy(word, "secret", 7);
	must(clo_vcpu_access(vcpu, GPA, word, sizeof(word), CLO_ACCESS_WRITE), "guest store");
	host_look(gmem, "private:");

	convert(vm, false);
	host_look(gmem, "shared by the guest:");
	must(clo_gmem_host_access(gmem, 0, memcpy(word, "answer", 7), sizeof(word), true),
	     "host store");

	convert(vm, true);
	host_look(gmem, "private again:");
	memset(word, 0, sizeof(word));
	must(clo_vcpu_access(vcpu, GPA, word, sizeof(word), 0), "guest load");
	printf("%-24s guest reads: %s\n", "", word);

	clo_vm_destroy(vm, &report);
	printf("%-24s %" PRIu64 " pages backed twice, %" PRIu64 " pins left\n",
	       "at the end:", report.backed_twice, report.pins_left);
	must(clo_host_destroy(host), "end of the host");
	munmap(user, GUEST_BYTES);
	return 0;
}
