/* SPDX-License-Identifier: ISC */
/* The xenstore client's engine: memory, bytes in and out, requests and their replies. */
#include "xenstore/client_internal.h"

/* ---- memory ---- */

#define ALIGN 16u

static size_t aligned(size_t n)
{
    return (n + ALIGN - 1u) & ~(size_t)(ALIGN - 1u);
}

static int fill_limits(struct xids_xs_client_limits *to, const struct xids_xs_client_limits *from)
{
    *to = from != NULL ? *from : (struct xids_xs_client_limits){0};
    if (to->requests == 0)
        to->requests = 32;
    if (to->watches == 0)
        to->watches = 32;
    if (to->transactions == 0)
        to->transactions = 4;
    if (to->watch_path == 0)
        to->watch_path = 255;
    if (to->out_bytes == 0)
        to->out_bytes = 8192;
    if (to->requests > 32768 || to->watches > 32768 || to->watch_path > XENSTORE_ABS_PATH_MAX - 1 ||
        to->transactions > 16384 || to->out_bytes < XIDS_XSWIRE_MESSAGE_MAX || to->out_bytes > (1u << 30))
        return -XEN_EINVAL;
    return 0;
}

/* Where each piece of a client lies in its memory. */
struct layout {
    size_t requests, watches, txs, parse, out, paths, total;
};

static struct layout layout_of(const struct xids_xs_client_limits *l)
{
    struct layout at;
    at.requests = aligned(sizeof(struct xids_xs_client));
    at.watches = at.requests + aligned(l->requests * sizeof(struct xsc_request));
    at.txs = at.watches + aligned(l->watches * sizeof(struct xsc_watch));
    at.parse = at.txs + aligned(l->transactions * sizeof(struct xids_xs_tx));
    at.out = at.parse + aligned(XIDS_XSWIRE_MESSAGE_MAX);
    at.paths = at.out + aligned(l->out_bytes);
    at.total = at.paths + l->watches * ((size_t)l->watch_path + 1u);
    return at;
}

size_t xids_xs_client_size(const struct xids_xs_client_limits *limits)
{
    struct xids_xs_client_limits l;
    return fill_limits(&l, limits) == 0 ? layout_of(&l).total : 0;
}

int xids_xs_client_init(struct xids_xs_client **client, void *mem, size_t size,
                        const struct xids_xs_client_limits *limits)
{
    struct xids_xs_client_limits l;
    int rc = fill_limits(&l, limits);
    if (rc < 0)
        return rc;
    struct layout at = layout_of(&l);
    if (size < at.total)
        return -XEN_ENOMEM;
    uint8_t *base = mem;
    struct xids_xs_client *c = mem;
    __builtin_memset(mem, 0, at.parse);
    c->limits = l;
    c->requests = (void *)(base + at.requests);
    c->watches = (void *)(base + at.watches);
    c->txs = (void *)(base + at.txs);
    c->parse_buffer = base + at.parse;
    c->out = base + at.out;
    c->reason = "";
    c->next_deadline = UINT64_MAX;
    xids_xswire_parser_init(&c->parser, c->parse_buffer);
    for (unsigned int i = 0; i < l.requests; i++) {
        c->requests[i].next = (uint16_t)(i + 1u < l.requests ? i + 1u : XSC_NONE);
        c->requests[i].serial = 1;
    }
    for (unsigned int i = 0; i < l.watches; i++)
        c->watches[i].path = (char *)base + at.paths + i * ((size_t)l.watch_path + 1u);
    for (unsigned int i = 0; i < l.transactions; i++)
        c->txs[i].client = c;
    *client = c;
    return 0;
}

/* ---- the connection's end ---- */

/* The owner of a slot that is given back hears of it after that, so that its callback can use the slot again. */
static void release(struct xids_xs_client *c, struct xsc_request *r)
{
    r->state = XSC_REQ_FREE;
    r->serial = (uint16_t)(r->serial + 1u);
    r->next = c->free_request;
    c->free_request = (uint16_t)(r - c->requests);
    c->busy--;
}

/* The watches have been told in another way, and may have other users by the time the orphans are gone through. */
static bool is_nobodys(const struct xsc_request *r)
{
    return r->fn == NULL || r->fn == xids_xsc_watch_reply || r->fn == xids_xsc_unwatch_reply;
}

/*
 * Forgets the connection: completes with rc every request that was made on it, and only these; callbacks can make
 * new ones already.
 */
