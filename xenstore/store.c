/* SPDX-License-Identifier: ISC */
/* The store: making it, and its operations on the tree in force or in a transaction. */
#include "xenstore/store_impl.h"

#define PERMS_BUCKETS 64u
/* Nodes counted and freed along with each change: more than one change can leave behind, so that they never pile up. */
#define REAP_PER_CHANGE 64u

const struct xids_store_limits xids_store_limits_default = {
    .nodes = 1000,
    .node_size = 2048,
    .perms = 5,
    .tx_nodes = 1024,
    .memory = 2560u * 1024u,
};

/* ---- making ---- */

static int seed_node(struct xids_store *s, const char *path, const struct xids_xs_perm *e, uint32_t count)
{
    const struct xids_store_who who = {.domid = s->owner, .target = -1, .privileged = true};
    int rc = xids_store_path_set(s, s->scratch, path, xids_xswire_string(path).len - 1);
    if (rc < 0)
        return rc;
    struct perms *perms = xids_store_perms_get(s, e, count);
    if (perms == NULL)
        return -XEN_ENOMEM;
    const struct view v = {.top = &s->top};
    if (s->scratch->depth == 1) {
        /* The names at the top are made here and nowhere else. */
        struct descent d;
        struct xids_store_node *n = NULL;
        rc = xids_store_count_reserve(s, NULL, s->owner);
        if (rc == 0)
            rc = xids_store_descend(s, v.top, &d, s->scratch, 1, perms->mask);
        if (rc == 0)
            rc = xids_store_stack_reserve(s, d.visits + 1);
        if (rc == 0)
            n = xids_store_node_new(s, &s->scratch->parts[0], part_name(s->scratch, 0), perms, NULL, 0);
        if (n != NULL) {
            *d.slot = n;
            d.dir->nchildren++;
            d.dir->childbytes += n->name_len + 1u;
            xids_store_count_add(s, NULL, s->owner, 1, (int64_t)xids_store_node_cost(n));
        } else if (rc == 0) {
            rc = -XEN_ENOMEM;
        }
    } else {
        struct change c;
        rc = xids_store_do_write(s, &v, &c, &who, s->scratch, NULL, 0, true);
    }
    xids_store_perms_unref(s, perms);
    return rc;
}

static int populate(struct xids_store *s)
{
    const struct xids_xs_perm own = {.domid = s->owner, .access = XIDS_XS_NONE};
    const struct xids_xs_perm all[] = {own, {.domid = XIDS_XS_DOMID_ANY, .access = XIDS_XS_READ}};
    struct perms *perms = xids_store_perms_get(s, &own, 1);
    if (perms == NULL)
        return -XEN_ENOMEM;
    const struct part none = {0};
    s->top = xids_store_node_new(s, &none, "", perms, NULL, 0);
    xids_store_perms_unref(s, perms);
    if (s->top == NULL)
        return -XEN_ENOMEM;
    int rc = seed_node(s, "/", &own, 1);
    if (rc == 0)
        rc = seed_node(s, "/tool/xenstored", &own, 1);
    if (rc == 0)
        rc = seed_node(s, "@introduceDomain", &own, 1);
    if (rc == 0)
        rc = seed_node(s, "@releaseDomain", all, 2);
    return rc;
}

int xids_store_new(struct xids_store **store, const struct xids_store_config *config)
{
    const struct xids_alloc *a = &config->alloc;
    struct xids_store *s = a->get(a->ctx, sizeof(*s));
    if (s == NULL)
        return -XEN_ENOMEM;
    __builtin_memset(s, 0, sizeof(*s));
    s->alloc = *a;
    s->changed = config->changed;
    s->ctx = config->ctx;
    s->owner = config->owner;
    __builtin_memcpy(s->key, config->seed, sizeof(s->key));
    s->nameless = xids_store_hash(s->key, "", 0);
    s->perms_buckets = PERMS_BUCKETS;
    s->perms = xids_store_get(s, PERMS_BUCKETS * sizeof(struct perms *));
    int rc = -XEN_ENOMEM;
    if (s->perms != NULL) {
        __builtin_memset(s->perms, 0, PERMS_BUCKETS * sizeof(struct perms *));
        s->scratch = xids_store_path_new(s);
        rc = s->scratch == NULL ? -XEN_ENOMEM : populate(s);
    }
    if (rc < 0) {
        xids_store_free(s);
        return rc;
    }
    *store = s;
    return 0;
}

