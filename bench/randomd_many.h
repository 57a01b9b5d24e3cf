/* SPDX-License-Identifier: ISC */
/*
 * Many guests of xids-randomd in one process: a platform for each domain of a simulated machine, on the simulator's own
 * machine, since its libraries give a process one domain only. For a program of domain 0, which may read all nodes.
 */
#ifndef XIDS_BENCH_RANDOMD_MANY_H
#define XIDS_BENCH_RANDOMD_MANY_H

#include <xids/randomd_vchan.h>
#include <xids/xs.h>

#include "sim/machine.h"

struct many {
    struct xids_sim_machine machine;
    struct xids_xs *xs;
    int poll; /* readable when a guest has an event */
};

struct many_guest {
    struct many *m;
    struct xids_platform platform;
    uint32_t owner;
    int queue;
    struct xids_vchan *ch;
    struct xids_randomd_client *client;
    struct xids_randomd_pull pull;
    uint64_t got; /* bytes of pulls that are done */
    struct many_map {
        void *at;
        uint32_t id;
    } maps[2]; /* the page, and once more for a look before */
};

/* Fails the program. */
void many_must(bool good, const char *what);

void many_open(struct many *m);
void many_close(struct many *m);

/* Connects domain domid to its server, as soon as that has published a channel, and greets it. */
void many_connect(struct many *m, struct many_guest *g, domid_t domid);
void many_part(struct many_guest *g);

/* Sleeps until a guest has an event or ms have passed, and gives the events to their guests' channels. Returns how many
 * guests are in woken, at most max. */
unsigned int many_wait(struct many *m, struct many_guest **woken, unsigned int max, int ms);

#endif
