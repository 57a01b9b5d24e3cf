/* SPDX-License-Identifier: ISC */
/*
 * The journal on its way in. The tree follows the frames one after the other. Of domains only what was said last
 * counts, so that is found first and read at the end.
 */
#include "xenstore/journal.h"

/* Where the last word on a domain is. */
struct section {
    const uint8_t *at, *ring;
    size_t len, ring_len;
    bool present;
};

struct reading {
    struct state_in *in;
    struct section *of; /* by domid */
    const uint8_t *globals;
    size_t globals_len;
};

#define DOMAINS 65536u

/* ---- frames ---- */

struct frame {
    uint32_t kind;
    struct state_body body;
};

/* The next frame if it is whole and good; then *len is its length. */
static bool next_frame(struct frame *f, size_t *len, const uint8_t *bytes, size_t left)
{
    struct state_body b = {.at = bytes, .left = left};
    uint32_t magic = take32(&b);
    f->kind = take32(&b);
    uint64_t n = take64(&b), sum = take64(&b);
    if (b.broken || magic != FRAME_MAGIC || f->kind > FRAME_CHANGES || n > b.left || n % 8 != 0 ||
        frame_sum(b.at, (size_t)n, f->kind) != sum)
        return false;
    f->body = (struct state_body){.at = b.at, .left = (size_t)n};
    *len = FRAME_HEADER + (size_t)n;
    return true;
}

static int next_record(struct state_in *in, uint32_t *type, struct state_body *record, struct state_body *b)
{
    *type = take32(b);
    uint32_t n = take32(b);
    *record = (struct state_body){.left = n, .at = take_bytes(b, n)};
    return b->broken || n % 8 != 0 ? xids_xs_state_bad(in, "a frame ends within a record") : 0;
}

/* What belongs to the section before it. */
static bool is_part(uint32_t type)
{
    switch (type) {
    case STATE_CONN:
    case STATE_WATCH:
    case STATE_WATCH_EXT:
    case STATE_QUOTA:
    case STATE_DOMAIN:
    case STATE_OUR_DOMAIN:
    case STATE_OUR_CONN:
    case STATE_OUR_AWAITED:
    case STATE_OUR_FORGOTTEN:
        return true;
    default:
        return false;
    }
}

/* Takes the records of a section; they are read later. */
static int skip_section(struct state_in *in, const uint8_t **at, size_t *len, struct state_body *b)
{
    *at = b->at;
    for (;;) {
        struct state_body next = *b, record;
        uint32_t type;
        if (b->left == 0)
            break;
        int rc = next_record(in, &type, &record, &next);
        if (rc < 0)
            return rc;
        if (!is_part(type))
            break;
        *b = next;
    }
    *len = (size_t)(b->at - *at);
    return 0;
}

static int note_section(struct reading *r, struct state_body *record, struct state_body *b)
{
    uint32_t domid = take16(record), present = take16(record);
    if (record->broken)
        return xids_xs_state_bad(r->in, "a domain that is cut short");
    struct section *s = &r->of[domid];
    s->present = present != 0;
    if (!s->present)
        s->ring = NULL;
    return skip_section(r->in, &s->at, &s->len, b);
}

static int read_frame(struct reading *r, struct state_body b)
{
    int rc = 0;
    while (rc == 0 && b.left > 0) {
        struct state_body record;
        uint32_t type;
        r->in->error->record++;
        rc = next_record(r->in, &type, &record, &b);
        if (rc < 0)
            break;
        switch (type) {
        case STATE_OUR_GLOBALS:
            rc = skip_section(r->in, &r->globals, &r->globals_len, &b);
            break;
        case STATE_OUR_SECTION:
            rc = note_section(r, &record, &b);
            break;
        case STATE_OUR_RING: {
            struct state_body at = record;
            uint32_t domid = take16(&at);
            if (at.broken)
                rc = xids_xs_state_bad(r->in, "a ring that is cut short");
            r->of[domid].ring = record.at;
            r->of[domid].ring_len = record.left;
            break;
        }
        case STATE_OUR_SERVER:
        case STATE_OUR_AGE:
        case STATE_NODE:
        case STATE_OUR_TX_PUT:
        case STATE_OUR_TX_GONE:
            rc = xids_xs_state_load_record(r->in, type, &record);
            break;
        default:
            rc = xids_xs_state_bad(r->in, "a record that is in no journal");
            break;
        }
    }
    return rc;
}

