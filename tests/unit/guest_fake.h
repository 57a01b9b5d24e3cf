/* SPDX-License-Identifier: ISC */
/*
 * A stand-in for Xen and for the architecture under the files of platform/guest: one domain whose peers are played by
 * the test. It keeps Xen's rules as far as these files can see them, counts what is out, and fails when told.
 */
#ifndef TESTS_UNIT_GUEST_FAKE_H
#define TESTS_UNIT_GUEST_FAKE_H

#include "platform/guest/guest.h"

#define FAKE_PORTS 4096u
#define FAKE_PEER 7u /* the domain whose grants are mapped */
#define FAKE_PEER_REFS 2048u
#define FAKE_DOMID 3u
#define FAKE_SPACE 1024u /* pages of addresses */

struct fake_port {
    enum xids_evtchn_state state;
    domid_t remote;
    evtchn_port_t remote_port; /* interdomain with ourselves */
};

/* What the peer grants: reference n is its page n. */
struct fake_grant {
    bool granted, readonly;
    unsigned int eagain; /* so many times the page is not there yet */
    unsigned int maps;
};

struct fake_xen {
    unsigned int calls;   /* hypercalls made */
    unsigned int fail_in; /* the so-manieth from now fails; 0: none. A second one is not hurt. */
    int16_t fail_status;  /* not okay: the call succeeds, but its first element fails so */
    unsigned int frames_max;

    unsigned int pages;      /* that are out */
    unsigned int pages_left; /* so many can be had yet */

    struct fake_port ports[FAKE_PORTS];
    unsigned int ports_out;
    evtchn_port_t timer;

    struct fake_grant grants[FAKE_PEER_REFS];
    uint8_t *peer_pages;
    unsigned int maps_out;

    uint64_t params[64]; /* HVM_PARAM_* */
    int suspend_result;
    unsigned int suspends;
    void (*suspended)(void); /* while it is */

    uint64_t now, timer_at;
    unsigned int timer_sets;
    evtchn_port_t idle_event; /* comes during each sleep; 0: none */
    void (*idle)(void);       /* the world's turn while the guest sleeps */
    bool woken;
    unsigned int idles;
    bool slept_forever; /* nothing was to come: what was lost? */
    /* Called where an event could come at the worst time; the argument counts such moments. */
    void (*moment)(unsigned int n);
    unsigned int moments;
};

extern struct fake_xen fake;

/* A fresh machine, with space, shared info and the timer's port; and the grant table. */
void fake_init(void);
void fake_fini(void);

/* An event for a port of ours comes in. */
void fake_event(evtchn_port_t port);
/* The peer closes its end of a port that is connected to it. */
void fake_peer_close(evtchn_port_t port);
/* The peer connects to a port that waits for it. */
void fake_peer_bind(evtchn_port_t port);

/* The peer maps and unmaps a page that we granted. False: it may not. */
bool fake_peer_map(grant_ref_t ref, bool write);
void fake_peer_unmap(grant_ref_t ref);
/* Where a reference of ours leads. */
uintptr_t fake_granted_page(grant_ref_t ref);

/* How much can still be had of what must not leak. */
unsigned int fake_free_space(void);
unsigned int fake_free_refs(void);

#endif
