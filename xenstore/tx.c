/* SPDX-License-Identifier: ISC */
/*
 * Transactions. base is the snapshot that the transaction began with, top the tree as it has changed it. For every
 * path touched there is one entry, in the order of first touch: what was read of it that did not come from the
 * transaction itself, and what it did to it. The changes are kept in order, to be done again on another tree.
 */
#include "xenstore/tx_impl.h"

/* Operations, and bytes of paths and values, per path that a guest may touch: bounds what a transaction remembers. */
#define OPS_PER_NODE 4u
/* Levels of all the paths that it names and changes: each is gone down again when it ends, in one step. */
#define LEVELS_PER_NODE 512u
#define BYTES_PER_NODE 512u
/* Bytes of nodes that come and go while a guest's snapshot keeps the old ones: of all guests together, not of each. */
#define SNAPSHOT_KEEPS (64u << 20)
/* What is freed with the end of a transaction: more than enough for most. */
#define REAP_AT_ONCE 512u
/* A change that is done again, as so many nodes looked at. */
#define WORK_PER_CHANGE 8u
/* Removed nodes to be counted before a transaction is told that there is no room for it. */
#define SETTLE_AT_ONCE 4096u

struct view xids_store_view(struct xids_store *s, struct xids_store_tx *tx)
{
    if (tx == NULL)
        return (struct view){.top = &s->top};
    return (struct view){.top = &tx->top, .counts = &tx->counts};
}

int xids_store_tx_start(struct xids_store *s, struct xids_store_tx **tx)
{
    struct xids_store_tx *t = xids_store_get(s, sizeof(*t));
    if (t == NULL)
        return -XEN_ENOMEM;
    *t = (struct xids_store_tx){.base = s->top, .top = s->top, .version = s->version, .began = s->version};
    s->top->refs += 2;
    t->ops_last = &t->ops;
    *tx = t;
    return 0;
}

static void op_free(struct xids_store *s, struct op *op)
{
    if (op == NULL)
        return;
    xids_store_perms_unref(s, op->perms);
    xids_store_put(s, op, FLEXIBLE(struct op, value, op->len));
}

/* Frees what the first of the dead transactions remembers; then itself. False: there is none left. */
static bool reap_one(struct xids_store *s)
{
    struct xids_store_tx *tx = s->over;
    if (tx == NULL)
        return false;
    struct entry *e = tx->first;
    struct op *op = tx->ops;
    if (op != NULL) {
        tx->ops = op->next;
        op_free(s, op);
    } else if (e != NULL) {
        tx->first = e->next;
        xids_store_put(s, e, FLEXIBLE(struct entry, path, e->len));
    } else {
        s->over = tx->next;
        xids_store_put(s, tx, sizeof(*tx));
    }
    return true;
}

void xids_store_tx_reap(struct xids_store *s, unsigned int max)
{
    while (max > 0 && reap_one(s))
        max--;
}

/* ---- snapshots that are bound ---- */

/* Never becomes less: made does, with a value that becomes shorter where it stands, and removed makes up for it. */
static uint64_t churn(const struct xids_store *s)
{
    return s->made + s->removed;
}

void xids_store_tx_bind(struct xids_store *s, struct xids_store_tx *tx)
{
    tx->bound = true;
    tx->churn = churn(s);
    tx->older = s->newest;
    tx->newer = NULL;
    if (s->newest != NULL)
        s->newest->newer = tx;
    else
        s->oldest = tx;
    s->newest = tx;
}

static void unbind(struct xids_store *s, struct xids_store_tx *tx)
{
    if (!tx->bound)
        return;
    tx->bound = false;
    if (tx->older != NULL)
        tx->older->newer = tx->newer;
    else
        s->oldest = tx->newer;
    if (tx->newer != NULL)
        tx->newer->older = tx->older;
    else
        s->newest = tx->older;
}

