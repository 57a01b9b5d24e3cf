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
    /* Who took an offer of the extension is the client of now, whatever the one before left. */
    if (live == VCHAN_GONE) {
        if (!ch->returns && (ch->connected || !ch->reoffered || ch->extended))
            ch->gone = true;
    } else if (live != VCHAN_NOT_YET && (!ch->after_lost || ch->extended)) {
        ch->connected = true;
    }
}

/* Server, no client seen yet: which way is it going to speak? */
static void meet_client(struct xids_vchan *ch, uint8_t live)
{
    if (live == VCHAN_NOT_YET || xids_vchan_adopt_(ch))
        return;
    /*
     * A client takes the offer before it is alive: this one is, or was, of the other kind, and so are the indices for
     * whoever comes behind it. One behind a stale byte is seen at an event.
     */
    if (ch->mirror && !ch->after_lost && (live != VCHAN_GONE || !ch->reoffered))
        xids_vchan_withdraw_offer_(ch);
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
    uint8_t live = xids_peer_load8_acquire(xids_vchan_peer_live_(ch));
    if (ch->mirror) {
        meet_client(ch, live);
        /* One that we adopted came after that look at a byte which the one before had left. */
        if (ch->extended && live == VCHAN_GONE)
            live = xids_peer_load8_acquire(xids_vchan_peer_live_(ch));
    }
    /* As with live: a prod that is read after the peer said that it writes no more is the final one. */
    bool ended = ch->extended && xids_peer_load_acquire(xids_vchan_peer_line_(ch) + VCHAN_LINE_FIN) != 0;
    int n = ch->ended ? (int)xids_bytering_known(&ch->in) : xids_bytering_look(&ch->in);
    if (n < 0)
        return xids_vchan_fail_(ch, n, "the peer published a producer index that cannot be");
    ch->ended |= ended;
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

int xids_vchan_incoming_(struct xids_vchan *ch, uint32_t want)
{
    uint32_t n = xids_bytering_known(&ch->in);
    return n >= want && ch->error == 0 ? (int)n : xids_vchan_look_in_(ch);
}

int xids_vchan_drained_(const struct xids_vchan *ch)
{
    if (!ch->gone)
        return ch->ended ? 0 : -XEN_EAGAIN;
    return ch->lost ? -XEN_ENODEV : 0;
}

int xids_vchan_outgoing_(struct xids_vchan *ch, uint32_t want)
{
    /* A byte that hardly ever changes, so that the look costs nothing. */
    if (!ch->gone && (xids_peer_load8(xids_vchan_peer_live_(ch)) == VCHAN_GONE || ch->mirror)) {
        int rc = xids_vchan_look_in_(ch);
        if (rc < 0)
            return rc;
    }
    if (ch->error != 0)
        return ch->error;
    if (ch->gone)
        return ch->lost ? -XEN_ENODEV : -XEN_ENOTCONN;
    if (ch->shut)
        return -XEN_EINVAL;
    uint32_t n = xids_bytering_known(&ch->out);
    return n >= want ? (int)n : xids_vchan_look_out_(ch);
}

int xids_vchan_notify_(struct xids_vchan *ch)
{
    const struct xids_platform *platform = ch->platform;
    int rc = platform->ops->evtchn_notify(platform->ctx, ch->port);
    return rc < 0 ? xids_vchan_fail_(ch, rc, "the platform could not notify the peer") : 0;
}

bool xids_vchan_publish_(struct xids_vchan *ch, struct xids_bytering *r)
{
    bool moved = xids_bytering_publish(r);
    if (moved && ch->mirror)
        xids_peer_store_release(xids_vchan_own_line_(ch) + (r->writer ? VCHAN_LINE_PROD : VCHAN_LINE_CONS),
                                r->published);
    return moved;
}

/* Whether an index that went from old to new has reached event on its way. */
static bool reached(uint32_t event, uint32_t old, uint32_t new)
{
    return event - old - 1u < new - old;
}

/* The extension's lines: whether the peer is to be woken for what we published. */
static bool passed_event(const struct xids_vchan *ch, uint32_t old_out, uint32_t old_in)
{
    return reached(xids_peer_load(xids_vchan_peer_line_(ch) + VCHAN_LINE_PROD_EVENT), old_out, ch->out.published) ||
           reached(xids_peer_load(xids_vchan_peer_line_(ch) + VCHAN_LINE_CONS_EVENT), old_in, ch->in.published);
}

/* The page's request bits: the same, and takes the request away. */
static bool took_request(const struct xids_vchan *ch, uint32_t old_out, uint32_t old_in)
{
    uint8_t bits = (uint8_t)((old_out != ch->out.published ? VCHAN_NOTIFY_WRITE : 0) |
                             (old_in != ch->in.published ? VCHAN_NOTIFY_READ : 0));
    /* A plain load first: the locked operation would take the line away from the peer at each message. */
    return (xids_peer_load8(xids_vchan_asked_(ch)) & bits) != 0 &&
           (xids_peer_clear_bits8(xids_vchan_asked_(ch), bits) & bits) != 0;
}

int xids_vchan_kick_(struct xids_vchan *ch, uint32_t old_out, uint32_t old_in)
{
    /* Our index before its request; the peer sets the request before it looks at our index (arm). One of us sees. */
    xids_peer_fence();
    /* Where bytes are published without a look at the client: one that came meanwhile asks in its line. */
    if (ch->mirror) {
        meet_client(ch, xids_peer_load8_acquire(xids_vchan_peer_live_(ch)));
        if (ch->extended)
            return ch->error;
    }
    bool asked = ch->extended ? passed_event(ch, old_out, old_in) : took_request(ch, old_out, old_in);
    return asked ? xids_vchan_notify_(ch) : 0;
}

/* Whether the peer sleeps until bytes are published that we have gathered. */
static bool awaited(const struct xids_vchan *ch)
{
    if (ch->extended)
        return reached(xids_peer_load(xids_vchan_peer_line_(ch) + VCHAN_LINE_PROD_EVENT), ch->out.published,
                       ch->out.own);
    return (xids_peer_load8(xids_vchan_asked_(ch)) & VCHAN_NOTIFY_WRITE) != 0;
}

void xids_vchan_wrote_(struct xids_vchan *ch)
{
    uint32_t old = ch->out.published;
    if (ch->out.own - old < ch->out_batch && !awaited(ch))
        return;
    if (xids_vchan_publish_(ch, &ch->out))
        (void)xids_vchan_kick_(ch, old, ch->in.published);
}

void xids_vchan_took_(struct xids_vchan *ch, uint32_t n)
{
    uint32_t old = ch->in.published;
    if (ch->wipe_in)
        xids_vchan_wipe_(&ch->in.at, ch->in.own - n, n);
    if (ch->in.own - old < ch->in_batch)
        return;
    if (xids_vchan_publish_(ch, &ch->in))
        (void)xids_vchan_kick_(ch, ch->out.published, old);
}

int xids_vchan_short_(const struct xids_vchan *ch, int n)
{
    if (n > 0)
        return ch->gone || ch->ended ? -XEN_ENODATA : -XEN_EAGAIN;
    return xids_vchan_drained_(ch);
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
        xids_vchan_took_(ch, n);
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
        xids_vchan_wrote_(ch);
    }
    return (int)len;
}

