/* SPDX-License-Identifier: ISC */
/* The connection to xenstore: opened, lost, found again; and whose turn it is to use it. */
#include "randomd/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000ull

static void on_readable(uv_poll_t *h, int status, int events);

static void watch_fired(struct daemon *d, int what, bool check)
{
    if (what < 0) {
        log_line(SAY_ERROR, "xenstore refuses a watch: %s", strerror(-what));
        return;
    }
    /* Each watch gives an event when it is set again: the store has spoken. */
    d->store_spoke = true;
    if (what == XIDS_XS_WATCH_FIRED)
        scan_want(d, check);
}

static void on_introduce(void *ctx, int what, const char *path)
{
    (void)path;
    watch_fired(ctx, what, false);
}

static void on_release(void *ctx, int what, const char *path)
{
    (void)path;
    watch_fired(ctx, what, true);
}

/* An entropy domain's own folder. What we write there ourselves is no news. */
static void on_folder(void *ctx, int what, const char *path)
{
    static const char *const ours[] = {"/ring-ref", "/event-channel", "/version"};
    size_t len = strlen(path);
    for (unsigned int i = 0; what == XIDS_XS_WATCH_FIRED && i < 3; i++) {
        size_t n = strlen(ours[i]);
        if (len > n && strcmp(path + len - n, ours[i]) == 0)
            return;
    }
    watch_fired(ctx, what, true);
}

/* ---- the descriptor ---- */

static int poll_start(struct daemon *d)
{
    int events = UV_READABLE | (xids_xs_wants_write(d->xs) ? UV_WRITABLE : 0);
    if (events == d->store_events)
        return 0;
    d->store_events = events;
    return uv_poll_start(&d->store_poll, events, on_readable);
}

/* Makes (again) the poll handle of the store's descriptor, which changes with each connection. */
int store_poll(struct daemon *d)
{
    int rc = uv_poll_init(&d->loop, &d->store_poll, xids_xs_fd(d->xs));
    d->store_poll.data = d;
    d->store_polled = rc == 0;
    d->store_events = 0;
    return rc < 0 ? rc : poll_start(d);
}

static void poll_closed(uv_handle_t *h)
{
    struct daemon *d = h->data;
    d->store_polled = false;
}

/* After any use of the connection: when it is gone, begins to look for a new one. */
static void look_after(struct daemon *d)
{
    if (xids_xs_client_error(xids_xs_client(d->xs)) == 0) {
        if (d->store_polled && !uv_is_closing((uv_handle_t *)&d->store_poll))
            (void)poll_start(d);
        return;
    }
    if (!d->store_lost)
        log_line(SAY_ERROR, "xenstore: %s", xids_xs_reason(d->xs));
    d->store_lost = true;
    d->store_spoke = false;
    if (d->store_polled && !uv_is_closing((uv_handle_t *)&d->store_poll))
        uv_close((uv_handle_t *)&d->store_poll, poll_closed);
}

/* Its error shows in the client, too. */
static void pump(struct daemon *d)
{
    (void)!xids_xs_pump(d->xs);
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    struct daemon *d = h->data;
    (void)status;
    (void)events;
    pump(d);
    turn_end(d);
}

void store_retry(struct daemon *d)
{
    /* The old handle must be gone before it is made anew. */
    if (!d->store_lost || d->store_polled || now_ns() < d->store_retry_at)
        return;
    d->store_retry_at = now_ns() + STORE_RETRY_MS * MS;
    /* Without waiting: a store that hangs accepts connections too. Its first word ends the loss. */
    if (xids_xs_reconnect(d->xs) < 0)
        return;
    int rc = store_poll(d);
    if (rc < 0)
        log_line(SAY_ERROR, "event loop: %s", uv_strerror(rc));
    pump(d);
    look_after(d);
}

/* ---- turns ---- */

/* A store that does not answer in time is given up: what was asked is asked again of the next connection. */
static void heed_time(struct daemon *d)
{
    struct xids_xs_client *c = xids_xs_client(d->xs);
    uint64_t now = now_ns();
    if (xids_xs_client_deadline(c) <= now)
        pump(d); /* what has come while we did not look has come in time */
    xids_xs_client_tick(c, now);
    if (d->store_late)
        xids_xs_client_fail(c, -XEN_ENOTCONN, "no answer in time");
    d->store_late = false;
}

static void back(struct daemon *d)
{
    d->store_lost = false;
    d->count.store_reconnects++;
    log_line(SAY_INFO, "xenstore is back");
    guests_restore(d);
    scan_reset(d);
}

uint64_t store_turn(struct daemon *d)
{
    struct xids_xs_client *c = xids_xs_client(d->xs);
    bool room = true;
    heed_time(d);
    look_after(d);
    if (d->store_lost && d->store_spoke && xids_xs_client_error(c) == 0)
        back(d);
    for (unsigned int i = 0; i < STORE_ROUNDS && room && !d->store_lost; i++) {
        scan_turn(d, now_ns());
        room = publish_turn(d);
        reseed_turn(d);
        /* Answers that this takes in make room again, and nobody wakes us for them. */
        unsigned int before = xids_xs_client_outstanding(c);
        pump(d);
        room = room || xids_xs_client_outstanding(c) < before;
        look_after(d);
        if (d->talkers == NULL && scan_due(d) > now_ns())
            break;
    }
    if (d->store_lost)
        return d->store_retry_at;
    /* The others in the loop have their turn first. Without room an answer has to come, and wakes us. */
    uint64_t deadline = xids_xs_client_deadline(c), due = scan_due(d);
    if (room && (d->talkers != NULL || due <= now_ns()))
        return 0;
    return due < deadline ? due : deadline;
}