void xids_store_tx_lose(struct xids_store *s)
{
    struct xids_store_tx *tx = s->oldest;
    if (tx == NULL || churn(s) - tx->churn < SNAPSHOT_KEEPS)
        return;
    xids_store_node_unref(s, tx->base);
    xids_store_node_unref(s, tx->top);
    xids_store_count_free(s, &tx->counts);
    tx->base = tx->top = s->top;
    s->top->refs += 2;
    tx->version = tx->began = s->version;
    tx->made = 0;
    tx->lost = true;
    unbind(s, tx);
    xids_store_tx_bind(s, tx);
}

void xids_store_tx_abort(struct xids_store *s, struct xids_store_tx *tx)
{
    unbind(s, tx);
    op_free(s, tx->pending);
    xids_store_put(s, tx->buckets, tx->nbuckets * sizeof(struct entry *));
    xids_store_count_free(s, &tx->counts);
    xids_store_node_unref(s, tx->base);
    xids_store_node_unref(s, tx->top);
    tx->next = s->over;
    s->over = tx;
    xids_store_tx_reap(s, REAP_AT_ONCE);
}

static bool names(const struct op *op, uint16_t domid)
{
    const struct perms *p = op != NULL ? op->perms : NULL;
    for (uint32_t i = 0; p != NULL && i < p->count; i++) {
        if (p->e[i].domid == domid)
            return true;
    }
    return false;
}

void xids_store_tx_forget_domain(struct xids_store_tx *tx, uint16_t domid)
{
    if ((tx->named & mask_of(domid)) == 0)
        return;
    for (const struct op *op = tx->ops; op != NULL && !tx->stale; op = op->next)
        tx->stale = names(op, domid);
}

/* ---- entries ---- */

static size_t op_bytes(const struct op *op)
{
    return FLEXIBLE(struct op, value, op->len) + (op->perms != NULL ? xids_store_perms_bytes(op->perms) : 0);
}

static uint64_t all_bytes(const struct xids_store_tx *tx)
{
    return sizeof(*tx) + tx->bytes + tx->made + tx->nbuckets * sizeof(struct entry *) +
           tx->counts.cap * sizeof(struct count) + (tx->pending != NULL ? op_bytes(tx->pending) : 0);
}

int64_t xids_store_tx_grown(struct xids_store_tx *tx)
{
    uint64_t bytes = all_bytes(tx);
    int64_t grown = (int64_t)(bytes - tx->told);
    tx->told = bytes;
    return grown;
}

void xids_store_tx_add_made(struct xids_store_tx *tx, uint64_t bytes)
{
    tx->made += bytes;
}

/* Whether the transaction may remember so much more. */
static int room_for(struct xids_store *s, const struct xids_store_tx *tx, const struct xids_store_who *who,
                    size_t bytes)
{
    if (who->privileged)
        return 0;
    if (beyond((uint64_t)BYTES_PER_NODE * who->limits->tx_nodes, tx->bytes + bytes))
        return refuse(s, XIDS_STORE_LIMIT_TX_NODES);
    int64_t more = (int64_t)(all_bytes(tx) - tx->told + bytes);
    int rc = xids_store_room(s, who, more, 0);
    if (rc == XIDS_STORE_LATER) {
        (void)xids_store_settle(s, SETTLE_AT_ONCE);
        rc = xids_store_room(s, who, more, 0);
    }
    return rc == XIDS_STORE_LATER ? refuse(s, XIDS_STORE_LIMIT_MEMORY) : rc;
}

/* Whether it may go down so many more levels at its end. */
static int levels_for(struct xids_store *s, const struct xids_store_tx *tx, const struct xids_store_who *who,
                      uint32_t depth)
{
    if (!who->privileged && beyond((uint64_t)LEVELS_PER_NODE * who->limits->tx_nodes, tx->levels + depth))
        return refuse(s, XIDS_STORE_LIMIT_TX_NODES);
    return 0;
}

