/* SPDX-License-Identifier: ISC */
/*
 * The changes: what each does to a tree, with rights and limits. Each makes everything that can fail first: the way
 * down its own, the new nodes, the counters; then it links, which cannot fail.
 */
#include "xenstore/store_impl.h"

/* What C xenstored counts for a node besides its value and the names of its children. */
#define NODE_SIZE_FIXED 16u
#define NODE_SIZE_PERM 8u

unsigned int xids_store_access_at(const struct xids_store_node *top, const struct xids_store_who *who,
                                  const struct xids_store_path *p, const struct xids_store_node **found)
{
    const struct xids_store_node *n = top;
    for (uint32_t i = 0; i < p->depth; i++) {
        const struct xids_store_node *child = xids_store_child(n, p->parts[i].hash, part_name(p, i), p->parts[i].len);
        if (child == NULL) {
            *found = NULL;
            return xids_store_access(n->perms, who);
        }
        n = child;
    }
    *found = n;
    return xids_store_access(n->perms, who);
}

static bool too_big(const struct xids_store_who *who, const struct perms *perms, size_t value_len, size_t childbytes)
{
    if (who->privileged)
        return false;
    size_t size = NODE_SIZE_FIXED + NODE_SIZE_PERM * perms->count + value_len + childbytes;
    if (beyond(who->limits->node_size, size + 1))
        return true;
    if (who->usage != NULL && size > who->usage->node_size)
        who->usage->node_size = (uint32_t)size;
    return false;
}

static int replace(struct xids_store *s, const struct view *v, struct change *c, const struct xids_store_who *who,
                   const struct xids_store_path *p, const struct xids_store_node *n, const void *value, size_t len)
{
    struct descent d;
    uint16_t owner = n->perms->e[0].domid;
    int64_t more = (int64_t)node_bytes_for(n->name_len, len) - (int64_t)node_bytes_for(n->name_len, n->value_len);
    if (too_big(who, n->perms, len, n->childbytes))
        return refuse(s, XIDS_STORE_LIMIT_NODE_SIZE);
    /* What a transaction makes is its own until the end, when it is asked for. */
    int rc = more > 0 && v->counts == NULL && owner == who->domid ? xids_store_room(s, who, more, 0) : 0;
    if (rc == 0 && more != 0)
        rc = xids_store_count_reserve(s, v->counts, owner);
    if (rc == 0)
        rc = xids_store_descend(s, v->top, &d, p, p->depth, 0);
    if (rc == 0)
        rc = xids_store_node_set_value(s, d.slot, value, len);
    if (rc == 0) {
        (*d.slot)->generation = ++s->generation;
        c->node = *d.slot;
        c->dir = p->depth > 1 ? d.dir : NULL;
    }
    if (rc == 0 && more != 0)
        xids_store_count_add(s, v->counts, owner, 0, more);
    return rc;
}

/* The permissions of a new node: its directory's, but guests own what they create. */
static struct perms *inherited(struct xids_store *s, struct perms *from, const struct xids_store_who *who)
{
    if (who->privileged || from->e[0].domid == who->domid) {
        from->refs++;
        return from;
    }
    struct xids_xs_perm e[32], *list = e;
    size_t bytes = from->count * sizeof(*e);
    if (bytes > sizeof(e)) {
        list = xids_store_get(s, bytes);
        if (list == NULL)
            return NULL;
    }
    for (uint32_t i = 0; i < from->count; i++)
        list[i] = from->e[i];
    list[0].domid = who->domid;
    struct perms *perms = xids_store_perms_get(s, list, from->count);
    if (list != e)
        xids_store_put(s, list, bytes);
    return perms;
}

/* The missing parts of a path from the last up to the one numbered first, each the only child of the one above. */
static struct xids_store_node *chain_new(struct xids_store *s, const struct xids_store_path *p, uint32_t first,
                                         struct perms *perms, const void *value, size_t len)
{
    struct xids_store_node *chain = NULL;
    for (uint32_t i = p->depth; i-- > first;) {
        bool last = i + 1 == p->depth;
        struct xids_store_node *n = xids_store_node_new(s, &p->parts[i], part_name(p, i), perms, value, last ? len : 0);
        if (n == NULL) {
            xids_store_node_unref(s, chain);
            return NULL;
        }
        if (chain != NULL) {
            n->children = chain;
            n->nchildren = 1;
            n->childbytes = chain->name_len + 1u;
        }
        chain = n;
    }
    return chain;
}

