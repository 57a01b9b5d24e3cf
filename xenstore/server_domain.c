/* SPDX-License-Identifier: ISC */
/* Domains: their rings, and the requests that bring them in and send them off. */
#include "xenstore/server_impl.h"

/* Looks at one ring before the others have their turn: a guest that writes all the time may not keep us. */
#define ROUNDS_PER_EVENT 8u
/* Nodes of a dead domain removed at once; the rest is done when idle. */
#define FORGET_AT_ONCE 200u

#define PAGE_WORD(page, field)                                              \
    ((uint32_t XIDS_PEER *)(void XIDS_PEER *)((uint8_t XIDS_PEER *)(page) + \
                                              offsetof(struct xenstore_domain_interface, field)))

/* ---- the table of domains ---- */

struct xids_xs_conn *xids_xs_server_domain(const struct xids_xs_server *s, uint16_t domid)
{
    struct xids_xs_conn **table = s->domains[domid >> 8];
    return table != NULL ? table[domid & 0xff] : NULL;
}

/* The domain's place, whose table is there: reserve_slot has seen to it. */
static void set_slot(struct xids_xs_server *s, uint16_t domid, struct xids_xs_conn *conn)
{
    struct xids_xs_conn **table = s->domains[domid >> 8];
    if (table != NULL)
        table[domid & 0xff] = conn;
}

/* Whether a domain that is not known has been given rights, and is to be forgotten should it die before it is known. */
static bool is_awaited(const struct xids_xs_server *s, uint16_t domid)
{
    return (s->awaited[domid / 64] >> (domid % 64) & 1u) != 0;
}

bool xids_xs_is_known(const struct xids_xs_server *s, uint16_t domid)
{
    return xids_xs_lasting(s, domid) || xids_xs_server_domain(s, domid) != NULL || is_awaited(s, domid);
}

static void await(struct xids_xs_server *s, uint16_t domid, bool yes)
{
    if (is_awaited(s, domid) == yes)
        return;
    if (yes)
        s->awaited[domid / 64] |= UINT64_C(1) << (domid % 64);
    else
        s->awaited[domid / 64] &= ~(UINT64_C(1) << (domid % 64));
    note_globals(s);
}

static int reserve_slot(struct xids_xs_server *s, uint16_t domid)
{
    if (s->domains[domid >> 8] != NULL)
        return 0;
    size_t bytes = 256 * sizeof(struct xids_xs_conn *);
    struct xids_xs_conn **table = xids_xs_get(s, bytes);
    if (table == NULL)
        return -XEN_ENOMEM;
    __builtin_memset(table, 0, bytes);
    s->domains[domid >> 8] = table;
    return 0;
}

void xids_xs_server_each_domain(struct xids_xs_server *s, void (*each)(void *ctx, uint16_t domid), void *ctx)
{
    for (struct xids_xs_conn *c = s->rings, *next; c != NULL; c = next) {
        next = c->next;
        each(ctx, c->who.domid);
    }
    for (uint32_t domid = 0; domid <= UINT16_MAX; domid++) {
        if (s->awaited[domid / 64] == 0)
            domid |= 63;
        else if (is_awaited(s, (uint16_t)domid))
            each(ctx, (uint16_t)domid);
    }
}

/* ---- rings ---- */

static void notify(struct xids_xs_conn *conn)
{
    const struct xids_xs_host *host = &conn->server->host;
    if (host->notify != NULL)
        host->notify(host->ctx, conn, conn->who.domid);
}

/* The domain has broken the protocol: it is told, and not served any more, and everybody else is. */
static void ring_broken(struct xids_xs_conn *conn, uint32_t reason)
{
    conn->broken = true;
    xids_xs_conn_reset(conn);
    note_conn(conn);
    xids_peer_store_release(PAGE_WORD(conn->page, error), reason);
    notify(conn);
}

