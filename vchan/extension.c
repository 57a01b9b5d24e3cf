/* SPDX-License-Identifier: ISC */
/*
 * vchan, the extension: indices in cache lines of their own, wake-ups at an index, half-close, heartbeat, and the epoch
 * that tells one client from the next. docs/spec/vchan.md, section 10.
 */
#include "vchan/internal.h"

size_t xids_vchan_extension_at_(unsigned int left_order, unsigned int right_order)
{
    unsigned int smaller = left_order < right_order ? left_order : right_order;
    unsigned int larger = left_order < right_order ? right_order : left_order;
    if (smaller >= VCHAN_ORDER_PAGE)
        return VCHAN_AT_EXTENSION_OUTSIDE;
    if (smaller == VCHAN_ORDER_LARGE)
        return VCHAN_AT_EXTENSION_LARGE;
    /* With a ring of order 20 beside it, the list of grants takes all of the room before the small ring. */
    return larger < XIDS_VCHAN_ORDER_MAX ? VCHAN_AT_EXTENSION_SMALL : 0;
}

bool xids_vchan_extended(const struct xids_vchan *ch)
{
    return ch->extended;
}

void xids_vchan_use_lines_(const struct xids_vchan *ch, struct xids_bytering_layout *in,
                           struct xids_bytering_layout *out)
{
    out->prod = xids_vchan_own_line_(ch) + VCHAN_LINE_PROD;
    in->cons = xids_vchan_own_line_(ch) + VCHAN_LINE_CONS;
    in->prod = xids_vchan_peer_line_(ch) + VCHAN_LINE_PROD;
    out->cons = xids_vchan_peer_line_(ch) + VCHAN_LINE_CONS;
}

static uint32_t XIDS_PEER *word_of_page(const struct xids_vchan *ch, size_t offset)
{
    return (uint32_t XIDS_PEER *)(void XIDS_PEER *)(ch->page + offset);
}

/* The orders as they are, or none; in one store, so that nobody finds one of them. */
static void show_orders(struct xids_vchan *ch, bool show)
{
    const struct xids_bytering *in_left = ch->server ? &ch->in : &ch->out, *in_right = ch->server ? &ch->out : &ch->in;
    uint32_t left = (uint32_t)__builtin_ctz(in_left->at.size), right = (uint32_t)__builtin_ctz(in_right->at.size);
    xids_peer_store(word_of_page(ch, VCHAN_AT_LEFT_ORDER), show ? left | right << 16 : 0);
}

static bool orders_hidden(const struct xids_vchan *ch)
{
    return xids_peer_load(word_of_page(ch, VCHAN_AT_LEFT_ORDER)) == 0;
}

/* ---- the server's offer ---- */

/* Fills a line: that side's indices, and what it is to be woken for at first, which is anything. */
static void fill(uint32_t XIDS_PEER *line, uint32_t prod, uint32_t cons, uint32_t peer_prod, uint32_t peer_cons)
{
    xids_peer_store(line + VCHAN_LINE_PROD, prod);
    xids_peer_store(line + VCHAN_LINE_CONS, cons);
    xids_peer_store(line + VCHAN_LINE_PROD_EVENT, peer_prod + 1u);
    xids_peer_store(line + VCHAN_LINE_CONS_EVENT, peer_cons);
    for (unsigned int word = VCHAN_LINE_EPOCH; word <= VCHAN_LINE_PONG; word++)
        xids_peer_store(line + word, 0);
}

void xids_vchan_offer_(struct xids_vchan *ch)
{
    ch->extended = ch->mirror = ch->ended = ch->shut = ch->pending = false;
    ch->ping = ch->pong = 0;
    if (ch->header == NULL)
        return;
    ch->mirror = true;
    /* Never 0: that is what a client's line has that took no offer. */
    if (++ch->epoch == 0)
        ch->epoch = 1;
    ch->prod_event = ch->in.peer + 1u;
    ch->cons_event = ch->out.peer;
    fill(xids_vchan_own_line_(ch), ch->out.published, ch->in.published, ch->in.peer, ch->out.peer);
    fill(xids_vchan_peer_line_(ch), ch->in.peer, ch->out.peer, ch->out.published, ch->in.published);
    xids_peer_store(ch->header + VCHAN_HEADER_EPOCH, ch->epoch);
    xids_peer_store(ch->header + VCHAN_HEADER_VERSION, VCHAN_VERSION);
    xids_peer_store_release(ch->header + VCHAN_HEADER_MAGIC, VCHAN_MAGIC);
}

