/* SPDX-License-Identifier: ISC */
/*
 * Guests of the old console protocol: which have a device, who is connected, and whose turn it is. All of it is told by
 * the loop: watches, answers of the store, event channels; and one timer for those who have used up their turns.
 */
#include "randomd/legacy_guests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000ull

static void rearm(struct legacy *l);

/* ---- turns ---- */

void legacy_wait(struct legacy_guest *g)
{
    struct legacy *l = g->of;
    if (g->waiting)
        return;
    /* All wait equally long, so that who came first is due first. */
    g->waiting = true;
    g->due = now_ns() + LEGACY_TURN_NS;
    g->next_waiting = NULL;
    *l->waiting_end = g;
    l->waiting_end = &g->next_waiting;
    if (l->waiting == g)
        rearm(l);
}

static void wait_no_more(struct legacy_guest *g)
{
    struct legacy_guest **at = &g->of->waiting;
    while (*at != NULL && *at != g)
        at = &(*at)->next_waiting;
    if (*at != NULL) {
        *at = g->next_waiting;
        if (*at == NULL)
            g->of->waiting_end = at;
    }
    g->waiting = false;
}

/* Takes so many turns of the guest's; if it has too few, it waits. */
static bool afford(struct legacy_guest *g, unsigned int turns)
{
    uint64_t now = now_ns(), more = (now - g->credit_at) / LEGACY_TURN_NS;
    if (more >= LEGACY_TURNS - g->credit) {
        g->credit = LEGACY_TURNS;
        g->credit_at = now;
    } else {
        g->credit = (uint8_t)(g->credit + more);
        g->credit_at += more * LEGACY_TURN_NS;
    }
    if (g->credit < turns) {
        legacy_wait(g);
        return false;
    }
    g->credit = (uint8_t)(g->credit - turns);
    return true;
}

/* ---- the ring ---- */

/* gone: what the guest has not read, it will not. */
static void disconnect(struct legacy_guest *g, bool gone)
{
    const struct xids_platform *p = g->of->d->platform;
    if (g->page == NULL)
        return;
    xids_randomd_legacy_detach(g->engine, gone);
    g->of->by_port[g->port] = NULL;
    int rc = p->ops->evtchn_close(p->ctx, g->port);
    if (rc == 0)
        rc = p->ops->unmap(p->ctx, g->page, 1);
    if (rc < 0)
        log_guest(SAY_ERROR, "domain %u: its console's page: %s", g->domid, strerror(-rc));
    g->page = NULL;
    g->signalled = false;
    g->of->count.connected--;
}

static void serve(struct legacy_guest *g)
{
    const struct xids_platform *p = g->of->d->platform;
    /* Until it is due its port stays masked, and costs nothing. */
    if (g->waiting || !afford(g, 1))
        return;
    g->signalled = false;
    int rc = p->ops->evtchn_unmask(p->ctx, g->port);
    if (rc == 0)
        rc = xids_randomd_legacy_serve(g->engine, now_ns());
    if (rc == -XEN_EAGAIN) {
        g->signalled = true;
        legacy_wait(g);
        rc = 1;
    }
    if (rc == 1)
        rc = p->ops->evtchn_notify(p->ctx, g->port);
    if (rc < 0) {
        g->of->count.violations += rc == -XEN_EBADMSG;
        if (log_allows(g->domid))
            log_guest(SAY_WARN, "domain %u: its console: %s", g->domid,
                      rc == -XEN_EBADMSG ? "impossible indices" : strerror(-rc));
        disconnect(g, false);
    }
}

void legacy_event(struct daemon *d, evtchn_port_t port)
{
    struct legacy_guest *g = d->legacy != NULL && port < MAX_PORTS ? d->legacy->by_port[port] : NULL;
    if (g == NULL)
        return;
    g->signalled = true;
    serve(g);
}

static int make_engine(struct legacy_guest *g)
{
    struct daemon *d = g->of->d;
    char who[64];
    int len = snprintf(who, sizeof(who), "legacy/%u/%u/%llu", d->domid, g->domid, (unsigned long long)++g->of->serial);
    const struct xids_randomd_session_config config = {
        .source = master_source,
        .source_ctx = d->master,
        .who = who,
        .who_len = (size_t)len,
        .reseed_ns = d->config.reseed_ns,
        .reseed_bytes = d->config.reseed_bytes,
    };
    if (g->engine != NULL)
        return 0;
    void *mem = secret_get(xids_randomd_legacy_size());
    return mem == NULL ? -XEN_ENOMEM : xids_randomd_legacy_init(&g->engine, mem, xids_randomd_legacy_size(), &config);
}

