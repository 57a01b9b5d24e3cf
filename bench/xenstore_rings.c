/* SPDX-License-Identifier: ISC */
#include "config.h"

#include "bench/xenstore_rings.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xen/grant_table.h>

void machine_join(struct xids_sim_machine *m, const struct peer *p)
{
    must(xids_sim_machine_attach(m, p->dir) == 0);
}

void machine_leave(struct xids_sim_machine *m)
{
    xids_sim_machine_detach(m);
}

static void introduce(struct answers *a, uint16_t domid, uint32_t frame, evtchn_port_t port)
{
    char payload[64];
    int n = snprintf(payload, sizeof(payload), "%u%c%u%c%u", domid, 0, frame, 0, port);
    must(n > 0 && ask(a, XS_INTRODUCE, 0, payload, (size_t)n + 1, NULL) == XS_INTRODUCE);
}

void guest_prepare(struct xids_sim_machine *m, struct guest *g, uint32_t *frame, bool hears)
{
    grant_ref_t ref;
    int rc = xids_hv_domain_create(&m->hv, XIDS_HV_DOMID_ANY, 0, NULL);
    must(rc > 0);
    *g = (struct guest){.domid = (uint16_t)rc, .queue = -1};
    must(xids_hv_frame_alloc(&m->hv, frame, g->domid, 1) == 0);
    must(xids_hv_grant(&m->hv, &ref, g->domid, 0, *frame, 0, GNTTAB_RESERVED_XENSTORE) == 0);
    if (hears) {
        g->queue = xids_sim_queue_open(m, &g->owner, g->domid, (uint32_t)getpid(), O_CLOEXEC);
        must(g->queue >= 0);
        rc = xids_hv_evtchn_alloc(&m->hv, g->owner, 0);
    } else {
        rc = xids_hv_evtchn_alloc_for(&m->hv, 0, g->domid, 0);
    }
    must(rc > 0);
    g->port = (evtchn_port_t)rc;
}

void guest_make(struct xids_sim_machine *m, struct answers *a, struct guest *g, bool hears)
{
    uint32_t frame;
    guest_prepare(m, g, &frame, hears);
    introduce(a, g->domid, frame, g->port);
    /* The introduction may clear the ring: the indices are read after it. */
    void *shared = m->hv.env.frame(m->hv.env.ctx, frame);
    void XIDS_PEER *page = (void XIDS_PEER *)(uintptr_t)shared;
    const struct xids_bytering_layout out = xids_bytering_xenstore_requests(page);
    const struct xids_bytering_layout in = xids_bytering_xenstore_replies(page);
    must(xids_bytering_attach(&g->requests, &out, true) == 0 && xids_bytering_attach(&g->replies, &in, false) == 0);
}

void guest_destroy(struct xids_sim_machine *m, struct guest *g)
{
    if (g->owner != 0) {
        xids_sim_queue_drop(m, g->owner);
        (void)xids_hv_owner_close(&m->hv, g->owner);
        (void)close(g->queue);
    }
    must(xids_hv_domain_destroy(&m->hv, g->domid) == 0);
}

void guest_end(struct xids_sim_machine *m, struct answers *a, struct guest *g)
{
    char text[16];
    (void)snprintf(text, sizeof(text), "%u", g->domid);
    (void)ask_path(a, XS_RELEASE, text);
    guest_destroy(m, g);
}

bool guest_put(struct guest *g, const uint8_t *bytes, size_t len)
{
    int room = xids_bytering_look(&g->requests);
    must(room >= 0);
    if ((size_t)room < len)
        return false;
    must(xids_bytering_write(&g->requests, bytes, (uint32_t)len) == (int)len);
    (void)xids_bytering_publish(&g->requests);
    return true;
}

void guest_notify(struct xids_sim_machine *m, const struct guest *g)
{
    must(xids_hv_evtchn_notify(&m->hv, g->owner, g->port) == 0);
}

void guest_hear(struct xids_sim_machine *m, struct guest *g)
{
    evtchn_port_t port;
    must(read(g->queue, &port, sizeof(port)) == (ssize_t)sizeof(port));
    if (xids_hv_evtchn_take(&m->hv, g->owner, port) > 0)
        must(xids_hv_evtchn_unmask(&m->hv, g->owner, port) >= 0);
}

unsigned int guest_take(struct guest *g)
{
    int n = xids_bytering_read(&g->replies, g->bytes + g->have, (uint32_t)(sizeof(g->bytes) - g->have));
    must(n >= 0);
    (void)xids_bytering_publish(&g->replies);
    g->have += (size_t)n;
    size_t used = 0;
    unsigned int count = 0;
    struct xids_xswire_msg msg;
    for (int len; (len = xids_xswire_peek(&msg, g->bytes + used, g->have - used)) != 0; used += (size_t)len) {
        must(len > 0);
        count += msg.type != XS_WATCH_EVENT;
    }
    g->have -= used;
    memmove(g->bytes, g->bytes + used, g->have);
    return count;
}
