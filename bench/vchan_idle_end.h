/* SPDX-License-Identifier: ISC */
/*
 * What the suite and the two processes of its idle channels say to each other. The holder has the servers of all
 * channels and waits on all of them; the caller has their clients.
 *
 *     holder: uint32_t, its channels are published      caller: struct idle_cost, all are open
 *     asked for so many rounds (uint32_t):
 *     holder: struct idle_cost, all are open and idle; after the rounds a double, the median in microseconds
 *     caller: calls so often; uint32_t, the rounds
 *
 * Both end when their input ends.
 */
#ifndef XIDS_BENCH_VCHAN_IDLE_END_H
#define XIDS_BENCH_VCHAN_IDLE_END_H

#include <stdint.h>

enum idle_kind { IDLE_XIDS, IDLE_EPOLL, IDLE_POLL, IDLE_KINDS };

struct idle_cost {
    double bytes; /* of the heap, with what the allocator adds, for all channels and what they stand on */
    double own;   /* xids: of these in channels and members of the set */
    uint32_t fds;
};

/* The order of both rings: a page each. */
#define IDLE_ORDER 12u

/* A call: when it was made (ns, CLOCK_MONOTONIC), and which it is. */
struct idle_call {
    uint64_t when, round;
};

#endif