void xids_store_free(struct xids_store *s)
{
    if (s == NULL)
        return;
    xids_store_node_unref(s, s->top);
    while (xids_store_reap(s, UINT32_MAX)) {
    }
    for (unsigned int i = 0; i < 256; i++)
        xids_store_put(s, s->owned[i], 256 * sizeof(struct owned));
    xids_store_put(s, s->perms, s->perms_buckets * sizeof(struct perms *));
    xids_store_put(s, s->stack, s->stack_cap * sizeof(*s->stack));
    xids_store_put(s, s->settling, s->stack_cap * sizeof(struct xids_store_node *));
    xids_store_put(s, s->listing.bytes, s->listing.cap);
    xids_store_put(s, s->listing.sort, 2 * s->listing.cap_sort * sizeof(*s->listing.sort));
    xids_store_path_free(s, s->scratch);
    xids_store_put(s, s, sizeof(*s));
}

size_t xids_store_tables_bytes(const struct xids_store *s)
{
    size_t bytes = s->perms_buckets * sizeof(struct perms *) + s->stack_cap * sizeof(*s->stack) + s->listing.cap +
                   2 * s->listing.cap_sort * sizeof(*s->listing.sort);
    for (unsigned int i = 0; i < 256; i++)
        bytes += s->owned[i] != NULL ? 256 * sizeof(struct owned) : 0;
    return bytes;
}

/* ---- reading ---- */

/* The node that who may read, or why not. kinds is what he learns about it when he may. */
static int find_readable(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_node **found,
                         const struct xids_store_who *who, const struct xids_store_path *p, unsigned int kinds)
{
    const struct view v = xids_store_view(s, tx);
    const struct xids_store_node *n;
    bool readable = (xids_store_access_at(*v.top, who, p, &n) & XIDS_XS_READ) != 0;
    if (tx != NULL) {
        int rc = xids_store_tx_note_read(s, tx, who, p, READ_ACCESS | (readable && n != NULL ? kinds : 0));
        if (rc < 0)
            return rc;
    }
    if (!readable)
        return -XEN_EACCES;
    if (n == NULL)
        return -XEN_ENOENT;
    *found = n;
    return 0;
}

int xids_store_read(struct xids_store *s, struct xids_store_tx *tx, const char **value, size_t *len,
                    const struct xids_store_who *who, const struct xids_store_path *p)
{
    const struct xids_store_node *n;
    int rc = find_readable(s, tx, &n, who, p, READ_VALUE);
    if (rc < 0)
        return rc;
    *value = node_value(n);
    *len = n->value_len;
    return 0;
}

int xids_store_get_perms(struct xids_store *s, struct xids_store_tx *tx, const struct xids_xs_perm **perms,
                         const struct xids_store_who *who, const struct xids_store_path *p)
{
    const struct xids_store_node *n;
    int rc = find_readable(s, tx, &n, who, p, READ_PERMS);
    if (rc < 0)
        return rc;
    *perms = n->perms->e;
    return (int)n->perms->count;
}

/* Sorts by the order of creation. tmp has room for n as well. */
static void sort(struct xids_store_node **v, struct xids_store_node **tmp, uint32_t n)
{
    for (uint32_t width = 1; width < n; width *= 2) {
        for (uint32_t start = 0; start < n; start += 2 * width) {
            uint32_t mid = n - start > width ? start + width : n;
            uint32_t end = n - start > 2 * width ? start + 2 * width : n;
            uint32_t a = start, b = mid;
            for (uint32_t i = start; i < end; i++)
                tmp[i] = a < mid && (b >= end || v[a]->seq < v[b]->seq) ? v[a++] : v[b++];
        }
        __builtin_memcpy(v, tmp, n * sizeof(struct xids_store_node *));
    }
}

