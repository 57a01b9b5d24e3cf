/* SPDX-License-Identifier: ISC */
/* Domains of a simulated machine without anything running in them: made, introduced, and spoken for, by the benchmark.
 */
#ifndef XIDS_BENCH_XENSTORE_RINGS_H
#define XIDS_BENCH_XENSTORE_RINGS_H

#include "bench/xenstore_peer.h"

#include <sim/machine.h>
#include <xids/bytering.h>

struct guest {
    uint16_t domid;
    uint32_t owner; /* of its event queue; 0: it has none and hears nothing */
    int queue;
    evtchn_port_t port;
    struct xids_bytering requests, replies;
    size_t have;
    uint8_t bytes[XIDS_XSWIRE_MESSAGE_MAX];
};

void machine_join(struct xids_sim_machine *m, const struct peer *p);
void machine_leave(struct xids_sim_machine *m);

/* Makes a domain that the store does not know yet; its ring is in *frame. hears: whether it is to get events. */
void guest_prepare(struct xids_sim_machine *m, struct guest *g, uint32_t *frame, bool hears);

/* The same, and introduces it over a. */
void guest_make(struct xids_sim_machine *m, struct answers *a, struct guest *g, bool hears);

/* Ends the domain in the hypervisor alone, or in the store too. */
void guest_destroy(struct xids_sim_machine *m, struct guest *g);
void guest_end(struct xids_sim_machine *m, struct answers *a, struct guest *g);

/* Puts a whole request into the ring. False: there is no room, nothing was done. */
bool guest_put(struct guest *g, const uint8_t *bytes, size_t len);
void guest_notify(struct xids_sim_machine *m, const struct guest *g);

/* Takes an event out of its queue, waiting for it, so that the next can come. What it is about is looked at after this.
 */
void guest_hear(struct xids_sim_machine *m, struct guest *g);

/* Takes answers out of the ring; their number. */
unsigned int guest_take(struct guest *g);

#endif