/* The hash of a path out of its parts' hashes: one step for each, and the end. */
static uint32_t hash_step(uint32_t h, const struct xids_store_path *p, uint32_t i)
{
    return (h ^ p->parts[i].hash) * 0x9e3779b1u + i;
}

static uint32_t hash_end(uint32_t h)
{
    return h ^ (h >> 16);
}

static uint32_t path_hash(const struct xids_store_path *p, uint32_t depth)
{
    uint32_t h = 0;
    for (uint32_t i = 0; i < depth; i++)
        h = hash_step(h, p, i);
    return hash_end(h);
}

static size_t prefix_len(const struct xids_store_path *p, uint32_t depth)
{
    size_t len = (size_t)p->parts[depth - 1].at + p->parts[depth - 1].len;
    return len > 0 ? len : 1;
}

static struct entry *find_hashed(const struct xids_store_tx *tx, const struct xids_store_path *p, uint32_t depth,
                                 uint32_t hash)
{
    if (tx->nbuckets == 0)
        return NULL;
    size_t len = prefix_len(p, depth);
    struct entry *e = tx->buckets[hash & (tx->nbuckets - 1)];
    while (e != NULL && (e->hash != hash || e->len != len || __builtin_memcmp(e->path, p->bytes, len) != 0))
        e = e->chain;
    return e;
}

static struct entry *find(const struct xids_store_tx *tx, const struct xids_store_path *p, uint32_t depth)
{
    return find_hashed(tx, p, depth, path_hash(p, depth));
}

static int more_buckets(struct xids_store *s, struct xids_store_tx *tx)
{
    uint32_t n = tx->nbuckets == 0 ? 16 : tx->nbuckets * 2;
    struct entry **buckets = xids_store_get(s, n * sizeof(struct entry *));
    if (buckets == NULL)
        return -XEN_ENOMEM;
    __builtin_memset(buckets, 0, n * sizeof(struct entry *));
    for (struct entry *e = tx->first; e != NULL; e = e->next) {
        e->chain = buckets[e->hash & (n - 1)];
        buckets[e->hash & (n - 1)] = e;
    }
    xids_store_put(s, tx->buckets, tx->nbuckets * sizeof(struct entry *));
    tx->buckets = buckets;
    tx->nbuckets = n;
    return 0;
}

static void append(struct xids_store_tx *tx, struct entry *e)
{
    e->next = NULL;
    e->prev = tx->last;
    *(tx->last != NULL ? &tx->last->next : &tx->first) = e;
    tx->last = e;
}

/* A request names the path: from now on it has its place in the order of events. */
static void name(struct xids_store_tx *tx, struct entry *e)
{
    if (e->named)
        return;
    e->named = true;
    if (e->next == NULL)
        return;
    *(e->prev != NULL ? &e->prev->next : &tx->first) = e->next;
    e->next->prev = e->prev;
    append(tx, e);
}

int xids_store_tx_touch(struct xids_store *s, struct xids_store_tx *tx, struct entry **entry,
                        const struct xids_store_who *who, const struct xids_store_path *p, uint32_t depth)
{
    size_t len = prefix_len(p, depth);
    *entry = find(tx, p, depth);
    if (*entry != NULL)
        return 0;
    if (!who->privileged && beyond(who->limits->tx_nodes, tx->nentries + UINT64_C(1)))
        return refuse(s, XIDS_STORE_LIMIT_TX_NODES);
    int rc = levels_for(s, tx, who, depth);
    if (rc == 0)
        rc = room_for(s, tx, who, FLEXIBLE(struct entry, path, len));
    if (rc == 0 && tx->nentries >= tx->nbuckets)
        rc = more_buckets(s, tx);
    if (rc < 0)
        return rc;
    struct entry *e = xids_store_get(s, FLEXIBLE(struct entry, path, len));
    if (e == NULL)
        return -XEN_ENOMEM;
    uint32_t hash = path_hash(p, depth);
    struct entry **bucket = &tx->buckets[hash & (tx->nbuckets - 1)];
    *e = (struct entry){.chain = *bucket, .hash = hash, .len = (uint16_t)len, .depth = (uint16_t)depth};
    __builtin_memcpy(e->path, p->bytes, len);
    *bucket = e;
    append(tx, e);
    tx->nentries++;
    if (who->usage != NULL && tx->nentries > who->usage->tx_nodes)
        who->usage->tx_nodes = tx->nentries;
    tx->bytes += FLEXIBLE(struct entry, path, len);
    tx->levels += depth;
    *entry = e;
    return 0;
}