/* ---- start and stop ---- */

int store_open(struct daemon *d)
{
    int rc = xids_xs_open(&d->xs, NULL);
    if (rc < 0) {
        log_line(SAY_ERROR, "xenstore cannot be reached (does xenstored run?): %s", strerror(-rc));
        return rc;
    }
    xids_xs_set_timeout(d->xs, STORE_TIMEOUT_MS);
    /* Every other domain finds its number in its home; domain 0 only if somebody has put it there. */
    rc = xids_xs_own_domid(d->xs, &d->domid);
    if (rc < 0 && rc != -XEN_ENOENT) {
        log_line(SAY_ERROR, "xenstore does not say which domain this is: %s", strerror(-rc));
        return rc;
    }
    rc = claim_domain(xids_xs_fd(d->xs), d->domid);
    if (rc < 0) {
        log_line(SAY_ERROR, "%s: %s", rc == -EADDRINUSE ? "another xids-randomd serves from this domain" : "socket",
                 strerror(-rc));
        return rc;
    }
    return store_begin(d);
}

/* 1: there, 0: not, or an error. */
static int exists(struct daemon *d, const char *path)
{
    struct xids_xs_perm *perms;
    unsigned int count;
    int rc = xids_xs_get_perms(d->xs, &perms, &count, XIDS_XS_NO_TX, path);
    if (rc == -XEN_ENOENT)
        return 0;
    if (rc < 0)
        return rc;
    free(perms);
    return 1;
}

int store_begin(struct daemon *d)
{
    struct xids_xs_client *c = xids_xs_client(d->xs);
    char path[64];
    uint32_t id;
    int rc = 0;
    snprintf(path, sizeof(path), "/local/domain/%u", d->domid);
    if (!d->config.discover) {
        rc = exists(d, path);
        d->made_home = rc == 0;
        snprintf(path, sizeof(path), "/local/domain/%u/backend", d->domid);
        rc = rc < 0 ? rc : exists(d, path);
        d->made_backend = rc == 0;
    }
    if (rc >= 0 && d->config.discover) {
        snprintf(path, sizeof(path), "/local/domain/%u/backend/randomd", d->domid);
        rc = xids_xs_client_watch(c, &id, path, on_folder, d);
    } else if (rc >= 0) {
        rc = xids_xs_client_watch(c, &id, "@introduceDomain", on_introduce, d);
        if (rc == 0)
            rc = xids_xs_client_watch(c, &id, "@releaseDomain", on_release, d);
    }
    if (rc < 0)
        log_line(SAY_ERROR, "xenstore does not do what a daemon's domain may ask: %s", strerror(-rc));
    xids_xs_client_timeout(c, STORE_TIMEOUT_MS * MS);
    xids_xs_client_tick(c, now_ns());
    d->store_retry_at = now_ns();
    scan_reset(d);
    return rc < 0 ? rc : 0;
}

static void rm_if_empty(struct daemon *d, const char *path)
{
    char **names = NULL;
    unsigned int count = 1;
    int rc = xids_xs_directory(d->xs, &names, &count, XIDS_XS_NO_TX, path);
    free(names);
    if (rc >= 0 && count == 0)
        (void)!xids_xs_rm(d->xs, XIDS_XS_NO_TX, path);
}

void store_end(struct daemon *d)
{
    char path[64];
    uint64_t until = now_ns() + STORE_TIMEOUT_MS * MS;
    /* What guests_stop has asked for. Nobody is served any more. */
    while (d->guests != NULL && !d->store_lost && now_ns() < until) {
        publish_turn(d);
        if (xids_xs_client_outstanding(xids_xs_client(d->xs)) == 0)
            continue;
        /* A call that waits for its answer takes in the others' that come before. */
        snprintf(path, sizeof(path), "/local/domain/%u", d->domid);
        int rc = exists(d, path);
        if (rc == -XEN_ETIMEDOUT)
            break;
        d->store_lost = xids_xs_client_error(xids_xs_client(d->xs)) != 0;
    }
    if (d->store_lost || d->guests != NULL || d->config.discover)
        return;
    snprintf(path, sizeof(path), "/local/domain/%u/backend/randomd", d->domid);
    (void)!xids_xs_rm(d->xs, XIDS_XS_NO_TX, path);
    if (d->made_backend) {
        snprintf(path, sizeof(path), "/local/domain/%u/backend", d->domid);
        rm_if_empty(d, path);
    }
    if (d->made_home) {
        snprintf(path, sizeof(path), "/local/domain/%u", d->domid);
        rm_if_empty(d, path);
    }
}
