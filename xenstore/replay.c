/* SPDX-License-Identifier: ISC */
/*
 * Replay of a trace: a server without domains or sockets is given the traced requests in their order, and its answers
 * are compared with the traced ones. docs/spec/xenstore-trace.md
 */
#include "xenstore/replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xids/xs_server.h>

/* Numbers come from the trace, but who writes bad ones makes his own replay slow. */
static inline unsigned int hash_number(const uint32_t *number)
{
    return *number * 2654435761u;
}
#define HASH_FUNCTION(key, length, value) ((value) = hash_number(key))
#include <uthash.h>

#define NONE SIZE_MAX
#define SLICE 500u
#define TRIES 100000u /* of work before a request: no trace can keep us for ever */

struct item {
    struct trace_record rec;
    const uint8_t *payload;
    size_t answer; /* of a request: where its answer is, or NONE */
    size_t next;   /* of a request: the connection's next one without an answer */
};

/* A connection of the trace. */
struct peer {
    uint32_t number;
    struct xids_xs_conn *conn; /* in the replay's server; NULL: none at the moment */
    void *page;                /* of a domain */
    size_t first, last;        /* requests without an answer, oldest first */
    UT_hash_handle hh;
};

struct replay {
    struct item *items;
    size_t count, at;
    struct peer *peers;
    struct xids_xs_server *server;
    struct xids_xs_limits limits;
    uint32_t own_domid, privileged_domid;
    uint64_t now; /* ms */
    struct replay_result *result;
    FILE *out;
    bool no_memory;
};

/* ---- connections ---- */

static struct peer *peer_of(struct replay *r, uint32_t number)
{
    struct peer *p = NULL;
    HASH_FIND(hh, r->peers, &number, sizeof(number), p);
    if (p != NULL)
        return p;
    p = calloc(1, sizeof(*p));
    if (p == NULL) {
        r->no_memory = true;
        return NULL;
    }
    p->number = number;
    p->first = p->last = NONE;
    HASH_ADD(hh, r->peers, number, sizeof(number), p);
    return p;
}

static void peers_free(struct replay *r)
{
    struct peer *p, *next;
    HASH_ITER(hh, r->peers, p, next)
    {
        HASH_DEL(r->peers, p);
        free(p->page);
        free(p);
    }
}

static void asked(struct replay *r, struct peer *p, size_t request)
{
    r->items[request].next = NONE;
    if (p->first == NONE)
        p->first = request;
    else
        r->items[p->last].next = request;
    p->last = request;
}

/* The oldest request that has no answer yet, or NONE; it has one now. */
static size_t answered(const struct replay *r, struct peer *p)
{
    size_t request = p->first;
    if (request != NONE)
        p->first = r->items[request].next;
    return request;
}

/* ---- reading ---- */

static bool load(struct replay *r, const void *bytes, size_t len, struct trace_reader *t)
{
    size_t room = 0;
    struct item i = {.answer = NONE, .next = NONE};
    const char *error = trace_read(t, bytes, len);
    if (error != NULL) {
        r->result->error = error;
        return false;
    }
    while (trace_next(t, &i.rec, &i.payload) > 0) {
        if (r->count == room) {
            room = room == 0 ? 1024 : room * 2;
            struct item *more = realloc(r->items, room * sizeof(*more));
            if (more == NULL) {
                r->result->error = "out of memory";
                return false;
            }
            r->items = more;
        }
        r->items[r->count++] = i;
    }
    r->result->error = t->error;
    r->result->records = r->count;
    r->result->whole = t->header->tail == 0 && (t->header->flags & TRACE_FROM_START) != 0;
    return true;
}

/* Finds each request's answer. */
static void pair(struct replay *r)
{
    for (size_t i = 0; i < r->count && !r->no_memory; i++) {
        const struct trace_record *rec = &r->items[i].rec;
        struct peer *p = peer_of(r, rec->conn);
        if (p == NULL)
            return;
        if (rec->kind == TRACE_REQUEST) {
            asked(r, p, i);
        } else if (rec->kind == TRACE_ANSWER) {
            size_t request = answered(r, p);
            if (request != NONE)
                r->items[request].answer = i;
        } else if (rec->kind == TRACE_DISCONNECT || rec->kind == TRACE_RELEASE || rec->kind == TRACE_REBIND) {
            p->first = NONE;
        }
    }
    peers_free(r);
}