static void disconnect(struct xids_xs_client *c, int rc)
{
    c->out_head = c->out_tail = 0;
    xids_xswire_parser_init(&c->parser, c->parse_buffer);
    xids_xsc_watch_disconnected(c);
    xids_xsc_tx_disconnected(c);
    c->ending = rc;
    c->next_deadline = UINT64_MAX;
    for (unsigned int i = 0; i < c->limits.requests; i++) {
        struct xsc_request *r = &c->requests[i];
        if (r->state == XSC_REQ_LIVE)
            r->state = XSC_REQ_ORPHAN;
        if (r->state == XSC_REQ_DEAD || (r->state == XSC_REQ_ORPHAN && is_nobodys(r)))
            release(c, r);
    }
    for (unsigned int i = 0; i < c->limits.requests; i++) {
        struct xsc_request *r = &c->requests[i];
        if (r->state == XSC_REQ_ORPHAN) {
            release(c, r);
            r->fn(r->ctx, c->ending, NULL, 0);
        }
    }
}

void xids_xs_client_fail(struct xids_xs_client *c, int rc, const char *reason)
{
    if (c->error != 0)
        return;
    c->error = rc < 0 ? rc : -XEN_EIO;
    c->reason = reason;
    disconnect(c, c->error);
    xids_xsc_tx_end_all(c, c->error, false);
}

void xids_xs_client_reset(struct xids_xs_client *c)
{
    c->error = 0;
    c->reason = "";
    disconnect(c, -XEN_ENOTCONN);
}

void xids_xs_client_fini(struct xids_xs_client *c)
{
    if (c == NULL)
        return;
    xids_xs_client_fail(c, -XEN_ENOTCONN, "the client was ended");
    xids_xsc_tx_end_all(c, -XEN_ENOTCONN, true);
}

int xids_xs_client_error(const struct xids_xs_client *c)
{
    return c->error;
}

const char *xids_xs_client_reason(const struct xids_xs_client *c)
{
    return c->reason;
}

/* ---- bytes in ---- */

static void violation(struct xids_xs_client *c, const char *reason)
{
    xids_xs_client_fail(c, -XEN_EBADMSG, reason);
}

/* A transaction that began after its asker gave up would stay open in the store until the connection ends. */
static void end_stray(struct xids_xs_client *c, const struct xids_xswire_msg *msg)
{
    uint32_t id;
    static const struct xids_xswire_part no = {"F", 2};
    if (msg->type == XS_TRANSACTION_START && msg->len > 1 &&
        xids_xswire_decimal(&id, msg->payload, msg->len - 1, UINT32_MAX) == 0)
        (void)xids_xsc_send(c, XS_TRANSACTION_END, id, &no, 1, NULL, NULL, true);
}

static void handle_reply(struct xids_xs_client *c, const struct xids_xswire_msg *msg)
{
    uint32_t slot = msg->req_id & 0xffffu;
    if (slot >= c->limits.requests || c->requests[slot].state == XSC_REQ_FREE ||
        c->requests[slot].serial != msg->req_id >> 16) {
        violation(c, "a reply to no request");
        return;
    }
    struct xsc_request *r = &c->requests[slot];
    int rc = 0;
    if (msg->type == XS_ERROR) {
        rc = xids_xswire_error_number(msg->payload, msg->len);
        if (rc == -XEN_EBADMSG) {
            violation(c, "a malformed error");
            return;
        }
    } else if (msg->type != r->type) {
        violation(c, "a reply of another type than its request");
        return;
    }
    bool live = r->state == XSC_REQ_LIVE;
    release(c, r);
    if (!live)
        end_stray(c, msg);
    else if (r->fn != NULL)
        r->fn(r->ctx, rc, rc == 0 ? msg->payload : NULL, rc == 0 ? msg->len : 0);
}

int xids_xs_client_input(struct xids_xs_client *c, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    while (c->error == 0 && len > 0) {
        struct xids_xswire_msg msg;
        size_t used;
        int rc = xids_xswire_parse(&c->parser, &msg, &used, bytes, len);
        bytes += used;
        len -= used;
        if (rc < 0)
            violation(c, "a message over the protocol's length");
        else if (rc == 1 && msg.type == XS_WATCH_EVENT)
            xids_xsc_watch_event(c, msg.payload, msg.len);
        else if (rc == 1)
            handle_reply(c, &msg);
    }
    return c->error;
}

/* ---- bytes out ---- */

void xids_xsc_flush(struct xids_xs_client *c)
{
    if (c->wants > 0 && c->error == 0 && xids_xsc_tx_flush(c))
        (void)xids_xsc_watch_flush(c);
}

size_t xids_xs_client_output(struct xids_xs_client *c, const uint8_t **span)
{
    xids_xsc_flush(c);
    *span = c->out + c->out_head;
    return c->out_tail - c->out_head;
}

