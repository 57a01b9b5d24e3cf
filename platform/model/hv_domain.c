/* SPDX-License-Identifier: ISC */
/* Domains and the owners in them: birth, life and death. */
#include "platform/model/hv_block.h"

/* How often a domain can be paused over, as in Xen. */
#define HV_PAUSES_MAX 255u

#include <xen/sched.h>

uint32_t hv_domain_slot(struct xids_hv_block *b, uint32_t domid)
{
    if (domid >= HV_DOMIDS)
        return 0;
    uint32_t slot = hv_domids(b)[domid];
    if (slot == 0)
        return 0;
    const struct hv_domain *d = hv_domain_at(b, slot);
    return d->live && d->domid == domid ? slot : 0;
}

void hv_domain_enter(struct xids_hv_block *b, uint32_t slot)
{
    uint32_t domid = hv_domain_at(b, slot)->domid;
    hv_domids(b)[domid] = slot;
    hv_domid_bits(b)[domid / 64u] |= 1ull << domid % 64u;
}

/* The next domid that nobody has, or HV_DOMIDS: they come in turn, so that a dead domain's is not soon another's. */
static uint32_t domid_choose(struct xids_hv_block *b)
{
    uint32_t domid = b->domid_next;
    for (uint32_t tries = 0; tries < HV_DOMIDS; tries++, domid++) {
        if (domid == 0 || domid >= HV_DOMIDS)
            domid = 1;
        if (hv_domain_slot(b, domid) == 0) {
            b->domid_next = domid + 1u;
            return domid;
        }
    }
    return HV_DOMIDS;
}

int xids_hv_domain_create(struct xids_hv *hv, domid_t domid, uint32_t flags, const uint8_t handle[16])
{
    struct xids_hv_block *b = hv->block;
    if ((domid >= HV_DOMIDS && domid != XIDS_HV_DOMID_ANY) ||
        (flags & ~(uint32_t)(XIDS_HV_PRIVILEGED | XIDS_HV_LOOPBACK | XIDS_HV_PAUSED)) != 0)
        return -XEN_EINVAL;
    hv_lock(hv);
    uint32_t id = domid;
    if (domid == XIDS_HV_DOMID_ANY)
        id = domid_choose(b);
    else if (hv_domain_slot(b, domid) != 0)
        return hv_unlock(hv, -XEN_EEXIST);
    uint32_t slot = id == HV_DOMIDS ? 0 : hv_pool_take(&b->domains, b->limits.domains, b, hv_domain_next_free);
    if (slot == 0)
        return hv_unlock(hv, -XEN_ENOMEM);
    struct hv_domain *d = hv_domain_at(b, slot);
    __builtin_memset(d, 0, sizeof(*d));
    d->domid = id;
    d->flags = flags;
    d->pauses = (flags & XIDS_HV_PAUSED) != 0 ? 1 : 0;
    d->incarnation = ++b->incarnation;
    if (handle)
        __builtin_memcpy(d->handle, handle, sizeof(d->handle));
    HV_STORE(d->live, 1);
    hv_domain_enter(b, slot);
    return hv_unlock(hv, (int)id);
}

/* Takes the lock and finds a domain. Without one, it gives the lock back and returns NULL. */
static struct hv_domain *domain_lock(struct xids_hv *hv, domid_t domid)
{
    hv_lock(hv);
    uint32_t slot = hv_domain_slot(hv->block, domid);
    if (slot == 0) {
        hv_unlock(hv, 0);
        return NULL;
    }
    return hv_domain_at(hv->block, slot);
}

int xids_hv_domain_pause(struct xids_hv *hv, domid_t domid)
{
    struct hv_domain *d = domain_lock(hv, domid);
    if (!d)
        return -XEN_ESRCH;
    if (d->pauses == HV_PAUSES_MAX)
        return hv_unlock(hv, -XEN_EOVERFLOW);
    d->pauses++;
    d->flags |= XIDS_HV_PAUSED;
    return hv_unlock(hv, 0);
}

