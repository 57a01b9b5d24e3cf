/* SPDX-License-Identifier: ISC */
/*
 * The journal on its way out. The tree is persistent: the journal holds on to the root as it has written it, and what
 * makes the root in force out of that is the next frame. So no change has to be noted when it is made, and what is
 * committed at once is in one frame. Domains are noted, and written anew with all their watches.
 */
#include "xenstore/journal.h"

#define FRAME_FIRST_BYTES 4096u
/* A ring's record may be as long as what the buffer holds. */
#define RING_FIXED 28u
#define RING_MAX (STATE_BUFFER - 1024u)

/* ---- noting ---- */

void xids_xs_journal_note_domain(struct xids_xs_server *s, uint16_t domid)
{
    s->journal->domains[domid / 64] |= UINT64_C(1) << (domid % 64);
    s->journal->any = true;
}

void xids_xs_journal_note_globals(struct xids_xs_server *s)
{
    s->journal->globals = s->journal->any = true;
}

void xids_xs_journal_note_ring(struct xids_xs_conn *c)
{
    struct journalling *j = c->server->journal;
    uint16_t domid = c->who.domid;
    j->rings[domid / 64] |= UINT64_C(1) << (domid % 64);
    j->any = true;
}

static bool holds_input(const struct xids_xs_conn *c)
{
    return c->have > 0 || c->taken.bytes != NULL;
}

/* The end of a transaction is due that will not be known any more. */
static bool holds_end(const struct xids_xs_conn *c)
{
    return c->held.list != NULL && c->held.list != &c->server->turns.changing;
}

static bool is_unfinished(const struct xids_xs_conn *c)
{
    return !c->broken && (holds_input(c) || holds_end(c) || c->out.end > c->out.start);
}

void xids_xs_journal_before_room(struct xids_xs_conn *c)
{
    struct journalling *j = c->server->journal;
    if (holds_input(c) || holds_end(c) || c->unfinished) {
        c->unfinished = true;
        xids_xs_journal_note_ring(c);
    }
    if (xids_xs_journal_due(c->server))
        j->host.sync(j->host.ctx);
}

void xids_xs_journal_before_answers(struct xids_xs_conn *c)
{
    struct journalling *j = c->server->journal;
    bool now = is_unfinished(c);
    if (now || c->unfinished)
        xids_xs_journal_note_ring(c);
    c->unfinished = now;
    if (xids_xs_journal_due(c->server))
        j->host.sync(j->host.ctx);
}

/* ---- frames ---- */

static int gather(void *ctx, const void *bytes, size_t len)
{
    struct xids_xs_server *s = ctx;
    struct journalling *j = s->journal;
    if (j->cap - j->len < len) {
        size_t cap = j->cap * 2;
        while (cap - j->len < len)
            cap *= 2;
        uint8_t *more = xids_xs_get(s, cap);
        if (more == NULL)
            return -XEN_ENOMEM;
        __builtin_memcpy(more, j->frame, j->len);
        xids_xs_put(s, j->frame, j->cap);
        j->frame = more;
        j->cap = cap;
    }
    __builtin_memcpy(j->frame + j->len, bytes, len);
    j->len += len;
    return 0;
}

static const struct xids_xs_save *saving(struct journalling *j, struct xids_xs_server *s)
{
    j->save = (struct xids_xs_save){.write = gather, .ctx = s};
    return &j->save;
}

static void out_free(struct xids_xs_server *s, struct state_out *o)
{
    if (o == NULL)
        return;
    xids_xs_put(s, o->items, o->cap_items * sizeof(*o->items));
    xids_xs_put(s, o->spare, o->cap_spare * sizeof(*o->spare));
    xids_xs_put(s, o->buffer, STATE_BUFFER);
    xids_xs_put(s, o, sizeof(*o));
}

static struct state_out *out_new(struct xids_xs_server *s)
{
    struct state_out *o = xids_xs_get(s, sizeof(*o));
    uint8_t *buffer = o != NULL ? xids_xs_get(s, STATE_BUFFER) : NULL;
    if (buffer == NULL) {
        xids_xs_put(s, o, sizeof(*o));
        return NULL;
    }
    __builtin_memset(o, 0, sizeof(*o));
    o->s = s;
    o->save = saving(s->journal, s);
    o->buffer = buffer;
    return o;
}