int xids_vchan_read(struct xids_vchan *ch, void *data, uint32_t len)
{
    int n = xids_vchan_incoming_(ch, len);
    if (n < 0 || len == 0)
        return n < 0 ? n : 0;
    if (n == 0)
        return xids_vchan_drained_(ch);
    return copy_out(ch, data, (uint32_t)n < len ? (uint32_t)n : len);
}

int xids_vchan_write(struct xids_vchan *ch, const void *data, uint32_t len)
{
    int n = xids_vchan_outgoing_(ch, len);
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
    int n = xids_vchan_incoming_(ch, len);
    if (n < 0 || len == 0)
        return n < 0 ? n : 0;
    return (uint32_t)n >= len ? copy_out(ch, packet, len) : xids_vchan_short_(ch, n);
}

int xids_vchan_send(struct xids_vchan *ch, const void *packet, uint32_t len)
{
    if (len > ch->out.at.size)
        return -XEN_EMSGSIZE;
    int n = xids_vchan_outgoing_(ch, len);
    if (n < 0 || len == 0)
        return n < 0 ? n : 0;
    return (uint32_t)n >= len ? copy_in(ch, packet, len) : -XEN_EAGAIN;
}

int xids_vchan_peek(struct xids_vchan *ch, const uint8_t XIDS_PEER **span, uint32_t want)
{
    *span = NULL;
    int n = xids_vchan_incoming_(ch, want);
    if (n < 0)
        return n;
    if (n == 0)
        return xids_vchan_drained_(ch);
    return xids_bytering_peek(&ch->in, span, 0);
}

