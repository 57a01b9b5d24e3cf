/* SPDX-License-Identifier: ISC */
/* Rebuilding what is derived from the records, after a death in the middle of a call. */
#include "platform/model/hv_block.h"

static void domains_rebuild(struct xids_hv_block *b)
{
    __builtin_memset(hv_domid_bits(b), 0, (HV_DOMIDS + 63u) / 64u * sizeof(uint64_t));
    b->domains.free = 0;
    for (uint32_t slot = b->domains.high; slot >= 1; slot--) {
        struct hv_domain *d = hv_domain_at(b, slot);
        if (!d->live) {
            hv_chunks_put(b, slot);
            hv_pool_put(&b->domains, slot, b, hv_domain_next_free);
            continue;
        }
        d->owner_list = d->frame_list = 0;
        d->owners = d->frames = d->ports = d->grants = 0;
        d->port_hint = d->grant_hint = 0;
        __builtin_memset(d->virq, 0, sizeof(d->virq));
        hv_domain_enter(b, slot);
    }
    __builtin_memset(b->global_virq, 0, sizeof(b->global_virq));
}

static void owners_rebuild(struct xids_hv_block *b)
{
    b->owners.free = 0;
    for (uint32_t slot = b->owners.high; slot >= 1; slot--) {
        struct hv_owner *o = hv_owner_at(b, slot);
        o->port_list = o->map_list = 0;
        if ((o->word & 1u) != 0 && hv_domain_at(b, o->domain)->live)
            hv_owner_link(b, o);
        else
            hv_pool_put(&b->owners, slot, b, hv_owner_next_free);
    }
}

/* Chunks in no domain's table are free. A chunk's next_free serves as the mark of one that is not. */
static void chunks_rebuild(struct xids_hv_block *b)
{
    for (uint32_t c = 1; c <= b->port_chunks.high; c++)
        hv_port_chunk_at(b, c)->next_free = 0;
    for (uint32_t c = 1; c <= b->grant_chunks.high; c++)
        hv_grant_chunk_at(b, c)->next_free = 0;
    for (uint32_t slot = 1; slot <= b->domains.high; slot++) {
        const struct hv_domain *d = hv_domain_at(b, slot);
        for (uint32_t at = 0; d->live && at < d->port_chunks; at++)
            hv_port_chunk_at(b, hv_port_table(b, slot)[at])->next_free = UINT32_MAX;
        for (uint32_t at = 0; d->live && at < d->grant_chunks; at++)
            hv_grant_chunk_at(b, hv_grant_table(b, slot)[at])->next_free = UINT32_MAX;
    }
    b->port_chunks.free = b->grant_chunks.free = 0;
    for (uint32_t c = b->port_chunks.high; c >= 1; c--) {
        hv_port_chunk_at(b, c)->used = 0;
        if (hv_port_chunk_at(b, c)->next_free == 0)
            hv_pool_put(&b->port_chunks, c, b, hv_port_chunk_next_free);
    }
    for (uint32_t c = b->grant_chunks.high; c >= 1; c--) {
        hv_grant_chunk_at(b, c)->used = 0;
        if (hv_grant_chunk_at(b, c)->next_free == 0)
            hv_pool_put(&b->grant_chunks, c, b, hv_grant_chunk_next_free);
    }
}

static uint32_t port_type(struct hv_port *p)
{
    return (uint32_t)HV_LOAD(p->word) & HV_PORT_TYPE;
}

static void port_rebuild(struct xids_hv_block *b, uint32_t slot, struct hv_port *p)
{
    uint32_t index = hv_port_index(b, p);
    uint64_t self = hv_ref(index, (uint32_t)(HV_LOAD(p->word) >> 32));
    struct hv_domain *d = hv_domain_at(b, slot);
    hv_port_chunk_at(b, index / HV_CHUNK + 1u)->used |= 1ull << index % HV_CHUNK;
    d->ports++;
    p->pins = 0;
    if (p->owner != 0 && hv_owner_find(b, p->owner)) {
        hv_port_link(b, p);
    } else {
        if (p->owner != 0) /* its owner was being closed */
            hv_port_change(p, HV_PORT_QUEUED, HV_PORT_CLOSING | HV_PORT_MASKED);
        HV_STORE(p->owner, 0);
    }
    if (port_type(p) == HV_PORT_INTERDOMAIN) {
        struct hv_port *peer = hv_port_at(b, hv_ref_index(p->link));
        if (p->link == 0 || port_type(peer) != HV_PORT_INTERDOMAIN || peer->link != self) {
            HV_STORE(p->link, 0);
            hv_port_change(p, HV_PORT_TYPE, HV_PORT_UNBOUND);
        }
    } else if (port_type(p) == HV_PORT_VIRQ && hv_virq_is_global(p->virq)) {
        b->global_virq[p->virq] = self;
    } else if (port_type(p) == HV_PORT_VIRQ) {
        d->virq[p->virq] = p->number;
    }
}

