/* SPDX-License-Identifier: ISC */
/* Nodes: making, sharing, freeing; finding and linking children. */
#include "xenstore/store_impl.h"

void *xids_store_get(struct xids_store *s, size_t size)
{
    return s->alloc.get(s->alloc.ctx, size);
}

void xids_store_put(struct xids_store *s, void *mem, size_t size)
{
    if (mem != NULL)
        s->alloc.put(s->alloc.ctx, mem, size);
}

static size_t bytes_of(const struct xids_store_node *n)
{
    return node_bytes_for(n->name_len, n->value_len);
}

size_t xids_store_cost(size_t name_len, size_t value_len, const struct perms *perms)
{
    return node_bytes_for(name_len, value_len) + xids_store_perms_bytes(perms);
}

size_t xids_store_node_cost(const struct xids_store_node *n)
{
    return xids_store_cost(n->name_len, n->value_len, n->perms);
}

struct xids_store_node *xids_store_node_new(struct xids_store *s, const struct part *part, const char *name,
                                            struct perms *perms, const void *value, size_t len)
{
    struct xids_store_node *n = xids_store_get(s, node_bytes_for(part->len, len));
    if (n == NULL)
        return NULL;
    __builtin_memset(n, 0, offsetof(struct xids_store_node, bytes));
    s->made += node_bytes_for(part->len, len);
    n->refs = 1;
    n->hash = part->hash;
    n->perms = perms;
    perms->refs++;
    n->mask = perms->mask;
    n->seq = n->generation = ++s->generation;
    n->name_len = part->len;
    n->value_len = (uint16_t)len;
    __builtin_memcpy(n->bytes, name, part->len);
    if (len > 0)
        __builtin_memcpy(n->bytes + part->len, value, len);
    return n;
}

/* Freed a few at a time, without recursion: the dead wait in a list that runs through them. */
void xids_store_node_unref(struct xids_store *s, struct xids_store_node *n)
{
    if (n == NULL || --n->refs > 0)
        return;
    n->seq = (uint64_t)(uintptr_t)s->dead;
    s->dead = n;
}

bool xids_store_reap(struct xids_store *s, unsigned int max)
{
    xids_store_tx_lose(s);
    (void)xids_store_settle(s, max);
    xids_store_tx_reap(s, max);
    while (s->dead != NULL && max-- > 0) {
        struct xids_store_node *n = s->dead;
        s->dead = (struct xids_store_node *)(uintptr_t)n->seq;
        xids_store_node_unref(s, n->kid[0]);
        xids_store_node_unref(s, n->kid[1]);
        xids_store_node_unref(s, n->children);
        xids_store_perms_unref(s, n->perms);
        xids_store_put(s, n, bytes_of(n));
    }
    return xids_store_busy(s);
}

bool xids_store_busy(const struct xids_store *s)
{
    return s->gone != NULL || s->over != NULL || s->dead != NULL;
}

static void share(struct xids_store_node *n)
{
    if (n != NULL)
        n->refs++;
}

/* Makes *slot a node that nobody else refers to. What it points to is then shared in its place. */
int xids_store_node_own(struct xids_store *s, struct xids_store_node **slot)
{
    struct xids_store_node *n = *slot;
    if (n->refs == 1)
        return 0;
    struct xids_store_node *copy = xids_store_get(s, bytes_of(n));
    if (copy == NULL)
        return -XEN_ENOMEM;
    __builtin_memcpy(copy, n, offsetof(struct xids_store_node, bytes) + n->name_len + n->value_len);
    s->made += bytes_of(n);
    copy->refs = 1;
    share(copy->kid[0]);
    share(copy->kid[1]);
    share(copy->children);
    copy->perms->refs++;
    n->refs--;
    *slot = copy;
    return 0;
}

int xids_store_node_set_value(struct xids_store *s, struct xids_store_node **slot, const void *value, size_t len)
{
    struct xids_store_node *n = *slot;
    size_t old_bytes = bytes_of(n), new_bytes = node_bytes_for(n->name_len, len);
    if (old_bytes != new_bytes) {
        struct xids_store_node *moved = xids_store_get(s, new_bytes);
        if (moved == NULL)
            return -XEN_ENOMEM;
        __builtin_memcpy(moved, n, offsetof(struct xids_store_node, bytes) + n->name_len);
        xids_store_put(s, n, old_bytes);
        s->made += new_bytes - old_bytes;
        s->removed += new_bytes < old_bytes ? old_bytes - new_bytes : 0;
        *slot = n = moved;
    }
    n->value_len = (uint16_t)len;
    if (len > 0)
        __builtin_memcpy(n->bytes + n->name_len, value, len);
    return 0;
}

