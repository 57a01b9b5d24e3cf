/* SPDX-License-Identifier: ISC */
/* What a connection is told: answers and events in one buffer, and the events that wait for room in it. */
#include "xenstore/server_impl.h"

#define OUT_FIRST (8u * 1024u)

/* ---- the buffer ---- */

static size_t held(const struct out *o)
{
    return o->end - o->start;
}

/* The bytes still to be sent of a message that has been sent in part. */
size_t xids_xs_out_rest(const struct out *o)
{
    size_t at = o->mark;
    while (at < o->start) {
        uint32_t len;
        __builtin_memcpy(&len, o->bytes + at + 12, sizeof(len));
        at += XIDS_XSWIRE_HEADER + len;
    }
    return at - o->start;
}

static void flush_pending(struct xids_xs_conn *conn)
{
    if (conn->pending != NULL || conn->overflow != NULL)
        xids_xs_out_flush_pending(conn);
}

/* Makes room for so many more bytes. */
int xids_xs_out_reserve(struct xids_xs_conn *conn, size_t room)
{
    struct out *o = &conn->out;
    if (o->cap - o->end >= room)
        return 0;
    if (o->cap == 0 && conn->server->spare.cap >= room) {
        *o = conn->server->spare;
        conn->server->spare = (struct out){0};
        return 0;
    }
    if (o->start > held(o) && o->cap - held(o) >= room) {
        o->mark = xids_xs_out_rest(o);
        __builtin_memmove(o->bytes, o->bytes + o->start, held(o));
        o->end = held(o);
        o->start = 0;
        return 0;
    }
    size_t cap = o->cap == 0 ? OUT_FIRST : o->cap * 2;
    while (cap - held(o) < room)
        cap *= 2;
    uint8_t *bytes = xids_xs_get(conn->server, cap);
    if (bytes == NULL)
        return -XEN_ENOMEM;
    size_t mark = xids_xs_out_rest(o);
    if (held(o) > 0)
        __builtin_memcpy(bytes, o->bytes + o->start, held(o));
    xids_xs_put(conn->server, o->bytes, o->cap);
    *o = (struct out){.bytes = bytes, .cap = cap, .end = held(o), .mark = mark};
    return 0;
}

static void release(struct xids_xs_conn *conn)
{
    struct out *o = &conn->out, *spare = &conn->server->spare;
    charge(conn, -(int64_t)held(o));
    conn->outstanding = 0;
    if (o->cap > spare->cap && o->cap <= OUT_STOP_SOCKET) {
        struct out old = *spare;
        *spare = (struct out){.bytes = o->bytes, .cap = o->cap};
        *o = old;
    }
    xids_xs_put(conn->server, o->bytes, o->cap);
    *o = (struct out){0};
}

void xids_xs_mark_ready(struct xids_xs_conn *conn)
{
    struct xids_xs_server *s = conn->server;
    if (conn->ready_next != conn)
        return;
    conn->ready_next = NULL;
    conn->ready_prev = s->ready_last;
    if (s->ready_last != NULL)
        s->ready_last->ready_next = conn;
    else
        s->ready = conn;
    s->ready_last = conn;
}

void xids_xs_unmark_ready(struct xids_xs_conn *conn)
{
    struct xids_xs_server *s = conn->server;
    if (conn->ready_next == conn)
        return;
    if (conn->ready_prev != NULL)
        conn->ready_prev->ready_next = conn->ready_next;
    else
        s->ready = conn->ready_next;
    if (conn->ready_next != NULL)
        conn->ready_next->ready_prev = conn->ready_prev;
    else
        s->ready_last = conn->ready_prev;
    conn->ready_next = conn->ready_prev = conn;
}

size_t xids_xs_server_output(struct xids_xs_conn *conn, const void **bytes)
{
    /* Events wait without anything before them only when there was no memory. */
    if (held(&conn->out) == 0)
        flush_pending(conn);
    *bytes = held(&conn->out) > 0 ? conn->out.bytes + conn->out.start : NULL;
    return held(&conn->out);
}

