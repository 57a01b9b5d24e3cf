/* SPDX-License-Identifier: ISC */
/* Looking at all there is: for listings, leak reports and the check of the block's own consistency. */
#include "platform/model/hv_block.h"

static domid_t domid_of(struct xids_hv_block *b, uint32_t slot)
{
    return (domid_t)hv_domain_at(b, slot)->domid;
}

static domid_t owner_domid(struct xids_hv_block *b, uint32_t owner)
{
    return domid_of(b, hv_owner_at(b, xids_hv_owner_slot(owner))->domain);
}

static void each_port(struct xids_hv_block *b, uint32_t slot, void (*each)(void *, const struct xids_hv_item *),
                      void *ctx)
{
    for (uint32_t number = 1; number < hv_domain_at(b, slot)->port_chunks * HV_CHUNK; number++) {
        struct hv_port *p = hv_port_find(b, slot, number);
        if (!p || (HV_LOAD(p->word) & HV_PORT_TYPE) == HV_PORT_FREE)
            continue;
        struct xids_hv_item item = {
            .kind = XIDS_HV_PORT, .domid = domid_of(b, slot), .remote = p->remote, .owner = p->owner};
        item.id = number;
        each(ctx, &item);
    }
}

static void each_grant(struct xids_hv_block *b, uint32_t slot, void (*each)(void *, const struct xids_hv_item *),
                       void *ctx)
{
    for (uint32_t number = 0; number < hv_domain_at(b, slot)->grant_chunks * HV_CHUNK; number++) {
        const struct hv_grant *g = hv_grant_find(b, slot, number);
        if (!g || (g->word & HV_GRANT_USED) == 0)
            continue;
        struct xids_hv_item item = {.kind = XIDS_HV_GRANT, .domid = domid_of(b, slot), .remote = g->remote};
        item.id = number;
        item.frame = g->frame;
        item.count = g->maps;
        item.owner = g->share == 0 ? 0 : hv_map_at(b, g->share)->owner;
        each(ctx, &item);
    }
}

static void each_map(struct xids_hv_block *b, unsigned int kinds, void (*each)(void *, const struct xids_hv_item *),
                     void *ctx)
{
    for (uint32_t i = 1; i <= b->maps.high; i++) {
        const struct hv_map *m = hv_map_at(b, i);
        if ((m->kind & kinds) == 0)
            continue;
        struct xids_hv_item item = {.kind = (enum xids_hv_kind)m->kind, .remote = m->remote, .owner = m->owner};
        item.domid = owner_domid(b, m->owner);
        item.id = hv_map_id(b, m);
        item.frame = m->frame;
        item.count = m->count;
        each(ctx, &item);
    }
}

static void each_frame(struct xids_hv_block *b, void (*each)(void *, const struct xids_hv_item *), void *ctx)
{
    for (uint32_t i = 1; i <= b->frame_high; i++) {
        const struct hv_frame *f = hv_frame_at(b, i);
        if (f->state == HV_FRAME_FREE)
            continue;
        struct xids_hv_item item = {.kind = XIDS_HV_FRAME, .domid = XIDS_HV_DOMID_ANY, .remote = XIDS_HV_DOMID_ANY};
        if (f->state == HV_FRAME_OWNED)
            item.domid = domid_of(b, f->domain);
        item.id = item.frame = i;
        item.count = f->maps;
        each(ctx, &item);
    }
}

void xids_hv_each(struct xids_hv *hv, unsigned int kinds, void (*each)(void *ctx, const struct xids_hv_item *item),
                  void *ctx)
{
    struct xids_hv_block *b = hv->block;
    hv_lock(hv);
    for (uint32_t slot = 1; slot <= b->owners.high && (kinds & XIDS_HV_OWNER) != 0; slot++) {
        struct hv_owner *o = hv_owner_at(b, slot);
        if ((o->word & 1u) == 0)
            continue;
        struct xids_hv_item item = {
            .kind = XIDS_HV_OWNER, .domid = domid_of(b, o->domain), .remote = XIDS_HV_DOMID_ANY};
        item.id = item.owner = hv_owner_id(b, o);
        each(ctx, &item);
    }
    for (uint32_t slot = 1; slot <= b->domains.high; slot++) {
        if (!hv_domain_at(b, slot)->live)
            continue;
        if ((kinds & XIDS_HV_PORT) != 0)
            each_port(b, slot, each, ctx);
        if ((kinds & XIDS_HV_GRANT) != 0)
            each_grant(b, slot, each, ctx);
    }
    each_map(b, kinds, each, ctx);
    if ((kinds & XIDS_HV_FRAME) != 0)
        each_frame(b, each, ctx);
    hv_unlock(hv, 0);
}

/* Sums over all records, to be compared with sums of what is derived. */
struct tally {
    uint64_t domain_owners, domain_ports, domain_grants, domain_frames;
    uint64_t owners, ports, ports_owned, grants, frames, frames_owned, maps, mapped;
    uint64_t frame_grants, frame_maps, grant_maps, mapped_grants;
};

static const char *port_check(struct xids_hv_block *b, struct hv_port *p)
{
    uint32_t index = hv_port_index(b, p);
    uint64_t word = HV_LOAD(p->word), self = hv_ref(index, (uint32_t)(word >> 32)), link = HV_LOAD(p->link);
    if ((hv_port_chunk_at(b, index / HV_CHUNK + 1u)->used >> index % HV_CHUNK & 1u) == 0)
        return "a port in use is marked free";
    if (p->owner != 0 && !hv_owner_find(b, p->owner))
        return "a port's owner is closed";
    if ((word & HV_PORT_TYPE) == HV_PORT_INTERDOMAIN && HV_LOAD(hv_port_at(b, hv_ref_index(link))->link) != self)
        return "a port's peer does not know it";
    if ((word & HV_PORT_CLOSING) != 0 && p->pins == 0)
        return "a closed port is held by nothing";
    return NULL;
}