static void drop_engine(struct legacy_guest *g)
{
    struct xids_randomd_legacy_stats stats;
    if (g->engine == NULL)
        return;
    xids_randomd_legacy_stats(g->engine, &stats);
    g->of->count.greetings += stats.greetings;
    g->of->count.bytes += stats.bytes;
    xids_randomd_legacy_fini(g->engine);
    secret_put(g->engine, xids_randomd_legacy_size());
    g->engine = NULL;
}

static int attach(struct legacy_guest *g)
{
    const struct xids_platform *p = g->of->d->platform;
    const grant_ref_t ref = g->ring_ref;
    int rc = make_engine(g);
    if (rc == 0)
        rc = p->ops->map(p->ctx, &g->page, &ref, g->domid, 1, 0, NULL);
    if (rc < 0) {
        g->page = NULL;
        return rc;
    }
    int port = p->ops->evtchn_bind(p->ctx, g->domid, g->peer_port);
    rc = port < 0 ? port : port >= (int)MAX_PORTS ? -XEN_ENOSPC : xids_randomd_legacy_attach(g->engine, g->page);
    if (rc < 0) {
        if (port > 0)
            (void)p->ops->evtchn_close(p->ctx, (evtchn_port_t)port);
        (void)p->ops->unmap(p->ctx, g->page, 1);
        g->page = NULL;
        return rc;
    }
    /* The new port is pending, so that what the guest wrote before is looked at. */
    g->port = (evtchn_port_t)port;
    g->of->by_port[g->port] = g;
    g->of->count.connected++;
    g->of->count.connections++;
    return 0;
}

/* The guest says where its ring is, perhaps for the second time: another one, or the same one filled with zeros. */
static void connect_guest(struct legacy_guest *g)
{
    disconnect(g, false);
    int rc = g->peer_port == 0 ? -XEN_EINVAL : attach(g);
    if (rc < 0) {
        g->of->count.failures++;
        if (log_allows(g->domid))
            log_guest(SAY_WARN, "domain %u: its console cannot be connected: %s", g->domid, strerror(-rc));
        return;
    }
    g->want_state = 4;
    log_guest(SAY_DEBUG, "domain %u: console connected", g->domid);
}

/* ---- what a frontend says ---- */

static void unwatch(struct legacy_guest *g)
{
    if (g->watching && xids_xs_client_unwatch(xids_xs_client(g->of->xs), g->watch) < 0)
        log_line(SAY_DEBUG, "domain %u: its console was not watched", g->domid);
    g->watching = false;
    g->fired = false;
}

static void heed(struct legacy_guest *g)
{
    if (g->unreadable)
        return;
    switch (g->state) {
    case 0:
        log_guest(SAY_DEBUG, "domain %u: its console has vanished", g->domid);
        disconnect(g, true);
        g->given_up = true;
        unwatch(g);
        (void)legacy_remove(g);
        break;
    case 3:
    case 4:
        connect_guest(g);
        break;
    case 6:
        disconnect(g, true);
        g->want_state = 1;
        break;
    default:
        break;
    }
}

static void on_watch(void *ctx, int what, const char *path)
{
    struct legacy_guest *g = ctx;
    (void)path;
    if (what == XIDS_XS_WATCH_FIRED) {
        g->fired = true;
        legacy_step(g);
    } else if (what < 0) {
        g->watching = false;
        g->given_up = true;
        g->of->count.failures++;
        log_guest(SAY_WARN, "domain %u: its console cannot be watched: %s", g->domid, strerror(-what));
    }
}

static void watch(struct legacy_guest *g)
{
    char path[64];
    snprintf(path, sizeof(path), "/local/domain/%u/device/console/%u/state", g->domid, g->device);
    int rc = xids_xs_client_watch(xids_xs_client(g->of->xs), &g->watch, path, on_watch, g);
    g->watching = rc == 0;
    if (rc < 0)
        on_watch(g, rc, path);
}

/* ---- a guest's life ---- */

/* All that belongs to one that has gone, but for what is asked of the store. */
static void forget(struct legacy_guest *g)
{
    disconnect(g, true);
    drop_engine(g);
    unwatch(g);
    legacy_setup_forget(g);
}

static void free_guest(struct legacy_guest *g)
{
    struct legacy *l = g->of;
    wait_no_more(g);
    l->by_domid[g->domid] = NULL;
    l->count.guests--;
    free(g);
}

/* True when there is nothing left of one that has gone. */
static bool cleared(struct legacy_guest *g)
{
    if (g->device != 0 && !g->removed) {
        g->removed = legacy_remove(g);
        if (!g->removed)
            legacy_wait(g);
        return false;
    }
    g->stale = g->removed = g->offered = g->given_up = g->reading = false;
    g->device = g->backend_state = g->want_state = 0;
    return true;
}

