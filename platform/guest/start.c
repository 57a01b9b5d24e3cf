/* SPDX-License-Identifier: ISC */
/*
 * Brings the guest up in order, runs the program, and ends the domain.
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

static void step(const char *name, int rc)
{
    if (rc < 0) {
        xids_guest_print("xids: no %s (error %d)\n", name, -rc);
        arch_shutdown(SHUTDOWN_crash);
    }
    xids_guest_mark(&guest_the, name);
}

void guest_start(const struct guest_boot *boot)
{
    static const char not_xen[] = "xids: this kernel needs Xen, and there is none below it\n";
    struct xids_guest *g = &guest_the;

    if (!arch_on_xen()) {
        arch_early_write(not_xen, sizeof(not_xen) - 1);
        arch_shutdown(SHUTDOWN_crash);
    }
    g->command_line = boot->command_line;
    xids_guest_mark(g, "boot");
    step("memory", guest_memory_init(boot));
    step("space", guest_space_init(boot));
    step("shared info", guest_shared_info_init());
    step("clock", guest_time_init(boot, false));
    guest_marks_init(boot);
    step("events", guest_events_init(false));
    g->platform.ops = &guest_platform_ops;
    g->platform.ctx = g;
    step("domid", guest_domid(&g->platform.domid));
    xids_loop_init(&g->loop, &g->platform);
    step("grants", guest_grants_init(false));
    step("console", guest_console_init(false));
    step("xenstore", guest_store_init(false));
    step("life", guest_life_init());

    int rc = xids_guest_main(g);
    if (rc != 0)
        xids_guest_print("xids: the program ended with %d\n", rc);
    xids_guest_shutdown(g, rc == 0 ? SHUTDOWN_poweroff : SHUTDOWN_crash);
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
