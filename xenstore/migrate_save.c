/* SPDX-License-Identifier: ISC */
/* The server on its way into the state stream: what is global, connections, watches, domains. */
#include "xenstore/state.h"

/* ---- connections ---- */

static const uint8_t *partial_of(const struct xids_xs_conn *c)
{
    return c->partial != NULL ? c->partial : c->head;
}

/* The answer to a CONTROL that is under way: whoever reads this stream lives on instead of us. */
static size_t late_answer(uint8_t *at, const struct xids_xs_conn *c)
{
    const struct xids_xswire_part ok = xids_xswire_string("OK");
    if (!c->later)
        return 0;
    int n = xids_xswire_build(at, XIDS_XSWIRE_HEADER + 3, XS_CONTROL, c->later_req_id, c->later_tx_id, &ok, 1);
    return n > 0 ? (size_t)n : 0;
}

static void save_input(struct state_out *o, const struct xids_xs_conn *c, const struct xids_xs_state_conn *st)
{
    xids_xs_state_bytes(o, partial_of(c), c->have);
    xids_xs_state_bytes(o, c->taken.bytes + c->taken.start, c->taken.end - c->taken.start);
    xids_xs_state_bytes(o, st->rest, st->rest_len);
}

static void save_header(struct state_out *o, uint32_t type, size_t body)
{
    uint8_t head[STATE_HEADER];
    put32(put32(head, type), (uint32_t)state_padded(body));
    xids_xs_state_bytes(o, head, sizeof(head));
}

static void save_conn(struct state_out *o, const struct xids_xs_conn *c, uint32_t id,
                      const struct xids_xs_state_conn *st)
{
    const struct out *out = &c->out;
    uint8_t answer[XIDS_XSWIRE_HEADER + 3], head[24], *at = head;
    size_t late = late_answer(answer, c), out_len = out->end - out->start + late;
    size_t in_len = c->have + (c->taken.end - c->taken.start) + st->rest_len;
    bool fits = in_len <= UINT16_MAX;
    size_t body = sizeof(head) + (fits ? in_len : 0) + out_len;
    at = put32(at, id);
    at = put16(put16(at, c->ring ? STATE_CONN_RING : STATE_CONN_SOCKET), 0);
    if (c->ring) {
        at = put16(put16(at, c->who.domid), c->who.target >= 0 ? (uint32_t)c->who.target : STATE_NO_DOMAIN);
        at = put32(at, (uint32_t)st->handle);
    } else {
        at = put32(put32(at, (uint32_t)st->handle), 0);
    }
    at = put16(put16(at, fits ? (uint32_t)in_len : 0), (uint32_t)xids_xs_out_rest(out));
    put32(at, (uint32_t)out_len);
    save_header(o, STATE_CONN, body);
    xids_xs_state_bytes(o, head, sizeof(head));
    if (fits)
        save_input(o, c, st);
    xids_xs_state_bytes(o, out->bytes + out->start, out->end - out->start);
    xids_xs_state_bytes(o, answer, late);
    xids_xs_state_pad(o, body);
    if (!fits) {
        save_header(o, STATE_OUR_INPUT, 8 + in_len);
        put32(put32(head, id), (uint32_t)in_len);
        xids_xs_state_bytes(o, head, 8);
        save_input(o, c, st);
        xids_xs_state_pad(o, 8 + in_len);
    }
}

static void save_our_conn(struct state_out *o, const struct xids_xs_conn *c, uint32_t id,
                          const struct xids_xs_state_conn *st)
{
    uint32_t note_len = st->note_len <= XIDS_XS_STATE_NOTE_MAX ? (uint32_t)st->note_len : 0;
    bool indices = c->ring && c->page != NULL && !c->broken;
    uint32_t flags = (c->broken ? STATE_CONN_BROKEN : 0u) | (c->shutdown ? STATE_CONN_SHUTDOWN : 0u) |
                     (indices ? STATE_CONN_INDICES : 0u);
    uint8_t *at = xids_xs_state_record(o, STATE_OUR_CONN, 24 + (size_t)note_len);
    if (at == NULL)
        return;
    at = put32(put32(put32(at, id), flags), c->next_tx);
    at = put32(put32(at, indices ? c->requests.own : 0), indices ? c->replies.own : 0);
    put_bytes(put32(at, note_len), st->note, note_len);
}

