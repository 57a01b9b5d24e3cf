/* SPDX-License-Identifier: ISC */
/*
 * Transactions in the state stream. Each has the snapshot that it began with, what it has read and what it has done. A
 * snapshot is told by what is different in it from the one before it in the stream, the newest first and the first from
 * the tree in force: so what many of them share is still shared afterwards.
 */
#include "xenstore/state.h"

struct held {
    struct xids_xs_conn *conn;
    struct transaction *t;
    uint32_t conn_id;
};

/* ---- writing ---- */

static void save_paths(struct state_out *o, const struct xids_store_tx *tx)
{
    for (const struct entry *e = tx->first; e != NULL; e = e->next) {
        uint8_t *at = xids_xs_state_record(o, STATE_OUR_TX_PATH, 8 + (size_t)e->len);
        if (at == NULL)
            return;
        *at++ = e->reads;
        *at++ = e->own;
        *at++ = (uint8_t)((e->event ? STATE_PATH_EVENT : 0) | (e->removed ? STATE_PATH_REMOVED : 0) |
                          (e->took ? STATE_PATH_TOOK : 0) | (e->named ? STATE_PATH_NAMED : 0));
        *at++ = 0;
        put_bytes(put32(at, e->len), e->path, e->len);
    }
}

static const struct entry *step_to(const struct entry *from, const struct entry *to, uint32_t *index)
{
    while (from != NULL && from != to) {
        from = from->next;
        ++*index;
    }
    return from;
}

static void save_ops(struct state_out *o, const struct xids_store_tx *tx)
{
    const struct entry *e = tx->first;
    uint32_t index = 0;
    for (const struct op *op = tx->ops; op != NULL; op = op->next) {
        uint32_t count = op->perms != NULL ? op->perms->count : 0;
        uint8_t *at = xids_xs_state_record(o, STATE_OUR_TX_OP, 16 + 4 * (size_t)count + op->len);
        if (at == NULL)
            return;
        /* Operations mostly come in the order of their paths: look ahead first. */
        const struct entry *found = step_to(e, op->entry, &index);
        if (found == NULL) {
            index = 0;
            found = step_to(tx->first, op->entry, &index);
        }
        e = found;
        at = put32(put32(at, index), (uint32_t)op->kind);
        at = put32(put32(at, count), op->len);
        if (op->perms != NULL)
            at = xids_xs_state_put_perms(at, op->perms);
        put_bytes(at, op->value, op->len);
    }
}

static void save_one(struct state_out *o, const struct held *h, const struct xids_store_node *newer)
{
    const struct xids_store_tx *tx = h->t->tx;
    uint8_t *at = xids_xs_state_record(o, STATE_TX, 8);
    if (at != NULL)
        put32(put32(at, h->conn_id), h->t->id);
    bool counted = tx->version == o->s->store->version;
    uint32_t counts = counted ? 0 : tx->counts.n;
    at = xids_xs_state_record(o, STATE_OUR_TX, 40 + 16 * (size_t)counts);
    if (at == NULL)
        return;
    at = put32(put32(at, h->conn_id), h->t->id);
    at = put64(put64(put64(at, tx->version), tx->began), tx->made);
    at = put32(at, (tx->stale ? STATE_TX_STALE : 0u) | (tx->failed ? STATE_TX_FAILED : 0u) |
                       (tx->lost ? STATE_TX_LOST : 0u));
    at = put32(at, counts);
    for (uint32_t i = 0; i < counts; i++)
        at = put64(put32(put32(at, tx->counts.v[i].domid), (uint32_t)tx->counts.v[i].delta),
                   (uint64_t)tx->counts.v[i].bytes);
    xids_xs_state_save_changes(o, STATE_TREE_BASE, newer, tx->base);
    xids_xs_state_save_changes(o, STATE_TREE_TOP, counted ? o->s->store->top : tx->base, tx->top);
    save_paths(o, tx);
    save_ops(o, tx);
}

static bool before(const struct held *a, const struct held *b)
{
    if (a->t->tx->began != b->t->tx->began)
        return a->t->tx->began > b->t->tx->began;
    return a->conn_id != b->conn_id ? a->conn_id < b->conn_id : a->t->id < b->t->id;
}

/* By the age of the snapshot, the newest first. */
static void sort(struct held *v, uint32_t n)
{
    for (uint32_t gap = n / 2; gap > 0; gap /= 2) {
        for (uint32_t i = gap; i < n; i++) {
            struct held h = v[i];
            uint32_t j = i;
            for (; j >= gap && before(&h, &v[j - gap]); j -= gap)
                v[j] = v[j - gap];
            v[j] = h;
        }
    }
}

