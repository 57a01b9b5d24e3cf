/* SPDX-License-Identifier: ISC */
/* Between the control socket and what can be asked there. */
#ifndef XIDS_RANDOMD_CONTROL_H
#define XIDS_RANDOMD_CONTROL_H

#include "randomd/daemon.h"

#define ANSWER_PIECE 16384u /* bytes of an answer made in one turn */
#define GUEST_TEXT 1024u    /* no guest's description is longer */
#define RESEEDS_AT_ONCE 64u /* guests in one turn */
#define WAIT_MS 10u         /* between turns of a request that waits for others */
#define WAITS_MS 3000u      /* and altogether */
#define ASK_SECONDS 10      /* who asks waits no longer for a piece of the answer */

/*
 * A request under way. turn appends to out, at most ANSWER_PIECE bytes, and does a bounded part of the work; it returns
 * 1 when there is more to do, REQUEST_WAITS when others have to do something first, else 0. What it has put out is sent
 * before it is called again.
 */
#define REQUEST_WAITS 2

struct request {
    struct daemon *d;
    int (*turn)(struct request *r);
    unsigned int next; /* the domid to go on with */
    unsigned int done, failed;
    uint64_t waits_since; /* 0: it does not */
    bool begun, all;
    enum log_level level;
    size_t len;
    char out[ANSWER_PIECE];
};

/* ---- requests.c ---- */

/* Finds the request of that line and sets turn; the answer to one that there is not says so. */
void request_begin(struct request *r, char *line);
__attribute__((format(printf, 2, 3))) void request_print(struct request *r, const char *fmt, ...);

/* ---- status.c ---- */

int status_turn(struct request *r);     /* everything, and the guests from next on when all is set */
int status_one_turn(struct request *r); /* the guest next */

/* ---- ask.c ---- */

/* A descriptor or a negative errno; -EAGAIN: there is a daemon, but for ASK_SECONDS it has not got round to us. */
int control_connect(const char *path);

#endif
