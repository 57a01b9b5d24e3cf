/* SPDX-License-Identifier: ISC */
/*
 * What tests of our libxenstore.so.4 stand on: a socket in a folder of its own, to which XENSTORED_PATH points, and a
 * store behind it in a thread: our server's engine, or a function that answers as a test wants.
 */
#ifndef TESTS_UNIT_LXS_WORLD_H
#define TESTS_UNIT_LXS_WORLD_H

#include "tests/unit/suite.h"

#include "xenstore/libxenstore.h"

/* Our server's engine, for as many clients as come. */
void world_serve(void);

/* A store that is the function act, called once with the connection of the first client; then the connection ends. */
typedef void world_act_fn(int fd);
void world_act(world_act_fn *act);

/* Ends the store in whatever state: clients see their connections end. */
void world_end(void);

/* ---- for stores of a test's own ---- */

struct world_request {
    uint32_t type, req_id, tx_id, len;
    char payload[XIDS_XSWIRE_PAYLOAD_MAX + 1];
};

/* Reads the next request, which must have a payload. False: the client is gone. */
bool world_take(int fd, struct world_request *request);
void world_send(int fd, uint32_t type, uint32_t req_id, const void *payload, size_t len);

/* Answers a request with OK, or a string with its NUL. */
void world_ok(int fd, const struct world_request *request);
void world_say(int fd, const struct world_request *request, const char *text);

/* An event at /w with token t. */
void world_event(int fd);

/* Whether the descriptor is readable within so many milliseconds. */
bool world_readable(int fd, int ms);

#endif
