/* SPDX-License-Identifier: ISC */
/*
 * The other side of the cases of platform_cases.h, when it is out of reach: a platform whose calls travel as messages,
 * over whatever the user has, to where the real one is. Freestanding C.
 */
#ifndef TESTS_UNIT_PLATFORM_REMOTE_H
#define TESTS_UNIT_PLATFORM_REMOTE_H

#include "tests/unit/platform_cases.h"

struct platform_message {
    uint32_t sequence; /* the carrier's own */
    uint32_t call;
    int32_t rc;
    domid_t domid;
    bool has_notify;
    uint32_t count, flags, port;
    struct xids_unmap_notify notify;
    uint64_t number, address;
    grant_ref_t refs[8];
};

/* Carries out what a message asks for, and makes it the answer. */
void platform_serve(struct xids_platform *p, struct platform_message *m);

struct platform_remote {
    struct xids_platform platform;                      /* give this to a pair as b, with the functions below */
    void (*ask)(void *ctx, struct platform_message *m); /* sends it, and waits for the answer, which takes its place */
    void *ctx;
};

void platform_remote_init(struct platform_remote *r, domid_t domid, void (*ask)(void *ctx, struct platform_message *m),
                          void *ctx);
uint8_t platform_remote_peek(struct platform_pair *p, const void XIDS_PEER *area, uint32_t offset);
void platform_remote_poke(struct platform_pair *p, void XIDS_PEER *area, uint32_t offset, uint8_t value);

#endif
