/* SPDX-License-Identifier: ISC */
/*
 * The one guest: what it has, who it is, and how it ends.
 */
#include "platform/guest/guest.h"

#include <xen/sched.h>

struct xids_guest guest_the;

int guest_domid(domid_t *domid)
{
    /* Xen has no call for it, but writes out who "self" is when it shows a port that waits for self. */
    struct evtchn_alloc_unbound alloc = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
    int rc = hypercall_event_channel_op(EVTCHNOP_alloc_unbound, &alloc);
    if (rc < 0)
        return rc;
    struct evtchn_status status = {.dom = DOMID_SELF, .port = alloc.port};
    rc = hypercall_event_channel_op(EVTCHNOP_status, &status);
    if (rc == 0 && status.status == EVTCHNSTAT_unbound)
        *domid = status.u.unbound.dom;
    else if (rc == 0)
        rc = -XEN_ENODEV;
    struct evtchn_close done = {.port = alloc.port};
    (void)hypercall_event_channel_op(EVTCHNOP_close, &done);
    return rc;
}

void xids_guest_shutdown(struct xids_guest *g, unsigned int reason)
{
    (void)g;
    guest_console_flush();
    arch_shutdown(reason);
}

void xids_guest_panic(const char *what)
{
    xids_guest_print("xids: panic at %p: %s\n", __builtin_return_address(0), what);
    arch_backtrace();
    guest_console_flush();
    arch_shutdown(SHUTDOWN_crash);
}

struct xids_platform *xids_guest_platform(struct xids_guest *g)
{
    return &g->platform;
}

struct xids_loop *xids_guest_loop(struct xids_guest *g)
{
    return &g->loop;
}

struct xids_xs_client *xids_guest_xenstore(struct xids_guest *g)
{
    return g->xenstore;
}

void xids_guest_set_life(struct xids_guest *g, const struct xids_guest_life *life)
{
    g->life = life;
}
