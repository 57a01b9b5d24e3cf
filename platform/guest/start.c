/* SPDX-License-Identifier: ISC */
/*
 * Brings the guest up in order and runs the program.
 */
#include "platform/guest/guest.h"

#include <xen/sched.h>

static void step(const char *name, int rc)
{
    if (rc < 0) {
        xids_guest_print("xids: no %s (error %d)\n", name, -rc);
        xids_guest_shutdown(&guest_the, SHUTDOWN_crash);
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
