/* SPDX-License-Identifier: ISC */
/* How many nodes each domain owns: in force, and as a transaction would change it. */
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
        uint32_t *table = xids_store_get(s, DOMIDS_PER_TABLE * sizeof(uint32_t));
        if (table == NULL)
            return -XEN_ENOMEM;
        __builtin_memset(table, 0, DOMIDS_PER_TABLE * sizeof(uint32_t));
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

void xids_store_count_add(struct xids_store *s, struct counts *c, uint16_t domid, int32_t delta)
{
    struct count *at = c != NULL ? find(c, domid) : NULL;
    if (at != NULL)
        at->delta += delta;
    if (c != NULL)
        return;
    s->owned[domid >> 8][domid & 0xff] += (uint32_t)delta;
    s->nodes += (uint32_t)delta;
}

int32_t xids_store_count_delta(const struct counts *c, uint16_t domid)
{
    const struct count *at = c != NULL ? find(c, domid) : NULL;
    return at != NULL ? at->delta : 0;
}

void xids_store_count_free(struct xids_store *s, struct counts *c)
{
    xids_store_put(s, c->v, c->cap * sizeof(*c->v));
    xids_store_gone_free(s, c->gone);
    *c = (struct counts){0};
}

uint32_t xids_store_owned(const struct xids_store *s, uint16_t domid)
{
    return s->owned[domid >> 8] != NULL ? s->owned[domid >> 8][domid & 0xff] : 0;
}

uint32_t xids_store_nodes(const struct xids_store *s)
{
    return s->nodes;
}

uint64_t xids_store_work(const struct xids_store *s)
{
    return s->work;
}
