/* SPDX-License-Identifier: Apache-2.0 */
/*
 * public/consumer.c - a program like a user's: the installed header, the shared library, nothing
 * else. Also compiled as C++.
 */
#include <cloister/cloister.h>

#include <stdio.h>
#include <string.h>

#define GPA   0x100000ULL
#define BYTES 0x10000ULL

static int failed(const char *what, long long ret)
{
	printf("not ok - %s: %lld\n", what, ret);
	return 1;
}

struct machine {
	struct clo_host *host;
	struct clo_vm *vm;
	struct clo_gmem *gmem;
	struct clo_vcpu *vcpu;
};

static int make(struct machine *m)
{
	struct clo_host_config hc;
	struct clo_vm_config vc;
	struct clo_region region;
	int ret;

	memset(&hc, 0, sizeof(hc));
	hc.size = sizeof(hc);
	hc.view = CLO_HOST_VIEW_SOFT;
	ret = clo_host_create(&hc, &m->host);
	if (ret)
		return failed("host", ret);
	memset(&vc, 0, sizeof(vc));
	vc.size = sizeof(vc);
	vc.type = CLO_VM_SW_PROTECTED;
	vc.attr_owner = CLO_ATTR_OWNER_GMEM;
	vc.flags = CLO_VM_TYPED_ACCESS;
	ret = clo_vm_create(m->host, &vc, &m->vm);
	if (ret)
		return failed("vm", ret);
	ret = clo_gmem_create(m->vm, BYTES, CLO_GMEM_MMAP, 0, &m->gmem);
	if (ret)
		return failed("guest_memfd", ret);
	memset(&region, 0, sizeof(region));
	region.size = sizeof(region);
	region.flags = CLO_MEM_GUEST_MEMFD;
	region.guest_phys_addr = GPA;
	region.memory_size = BYTES;
	region.gmem = m->gmem;
	ret = clo_vm_set_region(m->vm, &region);
	if (ret)
		return failed("memslot", ret);
	ret = clo_vcpu_create(m->vm, 0, &m->vcpu);
	return ret ? failed("vcpu", ret) : 0;
}

static int use(struct machine *m)
{
	char text[] = "private", back[sizeof(text)];
	struct clo_convert conv;
	int ret;

	ret = clo_vcpu_access(m->vcpu, GPA, text, sizeof(text),
			      CLO_ACCESS_PRIVATE | CLO_ACCESS_WRITE);
	if (ret)
		return failed("store", ret);
	ret = clo_gmem_host_access(m->gmem, 0, back, sizeof(back), false);
	if (ret == 0)
		return failed("the host reads a private page", ret);
	memset(&conv, 0, sizeof(conv));
	conv.size = sizeof(conv);
	conv.gpa = GPA;
	conv.bytes = BYTES;
	ret = clo_vm_convert(m->vm, &conv);
	if (ret)
		return failed("convert", ret);
	ret = clo_gmem_host_access(m->gmem, 0, back, sizeof(back), false);
	if (ret || memcmp(text, back, sizeof(text)) != 0)
		return failed("the host reads a shared page", ret);
	ret = clo_vcpu_access(m->vcpu, GPA, back, 1, CLO_ACCESS_PRIVATE);
	if (ret == 0 || clo_vcpu_exit(m->vcpu)->cause != CLO_CAUSE_MISMATCH)
		return failed("mismatch", ret);
	return 0;
}

int main(void)
{
	struct clo_leak_report report;
	struct machine m;
	int ret;

	memset(&report, 0, sizeof(report));
	report.size = sizeof(report);
	if (make(&m) || use(&m))
		return 1;
	ret = clo_vm_destroy(m.vm, &report);
	if (ret == 0)
		ret = clo_host_destroy(m.host);
	if (ret || report.leak_count)
		return failed("end", ret);
	printf("ok - cloister %s\n", clo_version());
	return 0;
}
