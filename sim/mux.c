/* SPDX-License-Identifier: ISC */
#include "sim/mux.h"

#include <string.h>
#include <xids/xswire.h>

/* While more than this waits for the ring, clients wait too: the store is the bottleneck, not memory. */
#define STORE_QUEUE_HIGH (64u * 1024u)

/* "4294967295.4294967295" and its NUL. */
#define TOKEN_MAX 24u

struct queue {
    uint8_t *mem;
    size_t room, start, end;
};

/* A watch as the client knows it; at the store its token is "CLIENT.WATCH". path and token are NUL-terminated. */
struct watch {
    struct watch *next;
    uint32_t id;
    bool leaving;                 /* its UNWATCH is under way */
    size_t path_size, token_size; /* NULs included */
    char text[];                  /* path, then token */
};

struct transaction {
    struct transaction *next;
    uint32_t id;
};

struct request {
    struct request *next;
    struct xids_mux_client *client; /* NULL: of our own, or of a client that has gone */
    uint32_t wire_id;               /* what the store sees */
    uint32_t client_id;             /* what the client said */
    uint32_t type, tx_id, watch_id;
};

struct xids_mux_client {
    struct xids_mux_client *next, *prev;
    struct xids_mux *mux;
    void *owner;
    uint32_t id;
    uint32_t next_watch;
    unsigned int in_flight;
    bool failed;
    struct watch *watches;
    struct transaction *transactions;
    struct queue out;
    struct xids_xswire_parser parser;
    uint8_t input[XIDS_XSWIRE_MESSAGE_MAX];
};

struct xids_mux {
    struct xids_alloc alloc;
    struct xids_mux_client *clients;
    struct request *requests, **requests_end; /* in the order sent, which is nearly always the order answered */
    uint32_t next_client, next_request;
    int error;
    struct queue out;
    struct xids_xswire_parser parser;
    uint8_t input[XIDS_XSWIRE_MESSAGE_MAX];
};

static void *get(struct xids_mux *m, size_t size)
{
    void *mem = m->alloc.get(m->alloc.ctx, size);
    if (mem != NULL)
        memset(mem, 0, size);
    return mem;
}

static void put(struct xids_mux *m, void *mem, size_t size)
{
    if (mem != NULL)
        m->alloc.put(m->alloc.ctx, mem, size);
}

/* ---- queues of bytes ---- */

static uint8_t *queue_reserve(struct xids_mux *m, struct queue *q, size_t len)
{
    if (q->room - q->end >= len)
        return q->mem + q->end;
    size_t have = q->end - q->start;
    if (q->start >= have && q->room - have >= len) {
        memcpy(q->mem, q->mem + q->start, have);
    } else {
        size_t room = 2 * (have + len);
        uint8_t *mem = get(m, room);
        if (mem == NULL)
            return NULL;
        if (have > 0)
            memcpy(mem, q->mem + q->start, have);
        put(m, q->mem, q->room);
        q->mem = mem;
        q->room = room;
    }
    q->start = 0;
    q->end = have;
    return q->mem + q->end;
}

static void queue_drop(struct queue *q, size_t n)
{
    q->start += n;
    if (q->start == q->end)
        q->start = q->end = 0;
}

/* ---- the two directions of messages ---- */

static void to_client(struct xids_mux_client *c, uint32_t type, uint32_t req_id, uint32_t tx_id,
                      const struct xids_xswire_part *parts, unsigned int count)
{
    size_t size = XIDS_XSWIRE_HEADER;
    for (unsigned int i = 0; i < count; i++)
        size += parts[i].len;
    if (c->failed)
        return;
    if (c->out.end - c->out.start + size > XIDS_MUX_QUEUE_MAX) {
        c->failed = true;
        return;
    }
    uint8_t *at = queue_reserve(c->mux, &c->out, size);
    if (at == NULL) {
        c->failed = true;
        return;
    }
    int len = xids_xswire_build(at, size, type, req_id, tx_id, parts, count);
    /* The only failure left is an event that the client's longer token pushed over the limit; the store drops such too.
     */
    if (len > 0)
        c->out.end += (size_t)len;
}