/*
 * Below something that the transaction has removed, everything is its own doing. Returns how deep in the path that
 * begins, UINT32_MAX when it does not. One pass: guests choose how deep paths are.
 */
static uint32_t own_doing(const struct xids_store_tx *tx, const struct xids_store_path *p)
{
    uint32_t h = 0;
    for (uint32_t i = 0; tx->nremoved > 0 && i < p->depth; i++) {
        h = hash_step(h, p, i);
        const struct entry *e = i > 0 ? find_hashed(tx, p, i + 1, hash_end(h)) : NULL;
        if (e != NULL && e->removed)
            return i + 1;
    }
    return UINT32_MAX;
}

/* How many parts of a path there are in a tree. */
static uint32_t depth_in(const struct xids_store_node *top, const struct xids_store_path *p)
{
    uint32_t depth = 0;
    const struct xids_store_node *n = top;
    while (depth < p->depth &&
           (n = xids_store_child(n, p->parts[depth].hash, part_name(p, depth), p->parts[depth].len)) != NULL)
        depth++;
    return depth;
}

/*
 * A node that the transaction has made has its permissions from above: from the nearest directory that was there
 * before, if none of those in between comes into being in the meantime.
 */
static int note_inherited(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                          const struct xids_store_path *p)
{
    uint32_t there = depth_in(tx->base, p), ours = own_doing(tx, p);
    for (uint32_t depth = p->depth; depth-- > 1;) {
        bool was = depth <= there, own = depth >= ours;
        struct entry *e;
        int rc = xids_store_tx_touch(s, tx, &e, who, p, depth);
        if (rc < 0)
            return rc;
        if (!own)
            e->reads |= READ_PERMS;
        if (was && !own)
            break;
    }
    return 0;
}

/* What a guest is told of what it has removed depends on its right to the directory that this was in. */
static int note_above(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                      const struct xids_store_path *p, uint32_t depth)
{
    struct entry *e;
    if (who->privileged || depth < 2)
        return 0;
    int rc = xids_store_tx_touch(s, tx, &e, who, p, depth - 1);
    if (rc == 0)
        e->reads |= (uint8_t)(READ_ACCESS & ~(unsigned int)e->own);
    return rc;
}

/*
 * What a guest is told of something missing depends on its right to what is nearest above. What it has written may make
 * that anew, and its own, where it is gone in the meantime; or stand below what others have made.
 */
static int note_nearest(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                        const struct xids_store_path *p)
{
    int rc = 0;
    if (who->privileged || tx->nops == 0 || xids_store_find(tx->top, p, p->depth) != NULL)
        return 0;
    for (uint32_t depth = depth_in(tx->base, p); depth < p->depth && rc == 0; depth++) {
        struct entry *e = NULL;
        rc = depth > 1 ? xids_store_tx_touch(s, tx, &e, who, p, depth) : 0;
        if (depth > 1 && rc == 0 && (e->own & READ_PERMS) == 0)
            e->reads |= READ_RIGHT;
    }
    return rc;
}

