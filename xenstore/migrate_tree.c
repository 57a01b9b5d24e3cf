/* SPDX-License-Identifier: ISC */
/*
 * Trees on their way into the state stream: the one in force node by node, a directory before what is in it and
 * siblings in the order of their creation; and a snapshot as what makes it out of another tree. Snapshots share what
 * did not change, so comparing looks only at what did.
 */
#include "xenstore/state.h"

#define NODE_FIXED 16u
#define PUT_FIXED 28u

static void push(struct state_out *o, const struct xids_store_node *was, const struct xids_store_node *n, uint32_t base)
{
    void *items = o->items;
    if (o->error == 0 && o->nitems == o->cap_items) {
        o->error = xids_xs_state_grow(o->s, &items, &o->cap_items, o->nitems, sizeof(*o->items));
        o->items = items;
    }
    if (o->error == 0)
        o->items[o->nitems++] = (struct state_item){.order = n->seq, .was = was, .n = n, .base = base};
}

/* Sorts the last count items, the newest first: they are taken from the end. */
static void sort_last(struct state_out *o, uint32_t count)
{
    if (count < 2 || o->error < 0)
        return;
    void *spare = o->spare;
    while (o->cap_spare < count && o->error == 0) {
        o->error = xids_xs_state_grow(o->s, &spare, &o->cap_spare, o->cap_spare, sizeof(*o->spare));
        o->spare = spare;
    }
    if (o->error < 0)
        return;
    struct state_item *v = o->items + (o->nitems - count), *to = o->spare;
    for (uint32_t width = 1; width < count; width *= 2) {
        for (uint32_t start = 0; start < count; start += 2 * width) {
            uint32_t mid = count - start > width ? start + width : count;
            uint32_t end = count - start > 2 * width ? start + 2 * width : count;
            uint32_t a = start, b = mid;
            for (uint32_t i = start; i < end; i++)
                to[i] = a < mid && (b >= end || v[a].order >= v[b].order) ? v[a++] : v[b++];
        }
        struct state_item *swap = v;
        v = to;
        to = swap;
    }
    if (v == o->spare)
        __builtin_memcpy(to, v, count * sizeof(*v));
}

/* Writes the name of a node behind the path that is above it: the length of its path. The root's own is empty here. */
static uint32_t enter(struct state_out *o, const struct xids_store_node *n, uint32_t base, bool top)
{
    uint32_t len = base;
    if (!top)
        o->path[len++] = '/';
    __builtin_memcpy(o->path + len, n->bytes, n->name_len);
    return len + n->name_len;
}

/* ---- the tree in force ---- */

static void put_node(struct state_out *o, const struct xids_store_node *n, uint32_t len)
{
    size_t body = NODE_FIXED + 4 * (size_t)n->perms->count + len + 1 + n->value_len;
    uint8_t *at = xids_xs_state_record(o, STATE_OUR_AGE, 16);
    if (at == NULL)
        return;
    put64(put64(at, n->seq), n->generation);
    at = xids_xs_state_record(o, STATE_NODE, body);
    if (at == NULL)
        return;
    at = put32(put32(at, 0), 0);
    at = put16(put16(at, len + 1), n->value_len);
    at = put16(put16(at, 0), n->perms->count);
    at = xids_xs_state_put_perms(at, n->perms);
    at = put_bytes(at, o->path, len);
    *at++ = '\0';
    put_bytes(at, node_value(n), n->value_len);
}

static void push_children(struct state_out *o, const struct xids_store_node *dir, uint32_t base)
{
    struct step *stack = o->s->store->stack;
    uint32_t sp = 0, before = o->nitems;
    if (dir->children != NULL)
        stack[sp++].n = dir->children;
    while (sp > 0) {
        struct xids_store_node *c = stack[--sp].n;
        push(o, NULL, c, base);
        for (unsigned int k = 0; k < 2; k++) {
            if (c->kid[k] != NULL)
                stack[sp++].n = c->kid[k];
        }
    }
    if (o->error == 0)
        sort_last(o, o->nitems - before);
}

void xids_xs_state_nodes_start(struct state_out *o, const struct xids_store_node *top)
{
    o->nitems = 0;
    push_children(o, top, UINT32_MAX);
}