/* Room for at least need items of some size, keeping nothing. */
static void *regrow(struct xids_store *s, void *old, size_t old_bytes, size_t bytes)
{
    void *new = xids_store_get(s, bytes);
    if (new != NULL)
        xids_store_put(s, old, old_bytes);
    return new;
}

static int make_listing(struct xids_store *s, const struct xids_store_node *dir)
{
    struct listing *l = &s->listing;
    l->generation = 0;
    if (l->cap_sort < dir->nchildren) {
        uint32_t cap = dir->nchildren + dir->nchildren / 2 + 16;
        struct xids_store_node **v = regrow(s, l->sort, 2 * l->cap_sort * sizeof(*l->sort), 2 * cap * sizeof(*l->sort));
        if (v == NULL)
            return -XEN_ENOMEM;
        l->sort = v;
        l->cap_sort = cap;
    }
    if (l->cap < dir->childbytes) {
        size_t cap = dir->childbytes + dir->childbytes / 2 + 256;
        char *bytes = regrow(s, l->bytes, l->cap, cap);
        if (bytes == NULL)
            return -XEN_ENOMEM;
        l->bytes = bytes;
        l->cap = cap;
    }
    uint32_t n = 0, sp = 0;
    if (dir->children != NULL)
        s->stack[sp++].n = dir->children;
    while (sp > 0) {
        struct xids_store_node *c = s->stack[--sp].n;
        l->sort[n++] = c;
        for (unsigned int k = 0; k < 2; k++) {
            if (c->kid[k] != NULL)
                s->stack[sp++].n = c->kid[k];
        }
    }
    if (n > 1)
        sort(l->sort, l->sort + l->cap_sort, n);
    s->work += n;
    l->len = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct xids_store_node *c = l->sort[i];
        __builtin_memcpy(l->bytes + l->len, c->bytes, c->name_len);
        l->len += c->name_len;
        l->bytes[l->len++] = '\0';
    }
    l->generation = dir->generation;
    return 0;
}

int xids_store_list(struct xids_store *s, struct xids_store_tx *tx, const char **names, size_t *len,
                    uint64_t *generation, const struct xids_store_who *who, const struct xids_store_path *p)
{
    const struct xids_store_node *n;
    int rc = find_readable(s, tx, &n, who, p, READ_CHILDREN);
    if (rc < 0)
        return rc;
    if (s->listing.generation != n->generation) {
        rc = make_listing(s, n);
        if (rc < 0)
            return rc;
    }
    *names = s->listing.bytes != NULL ? s->listing.bytes : "";
    *len = s->listing.len;
    if (generation != NULL)
        *generation = n->generation;
    return 0;
}

/* ---- changing ---- */

void xids_store_fire(struct xids_store *s, const struct xids_store_event *event)
{
    if (s->changed != NULL)
        s->changed(s->ctx, event);
}

/*
 * After an operation in a transaction: a change is recorded, a refusal is something that the caller has learnt. made is
 * what s->made was before.
 */
static int settle(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                  const struct xids_store_path *p, int rc, bool done, uint64_t made)
{
    xids_store_tx_add_made(tx, s->made - made);
    if (rc == 0) {
        xids_store_tx_record_write(s, tx, done);
    } else if (rc < 0 && rc != -XEN_ENOMEM) {
        /* That the owner would have been another one tells who the owner is. */
        int noted = xids_store_tx_note_read(s, tx, who, p, READ_ACCESS | (rc == -XEN_EPERM ? READ_PERMS : 0));
        if (noted < 0)
            rc = noted;
    }
    return rc;
}

