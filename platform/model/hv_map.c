/* SPDX-License-Identifier: ISC */
/* Maps and shares: pages taken and given as one object with one notification, as Linux's gntdev and gntalloc do. */
#include "platform/model/hv_block.h"

uint32_t hv_map_id(struct xids_hv_block *b, const struct hv_map *m)
{
    return (uint32_t)(m - hv_map_at(b, 0)) | (m->generation & 0xfffu) << 20;
}

void hv_map_link(struct xids_hv_block *b, struct hv_map *m)
{
    struct hv_owner *o = hv_owner_at(b, xids_hv_owner_slot(m->owner));
    uint32_t slot = (uint32_t)(m - hv_map_at(b, 0));
    m->prev = 0;
    m->next = o->map_list;
    if (m->next)
        hv_map_at(b, m->next)->prev = slot;
    o->map_list = slot;
}

static void map_unlink(struct xids_hv_block *b, struct hv_map *m)
{
    if (m->prev)
        hv_map_at(b, m->prev)->next = m->next;
    else
        hv_owner_at(b, xids_hv_owner_slot(m->owner))->map_list = m->next;
    if (m->next)
        hv_map_at(b, m->next)->prev = m->prev;
}

static struct hv_map *map_find(struct xids_hv_block *b, uint32_t owner, uint32_t id)
{
    uint32_t slot = id & 0xfffffu;
    if (slot == 0 || slot > b->maps.high)
        return NULL;
    struct hv_map *m = hv_map_at(b, slot);
    return m->kind != HV_MAP_FREE && m->owner == owner && hv_map_id(b, m) == id ? m : NULL;
}

/* A record not yet valid, to be filled. NULL: none left. */
static struct hv_map *map_take(struct xids_hv_block *b, uint32_t owner, domid_t remote, uint32_t count)
{
    uint32_t slot = hv_pool_take(&b->maps, b->limits.maps, b, hv_map_next_free);
    if (slot == 0)
        return NULL;
    struct hv_map *m = hv_map_at(b, slot);
    uint32_t generation = m->generation + 1u;
    __builtin_memset(m, 0, sizeof(*m));
    m->generation = generation;
    m->owner = owner;
    m->remote = remote;
    m->count = count;
    return m;
}

static void map_publish(struct xids_hv_block *b, struct hv_map *m, enum xids_hv_kind kind)
{
    HV_STORE(m->kind, (uint32_t)kind);
    hv_map_link(b, m);
}

static void map_put(struct xids_hv_block *b, struct hv_map *m)
{
    hv_pool_put(&b->maps, (uint32_t)(m - hv_map_at(b, 0)), b, hv_map_next_free);
}

/* The port that a notification names, as a reference to hold: 0 for none, or an error. */
static int notify_check(struct xids_hv_block *b, uint64_t *ref, uint32_t slot, uint32_t count,
                        const struct xids_unmap_notify *notify)
{
    *ref = 0;
    if (!notify)
        return 0;
    if (notify->clear_byte && notify->offset >= count * XIDS_PAGE_SIZE)
        return -XEN_EINVAL;
    if (notify->port == 0)
        return 0;
    struct hv_port *p = hv_port_find(b, slot, notify->port);
    uint64_t word = p ? HV_LOAD(p->word) : 0;
    if (!p || (word & HV_PORT_TYPE) == HV_PORT_FREE || (word & HV_PORT_CLOSING) != 0)
        return -XEN_ENOENT;
    *ref = hv_ref(hv_port_index(b, p), (uint32_t)(word >> 32));
    return 0;
}

static void notify_set(struct xids_hv *hv, struct hv_map *m, uint64_t ref, const struct xids_unmap_notify *notify)
{
    uint64_t before = m->notify_port;
    m->notify_clear = 0;
    m->notify_offset = notify ? notify->offset : 0;
    m->notify_port = ref;
    m->notify_clear = notify && notify->clear_byte;
    if (ref != 0)
        hv_port_at(hv->block, hv_ref_index(ref))->pins++;
    if (before != 0)
        hv_port_unpin(hv, before);
}