struct xids_store_node *xids_store_child(const struct xids_store_node *dir, uint32_t hash, const char *name,
                                         uint32_t len)
{
    struct xids_store_node *n = dir->children;
    for (unsigned int d = 0; n != NULL && !node_is(n, hash, name, len); d++)
        n = n->kid[way(hash, d)];
    return n;
}

struct xids_store_node *xids_store_find(const struct xids_store_node *top, const struct xids_store_path *p,
                                        uint32_t depth)
{
    struct xids_store_node *n = NULL;
    for (uint32_t i = 0; i < depth; i++) {
        n = xids_store_child(i == 0 ? top : n, p->parts[i].hash, part_name(p, i), p->parts[i].len);
        if (n == NULL)
            break;
    }
    return n;
}

int xids_store_descend(struct xids_store *s, struct xids_store_node **top, struct descent *d,
                       const struct xids_store_path *p, uint32_t depth, uint64_t mask)
{
    *d = (struct descent){.slot = top, .missing = depth, .visits = 1};
    int rc = xids_store_node_own(s, top);
    if (rc < 0)
        return rc;
    (*top)->mask |= mask;
    for (uint32_t i = 0; i < depth; i++) {
        const struct part *part = &p->parts[i];
        d->dir = *d->slot;
        d->slot = &d->dir->children;
        for (unsigned int level = 0; *d->slot != NULL; level++) {
            rc = xids_store_node_own(s, d->slot);
            if (rc < 0)
                return rc;
            d->visits++;
            (*d->slot)->mask |= mask;
            if (node_is(*d->slot, part->hash, part_name(p, i), part->len))
                break;
            d->slot = &(*d->slot)->kid[way(part->hash, level)];
        }
        if (*d->slot == NULL)
            break;
        d->missing--;
    }
    return 0;
}

int xids_store_unlink(struct xids_store *s, struct xids_store_node **removed, struct xids_store_node **slot,
                      struct xids_store_node *dir)
{
    struct xids_store_node *n = *slot, *heir = NULL;
    if (n->kid[0] != NULL || n->kid[1] != NULL) {
        /* Any leaf below may take its place: its hash agrees with the bits of the way down to here. */
        struct xids_store_node **leaf = slot;
        do {
            leaf = &(*leaf)->kid[(*leaf)->kid[0] == NULL];
            int rc = xids_store_node_own(s, leaf);
            if (rc < 0)
                return rc;
        } while ((*leaf)->kid[0] != NULL || (*leaf)->kid[1] != NULL);
        heir = *leaf;
        *leaf = NULL;
        heir->kid[0] = n->kid[0];
        heir->kid[1] = n->kid[1];
        heir->mask |= n->mask;
        n->kid[0] = n->kid[1] = NULL;
    }
    *slot = heir;
    dir->nchildren--;
    dir->childbytes -= n->name_len + 1u;
    dir->generation = ++s->generation;
    *removed = n;
    return 0;
}

int xids_store_stack_reserve(struct xids_store *s, uint32_t visits)
{
    /* Each node on the way down leaves up to two siblings behind and the mark of its own leaving. */
    uint32_t need = 4 * visits + 8;
    if (need <= s->stack_cap)
        return 0;
    need += need / 2;
    struct step *stack = xids_store_get(s, need * sizeof(*stack));
    struct xids_store_node **settling = xids_store_get(s, need * sizeof(struct xids_store_node *));
    if (stack == NULL || settling == NULL) {
        xids_store_put(s, stack, need * sizeof(*stack));
        xids_store_put(s, settling, need * sizeof(struct xids_store_node *));
        return -XEN_ENOMEM;
    }
    if (s->nsettling > 0)
        __builtin_memcpy(settling, s->settling, s->nsettling * sizeof(struct xids_store_node *));
    xids_store_put(s, s->stack, s->stack_cap * sizeof(*stack));
    xids_store_put(s, s->settling, s->stack_cap * sizeof(struct xids_store_node *));
    s->stack = stack;
    s->settling = settling;
    s->stack_cap = need;
    return 0;
}