/* What a guest that has its device can want; in this order. */
static void go_on(struct legacy_guest *g)
{
    if (!g->watching)
        watch(g);
    if (g->reading) {
        g->reading = false;
        if (!g->fired)
            heed(g);
    }
    if (g->pending == 0 && !g->given_up && g->want_state != 0 && g->want_state != g->backend_state)
        legacy_write_state(g, g->want_state);
    if (g->pending > 0 || g->given_up || g->waiting)
        return;
    if (g->fired && afford(g, LEGACY_CONNECT_TURNS)) {
        g->fired = false;
        g->reading = true;
        legacy_read(g);
    }
    /* No room for a request, which there will be soon. */
    if (g->pending == 0 && (g->fired || (g->want_state != 0 && g->want_state != g->backend_state)))
        legacy_wait(g);
}

void legacy_step(struct legacy_guest *g)
{
    struct legacy *l = g->of;
    if (g->pending > 0 || g->setting_up || l->lost || l->stopping)
        return;
    if (g->stale && !cleared(g))
        return;
    if (!g->wanted)
        free_guest(g);
    else if (g->offered)
        go_on(g);
    else if (!g->given_up && !g->waiting)
        legacy_setup(g);
}

/* ---- the connection, and the loop ---- */

static void turn(struct legacy *l);

static void on_readable(uv_poll_t *h, int status, int events)
{
    struct legacy *l = h->data;
    (void)status;
    (void)events;
    turn(l);
}

static void poll_closed(uv_handle_t *h)
{
    struct legacy *l = h->data;
    l->polled = 0;
}

static void poll_store(struct legacy *l)
{
    int events = UV_READABLE | (xids_xs_wants_write(l->xs) ? UV_WRITABLE : 0), rc = 0;
    if (events == l->polled)
        return;
    if (l->polled == 0)
        rc = uv_poll_init(&l->d->loop, &l->poll, xids_xs_fd(l->xs));
    l->poll.data = l;
    if (rc == 0)
        rc = uv_poll_start(&l->poll, events, on_readable);
    l->polled = events;
    if (rc < 0)
        log_line(SAY_ERROR, "event loop: %s", uv_strerror(rc));
}

/* The store may have been restarted, and have forgotten: each device is looked for, and made if it is not there. */
static void reconnect(struct legacy *l)
{
    l->retry_at = now_ns() + STORE_RETRY_MS * MS;
    if (xids_xs_reconnect(l->xs) < 0)
        return;
    l->lost = false;
    for (unsigned int i = 0; i < DOMID_FIRST_RESERVED; i++) {
        struct legacy_guest *g = l->by_domid[i];
        if (g == NULL)
            continue;
        g->offered = g->removed = g->reading = false;
        g->backend_state = 0;
        legacy_step(g);
    }
    legacy_setups(l);
}

static void go_on_due(struct legacy *l)
{
    uint64_t now = now_ns();
    while (l->waiting != NULL && l->waiting->due <= now) {
        struct legacy_guest *g = l->waiting;
        wait_no_more(g);
        if (g->signalled)
            serve(g);
        legacy_step(g);
    }
}

static void on_timer(uv_timer_t *h)
{
    struct legacy *l = h->data;
    if (l->lost && l->polled == 0 && l->retry_at <= now_ns())
        reconnect(l);
    go_on_due(l);
    turn(l);
}

static void rearm(struct legacy *l)
{
    uint64_t due = l->waiting != NULL ? l->waiting->due : UINT64_MAX, now = now_ns();
    if (l->lost && l->retry_at < due)
        due = l->retry_at;
    if (due == UINT64_MAX)
        uv_timer_stop(&l->timer);
    else
        uv_timer_start(&l->timer, on_timer, due <= now ? 1 : (due - now) / MS + 1, 0);
}

/* What everything ends with that can have used the store or have let a guest wait. */
static void turn(struct legacy *l)
{
    int rc = l->lost ? 0 : xids_xs_pump(l->xs);
    if (rc < 0) {
        log_line(SAY_WARN, "xenstore, for the consoles: %s", xids_xs_reason(l->xs));
        l->lost = true;
        l->retry_at = now_ns() + STORE_RETRY_MS * MS;
        if (l->polled != 0)
            uv_close((uv_handle_t *)&l->poll, poll_closed);
    } else if (!l->lost) {
        poll_store(l);
    }
    rearm(l);
}

/* ---- for the rest of the daemon ---- */