static bool is_counted(const struct xids_xs_conn *conn)
{
    return conn->ring || !conn->who.privileged;
}

/* The answers whose sending has begun are outstanding no more. */
static void note_fetched(struct xids_xs_conn *conn)
{
    struct out *o = &conn->out;
    while (o->mark < o->start) {
        uint32_t head[4];
        __builtin_memcpy(head, o->bytes + o->mark, sizeof(head));
        conn->outstanding -= head[0] != XS_WATCH_EVENT;
        o->mark += XIDS_XSWIRE_HEADER + head[3];
    }
}

/* Whether a domain has to fetch answers first. One that it has got in part counts. */
static bool is_behind(const struct xids_xs_conn *conn)
{
    const struct out *o = &conn->out;
    return !conn->who.privileged &&
           beyond(conn->settings.limits.outstanding, (uint64_t)conn->outstanding + (o->mark > o->start) + 1);
}

void xids_xs_server_sent(struct xids_xs_conn *conn, size_t count)
{
    struct out *o = &conn->out;
    if (count > held(o))
        count = held(o);
    o->start += count;
    charge(conn, -(int64_t)count);
    if (is_counted(conn))
        note_fetched(conn);
    flush_pending(conn);
    if (held(o) == 0)
        release(conn);
}

bool xids_xs_server_hungry(const struct xids_xs_conn *conn)
{
    return !conn->broken && !conn->later && !conn->spent && conn->held.list == NULL &&
           held(&conn->out) < (conn->ring ? OUT_STOP_DOMAIN : OUT_STOP_SOCKET) && !is_behind(conn);
}

/* ---- answers ---- */

static void traced(struct xids_xs_conn *conn, const uint8_t *bytes, size_t len)
{
    const struct xids_xs_tracer *t = conn->server->tracer;
    struct xids_xswire_msg msg;
    if (xids_xswire_peek(&msg, bytes, len) > 0)
        t->message(t->ctx, conn, &msg);
}

/* Room for any answer was made before the request was looked at. */
static void append(struct xids_xs_conn *conn, uint32_t type, uint32_t req_id, uint32_t tx_id,
                   const struct xids_xswire_part *parts, unsigned int count)
{
    struct out *o = &conn->out;
    int n = xids_xswire_build(o->bytes + o->end, o->cap - o->end, type, req_id, tx_id, parts, count);
    if (conn->server->tracer != NULL && n > 0)
        traced(conn, o->bytes + o->end, (size_t)n);
    if (n > 0) {
        o->end += (size_t)n;
        conn->server->cost += (uint32_t)n / COST_BYTES;
        charge(conn, n);
    }
    conn->outstanding += type != XS_WATCH_EVENT && is_counted(conn);
    xids_xs_mark_ready(conn);
}

static void answered(struct request *r, int rc)
{
    const struct xids_xs_host *host = &r->conn->server->host;
    r->answered = true;
    if (host->answered != NULL)
        host->answered(host->ctx, r->conn, r->msg, rc);
}

void xids_xs_reply_error(struct request *r, int err)
{
    const struct xids_xswire_part part = xids_xswire_string(xids_xswire_error_name(err));
    (void)xids_xs_out_reserve(r->conn, XIDS_XSWIRE_HEADER + part.len);
    append(r->conn, XS_ERROR, r->msg->req_id, r->msg->tx_id, &part, 1);
    answered(r, err);
}

void xids_xs_reply_parts(struct request *r, const struct xids_xswire_part *parts, unsigned int count)
{
    size_t len = 0;
    for (unsigned int i = 0; i < count; i++)
        len += parts[i].len;
    if (len > XIDS_XSWIRE_PAYLOAD_MAX) {
        xids_xs_reply_error(r, -XEN_E2BIG);
        return;
    }
    /* The change has been made: events to the same connection may have taken the room that was set aside. */
    if (xids_xs_out_reserve(r->conn, XIDS_XSWIRE_HEADER + len) < 0) {
        r->conn->broken = true;
        return;
    }
    append(r->conn, r->msg->type, r->msg->req_id, r->msg->tx_id, parts, count);
    answered(r, 0);
}