int xids_hv_domain_unpause(struct xids_hv *hv, domid_t domid)
{
    struct hv_domain *d = domain_lock(hv, domid);
    if (!d)
        return -XEN_ESRCH;
    if (d->pauses == 0)
        return hv_unlock(hv, -XEN_EINVAL);
    if (--d->pauses == 0)
        d->flags &= ~(uint32_t)XIDS_HV_PAUSED;
    return hv_unlock(hv, 0);
}

int xids_hv_domain_resume(struct xids_hv *hv, domid_t domid)
{
    struct hv_domain *d = domain_lock(hv, domid);
    if (!d)
        return -XEN_ESRCH;
    d->flags &= ~(uint32_t)XIDS_HV_SHUTDOWN;
    return hv_unlock(hv, 0);
}

int xids_hv_domain_shutdown(struct xids_hv *hv, domid_t domid, uint32_t reason)
{
    if (reason > 255)
        return -XEN_EINVAL;
    struct hv_domain *d = domain_lock(hv, domid);
    if (!d)
        return -XEN_ESRCH;
    if ((d->flags & XIDS_HV_SHUTDOWN) == 0) {
        d->reason = reason;
        HV_STORE(d->flags, d->flags | XIDS_HV_SHUTDOWN);
        hv_virq_raise_global(hv, VIRQ_DOM_EXC);
    }
    return hv_unlock(hv, 0);
}

/* Closes every port of a domain. The records are walked, not a list: a domain's ports need not have an owner. */
static void ports_shut(struct xids_hv *hv, uint32_t slot)
{
    struct xids_hv_block *b = hv->block;
    const struct hv_domain *d = hv_domain_at(b, slot);
    for (uint32_t number = 1; number < d->port_chunks * HV_CHUNK && d->ports != 0; number++) {
        struct hv_port *p = hv_port_find(b, slot, number);
        if (p && (HV_LOAD(p->word) & HV_PORT_TYPE) != HV_PORT_FREE)
            hv_port_shut(hv, p);
    }
}

static void grants_drop(struct xids_hv *hv, uint32_t slot)
{
    struct xids_hv_block *b = hv->block;
    const struct hv_domain *d = hv_domain_at(b, slot);
    for (uint32_t number = 0; number < d->grant_chunks * HV_CHUNK && d->grants != 0; number++) {
        struct hv_grant *g = hv_grant_find(b, slot, number);
        if (g && (g->word & HV_GRANT_USED) != 0)
            hv_grant_drop(b, g);
    }
}

int xids_hv_domain_destroy(struct xids_hv *hv, domid_t domid)
{
    struct xids_hv_block *b = hv->block;
    struct hv_domain *d = domain_lock(hv, domid);
    if (!d)
        return -XEN_ESRCH;
    uint32_t slot = hv_domain_slot(b, domid);
    HV_STORE(d->flags, d->flags | XIDS_HV_DYING);
    while (d->owner_list != 0)
        hv_owner_shut(hv, hv_owner_at(b, d->owner_list), false);
    ports_shut(hv, slot);
    grants_drop(hv, slot);
    while (d->frame_list != 0)
        hv_frame_give_up(hv, d->frame_list);
    hv_chunks_put(b, slot);
    HV_STORE(d->live, 0);
    hv_domids(b)[domid] = 0;
    hv_domid_bits(b)[domid / 64u] &= ~(1ull << domid % 64u);
    hv_pool_put(&b->domains, slot, b, hv_domain_next_free);
    hv_virq_raise_global(hv, VIRQ_DOM_EXC);
    return hv_unlock(hv, 0);
}

static void info_fill(struct xids_hv_domain *info, const struct hv_domain *d)
{
    *info = (struct xids_hv_domain){
        .domid = (domid_t)d->domid,
        .flags = d->flags,
        .reason = d->reason,
        .incarnation = d->incarnation,
        .frames = d->frames,
        .ports = d->ports,
        .grants = d->grants,
        .owners = d->owners,
    };
    __builtin_memcpy(info->handle, d->handle, sizeof(info->handle));
}

