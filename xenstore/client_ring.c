/* SPDX-License-Identifier: ISC */
/* The xenstore client over a domain's xenstore page (xen/io/xs_wire.h, Xen's docs/misc/xenstore-ring.txt). */
#include <xids/xs_client.h>

/* More than the first round is only to save notifications: what comes after our look comes with an event. */
#define ROUNDS 8

static uint32_t XIDS_PEER *word(const struct xids_xs_ring *r, size_t offset)
{
    return (uint32_t XIDS_PEER *)(void XIDS_PEER *)((uint8_t XIDS_PEER *)r->page + offset);
}

#define FIELD(r, name) word(r, offsetof(struct xenstore_domain_interface, name))

static bool connected(const struct xids_xs_ring *r)
{
    /* Acquire: the indices that the store set before it said so. */
    return xids_peer_load_acquire(FIELD(r, connection)) == XENSTORE_CONNECTED;
}

static int attach(struct xids_xs_ring *r)
{
    struct xids_bytering_layout out = xids_bytering_xenstore_requests(r->page);
    struct xids_bytering_layout in = xids_bytering_xenstore_replies(r->page);
    int rc = xids_bytering_attach(&r->requests, &out, true);
    if (rc == 0)
        rc = xids_bytering_attach(&r->replies, &in, false);
    r->attached = rc == 0;
    return rc;
}

int xids_xs_ring_init(struct xids_xs_ring *r, struct xids_xs_client *c, struct xids_platform *p, void XIDS_PEER *page,
                      evtchn_port_t port)
{
    *r = (struct xids_xs_ring){.client = c, .platform = p, .page = page, .port = port};
    /* A store that starts after us marks the page until it serves it. */
    return connected(r) ? attach(r) : 0;
}

int xids_xs_ring_resume(struct xids_xs_ring *r, void XIDS_PEER *page, evtchn_port_t port)
{
    r->page = page;
    r->port = port;
    r->attached = r->reconnecting = false;
    int rc = connected(r) ? attach(r) : 0;
    xids_xs_client_reset(r->client);
    return rc;
}

int xids_xs_ring_reconnect(struct xids_xs_ring *r)
{
    if ((xids_peer_load(FIELD(r, server_features)) & XIDS_XS_FEATURE_RECONNECTION) == 0)
        return -XEN_ENOSYS;
    r->attached = false;
    r->reconnecting = true;
    xids_peer_store_release(FIELD(r, connection), XENSTORE_RECONNECT);
    return r->platform->ops->evtchn_notify(r->platform->ctx, r->port);
}

/* True when the ring can be used. */
static bool ready(struct xids_xs_ring *r)
{
    if (r->attached)
        return true;
    if (!connected(r))
        return false;
    int rc = attach(r);
    if (r->reconnecting) {
        r->reconnecting = false;
        xids_xs_client_reset(r->client);
    }
    if (rc < 0)
        xids_xs_client_fail(r->client, rc, "impossible indices in the xenstore page");
    return rc == 0;
}

static const char *page_error(const struct xids_xs_ring *r)
{
    if ((xids_peer_load(FIELD(r, server_features)) & XIDS_XS_FEATURE_ERROR) == 0)
        return NULL;
    switch (xids_peer_load(FIELD(r, error))) {
    case XENSTORE_ERROR_NONE:
        return NULL;
    case XENSTORE_ERROR_COMM:
        return "the store gave the ring up: a communication problem";
    case XENSTORE_ERROR_RINGIDX:
        return "the store gave the ring up: bad indices";
    case XENSTORE_ERROR_PROTO:
        return "the store gave the ring up: a protocol violation";
    default:
        return "the store gave the ring up";
    }
}

/* Takes what the store sent. The number of bytes. */
static int receive(struct xids_xs_ring *r)
{
    uint8_t bytes[XENSTORE_RING_SIZE];
    int n = xids_bytering_read(&r->replies, bytes, sizeof(bytes));
    if (n <= 0)
        return n;
    xids_bytering_publish(&r->replies);
    /* A broken client keeps its own error and has nothing more to move. */
    return xids_xs_client_input(r->client, bytes, (size_t)n) < 0 ? 0 : n;
}

static int transmit(struct xids_xs_ring *r)
{
    const uint8_t *span;
    size_t len = xids_xs_client_output(r->client, &span);
    if (len == 0)
        return 0;
    int n = xids_bytering_write(&r->requests, span, len < XENSTORE_RING_SIZE ? (uint32_t)len : XENSTORE_RING_SIZE);
    if (n <= 0)
        return n;
    xids_xs_client_sent(r->client, (size_t)n);
    xids_bytering_publish(&r->requests);
    return n;
}

int xids_xs_ring_pump(struct xids_xs_ring *r)
{
    if (!ready(r))
        return xids_xs_client_error(r->client);
    for (int round = 0; round < ROUNDS && xids_xs_client_error(r->client) == 0; round++) {
        const char *gone = page_error(r);
        if (gone != NULL) {
            xids_xs_client_fail(r->client, -XEN_EIO, gone);
            break;
        }
        int in = receive(r);
        int out = xids_xs_client_error(r->client) == 0 && in >= 0 ? transmit(r) : 0;
        if (in < 0 || out < 0) {
            xids_xs_client_fail(r->client, -XEN_EBADMSG, "impossible indices in the xenstore page");
            break;
        }
        if (in == 0 && out == 0)
            break;
        int rc = r->platform->ops->evtchn_notify(r->platform->ctx, r->port);
        if (rc < 0)
            xids_xs_client_fail(r->client, rc, "the store's event channel is gone");
    }
    return xids_xs_client_error(r->client);
}