static int attach(struct xids_xs_conn *conn)
{
    const struct xids_bytering_layout in = xids_bytering_xenstore_requests(conn->page);
    const struct xids_bytering_layout out = xids_bytering_xenstore_replies(conn->page);
    int rc = xids_bytering_attach(&conn->requests, &in, false);
    if (rc == 0)
        rc = xids_bytering_attach(&conn->replies, &out, true);
    return rc;
}

/* The connection begins anew: nothing of it is left, and both queues are empty. */
static void begin_anew(struct xids_xs_conn *conn)
{
    xids_xs_conn_reset(conn);
    conn->broken = false;
    xids_peer_store(PAGE_WORD(conn->page, req_cons), 0);
    xids_peer_store(PAGE_WORD(conn->page, req_prod), 0);
    xids_peer_store(PAGE_WORD(conn->page, rsp_cons), 0);
    xids_peer_store_release(PAGE_WORD(conn->page, rsp_prod), 0);
    xids_peer_store_release(PAGE_WORD(conn->page, error), XENSTORE_ERROR_NONE);
    if (attach(conn) < 0)
        ring_broken(conn, XENSTORE_ERROR_RINGIDX); /* the guest writes where it may not */
    note_conn(conn);
    if (conn->server->journal != NULL)
        xids_xs_journal_note_ring(conn);
}

static bool asks_to_reconnect(const struct xids_xs_conn *conn)
{
    return xids_peer_load_acquire(PAGE_WORD(conn->page, connection)) == XENSTORE_RECONNECT;
}

/* What the guest has asked for by its page. Once for each event of its, so that it costs what it has set up. */
static void reconnect(struct xids_xs_conn *conn)
{
    begin_anew(conn);
    /* Release: the guest that sees this looks at the indices and the error next. */
    xids_peer_store_release(PAGE_WORD(conn->page, connection), XENSTORE_CONNECTED);
    notify(conn);
}

/* Answers into the ring, as many as fit. The domain is told when something changed. */
static bool push(struct xids_xs_conn *conn)
{
    const void *bytes;
    size_t len;
    bool any = false;
    while (!conn->broken && (len = xids_xs_server_output(conn, &bytes)) > 0) {
        int n = xids_bytering_write(&conn->replies, bytes, (uint32_t)len);
        if (n < 0) {
            ring_broken(conn, XENSTORE_ERROR_RINGIDX);
            break;
        }
        if (n == 0)
            break;
        xids_xs_server_sent(conn, (size_t)n);
        any = true;
    }
    if (conn->server->journal != NULL && !conn->broken)
        xids_xs_journal_before_answers(conn);
    return xids_bytering_publish(&conn->replies) || any;
}

/* What somebody else took out of the ring before us. The number of bytes carried out. */
static uint32_t pull_taken(struct xids_xs_conn *conn)
{
    struct out *t = &conn->taken;
    size_t used;
    int rc = xids_xs_conn_input(conn, &used, t->bytes + t->start, t->end - t->start);
    t->start += used;
    if (t->start == t->end) {
        xids_xs_put(conn->server, t->bytes, t->cap);
        *t = (struct out){0};
    }
    if (rc == -XEN_EBADMSG)
        ring_broken(conn, XENSTORE_ERROR_PROTO);
    else if (rc == -XEN_ENOMEM)
        xids_xs_look_again(conn);
    return (uint32_t)used;
}