static const char *domain_check(struct xids_hv_block *b, struct tally *t, uint32_t slot)
{
    const struct hv_domain *d = hv_domain_at(b, slot);
    t->domain_owners += d->owners;
    t->domain_ports += d->ports;
    t->domain_grants += d->grants;
    t->domain_frames += d->frames;
    if (hv_domain_slot(b, d->domid) != slot || (hv_domid_bits(b)[d->domid / 64u] >> d->domid % 64u & 1u) == 0)
        return "a domain is not found by its domid";
    for (uint32_t number = 1; number < d->port_chunks * HV_CHUNK; number++) {
        struct hv_port *p = hv_port_find(b, slot, number);
        if (!p || (HV_LOAD(p->word) & HV_PORT_TYPE) == HV_PORT_FREE)
            continue;
        t->ports++;
        t->ports_owned += p->owner != 0;
        const char *wrong = port_check(b, p);
        if (wrong)
            return wrong;
    }
    for (uint32_t number = 0; number < d->grant_chunks * HV_CHUNK; number++) {
        const struct hv_grant *g = hv_grant_find(b, slot, number);
        if (!g || (g->word & HV_GRANT_USED) == 0)
            continue;
        t->grants++;
        t->grant_maps += g->maps;
        if (!hv_frame_owned(b, g->frame, slot))
            return "a grant's frame is not its domain's";
        if ((g->word & HV_GRANT_ENDING) != 0 && g->maps == 0)
            return "a grant given up is held by nothing";
    }
    return NULL;
}

static const char *owner_check(struct xids_hv_block *b, struct tally *t, uint32_t slot)
{
    struct hv_owner *o = hv_owner_at(b, slot);
    uint32_t id = hv_owner_id(b, o);
    if (!hv_domain_at(b, o->domain)->live)
        return "an owner's domain is dead";
    t->owners++;
    for (uint32_t at = o->port_list; at != 0; at = hv_port_at(b, at - 1u)->next) {
        if (hv_port_at(b, at - 1u)->owner != id)
            return "an owner lists another's port";
        t->ports_owned--;
    }
    for (uint32_t at = o->map_list; at != 0; at = hv_map_at(b, at)->next) {
        const struct hv_map *m = hv_map_at(b, at);
        if (m->owner != id || m->kind == HV_MAP_FREE)
            return "an owner lists another's map";
        t->maps--;
    }
    return NULL;
}

static void map_tally(struct xids_hv_block *b, struct tally *t, const struct hv_map *m)
{
    t->maps++;
    for (uint32_t at = m->kind == XIDS_HV_SHARE ? 0 : m->first; at != 0; at = hv_mapped_at(b, at)->next) {
        const struct hv_mapped *e = hv_mapped_at(b, at);
        const struct hv_grant *g = e->grant == 0 ? NULL : hv_grant_at(b, hv_ref_index(e->grant));
        t->mapped++;
        t->mapped_grants += g && (g->word & HV_GRANT_USED) != 0 && g->generation == hv_ref_generation(e->grant);
    }
}

static const char *frame_check(struct xids_hv_block *b, struct tally *t, uint32_t frame)
{
    const struct hv_frame *f = hv_frame_at(b, frame);
    if ((hv_frame_bits(b)[frame / 64u] >> frame % 64u & 1u) != (f->state != HV_FRAME_FREE))
        return "a frame's bit is wrong";
    if (f->state == HV_FRAME_FREE)
        return NULL;
    t->frames++;
    t->frames_owned += f->state == HV_FRAME_OWNED;
    t->frame_grants += f->grants;
    t->frame_maps += f->maps;
    return f->state == HV_FRAME_ORPHAN && f->maps == 0 ? "an orphaned frame is held by nothing" : NULL;
}

static const char *block_check(struct xids_hv_block *b)
{
    struct tally t = {0};
    const char *wrong = NULL;
    for (uint32_t slot = 1; slot <= b->domains.high && !wrong; slot++)
        wrong = hv_domain_at(b, slot)->live ? domain_check(b, &t, slot) : NULL;
    for (uint32_t i = 1; i <= b->maps.high; i++)
        if (hv_map_at(b, i)->kind != HV_MAP_FREE)
            map_tally(b, &t, hv_map_at(b, i));
    for (uint32_t slot = 1; slot <= b->owners.high && !wrong; slot++)
        wrong = (hv_owner_at(b, slot)->word & 1u) != 0 ? owner_check(b, &t, slot) : NULL;
    for (uint32_t i = 1; i <= b->frame_high && !wrong; i++)
        wrong = frame_check(b, &t, i);
    if (wrong)
        return wrong;
    if (t.owners != t.domain_owners || t.ports != t.domain_ports || t.grants != t.domain_grants ||
        t.frames_owned != t.domain_frames || t.frames != b->frames_used)
        return "a domain's counts are wrong";
    if (t.ports_owned != 0 || t.maps != 0)
        return "a port or map is in no owner's list";
    if (t.frame_grants != t.grants || t.frame_maps != t.mapped || t.grant_maps != t.mapped_grants)
        return "grants or maps are counted wrongly";
    return NULL;
}

const char *xids_hv_check(struct xids_hv *hv)
{
    hv_lock(hv);
    const char *wrong = block_check(hv->block);
    hv_unlock(hv, 0);
    return wrong;
}
