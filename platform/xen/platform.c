/* SPDX-License-Identifier: ISC */
/* The Linux platform: opening and closing it. */
#include "platform/xen/internal.h"

#include <stdlib.h>
#include <xids/xs.h>

static const struct xids_platform_ops ops = {
    .page_alloc = xenp_page_alloc,
    .page_free = xenp_page_free,
    .grant = xenp_grant,
    .grant_end = xenp_grant_end,
    .share = xenp_share,
    .unshare = xenp_unshare,
    .map = xenp_map,
    .unmap = xenp_unmap,
    .copy = xenp_copy,
    .evtchn_alloc = xenp_evtchn_alloc,
    .evtchn_bind = xenp_evtchn_bind,
    .evtchn_bind_virq = xenp_evtchn_bind_virq,
    .evtchn_notify = xenp_evtchn_notify,
    .evtchn_mask = xenp_evtchn_mask,
    .evtchn_unmask = xenp_evtchn_unmask,
    .evtchn_close = xenp_evtchn_unbind,
    .evtchn_status = xenp_evtchn_status,
    .evtchn_pending = xenp_evtchn_pending,
    .wait = xenp_wait,
    .now = xenp_now,
};

static int open_devices(struct xenp *x, int evtchn_fd)
{
    int rc = xenp_evtchn_open(x, evtchn_fd);
    if (rc < 0)
        return rc;
    x->gnttab = xengnttab_open(NULL, 0);
    return x->gnttab == NULL ? xenp_errno() : 0;
}

int xids_platform_xen_open_with(struct xids_platform **p, domid_t domid, unsigned int flags, int evtchn_fd)
{
    struct xenp *x = calloc(1, sizeof(*x));
    if (x == NULL)
        return -XEN_ENOMEM;
    x->base = (struct xids_platform){.ops = &ops, .ctx = x, .domid = domid};
    x->flags = flags;
    x->ready_fd = x->event_fd = -1;
    int rc = open_devices(x, evtchn_fd);
    if (rc < 0) {
        xids_platform_xen_close(&x->base);
        return rc;
    }
    *p = &x->base;
    return 0;
}

int xids_platform_xen_open_as(struct xids_platform **p, domid_t domid, unsigned int flags)
{
    return xids_platform_xen_open_with(p, domid, flags, -1);
}

int xids_platform_xen_open(struct xids_platform **p, unsigned int flags)
{
    struct xids_xs *xs;
    domid_t domid;
    int rc = xids_xs_open(&xs, NULL);
    if (rc < 0)
        return rc;
    rc = xids_xs_own_domid(xs, &domid);
    xids_xs_close(xs);
    return rc < 0 ? rc : xids_platform_xen_open_as(p, domid, flags);
}

void xids_platform_xen_close(struct xids_platform *p)
{
    if (p == NULL)
        return;
    struct xenp *x = p->ctx;
    /* Memory first: its notifications need the ports. */
    xenp_memory_close(x);
    xenp_evtchn_close(x);
    if (x->control != NULL)
        xc_interface_close(x->control);
    free(x);
}

int xids_platform_xen_event_fd(const struct xids_platform *p)
{
    const struct xenp *x = p->ctx;
    return x->event_fd;
}