static void frame_begin(struct journalling *j, struct state_out *o)
{
    o->error = 0;
    o->used = 0;
    j->len = FRAME_HEADER;
}

static int frame_end(struct journalling *j, struct state_out *o, enum frame_kind kind)
{
    xids_xs_state_flush(o);
    if (o->error < 0)
        return o->error;
    size_t body = j->len - FRAME_HEADER;
    uint8_t *at = put32(put32(j->frame, FRAME_MAGIC), kind);
    put64(put64(at, body), frame_sum(j->frame + FRAME_HEADER, body, kind));
    int rc = j->host.write(j->host.ctx, j->frame, j->len);
    /* What a great change needed is not kept for the small ones. */
    if (j->cap > 16 * STATE_BUFFER) {
        uint8_t *less = xids_xs_get(o->s, FRAME_FIRST_BYTES);
        if (less != NULL) {
            xids_xs_put(o->s, j->frame, j->cap);
            j->frame = less;
            j->cap = FRAME_FIRST_BYTES;
        }
    }
    return rc;
}

/* ---- what is in them ---- */

static void save_ring(struct state_out *o, const struct xids_xs_conn *c)
{
    const struct xids_xswire_part again = xids_xswire_string("EAGAIN");
    uint8_t answer[XIDS_XSWIRE_HEADER + 8];
    size_t have = c->have, taken = c->taken.end - c->taken.start, out = c->out.end - c->out.start, late = 0;
    if (holds_end(c)) {
        int n = xids_xswire_build(answer, sizeof(answer), XS_ERROR, c->held.req_id, c->held.tx_id, &again, 1);
        late = n > 0 ? (size_t)n : 0;
    }
    bool known = RING_FIXED + have + taken + out + late <= RING_MAX;
    if (!known)
        have = taken = out = late = 0;
    uint8_t *at = xids_xs_state_record(o, STATE_OUR_RING, RING_FIXED + have + taken + out + late);
    if (at == NULL)
        return;
    at = put16(put16(at, c->who.domid), known ? 0 : STATE_RING_LOST);
    at = put32(put32(at, c->requests.own), c->replies.own);
    at = put32(put32(at, (uint32_t)(have + taken)), (uint32_t)(out + late));
    at = put32(put32(at, known ? (uint32_t)xids_xs_out_rest(&c->out) : 0), 0);
    at = put_bytes(at, c->partial != NULL ? c->partial : c->head, have);
    at = put_bytes(at, taken > 0 ? c->taken.bytes + c->taken.start : NULL, taken);
    at = put_bytes(at, out > 0 ? c->out.bytes + c->out.start : NULL, out);
    put_bytes(at, answer, late);
}

static void save_globals(struct state_out *o)
{
    if (xids_xs_state_record(o, STATE_OUR_GLOBALS, 0) != NULL)
        xids_xs_state_save_globals(o);
}

static void save_domain(struct state_out *o, uint16_t domid)
{
    struct journalling *j = o->s->journal;
    struct xids_xs_conn *c = xids_xs_server_domain(o->s, domid);
    uint8_t *at = xids_xs_state_record(o, STATE_OUR_SECTION, 4);
    if (at == NULL)
        return;
    put16(put16(at, domid), c != NULL);
    if (c == NULL)
        return;
    struct xids_xs_state_conn st = {.domid = domid};
    if (j->host.conn != NULL)
        j->host.conn(j->host.ctx, c, &st);
    xids_xs_state_save_section(o, c, domid + 1u, &st);
}

static void save_noted(struct state_out *o)
{
    struct journalling *j = o->s->journal;
    if (j->globals)
        save_globals(o);
    for (uint32_t w = 0; w < DOMID_WORDS; w++) {
        for (uint64_t bits = j->domains[w]; bits != 0; bits &= bits - 1)
            save_domain(o, (uint16_t)(w * 64 + (uint32_t)__builtin_ctzll(bits)));
    }
    for (uint32_t w = 0; w < DOMID_WORDS; w++) {
        for (uint64_t bits = j->rings[w]; bits != 0; bits &= bits - 1) {
            const struct xids_xs_conn *c =
                xids_xs_server_domain(o->s, (uint16_t)(w * 64 + (uint32_t)__builtin_ctzll(bits)));
            if (c != NULL && !c->broken)
                save_ring(o, c);
        }
    }
}

