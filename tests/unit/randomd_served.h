/* SPDX-License-Identifier: ISC */
/*
 * xids-randomd's order of service (randomd/serve.c, as it is) on a modelled machine with a clock that the tests turn.
 * Guest 0 is the victim: honest, and never to be harmed. The others say what the tests write for them.
 */
#ifndef XIDS_TESTS_UNIT_RANDOMD_SERVED_H
#define XIDS_TESTS_UNIT_RANDOMD_SERVED_H

#include "tests/unit/randomd_wire.h"

#include "randomd/daemon.h"

#include <xids/model.h>

#define SERVED_MAX 101u
#define VICTIM 0u
#define HOSTILE 1u

struct served_guest {
    struct guest guest; /* the daemon's */
    int ended;          /* why it closed the channel, 0: it did not */
    /* the guest's own side */
    struct xids_platform *platform;
    struct xids_vchan *ch; /* NULL: not connected */
    uint8_t heard[4096];
    size_t heard_len;
};

struct served {
    struct xids_model *m;
    struct daemon *d;
    struct xids_platform *dom0;
    struct xids_platform spy; /* the daemon's, which counts */
    struct xids_platform_ops spy_ops;
    uint64_t looks; /* for events, that went on until there were none */
    struct source source;
    unsigned int count;
    unsigned int flags; /* of the guests' ends, enum xids_vchan_flags */
    struct served_guest guests[SERVED_MAX];
};

/* rate 0: so much that it never matters. */
void served_begin(struct served *w, unsigned int guests, uint64_t rate, uint64_t burst);
/* Fails the test if anything is left. */
void served_end(struct served *w);

/* The server offers the guest a channel; the guest connects. */
void served_open(struct served *w, unsigned int i);
/* The guest closes its end, if it is there; what the server still has is closed too. */
void served_close(struct served *w, unsigned int i);

/* The guest writes, as much as there is room for; it sends an event; it reads what there is, into heard. */
size_t served_say(struct served *w, unsigned int i, const void *data, size_t len);
void served_event(struct served *w, unsigned int i);
void served_hear(struct served *w, unsigned int i);

/* Turns of the daemon's loop until it would sleep. */
void served_turns(struct served *w);

/* HELLO, and its answer heard. */
void served_hello(struct served *w, unsigned int i);
/* The victim asks for 32 bytes, and has them after one turn, whatever there is to do besides. */
void served_victim_asks(struct served *w);

#endif
