/* SPDX-License-Identifier: ISC */
/* vchan, the moving of bytes: looking, publishing, asking and being asked for notifications, the end of a peer. */
#include "vchan/internal.h"

int xids_vchan_fail_(struct xids_vchan *ch, int error, const char *reason)
{
    if (ch->error == 0) {
        ch->error = error;
        ch->reason = reason;
    }
    return ch->error;
}

void xids_vchan_wipe_(const struct xids_bytering_layout *at, uint32_t index, uint32_t len)
{
    uint32_t offset = index & (at->size - 1u);
    uint32_t first = len < at->size - offset ? len : at->size - offset;
    xids_peer_wipe(at->buffer + offset, first);
    xids_peer_wipe(at->buffer, len - first);
}

static void note_live(struct xids_vchan *ch, uint8_t live)
{
    if (live == VCHAN_GONE) {
        if (!ch->returns && (ch->connected || !ch->reoffered))
            ch->gone = true;
    } else if (live != VCHAN_NOT_YET && !ch->after_lost) {
        ch->connected = true;
    }
}

int xids_vchan_look_in_(struct xids_vchan *ch)
{
    if (ch->error != 0)
        return ch->error;
    /* What a peer left is all there: after its end nothing is looked at, for another client could be writing already.
     */
    if (ch->gone)
        return (int)xids_bytering_known(&ch->in);
    /*
     * Live before prod: the peer publishes its last bytes before it clears its live byte, so a prod that is read after
     * a 0 is the final one. The acquire pairs with that release store.
     */
    uint8_t live = xids_peer_load8_acquire(ch->peer_live);
    int n = xids_bytering_look(&ch->in);
    if (n < 0)
        return xids_vchan_fail_(ch, n, "the peer published a producer index that cannot be");
    note_live(ch, live);
    return n;
}

int xids_vchan_look_out_(struct xids_vchan *ch)
{
    if (ch->error != 0)
        return ch->error;
    int n = xids_bytering_look(&ch->out);
    if (n < 0)
        return xids_vchan_fail_(ch, n, "the peer published a consumer index that cannot be");
    if (ch->wipe_out) {
        xids_vchan_wipe_(&ch->out.at, ch->wiped, ch->out.peer - ch->wiped);
        ch->wiped = ch->out.peer;
    }
    return n;
}

/* The bytes to read, looking only when fewer than want are known. */
static int incoming(struct xids_vchan *ch, uint32_t want)
{
    uint32_t n = xids_bytering_known(&ch->in);
    return n >= want && ch->error == 0 ? (int)n : xids_vchan_look_in_(ch);
}

/* What a reader is told who has read everything: 0, nothing now, or the end. */
static int drained(const struct xids_vchan *ch)
{
    if (!ch->gone)
        return -XEN_EAGAIN;
    return ch->lost ? -XEN_ENODEV : 0;
}

/* The room to write, or why there is no sense in writing. */
static int outgoing(struct xids_vchan *ch, uint32_t want)
{
    /* The live byte lies beside the request bits, which a write looks at anyway. */
    if (!ch->gone && xids_peer_load8(ch->peer_live) == VCHAN_GONE) {
        int rc = xids_vchan_look_in_(ch);
        if (rc < 0)
            return rc;
    }
    if (ch->error != 0)
        return ch->error;
    if (ch->gone)
        return ch->lost ? -XEN_ENODEV : -XEN_ENOTCONN;
    uint32_t n = xids_bytering_known(&ch->out);
    return n >= want ? (int)n : xids_vchan_look_out_(ch);
}

/* After publishing: notifies the peer if it asked for one of these bits. */
static int kick(struct xids_vchan *ch, uint8_t bits)
{
    /* Our index before its request; the peer sets the request before it looks at our index (arm). One of us sees. */
    xids_peer_fence();
    /* A plain load first: the locked operation would take the line away from the peer at each message. */
    if ((xids_peer_load8(ch->asked) & bits) == 0 || (xids_peer_clear_bits8(ch->asked, bits) & bits) == 0)
        return 0;
    const struct xids_platform *platform = ch->platform;
    int rc = platform->ops->evtchn_notify(platform->ctx, ch->port);
    return rc < 0 ? xids_vchan_fail_(ch, rc, "the platform could not notify the peer") : 0;
}

/* After bytes went into the ring. They are there whatever the notification says: an error shows at the next call. */
static void wrote(struct xids_vchan *ch)
{
    if (ch->out.own - ch->out.published < ch->out_batch && (xids_peer_load8(ch->asked) & VCHAN_NOTIFY_WRITE) == 0)
        return;
    if (xids_bytering_publish(&ch->out))
        (void)kick(ch, VCHAN_NOTIFY_WRITE);
}

/*
 * After n bytes were taken out of the ring. A peer that asked for room is not served before a batch is there: it would
 * be woken for a few bytes.
 */
