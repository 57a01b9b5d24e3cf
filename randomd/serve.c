/* SPDX-License-Identifier: ISC */
/* Who is served when: guests whose event has come, and those that had more to do than one turn holds. */
#include "randomd/daemon.h"

#include <string.h>

void serve_forget(struct daemon *d, const struct guest *g)
{
    struct guest **at = &d->busy;
    while (*at != NULL && *at != g)
        at = &(*at)->next_busy;
    if (*at == NULL)
        return;
    *at = g->next_busy;
    if (*at == NULL)
        d->busy_end = at;
}

void serve_guest(struct daemon *d, struct guest *g)
{
    int rc = xids_randomd_session_serve(g->session, g->ch, now_ns());
    if (rc < 0) {
        guest_end(d, g, rc);
    } else if (rc == 1 && !g->busy) {
        g->busy = true;
        g->next_busy = NULL;
        *d->busy_end = g;
        d->busy_end = &g->next_busy;
    }
}

void serve_events(struct daemon *d)
{
    int rc = 0;
    /* What is left wakes the loop at once, after the store, the clock and the signals have had their turn. */
    for (unsigned int i = 0; i < EVENTS_AT_ONCE; i++) {
        rc = d->platform->ops->evtchn_pending(d->platform->ctx);
        if (rc <= 0)
            break;
        evtchn_port_t port = (evtchn_port_t)rc;
        struct guest *g = port < MAX_PORTS ? d->by_port[port] : NULL;
        d->count.events++;
        if (g == NULL)
            continue; /* closed meanwhile */
        (void)xids_vchan_event(g->ch);
        if (!g->busy)
            serve_guest(d, g);
    }
    if (rc < 0)
        log_guest(SAY_ERROR, "event channels: %s", strerror(-rc));
}

bool serve_busy(struct daemon *d)
{
    /* Those that are queued now: who has more to do after its turn goes behind them. */
    struct guest *g = d->busy;
    d->busy = NULL;
    d->busy_end = &d->busy;
    while (g != NULL) {
        struct guest *next = g->next_busy;
        g->busy = false;
        g->next_busy = NULL;
        if (g->ch != NULL)
            serve_guest(d, g);
        g = next;
    }
    return d->busy != NULL;
}
