/* SPDX-License-Identifier: ISC */
/*
 * Watches: a tree of the watched paths, with the watches at each. A change looks at the names of its own path and at
 * nothing else; a removal also walks the watched paths below, together with what was removed.
 */
#include "xenstore/server_impl.h"

/* Watches freed along with a request that removes all of a connection: more than enough for most. */
#define REAP_AT_ONCE 256u

/* ---- the tree of paths ---- */

static struct watch_node *child_of(const struct watch_node *n, uint32_t hash, const char *name, uint32_t len)
{
    struct watch_node *c = n->children;
    for (unsigned int d = 0; c != NULL; d++) {
        if (c->hash == hash && c->name_len == len && __builtin_memcmp(c->name, name, len) == 0)
            break;
        c = c->kid[way(hash, d)];
    }
    return c;
}

static struct watch_node *find_node(const struct xids_xs_server *s, const struct xids_store_path *p)
{
    struct watch_node *n = s->watch_top;
    for (uint32_t i = 0; n != NULL && i < p->depth; i++)
        n = child_of(n, p->parts[i].hash, part_name(p, i), p->parts[i].len);
    return n;
}

static size_t node_bytes(const struct watch_node *n)
{
    return FLEXIBLE(struct watch_node, name, n->name_len);
}

/* Frees a path that nobody watches, and those above that were there for it alone. */
static void prune(struct xids_xs_server *s, struct watch_node *n)
{
    while (n->parent != NULL && n->watches == NULL && n->first == NULL) {
        struct watch_node *dir = n->parent, **slot = &dir->children, *heir = NULL;
        for (unsigned int d = 0; *slot != n; d++)
            slot = &(*slot)->kid[way(n->hash, d)];
        if (n->kid[0] != NULL || n->kid[1] != NULL) {
            struct watch_node **leaf = slot;
            do
                leaf = &(*leaf)->kid[(*leaf)->kid[0] == NULL];
            while ((*leaf)->kid[0] != NULL || (*leaf)->kid[1] != NULL);
            heir = *leaf;
            *leaf = NULL;
            heir->kid[0] = n->kid[0];
            heir->kid[1] = n->kid[1];
        }
        *slot = heir;
        if (n->prev != NULL)
            n->prev->next = n->next;
        else
            dir->first = n->next;
        if (n->next != NULL)
            n->next->prev = n->prev;
        xids_xs_put(s, n, node_bytes(n));
        n = dir;
    }
}

static struct watch_node *make_node(struct xids_xs_server *s, const struct xids_store_path *p)
{
    struct watch_node *n = s->watch_top;
    for (uint32_t i = 0; i < p->depth; i++) {
        const struct part *part = &p->parts[i];
        struct watch_node *c = child_of(n, part->hash, part_name(p, i), part->len);
        if (c == NULL) {
            c = xids_xs_get(s, FLEXIBLE(struct watch_node, name, part->len));
            if (c == NULL) {
                prune(s, n);
                return NULL;
            }
            *c = (struct watch_node){.parent = n, .hash = part->hash, .name_len = part->len, .next = n->first};
            __builtin_memcpy(c->name, part_name(p, i), part->len);
            struct watch_node **slot = &n->children;
            for (unsigned int d = 0; *slot != NULL; d++)
                slot = &(*slot)->kid[way(part->hash, d)];
            *slot = c;
            if (n->first != NULL)
                n->first->prev = c;
            n->first = c;
        }
        n = c;
    }
    return n;
}

/* ---- watches ---- */

/* Not removed with all others of its connection. */
static bool in_force(const struct watch *w)
{
    return w->epoch == w->conn->epoch;
}

static struct watch *find_watch(const struct watch_node *n, const struct xids_xs_conn *conn,
                                const struct xids_xswire_str *token)
{
    struct watch *w = n != NULL ? n->watches : NULL;
    while (w != NULL && (w->conn != conn || !in_force(w) || w->token_len != token->len ||
                         __builtin_memcmp(w->token, token->s, token->len) != 0))
        w = w->next;
    return w;
}

/* A change may match every watch there is: the room to list them is made here, so that a change needs none. */
static int reserve_matches(struct xids_xs_server *s)
{
    if (s->stats.watches < s->matches_cap)
        return 0;
    uint32_t cap = s->matches_cap == 0 ? 64 : s->matches_cap * 2;
    struct watch **m = xids_xs_get(s, cap * sizeof(struct watch *));
    if (m == NULL)
        return -XEN_ENOMEM;
    xids_xs_put(s, s->matches, s->matches_cap * sizeof(struct watch *));
    s->matches = m;
    s->matches_cap = cap;
    return 0;
}

