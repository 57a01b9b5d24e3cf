/* SPDX-License-Identifier: ISC */
/*
 * Whose turn it is to be served. A connection may cost a share at a time; what it wants beyond that waits in a list,
 * where each has its turn. So whoever asks little is answered at once, and those who ask much share what is left.
 *
 * Cost is counted, not timed: a request is a few units, and so is an event; a unit is a node looked at, or 64 bytes in
 * or out.
 */
#include "xenstore/server_impl.h"

/* About a hundred small requests. */
#define SHARE 1024
/* What one request may cost beyond the share is paid back, but no more than this: nobody is shut out for long. */
#define DEBT_MAX (16 * SHARE)

uint64_t xids_xs_cost(const struct xids_xs_server *s)
{
    return s->cost + xids_store_work(s->store);
}

void xids_xs_look_again(struct xids_xs_conn *conn)
{
    struct xids_xs_server *s = conn->server;
    if (conn->again)
        return;
    conn->again = true;
    conn->again_next = NULL;
    conn->again_prev = s->again_last;
    *(s->again_last != NULL ? &s->again_last->again_next : &s->again) = conn;
    s->again_last = conn;
}

void xids_xs_wait(struct xids_xs_conn *conn)
{
    conn->spent = true;
    xids_xs_look_again(conn);
}

void xids_xs_look_no_more(struct xids_xs_conn *conn)
{
    struct xids_xs_server *s = conn->server;
    conn->spent = false;
    if (!conn->again)
        return;
    conn->again = false;
    *(conn->again_prev != NULL ? &conn->again_prev->again_next : &s->again) = conn->again_next;
    *(conn->again_next != NULL ? &conn->again_next->again_prev : &s->again_last) = conn->again_prev;
}

bool xids_xs_server_spent(const struct xids_xs_conn *conn)
{
    return conn->spent;
}

bool xids_xs_share(struct xids_xs_conn *conn)
{
    if (conn->spent)
        return false;
    conn->credit = SHARE + (conn->credit < 0 ? conn->credit : 0);
    /* A debt is of no account when nobody else waits. */
    if (conn->credit <= 0 && conn->server->again == NULL)
        conn->credit = SHARE;
    if (conn->credit <= 0)
        xids_xs_wait(conn);
    return conn->credit > 0;
}

void xids_xs_pay(struct xids_xs_conn *conn, uint64_t before)
{
    uint64_t cost = xids_xs_cost(conn->server) - before;
    conn->credit -= cost < DEBT_MAX ? (int32_t)cost : DEBT_MAX;
    if (conn->credit < -DEBT_MAX)
        conn->credit = -DEBT_MAX;
}

/* A ring is served; of a socket the host hears that it may give more. Who is still in debt pays of it. */
static void serve(struct xids_xs_conn *conn)
{
    bool waits = conn->spent && conn->credit + SHARE <= 0;
    xids_xs_look_no_more(conn);
    if (waits) {
        conn->credit += SHARE;
        xids_xs_wait(conn);
    } else if (conn->ring) {
        xids_xs_server_ring_event(conn);
    } else {
        xids_xs_mark_ready(conn);
    }
}

bool xids_xs_server_busy(const struct xids_xs_server *s)
{
    return s->again != NULL || s->forgotten != NULL || s->stale != NULL || xids_store_busy(s->store) ||
           xids_xs_turn_busy(s);
}

bool xids_xs_server_idle(struct xids_xs_server *s, unsigned int max)
{
    if (s->again != NULL)
        serve(s->again);
    xids_xs_turn_idle(s);
    (void)xids_xs_forget_some(s, max);
    xids_xs_watch_reap(s, max);
    (void)xids_store_reap(s->store, max);
    return xids_xs_server_busy(s);
}
