/* SPDX-License-Identifier: ISC */
/*
 * Trees out of the state stream. The nodes in force come a directory before what is in it, so that each is found from
 * the one before; a snapshot is the tree that came before it with some changes, and shares the rest.
 */
#include "xenstore/state.h"

/* ---- the tree in force ---- */

int xids_xs_state_nodes_begin(struct state_in *in)
{
    struct xids_store *s = in->s->store;
    const struct part none = {0};
    in->levels = xids_store_get(s, (PATH_DEPTH_MAX + 1) * sizeof(*in->levels));
    if (in->levels == NULL)
        return -XEN_ENOMEM;
    /* What a new store begins with is in the stream as well, or was removed. */
    struct xids_store_node *top = xids_store_node_new(s, &none, "", s->top->perms, NULL, 0);
    if (top == NULL)
        return -XEN_ENOMEM;
    xids_store_node_unref(s, s->top);
    s->top = top;
    while (xids_store_reap(s, UINT32_MAX)) {
    }
    s->nodes = 0;
    s->bytes = 0;
    for (unsigned int i = 0; i < 256; i++) {
        if (s->owned[i] != NULL)
            __builtin_memset(s->owned[i], 0, 256 * sizeof(struct owned));
    }
    s->listing.generation = 0;
    return 0;
}

/* Cuts the levels down to the directories above the path; the number of bytes of it that lead to the last of them. */
static uint32_t common(struct state_in *in, const char *path, uint32_t len)
{
    uint32_t same = 0, n = in->nlevels, max = len < in->last_len ? len : in->last_len;
    uint64_t a, b;
    while (same + sizeof(a) <= max) {
        __builtin_memcpy(&a, path + same, sizeof(a));
        __builtin_memcpy(&b, in->last + same, sizeof(b));
        if (a != b)
            break;
        same += (uint32_t)sizeof(a);
    }
    while (same < max && path[same] == in->last[same])
        same++;
    /* The root's path is empty here, so that what follows always begins with a slash. */
    while (n > 1 &&
           (in->levels[n - 1].len > same || in->levels[n - 1].len >= len || path[in->levels[n - 1].len] != '/'))
        n--;
    in->nlevels = n;
    return in->levels[n - 1].len;
}

/* Tells all above the last level, directories and what they are found through, which domains are named below. */
static void tell_above(struct state_in *in, uint64_t mask)
{
    for (uint32_t i = in->nlevels; i-- > 0 && (in->levels[i].n->mask & mask) != mask;) {
        struct xids_store_node *n = in->levels[i].n, *dir = i > 0 ? in->levels[i - 1].n : in->s->store->top;
        struct xids_store_node *at = dir->children;
        for (unsigned int d = 0; at != n; d++) {
            at->mask |= mask;
            at = at->kid[way(n->hash, d)];
        }
        n->mask |= mask;
    }
    in->s->store->top->mask |= mask;
}

/* Goes down from the last level, through directories that are there, to the one that the path lies in. */
static int descend(struct state_in *in, const char *path, uint32_t len, uint32_t *at)
{
    struct xids_store *s = in->s->store;
    for (;;) {
        const struct state_level *l = &in->levels[in->nlevels - 1];
        uint32_t start = l->len + 1, end = start;
        while (end < len && path[end] != '/')
            end++;
        if (end == len) {
            *at = start;
            return 0;
        }
        uint32_t hash = xids_store_hash(s->key, path + start, end - start), visits = l->visits + 1;
        struct xids_store_node *n = l->n->children;
        for (unsigned int d = 0; n != NULL && !node_is(n, hash, path + start, end - start); d++) {
            n = n->kid[way(hash, d)];
            visits++;
        }
        if (n == NULL)
            return xids_xs_state_bad(in, "a node before its directory");
        in->levels[in->nlevels++] = (struct state_level){.n = n, .len = end, .visits = visits};
    }
}

