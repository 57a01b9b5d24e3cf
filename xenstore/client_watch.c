/* SPDX-License-Identifier: ISC */
/* The xenstore client's watches: kept here, registered in the store whenever there is a connection. */
#include "xenstore/client_internal.h"

static void set_state(struct xids_xs_client *c, struct xsc_watch *w, enum xsc_watch_state state)
{
    bool waited = w->state == XSC_WATCH_WANTED || w->state == XSC_WATCH_UNWANTED;
    bool waits = state == XSC_WATCH_WANTED || state == XSC_WATCH_UNWANTED;
    if (waits && !waited)
        c->wants++;
    if (waited && !waits)
        c->wants--;
    w->state = state;
}

static uint32_t id_of(const struct xids_xs_client *c, const struct xsc_watch *w)
{
    return (uint32_t)w->serial << 16 | (uint32_t)(w - c->watches);
}

/* The watch of an id that the user sees as his own, or NULL. */
static struct xsc_watch *find(struct xids_xs_client *c, uint32_t id)
{
    uint32_t slot = id & 0xffffu;
    if (slot >= c->limits.watches)
        return NULL;
    struct xsc_watch *w = &c->watches[slot];
    if (w->serial != id >> 16)
        return NULL;
    return w->state == XSC_WATCH_WANTED || w->state == XSC_WATCH_SENT || w->state == XSC_WATCH_READY ? w : NULL;
}

int xids_xs_client_watch(struct xids_xs_client *c, uint32_t *id, const char *path, xids_xs_watch_fn *fn, void *ctx)
{
    size_t len = xids_xswire_string(path).len;
    if (len > c->limits.watch_path + 1u)
        return -XEN_ENAMETOOLONG;
    for (unsigned int i = 0; i < c->limits.watches; i++) {
        struct xsc_watch *w = &c->watches[i];
        if (w->state != XSC_WATCH_FREE)
            continue;
        __builtin_memcpy(w->path, path, len);
        w->fn = fn;
        w->ctx = ctx;
        /* Never 0, so that no id is 0. */
        w->serial = (uint16_t)(w->serial % 0xffffu + 1u);
        set_state(c, w, XSC_WATCH_WANTED);
        *id = id_of(c, w);
        return 0;
    }
    return -XEN_ENOSPC;
}

int xids_xs_client_unwatch(struct xids_xs_client *c, uint32_t id)
{
    struct xsc_watch *w = find(c, id);
    if (w == NULL)
        return -XEN_ENOENT;
    set_state(c, w, w->state == XSC_WATCH_WANTED ? XSC_WATCH_FREE : XSC_WATCH_UNWANTED);
    return 0;
}

void xids_xsc_watch_reply(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct xsc_watch *w = ctx;
    (void)payload;
    (void)len;
    /* When the user has dropped it meanwhile, the answer to UNWATCH frees it. */
    if (w->state != XSC_WATCH_SENT)
        return;
    /*
     * A domain that goes on in place after a suspension registers what the store still has: no harm done, but then the
     * store fires nothing by itself.
     */
    bool there = rc == -XEN_EEXIST;
    uint16_t serial = w->serial;
    /* Neither of the two states is one that waits, so that the client's count is not concerned. */
    w->state = rc == 0 || there ? XSC_WATCH_READY : XSC_WATCH_FREE;
    w->fn(w->ctx, rc == 0 || there ? XIDS_XS_WATCH_READY : rc, w->path);
    if (there && w->serial == serial && w->state == XSC_WATCH_READY)
        w->fn(w->ctx, XIDS_XS_WATCH_FIRED, w->path);
}

void xids_xsc_unwatch_reply(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct xsc_watch *w = ctx;
    (void)rc;
    (void)payload;
    (void)len;
    if (w->state == XSC_WATCH_LEAVING)
        w->state = XSC_WATCH_FREE;
}

static int send_watch(struct xids_xs_client *c, struct xsc_watch *w, bool add)
{
    char token[11];
    struct xids_xswire_part parts[2] = {xids_xswire_string(w->path), {token, 0}};
    parts[1].len = xids_xswire_format_decimal(token, id_of(c, w)) + 1u;
    return add ? xids_xsc_send(c, XS_WATCH, 0, parts, 2, xids_xsc_watch_reply, w, true)
               : xids_xsc_send(c, XS_UNWATCH, 0, parts, 2, xids_xsc_unwatch_reply, w, true);
}

bool xids_xsc_watch_flush(struct xids_xs_client *c)
{
    for (unsigned int i = 0; i < c->limits.watches && c->wants > 0; i++) {
        struct xsc_watch *w = &c->watches[i];
        if (w->state != XSC_WATCH_WANTED && w->state != XSC_WATCH_UNWANTED)
            continue;
        bool add = w->state == XSC_WATCH_WANTED;
        if (send_watch(c, w, add) < 0)
            return false;
        set_state(c, w, add ? XSC_WATCH_SENT : XSC_WATCH_LEAVING);
    }
    return true;
}

void xids_xsc_watch_disconnected(struct xids_xs_client *c)
{
    for (unsigned int i = 0; i < c->limits.watches; i++) {
        struct xsc_watch *w = &c->watches[i];
        if (w->state == XSC_WATCH_SENT || w->state == XSC_WATCH_READY)
            set_state(c, w, XSC_WATCH_WANTED);
        else if (w->state == XSC_WATCH_UNWANTED || w->state == XSC_WATCH_LEAVING)
            set_state(c, w, XSC_WATCH_FREE);
    }
}

void xids_xs_client_own_events(struct xids_xs_client *c, xids_xs_event_fn *fn, void *ctx)
{
    c->event_fn = fn;
    c->event_ctx = ctx;
}

void xids_xsc_watch_event(struct xids_xs_client *c, const char *payload, uint32_t len)
{
    struct xids_xswire_str args[2];
    size_t rest;
    uint32_t id;
    unsigned int n = xids_xswire_split(args, 2, &rest, payload, len);
    if (n != 2 || payload[len - 1] != '\0' || (rest != 0 && c->event_fn == NULL)) {
        xids_xs_client_fail(c, -XEN_EBADMSG, "a malformed watch event");
        return;
    }
    if (c->event_fn != NULL) {
        c->event_fn(c->event_ctx, payload, len);
        return;
    }
    /*
     * A token of nobody's is no offence: events of a watch that was just dropped are under way, and on a domain's
     * ring a former kernel's watches can still be registered.
     */
    if (xids_xswire_decimal(&id, args[1].s, args[1].len, UINT32_MAX) < 0)
        return;
    struct xsc_watch *w = find(c, id);
    if (w != NULL && w->state != XSC_WATCH_WANTED)
        w->fn(w->ctx, XIDS_XS_WATCH_FIRED, args[0].s);
}