/* A line of the header's settings; those of later versions may be unknown. False: it makes no sense. */
static bool setting(struct replay *r, const char *line, size_t len)
{
    const char *end = line + len, *eq = memchr(line, '=', len);
    if (eq == NULL)
        return false;
    size_t name = (size_t)(eq - line);
    const char *value = eq + 1;
    uint32_t *to = NULL, most = DOMID_FIRST_RESERVED - 1;
    if (name == 9 && memcmp(line, "own-domid", name) == 0) {
        to = &r->own_domid;
    } else if (name == 16 && memcmp(line, "privileged-domid", name) == 0) {
        to = &r->privileged_domid;
    } else if (name == 5 && memcmp(line, "quota", name) == 0) {
        eq = memchr(value, '=', (size_t)(end - value));
        if (eq == NULL)
            return false;
        to = xids_xs_limit(&r->limits, value, (size_t)(eq - value));
        value = eq + 1;
        most = UINT32_MAX;
    }
    return to == NULL || xids_xswire_decimal(to, value, (size_t)(end - value), most) == 0;
}

static bool settings(struct replay *r, const struct trace_header *h)
{
    const char *at = h->settings, *end = at + h->settings_len;
    r->limits = xids_xs_limits_default;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (stop == NULL || !setting(r, at, (size_t)(stop - at))) {
            r->result->error = "the trace's settings are damaged";
            return false;
        }
        at = stop + 1;
    }
    return true;
}

/* ---- the host ---- */

/* What the host said of a domain while the request in work was carried out; otherwise without. */
static int host_said(const struct replay *r, enum trace_kind kind, uint16_t domid, int otherwise)
{
    for (size_t i = r->at + 1; i < r->count && r->items[i].rec.kind != TRACE_REQUEST; i++) {
        const struct trace_record *rec = &r->items[i].rec;
        if (rec->kind == kind && rec->domid == domid)
            return rec->result;
    }
    return otherwise;
}

static int host_introduce(void *ctx, void XIDS_PEER **page, struct xids_xs_conn *conn, uint16_t domid, uint32_t port)
{
    struct replay *r = ctx;
    struct peer *p = peer_of(r, domid);
    int rc = host_said(r, TRACE_INTRODUCE, domid, 0);
    (void)port;
    if (rc < 0)
        return rc;
    if (p != NULL && p->page == NULL)
        p->page = calloc(1, XIDS_PAGE_SIZE);
    if (p == NULL || p->page == NULL) {
        r->no_memory = true;
        return -XEN_ENOMEM;
    }
    memset(p->page, 0, XIDS_PAGE_SIZE);
    p->conn = conn;
    p->first = NONE;
    xids_xs_conn_set_data(conn, p);
    *page = (void XIDS_PEER *)p->page;
    return 0;
}

static int host_rebind(void *ctx, struct xids_xs_conn *conn, uint16_t domid, uint32_t port)
{
    (void)conn;
    (void)port;
    int rc = host_said(ctx, TRACE_REBIND, domid, 0);
    return rc < 0 ? rc : 0;
}

static void host_release(void *ctx, struct xids_xs_conn *conn, uint16_t domid)
{
    struct peer *p = xids_xs_conn_data(conn);
    (void)ctx;
    (void)domid;
    if (p == NULL)
        return;
    p->conn = NULL;
    p->first = NONE;
}

static bool host_exists(void *ctx, uint16_t domid)
{
    return host_said(ctx, TRACE_EXISTS, domid, 1) != 0;
}

static bool host_replaced(void *ctx, struct xids_xs_conn *conn, uint16_t domid)
{
    (void)conn;
    return host_said(ctx, TRACE_REPLACED, domid, 0) != 0;
}

static int error_number(const uint8_t *name, size_t len)
{
    for (int e = 1; e < 200; e++) {
        const char *known = xids_xswire_error_name(-e);
        if (strlen(known) + 1 == len && memcmp(known, name, len) == 0)
            return -e;
    }
    return -XEN_EINVAL;
}