static void gather(struct held *v, uint32_t *n, uint32_t *id, struct xids_xs_conn *list)
{
    struct xids_xs_conn *c = list;
    while (c != NULL && c->next != NULL)
        c = c->next;
    for (; c != NULL; c = c->prev) {
        ++*id;
        for (struct transaction *t = c->transactions; t != NULL; t = t->next)
            v[(*n)++] = (struct held){.conn = c, .t = t, .conn_id = *id};
    }
}

void xids_xs_state_save_transactions(struct state_out *o)
{
    struct xids_xs_server *s = o->s;
    uint32_t n = 0, id = 0, count = s->stats.transactions;
    if (o->error < 0 || count == 0)
        return;
    struct held *v = xids_xs_get(s, count * sizeof(*v));
    if (v == NULL) {
        o->error = -XEN_ENOMEM;
        return;
    }
    gather(v, &n, &id, s->rings);
    gather(v, &n, &id, s->sockets);
    sort(v, n);
    const struct xids_store_node *newer = s->store->top;
    for (uint32_t i = 0; i < n && o->error == 0; i++) {
        save_one(o, &v[i], newer);
        newer = v[i].t->tx->base;
    }
    xids_xs_put(s, v, count * sizeof(*v));
}

/* ---- reading ---- */

static int find(struct state_in *in, struct state_conn **conn, struct transaction **t, uint32_t conn_id, uint32_t id)
{
    *conn = xids_xs_state_conn(in, conn_id);
    if (*conn == NULL)
        return xids_xs_state_bad(in, "a transaction without its connection");
    *t = (*conn)->conn->transactions;
    while (*t != NULL && (*t)->id != id)
        *t = (*t)->next;
    return 0;
}

/*
 * A transaction of which nothing but its number is known so far. If nothing more comes it will have to be done again,
 * for what it did is lost.
 */
int xids_xs_state_load_tx(struct state_in *in, struct state_body *b)
{
    struct xids_xs_server *s = in->s;
    uint32_t conn_id = take32(b), id = take32(b);
    struct state_conn *c;
    struct transaction *t = NULL;
    if (b->broken || id == 0)
        return xids_xs_state_bad(in, "a transaction without a number");
    int rc = find(in, &c, &t, conn_id, id);
    if (rc < 0)
        return rc;
    if (t != NULL)
        return xids_xs_state_bad(in, "a transaction twice");
    t = xids_xs_get(s, sizeof(*t));
    if (t == NULL)
        return -XEN_ENOMEM;
    *t = (struct transaction){0};
    rc = xids_store_tx_start(s->store, &t->tx);
    if (rc < 0) {
        xids_xs_put(s, t, sizeof(*t));
        return rc;
    }
    t->tx->lost = true;
    if (!c->conn->who.privileged)
        xids_store_tx_bind(s->store, t->tx);
    t->id = id;
    t->next = c->conn->transactions;
    c->conn->transactions = t;
    c->conn->ntransactions++;
    s->stats.transactions++;
    if (id >= c->conn->next_tx)
        c->conn->next_tx = id + 1;
    return 0;
}

/* What it changes in the numbers of nodes that domains own, where that is not counted from its tree. */
static int load_counts(struct state_in *in, struct state_body *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t domid = take32(b);
        int32_t delta = (int32_t)take32(b);
        int64_t bytes = (int64_t)take64(b);
        if (b->broken || in->tx_counted || domid > UINT16_MAX)
            return xids_xs_state_bad(in, "a transaction's counts that cannot be");
        int rc = xids_store_count_reserve(in->s->store, &in->tx->counts, (uint16_t)domid);
        if (rc < 0)
            return rc;
        xids_store_count_add(in->s->store, &in->tx->counts, (uint16_t)domid, delta, bytes);
    }
    return 0;
}

int xids_xs_state_load_our_tx(struct state_in *in, struct state_body *b)
{
    struct xids_store *s = in->s->store;
    uint32_t conn_id = take32(b), id = take32(b);
    uint64_t version = take64(b), began = take64(b), made = take64(b);
    uint32_t flags = take32(b), counts = take32(b);
    struct state_conn *c;
    struct transaction *t = NULL;
    if (b->broken)
        return xids_xs_state_bad(in, "a transaction that is cut short");
    int rc = find(in, &c, &t, conn_id, id);
    if (rc < 0)
        return rc;
    /* The first comes after the whole tree in force, which it is compared with. */
    if (in->reference == NULL) {
        rc = xids_xs_state_nodes_end(in);
        if (rc < 0)
            return rc;
        in->reference = s->top;
        s->top->refs++;
    }
    if (in->tx != NULL) {
        xids_xs_state_tx_charge(in);
        xids_store_node_unref(s, in->reference);
        in->reference = in->tx->base;
        in->reference->refs++;
    }
    if (t == NULL || version > s->version || began > version || made > INT64_MAX / 2 || !t->tx->lost)
        return xids_xs_state_bad(in, "a transaction out of its place");
    in->tx = t->tx;
    in->tx_of = t;
    in->tx_conn = c->conn;
    in->tx_counted = version == s->version;
    in->nentries = 0;
    /* It begins as what it is compared with; its own tree is made when there is something different in it. */
    xids_store_node_unref(s, in->tx->base);
    xids_store_node_unref(s, in->tx->top);
    in->tx->base = in->reference;
    in->reference->refs++;
    in->tx->top = NULL;
    in->tx->version = version;
    in->tx->began = began;
    in->tx->made = made;
    in->tx->lost = (flags & STATE_TX_LOST) != 0;
    in->tx->stale = (flags & STATE_TX_STALE) != 0;
    in->tx->failed = (flags & STATE_TX_FAILED) != 0;
    return load_counts(in, b, counts);
}

