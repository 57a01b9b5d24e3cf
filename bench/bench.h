/* SPDX-License-Identifier: ISC */
/*
 * What every benchmark program shares: rounds in which we and our peers take turns, the table on the terminal and
 * the JSON file.
 *
 * A program measures one suite: bench_open("vchan"), bench_compare() or bench_row() for each case, bench_close().
 * The file is NAME.json in the directory that the environment variable XIDS_BENCH_DIR names ("bench" without it): an
 * array of {case, unit, ours, peer, peer_name, ratio}. A ratio above 1 means that ours is better, whichever way the
 * unit counts.
 */
#ifndef XIDS_BENCH_BENCH_H
#define XIDS_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench;

enum bench_better {
    BENCH_HIGHER, /* rates: more is better */
    BENCH_LOWER,  /* times, bytes, counts of system calls: less is better */
};

/* One contender in a case. run measures once: the figure in the unit of the case, or a negative value on failure. */
struct bench_side {
    const char *name; /* the peer's plain name: "C xenstored", "oxenstored", "libxenvchan", ... or "self" */
    double (*run)(void *ctx);
    void *ctx;
};

/*
 * Begins the suite called name. Returns NULL when memory is out. Options come from the environment: with
 * XIDS_BENCH_QUICK set, every case runs one short round (see bench_quick); with XIDS_BENCH_ONLY set, names of cases
 * with commas between them, only these are measured (see bench_wanted).
 */
struct bench *bench_open(const char *name);

/* Whether a quick run was asked for, which only shows that the benchmark works. Programs then shrink their loops. */
bool bench_quick(const struct bench *bench);

/*
 * Whether a case was asked for. bench_compare and bench_row look for themselves and pass over what was not; ask before
 * work that only some cases need. A suite of which nothing was measured fails.
 */
bool bench_wanted(const struct bench *bench, const char *case_name);

/*
 * Measures one case: each round runs every side once, in turn, so that a slow moment of the machine hurts all alike;
 * what counts is each side's median. sides[0] is ours, each further one a peer and a row; with one side alone the row
 * says what we measured and has no peer. rounds is 1 to 99. Returns 0, or -1 when a side failed (said on stderr,
 * remembered for bench_close, no row).
 */
int bench_compare(struct bench *bench, const char *case_name, const char *unit, enum bench_better better,
                  unsigned int rounds, const struct bench_side *sides, size_t n_sides);

/*
 * Adds a row of figures measured elsewhere. peer_name is NULL where there is no peer; peer is ignored then and ratio is
 * null in the file. Names are copied.
 */
void bench_row(struct bench *bench, const char *case_name, const char *unit, enum bench_better better, double ours,
               double peer, const char *peer_name);

/* Prints the table, writes the file and frees the suite. Returns the exit status for main: 0 when all went well. */
int bench_close(struct bench *bench);

/* The median of n values; sorts them where they are. n is at least 1. */
double bench_median(double *values, size_t n);

/* A monotonic clock, in nanoseconds. */
uint64_t bench_now(void);

#endif