int xids_store_tx_note_read(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                            const struct xids_store_path *p, unsigned int kinds)
{
    struct entry *e;
    int rc = xids_store_tx_touch(s, tx, &e, who, p, p->depth);
    if (rc == 0)
        name(tx, e);
    uint32_t ours = rc == 0 ? own_doing(tx, p) : UINT32_MAX;
    bool own = ours <= p->depth;
    if (rc == 0 && (kinds & READ_PERMS) != 0 && (own || xids_store_find(tx->base, p, p->depth) == NULL))
        rc = note_inherited(s, tx, who, p);
    if (rc == 0)
        rc = own ? note_above(s, tx, who, p, ours) : note_nearest(s, tx, who, p);
    if (rc < 0) {
        tx->failed = tx->failed || rc == -XEN_ENOMEM;
        return rc;
    }
    if (own)
        return 0;
    e->reads |= (uint8_t)(kinds & ~(unsigned int)e->own);
    if ((kinds & e->own & READ_ACCESS) != 0 && (e->own & READ_PERMS) == 0)
        e->reads |= READ_RIGHT;
    return 0;
}

static int make_pending(struct xids_store *s, struct xids_store_tx *tx, struct entry *e, enum write_kind kind,
                        const void *value, size_t len, struct perms *perms)
{
    op_free(s, tx->pending);
    tx->pending = xids_store_get(s, FLEXIBLE(struct op, value, len));
    if (tx->pending == NULL)
        return -XEN_ENOMEM;
    *tx->pending = (struct op){.entry = e, .perms = perms, .kind = kind, .len = (uint32_t)len};
    if (perms != NULL)
        perms->refs++;
    if (len > 0)
        __builtin_memcpy(tx->pending->value, value, len);
    return 0;
}

int xids_store_tx_prepare_write(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                                const struct xids_store_path *p, enum write_kind kind, const void *value, size_t len,
                                struct perms *perms)
{
    struct entry *e;
    int rc = xids_store_tx_touch(s, tx, &e, who, p, p->depth);
    if (rc < 0)
        return rc;
    name(tx, e);
    if (!who->privileged && beyond((uint64_t)OPS_PER_NODE * who->limits->tx_nodes, tx->nops + UINT64_C(1)))
        return refuse(s, XIDS_STORE_LIMIT_TX_NODES);
    op_free(s, tx->pending);
    tx->pending = NULL;
    rc = levels_for(s, tx, who, p->depth);
    /* The change itself will be about as much again. */
    if (rc == 0)
        rc = room_for(s, tx, who, 2 * FLEXIBLE(struct op, value, len));
    return rc < 0 ? rc : make_pending(s, tx, e, kind, value, len, perms);
}

static const struct op *take_pending(struct xids_store_tx *tx)
{
    struct op *op = tx->pending;
    tx->pending = NULL;
    *tx->ops_last = op;
    tx->ops_last = &op->next;
    tx->named |= op->perms != NULL ? op->perms->mask : 0;
    tx->nops++;
    tx->levels += op->entry->depth;
    tx->bytes += op_bytes(op);
    return op;
}

int xids_store_tx_add_op(struct xids_store *s, struct xids_store_tx *tx, struct entry *entry, enum write_kind kind,
                         const void *value, size_t len, struct perms *perms)
{
    int rc = make_pending(s, tx, entry, kind, value, len, perms);
    if (rc == 0)
        (void)take_pending(tx);
    return rc;
}

void xids_store_tx_record_write(struct xids_store *s, struct xids_store_tx *tx, bool done)
{
    const struct op *op = take_pending(tx);
    struct entry *e = op->entry;
    (void)s;
    e->event = e->event || done;
    switch (op->kind) {
    case WROTE_VALUE:
        e->own |= READ_ACCESS | READ_VALUE;
        break;
    case WROTE_DIR:
        e->own |= READ_ACCESS;
        break;
    case WROTE_PERMS:
        e->own |= READ_ACCESS | READ_PERMS;
        break;
    case WROTE_REMOVAL:
        e->own |= READ_ACCESS | READ_VALUE | READ_PERMS | READ_CHILDREN;
        tx->nremoved += !e->removed;
        e->removed = true;
        e->took = e->took || done;
        break;
    }
}

