/* SPDX-License-Identifier: ISC */
#include "config.h"

#include "bench/randomd_many.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* How long a channel may take to be published, in ms. A limit against hanging. */
#define PATIENCE_MS 60000u

void many_must(bool good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "bench randomd: the guests failed: %s\n", what);
    _exit(1);
}

/* ---- a domain's platform: what a vchan's client needs ---- */

static int map(void *ctx, void XIDS_PEER **area, const grant_ref_t *refs, domid_t domid, unsigned int count,
               unsigned int flags, const struct xids_unmap_notify *notify)
{
    struct many_guest *g = ctx;
    struct many_map *made = &g->maps[g->maps[0].at == NULL ? 0 : 1];
    uint32_t frame = 0;
    many_must(count == 1 && made->at == NULL, "a channel of one page");
    int rc = xids_hv_map(&g->m->machine.hv, &made->id, &frame, g->owner, domid, refs, count, flags, notify);
    if (rc < 0)
        return rc;
    made->at = xids_sim_map_frames(&g->m->machine, NULL, &frame, 1, PROT_READ | PROT_WRITE);
    many_must(made->at != NULL, "mapping a page");
    *area = (void XIDS_PEER *)made->at;
    return 0;
}

static int unmap(void *ctx, void XIDS_PEER *area, unsigned int count)
{
    struct many_guest *g = ctx;
    struct many_map *made = &g->maps[g->maps[0].at == (void *)(uintptr_t)area ? 0 : 1];
    (void)munmap(made->at, (size_t)count * XIDS_PAGE_SIZE);
    made->at = NULL;
    return xids_hv_unmap(&g->m->machine.hv, g->owner, made->id);
}

static int evtchn_bind(void *ctx, domid_t remote, evtchn_port_t remote_port)
{
    struct many_guest *g = ctx;
    return xids_hv_evtchn_bind(&g->m->machine.hv, g->owner, remote, remote_port);
}

static int evtchn_notify(void *ctx, evtchn_port_t port)
{
    struct many_guest *g = ctx;
    return xids_hv_evtchn_notify(&g->m->machine.hv, g->owner, port);
}

static int evtchn_unmask(void *ctx, evtchn_port_t port)
{
    struct many_guest *g = ctx;
    return xids_hv_evtchn_unmask(&g->m->machine.hv, g->owner, port);
}

static int evtchn_close(void *ctx, evtchn_port_t port)
{
    struct many_guest *g = ctx;
    return xids_hv_evtchn_close(&g->m->machine.hv, g->owner, port);
}

static int evtchn_status(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    (void)port;
    return -XEN_EACCES;
}

static int evtchn_pending(void *ctx)
{
    struct many_guest *g = ctx;
    evtchn_port_t port;
    while (read(g->queue, &port, sizeof(port)) == (ssize_t)sizeof(port))
        if (xids_hv_evtchn_take(&g->m->machine.hv, g->owner, port) == 1)
            return (int)port;
    return 0;
}

static uint64_t now(void *ctx)
{
    struct timespec t;
    (void)ctx;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static const struct xids_platform_ops ops = {
    .map = map,
    .unmap = unmap,
    .evtchn_bind = evtchn_bind,
    .evtchn_notify = evtchn_notify,
    .evtchn_unmask = evtchn_unmask,
    .evtchn_close = evtchn_close,
    .evtchn_status = evtchn_status,
    .evtchn_pending = evtchn_pending,
    .now = now,
};

/* ---- guests ---- */

void many_open(struct many *m)
{
    char dir[XIDS_SIM_DIR_MAX];
    memset(m, 0, sizeof(*m));
    many_must(xids_sim_default_dir(dir) == 0 && xids_sim_machine_attach(&m->machine, dir) == 0, "the machine");
    many_must(xids_xs_open(&m->xs, NULL) == 0, "xenstore");
    m->poll = epoll_create1(EPOLL_CLOEXEC);
    many_must(m->poll >= 0, "epoll");
}

void many_close(struct many *m)
{
    (void)close(m->poll);
    xids_xs_close(m->xs);
    xids_sim_machine_detach(&m->machine);
}

static bool look_up(struct many *m, domid_t domid, uint32_t *ref, uint32_t *port)
{
    char path[96];
    (void)snprintf(path, sizeof(path), "/local/domain/0/backend/randomd/%u/0/event-channel", domid);
    bool there = xids_xs_read_u32(m->xs, port, XIDS_XS_NO_TX, path) >= 0;
    (void)snprintf(path, sizeof(path), "/local/domain/0/backend/randomd/%u/0/ring-ref", domid);
    return there && xids_xs_read_u32(m->xs, ref, XIDS_XS_NO_TX, path) >= 0;
}

void many_connect(struct many *m, struct many_guest *g, domid_t domid)
{
    struct xids_randomd_client_config config;
    uint32_t ref = 0, port = 0;
    memset(g, 0, sizeof(*g));
    memset(&config, 0, sizeof(config));
    memcpy(config.nonce, &domid, sizeof(domid));
    g->m = m;
    g->platform = (struct xids_platform){.ops = &ops, .ctx = g, .domid = domid};
    /* No process of the simulator's dies with these: no lifeline. */
    g->queue = xids_sim_queue_open(&m->machine, &g->owner, domid, 0, O_CLOEXEC);
    many_must(g->queue >= 0 && fcntl(g->queue, F_SETFL, O_NONBLOCK) == 0, "an event queue");
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = g};
    many_must(epoll_ctl(m->poll, EPOLL_CTL_ADD, g->queue, &e) == 0, "epoll_ctl");
    void *mem = malloc(xids_randomd_client_size());
    g->ch = malloc(xids_vchan_size());
    many_must(mem != NULL && g->ch != NULL, "memory");
    many_must(xids_randomd_client_init(&g->client, mem, xids_randomd_client_size(), &config, now(g)) == 0, "a client");
    for (unsigned int i = 0; !look_up(m, domid, &ref, &port) && i < PATIENCE_MS; i++)
        (void)usleep(1000);
    many_must(xids_vchan_client_init(g->ch, &g->platform, 0, ref, port, XIDS_VCHAN_WIPE | XIDS_VCHAN_BATCH) == 0,
              "a channel");
    xids_randomd_client_connected(g->client, now(g));
}

void many_part(struct many_guest *g)
{
    void *mem = g->client;
    xids_randomd_client_fini(g->client);
    xids_vchan_fini(g->ch);
    free(mem);
    free(g->ch);
    xids_sim_queue_drop(&g->m->machine, g->owner);
    (void)xids_hv_owner_close(&g->m->machine.hv, g->owner);
    (void)close(g->queue);
}

unsigned int many_wait(struct many *m, struct many_guest **woken, unsigned int max, int ms)
{
    struct epoll_event events[256];
    unsigned int count = 0;
    int n = epoll_wait(m->poll, events, max < 256 ? (int)max : 256, ms);
    for (int i = 0; i < n; i++) {
        struct many_guest *g = events[i].data.ptr;
        int port;
        while ((port = evtchn_pending(g)) > 0)
            if ((evtchn_port_t)port == xids_vchan_port(g->ch))
                (void)xids_vchan_event(g->ch);
        woken[count++] = g;
    }
    return count;
}
