/* SPDX-License-Identifier: ISC */
/*
 * A guest that means xids-randomd no good, for tests/interop/hostile.sh: it takes the channel that it was given by
 * hand, without our vchan, and misuses it for so many seconds.
 *
 *     hostile_guest storm|scribble|churn|hold|greedy SECONDS
 *
 *     storm      sends events as fast as it can
 *     scribble   writes random bytes all over the shared page, and events
 *     churn      connects and leaves, as often as there is a channel
 *     hold       the same, but keeps every page mapped
 *     greedy     asks without end, and takes what comes
 *
 * It says "ready" when it begins, and at the end how many channels it had.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xids/platform_xen.h>
#include <xids/xs.h>

#define HELD_MAX 4096u

struct guest {
    struct xids_platform *p;
    struct xids_xs *xs;
    char *backend;
    domid_t server;
    evtchn_port_t port;
    uint8_t *page;
    uint64_t random;
    unsigned int channels;
    bool ready;
};

static uint32_t number(struct guest *g)
{
    g->random = g->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(g->random >> 33);
}

static int node(struct guest *g, const char *leaf, uint32_t *to)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", g->backend, leaf);
    return xids_xs_read_u32(g->xs, to, XIDS_XS_NO_TX, path);
}

static int find(struct guest *g)
{
    uint32_t id = 0;
    free(g->backend);
    g->backend = NULL;
    int rc = xids_xs_read(g->xs, &g->backend, NULL, XIDS_XS_NO_TX, "device/randomd/0/backend");
    if (rc >= 0)
        rc = xids_xs_read_u32(g->xs, &id, XIDS_XS_NO_TX, "device/randomd/0/backend-id");
    g->server = (domid_t)id;
    return rc;
}

static void store8(uint8_t *at, uint8_t value)
{
    __atomic_store_n(at, value, __ATOMIC_SEQ_CST);
}

static void store32(uint8_t *at, uint32_t value)
{
    __atomic_store_n((uint32_t *)(void *)at, value, __ATOMIC_SEQ_CST);
}

static uint32_t load32(const uint8_t *at)
{
    return __atomic_load_n((const uint32_t *)(const void *)at, __ATOMIC_SEQ_CST);
}

static void notify(const struct guest *g)
{
    (void)g->p->ops->evtchn_notify(g->p->ctx, g->port);
}

/* Takes the channel there is: binds and maps, and says that we live. */
static bool take(struct guest *g)
{
    uint32_t port = 0, ref = 0;
    void XIDS_PEER *area = NULL;
    if (find(g) < 0 || node(g, "event-channel", &port) < 0 || node(g, "ring-ref", &ref) < 0)
        return false;
    int rc = g->p->ops->evtchn_bind(g->p->ctx, g->server, port);
    if (rc < 0)
        return false;
    g->port = (evtchn_port_t)rc;
    if (g->p->ops->map(g->p->ctx, &area, &ref, g->server, 1, 0, NULL) < 0) {
        (void)g->p->ops->evtchn_close(g->p->ctx, g->port);
        return false;
    }
    g->page = XIDS_PEER_RAW(uint8_t, area);
    store8(g->page + 20, 1);
    notify(g);
    g->channels++;
    if (!g->ready)
        (void)puts("ready");
    (void)fflush(stdout);
    g->ready = true;
    return true;
}

static void leave(struct guest *g, bool unmap)
{
    store8(g->page + 20, 0);
    notify(g);
    (void)g->p->ops->evtchn_close(g->p->ctx, g->port);
    if (unmap)
        (void)g->p->ops->unmap(g->p->ctx, (void XIDS_PEER *)g->page, 1);
    g->page = NULL;
}

static void scribble(struct guest *g)
{
    uint32_t what = number(g);
    uint32_t at = what % 4 == 0 ? number(g) % 4096u : number(g) % 24u;
    store8(g->page + at, (uint8_t)(what % 3 == 0 ? 0 : number(g)));
    if (what % 8 == 0) {
        notify(g);
        (void)usleep(10);
    }
}

/* A GET of 1 KiB into the left ring, and the right ring taken as read. */
static void ask(struct guest *g)
{
    static const uint8_t hello[72] = {1, 0, 72, 0, [16] = 2, 0, 2, 0};
    static const uint8_t get[24] = {2, 0, 24, 0, [16] = 0, 4};
    uint32_t cons = load32(g->page), prod = load32(g->page + 4);
    const uint8_t *message = prod == 0 ? hello : get;
    uint32_t len = prod == 0 ? sizeof(hello) : sizeof(get);
    store32(g->page + 8, load32(g->page + 12));
    if (1024 - (prod - cons) >= len) {
        for (uint32_t i = 0; i < len; i++)
            store8(g->page + 1024 + ((prod + i) & 1023u), message[i]);
        store32(g->page + 4, prod + len);
    }
    notify(g);
}

static void act(struct guest *g, const char *how)
{
    if (strcmp(how, "storm") == 0)
        notify(g);
    else if (strcmp(how, "scribble") == 0)
        scribble(g);
    else if (strcmp(how, "greedy") == 0)
        ask(g);
    else
        leave(g, strcmp(how, "churn") == 0 || g->channels > HELD_MAX);
    /* Cut off: look for the next one. */
    if (g->page != NULL && __atomic_load_n(g->page + 21, __ATOMIC_SEQ_CST) == 0)
        leave(g, true);
}

int main(int argc, char **argv)
{
    struct guest g = {.random = (uint64_t)getpid()};
    if (argc != 3)
        return 2;
    time_t end = time(NULL) + atoi(argv[2]);
    int rc = xids_xs_open(&g.xs, NULL);
    if (rc == 0)
        rc = xids_platform_xen_open(&g.p, XIDS_PLATFORM_XEN_NO_STATUS);
    if (rc < 0) {
        (void)fprintf(stderr, "hostile_guest: %s\n", strerror(-rc));
        return 1;
    }
    while (time(NULL) < end) {
        if (g.page == NULL && !take(&g)) {
            (void)usleep(2000);
            continue;
        }
        for (int i = 0; i < 100 && g.page != NULL; i++)
            act(&g, argv[1]);
    }
    (void)printf("%u channels\n", g.channels);
    xids_platform_xen_close(g.p);
    xids_xs_close(g.xs);
    free(g.backend);
    return g.ready ? 0 : 1;
}
