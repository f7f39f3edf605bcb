/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/bench.h - measure something, beside a peer measured in the same run, and print one row.
 *
 * A measure is a function that does n operations. The number of them in a sample is chosen so that
 * a sample is long against the clock; the value is the median of the samples, the spread is shown.
 * The ratio is the peer's time through ours: above 1 we are faster. Nothing fails for being slow.
 *
 * Usage of each program: bench-X [--quick] [--json] [FILTER...], a filter is a part of the
 * name of a row or of its group. CLO_BENCH_QUICK=1 is --quick.
 */
#ifndef CLO_BENCH_BENCH_H
#define CLO_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench;

/* Reads the command line; ends the program when it is wrong. Prints the head of the table. */
struct bench *bench_start(int argc, char **argv, const char *title);
/* Prints what --json has gathered and frees all. Status: 0, also when targets are missed. */
int bench_finish(struct bench *b);
bool bench_quick(const struct bench *b);
/* May rows of this name be printed? Ask before a costly preparation; rows ask themselves. */
bool bench_wanted(const struct bench *b, const char *name);

/* In ns for one operation. From samples of many operations, or from one clock reading each. */
struct bench_time {
	double median;
	double p10;
	double p90;
	double p99;
	uint64_t samples;
};

/* @fn does @n operations. */
struct bench_time bench_run(struct bench *b, void (*fn)(void *arg, uint64_t n), void *arg);
/*
 * The same where each sample needs a preparation that does not count: @before is called before each
 * @fn, which does a fixed number @n of operations.
 */
struct bench_time bench_run_fixed(struct bench *b, uint64_t n, void (*before)(void *arg),
				  void (*fn)(void *arg, uint64_t n), void *arg);
/* From @count single times in ns, which it sorts. */
struct bench_time bench_of(double *ns, size_t count);

struct bench_row {
	const char *name;
	const struct bench_time *own;
	const char *peer_name; /* NULL: no peer */
	const struct bench_time *peer;
	double target; /* ns at most; 0: none */
	double ratio;  /* times faster than the peer at least; 0: none */
	const char *note;
};
void bench_print(struct bench *b, struct bench_row row);

/* A number that is no time, such as bytes for a page. @peer_name may be NULL. */
void bench_value(struct bench *b, const char *name, double value, const char *unit,
		 const char *peer_name, double peer, const char *note);
/* What cannot be measured here, and why. */
void bench_missing(struct bench *b, const char *name, const char *why);
void bench_group(struct bench *b, const char *title);

/* printf into one of 16 buffers of the bench, in turn. */
const char *bench_text(struct bench *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Ends the program with a reason. For what must work. */
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A value that the compiler has to compute. */
static inline void bench_keep(uint64_t v)
{
	__asm__ volatile("" : : "r"(v) : "memory");
}

#endif
