/* SPDX-License-Identifier: ISC */
/*
 * The daemon's own parts but its loop, over a store for tests and a model of the machine. Its clock stands still but
 * for daemon_later. Guests are domains of both; a guest's client is made by the test.
 */
#ifndef XIDS_TESTS_UNIT_RANDOMD_DAEMON_H
#define XIDS_TESTS_UNIT_RANDOMD_DAEMON_H

#include "tests/unit/testing_fixture.h"

#include "randomd/daemon.h"

#include <xids/model.h>

struct machine {
    struct xids_test_store *s;
    struct xids_model *m;
    struct xids_platform *platforms[64]; /* of domains below that; NULL: no such domain */
    char *before;                        /* what the store held before there was a daemon */
};

void machine_begin(struct machine *m);
/* Fails the test when something is left, in the store or in the machine. */
void machine_end(struct machine *m);

/* A domain with a home, made and introduced. vm: who it is, as a toolstack says it; NULL: it does not. */
void guest_make(struct machine *m, domid_t domid, const char *vm);
/* It dies, and its home goes. */
void guest_destroy(struct machine *m, domid_t domid);

/* A daemon of that domain, with d's config. It has asked nothing yet. */
void daemon_begin(struct daemon *d, struct machine *m, domid_t domid);
/* In good order, or as if by kill -9. */
void daemon_end(struct daemon *d);
void daemon_kill(struct daemon *d, struct machine *m);
/* Until there is nothing to do for it now. False: its store is lost. */
bool daemon_settle(struct daemon *d, struct machine *m);
/* The clock goes on. */
void daemon_later(uint64_t ms);

/* The client's end of what the store offers to a guest; the caller frees it after xids_vchan_fini. */
struct xids_vchan *client_connect(struct machine *m, domid_t domid, domid_t server, unsigned int device);
/* Reads the boot seed of a fresh channel. */
void client_seed(struct xids_vchan *ch, uint8_t seed[48]);

/* The requests that a store has carried out. */
uint64_t requests_of(struct machine *m);

#endif
