/* SPDX-License-Identifier: ISC */
/* What nodes each domain owns, and their bytes: in force, and as a transaction would change it. */
#include "xenstore/store_impl.h"

#define DOMIDS_PER_TABLE 256u

static struct count *find(const struct counts *c, uint16_t domid)
{
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->v[i].domid == domid)
            return &c->v[i];
    }
    return NULL;
}

/* Makes sure that xids_store_count_add for this domain cannot fail. c NULL: the tree in force. */
int xids_store_count_reserve(struct xids_store *s, struct counts *c, uint16_t domid)
{
    if (s->owned[domid >> 8] == NULL) {
        struct owned *table = xids_store_get(s, DOMIDS_PER_TABLE * sizeof(*table));
        if (table == NULL)
            return -XEN_ENOMEM;
        __builtin_memset(table, 0, DOMIDS_PER_TABLE * sizeof(*table));
        s->owned[domid >> 8] = table;
    }
    if (c == NULL || find(c, domid) != NULL)
        return 0;
    if (c->n == c->cap) {
        uint32_t cap = c->cap == 0 ? 4 : c->cap * 2;
        struct count *v = xids_store_get(s, cap * sizeof(*v));
        if (v == NULL)
            return -XEN_ENOMEM;
        if (c->n > 0)
            __builtin_memcpy(v, c->v, c->n * sizeof(*v));
        xids_store_put(s, c->v, c->cap * sizeof(*v));
        c->v = v;
        c->cap = cap;
    }
    c->v[c->n++] = (struct count){.domid = domid};
    return 0;
}

void xids_store_count_add(struct xids_store *s, struct counts *c, uint16_t domid, int32_t nodes, int64_t bytes)
{
    struct count *at = c != NULL ? find(c, domid) : NULL;
    if (at != NULL) {
        at->delta += nodes;
        at->bytes += bytes;
    }
    if (c != NULL)
        return;
    struct owned *o = &s->owned[domid >> 8][domid & 0xff];
    o->nodes += (uint32_t)nodes;
    o->bytes += (uint64_t)bytes;
    s->nodes += (uint32_t)nodes;
    s->removed += nodes < 0 ? (uint64_t)-bytes : 0;
    s->bytes += (uint64_t)bytes;
}

struct count xids_store_count_delta(const struct counts *c, uint16_t domid)
{
    const struct count *at = c != NULL ? find(c, domid) : NULL;
    return at != NULL ? *at : (struct count){.domid = domid};
}

void xids_store_count_free(struct xids_store *s, struct counts *c)
{
    xids_store_put(s, c->v, c->cap * sizeof(*c->v));
    xids_store_gone_free(s, c->gone);
    *c = (struct counts){0};
}

static struct owned owned_by(const struct xids_store *s, uint16_t domid)
{
    const struct owned *table = s->owned[domid >> 8];
    return table != NULL ? table[domid & 0xff] : (struct owned){0};
}

uint32_t xids_store_owned(const struct xids_store *s, uint16_t domid)
{
    return owned_by(s, domid).nodes;
}

uint64_t xids_store_owned_bytes(const struct xids_store *s, uint16_t domid)
{
    return owned_by(s, domid).bytes;
}

uint32_t xids_store_nodes(const struct xids_store *s)
{
    return s->nodes;
}

uint64_t xids_store_work(const struct xids_store *s)
{
    return s->work;
}

uint64_t xids_store_bytes(const struct xids_store *s)
{
    return s->bytes;
}

int xids_store_room(struct xids_store *s, const struct xids_store_who *who, int64_t more, uint64_t freed)
{
    if (who->privileged || more <= 0)
        return 0;
    uint64_t held = owned_by(s, who->domid).bytes + (who->usage != NULL ? who->usage->held : 0);
    if (!beyond(who->limits->memory, held - freed + (uint64_t)more))
        return 0;
    return xids_store_uncounted(s, who) ? XIDS_STORE_LATER : refuse(s, XIDS_STORE_LIMIT_MEMORY);
}

enum xids_store_limit xids_store_refused(const struct xids_store *s)
{
    return s->refused;
}