/* Requests out of the ring: one contiguous piece. The number of bytes taken. */
static uint32_t pull(struct xids_xs_conn *conn)
{
    uint8_t chunk[XENSTORE_RING_SIZE];
    const uint8_t XIDS_PEER *span;
    size_t used;
    if (!xids_xs_server_hungry(conn))
        return 0;
    if (conn->taken.bytes != NULL)
        return pull_taken(conn);
    int n = xids_bytering_peek(&conn->requests, &span, 1);
    if (n < 0) {
        ring_broken(conn, XENSTORE_ERROR_RINGIDX);
        return 0;
    }
    if (n == 0 && !xids_xs_conn_owes(conn))
        return 0;
    xids_peer_get(chunk, span, (size_t)n);
    int rc = xids_xs_conn_input(conn, &used, chunk, (size_t)n);
    if (rc == -XEN_EBADMSG) {
        ring_broken(conn, XENSTORE_ERROR_PROTO);
        return 0;
    }
    if (rc == -XEN_ENOMEM)
        xids_xs_look_again(conn); /* the guest waits: no event of its will bring us back */
    if (xids_bytering_consume(&conn->requests, (uint32_t)used) < 0)
        return 0;
    return (uint32_t)used;
}

void xids_xs_server_ring_event(struct xids_xs_conn *conn)
{
    struct xids_xs_server *s = conn->server;
    bool tell = false;
    unsigned int round = 0;
    uint16_t domid = conn->who.domid;
    if ((conn->settings.features & XIDS_XS_FEATURE_RECONNECTION) != 0 && asks_to_reconnect(conn))
        reconnect(conn);
    (void)xids_xs_share(conn);
    for (; round < ROUNDS_PER_EVENT && !conn->broken; round++) {
        uint32_t n = pull(conn);
        if (conn->broken)
            break;
        if (s->journal != NULL)
            xids_xs_journal_before_room(conn);
        bool room = xids_bytering_publish(&conn->requests);
        bool said = push(conn);
        tell = tell || room || said;
        if (n == 0 && !said)
            break;
        /* A request may have released the domain it came from. */
        if (xids_xs_server_domain(s, domid) != conn)
            return;
    }
    if (round == ROUNDS_PER_EVENT)
        xids_xs_wait(conn);
    if (tell)
        notify(conn);
}

void xids_xs_ring_push(struct xids_xs_conn *conn)
{
    if (!conn->broken && push(conn))
        notify(conn);
}

/* ---- coming ---- */

/* All that a dead domain owned is gone: it can be said, if it ever was here. */
static void forgotten_free(struct xids_xs_server *s, struct forgotten **at)
{
    struct forgotten *f = *at;
    *at = f->next;
    note_globals(s);
    if (f->was_known)
        xids_xs_fire_special(s, "@releaseDomain", f->domid, true, true);
    xids_xs_put(s, f, sizeof(*f));
}

bool xids_xs_forget_some(struct xids_xs_server *s, unsigned int max)
{
    while (s->forgotten != NULL) {
        if (xids_store_forget_domain(s->store, s->forgotten->domid, max) != 0)
            return true;
        forgotten_free(s, &s->forgotten);
    }
    return false;
}

/* Serves the ring of a new connection from now on. */
static void bring_in(struct xids_xs_conn *c, void XIDS_PEER *page, bool events)
{
    struct xids_xs_server *s = c->server;
    c->page = page;
    xids_xs_early_take(c);
    xids_peer_store_release(PAGE_WORD(page, server_features), c->settings.features);
    /* Whoever built the domain may have made it wait for a store. */
    if (asks_to_reconnect(c))
        reconnect(c);
    else if (attach(c) < 0)
        ring_broken(c, XENSTORE_ERROR_RINGIDX);
    set_slot(s, c->who.domid, c);
    note_conn(c);
    await(s, c->who.domid, false);
    if (events)
        xids_xs_fire_special(s, "@introduceDomain", c->who.domid, true, true);
    xids_xs_look_again(c); /* requests may be waiting already */
}

int xids_xs_take_up(struct xids_xs_conn *conn)
{
    int rc = reserve_slot(conn->server, conn->who.domid);
    if (rc == 0)
        set_slot(conn->server, conn->who.domid, conn);
    return rc;
}

void xids_xs_ring_indices(void XIDS_PEER *page, uint32_t *req_cons, uint32_t *rsp_prod)
{
    *req_cons = xids_peer_load(PAGE_WORD(page, req_cons));
    *rsp_prod = xids_peer_load(PAGE_WORD(page, rsp_prod));
}