/* A command that is the host's: what it does is not repeated, what it said is. */
static int host_control(void *ctx, struct xids_xs_conn *conn, char *answer, size_t room,
                        const struct xids_xswire_str *argv, unsigned int argc)
{
    const struct replay *r = ctx;
    (void)conn;
    (void)argv;
    (void)argc;
    size_t a = r->items[r->at].answer;
    if (a == NONE)
        return -XEN_EINVAL;
    const struct item *i = &r->items[a];
    if (i->rec.type == XS_ERROR)
        return error_number(i->payload, i->rec.len);
    if (i->rec.len > room)
        return -XEN_E2BIG;
    memcpy(answer, i->payload, i->rec.len);
    return (int)i->rec.len;
}

/* ---- the answers ---- */

static void differs(const struct replay *r, const struct item *request, const struct item *traced,
                    const struct xids_xswire_msg *msg)
{
    trace_print_place(r->out, &request->rec);
    (void)fputs(" asked ", r->out);
    trace_print_message(r->out, request->rec.type, request->rec.tx_id, request->payload, request->rec.len);
    (void)fputs("\n  traced:   ", r->out);
    trace_print_message(r->out, traced->rec.type, traced->rec.tx_id, traced->payload, traced->rec.len);
    (void)fputs("\n  replayed: ", r->out);
    trace_print_message(r->out, msg->type, msg->tx_id, (const uint8_t *)msg->payload, msg->len);
    (void)fputc('\n', r->out);
}

static void on_message(void *ctx, struct xids_xs_conn *conn, const struct xids_xswire_msg *msg)
{
    struct replay *r = ctx;
    struct peer *p = xids_xs_conn_data(conn);
    if (msg->type == XS_WATCH_EVENT || p == NULL)
        return;
    size_t request = answered(r, p);
    size_t a = request != NONE ? r->items[request].answer : NONE;
    if (a == NONE)
        return;
    const struct item *traced = &r->items[a];
    r->result->answers++;
    if (traced->rec.type == msg->type && traced->rec.tx_id == msg->tx_id && traced->rec.len == msg->len &&
        memcmp(traced->payload, msg->payload, msg->len) == 0)
        return;
    r->result->differ++;
    differs(r, &r->items[request], traced, msg);
}

static void on_request(void *ctx, struct xids_xs_conn *conn, const struct xids_xswire_msg *msg)
{
    (void)ctx;
    (void)conn;
    (void)msg;
}

/* ---- the requests ---- */

/* What a connection is told is looked at when it is said; nobody fetches it. */
static void drain(struct xids_xs_conn *conn)
{
    const void *bytes;
    size_t len;
    while ((len = xids_xs_server_output(conn, &bytes)) > 0)
        xids_xs_server_sent(conn, len);
}

static void bring_in(struct replay *r, struct peer *p)
{
    if (p->conn != NULL)
        return;
    int rc;
    if (p->number >= TRACE_SOCKET) {
        rc = xids_xs_server_connect(r->server, &p->conn, p);
    } else {
        free(p->page);
        p->page = calloc(1, XIDS_PAGE_SIZE);
        rc = p->page == NULL ? -XEN_ENOMEM
                             : xids_xs_server_introduce(r->server, &p->conn, p, (uint16_t)p->number,
                                                        (void XIDS_PEER *)p->page, false);
    }
    if (rc < 0)
        p->conn = NULL;
    if (rc == -XEN_ENOMEM)
        r->no_memory = true;
}

static void work(struct replay *r)
{
    struct xids_xs_conn *conn;
    while ((conn = xids_xs_server_ready(r->server)) != NULL)
        drain(conn);
    (void)xids_xs_server_idle(r->server, SLICE);
}

/* Lets the time pass up to that of the next record: what waited for it happens before. */
static void wait_until(struct replay *r, uint64_t ms)
{
    uint64_t due;
    if (ms <= r->now)
        return;
    while ((due = xids_xs_server_deadline(r->server)) <= ms && due > r->now) {
        r->now = due;
        xids_xs_server_time(r->server, due);
        work(r);
    }
    r->now = ms;
    xids_xs_server_time(r->server, ms);
}

/* Gives a request to the server, which may want to do other work first, or to wait for somebody's turn to end. */
static int give(struct replay *r, const struct peer *p, const uint8_t *message, size_t len)
{
    size_t used = 0;
    int rc = 0;
    bool more = true;
    for (unsigned int i = 1; p->conn != NULL && more && i < TRIES; i++) {
        uint64_t due = xids_xs_server_deadline(r->server);
        rc = xids_xs_server_input(p->conn, &used, message, len);
        if (rc < 0 || used > 0)
            break;
        more = xids_xs_server_idle(r->server, SLICE);
        if (!more && due != UINT64_MAX && due > r->now) {
            wait_until(r, due);
            more = true;
        } else if (i % 64 == 0) {
            wait_until(r, r->now + 1); /* what is rationed by time */
        }
    }
    return rc;
}

