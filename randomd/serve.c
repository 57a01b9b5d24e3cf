/* SPDX-License-Identifier: ISC */
/*
 * Who is served when, and how much: guests whose event has come, and those that had more to do than a turn holds
 * (fair.h). Who is over its share costs nothing: its port stays masked until it may be served again.
 */
#include "randomd/daemon.h"
#include "randomd/legacy_guests.h"

#include <string.h>

#define MS 1000000ull

static struct guest *guest_of(struct xids_fair_guest *share)
{
    return (struct guest *)(void *)((char *)share - offsetof(struct guest, share));
}

void serve_begin(struct daemon *d)
{
    xids_fair_init(&d->fair, d->config.rate, d->config.burst, now_ns());
    pace_init(&d->pace, now_ns());
}

void serve_settings(struct daemon *d)
{
    xids_fair_set(&d->fair, d->config.rate, d->config.burst);
}

void serve_join(struct daemon *d, struct guest *g)
{
    xids_fair_join(&d->fair, &g->share, now_ns());
}

void serve_forget(struct daemon *d, struct guest *g)
{
    xids_fair_leave(&d->fair, &g->share);
}

void serve_opened(struct daemon *d, struct guest *g)
{
    /* How many channels a guest gets in a time is bounded elsewhere (guests.c). */
    xids_fair_give(&d->fair, &g->share, COST_OPENING, now_ns());
}

void serve_closed(struct daemon *d, struct guest *g)
{
    /* Whether it is over its share is not forgotten with the channel. */
    if (xids_fair_wait(&g->share, now_ns()) == 0)
        xids_fair_leave(&d->fair, &g->share);
    g->event = false;
}

bool serve_waiting(const struct daemon *d)
{
    return xids_fair_waiting(&d->fair);
}

uint64_t serve_due(const struct daemon *d)
{
    return xids_fair_due(&d->fair);
}

/* ---- guests that are held ---- */

/* Answers what it has asked by when to ask again, if it would otherwise wait long without a word. */
static void tell_busy(struct daemon *d, struct guest *g, uint64_t now)
{
    uint64_t wait = xids_fair_wait(&g->share, now) / MS;
    if (wait <= BUSY_AFTER_MS || g->busy_tries >= BUSY_TRIES)
        return;
    struct xids_randomd_share share = {
        .limit = BUSY_TRIES * XIDS_RANDOMD_COST_REQUEST,
        .busy_ms = wait < XIDS_RANDOMD_RETRY_MAX_MS ? (uint32_t)wait + 1 : XIDS_RANDOMD_RETRY_MAX_MS,
    };
    g->busy_tries++;
    int rc = xids_randomd_session_serve_share(g->session, g->ch, &share, now);
    if (rc < 0)
        guest_end(d, g, rc);
}

/* Its event has come: is it to be left masked? */
static bool held_back(struct daemon *d, struct guest *g, uint64_t now)
{
    if (!xids_fair_charge(&d->fair, &g->share, COST_EVENT, now))
        return false;
    d->count.events_held++;
    if (xids_fair_wait(&g->share, now) / MS > BUSY_AFTER_MS && g->busy_tries < BUSY_TRIES) {
        (void)xids_vchan_event(g->ch);
        g->event = false;
        tell_busy(d, g, now);
    }
    return true;
}

static void release(struct daemon *d, uint64_t now)
{
    struct xids_fair_guest *share;
    while ((share = xids_fair_release(&d->fair, now)) != NULL)
        guest_of(share)->busy_tries = 0;
}

/* ---- turns ---- */

/* One turn of a guest's. Returns what it cost. */
static uint32_t serve_one(struct daemon *d, struct guest *g, uint32_t allowed, uint64_t now)
{
    struct xids_randomd_share share = {.limit = allowed};
    if (g->ch == NULL) {
        xids_fair_leave(&d->fair, &g->share);
        return 0;
    }
    /* Unmasked no earlier than now: what it sends while it waits for its turn is one event. */
    if (g->event)
        (void)xids_vchan_event(g->ch);
    g->event = false;
    int rc = xids_randomd_session_serve_share(g->session, g->ch, &share, now);
    audit_served(g);
    bool held = xids_fair_served(&d->fair, &g->share, share.cost, rc == 1, now);
    if (rc < 0)
        guest_end(d, g, rc);
    else if (held)
        tell_busy(d, g, now);
    return share.cost;
}

void serve_guest(struct daemon *d, struct guest *g)
{
    xids_fair_wake(&d->fair, &g->share);
    loop_again(d);
}

/* Takes pending ports, and notes whose they are. Whether there were any. */
static bool take_events(struct daemon *d, uint64_t now)
{
    int rc = 0;
    bool some = false;
    /* What is left wakes the loop at once, after the store, the clock and the signals have had their turn. */
    for (unsigned int i = 0; i < EVENTS_AT_ONCE; i++) {
        rc = d->platform->ops->evtchn_pending(d->platform->ctx);
        if (rc <= 0)
            break;
        some = true;
        evtchn_port_t port = (evtchn_port_t)rc;
        struct guest *g = port < MAX_PORTS ? d->by_domid[d->by_port[port]] : NULL;
        d->count.events++;
        if (g == NULL)
            legacy_event(d, port);
        if (g == NULL || g->ch == NULL)
            continue; /* closed meanwhile; it stays masked until there is another offer */
        g->event = true;
        if (!held_back(d, g, now))
            xids_fair_wake(&d->fair, &g->share);
    }
    if (rc < 0)
        log_guest(SAY_ERROR, "event channels: %s", strerror(-rc));
    return some;
}

static void give_turns(struct daemon *d, uint64_t now)
{
    uint32_t cost = 0, unseen = 0, allowed;
    while (cost < COST_AT_ONCE) {
        struct xids_fair_guest *share = xids_fair_next(&d->fair, &allowed, now);
        if (share == NULL)
            break;
        uint32_t did = serve_one(d, guest_of(share), allowed, now);
        cost += did;
        unseen += did;
        if (unseen >= COST_UNSEEN) {
            unseen = 0;
            now = now_ns();
            (void)take_events(d, now);
        }
    }
}

void serve_turn(struct daemon *d)
{
    uint64_t now = now_ns();
    release(d, now);
    (void)take_events(d, now);
    give_turns(d, now);
}

/* Looks for events for a while. Whether there were any, which are taken then. */
static bool look_around(struct daemon *d)
{
    uint64_t start = now_ns(), now = start, limit = pace_limit(&d->pace, now);
    bool met = false;
    if (limit == 0)
        return false;
    do {
        met = take_events(d, now);
        now = now_ns();
    } while (!met && now - start < limit);
    pace_looked(&d->pace, now - start, met);
    return met;
}

void serve_events(struct daemon *d)
{
    pace_woken(&d->pace, now_ns());
    serve_turn(d);
    /* Then the store, the clock and the signals have their turn. */
    for (unsigned int i = 0; i < LOOKS_AT_ONCE && !serve_waiting(d) && look_around(d); i++)
        give_turns(d, now_ns());
    pace_sleeps(&d->pace, now_ns());
}