/* The frame of the i-th page of a map or share; 0: it was given up already. */
static uint32_t map_frame(struct xids_hv_block *b, const struct hv_map *m, uint32_t i)
{
    if (m->kind == XIDS_HV_SHARE)
        return m->frame + i;
    uint32_t at = m->first;
    while (i-- != 0 && at != 0)
        at = hv_mapped_at(b, at)->next;
    return at == 0 ? 0 : hv_mapped_at(b, at)->frame;
}

static void notify_run(struct xids_hv *hv, const struct hv_map *m)
{
    struct xids_hv_block *b = hv->block;
    if (m->notify_clear != 0) {
        uint32_t frame = map_frame(b, m, m->notify_offset / XIDS_PAGE_SIZE);
        uint8_t *page = frame == 0 ? NULL : hv->env.frame(hv->env.ctx, frame);
        if (page)
            HV_STORE(page[m->notify_offset % XIDS_PAGE_SIZE], (uint8_t)0);
    }
    if (m->notify_port != 0) {
        struct hv_port *p = hv_port_at(b, hv_ref_index(m->notify_port));
        if (HV_LOAD(p->word) >> 32 == hv_ref_generation(m->notify_port))
            hv_port_send(hv, p);
    }
}

/* Lets go one page of a map that is not valid any more. */
static void entry_put(struct xids_hv *hv, uint32_t entry)
{
    struct xids_hv_block *b = hv->block;
    const struct hv_mapped *e = hv_mapped_at(b, entry);
    struct hv_grant *g = e->grant == 0 ? NULL : hv_grant_at(b, hv_ref_index(e->grant));
    if (g && (g->word & HV_GRANT_USED) != 0 && g->generation == hv_ref_generation(e->grant)) {
        g->maps--;
        /* Before the frame's count, so that the frame is given up while it is mapped: it is freed once, below. */
        if (g->maps == 0 && (g->word & HV_GRANT_ENDING) != 0)
            (void)hv_grant_abandon(hv, g);
    }
    hv_frame_unmapped(hv, e->frame);
    hv_pool_put(&b->mapped, entry, b, hv_mapped_next_free);
}

static void entries_put(struct xids_hv *hv, uint32_t first)
{
    while (first != 0) {
        uint32_t next = hv_mapped_at(hv->block, first)->next;
        entry_put(hv, first);
        first = next;
    }
}

int hv_map_undo(struct xids_hv *hv, struct hv_map *m, bool notify)
{
    struct xids_hv_block *b = hv->block;
    uint64_t port = m->notify_port;
    uint32_t kind = m->kind;
    int ret = 0;
    if (notify)
        notify_run(hv, m);
    /* Before the share's frames go, so that a repetition after death does not clear a byte in a page that is another's.
     */
    m->notify_clear = 0;
    while (kind == XIDS_HV_SHARE && m->first != 0) {
        struct hv_grant *g = hv_grant_at(b, m->first - 1u);
        HV_STORE(m->first, g->next);
        if (!hv_grant_abandon(hv, g))
            ret = -XEN_EBUSY;
    }
    HV_STORE(m->kind, HV_MAP_FREE);
    map_unlink(b, m);
    if (kind != XIDS_HV_SHARE)
        entries_put(hv, m->first);
    map_put(b, m);
    if (port != 0)
        hv_port_unpin(hv, port);
    return ret;
}

/* Adds a page to the chain that ends at *last; *last becomes its entry. -XEN_ENOMEM. */
static int entry_add(struct xids_hv_block *b, struct hv_map *m, uint32_t *last, uint32_t frame, uint64_t grant)
{
    uint32_t entry = hv_pool_take(&b->mapped, b->limits.mapped, b, hv_mapped_next_free);
    if (entry == 0)
        return -XEN_ENOMEM;
    *hv_mapped_at(b, entry) = (struct hv_mapped){.grant = grant, .frame = frame};
    if (*last == 0)
        m->first = entry;
    else
        hv_mapped_at(b, *last)->next = entry;
    *last = entry;
    hv_frame_at(b, frame)->maps++;
    return 0;
}