static int read_frames(struct reading *r, size_t *used, const uint8_t *bytes, size_t len)
{
    struct frame f;
    size_t n = 0;
    uint32_t before = FRAME_CHANGES;
    bool whole = false;
    int rc = 0;
    *used = 0;
    while (rc == 0 && next_frame(&f, &n, bytes + *used, len - *used)) {
        bool first = *used == 0, inside = before == FRAME_FIRST || before == FRAME_MORE;
        r->in->error->offset = *used;
        if (first ? f.kind != FRAME_FIRST : whole ? f.kind != FRAME_CHANGES : !inside || f.kind == FRAME_FIRST)
            return xids_xs_state_bad(r->in, "a frame out of its place");
        rc = read_frame(r, f.body);
        *used += n;
        before = f.kind;
        whole = whole || f.kind == FRAME_LAST;
    }
    r->in->error->offset = rc < 0 ? r->in->error->offset : *used;
    return rc == 0 && !whole ? xids_xs_state_bad(r->in, "the whole state is not there, or damaged") : rc;
}

/* ---- domains ---- */

static int read_section(struct reading *r, const uint8_t *at, size_t len)
{
    struct state_body b = {.at = at, .left = len};
    int rc = 0;
    while (rc == 0 && b.left > 0) {
        struct state_body record;
        uint32_t type;
        rc = next_record(r->in, &type, &record, &b);
        if (rc == 0)
            rc = xids_xs_state_load_record(r->in, type, &record);
    }
    return rc;
}

static int read_domains(struct reading *r)
{
    struct state_in *in = r->in;
    int rc = read_section(r, r->globals, r->globals_len);
    for (uint32_t domid = 0; domid < DOMAINS && rc == 0; domid++) {
        const struct section *s = &r->of[domid];
        if (!s->present)
            continue;
        rc = read_section(r, s->at, s->len);
        if (rc == 0 && (in->nconns == 0 || in->conns[in->nconns - 1].id != domid + 1 ||
                        in->conns[in->nconns - 1].state.domid != (int)domid))
            rc = xids_xs_state_bad(in, "a domain without its connection");
    }
    return rc;
}

/* ---- rings ---- */

struct ring_record {
    uint32_t flags, req_cons, rsp_prod, in_len, out_len, rest;
    const uint8_t *in, *out;
};

static int parse_ring(struct state_in *in, struct ring_record *rec, const struct section *s)
{
    struct state_body b = {.at = s->ring, .left = s->ring_len};
    (void)take16(&b);
    rec->flags = take16(&b);
    rec->req_cons = take32(&b);
    rec->rsp_prod = take32(&b);
    rec->in_len = take32(&b);
    rec->out_len = take32(&b);
    rec->rest = take32(&b);
    (void)take32(&b);
    rec->in = take_bytes(&b, rec->in_len);
    rec->out = take_bytes(&b, rec->out_len);
    return b.broken ? xids_xs_state_bad(in, "a ring that is cut short") : 0;
}

/*
 * The record was written before the page was told of it, so the page may be a little behind it. It is before it when
 * the ring has gone on from there without anything left undone.
 */
static bool page_behind(uint32_t page, uint32_t noted)
{
    return noted - page <= XENSTORE_RING_SIZE;
}