void xids_xs_ring_lost(struct xids_xs_conn *conn)
{
    if (!conn->broken)
        ring_broken(conn, XENSTORE_ERROR_COMM);
}

void xids_xs_serve_again(struct xids_xs_conn *conn, void XIDS_PEER *page, bool indices, uint32_t req_cons,
                         uint32_t rsp_prod)
{
    conn->page = page;
    if (page == NULL)
        conn->broken = true;
    if (conn->broken) {
        xids_xs_conn_reset(conn);
        return;
    }
    if (indices) {
        /* Where we stand we know ourselves, whatever the domain has made of it in the meantime. */
        xids_peer_store(PAGE_WORD(page, req_cons), req_cons);
        xids_peer_store_release(PAGE_WORD(page, rsp_prod), rsp_prod);
    }
    if (attach(conn) < 0)
        ring_broken(conn, XENSTORE_ERROR_RINGIDX);
    xids_xs_look_again(conn); /* also of a broken one: it may want to begin anew */
}

int xids_xs_server_introduce(struct xids_xs_server *s, struct xids_xs_conn **conn, void *data, uint16_t domid,
                             void XIDS_PEER *page, bool events)
{
    if (xids_xs_server_domain(s, domid) != NULL)
        return -XEN_EEXIST;
    int rc = reserve_slot(s, domid);
    if (rc == 0)
        rc = xids_xs_conn_new(s, conn, data, domid, true);
    if (rc == 0)
        bring_in(*conn, page, events);
    return rc;
}

int xids_xs_domid_arg(uint16_t *domid, const struct xids_xswire_str *arg)
{
    uint32_t v;
    int rc = xids_xswire_decimal(&v, arg->s, arg->len, UINT16_MAX);
    if (rc == 0)
        *domid = (uint16_t)v;
    return rc;
}

/* A known domain again: its channel is bound anew and what it had here is forgotten. */
static int introduce_again(struct xids_xs_conn *c, uint32_t port)
{
    struct xids_xs_server *s = c->server;
    int rc = 0;
    if (c->page == NULL) /* it could not be mapped when this server took over from another one */
        rc = s->host.introduce != NULL ? s->host.introduce(s->host.ctx, &c->page, c, c->who.domid, port) : -XEN_EINVAL;
    else if (s->host.rebind != NULL)
        rc = s->host.rebind(s->host.ctx, c, c->who.domid, port);
    if (rc < 0)
        return rc;
    note_conn(c);
    if (asks_to_reconnect(c))
        reconnect(c);
    else
        begin_anew(c);
    xids_xs_look_again(c);
    return 0;
}

static int introduce_new(struct xids_xs_server *s, uint16_t domid, uint32_t port)
{
    struct xids_xs_conn *c = NULL;
    void XIDS_PEER *page = NULL;
    if (s->host.introduce == NULL)
        return -XEN_EINVAL;
    int rc = reserve_slot(s, domid);
    if (rc == 0)
        rc = xids_xs_conn_new(s, &c, NULL, domid, true);
    if (rc < 0)
        return rc;
    rc = s->host.introduce(s->host.ctx, &page, c, domid, port);
    if (rc < 0) {
        xids_xs_conn_free(c);
        return rc;
    }
    bring_in(c, page, true);
    return 0;
}

/* Finishes the removal of what a dead domain owned. */
static int forget_all(struct xids_xs_server *s, uint16_t domid)
{
    struct forgotten **at = &s->forgotten;
    while (*at != NULL && (*at)->domid != domid)
        at = &(*at)->next;
    if (*at == NULL)
        return 0;
    int rc;
    do
        rc = xids_store_forget_domain(s->store, domid, FORGET_AT_ONCE);
    while (rc > 0);
    if (rc == 0)
        forgotten_free(s, at);
    return rc;
}

