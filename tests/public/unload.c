/* SPDX-License-Identifier: Apache-2.0 */
/*
 * public/unload.c - a plugin that uses the library is unloaded while a thread that has called it
 * lives on: the thread's end, a fork and the exit find what they need. Usage: unload LIBRARY
 */
#include <cloister/cloister.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int (*host_create)(const struct clo_host_config *, struct clo_host **);
static int (*host_destroy)(struct clo_host *);
static int (*vm_create)(struct clo_host *, const struct clo_vm_config *, struct clo_vm **);
static void (*vm_destroy)(struct clo_vm *, struct clo_leak_report *);
static pthread_barrier_t used, unloaded;
static int failed;

/* A function pointer from a data pointer, as POSIX means dlsym() to be used. */
static void find(void *library, const char *name, void *function, size_t size)
{
	void *at = dlsym(library, name);

	if (!at)
		failed = 1;
	memcpy(function, &at, size);
}

static void *use(void *arg)
{
	struct clo_vm_config c;
	struct clo_host *host;
	struct clo_vm *vm;

	(void)arg;
	memset(&c, 0, sizeof(c));
	c.size = sizeof(c);
	c.type = CLO_VM_SW_PROTECTED;
	if (host_create(NULL, &host) || vm_create(host, &c, &vm)) {
		failed = 1;
	} else {
		vm_destroy(vm, NULL);
		failed |= host_destroy(host);
	}
	pthread_barrier_wait(&used);
	pthread_barrier_wait(&unloaded);
	return NULL;
}

int main(int argc, char **argv)
{
	void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
	pthread_t thread;
	int status = 1;
	pid_t child;

	if (!library)
		return 1;
	find(library, "clo_host_create", &host_create, sizeof(host_create));
	find(library, "clo_host_destroy", &host_destroy, sizeof(host_destroy));
	find(library, "clo_vm_create", &vm_create, sizeof(vm_create));
	find(library, "clo_vm_destroy", &vm_destroy, sizeof(vm_destroy));
	if (failed || pthread_barrier_init(&used, NULL, 2) ||
	    pthread_barrier_init(&unloaded, NULL, 2) || pthread_create(&thread, NULL, use, NULL))
		return 1;
	pthread_barrier_wait(&used);
	if (dlclose(library))
		return 1;
	pthread_barrier_wait(&unloaded);
	if (pthread_join(thread, NULL))
		return 1;
	child = fork();
	if (child == 0)
		_exit(0);
	if (waitpid(child, &status, 0) != child || status != 0)
		return 1;
	printf("ok\n");
	return failed;
}