static int insert(struct state_in *in, struct xids_store_node *dir, uint32_t visits, const char *name,
                  uint32_t name_len, struct perms *perms, const void *value, size_t value_len, uint32_t path_len)
{
    struct xids_store *s = in->s->store;
    const struct part part = {.len = (uint16_t)name_len, .hash = xids_store_hash(s->key, name, name_len)};
    struct xids_store_node **slot = &dir->children;
    for (unsigned int d = 0; *slot != NULL; d++) {
        if (node_is(*slot, part.hash, name, name_len))
            return xids_xs_state_bad(in, "a node twice");
        (*slot)->mask |= perms->mask;
        slot = &(*slot)->kid[way(part.hash, d)];
        visits++;
    }
    tell_above(in, perms->mask);
    int rc = xids_store_count_reserve(s, NULL, perms->e[0].domid);
    if (rc == 0)
        rc = xids_store_stack_reserve(s, visits + 1);
    if (rc < 0)
        return rc;
    struct xids_store_node *n = xids_store_node_new(s, &part, name, perms, value, value_len);
    if (n == NULL)
        return -XEN_ENOMEM;
    if (in->generation != 0) {
        n->seq = in->seq;
        n->generation = in->generation;
    }
    *slot = n;
    dir->nchildren++;
    dir->childbytes += name_len + 1u;
    xids_store_count_add(s, NULL, perms->e[0].domid, 1, (int64_t)xids_store_node_cost(n));
    in->levels[in->nlevels++] = (struct state_level){.n = n, .len = path_len, .visits = visits + 1};
    return 0;
}

/* The root or a special node. */
static int load_top(struct state_in *in, const char *path, uint32_t len, struct perms *perms, const void *value,
                    size_t value_len)
{
    uint32_t name_len = path[0] == '@' ? len : 0;
    if (len > XIDS_STORE_PATH_MAX || xids_xswire_path_check(path, len) < 0)
        return xids_xs_state_bad(in, "a node whose path is none");
    for (uint32_t i = 0; i < name_len; i++) {
        if (path[i] == '/')
            return xids_xs_state_bad(in, "a special node in a directory");
    }
    in->nlevels = in->last_len = 0;
    int rc = insert(in, in->s->store->top, 1, path, name_len, perms, value, value_len, name_len);
    /* Nothing lies below a special node; below the root, from here on, everything. */
    if (rc == 0 && name_len > 0)
        in->nlevels = 0;
    return rc;
}

static int load_node(struct state_in *in, const char *path, uint32_t len, struct perms *perms, const void *value,
                     size_t value_len)
{
    struct xids_store *s = in->s->store;
    uint32_t at = 0;
    if (path[0] == '@' || len == 1)
        return load_top(in, path, len, perms, value, value_len);
    if (in->nlevels == 0) {
        struct xids_store_node *root = xids_store_child(s->top, xids_store_hash(s->key, "", 0), "", 0);
        if (root == NULL)
            return xids_xs_state_bad(in, "a node before its directory");
        in->levels[in->nlevels++] = (struct state_level){.n = root, .visits = 4};
    }
    /* The slash at the end would be taken for a root, where what is above has been looked at. */
    if (len > XIDS_STORE_PATH_MAX || path[0] != '/' || path[len - 1] == '/')
        return xids_xs_state_bad(in, "a node whose path is none");
    /* What it has in common with the one before has been looked at. */
    uint32_t seen = common(in, path, len);
    if (xids_xswire_path_check(path + seen, len - seen) < 0)
        return xids_xs_state_bad(in, "a node whose path is none");
    int rc = descend(in, path, len, &at);
    if (rc < 0)
        return rc;
    const struct state_level *l = &in->levels[in->nlevels - 1];
    rc = insert(in, l->n, l->visits + 1, path + at, len - at, perms, value, value_len, len);
    __builtin_memcpy(in->last + seen, path + seen, len - seen);
    in->last_len = len;
    return rc;
}

int xids_xs_state_load_node(struct state_in *in, struct state_body *b)
{
    uint32_t conn = take32(b);
    (void)take32(b);
    uint32_t path_len = take16(b), value_len = take16(b);
    (void)take16(b);
    uint32_t count = take16(b);
    if (b->broken || value_len > XIDS_XSWIRE_PAYLOAD_MAX || in->reference != NULL)
        return xids_xs_state_bad(in, "a node that cannot be");
    if (conn != 0)
        return 0; /* a transaction's: what is known of those we say ourselves */
    struct perms *perms;
    int rc = xids_xs_state_take_perms(in, &perms, b, count);
    if (rc < 0)
        return rc;
    const char *path = (const char *)take_bytes(b, path_len);
    const uint8_t *value = take_bytes(b, value_len);
    if (b->broken || path_len < 2 || path[path_len - 1] != '\0')
        rc = xids_xs_state_bad(in, "a node that is cut short");
    else
        rc = load_node(in, path, path_len - 1, perms, value, value_len);
    xids_store_perms_unref(in->s->store, perms);
    in->seq = in->generation = 0;
    return rc;
}