int xids_hv_domain_info(struct xids_hv *hv, struct xids_hv_domain *info, domid_t domid)
{
    const struct hv_domain *d = domain_lock(hv, domid);
    if (!d)
        return -XEN_ESRCH;
    info_fill(info, d);
    return hv_unlock(hv, 0);
}

int xids_hv_domain_next(struct xids_hv *hv, struct xids_hv_domain *info, uint32_t from)
{
    struct xids_hv_block *b = hv->block;
    hv_lock(hv);
    const uint64_t *bits = hv_domid_bits(b);
    for (uint32_t domid = from; domid < HV_DOMIDS;) {
        uint64_t word = bits[domid / 64u] >> domid % 64u;
        if (word == 0) {
            domid = (domid / 64u + 1u) * 64u;
            continue;
        }
        domid += (uint32_t)__builtin_ctzll(word);
        info_fill(info, hv_domain_at(b, hv_domids(b)[domid]));
        return hv_unlock(hv, 0);
    }
    return hv_unlock(hv, -XEN_ENOENT);
}

int xids_hv_domain_set_handle(struct xids_hv *hv, domid_t domid, const uint8_t handle[16])
{
    struct hv_domain *d = domain_lock(hv, domid);
    if (!d)
        return -XEN_ESRCH;
    __builtin_memcpy(d->handle, handle, sizeof(d->handle));
    return hv_unlock(hv, 0);
}

int xids_hv_param_get(struct xids_hv *hv, uint64_t *value, domid_t domid, uint32_t index)
{
    if (index >= XIDS_HV_PARAMS)
        return -XEN_EINVAL;
    const struct hv_domain *d = domain_lock(hv, domid);
    if (!d)
        return -XEN_ESRCH;
    *value = d->param[index];
    return hv_unlock(hv, 0);
}

int xids_hv_param_set(struct xids_hv *hv, domid_t domid, uint32_t index, uint64_t value)
{
    if (index >= XIDS_HV_PARAMS)
        return -XEN_EINVAL;
    struct hv_domain *d = domain_lock(hv, domid);
    if (!d)
        return -XEN_ESRCH;
    d->param[index] = value;
    return hv_unlock(hv, 0);
}

int xids_hv_user_get(struct xids_hv *hv, uint64_t *value, domid_t domid, uint32_t index)
{
    if (index >= XIDS_HV_USER_WORDS)
        return -XEN_EINVAL;
    const struct hv_domain *d = domain_lock(hv, domid);
    if (!d)
        return -XEN_ESRCH;
    *value = d->user[index];
    return hv_unlock(hv, 0);
}

int xids_hv_user_set(struct xids_hv *hv, domid_t domid, uint32_t index, uint64_t value)
{
    if (index >= XIDS_HV_USER_WORDS)
        return -XEN_EINVAL;
    struct hv_domain *d = domain_lock(hv, domid);
    if (!d)
        return -XEN_ESRCH;
    d->user[index] = value;
    return hv_unlock(hv, 0);
}

uint32_t hv_owner_id(struct xids_hv_block *b, const struct hv_owner *o)
{
    return (uint32_t)(o - hv_owner_at(b, 0)) | (HV_LOAD(o->word) >> 1 & 0xfffu) << 20;
}

struct hv_owner *hv_owner_find(struct xids_hv_block *b, uint32_t owner)
{
    uint32_t slot = xids_hv_owner_slot(owner);
    if (slot == 0 || slot > HV_LOAD(b->owners.high))
        return NULL;
    struct hv_owner *o = hv_owner_at(b, slot);
    return (HV_LOAD(o->word) & 1u) != 0 && hv_owner_id(b, o) == owner ? o : NULL;
}

bool xids_hv_owner_alive(struct xids_hv *hv, uint32_t owner)
{
    return hv_owner_find(hv->block, owner) != NULL;
}

void hv_owner_link(struct xids_hv_block *b, struct hv_owner *o)
{
    struct hv_domain *d = hv_domain_at(b, o->domain);
    uint32_t slot = (uint32_t)(o - hv_owner_at(b, 0));
    o->prev = 0;
    o->next = d->owner_list;
    if (o->next)
        hv_owner_at(b, o->next)->prev = slot;
    d->owner_list = slot;
    d->owners++;
}

