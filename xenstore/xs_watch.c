/* SPDX-License-Identifier: ISC */
/* The blocking xenstore client's watches and the queue of their events. */
#include "xenstore/xs_internal.h"

#include <stdlib.h>
#include <string.h>

/*
 * A watch whose events wait unread past this number gets one event for all instead, at the watched path: what a
 * store (or a guest that writes below a watched path) can make us keep is bounded.
 */
#define EVENTS_MAX 1024u

/* Repetitions are looked for among the last so many events: a burst of writes to few nodes is kept short cheaply. */
#define LOOK_BACK 16

static void drop_event(struct xids_xs *xs, struct xsb_event *e)
{
    TAILQ_REMOVE(&xs->events, e, entry);
    e->watch->waiting--;
    if (e != e->watch->summary)
        free(e);
}

static void drop_events(struct xids_xs *xs, struct xsb_watch *w)
{
    struct xsb_event *e = TAILQ_FIRST(&xs->events);
    while (e != NULL) {
        struct xsb_event *next = TAILQ_NEXT(e, entry);
        if (e->watch == w)
            drop_event(xs, e);
        e = next;
    }
}

static void queue(struct xids_xs *xs, struct xsb_watch *w, struct xsb_event *e)
{
    e->watch = w;
    TAILQ_INSERT_TAIL(&xs->events, e, entry);
    w->waiting++;
}

static bool is_repeated(const struct xids_xs *xs, const struct xsb_watch *w, const char *path)
{
    const struct xsb_event *e = TAILQ_LAST(&xs->events, xsb_events);
    for (int i = 0; i < LOOK_BACK && e != NULL; i++) {
        if (e->watch == w && strcmp(e->path, path) == 0)
            return true;
        e = TAILQ_PREV(e, xsb_events, entry);
    }
    return false;
}

static void fired(struct xids_xs *xs, struct xsb_watch *w, const char *path)
{
    if (w->summed || is_repeated(xs, w, path))
        return;
    size_t len = strlen(path) + 1;
    struct xsb_event *e = w->waiting < EVENTS_MAX ? malloc(sizeof(*e) + len) : NULL;
    if (e == NULL) {
        drop_events(xs, w);
        w->summed = true;
        queue(xs, w, w->summary);
        return;
    }
    memcpy(e->path, path, len);
    queue(xs, w, e);
}

static void on_watch(void *ctx, int what, const char *path)
{
    struct xsb_watch *w = ctx;
    if (what == XIDS_XS_WATCH_FIRED) {
        fired(w->xs, w, path);
        return;
    }
    if (what < 0) {
        w->refused = what;
        if (!w->pending)
            w->xs->watch_lost = what;
    }
    w->pending = false;
}

/* ---- the user's side ---- */

static struct xsb_watch *find(const struct xids_xs *xs, const char *path, const void *token)
{
    struct xsb_watch *w;
    TAILQ_FOREACH(w, &xs->watches, entry)
    {
        if (w->token == token && strcmp(w->path, path) == 0)
            return w;
    }
    return NULL;
}

static void free_watch(struct xsb_watch *w)
{
    free(w->summary);
    free(w);
}

/* What next_event showed last is valid until the user calls again. */
static void forget_shown(struct xids_xs *xs)
{
    if (xs->shown != NULL && (xs->shown_watch == NULL || xs->shown != xs->shown_watch->summary))
        free(xs->shown);
    xs->shown = NULL;
    xs->shown_watch = NULL;
}

static void remove_watch(struct xids_xs *xs, struct xsb_watch *w)
{
    if (xs->shown_watch == w)
        forget_shown(xs);
    drop_events(xs, w);
    if (w->refused == 0)
        (void)xids_xs_client_unwatch(xs->client, w->id);
    TAILQ_REMOVE(&xs->watches, w, entry);
    free_watch(w);
}

void xsb_watches_free(struct xids_xs *xs)
{
    while (!TAILQ_EMPTY(&xs->watches))
        remove_watch(xs, TAILQ_FIRST(&xs->watches));
    forget_shown(xs);
}

static struct xsb_watch *new_watch(struct xids_xs *xs, const char *path, const void *token)
{
    size_t len = strlen(path) + 1;
    struct xsb_watch *w = calloc(1, sizeof(*w) + len);
    if (w == NULL)
        return NULL;
    w->summary = malloc(sizeof(*w->summary) + len);
    if (w->summary == NULL) {
        free(w);
        return NULL;
    }
    memcpy(w->path, path, len);
    memcpy(w->summary->path, path, len);
    w->xs = xs;
    w->token = token;
    w->pending = true;
    return w;
}

int xids_xs_watch(struct xids_xs *xs, const char *path, const void *token)
{
    if (find(xs, path, token) != NULL)
        return -XEN_EEXIST;
    struct xsb_watch *w = new_watch(xs, path, token);
    if (w == NULL)
        return -XEN_ENOMEM;
    uint64_t deadline = xsb_deadline(xs);
    int rc = xids_xs_client_error(xs->client);
    if (rc == 0)
        rc = xids_xs_client_watch(xs->client, &w->id, path, on_watch, w);
    if (rc < 0) {
        free_watch(w);
        return rc;
    }
    TAILQ_INSERT_TAIL(&xs->watches, w, entry);
    while (w->pending && rc == 0)
        rc = xsb_wait(xs, deadline);
    if (!w->pending)
        rc = w->refused;
    if (rc < 0)
        remove_watch(xs, w);
    return rc;
}

int xids_xs_unwatch(struct xids_xs *xs, const char *path, const void *token)
{
    struct xsb_watch *w = find(xs, path, token);
    if (w == NULL)
        return -XEN_ENOENT;
    remove_watch(xs, w);
    /* Out with it, if the descriptor takes it now; else with the next call. */
    xsb_flush(xs);
    return 0;
}

int xids_xs_next_event(struct xids_xs *xs, struct xids_xs_event *event, int timeout_ms)
{
    uint64_t deadline = timeout_ms < 0 ? UINT64_MAX : xsb_now() + (uint64_t)timeout_ms * 1000000u;
    forget_shown(xs);
    int rc = TAILQ_EMPTY(&xs->events) ? xids_xs_pump(xs) : 0;
    while (TAILQ_EMPTY(&xs->events) && rc == 0 && xs->watch_lost == 0)
        rc = xsb_wait(xs, deadline);
    struct xsb_event *e = TAILQ_FIRST(&xs->events);
    if (e != NULL) {
        TAILQ_REMOVE(&xs->events, e, entry);
        e->watch->waiting--;
        if (e == e->watch->summary)
            e->watch->summed = false;
        xs->shown = e;
        xs->shown_watch = e->watch;
        *event = (struct xids_xs_event){e->path, e->watch->token};
        return 1;
    }
    if (xs->watch_lost != 0) {
        rc = xs->watch_lost;
        xs->watch_lost = 0;
        return rc;
    }
    return rc == -XEN_ETIMEDOUT ? 0 : rc;
}
