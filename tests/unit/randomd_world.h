/* SPDX-License-Identifier: ISC */
/*
 * A modelled machine with an entropy server in domain 0 and guests 1 to N. Xenstore's part, telling a guest which
 * channel is its own, is played by a field.
 */
#ifndef XIDS_TESTS_UNIT_RANDOMD_WORLD_H
#define XIDS_TESTS_UNIT_RANDOMD_WORLD_H

#include "tests/unit/randomd_wire.h"

#include <xids/model.h>
#include <xids/randomd_vchan.h>

#define GUESTS_MAX 60u

struct world;

struct world_guest {
    struct world *w;
    domid_t domid;
    struct xids_platform *platform;
    /* the server's side */
    struct xids_randomd_session *session;
    struct xids_vchan *sch;
    uint8_t *page;
    bool offered;
    unsigned int offers; /* also the generation that the guest sees */
    int server_error;    /* the last */
    /* the guest's side */
    struct xids_randomd_client *client;
    struct xids_vchan *cch;
    bool connected, plain; /* plain: a client that knows nothing of zeroing, as libxenvchan */
    unsigned int tried;
    int client_error;
    struct xids_randomd_pull pull;
    uint8_t *buf;
};

struct world {
    struct xids_model *m;
    struct xids_platform *dom0;
    struct xids_platform spy; /* dom0's, but tells which page was shared, and looks at it before it goes */
    struct xids_platform_ops spy_ops;
    struct source source;
    unsigned int guest_count;
    unsigned int reoffers_left;
    unsigned int dirty_pages; /* given up with something in them */
    void *last_page;
    struct world_guest guests[GUESTS_MAX];
};

void world_begin(struct world *w, uint64_t seed, unsigned int guests);
/* Starts (again) the server's process, and a guest's, with a pull of len bytes. */
void world_server(struct world *w);
void world_guest_start(struct world_guest *g, size_t len);
/* The process dies as by kill -9; what it had is forgotten. */
void world_kill_server(struct world *w);
void world_kill_guest(struct world_guest *g);
/* Runs until all guests have what they want, or nothing can happen any more, or the steps are used up. */
bool world_run(struct world *w, uint64_t steps);
bool world_done(const struct world_guest *g);
/* Ends all in good order and fails the test if anything is left. */
void world_end(struct world *w);

#endif