static bool settle(struct xids_xs_conn *c, const struct ring_record *rec, uint32_t *req_cons, uint32_t *rsp_prod)
{
    if (rec->flags != 0)
        return false;
    if (page_behind(*req_cons, rec->req_cons))
        *req_cons = rec->req_cons;
    else if (rec->in_len > 0)
        return false;
    if (page_behind(*rsp_prod, rec->rsp_prod))
        *rsp_prod = rec->rsp_prod;
    else if (rec->out_len > 0)
        return false;
    return xids_xs_state_set_early(c, rec->in, rec->in_len) == 0 &&
           xids_xs_state_set_output(c, rec->out, rec->out_len, rec->rest) == 0;
}

/* The host's part, and then each ring goes on where it stood. */
static int bring_up(struct reading *r)
{
    const struct xids_xs_restore *host = r->in->restore;
    int rc = host != NULL && host->global != NULL ? host->global(host->ctx, &r->in->global) : 0;
    for (uint32_t i = 0; i < r->in->nconns && rc == 0; i++) {
        const struct state_conn *sc = &r->in->conns[i];
        const struct section *s = &r->of[sc->id - 1];
        struct xids_xs_conn *c = sc->conn;
        struct ring_record rec = {.flags = 0};
        void XIDS_PEER *page = NULL;
        if (s->ring != NULL)
            rc = parse_ring(r->in, &rec, s);
        if (rc == 0 && host != NULL && host->conn != NULL && host->conn(host->ctx, &page, c, &sc->state) < 0)
            page = NULL;
        if (rc < 0 || page == NULL || c->broken) {
            xids_xs_serve_again(c, page, false, 0, 0);
            continue;
        }
        uint32_t req_cons, rsp_prod;
        xids_xs_ring_indices(page, &req_cons, &rsp_prod);
        bool known = s->ring == NULL || settle(c, &rec, &req_cons, &rsp_prod);
        xids_xs_serve_again(c, page, true, req_cons, rsp_prod);
        if (!known)
            xids_xs_ring_lost(c);
    }
    return rc;
}

/* What only the process before us knew. */
static void begin_anew(struct state_in *in)
{
    for (uint32_t i = 0; i < in->nconns; i++) {
        struct xids_xs_conn *c = in->conns[i].conn;
        /* A number that the domain may still use for a transaction of before is not to be another one's. */
        c->next_tx = (uint32_t)in->s->store->key[0] + c->who.domid * 0x10001u;
        for (struct watch *w = c->watches_last; w != NULL; w = w->conn_prev) {
            if (!w->overflow)
                xids_xs_event_overflow(w);
        }
        xids_xs_mark_ready(c);
    }
}

static int restore(struct reading *r, size_t *used, const uint8_t *bytes, size_t len)
{
    struct state_in *in = r->in;
    struct xids_store *store = in->s->store;
    in->journal = true;
    int rc = read_frames(r, used, bytes, len);
    if (rc == 0)
        rc = xids_xs_state_nodes_end(in);
    while (xids_store_reap(store, UINT32_MAX)) {
    }
    if (rc == 0)
        rc = xids_xs_state_count_all(in);
    if (rc == 0)
        rc = read_domains(r);
    if (in->seen_server)
        store->generation = in->newest;
    if (rc == 0) {
        begin_anew(in);
        rc = bring_up(r);
    }
    return rc;
}

int xids_xs_journal_restore(struct xids_xs_server *s, struct xids_xs_state_error *error, size_t *used,
                            const struct xids_xs_restore *host, const void *bytes, size_t len)
{
    struct reading r = {.globals_len = 0};
    *used = 0;
    int rc = xids_xs_state_in_new(&r.in, s, error, host);
    if (rc < 0)
        return rc;
    r.of = xids_xs_get(s, DOMAINS * sizeof(*r.of));
    if (r.of != NULL) {
        __builtin_memset(r.of, 0, DOMAINS * sizeof(*r.of));
        rc = restore(&r, used, bytes, len);
        xids_xs_put(s, r.of, DOMAINS * sizeof(*r.of));
    } else {
        rc = -XEN_ENOMEM;
    }
    xids_xs_state_in_free(r.in);
    return rc;
}
