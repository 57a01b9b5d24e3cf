/* SPDX-License-Identifier: ISC */
/*
 * The connection to xenstore over the page and the port that the toolstack made, as a part of the loop.
 *
 * A store that is updated takes nothing with it but time: the page stays, and the next daemon goes on where it stands.
 * (One that dies and comes back without its state has forgotten our watches, and nobody tells.) A ring that is broken
 * is begun anew where the store offers that.
 */
#include "platform/guest/guest.h"

#include <xen/hvm/params.h>

/* A broken ring is begun anew at most so often. */
#define RECONNECT_NS 1000000000u

static const struct xids_xs_client_limits limits = {
    .requests = 64, .watches = 64, .transactions = 8, .watch_path = 255, .out_bytes = 16384};

static struct xids_xs_ring ring;
static struct xids_part part;
static bool told;             /* the user knows that it is broken */
static uint64_t reconnect_at; /* not before */

/* The page and the port of this domain's connection. -XEN_ENODEV: it has none. */
static int find(void XIDS_PEER **page, evtchn_port_t *port)
{
    uint64_t pfn = 0, number = 0;
    int rc = hypercall_hvm_get_param(&pfn, HVM_PARAM_STORE_PFN);
    if (rc == 0)
        rc = hypercall_hvm_get_param(&number, HVM_PARAM_STORE_EVTCHN);
    if (rc < 0)
        return rc;
    *page = pfn == 0 || number == 0 ? NULL : arch_xen_page(pfn);
    *port = (evtchn_port_t)number;
    return *page == NULL ? -XEN_ENODEV : guest_port_adopt(*port);
}

static void broken(uint64_t now)
{
    if (!told)
        xids_guest_print("xids: xenstore: %s\n", xids_xs_client_reason(guest_the.xenstore));
    told = true;
    if (ring.reconnecting || now < reconnect_at)
        return;
    reconnect_at = xids_xs_ring_reconnect(&ring) == 0 ? now + RECONNECT_NS : UINT64_MAX;
}

static bool store_event(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    return port == ring.port && guest_evtchn_unmask(NULL, port) == 0;
}

static uint64_t store_step(void *ctx, uint64_t now)
{
    (void)ctx;
    uint32_t before = ring.replies.own;
    bool worked = xids_xs_client_error(guest_the.xenstore) == 0;
    bool late = xids_xs_client_deadline(guest_the.xenstore) <= now;
    xids_xs_client_tick(guest_the.xenstore, now);
    if (ring.page == NULL)
        return UINT64_MAX;
    /*
     * Where callbacks came, with replies, with a request's end for its lateness, with the end of the connection, there
     * is another turn at once: whom they concern has had this one already, for this part is the last.
     */
    if (xids_xs_ring_pump(&ring) < 0) {
        broken(now);
        return worked ? 0 : ring.reconnecting || reconnect_at < now ? UINT64_MAX : reconnect_at;
    }
    told = false;
    return late || ring.replies.own != before ? 0 : xids_xs_client_deadline(guest_the.xenstore);
}

void guest_store_turn(void)
{
    xids_loop_remove(&guest_the.loop, &part);
    xids_loop_add(&guest_the.loop, &part);
}

static int client_init(void)
{
    size_t size = xids_xs_client_size(&limits);
    void *memory = guest_pages_get((unsigned int)((size + XIDS_PAGE_SIZE - 1) / XIDS_PAGE_SIZE));
    return memory == NULL ? -XEN_ENOMEM : xids_xs_client_init(&guest_the.xenstore, memory, size, &limits);
}

int guest_store_init(bool again)
{
    void XIDS_PEER *page = NULL;
    evtchn_port_t port = 0;
    int rc = again ? 0 : client_init();
    if (rc < 0)
        return rc;
    int found = find(&page, &port);
    told = false;
    reconnect_at = 0;
    if (found < 0) {
        /* A domain can live without. Whoever wants something of it is told. */
        ring = (struct xids_xs_ring){.client = guest_the.xenstore};
        if (again)
            xids_xs_client_reset(guest_the.xenstore);
        xids_xs_client_fail(guest_the.xenstore, -XEN_ENODEV, "this domain has none");
    } else if (again) {
        /* What is wrong with the page is found again, and told, when it is used. */
        (void)!xids_xs_ring_resume(&ring, page, port);
    } else {
        (void)!xids_xs_ring_init(&ring, guest_the.xenstore, &guest_the.platform, page, port);
    }
    if (!again) {
        part = (struct xids_part){.event = store_event, .step = store_step};
        xids_loop_add(&guest_the.loop, &part);
    }
    return 0;
}