static int write_or_mkdir(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                          const struct xids_store_path *p, const void *value, size_t len, bool mkdir)
{
    const struct view v = xids_store_view(s, tx);
    struct change c;
    int rc = 0;
    (void)xids_store_reap(s, REAP_PER_CHANGE);
    uint64_t made = s->made;
    if (tx != NULL)
        rc = xids_store_tx_prepare_write(s, tx, who, p, mkdir ? WROTE_DIR : WROTE_VALUE, value, len, NULL);
    if (rc == 0)
        rc = xids_store_do_write(s, &v, &c, who, p, value, len, mkdir);
    else
        return rc;
    if (tx != NULL)
        return settle(s, tx, who, p, rc, rc == 0 && c.done, made);
    if (rc == 0 && c.done) {
        s->version++;
        const struct xids_store_event e = {.path = p, .node = c.node, .parent = c.dir};
        xids_store_fire(s, &e);
    }
    return rc;
}

int xids_store_write(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                     const struct xids_store_path *p, const void *value, size_t len)
{
    if (len > XIDS_XSWIRE_PAYLOAD_MAX || p->parts[0].len > 0)
        return -XEN_EINVAL;
    return write_or_mkdir(s, tx, who, p, value, len, false);
}

int xids_store_mkdir(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                     const struct xids_store_path *p)
{
    if (p->parts[0].len > 0)
        return -XEN_EINVAL;
    return write_or_mkdir(s, tx, who, p, NULL, 0, true);
}

int xids_store_rm(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                  const struct xids_store_path *p)
{
    const struct view v = xids_store_view(s, tx);
    struct change c = {0};
    int rc = 0;
    if (p->parts[0].len > 0)
        return -XEN_EINVAL;
    (void)xids_store_reap(s, REAP_PER_CHANGE);
    uint64_t made = s->made;
    if (tx != NULL)
        rc = xids_store_tx_prepare_write(s, tx, who, p, WROTE_REMOVAL, NULL, 0, NULL);
    if (rc == 0)
        rc = xids_store_do_rm(s, &v, &c, who, p);
    else
        return rc;
    if (tx != NULL) {
        xids_store_node_unref(s, c.removed);
        return settle(s, tx, who, p, rc, rc == 0 && c.done, made);
    }
    if (c.done) {
        s->version++;
        const struct xids_store_event e = {
            .path = p, .node = c.removed, .parent = xids_store_find(s->top, p, p->depth - 1), .removed = c.removed};
        xids_store_fire(s, &e);
        xids_store_node_unref(s, c.removed);
        (void)xids_store_settle(s, REAP_PER_CHANGE);
    }
    return rc;
}

int xids_store_set_perms(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                         const struct xids_store_path *p, const struct xids_xs_perm *perms, unsigned int count)
{
    const struct view v = xids_store_view(s, tx);
    if (count == 0)
        return -XEN_EINVAL;
    if (!who->privileged && beyond(who->limits->perms, count))
        return refuse(s, XIDS_STORE_LIMIT_PERMS);
    if (!who->privileged && who->usage != NULL && count > who->usage->perms)
        who->usage->perms = count;
    if ((perms[0].access & XIDS_STORE_IGNORED) != 0)
        return -XEN_ENOENT;
    (void)xids_store_reap(s, REAP_PER_CHANGE);
    uint64_t made = s->made;
    struct perms *list = xids_store_perms_get(s, perms, count);
    if (list == NULL)
        return -XEN_ENOMEM;
    const struct xids_store_node *n = xids_store_find(*v.top, p, p->depth);
    struct perms *before = n != NULL ? n->perms : NULL;
    int rc = 0;
    if (before != NULL)
        before->refs++;
    if (tx != NULL)
        rc = xids_store_tx_prepare_write(s, tx, who, p, WROTE_PERMS, NULL, 0, list);
    if (rc == 0) {
        rc = xids_store_do_set_perms(s, &v, who, p, list);
        if (tx != NULL)
            rc = settle(s, tx, who, p, rc, rc == 0, made);
    }
    if (rc == 0 && tx == NULL) {
        s->version++;
        const struct xids_store_event e = {.path = p,
                                           .before = before,
                                           .node = xids_store_find(s->top, p, p->depth),
                                           .parent = xids_store_find(s->top, p, p->depth - 1)};
        xids_store_fire(s, &e);
    }
    xids_store_perms_unref(s, before);
    xids_store_perms_unref(s, list);
    return rc;
}