/* CONTROL commands that only show or write what is the daemon's: its other commands, its memory. */
static bool is_of_the_daemon(const struct item *i)
{
    static const char *const words[] = {"help", "memreport"};
    for (size_t w = 0; i->rec.type == XS_CONTROL && w < sizeof(words) / sizeof(words[0]); w++) {
        size_t len = strlen(words[w]);
        if (i->rec.len >= len && memcmp(i->payload, words[w], len) == 0 &&
            (i->rec.len == len || i->payload[len] == '\0'))
            return true;
    }
    return false;
}

static void ask(struct replay *r, struct peer *p, const struct item *i)
{
    uint8_t message[XIDS_XSWIRE_MESSAGE_MAX];
    const struct xids_xswire_part part = {i->payload, i->rec.len};
    bring_in(r, p);
    int n = xids_xswire_build(message, sizeof(message), i->rec.type, i->rec.req_id, i->rec.tx_id, &part, 1);
    if (p->conn == NULL || n < 0)
        return;
    drain(p->conn);
    asked(r, p, (size_t)(i - r->items));
    r->result->requests++;
    if (give(r, p, message, (size_t)n) < 0)
        p->first = NONE;
}

static void leave(struct peer *p)
{
    if (p->conn != NULL && p->number >= TRACE_SOCKET)
        xids_xs_server_disconnect(p->conn);
    if (p->number >= TRACE_SOCKET)
        p->conn = NULL;
    p->first = NONE;
}

static void step(struct replay *r)
{
    const struct item *i = &r->items[r->at];
    wait_until(r, i->rec.time / 1000000u);
    struct peer *p = peer_of(r, i->rec.conn);
    if (p == NULL)
        return;
    switch (i->rec.kind) {
    case TRACE_CONNECT:
    case TRACE_PRESENT:
        bring_in(r, p);
        break;
    case TRACE_DISCONNECT:
        leave(p);
        break;
    case TRACE_REQUEST:
        if (!is_of_the_daemon(i))
            ask(r, p, i);
        break;
    case TRACE_DEATH:
        xids_xs_server_release(r->server, i->rec.domid);
        break;
    case TRACE_SHUTDOWN:
        xids_xs_server_shutdown(r->server, i->rec.domid);
        break;
    default:
        return;
    }
    work(r);
}

static void *heap_get(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void heap_put(void *ctx, void *mem, size_t size)
{
    (void)ctx;
    (void)size;
    free(mem);
}

static void run(struct replay *r)
{
    const struct xids_xs_host host = {.introduce = host_introduce,
                                      .rebind = host_rebind,
                                      .release = host_release,
                                      .exists = host_exists,
                                      .replaced = host_replaced,
                                      .control = host_control,
                                      .ctx = r};
    const struct xids_xs_server_config config = {.alloc = {.get = heap_get, .put = heap_put},
                                                 .limits = &r->limits,
                                                 .host = &host,
                                                 .own_domid = (uint16_t)r->own_domid,
                                                 .privileged_domid = (uint16_t)r->privileged_domid};
    const struct xids_xs_tracer tracer = {.request = on_request, .message = on_message, .ctx = r};
    if (xids_xs_server_new(&r->server, &config) < 0) {
        r->no_memory = true;
        return;
    }
    xids_xs_server_trace(r->server, &tracer);
    for (r->at = 0; r->at < r->count && !r->no_memory; r->at++)
        step(r);
    xids_xs_server_trace(r->server, NULL);
    xids_xs_server_free(r->server);
}

bool replay_trace(struct replay_result *result, FILE *out, const void *bytes, size_t len)
{
    struct trace_reader t;
    struct replay r = {.result = result, .out = out};
    *result = (struct replay_result){0};
    bool good = load(&r, bytes, len, &t) && settings(&r, t.header);
    if (good)
        pair(&r);
    if (good && !r.no_memory)
        run(&r);
    peers_free(&r);
    free(r.items);
    if (r.no_memory)
        result->error = "out of memory";
    return good && !r.no_memory;
}
