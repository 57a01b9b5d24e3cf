/* SPDX-License-Identifier: ISC */
/* A xenstore client's engine under test, with the test itself as the store: it takes requests and makes replies. */
#ifndef TESTS_UNIT_XS_HARNESS_H
#define TESTS_UNIT_XS_HARNESS_H

#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>
#include <xids/xs_client.h>

struct rig {
    struct xids_xs_client *c;
    void *mem;
};

/* What callbacks were told. */
struct answer {
    int calls;
    int rc;
    uint32_t len;
    char payload[XIDS_XSWIRE_PAYLOAD_MAX + 1];
};

/* A request as the store sees it; of a long payload the beginning. */
struct request {
    struct xids_xswire_msg msg;
    char payload[512];
};

static inline void rig_init(struct rig *r, const struct xids_xs_client_limits *limits)
{
    size_t size = xids_xs_client_size(limits);
    ck_assert_uint_gt(size, 0);
    r->mem = malloc(size);
    ck_assert_int_eq(xids_xs_client_init(&r->c, r->mem, size, limits), 0);
}

static inline void rig_fini(struct rig *r)
{
    xids_xs_client_fini(r->c);
    free(r->mem);
}

static inline void on_reply(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct answer *a = ctx;
    a->calls++;
    a->rc = rc;
    a->len = len;
    ck_assert(rc <= 0);
    ck_assert(rc == 0 || (payload == NULL && len == 0));
    if (len > 0)
        memcpy(a->payload, payload, len);
    a->payload[len] = '\0';
}

/* Takes the client's next request. False: it sends nothing. */
static inline bool take(struct rig *r, struct request *q)
{
    const uint8_t *span;
    size_t len = xids_xs_client_output(r->c, &span);
    if (len == 0)
        return false;
    int n = xids_xswire_peek(&q->msg, span, len);
    ck_assert_int_gt(n, 0);
    size_t keep = q->msg.len < sizeof(q->payload) ? q->msg.len : sizeof(q->payload) - 1;
    memcpy(q->payload, q->msg.payload, keep);
    q->payload[keep] = '\0';
    q->msg.payload = q->payload;
    ck_assert_uint_gt(q->msg.len, 0); /* oxenstored hangs on a request without payload */
    xids_xs_client_sent(r->c, (size_t)n);
    return true;
}

/* The same, of a type that is known. */
static inline struct request *expect(struct rig *r, struct request *q, uint32_t type)
{
    ck_assert_msg(take(r, q), "the client sent nothing");
    ck_assert_uint_eq(q->msg.type, type);
    return q;
}

static inline int send_raw(struct rig *r, uint32_t type, uint32_t req_id, uint32_t tx, const void *data, size_t len)
{
    static uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    struct xids_xswire_part part = {data, len};
    int n = xids_xswire_build(out, sizeof(out), type, req_id, tx, &part, 1);
    ck_assert_int_gt(n, 0);
    return xids_xs_client_input(r->c, out, (size_t)n);
}

static inline int answer(struct rig *r, const struct request *q, const void *data, size_t len)
{
    return send_raw(r, q->msg.type, q->msg.req_id, q->msg.tx_id, data, len);
}

static inline int answer_ok(struct rig *r, const struct request *q)
{
    return answer(r, q, "OK", 3);
}

static inline int answer_error(struct rig *r, const struct request *q, const char *name)
{
    return send_raw(r, XS_ERROR, q->msg.req_id, q->msg.tx_id, name, strlen(name) + 1);
}

/* Sends an event of the watch whose WATCH request q is. */
static inline int fire(struct rig *r, const char *path, const char *token)
{
    static char text[2 * XIDS_XSWIRE_PAYLOAD_MAX];
    size_t p = strlen(path) + 1;
    size_t t = strlen(token) + 1;
    memcpy(text, path, p);
    memcpy(text + p, token, t);
    return send_raw(r, XS_WATCH_EVENT, 0, 0, text, p + t);
}

/* The token of a WATCH or UNWATCH request. */
static inline const char *token_of(const struct request *q)
{
    return q->payload + strlen(q->payload) + 1;
}

/* Serves what the client sends with OK, until it sends no more. The number of requests. */
static inline int serve_ok(struct rig *r)
{
    struct request q;
    int n = 0;
    while (take(r, &q)) {
        ck_assert_int_eq(answer_ok(r, &q), 0);
        n++;
    }
    return n;
}

#endif