/* The connection of a known domain; one whose number has passed to another domain dies first. Not the asking one's. */
static struct xids_xs_conn *known_by(const struct xids_xs_conn *from, uint16_t domid)
{
    struct xids_xs_server *s = from->server;
    struct xids_xs_conn *c = xids_xs_server_domain(s, domid);
    if (c == NULL || c == from || xids_xs_lasting(s, domid) || s->host.replaced == NULL ||
        !s->host.replaced(s->host.ctx, c, domid))
        return c;
    xids_xs_server_release(s, domid);
    return NULL;
}

int xids_xs_give_rights(const struct xids_xs_conn *from, uint16_t domid)
{
    struct xids_xs_server *s = from->server;
    if (known_by(from, domid) != NULL)
        return 0;
    /* What is left to be taken from the last domain with this number may not be taken from this one. */
    int rc = forget_all(s, domid);
    if (rc == 0)
        await(s, domid, true);
    return rc;
}

int xids_xs_op_introduce(struct request *r)
{
    struct xids_xs_server *s = r->conn->server;
    struct xids_xswire_str args[3];
    uint16_t domid = 0;
    uint32_t port = 0;
    if (xids_xswire_split(args, 3, NULL, r->msg->payload, r->msg->len) != 3 ||
        xids_xs_domid_arg(&domid, &args[0]) < 0 || xids_xswire_decimal(&port, args[2].s, args[2].len, INT32_MAX) < 0 ||
        port == 0)
        return -XEN_EINVAL;
    struct xids_xs_conn *c = known_by(r->conn, domid);
    if (c != NULL) {
        if (c == r->conn)
            return -XEN_EINVAL; /* it would take the ground from under its own answer */
        int rc = introduce_again(c, port);
        if (rc < 0)
            return rc;
    } else {
        /* The number may have belonged to a domain that died: nothing of it may pass to this one. */
        if (forget_all(s, domid) < 0)
            return -XEN_ENOMEM;
        int rc = introduce_new(s, domid, port);
        if (rc < 0)
            return rc;
    }
    xids_xs_reply_ok(r);
    return 0;
}

/* ---- going ---- */

/* Transactions under way may not give anything to the next domain of that number. */
static void forget_in_transactions(const struct xids_xs_conn *c, uint16_t domid)
{
    for (; c != NULL; c = c->next) {
        for (const struct transaction *t = c->transactions; t != NULL; t = t->next)
            xids_store_tx_forget_domain(t->tx, domid);
    }
}

static void forget_target(struct xids_xs_conn *c, uint16_t domid)
{
    for (; c != NULL; c = c->next) {
        if (c->who.target != domid)
            continue;
        c->who.target = -1;
        note_conn(c);
    }
}

void xids_xs_server_release(struct xids_xs_server *s, uint16_t domid)
{
    struct xids_xs_conn *c = xids_xs_server_domain(s, domid);
    if (xids_xs_lasting(s, domid) || (c == NULL && !is_awaited(s, domid)))
        return;
    struct forgotten *f = c != NULL ? c->forgotten : xids_xs_get(s, sizeof(*f)), **last = &s->forgotten;
    if (f == NULL)
        return; /* it stays awaited */
    await(s, domid, false);
    xids_xs_early_drop(s, domid);
    set_slot(s, domid, NULL);
    /* Nobody may act with its rights any longer. */
    forget_target(s->rings, domid);
    forget_target(s->sockets, domid);
    forget_in_transactions(s->sockets, domid);
    forget_in_transactions(s->rings, domid);
    *f = (struct forgotten){.domid = domid, .was_known = c != NULL};
    while (*last != NULL)
        last = &(*last)->next;
    *last = f;
    note_domain(s, domid);
    note_globals(s);
    if (c != NULL) {
        c->forgotten = NULL;
        xids_xs_conn_reset(c);
        if (s->host.release != NULL)
            s->host.release(s->host.ctx, c, domid);
        xids_xs_conn_free(c);
    }
    (void)xids_xs_forget_some(s, FORGET_AT_ONCE);
}