int xids_xs_state_load_age(struct state_in *in, struct state_body *b)
{
    in->seq = take64(b);
    in->generation = take64(b);
    if (b->broken || in->seq == 0 || in->generation == 0 || in->seq > in->newest || in->generation > in->newest)
        return xids_xs_state_bad(in, "a node of impossible age");
    return 0;
}

/* The nodes in force are all there. Can be called again. */
int xids_xs_state_nodes_end(struct state_in *in)
{
    static const char *const needed[] = {"", "@introduceDomain", "@releaseDomain"};
    struct xids_store *s = in->s->store;
    for (unsigned int i = 0; i < 3; i++) {
        size_t len = xids_xswire_string(needed[i]).len - 1;
        if (xids_store_child(s->top, xids_store_hash(s->key, needed[i], len), needed[i], (uint32_t)len) == NULL)
            return xids_xs_state_bad(in, i == 0 ? "no root node" : "a special node is missing");
    }
    return 0;
}

/* Counts what each domain owns, all anew. */
int xids_xs_state_count_all(struct state_in *in)
{
    struct xids_store *s = in->s->store;
    struct step *stack = s->stack;
    uint32_t sp = 0;
    s->nodes = 0;
    s->bytes = 0;
    for (unsigned int i = 0; i < 256; i++) {
        if (s->owned[i] != NULL)
            __builtin_memset(s->owned[i], 0, 256 * sizeof(struct owned));
    }
    if (s->top->children != NULL)
        stack[sp++].n = s->top->children;
    while (sp > 0) {
        struct xids_store_node *n = stack[--sp].n;
        uint16_t owner = n->perms->e[0].domid;
        int rc = xids_store_count_reserve(s, NULL, owner);
        if (rc < 0)
            return rc;
        xids_store_count_add(s, NULL, owner, 1, (int64_t)xids_store_node_cost(n));
        for (unsigned int k = 0; k < 2; k++) {
            if (n->kid[k] != NULL)
                stack[sp++].n = n->kid[k];
        }
        if (n->children != NULL)
            stack[sp++].n = n->children;
    }
    return 0;
}

/* ---- the trees of transactions, and changes of a journal ---- */

static bool tree_of(struct state_in *in, struct view *v, uint32_t tree)
{
    struct xids_store_tx *tx = in->tx;
    if (in->journal && tree == STATE_TREE_FORCE) {
        /* Nodes may move: the way to the last one is not known any more. */
        in->nlevels = in->last_len = 0;
        *v = (struct view){.top = &in->s->store->top};
        return true;
    }
    if (tx == NULL || tree > STATE_TREE_TOP || (tree == STATE_TREE_BASE && tx->top != NULL))
        return false;
    *v = (struct view){.top = &tx->base};
    if (tree == STATE_TREE_TOP) {
        (void)xids_xs_state_tx_end(in);
        *v = (struct view){.top = &tx->top, .counts = in->tx_counted ? &tx->counts : NULL};
    }
    return true;
}

static void count(struct state_in *in, const struct view *v, const struct xids_store_node *n, int32_t delta)
{
    if (v->counts != NULL)
        xids_store_count_add(in->s->store, v->counts, n->perms->e[0].domid, delta,
                             delta * (int64_t)xids_store_node_cost(n));
}

static int count_reserve(struct state_in *in, const struct view *v, const struct perms *perms)
{
    return v->counts != NULL ? xids_store_count_reserve(in->s->store, v->counts, perms->e[0].domid) : 0;
}