/* What a watched path costs, as if nobody else watched anything: guests choose how deep paths are. */
static size_t path_cost(const struct xids_store_path *p)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < p->depth; i++)
        bytes += FLEXIBLE(struct watch_node, name, p->parts[i].len);
    return bytes;
}

size_t xids_xs_watch_cost(const struct watch *w)
{
    size_t bytes = FLEXIBLE(struct watch, token, w->token_len);
    for (const struct watch_node *n = w->at; n->parent != NULL; n = n->parent)
        bytes += node_bytes(n);
    return bytes;
}

int xids_xs_watch_add(struct xids_xs_conn *conn, struct watch **watch, const struct xids_store_path *p,
                      const struct xids_xswire_str *token, int32_t depth, size_t prefix)
{
    struct xids_xs_server *s = conn->server;
    if (find_watch(find_node(s, p), conn, token) != NULL)
        return -XEN_EEXIST;
    if (!conn->who.privileged && beyond(conn->settings.limits.watches, conn->nwatches + UINT64_C(1)))
        return xids_xs_deny(s, QUOTA_WATCHES);
    size_t cost = path_cost(p) + FLEXIBLE(struct watch, token, token->len);
    int rc = xids_store_room(s->store, &conn->who, (int64_t)cost, 0);
    if (rc == 0)
        rc = reserve_matches(s);
    if (rc != 0)
        return rc;
    struct watch *w = xids_xs_get(s, FLEXIBLE(struct watch, token, token->len));
    if (w == NULL)
        return -XEN_ENOMEM;
    struct watch_node *n = make_node(s, p);
    if (n == NULL) {
        xids_xs_put(s, w, FLEXIBLE(struct watch, token, token->len));
        return -XEN_ENOMEM;
    }
    *w = (struct watch){.at = n,
                        .conn = conn,
                        .prev = n->watches_last,
                        .conn_next = conn->watches,
                        .seq = ++s->watch_seq,
                        .epoch = conn->epoch,
                        .depth = depth,
                        .prefix = (uint16_t)prefix,
                        .token_len = (uint16_t)token->len};
    __builtin_memcpy(w->token, token->s, token->len);
    if (n->watches_last != NULL)
        n->watches_last->next = w;
    else
        n->watches = w;
    n->watches_last = w;
    if (conn->watches != NULL)
        conn->watches->conn_prev = w;
    else
        conn->watches_last = w;
    conn->watches = w;
    conn->nwatches++;
    s->stats.watches++;
    charge(conn, (int64_t)cost);
    note_conn(conn);
    *watch = w;
    return 0;
}

/* Frees a watch that is in no list of its connection any more. */
static void drop(struct watch *w)
{
    struct xids_xs_server *s = w->conn->server;
    struct watch_node *n = w->at;
    charge(w->conn, -(int64_t)xids_xs_watch_cost(w));
    if (w->prev != NULL)
        w->prev->next = w->next;
    else
        n->watches = w->next;
    if (w->next != NULL)
        w->next->prev = w->prev;
    else
        n->watches_last = w->prev;
    s->stats.watches--;
    xids_xs_put(s, w, FLEXIBLE(struct watch, token, w->token_len));
    prune(s, n);
}

int xids_xs_watch_remove(struct xids_xs_conn *conn, const struct xids_store_path *p,
                         const struct xids_xswire_str *token)
{
    struct watch *w = find_watch(find_node(conn->server, p), conn, token);
    if (w == NULL)
        return -XEN_ENOENT;
    xids_xs_watch_forget_pending(w);
    *(w->conn_prev != NULL ? &w->conn_prev->conn_next : &conn->watches) = w->conn_next;
    *(w->conn_next != NULL ? &w->conn_next->conn_prev : &conn->watches_last) = w->conn_prev;
    conn->nwatches--;
    drop(w);
    note_conn(conn);
    return 0;
}

/*
 * From now on none of them is in force; they are freed a few at a time. A connection that ends stays until they are.
 */
void xids_xs_watch_remove_all(struct xids_xs_conn *conn)
{
    struct xids_xs_server *s = conn->server;
    xids_xs_out_take_pending(conn);
    conn->epoch++;
    conn->nwatches = 0;
    if (conn->watches != NULL) {
        note_conn(conn);
        *(conn->stale != NULL ? &conn->stale_last->conn_next : &conn->stale) = conn->watches;
        conn->stale_last = conn->watches_last;
        conn->watches = conn->watches_last = NULL;
    }
    if (conn->waits_reaping || (conn->stale == NULL && conn->stale_pending == NULL))
        return;
    conn->waits_reaping = true;
    conn->stale_next = s->stale;
    s->stale = conn;
    xids_xs_watch_reap(s, REAP_AT_ONCE);
}

