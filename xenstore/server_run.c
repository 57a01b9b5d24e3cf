/* SPDX-License-Identifier: ISC */
/* Whose turn it is to be served: connections that are not done with what they asked for wait in one list. */
#include "xenstore/server_impl.h"

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

/* A ring is served; of a socket the host hears that it may give more. */
static void serve(struct xids_xs_conn *conn)
{
    xids_xs_look_no_more(conn);
    if (conn->ring)
        xids_xs_server_ring_event(conn);
    else
        xids_xs_mark_ready(conn);
}

bool xids_xs_server_idle(struct xids_xs_server *s, unsigned int max)
{
    if (s->again != NULL)
        serve(s->again);
    bool more = xids_xs_turn_idle(s);
    more = xids_xs_forget_some(s, max) || more;
    return xids_store_reap(s->store, max) || more || s->again != NULL;
}