static int put(struct state_in *in, const struct view *v, struct perms *perms, uint64_t seq, uint64_t generation,
               const void *value, size_t value_len)
{
    struct xids_store *s = in->s->store;
    const struct xids_store_path *p = in->s->path;
    struct descent d;
    struct xids_store_node *n = NULL;
    int rc = xids_store_descend(s, v->top, &d, p, p->depth, perms->mask);
    if (rc < 0)
        return rc;
    if (d.missing > 1 || (d.missing == 1 && p->depth == 1))
        return xids_xs_state_bad(in, "a transaction's node without its directory");
    rc = count_reserve(in, v, perms);
    if (rc == 0)
        rc = xids_store_stack_reserve(s, d.visits + 1);
    if (rc == 0 && d.missing == 0) {
        rc = count_reserve(in, v, (*d.slot)->perms);
        if (rc == 0) {
            count(in, v, *d.slot, -1);
            rc = xids_store_node_set_value(s, d.slot, value, value_len);
        }
    } else if (rc == 0) {
        n = xids_store_node_new(s, &p->parts[p->depth - 1], part_name(p, p->depth - 1), perms, value, value_len);
        rc = n == NULL ? -XEN_ENOMEM : 0;
    }
    if (rc < 0)
        return rc;
    if (n != NULL) {
        *d.slot = n;
        d.dir->nchildren++;
        d.dir->childbytes += n->name_len + 1u;
    } else {
        n = *d.slot;
        perms->refs++;
        xids_store_perms_unref(s, n->perms);
        n->perms = perms;
    }
    count(in, v, n, 1);
    n->seq = seq;
    n->generation = generation;
    return 0;
}

int xids_xs_state_load_put(struct state_in *in, struct state_body *b)
{
    uint64_t seq = take64(b), generation = take64(b);
    uint32_t tree = take32(b), path_len = take16(b), value_len = take16(b), n = take32(b);
    struct perms *perms;
    struct view v;
    if (b->broken || value_len > XIDS_XSWIRE_PAYLOAD_MAX || seq == 0 || generation == 0 || seq > in->newest ||
        generation > in->newest || !tree_of(in, &v, tree))
        return xids_xs_state_bad(in, "a transaction's node that cannot be");
    int rc = xids_xs_state_take_perms(in, &perms, b, n);
    if (rc < 0)
        return rc;
    const char *path = (const char *)take_bytes(b, path_len);
    const uint8_t *value = take_bytes(b, value_len);
    if (b->broken || xids_store_path_set(in->s->store, in->s->path, path, path_len) < 0)
        rc = xids_xs_state_bad(in, "a transaction's node whose path is none");
    else
        rc = put(in, &v, perms, seq, generation, value, value_len);
    xids_store_perms_unref(in->s->store, perms);
    return rc;
}

/* What a subtree that has been taken out held, no more counted. */
static int uncount(struct state_in *in, const struct view *v, struct xids_store_node *root, bool reserve)
{
    struct step *stack = in->s->store->stack;
    uint32_t sp = 0;
    stack[sp++].n = root;
    while (v->counts != NULL && sp > 0) {
        struct xids_store_node *n = stack[--sp].n;
        int rc = reserve ? count_reserve(in, v, n->perms) : 0;
        if (rc < 0)
            return rc;
        if (!reserve)
            count(in, v, n, -1);
        for (unsigned int k = 0; n != root && k < 2; k++) {
            if (n->kid[k] != NULL)
                stack[sp++].n = n->kid[k];
        }
        if (n->children != NULL)
            stack[sp++].n = n->children;
    }
    return 0;
}

int xids_xs_state_load_gone(struct state_in *in, struct state_body *b)
{
    struct xids_store *s = in->s->store;
    const struct xids_store_path *p = in->s->path;
    uint32_t tree = take32(b), len = take32(b);
    const char *path = (const char *)take_bytes(b, len);
    struct descent d;
    struct view v;
    if (b->broken || !tree_of(in, &v, tree) || xids_store_path_set(s, in->s->path, path, len) < 0)
        return xids_xs_state_bad(in, "a transaction's removal that cannot be");
    int rc = xids_store_descend(s, v.top, &d, p, p->depth, 0);
    if (rc < 0)
        return rc;
    if (d.missing > 0 || p->depth < 2)
        return xids_xs_state_bad(in, "a transaction's removal of what is not there");
    struct xids_store_node *removed = NULL;
    uint64_t generation = d.dir->generation, newest = s->generation;
    rc = uncount(in, &v, *d.slot, true);
    if (rc == 0)
        rc = xids_store_unlink(s, &removed, d.slot, d.dir);
    if (rc < 0)
        return rc;
    d.dir->generation = generation;
    s->generation = newest;
    (void)uncount(in, &v, removed, false);
    xids_store_node_unref(s, removed);
    return 0;
}