void xids_xs_reply(struct request *r, const void *data, size_t len)
{
    const struct xids_xswire_part part = {data, len};
    xids_xs_reply_parts(r, &part, 1);
}

void xids_xs_reply_ok(struct request *r)
{
    xids_xs_reply(r, "OK", 3);
}

/* A request that its host answers when it can; until then the connection is not read from. */
void xids_xs_reply_later(struct request *r)
{
    r->conn->later = true;
    r->conn->later_req_id = r->msg->req_id;
    r->conn->later_tx_id = r->msg->tx_id;
    r->answered = true;
}

int xids_xs_server_answer(struct xids_xs_conn *conn, const char *text, size_t len)
{
    const struct xids_xswire_part part = {text, len};
    if (!conn->later || len > XIDS_XSWIRE_PAYLOAD_MAX)
        return -XEN_EINVAL;
    int rc = xids_xs_out_reserve(conn, XIDS_XSWIRE_HEADER + len);
    if (rc < 0)
        return rc;
    conn->later = false;
    append(conn, XS_CONTROL, conn->later_req_id, conn->later_tx_id, &part, 1);
    if (conn->ring)
        xids_xs_look_again(conn);
    return 0;
}

/* ---- events ---- */

static bool put_event(struct watch *w, const char *path, size_t len)
{
    struct xids_xs_conn *conn = w->conn;
    const struct xids_xswire_part parts[] = {{path, len}, {"", 1}, {w->token, w->token_len}, {"", 1}};
    size_t size = XIDS_XSWIRE_HEADER + len + w->token_len + 2u;
    /* The room set aside for the answer to the request in work stays free. */
    size_t limit = conn->ring ? OUT_EVENTS_DOMAIN : OUT_EVENTS_SOCKET;
    if (held(&conn->out) + size > limit || xids_xs_out_reserve(conn, size + XIDS_XSWIRE_MESSAGE_MAX) < 0)
        return false;
    append(conn, XS_WATCH_EVENT, 0, 0, parts, 4);
    conn->server->stats.events++;
    conn->done.events++;
    return true;
}

void xids_xs_event_overflow(struct watch *w)
{
    struct xids_xs_conn *conn = w->conn;
    w->overflow = true;
    w->overflow_next = NULL;
    *conn->overflow_last = w;
    conn->overflow_last = &w->overflow_next;
}

/* Keeps an event until there is room. */
void xids_xs_event_keep(struct watch *w, const char *path, size_t len)
{
    struct xids_xs_conn *conn = w->conn;
    if (w->overflow)
        return;
    for (struct pending *p = w->pending; p != NULL; p = p->watch_next) {
        if (p->len == len && __builtin_memcmp(p->path, path, len) == 0)
            return;
    }
    struct pending *p = NULL;
    size_t bytes = FLEXIBLE(struct pending, path, len);
    if (w->npending < PENDING_MAX && xids_store_room(conn->server->store, &conn->who, (int64_t)bytes, 0) == 0)
        p = xids_xs_get(conn->server, bytes);
    if (p == NULL) {
        xids_xs_event_overflow(w);
        return;
    }
    charge(conn, (int64_t)bytes);
    *p = (struct pending){.watch_next = w->pending, .watch = w, .len = (uint16_t)len};
    __builtin_memcpy(p->path, path, len);
    w->pending = p;
    w->npending++;
    *conn->pending_last = p;
    conn->pending_last = &p->next;
}