/* The last transaction is whole. */
int xids_xs_state_tx_end(struct state_in *in)
{
    struct xids_store_tx *tx = in->tx;
    if (tx != NULL && tx->top == NULL) {
        tx->top = in->tx_counted ? in->s->store->top : tx->base;
        tx->top->refs++;
    }
    return 0;
}

/* The same, and what it holds is counted for its connection. */
void xids_xs_state_tx_charge(struct state_in *in)
{
    (void)xids_xs_state_tx_end(in);
    if (in->tx_of != NULL)
        xids_xs_charge_transaction(in->tx_conn, in->tx_of);
    in->tx_of = NULL;
}

/* What comes after the trees: there is no more to be changed in the snapshot. */
static int past_trees(struct state_in *in)
{
    if (in->tx == NULL)
        return xids_xs_state_bad(in, "a part of a transaction without it");
    return xids_xs_state_tx_end(in);
}

int xids_xs_state_load_tx_path(struct state_in *in, struct state_body *b)
{
    struct xids_store *s = in->s->store;
    const struct xids_store_who all = {.privileged = true, .target = -1};
    const uint8_t *bits = take_bytes(b, 4);
    uint32_t len = take32(b);
    const char *path = (const char *)take_bytes(b, len);
    int rc = past_trees(in);
    if (rc < 0)
        return rc;
    const unsigned int kinds = READ_ACCESS | READ_VALUE | READ_PERMS | READ_CHILDREN | READ_RIGHT;
    if (b->broken || (bits[0] & ~kinds) != 0 || (bits[1] & ~kinds) != 0 ||
        xids_store_path_set(s, in->s->path, path, len) < 0)
        return xids_xs_state_bad(in, "a transaction's path that cannot be");
    void *v = in->entries;
    rc = xids_xs_state_grow(in->s, &v, &in->cap_entries, in->nentries, sizeof(struct entry *));
    in->entries = v;
    uint32_t before = in->tx->nentries;
    struct entry *e = NULL;
    if (rc == 0)
        rc = xids_store_tx_touch(s, in->tx, &e, &all, in->s->path, in->s->path->depth);
    if (rc < 0)
        return rc;
    if (in->tx->nentries == before)
        return xids_xs_state_bad(in, "a transaction's path twice");
    e->reads = bits[0];
    e->own = bits[1];
    e->event = (bits[2] & STATE_PATH_EVENT) != 0;
    e->removed = (bits[2] & STATE_PATH_REMOVED) != 0;
    e->took = (bits[2] & STATE_PATH_TOOK) != 0;
    e->named = (bits[2] & STATE_PATH_NAMED) != 0;
    in->tx->nremoved += e->removed;
    in->entries[in->nentries++] = e;
    return 0;
}

int xids_xs_state_load_tx_op(struct state_in *in, struct state_body *b)
{
    struct xids_store *s = in->s->store;
    uint32_t index = take32(b), kind = take32(b), count = take32(b), len = take32(b);
    struct perms *perms = NULL;
    int rc = past_trees(in);
    if (rc < 0)
        return rc;
    if (b->broken || index >= in->nentries || kind > WROTE_PERMS || len > XIDS_XSWIRE_PAYLOAD_MAX ||
        (kind == WROTE_PERMS) != (count > 0))
        return xids_xs_state_bad(in, "a transaction's operation that cannot be");
    if (count > 0)
        rc = xids_xs_state_take_perms(in, &perms, b, count);
    if (rc < 0)
        return rc;
    const uint8_t *value = take_bytes(b, len);
    if (b->broken)
        rc = xids_xs_state_bad(in, "a transaction's operation that is cut short");
    else
        rc = xids_store_tx_add_op(s, in->tx, in->entries[index], (enum write_kind)kind, value, len, perms);
    xids_store_perms_unref(s, perms);
    return rc;
}