/* The limits on the missing parts of a path, from the one numbered first on, below dir. */
static int may_create(struct xids_store *s, const struct view *v, const struct xids_store_who *who,
                      const struct xids_store_path *p, uint32_t first, const struct xids_store_node *dir,
                      const struct perms *perms, size_t len, int64_t cost)
{
    if (who->privileged)
        return 0;
    const struct count delta = xids_store_count_delta(v->counts, who->domid);
    int64_t owned = (int64_t)xids_store_owned(s, who->domid) + delta.delta;
    owned += p->depth - first;
    /* Less than none: what a transaction has removed others have removed meanwhile as well. */
    if (owned > 0 && beyond(who->limits->nodes, (uint64_t)owned))
        return xids_store_uncounted(s, who) ? XIDS_STORE_LATER : refuse(s, XIDS_STORE_LIMIT_NODES);
    bool big = too_big(who, perms, len, 0) ||
               too_big(who, dir->perms, dir->value_len, dir->childbytes + p->parts[first].len + 1u);
    for (uint32_t i = first + 1; i < p->depth && !big; i++)
        big = too_big(who, perms, 0, p->parts[i].len + 1u);
    if (big)
        return refuse(s, XIDS_STORE_LIMIT_NODE_SIZE);
    return v->counts == NULL ? xids_store_room(s, who, cost, 0) : 0;
}

static int create(struct xids_store *s, const struct view *v, struct change *c, const struct xids_store_who *who,
                  const struct xids_store_path *p, const void *value, size_t len)
{
    struct xids_store_node *dir = *v->top;
    uint32_t have = 0;
    for (;; have++) {
        const struct part *part = &p->parts[have];
        struct xids_store_node *n = xids_store_child(dir, part->hash, part_name(p, have), part->len);
        if (n == NULL)
            break;
        dir = n;
    }
    if (have == 0)
        return -XEN_EINVAL; /* another top-level name: special nodes are not made by writing */
    uint32_t missing = p->depth - have;
    struct perms *perms = inherited(s, dir->perms, who);
    if (perms == NULL)
        return -XEN_ENOMEM;
    uint16_t owner = perms->e[0].domid;
    int64_t cost = 0;
    for (uint32_t i = have; i < p->depth; i++)
        cost += (int64_t)xids_store_cost(p->parts[i].len, i + 1 == p->depth ? len : 0, perms);
    struct descent d;
    struct xids_store_node *chain = NULL;
    int rc = may_create(s, v, who, p, have, dir, perms, len, cost);
    if (rc == 0)
        rc = xids_store_count_reserve(s, v->counts, owner);
    if (rc == 0)
        rc = xids_store_descend(s, v->top, &d, p, p->depth, perms->mask);
    if (rc == 0)
        rc = xids_store_stack_reserve(s, d.visits + missing);
    if (rc != 0)
        goto out;
    chain = chain_new(s, p, have, perms, value, len);
    if (chain == NULL) {
        rc = -XEN_ENOMEM;
        goto out;
    }
    *d.slot = chain;
    d.dir->nchildren++;
    d.dir->childbytes += chain->name_len + 1u;
    d.dir->generation = ++s->generation;
    xids_store_count_add(s, v->counts, owner, (int32_t)missing, cost);
    c->dir = d.dir;
    for (c->node = chain; c->node->children != NULL; c->node = c->node->children)
        c->dir = c->node;
out:
    xids_store_perms_unref(s, perms);
    return rc;
}

int xids_store_do_write(struct xids_store *s, const struct view *v, struct change *c, const struct xids_store_who *who,
                        const struct xids_store_path *p, const void *value, size_t len, bool mkdir)
{
    const struct xids_store_node *n;
    *c = (struct change){0};
    if ((xids_store_access_at(*v->top, who, p, &n) & XIDS_XS_WRITE) == 0)
        return -XEN_EACCES;
    if (n != NULL && mkdir)
        return 0;
    int rc = n != NULL ? replace(s, v, c, who, p, n, value, len) : create(s, v, c, who, p, value, len);
    c->created = c->done = rc == 0;
    if (n != NULL)
        c->created = false;
    return rc;
}

/* Each node of a subtree (without the siblings of its root) in turn. */
static uint32_t walk_start(struct xids_store *s, struct xids_store_node *root)
{
    s->stack[0] = (struct step){.n = root};
    return 1;
}

static struct xids_store_node *walk_next(struct xids_store *s, uint32_t *sp, const struct xids_store_node *root)
{
    if (*sp == 0)
        return NULL;
    struct xids_store_node *n = s->stack[--*sp].n;
    if (n != root) {
        if (n->kid[0] != NULL)
            s->stack[(*sp)++].n = n->kid[0];
        if (n->kid[1] != NULL)
            s->stack[(*sp)++].n = n->kid[1];
    }
    if (n->children != NULL)
        s->stack[(*sp)++].n = n->children;
    return n;
}

