/* SPDX-License-Identifier: ISC */
/* Domains whose kernel the conformance program is: pages, ports, life and death on the simulated machine. */
#include "tests/interop/conformance.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xen/sched.h>

struct xids_sim_machine machine;

/* Numbers differ from case to case, so that what one leaves in the store is not found by the next. */
unsigned int first_domid;
static struct client *domains[DOMAINS];
unsigned int domid_of(unsigned int n)
{
    return first_domid + n;
}

static void must(int rc, const char *what)
{
    if (rc < 0)
        broken("%s: %s", what, strerror(-rc));
}

static void build(struct client *g)
{
    struct xids_hv *hv = &machine.hv;
    uint8_t handle[16] = {(uint8_t)g->domid, (uint8_t)(g->domid >> 8), (uint8_t)getpid()};
    grant_ref_t ref;
    must(xids_hv_domain_create(hv, g->domid, 0, handle), "a domain");
    must(xids_hv_frame_alloc(hv, &g->frame, g->domid, 1), "a page");
    must(xids_hv_grant(hv, &ref, g->domid, 0, g->frame, 0, 1 /* GNTTAB_RESERVED_XENSTORE */), "its grant");
    int port = xids_hv_evtchn_alloc_for(hv, 0, g->domid, 0);
    must(port, "a port");
    g->port = (evtchn_port_t)port;
    g->fd = xids_sim_queue_open(&machine, &g->owner, g->domid, 0, O_CLOEXEC | O_NONBLOCK);
    must(g->fd, "a queue of events");
    must(xids_hv_evtchn_adopt(hv, g->owner, g->port), "the port");
    g->page = machine.ram + (size_t)(g->frame - 1) * XIDS_PAGE_SIZE;
}

struct client *uninformed_guest(unsigned int n)
{
    if (domains[n] != NULL)
        return domains[n];
    struct client *g = domains[n] = calloc(1, sizeof(*g));
    if (g == NULL)
        broken("no memory");
    g->ring = true;
    g->domid = (uint16_t)domid_of(n);
    build(g);
    return g;
}

struct client *reborn(unsigned int n)
{
    domains[n] = NULL;
    return uninformed_guest(n);
}

void reattach(struct client *g)
{
    struct xids_bytering_layout out = xids_bytering_xenstore_requests(g->page);
    struct xids_bytering_layout in = xids_bytering_xenstore_replies(g->page);
    must(xids_bytering_attach(&g->out, &out, true), "the ring");
    must(xids_bytering_attach(&g->in, &in, false), "the ring");
    g->have = g->taken = g->events_len = 0;
}

void introduce(struct client *by, struct client *g)
{
    done(by, XS_INTRODUCE, "%u|%u|%u|", g->domid, g->frame, g->port);
    reattach(g);
}

struct client *guest(unsigned int n)
{
    if (domains[n] != NULL)
        return domains[n];
    struct client *by = socket_client();
    introduce(by, uninformed_guest(n));
    (void)close(by->fd);
    free(by);
    return domains[n];
}

void notify_store(const struct client *g)
{
    /* Fails when the store has unbound the port: what is waited for does not come then. */
    if (xids_hv_evtchn_notify(&machine.hv, g->owner, g->port) < 0) {
    }
}

static uint32_t *word(const struct client *g, size_t offset)
{
    return (uint32_t *)(void *)(g->page + offset);
}

uint32_t page_word(const struct client *g, size_t offset)
{
    return __atomic_load_n(word(g, offset), __ATOMIC_ACQUIRE);
}

void set_page_word(const struct client *g, size_t offset, uint32_t value)
{
    __atomic_store_n(word(g, offset), value, __ATOMIC_RELEASE);
}

/* ---- ends ---- */

static void destroy(uint16_t domid)
{
    struct xids_hv_owner o = {0};
    while (xids_hv_owner_next(&machine.hv, &o, o.owner) == 0) {
        if (o.domid == domid)
            xids_sim_queue_drop(&machine, o.owner);
    }
    (void)xids_hv_domain_destroy(&machine.hv, domid);
}

void domain_dies(struct client *g)
{
    destroy(g->domid);
}

void domain_shuts_down(const struct client *g)
{
    must(xids_hv_domain_shutdown(&machine.hv, g->domid, SHUTDOWN_suspend), "shutdown");
}

void domain_resumes(const struct client *g)
{
    must(xids_hv_domain_resume(&machine.hv, g->domid), "resume");
}

void wait_until_unknown(struct client *by, const struct client *g)
{
    for (int i = 0; i < 500; i++) {
        if (strcmp(ask(by, XS_IS_DOMAIN_INTRODUCED, 0, "%u|", g->domid), "F|") == 0)
            return;
        (void)nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    }
    broken("domain %u is dead, and the store still knows it", g->domid);
}

void machine_tidy(void (*gone)(uint16_t domid))
{
    struct xids_hv_domain info = {0};
    while (xids_hv_domain_next(&machine.hv, &info, info.domid + 1u) == 0) {
        destroy(info.domid);
        gone(info.domid);
    }
}
