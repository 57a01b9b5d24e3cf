/* SPDX-License-Identifier: ISC */
/* Connections out of the state stream, with their watches and all that waits; limits and domains. */
#include "xenstore/state.h"

struct state_conn *xids_xs_state_conn(struct state_in *in, uint32_t id)
{
    uint32_t low = 0, high = in->nconns;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (in->conns[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < in->nconns && in->conns[low].id == id ? &in->conns[low] : NULL;
}

/* ---- connections ---- */

/* The messages in what is still to be sent; rest bytes are the end of one whose beginning has been sent. */
static bool good_output(const uint8_t *bytes, size_t len, size_t rest)
{
    if (rest > len || rest > XIDS_XSWIRE_MESSAGE_MAX)
        return false;
    bytes += rest;
    len -= rest;
    while (len > 0) {
        struct xids_xswire_msg msg;
        int n = xids_xswire_peek(&msg, bytes, len);
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

int xids_xs_state_set_output(struct xids_xs_conn *c, const uint8_t *bytes, size_t len, size_t rest)
{
    if (!good_output(bytes, len, rest))
        return -XEN_EBADMSG;
    if (len == 0)
        return 0;
    int rc = xids_xs_out_reserve(c, len);
    if (rc < 0)
        return rc;
    __builtin_memcpy(c->out.bytes, bytes, len);
    c->out.end = len;
    c->out.mark = rest;
    charge(c, (int64_t)len);
    for (size_t at = rest; at < len && (c->ring || !c->who.privileged);) {
        uint32_t head[4];
        __builtin_memcpy(head, bytes + at, sizeof(head));
        c->outstanding += head[0] != XS_WATCH_EVENT;
        at += XIDS_XSWIRE_HEADER + head[3];
    }
    xids_xs_mark_ready(c);
    return 0;
}

/* The beginning of a request, or several, of a ring: they are no more in it. */
int xids_xs_state_set_early(struct xids_xs_conn *c, const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return 0;
    c->taken.bytes = xids_xs_get(c->server, len);
    if (c->taken.bytes == NULL)
        return -XEN_ENOMEM;
    __builtin_memcpy(c->taken.bytes, bytes, len);
    c->taken.cap = c->taken.end = len;
    return 0;
}

static int make_conn(struct state_in *in, struct state_conn *sc, uint32_t type, uint32_t domid, uint32_t target)
{
    struct xids_xs_server *s = in->s;
    if (type == STATE_CONN_SOCKET) {
        sc->state.domid = -1;
        return xids_xs_server_connect(s, &sc->conn, NULL);
    }
    if (xids_xs_server_domain(s, (uint16_t)domid) != NULL)
        return xids_xs_state_bad(in, "a domain twice");
    sc->state.domid = (int)domid;
    int rc = xids_xs_conn_new(s, &sc->conn, NULL, (uint16_t)domid, true);
    if (rc == 0) {
        rc = xids_xs_take_up(sc->conn);
        if (rc < 0) {
            xids_xs_conn_free(sc->conn);
            return rc;
        }
        sc->conn->who.target = target == STATE_NO_DOMAIN ? -1 : (int32_t)target;
    }
    return rc;
}

int xids_xs_state_load_conn(struct state_in *in, struct state_body *b)
{
    struct state_conn sc = {.id = take32(b)};
    uint32_t type = take16(b);
    (void)take16(b); /* what C xenstored knows a domain by: it is looked at anew */
    uint32_t low = take32(b), high = take32(b), in_len = take16(b), rest = take16(b), out_len = take32(b);
    const uint8_t *input = take_bytes(b, in_len), *output = take_bytes(b, out_len);
    if (b->broken || type > STATE_CONN_SOCKET || !good_output(output, out_len, rest))
        return xids_xs_state_bad(in, "a connection that cannot be");
    if (sc.id == 0 || (in->nconns > 0 && sc.id <= in->conns[in->nconns - 1].id))
        return xids_xs_state_bad(in, "connections are not in the order of their numbers");
    void *v = in->conns;
    int rc = xids_xs_state_grow(in->s, &v, &in->cap_conns, in->nconns, sizeof(*in->conns));
    in->conns = v;
    sc.state.handle = (int32_t)(type == STATE_CONN_SOCKET ? low : high);
    if (rc == 0)
        rc = make_conn(in, &sc, type, low & 0xffffu, low >> 16);
    if (rc < 0)
        return rc;
    in->conns[in->nconns++] = sc;
    rc = xids_xs_state_set_output(sc.conn, output, out_len, rest);
    if (rc == 0 && type == STATE_CONN_RING)
        return xids_xs_state_set_early(sc.conn, input, in_len);
    in->conns[in->nconns - 1].state.rest = input;
    in->conns[in->nconns - 1].state.rest_len = in_len;
    return rc;
}

int xids_xs_state_load_our_conn(struct state_in *in, struct state_body *b)
{
    struct state_conn *sc = xids_xs_state_conn(in, take32(b));
    uint32_t flags = take32(b), next_tx = take32(b), req_cons = take32(b), rsp_prod = take32(b), note_len = take32(b);
    const uint8_t *note = take_bytes(b, note_len);
    if (b->broken || sc == NULL || note_len > XIDS_XS_STATE_NOTE_MAX)
        return xids_xs_state_bad(in, "a connection's rest that cannot be");
    struct xids_xs_conn *c = sc->conn;
    c->broken = (flags & STATE_CONN_BROKEN) != 0;
    c->shutdown = (flags & STATE_CONN_SHUTDOWN) != 0;
    c->next_tx = next_tx;
    sc->indices = (flags & STATE_CONN_INDICES) != 0;
    sc->req_cons = req_cons;
    sc->rsp_prod = rsp_prod;
    sc->state.note = note;
    sc->state.note_len = note_len;
    return 0;
}

int xids_xs_state_load_input(struct state_in *in, struct state_body *b)
{
    struct state_conn *sc = xids_xs_state_conn(in, take32(b));
    uint32_t len = take32(b);
    const uint8_t *bytes = take_bytes(b, len);
    if (b->broken || sc == NULL || sc->state.rest_len > 0 || sc->conn->taken.bytes != NULL)
        return xids_xs_state_bad(in, "input that cannot be");
    if (sc->conn->ring)
        return xids_xs_state_set_early(sc->conn, bytes, len);
    sc->state.rest = bytes;
    sc->state.rest_len = len;
    return 0;
}

/* ---- watches ---- */

static int load_watch(struct state_in *in, uint32_t conn_id, const char *path, uint32_t path_len, const char *token,
                      uint32_t token_len, int32_t depth)
{
    struct xids_xs_server *s = in->s;
    const struct state_conn *sc = xids_xs_state_conn(in, conn_id);
    const struct xids_xswire_str t = {token, token_len - 1};
    if (sc == NULL)
        return xids_xs_state_bad(in, "a watch without its connection");
    struct xids_xs_conn *c = sc->conn;
    size_t prefix = 0;
    int rc;
    if (xids_xswire_path_check(path, path_len - 1) == XIDS_XS_PATH_RELATIVE) {
        prefix = c->home_len + 1u;
        rc = xids_store_path_join(s->store, s->path, c->home, c->home_len, path, path_len - 1);
    } else {
        rc = xids_store_path_set(s->store, s->path, path, path_len - 1);
    }
    if (rc < 0)
        return xids_xs_state_bad(in, "a watch whose path is none");
    void *v = in->watches;
    rc = xids_xs_state_grow(s, &v, &in->cap_watches, in->nwatches, sizeof(struct watch *));
    in->watches = v;
    if (rc < 0)
        return rc;
    /* What it was allowed once it keeps, whatever the limits are now. */
    bool privileged = c->who.privileged;
    c->who.privileged = true;
    rc = xids_xs_watch_add(c, &in->watches[in->nwatches], s->path, &t, depth, prefix);
    c->who.privileged = privileged;
    if (rc == -XEN_EEXIST)
        return xids_xs_state_bad(in, "a watch twice");
    in->nwatches += rc == 0;
    return rc > 0 ? -XEN_ENOMEM : rc;
}

/* Two strings with their NULs. */
static bool two_strings(const uint8_t *bytes, uint32_t path_len, uint32_t token_len)
{
    if (path_len < 2 || token_len < 1)
        return false;
    for (uint32_t i = 0; i < path_len + token_len; i++) {
        bool end = i == path_len - 1 || i == path_len + token_len - 1;
        if ((bytes[i] == '\0') != end)
            return false;
    }
    return xids_xswire_path_check((const char *)bytes, path_len - 1) > 0;
}

int xids_xs_state_load_watch(struct state_in *in, struct state_body *b)
{
    uint32_t conn = take32(b), path_len = take16(b), token_len = take16(b);
    const uint8_t *bytes = take_bytes(b, (size_t)path_len + token_len);
    if (b->broken || !two_strings(bytes, path_len, token_len))
        return xids_xs_state_bad(in, "a watch that cannot be");
    return load_watch(in, conn, (const char *)bytes, path_len, (const char *)bytes + path_len, token_len, -1);
}

/*
 * The strings begin at 12, by the specification; at 10, as C xenstored reads them; or at 8, as it writes them, and then
 * the depth is not there and what could be missed is shown.
 */
int xids_xs_state_load_watch_ext(struct state_in *in, struct state_body *b)
{
    uint32_t conn = take32(b), path_len = take16(b), token_len = take16(b);
    size_t strings = (size_t)path_len + token_len;
    if (b->broken)
        return xids_xs_state_bad(in, "a watch that cannot be");
    for (unsigned int kind = 0; kind < 3; kind++) {
        struct state_body at = *b;
        uint32_t depth = kind < 2 ? take16(&at) : STATE_DEPTH_ANY;
        uint32_t pad = kind == 0 ? take16(&at) : 0;
        const uint8_t *bytes = take_bytes(&at, strings);
        if (at.broken || pad != 0 || !two_strings(bytes, path_len, token_len))
            continue;
        return load_watch(in, conn, (const char *)bytes, path_len, (const char *)bytes + path_len, token_len,
                          depth == STATE_DEPTH_ANY ? -1 : (int32_t)depth);
    }
    return xids_xs_state_bad(in, "a watch that cannot be");
}

static struct watch *numbered(struct state_in *in, uint32_t number)
{
    return number == 0 || number > in->nwatches ? NULL : in->watches[number - 1];
}

int xids_xs_state_load_pending(struct state_in *in, struct state_body *b)
{
    struct watch *w = numbered(in, take32(b));
    uint32_t len = take32(b);
    const char *path = (const char *)take_bytes(b, len);
    if (b->broken || w == NULL || len == 0 || len + w->token_len + 2u > XIDS_XSWIRE_PAYLOAD_MAX ||
        xids_xswire_path_check(path, len) < 0)
        return xids_xs_state_bad(in, "an event that cannot be");
    if (w->npending == PENDING_MAX)
        return xids_xs_state_bad(in, "too many events for a watch");
    bool privileged = w->conn->who.privileged;
    w->conn->who.privileged = true;
    xids_xs_event_keep(w, path, len);
    w->conn->who.privileged = privileged;
    return 0;
}

int xids_xs_state_load_overflow(struct state_in *in, struct state_body *b)
{
    struct watch *w = numbered(in, take32(b));
    if (b->broken || w == NULL)
        return xids_xs_state_bad(in, "an event that cannot be");
    if (!w->overflow)
        xids_xs_event_overflow(w);
    return 0;
}

/* ---- limits and domains ---- */

static int load_limits(struct state_in *in, struct xids_xs_limits *limits, struct state_body *b, uint32_t n)
{
    const uint8_t *values = take_bytes(b, 4 * (size_t)n);
    const char *names = (const char *)b->at;
    size_t left = b->left;
    if (b->broken)
        return xids_xs_state_bad(in, "limits that are cut short");
    for (uint32_t i = 0; i < n; i++) {
        struct xids_xswire_str name;
        size_t rest = 0;
        if (xids_xswire_split(&name, 1, &rest, names, left) != 1)
            return xids_xs_state_bad(in, "limits without their names");
        names += left - rest;
        left = rest;
        /* One that is not known here has no effect. */
        uint32_t *limit = xids_xs_limit(limits, name.s, name.len);
        if (limit != NULL)
            __builtin_memcpy(limit, values + 4 * (size_t)i, sizeof(*limit));
    }
    return 0;
}

int xids_xs_state_load_quota(struct state_in *in, struct state_body *b)
{
    uint32_t n = take16(b);
    return load_limits(in, &in->s->limits, b, n + take16(b));
}

/* Notes a domain; whether it was noted before. */
static bool seen(uint64_t *bits, uint32_t domid)
{
    uint64_t bit = UINT64_C(1) << (domid % 64);
    bool before = (bits[domid / 64] & bit) != 0;
    bits[domid / 64] |= bit;
    return before;
}

/* known: of a domain whose connection has come already. */
int xids_xs_state_load_domain(struct state_in *in, struct state_body *b, bool known)
{
    uint32_t domid = take16(b), n = take16(b), features = take32(b);
    struct xids_xs_conn *c = xids_xs_server_domain(in->s, (uint16_t)domid);
    struct early *e = NULL;
    if (b->broken || (c != NULL) != known || (!known && seen(in->seen_early, domid)))
        return xids_xs_state_bad(in, "a domain that cannot be");
    int rc = known ? 0 : xids_xs_early_new(in->s, &e, (uint16_t)domid);
    if (rc < 0)
        return rc;
    struct settings *set = c != NULL ? &c->settings : &e->settings;
    if (in->version > 1)
        set->features = features & FEATURES;
    int loaded = load_limits(in, &set->limits, b, n);
    for (struct xids_xs_conn *o = in->s->sockets; known && o != NULL; o = o->next) {
        if (o->who.domid == domid)
            o->settings.limits = set->limits;
    }
    return loaded;
}

int xids_xs_state_load_held(struct state_in *in, struct state_body *b)
{
    const struct state_conn *sc = xids_xs_state_conn(in, take32(b));
    uint32_t transaction = take32(b), req_id = take32(b), tx_id = take32(b);
    if (b->broken || sc == NULL || sc->conn->held.list != NULL)
        return xids_xs_state_bad(in, "an answer that cannot be");
    xids_xs_turn_held(sc->conn, transaction, req_id, tx_id);
    return 0;
}

int xids_xs_state_load_awaited(struct state_in *in, struct state_body *b)
{
    uint32_t n = take32(b);
    for (uint32_t i = 0; i < n && !b->broken; i++) {
        uint32_t domid = take16(b);
        in->s->awaited[domid / 64] |= UINT64_C(1) << (domid % 64);
    }
    return b->broken ? xids_xs_state_bad(in, "the awaited domains are cut short") : 0;
}

int xids_xs_state_load_forgotten(struct state_in *in, struct state_body *b)
{
    struct xids_xs_server *s = in->s;
    uint32_t domid = take16(b), known = take16(b);
    if (b->broken || xids_xs_lasting(s, (uint16_t)domid) || domid == s->store->owner)
        return xids_xs_state_bad(in, "a dead domain that cannot be");
    if (seen(in->seen_forgotten, domid))
        return xids_xs_state_bad(in, "a dead domain twice");
    struct forgotten *f = xids_xs_get(s, sizeof(*f));
    if (f == NULL)
        return -XEN_ENOMEM;
    *f = (struct forgotten){.domid = (uint16_t)domid, .was_known = known != 0};
    *(in->last_forgotten != NULL ? in->last_forgotten : &s->forgotten) = f;
    in->last_forgotten = &f->next;
    return 0;
}

/* ---- the end ---- */

/* Everything has been read and is good: now the host takes up what it has outside. */
int xids_xs_state_bring_up(struct state_in *in)
{
    const struct xids_xs_restore *r = in->restore;
    int rc = r != NULL && r->global != NULL ? r->global(r->ctx, &in->global) : 0;
    for (uint32_t i = 0; i < in->nconns && rc == 0; i++) {
        const struct state_conn *sc = &in->conns[i];
        void XIDS_PEER *page = NULL;
        bool taken = r != NULL && r->conn != NULL;
        rc = taken ? r->conn(r->ctx, &page, sc->conn, &sc->state) : 0;
        if (!sc->conn->ring)
            continue;
        xids_xs_serve_again(sc->conn, rc == 0 ? page : NULL, sc->indices, sc->req_cons, sc->rsp_prod);
        rc = 0;
    }
    return rc;
}
