/* SPDX-License-Identifier: ISC */
/*
 * The cases of many idle channels in the vchan suite: 2000 channels between two processes in two domains, by xids in
 * one loop (a set), and by libxenvchan with epoll or poll. What they cost in memory and descriptors, and how long it
 * takes from a peer's write on one of them until it is handled.
 */
#ifndef XIDS_BENCH_VCHAN_IDLE_H
#define XIDS_BENCH_VCHAN_IDLE_H

#include "bench/bench.h"

struct idle_stage {
    const char *sim, *self;
    const char *domain[2]; /* the caller's, the holder's */
    int cpu[2];
};

/* Measures all cases that are wanted. False: it failed, and why is on stderr. */
bool idle_cases(struct bench *bench, const struct idle_stage *stage);

/* The whole life of a process that idle_cases starts: `bench-vchan idle ...`. Its exit status. */
int idle_main(int argc, char **argv);

#endif