/* The end of a transaction that has not been answered. A plain request that waits is still to be read. */
static void save_held(struct state_out *o, const struct xids_xs_conn *c, uint32_t id)
{
    bool waits = c->held.list != NULL && c->held.list != &c->server->turns.changing;
    uint8_t *at = waits ? xids_xs_state_record(o, STATE_OUR_HELD, 16) : NULL;
    if (at != NULL)
        put32(put32(put32(put32(at, id), c->held.transaction), c->held.req_id), c->held.tx_id);
}

/* ---- watches ---- */

/* Its path as the client gave it. */
static uint32_t watch_path(char *path, const struct watch *w)
{
    uint32_t len = 0;
    for (const struct watch_node *n = w->at; n->parent != NULL; n = n->parent)
        len += n->name_len + (n->parent->parent != NULL ? 1u : 0u);
    uint32_t at = len;
    for (const struct watch_node *n = w->at; n->parent != NULL; n = n->parent) {
        at -= n->name_len;
        __builtin_memcpy(path + at, n->name, n->name_len);
        if (n->parent->parent != NULL)
            path[--at] = '/';
    }
    if (len == 0)
        path[len++] = '/';
    __builtin_memmove(path, path + w->prefix, len - w->prefix);
    return len - w->prefix;
}

static void save_watch(struct state_out *o, const struct watch *w, uint32_t conn_id)
{
    uint32_t len = watch_path(o->path, w), depth = (uint32_t)w->depth;
    bool deep = w->depth >= 0;
    size_t body = (deep ? 12u : 8u) + len + 1u + w->token_len + 1u;
    uint8_t *at = xids_xs_state_record(o, deep ? STATE_WATCH_EXT : STATE_WATCH, body);
    if (at == NULL)
        return;
    at = put32(at, conn_id);
    at = put16(put16(at, len + 1), w->token_len + 1u);
    if (deep)
        at = put16(put16(at, depth < STATE_DEPTH_MAX ? depth : STATE_DEPTH_MAX), 0);
    at = put_bytes(at, o->path, len);
    *at++ = '\0';
    at = put_bytes(at, w->token, w->token_len);
    *at = '\0';
}

static void save_events(struct state_out *o, const struct xids_xs_conn *c)
{
    for (const struct pending *p = c->pending; p != NULL && o->error == 0; p = p->next) {
        uint8_t *at = xids_xs_state_record(o, STATE_OUR_PENDING, 8 + (size_t)p->len);
        if (at != NULL)
            put_bytes(put32(put32(at, (uint32_t)p->watch->seq), p->len), p->path, p->len);
    }
    for (const struct watch *w = c->overflow; w != NULL && o->error == 0; w = w->overflow_next) {
        uint8_t *at = xids_xs_state_record(o, STATE_OUR_OVERFLOW, 4);
        if (at != NULL)
            put32(at, (uint32_t)w->seq);
    }
}

/* The oldest connection first, and its oldest watch. */
static void save_conns(struct state_out *o, struct xids_xs_conn *list, uint32_t *id)
{
    struct xids_xs_conn *c = list;
    while (c != NULL && c->next != NULL)
        c = c->next;
    for (; c != NULL && o->error == 0; c = c->prev) {
        struct xids_xs_state_conn st = {.domid = xids_xs_conn_domid(c)};
        ++*id;
        if (o->save->conn != NULL)
            o->save->conn(o->save->ctx, c, &st);
        save_conn(o, c, *id, &st);
        save_our_conn(o, c, *id, &st);
        save_held(o, c, *id);
        struct watch *w = c->watches;
        while (w != NULL && w->conn_next != NULL)
            w = w->conn_next;
        for (; w != NULL && o->error == 0; w = w->conn_prev) {
            /* From here on it is known by its place in the stream. */
            w->seq = ++o->s->watch_seq;
            save_watch(o, w, *id);
        }
        save_events(o, c);
    }
}