static void ports_rebuild(struct xids_hv_block *b)
{
    for (uint32_t slot = 1; slot <= b->domains.high; slot++) {
        const struct hv_domain *d = hv_domain_at(b, slot);
        for (uint32_t number = 1; d->live && number < d->port_chunks * HV_CHUNK; number++) {
            struct hv_port *p = hv_port_find(b, slot, number);
            if (p && port_type(p) != HV_PORT_FREE)
                port_rebuild(b, slot, p);
        }
    }
}

static void frames_rebuild(struct xids_hv_block *b)
{
    uint64_t *bits = hv_frame_bits(b);
    __builtin_memset(bits, 0, (b->frame_high / 64u + 1u) * sizeof(*bits));
    b->frames_used = 0;
    if (b->frame_cursor == 0 || b->frame_cursor > b->frame_high)
        b->frame_cursor = 1;
    for (uint32_t i = 1; i <= b->frame_high; i++) {
        struct hv_frame *f = hv_frame_at(b, i);
        f->maps = f->grants = 0;
        if (f->state == HV_FRAME_FREE)
            continue;
        if (f->state == HV_FRAME_OWNED && !hv_domain_at(b, f->domain)->live)
            HV_STORE(f->state, HV_FRAME_ORPHAN);
        bits[i / 64u] |= 1ull << i % 64u;
        b->frames_used++;
        if (f->state == HV_FRAME_OWNED)
            hv_frame_link(b, i);
    }
}

/* Calls each for every grant in use of a living domain. each may end the grant. */
static void grants_walk(struct xids_hv *hv, void (*each)(struct xids_hv *hv, uint32_t slot, struct hv_grant *g))
{
    struct xids_hv_block *b = hv->block;
    for (uint32_t slot = 1; slot <= b->domains.high; slot++) {
        const struct hv_domain *d = hv_domain_at(b, slot);
        for (uint32_t number = 0; d->live && number < d->grant_chunks * HV_CHUNK; number++) {
            struct hv_grant *g = hv_grant_find(b, slot, number);
            if (g && (g->word & HV_GRANT_USED) != 0)
                each(hv, slot, g);
        }
    }
}

static void grant_rebuild(struct xids_hv *hv, uint32_t slot, struct hv_grant *g)
{
    struct xids_hv_block *b = hv->block;
    uint32_t index = hv_grant_index(b, g);
    hv_grant_chunk_at(b, index / HV_CHUNK + 1u)->used |= 1ull << index % HV_CHUNK;
    hv_domain_at(b, slot)->grants++;
    hv_frame_at(b, g->frame)->grants++;
    g->maps = 0;
}

/* In maps the mark of a grant that its share still reaches, until maps are counted. */
static void shares_mark(struct xids_hv_block *b)
{
    for (uint32_t i = 1; i <= b->maps.high; i++) {
        const struct hv_map *m = hv_map_at(b, i);
        for (uint32_t at = m->kind == XIDS_HV_SHARE ? m->first : 0; at != 0; at = hv_grant_at(b, at - 1u)->next)
            hv_grant_at(b, at - 1u)->maps = 1;
    }
}

/* A grant whose share was only being made or undone is given up, but only once its maps are counted. */
static void grant_unmark(struct xids_hv *hv, uint32_t slot, struct hv_grant *g)
{
    (void)hv;
    (void)slot;
    if (g->share != 0 && g->maps == 0) {
        HV_STORE(g->word, g->word | HV_GRANT_ENDING);
        g->share = 0;
    }
    g->maps = 0;
}

