/* SPDX-License-Identifier: ISC */
/* The server and its connections: making and ending them, and bytes in. */
#include <xids/xs_journal.h>

#include "xenstore/server_impl.h"

void *xids_xs_get(struct xids_xs_server *s, size_t size)
{
    return s->alloc.get(s->alloc.ctx, size);
}

void xids_xs_put(struct xids_xs_server *s, void *mem, size_t size)
{
    if (mem != NULL)
        s->alloc.put(s->alloc.ctx, mem, size);
}

/* ---- the server ---- */

static int build(struct xids_xs_server *s, const struct xids_xs_server_config *config)
{
    struct xids_store_config sc = {
        .alloc = s->alloc, .owner = config->privileged_domid, .changed = xids_xs_fire, .ctx = s};
    __builtin_memcpy(sc.seed, config->seed, sizeof(sc.seed));
    int rc = xids_store_new(&s->store, &sc);
    if (rc < 0)
        return rc;
    s->path = xids_store_path_new(s->store);
    s->event_path = xids_store_path_new(s->store);
    s->watch_top = xids_xs_get(s, sizeof(*s->watch_top));
    if (s->watch_top != NULL)
        __builtin_memset(s->watch_top, 0, sizeof(*s->watch_top));
    if (s->path == NULL || s->event_path == NULL || s->watch_top == NULL)
        return -XEN_ENOMEM;
    return 0;
}

int xids_xs_server_new(struct xids_xs_server **server, const struct xids_xs_server_config *config)
{
    const struct xids_alloc *a = &config->alloc;
    struct xids_xs_server *s = a->get(a->ctx, sizeof(*s));
    if (s == NULL)
        return -XEN_ENOMEM;
    __builtin_memset(s, 0, sizeof(*s));
    s->alloc = *a;
    s->denied = QUOTAS;
    s->limits = config->limits != NULL ? *config->limits : xids_xs_limits_default;
    if (config->host != NULL)
        s->host = *config->host;
    s->own_domid = config->own_domid;
    s->privileged_domid = config->privileged_domid;
    int rc = build(s, config);
    if (rc < 0) {
        xids_xs_server_free(s);
        return rc;
    }
    *server = s;
    return 0;
}

void xids_xs_server_free(struct xids_xs_server *s)
{
    if (s == NULL)
        return;
    if (s->journal != NULL && xids_xs_server_journal(s, NULL) < 0)
        return;
    while (s->sockets != NULL)
        xids_xs_conn_free(s->sockets);
    while (s->rings != NULL)
        xids_xs_conn_free(s->rings);
    while (s->stale != NULL)
        xids_xs_watch_reap(s, UINT32_MAX);
    xids_xs_early_free_all(s);
    while (s->forgotten != NULL) {
        struct forgotten *f = s->forgotten;
        s->forgotten = f->next;
        xids_xs_put(s, f, sizeof(*f));
    }
    for (unsigned int i = 0; i < 256; i++)
        xids_xs_put(s, s->domains[i], 256 * sizeof(struct xids_xs_conn *));
    xids_xs_watch_free_all(s);
    xids_xs_put(s, s->spare.bytes, s->spare.cap);
    if (s->store != NULL) {
        xids_store_path_free(s->store, s->path);
        xids_store_path_free(s->store, s->event_path);
        xids_store_free(s->store);
    }
    xids_xs_put(s, s, sizeof(*s));
}

struct xids_store *xids_xs_server_store(struct xids_xs_server *s)
{
    return s->store;
}

void xids_xs_server_stats(const struct xids_xs_server *s, struct xids_xs_server_stats *stats)
{
    *stats = s->stats;
    stats->cost = xids_xs_cost(s);
}

bool xids_xs_lasting(const struct xids_xs_server *s, uint16_t domid)
{
    return domid == s->own_domid || domid == s->privileged_domid;
}

/* ---- connections ---- */