bool xids_xs_state_nodes_some(struct state_out *o, unsigned int max)
{
    for (; max > 0 && o->nitems > 0 && o->error == 0; max--) {
        struct state_item item = o->items[--o->nitems];
        bool first = item.base == UINT32_MAX;
        uint32_t len = enter(o, item.n, first ? 0 : item.base, first);
        if (len == 0) {
            o->path[0] = '/';
            put_node(o, item.n, 1);
        } else {
            put_node(o, item.n, len);
        }
        push_children(o, item.n, len);
    }
    return o->nitems > 0;
}

void xids_xs_state_save_nodes(struct state_out *o)
{
    xids_xs_state_nodes_start(o, o->s->store->top);
    while (o->error == 0 && xids_xs_state_nodes_some(o, UINT32_MAX)) {
    }
}

/* ---- what makes one tree out of another ---- */

static void put_change(struct state_out *o, enum state_tree tree, const struct xids_store_node *n, uint32_t len)
{
    size_t body = PUT_FIXED + 4 * (size_t)n->perms->count + len + n->value_len;
    uint8_t *at = xids_xs_state_record(o, STATE_OUR_TX_PUT, body);
    if (at == NULL)
        return;
    at = put64(put64(at, n->seq), n->generation);
    at = put32(at, tree);
    at = put16(put16(at, len), n->value_len);
    at = put32(at, n->perms->count);
    at = xids_xs_state_put_perms(at, n->perms);
    at = put_bytes(at, o->path, len);
    put_bytes(at, node_value(n), n->value_len);
}

static void put_gone(struct state_out *o, enum state_tree tree, uint32_t len)
{
    uint8_t *at = xids_xs_state_record(o, STATE_OUR_TX_GONE, 8 + (size_t)len);
    if (at != NULL)
        put_bytes(put32(put32(at, tree), len), o->path, len);
}

static bool same_self(const struct xids_store_node *a, const struct xids_store_node *b)
{
    return a->generation == b->generation && a->perms == b->perms && a->value_len == b->value_len &&
           __builtin_memcmp(node_value(a), node_value(b), a->value_len) == 0;
}

/*
 * Lists the children of a that are not the very same as in b at the same place, or those that b has not: the parts of
 * the two search trees that are one in memory are left out.
 */
static void push_different(struct state_out *o, const struct xids_store_node *a, const struct xids_store_node *b,
                           uint32_t base, bool gone)
{
    struct step *stack = o->s->store->stack;
    uint32_t sp = 0, first = o->nitems;
    stack[sp++].n = a->children;
    stack[sp++].n = b != NULL ? b->children : NULL;
    while (sp > 0 && o->error == 0) {
        const struct xids_store_node *y = stack[--sp].n, *x = stack[--sp].n;
        if (x == NULL || x == y)
            continue;
        for (unsigned int k = 0; k < 2; k++) {
            if (x->kid[k] != NULL) {
                stack[sp++].n = x->kid[k];
                stack[sp++].n = y != NULL ? y->kid[k] : NULL;
            }
        }
        const struct xids_store_node *other = b != NULL ? xids_store_child(b, x->hash, x->bytes, x->name_len) : NULL;
        bool same = other != NULL && other->seq == x->seq;
        if (gone ? !same : other != x)
            push(o, same ? other : NULL, x, base);
        if (o->error == 0 && o->nitems > first)
            o->items[o->nitems - 1].gone = gone;
    }
    if (o->error == 0)
        sort_last(o, o->nitems - first);
}

void xids_xs_state_save_changes(struct state_out *o, enum state_tree tree, const struct xids_store_node *from,
                                const struct xids_store_node *to)
{
    if (from == to)
        return;
    o->nitems = 0;
    /* What lies at the top is there in every tree. */
    push_different(o, to, from, UINT32_MAX, false);
    while (o->nitems > 0 && o->error == 0) {
        struct state_item item = o->items[--o->nitems];
        bool first = item.base == UINT32_MAX;
        uint32_t len = enter(o, item.n, first ? 0 : item.base, first);
        if (item.gone) {
            put_gone(o, tree, len);
            continue;
        }
        if (item.was == NULL || !same_self(item.was, item.n)) {
            o->path[0] = len == 0 ? '/' : o->path[0];
            put_change(o, tree, item.n, len == 0 ? 1 : len);
        }
        push_different(o, item.n, item.was, len, false);
        /* Taken from the end, so these come first: one of the same name may follow. */
        if (item.was != NULL)
            push_different(o, item.was, item.n, len, true);
    }
}