int xids_vchan_reserve(struct xids_vchan *ch, uint8_t XIDS_PEER **span, uint32_t want)
{
    *span = NULL;
    int n = xids_vchan_outgoing_(ch, want);
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
        xids_vchan_took_(ch, n);
    return rc;
}

int xids_vchan_commit(struct xids_vchan *ch, uint32_t n)
{
    if (ch->error != 0)
        return ch->error;
    if (ch->shut)
        return -XEN_EINVAL;
    int rc = xids_bytering_commit(&ch->out, n);
    if (rc == 0)
        xids_vchan_wrote_(ch);
    return rc;
}

int xids_vchan_readable(struct xids_vchan *ch)
{
    return xids_vchan_look_in_(ch);
}

int xids_vchan_writable(struct xids_vchan *ch)
{
    return xids_vchan_outgoing_(ch, UINT32_MAX);
}

int xids_vchan_unread(struct xids_vchan *ch)
{
    int n = xids_vchan_look_out_(ch);
    return n < 0 ? n : (int)(ch->out.at.size - (uint32_t)n);
}

int xids_vchan_flush(struct xids_vchan *ch)
{
    if (ch->error != 0)
        return ch->error;
    uint32_t old_out = ch->out.published, old_in = ch->in.published;
    bool moved = xids_vchan_publish_(ch, &ch->out);
    moved |= xids_vchan_publish_(ch, &ch->in);
    return moved ? xids_vchan_kick_(ch, old_out, old_in) : 0;
}

int xids_vchan_ready_(struct xids_vchan *ch, uint32_t want_read, uint32_t want_write)
{
    int n = xids_vchan_look_in_(ch);
    if (n < 0)
        return n;
    if (ch->gone || (want_read != 0 && ((uint32_t)n >= want_read || ch->ended)))
        return 1;
    if (want_write == 0)
        return 0;
    n = xids_vchan_look_out_(ch);
    return n < 0 ? n : (uint32_t)n >= want_write;
}

static uint8_t bits_of(uint32_t want_read, uint32_t want_write)
{
    return (uint8_t)((want_read != 0 ? VCHAN_NOTIFY_WRITE : 0) | (want_write != 0 ? VCHAN_NOTIFY_READ : 0));
}

/* Tells the peer what to wake us for. Whether through the extension. */
static bool ask(struct xids_vchan *ch, uint32_t want_read, uint32_t want_write)
{
    if (ch->extended) {
        /* An index that has been reached already brings nothing. */
        uint32_t prod_event = want_read != 0 ? ch->in.own + want_read : ch->in.peer;
        uint32_t cons_event = want_write != 0 ? ch->out.own + want_write - ch->out.at.size : ch->out.peer;
        xids_vchan_ask_events_(ch, prod_event, cons_event);
        return true;
    }
    uint8_t bits = bits_of(want_read, want_write);
    if ((xids_peer_load8(xids_vchan_ask_(ch)) & bits) != bits)
        (void)xids_peer_set_bits8(xids_vchan_ask_(ch), bits);
    return false;
}