void xids_xs_watch_reap(struct xids_xs_server *s, unsigned int max)
{
    for (; s->stale != NULL && max > 0; max--) {
        struct xids_xs_conn *conn = s->stale;
        struct watch *w = conn->stale;
        if (xids_xs_out_reap_pending(conn))
            continue;
        if (w != NULL) {
            conn->stale = w->conn_next;
            drop(w);
            continue;
        }
        s->stale = conn->stale_next;
        conn->waits_reaping = false;
        if (conn->dead)
            xids_xs_put(s, conn, sizeof(*conn));
    }
}

void xids_xs_watch_free_all(struct xids_xs_server *s)
{
    xids_xs_put(s, s->matches, s->matches_cap * sizeof(struct watch *));
    if (s->watch_top != NULL)
        xids_xs_put(s, s->watch_top, node_bytes(s->watch_top));
}

/* ---- dispatch ---- */

/* Puts the matches in the order in which they were made; a client sees its watches fire in that order. */
static void sort(struct watch **v, uint32_t n)
{
    for (uint32_t gap = n / 2; gap > 0; gap /= 2) {
        for (uint32_t i = gap; i < n; i++) {
            struct watch *w = v[i];
            uint32_t j = i;
            for (; j >= gap && v[j - gap]->seq > w->seq; j -= gap)
                v[j] = v[j - gap];
            v[j] = w;
        }
    }
}

static void send_all(struct xids_xs_server *s, uint32_t n, const char *path, size_t len, const struct perms *before,
                     const struct xids_store_node *node, const struct xids_store_node *parent)
{
    s->cost += n;
    for (uint32_t i = 0; i < n; i++) {
        struct watch *w = s->matches[i];
        if (in_force(w) && xids_store_event_visible(before, node, parent, &w->conn->who))
            xids_xs_event(w, path + w->prefix, len - w->prefix);
    }
}

/* The watches at the path and, as far as their depth goes, above it. */
static void fire_path(struct xids_xs_server *s, const struct xids_store_event *e)
{
    const struct xids_store_path *p = e->path;
    const struct watch_node *n = s->watch_top;
    uint32_t found = 0, levels = 0;
    for (uint32_t i = 0; i < p->depth; i++) {
        n = child_of(n, p->parts[i].hash, part_name(p, i), p->parts[i].len);
        if (n == NULL)
            break;
        uint32_t before = found, below = p->depth - 1 - i;
        for (struct watch *w = n->watches; w != NULL; w = w->next) {
            if (w->depth < 0 || below <= (uint32_t)w->depth)
                s->matches[found++] = w;
        }
        levels += found > before;
    }
    if (levels > 1)
        sort(s->matches, found);
    send_all(s, found, p->bytes, p->len, e->before, e->node, e->parent);
}

/* One watched path below a removal: only watches for exactly it. */
static void fire_below(struct xids_xs_server *s, const struct watch_node *n, const struct xids_store_event *e)
{
    if (n->watches == NULL || n->now != NULL)
        return;
    struct xids_store_path *p = s->event_path;
    char *end = p->bytes + XIDS_STORE_PATH_MAX, *at = end;
    for (const struct watch_node *up = n; up->parent != NULL; up = up->parent) {
        at -= up->name_len;
        __builtin_memcpy(at, up->name, up->name_len);
        if (up->parent->parent != NULL)
            *--at = '/';
    }
    size_t len = (size_t)(end - at);
    if (e->tx != NULL) {
        if (xids_store_path_set(s->store, p, at, len) < 0 || xids_store_tx_tells(e->tx, p, e->path->depth))
            return;
        at = p->bytes;
    }
    uint32_t found = 0;
    for (struct watch *w = n->watches; w != NULL; w = w->next)
        s->matches[found++] = w;
    send_all(s, found, at, len, NULL, n->was, n->parent->was);
}