bool xids_store_tx_tells(const struct xids_store_tx *tx, const struct xids_store_path *p, uint32_t depth)
{
    uint32_t h = 0;
    for (uint32_t i = 0; i < p->depth; i++) {
        h = hash_step(h, p, i);
        const struct entry *e = i >= depth ? find_hashed(tx, p, i + 1, hash_end(h)) : NULL;
        if (e != NULL && e->event && (e->took || i + 1 == p->depth))
            return true;
    }
    return false;
}

/* ---- the end ---- */

static bool same_value(const struct xids_store_node *a, const struct xids_store_node *b)
{
    size_t la = a != NULL ? a->value_len : 0, lb = b != NULL ? b->value_len : 0;
    return la == lb && (la == 0 || __builtin_memcmp(node_value(a), node_value(b), la) == 0);
}

/* The same names, and none of them removed and created again in the meantime. */
static bool same_children(struct xids_store *s, const struct xids_store_node *a, const struct xids_store_node *b)
{
    const struct xids_store_node *ca = a != NULL ? a->children : NULL, *cb = b != NULL ? b->children : NULL;
    if (ca == cb)
        return true;
    if (ca == NULL || cb == NULL || a->nchildren != b->nchildren || a->childbytes != b->childbytes)
        return false;
    uint32_t sp = 0;
    s->stack[sp++].n = a->children;
    while (sp > 0) {
        struct xids_store_node *n = s->stack[--sp].n;
        s->work++;
        const struct xids_store_node *other = xids_store_child(b, n->hash, n->bytes, n->name_len);
        if (other == NULL || (other != n && other->seq != n->seq))
            return false;
        for (unsigned int k = 0; k < 2; k++) {
            if (n->kid[k] != NULL)
                s->stack[sp++].n = n->kid[k];
        }
    }
    return true;
}

/* What who may do with a node; that includes setting its permissions. Whoever makes a node may do everything. */
static unsigned int right_to(const struct xids_store_node *n, const struct xids_store_who *who)
{
    if (n == NULL || xids_store_is_owner(n->perms, who))
        return XIDS_XS_BOTH + 1u;
    return xids_store_access(n->perms, who);
}

/* Whether everything that the transaction has read is still so in another tree. */
static bool still_true(struct xids_store *s, const struct xids_store_tx *tx, const struct xids_store_who *who,
                       const struct xids_store_node *top)
{
    struct xids_store_path *p = s->scratch;
    for (const struct entry *e = tx->first; e != NULL; e = e->next) {
        s->work++;
        if (e->reads == 0)
            continue;
        if (xids_store_path_set(s, p, e->path, e->len) < 0)
            return false;
        const struct xids_store_node *then, *now;
        unsigned int access_then = xids_store_access_at(tx->base, who, p, &then);
        unsigned int access_now = xids_store_access_at(top, who, p, &now);
        if (then == now && (then != NULL || access_then == access_now))
            continue;
        if ((e->reads & READ_ACCESS) != 0 &&
            ((then == NULL) != (now == NULL) || access_then != access_now || right_to(then, who) != right_to(now, who)))
            return false;
        if ((e->reads & READ_RIGHT) != 0 && right_to(then, who) != right_to(now, who))
            return false;
        if ((e->reads & READ_VALUE) != 0 && !same_value(then, now))
            return false;
        if ((e->reads & READ_PERMS) != 0 && (then != NULL ? then->perms : NULL) != (now != NULL ? now->perms : NULL))
            return false;
        if ((e->reads & READ_CHILDREN) != 0 && !same_children(s, then, now))
            return false;
    }
    return true;
}

