/* SPDX-License-Identifier: ISC */
/* The platform of a fake guest: an event channel to the store, a clock, and no more. */
#include "xenstore/testing_impl.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

/* ---- what there is not ---- */

static int guest_none(void)
{
    return -XEN_ENOSYS;
}

static int page_alloc(void *ctx, void **pages, unsigned int count)
{
    (void)ctx;
    (void)pages;
    (void)count;
    return guest_none();
}

static void page_free(void *ctx, void *pages, unsigned int count)
{
    (void)ctx;
    (void)pages;
    (void)count;
}

static int grant(void *ctx, grant_ref_t *ref, domid_t domid, void *page, unsigned int flags)
{
    (void)ctx;
    (void)ref;
    (void)domid;
    (void)page;
    (void)flags;
    return guest_none();
}

static int grant_end(void *ctx, grant_ref_t ref)
{
    (void)ctx;
    (void)ref;
    return guest_none();
}

static int share(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count, unsigned int flags,
                 const struct xids_unmap_notify *notify)
{
    (void)ctx;
    (void)pages;
    (void)refs;
    (void)domid;
    (void)count;
    (void)flags;
    (void)notify;
    return guest_none();
}

static int unshare(void *ctx, void *pages, unsigned int count)
{
    (void)ctx;
    (void)pages;
    (void)count;
    return guest_none();
}

static int map(void *ctx, void XIDS_PEER **area, const grant_ref_t *refs, domid_t domid, unsigned int count,
               unsigned int flags, const struct xids_unmap_notify *notify)
{
    (void)ctx;
    (void)area;
    (void)refs;
    (void)domid;
    (void)count;
    (void)flags;
    (void)notify;
    return guest_none();
}

static int unmap(void *ctx, void XIDS_PEER *area, unsigned int count)
{
    (void)ctx;
    (void)area;
    (void)count;
    return guest_none();
}

static int copy(void *ctx, struct xids_grant_copy *copies, unsigned int count)
{
    (void)ctx;
    (void)copies;
    (void)count;
    return guest_none();
}

static int evtchn_alloc(void *ctx, domid_t remote)
{
    (void)ctx;
    (void)remote;
    return guest_none();
}

static int evtchn_bind(void *ctx, domid_t remote, evtchn_port_t port)
{
    (void)ctx;
    (void)remote;
    (void)port;
    return guest_none();
}

static int evtchn_bind_virq(void *ctx, unsigned int virq)
{
    (void)ctx;
    (void)virq;
    return guest_none();
}

/* ---- what there is ---- */

/* The port can be delivered, or not any more. */
static void set_event(struct tst_domain *d)
{
    uint64_t n = 1;
    if (d->pending && !d->masked)
        (void)!write(d->event, &n, sizeof(n));
    else
        (void)!read(d->event, &n, sizeof(n));
}

void tst_guest_notify(struct tst_domain *d)
{
    d->pending = true;
    set_event(d);
}

static int guest_notify(void *ctx, evtchn_port_t port)
{
    struct tst_domain *d = ctx;
    if (port != TST_GUEST_PORT)
        return -XEN_EINVAL;
    tst_lock(d->core);
    d->due = true;
    tst_wake(d->core);
    pthread_mutex_unlock(&d->core->lock);
    return 0;
}

static int set_mask(struct tst_domain *d, evtchn_port_t port, bool masked)
{
    if (port != TST_GUEST_PORT)
        return -XEN_EINVAL;
    tst_lock(d->core);
    d->masked = masked;
    set_event(d);
    pthread_mutex_unlock(&d->core->lock);
    return 0;
}

static int guest_mask(void *ctx, evtchn_port_t port)
{
    return set_mask(ctx, port, true);
}

static int guest_unmask(void *ctx, evtchn_port_t port)
{
    return set_mask(ctx, port, false);
}

static int guest_close(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    return port == TST_GUEST_PORT ? 0 : -XEN_EINVAL;
}

static int guest_status(void *ctx, evtchn_port_t port)
{
    struct tst_domain *d = ctx;
    if (port != TST_GUEST_PORT)
        return XIDS_EVTCHN_CLOSED;
    tst_lock(d->core);
    int status = d->introduced ? XIDS_EVTCHN_INTERDOMAIN : XIDS_EVTCHN_UNBOUND;
    pthread_mutex_unlock(&d->core->lock);
    return status;
}

static int guest_pending(void *ctx)
{
    struct tst_domain *d = ctx;
    int port = 0;
    tst_lock(d->core);
    if (d->pending && !d->masked) {
        d->pending = false;
        d->masked = true;
        set_event(d);
        port = TST_GUEST_PORT;
    }
    pthread_mutex_unlock(&d->core->lock);
    return port;
}

static uint64_t guest_now(void *ctx)
{
    (void)ctx;
    return tst_now();
}

/* Milliseconds until then, rounded up, for poll. */
static int left(uint64_t deadline)
{
    if (deadline == UINT64_MAX)
        return -1;
    uint64_t now = tst_now();
    uint64_t ms = deadline > now ? (deadline - now + 999999u) / 1000000u : 0;
    return ms < 1000000 ? (int)ms : 1000000;
}

static bool has_event(struct tst_domain *d)
{
    tst_lock(d->core);
    if (d->core->manual)
        tst_turns(d->core);
    bool yes = d->pending && !d->masked;
    pthread_mutex_unlock(&d->core->lock);
    return yes;
}

static int guest_wait(void *ctx, uint64_t deadline)
{
    struct tst_domain *d = ctx;
    while (!has_event(d)) {
        if (deadline != UINT64_MAX && tst_now() >= deadline)
            return 0;
        struct pollfd p = {.fd = d->event, .events = POLLIN};
        if (d->core->manual)
            tst_wait(d->core, left(deadline));
        else if (poll(&p, 1, left(deadline)) < 0 && errno == EINTR)
            return -XEN_EINTR;
    }
    return 1;
}

const struct xids_platform_ops tst_guest_ops = {
    .page_alloc = page_alloc,
    .page_free = page_free,
    .grant = grant,
    .grant_end = grant_end,
    .share = share,
    .unshare = unshare,
    .map = map,
    .unmap = unmap,
    .copy = copy,
    .evtchn_alloc = evtchn_alloc,
    .evtchn_bind = evtchn_bind,
    .evtchn_bind_virq = evtchn_bind_virq,
    .evtchn_notify = guest_notify,
    .evtchn_mask = guest_mask,
    .evtchn_unmask = guest_unmask,
    .evtchn_close = guest_close,
    .evtchn_status = guest_status,
    .evtchn_pending = guest_pending,
    .wait = guest_wait,
    .now = guest_now,
};