int legacy_start(struct daemon *d)
{
    if (!d->config.legacy)
        return 0;
    if (d->config.discover) {
        log_line(SAY_ERROR, "settings: legacy = on is for a domain that may write into others' homes");
        return -XEN_EINVAL;
    }
    struct legacy *l = calloc(1, sizeof(*l));
    int rc = l == NULL ? -XEN_ENOMEM : xids_xs_open(&l->xs, NULL);
    if (rc < 0) {
        log_line(SAY_ERROR, "no connection to xenstore for the consoles: %s", strerror(-rc));
        free(l);
        return rc;
    }
    l->d = d;
    l->waiting_end = &l->waiting;
    l->setups_end = &l->setups;
    l->timer.data = l;
    d->legacy = l;
    xids_xs_set_timeout(l->xs, STORE_TIMEOUT_MS);
    rc = uv_timer_init(&d->loop, &l->timer);
    if (rc == 0)
        rc = legacy_remove_left(l);
    if (rc < 0)
        log_line(SAY_ERROR, "the consoles of an earlier run: %s", strerror(-rc));
    else
        turn(l);
    return rc;
}

void legacy_found(struct daemon *d, domid_t domid)
{
    struct legacy *l = d->legacy;
    if (l == NULL || domid == 0)
        return;
    struct legacy_guest *g = l->by_domid[domid];
    if (g == NULL && l->count.guests < LEGACY_MAX)
        g = calloc(1, sizeof(*g));
    if (g == NULL) {
        l->count.failures++;
        log_guest(SAY_WARN, "domain %u: no console for it: %s", domid,
                  l->count.guests < LEGACY_MAX ? "no memory" : "there are too many");
        return;
    }
    if (l->by_domid[domid] == NULL) {
        l->by_domid[domid] = g;
        l->count.guests++;
        g->of = l;
        g->domid = domid;
    }
    g->credit = LEGACY_TURNS;
    g->credit_at = now_ns();
    g->wanted = true;
    legacy_step(g);
    turn(l);
}

void legacy_left(struct daemon *d, domid_t domid)
{
    struct legacy_guest *g = d->legacy != NULL ? d->legacy->by_domid[domid] : NULL;
    if (g == NULL)
        return;
    g->wanted = false;
    g->stale = true;
    forget(g);
    legacy_step(g);
    turn(d->legacy);
}

/* With a new connection: of the old one's answers none is waited for. */
static void remove_all(struct legacy *l)
{
    struct xids_xs *xs = NULL;
    int rc = xids_xs_open(&xs, NULL);
    if (rc == 0)
        xids_xs_set_timeout(xs, STORE_TIMEOUT_MS);
    for (unsigned int i = 0; i < DOMID_FIRST_RESERVED && rc >= 0; i++)
        if (l->by_domid[i] != NULL && l->by_domid[i]->device != 0)
            rc = legacy_remove_now(l->by_domid[i], xs);
    if (rc >= 0)
        rc = legacy_remove_folder(l, xs);
    if (rc < 0)
        log_line(SAY_WARN, "consoles stay in xenstore: %s", strerror(-rc));
    xids_xs_close(xs);
}

void legacy_stop(struct daemon *d)
{
    struct legacy *l = d->legacy;
    if (l == NULL)
        return;
    l->stopping = true;
    if (l->polled != 0 && !uv_is_closing((uv_handle_t *)&l->poll))
        uv_poll_stop(&l->poll);
    xids_xs_close(l->xs);
    l->xs = NULL;
    for (unsigned int i = 0; i < DOMID_FIRST_RESERVED; i++)
        if (l->by_domid[i] != NULL)
            disconnect(l->by_domid[i], false);
    remove_all(l);
    for (unsigned int i = 0; i < DOMID_FIRST_RESERVED; i++) {
        if (l->by_domid[i] == NULL)
            continue;
        drop_engine(l->by_domid[i]);
        free(l->by_domid[i]);
        l->by_domid[i] = NULL;
    }
}

void legacy_free(struct daemon *d)
{
    if (d->legacy != NULL)
        xids_xs_close(d->legacy->xs);
    free(d->legacy);
    d->legacy = NULL;
}

bool legacy_counters(const struct daemon *d, struct legacy_counters *c)
{
    const struct legacy *l = d->legacy;
    struct xids_randomd_legacy_stats stats;
    if (l == NULL)
        return false;
    *c = l->count;
    for (unsigned int i = 0; i < DOMID_FIRST_RESERVED; i++) {
        if (l->by_domid[i] == NULL || l->by_domid[i]->engine == NULL)
            continue;
        xids_randomd_legacy_stats(l->by_domid[i]->engine, &stats);
        c->greetings += stats.greetings;
        c->bytes += stats.bytes;
    }
    return true;
}