static void error_to_client(struct xids_mux_client *c, const struct xids_xswire_msg *msg, int err)
{
    struct xids_xswire_part name = xids_xswire_string(xids_xswire_error_name(err));
    to_client(c, XS_ERROR, msg->req_id, msg->tx_id, &name, 1);
}

/* Sends a request for a client, or for ourselves (c NULL). */
static int to_store(struct xids_mux *m, struct xids_mux_client *c, struct request *r,
                    const struct xids_xswire_part *parts, unsigned int count)
{
    size_t size = XIDS_XSWIRE_HEADER;
    for (unsigned int i = 0; i < count; i++)
        size += parts[i].len;
    struct request *kept = get(m, sizeof(*kept));
    uint8_t *at = kept != NULL ? queue_reserve(m, &m->out, size) : NULL;
    if (at == NULL) {
        put(m, kept, sizeof(*kept));
        return -XEN_ENOMEM;
    }
    *kept = *r;
    kept->next = NULL;
    kept->client = c;
    kept->wire_id = ++m->next_request;
    int len = xids_xswire_build(at, size, kept->type, kept->wire_id, kept->tx_id, parts, count);
    if (len < 0) {
        put(m, kept, sizeof(*kept));
        return len;
    }
    m->out.end += (size_t)len;
    *m->requests_end = kept;
    m->requests_end = &kept->next;
    if (c != NULL)
        c->in_flight++;
    return 0;
}

static size_t wire_token(char token[TOKEN_MAX], const struct xids_mux_client *c, uint32_t watch)
{
    size_t len = xids_xswire_format_decimal(token, c->id);
    token[len++] = '.';
    return len + xids_xswire_format_decimal(token + len, watch) + 1;
}

/* ---- what we ask for ourselves, after a client ---- */

static void own_unwatch(struct xids_mux_client *c, const struct watch *w)
{
    char token[TOKEN_MAX];
    struct xids_xswire_part parts[2] = {{w->text, w->path_size}, {token, wire_token(token, c, w->id)}};
    struct request r = {.type = XS_UNWATCH};
    int rc = to_store(c->mux, NULL, &r, parts, 2);
    if (rc < 0 && c->mux->error == 0)
        c->mux->error = rc;
}

static void own_abort(struct xids_mux *m, uint32_t tx_id)
{
    struct xids_xswire_part part = xids_xswire_string("F");
    struct request r = {.type = XS_TRANSACTION_END, .tx_id = tx_id};
    int rc = to_store(m, NULL, &r, &part, 1);
    if (rc < 0 && m->error == 0)
        m->error = rc;
}

static void watch_free(struct xids_mux *m, struct watch *w)
{
    put(m, w, sizeof(*w) + w->path_size + w->token_size);
}

/* Ends all that a client holds at the store. WATCH requests still under way are undone too: the store keeps the order.
 */
static void release_all(struct xids_mux_client *c)
{
    while (c->watches != NULL) {
        struct watch *w = c->watches;
        c->watches = w->next;
        own_unwatch(c, w);
        watch_free(c->mux, w);
    }
    while (c->transactions != NULL) {
        struct transaction *t = c->transactions;
        c->transactions = t->next;
        own_abort(c->mux, t->id);
        put(c->mux, t, sizeof(*t));
    }
}

/* ---- requests of a client ---- */

static struct watch **find_watch(struct xids_mux_client *c, const struct xids_xswire_str *path,
                                 const struct xids_xswire_str *token)
{
    struct watch **at = &c->watches;
    for (; *at != NULL; at = &(*at)->next) {
        struct watch *w = *at;
        if (!w->leaving && w->path_size == path->len + 1 && w->token_size == token->len + 1 &&
            memcmp(w->text, path->s, path->len) == 0 && memcmp(w->text + w->path_size, token->s, token->len) == 0)
            break;
    }
    return at;
}