static void took(struct xids_vchan *ch, uint32_t n)
{
    if (ch->wipe_in)
        xids_vchan_wipe_(&ch->in.at, ch->in.own - n, n);
    if (ch->in.own - ch->in.published < ch->in_batch && xids_bytering_known(&ch->in) != 0)
        return;
    if (xids_bytering_publish(&ch->in))
        (void)kick(ch, VCHAN_NOTIFY_READ);
}

/*
 * Both copy len bytes, which are known to be there or to fit, in pieces of a batch: the peer copies one while we do the
 * next, where it would wait for the whole ring to go to and fro.
 */
static int copy_out(struct xids_vchan *ch, void *data, uint32_t len)
{
    uint32_t piece = xids_vchan_batch_(&ch->in);
    for (uint32_t done = 0, n; done < len; done += n) {
        n = len - done < piece ? len - done : piece;
        int rc = xids_bytering_read(&ch->in, (uint8_t *)data + done, n);
        if (rc < 0)
            return rc;
        took(ch, n);
    }
    return (int)len;
}

static int copy_in(struct xids_vchan *ch, const void *data, uint32_t len)
{
    uint32_t piece = xids_vchan_batch_(&ch->out);
    for (uint32_t done = 0, n; done < len; done += n) {
        n = len - done < piece ? len - done : piece;
        int rc = xids_bytering_write(&ch->out, (const uint8_t *)data + done, n);
        if (rc < 0)
            return rc;
        wrote(ch);
    }
    return (int)len;
}

int xids_vchan_read(struct xids_vchan *ch, void *data, uint32_t len)
{
    int n = incoming(ch, len);
    if (n < 0 || len == 0)
        return n < 0 ? n : 0;
    if (n == 0)
        return drained(ch);
    return copy_out(ch, data, (uint32_t)n < len ? (uint32_t)n : len);
}

int xids_vchan_write(struct xids_vchan *ch, const void *data, uint32_t len)
{
    int n = outgoing(ch, len);
    if (n < 0 || len == 0)
        return n < 0 ? n : 0;
    if (n == 0)
        return -XEN_EAGAIN;
    return copy_in(ch, data, (uint32_t)n < len ? (uint32_t)n : len);
}

int xids_vchan_recv(struct xids_vchan *ch, void *packet, uint32_t len)
{
    if (len > ch->in.at.size)
        return -XEN_EMSGSIZE;
    int n = incoming(ch, len);
    if (n < 0 || len == 0)
        return n < 0 ? n : 0;
    if ((uint32_t)n >= len)
        return copy_out(ch, packet, len);
    if (n > 0)
        return ch->gone ? -XEN_ENODATA : -XEN_EAGAIN;
    return drained(ch);
}

int xids_vchan_send(struct xids_vchan *ch, const void *packet, uint32_t len)
{
    if (len > ch->out.at.size)
        return -XEN_EMSGSIZE;
    int n = outgoing(ch, len);
    if (n < 0 || len == 0)
        return n < 0 ? n : 0;
    return (uint32_t)n >= len ? copy_in(ch, packet, len) : -XEN_EAGAIN;
}

int xids_vchan_peek(struct xids_vchan *ch, const uint8_t XIDS_PEER **span, uint32_t want)
{
    *span = NULL;
    int n = incoming(ch, want);
    if (n < 0)
        return n;
    if (n == 0)
        return drained(ch);
    return xids_bytering_peek(&ch->in, span, 0);
}

int xids_vchan_reserve(struct xids_vchan *ch, uint8_t XIDS_PEER **span, uint32_t want)
{
    *span = NULL;
    int n = outgoing(ch, want);
    if (n < 0)
        return n;
    if (n == 0)
        return -XEN_EAGAIN;
    return xids_bytering_reserve(&ch->out, span, 0);
}

int xids_vchan_consume(struct xids_vchan *ch, uint32_t n)
{
    if (ch->error != 0)
        return ch->error;
    int rc = xids_bytering_consume(&ch->in, n);
    if (rc == 0)
        took(ch, n);
    return rc;
}

int xids_vchan_commit(struct xids_vchan *ch, uint32_t n)
{
    if (ch->error != 0)
        return ch->error;
    int rc = xids_bytering_commit(&ch->out, n);
    if (rc == 0)
        wrote(ch);
    return rc;
}

int xids_vchan_readable(struct xids_vchan *ch)
{
    return xids_vchan_look_in_(ch);
}

int xids_vchan_writable(struct xids_vchan *ch)
{
    return outgoing(ch, UINT32_MAX);
}

int xids_vchan_flush(struct xids_vchan *ch)
{
    if (ch->error != 0)
        return ch->error;
    uint8_t bits = 0;
    if (xids_bytering_publish(&ch->out))
        bits |= VCHAN_NOTIFY_WRITE;
    if (xids_bytering_publish(&ch->in))
        bits |= VCHAN_NOTIFY_READ;
    return bits != 0 ? kick(ch, bits) : 0;
}

