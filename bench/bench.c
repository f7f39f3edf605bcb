/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench.c - samples, medians, the table and its JSON form. */
#include "bench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#ifdef BENCH_JSON
#include <json-c/json.h>
#endif

#define TEXTS       16
#define TEXT_BYTES  160
#define SAMPLES_MAX 64

struct bench {
	const char *title;
	bool quick;
	bool json;
	char **filters;
	int filter_count;
	struct ring {
		char text[TEXTS][TEXT_BYTES];
		unsigned next;
	} callers, own; /* apart, so that a row does not eat the names that it was given */
	char group[64];
	char last[64];  /* name of the last row: a second peer of the same measure */
	bool group_due; /* printed with its first row */
#ifdef BENCH_JSON
	struct json_object *rows;
#endif
};

void bench_die(const char *format, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("bench: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

__attribute__((format(printf, 2, 0))) static const char *ring_text(struct ring *r,
								   const char *format, va_list ap)
{
	char *text = r->text[r->next++ % TEXTS];

	vsnprintf(text, TEXT_BYTES, format, ap);
	return text;
}

const char *bench_text(struct bench *b, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);

	const char *text = ring_text(&b->callers, format, ap);

	va_end(ap);
	return text;
}

__attribute__((format(printf, 2, 3))) static const char *own_text(struct bench *b,
								  const char *format, ...)
{
	va_list ap;

	va_start(ap, format);

	const char *text = ring_text(&b->own, format, ap);

	va_end(ap);
	return text;
}

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void cpu_name(char *out, size_t bytes)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(out, bytes, "unknown CPU");
	while (f && fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) != 0 || !colon)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(out, bytes, "%s", colon + 2);
		break;
	}
	if (f)
		fclose(f);
}

static void host_text(char *out, size_t bytes)
{
	struct utsname u;
	char cpu[128];

	cpu_name(cpu, sizeof(cpu));
	if (uname(&u) != 0)
		snprintf(u.release, sizeof(u.release), "?");
	snprintf(out, bytes, "%s, %ld CPUs, Linux %s", cpu, sysconf(_SC_NPROCESSORS_ONLN),
		 u.release);
}

static void usage(const char *program)
{
	fprintf(stderr, "usage: %s [--quick] [--json] [FILTER...]\n", program);
	exit(2);
}

struct bench *bench_start(int argc, char **argv, const char *title)
{
	struct bench *b = calloc(1, sizeof(*b));
	const char *env = getenv("CLO_BENCH_QUICK");
	char host[256];
	int i;

	if (!b)
		bench_die("no memory");
	b->title = title;
	b->quick = env && strcmp(env, "0") != 0;
	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--quick") == 0)
			b->quick = true;
		else if (strcmp(argv[i], "--json") == 0)
			b->json = true;
		else
			usage(argv[0]);
	}
	b->filters = argv + i;
	b->filter_count = argc - i;
	host_text(host, sizeof(host));
	if (b->json) {
#ifdef BENCH_JSON
		b->rows = json_object_new_array();
		return b;
#else
		bench_die("--json: built without json-c");
#endif
	}
	printf("%s%s (%s)\n", title, b->quick ? ", quick" : "", host);
	printf("  %-42s %12s %-18s  %-24s %12s %8s  %s\n", "measure", "ns/op", "    p10 .. p90",
	       "peer", "ns/op", "ratio", "note");
	fflush(stdout);
	return b;
}

#ifdef BENCH_JSON
static void add(struct json_object *o, const char *key, double v)
{
	json_object_object_add(o, key, json_object_new_double(v));
}

static void add_text(struct json_object *o, const char *key, const char *v)
{
	if (v)
		json_object_object_add(o, key, json_object_new_string(v));
}

static struct json_object *json_row(struct bench *b, const char *name)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "group", b->group[0] ? b->group : NULL);
	add_text(o, "name", name);
	json_object_array_add(b->rows, o);
	return o;
}

static void json_time(struct json_object *row, const char *key, const struct bench_time *t,
		      const char *name)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "name", name);
	add(o, "ns", t->median);
	add(o, "p10", t->p10);
	add(o, "p90", t->p90);
	add(o, "p99", t->p99);
	json_object_object_add(o, "samples", json_object_new_int64((int64_t)t->samples));
	json_object_object_add(row, key, o);
}

static void json_print(const struct bench *b)
{
	struct json_object *all = json_object_new_object();
	char host[256];

	host_text(host, sizeof(host));
	add_text(all, "title", b->title);
	add_text(all, "host", host);
	json_object_object_add(all, "quick", json_object_new_boolean(b->quick));
	json_object_object_add(all, "rows", b->rows);
	puts(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY));
	json_object_put(all);
}
#endif

int bench_finish(struct bench *b)
{
#ifdef BENCH_JSON
	if (b->json)
		json_print(b);
#endif
	fflush(stdout);
	free(b);
	return 0;
}

bool bench_quick(const struct bench *b)
{
	return b->quick;
}

bool bench_wanted(const struct bench *b, const char *name)
{
	for (int i = 0; i < b->filter_count; i++)
		if (strstr(name, b->filters[i]) || strstr(b->group, b->filters[i]))
			return true;
	return b->filter_count == 0;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return x < y ? -1 : x > y;
}

struct bench_time bench_of(double *ns, size_t count)
{
	if (count == 0)
		bench_die("no samples");
	qsort(ns, count, sizeof(*ns), by_size);
	return (struct bench_time){
		.median = ns[count / 2],
		.p10 = ns[count / 10],
		.p90 = ns[count * 9 / 10],
		.p99 = ns[count * 99 / 100],
		.samples = count,
	};
}