static void owner_unlink(struct xids_hv_block *b, struct hv_owner *o)
{
    struct hv_domain *d = hv_domain_at(b, o->domain);
    if (o->prev)
        hv_owner_at(b, o->prev)->next = o->next;
    else
        d->owner_list = o->next;
    if (o->next)
        hv_owner_at(b, o->next)->prev = o->prev;
    d->owners--;
}

int xids_hv_owner_open(struct xids_hv *hv, uint32_t *owner, domid_t domid, uint32_t cookie)
{
    struct xids_hv_block *b = hv->block;
    const struct hv_domain *d = domain_lock(hv, domid);
    if (!d)
        return -XEN_ESRCH;
    if ((d->flags & XIDS_HV_DYING) != 0)
        return hv_unlock(hv, -XEN_ESRCH);
    uint32_t slot = b->owners.free;
    if (slot != 0)
        b->owners.free = hv_owner_at(b, slot)->next_free;
    else if (b->owners.high < b->limits.owners)
        HV_STORE(b->owners.high, slot = b->owners.high + 1u);
    else
        return hv_unlock(hv, -XEN_ENOMEM);
    struct hv_owner *o = hv_owner_at(b, slot);
    HV_STORE(o->domain, hv_domain_slot(b, domid));
    o->cookie = cookie;
    o->port_list = o->map_list = 0;
    HV_STORE(o->word, (o->word | 1u) + 2u);
    hv_owner_link(b, o);
    *owner = hv_owner_id(b, o);
    return hv_unlock(hv, 0);
}

void hv_owner_shut(struct xids_hv *hv, struct hv_owner *o, bool notify)
{
    struct xids_hv_block *b = hv->block;
    while (o->map_list != 0)
        (void)hv_map_undo(hv, hv_map_at(b, o->map_list), notify);
    while (o->port_list != 0)
        hv_port_close(hv, hv_port_at(b, o->port_list - 1u));
    HV_STORE(o->word, o->word & ~1u);
    owner_unlink(b, o);
    hv_pool_put(&b->owners, (uint32_t)(o - hv_owner_at(b, 0)), b, hv_owner_next_free);
}

int xids_hv_owner_close(struct xids_hv *hv, uint32_t owner)
{
    hv_lock(hv);
    struct hv_owner *o = hv_owner_find(hv->block, owner);
    if (!o)
        return hv_unlock(hv, -XEN_EBADF);
    hv_owner_shut(hv, o, true);
    return hv_unlock(hv, 0);
}

int xids_hv_owner_rouse(struct xids_hv *hv, uint32_t owner)
{
    struct xids_hv_block *b = hv->block;
    hv_lock(hv);
    const struct hv_owner *o = hv_owner_find(b, owner);
    if (!o)
        return hv_unlock(hv, -XEN_EBADF);
    for (uint32_t at = o->port_list; at != 0; at = hv_port_at(b, at - 1u)->next) {
        uint64_t link = HV_LOAD(hv_port_at(b, at - 1u)->link);
        const struct hv_port *peer = hv_port_at(b, hv_ref_index(link));
        if (link != 0 && (HV_LOAD(peer->word) & HV_PORT_QUEUED) != 0 && hv->env.wake)
            hv->env.wake(hv->env.ctx, HV_LOAD(peer->owner), HV_LOAD(peer->number));
    }
    return hv_unlock(hv, 0);
}

int xids_hv_owner_next(struct xids_hv *hv, struct xids_hv_owner *info, uint32_t after)
{
    struct xids_hv_block *b = hv->block;
    hv_lock(hv);
    for (uint32_t slot = xids_hv_owner_slot(after) + 1u; slot <= b->owners.high; slot++) {
        const struct hv_owner *o = hv_owner_at(b, slot);
        if ((o->word & 1u) == 0)
            continue;
        info->owner = hv_owner_id(b, o);
        info->domid = (domid_t)hv_domain_at(b, o->domain)->domid;
        info->cookie = o->cookie;
        return hv_unlock(hv, 0);
    }
    return hv_unlock(hv, -XEN_ENOENT);
}