static struct watch **find_watch_id(struct xids_mux_client *c, uint32_t id)
{
    struct watch **at = &c->watches;
    while (*at != NULL && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

/* What the store answered to WATCH or UNWATCH decides whether the watch is there. */
static void watch_answered(struct xids_mux_client *c, const struct request *r, int err)
{
    struct watch **at = find_watch_id(c, r->watch_id), *w = *at;
    if (w == NULL)
        return;
    if (r->type == XS_WATCH ? err != 0 : (err == 0 || err == -XEN_ENOENT)) {
        *at = w->next;
        watch_free(c->mux, w);
    } else {
        w->leaving = w->leaving && r->type == XS_WATCH;
    }
}

static bool owns_transaction(const struct xids_mux_client *c, uint32_t id)
{
    for (const struct transaction *t = c->transactions; t != NULL; t = t->next)
        if (t->id == id)
            return true;
    return false;
}

static void drop_transaction(struct xids_mux_client *c, uint32_t id)
{
    for (struct transaction **at = &c->transactions; *at != NULL; at = &(*at)->next) {
        struct transaction *t = *at;
        if (t->id == id) {
            *at = t->next;
            put(c->mux, t, sizeof(*t));
            return;
        }
    }
}

static int client_watch(struct xids_mux_client *c, struct request *r, const struct xids_xswire_msg *msg)
{
    struct xids_xswire_str args[2];
    size_t rest;
    if (xids_xswire_split(args, 2, &rest, msg->payload, msg->len) != 2)
        return -XEN_EINVAL;
    struct watch *w = *find_watch(c, &args[0], &args[1]);
    bool adding = msg->type == XS_WATCH;
    if (adding == (w != NULL))
        return adding ? -XEN_EEXIST : -XEN_ENOENT;
    if (adding) {
        w = get(c->mux, sizeof(*w) + args[0].len + args[1].len + 2);
        if (w == NULL)
            return -XEN_ENOMEM;
        w->id = c->next_watch++;
        w->path_size = args[0].len + 1;
        w->token_size = args[1].len + 1;
        memcpy(w->text, args[0].s, args[0].len);
        memcpy(w->text + w->path_size, args[1].s, args[1].len);
    }
    char token[TOKEN_MAX];
    struct xids_xswire_part parts[3] = {
        {w->text, w->path_size},
        {token, wire_token(token, c, w->id)},
        {msg->payload + msg->len - rest, rest},
    };
    r->watch_id = w->id;
    int rc = to_store(c->mux, c, r, parts, 3);
    if (adding && rc < 0) {
        watch_free(c->mux, w);
    } else if (adding) {
        w->next = c->watches;
        c->watches = w;
    } else if (rc == 0) {
        w->leaving = true;
    }
    return rc;
}

static void client_request(struct xids_mux_client *c, const struct xids_xswire_msg *msg)
{
    struct request r = {.type = msg->type, .client_id = msg->req_id, .tx_id = msg->tx_id};
    struct xids_xswire_part whole = {msg->payload, msg->len};
    int rc;
    if (msg->tx_id != 0 && !owns_transaction(c, msg->tx_id)) {
        rc = -XEN_ENOENT;
    } else if (msg->type == XS_WATCH || msg->type == XS_UNWATCH) {
        rc = client_watch(c, &r, msg);
    } else if (msg->type == XS_RESET_WATCHES) {
        struct xids_xswire_part ok = xids_xswire_string("OK");
        release_all(c);
        to_client(c, XS_RESET_WATCHES, msg->req_id, msg->tx_id, &ok, 1);
        rc = 0;
    } else {
        rc = to_store(c->mux, c, &r, &whole, 1);
    }
    if (rc < 0)
        error_to_client(c, msg, rc == -XEN_E2BIG ? -XEN_EINVAL : rc);
}

int xids_mux_client_input(struct xids_mux_client *c, const void *data, size_t len)
{
    const uint8_t *at = data;
    size_t taken = 0;
    while (taken < len && c->in_flight < XIDS_MUX_REQUESTS_MAX &&
           c->mux->out.end - c->mux->out.start < STORE_QUEUE_HIGH) {
        struct xids_xswire_msg msg;
        size_t used;
        int rc = xids_xswire_parse(&c->parser, &msg, &used, at + taken, len - taken);
        taken += used;
        if (rc < 0)
            return rc;
        if (rc > 0)
            client_request(c, &msg);
    }
    return (int)taken;
}

/* ---- replies and events of the store ---- */

static void store_event(struct xids_mux *m, const struct xids_xswire_msg *msg)
{
    struct xids_xswire_str args[2];
    if (xids_xswire_split(args, 2, NULL, msg->payload, msg->len) != 2)
        return;
    const char *dot = memchr(args[1].s, '.', args[1].len);
    uint32_t client, watch;
    if (dot == NULL || xids_xswire_decimal(&client, args[1].s, (size_t)(dot - args[1].s), UINT32_MAX) < 0 ||
        xids_xswire_decimal(&watch, dot + 1, args[1].len - (size_t)(dot + 1 - args[1].s), UINT32_MAX) < 0)
        return;
    for (struct xids_mux_client *c = m->clients; c != NULL; c = c->next) {
        struct watch *w = c->id == client ? *find_watch_id(c, watch) : NULL;
        if (w == NULL)
            continue;
        struct xids_xswire_part parts[2] = {{args[0].s, args[0].len + 1}, {w->text + w->path_size, w->token_size}};
        to_client(c, XS_WATCH_EVENT, 0, 0, parts, 2);
        return;
    }
}

static void began_transaction(struct xids_mux *m, struct xids_mux_client *c, const struct xids_xswire_msg *msg)
{
    struct xids_xswire_str arg;
    uint32_t id;
    if (xids_xswire_split(&arg, 1, NULL, msg->payload, msg->len) != 1 ||
        xids_xswire_decimal(&id, arg.s, arg.len, UINT32_MAX) < 0)
        return;
    struct transaction *t = c != NULL ? get(m, sizeof(*t)) : NULL;
    if (t == NULL) {
        own_abort(m, id);
        if (c != NULL)
            c->failed = true;
        return;
    }
    t->id = id;
    t->next = c->transactions;
    c->transactions = t;
}

static int store_reply(struct xids_mux *m, const struct xids_xswire_msg *msg)
{
    struct request **at = &m->requests, *r;
    while ((r = *at) != NULL && r->wire_id != msg->req_id)
        at = &r->next;
    if (r == NULL || (msg->type != r->type && msg->type != XS_ERROR))
        return -XEN_EBADMSG;
    *at = r->next;
    if (*at == NULL)
        m->requests_end = at;

    struct xids_mux_client *c = r->client;
    int err = msg->type == XS_ERROR ? xids_xswire_error_number(msg->payload, msg->len) : 0;
    if (r->type == XS_TRANSACTION_START && err == 0)
        began_transaction(m, c, msg);
    if (c != NULL) {
        c->in_flight--;
        if (r->type == XS_WATCH || r->type == XS_UNWATCH)
            watch_answered(c, r, err);
        /* A commit that conflicts ends the transaction too; one that was malformed does not. */
        if (r->type == XS_TRANSACTION_END && (err == 0 || err == -XEN_EAGAIN || err == -XEN_ENOENT))
            drop_transaction(c, r->tx_id);
        struct xids_xswire_part whole = {msg->payload, msg->len};
        to_client(c, msg->type, r->client_id, msg->tx_id, &whole, 1);
    }
    put(m, r, sizeof(*r));
    return 0;
}

int xids_mux_store_input(struct xids_mux *m, const void *data, size_t len)
{
    const uint8_t *at = data;
    while (len > 0 && m->error == 0) {
        struct xids_xswire_msg msg;
        size_t used;
        int rc = xids_xswire_parse(&m->parser, &msg, &used, at, len);
        at += used;
        len -= used;
        if (rc > 0 && msg.type == XS_WATCH_EVENT)
            store_event(m, &msg);
        else if (rc > 0)
            rc = store_reply(m, &msg);
        if (rc < 0 && m->error == 0)
            m->error = rc;
    }
    return m->error;
}

/* ---- the rest of the interface ---- */

struct xids_mux *xids_mux_new(const struct xids_alloc *alloc)
{
    struct xids_mux *m = alloc->get(alloc->ctx, sizeof(*m));
    if (m == NULL)
        return NULL;
    memset(m, 0, sizeof(*m));
    m->alloc = *alloc;
    m->requests_end = &m->requests;
    xids_xswire_parser_init(&m->parser, m->input);
    return m;
}

static void client_free(struct xids_mux_client *c)
{
    if (c->next != NULL)
        c->next->prev = c->prev;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        c->mux->clients = c->next;
    put(c->mux, c->out.mem, c->out.room);
    put(c->mux, c, sizeof(*c));
}

void xids_mux_free(struct xids_mux *m)
{
    while (m->clients != NULL)
        xids_mux_client_gone(m->clients);
    while (m->requests != NULL) {
        struct request *r = m->requests;
        m->requests = r->next;
        put(m, r, sizeof(*r));
    }
    put(m, m->out.mem, m->out.room);
    m->alloc.put(m->alloc.ctx, m, sizeof(*m));
}

struct xids_mux_client *xids_mux_client_new(struct xids_mux *m, void *owner)
{
    struct xids_mux_client *c = get(m, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->mux = m;
    c->owner = owner;
    c->id = ++m->next_client;
    xids_xswire_parser_init(&c->parser, c->input);
    c->next = m->clients;
    if (c->next != NULL)
        c->next->prev = c;
    m->clients = c;
    return c;
}

void *xids_mux_client_owner(const struct xids_mux_client *c)
{
    return c->owner;
}

void xids_mux_client_gone(struct xids_mux_client *c)
{
    for (struct request *r = c->mux->requests; r != NULL; r = r->next)
        if (r->client == c)
            r->client = NULL;
    release_all(c);
    client_free(c);
}

size_t xids_mux_client_output(const struct xids_mux_client *c, const uint8_t **data)
{
    *data = c->out.mem != NULL ? c->out.mem + c->out.start : NULL;
    return c->out.end - c->out.start;
}

void xids_mux_client_sent(struct xids_mux_client *c, size_t n)
{
    queue_drop(&c->out, n);
}

bool xids_mux_client_failed(const struct xids_mux_client *c)
{
    return c->failed;
}

size_t xids_mux_store_output(const struct xids_mux *m, const uint8_t **data)
{
    *data = m->out.mem != NULL ? m->out.mem + m->out.start : NULL;
    return m->out.end - m->out.start;
}

void xids_mux_store_sent(struct xids_mux *m, size_t n)
{
    queue_drop(&m->out, n);
}

void xids_mux_each(struct xids_mux *m, void (*each)(void *ctx, struct xids_mux_client *c), void *ctx)
{
    struct xids_mux_client *c = m->clients, *next;
    for (; c != NULL; c = next) {
        next = c->next;
        each(ctx, c);
    }
}

void xids_mux_counts(const struct xids_mux *m, struct xids_mux_counts *counts)
{
    *counts = (struct xids_mux_counts){0};
    for (const struct request *r = m->requests; r != NULL; r = r->next)
        counts->requests++;
    for (const struct xids_mux_client *c = m->clients; c != NULL; c = c->next) {
        counts->clients++;
        for (const struct watch *w = c->watches; w != NULL; w = w->next)
            counts->watches++;
        for (const struct transaction *t = c->transactions; t != NULL; t = t->next)
            counts->transactions++;
    }
}