/* ---- the whole ---- */

/* Limits as numbers and then names. head is what the record begins with. */
static void save_limits(struct state_out *o, uint32_t type, const uint8_t *head, size_t head_len,
                        struct xids_xs_limits limits, unsigned int count)
{
    size_t body = head_len;
    for (unsigned int i = 0; i < count; i++)
        body += 4 + xids_xswire_string(xids_xs_limit_name(i)).len;
    uint8_t *at = xids_xs_state_record(o, type, body);
    if (at == NULL)
        return;
    at = put_bytes(at, head, head_len);
    for (unsigned int i = 0; i < count; i++) {
        const struct xids_xswire_part name = xids_xswire_string(xids_xs_limit_name(i));
        at = put32(at, *xids_xs_limit(&limits, name.data, name.len - 1));
    }
    for (unsigned int i = 0; i < count; i++) {
        const struct xids_xswire_part name = xids_xswire_string(xids_xs_limit_name(i));
        at = put_bytes(at, name.data, name.len);
    }
}

static void save_settings(struct state_out *o, uint32_t type, uint16_t domid, const struct settings *set,
                          unsigned int count)
{
    uint8_t head[8];
    put32(put16(put16(head, domid), count), set->features);
    save_limits(o, type, head, sizeof(head), set->limits, count);
}

static void save_global(struct state_out *o)
{
    static const uint8_t ident[8] = "xenstore";
    const struct xids_xs_state_global *g = &o->save->global;
    const uint16_t one = 1;
    const uint8_t big = *(const uint8_t *)&one == 0;
    uint8_t *at = xids_xs_state_room(o, STATE_PREAMBLE);
    if (at == NULL)
        return;
    at = put_bytes(at, ident, sizeof(ident));
    /* The flags in the machine's own order, as C xenstored looks for them. */
    put32(put_bytes(at, "\0\0\0\2", 4), big);
    at = xids_xs_state_record(o, STATE_GLOBAL, 8);
    if (at != NULL)
        put32(put32(at, (uint32_t)g->socket_fd), (uint32_t)g->evtchn_fd);
    if (g->note_len > 0 && g->note_len <= XIDS_XS_STATE_NOTE_MAX) {
        at = xids_xs_state_record(o, STATE_OUR_NOTE, 4 + g->note_len);
        if (at != NULL)
            put_bytes(put32(at, (uint32_t)g->note_len), g->note, g->note_len);
    }
    xids_xs_state_save_counters(o);
}

void xids_xs_state_save_counters(struct state_out *o)
{
    const struct xids_xs_server *s = o->s;
    uint8_t *at = xids_xs_state_record(o, STATE_OUR_SERVER, 48);
    if (at == NULL)
        return;
    at = put64(put64(at, s->store->version), s->store->generation);
    at = put64(put64(at, s->stats.requests), s->stats.events);
    put64(put64(at, s->stats.commits), s->stats.conflicts);
}

static void save_awaited(struct state_out *o)
{
    const struct xids_xs_server *s = o->s;
    uint32_t n = 0;
    uint8_t item[4];
    for (uint32_t i = 0; i < 65536 / 64; i++) {
        for (uint64_t bits = s->awaited[i]; bits != 0; bits &= bits - 1)
            n++;
    }
    if (n == 0)
        return;
    save_header(o, STATE_OUR_AWAITED, 4 + 2 * (size_t)n);
    put32(item, n);
    xids_xs_state_bytes(o, item, 4);
    for (uint32_t domid = 0; domid < 65536; domid++) {
        if ((s->awaited[domid / 64] >> (domid % 64) & 1u) != 0) {
            put16(item, domid);
            xids_xs_state_bytes(o, item, 2);
        }
    }
    xids_xs_state_pad(o, 4 + 2 * (size_t)n);
}

