/* SPDX-License-Identifier: ISC */
/*
 * A modelled machine for engines that live in a loop: domain 0 is a xenstore daemon and the toolstack, every other
 * domain is a loop with a xenstore connection over a ring, as a unikernel has it. Time is the model's.
 */
#ifndef XIDS_TESTS_UNIT_ENGINE_WORLD_H
#define XIDS_TESTS_UNIT_ENGINE_WORLD_H

#include "tests/unit/suite.h"

#include <xids/loop.h>
#include <xids/model.h>
#include <xids/xs_client.h>
#include <xids/xs_server.h>

#define WORLD_DOMAINS 256u
#define SECOND 1000000000ull

struct world;

struct dom {
    struct world *w;
    struct xids_platform platform; /* what engines get: the model's, but wait returns, and calls can be failed */
    struct xids_platform *raw;     /* the model's own */
    struct xids_loop loop;
    struct xids_xs_client *xs;
    void *xs_mem;
    struct xids_part xs_part;
    struct xids_bytering out, in;
    uint8_t *page;
    evtchn_port_t port, store_port;
    uint64_t sleep; /* what the loop waits for */
    uint64_t turns;
    uint8_t reply[XIDS_XSWIRE_MESSAGE_MAX];
    uint32_t rest;    /* bytes of a message that is under way to the store */
    size_t reply_len; /* a refusal that was made here */
    unsigned int requests, calls;
    unsigned int fail_request, fail_call; /* the nth of these fails; 0: none */
    int fail_with;
};

struct world {
    struct xids_model *m;
    struct xids_platform *dom0;
    struct xids_xs_server *store;
    struct xids_xs_conn *tools; /* the toolstack's connection */
    struct dom doms[WORLD_DOMAINS];
    bool kick[WORLD_DOMAINS]; /* the store has to notify these */
    /* Who else lives in domain 0: gets the ports that are not the store's, and has a turn after it. */
    void (*stray)(void *ctx, evtchn_port_t port);
    uint64_t (*lodger)(void *ctx);
    void *lodger_ctx;
    uint16_t watch_path; /* of the domains' connections from now on; 0: the default */
    char text[XIDS_XSWIRE_PAYLOAD_MAX + 1];
};

void world_up(struct world *w, uint64_t seed);
/* Fails when anything is left; engines must have ended. */
void world_down(struct world *w);

/* A domain with its home in the store (owned by domain 0, data owned by itself). */
struct dom *world_domain(struct world *w, domid_t domid);
/* Its loop has a turn, for something was done from outside. */
void world_wake(struct dom *d);
/* It is destroyed, and the store told. */
void world_destroy(struct dom *d);
/* Its process dies as by kill -9, and a new one, with nothing but a xenstore connection, takes its place. */
void world_kill(struct dom *d);
/* A connection of domain 0's; carries what there is from a client to it and back. */
struct xids_xs_conn *world_connect(struct world *w);
bool world_talk(struct world *w, struct xids_xs_conn *conn, struct xids_xs_client *xs);
/* It was saved and restored as another domain: between the loop's suspend and its resume. */
void world_move(struct dom *d, domid_t to);

/* Runs until done says so: true; or time is over, or nothing can ever happen again: what done says then. */
bool world_until(struct world *w, bool (*done)(void *ctx), void *ctx, uint64_t ns);
void world_run(struct world *w, uint64_t ns);
void world_steps(struct world *w, unsigned int steps);

/* The toolstack at the store. read: NULL, no such node. */
const char *world_read(struct world *w, const char *path);
const char *world_perms(struct world *w, const char *path);
void world_write(struct world *w, const char *path, const char *value, size_t len);
void world_set(struct world *w, const char *path, const char *value, const char *perms);
void world_rm(struct world *w, const char *path);

/* How many ports, grants, maps and shares a domain has beside its xenstore port. */
unsigned int world_holds(struct dom *d);

#endif