int xids_hv_map(struct xids_hv *hv, uint32_t *map, uint32_t *frames, uint32_t owner, domid_t domid,
                const grant_ref_t *refs, uint32_t count, unsigned int flags, const struct xids_unmap_notify *notify)
{
    struct xids_hv_block *b = hv->block;
    uint64_t port;
    if (count == 0 || count > XIDS_PLATFORM_PAGES_MAX || (flags & ~(unsigned int)XIDS_MAP_READONLY) != 0)
        return -XEN_EINVAL;
    hv_lock(hv);
    const struct hv_owner *o = hv_owner_find(b, owner);
    if (!o)
        return hv_unlock(hv, -XEN_EBADF);
    const struct hv_domain *self = hv_domain_at(b, o->domain);
    if (domid == DOMID_SELF)
        domid = (domid_t)self->domid;
    if (domid == self->domid && (self->flags & XIDS_HV_LOOPBACK) == 0)
        return hv_unlock(hv, -XEN_EINVAL);
    uint32_t slot = hv_domain_slot(b, domid);
    if (slot == 0)
        return hv_unlock(hv, -XEN_ESRCH);
    int ret = notify_check(b, &port, o->domain, count, notify);
    if (ret < 0)
        return hv_unlock(hv, ret);
    struct hv_map *m = map_take(b, owner, domid, count);
    if (!m)
        return hv_unlock(hv, -XEN_ENOMEM);
    m->flags = flags;
    for (uint32_t i = 0, last = 0; i < count && ret == 0; i++) {
        bool write = (flags & XIDS_MAP_READONLY) == 0;
        struct hv_grant *g = hv_grant_usable(b, slot, refs[i], (domid_t)self->domid, write);
        if (!g) {
            ret = -XEN_EACCES;
            break;
        }
        ret = entry_add(b, m, &last, g->frame, hv_ref(hv_grant_index(b, g), g->generation));
        if (ret == 0) {
            g->maps++;
            frames[i] = g->frame;
        }
    }
    if (ret < 0) {
        entries_put(hv, m->first);
        map_put(b, m);
        return hv_unlock(hv, ret);
    }
    notify_set(hv, m, port, notify);
    map_publish(b, m, XIDS_HV_MAP);
    *map = hv_map_id(b, m);
    return hv_unlock(hv, 0);
}

int xids_hv_map_foreign(struct xids_hv *hv, uint32_t *map, int *errors, uint32_t owner, domid_t domid,
                        const uint32_t *frames, uint32_t count)
{
    struct xids_hv_block *b = hv->block;
    int ret = 0;
    if (count == 0 || count > XIDS_PLATFORM_PAGES_MAX)
        return -XEN_EINVAL;
    hv_lock(hv);
    const struct hv_owner *o = hv_owner_find(b, owner);
    if (!o)
        return hv_unlock(hv, -XEN_EBADF);
    const struct hv_domain *self = hv_domain_at(b, o->domain);
    if (domid == DOMID_SELF)
        domid = (domid_t)self->domid;
    if (domid != self->domid && (self->flags & XIDS_HV_PRIVILEGED) == 0)
        return hv_unlock(hv, -XEN_EPERM);
    uint32_t slot = hv_domain_slot(b, domid);
    if (slot == 0)
        return hv_unlock(hv, -XEN_ESRCH);
    struct hv_map *m = map_take(b, owner, domid, 0);
    if (!m)
        return hv_unlock(hv, -XEN_ENOMEM);
    for (uint32_t i = 0, last = 0; i < count && ret == 0; i++) {
        bool good = hv_frame_owned(b, frames[i], slot);
        if (errors)
            errors[i] = good ? 0 : -XEN_EINVAL;
        else if (!good)
            ret = -XEN_EINVAL;
        if (good)
            ret = entry_add(b, m, &last, frames[i], 0);
        if (good && ret == 0)
            m->count++;
    }
    if (ret < 0) {
        entries_put(hv, m->first);
        map_put(b, m);
        return hv_unlock(hv, ret);
    }
    map_publish(b, m, XIDS_HV_FOREIGN);
    *map = hv_map_id(b, m);
    return hv_unlock(hv, 0);
}

int xids_hv_unmap(struct xids_hv *hv, uint32_t owner, uint32_t map)
{
    hv_lock(hv);
    struct hv_map *m = map_find(hv->block, owner, map);
    if (!hv_owner_find(hv->block, owner))
        return hv_unlock(hv, -XEN_EBADF);
    if (!m || m->kind == XIDS_HV_SHARE)
        return hv_unlock(hv, -XEN_ENOENT);
    return hv_unlock(hv, hv_map_undo(hv, m, true));
}

