/* SPDX-License-Identifier: ISC */
/* The table of the bare guest's platform. Its context is not used: there is one guest. */
#include "platform/guest/guest.h"

static int page_alloc(void *ctx, void **pages, unsigned int count)
{
    (void)ctx;
    if (count == 0 || count > XIDS_PLATFORM_PAGES_MAX)
        return -XEN_EINVAL;
    /* What peers have let go since comes back. */
    guest_grants_retry();
    void *at = guest_pages_get(count);
    if (at == NULL)
        return -XEN_ENOMEM;
    *pages = at;
    return 0;
}

static void page_free(void *ctx, void *pages, unsigned int count)
{
    (void)ctx;
    guest_pages_put(pages, count);
}

static uint64_t now(void *ctx)
{
    (void)ctx;
    return guest_now();
}

const struct xids_platform_ops guest_platform_ops = {
    .page_alloc = page_alloc,
    .page_free = page_free,
    .grant = guest_grant,
    .grant_end = guest_grant_end,
    .share = guest_share,
    .unshare = guest_unshare,
    .map = guest_map,
    .unmap = guest_unmap,
    .copy = guest_copy,
    .evtchn_alloc = guest_evtchn_alloc,
    .evtchn_bind = guest_evtchn_bind,
    .evtchn_bind_virq = guest_evtchn_bind_virq,
    .evtchn_notify = guest_evtchn_notify,
    .evtchn_mask = guest_evtchn_mask,
    .evtchn_unmask = guest_evtchn_unmask,
    .evtchn_close = guest_evtchn_close,
    .evtchn_status = guest_evtchn_status,
    .evtchn_pending = guest_evtchn_pending,
    .wait = guest_wait,
    .now = now,
};