int xids_xs_conn_new(struct xids_xs_server *s, struct xids_xs_conn **conn, void *data, uint16_t domid, bool ring)
{
    struct xids_xs_conn *c = xids_xs_get(s, sizeof(*c));
    if (c == NULL)
        return -XEN_ENOMEM;
    __builtin_memset(c, 0, sizeof(*c));
    if (ring) {
        c->forgotten = xids_xs_get(s, sizeof(*c->forgotten));
        if (c->forgotten == NULL) {
            xids_xs_put(s, c, sizeof(*c));
            return -XEN_ENOMEM;
        }
    }
    c->server = s;
    c->settings = (struct settings){.limits = s->limits, .features = FEATURES};
    c->data = data;
    c->ring = ring;
    c->who = (struct xids_store_who){.domid = domid,
                                     .target = -1,
                                     .privileged = domid == s->privileged_domid,
                                     .limits = &c->settings.limits.store,
                                     .usage = &c->usage};
    const struct early *early = ring ? NULL : xids_xs_early(s, domid);
    if (early != NULL)
        c->settings = early->settings;
    c->ready_next = c->ready_prev = c;
    c->pending_last = &c->pending;
    c->overflow_last = &c->overflow;
    c->next_tx = 1;
    static const char home[] = "/local/domain/";
    __builtin_memcpy(c->home, home, sizeof(home));
    c->home_len = (uint8_t)(sizeof(home) - 1 + xids_xswire_format_decimal(c->home + sizeof(home) - 1, domid));
    struct xids_xs_conn **list = ring ? &s->rings : &s->sockets;
    c->next = *list;
    if (*list != NULL)
        (*list)->prev = c;
    *list = c;
    *(ring ? &s->stats.domains : &s->stats.sockets) += 1;
    *conn = c;
    return 0;
}

struct transaction *xids_xs_find_transaction(const struct xids_xs_conn *conn, uint32_t id)
{
    struct transaction *t = conn->transactions;
    while (t != NULL && t->id != id)
        t = t->next;
    return t;
}

struct xids_store_tx *xids_xs_take_transaction(struct xids_xs_conn *conn, struct transaction *t)
{
    struct xids_store_tx *tx = t->tx;
    struct transaction **at = &conn->transactions;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    conn->ntransactions--;
    conn->server->stats.transactions--;
    xids_xs_uncharge_transaction(conn, t);
    xids_xs_put(conn->server, t, sizeof(*t));
    return tx;
}

void xids_xs_abort_transaction(struct xids_xs_conn *conn, struct transaction *t)
{
    xids_xs_turn_ended(conn, t);
    xids_store_tx_abort(conn->server->store, xids_xs_take_transaction(conn, t));
}

void xids_xs_drop_transactions(struct xids_xs_conn *conn)
{
    while (conn->transactions != NULL)
        xids_xs_abort_transaction(conn, conn->transactions);
}

static void drop_partial(struct xids_xs_conn *conn)
{
    charge(conn, -(int64_t)conn->partial_cap);
    xids_xs_put(conn->server, conn->partial, conn->partial_cap);
    conn->partial = NULL;
    conn->partial_cap = 0;
    conn->have = 0;
}

/* Everything that a connection holds, but for itself. */
void xids_xs_conn_reset(struct xids_xs_conn *conn)
{
    xids_xs_turn_drop(conn);
    xids_xs_watch_remove_all(conn);
    xids_xs_out_free(conn);
    xids_xs_drop_transactions(conn);
    drop_partial(conn);
    conn->later = conn->repeat = false;
    xids_xs_put(conn->server, conn->taken.bytes, conn->taken.cap);
    conn->taken = (struct out){0};
}

void xids_xs_conn_free(struct xids_xs_conn *conn)
{
    struct xids_xs_server *s = conn->server;
    xids_xs_account_end(conn);
    xids_xs_conn_reset(conn);
    xids_xs_unmark_ready(conn);
    xids_xs_look_no_more(conn);
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        *(conn->ring ? &s->rings : &s->sockets) = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    *(conn->ring ? &s->stats.domains : &s->stats.sockets) -= 1;
    xids_xs_put(s, conn->forgotten, sizeof(*conn->forgotten));
    conn->dead = true;
    if (!conn->waits_reaping)
        xids_xs_put(s, conn, sizeof(*conn));
}

int xids_xs_server_connect(struct xids_xs_server *s, struct xids_xs_conn **conn, void *data)
{
    return xids_xs_conn_new(s, conn, data, s->own_domid, false);
}

int xids_xs_server_connect_as(struct xids_xs_server *s, struct xids_xs_conn **conn, void *data, uint16_t domid)
{
    const struct xids_xs_conn *known = xids_xs_server_domain(s, domid);
    int rc = xids_xs_conn_new(s, conn, data, domid, false);
    if (rc == 0 && known != NULL) {
        (*conn)->settings.limits = known->settings.limits;
        (*conn)->who.target = known->who.target;
    }
    return rc;
}

void xids_xs_server_disconnect(struct xids_xs_conn *conn)
{
    xids_xs_conn_free(conn);
}

void *xids_xs_conn_data(const struct xids_xs_conn *conn)
{
    return conn->data;
}

void xids_xs_conn_set_data(struct xids_xs_conn *conn, void *data)
{
    conn->data = data;
}

int xids_xs_conn_domid(const struct xids_xs_conn *conn)
{
    return conn->ring ? conn->who.domid : -1;
}