void xids_xs_server_shutdown(struct xids_xs_server *s, uint16_t domid)
{
    struct xids_xs_conn *c = xids_xs_server_domain(s, domid);
    if (c == NULL || c->shutdown)
        return;
    c->shutdown = true;
    note_conn(c);
    xids_xs_fire_special(s, "@releaseDomain", domid, true, true);
}

/* The known domain that a request names; not the server's own. */
static int known_domain(struct xids_xs_conn **conn, const struct request *r, const struct xids_xswire_str *arg,
                        bool own)
{
    uint16_t domid = 0;
    if (xids_xs_domid_arg(&domid, arg) < 0 || (!own && xids_xs_lasting(r->conn->server, domid)))
        return -XEN_EINVAL;
    *conn = xids_xs_server_domain(r->conn->server, domid);
    return *conn != NULL ? 0 : -XEN_ENOENT;
}

int xids_xs_op_release(struct request *r)
{
    struct xids_xswire_str arg;
    struct xids_xs_conn *c = NULL;
    int rc = xids_xs_one_arg(r, &arg);
    if (rc == 0)
        rc = known_domain(&c, r, &arg, false);
    if (c == NULL)
        return rc;
    xids_xs_server_release(r->conn->server, c->who.domid);
    xids_xs_reply_ok(r);
    return 0;
}

int xids_xs_op_resume(struct request *r)
{
    struct xids_xswire_str arg;
    struct xids_xs_conn *c = NULL;
    int rc = xids_xs_one_arg(r, &arg);
    if (rc == 0)
        rc = known_domain(&c, r, &arg, false);
    if (c == NULL)
        return rc;
    c->shutdown = false;
    note_conn(c);
    xids_xs_reply_ok(r);
    return 0;
}

int xids_xs_op_set_target(struct request *r)
{
    struct xids_xswire_str args[2];
    struct xids_xs_conn *c = NULL, *target = NULL;
    if (xids_xswire_split(args, 2, NULL, r->msg->payload, r->msg->len) != 2)
        return -XEN_EINVAL;
    int rc = known_domain(&c, r, &args[0], true);
    if (rc == 0)
        rc = known_domain(&target, r, &args[1], true);
    if (rc < 0)
        return rc;
    c->who.target = target->who.domid;
    note_conn(c);
    for (struct xids_xs_conn *o = r->conn->server->sockets; o != NULL; o = o->next) {
        if (o->who.domid == c->who.domid)
            o->who.target = c->who.target;
    }
    xids_xs_reply_ok(r);
    return 0;
}

int xids_xs_op_is_introduced(struct request *r)
{
    struct xids_xswire_str arg;
    uint16_t domid = 0;
    if (xids_xs_one_arg(r, &arg) < 0 || xids_xs_domid_arg(&domid, &arg) < 0)
        return -XEN_EINVAL;
    bool known = domid == DOMID_SELF || xids_xs_server_domain(r->conn->server, domid) != NULL;
    xids_xs_reply(r, known ? "T" : "F", 2);
    return 0;
}

int xids_xs_op_domain_path(struct request *r)
{
    static const char home[] = "/local/domain/";
    struct xids_xswire_str arg;
    uint16_t domid = 0;
    char path[sizeof(home) + 6];
    if (xids_xs_one_arg(r, &arg) < 0 || xids_xs_domid_arg(&domid, &arg) < 0)
        return -XEN_EINVAL;
    __builtin_memcpy(path, home, sizeof(home));
    size_t len = sizeof(home) - 1 + xids_xswire_format_decimal(path + sizeof(home) - 1, domid);
    xids_xs_reply(r, path, len + 1);
    return 0;
}