/* Whether a client has taken the offer that is open, or is about to. */
static bool taken(const struct xids_vchan *ch)
{
    /* Pairs with the client's release store in take_offer: its line is filled. */
    return ch->header != NULL && xids_peer_load_acquire(xids_vchan_peer_line_(ch) + VCHAN_LINE_EPOCH) == ch->epoch;
}

void xids_vchan_withdraw_offer_(struct xids_vchan *ch)
{
    ch->mirror = false;
    xids_peer_store(ch->header + VCHAN_HEADER_MAGIC, 0);
}

void xids_vchan_offer_again_(struct xids_vchan *ch)
{
    bool hidden = ch->extended || (ch->header != NULL && orders_hidden(ch));
    if (ch->extended) {
        /* All of the page's indices, the client's too: a client goes on from them. */
        ch->in.at.cons = word_of_page(ch, VCHAN_AT_LEFT);
        ch->in.at.prod = word_of_page(ch, VCHAN_AT_LEFT + 4);
        ch->out.at.cons = word_of_page(ch, VCHAN_AT_RIGHT);
        ch->out.at.prod = word_of_page(ch, VCHAN_AT_RIGHT + 4);
        xids_peer_store(ch->in.at.cons, ch->in.published);
        xids_peer_store(ch->in.at.prod, ch->in.peer);
        xids_peer_store(ch->out.at.cons, ch->out.peer);
        xids_peer_store(ch->out.at.prod, ch->out.published);
    }
    xids_vchan_offer_(ch);
    if (!hidden)
        return;
    /* All of that before the orders: who has them goes on from it (client_pages). */
    xids_peer_fence();
    show_orders(ch, true);
    /* A client that still believes to be ours, because only its heartbeat was missed, learns that it is not. */
    (void)xids_vchan_notify_(ch);
}

bool xids_vchan_stillborn_(const struct xids_vchan *ch)
{
    return ch->mirror && orders_hidden(ch) && xids_vchan_unbound_(ch);
}

bool xids_vchan_adopt_(struct xids_vchan *ch)
{
    if (ch->extended)
        return true;
    if (!taken(ch))
        return false;
    ch->extended = true;
    ch->mirror = false;
    xids_peer_store(xids_vchan_own_line_(ch) + VCHAN_LINE_CONS, ch->in.published);
    xids_peer_store_release(xids_vchan_own_line_(ch) + VCHAN_LINE_PROD, ch->out.published);
    xids_vchan_use_lines_(ch, &ch->in.at, &ch->out.at);
    /* The client has done so, if it is honest (take_offer). */
    show_orders(ch, false);
    /* It may sleep already, on something that we published before we looked at its line. */
    (void)xids_vchan_kick_(ch, ch->out.peer, ch->in.published);
    return true;
}

/* ---- the client's answer ---- */

bool xids_vchan_find_offer_(struct xids_vchan *ch)
{
    /* Acquire: the area is filled. */
    ch->extended = ch->header != NULL && xids_peer_load_acquire(ch->header + VCHAN_HEADER_MAGIC) == VCHAN_MAGIC &&
                   xids_peer_load(ch->header + VCHAN_HEADER_VERSION) == VCHAN_VERSION;
    if (!ch->extended)
        return false;
    ch->epoch = xids_peer_load(ch->header + VCHAN_HEADER_EPOCH);
    /* Another without the extension may have come and gone unseen: then the page's own indices are the true ones. */
    const uint32_t XIDS_PEER *line = xids_vchan_own_line_(ch);
    ch->extended = xids_peer_load(line + VCHAN_LINE_PROD) == xids_peer_load(word_of_page(ch, VCHAN_AT_LEFT + 4)) &&
                   xids_peer_load(line + VCHAN_LINE_CONS) == xids_peer_load(word_of_page(ch, VCHAN_AT_RIGHT));
    return ch->extended;
}

bool xids_vchan_offered_(const struct xids_vchan *ch)
{
    return ch->server || !ch->extended || xids_peer_load(ch->header + VCHAN_HEADER_EPOCH) == ch->epoch;
}

void xids_vchan_leave_offer_(struct xids_vchan *ch)
{
    show_orders(ch, true);
}