struct xids_xs_conn *xids_xs_server_ready(struct xids_xs_server *s)
{
    while (s->ready != NULL) {
        struct xids_xs_conn *conn = s->ready;
        xids_xs_unmark_ready(conn);
        if (!conn->ring)
            return conn;
        xids_xs_ring_push(conn);
    }
    return NULL;
}

/* ---- bytes in ---- */

/* Room for the longest answer, so that what a request does is never done unheard. 1: it cannot be done yet. */
static int carry_out(struct xids_xs_conn *conn, const struct xids_xswire_msg *msg)
{
    struct xids_xs_server *s = conn->server;
    uint64_t before = xids_xs_cost(s);
    int rc = xids_xs_out_reserve(conn, XIDS_XSWIRE_MESSAGE_MAX);
    if (rc < 0)
        return rc;
    s->cost += COST_REQUEST + msg->len / COST_BYTES;
    bool done = xids_xs_handle(conn, msg);
    xids_xs_pay(conn, before);
    return done ? 0 : 1;
}

/* Moves bytes to the partial message; true when its first want bytes are there. */
static bool gather(struct xids_xs_conn *conn, uint8_t *to, size_t *used, const uint8_t *bytes, size_t len,
                   uint32_t want)
{
    size_t n = want - conn->have;
    if (n > len - *used)
        n = len - *used;
    if (n > 0)
        __builtin_memcpy(to + conn->have, bytes + *used, n);
    conn->have += (uint32_t)n;
    *used += n;
    return conn->have == want;
}

/* Goes on with a message that came in pieces. 1: it is whole and in *msg. */
static int assemble(struct xids_xs_conn *conn, struct xids_xswire_msg *msg, size_t *used, const uint8_t *bytes,
                    size_t len)
{
    uint32_t payload;
    if (conn->have < XIDS_XSWIRE_HEADER && !gather(conn, conn->head, used, bytes, len, XIDS_XSWIRE_HEADER))
        return 0;
    __builtin_memcpy(&payload, conn->head + 12, sizeof(payload));
    if (payload > XIDS_XSWIRE_PAYLOAD_MAX)
        return -XEN_EBADMSG;
    if (conn->partial == NULL) {
        uint8_t *partial = xids_xs_get(conn->server, XIDS_XSWIRE_HEADER + payload);
        if (partial == NULL)
            return -XEN_ENOMEM;
        conn->partial = partial;
        conn->partial_cap = XIDS_XSWIRE_HEADER + payload;
        charge(conn, conn->partial_cap);
        __builtin_memcpy(partial, conn->head, XIDS_XSWIRE_HEADER);
    }
    if (conn->have < conn->partial_cap && !gather(conn, conn->partial, used, bytes, len, conn->partial_cap))
        return 0;
    return xids_xswire_peek(msg, conn->partial, conn->have) > 0 ? 1 : -XEN_EBADMSG;
}

/* A request has come whole, and there was no memory for its answer. */
bool xids_xs_conn_owes(const struct xids_xs_conn *conn)
{
    return conn->partial != NULL && conn->have == conn->partial_cap;
}

int xids_xs_conn_input(struct xids_xs_conn *conn, size_t *used, const void *bytes, size_t len)
{
    const uint8_t *in = bytes;
    int rc = 0;
    *used = 0;
    if (conn->broken)
        return -XEN_EBADMSG;
    while ((*used < len || xids_xs_conn_owes(conn)) && rc >= 0 && xids_xs_server_hungry(conn)) {
        struct xids_xswire_msg msg;
        if (conn->credit <= 0) {
            xids_xs_wait(conn);
            break;
        }
        rc = conn->have == 0 ? xids_xswire_peek(&msg, in + *used, len - *used) : 0;
        if (rc > 0) {
            size_t n = (size_t)rc;
            rc = carry_out(conn, &msg);
            if (rc == 0)
                *used += n;
            continue;
        }
        if (rc == 0)
            rc = assemble(conn, &msg, used, in, len);
        if (rc > 0) {
            rc = carry_out(conn, &msg);
            if (rc != 0)
                break;
            drop_partial(conn);
        }
    }
    if (conn->broken)
        rc = -XEN_EBADMSG;
    if (rc == -XEN_EBADMSG)
        conn->broken = true;
    return rc < 0 ? rc : 0;
}

int xids_xs_server_input(struct xids_xs_conn *conn, size_t *used, const void *bytes, size_t len)
{
    *used = 0;
    return conn->broken || xids_xs_share(conn) ? xids_xs_conn_input(conn, used, bytes, len) : 0;
}