static void grant_finish(struct xids_hv *hv, uint32_t slot, struct hv_grant *g)
{
    (void)slot;
    if ((g->word & HV_GRANT_ENDING) == 0 || g->maps != 0)
        return;
    if (hv_frame_owned(hv->block, g->frame, g->domain))
        (void)hv_grant_abandon(hv, g);
    else
        hv_grant_drop(hv->block, g);
}

static void maps_rebuild(struct xids_hv_block *b)
{
    b->maps.free = 0;
    for (uint32_t i = b->maps.high; i >= 1; i--) {
        struct hv_map *m = hv_map_at(b, i);
        if (m->kind != HV_MAP_FREE && !hv_owner_find(b, m->owner))
            HV_STORE(m->kind, HV_MAP_FREE);
        if (m->kind == HV_MAP_FREE) {
            hv_pool_put(&b->maps, i, b, hv_map_next_free);
            continue;
        }
        hv_map_link(b, m);
        if (m->notify_port != 0) {
            struct hv_port *p = hv_port_at(b, hv_ref_index(m->notify_port));
            if (HV_LOAD(p->word) >> 32 == hv_ref_generation(m->notify_port) && port_type(p) != HV_PORT_FREE)
                p->pins++;
        }
    }
}

/* The entries that a map reaches are kept apart from the free ones by a mark in frame's highest bit meanwhile. */
#define MARK (1u << 31)

static void mapped_rebuild(struct xids_hv_block *b)
{
    for (uint32_t i = 1; i <= b->maps.high; i++) {
        const struct hv_map *m = hv_map_at(b, i);
        if (m->kind == HV_MAP_FREE || m->kind == XIDS_HV_SHARE)
            continue;
        for (uint32_t at = m->first; at != 0; at = hv_mapped_at(b, at)->next) {
            struct hv_mapped *e = hv_mapped_at(b, at);
            struct hv_grant *g = e->grant == 0 ? NULL : hv_grant_at(b, hv_ref_index(e->grant));
            hv_frame_at(b, e->frame & ~MARK)->maps++;
            if (g && (g->word & HV_GRANT_USED) != 0 && g->generation == hv_ref_generation(e->grant))
                g->maps++;
            e->frame |= MARK;
        }
    }
    b->mapped.free = 0;
    for (uint32_t at = b->mapped.high; at >= 1; at--) {
        struct hv_mapped *e = hv_mapped_at(b, at);
        if ((e->frame & MARK) != 0)
            e->frame &= ~MARK;
        else
            hv_pool_put(&b->mapped, at, b, hv_mapped_next_free);
    }
}

void xids_hv_recover(struct xids_hv *hv)
{
    struct xids_hv_block *b = hv->block;
    /* Another death may have left marks. */
    for (uint32_t at = 1; at <= b->mapped.high; at++)
        hv_mapped_at(b, at)->frame &= ~MARK;
    domains_rebuild(b);
    owners_rebuild(b);
    chunks_rebuild(b);
    ports_rebuild(b);
    frames_rebuild(b);
    grants_walk(hv, grant_rebuild);
    maps_rebuild(b);
    shares_mark(b);
    grants_walk(hv, grant_unmark);
    mapped_rebuild(b);
    grants_walk(hv, grant_finish);
    for (uint32_t i = 1; i <= b->frame_high; i++) {
        const struct hv_frame *f = hv_frame_at(b, i);
        if (f->state == HV_FRAME_ORPHAN && f->maps == 0)
            hv_frame_free_now(hv, i);
        /* A page of a share that was only being made or undone: nobody knows of it but its grant, which is not there.
         */
        else if (f->state == HV_FRAME_OWNED && f->shared != 0 && f->grants == 0)
            hv_frame_give_up(hv, i);
    }
    for (uint32_t slot = 1; slot <= b->domains.high; slot++) {
        const struct hv_domain *d = hv_domain_at(b, slot);
        for (uint32_t number = 1; d->live && number < d->port_chunks * HV_CHUNK; number++) {
            struct hv_port *p = hv_port_find(b, slot, number);
            if (p && port_type(p) != HV_PORT_FREE && (HV_LOAD(p->word) & HV_PORT_CLOSING) != 0 && p->pins == 0)
                hv_port_shut(hv, p);
        }
    }
}