void xids_xs_event(struct watch *w, const char *path, size_t len)
{
    struct xids_xs_conn *conn = w->conn;
    conn->server->cost += COST_EVENT;
    if (conn->broken || len + w->token_len + 2u > XIDS_XSWIRE_PAYLOAD_MAX)
        return; /* cannot be said in a message */
    if (conn->pending != NULL || conn->overflow != NULL || !put_event(w, path, len)) {
        xids_xs_event_keep(w, path, len);
        xids_xs_mark_ready(conn);
    }
}

/* Takes an event out of its watch's list and frees it; it is no more in the connection's. */
static void pending_free(struct pending *p)
{
    struct watch *w = p->watch;
    struct pending **at = &w->pending;
    while (*at != p)
        at = &(*at)->watch_next;
    *at = p->watch_next;
    w->npending--;
    charge(w->conn, -(int64_t)FLEXIBLE(struct pending, path, p->len));
    xids_xs_put(w->conn->server, p, FLEXIBLE(struct pending, path, p->len));
}

void xids_xs_out_free(struct xids_xs_conn *conn)
{
    release(conn);
}

/* None of the connection's watches is in force any more: they need not know. */
void xids_xs_out_take_pending(struct xids_xs_conn *conn)
{
    if (conn->pending != NULL) {
        *(conn->stale_pending != NULL ? conn->stale_pending_last : &conn->stale_pending) = conn->pending;
        conn->stale_pending_last = conn->pending_last;
        conn->pending = NULL;
    }
    conn->pending_last = &conn->pending;
    conn->overflow = NULL;
    conn->overflow_last = &conn->overflow;
}

bool xids_xs_out_reap_pending(struct xids_xs_conn *conn)
{
    struct pending *p = conn->stale_pending;
    if (p == NULL)
        return false;
    conn->stale_pending = p->next;
    charge(conn, -(int64_t)FLEXIBLE(struct pending, path, p->len));
    xids_xs_put(conn->server, p, FLEXIBLE(struct pending, path, p->len));
    return true;
}

void xids_xs_out_flush_pending(struct xids_xs_conn *conn)
{
    while (conn->pending != NULL) {
        struct pending *p = conn->pending;
        if (!put_event(p->watch, p->path, p->len))
            return;
        conn->pending = p->next;
        if (conn->pending == NULL)
            conn->pending_last = &conn->pending;
        pending_free(p);
    }
    while (conn->overflow != NULL) {
        struct watch *w = conn->overflow;
        struct xids_store_path *p = conn->server->event_path;
        size_t len = 0;
        /* The path of the watch, from its name up. */
        for (const struct watch_node *n = w->at; n->parent != NULL; n = n->parent)
            len += n->name_len + 1u;
        size_t at = len;
        for (const struct watch_node *n = w->at; n->parent != NULL; n = n->parent) {
            at -= n->name_len;
            __builtin_memcpy(p->bytes + at, n->name, n->name_len);
            at--;
            p->bytes[at] = '/';
        }
        /* What stands first is an empty name (or, of a special path, a slash too many). */
        const char *path = p->bytes + 1;
        len = len > 1 ? len - 1 : 0;
        if (len == 0) {
            path = "/";
            len = 1;
        }
        if (!put_event(w, path + w->prefix, len - w->prefix))
            return;
        conn->overflow = w->overflow_next;
        if (conn->overflow == NULL)
            conn->overflow_last = &conn->overflow;
        w->overflow = false;
    }
}

/* The watch is going: what waits for it goes too. */
void xids_xs_watch_forget_pending(struct watch *w)
{
    struct xids_xs_conn *conn = w->conn;
    if (w->npending > 0) {
        struct pending **at = &conn->pending;
        while (*at != NULL) {
            struct pending *p = *at;
            if (p->watch != w) {
                at = &p->next;
                continue;
            }
            *at = p->next;
            pending_free(p);
        }
        conn->pending_last = at;
    }
    if (w->overflow) {
        struct watch **at = &conn->overflow;
        while (*at != w)
            at = &(*at)->overflow_next;
        *at = w->overflow_next;
        if (*at == NULL)
            conn->overflow_last = at;
        w->overflow = false;
    }
}