/* ---- changes ---- */

bool xids_xs_journal_due(const struct xids_xs_server *s)
{
    const struct journalling *j = s->journal;
    return j != NULL && (j->any || j->base != s->store->top);
}

int xids_xs_journal_changes(struct xids_xs_server *s)
{
    struct journalling *j = s->journal;
    if (!xids_xs_journal_due(s))
        return 0;
    struct state_out *o = j->out;
    struct xids_store_node *top = s->store->top;
    frame_begin(j, o);
    xids_xs_state_save_counters(o);
    if (j->any)
        save_noted(o);
    xids_xs_state_save_changes(o, STATE_TREE_FORCE, j->base, top);
    int rc = frame_end(j, o, FRAME_CHANGES);
    if (rc < 0)
        return rc;
    if (j->any) {
        __builtin_memset(j->domains, 0, sizeof(j->domains));
        __builtin_memset(j->rings, 0, sizeof(j->rings));
        j->any = j->globals = false;
    }
    if (top != j->base) {
        top->refs++;
        xids_store_node_unref(s->store, j->base);
        j->base = top;
    }
    return 0;
}

/* ---- a whole state ---- */

static void whole_end(struct xids_xs_server *s)
{
    struct journalling *j = s->journal;
    out_free(s, j->whole);
    j->whole = NULL;
    xids_store_node_unref(s->store, j->whole_top);
    j->whole_top = NULL;
}

static int whole_begin(struct xids_xs_server *s)
{
    struct journalling *j = s->journal;
    int rc = xids_xs_journal_changes(s);
    if (rc < 0)
        return rc;
    j->whole = out_new(s);
    if (j->whole == NULL)
        return -XEN_ENOMEM;
    j->whole_top = s->store->top;
    j->whole_top->refs++;
    return 0;
}

/* All but the nodes. */
static void save_rest(struct state_out *o)
{
    struct xids_xs_conn *c = o->s->rings;
    xids_xs_state_save_counters(o);
    save_globals(o);
    for (; c != NULL && o->error == 0; c = c->next) {
        save_domain(o, c->who.domid);
        c->unfinished = is_unfinished(c);
        if (c->unfinished)
            save_ring(o, c);
    }
}

int xids_xs_journal_whole(struct xids_xs_server *s, unsigned int max)
{
    struct journalling *j = s->journal;
    bool first = j != NULL && j->whole == NULL;
    if (j == NULL)
        return -XEN_EINVAL;
    if (max == 0) {
        whole_end(s);
        return 0;
    }
    int rc = first ? whole_begin(s) : 0;
    if (rc < 0)
        return rc;
    struct state_out *o = j->whole;
    frame_begin(j, o);
    if (first) {
        save_rest(o);
        xids_xs_state_nodes_start(o, j->whole_top);
    }
    bool more = xids_xs_state_nodes_some(o, max);
    /* The first is never the last as well. */
    rc = frame_end(j, o, first ? FRAME_FIRST : more ? FRAME_MORE : FRAME_LAST);
    if (rc < 0 || (!more && !first))
        whole_end(s);
    return rc < 0 ? rc : more || first;
}

/* ---- the beginning and the end ---- */

static void end(struct xids_xs_server *s)
{
    struct journalling *j = s->journal;
    whole_end(s);
    xids_store_node_unref(s->store, j->base);
    out_free(s, j->out);
    xids_xs_put(s, j->frame, j->cap);
    s->journal = NULL;
    xids_xs_put(s, j, sizeof(*j));
}

int xids_xs_server_journal(struct xids_xs_server *s, const struct xids_xs_journal *journal)
{
    if (s->journal != NULL)
        end(s);
    if (journal == NULL)
        return 0;
    struct journalling *j = xids_xs_get(s, sizeof(*j));
    if (j == NULL)
        return -XEN_ENOMEM;
    __builtin_memset(j, 0, sizeof(*j));
    s->journal = j;
    j->host = *journal;
    j->base = s->store->top;
    j->base->refs++;
    j->frame = xids_xs_get(s, FRAME_FIRST_BYTES);
    j->cap = j->frame != NULL ? FRAME_FIRST_BYTES : 0;
    j->out = out_new(s);
    if (j->frame != NULL && j->out != NULL)
        return 0;
    end(s);
    return -XEN_ENOMEM;
}
