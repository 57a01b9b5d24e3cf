/* SPDX-License-Identifier: ISC */
/*
 * One end of a channel in a process of its own, for the vchan suite. The suite's program starts itself again in each of
 * two domains of the simulator (`xids-sim exec`), tells either what to do and is told what happened.
 */
#ifndef XIDS_BENCH_VCHAN_END_H
#define XIDS_BENCH_VCHAN_END_H

#include <stdbool.h>
#include <stdint.h>

/* What the channel is made of. */
enum kind { OURS, LIBXENVCHAN, PIPE, UNIX_SOCKET, BARE };

struct load {
    uint32_t ring_order;
    uint32_t message; /* bytes */
    uint64_t messages;
    bool packets;  /* messages are received one by one; else as many bytes as there are */
    bool pingpong; /* each message is sent back */
    bool asleep;   /* nobody spins: each end sleeps until the other wakes it */
    bool one_cpu;  /* both ends on one CPU */
    bool calls;    /* the figure is system calls per message */
    bool verify;   /* every byte is another, and both ends sum up what they see */
};

/* The duty of one end, as it comes through its control pipe. */
struct duty {
    struct load load;
    enum kind kind;
    bool server; /* receives; the client sends */
    uint32_t remote;
    uint32_t serial; /* makes the path in xenstore unique */
    int cpu;
};

/* What it tells through its result pipe before it closes the channel, which it does when the control pipe ends. */
struct outcome {
    double seconds; /* server: from the end of the warming up to the last message */
    uint64_t in, out;
    uint64_t sum_in, sum_out; /* of load.verify */
    uint64_t calls;           /* see vchan_calls.h */
};

/* The descriptors that an end is started with. IN and OUT are the channel of a kind that has no name. */
enum { FD_CONTROL = 30, FD_RESULT, FD_IN, FD_OUT };

/* Messages before the clock starts: every page of the ring has been touched by then. */
uint64_t warm_up(const struct load *l);

/* The whole life of the process. Returns its exit status; ends it at once, with a word on stderr, when anything fails.
 */
int end_main(void);

#endif
