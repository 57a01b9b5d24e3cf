/* SPDX-License-Identifier: ISC */
/*
 * libxenvchan.so.4.17, its platform: what the core needs for one channel, on the three libraries that Xen's libxenvchan
 * needs too. The one of platform/xen is for many channels: it wants libxenctrl, an epoll set and a descriptor that does
 * not block, where programs of libxenvchan know the descriptor and sleep in it.
 */
#include "vchan/libxenvchan.h"

#include <errno.h>
#include <sys/mman.h>
#include <time.h>

/* The negative errno of a failed library call; Linux's numbers are Xen's. */
static int failed(void)
{
    return errno > 0 ? -errno : -XEN_EIO;
}

static int share(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count, unsigned int flags,
                 const struct xids_unmap_notify *notify)
{
    struct xids_lxv *v = ctx;
    int writable = (flags & XIDS_GRANT_READONLY) == 0;
    if (notify == NULL)
        *pages = xengntshr_share_pages(v->pub.gntshr, domid, (int)count, refs, writable);
    else
        *pages = xengntshr_share_page_notify(v->pub.gntshr, domid, refs, writable, notify->offset, notify->port);
    return *pages != NULL ? 0 : failed();
}

static int unshare(void *ctx, void *pages, unsigned int count)
{
    struct xids_lxv *v = ctx;
    return xengntshr_unshare(v->pub.gntshr, pages, count) < 0 ? failed() : 0;
}

static int map(void *ctx, void XIDS_PEER **area, const grant_ref_t *refs, domid_t domid, unsigned int count,
               unsigned int flags, const struct xids_unmap_notify *notify)
{
    struct xids_lxv *v = ctx;
    uint32_t copy[XIDS_PLATFORM_PAGES_MAX]; /* the library's parameter is not const */
    int prot = (flags & XIDS_MAP_READONLY) != 0 ? PROT_READ : PROT_READ | PROT_WRITE;
    void *at;
    if (count > XIDS_PLATFORM_PAGES_MAX)
        return -XEN_EINVAL;
    for (unsigned int i = 0; i < count; i++)
        copy[i] = refs[i];
    if (notify == NULL)
        at = xengnttab_map_domain_grant_refs(v->pub.gnttab, count, domid, copy, prot);
    else
        at = xengnttab_map_grant_ref_notify(v->pub.gnttab, domid, refs[0], prot, notify->offset, notify->port);
    if (at == NULL)
        return failed();
    *area = (void XIDS_PEER *)at;
    return 0;
}

static int unmap(void *ctx, void XIDS_PEER *area, unsigned int count)
{
    struct xids_lxv *v = ctx;
    return xengnttab_unmap(v->pub.gnttab, XIDS_PEER_RAW(void, area), count) < 0 ? failed() : 0;
}

static int evtchn_alloc(void *ctx, domid_t remote)
{
    struct xids_lxv *v = ctx;
    int port = xenevtchn_bind_unbound_port(v->pub.event, remote);
    return port < 0 ? failed() : port;
}

static int evtchn_bind(void *ctx, domid_t remote, evtchn_port_t remote_port)
{
    struct xids_lxv *v = ctx;
    int port = xenevtchn_bind_interdomain(v->pub.event, remote, remote_port);
    return port < 0 ? failed() : port;
}

static int evtchn_notify(void *ctx, evtchn_port_t port)
{
    struct xids_lxv *v = ctx;
    return xenevtchn_notify(v->pub.event, port) < 0 ? failed() : 0;
}

static int evtchn_unmask(void *ctx, evtchn_port_t port)
{
    struct xids_lxv *v = ctx;
    return xenevtchn_unmask(v->pub.event, port) < 0 ? failed() : 0;
}

static int evtchn_close(void *ctx, evtchn_port_t port)
{
    struct xids_lxv *v = ctx;
    return xenevtchn_unbind(v->pub.event, port) < 0 ? failed() : 0;
}

/* It would need libxenctrl. */
static int evtchn_status(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    (void)port;
    return -XEN_EACCES;
}

static uint64_t now(void *ctx)
{
    struct timespec ts;
    (void)ctx;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* What is missing here a channel does not call. */
static const struct xids_platform_ops ops = {
    .share = share,
    .unshare = unshare,
    .map = map,
    .unmap = unmap,
    .evtchn_alloc = evtchn_alloc,
    .evtchn_bind = evtchn_bind,
    .evtchn_notify = evtchn_notify,
    .evtchn_unmask = evtchn_unmask,
    .evtchn_close = evtchn_close,
    .evtchn_status = evtchn_status,
    .now = now,
};

void xids_lxv_platform_init(struct xids_lxv *v)
{
    v->platform = (struct xids_platform){.ops = &ops, .ctx = v};
}

int xids_lxv_take_event(struct xids_lxv *v)
{
    int port = xenevtchn_pending(v->pub.event);
    if (port < 0)
        return failed();
    return xenevtchn_unmask(v->pub.event, (evtchn_port_t)port) < 0 ? failed() : 0;
}