static void take_back(struct xids_vchan *ch, uint32_t want_read, uint32_t want_write)
{
    uint8_t bits = bits_of(want_read, want_write);
    if (ch->extended)
        (void)ask(ch, 0, 0);
    else if (bits != 0)
        (void)xids_peer_clear_bits8(xids_vchan_ask_(ch), bits);
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
    xids_vchan_answer_(ch);
    /* Our request before its index; the peer publishes the index before it looks at the request (kick). */
    bool asked = ask(ch, want_read, want_write);
    xids_peer_fence();
    rc = xids_vchan_ready_(ch, want_read, want_write);
    /* One that we adopted in that look has not heard yet what we want. */
    if (rc == 0 && asked != ch->extended) {
        (void)ask(ch, want_read, want_write);
        xids_peer_fence();
        rc = xids_vchan_ready_(ch, want_read, want_write);
    }
    /* We stay awake: take the request back, it would cost the peer a call for nothing. */
    if (rc == 1)
        take_back(ch, want_read, want_write);
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
    /* One that was taken for a client without the extension, by what a dead one left, has had the time to say. */
    if (ch->server && ch->connected && !ch->extended && !ch->gone)
        (void)xids_vchan_adopt_(ch);
    xids_vchan_answer_(ch);
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

enum xids_vchan_state xids_vchan_look_at_port_(struct xids_vchan *ch)
{
    /* Connected is looked at before the port is: a client that comes in between is no loss. */
    enum xids_vchan_state state = xids_vchan_state(ch);
    if (state != XIDS_VCHAN_OPEN || !xids_vchan_unbound_(ch))
        return state;
    return xids_vchan_peer_died(ch);
}

enum xids_vchan_state xids_vchan_check_peer(struct xids_vchan *ch)
{
    enum xids_vchan_state state = xids_vchan_look_at_port_(ch);
    if (state != XIDS_VCHAN_CONNECTING || !xids_vchan_stillborn_(ch))
        return state;
    xids_vchan_offer_again_(ch);
    return xids_vchan_state(ch);
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
    /* What the old client has read: the next one goes on from there. */
    if (rc == 0)
        rc = xids_vchan_look_out_(ch);
    if (rc < 0)
        return rc;
    /*
     * A client may be here already, and its event be taken: only while nobody is, a live byte of 1 is the dead one's.
     * With the extension nobody comes before the next offer, and one that was given up may still be there.
     */
    ch->after_lost = ch->lost && (ch->extended || ch->platform->ops->evtchn_status(ch->platform->ctx, ch->port) !=
                                                      XIDS_EVTCHN_INTERDOMAIN);
    ch->connected = ch->gone = ch->lost = false;
    ch->reoffered = true;
    ch->reason = "";
    (void)xids_peer_set_bits8(xids_vchan_ask_(ch), VCHAN_NOTIFY_WRITE);
    xids_vchan_offer_again_(ch);
    return ch->error;
}

int xids_vchan_discard(struct xids_vchan *ch)
{
    if (!ch->server)
        return -XEN_EINVAL;
    enum xids_vchan_state state = xids_vchan_state(ch);
    if (state == XIDS_VCHAN_BROKEN)
        return ch->error;
    if (state != XIDS_VCHAN_CLOSED)
        return -XEN_EBUSY;
    int rc = xids_vchan_flush(ch);
    if (rc == 0)
        rc = xids_vchan_look_out_(ch);
    if (rc < 0)
        return rc;
    xids_vchan_wipe_(&ch->out.at, ch->out.peer, ch->out.published - ch->out.peer);
    /* The index is the client's, but there is none: the next one goes on from it. */
    ch->out.peer = ch->wiped = ch->out.published;
    xids_peer_store(ch->out.at.cons, ch->out.peer);
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