void xids_vchan_take_offer_(struct xids_vchan *ch)
{
    ch->prod_event = ch->in.peer + 1u;
    ch->cons_event = ch->out.peer;
    xids_peer_store(xids_vchan_own_line_(ch) + VCHAN_LINE_PROD_EVENT, ch->prod_event);
    xids_peer_store(xids_vchan_own_line_(ch) + VCHAN_LINE_CONS_EVENT, ch->cons_event);
    xids_peer_store_release(xids_vchan_own_line_(ch) + VCHAN_LINE_EPOCH, ch->epoch);
    /* The page's own indices stand still from here on: nobody may go on from them, should we end before we are seen. */
    show_orders(ch, false);
}

/* ---- events ---- */

void xids_vchan_ask_events_(struct xids_vchan *ch, uint32_t prod_event, uint32_t cons_event)
{
    /* What stands there already is not written again: the peer would lose the line for nothing. */
    if (ch->prod_event != prod_event) {
        ch->prod_event = prod_event;
        xids_peer_store(xids_vchan_own_line_(ch) + VCHAN_LINE_PROD_EVENT, prod_event);
    }
    if (ch->cons_event != cons_event) {
        ch->cons_event = cons_event;
        xids_peer_store(xids_vchan_own_line_(ch) + VCHAN_LINE_CONS_EVENT, cons_event);
    }
}

/* ---- half-close ---- */

int xids_vchan_shutdown(struct xids_vchan *ch)
{
    enum xids_vchan_state state = xids_vchan_state(ch);
    if (state == XIDS_VCHAN_BROKEN)
        return ch->error;
    if (ch->gone)
        return ch->lost ? -XEN_ENODEV : -XEN_ENOTCONN;
    if (state == XIDS_VCHAN_CONNECTING)
        return -XEN_EAGAIN;
    if (!ch->extended)
        return -XEN_EOPNOTSUPP;
    if (ch->shut)
        return 0;
    int rc = xids_vchan_flush(ch);
    if (rc < 0)
        return rc;
    ch->shut = true;
    /* Release: a reader that sees this sees the last index (look_in). */
    xids_peer_store_release(xids_vchan_own_line_(ch) + VCHAN_LINE_FIN, 1);
    return xids_vchan_notify_(ch);
}

/* ---- heartbeat ---- */

void xids_vchan_answer_(struct xids_vchan *ch)
{
    if (!ch->extended || ch->gone)
        return;
    uint32_t question = xids_peer_load(xids_vchan_peer_line_(ch) + VCHAN_LINE_PING);
    if (question != ch->pong) {
        ch->pong = question;
        xids_peer_store(xids_vchan_own_line_(ch) + VCHAN_LINE_PONG, question);
    }
    if (!xids_vchan_offered_(ch)) {
        ch->gone = ch->lost = true;
        ch->reason = "the server has given us up and waits for another client";
    }
}

/* Whether the peer has done anything since it was asked. */
static bool heard(const struct xids_vchan *ch)
{
    return xids_peer_load(xids_vchan_peer_line_(ch) + VCHAN_LINE_PONG) == ch->ping || ch->in.peer != ch->beat_in ||
           ch->out.peer != ch->beat_out;
}

/* Asks, or gives the peer up. */
static void ask_or_give_up(struct xids_vchan *ch, uint64_t now, uint64_t patience)
{
    if (ch->pending && !heard(ch)) {
        if (now - ch->asked_at < patience)
            return;
        (void)xids_vchan_peer_died(ch);
        if (ch->lost)
            ch->reason = "the peer has not answered for too long";
        return;
    }
    ch->pending = true;
    ch->asked_at = now;
    ch->beat_in = ch->in.peer;
    ch->beat_out = ch->out.peer;
    xids_peer_store(xids_vchan_own_line_(ch) + VCHAN_LINE_PING, ++ch->ping);
    (void)xids_vchan_notify_(ch);
}

int xids_vchan_heartbeat(struct xids_vchan *ch, uint64_t now, uint64_t patience)
{
    enum xids_vchan_state state = xids_vchan_state(ch);
    if (state == XIDS_VCHAN_OPEN) {
        if (!ch->extended)
            return -XEN_EOPNOTSUPP;
        if (xids_vchan_look_out_(ch) >= 0)
            ask_or_give_up(ch, now, patience);
        state = xids_vchan_state(ch);
    }
    return (int)state;
}