/* Sorts a list of siblings by the age of the nodes that they stand for; those without one go to the end. */
static struct watch_node *sort_siblings(struct watch_node *list)
{
    for (unsigned int width = 1;; width *= 2) {
        struct watch_node *rest = list, *head = NULL, *last = NULL;
        unsigned int merges = 0;
        while (rest != NULL) {
            struct watch_node *a = rest, *b = rest;
            unsigned int na = 0, nb = width;
            merges++;
            while (na < width && b != NULL) {
                b = b->next;
                na++;
            }
            while (na > 0 || (nb > 0 && b != NULL)) {
                struct watch_node *take;
                bool from_a = nb == 0 || b == NULL ||
                              (na > 0 && (b->was == NULL || (a->was != NULL && a->was->seq <= b->was->seq)));
                if (na == 0)
                    from_a = false;
                if (from_a) {
                    take = a;
                    a = a->next;
                    na--;
                } else {
                    take = b;
                    b = b->next;
                    nb--;
                }
                take->prev = last;
                if (last != NULL)
                    last->next = take;
                else
                    head = take;
                last = take;
            }
            rest = b;
        }
        if (last != NULL)
            last->next = NULL;
        list = head;
        if (merges <= 1)
            return list;
    }
}

/* Finds what the children of a watched path stand for. Returns the first that was there, or NULL. */
static struct watch_node *enter(struct xids_xs_server *s, struct watch_node *dir)
{
    if (dir->first == NULL)
        return NULL;
    for (struct watch_node *c = dir->first; c != NULL; c = c->next) {
        s->cost++;
        c->was = xids_store_child(dir->was, c->hash, c->name, c->name_len);
        c->now = dir->now != NULL ? xids_store_child(dir->now, c->hash, c->name, c->name_len) : NULL;
    }
    dir->first = sort_siblings(dir->first);
    return dir->first != NULL && dir->first->was != NULL ? dir->first : NULL;
}

/* Each watched path below a removal that was there: a directory before what is in it, or after. */
static void fire_removed(struct xids_xs_server *s, const struct xids_store_event *e, bool before)
{
    struct watch_node *root = find_node(s, e->path), *n;
    if (root == NULL)
        return;
    root->was = e->removed;
    root->now = e->now;
    n = enter(s, root);
    while (n != NULL) {
        if (before)
            fire_below(s, n, e);
        struct watch_node *c = enter(s, n);
        if (c != NULL) {
            n = c;
            continue;
        }
        for (;;) {
            if (!before)
                fire_below(s, n, e);
            if (n->next != NULL && n->next->was != NULL) {
                n = n->next;
                break;
            }
            n = n->parent;
            if (n == root)
                return;
        }
    }
}

void xids_xs_fire(void *ctx, const struct xids_store_event *e)
{
    struct xids_xs_server *s = ctx;
    /* C xenstored removes from the bottom up, but a commit replays its paths in the order of first touch. */
    if (e->removed != NULL && e->tx == NULL)
        fire_removed(s, e, false);
    fire_path(s, e);
    if (e->removed != NULL && e->tx != NULL)
        fire_removed(s, e, true);
}

/*
 * @introduceDomain and @releaseDomain: plain for whoever watches the name without depth, with_domid for @name/N, seen
 * by whoever watches that or the name with a depth.
 */
void xids_xs_fire_special(struct xids_xs_server *s, const char *name, uint16_t domid, bool plain, bool with_domid)
{
    struct xids_store_path *p = s->event_path;
    size_t len = xids_xswire_string(name).len - 1;
    if (xids_store_path_set(s->store, p, name, len) < 0)
        return;
    const struct xids_store_node *node = xids_store_find(s->store->top, p, 1);
    const struct watch_node *n = find_node(s, p);
    uint32_t found = 0;
    if (n == NULL || node == NULL)
        return;
    for (struct watch *w = n->watches; plain && w != NULL; w = w->next) {
        if (w->depth < 0)
            s->matches[found++] = w;
    }
    send_all(s, found, p->bytes, len, NULL, node, NULL);
    if (!with_domid)
        return;
    found = 0;
    for (struct watch *w = n->watches; w != NULL; w = w->next) {
        if (w->depth > 0)
            s->matches[found++] = w;
    }
    char path[40];
    __builtin_memcpy(path, name, len);
    path[len++] = '/';
    const char *digits = path + len;
    len += xids_xswire_format_decimal(path + len, domid);
    size_t ndigits = len - (size_t)(digits - path);
    const struct watch_node *exact =
        child_of(n, xids_store_hash(s->store->key, digits, ndigits), digits, (uint32_t)ndigits);
    for (struct watch *w = exact != NULL ? exact->watches : NULL; w != NULL; w = w->next)
        s->matches[found++] = w;
    sort(s->matches, found);
    send_all(s, found, path, len, NULL, node, NULL);
}
