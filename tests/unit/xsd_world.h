/* SPDX-License-Identifier: ISC */
/*
 * A server with its host in memory, for tests. What clients say and hear is text: '|' stands for a NUL, and all that a
 * connection hears in answer to one request is one line a message, as in "write OK|\nevent /a|token|\n".
 */
#ifndef XIDS_TESTS_UNIT_XSD_WORLD_H
#define XIDS_TESTS_UNIT_XSD_WORLD_H

#include <xids/xs_server.h>

#include "tests/unit/counting_alloc.h"
#include "tests/unit/suite.h"

#define WORLD_DOMAINS 300

struct world_ring {
    bool introduced;
    uint32_t port, notified;
    struct xids_bytering out, in; /* the guest's sides */
    uint8_t *page;
    uint8_t heard[65536];
    size_t nheard;
};

struct world {
    struct counting_alloc alloc;
    struct xids_xs_server *server;
    struct xids_xs_limits limits;
    struct world_ring rings[WORLD_DOMAINS];
    bool gone[WORLD_DOMAINS];     /* domains that do not exist */
    bool replaced[WORLD_DOMAINS]; /* known ones whose number is another's by now; until that one is introduced */
    int introduce_error;
    uint16_t own, privileged; /* 0, but with world_up_as */
    bool has_limits;
    unsigned int asked_later; /* requests "CONTROL later", which the host does not answer at once */
    unsigned int denials;
    char denied[5000]; /* the last: domain, quota and path */
    char report[5000]; /* the last memreport to a file, and its name */
    char text[200000]; /* of the last answer */
};

/* One for each test; world_down checks that nothing is left and the tree is sound. */
struct world *world_up(void);
struct world *world_up_with(const struct xids_xs_limits *limits);
struct world *world_up_as(uint16_t own, uint16_t privileged);
void world_down(struct world *w);

/* Makes another server for the world in w->server: the one before is the caller's. As xids_xs_server_new. */
int world_server(struct world *w);

struct xids_xs_conn *world_socket(struct world *w);

/* INTRODUCEs a domain (the privileged one: as the host does) and attaches the guest's side to its page. */
void world_introduce(struct world *w, uint16_t domid);

/* The same, and a directory of its own that it owns. */
void world_home(struct world *w, uint16_t domid);

/* Sends one request and returns all that comes back at once. */
const char *ask(struct world *w, struct xids_xs_conn *conn, uint32_t type, const char *payload);
const char *ask_tx(struct world *w, struct xids_xs_conn *conn, uint32_t tx, uint32_t type, const char *payload);
const char *dom_ask(struct world *w, uint16_t domid, uint32_t type, const char *payload);
const char *dom_ask_tx(struct world *w, uint16_t domid, uint32_t tx, uint32_t type, const char *payload);

/* What a domain uses of a quota, and the most it has used: as CONTROL shows it. */
unsigned long world_used(struct world *w, uint16_t domid, const char *quota);
unsigned long world_most(struct world *w, uint16_t domid, const char *quota);

/* What a connection has heard without asking. */
const char *heard(struct world *w, struct xids_xs_conn *conn);
const char *dom_heard(struct world *w, uint16_t domid);

/* Starts a transaction and returns its number. */
uint32_t tx_start(struct world *w, struct xids_xs_conn *conn);
uint32_t dom_tx_start(struct world *w, uint16_t domid);

/* The guest's side of a ring: raw bytes in; whatever has come out is added to its heard. */
void dom_send(struct world *w, uint16_t domid, const void *bytes, size_t len);
void dom_pump(struct world *w, uint16_t domid);

#define EXPECT(conn, type, payload, want) ck_assert_str_eq(ask(w, conn, type, payload), want)
#define EXPECT_TX(conn, tx, type, payload, want) ck_assert_str_eq(ask_tx(w, conn, tx, type, payload), want)
#define DOM_EXPECT(domid, type, payload, want) ck_assert_str_eq(dom_ask(w, domid, type, payload), want)
#define DOM_EXPECT_TX(domid, tx, type, payload, want) ck_assert_str_eq(dom_ask_tx(w, domid, tx, type, payload), want)

#endif
