/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/cmd_doctor.c - `cloister doctor`: what this host permits, found by trying.
 */
#include "cli.h"

#include "view/view.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct finding {
	const char *what;
	const char *without; /* what is missed without it */
	int error;           /* 0 or -errno */
};

static const char *const protects[CLO_VIEW_LEVEL_COUNT] = {
	[CLO_VIEW_AUTO] = "",
	[CLO_VIEW_UFFD] = "a private page is poisoned in the VMM's mapping: load and store SIGBUS, "
			  "system calls EFAULT; no mapping per page",
	[CLO_VIEW_REMAP] = "a private range is mapped beyond the end of an empty file: load and "
			   "store SIGBUS, system calls EFAULT; each "
			   "boundary costs a mapping (vm.max_map_count)",
	[CLO_VIEW_SOFT] = "no mapping of guest memory at all: the VMM reads and writes by "
			  "clo_gmem_host_access() only",
};

static void text(const struct finding *f, size_t n, const struct clo_view_probe *p)
{
	for (size_t i = 0; i < n; i++) {
		if (f[i].error == 0)
			printf("  yes  %s\n", f[i].what);
		else
			printf("  no   %s: %s (%s)\n", f[i].what, strerror(-f[i].error),
			       f[i].without);
	}
	printf("\n  free huge pages: %" PRIu64 " of 2M, %" PRIu64 " of 1G; vm.max_map_count ",
	       p->hugetlb_2m_free, p->hugetlb_1g_free);
	if (p->max_map_count)
		printf("%" PRIu64 "\n", p->max_map_count);
	else
		printf("unknown: no /proc\n");
	printf("\nHost view level: %s\n  %s.\n", clo_view_level_name(p->best), protects[p->best]);
	if (p->memfd)
		printf("  For a better level: the filter of this container must permit "
		       "memfd_create(2).\n");
	else if (p->best != CLO_VIEW_UFFD)
		printf("  For the best level: run as root, or set vm.unprivileged_userfaultfd=1, "
		       "or "
		       "give access to\n  /dev/userfaultfd; in a container its seccomp filter must "
		       "permit userfaultfd(2) too.\n");
	else if (p->user_mode_only)
		printf("  Only for user mode: a system call that meets a shared page for the first "
		       "time gets EFAULT; touch it first.\n");
	printf("  This guards one process against accidents, not against a hostile VMM.\n");
}

static struct json_object *to_json(const struct finding *f, size_t n,
				   const struct clo_view_probe *p)
{
	struct json_object *o = json_object_new_object(), *checks = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		struct json_object *one = json_object_new_object();

		json_object_object_add(one, "what", json_object_new_string(f[i].what));
		json_object_object_add(one, "works", json_object_new_boolean(f[i].error == 0));
		json_object_object_add(
			one, "error",
			json_object_new_string(f[i].error ? strerror(-f[i].error) : ""));
		json_object_object_add(one, "without", json_object_new_string(f[i].without));
		json_object_array_add(checks, one);
	}
	json_object_object_add(o, "checks", checks);
	json_object_object_add(o, "free_2m_pages", json_object_new_uint64(p->hugetlb_2m_free));
	json_object_object_add(o, "free_1g_pages", json_object_new_uint64(p->hugetlb_1g_free));
	json_object_object_add(o, "max_map_count", json_object_new_uint64(p->max_map_count));
	json_object_object_add(o, "level", json_object_new_string(clo_view_level_name(p->best)));
	json_object_object_add(o, "protects", json_object_new_string(protects[p->best]));
	json_object_object_add(o, "user_mode_only", json_object_new_boolean(p->user_mode_only));
	return o;
}

int cli_doctor(const struct cli_options *opt, int argc, char **argv)
{
	struct clo_view_probe p;
	int ret = cli_only_args(argc, argv, 0);

	if (ret)
		return ret;
	clo_view_probe(&p);
	const struct finding f[] = {
		{ "userfaultfd", "host views need a mapping per boundary", p.userfaultfd },
		{ "userfaultfd MINOR on memfd", "shared pages cannot be given one by one",
		  p.minor_shmem },
		{ "userfaultfd MINOR on huge pages", "host views of huge pages are off",
		  p.minor_hugetlb },
		{ "userfaultfd POISON", "private pages cannot be poisoned", p.poison },
		{ "userfaultfd write protection, asynchronous", "used for dirty tracking only",
		  p.wp_async },
		{ "memfd", "no host mapping of guest memory", p.memfd },
		{ "memfd of 2M pages", "hugetlb hosts are off", p.hugetlb_2m },
		{ "memfd of 1G pages", "1G folios are made of small pages", p.hugetlb_1g },
	};

	if (opt->json)
		cli_print_json(to_json(f, sizeof(f) / sizeof(f[0]), &p));
	else
		text(f, sizeof(f) / sizeof(f[0]), &p);
	return CLI_OK;
}