static int redo_one(struct xids_store *s, const struct view *v, struct op *op, const struct xids_store_who *who,
                    struct xids_store_path *p)
{
    struct change c = {0};
    s->work += WORK_PER_CHANGE;
    int rc = xids_store_path_set(s, p, op->entry->path, op->entry->len);
    if (rc < 0)
        return rc;
    switch (op->kind) {
    case WROTE_VALUE:
    case WROTE_DIR:
        rc = xids_store_do_write(s, v, &c, who, p, op->value, op->len, op->kind == WROTE_DIR);
        break;
    case WROTE_REMOVAL:
        rc = xids_store_do_rm(s, v, &c, who, p);
        xids_store_node_unref(s, c.removed);
        op->entry->took = op->entry->took || c.done;
        if (rc == -XEN_ENOENT)
            rc = 0; /* somebody has removed it with its parent: as wanted */
        break;
    case WROTE_PERMS:
        rc = xids_store_do_set_perms(s, v, who, p, op->perms);
        c.done = rc == 0;
        break;
    }
    op->entry->event = op->entry->event || c.done;
    /* It was allowed in the snapshot; that it is not any more is news to the caller. */
    return rc == -XEN_EACCES || rc == -XEN_ENOENT || rc == -XEN_EPERM ? -XEN_EAGAIN : rc;
}

/* Does the changes again on the tree in force; tx->top and tx->counts are then what would come into force. */
static int redo(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                struct xids_store_path *p)
{
    xids_store_node_unref(s, tx->top);
    tx->top = s->top;
    s->top->refs++;
    tx->counts.n = 0;
    xids_store_gone_free(s, tx->counts.gone);
    tx->counts.gone = NULL;
    for (struct entry *e = tx->first; e != NULL; e = e->next)
        e->event = e->took = false;
    const struct view v = {.top = &tx->top, .counts = &tx->counts};
    int rc = 0;
    for (struct op *op = tx->ops; op != NULL && rc == 0; op = op->next)
        rc = redo_one(s, &v, op, who, p);
    return rc;
}

static void fire(struct xids_store *s, const struct xids_store_tx *tx, const struct xids_store_node *old,
                 struct xids_store_path *p)
{
    for (const struct entry *e = tx->first; e != NULL; e = e->next) {
        if (!e->event || xids_store_path_set(s, p, e->path, e->len) < 0)
            continue;
        const struct xids_store_node *was = xids_store_find(old, p, p->depth);
        const struct xids_store_node *is = xids_store_find(s->top, p, p->depth);
        if (was == NULL && is == NULL)
            continue; /* made and removed again: nobody has seen it */
        const struct xids_store_event event = {.path = p,
                                               .before = was != NULL ? was->perms : NULL,
                                               .node = is != NULL ? is : was,
                                               .parent = xids_store_find(s->top, p, p->depth - 1),
                                               .removed = e->took ? was : NULL,
                                               .now = is,
                                               .tx = tx};
        xids_store_fire(s, &event);
    }
}

/* Puts tx->top in the place of the tree in force. */
static void come_into_force(struct xids_store *s, struct xids_store_tx *tx)
{
    struct xids_store_node *old = s->top;
    s->top = tx->top;
    tx->top = NULL;
    for (uint32_t i = 0; i < tx->counts.n; i++)
        xids_store_count_add(s, NULL, tx->counts.v[i].domid, tx->counts.v[i].delta, tx->counts.v[i].bytes);
    xids_store_gone_move(s, &tx->counts.gone);
    s->version++;
    fire(s, tx, old, s->scratch);
    xids_store_node_unref(s, old);
}

