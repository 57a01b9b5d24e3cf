/* SPDX-License-Identifier: ISC */
/* Permissions: each list is kept once, and who may do what by it. */
#include "xenstore/store_impl.h"

static size_t bytes_for(uint32_t count)
{
    return FLEXIBLE(struct perms, e, count * sizeof(struct xids_xs_perm));
}

size_t xids_store_perms_bytes(const struct perms *p)
{
    return bytes_for(p->count);
}

/* Keyed, as guests choose the lists, and keep many of them in transactions. */
static uint32_t hash_of(const struct xids_store *s, const struct xids_xs_perm *e, uint32_t count)
{
    uint32_t words[17] = {count};
    for (uint32_t i = 0; i < count;) {
        uint32_t n = 1;
        while (n < 17 && i < count) {
            words[n++] = (uint32_t)e[i].domid << 8 | e[i].access;
            i++;
        }
        words[0] = xids_store_hash(s->key, (const char *)words, n * sizeof(words[0]));
    }
    return words[0];
}

static bool same(const struct perms *p, uint32_t hash, const struct xids_xs_perm *e, uint32_t count)
{
    if (p->hash != hash || p->count != count)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (p->e[i].domid != e[i].domid || p->e[i].access != e[i].access)
            return false;
    }
    return true;
}

/* A bigger table when the chains get long; when there is no memory they stay long. */
static void spread(struct xids_store *s)
{
    uint32_t buckets = s->perms_buckets * 2;
    struct perms **table = xids_store_get(s, buckets * sizeof(struct perms *));
    if (table == NULL)
        return;
    __builtin_memset(table, 0, buckets * sizeof(struct perms *));
    for (uint32_t i = 0; i < s->perms_buckets; i++) {
        for (struct perms *p = s->perms[i], *next; p != NULL; p = next) {
            next = p->next;
            p->next = table[p->hash & (buckets - 1)];
            table[p->hash & (buckets - 1)] = p;
        }
    }
    xids_store_put(s, s->perms, s->perms_buckets * sizeof(struct perms *));
    s->perms = table;
    s->perms_buckets = buckets;
}

/* The list with these entries, with a reference for the caller; NULL: no memory. */
struct perms *xids_store_perms_get(struct xids_store *s, const struct xids_xs_perm *e, uint32_t count)
{
    uint32_t hash = hash_of(s, e, count);
    for (struct perms *p = s->perms[hash & (s->perms_buckets - 1)]; p != NULL; p = p->next) {
        if (same(p, hash, e, count)) {
            p->refs++;
            return p;
        }
    }
    struct perms *p = xids_store_get(s, bytes_for(count));
    if (p == NULL)
        return NULL;
    if (s->perms_count >= s->perms_buckets)
        spread(s);
    *p = (struct perms){.refs = 1, .hash = hash, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        p->e[i] = e[i];
        p->mask |= mask_of(e[i].domid);
    }
    struct perms **bucket = &s->perms[hash & (s->perms_buckets - 1)];
    p->next = *bucket;
    *bucket = p;
    s->perms_count++;
    return p;
}

void xids_store_perms_unref(struct xids_store *s, struct perms *p)
{
    if (p == NULL || --p->refs > 0)
        return;
    struct perms **at = &s->perms[p->hash & (s->perms_buckets - 1)];
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    s->perms_count--;
    xids_store_put(s, p, bytes_for(p->count));
}

static bool meant(const struct xids_xs_perm *e, const struct xids_store_who *who)
{
    return e->domid == who->domid || (who->target >= 0 && e->domid == who->target) || e->domid == XIDS_XS_DOMID_ANY;
}

bool xids_store_is_owner(const struct perms *p, const struct xids_store_who *who)
{
    return who->privileged || meant(&p->e[0], who);
}

/* Bits of enum xids_xs_access. */
unsigned int xids_store_access(const struct perms *p, const struct xids_store_who *who)
{
    if (xids_store_is_owner(p, who))
        return XIDS_XS_BOTH;
    for (uint32_t i = 1; i < p->count; i++) {
        if ((p->e[i].access & XIDS_STORE_IGNORED) == 0 && meant(&p->e[i], who))
            return p->e[i].access & XIDS_XS_BOTH;
    }
    return p->e[0].access & XIDS_XS_BOTH;
}

bool xids_store_event_visible(const struct perms *before, const struct xids_store_node *n,
                              const struct xids_store_node *parent, const struct xids_store_who *who)
{
    unsigned int access = 0;
    if (before != NULL)
        access |= xids_store_access(before, who);
    if (n != NULL)
        access |= xids_store_access(n->perms, who);
    if (parent != NULL && (before != NULL || n != NULL))
        access |= xids_store_access(parent->perms, who);
    return (access & XIDS_XS_READ) != 0;
}