static double sample(void (*fn)(void *arg, uint64_t n), void *arg, uint64_t n)
{
	double start = now_ns();

	fn(arg, n);
	return now_ns() - start;
}

struct bench_time bench_run(struct bench *b, void (*fn)(void *arg, uint64_t n), void *arg)
{
	double ns[SAMPLES_MAX];
	double enough = b->quick ? 1e6 : 1e7;
	size_t count = b->quick ? 7 : 25;
	uint64_t n = 1;
	double took = sample(fn, arg, n);

	while (took < enough / 2) {
		double grow = took < enough / 100 ? 10 : enough / took;

		n = (uint64_t)((double)n * grow) + 1;
		took = sample(fn, arg, n);
	}
	for (size_t i = 0; i < count; i++)
		ns[i] = sample(fn, arg, n) / (double)n;
	return bench_of(ns, count);
}

struct bench_time bench_run_fixed(struct bench *b, uint64_t n, void (*before)(void *arg),
				  void (*fn)(void *arg, uint64_t n), void *arg)
{
	double ns[SAMPLES_MAX];
	double enough = b->quick ? 2e8 : 2e9;
	size_t least = 3;
	double begun = now_ns();
	size_t count = 0;

	/* One that does not count: memory is touched for the first time, code is cold. */
	before(arg);
	fn(arg, n);
	while (count < SAMPLES_MAX && (count < least || now_ns() - begun < enough)) {
		before(arg);
		ns[count++] = sample(fn, arg, n) / (double)n;
	}
	return bench_of(ns, count);
}

void bench_group(struct bench *b, const char *title)
{
	snprintf(b->group, sizeof(b->group), "%s", title);
	b->group_due = true;
}

/* Three digits that matter. */
static const char *number(struct bench *b, double v)
{
	if (v < 0.0995)
		return own_text(b, "%.3f", v);
	if (v < 99.5)
		return own_text(b, v < 9.95 ? "%.2f" : "%.1f", v);
	return own_text(b, "%.0f", v);
}

static void group_print(struct bench *b)
{
	if (b->group_due)
		printf(" %s\n", b->group);
	b->group_due = false;
}

/* The left half of a row; empty when it would say what the row above says. */
static void measure_print(struct bench *b, const char *name, const char *value, const char *spread)
{
	if (strcmp(name, b->last) == 0)
		printf("  %-42s %12s %-18s", "", "", "");
	else
		printf("  %-42s %12s %-18s", name, value, spread);
	snprintf(b->last, sizeof(b->last), "%s", name);
}

static const char *verdict(struct bench *b, const struct bench_row *row, double ratio)
{
	if (row->target > 0)
		return own_text(b, "target %g ns: %s", row->target,
				row->own->median <= row->target ? "met" : "MISSED");
	if (row->ratio > 0)
		return own_text(b, "target %gx: %s", row->ratio,
				ratio >= row->ratio ? "met" : "MISSED");
	return NULL;
}

void bench_print(struct bench *b, struct bench_row row)
{
	double ratio = row.peer ? row.peer->median / row.own->median : 0;
	const char *target = verdict(b, &row, ratio);

	if (!bench_wanted(b, row.name))
		return;
#ifdef BENCH_JSON
	if (b->json) {
		struct json_object *o = json_row(b, row.name);

		json_time(o, "own", row.own, NULL);
		if (row.peer) {
			json_time(o, "peer", row.peer, row.peer_name);
			add(o, "ratio", ratio);
		}
		add_text(o, "target", target);
		add_text(o, "note", row.note);
		return;
	}
#endif
	group_print(b);
	measure_print(b, row.name, number(b, row.own->median),
		      own_text(b, "%7s .. %-7s", number(b, row.own->p10), number(b, row.own->p90)));
	printf("  %-24s %12s %8s  %s%s%s\n", row.peer ? row.peer_name : "-",
	       row.peer ? number(b, row.peer->median) : "",
	       row.peer ? own_text(b, "%sx", number(b, ratio)) : "", target ? target : "",
	       target && row.note ? "; " : "", row.note ? row.note : "");
	fflush(stdout);
}

void bench_value(struct bench *b, const char *name, double value, const char *unit,
		 const char *peer_name, double peer, const char *note)
{
	if (!bench_wanted(b, name))
		return;
#ifdef BENCH_JSON
	if (b->json) {
		struct json_object *o = json_row(b, name);

		add(o, "value", value);
		add_text(o, "unit", unit);
		if (peer_name) {
			add_text(o, "peer_name", peer_name);
			add(o, "peer_value", peer);
		}
		add_text(o, "note", note);
		return;
	}
#endif
	group_print(b);
	measure_print(b, name, number(b, value), unit);
	printf("  %-24s %12s %8s  %s\n", peer_name ? peer_name : "-",
	       peer_name ? number(b, peer) : "",
	       peer_name && value > 0 ? own_text(b, "%sx", number(b, peer / value)) : "",
	       note ? note : "");
	fflush(stdout);
}

void bench_missing(struct bench *b, const char *name, const char *why)
{
	if (!bench_wanted(b, name))
		return;
#ifdef BENCH_JSON
	if (b->json) {
		add_text(json_row(b, name), "missing", why);
		return;
	}
#endif
	group_print(b);
	printf("  %-42s %12s  %s\n", name, "-", why);
	fflush(stdout);
}
