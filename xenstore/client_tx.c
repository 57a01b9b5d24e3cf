/* SPDX-License-Identifier: ISC */
/* The xenstore client's transactions that run again on a conflict. */
#include "xenstore/client_internal.h"

/*
 * Ids that the user sees have these bits, which the store's own, counted from 1 in each connection, reach after three
 * thousand million transactions; so users who start transactions by hand can pass the store's ids.
 */
#define OUR_ID 0xc0000000u

static bool waits(enum xsc_tx_state s)
{
    return s == XSC_TX_WANTED || s == XSC_TX_COMMIT || s == XSC_TX_ABORT;
}

static void set_state(struct xids_xs_tx *t, enum xsc_tx_state state)
{
    if (waits(state) && !waits(t->state))
        t->client->wants++;
    if (waits(t->state) && !waits(state))
        t->client->wants--;
    t->state = state;
}

static void finish(struct xids_xs_tx *t, int rc)
{
    xids_xs_tx_done_fn *done = t->done;
    void *ctx = t->ctx;
    set_state(t, XSC_TX_FREE);
    done(ctx, rc);
}

/* The attempt came to nothing, through a conflict (-XEN_EAGAIN) or a new connection (-XEN_ENOTCONN). */
static void again(struct xids_xs_tx *t, int rc)
{
    if (t->client->error != 0)
        finish(t, t->client->error);
    else if (--t->tries == 0)
        finish(t, rc);
    else
        set_state(t, XSC_TX_WANTED);
}

static void aborted(struct xids_xs_tx *t)
{
    if (t->rc == -XEN_EAGAIN || t->rc == -XEN_ENOTCONN)
        again(t, t->rc);
    else
        finish(t, t->rc);
}

int xids_xs_client_transaction(struct xids_xs_client *c, unsigned int tries, xids_xs_tx_body_fn *body,
                               xids_xs_tx_done_fn *done, void *ctx)
{
    if (c->error != 0)
        return c->error;
    if (tries == 0)
        return -XEN_EINVAL;
    for (unsigned int i = 0; i < c->limits.transactions; i++) {
        struct xids_xs_tx *t = &c->txs[i];
        if (t->state != XSC_TX_FREE)
            continue;
        t->body = body;
        t->done = done;
        t->ctx = ctx;
        t->tries = tries;
        set_state(t, XSC_TX_WANTED);
        return 0;
    }
    return -XEN_EBUSY;
}

uint32_t xids_xs_tx_id(const struct xids_xs_tx *tx)
{
    return tx->id;
}

int xids_xsc_tx_translate(const struct xids_xs_client *c, uint32_t *wire, uint32_t id)
{
    *wire = id;
    if ((id & OUR_ID) != OUR_ID)
        return 0;
    for (unsigned int i = 0; i < c->limits.transactions; i++) {
        const struct xids_xs_tx *t = &c->txs[i];
        if (t->state == XSC_TX_FREE || t->id != id)
            continue;
        *wire = t->wire_id;
        return t->state == XSC_TX_OPEN ? 0 : -XEN_ENOTCONN;
    }
    return 0;
}

/* ---- replies ---- */

static void start_reply(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct xids_xs_tx *t = ctx;
    struct xids_xs_client *c = t->client;
    const char *s = payload;
    if (rc == -XEN_ENOTCONN) {
        /* Nothing was lost but time: not a try. */
        set_state(t, XSC_TX_WANTED);
        return;
    }
    if (rc < 0) {
        finish(t, rc);
        return;
    }
    if (len < 2 || s[len - 1] != '\0' || xids_xswire_decimal(&t->wire_id, s, len - 1, UINT32_MAX) < 0 ||
        t->wire_id == 0) {
        xids_xs_client_fail(c, -XEN_EBADMSG, "a malformed transaction id");
        finish(t, -XEN_EBADMSG);
        return;
    }
    c->tx_serial = (uint16_t)((c->tx_serial + 1u) & 0xffffu);
    t->id = OUR_ID | (uint32_t)(t - c->txs) << 16 | c->tx_serial;
    set_state(t, XSC_TX_OPEN);
    t->body(t->ctx, t);
}

static void end_reply(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct xids_xs_tx *t = ctx;
    (void)payload;
    (void)len;
    if (t->state == XSC_TX_ABORTING)
        aborted(t);
    else if (rc == -XEN_EAGAIN)
        again(t, rc);
    else
        finish(t, rc);
}

/* ---- the user's end of it ---- */

void xids_xs_tx_commit(struct xids_xs_tx *t)
{
    if (t->state == XSC_TX_LOST)
        again(t, -XEN_ENOTCONN);
    else if (t->state == XSC_TX_OPEN)
        set_state(t, XSC_TX_COMMIT);
}

void xids_xs_tx_abort(struct xids_xs_tx *t, int rc)
{
    t->rc = rc;
    if (t->state == XSC_TX_LOST)
        aborted(t);
    else if (t->state == XSC_TX_OPEN)
        set_state(t, XSC_TX_ABORT);
}

/* ---- the connection ---- */

static int send_wanted(struct xids_xs_client *c, struct xids_xs_tx *t)
{
    if (t->state == XSC_TX_WANTED)
        return xids_xsc_send(c, XS_TRANSACTION_START, 0, NULL, 0, start_reply, t, false);
    struct xids_xswire_part how = {t->state == XSC_TX_COMMIT ? "T" : "F", 2};
    return xids_xsc_send(c, XS_TRANSACTION_END, t->wire_id, &how, 1, end_reply, t, false);
}

bool xids_xsc_tx_flush(struct xids_xs_client *c)
{
    for (unsigned int i = 0; i < c->limits.transactions && c->wants > 0; i++) {
        struct xids_xs_tx *t = &c->txs[i];
        if (!waits(t->state))
            continue;
        if (send_wanted(c, t) < 0)
            return false;
        /* The state after each of these is the one that awaits the reply. */
        set_state(t, (enum xsc_tx_state)(t->state + 1));
    }
    return true;
}

void xids_xsc_tx_disconnected(struct xids_xs_client *c)
{
    for (unsigned int i = 0; i < c->limits.transactions; i++) {
        struct xids_xs_tx *t = &c->txs[i];
        if (t->state == XSC_TX_OPEN)
            set_state(t, XSC_TX_LOST);
        else if (t->state == XSC_TX_COMMIT && c->error == 0)
            again(t, -XEN_ENOTCONN);
        else if (t->state == XSC_TX_ABORT && c->error == 0)
            aborted(t);
    }
}

void xids_xsc_tx_end_all(struct xids_xs_client *c, int rc, bool all)
{
    for (unsigned int i = 0; i < c->limits.transactions; i++) {
        struct xids_xs_tx *t = &c->txs[i];
        if (waits(t->state) || (all && t->state != XSC_TX_FREE))
            finish(t, rc);
    }
}
