/* SPDX-License-Identifier: ISC */
/*
 * A vchan channel in a hostile world (tests/unit/hook_world.h): every call is made through here, where what it returns
 * and does to the caller's memory is held against its comment in vchan.h, whatever the peer does meanwhile.
 */
#ifndef XIDS_TESTS_UNIT_VCHAN_SUBJECT_H
#define XIDS_TESTS_UNIT_VCHAN_SUBJECT_H

#include "tests/unit/hook_world.h"

#include <xids/vchan.h>

enum vs_what {
    VS_WRITE,
    VS_READ,
    VS_SEND,
    VS_RECV,
    VS_RESERVE, /* and commit b bytes */
    VS_PEEK,    /* and consume b bytes */
    VS_WRITEV,
    VS_READV,
    VS_SENDV,
    VS_RECVV,
    VS_RESERVEV,
    VS_PEEKV,
    VS_READABLE, /* the last but for those that move bytes */
    VS_WRITABLE,
    VS_FLUSH,
    VS_ARM, /* for a bytes to read, b to write */
    VS_EVENT,
    VS_STATE,
    VS_CHECK_PEER,
    VS_PEER_DIED,
    VS_REOFFER,
    VS_SHUTDOWN,
    VS_HEARTBEAT, /* at time a, with patience b */
    VS_WHATS,
};

/* No call makes more accesses to shared memory than this, of which one can be to many bytes; nor does a setup. */
enum { VS_CALL_ACCESSES = 64, VS_INIT_ACCESSES = 200 };

struct vs {
    struct hw *w;
    int d; /* its domain */
    unsigned int flags;
    struct xids_vchan *ch; /* xids_vchan_size() bytes */
    bool up, shut;
    int error;       /* as last seen: it stays */
    uint8_t *buffer; /* of VS_BUFFER bytes, with guards around it */
};
enum { VS_BUFFER = 16384, VS_GUARD = 64 };

/* Allocates. */
void vs_new(struct vs *s, struct hw *w, int d);
void vs_free(struct vs *s);
/* Make the end. True if it is up. hostile: the peer may have done anything. */
bool vs_serve(struct vs *s, unsigned int left, unsigned int right, unsigned int flags);
bool vs_connect(struct vs *s, grant_ref_t ref, evtchn_port_t port, unsigned int flags);
/* One call, with its number of accesses bounded. */
void vs_do(struct vs *s, enum vs_what what, uint32_t a, uint32_t b);
void vs_leave(struct vs *s);

#endif
