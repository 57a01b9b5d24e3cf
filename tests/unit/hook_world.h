/* SPDX-License-Identifier: ISC */
/*
 * A machine of two domains that is made and unmade in no time, for tests that need a million of them: pages, grants,
 * maps and event channels as the platform's interface says, and the check that each domain touches only its own.
 */
#ifndef XIDS_TESTS_UNIT_HOOK_WORLD_H
#define XIDS_TESTS_UNIT_HOOK_WORLD_H

#include "tests/unit/hook.h"

#include <xids/platform.h>

#define HW_DOMID(d) ((domid_t)(20 + (d)))

enum { HW_PAGES = 64, HW_PORTS = 6, HW_AREAS = 12 };

struct hw_port {
    bool used, bound, pending, masked;
    uint8_t peer; /* the other domain's port */
};

struct hw_area {
    uint8_t *start; /* NULL: not in use */
    unsigned int count;
    bool shared, readonly;
    struct xids_unmap_notify notify;
};

struct hw_domain {
    struct hw *w;
    int d;
    struct xids_platform platform;
    struct hw_port port[HW_PORTS];
    struct hw_area area[HW_AREAS];
    unsigned int notifies, maps;
};

struct hw {
    struct hw_domain domain[2];
    uint8_t maps[HW_PAGES];  /* by the other domain, of each page */
    uint8_t owner[HW_PAGES]; /* 0: free, 1 + d: shared by d, 3 + d: given up by d, but still mapped */
    bool hidden[HW_PAGES];
    int runs; /* the domain whose code runs: its accesses are checked; -1: nobody's */
};

void hw_init(struct hw *w);
/* The domain whose code runs from now on; returns the one before. */
int hw_run(struct hw *w, int d);
/* Takes the event of a port, if there is one, and masks it. */
bool hw_take(struct hw *w, int d, evtchn_port_t port);
/* Whether an event waits at the port, or will as soon as it is unmasked. */
bool hw_has_event(const struct hw *w, int d, evtchn_port_t port);
/* A domain's process dies: what it mapped and shared goes, with what was to be done then. */
void hw_kill(struct hw *w, int d);
/* The whole domain dies, of which nobody is told. */
void hw_destroy(struct hw *w, int d);
/* The memory behind a reference. */
uint8_t *hw_page(grant_ref_t ref);
/* No page that is shared by now can be mapped again. */
void hw_hide(struct hw *w);
/* The page in which an address lies. */
uint8_t *hw_page_at(const void *at);
/* How many pages, areas and ports there are. */
unsigned int hw_left(const struct hw *w);

#endif
