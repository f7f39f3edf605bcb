/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/host.c - the simulated host: frame pool, host views, VM ids.
 */
#include "vm_internal.h"

#include <errno.h>
#include <sys/resource.h>

#define DEFAULT_MEM_BYTES (64ULL << 30)
#define LEAST_MEM_BYTES   (16ULL << 20)
#define VM_ID_END         65536U
static const enum clo_view_level view_of_config[] = {
	[CLO_HOST_VIEW_AUTO] = CLO_VIEW_AUTO,
	[CLO_HOST_VIEW_UFFD] = CLO_VIEW_UFFD,
	[CLO_HOST_VIEW_REMAP] = CLO_VIEW_REMAP,
	[CLO_HOST_VIEW_SOFT] = CLO_VIEW_SOFT,
};

/* A pool takes 4 times its memory, and the VMM wants to live too. */
static uint64_t within(uint64_t bytes, struct rlimit r)
{
	if (r.rlim_cur == RLIM_INFINITY || r.rlim_cur / 16 >= bytes)
		return bytes;
	return r.rlim_cur / 16;
}

/* Under ulimit -v or -f the default is what they leave room for. */
static uint64_t default_mem(void)
{
	uint64_t bytes = DEFAULT_MEM_BYTES;
	struct rlimit r;

	if (getrlimit(RLIMIT_AS, &r) == 0)
		bytes = within(bytes, r);
	if (getrlimit(RLIMIT_FSIZE, &r) == 0)
		bytes = within(bytes, r);
	return bytes < LEAST_MEM_BYTES ? LEAST_MEM_BYTES : clo_align_down(bytes, LEAST_MEM_BYTES);
}

static int host_check_config(const struct clo_host_config *cfg, struct clo_host_config *out)
{
	*out = (struct clo_host_config){ .size = sizeof(*out) };
	if (cfg) {
		int ret = clo_struct_in(out, sizeof(*out), cfg, CLO_HOST_CONFIG_SIZE_VER0);

		if (ret)
			return ret;
	}
	if (out->mem_bytes == 0)
		out->mem_bytes = default_mem();
	if (out->view >= CLO_ARRAY_SIZE(view_of_config))
		return clo_fail(-EINVAL, CLO_REASON_VALUE, "clo_host_config.view");
	if (out->reserved != 0)
		return clo_fail(-EINVAL, CLO_REASON_RESERVED, "clo_host_config.reserved");
	if (out->hugetlb > 1)
		return clo_fail(-EINVAL, CLO_REASON_VALUE, "clo_host_config.hugetlb");
	if (!clo_is_aligned(out->mem_bytes, CLO_PAGE_SIZE))
		return clo_fail(-EINVAL, CLO_REASON_ALIGN, "clo_host_config.mem_bytes");
	return 0;
}

static int host_make_pool(struct clo_host *host, const struct clo_host_config *cfg)
{
	uint64_t frames = cfg->mem_bytes >> CLO_PAGE_SHIFT;
	enum clo_pool_kind kind = cfg->view == CLO_HOST_VIEW_SOFT ? CLO_POOL_ANON
				  : cfg->hugetlb                  ? CLO_POOL_HUGETLB
								  : CLO_POOL_MEMFD;
	int ret = clo_pagedb_create(kind, frames, 0, &host->db);

	/* No memfd on this machine: no mappings then. */
	if (ret && ret != -ENOMEM && ret != -EINVAL && cfg->view == CLO_HOST_VIEW_AUTO &&
	    kind == CLO_POOL_MEMFD)
		ret = clo_pagedb_create(CLO_POOL_ANON, frames, 0, &host->db);
	if (ret)
		return ret;
	ret = clo_view_host_create(host->db, view_of_config[cfg->view], &host->views);
	if (ret)
		clo_pagedb_destroy(host->db);
	return ret;
}

static int host_create(const struct clo_host_config *cfg, struct clo_host **out)
{
	struct clo_host_config c;
	struct clo_host *host;
	int ret = host_check_config(cfg, &c);

	if (ret)
		return ret;
	ret = clo_rcu_usable();
	if (ret)
		return ret;
	if (clo_fork_watch())
		return clo_fail_heap("pthread_atfork");
	host = clo_alloc(sizeof(*host));
	if (!host)
		return clo_fail_heap("host");
	ret = host_make_pool(host, &c);
	if (ret) {
		clo_free(host);
		return ret;
	}
	host->fork_gen = clo_fork_now();
	clo_mutex_init(&host->lock, CLO_RANK_HOST, "host");
	*out = host;
	return 0;
}

int clo_host_create(const struct clo_host_config *cfg, struct clo_host **out)
{
	int cancel = clo_cancel_off();
	int ret = host_create(cfg, out);

	clo_cancel_restore(cancel);
	return ret;
}

int clo_host_destroy(struct clo_host *host)
{
	int cancel;
	bool busy;

	if (!host || clo_forked(host->fork_gen))
		return 0;
	clo_mutex_lock(&host->lock);
	busy = host->vms != NULL;
	clo_mutex_unlock(&host->lock);
	if (busy)
		return -EBUSY;
	clo_rcu_barrier();
	cancel = clo_cancel_off();
	clo_view_host_destroy(host->views);
	clo_pagedb_destroy(host->db);
	clo_cancel_restore(cancel);
	clo_mutex_destroy(&host->lock);
	clo_free(host);
	return 0;
}

uint32_t clo_host_view(const struct clo_host *host)
{
	enum clo_view_level level = clo_view_host_level(host->views);

	for (uint32_t i = 0; i < CLO_ARRAY_SIZE(view_of_config); i++) {
		if (view_of_config[i] == level)
			return i;
	}
	return CLO_HOST_VIEW_AUTO;
}

int clo_host_stats(const struct clo_host *host, struct clo_host_stats *out)
{
	struct clo_pagedb_stats s;
	struct clo_host_stats h;

	if (clo_forked(host->fork_gen))
		return -EIO;
	clo_pagedb_stats(host->db, &s);
	h = (struct clo_host_stats){
		.frames_limit = s.frames_limit,
		.frames_used = s.frames_used,
		.frames_leaked = s.frames_leaked,
	};
	return clo_struct_out(out, &h, sizeof(h), CLO_HOST_STATS_SIZE_VER0);
}

int clo_host_id_take(struct clo_host *host, struct clo_vm *vm)
{
	uint32_t id = 1;

	clo_mutex_lock(&host->lock);
	while (id < VM_ID_END && (host->id_used[id / 8] & (1U << id % 8)))
		id++;
	if (id < VM_ID_END) {
		host->id_used[id / 8] |= (uint8_t)(1U << id % 8);
		vm->id = id;
		vm->next = host->vms;
		if (vm->next)
			vm->next->prev = vm;
		host->vms = vm;
	}
	clo_mutex_unlock(&host->lock);
	return id < VM_ID_END ? 0 : -EMFILE;
}

void clo_host_id_give(struct clo_host *host, struct clo_vm *vm)
{
	clo_mutex_lock(&host->lock);
	if (vm->prev)
		vm->prev->next = vm->next;
	else
		host->vms = vm->next;
	if (vm->next)
		vm->next->prev = vm->prev;
	host->id_used[vm->id / 8] &= (uint8_t) ~(1U << vm->id % 8);
	clo_mutex_unlock(&host->lock);
}
