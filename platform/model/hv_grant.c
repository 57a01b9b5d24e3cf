/* SPDX-License-Identifier: ISC */
/* Grants of single pages, and copies through them. */
#include "platform/model/hv_block.h"

void hv_grant_drop(struct xids_hv_block *b, struct hv_grant *g)
{
    HV_STORE(g->word, 0);
    g->generation++;
    hv_frame_at(b, g->frame)->grants--;
    hv_domain_at(b, g->domain)->grants--;
    hv_grant_number_put(b, g->domain, g->number);
}

bool hv_grant_abandon(struct xids_hv *hv, struct hv_grant *g)
{
    if (g->maps != 0) {
        HV_STORE(g->word, g->word | HV_GRANT_ENDING);
        g->share = 0;
        return false;
    }
    uint32_t frame = g->frame;
    hv_grant_drop(hv->block, g);
    hv_frame_give_up(hv, frame);
    return true;
}

struct hv_grant *hv_grant_usable(struct xids_hv_block *b, uint32_t slot, grant_ref_t ref, domid_t user, bool write)
{
    struct hv_grant *g = hv_grant_find(b, slot, ref);
    if (!g || (g->word & HV_GRANT_USED) == 0 || (g->word & HV_GRANT_ENDING) != 0 || g->remote != user ||
        (write && (g->word & HV_GRANT_READONLY) != 0))
        return NULL;
    return g;
}

int xids_hv_grant(struct xids_hv *hv, grant_ref_t *ref, domid_t domid, domid_t remote, uint32_t frame,
                  unsigned int flags, grant_ref_t wanted)
{
    struct xids_hv_block *b = hv->block;
    uint32_t index;
    if (remote >= HV_DOMIDS || (flags & ~(unsigned int)XIDS_GRANT_READONLY) != 0)
        return -XEN_EINVAL;
    hv_lock(hv);
    uint32_t slot = hv_domain_slot(b, domid);
    if (slot == 0)
        return hv_unlock(hv, -XEN_ESRCH);
    if (!hv_frame_owned(b, frame, slot) || hv_frame_at(b, frame)->shared != 0)
        return hv_unlock(hv, -XEN_EINVAL);
    int number = hv_grant_number_take(b, &index, slot, wanted);
    if (number < 0)
        return hv_unlock(hv, number);
    struct hv_grant *g = hv_grant_at(b, index);
    g->generation++;
    g->frame = frame;
    g->number = (uint32_t)number;
    g->domain = slot;
    g->remote = remote;
    g->share = g->next = g->maps = 0;
    HV_STORE(g->word, HV_GRANT_USED | ((flags & XIDS_GRANT_READONLY) != 0 ? HV_GRANT_READONLY : 0));
    hv_frame_at(b, frame)->grants++;
    hv_domain_at(b, slot)->grants++;
    *ref = (grant_ref_t)number;
    return hv_unlock(hv, 0);
}

int xids_hv_grant_end(struct xids_hv *hv, domid_t domid, grant_ref_t ref)
{
    struct xids_hv_block *b = hv->block;
    hv_lock(hv);
    uint32_t slot = hv_domain_slot(b, domid);
    if (slot == 0)
        return hv_unlock(hv, -XEN_ESRCH);
    struct hv_grant *g = hv_grant_find(b, slot, ref);
    if (!g || (g->word & HV_GRANT_USED) == 0 || (g->word & HV_GRANT_ENDING) != 0 || g->share != 0)
        return hv_unlock(hv, -XEN_ENOENT);
    if (g->maps != 0)
        return hv_unlock(hv, -XEN_EBUSY);
    hv_grant_drop(b, g);
    return hv_unlock(hv, 0);
}

static int copy_one(struct xids_hv *hv, const struct xids_grant_copy *c, domid_t self)
{
    struct xids_hv_block *b = hv->block;
    if (c->len == 0 || c->offset >= XIDS_PAGE_SIZE || c->len > XIDS_PAGE_SIZE - c->offset)
        return -XEN_EINVAL;
    uint32_t slot = hv_domain_slot(b, c->domid);
    const struct hv_grant *g = slot == 0 ? NULL : hv_grant_usable(b, slot, c->ref, self, c->to_grant);
    if (!g)
        return -XEN_EACCES;
    char *page = hv->env.frame(hv->env.ctx, g->frame);
    if (c->to_grant)
        __builtin_memcpy(page + c->offset, c->memory, c->len);
    else
        __builtin_memcpy(c->memory, page + c->offset, c->len);
    return 0;
}

int xids_hv_copy(struct xids_hv *hv, uint32_t owner, struct xids_grant_copy *copies, uint32_t count)
{
    struct xids_hv_block *b = hv->block;
    hv_lock(hv);
    const struct hv_owner *o = hv_owner_find(b, owner);
    if (!o)
        return hv_unlock(hv, -XEN_EBADF);
    domid_t self = (domid_t)hv_domain_at(b, o->domain)->domid;
    for (uint32_t i = 0; i < count; i++)
        copies[i].status = copy_one(hv, &copies[i], self);
    return hv_unlock(hv, 0);
}