/* Makes tx->top what would come into force, out of the tree that is; or says why that cannot be. */
static int make_ready(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who)
{
    if (tx->failed)
        return -XEN_ENOMEM;
    if (tx->lost)
        return -XEN_EAGAIN;
    if (tx->stale)
        return -XEN_EAGAIN;
    if (tx->version != s->version) {
        int rc = still_true(s, tx, who, s->top) ? redo(s, tx, who, s->scratch) : -XEN_EAGAIN;
        if (rc != 0)
            return rc;
        tx->version = s->version;
    }
    if (!who->privileged) {
        const struct count delta = xids_store_count_delta(&tx->counts, who->domid);
        if (delta.delta > 0 &&
            beyond(who->limits->nodes, (uint64_t)xids_store_owned(s, who->domid) + (uint32_t)delta.delta))
            return xids_store_uncounted(s, who) ? XIDS_STORE_LATER : refuse(s, XIDS_STORE_LIMIT_NODES);
        /* What it holds itself is about to be freed. */
        if (delta.bytes > 0)
            return xids_store_room(s, who, delta.bytes, tx->told);
    }
    return 0;
}

/* Whether the path of an entry is that of the first depth parts of p, or below it. */
static bool is_below(const struct entry *e, const struct xids_store_path *p)
{
    return e->len >= p->len && __builtin_memcmp(e->path, p->bytes, p->len) == 0 &&
           (e->len == p->len || e->path[p->len] == '/');
}

bool xids_store_tx_minds(struct xids_store *s, const struct xids_store_tx *reader, const struct xids_store_path *p,
                         bool below)
{
    uint32_t there = depth_in(s->top, p);
    for (uint32_t depth = there; depth <= p->depth && depth > 0; depth++) {
        /* Of what is there a new child is all that can change; but for the node itself. */
        const struct entry *e = find(reader, p, depth);
        unsigned int kinds = depth > there || depth == p->depth ? UINT8_MAX : READ_CHILDREN;
        if (e != NULL && (e->reads & kinds) != 0)
            return true;
    }
    if (!below || there < p->depth)
        return false;
    const struct entry *parent = p->depth > 1 ? find(reader, p, p->depth - 1) : NULL;
    if (parent != NULL && (parent->reads & READ_CHILDREN) != 0)
        return true;
    for (const struct entry *e = reader->first; e != NULL; e = e->next) {
        s->work++;
        if (e->reads != 0 && is_below(e, p))
            return true;
    }
    return false;
}

static int commit(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who)
{
    /* Whoever only reads has seen a snapshot: it came before all that has happened since. */
    if (tx->ops == NULL && !tx->failed && !tx->lost)
        return 0;
    int rc = make_ready(s, tx, who);
    if (rc == 0)
        come_into_force(s, tx);
    return rc;
}

int xids_store_tx_commit(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who)
{
    int rc = commit(s, tx, who);
    if (rc == XIDS_STORE_LATER || rc == -XEN_EAGAIN)
        return rc;
    xids_store_tx_abort(s, tx);
    (void)xids_store_reap(s, 256);
    return rc;
}

void xids_store_tx_keep_reads(struct xids_store *s, struct xids_store_tx *tx)
{
    xids_store_count_free(s, &tx->counts);
    xids_store_node_unref(s, tx->base);
    xids_store_node_unref(s, tx->top);
    tx->base = tx->top = NULL;
}

/* Whether one of the changes could refuse the reader. */
static bool touches(struct xids_store *s, const struct xids_store_tx *tx, const struct xids_store_tx *reader)
{
    for (const struct op *op = tx->ops; op != NULL; op = op->next) {
        bool below = op->kind == WROTE_REMOVAL || op->kind == WROTE_PERMS;
        s->work += WORK_PER_CHANGE;
        if (xids_store_path_set(s, s->scratch, op->entry->path, op->entry->len) == 0 &&
            xids_store_tx_minds(s, reader, s->scratch, below))
            return true;
    }
    return false;
}

bool xids_store_tx_disturbs(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                            const struct xids_store_tx *reader, const struct xids_store_who *reader_who,
                            const struct xids_store_tx *before)
{
    return tx->ops != NULL && make_ready(s, tx, who) == 0 && still_true(s, reader, reader_who, s->top) &&
           (!still_true(s, reader, reader_who, tx->top) || (before != NULL && touches(s, tx, before)));
}