/* Of domains that are not introduced, or not any more. */
static void save_unknown(struct state_out *o, unsigned int limits)
{
    const struct xids_xs_server *s = o->s;
    for (const struct early *e = s->early; e != NULL; e = e->next)
        save_settings(o, STATE_OUR_DOMAIN, e->domid, &e->settings, limits);
    save_awaited(o);
    for (const struct forgotten *f = s->forgotten; f != NULL; f = f->next) {
        uint8_t *at = xids_xs_state_record(o, STATE_OUR_FORGOTTEN, 4);
        if (at != NULL)
            put16(put16(at, f->domid), f->was_known);
    }
}

static void save_domains(struct state_out *o, unsigned int limits)
{
    const struct xids_xs_server *s = o->s;
    const struct xids_xs_conn *c = s->rings;
    while (c != NULL && c->next != NULL)
        c = c->next;
    for (; c != NULL; c = c->prev)
        save_settings(o, STATE_DOMAIN, c->who.domid, &c->settings, limits);
    save_unknown(o, limits);
}

static unsigned int count_limits(void)
{
    unsigned int limits = 0;
    while (xids_xs_limit_name(limits) != NULL)
        limits++;
    return limits;
}

static void save_quota(struct state_out *o, unsigned int limits)
{
    uint8_t head[4];
    put16(put16(head, limits), 0);
    save_limits(o, STATE_QUOTA, head, sizeof(head), o->s->limits, limits);
}

void xids_xs_state_save_globals(struct state_out *o)
{
    unsigned int limits = count_limits();
    save_quota(o, limits);
    save_unknown(o, limits);
}

void xids_xs_state_save_section(struct state_out *o, struct xids_xs_conn *c, uint32_t id,
                                const struct xids_xs_state_conn *st)
{
    uint8_t *at = xids_xs_state_record(o, STATE_CONN, 24);
    if (at == NULL)
        return;
    at = put16(put16(put32(at, id), STATE_CONN_RING), 0);
    at = put16(put16(at, c->who.domid), c->who.target >= 0 ? (uint32_t)c->who.target : STATE_NO_DOMAIN);
    put32(put16(put16(put32(at, (uint32_t)st->handle), 0), 0), 0);
    save_our_conn(o, c, id, st);
    for (const struct watch *w = c->watches_last; w != NULL && o->error == 0; w = w->conn_prev)
        save_watch(o, w, id);
    save_settings(o, STATE_DOMAIN, c->who.domid, &c->settings, count_limits());
}

static void save_all(struct state_out *o)
{
    struct xids_xs_server *s = o->s;
    unsigned int limits = count_limits();
    uint32_t id = 0;
    save_global(o);
    save_quota(o, limits);
    save_conns(o, s->rings, &id);
    save_conns(o, s->sockets, &id);
    save_domains(o, limits);
    xids_xs_state_save_nodes(o);
    xids_xs_state_save_transactions(o);
    (void)xids_xs_state_record(o, STATE_END, 0);
    xids_xs_state_flush(o);
}

int xids_xs_server_save(struct xids_xs_server *s, const struct xids_xs_save *save)
{
    struct state_out *o = xids_xs_get(s, sizeof(*o));
    uint8_t *buffer = o != NULL ? xids_xs_get(s, STATE_BUFFER) : NULL;
    if (buffer == NULL) {
        xids_xs_put(s, o, sizeof(*o));
        return -XEN_ENOMEM;
    }
    __builtin_memset(o, 0, sizeof(*o));
    o->s = s;
    o->save = save;
    o->buffer = buffer;
    s->watch_seq = 0;
    /* Removed nodes that are still counted for their owners are no part of the state. */
    while (xids_store_settle(s->store, UINT32_MAX)) {
    }
    save_all(o);
    int rc = o->error;
    xids_xs_put(s, o->items, o->cap_items * sizeof(*o->items));
    xids_xs_put(s, o->spare, o->cap_spare * sizeof(*o->spare));
    xids_xs_put(s, buffer, STATE_BUFFER);
    xids_xs_put(s, o, sizeof(*o));
    return rc;
}
