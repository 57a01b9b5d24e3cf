/* SPDX-License-Identifier: ISC */
/* The daemon's part of docs/spec/randomd-legacy.md: a console device for each guest, when the setting asks for it. */
#ifndef XIDS_RANDOMD_LEGACY_GUESTS_H
#define XIDS_RANDOMD_LEGACY_GUESTS_H

#include "randomd/daemon.h"

#include <xids/randomd_legacy.h>

/* ---- bounds ---- */

#define LEGACY_MAX 4000u            /* guests: each takes a watch, of which the connection has 4096 */
#define LEGACY_CONSOLES 32u         /* of one guest, which we look through */
#define LEGACY_HIGHEST 65535u       /* the device's id */
#define LEGACY_SETUPS 8u            /* transactions at once */
#define LEGACY_TRIES 16u            /* of one of them */
#define LEGACY_TURNS 64u            /* that a guest has at once, */
#define LEGACY_TURN_NS 250000000ull /* and one more each so often */
#define LEGACY_CONNECT_TURNS 4u     /* what a connection costs */

/* ---- for the rest of the daemon: all do nothing when the setting is off ---- */

struct legacy_counters {
    uint64_t offers, adopted, failures, connections, greetings, bytes, violations;
    unsigned int guests, connected;
};

/* Opens a connection to xenstore of its own. 0, or a negative errno after having said why. */
int legacy_start(struct daemon *d);
/* Removes all devices. */
void legacy_stop(struct daemon *d);
/* After the loop has ended. */
void legacy_free(struct daemon *d);
/* A guest has come; it has gone, or its number belongs to another. */
void legacy_found(struct daemon *d, domid_t domid);
void legacy_left(struct daemon *d, domid_t domid);
/* A port was taken that belongs to no channel. */
void legacy_event(struct daemon *d, evtchn_port_t port);
/* False: the setting is off. */
bool legacy_counters(const struct daemon *d, struct legacy_counters *c);

/* ---- between its two files ---- */

struct legacy;

struct legacy_guest {
    struct legacy *of;
    struct legacy_guest *next_waiting, *next_setup;
    struct xids_randomd_legacy *engine; /* once there was a connection */
    void XIDS_PEER *page;               /* NULL: not connected */
    evtchn_port_t port;
    uint64_t credit_at, due;
    uint32_t device;                     /* its id, 0: not known yet */
    uint32_t watch;                      /* of the frontend's state */
    uint32_t state, ring_ref, peer_port; /* as read last */
    uint32_t backend_state, want_state;  /* as the store has it, 0: not known; as it is to be, 0: as it is */
    domid_t domid;
    uint16_t pending; /* requests that will call back */
    uint8_t credit;
    bool wanted;   /* the guest is there */
    bool stale;    /* what there is belongs to one that has gone */
    bool offered;  /* the device is in the store */
    bool given_up; /* until it comes anew */
    bool setting_up, watching, waiting;
    bool removed;    /* the device of one that has gone is */
    bool fired;      /* the frontend's state was written */
    bool reading;    /* what it says now */
    bool unreadable; /* it makes no sense */
    bool signalled;  /* its event has come, and is not served yet */
};

struct legacy_probe {
    struct legacy_setup *setup;
    uint32_t id;
    bool ours;
};

/* A transaction under way: what there is, and what is made of it. */
struct legacy_setup {
    struct legacy_guest *g; /* NULL: free */
    struct xids_xs_tx *tx;
    bool adopted;
    unsigned int pending, count;
    uint32_t device, highest, backend_state;
    int rc;
    struct legacy_probe probes[LEGACY_CONSOLES];
};

struct legacy {
    struct daemon *d;
    struct xids_xs *xs;
    uv_poll_t poll;
    uv_timer_t timer;
    struct legacy_guest *by_domid[DOMID_FIRST_RESERVED];
    struct legacy_guest *by_port[MAX_PORTS];
    struct legacy_guest *waiting, **waiting_end; /* in the order in which they are due */
    struct legacy_guest *setups, **setups_end;   /* whose device is to be made */
    struct legacy_setup running[LEGACY_SETUPS];
    struct legacy_counters count;
    uint64_t serial; /* of generators */
    uint64_t retry_at;
    int polled; /* events, 0: the handle is not there */
    bool lost, stopping;
};

/* legacy_guests.c */

/* Does what is to be done next for the guest, if nothing is under way; it may be gone afterwards. */
void legacy_step(struct legacy_guest *g);
/* Lets it go on, or try again, a little later. */
void legacy_wait(struct legacy_guest *g);

/* legacy_store.c: each calls legacy_step when it is done */

/* Makes the guest's device, or finds the one that is there. */
void legacy_setup(struct legacy_guest *g);
/* Begins those that wait, as far as the bound allows. */
void legacy_setups(struct legacy *l);
/* No setup is wanted any more. */
void legacy_setup_forget(struct legacy_guest *g);
/* Reads state, ring_ref and peer_port of the frontend; a state of 0: it has vanished. */
void legacy_read(struct legacy_guest *g);
/* Writes the backend's state. Nothing is under way afterwards: there was no room, or there is no connection. */
void legacy_write_state(struct legacy_guest *g, uint32_t state);
/* Removes the device; the frontend's nodes only if they are still those we made. False: as before, not all was asked.
 */
bool legacy_remove(struct legacy_guest *g);
/* The same with calls that wait, at the end. 0 or a negative errno. */
int legacy_remove_now(const struct legacy_guest *g, struct xids_xs *xs);
/* What an earlier run has left of guests that are no more, likewise. */
int legacy_remove_left(struct legacy *l);
/* The folder of all, if it is empty. */
int legacy_remove_folder(const struct legacy *l, struct xids_xs *xs);

#endif
