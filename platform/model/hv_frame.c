/* SPDX-License-Identifier: ISC */
/* Pages: who owns them, how often they are mapped, and when they may be used again. */
#include "platform/model/hv_block.h"

static bool frame_used(struct xids_hv_block *b, uint32_t frame)
{
    return (hv_frame_bits(b)[frame / 64u] >> frame % 64u & 1u) != 0;
}

/* The first of count free frames in a row within [from, to], or 0. */
static uint32_t run_find(struct xids_hv_block *b, uint32_t from, uint32_t to, uint32_t count)
{
    const uint64_t *bits = hv_frame_bits(b);
    uint32_t run = 0;
    for (uint32_t f = from; f <= to;) {
        uint64_t word = bits[f / 64u];
        if (f % 64u == 0 && word == UINT64_MAX) {
            run = 0;
            f += 64u;
            continue;
        }
        run = word >> f % 64u & 1u ? 0 : run + 1u;
        if (run == count)
            return f - count + 1u;
        f++;
    }
    return 0;
}

void hv_frame_link(struct xids_hv_block *b, uint32_t frame)
{
    struct hv_frame *f = hv_frame_at(b, frame);
    struct hv_domain *d = hv_domain_at(b, f->domain);
    f->prev = 0;
    f->next = d->frame_list;
    if (f->next)
        hv_frame_at(b, f->next)->prev = frame;
    d->frame_list = frame;
    d->frames++;
}

static void frame_unlink(struct xids_hv_block *b, uint32_t frame)
{
    struct hv_frame *f = hv_frame_at(b, frame);
    struct hv_domain *d = hv_domain_at(b, f->domain);
    if (f->prev)
        hv_frame_at(b, f->prev)->next = f->next;
    else
        d->frame_list = f->next;
    if (f->next)
        hv_frame_at(b, f->next)->prev = f->prev;
    d->frames--;
}

int hv_frames_take(struct xids_hv *hv, uint32_t *first, uint32_t slot, uint32_t count, bool shared)
{
    struct xids_hv_block *b = hv->block;
    uint32_t at = 0, limit = b->limits.frames, used_before = b->frame_high;
    if (count == 0 || count > limit)
        return count == 0 ? -XEN_EINVAL : -XEN_ENOMEM;
    if (b->frame_high - b->frames_used >= count) {
        at = run_find(b, b->frame_cursor, b->frame_high, count);
        if (at == 0)
            at = run_find(b, 1, b->frame_high, count);
    }
    if (at == 0) {
        /* From the free ones at the end on, into what was never used. */
        for (at = b->frame_high + 1u; at > 1 && !frame_used(b, at - 1u);)
            at--;
        if (limit - at + 1u < count)
            return -XEN_ENOMEM;
        b->frame_high = at + count - 1u;
    }
    b->frame_cursor = at + count > b->frame_high ? 1u : at + count;
    for (uint32_t i = at; i < at + count; i++) {
        struct hv_frame *f = hv_frame_at(b, i);
        if (i <= used_before)
            __builtin_memset(hv->env.frame(hv->env.ctx, i), 0, XIDS_PAGE_SIZE);
        f->domain = slot;
        f->shared = shared ? 1 : 0;
        f->maps = f->grants = 0;
        HV_STORE(f->state, HV_FRAME_OWNED);
        hv_frame_bits(b)[i / 64u] |= 1ull << i % 64u;
        b->frames_used++;
        hv_frame_link(b, i);
    }
    *first = at;
    return 0;
}

void hv_frame_free_now(struct xids_hv *hv, uint32_t frame)
{
    struct xids_hv_block *b = hv->block;
    HV_STORE(hv_frame_at(b, frame)->state, HV_FRAME_FREE);
    hv_frame_bits(b)[frame / 64u] &= ~(1ull << frame % 64u);
    b->frames_used--;
    if (hv->env.freed)
        hv->env.freed(hv->env.ctx, frame);
}

void hv_frame_give_up(struct xids_hv *hv, uint32_t frame)
{
    struct hv_frame *f = hv_frame_at(hv->block, frame);
    frame_unlink(hv->block, frame);
    if (f->maps != 0)
        HV_STORE(f->state, HV_FRAME_ORPHAN);
    else
        hv_frame_free_now(hv, frame);
}

void hv_frame_unmapped(struct xids_hv *hv, uint32_t frame)
{
    struct hv_frame *f = hv_frame_at(hv->block, frame);
    if (--f->maps == 0 && f->state == HV_FRAME_ORPHAN)
        hv_frame_free_now(hv, frame);
}

bool hv_frame_owned(struct xids_hv_block *b, uint32_t frame, uint32_t slot)
{
    if (frame == 0 || frame > b->frame_high)
        return false;
    const struct hv_frame *f = hv_frame_at(b, frame);
    return f->state == HV_FRAME_OWNED && f->domain == slot;
}

int xids_hv_frame_alloc(struct xids_hv *hv, uint32_t *first, domid_t domid, uint32_t count)
{
    hv_lock(hv);
    uint32_t slot = hv_domain_slot(hv->block, domid);
    if (slot == 0)
        return hv_unlock(hv, -XEN_ESRCH);
    return hv_unlock(hv, hv_frames_take(hv, first, slot, count, false));
}

int xids_hv_frame_free(struct xids_hv *hv, domid_t domid, uint32_t first, uint32_t count)
{
    struct xids_hv_block *b = hv->block;
    hv_lock(hv);
    uint32_t slot = hv_domain_slot(b, domid);
    if (slot == 0)
        return hv_unlock(hv, -XEN_ESRCH);
    if (count == 0 || first == 0 || first > b->frame_high || count > b->frame_high - first + 1u)
        return hv_unlock(hv, -XEN_EINVAL);
    for (uint32_t f = first; f < first + count; f++) {
        if (!hv_frame_owned(b, f, slot))
            return hv_unlock(hv, -XEN_EINVAL);
        if (hv_frame_at(b, f)->grants != 0)
            return hv_unlock(hv, -XEN_EBUSY);
    }
    for (uint32_t f = first; f < first + count; f++)
        hv_frame_give_up(hv, f);
    return hv_unlock(hv, 0);
}