/* In force, whoever owns a node has his counter; a transaction may not have it yet. */
static int count_below(struct xids_store *s, struct counts *counts, struct xids_store_node *root)
{
    const struct xids_store_node *n;
    for (uint32_t sp = walk_start(s, root); counts != NULL && (n = walk_next(s, &sp, root)) != NULL;) {
        int rc = xids_store_count_reserve(s, counts, n->perms->e[0].domid);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void discount_below(struct xids_store *s, struct counts *counts, struct xids_store_node *root)
{
    const struct xids_store_node *n;
    for (uint32_t sp = walk_start(s, root); (n = walk_next(s, &sp, root)) != NULL;) {
        xids_store_count_add(s, counts, n->perms->e[0].domid, -1, -(int64_t)xids_store_node_cost(n));
        s->work++;
    }
}

/*
 * What is below is counted later. A guest's transaction counts at once, as what it removes makes room for what it
 * creates.
 */
int xids_store_do_rm(struct xids_store *s, const struct view *v, struct change *c, const struct xids_store_who *who,
                     const struct xids_store_path *p)
{
    const struct xids_store_node *found;
    *c = (struct change){0};
    if ((xids_store_access_at(*v->top, who, p, &found) & XIDS_XS_WRITE) == 0)
        return -XEN_EACCES;
    if (p->depth < 2)
        return found != NULL ? -XEN_EINVAL : -XEN_ENOENT;
    if (found == NULL)
        return xids_store_find(*v->top, p, p->depth - 1) != NULL ? 0 : -XEN_ENOENT;
    struct descent d;
    struct xids_store_node *root = NULL;
    struct gone *g = NULL;
    int rc = xids_store_descend(s, v->top, &d, p, p->depth, 0);
    if (rc < 0)
        return rc;
    root = *d.slot;
    if (root->children == NULL || (v->counts != NULL && !who->privileged)) {
        rc = count_below(s, v->counts, root);
    } else {
        g = xids_store_gone_new(s);
        rc = g != NULL ? 0 : -XEN_ENOMEM;
    }
    if (rc == 0)
        rc = xids_store_unlink(s, &root, d.slot, d.dir);
    if (rc < 0) {
        xids_store_gone_free(s, g);
        return rc;
    }
    if (g == NULL) {
        discount_below(s, v->counts, root);
    } else if (v->counts != NULL) {
        xids_store_gone_add(&v->counts->gone, g, root);
    } else {
        struct gone *list = NULL;
        xids_store_gone_add(&list, g, root);
        xids_store_gone_move(s, &list);
    }
    c->removed = root;
    c->done = true;
    return 0;
}

int xids_store_do_set_perms(struct xids_store *s, const struct view *v, const struct xids_store_who *who,
                            const struct xids_store_path *p, struct perms *perms)
{
    const struct xids_store_node *found;
    unsigned int access = xids_store_access_at(*v->top, who, p, &found);
    if (found == NULL)
        return (access & XIDS_XS_WRITE) != 0 ? -XEN_ENOENT : -XEN_EACCES;
    if (!xids_store_is_owner(found->perms, who))
        return -XEN_EACCES;
    uint16_t old = found->perms->e[0].domid, new = perms->e[0].domid;
    if (!who->privileged && old != new)
        return -XEN_EPERM;
    int64_t was = (int64_t)xids_store_node_cost(found);
    int64_t is = (int64_t)xids_store_cost(found->name_len, found->value_len, perms);
    if (too_big(who, perms, found->value_len, found->childbytes))
        return refuse(s, XIDS_STORE_LIMIT_NODE_SIZE);
    struct descent d;
    int rc = v->counts == NULL && new == who->domid ? xids_store_room(s, who, is - was, 0) : 0;
    if (rc == 0)
        rc = xids_store_count_reserve(s, v->counts, new);
    if (rc == 0)
        rc = xids_store_count_reserve(s, v->counts, old);
    if (rc == 0)
        rc = xids_store_descend(s, v->top, &d, p, p->depth, perms->mask);
    if (rc < 0)
        return rc;
    struct xids_store_node *n = *d.slot;
    perms->refs++;
    xids_store_perms_unref(s, n->perms);
    n->perms = perms;
    n->generation = ++s->generation;
    xids_store_count_add(s, v->counts, old, -1, -was);
    xids_store_count_add(s, v->counts, new, 1, is);
    return 0;
}