int xids_vchan_ready_(struct xids_vchan *ch, uint32_t want_read, uint32_t want_write)
{
    int n = xids_vchan_look_in_(ch);
    if (n < 0)
        return n;
    if (ch->gone || (want_read != 0 && (uint32_t)n >= want_read))
        return 1;
    if (want_write == 0)
        return 0;
    n = xids_vchan_look_out_(ch);
    return n < 0 ? n : (uint32_t)n >= want_write;
}

int xids_vchan_arm(struct xids_vchan *ch, uint32_t want_read, uint32_t want_write)
{
    if (want_read > ch->in.at.size || want_write > ch->out.at.size)
        return -XEN_EMSGSIZE;
    int rc = xids_vchan_flush(ch);
    if (rc < 0)
        return rc;
    if (want_read != 0 && xids_bytering_known(&ch->in) >= want_read)
        return 1;
    uint8_t bits = (uint8_t)((want_read != 0 ? VCHAN_NOTIFY_WRITE : 0) | (want_write != 0 ? VCHAN_NOTIFY_READ : 0));
    if ((xids_peer_load8(ch->ask) & bits) != bits)
        (void)xids_peer_set_bits8(ch->ask, bits);
    /* Our request before its index; the peer publishes the index before it looks at the request (kick). */
    xids_peer_fence();
    rc = xids_vchan_ready_(ch, want_read, want_write);
    /* We stay awake: take the request back, it would cost the peer a call for nothing. */
    if (rc == 1 && bits != 0)
        (void)xids_peer_clear_bits8(ch->ask, bits);
    return rc;
}

enum xids_vchan_state xids_vchan_state(struct xids_vchan *ch)
{
    int n = xids_vchan_look_in_(ch);
    if (n < 0)
        return XIDS_VCHAN_BROKEN;
    if (ch->gone)
        return n > 0 ? XIDS_VCHAN_DRAINING : XIDS_VCHAN_CLOSED;
    return ch->connected ? XIDS_VCHAN_OPEN : XIDS_VCHAN_CONNECTING;
}

bool xids_vchan_unbound_(const struct xids_vchan *ch)
{
    int rc = ch->platform->ops->evtchn_status(ch->platform->ctx, ch->port);
    return rc >= 0 && rc != XIDS_EVTCHN_INTERDOMAIN;
}

enum xids_vchan_state xids_vchan_event(struct xids_vchan *ch)
{
    if (ch->error != 0)
        return XIDS_VCHAN_BROKEN;
    /* Unmask first: an event that comes while we look is then delivered again. */
    int rc = ch->platform->ops->evtchn_unmask(ch->platform->ctx, ch->port);
    if (rc < 0) {
        (void)xids_vchan_fail_(ch, rc, "the platform could not unmask the event channel");
        return XIDS_VCHAN_BROKEN;
    }
    if (ch->after_lost && !xids_vchan_unbound_(ch))
        ch->after_lost = false;
    return xids_vchan_state(ch);
}

enum xids_vchan_state xids_vchan_peer_died(struct xids_vchan *ch)
{
    /* A peer that closes clears its live byte before its port goes: look again, then it is no loss either. */
    enum xids_vchan_state state = xids_vchan_state(ch);
    if (state != XIDS_VCHAN_OPEN)
        return state;
    ch->gone = ch->lost = true;
    ch->reason = "the peer's domain died without closing";
    return xids_vchan_state(ch);
}

enum xids_vchan_state xids_vchan_check_peer(struct xids_vchan *ch)
{
    /* Connected is looked at before the port is: a client that comes in between is no loss. */
    enum xids_vchan_state state = xids_vchan_state(ch);
    if (state != XIDS_VCHAN_OPEN || !xids_vchan_unbound_(ch))
        return state;
    return xids_vchan_peer_died(ch);
}

int xids_vchan_reoffer(struct xids_vchan *ch)
{
    if (!ch->server)
        return -XEN_EINVAL;
    switch (xids_vchan_state(ch)) {
    case XIDS_VCHAN_BROKEN:
        return ch->error;
    case XIDS_VCHAN_CLOSED:
        break;
    case XIDS_VCHAN_CONNECTING:
    case XIDS_VCHAN_OPEN:
    case XIDS_VCHAN_DRAINING:
        return -XEN_EBUSY;
    }
    int rc = xids_vchan_flush(ch);
    if (rc < 0)
        return rc;
    ch->after_lost = ch->lost;
    ch->connected = ch->gone = ch->lost = false;
    ch->reoffered = true;
    ch->reason = "";
    (void)xids_peer_set_bits8(ch->ask, VCHAN_NOTIFY_WRITE);
    return 0;
}

int xids_vchan_error(const struct xids_vchan *ch)
{
    return ch->error != 0 ? ch->error : ch->lost ? -XEN_ENODEV : 0;
}

const char *xids_vchan_reason(const struct xids_vchan *ch)
{
    return ch->reason;
}