/* Grants one page of a share; the chain of its grants grows at its head. */
static int share_grant(struct xids_hv_block *b, struct hv_map *m, uint32_t slot, uint32_t frame, unsigned int flags)
{
    uint32_t index;
    int number = hv_grant_number_take(b, &index, slot, UINT32_MAX);
    if (number < 0)
        return number;
    struct hv_grant *g = hv_grant_at(b, index);
    g->generation++;
    g->frame = frame;
    g->number = (uint32_t)number;
    g->domain = slot;
    g->remote = m->remote;
    g->share = (uint32_t)(m - hv_map_at(b, 0));
    g->next = m->first;
    g->maps = 0;
    HV_STORE(g->word, HV_GRANT_USED | ((flags & XIDS_GRANT_READONLY) != 0 ? HV_GRANT_READONLY : 0));
    m->first = index + 1u;
    hv_frame_at(b, frame)->grants++;
    hv_domain_at(b, slot)->grants++;
    return number;
}

int xids_hv_share(struct xids_hv *hv, uint32_t *share, uint32_t *first, grant_ref_t *refs, uint32_t owner,
                  domid_t remote, uint32_t count, unsigned int flags, const struct xids_unmap_notify *notify)
{
    struct xids_hv_block *b = hv->block;
    uint64_t port;
    uint32_t frame = 0, done = 0;
    if (count == 0 || count > XIDS_PLATFORM_PAGES_MAX || remote >= HV_DOMIDS ||
        (flags & ~(unsigned int)XIDS_GRANT_READONLY) != 0)
        return -XEN_EINVAL;
    hv_lock(hv);
    const struct hv_owner *o = hv_owner_find(b, owner);
    if (!o)
        return hv_unlock(hv, -XEN_EBADF);
    int ret = notify_check(b, &port, o->domain, count, notify);
    if (ret == 0)
        ret = hv_frames_take(hv, &frame, o->domain, count, true);
    if (ret < 0)
        return hv_unlock(hv, ret);
    struct hv_map *m = map_take(b, owner, remote, count);
    if (!m) {
        ret = -XEN_ENOMEM;
    } else {
        m->frame = frame;
        for (; done < count && ret >= 0; done += ret >= 0) {
            ret = share_grant(b, m, o->domain, frame + done, flags);
            if (ret >= 0)
                refs[done] = (grant_ref_t)ret;
        }
    }
    if (ret < 0) {
        for (uint32_t i = 0; i < done; i++)
            hv_grant_drop(b, hv_grant_find(b, o->domain, refs[i]));
        for (uint32_t i = 0; i < count; i++)
            hv_frame_give_up(hv, frame + i);
        if (m)
            map_put(b, m);
        return hv_unlock(hv, ret);
    }
    notify_set(hv, m, port, notify);
    map_publish(b, m, XIDS_HV_SHARE);
    *share = hv_map_id(b, m);
    *first = frame;
    return hv_unlock(hv, 0);
}

int xids_hv_unshare(struct xids_hv *hv, uint32_t owner, uint32_t share)
{
    hv_lock(hv);
    struct hv_map *m = map_find(hv->block, owner, share);
    if (!hv_owner_find(hv->block, owner))
        return hv_unlock(hv, -XEN_EBADF);
    if (!m || m->kind != XIDS_HV_SHARE)
        return hv_unlock(hv, -XEN_ENOENT);
    return hv_unlock(hv, hv_map_undo(hv, m, true));
}

int xids_hv_set_notify(struct xids_hv *hv, uint32_t owner, uint32_t map, const struct xids_unmap_notify *notify)
{
    struct xids_hv_block *b = hv->block;
    uint64_t port;
    hv_lock(hv);
    const struct hv_owner *o = hv_owner_find(b, owner);
    if (!o)
        return hv_unlock(hv, -XEN_EBADF);
    struct hv_map *m = map_find(b, owner, map);
    if (!m || m->kind == XIDS_HV_FOREIGN)
        return hv_unlock(hv, -XEN_ENOENT);
    int ret = notify_check(b, &port, o->domain, m->count, notify);
    if (ret == 0)
        notify_set(hv, m, port, notify);
    return hv_unlock(hv, ret);
}