void xids_xs_client_sent(struct xids_xs_client *c, size_t n)
{
    if (n >= c->out_tail - c->out_head)
        c->out_head = c->out_tail = 0;
    else
        c->out_head += (uint32_t)n;
}

int xids_xsc_send(struct xids_xs_client *c, uint32_t type, uint32_t tx, const struct xids_xswire_part *parts,
                  unsigned int count, xids_xs_reply_fn *fn, void *ctx, bool patient)
{
    /* oxenstored never answers a request without a payload. */
    static const struct xids_xswire_part nul = {"", 1};
    if (c->error != 0)
        return c->error;
    if (c->free_request == XSC_NONE)
        return -XEN_EBUSY;
    size_t len = 0;
    for (unsigned int i = 0; i < count; i++)
        len += parts[i].len < XIDS_XSWIRE_MESSAGE_MAX ? parts[i].len : XIDS_XSWIRE_MESSAGE_MAX;
    if (len == 0) {
        parts = &nul;
        count = 1;
        len = 1;
    }
    if (c->out_head > 0 && c->limits.out_bytes - c->out_tail < XIDS_XSWIRE_HEADER + len) {
        __builtin_memmove(c->out, c->out + c->out_head, c->out_tail - c->out_head);
        c->out_tail -= c->out_head;
        c->out_head = 0;
    }
    struct xsc_request *r = &c->requests[c->free_request];
    uint32_t req_id = (uint32_t)r->serial << 16 | c->free_request;
    int n = xids_xswire_build(c->out + c->out_tail, c->limits.out_bytes - c->out_tail, type, req_id, tx, parts, count);
    if (n == -XEN_ENOSPC)
        return -XEN_EBUSY;
    if (n < 0)
        return n;
    c->out_tail += (uint32_t)n;
    c->free_request = r->next;
    c->busy++;
    r->state = XSC_REQ_LIVE;
    r->type = type;
    r->fn = fn;
    r->ctx = ctx;
    r->deadline = UINT64_MAX;
    if (c->timeout > 0 && !patient && c->timeout < UINT64_MAX - c->now)
        r->deadline = c->now + c->timeout;
    if (r->deadline < c->next_deadline)
        c->next_deadline = r->deadline;
    return 0;
}

int xids_xs_client_request(struct xids_xs_client *c, uint32_t type, uint32_t tx, const struct xids_xswire_part *parts,
                           unsigned int count, xids_xs_reply_fn *fn, void *ctx)
{
    uint32_t wire;
    /* What waits for a slot goes first, so that a busy user does not starve it. */
    xids_xsc_flush(c);
    int rc = xids_xsc_tx_translate(c, &wire, tx);
    return rc < 0 ? rc : xids_xsc_send(c, type, wire, parts, count, fn, ctx, false);
}

unsigned int xids_xs_client_outstanding(const struct xids_xs_client *c)
{
    return c->busy;
}

unsigned int xids_xs_client_cancel(struct xids_xs_client *c, xids_xs_reply_fn *fn, void *ctx)
{
    unsigned int n = 0;
    for (unsigned int i = 0; i < c->limits.requests; i++) {
        struct xsc_request *r = &c->requests[i];
        if (r->state == XSC_REQ_LIVE && r->fn == fn && r->ctx == ctx) {
            r->state = XSC_REQ_DEAD;
            n++;
        } else if (r->state == XSC_REQ_ORPHAN && r->fn == fn && r->ctx == ctx) {
            release(c, r);
            n++;
        }
    }
    return n;
}

/* ---- time ---- */

void xids_xs_client_timeout(struct xids_xs_client *c, uint64_t ns)
{
    c->timeout = ns;
}

uint64_t xids_xs_client_deadline(const struct xids_xs_client *c)
{
    return c->next_deadline;
}

void xids_xs_client_tick(struct xids_xs_client *c, uint64_t now)
{
    c->now = now;
    if (now < c->next_deadline)
        return;
    c->next_deadline = UINT64_MAX;
    for (unsigned int i = 0; i < c->limits.requests; i++) {
        struct xsc_request *r = &c->requests[i];
        if (r->state == XSC_REQ_LIVE && r->deadline <= now) {
            r->state = XSC_REQ_DEAD;
            if (r->fn != NULL)
                r->fn(r->ctx, -XEN_ETIMEDOUT, NULL, 0);
        } else if (r->state == XSC_REQ_LIVE && r->deadline < c->next_deadline) {
            c->next_deadline = r->deadline;
        }
    }
}
